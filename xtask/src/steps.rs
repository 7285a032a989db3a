//! The steps, in the order in which `cargo xtask test` runs them: what is quick first.

use anyhow::Result;
use xshell::Shell;

use crate::beside::Needs;
use crate::{
    bench, browser, bugs, checks, compare, format_check, fuzz, inject, kill, loom, mcu, mutants, sanitize,
    setup, sim, targets,
};

/// One check, or the set-up that checks need.
#[derive(Clone, Debug, PartialEq, Eq, clap::Subcommand)]
pub(crate) enum Step {
    /// Install what the checks need on this machine: rustfmt, clippy, the targets of browsers and microcontrollers
    Setup,
    /// Code is formatted by rustfmt
    Fmt,
    /// docs/FORMAT.md and core/src/format describe the same bytes
    Format,
    /// No warning of the compiler or of clippy, in every set of features
    Clippy,
    /// All tests of the workspace
    Unit,
    /// Documentation builds without a warning and its examples pass
    Doc,
    /// The engine compiles for a browser and for microcontrollers
    Targets,
    /// Power cuts, faults and damage in the simulator, and what is left checked against a model
    Sim(sim::Arguments),
    /// Models of the commit queue and of pinned extents under loom and shuttle, and their broken twins
    Loom(loom::Arguments),
    /// The fuzz targets under the address sanitizer, each for a while
    Fuzz(fuzz::Arguments),
    /// The shell's tests and its threads under the address sanitizer and the thread sanitizer
    Sanitize(sanitize::Arguments),
    /// Bugs planted on purpose are caught by the harness that claims to
    Bugs(bugs::Arguments),
    /// Small changes of the engine's code, each of which a test has to notice or a reason to explain
    Mutants(mutants::Arguments),
    /// Children that commit and report, killed by SIGKILL at random moments; nothing may be lost
    Kill(kill::Arguments),
    /// Calls that fail, a full file system, a power cut under a recorded file; nothing may be lost
    Inject(inject::Arguments),
    /// What each layer costs, and the predecessor's table, measured; no check, and not part of a run of all steps
    Bench(bench::Arguments),
    /// The engine on microcontrollers under QEMU: power cut at every operation, files from world to world, sizes
    Mcu(mcu::Arguments),
    /// The npm package: built, packed, and tried under Node, in Chromium and in Firefox
    Browser(browser::Arguments),
    /// Blockyard beside other engines, measured; no check, and not part of a run of all steps
    Compare(Box<compare::Arguments>),
}

impl Step {
    /// Every step in order; a step that can run for any length of time, within the budget that a run of
    /// all steps has for it.
    pub(crate) fn all() -> Vec<Self> {
        vec![
            Self::Setup,
            Self::Fmt,
            Self::Format,
            Self::Clippy,
            Self::Unit,
            Self::Doc,
            Self::Targets,
            Self::Sim(sim::Arguments::budgeted()),
            Self::Loom(loom::Arguments::budgeted()),
            Self::Fuzz(fuzz::Arguments::budgeted()),
            Self::Sanitize(sanitize::Arguments::all()),
            Self::Bugs(bugs::Arguments::all()),
            Self::Kill(kill::Arguments::budgeted()),
            Self::Inject(inject::Arguments::budgeted()),
            Self::Mcu(mcu::Arguments::budgeted()),
            Self::Browser(browser::Arguments::all()),
        ]
    }

    /// Whether the step begins before the others in a run of all, but for quick ones: it waits much, and what stands last
    /// runs alone.
    pub(crate) const fn is_early(&self) -> bool {
        matches!(self, Self::Setup | Self::Fmt | Self::Format | Self::Browser(_))
    }

    /// What the step has to itself in a run of all.
    pub(crate) const fn needs(&self) -> Needs {
        match self {
            Self::Setup => Needs::Everything,
            Self::Clippy | Self::Unit | Self::Doc | Self::Targets => Needs::Builds,
            Self::Sim(_) | Self::Kill(_) | Self::Inject(_) => Needs::Builds,
            _ => Needs::Nothing,
        }
    }

    /// The step's name on the command line.
    pub(crate) const fn name(&self) -> &'static str {
        match self {
            Self::Setup => "setup",
            Self::Fmt => "fmt",
            Self::Format => "format",
            Self::Clippy => "clippy",
            Self::Unit => "unit",
            Self::Doc => "doc",
            Self::Targets => "targets",
            Self::Sim(_) => "sim",
            Self::Loom(_) => "loom",
            Self::Fuzz(_) => "fuzz",
            Self::Sanitize(_) => "sanitize",
            Self::Bugs(_) => "bugs",
            Self::Mutants(_) => "mutants",
            Self::Kill(_) => "kill",
            Self::Inject(_) => "inject",
            Self::Bench(_) => "bench",
            Self::Mcu(_) => "mcu",
            Self::Browser(_) => "browser",
            Self::Compare(_) => "compare",
        }
    }

    /// Runs the step; an error is a failed check or a check that could not run.
    pub(crate) fn run(&self, shell: &Shell) -> Result<()> {
        match self {
            Self::Setup => setup::run(shell),
            Self::Fmt => checks::fmt(shell),
            Self::Format => format_check::run(shell),
            Self::Clippy => checks::clippy(shell),
            Self::Unit => checks::unit(shell),
            Self::Doc => checks::doc(shell),
            Self::Targets => targets::run(shell),
            Self::Sim(arguments) => sim::run(shell, arguments),
            Self::Loom(arguments) => loom::run(shell, arguments),
            Self::Fuzz(arguments) => fuzz::run(shell, arguments),
            Self::Sanitize(arguments) => sanitize::run(shell, arguments),
            Self::Bugs(arguments) => bugs::run(shell, arguments),
            Self::Mutants(arguments) => mutants::run(shell, arguments),
            Self::Kill(arguments) => kill::run(shell, arguments),
            Self::Inject(arguments) => inject::run(shell, arguments),
            Self::Bench(arguments) => bench::run(shell, arguments),
            Self::Mcu(arguments) => mcu::run(shell, arguments),
            Self::Browser(arguments) => browser::run(shell, arguments),
            Self::Compare(arguments) => compare::run(shell, arguments),
        }
    }
}

//! The steps, in the order in which `cargo xtask test` runs them: what is quick first.

use anyhow::Result;
use xshell::Shell;

use crate::{checks, format_check, setup, targets};

/// One check, or the set-up that checks need.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::Subcommand)]
pub(crate) enum Step {
    /// Install what the checks need on this machine: rustfmt, clippy, the wasm32 and thumbv7em targets
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
    /// The engine compiles for a browser and for a microcontroller
    Targets,
}

impl Step {
    /// Every step in order.
    pub(crate) const ALL: [Self; 7] =
        [Self::Setup, Self::Fmt, Self::Format, Self::Clippy, Self::Unit, Self::Doc, Self::Targets];

    /// The step's name on the command line.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Setup => "setup",
            Self::Fmt => "fmt",
            Self::Format => "format",
            Self::Clippy => "clippy",
            Self::Unit => "unit",
            Self::Doc => "doc",
            Self::Targets => "targets",
        }
    }

    /// Runs the step; an error is a failed check or a check that could not run.
    pub(crate) fn run(self, shell: &Shell) -> Result<()> {
        match self {
            Self::Setup => setup::run(shell),
            Self::Fmt => checks::fmt(shell),
            Self::Format => format_check::run(shell),
            Self::Clippy => checks::clippy(shell),
            Self::Unit => checks::unit(shell),
            Self::Doc => checks::doc(shell),
            Self::Targets => targets::run(shell),
        }
    }
}

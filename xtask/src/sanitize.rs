//! `cargo xtask sanitize`: tests under the address sanitizer and the thread sanitizer.
//!
//! The engine has no unsafe code; the shell has a system call and a hint to the processor, neither of which touches
//! memory, and a test's allocator; their dependencies have more. The address sanitizer sees every test of the
//! shell, the thread sanitizer those and the queue's under real threads. There are no suppressions.
//!
//! Before each, faults made on purpose (`bugs/canary`) have to be reported and sound code not: a
//! sanitizer that is not linked in, or that a standard library without instrumentation blinds, would
//! pass everything.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use xshell::{Cmd, Shell, cmd};

use crate::child::{self, Echo};
use crate::setup::debian;
use crate::tally::Tally;
use crate::test_output::TestOutput;
use crate::toolchain::{Toolchain, build_folder};

/// Far more than any of this takes, beside another step too.
const LIMIT: Duration = Duration::from_mins(40);

/// Manifest of the faults made on purpose.
const CANARY: &str = "bugs/canary/Cargo.toml";

/// Which of them.
#[derive(clap::Args, Clone, Debug, PartialEq, Eq)]
pub(crate) struct Arguments {
    /// One of them alone
    #[arg(long)]
    only: Option<Sanitizer>,
}

impl Arguments {
    /// Both, as CI runs them.
    pub(crate) const fn all() -> Self {
        Self { only: None }
    }
}

#[derive(clap::ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
enum Sanitizer {
    /// Memory that is not ours, or not any more, or forgotten
    Asan,
    /// Memory that threads share without asking
    Tsan,
}

/// A set of tests, and the fewest that must pass: a renamed test must not leave the set empty.
struct Tests {
    what: &'static str,
    selection: &'static [&'static str],
    least: usize,
}

const SHELL: Tests =
    Tests { what: "the shell's tests", selection: &["--package", "blockyard", "--tests"], least: 40 };
const QUEUE: Tests = Tests {
    what: "the queue's tests",
    selection: &["--package", "blockyard-core", "--features", "std", "--test", "queue"],
    least: 20,
};

/// A fault made on purpose, and what the report about it says.
struct Fault {
    name: &'static str,
    report: &'static str,
}

impl Sanitizer {
    const fn name(self) -> &'static str {
        match self {
            Self::Asan => "asan",
            Self::Tsan => "tsan",
        }
    }

    const fn flags(self) -> &'static str {
        match self {
            Self::Asan => "-Zsanitizer=address",
            // Debian's compiler comes without the run-time libraries; clang of the same LLVM has them.
            Self::Tsan => {
                "-Zsanitizer=thread -Zexternal-clangrt -Clinker=clang-22 -Clink-arg=-fsanitize=thread"
            }
        }
    }

    const fn tests(self) -> &'static [Tests] {
        match self {
            Self::Asan => &[SHELL],
            Self::Tsan => &[SHELL, QUEUE],
        }
    }

    const fn faults(self) -> &'static [Fault] {
        match self {
            Self::Asan => &[
                Fault { name: "overflow", report: "AddressSanitizer: heap-buffer-overflow" },
                Fault { name: "after-free", report: "AddressSanitizer: heap-use-after-free" },
                Fault { name: "leak", report: "LeakSanitizer: detected memory leaks" },
            ],
            Self::Tsan => &[Fault { name: "race", report: "ThreadSanitizer: data race" }],
        }
    }

    /// A compiler that has the sanitizer; what is missing is installed.
    fn toolchain(self, shell: &Shell) -> Result<Toolchain> {
        match self {
            Self::Asan => Ok(Toolchain::Default),
            // Locks and channels of a standard library without instrumentation look like races. This
            // toolchain is the one whose library can be compiled anew.
            Self::Tsan => debian::toolchain_with(shell, &["clang-22", "libclang-rt-22-dev"]),
        }
    }
}

/// A sanitizer with the compiler that has it.
struct Bench<'a> {
    shell: &'a Shell,
    sanitizer: Sanitizer,
    toolchain: Toolchain,
    host: String,
    builds: PathBuf,
}

/// Runs the sanitizers asked for.
pub(crate) fn run(shell: &Shell, arguments: &Arguments) -> Result<()> {
    let mut tally = Tally::default();
    let all = [Sanitizer::Asan, Sanitizer::Tsan];
    for sanitizer in all.into_iter().filter(|it| arguments.only.is_none_or(|only| only == *it)) {
        match Bench::new(shell, sanitizer) {
            Ok(bench) => bench.run(&mut tally),
            Err(error) => tally.record(sanitizer.name(), Err(error)),
        }
    }
    tally.finish()
}

impl<'a> Bench<'a> {
    fn new(shell: &'a Shell, sanitizer: Sanitizer) -> Result<Self> {
        let toolchain = sanitizer.toolchain(shell)?;
        let host = cmd!(shell, "rustc --print host-tuple").quiet().read().context("cannot ask rustc")?;
        let builds = build_folder(shell, sanitizer.name());
        Ok(Self { shell, sanitizer, toolchain, host, builds })
    }

    fn run(&self, tally: &mut Tally) {
        let name = self.sanitizer.name();
        for fault in self.sanitizer.faults() {
            tally.record(&format!("{name}: sees the fault \"{}\"", fault.name), self.sees(fault));
        }
        tally.record(&format!("{name}: leaves sound code alone"), self.leaves_sound_code_alone());
        for tests in self.sanitizer.tests() {
            tally.record(&format!("{name}: {}", tests.what), self.passes(tests));
        }
    }

    /// Cargo with the sanitizer on. A build for a named target keeps it out of build scripts.
    fn cargo(&self, subcommand: &str) -> Cmd<'a> {
        let cargo = self.toolchain.cargo(self.shell).arg(subcommand).args(["--target", &self.host]);
        let cargo = if self.sanitizer == Sanitizer::Tsan { cargo.arg("-Zbuild-std") } else { cargo };
        cargo
            .env("CARGO_TARGET_DIR", &self.builds)
            // Sanitizers are options of a nightly; the compiler has them all the same.
            .env("RUSTC_BOOTSTRAP", "1")
            .env("RUSTFLAGS", self.sanitizer.flags())
            .env_remove("CARGO_ENCODED_RUSTFLAGS")
            .env("ASAN_OPTIONS", "detect_leaks=1:detect_stack_use_after_return=1")
            .env("TSAN_OPTIONS", "halt_on_error=1")
            .env_remove("LSAN_OPTIONS")
    }

    fn canary(&self, fault: &str) -> Result<child::Ended> {
        let cargo = self.cargo("run").args(["--quiet", "--manifest-path", CANARY, "--", fault]);
        child::run(cargo, LIMIT, Echo::Silent)
    }

    fn sees(&self, fault: &Fault) -> Result<()> {
        let ended = self.canary(fault.name)?;
        if ended.success || !ended.output.contains(fault.report) {
            bail!("the report \"{}\" did not come; what came was:\n{}", fault.report, ended.output.trim());
        }
        Ok(())
    }

    fn leaves_sound_code_alone(&self) -> Result<()> {
        let ended = self.canary("sound")?;
        if !ended.success {
            bail!("it was reported:\n{}", ended.output.trim());
        }
        Ok(())
    }

    fn passes(&self, tests: &Tests) -> Result<()> {
        let start = Instant::now();
        let cargo = self.cargo("test").args(tests.selection).arg("--no-fail-fast");
        let ended = child::run(cargo, LIMIT, Echo::Live)?;
        let TestOutput { passed, failed, .. } = TestOutput::parse(&ended.output);
        let seconds = start.elapsed().as_secs_f64();
        println!("{}: {passed} tests passed, with compiling {seconds:.0} s", self.sanitizer.name());
        if ended.timed_out {
            bail!("no end after {LIMIT:?}");
        }
        if !ended.success {
            bail!("a report or a failed test, see above {failed:?}");
        }
        if passed < tests.least {
            bail!("only {passed} tests ran, at least {} are expected", tests.least);
        }
        Ok(())
    }
}

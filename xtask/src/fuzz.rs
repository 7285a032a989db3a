//! `cargo xtask fuzz`: the fuzz targets under the address sanitizer, each for a while.
//!
//! The targets are laid out as cargo-fuzz wants them, and `cargo fuzz run` works; but here cargo builds
//! them with the same flags, which spares every machine the installation.
//!
//! A run begins with the corpus of the repository and leaves it alone. What crashes a target is kept below
//! the build folder, with the command that repeats it.

use std::collections::VecDeque;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use xshell::{Cmd, Shell, cmd};

use crate::child::{self, Echo};
use crate::setup::debian;
use crate::tally::Tally;
use crate::toolchain::build_folder;

/// The package, which is a workspace of its own.
const MANIFEST: &str = "fuzz/Cargo.toml";

/// Coverage of every edge, a counter each; comparisons are not traced, for hardly any is of bytes that the
/// fuzzer could guess, and all take time.
const FLAGS: &str = "-Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
                     -Cllvm-args=-sanitizer-coverage-inline-8bit-counters \
                     -Cllvm-args=-sanitizer-coverage-pc-table -Zsanitizer=address -Ccodegen-units=1";

/// Memory that was freed is used again soon: waiting for late uses of it costs most of the time, and there
/// is no unsafe code to make any.
const ASAN: &str = "quarantine_size_mb=4:malloc_context_size=0:detect_leaks=0";

/// Executions that a target must come to however short or slow a run is: fewer, and it did not fuzz.
const FLOOR: u64 = 200;

/// Longest input in bytes.
const LONGEST: u32 = 500;

#[derive(clap::ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
enum Target {
    /// Any work on a store of any sizes, compared with a map
    Operations,
    /// Golden images, changed and sealed again
    Image,
    /// Work, a fault or a power cut at any operation of the device, recovery
    Crash,
    /// A journal of any records
    Record,
    /// A registry of any pages
    Page,
}

impl Target {
    const ALL: [Self; 5] = [Self::Operations, Self::Image, Self::Crash, Self::Record, Self::Page];

    /// Inputs that it comes to in a minute.
    const fn a_minute(self) -> u64 {
        match self {
            Self::Operations => 9000,
            Self::Image => 13_000,
            Self::Crash => 11_000,
            Self::Record => 38_000,
            Self::Page => 59000,
        }
    }

    const fn name(self) -> &'static str {
        match self {
            Self::Operations => "operations",
            Self::Image => "image",
            Self::Crash => "crash",
            Self::Record => "record",
            Self::Page => "page",
        }
    }
}

/// When a run ends.
#[derive(Clone, Copy, Debug)]
enum Length {
    Seconds(u64),
    Inputs(u64),
}

/// How long, and what.
#[derive(clap::Args, Clone, Debug, PartialEq, Eq)]
pub(crate) struct Arguments {
    /// How long each target runs, in seconds
    #[arg(long, default_value_t = 60)]
    seconds: u64,
    /// Run each target for as many inputs as it comes to in a minute on two quiet cores, however long it takes:
    /// with a seed the same ones each time
    #[arg(long, conflicts_with = "seconds")]
    minute: bool,
    /// One target alone
    #[arg(long)]
    target: Option<Target>,
    /// Targets that run at a time
    #[arg(long, default_value_t = 2)]
    jobs: usize,
    /// Where the drawing of inputs begins; else each run begins elsewhere
    #[arg(long)]
    seed: Option<u32>,
    /// Run this input alone, as once more an input that failed
    #[arg(long, requires = "target")]
    repeat: Option<PathBuf>,
}

impl Arguments {
    /// A minute of each target, the same inputs each time: a find belongs to the change under test.
    pub(crate) const fn budgeted() -> Self {
        Self { seconds: 60, minute: true, target: None, jobs: 2, seed: Some(1), repeat: None }
    }

    const fn length(&self, target: Target) -> Length {
        if self.minute { Length::Inputs(target.a_minute()) } else { Length::Seconds(self.seconds) }
    }
}

/// Builds the targets and runs them.
pub(crate) fn run(shell: &Shell, arguments: &Arguments) -> Result<()> {
    let fuzzer = Fuzzer::new(shell)?;
    if let (Some(input), Some(target)) = (&arguments.repeat, arguments.target) {
        fuzzer.build(shell)?;
        return fuzzer.repeat(target, input);
    }
    let mut tally = Tally::default();
    if arguments.target.is_none() {
        tally.record("fuzz: formatted", succeed(fuzzer.cargo(shell, "fmt").arg("--check")));
        let clippy = fuzzer.cargo(shell, "clippy").args(["--all-targets", "--", "-D", "warnings"]);
        tally.record("fuzz: no warning", succeed(clippy));
        tally.record("fuzz: the corpus without a fuzzer", succeed(fuzzer.cargo(shell, "test")));
    }
    fuzzer.build(shell)?;
    let wanted = Target::ALL.into_iter().filter(|it| arguments.target.is_none_or(|target| target == *it));
    let queue: Mutex<VecDeque<Target>> = Mutex::new(wanted.collect());
    let done = Mutex::new(Vec::new());
    let work = || {
        loop {
            let next = queue.lock().ok().and_then(|mut queue| queue.pop_front());
            let Some(target) = next else { return };
            let result = fuzzer.run(target, arguments.length(target), arguments.seed);
            if let Ok(mut done) = done.lock() {
                done.push((target, result));
            }
        }
    };
    std::thread::scope(|scope| {
        (0..arguments.jobs.max(1)).for_each(|_| drop(scope.spawn(work)));
    });
    for (target, result) in done.into_inner().unwrap_or_default() {
        tally.record(&format!("fuzz: {}", target.name()), result);
    }
    tally.finish()
}

fn succeed(command: Cmd<'_>) -> Result<()> {
    Ok(command.run()?)
}

/// Where things are.
struct Fuzzer {
    builds: PathBuf,
    host: String,
    /// The package in the checkout.
    package: PathBuf,
}

impl Fuzzer {
    fn new(shell: &Shell) -> Result<Self> {
        // libFuzzer is C++ and comes as source.
        if cmd!(shell, "c++ --version").quiet().ignore_stdout().ignore_stderr().run().is_err() {
            debian::require(shell, &["g++"])?;
        }
        let host = cmd!(shell, "rustc --print host-tuple").quiet().read().context("cannot ask rustc")?;
        let package = shell.current_dir().join("fuzz");
        Ok(Self { builds: build_folder(shell, "fuzz"), host, package })
    }

    fn cargo<'a>(&self, shell: &'a Shell, subcommand: &str) -> Cmd<'a> {
        cmd!(shell, "cargo {subcommand} --manifest-path {MANIFEST}").env("CARGO_TARGET_DIR", &self.builds)
    }

    /// A build for a named target keeps the flags out of build scripts.
    fn build(&self, shell: &Shell) -> Result<()> {
        let cargo = self.cargo(shell, "build").args(["--release", "--bins", "--features", "libfuzzer"]);
        cargo
            .args(["--target", &self.host])
            .env("RUSTC_BOOTSTRAP", "1")
            .env("RUSTFLAGS", FLAGS)
            .env_remove("CARGO_ENCODED_RUSTFLAGS")
            .run()
            .context("the fuzz targets cannot be built")
    }

    fn command(&self, target: Target) -> Command {
        let program = self.builds.join(&self.host).join("release").join(target.name());
        let mut command = Command::new(program);
        command.env("ASAN_OPTIONS", ASAN).env("RUST_BACKTRACE", "0");
        command.args(["-timeout=25", "-rss_limit_mb=2048", "-malloc_limit_mb=128"]);
        command
    }

    fn repeat(&self, target: Target, input: &Path) -> Result<()> {
        let mut command = self.command(target);
        let status =
            command.env("RUST_BACKTRACE", "1").arg(input).status().context("cannot run the target")?;
        if !status.success() {
            bail!("{} fails on {}", target.name(), input.display());
        }
        Ok(())
    }

    /// Fuzzes from a copy of the corpus, and prints what came of it.
    fn run(&self, target: Target, length: Length, seed: Option<u32>) -> Result<()> {
        let name = target.name();
        let corpus = tempfile::tempdir().context("cannot make a temporary folder")?;
        for kind in ["corpus", "regressions"] {
            copy_files(&self.package.join(kind).join(name), corpus.path())?;
        }
        let crashes = self.builds.join("crashes").join(name);
        fs::create_dir_all(&crashes).with_context(|| format!("cannot make {}", crashes.display()))?;
        let mut command = self.command(target);
        command
            .arg(format!("-artifact_prefix={}/", crashes.display()))
            .arg(match length {
                Length::Seconds(seconds) => format!("-max_total_time={seconds}"),
                Length::Inputs(inputs) => format!("-runs={inputs}"),
            })
            .arg(format!("-max_len={LONGEST}"))
            // Reading the corpus again every second would make the inputs depend on the machine's speed.
            .args(["-len_control=0", "-print_final_stats=1", "-reload=0"])
            // Nought draws one by the clock.
            .arg(format!("-seed={}", seed.unwrap_or(0)))
            .arg(corpus.path());
        let most = match length {
            Length::Seconds(seconds) => seconds + 120,
            // A machine may be slow, or busy.
            Length::Inputs(_) => 2400,
        };
        let ended = child::run(command, Duration::from_secs(most), Echo::Silent)?;
        let Some(found) = Found::parse(&ended.output) else {
            bail!("it did not say what it did:\n{}", tail(&ended.output));
        };
        println!("{name}: {found}");
        if !ended.success {
            let input = artifact(&ended.output).unwrap_or("an input that was not kept");
            bail!(
                "repeat it by `cargo xtask fuzz --target {name} --repeat {input}`:\n{}",
                tail(&ended.output)
            );
        }
        if found.executions < FLOOR {
            bail!("only {} executions ({length:?}), at least {FLOOR} are expected", found.executions);
        }
        Ok(())
    }
}

fn copy_files(from: &Path, to: &Path) -> Result<()> {
    let Ok(entries) = fs::read_dir(from) else { return Ok(()) };
    for entry in entries {
        let entry = entry?;
        fs::copy(entry.path(), to.join(entry.file_name()))?;
    }
    Ok(())
}

/// What a run came to.
#[derive(Debug, PartialEq, Eq)]
struct Found {
    executions: u64,
    a_second: u64,
    edges: u64,
    features: u64,
}

impl std::fmt::Display for Found {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { executions, a_second, edges, features } = self;
        write!(f, "{executions} executions, {a_second} a second; {edges} edges, {features} features covered")
    }
}

impl Found {
    /// Reads libFuzzer's statistics and its last line of progress.
    fn parse(output: &str) -> Option<Self> {
        let statistic = |name: &str| {
            let line = output.lines().find_map(|line| line.strip_prefix("stat::")?.strip_prefix(name))?;
            line.trim_start_matches(':').trim().parse().ok()
        };
        let progress = output.lines().rfind(|line| line.starts_with('#') && line.contains(" cov: "))?;
        let count = |name: &str| {
            let mut words = progress.split_whitespace().skip_while(|word| *word != name).skip(1);
            words.next()?.parse().ok()
        };
        Some(Self {
            executions: statistic("number_of_executed_units")?,
            a_second: statistic("average_exec_per_sec")?,
            edges: count("cov:")?,
            features: count("ft:")?,
        })
    }
}

/// The file that holds the input that crashed.
fn artifact(output: &str) -> Option<&str> {
    output.lines().find_map(|line| line.split_once("Test unit written to ")).map(|(_, path)| path.trim())
}

/// What a target said at its end; the lines of progress before that are many.
fn tail(output: &str) -> String {
    let lines: Vec<_> = output.lines().filter(|line| !line.starts_with(['#', '\t'])).collect();
    lines[lines.len().saturating_sub(40)..].join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    const SAID: &str = "INFO: seed corpus: files: 38\n\
        #39\tINITED cov: 5000 ft: 9000 corp: 38/7Kb exec/s: 0 rss: 60Mb\n\
        #9320\tDONE   cov: 5438 ft: 26340 corp: 1505/106Kb lim: 500 exec/s: 358 rss: 88Mb\n\
        Done 9320 runs in 26 second(s)\n\
        stat::number_of_executed_units: 9320\n\
        stat::average_exec_per_sec:     358\n";

    #[test]
    fn what_the_fuzzer_says_is_understood() {
        let found = Found { executions: 9320, a_second: 358, edges: 5438, features: 26_340 };
        assert_eq!(Found::parse(SAID), Some(found));
        assert_eq!(Found::parse("Segmentation fault"), None);
        let crashed = "artifact_prefix='a/'; Test unit written to a/crash-17\nBase64: AA==";
        assert_eq!(artifact(crashed), Some("a/crash-17"));
        assert_eq!(artifact(SAID), None);
    }

    #[test]
    fn every_target_is_a_program_with_a_corpus() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz");
        for target in Target::ALL {
            assert!(root.join("fuzz_targets").join(target.name()).with_extension("rs").exists());
            assert!(root.join("corpus").join(target.name()).exists());
        }
    }
}

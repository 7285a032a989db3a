//! Faults that are made outside the child: calls that fail, a file system without room, a limit on the
//! length of files, a power cut under a file whose every write was recorded.

mod calls;
mod fault;
pub(crate) mod full;
mod places;
mod record;

use std::process::ExitCode;
use std::time::Instant;

use anyhow::Result;

use crate::tally::Tally;

/// What to run.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Fail every so manieth call; 1 is every call
    #[arg(long, default_value_t = 1)]
    stride: u64,
    /// What the workloads follow from; drawn if not given
    #[arg(long)]
    seed: Option<u64>,
    /// Commits of the recorded workload
    #[arg(long, default_value_t = 150)]
    recorded: u64,
    /// Run one part only
    #[arg(long)]
    part: Option<Name>,
}

/// The parts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Name {
    /// Calls that fail, by strace
    Calls,
    /// A full file system and a limit on the length of files
    Full,
    /// Every write and sync recorded, and every prefix of them opened
    Record,
}

/// What a part does, given the options and the seed.
type Work = fn(&Arguments, u64, &mut Part<'_>) -> Result<()>;

/// One part's way to count what it checks.
struct Part<'a> {
    tally: &'a mut Tally,
    name: &'static str,
    seed: u64,
}

impl Part<'_> {
    fn record<T>(&mut self, what: &str, result: Result<T>) -> Option<T> {
        let (name, seed) = (self.name, self.seed);
        let again = || format!("cargo xtask inject --seed {seed} --part {name}");
        self.tally.record(what, result, again)
    }
}

/// Runs the parts.
pub(crate) fn run(arguments: &Arguments) -> Result<ExitCode> {
    let seed = arguments.seed.unwrap_or_else(crate::drawn_seed);
    println!("seed {seed}, every call of number 1 + n × {}", arguments.stride);
    let mut tally = Tally::default();
    let parts: [(Name, &'static str, Work); 3] = [
        (Name::Calls, "calls", calls::run),
        (Name::Full, "full", places::run),
        (Name::Record, "record", record::run),
    ];
    for (part, name, work) in parts {
        if arguments.part.is_none_or(|wanted| wanted == part) {
            let start = Instant::now();
            let mut part = Part { tally: &mut tally, name, seed };
            let result = work(arguments, seed, &mut part);
            part.record(name, result);
            println!("{name}: {:.1} s", start.elapsed().as_secs_f64());
        }
    }
    Ok(tally.finish())
}

//! `cargo xtask loom`: the models of `loom-tests` under loom and under shuttle, and their broken twins.
//!
//! Each model tells how many interleavings it ran and how many it must at least; each twin, after how
//! many it was caught. A line that is missing is a model that did not run.

use std::time::{Duration, Instant};

use anyhow::{Result, bail, ensure};
use xshell::{Shell, cmd};

use crate::child::{self, Echo};
use crate::tally::Tally;
use crate::test_output::TestOutput;
use crate::toolchain::build_folder;

/// How long to explore.
#[derive(clap::Args, Clone, Debug, PartialEq, Eq)]
pub(crate) struct Arguments {
    /// One pre-emption more under loom and forty times the schedules under shuttle: half an hour
    #[arg(long)]
    thorough: bool,
    /// Seed of shuttle's schedules
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

impl Arguments {
    /// What a run of all steps has time for.
    pub(crate) const fn budgeted() -> Self {
        Self { thorough: false, seed: 1 }
    }

    /// Far more than it takes.
    const fn limit(&self) -> Duration {
        if self.thorough { Duration::from_hours(12) } else { Duration::from_mins(30) }
    }
}

/// A program that explores; the fewest models and twins that it must run, as a renamed test must not
/// leave it without any.
struct Explorer {
    name: &'static str,
    flags: &'static str,
    models: usize,
    twins: usize,
}

const EXPLORERS: [Explorer; 2] = [
    Explorer { name: "loom", flags: "--cfg loom", models: 27, twins: 22 },
    Explorer { name: "shuttle", flags: "--cfg shuttle", models: 27, twins: 21 },
];

/// What one model or twin told.
#[derive(Debug, PartialEq, Eq)]
enum Told<'a> {
    Model { name: &'a str, count: usize, floor: usize },
    Twin { name: &'a str, end: &'a str },
}

/// Runs both.
pub(crate) fn run(shell: &Shell, arguments: &Arguments) -> Result<()> {
    let mut tally = Tally::default();
    for explorer in &EXPLORERS {
        if let Err(error) = explorer.run(shell, arguments, &mut tally) {
            tally.record(explorer.name, Err(error));
        }
    }
    tally.finish()
}

impl Explorer {
    fn run(&self, shell: &Shell, arguments: &Arguments, tally: &mut Tally) -> Result<()> {
        let cargo = cmd!(shell, "cargo test --package loom-tests --tests --no-fail-fast -- --show-output")
            .env("CARGO_TARGET_DIR", build_folder(shell, self.name))
            .env("RUSTFLAGS", self.flags)
            .env_remove("CARGO_ENCODED_RUSTFLAGS")
            // The explorers do most of the work; assertions stay on.
            .env("CARGO_PROFILE_DEV_OPT_LEVEL", "2")
            .env("CARGO_PROFILE_DEV_DEBUG", "line-tables-only")
            .env("BLOCKYARD_MODELS_SEED", arguments.seed.to_string());
        let cargo = if arguments.thorough { cargo.env("BLOCKYARD_MODELS_THOROUGH", "1") } else { cargo };
        let start = Instant::now();
        let ended = child::run(cargo, arguments.limit(), Echo::Silent)?;
        let (mut models, mut twins, mut interleavings) = (0, 0, 0);
        for told in ended.output.lines().filter_map(Told::parse) {
            match told {
                Told::Model { count, .. } => (models, interleavings) = (models + 1, interleavings + count),
                Told::Twin { .. } => twins += 1,
            }
            tally.record(&format!("{:<7} {}", self.name, told.row()), told.verdict());
        }
        let seconds = start.elapsed().as_secs_f64();
        println!(
            "{}: {models} models, {interleavings} interleavings, {twins} broken twins, with compiling \
             {seconds:.0} s",
            self.name
        );
        self.check(&ended, models, twins)
    }

    fn check(&self, ended: &child::Ended, models: usize, twins: usize) -> Result<()> {
        let TestOutput { failed, .. } = TestOutput::parse(&ended.output);
        if !ended.success {
            println!("{}", ended.output.trim_end());
        }
        ensure!(!ended.timed_out, "it did not end in time");
        ensure!(failed.is_empty(), "{} failed, see above", failed.join(", "));
        ensure!(ended.success, "the models were not built, or died; see above");
        if models < self.models || twins < self.twins {
            bail!("{models} models and {twins} twins ran, not {} and {}", self.models, self.twins);
        }
        Ok(())
    }
}

impl<'a> Told<'a> {
    /// `model NAME: N interleavings, at least FLOOR` or `twin NAME: END`.
    fn parse(line: &'a str) -> Option<Self> {
        if let Some(twin) = line.strip_prefix("twin ") {
            let (name, end) = twin.split_once(": ")?;
            return Some(Self::Twin { name, end });
        }
        let (name, rest) = line.strip_prefix("model ")?.split_once(": ")?;
        let (count, floor) = rest.split_once(" interleavings, at least ")?;
        Some(Self::Model { name, count: count.parse().ok()?, floor: floor.parse().ok()? })
    }

    /// The line of the table.
    fn row(&self) -> String {
        match self {
            Self::Model { name, count, floor } => {
                format!("model {name:<38} {count:>8} interleavings, at least {floor:>6}")
            }
            Self::Twin { name, end } => {
                let (end, why) = end.split_once(": ").unwrap_or((end, ""));
                // What they say of each thread is long.
                let why = why.split([';', '!']).next().unwrap_or_default();
                format!("twin  {name:<38} {end} ({why})")
            }
        }
    }

    fn verdict(&self) -> Result<()> {
        match self {
            Self::Model { count, floor, .. } => {
                ensure!(count >= floor, "it ran in fewer interleavings than its floor");
            }
            Self::Twin { end, .. } => ensure!(end.starts_with("caught after "), "the twin was not caught"),
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_model_below_its_floor_has_failed() {
        let told = Told::parse("model 1 covered: 47 interleavings, at least 46").expect("a model");
        assert_eq!(told, Told::Model { name: "1 covered", count: 47, floor: 46 });
        assert!(told.verdict().is_ok());
        let told = Told::parse("model 1 covered: 45 interleavings, at least 46").expect("a model");
        assert!(told.verdict().is_err());
    }

    #[test]
    fn a_twin_that_passed_has_failed() {
        let caught = Told::parse("twin 4 two leaders: caught after 2 interleavings: two flushes overlap");
        assert!(caught.expect("a twin").verdict().is_ok());
        let passed = Told::parse("twin 4 two leaders: 12 interleavings passed");
        assert!(passed.expect("a twin").verdict().is_err());
        assert_eq!(Told::parse("test covered ... ok"), None);
    }
}

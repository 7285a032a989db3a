//! `blockyard demo`: the main job on show.
//!
//! Records are loaded into each engine, updated at random and read back by a select, each engine at
//! the same durability, in the same run, interleaved over several rounds. Every engine is compared
//! with a model after every workload, so that a figure in the table is the figure of work that was
//! done.

mod count;
mod engines;
mod last;
mod place;
mod progress;
mod report;
mod rounds;
mod rows;
mod stats;
mod verify;

use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};

use place::Place;
use progress::Progress;
use report::Report;

/// Measure Blockyard beside a directory, a file of slots and SQLite, and check every byte.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Args {
    /// Print the figures as JSON.
    #[arg(long)]
    json: bool,
    /// How often everything is run; the table shows medians [default: as often as fits into half a
    /// minute, 3 to 7].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1000))]
    rounds: Option<u32>,
    /// How many records are loaded.
    #[arg(long, value_name = "N", default_value_t = 5_000, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    records: u32,
    /// How many of them are updated.
    #[arg(long, value_name = "N", default_value_t = 500, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    updates: u32,
    /// Where the files lie while they are measured, and the Blockyard file afterwards [default: the
    /// system's temporary directory].
    #[arg(long, value_name = "PATH")]
    dir: Option<PathBuf>,
    /// Keep the files of all engines, not only the Blockyard file.
    #[arg(long)]
    keep: bool,
}

/// What is run.
#[derive(Clone, Copy, Debug)]
struct Plan {
    /// So many rounds; without a number as many as [`Plan::PATIENCE`] allows.
    rounds: Option<u32>,
    records: u32,
    updates: u32,
}

impl Plan {
    /// The select returns the records of people older than this.
    const AGE: u8 = 30;
    /// How often a round runs the select: it is short, so it is measured more often.
    const SELECTS: u32 = 3;
    /// The fewest rounds that give a median worth the name.
    const FEWEST: u32 = 3;
    /// After these nothing changes any more.
    const MOST: u32 = 7;
    /// No further round is begun that would end after this time.
    const PATIENCE: Duration = Duration::from_secs(25);

    /// The rounds to expect.
    fn most(self) -> u32 {
        self.rounds.unwrap_or(Self::MOST)
    }

    /// Whether another round is to follow `done` rounds, which took `elapsed` together.
    fn goes_on(self, done: u32, elapsed: Duration) -> bool {
        match self.rounds {
            Some(rounds) => done < rounds,
            None => done < Self::FEWEST || (done < Self::MOST && elapsed + elapsed / done <= Self::PATIENCE),
        }
    }
}

/// Runs the demo and prints what it measured.
///
/// # Errors A file that cannot be made, an engine that fails, or, after the figures were printed,
/// an engine or a Blockyard file that does not hold what was written.
pub(crate) fn run(args: &Args) -> Result<()> {
    let start = Instant::now();
    let plan = Plan { rounds: args.rounds, records: args.records, updates: args.updates };
    let place = Place::make(args.dir.as_deref(), args.keep)?;
    let progress = Progress::new(rounds::steps(plan));
    let outcome = rounds::run(plan, &place, &progress)?;
    let kept = place.settle(outcome.file)?;
    let check = last::check(&kept.file, &outcome.model, &progress)?;
    progress.finish();

    let report = Report {
        plan,
        rounds: outcome.rounds,
        results: outcome.results,
        kept,
        check,
        seconds: start.elapsed().as_secs_f64(),
    };
    if args.json {
        report::json::print(&report)?
    } else {
        report::table::print(&report)?
    }
    match report.problems().first() {
        None => Ok(()),
        Some(problem) => bail!("{problem}; the figures above are not to be believed"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rounds_stop_when_asked_or_when_time_is_up() {
        let asked = Plan { rounds: Some(2), records: 1, updates: 1 };
        assert!(asked.goes_on(1, Duration::from_secs(1000)) && !asked.goes_on(2, Duration::ZERO));
        let free = Plan { rounds: None, ..asked };
        assert!(free.goes_on(0, Duration::ZERO));
        assert!(free.goes_on(2, Duration::from_secs(1000)), "three rounds at least");
        assert!(free.goes_on(4, Duration::from_secs(20)) && !free.goes_on(4, Duration::from_secs(21)));
        assert!(!free.goes_on(7, Duration::ZERO));
    }
}

//! What the demo found, for people and for machines.

pub(crate) mod json;
pub(crate) mod table;

use super::Plan;
use super::engines::{REFERENCE, Workload};
use super::last::Check;
use super::place::Kept;
use super::rounds::Measured;

/// Everything a run found.
pub(crate) struct Report {
    /// What was run.
    pub(crate) plan: Plan,
    /// How many rounds were run.
    pub(crate) rounds: u32,
    /// The figures.
    pub(crate) results: Vec<Measured>,
    /// What was left behind.
    pub(crate) kept: Kept,
    /// The last check of the Blockyard file.
    pub(crate) check: Check,
    /// How long it took.
    pub(crate) seconds: f64,
}

/// What the engine before this one, and its rivals then, needed on another machine: for
/// orientation.
pub(crate) const PREDECESSOR: &str = "The engine before this one needed, on another machine: 500 updates 506 ms (directory 8.8, \
                                      pages 8.5, SQLite 6.4), a select 4.1 ms (directory 0.9), and 8.3 MB of heap a batch.";

impl Report {
    /// Whatever is not as it should be, in words.
    pub(crate) fn problems(&self) -> Vec<String> {
        let wrong = self.results.iter().filter_map(|line| {
            let problem = line.problem.as_ref()?;
            Some(format!("{} at {}: {problem}", line.engine, line.workload.name()))
        });
        wrong
            .chain(
                self.check
                    .problems
                    .iter()
                    .map(|problem| format!("the Blockyard file that was left: {problem}")),
            )
            .collect()
    }

    /// How many times as long as SQLite's median.
    pub(crate) fn ratio(&self, line: &Measured) -> Option<f64> {
        let is_reference = |other: &&Measured| other.engine == REFERENCE && other.workload == line.workload;
        let reference = self.results.iter().find(is_reference)?.series.median_ms();
        (reference > 0.0).then(|| line.series.median_ms() / reference)
    }

    /// The figures of one workload.
    pub(crate) fn of(&self, workload: Workload) -> impl Iterator<Item = &Measured> {
        self.results.iter().filter(move |line| line.workload == workload)
    }
}

#[cfg(test)]
mod tests;

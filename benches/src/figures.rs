//! What the benches leave for the report, beside what criterion leaves: files of JSON in criterion's folder.

use std::path::PathBuf;

use anyhow::{Context, Result};

use crate::driver::Fixes;
use crate::heap::Heap;
use crate::watched::Counts;

/// Milliseconds of some rounds.
#[derive(Clone, Debug, Default, serde::Serialize, serde::Deserialize)]
pub struct Times(pub Vec<f64>);

impl Times {
    fn sorted(&self) -> Vec<f64> {
        let mut sorted = self.0.clone();
        sorted.sort_by(f64::total_cmp);
        sorted
    }

    /// The middle one.
    #[must_use]
    pub fn median(&self) -> f64 {
        let sorted = self.sorted();
        sorted.get(sorted.len() / 2).copied().unwrap_or(f64::NAN)
    }

    /// The least and the greatest.
    #[must_use]
    pub fn range(&self) -> (f64, f64) {
        let sorted = self.sorted();
        (sorted.first().copied().unwrap_or(f64::NAN), sorted.last().copied().unwrap_or(f64::NAN))
    }
}

/// What some work cost in all its rounds.
#[derive(Clone, Debug, Default, serde::Serialize, serde::Deserialize)]
pub struct Cost {
    /// Milliseconds of each round.
    pub times: Times,
    /// What was asked of the device in each.
    pub counts: Vec<Counts>,
    /// What was asked of the heap in each.
    pub heap: Vec<Heap>,
}

impl Cost {
    /// Adds a round.
    pub fn add(&mut self, ms: f64, counts: Counts, heap: Heap) {
        self.times.0.push(ms);
        self.counts.push(counts);
        self.heap.push(heap);
    }

    /// The average of a count over the rounds.
    #[must_use]
    pub fn count(&self, which: impl Fn(&Counts) -> u64) -> f64 {
        self.counts.iter().map(|counts| which(counts) as f64).sum::<f64>() / self.counts.len().max(1) as f64
    }

    /// The average of a figure of the heap over the rounds.
    #[must_use]
    pub fn heap(&self, which: impl Fn(&Heap) -> u64) -> f64 {
        self.heap.iter().map(|heap| which(heap) as f64).sum::<f64>() / self.heap.len().max(1) as f64
    }
}

/// A driver with some of the fixes.
#[derive(Clone, Debug, serde::Serialize, serde::Deserialize)]
pub struct Step {
    /// What it is.
    pub title: String,
    /// Which fixes are on.
    pub fixes: Fixes,
    /// The milliseconds that the predecessor named or hoped for, if it did.
    pub hoped: Option<f64>,
    /// Updates of records that are there.
    pub update: Cost,
    /// New records of 4 KiB: the file grows.
    pub insert: Cost,
}

/// The five fixes.
#[derive(Clone, Debug, serde::Serialize, serde::Deserialize)]
pub struct Ladder {
    /// One fix more in each.
    pub steps: Vec<Step>,
    /// All but one in each.
    pub without: Vec<Step>,
}

/// One row of the predecessor's table.
#[derive(Clone, Debug, serde::Serialize, serde::Deserialize)]
pub struct Row {
    /// The name under which criterion has its time.
    pub name: String,
    /// What it cost.
    pub cost: Cost,
}

/// Criterion's folder, if it was named: then figures are kept.
fn folder() -> Option<PathBuf> {
    std::env::var_os("CRITERION_HOME").map(PathBuf::from)
}

/// Writes figures down where the report finds them, unless nobody asked for a report.
///
/// # Errors
/// The file system's.
pub fn keep<T: serde::Serialize>(name: &str, figures: &T) -> Result<()> {
    let Some(folder) = folder().filter(|_| !crate::smoke()) else { return Ok(()) };
    std::fs::create_dir_all(&folder)?;
    let path = folder.join(format!("{name}.json"));
    std::fs::write(&path, serde_json::to_string_pretty(figures)?)
        .with_context(|| format!("cannot write {}", path.display()))
}

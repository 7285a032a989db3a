//! What is measured, one small file for each kind of work.
//!
//! 1. Every engine gets the same operations in the same order: they follow from workload, round and turn.
//! 2. What is timed is the engine's work alone, prepared before; what was read is looked at in the time, for
//!    all alike, and what was written is compared, every byte, after it.

mod deletes;
mod load;
mod mixed;
mod reads;
mod scans;
mod streams;
mod threads;
mod writes;
mod ycsb;

use anyhow::Result;

use crate::engines::Kind;
use crate::turn::Turn;

/// How a series' seconds for each operation are shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub(crate) enum Unit {
    /// As a time.
    Time,
    /// As thousands of operations in a second.
    Rate,
    /// As MiB in a second; an operation is a MiB.
    Bandwidth,
}

/// Something that a workload measures.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Series {
    /// What it is, for people.
    pub(crate) title: &'static str,
    /// How it is shown.
    pub(crate) unit: Unit,
    /// The floor that it is compared with.
    pub(crate) floor: &'static str,
}

impl Series {
    const fn new(title: &'static str, unit: Unit, floor: &'static str) -> Self {
        Self { title, unit, floor }
    }
}

const RAW: &str = "raw";
const MAP: &str = "map";

/// One kind of work.
pub(crate) trait Workload: Sync {
    /// Its name on the command line.
    fn name(&self) -> &'static str;

    /// What it measures.
    fn series(&self) -> &'static [Series];

    /// Whether an engine can do it.
    fn applies(&self, _kind: &Kind) -> bool {
        true
    }

    /// Turns in a round: more of them, shorter, meet the same moods of the disk.
    fn turns(&self) -> u32 {
        1
    }

    /// Whether it is worth only few rounds.
    fn heavy(&self) -> bool {
        false
    }

    /// Whether it closes the engine and makes the system forget its files, so that what comes behind it would begin cold.
    fn leaves_cold(&self) -> bool {
        false
    }

    /// One engine's turn.
    fn run(&self, turn: &mut Turn<'_>) -> Result<()>;
}

/// Every workload, in the order of the tables.
pub(crate) const WORKLOADS: &[&dyn Workload] = &[
    &writes::Single,
    &writes::Batch,
    &writes::Relaxed,
    &writes::Insert,
    &deletes::Single,
    &deletes::Batch,
    &reads::Warm,
    &reads::ZeroCopy,
    &reads::Missing,
    &reads::Cold,
    &scans::Forward,
    &scans::Backward,
    &scans::Prefix,
    &threads::Threads::<1>,
    &threads::Threads::<2>,
    &threads::Threads::<8>,
    &threads::Threads::<32>,
    &mixed::Mixed,
    &load::Sorted,
    &load::Random,
    &ycsb::Ycsb::<'A'>,
    &ycsb::Ycsb::<'B'>,
    &ycsb::Ycsb::<'C'>,
    &ycsb::Ycsb::<'D'>,
    &ycsb::Ycsb::<'E'>,
    &ycsb::Ycsb::<'F'>,
    &streams::Streams,
];

/// The workload of a name.
pub(crate) fn named(name: &str) -> Option<&'static dyn Workload> {
    WORKLOADS.iter().copied().find(|workload| workload.name() == name)
}

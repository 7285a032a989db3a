//! How much is measured: everything, what fits into five minutes, or each thing once to see that it works.

use std::time::Duration;

use anyhow::{Context, Result, ensure};

use crate::engines::{DIRECTORY, Kind, chosen};
use crate::workloads::{self, WORKLOADS, Workload};

/// How much of each workload a turn does.
#[derive(Clone, Debug)]
pub(crate) struct Amounts {
    /// Durable commits one by one in a round.
    pub(crate) singles: u64,
    /// Batches in a turn.
    pub(crate) batches: u64,
    /// Changes of a batch.
    pub(crate) a_batch: u64,
    /// Warm reads in a turn.
    pub(crate) reads: u64,
    /// Cold reads in a turn.
    pub(crate) cold_reads: u64,
    /// Scans of everything in a turn.
    pub(crate) scans: u64,
    /// Scans of a prefix in a turn.
    pub(crate) prefixes: u64,
    /// Commits of all threads together.
    pub(crate) thread_commits: u64,
    /// Records of a bulk load.
    pub(crate) load_records: u64,
    /// Operations of a YCSB mix.
    pub(crate) ycsb: u64,
    /// Bytes of the long block.
    pub(crate) stream_bytes: u64,
}

/// Records of one size, and what is done with them.
pub(crate) struct Size {
    /// For tables and file names.
    pub(crate) name: &'static str,
    /// For people.
    pub(crate) title: String,
    /// Bytes of a value.
    pub(crate) length: usize,
    /// Records loaded.
    pub(crate) records: u64,
    /// What is measured.
    pub(crate) workloads: Vec<&'static dyn Workload>,
    /// How much of it.
    pub(crate) amounts: Amounts,
    /// Who takes part.
    pub(crate) kinds: Vec<Kind>,
    /// Rounds that count for nothing, before those that do.
    pub(crate) warm_ups: u32,
    /// Rounds that are timed.
    pub(crate) rounds: u32,
    /// Those of heavy workloads.
    pub(crate) heavy_rounds: u32,
}

impl Size {
    /// Places that a floor must have: those of records that come and go among them.
    pub(crate) fn room(&self) -> u64 {
        let streamed = self.amounts.stream_bytes.div_ceil(self.length as u64);
        match self.records {
            0 => streamed,
            records => records + self.amounts.a_batch + self.amounts.ycsb / 10 + 8,
        }
    }
}

/// How much in all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Extent {
    /// Everything.
    Full,
    /// Within five minutes.
    Quick,
    /// Everything once, with few records; no figure means anything.
    Smoke,
}

/// All that is measured.
pub(crate) struct Plan {
    /// How much in all.
    pub(crate) extent: Extent,
    /// Bytes of cache for every engine that has one.
    pub(crate) cache: usize,
    /// After so much time no further round of a size is begun.
    pub(crate) patience: Duration,
    /// What is measured.
    pub(crate) sizes: Vec<Size>,
}

const QUICK: &[&str] = &["single", "batch", "relaxed", "read", "zero-copy", "scan", "threads-8"];
const TINY: &[&str] = &["single", "batch", "read", "missing", "scan", "load-sorted", "load-random"];

/// Warm-up rounds of the predecessor's table, each with four batches.
const WARM_UPS: u32 = 10;

const PREDECESSOR: &[&str] = &["batch", "insert", "scan"];

impl Extent {
    /// How much a turn does with values of this length.
    pub(crate) fn amounts(self, length: usize, records: u64) -> Amounts {
        let load_records = records.clamp(1, ((256 << 20) / length as u64).max(1));
        let large = length > 16 << 10;
        match self {
            Self::Smoke => Amounts {
                singles: 16,
                batches: 1,
                a_batch: 20,
                reads: 50,
                cold_reads: 5,
                scans: 1,
                prefixes: 2,
                thread_commits: 64,
                load_records: load_records.min(200),
                ycsb: 60,
                stream_bytes: 3 << 20,
            },
            Self::Quick => Amounts {
                singles: 160,
                batches: 2,
                a_batch: 500,
                reads: 20_000,
                cold_reads: 100,
                scans: 3,
                prefixes: 20,
                thread_commits: 400,
                load_records,
                ycsb: 1_000,
                stream_bytes: 256 << 20,
            },
            Self::Full => Amounts {
                singles: 240,
                batches: 2,
                a_batch: 500,
                reads: if large { 4_000 } else { 50_000 },
                cold_reads: 200,
                scans: if large { 1 } else { 3 },
                prefixes: 20,
                thread_commits: 640,
                load_records,
                ycsb: 1_000,
                stream_bytes: 1 << 30,
            },
        }
    }

    /// Timed rounds, and those of heavy workloads.
    const fn rounds(self) -> (u32, u32) {
        match self {
            Self::Full => (7, 3),
            Self::Quick => (5, 2),
            Self::Smoke => (1, 1),
        }
    }
}

/// What the command line chose.
pub(crate) struct Choice<'a> {
    /// Engines; none is all.
    pub(crate) engines: &'a [String],
    /// Workloads; none is all.
    pub(crate) workloads: &'a [String],
    /// Sizes; none is all.
    pub(crate) sizes: &'a [String],
    /// Timed rounds, if another number is wanted.
    pub(crate) rounds: Option<u32>,
}

impl Plan {
    /// The plan of an extent, as far as it was chosen.
    pub(crate) fn new(extent: Extent, choice: &Choice<'_>) -> Result<Self> {
        for name in choice.workloads {
            let known: Vec<&str> = WORKLOADS.iter().map(|workload| workload.name()).collect();
            workloads::named(name)
                .with_context(|| format!("no workload `{name}`; there are {}", known.join(", ")))?;
        }
        let mut sizes = match extent {
            Extent::Full => vec![
                size(extent, choice, "256", 256, 10_000, &[])?,
                size(extent, choice, "4096", 4096, 10_000, &[])?,
                size(extent, choice, "65536", 65_536, 10_000, &[])?,
                size(extent, choice, "16", 16, 1_000_000, TINY)?,
                size(extent, choice, "stream", 1 << 20, 0, &["stream"])?,
                size(extent, choice, "predecessor", 176, 5_000, PREDECESSOR)?,
            ],
            Extent::Quick => vec![
                size(extent, choice, "4096", 4096, 10_000, QUICK)?,
                size(extent, choice, "256", 256, 10_000, QUICK)?,
                size(extent, choice, "predecessor", 176, 5_000, PREDECESSOR)?,
            ],
            Extent::Smoke => vec![
                size(extent, choice, "4096", 4096, 200, &[])?,
                size(extent, choice, "stream", 1 << 20, 0, &["stream"])?,
                size(extent, choice, "predecessor", 176, 200, PREDECESSOR)?,
            ],
        };
        sizes.retain(|size| choice.sizes.is_empty() || choice.sizes.iter().any(|name| name == size.name));
        sizes.retain(|size| !size.workloads.is_empty());
        ensure!(!sizes.is_empty(), "nothing is left to measure: no size has those workloads");
        let patience = match extent {
            Extent::Full => Duration::from_secs(900),
            Extent::Quick => Duration::from_secs(70),
            Extent::Smoke => Duration::from_secs(600),
        };
        let cache = if extent == Extent::Smoke { 16 << 20 } else { 256 << 20 };
        Ok(Self { extent, cache, patience, sizes })
    }
}

fn size(
    extent: Extent,
    choice: &Choice<'_>,
    name: &'static str,
    length: usize,
    records: u64,
    selection: &[&str],
) -> Result<Size> {
    let wanted = |workload: &&dyn Workload| {
        let here = match selection {
            // New records are the predecessor's table's, the long block has a size of its own.
            [] => !["insert", "stream"].contains(&workload.name()),
            some => some.contains(&workload.name()),
        };
        here && (choice.workloads.is_empty() || choice.workloads.iter().any(|name| name == workload.name()))
    };
    let workloads = WORKLOADS.iter().copied().filter(wanted).collect();
    let mut kinds = chosen(choice.engines)?;
    if name == "predecessor" {
        kinds.push(DIRECTORY);
    }
    let bytes = match length {
        length if length < 1024 => format!("{length} bytes"),
        length => format!("{} KiB", length >> 10),
    };
    let amounts = extent.amounts(length, records);
    let title = match name {
        "stream" => format!("one block of {} MiB", amounts.stream_bytes >> 20),
        "predecessor" => format!("the predecessor's table: {records} records of {bytes}"),
        _ => format!("{records} records of {bytes}"),
    };
    let (rounds, heavy_rounds) = extent.rounds();
    let rounds = choice.rounds.unwrap_or(rounds);
    let heavy_rounds = heavy_rounds.min(rounds);
    // What a batch takes in memory shows once an engine has come to what it does now and then: ours to a checkpoint, which
    // is after some thirty of these batches.
    let warm_ups = if name == "predecessor" && extent != Extent::Smoke { WARM_UPS } else { 1 };
    Ok(Size { name, title, length, records, workloads, amounts, kinds, warm_ups, rounds, heavy_rounds })
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: Choice<'static> = Choice { engines: &[], workloads: &[], sizes: &[], rounds: None };

    #[test]
    fn the_full_plan_has_every_workload_and_the_smoke_too() {
        for extent in [Extent::Full, Extent::Smoke] {
            let plan = Plan::new(extent, &ALL).expect("a plan");
            for workload in WORKLOADS {
                let planned = |size: &Size| size.workloads.iter().any(|it| it.name() == workload.name());
                assert!(plan.sizes.iter().any(planned), "{} is in no size of {extent:?}", workload.name());
            }
        }
        let quick = Plan::new(Extent::Quick, &ALL).expect("a plan");
        assert!(QUICK.iter().chain(PREDECESSOR).chain(TINY).all(|name| workloads::named(name).is_some()));
        assert!(quick.sizes.iter().all(|size| size.kinds.len() >= crate::engines::KINDS.len()));
    }

    #[test]
    fn a_choice_narrows_the_plan_and_what_does_not_exist_is_refused() {
        let (engines, workloads) = (["redb".to_owned()], ["cold".to_owned()]);
        let choice = Choice { engines: &engines, workloads: &workloads, rounds: Some(2), ..ALL };
        let plan = Plan::new(Extent::Full, &choice).expect("a plan");
        assert!(plan.sizes.iter().all(|size| size.workloads.len() == 1 && size.rounds == 2));
        assert!(Plan::new(Extent::Quick, &choice).is_err(), "nothing is left");
        assert!(Plan::new(Extent::Full, &Choice { workloads: &engines, ..ALL }).is_err());
        assert!(Plan::new(Extent::Full, &Choice { engines: &workloads, ..ALL }).is_err());
    }
}

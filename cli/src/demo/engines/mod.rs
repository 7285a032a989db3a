//! The engines on show, behind one trait.

mod blocks;
mod directory;
mod slots;
mod sqlite;

use std::path::Path;
use std::rc::Rc;

use anyhow::Result;

use super::rows::{Row, Selection};

/// What is measured. Engines are compared within one workload only.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Workload {
    /// All records stored, durable together at the end.
    Load,
    /// The updates made durable together.
    UpdateBatch,
    /// Each update durable before the next one begins.
    UpdateSingle,
    /// Each update a relaxed commit of its own (it survives a crash of the process), durable
    /// together by one sync at the end.
    UpdateBuffered,
    /// All records read, those above an age returned.
    Select,
}

impl Workload {
    /// In the order in which they run.
    pub(crate) const ALL: [Self; 5] =
        [Self::Load, Self::UpdateBatch, Self::UpdateSingle, Self::UpdateBuffered, Self::Select];

    /// The stable name, as `--json` prints it.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Load => "load",
            Self::UpdateBatch => "update-batch",
            Self::UpdateSingle => "update-single",
            Self::UpdateBuffered => "update-buffered",
            Self::Select => "select",
        }
    }

    /// Whether everything it changed survives a power cut when the clock stops.
    pub(crate) const fn durable(self) -> bool {
        !matches!(self, Self::Select)
    }

    /// When that holds, in a few words.
    pub(crate) const fn durability(self) -> &'static str {
        match self {
            Self::Load | Self::UpdateBatch => "all together, before the clock stops",
            Self::UpdateSingle => "each update, before the next begins",
            Self::UpdateBuffered => "relaxed updates, one sync before the clock stops",
            Self::Select => "reads only",
        }
    }
}

/// One engine with one set of records.
pub(crate) trait Engine {
    /// Stores all rows and makes them durable.
    fn load(&mut self, rows: &[Rc<Row>]) -> Result<()>;

    /// Stores new versions of rows, as the workload says (one of the three updates).
    fn update(&mut self, workload: Workload, rows: &[Rc<Row>]) -> Result<()>;

    /// Reads all rows and returns those above the age.
    fn select(&mut self, age: u8) -> Result<Selection>;

    /// Shows every row it holds, by id, with its encoded bytes, in any order.
    fn read_all(&mut self, visit: &mut dyn FnMut(u32, &[u8])) -> Result<()>;

    /// Does the work it has put off (folding a journal into its home), so that nothing runs while
    /// others are measured.
    fn settle(&mut self) -> Result<()>;

    /// Brings it into the state in which it works for most of its life, if what went before has
    /// taken it out of that.
    fn prepare(&mut self) -> Result<()> {
        Ok(())
    }

    /// Its own count of its syncs, if it keeps one (see `count`).
    fn own_syncs(&self) -> Result<Option<u64>> {
        Ok(None)
    }

    /// Closes it; everything is durable afterwards.
    fn close(self: Box<Self>) -> Result<()>;
}

/// An engine that can be started.
pub(crate) struct Kind {
    /// The stable name, as `--json` prints it.
    pub(crate) name: &'static str,
    /// What it is, in a few words.
    pub(crate) about: &'static str,
    /// What is measured of it. Every engine is loaded, whether or not that is measured.
    pub(crate) workloads: &'static [Workload],
    /// Whether it makes every update durable before the next, even where they might be made durable
    /// together: then one run is its figure for both workloads, and the disk is spared the other.
    pub(crate) one_way: bool,
    /// Whether it keeps a file for each record.
    pub(crate) many_files: bool,
    /// Starts it in an empty directory, which is made for it.
    pub(crate) start: fn(&Path) -> Result<Box<dyn Engine>>,
}

/// The engine whose file is kept and verified at the end.
pub(crate) const KEPT: &str = "blockyard-batch";

/// The engine the others are compared with.
pub(crate) const REFERENCE: &str = "sqlite";

/// All engines.
pub(crate) const ALL: [Kind; 7] = {
    use Workload::{Load, Select, UpdateBatch, UpdateBuffered, UpdateSingle};
    const EVERYTHING: &[Workload] = &Workload::ALL;
    [
        Kind {
            name: "blockyard-old",
            about: "this engine as the old one behaved: registry flushed and synced, data read back, at every write",
            workloads: &[UpdateBatch, UpdateSingle, Select],
            one_way: true,
            many_files: false,
            start: |directory| blocks::start(directory, blocks::Mode::Old),
        },
        Kind {
            name: "blockyard-buffered",
            about: "a buffered commit an update, one sync at the end",
            workloads: &[UpdateBuffered, Select],
            one_way: false,
            many_files: false,
            start: |directory| blocks::start(directory, blocks::Mode::New),
        },
        Kind {
            name: KEPT,
            about: "one durable batch",
            workloads: &[Load, UpdateBatch, Select],
            one_way: false,
            many_files: false,
            start: |directory| blocks::start(directory, blocks::Mode::New),
        },
        Kind {
            name: "blockyard-single",
            about: "a durable commit an update",
            workloads: &[UpdateSingle, Select],
            one_way: false,
            many_files: false,
            start: |directory| blocks::start(directory, blocks::Mode::New),
        },
        Kind {
            name: "directory",
            about: "one file a block, replaced by rename",
            workloads: EVERYTHING,
            one_way: false,
            many_files: true,
            start: directory::start,
        },
        Kind {
            name: "slots",
            about: "fixed slots of 256 bytes overwritten in place: no atomic batch, no digests, the floor",
            workloads: EVERYTHING,
            one_way: false,
            many_files: false,
            start: slots::start,
        },
        Kind {
            name: REFERENCE,
            about: "SQLite, WAL, synchronous=FULL, a table with an integer key, prepared statements",
            workloads: EVERYTHING,
            one_way: false,
            many_files: false,
            start: sqlite::start,
        },
    ]
};

impl Kind {
    /// Whether it has to run the workload.
    pub(crate) fn runs(&self, workload: Workload) -> bool {
        let spared = self.one_way && workload == Workload::UpdateSingle;
        workload == Workload::Load || (self.workloads.contains(&workload) && !spared)
    }

    /// Whether a run of `run` is a figure of `shown`.
    pub(crate) fn is_figure_of(&self, run: Workload, shown: Workload) -> bool {
        run == shown || (self.one_way && run == Workload::UpdateBatch && shown == Workload::UpdateSingle)
    }
}

/// The path of the Blockyard file in an engine's directory.
pub(crate) fn blockyard_file(directory: &Path) -> std::path::PathBuf {
    directory.join(blocks::FILE)
}

/// Shows every record in a Blockyard file, by id, with its bytes.
pub(crate) fn read_blocks(store: &blockyard::Store, visit: &mut dyn FnMut(u32, &[u8])) -> Result<()> {
    blocks::read_all(store, visit)
}

#[cfg(test)]
mod tests;

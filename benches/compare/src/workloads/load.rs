//! Loading records into an empty engine: in the order of their names, and in a random one. Durable at the end.

use anyhow::Result;

use super::{RAW, Series, Unit, Workload};
use crate::engines::Kind;
use crate::turn::{Slot, Turn};

/// Loads a second store beside the first; an operation is a record.
fn load(turn: &mut Turn<'_>, shuffled: bool) -> Result<()> {
    let mut order: Vec<u64> = (0..turn.amounts.load_records).collect();
    if shuffled {
        turn.random.shuffle(&mut order);
    }
    let mut opening = turn.slot.opening.clone();
    opening.folder = opening.folder.with_extension("load");
    opening.room = turn.amounts.load_records;
    let mut fresh = Slot::open(turn.slot.kind, opening)?;
    crate::count::quiet();
    turn.clock.time(0, order.len() as u64, || fresh.load(&order))?;
    fresh.model.check(fresh.engine()?)?;
    fresh.close()?;
    Ok(std::fs::remove_dir_all(&fresh.opening.folder)?)
}

fn not_twice(kind: &Kind) -> bool {
    kind.name != "raw-two-syncs"
}

/// In the order of names.
pub(super) struct Sorted;

impl Workload for Sorted {
    fn name(&self) -> &'static str {
        "load-sorted"
    }

    fn series(&self) -> &'static [Series] {
        const { &[Series::new("bulk load in the order of names", Unit::Rate, RAW)] }
    }

    fn applies(&self, kind: &Kind) -> bool {
        not_twice(kind)
    }

    fn heavy(&self) -> bool {
        true
    }

    fn run(&self, turn: &mut Turn<'_>) -> Result<()> {
        load(turn, false)
    }
}

/// In a random order.
pub(super) struct Random;

impl Workload for Random {
    fn name(&self) -> &'static str {
        "load-random"
    }

    fn series(&self) -> &'static [Series] {
        const { &[Series::new("bulk load in a random order", Unit::Rate, RAW)] }
    }

    fn applies(&self, kind: &Kind) -> bool {
        not_twice(kind)
    }

    fn heavy(&self) -> bool {
        true
    }

    fn run(&self, turn: &mut Turn<'_>) -> Result<()> {
        load(turn, true)
    }
}

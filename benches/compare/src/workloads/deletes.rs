//! Durable deletes, one by one and many in a batch. What was deleted is put back, untimed.

use anyhow::Result;

use super::{RAW, Series, Unit, Workload};
use crate::data::{Key, key};
use crate::engines::{Change, Kind};
use crate::turn::{Turn, as_batch};

/// Different records, drawn at random.
fn victims(turn: &mut Turn<'_>, count: u64) -> Vec<u64> {
    let mut numbers: Vec<u64> = (0..turn.slot.model.numbers()).collect();
    turn.random.shuffle(&mut numbers);
    numbers.truncate(count as usize);
    numbers
}

/// Compares that they are gone, and puts new versions of them.
fn gone_and_back(turn: &mut Turn<'_>, numbers: &[u64]) -> Result<()> {
    for &index in numbers {
        turn.slot.model.set(index, 0);
    }
    turn.slot.model.check_some(turn.slot.engine()?, numbers)?;
    let back: Vec<_> = numbers.iter().map(|&index| turn.update(index)).collect();
    turn.slot.engine()?.session()?.batch(&as_batch(&back), true)?;
    turn.check(&back)
}

/// Deletes the records from number `first` on, and forgets the numbers.
pub(super) fn take_back(turn: &mut Turn<'_>, first: u64) -> Result<()> {
    let last = turn.slot.model.numbers();
    if first == last {
        return Ok(());
    }
    let keys: Vec<Key> = (first..last).map(key).collect();
    let changes: Vec<Change<'_>> = keys.iter().map(|key| Change::Delete(key)).collect();
    turn.slot.engine()?.session()?.batch(&changes, true)?;
    turn.slot.model.truncate(first);
    let numbers: Vec<u64> = (first..last).collect();
    turn.slot.model.check_some(turn.slot.engine()?, &numbers)
}

/// One durable delete after the other.
pub(super) struct Single;

impl Workload for Single {
    fn name(&self) -> &'static str {
        "delete"
    }

    fn series(&self) -> &'static [Series] {
        const { &[Series::new("one durable delete", Unit::Time, RAW)] }
    }

    fn turns(&self) -> u32 {
        2
    }

    fn run(&self, turn: &mut Turn<'_>) -> Result<()> {
        let numbers = victims(turn, turn.amounts.singles / 8);
        let mut session = turn.slot.engine()?.session()?;
        for &index in &numbers {
            let key = key(index);
            turn.clock.time(0, 1, || session.delete(&key))?;
        }
        drop(session);
        gone_and_back(turn, &numbers)
    }
}

/// Many deletes in one durable batch.
pub(super) struct Batch;

impl Workload for Batch {
    fn name(&self) -> &'static str {
        "delete-batch"
    }

    fn series(&self) -> &'static [Series] {
        const { &[Series::new("500 deletes in one durable batch", Unit::Time, RAW)] }
    }

    fn applies(&self, kind: &Kind) -> bool {
        kind.name != "raw-two-syncs"
    }

    fn run(&self, turn: &mut Turn<'_>) -> Result<()> {
        let numbers = victims(turn, turn.amounts.a_batch);
        let keys: Vec<Key> = numbers.iter().map(|&index| key(index)).collect();
        let changes: Vec<Change<'_>> = keys.iter().map(|key| Change::Delete(key)).collect();
        let mut session = turn.slot.engine()?.session()?;
        turn.clock.time(0, 1, || session.batch(&changes, true))?;
        drop(session);
        gone_and_back(turn, &numbers)
    }
}

//! Durable commits one by one, five hundred updates in one durable batch, five hundred relaxed and one sync,
//! and as many new records in a batch.

use anyhow::Result;

use super::{RAW, Series, Unit, Workload};
use crate::engines::Kind;
use crate::turn::{Turn, as_batch};

/// One update, durable, after the other.
pub(super) struct Single;

impl Workload for Single {
    fn name(&self) -> &'static str {
        "single"
    }

    fn series(&self) -> &'static [Series] {
        const { &[Series::new("one durable commit", Unit::Time, RAW)] }
    }

    fn turns(&self) -> u32 {
        8
    }

    fn run(&self, turn: &mut Turn<'_>) -> Result<()> {
        let count = (turn.amounts.singles / u64::from(self.turns())).max(1);
        let updates = turn.updates(count);
        let mut session = turn.slot.engine()?.session()?;
        for update in &updates {
            turn.clock.time(0, 1, || session.put(&update.key, &update.value))?;
        }
        drop(session);
        turn.check(&updates)
    }
}

/// Many updates in one durable batch.
pub(super) struct Batch;

impl Workload for Batch {
    fn name(&self) -> &'static str {
        "batch"
    }

    fn series(&self) -> &'static [Series] {
        const { &[Series::new("500 updates in one durable batch", Unit::Time, RAW)] }
    }

    fn turns(&self) -> u32 {
        2
    }

    fn run(&self, turn: &mut Turn<'_>) -> Result<()> {
        for _ in 0..turn.amounts.batches {
            let updates = turn.updates(turn.amounts.a_batch);
            let changes = as_batch(&updates);
            let mut session = turn.slot.engine()?.session()?;
            turn.clock.time(0, 1, || session.batch(&changes, true))?;
            drop(session);
            turn.check(&updates)?;
        }
        Ok(())
    }
}

/// Many relaxed updates and one sync.
pub(super) struct Relaxed;

impl Workload for Relaxed {
    fn name(&self) -> &'static str {
        "relaxed"
    }

    fn series(&self) -> &'static [Series] {
        const { &[Series::new("500 relaxed updates and one sync", Unit::Time, RAW)] }
    }

    fn turns(&self) -> u32 {
        2
    }

    fn run(&self, turn: &mut Turn<'_>) -> Result<()> {
        for _ in 0..turn.amounts.batches {
            let updates = turn.updates(turn.amounts.a_batch);
            let mut session = turn.slot.engine()?.session()?;
            turn.clock.time(0, 1, || {
                for update in &updates {
                    session.put_relaxed(&update.key, &update.value)?;
                }
                session.sync()
            })?;
            drop(session);
            turn.check(&updates)?;
        }
        Ok(())
    }
}

/// Many new records in one durable batch; they are taken away again, untimed.
pub(super) struct Insert;

impl Workload for Insert {
    fn name(&self) -> &'static str {
        "insert"
    }

    fn series(&self) -> &'static [Series] {
        const { &[Series::new("500 new records in one durable batch", Unit::Time, RAW)] }
    }

    fn applies(&self, kind: &Kind) -> bool {
        kind.name != "raw-two-syncs"
    }

    fn run(&self, turn: &mut Turn<'_>) -> Result<()> {
        let first = turn.slot.model.numbers();
        let fresh: Vec<_> = (0..turn.amounts.a_batch).map(|number| turn.update(first + number)).collect();
        let changes = as_batch(&fresh);
        let mut session = turn.slot.engine()?.session()?;
        turn.clock.time(0, 1, || session.batch(&changes, true))?;
        drop(session);
        turn.check(&fresh)?;
        super::deletes::take_back(turn, first)
    }
}

//! Blockyard: one file, a block a record.

use std::path::Path;
use std::rc::Rc;

use anyhow::{Context, Result, bail};
use blockyard::{Durability, OpenOptions, PutOptions, Store};

use super::{Engine, Workload};
use crate::demo::rows::{Row, Selection};

/// The file in the engine's directory.
pub(super) const FILE: &str = "demo.by";

/// How the engine behaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mode {
    /// As it is.
    New,
    /// As the engine it replaces did: registry flushed and synced, data read back, at every write.
    Old,
}

struct Blocks {
    mode: Mode,
    store: Store,
}

/// Starts the engine.
pub(super) fn start(directory: &Path, mode: Mode) -> Result<Box<dyn Engine>> {
    let options = OpenOptions::new().create_new(true).emulate_unbatched_registry(mode == Mode::Old);
    let store = options.open(directory.join(FILE))?;
    Ok(Box::new(Blocks { mode, store }))
}

/// The record's number in a block's name, `record/000042`.
fn id_of(name: &[u8]) -> Option<u32> {
    std::str::from_utf8(name.strip_prefix(b"record/")?).ok()?.parse().ok()
}

/// Shows every block of the store, in the order of names.
pub(super) fn read_all(store: &Store, visit: &mut dyn FnMut(u32, &[u8])) -> Result<()> {
    for item in store.iter() {
        let item = item?;
        let id =
            id_of(item.name()).with_context(|| format!("a block that is no record: {:?}", item.name()))?;
        visit(id, &item.value()?);
    }
    Ok(())
}

impl Blocks {
    fn commit_together(&self, rows: &[Rc<Row>]) -> Result<()> {
        let mut batch = self.store.batch();
        for row in rows {
            batch.put(&row.key, &row.bytes)?;
        }
        self.store.commit_with(batch, Durability::Durable)?;
        Ok(())
    }

    fn put_each(&self, rows: &[Rc<Row>], durability: Durability) -> Result<()> {
        let options = PutOptions { durability: Some(durability), ..PutOptions::default() };
        for row in rows {
            self.store.put_with(&row.key, &row.bytes, options)?;
        }
        Ok(())
    }
}

impl Engine for Blocks {
    fn load(&mut self, rows: &[Rc<Row>]) -> Result<()> {
        // The old one too, to spare everybody some seconds: its load is not measured.
        self.commit_together(rows)
    }

    fn update(&mut self, workload: Workload, rows: &[Rc<Row>]) -> Result<()> {
        match (self.mode, workload) {
            (Mode::Old, _) | (_, Workload::UpdateSingle) => self.put_each(rows, Durability::Durable),
            (Mode::New, Workload::UpdateBatch) => self.commit_together(rows),
            (Mode::New, Workload::UpdateBuffered) => {
                self.put_each(rows, Durability::Buffered)?;
                self.store.sync()?;
                Ok(())
            }
            (Mode::New, Workload::Load | Workload::Select) => bail!("{} is not an update", workload.name()),
        }
    }

    fn select(&mut self, age: u8) -> Result<Selection> {
        let mut found = Selection::default();
        for item in self.store.iter() {
            let value = item?.value()?;
            anyhow::ensure!(found.visit(&value, age), "a block is not a row");
        }
        Ok(found)
    }

    fn read_all(&mut self, visit: &mut dyn FnMut(u32, &[u8])) -> Result<()> {
        read_all(&self.store, visit)
    }

    fn settle(&mut self) -> Result<()> {
        self.store.checkpoint()?;
        Ok(())
    }

    fn own_syncs(&self) -> Result<Option<u64>> {
        Ok(Some(self.store.stats()?.syncs))
    }

    fn close(self: Box<Self>) -> Result<()> {
        self.store.close()?;
        Ok(())
    }
}

//! A file of fixed slots, overwritten in place: what the device can do when nobody asks for an
//! atomic batch or a digest.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::rc::Rc;

use anyhow::{Context, Result, bail, ensure};

use super::{Engine, Workload};
use crate::demo::rows::{Row, Selection};

/// Bytes of a slot: the row's length in one byte, then the row, then zeroes.
const SLOT: usize = 256;

struct Slots {
    file: File,
    records: u32,
    /// All slots, as they were read last.
    buffer: Vec<u8>,
}

/// Starts the engine.
pub(super) fn start(directory: &Path) -> Result<Box<dyn Engine>> {
    let path = directory.join("demo.slots");
    let file = File::options().read(true).write(true).create_new(true).open(&path);
    let file = file.with_context(|| format!("cannot make {}", path.display()))?;
    Ok(Box::new(Slots { file, records: 0, buffer: Vec::new() }))
}

/// The row in its slot.
fn fill(slot: &mut [u8; SLOT], row: &[u8]) -> Result<()> {
    let (length, rest) = slot.split_first_mut().context("a slot has bytes")?;
    *length = u8::try_from(row.len()).context("a row of more than 255 bytes")?;
    let (home, rest) = rest.split_at_mut_checked(row.len()).context("a row fits its slot")?;
    home.copy_from_slice(row);
    rest.fill(0);
    Ok(())
}

/// The row in a slot.
fn row_in(slot: &[u8]) -> Option<&[u8]> {
    let (length, rest) = slot.split_first()?;
    rest.get(..usize::from(*length))
}

impl Slots {
    fn overwrite(&self, row: &Row) -> Result<()> {
        let mut slot = [0; SLOT];
        fill(&mut slot, &row.bytes)?;
        self.file.write_all_at(&slot, u64::from(row.id) * SLOT as u64)?;
        Ok(())
    }

    fn read_slots(&mut self) -> Result<impl Iterator<Item = Option<&[u8]>>> {
        self.buffer.resize(self.records as usize * SLOT, 0);
        self.file.read_exact_at(&mut self.buffer, 0)?;
        Ok(self.buffer.chunks_exact(SLOT).map(row_in))
    }
}

impl Engine for Slots {
    fn load(&mut self, rows: &[Rc<Row>]) -> Result<()> {
        self.records = u32::try_from(rows.len())?;
        let mut bytes = vec![[0; SLOT]; rows.len()];
        for (slot, row) in bytes.iter_mut().zip(rows) {
            fill(slot, &row.bytes)?;
        }
        self.file.write_all_at(bytes.as_flattened(), 0)?;
        self.file.sync_data()?;
        Ok(())
    }

    fn update(&mut self, workload: Workload, rows: &[Rc<Row>]) -> Result<()> {
        if !matches!(workload, Workload::UpdateBatch | Workload::UpdateSingle | Workload::UpdateBuffered) {
            bail!("{} is not an update", workload.name());
        }
        for row in rows {
            self.overwrite(row)?;
            if workload == Workload::UpdateSingle {
                self.file.sync_data()?;
            }
        }
        if workload != Workload::UpdateSingle {
            self.file.sync_data()?;
        }
        Ok(())
    }

    fn select(&mut self, age: u8) -> Result<Selection> {
        let mut found = Selection::default();
        for row in self.read_slots()? {
            ensure!(row.is_some_and(|row| found.visit(row, age)), "a slot holds no row");
        }
        Ok(found)
    }

    fn read_all(&mut self, visit: &mut dyn FnMut(u32, &[u8])) -> Result<()> {
        for (id, row) in (0..).zip(self.read_slots()?) {
            visit(id, row.unwrap_or_default());
        }
        Ok(())
    }

    fn settle(&mut self) -> Result<()> {
        Ok(())
    }

    fn close(self: Box<Self>) -> Result<()> {
        Ok(())
    }
}

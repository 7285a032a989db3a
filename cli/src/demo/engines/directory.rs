//! A directory: one file a block, replaced by rename, as programs without an engine do it.
//!
//! Many files are made durable together by one `syncfs`, which is some hundred times quicker than a
//! sync of each. (It also waits for what other programs have written to the same file system: on a
//! busy machine look at the minimum.)

use std::fs::{self, File};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::rc::Rc;

use anyhow::{Context, Result, bail, ensure};

use super::{Engine, Workload};
use crate::demo::count;
use crate::demo::rows::{Row, Selection};

struct Directory {
    /// Where the records lie.
    path: PathBuf,
    /// The same, open, to be synced after a rename.
    handle: File,
    /// How many there are: record `n` lies in the file `n`.
    records: u32,
    /// What was read last.
    buffer: Vec<u8>,
}

/// Starts the engine.
pub(super) fn start(directory: &Path) -> Result<Box<dyn Engine>> {
    let path = directory.join("record");
    fs::create_dir(&path).with_context(|| format!("cannot make {}", path.display()))?;
    let handle = File::open(&path)?;
    Ok(Box::new(Directory { path, handle, records: 0, buffer: Vec::new() }))
}

impl Directory {
    fn home(&self, id: u32) -> PathBuf {
        self.path.join(format!("{id:06}"))
    }

    /// The new bytes beside the old ones, durable if asked.
    fn write_new(&self, row: &Row, durable: bool) -> Result<PathBuf> {
        let path = self.path.join(format!("{:06}.new", row.id));
        let mut file = File::create(&path)?;
        file.write_all(&row.bytes)?;
        if durable {
            file.sync_data()?;
        }
        Ok(path)
    }

    /// Write all, sync them together, rename all, sync the directory.
    fn replace_together(&self, rows: &[Rc<Row>]) -> Result<()> {
        let mut written = Vec::with_capacity(rows.len());
        for row in rows {
            written.push(self.write_new(row, false)?);
        }
        count::sync_filesystem(&self.handle)?;
        for (row, path) in rows.iter().zip(written) {
            // A record may be updated twice: then its one new file was renamed the first time.
            match fs::rename(path, self.home(row.id)) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error.into()),
                _ => {}
            }
        }
        self.handle.sync_all()?;
        Ok(())
    }

    /// For each: write, sync, rename, sync the directory.
    fn replace_each(&self, rows: &[Rc<Row>]) -> Result<()> {
        for row in rows {
            fs::rename(self.write_new(row, true)?, self.home(row.id))?;
            self.handle.sync_all()?;
        }
        Ok(())
    }

    /// For each: write and rename. Then one sync for all.
    fn replace_relaxed(&self, rows: &[Rc<Row>]) -> Result<()> {
        for row in rows {
            fs::rename(self.write_new(row, false)?, self.home(row.id))?;
        }
        count::sync_filesystem(&self.handle)?;
        Ok(())
    }

    fn read(&mut self, id: u32) -> Result<&[u8]> {
        self.buffer.clear();
        File::open(self.home(id))?.read_to_end(&mut self.buffer)?;
        Ok(&self.buffer)
    }
}

impl Engine for Directory {
    fn load(&mut self, rows: &[Rc<Row>]) -> Result<()> {
        self.records = u32::try_from(rows.len())?;
        self.replace_together(rows)
    }

    fn update(&mut self, workload: Workload, rows: &[Rc<Row>]) -> Result<()> {
        match workload {
            Workload::UpdateBatch => self.replace_together(rows),
            Workload::UpdateSingle => self.replace_each(rows),
            Workload::UpdateBuffered => self.replace_relaxed(rows),
            Workload::Load | Workload::Select => bail!("{} is not an update", workload.name()),
        }
    }

    fn select(&mut self, age: u8) -> Result<Selection> {
        let mut found = Selection::default();
        for id in 0..self.records {
            ensure!(found.visit(self.read(id)?, age), "the file of record {id} is not a row");
        }
        Ok(found)
    }

    fn read_all(&mut self, visit: &mut dyn FnMut(u32, &[u8])) -> Result<()> {
        for entry in fs::read_dir(&self.path)? {
            let name = entry?.file_name();
            let id = name.to_str().and_then(|name| name.parse().ok());
            let id = id.with_context(|| format!("a file that is no record: {}", name.display()))?;
            visit(id, self.read(id)?);
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

//! regolith.

use anyhow::{Result, bail};
use regolith::{ColumnFamilyHandle, Db, Options, WriteBatch, WriteOptions, through_stalls};

use super::{Change, Engine, Kind, Opening, Reader, Reading, Role, Session, Settings, Span, Visit};

pub(super) const KIND: Kind = Kind {
    name: "regolith",
    package: Some("regolith"),
    role: Role::Peer,
    zero_copy: true,
    on_disk: true,
    rust_heap: true,
    settings: Settings {
        durable: "WriteOptions::sync(), that is DurabilityMode::Immediate; writers share a sync",
        relaxed: "DurabilityMode::Eventual, the default; then one small write with a sync to a column family of its own, as there is no call for it",
        reads: "Db::get_slice and iterators, each by itself; values share the cache's memory",
        other: "LZ4, the default; a write that a stall stops waits (through_stalls)",
    },
    open,
};

struct Regolith {
    database: Db,
    /// Where the write goes that stands for a sync.
    marks: ColumnFamilyHandle,
}

fn open(opening: &Opening) -> Result<Box<dyn Engine>> {
    let options = Options::default().block_cache_size(opening.cache);
    let database = Db::open(opening.path("regolith"), options)?;
    let marks = match database.column_family("marks") {
        Some(marks) => marks,
        None => database.create_column_family("marks")?,
    };
    Ok(Box::new(Regolith { database, marks }))
}

impl Engine for Regolith {
    fn session(&self) -> Result<Box<dyn Session + '_>> {
        Ok(Box::new(self))
    }

    fn close(self: Box<Self>) -> Result<()> {
        Ok(self.database.close()?)
    }
}

impl Session for &Regolith {
    fn put(&mut self, key: &[u8], value: &[u8]) -> Result<()> {
        Ok(through_stalls(|| self.database.put_opt(&WriteOptions::sync(), key, value))?)
    }

    fn put_relaxed(&mut self, key: &[u8], value: &[u8]) -> Result<()> {
        Ok(through_stalls(|| self.database.put(key, value))?)
    }

    fn sync(&mut self) -> Result<()> {
        let mark = || {
            let mut batch = WriteBatch::new();
            batch.put_cf(&self.marks, b"mark", b"");
            self.database.write_opt(&WriteOptions::sync(), batch)
        };
        Ok(through_stalls(mark)?)
    }

    fn batch(&mut self, changes: &[Change<'_>], durable: bool) -> Result<()> {
        let options = if durable { WriteOptions::sync() } else { WriteOptions::new() };
        let write = || {
            let mut batch = WriteBatch::new();
            for change in changes {
                match *change {
                    Change::Put(key, value) => batch.put(key, value),
                    Change::Delete(key) => batch.delete(key),
                }
            }
            self.database.write_opt(&options, batch)
        };
        Ok(through_stalls(write)?)
    }

    fn delete(&mut self, key: &[u8]) -> Result<()> {
        Ok(through_stalls(|| self.database.delete_opt(&WriteOptions::sync(), key))?)
    }

    fn read(&mut self, work: Reading<'_>) -> Result<()> {
        work(self)
    }
}

impl Reader for &Regolith {
    fn get_into(&mut self, key: &[u8], buffer: &mut [u8]) -> Result<Option<usize>> {
        let Some(value) = self.database.get_slice(key)? else { return Ok(None) };
        buffer[..value.len()].copy_from_slice(&value);
        Ok(Some(value.len()))
    }

    fn show(&mut self, key: &[u8], see: &mut dyn FnMut(&[u8])) -> Result<bool> {
        Ok(self.database.get_slice(key)?.map(|value| see(&value)).is_some())
    }

    fn scan(&mut self, span: Span<'_>, visit: Visit<'_>) -> Result<()> {
        let mut cursor = self.database.iter();
        match span {
            Span::Forward => cursor.seek_to_first(),
            Span::Backward => cursor.seek_to_last(),
            Span::Prefix(from) | Span::From(from) => cursor.seek(from),
        }
        while cursor.valid() {
            let (Some(key), Some(value)) = (cursor.key(), cursor.value()) else {
                bail!("a cursor on nothing")
            };
            if matches!(span, Span::Prefix(prefix) if !key.starts_with(prefix)) || !visit(key, value) {
                break;
            }
            if matches!(span, Span::Backward) { cursor.prev() } else { cursor.next() }
        }
        Ok(cursor.status()?)
    }
}

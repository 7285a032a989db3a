//! RocksDB; compiled only with the feature `rocksdb`.

use anyhow::Result;
use rocksdb::{BlockBasedOptions, Cache, DB, Direction, IteratorMode, Options, WriteBatch, WriteOptions};

use super::{Change, Engine, Kind, Opening, Reader, Reading, Role, Session, Settings, Span, Visit};

pub(super) const KIND: Kind = Kind {
    name: "rocksdb",
    package: Some("rocksdb"),
    role: Role::Peer,
    zero_copy: true,
    on_disk: true,
    rust_heap: false,
    settings: Settings {
        durable: "WriteOptions::set_sync(true); writers share a sync",
        relaxed: "the default, to the operating system; then flush_wal(true)",
        reads: "get_pinned and iterators; values lie in the cache",
        other: "the system's library; compression off, as it was compiled without in the crate",
    },
    open,
};

struct Rocks(DB);

fn open(opening: &Opening) -> Result<Box<dyn Engine>> {
    let mut table = BlockBasedOptions::default();
    table.set_block_cache(&Cache::new_lru_cache(opening.cache)?);
    let mut options = Options::default();
    options.create_if_missing(true);
    options.set_block_based_table_factory(&table);
    options.set_compression_type(rocksdb::DBCompressionType::None);
    Ok(Box::new(Rocks(DB::open(&options, opening.path("rocksdb"))?)))
}

fn options(durable: bool) -> WriteOptions {
    let mut options = WriteOptions::default();
    options.set_sync(durable);
    options
}

impl Engine for Rocks {
    fn session(&self) -> Result<Box<dyn Session + '_>> {
        Ok(Box::new(self))
    }

    fn close(self: Box<Self>) -> Result<()> {
        drop(self);
        Ok(())
    }
}

impl Session for &Rocks {
    fn put(&mut self, key: &[u8], value: &[u8]) -> Result<()> {
        Ok(self.0.put_opt(key, value, &options(true))?)
    }

    fn put_relaxed(&mut self, key: &[u8], value: &[u8]) -> Result<()> {
        Ok(self.0.put_opt(key, value, &options(false))?)
    }

    fn sync(&mut self) -> Result<()> {
        Ok(self.0.flush_wal(true)?)
    }

    fn batch(&mut self, changes: &[Change<'_>], durable: bool) -> Result<()> {
        let mut batch = WriteBatch::default();
        for change in changes {
            match *change {
                Change::Put(key, value) => batch.put(key, value),
                Change::Delete(key) => batch.delete(key),
            }
        }
        Ok(self.0.write_opt(batch, &options(durable))?)
    }

    fn delete(&mut self, key: &[u8]) -> Result<()> {
        Ok(self.0.delete_opt(key, &options(true))?)
    }

    fn read(&mut self, work: Reading<'_>) -> Result<()> {
        work(self)
    }
}

impl Reader for &Rocks {
    fn get_into(&mut self, key: &[u8], buffer: &mut [u8]) -> Result<Option<usize>> {
        let Some(value) = self.0.get_pinned(key)? else { return Ok(None) };
        buffer[..value.len()].copy_from_slice(&value);
        Ok(Some(value.len()))
    }

    fn show(&mut self, key: &[u8], see: &mut dyn FnMut(&[u8])) -> Result<bool> {
        Ok(self.0.get_pinned(key)?.map(|value| see(&value)).is_some())
    }

    fn scan(&mut self, span: Span<'_>, visit: Visit<'_>) -> Result<()> {
        let mode = match span {
            Span::Forward => IteratorMode::Start,
            Span::Backward => IteratorMode::End,
            Span::Prefix(from) | Span::From(from) => IteratorMode::From(from, Direction::Forward),
        };
        for item in self.0.iterator(mode) {
            let (key, value) = item?;
            if matches!(span, Span::Prefix(prefix) if !key.starts_with(prefix)) || !visit(&key, &value) {
                break;
            }
        }
        Ok(())
    }
}

//! Blockyard.

use std::io::Read;
use std::time::Duration;

use anyhow::{Context, Result};
use blockyard::{Durability, OpenOptions, PutOptions, Store};

use super::{
    Change, Engine, Kind, Opening, PIECE, Reader, Reading, Role, Session, Settings, Span, Visit, piece_key,
};

pub(super) const KIND: Kind = Kind {
    name: "blockyard",
    package: Some("blockyard"),
    role: Role::Ours,
    zero_copy: true,
    on_disk: true,
    rust_heap: true,
    settings: Settings {
        durable: "Durability::Durable, the default: one fdatasync, shared by all who wait",
        relaxed: "Durability::Buffered, then Store::sync",
        reads: "Store::get_into and get_with, each by itself; every byte from the file is compared with its SHA-256 when it enters the cache",
        other: "background syncs of buffered commits put off (10,000 operations or 10 s), as the peers have none",
    },
    open,
};

struct Blocks(Store);

fn open(opening: &Opening) -> Result<Box<dyn Engine>> {
    let options = OpenOptions::new().create(true).cache_bytes(opening.cache);
    let options = options.flush_operations(10_000).flush_interval(Duration::from_secs(10));
    Ok(Box::new(Blocks(options.open(opening.path("store"))?)))
}

impl Engine for Blocks {
    fn session(&self) -> Result<Box<dyn Session + '_>> {
        Ok(Box::new(self.0.clone()))
    }

    fn close(self: Box<Self>) -> Result<()> {
        Ok(self.0.close()?)
    }

    fn own_syncs(&self) -> Option<u64> {
        self.0.stats().ok().map(|stats| stats.syncs)
    }
}

impl Session for Store {
    fn put(&mut self, key: &[u8], value: &[u8]) -> Result<()> {
        Store::put(self, key, value)?;
        Ok(())
    }

    fn put_relaxed(&mut self, key: &[u8], value: &[u8]) -> Result<()> {
        let options = PutOptions { durability: Some(Durability::Buffered), ..PutOptions::default() };
        self.put_with(key, value, options)?;
        Ok(())
    }

    fn sync(&mut self) -> Result<()> {
        Store::sync(self)?;
        Ok(())
    }

    fn batch(&mut self, changes: &[Change<'_>], durable: bool) -> Result<()> {
        let mut batch = Store::batch(self);
        for change in changes {
            match *change {
                Change::Put(key, value) => batch.put(key, value)?,
                Change::Delete(key) => batch.delete(key)?,
            }
        }
        self.commit_with(batch, if durable { Durability::Durable } else { Durability::Buffered })?;
        Ok(())
    }

    fn delete(&mut self, key: &[u8]) -> Result<()> {
        Store::delete(self, key)?;
        Ok(())
    }

    fn read(&mut self, work: Reading<'_>) -> Result<()> {
        work(self)
    }

    fn stream_in(&mut self, name: u64, length: u64, source: &mut dyn Read) -> Result<()> {
        let mut writer = self.writer(piece_key(name, 0))?;
        let mut piece = vec![0; PIECE];
        let mut left = length;
        while left > 0 {
            let now = left.min(PIECE as u64) as usize;
            source.read_exact(&mut piece[..now])?;
            writer.write_bytes(&piece[..now])?;
            left -= now as u64;
        }
        writer.finish()?;
        Ok(())
    }

    fn stream_out(&mut self, name: u64, _length: u64, sink: &mut dyn FnMut(&[u8])) -> Result<()> {
        use std::io::BufRead as _;
        let mut reader = self.reader(piece_key(name, 0))?.context("the block is gone")?;
        loop {
            let piece = reader.fill_buf()?;
            if piece.is_empty() {
                return Ok(());
            }
            sink(piece);
            let length = piece.len();
            reader.consume(length);
        }
    }

    fn unstream(&mut self, name: u64, _length: u64) -> Result<()> {
        Session::delete(self, &piece_key(name, 0))
    }
}

impl Reader for Store {
    fn get_into(&mut self, key: &[u8], buffer: &mut [u8]) -> Result<Option<usize>> {
        Ok(Store::get_into(self, key, buffer)?)
    }

    fn show(&mut self, key: &[u8], see: &mut dyn FnMut(&[u8])) -> Result<bool> {
        Ok(self.get_with(key, see)?.is_some())
    }

    fn scan(&mut self, span: Span<'_>, visit: Visit<'_>) -> Result<()> {
        let mut walk = match span {
            Span::Forward | Span::Backward => self.iter(),
            Span::Prefix(prefix) => self.prefix(prefix),
            Span::From(key) => self.range(key..),
        };
        let backward = matches!(span, Span::Backward);
        while let Some(item) = if backward { walk.advance_back() } else { walk.advance() } {
            let item = item?;
            if !item.with_value(|value| visit(item.name(), value))? {
                break;
            }
        }
        Ok(())
    }
}

//! fjall, as it is by default and with values kept apart from keys.

use anyhow::Result;
use fjall::{Database, Keyspace, KeyspaceCreateOptions, KvSeparationOptions, PersistMode};

use super::{Change, Engine, Kind, Opening, Reader, Reading, Role, Session, Settings, Span, Visit};

const SETTINGS: Settings = Settings {
    durable: "persist(PersistMode::SyncData) behind each change; for a batch as its durability",
    relaxed: "the default, to the operating system; then persist(PersistMode::SyncData)",
    reads: "Keyspace::get and iterators, each by itself; a value shares its table block's memory",
    other: "LZ4, the default",
};

pub(super) const KIND: Kind = Kind {
    name: "fjall",
    package: Some("fjall"),
    role: Role::Peer,
    zero_copy: true,
    on_disk: true,
    rust_heap: true,
    settings: SETTINGS,
    open: open_plain,
};

pub(super) const SEPARATED: Kind = Kind {
    name: "fjall-kv",
    settings: Settings {
        other: "key-value separation with its defaults (values from 1 KiB); LZ4, the default",
        ..SETTINGS
    },
    open: open_separated,
    ..KIND
};

#[derive(Clone)]
struct Fjall {
    database: Database,
    records: Keyspace,
}

fn open_plain(opening: &Opening) -> Result<Box<dyn Engine>> {
    open(opening, None)
}

fn open_separated(opening: &Opening) -> Result<Box<dyn Engine>> {
    open(opening, Some(KvSeparationOptions::default()))
}

fn open(opening: &Opening, separation: Option<KvSeparationOptions>) -> Result<Box<dyn Engine>> {
    let database = Database::builder(opening.path("fjall")).cache_size(opening.cache as u64).open()?;
    let options = || KeyspaceCreateOptions::default().with_kv_separation(separation.clone());
    let records = database.keyspace("records", options)?;
    Ok(Box::new(Fjall { database, records }))
}

impl Engine for Fjall {
    fn session(&self) -> Result<Box<dyn Session + '_>> {
        Ok(Box::new(self.clone()))
    }

    fn close(self: Box<Self>) -> Result<()> {
        drop(self);
        Ok(())
    }
}

impl Session for Fjall {
    fn put(&mut self, key: &[u8], value: &[u8]) -> Result<()> {
        self.records.insert(key, value)?;
        Ok(self.database.persist(PersistMode::SyncData)?)
    }

    fn put_relaxed(&mut self, key: &[u8], value: &[u8]) -> Result<()> {
        Ok(self.records.insert(key, value)?)
    }

    fn sync(&mut self) -> Result<()> {
        Ok(self.database.persist(PersistMode::SyncData)?)
    }

    fn batch(&mut self, changes: &[Change<'_>], durable: bool) -> Result<()> {
        let mode = if durable { PersistMode::SyncData } else { PersistMode::Buffer };
        let mut batch = self.database.batch().durability(Some(mode));
        for change in changes {
            match *change {
                Change::Put(key, value) => batch.insert(&self.records, key, value),
                Change::Delete(key) => batch.remove(&self.records, key),
            }
        }
        Ok(batch.commit()?)
    }

    fn delete(&mut self, key: &[u8]) -> Result<()> {
        self.records.remove(key)?;
        Ok(self.database.persist(PersistMode::SyncData)?)
    }

    fn read(&mut self, work: Reading<'_>) -> Result<()> {
        work(self)
    }
}

impl Reader for Fjall {
    fn get_into(&mut self, key: &[u8], buffer: &mut [u8]) -> Result<Option<usize>> {
        let Some(value) = self.records.get(key)? else { return Ok(None) };
        buffer[..value.len()].copy_from_slice(&value);
        Ok(Some(value.len()))
    }

    fn show(&mut self, key: &[u8], see: &mut dyn FnMut(&[u8])) -> Result<bool> {
        let found = self.records.get(key)?;
        Ok(found.map(|value| see(&value)).is_some())
    }

    fn scan(&mut self, span: Span<'_>, visit: Visit<'_>) -> Result<()> {
        let mut walk = match span {
            Span::Forward | Span::Backward => self.records.iter(),
            Span::Prefix(prefix) => self.records.prefix(prefix),
            Span::From(from) => self.records.range(from..),
        };
        let backward = matches!(span, Span::Backward);
        while let Some(item) = if backward { walk.next_back() } else { walk.next() } {
            let (key, value) = item.into_inner()?;
            if !visit(&key, &value) {
                break;
            }
        }
        Ok(())
    }
}

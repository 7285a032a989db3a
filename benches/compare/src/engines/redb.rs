//! redb.

use anyhow::Result;
use redb::{
    Database, Durability, ReadOnlyTable, ReadableDatabase as _, ReadableTable as _, TableDefinition,
    WriteTransaction,
};

use super::{Change, Engine, Kind, Opening, Reader, Reading, Role, Session, Settings, Span, Visit};

const TABLE: TableDefinition<'_, &[u8], &[u8]> = TableDefinition::new("records");

pub(super) const KIND: Kind = Kind {
    name: "redb",
    package: Some("redb"),
    role: Role::Peer,
    zero_copy: true,
    on_disk: true,
    rust_heap: true,
    settings: Settings {
        durable: "Durability::Immediate, the default, in one phase with checksums (1PC+C)",
        relaxed: "Durability::None, then an empty commit with Durability::Immediate",
        reads: "one read transaction; AccessGuard::value without a copy",
        other: "quick repair off, the default: opening after a crash reads the whole file",
    },
    open,
};

struct Redb(Database);

fn open(opening: &Opening) -> Result<Box<dyn Engine>> {
    let path = opening.path("redb");
    let fresh = !path.exists();
    let database = Database::builder().set_cache_size(opening.cache).create(path)?;
    if fresh {
        let transaction = database.begin_write()?;
        transaction.open_table(TABLE)?;
        transaction.commit()?;
    }
    Ok(Box::new(Redb(database)))
}

impl Engine for Redb {
    fn session(&self) -> Result<Box<dyn Session + '_>> {
        Ok(Box::new(Writer(&self.0)))
    }

    fn close(self: Box<Self>) -> Result<()> {
        drop(self);
        Ok(())
    }
}

struct Writer<'a>(&'a Database);

impl Writer<'_> {
    fn begin(&self, durable: bool) -> Result<WriteTransaction> {
        let mut transaction = self.0.begin_write()?;
        transaction.set_durability(if durable { Durability::Immediate } else { Durability::None })?;
        Ok(transaction)
    }
}

impl Session for Writer<'_> {
    fn put(&mut self, key: &[u8], value: &[u8]) -> Result<()> {
        self.batch(&[Change::Put(key, value)], true)
    }

    fn put_relaxed(&mut self, key: &[u8], value: &[u8]) -> Result<()> {
        self.batch(&[Change::Put(key, value)], false)
    }

    fn sync(&mut self) -> Result<()> {
        Ok(self.begin(true)?.commit()?)
    }

    fn batch(&mut self, changes: &[Change<'_>], durable: bool) -> Result<()> {
        let transaction = self.begin(durable)?;
        let mut table = transaction.open_table(TABLE)?;
        for change in changes {
            match *change {
                Change::Put(key, value) => drop(table.insert(key, value)?),
                Change::Delete(key) => drop(table.remove(key)?),
            }
        }
        drop(table);
        Ok(transaction.commit()?)
    }

    fn delete(&mut self, key: &[u8]) -> Result<()> {
        self.batch(&[Change::Delete(key)], true)
    }

    fn read(&mut self, work: Reading<'_>) -> Result<()> {
        let transaction = self.0.begin_read()?;
        work(&mut Table(transaction.open_table(TABLE)?))
    }
}

struct Table(ReadOnlyTable<&'static [u8], &'static [u8]>);

impl Reader for Table {
    fn get_into(&mut self, key: &[u8], buffer: &mut [u8]) -> Result<Option<usize>> {
        let Some(found) = self.0.get(key)? else { return Ok(None) };
        let value = found.value();
        buffer[..value.len()].copy_from_slice(value);
        Ok(Some(value.len()))
    }

    fn show(&mut self, key: &[u8], see: &mut dyn FnMut(&[u8])) -> Result<bool> {
        let found = self.0.get(key)?;
        Ok(found.map(|found| see(found.value())).is_some())
    }

    fn scan(&mut self, span: Span<'_>, visit: Visit<'_>) -> Result<()> {
        let mut walk = match span {
            Span::Forward | Span::Backward => self.0.iter()?,
            Span::Prefix(from) | Span::From(from) => self.0.range(from..)?,
        };
        let backward = matches!(span, Span::Backward);
        while let Some(item) = if backward { walk.next_back() } else { walk.next() } {
            let (key, value) = item?;
            if matches!(span, Span::Prefix(prefix) if !key.value().starts_with(prefix)) {
                break;
            }
            if !visit(key.value(), value.value()) {
                break;
            }
        }
        Ok(())
    }
}

//! canopydb.

use anyhow::{Context, Result};
use canopydb::{Database, DbOptions, EnvOptions, Error, Tree, WriteTransaction};

use super::{Change, Engine, Kind, Opening, Reader, Reading, Role, Session, Settings, Span, Visit};

const TREE: &[u8] = b"records";

pub(super) const KIND: Kind = Kind {
    name: "canopydb",
    package: Some("canopydb"),
    role: Role::Peer,
    zero_copy: true,
    on_disk: true,
    rust_heap: true,
    settings: Settings {
        durable: "commit_with(sync: true), through its log",
        relaxed: "commit_with(sync: false), then Database::sync",
        reads: "one read transaction; a value shares its page's memory",
        other: "page checksums off, the default; its checkpoints, every 30 s or 64 MiB, run in the background",
    },
    open,
};

struct Canopy(Database);

fn open(opening: &Opening) -> Result<Box<dyn Engine>> {
    let folder = opening.path("canopydb");
    std::fs::create_dir_all(&folder)?;
    let mut options = EnvOptions::new(folder);
    options.page_cache_size = opening.cache;
    let database = Database::with_options(options, DbOptions::default())?;
    let known = database.begin_read()?.get_tree(TREE)?.is_some();
    if !known {
        let transaction = database.begin_write()?;
        drop(transaction.get_or_create_tree(TREE)?);
        transaction.commit_with(true)?;
    }
    Ok(Box::new(Canopy(database)))
}

impl Engine for Canopy {
    fn session(&self) -> Result<Box<dyn Session + '_>> {
        Ok(Box::new(self))
    }

    fn close(self: Box<Self>) -> Result<()> {
        drop(self);
        Ok(())
    }
}

fn apply(transaction: &WriteTransaction, changes: &[Change<'_>]) -> Result<(), Error> {
    let mut tree = transaction.get_or_create_tree(TREE)?;
    for change in changes {
        match *change {
            Change::Put(key, value) => tree.insert(key, value)?,
            Change::Delete(key) => drop(tree.delete(key)?),
        }
    }
    Ok(())
}

impl Session for &Canopy {
    fn put(&mut self, key: &[u8], value: &[u8]) -> Result<()> {
        self.batch(&[Change::Put(key, value)], true)
    }

    fn put_relaxed(&mut self, key: &[u8], value: &[u8]) -> Result<()> {
        self.batch(&[Change::Put(key, value)], false)
    }

    fn sync(&mut self) -> Result<()> {
        Ok(self.0.sync()?)
    }

    fn batch(&mut self, changes: &[Change<'_>], durable: bool) -> Result<()> {
        let transaction = self.0.begin_write()?;
        apply(&transaction, changes)?;
        transaction.commit_with(durable)?;
        Ok(())
    }

    fn delete(&mut self, key: &[u8]) -> Result<()> {
        self.batch(&[Change::Delete(key)], true)
    }

    fn read(&mut self, work: Reading<'_>) -> Result<()> {
        let transaction = self.0.begin_read()?;
        work(&mut transaction.get_tree(TREE)?.context("the tree is gone")?)
    }
}

impl Reader for Tree<'_> {
    fn get_into(&mut self, key: &[u8], buffer: &mut [u8]) -> Result<Option<usize>> {
        let Some(value) = self.get(key)? else { return Ok(None) };
        buffer[..value.len()].copy_from_slice(&value);
        Ok(Some(value.len()))
    }

    fn show(&mut self, key: &[u8], see: &mut dyn FnMut(&[u8])) -> Result<bool> {
        Ok(self.get(key)?.map(|value| see(&value)).is_some())
    }

    fn scan(&mut self, span: Span<'_>, visit: Visit<'_>) -> Result<()> {
        let mut walk = match span {
            Span::Forward | Span::Backward => self.iter()?,
            Span::Prefix(prefix) => self.prefix(&prefix)?,
            Span::From(from) => self.range(from..)?,
        };
        let backward = matches!(span, Span::Backward);
        while let Some(item) = if backward { walk.next_back() } else { walk.next() } {
            let (key, value) = item?;
            if !visit(&key, &value) {
                break;
            }
        }
        Ok(())
    }
}

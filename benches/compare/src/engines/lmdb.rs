//! LMDB, by heed.

use std::ops::Bound;

use anyhow::{Context as _, Result};
use heed::types::Bytes;
use heed::{CommitOrAbort, Database, Env, EnvFlags, EnvOpenOptions, FlagSetMode, RoTxn, WithTls};

use super::{Change, Engine, Kind, Opening, Reader, Reading, Role, Session, Settings, Span, Visit};

pub(super) const KIND: Kind = Kind {
    name: "lmdb",
    package: Some("heed"),
    role: Role::Peer,
    zero_copy: true,
    on_disk: true,
    rust_heap: false,
    settings: Settings {
        durable: "no flags, the default: fdatasync, then the meta page through O_DSYNC, which counts as a sync",
        relaxed: "MDB_NOSYNC while relaxed commits run, then mdb_env_sync by force; a power cut in between may damage the file, it is documented",
        reads: "one read transaction; values lie in the mapped file",
        other: "no cache of its own: the operating system's; no digests",
    },
    open,
};

struct Lmdb {
    environment: Env<WithTls>,
    database: Database<'static, Bytes, Bytes>,
    /// Whether MDB_NOSYNC is set; LMDB wants one thread at a time to change it.
    relaxed: parking_lot::Mutex<bool>,
}

fn open(opening: &Opening) -> Result<Box<dyn Engine>> {
    let mut options = EnvOpenOptions::new();
    // Address space, not memory.
    options.map_size(64 << 30).max_readers(128);
    // SAFETY: the file is in a folder of ours and nobody else changes it while it is mapped.
    let environment = unsafe { options.open(&opening.folder)? };
    let opened = environment.open_databases_and_commit(environment.read_txn()?, |opener, transaction| {
        opener.open_database(transaction, None).map(CommitOrAbort::<_, ()>::Commit)
    });
    let database = opened?.commit().flatten().context("the unnamed database is always there")?;
    Ok(Box::new(Lmdb { environment, database, relaxed: parking_lot::Mutex::new(false) }))
}

impl Lmdb {
    fn relax(&self, wanted: bool) -> Result<()> {
        let mut relaxed = self.relaxed.lock();
        if *relaxed != wanted {
            let mode = if wanted { FlagSetMode::Enable } else { FlagSetMode::Disable };
            // SAFETY: one thread at a time, under the lock; what a power cut may do is in the settings.
            unsafe { self.environment.set_flags(EnvFlags::NO_SYNC, mode)? };
            *relaxed = wanted;
        }
        Ok(())
    }
}

impl Engine for Lmdb {
    fn session(&self) -> Result<Box<dyn Session + '_>> {
        Ok(Box::new(self))
    }

    fn close(self: Box<Self>) -> Result<()> {
        let closing = self.environment.clone().prepare_for_closing();
        drop(self);
        closing.wait();
        Ok(())
    }
}

impl Session for &Lmdb {
    fn put(&mut self, key: &[u8], value: &[u8]) -> Result<()> {
        self.batch(&[Change::Put(key, value)], true)
    }

    fn put_relaxed(&mut self, key: &[u8], value: &[u8]) -> Result<()> {
        self.batch(&[Change::Put(key, value)], false)
    }

    fn sync(&mut self) -> Result<()> {
        self.relax(false)?;
        Ok(self.environment.force_sync()?)
    }

    fn batch(&mut self, changes: &[Change<'_>], durable: bool) -> Result<()> {
        self.relax(!durable)?;
        let mut transaction = self.environment.write_txn()?;
        for change in changes {
            match *change {
                Change::Put(key, value) => self.database.put(&mut transaction, key, value)?,
                Change::Delete(key) => drop(self.database.delete(&mut transaction, key)?),
            }
        }
        Ok(transaction.commit()?)
    }

    fn delete(&mut self, key: &[u8]) -> Result<()> {
        self.batch(&[Change::Delete(key)], true)
    }

    fn read(&mut self, work: Reading<'_>) -> Result<()> {
        work(&mut Transaction { transaction: self.environment.read_txn()?, database: self.database })
    }
}

struct Transaction<'a> {
    transaction: RoTxn<'a, WithTls>,
    database: Database<'static, Bytes, Bytes>,
}

impl Reader for Transaction<'_> {
    fn get_into(&mut self, key: &[u8], buffer: &mut [u8]) -> Result<Option<usize>> {
        let Some(value) = self.database.get(&self.transaction, key)? else { return Ok(None) };
        buffer[..value.len()].copy_from_slice(value);
        Ok(Some(value.len()))
    }

    fn show(&mut self, key: &[u8], see: &mut dyn FnMut(&[u8])) -> Result<bool> {
        Ok(self.database.get(&self.transaction, key)?.map(see).is_some())
    }

    fn scan(&mut self, span: Span<'_>, visit: Visit<'_>) -> Result<()> {
        fn walk<'t>(
            items: impl Iterator<Item = heed::Result<(&'t [u8], &'t [u8])>>,
            visit: Visit<'_>,
        ) -> Result<()> {
            for item in items {
                let (key, value) = item?;
                if !visit(key, value) {
                    break;
                }
            }
            Ok(())
        }
        let (database, transaction) = (&self.database, &self.transaction);
        match span {
            Span::Forward => walk(database.iter(transaction)?, visit),
            Span::Backward => walk(database.rev_iter(transaction)?, visit),
            Span::Prefix(prefix) => walk(database.prefix_iter(transaction, prefix)?, visit),
            Span::From(from) => {
                let range: (Bound<&[u8]>, Bound<&[u8]>) = (Bound::Included(from), Bound::Unbounded);
                walk(database.range(transaction, &range)?, visit)
            }
        }
    }
}

//! Transactions: optimistic, checked when they commit.

use crate::error::{Error, Result};
use crate::inner::{Inner, Request};
use crate::read;
use crate::view::View;
use blockyard_core::{Durability, Sequence};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Writes of which a transaction has many.
const MANY: usize = 64;

/// Reads as of the moment when it began, writes that only it sees. Commits if no block that it read
/// or wrote was changed meanwhile, else answers [`Error::Conflict`]. Dropped, it leaves nothing.
#[derive(Debug)]
pub struct Transaction {
    inner: Arc<Inner>,
    view: View,
    /// What each block read or written was when the transaction began.
    seen: BTreeMap<Vec<u8>, Option<Sequence>>,
    writes: BTreeMap<Vec<u8>, Option<(Vec<u8>, u64)>>,
}

impl Transaction {
    pub(crate) const fn new(inner: Arc<Inner>, view: View) -> Self {
        Self { inner, view, seen: BTreeMap::new(), writes: BTreeMap::new() }
    }

    /// Reads a block: what this transaction wrote, else what was there when it began.
    ///
    /// # Errors
    /// As [`Store::get`](crate::Store::get).
    pub fn get(&mut self, name: impl AsRef<[u8]>) -> Result<Option<Vec<u8>>> {
        let name = name.as_ref();
        if let Some(written) = self.writes.get(name) {
            return Ok(written.as_ref().map(|(value, _)| value.clone()));
        }
        let located = read::locate(&self.inner.source, &self.view, name)?;
        self.seen.insert(name.to_vec(), located.as_ref().map(read::Located::sequence));
        let read = |located| read::read_vec(&self.inner.source, &self.view, name, &located);
        Ok(located.map(read).transpose()?.map(|(bytes, _)| bytes))
    }

    /// Whether a block exists for this transaction.
    ///
    /// # Errors
    /// As [`get`](Self::get).
    pub fn exists(&mut self, name: impl AsRef<[u8]>) -> Result<bool> {
        let name = name.as_ref();
        match self.writes.get(name) {
            Some(written) => Ok(written.is_some()),
            None => self.look(name).map(|found| found.is_some()),
        }
    }

    /// Notes what a block was when the transaction began.
    fn look(&mut self, name: &[u8]) -> Result<Option<Sequence>> {
        if let Some(seen) = self.seen.get(name) {
            return Ok(*seen);
        }
        let located = read::locate(&self.inner.source, &self.view, name)?;
        let sequence = located.map(|located| located.sequence());
        self.seen.insert(name.to_vec(), sequence);
        Ok(sequence)
    }

    /// Puts a block.
    ///
    /// # Errors
    /// [`Error::NameEmpty`], [`Error::NameTooLong`], [`Error::ValueTooLarge`]; reading the name's old
    /// state may fail.
    pub fn put(&mut self, name: impl AsRef<[u8]>, value: impl AsRef<[u8]>) -> Result<()> {
        self.put_tagged(name, value, 0)
    }

    /// Puts a block with a tag.
    ///
    /// # Errors
    /// As [`put`](Self::put).
    pub fn put_tagged(&mut self, name: impl AsRef<[u8]>, value: impl AsRef<[u8]>, tag: u64) -> Result<()> {
        let (name, value) = (name.as_ref(), value.as_ref());
        self.check(name, value.len() as u64)?;
        self.look(name)?;
        self.writes.insert(name.to_vec(), Some((value.to_vec(), tag)));
        Ok(())
    }

    /// Deletes a block; whether it existed for this transaction.
    ///
    /// # Errors
    /// As [`put`](Self::put).
    pub fn delete(&mut self, name: impl AsRef<[u8]>) -> Result<bool> {
        let name = name.as_ref();
        self.check(name, 0)?;
        let existed = self.exists(name)?;
        self.look(name)?;
        self.writes.insert(name.to_vec(), None);
        Ok(existed)
    }

    fn check(&self, name: &[u8], length: u64) -> Result<()> {
        let max = u64::from(self.inner.geometry.chunk_size());
        if length > max {
            return Err(Error::ValueTooLarge { length, max });
        }
        let mut batch = self.inner.batch();
        let checked = batch.delete(name);
        self.inner.recycle(batch);
        Ok(checked?)
    }

    /// Commits with the store's default durability.
    ///
    /// # Errors
    /// [`Error::Conflict`] if a block it read or wrote was changed since it began: run it again.
    pub fn commit(self) -> Result<Sequence> {
        let durability = self.inner.durability;
        self.commit_with(durability)
    }

    /// Commits with the durability given.
    ///
    /// # Errors
    /// As [`commit`](Self::commit).
    pub fn commit_with(self, durability: Durability) -> Result<Sequence> {
        let many = self.writes.len() >= MANY;
        let mut batch = if many { self.inner.batch_for_many() } else { self.inner.batch() };
        for (name, write) in &self.writes {
            let added = match write {
                Some((value, tag)) => batch.put(name, value, *tag),
                None => batch.delete(name),
            };
            if let Err(error) = added {
                self.inner.recycle(batch);
                return Err(error.into());
            }
        }
        self.inner.run(Request::Guarded(batch, self.seen.into_iter().collect()), durability)
    }

    /// Gives everything up. Dropping does the same.
    pub fn rollback(self) {}
}

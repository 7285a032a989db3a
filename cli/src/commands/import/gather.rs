//! Small files gathered into batches.

use crate::failure::{Failure, Outcome};
use blockyard::{Durability, Error, PutOptions, Store, WriteBatch};

/// Files in a batch at most.
const MAX_FILES: usize = 512;
/// Bytes that a batch holds, above which it is committed.
const MAX_BYTES: usize = 4 << 20;

/// Files that wait to be committed together.
pub(super) struct Gather<'a> {
    store: &'a Store,
    batch: WriteBatch,
}

impl<'a> Gather<'a> {
    /// Nothing gathered.
    pub(super) fn new(store: &'a Store) -> Self {
        Self { store, batch: store.batch() }
    }

    /// Takes a file. An error is this file's own, and leaves the others as they were.
    pub(super) fn add(&mut self, name: &[u8], contents: &[u8]) -> Result<(), Error> {
        match self.batch.put(name, contents) {
            // In a store of very small chunks.
            Err(Error::ValueTooLarge { .. }) => {
                let options = PutOptions { durability: Some(Durability::Buffered), ..PutOptions::default() };
                self.store.put_with(name, contents, options).map(|_| ())
            }
            taken => taken,
        }
    }

    /// Commits what there is once it has become enough.
    pub(super) fn commit_if_full(&mut self) -> Outcome<()> {
        if self.batch.len() >= MAX_FILES || self.batch.bytes() >= MAX_BYTES { self.commit() } else { Ok(()) }
    }

    /// Commits what there is.
    pub(super) fn commit(&mut self) -> Outcome<()> {
        if self.batch.is_empty() {
            return Ok(());
        }
        let batch = std::mem::replace(&mut self.batch, self.store.batch());
        let committed = self.store.commit_with(batch, Durability::Buffered);
        committed.map(|_| ()).map_err(|error| Failure::store("cannot store a batch of files", &error))
    }
}

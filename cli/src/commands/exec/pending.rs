//! Changes of a session that are not committed yet.

use blockyard::{Error, Store, WriteBatch};
use std::collections::BTreeMap;

/// Bytes that a batch may hold.
const MAX_BYTES: usize = 8 << 20;
/// What a change costs beside its name and text.
const CHANGE_BYTES: usize = 128;

/// A batch, and what it would make of the names in it.
pub(super) struct Pending {
    batch: WriteBatch,
    /// The last text of each name; `None` if it is removed.
    texts: BTreeMap<Vec<u8>, Option<Vec<u8>>>,
}

impl Pending {
    /// Nothing pending.
    pub(super) fn new(store: &Store) -> Self {
        Self { batch: store.batch(), texts: BTreeMap::new() }
    }

    /// Whether a change of `name` to `text` would be too much.
    pub(super) fn is_full(&self, name: &[u8], text: Option<&[u8]>) -> bool {
        let taken = self.batch.bytes() + self.batch.len() * CHANGE_BYTES;
        taken + CHANGE_BYTES + name.len() + text.map_or(0, <[u8]>::len) > MAX_BYTES
    }

    /// Adds a change, after which earlier ones of the same name count no more.
    pub(super) fn add(&mut self, name: &[u8], text: Option<&[u8]>) -> Result<(), Error> {
        match text {
            Some(text) => self.batch.put(name, text),
            None => self.batch.delete(name),
        }?;
        self.texts.insert(name.to_vec(), text.map(<[u8]>::to_vec));
        Ok(())
    }

    /// What the batch does to `name`: nothing, remove it, or set it.
    pub(super) fn get(&self, name: &[u8]) -> Option<Option<&[u8]>> {
        self.texts.get(name).map(Option::as_deref)
    }

    /// Takes the batch out, for a commit.
    pub(super) fn take(&mut self, store: &Store) -> WriteBatch {
        self.texts.clear();
        std::mem::replace(&mut self.batch, store.batch())
    }

    /// Number of changes.
    pub(super) fn len(&self) -> usize {
        self.batch.len()
    }
}

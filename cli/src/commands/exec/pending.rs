//! Changes of a session that are not committed yet.

use std::collections::BTreeMap;

/// Bytes of names and texts that may wait for a commit.
const MAX_BYTES: usize = 8 << 20;
/// What a change costs beside its bytes.
const CHANGE_BYTES: usize = 128;

/// The last change of each name; `None` removes it.
#[derive(Debug, Default)]
pub(super) struct Pending {
    changes: BTreeMap<Vec<u8>, Option<Vec<u8>>>,
    bytes: usize,
}

impl Pending {
    /// Adds a change, which takes the place of an earlier one of the same name. False if there is no
    /// room for it.
    pub(super) fn add(&mut self, name: &[u8], text: Option<&[u8]>) -> bool {
        let earlier = self.changes.get(name).map_or(0, |earlier| cost(name, earlier.as_deref()));
        let bytes = self.bytes - earlier + cost(name, text);
        if bytes > MAX_BYTES {
            return false;
        }
        self.bytes = bytes;
        self.changes.insert(name.to_vec(), text.map(<[u8]>::to_vec));
        true
    }

    /// What the batch does to `name`: nothing, remove it, or set it.
    pub(super) fn get(&self, name: &[u8]) -> Option<Option<&[u8]>> {
        self.changes.get(name).map(Option::as_deref)
    }

    /// Takes all changes out.
    pub(super) fn take(&mut self) -> BTreeMap<Vec<u8>, Option<Vec<u8>>> {
        self.bytes = 0;
        std::mem::take(&mut self.changes)
    }

    /// Number of names changed.
    pub(super) fn len(&self) -> usize {
        self.changes.len()
    }
}

fn cost(name: &[u8], text: Option<&[u8]>) -> usize {
    CHANGE_BYTES + name.len() + text.map_or(0, <[u8]>::len)
}

//! Whether the records of the registry stand in the order and in the company that they must. Digests
//! cannot tell: whoever makes a file can give wrong numbers right digests.
//!
//! 1. Keys ascend strictly from leaf to leaf, and none is below a separator on the way to its leaf: what
//!    is listed can be looked up.
//! 2. Behind the head of a block of chunks stand its further chunks, each of its length, and no others;
//!    their digests make up the block's.
//! 3. Of what a node held that could not be read nothing is known: what belongs to it is not told twice.

use crate::bytes;
use crate::digest::{Digest, Hasher};
use crate::tree::{Key, Place, Record};

/// How far a walk through the leaves has come.
pub(super) struct Trail {
    name: [u8; 1024],
    length: usize,
    chunk: u32,
    /// The key is a separator's, which the next one may equal.
    separates: bool,
    list: Option<List>,
    /// A block's head was lost or its list is broken: its chunks have been told.
    broken: bool,
}

/// The chunks of a block that are still to come.
struct List {
    next: u32,
    chunk_size: u64,
    rest: u64,
    digests: Hasher,
    /// What the digests must come to.
    digest: Digest,
}

impl Trail {
    pub(super) fn new() -> Self {
        Self { name: [0; 1024], length: 0, chunk: 0, separates: true, list: None, broken: false }
    }

    /// The last key: a record's, or of a separator behind it.
    pub(super) fn key(&self) -> Key<'_> {
        Key { name: bytes::head(&self.name, self.length), chunk: self.chunk }
    }

    /// Takes a key in; false if it stands before the last one.
    fn take(&mut self, key: Key<'_>, separates: bool) -> bool {
        let last = self.key();
        let ascends = if self.separates { key >= last } else { key > last };
        self.length = bytes::copy_some(&mut self.name, key.name);
        (self.chunk, self.separates) = (key.chunk, separates);
        ascends
    }

    /// Goes down to the child that `key` separates from all before it; false if it does not. Between the
    /// chunks of a block no other name can stand.
    pub(super) fn descend(&mut self, key: Key<'_>, told: &mut dyn FnMut(Option<&[u8]>)) -> bool {
        if key.name != self.key().name {
            self.end(told);
        }
        self.take(key, true)
    }

    /// What follows could not be read.
    pub(super) fn lose(&mut self) {
        self.list = None;
        self.broken = true;
    }

    /// Takes the next record; `told` hears of what is wrong, with the name of the block it is wrong of.
    pub(super) fn record(&mut self, key: Key<'_>, record: &Record<'_>, told: &mut dyn FnMut(Option<&[u8]>)) {
        if key.chunk == 0 || key.name != self.key().name {
            self.end(told);
        }
        if !self.take(key, false) || key.name.is_empty() {
            told(None);
        }
        if key.chunk == 0 {
            self.broken = false;
        }
        match record.place {
            Place::Inline(_) | Place::Extent { .. } if key.chunk == 0 => {}
            Place::Head { digest, chunk_digest, chunk_size, .. } if key.chunk == 0 => {
                let (chunk_size, rest) = (u64::from(chunk_size), record.length);
                let mut list = List { next: 0, chunk_size, rest, digests: Hasher::new(), digest };
                let taken = list.take(0, rest.min(chunk_size), &chunk_digest);
                self.go_on(list, taken, key.name, told);
            }
            Place::Chunk { digest, .. } if key.chunk > 0 => match self.list.take() {
                Some(mut list) => {
                    let taken = list.take(key.chunk, record.length, &digest);
                    self.go_on(list, taken, key.name, told);
                }
                None if self.broken => {}
                None => {
                    self.broken = true;
                    told(Some(key.name));
                }
            },
            _ => told(Some(key.name)),
        }
    }

    /// Keeps a list that is not at its end, and looks at the digest of one that is.
    fn go_on(&mut self, list: List, taken: bool, name: &[u8], told: &mut dyn FnMut(Option<&[u8]>)) {
        if !taken || (list.rest == 0 && list.digests.clone().finish() != list.digest) {
            self.broken = true;
            told(Some(name));
        } else if list.rest > 0 {
            self.list = Some(list);
        }
    }

    /// Nothing more of the last block comes.
    pub(super) fn end(&mut self, told: &mut dyn FnMut(Option<&[u8]>)) {
        if self.list.take().is_some() {
            told(Some(self.key().name));
        }
    }
}

impl List {
    /// Takes the next chunk; false if it is another.
    fn take(&mut self, chunk: u32, length: u64, digest: &Digest) -> bool {
        if chunk != self.next || length == 0 || length != self.rest.min(self.chunk_size) {
            return false;
        }
        self.next += 1;
        self.rest -= length;
        self.digests.update(&digest.0);
        true
    }
}

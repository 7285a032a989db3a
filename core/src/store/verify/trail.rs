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
use crate::tree::{Key, NodeView, Place, Record};

/// How far a walk through the leaves has come. The last name lies in memory that the functions are handed: it is large
/// for a small stack.
pub(super) struct Trail {
    length: usize,
    chunk: u32,
    /// The key is a separator's, which the next one may equal.
    separates: bool,
    /// The list of the last block, if `listed`. It lies here and nowhere else: it is large for a small stack.
    list: List,
    listed: bool,
    /// A block's head was lost or its list is broken: its chunks have been told.
    broken: bool,
    /// A key did not ascend, or there was none where one must be.
    astray: bool,
}

/// The chunks of a block that are still to come.
struct List {
    next: u32,
    chunk_size: u32,
    rest: u64,
    digests: Hasher,
    /// What the digests must come to.
    digest: Digest,
}

impl Trail {
    pub(super) const fn new() -> Self {
        Self {
            length: 0,
            chunk: 0,
            separates: true,
            list: List::NONE,
            listed: false,
            broken: false,
            astray: false,
        }
    }

    /// Begins anew where it lies.
    pub(super) fn begin(&mut self) {
        (self.length, self.chunk, self.separates) = (0, 0, true);
        (self.listed, self.broken, self.astray) = (false, false, false);
    }

    /// A cell has no key that could be followed.
    pub(super) fn stray(&mut self) {
        self.astray = true;
        self.lose();
    }

    /// Whether keys have not always ascended.
    pub(super) const fn is_astray(&self) -> bool {
        self.astray
    }

    /// The name of the last key: a record's, or of a separator behind it.
    pub(super) fn name<'n>(&self, memory: &'n [u8]) -> &'n [u8] {
        bytes::head(memory, self.length)
    }

    /// The chunk of the last key.
    pub(super) const fn chunk(&self) -> u32 {
        self.chunk
    }

    /// Takes a key in; false if it stands before the last one.
    fn take(&mut self, memory: &mut [u8], key: Key<'_>, separates: bool) -> bool {
        let last = Key { name: self.name(memory), chunk: self.chunk };
        let ascends = if self.separates { key >= last } else { key > last };
        self.length = bytes::copy_some(memory, key.name);
        (self.chunk, self.separates) = (key.chunk, separates);
        self.astray |= !ascends;
        ascends
    }

    /// Goes down to the child that `key` separates from all before it; false if it does not. Between the
    /// chunks of a block no other name can stand.
    pub(super) fn descend(
        &mut self,
        memory: &mut [u8],
        key: Key<'_>,
        told: &mut dyn FnMut(Option<&[u8]>),
    ) -> bool {
        if key.name != self.name(memory) {
            self.end(memory, told);
        }
        self.take(memory, key, true)
    }

    /// What follows could not be read.
    pub(super) fn lose(&mut self) {
        self.listed = false;
        self.broken = true;
    }

    /// The last record is to be met again.
    pub(super) fn stay(&mut self) {
        self.separates = true;
    }

    /// The cell of a node of another tree at which to go on: the first one behind the last key, or the child that this falls under.
    pub(super) fn place_in(&self, node: &NodeView<'_>, level: u32, memory: &[u8]) -> usize {
        let last = Key { name: self.name(memory), chunk: self.chunk };
        if level > 0 {
            return node.child_for(last);
        }
        let (at, found) = node.search(last);
        at + usize::from(found && !self.separates)
    }

    /// Takes the next record; `told` hears of what is wrong, with the name of the block it is wrong of.
    pub(super) fn record(
        &mut self,
        memory: &mut [u8],
        key: Key<'_>,
        record: &Record<'_>,
        told: &mut dyn FnMut(Option<&[u8]>),
    ) {
        if key.chunk == 0 || key.name != self.name(memory) {
            self.end(memory, told);
        }
        if !self.take(memory, key, false) || key.name.is_empty() {
            told(None);
        }
        if key.chunk == 0 {
            self.broken = false;
        }
        match record.place {
            Place::Inline(_) | Place::Extent { .. } if key.chunk == 0 => {}
            Place::Head { digest, chunk_digest, chunk_size, .. } if key.chunk == 0 => {
                let rest = record.length;
                self.list.begin(chunk_size, rest, &digest);
                self.listed = true;
                self.go_on(key, rest.min(chunk_size.into()), &chunk_digest, told);
            }
            Place::Chunk { digest, .. } if key.chunk > 0 => {
                self.go_on(key, record.length, &digest, told);
            }
            _ => told(Some(key.name)),
        }
    }

    /// Takes the next chunk of the list; keeps it if it is not at its end, and looks at its digest if it is.
    fn go_on(&mut self, key: Key<'_>, length: u64, digest: &Digest, told: &mut dyn FnMut(Option<&[u8]>)) {
        let well = if self.listed {
            let taken = self.list.take(key.chunk, length, digest);
            if taken && self.list.rest > 0 {
                return;
            }
            taken && self.list.digests.close() == self.list.digest
        } else {
            // It has been told.
            self.broken
        };
        self.listed = false;
        if !well {
            self.broken = true;
            told(Some(key.name));
        }
    }

    /// Nothing more of the last block comes.
    pub(super) fn end(&mut self, memory: &[u8], told: &mut dyn FnMut(Option<&[u8]>)) {
        if self.listed {
            self.listed = false;
            told(Some(self.name(memory)));
        }
    }
}

impl List {
    /// No list.
    const NONE: Self =
        Self { next: 0, chunk_size: 0, rest: 0, digests: Hasher::new(), digest: Digest([0; 32]) };

    /// Begins with the chunks of a block of `rest` bytes.
    fn begin(&mut self, chunk_size: u32, rest: u64, digest: &Digest) {
        (self.next, self.chunk_size, self.rest) = (0, chunk_size, rest);
        self.digests = Hasher::new();
        self.digest = *digest;
    }

    /// Takes the next chunk; false if it is another.
    fn take(&mut self, chunk: u32, length: u64, digest: &Digest) -> bool {
        if chunk != self.next || length == 0 || length != self.rest.min(self.chunk_size.into()) {
            return false;
        }
        self.next += 1;
        self.rest -= length;
        self.digests.update(&digest.0);
        true
    }
}

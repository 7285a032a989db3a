//! A version as a table keeps it, and as readers take it along.

use super::changes::{Change, ChangeKind};
use super::memory::Place;
use super::pieces::Pieces;
use crate::fetch::fetch;
use blockyard_core::overlay::{Entry, Value};
use blockyard_core::{Digest, Sequence};
use std::cmp::Ordering;
use std::num::NonZeroU32;
use std::ops::Range;
use std::sync::Arc;

/// Bytes of a name that lie in its versions and in the leaves that order them.
pub(super) const HEAD: usize = 16;

/// The first bytes of a name as a number that orders as they do.
pub(super) fn head(name: &[u8]) -> u128 {
    let mut bytes = [0; HEAD];
    let length = name.len().min(HEAD);
    bytes[..length].copy_from_slice(&name[..length]);
    u128::from_be_bytes(bytes)
}

/// One version of a name as the table keeps it: its entry without what a table that keeps bodies does not need,
/// and where its name and its body lie. What a look-up asks for lies in the first cache line.
#[derive(Clone, Copy, Debug)]
#[repr(C, align(128))]
pub(super) struct Version {
    head: u128,
    pub(super) sequence: u64,
    place: Place,
    /// The version of this name before this one.
    pub(super) older: Option<Number>,
    base_moved: bool,
    inherited: bool,
    value: Value,
    tag: u64,
    length: u64,
    digest: Digest,
}

const _: () = assert!(size_of::<Version>() == 128, "a table has one for each change");

/// Which version of a table, counted from one.
pub(super) type Number = NonZeroU32;

impl Version {
    pub(super) fn new(name: &[u8], entry: &Entry, place: Place, older: Option<Number>) -> Self {
        Self {
            head: head(name),
            sequence: entry.sequence.0,
            place,
            older,
            base_moved: entry.base_moved,
            inherited: entry.inherited,
            value: entry.value,
            tag: entry.tag,
            length: entry.length,
            digest: entry.digest,
        }
    }

    pub(super) const fn entry(&self) -> Entry {
        Entry {
            sequence: Sequence(self.sequence),
            tag: self.tag,
            length: self.length,
            digest: self.digest,
            value: self.value,
            base_moved: self.base_moved,
            inherited: self.inherited,
        }
    }

    pub(super) const fn head(&self) -> u128 {
        self.head
    }

    pub(super) fn name<'m>(&self, memory: &'m Pieces) -> &'m [u8] {
        self.place.name_in(memory)
    }

    /// How its name compares with another of the same head.
    pub(super) fn order_behind_head(&self, name: &[u8], memory: &Pieces) -> Ordering {
        let length = self.place.name_length as usize;
        // Shorter names are filled up with zeros in their heads, so that of these the shorter begins the longer.
        if length.min(name.len()) <= HEAD {
            length.cmp(&name.len())
        } else {
            self.name(memory)[HEAD..].cmp(&name[HEAD..])
        }
    }

    /// How its name compares with one whose head is `head`.
    pub(super) fn order_to(&self, head: u128, name: &[u8], memory: &Pieces) -> Ordering {
        self.head.cmp(&head).then_with(|| self.order_behind_head(name, memory))
    }

    /// Whether it is one of another version's name.
    pub(super) fn is_beside(&self, other: &Self, memory: &Pieces) -> bool {
        self.head == other.head && self.order_behind_head(other.name(memory), memory).is_eq()
    }

    /// Whether it is one of a name, whose head is `head`.
    pub(super) fn is_of(&self, head: u128, name: &[u8], memory: &Pieces) -> bool {
        self.head == head && self.order_behind_head(name, memory).is_eq()
    }

    /// By name, then the newest version first.
    pub(super) fn order(&self, other: &Self, memory: &Pieces) -> Ordering {
        self.head
            .cmp(&other.head)
            .then_with(|| self.order_behind_head(other.name(memory), memory))
            .then_with(|| other.sequence.cmp(&self.sequence))
    }

    pub(super) fn body<'m>(&self, memory: &'m Pieces) -> &'m [u8] {
        let (piece, range) = self.place.body();
        &memory.piece(piece)[range]
    }

    /// Has the processor fetch what a look-up asks for.
    pub(super) fn fetch_first(&self) {
        fetch(&self.head);
    }

    /// Has the processor fetch its name and the beginning of its body.
    pub(super) fn fetch(&self, memory: &Pieces) {
        self.place.fetch(memory);
    }

    pub(super) fn slot(&self, memory: &Pieces) -> Slot {
        Slot { bytes: Bytes::of(&self.place, memory), entry: self.entry() }
    }

    pub(super) const fn change(&self) -> Change {
        let kind = match self.value {
            Value::Deleted => ChangeKind::Deleted,
            Value::Inline { .. } | Value::Carried { .. } => ChangeKind::Here,
            Value::Extent { .. } | Value::Chunks { .. } => ChangeKind::Elsewhere,
        };
        Change::new(self.place, kind)
    }
}

/// A version's name and body, and what keeps them in memory.
#[derive(Clone, Debug)]
struct Bytes {
    names: Arc<[u8]>,
    place: Place,
    /// What the body lies in, if not in the same memory as the name.
    bodies: Option<Arc<[u8]>>,
}

impl Bytes {
    fn of(place: &Place, memory: &Pieces) -> Self {
        let names = Arc::clone(memory.piece(place.piece));
        Self { names, place: *place, bodies: place.apart.map(|piece| Arc::clone(memory.piece(piece))) }
    }

    fn name(&self) -> &[u8] {
        &self.names[self.place.name()]
    }

    fn body(&self) -> (&Arc<[u8]>, Range<usize>) {
        (self.bodies.as_ref().unwrap_or(&self.names), self.place.body().1)
    }
}

/// One version of a name, for whoever reads it.
#[derive(Clone, Debug)]
pub(crate) struct Slot {
    bytes: Bytes,
    pub(crate) entry: Entry,
}

impl Slot {
    pub(crate) fn name(&self) -> &[u8] {
        self.bytes.name()
    }

    pub(crate) fn body(&self) -> &[u8] {
        let (bytes, range) = self.bytes.body();
        &bytes[range]
    }

    /// The body: the allocation that it lies in, and where.
    pub(crate) fn into_body(self) -> (Arc<[u8]>, Range<usize>) {
        let range = self.bytes.place.body().1;
        (self.bytes.bodies.unwrap_or(self.bytes.names), range)
    }
}

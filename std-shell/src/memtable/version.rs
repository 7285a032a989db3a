//! A version as a table keeps it, and as readers take it along.

use super::memory::{Memory, Place};
use blockyard_core::overlay::{Entry, Value};
use blockyard_core::{Digest, Sequence};
use std::ops::Range;
use std::sync::Arc;

/// One version of a name as the table keeps it: its entry without what a table that keeps bodies does not need,
/// and where its name and its body lie.
#[derive(Clone, Copy, Debug)]
pub(super) struct Version {
    pub(super) sequence: u64,
    tag: u64,
    length: u64,
    value: Value,
    digest: Digest,
    place: Place,
    base_moved: bool,
    inherited: bool,
}

const _: () = assert!(size_of::<Version>() == 112, "a table has one for each change");

impl Version {
    pub(super) const fn new(entry: &Entry, place: Place) -> Self {
        Self {
            sequence: entry.sequence.0,
            tag: entry.tag,
            length: entry.length,
            value: entry.value,
            digest: entry.digest,
            place,
            base_moved: entry.base_moved,
            inherited: entry.inherited,
        }
    }

    pub(super) const fn entry(&self) -> Entry {
        Entry {
            sequence: Sequence(self.sequence),
            tag: self.tag,
            length: self.length,
            digest: self.digest,
            body_digest: Digest([0; 32]),
            value: self.value,
            base_moved: self.base_moved,
            inherited: self.inherited,
        }
    }

    pub(super) const fn name_length(&self) -> usize {
        self.place.name_length as usize
    }

    pub(super) fn name<'m>(&self, memory: &'m Memory) -> &'m [u8] {
        &memory.piece(self.place.piece)[self.place.name()]
    }

    pub(super) fn body<'m>(&self, memory: &'m Memory) -> &'m [u8] {
        match &self.place.apart {
            Some(part) => &memory.piece(part.piece)[part.range()],
            None => &memory.piece(self.place.piece)[self.place.behind_name()],
        }
    }

    pub(super) fn slot(&self, memory: &Memory) -> Slot {
        let bytes = Bytes::of(&self.place, memory);
        Slot { bytes, entry: self.entry() }
    }

    pub(super) fn change(&self, memory: &Memory) -> Change {
        let kind = match self.value {
            Value::Deleted => ChangeKind::Deleted,
            Value::Inline { .. } | Value::Carried { .. } => ChangeKind::Here,
            Value::Extent { .. } | Value::Chunks { .. } => ChangeKind::Elsewhere,
        };
        let apart = self.place.apart.filter(|_| kind == ChangeKind::Here);
        Change { bytes: Bytes::of(&Place { apart, ..self.place }, memory), kind }
    }
}

/// A version's name and body, and what keeps them in memory.
#[derive(Clone, Debug)]
struct Bytes {
    names: Arc<[u8]>,
    name: Range<u32>,
    body: Range<u32>,
    /// What the body lies in, if not in the same memory as the name.
    bodies: Option<Arc<[u8]>>,
}

fn range(part: &Range<u32>) -> Range<usize> {
    part.start as usize..part.end as usize
}

impl Bytes {
    fn of(place: &Place, memory: &Memory) -> Self {
        let names = Arc::clone(memory.piece(place.piece));
        let name = place.name_at..place.name_at + place.name_length;
        let (body, bodies) = match &place.apart {
            Some(part) => (part.at..part.at + part.length, Some(Arc::clone(memory.piece(part.piece)))),
            None => (name.end..name.end + place.behind, None),
        };
        Self { names, name, body, bodies }
    }

    fn name(&self) -> &[u8] {
        &self.names[range(&self.name)]
    }

    fn body(&self) -> (&Arc<[u8]>, Range<usize>) {
        (self.bodies.as_ref().unwrap_or(&self.names), range(&self.body))
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
        let range = range(&self.bytes.body);
        (self.bytes.bodies.unwrap_or(self.bytes.names), range)
    }
}

/// What a walk takes along of a version: less than a slot, of which it may copy many.
#[derive(Clone, Debug)]
pub(crate) struct Change {
    bytes: Bytes,
    pub(crate) kind: ChangeKind,
}

/// Where a version's bytes are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ChangeKind {
    /// Nowhere.
    Deleted,
    /// In memory.
    Here,
    /// In the file.
    Elsewhere,
}

impl Change {
    pub(crate) fn name(&self) -> &[u8] {
        self.bytes.name()
    }

    /// The block's bytes if they are here, and the allocation that they lie in.
    pub(crate) fn here(&self) -> Option<(&Arc<[u8]>, &[u8])> {
        let (bytes, range) = self.bytes.body();
        (self.kind == ChangeKind::Here).then(|| (bytes, &bytes[range]))
    }
}

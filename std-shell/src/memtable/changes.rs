//! What a walk takes along of a table: less than it has, of which it may copy many at once.

use super::memory::Place;
use super::pieces::Pieces;
use std::cmp::Ordering;
use std::sync::Arc;

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

/// One version of a name: where its name and its body lie.
#[derive(Clone, Copy, Debug)]
pub(super) struct Change {
    place: Place,
    kind: ChangeKind,
    /// Whether that is the memory of the second of two tables.
    second: bool,
}

const _: () = assert!(size_of::<Change>() <= 28, "a walk copies many");

impl Change {
    pub(super) const fn new(place: Place, kind: ChangeKind) -> Self {
        Self { place, kind, second: false }
    }
}

/// Changes of a table, or of two, and the memory that they lie in. It stays as long as somebody has it, and no count is
/// raised for each of them.
#[derive(Debug)]
pub(crate) struct Changes {
    list: Vec<Change>,
    memory: Arc<Pieces>,
    second: Option<Arc<Pieces>>,
}

impl Changes {
    pub(super) const fn new(list: Vec<Change>, memory: Arc<Pieces>) -> Self {
        Self { list, memory, second: None }
    }

    pub(crate) const fn len(&self) -> usize {
        self.list.len()
    }

    /// What a change's name and body lie in.
    fn memory(&self, change: &Change) -> &Pieces {
        self.second.as_ref().filter(|_| change.second).unwrap_or(&self.memory)
    }

    /// The name of a change; empty behind the last one.
    pub(crate) fn name(&self, index: usize) -> &[u8] {
        self.list.get(index).map(|change| change.place.name_in(self.memory(change))).unwrap_or_default()
    }

    pub(crate) fn kind(&self, index: usize) -> Option<ChangeKind> {
        self.list.get(index).map(|change| change.kind)
    }

    /// A block's bytes if they are here, and the allocation that they lie in.
    #[inline(never)]
    pub(crate) fn here(&self, index: usize) -> Option<(&Arc<[u8]>, &[u8])> {
        let change = self.list.get(index).filter(|change| change.kind == ChangeKind::Here)?;
        let (piece, range) = change.place.body();
        let piece = self.memory(change).piece(piece);
        Some((piece, &piece[range]))
    }

    /// Has the processor fetch a block's bytes, or the beginning of them, with the name if they lie behind it.
    pub(crate) fn fetch(&self, index: usize) {
        if let Some(change) = self.list.get(index).filter(|change| change.kind == ChangeKind::Here) {
            change.place.fetch(self.memory(change));
        }
    }

    /// The changes of two tables in order, of which the first hides those of its names in the second, as far as both are
    /// known; whether there may be more.
    pub(crate) fn merge(
        forward: bool,
        (first, more_first): (Self, bool),
        (second, more_second): (Self, bool),
    ) -> (Self, bool) {
        let mut list = Vec::with_capacity(first.len() + second.len());
        let (mut a, mut b) = (0, 0);
        loop {
            let order = match (a < first.len(), b < second.len()) {
                // What lies behind the end of either is not known.
                (false, _) if more_first => break,
                (_, false) if more_second => break,
                (true, true) if forward => first.name(a).cmp(second.name(b)),
                (true, true) => second.name(b).cmp(first.name(a)),
                (true, false) => Ordering::Less,
                (false, true) => Ordering::Greater,
                (false, false) => break,
            };
            if order.is_le() {
                list.extend(first.list.get(a));
                a += 1;
            } else {
                list.extend(second.list.get(b).map(|change| Change { second: true, ..*change }));
            }
            b += usize::from(order.is_ge());
        }
        (Self { list, memory: first.memory, second: Some(second.memory) }, more_first || more_second)
    }
}

//! Slots: the caller's storage in which an item waits, and lists that chain them.

use crate::Durability;
use core::task::Waker;

/// The index that ends a list.
const NONE: usize = usize::MAX;

/// Where the item of a slot stands; the table is in the [module's documentation](super).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    Free,
    Queued,
    Taken,
    Reported,
    Done,
    Failed,
}

/// Storage for one submitted item and its reply. A queue is made over as many as its owner
/// provides: an array, a boxed slice, a static.
pub struct Slot<T, R, E> {
    pub(super) stage: Stage,
    /// The submission that occupies the slot, so that an old ticket is told from a new one.
    pub(super) number: u64,
    pub(super) durability: Durability,
    pub(super) item: Option<T>,
    pub(super) outcome: Option<Result<R, E>>,
    pub(super) waker: Option<Waker>,
    /// Nobody will ask for the reply.
    pub(super) abandoned: bool,
    /// Nobody blocks on the reply: a flusher has to lead.
    pub(super) unattended: bool,
    next: usize,
}

impl<T, R, E> Slot<T, R, E> {
    /// An empty slot.
    pub const fn new() -> Self {
        Self {
            stage: Stage::Free,
            number: 0,
            durability: Durability::Buffered,
            item: None,
            outcome: None,
            waker: None,
            abandoned: false,
            unattended: false,
            next: NONE,
        }
    }

    pub(super) fn queued(number: u64, durability: Durability, item: T) -> Self {
        Self { stage: Stage::Queued, number, durability, item: Some(item), ..Self::new() }
    }
}

impl<T, R, E> Default for Slot<T, R, E> {
    fn default() -> Self {
        Self::new()
    }
}

/// A first-in, first-out chain of slots. A slot is in one list at most.
pub(super) struct List {
    first: usize,
    last: usize,
    len: usize,
}

impl List {
    pub(super) const fn new() -> Self {
        Self { first: NONE, last: NONE, len: 0 }
    }

    pub(super) fn len(&self) -> usize {
        self.len
    }

    pub(super) fn first(&self) -> Option<usize> {
        (self.len > 0).then_some(self.first)
    }

    pub(super) fn push<T, R, E>(&mut self, slots: &mut [Slot<T, R, E>], index: usize) {
        slots[index].next = NONE;
        match self.len {
            0 => self.first = index,
            _ => slots[self.last].next = index,
        }
        self.last = index;
        self.len += 1;
    }

    pub(super) fn pop<T, R, E>(&mut self, slots: &mut [Slot<T, R, E>]) -> Option<usize> {
        let index = self.first()?;
        self.first = slots[index].next;
        self.len -= 1;
        Some(index)
    }

    /// The slots of the list, from the first to the last.
    pub(super) fn iter<'a, T, R, E>(
        &self,
        slots: &'a [Slot<T, R, E>],
    ) -> impl Iterator<Item = &'a Slot<T, R, E>> + use<'a, T, R, E> {
        let mut index = self.first;
        (0..self.len).map(move |_| {
            let slot = &slots[index];
            index = slot.next;
            slot
        })
    }
}

//! The overlay: changes that are committed but not yet folded into the registry.
//!
//! The engine asks for little, so that a microcontroller can keep [`FixedOverlay`] in a few
//! kilobytes and the std shell a versioned, concurrently readable table behind the same trait.
//!
//! 1. Entries go into the *active* layer. [`Overlay::freeze`] turns it into the *frozen* layer,
//!    which a checkpoint folds into the tree while new entries fill a new active layer.
//! 2. A name's newest entry is the active layer's, else the frozen layer's, else the tree's.
//! 3. Entries are inserted only after their journal record was written, and for a single durable
//!    commit only after the sync that covers it; a shell that groups commits hides them until then.

#[cfg(feature = "alloc")]
mod map;
#[cfg(feature = "alloc")]
mod pins;

use crate::digest::Digest;
use crate::ids::{Extent, PageIndex, Sequence};
use core::any::Any;
#[cfg(feature = "alloc")]
pub use map::MapOverlay;
#[cfg(feature = "alloc")]
pub use pins::{Generation, Pins};

/// The newest change of one name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The commit that made it.
    pub sequence: Sequence,
    /// The user's tag.
    pub tag: u64,
    /// Length of the block in bytes.
    pub length: u64,
    /// SHA-256 of the block, of a block of chunks: of its chunks' digests; zero for an inline
    /// block and a deletion. If the overlay does not keep bodies, of an inline block and of a block of chunks: of the body,
    /// which is then the chunk list.
    pub digest: Digest,
    /// Where the block is.
    pub value: Value,
    /// The pages of the name's record in the layers below now belong to another name, so folding
    /// this entry must not free them.
    pub base_moved: bool,
    /// The pages were another name's in the layers below (a rename): before this entry gives way, a
    /// checkpoint must make them this name's.
    pub inherited: bool,
}

/// Where the bytes of a block are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Value {
    /// The name was deleted.
    Deleted,
    /// Among the operations of a journal record; a checkpoint puts them into the registry.
    Inline {
        /// Logical journal position of the bytes.
        at: u64,
    },
    /// In the data section of a journal record; a checkpoint writes them to their pages.
    Carried {
        /// Logical journal position of the bytes.
        at: u64,
        /// First of the pages set aside for them.
        page: PageIndex,
    },
    /// In one extent.
    Extent {
        /// First page.
        page: PageIndex,
    },
    /// In several chunks, listed in the journal as [`ChunkRef`](crate::format::ChunkRef)s.
    Chunks {
        /// Logical journal position of the list.
        at: u64,
        /// Bytes of each chunk but the last.
        chunk_size: u32,
    },
}

/// Root of a registry tree.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TreeRoot {
    /// The last commit in this tree.
    pub sequence: Sequence,
    /// Page of the root node.
    pub page: PageIndex,
    /// Digest of the root node's page.
    pub digest: Digest,
    /// Levels; 0 when the tree is empty.
    pub height: u32,
}

/// The overlay cannot take another entry: a checkpoint makes room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OverlayFull;

/// The buffers of a batch, as [`GrowBytes::owner`](crate::batch::GrowBytes::owner) gives them.
#[derive(Clone, Copy, Default)]
pub struct Lent<'a> {
    /// Changes in the batch.
    pub changes: usize,
    /// Bytes of values in `data`, without what is between them.
    pub carried: u64,
    /// Holds names, inline blocks and chunk lists.
    pub meta: Option<&'a dyn Any>,
    /// Holds carried blocks.
    pub data: Option<&'a dyn Any>,
}

/// Storage of committed changes that are not yet folded in.
pub trait Overlay {
    /// Whether [`with_body`](Self::with_body) gives back what [`insert`](Self::insert) was given.
    const KEEPS_BODIES: bool;

    /// Whether `entries` more entries certainly fit into the active layer.
    fn has_room(&self, entries: usize) -> bool;

    /// The longest name that it can hold, in bytes.
    fn max_name(&self) -> usize {
        usize::MAX
    }

    /// Puts the newest entry of `name` into the active layer. `body` holds the bytes of an inline
    /// or carried block, or the chunk list; an overlay that keeps them spares reads of the journal.
    ///
    /// # Errors
    /// [`OverlayFull`]; nothing was changed.
    fn insert(&mut self, name: &[u8], entry: &Entry, body: &[u8]) -> Result<(), OverlayFull>;

    /// What is inserted from here on, until the next call, lies in these buffers: an overlay that
    /// knows them can share them instead of copying names and bodies.
    fn lend(&mut self, lent: Lent<'_>) {
        let _ = lent;
    }

    /// The batch that is inserted from here on, until the next call of [`lend`](Self::lend), changes these names, all under
    /// this number: an overlay that keeps something by name beside its entries can see to all of it at once.
    fn announce<'n>(&mut self, sequence: Sequence, names: impl Iterator<Item = &'n [u8]>) {
        let _ = (sequence, names);
    }

    /// The newest entry of `name` in the active layer.
    fn active(&self, name: &[u8]) -> Option<Entry>;

    /// The newest entry of `name` in the frozen layer.
    fn frozen(&self, name: &[u8]) -> Option<Entry>;

    /// Turns the active layer into the frozen one, which must be empty.
    fn freeze(&mut self);

    /// Copies the least frozen name above `after` (all names when None) into `name` and returns
    /// its length and newest entry.
    fn next_frozen(&self, after: Option<&[u8]>, name: &mut [u8]) -> Option<(usize, Entry)>;

    /// The least name above `after` in either layer, with its newest entry.
    fn next(&self, after: Option<&[u8]>, name: &mut [u8]) -> Option<(usize, Entry)>;

    /// Number of frozen names.
    fn frozen_len(&self) -> usize;

    /// Calls `use_body` with the body that `insert` was given for this entry of `name`, if it was
    /// kept, and returns whether it was. Looks in both layers.
    fn with_body(&self, name: &[u8], entry: &Entry, use_body: &mut dyn FnMut(&[u8])) -> bool;

    /// The frozen layer is folded into the tree `root`, durably: it may go.
    fn folded(&mut self, root: TreeRoot);

    /// Forgets the frozen layer, of whose entries no reader was told.
    fn discard_frozen(&mut self);

    /// No view newer than the current one refers to `extent`: it may be reused once no reader is
    /// left that sees an older one and the next checkpoint is durable.
    fn retire(&mut self, extent: Extent) {
        let _ = extent;
    }

    /// The first part of `run` that a reader may still see although the free map calls it free.
    fn pinned(&self, run: Extent) -> Option<Extent> {
        let _ = run;
        None
    }
}

/// An overlay that is somebody else's: in a static, say, instead of in the store.
impl<O: Overlay + ?Sized> Overlay for &mut O {
    const KEEPS_BODIES: bool = O::KEEPS_BODIES;

    fn has_room(&self, entries: usize) -> bool {
        (**self).has_room(entries)
    }
    fn max_name(&self) -> usize {
        (**self).max_name()
    }
    fn insert(&mut self, name: &[u8], entry: &Entry, body: &[u8]) -> Result<(), OverlayFull> {
        (**self).insert(name, entry, body)
    }
    fn lend(&mut self, lent: Lent<'_>) {
        (**self).lend(lent);
    }
    fn announce<'n>(&mut self, sequence: Sequence, names: impl Iterator<Item = &'n [u8]>) {
        (**self).announce(sequence, names);
    }
    fn active(&self, name: &[u8]) -> Option<Entry> {
        (**self).active(name)
    }
    fn frozen(&self, name: &[u8]) -> Option<Entry> {
        (**self).frozen(name)
    }
    fn freeze(&mut self) {
        (**self).freeze();
    }
    fn next_frozen(&self, after: Option<&[u8]>, name: &mut [u8]) -> Option<(usize, Entry)> {
        (**self).next_frozen(after, name)
    }
    fn next(&self, after: Option<&[u8]>, name: &mut [u8]) -> Option<(usize, Entry)> {
        (**self).next(after, name)
    }
    fn frozen_len(&self) -> usize {
        (**self).frozen_len()
    }
    fn with_body(&self, name: &[u8], entry: &Entry, use_body: &mut dyn FnMut(&[u8])) -> bool {
        (**self).with_body(name, entry, use_body)
    }
    fn folded(&mut self, root: TreeRoot) {
        (**self).folded(root);
    }
    fn discard_frozen(&mut self) {
        (**self).discard_frozen();
    }
    fn retire(&mut self, extent: Extent) {
        (**self).retire(extent);
    }
    fn pinned(&self, run: Extent) -> Option<Extent> {
        (**self).pinned(run)
    }
}

/// An overlay of at most `N` changes, some hundreds, for they are looked through one by one, with names of at most `NAME` bytes in fixed memory. Bodies are
/// not kept: they are read back from the journal, verified. Its `N * (NAME + 76)` bytes, if `NAME` is a multiple of 4, hold
/// both layers.
#[derive(Clone, Debug)]
pub struct FixedOverlay<const N: usize, const NAME: usize> {
    slots: heapless::Vec<FixedSlot<NAME>, N>,
}

/// A name and its entry, in its parts: with alignment for numbers of 64 bits, and a value as an enum, it would have 20 bytes more.
#[derive(Clone, Copy, Debug)]
struct FixedSlot<const NAME: usize> {
    parts: Parts,
    name: [u8; NAME],
    name_length: u16,
    kind: Kind,
    /// [`FROZEN`], [`BASE_MOVED`] and [`INHERITED`].
    marks: u8,
}

const FROZEN: u8 = 1;
const BASE_MOVED: u8 = 2;
const INHERITED: u8 = 4;

/// The numbers of an entry.
#[derive(Clone, Copy, Debug)]
#[repr(Rust, packed(4))]
struct Parts {
    sequence: Sequence,
    tag: u64,
    length: u64,
    /// The journal position of the bytes or the list, if the value has one.
    at: u64,
    /// The first page, or the bytes of each chunk but the last.
    place: u64,
    digest: Digest,
}

/// Which [`Value`] it is.
#[derive(Clone, Copy, Debug)]
enum Kind {
    Deleted,
    Inline,
    Carried,
    Extent,
    Chunks,
}

impl<const NAME: usize> FixedSlot<NAME> {
    /// A slot of the active layer; None if the name is too long.
    fn new(name: &[u8], entry: &Entry) -> Option<Self> {
        let mut own = [0; NAME];
        crate::bytes::copy(own.get_mut(..name.len())?, name)?;
        let (kind, at, place) = match entry.value {
            Value::Deleted => (Kind::Deleted, 0, 0),
            Value::Inline { at } => (Kind::Inline, at, 0),
            Value::Carried { at, page } => (Kind::Carried, at, page.0),
            Value::Extent { page } => (Kind::Extent, 0, page.0),
            Value::Chunks { at, chunk_size } => (Kind::Chunks, at, chunk_size.into()),
        };
        let Entry { sequence, tag, length, digest, base_moved, inherited, .. } = *entry;
        let parts = Parts { sequence, tag, length, at, place, digest };
        let marks = if base_moved { BASE_MOVED } else { 0 } | if inherited { INHERITED } else { 0 };
        Some(Self { parts, name: own, name_length: name.len() as u16, kind, marks })
    }

    fn name(&self) -> &[u8] {
        crate::bytes::head(&self.name, self.name_length.into())
    }

    const fn is_frozen(&self) -> bool {
        self.marks & FROZEN > 0
    }

    #[cfg_attr(not(feature = "alloc"), inline(never))]
    const fn entry(&self) -> Entry {
        let Parts { sequence, tag, length, at, place, digest } = self.parts;
        let value = match self.kind {
            Kind::Deleted => Value::Deleted,
            Kind::Inline => Value::Inline { at },
            Kind::Carried => Value::Carried { at, page: PageIndex(place) },
            Kind::Extent => Value::Extent { page: PageIndex(place) },
            Kind::Chunks => Value::Chunks { at, chunk_size: place as u32 },
        };
        let (base_moved, inherited) = (self.marks & BASE_MOVED > 0, self.marks & INHERITED > 0);
        Entry { sequence, tag, length, digest, value, base_moved, inherited }
    }
}

impl<const N: usize, const NAME: usize> Default for FixedOverlay<N, NAME> {
    fn default() -> Self {
        Self::new()
    }
}

impl<const N: usize, const NAME: usize> FixedOverlay<N, NAME> {
    /// An empty overlay.
    #[must_use]
    pub const fn new() -> Self {
        Self { slots: heapless::Vec::new() }
    }

    /// Forgets everything, for the next store that is opened over it.
    pub fn clear(&mut self) {
        self.slots.clear();
    }

    /// Position of (name, layer) in the slots.
    fn find(&self, name: &[u8], frozen: bool) -> Option<usize> {
        self.slots.iter().position(|slot| slot.is_frozen() == frozen && slot.name() == name)
    }

    /// The newest entry of the least name above `after`, of the frozen ones only if so asked.
    #[cfg_attr(not(feature = "alloc"), inline(never))]
    fn least(&self, after: Option<&[u8]>, frozen: bool, name: &mut [u8]) -> Option<(usize, Entry)> {
        let mut least: Option<&FixedSlot<NAME>> = None;
        for slot in &self.slots {
            let counts = (!frozen || slot.is_frozen()) && after.is_none_or(|after| slot.name() > after);
            let key = |slot: &FixedSlot<NAME>| slot.is_frozen();
            if counts && least.is_none_or(|least| (slot.name(), key(slot)) < (least.name(), key(least))) {
                least = Some(slot);
            }
        }
        let slot = least?;
        let own = slot.name();
        crate::bytes::copy(name.get_mut(..own.len())?, own)?;
        Some((own.len(), slot.entry()))
    }
}

impl<const N: usize, const NAME: usize> Overlay for FixedOverlay<N, NAME> {
    const KEEPS_BODIES: bool = false;

    fn has_room(&self, entries: usize) -> bool {
        N - self.slots.len() >= entries
    }

    fn max_name(&self) -> usize {
        NAME
    }

    // Kept out of what calls it: a slot is much for a small stack.
    #[inline(never)]
    fn insert(&mut self, name: &[u8], entry: &Entry, _body: &[u8]) -> Result<(), OverlayFull> {
        let slot = FixedSlot::new(name, entry).ok_or(OverlayFull)?;
        match self.find(name, false).and_then(|at| self.slots.get_mut(at)) {
            Some(found) => *found = slot,
            None => self.slots.push(slot).map_err(|_| OverlayFull)?,
        }
        Ok(())
    }

    fn active(&self, name: &[u8]) -> Option<Entry> {
        self.find(name, false).and_then(|at| self.slots.get(at)).map(FixedSlot::entry)
    }

    fn frozen(&self, name: &[u8]) -> Option<Entry> {
        self.find(name, true).and_then(|at| self.slots.get(at)).map(FixedSlot::entry)
    }

    fn freeze(&mut self) {
        debug_assert!(self.slots.iter().all(|slot| !slot.is_frozen()), "the frozen layer must be empty");
        self.slots.iter_mut().for_each(|slot| slot.marks |= FROZEN);
    }

    fn next_frozen(&self, after: Option<&[u8]>, name: &mut [u8]) -> Option<(usize, Entry)> {
        self.least(after, true, name)
    }

    fn next(&self, after: Option<&[u8]>, name: &mut [u8]) -> Option<(usize, Entry)> {
        self.least(after, false, name)
    }

    fn frozen_len(&self) -> usize {
        self.slots.iter().filter(|slot| slot.is_frozen()).count()
    }

    fn with_body(&self, _name: &[u8], _entry: &Entry, _use_body: &mut dyn FnMut(&[u8])) -> bool {
        false
    }

    fn folded(&mut self, _root: TreeRoot) {
        self.discard_frozen();
    }

    fn discard_frozen(&mut self) {
        self.slots.retain(|slot| !slot.is_frozen());
    }
}

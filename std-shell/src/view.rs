//! What readers see: immutable layers, the published sequence, and the pages that old readers pin.
//!
//! 1. A reader takes the published sequence first and the layers after it, and sees commit
//!    `max(published, root's)`: the layers hold every version up to it.
//! 2. The layers are replaced only when a checkpoint begins or ends; a reader keeps the ones it
//!    took, with the root they name, for as long as it likes.
//! 3. An extent that a checkpoint frees is handed out again only when no layers older than that
//!    checkpoint are held by anybody ([`Pins`]).

use crate::memtable::{Memtable, Slot, Spare};
use arc_swap::ArcSwap;
use blockyard_core::overlay::{Entry, Overlay, OverlayFull, Pins, TreeRoot};
use blockyard_core::{Extent, Sequence};
use std::cell::RefCell;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};

/// Everything a reader needs besides a sequence.
#[derive(Debug)]
pub(crate) struct Layers {
    active: Arc<Memtable>,
    frozen: Option<Arc<Memtable>>,
    pub(crate) root: TreeRoot,
    /// Held by whoever holds layers of this root.
    generation: Arc<()>,
}

/// The state that readers share.
#[derive(Debug)]
pub(crate) struct Shared {
    layers: ArcSwap<Layers>,
    published: AtomicU64,
}

impl Shared {
    pub(crate) fn new() -> Arc<Self> {
        let layers = Layers {
            active: Arc::default(),
            frozen: None,
            root: TreeRoot::default(),
            generation: Arc::default(),
        };
        Arc::new(Self { layers: ArcSwap::from_pointee(layers), published: AtomicU64::new(0) })
    }

    /// Makes all commits up to `sequence` visible.
    pub(crate) fn publish(&self, sequence: Sequence) {
        self.published.fetch_max(sequence.0, Ordering::Release);
    }

    /// Starts from the root that a file was opened with.
    pub(crate) fn start(&self, root: TreeRoot, sequence: Sequence) {
        let old = self.layers.load_full();
        self.layers.store(Arc::new(Layers {
            active: Arc::clone(&old.active),
            frozen: old.frozen.clone(),
            root,
            generation: Arc::clone(&old.generation),
        }));
        self.published.store(sequence.0, Ordering::Release);
    }

    /// The newest view.
    pub(crate) fn view(&self) -> View {
        let published = self.published.load(Ordering::Acquire);
        let layers = self.layers.load_full();
        let sequence = published.max(layers.root.sequence.0);
        View { layers, sequence }
    }

    /// Everything committed so far, published or not: for whoever holds the engine.
    pub(crate) fn newest(&self) -> View {
        View { layers: self.layers.load_full(), sequence: u64::MAX }
    }

    /// Number of changes in both layers.
    pub(crate) fn pending(&self) -> usize {
        let layers = self.layers.load();
        layers.active.len() + layers.frozen.as_ref().map_or(0, |frozen| frozen.len())
    }
}

/// A state of the store, for as long as it is held.
#[derive(Clone, Debug)]
pub(crate) struct View {
    pub(crate) layers: Arc<Layers>,
    pub(crate) sequence: u64,
}

impl View {
    /// The newest visible change of `name` that is not in the tree.
    pub(crate) fn pending(&self, name: &[u8]) -> Option<Slot> {
        self.layers
            .active
            .get(name, self.sequence)
            .or_else(|| self.layers.frozen.as_ref().and_then(|frozen| frozen.get(name, self.sequence)))
    }

    /// The nearest change behind `after` in name order.
    pub(crate) fn next_pending(&self, after: Option<&[u8]>, inclusive: bool) -> Option<Slot> {
        let active = self.layers.active.next(after, inclusive, self.sequence);
        let frozen = self.layers.frozen.as_ref().and_then(|f| f.next(after, inclusive, self.sequence));
        match (active, frozen) {
            (Some(a), Some(f)) => Some(if f.name() < a.name() { f } else { a }),
            (a, f) => a.or(f),
        }
    }

    /// The nearest change in front of `before` in name order.
    pub(crate) fn previous_pending(&self, before: Option<&[u8]>) -> Option<Slot> {
        let active = self.layers.active.previous(before, self.sequence);
        let frozen = self.layers.frozen.as_ref().and_then(|f| f.previous(before, self.sequence));
        match (active, frozen) {
            (Some(a), Some(f)) => Some(if f.name() > a.name() { f } else { a }),
            (a, f) => a.or(f),
        }
    }

    /// Whether nothing is pending, so that the tree alone answers.
    pub(crate) fn is_folded(&self) -> bool {
        self.layers.active.is_empty() && self.layers.frozen.as_ref().is_none_or(|frozen| frozen.is_empty())
    }
}

/// The engine's overlay over the layers that readers see.
#[derive(Debug)]
pub(crate) struct Layered {
    shared: Arc<Shared>,
    active: Arc<Memtable>,
    frozen: Option<Arc<Memtable>>,
    /// Memory of the table that was folded in last.
    spare: Spare,
    pins: RefCell<Pins<Weak<()>>>,
}

impl Layered {
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        let active = Arc::clone(&shared.layers.load().active);
        Self { shared, active, frozen: None, spare: Spare::default(), pins: RefCell::default() }
    }

    /// Shows new layers; `root` is given when a checkpoint has ended.
    fn replace(&self, root: Option<TreeRoot>) {
        let old = self.shared.layers.load_full();
        let generation = if root.is_some() { Arc::default() } else { Arc::clone(&old.generation) };
        self.shared.layers.store(Arc::new(Layers {
            active: Arc::clone(&self.active),
            frozen: self.frozen.clone(),
            root: root.unwrap_or(old.root),
            generation,
        }));
    }
}

impl Overlay for Layered {
    const KEEPS_BODIES: bool = true;

    fn has_room(&self, _entries: usize) -> bool {
        true
    }

    fn insert(&mut self, name: &[u8], entry: &Entry, body: &[u8]) -> Result<(), OverlayFull> {
        self.active.insert(name, entry, body);
        Ok(())
    }

    fn active(&self, name: &[u8]) -> Option<Entry> {
        self.active.entry(name, u64::MAX)
    }

    fn frozen(&self, name: &[u8]) -> Option<Entry> {
        self.frozen.as_ref()?.entry(name, u64::MAX)
    }

    fn freeze(&mut self) {
        debug_assert!(self.frozen.is_none(), "the frozen layer must be empty");
        let fresh = Arc::new(Memtable::reusing(std::mem::take(&mut self.spare)));
        self.frozen = Some(std::mem::replace(&mut self.active, fresh));
        self.pins.get_mut().begin();
        self.replace(None);
    }

    fn next_frozen(&self, after: Option<&[u8]>, name: &mut [u8]) -> Option<(usize, Entry)> {
        let slot = self.frozen.as_ref()?.next(after, false, u64::MAX)?;
        name.get_mut(..slot.name_length)?.copy_from_slice(slot.name());
        Some((slot.name_length, slot.entry))
    }

    fn next(&self, after: Option<&[u8]>, name: &mut [u8]) -> Option<(usize, Entry)> {
        let slot = self.shared.newest().next_pending(after, false)?;
        name.get_mut(..slot.name_length)?.copy_from_slice(slot.name());
        Some((slot.name_length, slot.entry))
    }

    fn frozen_len(&self) -> usize {
        self.frozen.as_ref().map_or(0, |frozen| frozen.len())
    }

    fn with_body(&self, name: &[u8], entry: &Entry, use_body: &mut dyn FnMut(&[u8])) -> bool {
        let layers = [Some(&self.active), self.frozen.as_ref()];
        layers.into_iter().flatten().any(|layer| {
            let mut found = false;
            layer.with_slot(name, entry.sequence.0, |slot| {
                if slot.entry.sequence == entry.sequence {
                    use_body(slot.body());
                    found = true;
                }
            });
            found
        })
    }

    fn folded(&mut self, root: TreeRoot) {
        let folded = self.frozen.take();
        let old = self.shared.layers.load_full();
        self.replace(Some(root));
        let ended = Arc::downgrade(&old.generation);
        drop(old);
        // Unless a reader still looks at it.
        if let Some(table) = folded.and_then(Arc::into_inner) {
            self.spare = table.into_spare();
        }
        // Only the readers hold it now.
        self.pins.get_mut().turn(ended);
    }

    fn discard_frozen(&mut self) {
        self.frozen = None;
        self.replace(None);
    }

    fn retire(&mut self, extent: Extent) {
        self.pins.get_mut().retire(extent);
    }

    fn pinned(&self, run: Extent) -> Option<Extent> {
        self.pins.borrow_mut().find(run)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use blockyard_core::overlay::Value;
    use blockyard_core::{Digest, PageIndex};

    fn entry(sequence: u64, page: u64) -> Entry {
        Entry {
            sequence: Sequence(sequence),
            tag: 0,
            length: 4096,
            digest: Digest::default(),
            body_digest: Digest::default(),
            value: Value::Extent { page: PageIndex(page) },
            base_moved: false,
            inherited: false,
        }
    }

    fn root(sequence: u64) -> TreeRoot {
        TreeRoot { sequence: Sequence(sequence), ..TreeRoot::default() }
    }

    /// Pages of a commit that was overwritten while a checkpoint was under way were pinned for the
    /// readers of the generation that the checkpoint ended, and not for those of the one it began: a
    /// reader that had taken the published sequence before the overwrite and the layers after the
    /// checkpoint saw the block, and lost its pages to somebody else one checkpoint later.
    #[test]
    fn what_is_overwritten_during_a_checkpoint_stays_pinned_for_readers_of_the_next() {
        let shared = Shared::new();
        let mut layered = Layered::new(Arc::clone(&shared));
        layered.freeze();
        layered.insert(b"name", &entry(2, 100), &[]).expect("room");
        shared.publish(Sequence(2));
        let published = shared.published.load(Ordering::Acquire);
        layered.retire(Extent::new(PageIndex(100), 1));
        layered.insert(b"name", &entry(3, 200), &[]).expect("room");
        layered.folded(root(1));
        let late = View { layers: shared.layers.load_full(), sequence: published };
        shared.publish(Sequence(3));
        let seen = late.pending(b"name").expect("the reader sees the block");
        assert_eq!(seen.entry.value, Value::Extent { page: PageIndex(100) });
        layered.freeze();
        layered.folded(root(3));
        let run = Extent::new(PageIndex(90), 20);
        assert!(layered.pinned(run).is_some(), "the reader's page would be handed out");
        drop(late);
        assert_eq!(layered.pinned(run), None);
    }

    /// Runs that lie across each other, as a commit that failed leaves them, hid pinned pages from a
    /// search that took their ends for sorted.
    #[test]
    fn runs_across_each_other_pin_all_their_pages() {
        let shared = Shared::new();
        let mut layered = Layered::new(Arc::clone(&shared));
        let reader = shared.view();
        layered.freeze();
        for (start, pages) in [(100, 10), (105, 2), (120, 1), (300, 1)] {
            layered.retire(Extent::new(PageIndex(start), pages));
        }
        layered.folded(root(1));
        for page in 100..110 {
            assert!(layered.pinned(Extent::new(PageIndex(page), 1)).is_some(), "page {page}");
        }
        assert_eq!(layered.pinned(Extent::new(PageIndex(110), 10)), None);
        drop(reader);
    }
}

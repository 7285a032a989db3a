//! What readers see: immutable layers, the published sequence, and the pages that old readers pin.
//!
//! 1. A reader takes the published sequence first and the layers after it, and sees commit
//!    `max(published, root's)`: the layers hold every version up to it.
//! 2. The layers are replaced only when a checkpoint begins or ends; a reader keeps the ones it
//!    took, with the root they name, for as long as it likes.
//! 3. An extent that a checkpoint frees is handed out again only when no layers older than that
//!    checkpoint are held by anybody ([`Pins`]).
//! 4. The published sequence is never below that of a root that readers can see, so that a reader may go by
//!    either: no read goes back behind an earlier one.

use crate::buffer::{Buffer, Pool};
use crate::cache::Link;
use crate::memtable::{self, Changes, Cursor, Memtable, Portion, Slot, Spare};
use crate::names::Names;
use arc_swap::ArcSwap;
use blockyard_core::overlay::{Entry, Lent, Overlay, OverlayFull, Pins, TreeRoot};
use blockyard_core::{Extent, Sequence};
use std::any::Any;
use std::cell::RefCell;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};

/// Changes of a batch from which on a table shares its memory: a batch of fewer is copied, so that its buffers
/// serve the next commit.
const WORTH_LENDING: usize = 8;

/// Everything a reader needs besides a sequence.
#[derive(Debug)]
pub(crate) struct Layers {
    active: Arc<Memtable>,
    frozen: Option<Arc<Memtable>>,
    pub(crate) root: TreeRoot,
    /// Where the cache had the root.
    pub(crate) top: Link,
    /// Held by whoever holds layers of this root.
    generation: Arc<()>,
}

/// The state that readers share.
#[derive(Debug)]
pub(crate) struct Shared {
    layers: ArcSwap<Layers>,
    published: AtomicU64,
    /// What was read lately.
    pub(crate) names: Names,
}

impl Shared {
    /// For a store whose cache has so many bytes.
    pub(crate) fn new(cache_bytes: usize) -> Arc<Self> {
        let layers = Layers {
            active: Arc::default(),
            frozen: None,
            root: TreeRoot::default(),
            top: Link::default(),
            generation: Arc::default(),
        };
        Arc::new(Self {
            layers: ArcSwap::from_pointee(layers),
            published: AtomicU64::new(0),
            names: Names::new(cache_bytes),
        })
    }

    /// The last commit that readers see.
    pub(crate) fn published(&self) -> u64 {
        self.published.load(Ordering::Acquire)
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
            top: Link::default(),
            generation: Arc::clone(&old.generation),
        }));
        self.published.store(sequence.0, Ordering::Release);
    }

    /// The newest view.
    pub(crate) fn view(&self) -> View {
        let published = self.published();
        let layers = self.layers.load_full();
        let sequence = published.max(layers.root.sequence.0);
        View { layers, sequence }
    }

    /// Everything committed so far, published or not: for whoever holds the engine.
    pub(crate) fn newest(&self) -> View {
        View { layers: self.layers.load_full(), sequence: u64::MAX }
    }

    /// Puts the changes that were committed so far in order, which whoever freezes them would do otherwise, while commits
    /// wait.
    pub(crate) fn put_in_order(&self) {
        self.layers.load_full().active.put_in_order();
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

    /// A portion of the changes, of each table; whether there may be more.
    pub(crate) fn copy_pending(&self, portion: Portion<'_>) -> (Changes, bool) {
        let first = self.layers.active.copy(self.sequence, portion);
        match &self.layers.frozen {
            Some(table) if !table.is_empty() => {
                Changes::merge(portion.forward, first, table.copy(self.sequence, portion))
            }
            _ => first,
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
    /// How far a checkpoint is in the frozen table.
    cursor: Cursor,
    /// Memory of the table that was folded in last.
    spare: Spare,
    /// Where the memory of batches goes that tables share.
    pool: Arc<Pool>,
    /// Memory of the batch at hand that the active table has taken in.
    lent: Option<memtable::Lent>,
    /// Whether the batch's names were announced.
    announced: bool,
    pins: RefCell<Pins<Weak<()>>>,
}

impl Layered {
    pub(crate) fn new(shared: Arc<Shared>, pool: Arc<Pool>) -> Self {
        let active = Arc::clone(&shared.layers.load().active);
        Self {
            shared,
            active,
            frozen: None,
            cursor: Cursor::default(),
            spare: Spare::default(),
            pool,
            lent: None,
            announced: false,
            pins: RefCell::default(),
        }
    }

    /// Shows new layers; `root` is given when a checkpoint has ended.
    fn replace(&self, root: Option<TreeRoot>) {
        let old = self.shared.layers.load_full();
        let generation = if root.is_some() { Arc::default() } else { Arc::clone(&old.generation) };
        let root = root.unwrap_or(old.root);
        // The layers that are shown now hold the same.
        self.shared.publish(root.sequence);
        let top = Link::default();
        if root == old.root {
            top.set(old.top.get());
        }
        self.shared.layers.store(Arc::new(Layers {
            active: Arc::clone(&self.active),
            frozen: self.frozen.clone(),
            root,
            top,
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
        if !self.announced {
            self.shared.names.changed(name, entry.sequence.0);
        }
        self.active.insert(name, entry, body, self.lent);
        Ok(())
    }

    fn announce<'n>(&mut self, sequence: Sequence, names: impl Iterator<Item = &'n [u8]>) {
        // One after the other, without a lock between: the processor then waits for the marks' memory once and not each time.
        names.for_each(|name| self.shared.names.changed(name, sequence.0));
        self.announced = true;
    }

    fn lend(&mut self, lent: Lent<'_>) {
        let buffer = |owner: Option<&'_ dyn Any>| {
            let buffer = owner?.downcast_ref::<Buffer>()?;
            Some((Arc::clone(buffer.share()?), buffer.as_ref().len() as u64))
        };
        (self.lent, self.announced) = (None, false);
        if lent.changes < WORTH_LENDING {
            return;
        }
        if let Some((names, _)) = buffer(lent.meta) {
            // Not what is mostly between the values.
            let bodies = buffer(lent.data).filter(|(_, bytes)| 4 * lent.carried >= 3 * bytes && *bytes > 0);
            self.lent = Some(self.active.borrow(&names, bodies.as_ref().map(|(bodies, _)| bodies)));
        }
    }

    fn active(&self, name: &[u8]) -> Option<Entry> {
        self.active.entry(name)
    }

    fn frozen(&self, name: &[u8]) -> Option<Entry> {
        self.frozen.as_ref()?.entry(name)
    }

    fn freeze(&mut self) {
        debug_assert!(self.frozen.is_none(), "the frozen layer must be empty");
        (self.lent, self.announced) = (None, false);
        let fresh = Arc::new(Memtable::reusing(std::mem::take(&mut self.spare), &self.pool));
        self.frozen = Some(std::mem::replace(&mut self.active, fresh));
        self.cursor.reset();
        self.pins.get_mut().begin();
        self.replace(None);
    }

    fn next_frozen(&self, after: Option<&[u8]>, name: &mut [u8]) -> Option<(usize, Entry)> {
        let look = |found: &[u8], entry| {
            name.get_mut(..found.len())?.copy_from_slice(found);
            Some((found.len(), entry))
        };
        self.frozen.as_ref()?.next_at(&self.cursor, after, look)?
    }

    fn next(&self, after: Option<&[u8]>, name: &mut [u8]) -> Option<(usize, Entry)> {
        let slot = self.shared.newest().next_pending(after, false)?;
        name.get_mut(..slot.name().len())?.copy_from_slice(slot.name());
        Some((slot.name().len(), slot.entry))
    }

    fn frozen_len(&self) -> usize {
        self.frozen.as_ref().map_or(0, |frozen| frozen.len())
    }

    fn with_body(&self, name: &[u8], entry: &Entry, use_body: &mut dyn FnMut(&[u8])) -> bool {
        // A checkpoint asks for what is frozen.
        let sequence = entry.sequence.0;
        let is_frozen =
            |table: &Arc<Memtable>| table.with_body_at(&self.cursor, name, sequence, &mut *use_body);
        self.frozen.as_ref().is_some_and(is_frozen) || self.active.with_body(name, sequence, use_body)
    }

    fn folded(&mut self, root: TreeRoot) {
        let folded = self.frozen.take();
        let old = self.shared.layers.load_full();
        self.replace(Some(root));
        let ended = Arc::downgrade(&old.generation);
        drop(old);
        // Unless a reader still looks at it.
        if let Some(table) = folded.and_then(Arc::into_inner) {
            self.spare = table.into_spare(&self.pool);
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
        let shared = Shared::new(0);
        let mut layered = Layered::new(Arc::clone(&shared), Arc::default());
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
        let shared = Shared::new(0);
        let mut layered = Layered::new(Arc::clone(&shared), Arc::default());
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

//! What a reader sees: the layers of pending changes, the registry's root, and a sequence.
//!
//! 1. A table keeps every version that was committed since the last checkpoint, so that a snapshot at
//!    sequence S finds the newest one that is not above S.
//! 2. The layers are replaced only when a checkpoint begins or ends; whoever holds the old ones keeps
//!    seeing them, with the root they belong to.
//! 3. An extent that a checkpoint frees is not handed out again while a snapshot from before that
//!    checkpoint is held ([`Pins`]).

use blockyard_core::overlay::{Entry, Generation, Overlay, OverlayFull, Pins, TreeRoot, Value};
use blockyard_core::{Extent, Sequence};
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::ops::Bound;
use std::rc::{Rc, Weak};

/// One version of a name.
#[derive(Clone, Debug)]
pub(crate) struct Slot {
    pub(crate) entry: Entry,
    pub(crate) body: Rc<[u8]>,
}

/// The versions of each name, the oldest first.
#[derive(Debug, Default)]
pub(crate) struct Table(RefCell<BTreeMap<Vec<u8>, Vec<Slot>>>);

fn visible(versions: &[Slot], sequence: u64) -> Option<&Slot> {
    versions.iter().rev().find(|slot| slot.entry.sequence.0 <= sequence)
}

impl Table {
    fn get(&self, name: &[u8], sequence: u64) -> Option<Slot> {
        self.0.borrow().get(name).and_then(|versions| visible(versions, sequence)).cloned()
    }

    fn insert(&self, name: &[u8], slot: Slot, keep_older: bool) {
        let mut table = self.0.borrow_mut();
        let Some(versions) = table.get_mut(name) else {
            table.insert(name.to_vec(), vec![slot]);
            return;
        };
        // The last change of a batch wins.
        let same = versions.last().is_some_and(|last| last.entry.sequence >= slot.entry.sequence);
        if !keep_older {
            versions.clear();
        } else if same {
            versions.pop();
        }
        versions.push(slot);
    }

    fn nearest(
        &self,
        bounds: (Bound<&[u8]>, Bound<&[u8]>),
        forward: bool,
        sequence: u64,
    ) -> Option<(Vec<u8>, Slot)> {
        if is_empty(bounds) {
            return None;
        }
        let table = self.0.borrow();
        let mut range = table.range::<[u8], _>(bounds);
        loop {
            let (name, versions) = if forward { range.next() } else { range.next_back() }?;
            if let Some(slot) = visible(versions, sequence) {
                return Some((name.clone(), slot.clone()));
            }
        }
    }

    fn len(&self) -> usize {
        self.0.borrow().len()
    }
}

/// Bounds that a map would refuse, or that hold nothing.
fn is_empty(bounds: (Bound<&[u8]>, Bound<&[u8]>)) -> bool {
    match bounds {
        (Bound::Included(low), Bound::Included(high)) => low > high,
        (Bound::Included(low) | Bound::Excluded(low), Bound::Excluded(high) | Bound::Included(high)) => {
            low >= high
        }
        _ => false,
    }
}

/// The tables and the root that belong together.
#[derive(Debug, Default)]
pub(crate) struct Layers {
    active: Rc<Table>,
    frozen: Option<Rc<Table>>,
    pub(crate) root: TreeRoot,
    /// Held by whoever holds layers of this root.
    generation: Rc<()>,
}

/// A state of the store, for as long as it is held.
#[derive(Clone, Debug)]
pub(crate) struct View {
    pub(crate) layers: Rc<Layers>,
    pub(crate) sequence: u64,
}

impl View {
    /// The newest visible change of `name` that is not in the registry.
    pub(crate) fn pending(&self, name: &[u8]) -> Option<Slot> {
        let active = self.layers.active.get(name, self.sequence);
        active.or_else(|| self.layers.frozen.as_ref()?.get(name, self.sequence))
    }

    /// The first pending change within the bounds, from the front or from the back.
    pub(crate) fn nearest(
        &self,
        bounds: (Bound<&[u8]>, Bound<&[u8]>),
        forward: bool,
    ) -> Option<(Vec<u8>, Slot)> {
        let active = self.layers.active.nearest(bounds, forward, self.sequence);
        let frozen = self.layers.frozen.as_ref().and_then(|it| it.nearest(bounds, forward, self.sequence));
        match (active, frozen) {
            (Some(a), Some(f)) if a.0 != f.0 && (f.0 < a.0) == forward => Some(f),
            (a, f) => a.or(f),
        }
    }
}

/// The newest layers, shared by the engine's overlay and the readers.
#[derive(Clone, Debug, Default)]
pub(crate) struct Shared(Rc<RefCell<Rc<Layers>>>);

impl Shared {
    /// Everything committed.
    pub(crate) fn newest(&self) -> View {
        self.at(Sequence(u64::MAX))
    }

    /// Everything committed up to `sequence`, which is the newest.
    pub(crate) fn at(&self, sequence: Sequence) -> View {
        View { layers: Rc::clone(&self.0.borrow()), sequence: sequence.0 }
    }

    /// Starts from the root that a file was opened with.
    pub(crate) fn start(&self, root: TreeRoot) {
        let layers = Rc::clone(&self.0.borrow());
        self.show(&layers.active, layers.frozen.as_ref(), root, &layers.generation);
    }

    fn show(&self, active: &Rc<Table>, frozen: Option<&Rc<Table>>, root: TreeRoot, generation: &Rc<()>) {
        let (active, frozen, generation) = (Rc::clone(active), frozen.cloned(), Rc::clone(generation));
        *self.0.borrow_mut() = Rc::new(Layers { active, frozen, root, generation });
    }
}

/// A generation that a checkpoint has ended.
#[derive(Debug)]
struct Ended(Weak<()>);

impl Generation for Ended {
    fn holders(&self) -> usize {
        self.0.strong_count()
    }
}

/// The engine's overlay over the layers that readers see.
#[derive(Debug)]
pub(crate) struct Layered {
    shared: Shared,
    active: Rc<Table>,
    frozen: Option<Rc<Table>>,
    pins: RefCell<Pins<Ended>>,
}

impl Layered {
    pub(crate) fn new(shared: Shared) -> Self {
        let active = Rc::clone(&shared.0.borrow().active);
        Self { shared, active, frozen: None, pins: RefCell::default() }
    }

    fn replace(&self, root: Option<TreeRoot>) {
        let old = Rc::clone(&self.shared.0.borrow());
        let generation = if root.is_some() { Rc::default() } else { Rc::clone(&old.generation) };
        self.shared.show(&self.active, self.frozen.as_ref(), root.unwrap_or(old.root), &generation);
    }
}

impl Overlay for Layered {
    const KEEPS_BODIES: bool = true;

    fn has_room(&self, _entries: usize) -> bool {
        true
    }

    fn insert(&mut self, name: &[u8], entry: &Entry, body: &[u8]) -> Result<(), OverlayFull> {
        // Without a snapshot the layers are held by whoever shares them alone, and the table by them and
        // the overlay.
        let keep_older = Rc::strong_count(&self.shared.0.borrow()) > 1 || Rc::strong_count(&self.active) > 2;
        self.active.insert(name, Slot { entry: *entry, body: Rc::from(body) }, keep_older);
        Ok(())
    }

    fn active(&self, name: &[u8]) -> Option<Entry> {
        self.active.get(name, u64::MAX).map(|slot| slot.entry)
    }

    fn frozen(&self, name: &[u8]) -> Option<Entry> {
        self.frozen.as_ref()?.get(name, u64::MAX).map(|slot| slot.entry)
    }

    fn freeze(&mut self) {
        debug_assert!(self.frozen.is_none(), "the frozen layer must be empty");
        self.frozen = Some(std::mem::take(&mut self.active));
        self.pins.get_mut().begin();
        self.replace(None);
    }

    fn next_frozen(&self, after: Option<&[u8]>, name: &mut [u8]) -> Option<(usize, Entry)> {
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        let found = self.frozen.as_ref()?.nearest((from, Bound::Unbounded), true, u64::MAX);
        hand_out(found, name)
    }

    fn next(&self, after: Option<&[u8]>, name: &mut [u8]) -> Option<(usize, Entry)> {
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        hand_out(self.shared.newest().nearest((from, Bound::Unbounded), true), name)
    }

    fn frozen_len(&self) -> usize {
        self.frozen.as_ref().map_or(0, |table| table.len())
    }

    fn with_body(&self, name: &[u8], entry: &Entry, use_body: &mut dyn FnMut(&[u8])) -> bool {
        if matches!(entry.value, Value::Deleted | Value::Extent { .. }) {
            return false;
        }
        let layers = [Some(&self.active), self.frozen.as_ref()].into_iter().flatten();
        let found = layers.filter_map(|table| table.get(name, entry.sequence.0));
        match { found }.find(|slot| slot.entry.sequence == entry.sequence) {
            Some(slot) => {
                use_body(&slot.body);
                true
            }
            None => false,
        }
    }

    fn folded(&mut self, root: TreeRoot) {
        self.frozen = None;
        let ended = Rc::downgrade(&self.shared.0.borrow().generation);
        self.replace(Some(root));
        self.pins.get_mut().turn(Ended(ended));
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

fn hand_out(found: Option<(Vec<u8>, Slot)>, name: &mut [u8]) -> Option<(usize, Entry)> {
    let (found, slot) = found?;
    name.get_mut(..found.len())?.copy_from_slice(&found);
    Some((found.len(), slot.entry))
}

//! An overlay on the heap.

use super::{Entry, Overlay, OverlayFull, TreeRoot, Value};
use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use core::ops::Bound;

/// An overlay without a limit, on the heap, for one thread: bodies are kept, so that nothing pending
/// is read back from the journal.
#[derive(Clone, Debug, Default)]
pub struct MapOverlay {
    active: Layer,
    frozen: Layer,
}

type Layer = BTreeMap<Vec<u8>, Kept>;

#[derive(Clone, Debug)]
struct Kept {
    entry: Entry,
    body: Vec<u8>,
}

/// The least name above `after` in `layer`.
fn above<'l>(layer: &'l Layer, after: Option<&[u8]>) -> Option<(&'l [u8], &'l Kept)> {
    let from = after.map_or(Bound::Unbounded, Bound::Excluded);
    layer.range::<[u8], _>((from, Bound::Unbounded)).next().map(|(name, kept)| (name.as_slice(), kept))
}

fn hand_out(found: Option<(&[u8], &Kept)>, into: &mut [u8]) -> Option<(usize, Entry)> {
    let (name, kept) = found?;
    into.get_mut(..name.len())?.copy_from_slice(name);
    Some((name.len(), kept.entry))
}

impl MapOverlay {
    /// An empty overlay.
    #[must_use]
    pub const fn new() -> Self {
        Self { active: BTreeMap::new(), frozen: BTreeMap::new() }
    }
}

impl Overlay for MapOverlay {
    const KEEPS_BODIES: bool = true;

    fn has_room(&self, _entries: usize) -> bool {
        true
    }

    fn insert(&mut self, name: &[u8], entry: &Entry, body: &[u8]) -> Result<(), OverlayFull> {
        let kept = Kept { entry: *entry, body: body.to_vec() };
        match self.active.get_mut(name) {
            Some(slot) => *slot = kept,
            None => drop(self.active.insert(name.to_vec(), kept)),
        }
        Ok(())
    }

    fn active(&self, name: &[u8]) -> Option<Entry> {
        self.active.get(name).map(|kept| kept.entry)
    }

    fn frozen(&self, name: &[u8]) -> Option<Entry> {
        self.frozen.get(name).map(|kept| kept.entry)
    }

    fn freeze(&mut self) {
        debug_assert!(self.frozen.is_empty(), "the frozen layer must be empty");
        self.frozen = core::mem::take(&mut self.active);
    }

    fn next_frozen(&self, after: Option<&[u8]>, name: &mut [u8]) -> Option<(usize, Entry)> {
        hand_out(above(&self.frozen, after), name)
    }

    fn next(&self, after: Option<&[u8]>, name: &mut [u8]) -> Option<(usize, Entry)> {
        let (active, frozen) = (above(&self.active, after), above(&self.frozen, after));
        let newest = match (active, frozen) {
            (Some(active), Some(frozen)) if frozen.0 < active.0 => Some(frozen),
            (Some(active), _) => Some(active),
            (None, frozen) => frozen,
        };
        hand_out(newest, name)
    }

    fn frozen_len(&self) -> usize {
        self.frozen.len()
    }

    fn with_body(&self, name: &[u8], entry: &Entry, use_body: &mut dyn FnMut(&[u8])) -> bool {
        if matches!(entry.value, Value::Deleted | Value::Extent { .. }) {
            return false;
        }
        let layers = [&self.active, &self.frozen];
        let kept = layers.into_iter().filter_map(|layer| layer.get(name)).find(|kept| kept.entry == *entry);
        if let Some(kept) = kept {
            use_body(&kept.body);
        }
        kept.is_some()
    }

    fn folded(&mut self, _root: TreeRoot) {
        self.discard_frozen();
    }

    fn discard_frozen(&mut self) {
        self.frozen.clear();
    }
}

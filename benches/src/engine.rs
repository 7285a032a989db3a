//! The engine alone, on a device in memory: no file, no thread, no cache.

use blockyard::Durability;
use blockyard::core::device::VecDevice;
use blockyard::core::overlay::{Entry, MapOverlay, Overlay, OverlayFull, TreeRoot};
use blockyard::core::store::{CreateOptions, Memory, OpenOptions};
use blockyard::core::{Batch, Geometry, Store};

use crate::rows::name;

/// The engine's batch on the heap.
pub type HeapBatch = Batch<Vec<u8>, Vec<u8>>;

/// The engine in memory.
pub type MemoryEngine<O> = Store<VecDevice, O, Vec<u8>>;

const DEVICE_LIMIT: u64 = 8 << 30;
const UNIT: u32 = 512;

/// Sizes of a new file.
#[derive(Clone, Copy, Debug)]
pub struct Sizes {
    /// Bytes of a page.
    pub page: u32,
    /// Bytes of the journal.
    pub journal: u64,
}

impl Default for Sizes {
    /// As the library has them.
    fn default() -> Self {
        Self { page: 4096, journal: 8 << 20 }
    }
}

fn options(page: u32) -> OpenOptions {
    OpenOptions { growth: (10 << 20) / u64::from(page), ..OpenOptions::new(Memory::LARGE) }
}

/// A new, empty store.
///
/// # Panics
/// If it cannot be made.
pub fn create<O: Overlay>(overlay: O, sizes: Sizes) -> MemoryEngine<O> {
    let create = CreateOptions {
        page_size: sizes.page,
        journal_length: sizes.journal,
        chunk_size: (1 << 20).min(64 * sizes.page),
        file_id: [7; 16],
    };
    let buffer = vec![0; Memory::LARGE.bytes(sizes.page as usize)];
    Store::create(VecDevice::new(UNIT, DEVICE_LIMIT), overlay, buffer, &create, &options(sizes.page))
        .expect("a new store in memory")
}

/// Opens what a device holds.
///
/// # Panics
/// If it cannot be opened.
#[must_use]
pub fn open(device: VecDevice, page: u32) -> MemoryEngine<MapOverlay> {
    let buffer = vec![0; Memory::LARGE.bytes(page as usize)];
    let opened = Store::open(device, MapOverlay::new(), buffer, &options(page));
    opened.expect("what was written opens").0
}

/// An empty batch.
#[must_use]
pub fn batch(geometry: &Geometry) -> HeapBatch {
    Batch::new(geometry, Vec::new(), Vec::new())
}

/// A batch that puts a value of `length` bytes under each of these numbers.
///
/// # Panics
/// If it does not fit.
#[must_use]
pub fn puts(geometry: &Geometry, numbers: impl IntoIterator<Item = u64>, length: usize) -> HeapBatch {
    let mut batch = batch(geometry);
    let mut random = fastrand::Rng::with_seed(1);
    let mut value = vec![0; length];
    for number in numbers {
        random.fill(&mut value);
        batch.put(name(number).as_bytes(), &value, 0).expect("a batch on the heap has room");
    }
    batch
}

/// A store that holds `records` blocks of `length` bytes each, all folded in.
///
/// # Panics
/// If it cannot be filled.
#[must_use]
pub fn filled(records: u64, length: usize, sizes: Sizes) -> MemoryEngine<MapOverlay> {
    let mut store = create(MapOverlay::new(), sizes);
    let a_batch = ((1 << 20) / (length as u64 + 64)).clamp(1, 10_000);
    let mut done = 0;
    while done < records {
        let now = a_batch.min(records - done);
        let batch = puts(store.geometry(), done..done + now, length);
        commit(&mut store, batch);
        done += now;
        if store.wants_checkpoint() {
            store.checkpoint().expect("a checkpoint in memory");
        }
    }
    store.checkpoint().expect("a checkpoint in memory");
    store
}

/// Commits one batch, buffered.
///
/// # Panics
/// If that fails.
pub fn commit<O: Overlay>(store: &mut MemoryEngine<O>, batch: HeapBatch) {
    store.commit(&mut [batch], Durability::Buffered).expect("a commit in memory");
}

/// An overlay that keeps nothing: what a commit costs without it. What was committed cannot be read, and a
/// checkpoint finds nothing to fold in.
#[derive(Clone, Copy, Debug, Default)]
pub struct Forgetful;

impl Overlay for Forgetful {
    const KEEPS_BODIES: bool = true;

    fn has_room(&self, _entries: usize) -> bool {
        true
    }
    fn insert(&mut self, _name: &[u8], _entry: &Entry, _body: &[u8]) -> Result<(), OverlayFull> {
        Ok(())
    }
    fn active(&self, _name: &[u8]) -> Option<Entry> {
        None
    }
    fn frozen(&self, _name: &[u8]) -> Option<Entry> {
        None
    }
    fn freeze(&mut self) {}
    fn next_frozen(&self, _after: Option<&[u8]>, _name: &mut [u8]) -> Option<(usize, Entry)> {
        None
    }
    fn next(&self, _after: Option<&[u8]>, _name: &mut [u8]) -> Option<(usize, Entry)> {
        None
    }
    fn frozen_len(&self) -> usize {
        0
    }
    fn with_body(&self, _name: &[u8], _entry: &Entry, _use: &mut dyn FnMut(&[u8])) -> bool {
        false
    }
    fn folded(&mut self, _root: TreeRoot) {}
    fn discard_frozen(&mut self) {}
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_filled_store_opens_again_with_all_its_blocks() {
        let sizes = Sizes { page: 512, journal: 64 << 10 };
        let store = filled(300, 100, sizes);
        assert!(store.root().height > 1 && store.pending() == 0);
        let mut store = open(store.into_device(), sizes.page);
        let mut value = [0; 128];
        for number in 0..300 {
            let found = store.get(name(number).as_bytes(), &mut value).expect("a read in memory");
            assert_eq!(found, Some(100), "block {number}");
        }
    }
}

//! More than 100 GB in one file, on a device that keeps the small writes only.

use crate::support::*;
use blockyard_core::Durability::{Buffered, Durable};
use blockyard_core::device::{BlockDevice, MemoryError};
use blockyard_core::format::ChunkRef;
use blockyard_core::store::{Counters, Memory};
use blockyard_core::{Digest, Store};
use std::collections::BTreeMap;

const PAGE: usize = 4096;
/// Writes from this length on are the bytes of chunks: dropped, and read back as zeros.
const DROPPED: usize = 256 << 10;
const CHUNK: usize = 1 << 20;
const SHAPE: Shape = Shape {
    page_size: PAGE as u32,
    journal_pages: 64,
    chunk_pages: (CHUNK / PAGE) as u32,
    memory: Memory { levels: 10, map_pages: 40, staging: 32 << 10 },
    growth: 256 << 20 >> 12,
    groups_ahead: 1,
    carry_max: 8 << 10,
};

/// A device whose pages exist once something small was written to them. Superblock copies are units of
/// a page, as everything else is.
#[derive(Debug, Default)]
struct Sparse {
    pages: BTreeMap<u64, [u8; PAGE]>,
    length: u64,
    dropped: u64,
}

impl BlockDevice for Sparse {
    type Error = MemoryError;

    fn read(&mut self, offset: u64, buf: &mut [u8]) -> Result<(), MemoryError> {
        if offset + buf.len() as u64 > self.length {
            return Err(MemoryError::OutOfRange { offset, length: buf.len() as u64 });
        }
        for (page, piece) in (offset / PAGE as u64..).zip(buf.chunks_mut(PAGE)) {
            match self.pages.get(&page) {
                Some(bytes) => piece.copy_from_slice(&bytes[..piece.len()]),
                None => piece.fill(0),
            }
        }
        Ok(())
    }

    fn write(&mut self, offset: u64, data: &[u8]) -> Result<(), MemoryError> {
        assert!(offset + data.len() as u64 <= self.length, "a write inside the device");
        assert_eq!((offset % PAGE as u64, data.len() % PAGE), (0, 0), "whole pages");
        if data.len() >= DROPPED {
            self.dropped += data.len() as u64;
            let pages = offset / PAGE as u64..(offset + data.len() as u64) / PAGE as u64;
            let stale: Vec<u64> = self.pages.range(pages).map(|(&page, _)| page).collect();
            for page in stale {
                self.pages.remove(&page);
            }
            return Ok(());
        }
        for (page, piece) in (offset / PAGE as u64..).zip(data.chunks(PAGE)) {
            let mut bytes = [0; PAGE];
            bytes.copy_from_slice(piece);
            self.pages.insert(page, bytes);
        }
        Ok(())
    }

    fn sync(&mut self) -> Result<(), MemoryError> {
        Ok(())
    }

    fn length(&mut self) -> Result<u64, MemoryError> {
        Ok(self.length)
    }

    fn grow(&mut self, length: u64) -> Result<(), MemoryError> {
        self.length = self.length.max(length);
        Ok(())
    }

    fn atomic_unit(&self) -> u32 {
        PAGE as u32
    }
}

type SparseStore = Store<Sparse, Heap, Vec<u8>>;

/// Puts a block of `chunks` chunks of zeros.
fn put_large(store: &mut SparseStore, name: &[u8], chunks: u32, zeros: &[u8], digest: Digest) {
    store.begin_staged();
    let mut list: Vec<ChunkRef> = Vec::new();
    for _ in 0..chunks {
        list.push(store.write_chunk(zeros, digest).unwrap().to_ref());
    }
    let mut batch = batch(store.geometry());
    let length = u64::from(chunks) * CHUNK as u64;
    batch.put_chunks(name, length, 7, CHUNK as u32, &list).unwrap();
    store.commit(&mut [batch], Buffered).unwrap();
    store.end_staged();
}

fn large_name(index: u64) -> Vec<u8> {
    format!("large {index:04}").into_bytes()
}

/// The sums that must hold when nothing is pending: all pages are blocks', the registry's, map slots'
/// or free.
fn assert_counts(store: &mut SparseStore, block_pages: u64, blocks: u64, bytes: u64) -> u64 {
    assert_eq!(store.pending(), 0);
    let free = store.free_space().unwrap().pages;
    let superblock = *store.superblock();
    assert_eq!((superblock.blocks.get(), superblock.bytes.get()), (blocks, bytes));
    let (tree, used) = (superblock.tree_pages.get(), superblock.used_pages.get());
    let slots = store.pages() - superblock.first_group.get() - free - block_pages - tree;
    // Of the map slots, those of groups whose map page exists are marked.
    assert!(used >= block_pages + tree && used <= block_pages + tree + slots, "{used} pages used");
    let groups = (store.pages() - superblock.first_group.get()).div_ceil(store.geometry().group_pages());
    let fanout = store.geometry().map_fanout();
    let expected: u64 = (0..=7_u32).map(|level| 2 * groups.div_ceil(fanout.pow(level))).sum();
    assert_eq!(slots, expected, "every page is accounted for");
    free
}

/// Bytes that opening after a clean close may read: the superblock copies, the ring, two pieces.
fn assert_opening(counters: &Counters) {
    let ring = SHAPE.journal_pages * PAGE as u64;
    let most = 4 * 4096 + ring + 2 * SHAPE.memory.staging as u64;
    assert!(counters.bytes_read <= most, "{} bytes read, at most {most}", counters.bytes_read);
}

#[test]
fn a_hundred_gigabytes_come_and_go() {
    const CHUNKS: u32 = 250;
    const LARGE: u64 = 410;
    let zeros = vec![0; CHUNK];
    let digest = Digest::of(&zeros);
    let chunk_pages = (CHUNK / PAGE) as u64;
    let block_bytes = u64::from(CHUNKS) * CHUNK as u64;

    let mut store: SparseStore = SHAPE.new_store(Sparse::default());
    let mut small = Model::new();
    for index in 0..LARGE {
        put_large(&mut store, &large_name(index), CHUNKS, &zeros, digest);
        let name = format!("small {index}").into_bytes();
        let value = bytes(index, 20 + (index as usize * 37) % 5000);
        put(&mut store, &name, &value, Buffered).unwrap();
        small.insert(name.clone(), (name.len() as u64, value));
        if store.wants_checkpoint() {
            store.checkpoint().unwrap();
        }
    }
    store.checkpoint().unwrap();
    assert!(store.device().dropped > 100_000_000_000, "{} bytes", store.device().dropped);
    assert!(store.superblock().map_level.get() >= 2, "a free map of three levels");
    assert!(store.superblock().height.get() >= 3, "{} levels", store.superblock().height.get());
    let small_bytes: u64 = small.values().map(|(_, value)| value.len() as u64).sum();
    let inline = store.geometry().max_inline() as u64;
    let small_pages: u64 = small
        .values()
        .map(|(_, value)| value.len() as u64)
        .filter(|&length| length > inline)
        .map(|length| length.div_ceil(PAGE as u64))
        .sum();
    let pages_of = |blocks: u64| blocks * u64::from(CHUNKS) * chunk_pages + small_pages;
    let bytes_of = |blocks: u64| blocks * block_bytes + small_bytes;
    let free = assert_counts(&mut store, pages_of(LARGE), LARGE * 2, bytes_of(LARGE));
    let (pages, tree) = (store.pages(), store.superblock().tree_pages.get());

    // Half of it goes.
    for index in (0..LARGE).step_by(2) {
        delete(&mut store, &large_name(index), Buffered).unwrap();
    }
    store.checkpoint().unwrap();
    let left = LARGE / 2;
    let free_after = assert_counts(&mut store, pages_of(left), LARGE + left, bytes_of(left));
    let tree_after = store.superblock().tree_pages.get();
    assert_eq!(free_after + tree_after, free + tree + left * u64::from(CHUNKS) * chunk_pages);

    let (mut store, recovery) = SHAPE.open::<Heap, _>(store.into_device()).unwrap();
    assert_eq!(recovery.records, 0);
    assert_opening(&store.counters());
    assert_eq!(store.pages(), pages);
    assert_counts(&mut store, pages_of(left), LARGE + left, bytes_of(left));

    // It is used again: the file does not grow.
    for index in (0..LARGE - 2).step_by(2) {
        put_large(&mut store, &large_name(index), CHUNKS, &zeros, digest);
        if store.wants_checkpoint() {
            store.checkpoint().unwrap();
        }
    }
    store.checkpoint().unwrap();
    assert_eq!(store.pages(), pages, "freed space is used again");
    let now = LARGE - 1;
    assert_counts(&mut store, pages_of(now), LARGE + now, bytes_of(now));

    // And what was beside it is whole; so is a range of what is large.
    for (name, (tag, value)) in &small {
        assert_eq!(store.info(name).unwrap().unwrap().tag, *tag);
        assert!(get(&mut store, name).as_ref() == Some(value), "a small block");
    }
    let name = large_name(7);
    let mut reader = store.reader(&name).unwrap();
    reader.seek(block_bytes - 100);
    let mut end = [1; 200];
    assert_eq!(reader.read(&mut end).unwrap(), 100);
    assert_eq!(end[..100], [0; 100]);
    put(&mut store, b"last", b"one", Durable).unwrap();
    let (mut store, recovery) = SHAPE.open::<Heap, _>(store.into_device()).unwrap();
    assert_eq!((recovery.records, recovery.to), (1, store.sequence()));
    assert_eq!(get(&mut store, b"last"), Some(b"one".to_vec()));
    assert_counts(&mut store, pages_of(now), LARGE + now + 1, bytes_of(now) + 3);
}

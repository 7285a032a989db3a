//! What opening reads: bounded by the journal and the height of the tree, whatever the file holds.

use crate::support::*;
use blockyard_core::Durability::{Buffered, Durable};
use blockyard_core::device::VecDevice;
use blockyard_core::store::{Counters, Memory};

const SHAPE: Shape = Shape {
    page_size: 4096,
    journal_pages: 256,
    chunk_pages: 16,
    memory: Memory { levels: 6, map_pages: 16, staging: 64 << 10 },
    growth: 2560,
    groups_ahead: 1,
    carry_max: 32 << 10,
};

/// Bytes that opening reads at most, as stated at `Store::open`: four superblock copies; the ring four
/// times; for each change in the journal two registry pages a level and two map pages a level.
fn bound(height: u64, operations: u64, map_levels: u64) -> u64 {
    let page = u64::from(SHAPE.page_size);
    let ring = SHAPE.journal_pages * page;
    let a_change = 2 * height + 2 * map_levels;
    4 * 4096 + 4 * ring + operations * a_change * page
}

fn name(number: u64) -> Vec<u8> {
    format!("block/{:08}", number * 7_919 % 1_000_003).into_bytes()
}

/// A store of `blocks` small blocks, folded in.
fn store_of(blocks: u64) -> TestStore<Heap> {
    let mut store: TestStore<Heap> = SHAPE.new_store(SHAPE.device(1 << 20));
    for start in (0..blocks).step_by(1000) {
        let mut many = batch(store.geometry());
        for number in start..(start + 1000).min(blocks) {
            many.put(&name(number), &[number as u8; 24], number).unwrap();
        }
        store.commit(&mut [many], Buffered).unwrap();
        if start % 50_000 == 0 {
            store.checkpoint().unwrap();
        }
    }
    store.checkpoint().unwrap();
    store
}

/// Makes the file long enough for a checkpoint of a full journal: in a file that would have to grow for it, checkpoints
/// come earlier.
fn make_room(store: &mut TestStore<Heap>) {
    let names = || (0..600).map(|number| format!("room/{number}").into_bytes());
    for name in names() {
        let mut one = batch(store.geometry());
        one.put(&name, &[1; 60 << 10], 0).unwrap();
        store.commit(&mut [one], Buffered).unwrap();
    }
    let mut gone = batch(store.geometry());
    names().for_each(|name| gone.delete(&name).unwrap());
    store.commit(&mut [gone], Buffered).unwrap();
    store.checkpoint().unwrap();
}

/// Fills the journal with changes of blocks all over the file until it has hardly room for one more;
/// returns how many.
fn fill_journal(store: &mut TestStore<Heap>, blocks: u64) -> u64 {
    make_room(store);
    let mut operations = 0;
    let full = SHAPE.journal_pages * u64::from(SHAPE.page_size) - (64 << 10);
    while store.journal_used() < full {
        let mut many = batch(store.geometry());
        for _ in 0..20 {
            many.put(&name(operations * 131 % blocks), &[7; 700], operations).unwrap();
            operations += 1;
        }
        store.commit(&mut [many], if operations % 200 == 0 { Durable } else { Buffered }).unwrap();
    }
    store.sync().unwrap();
    operations
}

struct Opened {
    counters: Counters,
    height: u64,
    map_levels: u64,
    records: u64,
}

fn open(device: VecDevice, read_only: bool) -> Opened {
    let (store, recovery) =
        SHAPE.open_with::<Heap, _>(device, |options| options.read_only = read_only).unwrap();
    let superblock = store.superblock();
    Opened {
        counters: store.counters(),
        height: u64::from(superblock.height.get()),
        map_levels: u64::from(superblock.map_level.get()) + 1,
        records: recovery.records,
    }
}

#[test]
fn opening_reads_no_more_of_a_large_file_than_of_a_small_one() {
    let mut after_close = Vec::new();
    let mut after_crash = Vec::new();
    for blocks in [2_000, 200_000] {
        let store = store_of(blocks);
        let device = store_device(&store);
        for read_only in [true, false] {
            let Opened { counters, height, records, .. } = open(device.clone(), read_only);
            println!("{blocks} blocks, height {height}, closed: {counters:?}");
            assert_eq!(records, 0);
            // Nothing of the registry or the map; the ring once, in search of records behind the last.
            assert!(counters.bytes_read <= bound(height, 0, 0), "{counters:?}");
            after_close.push((counters.reads, counters.bytes_read));
        }

        let (mut store, _) = SHAPE.open::<Heap, _>(device).unwrap();
        let operations = fill_journal(&mut store, blocks);
        assert!(operations > 1000, "{operations} changes in the journal");
        let device = store_device(&store);
        let Opened { counters, records, height, map_levels } = open(device.clone(), true);
        println!("{blocks} blocks, crashed, read-only: {counters:?}, {records} records");
        assert!(records > 50);
        assert!(counters.bytes_read <= bound(height, 0, 0), "{counters:?}");
        after_crash.push(counters);
        let Opened { counters, .. } = open(device, false);
        println!("{blocks} blocks, height {height}, {operations} changes, crashed: {counters:?}");
        assert_eq!(counters.checkpoints, 1);
        assert!(counters.bytes_read <= bound(height, operations, map_levels), "{counters:?}");
        assert!(counters.reads <= bound(height, operations, map_levels) / 4096, "{counters:?}");
    }
    // Where the ring's last piece ends depends on where in the ring the journal goes on.
    let piece = SHAPE.memory.staging as u64;
    for (small, large) in [(after_close[0], after_close[2]), (after_close[1], after_close[3])] {
        assert_eq!(small.0, large.0, "calls of read after a clean close");
        assert!(small.1.abs_diff(large.1) <= piece, "bytes after a clean close: {small:?} and {large:?}");
        assert!(large.1 <= 4 * 4096 + SHAPE.journal_pages * 4096 + 2 * piece, "the ring once: {large:?}");
    }
    let [small, large] = [after_crash[0], after_crash[1]];
    assert!(small.bytes_read.abs_diff(large.bytes_read) <= 4 * piece, "replay: {small:?} and {large:?}");
    assert!(small.reads.abs_diff(large.reads) <= 4, "replay: {small:?} and {large:?}");
}

/// What the store leaves behind when it is cut off here.
fn store_device(store: &TestStore<Heap>) -> VecDevice {
    let image = store.device().bytes().to_vec();
    let limit = image.len() as u64 + (1 << 30);
    VecDevice::from_bytes(image, 512, limit)
}

/// A value that no sync covers was read again for each name that its block had been given: a block of 64 MiB, renamed
/// a hundred times, 6.4 GiB.
#[test]
fn opening_reads_a_renamed_value_once() {
    // In one extent, and in chunks.
    for (chunk_pages, length) in [(256, 128 << 10), (8, 20_000)] {
        let shape = Shape { chunk_pages, ..Shape::SMALL };
        let value = bytes(1, length);
        let read = [1, 21].map(|renames| {
            let mut store: TestStore<Heap> = shape.new_store(shape.device(1 << 20));
            stream(&mut store, b"name 0", 0, &value, Buffered).unwrap();
            for number in 0..renames {
                let (from, to) = (format!("name {number}"), format!("name {}", number + 1));
                let mut scratch = batch(store.geometry());
                store.rename(from.as_bytes(), to.as_bytes(), &mut scratch, Buffered).unwrap();
            }
            assert_eq!(store.counters().checkpoints, 0, "{renames} renames of {length} bytes");
            let (mut store, recovery) = shape.open::<Heap, _>(store_device(&store)).unwrap();
            assert_eq!(recovery.records, renames + 1);
            let read = store.counters().bytes_read;
            assert_eq!(get(&mut store, format!("name {renames}").as_bytes()).as_ref(), Some(&value));
            read
        });
        // Compared, and copied.
        assert!((2 * length as u64..).contains(&read[0]));
        assert!(read[1] < read[0] + 4 * length as u64, "{read:?}");
    }
}

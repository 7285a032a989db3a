//! Reads from memory: what they find, what they wait for, beside writers.

use crate::device::{Call, Hooked};
use crate::support::{assert_clean, bytes, watched};
use blockyard::{Device, Durability, Error, MemoryDevice, OpenOptions, PutOptions, Snapshot, Store};
use std::collections::BTreeMap;
use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

fn small() -> OpenOptions {
    OpenOptions::new().create(true).journal_size(256 << 10).growth_step(1 << 20)
}

/// In the leaf, beside the leaf, in several chunks.
fn length(index: u64) -> usize {
    [0, 90, 5000, 900_000][(index % 4) as usize]
}

fn name(index: u64) -> String {
    format!("a name of more than sixteen bytes/{index:04}")
}

/// Every way to read a block says the same.
fn read(store: &Store, name: &str) -> Option<Vec<u8>> {
    let found = store.get(name).expect("get");
    let mut buf = vec![0; 1 << 20];
    let copied = store.get_into(name, &mut buf).expect("get_into").map(|length| buf[..length].to_vec());
    assert_eq!(copied, found);
    assert_eq!(store.get_ref(name).expect("get_ref").map(|bytes| bytes.to_vec()), found);
    assert_eq!(store.get_with(name, <[u8]>::to_vec).expect("get_with"), found);
    assert_eq!(store.exists(name).expect("exists"), found.is_some());
    let length = store.metadata(name).expect("metadata").map(|metadata| metadata.length as usize);
    assert_eq!(length, found.as_ref().map(Vec::len));
    found
}

/// Everything, by walks.
fn walk(store: &Store) -> Vec<(Vec<u8>, Vec<u8>)> {
    let shown = |item: blockyard::Result<blockyard::Item>| {
        let item = item.expect("item");
        (item.name().to_vec(), item.with_value(<[u8]>::to_vec).expect("value"))
    };
    let forward: Vec<_> = store.iter().map(shown).collect();
    let mut backward: Vec<_> = store.iter().rev().map(shown).collect();
    backward.reverse();
    assert!(forward == backward, "the two directions differ");
    forward
}

/// A read waits for no lock that a writer holds while the device works: not for one that is known, nor for one
/// that comes from the device, nor for a walk.
#[test]
fn nobody_who_reads_waits_for_a_write_or_a_sync() {
    watched(|_| {
        for stuck in [Call::Write, Call::Sync] {
            let (armed, inside) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
            let device = {
                let (armed, inside) = (Arc::clone(&armed), Arc::clone(&inside));
                Hooked::new(MemoryDevice::new(), move |call| {
                    while call == stuck && armed.load(Ordering::SeqCst) {
                        inside.store(true, Ordering::SeqCst);
                        std::thread::yield_now();
                    }
                    Ok(())
                })
            };
            let store = small().cache_bytes(4 << 20).open_device(device).expect("store");
            for index in 0..40 {
                store.put(name(index), bytes(index, length(index))).expect("put");
            }
            store.checkpoint().expect("checkpoint");
            for index in 40..48 {
                store.put(name(index), bytes(index, length(index))).expect("put");
            }
            // Half of them were read before.
            (0..48).step_by(2).for_each(|index| drop(store.get_ref(name(index)).expect("get")));
            armed.store(true, Ordering::SeqCst);
            std::thread::scope(|scope| {
                let writer = store.clone();
                scope.spawn(move || writer.put(name(1000), bytes(1000, 5000)).expect("put"));
                while !inside.load(Ordering::SeqCst) {
                    std::thread::yield_now();
                }
                let snapshot = store.snapshot().expect("snapshot");
                for index in 0..48 {
                    assert_eq!(read(&store, &name(index)), Some(bytes(index, length(index))));
                    assert_eq!(snapshot.get(name(index)).expect("get"), Some(bytes(index, length(index))));
                }
                assert_eq!(read(&store, &name(1000)), None, "it is not committed yet");
                assert_eq!(walk(&store).len(), 48);
                assert_eq!(store.prefix("a name").count(), 48);
                armed.store(false, Ordering::SeqCst);
            });
            assert_eq!(read(&store, &name(1000)), Some(bytes(1000, 5000)));
        }
    });
}

/// The value of a name as of a commit: its number, and bytes that follow from it.
fn version(number: u64, length: usize) -> Vec<u8> {
    [number.to_le_bytes().to_vec(), bytes(number, length)].concat()
}

/// What a reader sees of a name never goes back, never is another name's, and is whole, whether it comes from a
/// memtable, from the tree or from what is remembered of an earlier read, in a cache that is always too small.
#[test]
fn eight_readers_beside_a_writer_never_go_back() {
    const NAMES: u64 = 24;
    let lengths = [20, 300, 2000, 9000];
    let store = small().cache_bytes(128 << 10).open_device(MemoryDevice::new()).expect("store");
    let value = |index: u64, number: u64| version(number * NAMES + index, lengths[(number % 4) as usize]);
    for index in 0..NAMES {
        store.put(name(index), value(index, 0)).expect("put");
    }
    let (done, reads) = (AtomicBool::new(false), AtomicU64::new(0));
    std::thread::scope(|scope| {
        for seed in 0..8 {
            let (store, done, reads) = (store.clone(), &done, &reads);
            scope.spawn(move || {
                let mut random = fastrand::Rng::with_seed(seed);
                let mut seen = [0; NAMES as usize];
                while !done.load(Ordering::Relaxed) {
                    let index = random.u64(0..NAMES);
                    let check = |bytes: &[u8]| {
                        let number = u64::from_le_bytes(bytes[..8].try_into().expect("eight bytes"));
                        assert_eq!(number % NAMES, index, "another name's bytes");
                        assert!(bytes == value(index, number / NAMES), "not what was written");
                        number / NAMES
                    };
                    let number = match random.u32(0..4) {
                        0 => store.get_with(name(index), check).expect("get_with"),
                        1 => store.get(name(index)).expect("get").map(|bytes| check(&bytes)),
                        2 => store.get_ref(name(index)).expect("get_ref").map(|bytes| check(&bytes)),
                        _ => {
                            let item = store.range(name(index)..).next().expect("an item").expect("item");
                            assert_eq!(item.name(), name(index).as_bytes());
                            Some(item.with_value(check).expect("value"))
                        }
                    };
                    let number = number.expect("no name is ever gone");
                    let last = &mut seen[index as usize];
                    assert!(number >= *last, "{} went back from {last} to {number}", name(index));
                    *last = number;
                    reads.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        for number in 1..150 {
            for index in (0..NAMES).filter(|index| (index + number) % 3 == 0) {
                let options = PutOptions { durability: Some(Durability::Buffered), ..PutOptions::default() };
                store.put_with(name(index), value(index, number), options).expect("put");
            }
            if number % 9 == 0 {
                store.checkpoint().expect("checkpoint");
            }
        }
        done.store(true, Ordering::Relaxed);
    });
    assert!(reads.load(Ordering::Relaxed) > 0);
    assert!(store.stats().expect("stats").cache_bytes <= 128 << 10);
    assert_clean(&store);
}

/// One of everything that changes a name, at random, and after each all ways to read it, now and in snapshots of
/// before: what is remembered of a name holds for no view that sees another state of it.
#[test]
fn what_was_read_before_is_not_taken_for_what_is_there_now() {
    for (seed, cache) in [(1, 0), (2, 64 << 10), (3, 1 << 20), (4, 16 << 20)] {
        let mut random = fastrand::Rng::with_seed(seed);
        let store = small().cache_bytes(cache).open_device(MemoryDevice::new()).expect("store");
        let mut state: BTreeMap<String, Vec<u8>> = BTreeMap::new();
        let mut snapshots: Vec<(Snapshot, BTreeMap<String, Vec<u8>>)> = Vec::new();
        for turn in 0..600 {
            let changed = name(random.u64(0..12));
            match random.u32(0..10) {
                0..5 => {
                    let value = bytes(turn, [0, 40, 700, 3000, 20_000][random.usize(0..5)]);
                    store.put(&changed, &value).expect("put");
                    state.insert(changed.clone(), value);
                }
                5 => {
                    let there = store.delete(&changed).expect("delete");
                    assert_eq!(there, state.remove(&changed).is_some());
                }
                6 => {
                    let to = name(random.u64(0..12));
                    match (store.rename(&changed, &to), state.remove(&changed)) {
                        (Ok(_), Some(value)) => drop(state.insert(to, value)),
                        (Err(Error::NotFound), None) => {}
                        (result, value) => panic!("{result:?} of {:?}", value.map(|value| value.len())),
                    }
                }
                7 => store.checkpoint().expect("checkpoint"),
                8 => snapshots.push((store.snapshot().expect("snapshot"), state.clone())),
                _ if snapshots.len() > 3 => drop(snapshots.swap_remove(random.usize(0..snapshots.len()))),
                _ => {}
            }
            for name in [changed, name(random.u64(0..12))] {
                assert_eq!(read(&store, &name), state.get(&name).cloned(), "turn {turn} of seed {seed}");
                for (snapshot, state) in &snapshots {
                    let found = snapshot.get_with(&name, <[u8]>::to_vec).expect("get");
                    assert_eq!(found, state.get(&name).cloned(), "a snapshot at turn {turn} of seed {seed}");
                }
            }
            if turn % 50 == 0 {
                let expected = state.iter().map(|(name, value)| (name.clone().into_bytes(), value.clone()));
                assert!(walk(&store) == expected.collect::<Vec<_>>(), "a walk at turn {turn} of seed {seed}");
            }
        }
        assert!(store.stats().expect("stats").cache_bytes <= cache as u64);
        assert_clean(&store);
    }
}

/// Walks over more changes than are copied at once, in both tables and in the tree, from both ends.
#[test]
fn walks_merge_the_tree_with_any_number_of_changes() {
    let store = small().journal_size(4 << 20).open_device(MemoryDevice::new()).expect("store");
    let mut state = BTreeMap::new();
    let mut random = fastrand::Rng::with_seed(5);
    for round in 0..6 {
        let mut batch = store.batch();
        for _ in 0..[900, 30, 400, 7, 0, 300][round] {
            let name = format!("{:04}", random.u32(0..2000)).into_bytes();
            if random.u32(0..3) == 0 {
                batch.delete(&name).expect("fits");
                state.remove(&name);
            } else {
                let value = vec![round as u8; random.usize(0..40)];
                batch.put(&name, &value).expect("fits");
                state.insert(name, value);
            }
        }
        store.commit(batch).expect("commit");
        if round % 2 == 0 {
            store.checkpoint().expect("checkpoint");
        }
        let all: Vec<(Vec<u8>, Vec<u8>)> = state.clone().into_iter().collect();
        assert!(walk(&store) == all);
        for _ in 0..60 {
            let mut bound = || format!("{:04}", random.u32(0..2000)).into_bytes();
            let (from, to) = (bound(), bound());
            let expected: Vec<&Vec<u8>> =
                all.iter().map(|(name, _)| name).filter(|name| **name >= from && **name <= to).collect();
            let mut walk = store.range(from..=to);
            let (mut front, mut back) = (Vec::new(), Vec::new());
            loop {
                let from_front = random.bool();
                let item = if from_front { walk.next() } else { walk.next_back() };
                let Some(item) = item else { break };
                if from_front { &mut front } else { &mut back }.push(item.expect("item").name().to_vec());
            }
            front.extend(back.into_iter().rev());
            assert_eq!(front.iter().collect::<Vec<_>>(), expected);
        }
    }
}

/// A device that notes what it is told will be read.
#[derive(Clone, Debug, Default)]
struct Told(MemoryDevice, Arc<Mutex<Vec<(u64, u64)>>>);

impl Told {
    fn take(&self) -> Vec<(u64, u64)> {
        std::mem::take(&mut self.1.lock().expect("whole"))
    }
}

impl Device for Told {
    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<()> {
        self.0.read_at(offset, buf)
    }
    fn write_at(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.0.write_at(offset, data)
    }
    fn sync(&self) -> io::Result<()> {
        self.0.sync()
    }
    fn length(&self) -> io::Result<u64> {
        self.0.length()
    }
    fn grow(&self, length: u64) -> io::Result<()> {
        self.0.grow(length)
    }
    fn atomic_unit(&self) -> u32 {
        self.0.atomic_unit()
    }
    fn will_need(&self, offset: u64, length: u64) {
        self.1.lock().expect("whole").push((offset, length));
    }
}

/// A walk that reads from the device tells it what comes next; one that looks at names, or finds everything in
/// memory, tells nothing.
#[test]
fn a_walk_announces_what_it_will_read_and_nothing_else() {
    let device = Told::default();
    let store = small().open_device(device.clone()).expect("store");
    let mut batch = store.batch();
    (0..1000).for_each(|index| batch.put(name(index), bytes(index, 5000)).expect("fits"));
    store.commit(batch).expect("commit");
    store.close().expect("close");
    for backward in [false, true] {
        let store = small().open_device(device.clone()).expect("store");
        let walk = || -> Box<dyn Iterator<Item = _>> {
            if backward { Box::new(store.iter().rev()) } else { Box::new(store.iter()) }
        };
        device.take();
        assert_eq!(walk().filter(|item| item.is_ok()).count(), 1000);
        assert_eq!(device.take(), [], "nobody asked for more than names");
        let read = || walk().map(|item| item.expect("item").value().expect("value").len()).sum::<usize>();
        assert_eq!(read(), 5_000_000);
        let announced: u64 = device.take().iter().map(|(_, length)| length).sum();
        assert!((4_500_000..9_000_000).contains(&announced), "{announced} bytes announced");
        assert_eq!(read(), 5_000_000);
        assert_eq!(device.take(), [], "all of it is in memory");
    }
}

/// Point reads just after opening: when a second leaf under a page is read, those beside it are announced, once. What is
/// read is the same.
#[test]
fn point_reads_announce_the_leaves_beside_one_that_was_read() {
    const BLOCKS: u64 = 1500;
    let device = Told::default();
    let store = small().open_device(device.clone()).expect("store");
    // Three checkpoints, of which each writes its leaves behind its blocks.
    for part in 0..3 {
        let mut batch = store.batch();
        let numbers = part * BLOCKS / 3..(part + 1) * BLOCKS / 3;
        numbers.for_each(|index| batch.put(name(index), bytes(index, 5000)).expect("fits"));
        store.commit(batch).expect("commit");
        store.checkpoint().expect("checkpoint");
    }
    store.close().expect("close");
    let file = device.length().expect("length");
    let store = small().open_device(device.clone()).expect("store");
    device.take();
    let get = |index: u64| {
        let found = store.get(name(index)).expect("get");
        assert!(found.is_some_and(|found| found == bytes(index, 5000)), "block {index}");
    };
    (0..3).for_each(|_| get(0));
    assert_eq!(device.take(), [], "one leaf says nothing of the others");
    let mut random = fastrand::Rng::with_seed(6);
    (0..2000).for_each(|_| get(random.u64(0..BLOCKS)));
    (0..BLOCKS).for_each(get);
    let told = device.take();
    let mut places: Vec<u64> = told.iter().map(|(offset, _)| *offset).collect();
    places.sort_unstable();
    places.dedup();
    assert!(places.len() == told.len() && (3..12).contains(&told.len()), "each place once: {told:?}");
    assert!(told.iter().all(|(offset, length)| *length >= 8192 && offset + length <= file), "{told:?}");
    assert!(told.iter().map(|(_, length)| length).sum::<u64>() < file / 8, "leaves are few: {told:?}");
}

/// Of large pages a node has more children than are worth reading for one of them: a point read announced a gigabyte of
/// leaves. From a place on no more than 4 MiB are.
#[test]
fn a_point_read_announces_4_mib_of_leaves_at_most() {
    const BLOCKS: u64 = 600;
    let options = small().page_size(64 << 10).journal_size(4 << 20);
    let device = Told::default();
    let store = options.clone().open_device(device.clone()).expect("store");
    // Five in a leaf, all leaves under one page and in one place.
    let mut batch = store.batch();
    (0..BLOCKS).for_each(|index| batch.put(name(index), bytes(index, 12_000)).expect("fits"));
    store.commit(batch).expect("commit");
    store.checkpoint().expect("checkpoint");
    assert_eq!(store.stats().expect("stats").height, 2);
    store.close().expect("close");
    let store = options.open_device(device.clone()).expect("store");
    device.take();
    for index in (0..BLOCKS).rev() {
        assert_eq!(store.get(name(index)).expect("get"), Some(bytes(index, 12_000)));
    }
    let told = device.take();
    assert!(!told.is_empty() && told.iter().all(|(_, length)| *length <= 4 << 20), "{told:?}");
    assert!(told.iter().any(|(_, length)| *length == 4 << 20), "the bound was met: {told:?}");
}

/// Whoever read back what he had just committed as a batch filled the cache with the batch, once for each of its values.
#[test]
fn reading_a_batch_back_drives_nothing_out_of_the_cache() {
    let options = small().journal_size(4 << 20).cache_bytes(8 << 20);
    let store = options.open_device(MemoryDevice::new()).expect("store");
    let commit = |kind: &str, blocks: u64, version: u64| {
        let mut batch = store.batch();
        (0..blocks).for_each(|index| {
            batch.put(format!("{kind}/{index:04}"), bytes(version + index, 800)).expect("fits")
        });
        store.commit(batch).expect("commit");
    };
    let read_all = |kind: &str, blocks: u64, version: u64| {
        for index in 0..blocks {
            let found = store.get(format!("{kind}/{index:04}")).expect("get");
            assert_eq!(found, Some(bytes(version + index, 800)));
        }
    };
    let held = || store.stats().expect("stats").cache_bytes;
    commit("in use", 100, 0);
    store.checkpoint().expect("checkpoint");
    (0..3).for_each(|_| read_all("in use", 100, 0));
    let before = held();
    for version in 1..20 {
        commit("new", 400, version);
        read_all("new", 400, version);
        // One version of each block, 300 KiB, and leaves of some checkpoints; it was the batch's 320 KiB for each block.
        assert!(held() - before < 4 << 20, "version {version}: {before} became {}", held());
    }
    let misses = || store.stats().expect("stats").cache_misses;
    let before = misses();
    read_all("in use", 100, 0);
    // They lie in twenty leaves, of which a checkpoint writes the one anew that the new blocks begin in.
    assert!(misses() - before < 10, "what was in use is there");
}

/// What was read while it was pending was read again from the file by the first walk behind the checkpoint, and then twice in memory.
#[test]
fn a_walk_finds_in_memory_what_was_read_before_the_checkpoint() {
    let options = small().journal_size(4 << 20).cache_bytes(8 << 20);
    let store = options.open_device(MemoryDevice::new()).expect("store");
    let write = |version: u64| {
        for index in 0..100 {
            store.put(name(index), bytes(version + index, 3000)).expect("put");
        }
    };
    for version in [0, 1000] {
        write(version);
        for index in 0..100 {
            assert_eq!(store.get(name(index)).expect("get"), Some(bytes(version + index, 3000)));
        }
        let snapshot = store.snapshot().expect("snapshot");
        store.checkpoint().expect("checkpoint");
        let before = store.stats().expect("stats").reads;
        let expected: Vec<_> =
            (0..100).map(|index| (name(index).into_bytes(), bytes(version + index, 3000))).collect();
        assert!(walk(&store) == expected);
        let reads = store.stats().expect("stats").reads - before;
        assert!(reads < 20, "{reads} reads for leaves and a hundred blocks");
        // Neither is what is there now taken for what was, nor the other way round.
        write(5000);
        (0..100).for_each(|index| drop(store.get(name(index)).expect("get")));
        let shown = |item: blockyard::Result<blockyard::Item>| {
            let item = item.expect("item");
            (item.name().to_vec(), item.value().expect("value").to_vec())
        };
        assert!(snapshot.iter().map(shown).collect::<Vec<_>>() == expected);
    }
}

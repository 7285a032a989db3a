//! Copies of a snapshot: a backup while the store is in use, and a file as short as its blocks.

use crate::support::{Place, assert_clean, bytes};
use blockyard::{Error, MemoryDevice, OpenOptions, PutOptions, Snapshot, Store};
use std::sync::atomic::{AtomicBool, Ordering};

/// Names, tags and values, in order.
fn contents(snapshot: &Snapshot) -> Vec<(Vec<u8>, u64, Vec<u8>)> {
    let shown = |item: blockyard::Result<blockyard::Item>| {
        let item = item.expect("item");
        (item.name().to_vec(), item.metadata().tag, item.value().expect("value").to_vec())
    };
    snapshot.iter().map(shown).collect()
}

fn put(store: &Store, name: &str, value: &[u8], tag: u64) {
    let options = PutOptions { tag, ..PutOptions::default() };
    store.put_with(name, value, options).expect("put");
}

/// Blocks of every kind: empty, in a leaf, in pages, of several chunks; some of them folded in, some pending.
fn fill(store: &Store, version: u64) {
    for (index, size) in [0, 1, 500, 5000, 65_536, 65_537, 300_000].into_iter().cycle().take(70).enumerate() {
        put(store, &format!("block/{index:04}"), &bytes(version + index as u64, size), index as u64);
    }
    store.checkpoint().expect("checkpoint");
    put(store, "large", &bytes(version, 3_500_000), u64::MAX);
    put(store, "block/0003", &bytes(version + 1, 77), 3);
    store.delete("block/0009").expect("delete");
}

#[test]
fn a_copy_is_of_the_moment_and_whole_whatever_is_written_meanwhile() {
    let (place, other) = (Place::new(), Place::new());
    let store = place.create();
    fill(&store, 1);
    let (snapshot, done) = (store.snapshot().expect("snapshot"), AtomicBool::new(false));
    let expected = contents(&snapshot);
    let target = OpenOptions::new().create_new(true).page_size(512).open(&other.path).expect("a new store");
    let mut told = 0;
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for version in (100..).take_while(|_| !done.load(Ordering::Relaxed)) {
                fill(&store, version);
            }
        });
        let copied = snapshot.copy_to(&target, |bytes| told += bytes).expect("copy");
        done.store(true, Ordering::Relaxed);
        let length = expected.iter().map(|(_, _, value)| value.len() as u64).sum();
        assert_eq!((copied.blocks, copied.bytes, told), (expected.len() as u64, length, length));
    });
    // All of it is durable by then: what was synced is what another opener finds.
    assert_eq!(target.stats().expect("stats").durable_sequence, target.stats().expect("stats").sequence);
    target.close().expect("close");
    let target = other.open();
    assert!(contents(&target.snapshot().expect("snapshot")) == expected);
    assert_clean(&target);
    assert_clean(&store);
}

#[test]
fn a_copy_of_a_file_that_was_long_is_short() {
    let place = Place::new();
    let store = place.create();
    for index in 0..200 {
        put(&store, &format!("block/{index:04}"), &bytes(index, 50_000), 0);
    }
    for index in 10..200 {
        store.delete(format!("block/{index:04}")).expect("delete");
    }
    store.checkpoint().expect("checkpoint");
    let options = OpenOptions::new().create(true).journal_size(1 << 20);
    let target = options.open_device(MemoryDevice::new()).expect("store");
    store.snapshot().expect("snapshot").copy_to(&target, |_| {}).expect("copy");
    let (long, short) = (store.stats().expect("stats").file_bytes, target.stats().expect("stats").file_bytes);
    assert!(long > 10 << 20 && short < 3 << 20, "{long} became {short}");
    assert_clean(&target);
}

#[test]
fn what_the_target_cannot_take_is_said_and_the_source_is_as_it_was() {
    let store = Place::new().create();
    let name = "n".repeat(100);
    put(&store, &name, b"value", 0);
    let small = OpenOptions::new().create(true).page_size(512);
    let target = small.open_device(MemoryDevice::new()).expect("store");
    let snapshot = store.snapshot().expect("snapshot");
    let refused = snapshot.copy_to(&target, |_| {}).expect_err("a name longer than an eighth of the page");
    assert!(matches!(refused, Error::NameTooLong { .. }), "{refused:?}");
    assert_eq!(target.stats().expect("stats").blocks, 0);
    assert_eq!(store.get(&name).expect("get").as_deref(), Some(&b"value"[..]));
    assert_clean(&store);
}

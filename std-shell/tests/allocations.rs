//! Heap traffic of the write path, counted by the allocator itself. A binary of its own, because the
//! allocator is the process's.

use blockyard::{Durability, OpenOptions, PutOptions, Store};
use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicU64, Ordering};

struct Counting;

static CALLS: AtomicU64 = AtomicU64::new(0);

// SAFETY: every call is handed to the system's allocator as it came; counting touches no memory of it.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        CALLS.fetch_add(1, Ordering::Relaxed);
        // SAFETY: the caller's promises are the system allocator's.
        unsafe { System.alloc(layout) }
    }
    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the pointer came from `alloc` above, which is the system's.
        unsafe { System.dealloc(pointer, layout) }
    }
    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        CALLS.fetch_add(1, Ordering::Relaxed);
        // SAFETY: the pointer came from `alloc` above, which is the system's.
        unsafe { System.realloc(pointer, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn calls(work: impl FnOnce()) -> u64 {
    let before = CALLS.load(Ordering::Relaxed);
    work();
    CALLS.load(Ordering::Relaxed) - before
}

fn update(store: &Store, names: &[String], value: &[u8], durability: Durability) {
    for name in names {
        let options = PutOptions { durability: Some(durability), ..PutOptions::default() };
        store.put_with(name, value, options).expect("put");
    }
}

#[test]
fn at_most_one_allocation_an_update_after_warm_up() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let options = OpenOptions::new().create(true).flush_operations(100);
    let store = options.open(directory.path().join("test.by")).expect("store");
    let names: Vec<String> = (0..500).map(|index| format!("record/{index:06}")).collect();
    let value = [7; 200];
    // Warm up: buffers grow, leaves of the table are made and come back through a checkpoint.
    for _ in 0..4 {
        update(&store, &names, &value, Durability::Buffered);
        let mut batch = store.batch();
        names.iter().for_each(|name| batch.put(name, value).expect("fits"));
        store.commit(batch).expect("commit");
        store.checkpoint().expect("checkpoint");
    }
    for durability in [Durability::Buffered, Durability::Durable] {
        let counted = calls(|| update(&store, &names, &value, durability));
        assert!(
            counted <= names.len() as u64,
            "{counted} allocations for {} {durability:?} updates",
            names.len()
        );
        store.checkpoint().expect("checkpoint");
    }
    let counted = calls(|| {
        let mut batch = store.batch();
        names.iter().for_each(|name| batch.put(name, value).expect("fits"));
        store.commit(batch).expect("commit");
    });
    assert!(counted <= names.len() as u64, "{counted} allocations for a batch of {}", names.len());
}

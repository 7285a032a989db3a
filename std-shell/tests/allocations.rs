//! Heap traffic of writes and reads, counted by the allocator itself. A binary of its own, because the
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

/// The allocator is everybody's: one test at a time.
static ALONE: std::sync::Mutex<()> = std::sync::Mutex::new(());

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

/// Each of them took memory of its own from the heap, and the system gave a page for it anew.
#[test]
fn changes_one_by_one_allocate_nothing_after_warm_up_even_if_they_are_read_back() {
    let _alone = ALONE.lock();
    let directory = tempfile::tempdir().expect("a temporary directory");
    let names: Vec<String> = (0..500).map(|index| format!("record/{index:06}")).collect();
    // Longer ones may get pages of their own, and are read from the file then.
    for length in [200, 900] {
        let options = OpenOptions::new().create(true).journal_size(32 << 20).flush_operations(100);
        let store = options.open(directory.path().join(format!("{length}.by"))).expect("store");
        let value = vec![7; length];
        let mut buffer = vec![0; length];
        let checkpoints = || store.stats().expect("stats").checkpoints;
        // Behind a checkpoint of the background thread's the values would be read from the file.
        let mut round = |durability| {
            for _ in 0..50 {
                store.checkpoint().expect("checkpoint");
                let before = checkpoints();
                let counted = calls(|| {
                    update(&store, &names, &value, durability);
                    for name in &names {
                        assert_eq!(store.get_into(name, &mut buffer).expect("get_into"), Some(length));
                    }
                });
                if checkpoints() == before {
                    return counted;
                }
            }
            panic!("the background thread makes a checkpoint of each 500 changes");
        };
        // Warm up: buffers grow, and memory comes back through checkpoints.
        for _ in 0..4 {
            round(Durability::Buffered);
        }
        for durability in [Durability::Buffered, Durability::Durable] {
            let counted = round(durability);
            // The background thread puts the changes in order now and then, which takes a list or two; names that share a
            // place are kept in turns.
            assert!(counted <= 40, "{counted} allocations for 500 {durability:?} updates of {length} bytes");
        }
    }
}

/// Every change of a batch was copied into memory of its own, so that a batch of large values was there twice.
#[test]
fn a_batch_allocates_next_to_nothing_after_warm_up() {
    let _alone = ALONE.lock();
    let directory = tempfile::tempdir().expect("a temporary directory");
    let names: Vec<String> = (0..500).map(|index| format!("record/{index:06}")).collect();
    for length in [200, 4096] {
        let options = OpenOptions::new().create(true).journal_size(16 << 20);
        let store = options.open(directory.path().join(format!("{length}.by"))).expect("store");
        let value = vec![7; length];
        let round = || {
            let mut batch = store.batch();
            names.iter().for_each(|name| batch.put(name, &value).expect("fits"));
            store.commit(batch).expect("commit");
        };
        for _ in 0..4 {
            round();
            store.checkpoint().expect("checkpoint");
        }
        let counted = calls(round);
        assert!(counted <= names.len() as u64 / 10, "{counted} allocations for 500 values of {length} bytes");
        for name in &names {
            assert_eq!(store.get(name).expect("get").as_deref(), Some(&value[..]));
        }
    }
}

#[test]
fn reads_from_memory_allocate_nothing_and_walks_hardly_anything() {
    let _alone = ALONE.lock();
    // A walk allocates for a leaf of the registry, or for some changes that it copies.
    const WALK_SHARE: u64 = 8;
    let directory = tempfile::tempdir().expect("a temporary directory");
    let options = OpenOptions::new().create(true).journal_size(16 << 20);
    let store = options.open(directory.path().join("test.by")).expect("store");
    let names: Vec<String> = (0..2000).map(|index| format!("record/{index:06}")).collect();
    let mut batch = store.batch();
    for (name, size) in names.iter().zip([100, 3000, 6000].into_iter().cycle()) {
        batch.put(name, vec![7; size]).expect("fits");
    }
    store.commit(batch).expect("commit");
    for folded in [false, true] {
        if folded {
            store.checkpoint().expect("checkpoint");
        }
        let mut buffer = [0; 6000];
        let mut read = |name: &str| {
            let copied = store.get_into(name, &mut buffer).expect("get_into").expect("there");
            assert_eq!(store.get_ref(name).expect("get_ref").expect("there").len(), copied);
            assert_eq!(store.get_with(name, <[u8]>::len).expect("get_with"), Some(copied));
            assert!(store.exists(name).expect("exists"));
        };
        let walk = || {
            let forward = store.iter().map(|item| item.expect("item").value().expect("value").len());
            let backward = store.iter().rev().map(|item| item.expect("item").name().len());
            assert_eq!(forward.count(), backward.count());
        };
        // A checkpoint that the background thread makes meanwhile is counted, too, and moves what was read.
        let checkpoints = || store.stats().expect("stats").checkpoints;
        let (reads, walks) = loop {
            let before = checkpoints();
            names.iter().for_each(|name| read(name));
            walk();
            let counted = (calls(|| names.iter().for_each(|name| read(name))), calls(walk));
            if checkpoints() == before {
                break counted;
            }
        };
        // Three names that share a place are kept in turns, and found again through the registry.
        assert!(reads <= names.len() as u64 / 20, "{reads} allocations for {} names", names.len());
        assert!(walks <= 2 * names.len() as u64 / WALK_SHARE, "{walks} allocations for two walks");
    }
}

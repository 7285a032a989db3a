//! The most that a call asks of the device, as the store says beforehand: blocks of chunks, and values that are never
//! carried, asked for more.

use crate::support::*;
use blockyard_core::Durability::{Buffered, Durable};
use blockyard_core::overlay::Overlay;
use blockyard_core::store::{BlockLocation, Bound, Counters, Memory};

const CHIP: Shape = Shape { chunk_pages: 8, memory: Memory::SMALL, carry_max: 1024, ..Shape::SMALL };

fn spent<O: Overlay>(store: &TestStore<O>, before: Counters) -> Bound {
    let now = store.counters();
    Bound {
        reads: now.reads - before.reads,
        writes: now.writes - before.writes,
        syncs: now.syncs - before.syncs,
    }
}

fn assert_within(spent: Bound, bound: Bound, what: &str) {
    let within = spent.reads <= bound.reads && spent.writes <= bound.writes && spent.syncs <= bound.syncs;
    assert!(within, "{what}: {spent:?}, and at most {bound:?}");
}

/// Streams a block through a buffer of `chunk` bytes.
fn stream_by<O: Overlay>(store: &mut TestStore<O>, name: &[u8], value: &[u8], chunk: usize) {
    let mut chunk = vec![0; chunk];
    let mut scratch = batch(store.geometry());
    let mut writer = store.writer::<2000>(name, 0, &mut chunk).unwrap();
    writer.write(value).unwrap();
    writer.finish(&mut scratch, Durable).unwrap();
}

fn gets_keep_to_their_bound<O: Overlay + Default>() {
    let mut store: TestStore<O> = CHIP.new_store(CHIP.device(1 << 16));
    for number in 0..40 {
        put(&mut store, format!("name {number}").as_bytes(), &[1; 60], Buffered).unwrap();
    }
    for (number, chunk) in [(20, 512), (21, 1024), (22, 4096)] {
        stream_by(&mut store, format!("name {number}+").as_bytes(), &bytes(number, 5000), chunk);
    }
    for round in ["pending", "folded in"] {
        for name in names(&mut store) {
            let info = store.info(&name).unwrap().unwrap();
            let (bound, before) = (store.bound_of_get_block(&info), store.counters());
            let mut into = vec![0; info.length as usize];
            store.get(&name, &mut into).unwrap();
            assert_within(spent(&store, before), bound, round);
            // Of chunks as long as they can be the length alone tells.
            if !matches!(info.location, BlockLocation::Chunks { chunk_size, .. } if chunk_size < 4096) {
                assert_within(spent(&store, before), store.bound_of_get(info.length), round);
            }
        }
        store.checkpoint().unwrap();
    }
}

/// A block that was streamed through a short buffer has more chunks than its length tells.
#[test]
fn a_get_of_short_chunks_keeps_to_its_bound() {
    gets_keep_to_their_bound::<Heap>();
    gets_keep_to_their_bound::<Fixed>();
}

fn checkpoints_keep_to_their_bounds<O: Overlay + Default>(shape: Shape, chunks: usize, chunk: usize) {
    let mut store: TestStore<O> = shape.new_store(shape.device(1 << 16));
    put(&mut store, b"a", b"small", Buffered).unwrap();
    stream_by(&mut store, b"a block of many chunks", &bytes(1, chunks * chunk), chunk);
    let change = |store: &mut TestStore<O>, more: u64, what: &str| {
        let (mut bound, before, mut step) =
            (store.bound_of_checkpoint(), store.counters(), store.bound_of_step());
        for _ in 0..more {
            bound = bound + step;
        }
        while store.pending() > 0 {
            let before = store.counters();
            step = store.bound_of_step();
            store.checkpoint_step().unwrap();
            assert_within(spent(store, before), step, what);
        }
        assert_within(spent(store, before), bound, what);
    };
    change(&mut store, 0, "made");
    stream_by(&mut store, b"a block of many chunks", &bytes(2, chunks * chunk), chunk);
    change(&mut store, chunks as u64, "replaced");
    delete(&mut store, b"a block of many chunks", Durable).unwrap();
    change(&mut store, chunks as u64, "deleted");
}

/// A block of chunks has a record for each of them, and each is marked in the free map by itself.
#[test]
fn a_checkpoint_of_chunks_keeps_to_its_bounds() {
    for (chunks, chunk) in [(2, 512), (60, 512), (60, 4096)] {
        checkpoints_keep_to_their_bounds::<Fixed>(CHIP, chunks, chunk);
        checkpoints_keep_to_their_bounds::<Heap>(CHIP, chunks, chunk);
    }
    let memory = Memory { levels: 8, ..Memory::SMALL };
    let long = Shape { journal_pages: 512, memory, ..CHIP };
    checkpoints_keep_to_their_bounds::<Fixed>(long, 1500, 512);
}

/// Where values are never carried each of them is a write, however few bytes there are.
#[test]
fn a_commit_that_carries_nothing_keeps_to_its_bound() {
    for carry_max in [0, 100, 1024] {
        let shape = Shape { carry_max, ..CHIP };
        let mut store: TestStore<Fixed> = shape.new_store(shape.device(1 << 16));
        for round in 0..200_u64 {
            let mut one = batch(store.geometry());
            one.put(b"n", &bytes(round, 130), 0).unwrap();
            store.checkpoint().unwrap();
            for _ in 0..round % 5 {
                delete(&mut store, b"x", Buffered).unwrap();
            }
            let (bound, before) = (store.bound_of_commit(1, 64 + 1 + 130), store.counters());
            store.commit(&mut [one], Durable).unwrap();
            if store.counters().grows == before.grows {
                assert_within(spent(&store, before), bound, "a commit");
            }
        }
    }
}

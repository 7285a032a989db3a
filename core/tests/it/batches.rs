//! How groups of batches are laid out and digested.

use crate::support::*;
use blockyard_core::Digest;
use blockyard_core::Durability::{Buffered, Durable};
use blockyard_core::error::WriteError;
use blockyard_core::overlay::Overlay;
use blockyard_sim::device::SimDevice;
use blockyard_sim::fault::Fired;

/// Values of a batch that is longer than what a batch digests as it is filled: the last of them has an odd
/// length, and one small enough for the registry lies between.
fn long_batch(geometry: &blockyard_core::format::Geometry, model: &mut Model) -> TestBatch {
    let mut batch = batch(geometry);
    for number in 0..90_u64 {
        let length = if number == 40 { 100 } else { 4096 + 7 * number as usize };
        let (name, value) = (format!("value {number}").into_bytes(), bytes(number, length));
        batch.put(&name, &value, number).unwrap();
        model.insert(name, (number, value));
    }
    batch
}

/// What reads see, and the digests by which they are told, before and after a checkpoint and a recovery.
fn long_batches_are_digested<O: Overlay + Default>(carry_max: u64) {
    let shape = Shape { carry_max, journal_pages: 512, ..Shape::LARGE };
    for durability in [Buffered, Durable] {
        let mut store: TestStore<O, _> = shape.new_store(shape.device(4096));
        let mut model = Model::new();
        let batch = long_batch(store.geometry(), &mut model);
        store.commit(&mut [batch], durability).unwrap();
        let check = |store: &mut TestStore<O, _>, what: &str| {
            assert_same(&contents(store), &model, what);
            for (name, (_, value)) in &model {
                let info = store.info(name).unwrap().unwrap();
                assert_eq!(info.digest, Digest::of(value), "{what}");
            }
        };
        check(&mut store, "committed");
        store.sync().unwrap();
        let (mut store, recovery) = shape.open::<O, _>(store.into_device()).unwrap();
        assert_eq!(recovery.records, 1);
        check(&mut store, "replayed");
        store.checkpoint().unwrap();
        check(&mut store, "folded in");
        assert_sound(&mut store, &model, "folded in");
    }
}

#[test]
fn what_a_batch_did_not_digest_the_commit_does() {
    long_batches_are_digested::<Heap>(32 << 10);
    long_batches_are_digested::<Heap>(1 << 20);
}

/// The values of a long batch go into the journal before what says that they are there: whatever a power cut
/// leaves of that, the batch is whole or absent, and the commit before it is there.
#[test]
fn a_long_batch_in_the_journal_is_whole_or_absent() {
    let shape = Shape { carry_max: 1 << 20, journal_pages: 512, ..Shape::LARGE };
    let limit = 4096 * 4096;
    let (mut whole, mut absent) = (0, 0);
    let device = SimDevice::new(Vec::new(), limit, 0);
    let mut store: TestStore<Heap, _> = shape.new_store(device.clone());
    put(&mut store, b"before", b"it", Durable).unwrap();
    let (before, mut after) = (contents(&mut store), contents(&mut store));
    let batch = long_batch(store.geometry(), &mut after);
    let counted = store.counters();
    device.record();
    store.commit(&mut [batch], Durable).unwrap();
    let counters = store.counters();
    let bytes = counters.bytes_written - counted.bytes_written;
    assert!((300_000..500_000).contains(&bytes), "carried, and written once: {bytes} bytes");
    let mut rng = fastrand::Rng::with_seed(3);
    for moment in device.moments() {
        for _ in 0..12 {
            let state = moment.state(&mut rng, &Fired::default());
            let (mut store, recovery) = shape.open::<Heap, _>(SimDevice::new(state, limit, 0)).unwrap();
            let there = recovery.to.0 > 1;
            assert_sound(&mut store, if there { &after } else { &before }, "after a power cut");
            *if there { &mut whole } else { &mut absent } += 1;
        }
    }
    assert_same(&contents(&mut store), &after, "no power cut");
    assert!(whole > 5 && absent > 50, "{whole} whole, {absent} absent");
}

/// A commit that was refused leaves the batch as it was, and a later one still digests what is left.
#[test]
fn a_refused_batch_can_be_committed_later() {
    let shape = Shape { growth: 0, ..Shape::LARGE };
    let mut store: TestStore<Heap, _> = shape.new_store(shape.device(shape.front_pages() + 300));
    let mut model = Model::new();
    for number in 0..7_u8 {
        put(&mut store, &[number], &bytes(1, 60_000), Durable).unwrap();
    }
    let mut group = [long_batch(store.geometry(), &mut model)];
    let refused = store.commit(&mut group, Durable);
    assert_eq!(refused, Err(WriteError::Full));
    for number in 0..7_u8 {
        delete(&mut store, &[number], Durable).unwrap();
    }
    store.checkpoint().unwrap();
    store.commit(&mut group, Durable).unwrap();
    store.checkpoint().unwrap();
    assert_sound(&mut store, &model, "committed at last");
}

/// A buffered commit wrote its values twice, to the journal and later to their pages, for a sync that nobody
/// waited for.
#[test]
fn a_buffered_value_is_written_once() {
    let shape = Shape { journal_pages: 256, ..Shape::LARGE };
    let written = |durability| {
        let mut store: TestStore<Heap, _> = shape.new_store(shape.device(4096));
        for number in 0..50_u64 {
            put(&mut store, &number.to_be_bytes(), &bytes(number, 4096), durability).unwrap();
        }
        let before = store.counters().bytes_written;
        store.checkpoint().unwrap();
        (before, store.counters().bytes_written - before)
    };
    let (_, moved_home) = written(Durable);
    let (_, left_there) = written(Buffered);
    assert!(moved_home >= left_there + 50 * 4096, "{moved_home} bytes, {left_there} bytes");
}

/// A checkpoint that was asked for room by nobody ran to its end between two commits all the same. One that
/// has just begun has time, one whose journal fills up or whose pages run out has none; a burst of commits may take three
/// eighths of the journal's room before it.
#[test]
fn a_checkpoint_has_time_until_room_runs_short() {
    let shape = Shape { journal_pages: 256, ..Shape::LARGE };
    let mut store: TestStore<Heap, _> = shape.new_store(shape.device(4096));
    assert!(!store.checkpoint_has_time(), "there is none");
    let fill = |store: &mut TestStore<Heap, _>, from: u64, count: u64| {
        for number in from..from + count {
            put(store, &number.to_be_bytes(), &bytes(number, 900), Durable).unwrap();
        }
    };
    fill(&mut store, 0, 100);
    store.checkpoint().unwrap();
    fill(&mut store, 0, 100);
    store.checkpoint_step().unwrap();
    assert!(store.checkpoint_has_time(), "nothing has come in since");
    let (before, folded) = (store.journal_used(), store.root().sequence);
    let mut commits = 0;
    while store.checkpoint_has_time() {
        fill(&mut store, 200 + commits, 1);
        commits += 1;
    }
    let (room, used) = (store.geometry().journal_length() - before, store.journal_used() - before);
    assert!(commits > 1);
    assert!((3 * room / 8..room / 2).contains(&used), "{commits} commits, {used} of {room} bytes");
    // Steps make time again, until the checkpoint is done; when seven eighths are taken it has to be.
    let mut lasted = 0;
    while lasted < room {
        while !store.checkpoint_has_time() && store.wants_checkpoint() && store.root().sequence == folded {
            store.checkpoint_step().unwrap();
        }
        if store.root().sequence != folded {
            break;
        }
        lasted = store.journal_used() - before;
        fill(&mut store, 200 + commits, 1);
        commits += 1;
    }
    assert!(lasted < 7 * room / 8 + 2 * 4096, "{lasted} of {room} bytes");
    assert_ne!(store.root().sequence, folded, "the checkpoint was made");
}

/// Five hundred updates took as long as five hundred writes in place once the free pages of a file lay scattered.
/// The journal takes them in one write then, and only then.
#[test]
fn many_values_are_carried_where_free_pages_lie_scattered() {
    let shape = Shape { journal_pages: 512, ..Shape::LARGE };
    let value = |number: u64| bytes(number, 4000);
    for scattered in [false, true] {
        let mut store: TestStore<Heap, _> = shape.new_store(shape.device(4096));
        let mut model = Model::new();
        for number in 0..400_u64 {
            put(&mut store, &number.to_be_bytes(), &value(number), Buffered).unwrap();
            model.insert(number.to_be_bytes().to_vec(), (8, value(number)));
        }
        store.checkpoint().unwrap();
        for number in (0..400_u64).step_by(2).filter(|_| scattered) {
            delete(&mut store, &number.to_be_bytes(), Buffered).unwrap();
            model.remove(&number.to_be_bytes()[..]);
        }
        store.checkpoint().unwrap();
        let mut carried = [0, 0];
        for round in 0..12_u64 {
            let durability = if round % 2 == 0 { Buffered } else { Durable };
            let before = store.journal_used();
            let mut batch = batch(store.geometry());
            for number in (0..16).map(|number| 1000 + 16 * round + number) {
                batch.put(&number.to_be_bytes(), &value(number), 0).unwrap();
                model.insert(number.to_be_bytes().to_vec(), (0, value(number)));
            }
            store.commit(&mut [batch], durability).unwrap();
            // A checkpoint may have come between.
            let used = store.journal_used().saturating_sub(before);
            carried[durability as usize] += u32::from(used > 16 * 4000);
            assert_same(&contents(&mut store), &model, "committed");
        }
        assert_eq!(carried.map(|count| count > 0), [scattered; 2], "{carried:?}");
        store.sync().unwrap();
        let (mut store, _) = shape.open::<Heap, _>(store.into_device()).unwrap();
        assert_sound(&mut store, &model, "opened again");
    }
}

/// Batches in succession over the same names each waited for a checkpoint and its two syncs: a file grew by what one
/// of them took, so the next found too few pages.
#[test]
fn a_file_with_room_for_several_groups_has_fewer_checkpoints() {
    let checkpoints = |groups_ahead: u64, limit: u64| {
        let shape = Shape { growth: 640, groups_ahead, ..Shape::LARGE };
        let mut store: TestStore<Heap, _> = shape.new_store(shape.device(shape.front_pages() + limit));
        let mut model = Model::new();
        for round in 0..24_u64 {
            let mut group = [batch(store.geometry())];
            for number in 0..100_u64 {
                let (name, value) =
                    (format!("value {number}").into_bytes(), bytes(100 * round + number, 4096));
                group[0].put(&name, &value, round).unwrap();
                model.insert(name, (round, value));
            }
            store.commit(&mut group, Durable).unwrap();
        }
        let counted = store.counters().checkpoints;
        assert_sound(&mut store, &model, "after all rounds");
        counted
    };
    let (one, six) = (checkpoints(1, 4096), checkpoints(6, 4096));
    assert!(one > 2 * six && six > 0, "{one} checkpoints, {six} with room for six groups");
    // A device that has no room for six has room for one.
    assert!(checkpoints(6, 360) >= one);
}

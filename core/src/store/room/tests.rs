//! The estimates and choices of [`super`], one by one: what they let through or refuse at their very limits.

mod aside;

use super::*;
use crate::device::VecDevice;
use crate::format::Geometry;
use crate::ids::Sequence;
use crate::overlay::{Entry, FixedOverlay, MapOverlay, Value};
use crate::store::{CreateOptions, Memory, OpenOptions, Pending};
use crate::{Batch, Digest, PageIndex};
use std::vec;
use std::vec::Vec;

const PAGE: u64 = 512;
const JOURNAL: u64 = 256 * PAGE;
const RING: usize = JOURNAL as usize;

type Tiny<O> = Store<VecDevice, O, Vec<u8>>;
type NoBatch = [Batch<Vec<u8>, Vec<u8>>; 0];

fn store_over<O: Overlay>(overlay: O, limit: u64) -> Tiny<O> {
    store_with(4, overlay, limit)
}

fn store_with<O: Overlay>(levels: usize, overlay: O, limit: u64) -> Tiny<O> {
    let memory = Memory { levels, map_pages: 8, staging: 4 << 10 };
    let create = CreateOptions {
        page_size: PAGE as u32,
        journal_length: JOURNAL,
        chunk_size: 8 << 10,
        file_id: [7; 16],
    };
    let options = OpenOptions { growth: 64, carry_max: 8 << 10, ..OpenOptions::new(memory) };
    let buffer = vec![0; memory.bytes(PAGE as usize)];
    Store::create(VecDevice::new(512, limit), overlay, buffer, &create, &options).expect("a store")
}

fn store() -> Tiny<MapOverlay> {
    store_over(MapOverlay::default(), 1 << 30)
}

fn batch<O: Overlay>(store: &Tiny<O>, puts: &[(&[u8], usize)]) -> Batch<Vec<u8>, Vec<u8>> {
    let mut batch = Batch::new(store.geometry(), Vec::new(), Vec::new());
    for (name, length) in puts {
        batch.put(name, &vec![1; *length], 0).expect("room");
    }
    batch
}

fn commit<O: Overlay>(store: &mut Tiny<O>, puts: &[(&[u8], usize)]) {
    let batch = batch(store, puts);
    store.commit(&mut [batch], Durability::Durable).expect("a commit");
}

/// A store on so many pages, and no more, that carries few values.
fn fixed(pages: u64) -> Tiny<MapOverlay> {
    let memory = Memory { levels: 9, map_pages: 8, staging: 16 << 10 };
    let create = CreateOptions {
        page_size: PAGE as u32,
        journal_length: 1024 * PAGE,
        chunk_size: 1024 * PAGE as u32,
        file_id: [7; 16],
    };
    let options = OpenOptions { carry_max: 512, ..OpenOptions::new(memory) };
    let device = VecDevice::from_bytes(vec![0; (pages * PAGE) as usize], 512, pages * PAGE);
    let buffer = vec![0; memory.bytes(PAGE as usize)];
    Store::create(device, MapOverlay::default(), buffer, &create, &options).expect("a store")
}

#[test]
fn a_group_only_deletes_if_each_change_does() {
    let store = store();
    let mut deletes = batch(&store, &[]);
    deletes.delete(b"a").expect("room");
    deletes.delete(b"b").expect("room");
    assert!(demand_of(&store, &[deletes.clone()]).deletes_only);
    deletes.put(b"c", b"value", 0).expect("room");
    deletes.delete(b"d").expect("room");
    let demand = demand_of(&store, &[deletes]);
    assert!(!demand.deletes_only);
    assert_eq!((demand.operations, demand.longest_name), (4, 1));
    assert!(!demand_of(&store, &[batch(&store, &[(b"a", 1)])]).deletes_only);
}

#[test]
fn the_longest_value_is_the_longest_that_is_carried() {
    let store = store();
    let inline = store.geometry.max_inline();
    assert_eq!(demand_of(&store, &[batch(&store, &[(b"a", inline)])]).longest_value, 0);
    let puts: [(&[u8], usize); 3] = [(b"a", inline + 1), (b"b", 700), (b"c", inline)];
    assert_eq!(demand_of(&store, &[batch(&store, &puts)]).longest_value, 700);
}

#[test]
fn a_record_takes_its_name_slots_and_chunks() {
    let head = |kind, length: u64, chunk: u32| {
        let mut head = OpHeader::read(&[0; OpHeader::SIZE]).expect("a head");
        head.kind = kind;
        head.length.set(length);
        head.chunk_size.set(chunk);
        head
    };
    assert_eq!(record_bytes(&head(op_kind::DELETE, 0, 0), 10), 138);
    assert_eq!(record_bytes(&head(op_kind::INLINE, 20, 0), 10), 158);
    assert_eq!(record_bytes(&head(op_kind::EXTENT, 2000, 0), 10), 138);
    // Three chunks, each with a cell of its own.
    assert_eq!(record_bytes(&head(op_kind::CHUNKS, 2001, 1000), 10), 138 + 3 * 74);
}

/// What these batches will take.
fn demand_of<O: Overlay>(store: &Tiny<O>, batches: &[Batch<Vec<u8>, Vec<u8>>]) -> Demand {
    let mut demand = Demand::default();
    store.demand(batches, &mut demand).expect("of this store");
    demand
}

/// The path for a group that needs no other room.
fn path<O: Overlay>(store: &mut Tiny<O>, demand: Demand, durability: Durability) -> Path {
    let demand = Demand { operations: 1, ..demand };
    let path = store.admit(&demand, &NoBatch::default(), durability, false).expect("room");
    let path = path.unwrap_or_else(|| {
        store.fold_all().expect("a checkpoint");
        store.admit(&demand, &NoBatch::default(), durability, true).expect("room").expect("it was made")
    });
    store.make_space(&demand).expect("space");
    path
}

#[test]
fn what_is_small_and_durable_is_carried() {
    let (carry_max, head) = (8 << 10, RecordHeader::SIZE);
    let values = |carried| Demand { carried, longest_value: 600, ..Demand::default() };
    let durable = Durability::Durable;
    assert_eq!(path(&mut store(), values(carry_max), durable), Path::Carry);
    // More small values are carried where pages lie scattered, up to a quarter of the journal.
    assert_eq!(path(&mut store(), values(carry_max + 1), durable), Path::Either);
    assert_eq!(path(&mut store(), values(RING / 4 - head), durable), Path::Either);
    assert_eq!(path(&mut store(), values(RING / 4 - head + 1), durable), Path::Place);
    let value = |longest_value| Demand { longest_value, ..values(carry_max + 1) };
    assert_eq!(path(&mut store(), value(carry_max / 4), durable), Path::Either);
    assert_eq!(path(&mut store(), value(carry_max / 4 + 1), durable), Path::Place);
    // Half of the journal, operations included, is the most that is carried at once.
    let meta = |meta| Demand { meta, ..values(carry_max) };
    let most = RING / 2 - head - carry_max;
    assert_eq!(path(&mut store(), meta(most), durable), Path::Carry);
    assert_eq!(path(&mut store(), meta(most + 1), durable), Path::Place);
    let mut little = store();
    little.carry_max = 100;
    let values = Demand { longest_value: 25, ..values(101) };
    assert_eq!(path(&mut little, values, durable), Path::Either);
    assert_eq!(path(&mut little, Demand { carried: 100, ..values }, durable), Path::Carry);
}

#[test]
fn what_waits_for_no_sync_is_carried_if_it_is_half_a_page() {
    let values = |carried| Demand { carried, longest_value: carried, ..Demand::default() };
    let (half, buffered) = (PAGE as usize / 2, Durability::Buffered);
    assert_eq!(path(&mut store(), values(half), buffered), Path::Carry);
    assert_eq!(path(&mut store(), values(half + 1), buffered), Path::Either);
    assert_eq!(path(&mut store(), values(half + 1), Durability::Durable), Path::Carry);
}

#[test]
fn what_a_recovery_could_not_read_at_once_is_not_carried() {
    let mut kept = store();
    let piece = kept.memory.staging_bytes(PAGE as usize);
    let value = |longest_value| Demand { carried: longest_value, longest_value, ..Demand::default() };
    assert_eq!(path(&mut kept, value(piece), Durability::Durable), Path::Carry);
    assert_eq!(path(&mut kept, value(piece + 1), Durability::Durable), Path::Place);
    let many = Demand { carried: (8 << 10) + 1, ..value(piece + 1) };
    kept.carry_max = 5 * piece;
    assert_eq!(path(&mut kept, Demand { longest_value: piece, ..many }, Durability::Buffered), Path::Either);
    assert_eq!(path(&mut kept, many, Durability::Buffered), Path::Place);
    let list = |longest_list| Demand { longest_list, ..Demand::default() };
    assert_eq!(path(&mut kept, list(piece), Durability::Durable), Path::Carry);
    assert_eq!(path(&mut kept, list(piece + 1), Durability::Durable), Path::Checkpoint);
    // An overlay that keeps no bodies reads them in parts.
    let mut bare = store_over(FixedOverlay::<8, 16>::new(), 1 << 30);
    assert_eq!(path(&mut bare, value(piece + 1), Durability::Durable), Path::Carry);
    assert_eq!(path(&mut bare, list(piece + 1), Durability::Durable), Path::Carry);
}

#[test]
fn a_record_that_just_fits_needs_no_checkpoint() {
    let mut store = store();
    commit(&mut store, &[(b"a", 10)]);
    let head = RecordHeader::SIZE;
    let placed = |meta| Demand { meta, carried: 9 << 10, longest_value: 5 << 10, ..Demand::default() };
    let room = store.journal_room() as usize;
    assert_eq!(path(&mut store, placed(room - head), Durability::Durable), Path::Place);
    assert_eq!(store.pending(), 1, "a checkpoint was made");
    assert_eq!(path(&mut store, placed(room - head + 1), Durability::Durable), Path::Place);
    assert_eq!(store.pending(), 0, "no checkpoint was made");
    // And in an empty journal.
    let room = store.journal_room() as usize;
    assert_eq!(path(&mut store, placed(room - head), Durability::Durable), Path::Place);
    assert_eq!(path(&mut store, placed(room - head + 1), Durability::Durable), Path::Checkpoint);
    // And in one that a checkpoint has emptied.
    commit(&mut store, &[(b"a", 10)]);
    assert_eq!(path(&mut store, placed(room - head), Durability::Durable), Path::Place);
    assert_eq!(store.pending(), 0, "no checkpoint was made");
    // What is carried where pages lie scattered must fit as well.
    while store.journal_room() >= 10 << 10 {
        commit(&mut store, &[(b"a", 10)]);
    }
    let room = store.journal_room() as usize;
    let scattered = |carried| Demand { carried, longest_value: 600, ..Demand::default() };
    store.carry_max = 4 << 10;
    assert!(4 * room <= RING && room - head > store.carry_max);
    assert_eq!(path(&mut store, scattered(room - head), Durability::Durable), Path::Either);
    assert_eq!(path(&mut store, scattered(room - head + 1), Durability::Durable), Path::Place);
}

#[test]
fn inherited_pages_are_looked_for_in_both_layers() {
    let mut store = store();
    let entry = Entry {
        sequence: Sequence(1),
        tag: 0,
        length: 600,
        digest: Digest::default(),
        value: Value::Extent { page: PageIndex(200) },
        base_moved: false,
        inherited: true,
    };
    store.overlay.insert(b"moved", &entry, &[]).expect("room");
    let touching = [batch(&store, &[(b"moved", 1)])];
    for (active, frozen) in [(1, 0), (0, 1), (1, 1), (2, 1)] {
        (store.active.inherited, store.frozen.inherited) = (active, frozen);
        assert!(store.takes_inherited(&touching), "{active} and {frozen}");
        assert!(!store.takes_inherited(&[batch(&store, &[(b"other", 1)])]));
    }
    (store.active.inherited, store.frozen.inherited) = (0, 0);
    assert!(!store.takes_inherited(&touching), "none is");
}

/// In a shorter file a burst of commits was held up by a checkpoint for want of pages while the journal had room.
#[test]
fn pages_are_worth_a_checkpoint_from_a_16th_of_the_file_or_half_a_journal() {
    let mut store = store();
    assert_eq!(JOURNAL / PAGE / 2, 128);
    let cases =
        [(0, 64), (831, 64), (832, 65), (64 * 20, 100), (1648, 128), (16 * 129 - 1, 128), (16 * 129, 129)];
    for (pages, worth) in cases {
        store.pages = pages;
        assert_eq!(store.worth_freeing(), worth, "{pages}");
    }
}

#[test]
fn idle_time_is_used_when_a_third_of_the_free_pages_waits_for_a_checkpoint() {
    let mut store = store();
    store.pages = 1700;
    let misses = |store: &mut Tiny<MapOverlay>, passed, free, entries| {
        (store.map.at.ahead.passed, store.map.at.free, store.active.entries) = (passed, free, entries);
        store.welcomes_checkpoint()
    };
    assert!(misses(&mut store, 64, 127, 1));
    assert!(!misses(&mut store, 64, 128, 1), "more ahead");
    assert!(!misses(&mut store, 63, 10, 1), "too few");
    assert!(!misses(&mut store, 64, 127, 0), "nothing to fold in");
    store.map.stage(1600);
    (store.map.at.ahead.passed, store.map.at.free, store.active.entries) = (64, 127, 1);
    assert!(!store.welcomes_checkpoint(), "a checkpoint brings none while a block is being written");
    // And when a quarter of the journal is in use.
    let mut store = self::store();
    while 4 * store.journal_used() <= store.geometry.journal_length() {
        assert!(!store.welcomes_checkpoint());
        commit(&mut store, &[(b"a", 100)]);
    }
    assert!(store.welcomes_checkpoint());
    store.checkpoint().expect("room");
    assert!(!store.welcomes_checkpoint());
}

#[test]
fn a_checkpoint_is_wanted_when_more_pages_lie_behind_than_ahead() {
    let mut store = store();
    let wants = |store: &mut Tiny<MapOverlay>, passed, free, entries| {
        (store.map.at.ahead.passed, store.map.at.free, store.active.entries) = (passed, free, entries);
        store.wants_pages()
    };
    store.pages = 3200;
    store.superblock.tree_pages.set(50);
    assert!(wants(&mut store, 200, 199, 1), "as many as it is worth");
    assert!(!wants(&mut store, 199, 100, 1), "fewer than it is worth");
    assert!(!wants(&mut store, 200, 200, 1), "as many ahead");
    assert!(!wants(&mut store, 300, 299, 0), "nothing to fold in");
    assert!(wants(&mut store, 300, 299, 7));
    store.superblock.tree_pages.set(150);
    assert!(!wants(&mut store, 299, 100, 1), "fewer than two copies of the registry");
    assert!(wants(&mut store, 300, 100, 1));
    store.map.stage(3200);
    assert!(!wants(&mut store, 300, 100, 1), "a checkpoint brings none while a block is being written");
}

#[test]
fn commits_are_short_of_pages_when_a_checkpoint_would_bring_more() {
    let mut store = store();
    store.pages = 64 * 70;
    let floor = store.floor(&Demand::default());
    assert!(floor > 0);
    let mut short = |passed, free| {
        (store.map.at.ahead.passed, store.map.at.free) = (passed, free);
        store.is_short_of_pages()
    };
    assert!(short(280, floor + 69));
    assert!(!short(280, floor + 70));
    assert!(!short(279, floor));
    assert!(short(5000, floor - 1));
    assert!(short(5000, 0));
}

#[test]
fn a_checkpoint_finds_the_pages_it_may_take() {
    let mut store = store();
    store.superblock.height.set(3);
    store.superblock.tree_pages.set(100);
    store.active = Pending { entries: 3, records: 700, ..Pending::default() };
    store.frozen = Pending { entries: 1, records: 300, ..Pending::default() };
    let demand = Demand { operations: 2, records: 25, ..Demand::default() };
    // Six changes, each a path of three nodes with their neighbours and one more; three pages of records,
    // twice; a new root and its neighbour, and the height.
    assert_eq!(store.reserve(&demand), 6 * 7 + 3 * 2 + 3 + 2);
    store.active.entries = 40;
    // No more than the registry's pages and half as many again.
    assert_eq!(store.reserve(&demand), 150 + 3 * 2 + 3 + 2);
    store.superblock.tree_pages.set(103);
    assert_eq!(store.reserve(&demand), 154 + 3 * 2 + 3 + 2);
}

#[test]
fn pages_behind_are_made_available_before_the_file_grows() {
    let mut store = store();
    commit(&mut store, &[(b"a", 10)]);
    let (checkpoints, grows) = (store.counters().checkpoints, store.counters().grows);
    let demand = Demand { pages: 10, ..Demand::default() };
    store.map.at.free = 5;
    store.map.at.ahead.passed = store.worth_freeing() - 1;
    store.make_space(&demand).expect("the file grows");
    assert_eq!((store.counters().checkpoints, store.counters().grows), (checkpoints, grows + 1));
    store.map.at.free = 5;
    store.map.at.ahead.passed = store.worth_freeing();
    store.make_space(&demand).expect("a checkpoint is made");
    assert_eq!(store.counters().checkpoints, checkpoints + 1);
    // Where nothing is pending a checkpoint brings nothing.
    let grows = store.counters().grows;
    store.map.at.free = 5;
    store.map.at.ahead.passed = store.worth_freeing();
    store.make_space(&demand).expect("the file grows");
    assert_eq!((store.counters().checkpoints, store.counters().grows), (checkpoints + 1, grows + 1));
}

#[test]
fn a_device_that_cannot_grow_by_all_grows_by_what_is_missing() {
    let (pages, floor) = (store().pages, store().floor(&Demand::default()));
    let demand = Demand { pages: 4000, ..Demand::default() };
    let missing = (4000 + floor - 20) as u64;
    // What the free map may need for itself comes on top.
    let mut store = store_over(MapOverlay::default(), (pages + missing + 32) * PAGE);
    store.map.at.free = 20;
    store.make_space(&demand).expect("just enough");
    assert_eq!(store.pages, pages + missing + 32);
    let mut store = store_over(MapOverlay::default(), (pages + missing + 31) * PAGE);
    store.map.at.free = 20;
    let refused = store.make_space(&demand);
    assert!(matches!(refused, Err(Failure::Full)), "{refused:?}");
}

#[test]
fn where_nothing_is_pending_and_no_page_can_come_a_new_round_brings_those_behind() {
    let mut store = fixed(2000);
    commit(&mut store, &[(b"a", 10)]);
    store.checkpoint().expect("room");
    (store.map.at.free, store.map.at.ahead.passed) = (0, store.worth_freeing());
    store.make_space(&Demand { pages: 2, ..Demand::default() }).expect("a new round");
}

#[test]
fn a_new_round_folds_in_what_is_pending() {
    let mut store = store();
    let checkpoints = store.counters().checkpoints;
    store.new_round().expect("a round");
    assert_eq!(store.counters().checkpoints, checkpoints, "there was nothing to fold in");
    commit(&mut store, &[(b"a", 10), (b"b", 700)]);
    store.new_round().expect("a round");
    assert_eq!((store.counters().checkpoints, store.pending()), (checkpoints + 1, 0));
    let free = store.map.at.free;
    store.run_of(4).expect("pages");
    store.map.keep(store.pages);
    assert!(store.map.at.free < free);
    store.new_round().expect("a round");
    assert_eq!(store.map.at.free, free, "nobody took them");
}

#[test]
fn a_run_that_is_not_there_makes_the_file_grow() {
    let mut store = store();
    let least = store.floor(&Demand::default());
    store.make_space(&Demand::default()).expect("space");
    let before = store.pages;
    let run = store.run_of((store.map.at.free - least + 1) as u64).expect("a run");
    assert!(store.pages > before && run.pages > 0);
    assert!(store.map.at.free >= least, "a checkpoint finds its pages");
}

#[test]
fn work_that_finds_no_room_is_tried_once_more() {
    let mut store = store();
    let demand = Demand::default();
    let mut calls = 0;
    let done = store.settled(&demand, |_, _| {
        calls += 1;
        if calls == 1 { Err(Failure::Full) } else { Ok(calls) }
    });
    assert_eq!(done.ok(), Some(2));
    calls = 0;
    let refused = store.settled(&demand, |_, _| -> Result<(), _> {
        calls += 1;
        Err(Failure::Full)
    });
    assert!(matches!(refused, Err(Failure::Full)));
    assert_eq!(calls, 2);
    calls = 0;
    let refused = store.settled(&demand, |_, _| -> Result<(), _> {
        calls += 1;
        Err(Failure::BatchTooLarge)
    });
    assert!(matches!(refused, Err(Failure::BatchTooLarge)));
    assert_eq!(calls, 1, "another round brings nothing");
}

#[test]
fn deletions_may_take_what_is_left_for_them() {
    let mut store = store();
    store.superblock.height.set(3);
    let deletes = Demand { deletes_only: true, ..Demand::default() };
    for (pages, spare) in [(64, 4), (64 * 20, 20), (64 * 99, 32)] {
        store.pages = pages;
        assert_eq!(store.floor(&deletes), store.reserve(&deletes));
        assert_eq!(store.floor(&Demand::default()), store.reserve(&deletes) + spare + 4 * 3 + 8);
    }
}

/// How high a tree is when every node is filled to the last byte that a cell more would not fit into: cell by
/// cell.
mod height {
    use super::*;

    /// Nodes that cells of `bytes` in all fill when each is closed `largest` bytes, a cell more, too early.
    fn fill(bytes: u64, largest: u64, capacity: u64) -> u64 {
        let (mut left, mut nodes) = (bytes, 0);
        while left > 0 {
            left = left.saturating_sub((capacity - largest).max(1));
            nodes += 1;
        }
        nodes
    }

    fn packed(bytes: u64, largest: u64, capacity: u64) -> u64 {
        if bytes <= capacity { 1 } else { fill(bytes, largest, capacity) }
    }

    #[derive(Clone, Copy, Debug)]
    struct Tree {
        height: u64,
        nodes: u64,
        entries: u64,
        records: u64,
        name: u64,
    }

    fn levels(tree: Tree, geometry: &Geometry) -> u64 {
        let capacity = (geometry.page_size() - NodeHeader::SIZE) as u64;
        let cell = InternalCell::SIZE as u64 + tree.name + 2;
        let value = (HeadValue::SIZE as u64).max(geometry.max_inline() as u64 + 32);
        let record = LeafCell::SIZE as u64 + tree.name + 2 + value;
        let mut nodes = match tree.height {
            0 => packed(tree.records, record, capacity),
            1 => packed(capacity + tree.records, record, capacity),
            height => {
                // No more leaves are split than changes fall into them, nor than there are.
                let mut split = tree.entries.min(tree.nodes) + fill(tree.records, record, capacity);
                for _ in 1..height - 1 {
                    split = split.min(tree.nodes) + fill(split * cell, cell, capacity);
                }
                packed(capacity + split * cell, cell, capacity)
            }
        };
        let mut levels = tree.height.max(1);
        while nodes > 1 {
            nodes = packed(nodes * cell, cell, capacity);
            levels += 1;
        }
        levels
    }

    #[test]
    fn it_is_what_packing_cell_by_cell_gives() {
        let mut store = store();
        let capacity = PAGE - NodeHeader::SIZE as u64;
        let mut random = 88_172_645_463_325_252_u64;
        let mut below = |most: u64| {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            random % most
        };
        let mut seen = [0; 12];
        for round in 0..60_000 {
            let near = below(6) * capacity / 2 + below(60);
            let tree = Tree {
                height: below(5),
                nodes: 1 + below(40),
                entries: below(30),
                records: if round % 2 == 0 { near.saturating_sub(30) } else { below(12_000) },
                name: 1 + below(store.geometry.max_name() as u64),
            };
            // Spread over both layers and the group.
            let (a, b) = (below(tree.entries + 1), below(tree.records + 1));
            let (c, d) = (below(tree.entries - a + 1), below(tree.records - b + 1));
            let mut names = [tree.name as u16, 1, 1, 1];
            names.swap(0, below(4) as usize);
            store.superblock.height.set(tree.height as u32);
            store.superblock.tree_pages.set(tree.nodes);
            store.superblock.longest_name.set(names[0].into());
            store.active = Pending {
                entries: a as usize,
                records: b as usize,
                longest_name: names[1],
                ..Pending::default()
            };
            store.frozen = Pending {
                entries: c as usize,
                records: d as usize,
                longest_name: names[2],
                ..Pending::default()
            };
            let demand = Demand {
                operations: (tree.entries - a - c) as usize,
                records: (tree.records - b - d) as usize,
                longest_name: names[3].into(),
                ..Demand::default()
            };
            let expected = levels(tree, &store.geometry);
            assert_eq!(u64::from(store.height_after(&demand)), expected, "{tree:?}");
            seen[expected.min(11) as usize] += 1;
        }
        assert!(seen.iter().filter(|count| **count > 100).count() >= 5, "{seen:?}");
    }
}

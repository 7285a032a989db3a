//! What is set aside for a checkpoint does for it, and does not make the file longer than it need be.

use super::*;
use crate::store::Progress;

#[test]
fn a_checkpoint_comes_before_growth_where_much_is_set_aside_for_it() {
    let mut store = store();
    store.superblock.height.set(3);
    store.superblock.tree_pages.set(100_000);
    store.pages = 64_000;
    let few = (store.pages / 64) as usize;
    let mut of = |entries, pages, free| {
        store.active = Pending { entries, ..Pending::default() };
        (store.pages, store.map.at.free) = (pages, store.floor(&Demand::default()) + free);
        (store.sets_much_aside(&Demand::default()), store.wants_pages(), store.is_short_of_pages())
    };
    // Seven pages a change, and five.
    assert_eq!(of(1142, 64_000, few - 1), (false, false, false), "less than an eighth of the file");
    assert_eq!(of(1143, 64_000, few - 1), (true, true, true));
    assert_eq!(of(1143, 64_000, few), (true, false, false), "there are free pages besides");
    assert_eq!(of(72, 800, 0), (false, false, false), "less than twice the journal");
    assert_eq!(of(73, 800, 0), (true, true, true));
}

#[test]
fn so_it_does_where_much_is_for_new_records() {
    let mut store = store();
    let journal = (JOURNAL / PAGE) as usize;
    let mut given = |group, pages_of_records, pages| {
        store.active =
            Pending { entries: 1, records: pages_of_records * PAGE as usize, ..Pending::default() };
        store.pages = pages;
        store.sets_much_aside(&group)
    };
    let mut of = |records, pages| given(Demand::default(), records, pages);
    // Each is counted twice.
    assert!(of(journal / 4, 800), "half a journal");
    assert!(!of(journal / 4 - 1, 800));
    assert!(of(100, 1600), "an eighth of the file");
    assert!(!of(99, 1600));
    // A group that needs as much by itself is not helped by a checkpoint before it.
    let group = Demand { records: 49 * PAGE as usize, ..Demand::default() };
    assert!(given(group, 98, 800));
    assert!(!given(group, 97, 800));
}

#[test]
fn a_name_is_counted_once_in_a_layer_and_as_it_is_now() {
    let mut store = store();
    let counted = |store: &Tiny<MapOverlay>| (store.pending(), store.active.records + store.frozen.records);
    commit(&mut store, &[(b"a", 10)]);
    assert_eq!(counted(&store), (1, 1 + 128 + 10));
    commit(&mut store, &[(b"a", 30), (b"b", 600), (b"a", 20)]);
    assert_eq!(counted(&store), (2, 1 + 128 + 20 + 1 + 128));
    let mut deletion = batch(&store, &[]);
    deletion.delete(b"a").expect("room");
    store.commit(&mut [deletion], Durability::Durable).expect("a commit");
    assert_eq!(counted(&store), (2, 2 * (1 + 128)));
    // Once more while a checkpoint is under way.
    assert_eq!(store.checkpoint_step(), Ok(Progress::Working));
    commit(&mut store, &[(b"b", 700), (b"b", 10)]);
    assert_eq!(counted(&store), (3, 2 * (1 + 128) + 1 + 128 + 10));
    while store.wants_checkpoint() {
        store.checkpoint_step().expect("room");
    }
    assert_eq!(counted(&store), (1, 1 + 128 + 10));
}

#[test]
fn the_file_grows_only_if_a_checkpoint_does_not_do() {
    let mut store = store_with(9, MapOverlay::default(), 1 << 30);
    let names: Vec<Vec<u8>> = (0..400).map(|number| std::format!("{number:04}").into_bytes()).collect();
    let puts: Vec<(&[u8], usize)> = names.iter().map(|name| (&name[..], 100)).collect();
    let demand = Demand::default();
    for (some, much) in [(20, false), (400, true)] {
        commit(&mut store, &puts);
        store.checkpoint().expect("room");
        commit(&mut store, &puts[..some]);
        assert_eq!(store.sets_much_aside(&Demand::default()), much);
        let (checkpoints, grows) = (store.counters().checkpoints, store.counters().grows);
        (store.map.at.free, store.map.at.ahead.passed) = (store.floor(&demand) - 1, 0);
        store.make_space(&demand).expect("space");
        let made = (store.counters().checkpoints - checkpoints, store.counters().grows - grows);
        assert_eq!(made, if much { (1, 0) } else { (0, 1) });
    }
}

#[test]
fn of_a_large_registry_each_change_takes_a_leaf_and_the_inner_nodes_are_taken_once() {
    let mut store = store();
    store.superblock.height.set(4);
    store.superblock.tree_pages.set(100_000);
    store.superblock.longest_name.set(22);
    let mut reserve = |entries, records| {
        store.active = Pending { entries, records, ..Pending::default() };
        store.reserve(&Demand::default())
    };
    // Few changes: each a path of four nodes with their neighbours and one more.
    assert_eq!(reserve(10, 0), 10 * 9 + 4 + 2);
    // Many: their leaves and neighbours, and a cell of 70 bytes for each node there will be, in nodes that are a
    // quarter full.
    let inner = |cells: usize| (cells * 70).div_ceil((PAGE as usize - NodeHeader::SIZE) / 4);
    assert_eq!(reserve(20_000, 0), 40_000 + inner(140_000) + 4 + 2);
    assert_eq!(reserve(20_000, 5120), 40_000 + inner(140_020) + 20 + 4 + 2);
    // All of it and half as much again.
    assert_eq!(reserve(60_000, 0), 150_000 + 4 + 2);
}

#[test]
fn no_seal_stands_before_pages_that_a_lost_checkpoint_needs() {
    let mut store = store_with(9, MapOverlay::default(), 1 << 30);
    let names: Vec<Vec<u8>> = (0..400).map(|number| std::format!("{number:04}").into_bytes()).collect();
    commit(&mut store, &names.iter().map(|name| (&name[..], 100)).collect::<Vec<_>>());
    assert_eq!(store.checkpoint_step(), Ok(Progress::Working));
    store.sync().expect("a sync");
    let (head, free) = (store.journal.head, store.map.at.free);
    store.map.at.free = store.reserve(&Demand::default()) - 1;
    store.seal().expect("nothing to write");
    assert_eq!(store.journal.head, head);
    store.map.at.free += 1;
    store.seal().expect("a seal");
    assert!(store.journal.head > head);
    store.map.at.free = free;
    store.checkpoint().expect("room");
    let head = store.journal.head;
    commit(&mut store, &[(b"more", 1)]);
    store.sync().expect("a sync");
    store.map.at.free = 0;
    store.seal().expect("no checkpoint is under way");
    assert!(store.journal.head > head);
}

#[test]
fn a_block_that_is_begun_amid_a_checkpoint_leaves_what_is_set_aside_for_it() {
    let mut store = store_with(9, MapOverlay::default(), 1 << 30);
    let names: Vec<Vec<u8>> = (0..400).map(|number| std::format!("{number:04}").into_bytes()).collect();
    let puts: Vec<(&[u8], usize)> = names.iter().map(|name| (&name[..], 100)).collect();
    commit(&mut store, &puts);
    store.checkpoint().expect("room");
    for plenty in [false, true] {
        commit(&mut store, &puts);
        let free = store.reserve(&Demand::default()) + if plenty { 1000 } else { 5 };
        store.map.at.free = free;
        store.map.keep(store.pages);
        (0..20).for_each(|_| assert_eq!(store.checkpoint_step(), Ok(Progress::Working)));
        let folded = store.checkpoint.as_ref().map(|checkpoint| checkpoint.fold.folded);
        store.begin_staged();
        assert!(store.map.kept().0.free >= store.reserve(&Demand::default()));
        let kept = store.checkpoint.as_ref().map(|checkpoint| checkpoint.fold.folded);
        assert_eq!(kept, if plenty { folded } else { Some(0) }, "it begins anew only if it has to");
        store.checkpoint().expect("room");
        store.end_staged();
    }
}

/// A file of fixed size that is filled up while a checkpoint is nearly done can still be opened, and the checkpoint be
/// made again: what it took by then is not free yet.
#[test]
fn a_checkpoint_that_is_lost_late_can_be_made_again() {
    let mut late = 0;
    for (pages, names, updates, left) in
        [(5000, 3000, 250, 10), (5000, 3000, 200, 1), (8000, 6000, 400, 40), (8000, 6000, 400, 2)]
    {
        let mut store = fixed(pages);
        let put = |store: &mut Tiny<MapOverlay>, numbers: &[u32]| {
            let names: Vec<Vec<u8>> =
                numbers.iter().map(|number| std::format!("record/{number:09}").into_bytes()).collect();
            commit(store, &names.iter().map(|name| (&name[..], 60)).collect::<Vec<_>>());
        };
        (0..names).collect::<Vec<u32>>().chunks(20).for_each(|numbers| put(&mut store, numbers));
        store.checkpoint().expect("room");
        let made = store.counters().checkpoints;
        (0..updates).for_each(|number| put(&mut store, &[number * 7919 % names]));
        while store
            .checkpoint
            .as_ref()
            .is_none_or(|checkpoint| checkpoint.fold.folded as u64 + left <= u64::from(updates))
        {
            store.checkpoint_step().expect("room");
        }
        // Single values, as long as each leaves what is set aside; no run of so many pages is as good as none free.
        let (mut filled, mut pages) = (0, 900);
        while pages > 0 && store.counters().checkpoints == made {
            let name = std::format!("filled/{filled:09}");
            let value = batch(&store, &[(name.as_bytes(), (pages * PAGE) as usize)]);
            let need = pages as usize + store.floor(&demand_of(&store, core::slice::from_ref(&value)));
            let done = store.map.at.free >= need && store.commit(&mut [value], Durability::Buffered).is_ok();
            (filled, pages) = if done { (filled + 1, pages) } else { (filled, pages / 3) };
        }
        // One that had to go round again has made the checkpoint.
        late += u32::from(store.counters().checkpoints == made);
        let image = store.io.device.bytes().to_vec();
        let (limit, memory) = (image.len() as u64, store.memory);
        let options = OpenOptions::new(memory);
        let device = VecDevice::from_bytes(image, 512, limit);
        let buffer = vec![0; memory.bytes(PAGE as usize)];
        let opened = Store::open(device, MapOverlay::default(), buffer, &options);
        assert!(opened.is_ok(), "{:?}", opened.err());
        store.start_over();
        store.checkpoint().expect("room for the second time");
        let mut gone = batch(&store, &[]);
        gone.delete(b"record/000000001").expect("a batch");
        store.commit(&mut [gone], Durability::Durable).expect("a deletion finds room");
    }
    assert!(late >= 2, "{late} checkpoints were lost");
}

/// A checkpoint that finds just the pages that were set aside for it has enough of them, whatever was done to the
/// registry before: names of one length or of many, loaded in order or at random, most of them deleted again.
#[test]
fn what_is_set_aside_does_for_the_checkpoint() {
    let mut tight = 0;
    for seed in 0..if cfg!(debug_assertions) { 60 } else { 600 } {
        let mut random = fastrand::Rng::with_seed(seed);
        let mut store = store_with(9, MapOverlay::default(), 1 << 30);
        let (names, long) = (random.u32(20..1500), random.usize(1..56));
        let inline = store.geometry.max_inline();
        let name = |number: u32| {
            let text =
                std::format!("{:07}", number.wrapping_mul(if seed % 2 == 0 { 1 } else { 7919 }) % 9973);
            let stuffing = if seed % 3 == 0 { long } else { number as usize * 31 % long };
            [text.into_bytes(), vec![b'.'; stuffing]].concat()
        };
        for round in 0..random.u32(1..8) {
            let mut batch = batch(&store, &[]);
            let deletes = random.f32();
            for _ in 0..random.u32(1..names) {
                let name = name(random.u32(0..names));
                if random.f32() < deletes * 0.9 && round > 0 {
                    batch.delete(&name).expect("a batch");
                } else {
                    batch.put(&name, &vec![1; random.usize(0..inline)], 0).expect("a batch");
                }
            }
            store.commit(&mut [batch], Durability::Buffered).expect("room");
            // Nothing but what is set aside is left.
            let reserve = store.reserve(&Demand::default());
            if store.pending() > 0 && store.map.at.free >= reserve {
                let spare = store.map.at.free - reserve;
                store
                    .with_host(NOBODY, |host| (0..spare).try_for_each(|_| host.allocate(1, 1).map(drop)))
                    .expect("they are free");
                assert_eq!(store.map.at.free, reserve);
                let grows = store.counters().grows;
                store.checkpoint().expect("room");
                assert_eq!(store.counters().grows, grows, "seed {seed}, round {round}: {reserve} pages");
                tight += 1;
            }
            store.checkpoint().expect("room");
        }
    }
    assert!(tight > 60, "{tight} checkpoints had just what was set aside");
}

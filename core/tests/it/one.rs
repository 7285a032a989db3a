//! Commits of one change leave what a batch of that change leaves, to the byte.

use crate::support::*;
use blockyard_core::Durability::{self, Buffered, Durable};
use blockyard_core::device::VecDevice;
use blockyard_core::error::WriteError;
use blockyard_core::overlay::Overlay;
use blockyard_core::store::Memory;

const LITTLE: Shape = Shape { memory: Memory::SMALL, carry_max: 1024, journal_pages: 16, ..Shape::SMALL };

/// Values of each kind: within the registry's record, carried, in pages of their own, of whole pages and not.
fn lengths(page: usize) -> [usize; 10] {
    [0, 1, page / 4, page / 4 + 1, page / 2, page / 2 + 1, page, page + 1, 2 * page, 3 * page + 7]
}

/// Makes the same changes with and without batches.
fn same<O: Overlay + Default>(shape: &Shape) {
    let device = || shape.device(1 << 12);
    let (mut with, mut without): (TestStore<O>, TestStore<O>) =
        (shape.new_store(device()), shape.new_store(device()));
    let page = with.geometry().page_size();
    let mut rng = fastrand::Rng::with_seed(7);
    let mut model = Model::new();
    for number in 0..400_u64 {
        let name = format!("name/{}", rng.u32(0..24)).into_bytes();
        let length = lengths(page)[rng.usize(0..10)].min(with.geometry().chunk_size() as usize);
        let durability: Durability = if rng.bool() { Durable } else { Buffered };
        let value = bytes(number, length);
        let mut changes = batch(with.geometry());
        if rng.u32(0..5) == 0 {
            changes.delete(&name).unwrap();
            without.delete(&name, durability).unwrap();
            model.remove(&name);
        } else {
            changes.put(&name, &value, number).unwrap();
            if length <= page / 4 && rng.bool() {
                without.put_small(&name, &value, number, durability).unwrap();
            } else {
                without.put(&name, &value, number, durability).unwrap();
            }
            model.insert(name, (number, value));
        }
        with.commit(&mut [changes], durability).unwrap();
        assert_eq!(without.sequence(), with.sequence());
        assert_eq!(without.durable_sequence(), with.durable_sequence());
        if rng.u32(0..40) == 0 {
            with.checkpoint().unwrap();
            without.checkpoint().unwrap();
        }
    }
    assert_same(&contents(&mut without), &model, "without batches");
    let left = |store: TestStore<O>| -> VecDevice { store.into_device() };
    let (with, without) = (left(with), left(without));
    assert!(with.bytes() == without.bytes(), "the files are the same");
    let (mut store, _) = shape.open::<O, _>(without).unwrap();
    assert_sound(&mut store, &model, "opened again");
}

#[test]
fn one_change_is_recorded_as_a_batch_of_it_is() {
    for carry_max in [0, 1024, 1 << 20] {
        same::<Heap>(&Shape { carry_max, ..LITTLE });
        same::<Fixed>(&Shape { carry_max, ..LITTLE });
        same::<Heap>(&Shape { carry_max, ..Shape::LARGE });
    }
}

#[test]
fn what_one_commit_cannot_take_is_refused_and_nothing_is_written() {
    let mut store: TestStore<Fixed> = LITTLE.new_store(LITTLE.device(1 << 12));
    let (chunk, page) = (store.geometry().chunk_size() as usize, store.geometry().page_size());
    let longest = store.geometry().max_name();
    let writes = store.counters().writes;
    let name = vec![b'n'; longest + 1];
    let too_long = Err(WriteError::NameTooLong { length: longest + 1, max: longest });
    assert_eq!(store.put(b"", b"value", 0, Durable), Err(WriteError::NameEmpty));
    assert_eq!(store.delete(b"", Durable), Err(WriteError::NameEmpty));
    assert_eq!(store.put(&name, b"value", 0, Durable), too_long);
    assert_eq!(store.delete(&name, Durable), too_long);
    assert_eq!(store.put(b"name", &vec![0; chunk + 1], 0, Durable), Err(WriteError::BatchTooLarge));
    assert_eq!(store.put_small(b"name", &vec![0; page / 4 + 1], 0, Durable), Err(WriteError::BatchTooLarge));
    assert_eq!((store.counters().writes, store.sequence().0), (writes, 0));
    store.put(&name[1..], &vec![7; chunk], 0, Durable).unwrap();
    assert_eq!(get(&mut store, &name[1..]), Some(vec![7; chunk]));
}

/// A store that is full refuses puts and takes deletions, and goes on where room was made.
#[test]
fn a_full_store_takes_deletions_without_a_batch() {
    let shape = Shape { growth: 1, ..LITTLE };
    let mut store: TestStore<Fixed> = shape.new_store(shape.device(200));
    let value = bytes(1, store.geometry().chunk_size() as usize);
    let mut names = Vec::new();
    let refused = loop {
        let name = format!("{}", names.len()).into_bytes();
        match store.put(&name, &value, 0, Durable) {
            Ok(_) => names.push(name),
            Err(error) => break error,
        }
    };
    assert_eq!(refused, WriteError::Full);
    for name in &names {
        store.delete(name, Durable).unwrap();
    }
    store.checkpoint().unwrap();
    store.put(b"again", &value, 0, Durable).unwrap();
    assert_eq!(get(&mut store, b"again"), Some(value));
}

//! Stores in as little memory as allowed, and files from those who had more.

use crate::support::*;
use blockyard_core::Durability::{Buffered, Durable};
use blockyard_core::Store;
use blockyard_core::device::VecDevice;
use blockyard_core::error::{OpenError, WriteError};
use blockyard_core::overlay::{FixedOverlay, Overlay};
use blockyard_core::store::{CreateOptions, Memory};

const LITTLE: Shape = Shape { memory: Memory::SMALL, carry_max: 1024, journal_pages: 16, ..Shape::SMALL };
/// As little as there can be: the free map is one page, in two versions.
const TINY: Shape = Shape { memory: Memory::TINY, ..LITTLE };

/// The tree got more levels than the store had memory for: the commit was in the journal by then, no
/// checkpoint could fold it in, and the file could not be opened for writing any more. Now changes are
/// refused one level before that, and deletions are still possible.
fn outgrown<O: Overlay + Default>(shape: &Shape, least: usize, name: impl Fn(u64) -> Vec<u8>) {
    let mut store: TestStore<O> = shape.new_store(shape.device(1 << 16));
    let mut model = Model::new();
    let mut number = 0;
    let refused = loop {
        let name = name(number);
        let value = bytes(number, (number % 100) as usize);
        if let Err(error) = put(&mut store, &name, &value, Buffered) {
            break error;
        }
        model.insert(name.clone(), (name.len() as u64, value));
        number += 1;
    };
    assert_eq!(refused, WriteError::WorkspaceTooSmall);
    assert!(model.len() > least, "{} blocks are too few", model.len());
    let large = bytes(1, 3000);
    let streamed = stream(&mut store, b"large", 0, &large, Durable);
    assert_eq!(streamed, Err(WriteError::WorkspaceTooSmall));
    store.checkpoint().unwrap();
    assert_same(&contents(&mut store), &model, "outgrown");
    assert_sound(&mut store, &model, "outgrown");

    let (mut store, _) = shape.open::<O, _>(store.into_device()).unwrap();
    let names: Vec<_> = model.keys().cloned().collect();
    for name in names.iter().step_by(2) {
        delete(&mut store, name, Durable).unwrap();
        model.remove(name);
    }
    store.checkpoint().unwrap();
    assert_sound(&mut store, &model, "half of it deleted");
    for name in names.iter().skip(1).step_by(2) {
        delete(&mut store, name, Buffered).unwrap();
    }
    put(&mut store, b"again", b"there is room", Durable).unwrap();
    let (mut store, _) = shape.open::<O, _>(store.into_device()).unwrap();
    assert_eq!(get(&mut store, b"again").as_deref(), Some(&b"there is room"[..]));
}

#[test]
fn a_tree_that_outgrows_the_memory_is_refused_in_time() {
    let scattered = |number: u64| format!("{:04}", number * 7919 % 9973).into_bytes();
    outgrown::<Heap>(&LITTLE, 40, scattered);
    outgrown::<Fixed>(&LITTLE, 40, scattered);
    outgrown::<Heap>(&TINY, 12, scattered);
    outgrown::<Fixed>(&TINY, 12, scattered);
    let long = |number: u64| format!("{:0>60}", number * 7919 % 9973).into_bytes();
    outgrown::<Heap>(&LITTLE, 40, long);
    outgrown::<Fixed>(&LITTLE, 40, long);
    outgrown::<Fixed>(&LITTLE, 40, |number| format!("{number:0>30}").into_bytes());
}

/// A batch larger than the tree it falls into.
#[test]
fn one_commit_may_raise_the_tree_by_several_levels() {
    let mut store: TestStore<Fixed> = LITTLE.new_store(LITTLE.device(1 << 16));
    let mut model = Model::new();
    let mut all = batch(store.geometry());
    for number in 0..90_u64 {
        let name = format!("{:0>30}", number * 7919 % 9973).into_bytes();
        all.put(&name, b"", 0).unwrap();
        model.insert(name, (0, Vec::new()));
    }
    match store.commit(&mut [all], Durable) {
        Ok(_) => {
            store.checkpoint().unwrap();
            assert_sound(&mut store, &model, "raised");
        }
        Err(error) => assert!(matches!(error, WriteError::BatchTooLarge | WriteError::WorkspaceTooSmall)),
    }
    put(&mut store, b"1", b"", Durable).unwrap();
}

/// A name longer than the overlay's was recorded, and lost when it did not fit. Now it is refused
/// before anything is written, and by recovery.
#[test]
fn names_longer_than_the_overlays_are_refused() {
    type Short = FixedOverlay<32, 8>;
    let mut store: TestStore<Short> = LITTLE.new_store(LITTLE.device(1 << 12));
    let refused = put(&mut store, b"123456789", b"", Durable);
    assert_eq!(refused, Err(WriteError::NameTooLong { length: 9, max: 8 }));
    put(&mut store, b"12345678", b"", Durable).unwrap();

    let (mut store, _) = LITTLE.open::<Heap, _>(store.into_device()).unwrap();
    put(&mut store, b"123456789", b"pending", Durable).unwrap();
    let device = store.into_device();
    let refused = LITTLE.open::<Short, _>(device.clone());
    assert_eq!(refused.map(drop), Err(OpenError::WorkspaceTooSmall));
    let (mut store, _) = LITTLE.open::<Heap, _>(device).unwrap();
    assert_eq!(get(&mut store, b"123456789").as_deref(), Some(&b"pending"[..]));
    // Folded in, it needs no place in the overlay.
    let (mut store, _) = LITTLE.open::<Short, _>(store.into_device()).unwrap();
    assert_eq!(get(&mut store, b"123456789").as_deref(), Some(&b"pending"[..]));
}

#[test]
fn a_journal_of_more_changes_than_the_overlay_holds_is_refused_whole() {
    type Few = FixedOverlay<8, 64>;
    let mut store: TestStore<Heap> = LITTLE.new_store(LITTLE.device(1 << 12));
    for number in 0..9 {
        put(&mut store, format!("{number}").as_bytes(), b"pending", Durable).unwrap();
    }
    let device = store.into_device();
    let refused = LITTLE.open::<Few, _>(device.clone());
    assert_eq!(refused.map(drop), Err(OpenError::WorkspaceTooSmall));
    let (mut store, recovery) = LITTLE.open::<Heap, _>(device).unwrap();
    assert_eq!((recovery.records, names(&mut store).len()), (9, 9));
}

/// A file could be created that its own memory was too little to open: a journal as long as all the pages that one page of the
/// free map describes.
#[test]
fn what_cannot_be_opened_is_not_created() {
    let options = TINY.options();
    for (journal_length, fits) in [(1 << 20, true), (2 << 20, false), (64 << 20, false)] {
        let create = CreateOptions { journal_length, ..TINY.create() };
        let mut device = VecDevice::new(512, 1 << 30);
        let created = Store::create(&mut device, Heap::default(), TINY.buffer(), &create, &options);
        if fits {
            created.unwrap();
            let opened = Store::open(device, Heap::default(), TINY.buffer(), &options);
            assert_eq!(opened.err(), None);
        } else {
            assert_eq!(created.err(), Some(OpenError::WorkspaceTooSmall));
            assert!(device.bytes().is_empty(), "something was written");
        }
    }
}

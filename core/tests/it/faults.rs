//! Operations that fail once: each read, write, sync and growth of a life in turn.
//!
//! A failed read is answered with the device's error and changes nothing. A failed write, growth or
//! sync poisons the store: what could be read before can be read on, nothing is written any more, and
//! opening it again recovers what was acknowledged (the states that power cuts leave are
//! [`crate::crash`]'s business). A growth for which there is no room is no fault.

use crate::support::*;
use blockyard_core::Durability::{Buffered, Durable};
use blockyard_core::error::{OpenError, ReadError, Structure, WriteError};
use blockyard_core::overlay::Overlay;
use blockyard_core::store::Memory;
use blockyard_core::{Sequence, Store};
use blockyard_sim::device::SimDevice;
use blockyard_sim::fault::{Fault, Operation, SimError};
use std::collections::BTreeMap;

const SHAPE: Shape = Shape {
    page_size: 512,
    journal_pages: 12,
    chunk_pages: 3,
    memory: Memory { levels: 6, map_pages: 6, staging: 0 },
    growth: 5,
    groups_ahead: 1,
    carry_max: 900,
};
const EIO: SimError = SimError::Eio;

type Written = Result<Sequence, WriteError<SimError>>;
type Life<'m, O> = Vec<(Model, Box<dyn FnMut(&mut TestStore<O, SimDevice>) -> Written + 'm>)>;

fn device() -> SimDevice {
    SimDevice::new(Vec::new(), 400 * 512, 1)
}

/// Changes of all kinds, each with the state that it leads to.
fn life<'m, O: Overlay>() -> Life<'m, O> {
    let mut model = Model::new();
    let mut life: Life<'m, O> = Vec::new();
    for round in 0..4_u64 {
        for (index, length) in [0, 100, 700, 1500].into_iter().enumerate() {
            let name = format!("name {index}").into_bytes();
            let value = bytes(round * 10 + index as u64, length);
            let durability = if index % 2 == 0 { Durable } else { Buffered };
            model.insert(name.clone(), (6, value.clone()));
            life.push((model.clone(), Box::new(move |store| put(store, &name, &value, durability))));
        }
        let value = bytes(round, 4000);
        model.insert(b"stream".to_vec(), (1, value.clone()));
        life.push((model.clone(), Box::new(move |store| stream(store, b"stream", 1, &value, Durable))));
        let mut puts = Vec::new();
        for index in 0..9 {
            let (name, value) = (format!("many {index}").into_bytes(), bytes(round + index, 300));
            model.insert(name.clone(), (2, value.clone()));
            puts.push((name, value));
        }
        life.push((
            model.clone(),
            Box::new(move |store| {
                let mut batch = batch(store.geometry());
                puts.iter().for_each(|(name, value)| batch.put(name, value, 2).unwrap());
                store.commit(&mut [batch], Buffered)
            }),
        ));
        for (from, to) in [(&b"stream"[..], &b"name 1"[..]), (b"name 0", b"moved")] {
            let block = model.remove(from).unwrap();
            model.insert(to.to_vec(), block);
            life.push((
                model.clone(),
                Box::new(move |store| {
                    let mut scratch = batch(store.geometry());
                    store.rename(from, to, &mut scratch, Buffered)
                }),
            ));
        }
        life.push((model.clone(), Box::new(|store| store.checkpoint().map(|()| store.sequence()))));
        model.remove(&b"name 3"[..]);
        life.push((model.clone(), Box::new(|store| delete(store, b"name 3", Durable))));
    }
    life
}

/// How often a whole life does `operation`.
fn operations<O: Overlay + Default>(operation: Operation) -> u64 {
    let device = device();
    let mut store: TestStore<O, _> = SHAPE.new_store(device.clone());
    device.arm(None);
    for (_, change) in &mut life::<O>() {
        change(&mut store).unwrap();
    }
    device.count(operation)
}

/// A life up to its fault.
struct Lived<O> {
    device: SimDevice,
    store: TestStore<O, SimDevice>,
    model: Model,
    /// The state after each commit, the one that failed included.
    history: BTreeMap<u64, Model>,
    error: Option<WriteError<SimError>>,
}

fn live_until<O: Overlay + Default>(fault: Fault) -> Lived<O> {
    let device = device();
    let store = SHAPE.new_store(device.clone());
    device.arm(Some(fault));
    let history = BTreeMap::from([(0, Model::new())]);
    let mut lived = Lived { device, store, model: Model::new(), history, error: None };
    for (after, mut change) in life::<O>() {
        let before = lived.store.sequence().0;
        lived.error = change(&mut lived.store).err();
        if lived.error.is_some() {
            lived.history.insert(before + 1, after);
            break;
        }
        lived.history.insert(lived.store.sequence().0, after.clone());
        lived.model = after;
    }
    lived.device.arm(None);
    lived
}

fn failed_reads<O: Overlay + Default>() {
    let reads = operations::<O>(Operation::Read);
    assert!(reads > 10, "{reads} reads are too few to fail");
    for number in 0..reads {
        let Lived { device, mut store, model: before, error, .. } =
            live_until::<O>(Fault::Fails(Operation::Read, number));
        assert_eq!(error, Some(WriteError::Device(EIO)), "read {number}");
        assert!(!store.is_poisoned(), "read {number}");
        assert_same(&contents(&mut store), &before, "after a failed read");
        put(&mut store, b"works", b"on", Durable).unwrap();
        let mut model = before;
        model.insert(b"works".to_vec(), (5, b"on".to_vec()));
        store.checkpoint().unwrap();
        assert_sound(&mut store, &model, "after a failed read");
        drop(store);
        let (mut store, _) = SHAPE.open::<O, _>(device).unwrap();
        assert_same(&contents(&mut store), &model, "after a failed read and a reopen");
    }
}

#[test]
fn failed_reads_change_nothing() {
    failed_reads::<Heap>();
    failed_reads::<Fixed>();
}

#[test]
fn each_way_to_read_hands_the_devices_error_on() {
    let device = device();
    let mut store: TestStore<Heap, _> = SHAPE.new_store(device.clone());
    put(&mut store, b"extent", &bytes(1, 700), Durable).unwrap();
    stream(&mut store, b"stream", 0, &bytes(2, 4000), Durable).unwrap();
    store.checkpoint().unwrap();
    let fail = || device.arm(Some(Fault::Fails(Operation::Read, 0)));
    let mut buffer = [0; 4000];
    fail();
    assert_eq!(store.info(b"extent"), Err(ReadError::Device(EIO)));
    fail();
    assert_eq!(store.exists(b"extent"), Err(ReadError::Device(EIO)));
    fail();
    assert_eq!(store.get(b"stream", &mut buffer), Err(ReadError::Device(EIO)));
    fail();
    assert_eq!(store.next_name(None, &mut buffer), Err(ReadError::Device(EIO)));
    fail();
    assert_eq!(store.verify(&mut Findings::default()), Err(ReadError::Device(EIO)));
    let mut reader = store.reader(b"stream").unwrap();
    fail();
    assert_eq!(reader.read(&mut buffer), Err(ReadError::Device(EIO)));
    // An answer that was refused once is given later.
    assert!(reader.read(&mut buffer).unwrap() > 0);
    assert_eq!(store.get(b"stream", &mut buffer), Ok(Some(4000)));
    assert_eq!(buffer[..], bytes(2, 4000));
}

/// What could be read can be read. Only commits that were never answered durable may be lost, and only
/// by an overlay that reads them back from the journal, whose last unit the failed write may have
/// spoilt; that is told.
fn assert_readable<O: Overlay>(store: &mut TestStore<O, SimDevice>, model: &Model, what: &str) {
    assert_eq!(names(store), model.keys().cloned().collect::<Vec<_>>(), "{what}");
    let durable = store.durable_sequence();
    let mut buffer = [0; 4000];
    for (name, (_, value)) in model {
        match store.get(name, &mut buffer) {
            Ok(length) => assert_eq!(length.map(|length| &buffer[..length]), Some(&value[..]), "{what}"),
            Err(ReadError::Corrupted(damage)) => {
                let entry = store.overlay().active(name).or_else(|| store.overlay().frozen(name));
                assert_eq!(damage.what, Structure::Journal, "{what}");
                assert!(!O::KEEPS_BODIES && entry.unwrap().sequence > durable, "{what}");
            }
            Err(error) => panic!("{what}: {error}"),
        }
    }
}

fn failed_changes<O: Overlay + Default>(operation: Operation) {
    let count = operations::<O>(operation);
    assert!(count > 1, "{count} of {operation:?} are too few to fail");
    for number in 0..count {
        let what = format!("{operation:?} {number} failed");
        let Lived { device, mut store, model, history, error } =
            live_until::<O>(Fault::Fails(operation, number));
        assert_eq!(error, Some(WriteError::Device(EIO)), "{what}");
        assert!(store.is_poisoned(), "{what}");
        let durable = store.durable_sequence();
        // What could be read can be read.
        assert_readable(&mut store, &model, &what);
        let changes = device.changes();
        assert_eq!(put(&mut store, b"name 1", b"", Buffered), Err(WriteError::Poisoned), "{what}");
        assert_eq!(store.checkpoint(), Err(WriteError::Poisoned), "{what}");
        assert_eq!(store.sync(), Err(WriteError::Poisoned), "{what}");
        assert_eq!(device.changes(), changes, "{what}: a poisoned store writes nothing");
        drop(store);
        let (mut store, recovery) = SHAPE.open::<O, _>(device).unwrap();
        assert!(recovery.to >= durable, "{what}");
        let expected = &history[&recovery.to.0];
        assert_same(&contents(&mut store), expected, &what);
        assert_sound(&mut store, expected, &what);
        put(&mut store, b"works", b"on", Durable).unwrap();
    }
}

#[test]
fn failed_writes_poison() {
    failed_changes::<Heap>(Operation::Write);
    failed_changes::<Fixed>(Operation::Write);
}

#[test]
fn failed_syncs_poison() {
    failed_changes::<Heap>(Operation::Sync);
    failed_changes::<Fixed>(Operation::Sync);
}

#[test]
fn failed_growth_poisons() {
    failed_changes::<Heap>(Operation::Grow);
    failed_changes::<Fixed>(Operation::Grow);
}

/// A growth for which there is no room is tried again smaller, or after a checkpoint; the store is
/// never poisoned by it.
#[test]
fn no_room_to_grow_is_not_a_fault() {
    for number in 0..operations::<Heap>(Operation::Grow) {
        let Lived { mut store, model, error, .. } = live_until::<Heap>(Fault::NoSpaceAt(number));
        assert!(matches!(error, None | Some(WriteError::Full)), "{error:?}");
        assert!(!store.is_poisoned());
        assert_same(&contents(&mut store), &model, "after a refused growth");
        put(&mut store, b"works", b"on", Durable).unwrap();
    }
}

#[test]
fn creation_fails_with_the_devices_error_and_can_be_done_again() {
    let fresh = device();
    drop(SHAPE.new_store::<Heap, _>(fresh.clone()));
    for operation in [Operation::Write, Operation::Sync, Operation::Grow] {
        let count = fresh.count(operation);
        assert!(count > 0);
        for number in 0..count {
            let device = device();
            device.arm(Some(Fault::Fails(operation, number)));
            let create = || {
                Store::create(device.clone(), Heap::new(), SHAPE.buffer(), &SHAPE.create(), &SHAPE.options())
            };
            assert_eq!(create().map(drop), Err(OpenError::Device(EIO)), "{operation:?} {number}");
            let again = self::device();
            again.arm(Some(Fault::Fails(operation, number)));
            // A store that lay there before is not taken for the one that could not be made.
            let mut place = Some(SHAPE.new_store::<Heap, _>(self::device()));
            let (overlay, buffer) = (Heap::new(), SHAPE.buffer());
            let (layout, options) = (SHAPE.create(), SHAPE.options());
            let made = Store::create_at(&mut place, again, overlay, buffer, &layout, &options);
            assert_eq!(made.map(drop), Err(OpenError::Device(EIO)), "{operation:?} {number}");
            assert!(place.is_none(), "a store that could not be made is none");
            device.arm(None);
            // What is there is no store, or an empty one.
            match SHAPE.open::<Heap, _>(device.clone()) {
                Ok((mut store, _)) => assert_eq!(contents(&mut store), Model::new()),
                Err(error) => assert!(
                    matches!(error, OpenError::NotBlockyard | OpenError::Corrupted(_)),
                    "{operation:?} {number}: {error}"
                ),
            }
            let mut store = create().unwrap();
            put(&mut store, b"works", b"now", Durable).unwrap();
        }
    }
    let device = SimDevice::new(Vec::new(), 40 * 512, 1);
    let full = Store::create(device, Heap::new(), SHAPE.buffer(), &SHAPE.create(), &SHAPE.options());
    assert_eq!(full.map(drop), Err(OpenError::Full));
}

/// A file is created over a store whose superblocks have later generations than the new one's: they must not win.
#[test]
fn what_lay_there_is_gone_when_a_file_is_created() {
    let device = device();
    let mut old = SHAPE.new_store::<Heap, _>(device.clone());
    for round in 0..5 {
        put(&mut old, b"old", &bytes(round, 100), Durable).unwrap();
        old.checkpoint().unwrap();
    }
    drop(old);
    drop(SHAPE.new_store::<Heap, _>(device.clone()));
    let (mut store, _) = SHAPE.open::<Heap, _>(device).unwrap();
    assert_eq!(contents(&mut store), Model::new());
}

/// Opening reads, and then makes what it found durable: each of its operations may fail.
fn failed_opening<O: Overlay + Default>() {
    let with_journal = || {
        let device = device();
        let mut store: TestStore<O, _> = SHAPE.new_store(device.clone());
        let mut model = Model::new();
        for (after, mut change) in life::<O>().into_iter().take(7) {
            change(&mut store).unwrap();
            model = after;
        }
        assert!(store.pending() > 0);
        device.arm(None);
        (device, model)
    };
    let (fresh, _) = with_journal();
    drop(SHAPE.open::<O, _>(fresh.clone()).unwrap());
    for operation in [Operation::Read, Operation::Write, Operation::Sync] {
        let count = fresh.count(operation);
        assert!(count > 2, "{operation:?}");
        for number in 0..count {
            let (device, model) = with_journal();
            device.arm(Some(Fault::Fails(operation, number)));
            let opened = SHAPE.open::<O, _>(device.clone());
            let what = format!("{operation:?} {number}");
            // A superblock copy that cannot be read is made up for by its twin.
            let spared = operation == Operation::Read && number < 4;
            match opened {
                Err(error) => assert_eq!(error, OpenError::Device(EIO), "{what}"),
                Ok(_) => assert!(spared, "{what} went unnoticed"),
            }
            device.arm(None);
            let (mut store, _) = SHAPE.open::<O, _>(device).unwrap();
            assert_same(&contents(&mut store), &model, &what);
            assert_sound(&mut store, &model, &what);
        }
    }
}

#[test]
fn failed_opening_loses_nothing() {
    failed_opening::<Heap>();
    failed_opening::<Fixed>();
}

/// Both copies of the newest superblock could not be read for a moment: the store was opened as of the
/// generation before, and went on from there over what had been answered durable.
#[test]
fn an_unreadable_generation_is_no_reason_to_go_back_to_the_one_before() {
    let device = device();
    let mut store: TestStore<Heap, _> = SHAPE.new_store(device.clone());
    for round in 0..3 {
        put(&mut store, b"name", &[round; 9], Durable).unwrap();
        store.checkpoint().unwrap();
        for pair in [0, 2] {
            device.arm(Some(Fault::ReadsFail(pair, pair + 2)));
            let opened = SHAPE.open::<Heap, _>(device.clone());
            assert_eq!(
                opened.map(drop),
                Err(OpenError::Device(EIO)),
                "round {round}, slots {pair} and behind"
            );
        }
        device.arm(None);
    }
    let (mut store, _) = SHAPE.open::<Heap, _>(device).unwrap();
    assert_eq!(get(&mut store, b"name").as_deref(), Some(&[2; 9][..]));
}

/// One copy of a generation that cannot be read says nothing while the other one is whole; where the other one has
/// rotted it may be that of the newest, and the generation before is no answer.
#[test]
fn of_a_generation_one_whole_copy_is_enough_and_none_is_too_few() {
    let device = device();
    let mut store: TestStore<Heap, _> = SHAPE.new_store(device.clone());
    for round in 0..3 {
        put(&mut store, b"name", &[round; 9], Durable).unwrap();
        store.checkpoint().unwrap();
        let newest = store.superblock().slot_of(0);
        for slot in 0..4_u64 {
            let image = device.image();
            let copy = || SimDevice::new(image.clone(), 4096 * 4096, 0);
            let unreadable = copy();
            unreadable.arm(Some(Fault::ReadsFail(slot, slot + 1)));
            let (mut opened, _) = SHAPE.open::<Heap, _>(unreadable).unwrap();
            assert_eq!(
                get(&mut opened, b"name").as_deref(),
                Some(&[round; 9][..]),
                "round {round}, slot {slot}"
            );
            let damaged = copy();
            damaged.rot((slot ^ 1) * 8, 3);
            damaged.arm(Some(Fault::ReadsFail(slot, slot + 1)));
            let opened = SHAPE.open::<Heap, _>(damaged);
            assert_eq!(
                opened.map(drop),
                Err(OpenError::Device(EIO)),
                "round {round}, slot {slot}, newest {newest}"
            );
        }
    }
}

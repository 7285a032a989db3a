//! Stores in as little memory as allowed, and files from those who had more.

use crate::support::*;
use blockyard_core::Digest;
use blockyard_core::Durability::{Buffered, Durable};
use blockyard_core::device::{BlockDevice, MemoryError, VecDevice};
use blockyard_core::error::{OpenError, ReadError, WriteError};
use blockyard_core::overlay::{FixedOverlay, Overlay};
use blockyard_core::store::Memory;
use std::cell::{Cell, RefCell};
use std::rc::Rc;

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

/// Records that no sync comes between share a unit, which is kept in memory until it is full. A page for that was dear, so the
/// smallest begin each record in a unit of its own, where a reader looks for it anyway.
#[test]
fn without_a_page_for_the_unfinished_unit_each_record_has_its_own() {
    for (memory, shared) in [(Memory::TINY, false), (Memory { staging: 2048, ..Memory::TINY }, true)] {
        let shape = Shape { memory, ..TINY };
        let mut store: TestStore<Fixed> = shape.new_store(shape.device(1 << 12));
        let mut model = Model::new();
        for number in 0..9_u64 {
            let (name, value) = (format!("{number}").into_bytes(), bytes(number, 10));
            let before = store.journal_used();
            put(&mut store, &name, &value, if number == 5 { Durable } else { Buffered }).unwrap();
            let whole = store.journal_used().is_multiple_of(512);
            assert!(
                store.journal_used() > before && whole == (!shared || number == 5),
                "{memory:?}, {number}"
            );
            model.insert(name, (1, value));
        }
        let crashed = store.into_device();
        let (mut store, recovery) = shape.open::<Fixed, _>(crashed).unwrap();
        assert_eq!((recovery.records, recovery.torn_tail), (9, false), "{memory:?}");
        assert_same(&contents(&mut store), &model, "after a crash");
        // Others read what it wrote, and it what they did.
        put(&mut store, b"more", b"of it", Buffered).unwrap();
        model.insert(b"more".to_vec(), (4, b"of it".to_vec()));
        let (mut store, _) = LITTLE.open::<Heap, _>(store.into_device()).unwrap();
        assert_sound(&mut store, &model, "opened by another");
    }
}

/// An entry kept two digests, of which only a block of chunks needs both: its own is now made of its list, and that is
/// checked.
#[test]
fn a_pending_block_of_chunks_has_the_digest_of_its_chunks() {
    let mut store: TestStore<Fixed> = TINY.new_store(TINY.device(1 << 12));
    let value = bytes(7, 9_000);
    let mut model = Model::new();
    stream(&mut store, b"chunks", 5, &value, Durable).unwrap();
    model.insert(b"chunks".to_vec(), (5, value.clone()));
    let size = store.geometry().chunk_size() as usize;
    let digests: Vec<u8> = value.chunks(size).flat_map(|chunk| Digest::of(chunk).0).collect();
    assert!(digests.len() > 64, "{size} bytes a chunk");
    for folded in [false, true] {
        let bound = store.bound_of_info();
        let before = store.counters().reads;
        let info = store.info(b"chunks").unwrap().unwrap();
        assert!(store.counters().reads - before <= bound.reads, "{bound:?}");
        assert_eq!((info.digest, info.length), (Digest::of(&digests), 9_000), "folded: {folded}");
        assert_eq!(store.superblock().height.get(), u32::from(folded));
        let (again, _) =
            TINY.open_with::<Fixed, _>(store.into_device(), |options| options.read_only = true).unwrap();
        store = again;
        assert_eq!(
            store.info(b"chunks").unwrap().unwrap().digest,
            Digest::of(&digests),
            "read from the journal"
        );
        let (again, _) = TINY.open::<Fixed, _>(store.into_device()).unwrap();
        store = again;
    }
    assert_sound(&mut store, &model, "folded");

    // A list that rots while it is pending is told, and goes nowhere.
    let rot = Rc::new(Cell::new(None));
    let device = Rotting { device: store.into_device(), rot: rot.clone() };
    let (mut store, _) = TINY.open::<Fixed, _>(device).unwrap();
    stream(&mut store, b"chunks", 5, &bytes(8, 9_000), Durable).unwrap();
    let head = store.superblock().journal_position.get() + store.journal_used();
    let written = store.device().device.bytes();
    let ring = store.superblock().journal_offset.get() as usize;
    let end = ring + (head % store.geometry().journal_length()) as usize;
    let last = (ring..end).rev().find(|&at| written[at] != 0).unwrap();
    rot.set(Some(last as u64));
    assert!(matches!(store.info(b"chunks"), Err(ReadError::Corrupted(_))), "its list is damaged");
    assert!(matches!(store.checkpoint(), Err(WriteError::Corrupted(_))), "nor is it folded in");
    rot.set(None);
    store.checkpoint().unwrap();
    assert_eq!(get(&mut store, b"chunks"), Some(bytes(8, 9_000)));
}

/// A device one bit of which reads wrong, when it is told to.
struct Rotting {
    device: VecDevice,
    rot: Rc<Cell<Option<u64>>>,
}

impl BlockDevice for Rotting {
    type Error = MemoryError;

    fn read(&mut self, offset: u64, buf: &mut [u8]) -> Result<(), MemoryError> {
        self.device.read(offset, buf)?;
        if let Some(at) = self.rot.get().and_then(|rot| rot.checked_sub(offset))
            && let Some(byte) = buf.get_mut(at as usize)
        {
            *byte ^= 1;
        }
        Ok(())
    }

    fn write(&mut self, offset: u64, data: &[u8]) -> Result<(), MemoryError> {
        self.device.write(offset, data)
    }

    fn sync(&mut self) -> Result<(), MemoryError> {
        self.device.sync()
    }

    fn length(&mut self) -> Result<u64, MemoryError> {
        self.device.length()
    }

    fn grow(&mut self, length: u64) -> Result<(), MemoryError> {
        self.device.grow(length)
    }

    fn atomic_unit(&self) -> u32 {
        self.device.atomic_unit()
    }
}

/// A write of a device, or a sync.
type Step = Option<(u64, Vec<u8>)>;

/// A device that notes what is written to it.
struct Noting {
    device: VecDevice,
    steps: Rc<RefCell<Vec<Step>>>,
}

impl BlockDevice for Noting {
    type Error = MemoryError;

    fn read(&mut self, offset: u64, buf: &mut [u8]) -> Result<(), MemoryError> {
        self.device.read(offset, buf)
    }

    fn write(&mut self, offset: u64, data: &[u8]) -> Result<(), MemoryError> {
        self.steps.borrow_mut().push(Some((offset, data.to_vec())));
        self.device.write(offset, data)
    }

    fn sync(&mut self) -> Result<(), MemoryError> {
        self.steps.borrow_mut().push(None);
        self.device.sync()
    }

    fn length(&mut self) -> Result<u64, MemoryError> {
        self.device.length()
    }

    fn grow(&mut self, length: u64) -> Result<(), MemoryError> {
        self.device.grow(length)
    }

    fn atomic_unit(&self) -> u32 {
        self.device.atomic_unit()
    }
}

/// With one page a level a node that was written is read back, and written again to the same page, when a level closes with
/// little behind it. Power may fail between the two, and the medium may have got the second and not the first, or half of
/// one: until the superblock nothing leads there.
#[test]
fn nodes_that_are_made_even_are_written_twice_and_power_may_fail_between() {
    let steps = Rc::new(RefCell::new(Vec::new()));
    let device = Noting { device: TINY.device(1 << 12), steps: steps.clone() };
    let mut store: TestStore<Fixed, Noting> = TINY.new_store(device);
    let (mut model, mut again, mut cuts) = (Model::new(), 0, 0);
    for round in 0..8_u64 {
        for number in 0..6 {
            // Side by side, so that leaves are divided.
            let name = format!("{round:03}/{number:03}").into_bytes();
            let value = bytes(round * 6 + number, 16);
            put(&mut store, &name, &value, Durable).unwrap();
            model.insert(name, (7, value));
        }
        let before = store.device().device.bytes().to_vec();
        steps.borrow_mut().clear();
        store.checkpoint().unwrap();
        let done = steps.borrow().clone();
        let written = done.iter().flatten().map(|(offset, _)| *offset).filter(|&offset| offset > 0);
        let until_sync = done.iter().position(Option::is_none).unwrap();
        let mut offsets: Vec<u64> = written.take(until_sync).collect();
        offsets.sort_unstable();
        again += offsets.windows(2).filter(|two| two[0] == two[1]).count();
        for cut in 0..until_sync {
            // Everything up to the cut and half of the next; all but one; that one alone, of two at one place the later.
            for (kept, torn) in [(0..cut, true), (cut..until_sync, false), (cut..cut + 1, false)] {
                let mut image = before.clone();
                for (offset, data) in done[kept.clone()].iter().flatten() {
                    image[*offset as usize..][..data.len()].copy_from_slice(data);
                }
                if let (true, Some((offset, data))) = (torn, &done[cut]) {
                    image[*offset as usize..][..data.len() / 2].copy_from_slice(&data[..data.len() / 2]);
                }
                let mut device = TINY.device(1 << 12);
                device.grow(image.len() as u64).unwrap();
                device.write(0, &image).unwrap();
                device.sync().unwrap();
                let (mut store, _) = TINY.open::<Fixed, _>(device).unwrap();
                assert_sound(&mut store, &model, "after a cut");
                cuts += 1;
            }
        }
    }
    assert!(again >= 4 && cuts > 100, "{again} nodes written again, {cuts} cuts");
}

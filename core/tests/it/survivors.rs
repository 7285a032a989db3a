//! Tests for what planted bugs (`bugs/`) and mutants got away with.

use crate::support::*;
use blockyard_core::Durability::{Buffered, Durable};
use blockyard_core::Sequence;
use blockyard_core::Store;
use blockyard_core::device::{MemoryError, VecDevice};
use blockyard_core::error::{Damage, OpenError, Structure, WriteError};
use blockyard_core::format::{RecordHeader, SLOT_STRIDE, SLOTS, Superblock};
use blockyard_core::overlay::Overlay;
use blockyard_core::store::Recovery;
use blockyard_core::store::{OpenOptions, Progress};
use blockyard_sim::device::SimDevice;
use blockyard_sim::fault::{Fault, Operation, SimError};

const SHAPE: Shape = Shape { carry_max: 0, growth: 8, journal_pages: 16, ..Shape::SMALL };
const LIMIT: u64 = 160;

/// What is done to a header.
type Change = fn(&mut RecordHeader);

/// A small file after several checkpoints, with commits behind the last one, and what it holds.
fn file() -> (Vec<u8>, Model) {
    let mut store: TestStore<Heap> = SHAPE.new_store(SHAPE.device(LIMIT));
    let mut model = Model::new();
    for round in 0..5_u64 {
        for name in 0..6_u8 {
            let (name, value) = (vec![b'a' + name; 3], bytes(round * 8 + u64::from(name), 900));
            put(&mut store, &name, &value, Buffered).unwrap();
            model.insert(name, (3, value));
        }
        if round < 4 {
            store.checkpoint().unwrap();
        }
    }
    store.sync().unwrap();
    (store.into_device().bytes().to_vec(), model)
}

fn open(image: Vec<u8>) -> Opened<Heap, VecDevice> {
    SHAPE.open(VecDevice::from_bytes(image, 512, LIMIT * 512))
}

/// A checkpoint that wrote one copy of the superblock passed every test, and so did a superblock that was
/// believed without its digest: what was wrong in one copy cost the file, or was taken for true.
#[test]
fn any_one_superblock_copy_may_rot() {
    let (image, model) = file();
    let check = |image: Vec<u8>, what: String| {
        let (mut store, _) = open(image).unwrap_or_else(|error| panic!("{what}: {error}"));
        assert_same(&contents(&mut store), &model, &what);
        assert_sound(&mut store, &model, &what);
    };
    for slot in 0..SLOTS as usize {
        let start = slot * SLOT_STRIDE as usize;
        let mut without = image.clone();
        without[start..start + 512].fill(0);
        check(without, format!("slot {slot} gone"));
        for byte in 0..Superblock::SIZE {
            let mut flipped = image.clone();
            flipped[start + byte] ^= 1 << (byte % 8);
            check(flipped, format!("slot {slot}, byte {byte} flipped"));
        }
    }
}

/// A record's header believed without its digest passed every test of crashes: what follows from a
/// flipped watermark or cursor shows much later, and what is reserved never.
#[test]
fn any_bit_of_a_durable_records_header_is_told() {
    let (mut image, model) = file();
    let (mut store, _) = open(image).unwrap();
    assert_same(&contents(&mut store), &model, "before");
    let mut places = Vec::new();
    for name in [b"one", b"two"] {
        let at = store.superblock().journal_position.get() + store.journal_used();
        let at = at % store.geometry().journal_length();
        places.push((store.geometry().journal_offset() + at).next_multiple_of(512) as usize);
        put(&mut store, name, b"word", Durable).unwrap();
    }
    store.seal().unwrap();
    image = store.into_device().bytes().to_vec();
    for place in places {
        let header = RecordHeader::read(&image[place..]).filter(RecordHeader::is_valid);
        assert!(header.is_some(), "a record begins at {place}");
        for byte in 0..RecordHeader::SIZE {
            let mut flipped = image.clone();
            flipped[place + byte] ^= 1 << (byte % 8);
            let refused = open(flipped).map(|(_, recovery)| recovery);
            let told = matches!(refused, Err(OpenError::Corrupted(Damage { what: Structure::Journal, .. })));
            assert!(told, "byte {byte} of the record at {place}: {refused:?}");
        }
    }
}

/// A page of the free map believed without its digest passed every test of crashes and of media: a bit
/// that has flipped there gives the pages of a block to another one.
#[test]
fn a_flipped_bit_of_the_free_map_gives_no_page_away() {
    let (image, model) = file();
    let (store, _) = open(image).unwrap();
    let (superblock, geometry) = (*store.superblock(), *store.geometry());
    assert_eq!(superblock.map_level.get(), 0, "a file of one map page");
    let slot = u64::from(superblock.map_slot.get());
    let map = (geometry.offset(geometry.first_group() + slot - 1)) as usize;
    let image = store.into_device().bytes().to_vec();
    let used: Vec<usize> = (0..512 * 8).filter(|bit| image[map + bit / 8] & (1 << (bit % 8)) != 0).collect();
    assert!(used.len() > 15, "bits of used pages: {used:?}");
    for bit in used {
        let mut flipped = image.clone();
        flipped[map + bit / 8] ^= 1 << (bit % 8);
        let (mut store, _) = open(flipped).unwrap();
        // More than the file has pages.
        let told = (0..2 * LIMIT)
            .map(|round| put(&mut store, b"new", &bytes(round, 900), Durable))
            .find_map(Result::err);
        let damage = Damage { what: Structure::FreeMap, offset: map as u64 };
        assert_eq!(told, Some(WriteError::Corrupted(damage)), "bit {bit}");
        let mut found = contents(&mut store);
        found.remove(b"new".as_slice());
        assert_same(&found, &model, &format!("bit {bit}"));
    }
}

/// A store that raised its durable sequence before the sync passed every test: it refused writes after
/// the sync had failed, and went on to say that the commit was durable.
fn no_commit_is_called_durable_after_a_failed_sync<O: Overlay + Default>() {
    let device = SimDevice::new(Vec::new(), LIMIT * 512, 1);
    let mut store: TestStore<O, SimDevice> = SHAPE.new_store(device.clone());
    let durable = put(&mut store, b"one", b"word", Durable).unwrap();
    let buffered = put(&mut store, b"two", b"words", Buffered).unwrap();
    assert_eq!((store.durable_sequence(), store.sequence()), (durable, buffered));
    device.arm(Some(Fault::Fails(Operation::Sync, 0)));
    assert_eq!(store.sync(), Err(WriteError::Device(SimError::Eio)));
    assert_eq!(store.durable_sequence(), durable);
    assert_eq!(put(&mut store, b"three", b"", Durable), Err(WriteError::Poisoned));
    assert_eq!(store.durable_sequence(), durable);
}

#[test]
fn a_failed_sync_makes_nothing_durable() {
    no_commit_is_called_durable_after_a_failed_sync::<Heap>();
    no_commit_is_called_durable_after_a_failed_sync::<Fixed>();
}

/// A new store took the caller's wish to read only, and could not be filled: every test created its
/// stores with options for writing.
#[test]
fn a_new_store_can_be_written_whatever_the_options_say() {
    let options = OpenOptions { read_only: true, ..SHAPE.options() };
    let created = Store::create(SHAPE.device(LIMIT), Heap::new(), SHAPE.buffer(), &SHAPE.create(), &options);
    let mut store: TestStore<Heap> = created.unwrap();
    put(&mut store, b"name", b"word", Durable).unwrap();
    assert_eq!(get(&mut store, b"name").as_deref(), Some(&b"word"[..]));
}

/// Takes out one by one, each rule about which record follows another passed every test: none had a record
/// that was whole and wrong in one thing alone.
#[test]
fn a_record_that_is_wrong_in_one_thing_does_not_follow() {
    let wrong: [(&str, Change); 13] = [
        ("kind", |header| header.kind.set(3)),
        ("file", |header| header.file_id[3] ^= 1),
        ("epoch", |header| header.epoch.set(header.epoch.get() + 1)),
        ("chain", |header| header.previous[9] ^= 1),
        ("first sequence, one left out", |header| header.first_sequence.set(header.first_sequence.get() + 1)),
        ("first sequence, one again", |header| header.first_sequence.set(header.first_sequence.get() - 1)),
        ("sequence below the first", |header| header.sequence.set(header.first_sequence.get() - 1)),
        ("sequence near the end of numbers", |header| header.sequence.set(u64::MAX / 4)),
        ("watermark above the sequence", |header| header.watermark.set(header.sequence.get() + 1)),
        ("longer than the ring", |header| header.data_length.set(16 * 512)),
        ("pages that no file has", |header| header.pages.set(u64::MAX)),
        ("cursor behind the file", |header| header.cursor.set(header.pages.get() + 1)),
        ("limit behind the file", |header| header.limit.set(header.pages.get() + 1)),
    ];
    let tail = Tail::new();
    let (header, last) = (tail.header, tail.last);
    let with = |header: RecordHeader| {
        let position = tail.header.position.get();
        tail.open_with(&header.sealed(), position).map(|recovery| (recovery.records, recovery.to))
    };
    assert_eq!(with(header), Ok((1, last)));
    for (what, change) in wrong {
        let mut header = header;
        change(&mut header);
        let taken = with(header);
        let refused = taken == Ok((0, Sequence(last.0 - 1)));
        // A watermark above all that is there is damage.
        let told = matches!(taken, Err(OpenError::Corrupted(Damage { what: Structure::Journal, .. })));
        assert!(refused || told, "{what}: {taken:?}");
    }
}

/// A durable commit in the journal: the image, its record, and the ring's place and position behind it.
struct Tail {
    image: Vec<u8>,
    last: Sequence,
    header: RecordHeader,
    ring: usize,
    behind: u64,
}

impl Tail {
    fn new() -> Self {
        let mut store: TestStore<Heap> = SHAPE.new_store(SHAPE.device(LIMIT));
        put(&mut store, b"before", b"it", Durable).unwrap();
        store.checkpoint().unwrap();
        let at = store.superblock().journal_position.get().next_multiple_of(512);
        let last = put(&mut store, b"name", b"word", Durable).unwrap();
        let ring = store.geometry().journal_offset() as usize;
        let behind = store.superblock().journal_position.get() + store.journal_used();
        let image = store.into_device().bytes().to_vec();
        let header = RecordHeader::read(&image[ring + at as usize..]).filter(RecordHeader::is_valid).unwrap();
        Self { image, last, header, ring, behind: behind.next_multiple_of(512) }
    }

    /// What opening finds when the ring holds `header` at `position`.
    fn open_with(&self, header: &RecordHeader, position: u64) -> Result<Recovery, OpenError<MemoryError>> {
        let mut image = self.image.clone();
        let at = self.ring + position as usize;
        image[at..at + RecordHeader::SIZE].copy_from_slice(header.bytes());
        open(image).map(|(_, recovery)| recovery)
    }
}

/// Which records behind the end of the chain prove that something durable is missing: taken out one by one,
/// each condition passed every test.
#[test]
fn only_a_later_record_of_this_file_and_epoch_is_a_witness() {
    let tail = Tail::new();
    let position = tail.behind + 2 * 512;
    let mut later = tail.header;
    later.position.set(position);
    later.sequence.set(tail.last.0 + 5);
    later.watermark.set(tail.last.0 + 1);
    let told = tail.open_with(&later.sealed(), position);
    assert!(matches!(told, Err(OpenError::Corrupted(Damage { what: Structure::Journal, .. }))), "{told:?}");
    let harmless: [(&str, Change); 5] = [
        ("another file", |header| header.file_id[0] ^= 1),
        ("another epoch", |header| header.epoch.set(header.epoch.get() + 1)),
        ("not later", |header| header.sequence.set(header.sequence.get() - 5)),
        ("of another place", |header| header.position.set(header.position.get() + 512)),
        ("nothing missing", |header| header.watermark.set(header.watermark.get() - 1)),
    ];
    for (what, change) in harmless {
        let mut header = later;
        change(&mut header);
        let recovery = tail.open_with(&header.sealed(), position).unwrap();
        assert_eq!((recovery.to, recovery.torn_tail), (tail.last, false), "{what}");
    }
}

/// What says that a record was begun behind the last one: three of five signs, one of them that it
/// belongs there. Recovery could call any end of the journal torn, or none, and no test noticed.
#[test]
fn a_begun_record_is_known_by_three_of_five_signs() {
    let tail = Tail::new();
    let mut begun = tail.header;
    begun.position.set(tail.behind);
    begun.previous = tail.header.digest;
    begun = begun.sealed();
    // Its first bytes are there, what comes behind them is not.
    begun.digest = [0; 32];
    let spoil: [fn(&mut RecordHeader); 5] = [
        |header| header.position.set(0),
        |header| header.previous[0] ^= 1,
        |header| header.epoch.set(header.epoch.get() - 1),
        |header| header.magic[0] ^= 1,
        |header| header.file_id[0] ^= 1,
    ];
    for spoilt in 0..32_u32 {
        let mut header = begun;
        (0..5).filter(|sign| spoilt >> sign & 1 == 1).for_each(|sign| spoil[sign](&mut header));
        let recovery = tail.open_with(&header, tail.behind).unwrap();
        let torn = spoilt & 3 != 3 && spoilt.count_ones() <= 2;
        assert_eq!((recovery.to, recovery.torn_tail), (tail.last, torn), "signs spoilt: {spoilt:05b}");
    }
    // A whole record of an earlier epoch was discarded by an earlier recovery: nothing is torn.
    let mut earlier = begun;
    spoil[2](&mut earlier);
    assert!(!tail.open_with(&earlier.sealed(), tail.behind).unwrap().torn_tail);
    // A whole one of this epoch that does not follow is no end that anybody wrote.
    let mut other = begun;
    spoil[1](&mut other);
    assert!(tail.open_with(&other.sealed(), tail.behind).unwrap().torn_tail);
    // And an end is an end.
    assert!(!open(tail.image.clone()).unwrap().1.torn_tail);
}

/// An allocator that went on, after a checkpoint, where it stood when that began gave the pages of the commits in
/// between to others; the test that noticed did so by chance.
#[test]
fn pages_of_commits_behind_a_checkpoint_are_not_handed_out_again() {
    let shape = Shape { carry_max: 0, growth: 600, journal_pages: 400, ..Shape::SMALL };
    let mut store: TestStore<Heap> = shape.new_store(shape.device(shape.front_pages() + 700));
    let mut model = Model::new();
    let mut number = 0;
    let mut write = |store: &mut TestStore<Heap>, model: &mut Model, count: u64| {
        for _ in 0..count {
            number += 1;
            let (name, value) = (vec![b'a' + (number % 20) as u8; 2], bytes(number, 900));
            put(store, &name, &value, Buffered).unwrap();
            model.insert(name, (2, value));
        }
    };
    for round in 0..12 {
        write(&mut store, &mut model, 10);
        let mut progress = store.checkpoint_step().unwrap();
        // Their pages are free in the map that this checkpoint makes durable.
        write(&mut store, &mut model, 12);
        while progress == Progress::Working {
            progress = store.checkpoint_step().unwrap();
        }
        write(&mut store, &mut model, 5);
        assert_same(&contents(&mut store), &model, &format!("round {round}"));
    }
    store.checkpoint().unwrap();
    assert_sound(&mut store, &model, "folded in");
}

//! Tests for what planted bugs (`bugs/`) and mutants got away with.

use crate::support::*;
use blockyard_core::Durability::{Buffered, Durable};
use blockyard_core::Extent;
use blockyard_core::Sequence;
use blockyard_core::Store;
use blockyard_core::device::{BlockDevice, MemoryError, VecDevice};
use blockyard_core::error::{Damage, OpenError, Structure, WriteError};
use blockyard_core::format::{GeometryError, RecordHeader, SLOT_STRIDE, SLOTS, Superblock};
use blockyard_core::overlay::{Entry, Overlay, OverlayFull, TreeRoot};
use blockyard_core::store::{Memory, OpenOptions, Progress, Recovery};
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

/// An image that only reads is linked without what folds a journal in: its store must not come there, whatever the options say.
#[test]
fn a_store_opened_to_read_writes_nothing() {
    let mut store: TestStore<Heap> = SHAPE.new_store(SHAPE.device(LIMIT));
    put(&mut store, b"name", b"word", Durable).unwrap();
    let device = store.into_device();
    let before = device.bytes().to_vec();
    let (mut place, options) = (None, SHAPE.options());
    let opened = Store::open_to_read_at(&mut place, device, Heap::new(), SHAPE.buffer(), &options);
    let (store, recovery) = opened.unwrap();
    assert_eq!((options.read_only, recovery.records), (false, 1));
    assert_eq!(get(store, b"name").as_deref(), Some(&b"word"[..]));
    assert_eq!(put(store, b"name", b"", Durable), Err(WriteError::ReadOnly));
    assert_eq!(store.checkpoint(), Err(WriteError::ReadOnly));
    assert_eq!(store.device().bytes(), before);
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
        Self::after(|store| store.checkpoint().unwrap())
    }

    fn after(work: impl FnOnce(&mut TestStore<Heap>)) -> Self {
        let mut store: TestStore<Heap> = SHAPE.new_store(SHAPE.device(LIMIT));
        put(&mut store, b"before", b"it", Durable).unwrap();
        work(&mut store);
        let at = store.superblock().journal_position.get() + store.journal_used();
        let at = at.next_multiple_of(512);
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
    // The journal of a file that has had no checkpoint begins at 0.
    let tail = Tail::after(|_| ());
    let mut begun = tail.header;
    begun.position.set(tail.behind);
    begun.previous = tail.header.digest;
    assert!(tail.open_with(&begun, tail.behind).unwrap().torn_tail);
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

/// A store that advised a checkpoint always, never or at another length of the journal passed every quick test:
/// commits would have waited for checkpoints that nobody needed, or the journal would have run full.
#[test]
fn a_checkpoint_is_advised_once_the_journal_is_more_than_half_full() {
    let mut advised = [0, 0];
    for journal_pages in [16, 17, 32] {
        let shape = Shape { journal_pages, ..SHAPE };
        let mut store: TestStore<Heap> = shape.new_store(shape.device(LIMIT));
        for number in 0..40_u8 {
            let durability = if number % 3 == 0 { Buffered } else { Durable };
            put(&mut store, b"name", &[number], durability).unwrap();
            let half_full = 2 * store.journal_used() > store.geometry().journal_length();
            assert_eq!(store.wants_checkpoint(), half_full, "{} bytes", store.journal_used());
            advised[usize::from(half_full)] += 1;
        }
        store.checkpoint().unwrap();
        assert!(!store.wants_checkpoint());
        put(&mut store, b"name", b"word", Durable).unwrap();
        assert_eq!(store.checkpoint_step(), Ok(Progress::Working));
        assert!(store.wants_checkpoint(), "one that has begun should end");
    }
    assert!(advised.iter().all(|count| *count > 10), "{advised:?}");
}

/// A seal that said again what the superblock says, or was left out after a checkpoint that did not cover the
/// last commit, passed every test; so did one that took the last room of the journal.
#[test]
fn a_seal_says_what_nothing_else_says_and_only_where_there_is_room() {
    let seal = |store: &mut TestStore<Heap>| {
        let before = store.journal_used();
        store.seal().unwrap();
        store.journal_used() > before
    };
    let mut store: TestStore<Heap> = SHAPE.new_store(SHAPE.device(LIMIT));
    assert!(!seal(&mut store), "nothing was committed");
    put(&mut store, b"one", b"word", Buffered).unwrap();
    assert!(!seal(&mut store), "nothing is durable");
    store.sync().unwrap();
    assert!(seal(&mut store));
    assert!(!seal(&mut store), "once is enough");
    put(&mut store, b"one", b"word", Durable).unwrap();
    let checkpoints = store.counters().checkpoints;
    store.checkpoint().unwrap();
    assert_eq!(store.counters().checkpoints, checkpoints + 1);
    assert!(!seal(&mut store), "the superblock says it");
    put(&mut store, b"one", b"word", Buffered).unwrap();
    assert_eq!(store.checkpoint_step(), Ok(Progress::Working));
    put(&mut store, b"two", b"word", Durable).unwrap();
    assert_eq!(store.checkpoint_step(), Ok(Progress::Done));
    assert!(seal(&mut store), "the second commit is not in the superblock");

    let (page, mut refused) = (512, 0);
    for (journal_pages, seals) in [(16, true), (17, true), (16, false), (17, false)] {
        let shape = Shape { journal_pages, ..SHAPE };
        let mut store: TestStore<Heap> = shape.new_store(shape.device(LIMIT));
        for _ in 0..30 {
            put(&mut store, b"name", b"word", Durable).unwrap();
            // A unit is always left free.
            let room = journal_pages * page - store.journal_used().next_multiple_of(page) - page;
            if seals || room <= 5 * page {
                assert_eq!(seal(&mut store), room >= 4 * page, "{room} bytes");
                refused += u32::from(room < 4 * page);
            }
        }
    }
    assert!(refused > 4, "{refused}");
}

/// A sync of what is durable already took the time of a sync, and no test counted.
#[test]
fn what_is_durable_is_not_synced_again() {
    let mut store: TestStore<Heap> = SHAPE.new_store(SHAPE.device(LIMIT));
    let last = put(&mut store, b"name", b"word", Durable).unwrap();
    let syncs = store.counters().syncs;
    assert_eq!((store.sync(), store.counters().syncs), (Ok(last), syncs));
}

/// Names that were taken over from another one make a checkpoint when they change again; no others do. All
/// counted as taken over, and every second change of a block made a checkpoint.
#[test]
fn changing_a_block_again_makes_no_checkpoint() {
    let mut store: TestStore<Heap> = SHAPE.new_store(SHAPE.device(LIMIT));
    for number in 0..5_u8 {
        put(&mut store, b"one", &[number], Buffered).unwrap();
        put(&mut store, b"two", &[number], Buffered).unwrap();
    }
    assert_eq!(store.counters().checkpoints, 0);
}

/// An overlay that keeps account of the pages that only older readers need.
#[derive(Default)]
struct Account {
    heap: Heap,
    retired: Vec<Extent>,
}

impl Overlay for Account {
    const KEEPS_BODIES: bool = Heap::KEEPS_BODIES;

    fn has_room(&self, entries: usize) -> bool {
        self.heap.has_room(entries)
    }
    fn insert(&mut self, name: &[u8], entry: &Entry, body: &[u8]) -> Result<(), OverlayFull> {
        self.heap.insert(name, entry, body)
    }
    fn active(&self, name: &[u8]) -> Option<Entry> {
        self.heap.active(name)
    }
    fn frozen(&self, name: &[u8]) -> Option<Entry> {
        self.heap.frozen(name)
    }
    fn freeze(&mut self) {
        self.heap.freeze();
    }
    fn next_frozen(&self, after: Option<&[u8]>, name: &mut [u8]) -> Option<(usize, Entry)> {
        self.heap.next_frozen(after, name)
    }
    fn next(&self, after: Option<&[u8]>, name: &mut [u8]) -> Option<(usize, Entry)> {
        self.heap.next(after, name)
    }
    fn frozen_len(&self) -> usize {
        self.heap.frozen_len()
    }
    fn with_body(&self, name: &[u8], entry: &Entry, use_body: &mut dyn FnMut(&[u8])) -> bool {
        self.heap.with_body(name, entry, use_body)
    }
    fn folded(&mut self, root: TreeRoot) {
        self.heap.folded(root);
    }
    fn discard_frozen(&mut self) {
        self.heap.discard_frozen();
    }
    fn retire(&mut self, extent: Extent) {
        self.retired.push(extent);
    }
}

/// Counts how often it hears that a sync will follow.
struct Hinted(VecDevice, u32);

impl BlockDevice for Hinted {
    type Error = MemoryError;

    fn read(&mut self, offset: u64, buf: &mut [u8]) -> Result<(), MemoryError> {
        self.0.read(offset, buf)
    }
    fn write(&mut self, offset: u64, data: &[u8]) -> Result<(), MemoryError> {
        self.0.write(offset, data)
    }
    fn sync(&mut self) -> Result<(), MemoryError> {
        self.0.sync()
    }
    fn length(&mut self) -> Result<u64, MemoryError> {
        self.0.length()
    }
    fn grow(&mut self, length: u64) -> Result<(), MemoryError> {
        self.0.grow(length)
    }
    fn atomic_unit(&self) -> u32 {
        self.0.atomic_unit()
    }
    fn start_sync(&mut self) {
        self.1 += 1;
    }
}

/// An overlay was not told of the pages of blocks that gave way, or of others, and only tests of the shell
/// noticed: pages that a snapshot reads would have been handed out.
#[test]
fn an_overlay_is_told_of_the_pages_of_whatever_gives_way() {
    let mut store: TestStore<Account, Hinted> = SHAPE.new_store(Hinted(SHAPE.device(LIMIT), 0));
    let (short, long) = (bytes(1, 900), bytes(2, 2 * 2048 + 600));
    put(&mut store, b"short", &short, Buffered).unwrap();
    stream(&mut store, b"long", 0, &long, Buffered).unwrap();
    delete(&mut store, b"short", Buffered).unwrap();
    put(&mut store, b"long", b"word", Buffered).unwrap();
    let geometry = *store.geometry();
    let (device, overlay, _) = store.into_parts();
    let lengths: Vec<u64> = overlay.retired.iter().map(|extent| extent.pages).collect();
    assert_eq!(lengths, [2, 4, 4, 2]);
    let values = std::iter::once(&short[..]).chain(long.chunks(2048));
    for (extent, value) in overlay.retired.iter().zip(values) {
        let at = geometry.offset(extent.start.0) as usize;
        assert!(device.0.bytes()[at..].starts_with(value), "{extent:?}");
    }
}

/// What an earlier store left on the device came back in a new one of the same name: its records were not
/// overwritten, and they follow from the same beginning.
#[test]
fn a_new_store_holds_nothing_of_an_older_one() {
    let mut store: TestStore<Heap> = SHAPE.new_store(SHAPE.device(LIMIT));
    for _ in 0..3 {
        put(&mut store, b"name", b"word", Durable).unwrap();
    }
    let store: TestStore<Heap> = SHAPE.new_store(store.into_device());
    let (mut store, recovery) = SHAPE.open::<Heap, _>(store.into_device()).unwrap();
    assert_eq!((recovery.records, recovery.torn_tail), (0, false));
    assert_same(&contents(&mut store), &Model::new(), "a new store");
    // Zeros go as far as the journal, not as far as the memory that they come from: there the device may end.
    let memory = Memory { staging: 22 << 10, ..SHAPE.memory };
    Shape { memory, ..SHAPE }.new_store::<Heap, _>(SHAPE.device(LIMIT));
}

/// A device with larger units than the file's could be opened for reading, and was asked for half a unit then, which its
/// contract rules out. Written it could never be: a torn write would reach further.
#[test]
fn a_device_of_larger_units_is_refused() {
    let (image, model) = file();
    for read_only in [false, true] {
        let open = |unit| {
            let device = VecDevice::from_bytes(image.clone(), unit, LIMIT * 512);
            SHAPE.open_with::<Heap, _>(device, |options| options.read_only = read_only)
        };
        for unit in [1024, 4096] {
            assert!(
                matches!(open(unit), Err(OpenError::Geometry(GeometryError::Unit(found))) if found == unit)
            );
        }
        for unit in [1, 512] {
            assert_same(&contents(&mut open(unit).unwrap().0), &model, "finer, or the same");
        }
    }
}

/// A damaged journal was salvaged when somebody opened the file for reading only, without being asked, or for
/// writing: commits that had been durable were gone without an error.
#[test]
fn only_who_asks_for_it_and_only_reads_gets_a_salvaged_file() {
    let tail = Tail::new();
    let mut image = tail.image.clone();
    // It says that a later commit is durable.
    let mut later = tail.header;
    let position = tail.behind + 2 * 512;
    later.position.set(position);
    later.sequence.set(tail.last.0 + 5);
    later.watermark.set(tail.last.0 + 1);
    let at = tail.ring + position as usize;
    image[at..at + RecordHeader::SIZE].copy_from_slice(later.sealed().bytes());
    for (read_only, salvage) in [(false, false), (true, false), (false, true), (true, true)] {
        let device = VecDevice::from_bytes(image.clone(), 512, LIMIT * 512);
        let opened = SHAPE.open_with::<Heap, _>(device, |options| {
            (options.read_only, options.salvage) = (read_only, salvage);
        });
        let found = opened.map(|(_, recovery)| recovery.damage.is_some());
        let damaged = matches!(found, Err(OpenError::Corrupted(Damage { what: Structure::Journal, .. })));
        assert!(if read_only && salvage { found == Ok(true) } else { damaged }, "{found:?}");
    }
}

/// Memory that is too small in one thing alone was taken for enough: what followed was an error in the middle of
/// a commit, or a panic.
#[test]
fn memory_that_is_too_small_in_one_thing_is_refused() {
    let (image, _) = file();
    let open = |memory: Memory, less: usize| {
        let device = VecDevice::from_bytes(image.clone(), 512, LIMIT * 512);
        let buffer = vec![0; memory.bytes(512) - less];
        let options = OpenOptions { memory, ..SHAPE.options() };
        Store::open(device, Heap::new(), buffer, &options).map(drop)
    };
    assert_eq!(open(SHAPE.memory, 0), Ok(()));
    let too_small = Err(OpenError::WorkspaceTooSmall);
    assert_eq!(open(SHAPE.memory, 1), too_small, "the buffer");
    for (levels, map_pages) in [(1, 12), (64, 12), (8, 1), (8, 1000)] {
        let memory = Memory { levels, map_pages, ..SHAPE.memory };
        assert_eq!(open(memory, 0), too_small, "{levels} levels, {map_pages} pages of the map");
    }
}

/// A file with a tree too high for the memory, or with more pages than its maps can be worked on in it, was opened,
/// and a later commit failed.
#[test]
fn a_file_too_high_or_too_long_for_the_memory_is_refused() {
    let mut store: TestStore<Heap> = SHAPE.new_store(SHAPE.device(4000));
    for number in 0..400_u32 {
        put(&mut store, format!("{number:060}").as_bytes(), b"word", Buffered).unwrap();
    }
    store.checkpoint().unwrap();
    let height = store.root().height as usize;
    assert!(height > 2);
    let high = store.into_device().bytes().to_vec();
    let long = SHAPE.new_store::<Heap, _>(VecDevice::from_bytes(vec![0; 4 << 20], 512, 4 << 20));
    assert!(long.pages() > 8000);
    let long = long.into_device().bytes().to_vec();
    let open = |image: &[u8], levels: usize, map_pages: usize| {
        let memory = Memory { levels, map_pages, ..SHAPE.memory };
        let options = OpenOptions { memory, ..SHAPE.options() };
        let device = VecDevice::from_bytes(image.to_vec(), 512, 4 << 20);
        Store::open(device, Heap::new(), vec![0; memory.bytes(512)], &options).map(drop)
    };
    let too_small = Err(OpenError::WorkspaceTooSmall);
    assert_eq!((open(&high, height - 1, 12), open(&high, height, 12)), (too_small, Ok(())));
    assert_eq!((open(&long, 8, 3), open(&long, 8, 12)), (too_small, Ok(())));
}

/// The names of streams were looked at when the last byte had been written, and only properties noticed.
#[test]
fn a_name_that_no_page_holds_is_refused_by_a_writer_and_a_rename() {
    let mut store: TestStore<Heap> = SHAPE.new_store(SHAPE.device(LIMIT));
    put(&mut store, b"from", b"word", Buffered).unwrap();
    let (mut scratch, mut chunk) = (batch(store.geometry()), vec![0; store.geometry().chunk_size() as usize]);
    let max = store.geometry().max_name();
    for length in [0, 1, max - 1, max, max + 1, 2 * max] {
        let name = vec![b'n'; length];
        let expected = match length {
            0 => Err(WriteError::NameEmpty),
            _ if length > max => Err(WriteError::NameTooLong { length, max }),
            _ => Ok(()),
        };
        // Before anything is written.
        assert_eq!(store.writer::<4>(&name, 0, &mut chunk).map(drop), expected);
        assert_eq!(stream(&mut store, &name, 0, b"word", Buffered).map(drop), expected);
        assert_eq!(store.rename(b"from", &name, &mut scratch, Buffered).map(drop), expected);
        if expected.is_ok() {
            store.rename(&name, b"from", &mut scratch, Buffered).unwrap();
        }
    }
}

/// A commit without a sync said that it was number 0 and did nothing, and one that the journal could not take said
/// the same: no test looked at what they answer.
#[test]
fn every_commit_answers_with_its_number() {
    let mut store: TestStore<Heap> = SHAPE.new_store(SHAPE.device(600));
    for wanted in [Buffered, Durable] {
        let (before, durable) = (store.sequence(), store.durable_sequence());
        let mut one = batch(store.geometry());
        one.put(b"name", b"word", 0).unwrap();
        assert_eq!(store.commit_unsynced(&mut [one], wanted), Ok(Sequence(before.0 + 1)));
        assert_eq!((store.sequence().0, store.durable_sequence()), (before.0 + 1, durable));
        assert_eq!(get(&mut store, b"name").as_deref(), Some(&b"word"[..]));
    }
    let mut long = batch(store.geometry());
    for number in 0..100_u8 {
        long.put(&[number], &[number; 40], 1).unwrap();
    }
    assert!(long.len() * 100 > 16 * 512, "longer than the journal");
    assert_eq!(store.commit(&mut [long], Buffered), Ok(Sequence(3)));
    assert_eq!((store.sequence(), store.durable_sequence()), (Sequence(3), Sequence(3)));
    assert_eq!(get(&mut store, &[99]).as_deref(), Some(&[99; 40][..]));
}

/// A checkpoint whose changes are all in the registry has time until about seven eighths of what was left of the journal
/// are used. The test that there was counted no bytes.
#[test]
fn a_checkpoint_has_time_for_seven_eighths_of_what_is_left_of_the_journal() {
    let mut answers = [0, 0];
    for (journal_pages, names) in [(64, 30), (65, 30), (64, 1), (65, 2)] {
        let shape = Shape { journal_pages, ..SHAPE };
        let mut store: TestStore<Heap> = shape.new_store(shape.device(600));
        for _ in 0..10 {
            put(&mut store, &[1], b"word", Durable).unwrap();
        }
        store.checkpoint().unwrap();
        let mut many = batch(store.geometry());
        (0..names).for_each(|name| many.put(&[name], b"word", 0).unwrap());
        store.commit(&mut [many], Durable).unwrap();
        let before = store.journal_used();
        let most = (journal_pages * 512 - before) * 7 / 4;
        assert_eq!(store.checkpoint_step(), Ok(Progress::Working));
        while store.journal_used() + 2 * 512 < journal_pages * 512 {
            let twice = 2 * (store.journal_used() - before);
            let has_time = store.checkpoint_has_time();
            if twice <= most || twice > most + most / 20 {
                assert_eq!(has_time, twice <= most, "{twice} bytes of {most}");
            }
            answers[usize::from(has_time)] += 1;
            put(&mut store, &[1], b"word", Durable).unwrap();
        }
    }
    assert!(answers[0] > 2 && answers[1] > 20, "{answers:?}");
}

/// Records longer than the memory that they are gathered in, all around the ring, on a device that takes whole units
/// only: what became of the pieces was for larger tests to notice, if at all.
#[test]
fn records_longer_than_the_staging_memory_go_around_the_ring() {
    for journal_pages in [40, 41] {
        let shape = Shape { carry_max: 8192, journal_pages, ..Shape::SMALL };
        let device = SimDevice::new(Vec::new(), 600 * 512, 1);
        let mut store: TestStore<Heap, SimDevice> = shape.new_store(device.clone());
        let mut model = Model::new();
        for round in 0..24_usize {
            let mut long = batch(store.geometry());
            for (name, length) in [(b"a", 1800), (b"b", 1900 + round), (b"d", 2000), (b"e", 2048)] {
                let value = bytes((round + length) as u64, length);
                long.put(name, &value, 1).unwrap();
                model.insert(name.to_vec(), (1, value));
            }
            store.commit(&mut [long], Durable).unwrap();
            for length in [10, 30] {
                let (name, value) = (vec![b'c'; 1 + length % 3], bytes(round as u64, length));
                put(&mut store, &name, &value, Buffered).unwrap();
                model.insert(name.clone(), (name.len() as u64, value));
            }
            store.sync().unwrap();
            // A copy is opened, the store goes on around the ring.
            let copy = SimDevice::new(device.image(), 600 * 512, 1);
            let (mut opened, recovery) = shape.open::<Heap, _>(copy).unwrap();
            assert!(!recovery.torn_tail, "{recovery:?}");
            assert_same(&contents(&mut opened), &model, &format!("opened in round {round}"));
        }
        store.checkpoint().unwrap();
        assert_sound(&mut store, &model, "folded in");
    }
}

/// The device was told to begin with what is synced at once anyway, and not with what lies there for long: slower,
/// and no test looked.
#[test]
fn a_device_hears_of_much_that_no_sync_follows_at_once() {
    for (durability, hints) in [(Buffered, 2), (Durable, 0)] {
        // It need not grow, which takes a sync.
        let device = Hinted(VecDevice::from_bytes(vec![0; 8 << 20], 512, 8 << 20), 0);
        let mut store: TestStore<Account, Hinted> = Shape::LARGE.new_store(device);
        for number in 0..10_u64 {
            put(&mut store, &[number as u8], &bytes(number, 60_000), durability).unwrap();
        }
        assert_eq!(store.into_device().1, hints, "{durability:?}");
    }
}

/// Every opening for writing begins an epoch, whether there was something to fold in or not: without it a record that
/// a recovery has discarded could follow from one that is written later. A few seeds of the campaigns did not notice.
#[test]
fn every_opening_for_writing_begins_an_epoch() {
    let mut device = SHAPE.new_store::<Heap, _>(SHAPE.device(LIMIT)).into_device();
    let mut before = (1, 1);
    for round in 0..6 {
        let (mut store, recovery) = SHAPE.open::<Heap, _>(device).unwrap();
        assert_eq!(recovery.records, round % 2);
        let superblock = store.superblock();
        let (generation, epoch) = (superblock.generation.get(), superblock.epoch.get());
        assert_eq!((generation > before.0, epoch), (true, before.1 + 1), "round {round}");
        before = (generation, epoch);
        if round % 2 == 0 {
            put(&mut store, b"name", b"word", Durable).unwrap();
        }
        device = store.into_device();
    }
}

/// The places of a superblock that is whole and holds an impossible number, and what a file says that ends in the
/// middle of its slots.
#[test]
fn superblocks_are_told_with_their_place() {
    let (image, _) = file();
    let read = |image: &[u8], slot: u32| {
        let at = slot as usize * SLOT_STRIDE as usize;
        Superblock::read(&image[at..at + 512]).filter(|copy| copy.is_valid(slot))
    };
    let newest = (0..SLOTS).filter_map(|slot| read(&image, slot)).max_by_key(|copy| copy.generation.get());
    // The least of the numbers that are impossible.
    let wrong: [fn(&mut Superblock); 4] = [
        |superblock| superblock.map_slot.set(3),
        |superblock| superblock.height.set(24),
        |superblock| superblock.root_page.set(superblock.pages.get()),
        |superblock| superblock.sequence.set(u64::MAX / 4),
    ];
    for (raised, change) in wrong.iter().flat_map(|change| [(0, change), (1, change)]) {
        let mut superblock = newest.unwrap();
        superblock.generation.set(superblock.generation.get() + raised);
        change(&mut superblock);
        let (mut image, first) = (image.clone(), superblock.slot_of(0));
        for slot in [first, superblock.slot_of(1)] {
            let at = slot as usize * SLOT_STRIDE as usize;
            image[at..at + Superblock::SIZE].copy_from_slice(superblock.sealed(slot).bytes());
        }
        let damage = Damage { what: Structure::Superblock, offset: u64::from(first) * SLOT_STRIDE };
        assert_eq!(open(image).map(drop), Err(OpenError::Corrupted(damage)));
    }
    for length in [0, 100, 511] {
        assert_eq!(open(vec![0; length]).map(drop), Err(OpenError::NotBlockyard), "{length} bytes");
    }
    // Only the last copy is whole, and nothing is behind it.
    let last = (SLOTS as usize - 1) * SLOT_STRIDE as usize;
    let mut cut = image[..last + 512].to_vec();
    cut[..last].fill(0);
    assert!(matches!(open(cut).map(drop), Err(OpenError::Truncated { .. })));
}

/// A recovery that took the longest name there may be for too long would call its commit torn.
#[test]
fn commits_of_the_longest_names_are_recovered() {
    recovers_longest_names::<Heap>();
    recovers_longest_names::<Fixed>();
}

fn recovers_longest_names<O: Overlay + Default>() {
    let mut store: TestStore<O, _> = Shape::SMALL.new_store(Shape::SMALL.device(400));
    let longest = store.geometry().max_name();
    for (letter, length) in [(b'a', 5), (b'b', 128), (b'c', 400)] {
        put(&mut store, &vec![letter; longest], &bytes(length, length as usize), Durable).unwrap();
    }
    let model = contents(&mut store);
    assert_eq!(model.len(), 3);
    let (mut store, recovery) = Shape::SMALL.open::<O, _>(store.into_device()).unwrap();
    assert_eq!((recovery.records, recovery.torn_tail), (3, false));
    assert_sound(&mut store, &model, "recovered");
}

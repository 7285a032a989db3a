//! Damaged and forged images: every flipped bit is told or does no harm, whatever was cut off is told,
//! and what somebody sealed anew with false numbers never brings the engine to panic, to run on
//! without an end, or to ask for memory.
//!
//! `BLOCKYARD_ALL_BITS=1` flips every bit (else two a byte), `BLOCKYARD_FORGERIES=n` makes more
//! random forgeries, `BLOCKYARD_SEED=n` others.

mod forge;
mod order;

use crate::support::*;
use blockyard_core::Durability::{Buffered, Durable};
use blockyard_core::device::{BlockDevice, MemoryError, VecDevice};
use blockyard_core::error::{OpenError, ReadError, WriteError};
use blockyard_core::format::GeometryError;
use blockyard_core::overlay::Overlay;
use blockyard_core::store::{Memory, Recovery};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};

/// Small pages, so that the tree gets several levels within a few kilobytes.
const SMALL: Shape = Shape {
    page_size: 512,
    journal_pages: 16,
    chunk_pages: 2,
    memory: Memory { levels: 8, map_pages: 12, staging: 4096 },
    growth: 4,
    groups_ahead: 1,
    carry_max: 1000,
};
const LARGE: Shape = Shape {
    page_size: 4096,
    journal_pages: 4,
    chunk_pages: 2,
    memory: Memory { levels: 4, map_pages: 6, staging: 16 << 10 },
    growth: 4,
    groups_ahead: 1,
    carry_max: 2000,
};

/// A device that knows which bytes were read, and that gives up when it is asked too often: then the
/// engine runs in circles.
#[derive(Clone, Debug)]
struct Watched {
    inner: VecDevice,
    left: u64,
    /// One flag a byte; empty when nobody asks.
    read: Vec<bool>,
}

impl Watched {
    fn new(image: Vec<u8>, left: u64) -> Self {
        let limit = image.len() as u64 + (64 << 10);
        Self { inner: VecDevice::from_bytes(image, 512, limit), left, read: Vec::new() }
    }

    fn count(&mut self) {
        self.left = self.left.checked_sub(1).expect("bounded work: the device is asked again and again");
    }
}

impl BlockDevice for Watched {
    type Error = MemoryError;

    fn read(&mut self, offset: u64, buf: &mut [u8]) -> Result<(), MemoryError> {
        self.count();
        let (start, end) = (offset as usize, offset as usize + buf.len());
        if let Some(flags) = self.read.get_mut(start..end) {
            flags.fill(true);
        }
        self.inner.read(offset, buf)
    }
    fn write(&mut self, offset: u64, data: &[u8]) -> Result<(), MemoryError> {
        self.count();
        self.inner.write(offset, data)
    }
    fn sync(&mut self) -> Result<(), MemoryError> {
        self.count();
        self.inner.sync()
    }
    fn length(&mut self) -> Result<u64, MemoryError> {
        self.inner.length()
    }
    fn grow(&mut self, length: u64) -> Result<(), MemoryError> {
        self.count();
        self.inner.grow(length)
    }
    fn atomic_unit(&self) -> u32 {
        self.inner.atomic_unit()
    }
}

/// An image and what it holds as of each commit that a recovery may end with.
struct Image {
    bytes: Vec<u8>,
    states: BTreeMap<u64, Model>,
}

impl Image {
    fn last(&self) -> u64 {
        *self.states.keys().next_back().unwrap()
    }
}

/// A file with something in every zone: a registry of several levels, extents, chunks, map pages, and
/// a journal with all kinds of operation.
fn image(shape: &Shape) -> Image {
    let mut store: TestStore<Heap> = shape.new_store(shape.device(1 << 16));
    let page = shape.page_size as usize;
    let mut model = Model::new();
    let inline = store.geometry().max_inline();
    let small = if page == 512 { 14 } else { 12 };
    for index in 0..small {
        let name = format!("a long prefix that makes the inner nodes fill up {index:03}").into_bytes();
        let value = bytes(index, inline - 20);
        put(&mut store, &name, &value, Buffered).unwrap();
        model.insert(name.clone(), (name.len() as u64, value));
        if index % 6 == 5 {
            store.checkpoint().unwrap();
        }
    }
    for (name, length) in [("extent", page + 90), ("moved", page), ("gone", page)] {
        let value = bytes(100 + length as u64, length);
        put(&mut store, name.as_bytes(), &value, Buffered).unwrap();
        model.insert(name.into(), (name.len() as u64, value));
    }
    let chunk = store.geometry().chunk_size() as usize;
    let value = bytes(7, 2 * chunk + 77);
    stream(&mut store, b"chunks", 5, &value, Durable).unwrap();
    model.insert(b"chunks".into(), (5, value));
    store.checkpoint().unwrap();
    // Both generations of the superblock, and an epoch above the first.
    let (mut store, _) = shape.open::<Heap, _>(store.into_device()).unwrap();

    let mut states = BTreeMap::from([(store.sequence().0, model.clone())]);
    let mut keep = |store: &TestStore<Heap>, model: &Model| {
        states.insert(store.sequence().0, model.clone());
    };
    for (name, length, durability) in [
        ("journal inline", 60, Buffered),
        ("journal carried", inline + 300, Durable),
        ("journal extent", shape.carry_max as usize + 20, Durable),
    ] {
        let value = bytes(200 + length as u64, length);
        put(&mut store, name.as_bytes(), &value, durability).unwrap();
        model.insert(name.into(), (name.len() as u64, value));
        keep(&store, &model);
    }
    let value = bytes(8, chunk + 1);
    stream(&mut store, b"journal chunks", 6, &value, Buffered).unwrap();
    model.insert(b"journal chunks".into(), (6, value));
    keep(&store, &model);
    delete(&mut store, b"gone", Buffered).unwrap();
    model.remove(&b"gone"[..]);
    keep(&store, &model);
    let mut scratch = batch(store.geometry());
    store.rename(b"moved", b"renamed", &mut scratch, Durable).unwrap();
    let moved = model.remove(&b"moved"[..]).unwrap();
    model.insert(b"renamed".into(), moved);
    keep(&store, &model);
    store.seal().unwrap();
    assert!(store.pending() >= 7, "the journal is not folded in");
    assert!(store.superblock().height.get() >= if page == 512 { 3 } else { 2 }, "a tree of several levels");
    Image { bytes: store.into_device().bytes().to_vec(), states }
}

/// Whether damage was told: otherwise everything must be right.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    Detected,
    Harmless,
}

/// Compares all that can be read with what was written: right, or told to be wrong.
fn compare<O: Overlay>(store: &mut TestStore<O, Watched>, expected: &Model) -> bool {
    let mut told = false;
    let mut name = [0; 1024];
    let mut after: Option<Vec<u8>> = None;
    let mut listed = 0;
    loop {
        match store.next_name(after.as_deref(), &mut name) {
            Ok(Some(length)) => {
                assert!(expected.contains_key(&name[..length]), "a name that nobody wrote");
                listed += 1;
                after = Some(name[..length].to_vec());
            }
            Ok(None) => {
                assert_eq!(listed, expected.len(), "all names or damage");
                break;
            }
            Err(ReadError::Corrupted(_)) => {
                told = true;
                break;
            }
            Err(error) => panic!("next_name: {error:?}"),
        }
    }
    let mut buffer = vec![0; 32 << 10];
    for (name, (tag, value)) in expected {
        match store.info(name) {
            Ok(Some(info)) => assert_eq!((info.tag, info.length), (*tag, value.len() as u64)),
            Err(ReadError::Corrupted(_)) => told = true,
            other => panic!("info: {other:?}"),
        }
        match store.get(name, &mut buffer) {
            Ok(Some(length)) => assert!(buffer[..length] == value[..], "wrong bytes"),
            Err(ReadError::Corrupted(_)) => told = true,
            other => panic!("get: {other:?}"),
        }
    }
    let mut findings = Findings::default();
    let report = verify_both_ways(store, &mut findings).unwrap();
    assert_eq!(report.problems, findings.problems.len() as u64);
    told || report.problems > 0
}

/// Opens the image, reads all of it and, unless read-only, commits and opens it again.
fn endure<O: Overlay + Default>(shape: &Shape, bytes: Vec<u8>, image: &Image, read_only: bool) -> Outcome {
    let length = bytes.len() as u64;
    let opened = |device| shape.open_with::<O, _>(device, |options| options.read_only = read_only);
    let refused = |error: OpenError<MemoryError>| match error {
        OpenError::Corrupted(damage) => assert!(damage.offset < length + (64 << 10), "a place in the file"),
        error => panic!("open: {error:?}"),
    };
    let (mut store, recovery) = match opened(Watched::new(bytes, 100_000)) {
        Ok(opened) => opened,
        Err(error) => {
            refused(error);
            return Outcome::Detected;
        }
    };
    let mut expected = image.states.get(&recovery.to.0).expect("a state that there was").clone();
    let mut told = recovery.torn_tail;
    assert!(told || recovery.to.0 == image.last(), "a lost commit is told");
    told |= compare(&mut store, &expected);
    if !read_only {
        match put(&mut store, b"one more", b"fresh bytes", Durable) {
            Ok(_) => {
                expected.insert(b"one more".into(), (8, b"fresh bytes".into()));
                match opened(store.into_device()) {
                    Ok((mut store, recovery)) => {
                        assert!(!recovery.torn_tail, "an answered commit");
                        told |= compare(&mut store, &expected);
                    }
                    Err(error) => {
                        refused(error);
                        told = true;
                    }
                }
            }
            Err(WriteError::Corrupted(_)) => told = true,
            Err(error) => panic!("put: {error:?}"),
        }
    }
    if told { Outcome::Detected } else { Outcome::Harmless }
}

/// The bytes that any of the paths above reads. What a flip in any other byte does is known: nothing.
fn bytes_read(shape: &Shape, image: &Image) -> Vec<bool> {
    let mut all = vec![false; image.bytes.len()];
    let mut watched = Watched::new(image.bytes.clone(), 100_000);
    watched.read = vec![false; image.bytes.len()];
    for read_only in [true, false] {
        let (mut store, recovery) =
            shape.open_with::<Heap, _>(watched.clone(), |options| options.read_only = read_only).unwrap();
        assert_eq!(recovery.to.0, image.last());
        let expected = image.states[&image.last()].clone();
        assert!(!compare(&mut store, &expected), "the image is sound");
        if !read_only {
            put(&mut store, b"one more", b"fresh bytes", Durable).unwrap();
            let (mut again, _) = shape.open::<Heap, _>(store.into_device()).unwrap();
            assert_eq!(get(&mut again, b"extent"), Some(expected[&b"extent"[..]].1.clone()));
            store = again;
        }
        let device = store.into_device();
        all.iter_mut().zip(&device.read).for_each(|(all, read)| *all |= read);
    }
    all
}

struct Flipped {
    tried: u64,
    detected: u64,
    harmless: u64,
}

/// Flips the bits that `bits` names for each byte, on all processors.
fn flip(shape: Shape, bits: impl Fn(usize, bool) -> u8 + Sync) -> Flipped {
    let image = image(&shape);
    let read = bytes_read(&shape, &image);
    let next = AtomicU64::new(0);
    let (detected, harmless) = (AtomicU64::new(0), AtomicU64::new(0));
    let work = || {
        loop {
            let at = next.fetch_add(1, Ordering::Relaxed) as usize;
            let Some(&is_read) = read.get(at) else { return };
            let mask = bits(at, is_read);
            for bit in (0..8).filter(|bit| mask & (1 << bit) != 0) {
                let mut told = false;
                for read_only in [true, false] {
                    let mut bytes = image.bytes.clone();
                    bytes[at] ^= 1 << bit;
                    let outcome = if bit % 2 == 0 {
                        endure::<Heap>(&shape, bytes, &image, read_only)
                    } else {
                        endure::<Fixed>(&shape, bytes, &image, read_only)
                    };
                    told |= outcome == Outcome::Detected;
                }
                let counter = if told { &detected } else { &harmless };
                counter.fetch_add(1, Ordering::Relaxed);
                assert!(is_read || !told, "byte {at} is read after all");
            }
        }
    };
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..2).map(|_| scope.spawn(work)).collect();
        workers.into_iter().for_each(|worker| worker.join().unwrap());
    });
    let tried = (0..read.len()).map(|at| u64::from(bits(at, read[at]).count_ones())).sum();
    Flipped { tried, detected: detected.into_inner(), harmless: harmless.into_inner() }
}

fn all_bits() -> bool {
    std::env::var_os("BLOCKYARD_ALL_BITS").is_some()
}

#[test]
fn a_flipped_bit_is_told_or_does_no_harm() {
    // Bytes that nothing reads are tried here and there, to see that it is so.
    let flipped = flip(SMALL, |at, read| match (all_bits(), read) {
        (true, _) => 0xFF,
        (_, true) => 1 << (at % 8) | 1 << ((at + 3) % 8),
        (_, false) if at % 32 == 0 => 1 << (at / 32 % 8),
        _ => 0,
    });
    let Flipped { tried, detected, harmless } = flipped;
    println!("512-byte pages: {tried} flips, {detected} detected, {harmless} harmless");
    assert_eq!(detected + harmless, tried);
    assert!(detected > 20_000 && harmless > 1000, "{detected} detected, {harmless} harmless");
}

#[test]
fn a_flipped_bit_in_large_pages_is_told_or_does_no_harm() {
    let every = if all_bits() { 1 } else { 16 };
    let flipped = flip(LARGE, |at, read| match (at % every, read) {
        (0, true) => 1 << (at / every % 8),
        (0, false) if at / every % 64 == 0 => 1 << (at / every % 8),
        _ => 0,
    });
    let Flipped { tried, detected, harmless } = flipped;
    println!("4-KiB pages: {tried} flips, {detected} detected, {harmless} harmless");
    assert_eq!(detected + harmless, tried);
    assert!(detected > 1000 && harmless > 100, "{detected} detected, {harmless} harmless");
}

#[test]
fn a_file_cut_off_is_told() {
    for shape in [SMALL, LARGE] {
        let image = image(&shape);
        let whole = image.bytes.len();
        let lengths = (0..whole).step_by(512).chain([1, 511, 513, 4095, 4097, 20_001, whole - 1]);
        let (mut refused, mut kinds) = (0, [0; 2]);
        for length in lengths {
            for read_only in [true, false] {
                let bytes = image.bytes[..length].to_vec();
                let device = Watched::new(bytes, 100_000);
                let opened = shape.open_with::<Heap, _>(device, |options| options.read_only = read_only);
                refused += 1;
                match opened.map(|_| ()) {
                    Err(OpenError::NotBlockyard) => {
                        kinds[0] += 1;
                        assert!(length < 3 * 4096, "a superblock is there in {length} bytes");
                    }
                    Err(OpenError::Truncated { expected, actual }) => {
                        kinds[1] += 1;
                        assert_eq!(actual, length as u64);
                        assert!(actual < expected && expected <= whole as u64, "{expected} of {whole}");
                    }
                    other => panic!("cut at {length}: {other:?}"),
                }
            }
        }
        assert!(kinds[0] > 0 && kinds[1] > 0 && kinds[0] + kinds[1] == refused, "{kinds:?} of {refused}");
    }
}

fn refusal(shape: &Shape, bytes: Vec<u8>) -> OpenError<MemoryError> {
    shape.open::<Heap, _>(Watched::new(bytes, 1000)).map(|_: (_, Recovery)| ()).unwrap_err()
}

#[test]
fn what_is_not_a_store_is_told_by_its_own_error() {
    let image = image(&SMALL);
    for length in [0, 1, 511, 512, 4096, 60_000] {
        assert_eq!(refusal(&SMALL, vec![0; length]), OpenError::NotBlockyard);
        assert_eq!(refusal(&SMALL, bytes(1, length)), OpenError::NotBlockyard);
        assert_eq!(refusal(&SMALL, vec![0xFF; length]), OpenError::NotBlockyard);
    }
    // All four copies damaged: it was one.
    let mut copy = image.bytes.clone();
    (0..4).for_each(|slot| copy[slot * 4096 + 100] ^= 1);
    assert!(matches!(refusal(&SMALL, copy), OpenError::Corrupted(_)));
    let forged = |change: &dyn Fn(&mut forge::Forge)| {
        let mut forge = forge::Forge::new(&image.bytes);
        change(&mut forge);
        refusal(&SMALL, forge.bytes())
    };
    assert_eq!(forged(&|forge| forge.version = 2), OpenError::Version { found: 2 });
    assert_eq!(forged(&|forge| forge.version = 0), OpenError::Version { found: 0 });
    let features = forged(&|forge| forge.superblock.features = 0x10.into());
    assert_eq!(features, OpenError::Features { found: 0x10 });
    let geometry = |change: &dyn Fn(&mut forge::Forge)| match forged(change) {
        OpenError::Geometry(error) => error,
        other => panic!("{other:?}"),
    };
    for size in [0, 1, 256, 513, 131_072, u32::MAX] {
        let found = geometry(&|forge| forge.superblock.page_size = size.into());
        assert_eq!(found, GeometryError::PageSize(size));
    }
    for unit in [0, 1, 256, 1024, u32::MAX] {
        assert_eq!(geometry(&|forge| forge.superblock.unit = unit.into()), GeometryError::Unit(unit));
    }
    for length in [0, 512, 1536, 2049, (1 << 30) + 512, u64::MAX] {
        let found = geometry(&|forge| forge.superblock.journal_length = length.into());
        assert_eq!(found, GeometryError::JournalLength(length));
    }
    for size in [0, 1, 513, (64 << 20) + 512, u32::MAX] {
        let found = geometry(&|forge| forge.superblock.chunk_size = size.into());
        assert_eq!(found, GeometryError::ChunkSize(size));
    }
    for value in [0, 1, u64::MAX] {
        assert_eq!(
            geometry(&|forge| forge.superblock.journal_offset = value.into()),
            GeometryError::Inconsistent
        );
        assert_eq!(
            geometry(&|forge| forge.superblock.first_group = value.into()),
            GeometryError::Inconsistent
        );
        assert_eq!(geometry(&|forge| forge.superblock.pages = value.into()), GeometryError::Inconsistent);
    }
}

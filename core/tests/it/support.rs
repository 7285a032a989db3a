//! Stores, batches and comparisons for all tests.

use blockyard_core::device::{BlockDevice, VecDevice};
use blockyard_core::error::{OpenError, WriteError};
use blockyard_core::overlay::{FixedOverlay, MapOverlay, Overlay};
use blockyard_core::store::{
    CreateOptions, Memory, OpenOptions, Problem, Recovery, VerifyReport, VerifySink,
};
use blockyard_core::{Batch, Digest, Durability, Extent, Geometry, Sequence, Store};
use std::collections::BTreeMap;

/// Bodies are kept on the heap.
pub(crate) type Heap = MapOverlay;
/// Bodies are read back from the journal.
pub(crate) type Fixed = FixedOverlay<96, 64>;
pub(crate) type TestStore<O, D = VecDevice> = Store<D, O, Vec<u8>>;
/// What opening gives.
pub(crate) type Opened<O, D> = Result<(TestStore<O, D>, Recovery), OpenError<<D as BlockDevice>::Error>>;
pub(crate) type TestBatch = Batch<Vec<u8>, Vec<u8>>;

/// Name to tag and bytes.
pub(crate) type Model = BTreeMap<Vec<u8>, (u64, Vec<u8>)>;

/// The sizes of a store and the memory it works in.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Shape {
    pub(crate) page_size: u32,
    pub(crate) journal_pages: u64,
    pub(crate) chunk_pages: u32,
    pub(crate) memory: Memory,
    pub(crate) growth: u64,
    pub(crate) carry_max: u64,
}

impl Shape {
    pub(crate) const SMALL: Self = Self {
        page_size: 512,
        journal_pages: 32,
        chunk_pages: 4,
        memory: Memory { levels: 8, map_pages: 12, staging: 4096 },
        growth: 64,
        carry_max: 2048,
    };
    pub(crate) const LARGE: Self = Self {
        page_size: 4096,
        journal_pages: 64,
        chunk_pages: 16,
        memory: Memory { levels: 6, map_pages: 16, staging: 64 << 10 },
        growth: 64,
        carry_max: 32 << 10,
    };

    pub(crate) fn create(&self) -> CreateOptions {
        CreateOptions {
            page_size: self.page_size,
            journal_length: self.journal_pages * u64::from(self.page_size),
            chunk_size: self.chunk_pages * self.page_size,
            file_id: *b"a test's file id",
        }
    }

    pub(crate) fn options(&self) -> OpenOptions {
        OpenOptions {
            memory: self.memory,
            growth: self.growth,
            carry_max: self.carry_max,
            read_only: false,
            salvage: false,
        }
    }

    pub(crate) fn buffer(&self) -> Vec<u8> {
        vec![0xA5; self.memory.bytes(self.page_size as usize)]
    }

    /// Pages in front of the first group.
    pub(crate) fn front_pages(&self) -> u64 {
        (4 * 4096_u64).div_ceil(u64::from(self.page_size)) + self.journal_pages
    }

    pub(crate) fn new_store<O: Overlay + Default, D: BlockDevice>(&self, device: D) -> TestStore<O, D> {
        Store::create(device, O::default(), self.buffer(), &self.create(), &self.options()).unwrap()
    }

    pub(crate) fn open<O: Overlay + Default, D: BlockDevice>(&self, device: D) -> Opened<O, D> {
        Store::open(device, O::default(), self.buffer(), &self.options())
    }

    pub(crate) fn open_with<O: Overlay + Default, D: BlockDevice>(
        &self,
        device: D,
        change: impl FnOnce(&mut OpenOptions),
    ) -> Opened<O, D> {
        let mut options = self.options();
        change(&mut options);
        Store::open(device, O::default(), self.buffer(), &options)
    }

    /// A device that may grow to `pages` pages.
    pub(crate) fn device(&self, pages: u64) -> VecDevice {
        VecDevice::new(512, pages * u64::from(self.page_size))
    }
}

pub(crate) fn batch(geometry: &Geometry) -> TestBatch {
    Batch::new(geometry, Vec::new(), Vec::new())
}

/// Bytes that belong to nothing but `seed`.
pub(crate) fn bytes(seed: u64, length: usize) -> Vec<u8> {
    let mut rng = fastrand::Rng::with_seed(seed);
    let mut bytes = vec![0; length];
    rng.fill(&mut bytes);
    bytes
}

pub(crate) fn put<D: BlockDevice, O: Overlay>(
    store: &mut TestStore<O, D>,
    name: &[u8],
    value: &[u8],
    durability: Durability,
) -> Result<Sequence, WriteError<D::Error>> {
    let mut batch = batch(store.geometry());
    batch.put(name, value, name.len() as u64).unwrap();
    store.commit(&mut [batch], durability)
}

pub(crate) fn delete<D: BlockDevice, O: Overlay>(
    store: &mut TestStore<O, D>,
    name: &[u8],
    durability: Durability,
) -> Result<Sequence, WriteError<D::Error>> {
    let mut batch = batch(store.geometry());
    batch.delete(name).unwrap();
    store.commit(&mut [batch], durability)
}

/// Writes a block through the streaming writer, in pieces.
pub(crate) fn stream<D: BlockDevice, O: Overlay>(
    store: &mut TestStore<O, D>,
    name: &[u8],
    tag: u64,
    value: &[u8],
    durability: Durability,
) -> Result<Sequence, WriteError<D::Error>> {
    let mut chunk = vec![0; store.geometry().chunk_size() as usize];
    let mut scratch = batch(store.geometry());
    let mut writer = store.writer::<1024>(name, tag, &mut chunk)?;
    for piece in value.chunks(700) {
        writer.write(piece)?;
    }
    writer.finish(&mut scratch, durability)
}

/// Reads a block through the streaming reader.
pub(crate) fn read_stream<D: BlockDevice, O: Overlay>(
    store: &mut TestStore<O, D>,
    name: &[u8],
    piece: usize,
) -> Option<Vec<u8>> {
    let mut reader = match store.reader(name) {
        Err(blockyard_core::ReadError::NotFound) => return None,
        reader => reader.unwrap(),
    };
    let mut value = Vec::new();
    let mut buffer = vec![0; piece];
    loop {
        match reader.read(&mut buffer).unwrap() {
            0 => return Some(value),
            read => value.extend_from_slice(&buffer[..read]),
        }
    }
}

pub(crate) fn get<D: BlockDevice, O: Overlay>(store: &mut TestStore<O, D>, name: &[u8]) -> Option<Vec<u8>> {
    let info = store.info(name).unwrap()?;
    let mut value = vec![0; info.length as usize];
    let length = store.get(name, &mut value).unwrap();
    assert_eq!(length, Some(value.len()), "get and info agree");
    Some(value)
}

pub(crate) fn names<D: BlockDevice, O: Overlay>(store: &mut TestStore<O, D>) -> Vec<Vec<u8>> {
    let mut names: Vec<Vec<u8>> = Vec::new();
    let mut name = [0; 1024];
    while let Some(length) = store.next_name(names.last().map(Vec::as_slice), &mut name).unwrap() {
        if let Some(last) = names.last() {
            assert!(last.as_slice() < &name[..length], "names ascend");
        }
        names.push(name[..length].to_vec());
    }
    names
}

/// Everything that the store gives out.
pub(crate) fn contents<D: BlockDevice, O: Overlay>(store: &mut TestStore<O, D>) -> Model {
    let mut contents = Model::new();
    for name in names(store) {
        let tag = store.info(&name).unwrap().unwrap().tag;
        let value = get(store, &name).unwrap();
        contents.insert(name, (tag, value));
    }
    contents
}

/// Compares without printing megabytes.
pub(crate) fn assert_same(found: &Model, expected: &Model, what: &str) {
    if found == expected {
        return;
    }
    let names: std::collections::BTreeSet<_> = found.keys().chain(expected.keys()).collect();
    for name in names {
        let (found, expected) = (found.get(name), expected.get(name));
        if found != expected {
            let show = |block: Option<&(u64, Vec<u8>)>| {
                block.map(|(tag, bytes)| (*tag, bytes.len(), Digest::of(bytes)))
            };
            panic!(
                "{what}: block {:?} is {:?} and should be {:?} (tag, length, digest)",
                String::from_utf8_lossy(name),
                show(found),
                show(expected)
            );
        }
    }
}

/// What verification said.
#[derive(Debug, Default)]
pub(crate) struct Findings {
    pub(crate) problems: Vec<(Option<Vec<u8>>, Problem)>,
    pub(crate) first_records: u64,
    pub(crate) bytes: u64,
}

impl VerifySink for Findings {
    fn problem(&mut self, name: Option<&[u8]>, problem: Problem) {
        self.problems.push((name.map(<[u8]>::to_vec), problem));
    }
    fn checked(&mut self, _name: &[u8], first: bool, bytes: u64) {
        self.first_records += u64::from(first);
        self.bytes += bytes;
    }
    fn reachable(&mut self, _extent: Extent) {}
}

/// Verifies and demands that nothing is wrong, nothing leaked, and every count right. The journal
/// must have been folded in.
pub(crate) fn assert_sound<D: BlockDevice, O: Overlay>(
    store: &mut TestStore<O, D>,
    expected: &Model,
    what: &str,
) -> VerifyReport {
    let mut findings = Findings::default();
    let report = store.verify(&mut findings).unwrap();
    assert!(
        findings.problems.is_empty(),
        "{what}: {:?}\n{report:?}\n{:?}",
        findings.problems,
        store.superblock()
    );
    let blocks = expected.len() as u64;
    let bytes = expected.values().map(|(_, value)| value.len() as u64).sum::<u64>();
    assert_eq!(report.leaked_pages, 0, "{what}: leaked pages");
    assert_eq!(report.problems, 0, "{what}: problems");
    assert_eq!((report.blocks, report.bytes), (blocks, bytes), "{what}: blocks and bytes");
    assert_eq!((findings.first_records, findings.bytes), (blocks, bytes), "{what}: what was checked");
    assert_eq!(store.superblock().blocks.get(), blocks, "{what}: blocks in the superblock");
    assert_eq!(store.superblock().bytes.get(), bytes, "{what}: bytes in the superblock");
    report
}

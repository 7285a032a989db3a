//! Stores, batches and comparisons for all tests.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use blockyard_core::device::{BlockDevice, VecDevice};
use blockyard_core::error::{OpenError, ReadError, WriteError};
use blockyard_core::overlay::{FixedOverlay, MapOverlay, Overlay};
use blockyard_core::store::{
    CreateOptions, Memory, OpenOptions, Problem, Recovery, Verification, VerifyReport, VerifySink,
};
use blockyard_core::{Batch, Digest, Durability, Extent, Geometry, Sequence, Store};
use std::collections::BTreeMap;

/// Bodies are kept on the heap.
pub type Heap = MapOverlay;
/// Bodies are read back from the journal.
pub type Fixed = FixedOverlay<96, 64>;
/// A store whose buffer is on the heap.
pub type TestStore<O, D = VecDevice> = Store<D, O, Vec<u8>>;
/// What opening gives.
pub type Opened<O, D> = Result<(TestStore<O, D>, Recovery), OpenError<<D as BlockDevice>::Error>>;
/// A batch whose buffers grow.
pub type TestBatch = Batch<Vec<u8>, Vec<u8>>;

/// Name to tag and bytes.
pub type Model = BTreeMap<Vec<u8>, (u64, Vec<u8>)>;

/// The sizes of a store and the memory it works in.
#[derive(Clone, Copy, Debug)]
pub struct Shape {
    /// Bytes of a page.
    pub page_size: u32,
    /// Pages of the journal.
    pub journal_pages: u64,
    /// Pages of a chunk.
    pub chunk_pages: u32,
    /// What the store may keep in memory.
    pub memory: Memory,
    /// Pages by which the file grows.
    pub growth: u64,
    /// Groups for which the file grows when it has no room for one.
    pub groups_ahead: u64,
    /// Bytes of values that a journal record may carry.
    pub carry_max: u64,
}

impl Shape {
    /// Small pages and little of everything.
    pub const SMALL: Self = Self {
        page_size: 512,
        journal_pages: 32,
        chunk_pages: 4,
        memory: Memory { levels: 8, map_pages: 12, staging: 4096 },
        growth: 64,
        groups_ahead: 1,
        carry_max: 2048,
    };
    /// Pages of the usual size.
    pub const LARGE: Self = Self {
        page_size: 4096,
        journal_pages: 64,
        chunk_pages: 16,
        memory: Memory { levels: 6, map_pages: 16, staging: 64 << 10 },
        growth: 64,
        groups_ahead: 1,
        carry_max: 32 << 10,
    };

    /// How such a store is created.
    pub fn create(&self) -> CreateOptions {
        CreateOptions {
            page_size: self.page_size,
            journal_length: self.journal_pages * u64::from(self.page_size),
            chunk_size: self.chunk_pages * self.page_size,
            file_id: *b"a test's file id",
        }
    }

    /// How such a store is opened.
    pub fn options(&self) -> OpenOptions {
        OpenOptions {
            memory: self.memory,
            growth: self.growth,
            groups_ahead: self.groups_ahead,
            carry_max: self.carry_max,
            read_only: false,
            salvage: false,
        }
    }

    /// The memory that such a store works in.
    pub fn buffer(&self) -> Vec<u8> {
        vec![0xA5; self.memory.bytes(self.page_size as usize)]
    }

    /// Pages in front of the first group.
    pub fn front_pages(&self) -> u64 {
        (4 * 4096_u64).div_ceil(u64::from(self.page_size)) + self.journal_pages
    }

    /// A new store on `device`.
    pub fn new_store<O: Overlay + Default, D: BlockDevice>(&self, device: D) -> TestStore<O, D> {
        Store::create(device, O::default(), self.buffer(), &self.create(), &self.options()).unwrap()
    }

    /// Opens the store on `device`.
    ///
    /// # Errors
    /// The store's own.
    pub fn open<O: Overlay + Default, D: BlockDevice>(&self, device: D) -> Opened<O, D> {
        Store::open(device, O::default(), self.buffer(), &self.options())
    }

    /// Opens the store on `device` with other options.
    ///
    /// # Errors
    /// The store's own.
    pub fn open_with<O: Overlay + Default, D: BlockDevice>(
        &self,
        device: D,
        change: impl FnOnce(&mut OpenOptions),
    ) -> Opened<O, D> {
        let mut options = self.options();
        change(&mut options);
        Store::open(device, O::default(), self.buffer(), &options)
    }

    /// A device that may grow to `pages` pages.
    pub fn device(&self, pages: u64) -> VecDevice {
        VecDevice::new(512, pages * u64::from(self.page_size))
    }
}

/// An empty batch.
pub fn batch(geometry: &Geometry) -> TestBatch {
    Batch::new(geometry, Vec::new(), Vec::new())
}

/// Bytes that belong to nothing but `seed`.
pub fn bytes(seed: u64, length: usize) -> Vec<u8> {
    let mut rng = fastrand::Rng::with_seed(seed);
    let mut bytes = vec![0; length];
    rng.fill(&mut bytes);
    bytes
}

/// Commits one block, whose tag is the length of its name.
///
/// # Errors
/// The store's own.
pub fn put<D: BlockDevice, O: Overlay>(
    store: &mut TestStore<O, D>,
    name: &[u8],
    value: &[u8],
    durability: Durability,
) -> Result<Sequence, WriteError<D::Error>> {
    let mut batch = batch(store.geometry());
    batch.put(name, value, name.len() as u64).unwrap();
    store.commit(&mut [batch], durability)
}

/// Deletes one block.
///
/// # Errors
/// The store's own.
pub fn delete<D: BlockDevice, O: Overlay>(
    store: &mut TestStore<O, D>,
    name: &[u8],
    durability: Durability,
) -> Result<Sequence, WriteError<D::Error>> {
    let mut batch = batch(store.geometry());
    batch.delete(name).unwrap();
    store.commit(&mut [batch], durability)
}

/// Writes a block through the streaming writer, in pieces.
///
/// # Errors
/// The store's own.
pub fn stream<D: BlockDevice, O: Overlay>(
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
pub fn read_stream<D: BlockDevice, O: Overlay>(
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

/// A block's bytes, if there is one.
pub fn get<D: BlockDevice, O: Overlay>(store: &mut TestStore<O, D>, name: &[u8]) -> Option<Vec<u8>> {
    let info = store.info(name).unwrap()?;
    let mut value = vec![0; info.length as usize];
    let length = store.get(name, &mut value).unwrap();
    assert_eq!(length, Some(value.len()), "get and info agree");
    Some(value)
}

/// Every name, by walking.
pub fn names<D: BlockDevice, O: Overlay>(store: &mut TestStore<O, D>) -> Vec<Vec<u8>> {
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
pub fn contents<D: BlockDevice, O: Overlay>(store: &mut TestStore<O, D>) -> Model {
    let mut contents = Model::new();
    for name in names(store) {
        let tag = store.info(&name).unwrap().unwrap().tag;
        let value = get(store, &name).unwrap();
        contents.insert(name, (tag, value));
    }
    contents
}

/// Compares without printing megabytes.
pub fn assert_same(found: &Model, expected: &Model, what: &str) {
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
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Findings {
    /// Each problem, with the name of the block it was met under.
    pub problems: Vec<(Option<Vec<u8>>, Problem)>,
    /// Blocks checked.
    pub first_records: u64,
    /// Bytes of them.
    pub bytes: u64,
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

/// Verifies in steps and demands that none asks the device for more than its bound.
///
/// # Errors
/// The first one that a step ended with; the steps behind it were made nevertheless.
pub fn verify_in_steps<D: BlockDevice, O: Overlay>(
    store: &mut TestStore<O, D>,
    findings: &mut Findings,
) -> Result<VerifyReport, ReadError<D::Error>> {
    let mut verification = Verification::new(vec![0; store.geometry().max_name()]);
    let mut first = Ok(());
    loop {
        let (before, bound) = (store.counters(), store.bound_of_verify_step());
        let step = store.verify_step(&mut verification, findings);
        let now = store.counters();
        let spent = (now.reads - before.reads, now.writes - before.writes, now.syncs - before.syncs);
        assert!(spent.0 <= bound.reads && spent.1 <= bound.writes && spent.2 == 0, "{spent:?} of {bound:?}");
        match step {
            Ok(false) => return first.map(|()| *verification.report()),
            Ok(true) => {}
            Err(error) => first = first.and(Err(error)),
        }
    }
}

/// Verifies at once and in steps, which must find the same.
///
/// # Errors
/// The device's.
pub fn verify_both_ways<D: BlockDevice, O: Overlay>(
    store: &mut TestStore<O, D>,
    findings: &mut Findings,
) -> Result<VerifyReport, ReadError<D::Error>> {
    let report = store.verify(findings)?;
    let mut stepwise = Findings::default();
    assert_eq!(verify_in_steps(store, &mut stepwise)?, report, "in steps");
    assert_eq!(&stepwise, findings, "in steps");
    Ok(report)
}

/// Verifies and demands that nothing is wrong, nothing leaked, and every count right. The journal
/// must have been folded in.
pub fn assert_sound<D: BlockDevice, O: Overlay>(
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

//! Everything that can be asked of a store whose file may say anything.
//!
//! 1. Nothing panics, and the device is asked a bounded number of times.
//! 2. Names ascend, whatever the registry says.
//! 3. A store opened for reading only writes nothing.
//! 4. What a store took, it opens again with, unless verification said that something is wrong.
//! 5. Where verification finds nothing wrong, everything can be read, looked up, listed in both
//!    directions and deleted, and nothing is left.

use crate::device::Watched;
use crate::input::Input;
use crate::operations::{ImagePages, keys, keys_back};
use crate::setup::{Findings, Fixed, Heap, Setup, TestStore, batch, pattern};
use blockyard_core::Durability::{self, Buffered, Durable};
use blockyard_core::overlay::Overlay;
use blockyard_core::tree::{self, Key};
use std::sync::atomic::{AtomicU64, Ordering};

/// Device operations that an image may cost; a sound one costs a tenth.
const LIMIT: u32 = 60_000;
/// Names of an image that are looked at one by one.
const NAMES: usize = 96;
/// Bytes of a block that are read at most.
const READ: usize = 8 << 10;

/// How often a registry was verified and found to be a map, and how often such a one was emptied: what a
/// test of the corpus must reach.
#[derive(Debug, Default)]
pub struct Reached {
    /// Listed in both directions, looked up and read.
    pub consistent: AtomicU64,
    /// Deleted to the last block, with no page left in use.
    pub emptied: AtomicU64,
}

/// What this process has reached.
pub static REACHED: Reached = Reached { consistent: AtomicU64::new(0), emptied: AtomicU64::new(0) };

/// How an image is opened.
#[derive(Clone, Copy, Debug)]
pub struct Opening {
    fixed: bool,
    read_only: bool,
    salvage: bool,
    carry_max: u64,
    levels: usize,
}

impl Opening {
    /// As the input says.
    pub fn draw(input: &mut Input<'_>) -> Self {
        let bits = input.byte();
        Self {
            fixed: bits & 1 != 0,
            read_only: bits & 2 != 0,
            salvage: bits & 4 != 0,
            carry_max: if bits & 8 == 0 { 1000 } else { 0 },
            levels: if bits & 16 == 0 { 8 } else { 24 },
        }
    }
}

/// Opens the image and asks it everything; the rest of the input says what is written.
pub fn exercise(image: Vec<u8>, page_size: u32, opening: Opening, input: Input<'_>) {
    let mut setup = Setup { page_size, carry_max: opening.carry_max, ..Setup::SMALL };
    setup.memory.levels = opening.levels;
    if opening.fixed {
        Subject::<Fixed>::open(setup, image, opening, input)
    } else {
        Subject::<Heap>::open(setup, image, opening, input)
    };
}

/// An opened image.
struct Subject<O> {
    setup: Setup,
    store: TestStore<O>,
    /// Something was refused or told to be damaged.
    told: bool,
}

impl<O: Overlay + Default> Subject<O> {
    fn open(setup: Setup, image: Vec<u8>, opening: Opening, mut input: Input<'_>) {
        let limit = image.len() as u64 + (96 << 10);
        let before = opening.read_only.then(|| image.clone());
        let device = Watched::new(image, 512, limit, LIMIT);
        let change = |options: &mut blockyard_core::store::OpenOptions| {
            options.read_only = opening.read_only;
            options.salvage = opening.salvage;
        };
        let Ok((store, _)) = setup.open::<O, _>(device, change) else { return };
        let mut subject = Self { setup, store, told: false };
        let names = subject.names();
        subject.read_all(&names);
        if subject.verifies() {
            subject.assert_consistent();
        }
        let sequence = subject.store.sequence();
        subject.write(&mut input, &names);
        let names = subject.names();
        subject.read_all(&names);
        subject.verifies();
        if let Some(before) = before {
            assert!(subject.store.device().bytes() == before, "reading only writes nothing");
            return;
        }
        subject.reopen(sequence.0);
    }

    fn tell<T, E>(&mut self, result: Result<T, E>) -> Option<T> {
        self.told |= result.is_err();
        result.ok()
    }

    fn names(&mut self) -> Vec<Vec<u8>> {
        let mut names: Vec<Vec<u8>> = Vec::new();
        let mut name = [0; 1024];
        while names.len() < NAMES {
            let next = self.store.next_name(names.last().map(Vec::as_slice), &mut name);
            let Some(Some(length)) = self.tell(next) else { break };
            assert!(names.last().is_none_or(|last| last.as_slice() < &name[..length]), "names ascend");
            names.push(name[..length].to_vec());
        }
        names
    }

    fn read_all(&mut self, names: &[Vec<u8>]) {
        let mut buffer = vec![0; READ];
        for name in names {
            let info = self.store.info(name);
            let info = self.tell(info).flatten();
            let exists = self.store.exists(name);
            self.tell(exists);
            let got = self.store.get(name, &mut buffer);
            let got = self.tell(got).flatten();
            if let (Some(info), Some(length)) = (info, got) {
                assert_eq!(info.length, length as u64, "get and info agree");
            }
            let Ok(mut reader) = self.store.reader(name) else { continue };
            let mut piece = [0; 700];
            let mut at = 0;
            for _ in 0..4 {
                match reader.read(&mut piece) {
                    Ok(0) => break,
                    Ok(read) => {
                        let same = got.is_none() || buffer.get(at..at + read) == Some(&piece[..read]);
                        assert!(same, "get and read agree");
                        at += read;
                    }
                    Err(_) => break,
                }
            }
            reader.seek(u64::MAX - 10);
            let rest = reader.read(&mut piece);
            self.told |= rest.is_err();
        }
    }

    /// Whether verification finds nothing wrong and nothing is left over.
    fn verifies(&mut self) -> bool {
        let mut findings = Findings::default();
        let report = self.store.verify(&mut findings);
        let free = self.store.free_space();
        self.tell(free);
        let Some(report) = self.tell(report) else { return false };
        assert_eq!(report.problems, findings.problems.len() as u64, "each problem is told");
        // A page in use by two is freed twice one day, and that is refused, by a recovery too.
        self.told |= report.problems > 0 || findings.doubled > 0;
        report.problems == 0 && report.leaked_pages == 0 && findings.doubled == 0
    }

    /// A registry in which verification finds nothing wrong is a map.
    fn assert_consistent(&mut self) {
        let root = self.store.root();
        let most = 4 * self.store.pages() as usize * 64;
        let page_size = self.setup.page_size as usize;
        if root.height == 0 {
            return;
        }
        let mut pages = ImagePages { image: self.store.device().bytes(), page_size };
        let forwards = keys(&mut pages, &root, most).expect("verified");
        let mut backwards = keys_back(&mut pages, &root, most).expect("verified");
        backwards.reverse();
        assert_eq!(forwards, backwards, "both directions give the same");
        assert!(forwards.is_sorted_by(|a, b| a < b), "keys ascend");
        for (name, chunk) in &forwards {
            let key = Key { name, chunk: *chunk };
            let found = tree::lookup_chunk(&mut pages, &root, key, |record| record.is_some());
            assert_eq!(found, Ok(true), "what is listed can be looked up");
        }
        REACHED.consistent.fetch_add(1, Ordering::Relaxed);
        // What is only in the journal was not verified.
        if self.store.pending() > 0 {
            return;
        }
        let mut buffer = vec![0; READ];
        for name in self.names() {
            match self.store.get(&name, &mut buffer) {
                Ok(Some(_)) | Err(blockyard_core::ReadError::BufferTooSmall { .. }) => {}
                other => panic!("verified, and not to be read: {other:?}"),
            }
        }
    }

    fn write(&mut self, input: &mut Input<'_>, names: &[Vec<u8>]) {
        let geometry = *self.store.geometry();
        for _ in 0..10 {
            if input.is_empty() {
                break;
            }
            let durability = input.pick([Buffered, Durable]);
            let at = input.below(names.len().max(1));
            let name = names.get(at).map_or(b"name".as_slice(), Vec::as_slice);
            match input.byte() % 9 {
                0 => self.put_many(input, durability),
                1 => {
                    let mut one = batch(&geometry);
                    let length = input.below(1200).min(geometry.chunk_size() as usize);
                    // A forged registry may list an empty name.
                    let result = one.put(name, &pattern(1, length), 5);
                    if self.tell(result).is_some() {
                        let result = self.store.commit(&mut [one], durability);
                        self.tell(result);
                    }
                }
                2 => self.delete(name, durability),
                3 => {
                    let mut scratch = batch(&geometry);
                    let result = self.store.rename(name, b"another name", &mut scratch, durability);
                    self.tell(result);
                }
                4 => self.stream(durability),
                5 => {
                    let result = self.store.checkpoint_step();
                    self.tell(result);
                }
                6 => {
                    let result = self.store.checkpoint();
                    self.tell(result);
                }
                7 => names.iter().for_each(|name| self.delete(name, Buffered)),
                _ => {
                    let (seal, sync) = (self.store.seal(), self.store.sync());
                    self.tell(seal);
                    self.tell(sync);
                }
            }
        }
    }

    fn put_many(&mut self, input: &mut Input<'_>, durability: Durability) {
        let geometry = *self.store.geometry();
        let mut many = batch(&geometry);
        for index in 0..=input.byte() % 12 {
            let name = [b"many/".as_slice(), &[index]].concat();
            many.put(&name, &pattern(2, 60 * usize::from(index)), 3).expect("it fits");
        }
        let result = self.store.commit(&mut [many], durability);
        self.tell(result);
    }

    fn delete(&mut self, name: &[u8], durability: Durability) {
        let mut one = batch(self.store.geometry());
        // A longer name than there can be is refused before.
        let result = one.delete(name);
        if self.tell(result).is_some() {
            let result = self.store.commit(&mut [one], durability);
            self.tell(result);
        }
    }

    fn stream(&mut self, durability: Durability) {
        let geometry = *self.store.geometry();
        // Large chunks take the same way and only more time.
        let size = geometry.page_size().max((geometry.chunk_size() as usize).min(2048));
        let mut chunk = vec![0; size];
        let mut scratch = batch(&geometry);
        let result = self.store.writer::<8>(b"streamed", 1, &mut chunk).and_then(|mut writer| {
            writer.write(&pattern(3, 2 * size + 5))?;
            writer.finish(&mut scratch, durability)
        });
        self.tell(result);
    }

    fn reopen(mut self, before: u64) {
        let clean = !self.told && self.store.checkpoint().is_ok() && self.verifies();
        let (last, sequence) = (*self.store.superblock(), self.store.sequence().0);
        let wrote = sequence > before;
        let counters = [last.generation, last.epoch, last.journal_position, sequence.into()];
        // Counters at their end, as no file has them.
        let spent = counters.iter().any(|counter| counter.get() >= u64::MAX / 4 - (1 << 20));
        let device = self.store.into_device();
        let store = match self.setup.open::<O, _>(device, |_| {}) {
            Ok((store, _)) => store,
            Err(error) => {
                assert!(self.told || !wrote || spent, "a store that took everything opens again: {error}");
                return;
            }
        };
        if clean {
            let mut again = Self { setup: self.setup, store, told: false };
            again.assert_consistent();
            again.assert_deletable();
        }
    }

    /// Of a sound store everything can be deleted, and nothing stays in use.
    fn assert_deletable(&mut self) {
        loop {
            let names = self.names();
            if names.is_empty() {
                break;
            }
            names.iter().for_each(|name| self.delete(name, Buffered));
            assert!(!self.told, "a verified block can be deleted");
        }
        self.store.checkpoint().expect("a checkpoint of deletions");
        let mut findings = Findings::default();
        let report = self.store.verify(&mut findings).expect("readable");
        assert!(findings.problems.is_empty(), "{:?}", findings.problems);
        assert_eq!((report.used_pages, report.leaked_pages), (0, 0), "pages in use by nothing");
        REACHED.emptied.fetch_add(1, Ordering::Relaxed);
    }
}

//! Random work with chunks that no commit refers to yet, checkpoints in steps, reads that fail, and reopening amid it all.

use crate::support::*;
use blockyard_core::Durability::{self, Buffered, Durable};
use blockyard_core::device::{BlockDevice, DeviceError, DeviceErrorKind, MemoryError, VecDevice};
use blockyard_core::error::WriteError;
use blockyard_core::format::ChunkRef;
use blockyard_core::overlay::Overlay;
use blockyard_core::store::Memory;
use blockyard_core::{Digest, PageIndex};
use std::cell::Cell;
use std::fmt;
use std::rc::Rc;

/// A device whose reads fail now and then while it is told to.
struct Flaky {
    inner: VecDevice,
    rng: fastrand::Rng,
    fails: Rc<Cell<bool>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum FlakyError {
    Read,
    Memory(MemoryError),
}

impl fmt::Display for FlakyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

impl std::error::Error for FlakyError {}

impl DeviceError for FlakyError {
    fn kind(&self) -> DeviceErrorKind {
        match self {
            Self::Read => DeviceErrorKind::Other,
            Self::Memory(error) => error.kind(),
        }
    }
}

impl BlockDevice for Flaky {
    type Error = FlakyError;

    fn read(&mut self, offset: u64, buf: &mut [u8]) -> Result<(), FlakyError> {
        if self.fails.get() && self.rng.u8(..30) == 0 {
            return Err(FlakyError::Read);
        }
        self.inner.read(offset, buf).map_err(FlakyError::Memory)
    }
    fn write(&mut self, offset: u64, data: &[u8]) -> Result<(), FlakyError> {
        self.inner.write(offset, data).map_err(FlakyError::Memory)
    }
    fn sync(&mut self) -> Result<(), FlakyError> {
        self.inner.sync().map_err(FlakyError::Memory)
    }
    fn length(&mut self) -> Result<u64, FlakyError> {
        self.inner.length().map_err(FlakyError::Memory)
    }
    fn grow(&mut self, length: u64) -> Result<(), FlakyError> {
        self.inner.grow(length).map_err(FlakyError::Memory)
    }
    fn atomic_unit(&self) -> u32 {
        512
    }
}

/// A block whose chunks are written, and that is not committed yet.
#[derive(Default)]
struct Staged {
    chunks: Vec<ChunkRef>,
    bytes: Vec<u8>,
}

struct Walk<O> {
    shape: Shape,
    limit: u64,
    rng: fastrand::Rng,
    /// Whether reads fail at all, and whether they do so now.
    flaky: bool,
    fails: Rc<Cell<bool>>,
    store: TestStore<O, Flaky>,
    model: Model,
    staged: Vec<Staged>,
    what: String,
    opened: u32,
    refused: u32,
}

impl<O: Overlay + Default> Walk<O> {
    fn new(seed: u64) -> Self {
        let mut rng = fastrand::Rng::with_seed(seed);
        let shape = Shape {
            page_size: 512,
            journal_pages: [6, 10, 24, 64][rng.usize(..4)],
            chunk_pages: [1, 2, 4][rng.usize(..3)],
            memory: Memory { levels: 6, map_pages: 6, staging: [0, 4096][rng.usize(..2)] },
            growth: [0, 1, 40][rng.usize(..3)],
            groups_ahead: 1 + rng.u64(..3),
            carry_max: [0, 700, 4096][rng.usize(..3)],
        };
        let limit = (shape.front_pages() + rng.u64(60..400)) * 512;
        let length = if rng.bool() { limit } else { 0 };
        let (flaky, fails) = (rng.bool(), Rc::default());
        let inner = VecDevice::from_bytes(vec![0x55; length as usize], 512, limit);
        let store = shape.new_store(Flaky { inner, rng: rng.fork(), fails: Rc::clone(&fails) });
        let (model, staged, what) = (Model::new(), Vec::new(), String::new());
        Self { shape, limit, rng, flaky, fails, store, model, staged, what, opened: 0, refused: 0 }
    }

    fn name(&mut self) -> Vec<u8> {
        format!("name {}", self.rng.u8(..14)).into_bytes()
    }

    fn value(&mut self, most: usize) -> Vec<u8> {
        bytes(self.rng.u64(..), self.rng.usize(..=most))
    }

    fn chunk(&self) -> usize {
        (self.shape.chunk_pages * self.shape.page_size) as usize
    }

    /// What was answered; None for a refusal that leaves everything as it was.
    fn taken<T>(&mut self, result: Result<T, WriteError<FlakyError>>) -> Option<T> {
        match result {
            Ok(answer) => Some(answer),
            Err(
                WriteError::Full
                | WriteError::BatchTooLarge
                | WriteError::WorkspaceTooSmall
                | WriteError::Device(FlakyError::Read),
            ) => {
                self.refused += 1;
                None
            }
            Err(error) => panic!("{}: {error}", self.what),
        }
    }

    fn step(&mut self) {
        let durability = if self.rng.u8(..3) == 0 { Durable } else { Buffered };
        self.fails.set(self.flaky);
        match self.rng.u8(..20) {
            0..=4 => self.put(1, durability),
            5 => self.put(9, durability),
            6..=7 => {
                let name = self.name();
                let deleted = delete(&mut self.store, &name, durability);
                if self.taken(deleted).is_some() {
                    self.model.remove(&name);
                }
            }
            8..=9 => self.rename(durability),
            10 if self.staged.len() < 3 => {
                self.store.begin_staged();
                self.staged.push(Staged::default());
            }
            11..=13 if !self.staged.is_empty() => self.stage(),
            14 if !self.staged.is_empty() => self.commit_staged(durability),
            15..=16 => {
                for _ in 0..self.rng.u8(1..6) {
                    let step = self.store.checkpoint_step();
                    self.taken(step);
                }
            }
            17 => {
                let synced = self.store.sync();
                self.taken(synced);
            }
            18 => {
                let sealed = self.store.seal();
                self.taken(sealed);
            }
            _ => self.reopen(),
        }
        self.fails.set(false);
        assert!(!self.store.is_poisoned(), "{}", self.what);
    }

    fn put(&mut self, most: usize, durability: Durability) {
        let mut many = batch(self.store.geometry());
        many.digest_at_once([0, 1 << 20][self.rng.usize(..2)]);
        let mut next = self.model.clone();
        for _ in 0..self.rng.usize(1..=most) {
            let longest = [0, 60, 300, 700, 1500][self.rng.usize(..5)].min(self.chunk());
            let (name, value) = (self.name(), self.value(longest));
            many.put(&name, &value, 3).unwrap();
            next.insert(name, (3, value));
        }
        let committed = self.store.commit(&mut [many], durability);
        if self.taken(committed).is_some() {
            self.model = next;
        }
    }

    fn rename(&mut self, durability: Durability) {
        let (from, to) = (self.name(), self.name());
        let mut scratch = batch(self.store.geometry());
        match self.store.rename(&from, &to, &mut scratch, durability) {
            Err(WriteError::NotFound) => assert!(!self.model.contains_key(&from), "{}", self.what),
            renamed => {
                if self.taken(renamed).is_some() {
                    let block = self.model.remove(&from).expect("it was there");
                    self.model.insert(to, block);
                }
            }
        }
    }

    /// Writes one more chunk of a block; a short one is its last.
    fn stage(&mut self) {
        let (at, chunk) = (self.rng.usize(..self.staged.len()), self.chunk());
        if !self.staged[at].bytes.len().is_multiple_of(chunk) || self.staged[at].chunks.len() == 6 {
            return;
        }
        let length = if self.rng.u8(..4) == 0 { self.rng.usize(1..=chunk) } else { chunk };
        let value = bytes(self.rng.u64(..), length);
        let written = self.store.write_chunk(&value, Digest::of(&value));
        if let Some(one) = self.taken(written) {
            self.staged[at].chunks.push(one.to_ref());
            self.staged[at].bytes.extend(value);
        }
    }

    /// Commits such a block, or gives it up.
    fn commit_staged(&mut self, durability: Durability) {
        let Staged { chunks, bytes } = self.staged.swap_remove(self.rng.usize(..self.staged.len()));
        if !chunks.is_empty() && self.rng.u8(..4) > 0 {
            let (name, length, chunk) = (self.name(), bytes.len() as u64, self.chunk() as u32);
            let mut one = batch(self.store.geometry());
            let put = match &chunks[..] {
                [only] => one.put_extent(&name, length, 9, Digest(only.digest), PageIndex(only.page.get())),
                chunks => one.put_chunks(&name, length, 9, chunk, chunks),
            };
            put.unwrap();
            let committed = self.store.commit(&mut [one], durability);
            if self.taken(committed).is_some() {
                self.model.insert(name, (9, bytes));
            }
        }
        self.store.end_staged();
    }

    /// Opens what a power cut leaves here if the device has written all in order, and perhaps goes on with that.
    fn reopen(&mut self) {
        self.fails.set(false);
        self.opened += 1;
        let inner = VecDevice::from_bytes(self.store.device().inner.bytes().to_vec(), 512, self.limit);
        let device = Flaky { inner, rng: self.rng.fork(), fails: Rc::clone(&self.fails) };
        let opened = self.shape.open::<O, _>(device);
        let (mut store, _) = opened.unwrap_or_else(|error| panic!("{}: {error}", self.what));
        assert_same(&contents(&mut store), &self.model, &self.what);
        assert_sound(&mut store, &self.model, &self.what);
        if self.rng.bool() {
            self.store = store;
            self.staged.clear();
        }
    }
}

/// Returns how often it opened the store again, and how much was refused.
fn walk<O: Overlay + Default>(seed: u64) -> (u32, u32) {
    let mut walk: Walk<O> = Walk::new(seed);
    for step in 0..300 {
        walk.what = format!("seed {seed}, step {step}");
        walk.step();
        if step % 16 == 0 {
            assert_same(&contents(&mut walk.store), &walk.model, &walk.what);
        }
    }
    (walk.opened, walk.refused)
}

#[test]
fn what_is_staged_is_committed_whole_or_not_at_all() {
    let walks = (0..40).map(|seed| if seed % 2 == 0 { walk::<Heap>(seed) } else { walk::<Fixed>(seed) });
    let (opened, refused) = walks.fold((0, 0), |all, one| (all.0 + one.0, all.1 + one.1));
    assert!(opened > 200 && refused > 200, "{opened} times opened, {refused} refusals");
}

//! The sizes of a store, the memory it works in, and what is the same for every target.

use crate::device::Watched;
use crate::input::Input;
use blockyard_core::device::{BlockDevice, MemoryError};
use blockyard_core::error::OpenError;
use blockyard_core::overlay::{FixedOverlay, MapOverlay, Overlay};
use blockyard_core::store::{CreateOptions, Memory, OpenOptions, Problem, Recovery, VerifySink};
use blockyard_core::{Batch, Extent, Geometry, Store};
use std::collections::BTreeSet;
use std::sync::LazyLock;

/// Bodies are kept on the heap.
pub type Heap = MapOverlay;
/// Bodies are read back from the journal.
pub type Fixed = FixedOverlay<96, 64>;
/// Full after a few changes.
pub type Tiny = FixedOverlay<7, 24>;
/// A store of all targets.
pub type TestStore<O, D = Watched> = Store<D, O, Vec<u8>>;
/// A batch of all targets.
pub type TestBatch = Batch<Vec<u8>, Vec<u8>>;
/// What opening gives.
pub type Opened<O, D = Watched> = Result<(TestStore<O, D>, Recovery), OpenError<<D as BlockDevice>::Error>>;
/// What creating gives.
pub type Created<O, D = Watched> = Result<TestStore<O, D>, OpenError<<D as BlockDevice>::Error>>;
/// The error of a write to a device in memory.
pub type WriteError = blockyard_core::error::WriteError<MemoryError>;

/// Sizes.
#[derive(Clone, Copy, Debug)]
pub struct Setup {
    /// Bytes of a page.
    pub page_size: u32,
    /// Pages of the journal.
    pub journal_pages: u64,
    /// Pages of a chunk.
    pub chunk_pages: u32,
    /// Memory of the store.
    pub memory: Memory,
    /// Pages by which the file grows.
    pub growth: u64,
    /// Bytes of values that a record carries at most.
    pub carry_max: u64,
    /// The device's atomic unit.
    pub unit: u32,
}

impl Setup {
    /// What the hostile targets open images with.
    pub const SMALL: Self = Self {
        page_size: 512,
        journal_pages: 8,
        chunk_pages: 2,
        memory: Memory { levels: 8, map_pages: 8, staging: 4096 },
        growth: 4,
        carry_max: 1000,
        unit: 512,
    };

    /// Sizes that go together.
    pub fn draw(input: &mut Input<'_>) -> Self {
        let page_size = input.pick([512, 512, 512, 512, 1024, 2048, 4096, 65_536]);
        let unit = input.pick([512, 512, 512, 1, 1024, 4096]).min(page_size);
        let journal_pages = input.pick([4, 5, 6, 8, 11, 16, 32, 64]);
        let chunk_pages = input.pick([1, 2, 3, 4, 7, 16]);
        let levels = input.pick([8, 2, 3, 4, 6]);
        let staging = input.pick([0, 2048, 4096, 16 << 10]);
        let memory = Memory { levels, map_pages: 6 + input.below(4), staging };
        let growth = input.pick([1, 4, 7, 32]);
        let carry_max = input.pick([0, 600, 4096, 64 << 10]);
        // Larger pages are zeroed and read whole, which is slow.
        let few = page_size == 65_536;
        let (journal_pages, chunk_pages) =
            if few { (4, chunk_pages % 2 + 1) } else { (journal_pages, chunk_pages) };
        let memory = if few { Memory { levels: 2, map_pages: 6, staging: 0 } } else { memory };
        Self { page_size, journal_pages, chunk_pages, memory, growth, carry_max, unit }
    }

    /// How to lay out a file.
    #[must_use]
    pub fn create_options(&self) -> CreateOptions {
        CreateOptions {
            page_size: self.page_size,
            journal_length: self.journal_pages * u64::from(self.page_size),
            chunk_size: self.chunk_pages * self.page_size,
            file_id: *b"a fuzzed file id",
        }
    }

    /// How to work on it.
    #[must_use]
    pub const fn options(&self) -> OpenOptions {
        OpenOptions {
            memory: self.memory,
            growth: self.growth,
            groups_ahead: 1,
            carry_max: self.carry_max,
            read_only: false,
            salvage: false,
        }
    }

    /// Pages in front of the first group.
    #[must_use]
    pub fn front_pages(&self) -> u64 {
        (4 * 4096_u64).div_ceil(u64::from(self.page_size)) + self.journal_pages
    }

    /// The store's memory, which holds anything.
    #[must_use]
    pub fn buffer(&self) -> Vec<u8> {
        vec![0xA5; self.memory.bytes(self.page_size as usize)]
    }

    /// Lays a file out.
    ///
    /// # Errors
    /// Those of [`Store::create`].
    pub fn create<O: Overlay + Default, D: BlockDevice>(&self, device: D) -> Created<O, D> {
        Store::create(device, O::default(), self.buffer(), &self.create_options(), &self.options())
    }

    /// Opens a file with these options and those that `change` makes.
    ///
    /// # Errors
    /// Those of [`Store::open`].
    pub fn open<O: Overlay + Default, D: BlockDevice>(
        &self,
        device: D,
        change: impl FnOnce(&mut OpenOptions),
    ) -> Opened<O, D> {
        let mut options = self.options();
        change(&mut options);
        Store::open(device, O::default(), self.buffer(), &options)
    }
}

/// An empty batch.
#[must_use]
pub fn batch(geometry: &Geometry) -> TestBatch {
    Batch::new(geometry, Vec::new(), Vec::new())
}

/// Bytes to cut values from: making them anew each time takes longer than storing them.
static NOISE: LazyLock<Vec<u8>> = LazyLock::new(|| {
    let mut state = 0x9E37_79B9_7F4A_7C15_u64;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()
    };
    (0..1 << 17).flat_map(|_| next()).collect()
});

/// Bytes that belong to `seed`, below 256, and to no other; at most 1 MiB less 9 KB.
#[must_use]
pub fn pattern(seed: u64, length: usize) -> Vec<u8> {
    let start = seed as usize % 256 * 37;
    NOISE[start..start + length].to_vec()
}

/// What verification said.
#[derive(Debug, Default)]
pub struct Findings {
    /// All problems.
    pub problems: Vec<(Option<Vec<u8>>, Problem)>,
    /// Blocks whose first record was checked.
    pub blocks: u64,
    /// Bytes that were checked.
    pub bytes: u64,
    /// Pages in use by two. The engine has no memory to see that and leaves it to who listens.
    pub doubled: u64,
    seen: BTreeSet<u64>,
}

impl VerifySink for Findings {
    fn problem(&mut self, name: Option<&[u8]>, problem: Problem) {
        self.problems.push((name.map(<[u8]>::to_vec), problem));
    }
    fn checked(&mut self, _name: &[u8], first: bool, bytes: u64) {
        self.blocks += u64::from(first);
        self.bytes = self.bytes.saturating_add(bytes);
    }
    fn reachable(&mut self, extent: Extent) {
        // More pages than that no file here has.
        for page in (extent.start.0..extent.end()).take(1 << 12) {
            self.doubled += u64::from(!self.seen.insert(page));
        }
    }
}

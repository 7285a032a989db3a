//! A store beside a plain map, and what must hold between two transitions.

use super::device::Watched;
use super::plan::{Kind, Length, Setup, Working};
use super::walk;
use crate::budget::{Tally, pattern};
use blockyard_core::batch::Operation;
use blockyard_core::device::MemoryError;
use blockyard_core::error::OpenError;
use blockyard_core::format::{ChunkRef, OpHeader, RecordHeader, op_kind};
use blockyard_core::store::{Counters, Recovery};
use blockyard_core::{Batch, Digest, Geometry, Store};
use blockyard_sim::fixture::{Fixed, Heap, TestBatch, TestStore};
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

pub(crate) static TALLY: Tally = Tally::new();

/// A store with either overlay.
pub(crate) enum Engine {
    Heap(Box<TestStore<Heap, Watched>>),
    Fixed(Box<TestStore<Fixed, Watched>>),
}

/// Does the same to a store of either kind.
macro_rules! with {
    ($engine:expr, $store:ident => $body:expr) => {
        match $engine {
            $crate::store::world::Engine::Heap($store) => $body,
            $crate::store::world::Engine::Fixed($store) => $body,
        }
    };
}
pub(crate) use with;

/// Entries of [`Fixed`], and bytes of its names.
pub(crate) const FIXED: (usize, usize) = (96, 64);

/// What a name holds.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Held {
    pub(crate) sequence: u64,
    pub(crate) tag: u64,
    pub(crate) bytes: Rc<Vec<u8>>,
    /// Bytes of a chunk, of a block in more than one.
    pub(crate) chunk: Option<u32>,
}

impl Held {
    /// The digest that the store must tell.
    pub(crate) fn digest(&self) -> Digest {
        match self.chunk {
            None => Digest::of(&self.bytes),
            Some(chunk) => {
                let digests = self.bytes.chunks(chunk as usize).flat_map(|chunk| Digest::of(chunk).0);
                Digest::of(&digests.collect::<Vec<u8>>())
            }
        }
    }
}

pub(crate) type Map = BTreeMap<Vec<u8>, Held>;

/// A group that the journal may still hold.
#[derive(Clone, Debug)]
pub(crate) struct Logged {
    pub(crate) last: u64,
    pub(crate) operations: usize,
    pub(crate) names: BTreeSet<Vec<u8>>,
    /// Bytes that it takes up in the journal, at least.
    pub(crate) bytes: u64,
    pub(crate) longest_name: usize,
    /// Bytes of the longest value or list that recovery takes in one piece.
    pub(crate) longest_body: u64,
}

impl Logged {
    pub(crate) fn of(last: u64, group: &[TestBatch]) -> Self {
        let all = || group.iter().flat_map(Batch::operations);
        let size = |one: &Operation<'_>| OpHeader::SIZE + one.name.len() + one.body.len();
        Self {
            last,
            operations: all().count(),
            names: all().map(|one| one.name.to_vec()).collect(),
            bytes: (RecordHeader::SIZE + all().map(|one| size(&one)).sum::<usize>()) as u64,
            longest_name: all().map(|one| one.name.len()).max().unwrap_or(0),
            longest_body: all().map(|one| one.body.len() as u64).max().unwrap_or(0).max(
                all()
                    .filter(|one| one.head.kind == op_kind::CARRIED)
                    .map(|one| one.head.length.get())
                    .max()
                    .unwrap_or(0),
            ),
        }
    }
}

/// Chunks that no commit refers to yet.
#[derive(Clone, Debug, Default)]
pub(crate) struct Staged {
    pub(crate) chunks: Vec<ChunkRef>,
    pub(crate) bytes: Vec<u8>,
    /// A chunk shorter than the others was written: no more can follow.
    pub(crate) ended: bool,
}

pub(crate) struct World {
    pub(crate) setup: Setup,
    pub(crate) working: Working,
    pub(crate) device: Watched,
    /// None only while it is opened anew.
    pub(crate) engine: Option<Engine>,
    pub(crate) map: Map,
    pub(crate) sequence: u64,
    pub(crate) durable: u64,
    /// What the store held after each group, by the group's last commit.
    pub(crate) history: BTreeMap<u64, Rc<Map>>,
    pub(crate) logged: Vec<Logged>,
    pub(crate) staged: Option<Staged>,
    /// Epoch and generation when it was closed last.
    pub(crate) closed: (u64, u64),
    counters: Counters,
    /// The most pages that blocks took up at any time.
    peak: u64,
    /// Pages of chunks written and given up, since a checkpoint last gave everything back.
    pub(crate) wasted: u64,
}

pub(crate) type Opening = Result<(Engine, Recovery), OpenError<MemoryError>>;

impl World {
    pub(crate) fn new(setup: Setup) -> Self {
        let working = setup.working;
        let shape = setup.shape(&working);
        let page = u64::from(setup.page_size);
        let limit = setup.room.map_or(u64::MAX, |room| (shape.front_pages() + room) * page);
        let length = if setup.whole && setup.room.is_some() { limit as usize } else { 0 };
        let device = Watched::new(working.unit, length, limit);
        let (handle, buffer) = (device.clone(), shape.buffer());
        let (create, options) = (shape.create(), shape.options());
        let engine = match working.kind {
            Kind::Heap => Store::create(handle, Heap::default(), buffer, &create, &options)
                .map(Box::new)
                .map(Engine::Heap),
            Kind::Fixed => Store::create(handle, Fixed::default(), buffer, &create, &options)
                .map(Box::new)
                .map(Engine::Fixed),
        };
        let engine = engine.expect("the device is large enough for an empty store");
        let mut world = Self {
            setup,
            working,
            device,
            engine: Some(engine),
            map: Map::new(),
            sequence: 0,
            durable: 0,
            history: BTreeMap::from([(0, Rc::new(Map::new()))]),
            logged: Vec::new(),
            staged: None,
            closed: (0, 0),
            counters: Counters::default(),
            peak: 0,
            wasted: 0,
        };
        world.settle();
        world
    }

    pub(crate) fn engine(&mut self) -> &mut Engine {
        self.engine.as_mut().expect("it is open")
    }

    pub(crate) fn geometry(&self) -> Geometry {
        with!(self.engine.as_ref().expect("it is open"), store => *store.geometry())
    }

    /// Bytes of a piece that the store can take from its journal at once.
    pub(crate) fn piece(&self) -> usize {
        let page = self.setup.page_size as usize;
        (self.working.staging / page).max(2) * page
    }

    /// Name number `number`: short ones, long ones, some that begin alike, some that begin others.
    pub(crate) fn name(&self, number: u8) -> Vec<u8> {
        let longest = self.geometry().max_name();
        match number % 5 {
            0 => format!("{number}").into_bytes(),
            1 => format!("a/{number:03}").into_bytes(),
            2 => format!("{number:>50}").into_bytes(),
            3 => vec![b'x'; usize::from(number / 5) + 1],
            _ => {
                let mut name = vec![b'l'; longest];
                name[longest - 1 - usize::from(number % 2)] = number;
                name
            }
        }
    }

    /// A length in bytes, whatever the store takes.
    pub(crate) fn length(&self, length: Length) -> usize {
        let geometry = self.geometry();
        let (page, chunk) = (geometry.page_size(), geometry.chunk_size() as usize);
        let near = |border: usize, by: i8| border.saturating_add_signed(isize::from(by));
        match length {
            Length::Small(length) => usize::from(length) % (geometry.max_inline() + 1),
            Length::Inline(by) => near(geometry.max_inline(), by),
            Length::Pages(pages, by) => near(usize::from(pages) * page, by),
            Length::Carry(by) => near(self.working.carry_max as usize, by),
            Length::Staging(by) => near(self.piece(), by),
            Length::Chunk(by) => near(chunk, by),
            Length::Any(length) => length as usize % (chunk + 1),
        }
    }

    pub(crate) fn value(&self, length: Length, seed: u16) -> Vec<u8> {
        pattern(u64::from(seed), self.length(length))
    }

    /// Pages that the blocks take up.
    pub(crate) fn block_pages(&self) -> u64 {
        let geometry = self.geometry();
        let inline = geometry.max_inline();
        let pages = |held: &Held| match held.chunk {
            Some(chunk) => {
                held.bytes.chunks(chunk as usize).map(|chunk| geometry.pages_for(chunk.len() as u64)).sum()
            }
            None if held.bytes.len() > inline => geometry.pages_for(held.bytes.len() as u64),
            None => 0,
        };
        self.map.values().map(pages).sum()
    }

    /// A group was committed: `map` is what the store holds now.
    pub(crate) fn committed(&mut self, last: u64, map: Map, logged: Logged) {
        self.map = map;
        self.sequence = last;
        self.history.insert(last, Rc::new(self.map.clone()));
        self.logged.push(logged);
    }

    /// A store that was opened counts from nothing.
    pub(crate) fn forget_counters(&mut self) {
        self.counters = Counters::default();
    }

    /// What must hold whatever was done.
    pub(crate) fn settle(&mut self) {
        let blocks = self.block_pages();
        let page = u64::from(self.setup.page_size);
        let device = self.device.clone();
        let engine = self.engine.as_ref().expect("it is open");
        let (sequence, durable, pages, root) = with!(engine, store => (store.sequence().0, store.durable_sequence().0, store.pages(), store.root()));
        let (superblock, counters, used, pending) = with!(engine, store => (*store.superblock(), store.counters(), store.journal_used(), store.pending()));
        assert!(!with!(engine, store => store.is_poisoned()), "nothing here fails");
        assert_eq!(sequence, self.sequence, "commits counted");
        assert!(durable <= sequence && durable >= self.durable, "{durable} follows {}", self.durable);
        assert!(root.sequence.0 <= durable && superblock.sequence.get() == root.sequence.0);
        self.durable = durable;
        let folded = &self.history[&root.sequence.0];
        let bytes = folded.values().map(|held| held.bytes.len() as u64).sum::<u64>();
        assert_eq!((superblock.blocks.get(), superblock.bytes.get()), (folded.len() as u64, bytes), "counts");
        assert!(
            used <= u64::from(self.setup.journal_pages as u32) * page,
            "the journal is no longer than its ring"
        );
        self.logged.retain(|group| group.last > root.sequence.0);
        let bytes = self.logged.iter().map(|group| group.bytes).sum::<u64>();
        assert!(used >= bytes, "{used} bytes of journal for {bytes} bytes of records that are needed");
        let operations = self.logged.iter().map(|group| group.operations as u64).sum::<u64>();
        let names = self.logged.iter().flat_map(|group| &group.names).collect::<BTreeSet<_>>().len() as u64;
        // A name that changed before and since a checkpoint began counts twice.
        let most = operations.min(2 * names);
        assert!((names..=most).contains(&pending), "{pending} names of {names} are pending, by {operations}");
        assert!(counters.writes >= self.counters.writes && counters.syncs >= self.counters.syncs);
        self.counters = counters;
        // The file grows no further than use, what waits for the next round, and a step take.
        let live = blocks + superblock.tree_pages.get();
        self.peak = self.peak.max(live);
        assert!(pages * page <= device.len(), "nothing refers to pages that the device has not");
        let step = self.working.growth.max(80) * 2;
        let most =
            self.setup.shape(&self.working).front_pages() + 4 * self.peak + self.wasted + 8 * step + 400;
        assert!(self.setup.room.is_some() || pages <= most, "{pages} pages for {} at most in use", self.peak);
        if !device.guards(superblock.generation.get()) {
            TALLY.hit("pages guarded");
            let records = walk::walk(&device, &self.geometry(), &root);
            walk::assert_padded(&device, &self.geometry(), &records.0);
            device.guard(superblock.generation.get(), walk::ranges(&self.geometry(), &records));
        }
        let needed = root.sequence.0;
        self.history.retain(|&sequence, _| sequence >= needed);
    }
}

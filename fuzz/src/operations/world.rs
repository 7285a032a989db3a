//! A store beside the map that it must equal.
//!
//! 1. `model` holds what every commit that was answered has made of an empty map.
//! 2. A change that was refused has changed neither.
//! 3. While chunks are staged, pages may be short; else a deletion is always possible.

use crate::input::Input;
use crate::setup::{Findings, Setup, TestStore, WriteError};
use blockyard_core::format::ChunkRef;
use blockyard_core::overlay::Overlay;
use blockyard_core::store::{BlockLocation, Progress};
use blockyard_core::{Digest, Durability, Hasher, Sequence};
use std::collections::BTreeMap;
use std::rc::Rc;

/// A block as it must be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Block {
    pub(super) tag: u64,
    pub(super) sequence: u64,
    /// Shared, for the map is copied with every commit.
    pub(super) bytes: Rc<[u8]>,
}

pub(super) type Model = BTreeMap<Vec<u8>, Block>;

/// Chunks that no commit refers to yet.
#[derive(Debug, Default)]
pub(super) struct Staged {
    pub(super) chunks: Vec<ChunkRef>,
    pub(super) bytes: Vec<u8>,
}

pub(super) struct World<O> {
    pub(super) setup: Setup,
    pub(super) store: TestStore<O>,
    pub(super) model: Model,
    pub(super) staged: Option<Staged>,
}

impl<O: Overlay + Default> World<O> {
    pub(super) const fn new(setup: Setup, store: TestStore<O>) -> Self {
        Self { setup, store, model: Model::new(), staged: None }
    }

    pub(super) fn step(mut self, input: &mut Input<'_>) -> Self {
        match input.byte() % 24 {
            0..=2 => self.put(input),
            3 | 4 => self.group(input),
            5 | 6 => self.delete(input),
            7 | 8 => self.rename(input),
            9 => self.stream(input),
            10 => self.give_up(input),
            11 | 12 => self.stage(input),
            13 => self.commit_staged(input),
            14 => self.end_staged(),
            15 | 16 => self.checkpoint_steps(input),
            17 => self.checkpoint(),
            18 => self.sync_or_seal(input),
            19 => self.refusals(input),
            20 => self.look(input),
            21 => self.walk(),
            22 => self.read_only(),
            _ => return self.reopen(),
        }
        let (last, durable) = (self.store.sequence(), self.store.durable_sequence());
        assert!(durable <= last, "{durable} is durable and {last} the last");
        assert!(!self.store.is_poisoned(), "no operation of the device failed");
        self
    }

    pub(super) fn durability(input: &mut Input<'_>) -> Durability {
        input.pick([Durability::Buffered, Durability::Durable])
    }

    /// One of the names that there are, or any of a few.
    pub(super) fn name(&self, input: &mut Input<'_>) -> Vec<u8> {
        let (kind, number) = (input.byte(), input.byte());
        if kind >= 128 && !self.model.is_empty() {
            let at = usize::from(number) % self.model.len();
            return self.model.keys().nth(at).cloned().unwrap_or_default();
        }
        // Some are prefixes of others, some share all but the end, some are as long as can be.
        match kind % 8 {
            0..=2 => vec![b'a' + number % 32],
            3 => vec![b'x'; 1 + usize::from(number % 24)],
            4 => [b"some/".as_slice(), &[number]].concat(),
            5 => [b"a prefix that is long/".as_slice(), &[number % 16]].concat(),
            6 => [vec![number; 2], vec![0xFF; usize::from(number % 8)]].concat(),
            _ => {
                let longest = self.store.geometry().max_name().min(self.store.overlay().max_name());
                [vec![b'z'; longest - 1], vec![number]].concat()
            }
        }
    }

    /// Lengths at which values go elsewhere, and others.
    pub(super) fn length(&self, input: &mut Input<'_>, most: usize) -> usize {
        let page = self.setup.page_size as usize;
        let (kind, number) = (input.byte(), usize::from(input.byte()));
        let length = match kind % 8 {
            0 => 0,
            1 | 2 => number,
            3 => page / 4 + number % 3 - 1,
            4 => page * (1 + number % 4) - number / 4 % 2,
            5 => page / 8 * (number % 32) + 1,
            6 => most - number.min(most),
            _ => number * 7,
        };
        length.min(most)
    }

    pub(super) fn chunk_size(&self) -> usize {
        self.store.geometry().chunk_size() as usize
    }

    /// Whether a change was made; false if it was refused for a reason that there can be.
    pub(super) fn admitted<T>(&self, result: Result<T, WriteError>, before: Sequence) -> Option<T> {
        match result {
            Ok(made) => Some(made),
            Err(WriteError::Full | WriteError::BatchTooLarge | WriteError::WorkspaceTooSmall) => {
                assert_eq!(self.store.sequence(), before, "a refused change takes no number");
                None
            }
            Err(error) => panic!("{error}"),
        }
    }

    /// Compares one name with the model in every way that there is to look at it.
    pub(super) fn compare_one(&mut self, name: &[u8]) {
        let Some(block) = self.model.get(name) else {
            assert_eq!(self.store.info(name), Ok(None));
            assert_eq!(self.store.exists(name), Ok(false));
            return;
        };
        let info = self.store.info(name).expect("readable").expect("there is such a block");
        assert_eq!(
            (info.tag, info.length, info.sequence.0),
            (block.tag, block.bytes.len() as u64, block.sequence),
            "{:?}",
            name.escape_ascii().to_string()
        );
        let digest = match info.location {
            BlockLocation::Chunks { chunk_size, count } => {
                assert_eq!(block.bytes.len().div_ceil(chunk_size as usize), count as usize);
                let mut hasher = Hasher::new();
                let chunks = block.bytes.chunks(chunk_size as usize);
                chunks.for_each(|chunk| hasher.update(&Digest::of(chunk).0));
                hasher.finish()
            }
            _ => Digest::of(&block.bytes),
        };
        assert_eq!(info.digest, digest);
        assert_eq!(self.store.exists(name), Ok(true));
        let mut bytes = vec![0; block.bytes.len() + 1];
        assert_eq!(self.store.get(name, &mut bytes), Ok(Some(block.bytes.len())));
        assert!(bytes[..block.bytes.len()] == block.bytes[..], "other bytes");
    }

    /// Compares everything.
    pub(super) fn compare(&mut self) {
        let names: Vec<_> = self.model.keys().cloned().collect();
        let mut found = [0; 1024];
        let mut after = None;
        for name in &names {
            let length = self.store.next_name(after, &mut found).expect("readable").expect("one more name");
            assert!(found[..length] == name[..], "names in their order");
            self.compare_one(name);
            after = Some(name.as_slice());
        }
        assert_eq!(self.store.next_name(after, &mut found), Ok(None), "no name is left over");
    }

    /// Verification finds nothing; with `settled` all that was committed is folded in and nothing is staged,
    /// and every count is what the model says.
    pub(super) fn verify(&mut self, settled: bool) -> u64 {
        let mut findings = Findings::default();
        let report = self.store.verify(&mut findings).expect("readable");
        assert!(findings.problems.is_empty(), "{:?} {report:?}", findings.problems);
        assert_eq!(findings.doubled, 0, "pages in use by two");
        if settled {
            let blocks = self.model.len() as u64;
            let bytes: u64 = self.model.values().map(|block| block.bytes.len() as u64).sum();
            assert_eq!((report.blocks, report.bytes, report.leaked_pages), (blocks, bytes, 0));
            assert_eq!((findings.blocks, findings.bytes), (blocks, bytes));
            let superblock = self.store.superblock();
            assert_eq!((superblock.blocks.get(), superblock.bytes.get()), (blocks, bytes));
            let free = self.store.free_space().expect("readable");
            assert!(free.largest <= free.pages && (free.runs == 0) == (free.pages == 0), "{free:?}");
        }
        report.used_pages
    }

    /// Everything once more, through a checkpoint, an opening and a deletion of all.
    pub(super) fn finish(mut self) {
        self.end_staged();
        self.compare();
        self.store.checkpoint().expect("a checkpoint is always possible");
        assert_eq!(self.store.checkpoint_step(), Ok(Progress::Idle));
        assert_eq!(self.store.pending(), 0);
        self.verify(true);
        self.compare();
        let mut emptied = self.reopen();
        emptied.delete_all();
        emptied.store.checkpoint().expect("a checkpoint is always possible");
        assert_eq!(emptied.verify(true), 0, "pages in use by nothing");
    }
}

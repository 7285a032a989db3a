//! What a fold works on here: pages in a map, and a book of who uses which.

use super::super::*;
use super::TALLY;
use crate::digest::Digest;
use crate::error::{Damage, ReadError, Structure};
use crate::failure::Failure;
use crate::format::ChunkRef;
use crate::ids::PageIndex;
use crate::overlay::{Entry, TreeRoot, Value};
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec;
use alloc::vec::Vec;
use core::convert::Infallible;

/// What a name holds.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Block {
    pub(super) sequence: u64,
    pub(super) tag: u64,
    pub(super) body: Body,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Body {
    Inline(Vec<u8>),
    Extent { page: PageIndex, length: u64, digest: Digest },
    Chunks { length: u64, chunk_size: u32, chunks: Vec<ChunkRef>, digest: Digest },
}

impl Body {
    pub(super) fn length(&self) -> u64 {
        match self {
            Self::Inline(bytes) => bytes.len() as u64,
            Self::Extent { length, .. } | Self::Chunks { length, .. } => *length,
        }
    }

    /// The runs of pages as (page, bytes).
    pub(super) fn extents(&self) -> Vec<(u64, u64)> {
        match self {
            Self::Inline(_) => Vec::new(),
            Self::Extent { page, length, .. } => vec![(page.0, *length)],
            Self::Chunks { length, chunk_size, chunks, .. } => {
                let size = u64::from(*chunk_size);
                let at = |index: usize| (*length - index as u64 * size).min(size);
                chunks.iter().enumerate().map(|(index, chunk)| (chunk.page.get(), at(index))).collect()
            }
        }
    }
}

pub(super) type Blocks = BTreeMap<Vec<u8>, Block>;

/// A tree in pages of a map, the changes pending, and what it held and must hold.
pub(super) struct World {
    pub(super) page_size: usize,
    page: Vec<u8>,
    pub(super) nodes: BTreeMap<u64, Vec<u8>>,
    /// Pages that a durable free map would call used.
    pub(super) used: BTreeSet<u64>,
    /// Pages that the fold under way has put to use, and given up.
    marked: BTreeSet<u64>,
    /// Nodes that the fold under way has written, and the one before it.
    placed: BTreeSet<u64>,
    pub(super) fresh: BTreeSet<u64>,
    released: BTreeSet<u64>,
    read: BTreeSet<u64>,
    /// Whether the fold under way has one page for the path and one a level for new nodes, and reads nodes again.
    small: bool,
    /// The spare page that was handed in was used.
    used_spare: bool,
    /// Nodes that it has read back, and of these such as it has written again.
    recalled: BTreeSet<u64>,
    settled: BTreeSet<Vec<u8>>,
    pub(super) next_page: u64,
    pub(super) root: TreeRoot,
    pub(super) frozen: BTreeMap<Vec<u8>, Entry>,
    /// Names that the pages of others went to.
    pub(super) inherited: BTreeSet<Vec<u8>>,
    /// What the tree holds, and what it must hold with the pending changes.
    pub(super) before: Blocks,
    pub(super) after: Blocks,
    pub(super) sequence: u64,
}

/// A fold that came to its end.
pub(super) struct Folded {
    root: Child,
    height: u32,
    fold: Fold,
}

const LEVELS: usize = 10;

impl World {
    pub(super) fn new(page_size: usize) -> Self {
        Self {
            page_size,
            page: vec![0xEE; page_size],
            nodes: BTreeMap::new(),
            used: BTreeSet::new(),
            marked: BTreeSet::new(),
            placed: BTreeSet::new(),
            fresh: BTreeSet::new(),
            released: BTreeSet::new(),
            read: BTreeSet::new(),
            small: false,
            used_spare: false,
            recalled: BTreeSet::new(),
            settled: BTreeSet::new(),
            next_page: 1,
            root: TreeRoot::default(),
            frozen: BTreeMap::new(),
            inherited: BTreeSet::new(),
            before: Blocks::new(),
            after: Blocks::new(),
            sequence: 0,
        }
    }

    /// Folds what is frozen in; None if it was given up after so many steps.
    pub(super) fn fold(&mut self, give_up_after: Option<u8>) -> Option<Folded> {
        let size = self.page_size;
        // By turns with a page for each level of the old tree, and with one for all of them.
        self.small = self.sequence.is_multiple_of(2);
        let pages = if self.small { 1 } else { LEVELS };
        let nodes = if self.small { LEVELS } else { 2 * LEVELS - 1 };
        let (mut levels, mut inputs) = (vec![0xEE; nodes * size], vec![0xEE; pages * size]);
        let mut names = vec![0xEE; 4 * size / 8];
        let mut fold = Fold::new(self.root.height);
        // A step merges a leaf that no step before it did, or 64 changes where there is no leaf.
        let most = self.leaves() + self.frozen.len() / 32 + 2;
        for step in 0.. {
            assert!(step <= most, "{step} steps for {} changes", self.frozen.len());
            if give_up_after.is_some_and(|after| step == usize::from(after)) {
                return None;
            }
            // Neither holds anything between the steps of a fold; reads go through the first.
            self.page.fill(step as u8);
            if self.small {
                inputs.fill(step as u8);
            }
            let (last, rest) = names.split_at_mut(size / 8);
            let (next, rest) = rest.split_at_mut(size / 8);
            let (bound, floor) = rest.split_at_mut(size / 8);
            let build = BuildSpace { levels: &mut levels, page_size: size, two: !self.small };
            let mut space = FoldSpace { build, inputs: &mut inputs, last, next, bound, floor };
            let mut top = (Child::default(), 0);
            if fold.step(self, &mut space, &mut top).expect("nothing here can fail") {
                let (root, height) = top;
                return Some(Folded { root, height, fold });
            }
        }
        unreachable!("the assertion ends it")
    }

    /// A fold was given up: what it did is undone.
    pub(super) fn undo(&mut self) {
        self.placed.iter().for_each(|page| drop(self.nodes.remove(page)));
        self.forget();
    }

    fn forget(&mut self) {
        let pages =
            [&mut self.marked, &mut self.placed, &mut self.released, &mut self.read, &mut self.recalled];
        pages.into_iter().for_each(BTreeSet::clear);
        self.settled.clear();
    }

    /// The folded tree becomes the tree.
    pub(super) fn adopt(&mut self, folded: &Folded) {
        assert!(self.settled.iter().eq(self.frozen.keys()), "every change was folded in");
        let sum = |blocks: &Blocks| blocks.values().map(|block| block.body.length()).sum::<u64>() as i64;
        let balance = folded.fold.balance;
        assert_eq!(balance.blocks, self.after.len() as isize - self.before.len() as isize, "blocks counted");
        assert_eq!(balance.bytes, sum(&self.after) - sum(&self.before), "bytes counted");
        for page in &self.released {
            assert!(self.used.remove(page), "page {page} was in use");
            self.nodes.remove(page);
        }
        self.used.extend(&self.marked);
        self.used.extend(&self.placed);
        self.fresh = self.placed.clone();
        let read = &self.read;
        assert!(read.is_subset(&self.released), "a node that is read is given up");
        self.forget();
        let sequence = crate::Sequence(self.sequence);
        let (page, digest) = (folded.root.page, folded.root.digest);
        self.root = TreeRoot { sequence, page, digest, height: folded.height };
        self.before = self.after.clone();
        self.frozen.clear();
        self.inherited.clear();
    }

    fn mark(&mut self, page: u64, length: u64, inherited: bool) {
        for page in page..page + length.div_ceil(self.page_size as u64) {
            assert_eq!(
                self.used.contains(&page),
                inherited,
                "page {page}: only a rename settles on used pages"
            );
            assert!(!self.placed.contains(&page) && !self.released.contains(&page), "page {page} put to use");
            if !inherited {
                assert!(self.marked.insert(page), "page {page} is settled twice");
            }
        }
    }
}

impl NodeSink for World {
    fn page(&mut self) -> &mut [u8] {
        &mut self.page
    }

    fn place_node(&mut self, child: &mut Child) -> Result<(), Failure> {
        let digest = Digest::of(&self.page);
        if child.page.0 == 0 {
            child.page = PageIndex(self.next_page);
            self.next_page += 1;
            self.placed.insert(child.page.0);
        } else {
            TALLY.hit("node made even");
            assert!(self.recalled.remove(&child.page.0), "a node that is written again was read");
            assert!(child.digest != digest, "it is another one");
        }
        child.digest = digest;
        self.nodes.insert(child.page.0, self.page.clone());
        Ok(())
    }

    fn recall_node(&mut self, child: &Child, level: u32) -> Result<(), Failure> {
        assert!(
            self.small && self.placed.contains(&child.page.0),
            "a node of this fold, of which no copy is kept"
        );
        assert!(self.recalled.insert(child.page.0), "a node is read back once");
        self.page.copy_from_slice(&self.nodes[&child.page.0]);
        assert!(NodeView::verified(&self.page, &child.digest, level).is_some(), "page {}", child.page);
        Ok(())
    }
}

impl FoldHost for World {
    fn root(&self) -> Child {
        Child { page: self.root.page, digest: self.root.digest }
    }

    fn read_node(&mut self, child: Child, level: u32, into: &mut [u8]) -> Result<(), Failure> {
        assert!(!self.placed.contains(&child.page.0), "a fold reads the old tree");
        let again = !self.read.insert(child.page.0);
        assert!(!again || self.small && self.released.contains(&child.page.0), "a node is read once");
        into.copy_from_slice(&self.nodes[&child.page.0]);
        assert!(NodeView::verified(into, &child.digest, level).is_some(), "page {}", child.page);
        Ok(())
    }

    fn give_up(&mut self, page: PageIndex) -> Result<(), Failure> {
        assert!(self.read.contains(&page.0), "a node that is given up was read");
        self.release(page, 1)
    }

    fn next_frozen(&self, after: Option<&[u8]>, name: &mut [u8]) -> Option<(usize, Entry)> {
        let above = |name: &&Vec<u8>| after.is_none_or(|after| name.as_slice() > after);
        // In order: the fold asks for each once.
        let next = self.frozen.keys().find(above)?;
        name[..next.len()].copy_from_slice(next);
        Some((next.len(), self.frozen[next]))
    }

    fn settle(&mut self, name: &[u8], entry: &mut Entry, spare: &mut [u8]) -> Result<Settled, Failure> {
        if self.small && matches!(entry.value, Value::Carried { .. }) {
            spare.fill(0xEE);
            self.used_spare = true;
        }
        assert!(self.settled.insert(name.to_vec()), "an entry is settled once");
        assert_eq!(self.frozen[name], *entry);
        let inherited = self.inherited.contains(name);
        match entry.value {
            Value::Deleted => Ok(Settled::Deleted),
            Value::Inline { .. } => {
                let Body::Inline(bytes) = &self.after[name].body else { panic!("{:?}", self.after[name]) };
                Ok(Settled::Inline(bytes.len()))
            }
            Value::Carried { page, .. } | Value::Extent { page } => {
                self.mark(page.0, entry.length, inherited);
                Ok(Settled::Extent(page))
            }
            Value::Chunks { chunk_size, .. } => {
                Ok(Settled::Chunks(entry.length.div_ceil(u64::from(chunk_size)) as u32))
            }
        }
    }

    fn settled_chunk(
        &mut self,
        name: &[u8],
        _: &Entry,
        index: u32,
        spare: &mut [u8],
    ) -> Result<ChunkRef, Failure> {
        if self.small && index.is_multiple_of(2) {
            spare.fill(0xEE);
            self.used_spare = true;
        }
        let Body::Chunks { chunks, .. } = &self.after[name].body else { panic!("{:?}", self.after[name]) };
        let chunk = chunks[index as usize];
        let (page, length) = self.after[name].body.extents()[index as usize];
        self.mark(page, length, self.inherited.contains(name));
        Ok(chunk)
    }

    fn fill_inline(&mut self, name: &[u8], _: &Entry, into: &mut [u8]) -> Result<(), Failure> {
        let Body::Inline(bytes) = &self.after[name].body else { panic!("{:?}", self.after[name]) };
        into.copy_from_slice(bytes);
        Ok(())
    }

    fn has_used_spare(&mut self) -> bool {
        core::mem::take(&mut self.used_spare)
    }

    fn release(&mut self, page: PageIndex, length: u64) -> Result<(), Failure> {
        for page in page.0..page.0 + length.div_ceil(self.page_size as u64) {
            assert!(self.used.contains(&page), "page {page} is not in use and is freed");
            assert!(self.released.insert(page), "page {page} is freed twice");
        }
        Ok(())
    }

    fn damaged(&mut self, page: PageIndex) -> Failure {
        panic!("page {page} does not parse")
    }
}

impl NodeSource for World {
    type Error = ReadError<Infallible>;
    type Page<'a> = &'a [u8];

    fn node(&mut self, child: Child, level: u32) -> Result<&[u8], ReadError<Infallible>> {
        let page = &self.nodes[&child.page.0];
        assert!(NodeView::verified(page, &child.digest, level).is_some(), "page {}", child.page);
        Ok(page)
    }

    fn damaged(&mut self, page: PageIndex) -> ReadError<Infallible> {
        ReadError::Corrupted(Damage { what: Structure::Registry, offset: page.0 })
    }
}

//! Folding the frozen layer into the tree, one leaf a step.
//!
//! The walk goes through the old tree from left to right. A leaf under which a change falls is
//! read, merged with the changes and packed anew; a subtree without changes is taken over by its
//! pointer. A new node that came out nearly empty takes in its right neighbour instead.
//!
//! | level | memory of a fold |
//! |---|---|
//! | each | one page of the old tree (the path), a page of new cells, and but for the top level one for a node held back |
//! | each, of a chip | a page of new cells |
//! | whole, of a chip | a page of the old tree, through which the path is read again from the root on; values on their way use it too |
//! | whole | four names |

use super::builder::{BuildSpace, Builder, NodeSink, separator_above};
use super::node::{Child, Key, NodeView, Place};
use super::search::MAX_HEIGHT;
use crate::bytes;
use crate::failure::Failure;
use crate::format::{
    ChunkRef, ChunkValue, ExtentValue, HeadValue, InlineValue, LeafCell, U16, U32, U64, cell_kind,
};
use crate::ids::PageIndex;
use crate::overlay::{Entry, Value};
use core::num::NonZero;
use zerocopy::IntoBytes as _;

/// Where a frozen entry's bytes are once they are at home.
pub(crate) enum Settled {
    /// The name is deleted.
    Deleted,
    /// So many bytes, in the record itself.
    Inline(usize),
    /// In one extent.
    Extent(PageIndex),
    /// In so many chunks.
    Chunks(u32),
}

/// What a fold asks of the store around it.
pub(crate) trait FoldHost: NodeSink {
    /// Reads the verified page of a node, perhaps once more.
    fn read_node(&mut self, child: Child, level: u32, into: &mut [u8]) -> Result<(), Failure>;
    /// The root of the old tree.
    fn root(&self) -> Child;
    /// The least frozen name above `after`.
    fn next_frozen(&self, after: Option<&[u8]>, name: &mut [u8]) -> Option<(usize, Entry)>;
    /// Takes a node that was read out of the tree: its page is free once the fold is durable.
    fn give_up(&mut self, page: PageIndex) -> Result<(), Failure>;
    /// Brings a frozen entry's bytes home and marks their pages used; the entry's digest is the block's then. What it needs besides its own memory it takes of `spare`.
    fn settle(&mut self, name: &[u8], entry: &mut Entry, spare: &mut [u8]) -> Result<Settled, Failure>;
    /// Puts the bytes of an inline block into its record.
    fn fill_inline(&mut self, name: &[u8], entry: &Entry, into: &mut [u8]) -> Result<(), Failure>;
    /// Chunk `index` of a settled entry, at home.
    fn settled_chunk(
        &mut self,
        name: &[u8],
        entry: &Entry,
        index: u32,
        spare: &mut [u8],
    ) -> Result<ChunkRef, Failure>;
    /// Whether what lay in `spare` is gone since this was asked last.
    fn has_used_spare(&mut self) -> bool;
    /// Frees the pages of `length` bytes that start at `page`.
    fn release(&mut self, page: PageIndex, length: u64) -> Result<(), Failure>;
    /// The error for a node that does not parse.
    fn damaged(&mut self, page: PageIndex) -> Failure;
}

/// The memory of a fold. It keeps its contents from step to step, but for `inputs` where that is one page.
pub(crate) struct FoldSpace<'a> {
    pub(crate) build: BuildSpace<'a>,
    /// One page of the old tree a level, or one page.
    pub(crate) inputs: &'a mut [u8],
    /// The name of the last entry folded.
    pub(crate) last: &'a mut [u8],
    /// The name of the entry to be folded next.
    pub(crate) next: &'a mut [u8],
    /// The upper bound of the leaf at hand.
    pub(crate) bound: &'a mut [u8],
    /// The lower bound of the leaf at hand.
    pub(crate) floor: &'a mut [u8],
}

impl FoldSpace<'_> {
    const fn page_size(&self) -> usize {
        self.build.page_size()
    }

    /// Whether there is one page for the nodes of all levels.
    const fn is_small(&self) -> bool {
        !cfg!(feature = "alloc") || self.inputs.len() < 2 * self.page_size()
    }

    /// Which of the pages the path's node on `level` is in.
    const fn place(&self, level: usize) -> usize {
        if self.is_small() { 0 } else { level }
    }

    /// The path's node on `level`, which has to be there; None if it does not parse.
    #[cfg_attr(not(feature = "alloc"), inline(never))]
    fn node(&self, level: usize) -> Option<NodeView<'_>> {
        NodeView::parse(bytes::piece(self.inputs, self.place(level), self.page_size()))
    }
}

/// No level.
const NOTHING: u8 = MAX_HEIGHT as u8;

#[derive(Clone, Copy, Debug)]
#[repr(Rust, packed(4))]
struct Step {
    page: PageIndex,
    // Pages have 64 KiB at most.
    /// The next child that is neither taken over nor descended into.
    index: u16,
    count: u16,
}

/// A key that bounds a leaf, whose name lies elsewhere.
#[derive(Clone, Copy, Debug)]
struct Limit {
    chunk: u32,
    /// Bytes of the name and one: so there is a number that it cannot be.
    length: NonZero<u16>,
}

impl Limit {
    fn of(key: &Key<'_>) -> Self {
        let length = NonZero::<u16>::MIN.saturating_add(key.name.len() as u16);
        Self { chunk: key.chunk, length }
    }

    fn key(self, name: &[u8]) -> Key<'_> {
        Key { name: bytes::head(name, usize::from(self.length.get()) - 1), chunk: self.chunk }
    }
}

/// How the number of blocks and bytes changed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Balance {
    pub(crate) blocks: isize,
    pub(crate) bytes: i64,
}

/// A fold under way.
#[derive(Clone, Debug)]
pub(crate) struct Fold {
    builder: Builder,
    path: [Step; MAX_HEIGHT],
    /// Levels of the old tree.
    height: u8,
    started: bool,
    /// The level whose node is in the page for the old tree, if there is one page only; [`NOTHING`] if none is.
    held: u8,
    /// `last` and `next` have changed places in the caller's memory.
    swapped: bool,
    /// Length of the last folded name, and whether its old pages belong to another name now.
    last: Option<(u16, bool)>,
    /// The entry to be folded next: None until fetched, Some(None) at the end.
    next: Option<Option<Entry>>,
    /// Length of its name.
    next_length: u16,
    /// Chunks of the last name may go on in the next leaf.
    purge: Option<u32>,
    /// Length and chunk of the upper bound of the leaf at hand, if it has one.
    bound: Option<Limit>,
    /// Length and chunk of the lower bound of the leaf at hand, if nothing is packed of it yet.
    floor: Option<Limit>,
    pub(crate) balance: Balance,
    /// Names folded in so far.
    pub(crate) folded: usize,
}

impl Step {
    const START: Self = Self { page: PageIndex(0), index: 0, count: 0 };
}

impl Fold {
    /// Of an old tree of so many levels. Made of constants but for that, so that the compiler writes it where it is to lie.
    #[inline(always)]
    pub(crate) const fn new(height: u32) -> Self {
        Self {
            builder: Builder::new(),
            path: [Step::START; MAX_HEIGHT],
            height: height as u8,
            started: false,
            held: NOTHING,
            swapped: false,
            last: None,
            next: None,
            next_length: 0,
            purge: None,
            bound: None,
            floor: None,
            balance: Balance { blocks: 0, bytes: 0 },
            folded: 0,
        }
    }

    /// Folds the changes of one leaf. Puts the new root and height into `root` and returns true once all are folded.
    pub(crate) fn step<H: FoldHost>(
        &mut self,
        host: &mut H,
        space: &mut FoldSpace<'_>,
        root: &mut (Child, u32),
    ) -> Result<bool, Failure> {
        if space.is_small() {
            // What goes on between the steps goes through there.
            self.held = NOTHING;
        }
        if self.swapped {
            core::mem::swap(&mut space.last, &mut space.next);
        }
        self.fetch(host, space);
        if self.purge.is_none() && self.next == Some(None) {
            self.finish(host, space, root)?;
            return Ok(true);
        }
        if self.height == 0 {
            self.merge_leaf(host, space, false)?;
        } else {
            let level = self.climb(host, space)?;
            self.descend(host, space, level)?;
            self.merge_leaf(host, space, true)?;
        }
        Ok(false)
    }

    fn height(&self) -> usize {
        self.height.into()
    }

    /// The path's node on `level`.
    fn at(&self, level: usize) -> Step {
        self.path.get(level).copied().unwrap_or(Step::START)
    }

    fn at_mut(&mut self, level: usize) -> Result<&mut Step, Failure> {
        self.path.get_mut(level).ok_or(Failure::WorkspaceTooSmall)
    }

    /// Makes sure the entry to be folded next is known.
    fn fetch<H: FoldHost>(&mut self, host: &H, space: &mut FoldSpace<'_>) {
        if self.next.is_none() {
            let after = self.last.map(|(length, _)| bytes::head(space.last, length.into()));
            self.next = Some(host.next_frozen(after, space.next).map(|(length, entry)| {
                self.next_length = length as u16;
                entry
            }));
            self.folded += 1;
        }
    }

    /// The key whose leaf is to be merged next.
    fn target<'s>(&self, space: &'s FoldSpace<'_>) -> Key<'s> {
        match (self.purge, self.last, &self.next) {
            (Some(chunk), Some((length, _)), _) => {
                Key { name: bytes::head(space.last, length.into()), chunk }
            }
            (_, _, Some(Some(_))) => Key::first(bytes::head(space.next, self.next_length.into())),
            _ => Key::first(&[]),
        }
    }

    /// Whether the target lies above everything under the path's node on `level`.
    fn is_past<H: FoldHost>(
        &mut self,
        host: &mut H,
        space: &mut FoldSpace<'_>,
        level: usize,
    ) -> Result<bool, Failure> {
        let Some(above) = self.bounding(level) else { return Ok(false) };
        self.bring(host, space, above)?;
        let upper = space.node(above).and_then(|node| node.key(self.at(above).index.into()));
        Ok(upper.is_some_and(|upper| self.target(space) >= upper))
    }

    /// The lowest level above `level` whose node of the path has a child behind the path.
    fn bounding(&self, level: usize) -> Option<usize> {
        (level + 1..self.height()).find(|&above| self.at(above).index < self.at(above).count)
    }

    /// Takes over what is left of the nodes that the target does not fall under, and returns the
    /// level of the lowest path node that it does fall under.
    #[cfg_attr(not(feature = "alloc"), inline(never))]
    fn climb<H: FoldHost>(&mut self, host: &mut H, space: &mut FoldSpace<'_>) -> Result<usize, Failure> {
        let top = self.height() - 1;
        if !self.started {
            self.started = true;
            let root = host.root();
            self.load(host, space, top, root)?;
            return Ok(top);
        }
        let mut level = 1;
        while level < top && self.is_past(host, space, level)? {
            self.take_over_rest(host, space, level)?;
            level += 1;
        }
        Ok(level)
    }

    /// Reads a node into the path; its page is free once the fold is durable.
    fn load<H: FoldHost>(
        &mut self,
        host: &mut H,
        space: &mut FoldSpace<'_>,
        level: usize,
        child: Child,
    ) -> Result<(), Failure> {
        self.read(host, space, level, child)?;
        host.give_up(child.page)?;
        let node = space.node(level);
        let count = node.map(|node| node.len()).ok_or_else(|| host.damaged(child.page))?;
        *self.at_mut(level)? = Step { page: child.page, index: 0, count: count as u16 };
        Ok(())
    }

    fn read<H: FoldHost>(
        &mut self,
        host: &mut H,
        space: &mut FoldSpace<'_>,
        level: usize,
        child: Child,
    ) -> Result<(), Failure> {
        let (size, at) = (space.page_size(), space.place(level));
        let into = space.inputs.get_mut(at * size..(at + 1) * size).ok_or(Failure::WorkspaceTooSmall)?;
        host.read_node(child, level as u32, into)?;
        self.held = level as u8;
        Ok(())
    }

    /// Sees to it that the path's node on `level` is there: where there is one page for all of the path, it is read again,
    /// from the root on, for each node holds the digest of the next.
    fn bring<H: FoldHost>(
        &mut self,
        host: &mut H,
        space: &mut FoldSpace<'_>,
        level: usize,
    ) -> Result<(), Failure> {
        if !space.is_small() || usize::from(self.held) == level {
            return Ok(());
        }
        if usize::from(self.held) < level || self.held == NOTHING {
            let root = host.root();
            self.read(host, space, self.height() - 1, root)?;
        }
        while usize::from(self.held) > level {
            let held = self.held.into();
            // The child before the next one is the path's.
            let Step { page, index, .. } = self.at(held);
            let view = space.node(held);
            let child = view.and_then(|node| node.child(index.saturating_sub(1).into()));
            let child = child.ok_or_else(|| host.damaged(page))?;
            self.read(host, space, held - 1, child)?;
        }
        Ok(())
    }

    /// Goes down to the target's leaf, taking over the subtrees left of it.
    #[cfg_attr(not(feature = "alloc"), inline(never))]
    fn descend<H: FoldHost>(
        &mut self,
        host: &mut H,
        space: &mut FoldSpace<'_>,
        from: usize,
    ) -> Result<(), Failure> {
        (self.bound, self.floor) = (None, None);
        for level in (1..self.height().min(from + 1)).rev() {
            self.bring(host, space, level)?;
            let at = space.node(level).map_or(0, |node| node.child_for(self.target(space)));
            while usize::from(self.at(level).index) < at {
                self.take_over(host, space, level)?;
            }
            self.at_mut(level)?.index += 1;
            if level == 1 {
                self.note_bounds(host, space)?;
            }
            self.bring(host, space, level)?;
            let index = self.at(level).index.saturating_sub(1);
            let child = space.node(level).and_then(|node| node.child(index.into()));
            let child = child.ok_or_else(|| host.damaged(self.at(level).page))?;
            self.load(host, space, level - 1, child)?;
        }
        Ok(())
    }

    fn take_over_rest<H: FoldHost>(
        &mut self,
        host: &mut H,
        space: &mut FoldSpace<'_>,
        level: usize,
    ) -> Result<(), Failure> {
        while self.at(level).index < self.at(level).count {
            self.take_over(host, space, level)?;
        }
        Ok(())
    }

    /// Takes over the next untouched child of the path's node on `level`: by its pointer, or cell
    /// by cell if what was packed before it came out nearly empty.
    fn take_over<H: FoldHost>(
        &mut self,
        host: &mut H,
        space: &mut FoldSpace<'_>,
        level: usize,
    ) -> Result<(), Failure> {
        let index = usize::from(self.at(level).index);
        let size = space.page_size();
        if level >= 2 {
            self.builder.close(host, &mut space.build, level - 2)?;
        }
        self.bring(host, space, level)?;
        let view = space.node(level);
        let child = view.and_then(|node| node.child(index));
        let child = child.ok_or_else(|| host.damaged(self.at(level).page))?;
        self.at_mut(level)?.index += 1;
        if self.builder.is_nearly_empty(level - 1, size) {
            self.load(host, space, level - 1, child)?;
            let (path, count) = (self.at(level - 1).page, self.at(level - 1).count);
            let node = NodeView::parse(bytes::piece(space.inputs, space.place(level - 1), size));
            for cell in 0..count {
                let cell = node.and_then(|node| node.cell(cell.into())).ok_or_else(|| host.damaged(path))?;
                self.builder.push(host, &mut space.build, level - 1, &[cell])?;
            }
            self.at_mut(level - 1)?.index = count;
            return Ok(());
        }
        self.builder.close(host, &mut space.build, level - 1)?;
        let node = NodeView::parse(bytes::piece(space.inputs, space.place(level), size));
        let key = node.and_then(|node| node.key(index)).ok_or_else(|| host.damaged(self.at(level).page))?;
        self.builder.push_child(host, &mut space.build, level, (key.name, key.chunk), child)
    }

    /// Remembers the bounds of the leaf that the path goes on to, of which the node above is there: the upper one, if it
    /// has one, and the lower one if the first node packed of the leaf will stand in its place: then a key no longer than
    /// before does for that node, whatever its first name is.
    fn note_bounds<H: FoldHost>(&mut self, host: &mut H, space: &mut FoldSpace<'_>) -> Result<(), Failure> {
        if self.builder.is_empty(0) {
            let index = self.at(1).index.saturating_sub(1);
            self.floor = Some(self.note_key(host, space, (1, index.into()), true)?);
        }
        if let Some(above) = self.bounding(0) {
            let index = self.at(above).index;
            self.bound = Some(self.note_key(host, space, (above, index.into()), false)?);
        }
        Ok(())
    }

    /// Remembers a key of the path's node on `level` as the leaf's lower or upper bound: its length and chunk.
    fn note_key<H: FoldHost>(
        &mut self,
        host: &mut H,
        space: &mut FoldSpace<'_>,
        (level, index): (usize, usize),
        lower: bool,
    ) -> Result<Limit, Failure> {
        self.bring(host, space, level)?;
        let node = NodeView::parse(bytes::piece(space.inputs, space.place(level), space.page_size()));
        let key = node.and_then(|node| node.key(index)).ok_or_else(|| host.damaged(self.at(level).page))?;
        let into = if lower { &mut *space.floor } else { &mut *space.bound };
        bytes::copy(into, key.name).ok_or(Failure::WorkspaceTooSmall)?;
        Ok(Limit::of(&key))
    }

    /// Merges the path's leaf, or nothing, with the entries that fall under it.
    fn merge_leaf<H: FoldHost>(
        &mut self,
        host: &mut H,
        space: &mut FoldSpace<'_>,
        leaf: bool,
    ) -> Result<(), Failure> {
        let bound = self.bound;
        let count = if leaf { self.at(0).count.into() } else { 0 };
        let mut index = 0;
        let mut budget = 64_i64;
        while leaf || budget > 0 {
            budget -= 1;
            self.fetch(host, space);
            if leaf && space.is_small() {
                self.bring(host, space, 0)?;
            }
            let node = space.node(0);
            let record = if index < count {
                let damaged = || host.damaged(self.at(0).page);
                Some(node.and_then(|node| node.key(index)).ok_or_else(damaged)?)
            } else {
                None
            };
            // What is left of the entry that was folded last gives way to it.
            if let (Some(record), Some((length, moved))) = (record, self.last)
                && record.name == bytes::head(space.last, length.into())
            {
                self.drop_record(host, node, index, record.chunk, moved)?;
                index += 1;
                continue;
            }
            let is_due = || {
                let key = Key::first(bytes::head(space.next, self.next_length.into()));
                bound.is_none_or(|bound| key < bound.key(space.bound))
                    && record.is_none_or(|record| key <= record)
            };
            match (matches!(self.next, Some(Some(_))) && is_due(), record) {
                (true, _) => {
                    self.fold_entry(host, space)?;
                    if host.has_used_spare() {
                        self.held = NOTHING;
                    }
                }
                (false, Some(_)) => {
                    self.keep_record(host, space, index)?;
                    index += 1;
                }
                (false, None) => break,
            }
        }
        let last = self.last.map(|(length, _)| bytes::head(space.last, length.into()));
        let goes_on = bound.filter(|bound| last == Some(bound.key(space.bound).name));
        self.purge = goes_on.map(|bound| bound.chunk);
        Ok(())
    }

    /// Packs a record of the path's leaf as it is.
    fn keep_record<H: FoldHost>(
        &mut self,
        host: &mut H,
        space: &mut FoldSpace<'_>,
        index: usize,
    ) -> Result<(), Failure> {
        let node = NodeView::parse(bytes::piece(space.inputs, 0, space.build.page_size()));
        let record = node.and_then(|node| Some((node.cell(index)?, node.key(index)?)));
        let (cell, key) = record.ok_or_else(|| host.damaged(self.at(0).page))?;
        let floor = self.floor.take().filter(|_| self.builder.is_empty(0));
        let separator = separator(space.floor, floor, key.name);
        self.builder.push(host, &mut space.build, 0, &[cell])?;
        self.builder.set_separator(separator);
        Ok(())
    }

    /// Frees the pages of the record of the path's leaf that gives way.
    #[cfg_attr(not(feature = "alloc"), inline(never))]
    fn drop_record<H: FoldHost>(
        &mut self,
        host: &mut H,
        leaf: Option<NodeView<'_>>,
        index: usize,
        chunk: u32,
        moved: bool,
    ) -> Result<(), Failure> {
        let record = leaf.and_then(|leaf| leaf.record(index));
        let record = record.ok_or_else(|| host.damaged(self.at(0).page))?;
        if chunk == 0 {
            self.balance.blocks -= 1;
            // A forged tree may hold any lengths.
            self.balance.bytes = self.balance.bytes.wrapping_sub(record.length as i64);
        }
        let (page, length) = match record.place {
            Place::Inline(_) => return Ok(()),
            Place::Extent { page, .. } | Place::Chunk { page, .. } => (page, record.length),
            Place::Head { page, chunk_size, .. } => (page, record.length.min(u64::from(chunk_size))),
        };
        if moved { Ok(()) } else { host.release(page, length) }
    }

    /// Packs the records of the next entry, which becomes the last one.
    #[cfg_attr(not(feature = "alloc"), inline(never))]
    fn fold_entry<H: FoldHost>(&mut self, host: &mut H, space: &mut FoldSpace<'_>) -> Result<(), Failure> {
        // It stays where it lies: it is large for a small stack.
        let Some(Some(entry)) = &mut self.next else { return Ok(()) };
        let length = usize::from(self.next_length);
        core::mem::swap(&mut space.last, &mut space.next);
        self.swapped = !self.swapped;
        self.last = Some((length as u16, entry.base_moved));
        let settled = host.settle(bytes::head(space.last, length), entry, space.inputs)?;
        if let Settled::Deleted = settled {
            self.next = None;
            return Ok(());
        }
        self.balance.blocks += 1;
        self.balance.bytes = self.balance.bytes.wrapping_add(entry.length as i64);
        let floor = self.floor.take().filter(|_| self.builder.is_empty(0));
        let separator = separator(space.floor, floor, bytes::head(space.last, length));
        match settled {
            Settled::Inline(inline) => pack_inline(&mut self.builder, host, space, entry, (length, inline))?,
            Settled::Extent(page) => pack_extent(&mut self.builder, host, space, entry, (length, page))?,
            Settled::Chunks(_) => pack_head(&mut self.builder, host, space, entry, length)?,
            Settled::Deleted => {}
        }
        self.builder.set_separator(separator);
        if let Settled::Chunks(count) = settled {
            for index in 1..count {
                pack_chunk(&mut self.builder, host, space, entry, (length, index))?;
            }
        }
        self.next = None;
        Ok(())
    }

    /// Takes over the rest of the old tree and closes the new one.
    #[cfg_attr(not(feature = "alloc"), inline(never))]
    fn finish<H: FoldHost>(
        &mut self,
        host: &mut H,
        space: &mut FoldSpace<'_>,
        root: &mut (Child, u32),
    ) -> Result<(), Failure> {
        if self.started {
            for level in 1..self.height() {
                self.take_over_rest(host, space, level)?;
            }
        }
        *root = self.builder.finish(host, &mut space.build)?;
        Ok(())
    }
}

/// How many bytes of `name` do for the key of the node that it begins; None if it begins none or nothing is known.
fn separator(floor: &[u8], known: Option<Limit>, name: &[u8]) -> Option<usize> {
    Some(separator_above(known?.key(floor), name))
}

/// Packs the record of an entry whose bytes are part of it: of so many bytes name, and so many.
fn pack_inline<H: FoldHost>(
    builder: &mut Builder,
    host: &mut H,
    space: &mut FoldSpace<'_>,
    entry: &Entry,
    (length, inline): (usize, usize),
) -> Result<(), Failure> {
    let (sequence, tag) = (U64::new(entry.sequence.0), U64::new(entry.tag));
    let value = InlineValue { sequence, tag, length: U32::new(inline as u32) };
    let name = bytes::head(space.last, length);
    let cell = cell(cell_kind::INLINE, length, 0);
    let parts = [cell.as_bytes(), name, value.as_bytes()];
    let body = builder.push_begun(host, &mut space.build, 0, &parts, inline)?;
    host.fill_inline(name, entry, body)
}

/// Packs the record of an entry in one extent.
#[cfg_attr(not(feature = "alloc"), inline(never))]
fn pack_extent<H: FoldHost>(
    builder: &mut Builder,
    host: &mut H,
    space: &mut FoldSpace<'_>,
    entry: &Entry,
    (length, page): (usize, PageIndex),
) -> Result<(), Failure> {
    let value = ExtentValue {
        sequence: U64::new(entry.sequence.0),
        tag: U64::new(entry.tag),
        length: U64::new(entry.length),
        page: U64::new(page.0),
        digest: entry.digest.0,
    };
    let name = bytes::head(space.last, length);
    let cell = cell(cell_kind::EXTENT, length, 0);
    builder.push(host, &mut space.build, 0, &[cell.as_bytes(), name, value.as_bytes()])
}

/// Packs the first record of an entry of chunks.
#[cfg_attr(not(feature = "alloc"), inline(never))]
fn pack_head<H: FoldHost>(
    builder: &mut Builder,
    host: &mut H,
    space: &mut FoldSpace<'_>,
    entry: &Entry,
    length: usize,
) -> Result<(), Failure> {
    let Value::Chunks { chunk_size, .. } = entry.value else { return Ok(()) };
    let name = bytes::head(space.last, length);
    let first = host.settled_chunk(name, entry, 0, space.inputs)?;
    let value = HeadValue {
        sequence: U64::new(entry.sequence.0),
        tag: U64::new(entry.tag),
        length: U64::new(entry.length),
        page: first.page,
        digest: entry.digest.0,
        chunk_digest: first.digest,
        chunk_size: U32::new(chunk_size),
        reserved: U32::new(0),
    };
    let cell = cell(cell_kind::HEAD, length, 0);
    builder.push(host, &mut space.build, 0, &[cell.as_bytes(), name, value.as_bytes()])
}

/// Packs the record of a further chunk.
#[cfg_attr(not(feature = "alloc"), inline(never))]
fn pack_chunk<H: FoldHost>(
    builder: &mut Builder,
    host: &mut H,
    space: &mut FoldSpace<'_>,
    entry: &Entry,
    (length, index): (usize, u32),
) -> Result<(), Failure> {
    let Value::Chunks { chunk_size, .. } = entry.value else { return Ok(()) };
    let name = bytes::head(space.last, length);
    let chunk = host.settled_chunk(name, entry, index, space.inputs)?;
    let rest = entry.length - u64::from(index) * u64::from(chunk_size);
    let value = ChunkValue {
        page: chunk.page,
        digest: chunk.digest,
        length: U32::new(rest.min(u64::from(chunk_size)) as u32),
        reserved: U32::new(0),
    };
    let cell = cell(cell_kind::CHUNK, length, index);
    builder.push(host, &mut space.build, 0, &[cell.as_bytes(), name, value.as_bytes()])
}

/// What stands before a name of `length` bytes in a leaf.
fn cell(kind: u8, length: usize, chunk: u32) -> LeafCell {
    LeafCell { kind, reserved: 0, name_length: U16::new(length as u16), chunk: U32::new(chunk) }
}

//! Packing cells into new nodes, level by level.
//!
//! 1. Cells of a level arrive in key order. When the next one does not fit behind those that wait, they become a node, and
//!    that a cell of the level above.
//! 2. Closing a level makes its last two nodes even. The one before the last is therefore held back, in a second page, until the
//!    next is full. With one page a level it is written at once; if cells of it are handed on it is read and written
//!    once more, to the page that it has: until its fold is durable nothing leads there.
//! 3. While a level's node may still change its cell is the last one of the level above, where page and digest are
//!    put in when they are known.

use super::node::{Child, Key, NodeView, inner_key, leaf_key};
use super::search::MAX_HEIGHT;
use crate::bytes;
use crate::digest::Digest;
use crate::failure::Failure;
use crate::format::{InternalCell, NodeHeader, U16, U32, U64};
use crate::ids::PageIndex;
use core::ops::Range;
use zerocopy::{FromBytes as _, IntoBytes as _};

/// Cells of one level that wait for their node: `[length u16][cell]…` from the start of the buffer.
#[derive(Clone, Copy, Debug, Default)]
struct Level {
    // Pages have 64 KiB at most.
    staged: u16,
    /// How many, and [`OPEN`].
    count: u16,
    /// Where the last cell starts.
    last: u16,
    /// When not 0: how many bytes of the first cell's name suffice to tell it from what was
    /// written before it.
    separator: u16,
}

/// The node before these cells may still hand some on to them.
const OPEN: u16 = 1 << 15;

impl Level {
    const NONE: Self = Self { staged: 0, count: 0, last: 0, separator: 0 };

    const fn cells(self) -> u16 {
        self.count & !OPEN
    }

    const fn is_open(self) -> bool {
        self.count & OPEN > 0
    }

    /// Adds a cell of `length` bytes behind the others, of which the parts may be the first only; None if there is no room.
    fn add(&mut self, buffer: &mut [u8], length: usize, parts: &[&[u8]]) -> Option<()> {
        let prefix = (length as u16).to_le_bytes();
        let (start, end) = (usize::from(self.staged), usize::from(self.staged) + 2 + length);
        let mut at = start;
        for part in core::iter::once(&prefix[..]).chain(parts.iter().copied()) {
            bytes::place(buffer, at, part)?;
            at += part.len();
        }
        (self.last, self.staged) = (self.staged, end as u16);
        self.count += 1;
        Some(())
    }
}

/// The state of a build; the buffers are the caller's.
#[derive(Clone, Debug)]
pub(crate) struct Builder {
    levels: [Level; MAX_HEIGHT],
}

/// Where the builder puts finished nodes.
pub(crate) trait NodeSink {
    /// A page of memory to compose a node in; what lies in it is kept until the caller of the builder goes on.
    fn page(&mut self) -> &mut [u8];
    /// Writes the node that was composed, to a fresh page or, if `child` has one, to that one again; `child` leads to it.
    fn place_node(&mut self, child: &mut Child) -> Result<(), Failure>;
    /// Reads a node that was placed before into the page of memory.
    fn recall_node(&mut self, child: &Child, level: u32) -> Result<(), Failure>;
}

/// The builder's memory: a page a level, or two, but for the top level, which has one node.
pub(crate) struct BuildSpace<'a> {
    pub(crate) levels: &'a mut [u8],
    pub(crate) page_size: usize,
    /// There are two: in the second the last node is held back.
    pub(crate) two: bool,
}

impl BuildSpace<'_> {
    pub(super) const fn page_size(&self) -> usize {
        self.page_size
    }

    /// Bytes of staged cells that fit into one node.
    const fn capacity(&self) -> usize {
        self.page_size() - NodeHeader::SIZE
    }

    /// Whether a level has a page to hold a node back in.
    const fn holds(&self, level: usize) -> bool {
        // Without a heap none has: the code is dear.
        cfg!(feature = "alloc") && self.two && self.levels.len() >= (2 * level + 2) * self.page_size
    }

    /// Where a level's memory is.
    const fn span(&self, level: usize) -> Range<usize> {
        let at = if cfg!(feature = "alloc") && self.two { 2 * level } else { level } * self.page_size;
        at..at + self.page_size
    }

    fn cells(&self, level: usize) -> &[u8] {
        self.levels.get(self.span(level)).unwrap_or_default()
    }

    fn level(&mut self, level: usize) -> Result<&mut [u8], Failure> {
        let span = self.span(level);
        self.levels.get_mut(span).ok_or(Failure::WorkspaceTooSmall)
    }

    /// The cells of a level that holds a node back, and the page for it.
    fn with_held(&mut self, level: usize) -> Option<(&[u8], &mut [u8])> {
        let (at, size) = (self.span(level).start, self.page_size);
        let (cells, held) = self.levels.get_mut(at..at + 2 * size)?.split_at_mut_checked(size)?;
        Some((cells, held))
    }

    /// The page of the node that a level holds back, if it has one for that.
    fn held(&self, level: usize) -> Option<&[u8]> {
        let at = self.span(level).end;
        if self.holds(level) { self.levels.get(at..at + self.page_size) } else { None }
    }

    /// The last cell of an inner level, which starts at `last`.
    fn last_child(&mut self, level: usize, last: usize) -> Result<&mut InternalCell, Failure> {
        let cell = self.level(level)?.get_mut(last + 2..).unwrap_or_default();
        InternalCell::mut_from_prefix(cell).map(|(cell, _)| cell).map_err(|_| Failure::WorkspaceTooSmall)
    }
}

/// The staged cell at `at` and where the next one starts; there is one.
fn staged_cell(buffer: &[u8], at: usize) -> Option<(&[u8], usize)> {
    let (length, rest) = buffer.get(at..)?.split_first_chunk()?;
    let length = usize::from(u16::from_le_bytes(*length));
    Some((rest.get(..length)?, at + 2 + length))
}

impl Builder {
    #[inline(always)]
    pub(crate) const fn new() -> Self {
        Self { levels: [Level::NONE; MAX_HEIGHT] }
    }

    /// Whether nothing waits on `level`.
    pub(crate) fn is_empty(&self, level: usize) -> bool {
        self.level(level).cells() == 0
    }

    /// Whether what waits on `level` comes to less than a quarter of a page, and to something.
    pub(crate) fn is_nearly_empty(&self, level: usize, page_size: usize) -> bool {
        let level = self.level(level);
        !level.is_open() && (1..page_size / 4).contains(&level.staged.into())
    }

    fn level(&self, level: usize) -> Level {
        self.levels.get(level).copied().unwrap_or(Level::NONE)
    }

    fn level_mut(&mut self, level: usize) -> Result<&mut Level, Failure> {
        self.levels.get_mut(level).ok_or(Failure::WorkspaceTooSmall)
    }

    /// Adds a cell, given in parts, to `level`.
    #[cfg_attr(feature = "alloc", inline(always))]
    pub(crate) fn push<S: NodeSink>(
        &mut self,
        sink: &mut S,
        space: &mut BuildSpace<'_>,
        level: usize,
        parts: &[&[u8]],
    ) -> Result<(), Failure> {
        self.push_begun(sink, space, level, parts, 0).map(|_| ())
    }

    /// As [`push`](Self::push), of a cell with `more` bytes behind the parts, which are anything as yet, and returned. The
    /// key is in the parts.
    #[cfg_attr(feature = "alloc", inline(always))]
    pub(crate) fn push_begun<'s, S: NodeSink>(
        &mut self,
        sink: &mut S,
        space: &'s mut BuildSpace<'_>,
        level: usize,
        parts: &[&[u8]],
        more: usize,
    ) -> Result<&'s mut [u8], Failure> {
        if level + 1 >= MAX_HEIGHT {
            return Err(Failure::WorkspaceTooSmall);
        }
        let given: usize = parts.iter().map(|part| part.len()).sum();
        let length = given + more;
        if length + 2 > space.capacity() {
            return Err(Failure::WorkspaceTooSmall);
        }
        if self.is_full(space, level, length) {
            self.make_room(sink, space, level, length)?;
        }
        let state = self.level_mut(level)?;
        state.add(space.level(level)?, length, parts).ok_or(Failure::WorkspaceTooSmall)?;
        if level == 0 && state.is_open() && state.cells() == 1 {
            // The node was composed for it just now.
            let before = space.held(0).unwrap_or_else(|| sink.page());
            let left = NodeView::parse(before).and_then(|node| node.key(node.len() - 1));
            let separator = shortest_separator(left, first_key(space.cells(0)));
            self.level_mut(0)?.separator = separator as u16;
        }
        let rest = usize::from(self.level(level).staged).saturating_sub(more);
        space.level(level)?.get_mut(rest..rest + more).ok_or(Failure::WorkspaceTooSmall)
    }

    /// Sees to it that a cell of `length` bytes fits into `level`.
    fn make_room<S: NodeSink>(
        &mut self,
        sink: &mut S,
        space: &mut BuildSpace<'_>,
        level: usize,
        length: usize,
    ) -> Result<(), Failure> {
        while self.is_full(space, level, length) {
            // What is written becomes a cell of the level above, which may be full as well: the highest goes first.
            // What its node holds of the one below is final by then.
            let mut highest = level;
            self.settle(sink, space, level, false)?;
            while self.is_full(space, highest + 1, self.raised_length(space, highest)?) {
                highest += 1;
                self.settle(sink, space, highest, false)?;
            }
            self.write(sink, space, highest, false)?;
        }
        Ok(())
    }

    /// Whether a cell of `length` bytes does not fit into `level` any more.
    fn is_full(&self, space: &BuildSpace<'_>, level: usize, length: usize) -> bool {
        usize::from(self.level(level).staged) + 2 + length > space.capacity()
    }

    /// Bytes of the cell that the node of what waits on `level` becomes in the level above.
    fn raised_length(&self, space: &BuildSpace<'_>, level: usize) -> Result<usize, Failure> {
        let front = front_key(space.cells(level), level, self.level(level).separator.into());
        let length = front.map(|(name, _)| InternalCell::SIZE + name.len());
        let fits = length.filter(|length| level + 2 < MAX_HEIGHT && length + 2 <= space.capacity());
        fits.ok_or(Failure::WorkspaceTooSmall)
    }

    /// Adds a child to inner level `level`; everything below it must be closed.
    pub(crate) fn push_child<S: NodeSink>(
        &mut self,
        sink: &mut S,
        space: &mut BuildSpace<'_>,
        level: usize,
        (name, chunk): (&[u8], u32),
        child: Child,
    ) -> Result<(), Failure> {
        let head = internal_cell((name, chunk), &child);
        self.push(sink, space, level, &[head.as_bytes(), name])
    }

    /// Writes everything that waits on `level` and the levels below it.
    pub(crate) fn close<S: NodeSink>(
        &mut self,
        sink: &mut S,
        space: &mut BuildSpace<'_>,
        level: usize,
    ) -> Result<(), Failure> {
        for level in 0..level + 1 {
            if !self.is_empty(level) {
                self.settle(sink, space, level, true)?;
                let raised = self.raised_length(space, level)?;
                self.make_room(sink, space, level + 1, raised)?;
                self.write(sink, space, level, true)?;
            }
        }
        Ok(())
    }

    /// Closes all levels and returns the root and its height.
    pub(crate) fn finish<S: NodeSink>(
        &mut self,
        sink: &mut S,
        space: &mut BuildSpace<'_>,
    ) -> Result<(Child, u32), Failure> {
        for level in 0..MAX_HEIGHT - 1 {
            let top = self.levels.iter().skip(level + 1).all(|above| above.cells() == 0);
            let cells = self.level(level).cells();
            if top && cells == 0 {
                return Ok((Child::default(), 0));
            }
            if top && level > 0 && cells == 1 {
                let root = child_of(space.last_child(level, 0)?);
                return Ok((root, level as u32));
            }
            if top {
                let mut root = Child::default();
                self.place(sink, space, level, &mut root)?;
                return Ok((root, level as u32 + 1));
            }
            self.close(sink, space, level)?;
        }
        Err(Failure::WorkspaceTooSmall)
    }

    /// The first cell of level 0 is staged: so many bytes of its name tell it from all before it.
    pub(crate) fn set_separator(&mut self, length: Option<usize>) {
        let [lowest, ..] = &mut self.levels;
        if let Some(length) = length {
            lowest.separator = length as u16;
        }
    }

    /// Makes what waits on `level` a node, and that a cell of the level above, which has room. If more cells will follow
    /// the node is held back where there is memory for it.
    fn write<S: NodeSink>(
        &mut self,
        sink: &mut S,
        space: &mut BuildSpace<'_>,
        level: usize,
        last: bool,
    ) -> Result<(), Failure> {
        let mut child = Child::default();
        if !last && space.holds(level) {
            let state = self.level(level);
            let composed = space.with_held(level).and_then(|(buffer, held)| {
                compose(held, level, bytes::head(buffer, state.staged.into()), state.cells().into())
            });
            composed.ok_or(Failure::WorkspaceTooSmall)?;
        } else {
            self.place(sink, space, level, &mut child)?;
        }
        self.raise(space, level, &child)?;
        *self.level_mut(level)? = Level { count: if last { 0 } else { OPEN }, ..Level::NONE };
        Ok(())
    }

    /// Writes what waits on `level` as a node.
    fn place<S: NodeSink>(
        &mut self,
        sink: &mut S,
        space: &BuildSpace<'_>,
        level: usize,
        child: &mut Child,
    ) -> Result<(), Failure> {
        let state = self.level(level);
        let staged = bytes::head(space.cells(level), state.staged.into());
        let composed = compose(sink.page(), level, staged, state.cells().into());
        composed.ok_or(Failure::WorkspaceTooSmall)?;
        sink.place_node(child)
    }

    /// Lets the node before what waits on `level` be as it is, or, if these are the last cells, hand as many on to them as make
    /// the two even.
    fn settle<S: NodeSink>(
        &mut self,
        sink: &mut S,
        space: &mut BuildSpace<'_>,
        level: usize,
        last: bool,
    ) -> Result<(), Failure> {
        let mut changed = space.holds(level);
        if !self.level(level).is_open() || !(changed || last) {
            return Ok(());
        }
        self.level_mut(level)?.count &= !OPEN;
        let at = self.level(level + 1).last.into();
        let mut child = child_of(space.last_child(level + 1, at)?);
        match space.held(level) {
            Some(held) => bytes::copy(sink.page(), held).ok_or(Failure::WorkspaceTooSmall)?,
            None => sink.recall_node(&child, level as u32)?,
        }
        if last {
            let handed = self.hand_on(sink.page(), space, level);
            changed |= handed.ok_or(Failure::WorkspaceTooSmall)?;
        }
        if changed {
            sink.place_node(&mut child)?;
            let cell = space.last_child(level + 1, at)?;
            (cell.page, cell.digest) = (U64::new(child.page.0), child.digest.0);
        }
        Ok(())
    }

    /// Hands as many cells of the node before on to those that wait on `level` as make the two even; whether there are any.
    fn hand_on(&mut self, page: &mut [u8], space: &mut BuildSpace<'_>, level: usize) -> Option<bool> {
        let state = self.level(level);
        let waiting = usize::from(state.staged);
        let header = NodeHeader::read(page)?;
        let (count, packed) = (header.count.get() as usize, header.end.get() as usize - NodeHeader::SIZE);
        let node = NodeView::parse(page)?;
        let (mut kept, mut taken) = (0, 0);
        while kept < count && (kept == 0 || taken < (packed + waiting) / 2) {
            taken += 2 + node.cell(kept)?.len();
            kept += 1;
        }
        if kept == count {
            return Some(false);
        }
        let buffer = space.level(level).ok()?;
        bytes::move_back(buffer, waiting, packed - taken)?;
        let mut front = Level::NONE;
        for index in kept..count {
            let cell = node.cell(index)?;
            front.add(buffer, cell.len(), &[cell])?;
        }
        let separator = if level == 0 { shortest_separator(node.key(kept - 1), node.key(kept)) } else { 0 };
        *self.level_mut(level).ok()? = Level {
            staged: front.staged + state.staged,
            count: front.count + state.cells(),
            last: front.staged + state.last,
            separator: separator as u16,
        };
        shorten(page, kept, taken)?;
        Some(true)
    }

    /// Makes the node of what waits on `level` a child of the level above: the first cell's key becomes the node's key
    /// there.
    #[cfg_attr(not(feature = "alloc"), inline(never))]
    fn raise(&mut self, space: &mut BuildSpace<'_>, level: usize, child: &Child) -> Result<(), Failure> {
        let (separator, above) = (self.level(level).separator, level + 1);
        // The key stays where it is: the levels' memory lies side by side.
        let (front, span) = (space.span(level), space.span(above));
        let (below, rest) =
            space.levels.split_at_mut_checked(span.start).ok_or(Failure::WorkspaceTooSmall)?;
        let buffer = rest.get_mut(..span.len()).ok_or(Failure::WorkspaceTooSmall)?;
        let key = front_key(below.get(front).unwrap_or_default(), level, separator.into());
        let key = key.ok_or(Failure::WorkspaceTooSmall)?;
        let head = internal_cell(key, child);
        let length = InternalCell::SIZE + key.0.len();
        let added = self.level_mut(above)?.add(buffer, length, &[head.as_bytes(), key.0]);
        added.ok_or(Failure::WorkspaceTooSmall)
    }
}

/// The key of the first cell of a leaf that waits for its node.
fn first_key(buffer: &[u8]) -> Option<Key<'_>> {
    leaf_key(staged_cell(buffer, 0)?.0)
}

/// The key in the parent of a node that begins with the first cell of `level`'s buffer.
fn front_key(buffer: &[u8], level: usize, separator: usize) -> Option<(&[u8], u32)> {
    let (first, _) = staged_cell(buffer, 0)?;
    let found = if level == 0 { leaf_key(first) } else { inner_key(first) }?;
    Some(match separator {
        0 => (found.name, found.chunk),
        kept => (found.name.get(..kept).unwrap_or(found.name), 0),
    })
}

/// What stands before a child's name.
fn internal_cell((name, chunk): (&[u8], u32), child: &Child) -> InternalCell {
    InternalCell {
        page: U64::new(child.page.0),
        digest: child.digest.0,
        chunk: U32::new(chunk),
        name_length: U16::new(name.len() as u16),
    }
}

/// How many bytes of `name` suffice not to fall below `floor`; 0 when only the whole key does.
pub(crate) fn separator_above(floor: Key<'_>, name: &[u8]) -> usize {
    if name < floor.name || (name == floor.name && floor.chunk > 0) {
        return 0;
    }
    let common = floor.name.iter().zip(name).take_while(|(a, b)| a == b).count();
    let equal = common == floor.name.len() && floor.chunk == 0;
    (common + usize::from(!equal)).min(name.len()).max(1)
}

/// How many bytes of `right`'s name suffice to stay above `left`; 0 when only the whole key does.
fn shortest_separator(left: Option<Key<'_>>, right: Option<Key<'_>>) -> usize {
    let (Some(left), Some(right)) = (left, right) else { return 0 };
    if left.name == right.name {
        return 0;
    }
    let common = left.name.iter().zip(right.name).take_while(|(a, b)| a == b).count();
    (common + 1).min(right.name.len())
}

/// Where a cell of an inner node leads.
const fn child_of(cell: &InternalCell) -> Child {
    Child { page: PageIndex(cell.page.get()), digest: Digest(cell.digest) }
}

/// Lays `cells` staged cells out as a node in `page`.
#[cfg_attr(not(feature = "alloc"), inline(never))]
fn compose(page: &mut [u8], level: usize, staged: &[u8], cells: usize) -> Option<()> {
    let mut slot = NodeHeader::SIZE;
    let mut at = slot + 2 * cells;
    let mut from = 0;
    while from < staged.len() {
        let (cell, next) = staged_cell(staged, from)?;
        bytes::place(page, slot, &(at as u16).to_le_bytes())?;
        bytes::place(page, at, cell)?;
        slot += 2;
        at += cell.len();
        from = next;
    }
    let header = NodeHeader {
        magic: NodeHeader::MAGIC,
        level: level as u8,
        reserved: [0; 3],
        count: U32::new(cells as u32),
        end: U32::new(at as u32),
    };
    page.get_mut(at..)?.fill(0);
    bytes::copy(page, header.as_bytes())
}

/// Leaves the first `kept` cells of a node, which come to `taken` bytes with their slots.
fn shorten(page: &mut [u8], kept: usize, taken: usize) -> Option<()> {
    let (header, rest) = NodeHeader::mut_from_prefix(page).ok()?;
    let gone = 2 * (header.count.get() as usize - kept);
    header.count = U32::new(kept as u32);
    header.end = U32::new((NodeHeader::SIZE + taken) as u32);
    let (slots, cells) = rest.split_at_mut_checked(2 * kept)?;
    for slot in slots.as_chunks_mut::<2>().0 {
        *slot = u16::from_le_bytes(*slot).wrapping_sub(gone as u16).to_le_bytes();
    }
    bytes::move_to_front(cells, gone..gone + taken - 2 * kept);
    cells.get_mut(taken - 2 * kept..)?.fill(0);
    Some(())
}

//! Packing cells into new nodes, level by level, in two pages of memory a level: of the top level, which has one
//! node, one page does.
//!
//! Cells of a level arrive in key order. A full node is written once more than two pages of cells
//! have arrived; closing a level writes what is left as one node or as two even ones. Each written
//! node becomes a cell of the level above.

use super::node::{Child, Key, inner_key, leaf_key};
use super::search::MAX_HEIGHT;
use crate::bytes;
use crate::failure::Failure;
use crate::format::{InternalCell, NodeHeader, U16, U32, U64};
use core::ops::Range;
use zerocopy::IntoBytes as _;

/// Cells of one level that wait for their node: `[length u16][cell]…` from the start of the buffer.
#[derive(Clone, Copy, Debug, Default)]
struct Level {
    staged: usize,
    cells: usize,
    /// When not 0: how many bytes of the first cell's name suffice to tell it from what was
    /// written before it.
    separator: usize,
}

impl Level {
    /// Adds a cell behind the others; None if there is no room.
    fn add(&mut self, buffer: &mut [u8], length: usize, parts: &[&[u8]]) -> Option<()> {
        let prefix = (length as u16).to_le_bytes();
        for part in core::iter::once(&prefix[..]).chain(parts.iter().copied()) {
            bytes::place(buffer, self.staged, part)?;
            self.staged += part.len();
        }
        self.cells += 1;
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
    /// A page of memory to compose a node in; what lies in it is not kept.
    fn page(&mut self) -> &mut [u8];
    /// Writes the node that was composed to a fresh page; `child` leads to it.
    fn place_node(&mut self, child: &mut Child) -> Result<(), Failure>;
}

/// The builder's memory: two pages a level, at least one of the top level.
pub(crate) struct BuildSpace<'a> {
    pub(crate) levels: &'a mut [u8],
    pub(crate) page_size: usize,
}

impl BuildSpace<'_> {
    pub(super) const fn page_size(&self) -> usize {
        self.page_size
    }

    /// Bytes of staged cells that fit into one node.
    const fn capacity(&self) -> usize {
        self.page_size() - NodeHeader::SIZE
    }

    /// Bytes of cells that may be staged on a level: two nodes' worth, on the top level one, for more would take
    /// another level anyway.
    const fn room(&self, level: usize) -> usize {
        let pages = if self.levels.len() < (level + 1) * 2 * self.page_size() { 1 } else { 2 };
        pages * self.capacity()
    }

    /// Where a level's memory is.
    fn span(&self, level: usize) -> Range<usize> {
        let size = 2 * self.page_size();
        level * size..self.levels.len().min((level + 1) * size)
    }

    fn level(&mut self, level: usize) -> Result<&mut [u8], Failure> {
        let span = self.span(level);
        let cells = self.levels.get_mut(span).filter(|cells| !cells.is_empty());
        cells.ok_or(Failure::WorkspaceTooSmall)
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
        Self { levels: [Level { staged: 0, cells: 0, separator: 0 }; MAX_HEIGHT] }
    }

    /// Bytes staged on `level`.
    pub(crate) fn staged(&self, level: usize) -> usize {
        self.level(level).staged
    }

    fn level(&self, level: usize) -> Level {
        self.levels.get(level).copied().unwrap_or_default()
    }

    fn level_mut(&mut self, level: usize) -> Result<&mut Level, Failure> {
        self.levels.get_mut(level).ok_or(Failure::WorkspaceTooSmall)
    }

    /// Adds a cell, given in parts, to `level`.
    pub(crate) fn push<S: NodeSink>(
        &mut self,
        sink: &mut S,
        space: &mut BuildSpace<'_>,
        level: usize,
        parts: &[&[u8]],
    ) -> Result<(), Failure> {
        if level + 1 >= MAX_HEIGHT {
            return Err(Failure::WorkspaceTooSmall);
        }
        let length: usize = parts.iter().map(|part| part.len()).sum();
        if length + 2 > space.capacity() {
            return Err(Failure::WorkspaceTooSmall);
        }
        self.make_room(sink, space, level, length)?;
        self.level_mut(level)?.add(space.level(level)?, length, parts).ok_or(Failure::WorkspaceTooSmall)
    }

    /// Sees to it that a cell of `length` bytes fits into `level`.
    fn make_room<S: NodeSink>(
        &mut self,
        sink: &mut S,
        space: &mut BuildSpace<'_>,
        level: usize,
        length: usize,
    ) -> Result<(), Failure> {
        // Once is enough but for the cells of a forged node.
        while self.is_full(space, level, length) {
            // What is written becomes a cell of the level above, which may be full as well: the highest goes first.
            let mut highest = level;
            while self.is_full(space, highest + 1, self.raised_length(space, highest)?) {
                highest += 1;
            }
            self.write_front(sink, space, highest, space.capacity())?;
        }
        Ok(())
    }

    /// Whether a cell of `length` bytes does not fit into `level` any more.
    fn is_full(&self, space: &BuildSpace<'_>, level: usize, length: usize) -> bool {
        self.staged(level) + 2 + length > space.room(level)
    }

    /// Bytes of the cell that the front of `level` becomes in the level above.
    fn raised_length(&self, space: &BuildSpace<'_>, level: usize) -> Result<usize, Failure> {
        let staged = space.levels.get(space.span(level)).unwrap_or_default();
        let front = front_key(staged, level, self.level(level).separator);
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

    /// Writes everything staged on `level` and the levels below it.
    pub(crate) fn close<S: NodeSink>(
        &mut self,
        sink: &mut S,
        space: &mut BuildSpace<'_>,
        level: usize,
    ) -> Result<(), Failure> {
        for level in 0..level + 1 {
            while self.level(level).cells > 0 {
                let staged = self.level(level).staged;
                let fits = staged <= space.capacity();
                let raised = self.raised_length(space, level)?;
                self.make_room(sink, space, level + 1, raised)?;
                self.write_front(sink, space, level, if fits { staged } else { staged / 2 })?;
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
            let state = self.level(level);
            let top = self.levels.iter().skip(level + 1).all(|above| above.cells == 0);
            if top && state.cells == 0 {
                return Ok((Child::default(), 0));
            }
            if top && level > 0 && state.cells == 1 {
                let cell = staged_cell(space.level(level)?, 0);
                let head = cell.and_then(|(cell, _)| InternalCell::read(cell));
                let head = head.ok_or(Failure::WorkspaceTooSmall)?;
                let page = crate::ids::PageIndex(head.page.get());
                return Ok((Child { page, digest: crate::Digest(head.digest) }, level as u32));
            }
            if top && state.staged <= space.capacity() {
                let span = space.span(level);
                let staged = space.levels.get(span).unwrap_or_default();
                compose(sink.page(), level, bytes::head(staged, state.staged), state.cells)
                    .ok_or(Failure::WorkspaceTooSmall)?;
                let mut root = Child::default();
                sink.place_node(&mut root)?;
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
            lowest.separator = length;
        }
    }

    /// Writes one node of cells from the front of `level`: at least one cell, on until `target`
    /// bytes are reached, never more than fit. The level above has room.
    fn write_front<S: NodeSink>(
        &mut self,
        sink: &mut S,
        space: &mut BuildSpace<'_>,
        level: usize,
        target: usize,
    ) -> Result<(), Failure> {
        let front = self.compose_front(sink.page(), space, level, target);
        let (taken, cells, last) = front.ok_or(Failure::WorkspaceTooSmall)?;
        let mut child = Child::default();
        sink.place_node(&mut child)?;
        self.raise_front(space, level, &child)?;
        self.drop_front(space, level, (taken, cells, last))
    }

    /// Lays the cells that [`write_front`](Self::write_front) takes out as a node: how many bytes and cells, and where
    /// the last of them starts.
    fn compose_front(
        &self,
        page: &mut [u8],
        space: &BuildSpace<'_>,
        level: usize,
        target: usize,
    ) -> Option<(usize, usize, usize)> {
        let staged = self.staged(level);
        let buffer = space.levels.get(space.span(level)).unwrap_or_default();
        let (mut taken, mut cells, mut last) = (0, 0, 0);
        while taken < staged && (cells == 0 || taken < target) {
            let (_, next) = staged_cell(buffer, taken)?;
            if next > space.capacity() {
                break;
            }
            (last, taken, cells) = (taken, next, cells + 1);
        }
        compose(page, level, bytes::head(buffer, taken), cells)?;
        Some((taken, cells, last))
    }

    /// Takes what was written off the front of `level`.
    fn drop_front(
        &mut self,
        space: &mut BuildSpace<'_>,
        level: usize,
        (taken, cells, last): (usize, usize, usize),
    ) -> Result<(), Failure> {
        let state = self.level(level);
        let buffer = space.level(level)?;
        let separator = if level == 0 && taken < state.staged {
            let ends = staged_cell(buffer, last).zip(staged_cell(buffer, taken));
            ends.map_or(0, |((left, _), (right, _))| shortest_separator(left, right))
        } else {
            0
        };
        bytes::move_to_front(buffer, taken..state.staged);
        *self.level_mut(level)? =
            Level { staged: state.staged - taken, cells: state.cells - cells, separator };
        Ok(())
    }

    /// Makes the node that was written of the front of `level` a child of the level above: the first cell's
    /// key becomes the node's key there.
    fn raise_front(
        &mut self,
        space: &mut BuildSpace<'_>,
        level: usize,
        child: &Child,
    ) -> Result<(), Failure> {
        let (separator, above) = (self.level(level).separator, level + 1);
        // The key stays where it is: the two levels' memory lies side by side.
        let (front, span) = (space.span(level), space.span(above));
        let (below, rest) = space.levels.split_at_mut_checked(front.end).ok_or(Failure::WorkspaceTooSmall)?;
        let buffer = rest.get_mut(..span.len()).filter(|cells| !cells.is_empty());
        let buffer = buffer.ok_or(Failure::WorkspaceTooSmall)?;
        let key = front_key(below.get(front).unwrap_or_default(), level, separator);
        let key = key.ok_or(Failure::WorkspaceTooSmall)?;
        let head = internal_cell(key, child);
        let length = InternalCell::SIZE + key.0.len();
        let added = self.level_mut(above)?.add(buffer, length, &[head.as_bytes(), key.0]);
        added.ok_or(Failure::WorkspaceTooSmall)
    }
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
fn shortest_separator(left: &[u8], right: &[u8]) -> usize {
    let (Some(left), Some(right)) = (leaf_key(left), leaf_key(right)) else { return 0 };
    if left.name == right.name {
        return 0;
    }
    let common = left.name.iter().zip(right.name).take_while(|(a, b)| a == b).count();
    (common + 1).min(right.name.len())
}

/// Lays `cells` staged cells out as a node in `page`.
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

//! How a store divides the memory it is handed.

use crate::format::Geometry;
use crate::freemap::{MAX_WINDOWS, MIN_WINDOWS};
use crate::tree::{BuildSpace, FoldSpace, MAX_HEIGHT};

/// How much memory a store works with. The caller hands over one buffer of
/// [`Memory::bytes`] bytes; nothing else is ever allocated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Memory {
    /// Levels that the registry tree may have, 2 at least. A tree of `n` levels of 4 KiB pages and
    /// 16-byte names holds about 45 · 70^(n-1) blocks. Once the tree has all these levels only
    /// deletions are taken; when it might come to that, checkpoints come after fewer changes. At most 24; 8
    /// without the feature `alloc`.
    pub levels: usize,
    /// Pages of the free map kept, 2 at least, which do for files of 1.9 MB with pages of 512 bytes; 6 do
    /// for files of 75 TB with pages of 4 KiB and of 1.9 GB with pages of 512 bytes; ten times as much wants
    /// one more. At most 128; 8 without the feature `alloc`.
    pub map_pages: usize,
    /// Bytes in which journal records are composed, and as many in which values are moved; at least
    /// two pages each, which then share one of them. With 0 they are the same two, and each record of the journal begins in a
    /// unit of its own; otherwise records that no sync comes between share one, which is kept in memory.
    ///
    /// With 0, and without the feature `alloc` in any case, a checkpoint keeps no page of the old tree for each level, but one
    /// for all, which values go through as well, and of the new one a page a level instead of two: it reads some pages
    /// again, and of each run of new ones may write one twice.
    pub staging: usize,
}

impl Memory {
    /// For the smallest: 7.5 pages, which is 3.8 KiB with pages of 512 bytes. The registry holds some 70 blocks
    /// of names and values of 16 bytes then, and the file has 1.9 MB.
    pub const TINY: Self = Self { levels: 3, map_pages: MIN_WINDOWS, staging: 0 };
    /// For microcontrollers: 12.5 pages. With pages of 512 bytes the registry holds some 380 such blocks, with pages
    /// of 4 KiB some 200,000.
    pub const SMALL: Self = Self { levels: 4, map_pages: 6, staging: 0 };
    /// For hosts, with the feature `alloc`.
    pub const LARGE: Self = Self { levels: 12, map_pages: 64, staging: 256 << 10 };

    /// Bytes of the buffer for pages of `page_size` bytes.
    #[must_use]
    pub const fn bytes(&self, page_size: usize) -> usize {
        // Behind whole pages four names of an eighth of a page.
        let small = page_size / 2;
        self.pages() * page_size + small + self.staging_alone(page_size) + self.staging_bytes(page_size)
    }

    /// Pages besides the staging buffer: a fold's, and the map's.
    const fn pages(&self) -> usize {
        self.fold_pages() + self.map_pages
    }

    /// Pages of a fold.
    pub(crate) const fn fold_pages(&self) -> usize {
        self.nodes() + self.inputs()
    }

    /// Whether a fold has memory for a node that it holds back, on each level but the top one.
    pub(crate) const fn holds_back(&self) -> bool {
        cfg!(feature = "alloc") && self.staging > 0
    }

    /// Pages of new nodes.
    pub(crate) const fn nodes(&self) -> usize {
        if self.holds_back() { 2 * self.levels - 1 } else { self.levels }
    }

    /// Pages of the old tree. With the smallest staging buffer, and without a heap, none, for the path is read again through
    /// the last page of the transfer buffer.
    pub(crate) const fn inputs(&self) -> usize {
        if self.staging == 0 || !cfg!(feature = "alloc") { 0 } else { self.levels }
    }

    /// Bytes of the staging buffer, and of the transfer buffer.
    #[cfg_attr(not(feature = "alloc"), inline(never))]
    pub(crate) const fn staging_bytes(&self, page_size: usize) -> usize {
        match self.staging.checked_div(page_size) {
            Some(pages @ 2..) => pages * page_size,
            _ => 2 * page_size,
        }
    }

    /// Whether the unit that the journal ends in stays in memory, for the next record to begin in if no sync comes between.
    pub(crate) const fn keeps_unit(&self) -> bool {
        self.staging > 0
    }

    /// Bytes of the staging buffer that are not the transfer buffer's too. Values are moved, and the journal is
    /// read, while no record is composed: of the smallest only the page with the unfinished unit is kept apart, if it is kept.
    pub(crate) const fn staging_alone(&self, page_size: usize) -> usize {
        let bytes = self.staging_bytes(page_size);
        match bytes == 2 * page_size {
            true if self.keeps_unit() => page_size,
            true => 0,
            false => bytes,
        }
    }

    /// The most pages a file can have that this free map memory can work on.
    pub(crate) fn max_pages(&self, geometry: &Geometry) -> u64 {
        // Three more than the levels above the bits; without such, two do as well.
        geometry.pages_under(self.map_pages.saturating_sub(3) as u32)
    }

    /// Whether the numbers can work at all.
    pub(crate) const fn is_possible(&self) -> bool {
        self.levels >= 2
            && self.levels <= MAX_HEIGHT
            && self.map_pages >= MIN_WINDOWS
            && self.map_pages <= MAX_WINDOWS
    }
}

/// The parts of the buffer, but for the [`staging`] buffer, part of which is `transfer`.
pub(crate) struct Space<'a> {
    /// Pages of new nodes and of the old tree's path; the names and bounds of a fold.
    pub(crate) fold: FoldSpace<'a>,
    /// Pages of the free map.
    pub(crate) windows: &'a mut [u8],
    /// What of the staging buffer is its own.
    staging: &'a mut [u8],
    /// Values on their way; nodes and superblocks as they are composed; pages that reads go through, and an inline
    /// block's bytes.
    pub(crate) transfer: &'a mut [u8],
}

/// What a recovery takes an operation in with, of which there is neither a record being composed nor a fold.
pub(crate) struct Replay<'a> {
    /// The name.
    pub(crate) name: &'a mut [u8],
    /// The bytes or the list behind it, as many as the staging buffer holds.
    pub(crate) body: &'a mut [u8],
    /// The journal as it is read.
    pub(crate) transfer: &'a mut [u8],
}

impl<'a> Space<'a> {
    /// As a fold has it: without pages of its own for the old tree the last one of the transfer buffer is the page for that.
    pub(crate) fn prepare_fold(&mut self) {
        if self.fold.inputs.is_empty() {
            let transfer = core::mem::take(&mut self.transfer);
            // There are two at least.
            let rest = transfer.len().saturating_sub(self.fold.build.page_size);
            (self.transfer, self.fold.inputs) = transfer.split_at_mut_checked(rest).unwrap_or_default();
        }
    }

    fn replay(self) -> Replay<'a> {
        let FoldSpace { build: BuildSpace { levels, .. }, last: name, .. } = self.fold;
        // Of the smallest, two pages; the levels have two at least.
        let body = if self.staging.len() < self.transfer.len() { levels } else { self.staging };
        Replay { name, body, transfer: self.transfer }
    }
}

/// Where journal records are composed; its start holds the journal's unfinished unit between commits, if it is kept. None if
/// `buffer` is too small.
pub(crate) fn staging<'a>(
    buffer: &'a mut [u8],
    memory: &Memory,
    geometry: &Geometry,
) -> Option<&'a mut [u8]> {
    let size = geometry.page_size();
    let at = memory.bytes(size).checked_sub(memory.staging_alone(size) + memory.staging_bytes(size))?;
    buffer.get_mut(at..)?.get_mut(..memory.staging_bytes(size))
}

/// The transfer buffer of [`divide`] alone; None if `buffer` is too small.
#[inline(never)]
pub(crate) fn transfer<'a>(
    buffer: &'a mut [u8],
    memory: &Memory,
    geometry: &Geometry,
) -> Option<&'a mut [u8]> {
    let length = memory.staging_bytes(geometry.page_size());
    let at = memory.bytes(geometry.page_size()).checked_sub(length)?;
    buffer.get_mut(at..)?.get_mut(..length)
}

/// The parts of [`divide`] that a recovery uses; None if `buffer` is too small.
#[inline(never)]
pub(crate) fn replay<'a>(buffer: &'a mut [u8], memory: &Memory, geometry: &Geometry) -> Option<Replay<'a>> {
    divide(buffer, memory, geometry).map(Space::replay)
}

/// The pages of the free map of [`divide`] alone; None if `buffer` is too small.
pub(crate) fn windows<'a>(
    buffer: &'a mut [u8],
    memory: &Memory,
    geometry: &Geometry,
) -> Option<&'a mut [u8]> {
    let size = geometry.page_size();
    buffer.get_mut(memory.fold_pages() * size..)?.get_mut(..memory.map_pages * size)
}

/// Divides `buffer`; None if it is too small.
#[inline(never)]
pub(crate) fn divide<'a>(buffer: &'a mut [u8], memory: &Memory, geometry: &Geometry) -> Option<Space<'a>> {
    let size = geometry.page_size();
    if !memory.is_possible() || buffer.len() < memory.bytes(size) {
        return None;
    }
    let (levels, rest) = buffer.split_at_mut_checked(memory.nodes() * size)?;
    let (inputs, rest) = rest.split_at_mut_checked(memory.inputs() * size)?;
    let (windows, rest) = rest.split_at_mut_checked(memory.map_pages * size)?;
    // A name is at most an eighth of a page.
    let (last, rest) = rest.split_at_mut_checked(size / 8)?;
    let (next, rest) = rest.split_at_mut_checked(size / 8)?;
    let (bound, rest) = rest.split_at_mut_checked(size / 8)?;
    let (floor, rest) = rest.split_at_mut_checked(size / 8)?;
    let (staging, rest) = rest.split_at_mut_checked(memory.staging_alone(size))?;
    let transfer = rest.get_mut(..memory.staging_bytes(size))?;
    let build = BuildSpace { levels, page_size: size, two: memory.holds_back() };
    let fold = FoldSpace { build, inputs, last, next, bound, floor };
    Some(Space { fold, windows, staging, transfer })
}

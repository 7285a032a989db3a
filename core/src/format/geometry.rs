//! Where things lie in the file: page size, zones and the groups of the free map.

use super::{MapEntry, MapHeader, SLOT_STRIDE, SLOTS};
use crate::bytes::{divided, divided_short, pieces, round_up, times};
use crate::ids::Extent;
use core::fmt;

/// Levels that the free map can have above its bit pages.
pub(crate) const MAP_LEVELS: u32 = 7;

/// A geometry that cannot be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum GeometryError {
    /// The page size is not a power of two from 512 to 65,536 bytes.
    PageSize(u32),
    /// The unit is not a power of two from 512 to 4,096 bytes and at most the page size (and, of an open
    /// device, at most the file's).
    Unit(u32),
    /// The journal is not a whole number of pages from 4 pages to 1 GiB.
    JournalLength(u64),
    /// The chunk size is not a whole number of pages from one page to 64 MiB.
    ChunkSize(u32),
    /// Zones overlap or the length does not fit.
    Inconsistent,
}

impl fmt::Display for GeometryError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::PageSize(n) => write!(f, "page size {n} is not a power of two from 512 to 65536"),
            Self::Unit(n) => write!(
                f,
                "the device's atomic unit {n} is not a power of two from 512 to 4096 within the page size and the \
                 file's unit; use larger pages, or a device of smaller units"
            ),
            Self::JournalLength(n) => {
                write!(
                    f,
                    "journal length {n} is not a whole number of pages, at least 4 pages and at most 1 GiB"
                )
            }
            Self::ChunkSize(n) => {
                write!(f, "chunk size {n} is not a whole number of pages, at most 64 MiB")
            }
            Self::Inconsistent => f.write_str("the zones of the file do not fit together"),
        }
    }
}

impl core::error::Error for GeometryError {}

/// The sizes that a file was created with, checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Geometry {
    /// Binary logarithms, less 9, of two powers of two: the compiler then knows that they are some, and divides
    /// by shifting.
    page_log: Log,
    unit_log: Log,
    journal_length: u32,
    chunk_size: u32,
}

/// A logarithm of at most 7: a type of its own, for the compiler then does not have to cut it off before it shifts by it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
enum Log {
    _0,
    _1,
    _2,
    _3,
    _4,
    _5,
    _6,
    _7,
}

impl Log {
    const ALL: [Self; 8] = [Self::_0, Self::_1, Self::_2, Self::_3, Self::_4, Self::_5, Self::_6, Self::_7];
}

/// The least page and the least unit, and its binary logarithm.
const LEAST: usize = 1 << LEAST_LOG;
const LEAST_LOG: u32 = 9;

impl Geometry {
    /// The smallest; stands for one that is not known yet.
    pub(crate) const LEAST: Self = Self {
        page_log: Log::_0,
        unit_log: Log::_0,
        journal_length: 4 * LEAST as u32,
        chunk_size: LEAST as u32,
    };

    /// Checks the sizes, all in bytes.
    ///
    /// # Errors
    /// The size that cannot be.
    pub fn new(
        page_size: u32,
        unit: u32,
        journal_length: u64,
        chunk_size: u32,
    ) -> Result<Self, GeometryError> {
        if !page_size.is_power_of_two() || !(512..=65_536).contains(&page_size) {
            return Err(GeometryError::PageSize(page_size));
        }
        if !unit.is_power_of_two() || !(512..=page_size.min(4096)).contains(&unit) {
            return Err(GeometryError::Unit(unit));
        }
        let page = u64::from(page_size);
        if journal_length & (page - 1) != 0 || journal_length < 4 * page || journal_length > 1 << 30 {
            return Err(GeometryError::JournalLength(journal_length));
        }
        if chunk_size == 0 || !chunk_size.is_multiple_of(page_size) || chunk_size > 64 << 20 {
            return Err(GeometryError::ChunkSize(chunk_size));
        }
        let log = |power: u32| Log::ALL[(power.trailing_zeros().saturating_sub(LEAST_LOG) & 7) as usize];
        let (page_log, unit_log) = (log(page_size), log(unit));
        let geometry = Self { page_log, unit_log, journal_length: journal_length as u32, chunk_size };
        // A chunk lies in one group, behind the group's map slots.
        if geometry.pages_for(u64::from(chunk_size)) + 2 * u64::from(MAP_LEVELS + 1) > geometry.group_pages()
        {
            return Err(GeometryError::ChunkSize(chunk_size));
        }
        Ok(geometry)
    }

    /// Page size in bytes.
    #[must_use]
    pub const fn page_size(&self) -> usize {
        LEAST << self.page_log as u32
    }

    /// Alignment in bytes of what follows a sync in the journal.
    #[must_use]
    pub const fn unit(&self) -> usize {
        LEAST << self.unit_log as u32
    }

    /// Bytes of a chunk of a large block.
    #[must_use]
    pub const fn chunk_size(&self) -> u32 {
        self.chunk_size
    }

    /// First byte of the journal ring.
    #[must_use]
    pub const fn journal_offset(&self) -> u64 {
        round_up((SLOT_STRIDE * SLOTS as u64) as usize, self.page_size()) as u64
    }

    /// Length of the journal ring in bytes.
    #[must_use]
    pub const fn journal_length(&self) -> u64 {
        self.journal_length as u64
    }

    /// First page of group 0.
    #[must_use]
    pub const fn first_group(&self) -> u64 {
        (self.journal_offset() + self.journal_length()) / self.page_size() as u64
    }

    /// Bytes that one copy of a superblock is written with.
    #[must_use]
    pub const fn slot_size(&self) -> usize {
        self.unit()
    }

    /// Longest name in bytes: an eighth of a page, at most 1,024.
    #[must_use]
    pub const fn max_name(&self) -> usize {
        let eighth = self.page_size() / 8;
        if eighth > 1024 { 1024 } else { eighth }
    }

    /// Longest value in bytes that lies in its registry record.
    #[must_use]
    pub const fn max_inline(&self) -> usize {
        self.page_size() / 4
    }

    /// Pages of a group, each with one bit in the group's map page.
    #[must_use]
    #[cfg_attr(not(feature = "alloc"), inline(never))]
    pub const fn group_pages(&self) -> u64 {
        (self.page_size() as u64 - MapHeader::SIZE as u64) * 8
    }

    /// Entries of a map page above the bits.
    #[must_use]
    pub const fn map_fanout(&self) -> u64 {
        (self.page_size() as u64 - MapHeader::SIZE as u64) / MapEntry::SIZE as u64
    }

    /// Pages that `bytes` bytes take up.
    #[must_use]
    pub const fn pages_for(&self, bytes: u64) -> u64 {
        bytes.div_ceil(self.page_size() as u64)
    }

    /// The most pages a file can have: what the free map can describe, below 2^48 bytes.
    #[must_use]
    pub fn max_pages(&self) -> u64 {
        self.pages_under(MAP_LEVELS)
    }

    /// Pages that a free map of so many levels above the bits describes, at most those that a file can have. They are in
    /// fewer than 2^28 groups.
    pub(crate) fn pages_under(&self, levels: u32) -> u64 {
        let mut pages = self.group_pages();
        for _ in 0..levels.min(MAP_LEVELS) {
            pages = times(pages, self.map_fanout());
        }
        pages.min((1 << 48) / self.page_size() as u64)
    }

    /// Byte offset of page `page`.
    #[must_use]
    #[cfg_attr(not(feature = "alloc"), inline(never))]
    pub const fn offset(&self, page: u64) -> u64 {
        times(page, self.page_size() as u64)
    }

    /// Number of groups that a file of `pages` pages has.
    pub(crate) const fn groups(&self, pages: u64) -> u32 {
        pieces(pages.saturating_sub(self.first_group()), self.group_pages()) as u32
    }

    /// First page of group `group`.
    #[cfg_attr(not(feature = "alloc"), inline(never))]
    pub(crate) const fn group_start(&self, group: u32) -> u64 {
        self.first_group() + group as u64 * self.group_pages()
    }

    /// The group that page `page` of the file lies in; the page must lie behind the journal.
    pub(crate) const fn group_of(&self, page: u64) -> u32 {
        divided(page - self.first_group(), self.group_pages()).0 as u32
    }

    /// Pages at the start of group `group` that hold map slots: two for its bits and two more for
    /// each level whose page begins with this group.
    #[cfg_attr(not(feature = "alloc"), inline(never))]
    pub(crate) const fn reserved(&self, group: u32) -> u64 {
        let (mut levels, mut index) = (1, group);
        while levels <= MAP_LEVELS && self.map_place(index) == 0 {
            levels += 1;
            index = self.map_above(index, 1);
        }
        2 * levels as u64
    }

    /// Whether pages in use may lie there: inside one group, behind the group's map slots.
    pub(crate) fn may_hold(&self, extent: Extent) -> bool {
        if extent.start.0 < self.first_group() {
            return false;
        }
        // Of a page beyond any file this is some group, far below it.
        let group = self.group_of(extent.start.0);
        let start = self.group_start(group);
        let within = extent.start.0 - start;
        within >= self.reserved(group) && within.saturating_add(extent.pages) <= self.group_pages()
    }

    /// Pages that hold map slots in the first `groups` groups.
    pub(crate) fn reserved_in(&self, groups: u32) -> u64 {
        let (mut pages, mut sum) = (groups, 0);
        for _ in 0..=MAP_LEVELS {
            sum += 2 * u64::from(pages);
            let (above, left) = divided_short(pages, self.map_fanout() as u32);
            pages = above + (left > 0) as u32;
        }
        sum
    }

    /// Pages that hold map slots in a file of `pages` pages, which may end among the slots of its last group.
    pub(crate) fn reserved_within(&self, pages: u64) -> u64 {
        let groups = self.groups(pages);
        let last = groups.saturating_sub(1);
        let missing = (self.group_start(last) + self.reserved(last)).saturating_sub(pages);
        self.reserved_in(groups).saturating_sub(missing)
    }

    /// The map page `levels` levels above the one with number `index`.
    #[cfg_attr(not(feature = "alloc"), inline(never))]
    pub(crate) const fn map_above(&self, mut index: u32, mut levels: u32) -> u32 {
        while levels > 0 {
            index = divided_short(index, self.map_fanout() as u32).0;
            levels -= 1;
        }
        index
    }

    /// The place of map page `index` among the children of the one above it.
    #[cfg_attr(not(feature = "alloc"), inline(never))]
    pub(crate) const fn map_place(&self, index: u32) -> u32 {
        divided_short(index, self.map_fanout() as u32).1
    }

    /// Length of the journal ring in bytes, which is 1 GiB at most.
    pub(crate) const fn ring_length(&self) -> usize {
        self.journal_length as usize
    }

    /// The place in the ring of a position in the journal.
    pub(crate) const fn ring_place(&self, position: u64) -> usize {
        divided(position, self.journal_length()).1 as usize
    }

    /// Byte offset of a position in the journal.
    pub(crate) const fn ring_offset(&self, position: u64) -> u64 {
        self.journal_offset() + self.ring_place(position) as u64
    }

    /// The next multiple of the unit from a position on.
    #[cfg_attr(not(feature = "alloc"), inline(never))]
    pub(crate) const fn unit_up(&self, position: u64) -> u64 {
        self.unit_down(position + (self.unit() as u64 - 1))
    }

    /// The last multiple of the unit up to a position.
    pub(crate) const fn unit_down(&self, position: u64) -> u64 {
        position & !(self.unit() as u64 - 1)
    }

    /// Page of slot `slot` (1 or 2) of the map page `index` on level `level`.
    pub(crate) fn map_page(&self, level: u32, index: u32, slot: u32) -> u64 {
        let mut group = index;
        for _ in 0..level {
            group = group.saturating_mul(self.map_fanout() as u32);
        }
        self.group_start(group) + u64::from(2 * level) + u64::from(slot) - 1
    }
}

//! How a store divides the memory it is handed.

use crate::format::Geometry;
use crate::freemap::{MAX_WINDOWS, MIN_WINDOWS};
use crate::tree::MAX_HEIGHT;

/// How much memory a store works with. The caller hands over one buffer of
/// [`Memory::bytes`] bytes; nothing else is ever allocated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Memory {
    /// Levels that the registry tree may have, 2 at least. A tree of `n` levels of 4 KiB pages and
    /// 16-byte names holds about 45 · 70^(n-1) blocks. Once the tree has all these levels only
    /// deletions are taken; when it might come to that, checkpoints come after fewer changes. At most 24; 8
    /// without the feature `alloc`.
    pub levels: usize,
    /// Pages of the free map kept, 3 at least, which does for files of 1.9 MB with pages of 512 bytes; 6 do
    /// for files of 75 TB with pages of 4 KiB and of 1.9 GB with pages of 512 bytes; ten times as much wants
    /// one more. At most 128; 8 without the feature `alloc`.
    pub map_pages: usize,
    /// Bytes in which journal records are composed, and as many in which values are moved; at least
    /// two pages each.
    pub staging: usize,
}

impl Memory {
    /// For the smallest: 20 pages, which is 10 KiB with pages of 512 bytes. The registry holds some 70 blocks
    /// of names and values of 16 bytes then, and the file has 1.9 MB.
    pub const TINY: Self = Self { levels: 3, map_pages: MIN_WINDOWS, staging: 0 };
    /// For microcontrollers: 26 pages. With pages of 512 bytes the registry holds some 380 such blocks, with pages
    /// of 4 KiB some 200,000.
    pub const SMALL: Self = Self { levels: 4, map_pages: 6, staging: 0 };
    /// For hosts, with the feature `alloc`.
    pub const LARGE: Self = Self { levels: 12, map_pages: 64, staging: 256 << 10 };

    /// Bytes of the buffer for pages of `page_size` bytes.
    #[must_use]
    pub const fn bytes(&self, page_size: usize) -> usize {
        self.pages() * page_size + 2 * self.staging_bytes(page_size)
    }

    /// Pages besides the staging buffer: three a level, the map's, one to compose a node in, one for
    /// a block's bytes, and names in two.
    const fn pages(&self) -> usize {
        3 * self.levels + self.map_pages + 4
    }

    pub(crate) const fn staging_bytes(&self, page_size: usize) -> usize {
        match self.staging.checked_div(page_size) {
            Some(pages @ 2..) => pages * page_size,
            _ => 2 * page_size,
        }
    }

    /// The most pages a file can have that this free map memory can work on.
    pub(crate) fn max_pages(&self, geometry: &Geometry) -> u64 {
        let levels = self.map_pages.saturating_sub(3) as u32;
        let groups = geometry.map_fanout().saturating_pow(levels);
        geometry.max_pages().min(groups.saturating_mul(geometry.group_pages()))
    }

    /// Whether the numbers can work at all.
    pub(crate) const fn is_possible(&self) -> bool {
        self.levels >= 2
            && self.levels <= MAX_HEIGHT
            && self.map_pages >= MIN_WINDOWS
            && self.map_pages <= MAX_WINDOWS
    }
}

/// The parts of the buffer.
pub(crate) struct Space<'a> {
    /// Two pages a level: cells of new nodes.
    pub(crate) levels: &'a mut [u8],
    /// One page a level: the old tree's path.
    pub(crate) inputs: &'a mut [u8],
    /// Pages of the free map.
    pub(crate) windows: &'a mut [u8],
    /// Journal records; its start holds the journal's unfinished unit between commits.
    pub(crate) staging: &'a mut [u8],
    /// Values on their way.
    pub(crate) transfer: &'a mut [u8],
    /// A page to compose a node in; also the page that reads go through.
    pub(crate) page: &'a mut [u8],
    /// A page for a block's bytes.
    pub(crate) body: &'a mut [u8],
    /// Names and bounds of a fold.
    pub(crate) names: [&'a mut [u8]; 4],
}

/// Divides `buffer`; None if it is too small.
pub(crate) fn divide<'a>(buffer: &'a mut [u8], memory: &Memory, geometry: &Geometry) -> Option<Space<'a>> {
    let size = geometry.page_size();
    if !memory.is_possible() || buffer.len() < memory.bytes(size) {
        return None;
    }
    let (levels, rest) = buffer.split_at_mut_checked(2 * memory.levels * size)?;
    let (inputs, rest) = rest.split_at_mut_checked(memory.levels * size)?;
    let (windows, rest) = rest.split_at_mut_checked(memory.map_pages * size)?;
    let (staging, rest) = rest.split_at_mut_checked(memory.staging_bytes(size))?;
    let (transfer, rest) = rest.split_at_mut_checked(memory.staging_bytes(size))?;
    let (page, rest) = rest.split_at_mut_checked(size)?;
    let (body, rest) = rest.split_at_mut_checked(size)?;
    // A name is at most an eighth of a page.
    let (a, rest) = rest.split_at_mut_checked(size / 8)?;
    let (b, rest) = rest.split_at_mut_checked(size / 8)?;
    let (c, rest) = rest.split_at_mut_checked(size / 8)?;
    let (d, _) = rest.split_at_mut_checked(size / 8)?;
    Some(Space { levels, inputs, windows, staging, transfer, page, body, names: [a, b, c, d] })
}

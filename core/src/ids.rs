//! Newtypes for the three kinds of number that must never be mixed up.

use core::fmt;

/// Index of a page in the file; page `n` starts at byte `n * page_size`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct PageIndex(pub u64);

/// Number of a commit. The first commit of a file is 1; 0 is the empty store.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Sequence(pub u64);

/// A run of consecutive pages.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Extent {
    /// First page of the run.
    pub start: PageIndex,
    /// Number of pages.
    pub pages: u64,
}

impl Extent {
    /// The run of `pages` pages that starts at `start`.
    #[must_use]
    pub const fn new(start: PageIndex, pages: u64) -> Self {
        Self { start, pages }
    }

    /// The page after the last one; saturates, so that hostile numbers cannot wrap.
    #[must_use]
    pub const fn end(self) -> u64 {
        self.start.0.saturating_add(self.pages)
    }

    /// Whether the two runs share a page.
    #[must_use]
    pub const fn overlaps(self, other: Self) -> bool {
        self.start.0 < other.end() && other.start.0 < self.end()
    }
}

impl fmt::Display for PageIndex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Display for Sequence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

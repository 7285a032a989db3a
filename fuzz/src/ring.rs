//! The journal's ring inside an image: positions only grow, places go round.

use blockyard_core::format::Geometry;
use std::ops::Range;

/// Where a ring lies.
#[derive(Clone, Copy, Debug)]
pub struct Ring {
    start: usize,
    length: u64,
}

impl Ring {
    /// The ring of a file of these sizes.
    #[must_use]
    pub const fn new(geometry: &Geometry) -> Self {
        Self { start: geometry.journal_offset() as usize, length: geometry.journal_length() }
    }

    /// The places of `length` bytes: up to the ring's end, and from its start on.
    fn places(self, position: u64, length: usize) -> [Range<usize>; 2] {
        let (within, ring) = ((position % self.length) as usize, self.length as usize);
        let first = length.min(ring - within);
        let from = self.start + within;
        [from..from + first, self.start..self.start + (length - first).min(ring)]
    }

    /// The bytes at a position, at most once round; None if the image ends before.
    #[must_use]
    pub fn read(self, image: &[u8], position: u64, length: u64) -> Option<Vec<u8>> {
        let [first, second] = self.places(position, length.min(self.length) as usize);
        Some([image.get(first)?, image.get(second)?].concat())
    }

    /// Puts bytes at a position; None if the image ends before or they go round more than once.
    pub fn write(self, image: &mut [u8], position: u64, bytes: &[u8]) -> Option<()> {
        let [first, second] = self.places(position, bytes.len());
        let (head, tail) = bytes.split_at_checked(first.len())?;
        let tail = tail.get(..second.len())?;
        image.get_mut(first)?.copy_from_slice(head);
        image.get_mut(second)?.copy_from_slice(tail);
        Some(())
    }
}

//! The pieces of memory that a table's names and bodies lie in, looked at without its lock.
//!
//! 1. A piece is put in its place once, by whoever holds the table's lock, before its number is given out. It stays
//!    there as long as anybody has the list: what is read by its number needs no count of its own.
//! 2. Places are made in segments of twice the length of the last one, and none is moved.

use std::num::NonZeroU32;
use std::sync::{Arc, OnceLock};

/// Places of the first segment.
const FIRST: usize = 32;

/// Segments: they have places for all numbers that there are.
const SEGMENTS: usize = 27;

/// Segments whose places are kept for the next table: 480 places.
const SPARE: usize = 4;

type Slot = OnceLock<Arc<[u8]>>;

/// Pieces in the order in which they came.
#[derive(Debug, Default)]
pub(super) struct List {
    segments: [OnceLock<Box<[Slot]>>; SEGMENTS],
}

impl List {
    /// The segment of a place, and where in it.
    const fn place(index: usize) -> (usize, usize) {
        let from = index + FIRST;
        let segment = (from / FIRST).ilog2() as usize;
        (segment, from - (FIRST << segment))
    }

    fn get(&self, index: usize) -> Option<&Arc<[u8]>> {
        let (segment, at) = Self::place(index);
        self.segments[segment].get()?[at].get()
    }

    /// Puts a piece in the place behind the last one.
    pub(super) fn set(&self, index: usize, piece: Arc<[u8]>) {
        let (segment, at) = Self::place(index);
        let fresh = || std::iter::repeat_with(Slot::new).take(FIRST << segment).collect();
        let set = self.segments[segment].get_or_init(fresh)[at].set(piece);
        debug_assert!(set.is_ok(), "each place is taken once");
    }

    /// Hands all pieces to `take`, and keeps some places.
    pub(super) fn clear(&mut self, take: impl Fn(Arc<[u8]>)) {
        for (number, segment) in self.segments.iter_mut().enumerate() {
            segment.get_mut().into_iter().flatten().filter_map(Slot::take).for_each(&take);
            if number >= SPARE {
                segment.take();
            }
        }
    }
}

/// Which piece of memory: one of a batch that lent it, or one of a version alone. In 32 bits, of which none are left for
/// "no piece", so that an optional one takes no more.
#[derive(Clone, Copy, Debug)]
pub(super) struct Piece(NonZeroU32);

impl Piece {
    /// The piece at a place of its list. A table holds far fewer than 2^31: each has a change of its own, for which the
    /// journal has a header.
    pub(super) const fn at(index: usize, lent: bool) -> Self {
        Self(NonZeroU32::MIN.saturating_add((index as u32) << 1 | lent as u32))
    }
}

/// All pieces of a table.
#[derive(Debug, Default)]
pub(crate) struct Pieces {
    pub(super) lent: List,
    pub(super) own: List,
}

impl Pieces {
    /// A piece, by a number that was given out.
    pub(super) fn piece(&self, piece: Piece) -> &Arc<[u8]> {
        let number = piece.0.get() - 1;
        let list = if number % 2 == 1 { &self.lent } else { &self.own };
        let Some(piece) = list.get(number as usize / 2) else {
            unreachable!("a piece is put in its place before its number is given out")
        };
        piece
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_follow_each_other() {
        let mut next = (0, 0);
        for index in 0..100_000 {
            assert_eq!(List::place(index), next, "place {index}");
            next.1 += 1;
            if next.1 == FIRST << next.0 {
                next = (next.0 + 1, 0);
            }
        }
        assert!(List::place(u32::MAX as usize / 2).0 < SEGMENTS);
    }

    #[test]
    fn what_is_cleared_is_handed_over_and_leaves_few_places() {
        let mut list = List::default();
        for round in 0..2 {
            (0..2000).for_each(|index| list.set(index, Arc::from([index as u8; 2])));
            assert!((0..2000).all(|index| list.get(index).is_some_and(|piece| piece[0] == index as u8)));
            assert!(list.get(2000).is_none(), "round {round}");
            let taken = std::cell::Cell::new(0);
            list.clear(|_| taken.set(taken.get() + 1));
            assert_eq!(taken.get(), 2000);
            assert!((0..2000).all(|index| list.get(index).is_none()));
            let places = list.segments.iter().filter_map(OnceLock::get).map(|segment| segment.len());
            assert_eq!(places.sum::<usize>(), 480);
        }
    }
}

//! Memory of single changes, kept by length from one table for another: that the system gives a page for each of them
//! anew takes longer than to write a change into it.

use parking_lot::Mutex;
use std::sync::Arc;

/// The longest piece that is kept: of longer ones the copy is most of what they cost. A durable value that the journal carries has
/// room, with its name.
const LONGEST: usize = 128 << 10;

/// The shortest.
const SHORTEST: usize = 16;

/// Lengths from one power of two to the next: a piece is a sixteenth longer than it need be at most.
const STEPS: usize = 16;

/// Bytes that a piece takes besides its own: its counts, the heap's, and its place in a list.
const BESIDES: usize = 48;

/// All lengths.
const CLASSES: usize = STEPS * (LONGEST / SHORTEST).ilog2() as usize + 1;

/// Pieces that nobody else holds.
#[derive(Debug, Default)]
pub(crate) struct Recycled {
    most: usize,
    kept: Mutex<Kept>,
}

#[derive(Debug, Default)]
struct Kept {
    /// None before the first piece came.
    classes: Vec<Class>,
    bytes: usize,
    takes: u64,
    /// The class that was wanted longest ago of those that have pieces, as of so many takes.
    least: Option<(u64, usize)>,
}

/// Pieces of one length.
#[derive(Clone, Debug, Default)]
struct Class {
    pieces: Vec<Arc<[u8]>>,
    /// The number of the last attempt to take one.
    wanted: u64,
}

/// The class of pieces for `length` bytes, and their length; None if such are not kept.
const fn class(length: usize) -> Option<(usize, usize)> {
    if length > LONGEST {
        return None;
    }
    let length = if length < SHORTEST { SHORTEST } else { length };
    let power = length.ilog2();
    let step = (1 << power) / STEPS;
    let steps = (length - (1 << power)).div_ceil(step);
    Some(((power - SHORTEST.ilog2()) as usize * STEPS + steps, (1 << power) + steps * step))
}

impl Recycled {
    /// Keeps so many bytes at most.
    pub(crate) const fn new(most: usize) -> Self {
        let kept = Kept { classes: Vec::new(), bytes: 0, takes: 0, least: None };
        Self { most, kept: Mutex::new(kept) }
    }

    /// A piece with room for `length` bytes.
    pub(crate) fn take(&self, length: usize) -> Arc<[u8]> {
        let Some((number, rounded)) = class(length) else { return fresh(length) };
        let piece = self.kept.lock().take(number);
        piece.unwrap_or_else(|| fresh(rounded))
    }

    /// Keeps a piece, unless somebody else holds it; those of a length that is not asked for any more make way.
    pub(crate) fn give(&self, mut piece: Arc<[u8]>) {
        let Some((number, length)) = class(piece.len()) else { return };
        if length == piece.len() && length + BESIDES <= self.most && Arc::get_mut(&mut piece).is_some() {
            // What is refused goes back to the heap without the lock.
            let refused = self.kept.lock().give(number, piece, self.most);
            drop(refused);
        }
    }
}

fn fresh(length: usize) -> Arc<[u8]> {
    std::iter::repeat_n(0, length).collect()
}

impl Kept {
    fn take(&mut self, number: usize) -> Option<Arc<[u8]>> {
        self.takes += 1;
        let class = self.classes.get_mut(number)?;
        class.wanted = self.takes;
        let piece = class.pieces.pop()?;
        self.bytes -= piece.len() + BESIDES;
        Some(piece)
    }

    /// Keeps a piece, or hands it back.
    fn give(&mut self, number: usize, piece: Arc<[u8]>, most: usize) -> Option<Arc<[u8]>> {
        if self.classes.is_empty() {
            self.classes.resize(CLASSES, Class::default());
        }
        let bytes = piece.len() + BESIDES;
        while self.bytes + bytes > most {
            let Some(least) = self.least().filter(|least| *least != number) else { return Some(piece) };
            let pieces = &mut self.classes[least].pieces;
            self.bytes -= pieces.pop().map_or(0, |piece| piece.len() + BESIDES);
            if pieces.is_empty() {
                *pieces = Vec::new();
            }
        }
        self.bytes += bytes;
        let pieces = &mut self.classes[number].pieces;
        if pieces.is_empty() {
            self.least = None;
        }
        pieces.push(piece);
        None
    }

    /// The class that was wanted longest ago of those that have pieces. Looked for once as long as nothing is taken: whole tables
    /// are given while commits wait.
    fn least(&mut self) -> Option<usize> {
        let known = self
            .least
            .filter(|(takes, class)| *takes == self.takes && !self.classes[*class].pieces.is_empty());
        if known.is_none() {
            let held = self.classes.iter().enumerate().filter(|(_, class)| !class.pieces.is_empty());
            let least = held.min_by_key(|(_, class)| class.wanted);
            self.least = least.map(|(class, _)| (self.takes, class));
        }
        self.least.map(|(_, class)| class)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes_follow_each_other_and_waste_little() {
        let mut last = 0;
        for length in 0..=LONGEST {
            let (number, rounded) = class(length).expect("short enough");
            assert!(number < CLASSES && (last..=last + 1).contains(&number), "{length}: {number}");
            assert!(
                rounded >= length && rounded <= (length + length / 16).max(SHORTEST),
                "{length}: {rounded}"
            );
            assert_eq!(class(rounded), Some((number, rounded)), "{length}");
            last = number;
        }
        assert_eq!(class(LONGEST + 1), None);
    }

    #[test]
    fn what_is_kept_serves_the_next_and_no_more_is_kept_than_may_be() {
        let recycled = Recycled::new(10_000 + 5 * BESIDES);
        let held = || {
            let kept = recycled.kept.lock();
            let pieces = kept.classes.iter().flat_map(|class| &class.pieces);
            let (count, bytes) =
                pieces.fold((0, 0), |(count, bytes), piece| (count + 1, bytes + piece.len()));
            assert_eq!(kept.bytes, bytes + count * BESIDES);
            bytes
        };
        let piece = recycled.take(4100);
        let place = piece.as_ptr();
        recycled.give(Arc::clone(&piece));
        assert_eq!(held(), 0, "somebody holds it");
        recycled.give(piece);
        let again = recycled.take(4352);
        assert_eq!((again.as_ptr(), again.len(), held()), (place, 4352, 0));
        (0..9).for_each(|_| recycled.give(Arc::from([0; 4096])));
        assert_eq!(held(), 8192);
        [4097, LONGEST + 1].into_iter().for_each(|length| recycled.give(fresh(length)));
        assert_eq!(held(), 8192, "of no class, or too long");
        // Changes have another length from now on.
        drop(recycled.take(2000));
        (0..9).for_each(|_| recycled.give(Arc::from([0; 2048])));
        assert_eq!(held(), 4 * 2048);
        assert_eq!(recycled.take(4096).len(), 4096);
        recycled.give(again);
        assert_eq!(held(), 2 * 2048 + 4352);
        assert_eq!(Recycled::default().take(150_000).len(), 150_000);
    }

    #[test]
    fn who_may_keep_nothing_keeps_nothing() {
        let recycled = Recycled::default();
        recycled.give(Arc::from([0; 32]));
        assert_eq!(recycled.kept.lock().bytes, 0);
    }
}

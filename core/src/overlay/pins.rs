//! Extents that old readers may still see.
//!
//! 1. Readers hold generations. A checkpoint ends the one that is current and begins the next.
//! 2. What a checkpoint freed is held until nobody is left who holds the generation that it ended, or
//!    an older one.
//! 3. What was retired while a checkpoint was under way may be of commits that it does not fold in:
//!    readers of the generation that it begins may see that too, so it counts as freed by the next.
//! 4. Once an extent is no longer found here, whatever its readers did happened before.
//! 5. A checkpoint that is refused and tried again frees the same extents again: what is retired takes up no more memory
//!    than twice what it comes to when it is joined.

use crate::ids::Extent;
// Where there is no compare-and-swap, there is no module of locks either.
#[cfg(not(any(target_has_atomic = "ptr", feature = "portable-atomic")))]
use core::sync::atomic::{Ordering, fence};

#[cfg(any(target_has_atomic = "ptr", feature = "portable-atomic"))]
use crate::sync::atomic::{Ordering, fence};
use alloc::collections::VecDeque;
use alloc::vec::Vec;

/// Extents that are worth joining.
const WORTH_JOINING: usize = 512;

/// What readers hold on to while they see the state between two checkpoints.
pub trait Generation {
    /// How many hold it, but for this handle. Read after the generation was ended, when no new holder
    /// can come but from one that is there; whoever lets go does so with release ordering.
    fn holders(&self) -> usize;
}

#[cfg(target_has_atomic = "ptr")]
impl<T> Generation for alloc::sync::Weak<T> {
    fn holders(&self) -> usize {
        self.strong_count()
    }
}

/// The extents that were freed, and the generations that keep them from being handed out again.
#[derive(Debug)]
pub struct Pins<G> {
    /// What no view newer than the current one needs.
    retired: Vec<Extent>,
    /// How much of that was known when the checkpoint under way began.
    known: usize,
    /// How much of it was left when it was joined last.
    joined: usize,
    /// By checkpoint: the generation it ended, and what it freed, sorted.
    held: VecDeque<(G, Vec<Extent>)>,
}

impl<G> Default for Pins<G> {
    fn default() -> Self {
        Self { retired: Vec::new(), known: 0, joined: 0, held: VecDeque::new() }
    }
}

impl<G: Generation> Pins<G> {
    /// No view newer than the current one refers to `extent`.
    pub fn retire(&mut self, extent: Extent) {
        self.retired.push(extent);
        if self.retired.len() >= 2 * self.joined.max(WORTH_JOINING) {
            self.join();
        }
    }

    /// Joins what is retired, what was known when the checkpoint began and the rest each for itself.
    #[cold]
    fn join(&mut self) {
        let later = joined(self.retired.split_off(self.known));
        self.retired = joined(core::mem::take(&mut self.retired));
        self.known = self.retired.len();
        self.retired.extend(later);
        self.joined = self.retired.len();
    }

    /// A checkpoint has begun: what is retired from here on it does not free.
    pub fn begin(&mut self) {
        self.known = self.retired.len();
    }

    /// The checkpoint has ended the generation `ended`: new readers get another one already.
    pub fn turn(&mut self, ended: G) {
        let later = self.retired.get(self.known..).unwrap_or_default().to_vec();
        self.joined = later.len();
        let freed = joined(core::mem::replace(&mut self.retired, later));
        self.held.push_back((ended, freed));
        self.release();
    }

    /// The first part of `run` that a reader may still see.
    pub fn find(&mut self, run: Extent) -> Option<Extent> {
        self.release();
        let overlap = |freed: &Vec<Extent>| {
            let at = freed.partition_point(|extent| extent.end() <= run.start.0);
            freed.get(at).copied().filter(|extent| extent.overlaps(run))
        };
        self.held.iter().filter_map(|(_, freed)| overlap(freed)).min()
    }

    /// Forgets what no reader holds any more. An older reader sees what younger checkpoints freed, so
    /// the oldest goes first.
    fn release(&mut self) {
        while self.held.front().is_some_and(|(generation, _)| generation.holders() == 0) {
            // The count may have been read without ordering (`Weak::strong_count` does so): what the
            // readers did must lie before what is now written over.
            fence(Ordering::Acquire);
            self.held.pop_front();
        }
    }
}

/// The runs in order, with those that meet made one: what a commit that failed had retired may lie
/// across what others did.
fn joined(mut runs: Vec<Extent>) -> Vec<Extent> {
    runs.sort_unstable();
    runs.dedup_by(|next, run| {
        let meets = next.start.0 <= run.end();
        if meets {
            run.pages = next.end().max(run.end()) - run.start.0;
        }
        meets
    });
    runs
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use crate::ids::PageIndex;
    use alloc::vec;

    /// As many hold it as it says.
    struct Holders(usize);

    impl Generation for Holders {
        fn holders(&self) -> usize {
            self.0
        }
    }

    fn extent(page: u64) -> Extent {
        Extent::new(PageIndex(page), 2)
    }

    /// A checkpoint that cannot be made, for want of room or because a page is damaged, was tried again each second, and
    /// each time what it had freed so far was kept once more, without end.
    #[test]
    fn a_checkpoint_that_is_tried_again_and_again_keeps_what_it_frees_once() {
        let mut pins = Pins::<Holders>::default();
        (0..700).for_each(|page| pins.retire(extent(3 * page)));
        pins.begin();
        for _ in 0..500 {
            (1000..2000).for_each(|page| pins.retire(extent(3 * page)));
            assert!(pins.retired.len() <= 2 * (700 + 1000) + 1000, "{} are kept", pins.retired.len());
        }
        // Those that go out with a layer that is given up are of the time before the next checkpoint begins.
        for _ in 0..500 {
            pins.begin();
            (1000..2000).for_each(|page| pins.retire(extent(3 * page)));
        }
        assert!(pins.retired.len() <= 2 * 2 * (700 + 1000), "{} are kept", pins.retired.len());
    }

    /// What is known when a checkpoint begins is let go with it, what comes later with the next, joined or not.
    #[test]
    fn what_is_joined_is_held_as_long() {
        for before in [0, 3, WORTH_JOINING as u64, 5000] {
            for later in [0, 3, WORTH_JOINING as u64, 5000] {
                let mut pins = Pins::<Holders>::default();
                let all = |from: u64, count: u64| (from..from + count).map(|page| extent(3 * page));
                all(0, before).for_each(|extent| pins.retire(extent));
                pins.begin();
                for _ in 0..3 {
                    all(10_000, later).for_each(|extent| pins.retire(extent));
                }
                pins.turn(Holders(1));
                let held = |pins: &mut Pins<_>, extents: &mut dyn Iterator<Item = Extent>| {
                    extents.map(|extent| pins.find(extent) == Some(extent)).collect::<Vec<_>>()
                };
                assert_eq!(held(&mut pins, &mut all(0, before)), vec![true; before as usize]);
                assert_eq!(held(&mut pins, &mut all(10_000, later)), vec![true; later as usize]);
                pins.begin();
                pins.held.iter_mut().for_each(|(generation, _)| generation.0 = 0);
                pins.turn(Holders(1));
                assert_eq!(held(&mut pins, &mut all(0, before)), vec![false; before as usize]);
                assert_eq!(held(&mut pins, &mut all(10_000, later)), vec![true; later as usize]);
                pins.held.iter_mut().for_each(|(generation, _)| generation.0 = 0);
                assert_eq!(pins.find(Extent::new(PageIndex(0), 1 << 40)), None);
                pins.begin();
                pins.turn(Holders(1));
                assert_eq!(held(&mut pins, &mut all(10_000, later)), vec![false; later as usize]);
            }
        }
    }
}

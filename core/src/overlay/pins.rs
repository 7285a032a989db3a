//! Extents that old readers may still see.
//!
//! 1. Readers hold generations. A checkpoint ends the one that is current and begins the next.
//! 2. What a checkpoint freed is held until nobody is left who holds the generation that it ended, or
//!    an older one.
//! 3. What was retired while a checkpoint was under way may be of commits that it does not fold in:
//!    readers of the generation that it begins may see that too, so it counts as freed by the next.
//! 4. Once an extent is no longer found here, whatever its readers did happened before.

use crate::ids::Extent;
// Where there is no compare-and-swap, there is no module of locks either.
#[cfg(not(any(target_has_atomic = "ptr", feature = "portable-atomic")))]
use core::sync::atomic::{Ordering, fence};

#[cfg(any(target_has_atomic = "ptr", feature = "portable-atomic"))]
use crate::sync::atomic::{Ordering, fence};
use alloc::collections::VecDeque;
use alloc::vec::Vec;

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
    /// By checkpoint: the generation it ended, and what it freed, sorted.
    held: VecDeque<(G, Vec<Extent>)>,
}

impl<G> Default for Pins<G> {
    fn default() -> Self {
        Self { retired: Vec::new(), known: 0, held: VecDeque::new() }
    }
}

impl<G: Generation> Pins<G> {
    /// No view newer than the current one refers to `extent`.
    pub fn retire(&mut self, extent: Extent) {
        self.retired.push(extent);
    }

    /// A checkpoint has begun: what is retired from here on it does not free.
    pub fn begin(&mut self) {
        self.known = self.retired.len();
    }

    /// The checkpoint has ended the generation `ended`: new readers get another one already.
    pub fn turn(&mut self, ended: G) {
        let later = self.retired.get(self.known..).unwrap_or_default().to_vec();
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

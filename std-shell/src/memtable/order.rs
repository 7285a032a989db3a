//! The order of a table's versions.
//!
//! Sorted leaves of fixed capacity have their numbers, and beside them the heads of their names: a search touches little
//! memory and looks at a version only where those are equal. An insert moves part of one leaf, some 700 bytes, and one time
//! in thirty splits it. Leaves come from an earlier table.

use super::version::{Number, head};
use super::{SPARE, Versions, keep};
use std::cmp::Ordering;

/// Versions of a leaf.
const LEAF: usize = 64;

/// The numbers of versions in order, and the heads of their names.
#[derive(Debug, Default)]
struct Leaf {
    heads: Vec<u128>,
    numbers: Vec<Number>,
}

impl Leaf {
    fn with_room() -> Self {
        Self { heads: Vec::with_capacity(LEAF), numbers: Vec::with_capacity(LEAF) }
    }

    fn clear(&mut self) {
        self.heads.clear();
        self.numbers.clear();
    }

    const fn len(&self) -> usize {
        self.numbers.len()
    }

    /// The number of versions that `below` calls lower than what is looked for, whose name's head is `head`.
    fn place(&self, head: u128, below: impl Fn(Number) -> bool) -> usize {
        let start = self.heads.partition_point(|other| *other < head);
        let same = self.heads[start..].partition_point(|other| *other == head);
        start + self.numbers[start..start + same].partition_point(|number| below(*number))
    }

    fn take_from(&mut self, other: &mut Self, cut: usize) {
        self.heads.extend(other.heads.drain(cut..));
        self.numbers.extend(other.numbers.drain(cut..));
    }
}

/// A place in the order; it may be the end of the last leaf.
#[derive(Clone, Copy, Debug)]
pub(super) struct Spot {
    leaf: usize,
    at: usize,
}

impl Spot {
    pub(super) const FIRST: Self = Self { leaf: 0, at: 0 };
}

/// The versions in order, as far as they were put into it.
#[derive(Debug, Default)]
pub(super) struct Order {
    leaves: Vec<Leaf>,
    /// The head of each leaf's last version, together for the search.
    lasts: Vec<u128>,
    spare: Vec<Leaf>,
}

impl Order {
    /// The place of the first version not below (name, sequence).
    pub(super) fn seek(&self, name: &[u8], sequence: u64, versions: &Versions) -> Spot {
        self.place(name, |number| {
            let version = versions.get(number);
            let order = version.order_behind_head(name, &versions.memory);
            order.then_with(|| sequence.cmp(&version.sequence)).is_lt()
        })
    }

    /// The place behind all versions of `name`, whatever sequences a file may claim for them.
    pub(super) fn behind(&self, name: &[u8], versions: &Versions) -> Spot {
        self.place(name, |number| versions.get(number).order_behind_head(name, &versions.memory).is_le())
    }

    /// The first place of which `below` does not hold, which is asked of versions with the head of `name`.
    fn place(&self, name: &[u8], below: impl Fn(Number) -> bool) -> Spot {
        let head = head(name);
        let start = self.lasts.partition_point(|last| *last < head);
        let same = self.lasts[start..].partition_point(|last| *last == head);
        let ends_below = |leaf: &Leaf| leaf.numbers.last().is_some_and(|last| below(*last));
        let leaf = start + self.leaves[start..start + same].partition_point(ends_below);
        let at = self.leaves.get(leaf).map_or(0, |leaf| leaf.place(head, below));
        Spot { leaf, at }
    }

    /// Puts a version into its place; another one of the same name and sequence is not there.
    pub(super) fn insert(&mut self, number: Number, versions: &Versions) {
        let version = versions.get(number);
        let Spot { mut leaf, mut at } = self.seek(version.name(&versions.memory), version.sequence, versions);
        if leaf == self.leaves.len() {
            match self.leaves.last() {
                None => {
                    self.leaves.push(self.spare.pop().unwrap_or_else(Leaf::with_room));
                    self.lasts.push(0);
                }
                Some(last) => at = last.len(),
            }
            leaf = self.leaves.len() - 1;
        }
        if self.leaves[leaf].len() == LEAF {
            // Ascending names fill leaves; others split them in the middle.
            let cut = if at == LEAF && leaf + 1 == self.leaves.len() { LEAF } else { LEAF / 2 };
            let mut right = self.spare.pop().unwrap_or_else(Leaf::with_room);
            right.take_from(&mut self.leaves[leaf], cut);
            self.leaves.insert(leaf + 1, right);
            self.lasts.insert(leaf + 1, self.lasts[leaf]);
            self.note_last(leaf);
            if at >= cut {
                (leaf, at) = (leaf + 1, at - cut);
            }
        }
        self.leaves[leaf].heads.insert(at, version.head());
        self.leaves[leaf].numbers.insert(at, number);
        self.note_last(leaf);
    }

    fn note_last(&mut self, leaf: usize) {
        self.lasts[leaf] = self.leaves[leaf].heads.last().copied().unwrap_or_default();
    }

    /// What lies at a place.
    pub(super) fn at(&self, spot: Spot) -> Option<Number> {
        self.leaves.get(spot.leaf)?.numbers.get(spot.at).copied()
    }

    /// The place behind one at which something lies.
    pub(super) fn after(&self, Spot { leaf, at }: Spot) -> Spot {
        let more = self.leaves.get(leaf).is_some_and(|leaf| at + 1 < leaf.len());
        if more { Spot { leaf, at: at + 1 } } else { Spot { leaf: leaf + 1, at: 0 } }
    }

    /// What lies so many places behind one, if that is in its leaf or in the next.
    pub(super) fn ahead(&self, Spot { leaf, at }: Spot, by: usize) -> Option<Number> {
        let here = &self.leaves.get(leaf)?.numbers;
        let next = || self.leaves.get(leaf + 1)?.numbers.get((at + by).checked_sub(here.len())?);
        here.get(at + by).or_else(next).copied()
    }

    /// What lies at a place and behind it, in order.
    pub(super) fn from(&self, spot: Spot) -> impl Iterator<Item = Number> {
        let Spot { leaf, at } = spot;
        let (first, rest) = self.leaves[leaf.min(self.leaves.len())..].split_first().unzip();
        let first = first.map_or(&[][..], |leaf| leaf.numbers.get(at..).unwrap_or_default());
        let rest = rest.unwrap_or_default().iter().flat_map(|leaf| &leaf.numbers);
        first.iter().chain(rest).copied()
    }

    /// What lies before a place, or all, from the last one down.
    pub(super) fn before(&self, spot: Option<Spot>) -> impl Iterator<Item = Number> {
        let Spot { leaf, at } = spot.unwrap_or(Spot { leaf: self.leaves.len(), at: 0 });
        let (rest, last) = self.leaves.split_at(leaf.min(self.leaves.len()));
        let last = last.first().map_or(&[][..], |leaf| leaf.numbers.get(..at).unwrap_or_default());
        let rest = rest.iter().rev().flat_map(|leaf| leaf.numbers.iter().rev());
        last.iter().rev().chain(rest).copied()
    }

    /// Forgets all, and keeps some memory.
    pub(super) fn clear(&mut self) {
        keep(&mut self.leaves, &mut self.spare, Leaf::clear);
        self.lasts.clear();
        self.lasts.shrink_to(2 * SPARE);
    }

    /// Leaves that are kept for later.
    #[cfg(test)]
    pub(super) const fn spare(&self) -> usize {
        self.spare.len()
    }
}

/// Sorts versions by name and the newest first.
pub(super) fn sort(numbers: &mut [Number], versions: &Versions) {
    numbers
        .sort_unstable_by(|a, b| -> Ordering { versions.get(*a).order(versions.get(*b), &versions.memory) });
}

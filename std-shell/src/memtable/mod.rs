//! A table of committed changes, by name and version, read while it is written.
//!
//! 1. Versions of a name lie together, the newest first; a reader at sequence S takes the first one
//!    that is not above S, so what a commit inserts is unseen until its sequence is published.
//! 2. Versions lie one behind the other as they came, which moves none. Sorted leaves of fixed capacity have their
//!    numbers, and beside them the first bytes of their names: a search touches little memory and looks at a version only
//!    where those are equal. An insert moves part of one leaf, some 700 bytes, and one time in thirty splits it. Leaves
//!    and the memory of versions come from an earlier table.
//! 3. The lock is held for one look-up, one insert, or the copying of a few versions, never across I/O.
//! 4. The number of versions is told without the lock; it is raised before what was inserted is published.

mod memory;
mod version;

use crate::buffer::Pool;
use blockyard_core::overlay::Entry;
pub(crate) use memory::Lent;
use memory::Memory;
use parking_lot::RwLock;
use std::cmp::Ordering;
use std::sync::Arc;
use std::sync::atomic::{self, AtomicUsize};
use version::Version;
pub(crate) use version::{Change, ChangeKind, Slot};

/// Versions of a leaf, and of a piece of memory for them.
const LEAF: usize = 64;

/// The most leaves, 1.3 KiB each, and the most pieces of memory for versions, 7 KiB each, that are kept for the
/// tables to come.
const SPARE: usize = 512;

/// Bytes of a name that a leaf has of it.
const HEAD: usize = 16;

/// The first bytes of a name as a number that orders as they do.
fn head(name: &[u8]) -> u128 {
    let mut bytes = [0; HEAD];
    let length = name.len().min(HEAD);
    bytes[..length].copy_from_slice(&name[..length]);
    u128::from_be_bytes(bytes)
}

/// The numbers of versions in order, and the heads of their names.
#[derive(Debug, Default)]
struct Leaf {
    heads: Vec<u128>,
    versions: Vec<u32>,
}

impl Leaf {
    fn with_room() -> Self {
        Self { heads: Vec::with_capacity(LEAF), versions: Vec::with_capacity(LEAF) }
    }

    fn clear(&mut self) {
        self.heads.clear();
        self.versions.clear();
    }

    const fn len(&self) -> usize {
        self.versions.len()
    }

    /// The number of versions that `below` calls lower than what is looked for, whose name's head is `head`.
    fn place(&self, head: u128, below: impl Fn(u32) -> bool) -> usize {
        let start = self.heads.partition_point(|other| *other < head);
        let same = self.heads[start..].partition_point(|other| *other == head);
        start + self.versions[start..start + same].partition_point(|version| below(*version))
    }

    fn insert(&mut self, at: usize, head: u128, version: u32) {
        self.heads.insert(at, head);
        self.versions.insert(at, version);
    }

    fn take_from(&mut self, other: &mut Self, cut: usize) {
        self.heads.extend(other.heads.drain(cut..));
        self.versions.extend(other.versions.drain(cut..));
    }
}

/// Versions by number, in pieces of memory that are never moved.
#[derive(Debug, Default)]
struct Versions {
    pieces: Vec<Vec<Version>>,
    count: usize,
}

impl Versions {
    fn get(&self, number: u32) -> &Version {
        &self.pieces[number as usize / LEAF][number as usize % LEAF]
    }

    fn set(&mut self, number: u32, version: Version) {
        self.pieces[number as usize / LEAF][number as usize % LEAF] = version;
    }

    fn push(&mut self, version: Version, fresh: impl FnOnce() -> Vec<Version>) -> u32 {
        let number = self.count;
        if number.is_multiple_of(LEAF) {
            self.pieces.push(fresh());
        }
        self.pieces[number / LEAF].push(version);
        self.count += 1;
        number as u32
    }
}

/// How much is copied at once.
#[derive(Clone, Copy)]
pub(crate) struct Portion<'a> {
    /// Up to the first name that is not wanted.
    pub(crate) wanted: &'a dyn Fn(&[u8]) -> bool,
    /// So many names.
    pub(crate) most: usize,
}

#[derive(Debug, Default)]
struct Leaves {
    leaves: Vec<Leaf>,
    /// The head of each leaf's last version, together for the search.
    lasts: Vec<u128>,
    versions: Versions,
    memory: Memory,
    spare: Spare,
}

/// Memory of tables that are gone, for those to come.
#[derive(Debug, Default)]
pub(crate) struct Spare {
    leaves: Vec<Leaf>,
    pieces: Vec<Vec<Version>>,
    /// The lists of the last table.
    list: Vec<Leaf>,
    lasts: Vec<u128>,
    versions: Vec<Vec<Version>>,
    memory: Memory,
}

impl Spare {
    fn leaf(&mut self) -> Leaf {
        self.leaves.pop().unwrap_or_else(Leaf::with_room)
    }

    fn piece(&mut self) -> Vec<Version> {
        self.pieces.pop().unwrap_or_else(|| Vec::with_capacity(LEAF))
    }
}

/// Takes what is emptied of a list to those that are kept, as far as there is room.
fn keep<T>(list: &mut Vec<T>, kept: &mut Vec<T>, clear: impl Fn(&mut T)) {
    list.truncate(SPARE.saturating_sub(kept.len()));
    kept.extend(list.drain(..).map(|mut item| {
        clear(&mut item);
        item
    }));
    list.shrink_to(2 * SPARE);
}

/// The table.
#[derive(Debug, Default)]
pub(crate) struct Memtable {
    inner: RwLock<Leaves>,
    versions: AtomicUsize,
}

/// Where a look-up ended.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Spot {
    leaf: usize,
    at: usize,
}

impl Leaves {
    fn version(&self, number: u32) -> &Version {
        self.versions.get(number)
    }

    /// How a version's name compares with one of the same head.
    fn order_of_names(&self, version: &Version, name: &[u8]) -> Ordering {
        // Names that are shorter than the head are filled up with zeros there: a shorter one begins the longer.
        if version.name_length().min(name.len()) <= HEAD {
            version.name_length().cmp(&name.len())
        } else {
            version.name(&self.memory)[HEAD..].cmp(&name[HEAD..])
        }
    }

    /// By name, then the newest version first; the heads are the same.
    fn order(&self, version: u32, name: &[u8], sequence: u64) -> Ordering {
        let version = self.version(version);
        self.order_of_names(version, name).then_with(|| sequence.cmp(&version.sequence))
    }

    /// The leaf that holds the first version not below (name, sequence), and the place in it. The place
    /// may be the end of the last leaf.
    fn seek(&self, name: &[u8], sequence: u64) -> Spot {
        self.place(name, |version| self.order(version, name, sequence) == Ordering::Less)
    }

    /// The place behind all versions of `name`, whatever sequences a file may claim for them.
    fn behind(&self, name: &[u8]) -> Spot {
        self.place(name, |version| self.order_of_names(self.version(version), name) != Ordering::Greater)
    }

    /// The first place of which `below` does not hold, which is asked of versions with the same head.
    fn place(&self, name: &[u8], below: impl Fn(u32) -> bool) -> Spot {
        let head = head(name);
        let start = self.lasts.partition_point(|last| *last < head);
        let same = self.lasts[start..].partition_point(|last| *last == head);
        let ends_below = |leaf: &Leaf| leaf.versions.last().is_some_and(|last| below(*last));
        let leaf = start + self.leaves[start..start + same].partition_point(ends_below);
        let at = self.leaves.get(leaf).map_or(0, |leaf| leaf.place(head, below));
        Spot { leaf, at }
    }

    /// The version at a place, if it is one of `name`.
    fn named(&self, spot: Spot, name: &[u8]) -> Option<&Version> {
        let leaf = self.leaves.get(spot.leaf)?;
        let same = *leaf.heads.get(spot.at)? == head(name);
        let version = self.version(*leaf.versions.get(spot.at)?);
        (same && self.order_of_names(version, name).is_eq()).then_some(version)
    }

    fn get(&self, name: &[u8], sequence: u64) -> Option<&Version> {
        self.named(self.seek(name, sequence), name)
    }

    /// Whether (name, sequence) belongs between the two versions round a place within a leaf.
    fn fits(&self, spot: Spot, head: u128, name: &[u8], sequence: u64) -> bool {
        let Some(leaf) = self.leaves.get(spot.leaf) else { return false };
        let order = |at: usize| match leaf.heads[at].cmp(&head) {
            Ordering::Equal => self.order(leaf.versions[at], name, sequence),
            order => order,
        };
        0 < spot.at && spot.at < leaf.len() && order(spot.at - 1).is_lt() && order(spot.at).is_ge()
    }

    /// Inserts a version. `near` is where a look-up of the name ended just before.
    fn insert(&mut self, name: &[u8], version: Version, near: Option<Spot>) {
        let head = head(name);
        let near = near.filter(|near| self.fits(*near, head, name, version.sequence));
        let Spot { mut leaf, mut at } = near.unwrap_or_else(|| self.seek(name, version.sequence));
        // Another version of this commit's own sequence is replaced: the last of a batch wins.
        if self.named(Spot { leaf, at }, name).is_some_and(|same| same.sequence == version.sequence) {
            let number = self.leaves[leaf].versions[at];
            return self.versions.set(number, version);
        }
        if leaf == self.leaves.len() {
            match self.leaves.last() {
                None => {
                    self.leaves.push(self.spare.leaf());
                    self.lasts.push(0);
                }
                Some(last) => at = last.len(),
            }
            leaf = self.leaves.len() - 1;
        }
        if self.leaves[leaf].len() == LEAF {
            // Ascending names fill leaves; others split them in the middle.
            let cut = if at == LEAF && leaf + 1 == self.leaves.len() { LEAF } else { LEAF / 2 };
            let mut right = self.spare.leaf();
            right.take_from(&mut self.leaves[leaf], cut);
            self.leaves.insert(leaf + 1, right);
            self.lasts.insert(leaf + 1, self.lasts[leaf]);
            self.note_last(leaf);
            if at >= cut {
                (leaf, at) = (leaf + 1, at - cut);
            }
        }
        let number = self.versions.push(version, || self.spare.piece());
        self.leaves[leaf].insert(at, head, number);
        self.note_last(leaf);
    }

    fn note_last(&mut self, leaf: usize) {
        self.lasts[leaf] = self.leaves[leaf].heads.last().copied().unwrap_or_default();
    }

    /// The version at or behind a place.
    fn at(&self, spot: Spot) -> Option<&Version> {
        let number = match self.leaves.get(spot.leaf)?.versions.get(spot.at) {
            Some(number) => number,
            None => self.leaves.get(spot.leaf + 1)?.versions.first()?,
        };
        Some(self.version(*number))
    }
}

impl Memtable {
    /// An empty table that uses the memory of earlier ones.
    pub(crate) fn reusing(mut spare: Spare) -> Self {
        let (leaves, lasts) = (std::mem::take(&mut spare.list), std::mem::take(&mut spare.lasts));
        let versions = Versions { pieces: std::mem::take(&mut spare.versions), count: 0 };
        let memory = std::mem::take(&mut spare.memory);
        let inner = RwLock::new(Leaves { leaves, lasts, versions, memory, spare });
        Self { inner, versions: AtomicUsize::new(0) }
    }

    /// Takes the table's memory for another one, and gives that of batches to `pool`.
    pub(crate) fn into_spare(self, pool: &Pool) -> Spare {
        let Leaves { mut leaves, mut lasts, versions, mut memory, mut spare } = self.inner.into_inner();
        let mut pieces = versions.pieces;
        keep(&mut leaves, &mut spare.leaves, Leaf::clear);
        keep(&mut pieces, &mut spare.pieces, Vec::clear);
        lasts.clear();
        lasts.shrink_to(2 * SPARE);
        memory.clear(pool);
        Spare { list: leaves, lasts, versions: pieces, memory, ..spare }
    }

    /// The newest version of `name` not above `sequence`.
    pub(crate) fn get(&self, name: &[u8], sequence: u64) -> Option<Slot> {
        if self.is_empty() {
            return None;
        }
        let inner = self.inner.read();
        inner.get(name, sequence).map(|version| version.slot(&inner.memory))
    }

    /// The newest entry of `name`.
    pub(crate) fn entry(&self, name: &[u8]) -> Option<Entry> {
        self.inner.read().get(name, u64::MAX).map(Version::entry)
    }

    /// As [`entry`](Self::entry); and where the look-up ended, for an insert of that name.
    pub(crate) fn entry_and_spot(&self, name: &[u8]) -> (Option<Entry>, Spot) {
        let inner = self.inner.read();
        let spot = inner.seek(name, u64::MAX);
        (inner.named(spot, name).map(Version::entry), spot)
    }

    /// Calls `look` with the body of the version of `name` that `sequence` made.
    pub(crate) fn with_body(&self, name: &[u8], sequence: u64, look: impl FnOnce(&[u8])) -> bool {
        let inner = self.inner.read();
        let version = inner.get(name, sequence).filter(|version| version.sequence == sequence);
        version.map(|version| look(version.body(&inner.memory))).is_some()
    }

    /// Inserts a version. Its bytes are copied, unless they lie in `lent` memory. `near` is where a look-up of the name
    /// ended just before.
    pub(crate) fn insert(
        &self,
        name: &[u8],
        entry: &Entry,
        body: &[u8],
        lent: Option<Lent>,
        near: Option<Spot>,
    ) {
        let mut inner = self.inner.write();
        let found = lent.and_then(|lent| inner.memory.find(lent, name, body));
        let place = found.unwrap_or_else(|| inner.memory.copy(name, body));
        inner.insert(name, Version::new(entry, place), near);
        self.versions.store(inner.versions.count, atomic::Ordering::Release);
    }

    /// Takes in a batch's memory that versions will lie in.
    pub(crate) fn borrow(&self, names: &Arc<[u8]>, bodies: Option<&Arc<[u8]>>) -> Lent {
        self.inner.write().memory.borrow(names, bodies)
    }

    /// Whether there is no version.
    pub(crate) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The least name above `after` (or not below, if `inclusive`) that has a version not above
    /// `sequence`, with the newest such version.
    pub(crate) fn next(&self, after: Option<&[u8]>, inclusive: bool, sequence: u64) -> Option<Slot> {
        let inner = self.inner.read();
        let mut spot = match after {
            Some(after) if !inclusive => inner.behind(after),
            Some(after) => inner.seek(after, u64::MAX),
            None => Spot { leaf: 0, at: 0 },
        };
        loop {
            let version = inner.at(spot)?;
            if version.sequence <= sequence {
                return Some(version.slot(&inner.memory));
            }
            // Too new: an older version may be visible, or the next name.
            spot = inner.seek(version.name(&inner.memory), version.sequence - 1);
        }
    }

    /// Number of versions.
    pub(crate) fn len(&self) -> usize {
        self.versions.load(atomic::Ordering::Acquire)
    }

    /// Copies to `into` the newest versions not above `sequence` of a portion of the names above `after` (or not
    /// below, if `inclusive`). Answers whether there may be more.
    pub(crate) fn copy_next(
        &self,
        after: Option<&[u8]>,
        inclusive: bool,
        sequence: u64,
        portion: Portion<'_>,
        into: &mut Vec<Change>,
    ) -> bool {
        let inner = self.inner.read();
        let Spot { mut leaf, mut at } = match after {
            Some(after) if !inclusive => inner.behind(after),
            Some(after) => inner.seek(after, u64::MAX),
            None => Spot { leaf: 0, at: 0 },
        };
        let start = into.len();
        while let Some(versions) = inner.leaves.get(leaf).map(|leaf| &leaf.versions) {
            for number in versions.get(at..).unwrap_or_default() {
                let version = inner.version(*number);
                let (copied, name) = (into.len() - start, version.name(&inner.memory));
                // Of several versions of a name the first that is not too new counts.
                let seen = copied > 0 && into.last().is_some_and(|last| last.name() == name);
                if version.sequence > sequence || seen {
                    continue;
                }
                if !(portion.wanted)(name) {
                    return false;
                }
                if copied == portion.most {
                    return true;
                }
                into.push(version.change(&inner.memory));
            }
            (leaf, at) = (leaf + 1, 0);
        }
        false
    }

    /// As [`copy_next`](Self::copy_next), of names below `before` (of all, if None), from the greatest down.
    pub(crate) fn copy_previous(
        &self,
        before: Option<&[u8]>,
        sequence: u64,
        portion: Portion<'_>,
        into: &mut Vec<Change>,
    ) -> bool {
        let inner = self.inner.read();
        let Spot { mut leaf, mut at } = match before {
            Some(before) => inner.seek(before, u64::MAX),
            None => Spot { leaf: inner.leaves.len(), at: 0 },
        };
        let mut copied = 0;
        loop {
            let versions = inner.leaves.get(leaf).map(|leaf| leaf.versions.as_slice()).unwrap_or_default();
            for number in versions.get(..at).unwrap_or_default().iter().rev() {
                let version = inner.version(*number);
                let name = version.name(&inner.memory);
                if version.sequence > sequence {
                    continue;
                }
                if let Some(last) = into.last_mut().filter(|last| copied > 0 && last.name() == name) {
                    // Newer versions of a name come later on this way.
                    *last = version.change(&inner.memory);
                    continue;
                }
                if !(portion.wanted)(name) {
                    return false;
                }
                if copied == portion.most {
                    return true;
                }
                into.push(version.change(&inner.memory));
                copied += 1;
            }
            let Some(previous) = leaf.checked_sub(1) else { return false };
            leaf = previous;
            at = inner.leaves.get(leaf).map_or(0, Leaf::len);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use blockyard_core::overlay::Value;
    use blockyard_core::{Digest, Sequence};

    /// As of a block of eight bytes in a journal record.
    fn entry(sequence: u64) -> Entry {
        Entry {
            sequence: Sequence(sequence),
            tag: 0,
            length: 0,
            digest: Digest::default(),
            body_digest: Digest::default(),
            value: Value::Inline { at: 0 },
            base_moved: false,
            inherited: false,
        }
    }

    /// A journal record whose operations claim commit 0, which no engine writes, kept a walk on one name
    /// for ever: the open of a hostile file never ended.
    #[test]
    fn a_walk_goes_on_whatever_sequences_a_file_claims() {
        let table = Memtable::default();
        for (name, sequence) in [("a", 0), ("b", 0), ("b", 7), ("c", u64::MAX)] {
            table.insert(name.as_bytes(), &entry(sequence), &[], None, None);
        }
        let mut names = Vec::new();
        let mut after: Option<Vec<u8>> = None;
        while let Some(slot) = table.next(after.as_deref(), false, u64::MAX) {
            names.push(slot.name().to_vec());
            assert!(names.len() <= 3, "{names:?}");
            after = Some(slot.name().to_vec());
        }
        assert_eq!(names, [b"a", b"b", b"c"]);
        let mut below = Vec::new();
        table.copy_previous(None, 6, Portion { wanted: &|_| true, most: 9 }, &mut below);
        assert_eq!(below.iter().map(Change::name).collect::<Vec<_>>(), [b"b", b"a"]);
    }

    #[test]
    fn what_is_copied_is_what_a_plain_map_has() {
        let mut random = fastrand::Rng::with_seed(11);
        for _ in 0..300 {
            let table = Memtable::default();
            let mut written = Vec::new();
            for sequence in 1..random.u64(2..400) {
                let name = b'a' + random.u8(0..20);
                table.insert(&[name], &entry(sequence), &sequence.to_le_bytes(), None, None);
                written.push((name, sequence));
            }
            let (sequence, most) = (random.u64(0..400), random.usize(1..30));
            let (low, high) = (b'a' + random.u8(0..20), b'a' + random.u8(0..20));
            let visible = written.iter().filter(|(_, written)| *written <= sequence).copied();
            let newest: std::collections::BTreeMap<u8, u64> = visible.collect();
            let assert_copied = |copied: &[Change], more: bool, expected: Vec<(u8, u64)>| {
                let copied: Vec<(u8, u64)> = copied
                    .iter()
                    .map(|slot| {
                        (
                            slot.name()[0],
                            u64::from_le_bytes(
                                slot.here().expect("in memory").1.try_into().expect("a number"),
                            ),
                        )
                    })
                    .collect();
                assert_eq!(
                    (&copied[..], more),
                    (&expected[..expected.len().min(most)], expected.len() > most)
                );
            };
            for inclusive in [false, true] {
                let mut copied = Vec::new();
                let wanted = |name: &[u8]| name <= &[high];
                let more = table.copy_next(
                    Some(&[low]),
                    inclusive,
                    sequence,
                    Portion { wanted: &wanted, most },
                    &mut copied,
                );
                let above = |name: u8| name > low || inclusive && name == low;
                let expected = newest.iter().filter(|(name, _)| above(**name) && **name <= high);
                assert_copied(&copied, more, expected.map(|(name, written)| (*name, *written)).collect());
            }
            let mut copied = Vec::new();
            let wanted = |name: &[u8]| name >= &[low];
            let more =
                table.copy_previous(Some(&[high]), sequence, Portion { wanted: &wanted, most }, &mut copied);
            let expected = newest.iter().rev().filter(|(name, _)| **name < high && **name >= low);
            assert_copied(&copied, more, expected.map(|(name, written)| (*name, *written)).collect());
        }
    }

    /// The leaves of a table that took one huge batch stayed in memory for ever.
    #[test]
    fn a_huge_table_leaves_little_memory_behind() {
        let table = Memtable::default();
        for index in 0..(SPARE * LEAF * 2) as u32 {
            table.insert(&index.to_be_bytes(), &entry(1), &[], None, None);
        }
        let spare = table.into_spare(&Pool::default());
        assert!(spare.leaves.len() <= SPARE && spare.pieces.len() <= SPARE);
        let again = Memtable::reusing(spare);
        again.insert(b"name", &entry(2), &[], None, None);
        assert_eq!(again.len(), 1);
    }
}

//! A table of committed changes, by name and version, read while it is written.
//!
//! 1. Versions of a name lie together, the newest first; a reader at sequence S takes the first one
//!    that is not above S, so what a commit inserts is unseen until its sequence is published.
//! 2. Slots lie in sorted leaves of fixed capacity. An insert moves part of one leaf and, one time in
//!    thirty, splits it, into a leaf of an earlier table: the one allocation is for the bytes of the
//!    change. Beside the slots lie the first bytes of their names, so that a search touches little memory and
//!    follows no pointer until they are equal.
//! 3. The lock is held for one look-up, one insert, or the copying of a few slots, never across I/O.
//! 4. The number of slots is told without the lock; it is raised before what was inserted is published.

use crate::buffer::Pool;
use blockyard_core::overlay::{Entry, Value};
use parking_lot::RwLock;
use std::cmp::Ordering;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering as Memory};

const LEAF: usize = 64;

/// The most leaves, about 10 KiB each, that are kept for the tables to come.
const SPARE_LEAVES: usize = 512;

/// The most bytes of a scratch buffer that are kept.
const SPARE_SCRATCH: usize = 1 << 20;

/// One version of a name: its entry, and where its name and its body lie, be it in memory of their own or
/// in a batch's.
#[derive(Clone, Debug)]
pub(crate) struct Slot {
    bytes: Arc<[u8]>,
    name_at: u32,
    name_length: u32,
    /// Bytes of the body that lie behind the name.
    behind: u32,
    /// The body, if it lies elsewhere.
    apart: Option<Part>,
    pub(crate) entry: Entry,
}

/// Some bytes of an allocation.
#[derive(Clone, Debug)]
struct Part {
    bytes: Arc<[u8]>,
    at: u32,
    length: u32,
}

impl Part {
    fn range(&self) -> Range<usize> {
        range(self.at, self.length)
    }
}

/// Where `part` lies in an allocation.
fn place(bytes: &Arc<[u8]>, part: &[u8]) -> Option<u32> {
    let at = (part.as_ptr() as usize).checked_sub(bytes.as_ptr() as usize)?;
    (at + part.len() <= bytes.len()).then_some(u32::try_from(at).ok()?)
}

const fn range(at: u32, length: u32) -> Range<usize> {
    at as usize..at as usize + length as usize
}

impl Slot {
    /// A version whose name and body lie in a batch's memory; None if they do not.
    pub(crate) fn within(
        names: &Arc<[u8]>,
        bodies: Option<&Arc<[u8]>>,
        name: &[u8],
        entry: &Entry,
        body: &[u8],
    ) -> Option<Self> {
        let (name_at, name_length) = (place(names, name)?, name.len() as u32);
        let length = u32::try_from(body.len()).ok()?;
        let follows = body.is_empty() || place(names, body) == name_at.checked_add(name_length);
        let (behind, apart) = match bodies {
            _ if follows => (length, None),
            Some(bodies) => (0, Some(Part { bytes: Arc::clone(bodies), at: place(bodies, body)?, length })),
            None => return None,
        };
        Some(Self { bytes: Arc::clone(names), name_at, name_length, behind, apart, entry: *entry })
    }

    pub(crate) fn name(&self) -> &[u8] {
        &self.bytes[range(self.name_at, self.name_length)]
    }

    pub(crate) fn body(&self) -> &[u8] {
        let (bytes, range) = self.body_within();
        &bytes[range]
    }

    fn body_within(&self) -> (&Arc<[u8]>, Range<usize>) {
        match &self.apart {
            Some(part) => (&part.bytes, part.range()),
            None => (&self.bytes, range(self.name_at + self.name_length, self.behind)),
        }
    }

    /// The body: the allocation that it lies in, and where.
    pub(crate) fn into_body(self) -> (Arc<[u8]>, Range<usize>) {
        let range = self.body_within().1;
        (self.apart.map_or(self.bytes, |part| part.bytes), range)
    }

    /// By name, then the newest version first.
    fn order(&self, name: &[u8], sequence: u64) -> Ordering {
        self.name().cmp(name).then_with(|| sequence.cmp(&self.entry.sequence.0))
    }
}

/// The first bytes of a name as a number that orders as they do.
fn head(name: &[u8]) -> u128 {
    let mut bytes = [0; 16];
    let length = name.len().min(16);
    bytes[..length].copy_from_slice(&name[..length]);
    u128::from_be_bytes(bytes)
}

/// Slots in order, and the heads of their names.
#[derive(Debug, Default)]
struct Leaf {
    heads: Vec<u128>,
    slots: Vec<Slot>,
}

impl Leaf {
    fn with_room() -> Self {
        Self { heads: Vec::with_capacity(LEAF), slots: Vec::with_capacity(LEAF) }
    }

    fn clear(&mut self) {
        self.heads.clear();
        self.slots.clear();
    }

    /// The number of slots that `below` calls lower than what is looked for, whose name's head is `head`.
    fn place(&self, head: u128, below: impl Fn(&Slot) -> bool) -> usize {
        let start = self.heads.partition_point(|other| *other < head);
        let same = self.heads[start..].partition_point(|other| *other == head);
        start + self.slots[start..start + same].partition_point(below)
    }

    fn insert(&mut self, at: usize, slot: Slot) {
        self.heads.insert(at, head(slot.name()));
        self.slots.insert(at, slot);
    }

    fn take_from(&mut self, other: &mut Self, cut: usize) {
        self.heads.extend(other.heads.drain(cut..));
        self.slots.extend(other.slots.drain(cut..));
    }
}

/// What a walk takes along of a version: less than a slot, of which it may copy many.
#[derive(Clone, Debug)]
pub(crate) struct Change {
    bytes: Arc<[u8]>,
    name_at: u32,
    name_length: u32,
    behind: u32,
    apart: Option<Part>,
    pub(crate) kind: ChangeKind,
}

/// Where a version's bytes are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ChangeKind {
    /// Nowhere.
    Deleted,
    /// In memory.
    Here,
    /// In the file.
    Elsewhere,
}

impl Change {
    fn of(slot: &Slot) -> Self {
        let kind = match slot.entry.value {
            Value::Deleted => ChangeKind::Deleted,
            Value::Inline { .. } | Value::Carried { .. } => ChangeKind::Here,
            Value::Extent { .. } | Value::Chunks { .. } => ChangeKind::Elsewhere,
        };
        let apart = if kind == ChangeKind::Here { slot.apart.clone() } else { None };
        let (bytes, behind) = (Arc::clone(&slot.bytes), slot.behind);
        Self { bytes, name_at: slot.name_at, name_length: slot.name_length, behind, apart, kind }
    }

    pub(crate) fn name(&self) -> &[u8] {
        &self.bytes[range(self.name_at, self.name_length)]
    }

    /// The block's bytes if they are here, and the allocation that they lie in.
    pub(crate) fn here(&self) -> Option<(&Arc<[u8]>, &[u8])> {
        let (bytes, range) = match &self.apart {
            Some(part) => (&part.bytes, part.range()),
            None => (&self.bytes, range(self.name_at + self.name_length, self.behind)),
        };
        (self.kind == ChangeKind::Here).then(|| (bytes, &bytes[range]))
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
    /// The head of each leaf's last slot, together for the search.
    lasts: Vec<u128>,
    slots: usize,
    scratch: Vec<u8>,
    /// Memory of batches that slots lie in.
    lent: Vec<Arc<[u8]>>,
    spare: Spare,
}

/// Memory of tables that are gone, for those to come.
#[derive(Debug, Default)]
pub(crate) struct Spare {
    leaves: Vec<Leaf>,
    /// The list of leaves and the scratch buffer of the last table.
    list: Vec<Leaf>,
    lasts: Vec<u128>,
    scratch: Vec<u8>,
    lent: Vec<Arc<[u8]>>,
}

impl Spare {
    fn leaf(&mut self) -> Leaf {
        self.leaves.pop().unwrap_or_else(Leaf::with_room)
    }
}

/// The table.
#[derive(Debug, Default)]
pub(crate) struct Memtable {
    inner: RwLock<Leaves>,
    slots: AtomicUsize,
}

impl Leaves {
    /// The leaf that holds the first slot not below (name, sequence), and the place in it. The place
    /// may be the end of the last leaf.
    fn seek(&self, name: &[u8], sequence: u64) -> (usize, usize) {
        self.place(name, |slot| slot.order(name, sequence) == Ordering::Less)
    }

    /// The place behind all versions of `name`, whatever sequences a file may claim for them.
    fn behind(&self, name: &[u8]) -> (usize, usize) {
        self.place(name, |slot| slot.name() <= name)
    }

    fn place(&self, name: &[u8], below: impl Fn(&Slot) -> bool) -> (usize, usize) {
        let head = head(name);
        let start = self.lasts.partition_point(|last| *last < head);
        let same = self.lasts[start..].partition_point(|last| *last == head);
        let ends_below = |leaf: &Leaf| leaf.slots.last().is_some_and(&below);
        let leaf = start + self.leaves[start..start + same].partition_point(ends_below);
        let at = self.leaves.get(leaf).map_or(0, |leaf| leaf.place(head, &below));
        (leaf, at)
    }

    fn get(&self, name: &[u8], sequence: u64) -> Option<&Slot> {
        let (leaf, at) = self.seek(name, sequence);
        self.leaves.get(leaf)?.slots.get(at).filter(|slot| slot.name() == name)
    }

    fn insert(&mut self, slot: Slot) {
        let (mut leaf, mut at) = self.seek(slot.name(), slot.entry.sequence.0);
        if leaf == self.leaves.len() {
            match self.leaves.last() {
                None => {
                    self.leaves.push(self.spare.leaf());
                    self.lasts.push(0);
                }
                Some(last) => at = last.slots.len(),
            }
            leaf = self.leaves.len() - 1;
        }
        if self.leaves[leaf].slots.len() == LEAF {
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
        let slots = &mut self.leaves[leaf].slots;
        // Another version of this commit's own sequence is replaced: the last of a batch wins.
        match slots.get_mut(at) {
            Some(same) if same.entry.sequence == slot.entry.sequence && same.name() == slot.name() => {
                *same = slot;
            }
            _ => {
                self.leaves[leaf].insert(at, slot);
                self.note_last(leaf);
                self.slots += 1;
            }
        }
    }

    fn note_last(&mut self, leaf: usize) {
        self.lasts[leaf] = self.leaves[leaf].heads.last().copied().unwrap_or_default();
    }

    /// The slot at or behind a place.
    fn at(&self, leaf: usize, at: usize) -> Option<&Slot> {
        match self.leaves.get(leaf)?.slots.get(at) {
            Some(slot) => Some(slot),
            None => self.leaves.get(leaf + 1)?.slots.first(),
        }
    }
}

impl Memtable {
    /// An empty table that uses the memory of earlier ones.
    pub(crate) fn reusing(mut spare: Spare) -> Self {
        let (leaves, scratch) = (std::mem::take(&mut spare.list), std::mem::take(&mut spare.scratch));
        let (lasts, lent) = (std::mem::take(&mut spare.lasts), std::mem::take(&mut spare.lent));
        let inner = RwLock::new(Leaves { leaves, lasts, slots: 0, scratch, lent, spare });
        Self { inner, slots: AtomicUsize::new(0) }
    }

    /// Takes the table's memory for another one, and gives that of batches to `pool`.
    pub(crate) fn into_spare(self, pool: &Pool) -> Spare {
        let Leaves { mut leaves, mut lasts, mut scratch, mut lent, mut spare, .. } = self.inner.into_inner();
        let room = SPARE_LEAVES.saturating_sub(spare.leaves.len());
        leaves.truncate(room);
        spare.leaves.extend(leaves.drain(..).map(|mut leaf| {
            leaf.clear();
            leaf
        }));
        lasts.clear();
        leaves.shrink_to(2 * SPARE_LEAVES);
        lasts.shrink_to(2 * SPARE_LEAVES);
        scratch.shrink_to(SPARE_SCRATCH);
        lent.drain(..).for_each(|memory| pool.give(memory));
        lent.shrink_to(SPARE_LEAVES);
        Spare { leaves: spare.leaves, list: leaves, lasts, scratch, lent }
    }

    /// The newest version of `name` not above `sequence`.
    pub(crate) fn get(&self, name: &[u8], sequence: u64) -> Option<Slot> {
        if self.is_empty() {
            return None;
        }
        let inner = self.inner.read();
        inner.get(name, sequence).cloned()
    }

    /// The newest entry of `name`.
    pub(crate) fn entry(&self, name: &[u8], sequence: u64) -> Option<Entry> {
        self.inner.read().get(name, sequence).map(|slot| slot.entry)
    }

    /// Calls `look` with the body of the newest version of `name` not above `sequence`.
    pub(crate) fn with_slot(&self, name: &[u8], sequence: u64, look: impl FnOnce(&Slot)) -> bool {
        let inner = self.inner.read();
        inner.get(name, sequence).map(look).is_some()
    }

    /// Inserts a version; its bytes are put together in a buffer that is used again.
    pub(crate) fn insert(&self, name: &[u8], entry: &Entry, body: &[u8]) {
        let mut inner = self.inner.write();
        let mut scratch = std::mem::take(&mut inner.scratch);
        scratch.clear();
        scratch.extend_from_slice(name);
        scratch.extend_from_slice(body);
        let bytes = Arc::from(scratch.as_slice());
        inner.scratch = scratch;
        let (name_length, behind) = (name.len() as u32, body.len() as u32);
        inner.insert(Slot { bytes, name_at: 0, name_length, behind, apart: None, entry: *entry });
        self.slots.store(inner.slots, Memory::Release);
    }

    /// Inserts a version that lies in a batch's memory.
    pub(crate) fn insert_slot(&self, slot: Slot) {
        let mut inner = self.inner.write();
        inner.insert(slot);
        self.slots.store(inner.slots, Memory::Release);
    }

    /// Takes note of a batch's memory that slots will lie in.
    pub(crate) fn borrow(&self, memory: &Arc<[u8]>) {
        self.inner.write().lent.push(Arc::clone(memory));
    }

    /// Whether there is no version.
    pub(crate) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The least name above `after` (or not below, if `inclusive`) that has a version not above
    /// `sequence`, with the newest such version.
    pub(crate) fn next(&self, after: Option<&[u8]>, inclusive: bool, sequence: u64) -> Option<Slot> {
        let inner = self.inner.read();
        let (mut leaf, mut at) = match after {
            Some(after) if !inclusive => inner.behind(after),
            Some(after) => inner.seek(after, u64::MAX),
            None => (0, 0),
        };
        loop {
            let slot = inner.at(leaf, at)?;
            if slot.entry.sequence.0 <= sequence {
                return Some(slot.clone());
            }
            // Too new: an older version may be visible, or the next name.
            let (name, seen) = (slot.name(), slot.entry.sequence.0);
            (leaf, at) = inner.seek(name, seen - 1);
        }
    }

    /// Number of versions.
    pub(crate) fn len(&self) -> usize {
        self.slots.load(Memory::Acquire)
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
        let (mut leaf, mut at) = match after {
            Some(after) if !inclusive => inner.behind(after),
            Some(after) => inner.seek(after, u64::MAX),
            None => (0, 0),
        };
        let start = into.len();
        while let Some(slots) = inner.leaves.get(leaf).map(|leaf| &leaf.slots) {
            for slot in slots.get(at..).unwrap_or_default() {
                let (copied, name) = (into.len() - start, slot.name());
                // Of several versions of a name the first that is not too new counts.
                let seen = copied > 0 && into.last().is_some_and(|last| last.name() == name);
                if slot.entry.sequence.0 > sequence || seen {
                    continue;
                }
                if !(portion.wanted)(name) {
                    return false;
                }
                if copied == portion.most {
                    return true;
                }
                into.push(Change::of(slot));
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
        let (mut leaf, mut at) = match before {
            Some(before) => inner.seek(before, u64::MAX),
            None => (inner.leaves.len(), 0),
        };
        let mut copied = 0;
        loop {
            let slots = inner.leaves.get(leaf).map(|leaf| leaf.slots.as_slice()).unwrap_or_default();
            for slot in slots.get(..at).unwrap_or_default().iter().rev() {
                let name = slot.name();
                if slot.entry.sequence.0 > sequence {
                    continue;
                }
                if let Some(last) = into.last_mut().filter(|last| copied > 0 && last.name() == name) {
                    // Newer versions of a name come later on this way.
                    *last = Change::of(slot);
                    continue;
                }
                if !(portion.wanted)(name) {
                    return false;
                }
                if copied == portion.most {
                    return true;
                }
                into.push(Change::of(slot));
                copied += 1;
            }
            let Some(previous) = leaf.checked_sub(1) else { return false };
            leaf = previous;
            at = inner.leaves.get(leaf).map_or(0, |leaf| leaf.slots.len());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use blockyard_core::{Digest, Sequence};

    fn entry(sequence: u64) -> Entry {
        Entry {
            sequence: Sequence(sequence),
            tag: 0,
            length: 0,
            digest: Digest::default(),
            body_digest: Digest::default(),
            value: Value::Deleted,
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
            table.insert(name.as_bytes(), &entry(sequence), &[]);
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
                table.insert(&[name], &entry(sequence), &sequence.to_le_bytes());
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
                        (slot.name()[0], u64::from_le_bytes(slot.bytes[1..].try_into().expect("a number")))
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
        for index in 0..(SPARE_LEAVES * LEAF * 2) as u32 {
            table.insert(&index.to_be_bytes(), &entry(1), &[]);
        }
        let spare = table.into_spare(&Pool::default());
        assert!(spare.leaves.len() <= SPARE_LEAVES);
        let again = Memtable::reusing(spare);
        again.insert(b"name", &entry(2), &[]);
        assert_eq!(again.len(), 1);
    }
}

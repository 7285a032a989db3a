//! The most that a call asks of the device, for whoever has to answer within a time.
//!
//! | call | reads | writes | syncs |
//! |---|---|---|---|
//! | `exists` | a page a level of the tree | – | – |
//! | `info`, `get` of a block of one extent | the same; the value, in two parts if it ends within a unit | – | – |
//! | `get` of a block of chunks | the same, and again for each chunk | – | – |
//! | `next_name` | two pages a level and two, for the name and each deleted one passed over | – | – |
//! | `commit` that finds room | pages of the free map, if it has values above a quarter of a page | the record in pieces of the staging buffer, one more at the ring's end; two for each value with pages of its own | 1 if durable |
//! | `commit` that does not, or before which the file would grow for a checkpoint's sake | a whole checkpoint's more | | |
//! | `verify_step` | three pages a level of the tree and for each of them one a level of the free map, and two more | – | – |
//! | `free_space` | each page of the free map | – | – |
//! | `checkpoint_step` | see [`Store::bound_of_step`] | | 2 |
//! | `put`, `put_small`, `delete` | as a `commit` of one change | the same, and one for a value above a quarter of a page | 1 if durable |
//! | `sync`, `seal` | – | seal: 2 | sync: 1 |
//!
//! While a checkpoint is under way, whatever reads the free map may have to write a page of it for each that it reads.
//! Growth comes on top: one call of grow and one sync. A device of fixed size has none. A file of one group (1.9
//! MB of 512-byte pages, 133 MB of 4 KiB pages) has a free map of one page, others of one a level.

use super::{BlockInfo, BlockLocation, Store};
use crate::device::BlockDevice;
use crate::format::{ChunkRef, ChunkValue, LeafCell, RecordHeader, SLOTS};
use crate::overlay::Overlay;
use core::ops::Add;

/// Bytes that the record of a chunk takes up in a leaf, at least.
const LEAST_CHUNK: u64 = (LeafCell::SIZE + ChunkValue::SIZE) as u64;

/// Operations of the device, at most.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Bound {
    /// Calls of read.
    pub reads: u64,
    /// Calls of write.
    pub writes: u64,
    /// Calls of sync.
    pub syncs: u64,
}

impl Add for Bound {
    type Output = Self;

    /// Of one call and another.
    fn add(self, other: Self) -> Self {
        Self {
            reads: self.reads + other.reads,
            writes: self.writes + other.writes,
            syncs: self.syncs + other.syncs,
        }
    }
}

impl<D: BlockDevice, O: Overlay, B: AsMut<[u8]>> Store<D, O, B> {
    fn height(&self) -> u64 {
        u64::from(self.superblock.height.get())
    }

    /// Bytes of the staging and of the transfer buffer, each.
    fn piece(&self) -> u64 {
        self.memory.staging_bytes(self.geometry.page_size()) as u64
    }

    /// Reads that go through `length` consecutive bytes of the journal.
    fn ring_reads(&self, length: u64) -> u64 {
        (length + self.geometry.unit() as u64).div_ceil(self.piece()) + 1
    }

    /// Reads of free map pages by `changes` marks or allocations, one after the other.
    fn map_reads(&self, changes: u64) -> u64 {
        let levels = u64::from(self.map.durable().level) + 1;
        let groups = u64::from(self.geometry.groups(self.pages));
        // What is read stays in memory; one group has one page, in two versions.
        if groups <= 1 { 2 } else { levels * (2 * changes + groups) }
    }

    /// Of [`info`](Self::info), [`exists`](Self::exists).
    pub fn bound_of_info(&self) -> Bound {
        // The list of a pending block of chunks is shorter than its records.
        let records = self.active.records.saturating_add(self.frozen.records) as u64;
        let listed = if O::KEEPS_BODIES { 256 } else { records.max(256) };
        Bound { reads: self.height() + self.ring_reads(listed), ..Bound::default() }
    }

    /// Of [`get`](Self::get) of a block of at most `length` bytes that was put at once, or streamed through a buffer of the
    /// geometry's chunk size. Through a shorter one it has more chunks: see
    /// [`bound_of_get_block`](Self::bound_of_get_block).
    pub fn bound_of_get(&self, length: u64) -> Bound {
        let chunk = u64::from(self.geometry.chunk_size());
        self.bound_of_pieces(self.height(), length, if length <= chunk { 1 } else { length.div_ceil(chunk) })
    }

    /// Of [`get`](Self::get) of a block of which [`info`](Self::info) has told this.
    pub fn bound_of_get_block(&self, info: &BlockInfo) -> Bound {
        let pieces = match info.location {
            BlockLocation::Chunks { count, .. } => u64::from(count).max(2),
            _ => 1,
        };
        self.bound_of_pieces(self.bound_of_info().reads, info.length, pieces)
    }

    /// Of reading the `pieces` pieces of a block, which is found by so many reads.
    fn bound_of_pieces(&self, found: u64, length: u64, pieces: u64) -> Bound {
        let listed = self.height().max(self.ring_reads(ChunkRef::SIZE as u64));
        let reads = if pieces <= 1 { 2 * self.ring_reads(length) + 2 } else { pieces * (listed + 2) };
        Bound { reads: found + reads, ..Bound::default() }
    }

    /// Of [`next_name`](Self::next_name).
    pub fn bound_of_next_name(&self) -> Bound {
        Bound { reads: (1 + self.pending()) * (2 * self.height() + 2), ..Bound::default() }
    }

    /// Of a [`commit`](Self::commit) of `changes` changes that come to `bytes` bytes (64, name and value each),
    /// if there is room in overlay, journal and file; else a [whole checkpoint](Self::bound_of_checkpoint) comes
    /// on top. Steps of a checkpoint in idle times, whenever [`wants_checkpoint`](Self::wants_checkpoint) says
    /// so, keep room.
    pub fn bound_of_commit(&self, changes: u64, bytes: u64) -> Bound {
        let record = RecordHeader::SIZE as u64 + bytes + self.geometry.unit() as u64;
        // Values of a group that the journal does not carry have pages of their own. What does not fill the last page of a batch
        // whose buffer has no room for the rest of it is written by itself.
        let carried = self.carry_max.min(self.geometry.page_size() / 2) as u64;
        let values = if bytes > carried { 2 * changes } else { 0 };
        Bound { reads: self.map_reads(changes), writes: record.div_ceil(self.piece()) + 1 + values, syncs: 1 }
    }

    /// Of a [`verify_step`](Self::verify_step), if the registry is sound.
    pub fn bound_of_verify_step(&self) -> Bound {
        let levels = u64::from(self.map.durable().level) + 1;
        // From the root down to the last name, where a checkpoint has come between; to the next cell, of each level a node, the cell that
        // leads to it and its mark in the map; the cell; a part of a value and its mark.
        let height = self.height();
        let reads = u64::from(SLOTS).max(height + height * (2 + levels) + 1 + 1 + levels);
        Bound { reads, writes: self.written_for((height + 1) * levels), syncs: 0 }
    }

    /// Of [`free_space`](Self::free_space).
    pub fn bound_of_free_space(&self) -> Bound {
        let levels = u64::from(self.map.durable().level) + 1;
        let reads = levels * u64::from(self.geometry.groups(self.pages));
        Bound { reads, writes: self.written_for(reads), syncs: 0 }
    }

    /// Writes of changed pages of the free map, to have memory for `pages` others.
    const fn written_for(&self, pages: u64) -> u64 {
        if self.checkpoint.is_some() { pages } else { 0 }
    }

    /// Of a [`checkpoint_step`](Self::checkpoint_step): a leaf with everything that falls under it, at most all
    /// that is pending. Each chunk of a block that is pending counts as a change.
    pub fn bound_of_step(&self) -> Bound {
        let chunks = self.active.chunks.saturating_add(self.frozen.chunks);
        let (height, pending) = (self.height(), self.pending() + u64::from(chunks));
        // A value goes home in pieces of half the buffer; all of them lie in the journal.
        let pieces = pending + (2 * self.journal_used()).div_ceil(self.piece());
        let nodes = (height + 2) * (pending + 2);
        // The nodes of the path, and of each level a neighbour. With one page for them a node is found from the root on
        // up to five times a level: to look for the target's path, to come back from a neighbour twice, for the bounds
        // of the leaf, and to go on.
        let given_up = 2 * (height + 1);
        // And a value on its way home has taken the leaf's place.
        let path = match self.memory.inputs() {
            0 => (5 * (height + 1) + pending) * height + 2,
            _ => given_up,
        };
        let changes = nodes + given_up + 2 * pending + self.geometry.page_size() as u64 / LEAST_CHUNK;
        // With one page a level, of two new nodes or more that lie together one is read, and written once more.
        let again = if self.memory.holds_back() { 0 } else { nodes / 2 };
        Bound {
            reads: path
                + again
                + pending * self.ring_reads(self.geometry.max_inline() as u64)
                + pieces * self.ring_reads(self.piece() / 2)
                + self.map_reads(changes),
            writes: nodes + again + pieces + self.memory.map_pages as u64 + 2,
            syncs: 2,
        }
    }

    /// Of a [`checkpoint`](Self::checkpoint): of a step for each pending change and one that finishes, of which
    /// only the last syncs, for what is pending and for what a checkpoint under way has frozen.
    ///
    /// What a change takes the place of is known when its leaf is read: a block of chunks in the registry that is
    /// deleted or replaced has a step more for each further leaf that its list lies in, of which it has fewer than chunks.
    pub fn bound_of_checkpoint(&self) -> Bound {
        let (step, steps) = (self.bound_of_step(), 2 * (self.pending() + 2));
        Bound { reads: step.reads * steps, writes: step.writes * steps, syncs: 2 * step.syncs }
    }
}

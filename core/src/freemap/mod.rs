//! The free map and the allocator over it.
//!
//! 1. One bit a page, in map pages of two slots each (A and B); entries above them hold digest,
//!    slot and count of set bits, the superblock those of the top page. A checkpoint writes a
//!    changed map page into the slot that the durable generation does not use.
//! 2. Allocation reads the *durable* map only and moves forward only, from the cursor of the last
//!    durable checkpoint to the end of the file and from the start to that cursor again. So what was
//!    handed out since then is never met twice, and nothing freed since then is handed out, without
//!    a list of either. When nothing is left ahead, a checkpoint starts the next round.
//! 3. Pages that were handed out and never committed are free again after the next checkpoint,
//!    because no bit was set for them.
//! 4. A map page that was never written is all free.
//! 5. A changed page in memory has its parent there, changed too: the path to the group at hand stays
//!    in memory, and of the rest no page goes before the changed pages below it.

mod allocate;
mod bits;
mod pages;
#[cfg(all(test, not(loom)))]
mod property;
#[cfg(all(test, not(loom)))]
mod tests;

use crate::bytes::short;
use crate::device::{BlockDevice, Io};
use crate::digest::Digest;
use crate::failure::Failure;
use crate::format::Geometry;
use crate::ids::{Extent, PageIndex};
pub(crate) use allocate::{Ahead, Allocator};
use bits::next_bit;

/// The most map pages that are kept in memory. What is known of each is part of the store, whether it is
/// used or not: less where there is no heap.
pub(crate) const MAX_WINDOWS: usize = if cfg!(feature = "alloc") { 128 } else { 8 };

/// The fewest that the free map can work with: those of a small file are one page, of which there are a durable and
/// a next one. With levels above the bits it takes three more than those.
pub(crate) const MIN_WINDOWS: usize = 2;

/// A pointer to a map page.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct MapRef {
    pub(crate) digest: Digest,
    pub(crate) used: u64,
    /// 0 absent, 1 A, 2 B.
    pub(crate) slot: u32,
}

/// The top page of a map.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct MapTop {
    pub(crate) level: u32,
    pub(crate) at: MapRef,
}

/// A top page but for its digest: that of the durable map is in the superblock.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Top {
    pub(crate) used: u64,
    pub(crate) level: u8,
    /// As of a [`MapRef`].
    pub(crate) slot: u8,
}

impl Top {
    /// Of a map in which all is free.
    const NONE: Self = Self { used: 0, level: 0, slot: 0 };
}

impl From<&MapTop> for Top {
    fn from(top: &MapTop) -> Self {
        Self { used: top.at.used, level: top.level as u8, slot: top.at.slot as u8 }
    }
}

/// Which map: that of the last durable checkpoint, or of the next one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Version {
    Durable,
    Next,
}

/// How a checkpoint under way changes the number of free pages ahead.
#[derive(Clone, Copy, Debug, Default)]
struct FoldCount {
    /// Pages handed out since it began that it marks used.
    used: usize,
    /// Pages that it frees and the cursor has passed, and those that were ahead then.
    behind: usize,
    ahead: usize,
    /// Pages that the cursor has gone since it began.
    travel: usize,
}

#[derive(Clone, Copy, Debug)]
struct Window {
    index: u32,
    /// By the clock.
    touched: u16,
    level: u8,
    state: State,
}

/// What of its page a window holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Nothing that may be found in it.
    Nothing,
    /// As slot A has it, slot B.
    A,
    B,
    /// Changed, to be written there.
    DirtyA,
    DirtyB,
}

impl State {
    /// Of a page that is changed, and that slot 1 or 2 is for.
    const fn dirty(slot: u8) -> Self {
        if slot == 1 { Self::DirtyA } else { Self::DirtyB }
    }

    const fn is_dirty(self) -> bool {
        matches!(self, Self::DirtyA | Self::DirtyB)
    }

    /// The slot; 0 of none.
    const fn slot(self) -> u32 {
        match self {
            Self::Nothing => 0,
            Self::A | Self::DirtyA => 1,
            Self::B | Self::DirtyB => 2,
        }
    }
}

/// Memory and device that the map's functions work with.
pub(crate) struct MapSpace<'a, D: BlockDevice> {
    pub(crate) device: &'a mut Io<D>,
    pub(crate) geometry: &'a Geometry,
    /// Digest of the durable map's top page.
    pub(crate) top: &'a [u8; 32],
    /// Pages of memory for map pages.
    pub(crate) windows: &'a mut [u8],
}

/// The state of the map and the allocator. On a chip its fields lie as they stand here, as those of the store do.
#[cfg_attr(not(feature = "alloc"), repr(C))]
#[derive(Clone, Debug)]
pub(crate) struct FreeMap {
    durable: Top,
    next: Top,
    /// Goes on with each look at a page, for ever round.
    clock: u16,
    /// The group whose bits are being changed.
    group: u32,
    windows: heapless::Vec<Window, MAX_WINDOWS>,
    pub(crate) at: Allocator,
    /// Where the commits that the checkpoint does not fold began.
    mark: u64,
    /// Digest of the next map's top page.
    next_digest: Digest,
    /// Where allocation stood, and the pages of the file, after what must not be taken back.
    kept_pages: u64,
    kept: Allocator,
    /// Writes under way whose pages no commit refers to yet: how many, and where the oldest began. A
    /// checkpoint must not call those pages free.
    staged: u32,
    stage_mark: u64,
}

impl FreeMap {
    /// Of no file yet.
    pub(crate) const BLANK: Self = Self {
        durable: Top::NONE,
        next: Top::NONE,
        next_digest: Digest([0; 32]),
        windows: heapless::Vec::new(),
        clock: 0,
        group: 0,
        at: Allocator::BLANK,
        kept: Allocator::BLANK,
        kept_pages: 0,
        mark: 0,
        staged: 0,
        stage_mark: 0,
    };

    /// The map whose durable top page is given.
    #[cfg(test)]
    pub(crate) fn new(durable: MapTop, cursor: u64, pages: u64, geometry: &Geometry) -> Self {
        let mut map = Self::BLANK;
        map.begin_at(durable, cursor, pages, geometry);
        map
    }

    /// Makes a blank map the one whose durable top page is given.
    pub(crate) fn begin_at(&mut self, durable: MapTop, cursor: u64, pages: u64, geometry: &Geometry) {
        let ahead = Ahead::of(cursor);
        (self.durable, self.mark) = (Top::from(&durable), cursor);
        self.begin_next(&durable.at.digest.0);
        self.at = Allocator { cursor, ahead, since: ahead, stage: ahead, ..Allocator::BLANK };
        self.at.free = self.free_in_file(pages, geometry);
        self.keep(pages);
    }

    /// Pages of the file that the durable map calls free, at least.
    fn free_in_file(&self, pages: u64, geometry: &Geometry) -> usize {
        // With one map page it is known whether it is there and its slots are counted as used; with
        // more, all of them are taken for missing.
        let there = if self.durable.level == 0 && self.durable.slot != 0 { geometry.reserved(0) } else { 0 };
        let free = pages
            .saturating_sub(geometry.first_group())
            .saturating_sub(self.durable.used)
            .saturating_sub(geometry.reserved_in(geometry.groups(pages)) - there);
        short(free)
    }

    /// The durable map's top page.
    pub(crate) const fn durable(&self) -> Top {
        self.durable
    }

    /// The next map is the durable one, of whose top page this is the digest.
    fn begin_next(&mut self, digest: &[u8; 32]) {
        (self.next, self.next_digest) = (self.durable, Digest(*digest));
    }

    /// Begins a checkpoint of all commits so far: changes go to the next map from here on. `digest` is of the durable map's
    /// top page.
    pub(crate) fn begin(&mut self, digest: &[u8; 32], pages: u64) {
        self.begin_next(digest);
        (self.mark, self.at.since) = if self.staged > 0 {
            (self.stage_mark, self.at.stage)
        } else {
            (self.at.cursor, Ahead::of(self.at.cursor))
        };
        self.at.fold = FoldCount::default();
        self.keep(pages);
    }

    /// A write begins whose pages no commit refers to yet.
    pub(crate) fn stage(&mut self, pages: u64) {
        if self.staged == 0 {
            // What the checkpoint under way has marked by now is taken off at its end, so it is put on here.
            let passed = self.at.fold.used;
            (self.stage_mark, self.at.stage) =
                (self.at.cursor, Ahead { passed, ..Ahead::of(self.at.cursor) });
            self.keep(pages);
        }
        self.staged += 1;
    }

    /// Such a write was committed or given up.
    pub(crate) fn unstage(&mut self) {
        self.staged = self.staged.saturating_sub(1);
        if self.staged == 0 {
            self.at.stage = self.at.ahead;
        }
    }

    /// Whether there are such writes.
    pub(crate) const fn has_staged(&self) -> bool {
        self.staged > 0
    }

    /// The cursor that the checkpoint's superblock records.
    pub(crate) const fn mark(&self) -> u64 {
        self.mark
    }

    /// The next map has become the durable one.
    pub(crate) fn finish(&mut self, pages: u64, geometry: &Geometry) {
        self.durable = self.next;
        let FoldCount { used, behind, ahead, travel } = self.at.fold;
        self.at.fold = FoldCount::default();
        let freed = behind.saturating_add(ahead.min(travel));
        for ahead in self.at.aheads() {
            ahead.passed = ahead.passed.saturating_add(freed).saturating_sub(used);
        }
        self.at.free = self.free_in_file(pages, geometry).saturating_sub(self.at.since.passed);
        self.at.ahead = self.at.since;
        if self.staged == 0 {
            self.at.stage = self.at.since;
        }
        self.keep(pages);
    }

    /// Gives the next map up, and what was handed out for it. `digest` is of the durable map's top page.
    pub(crate) fn abandon(&mut self, digest: &[u8; 32], pages: u64, geometry: &Geometry) {
        self.begin_next(digest);
        self.windows.clear();
        self.take_back(pages, geometry);
        self.at.fold = FoldCount { travel: self.at.fold.travel, ..FoldCount::default() };
        self.keep(pages);
    }

    /// What was handed out so far stays so.
    #[cfg_attr(not(feature = "alloc"), inline(never))]
    pub(crate) fn keep(&mut self, pages: u64) {
        self.kept = self.at;
        self.kept_pages = pages;
    }

    /// Takes back what was handed out since [`keep`](Self::keep); nothing may refer to it.
    pub(crate) fn take_back(&mut self, pages: u64, geometry: &Geometry) {
        self.at = self.kept;
        let then = self.kept_pages;
        if then < pages {
            self.grown(then, pages, geometry);
        }
    }

    /// What [`take_back`](Self::take_back) goes back to.
    pub(crate) const fn kept(&self) -> (Allocator, u64) {
        (self.kept, self.kept_pages)
    }

    /// Takes back what was handed out since an earlier [`keep`](Self::keep).
    pub(crate) fn take_back_to(&mut self, kept: (Allocator, u64), pages: u64, geometry: &Geometry) {
        (self.kept, self.kept_pages) = kept;
        self.take_back(pages, geometry);
        self.keep(pages);
    }

    /// Begins a new round over all that the durable map calls free, which no checkpoint is needed for
    /// when no commit waits for one. False if writes are staged.
    pub(crate) fn restart(&mut self, pages: u64, geometry: &Geometry) -> bool {
        if self.staged > 0 {
            return false;
        }
        let ahead = Ahead::of(self.at.cursor);
        let free = self.free_in_file(pages, geometry);
        self.at = Allocator { ahead, since: ahead, stage: ahead, free, ..self.at };
        self.keep(pages);
        true
    }

    /// The checkpoint under way marks `pages` pages used that were handed out since it began.
    pub(crate) fn count_folded(&mut self, pages: u64) {
        self.at.fold.used = self.at.fold.used.saturating_add(short(pages));
    }

    /// Whether the cursor has passed a page since the checkpoint under way began, or may have.
    fn has_passed(&self, page: u64) -> bool {
        let (mark, since) = (self.mark, self.at.since);
        if since.wrapped {
            since.limit != mark || page >= mark || page < self.at.cursor
        } else {
            (mark..self.at.cursor).contains(&page)
        }
    }

    /// Takes note that the file has grown.
    pub(crate) fn grown(&mut self, old: u64, new: u64, geometry: &Geometry) {
        let slots = geometry.reserved_within(new) - geometry.reserved_within(old);
        let added = (new - old).saturating_sub(slots);
        // Once wrapped, what lies between the cursor and the old end is in use or waits for a
        // checkpoint, unless the limit is the old end: go on in the new part.
        let jump = self.at.aheads().into_iter().any(|ahead| ahead.wrapped && ahead.limit != old);
        if jump {
            // What is left out differs from round to round: each comes to no page before the old end any more.
            // It is all free at most, and what the round was still to come to.
            let free = old.saturating_sub(geometry.first_group()).saturating_sub(self.durable.used);
            let cursor = self.at.cursor;
            let left = |ahead: &Ahead| {
                let end = if ahead.wrapped { ahead.limit } else { old };
                short(end.saturating_sub(cursor).min(free))
            };
            self.at.free = self.at.free.saturating_sub(left(&self.at.ahead));
            for ahead in self.at.aheads() {
                ahead.passed = ahead.passed.saturating_add(left(ahead));
            }
            self.at.advance(old, 0);
        }
        for ahead in self.at.aheads() {
            if ahead.wrapped {
                ahead.limit = new;
            }
        }
        self.at.free = self.at.free.saturating_add(short(added));
    }

    /// Whether all pages of `extent` are marked used in the durable map.
    pub(crate) fn is_used<D: BlockDevice>(
        &mut self,
        space: &mut MapSpace<'_, D>,
        extent: Extent,
    ) -> Result<bool, Failure> {
        let geometry = space.geometry;
        let mut page = extent.start.0;
        while page < extent.end() {
            let group = geometry.group_of(page);
            let start = geometry.group_start(group);
            let end = extent.end().min(start + geometry.group_pages());
            let window = self.load_of(space, Version::Durable, 0, group)?;
            let Some(window) = window else { return Ok(false) };
            let (from, to) = ((page - start) as u32, (end - start) as u32);
            if next_bit(Self::page(space, window), from, to, false).is_some() {
                return Ok(false);
            }
            page = end;
        }
        Ok(true)
    }

    /// Reads and verifies the map page of `group` and calls `each` with every run of set bits behind
    /// the group's own map slots. Returns the number of set bits.
    pub(crate) fn scan_group<D: BlockDevice>(
        &mut self,
        space: &mut MapSpace<'_, D>,
        group: u32,
        mut each: impl FnMut(Extent),
    ) -> Result<u64, Failure> {
        let geometry = space.geometry;
        let Some(window) = self.load_of(space, Version::Durable, 0, group)? else { return Ok(0) };
        let page = Self::page(space, window);
        let (mut at, stop) = (geometry.reserved(group) as u32, geometry.group_pages() as u32);
        let mut used = at;
        while let Some(first) = next_bit(page, at, stop, true) {
            let end = next_bit(page, first, stop, false).unwrap_or(stop);
            let start = PageIndex(geometry.group_start(group) + u64::from(first));
            each(Extent::new(start, u64::from(end - first)));
            used += end - first;
            at = end;
        }
        Ok(u64::from(used))
    }
}

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

use crate::device::BlockDevice;
use crate::digest::Digest;
use crate::error::{Damage, ReadError, Structure, WriteError};
use crate::format::{Geometry, MapEntry, MapHeader, U32, U64};
use crate::ids::{Extent, PageIndex};
use zerocopy::IntoBytes as _;

/// The most map pages that are kept in memory.
pub(crate) const MAX_WINDOWS: usize = 128;

/// The fewest that the free map can work with: three more than the levels above the bits, of which
/// three come a long way.
pub(crate) const MIN_WINDOWS: usize = 6;

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

/// What allocation may still use: from the cursor up to the file's end and then, once wrapped, up
/// to `limit`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Ahead {
    pub(crate) limit: u64,
    pub(crate) wrapped: bool,
    /// Free pages that the cursor has passed.
    pub(crate) passed: u64,
}

/// Where allocation stands. A copy of it takes back what was handed out since.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Allocator {
    pub(crate) cursor: u64,
    /// Limits for allocation now.
    pub(crate) ahead: Ahead,
    /// Limits once the checkpoint that began last is durable.
    since: Ahead,
    /// What was ahead when the oldest staged write began.
    stage: Ahead,
    /// Free pages ahead, about, and rather too few.
    pub(crate) free: u64,
    /// What the checkpoint under way changes of that.
    fold: FoldCount,
}

/// How a checkpoint under way changes the number of free pages ahead.
#[derive(Clone, Copy, Debug, Default)]
struct FoldCount {
    /// Pages handed out since it began that it marks used.
    used: u64,
    /// Pages that it frees and the cursor has passed, and those that were ahead then.
    behind: u64,
    ahead: u64,
    /// Pages that the cursor has gone since it began.
    travel: u64,
}

impl Allocator {
    fn aheads(&mut self) -> [&mut Ahead; 3] {
        [&mut self.ahead, &mut self.since, &mut self.stage]
    }

    /// Moves on to `cursor` past `passed` free pages.
    fn advance(&mut self, cursor: u64, passed: u64) {
        // Once round the end is at most the whole way.
        let way = cursor.checked_sub(self.cursor).unwrap_or(u64::MAX / 2);
        self.fold.travel = self.fold.travel.saturating_add(way);
        self.cursor = cursor;
        self.free = self.free.saturating_sub(passed);
        self.aheads().into_iter().for_each(|ahead| ahead.passed += passed);
    }
}

impl Ahead {
    /// All that is ahead of a cursor that has just come to `cursor`.
    const fn of(cursor: u64) -> Self {
        Self { limit: cursor, wrapped: false, passed: 0 }
    }
}

#[derive(Clone, Copy, Debug)]
struct Window {
    level: u32,
    index: u64,
    slot: u32,
    dirty: bool,
    touched: u64,
}

/// Memory and device that the map's functions work with.
pub(crate) struct MapSpace<'a, D> {
    pub(crate) device: &'a mut D,
    pub(crate) geometry: &'a Geometry,
    /// Pages of memory for map pages.
    pub(crate) windows: &'a mut [u8],
}

/// The state of the map and the allocator.
#[derive(Clone, Debug)]
pub(crate) struct FreeMap {
    durable: MapTop,
    next: MapTop,
    windows: heapless::Vec<Window, MAX_WINDOWS>,
    clock: u64,
    /// The group whose bits are being changed.
    group: u64,
    pub(crate) at: Allocator,
    /// Where allocation stood, and the pages of the file, after what must not be taken back.
    kept: (Allocator, u64),
    /// Where the commits that the checkpoint does not fold began.
    mark: u64,
    /// Writes under way whose pages no commit refers to yet: how many, and where the oldest began. A
    /// checkpoint must not call those pages free.
    staged: u32,
    stage_mark: u64,
}

impl FreeMap {
    pub(crate) fn new(durable: MapTop, cursor: u64, pages: u64, geometry: &Geometry) -> Self {
        let ahead = Ahead::of(cursor);
        let at = Allocator { cursor, ahead, since: ahead, stage: ahead, ..Allocator::default() };
        let mut map = Self {
            durable,
            next: durable,
            windows: heapless::Vec::new(),
            clock: 0,
            group: 0,
            at,
            kept: (at, pages),
            mark: cursor,
            staged: 0,
            stage_mark: 0,
        };
        map.at.free = map.free_in_file(pages, geometry);
        map.keep(pages);
        map
    }

    /// Pages of the file that the durable map calls free, at least.
    fn free_in_file(&self, pages: u64, geometry: &Geometry) -> u64 {
        // With one map page it is known whether it is there and its slots are counted as used; with
        // more, all of them are taken for missing.
        let there = if self.durable.level == 0 && self.durable.at.slot != 0 { geometry.reserved(0) } else { 0 };
        pages
            .saturating_sub(geometry.first_group())
            .saturating_sub(self.durable.at.used)
            .saturating_sub(geometry.reserved_in(geometry.groups(pages)) - there)
    }

    /// The durable map's top page.
    pub(crate) const fn durable(&self) -> MapTop {
        self.durable
    }

    /// Begins a checkpoint of all commits so far: changes go to the next map from here on.
    pub(crate) fn begin(&mut self, pages: u64) {
        self.next = self.durable;
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
            (self.stage_mark, self.at.stage) = (self.at.cursor, Ahead::of(self.at.cursor));
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

    /// The cursor that the checkpoint's superblock records.
    pub(crate) const fn mark(&self) -> u64 {
        self.mark
    }

    /// The next map has become the durable one.
    pub(crate) fn finish(&mut self, pages: u64, geometry: &Geometry) {
        self.durable = self.next;
        let FoldCount { used, behind, ahead, travel } = self.at.fold;
        let freed = behind + ahead.min(travel);
        for ahead in self.at.aheads() {
            ahead.passed = (ahead.passed + freed).saturating_sub(used);
        }
        self.at.free = self.free_in_file(pages, geometry).saturating_sub(self.at.since.passed);
        self.at.ahead = self.at.since;
        self.keep(pages);
    }

    /// Gives the next map up, and what was handed out for it.
    pub(crate) fn abandon(&mut self, pages: u64, geometry: &Geometry) {
        self.next = self.durable;
        self.windows.clear();
        self.take_back(pages, geometry);
        self.at.fold = FoldCount { travel: self.at.fold.travel, ..FoldCount::default() };
        self.keep(pages);
    }

    /// What was handed out so far stays so.
    pub(crate) fn keep(&mut self, pages: u64) {
        self.kept = (self.at, pages);
    }

    /// Takes back what was handed out since [`keep`](Self::keep); nothing may refer to it.
    pub(crate) fn take_back(&mut self, pages: u64, geometry: &Geometry) {
        let then;
        (self.at, then) = self.kept;
        if then < pages {
            self.grown(then, pages, geometry);
        }
    }

    /// What [`take_back`](Self::take_back) goes back to.
    pub(crate) const fn kept(&self) -> (Allocator, u64) {
        self.kept
    }

    /// Takes back what was handed out since an earlier [`keep`](Self::keep).
    pub(crate) fn take_back_to(&mut self, kept: (Allocator, u64), pages: u64, geometry: &Geometry) {
        self.kept = kept;
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
        self.at.fold.used += pages;
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
        let slots = geometry.reserved_in(geometry.groups(new)) - geometry.reserved_in(geometry.groups(old));
        let added = (new - old).saturating_sub(slots);
        // Once wrapped, what lies between the cursor and the old end is in use or waits for a
        // checkpoint, unless the limit is the old end: go on in the new part.
        let jump = self.at.aheads().into_iter().any(|ahead| ahead.wrapped && ahead.limit != old);
        if jump {
            // At most so many free pages are left out.
            let left = self.at.ahead.limit.saturating_sub(self.at.cursor);
            self.at.advance(old, left);
        }
        for ahead in self.at.aheads() {
            if ahead.wrapped {
                ahead.limit = new;
            }
        }
        self.at.free += added;
    }

    fn find(&self, level: u32, index: u64, slot: u32) -> Option<usize> {
        self.windows
            .iter()
            .position(|window| window.level == level && window.index == index && window.slot == slot)
    }

    fn page<'w, D>(space: &'w MapSpace<'_, D>, window: usize) -> &'w [u8] {
        let size = space.geometry.page_size();
        &space.windows[window * size..(window + 1) * size]
    }

    fn page_mut<'w, D>(space: &'w mut MapSpace<'_, D>, window: usize) -> &'w mut [u8] {
        let size = space.geometry.page_size();
        &mut space.windows[window * size..(window + 1) * size]
    }

    /// A window, but not `but`, for a page that is not in memory; writes a changed page out if it must.
    fn claim<D: BlockDevice>(
        &mut self,
        space: &mut MapSpace<'_, D>,
        window: Window,
        but: Option<usize>,
    ) -> Result<usize, WriteError<D::Error>> {
        let capacity = (space.windows.len() / space.geometry.page_size()).min(MAX_WINDOWS);
        if self.windows.len() < capacity && self.windows.push(window).is_ok() {
            return Ok(self.windows.len() - 1);
        }
        let fanout = space.geometry.map_fanout();
        let on_path = |w: &Window| w.dirty && w.index == self.group / fanout.saturating_pow(w.level);
        let lowest = |a: &(usize, &Window)| (a.1.dirty, if a.1.dirty { a.1.level } else { 0 }, a.1.touched);
        let others = self.windows.iter().enumerate().filter(|(at, window)| !on_path(window) && Some(*at) != but);
        let victim = others.min_by_key(lowest).map(|(at, _)| at);
        let victim = victim.ok_or(WriteError::WorkspaceTooSmall)?;
        if self.windows[victim].dirty {
            self.write_out(space, victim)?;
        }
        self.windows[victim] = window;
        Ok(victim)
    }

    /// Writes a changed map page into its slot and its digest into its parent.
    fn write_out<D: BlockDevice>(
        &mut self,
        space: &mut MapSpace<'_, D>,
        at: usize,
    ) -> Result<(), WriteError<D::Error>> {
        let Window { level, index, slot, .. } = self.windows[at];
        let digest = Digest::of(Self::page(space, at));
        let offset = space.geometry.offset(space.geometry.map_page(level, index, slot));
        let size = space.geometry.page_size();
        let page = &space.windows[at * size..(at + 1) * size];
        space.device.write(offset, page).map_err(WriteError::Device)?;
        self.windows[at].dirty = false;
        if level == self.next.level {
            self.next.at.digest = digest;
            return Ok(());
        }
        let fanout = space.geometry.map_fanout();
        let parent = self
            .windows
            .iter()
            .position(|w| w.level == level + 1 && w.index == index / fanout && w.dirty)
            .ok_or(WriteError::WorkspaceTooSmall)?;
        let mut entry = entry(Self::page(space, parent), index % fanout);
        entry.digest = digest;
        set_entry(Self::page_mut(space, parent), index % fanout, entry);
        Ok(())
    }

    /// The window of an existing map page, read and verified if need be.
    fn load<D: BlockDevice>(
        &mut self,
        space: &mut MapSpace<'_, D>,
        level: u32,
        index: u64,
        at: MapRef,
    ) -> Result<usize, WriteError<D::Error>> {
        self.clock += 1;
        if let Some(found) = self.find(level, index, at.slot) {
            self.windows[found].touched = self.clock;
            return Ok(found);
        }
        let window = Window { level, index, slot: at.slot, dirty: false, touched: self.clock };
        let found = self.claim(space, window, None)?;
        let offset = space.geometry.offset(space.geometry.map_page(level, index, at.slot));
        let size = space.geometry.page_size();
        let page = &mut space.windows[found * size..(found + 1) * size];
        let read = if at.slot <= 2 { space.device.read(offset, page).map_err(ReadError::Device) } else { Ok(()) };
        let header = MapHeader::read(page);
        let belongs = at.slot <= 2 && header.is_some_and(|header| {
            header.magic == MapHeader::MAGIC && header.level.get() == level && header.index.get() == index
        });
        if read.is_err() || !belongs || Digest::of(page) != at.digest {
            // The window holds nothing that may be found again.
            self.windows[found].slot = u32::MAX;
            read?;
            return Err(WriteError::Corrupted(Damage { what: Structure::FreeMap, offset }));
        }
        Ok(found)
    }

    /// What `top`'s map knows of a map page.
    fn entry_of<D: BlockDevice>(
        &mut self,
        space: &mut MapSpace<'_, D>,
        top: MapTop,
        level: u32,
        index: u64,
    ) -> Result<MapRef, WriteError<D::Error>> {
        let fanout = space.geometry.map_fanout();
        if level > top.level || index / fanout.saturating_pow(top.level - level) != 0 {
            return Ok(MapRef::default());
        }
        let mut at = top.at;
        for l in (level + 1..=top.level).rev() {
            if at.slot == 0 {
                return Ok(MapRef::default());
            }
            let window = self.load(space, l, index / fanout.saturating_pow(l - level), at)?;
            at = entry(Self::page(space, window), index / fanout.saturating_pow(l - level - 1) % fanout);
        }
        if at.slot > 2 {
            let offset = space.geometry.offset(space.geometry.map_page(level, index, 1));
            return Err(WriteError::Corrupted(Damage { what: Structure::FreeMap, offset }));
        }
        Ok(at)
    }

    /// The window of a map page that may be changed, as part of the next map.
    fn change<D: BlockDevice>(
        &mut self,
        space: &mut MapSpace<'_, D>,
        level: u32,
        index: u64,
    ) -> Result<usize, WriteError<D::Error>> {
        let fanout = space.geometry.map_fanout();
        while level > self.next.level || index >= fanout.saturating_pow(self.next.level - level) {
            self.raise(space)?;
        }
        if level < self.next.level {
            self.change(space, level + 1, index / fanout)?;
        }
        let durable = self.entry_of(space, self.durable, level, index)?;
        let next = self.entry_of(space, self.next, level, index)?;
        if next.slot == 0 || next.slot == durable.slot {
            self.copy_page(space, level, index, durable)?;
        }
        let next = self.entry_of(space, self.next, level, index)?;
        let window = self.load(space, level, index, next)?;
        self.windows[window].dirty = true;
        Ok(window)
    }

    /// Makes the next map's version of a page, in the slot that the durable map does not use.
    fn copy_page<D: BlockDevice>(
        &mut self,
        space: &mut MapSpace<'_, D>,
        level: u32,
        index: u64,
        durable: MapRef,
    ) -> Result<(), WriteError<D::Error>> {
        let slot = if durable.slot == 1 { 2 } else { 1 };
        if let Some(stale) = self.find(level, index, slot) {
            self.windows[stale].slot = u32::MAX;
        }
        let size = space.geometry.page_size();
        let old = if durable.slot == 0 { None } else { Some(self.load(space, level, index, durable)?) };
        self.clock += 1;
        let new = Window { level, index, slot, dirty: true, touched: self.clock };
        let window = self.claim(space, new, old)?;
        let mut added = 0;
        match old {
            Some(old) => space.windows.copy_within(old * size..(old + 1) * size, window * size),
            None => added = self.blank(space, window),
        }
        self.set_slot(space, level, index, slot)?;
        self.add_used(space, level, index, added as i64)
    }

    /// Makes a new, empty map page in `window` and returns the number of its set bits.
    fn blank<D>(&mut self, space: &mut MapSpace<'_, D>, window: usize) -> u64 {
        let Window { level, index, .. } = self.windows[window];
        let reserved = space.geometry.reserved(index);
        let page = Self::page_mut(space, window);
        page.fill(0);
        let header = MapHeader {
            magic: MapHeader::MAGIC,
            level: U32::new(level),
            index: U64::new(index),
            reserved: [0; 16],
        };
        page[..MapHeader::SIZE].copy_from_slice(header.as_bytes());
        if level > 0 {
            return 0;
        }
        set_bits(page, 0, reserved, true);
        reserved
    }

    /// Adds a level above the next map's top page.
    fn raise<D: BlockDevice>(&mut self, space: &mut MapSpace<'_, D>) -> Result<(), WriteError<D::Error>> {
        self.clock += 1;
        let level = self.next.level + 1;
        let slot = 1;
        let new = Window { level, index: 0, slot, dirty: true, touched: self.clock };
        let window = self.claim(space, new, None)?;
        self.blank(space, window);
        // Only now: the old top page may have been written out to make room.
        let old = self.next;
        set_entry(Self::page_mut(space, window), 0, old.at);
        self.next = MapTop { level, at: MapRef { digest: Digest::default(), used: old.at.used, slot } };
        Ok(())
    }

    /// Points the parent of a next map page to `slot`.
    fn set_slot<D: BlockDevice>(
        &mut self,
        space: &mut MapSpace<'_, D>,
        level: u32,
        index: u64,
        slot: u32,
    ) -> Result<(), WriteError<D::Error>> {
        if level == self.next.level {
            self.next.at.slot = slot;
            return Ok(());
        }
        let fanout = space.geometry.map_fanout();
        let parent = self.change(space, level + 1, index / fanout)?;
        let mut child = entry(Self::page(space, parent), index % fanout);
        child.slot = slot;
        set_entry(Self::page_mut(space, parent), index % fanout, child);
        Ok(())
    }

    /// Adds to the counts of set bits above a next map page.
    fn add_used<D: BlockDevice>(
        &mut self,
        space: &mut MapSpace<'_, D>,
        level: u32,
        index: u64,
        delta: i64,
    ) -> Result<(), WriteError<D::Error>> {
        let fanout = space.geometry.map_fanout();
        let mut child = index;
        for above in level + 1..=self.next.level {
            let parent = child / fanout;
            let window = self.change(space, above, parent)?;
            let mut known = entry(Self::page(space, window), child % fanout);
            known.used = known.used.saturating_add_signed(delta);
            set_entry(Self::page_mut(space, window), child % fanout, known);
            child = parent;
        }
        self.next.at.used = self.next.at.used.saturating_add_signed(delta);
        Ok(())
    }

    /// Sets or clears the bits of `extent` in the next map; only what is set can be cleared.
    pub(crate) fn mark_extent<D: BlockDevice>(
        &mut self,
        space: &mut MapSpace<'_, D>,
        extent: Extent,
        used: bool,
    ) -> Result<(), WriteError<D::Error>> {
        let geometry = *space.geometry;
        let mut page = extent.start.0;
        while page < extent.end() {
            let group = geometry.group_of(page);
            let start = geometry.group_start(group);
            let end = extent.end().min(start + geometry.group_pages());
            self.group = group;
            let window = self.change(space, 0, group)?;
            let changed = set_bits(Self::page_mut(space, window), page - start, end - page, used);
            if !used && changed < end - page {
                // A tree that names a page twice, or a map that never knew of it.
                let offset = geometry.offset(page);
                return Err(WriteError::Corrupted(Damage { what: Structure::FreeMap, offset }));
            }
            let delta = if used { changed as i64 } else { -(changed as i64) };
            if !used && self.has_passed(page) {
                self.at.fold.behind += changed;
            } else if !used {
                self.at.fold.ahead += changed;
            }
            self.add_used(space, 0, group, delta)?;
            page = end;
        }
        Ok(())
    }

    /// Writes every changed map page and returns the next map's top page, for the superblock.
    pub(crate) fn flush<D: BlockDevice>(
        &mut self,
        space: &mut MapSpace<'_, D>,
    ) -> Result<MapTop, WriteError<D::Error>> {
        for level in 0..=self.next.level {
            while let Some(at) = self.windows.iter().position(|w| w.dirty && w.level == level) {
                self.write_out(space, at)?;
            }
        }
        Ok(self.next)
    }

    /// Hands out the next run of at least `min` and at most `want` pages, if there is one ahead that
    /// leaves `floor` free pages ahead. `pinned` names the first part of a run that may not be used.
    pub(crate) fn allocate<D: BlockDevice>(
        &mut self,
        space: &mut MapSpace<'_, D>,
        (min, want): (u64, u64),
        (pages, floor): (u64, u64),
        pinned: impl Fn(Extent) -> Option<Extent>,
    ) -> Result<Option<Extent>, WriteError<D::Error>> {
        let geometry = *space.geometry;
        let mut wrapped = self.at.ahead.wrapped;
        let (mut at, mut passed) = (self.at.cursor.max(geometry.first_group()), 0);
        loop {
            let end = if wrapped { self.at.ahead.limit.min(pages) } else { pages };
            if at >= end {
                if wrapped {
                    return Ok(None);
                }
                (wrapped, at) = (true, geometry.first_group());
                continue;
            }
            let group = geometry.group_of(at);
            let start = geometry.group_start(group);
            let stop = end.min(start.saturating_add(geometry.group_pages()));
            let run = self.free_run(space, group, at, stop, want)?;
            let Some(run) = run else {
                at = stop;
                continue;
            };
            let free = match pinned(run) {
                None => run,
                Some(held) if held.start > run.start => Extent::new(run.start, held.start.0 - run.start.0),
                Some(held) => {
                    let over = held.end().clamp(run.start.0 + 1, run.end());
                    passed += over - run.start.0;
                    at = over;
                    continue;
                }
            };
            passed += free.pages;
            at = free.end();
            if free.pages < min {
                continue;
            }
            if floor > 0 && self.at.free < passed + floor {
                return Ok(None);
            }
            if wrapped && !self.at.ahead.wrapped {
                self.at.aheads().into_iter().for_each(|ahead| ahead.wrapped = true);
            }
            self.at.advance(at, passed);
            return Ok(Some(free));
        }
    }

    /// The first free run of the durable map in `at..stop`, which lies in `group`, cut at `want`.
    fn free_run<D: BlockDevice>(
        &mut self,
        space: &mut MapSpace<'_, D>,
        group: u64,
        at: u64,
        stop: u64,
        want: u64,
    ) -> Result<Option<Extent>, WriteError<D::Error>> {
        let geometry = *space.geometry;
        let start = geometry.group_start(group);
        let known = self.entry_of(space, self.durable, 0, group)?;
        let first = at.max(start + geometry.reserved(group));
        if first >= stop || known.used >= geometry.group_pages() {
            return Ok(None);
        }
        if known.slot == 0 {
            return Ok(Some(Extent::new(PageIndex(first), want.min(stop - first))));
        }
        let window = self.load(space, 0, group, known)?;
        let page = Self::page(space, window);
        let Some(free) = next_bit(page, first - start, stop - start, false) else { return Ok(None) };
        let limit = (free + want).min(stop - start);
        let end = next_bit(page, free, limit, true).unwrap_or(limit);
        Ok(Some(Extent::new(PageIndex(start + free), end - free)))
    }

    /// Takes the last `pages` pages of the extent that was handed out last back.
    pub(crate) fn give_back(&mut self, pages: u64) {
        self.at.cursor -= pages;
        self.at.free += pages;
        for ahead in self.at.aheads() {
            ahead.passed = ahead.passed.saturating_sub(pages);
        }
    }

    /// Goes on where the last record of a journal says allocation stood.
    pub(crate) fn resume(&mut self, cursor: u64, limit: u64, wrapped: bool, pages: u64, geometry: &Geometry) {
        let behind = if wrapped { 0 } else { limit.saturating_sub(geometry.first_group()) };
        let end = if wrapped { limit } else { pages };
        // At least: it may be that all used pages and all missing map pages are ahead.
        self.at.free = (end.saturating_sub(cursor) + behind)
            .saturating_sub(self.durable.at.used)
            .saturating_sub(geometry.reserved_in(geometry.groups(pages)));
        self.at.cursor = cursor;
        let ahead = Ahead { limit, wrapped, passed: 0 };
        self.at.aheads().into_iter().for_each(|each| *each = ahead);
        self.keep(pages);
    }

    /// Whether all pages of `extent` are marked used in the durable map.
    pub(crate) fn is_used<D: BlockDevice>(
        &mut self,
        space: &mut MapSpace<'_, D>,
        extent: Extent,
    ) -> Result<bool, WriteError<D::Error>> {
        let geometry = *space.geometry;
        let mut page = extent.start.0;
        while page < extent.end() {
            let group = geometry.group_of(page);
            let start = geometry.group_start(group);
            let end = extent.end().min(start + geometry.group_pages());
            let known = self.entry_of(space, self.durable, 0, group)?;
            if known.slot == 0 {
                return Ok(false);
            }
            let window = self.load(space, 0, group, known)?;
            if next_bit(Self::page(space, window), page - start, end - start, false).is_some() {
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
        group: u64,
        mut each: impl FnMut(Extent),
    ) -> Result<u64, WriteError<D::Error>> {
        let geometry = *space.geometry;
        let known = self.entry_of(space, self.durable, 0, group)?;
        if known.slot == 0 {
            return Ok(0);
        }
        let window = self.load(space, 0, group, known)?;
        let page = Self::page(space, window);
        let (mut at, stop) = (geometry.reserved(group), geometry.group_pages());
        let mut used = at;
        while let Some(first) = next_bit(page, at, stop, true) {
            let end = next_bit(page, first, stop, false).unwrap_or(stop);
            each(Extent::new(PageIndex(geometry.group_start(group) + first), end - first));
            used += end - first;
            at = end;
        }
        Ok(used)
    }
}

fn entry(page: &[u8], index: u64) -> MapRef {
    let at = MapHeader::SIZE + index as usize * MapEntry::SIZE;
    page.get(at..).and_then(MapEntry::read).map_or_else(MapRef::default, |entry| MapRef {
        digest: Digest(entry.digest),
        used: entry.used.get(),
        slot: entry.slot.get(),
    })
}

fn set_entry(page: &mut [u8], index: u64, at: MapRef) {
    let start = MapHeader::SIZE + index as usize * MapEntry::SIZE;
    let entry = MapEntry {
        digest: at.digest.0,
        used: U64::new(at.used),
        slot: U32::new(at.slot),
        reserved: U32::new(0),
    };
    page[start..start + MapEntry::SIZE].copy_from_slice(entry.as_bytes());
}

/// The 64 bits of a map page that start at bit `64 * word`.
fn word(page: &[u8], word: u64) -> u64 {
    let at = MapHeader::SIZE + word as usize * 8;
    let mut bytes = [0; 8];
    if let Some(found) = page.get(at..at + 8) {
        bytes.copy_from_slice(found);
    }
    u64::from_le_bytes(bytes)
}

/// The first bit in `from..to` that is set (or clear).
fn next_bit(page: &[u8], from: u64, to: u64, set: bool) -> Option<u64> {
    let mut at = from;
    while at < to {
        let bits = if set { word(page, at / 64) } else { !word(page, at / 64) };
        let bits = bits >> (at % 64);
        if bits != 0 {
            let found = at + u64::from(bits.trailing_zeros());
            return (found < to).then_some(found);
        }
        at = (at / 64 + 1) * 64;
    }
    None
}

/// Sets or clears `count` bits from `from` on; returns how many changed.
fn set_bits(page: &mut [u8], from: u64, count: u64, set: bool) -> u64 {
    let mut changed = 0;
    let (mut at, end) = (from, from + count);
    while at < end {
        let stop = end.min((at / 8 + 1) * 8);
        let mask = (((1_u16 << (stop - at)) - 1) << (at % 8)) as u8;
        let byte = &mut page[MapHeader::SIZE + (at / 8) as usize];
        let new = if set { *byte | mask } else { *byte & !mask };
        changed += u64::from((*byte ^ new).count_ones());
        *byte = new;
        at = stop;
    }
    changed
}

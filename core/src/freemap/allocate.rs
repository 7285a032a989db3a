//! Allocation: forward only, from the cursor on.

use super::bits::next_bit;
use super::{FoldCount, FreeMap, MapSpace, Version};
use crate::bytes::short;
use crate::device::BlockDevice;
use crate::failure::Failure;
use crate::format::Geometry;
use crate::ids::{Extent, PageIndex};

/// What allocation may still use: from the cursor up to the file's end and then, once wrapped, up
/// to `limit`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(not(feature = "alloc"), repr(Rust, packed(4)))]
pub(crate) struct Ahead {
    pub(crate) limit: u64,
    pub(crate) wrapped: bool,
    /// Free pages that the cursor has passed.
    pub(crate) passed: usize,
}

/// Where allocation stands. A copy of it takes back what was handed out since.
#[derive(Clone, Copy, Debug, Default)]
#[cfg_attr(not(feature = "alloc"), repr(Rust, packed(4)))]
pub(crate) struct Allocator {
    pub(crate) cursor: u64,
    /// Limits for allocation now.
    pub(crate) ahead: Ahead,
    /// Limits once the checkpoint that began last is durable.
    pub(super) since: Ahead,
    /// What was ahead when the oldest staged write began.
    pub(super) stage: Ahead,
    /// Free pages ahead, about, and rather too few.
    pub(crate) free: usize,
    /// What the checkpoint under way changes of that.
    pub(super) fold: FoldCount,
}

impl Allocator {
    /// Of no file yet.
    pub(super) const BLANK: Self = Self {
        cursor: 0,
        ahead: Ahead::of(0),
        since: Ahead::of(0),
        stage: Ahead::of(0),
        free: 0,
        fold: FoldCount { used: 0, behind: 0, ahead: 0, travel: 0 },
    };

    pub(super) fn aheads(&mut self) -> [&mut Ahead; 3] {
        [&mut self.ahead, &mut self.since, &mut self.stage]
    }

    /// Moves on to `cursor` past `passed` free pages.
    pub(super) fn advance(&mut self, cursor: u64, passed: usize) {
        // Once round the end is at most the whole way.
        let way = cursor.checked_sub(self.cursor).map_or(usize::MAX / 2, short);
        self.fold.travel = self.fold.travel.saturating_add(way);
        self.cursor = cursor;
        self.free = self.free.saturating_sub(passed);
        self.aheads().into_iter().for_each(|ahead| ahead.passed = ahead.passed.saturating_add(passed));
    }
}

impl Ahead {
    /// All that is ahead of a cursor that has just come to `cursor`.
    pub(super) const fn of(cursor: u64) -> Self {
        Self { limit: cursor, wrapped: false, passed: 0 }
    }
}

impl FreeMap {
    /// Hands out the next run of at least `min` and at most `want` pages, if there is one ahead that
    /// leaves `floor` free pages ahead. `pinned` names the first part of a run that may not be used.
    pub(crate) fn allocate<D: BlockDevice>(
        &mut self,
        space: &mut MapSpace<'_, D>,
        (min, want): (u64, u64),
        (pages, floor): (u64, usize),
        pinned: impl Fn(Extent) -> Option<Extent>,
    ) -> Result<Option<Extent>, Failure> {
        let geometry = space.geometry;
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
                    passed += short(over - run.start.0);
                    at = over;
                    continue;
                }
            };
            passed += short(free.pages);
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
        group: u32,
        at: u64,
        stop: u64,
        want: u64,
    ) -> Result<Option<Extent>, Failure> {
        let geometry = space.geometry;
        let start = geometry.group_start(group);
        let (_, used) = self.known(space, Version::Durable, 0, group)?;
        let first = at.max(start + geometry.reserved(group));
        if first >= stop || used >= geometry.group_pages() {
            return Ok(None);
        }
        let Some(window) = self.load_of(space, Version::Durable, 0, group)? else {
            return Ok(Some(Extent::new(PageIndex(first), want.min(stop - first))));
        };
        let page = Self::page(space, window);
        // Numbers within a group are short.
        let (first, stop) = ((first - start) as u32, (stop - start) as u32);
        let Some(free) = next_bit(page, first, stop, false) else { return Ok(None) };
        let limit = want.min(u64::from(stop - free)) as u32 + free;
        let end = next_bit(page, free, limit, true).unwrap_or(limit);
        Ok(Some(Extent::new(PageIndex(start + u64::from(free)), u64::from(end - free))))
    }

    /// Takes the last `pages` pages of the extent that was handed out last back.
    pub(crate) fn give_back(&mut self, pages: u64) {
        self.at.cursor -= pages;
        self.at.free = self.at.free.saturating_add(short(pages));
        for ahead in self.at.aheads() {
            ahead.passed = ahead.passed.saturating_sub(short(pages));
        }
    }

    /// Goes on where the last record of a journal says allocation stood.
    pub(crate) fn resume(&mut self, cursor: u64, limit: u64, wrapped: bool, pages: u64, geometry: &Geometry) {
        let behind = if wrapped { 0 } else { limit.saturating_sub(geometry.first_group()) };
        let end = if wrapped { limit } else { pages };
        // At least: it may be that all used pages and all missing map pages are ahead.
        let free = (end.saturating_sub(cursor) + behind)
            .saturating_sub(self.durable.used)
            .saturating_sub(geometry.reserved_in(geometry.groups(pages)));
        self.at.free = short(free);
        self.at.cursor = cursor;
        let ahead = Ahead { limit, wrapped, passed: 0 };
        self.at.aheads().into_iter().for_each(|each| *each = ahead);
        self.keep(pages);
    }
}

//! A free map beside sets of pages: who owns what, durably and since.

use super::super::{FreeMap, MapTop, Top};
use super::disk::Disk;
use super::parts::{Commit, Fold, Record, Superblock};
use super::runs::Runs;
use super::{Event, Start, TALLY};
use crate::device::Io;
use crate::format::Geometry;
use crate::ids::{Extent, PageIndex};
use alloc::vec;
use alloc::vec::Vec;

pub(super) struct World {
    geometry: Geometry,
    disk: Io<Disk>,
    windows: Vec<u8>,
    map: FreeMap,
    pages: u64,
    superblock: Superblock,
    /// What the durable superblock leads to.
    used: Runs,
    commits: Vec<Commit>,
    /// For each staged write under way its extents.
    stages: Vec<Vec<Extent>>,
    fold: Option<Fold>,
    pinned: Option<Extent>,
}

/// The part of `run` from which on `held` must not be used.
fn pin(held: Option<Extent>) -> impl Fn(Extent) -> Option<Extent> {
    move |run| held.filter(|held| held.overlaps(run))
}

impl World {
    pub(super) fn new(start: &Start) -> Self {
        let size = start.page_size;
        let geometry = Geometry::new(size, 512, 4 * u64::from(size), size).expect("possible");
        let first = geometry.first_group();
        let groups = u64::from(start.groups) * geometry.group_pages();
        let pages = (first + groups).saturating_add_signed(i64::from(start.by)).max(first + 48);
        let cursor = first + u64::from(start.cursor) * (pages - first) / u64::from(u16::MAX);
        let top = MapTop::default();
        Self {
            geometry,
            disk: Io::new(Disk::new(geometry)),
            windows: vec![0xEE; start.windows * size as usize],
            map: FreeMap::new(top, cursor, pages, &geometry),
            pages,
            superblock: Superblock { top, cursor, pages },
            used: Runs::default(),
            commits: Vec::new(),
            stages: Vec::new(),
            fold: None,
            pinned: None,
        }
    }

    /// Everything that may not be handed out, but for what is durably in use.
    fn taken(&self) -> Runs {
        let mut taken = Runs::default();
        let commits = self.commits.iter().flat_map(|commit| &commit.extents);
        let placed = self.fold.iter().flat_map(|fold| &fold.placed);
        commits.chain(self.stages.iter().flatten()).chain(placed).for_each(|extent| taken.add(*extent));
        taken
    }

    /// Runs ahead that the durable map calls free and that are not pinned, each in one group.
    fn runs_ahead(&self) -> Vec<(u64, u64)> {
        let (first, ahead) = (self.geometry.first_group(), self.map.at.ahead);
        let cursor = self.map.at.cursor.max(first);
        let limit = ahead.limit.min(self.pages);
        let parts =
            if ahead.wrapped { [(cursor, limit), (0, 0)] } else { [(cursor, self.pages), (first, limit)] };
        let mut runs = Vec::new();
        for (from, to) in parts.into_iter().filter(|(from, to)| from < to) {
            for group in self.geometry.group_of(from)..=self.geometry.group_of(to - 1) {
                let start = self.geometry.group_start(group);
                let mut at = from.max(start + self.geometry.reserved(group));
                let end = to.min(start + self.geometry.group_pages());
                let mut busy: Vec<_> = self.used.within(at, end.max(at)).collect();
                let pinned = self.pinned.map(|held| (held.start.0.max(at), held.end().min(end)));
                busy.extend(pinned.filter(|(from, to)| from < to));
                busy.sort_unstable();
                for (from, to) in busy {
                    runs.extend((at < from).then_some((at, from)));
                    at = at.max(to);
                }
                runs.extend((at < end).then_some((at, end)));
            }
        }
        runs
    }

    /// Asks for pages and checks the answer.
    fn allocate(&mut self, (min, want): (u64, u64), floor: u64, own: &[Extent]) -> Option<Extent> {
        let (ahead, free) = (self.runs_ahead(), self.map.at.free);
        let pinned = pin(self.pinned);
        let space = &mut Disk::space(&mut self.disk, &self.geometry, &self.superblock.top, &mut self.windows);
        let found =
            self.map.allocate(space, (min, want), (self.pages, floor as usize), pinned).expect("no damage");
        let Some(extent) = found else {
            let longest = ahead.iter().map(|(from, to)| to - from).max().unwrap_or(0);
            TALLY.hit(if floor > 0 && longest >= min { "no run above the floor" } else { "no run ahead" });
            assert!(floor > 0 || longest < min, "{min} pages of {longest} are refused");
            assert_eq!(self.map.at.free, free, "a refusal takes nothing");
            return None;
        };
        assert!(extent.pages >= min && extent.pages <= want, "{extent:?} for {min} to {want}");
        assert!(extent.start.0 >= self.geometry.first_group() && extent.end() <= self.pages, "{extent:?}");
        let group = self.geometry.group_of(extent.start.0);
        let start = self.geometry.group_start(group);
        assert!(extent.start.0 >= start + self.geometry.reserved(group), "{extent:?} holds map slots");
        assert!(extent.end() <= start + self.geometry.group_pages(), "{extent:?} leaves its group");
        assert!(!self.used.meets(extent), "{extent:?} is in use durably");
        assert!(!self.taken().meets(extent), "{extent:?} was handed out before");
        assert!(!own.iter().any(|other| other.overlaps(extent)), "{extent:?} twice in one commit");
        if self.pinned.is_some_and(|held| held.start.0 < extent.start.0) {
            TALLY.hit("pinned run passed over");
        }
        assert!(self.pinned.is_none_or(|held| !held.overlaps(extent)), "{extent:?} is pinned");
        assert!(floor == 0 || self.map.at.free as u64 >= floor, "{} ahead of {floor}", self.map.at.free);
        TALLY.add("wrapped", u64::from(self.map.at.ahead.wrapped));
        Some(extent)
    }

    /// Pages for all `sizes`, if need be from a longer file.
    fn allocate_all(&mut self, sizes: &[(u16, u16)], floor: u64, give_back: u64) -> Option<Vec<Extent>> {
        let mut own = Vec::new();
        for &(min, more) in sizes {
            let range = (u64::from(min), u64::from(min) + u64::from(more));
            let extent = match self.allocate(range, floor, &own) {
                Some(extent) => extent,
                // Every third file grows.
                None if self.pages.is_multiple_of(3) => {
                    TALLY.hit("commit after growth");
                    self.grow(range.0 + 64);
                    self.allocate(range, floor, &own)?
                }
                None => return None,
            };
            let unused = give_back.min(extent.pages - 1);
            if unused > 0 {
                TALLY.hit("commit with pages given back");
                self.map.give_back(unused);
            }
            own.push(Extent::new(extent.start, extent.pages - unused));
        }
        Some(own)
    }

    fn record(&mut self, extents: Vec<Extent>) {
        self.map.keep(self.pages);
        let at = self.map.at;
        let (limit, wrapped) = (at.ahead.limit, at.ahead.wrapped);
        let record = Record { cursor: at.cursor, limit, wrapped, pages: self.pages };
        self.commits.push(Commit { extents, record, frozen: false, settled: false });
    }

    fn commit(&mut self, sizes: &[(u16, u16)], floor: u64, give_back: u64, refused: bool) {
        self.map.keep(self.pages);
        let (before, old) = (self.map.at.cursor, self.pages);
        match self.allocate_all(sizes, floor, give_back).filter(|_| !refused) {
            Some(extents) => {
                TALLY.hit("commit");
                self.record(extents);
            }
            None => {
                TALLY.hit("commit refused");
                let pages = self.pages;
                self.map.take_back(pages, &self.geometry);
                let at = self.map.at;
                assert!(at.cursor == before || at.cursor == old, "what was handed out is taken back");
                assert!(!at.ahead.wrapped || old == pages || at.ahead.limit == pages, "growth is kept");
            }
        }
    }

    fn grow(&mut self, by: u64) {
        let old = self.pages;
        self.pages += by;
        TALLY.add("growth after wrapping", u64::from(self.map.at.ahead.wrapped));
        let before = self.map.at;
        self.map.grown(old, self.pages, &self.geometry);
        let skips = self.map.at.cursor != before.cursor;
        assert!(before.ahead.wrapped || !skips, "growth skips pages that are ahead");
    }

    fn begin(&mut self) {
        if self.fold.is_none() {
            self.map.begin(&self.superblock.top.at.digest.0, self.pages);
            self.commits.iter_mut().for_each(|commit| commit.frozen = true);
            self.fold = Some(Fold { next: self.used.clone(), placed: Vec::new(), freed: Vec::new() });
        }
    }

    fn mark(&mut self, extent: Extent, used: bool) {
        let space = &mut Disk::space(&mut self.disk, &self.geometry, &self.superblock.top, &mut self.windows);
        self.map.mark_extent(space, extent, used).expect("no damage");
        let next = &mut self.fold.as_mut().expect("under way").next;
        if used { next.add(extent) } else { next.take(extent) }
    }

    /// A node of the registry is written.
    fn place(&mut self) {
        let mut node = self.allocate((1, 1), 0, &[]);
        while node.is_none() {
            self.grow(400);
            node = self.allocate((1, 1), 0, &[]);
        }
        let node = node.expect("the file grows beyond what is pinned");
        TALLY.hit("node placed");
        self.mark(node, true);
        self.map.count_folded(1);
        self.fold.as_mut().expect("under way").placed.push(node);
    }

    /// Marks what the next frozen commit refers to; false if all is marked.
    fn settle(&mut self) -> bool {
        let Some(commit) = self.commits.iter_mut().find(|commit| commit.frozen && !commit.settled) else {
            return false;
        };
        commit.settled = true;
        let extents = commit.extents.clone();
        extents.into_iter().for_each(|extent| self.mark(extent, true));
        true
    }

    fn free(&mut self, at: proptest::sample::Index) {
        let Some(fold) = &self.fold else { return };
        let old: Vec<_> =
            self.used.extents().into_iter().filter(|extent| !fold.freed.contains(extent)).collect();
        if old.is_empty() {
            return;
        }
        let extent = old[at.index(old.len())];
        TALLY.hit("extent freed");
        self.mark(extent, false);
        self.fold.as_mut().expect("under way").freed.push(extent);
    }

    fn finish(&mut self) {
        while self.settle() {}
        let space = &mut Disk::space(&mut self.disk, &self.geometry, &self.superblock.top, &mut self.windows);
        let top = self.map.flush(space).expect("no damage");
        let fold = self.fold.take().expect("under way");
        TALLY.hit(if self.stages.is_empty() { "checkpoint" } else { "checkpoint with staged pages" });
        TALLY.add("two levels of map", u64::from(top.level == 1));
        TALLY.add("three levels of map", u64::from(top.level == 2));
        self.disk.device.adopt(top, &fold.next);
        self.superblock = Superblock { top, cursor: self.map.mark(), pages: self.pages };
        self.used = fold.next;
        self.commits.retain(|commit| !commit.frozen);
        self.map.finish(self.pages, &self.geometry);
        assert_eq!(self.map.durable(), Top::from(&top));
        if self.commits.is_empty() {
            self.restart();
        } else {
            TALLY.hit("checkpoint with commits behind it");
        }
    }

    /// All that is free may be handed out again, if no commit and no write waits for anything.
    fn restart(&mut self) {
        let begun = self.map.restart(self.pages, &self.geometry);
        assert_eq!(begun, self.stages.is_empty());
        TALLY.add("new round", u64::from(begun));
    }

    /// The fold comes to nothing and will begin anew.
    fn abandon(&mut self) {
        self.map.abandon(&self.superblock.top.at.digest.0, self.pages, &self.geometry);
        self.commits.iter_mut().for_each(|commit| commit.settled = false);
        if let Some(fold) = &mut self.fold {
            *fold = Fold { next: self.used.clone(), placed: Vec::new(), freed: Vec::new() };
        }
    }

    /// A group that the journal cannot take: a checkpoint makes it durable, or it never was.
    fn fold_at_once(&mut self, sizes: &[(u16, u16)], fails: bool) {
        if self.fold.is_some() || !self.commits.is_empty() {
            return;
        }
        self.map.keep(self.pages);
        let Some(extents) = self.allocate_all(sizes, 0, 0) else {
            self.map.take_back(self.pages, &self.geometry);
            return;
        };
        let kept = self.map.kept();
        let at = self.map.at;
        let record = Record { cursor: at.cursor, limit: 0, wrapped: false, pages: self.pages };
        self.commits.push(Commit { extents, record, frozen: false, settled: false });
        self.begin();
        self.place();
        if !fails {
            TALLY.hit("commit by checkpoint");
            self.finish();
            return;
        }
        TALLY.hit("commit by checkpoint given up");
        self.abandon();
        self.fold = None;
        self.commits.clear();
        self.map.take_back_to(kept, self.pages, &self.geometry);
    }

    /// Only what is on the device is left. It is folded in before anything else happens.
    fn crash(&mut self, nodes: u8, again: bool) {
        let Superblock { top, cursor, pages } = self.superblock;
        self.windows.fill(0xDD);
        self.pages = pages;
        self.map = FreeMap::new(top, cursor, pages, &self.geometry);
        (self.fold, self.pinned) = (None, None);
        self.stages.clear();
        self.commits.iter_mut().for_each(|commit| (commit.frozen, commit.settled) = (false, false));
        let Some(last) = self.commits.last() else { return };
        let record = last.record;
        TALLY.hit("crash with commits");
        self.pages = pages.max(record.pages);
        self.map.resume(record.cursor, record.limit, record.wrapped, self.pages, &self.geometry);
        self.exhaust();
        self.begin();
        (0..nodes).for_each(|_| self.place());
        if again {
            TALLY.hit("crash in the middle of recovery");
            self.settle();
            self.crash(nodes, false);
            return;
        }
        self.finish();
    }

    fn ask(&mut self, from: proptest::sample::Index, pages: u64) {
        let first = self.geometry.first_group();
        let start = first + from.index((self.pages - first) as usize) as u64;
        let known = self.used.extents();
        let near = known.get(from.index(known.len().max(1))).copied();
        for extent in near.into_iter().chain([Extent::new(PageIndex(start), pages)]) {
            // Map slots are marked too, from the first change of their group on.
            let group = self.geometry.group_of(extent.start.0);
            if extent.start.0 < self.geometry.group_start(group) + self.geometry.reserved(group) {
                continue;
            }
            if self.geometry.group_of(extent.end() - 1) != group {
                continue;
            }
            let space =
                &mut Disk::space(&mut self.disk, &self.geometry, &self.superblock.top, &mut self.windows);
            let answer = self.map.is_used(space, extent).expect("no damage");
            assert_eq!(answer, self.used.covers(extent), "{extent:?}");
            let mut scanned = Runs::default();
            let bits = self.map.scan_group(space, group, |run| scanned.add(run)).expect("no damage");
            let (from, to) = (self.geometry.group_start(group), self.geometry.group_start(group + 1));
            let expected: u64 = self.used.within(from, to).map(|(from, to)| to - from).sum();
            assert_eq!(scanned.pages(), expected);
            assert!(bits == 0 && expected == 0 || bits == expected + self.geometry.reserved(group));
            assert!(
                self.used
                    .within(from, to)
                    .all(|(from, to)| scanned.covers(Extent::new(PageIndex(from), to - from)))
            );
        }
    }

    pub(super) fn apply(&mut self, event: &Event) {
        match event {
            Event::Commit { sizes, floor, give_back, refused } => {
                self.commit(sizes, u64::from(*floor), u64::from(*give_back), *refused);
            }
            Event::StageBegin if self.stages.len() < 3 => {
                self.map.stage(self.pages);
                self.stages.push(Vec::new());
            }
            Event::StageWrite(pages) if !self.stages.is_empty() => {
                self.map.keep(self.pages);
                let size = u64::from(*pages);
                if let Some(extent) = self.allocate((size, size), 0, &[]) {
                    TALLY.hit("staged");
                    self.map.keep(self.pages);
                    self.stages.last_mut().expect("there is one").push(extent);
                }
            }
            Event::StageEnd { committed } => {
                let Some(extents) = self.stages.pop() else { return };
                TALLY.hit(if *committed { "staged and committed" } else { "staged and given up" });
                if *committed {
                    self.record(extents);
                }
                self.map.unstage();
            }
            Event::FoldBegin => self.begin(),
            Event::FoldPlace(nodes) if self.fold.is_some() => (0..*nodes).for_each(|_| self.place()),
            Event::FoldSettle(commits) if self.fold.is_some() => {
                (0..*commits).for_each(|_| _ = self.settle())
            }
            Event::FoldFree(at) => self.free(*at),
            Event::FoldFinish if self.fold.is_some() => self.finish(),
            Event::FoldAbandon if self.fold.is_some() => {
                TALLY.hit("checkpoint given up");
                self.abandon();
            }
            Event::FoldAtOnce { sizes, fails } => self.fold_at_once(sizes, *fails),
            Event::Restart if self.fold.is_none() && self.commits.is_empty() => self.restart(),
            Event::Grow(by) if self.pages < 500_000 => {
                self.grow(u64::from(*by));
                self.map.keep(self.pages);
            }
            Event::Pin(held) => {
                let first = self.geometry.first_group();
                self.pinned = held.map(|(at, pages)| {
                    let start = first + at.index((self.pages - first) as usize) as u64;
                    Extent::new(PageIndex(start), u64::from(pages))
                });
            }
            Event::Ask(from, pages) => self.ask(*from, u64::from(*pages)),
            Event::Crash { nodes, again } => self.crash(*nodes, *again),
            Event::Drain => {
                self.exhaust();
                self.drain();
            }
            _ => {}
        }
    }

    /// No more pages are said to be free than there are.
    pub(super) fn assert_counts(&mut self) {
        let pinned = self.pinned.take();
        let free: u64 = self.runs_ahead().iter().map(|(from, to)| to - from).sum();
        self.pinned = pinned;
        assert!(self.map.at.free as u64 <= free, "{} pages are said to be free of {free}", self.map.at.free);
    }

    /// Brings everything home.
    pub(super) fn settle_all(&mut self) {
        while let Some(_extents) = self.stages.pop() {
            self.map.unstage();
        }
        for _ in 0..2 {
            self.begin();
            self.finish();
        }
        self.pinned = None;
    }

    /// When nobody waits for anything, all that is free is handed out, once.
    pub(super) fn drain(&mut self) {
        if self.fold.is_some() || !self.commits.is_empty() || !self.stages.is_empty() || self.pinned.is_some()
        {
            return;
        }
        TALLY.hit("drained");
        self.restart();
        let (groups, inside) = (self.geometry.groups(self.pages), self.pages - self.geometry.first_group());
        let slots: u64 = (0..groups)
            .map(|group| self.geometry.reserved(group).min(self.pages - self.geometry.group_start(group)))
            .sum();
        let free = inside - slots - self.used.pages();
        assert_eq!(self.exhaust(), free, "all that is free is handed out");
    }

    /// Takes all that is ahead, looks whose it is, and gives it back. Returns how many pages it was.
    fn exhaust(&mut self) -> u64 {
        self.map.keep(self.pages);
        let mut all = Runs::default();
        while let Some(extent) = self.allocate((1, 5000), 0, &[]) {
            all.add(extent);
        }
        self.map.take_back(self.pages, &self.geometry);
        TALLY.hit("all ahead looked at");
        all.pages()
    }
}

//! Map pages in memory: reading them, making the next checkpoint's versions, writing those out.

use super::bits::{entry, entry_mut, set_bits};
use super::{FoldCount, FreeMap, MAX_WINDOWS, MapRef, MapSpace, MapTop, State, Top, Version, Window};
use crate::bytes;
use crate::device::BlockDevice;
use crate::digest::Digest;
use crate::error::Structure;
use crate::failure::Failure;
use crate::format::{MapEntry, MapHeader, U32, U64};
use crate::ids::Extent;
use zerocopy::{FromBytes as _, IntoBytes as _};

impl FreeMap {
    fn find(&self, level: u32, index: u32, slot: u32) -> Option<usize> {
        self.windows
            .iter()
            .position(|w| u32::from(w.level) == level && w.index == index && w.state.slot() == slot)
    }

    pub(super) fn page<'w, D: BlockDevice>(space: &'w MapSpace<'_, D>, window: usize) -> &'w [u8] {
        bytes::piece(space.windows, window, space.geometry.page_size())
    }

    fn page_mut<'w, D: BlockDevice>(space: &'w mut MapSpace<'_, D>, window: usize) -> &'w mut [u8] {
        bytes::piece_mut(space.windows, window, space.geometry.page_size())
    }

    fn set_window(&mut self, at: usize, window: Window) {
        if let Some(place) = self.windows.get_mut(at) {
            *place = window;
        }
    }

    /// The page in a window has been looked at, and, if `dirty`, is about to be changed.
    fn touch(&mut self, at: usize, dirty: bool) {
        if let Some(window) = self.windows.get_mut(at) {
            window.touched = self.clock;
            if dirty {
                window.state = State::dirty(window.state.slot() as u8);
            }
        }
    }

    /// A window, but not `but`, for a page that is not in memory; writes a changed page out if it must.
    fn claim<D: BlockDevice>(
        &mut self,
        space: &mut MapSpace<'_, D>,
        window: Window,
        but: Option<usize>,
    ) -> Result<usize, Failure> {
        let capacity = (space.windows.len() / space.geometry.page_size()).min(MAX_WINDOWS);
        if self.windows.len() < capacity && self.windows.push(window).is_ok() {
            return Ok(self.windows.len() - 1);
        }
        let on_path = |w: &Window| {
            w.state.is_dirty() && w.index == space.geometry.map_above(self.group, w.level.into())
        };
        // The clock goes round: what counts is how long ago that was.
        let (clock, levels) = (self.clock, |w: &Window| if w.state.is_dirty() { w.level } else { 0 });
        let lowest =
            |a: &(usize, &Window)| (a.1.state.is_dirty(), levels(a.1), !clock.wrapping_sub(a.1.touched));
        let others =
            self.windows.iter().enumerate().filter(|(at, window)| !on_path(window) && Some(*at) != but);
        let victim = others.min_by_key(lowest).map(|(at, _)| at);
        let victim = victim.ok_or(Failure::WorkspaceTooSmall)?;
        self.write_out(space, victim)?;
        self.set_window(victim, window);
        Ok(victim)
    }

    /// Writes a map page, if it is changed, into its slot and its digest into its parent.
    fn write_out<D: BlockDevice>(&mut self, space: &mut MapSpace<'_, D>, at: usize) -> Result<(), Failure> {
        let window = self.windows.get(at).filter(|window| window.state.is_dirty());
        let Some(&Window { level, index, state, .. }) = window else { return Ok(()) };
        let (level, slot) = (u32::from(level), state.slot());
        let offset = space.geometry.offset(space.geometry.map_page(level, index, slot));
        let page = bytes::piece(space.windows, at, space.geometry.page_size());
        space.device.write(offset, page)?;
        let digest = Digest::of(page);
        if let Some(window) = self.windows.get_mut(at) {
            window.state = if slot == 1 { State::A } else { State::B };
        }
        if level == u32::from(self.next.level) {
            self.next_digest = digest;
            return Ok(());
        }
        let known = self.parent_entry(space, level, index).ok_or(Failure::WorkspaceTooSmall)?;
        known.digest = digest.0;
        Ok(())
    }

    /// What the next map knows of a page, where it stands: in the page above, which is changed.
    fn parent_entry<'w, D: BlockDevice>(
        &self,
        space: &'w mut MapSpace<'_, D>,
        level: u32,
        index: u32,
    ) -> Option<&'w mut MapEntry> {
        let (above, place) = (space.geometry.map_above(index, 1), space.geometry.map_place(index));
        let parent = self.changed(level + 1, above)?;
        entry_mut(Self::page_mut(space, parent), place)
    }

    /// The window of an existing map page in slot 1 or 2, read and verified if need be.
    fn load<D: BlockDevice>(
        &mut self,
        space: &mut MapSpace<'_, D>,
        level: u32,
        index: u32,
        at: &MapRef,
    ) -> Result<usize, Failure> {
        self.clock = self.clock.wrapping_add(1);
        if (1..=2).contains(&at.slot)
            && let Some(found) = self.find(level, index, at.slot)
        {
            self.touch(found, false);
            return Ok(found);
        }
        // Until the page is there, and sound, the window holds nothing that may be found.
        let mut window = Window { index, touched: self.clock, level: level as u8, state: State::Nothing };
        let found = self.claim(space, window, None)?;
        let offset = space.geometry.offset(space.geometry.map_page(level, index, at.slot));
        let page = bytes::piece_mut(space.windows, found, space.geometry.page_size());
        space.device.read(offset, page)?;
        let header = MapHeader::ref_from_prefix(page);
        let belongs = header.is_ok_and(|(header, _)| {
            header.magic == MapHeader::MAGIC
                && header.level.get() == level
                && header.index.get() == u64::from(index)
        });
        if !belongs || !at.digest.is_of(page) {
            return Err(space.device.damaged(Structure::FreeMap, offset));
        }
        window.state = if at.slot == 1 { State::A } else { State::B };
        self.set_window(found, window);
        Ok(found)
    }

    /// The slot of a map page in a version of the map, 0 if it has none, and the page's set bits.
    #[cfg_attr(not(feature = "alloc"), inline(never))]
    pub(super) fn known<D: BlockDevice>(
        &mut self,
        space: &mut MapSpace<'_, D>,
        version: Version,
        level: u32,
        index: u32,
    ) -> Result<(u32, u64), Failure> {
        let mut at = MapRef::default();
        self.entry_into(space, version, level, index, &mut at)?;
        Ok((at.slot, at.used))
    }

    /// The window of a version's map page, read and verified if need be; None if it has none.
    pub(super) fn load_of<D: BlockDevice>(
        &mut self,
        space: &mut MapSpace<'_, D>,
        version: Version,
        level: u32,
        index: u32,
    ) -> Result<Option<usize>, Failure> {
        let mut at = MapRef::default();
        self.entry_into(space, version, level, index, &mut at)?;
        if at.slot == 0 { Ok(None) } else { self.load(space, level, index, &at).map(Some) }
    }

    /// Puts what a version of the map knows of a map page into `at`, in which there is nothing. It is large for a small
    /// stack, so it stays where the caller has room for it.
    fn entry_into<D: BlockDevice>(
        &mut self,
        space: &mut MapSpace<'_, D>,
        version: Version,
        level: u32,
        index: u32,
        at: &mut MapRef,
    ) -> Result<(), Failure> {
        let geometry = space.geometry;
        let (top, digest) = match version {
            Version::Durable => (&self.durable, space.top),
            Version::Next => (&self.next, &self.next_digest.0),
        };
        let highest = u32::from(top.level);
        if level > highest || geometry.map_above(index, highest - level) != 0 {
            return Ok(());
        }
        (at.used, at.slot) = (top.used, top.slot.into());
        bytes::copy(&mut at.digest.0, digest).ok_or(Failure::WorkspaceTooSmall)?;
        for l in (level + 1..highest + 1).rev() {
            if at.slot == 0 {
                *at = MapRef::default();
                return Ok(());
            }
            // Nor is it looked for in memory: a window that holds nothing has such a number.
            if at.slot > 2 {
                break;
            }
            let window = self.load(space, l, geometry.map_above(index, l - level), at)?;
            let place = geometry.map_place(geometry.map_above(index, l - level - 1));
            *at = entry(Self::page(space, window), place);
        }
        if at.slot > 2 {
            let offset = geometry.offset(geometry.map_page(level, index, 1));
            return Err(space.device.damaged(Structure::FreeMap, offset));
        }
        Ok(())
    }

    /// The window of a map page that may be changed, as part of the next map.
    pub(super) fn change<D: BlockDevice>(
        &mut self,
        space: &mut MapSpace<'_, D>,
        lowest: u32,
        index: u32,
    ) -> Result<usize, Failure> {
        let geometry = space.geometry;
        while lowest > self.next.level.into()
            || geometry.map_above(index, u32::from(self.next.level) - lowest) > 0
        {
            self.raise(space)?;
        }
        // From the top down: a page is changed when the one above it is.
        let mut window = 0;
        for level in (lowest..u32::from(self.next.level) + 1).rev() {
            window = self.change_under(space, level, geometry.map_above(index, level - lowest))?;
        }
        Ok(window)
    }

    /// As [`change`](Self::change), of a page whose parent is changed.
    fn change_under<D: BlockDevice>(
        &mut self,
        space: &mut MapSpace<'_, D>,
        level: u32,
        index: u32,
    ) -> Result<usize, Failure> {
        let (durable, _) = self.known(space, Version::Durable, level, index)?;
        let (next, _) = self.known(space, Version::Next, level, index)?;
        if next == 0 || next == durable {
            // Here less is on the stack than where it is copied.
            let old = self.load_of(space, Version::Durable, level, index)?;
            self.copy_page(space, level, index, (old, durable))?;
        }
        let window = self.load_of(space, Version::Next, level, index)?;
        let window = window.ok_or(Failure::WorkspaceTooSmall)?;
        self.touch(window, true);
        Ok(window)
    }

    /// The window of a page that is changed and in memory.
    fn changed(&self, level: u32, index: u32) -> Option<usize> {
        self.windows
            .iter()
            .position(|w| u32::from(w.level) == level && w.index == index && w.state.is_dirty())
    }

    /// Makes the next map's version of a page, of the durable one's in window `old`, in the slot that the durable map
    /// does not use.
    fn copy_page<D: BlockDevice>(
        &mut self,
        space: &mut MapSpace<'_, D>,
        level: u32,
        index: u32,
        (old, durable): (Option<usize>, u32),
    ) -> Result<(), Failure> {
        let slot = if durable == 1 { 2 } else { 1 };
        if let Some(stale) = self.find(level, index, slot)
            && let Some(window) = self.windows.get_mut(stale)
        {
            window.state = State::Nothing;
        }
        let size = space.geometry.page_size();
        self.clock = self.clock.wrapping_add(1);
        let state = State::dirty(slot as u8);
        let new = Window { index, touched: self.clock, level: level as u8, state };
        let window = self.claim(space, new, old)?;
        let mut added = 0;
        match old {
            Some(old) => bytes::copy_piece(space.windows, old, window, size),
            None => added = self.blank(space, window)?,
        }
        self.set_slot(space, level, index, slot)?;
        self.add_used(space, level, index, added as i64)
    }

    /// Makes a new, empty map page in `window` and returns the number of its set bits.
    fn blank<D: BlockDevice>(&mut self, space: &mut MapSpace<'_, D>, window: usize) -> Result<u64, Failure> {
        let (level, index) = self.windows.get(window).map_or((0, 0), |w| (u32::from(w.level), w.index));
        let reserved = space.geometry.reserved(index);
        let page = Self::page_mut(space, window);
        page.fill(0);
        let header = MapHeader {
            magic: MapHeader::MAGIC,
            level: U32::new(level),
            index: U64::new(index.into()),
            reserved: [0; 16],
        };
        bytes::copy(page, header.as_bytes()).ok_or(Failure::WorkspaceTooSmall)?;
        if level > 0 {
            return Ok(0);
        }
        set_bits(page, 0, reserved as u32, true);
        Ok(reserved)
    }

    /// Adds a level above the next map's top page.
    fn raise<D: BlockDevice>(&mut self, space: &mut MapSpace<'_, D>) -> Result<(), Failure> {
        self.clock = self.clock.wrapping_add(1);
        let level = self.next.level + 1;
        let slot = 1;
        let new = Window { index: 0, touched: self.clock, level, state: State::dirty(slot) };
        let window = self.claim(space, new, None)?;
        self.blank(space, window)?;
        // Only now: the old top page may have been written out to make room.
        let known = entry_mut(Self::page_mut(space, window), 0).ok_or(Failure::WorkspaceTooSmall)?;
        // To assign it would bring the compiler's function for overlapping bytes along, 1.6 KB.
        bytes::copy(&mut known.digest, &self.next_digest.0).ok_or(Failure::WorkspaceTooSmall)?;
        known.used = U64::new(self.next.used);
        known.slot = U32::new(self.next.slot.into());
        (self.next.level, self.next.slot) = (level, slot);
        self.next_digest = Digest::default();
        Ok(())
    }

    /// Points the parent of a next map page to `slot`.
    fn set_slot<D: BlockDevice>(
        &mut self,
        space: &mut MapSpace<'_, D>,
        level: u32,
        index: u32,
        slot: u32,
    ) -> Result<(), Failure> {
        if level == u32::from(self.next.level) {
            self.next.slot = slot as u8;
            return Ok(());
        }
        let known = self.parent_entry(space, level, index).ok_or(Failure::WorkspaceTooSmall)?;
        known.slot = U32::new(slot);
        Ok(())
    }

    /// Adds to the counts of set bits above a next map page.
    fn add_used<D: BlockDevice>(
        &mut self,
        space: &mut MapSpace<'_, D>,
        level: u32,
        index: u32,
        delta: i64,
    ) -> Result<(), Failure> {
        let mut child = index;
        for level in level..u32::from(self.next.level) {
            let known = self.parent_entry(space, level, child).ok_or(Failure::WorkspaceTooSmall)?;
            known.used = U64::new(known.used.get().saturating_add_signed(delta));
            child = space.geometry.map_above(child, 1);
        }
        self.next.used = self.next.used.saturating_add_signed(delta);
        Ok(())
    }

    /// Sets or clears the bits of `extent` in the next map; only what is set can be cleared.
    pub(crate) fn mark_extent<D: BlockDevice>(
        &mut self,
        space: &mut MapSpace<'_, D>,
        extent: Extent,
        used: bool,
    ) -> Result<(), Failure> {
        let geometry = space.geometry;
        let mut page = extent.start.0;
        while page < extent.end() {
            let group = geometry.group_of(page);
            let start = geometry.group_start(group);
            let end = extent.end().min(start + geometry.group_pages());
            self.group = group;
            let window = self.change(space, 0, group)?;
            let slots = !used && page - start < geometry.reserved(group);
            let (from, count) = ((page - start) as u32, (end - page) as u32);
            let changed = set_bits(Self::page_mut(space, window), from, count, used);
            if slots || (!used && changed < count) {
                // A tree that names a page twice or one of the map's own, or a map that never knew of it.
                let offset = geometry.offset(page);
                return Err(space.device.damaged(Structure::FreeMap, offset));
            }
            let delta = if used { i64::from(changed) } else { -i64::from(changed) };
            if !used {
                let freed = changed as usize;
                let (behind, ahead) = if self.has_passed(page) { (freed, 0) } else { (0, freed) };
                let count = self.at.fold;
                self.at.fold = FoldCount {
                    behind: count.behind.saturating_add(behind),
                    ahead: count.ahead.saturating_add(ahead),
                    ..count
                };
            }
            self.add_used(space, 0, group, delta)?;
            page = end;
        }
        Ok(())
    }

    /// Writes every changed map page and returns the next map's top page, for the superblock.
    pub(crate) fn flush<D: BlockDevice>(&mut self, space: &mut MapSpace<'_, D>) -> Result<MapTop, Failure> {
        for level in 0..u32::from(self.next.level) + 1 {
            while let Some(at) =
                self.windows.iter().position(|w| w.state.is_dirty() && u32::from(w.level) == level)
            {
                self.write_out(space, at)?;
            }
        }
        let Top { used, level, slot } = self.next;
        let at = MapRef { digest: self.next_digest, used, slot: slot.into() };
        Ok(MapTop { level: level.into(), at })
    }
}

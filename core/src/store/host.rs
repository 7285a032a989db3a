//! What a fold, the allocator and value copies ask of the store: everything but the fold itself.

use super::Pending;
use crate::bytes;
use crate::device::{BlockDevice, Io};
use crate::digest::{Digest, Hasher};
use crate::error::{Damage, Structure};
use crate::failure::Failure;
use crate::format::{ChunkRef, Geometry, SuperblockFacts};
use crate::freemap::{FreeMap, MapSpace};
use crate::ids::{Extent, PageIndex, Sequence};
use crate::journal::{RingReader, RingWindow};
use crate::overlay::{Entry, Overlay, Value};
use crate::tree::{Child, FoldHost, NodeSink, NodeView, Settled};

/// A step of growth is this part of the device, unless the options say less.
const GROWTH_SHARE: u64 = 16;

/// Pages of the least step of growth, unless the options say less.
const LEAST_GROWTH: u64 = 64;

/// The parts of a store that work while a fold is under way.
pub(crate) struct Host<'a, D: BlockDevice, O> {
    pub(crate) io: &'a mut Io<D>,
    pub(crate) overlay: &'a mut O,
    pub(crate) map: &'a mut FreeMap,
    pub(crate) geometry: &'a Geometry,
    /// The newest durable one.
    pub(crate) superblock: &'a SuperblockFacts,
    pub(crate) windows: &'a mut [u8],
    pub(crate) transfer: &'a mut [u8],
    pub(crate) pages: &'a mut u64,
    pub(crate) growth: u64,
    pub(crate) tree_pages: isize,
    pub(crate) relocate_above: Sequence,
    /// The most pages that the map's memory can describe.
    pub(crate) max_pages: u64,
    /// Free pages that runs of several pages, and copies, must leave ahead.
    pub(crate) floor: usize,
    /// Pages that may still be copied: by recovery each of the file once.
    pub(crate) copies: usize,
    /// The spare page that was handed in last was used.
    pub(crate) used_spare: bool,
}

/// Where bytes are that are brought home.
#[derive(Clone, Copy, Debug)]
enum Source {
    /// In pages from a byte offset on.
    Extent { offset: u64 },
    /// At a position of the journal.
    Journal { at: u64 },
}

impl<D: BlockDevice, O: Overlay> Host<'_, D, O> {
    fn map_space(&mut self) -> (&mut FreeMap, MapSpace<'_, D>) {
        let top = &self.superblock.map_digest;
        let space = MapSpace { device: self.io, geometry: self.geometry, top, windows: self.windows };
        (self.map, space)
    }

    /// Hands out at least `min` and at most `want` consecutive pages, growing the device if need be.
    pub(crate) fn allocate(&mut self, min: u64, want: u64) -> Result<Extent, Failure> {
        // Who takes single pages has seen to it that they are there.
        let floor = if min > 1 { self.floor } else { 0 };
        self.allocate_above(floor, min, want)
    }

    /// As [`allocate`](Self::allocate), such that `floor` free pages are left ahead.
    fn allocate_above(&mut self, floor: usize, min: u64, want: u64) -> Result<Extent, Failure> {
        for _ in 0..3 {
            let overlay = &*self.overlay;
            let top = &self.superblock.map_digest;
            let space =
                &mut MapSpace { device: self.io, geometry: self.geometry, top, windows: self.windows };
            let limits = (*self.pages, floor);
            let found = self.map.allocate(space, (min, want), limits, |run| overlay.pinned(run))?;
            if let Some(extent) = found {
                return Ok(extent);
            }
            self.grow(min)?;
        }
        Err(Failure::Full)
    }

    /// Grows the device by a step, or by what `need` pages take if it cannot grow by a whole step,
    /// and makes the growth durable.
    pub(crate) fn grow(&mut self, need: u64) -> Result<(), Failure> {
        let old = *self.pages;
        // A new group's map slots come on top.
        let least = (need + 32).min(self.max_pages.saturating_sub(old));
        // In proportion: a step is not much beside what is there, and their number is not either.
        let step = (old / GROWTH_SHARE).max(LEAST_GROWTH).min(self.growth);
        let steps = [step.max(need + 32), least];
        for step in steps {
            let new = old.saturating_add(step).min(self.max_pages);
            if step == 0 || new < old + need {
                return Err(Failure::Full);
            }
            match self.io.grow(self.geometry.offset(new)) {
                Ok(()) => {
                    self.io.sync()?;
                    *self.pages = new;
                    self.map.grown(old, new, self.geometry);
                    return Ok(());
                }
                Err(Failure::Full) => {}
                Err(failure) => return Err(failure),
            }
        }
        Err(Failure::Full)
    }

    fn mark(&mut self, page: PageIndex, length: u64, used: bool) -> Result<(), Failure> {
        let extent = Extent::new(page, self.geometry.pages_for(length));
        if page.0 < self.geometry.first_group() || extent.end() > *self.pages {
            return Err(self.damaged(page));
        }
        let (map, mut space) = self.map_space();
        map.mark_extent(&mut space, extent, used)?;
        if !used {
            self.overlay.retire(extent);
        }
        Ok(())
    }

    /// Moves `length` bytes from where they are to the pages from `page` on, and checks their digest on the way.
    /// Writes begin at a page and are whole pages. Reads go through the second half of the transfer buffer, or the spare page.
    fn bring_home(
        &mut self,
        page: PageIndex,
        length: u64,
        digest: &Digest,
        place: Damage,
        source: Source,
        spare: &mut [u8],
    ) -> Result<(), Failure> {
        let page_size = self.geometry.page_size();
        let half = bytes::round_up(self.transfer.len() / 2, page_size);
        let halves = self.transfer.split_at_mut_checked(half);
        let (piece, half) = halves.ok_or(Failure::WorkspaceTooSmall)?;
        let scratch = if half.is_empty() { spare } else { half };
        self.used_spare = true;
        let mut hasher = Hasher::new();
        let mut done = 0;
        while done < length {
            let now = (length - done).min(piece.len() as u64) as usize;
            let whole = piece.get_mut(..bytes::round_up(now, page_size)).unwrap_or_default();
            let parts = whole.split_at_mut_checked(now);
            let (value, padding) = parts.ok_or(Failure::WorkspaceTooSmall)?;
            read_source(self.io, self.geometry, scratch, source, done, value)?;
            hasher.update(value);
            padding.fill(0);
            let offset = self.geometry.offset(page.0) + done;
            self.io.write(offset, whole)?;
            done += now as u64;
        }
        if hasher.has(&digest.0) { Ok(()) } else { Err(self.io.damaged(place.what, place.offset)) }
    }

    /// Copies an extent whose bytes may not be on the medium to fresh pages, or, if no run is long
    /// enough, writes them again where they are: either the medium has them, and a torn write of the
    /// same bytes changes nothing, or it has not, and nobody was told that they are durable. Pages
    /// that the durable map calls used were folded in before and are on the medium.
    fn relocate(
        &mut self,
        page: PageIndex,
        length: u64,
        digest: &Digest,
        spare: &mut [u8],
    ) -> Result<PageIndex, Failure> {
        let start = self.geometry.offset(page.0);
        let place = Damage { what: Structure::Block, offset: start };
        let pages = self.geometry.pages_for(length);
        if page.0 < self.geometry.first_group() || page.0.saturating_add(pages) > *self.pages {
            return Err(self.io.damaged(place.what, place.offset));
        }
        let (map, mut space) = self.map_space();
        if map.is_used(&mut space, Extent::new(page, pages))? {
            self.mark(page, length, true)?;
            return Ok(page);
        }
        // A page has one value: more are a forger's, who would have the same ones copied again and again.
        let Some(left) = self.copies.checked_sub(bytes::short(pages)) else {
            return Err(self.io.damaged(place.what, place.offset));
        };
        self.copies = left;
        // The fold's own pages go first: nobody has made room for copies.
        let home = match self.allocate_above(self.floor, pages, pages) {
            Ok(extent) => {
                self.map.count_folded(pages);
                extent.start
            }
            Err(Failure::Full) => page,
            Err(error) => return Err(error),
        };
        self.bring_home(home, length, digest, place, Source::Extent { offset: start }, spare)?;
        self.mark(home, length, true)?;
        Ok(home)
    }

    fn is_above(&self, entry: &Entry) -> bool {
        entry.sequence > self.relocate_above
    }

    fn ring<'r>(&'r mut self, window: &'r mut RingWindow) -> RingReader<'r, Io<D>> {
        RingReader::new(self.io, self.geometry, self.transfer, window)
    }

    /// Reads a body that the overlay did not keep back from the journal, verified.
    fn read_body(&mut self, at: u64, digest: &Digest, into: &mut [u8]) -> Result<(), Failure> {
        let offset = self.geometry.ring_offset(at);
        self.ring(&mut RingWindow::default()).read(at, into)?;
        if digest.is_of(into) {
            return Ok(());
        }
        Err(self.io.damaged(Structure::Journal, offset))
    }

    /// Checks the list of a block's chunks, unless the overlay has it in memory, and puts the block's digest in the place of
    /// the list's.
    fn check_list(&mut self, digest: &mut Digest, at: u64, chunks: u32) -> Result<(), Failure> {
        if O::KEEPS_BODIES || self.ring(&mut RingWindow::default()).digest_of_list(at, chunks, digest)? {
            return Ok(());
        }
        Err(self.io.damaged(Structure::Journal, self.geometry.ring_offset(at)))
    }

    /// Writes a carried value to the pages that its commit set aside.
    fn settle_carried(
        &mut self,
        name: &[u8],
        entry: &Entry,
        at: u64,
        page: PageIndex,
        spare: &mut [u8],
    ) -> Result<(), Failure> {
        let geometry = *self.geometry;
        let offset = geometry.ring_offset(at);
        let place = Damage { what: Structure::Journal, offset };
        let end = page.0.saturating_add(geometry.pages_for(entry.length));
        if page.0 < geometry.first_group() || end > *self.pages {
            return Err(self.io.damaged(place.what, place.offset));
        }
        // A body in memory was put there by this process: no digest is needed on the way.
        if !self.write_kept(name, entry, page)? {
            self.bring_home(page, entry.length, &entry.digest, place, Source::Journal { at }, spare)?;
        }
        self.mark(page, entry.length, true)
    }

    /// Writes a body that the overlay kept to the pages from `page` on; false if it kept none.
    #[cfg(not(asynchronous))]
    fn write_kept(&mut self, name: &[u8], entry: &Entry, page: PageIndex) -> Result<bool, Failure> {
        let (page_size, start) = (self.geometry.page_size(), self.geometry.offset(page.0));
        let mut written = Ok(());
        let (io, transfer) = (&mut *self.io, &mut *self.transfer);
        let kept = self.overlay.with_body(name, entry, &mut |body| {
            let whole = bytes::round_down(body.len(), page_size);
            let (pages, rest) = body.split_at_checked(whole).unwrap_or((body, &[]));
            written = if pages.is_empty() { Ok(()) } else { io.write(start, pages) };
            if written.is_ok() && !rest.is_empty() {
                let page = transfer.get_mut(..page_size).unwrap_or_default();
                let copied = bytes::copy_some(page, rest);
                page.get_mut(copied..).unwrap_or_default().fill(0);
                written = io.write(start + whole as u64, page);
            }
        });
        written.map(|()| kept)
    }

    /// The same for the asynchronous variant, which cannot wait for the device while the overlay lends the body: it
    /// copies a piece, and writes that.
    #[cfg(asynchronous)]
    fn write_kept(&mut self, name: &[u8], entry: &Entry, page: PageIndex) -> Result<bool, Failure> {
        let (page_size, start) = (self.geometry.page_size(), self.geometry.offset(page.0));
        let mut done = 0;
        while done < entry.length {
            let mut copied = 0;
            let piece = &mut *self.transfer;
            self.overlay.with_body(name, entry, &mut |body| {
                copied = bytes::copy_some(piece, body.get(done as usize..).unwrap_or_default());
            });
            if copied == 0 {
                return Ok(false);
            }
            let whole = self.transfer.get_mut(..bytes::round_up(copied, page_size)).unwrap_or_default();
            whole.get_mut(copied..).unwrap_or_default().fill(0);
            self.io.write(start + done, whole)?;
            done += copied as u64;
        }
        Ok(entry.length > 0)
    }
}

/// Reads what lies `done` bytes behind the start of a source.
fn read_source<D: BlockDevice>(
    io: &mut D,
    geometry: &Geometry,
    scratch: &mut [u8],
    source: Source,
    done: u64,
    into: &mut [u8],
) -> Result<(), D::Error> {
    match source {
        Source::Extent { offset } => read_rounded(io, offset + done, into, scratch),
        Source::Journal { at } => {
            RingReader::new(io, geometry, scratch, &mut RingWindow::default()).read(at + done, into)
        }
    }
}

/// Reads `into.len()` bytes from a page boundary on, where `into` may end within a unit of the
/// device, which is read in whole units: the last one by way of `edge`.
pub(crate) fn read_rounded<D: BlockDevice>(
    io: &mut D,
    offset: u64,
    into: &mut [u8],
    edge: &mut [u8],
) -> Result<(), D::Error> {
    let unit = io.atomic_unit().max(1) as usize;
    let whole = into.len() - into.len() % unit;
    let (units, rest) = into.split_at_mut_checked(whole).unwrap_or_default();
    if !units.is_empty() {
        io.read(offset, units)?;
    }
    read_edge(io, offset + whole as u64, rest, edge)
}

/// Reads the last bytes of a range through a unit of memory.
fn read_edge<D: BlockDevice>(
    io: &mut D,
    offset: u64,
    rest: &mut [u8],
    edge: &mut [u8],
) -> Result<(), D::Error> {
    if rest.is_empty() {
        return Ok(());
    }
    let unit = (io.atomic_unit() as usize).min(edge.len()).max(1);
    let edge = edge.get_mut(..unit).unwrap_or_default();
    for (at, piece) in (offset..).step_by(unit).zip(rest.chunks_mut(unit)) {
        io.read(at, edge)?;
        bytes::copy_some(piece, edge);
    }
    Ok(())
}

impl<D: BlockDevice, O: Overlay> NodeSink for Host<'_, D, O> {
    fn page(&mut self) -> &mut [u8] {
        self.transfer.get_mut(..self.geometry.page_size()).unwrap_or_default()
    }

    fn place_node(&mut self, child: &mut Child) -> Result<(), Failure> {
        // The first page of a file is a superblock's.
        let is_new = child.page.0 == 0;
        if is_new {
            // No floor, as for every single page; by a call less on the stack than `allocate`.
            child.page = self.allocate_above(0, 1, 1)?.start;
        }
        let page = bytes::head(self.transfer, self.geometry.page_size());
        child.digest = Digest::of(page);
        self.io.write(self.geometry.offset(child.page.0), page)?;
        if !is_new {
            return Ok(());
        }
        self.mark(child.page, 1, true)?;
        self.map.count_folded(1);
        self.tree_pages += 1;
        Ok(())
    }

    fn recall_node(&mut self, child: &Child, level: u32) -> Result<(), Failure> {
        let page = self.transfer.get_mut(..self.geometry.page_size()).unwrap_or_default();
        read_verified(self.io, self.geometry, *self.pages, child, level, page)
    }
}

/// Reads the page of a node, and compares its digest.
pub(crate) fn read_verified<D: BlockDevice>(
    io: &mut Io<D>,
    geometry: &Geometry,
    pages: u64,
    child: &Child,
    level: u32,
    into: &mut [u8],
) -> Result<(), Failure> {
    let offset = geometry.offset(child.page.0);
    if child.page.0 < pages {
        io.read(offset, into)?;
        if NodeView::verified(into, &child.digest, level).is_some() {
            return Ok(());
        }
    }
    Err(io.damaged(Structure::Registry, offset))
}

impl<D: BlockDevice, O: Overlay> FoldHost for Host<'_, D, O> {
    fn root(&self) -> Child {
        let page = PageIndex(self.superblock.root_page.get());
        Child { page, digest: Digest(self.superblock.root_digest) }
    }

    fn read_node(&mut self, child: Child, level: u32, into: &mut [u8]) -> Result<(), Failure> {
        read_verified(self.io, self.geometry, *self.pages, &child, level, into)
    }

    fn give_up(&mut self, page: PageIndex) -> Result<(), Failure> {
        self.tree_pages -= 1;
        self.release(page, 1)
    }

    fn next_frozen(&self, after: Option<&[u8]>, name: &mut [u8]) -> Option<(usize, Entry)> {
        self.overlay.next_frozen(after, name)
    }

    #[cfg_attr(not(feature = "alloc"), inline(never))]
    fn settle(&mut self, name: &[u8], entry: &mut Entry, spare: &mut [u8]) -> Result<Settled, Failure> {
        match entry.value {
            Value::Deleted => Ok(Settled::Deleted),
            Value::Inline { .. } => Ok(Settled::Inline(entry.length as usize)),
            Value::Carried { at, page } => {
                self.settle_carried(name, entry, at, page, spare)?;
                Ok(Settled::Extent(page))
            }
            Value::Extent { page } if self.is_above(entry) => {
                self.relocate(page, entry.length, &entry.digest, spare).map(Settled::Extent)
            }
            Value::Extent { page } => {
                self.mark(page, entry.length, true)?;
                Ok(Settled::Extent(page))
            }
            Value::Chunks { at, chunk_size } => {
                let chunks = bytes::pieces(entry.length, u64::from(chunk_size)) as u32;
                self.check_list(&mut entry.digest, at, chunks)?;
                Ok(Settled::Chunks(chunks))
            }
        }
    }

    fn settled_chunk(
        &mut self,
        name: &[u8],
        entry: &Entry,
        index: u32,
        spare: &mut [u8],
    ) -> Result<ChunkRef, Failure> {
        let Value::Chunks { at, chunk_size } = entry.value else {
            return Err(Failure::WorkspaceTooSmall);
        };
        let start = index as usize * ChunkRef::SIZE;
        let mut found = None;
        self.overlay.with_body(name, entry, &mut |body| found = body.get(start..).and_then(ChunkRef::read));
        let chunk = match found {
            Some(chunk) => chunk,
            None => {
                let mut bytes = [0; ChunkRef::SIZE];
                self.ring(&mut RingWindow::default()).read(at + start as u64, &mut bytes)?;
                ChunkRef::read(&bytes).ok_or(Failure::WorkspaceTooSmall)?
            }
        };
        let before = u64::from(index) * u64::from(chunk_size);
        let length = entry.length.saturating_sub(before).min(u64::from(chunk_size));
        let page = PageIndex(chunk.page.get());
        if self.is_above(entry) {
            let moved = self.relocate(page, length, &Digest(chunk.digest), spare)?;
            return Ok(ChunkRef { page: crate::format::U64::new(moved.0), digest: chunk.digest });
        }
        self.mark(page, length, true)?;
        Ok(chunk)
    }

    fn fill_inline(&mut self, name: &[u8], entry: &Entry, into: &mut [u8]) -> Result<(), Failure> {
        let mut copied = false;
        self.overlay.with_body(name, entry, &mut |body| copied = bytes::copy(into, body).is_some());
        match entry.value {
            Value::Inline { at } if !copied => self.read_body(at, &entry.digest, into),
            _ => Ok(()),
        }
    }

    fn has_used_spare(&mut self) -> bool {
        core::mem::take(&mut self.used_spare)
    }

    fn release(&mut self, page: PageIndex, length: u64) -> Result<(), Failure> {
        self.mark(page, length, false)
    }

    #[cold]
    #[inline(never)]
    fn damaged(&mut self, page: PageIndex) -> Failure {
        self.io.damaged(Structure::Registry, self.geometry.offset(page.0))
    }
}

impl Pending {
    /// What one more entry adds, which takes the place of one of the same name whose records had as many bytes as `before`
    /// says, and so many chunks.
    pub(crate) fn add(&mut self, name: usize, entry: &Entry, before: Option<(usize, u32)>) {
        let (records, chunks) = before.unwrap_or_default();
        self.entries += usize::from(before.is_none());
        self.inherited += usize::from(entry.inherited);
        let now = super::room::record_of(entry, name);
        self.records = self.records.saturating_sub(records).saturating_add(now);
        self.chunks = self.chunks.saturating_sub(chunks).saturating_add(super::room::chunks_of(entry) as u32);
        self.longest_name = self.longest_name.max(name as u16);
    }
}

//! What a fold, the allocator and value copies ask of the store: everything but the fold itself.

use super::Pending;
use super::io::Io;
use crate::device::{BlockDevice, DeviceError, DeviceErrorKind};
use crate::digest::{Digest, Hasher};
use crate::error::{Damage, ReadError, Structure, WriteError};
use crate::format::{ChunkRef, Geometry};
use crate::freemap::{FreeMap, MapSpace};
use crate::ids::{Extent, PageIndex, Sequence};
use crate::journal::RingReader;
use crate::overlay::{Entry, Overlay, Value};
use crate::tree::{Child, FoldHost, NodeSink, NodeView, Settled};

/// The parts of a store that work while a fold is under way.
pub(crate) struct Host<'a, D, O> {
    pub(crate) io: &'a mut Io<D>,
    pub(crate) overlay: &'a mut O,
    pub(crate) map: &'a mut FreeMap,
    pub(crate) geometry: &'a Geometry,
    pub(crate) windows: &'a mut [u8],
    pub(crate) transfer: &'a mut [u8],
    pub(crate) pages: &'a mut u64,
    pub(crate) growth: u64,
    pub(crate) tree_pages: i64,
    pub(crate) relocate_above: Option<Sequence>,
}

impl<D: BlockDevice, O: Overlay> Host<'_, D, O> {
    fn map_space(&mut self) -> (&mut FreeMap, MapSpace<'_, Io<D>>) {
        let space = MapSpace { device: self.io, geometry: self.geometry, windows: self.windows };
        (self.map, space)
    }

    /// Hands out at least `min` and at most `want` consecutive pages, growing the device if need be.
    pub(crate) fn allocate(&mut self, min: u64, want: u64) -> Result<Extent, WriteError<D::Error>> {
        for _ in 0..3 {
            let overlay = &*self.overlay;
            let space = &mut MapSpace { device: self.io, geometry: self.geometry, windows: self.windows };
            let found = self.map.allocate(space, (min, want), *self.pages, |run| overlay.pinned(run))?;
            if let Some(extent) = found {
                return Ok(extent);
            }
            self.grow(min)?;
        }
        Err(WriteError::Full)
    }

    /// Grows the device by a step, or by what `need` pages take if it cannot grow by a whole step,
    /// and makes the growth durable.
    pub(crate) fn grow(&mut self, need: u64) -> Result<(), WriteError<D::Error>> {
        let old = *self.pages;
        // A new group's map slots come on top.
        let least = (need + 32).min(self.geometry.max_pages().saturating_sub(old));
        let steps = [self.growth.max(need + 32), least];
        for step in steps {
            let new = old.saturating_add(step).min(self.geometry.max_pages());
            if step == 0 || new < old + need {
                return Err(WriteError::Full);
            }
            match self.io.grow(self.geometry.offset(new)) {
                Ok(()) => {
                    self.io.sync().map_err(WriteError::Device)?;
                    *self.pages = new;
                    self.map.grown(old, new);
                    return Ok(());
                }
                Err(error) if error.kind() == DeviceErrorKind::NoSpace => {}
                Err(error) => return Err(WriteError::Device(error)),
            }
        }
        Err(WriteError::Full)
    }

    fn mark(&mut self, page: PageIndex, length: u64, used: bool) -> Result<(), WriteError<D::Error>> {
        let extent = Extent::new(page, self.geometry.pages_for(length));
        if page.0 < self.geometry.first_group() || extent.end() > *self.pages {
            let offset = self.geometry.offset(page.0);
            return Err(WriteError::Corrupted(Damage { what: Structure::Registry, offset }));
        }
        let (map, mut space) = self.map_space();
        map.mark_extent(&mut space, extent, used)?;
        if !used {
            self.overlay.retire(extent);
        }
        Ok(())
    }

    /// Moves `length` bytes that `source` gives piece by piece to fresh pages, and checks their
    /// digest on the way. Writes begin at a page and are whole pages.
    fn bring_home(
        &mut self,
        length: u64,
        digest: &Digest,
        place: Damage,
        mut source: impl FnMut(&mut Io<D>, u64, &mut [u8]) -> Result<(), WriteError<D::Error>>,
    ) -> Result<PageIndex, WriteError<D::Error>> {
        let pages = self.geometry.pages_for(length);
        let extent = self.allocate(pages, pages)?;
        let mut hasher = Hasher::new();
        let mut done = 0;
        while done < length {
            let now = (length - done).min(self.transfer.len() as u64) as usize;
            let whole = now.next_multiple_of(self.geometry.page_size());
            source(self.io, done, &mut self.transfer[..now])?;
            hasher.update(&self.transfer[..now]);
            self.transfer[now..whole].fill(0);
            let offset = self.geometry.offset(extent.start.0) + done;
            self.io.write(offset, &self.transfer[..whole]).map_err(WriteError::Device)?;
            done += now as u64;
        }
        if hasher.finish() != *digest {
            return Err(WriteError::Corrupted(place));
        }
        self.mark(extent.start, length, true)?;
        Ok(extent.start)
    }

    /// Copies an extent whose bytes may not be on the medium to fresh pages.
    fn relocate(
        &mut self,
        page: PageIndex,
        length: u64,
        digest: &Digest,
    ) -> Result<PageIndex, WriteError<D::Error>> {
        let start = self.geometry.offset(page.0);
        let place = Damage { what: Structure::Block, offset: start };
        let moved = self.bring_home(length, digest, place, |io, done, into| {
            read_rounded(io, start + done, into).map_err(WriteError::Device)
        })?;
        // A renamed block may have had these pages since an earlier checkpoint.
        self.mark(page, length, false)?;
        Ok(moved)
    }

    fn is_above(&self, entry: &Entry) -> bool {
        self.relocate_above.is_some_and(|watermark| entry.sequence > watermark)
    }

    fn ring(&mut self) -> RingReader<'_, Io<D>> {
        RingReader::new(self.io, self.geometry, self.transfer)
    }

    /// Reads a body that the overlay did not keep back from the journal, verified.
    fn read_body(&mut self, at: u64, digest: &Digest, into: &mut [u8]) -> Result<(), WriteError<D::Error>> {
        let offset = self.geometry.journal_offset() + at % self.geometry.journal_length();
        self.ring().read(at, into).map_err(WriteError::Device)?;
        if Digest::of(into) == *digest {
            return Ok(());
        }
        Err(WriteError::Corrupted(Damage { what: Structure::Journal, offset }))
    }

    fn settle_carried(
        &mut self,
        name: &[u8],
        entry: &Entry,
        at: u64,
    ) -> Result<PageIndex, WriteError<D::Error>> {
        let offset = self.geometry.journal_offset() + at % self.geometry.journal_length();
        let place = Damage { what: Structure::Journal, offset };
        if !O::KEEPS_BODIES {
            let geometry = *self.geometry;
            let mut unit = [0; 512];
            return self.bring_home(entry.length, &entry.digest, place, |io, done, into| {
                read_ring_slowly(io, &geometry, at + done, into, &mut unit).map_err(WriteError::Device)
            });
        }
        // The body is in memory, put there by this process: no digest is needed on the way.
        let pages = self.geometry.pages_for(entry.length);
        let extent = self.allocate(pages, pages)?;
        let start = self.geometry.offset(extent.start.0);
        let page_size = self.geometry.page_size();
        let (io, transfer) = (&mut *self.io, &mut *self.transfer);
        let mut written = Ok(());
        let found = self.overlay.with_body(name, entry, &mut |body| {
            let whole = body.len() - body.len() % page_size;
            let (pages, rest) = body.split_at(whole);
            if !pages.is_empty() {
                written = io.write(start, pages);
            }
            if !rest.is_empty() && written.is_ok() {
                transfer[..rest.len()].copy_from_slice(rest);
                transfer[rest.len()..page_size].fill(0);
                written = io.write(start + whole as u64, &transfer[..page_size]);
            }
        });
        written.map_err(WriteError::Device)?;
        if !found {
            return Err(WriteError::Corrupted(place));
        }
        self.mark(extent.start, entry.length, true)?;
        Ok(extent.start)
    }
}

/// Reads `into.len()` bytes from a page boundary on, where `into` may end within a unit of the
/// device, which is read in whole units.
pub(crate) fn read_rounded<D: BlockDevice>(io: &mut D, offset: u64, into: &mut [u8]) -> Result<(), D::Error> {
    let unit = io.atomic_unit().max(1) as usize;
    let whole = into.len() - into.len() % unit;
    let (units, rest) = into.split_at_mut(whole);
    if !units.is_empty() {
        io.read(offset, units)?;
    }
    read_edge(io, offset + whole as u64, rest)
}

/// Reads the last bytes of a range through a unit on the stack.
fn read_edge<D: BlockDevice>(io: &mut D, offset: u64, rest: &mut [u8]) -> Result<(), D::Error> {
    if rest.is_empty() {
        return Ok(());
    }
    let mut edge = [0; 4096];
    let unit = (io.atomic_unit() as usize).clamp(1, edge.len());
    let mut done = 0;
    while done < rest.len() {
        let now = (rest.len() - done).min(unit);
        io.read(offset + done as u64, &mut edge[..unit])?;
        rest[done..done + now].copy_from_slice(&edge[..now]);
        done += now;
    }
    Ok(())
}

/// Reads from the ring without the transfer buffer, which holds the result.
fn read_ring_slowly<D: BlockDevice>(
    io: &mut D,
    geometry: &Geometry,
    position: u64,
    into: &mut [u8],
    unit: &mut [u8; 512],
) -> Result<(), D::Error> {
    let mut done = 0;
    while done < into.len() {
        let place = (position + done as u64) % geometry.journal_length();
        let start = place - place % unit.len() as u64;
        io.read(geometry.journal_offset() + start, unit)?;
        let from = (place - start) as usize;
        let now = (unit.len() - from).min(into.len() - done);
        into[done..done + now].copy_from_slice(&unit[from..from + now]);
        done += now;
    }
    Ok(())
}

impl<D: BlockDevice, O: Overlay> NodeSink for Host<'_, D, O> {
    type Error = D::Error;

    fn place_node(&mut self, page: &[u8]) -> Result<Child, WriteError<D::Error>> {
        let extent = self.allocate(1, 1)?;
        let digest = Digest::of(page);
        self.io.write(self.geometry.offset(extent.start.0), page).map_err(WriteError::Device)?;
        self.mark(extent.start, 1, true)?;
        self.tree_pages += 1;
        Ok(Child { page: extent.start, digest })
    }
}

impl<D: BlockDevice, O: Overlay> FoldHost for Host<'_, D, O> {
    fn read_node(&mut self, child: Child, level: u32, into: &mut [u8]) -> Result<(), WriteError<D::Error>> {
        if child.page.0 >= *self.pages {
            return Err(self.damaged(child));
        }
        self.io.read(self.geometry.offset(child.page.0), into).map_err(ReadError::Device)?;
        match NodeView::verified(into, &child.digest, level) {
            Some(_) => {
                self.tree_pages -= 1;
                Ok(())
            }
            None => Err(self.damaged(child)),
        }
    }

    fn next_frozen(&self, after: Option<&[u8]>, name: &mut [u8]) -> Option<(usize, Entry)> {
        self.overlay.next_frozen(after, name)
    }

    fn settle(
        &mut self,
        name: &[u8],
        entry: &Entry,
        body: &mut [u8],
    ) -> Result<Settled, WriteError<D::Error>> {
        match entry.value {
            Value::Deleted => Ok(Settled::Deleted),
            Value::Inline { at } => {
                let length = entry.length as usize;
                let into = body.get_mut(..length).ok_or(WriteError::WorkspaceTooSmall)?;
                let found = self.overlay.with_body(name, entry, &mut |body| into.copy_from_slice(body));
                if !found {
                    self.read_body(at, &entry.body_digest, into)?;
                }
                Ok(Settled::Inline(length))
            }
            Value::Carried { at } => self.settle_carried(name, entry, at).map(Settled::Extent),
            Value::Extent { page } if self.is_above(entry) => {
                self.relocate(page, entry.length, &entry.digest).map(Settled::Extent)
            }
            Value::Extent { page } => {
                self.mark(page, entry.length, true)?;
                Ok(Settled::Extent(page))
            }
            Value::Chunks { at, chunk_size } => {
                let chunks = entry.length.div_ceil(u64::from(chunk_size));
                if !O::KEEPS_BODIES {
                    let offset = self.geometry.journal_offset() + at % self.geometry.journal_length();
                    let list = self.ring().digest(at, chunks * ChunkRef::SIZE as u64);
                    if list.map_err(WriteError::Device)? != entry.body_digest {
                        return Err(WriteError::Corrupted(Damage { what: Structure::Journal, offset }));
                    }
                }
                Ok(Settled::Chunks(chunks as u32))
            }
        }
    }

    fn settled_chunk(
        &mut self,
        name: &[u8],
        entry: &Entry,
        index: u32,
    ) -> Result<ChunkRef, WriteError<D::Error>> {
        let Value::Chunks { at, chunk_size } = entry.value else {
            return Err(WriteError::WorkspaceTooSmall);
        };
        let start = index as usize * ChunkRef::SIZE;
        let mut found = None;
        self.overlay.with_body(name, entry, &mut |body| found = body.get(start..).and_then(ChunkRef::read));
        let chunk = match found {
            Some(chunk) => chunk,
            None => {
                let mut bytes = [0; ChunkRef::SIZE];
                self.ring().read(at + start as u64, &mut bytes).map_err(WriteError::Device)?;
                ChunkRef::read(&bytes).ok_or(WriteError::WorkspaceTooSmall)?
            }
        };
        let before = u64::from(index) * u64::from(chunk_size);
        let length = entry.length.saturating_sub(before).min(u64::from(chunk_size));
        let page = PageIndex(chunk.page.get());
        if self.is_above(entry) {
            let moved = self.relocate(page, length, &Digest(chunk.digest))?;
            return Ok(ChunkRef { page: crate::format::U64::new(moved.0), digest: chunk.digest });
        }
        self.mark(page, length, true)?;
        Ok(chunk)
    }

    fn release(&mut self, page: PageIndex, length: u64) -> Result<(), WriteError<D::Error>> {
        self.mark(page, length, false)
    }

    fn damaged(&self, child: Child) -> WriteError<D::Error> {
        let offset = self.geometry.offset(child.page.0);
        WriteError::Corrupted(Damage { what: Structure::Registry, offset })
    }
}

impl Pending {
    /// What one more operation adds.
    pub(crate) fn add(&mut self, name: usize, entry: &Entry, geometry: &Geometry) {
        self.entries += 1;
        self.meta += name as u64 + 128;
        match entry.value {
            Value::Inline { .. } => self.meta += entry.length,
            Value::Carried { .. } => self.carried_pages += geometry.pages_for(entry.length),
            Value::Chunks { chunk_size, .. } => {
                self.meta += entry.length.div_ceil(u64::from(chunk_size)) * (name as u64 + 64);
            }
            Value::Extent { .. } | Value::Deleted => {}
        }
    }
}

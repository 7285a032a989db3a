//! Creating and opening a store.

use super::{Memory, Pending, Progress, Recovery, Store, space};
use crate::bytes::{self, short};
use crate::device::{Asked, BlockDevice, Io};
use crate::digest::Digest;
use crate::error::{OpenError, Structure};
use crate::failure::{Failure, Kept};
use crate::format::{
    Geometry, GeometryError, SLOT_STRIDE, SLOTS, Superblock, SuperblockFacts, U32, U64, VERSION,
};
use crate::freemap::{FreeMap, MapRef, MapTop};
use crate::ids::Sequence;
use crate::journal::{Journal, RingWindow};
use crate::overlay::Overlay;
use zerocopy::FromBytes as _;

/// How to lay out a new file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CreateOptions {
    /// Page size in bytes: a power of two, 512 to 65,536.
    pub page_size: u32,
    /// Length of the journal ring in bytes: whole pages, 4 pages to 1 GiB.
    pub journal_length: u64,
    /// Bytes of a chunk of a large block: whole pages, at most 64 MiB.
    pub chunk_size: u32,
    /// Identity of the file: random bytes that nobody can guess, nor is told, who writes values and is not trusted. Who knows
    /// them can write a value that, torn by a power cut, is taken for damage of the journal.
    pub file_id: [u8; 16],
}

/// How to work on a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OpenOptions {
    /// The memory handed over.
    pub memory: Memory,
    /// The most pages by which the device grows when it is full, if it can: a 16th of what it has, and 64 at
    /// least, unless that is more.
    pub growth: u64,
    /// A device that has too few pages for a group of batches grows by what so many groups like it take, and
    /// by `growth` at most for that: the more often a group finds free pages, the more seldom it has to wait
    /// for a checkpoint that gives pages back.
    pub groups_ahead: u64,
    /// A group of batches committed together with at most so many bytes of values carries them in its
    /// journal record: one contiguous write. A larger group of values of a quarter of that at most, up to a
    /// quarter of the journal, does so too when the pages that are free lie scattered; and so does a buffered
    /// group. The values of any other go to pages of their own.
    pub carry_max: u64,
    /// Never write: what the journal holds is shown and stays there.
    pub read_only: bool,
    /// With `read_only`: show what is before damage in the journal instead of refusing.
    pub salvage: bool,
}

impl OpenOptions {
    /// For the memory given: growth by 10 MiB at most in pages of 4 KiB, values up to 64 KiB carried.
    #[must_use]
    pub const fn new(memory: Memory) -> Self {
        Self { memory, growth: 2560, groups_ahead: 1, carry_max: 64 << 10, read_only: false, salvage: false }
    }
}

/// Where a store is made, for whoever may stop waiting: emptied again unless it is taken back out, for a store that was not recovered to its end
/// is none.
#[cfg(asynchronous)]
struct Taken<'p, T>(Option<&'p mut Option<T>>);

#[cfg(asynchronous)]
impl<T> Drop for Taken<'_, T> {
    fn drop(&mut self) {
        if let Some(place) = &mut self.0 {
            **place = None;
        }
    }
}

impl<D: BlockDevice, O: Overlay, B: AsMut<[u8]>> Store<D, O, B> {
    /// Lays out a new file on `device`, whatever it held before, and opens it. Durable when this
    /// returns: the journal ring is written once in full, then the superblocks.
    ///
    /// # Errors
    /// [`OpenError::Geometry`] for impossible sizes, [`OpenError::Full`] on a device too small,
    /// [`OpenError::WorkspaceTooSmall`] if the memory given does not do for a file of these sizes: then nothing was written.
    pub fn create(
        device: D,
        overlay: O,
        buffer: B,
        create: &CreateOptions,
        options: &OpenOptions,
    ) -> Result<Self, OpenError<D::Error>> {
        let mut place = None;
        Self::create_at(&mut place, device, overlay, buffer, create, options)?;
        place.ok_or(OpenError::WorkspaceTooSmall)
    }

    /// As [`create`](Self::create), but the store is made where the caller has room for it, as by
    /// [`open_at`](Self::open_at).
    ///
    /// # Errors
    /// As [`create`](Self::create); `place` is empty then.
    #[inline(never)]
    pub fn create_at<'p>(
        place: &'p mut Option<Self>,
        device: D,
        overlay: O,
        buffer: B,
        create: &CreateOptions,
        options: &OpenOptions,
    ) -> Result<&'p mut Self, OpenError<D::Error>> {
        let options = &OpenOptions { read_only: false, ..*options };
        Self::laid_out_at(place, device, overlay, buffer, create, options)
    }

    /// The store in its place, its file laid out; a place that is empty if it cannot be.
    #[cfg(not(asynchronous))]
    fn laid_out_at<'p>(
        place: &'p mut Option<Self>,
        device: D,
        overlay: O,
        buffer: B,
        create: &CreateOptions,
        options: &OpenOptions,
    ) -> Result<&'p mut Self, OpenError<D::Error>> {
        let result = Self::blank_at(place, device, overlay, buffer, options).lay_out(create);
        if result.is_err() {
            *place = None;
        }
        result?;
        place.as_mut().ok_or(OpenError::WorkspaceTooSmall)
    }

    /// The same, and an empty place also if nobody waits for it to be laid out.
    #[cfg(asynchronous)]
    fn laid_out_at<'p>(
        place: &'p mut Option<Self>,
        device: D,
        overlay: O,
        buffer: B,
        create: &CreateOptions,
        options: &OpenOptions,
    ) -> Result<&'p mut Self, OpenError<D::Error>> {
        let mut taken = Taken(Some(place));
        let Some(place) = &mut taken.0 else { return Err(OpenError::WorkspaceTooSmall) };
        Self::blank_at(place, device, overlay, buffer, options).lay_out(create)?;
        taken.0.take().and_then(Option::as_mut).ok_or(OpenError::WorkspaceTooSmall)
    }

    fn lay_out(&mut self, create: &CreateOptions) -> Result<(), OpenError<D::Error>> {
        let unit = self.io.atomic_unit().max(512);
        let geometry = Geometry::new(create.page_size, unit, create.journal_length, create.chunk_size)?;
        self.lay_out_as(create, geometry).map_err(|failure| self.io.open_error(failure))
    }

    /// Lays the file out in sizes that can be.
    fn lay_out_as(&mut self, create: &CreateOptions, geometry: Geometry) -> Result<(), Failure> {
        let least = geometry.first_group() + 32;
        if self.memory.max_pages(&geometry) < least {
            return Err(Failure::WorkspaceTooSmall);
        }
        let (length, least) = (self.io.length()?, geometry.offset(least));
        if length < least {
            self.io.grow(least)?;
        }
        let length = self.io.length()?;
        let pages = (length / geometry.page_size() as u64).min(self.memory.max_pages(&geometry));
        self.clear_journal(&geometry)?;
        let superblock = &mut self.superblock;
        superblock.file_id = create.file_id;
        superblock.generation = U64::new(1);
        superblock.epoch = U64::new(1);
        superblock.page_size = U32::new(create.page_size);
        superblock.unit = U32::new(geometry.unit() as u32);
        superblock.journal_offset = U64::new(geometry.journal_offset());
        superblock.journal_length = U64::new(create.journal_length);
        superblock.first_group = U64::new(geometry.first_group());
        superblock.pages = U64::new(pages);
        superblock.chain = Self::first_chain(&create.file_id).0;
        superblock.chunk_size = U32::new(create.chunk_size);
        superblock.cursor = U64::new(geometry.first_group());
        self.begin(geometry);
        self.compose_superblock()?;
        self.write_superblock(&[0, 1])?;
        self.io.sync()?;
        self.io.asked = Asked::default();
        Ok(())
    }

    /// Writes zeros up to the end of the journal, durably: no old superblock may outlive the old journal, and none be
    /// newer than the new one.
    #[inline(never)]
    fn clear_journal(&mut self, geometry: &Geometry) -> Result<(), Failure> {
        let space = space::divide(self.buffer.as_mut(), &self.memory, geometry);
        let zeros = space.ok_or(Failure::WorkspaceTooSmall)?.transfer;
        zeros.fill(0);
        let end = geometry.journal_offset() + geometry.journal_length();
        let mut at = 0;
        while at < end {
            let now = (end - at).min(zeros.len() as u64);
            self.io.write(at, bytes::head(zeros, now as usize))?;
            at += now;
        }
        self.io.sync()
    }

    /// A store that knows its parts and not yet its file. It is made of constants but for those, so that the
    /// compiler writes it where it is to lie and not on the stack.
    #[inline(always)]
    fn blank(io: Io<D>, overlay: O, buffer: B, options: &OpenOptions) -> Self {
        Self {
            io,
            overlay,
            buffer,
            memory: options.memory,
            geometry: Geometry::LEAST,
            superblock: SuperblockFacts::NONE,
            pages: 0,
            growth: short(options.growth),
            groups_ahead: short(options.groups_ahead),
            carry_max: short(options.carry_max),
            map: FreeMap::BLANK,
            scatter: super::place::Scatter::default(),
            journal: Journal::BLANK,
            sequence: Sequence(0),
            durable: Sequence(0),
            checkpoint: None,
            active: Pending::default(),
            frozen: Pending::default(),
            read_only: options.read_only,
            unsealed: false,
            ring_window: RingWindow::default(),
        }
    }

    /// Begins where the superblock says, in a file of this geometry.
    fn begin(&mut self, geometry: Geometry) {
        let superblock = &self.superblock;
        let at = MapRef {
            digest: Digest(superblock.map_digest),
            used: superblock.used_pages.get(),
            slot: superblock.map_slot.get(),
        };
        let top = MapTop { level: superblock.map_level.get(), at };
        self.geometry = geometry;
        self.pages = superblock.pages.get();
        self.map.begin_at(top, superblock.cursor.get(), self.pages, &geometry);
        self.journal = Journal::new(superblock.journal_position.get(), Digest(superblock.chain), &geometry);
        self.sequence = Sequence(superblock.sequence.get());
        self.durable = self.sequence;
    }

    /// Opens a file, replays its journal and, unless read-only, makes what it found the durable
    /// state before anything else is written. Returns the store and what recovery found.
    ///
    /// What it reads is bounded by the journal's length and the height of the tree, not by the number
    /// of blocks or the size of the file:
    ///
    /// * always: four superblock copies, and the ring once, in search of records behind the last;
    /// * with a journal that is not empty: the ring three times more (following the chain, checking the
    ///   values, taking the operations in), and once the values in pages of their own that no sync is
    ///   known to cover;
    /// * unless read-only, for folding such a journal in: for each change at most two registry pages a
    ///   level (its name's path, and a neighbour taken in by a node that came out nearly empty) and two
    ///   free map pages a level; for a block of chunks that gives way also the leaves that hold its
    ///   list; the values not covered once more, to be copied; and, if the overlay keeps no bodies, one
    ///   piece of the transfer buffer for each value in the journal.
    ///
    /// After a clean close no page of the registry or the free map is read.
    ///
    /// # Errors
    /// See [`OpenError`]. Nothing is written before the file was found sound.
    pub fn open(
        device: D,
        overlay: O,
        buffer: B,
        options: &OpenOptions,
    ) -> Result<(Self, Recovery), OpenError<D::Error>> {
        let mut place = None;
        let (_, recovery) = Self::open_at(&mut place, device, overlay, buffer, options)?;
        place.map(|store| (store, recovery)).ok_or(OpenError::WorkspaceTooSmall)
    }

    /// As [`open`](Self::open), but the store is made where the caller has room for it, in a static, say. Returned by
    /// value it would be on the stack twice for as long as opening takes.
    ///
    /// # Errors
    /// As [`open`](Self::open); `place` is empty then.
    #[inline(never)]
    pub fn open_at<'p>(
        place: &'p mut Option<Self>,
        device: D,
        overlay: O,
        buffer: B,
        options: &OpenOptions,
    ) -> Result<(&'p mut Self, Recovery), OpenError<D::Error>> {
        Self::recovered_at::<true>(place, device, overlay, buffer, options)
    }

    /// As [`open_at`](Self::open_at) for reading only, whatever `options` says. An image that opens its store by this alone
    /// holds nothing of what folds a journal in: it has half the code.
    ///
    /// # Errors
    /// As [`open`](Self::open); `place` is empty then.
    #[inline(never)]
    pub fn open_to_read_at<'p>(
        place: &'p mut Option<Self>,
        device: D,
        overlay: O,
        buffer: B,
        options: &OpenOptions,
    ) -> Result<(&'p mut Self, Recovery), OpenError<D::Error>> {
        let options = &OpenOptions { read_only: true, ..*options };
        Self::recovered_at::<false>(place, device, overlay, buffer, options)
    }

    /// The store in its place; a place that is empty if it cannot be recovered.
    #[cfg(not(asynchronous))]
    fn recovered_at<'p, const WRITES: bool>(
        place: &'p mut Option<Self>,
        device: D,
        overlay: O,
        buffer: B,
        options: &OpenOptions,
    ) -> Result<(&'p mut Self, Recovery), OpenError<D::Error>> {
        let mut recovery = Recovery::default();
        let store = Self::blank_at(place, device, overlay, buffer, options);
        if let Err(failure) = store.recover::<WRITES>(options, &mut recovery) {
            let error = store.io.open_error(failure);
            *place = None;
            return Err(error);
        }
        let Some(store) = place else { return Err(OpenError::WorkspaceTooSmall) };
        Ok((store, recovery))
    }

    /// The same, and an empty place also if nobody waits for it to be recovered.
    #[cfg(asynchronous)]
    fn recovered_at<'p, const WRITES: bool>(
        place: &'p mut Option<Self>,
        device: D,
        overlay: O,
        buffer: B,
        options: &OpenOptions,
    ) -> Result<(&'p mut Self, Recovery), OpenError<D::Error>> {
        let mut taken = Taken(Some(place));
        let Some(place) = &mut taken.0 else { return Err(OpenError::WorkspaceTooSmall) };
        let mut recovery = Recovery::default();
        let store = Self::blank_at(place, device, overlay, buffer, options);
        store.recover::<WRITES>(options, &mut recovery).map_err(|failure| store.io.open_error(failure))?;
        let store = taken.0.take().and_then(Option::as_mut);
        store.map(|store| (store, recovery)).ok_or(OpenError::WorkspaceTooSmall)
    }

    #[inline(never)]
    fn blank_at<'p>(
        place: &'p mut Option<Self>,
        device: D,
        overlay: O,
        buffer: B,
        options: &OpenOptions,
    ) -> &'p mut Self {
        place.insert(Self::blank(Io::new(device), overlay, buffer, options))
    }

    /// Finds what the file holds, and makes it the durable state if the store may write.
    fn recover<const WRITES: bool>(
        &mut self,
        options: &OpenOptions,
        recovery: &mut Recovery,
    ) -> Result<(), Failure> {
        self.begin_at_newest()?;
        self.check_superblock()?;
        self.replay(options.salvage && options.read_only, recovery)?;
        if WRITES && !self.read_only {
            self.settle_recovery(recovery)?;
            // Nothing of what settles it is on the stack any more.
            while self.advance()? != Progress::Idle {}
        }
        Ok(())
    }

    /// Begins where the newest superblock says, before its journal was looked at.
    #[inline(never)]
    fn begin_at_newest(&mut self) -> Result<(), Failure> {
        newest_superblock(&mut self.io, self.buffer.as_mut(), &mut self.superblock)?;
        let geometry = self.superblock.geometry();
        let geometry = geometry.map_err(|error| self.io.fails(Failure::Geometry, Kept::Sizes(error)))?;
        check_numbers(&mut self.io, &self.superblock)?;
        // On a device of larger units a torn write would reach beyond what it was meant for, and a page is less than what can
        // be read.
        let unit = self.io.atomic_unit();
        if unit as usize > geometry.unit() {
            return Err(self.io.fails(Failure::Geometry, Kept::Sizes(GeometryError::Unit(unit))));
        }
        self.begin(geometry);
        Ok(())
    }

    #[inline(never)]
    fn check_superblock(&mut self) -> Result<(), Failure> {
        let superblock = &self.superblock;
        let length = self.io.length()?;
        let expected = self.geometry.offset(superblock.pages.get());
        if length < expected {
            return Err(self.io.fails(Failure::Truncated, Kept::Lengths { expected, actual: length }));
        }
        let height = superblock.height.get();
        let size = self.geometry.page_size();
        let fits = self.memory.is_possible()
            && self.buffer.as_mut().len() >= self.memory.bytes(size)
            && self.superblock.pages.get() <= self.memory.max_pages(&self.geometry);
        if fits && height as usize <= self.memory.levels { Ok(()) } else { Err(Failure::WorkspaceTooSmall) }
    }
}

/// What counts commits, superblocks, epochs or bytes of the journal stays below this: no file gets
/// there, and what adds to such a number cannot overflow.
pub(super) const NUMBERS_END: u64 = u64::MAX / 4;

/// Checks the numbers of a superblock that others are computed from.
fn check_numbers<D: BlockDevice>(io: &mut Io<D>, superblock: &SuperblockFacts) -> Result<(), Failure> {
    if superblock.features.get() != 0 {
        return Err(io.fails(Failure::Features, Kept::Features(superblock.features.get())));
    }
    let counters =
        [superblock.generation, superblock.epoch, superblock.journal_position, superblock.sequence];
    let height = superblock.height.get();
    let sound = superblock.map_level.get() <= crate::format::MAP_LEVELS
        && superblock.map_slot.get() <= 2
        && superblock.cursor.get() <= superblock.pages.get()
        && height < crate::tree::FORMAT_HEIGHT
        && (height == 0 || superblock.root_page.get() < superblock.pages.get())
        && counters.iter().all(|counter| counter.get() < NUMBERS_END);
    if sound {
        return Ok(());
    }
    Err(io.damaged(Structure::Superblock, u64::from(superblock.slot_of(0)) * SLOT_STRIDE))
}

/// Puts the newest valid superblock, from whichever slots can be read, into `newest`.
#[inline(never)]
fn newest_superblock<D: BlockDevice>(
    io: &mut Io<D>,
    buffer: &mut [u8],
    newest: &mut SuperblockFacts,
) -> Result<(), Failure> {
    let length = io.length()?;
    let unit = io.atomic_unit().clamp(512, 4096) as usize;
    let bytes = buffer.get_mut(..unit).ok_or(Failure::WorkspaceTooSmall)?;
    let (mut found, mut seen, mut version) = (false, None, None);
    let mut failed = None;
    // Of each generation: a copy could not be read, a copy is whole.
    let (mut unread, mut whole) = ([false; 2], [false; 2]);
    for slot in 0..SLOTS {
        let offset = u64::from(slot) * SLOT_STRIDE;
        if offset + unit as u64 > length {
            continue;
        }
        if let Err(failure) = io.read(offset, bytes) {
            failed = Some(failure);
            unread[slot as usize / 2] = true;
            continue;
        }
        let Ok((copy, _)) = Superblock::ref_from_prefix(bytes) else { continue };
        if copy.magic != Superblock::MAGIC {
            continue;
        }
        seen = seen.or(Some(offset));
        if copy.version.get() != VERSION {
            version = version.or(Some(copy.version.get()));
        } else if copy.is_valid(slot) {
            whole[slot as usize / 2] = true;
            if !found || copy.generation.get() > newest.generation.get() {
                // The copy is longer.
                found = copy.facts().map(|facts| *newest = *facts).is_some();
            }
        }
    }
    // The generation that cannot be read may be the newest: the other one is no answer.
    if let Some(failure) = failed
        && unread.iter().zip(whole).any(|(&unread, whole)| unread && !whole)
    {
        return Err(failure);
    }
    if found {
        return Ok(());
    }
    Err(match (version, seen) {
        (Some(found), _) => io.fails(Failure::Version, Kept::Version(found)),
        (_, Some(offset)) => io.damaged(Structure::Superblock, offset),
        _ => Failure::NotBlockyard,
    })
}

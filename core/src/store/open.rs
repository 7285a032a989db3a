//! Creating, opening and recovering a store.

use super::io::{Counters, Io};
use super::{Memory, Pending, Store, space};
use crate::batch::body_length;
use crate::device::{BlockDevice, DeviceError, DeviceErrorKind};
use crate::digest::{Digest, Hasher};
use crate::error::{Damage, OpenError, Structure};
use crate::format::{
    ChunkRef, Geometry, GeometryError, OpHeader, RecordHeader, SLOT_STRIDE, SLOTS, Superblock, U32, U64, VERSION, op_kind,
    record_kind,
};
use crate::freemap::{FreeMap, MapRef, MapTop};
use crate::ids::{PageIndex, Sequence};
use crate::journal::{Journal, RingReader, RingWindow};
use crate::overlay::Overlay;
use zerocopy::FromZeros as _;

/// How to lay out a new file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CreateOptions {
    /// Page size in bytes: a power of two, 512 to 65,536.
    pub page_size: u32,
    /// Length of the journal ring in bytes: whole pages, 4 pages to 1 GiB.
    pub journal_length: u64,
    /// Bytes of a chunk of a large block: whole pages, at most 64 MiB.
    pub chunk_size: u32,
    /// Identity of the file; should be random.
    pub file_id: [u8; 16],
}

/// How to work on a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OpenOptions {
    /// The memory handed over.
    pub memory: Memory,
    /// Pages by which the device grows when it is full, if it can.
    pub growth: u64,
    /// Batches with at most so many bytes of values carry them in their journal record: one
    /// contiguous write. A larger batch's values go to pages of their own.
    pub carry_max: u64,
    /// Never write: what the journal holds is shown and stays there.
    pub read_only: bool,
    /// With `read_only`: show what is before damage in the journal instead of refusing.
    pub salvage: bool,
}

impl OpenOptions {
    /// For the memory given: growth of 10 MiB in pages of 4 KiB, values up to 64 KiB carried.
    #[must_use]
    pub const fn new(memory: Memory) -> Self {
        Self { memory, growth: 2560, carry_max: 64 << 10, read_only: false, salvage: false }
    }
}

/// What opening found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Recovery {
    /// Journal records replayed.
    pub records: u64,
    /// The last commit before replay and after it.
    pub from: Sequence,
    /// The last commit that was recovered.
    pub to: Sequence,
    /// The highest commit that is known to have been durable.
    pub watermark: Sequence,
    /// A record behind the last good one was torn, or its values were: it was never answered durable
    /// and is discarded.
    pub torn_tail: bool,
    /// With `salvage`: the place of the damage that recovery stopped at.
    pub damage: Option<Damage>,
}

/// Where a walk through the journal ended.
struct Walk {
    head: u64,
    chain: Digest,
    sequence: u64,
    watermark: u64,
    records: u64,
    /// Allocation as of the last record.
    last: Option<RecordHeader>,
}

impl<D: BlockDevice, O: Overlay, B: AsMut<[u8]>> Store<D, O, B> {
    /// Lays out a new file on `device`, whatever it held before, and opens it. Durable when this
    /// returns: the journal ring is written once in full, then the superblocks.
    ///
    /// # Errors
    /// [`OpenError::Geometry`] for impossible sizes, [`OpenError::Full`] on a device too small.
    pub fn create(
        device: D,
        overlay: O,
        mut buffer: B,
        create: &CreateOptions,
        options: &OpenOptions,
    ) -> Result<Self, OpenError<D::Error>> {
        let mut io = Io::new(device);
        let unit = io.atomic_unit().max(512);
        let geometry = Geometry::new(create.page_size, unit, create.journal_length, create.chunk_size)?;
        let length = io.length().map_err(OpenError::Device)?;
        let least = geometry.offset(geometry.first_group() + 32);
        if length < least {
            io.grow(least).map_err(|error| match error.kind() {
                DeviceErrorKind::NoSpace => OpenError::Full,
                DeviceErrorKind::ReadOnly => OpenError::ReadOnly,
                DeviceErrorKind::Other => OpenError::Device(error),
            })?;
        }
        let length = io.length().map_err(OpenError::Device)?;
        let pages = (length / geometry.page_size() as u64).min(options.memory.max_pages(&geometry));
        let space = space::divide(buffer.as_mut(), &options.memory, &geometry);
        let zeros = space.ok_or(OpenError::WorkspaceTooSmall)?.transfer;
        zeros.fill(0);
        // No old superblock may outlive the old journal, and none be newer than the new one.
        let end = geometry.journal_offset() + geometry.journal_length();
        let mut at = 0;
        while at < end {
            let now = (end - at).min(zeros.len() as u64);
            io.write(at, &zeros[..now as usize]).map_err(OpenError::Device)?;
            at += now;
        }
        io.sync().map_err(OpenError::Device)?;
        let mut superblock = Superblock::new_zeroed();
        superblock.file_id = create.file_id;
        superblock.generation = U64::new(1);
        superblock.epoch = U64::new(1);
        superblock.page_size = U32::new(create.page_size);
        superblock.unit = U32::new(unit);
        superblock.journal_offset = U64::new(geometry.journal_offset());
        superblock.journal_length = U64::new(create.journal_length);
        superblock.first_group = U64::new(geometry.first_group());
        superblock.pages = U64::new(pages);
        superblock.chain = Self::first_chain(&create.file_id).0;
        superblock.chunk_size = U32::new(create.chunk_size);
        superblock.cursor = U64::new(geometry.first_group());
        let options = OpenOptions { read_only: false, ..*options };
        let mut store = Self::assemble(io, overlay, buffer, superblock, geometry, &options);
        store.write_superblock(&superblock, &[0, 1])?;
        store.io.sync().map_err(OpenError::Device)?;
        store.io.counters = Counters::default();
        Ok(store)
    }

    fn assemble(
        io: Io<D>,
        overlay: O,
        buffer: B,
        superblock: Superblock,
        geometry: Geometry,
        options: &OpenOptions,
    ) -> Self {
        let at = MapRef {
            digest: Digest(superblock.map_digest),
            used: superblock.used_pages.get(),
            slot: superblock.map_slot.get(),
        };
        let top = MapTop { level: superblock.map_level.get(), at };
        let sequence = Sequence(superblock.sequence.get());
        let tail = superblock.journal_position.get();
        let pages = superblock.pages.get();
        Self {
            io,
            overlay,
            buffer,
            memory: options.memory,
            geometry,
            superblock,
            pages,
            growth: options.growth,
            carry_max: options.carry_max,
            map: FreeMap::new(top, superblock.cursor.get(), pages, &geometry),
            journal: Journal::new(tail, Digest(superblock.chain), tail, &geometry),
            sequence,
            durable: sequence,
            checkpoint: None,
            active: Pending::default(),
            frozen: Pending::default(),
            read_only: options.read_only,
            unsealed: false,
            ring_window: RingWindow::default(),
        }
    }

    /// Opens a file, replays its journal and, unless read-only, makes what it found the durable
    /// state before anything else is written. Returns the store and what recovery found.
    ///
    /// Reads four superblock copies, the journal ring at most three times, the values of commits
    /// that no sync is known to cover, and for the checkpoint of a journal that is not empty the
    /// registry paths of its names: nothing that grows with the number of blocks but the height of
    /// the tree.
    ///
    /// # Errors
    /// See [`OpenError`]. Nothing is written before the file was found sound.
    pub fn open(
        device: D,
        overlay: O,
        buffer: B,
        options: &OpenOptions,
    ) -> Result<(Self, Recovery), OpenError<D::Error>> {
        let mut io = Io::new(device);
        let (superblock, geometry) = newest_superblock(&mut io)?;
        check_numbers(&superblock)?;
        // On a device of larger units a torn write would reach beyond what it was meant for.
        if !options.read_only && io.atomic_unit() as usize > geometry.unit() {
            return Err(OpenError::Geometry(GeometryError::Unit(io.atomic_unit())));
        }
        let mut store = Self::assemble(io, overlay, buffer, superblock, geometry, options);
        store.check_superblock()?;
        let recovery = store.replay(options.salvage && options.read_only)?;
        if !store.read_only {
            store.settle_recovery(&recovery)?;
        }
        Ok((store, recovery))
    }

    fn check_superblock(&mut self) -> Result<(), OpenError<D::Error>> {
        let superblock = &self.superblock;
        let length = self.io.length().map_err(OpenError::Device)?;
        let expected = self.geometry.offset(superblock.pages.get());
        if length < expected {
            return Err(OpenError::Truncated { expected, actual: length });
        }
        let height = superblock.height.get();
        let size = self.geometry.page_size();
        let fits = self.memory.is_possible()
            && self.buffer.as_mut().len() >= self.memory.bytes(size)
            && self.superblock.pages.get() <= self.memory.max_pages(&self.geometry);
        if fits && height as usize <= self.memory.levels { Ok(()) } else { Err(OpenError::WorkspaceTooSmall) }
    }

    fn ring(&mut self) -> Result<RingReader<'_, Io<D>>, OpenError<D::Error>> {
        let space = space::divide(self.buffer.as_mut(), &self.memory, &self.geometry);
        let transfer = space.ok_or(OpenError::WorkspaceTooSmall)?.transfer;
        Ok(RingReader::resume(&mut self.io, &self.geometry, transfer, &mut self.ring_window))
    }

    /// Brings the overlay to the state of the last whole commit in the journal.
    fn replay(&mut self, salvage: bool) -> Result<Recovery, OpenError<D::Error>> {
        let from = self.sequence;
        let found = self.walk()?;
        let witness = self.witness(&found)?;
        let mut damage = None;
        if witness > found.sequence {
            let place = Damage { what: Structure::Journal, offset: self.ring_offset(found.head) };
            if !salvage {
                return Err(OpenError::Corrupted(place));
            }
            damage = Some(place);
        }
        let mut torn_tail = damage.is_none() && self.is_torn(&found)?;
        let mut end = Walk { records: 0, ..self.start() };
        while end.records < found.records {
            let Some((header, position)) = self.next_record(&end)? else { break };
            // A seal has no operations, but it too says how long the file is.
            match self.replay_record(&header, position, found.watermark) {
                Ok(true) => {}
                Ok(false) => {
                    torn_tail = true;
                    break;
                }
                Err(OpenError::Corrupted(place)) if salvage => {
                    damage = Some(place);
                    break;
                }
                Err(error) => return Err(error),
            }
            end.take(&header, position);
        }
        self.sequence = Sequence(end.sequence);
        self.durable = Sequence(found.watermark.min(end.sequence));
        self.journal = Journal::new(end.head, end.chain, self.journal.tail, &self.geometry);
        if let Some(last) = &end.last {
            self.pages = last.pages.get().max(self.pages);
            let wrapped = last.wrapped.get() == 1;
            self.map.resume(last.cursor.get(), last.limit.get(), wrapped, self.pages, &self.geometry);
        }
        let (records, to, watermark) = (end.records, self.sequence, self.durable);
        Ok(Recovery { records, from, to, watermark, torn_tail, damage })
    }

    fn start(&self) -> Walk {
        Walk {
            head: self.superblock.journal_position.get(),
            chain: Digest(self.superblock.chain),
            sequence: self.superblock.sequence.get(),
            watermark: self.superblock.sequence.get(),
            records: 0,
            last: None,
        }
    }

    fn ring_offset(&self, position: u64) -> u64 {
        self.geometry.journal_offset() + position % self.geometry.journal_length()
    }

    /// Follows the chain of whole records from the superblock on.
    fn walk(&mut self) -> Result<Walk, OpenError<D::Error>> {
        let mut walk = self.start();
        while let Some((header, position)) = self.next_record(&walk)? {
            let meta_at = position + RecordHeader::SIZE as u64;
            let meta = u64::from(header.meta_length.get());
            let digest = self.ring()?.digest(meta_at, meta).map_err(OpenError::Device)?;
            if digest.0 != header.meta_digest {
                break;
            }
            walk.take(&header, position);
        }
        Ok(walk)
    }

    /// The header of the record that follows, if it is whole and continues the chain, and its place.
    fn next_record(&mut self, walk: &Walk) -> Result<Option<(RecordHeader, u64)>, OpenError<D::Error>> {
        let unit = self.geometry.unit() as u64;
        let length = self.geometry.journal_length();
        let start = self.superblock.journal_position.get();
        let (file_id, epoch) = (self.superblock.file_id, self.superblock.epoch.get());
        let places = [walk.head.next_multiple_of(8), walk.head.next_multiple_of(unit)];
        for position in places {
            if position + RecordHeader::SIZE as u64 > start + length {
                continue;
            }
            let header = self.ring()?.header(position).map_err(OpenError::Device)?;
            let follows = |header: &RecordHeader| {
                let first = if header.kind.get() == record_kind::SEAL { walk.sequence } else { walk.sequence + 1 };
                matches!(header.kind.get(), record_kind::COMMIT | record_kind::SEAL)
                    && header.file_id == file_id
                    && header.epoch.get() == epoch
                    && header.previous == walk.chain.0
                    && header.first_sequence.get() == first
                    && (first..NUMBERS_END).contains(&header.sequence.get())
                    && header.watermark.get() <= header.sequence.get()
                    && position + header.record_length() <= start + length
                    && header.pages.get() <= self.geometry.max_pages()
                    && header.cursor.get() <= header.pages.get()
                    && header.limit.get() <= header.pages.get()
            };
            if let Some(header) = header.filter(follows) {
                return Ok(Some((header, position)));
            }
        }
        Ok(None)
    }

    /// The highest watermark that any later record of this epoch carries: proof that commits up to it
    /// were durable, even if the chain breaks before them.
    fn witness(&mut self, walk: &Walk) -> Result<u64, OpenError<D::Error>> {
        let (file_id, epoch) = (self.superblock.file_id, self.superblock.epoch.get());
        let unit = self.geometry.unit() as u64;
        let end = self.superblock.journal_position.get() + self.geometry.journal_length();
        let mut position = walk.head.next_multiple_of(unit);
        let mut highest = 0;
        let mut ring = self.ring()?;
        while position + unit <= end {
            let header = ring.header(position).map_err(OpenError::Device)?;
            let ours = |header: &RecordHeader| {
                header.file_id == file_id && header.epoch.get() == epoch && header.sequence.get() > walk.sequence
            };
            if let Some(header) = header.filter(ours) {
                highest = highest.max(header.watermark.get());
            }
            position += unit;
        }
        Ok(highest)
    }

    /// Whether something was begun behind the last whole record.
    fn is_torn(&mut self, walk: &Walk) -> Result<bool, OpenError<D::Error>> {
        let unit = self.geometry.unit() as u64;
        let end = self.superblock.journal_position.get() + self.geometry.journal_length();
        let epoch = self.superblock.epoch.get();
        for position in [walk.head.next_multiple_of(8), walk.head.next_multiple_of(unit)] {
            if position + RecordHeader::SIZE as u64 > end {
                continue;
            }
            let mut bytes = [0; RecordHeader::SIZE];
            self.ring()?.read(position, &mut bytes).map_err(OpenError::Device)?;
            let begun = RecordHeader::read(&bytes).is_some_and(|header| {
                header.magic == RecordHeader::MAGIC
                    && header.position.get() == position
                    && header.epoch.get() == epoch
            });
            if begun {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Puts a record's operations into the overlay. False, with nothing put, if its values are not
    /// what it says and no sync is known to cover it.
    fn replay_record(
        &mut self,
        header: &RecordHeader,
        position: u64,
        watermark: u64,
    ) -> Result<bool, OpenError<D::Error>> {
        let above = header.sequence.get() > watermark;
        let length = self.io.length().map_err(OpenError::Device)?;
        if length < self.geometry.offset(header.pages.get()) {
            let expected = self.geometry.offset(header.pages.get());
            return if above { Ok(false) } else { Err(OpenError::Truncated { expected, actual: length }) };
        }
        if !self.overlay.has_room(header.operations.get() as usize) {
            return Err(OpenError::WorkspaceTooSmall);
        }
        // Values first, so that a torn record leaves nothing behind.
        if !self.each_operation(header, position, above, false)? {
            if above {
                return Ok(false);
            }
            let offset = self.ring_offset(position);
            return Err(OpenError::Corrupted(Damage { what: Structure::Journal, offset }));
        }
        if self.each_operation(header, position, above, true)? {
            return Ok(true);
        }
        let offset = self.ring_offset(position);
        Err(OpenError::Corrupted(Damage { what: Structure::Journal, offset }))
    }

    /// Goes through a record's operations: checks their values (`!insert`), or puts them into the
    /// overlay (`insert`). False if something is not what its digest says.
    fn each_operation(
        &mut self,
        header: &RecordHeader,
        position: u64,
        above: bool,
        insert: bool,
    ) -> Result<bool, OpenError<D::Error>> {
        let mut at = position + RecordHeader::SIZE as u64;
        let end = at + u64::from(header.meta_length.get());
        let (mut data_at, data_end) = (end, end + u64::from(header.data_length.get()));
        let mut hasher = Hasher::new();
        for _ in 0..header.operations.get() {
            let mut bytes = [0; OpHeader::SIZE];
            self.ring()?.read(at, &mut bytes).map_err(OpenError::Device)?;
            hasher.update(&bytes);
            let Some(head) = OpHeader::read(&bytes) else { return Ok(false) };
            let name_length = usize::from(head.name_length.get());
            let Some(body) = body_length(&head) else { return Ok(false) };
            let body_at = at + OpHeader::SIZE as u64 + name_length as u64;
            if name_length == 0 || name_length > self.geometry.max_name() || body_at.saturating_add(body) > end {
                return Ok(false);
            }
            let mut location = [0; 8];
            if matches!(head.kind, op_kind::CARRIED | op_kind::EXTENT) {
                self.ring()?.read(body_at, &mut location).map_err(OpenError::Device)?;
            }
            let location = u64::from_le_bytes(location);
            let sound = if insert {
                self.insert_replayed(&head, at, (body_at, body), location, data_at, &mut hasher)?
            } else {
                self.values_sound(&head, body_at, location, (data_at, data_end), above)?
            };
            if head.kind == op_kind::CARRIED {
                data_at = data_at.saturating_add(head.length.get());
            }
            if !sound {
                return Ok(false);
            }
            at = body_at + body;
        }
        // What was put into the overlay is what the record's digest covers.
        Ok(at == end && (!insert || hasher.finish().0 == header.meta_digest))
    }

    /// Whether the values of an operation are whole: those carried always, those in pages only if no
    /// sync is known to cover them (else damage shows when they are read).
    fn values_sound(
        &mut self,
        head: &OpHeader,
        body_at: u64,
        location: u64,
        (data_at, data_end): (u64, u64),
        above: bool,
    ) -> Result<bool, OpenError<D::Error>> {
        let length = head.length.get();
        match head.kind {
            op_kind::INLINE => Ok(length <= self.geometry.max_inline() as u64),
            op_kind::CARRIED => {
                if data_at.saturating_add(length) > data_end || !self.extent_sound(location, length, &[0; 32], false)? {
                    return Ok(false);
                }
                let digest = self.ring()?.digest(data_at, length).map_err(OpenError::Device)?;
                Ok(digest.0 == head.digest)
            }
            op_kind::EXTENT => self.extent_sound(location, length, &head.digest, above),
            op_kind::CHUNKS => {
                let chunk = u64::from(head.chunk_size.get());
                for index in 0..length.div_ceil(chunk) {
                    let mut bytes = [0; ChunkRef::SIZE];
                    let at = body_at + index * ChunkRef::SIZE as u64;
                    self.ring()?.read(at, &mut bytes).map_err(OpenError::Device)?;
                    let Some(found) = ChunkRef::read(&bytes) else { return Ok(false) };
                    let rest = (length - index * chunk).min(chunk);
                    if !self.extent_sound(found.page.get(), rest, &found.digest, above)? {
                        return Ok(false);
                    }
                }
                Ok(length > 0)
            }
            _ => Ok(true),
        }
    }

    /// Whether an extent lies in the file and, if `check`, holds what its digest says.
    fn extent_sound(
        &mut self,
        page: u64,
        length: u64,
        digest: &[u8; 32],
        check: bool,
    ) -> Result<bool, OpenError<D::Error>> {
        let end = page.saturating_add(self.geometry.pages_for(length));
        let file = self.io.length().map_err(OpenError::Device)?;
        if page < self.geometry.first_group() || self.geometry.offset(end) > file {
            return Ok(false);
        }
        if !check {
            return Ok(true);
        }
        let digest_found = self.extent_digest(page, length).map_err(OpenError::Device)?;
        Ok(digest_found.is_some_and(|found| found.0 == *digest))
    }

    /// Digest of the `length` bytes that start at page `page`; None without memory.
    pub(super) fn extent_digest(&mut self, page: u64, length: u64) -> Result<Option<Digest>, D::Error> {
        let start = self.geometry.offset(page);
        let space = space::divide(self.buffer.as_mut(), &self.memory, &self.geometry);
        let Some(transfer) = space.map(|space| space.transfer) else { return Ok(None) };
        self.ring_window = RingWindow::default();
        let mut hasher = Hasher::new();
        let mut done = 0;
        while done < length {
            let now = (length - done).min(transfer.len() as u64) as usize;
            super::host::read_rounded(&mut self.io, start + done, &mut transfer[..now])?;
            hasher.update(&transfer[..now]);
            done += now as u64;
        }
        Ok(Some(hasher.finish()))
    }

    /// Puts one operation of a record into the overlay and its bytes into the record's hasher.
    fn insert_replayed(
        &mut self,
        head: &OpHeader,
        at: u64,
        (body_at, body): (u64, u64),
        location: u64,
        data_at: u64,
        hasher: &mut Hasher,
    ) -> Result<bool, OpenError<D::Error>> {
        let name_length = usize::from(head.name_length.get());
        let mut name_buffer = [0; 1024];
        let name = &mut name_buffer[..name_length];
        self.ring()?.read(at + OpHeader::SIZE as u64, name).map_err(OpenError::Device)?;
        hasher.update(name);
        let carried = head.kind == op_kind::CARRIED;
        let (from, length) = if carried {
            hasher.update(&location.to_le_bytes());
            (data_at, head.length.get())
        } else {
            (body_at, body)
        };
        let place = (from, PageIndex(location));
        let needs_body = matches!(head.kind, op_kind::INLINE | op_kind::CARRIED | op_kind::CHUNKS);
        if !needs_body {
            if head.kind == op_kind::EXTENT {
                hasher.update(&location.to_le_bytes());
            }
            self.insert(name, head, place, &[], Digest::default());
            return Ok(true);
        }
        if !O::KEEPS_BODIES {
            // One pass for the record's hasher, in pieces; the digest of the body on the way.
            let mut own = Hasher::new();
            let (mut position, mut rest) = (from, length);
            let mut ring = self.ring()?;
            while rest > 0 {
                let piece = ring.peek(position, rest.min(1 << 20) as usize).map_err(OpenError::Device)?;
                own.update(piece);
                if !carried {
                    hasher.update(piece);
                }
                position += piece.len() as u64;
                rest -= piece.len() as u64;
            }
            drop(ring);
            let digest = own.finish();
            if carried && digest.0 != head.digest {
                return Ok(false);
            }
            let body_digest = if carried { Digest::default() } else { digest };
            self.insert(name, head, place, &[], body_digest);
            return Ok(true);
        }
        // The body goes through the staging buffer, which holds no record during recovery.
        let length = length as usize;
        let space = space::divide(self.buffer.as_mut(), &self.memory, &self.geometry);
        let space = space.ok_or(OpenError::WorkspaceTooSmall)?;
        let staging = space.staging.get_mut(..length).ok_or(OpenError::WorkspaceTooSmall)?;
        RingReader::resume(&mut self.io, &self.geometry, space.transfer, &mut self.ring_window)
            .read(from, staging)
            .map_err(OpenError::Device)?;
        if !carried {
            hasher.update(staging);
        } else if Digest::of(staging).0 != head.digest {
            return Ok(false);
        }
        self.insert_staged(name, head, place, length);
        Ok(true)
    }

    /// Inserts an operation whose body lies at the start of the staging buffer.
    fn insert_staged(&mut self, name: &[u8], head: &OpHeader, place: (u64, PageIndex), length: usize) {
        let geometry = self.geometry;
        let Some(space) = space::divide(self.buffer.as_mut(), &self.memory, &geometry) else { return };
        let body = &space.staging[..length];
        super::commit::insert_entry(&mut self.overlay, &mut self.active, &geometry, name, head, place, body, Digest::default());
    }

    /// Makes the recovered state durable under a new epoch, whatever the medium holds of it.
    fn settle_recovery(&mut self, recovery: &Recovery) -> Result<(), OpenError<D::Error>> {
        // The newest superblock could be read; that does not mean that the medium has it.
        if !self.io.reads_come_from_medium() {
            let newest = self.superblock;
            for copy in [0, 1] {
                self.write_superblock(&newest, &[copy])?;
                self.io.sync().map_err(OpenError::Device)?;
            }
        }
        if self.active.entries > 0 {
            let watermark = if self.io.reads_come_from_medium() { recovery.to } else { recovery.watermark };
            self.begin_checkpoint(Some(watermark));
            self.checkpoint()?;
            return Ok(());
        }
        let mut next = self.superblock;
        next.generation = U64::new(next.generation.get() + 1);
        next.epoch = U64::new(next.epoch.get() + 1);
        next.journal_position = U64::new(self.journal.head);
        next.chain = self.journal.chain.0;
        self.write_superblock(&next, &[0, 1])?;
        self.io.sync().map_err(OpenError::Device)?;
        self.journal.tail = self.journal.head;
        self.superblock = next;
        Ok(())
    }
}

impl Walk {
    fn take(&mut self, header: &RecordHeader, position: u64) {
        self.head = position + header.record_length();
        self.chain = Digest(header.digest);
        self.sequence = header.sequence.get();
        self.watermark = self.watermark.max(header.watermark.get());
        self.records += 1;
        self.last = Some(*header);
    }
}

/// What counts commits, superblocks, epochs or bytes of the journal stays below this: no file gets
/// there, and what adds to such a number cannot overflow.
const NUMBERS_END: u64 = u64::MAX / 4;

/// Checks the numbers of a superblock that others are computed from.
fn check_numbers<E>(superblock: &Superblock) -> Result<(), OpenError<E>> {
    if superblock.features.get() != 0 {
        return Err(OpenError::Features { found: superblock.features.get() });
    }
    let counters =
        [superblock.generation, superblock.epoch, superblock.journal_position, superblock.sequence];
    let height = superblock.height.get();
    let sound = superblock.map_level.get() <= crate::format::MAP_LEVELS
        && superblock.map_slot.get() <= 2
        && superblock.cursor.get() <= superblock.pages.get()
        && height < crate::tree::MAX_HEIGHT as u32
        && (height == 0 || superblock.root_page.get() < superblock.pages.get())
        && counters.iter().all(|counter| counter.get() < NUMBERS_END);
    if sound {
        return Ok(());
    }
    let offset = u64::from(superblock.slot_of(0)) * SLOT_STRIDE;
    Err(OpenError::Corrupted(Damage { what: Structure::Superblock, offset }))
}

/// The newest valid superblock and its geometry, from whichever slots can be read.
fn newest_superblock<D: BlockDevice>(io: &mut Io<D>) -> Result<(Superblock, Geometry), OpenError<D::Error>> {
    let length = io.length().map_err(OpenError::Device)?;
    let unit = io.atomic_unit().clamp(512, 4096) as usize;
    let (mut newest, mut seen, mut version) = (None::<(Superblock, u32)>, None, None);
    let mut failed = None;
    for slot in 0..SLOTS {
        let offset = u64::from(slot) * SLOT_STRIDE;
        let mut bytes = [0; 4096];
        if offset + unit as u64 > length {
            continue;
        }
        if let Err(error) = io.read(offset, &mut bytes[..unit]) {
            failed = Some(error);
            continue;
        }
        let Some(copy) = Superblock::read(&bytes) else { continue };
        if copy.magic != Superblock::MAGIC {
            continue;
        }
        seen = seen.or(Some(offset));
        if copy.version.get() != VERSION {
            version = version.or(Some(copy.version.get()));
        } else if copy.is_valid(slot)
            && newest.is_none_or(|(best, _)| copy.generation.get() > best.generation.get())
        {
            newest = Some((copy, slot));
        }
    }
    if let Some((superblock, _)) = newest {
        let geometry = superblock.geometry()?;
        return Ok((superblock, geometry));
    }
    match (failed, version, seen) {
        (Some(error), ..) => Err(OpenError::Device(error)),
        (_, Some(found), _) => Err(OpenError::Version { found }),
        (_, _, Some(offset)) => {
            Err(OpenError::Corrupted(Damage { what: Structure::Superblock, offset }))
        }
        _ => Err(OpenError::NotBlockyard),
    }
}

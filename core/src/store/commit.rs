//! Committing batches.

use super::host::Host;
use super::place::unplace;
use super::room::{Demand, Path, chunks_of, record_of};
use super::{Durability, Pending, Store, space};
use crate::batch::{Batch, BatchError, GrowBytes};
use crate::bytes;
use crate::changes::Changes;
use crate::device::BlockDevice;
use crate::digest::{Digest, Hasher};
use crate::error::WriteError;
use crate::failure::Failure;
use crate::format::{ChunkRef, Geometry, OpHeader, RecordHeader, U32, U64, op_kind, record_kind};
use crate::ids::{Extent, PageIndex, Sequence};
use crate::journal::Ahead;
use crate::overlay::{Entry, Lent, Overlay, Value};
use zerocopy::{FromZeros as _, IntoBytes as _};

/// Changes of a group that take longer to show than it takes to have the device start on their record.
const WORTH_STARTING: usize = 64;

impl<D: BlockDevice, O: Overlay, B: AsMut<[u8]>> Store<D, O, B> {
    /// Commits `batches` in order, each under its own sequence number, all in one journal record:
    /// after a crash either all of them are there or none. Returns the last one's number.
    ///
    /// With [`Durability::Durable`] the group survives a power cut when this returns; it costs one
    /// sync, and up to [`OpenOptions::carry_max`](super::OpenOptions::carry_max) bytes of values
    /// one contiguous write. The batches keep their changes, in the form in which they were
    /// recorded; clear them before they are used again.
    ///
    /// # Errors
    /// [`WriteError::Full`], [`WriteError::BatchTooLarge`], [`WriteError::BatchUnfit`], [`WriteError::NameTooLong`]
    /// (the overlay's names are shorter than the geometry's) and [`WriteError::Corrupted`] leave the store and the
    /// batches as they were. [`WriteError::Device`] after a failed write or sync poisons the store:
    /// whether the group survived shows when it is opened again.
    pub fn commit<M: GrowBytes, V: GrowBytes>(
        &mut self,
        batches: &mut [Batch<M, V>],
        durability: Durability,
    ) -> Result<Sequence, WriteError<D::Error>> {
        let written = self.write_group::<_, true>(batches, durability, durability == Durability::Durable);
        written.map_err(|failure| self.io.write_error(failure))
    }

    /// As [`commit`](Self::commit), without the sync: the group survives a crash of the process and is seen at
    /// once. `wanted` is what the caller will see to, by [`sync`](Self::sync) for several groups at once,
    /// and decides how the group is laid out.
    ///
    /// # Errors
    /// As [`commit`](Self::commit).
    pub fn commit_unsynced<M: GrowBytes, V: GrowBytes>(
        &mut self,
        batches: &mut [Batch<M, V>],
        wanted: Durability,
    ) -> Result<Sequence, WriteError<D::Error>> {
        let written = self.write_group::<_, true>(batches, wanted, false);
        written.map_err(|failure| self.io.write_error(failure))
    }

    /// Writes a group's record, and shows it; with `PLACES` also one with values that are not among the operations.
    #[inline(never)]
    pub(super) fn write_group<C: Changes, const PLACES: bool>(
        &mut self,
        batches: &mut [C],
        durability: Durability,
        sync: bool,
    ) -> Result<Sequence, Failure> {
        self.ready()?;
        let mut demand = Demand::default();
        self.demand(batches, &mut demand)?;
        if demand.operations == 0 {
            if sync {
                self.catch_up()?;
            }
            return Ok(self.sequence);
        }
        let mut path = self.admit(&demand, batches, durability, false)?;
        if path.is_none() {
            self.fold_all()?;
            path = self.admit(&demand, batches, durability, true)?;
        }
        let path = path.ok_or(Failure::BatchTooLarge)?;
        self.make_space(&demand)?;
        let path = if C::HOLDS && PLACES { self.place_all(batches, &demand, path)? } else { path };
        let mut ahead = None;
        if C::HOLDS && batches.iter().any(C::has_late) {
            // Where there is no heap batches are short, and the code is dear.
            if cfg!(feature = "alloc") && path == Path::Carry {
                ahead = self.record_ahead(batches)?;
            }
            // The device writes while the processor digests.
            self.io.start_sync_of_much();
            batches.iter_mut().for_each(C::digest_them);
        }
        let last = self.number(batches, path);
        if O::KEEPS_BODIES && path == Path::Checkpoint {
            return self.commit_by_checkpoint(batches, last);
        }
        let meta_at = self.record(batches, last, ahead)?;
        self.map.keep(self.pages);
        self.sequence = last;
        if sync {
            self.barrier()?;
        } else if durability == Durability::Buffered {
            self.io.start_sync_of_much();
        } else if demand.operations >= WORTH_STARTING {
            // The device writes while the changes go into the overlay.
            self.io.start_sync();
        }
        self.show(batches, meta_at);
        Ok(self.sequence)
    }

    /// Makes everything committed so far durable. Costs nothing if it is.
    ///
    /// # Errors
    /// [`WriteError::Device`] poisons the store.
    pub fn sync(&mut self) -> Result<Sequence, WriteError<D::Error>> {
        self.catch_up().map_err(|failure| self.io.write_error(failure))
    }

    fn catch_up(&mut self) -> Result<Sequence, Failure> {
        self.ready()?;
        if self.durable < self.sequence {
            self.barrier()?;
        }
        Ok(self.durable)
    }

    /// Writes down, without a sync, that the last commit is durable, so that damage to it can be
    /// told from a torn tail. For idle moments; the next commit says so anyway. Does nothing while a checkpoint
    /// under way uses pages that were set aside for it, for if power takes it back, they are behind the seal.
    ///
    /// # Errors
    /// [`WriteError::Device`] poisons the store.
    pub fn seal(&mut self) -> Result<(), WriteError<D::Error>> {
        self.write_seal().map_err(|failure| self.io.write_error(failure))
    }

    fn write_seal(&mut self) -> Result<(), Failure> {
        self.ready()?;
        let has_room = self.journal_room() >= 4 * self.geometry.page_size() as u64;
        if !self.unsealed || self.durable < self.sequence || !has_room || !self.keeps_what_is_set_aside() {
            return Ok(());
        }
        let mut header = RecordHeader::new_zeroed();
        self.fill_in(&mut header, record_kind::SEAL, self.sequence, [0; 3], Digest::of(&[]));
        self.append(&header, core::iter::empty(), None)
    }

    /// Fills in the header of a record of commits up to `last`, of a seal the last one: where it lies, for it is large for a stack.
    #[cfg_attr(not(feature = "alloc"), inline(never))]
    fn fill_in(
        &self,
        header: &mut RecordHeader,
        kind: u32,
        last: Sequence,
        [operations, meta, data]: [u32; 3],
        meta_digest: Digest,
    ) {
        let first = if kind == record_kind::SEAL { last.0 } else { self.sequence.0 + 1 };
        *header = RecordHeader {
            magic: RecordHeader::MAGIC,
            kind: U32::new(kind),
            file_id: self.superblock.file_id,
            epoch: self.superblock.epoch,
            sequence: U64::new(last.0),
            first_sequence: U64::new(first),
            watermark: U64::new(self.durable.0),
            position: U64::new(self.journal.head),
            pages: U64::new(self.pages),
            cursor: U64::new(self.map.at.cursor),
            limit: U64::new(self.map.at.ahead.limit),
            wrapped: U32::new(u32::from(self.map.at.ahead.wrapped)),
            operations: U32::new(operations),
            meta_length: U32::new(meta),
            data_length: U32::new(data),
            reserved: [0; 24],
            previous: self.journal.chain.0,
            meta_digest: meta_digest.0,
            digest: [0; 32],
        };
        header.seal();
    }

    /// Writes the values that the group's record will carry, before their digests are known.
    fn record_ahead<C: Changes>(&mut self, batches: &[C]) -> Result<Option<Ahead>, Failure> {
        let meta: u64 = batches.iter().map(C::listed).sum();
        let page = self.geometry.page_size();
        let values = batches.iter().flat_map(|batch| batch.carried_runs(page));
        let staging = space::staging(self.buffer.as_mut(), &self.memory, &self.geometry);
        let staging = staging.ok_or(Failure::WorkspaceTooSmall)?;
        let listed = RecordHeader::SIZE as u64 + meta;
        self.journal.append_ahead(&mut self.io, &self.geometry, staging, listed, values)
    }

    /// Writes the group's record, but for what is written `ahead` of it, and returns the journal position of its
    /// operations.
    #[inline(never)]
    fn record<C: Changes>(
        &mut self,
        batches: &[C],
        last: Sequence,
        ahead: Option<Ahead>,
    ) -> Result<u64, Failure> {
        let meta: u64 = batches.iter().map(C::listed).sum();
        let operations: u32 = batches.iter().map(C::count).sum();
        let data: u64 = batches.iter().map(C::carried).sum();
        let sizes = [operations, meta as u32, data as u32];
        let mut header = RecordHeader::new_zeroed();
        self.fill_in(&mut header, record_kind::COMMIT, last, sizes, digest_of(batches));
        let at = self.journal.head + RecordHeader::SIZE as u64;
        let metas = batches.iter().flat_map(C::encoded);
        let page = self.geometry.page_size();
        let carrying = if C::HOLDS { batches } else { &[] };
        let values = carrying.iter().flat_map(|batch| batch.carried_runs(page));
        self.append(&header, metas.chain(values), ahead)?;
        Ok(at)
    }

    fn append<'p>(
        &mut self,
        header: &'p RecordHeader,
        parts: impl Iterator<Item = &'p [u8]>,
        ahead: Option<Ahead>,
    ) -> Result<(), Failure> {
        let staging = space::staging(self.buffer.as_mut(), &self.memory, &self.geometry);
        let staging = staging.ok_or(Failure::WorkspaceTooSmall)?;
        let parts = core::iter::once(header.as_bytes()).chain(parts);
        self.journal.append(&mut self.io, &self.geometry, staging, parts, ahead)?;
        if !self.memory.keeps_unit() {
            self.journal.leave_unit(&self.geometry);
        }
        self.journal.chain = Digest(header.digest);
        self.unsealed = false;
        Ok(())
    }

    /// Puts the group into the overlay's active layer.
    #[inline(never)]
    fn show<C: Changes>(&mut self, batches: &[C], meta_at: u64) {
        let meta: u64 = batches.iter().map(C::listed).sum();
        let (mut at, mut data_at) = (meta_at, meta_at + meta);
        let page = self.geometry.page_size();
        for batch in batches {
            self.overlay.lend(batch.lent());
            if let Some(first) = batch.operations().next() {
                let names = batch.operations().map(|operation| operation.name);
                self.overlay.announce(Sequence(first.head.sequence.get()), names);
            }
            let mut values = batch.carried_values(page);
            for operation in batch.operations() {
                let head = operation.head;
                at += OpHeader::SIZE as u64 + operation.name.len() as u64;
                let carried = C::HOLDS && head.kind == op_kind::CARRIED;
                let body = if carried { values.next().unwrap_or(&[]) } else { operation.body };
                let mut place = (at, PageIndex(operation.location()));
                if carried {
                    place.0 = data_at;
                    data_at += head.length.get();
                }
                let digest = if !O::KEEPS_BODIES && matches!(head.kind, op_kind::INLINE | op_kind::CHUNKS) {
                    Digest::of(body)
                } else {
                    Digest(head.digest)
                };
                self.insert(operation.name, head, place, body, &digest);
                at += operation.body.len() as u64;
            }
        }
        self.overlay.lend(Lent::default());
    }

    /// Puts one operation into the overlay; there is room. `place` is the journal position of the
    /// bytes or the chunk list, and the first page of a carried block or an extent.
    pub(super) fn insert(
        &mut self,
        name: &[u8],
        head: &OpHeader,
        place: (u64, PageIndex),
        body: &[u8],
        digest: &Digest,
    ) {
        let (overlay, active) = (&mut self.overlay, &mut self.active);
        insert_entry(overlay, active, &self.geometry, name, head, place, body, digest);
    }

    /// Commits a group that the journal cannot take: it is folded in at once, and the superblock
    /// makes it durable, whatever was asked for. Nothing else is pending.
    #[inline(never)]
    fn commit_by_checkpoint<C: Changes>(
        &mut self,
        batches: &mut [C],
        last: Sequence,
    ) -> Result<Sequence, Failure> {
        let (sequence, place) = (self.sequence, self.map.kept());
        self.sequence = last;
        self.show(batches, 0);
        let result = self.fold_all();
        if let Err(error) = result {
            // Nobody was told of it.
            self.overlay.discard_frozen();
            (self.checkpoint, self.frozen) = (None, Pending::default());
            (self.sequence, self.durable) = (sequence, self.durable.min(sequence));
            batches.iter_mut().for_each(unplace);
            self.map.take_back_to(place, self.pages, &self.geometry);
            return Err(error);
        }
        Ok(last)
    }

    /// Calls `work` with the parts of the store that allocate and move values.
    pub(super) fn with_host<R>(
        &mut self,
        relocate_above: Sequence,
        work: impl FnOnce(&mut Host<'_, D, O>) -> Result<R, Failure>,
    ) -> Result<R, Failure> {
        let mut space = space::divide(self.buffer.as_mut(), &self.memory, &self.geometry);
        let Some(space) = &mut space else { return Err(Failure::WorkspaceTooSmall) };
        let mut host = Host {
            io: &mut self.io,
            overlay: &mut self.overlay,
            map: &mut self.map,
            geometry: &self.geometry,
            superblock: &self.superblock,
            windows: space.windows,
            transfer: space.transfer,
            pages: &mut self.pages,
            growth: self.growth as u64,
            tree_pages: 0,
            relocate_above,
            max_pages: self.memory.max_pages(&self.geometry),
            floor: 0,
            copies: 0,
            used_spare: false,
        };
        work(&mut host)
    }
}

/// The digest of a group's operations.
#[cfg_attr(not(feature = "alloc"), inline(never))]
fn digest_of<C: Changes>(batches: &[C]) -> Digest {
    let mut hasher = Hasher::new();
    batches.iter().flat_map(C::encoded).for_each(|part| hasher.update(part));
    hasher.close()
}

/// Puts one operation into an overlay that has room for it.
#[expect(clippy::too_many_arguments, reason = "the parts of a store that are borrowed apart from its buffer")]
pub(super) fn insert_entry<O: Overlay>(
    overlay: &mut O,
    active: &mut Pending,
    geometry: &Geometry,
    name: &[u8],
    head: &OpHeader,
    (at, page): (u64, PageIndex),
    body: &[u8],
    digest: &Digest,
) {
    let value = match head.kind {
        op_kind::INLINE => Value::Inline { at },
        op_kind::CARRIED => Value::Carried { at, page },
        op_kind::EXTENT => Value::Extent { page },
        op_kind::CHUNKS => Value::Chunks { at, chunk_size: head.chunk_size.get() },
        _ => Value::Deleted,
    };
    let moves = head.kind == op_kind::MOVE;
    let before = supersede(overlay, geometry, name, moves);
    let inherited = core::mem::take(&mut active.inherits);
    active.inherits = moves && before.is_none_or(|before| before.inherited);
    let entry = Entry {
        sequence: Sequence(head.sequence.get()),
        tag: head.tag.get(),
        length: head.length.get(),
        digest: *digest,
        value,
        base_moved: before.map_or(moves, |before| before.base_moved),
        inherited,
    };
    active.add(name.len(), &entry, before.map(|before| (before.records, before.chunks)));
    let inserted = overlay.insert(name, &entry, body);
    debug_assert!(inserted.is_ok(), "room was made before the commit was recorded");
}

/// What an operation has to know of the entry that it takes the place of.
#[derive(Clone, Copy)]
struct Before {
    base_moved: bool,
    inherited: bool,
    /// Bytes of its record in the registry, at most.
    records: usize,
    chunks: u32,
}

/// Retires the pages of a name's entry in the active layer, unless they move to another name.
#[inline(never)]
fn supersede<O: Overlay>(overlay: &mut O, geometry: &Geometry, name: &[u8], moves: bool) -> Option<Before> {
    let before = overlay.active(name)?;
    if !moves {
        retire(overlay, geometry, name, &before);
    }
    let (records, chunks) = (record_of(&before, name.len()), chunks_of(&before) as u32);
    Some(Before { base_moved: before.base_moved, inherited: before.inherited, records, chunks })
}

/// Tells the overlay that an entry's pages are needed by older readers only.
fn retire<O: Overlay>(overlay: &mut O, geometry: &Geometry, name: &[u8], entry: &Entry) {
    match entry.value {
        Value::Extent { page } => overlay.retire(Extent::new(page, geometry.pages_for(entry.length))),
        Value::Chunks { chunk_size, .. } => {
            for index in 0..bytes::pieces(entry.length, u64::from(chunk_size)) {
                let mut found = None;
                overlay.with_body(name, entry, &mut |body| {
                    found = body.get(index as usize * ChunkRef::SIZE..).and_then(ChunkRef::read);
                });
                let rest = entry.length - index * u64::from(chunk_size);
                let Some(chunk) = found else { return };
                let pages = geometry.pages_for(rest.min(u64::from(chunk_size)));
                overlay.retire(Extent::new(PageIndex(chunk.page.get()), pages));
            }
        }
        _ => {}
    }
}

/// The error of a batch as an error of the store.
pub(super) const fn batch_error<E>(error: BatchError) -> WriteError<E> {
    match error {
        BatchError::NameEmpty => WriteError::NameEmpty,
        BatchError::NameTooLong { length, max } => WriteError::NameTooLong { length, max },
        BatchError::ChunkCount { .. } => WriteError::BatchUnfit,
        BatchError::ValueTooLarge { .. } | BatchError::Full => WriteError::BatchTooLarge,
    }
}

impl<D: BlockDevice, O: Overlay, B: AsMut<[u8]>> Store<D, O, B> {
    /// Adds the geometry's checks to a name.
    pub(super) fn check_name(geometry: &Geometry, name: &[u8]) -> Result<(), WriteError<D::Error>> {
        match name.len() {
            0 => Err(WriteError::NameEmpty),
            length if length > geometry.max_name() => {
                Err(WriteError::NameTooLong { length, max: geometry.max_name() })
            }
            _ => Ok(()),
        }
    }
}

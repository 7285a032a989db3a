//! Committing batches.

use super::host::Host;
use super::{BlockLocation, Durability, Pending, Store, space};
use crate::batch::{Batch, BatchError, GrowBytes};
use crate::device::BlockDevice;
use crate::digest::{Digest, Hasher};
use crate::error::WriteError;
use crate::format::{ChunkRef, Geometry, OpHeader, RecordHeader, U32, U64, op_kind, record_kind};
use crate::ids::{Extent, PageIndex, Sequence};
use crate::overlay::{Entry, Overlay, Value};
use zerocopy::IntoBytes as _;

/// What a group of batches will take.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Demand {
    operations: usize,
    meta: u64,
    carried: u64,
    pages: u64,
    /// The group only deletes.
    deletes_only: bool,
    /// Bytes of the longest value or list that a recovery would have to hold in memory.
    longest_value: u64,
    longest_list: u64,
    longest_name: usize,
}

/// How a group goes into the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Path {
    /// One journal record that holds the values.
    Carry,
    /// Values to pages of their own, a journal record.
    Place,
    /// Values to pages of their own, a checkpoint.
    Checkpoint,
}

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
    /// [`WriteError::Full`], [`WriteError::BatchTooLarge`], [`WriteError::NameTooLong`] (the overlay's
    /// names are shorter than the geometry's) and [`WriteError::Corrupted`] leave the store and the
    /// batches as they were. [`WriteError::Device`] after a failed write or sync poisons the store:
    /// whether the group survived shows when it is opened again.
    pub fn commit<M: GrowBytes, V: GrowBytes>(
        &mut self,
        batches: &mut [Batch<M, V>],
        durability: Durability,
    ) -> Result<Sequence, WriteError<D::Error>> {
        self.ready()?;
        let demand = self.demand(batches);
        if demand.operations == 0 {
            if durability == Durability::Durable {
                self.sync()?;
            }
            return Ok(self.sequence);
        }
        let path = self.admit(&demand, batches)?;
        self.place_all(batches, &demand, path)?;
        let last = self.number(batches, path);
        if path == Path::Checkpoint {
            return self.commit_by_checkpoint(batches, last);
        }
        let meta_at = self.record(batches, last)?;
        self.map.keep(self.pages);
        self.sequence = last;
        if durability == Durability::Durable {
            self.barrier()?;
        }
        self.show(batches, meta_at);
        Ok(self.sequence)
    }

    /// Makes everything committed so far durable. Costs nothing if it is.
    ///
    /// # Errors
    /// [`WriteError::Device`] poisons the store.
    pub fn sync(&mut self) -> Result<Sequence, WriteError<D::Error>> {
        self.ready()?;
        if self.durable < self.sequence {
            self.barrier()?;
        }
        Ok(self.durable)
    }

    /// Writes down, without a sync, that the last commit is durable, so that damage to it can be
    /// told from a torn tail. For idle moments; the next commit says so anyway.
    ///
    /// # Errors
    /// [`WriteError::Device`] poisons the store.
    pub fn seal(&mut self) -> Result<(), WriteError<D::Error>> {
        self.ready()?;
        let room = self.journal.room(&self.geometry);
        if !self.unsealed || self.durable < self.sequence || room < 4 * self.geometry.page_size() as u64 {
            return Ok(());
        }
        let header = self.header(record_kind::SEAL, self.sequence, self.sequence, [0; 3], Digest::of(&[]));
        self.append(&header, core::iter::empty())
    }

    fn demand<M: GrowBytes, V: GrowBytes>(&self, batches: &[Batch<M, V>]) -> Demand {
        let page = self.geometry.page_size() as u64;
        let mut demand = Demand { deletes_only: true, ..Demand::default() };
        for batch in batches {
            demand.operations += batch.len();
            demand.meta += batch.meta.as_ref().len() as u64;
            demand.carried += batch.carried;
            demand.pages += (batch.data.as_ref().len() as u64).div_ceil(page);
        }
        for operation in batches.iter().flat_map(Batch::operations) {
            let kind = operation.head.kind;
            demand.deletes_only &= kind == op_kind::DELETE;
            demand.longest_name = demand.longest_name.max(operation.name.len());
            demand.longest_list = demand.longest_list.max(operation.body.len() as u64);
            if kind == op_kind::CARRIED {
                demand.longest_value = demand.longest_value.max(operation.head.length.get());
            }
        }
        demand
    }

    /// Makes room in the overlay, the journal and the file, by checkpoints and growth, or refuses.
    fn admit<M: GrowBytes, V: GrowBytes>(
        &mut self,
        demand: &Demand,
        batches: &[Batch<M, V>],
    ) -> Result<Path, WriteError<D::Error>> {
        let max = self.overlay.max_name();
        if demand.longest_name > max {
            return Err(WriteError::NameTooLong { length: demand.longest_name, max });
        }
        if !self.overlay.has_room(demand.operations) || self.takes_inherited(batches) {
            self.checkpoint()?;
            if !self.overlay.has_room(demand.operations) {
                return Err(WriteError::BatchTooLarge);
            }
        }
        // An overlay that keeps bodies takes each from a recovery in one piece.
        let piece = self.memory.bytes_of_staging(self.geometry.page_size()) as u64;
        let readable = |length: u64| !O::KEEPS_BODIES || length <= piece;
        let listed = RecordHeader::SIZE as u64 + demand.meta;
        let carries = demand.carried <= self.carry_max
            && 2 * (listed + demand.carried) <= self.geometry.journal_length()
            && readable(demand.longest_value);
        let (mut path, record) =
            if carries { (Path::Carry, listed + demand.carried) } else { (Path::Place, listed) };
        let fits = readable(demand.longest_list) && demand.meta <= u64::from(u32::MAX) / 2;
        if !fits || record > self.journal.room(&self.geometry) {
            self.checkpoint()?;
            if !fits || record > self.journal.room(&self.geometry) {
                path = Path::Checkpoint;
            }
        }
        if path == Path::Checkpoint && !O::KEEPS_BODIES {
            return Err(WriteError::BatchTooLarge);
        }
        self.make_space(demand)?;
        Ok(path)
    }

    /// Whether a name of the group has pages that are still another name's in the durable registry: a
    /// checkpoint must settle whose they are before they are freed, and it must be durable, for a
    /// replay of the journal sees all changes since the last one in one layer.
    fn takes_inherited<M: GrowBytes, V: GrowBytes>(&self, batches: &[Batch<M, V>]) -> bool {
        self.active.inherited + self.frozen.inherited > 0
            && batches.iter().flat_map(Batch::operations).any(|operation| {
                operation.head.kind != op_kind::MOVE
                    && self.pending_entry(operation.name).is_some_and(|entry| entry.inherited)
            })
    }

    /// Sees to it that after this group a checkpoint still finds the pages it needs.
    fn make_space(&mut self, demand: &Demand) -> Result<(), WriteError<D::Error>> {
        let mut last_resort = false;
        for _ in 0..4 {
            let need = demand.pages + self.floor(demand);
            if self.map.at.free >= need {
                return Ok(());
            }
            // What a checkpoint gives back is worth it before the file grows by a step.
            let stale = self.map.at.ahead.passed >= self.growth.min(self.pages / 4);
            if stale && !last_resort && self.pending() > 0 {
                last_resort = true;
                self.checkpoint()?;
                continue;
            }
            match self.with_host(None, |host| host.grow(need)) {
                Ok(()) => self.map.keep(self.pages),
                Err(WriteError::Full) if !last_resort => {
                    last_resort = true;
                    self.new_round()?;
                }
                result => result?,
            }
        }
        Err(WriteError::Full)
    }

    /// Makes all free pages of the file available again.
    fn new_round(&mut self) -> Result<(), WriteError<D::Error>> {
        if self.pending() > 0 {
            self.checkpoint()?;
        }
        self.map.restart(self.pages, &self.geometry);
        Ok(())
    }

    /// Hands out `pages` consecutive pages such that a checkpoint still succeeds.
    pub(super) fn run_of(&mut self, pages: u64) -> Result<Extent, WriteError<D::Error>> {
        let demand = Demand { pages, ..Demand::default() };
        self.make_space(&demand)?;
        self.settled(&demand, |store, floor| {
            store.with_host(None, |host| {
                host.floor = floor;
                host.allocate(pages, pages)
            })
        })
    }

    /// Does `work`, which takes pages for `demand` and leaves at least the free pages it is told. If
    /// it fails, what it took is taken back; if the free pages ahead lie too scattered, a new round
    /// may bring others.
    fn settled<R>(
        &mut self,
        demand: &Demand,
        mut work: impl FnMut(&mut Self, u64) -> Result<R, WriteError<D::Error>>,
    ) -> Result<R, WriteError<D::Error>> {
        let mut again = true;
        loop {
            self.map.keep(self.pages);
            let floor = self.floor(demand);
            match work(self, floor) {
                Err(error) => {
                    self.map.take_back(self.pages, &self.geometry);
                    if !again || !matches!(error, WriteError::Full) {
                        return Err(error);
                    }
                }
                result => return result,
            }
            again = false;
            self.new_round()?;
            self.make_space(demand)?;
        }
    }

    /// Free pages that must be left when the values of a group have theirs: for the next checkpoint,
    /// and, unless the group only deletes, for the deletion that makes room in a full store.
    fn floor(&self, demand: &Demand) -> u64 {
        let height = u64::from(self.superblock.height.get());
        let spare = if demand.deletes_only { 0 } else { (self.pages / 64).clamp(4, 32) + 4 * height + 8 };
        spare + self.reserve(demand)
    }

    /// Pages that folding everything pending and `demand` in takes at most, or nearly so.
    pub(super) fn reserve(&self, demand: &Demand) -> u64 {
        let height = u64::from(self.superblock.height.get());
        let entries = self.pending() + demand.operations as u64;
        let touched = (entries * (2 * height + 1)).min(self.superblock.tree_pages.get().saturating_mul(3) / 2);
        let meta = self.active.meta + self.frozen.meta + demand.meta;
        let fresh = meta.div_ceil(self.geometry.page_size() as u64) * 2;
        touched + fresh + height + 2
    }

    /// Gives all values pages.
    fn place_all<M: GrowBytes, V: GrowBytes>(
        &mut self,
        batches: &mut [Batch<M, V>],
        demand: &Demand,
        path: Path,
    ) -> Result<(), WriteError<D::Error>> {
        self.settled(demand, |store, floor| {
            let result = batches.iter_mut().try_for_each(|batch| store.place(batch, floor, path));
            if result.is_err() {
                batches.iter_mut().for_each(unplace);
            }
            result
        })
    }

    /// Gives the values of a batch pages of their own, in as few runs as the file allows. Those that
    /// the record does not carry are written there, each run at once.
    fn place<M: GrowBytes, V: GrowBytes>(
        &mut self,
        batch: &mut Batch<M, V>,
        floor: u64,
        path: Path,
    ) -> Result<(), WriteError<D::Error>> {
        let page = self.geometry.page_size();
        let padded = batch.data.as_ref().len().next_multiple_of(page);
        if path != Path::Carry && !batch.data.set_length(padded) {
            return Err(WriteError::BatchTooLarge);
        }
        let geometry = self.geometry;
        let (meta, data) = (batch.meta.as_mut(), batch.data.as_ref());
        let (mut at, mut placed) = (0, 0);
        while placed < data.len() {
            let Some((op, first)) = next_carried(meta, at) else { break };
            at = op;
            let least = geometry.pages_for(first);
            let want = ((data.len() - placed).div_ceil(page)) as u64;
            let run = self.with_host(None, |host| {
                host.floor = floor;
                host.allocate(least, want)
            })?;
            // As many values as fit into the run.
            let (start, from) = (run.start.0, placed);
            let mut used = 0;
            while let Some((op, length)) = next_carried(meta, at) {
                let pages = geometry.pages_for(length);
                if used + pages > run.pages {
                    break;
                }
                at = set_location(meta, op, start + used, path != Path::Carry);
                used += pages;
            }
            if used < run.pages {
                self.map.give_back(run.pages - used);
            }
            placed += used as usize * page;
            if path != Path::Carry {
                let offset = geometry.offset(start);
                BlockDevice::write(&mut self.io, offset, &data[from..placed]).map_err(WriteError::Device)?;
            }
        }
        if path != Path::Carry {
            batch.carried = 0;
        }
        Ok(())
    }

    /// Gives each operation its sequence number.
    fn number<M: GrowBytes, V: GrowBytes>(&self, batches: &mut [Batch<M, V>], path: Path) -> Sequence {
        let mut sequence = self.sequence.0;
        for batch in batches.iter_mut() {
            sequence += 1;
            let meta = batch.meta.as_mut();
            let mut at = 0;
            while let Some((mut head, _, end)) = operation_at(meta, at) {
                head.sequence = U64::new(sequence);
                if path == Path::Place && head.kind == op_kind::EXTENT {
                    head.chunk_size = U32::new(0);
                }
                meta[at..at + OpHeader::SIZE].copy_from_slice(head.as_bytes());
                at = end;
            }
        }
        Sequence(sequence)
    }

    fn header(
        &self,
        kind: u32,
        first: Sequence,
        last: Sequence,
        [operations, meta, data]: [u32; 3],
        meta_digest: Digest,
    ) -> RecordHeader {
        RecordHeader {
            magic: RecordHeader::MAGIC,
            kind: U32::new(kind),
            file_id: self.superblock.file_id,
            epoch: self.superblock.epoch,
            sequence: U64::new(last.0),
            first_sequence: U64::new(first.0),
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
        }
        .sealed()
    }

    /// Writes the group's record and returns the journal position of its operations.
    fn record<M: GrowBytes, V: GrowBytes>(
        &mut self,
        batches: &[Batch<M, V>],
        last: Sequence,
    ) -> Result<u64, WriteError<D::Error>> {
        let mut hasher = Hasher::new();
        batches.iter().for_each(|batch| hasher.update(batch.meta.as_ref()));
        let meta: usize = batches.iter().map(|batch| batch.meta.as_ref().len()).sum();
        let operations: u32 = batches.iter().map(|batch| batch.operations).sum();
        let data: u64 = batches.iter().map(|batch| batch.carried).sum();
        let first = Sequence(self.sequence.0 + 1);
        let sizes = [operations, meta as u32, data as u32];
        let header = self.header(record_kind::COMMIT, first, last, sizes, hasher.finish());
        let at = self.journal.head + RecordHeader::SIZE as u64;
        let metas = batches.iter().map(|batch| batch.meta.as_ref());
        let page = self.geometry.page_size();
        let values = batches.iter().flat_map(|batch| carried_values(batch, page));
        self.append(&header, metas.chain(values))?;
        Ok(at)
    }

    fn append<'p>(
        &mut self,
        header: &'p RecordHeader,
        parts: impl Iterator<Item = &'p [u8]>,
    ) -> Result<(), WriteError<D::Error>> {
        let space = space::divide(self.buffer.as_mut(), &self.memory, &self.geometry);
        let staging = space.ok_or(WriteError::WorkspaceTooSmall)?.staging;
        let parts = core::iter::once(header.as_bytes()).chain(parts);
        self.journal.append(&mut self.io, &self.geometry, staging, parts).map_err(WriteError::Device)?;
        self.journal.chain = Digest(header.digest);
        self.unsealed = false;
        Ok(())
    }

    /// Puts the group into the overlay's active layer.
    fn show<M: GrowBytes, V: GrowBytes>(&mut self, batches: &[Batch<M, V>], meta_at: u64) {
        let meta: u64 = batches.iter().map(|batch| batch.meta.as_ref().len() as u64).sum();
        let (mut at, mut data_at) = (meta_at, meta_at + meta);
        let page = self.geometry.page_size();
        for batch in batches {
            let mut values = carried_values(batch, page);
            for operation in batch.operations() {
                let head = &operation.head;
                at += OpHeader::SIZE as u64 + operation.name.len() as u64;
                let body = if head.kind == op_kind::CARRIED {
                    values.next().unwrap_or(&[])
                } else {
                    operation.body
                };
                let mut place = (at, PageIndex(operation.location()));
                if head.kind == op_kind::CARRIED {
                    place.0 = data_at;
                    data_at += head.length.get();
                }
                let body_digest = if !O::KEEPS_BODIES && matches!(head.kind, op_kind::INLINE | op_kind::CHUNKS) {
                    Digest::of(body)
                } else {
                    Digest::default()
                };
                self.insert(operation.name, head, place, body, body_digest);
                at += operation.body.len() as u64;
            }
        }
    }

    /// Puts one operation into the overlay; there is room. `place` is the journal position of the
    /// bytes or the chunk list, and the first page of a carried block or an extent.
    pub(super) fn insert(
        &mut self,
        name: &[u8],
        head: &OpHeader,
        place: (u64, PageIndex),
        body: &[u8],
        digest: Digest,
    ) {
        let (overlay, active) = (&mut self.overlay, &mut self.active);
        insert_entry(overlay, active, &self.geometry, name, head, place, body, digest);
    }

    /// Commits a group that the journal cannot take: it is folded in at once, and the superblock
    /// makes it durable, whatever was asked for. Nothing else is pending.
    fn commit_by_checkpoint<M: GrowBytes, V: GrowBytes>(
        &mut self,
        batches: &mut [Batch<M, V>],
        last: Sequence,
    ) -> Result<Sequence, WriteError<D::Error>> {
        let (sequence, place) = (self.sequence, self.map.kept());
        self.sequence = last;
        self.show(batches, 0);
        let result = self.checkpoint();
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

    /// Renames a block, replacing what `to` named, without moving its bytes.
    ///
    /// # Errors
    /// [`WriteError::NotFound`] if `from` does not exist; else as [`commit`](Self::commit).
    /// `scratch` is an empty batch of this store that can hold the record.
    pub fn rename<M: GrowBytes, V: GrowBytes>(
        &mut self,
        from: &[u8],
        to: &[u8],
        scratch: &mut Batch<M, V>,
        durability: Durability,
    ) -> Result<Sequence, WriteError<D::Error>> {
        self.ready()?;
        scratch.clear();
        Self::check_name(&self.geometry, to)?;
        let mut info = self.info(from)?.ok_or(WriteError::NotFound)?;
        if from == to {
            return self.commit(core::slice::from_mut(scratch), durability);
        }
        if info.location == BlockLocation::Memory && info.length > self.geometry.max_inline() as u64 {
            // It lies in the journal: a checkpoint gives it to its pages, which can change hands.
            self.checkpoint()?;
            info = self.info(from)?.ok_or(WriteError::NotFound)?;
        }
        match info.location {
            BlockLocation::Memory => {
                scratch.delete(from).map_err(batch_error)?;
                let into = scratch.put_later(to, info.length as usize, info.tag).map_err(batch_error)?;
                self.get(from, into)?;
            }
            BlockLocation::Extent { page } => {
                scratch.move_away(from).map_err(batch_error)?;
                scratch.put_extent(to, info.length, info.tag, info.digest, page).map_err(batch_error)?;
            }
            BlockLocation::Chunks { .. } => {
                scratch.move_away(from).map_err(batch_error)?;
                self.copy_chunk_list(from, to, &info, scratch)?;
            }
        }
        self.commit(core::slice::from_mut(scratch), durability)
    }

    /// Calls `work` with the parts of the store that allocate and move values.
    pub(super) fn with_host<R>(
        &mut self,
        relocate_above: Option<Sequence>,
        work: impl FnOnce(&mut Host<'_, D, O>) -> Result<R, WriteError<D::Error>>,
    ) -> Result<R, WriteError<D::Error>> {
        let space = space::divide(self.buffer.as_mut(), &self.memory, &self.geometry);
        let space = space.ok_or(WriteError::WorkspaceTooSmall)?;
        let mut host = Host {
            io: &mut self.io,
            overlay: &mut self.overlay,
            map: &mut self.map,
            geometry: &self.geometry,
            windows: space.windows,
            transfer: space.transfer,
            pages: &mut self.pages,
            growth: self.growth,
            tree_pages: 0,
            relocate_above,
            max_pages: self.memory.max_pages(&self.geometry),
            floor: 0,
        };
        work(&mut host)
    }
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
    body_digest: Digest,
) {
    let value = match head.kind {
        op_kind::INLINE => Value::Inline { at },
        op_kind::CARRIED => Value::Carried { at, page },
        op_kind::EXTENT => Value::Extent { page },
        op_kind::CHUNKS => Value::Chunks { at, chunk_size: head.chunk_size.get() },
        _ => Value::Deleted,
    };
    let moves = head.kind == op_kind::MOVE;
    let before = overlay.active(name);
    if let Some(before) = before
        && !moves
    {
        retire(overlay, geometry, name, &before);
    }
    let inherited = core::mem::take(&mut active.inherits);
    active.inherits = moves && before.is_none_or(|before| before.inherited);
    let entry = Entry {
        sequence: Sequence(head.sequence.get()),
        tag: head.tag.get(),
        length: head.length.get(),
        digest: Digest(head.digest),
        body_digest,
        value,
        base_moved: before.map_or(moves, |before| before.base_moved),
        inherited,
    };
    active.add(name.len(), &entry);
    let inserted = overlay.insert(name, &entry, body);
    debug_assert!(inserted.is_ok(), "room was made before the commit was recorded");
}

/// Tells the overlay that an entry's pages are needed by older readers only.
fn retire<O: Overlay>(overlay: &mut O, geometry: &Geometry, name: &[u8], entry: &Entry) {
    match entry.value {
        Value::Extent { page } => overlay.retire(Extent::new(page, geometry.pages_for(entry.length))),
        Value::Chunks { chunk_size, .. } => {
            for index in 0..entry.length.div_ceil(u64::from(chunk_size)) {
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
        BatchError::ValueTooLarge { .. } | BatchError::Full => WriteError::BatchTooLarge,
    }
}

/// The head of the operation at `at`, where its name is and where the next operation starts.
fn operation_at(meta: &[u8], at: usize) -> Option<(OpHeader, core::ops::Range<usize>, usize)> {
    let head = OpHeader::read(meta.get(at..)?)?;
    let name = at + OpHeader::SIZE..at + OpHeader::SIZE + usize::from(head.name_length.get());
    let end = name.end + usize::try_from(crate::batch::body_length(&head)?).ok()?;
    (end <= meta.len()).then_some((head, name, end))
}

/// The first carried value at or behind the operation that starts at `at`: its start and length.
fn next_carried(meta: &[u8], mut at: usize) -> Option<(usize, u64)> {
    while let Some((head, _, end)) = operation_at(meta, at) {
        if head.kind == op_kind::CARRIED {
            return Some((at, head.length.get()));
        }
        at = end;
    }
    None
}

/// In memory only: stands in the chunk size of an extent that [`Store::commit`] made of a carried
/// value, so that the batch can be brought back to what it was.
const PLACED: u32 = 1;

/// Gives the carried value of the operation at `at` its first page, makes it an extent if it is to
/// be one, and returns where the next operation starts.
fn set_location(meta: &mut [u8], at: usize, page: u64, extent: bool) -> usize {
    let Some((mut head, name, end)) = operation_at(meta, at) else { return at };
    if extent {
        (head.kind, head.chunk_size) = (op_kind::EXTENT, U32::new(PLACED));
        meta[at..at + OpHeader::SIZE].copy_from_slice(head.as_bytes());
    }
    meta[name.end..name.end + 8].copy_from_slice(&page.to_le_bytes());
    end
}

/// Makes carried values of the extents that a commit made of them.
fn unplace<M: GrowBytes, V: GrowBytes>(batch: &mut Batch<M, V>) {
    let meta = batch.meta.as_mut();
    let (mut at, mut carried) = (0, 0);
    while let Some((mut head, _, end)) = operation_at(meta, at) {
        if head.kind == op_kind::EXTENT && head.chunk_size.get() == PLACED {
            (head.kind, head.chunk_size) = (op_kind::CARRIED, U32::new(0));
            meta[at..at + OpHeader::SIZE].copy_from_slice(head.as_bytes());
        }
        if head.kind == op_kind::CARRIED {
            carried += head.length.get();
        }
        at = end;
    }
    batch.carried = carried;
}

/// The values that a batch carries, in order, without the padding between them.
fn carried_values<M: GrowBytes, V: GrowBytes>(
    batch: &Batch<M, V>,
    page: usize,
) -> impl Iterator<Item = &[u8]> + Clone {
    let data = batch.data.as_ref();
    let lengths = batch
        .operations()
        .filter(|operation| operation.head.kind == op_kind::CARRIED)
        .map(|operation| operation.head.length.get() as usize);
    lengths.scan(0_usize, move |at, length| {
        let start = at.next_multiple_of(page);
        *at = start + length;
        data.get(start..start + length)
    })
}

impl super::Memory {
    pub(super) const fn bytes_of_staging(&self, page_size: usize) -> usize {
        let pages = self.staging / page_size;
        if pages < 2 { 2 * page_size } else { pages * page_size }
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

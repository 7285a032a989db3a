//! The engine with everything around it that a shell keeps: views, cache, batches, writers, snapshots.
//!
//! 1. One thread: nothing is locked, and each method is over when it returns.
//! 2. Batches, writers and snapshots are known by numbers that are never used again. Those of each opening begin
//!    anywhere, so that a number from before the file was opened anew meets nothing.
//! 3. Pages that a writer or a batch has filled and that no commit names are `staged` until it is gone.

mod changes;
mod numbered;
mod values;

use crate::device::{Device, Fault};
use crate::error::Error;
use crate::read::{self, Located};
use crate::scan::{self, Span};
use crate::source::Source;
use crate::view::{Layered, Shared, View};
use blockyard_core::format::{SLOT_STRIDE, SLOTS, Superblock, op_kind};
use blockyard_core::store::{CreateOptions, FreeSpace, Memory, OpenOptions, Progress, Recovery};
use blockyard_core::store::{VerifyReport, VerifySink};
use blockyard_core::{
    BlockDevice, Digest, Durability, Geometry, PageIndex, ReadError, Sequence, Store, WriteError,
};
use changes::{Changes, Writer};
use numbered::Numbered;
use values::Values;

type Result<T> = std::result::Result<T, Error>;
type DeviceStore = Store<Device, Layered, Vec<u8>>;

/// How to open a file, and how to create it if nothing is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Page size of a new file in bytes.
    pub page_size: u32,
    /// Length of the journal of a new file in bytes.
    pub journal_length: u64,
    /// Bytes of a chunk of a large block in a new file.
    pub chunk_size: u32,
    /// Bytes by which the file grows.
    pub growth: u64,
    /// Bytes of the cache.
    pub cache: usize,
    /// Identity of a new file, and where the numbers of this opening begin; random each time.
    pub file_id: [u8; 16],
    /// Never write.
    pub read_only: bool,
    /// Create a store where nothing is.
    pub create: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            page_size: 4096,
            journal_length: 2 << 20,
            chunk_size: 1 << 20,
            growth: 16 << 20,
            cache: 8 << 20,
            file_id: [0; 16],
            read_only: false,
            create: true,
        }
    }
}

/// Longer buffers are not kept for the next batch.
pub(crate) const SPARE: usize = 4 << 20;

/// A store over one device.
#[derive(Debug)]
pub struct Engine {
    store: DeviceStore,
    shared: Shared,
    source: Source,
    recovery: Recovery,
    next: u32,
    batches: Numbered<Changes>,
    /// Batches that were committed and whose values may yet go into the cache.
    fresh: Vec<changes::Batch>,
    /// What the values of a batch lay in, for the next: memory that was touched before costs less than filling it.
    spare: Vec<u8>,
    writers: Numbered<Writer>,
    snapshots: Numbered<View>,
}

/// The page size in the first superblock copy that can be read; the engine checks it afterwards.
fn stored_page_size(device: &mut Device) -> Option<u32> {
    (0..SLOTS).find_map(|slot| {
        let mut bytes = [0; 512];
        device.read(u64::from(slot) * SLOT_STRIDE, &mut bytes).ok()?;
        let copy = Superblock::read(&bytes).filter(|copy| copy.is_valid(slot))?;
        copy.geometry().ok().map(|geometry| geometry.page_size() as u32)
    })
}

/// Whether nothing but zeros is there from `at` on: all of a file looks so that nobody has finished creating.
fn is_zeros(device: &mut Device, mut at: u64) -> std::result::Result<bool, Fault> {
    let length = device.length()?;
    let mut piece = vec![0; 256 << 10];
    while at < length {
        let now = (length - at).min(piece.len() as u64) as usize;
        device.read(at, &mut piece[..now])?;
        if piece[..now].iter().any(|&byte| byte != 0) {
            return Ok(false);
        }
        at += now as u64;
    }
    Ok(true)
}

/// Whether the file is one whose creation was cut short while its first superblock was written. Before that the file
/// has grown and is zeros, durably; so in it, generation 1 in its two slots, whole or torn, is all there can be, and
/// nothing was ever committed. A file of anybody else's is not written over.
fn is_unborn(device: &mut Device) -> std::result::Result<bool, Fault> {
    let (length, behind) = (device.length()?, u64::from(SLOTS) * SLOT_STRIDE);
    if length <= behind {
        return Ok(false);
    }
    for slot in 0..SLOTS {
        let mut bytes = [0; SLOT_STRIDE as usize];
        device.read(u64::from(slot) * SLOT_STRIDE, &mut bytes)?;
        // Generation 1 lies in the last two. What is torn has old and new bytes mixed: those before were zeros.
        let begins = if slot / 2 == 1 { &Superblock::MAGIC } else { &[0; 8] };
        let mut head = bytes.iter().zip(begins);
        let fits = head.all(|(&byte, &new)| byte == 0 || byte == new);
        let rest = if slot / 2 == 1 { Superblock::SIZE } else { 0 };
        if !fits || bytes.iter().skip(rest).any(|&byte| byte != 0) {
            return Ok(false);
        }
    }
    is_zeros(device, behind)
}

impl Engine {
    /// Opens the store on `device`, or creates one if nothing is there. Recovery, if it was needed, is
    /// done and durable when this returns.
    ///
    /// # Errors
    /// [`Error::Open`].
    pub fn open(mut device: Device, settings: &Settings) -> Result<Self> {
        let blank = is_zeros(&mut device, 0).map_err(blockyard_core::OpenError::Device)?;
        if blank && settings.create && !settings.read_only {
            return Self::create(device, settings);
        }
        match Self::attach(device.clone(), settings) {
            Err(Error::Open(
                blockyard_core::OpenError::Corrupted(_) | blockyard_core::OpenError::NotBlockyard,
            )) if settings.create
                && !settings.read_only
                && is_unborn(&mut device).map_err(blockyard_core::OpenError::Device)? =>
            {
                Self::create(device, settings)
            }
            result => result,
        }
    }

    fn create(device: Device, settings: &Settings) -> Result<Self> {
        let shared = Shared::default();
        let (options, memory) = Self::options(settings, settings.page_size);
        let create = CreateOptions {
            page_size: settings.page_size,
            journal_length: settings.journal_length,
            chunk_size: settings.chunk_size,
            file_id: settings.file_id,
        };
        let overlay = Layered::new(shared.clone());
        // A journal of whole pages: a torn page takes no neighbour with it.
        let unit = settings.page_size.clamp(512, 4096);
        let store = Store::create(device.with_unit(unit), overlay, memory, &create, &options)?;
        Ok(Self::around(device, store, shared, Recovery::default(), settings))
    }

    fn attach(mut device: Device, settings: &Settings) -> Result<Self> {
        let shared = Shared::default();
        let page_size = stored_page_size(&mut device).unwrap_or(4096);
        let (options, memory) = Self::options(settings, page_size);
        let overlay = Layered::new(shared.clone());
        let (store, recovery) = Store::open(device.clone(), overlay, memory, &options)?;
        Ok(Self::around(device, store, shared, recovery, settings))
    }

    fn options(settings: &Settings, page_size: u32) -> (OpenOptions, Vec<u8>) {
        let memory = Memory::LARGE;
        let growth = (settings.growth / u64::from(page_size.max(512))).max(1);
        let read_only = settings.read_only;
        // Whoever puts much at once does so again: most of such groups wait for no checkpoint.
        let options = OpenOptions { growth, groups_ahead: 6, read_only, ..OpenOptions::new(memory) };
        // A page size that cannot be is refused before the buffer is used.
        (options, vec![0; memory.bytes(page_size.min(64 << 10) as usize)])
    }

    fn around(
        device: Device,
        store: DeviceStore,
        shared: Shared,
        recovery: Recovery,
        settings: &Settings,
    ) -> Self {
        shared.start(store.root());
        let geometry = store.geometry();
        device.gather_from(geometry.offset(geometry.first_group()));
        let source = Source::new(device, *store.geometry(), settings.cache);
        Self {
            store,
            shared,
            source,
            recovery,
            next: settings.file_id.first_chunk().map_or(0, |id| u32::from_le_bytes(*id) >> 1) + 1,
            batches: Numbered::default(),
            fresh: Vec::new(),
            spare: Vec::new(),
            writers: Numbered::default(),
            snapshots: Numbered::default(),
        }
    }

    fn number(&mut self) -> u32 {
        let number = self.next;
        self.next += 1;
        number
    }

    /// The view of a snapshot; of the newest state for 0.
    fn view(&self, snapshot: u32) -> Result<View> {
        if snapshot == 0 {
            return Ok(self.shared.newest());
        }
        self.snapshots.get(snapshot).cloned().ok_or(Error::Gone)
    }

    /// Holds the state of now until [`release`](Self::release).
    pub fn snapshot(&mut self) -> u32 {
        let number = self.number();
        let view = self.shared.at(self.store.sequence());
        self.snapshots.insert(number, view);
        number
    }

    /// Whether there is a snapshot of this number.
    #[must_use]
    pub fn holds(&self, snapshot: u32) -> bool {
        self.snapshots.get(snapshot).is_some()
    }

    /// Lets go of a snapshot, a batch or a writer; its pages are free again.
    pub fn release(&mut self, number: u32) {
        self.snapshots.remove(number);
        if self.batches.remove(number).is_some_and(|changes| changes.staged) {
            self.store.end_staged();
        }
        if self.writers.remove(number).is_some_and(|writer| writer.staged) {
            self.store.end_staged();
        }
    }

    /// Finds a block.
    pub(crate) fn find(&mut self, snapshot: u32, name: &[u8]) -> Result<Option<Located>> {
        let view = self.view(snapshot)?;
        Ok(read::locate(&mut self.source, &view, name)?)
    }

    /// Reads bytes `start..end` of a block; None if there is no such block.
    ///
    /// # Errors
    /// [`Error::Read`], [`Error::Gone`].
    pub fn get(&mut self, snapshot: u32, name: &[u8], range: (u64, u64)) -> Result<Option<Vec<u8>>> {
        self.keep();
        let view = self.view(snapshot)?;
        let Some(located) = read::locate(&mut self.source, &view, name)? else { return Ok(None) };
        Ok(Some(located.read(&mut self.source, &view, name, range)?))
    }

    /// Hands the blocks of a span to `take`, with their bytes if wanted, until it refuses one.
    pub(crate) fn scan(
        &mut self,
        snapshot: u32,
        span: Span,
        values: bool,
        mut take: impl FnMut(&[u8], &Located, Option<Vec<u8>>) -> bool,
    ) -> Result<()> {
        self.keep();
        let view = self.view(snapshot)?;
        scan::walk(&mut self.source, &view, span, |source, name, located| {
            let value = values.then(|| located.read(source, &view, name, (0, located.length))).transpose()?;
            Ok(take(name, located, value))
        })?;
        Ok(())
    }

    /// Commits batches in order, each under its own sequence, all in one record and with at most one
    /// sync. They are used up if this succeeds and stay as they were if it does not.
    ///
    /// # Errors
    /// [`Error::Write`], [`Error::Gone`].
    pub fn commit(&mut self, numbers: &[u32], durability: Durability) -> Result<Sequence> {
        let mut group = Vec::with_capacity(numbers.len());
        let mut staged = Vec::with_capacity(numbers.len());
        for number in numbers {
            match self.batches.remove(*number) {
                Some(changes) => {
                    group.push(changes.batch);
                    staged.push(changes.staged);
                }
                None => {
                    self.give_back(numbers, group, staged);
                    return Err(Error::Gone);
                }
            }
        }
        self.keep();
        group.iter_mut().for_each(values::digest);
        match self.store.commit(&mut group, durability) {
            Ok(sequence) => {
                self.fresh = group;
                for _ in staged.into_iter().filter(|&staged| staged) {
                    self.store.end_staged();
                }
                Ok(sequence)
            }
            Err(error) => {
                self.give_back(numbers, group, staged);
                Err(error.into())
            }
        }
    }

    /// Leaves the values of what was committed last in the cache. Whoever reads does so first, and whoever commits, but not
    /// much after much; it may be done before, while nobody waits.
    pub fn keep(&mut self) {
        self.pass(true);
    }

    /// As [`keep`](Self::keep) if what was committed last is little: behind an answer, so that the next commit need not.
    pub fn keep_little(&mut self) {
        if self.fresh.iter().map(changes::Batch::bytes).sum::<usize>() <= changes::MANY {
            self.keep();
        }
    }

    /// What was committed last goes into the cache, if it was much only with `keep`, and its buffer to the next.
    fn pass(&mut self, keep: bool) {
        for mut batch in std::mem::take(&mut self.fresh) {
            let data = std::mem::take(batch.late_values().0).into_bytes();
            if keep || data.len() <= changes::MANY {
                self.keep_values(&batch, &data);
            }
            if (self.spare.capacity()..=SPARE).contains(&data.capacity()) {
                self.spare = data;
            }
        }
    }

    fn keep_values(&mut self, batch: &changes::Batch, data: &[u8]) {
        if !self.source.has_room_for(data.len()) {
            return;
        }
        let (page, mut at) = (self.store.geometry().page_size(), 0_usize);
        for operation in batch.operations() {
            // A batch of this shell names no other extents than those of its values.
            if !matches!(operation.head.kind, op_kind::CARRIED | op_kind::EXTENT) {
                continue;
            }
            at = at.next_multiple_of(page);
            let end = at + operation.head.length.get() as usize;
            if let Some(value) = data.get(at..end) {
                let (page, digest) = (PageIndex(operation.location()), Digest(operation.head.digest));
                self.source.keep(page, &digest, value);
            }
            at = end;
        }
    }

    fn give_back(&mut self, numbers: &[u32], group: Vec<changes::Batch>, staged: Vec<bool>) {
        for ((number, batch), staged) in numbers.iter().zip(group).zip(staged) {
            self.batches.insert(*number, Changes { batch, staged });
        }
    }

    /// Renames a block without moving its bytes.
    ///
    /// # Errors
    /// [`Error::Write`].
    pub fn rename(&mut self, from: &[u8], to: &[u8], durability: Durability) -> Result<Sequence> {
        let mut scratch = changes::Batch::new(self.store.geometry(), Vec::new(), Values::default());
        Ok(self.store.rename(from, to, &mut scratch, durability)?)
    }

    /// Makes everything committed so far durable; costs nothing if it is.
    ///
    /// # Errors
    /// [`Error::Write`].
    pub fn sync(&mut self) -> Result<Sequence> {
        Ok(self.store.sync()?)
    }

    /// Writes down that the last commit is durable; for idle moments.
    ///
    /// # Errors
    /// [`Error::Write`].
    pub fn seal(&mut self) -> Result<()> {
        Ok(self.store.seal()?)
    }

    /// Whether a checkpoint is under way or advisable.
    #[must_use]
    pub fn wants_checkpoint(&self) -> bool {
        self.store.wants_checkpoint()
    }

    /// Advances a checkpoint by one step; false when there is nothing left to do.
    ///
    /// # Errors
    /// [`Error::Write`].
    pub fn checkpoint_step(&mut self) -> Result<bool> {
        Ok(self.store.checkpoint_step()? == Progress::Working)
    }

    /// Folds everything into the registry.
    ///
    /// # Errors
    /// [`Error::Write`].
    pub fn checkpoint(&mut self) -> Result<()> {
        Ok(self.store.checkpoint()?)
    }

    /// Before the device is let go: folds everything in, or at least makes it durable.
    ///
    /// # Errors
    /// [`Error::Write`].
    pub fn settle(&mut self) -> Result<()> {
        let Err(error) = self.store.checkpoint() else { return Ok(()) };
        if error == WriteError::ReadOnly {
            return Ok(());
        }
        if !self.store.is_poisoned() {
            self.store.sync()?;
        }
        Err(error.into())
    }

    /// Reads and compares every byte.
    ///
    /// # Errors
    /// [`Error::Read`] where the device fails; damage goes to `sink`.
    pub fn verify(&mut self, sink: &mut impl VerifySink) -> Result<VerifyReport> {
        match self.store.checkpoint() {
            // What keeps the journal from being folded in is what verification is about to report.
            Ok(()) | Err(WriteError::Corrupted(_) | WriteError::Full | WriteError::ReadOnly) => {}
            Err(error) => return Err(error.into()),
        }
        Ok(self.store.verify(sink)?)
    }

    /// Free pages of the file.
    ///
    /// # Errors
    /// [`Error::Read`].
    pub fn free_space(&mut self) -> Result<FreeSpace> {
        Ok(self.store.free_space()?)
    }

    /// Reads the file as it is on the device.
    ///
    /// # Errors
    /// [`Error::Read`].
    pub fn raw(&mut self, offset: u64, length: usize) -> Result<Vec<u8>> {
        let mut device = self.store.device().clone();
        let whole = device.length().map_err(ReadError::Device)?;
        let mut bytes = vec![0; length.min(whole.saturating_sub(offset) as usize)];
        device.read(offset, &mut bytes).map_err(ReadError::Device)?;
        Ok(bytes)
    }

    /// The store.
    #[must_use]
    pub(crate) const fn store(&self) -> &DeviceStore {
        &self.store
    }

    /// The sizes that the file was created with.
    #[must_use]
    pub const fn geometry(&self) -> &Geometry {
        self.store.geometry()
    }

    /// What recovery found when the file was opened.
    #[must_use]
    pub const fn recovery(&self) -> &Recovery {
        &self.recovery
    }

    /// Reads answered by the cache, and reads of the device.
    #[must_use]
    pub const fn hits_and_misses(&self) -> (u64, u64) {
        (self.source.hits, self.source.misses)
    }
}

//! Opening and creating stores: on a file, in memory, on any device.

use crate::buffer::Pool;
use crate::device::{Device, FileDevice, IoError, MemoryDevice, SharedDevice};
use crate::error::{OpenError, Result};
use crate::inner::{DeviceEngine, Inner};
use crate::options::OpenOptions;
use crate::store::{Handle, Store};
use crate::view::{Layered, Shared};
use crate::{file, flusher, verifier};
use blockyard_core::OpenError as CoreOpenError;
use blockyard_core::format::{SLOT_STRIDE, SLOTS, Superblock};
use blockyard_core::store::{CreateOptions, Memory, OpenOptions as EngineOptions, Recovery};
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::thread::JoinHandle;

/// Bytes of batches' memory that a store keeps for the next ones at most, or an eighth of its cache.
const POOLED: usize = 8 << 20;

/// An engine that is ready, and what it shares with readers.
struct Opened {
    engine: DeviceEngine,
    shared: Arc<Shared>,
    device: Arc<dyn Device>,
    pool: Arc<Pool>,
    recovery: Recovery,
}

impl OpenOptions {
    /// Opens or creates the file at `path`.
    ///
    /// Recovery, if one is needed, is done and durable when this returns; see
    /// [`Store::recovery`].
    ///
    /// # Errors
    /// See [`OpenError`]; each says what to do.
    pub fn open(&self, path: impl AsRef<Path>) -> Result<Store, OpenError> {
        let path = path.as_ref();
        let io = |error| file::error(path, error);
        let (locked, fresh) = file::locked(self, path)?;
        let device = FileDevice::new(locked, 512);
        // A creation that was cut short left a file without a superblock.
        let create = (fresh || self.create) && !self.read_only && is_blank(&device).map_err(io)?;
        if fresh && !create {
            // Another creator was faster.
            return Err(OpenError::AlreadyExists(path.to_owned()));
        }
        // The journal's alignment is chosen at creation; an existing file brings its own.
        let unit = if create { self.page_size.clamp(512, 4096) } else { 512 };
        let device: Arc<dyn Device> = Arc::new(device.with_unit(unit));
        let opened = self.open_engine(Arc::clone(&device), create).map_err(|error| {
            if fresh {
                // Nothing of a file that could not be created is left behind. It is still locked: what the path names is
                // not what another creator has made of it meanwhile.
                let _ = std::fs::remove_file(path);
            }
            open_error(error, path)
        })?;
        // Whoever created the file may not have come to this.
        if !self.read_only
            && let Err(error) = file::sync_directory(path)
        {
            if create {
                return Err(io(error));
            }
            tracing::warn!(%error, "the directory of the store could not be synced");
        }
        self.start(opened, Some(path)).map_err(io)
    }

    /// Opens the store on a device, or creates one there: with [`create`](Self::create) or
    /// [`create_new`](Self::create_new), if the device holds nothing but zeros.
    ///
    /// What a commit survives is what the device keeps, see [`Device`]. Nobody else may write the
    /// device while the store is open: files that are opened by their path are locked, a device is not.
    ///
    /// # Errors
    /// See [`OpenError`]; where an error holds a path it is empty.
    pub fn open_device(&self, device: impl Device) -> Result<Store, OpenError> {
        let nowhere = Path::new("");
        let io = |error| file::error(nowhere, error);
        let may_create = (self.create || self.create_new) && !self.read_only;
        let create = may_create && is_blank(&device).map_err(io)?;
        if self.create_new && !create {
            return Err(OpenError::AlreadyExists(nowhere.to_owned()));
        }
        let opened =
            self.open_engine(Arc::new(device), create).map_err(|error| open_error(error, nowhere))?;
        self.start(opened, None).map_err(io)
    }

    /// A new store in memory. It has everything a store in a file has, and is gone with its last handle.
    /// The journal is part of it: small stores want a small [`journal_size`](Self::journal_size) and
    /// [`growth_step`](Self::growth_step).
    ///
    /// # Errors
    /// [`OpenError::Geometry`] for sizes that cannot be, [`OpenError::Full`] without memory.
    pub fn open_in_memory(&self) -> Result<Store, OpenError> {
        self.clone().create_new(true).read_only(false).open_device(MemoryDevice::new())
    }

    fn open_engine(&self, device: Arc<dyn Device>, create: bool) -> Result<Opened, CoreOpenError<IoError>> {
        let memory = Memory::LARGE;
        let shared = Shared::new(self.cache_bytes);
        let pool = Pool::new(if self.pooled_buffers { POOLED.max(self.cache_bytes / 8) } else { 0 });
        let overlay = Layered::new(Arc::clone(&shared), Arc::clone(&pool));
        let page_size = if create { self.page_size } else { stored_page_size(&*device).unwrap_or(4096) };
        let options = EngineOptions {
            growth: self.growth_step / u64::from(page_size.max(512)),
            carry_max: self.carry_max,
            read_only: self.read_only,
            salvage: self.salvage,
            ..EngineOptions::new(memory)
        };
        // A page size that cannot be is refused before the buffer is used.
        let buffer = vec![0; memory.bytes(page_size.min(64 << 10) as usize)];
        let engines = SharedDevice::new(Arc::clone(&device), self.read_only && !create);
        let (engine, recovery) = if create {
            let mut file_id = [0; 16];
            getrandom::fill(&mut file_id)
                .map_err(|error| CoreOpenError::Device(io::Error::other(error.to_string()).into()))?;
            let create = CreateOptions {
                page_size: self.page_size,
                journal_length: self.journal_size,
                chunk_size: self.chunk_size,
                file_id,
            };
            let engine = DeviceEngine::create(engines, overlay, buffer, &create, &options)?;
            (engine, Recovery::default())
        } else {
            DeviceEngine::open(engines, overlay, buffer, &options)?
        };
        Ok(Opened { engine, shared, device, pool, recovery })
    }

    /// Shows the store to readers and starts its threads.
    fn start(&self, opened: Opened, path: Option<&Path>) -> io::Result<Store> {
        let Opened { engine, shared, device, pool, recovery } = opened;
        shared.start(engine.root(), engine.sequence());
        if recovery.records > 0 || recovery.torn_tail {
            tracing::info!(records = recovery.records, torn_tail = recovery.torn_tail, "journal replayed");
        }
        let verify = self.verify_writes && !self.read_only;
        let (sender, receiver) = verifier::Sender::new();
        let inner = Arc::new(Inner::new(engine, shared, device, pool, self, verify.then_some(sender)));
        let mut threads = Vec::new();
        if !self.read_only {
            let weak = Arc::downgrade(&inner);
            threads.push(spawn("blockyard-flush", move || flusher::run(&weak))?);
        }
        if verify {
            let weak = Arc::downgrade(&inner);
            threads.push(spawn("blockyard-verify", move || verifier::run(&weak, &receiver))?);
        }
        Ok(Store::new(Handle { inner, path: path.map(Path::to_owned), recovery, threads }))
    }
}

/// A background thread. Without it nobody would commit what is only awaited, so opening fails.
fn spawn(name: &str, work: impl FnOnce() + Send + 'static) -> io::Result<JoinHandle<()>> {
    std::thread::Builder::new().name(name.to_owned()).spawn(work)
}

/// The page size in the first superblock copy that can be read; checked by the engine afterwards.
fn stored_page_size(device: &dyn Device) -> Option<u32> {
    (0..SLOTS).find_map(|slot| {
        let mut bytes = [0; Superblock::SIZE];
        device.read_at(u64::from(slot) * SLOT_STRIDE, &mut bytes).ok()?;
        let copy = Superblock::read(&bytes).filter(|copy| copy.is_valid(slot))?;
        copy.geometry().ok().map(|geometry| geometry.page_size() as u32)
    })
}

/// Whether a device holds nothing but zeros: so it is as long as its creator has not written a
/// superblock.
fn is_blank(device: &impl Device) -> io::Result<bool> {
    let length = device.length()?;
    let mut piece = vec![0; 64 << 10];
    let mut at = 0;
    while at < length {
        let now = piece.len().min(usize::try_from(length - at).unwrap_or(usize::MAX));
        let piece = &mut piece[..now];
        device.read_at(at, piece)?;
        if piece.iter().any(|&byte| byte != 0) {
            return Ok(false);
        }
        at += now as u64;
    }
    Ok(true)
}

fn open_error(error: CoreOpenError<IoError>, path: &Path) -> OpenError {
    match error {
        CoreOpenError::Device(error) => OpenError::Io { path: path.to_owned(), source: error.0 },
        CoreOpenError::NotBlockyard => OpenError::NotBlockyard(path.to_owned()),
        CoreOpenError::Version { found } => OpenError::Version { found },
        CoreOpenError::Features { found } => OpenError::Features { found },
        CoreOpenError::Geometry(error) => OpenError::Geometry(error),
        CoreOpenError::Truncated { expected, actual } => OpenError::Truncated { expected, actual },
        CoreOpenError::Corrupted(damage) => OpenError::Corrupted(damage),
        CoreOpenError::Full => OpenError::Full,
        CoreOpenError::ReadOnly => OpenError::ReadOnly,
        _ => OpenError::Memory,
    }
}

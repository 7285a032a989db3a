//! The handle of an open store.

use crate::batch::WriteBatch;
use crate::error::{Error, OpenError, Result};
use crate::get::Reads;
use crate::inner::{Inner, Request};
use crate::iter::{Iter, Span};
use crate::options::OpenOptions;
use crate::read::{BlockRef, Metadata};
use crate::snapshot::Snapshot;
use crate::stats::Stats;
use crate::stream::{BlockReader, BlockWriter};
use crate::ticket::Ticket;
use crate::transaction::Transaction;
use crate::verify::{VerifyProgress, VerifyReport};
use blockyard_core::store::Recovery;
use blockyard_core::{Durability, Sequence};
use std::ops::RangeBounds;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::JoinHandle;

/// A store of named blocks in one file, or on any [`Device`](crate::Device). Clones share it; all methods may be called from any thread.
///
/// Reads see the newest committed state and never wait for a write or a sync. Writes are grouped:
/// whoever finds nobody writing commits what is queued, and one sync serves all who wait. When the
/// last handle is dropped the store is closed as by [`close`](Self::close).
#[derive(Clone, Debug)]
pub struct Store {
    handle: Arc<Handle>,
}

#[derive(Debug)]
pub(crate) struct Handle {
    pub(crate) inner: Arc<Inner>,
    pub(crate) path: Option<PathBuf>,
    pub(crate) recovery: Recovery,
    pub(crate) threads: Vec<JoinHandle<()>>,
}

/// What a put is given besides its value.
#[derive(Clone, Copy, Debug, Default)]
pub struct PutOptions {
    /// A number of the caller's, kept with the block.
    pub tag: u64,
    /// What the commit survives; None takes the store's default.
    pub durability: Option<Durability>,
}

impl Store {
    /// Opens an existing file for reading and writing, with the default options.
    ///
    /// # Errors
    /// See [`OpenError`].
    pub fn open(path: impl AsRef<Path>) -> Result<Self, OpenError> {
        OpenOptions::new().open(path)
    }

    /// Creates a new file with the default options.
    ///
    /// # Errors
    /// [`OpenError::AlreadyExists`] if there is one; see [`OpenError`].
    pub fn create(path: impl AsRef<Path>) -> Result<Self, OpenError> {
        OpenOptions::new().create_new(true).open(path)
    }

    /// A new store in memory with the default options; see [`OpenOptions::open_in_memory`].
    ///
    /// # Errors
    /// [`OpenError::Full`] without memory.
    pub fn in_memory() -> Result<Self, OpenError> {
        OpenOptions::new().open_in_memory()
    }

    pub(crate) fn new(handle: Handle) -> Self {
        Self { handle: Arc::new(handle) }
    }

    pub(crate) fn inner(&self) -> &Arc<Inner> {
        &self.handle.inner
    }

    /// Puts a block of any length, replacing what the name held. Returns the commit's number.
    ///
    /// A durable put, the default, survives a power cut when this returns; it costs one sync, which
    /// all who wait at the time share.
    ///
    /// # Errors
    /// See [`Error`]; the block is then as it was, except after [`Error::Io`], when a reopen shows.
    pub fn put(&self, name: impl AsRef<[u8]>, value: impl AsRef<[u8]>) -> Result<Sequence> {
        self.put_with(name, value, PutOptions::default())
    }

    /// Puts a block with a tag, or with another durability than the store's default.
    ///
    /// # Errors
    /// As [`put`](Self::put).
    pub fn put_with(
        &self,
        name: impl AsRef<[u8]>,
        value: impl AsRef<[u8]>,
        options: PutOptions,
    ) -> Result<Sequence> {
        let (name, value, inner) = (name.as_ref(), value.as_ref(), self.inner());
        inner.check_writable()?;
        let durability = options.durability.unwrap_or(inner.durability);
        if value.len() as u64 > u64::from(inner.geometry.chunk_size()) {
            let mut writer = self.writer(name)?.tag(options.tag).durability(durability);
            writer.write_bytes(value)?;
            return writer.finish();
        }
        let mut batch = inner.batch();
        if let Err(error) = batch.put(name, value, options.tag) {
            inner.recycle(batch);
            return Err(error.into());
        }
        let sequence = inner.run(Request::Commit(batch), durability)?;
        if inner.unbatched_registry {
            self.read_back(name, value)?;
        }
        Ok(sequence)
    }

    /// What the old engine did after every write: read it again and compare.
    fn read_back(&self, name: &[u8], value: &[u8]) -> Result<()> {
        match self.get(name)? {
            Some(found) if found == value => Ok(()),
            _ => Err(Error::Poisoned),
        }
    }

    /// Reads a block.
    ///
    /// # Errors
    /// [`Error::Corrupted`] if its bytes are damaged, [`Error::Io`] if they cannot be read.
    pub fn get(&self, name: impl AsRef<[u8]>) -> Result<Option<Vec<u8>>> {
        Reads::now(self.inner())?.get(name.as_ref())
    }

    /// Reads a block into `buf` and returns its length.
    ///
    /// # Errors
    /// [`Error::BufferTooSmall`] with the length needed; else as [`get`](Self::get).
    pub fn get_into(&self, name: impl AsRef<[u8]>, buf: &mut [u8]) -> Result<Option<usize>> {
        Reads::now(self.inner())?.get_into(name.as_ref(), buf)
    }

    /// Reads a block without copying it: the bytes are the cache's own. A block of several chunks is
    /// put together first.
    ///
    /// # Errors
    /// As [`get`](Self::get).
    pub fn get_ref(&self, name: impl AsRef<[u8]>) -> Result<Option<BlockRef>> {
        Reads::now(self.inner())?.get_ref(name.as_ref())
    }

    /// Shows a block's bytes to `look` where they are, neither copied nor shared: the fastest way to read a
    /// small block that is in the cache, which keeps the bytes meanwhile.
    ///
    /// # Errors
    /// As [`get_ref`](Self::get_ref).
    pub fn get_with<R>(&self, name: impl AsRef<[u8]>, look: impl FnOnce(&[u8]) -> R) -> Result<Option<R>> {
        Reads::now(self.inner())?.get_with(name.as_ref(), look)
    }

    /// Whether a block exists.
    ///
    /// # Errors
    /// As [`get`](Self::get), for the registry's pages.
    pub fn exists(&self, name: impl AsRef<[u8]>) -> Result<bool> {
        Reads::now(self.inner())?.exists(name.as_ref())
    }

    /// What is known of a block without reading it.
    ///
    /// # Errors
    /// As [`exists`](Self::exists).
    pub fn metadata(&self, name: impl AsRef<[u8]>) -> Result<Option<Metadata>> {
        let inner = self.inner();
        inner.metadata(&inner.view()?, name.as_ref())
    }

    /// Deletes a block; false, with nothing committed, if there was none. Of several that delete one
    /// block at once, one is answered true.
    ///
    /// # Errors
    /// See [`Error`].
    pub fn delete(&self, name: impl AsRef<[u8]>) -> Result<bool> {
        Ok(self.delete_with(name, self.inner().durability)?.is_some())
    }

    /// Deletes a block with the durability given, and returns the commit's number; None, with nothing
    /// committed, if there was no block.
    ///
    /// # Errors
    /// As [`delete`](Self::delete).
    pub fn delete_with(&self, name: impl AsRef<[u8]>, durability: Durability) -> Result<Option<Sequence>> {
        let (name, inner) = (name.as_ref(), self.inner());
        inner.check_writable()?;
        let mut batch = inner.batch();
        let there = match batch.delete(name) {
            Ok(()) => self.exists(name),
            Err(error) => Err(error.into()),
        };
        if !matches!(there, Ok(true)) {
            inner.recycle(batch);
            return there.map(|_| None);
        }
        match inner.run(Request::Delete(batch), durability) {
            Ok(sequence) => Ok(Some(sequence)),
            // Somebody else was faster.
            Err(Error::NotFound) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Gives a block another name, replacing what that name held. Its bytes do not move.
    ///
    /// # Errors
    /// [`Error::NotFound`] if there is no block `from`; see [`Error`].
    pub fn rename(&self, from: impl AsRef<[u8]>, to: impl AsRef<[u8]>) -> Result<Sequence> {
        let (from, to, inner) = (from.as_ref(), to.as_ref(), self.inner());
        // Both names are checked as a batch would check them.
        let mut batch = inner.batch();
        let checked = batch.delete(from).and_then(|()| batch.delete(to));
        inner.recycle(batch);
        checked?;
        inner.run(Request::Rename(from.to_vec(), to.to_vec()), inner.durability)
    }

    /// An empty batch for this store.
    #[must_use]
    pub fn batch(&self) -> WriteBatch {
        WriteBatch { raw: self.inner().batch_for_many() }
    }

    /// Commits a batch with the store's default durability: all of it or nothing.
    ///
    /// # Errors
    /// See [`Error`].
    pub fn commit(&self, batch: WriteBatch) -> Result<Sequence> {
        self.commit_with(batch, self.inner().durability)
    }

    /// Commits a batch with the durability given.
    ///
    /// # Errors
    /// [`Error::BatchUnfit`] for a batch of a store of other sizes; else see [`Error`].
    pub fn commit_with(&self, batch: WriteBatch, durability: Durability) -> Result<Sequence> {
        self.inner().run(self.request(batch)?, durability)
    }

    /// The request to commit a batch. One that another store made is not let among this one's, not even emptied.
    fn request(&self, batch: WriteBatch) -> Result<Request> {
        let suits = batch.raw.suits(&self.inner().geometry);
        if suits { Ok(Request::Commit(batch.raw)) } else { Err(Error::BatchUnfit) }
    }

    /// Queues a batch and returns at once, with a ticket to wait on or to await. Blocks only while
    /// the queue is full. The batch is committed in the background even if the ticket is dropped.
    ///
    /// # Errors
    /// [`Error::Closed`], [`Error::Poisoned`], [`Error::ReadOnly`]; [`Error::BatchUnfit`] for a batch of a store of other
    /// sizes.
    pub fn submit(&self, batch: WriteBatch, durability: Durability) -> Result<Ticket> {
        Ticket::submit(Arc::clone(self.inner()), self.request(batch)?, durability)
    }

    /// A transaction: reads as of now, writes that only it sees until it commits.
    ///
    /// # Errors
    /// [`Error::Closed`].
    pub fn transaction(&self) -> Result<Transaction> {
        Ok(Transaction::new(Arc::clone(self.inner()), self.inner().view()?))
    }

    /// The state of now, for as long as it is held. Pages that it sees are not used again meanwhile,
    /// so that the file may grow.
    ///
    /// # Errors
    /// [`Error::Closed`].
    pub fn snapshot(&self) -> Result<Snapshot> {
        Ok(Snapshot::new(Arc::clone(self.inner()), self.inner().view()?))
    }

    /// All blocks as of now, by name; also from the end.
    #[must_use]
    pub fn iter(&self) -> Iter {
        self.span(Span::all())
    }

    /// The blocks whose names begin with `prefix`, as of now.
    #[must_use]
    pub fn prefix(&self, prefix: impl AsRef<[u8]>) -> Iter {
        self.span(Span::prefix(prefix.as_ref()))
    }

    /// The blocks whose names lie in `range`, as of now.
    #[must_use]
    pub fn range<N: AsRef<[u8]>>(&self, range: impl RangeBounds<N>) -> Iter {
        self.span(Span::range(&range))
    }

    fn span(&self, span: Span) -> Iter {
        let inner = self.inner();
        Iter::new(Arc::clone(inner), inner.shared.view(), span).or_refused(inner.check_open())
    }

    /// A reader of a block, as of now, in bounded memory: each chunk is verified before any of it is
    /// handed out.
    ///
    /// # Errors
    /// As [`exists`](Self::exists).
    pub fn reader(&self, name: impl AsRef<[u8]>) -> Result<Option<BlockReader>> {
        let inner = self.inner();
        BlockReader::open(Arc::clone(inner), inner.view()?, name.as_ref())
    }

    /// A writer of a block of any length, in bounded memory. Nothing of it is seen before
    /// [`BlockWriter::finish`].
    ///
    /// # Errors
    /// [`Error::NameEmpty`], [`Error::NameTooLong`], [`Error::ReadOnly`], [`Error::Closed`].
    pub fn writer(&self, name: impl AsRef<[u8]>) -> Result<BlockWriter> {
        BlockWriter::open(Arc::clone(self.inner()), name.as_ref())
    }

    /// Hands everything queued to the operating system: it then survives a crash of this process.
    ///
    /// # Errors
    /// [`Error::Closed`], [`Error::Poisoned`].
    pub fn flush(&self) -> Result<()> {
        let inner = self.inner();
        inner.check_open()?;
        if inner.read_only {
            return Ok(());
        }
        inner.flush_queue();
        if inner.engine()?.engine.is_poisoned() { Err(Error::Poisoned) } else { Ok(()) }
    }

    /// Makes everything committed so far durable and returns the last commit's number.
    ///
    /// # Errors
    /// [`Error::Io`] if the sync fails: the store is then poisoned.
    pub fn sync(&self) -> Result<Sequence> {
        self.inner().check_writable()?;
        self.inner().sync()
    }

    /// Folds the journal into the registry. Runs in the background by itself when the journal is half
    /// full.
    ///
    /// # Errors
    /// See [`Error`].
    pub fn checkpoint(&self) -> Result<()> {
        self.inner().check_writable()?;
        self.inner().flush_queue();
        self.inner().checkpoint()
    }

    /// Commits what is queued, folds the journal in and closes the file. Other handles of the store
    /// get [`Error::Closed`] from then on. Iterators, readers and snapshots that are held go on
    /// reading; the file stays locked until the last of them and of the handles is dropped.
    ///
    /// # Errors
    /// [`Error::Poisoned`] if an earlier write failed; else see [`Error`]. The store is closed in any
    /// case.
    pub fn close(self) -> Result<()> {
        self.inner().close()
    }

    /// Figures of the store as of now.
    ///
    /// # Errors
    /// [`Error::Closed`]; [`Error::Corrupted`] or [`Error::Io`] while pending changes are looked up.
    pub fn stats(&self) -> Result<Stats> {
        Stats::of(self.inner(), &self.handle.recovery)
    }

    /// Reads and verifies every page and every block, and compares the free map with what is in use.
    /// Folds the journal in first, unless the store is read-only. The store can be used meanwhile: commits get their turn every few
    /// milliseconds, reads do not wait at all, and what a checkpoint changes is [not compared](VerifyReport::partial) with what was counted. `progress` must not write to the store or ask for its statistics, and if it panics the store
    /// refuses writes from then on.
    ///
    /// # Errors
    /// [`Error::Io`] if the file cannot be read; [`Error::Closed`] and [`Error::Poisoned`], also in the middle. Damage is not an error: it
    /// is in the report.
    pub fn verify(&self, progress: impl FnMut(VerifyProgress)) -> Result<VerifyReport> {
        crate::verify::run(self.inner(), progress)
    }

    /// What opening the file found in its journal.
    #[must_use]
    pub fn recovery(&self) -> &Recovery {
        &self.handle.recovery
    }

    /// The file, if the store was opened by its path.
    #[must_use]
    pub fn path(&self) -> Option<&Path> {
        self.handle.path.as_deref()
    }
}

impl Drop for Handle {
    /// Closes the store and waits for its threads.
    fn drop(&mut self) {
        if let Err(error) = self.inner.close() {
            tracing::warn!(%error, "the store was not closed cleanly; the next open recovers");
        }
        self.inner.stop();
        for thread in self.threads.drain(..) {
            if thread.thread().id() != std::thread::current().id() {
                let _ = thread.join();
            }
        }
    }
}

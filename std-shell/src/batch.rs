//! Batches of changes.

use crate::buffer::Buffer;
use crate::error::Result;
use blockyard_core::Batch;

/// The engine's batch over growing buffers.
pub(crate) type RawBatch = Batch<Buffer, Buffer>;

/// Bytes of changes from which on a batch is large.
const LARGE: usize = 64 << 10;

/// Empty batches for those to come. Each remembers how much it held, and begins with as much memory: so those that held
/// many changes are kept for whoever may have many again.
#[derive(Debug, Default)]
pub(crate) struct Recycled {
    small: Vec<RawBatch>,
    large: Vec<RawBatch>,
}

impl Recycled {
    pub(crate) fn for_few(&mut self) -> Option<RawBatch> {
        self.small.pop()
    }

    pub(crate) fn for_many(&mut self) -> Option<RawBatch> {
        self.large.pop().or_else(|| self.small.pop())
    }

    /// Keeps an emptied batch that held so many bytes, unless there are enough. One that has had more values before, and
    /// none this time, still knows how many.
    pub(crate) fn give(&mut self, mut batch: RawBatch, bytes: usize) {
        let values = batch.late_values().0.usual();
        let (kept, most) =
            if bytes.max(values) > LARGE { (&mut self.large, 8) } else { (&mut self.small, 64) };
        if kept.len() < most {
            kept.push(batch);
        }
    }
}

/// Changes that become visible and durable together, or not at all. Made by
/// [`Store::batch`](crate::Store::batch). Values are digested as they are added, in the caller's thread; those
/// behind the first 256 KiB by the commit, while the device writes, and so are all of a batch of 256 KiB or more that was
/// made behind one of a MiB.
#[derive(Debug)]
pub struct WriteBatch {
    pub(crate) raw: RawBatch,
}

impl WriteBatch {
    /// Puts a block; a later change of the same name in this batch wins.
    ///
    /// # Errors
    /// [`Error::NameEmpty`](crate::Error::NameEmpty), [`Error::NameTooLong`](crate::Error::NameTooLong);
    /// [`Error::ValueTooLarge`](crate::Error::ValueTooLarge) for a value longer than a chunk. The
    /// batch is as before.
    pub fn put(&mut self, name: impl AsRef<[u8]>, value: impl AsRef<[u8]>) -> Result<()> {
        self.put_tagged(name, value, 0)
    }

    /// Puts a block with a tag of the caller's.
    ///
    /// # Errors
    /// As [`put`](Self::put).
    pub fn put_tagged(&mut self, name: impl AsRef<[u8]>, value: impl AsRef<[u8]>, tag: u64) -> Result<()> {
        Ok(self.raw.put(name.as_ref(), value.as_ref(), tag)?)
    }

    /// Deletes a block; deleting one that is not there changes nothing.
    ///
    /// # Errors
    /// [`Error::NameEmpty`](crate::Error::NameEmpty), [`Error::NameTooLong`](crate::Error::NameTooLong).
    pub fn delete(&mut self, name: impl AsRef<[u8]>) -> Result<()> {
        Ok(self.raw.delete(name.as_ref())?)
    }

    /// Number of changes.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.raw.len()
    }

    /// Whether there is no change.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.raw.is_empty()
    }

    /// Bytes that the batch holds in memory.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.raw.bytes()
    }

    /// Forgets all changes and keeps the memory.
    pub fn clear(&mut self) {
        self.raw.clear();
    }
}

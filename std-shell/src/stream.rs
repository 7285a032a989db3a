//! Reading and writing blocks of any length in the memory of one chunk.

use crate::error::{Error, Result};
use crate::inner::{Inner, Request};
use crate::read::{self, BlockRef, Located};
use crate::view::View;
use blockyard_core::format::ChunkRef;
use blockyard_core::store::BlockLocation;
use blockyard_core::{Digest, Durability, Sequence};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::sync::Arc;

/// Reads a block as of the moment when it was opened. A chunk is verified before any byte of it is
/// handed out; a damaged one is an [`io::ErrorKind::InvalidData`] error that holds
/// [`Error::Corrupted`].
#[derive(Debug)]
pub struct BlockReader {
    inner: Arc<Inner>,
    view: View,
    name: Vec<u8>,
    located: Located,
    at: u64,
    buffer: Vec<u8>,
    /// Number of the chunk in the buffer.
    buffered: Option<u32>,
    whole: Option<BlockRef>,
}

impl BlockReader {
    pub(crate) fn open(inner: Arc<Inner>, view: View, name: &[u8]) -> Result<Option<Self>> {
        let Some(located) = read::locate(&inner.source, &view, name)? else { return Ok(None) };
        let (name, buffer) = (name.to_vec(), Vec::new());
        Ok(Some(Self { inner, view, name, located, at: 0, buffer, buffered: None, whole: None }))
    }

    /// Length of the block in bytes.
    #[must_use]
    pub fn len(&self) -> u64 {
        self.located.length()
    }

    /// Whether the block has no bytes.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The verified bytes from the place of the reader to the end of its chunk.
    fn fill(&mut self) -> Result<&[u8]> {
        let length = self.len();
        if self.at >= length {
            return Ok(&[]);
        }
        if let Located::File { info, slot, .. } = &self.located
            && let BlockLocation::Chunks { chunk_size, .. } = info.location
        {
            let size = u64::from(chunk_size);
            let index = (self.at / size) as u32;
            let start = u64::from(index) * size;
            if self.buffered != Some(index) {
                self.buffered = None;
                let (page, digest) =
                    read::chunk(&self.inner.source, &self.view, &self.name, slot.as_ref(), index)?;
                let plausible = self.inner.source.plausible(page, (length - start).min(size));
                self.buffer.resize(plausible.map_err(|error| Error::read(error, Some(&self.name)))?, 0);
                self.inner
                    .source
                    .extent_into(page, &digest, &mut self.buffer, None)
                    .map_err(|error| Error::read(error, Some(&self.name)))?;
                self.buffered = Some(index);
            }
            return Ok(&self.buffer[(self.at - start) as usize..]);
        }
        let whole = match self.whole.take() {
            Some(whole) => whole,
            None => read::read_ref(&self.inner.source, &self.view, &self.name, &self.located)?.0,
        };
        Ok(&self.whole.insert(whole)[self.at as usize..])
    }
}

impl Read for BlockReader {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let bytes = self.fill()?;
        let now = bytes.len().min(buf.len());
        buf[..now].copy_from_slice(&bytes[..now]);
        self.at += now as u64;
        Ok(now)
    }
}

impl io::BufRead for BlockReader {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        Ok(self.fill()?)
    }

    fn consume(&mut self, amount: usize) {
        self.at += amount as u64;
    }
}

impl Seek for BlockReader {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let target = match to {
            SeekFrom::Start(at) => Some(at),
            SeekFrom::End(by) => self.len().checked_add_signed(by),
            SeekFrom::Current(by) => self.at.checked_add_signed(by),
        };
        self.at = target
            .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "seek before the block's start"))?;
        Ok(self.at)
    }
}

/// Writes a block chunk by chunk; the chunks go to the file as they fill, and nothing is seen of
/// them before [`finish`](Self::finish). Dropped without it, nothing is left behind. While a writer is
/// open, pages that are freed are not used again, and the file may grow.
#[derive(Debug)]
pub struct BlockWriter {
    inner: Arc<Inner>,
    name: Vec<u8>,
    tag: u64,
    durability: Durability,
    buffer: Vec<u8>,
    chunks: Vec<ChunkRef>,
    length: u64,
    staged: bool,
    failed: Option<Error>,
}

impl BlockWriter {
    pub(crate) fn open(inner: Arc<Inner>, name: &[u8]) -> Result<Self> {
        inner.check_writable()?;
        // A batch checks the name.
        let mut batch = inner.batch();
        let checked = batch.delete(name);
        inner.recycle(batch);
        checked?;
        let durability = inner.durability;
        Ok(Self {
            inner,
            name: name.to_vec(),
            tag: 0,
            durability,
            buffer: Vec::new(),
            chunks: Vec::new(),
            length: 0,
            staged: false,
            failed: None,
        })
    }

    /// Sets the block's tag.
    #[must_use]
    pub const fn tag(mut self, tag: u64) -> Self {
        self.tag = tag;
        self
    }

    /// Sets what the commit survives; the store's default otherwise.
    #[must_use]
    pub const fn durability(mut self, durability: Durability) -> Self {
        self.durability = durability;
        self
    }

    /// Bytes taken so far.
    #[must_use]
    pub const fn len(&self) -> u64 {
        self.length
    }

    /// Whether nothing was written yet.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.length == 0
    }

    /// Takes all of `bytes`.
    ///
    /// # Errors
    /// [`Error::Full`]; [`Error::Io`] poisons the store. After an error the block cannot be finished.
    pub fn write_bytes(&mut self, mut bytes: &[u8]) -> Result<()> {
        let size = self.inner.geometry.chunk_size() as usize;
        while !bytes.is_empty() {
            if self.buffer.len() == size {
                self.put_chunk()?;
            }
            let now = bytes.len().min(size - self.buffer.len());
            self.buffer.extend_from_slice(&bytes[..now]);
            self.length += now as u64;
            bytes = &bytes[now..];
        }
        Ok(())
    }

    /// Writes the buffer to fresh pages as one chunk.
    fn put_chunk(&mut self) -> Result<()> {
        let put = self.stage_chunk();
        if let Err(error) = &put {
            self.failed.get_or_insert_with(|| error.clone());
        }
        put
    }

    fn stage_chunk(&mut self) -> Result<()> {
        let digest = Digest::of(&self.buffer);
        let mut locked = self.inner.engine()?;
        if !self.staged {
            locked.engine.begin_staged();
            self.staged = true;
        }
        let staged = locked.engine.write_chunk(&self.buffer, digest)?;
        drop(locked);
        self.chunks.push(staged.to_ref());
        self.buffer.clear();
        Ok(())
    }

    /// Commits the block and returns the commit's number.
    ///
    /// # Errors
    /// What an earlier write of this block failed with; else see [`Error`]. The name then holds what it
    /// held before.
    pub fn finish(mut self) -> Result<Sequence> {
        if let Some(error) = self.failed.take() {
            return Err(error);
        }
        let mut batch = self.inner.batch();
        let filled = self.fill(&mut batch);
        if let Err(error) = filled {
            self.inner.recycle(batch);
            return Err(error);
        }
        self.inner.run(Request::Commit(batch), self.durability)
    }

    fn fill(&mut self, batch: &mut crate::batch::RawBatch) -> Result<()> {
        if self.chunks.is_empty() {
            return Ok(batch.put(&self.name, &self.buffer, self.tag)?);
        }
        if !self.buffer.is_empty() {
            self.put_chunk()?;
        }
        let size = self.inner.geometry.chunk_size();
        Ok(batch.put_chunks(&self.name, self.length, self.tag, size, &self.chunks)?)
    }
}

impl Write for BlockWriter {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        self.write_bytes(buf)?;
        Ok(buf.len())
    }

    /// Does nothing: a block is whole or not there.
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for BlockWriter {
    fn drop(&mut self) {
        if self.staged {
            self.inner.end_staged();
        }
    }
}

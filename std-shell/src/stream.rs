//! Reading and writing blocks of any length in the memory of a few chunks.
//!
//! Digests take longer than the reading and the writing. Where a second processor is there to help, the store's other
//! thread ([`Digester`]) computes those of chunks that were read ahead, or that were written and are not committed yet.

use crate::buffer::{Buffer, Role};
use crate::digests::{Digester, WORTH_IT};
use crate::error::{Error, Result};
use crate::inner::{Inner, Request};
use crate::read::{self, BlockRef, Located};
use crate::view::View;
use blockyard_core::PageIndex;
use blockyard_core::batch::GrowBytes;
use blockyard_core::format::ChunkRef;
use blockyard_core::store::BlockLocation;
use blockyard_core::{Digest, Durability, Sequence};
use std::collections::VecDeque;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::sync::Arc;

/// Chunks that are read ahead, or whose digests are not known yet, at most.
const AHEAD: usize = 2;

/// Bytes of them at most.
const AHEAD_BYTES: u64 = 4 << 20;

/// How many chunks of such a size go ahead.
fn ahead(chunk_size: u64) -> usize {
    if chunk_size < WORTH_IT as u64 || !Digester::is_of_use() {
        return 0;
    }
    AHEAD.min((AHEAD_BYTES / chunk_size) as usize)
}

impl Inner {
    /// Has the digest of a chunk computed by another thread, too.
    fn digest_chunk_ahead(&self, chunk: &mut Buffer) {
        let all = std::iter::once(0..chunk.as_ref().len()).collect();
        chunk.digest_ahead(all, 1, &self.digester);
    }
}

/// A chunk that was read.
#[derive(Debug)]
struct Chunk {
    index: u32,
    page: PageIndex,
    /// What its digest has to be.
    digest: Digest,
    bytes: Buffer,
    /// Whether they were compared with it.
    verified: bool,
}

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
    /// The chunk that the reader is in, verified.
    chunk: Option<Chunk>,
    /// Those behind it that were read already, and not verified.
    ahead: VecDeque<Chunk>,
    whole: Option<BlockRef>,
}

impl BlockReader {
    pub(crate) fn open(inner: Arc<Inner>, view: View, name: &[u8]) -> Result<Option<Self>> {
        let Some(located) = read::locate(&inner.source, &view, name)? else { return Ok(None) };
        let (name, ahead) = (name.to_vec(), VecDeque::new());
        Ok(Some(Self { inner, view, name, located, at: 0, chunk: None, ahead, whole: None }))
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
    pub(crate) fn fill(&mut self) -> Result<&[u8]> {
        let length = self.len();
        if self.at >= length {
            return Ok(&[]);
        }
        if let Located::File { info, .. } = &self.located
            && let BlockLocation::Chunks { chunk_size, .. } = info.location
        {
            let size = u64::from(chunk_size);
            let index = (self.at / size) as u32;
            if self.chunk.as_ref().is_none_or(|chunk| chunk.index != index) {
                self.turn_to(index, size)?;
            }
            let start = u64::from(index) * size;
            let bytes = self.chunk.as_ref().map(|chunk| chunk.bytes.as_ref()).unwrap_or_default();
            return Ok(&bytes[(self.at - start) as usize..]);
        }
        let whole = match self.whole.take() {
            Some(whole) => whole,
            None => read::read_ref(&self.inner.source, &self.view, &self.name, &self.located)?.0,
        };
        Ok(&self.whole.insert(whole)[self.at as usize..])
    }

    /// Makes `index` the chunk that the reader is in.
    fn turn_to(&mut self, index: u32, size: u64) -> Result<()> {
        // Who looks at a block's beginning alone is not made to wait for more.
        let follows = self.chunk.take().is_some_and(|last| last.index + 1 == index);
        let chunk = match self.ahead.pop_front() {
            Some(chunk) if chunk.index == index => chunk,
            _ => {
                self.ahead.clear();
                self.read_chunk(index, size)?
            }
        };
        if follows {
            self.read_ahead(index, size);
        }
        if !chunk.verified {
            let found = chunk.bytes.digest(0..chunk.bytes.as_ref().len());
            let compared = self.inner.source.compare(chunk.page, &found, &chunk.digest);
            compared.map_err(|error| Error::read(error, Some(&self.name)))?;
        }
        self.chunk = Some(chunk);
        Ok(())
    }

    /// Reads the chunks behind `index`. Of three this thread digests one, which keeps both threads busy. One that
    /// cannot be read is read again, and told, when it is its turn.
    fn read_ahead(&mut self, index: u32, size: u64) {
        let next = self.ahead.back().map_or(index, |last| last.index) + 1;
        for index in next..=index.saturating_add(ahead(size) as u32) {
            if u64::from(index) * size >= self.len() {
                return;
            }
            let Ok(mut chunk) = self.read_chunk(index, size) else { return };
            if index % 3 != 0 && !chunk.verified {
                self.inner.digest_chunk_ahead(&mut chunk.bytes);
            }
            self.ahead.push_back(chunk);
        }
    }

    fn read_chunk(&self, index: u32, size: u64) -> Result<Chunk> {
        let Located::File { slot, .. } = &self.located else { return Err(Error::NotFound) };
        let source = &self.inner.source;
        let (page, digest) = read::chunk(source, &self.view, &self.name, slot.as_ref(), index)?;
        let length = (self.len() - u64::from(index) * size).min(size);
        let mut bytes = Buffer::new(&self.inner.memory, Role::Data);
        // Small ones are the cache's.
        let verified = ahead(length) == 0;
        let read = source.plausible(page, length).and_then(|length| match bytes.take_up(length) {
            into if verified => source.extent_into(page, &digest, into, None).map(drop),
            into => source.extent_ahead(page, into),
        });
        read.map_err(|error| Error::read(error, Some(&self.name)))?;
        Ok(Chunk { index, page, digest, bytes, verified })
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
    buffer: Buffer,
    chunks: Vec<ChunkRef>,
    /// The last chunks, whose digests are not known yet.
    undigested: VecDeque<Buffer>,
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
        let buffer = Buffer::new(&inner.memory, Role::Data);
        Ok(Self {
            inner,
            name: name.to_vec(),
            tag: 0,
            durability,
            buffer,
            chunks: Vec::new(),
            undigested: VecDeque::new(),
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
            let has = self.buffer.as_ref().len();
            if has == size {
                self.put_chunk()?;
                continue;
            }
            let now = bytes.len().min(size - has);
            self.buffer.append(&bytes[..now]);
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
        let size = self.buffer.as_ref().len();
        let ahead = ahead(size as u64);
        if ahead > 0 {
            self.inner.digest_chunk_ahead(&mut self.buffer);
        }
        let mut locked = self.inner.engine()?;
        if !self.staged {
            locked.engine.begin_staged();
            self.staged = true;
        }
        // Its digest comes later.
        let staged = locked.engine.write_chunk(self.buffer.as_ref(), Digest::default())?;
        drop(locked);
        self.chunks.push(staged.to_ref());
        let mut next = Buffer::new(&self.inner.memory, Role::Data);
        next.reserve(size);
        self.undigested.push_back(std::mem::replace(&mut self.buffer, next));
        self.digest_all_but(ahead);
        Ok(())
    }

    /// Puts the digests of all chunks but the last `ahead` where they belong.
    fn digest_all_but(&mut self, ahead: usize) {
        let first = self.chunks.len() - self.undigested.len();
        let known = self.undigested.len().saturating_sub(ahead);
        for (chunk, bytes) in self.chunks[first..].iter_mut().zip(self.undigested.drain(..known)) {
            chunk.digest = bytes.digest(0..bytes.as_ref().len()).0;
        }
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
            return Ok(batch.put(&self.name, self.buffer.as_ref(), self.tag)?);
        }
        if !self.buffer.as_ref().is_empty() {
            self.put_chunk()?;
        }
        self.digest_all_but(0);
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

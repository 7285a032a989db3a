//! Writing blocks of any size, chunk by chunk.

use super::commit::batch_error;
use super::reader::StreamError;
use super::{Durability, Store, space};
use crate::batch::{Batch, GrowBytes};
use crate::device::BlockDevice;
use crate::digest::Digest;
use crate::error::WriteError;
use crate::failure::Failure;
use crate::format::{ChunkRef, U64};
use crate::ids::{PageIndex, Sequence};
use crate::overlay::Overlay;

/// A chunk that was written and that no commit refers to yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StagedChunk {
    /// First page of its extent.
    pub page: PageIndex,
    /// SHA-256 of its bytes.
    pub digest: Digest,
}

impl StagedChunk {
    /// The chunk as it stands in a batch.
    #[must_use]
    pub fn to_ref(self) -> ChunkRef {
        ChunkRef { page: U64::new(self.page.0), digest: self.digest.0 }
    }
}

impl<D: BlockDevice, O: Overlay, B: AsMut<[u8]>> Store<D, O, B> {
    /// Begins a write whose chunks no commit refers to yet. Until the matching
    /// [`end_staged`](Self::end_staged) no checkpoint hands their pages out again. On a device that is nearly full a
    /// checkpoint under way begins anew.
    pub fn begin_staged(&mut self) {
        // What a checkpoint under way has taken by now would stay taken if it failed, and be missing for the next.
        if !self.keeps_what_is_set_aside() {
            self.start_over();
        }
        self.map.stage(self.pages);
    }

    /// Ends such a write, after its commit or without one: then its pages are free again.
    pub fn end_staged(&mut self) {
        self.map.unstage();
    }

    /// Writes one chunk of at most the geometry's chunk size to fresh pages, without a sync. The
    /// digest is the caller's, over the same bytes; it goes into the answer and nowhere else, so that who does not know
    /// it yet may put it there before the commit.
    ///
    /// # Errors
    /// [`WriteError::Full`]; [`WriteError::BatchTooLarge`] if it is longer than a chunk;
    /// [`WriteError::Device`] after a failed write poisons the store.
    pub fn write_chunk(&mut self, bytes: &[u8], digest: Digest) -> Result<StagedChunk, WriteError<D::Error>> {
        let page = self.place_chunk(bytes).map_err(|failure| self.io.write_error(failure))?;
        Ok(StagedChunk { page, digest })
    }

    /// Writes one chunk to fresh pages, of which it returns the first.
    fn place_chunk(&mut self, bytes: &[u8]) -> Result<PageIndex, Failure> {
        self.ready()?;
        if bytes.is_empty() || bytes.len() as u64 > u64::from(self.geometry.chunk_size()) {
            return Err(Failure::BatchTooLarge);
        }
        let pages = self.geometry.pages_for(bytes.len() as u64);
        let extent = self.run_of(pages)?;
        self.map.keep(self.pages);
        let page_size = self.geometry.page_size();
        let whole = bytes.len() - bytes.len() % page_size;
        let offset = self.geometry.offset(extent.start.0);
        if whole > 0 {
            self.io.write(offset, &bytes[..whole])?;
        }
        let rest = &bytes[whole..];
        if !rest.is_empty() {
            let page = space::transfer(self.buffer.as_mut(), &self.memory, &self.geometry);
            let page = page.ok_or(Failure::WorkspaceTooSmall)?;
            page[..rest.len()].copy_from_slice(rest);
            page[rest.len()..page_size].fill(0);
            self.io.write(offset + whole as u64, &page[..page_size])?;
        }
        self.io.start_sync_of_much();
        Ok(extent.start)
    }

    /// A writer of one block of any length. `chunk` is its buffer, of the geometry's chunk size or
    /// shorter, in whole pages; at most `CHUNKS` chunks are possible.
    ///
    /// # Errors
    /// [`WriteError::NameEmpty`], [`WriteError::NameTooLong`], [`WriteError::WorkspaceTooSmall`] for
    /// an unsuitable buffer.
    pub fn writer<'s, const CHUNKS: usize>(
        &'s mut self,
        name: &'s [u8],
        tag: u64,
        chunk: &'s mut [u8],
    ) -> Result<BlockWriter<'s, D, O, B, CHUNKS>, WriteError<D::Error>> {
        self.ready().map_err(|failure| self.io.write_error(failure))?;
        Self::check_name(&self.geometry, name)?;
        let size = chunk.len();
        let page = self.geometry.page_size();
        if size == 0 || !size.is_multiple_of(page) || size > self.geometry.chunk_size() as usize {
            return Err(WriteError::WorkspaceTooSmall);
        }
        self.begin_staged();
        let chunks = heapless::Vec::new();
        Ok(BlockWriter { store: self, name, tag, chunk, filled: 0, length: 0, chunks, failed: false })
    }
}

/// Writes a block piece by piece. Nothing of it is seen before [`finish`](Self::finish); dropped
/// without it, nothing is left behind.
pub struct BlockWriter<'s, D: BlockDevice, O: Overlay, B: AsMut<[u8]>, const CHUNKS: usize> {
    store: &'s mut Store<D, O, B>,
    name: &'s [u8],
    tag: u64,
    chunk: &'s mut [u8],
    filled: usize,
    length: u64,
    chunks: heapless::Vec<ChunkRef, CHUNKS>,
    /// A piece was not taken in whole: what there is of the block is not the block.
    failed: bool,
}

impl<D: BlockDevice, O: Overlay, B: AsMut<[u8]>, const CHUNKS: usize> BlockWriter<'_, D, O, B, CHUNKS> {
    /// Takes all of `bytes`.
    ///
    /// # Errors
    /// [`WriteError::BatchTooLarge`] beyond `CHUNKS` chunks; else as [`Store::write_chunk`]. After an error the block cannot
    /// be finished, and every further call answers [`WriteError::BatchUnfit`].
    pub fn write(&mut self, bytes: &[u8]) -> Result<(), WriteError<D::Error>> {
        self.check_whole()?;
        // Until all of it is taken, so that also a future that is dropped before leaves it so.
        self.failed = true;
        self.take(bytes)?;
        self.failed = false;
        Ok(())
    }

    /// Whether all pieces so far were taken.
    fn check_whole(&mut self) -> Result<(), WriteError<D::Error>> {
        let whole = if self.failed { Err(Failure::BatchUnfit) } else { Ok(()) };
        self.store.ready().and(whole).map_err(|failure| self.store.io.write_error(failure))
    }

    fn take(&mut self, mut bytes: &[u8]) -> Result<(), WriteError<D::Error>> {
        while !bytes.is_empty() {
            if self.filled == self.chunk.len() {
                self.put_chunk()?;
            }
            let now = bytes.len().min(self.chunk.len() - self.filled);
            self.chunk[self.filled..self.filled + now].copy_from_slice(&bytes[..now]);
            self.filled += now;
            self.length += now as u64;
            bytes = &bytes[now..];
        }
        Ok(())
    }

    fn put_chunk(&mut self) -> Result<(), WriteError<D::Error>> {
        let bytes = &self.chunk[..self.filled];
        let staged = self.store.write_chunk(bytes, Digest::of(bytes))?;
        self.filled = 0;
        self.chunks.push(staged.to_ref()).map_err(|_| WriteError::BatchTooLarge)
    }

    /// Commits the block. `scratch` is an empty batch that can hold one operation with the list of
    /// chunks, or the whole value if it fitted into the chunk buffer.
    ///
    /// # Errors
    /// [`WriteError::BatchUnfit`] if a piece was not taken; else as [`Store::commit`].
    pub fn finish<M: GrowBytes, V: GrowBytes>(
        mut self,
        scratch: &mut Batch<M, V>,
        durability: Durability,
    ) -> Result<Sequence, WriteError<D::Error>> {
        self.check_whole()?;
        scratch.clear();
        let chunk_size = self.chunk.len() as u32;
        if self.chunks.is_empty() && self.length <= self.store.geometry.max_inline() as u64 {
            scratch.put(self.name, &self.chunk[..self.filled], self.tag).map_err(batch_error)?;
        } else {
            if self.filled > 0 {
                self.put_chunk()?;
            }
            match self.chunks.as_slice() {
                [only] => {
                    let (page, digest) = (PageIndex(only.page.get()), Digest(only.digest));
                    scratch.put_extent(self.name, self.length, self.tag, digest, page)
                }
                chunks => scratch.put_chunks(self.name, self.length, self.tag, chunk_size, chunks),
            }
            .map_err(batch_error)?;
        }
        self.store.commit(core::slice::from_mut(scratch), durability)
    }
}

impl<D: BlockDevice, O: Overlay, B: AsMut<[u8]>, const CHUNKS: usize> Drop
    for BlockWriter<'_, D, O, B, CHUNKS>
{
    fn drop(&mut self) {
        self.store.end_staged();
    }
}

impl<D: BlockDevice, O: Overlay, B: AsMut<[u8]>, const CHUNKS: usize> embedded_io::ErrorType
    for BlockWriter<'_, D, O, B, CHUNKS>
{
    type Error = StreamError<WriteError<D::Error>>;
}

impl<D: BlockDevice, O: Overlay, B: AsMut<[u8]>, const CHUNKS: usize> embedded_io::Write
    for BlockWriter<'_, D, O, B, CHUNKS>
{
    fn write(&mut self, buf: &[u8]) -> Result<usize, Self::Error> {
        Self::write(self, buf).map_err(StreamError)?;
        Ok(buf.len())
    }

    /// Does nothing: a block is whole or not there.
    fn flush(&mut self) -> Result<(), Self::Error> {
        Ok(())
    }
}

//! Reading a block piece by piece.

use super::{BlockInfo, BlockLocation, Store, space};
use crate::device::BlockDevice;
use crate::error::{ReadError, Structure};
use crate::failure::Failure;
use crate::ids::PageIndex;
use crate::journal::{RingReader, RingWindow};
use crate::overlay::{Entry, Overlay, Value};

/// Reads a block piece by piece through the store's own memory: each chunk is digested first and
/// handed out after that.
pub struct BlockReader<'s, D: BlockDevice, O, B> {
    store: &'s mut Store<D, O, B>,
    name: &'s [u8],
    info: BlockInfo,
    at: u64,
    /// The chunk that was verified last, and its page.
    verified: Option<(u32, PageIndex)>,
}

impl<D: BlockDevice, O: Overlay, B: AsMut<[u8]>> BlockReader<'_, D, O, B> {
    /// What is known of the block.
    pub const fn info(&self) -> &BlockInfo {
        &self.info
    }

    /// Goes on at byte `at` of the block.
    pub fn seek(&mut self, at: u64) {
        self.at = at.min(self.info.length);
    }

    /// Reads the next bytes; 0 at the block's end.
    ///
    /// # Errors
    /// [`ReadError::Device`], or [`ReadError::Corrupted`] before any byte of a damaged chunk.
    pub fn read(&mut self, buf: &mut [u8]) -> Result<usize, ReadError<D::Error>> {
        self.read_next(buf).map_err(|failure| self.store.io.read_error(failure))
    }

    fn read_next(&mut self, buf: &mut [u8]) -> Result<usize, Failure> {
        let rest = self.info.length - self.at;
        if rest == 0 || buf.is_empty() {
            return Ok(0);
        }
        let (index, start, length) = match self.info.location {
            BlockLocation::Memory => return self.read_small(buf),
            BlockLocation::Extent { .. } => (0, 0, self.info.length),
            BlockLocation::Chunks { chunk_size, .. } => {
                let size = u64::from(chunk_size);
                let index = self.at / size;
                (index as u32, index * size, size.min(self.info.length - index * size))
            }
        };
        let page = self.verify(index, length)?;
        let within = self.at - start;
        let now = (length - within).min(buf.len() as u64) as usize;
        let read = self.store.read_within(page, within, &mut buf[..now])?;
        self.at += read as u64;
        Ok(read)
    }

    fn verify(&mut self, index: u32, length: u64) -> Result<PageIndex, Failure> {
        if let Some((verified, page)) = self.verified
            && verified == index
        {
            return Ok(page);
        }
        let (page, digest) = match self.info.location {
            BlockLocation::Extent { page } => (page, self.info.digest),
            _ => self.store.chunk(self.name, &self.info, index)?,
        };
        let end = page.0.saturating_add(self.store.geometry.pages_for(length));
        let inside = end <= self.store.pages;
        if !inside || !self.store.extent_has(page.0, length, &digest.0)? {
            let offset = self.store.geometry.offset(page.0);
            return Err(self.store.io.damaged(Structure::Block, offset));
        }
        self.verified = Some((index, page));
        Ok(page)
    }

    fn read_small(&mut self, buf: &mut [u8]) -> Result<usize, Failure> {
        let length = self.info.length as usize;
        let now = (length - self.at as usize).min(buf.len());
        let at = self.at as usize;
        match self.store.pending_entry(self.name) {
            Some(entry) => self.store.pending_part(self.name, &entry, self.at, &mut buf[..now])?,
            None => {
                self.store.tree_record(self.name)?;
                let body = self.store.body_page(length);
                let part = body.get(at..at + now).ok_or(Failure::WorkspaceTooSmall)?;
                buf[..now].copy_from_slice(part);
            }
        }
        self.at += now as u64;
        Ok(now)
    }
}

impl<D: BlockDevice, O: Overlay, B: AsMut<[u8]>> Store<D, O, B> {
    /// A reader of a block's bytes, verified chunk by chunk before any of them is handed out.
    ///
    /// # Errors
    /// [`ReadError::NotFound`]; else as [`info`](Self::info).
    pub fn reader<'s>(&'s mut self, name: &'s [u8]) -> Result<BlockReader<'s, D, O, B>, ReadError<D::Error>> {
        let info = self.info(name)?.ok_or(ReadError::NotFound)?;
        Ok(BlockReader { store: self, name, info, at: 0, verified: None })
    }

    /// Reads bytes of a verified extent through the transfer buffer.
    fn read_within(&mut self, page: PageIndex, within: u64, buf: &mut [u8]) -> Result<usize, Failure> {
        let size = self.geometry.page_size() as u64;
        let transfer = space::transfer(self.buffer.as_mut(), &self.memory, &self.geometry);
        let transfer = transfer.ok_or(Failure::WorkspaceTooSmall)?;
        let first = within - within % size;
        let skip = (within - first) as usize;
        let wanted = (skip + buf.len()).min(transfer.len());
        let whole = wanted.next_multiple_of(self.geometry.page_size()).min(transfer.len());
        let offset = self.geometry.offset(page.0) + first;
        self.io.read(offset, &mut transfer[..whole])?;
        let now = (wanted - skip).min(buf.len());
        buf[..now].copy_from_slice(&transfer[skip..skip + now]);
        Ok(now)
    }

    /// Reads part of a pending small block; a part is believed after the whole was digested.
    fn pending_part(&mut self, name: &[u8], entry: &Entry, at: u64, into: &mut [u8]) -> Result<(), Failure> {
        let start = at as usize;
        let kept = self.overlay.with_body(name, entry, &mut |body| {
            if let Some(part) = body.get(start..start + into.len()) {
                into.copy_from_slice(part);
            }
        });
        if kept {
            return Ok(());
        }
        let (position, digest) = match entry.value {
            Value::Inline { at } | Value::Carried { at, .. } => (at, entry.digest),
            _ => return Ok(()),
        };
        let transfer = space::transfer(self.buffer.as_mut(), &self.memory, &self.geometry);
        let transfer = transfer.ok_or(Failure::WorkspaceTooSmall)?;
        let window = &mut RingWindow::default();
        let mut ring = RingReader::new(&mut self.io, &self.geometry, transfer, window);
        if !ring.has(position, entry.length, &digest.0)? {
            let offset = self.geometry.journal_offset() + position % self.geometry.journal_length();
            return Err(ring.device.damaged(Structure::Journal, offset));
        }
        ring.read(position + at, into)
    }
}

/// What an `embedded-io` reader or writer of a block failed with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StreamError<E>(pub E);

impl<E: core::fmt::Display> core::fmt::Display for StreamError<E> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        self.0.fmt(f)
    }
}

impl<E: core::error::Error> core::error::Error for StreamError<E> {}

impl<E: core::error::Error> embedded_io::Error for StreamError<E> {
    fn kind(&self) -> embedded_io::ErrorKind {
        embedded_io::ErrorKind::Other
    }
}

impl<D: BlockDevice, O, B> embedded_io::ErrorType for BlockReader<'_, D, O, B> {
    type Error = StreamError<ReadError<D::Error>>;
}

impl<D: BlockDevice, O: Overlay, B: AsMut<[u8]>> embedded_io::Read for BlockReader<'_, D, O, B> {
    fn read(&mut self, buf: &mut [u8]) -> Result<usize, Self::Error> {
        Self::read(self, buf).map_err(StreamError)
    }
}

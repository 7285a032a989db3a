//! Reading blocks.

use super::host::{read_rounded, read_verified};
use super::{Store, space};
use crate::bytes;
use crate::device::{BlockDevice, Io};
use crate::digest::Digest;
use crate::error::{ReadError, Structure};
use crate::failure::Failure;
use crate::format::{ChunkRef, Geometry};
use crate::ids::{PageIndex, Sequence};
use crate::journal::{RingReader, RingWindow};
use crate::overlay::{Entry, Overlay, TreeRoot, Value};
use crate::tree::{self, Child, Cursor, Key, NodeSource, NodeView, Place, Record};

/// What is known of a block without reading it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BlockInfo {
    /// Length in bytes.
    pub length: u64,
    /// The user's tag.
    pub tag: u64,
    /// The commit that wrote it.
    pub sequence: Sequence,
    /// SHA-256 of its bytes; of a block of chunks: of its chunks' digests.
    pub digest: Digest,
    /// Where its bytes are.
    pub location: BlockLocation,
}

/// Where the bytes of a block are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BlockLocation {
    /// In the registry or in the journal.
    Memory,
    /// In one extent.
    Extent {
        /// First page.
        page: PageIndex,
    },
    /// In chunks.
    Chunks {
        /// Bytes of each chunk but the last.
        chunk_size: u32,
        /// Number of chunks.
        count: u32,
    },
}

/// The tree's pages, read from the device through one page of memory.
pub(super) struct TreePages<'a, D: BlockDevice> {
    pub(super) io: &'a mut Io<D>,
    pub(super) geometry: &'a Geometry,
    pub(super) page: &'a mut [u8],
    pub(super) pages: u64,
}

impl<D: BlockDevice> NodeSource for TreePages<'_, D> {
    type Error = Failure;
    type Page<'p>
        = &'p [u8]
    where
        Self: 'p;

    fn node(&mut self, child: Child, level: u32) -> Result<&[u8], Failure> {
        read_verified(self.io, self.geometry, self.pages, &child, level, self.page)?;
        Ok(self.page)
    }

    fn damaged(&mut self, page: PageIndex) -> Failure {
        self.io.damaged(Structure::Registry, self.geometry.offset(page.0))
    }
}

/// A record as it is kept while its page is not.
#[derive(Clone, Copy, Debug)]
pub(super) enum Found {
    Inline { sequence: Sequence, tag: u64, length: usize },
    Extent { info: BlockInfo },
}

impl<D: BlockDevice, O: Overlay, B: AsMut<[u8]>> Store<D, O, B> {
    /// The newest entry of `name` that is not folded in yet.
    pub(super) fn pending_entry(&self, name: &[u8]) -> Option<Entry> {
        self.overlay.active(name).or_else(|| self.overlay.frozen(name))
    }

    /// The pages of the tree, and a page for the bytes of an inline block.
    pub(super) fn tree_pages(&mut self) -> Option<(TreePages<'_, D>, &mut [u8])> {
        let transfer = space::transfer(self.buffer.as_mut(), &self.memory, &self.geometry)?;
        // A fold under way keeps nothing there between its steps.
        let (page, body) = transfer.split_at_mut_checked(self.geometry.page_size())?;
        let pages = TreePages { io: &mut self.io, geometry: &self.geometry, page, pages: self.pages };
        Some((pages, body))
    }

    /// Looks a block up. Reads one page a level of the tree, or none if the block is pending: then at most of the journal what
    /// lists its chunks or is its bytes, if the overlay keeps neither.
    ///
    /// # Errors
    /// [`ReadError::Device`], or [`ReadError::Corrupted`] for a damaged registry page.
    pub fn info(&mut self, name: &[u8]) -> Result<Option<BlockInfo>, ReadError<D::Error>> {
        self.find_info(name).map_err(|failure| self.io.read_error(failure))
    }

    pub(super) fn find_info(&mut self, name: &[u8]) -> Result<Option<BlockInfo>, Failure> {
        if let Some(entry) = self.pending_entry(name) {
            return self.entry_info(name, &entry);
        }
        Ok(self.tree_record(name)?.map(|found| match found {
            Found::Inline { sequence, tag, length } => {
                let body = self.body_page(length);
                let digest = Digest::of(body);
                BlockInfo { length: length as u64, tag, sequence, digest, location: BlockLocation::Memory }
            }
            Found::Extent { info } => info,
        }))
    }

    pub(super) fn body_page(&mut self, length: usize) -> &[u8] {
        let transfer = space::transfer(self.buffer.as_mut(), &self.memory, &self.geometry);
        let body = transfer.and_then(|transfer| transfer.get(self.geometry.page_size()..));
        bytes::head(body.unwrap_or_default(), length)
    }

    /// Finds a name's record; the bytes of an inline block are copied to the body page.
    pub(super) fn tree_record(&mut self, name: &[u8]) -> Result<Option<Found>, Failure> {
        let root = self.root();
        let Some((mut pages, body)) = self.tree_pages() else {
            return Err(Failure::WorkspaceTooSmall);
        };
        tree::lookup(&mut pages, &root, name, |record| {
            let record = record?;
            if let Place::Inline(bytes) = record.place {
                bytes::copy(body, bytes)?;
                let (sequence, tag, length) = (record.sequence, record.tag, bytes.len());
                return Some(Found::Inline { sequence, tag, length });
            }
            record_info(&record).map(|info| Found::Extent { info })
        })
    }

    fn entry_info(&mut self, name: &[u8], entry: &Entry) -> Result<Option<BlockInfo>, Failure> {
        let digest = match entry.value {
            Value::Inline { .. } => {
                let length = entry.length as usize;
                let mut bytes = [0; 256];
                // Small blocks are digested when asked for; the body page holds any inline block.
                if O::KEEPS_BODIES {
                    let mut digest = Digest::default();
                    self.overlay.with_body(name, entry, &mut |body| digest = Digest::of(body));
                    digest
                } else if let Some(bytes) = bytes.get_mut(..length) {
                    self.pending_bytes(name, entry, bytes)?;
                    Digest::of(bytes)
                } else {
                    entry.digest
                }
            }
            Value::Carried { .. } => entry.digest,
            _ => return self.placed_info(entry),
        };
        let (length, tag, sequence) = (entry.length, entry.tag, entry.sequence);
        Ok(Some(BlockInfo { length, tag, sequence, digest, location: BlockLocation::Memory }))
    }

    /// What is known of a pending block that has pages of its own; nothing of one that was deleted.
    fn placed_info(&mut self, entry: &Entry) -> Result<Option<BlockInfo>, Failure> {
        let (location, digest) = match entry.value {
            Value::Deleted | Value::Inline { .. } | Value::Carried { .. } => return Ok(None),
            Value::Extent { page } => (BlockLocation::Extent { page }, entry.digest),
            Value::Chunks { at, chunk_size } => {
                let count = bytes::pieces(entry.length, u64::from(chunk_size)) as u32;
                let mut digest = entry.digest;
                if !O::KEEPS_BODIES {
                    self.list_digest(at, count, &mut digest)?;
                }
                (BlockLocation::Chunks { chunk_size, count }, digest)
            }
        };
        let (length, tag, sequence) = (entry.length, entry.tag, entry.sequence);
        Ok(Some(BlockInfo { length, tag, sequence, digest, location }))
    }

    /// Reads the bytes of a pending inline or carried block.
    fn pending_bytes(&mut self, name: &[u8], entry: &Entry, into: &mut [u8]) -> Result<(), Failure> {
        let mut copied = false;
        self.overlay.with_body(name, entry, &mut |body| copied = bytes::copy(into, body).is_some());
        if copied {
            return Ok(());
        }
        let (Value::Inline { at } | Value::Carried { at, .. }) = entry.value else { return Ok(()) };
        self.journal_bytes(at, into)?;
        if entry.digest.is_of(into) {
            return Ok(());
        }
        Err(self.io.damaged(Structure::Journal, self.geometry.ring_offset(at)))
    }

    /// Puts the digest of a pending block of chunks in the place of its list's.
    #[cfg_attr(not(feature = "alloc"), inline(never))]
    fn list_digest(&mut self, at: u64, chunks: u32, digest: &mut Digest) -> Result<(), Failure> {
        let transfer = space::transfer(self.buffer.as_mut(), &self.memory, &self.geometry);
        let transfer = transfer.ok_or(Failure::WorkspaceTooSmall)?;
        let window = &mut RingWindow::default();
        let mut ring = RingReader::new(&mut self.io, &self.geometry, transfer, window);
        if ring.digest_of_list(at, chunks, digest)? {
            return Ok(());
        }
        Err(self.io.damaged(Structure::Journal, self.geometry.ring_offset(at)))
    }

    fn journal_bytes(&mut self, at: u64, into: &mut [u8]) -> Result<(), Failure> {
        let transfer = space::transfer(self.buffer.as_mut(), &self.memory, &self.geometry);
        let transfer = transfer.ok_or(Failure::WorkspaceTooSmall)?;
        // No more is read than the units that the bytes lie in.
        let needed = at % self.geometry.unit() as u64 + into.len() as u64;
        let needed = usize::try_from(self.geometry.unit_up(needed)).unwrap_or(usize::MAX).min(transfer.len());
        let transfer = transfer.get_mut(..needed).unwrap_or_default();
        let window = &mut RingWindow::default();
        RingReader::new(&mut self.io, &self.geometry, transfer, window).read(at, into)
    }

    /// Whether a block exists.
    ///
    /// # Errors
    /// As [`info`](Self::info).
    pub fn exists(&mut self, name: &[u8]) -> Result<bool, ReadError<D::Error>> {
        if let Some(entry) = self.pending_entry(name) {
            return Ok(entry.value != Value::Deleted);
        }
        let found = self.tree_record(name).map(|found| found.is_some());
        found.map_err(|failure| self.io.read_error(failure))
    }

    /// Reads a whole block into `buf`, verified, and returns its length.
    ///
    /// # Errors
    /// [`ReadError::BufferTooSmall`] with the length needed; [`ReadError::Corrupted`] if the bytes
    /// are not those that were written: `buf` then holds nothing to be believed.
    pub fn get(&mut self, name: &[u8], buf: &mut [u8]) -> Result<Option<usize>, ReadError<D::Error>> {
        self.fill(name, buf).map_err(|failure| self.io.read_error(failure))
    }

    /// Reads a whole block into `buf` and returns its length.
    fn fill(&mut self, name: &[u8], buf: &mut [u8]) -> Result<Option<usize>, Failure> {
        // Of bytes that lie in the journal or in a record no digest is asked for, as `find_info` does.
        let info = match self.pending_entry(name) {
            Some(entry) if matches!(entry.value, Value::Inline { .. } | Value::Carried { .. }) => {
                let buf = self.part_for(buf, entry.length)?;
                self.pending_bytes(name, &entry, buf)?;
                return Ok(Some(buf.len()));
            }
            Some(entry) => self.placed_info(&entry)?,
            None => match self.tree_record(name)? {
                Some(Found::Inline { length, .. }) => {
                    let buf = self.part_for(buf, length as u64)?;
                    bytes::copy_some(buf, self.body_page(length));
                    return Ok(Some(length));
                }
                Some(Found::Extent { info }) => Some(info),
                None => None,
            },
        };
        let Some(info) = info else { return Ok(None) };
        let buf = self.part_for(buf, info.length)?;
        let length = buf.len();
        match info.location {
            // Such a block has no pages: its bytes were copied above.
            BlockLocation::Memory => {}
            BlockLocation::Extent { page } => self.read_extent(page, &info.digest, buf)?,
            BlockLocation::Chunks { chunk_size, count } => {
                for (index, piece) in (0..count).zip(buf.chunks_mut(chunk_size.max(1) as usize)) {
                    let (page, digest) = self.chunk(name, &info, index)?;
                    self.read_extent(page, &digest, piece)?;
                }
            }
        }
        Ok(Some(length))
    }

    /// Reads an extent and compares its digest.
    pub(super) fn read_extent(
        &mut self,
        page: PageIndex,
        digest: &Digest,
        into: &mut [u8],
    ) -> Result<(), Failure> {
        let offset = self.geometry.offset(page.0);
        let end = page.0.saturating_add(self.geometry.pages_for(into.len() as u64));
        if end <= self.pages {
            let edge = space::transfer(self.buffer.as_mut(), &self.memory, &self.geometry);
            let edge = edge.ok_or(Failure::WorkspaceTooSmall)?;
            read_rounded(&mut self.io, offset, into, edge)?;
            if digest.is_of(into) {
                return Ok(());
            }
        }
        Err(self.io.damaged(Structure::Block, offset))
    }

    /// Where chunk `index` of a block of chunks is, and its digest.
    pub(super) fn chunk(
        &mut self,
        name: &[u8],
        info: &BlockInfo,
        index: u32,
    ) -> Result<(PageIndex, Digest), Failure> {
        if let Some(entry) = self.pending_entry(name)
            && let Value::Chunks { at, .. } = entry.value
        {
            let start = index as usize * ChunkRef::SIZE;
            let mut chunk = None;
            self.overlay.with_body(name, &entry, &mut |body| {
                chunk = body.get(start..).and_then(ChunkRef::read);
            });
            if chunk.is_none() {
                let mut bytes = [0; ChunkRef::SIZE];
                self.journal_bytes(at + start as u64, &mut bytes)?;
                chunk = ChunkRef::read(&bytes);
            }
            if let Some(chunk) = chunk {
                return Ok((PageIndex(chunk.page.get()), Digest(chunk.digest)));
            }
        }
        let root = self.root();
        let offset = self.geometry.offset(root.page.0);
        let Some((mut pages, ..)) = self.tree_pages() else {
            return Err(self.io.too_small(info.length));
        };
        let found = tree::lookup_chunk(&mut pages, &root, Key { name, chunk: index }, |record| {
            record.and_then(|record| match record.place {
                Place::Head { page, chunk_digest, .. } => Some((page, chunk_digest)),
                Place::Chunk { page, digest } => Some((page, digest)),
                _ => None,
            })
        })?;
        found.ok_or_else(|| self.io.damaged(Structure::Registry, offset))
    }

    /// The part of `buf` that a block of `length` bytes takes up.
    fn part_for<'b>(&mut self, buf: &'b mut [u8], length: u64) -> Result<&'b mut [u8], Failure> {
        let part = usize::try_from(length).ok().and_then(|length| buf.get_mut(..length));
        part.ok_or_else(|| self.io.too_small(length))
    }

    /// The first block whose name is above `after` (of all, if None): copies its name into `name` and
    /// returns the name's length. Walks the tree from its root: a page a level.
    ///
    /// # Errors
    /// As [`info`](Self::info); [`ReadError::BufferTooSmall`] if `name` cannot hold the name.
    pub fn next_name(
        &mut self,
        after: Option<&[u8]>,
        name: &mut [u8],
    ) -> Result<Option<usize>, ReadError<D::Error>> {
        self.find_next(after, name).map_err(|failure| self.io.read_error(failure))
    }

    fn find_next(&mut self, after: Option<&[u8]>, name: &mut [u8]) -> Result<Option<usize>, Failure> {
        let root = self.root();
        let transfer = space::transfer(self.buffer.as_mut(), &self.memory, &self.geometry);
        let transfer = transfer.ok_or(Failure::WorkspaceTooSmall)?;
        let size = self.geometry.page_size();
        let (page, names) = transfer.split_at_mut_checked(size).unwrap_or_default();
        let mut pages = TreePages { io: &mut self.io, geometry: &self.geometry, page, pages: self.pages };
        // A page at least: a name takes up an eighth of one.
        let (bound, other) = names.split_at_mut_checked(size / 2).unwrap_or_default();
        let mut bound_length = after.map(|after| bytes::copy_some(bound, after));
        loop {
            let after = bound_length.map(|length| bytes::head(bound, length));
            let pending = self.overlay.next(after, other);
            let below = pending.map(|(length, _)| bytes::head(other, length));
            let stored = next_stored(&mut pages, &root, after, below, name)?;
            let Some((length, entry)) = pending.filter(|_| stored.is_none()) else { return Ok(stored) };
            if entry.value != Value::Deleted {
                let into = name.get_mut(..length).ok_or_else(|| pages.io.too_small(length as u64))?;
                bytes::copy_some(into, other);
                return Ok(Some(length));
            }
            bound_length = Some(bytes::copy_some(bound, bytes::head(other, length)));
        }
    }
}

/// The first name of the tree above `after`, if it is below `below`.
fn next_stored<D: BlockDevice>(
    pages: &mut TreePages<'_, D>,
    root: &TreeRoot,
    after: Option<&[u8]>,
    below: Option<&[u8]>,
    name: &mut [u8],
) -> Result<Option<usize>, Failure> {
    if root.height == 0 {
        return Ok(None);
    }
    let from = after.map_or(Key::first(&[]), |name| Key { name, chunk: u32::MAX });
    let mut cursor = Cursor::nowhere();
    cursor.go_to(pages, root, from)?;
    cursor.settle(pages)?;
    let Some((leaf, index)) = cursor.record() else { return Ok(None) };
    let page = pages.node(leaf, 0)?;
    let key = NodeView::parse(page).and_then(|node| node.key(index));
    // A name that is not above the last one would lead a caller round in circles.
    let key = key.filter(|key| after.is_none_or(|after| key.name > after));
    let Some(key) = key else { return Err(pages.damaged(leaf.page)) };
    // The pending entry counts if it comes first or is the same name.
    if below.is_some_and(|below| key.name >= below) {
        return Ok(None);
    }
    let length = key.name.len();
    match name.get_mut(..length) {
        Some(into) => bytes::copy_some(into, key.name),
        None => return Err(pages.io.too_small(length as u64)),
    };
    Ok(Some(length))
}

/// What a record of the tree says of its block; None for a further chunk or an inline block.
#[must_use]
pub fn record_info(record: &Record<'_>) -> Option<BlockInfo> {
    let (length, tag, sequence) = (record.length, record.tag, record.sequence);
    let (location, digest) = match record.place {
        Place::Extent { page, digest } => (BlockLocation::Extent { page }, digest),
        Place::Head { digest, chunk_size, .. } if chunk_size > 0 => {
            let count = u32::try_from(bytes::pieces(length, u64::from(chunk_size))).ok()?;
            (BlockLocation::Chunks { chunk_size, count }, digest)
        }
        _ => return None,
    };
    Some(BlockInfo { length, tag, sequence, digest, location })
}

//! Finding blocks in a view and reading their bytes.

use crate::error::{Error, Result};
use crate::memtable::Slot;
use crate::source::{NodePage, Source};
use crate::view::View;
use blockyard_core::format::ChunkRef;
use blockyard_core::overlay::Value;
use blockyard_core::store::{BlockInfo, BlockLocation, record_info};
use blockyard_core::tree::{self, Key, NodeView, Place, Record};
use blockyard_core::{Digest, PageIndex, Sequence};
use std::ops::{Deref, Range};
use std::sync::Arc;

/// What is known of a block without reading it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Metadata {
    /// Length in bytes.
    pub length: u64,
    /// SHA-256 of its bytes; of a block of several chunks the SHA-256 of its chunks' digests.
    pub digest: Digest,
    /// The commit that wrote it.
    pub sequence: Sequence,
    /// The tag given when it was written.
    pub tag: u64,
    /// Number of chunks; 1 for a block in one piece.
    pub chunks: u64,
}

/// The bytes of a block, shared with the cache: no copy, and cheap to clone.
#[derive(Clone)]
pub struct BlockRef {
    bytes: Arc<[u8]>,
    range: Range<usize>,
}

impl BlockRef {
    pub(crate) fn whole(bytes: Arc<[u8]>) -> Self {
        let range = 0..bytes.len();
        Self { bytes, range }
    }
}

impl Deref for BlockRef {
    type Target = [u8];
    fn deref(&self) -> &[u8] {
        &self.bytes[self.range.clone()]
    }
}

impl AsRef<[u8]> for BlockRef {
    fn as_ref(&self) -> &[u8] {
        self
    }
}

impl std::fmt::Debug for BlockRef {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "BlockRef({} bytes)", self.len())
    }
}

/// A block found in a view.
#[derive(Clone, Debug)]
pub(crate) enum Located {
    /// Its bytes are in memory.
    Memory { bytes: BlockRef, sequence: Sequence, tag: u64, digest: Option<Digest> },
    /// Its bytes are in the file; chunks of a pending block are listed in its slot.
    File { info: BlockInfo, slot: Option<Slot> },
}

impl Located {
    pub(crate) fn length(&self) -> u64 {
        match self {
            Self::Memory { bytes, .. } => bytes.len() as u64,
            Self::File { info, .. } => info.length,
        }
    }

    /// The commit that wrote the block.
    pub(crate) const fn sequence(&self) -> Sequence {
        match self {
            Self::Memory { sequence, .. } => *sequence,
            Self::File { info, .. } => info.sequence,
        }
    }

    pub(crate) fn metadata(&self) -> Metadata {
        match self {
            Self::Memory { bytes, sequence, tag, digest } => Metadata {
                length: bytes.len() as u64,
                digest: digest.unwrap_or_else(|| Digest::of(bytes)),
                sequence: *sequence,
                tag: *tag,
                chunks: 1,
            },
            Self::File { info, .. } => {
                let chunks = match info.location {
                    BlockLocation::Chunks { count, .. } => u64::from(count),
                    _ => 1,
                };
                let (length, digest, sequence, tag) = (info.length, info.digest, info.sequence, info.tag);
                Metadata { length, digest, sequence, tag, chunks }
            }
        }
    }
}

/// What a pending change says of its block; None if it was deleted.
pub(crate) fn locate_slot(slot: Slot) -> Option<Located> {
    let entry = slot.entry;
    let (length, tag, sequence, digest) = (entry.length, entry.tag, entry.sequence, entry.digest);
    let in_file = |location| BlockInfo { length, tag, sequence, digest, location };
    match entry.value {
        Value::Deleted => None,
        Value::Inline { .. } | Value::Carried { .. } => {
            let range = slot.name_length..slot.bytes.len();
            let bytes = BlockRef { bytes: slot.bytes, range };
            let digest = matches!(entry.value, Value::Carried { .. }).then_some(digest);
            Some(Located::Memory { bytes, sequence, tag, digest })
        }
        Value::Extent { page } => {
            Some(Located::File { info: in_file(BlockLocation::Extent { page }), slot: None })
        }
        Value::Chunks { chunk_size, .. } => {
            let count = length.div_ceil(u64::from(chunk_size)) as u32;
            let info = in_file(BlockLocation::Chunks { chunk_size, count });
            Some(Located::File { info, slot: Some(slot) })
        }
    }
}

/// What a record of the tree says of its block; None for a further chunk.
pub(crate) fn locate_record(page: &NodePage, record: &Record<'_>) -> Option<Located> {
    if let Place::Inline(bytes) = record.place {
        let start = bytes.as_ptr() as usize - page.0.as_ptr() as usize;
        let bytes = BlockRef { bytes: Arc::clone(&page.0), range: start..start + bytes.len() };
        return Some(Located::Memory { bytes, sequence: record.sequence, tag: record.tag, digest: None });
    }
    record_info(record).map(|info| Located::File { info, slot: None })
}

/// Finds a block.
pub(crate) fn locate(source: &Source, view: &View, name: &[u8]) -> Result<Option<Located>> {
    match view.pending(name) {
        Some(slot) => Ok(locate_slot(slot)),
        None => locate_stored(source, view, name),
    }
}

/// Finds a block in the tree of a view, whatever is pending.
pub(crate) fn locate_stored(source: &Source, view: &View, name: &[u8]) -> Result<Option<Located>> {
    let root = &view.layers.root;
    let mut pages = source;
    let found = tree::lookup_page(&mut pages, root, Key::first(name));
    let Some((page, index)) = found.map_err(|error| Error::read(error, Some(name)))? else { return Ok(None) };
    let record = NodeView::parse(&page).and_then(|node| node.record(index));
    match record.and_then(|record| locate_record(&page, &record)) {
        Some(located) => Ok(Some(located)),
        None => Err(Error::read(source.implausible(root.page), Some(name))),
    }
}

/// Whether a block exists.
pub(crate) fn exists(source: &Source, view: &View, name: &[u8]) -> Result<bool> {
    if let Some(slot) = view.pending(name) {
        return Ok(slot.entry.value != Value::Deleted);
    }
    let mut pages = source;
    tree::lookup(&mut pages, &view.layers.root, name, |record| record.is_some())
        .map_err(|error| Error::read(error, Some(name)))
}

/// Where chunk `index` of a block is, and its digest.
pub(crate) fn chunk(
    source: &Source,
    view: &View,
    name: &[u8],
    slot: Option<&Slot>,
    index: u32,
) -> Result<(PageIndex, Digest)> {
    if let Some(slot) = slot {
        let chunk = slot.body().get(index as usize * ChunkRef::SIZE..).and_then(ChunkRef::read);
        return chunk
            .map(|chunk| (PageIndex(chunk.page.get()), Digest(chunk.digest)))
            .ok_or(Error::BufferTooSmall { needed: 0 });
    }
    let root = &view.layers.root;
    let mut pages = source;
    let found = tree::lookup_chunk(&mut pages, root, Key { name, chunk: index }, |record| {
        record.and_then(|record| match record.place {
            Place::Head { page, chunk_digest, .. } => Some((page, chunk_digest)),
            Place::Chunk { page, digest } => Some((page, digest)),
            _ => None,
        })
    })
    .map_err(|error| Error::read(error, Some(name)))?;
    found.ok_or_else(|| {
        let offset = blockyard_core::tree::NodeSource::offset(&pages, root.page);
        let damage = blockyard_core::Damage { what: blockyard_core::Structure::Registry, offset };
        Error::Corrupted { name: Some(name.to_vec()), damage }
    })
}

/// Compares the bytes of a located block, as the file has them now, with their digests.
pub(crate) fn check(source: &Source, view: &View, name: &[u8], located: &Located) -> Result<()> {
    let Located::File { info, slot } = located else { return Ok(()) };
    let named = |error| Error::read(error, Some(name));
    match info.location {
        BlockLocation::Extent { page } => source.check(page, info.length, &info.digest).map_err(named),
        BlockLocation::Chunks { chunk_size, count } => (0..count).try_for_each(|index| {
            let (page, digest) = chunk(source, view, name, slot.as_ref(), index)?;
            let size = u64::from(chunk_size);
            let length = size.min(info.length - u64::from(index) * size);
            source.check(page, length, &digest).map_err(named)
        }),
        BlockLocation::Memory => Ok(()),
    }
}

/// Reads a located block into `into`, which has its length.
pub(crate) fn read_into(
    source: &Source,
    view: &View,
    name: &[u8],
    located: &Located,
    into: &mut [u8],
) -> Result<()> {
    let named = |error| Error::read(error, Some(name));
    match located {
        Located::Memory { bytes, .. } => into.copy_from_slice(bytes),
        Located::File { info, slot } => match info.location {
            BlockLocation::Extent { page } => {
                source.extent_into(page, &info.digest, into).map_err(named)?;
            }
            BlockLocation::Chunks { chunk_size, count } => {
                for (index, piece) in (0..count).zip(into.chunks_mut(chunk_size as usize)) {
                    let (page, digest) = chunk(source, view, name, slot.as_ref(), index)?;
                    source.extent_into(page, &digest, piece).map_err(named)?;
                }
            }
            BlockLocation::Memory => {}
        },
    }
    Ok(())
}

/// A located block's bytes, shared with the cache where they are in one piece.
pub(crate) fn read_ref(source: &Source, view: &View, name: &[u8], located: &Located) -> Result<BlockRef> {
    match located {
        Located::Memory { bytes, .. } => Ok(bytes.clone()),
        Located::File { info, .. } => {
            if let BlockLocation::Extent { page } = info.location {
                let bytes = source.extent(page, info.length, &info.digest);
                return bytes.map(BlockRef::whole).map_err(|error| Error::read(error, Some(name)));
            }
            read_vec(source, view, name, located).map(|bytes| BlockRef::whole(bytes.into()))
        }
    }
}

/// A located block's bytes in a vector of their own.
pub(crate) fn read_vec(source: &Source, view: &View, name: &[u8], located: &Located) -> Result<Vec<u8>> {
    let Located::File { info, .. } = located else {
        let mut bytes = vec![0; located.length() as usize];
        read_into(source, view, name, located, &mut bytes)?;
        return Ok(bytes);
    };
    // A length that the file cannot hold is damage, and no memory is set aside for it.
    let page = match info.location {
        BlockLocation::Extent { page } => page,
        _ => view.layers.root.page,
    };
    let length = source.fits_in_file(page, info.length).map_err(|error| Error::read(error, Some(name)))?;
    let mut bytes = vec![0; length];
    read_into(source, view, name, located, &mut bytes)?;
    Ok(bytes)
}

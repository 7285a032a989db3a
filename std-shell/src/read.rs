//! Finding blocks in a view and reading their bytes.

use crate::cache::{Handle, Link, Piece};
use crate::error::{Error, Result};
use crate::memtable::Slot;
use crate::node::Node;
use crate::source::{Found, NodePage, Source};
use crate::view::View;
use blockyard_core::format::ChunkRef;
use blockyard_core::overlay::Value;
use blockyard_core::store::{BlockInfo, BlockLocation, record_info};
use blockyard_core::tree::{Key, NodeView, Place, Record};
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

impl Metadata {
    /// What is said of a record that says nothing.
    pub(crate) const fn nothing() -> Self {
        Self { length: 0, digest: Digest([0; 32]), sequence: Sequence(0), tag: 0, chunks: 0 }
    }
}

/// The bytes of a block, shared with the cache: no copy, and cheap to clone. It keeps in memory what they lie in:
/// of a small block its leaf of the registry, of one that was committed lately all of its batch.
#[derive(Clone)]
pub struct BlockRef {
    pub(crate) bytes: Arc<[u8]>,
    pub(crate) range: Range<usize>,
}

impl BlockRef {
    pub(crate) fn whole(bytes: Arc<[u8]>) -> Self {
        let range = 0..bytes.len();
        Self { bytes, range }
    }

    /// Some of an allocation's bytes.
    pub(crate) fn within(all: &Arc<[u8]>, bytes: &[u8]) -> Self {
        let start = bytes.as_ptr() as usize - all.as_ptr() as usize;
        Self { bytes: Arc::clone(all), range: start..start + bytes.len() }
    }

    pub(crate) fn of(piece: &Piece<'_>) -> Self {
        let (bytes, range) = piece.share();
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
    /// Its bytes are in memory; `handle` names them if they are the cache's.
    Memory { bytes: BlockRef, sequence: Sequence, tag: u64, digest: Option<Digest>, handle: Handle },
    /// Its bytes are in the file; chunks of a pending block are listed in its slot. Its leaf may know where
    /// the cache has them.
    File { info: BlockInfo, slot: Option<Slot>, leaf: Option<LeafLink> },
}

/// The link of a record.
#[derive(Clone, Debug)]
pub(crate) struct LeafLink {
    node: Arc<Node>,
    index: usize,
}

impl LeafLink {
    fn link(&self) -> Option<&Link> {
        self.node.link(self.index)
    }
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
            Self::Memory { bytes, sequence, tag, digest, .. } => Metadata {
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
            let (bytes, range) = slot.into_body();
            let bytes = BlockRef { bytes, range };
            let digest = matches!(entry.value, Value::Carried { .. }).then_some(digest);
            Some(Located::Memory { bytes, sequence, tag, digest, handle: Handle::NONE })
        }
        Value::Extent { page } => {
            Some(Located::File { info: in_file(BlockLocation::Extent { page }), slot: None, leaf: None })
        }
        Value::Chunks { chunk_size, .. } => {
            let count = length.div_ceil(u64::from(chunk_size)) as u32;
            let info = in_file(BlockLocation::Chunks { chunk_size, count });
            Some(Located::File { info, slot: Some(slot), leaf: None })
        }
    }
}

impl<'a> Found<'a> {
    /// A record of a page.
    pub(crate) const fn of(page: &'a NodePage, index: usize) -> Self {
        Self { bytes: &page.bytes, node: &page.node, handle: page.handle, index }
    }

    pub(crate) fn record(&self) -> Option<Record<'a>> {
        NodeView::parse(self.bytes)?.record(self.index)
    }

    /// What the record says of its block; None for a further chunk.
    pub(crate) fn locate(&self) -> Option<Located> {
        let record = self.record()?;
        if let Place::Inline(bytes) = record.place {
            let bytes = BlockRef::within(self.bytes, bytes);
            let (sequence, tag, handle) = (record.sequence, record.tag, self.handle);
            return Some(Located::Memory { bytes, sequence, tag, digest: None, handle });
        }
        let leaf = Some(LeafLink { node: Arc::clone(self.node), index: self.index });
        record_info(&record).map(|info| Located::File { info, slot: None, leaf })
    }
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
    let (root, top) = (&view.layers.root, &view.layers.top);
    let found = source.descend(root, top, Key::first(name), |found| found.map(|found| found.locate()));
    match found.map_err(|error| Error::read(error, Some(name)))? {
        None => Ok(None),
        Some(Some(located)) => Ok(Some(located)),
        Some(None) => Err(Error::read(source.implausible(root.page), Some(name))),
    }
}

/// Whether a block exists.
pub(crate) fn exists(source: &Source, view: &View, name: &[u8]) -> Result<bool> {
    if let Some(slot) = view.pending(name) {
        return Ok(slot.entry.value != Value::Deleted);
    }
    source
        .descend(&view.layers.root, &view.layers.top, Key::first(name), |found| found.is_some())
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
    let place = |found: Found<'_>| match found.record()?.place {
        Place::Head { page, chunk_digest, .. } => Some((page, chunk_digest)),
        Place::Chunk { page, digest } => Some((page, digest)),
        _ => None,
    };
    source
        .descend(root, &view.layers.top, Key { name, chunk: index }, |found| found.and_then(place))
        .and_then(|found| found.ok_or_else(|| source.implausible(root.page)))
        .map_err(|error| Error::read(error, Some(name)))
}

/// Compares the bytes of a located block, as the file has them now, with their digests.
pub(crate) fn check(source: &Source, view: &View, name: &[u8], located: &Located) -> Result<()> {
    let Located::File { info, slot, .. } = located else { return Ok(()) };
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

/// Reads a located block into `into`, which has its length. Returns where the cache has it in one piece.
pub(crate) fn read_into(
    source: &Source,
    view: &View,
    name: &[u8],
    located: &Located,
    into: &mut [u8],
) -> Result<Handle> {
    let named = |error| Error::read(error, Some(name));
    match located {
        Located::Memory { bytes, handle, .. } => {
            into.copy_from_slice(bytes);
            Ok(*handle)
        }
        Located::File { info, slot, leaf } => match info.location {
            BlockLocation::Extent { page } => {
                let link = leaf.as_ref().and_then(LeafLink::link);
                source.extent_into(page, &info.digest, into, link).map_err(named)
            }
            BlockLocation::Chunks { chunk_size, count } => {
                for (index, piece) in (0..count).zip(into.chunks_mut(chunk_size as usize)) {
                    let (page, digest) = chunk(source, view, name, slot.as_ref(), index)?;
                    source.extent_into(page, &digest, piece, None).map_err(named)?;
                }
                Ok(Handle::NONE)
            }
            BlockLocation::Memory => Ok(Handle::NONE),
        },
    }
}

/// A located block's bytes, shared with the cache where they are in one piece, and where the cache has them.
pub(crate) fn read_ref(
    source: &Source,
    view: &View,
    name: &[u8],
    located: &Located,
) -> Result<(BlockRef, Handle)> {
    match located {
        Located::Memory { bytes, handle, .. } => Ok((bytes.clone(), *handle)),
        Located::File { info, leaf, .. } => {
            if let BlockLocation::Extent { page } = info.location {
                let link = leaf.as_ref().and_then(LeafLink::link);
                let found = source.extent(page, info.length, &info.digest, link);
                let (bytes, handle) = found.map_err(|error| Error::read(error, Some(name)))?;
                return Ok((BlockRef::whole(bytes), handle));
            }
            let (bytes, handle) = read_vec(source, view, name, located)?;
            Ok((BlockRef::whole(bytes.into()), handle))
        }
    }
}

/// A located block's bytes in a vector of their own, and where the cache has them in one piece.
pub(crate) fn read_vec(
    source: &Source,
    view: &View,
    name: &[u8],
    located: &Located,
) -> Result<(Vec<u8>, Handle)> {
    let info = match located {
        Located::Memory { bytes, handle, .. } => return Ok((bytes.to_vec(), *handle)),
        Located::File { info, .. } => info,
    };
    // A length that the file cannot hold is damage, and no memory is set aside for it.
    let page = match info.location {
        BlockLocation::Extent { page } => page,
        _ => view.layers.root.page,
    };
    let length = source.fits_in_file(page, info.length).map_err(|error| Error::read(error, Some(name)))?;
    let mut bytes = vec![0; length];
    let handle = read_into(source, view, name, located, &mut bytes)?;
    Ok((bytes, handle))
}

//! Finding blocks in a view and reading their bytes.

use crate::device::Fault;
use crate::source::Source;
use crate::view::{Slot, View};
use blockyard_core::format::ChunkRef;
use blockyard_core::overlay::Value;
use blockyard_core::store::{BlockInfo, BlockLocation, record_info};
use blockyard_core::tree::{self, Key, NodeView, Place, Record};
use blockyard_core::{Digest, PageIndex, ReadError, Sequence, Structure};
use std::rc::Rc;

type Result<T> = std::result::Result<T, ReadError<Fault>>;

/// A block found in a view.
#[derive(Clone, Debug)]
pub(crate) struct Located {
    pub(crate) length: u64,
    pub(crate) sequence: Sequence,
    pub(crate) tag: u64,
    place: At,
}

#[derive(Clone, Debug)]
enum At {
    Memory { bytes: Rc<[u8]>, digest: Option<Digest> },
    File { info: BlockInfo, list: Option<Rc<[u8]>> },
}

impl Located {
    /// What a pending change says of its block; None if it was deleted.
    pub(crate) fn pending(slot: Slot) -> Option<Self> {
        let entry = slot.entry;
        let (length, sequence, tag, digest) = (entry.length, entry.sequence, entry.tag, entry.digest);
        let in_file = |location, list| {
            let info = BlockInfo { length, tag, sequence, digest, location };
            At::File { info, list }
        };
        let place = match entry.value {
            Value::Deleted => return None,
            Value::Inline { .. } => At::Memory { bytes: slot.body, digest: None },
            Value::Carried { .. } => At::Memory { bytes: slot.body, digest: Some(digest) },
            Value::Extent { page } => in_file(BlockLocation::Extent { page }, None),
            Value::Chunks { chunk_size, .. } => {
                let count = length.div_ceil(u64::from(chunk_size)) as u32;
                in_file(BlockLocation::Chunks { chunk_size, count }, Some(slot.body))
            }
        };
        Some(Self { length, sequence, tag, place })
    }

    /// What a record of the registry says of its block; None for a further chunk.
    pub(crate) fn stored(record: &Record<'_>) -> Option<Self> {
        let place = match record.place {
            Place::Inline(bytes) => At::Memory { bytes: Rc::from(bytes), digest: None },
            _ => At::File { info: record_info(record)?, list: None },
        };
        let length = if let At::Memory { bytes, .. } = &place { bytes.len() as u64 } else { record.length };
        Some(Self { length, sequence: record.sequence, tag: record.tag, place })
    }

    /// SHA-256 of the block; of a block of chunks, of its chunks' digests.
    pub(crate) fn digest(&self) -> Digest {
        match &self.place {
            At::Memory { bytes, digest } => digest.unwrap_or_else(|| Digest::of(bytes)),
            At::File { info, .. } => info.digest,
        }
    }

    /// Number of chunks; 1 for a block in one piece.
    pub(crate) fn chunks(&self) -> u32 {
        match &self.place {
            At::File { info: BlockInfo { location: BlockLocation::Chunks { count, .. }, .. }, .. } => *count,
            _ => 1,
        }
    }

    /// Reads the bytes `start..end` of the block, verified.
    pub(crate) fn read(
        &self,
        source: &mut Source,
        view: &View,
        name: &[u8],
        (start, end): (u64, u64),
    ) -> Result<Vec<u8>> {
        let end = end.min(self.length);
        let start = start.min(end);
        let (info, list) = match &self.place {
            At::Memory { bytes, .. } => return Ok(bytes[start as usize..end as usize].to_vec()),
            At::File { info, list } => (info, list.as_deref()),
        };
        match info.location {
            BlockLocation::Chunks { chunk_size, count } => {
                let size = u64::from(chunk_size).max(1);
                let mut bytes = source.room(view.layers.root.page, end - start)?;
                let mut rest = bytes.as_mut_slice();
                let first = (start / size) as u32;
                let last = (end.div_ceil(size) as u32).min(count);
                for index in first..last {
                    let (page, digest) = chunk(source, view, name, list, index)?;
                    let from = u64::from(index) * size;
                    let length = size.min(self.length - from);
                    let (low, high) = (start.max(from) - from, end.min(from + length) - from);
                    let (piece, others) = rest.split_at_mut((high - low) as usize);
                    rest = others;
                    if high - low == length {
                        source.extent(page, &digest, piece)?;
                    } else {
                        let mut whole = source.room(page, length)?;
                        source.extent(page, &digest, &mut whole)?;
                        piece.copy_from_slice(&whole[low as usize..high as usize]);
                    }
                }
                Ok(bytes)
            }
            BlockLocation::Extent { page } => {
                let mut whole = source.room(page, self.length)?;
                source.extent(page, &info.digest, &mut whole)?;
                if end - start < self.length {
                    whole.truncate(end as usize);
                    whole.drain(..start as usize);
                }
                Ok(whole)
            }
            BlockLocation::Memory => Ok(Vec::new()),
        }
    }
}

/// Finds a block.
pub(crate) fn locate(source: &mut Source, view: &View, name: &[u8]) -> Result<Option<Located>> {
    if let Some(slot) = view.pending(name) {
        return Ok(Located::pending(slot));
    }
    let root = view.layers.root;
    let Some((page, index)) = tree::lookup_page(source, &root, Key::first(name))? else { return Ok(None) };
    let record = NodeView::parse(&page).and_then(|node| node.record(index));
    match record.and_then(|record| Located::stored(&record)) {
        Some(located) => Ok(Some(located)),
        None => Err(source.damage(root.page, Structure::Registry)),
    }
}

/// Where chunk `index` of a block is, and its digest.
fn chunk(
    source: &mut Source,
    view: &View,
    name: &[u8],
    list: Option<&[u8]>,
    index: u32,
) -> Result<(PageIndex, Digest)> {
    let found = match list {
        Some(list) => list
            .get(index as usize * ChunkRef::SIZE..)
            .and_then(ChunkRef::read)
            .map(|chunk| (PageIndex(chunk.page.get()), Digest(chunk.digest))),
        None => {
            let root = view.layers.root;
            tree::lookup_chunk(source, &root, Key { name, chunk: index }, |record| {
                record.and_then(|record| match record.place {
                    Place::Head { page, chunk_digest, .. } => Some((page, chunk_digest)),
                    Place::Chunk { page, digest } => Some((page, digest)),
                    _ => None,
                })
            })?
        }
    };
    found.ok_or_else(|| source.damage(view.layers.root.page, Structure::Registry))
}

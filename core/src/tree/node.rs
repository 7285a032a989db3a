//! Reading a node.

use crate::digest::Digest;
use crate::format::{
    ChunkValue, ExtentValue, HeadValue, InlineValue, InternalCell, LeafCell, NodeHeader, cell_kind,
};
use crate::ids::{PageIndex, Sequence};
use core::cmp::Ordering;
use zerocopy::{FromBytes, Immutable, KnownLayout, Unaligned};

/// A key of the registry: a block's name and the number of a chunk. Orders by name, then chunk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key<'a> {
    /// The block's name.
    pub name: &'a [u8],
    /// Number of the chunk; 0 is the block's first record.
    pub chunk: u32,
}

impl<'a> Key<'a> {
    /// The first record of the block `name`.
    #[must_use]
    pub const fn first(name: &'a [u8]) -> Self {
        Self { name, chunk: 0 }
    }
}

/// A pointer to a child node.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Child {
    /// Page of the node.
    pub page: PageIndex,
    /// Digest of that page.
    pub digest: Digest,
}

/// A record of a leaf.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Record<'a> {
    /// The commit that wrote the block; 0 for a further chunk.
    pub sequence: Sequence,
    /// The user's tag; 0 for a further chunk.
    pub tag: u64,
    /// Length of the block in bytes; of a further chunk: the chunk's.
    pub length: u64,
    /// Where the bytes are.
    pub place: Place<'a>,
}

/// Where the bytes of a record are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place<'a> {
    /// Here.
    Inline(&'a [u8]),
    /// In one extent, with the digest of the bytes.
    Extent {
        /// First page.
        page: PageIndex,
        /// SHA-256 of the block.
        digest: Digest,
    },
    /// Chunk 0 of several.
    Head {
        /// First page of chunk 0.
        page: PageIndex,
        /// SHA-256 of the chunks' digests.
        digest: Digest,
        /// SHA-256 of chunk 0.
        chunk_digest: Digest,
        /// Bytes of each chunk but the last.
        chunk_size: u32,
    },
    /// A further chunk, whose length is the record's.
    Chunk {
        /// First page.
        page: PageIndex,
        /// SHA-256 of the chunk.
        digest: Digest,
    },
}

/// A node whose digest was compared. Whatever its bytes are, no method panics: what does not parse
/// is absent.
#[derive(Clone, Copy, Debug)]
pub struct NodeView<'a> {
    node: &'a Node,
}

/// A page as a node.
#[derive(Debug, FromBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct Node {
    header: NodeHeader,
    /// Slots and cells.
    rest: [u8],
}

impl Node {
    const fn count(&self) -> usize {
        self.header.count.get() as usize
    }

    const fn end(&self) -> usize {
        self.header.end.get() as usize
    }
}

impl<'a> NodeView<'a> {
    /// The node in `page`, if the page has this digest and parses as a node of this level.
    #[must_use]
    pub fn verified(page: &'a [u8], digest: &Digest, level: u32) -> Option<Self> {
        if !digest.is_of(page) {
            return None;
        }
        Self::parse(page).filter(|view| view.level() == level)
    }

    /// The node in `page`, whose digest the caller has compared before.
    #[must_use]
    pub fn parse(page: &'a [u8]) -> Option<Self> {
        let node = Node::ref_from_bytes(page).ok()?;
        let slots_end = node.count().checked_mul(2)?.checked_add(NodeHeader::SIZE)?;
        let fits = node.header.magic == NodeHeader::MAGIC
            && node.count() > 0
            && slots_end <= node.end()
            && node.end() <= page.len();
        fits.then_some(Self { node })
    }

    /// Number of cells, at least one.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.node.count()
    }

    /// Never true: an empty tree has no node.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Level of the node; 0 is a leaf.
    #[must_use]
    pub const fn level(&self) -> u32 {
        self.node.header.level as u32
    }

    /// Where cell `index` starts behind the header.
    fn slot(&self, index: usize) -> Option<usize> {
        if index >= self.len() {
            return None;
        }
        let (bytes, _) = self.node.rest.get(2 * index..)?.split_first_chunk()?;
        usize::from(u16::from_le_bytes(*bytes)).checked_sub(NodeHeader::SIZE)
    }

    /// The bytes of cell `index`.
    #[must_use]
    pub fn cell(&self, index: usize) -> Option<&'a [u8]> {
        let start = self.slot(index)?;
        let last = self.node.end() - NodeHeader::SIZE;
        let end = if index + 1 < self.len() { self.slot(index + 1)? } else { last };
        if start >= 2 * self.len() && end <= last { self.node.rest.get(start..end) } else { None }
    }

    /// The key of cell `index`.
    #[must_use]
    pub fn key(&self, index: usize) -> Option<Key<'a>> {
        let cell = self.cell(index)?;
        let key = if self.level() == 0 { leaf_key(cell) } else { inner_key(cell) };
        key.filter(|key| key.name.len() <= max_name(NodeHeader::SIZE + self.node.rest.len()))
    }

    /// Child `index` of an inner node.
    #[must_use]
    pub fn child(&self, index: usize) -> Option<Child> {
        let cell = InternalCell::read(self.cell(index)?)?;
        (self.level() > 0).then_some(Child { page: PageIndex(cell.page.get()), digest: Digest(cell.digest) })
    }

    /// Record `index` of a leaf.
    #[must_use]
    pub fn record(&self, index: usize) -> Option<Record<'a>> {
        if self.level() > 0 { None } else { leaf_record(self.cell(index)?) }
    }

    /// Position of the first cell whose key is not below `key`, and whether it equals it.
    #[must_use]
    pub fn search(&self, key: Key<'_>) -> (usize, bool) {
        let (mut low, mut high) = (0, self.len());
        while low < high {
            let middle = usize::midpoint(low, high);
            match self.key(middle).map(|found| found.cmp(&key)) {
                Some(Ordering::Less) => low = middle + 1,
                Some(Ordering::Equal) => return (middle, true),
                _ => high = middle,
            }
        }
        (low, false)
    }

    /// The child of an inner node under which `key` belongs.
    #[must_use]
    pub fn child_for(&self, key: Key<'_>) -> usize {
        match self.search(key) {
            (at, true) => at,
            (at, false) => at.saturating_sub(1),
        }
    }
}

/// Longest name in pages of `page_size` bytes.
fn max_name(page_size: usize) -> usize {
    (page_size / 8).min(1024)
}

/// Key of an inner cell.
pub(crate) fn inner_key(cell: &[u8]) -> Option<Key<'_>> {
    let head = InternalCell::read(cell)?;
    let name = cell.get(InternalCell::SIZE..)?.get(..usize::from(head.name_length.get()))?;
    Some(Key { name, chunk: head.chunk.get() })
}

/// Key of a leaf cell.
pub(crate) fn leaf_key(cell: &[u8]) -> Option<Key<'_>> {
    let head = LeafCell::read(cell)?;
    let name = cell.get(LeafCell::SIZE..)?.get(..usize::from(head.name_length.get()))?;
    Some(Key { name, chunk: head.chunk.get() })
}

/// Record of a leaf cell.
pub(crate) fn leaf_record(cell: &[u8]) -> Option<Record<'_>> {
    let head = LeafCell::read(cell)?;
    let value = cell.get(LeafCell::SIZE + usize::from(head.name_length.get())..)?;
    match head.kind {
        cell_kind::INLINE => {
            let head = InlineValue::read(value)?;
            let bytes = value.get(InlineValue::SIZE..)?.get(..head.length.get() as usize)?;
            Some(Record {
                sequence: Sequence(head.sequence.get()),
                tag: head.tag.get(),
                length: bytes.len() as u64,
                place: Place::Inline(bytes),
            })
        }
        cell_kind::EXTENT => {
            let value = ExtentValue::read(value)?;
            Some(Record {
                sequence: Sequence(value.sequence.get()),
                tag: value.tag.get(),
                length: value.length.get(),
                place: Place::Extent { page: PageIndex(value.page.get()), digest: Digest(value.digest) },
            })
        }
        cell_kind::HEAD => {
            let value = HeadValue::read(value)?;
            Some(Record {
                sequence: Sequence(value.sequence.get()),
                tag: value.tag.get(),
                length: value.length.get(),
                place: Place::Head {
                    page: PageIndex(value.page.get()),
                    digest: Digest(value.digest),
                    chunk_digest: Digest(value.chunk_digest),
                    chunk_size: value.chunk_size.get(),
                },
            })
        }
        cell_kind::CHUNK => {
            let value = ChunkValue::read(value)?;
            Some(Record {
                sequence: Sequence(0),
                tag: 0,
                length: u64::from(value.length.get()),
                place: Place::Chunk { page: PageIndex(value.page.get()), digest: Digest(value.digest) },
            })
        }
        _ => None,
    }
}

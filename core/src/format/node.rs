//! Pages of the registry tree.
//!
//! A node is its header, `count` offsets of 16 bits in key order, and the cells, packed in the same
//! order. A cell ends where the next begins, the last at `end`.

use super::{U16, U32, U64, on_disk};

/// Kinds of leaf cell.
pub mod cell_kind {
    /// A block that lies in its cell.
    pub const INLINE: u8 = 1;
    /// A block of one extent.
    pub const EXTENT: u8 = 2;
    /// Chunk 0 of a block of several.
    pub const HEAD: u8 = 3;
    /// Any further chunk.
    pub const CHUNK: u8 = 4;
}

on_disk! {
    /// Head of a node.
    pub struct NodeHeader [16] {
        /// [`NodeHeader::MAGIC`].
        magic: [u8; 4],
        /// 0 for a leaf, one more than its children's otherwise.
        level: u8,
        /// Zero.
        reserved: [u8; 3],
        /// Number of cells.
        count: U32,
        /// Offset of the byte after the last cell.
        end: U32,
    }
}

on_disk! {
    /// Cell of an inner node; a name follows that, with the chunk number, is above everything to the
    /// left of the child and not above the child's first key.
    pub struct InternalCell [46] {
        /// Page of the child.
        page: U64,
        /// Digest of the child's page.
        digest: [u8; 32],
        /// Chunk number of that key.
        chunk: U32,
        /// Bytes of the name.
        name_length: U16,
    }
}

on_disk! {
    /// Cell of a leaf; the name and the value of its kind follow.
    pub struct LeafCell [8] {
        /// One of [`cell_kind`].
        kind: u8,
        /// Zero.
        reserved: u8,
        /// Bytes of the name.
        name_length: U16,
        /// Chunk number; 0 but for [`cell_kind::CHUNK`].
        chunk: U32,
    }
}

on_disk! {
    /// A block that lies in its cell; its bytes follow.
    pub struct InlineValue [20] {
        /// The commit that wrote the block.
        sequence: U64,
        /// The user's tag.
        tag: U64,
        /// Bytes of the block.
        length: U32,
    }
}

on_disk! {
    /// A block of one extent.
    pub struct ExtentValue [64] {
        /// The commit that wrote the block.
        sequence: U64,
        /// The user's tag.
        tag: U64,
        /// Bytes of the block.
        length: U64,
        /// First page of its extent.
        page: U64,
        /// SHA-256 of its bytes.
        digest: [u8; 32],
    }
}

on_disk! {
    /// Chunk 0 of a block of several, with what is known of the whole block.
    pub struct HeadValue [104] {
        /// The commit that wrote the block.
        sequence: U64,
        /// The user's tag.
        tag: U64,
        /// Bytes of the block.
        length: U64,
        /// First page of chunk 0.
        page: U64,
        /// SHA-256 of the digests of all chunks.
        digest: [u8; 32],
        /// SHA-256 of the bytes of chunk 0.
        chunk_digest: [u8; 32],
        /// Bytes of every chunk but the last.
        chunk_size: U32,
        /// Zero.
        reserved: U32,
    }
}

on_disk! {
    /// Any further chunk.
    pub struct ChunkValue [48] {
        /// First page of its extent.
        page: U64,
        /// SHA-256 of its bytes.
        digest: [u8; 32],
        /// Bytes of the chunk.
        length: U32,
        /// Zero.
        reserved: U32,
    }
}

impl NodeHeader {
    /// The first bytes of every node.
    pub const MAGIC: [u8; 4] = *b"BYND";
}

//! Journal records: a header, the operations of a commit group, and the values they carry.

use super::{U16, U32, U64, on_disk};
use crate::digest::Digest;

/// Kinds of record.
pub mod record_kind {
    /// A commit group.
    pub const COMMIT: u32 = 1;
    /// No commit: carries a newer durable watermark.
    pub const SEAL: u32 = 2;
}

/// Kinds of operation.
pub mod op_kind {
    /// Puts a block whose bytes follow the name.
    pub const INLINE: u8 = 1;
    /// Puts a block whose bytes lie in the record's data section, behind those of the carried blocks
    /// before it; the first of the pages set aside for them follows the name in 8 bytes.
    pub const CARRIED: u8 = 2;
    /// Puts a block of one extent; its first page follows the name in 8 bytes.
    pub const EXTENT: u8 = 3;
    /// Puts a block of several chunks; their [`ChunkRef`](super::ChunkRef)s follow the name.
    pub const CHUNKS: u8 = 4;
    /// Deletes a block.
    pub const DELETE: u8 = 5;
    /// Deletes a name whose pages the next operation of the record, a put, takes over.
    pub const MOVE: u8 = 6;
}

on_disk! {
    /// Head of a journal record; `meta_length` bytes of operations and `data_length` bytes of
    /// carried values follow, then zeros up to a multiple of 8.
    pub struct RecordHeader [224] {
        /// [`RecordHeader::MAGIC`].
        magic: [u8; 4],
        /// One of [`record_kind`].
        kind: U32,
        /// The file's identity.
        file_id: [u8; 16],
        /// The superblock's epoch.
        epoch: U64,
        /// Last commit of the group; of a seal: the last commit before it.
        sequence: U64,
        /// First commit of the group.
        first_sequence: U64,
        /// Highest commit known durable when this record was written.
        watermark: U64,
        /// Logical journal position of this header.
        position: U64,
        /// Pages that the file durably has.
        pages: U64,
        /// Page at which allocation goes on after this record.
        cursor: U64,
        /// Page before which allocation ends once it has wrapped.
        limit: U64,
        /// 1 when allocation has wrapped since the last checkpoint.
        wrapped: U32,
        /// Number of operations.
        operations: U32,
        /// Bytes of operations.
        meta_length: U32,
        /// Bytes of carried values.
        data_length: U32,
        /// Zero.
        reserved: [u8; 24],
        /// Digest of the record before.
        previous: [u8; 32],
        /// SHA-256 of the operations. They hold the digests of the carried values.
        meta_digest: [u8; 32],
        /// SHA-256 of the bytes before: the record's digest.
        digest: [u8; 32],
    }
}

on_disk! {
    /// Head of an operation; the name and what the kind calls for follow.
    pub struct OpHeader [64] {
        /// One of [`op_kind`].
        kind: u8,
        /// Zero.
        reserved: u8,
        /// Bytes of the name.
        name_length: U16,
        /// Bytes of a chunk, for a block of chunks.
        chunk_size: U32,
        /// Bytes of the block.
        length: U64,
        /// The user's tag.
        tag: U64,
        /// The commit that this operation belongs to.
        sequence: U64,
        /// SHA-256 of the block; of an inline block: zero, for its record's digest covers it.
        digest: [u8; 32],
    }
}

on_disk! {
    /// A chunk of a large block. All but the last are `chunk_size` bytes long.
    pub struct ChunkRef [40] {
        /// First page of its extent.
        page: U64,
        /// SHA-256 of its bytes.
        digest: [u8; 32],
    }
}

impl RecordHeader {
    /// The first bytes of every record.
    pub const MAGIC: [u8; 4] = *b"BYJR";

    /// The same header, magic and digest set.
    #[must_use]
    pub fn sealed(mut self) -> Self {
        self.seal();
        self
    }

    /// Sets magic and digest.
    pub(crate) fn seal(&mut self) {
        self.magic = Self::MAGIC;
        self.digest = self.computed_digest().0;
    }

    fn computed_digest(&self) -> Digest {
        let bytes = self.bytes();
        Digest::of(&bytes[..Self::SIZE - 32])
    }

    /// Whether the header is whole.
    #[must_use]
    pub fn is_valid(&self) -> bool {
        self.magic == Self::MAGIC && self.digest == self.computed_digest().0
    }

    /// Bytes of the record: header, operations, values, padding to 8.
    #[must_use]
    pub fn record_length(&self) -> u64 {
        let body = u64::from(self.meta_length.get()) + u64::from(self.data_length.get());
        (Self::SIZE as u64 + body).next_multiple_of(8)
    }
}

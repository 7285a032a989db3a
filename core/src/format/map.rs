//! Pages of the free map.

use super::{U32, U64, on_disk};

on_disk! {
    /// Head of a map page. On level 0 one bit a page follows (bit 0 of the first byte is the group's
    /// first page; 1 means used), above it one [`MapEntry`] a child.
    pub struct MapHeader [32] {
        /// [`MapHeader::MAGIC`].
        magic: [u8; 4],
        /// 0 for bits, one more than its children's otherwise.
        level: U32,
        /// Number of the page on its level.
        index: U64,
        /// Zero.
        reserved: [u8; 16],
    }
}

on_disk! {
    /// What a map page knows of a child.
    pub struct MapEntry [48] {
        /// Digest of the child's page.
        digest: [u8; 32],
        /// Bits set below the child.
        used: U64,
        /// Slot of the child: 0 absent (all free), 1 A, 2 B.
        slot: U32,
        /// Zero.
        reserved: U32,
    }
}

impl MapHeader {
    /// The first bytes of every map page.
    pub const MAGIC: [u8; 4] = *b"BYMP";
}

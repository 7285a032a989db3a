//! The superblock: where everything starts.

use super::{Geometry, GeometryError, SLOTS, U32, U64, VERSION, on_disk};
use crate::bytes;
use crate::digest::Digest;
use zerocopy::FromBytes as _;

/// Bytes before what of a superblock has to be known.
const BEFORE: usize = 16;

/// The superblock, and what of it has to be known: one list of the fields for both.
macro_rules! superblock {
    ($( $(#[$meta:meta])* $field:ident : $type:ty, )*) => {
        on_disk! {
            /// One copy of the superblock. Generation `g` lives in slots `2 * (g % 2)` and `2 * (g % 2) + 1`.
            pub struct Superblock [512] {
                /// [`Superblock::MAGIC`].
                magic: [u8; 8],
                /// [`VERSION`].
                version: U32,
                /// Number of the slot that holds this copy.
                slot: U32,
                $( $(#[$meta])* $field: $type, )*
                /// Zero.
                reserved: [u8; 204],
                /// SHA-256 of the bytes before.
                digest: [u8; 32],
            }
        }

        on_disk! {
            /// A superblock without what each copy begins with, and the zeros and the digest that it ends in.
            pub struct SuperblockFacts [260] {
                $( $(#[$meta])* $field: $type, )*
            }
        }
    };
}

superblock! {
    /// Random identity of the file.
    file_id: [u8; 16],
    /// Counts superblocks written; the newest valid one wins.
    generation: U64,
    /// Raised before the first commit after every open; records of other epochs are dead.
    epoch: U64,
    /// The last commit folded into the registry.
    sequence: U64,
    /// Page size in bytes.
    page_size: U32,
    /// Alignment in bytes of a journal record that follows a sync.
    unit: U32,
    /// First byte of the journal ring.
    journal_offset: U64,
    /// Length of the journal ring in bytes.
    journal_length: U64,
    /// First page of group 0.
    first_group: U64,
    /// Pages that the file is known to have durably.
    pages: U64,
    /// Logical position at which the journal goes on after `sequence`.
    journal_position: U64,
    /// Digest of the last record folded in; the next record names it as its predecessor.
    chain: [u8; 32],
    /// Page of the registry's root; 0 when the registry is empty.
    root_page: U64,
    /// Digest of the root page.
    root_digest: [u8; 32],
    /// Levels of the registry tree; 0 when it is empty, 1 when the root is a leaf.
    height: U32,
    /// Level of the free map's top page.
    map_level: U32,
    /// Digest of the free map's top page.
    map_digest: [u8; 32],
    /// Slot of the free map's top page: 0 absent (all free), 1 A, 2 B.
    map_slot: U32,
    /// Bytes of a chunk of a large block.
    chunk_size: U32,
    /// Bits set in the free map.
    used_pages: U64,
    /// Page at which allocation goes on.
    cursor: U64,
    /// Number of blocks.
    blocks: U64,
    /// Sum of the blocks' lengths in bytes.
    bytes: U64,
    /// Pages of the registry tree.
    tree_pages: U64,
    /// Bits of features that a reader must know; none are defined.
    features: U64,
    /// Bytes of the longest name that was ever in the registry; 0 in an empty file.
    longest_name: U32,
}

impl Superblock {
    /// The first bytes of every copy.
    pub const MAGIC: [u8; 8] = *b"BLOKYARD";

    /// Slot of copy `copy` (0 or 1) of this generation.
    #[must_use]
    pub fn slot_of(&self, copy: u32) -> u32 {
        2 * (self.generation.get() % 2) as u32 + copy
    }

    /// The same superblock for slot `slot`, digest set.
    #[must_use]
    pub fn sealed(mut self, slot: u32) -> Self {
        self.seal(slot);
        self
    }

    /// Makes it the copy for slot `slot`.
    pub(crate) fn seal(&mut self, slot: u32) {
        self.magic = Self::MAGIC;
        self.version = U32::new(VERSION);
        self.slot = U32::new(slot);
        self.digest = self.computed_digest().0;
    }

    fn computed_digest(&self) -> Digest {
        let bytes = self.bytes();
        Digest::of(&bytes[..Self::SIZE - 32])
    }

    /// Whether the copy read from `slot` is whole and belongs there.
    #[must_use]
    pub fn is_valid(&self, slot: u32) -> bool {
        self.magic == Self::MAGIC
            && self.slot.get() == slot
            && slot < SLOTS
            && slot / 2 == (self.generation.get() % 2) as u32
            && self.digest == self.computed_digest().0
    }

    /// The geometry, checked.
    ///
    /// # Errors
    /// What does not fit together.
    pub fn geometry(&self) -> Result<Geometry, GeometryError> {
        self.facts().ok_or(GeometryError::Inconsistent)?.geometry()
    }

    /// What of it has to be known.
    pub(crate) fn facts(&self) -> Option<&SuperblockFacts> {
        SuperblockFacts::ref_from_prefix(self.bytes().get(BEFORE..)?).ok().map(|(facts, _)| facts)
    }
}

impl SuperblockFacts {
    /// Nothing but zeros, which is no superblock.
    pub(crate) const NONE: Self = zerocopy::transmute!([0_u8; Self::SIZE]);

    /// Lays a copy out at the start of `page`, zeros behind it, to be changed there; None if there is no room for it.
    pub(crate) fn composed<'p>(&self, page: &'p mut [u8]) -> Option<&'p mut Superblock> {
        page.fill(0);
        bytes::place(page, BEFORE, self.bytes())?;
        Superblock::mut_from_prefix(page).ok().map(|(copy, _)| copy)
    }

    /// Slot of copy `copy` (0 or 1) of this generation.
    #[must_use]
    pub fn slot_of(&self, copy: u32) -> u32 {
        2 * (self.generation.get() % 2) as u32 + copy
    }

    /// The geometry, checked.
    ///
    /// # Errors
    /// What does not fit together.
    pub fn geometry(&self) -> Result<Geometry, GeometryError> {
        let geometry = Geometry::new(
            self.page_size.get(),
            self.unit.get(),
            self.journal_length.get(),
            self.chunk_size.get(),
        )?;
        let agrees = geometry.journal_offset() == self.journal_offset.get()
            && geometry.first_group() == self.first_group.get()
            && self.pages.get() >= geometry.first_group() + geometry.reserved(0)
            && self.pages.get() <= geometry.max_pages();
        if agrees { Ok(geometry) } else { Err(GeometryError::Inconsistent) }
    }
}

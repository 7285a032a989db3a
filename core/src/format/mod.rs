//! The bytes of the file: docs/FORMAT.md in types.
//!
//! Every struct here is little-endian, unaligned and without padding; sizes are asserted at compile
//! time and [`LAYOUT`] is compared with docs/FORMAT.md by `cargo xtask format`.

mod geometry;
mod layout;
mod map;
mod node;
mod record;
mod superblock;

pub(crate) use geometry::MAP_LEVELS;
pub use geometry::{Geometry, GeometryError};
pub use layout::{FieldLayout, StructLayout};
pub use map::{MapEntry, MapHeader};
pub use node::{
    ChunkValue, ExtentValue, HeadValue, InlineValue, InternalCell, LeafCell, NodeHeader, cell_kind,
};
pub use record::{ChunkRef, OpHeader, RecordHeader, op_kind, record_kind};
pub use superblock::{Superblock, SuperblockFacts};

pub(crate) use layout::on_disk;
pub(crate) use zerocopy::little_endian::{U16, U32, U64};

/// Version of the file format. A file of another version is refused.
pub const VERSION: u32 = 1;

/// Distance in bytes between superblock slots, whatever the page size.
pub const SLOT_STRIDE: u64 = 4096;

/// Number of superblock slots: two generations, two copies each.
pub const SLOTS: u32 = 4;

/// Every on-disk struct.
pub const LAYOUT: &[StructLayout] = &[
    Superblock::LAYOUT,
    RecordHeader::LAYOUT,
    OpHeader::LAYOUT,
    ChunkRef::LAYOUT,
    NodeHeader::LAYOUT,
    InternalCell::LAYOUT,
    LeafCell::LAYOUT,
    InlineValue::LAYOUT,
    ExtentValue::LAYOUT,
    HeadValue::LAYOUT,
    ChunkValue::LAYOUT,
    MapHeader::LAYOUT,
    MapEntry::LAYOUT,
];

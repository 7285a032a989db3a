//! The engine's own table of its on-disk structs.

use blockyard_core::format::{FieldLayout, LAYOUT, StructLayout};

use super::layout::{Field, Struct};

/// Version of the format that the engine reads and writes.
pub(crate) const VERSION: u32 = blockyard_core::format::VERSION;

/// Every on-disk struct of the engine.
pub(crate) fn structs() -> Vec<Struct> {
    LAYOUT.iter().map(to_struct).collect()
}

fn to_struct(layout: &StructLayout) -> Struct {
    let fields = layout.fields.iter().map(to_field).collect();
    Struct { name: layout.name.into(), size: layout.size as u64, fields }
}

fn to_field(layout: &FieldLayout) -> Field {
    Field { name: layout.name.into(), offset: layout.offset as u64, size: layout.size as u64 }
}

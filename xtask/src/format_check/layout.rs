//! A struct of the format, whichever side it was read from.

/// An on-disk struct.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Struct {
    /// Name of the type in the engine.
    pub(crate) name: String,
    /// Size in bytes.
    pub(crate) size: u64,
    /// Its fields in the order in which they are listed.
    pub(crate) fields: Vec<Field>,
}

/// A field of an on-disk struct.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Field {
    /// Name of the field in the engine.
    pub(crate) name: String,
    /// Offset in bytes from the start of the struct.
    pub(crate) offset: u64,
    /// Size in bytes.
    pub(crate) size: u64,
}

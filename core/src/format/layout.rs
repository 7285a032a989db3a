//! One definition of an on-disk struct gives the type, its size check and its row in the layout
//! table that holds docs/FORMAT.md and the code together.

/// A field of an on-disk struct.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FieldLayout {
    /// Name of the field.
    pub name: &'static str,
    /// Offset in bytes from the start of the struct.
    pub offset: usize,
    /// Size in bytes.
    pub size: usize,
}

/// An on-disk struct.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StructLayout {
    /// Name of the struct.
    pub name: &'static str,
    /// Size in bytes.
    pub size: usize,
    /// Its fields in order, without gaps.
    pub fields: &'static [FieldLayout],
}

/// Defines an on-disk struct of little-endian, unaligned fields with its exact size.
macro_rules! on_disk {
    (
        $(#[$meta:meta])*
        $vis:vis struct $name:ident [$size:literal] {
            $( $(#[$field_meta:meta])* $field:ident : $type:ty, )*
        }
    ) => {
        $(#[$meta])*
        #[derive(
            Clone, Copy, Debug, PartialEq, Eq,
            zerocopy::FromBytes, zerocopy::IntoBytes, zerocopy::KnownLayout,
            zerocopy::Immutable, zerocopy::Unaligned,
        )]
        #[repr(C)]
        $vis struct $name {
            $( $(#[$field_meta])* $vis $field: $type, )*
        }

        const _: () = assert!(
            size_of::<$name>() == $size && align_of::<$name>() == 1,
            "the on-disk size is part of the format"
        );

        impl $name {
            /// Size on disk in bytes.
            $vis const SIZE: usize = $size;

            /// The struct's row in the layout table.
            $vis const LAYOUT: $crate::format::StructLayout = $crate::format::StructLayout {
                name: stringify!($name),
                size: $size,
                fields: &[ $( $crate::format::FieldLayout {
                    name: stringify!($field),
                    offset: core::mem::offset_of!($name, $field),
                    size: size_of::<$type>(),
                }, )* ],
            };

            /// Reads the struct at the start of `bytes`; None if there are too few.
            #[allow(dead_code, reason = "not every struct is read from a prefix")]
            $vis fn read(bytes: &[u8]) -> Option<Self> {
                <Self as zerocopy::FromBytes>::read_from_prefix(bytes).ok().map(|(value, _)| value)
            }

            /// The struct's bytes.
            #[allow(dead_code, reason = "not every struct is written whole")]
            $vis fn bytes(&self) -> &[u8] {
                zerocopy::IntoBytes::as_bytes(self)
            }
        }
    };
}

pub(crate) use on_disk;

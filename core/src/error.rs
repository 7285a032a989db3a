//! What can go wrong, by what was asked.

use crate::device::{DeviceError, DeviceErrorKind};
use crate::format::GeometryError;
use core::fmt;

/// A kind of structure in the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum Structure {
    /// A superblock copy.
    Superblock,
    /// A journal record at or below the durable watermark.
    Journal,
    /// A page of the registry tree.
    Registry,
    /// A page of the free map.
    FreeMap,
    /// The bytes of a block.
    Block,
}

impl fmt::Display for Structure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Superblock => "superblock",
            Self::Journal => "journal record",
            Self::Registry => "registry page",
            Self::FreeMap => "free map page",
            Self::Block => "block",
        })
    }
}

/// Bytes in the file that are not what was written there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Damage {
    /// What is damaged.
    pub what: Structure,
    /// Byte offset in the file where the damaged structure starts.
    pub offset: u64,
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at byte {} does not match its digest", self.what, self.offset)
    }
}

/// A read could not be answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum ReadError<E> {
    /// The device failed to read.
    Device(E),
    /// The bytes are there and wrong. Other blocks are not affected.
    Corrupted(Damage),
    /// The caller's buffer cannot hold the block.
    BufferTooSmall {
        /// Length of the block in bytes.
        needed: u64,
    },
    /// There is no block of this name.
    NotFound,
}

/// A change could not be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum WriteError<E> {
    /// The device failed. If it was a write, grow or sync the store is poisoned from here on.
    Device(E),
    /// A structure that the change builds on is damaged. Nothing was changed.
    Corrupted(Damage),
    /// An earlier write, grow or sync failed: reopen the store to recover.
    Poisoned,
    /// The store was opened for reading only.
    ReadOnly,
    /// No room is left and the device cannot grow. Nothing was changed; deleting blocks helps.
    Full,
    /// The name is empty.
    NameEmpty,
    /// The name is longer than the page size allows.
    NameTooLong {
        /// Its length in bytes.
        length: usize,
        /// The longest name in bytes.
        max: usize,
    },
    /// The batch holds more than the store, its buffers or its journal can take at once.
    BatchTooLarge,
    /// No recovery would take this in: the batch was made for another geometry, it lists chunks that its block does not
    /// have or pages that the file does not have, or a block writer failed to take a piece of the block before. Nothing was
    /// changed.
    BatchUnfit,
    /// There is no block of this name.
    NotFound,
    /// A buffer handed to the store is too small for this tree.
    WorkspaceTooSmall,
}

/// A file could not be opened or created.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum OpenError<E> {
    /// The device failed.
    Device(E),
    /// No valid superblock, and nothing that looks like one: not a Blockyard file.
    NotBlockyard,
    /// Made by another version of the format.
    Version {
        /// The version found.
        found: u32,
    },
    /// Uses features this version does not know.
    Features {
        /// The bits found.
        found: u64,
    },
    /// The sizes in the superblock, or those asked for, cannot be.
    Geometry(GeometryError),
    /// The file is shorter than its superblock or journal says.
    Truncated {
        /// Bytes that the file must have.
        expected: u64,
        /// Bytes that it has.
        actual: u64,
    },
    /// A structure that the store cannot be opened without is damaged.
    Corrupted(Damage),
    /// No room for the file, or to fold the journal in. Open it for reading, or make room.
    Full,
    /// A buffer handed to the store is too small.
    WorkspaceTooSmall,
    /// The device cannot be written.
    ReadOnly,
}

impl<E: fmt::Display> fmt::Display for ReadError<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Device(error) => write!(f, "reading failed: {error}"),
            Self::Corrupted(damage) => {
                write!(
                    f,
                    "damaged: {damage}; run verify for the whole extent, restore this block from a backup"
                )
            }
            Self::BufferTooSmall { needed } => {
                write!(f, "the buffer is too small: the block has {needed} bytes")
            }
            Self::NotFound => f.write_str("there is no block of this name"),
        }
    }
}

impl<E: fmt::Display> fmt::Display for WriteError<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Device(error) => write!(f, "writing failed: {error}; reopen the store to go on"),
            Self::Corrupted(damage) => write!(f, "nothing was written: {damage}; run verify"),
            Self::Poisoned => f.write_str(
                "an earlier write or sync failed, so writes are refused; reopen the store to recover",
            ),
            Self::ReadOnly => f.write_str("the store was opened for reading only"),
            Self::Full => {
                f.write_str("no space left on the device; delete blocks or make room, then try again")
            }
            Self::NameEmpty => f.write_str("a block's name cannot be empty"),
            Self::NameTooLong { length, max } => {
                write!(
                    f,
                    "the name has {length} bytes and may have {max}; use a shorter name or a larger page size"
                )
            }
            Self::BatchTooLarge => {
                f.write_str("the batch is too large for this store; commit it in smaller parts")
            }
            Self::BatchUnfit => f.write_str(
                "the batch is not one of this store's, or not whole; make it anew for this store's geometry",
            ),
            Self::NotFound => f.write_str("there is no block of this name"),
            Self::WorkspaceTooSmall => {
                f.write_str("the workspace handed to the store is too small for its tree")
            }
        }
    }
}

impl<E: fmt::Display> fmt::Display for OpenError<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Device(error) => write!(f, "opening failed: {error}"),
            Self::NotBlockyard => f.write_str("this is not a Blockyard file"),
            Self::Version { found } => write!(
                f,
                "the file has format version {found}, this program reads version {}; use a matching program",
                crate::format::VERSION
            ),
            Self::Features { found } => {
                write!(
                    f,
                    "the file uses features {found:#x} that this program does not know; use a newer one"
                )
            }
            Self::Geometry(error) => write!(f, "the file's geometry is not possible: {error}"),
            Self::Truncated { expected, actual } => write!(
                f,
                "the file was cut off: it has {actual} bytes and must have {expected}; restore it from a backup"
            ),
            Self::Corrupted(damage) => {
                write!(
                    f,
                    "the file is damaged where it must not be: {damage}; open it for reading to rescue the rest"
                )
            }
            Self::Full => {
                f.write_str("no space left on the device to open the file for writing; make room first")
            }
            Self::WorkspaceTooSmall => {
                f.write_str("the workspace handed to the store is too small for this file")
            }
            Self::ReadOnly => f.write_str("the device cannot be written; open the file for reading only"),
        }
    }
}

macro_rules! device_source {
    ($($error:ident),*) => {$(
        impl<E: core::error::Error + 'static> core::error::Error for $error<E> {
            fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
                match self {
                    Self::Device(error) => Some(error),
                    _ => None,
                }
            }
        }
    )*};
}
device_source!(ReadError, WriteError, OpenError);

impl<E> From<ReadError<E>> for WriteError<E> {
    fn from(error: ReadError<E>) -> Self {
        match error {
            ReadError::Device(error) => Self::Device(error),
            ReadError::Corrupted(damage) => Self::Corrupted(damage),
            ReadError::BufferTooSmall { .. } => Self::WorkspaceTooSmall,
            ReadError::NotFound => Self::NotFound,
        }
    }
}

impl<E> From<ReadError<E>> for OpenError<E> {
    fn from(error: ReadError<E>) -> Self {
        match error {
            ReadError::Device(error) => Self::Device(error),
            ReadError::Corrupted(damage) => Self::Corrupted(damage),
            ReadError::BufferTooSmall { .. } | ReadError::NotFound => Self::WorkspaceTooSmall,
        }
    }
}

impl<E: DeviceError> From<WriteError<E>> for OpenError<E> {
    fn from(error: WriteError<E>) -> Self {
        match error {
            WriteError::Device(error) if error.kind() == DeviceErrorKind::ReadOnly => Self::ReadOnly,
            WriteError::Device(error) => Self::Device(error),
            WriteError::Corrupted(damage) => Self::Corrupted(damage),
            WriteError::Full => Self::Full,
            WriteError::ReadOnly => Self::ReadOnly,
            _ => Self::WorkspaceTooSmall,
        }
    }
}

impl<E> From<GeometryError> for OpenError<E> {
    fn from(error: GeometryError) -> Self {
        Self::Geometry(error)
    }
}

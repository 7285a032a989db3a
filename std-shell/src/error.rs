//! Errors of the shell: what happened, to which block, and what to do next.

use crate::device::IoError;
use blockyard_core::format::GeometryError;
use blockyard_core::{Damage, ReadError, WriteError};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The result of an operation on a store.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// An operation on an open store failed.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The file could not be read or written. After a failed write or sync every further write
    /// answers [`Error::Poisoned`].
    #[error("the file failed: {0}; reads go on, reopen the store to write again")]
    Io(#[source] Arc<io::Error>),
    /// Bytes in the file are not what was written there. Other blocks are not affected.
    #[error("damaged{}: {damage}; run verify, and restore what it names from a backup", of_block(.name.as_deref()))]
    Corrupted {
        /// The block, if one is concerned.
        name: Option<Vec<u8>>,
        /// What is damaged, and where.
        damage: Damage,
    },
    /// An earlier write or sync failed.
    #[error("an earlier write or sync failed, so writes are refused; reopen the store to recover")]
    Poisoned,
    /// The store was opened for reading only.
    #[error("the store was opened for reading only; open it without read_only to write")]
    ReadOnly,
    /// No space is left on the device. Nothing was changed.
    #[error("no space left on the device; delete blocks or make room, then try again")]
    Full,
    /// The name is empty.
    #[error("a block's name cannot be empty")]
    NameEmpty,
    /// The name is too long for the page size.
    #[error("the name has {length} bytes and may have {max}; use a shorter name or a larger page size")]
    NameTooLong {
        /// Its length in bytes.
        length: usize,
        /// The longest name in bytes.
        max: usize,
    },
    /// A value in a batch is longer than a chunk.
    #[error("the value has {length} bytes, a batch takes values up to {max}; use put or writer for it")]
    ValueTooLarge {
        /// Its length in bytes.
        length: u64,
        /// The longest value of a batch in bytes.
        max: u64,
    },
    /// The batch holds more than can be committed at once.
    #[error("the batch is too large to commit at once; commit it in smaller parts")]
    BatchTooLarge,
    /// The batch was made by a store of other sizes. Nothing was changed.
    #[error("the batch was made by a store of other sizes; make it by the store that it is for")]
    BatchUnfit,
    /// There is no block of this name.
    #[error("there is no block of this name")]
    NotFound,
    /// The buffer cannot hold the block.
    #[error("the buffer is too small: the block has {needed} bytes")]
    BufferTooSmall {
        /// Length of the block in bytes.
        needed: u64,
    },
    /// A block that the transaction read or wrote was changed by someone else since it began.
    #[error("the transaction met a change made since it began; run it again")]
    Conflict,
    /// The store was closed.
    #[error("the store is closed")]
    Closed,
}

/// A file could not be opened or created.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// The file could not be opened, read or written.
    #[error("cannot open {}: {source}", place(path))]
    Io {
        /// The file; empty for a device, here and below.
        path: PathBuf,
        /// What the operating system said.
        source: Arc<io::Error>,
    },
    /// There is no such file.
    #[error("there is no file {}; create it first", .0.display())]
    NotFound(PathBuf),
    /// The file exists and was to be created.
    #[error("{} holds something already; open it instead", place(.0))]
    AlreadyExists(PathBuf),
    /// Another process, or another handle of this one, has the file open.
    #[error("the file {} is open elsewhere; close it there, or wait", .0.display())]
    Locked(PathBuf),
    /// The file is something else.
    #[error("{} is not a Blockyard file", place(.0))]
    NotBlockyard(PathBuf),
    /// The file was made by another version of the format.
    #[error(
        "the file has format version {found}, this program reads {}; use a matching program",
        blockyard_core::format::VERSION
    )]
    Version {
        /// The version found.
        found: u32,
    },
    /// The file uses features that this version does not know.
    #[error("the file uses features {found:#x} that this program does not know; use a newer one")]
    Features {
        /// The bits found.
        found: u64,
    },
    /// The sizes asked for, or those in the file, cannot be.
    #[error("{0}")]
    Geometry(#[source] GeometryError),
    /// The file is shorter than it says.
    #[error("the file was cut off: it has {actual} bytes and must have {expected}; restore it from a backup")]
    Truncated {
        /// Bytes it must have.
        expected: u64,
        /// Bytes it has.
        actual: u64,
    },
    /// A structure without which the file cannot be opened is damaged.
    #[error(
        "the file is damaged where it must not be: {0}; open it read-only with salvage to rescue what is before"
    )]
    Corrupted(Damage),
    /// No space to create the file, or to fold its journal in.
    #[error("no space left on the device; make room first, or open the file read-only")]
    Full,
    /// The file cannot be written.
    #[error("the file cannot be written; open it read-only")]
    ReadOnly,
    /// The file's registry or journal is larger than the memory that this library sets aside for it.
    #[error(
        "the file needs more memory than this program sets aside for it; use a program with larger limits"
    )]
    Memory,
}

/// What an opening error is about.
fn place(path: &Path) -> String {
    if path.as_os_str().is_empty() { "the device".to_owned() } else { path.display().to_string() }
}

fn of_block(name: Option<&[u8]>) -> String {
    name.map_or_else(String::new, |name| format!(" block \"{}\"", name.escape_ascii()))
}

impl Error {
    /// The error of a read of the block `name`.
    pub(crate) fn read(error: ReadError<IoError>, name: Option<&[u8]>) -> Self {
        match error {
            ReadError::Device(error) => Self::Io(error.0),
            ReadError::Corrupted(damage) => Self::Corrupted { name: name.map(<[u8]>::to_vec), damage },
            ReadError::BufferTooSmall { needed } => Self::BufferTooSmall { needed },
            ReadError::NotFound => Self::NotFound,
            _ => Self::BatchTooLarge,
        }
    }
}

impl From<WriteError<IoError>> for Error {
    fn from(error: WriteError<IoError>) -> Self {
        match error {
            WriteError::Device(error) => Self::Io(error.0),
            WriteError::Corrupted(damage) => Self::Corrupted { name: None, damage },
            WriteError::Poisoned => Self::Poisoned,
            WriteError::ReadOnly => Self::ReadOnly,
            WriteError::Full => Self::Full,
            WriteError::NameEmpty => Self::NameEmpty,
            WriteError::NameTooLong { length, max } => Self::NameTooLong { length, max },
            WriteError::BatchUnfit => Self::BatchUnfit,
            WriteError::NotFound => Self::NotFound,
            _ => Self::BatchTooLarge,
        }
    }
}

impl From<blockyard_core::batch::BatchError> for Error {
    fn from(error: blockyard_core::batch::BatchError) -> Self {
        use blockyard_core::batch::BatchError;
        match error {
            BatchError::NameEmpty => Self::NameEmpty,
            BatchError::NameTooLong { length, max } => Self::NameTooLong { length, max },
            BatchError::ValueTooLarge { length, max } => Self::ValueTooLarge { length, max },
            _ => Self::BatchTooLarge,
        }
    }
}

impl From<Error> for io::Error {
    fn from(error: Error) -> Self {
        let kind = match &error {
            Error::Io(error) => error.kind(),
            Error::Full => io::ErrorKind::StorageFull,
            Error::NotFound => io::ErrorKind::NotFound,
            Error::Corrupted { .. } => io::ErrorKind::InvalidData,
            _ => io::ErrorKind::Other,
        };
        Self::new(kind, error)
    }
}

//! What can go wrong, with the code that JavaScript makes a class of.

use crate::device::{Fault, TOO_LARGE};
use blockyard_core::batch::BatchError;
use blockyard_core::{DeviceError as _, DeviceErrorKind, OpenError, ReadError, WriteError};
use std::fmt;

/// An operation failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Error {
    /// The file could not be opened.
    Open(OpenError<Fault>),
    /// A read failed.
    Read(ReadError<Fault>),
    /// A change failed.
    Write(WriteError<Fault>),
    /// A change could not be added to a batch.
    Batch(BatchError),
    /// There is no batch, writer or snapshot of this number.
    Gone,
}

impl Error {
    /// The code of the class that JavaScript throws.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Open(error) => match error {
                OpenError::Device(fault) => Self::fault(fault),
                OpenError::NotBlockyard | OpenError::Version { .. } | OpenError::Features { .. } => {
                    "NotABlockyard"
                }
                OpenError::Full => "Quota",
                OpenError::ReadOnly => "Locked",
                OpenError::Truncated { .. } | OpenError::Corrupted(_) => "Corrupt",
                _ => "Invalid",
            },
            Self::Read(error) => match error {
                ReadError::Device(fault) => Self::fault(fault),
                ReadError::Corrupted(_) => "Corrupt",
                _ => "NotFound",
            },
            Self::Write(error) => match error {
                // Room is made before anything is written: a device that is full later than that leaves it open what was.
                WriteError::Device(_) => "Io",
                WriteError::Corrupted(_) => "Corrupt",
                WriteError::Full => "Quota",
                WriteError::Poisoned => "Io",
                WriteError::NotFound => "NotFound",
                _ => "Invalid",
            },
            Self::Batch(_) => "Invalid",
            Self::Gone => "Aborted",
        }
    }

    fn fault(fault: &Fault) -> &'static str {
        match fault.kind() {
            DeviceErrorKind::NoSpace => "Quota",
            DeviceErrorKind::ReadOnly => "Locked",
            _ if fault.name == TOO_LARGE => "Invalid",
            _ => "Io",
        }
    }

    /// What the device failed with, if it did.
    #[must_use]
    pub fn cause(&self) -> Option<&Fault> {
        match self {
            Self::Open(OpenError::Device(fault))
            | Self::Read(ReadError::Device(fault))
            | Self::Write(WriteError::Device(fault)) => Some(fault),
            _ => None,
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Open(error) => error.fmt(f),
            Self::Read(error) => error.fmt(f),
            Self::Write(error) => error.fmt(f),
            Self::Batch(error) => error.fmt(f),
            Self::Gone => f.write_str(
                "this batch, writer or snapshot is gone: it was used up, or the file was opened anew meanwhile",
            ),
        }
    }
}

impl std::error::Error for Error {}

macro_rules! from {
    ($($source:ty => $variant:ident),*) => {$(
        impl From<$source> for Error {
            fn from(error: $source) -> Self {
                Self::$variant(error)
            }
        }
    )*};
}
from!(OpenError<Fault> => Open, ReadError<Fault> => Read, WriteError<Fault> => Write, BatchError => Batch);

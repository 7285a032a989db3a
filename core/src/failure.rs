//! Failures inside the engine: what went wrong, in one word. Where it did, and the device's error, are kept beside the
//! device ([`Io`](crate::device::Io)) until a public call puts both together for its caller: handed on through each
//! function they would be a tenth of the code of a chip.
//!
//! 1. Who returns a failure that says more than its name has kept that first.
//! 2. Nothing keeps anything else between that and the public call that answers; what is kept is of the last failure.

use crate::device::{DeviceError, DeviceErrorKind};
use crate::error::{Damage, OpenError, ReadError, WriteError};
use crate::format::GeometryError;
use core::fmt;

/// Why a function of the engine did not come to its end. A word, none of which is 0, is compared without being widened
/// before, and with nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub(crate) enum Failure {
    /// The device failed; its error is kept.
    Device = 1,
    /// Bytes are not what was written there; their place is kept.
    Corrupted,
    /// An earlier write, grow or sync failed.
    Poisoned,
    /// The store was opened for reading only.
    ReadOnly,
    /// No room is left and the device cannot grow.
    Full,
    /// A name is longer than the overlay takes; the lengths are kept.
    NameTooLong,
    /// The batch holds more than can be taken at once.
    BatchTooLarge,
    /// The batch is none that a recovery would take in.
    BatchUnfit,
    /// A buffer of the caller's is too small; the length that it must have is kept.
    BufferTooSmall,
    /// The memory handed to the store is too small.
    WorkspaceTooSmall,
    /// The file is shorter than it must be; the lengths are kept.
    Truncated,
    /// Nothing looks like a Blockyard file.
    NotBlockyard,
    /// Another version of the format; which one is kept.
    Version,
    /// Features that are not known here; they are kept.
    Features,
    /// Sizes that cannot be; which is kept.
    Geometry,
}

/// What is kept of a failure: all but its name.
#[derive(Debug)]
pub(crate) enum Kept<E> {
    Nothing,
    Error(E),
    Place(Damage),
    Needed(u64),
    Name { length: usize, max: usize },
    Lengths { expected: u64, actual: u64 },
    Version(u32),
    Features(u64),
    Sizes(GeometryError),
}

impl Failure {
    /// What a caller who reads is told.
    #[cold]
    #[inline(never)]
    pub(crate) fn of_read<E>(self, kept: Kept<E>) -> ReadError<E> {
        match (self, kept) {
            (Self::Device, Kept::Error(error)) => ReadError::Device(error),
            (Self::Corrupted, Kept::Place(damage)) => ReadError::Corrupted(damage),
            (Self::BufferTooSmall, Kept::Needed(needed)) => ReadError::BufferTooSmall { needed },
            _ => ReadError::BufferTooSmall { needed: 0 },
        }
    }

    /// What a caller who writes is told.
    #[cold]
    #[inline(never)]
    pub(crate) fn of_write<E>(self, kept: Kept<E>) -> WriteError<E> {
        match (self, kept) {
            (Self::Device, Kept::Error(error)) => WriteError::Device(error),
            (Self::Corrupted, Kept::Place(damage)) => WriteError::Corrupted(damage),
            (Self::NameTooLong, Kept::Name { length, max }) => WriteError::NameTooLong { length, max },
            (Self::Poisoned, _) => WriteError::Poisoned,
            (Self::ReadOnly, _) => WriteError::ReadOnly,
            (Self::Full, _) => WriteError::Full,
            (Self::BatchTooLarge, _) => WriteError::BatchTooLarge,
            (Self::BatchUnfit, _) => WriteError::BatchUnfit,
            _ => WriteError::WorkspaceTooSmall,
        }
    }

    /// What a caller who opens or creates is told; `wrote` if a write, a sync or growth failed.
    #[cold]
    #[inline(never)]
    pub(crate) fn of_open<E: DeviceError>(self, kept: Kept<E>, wrote: bool) -> OpenError<E> {
        match (self, kept) {
            (Self::Device, Kept::Error(error)) if wrote && error.kind() == DeviceErrorKind::ReadOnly => {
                OpenError::ReadOnly
            }
            (Self::Device, Kept::Error(error)) => OpenError::Device(error),
            (Self::Corrupted, Kept::Place(damage)) => OpenError::Corrupted(damage),
            (Self::Truncated, Kept::Lengths { expected, actual }) => {
                OpenError::Truncated { expected, actual }
            }
            (Self::Version, Kept::Version(found)) => OpenError::Version { found },
            (Self::Features, Kept::Features(found)) => OpenError::Features { found },
            (Self::Geometry, Kept::Sizes(error)) => OpenError::Geometry(error),
            (Self::NotBlockyard, _) => OpenError::NotBlockyard,
            (Self::ReadOnly, _) => OpenError::ReadOnly,
            (Self::Full, _) => OpenError::Full,
            _ => OpenError::WorkspaceTooSmall,
        }
    }
}

// As the error of a device that keeps its errors.
impl DeviceError for Failure {
    fn kind(&self) -> DeviceErrorKind {
        match self {
            Self::Full => DeviceErrorKind::NoSpace,
            Self::ReadOnly => DeviceErrorKind::ReadOnly,
            _ => DeviceErrorKind::Other,
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

impl core::error::Error for Failure {}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[derive(Debug, PartialEq, Eq)]
    struct Refused;

    impl fmt::Display for Refused {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("refused")
        }
    }

    impl core::error::Error for Refused {}

    impl DeviceError for Refused {
        fn kind(&self) -> DeviceErrorKind {
            DeviceErrorKind::ReadOnly
        }
    }

    /// Who may not read is not told to open for reading only.
    #[test]
    fn only_what_could_not_be_written_is_read_only() {
        let open = |wrote| Failure::Device.of_open(Kept::Error(Refused), wrote);
        assert_eq!(open(false), OpenError::Device(Refused));
        assert_eq!(open(true), OpenError::ReadOnly);
    }
}

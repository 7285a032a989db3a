//! A device over any `embedded-io` reader, writer and seeker.

use super::{BlockDevice, DeviceError, DeviceErrorKind};
use core::fmt;
use embedded_io::{ErrorKind, Read, ReadExactError, Seek, SeekFrom, Write};

/// An error of an [`EmbeddedDevice`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum EmbeddedError<E> {
    /// The device underneath failed.
    Io(E),
    /// The device ended before the range did.
    UnexpectedEnd,
    /// The device has the size it has.
    FixedSize,
}

impl<E: fmt::Debug> fmt::Display for EmbeddedError<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io(error) => write!(f, "the device failed: {error:?}"),
            Self::UnexpectedEnd => f.write_str("the device ended before the range that was asked for"),
            Self::FixedSize => f.write_str("the device cannot grow beyond its size"),
        }
    }
}

impl<E: fmt::Debug> core::error::Error for EmbeddedError<E> {}

impl<E: embedded_io::Error + 'static> DeviceError for EmbeddedError<E> {
    fn kind(&self) -> DeviceErrorKind {
        match self {
            Self::FixedSize => DeviceErrorKind::NoSpace,
            Self::Io(error) => match error.kind() {
                ErrorKind::OutOfMemory | ErrorKind::WriteZero => DeviceErrorKind::NoSpace,
                ErrorKind::PermissionDenied | ErrorKind::Unsupported => DeviceErrorKind::ReadOnly,
                _ => DeviceErrorKind::Other,
            },
            Self::UnexpectedEnd => DeviceErrorKind::Other,
        }
    }
}

/// A device over `embedded-io` traits. `Write::flush` is taken as the device barrier: it must not
/// return before the bytes survive a power cut.
#[derive(Debug)]
pub struct EmbeddedDevice<T> {
    inner: T,
    unit: u32,
    growable: bool,
}

impl<T> EmbeddedDevice<T> {
    /// A device of fixed size (a card, a chip) with the given atomic unit in bytes.
    pub const fn new(inner: T, unit: u32) -> Self {
        Self { inner, unit, growable: false }
    }

    /// A device that grows when zeros are written past its end (a file of some other file system).
    pub const fn growable(inner: T, unit: u32) -> Self {
        Self { inner, unit, growable: true }
    }

    /// Gives the device underneath back.
    pub fn into_inner(self) -> T {
        self.inner
    }
}

impl<T> BlockDevice for EmbeddedDevice<T>
where
    T: Read + Write + Seek,
    T::Error: 'static,
{
    type Error = EmbeddedError<T::Error>;

    fn read(&mut self, offset: u64, buf: &mut [u8]) -> Result<(), Self::Error> {
        self.inner.seek(SeekFrom::Start(offset)).map_err(EmbeddedError::Io)?;
        self.inner.read_exact(buf).map_err(|error| match error {
            ReadExactError::UnexpectedEof => EmbeddedError::UnexpectedEnd,
            ReadExactError::Other(error) => EmbeddedError::Io(error),
        })
    }

    fn write(&mut self, offset: u64, data: &[u8]) -> Result<(), Self::Error> {
        self.inner.seek(SeekFrom::Start(offset)).map_err(EmbeddedError::Io)?;
        self.inner.write_all(data).map_err(EmbeddedError::Io)
    }

    fn sync(&mut self) -> Result<(), Self::Error> {
        self.inner.flush().map_err(EmbeddedError::Io)
    }

    fn length(&mut self) -> Result<u64, Self::Error> {
        self.inner.seek(SeekFrom::End(0)).map_err(EmbeddedError::Io)
    }

    fn grow(&mut self, length: u64) -> Result<(), Self::Error> {
        let mut end = self.length()?;
        if end < length && !self.growable {
            return Err(EmbeddedError::FixedSize);
        }
        let zeros = [0; 512];
        while end < length {
            let step = (length - end).min(zeros.len() as u64);
            self.inner.write_all(&zeros[..step as usize]).map_err(EmbeddedError::Io)?;
            end += step;
        }
        Ok(())
    }

    fn atomic_unit(&self) -> u32 {
        self.unit
    }
}

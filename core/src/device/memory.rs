//! Devices in memory: over a caller's bytes, and (with `alloc`) growing.

use super::{BlockDevice, DeviceError, DeviceErrorKind};
use core::fmt;

/// An error of a device in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum MemoryError {
    /// The range lies beyond the device's length.
    OutOfRange {
        /// First byte of the range.
        offset: u64,
        /// Its length in bytes.
        length: u64,
    },
    /// The device may not grow this far.
    Full,
}

impl fmt::Display for MemoryError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OutOfRange { offset, length } => {
                write!(f, "{length} bytes at offset {offset} lie beyond the end of the memory device")
            }
            Self::Full => f.write_str("the memory device may not grow any further"),
        }
    }
}

impl core::error::Error for MemoryError {}

impl DeviceError for MemoryError {
    fn kind(&self) -> DeviceErrorKind {
        match self {
            Self::OutOfRange { .. } => DeviceErrorKind::Other,
            Self::Full => DeviceErrorKind::NoSpace,
        }
    }
}

fn range(bytes: usize, offset: u64, length: usize) -> Result<core::ops::Range<usize>, MemoryError> {
    let out_of_range = MemoryError::OutOfRange { offset, length: length as u64 };
    let start = usize::try_from(offset).map_err(|_| out_of_range)?;
    let end = start.checked_add(length).filter(|&end| end <= bytes).ok_or(out_of_range)?;
    Ok(start..end)
}

/// A device of fixed size over the caller's bytes. Its sync is immediate: what was written survives
/// as long as the memory does.
#[derive(Debug)]
pub struct MemoryDevice<B> {
    bytes: B,
    unit: u32,
}

impl<B: AsRef<[u8]> + AsMut<[u8]>> MemoryDevice<B> {
    /// A device over `bytes` that calls `unit` bytes its atomic unit.
    pub const fn new(bytes: B, unit: u32) -> Self {
        Self { bytes, unit }
    }

    /// Gives the bytes back.
    pub fn into_inner(self) -> B {
        self.bytes
    }

    /// The bytes as they stand.
    pub fn bytes(&self) -> &[u8] {
        self.bytes.as_ref()
    }
}

impl<B: AsRef<[u8]> + AsMut<[u8]>> BlockDevice for MemoryDevice<B> {
    type Error = MemoryError;

    fn read(&mut self, offset: u64, buf: &mut [u8]) -> Result<(), MemoryError> {
        let range = range(self.bytes.as_ref().len(), offset, buf.len())?;
        buf.copy_from_slice(&self.bytes.as_ref()[range]);
        Ok(())
    }

    fn write(&mut self, offset: u64, data: &[u8]) -> Result<(), MemoryError> {
        let range = range(self.bytes.as_ref().len(), offset, data.len())?;
        self.bytes.as_mut()[range].copy_from_slice(data);
        Ok(())
    }

    fn sync(&mut self) -> Result<(), MemoryError> {
        Ok(())
    }

    fn length(&mut self) -> Result<u64, MemoryError> {
        Ok(self.bytes.as_ref().len() as u64)
    }

    fn grow(&mut self, length: u64) -> Result<(), MemoryError> {
        if length <= self.bytes.as_ref().len() as u64 { Ok(()) } else { Err(MemoryError::Full) }
    }

    fn atomic_unit(&self) -> u32 {
        self.unit
    }
}

/// A device on the heap that grows up to a limit.
#[cfg(feature = "alloc")]
#[derive(Clone, Debug)]
pub struct VecDevice {
    bytes: alloc::vec::Vec<u8>,
    unit: u32,
    limit: u64,
}

#[cfg(feature = "alloc")]
impl VecDevice {
    /// An empty device that may grow to `limit` bytes and calls `unit` bytes its atomic unit.
    #[must_use]
    pub const fn new(unit: u32, limit: u64) -> Self {
        Self { bytes: alloc::vec::Vec::new(), unit, limit }
    }

    /// A device that holds `bytes`, as of an image.
    #[must_use]
    pub const fn from_bytes(bytes: alloc::vec::Vec<u8>, unit: u32, limit: u64) -> Self {
        Self { bytes, unit, limit }
    }

    /// The bytes as they stand.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The bytes, to be damaged in a test or patched by a tool.
    pub fn bytes_mut(&mut self) -> &mut alloc::vec::Vec<u8> {
        &mut self.bytes
    }
}

#[cfg(feature = "alloc")]
impl BlockDevice for VecDevice {
    type Error = MemoryError;

    fn read(&mut self, offset: u64, buf: &mut [u8]) -> Result<(), MemoryError> {
        let range = range(self.bytes.len(), offset, buf.len())?;
        buf.copy_from_slice(&self.bytes[range]);
        Ok(())
    }

    fn write(&mut self, offset: u64, data: &[u8]) -> Result<(), MemoryError> {
        let range = range(self.bytes.len(), offset, data.len())?;
        self.bytes[range].copy_from_slice(data);
        Ok(())
    }

    fn sync(&mut self) -> Result<(), MemoryError> {
        Ok(())
    }

    fn length(&mut self) -> Result<u64, MemoryError> {
        Ok(self.bytes.len() as u64)
    }

    fn grow(&mut self, length: u64) -> Result<(), MemoryError> {
        if length > self.limit {
            return Err(MemoryError::Full);
        }
        if length > self.bytes.len() as u64 {
            self.bytes.resize(length as usize, 0);
        }
        Ok(())
    }

    fn atomic_unit(&self) -> u32 {
        self.unit
    }
}

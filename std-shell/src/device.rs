//! The file device: positioned I/O, `fdatasync`, `fallocate`.

use blockyard_core::{BlockDevice, DeviceError, DeviceErrorKind};
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::sync::Arc;

/// An error of the file underneath.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{0}")]
pub struct FileError(#[source] pub Arc<io::Error>);

impl From<io::Error> for FileError {
    fn from(error: io::Error) -> Self {
        Self(Arc::new(error))
    }
}

impl DeviceError for FileError {
    fn kind(&self) -> DeviceErrorKind {
        match self.0.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge => {
                DeviceErrorKind::NoSpace
            }
            io::ErrorKind::ReadOnlyFilesystem | io::ErrorKind::PermissionDenied => DeviceErrorKind::ReadOnly,
            _ => DeviceErrorKind::Other,
        }
    }
}

/// A file as a block device. Clones share the file; reads need no lock.
#[derive(Clone, Debug)]
pub struct FileDevice {
    file: Arc<File>,
    unit: u32,
}

impl FileDevice {
    /// The device over `file`, whose writes a power cut leaves torn within `unit` bytes at most.
    pub fn new(file: File, unit: u32) -> Self {
        Self { file: Arc::new(file), unit }
    }

    /// Reads at an offset without exclusive access.
    ///
    /// # Errors
    /// The file's error; `UnexpectedEof` behind its end.
    pub fn read_at(&self, offset: u64, buf: &mut [u8]) -> Result<(), FileError> {
        Ok(self.file.read_exact_at(buf, offset)?)
    }

    /// Tells the operating system that a range will be read soon.
    pub(crate) fn will_need(&self, offset: u64, length: u64) {
        let length = std::num::NonZeroU64::new(length);
        // Advice that is not taken costs nothing but speed.
        let _ = rustix::fs::fadvise(&self.file, offset, length, rustix::fs::Advice::WillNeed);
    }

    /// Drops a range from the operating system's cache, so that the next read asks the medium.
    pub(crate) fn forget(&self, offset: u64, length: u64) {
        let length = std::num::NonZeroU64::new(length);
        let _ = rustix::fs::fadvise(&self.file, offset, length, rustix::fs::Advice::DontNeed);
    }
}

impl BlockDevice for FileDevice {
    type Error = FileError;

    fn read(&mut self, offset: u64, buf: &mut [u8]) -> Result<(), FileError> {
        self.read_at(offset, buf)
    }

    fn write(&mut self, offset: u64, data: &[u8]) -> Result<(), FileError> {
        Ok(self.file.write_all_at(data, offset)?)
    }

    fn sync(&mut self) -> Result<(), FileError> {
        Ok(self.file.sync_data()?)
    }

    fn length(&mut self) -> Result<u64, FileError> {
        Ok(self.file.metadata()?.len())
    }

    /// Reserves the blocks, so that a later write into them does not run out of space. Where the
    /// file system cannot reserve, the file is made longer and stays sparse.
    fn grow(&mut self, length: u64) -> Result<(), FileError> {
        let old = self.length()?;
        if length <= old {
            return Ok(());
        }
        let flags = rustix::fs::FallocateFlags::empty();
        // A signal that arrives meanwhile is no failure of the device.
        let reserve = || rustix::fs::fallocate(&self.file, flags, old, length - old);
        match rustix::io::retry_on_intr(reserve) {
            Ok(()) => Ok(()),
            Err(rustix::io::Errno::OPNOTSUPP | rustix::io::Errno::NOSYS) => Ok(self.file.set_len(length)?),
            Err(error) => Err(io::Error::from(error).into()),
        }
    }

    fn atomic_unit(&self) -> u32 {
        self.unit
    }
}

//! What a store is kept on: a file, memory, or whatever implements [`Device`].

mod file;
mod memory;

pub use file::FileDevice;
pub use memory::MemoryDevice;

use blockyard_core::{BlockDevice, DeviceError, DeviceErrorKind};
use std::fmt::Debug;
use std::io;
use std::sync::Arc;

/// A device that threads share: what a store reads and writes.
///
/// Many threads read at once, also while one writes, syncs or grows; no two threads do the latter at the
/// same time. What is being written is not read meanwhile, except to check it: such a read may answer
/// with old and new bytes mixed.
///
/// What "durable" means on a device is what its [`sync`](Self::sync) keeps: a commit is answered durable
/// when a sync that began after the commit's last byte was written has returned Ok. A device that keeps
/// less than is written here can lose what was promised, and it will be told as damage, or not at all.
/// The engine's trait, [`BlockDevice`], is the same contract for one thread.
pub trait Device: Debug + Send + Sync + 'static {
    /// Fills `buf` with the bytes at `offset`; any range of bytes may be asked for.
    ///
    /// Sees every write that returned, synced or not. After a failed sync it may show bytes that the
    /// medium never got.
    ///
    /// # Errors
    /// [`UnexpectedEof`](io::ErrorKind::UnexpectedEof) for a range that reaches behind the end, which is
    /// told as damage; any other is handed to the caller, and writing goes on.
    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<()>;

    /// Writes all of `data` at `offset`, inside the device's length. Both are multiples of
    /// [`atomic_unit`](Self::atomic_unit).
    ///
    /// Until a later [`sync`](Self::sync) returns, a power cut may leave any subset of the atomic units
    /// written, in any order, and one unit torn (old and new bytes mixed). Units outside the range keep
    /// their bytes.
    ///
    /// # Errors
    /// After an error the range may hold any mix of old and new bytes; the store writes nothing any more.
    fn write_at(&self, offset: u64, data: &[u8]) -> io::Result<()>;

    /// Makes everything durable that was written, and the length that was grown to, before this call
    /// began: it survives a power cut once this returns Ok.
    ///
    /// # Errors
    /// After an error any of those writes may be lost, even if a later sync succeeds and even while reads
    /// still show them; the store writes nothing any more.
    fn sync(&self) -> io::Result<()>;

    /// The device's length in bytes.
    ///
    /// # Errors
    /// The device's own.
    fn length(&self) -> io::Result<u64>;

    /// Makes the device at least `length` bytes long. The new bytes read as anything.
    ///
    /// Until a later [`sync`](Self::sync) returns, a power cut may leave the old length, the new one or
    /// any between.
    ///
    /// # Errors
    /// [`StorageFull`](io::ErrorKind::StorageFull), [`QuotaExceeded`](io::ErrorKind::QuotaExceeded) and
    /// [`FileTooLarge`](io::ErrorKind::FileTooLarge) mean that nothing below the old length changed: the
    /// commit is refused as [`Error::Full`](crate::Error::Full). A device of fixed size answers with the
    /// first of them. After any other the store writes nothing any more.
    fn grow(&self, length: u64) -> io::Result<()>;

    /// The largest aligned run of bytes that a power cut leaves old, new or torn without touching its
    /// neighbours; a power of two, 1 to 4,096. A store opens for writing only on devices whose unit is no
    /// larger than that of the device it was created on (512 at least).
    fn atomic_unit(&self) -> u32;

    /// Whether what a read returns is known to be on the medium, so that recovery may skip writing it
    /// again. When in doubt: false.
    fn reads_come_from_medium(&self) -> bool {
        false
    }

    /// Advice: begin to bring to the medium what was written, for a [`sync`](Self::sync) will follow. It
    /// neither waits nor promises anything.
    fn start_sync(&self) {}

    /// Advice: the range will be read soon.
    fn will_need(&self, _offset: u64, _length: u64) {}

    /// Advice: the next read of the range should ask the medium, not a cache.
    fn forget(&self, _offset: u64, _length: u64) {}
}

impl<D: Device + ?Sized> Device for Arc<D> {
    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<()> {
        (**self).read_at(offset, buf)
    }
    fn write_at(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        (**self).write_at(offset, data)
    }
    fn sync(&self) -> io::Result<()> {
        (**self).sync()
    }
    fn length(&self) -> io::Result<u64> {
        (**self).length()
    }
    fn grow(&self, length: u64) -> io::Result<()> {
        (**self).grow(length)
    }
    fn atomic_unit(&self) -> u32 {
        (**self).atomic_unit()
    }
    fn reads_come_from_medium(&self) -> bool {
        (**self).reads_come_from_medium()
    }
    fn start_sync(&self) {
        (**self).start_sync();
    }
    fn will_need(&self, offset: u64, length: u64) {
        (**self).will_need(offset, length);
    }
    fn forget(&self, offset: u64, length: u64) {
        (**self).forget(offset, length);
    }
}

/// An error of the device underneath.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct IoError(#[source] pub(crate) Arc<io::Error>);

impl From<io::Error> for IoError {
    fn from(error: io::Error) -> Self {
        Self(Arc::new(error))
    }
}

impl DeviceError for IoError {
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

/// A shared device as the engine knows devices.
#[derive(Clone, Debug)]
pub(crate) struct SharedDevice {
    device: Arc<dyn Device>,
    /// What the engine is told of the device's unit.
    unit: u32,
}

impl SharedDevice {
    /// Any range can be read: whoever only reads has no need to know of larger units than the least.
    pub(crate) fn new(device: Arc<dyn Device>, only_read: bool) -> Self {
        let unit = device.atomic_unit();
        Self { device, unit: if only_read { unit.min(512) } else { unit } }
    }
}

impl BlockDevice for SharedDevice {
    type Error = IoError;

    fn read(&mut self, offset: u64, buf: &mut [u8]) -> Result<(), IoError> {
        Ok(self.device.read_at(offset, buf)?)
    }
    fn write(&mut self, offset: u64, data: &[u8]) -> Result<(), IoError> {
        Ok(self.device.write_at(offset, data)?)
    }
    fn sync(&mut self) -> Result<(), IoError> {
        Ok(self.device.sync()?)
    }
    fn length(&mut self) -> Result<u64, IoError> {
        Ok(self.device.length()?)
    }
    fn grow(&mut self, length: u64) -> Result<(), IoError> {
        Ok(self.device.grow(length)?)
    }
    fn atomic_unit(&self) -> u32 {
        self.unit
    }
    fn start_sync(&mut self) {
        self.device.start_sync();
    }
    fn reads_come_from_medium(&self) -> bool {
        self.device.reads_come_from_medium()
    }
}

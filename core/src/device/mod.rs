//! What the engine asks of a device, and what a device may do to it when power fails.
//!
//! The contract below, not the signatures, is the interface: the crash simulator implements every
//! freedom it grants, and the engine survives all of them.

mod embedded;
pub(crate) mod io;
mod memory;

pub use embedded::{EmbeddedDevice, EmbeddedError};
pub(crate) use io::{Asked, Io};
#[cfg(feature = "alloc")]
pub use memory::VecDevice;
pub use memory::{MemoryDevice, MemoryError};

/// What kind of failure a device error is; decides between "full" and "poisoned".
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum DeviceErrorKind {
    /// The device has no room for the growth or the write.
    NoSpace,
    /// The device cannot be written.
    ReadOnly,
    /// The read, write, grow or sync failed for another reason.
    Other,
}

/// An error of a device.
pub trait DeviceError: core::error::Error + 'static {
    /// What kind of failure this is.
    fn kind(&self) -> DeviceErrorKind;
}

/// A device of bytes on which a store lives.
///
/// Offsets and lengths of [`write`](Self::write) are multiples of
/// [`atomic_unit`](Self::atomic_unit); those of [`read`](Self::read) too.
pub trait BlockDevice {
    /// The device's error.
    type Error: DeviceError;

    /// Fills `buf` with the bytes at `offset`.
    ///
    /// Sees every write that returned, synced or not. After a failed sync it may show bytes that
    /// the medium never got. Reading past the end is an error.
    ///
    /// # Errors
    /// The device's own; the engine hands it on and is not poisoned by it.
    fn read(&mut self, offset: u64, buf: &mut [u8]) -> Result<(), Self::Error>;

    /// Writes `data` at `offset`, inside the device's length.
    ///
    /// Until a later [`sync`](Self::sync) returns, a power cut may leave any subset of the atomic
    /// units written, in any order, and one unit torn (old and new bytes mixed). Units outside the
    /// range keep their bytes.
    ///
    /// # Errors
    /// After an error the range holds any mix of old and new bytes, and so what it held where both are the
    /// same; the store is poisoned.
    fn write(&mut self, offset: u64, data: &[u8]) -> Result<(), Self::Error>;

    /// Makes everything durable that was written, and the length that was grown to, before this
    /// call began: it survives a power cut once this returns Ok.
    ///
    /// # Errors
    /// After an error any of those writes may be lost even if a later sync succeeds and even while
    /// reads still show them; the store is poisoned.
    fn sync(&mut self) -> Result<(), Self::Error>;

    /// The device's length in bytes.
    ///
    /// # Errors
    /// The device's own.
    fn length(&mut self) -> Result<u64, Self::Error>;

    /// Makes the device at least `length` bytes long. New bytes read as anything.
    ///
    /// Until a later [`sync`](Self::sync) returns, a power cut may leave the old length, the new
    /// one or any between. A device of fixed size answers with [`DeviceErrorKind::NoSpace`].
    ///
    /// # Errors
    /// [`DeviceErrorKind::NoSpace`] means that nothing below the old length changed and the
    /// store is merely full; any other error poisons the store.
    fn grow(&mut self, length: u64) -> Result<(), Self::Error>;

    /// The largest aligned run of bytes that a power cut leaves either old or new or torn without
    /// touching its neighbours; a power of two, 1 to 4,096. Reads and writes are multiples of it, so a file whose unit is smaller
    /// is not opened, not even to be read.
    fn atomic_unit(&self) -> u32;

    /// Advice: begin to bring to the medium what was written, for a [`sync`](Self::sync) will follow. It
    /// neither waits nor promises anything.
    fn start_sync(&mut self) {}

    /// Whether what a read returns is known to be on the medium, so that recovery may skip writing
    /// it again (direct I/O, or a cache dropped before the open). When in doubt: false.
    fn reads_come_from_medium(&self) -> bool {
        false
    }
}

impl<D: BlockDevice + ?Sized> BlockDevice for &mut D {
    type Error = D::Error;

    fn read(&mut self, offset: u64, buf: &mut [u8]) -> Result<(), Self::Error> {
        (**self).read(offset, buf)
    }
    fn write(&mut self, offset: u64, data: &[u8]) -> Result<(), Self::Error> {
        (**self).write(offset, data)
    }
    fn sync(&mut self) -> Result<(), Self::Error> {
        (**self).sync()
    }
    fn length(&mut self) -> Result<u64, Self::Error> {
        (**self).length()
    }
    fn grow(&mut self, length: u64) -> Result<(), Self::Error> {
        (**self).grow(length)
    }
    fn atomic_unit(&self) -> u32 {
        (**self).atomic_unit()
    }
    fn start_sync(&mut self) {
        (**self).start_sync();
    }
    fn reads_come_from_medium(&self) -> bool {
        (**self).reads_come_from_medium()
    }
}

//! A device in memory that gives up when it is asked too often: then the engine runs in circles.

use blockyard_core::device::{BlockDevice, MemoryError, VecDevice};

/// Counts down the operations that are left. It panics at their end: a fuzzer takes that for a crash,
/// which a loop without an end is.
#[derive(Clone, Debug)]
pub struct Watched {
    inner: VecDevice,
    left: u32,
}

impl Watched {
    /// A device that holds `image`, may grow to `limit` bytes and answers `left` operations.
    #[must_use]
    pub const fn new(image: Vec<u8>, unit: u32, limit: u64, left: u32) -> Self {
        Self { inner: VecDevice::from_bytes(image, unit, limit), left }
    }

    /// The bytes as they stand.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        self.inner.bytes()
    }

    fn count(&mut self) {
        self.left = self.left.checked_sub(1).expect("bounded work: the device is asked again and again");
    }

    fn assert_whole(&self, offset: u64, length: usize) {
        let unit = u64::from(self.inner.atomic_unit());
        assert!(
            offset.is_multiple_of(unit) && (length as u64).is_multiple_of(unit),
            "whole units are asked for: {length} bytes at {offset}"
        );
    }
}

impl BlockDevice for Watched {
    type Error = MemoryError;

    fn read(&mut self, offset: u64, buf: &mut [u8]) -> Result<(), MemoryError> {
        self.count();
        self.assert_whole(offset, buf.len());
        self.inner.read(offset, buf)
    }
    fn write(&mut self, offset: u64, data: &[u8]) -> Result<(), MemoryError> {
        self.count();
        self.assert_whole(offset, data.len());
        self.inner.write(offset, data)
    }
    fn sync(&mut self) -> Result<(), MemoryError> {
        self.count();
        self.inner.sync()
    }
    fn length(&mut self) -> Result<u64, MemoryError> {
        self.inner.length()
    }
    fn grow(&mut self, length: u64) -> Result<(), MemoryError> {
        self.count();
        self.inner.grow(length)
    }
    fn atomic_unit(&self) -> u32 {
        self.inner.atomic_unit()
    }
}

//! A device that counts what is asked of it.

use blockyard_core::device::BlockDevice;
use blockyard_core::store::Bound;
use core::ops::Sub;

/// What was asked of a device.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Operations {
    /// Calls of read.
    pub reads: u32,
    /// Calls of write.
    pub writes: u32,
    /// Units of 512 bytes written.
    pub sectors: u32,
    /// Calls of sync.
    pub syncs: u32,
}

impl Operations {
    /// The larger of each number.
    #[must_use]
    pub fn max(self, other: Self) -> Self {
        Self {
            reads: self.reads.max(other.reads),
            writes: self.writes.max(other.writes),
            sectors: self.sectors.max(other.sectors),
            syncs: self.syncs.max(other.syncs),
        }
    }

    /// Whether no number is above what is documented.
    #[must_use]
    pub fn within(self, bound: Bound) -> bool {
        let Self { reads, writes, syncs, .. } = self;
        u64::from(reads) <= bound.reads
            && u64::from(writes) <= bound.writes
            && u64::from(syncs) <= bound.syncs
    }
}

impl Sub for Operations {
    type Output = Self;

    fn sub(self, before: Self) -> Self {
        Self {
            reads: self.reads - before.reads,
            writes: self.writes - before.writes,
            sectors: self.sectors - before.sectors,
            syncs: self.syncs - before.syncs,
        }
    }
}

/// A device that counts.
#[derive(Debug)]
pub struct Counted<D> {
    /// The device underneath.
    pub inner: D,
    /// Its operations so far.
    pub so_far: Operations,
}

impl<D> Counted<D> {
    /// Counts from zero.
    pub const fn new(inner: D) -> Self {
        Self { inner, so_far: Operations { reads: 0, writes: 0, sectors: 0, syncs: 0 } }
    }
}

impl<D: BlockDevice> BlockDevice for Counted<D> {
    type Error = D::Error;

    fn read(&mut self, offset: u64, buf: &mut [u8]) -> Result<(), D::Error> {
        self.so_far.reads += 1;
        self.inner.read(offset, buf)
    }

    fn write(&mut self, offset: u64, data: &[u8]) -> Result<(), D::Error> {
        self.so_far.writes += 1;
        self.so_far.sectors += data.len().div_ceil(512) as u32;
        self.inner.write(offset, data)
    }

    fn sync(&mut self) -> Result<(), D::Error> {
        self.so_far.syncs += 1;
        self.inner.sync()
    }

    fn length(&mut self) -> Result<u64, D::Error> {
        self.inner.length()
    }

    fn grow(&mut self, length: u64) -> Result<(), D::Error> {
        self.inner.grow(length)
    }

    fn atomic_unit(&self) -> u32 {
        self.inner.atomic_unit()
    }
}

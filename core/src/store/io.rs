//! The device as the store sees it: every operation counted, the first failure remembered.

use crate::device::{BlockDevice, DeviceError, DeviceErrorKind};

/// What a store has asked of its device since it was opened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Calls of read.
    pub reads: u64,
    /// Bytes read.
    pub bytes_read: u64,
    /// Calls of write.
    pub writes: u64,
    /// Bytes written.
    pub bytes_written: u64,
    /// Calls of sync.
    pub syncs: u64,
    /// Calls of grow.
    pub grows: u64,
    /// Checkpoints made durable.
    pub checkpoints: u64,
}

/// A device that counts, and that is poisoned by its first failed write, grow or sync: from then on
/// nothing is written, because nobody can know what the medium holds.
#[derive(Debug)]
pub(crate) struct Io<D> {
    pub(crate) device: D,
    pub(crate) counters: Counters,
    pub(crate) poisoned: bool,
    /// Bytes written since the device was last told to sync, or to start with it.
    unstarted: u64,
}

/// Bytes that are worth starting on before the sync: fewer are written as quickly by the sync itself.
const WORTH_STARTING: u64 = 256 << 10;

impl<D: BlockDevice> Io<D> {
    pub(crate) fn new(device: D) -> Self {
        Self { device, counters: Counters::default(), poisoned: false, unstarted: 0 }
    }

    /// Lets the device begin with what was written while there is other work to do, if it is much.
    pub(crate) fn start_sync_of_much(&mut self) {
        if self.unstarted >= WORTH_STARTING {
            self.start_sync();
        }
    }

    fn watched<T>(&mut self, result: Result<T, D::Error>) -> Result<T, D::Error> {
        self.poisoned |= result.is_err();
        result
    }
}

impl<D: BlockDevice> BlockDevice for Io<D> {
    type Error = D::Error;

    fn read(&mut self, offset: u64, buf: &mut [u8]) -> Result<(), D::Error> {
        self.counters.reads += 1;
        self.counters.bytes_read += buf.len() as u64;
        self.device.read(offset, buf)
    }

    fn write(&mut self, offset: u64, data: &[u8]) -> Result<(), D::Error> {
        self.counters.writes += 1;
        self.counters.bytes_written += data.len() as u64;
        self.unstarted += data.len() as u64;
        let result = self.device.write(offset, data);
        self.watched(result)
    }

    fn sync(&mut self) -> Result<(), D::Error> {
        self.counters.syncs += 1;
        self.unstarted = 0;
        let result = self.device.sync();
        self.watched(result)
    }

    fn length(&mut self) -> Result<u64, D::Error> {
        self.device.length()
    }

    /// A device that has no room has changed nothing: the store is full, not poisoned.
    fn grow(&mut self, length: u64) -> Result<(), D::Error> {
        self.counters.grows += 1;
        let result = self.device.grow(length);
        match &result {
            Err(error) if error.kind() == DeviceErrorKind::NoSpace => result,
            _ => self.watched(result),
        }
    }

    fn atomic_unit(&self) -> u32 {
        self.device.atomic_unit()
    }

    fn start_sync(&mut self) {
        self.unstarted = 0;
        self.device.start_sync();
    }

    fn reads_come_from_medium(&self) -> bool {
        self.device.reads_come_from_medium()
    }
}

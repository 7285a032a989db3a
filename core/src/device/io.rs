//! The device as the store sees it: every operation counted, the first failure remembered, of the last one what a
//! caller is to be told.

use super::{BlockDevice, DeviceError as _, DeviceErrorKind};
use crate::error::{Damage, OpenError, ReadError, Structure, WriteError};
use crate::failure::{Failure, Kept};

/// What a store has asked of its device since it was opened. Without the feature `alloc` it counts up to 2^32 and then from 0
/// on again.
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

/// A number of [`Asked`]: where there is no heap memory is dear.
#[cfg(feature = "alloc")]
type Number = u64;
#[cfg(not(feature = "alloc"))]
type Number = u32;

/// A number as it is shown.
#[cfg(feature = "alloc")]
const fn wide(number: Number) -> u64 {
    number
}
#[cfg(not(feature = "alloc"))]
const fn wide(number: Number) -> u64 {
    number as u64
}

/// The [`Counters`] as they are kept.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Asked {
    reads: Number,
    bytes_read: Number,
    writes: Number,
    bytes_written: Number,
    syncs: Number,
    grows: Number,
    checkpoints: Number,
}

impl Asked {
    const NOTHING: Self =
        Self { reads: 0, bytes_read: 0, writes: 0, bytes_written: 0, syncs: 0, grows: 0, checkpoints: 0 };

    /// A checkpoint is durable.
    pub(crate) const fn checkpoint(&mut self) {
        self.checkpoints = self.checkpoints.wrapping_add(1);
    }

    /// What was asked so far.
    pub(crate) const fn shown(&self) -> Counters {
        Counters {
            reads: wide(self.reads),
            bytes_read: wide(self.bytes_read),
            writes: wide(self.writes),
            bytes_written: wide(self.bytes_written),
            syncs: wide(self.syncs),
            grows: wide(self.grows),
            checkpoints: wide(self.checkpoints),
        }
    }
}

/// Counts one more operation, and its bytes.
const fn count(operations: &mut Number, bytes: &mut Number, length: usize) {
    *operations = operations.wrapping_add(1);
    *bytes = bytes.wrapping_add(length as Number);
}

/// A device that counts, and that is poisoned by its first failed write, grow or sync: from then on
/// nothing is written, because nobody can know what the medium holds.
#[derive(Debug)]
pub(crate) struct Io<D: BlockDevice> {
    pub(crate) device: D,
    pub(crate) asked: Asked,
    pub(crate) poisoned: bool,
    /// Bytes written since the device was last told to sync, or to start with it. Where there is no heap nothing is as much.
    #[cfg(feature = "alloc")]
    unstarted: u64,
    /// Of the last failure what its name does not say.
    kept: Kept<D::Error>,
}

/// Bytes that are worth starting on before the sync: fewer are written as quickly by the sync itself.
#[cfg(feature = "alloc")]
const WORTH_STARTING: u64 = 256 << 10;

impl<D: BlockDevice> Io<D> {
    pub(crate) fn new(device: D) -> Self {
        Self {
            device,
            asked: Asked::NOTHING,
            poisoned: false,
            #[cfg(feature = "alloc")]
            unstarted: 0,
            kept: Kept::Nothing,
        }
    }

    /// Lets the device begin with what was written while there is other work to do, if it is much.
    pub(crate) fn start_sync_of_much(&mut self) {
        #[cfg(feature = "alloc")]
        if self.unstarted >= WORTH_STARTING {
            self.start_sync();
        }
    }

    /// Keeps what a failure says besides its name.
    pub(crate) fn fails(&mut self, failure: Failure, kept: Kept<D::Error>) -> Failure {
        self.kept = kept;
        failure
    }

    /// The failure of bytes that are not what was written there.
    #[cold]
    #[inline(never)]
    pub(crate) fn damaged(&mut self, what: Structure, offset: u64) -> Failure {
        self.fails(Failure::Corrupted, Kept::Place(Damage { what, offset }))
    }

    /// The failure of a caller's buffer of less than `needed` bytes.
    #[cold]
    #[inline(never)]
    pub(crate) fn too_small(&mut self, needed: u64) -> Failure {
        self.fails(Failure::BufferTooSmall, Kept::Needed(needed))
    }

    /// The place of the damage that was met last, if that was the last failure.
    pub(crate) const fn damage(&self) -> Option<Damage> {
        if let Kept::Place(damage) = &self.kept { Some(*damage) } else { None }
    }

    /// A failure as the error that a public call answers with.
    pub(crate) fn read_error(&mut self, failure: Failure) -> ReadError<D::Error> {
        failure.of_read(core::mem::replace(&mut self.kept, Kept::Nothing))
    }

    /// As [`read_error`](Self::read_error), of a call that changes something.
    pub(crate) fn write_error(&mut self, failure: Failure) -> WriteError<D::Error> {
        failure.of_write(core::mem::replace(&mut self.kept, Kept::Nothing))
    }

    /// As [`read_error`](Self::read_error), of a call that opens or creates.
    pub(crate) fn open_error(&mut self, failure: Failure) -> OpenError<D::Error> {
        failure.of_open(core::mem::replace(&mut self.kept, Kept::Nothing), self.poisoned)
    }

    /// Keeps the device's error, if there is one.
    fn heard<T>(&mut self, result: Result<T, D::Error>) -> Result<T, Failure> {
        result.map_err(|error| self.fails(Failure::Device, Kept::Error(error)))
    }

    /// As [`heard`](Self::heard), of an operation after whose failure nothing may be written any more.
    fn watched(&mut self, result: Result<(), D::Error>) -> Result<(), Failure> {
        self.poisoned |= result.is_err();
        self.heard(result)
    }
}

impl<D: BlockDevice> BlockDevice for Io<D> {
    type Error = Failure;

    fn read(&mut self, offset: u64, buf: &mut [u8]) -> Result<(), Failure> {
        count(&mut self.asked.reads, &mut self.asked.bytes_read, buf.len());
        let result = self.device.read(offset, buf);
        self.heard(result)
    }

    fn write(&mut self, offset: u64, data: &[u8]) -> Result<(), Failure> {
        count(&mut self.asked.writes, &mut self.asked.bytes_written, data.len());
        #[cfg(feature = "alloc")]
        {
            self.unstarted += data.len() as u64;
        }
        let result = self.device.write(offset, data);
        self.watched(result)
    }

    fn sync(&mut self) -> Result<(), Failure> {
        self.asked.syncs = self.asked.syncs.wrapping_add(1);
        #[cfg(feature = "alloc")]
        {
            self.unstarted = 0;
        }
        let result = self.device.sync();
        self.watched(result)
    }

    fn length(&mut self) -> Result<u64, Failure> {
        let result = self.device.length();
        self.heard(result)
    }

    /// A device that has no room has changed nothing: the store is full, not poisoned.
    fn grow(&mut self, length: u64) -> Result<(), Failure> {
        self.asked.grows = self.asked.grows.wrapping_add(1);
        let result = self.device.grow(length);
        match result {
            Err(error) if error.kind() == DeviceErrorKind::NoSpace => Err(Failure::Full),
            result => self.watched(result),
        }
    }

    fn atomic_unit(&self) -> u32 {
        self.device.atomic_unit()
    }

    fn start_sync(&mut self) {
        #[cfg(feature = "alloc")]
        {
            self.unstarted = 0;
        }
        self.device.start_sync();
    }

    fn reads_come_from_medium(&self) -> bool {
        self.device.reads_come_from_medium()
    }
}

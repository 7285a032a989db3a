//! What can go wrong with a device, and the count of what did.

use blockyard_core::device::{DeviceError, DeviceErrorKind};
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};

/// An error of the simulated device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SimError {
    /// The power is gone.
    Cut,
    /// The operation that was to fail, failed.
    Eio,
    /// There is no room to grow.
    NoSpace,
    /// The range lies beyond the end.
    OutOfRange,
}

impl fmt::Display for SimError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Cut => "the simulated power is gone",
            Self::Eio => "a simulated I/O error",
            Self::NoSpace => "the simulated device is full",
            Self::OutOfRange => "the range lies beyond the end of the simulated device",
        })
    }
}

impl std::error::Error for SimError {}

impl DeviceError for SimError {
    fn kind(&self) -> DeviceErrorKind {
        if *self == Self::NoSpace { DeviceErrorKind::NoSpace } else { DeviceErrorKind::Other }
    }
}

/// An operation of a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    /// Reading bytes.
    Read,
    /// Writing bytes.
    Write,
    /// The barrier.
    Sync,
    /// Making the device longer.
    Grow,
}

impl Operation {
    /// Each of them.
    pub const ALL: [Self; 4] = [Self::Read, Self::Write, Self::Sync, Self::Grow];
}

/// What is to go wrong with an operation. Operations of each kind are counted from 0 on from when the
/// faults were [armed](crate::device::SimDevice::arm).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The change (write, sync or growth) of this number is the last one begun.
    CutAt(u64),
    /// The operation of this kind and number fails once; a failed write or sync leaves on the medium
    /// what it likes, and the cache shows all of it.
    Fails(Operation, u64),
    /// As above, and so does every later one of this kind.
    FailsFrom(Operation, u64),
    /// The reads of these numbers, the second not included, fail.
    ReadsFail(u64, u64),
    /// The growth of this number fails for want of room.
    NoSpaceAt(u64),
    /// As above, and so does every later one.
    NoSpaceFrom(u64),
    /// Syncs answer Ok and do nothing. No store survives that: it shows that the tests would see it.
    SyncsDoNothing,
    /// The write of this number answers Ok and never reaches the medium.
    LosesWrite(u64),
    /// The write of this number lands so many units away.
    MisdirectsWrite(u64, i64),
    /// The read of this number answers with what lies so many units away.
    MisdirectsRead(u64, i64),
    /// The read of this number answers with what was there before the last write.
    StaleRead(u64),
}

macro_rules! events {
    ($($event:ident => $name:literal,)*) => {
        /// Something that went wrong on purpose.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Event { $(#[doc = $name] $event,)* }

        impl Event {
            /// Each of them.
            pub const ALL: &[Self] = &[$(Self::$event,)*];

            /// Its name in tables.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(Self::$event => $name,)* }
            }
        }
    };
}

events! {
    PowerCut => "power cut under way",
    CutInRecovery => "power cut in recovery",
    SecondCut => "second power cut in recovery, in a row",
    ThirdCut => "third power cut in recovery, in a row",
    WriteLost => "unsynced write lost",
    WriteOvertook => "unsynced write kept, an earlier one lost",
    TornByte => "write torn at a byte",
    TornUnit => "write torn at 512 bytes",
    TornPage => "write torn at a page",
    GrowthLost => "growth lost",
    GrowthPartial => "growth partly there",
    ReadError => "read error, once",
    ReadErrorForEver => "read error, for ever",
    WriteError => "write error, once",
    WriteErrorForEver => "write error, for ever",
    SyncError => "sync error, once",
    SyncErrorForEver => "sync error, for ever",
    GrowError => "growth error",
    NoSpace => "no space to grow",
    DeletedWhenFull => "deletion from a full device after a cut",
    CacheLied => "failed sync, cache shows what the medium never got",
    BuiltOnLie => "power cut after a reopening on such a cache",
    BitRot => "bit rot",
    LatentSector => "unreadable sector",
    WriteMisdirected => "misdirected write",
    WriteDropped => "write silently dropped",
    ReadMisdirected => "misdirected read",
    ReadStale => "stale read",
}

/// How often each [`Event`] happened; shared by the threads of a campaign.
#[derive(Debug)]
pub struct Fired([AtomicU64; Event::ALL.len()]);

impl Default for Fired {
    fn default() -> Self {
        Self(std::array::from_fn(|_| AtomicU64::new(0)))
    }
}

impl Fired {
    /// Counts one.
    pub fn count(&self, event: Event) {
        self.0[event as usize].fetch_add(1, Ordering::Relaxed);
    }

    /// How often it happened.
    #[must_use]
    pub fn times(&self, event: Event) -> u64 {
        self.0[event as usize].load(Ordering::Relaxed)
    }
}

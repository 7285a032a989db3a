//! Devices that the tests put under a store: the simulated one, and one that asks first.

use blockyard::Device;
use blockyard_sim::device::SimDevice;
use blockyard_sim::fault::SimError;
use blockyard_sim::moment::{Moment, UNIT};
use std::collections::BTreeSet;
use std::fmt;
use std::io;
use std::sync::{Mutex, PoisonError};

/// What a device is asked to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Call {
    Read,
    Write,
    Sync,
    Grow,
}

/// Asks before each call, which may then wait, fail or panic.
pub(crate) struct Hooked<D> {
    pub(crate) device: D,
    ask: Box<dyn Fn(Call) -> io::Result<()> + Send + Sync>,
}

impl<D> Hooked<D> {
    pub(crate) fn new(device: D, ask: impl Fn(Call) -> io::Result<()> + Send + Sync + 'static) -> Self {
        Self { device, ask: Box::new(ask) }
    }
}

impl<D: fmt::Debug> fmt::Debug for Hooked<D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.device.fmt(f)
    }
}

impl<D: Device> Device for Hooked<D> {
    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<()> {
        (self.ask)(Call::Read)?;
        self.device.read_at(offset, buf)
    }
    fn write_at(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        (self.ask)(Call::Write)?;
        self.device.write_at(offset, data)
    }
    fn sync(&self) -> io::Result<()> {
        (self.ask)(Call::Sync)?;
        self.device.sync()
    }
    fn length(&self) -> io::Result<u64> {
        self.device.length()
    }
    fn grow(&self, length: u64) -> io::Result<()> {
        (self.ask)(Call::Grow)?;
        self.device.grow(length)
    }
    fn atomic_unit(&self) -> u32 {
        self.device.atomic_unit()
    }
}

/// The simulated device under a store of many threads. It keeps what a power cut may leave at the
/// changes (writes, syncs, growths) that were drawn for it.
#[derive(Debug)]
pub(crate) struct Simulated {
    pub(crate) sim: SimDevice,
    at: BTreeSet<u64>,
    moments: Mutex<Vec<Moment>>,
}

impl Simulated {
    pub(crate) fn new(sim: SimDevice, at: BTreeSet<u64>) -> Self {
        Self { sim, at, moments: Mutex::default() }
    }

    /// What was kept.
    pub(crate) fn moments(&self) -> Vec<Moment> {
        std::mem::take(&mut self.moments.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// A power cut now is one of the cases to look at.
    pub(crate) fn keep_moment(&self) {
        let moment = self.sim.moment();
        self.moments.lock().unwrap_or_else(PoisonError::into_inner).push(moment);
    }

    /// Before each change: the power may go here.
    fn change(&self) {
        if self.at.contains(&self.sim.changes()) {
            self.keep_moment();
        }
    }
}

fn failed(error: SimError) -> io::Error {
    let kind = match error {
        SimError::NoSpace => io::ErrorKind::StorageFull,
        SimError::OutOfRange => io::ErrorKind::UnexpectedEof,
        SimError::Cut | SimError::Eio => io::ErrorKind::Other,
    };
    io::Error::new(kind, error)
}

impl Device for Simulated {
    /// The simulated device reads whole units.
    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<()> {
        let start = offset / UNIT as u64 * UNIT as u64;
        let skipped = (offset - start) as usize;
        if skipped == 0 && buf.len().is_multiple_of(UNIT) {
            return self.sim.read_at(offset, buf).map_err(failed);
        }
        let mut units = vec![0; (skipped + buf.len()).next_multiple_of(UNIT)];
        self.sim.read_at(start, &mut units).map_err(failed)?;
        buf.copy_from_slice(&units[skipped..skipped + buf.len()]);
        Ok(())
    }
    fn write_at(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.change();
        self.sim.write_at(offset, data).map_err(failed)
    }
    fn sync(&self) -> io::Result<()> {
        self.change();
        // Before a sync is when the last record may be torn.
        if !self.at.is_empty() && self.sim.changes().is_multiple_of(4) {
            self.keep_moment();
        }
        self.sim.sync_all().map_err(failed)
    }
    /// Growth that a power cut left in part may end within a unit, which cannot be read.
    fn length(&self) -> io::Result<u64> {
        Ok(self.sim.len() / UNIT as u64 * UNIT as u64)
    }
    fn grow(&self, length: u64) -> io::Result<()> {
        self.change();
        self.sim.grow_to(length).map_err(failed)?;
        // A sync follows at once: this moment is seldom drawn.
        if !self.at.is_empty() && self.sim.changes().is_multiple_of(3) {
            self.keep_moment();
        }
        Ok(())
    }
    fn atomic_unit(&self) -> u32 {
        UNIT as u32
    }
}

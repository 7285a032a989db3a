//! A device in memory that loses power, and one that lies: every freedom that the contract of
//! [`BlockDevice`] grants is taken.
//!
//! | | holds |
//! |---|---|
//! | medium | what a power cut leaves for certain |
//! | pending | writes and growth that no sync has covered: any subset of their units may be on the medium |
//! | cache | what a read shows: all of it, even after a failed sync lost some for ever |

use blockyard_core::device::{BlockDevice, DeviceError, DeviceErrorKind};
use std::cell::RefCell;
use std::fmt;
use std::rc::Rc;

const UNIT: usize = 512;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CrashError {
    /// The power is gone.
    Cut,
    /// The operation that was to fail.
    Eio,
    NoSpace,
    OutOfRange,
}

impl fmt::Display for CrashError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self:?}")
    }
}

impl std::error::Error for CrashError {}

impl DeviceError for CrashError {
    fn kind(&self) -> DeviceErrorKind {
        if *self == Self::NoSpace { DeviceErrorKind::NoSpace } else { DeviceErrorKind::Other }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Operation {
    Read,
    Write,
    Sync,
    Grow,
}

/// What is to go wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// The change (write, sync or growth) of this number is the last one begun.
    CutAt(u64),
    /// The operation of this kind and number fails once; a failed write or sync leaves on the medium
    /// what it likes, the cache shows all of it.
    Fails(Operation, u64),
    /// The reads of these numbers fail.
    ReadsFail(u64, u64),
    /// As above, and the growth fails for want of room.
    NoSpaceAt(u64),
    /// Syncs answer Ok and do nothing. No store survives that: it shows that the tests would see it.
    SyncsDoNothing,
}

#[derive(Clone, Debug)]
enum Pending {
    Write { offset: u64, data: Rc<[u8]> },
    Grow { length: u64 },
}

/// What a power cut at one moment may make of the device, and what it may not.
#[derive(Clone, Debug)]
pub(crate) struct Moment {
    medium: Rc<Vec<u8>>,
    pending: Vec<Pending>,
    /// Number of the change that was under way.
    pub(crate) change: u64,
    /// The last commit that was answered durable.
    pub(crate) acknowledged: u64,
}

#[derive(Debug)]
struct Inner {
    medium: Rc<Vec<u8>>,
    cache: Vec<u8>,
    pending: Vec<Pending>,
    limit: u64,
    fault: Option<Fault>,
    rng: fastrand::Rng,
    counts: [u64; 4],
    moments: Option<Vec<Moment>>,
    acknowledged: u64,
    dead: bool,
}

/// A handle; clones are the same device.
#[derive(Clone, Debug)]
pub(crate) struct CrashDevice(Rc<RefCell<Inner>>);

impl CrashDevice {
    /// A device that holds `medium`, durably, and may grow to `limit` bytes.
    pub(crate) fn new(medium: Vec<u8>, limit: u64, seed: u64) -> Self {
        Self(Rc::new(RefCell::new(Inner {
            cache: medium.clone(),
            medium: Rc::new(medium),
            pending: Vec::new(),
            limit,
            fault: None,
            rng: fastrand::Rng::with_seed(seed),
            counts: [0; 4],
            moments: None,
            acknowledged: 0,
            dead: false,
        })))
    }

    /// Counts operations from 0 and lets `fault` happen.
    pub(crate) fn arm(&self, fault: Option<Fault>) {
        let mut inner = self.0.borrow_mut();
        (inner.fault, inner.counts) = (fault, [0; 4]);
    }

    /// Keeps every moment from now on.
    pub(crate) fn record(&self) {
        self.0.borrow_mut().moments = Some(Vec::new());
    }

    /// The moments kept, and the one now.
    pub(crate) fn moments(&self) -> Vec<Moment> {
        let now = self.moment();
        let mut moments = self.0.borrow_mut().moments.take().unwrap_or_default();
        moments.push(now);
        moments
    }

    /// Tells the device what the store has promised.
    pub(crate) fn acknowledge(&self, sequence: u64) {
        let mut inner = self.0.borrow_mut();
        inner.acknowledged = inner.acknowledged.max(sequence);
    }

    pub(crate) fn acknowledged(&self) -> u64 {
        self.0.borrow().acknowledged
    }

    pub(crate) fn count(&self, operation: Operation) -> u64 {
        self.0.borrow().counts[operation as usize]
    }

    /// Writes, syncs and growths so far.
    pub(crate) fn changes(&self) -> u64 {
        self.0.borrow().changes()
    }

    pub(crate) fn moment(&self) -> Moment {
        self.0.borrow().moment()
    }
}

impl Moment {
    /// One of the states that a power cut at this moment may leave.
    pub(crate) fn state(&self, rng: &mut fastrand::Rng) -> Vec<u8> {
        let mode = rng.u8(..8);
        let one = rng.usize(..=self.pending.len());
        let chance = [10, 50, 90][rng.usize(..3)];
        let mut state = self.medium.to_vec();
        let mut grow_to = 0;
        for pending in &self.pending {
            if let Pending::Grow { length } = pending {
                let old = state.len().max(grow_to) as u64;
                grow_to = match rng.u8(..3) {
                    0 => old,
                    1 => *length,
                    _ => rng.u64(old.min(*length)..=*length),
                } as usize;
            }
        }
        while state.len() < grow_to {
            state.push(rng.u8(..));
        }
        for (index, pending) in self.pending.iter().enumerate() {
            let Pending::Write { offset, data } = pending else { continue };
            let whole = match mode {
                // Nothing, all, all up to one, all but one: of whole writes.
                0 => Some(false),
                1 => Some(true),
                2 => Some(index < one),
                3 => Some(index != one),
                // Some of the writes.
                4 | 5 => Some(rng.u8(..100) < chance),
                // Some of the units.
                _ => None,
            };
            for (number, unit) in data.chunks(UNIT).enumerate() {
                if whole.unwrap_or_else(|| rng.u8(..100) < chance) {
                    apply(&mut state, *offset as usize + number * UNIT, unit);
                }
            }
        }
        self.tear(&mut state, rng);
        state
    }

    /// Leaves one unit torn, at any byte.
    fn tear(&self, state: &mut [u8], rng: &mut fastrand::Rng) {
        if rng.bool() || self.pending.is_empty() {
            return;
        }
        // Mostly the last write: it is the one that was under way.
        let index = if rng.u8(..3) > 0 { self.pending.len() - 1 } else { rng.usize(..self.pending.len()) };
        let Pending::Write { offset, data } = &self.pending[index] else { return };
        let unit = rng.usize(..data.len().div_ceil(UNIT));
        let new = &data[unit * UNIT..data.len().min((unit + 1) * UNIT)];
        let at = *offset as usize + unit * UNIT;
        let split = rng.usize(..=new.len());
        match rng.u8(..3) {
            0 => apply(state, at, &new[..split]),
            1 => apply(state, at + split, &new[split..]),
            _ => (0..new.len())
                .filter(|_| rng.bool())
                .for_each(|byte| apply(state, at + byte, &new[byte..=byte])),
        }
    }

    /// Everything pending but the first unit of the first write.
    pub(crate) fn without_first_unit(&self) -> Vec<u8> {
        let mut state = self.medium.to_vec();
        let mut lost = None;
        for pending in &self.pending {
            let Pending::Write { offset, data } = pending else { continue };
            let lost = *lost.get_or_insert(*offset as usize);
            for (number, unit) in data.chunks(UNIT).enumerate() {
                let at = *offset as usize + number * UNIT;
                if at != lost {
                    apply(&mut state, at, unit);
                }
            }
        }
        state
    }

    /// Number of units that may or may not be there.
    pub(crate) fn uncertain(&self) -> usize {
        self.pending
            .iter()
            .map(|pending| match pending {
                Pending::Write { data, .. } => data.len().div_ceil(UNIT),
                Pending::Grow { .. } => 1,
            })
            .sum()
    }

    /// Every subset of the units, if there are few of them.
    pub(crate) fn all_states(&self) -> Vec<Vec<u8>> {
        let units: Vec<(usize, &[u8])> = self
            .pending
            .iter()
            .flat_map(|pending| match pending {
                Pending::Write { offset, data } => data
                    .chunks(UNIT)
                    .enumerate()
                    .map(|(number, unit)| (*offset as usize + number * UNIT, unit))
                    .collect(),
                Pending::Grow { .. } => Vec::new(),
            })
            .collect();
        let length = self.pending.iter().fold(self.medium.len(), |length, pending| match pending {
            Pending::Grow { length: grown } => length.max(*grown as usize),
            Pending::Write { .. } => length,
        });
        (0..1_u32 << units.len())
            .map(|subset| {
                let mut state = self.medium.to_vec();
                state.resize(length, 0xEE);
                for (index, (at, unit)) in units.iter().enumerate() {
                    if subset & (1 << index) != 0 {
                        apply(&mut state, *at, unit);
                    }
                }
                state
            })
            .collect()
    }
}

/// Bytes beyond the end are lost: the growth that made room for them was.
fn apply(state: &mut [u8], at: usize, bytes: &[u8]) {
    let end = state.len().min(at + bytes.len());
    if at < end {
        state[at..end].copy_from_slice(&bytes[..end - at]);
    }
}

impl Inner {
    fn changes(&self) -> u64 {
        self.counts[1..].iter().sum()
    }

    fn moment(&self) -> Moment {
        Moment {
            medium: Rc::clone(&self.medium),
            pending: self.pending.clone(),
            change: self.changes(),
            acknowledged: self.acknowledged,
        }
    }

    /// Counts an operation and says what goes wrong with it.
    fn begin(&mut self, operation: Operation) -> Result<Option<Fault>, CrashError> {
        if self.dead {
            return Err(CrashError::Cut);
        }
        let (number, changes) = (self.counts[operation as usize], self.changes());
        self.counts[operation as usize] += 1;
        let hits = match self.fault {
            Some(Fault::CutAt(at)) => operation != Operation::Read && changes == at,
            Some(Fault::Fails(what, at)) => what == operation && number == at,
            Some(Fault::ReadsFail(from, to)) => operation == Operation::Read && (from..to).contains(&number),
            Some(Fault::NoSpaceAt(at)) => operation == Operation::Grow && number == at,
            Some(Fault::SyncsDoNothing) => operation == Operation::Sync,
            None => false,
        };
        Ok(self.fault.filter(|_| hits))
    }

    fn keep_moment(&mut self) {
        let moment = self.moment();
        if let Some(moments) = &mut self.moments {
            moments.push(moment);
        }
    }

    /// After a failed sync: some of what was pending is on the medium, the rest never will be.
    fn lose_some(&mut self) {
        let moment = self.moment();
        let mut state = moment.state(&mut self.rng);
        // The length that a sync failed on is kept by the system all the same.
        if state.len() < self.cache.len() {
            state.resize(self.cache.len(), 0xDD);
        }
        self.medium = Rc::new(state);
        self.pending.clear();
    }
}

impl BlockDevice for CrashDevice {
    type Error = CrashError;

    fn read(&mut self, offset: u64, buf: &mut [u8]) -> Result<(), CrashError> {
        let mut inner = self.0.borrow_mut();
        if inner.begin(Operation::Read)?.is_some() {
            return Err(CrashError::Eio);
        }
        assert!(
            offset.is_multiple_of(UNIT as u64) && buf.len().is_multiple_of(UNIT),
            "reads are whole units"
        );
        let start = offset as usize;
        let found = inner.cache.get(start..start + buf.len()).ok_or(CrashError::OutOfRange)?;
        buf.copy_from_slice(found);
        Ok(())
    }

    fn write(&mut self, offset: u64, data: &[u8]) -> Result<(), CrashError> {
        let mut inner = self.0.borrow_mut();
        let fault = inner.begin(Operation::Write)?;
        assert!(
            offset.is_multiple_of(UNIT as u64) && data.len().is_multiple_of(UNIT),
            "writes are whole units"
        );
        let start = offset as usize;
        inner.cache.get_mut(start..start + data.len()).ok_or(CrashError::OutOfRange)?.copy_from_slice(data);
        inner.pending.push(Pending::Write { offset, data: data.into() });
        inner.keep_moment();
        match fault {
            Some(Fault::CutAt(_)) => {
                inner.dead = true;
                Err(CrashError::Cut)
            }
            Some(_) => {
                // The range holds any mix of old and new, and reads show it.
                let unit = inner.rng.usize(..data.len() / UNIT);
                let garbage = inner.rng.u8(..);
                if inner.rng.bool() {
                    inner.cache[start + unit * UNIT..start + (unit + 1) * UNIT].fill(garbage);
                    let torn: Rc<[u8]> = inner.cache[start..start + data.len()].into();
                    inner.pending.push(Pending::Write { offset, data: torn });
                }
                Err(CrashError::Eio)
            }
            None => Ok(()),
        }
    }

    fn sync(&mut self) -> Result<(), CrashError> {
        let mut inner = self.0.borrow_mut();
        let fault = inner.begin(Operation::Sync)?;
        inner.keep_moment();
        match fault {
            Some(Fault::CutAt(_)) => {
                inner.dead = true;
                Err(CrashError::Cut)
            }
            Some(Fault::SyncsDoNothing) => Ok(()),
            Some(_) => {
                inner.lose_some();
                Err(CrashError::Eio)
            }
            None => {
                inner.medium = Rc::new(inner.cache_of_pending());
                inner.pending.clear();
                Ok(())
            }
        }
    }

    fn length(&mut self) -> Result<u64, CrashError> {
        Ok(self.0.borrow().cache.len() as u64)
    }

    fn grow(&mut self, length: u64) -> Result<(), CrashError> {
        let mut inner = self.0.borrow_mut();
        let fault = inner.begin(Operation::Grow)?;
        if length <= inner.cache.len() as u64 {
            return Ok(());
        }
        if length > inner.limit || matches!(fault, Some(Fault::NoSpaceAt(_))) {
            return Err(CrashError::NoSpace);
        }
        let garbage = inner.rng.u8(..);
        inner.cache.resize(length as usize, garbage);
        inner.pending.push(Pending::Grow { length });
        inner.keep_moment();
        match fault {
            Some(Fault::CutAt(_)) => {
                inner.dead = true;
                Err(CrashError::Cut)
            }
            Some(_) => Err(CrashError::Eio),
            None => Ok(()),
        }
    }

    fn atomic_unit(&self) -> u32 {
        UNIT as u32
    }
}

impl Inner {
    /// The medium once everything pending has come to it. Not the cache: after a failed sync that
    /// shows bytes that no later sync brings to the medium.
    fn cache_of_pending(&self) -> Vec<u8> {
        let mut state = self.medium.to_vec();
        state.resize(self.cache.len(), 0xCC);
        for pending in &self.pending {
            if let Pending::Write { offset, data } = pending {
                apply(&mut state, *offset as usize, data);
            }
        }
        state
    }
}

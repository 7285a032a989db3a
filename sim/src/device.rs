//! A device in memory that loses power, fails and lies: every freedom that the contract of
//! [`BlockDevice`] grants is taken, and on demand some that it does not grant.
//!
//! | | holds |
//! |---|---|
//! | medium | what a power cut leaves for certain |
//! | pending | writes and growth that no sync has covered: any part of them may be on the medium |
//! | cache | what a read shows: all of it, even after a failed sync lost some for ever |
//!
//! 1. Bytes come to the medium by a sync that answers Ok, by one that fails (some of them), and by
//!    nothing else.
//! 2. A failed sync leaves nothing pending: no later one brings what it lost.
//! 3. Faults lie over this; without any the device keeps its contract.

use crate::fault::{Event, Fault, Fired, Operation, SimError};
use crate::image::Image;
use crate::moment::{Moment, Pending, UNIT};
use blockyard_core::device::BlockDevice;
use std::collections::{BTreeSet, HashMap, VecDeque};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Operations that a trace keeps.
const TRACED: usize = 48;

/// A step of a trace.
#[derive(Clone, Copy, Debug)]
struct Step {
    operation: Operation,
    offset: u64,
    length: u64,
    outcome: Result<(), SimError>,
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { operation, offset, length, outcome } = self;
        match operation {
            Operation::Sync => write!(f, "sync")?,
            Operation::Grow => write!(f, "grow to {length}")?,
            _ => write!(f, "{operation:?} {length} at {offset}")?,
        }
        match outcome {
            Ok(()) => Ok(()),
            Err(error) => write!(f, ": {error}"),
        }
    }
}

struct Inner {
    medium: Image,
    cache: Image,
    pending: Vec<Pending>,
    limit: u64,
    /// The atomic unit in bytes.
    unit: usize,
    faults: Vec<Fault>,
    rng: fastrand::Rng,
    counts: [u64; 4],
    moments: Option<Vec<Moment>>,
    acknowledged: u64,
    dead: bool,
    /// Units that cannot be read until they are written.
    latent: BTreeSet<u64>,
    /// Units that were written.
    written: BTreeSet<u64>,
    /// What each unit held before its last write, if a read is to be stale.
    before: HashMap<u64, Box<[u8]>>,
    /// The medium lacks, since a sync failed, what the cache shows.
    lied: bool,
    trace: VecDeque<Step>,
    fired: Arc<Fired>,
}

/// A handle; clones are the same device.
#[derive(Clone)]
pub struct SimDevice(Arc<Mutex<Inner>>);

impl fmt::Debug for SimDevice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let inner = self.inner();
        f.debug_struct("SimDevice").field("length", &inner.cache.len()).finish_non_exhaustive()
    }
}

impl SimDevice {
    /// A device that holds `medium`, durably, and may grow to `limit` bytes.
    #[must_use]
    pub fn new(medium: impl Into<Image>, limit: u64, seed: u64) -> Self {
        Self::counting(medium, limit, seed, Arc::default())
    }

    /// As [`new`](Self::new); what goes wrong is counted in `fired`.
    #[must_use]
    pub fn counting(medium: impl Into<Image>, limit: u64, seed: u64, fired: Arc<Fired>) -> Self {
        let medium = medium.into();
        Self(Arc::new(Mutex::new(Inner {
            cache: medium.clone(),
            medium,
            written: BTreeSet::new(),
            pending: Vec::new(),
            limit,
            unit: UNIT,
            faults: Vec::new(),
            rng: fastrand::Rng::with_seed(seed),
            counts: [0; 4],
            moments: None,
            acknowledged: 0,
            dead: false,
            latent: BTreeSet::new(),
            before: HashMap::new(),
            lied: false,
            trace: VecDeque::new(),
            fired,
        })))
    }

    /// The same device with an atomic unit of so many bytes, a power of two up to 4,096.
    #[must_use]
    pub fn with_unit(self, unit: usize) -> Self {
        self.inner().unit = unit;
        self
    }

    /// Bytes of its atomic unit.
    #[must_use]
    pub fn unit(&self) -> usize {
        self.inner().unit
    }

    /// A thread that panics while it holds the device is a test that fails anyway.
    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts operations from 0 and lets these faults happen, each independently.
    pub fn arm(&self, faults: impl IntoIterator<Item = Fault>) {
        let mut inner = self.inner();
        inner.faults = faults.into_iter().collect();
        inner.counts = [0; 4];
    }

    /// Keeps every moment from now on.
    pub fn record(&self) {
        self.inner().moments = Some(Vec::new());
    }

    /// The moments kept, and the one now.
    #[must_use]
    pub fn moments(&self) -> Vec<Moment> {
        let mut inner = self.inner();
        let now = inner.moment();
        let mut moments = inner.moments.take().unwrap_or_default();
        moments.push(now);
        moments
    }

    /// What a power cut now may leave.
    #[must_use]
    pub fn moment(&self) -> Moment {
        self.inner().moment()
    }

    /// Tells the device what the store has promised: the last commit answered durable.
    pub fn acknowledge(&self, sequence: u64) {
        let mut inner = self.inner();
        inner.acknowledged = inner.acknowledged.max(sequence);
    }

    /// The last commit that was answered durable.
    #[must_use]
    pub fn acknowledged(&self) -> u64 {
        self.inner().acknowledged
    }

    /// Operations of this kind since the faults were armed.
    #[must_use]
    pub fn count(&self, operation: Operation) -> u64 {
        self.inner().counts[operation as usize]
    }

    /// Writes, syncs and growths since the faults were armed.
    #[must_use]
    pub fn changes(&self) -> u64 {
        self.inner().changes()
    }

    /// Whether the medium lacks, since a sync failed, what the cache shows.
    #[must_use]
    pub fn has_lied(&self) -> bool {
        self.inner().lied
    }

    /// What reads show now.
    #[must_use]
    pub fn image(&self) -> Image {
        self.inner().cache.clone()
    }

    /// Flips `bits` of one unit at rest, on the medium and in the cache.
    pub fn rot(&self, unit: u64, bits: usize) {
        let mut inner = self.inner();
        for _ in 0..bits {
            let size = inner.unit;
            let at = unit as usize * size + inner.rng.usize(..size);
            let bit = 1 << inner.rng.u8(..8);
            let mut byte = [0];
            inner.cache.read(at, &mut byte);
            byte[0] ^= bit;
            inner.cache.write(at, &byte);
            inner.medium.write(at, &byte);
        }
        inner.fired.count(Event::BitRot);
    }

    /// Makes a unit unreadable until it is written.
    pub fn lose_sector(&self, unit: u64) {
        self.inner().latent.insert(unit);
    }

    /// Units that were written, in order of their place.
    #[must_use]
    pub fn written(&self) -> Vec<u64> {
        self.inner().written.iter().copied().collect()
    }

    /// The last operations, oldest first.
    #[must_use]
    pub fn trace(&self) -> String {
        self.inner().trace.iter().map(|step| format!("  {step}\n")).collect()
    }

    /// As [`BlockDevice::read`].
    ///
    /// # Errors
    /// A fault, or a range beyond the end.
    pub fn read_at(&self, offset: u64, buf: &mut [u8]) -> Result<(), SimError> {
        let mut inner = self.inner();
        let outcome = inner.read(offset, buf);
        inner.note(Operation::Read, offset, buf.len() as u64, outcome)
    }

    /// As [`BlockDevice::write`].
    ///
    /// # Errors
    /// A fault, or a range beyond the end.
    pub fn write_at(&self, offset: u64, data: &[u8]) -> Result<(), SimError> {
        let mut inner = self.inner();
        let outcome = inner.write(offset, data);
        inner.note(Operation::Write, offset, data.len() as u64, outcome)
    }

    /// As [`BlockDevice::sync`].
    ///
    /// # Errors
    /// A fault.
    pub fn sync_all(&self) -> Result<(), SimError> {
        let mut inner = self.inner();
        let outcome = inner.sync();
        inner.note(Operation::Sync, 0, 0, outcome)
    }

    /// As [`BlockDevice::grow`].
    ///
    /// # Errors
    /// A fault, or a length beyond the limit.
    pub fn grow_to(&self, length: u64) -> Result<(), SimError> {
        let mut inner = self.inner();
        let outcome = inner.grow(length);
        inner.note(Operation::Grow, 0, length, outcome)
    }

    /// The length in bytes.
    #[must_use]
    pub fn len(&self) -> u64 {
        self.inner().cache.len() as u64
    }

    /// Whether it has no bytes at all.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl BlockDevice for SimDevice {
    type Error = SimError;

    fn read(&mut self, offset: u64, buf: &mut [u8]) -> Result<(), SimError> {
        self.read_at(offset, buf)
    }
    fn write(&mut self, offset: u64, data: &[u8]) -> Result<(), SimError> {
        self.write_at(offset, data)
    }
    fn sync(&mut self) -> Result<(), SimError> {
        self.sync_all()
    }
    fn length(&mut self) -> Result<u64, SimError> {
        Ok(self.len())
    }
    fn grow(&mut self, length: u64) -> Result<(), SimError> {
        self.grow_to(length)
    }
    fn atomic_unit(&self) -> u32 {
        self.unit() as u32
    }
}

impl Inner {
    fn changes(&self) -> u64 {
        self.counts[1..].iter().sum()
    }

    /// The units of a range.
    const fn units(&self, offset: u64, length: usize) -> std::ops::Range<u64> {
        let unit = self.unit as u64;
        offset / unit..(offset + length as u64) / unit
    }

    fn moment(&self) -> Moment {
        Moment {
            medium: self.medium.clone(),
            pending: self.pending.clone(),
            unit: self.unit,
            change: self.changes(),
            acknowledged: self.acknowledged,
        }
    }

    fn note(
        &mut self,
        operation: Operation,
        offset: u64,
        length: u64,
        outcome: Result<(), SimError>,
    ) -> Result<(), SimError> {
        if self.trace.len() == TRACED {
            self.trace.pop_front();
        }
        self.trace.push_back(Step { operation, offset, length, outcome });
        outcome
    }

    /// Counts an operation and says what goes wrong with it.
    fn begin(&mut self, operation: Operation) -> Result<Option<Fault>, SimError> {
        if self.dead {
            return Err(SimError::Cut);
        }
        let (number, changes) = (self.counts[operation as usize], self.changes());
        self.counts[operation as usize] += 1;
        let hits = |fault: &Fault| match *fault {
            Fault::CutAt(at) => operation != Operation::Read && changes == at,
            Fault::Fails(what, at) => what == operation && number == at,
            Fault::FailsFrom(what, at) => what == operation && number >= at,
            Fault::ReadsFail(from, to) => operation == Operation::Read && (from..to).contains(&number),
            Fault::NoSpaceAt(at) => operation == Operation::Grow && number == at,
            Fault::NoSpaceFrom(at) => operation == Operation::Grow && number >= at,
            Fault::SyncsDoNothing => operation == Operation::Sync,
            Fault::LosesWrite(at) | Fault::MisdirectsWrite(at, _) => {
                operation == Operation::Write && number == at
            }
            Fault::MisdirectsRead(at, _) | Fault::StaleRead(at) => {
                operation == Operation::Read && number == at
            }
        };
        let fault = self.faults.iter().copied().find(hits);
        if let Some(event) = fault.and_then(|fault| event_of(fault, operation)) {
            self.fired.count(event);
        }
        Ok(fault)
    }

    fn keep_moment(&mut self) {
        let moment = self.moment();
        if let Some(moments) = &mut self.moments {
            moments.push(moment);
        }
    }

    fn range(&self, offset: u64, length: usize) -> Result<std::ops::Range<usize>, SimError> {
        let whole = offset.is_multiple_of(self.unit as u64) && length.is_multiple_of(self.unit);
        assert!(whole, "{length} bytes at {offset} are not whole units");
        let start = offset as usize;
        let end = start.checked_add(length).filter(|end| *end <= self.cache.len());
        Ok(start..end.ok_or(SimError::OutOfRange)?)
    }

    fn read(&mut self, offset: u64, buf: &mut [u8]) -> Result<(), SimError> {
        let fault = self.begin(Operation::Read)?;
        let range = self.range(offset, buf.len())?;
        if self.units(offset, buf.len()).any(|unit| self.latent.contains(&unit)) {
            self.fired.count(Event::LatentSector);
            return Err(SimError::Eio);
        }
        self.cache.read(range.start, buf);
        match fault {
            Some(Fault::MisdirectsRead(_, units)) => self.read_elsewhere(offset, units, buf),
            Some(Fault::StaleRead(_)) => self.read_stale(offset, buf),
            Some(_) => return Err(SimError::Eio),
            None => {}
        }
        Ok(())
    }

    fn read_elsewhere(&self, offset: u64, units: i64, buf: &mut [u8]) {
        let Some(offset) = offset.checked_add_signed(units * self.unit as i64) else { return };
        if let Ok(range) = self.range(offset, buf.len()) {
            let right = buf.to_vec();
            self.cache.read(range.start, buf);
            if right != buf {
                self.fired.count(Event::ReadMisdirected);
            }
        }
    }

    fn read_stale(&self, offset: u64, buf: &mut [u8]) {
        let mut stale = false;
        for (unit, part) in self.units(offset, buf.len()).zip(buf.chunks_mut(self.unit)) {
            if let Some(before) = self.before.get(&unit) {
                stale |= part != &before[..];
                part.copy_from_slice(before);
            }
        }
        if stale {
            self.fired.count(Event::ReadStale);
        }
    }

    fn write(&mut self, offset: u64, data: &[u8]) -> Result<(), SimError> {
        let fault = self.begin(Operation::Write)?;
        let range = self.range(offset, data.len())?;
        self.keep_before(offset, data.len());
        let old = matches!(fault, Some(Fault::Fails(..) | Fault::FailsFrom(..))).then(|| {
            let mut old = vec![0; data.len()];
            self.cache.read(range.start, &mut old);
            old
        });
        let (mut to, mut lost) = (offset, false);
        match fault {
            Some(Fault::LosesWrite(_)) => lost = true,
            Some(Fault::MisdirectsWrite(_, units)) => {
                let elsewhere = offset.checked_add_signed(units * self.unit as i64);
                to = elsewhere.filter(|at| self.range(*at, data.len()).is_ok()).unwrap_or(offset);
            }
            _ => {}
        }
        // The cache of a lost or misdirected write may show what was meant, or what is.
        if (!lost && to == offset) || self.rng.bool() {
            self.cache.write(range.start, data);
        }
        if to != offset {
            self.cache.write(to as usize, data);
            self.fired.count(Event::WriteMisdirected);
        }
        if !lost {
            let units = self.units(to, data.len());
            self.latent.retain(|unit| !units.contains(unit));
            self.written.extend(units);
            self.pending.push(Pending::Write { offset: to, data: data.into() });
        }
        self.keep_moment();
        match fault {
            Some(Fault::CutAt(_)) => {
                self.dead = true;
                Err(SimError::Cut)
            }
            Some(Fault::Fails(..) | Fault::FailsFrom(..)) => {
                self.mix(range, old.as_deref().unwrap_or_default(), data);
                Err(SimError::Eio)
            }
            _ => Ok(()),
        }
    }

    /// After a failed write the range holds any mix of old and new, and reads show it. Worse than that, a unit
    /// that was to change holds what nobody wrote; one that was to be what it was is that.
    fn mix(&mut self, range: std::ops::Range<usize>, old: &[u8], new: &[u8]) {
        if range.is_empty() || self.rng.bool() {
            return;
        }
        let size = self.unit;
        let within = self.rng.usize(..range.len() / size) * size;
        let unit = range.start + within;
        if old[within..within + size] == new[within..within + size] {
            return;
        }
        let garbage = self.rng.u8(..);
        self.cache.write(unit, &vec![garbage; size]);
        let mut data = vec![0; range.len()];
        self.cache.read(range.start, &mut data);
        self.pending.push(Pending::Write { offset: range.start as u64, data: data.into() });
    }

    fn keep_before(&mut self, offset: u64, length: usize) {
        if self.faults.iter().any(|fault| matches!(fault, Fault::StaleRead(_))) {
            for unit in self.units(offset, length) {
                let mut before = vec![0; self.unit];
                self.cache.read(unit as usize * self.unit, &mut before);
                self.before.insert(unit, before.into());
            }
        }
    }

    fn sync(&mut self) -> Result<(), SimError> {
        let fault = self.begin(Operation::Sync)?;
        match fault {
            Some(Fault::CutAt(_)) => {
                self.keep_moment();
                self.dead = true;
                Err(SimError::Cut)
            }
            Some(Fault::Fails(..) | Fault::FailsFrom(..)) => {
                self.lose_some();
                Err(SimError::Eio)
            }
            Some(Fault::SyncsDoNothing) => {
                self.keep_moment();
                Ok(())
            }
            _ => {
                self.bring();
                Ok(())
            }
        }
    }

    /// Everything pending comes to the medium. Not the cache: after a failed sync that shows bytes that
    /// no later sync brings.
    fn bring(&mut self) {
        self.medium.grow(self.cache.len(), 0xCC);
        for pending in self.pending.drain(..) {
            if let Pending::Write { offset, data } = pending {
                self.medium.write(offset as usize, &data);
            }
        }
    }

    /// After a failed sync: some of what was pending is on the medium, the rest never will be.
    fn lose_some(&mut self) {
        let moment = self.moment();
        let mut state = moment.state(&mut self.rng, &Fired::default());
        // The length that a sync failed on is kept by the system all the same.
        state.grow(self.cache.len(), 0xDD);
        if state != self.cache {
            self.lied = true;
            self.fired.count(Event::CacheLied);
        }
        self.medium = state;
        self.pending.clear();
    }

    fn grow(&mut self, length: u64) -> Result<(), SimError> {
        let fault = self.begin(Operation::Grow)?;
        if length <= self.cache.len() as u64 {
            return Ok(());
        }
        if length > self.limit || matches!(fault, Some(Fault::NoSpaceAt(_) | Fault::NoSpaceFrom(_))) {
            self.fired.count(Event::NoSpace);
            return Err(SimError::NoSpace);
        }
        let garbage = self.rng.u8(..);
        self.cache.grow(length as usize, garbage);
        self.pending.push(Pending::Grow { length });
        self.keep_moment();
        match fault {
            Some(Fault::CutAt(_)) => {
                self.dead = true;
                Err(SimError::Cut)
            }
            Some(_) => Err(SimError::Eio),
            None => Ok(()),
        }
    }
}

/// What happens by this fault whatever the operation's range. The others count themselves when their
/// answer differs from the right one.
fn event_of(fault: Fault, operation: Operation) -> Option<Event> {
    let failed = |once, for_ever, lasts| Some(if lasts { for_ever } else { once });
    let lasts = matches!(fault, Fault::FailsFrom(..));
    match fault {
        Fault::CutAt(_) => Some(Event::PowerCut),
        Fault::LosesWrite(_) => Some(Event::WriteDropped),
        Fault::ReadsFail(..) => Some(Event::ReadError),
        Fault::Fails(..) | Fault::FailsFrom(..) => match operation {
            Operation::Read => failed(Event::ReadError, Event::ReadErrorForEver, lasts),
            Operation::Write => failed(Event::WriteError, Event::WriteErrorForEver, lasts),
            Operation::Sync => failed(Event::SyncError, Event::SyncErrorForEver, lasts),
            Operation::Grow => Some(Event::GrowError),
        },
        _ => None,
    }
}

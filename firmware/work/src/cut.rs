//! A device that loses power.
//!
//! Until a sync returns a device may have put any of the writes since the last one on the medium, in any
//! order, and torn one of them ([`BlockDevice::write`]). What was there before each write is kept, so that
//! at the cut each of them is taken back or not, as a seed says, and the one under way is torn.

use blockyard_core::device::{BlockDevice, DeviceError, DeviceErrorKind};
use core::fmt;

/// What is written, and torn, as one.
pub const UNIT: usize = 512;
/// Bytes that one write taken back needs.
pub const UNDO: usize = UNIT + 8;

/// An error of a [`CutDevice`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CutError<E> {
    /// Power is gone.
    PowerLost,
    /// The device underneath failed.
    Device(E),
}

impl<E: fmt::Display> fmt::Display for CutError<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::PowerLost => f.write_str("power is gone"),
            Self::Device(error) => error.fmt(f),
        }
    }
}

impl<E: core::error::Error> core::error::Error for CutError<E> {}

impl<E: DeviceError> DeviceError for CutError<E> {
    fn kind(&self) -> DeviceErrorKind {
        match self {
            Self::PowerLost => DeviceErrorKind::Other,
            Self::Device(error) => error.kind(),
        }
    }
}

/// A device whose power is cut at one of its operations.
pub struct CutDevice<'a, D> {
    inner: D,
    /// Entries of [`UNDO`] bytes: where, and what was there.
    undo: &'a mut [u8],
    used: usize,
    /// Writes and syncs so far.
    operations: u32,
    cut_at: Option<u32>,
    seed: u32,
    /// Ends everything, on a chip by a reset; on a host it returns and all operations fail from then on.
    die: fn(),
    dead: bool,
    lies: bool,
}

impl<'a, D: BlockDevice> CutDevice<'a, D> {
    /// A device over `inner` that loses power at write or sync number `cut_at`, counted from 1. The more
    /// room `undo` has, the more unsynced writes may be lost.
    pub fn new(inner: D, undo: &'a mut [u8], cut_at: Option<u32>, seed: u32, die: fn()) -> Self {
        let seed = seed.wrapping_mul(2_654_435_761) | 1;
        Self { inner, undo, used: 0, operations: 0, cut_at, seed, die, dead: false, lies: false }
    }

    /// The same device with a bug: its syncs do nothing. A campaign that does not notice proves nothing.
    #[must_use]
    pub fn lying(self, lies: bool) -> Self {
        Self { lies, ..self }
    }

    /// Writes and syncs so far.
    pub const fn operations(&self) -> u32 {
        self.operations
    }

    /// Whether power was cut.
    pub const fn is_dead(&self) -> bool {
        self.dead
    }

    fn random(&mut self) -> u32 {
        self.seed ^= self.seed << 13;
        self.seed ^= self.seed >> 17;
        self.seed ^= self.seed << 5;
        self.seed
    }

    fn alive(&self) -> Result<(), CutError<D::Error>> {
        if self.dead { Err(CutError::PowerLost) } else { Ok(()) }
    }

    /// Counts an operation; true if power is cut at it.
    fn counts(&mut self) -> Result<bool, CutError<D::Error>> {
        self.alive()?;
        self.operations += 1;
        Ok(self.cut_at == Some(self.operations))
    }

    /// Keeps what the units of a write hold, as far as there is room.
    fn remember(&mut self, offset: u64, length: usize) -> Result<(), CutError<D::Error>> {
        let mut at = offset;
        while at < offset + length as u64 {
            let Some(entry) = self.undo.get_mut(self.used..self.used + UNDO) else { return Ok(()) };
            let (place, bytes) = entry.split_at_mut(8);
            place.copy_from_slice(&at.to_le_bytes());
            self.inner.read(at, bytes).map_err(CutError::Device)?;
            self.used += UNDO;
            at += UNIT as u64;
        }
        Ok(())
    }

    /// The end: some of the unsynced writes never happened.
    fn cut(&mut self) -> CutError<D::Error> {
        while self.used > 0 {
            self.used -= UNDO;
            let lost = !self.random().is_multiple_of(3);
            let Some(entry) = self.undo.get(self.used..self.used + UNDO).filter(|_| lost) else { continue };
            let (place, bytes) = entry.split_at(8);
            let mut offset = [0; 8];
            offset.copy_from_slice(place);
            if let Err(error) = self.inner.write(u64::from_le_bytes(offset), bytes) {
                return CutError::Device(error);
            }
        }
        self.dead = true;
        (self.die)();
        CutError::PowerLost
    }

    /// A unit that is new up to some byte and old from there on.
    fn tear(&mut self, offset: u64, data: &[u8]) -> Result<(), CutError<D::Error>> {
        let whole = self.random() as usize % data.len().div_ceil(UNIT) * UNIT;
        let Some((done, rest)) = data.split_at_checked(whole) else { return Ok(()) };
        if !done.is_empty() {
            self.inner.write(offset, done).map_err(CutError::Device)?;
        }
        let mut unit = [0; UNIT];
        let at = offset + whole as u64;
        self.inner.read(at, &mut unit).map_err(CutError::Device)?;
        let torn = (self.random() as usize % (UNIT + 1)).min(rest.len());
        if let (Some(new), Some(old)) = (rest.get(..torn), unit.get_mut(..torn)) {
            old.copy_from_slice(new);
        }
        self.inner.write(at, &unit).map_err(CutError::Device)
    }
}

impl<D: BlockDevice> BlockDevice for CutDevice<'_, D> {
    type Error = CutError<D::Error>;

    fn read(&mut self, offset: u64, buf: &mut [u8]) -> Result<(), Self::Error> {
        self.alive()?;
        self.inner.read(offset, buf).map_err(CutError::Device)
    }

    fn write(&mut self, offset: u64, data: &[u8]) -> Result<(), Self::Error> {
        let last = self.counts()?;
        if self.cut_at.is_some() {
            self.remember(offset, data.len())?;
        }
        if last {
            self.tear(offset, data)?;
            return Err(self.cut());
        }
        self.inner.write(offset, data).map_err(CutError::Device)
    }

    fn sync(&mut self) -> Result<(), Self::Error> {
        if self.counts()? {
            return Err(self.cut());
        }
        if !self.lies {
            self.used = 0;
        }
        self.inner.sync().map_err(CutError::Device)
    }

    fn length(&mut self) -> Result<u64, Self::Error> {
        self.alive()?;
        self.inner.length().map_err(CutError::Device)
    }

    fn grow(&mut self, length: u64) -> Result<(), Self::Error> {
        self.alive()?;
        self.inner.grow(length).map_err(CutError::Device)
    }

    fn atomic_unit(&self) -> u32 {
        self.inner.atomic_unit()
    }
}

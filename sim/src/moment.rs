//! What a power cut at one moment may leave: any subset of what no sync has covered, parts of writes,
//! growth that is there, or not, or in part.

use crate::fault::{Event, Fired};
use crate::image::Image;
use std::sync::Arc;

/// The atomic unit of a simulated device in bytes, unless it is given another: the least that there is.
pub const UNIT: usize = 512;

/// The page of a device whose writes tear there.
const PAGE: usize = 4096;

/// Written or grown, and not covered by a sync.
#[derive(Clone, Debug)]
pub(crate) enum Pending {
    Write { offset: u64, data: Arc<[u8]> },
    Grow { length: u64 },
}

impl Pending {
    fn units(&self, unit: usize) -> usize {
        match self {
            Self::Write { data, .. } => data.len().div_ceil(unit),
            Self::Grow { .. } => 1,
        }
    }
}

/// A moment in the life of a device.
#[derive(Clone, Debug)]
pub struct Moment {
    pub(crate) medium: Image,
    pub(crate) pending: Vec<Pending>,
    /// The device's atomic unit in bytes.
    pub(crate) unit: usize,
    /// Number of the change that was under way.
    pub change: u64,
    /// The last commit that was answered durable.
    pub acknowledged: u64,
}

/// How a sampled state chooses what of a write is there.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Choice {
    None,
    All,
    UpTo(usize),
    AllBut(usize),
    Writes,
    Parts(usize),
}

impl Moment {
    /// Number of writes and growths that may or may not be there.
    #[must_use]
    pub fn pending(&self) -> usize {
        self.pending.len()
    }

    /// One of the states that a power cut at this moment may leave.
    #[must_use]
    pub fn state(&self, rng: &mut fastrand::Rng, fired: &Fired) -> Image {
        let one = rng.usize(..=self.pending.len());
        let choice = match rng.u8(..9) {
            0 => Choice::None,
            1 => Choice::All,
            2 => Choice::UpTo(one),
            3 => Choice::AllBut(one),
            4 | 5 => Choice::Writes,
            6 => Choice::Parts(PAGE),
            _ => Choice::Parts(self.unit),
        };
        let chance = [10, 50, 90][rng.usize(..3)];
        let mut state = self.grown(rng, fired);
        let mut lost = false;
        for (index, pending) in self.pending.iter().enumerate() {
            let Pending::Write { offset, data } = pending else { continue };
            let (size, whole) = match choice {
                Choice::None => (PAGE, Some(false)),
                Choice::All => (PAGE, Some(true)),
                Choice::UpTo(one) => (PAGE, Some(index < one)),
                Choice::AllBut(one) => (PAGE, Some(index != one)),
                Choice::Writes => (PAGE, Some(rng.u8(..100) < chance)),
                Choice::Parts(size) => (size, None),
            };
            let (mut there, mut parts) = (0, 0);
            for (number, part) in data.chunks(size).enumerate() {
                parts += 1;
                if whole.unwrap_or_else(|| rng.u8(..100) < chance) {
                    there += 1;
                    state.write(*offset as usize + number * size, part);
                }
            }
            match there {
                0 => fired.count(Event::WriteLost),
                _ if there < parts && size < PAGE => fired.count(Event::TornUnit),
                _ if there < parts => fired.count(Event::TornPage),
                _ if lost => fired.count(Event::WriteOvertook),
                _ => {}
            }
            lost |= there == 0;
        }
        self.tear(&mut state, rng, fired);
        state
    }

    /// The medium with growth as it pleases. New bytes are anything.
    fn grown(&self, rng: &mut fastrand::Rng, fired: &Fired) -> Image {
        let mut state = self.medium.clone();
        let mut length = state.len();
        for pending in &self.pending {
            let Pending::Grow { length: to } = pending else { continue };
            let to = *to as usize;
            match rng.u8(..3) {
                0 => fired.count(Event::GrowthLost),
                1 => length = length.max(to),
                _ if length < to => {
                    fired.count(Event::GrowthPartial);
                    length = rng.usize(length..=to);
                }
                _ => {}
            }
        }
        let garbage = rng.u8(..);
        state.grow(length, garbage);
        state
    }

    /// Leaves one unit torn, at any byte.
    fn tear(&self, state: &mut Image, rng: &mut fastrand::Rng, fired: &Fired) {
        if rng.bool() || self.pending.is_empty() {
            return;
        }
        // Mostly the last write: it is the one that was under way.
        let index = if rng.u8(..3) > 0 { self.pending.len() - 1 } else { rng.usize(..self.pending.len()) };
        let Pending::Write { offset, data } = &self.pending[index] else { return };
        let unit = rng.usize(..data.len().div_ceil(self.unit));
        let new = &data[unit * self.unit..data.len().min((unit + 1) * self.unit)];
        let at = *offset as usize + unit * self.unit;
        let split = rng.usize(..=new.len());
        fired.count(Event::TornByte);
        match rng.u8(..3) {
            0 => state.write(at, &new[..split]),
            1 => state.write(at + split, &new[split..]),
            _ => (0..new.len())
                .filter(|_| rng.bool())
                .for_each(|byte| state.write(at + byte, &new[byte..=byte])),
        }
    }

    /// Every subset of what is pending, whole writes and growths, that the moment before did not have:
    /// those with the newest of them. None if there are more than `most` pending.
    #[must_use]
    pub fn new_subsets(&self, most: usize) -> Option<impl Iterator<Item = Image>> {
        let count = self.pending.len();
        let newest = 1_u64.checked_shl(count.saturating_sub(1) as u32)?;
        // The first write after a sync: the subset without it is new too.
        let subsets = if count <= 1 { 0..1 << count } else { newest..newest << 1 };
        (count <= most).then(|| subsets.map(|subset| self.subset(subset)))
    }

    fn subset(&self, subset: u64) -> Image {
        let is_in = |index: usize| subset & (1 << index) != 0;
        let mut state = self.medium.clone();
        for (index, pending) in self.pending.iter().enumerate() {
            match pending {
                Pending::Grow { length } if is_in(index) => {
                    state.grow(*length as usize, 0xEE);
                }
                Pending::Write { offset, data } if is_in(index) => state.write(*offset as usize, data),
                _ => {}
            }
        }
        state
    }

    /// Every subset of the atomic units, growth kept, if there are at most `most` of them.
    #[must_use]
    pub fn unit_subsets(&self, most: usize) -> Option<Vec<Image>> {
        if self.pending.iter().map(|pending| pending.units(self.unit)).sum::<usize>() > most {
            return None;
        }
        let mut units: Vec<(usize, &[u8])> = Vec::new();
        let mut length = self.medium.len();
        for pending in &self.pending {
            match pending {
                Pending::Write { offset, data } => {
                    let places = (*offset as usize..).step_by(self.unit);
                    units.extend(places.zip(data.chunks(self.unit)));
                }
                Pending::Grow { length: to } => length = length.max(*to as usize),
            }
        }
        let subset = |subset: u64| {
            let mut state = self.medium.clone();
            state.grow(length, 0xEE);
            for (index, (at, unit)) in units.iter().enumerate() {
                if subset & (1 << index) != 0 {
                    state.write(*at, unit);
                }
            }
            state
        };
        Some((0..1_u64 << units.len()).map(subset).collect())
    }

    /// What is there for certain.
    #[must_use]
    pub fn certain(&self) -> Image {
        self.medium.clone()
    }

    /// Everything pending but the first unit of the first write.
    #[must_use]
    pub fn without_first_unit(&self) -> Image {
        let mut state = self.medium.clone();
        let mut lost = None;
        for pending in &self.pending {
            let Pending::Write { offset, data } = pending else { continue };
            let lost = *lost.get_or_insert(*offset as usize);
            for (number, unit) in data.chunks(self.unit).enumerate() {
                let at = *offset as usize + number * self.unit;
                if at != lost {
                    state.write(at, unit);
                }
            }
        }
        state
    }
}

//! What must hold of a device that a crash or a fault left.

use crate::device::SimDevice;
use crate::fault::{Event, Fault, Fired, SimError};
use crate::fixture::*;
use crate::image::Image;
use crate::moment::Moment;
use crate::work::{Puts, Work};
use blockyard_core::Durability::Durable;
use blockyard_core::error::{OpenError, WriteError};
use blockyard_core::overlay::Overlay;
use std::collections::BTreeMap;
use std::marker::PhantomData;

/// What a check came to; the error says what was lost or invented.
pub type Checked<T = ()> = Result<T, String>;

/// Judges states by the history of the work that made them.
#[derive(Debug)]
pub struct Judge<'a, O> {
    shape: Shape,
    limit: u64,
    unit: usize,
    history: &'a BTreeMap<u64, Model>,
    puts: &'a BTreeMap<u64, Puts>,
    fired: &'a Fired,
    overlay: PhantomData<O>,
}

/// What the history holds of a recovered commit.
///
/// # Errors
/// An acknowledged commit is missing, or the state never was.
pub fn recovered(history: &BTreeMap<u64, Model>, sequence: u64, acknowledged: u64) -> Checked<&Model> {
    if sequence < acknowledged {
        return Err(format!("commit {acknowledged} was answered durable, {sequence} is the last one left"));
    }
    let never = || format!("the state after commit {sequence} never was: half a group?");
    history.get(&sequence).ok_or_else(never)
}

/// How thoroughly the states of a moment are looked at.
#[derive(Clone, Copy, Debug)]
pub struct Depth {
    /// Every subset of the pending writes up to so many of them.
    pub writes: usize,
    /// Every subset of the pending units up to so many of them.
    pub units: usize,
    /// Further states, drawn at random, with torn writes.
    pub samples: usize,
}

impl<'a, O: Overlay + Default> Judge<'a, O> {
    /// A judge of what `work` may leave.
    #[must_use]
    pub fn new(work: &'a Work<O>, fired: &'a Fired) -> Self {
        let Work { shape, limit, history, puts, .. } = work;
        let unit = work.device.unit();
        Self { shape: *shape, limit: *limit, unit, history, puts, fired, overlay: PhantomData }
    }

    /// Opens one state that a power cut left, after up to three more cuts during recovery: it holds the
    /// commits 1 to S for some S not below the last one answered durable; verification finds nothing
    /// wrong and nothing leaked; what was recovered is durable; the store goes on working.
    ///
    /// # Errors
    /// Which of these does not hold.
    pub fn check(&self, state: Image, acknowledged: u64, rng: &mut fastrand::Rng) -> Checked {
        let (device, mut store, sequence) = self.recover(state, rng)?;
        let expected = recovered(self.history, sequence, acknowledged)?;
        assert_same(&contents(&mut store), expected, "after a power cut");
        assert_sound(&mut store, expected, "after a power cut");

        // What was recovered is durable now.
        let state = device.moment().state(rng, self.fired);
        let (mut again, second) = self.open(state).map_err(|error| format!("opening again: {error}"))?;
        if second != sequence {
            return Err(format!("recovered {sequence} and then {second}"));
        }
        assert_same(&contents(&mut again), expected, "after a second cut");
        self.check_work(&device, store, expected.clone(), sequence, rng)
    }

    fn open(&self, state: Image) -> Result<(TestStore<O, SimDevice>, u64), OpenError<SimError>> {
        let opened = self.shape.open::<O, _>(SimDevice::new(state, self.limit, 0).with_unit(self.unit))?;
        Ok((opened.0, opened.1.to.0))
    }

    /// Recovers, with power cuts on the way.
    fn recover(
        &self,
        mut state: Image,
        rng: &mut fastrand::Rng,
    ) -> Checked<(SimDevice, TestStore<O, SimDevice>, u64)> {
        for cuts in 0.. {
            let device = SimDevice::new(state, self.limit, rng.u64(..)).with_unit(self.unit);
            if cuts < 3 && rng.u8(..3) == 0 {
                device.arm([Fault::CutAt(rng.u64(..12))]);
            }
            match self.shape.open::<O, _>(device.clone()) {
                Ok((store, recovery)) => {
                    device.arm([]);
                    return Ok((device, store, recovery.to.0));
                }
                Err(OpenError::Device(SimError::Cut)) => {
                    self.fired.count([Event::CutInRecovery, Event::SecondCut, Event::ThirdCut][cuts]);
                    state = device.moment().state(rng, self.fired);
                }
                Err(error) => {
                    return Err(format!("opening after {cuts} more cuts: {error}\n{}", device.trace()));
                }
            }
        }
        unreachable!("the fourth opening is not cut")
    }

    /// The store works. Perhaps the caller does again what was lost: the same record as before must not
    /// bring back what stood behind it.
    fn check_work(
        &self,
        device: &SimDevice,
        mut store: TestStore<O, SimDevice>,
        mut expected: Model,
        sequence: u64,
        rng: &mut fastrand::Rng,
    ) -> Checked {
        let again = self.puts.get(&(sequence + 1)).filter(|_| rng.u8(..3) > 0);
        let puts = again.cloned().unwrap_or_else(|| vec![(b"new".to_vec(), 3, bytes(sequence, 400))]);
        let mut batch = batch(store.geometry());
        for (name, tag, value) in &puts {
            batch.put(name, value, *tag).map_err(|error| error.to_string())?;
        }
        match store.commit(&mut [batch], Durable) {
            Ok(_) => expected.extend(puts.into_iter().map(|(name, tag, value)| (name, (tag, value)))),
            Err(WriteError::BatchTooLarge) => {}
            Err(WriteError::Full) => self.make_room(&mut store, &mut expected)?,
            Err(error) => return Err(format!("writing afterwards: {error}")),
        }
        let last = store.sequence().0;
        let state = device.moment().state(rng, self.fired);
        let (mut store, found) = self.open(state).map_err(|error| format!("after writing: {error}"))?;
        if found != last {
            return Err(format!("wrote commit {last} and recovered {found}"));
        }
        assert_same(&contents(&mut store), &expected, "after writing");
        assert_sound(&mut store, &expected, "after writing");
        Ok(())
    }

    /// A full store still takes deletions.
    fn make_room(&self, store: &mut TestStore<O, SimDevice>, expected: &mut Model) -> Checked {
        let Some((name, _)) = expected.pop_first() else { return Ok(()) };
        delete(store, &name, Durable).map_err(|error| format!("deleting from a full store: {error}"))?;
        self.fired.count(Event::DeletedWhenFull);
        Ok(())
    }

    /// Checks states of each moment; returns how many.
    ///
    /// # Errors
    /// What does not hold, and at which change.
    pub fn check_all(&self, moments: &[Moment], depth: Depth, rng: &mut fastrand::Rng) -> Checked<u64> {
        let mut states = 0;
        for moment in moments {
            let at = |error| format!("at change {}: {error}", moment.change);
            let mut check = |state| {
                states += 1;
                self.check(state, moment.acknowledged, rng).map_err(at)
            };
            if let Some(all) = moment.unit_subsets(depth.units) {
                all.into_iter().try_for_each(&mut check)?;
            } else if let Some(mut subsets) = moment.new_subsets(depth.writes) {
                subsets.try_for_each(&mut check)?;
            }
            for _ in 0..depth.samples {
                let state = moment.state(rng, self.fired);
                states += 1;
                self.check(state, moment.acknowledged, rng).map_err(at)?;
            }
        }
        Ok(states)
    }
}

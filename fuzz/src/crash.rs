//! Target `crash`: work, a fault or a power cut at any operation of the device, recovery, more work.
//!
//! The bytes choose the sizes, the work, what fails and when, what a power cut leaves of what no sync had
//! covered, and whether recovery is cut as well. After each recovery the store holds the commits 1 to S
//! for some S not below the last one answered durable, verification finds nothing wrong and nothing
//! leaked, and the work goes on.

use crate::input::Input;
use crate::setup::pattern;
use blockyard_core::error::{OpenError, WriteError};
use blockyard_core::overlay::Overlay;
use blockyard_core::store::Memory;
use blockyard_core::{Durability, Sequence};
use blockyard_sim::device::SimDevice;
use blockyard_sim::fault::{Fault, Fired, Operation, SimError};
use blockyard_sim::fixture::{
    Fixed, Heap, Model, Shape, TestStore, assert_same, assert_sound, batch, contents, delete, stream,
};
use std::collections::BTreeMap;

/// Times that a store is recovered.
const LIVES: usize = 5;
/// Operations of a life.
const STEPS: usize = 24;
/// Power cuts in one recovery.
const CUTS: usize = 3;

/// Runs one input.
pub fn run(bytes: &[u8]) {
    let mut input = Input::new(bytes);
    let shape = Shape {
        page_size: input.pick([512, 512, 512, 1024]),
        journal_pages: input.pick([4, 6, 8, 16, 24]),
        chunk_pages: input.pick([1, 2, 3]),
        memory: Memory { levels: 6, map_pages: 6 + input.below(3), staging: input.pick([0, 4096]) },
        growth: input.pick([3, 8, 24]),
        groups_ahead: 1,
        carry_max: input.pick([0, 700, 4096]),
    };
    let limit = (shape.front_pages() + 48 + input.below(256) as u64) * u64::from(shape.page_size);
    let kind = input.byte();
    // Some devices cannot grow.
    let length = if kind & 2 == 0 { 0 } else { limit };
    let device = SimDevice::new(vec![0x77; length as usize], limit, u64::from(kind));
    if kind & 1 == 0 {
        Lives::<Heap>::live(shape, limit, device, input);
    } else {
        Lives::<Fixed>::live(shape, limit, device, input);
    }
}

/// How a change ended: made or refused, or by a failure of the device.
type Changed = Result<(), SimError>;

/// A store and its history over several crashes.
struct Lives<O> {
    shape: Shape,
    limit: u64,
    device: SimDevice,
    store: TestStore<O, SimDevice>,
    model: Model,
    /// The state after each commit, the one under way included.
    history: BTreeMap<u64, Model>,
    /// The last commit that was answered durable.
    acknowledged: u64,
}

impl<O: Overlay + Default> Lives<O> {
    fn live(shape: Shape, limit: u64, device: SimDevice, mut input: Input<'_>) {
        let store = shape.new_store(device.clone());
        let history = BTreeMap::from([(0, Model::new())]);
        let mut lives = Self { shape, limit, device, store, model: Model::new(), history, acknowledged: 0 };
        for _ in 0..LIVES {
            lives.device.arm(fault(&mut input));
            let failed = (0..STEPS).try_for_each(|_| lives.step(&mut input)).err();
            lives = lives.recover(failed, &mut input);
            if input.is_empty() {
                break;
            }
        }
    }

    /// Does `work`, which takes `commits` numbers and makes the state `after`.
    fn commit(
        &mut self,
        commits: u64,
        after: Model,
        work: impl FnOnce(&mut TestStore<O, SimDevice>) -> Result<Sequence, WriteError<SimError>>,
    ) -> Changed {
        let last = self.store.sequence().0 + commits;
        let before = self.history.insert(last, after.clone());
        match work(&mut self.store) {
            Ok(sequence) => {
                assert_eq!(sequence.0, last);
                self.model = after;
            }
            Err(WriteError::Full | WriteError::BatchTooLarge | WriteError::WorkspaceTooSmall) => {
                match before {
                    Some(before) => self.history.insert(last, before),
                    None => self.history.remove(&last),
                };
            }
            Err(WriteError::Device(error)) => return Err(error),
            Err(error) => panic!("{error}"),
        }
        self.acknowledge();
        Ok(())
    }

    fn acknowledge(&mut self) {
        self.acknowledged = self.acknowledged.max(self.store.durable_sequence().0);
    }

    fn step(&mut self, input: &mut Input<'_>) -> Changed {
        if input.is_empty() {
            return Ok(());
        }
        let kind = input.byte();
        let durability = if kind & 128 == 0 { Durability::Buffered } else { Durability::Durable };
        match kind % 16 {
            0..=4 => self.put(1, durability, input)?,
            5 | 6 => self.put(2 + input.below(10), durability, input)?,
            7 => {
                let name = name(input);
                let mut after = self.model.clone();
                after.remove(&name);
                self.commit(1, after, |store| delete(store, &name, durability))?;
            }
            8 | 9 => self.rename(durability, input)?,
            10 => {
                let (name, tag) = (name(input), u64::from(input.byte()));
                let value = pattern(tag, 40 * usize::from(input.byte()));
                let mut after = self.model.clone();
                after.insert(name.clone(), (tag, value.clone()));
                self.commit(1, after, |store| stream(store, &name, tag, &value, durability))?;
            }
            11 | 12 => changed(self.store.checkpoint_step())?,
            13 => changed(self.store.checkpoint())?,
            14 => changed(self.store.seal())?,
            _ => changed(self.store.sync())?,
        }
        self.acknowledge();
        Ok(())
    }

    /// One batch of puts, or two.
    fn put(&mut self, puts: usize, durability: Durability, input: &mut Input<'_>) -> Changed {
        let batches = 1 + usize::from(puts > 6);
        let chunk = self.store.geometry().chunk_size() as usize;
        let mut after = self.model.clone();
        let mut group = Vec::new();
        for _ in 0..batches {
            let mut many = batch(self.store.geometry());
            for _ in 0..puts / batches {
                let (name, tag, kind) = (name(input), u64::from(input.byte()), usize::from(input.byte()));
                let length = [kind, kind * 6, 126 + kind % 5, 512 * (kind % 4)][kind % 4].min(chunk);
                let value = pattern(tag, length);
                many.put(&name, &value, tag).expect("it fits");
                after.insert(name, (tag, value));
            }
            group.push(many);
        }
        self.commit(batches as u64, after, |store| store.commit(&mut group, durability))
    }

    fn rename(&mut self, durability: Durability, input: &mut Input<'_>) -> Changed {
        let (from, to) = (name(input), name(input));
        let mut after = self.model.clone();
        let Some(block) = after.remove(&from) else { return Ok(()) };
        let commits = u64::from(from != to);
        after.insert(to.clone(), block);
        self.commit(commits, after, |store| {
            let mut scratch = batch(store.geometry());
            store.rename(&from, &to, &mut scratch, durability)
        })
    }

    /// What a power cut now may leave, as the input chooses.
    fn cut(&self, input: &mut Input<'_>) -> SimDevice {
        let choice = input.short() as u64;
        let state = self.device.moment().state(&mut fastrand::Rng::with_seed(choice), &Fired::default());
        SimDevice::new(state, self.limit, choice)
    }

    /// Opens what is left. After a failure of the device a process may also start again on the same cache,
    /// which shows what the medium does not have.
    fn recover(mut self, failed: Option<SimError>, input: &mut Input<'_>) -> Self {
        let power = failed == Some(SimError::Cut) || input.byte() & 1 == 0;
        if power {
            self.device = self.cut(input);
        }
        for cuts in 0..=CUTS {
            let again = input.byte();
            let cut_at = (cuts < CUTS && again >= 128).then(|| Fault::CutAt(u64::from(again % 16)));
            self.device.arm(cut_at);
            match self.shape.open::<O, _>(self.device.clone()) {
                Ok((store, recovery)) => {
                    self.device.arm([]);
                    self.store = store;
                    self.check(recovery.to.0);
                    return self;
                }
                Err(OpenError::Device(SimError::Cut)) => self.device = self.cut(input),
                Err(error) => panic!("opening after {cuts} cuts: {error}\n{}", self.device.trace()),
            }
        }
        unreachable!("the last opening is not cut")
    }

    fn check(&mut self, sequence: u64) {
        let acknowledged = self.acknowledged;
        assert!(
            sequence >= acknowledged,
            "commit {acknowledged} was durable, {sequence} is the last one left"
        );
        let model = self.history.get(&sequence);
        self.model = model.unwrap_or_else(|| panic!("the state after commit {sequence} never was")).clone();
        assert_same(&contents(&mut self.store), &self.model, "recovered");
        assert_sound(&mut self.store, &self.model, "recovered");
        // What was lost will not be there again.
        self.history.retain(|commit, _| *commit <= sequence);
        self.acknowledged = sequence;
    }
}

fn name(input: &mut Input<'_>) -> Vec<u8> {
    let number = input.byte();
    match number % 8 {
        7 => vec![b'n'; 60],
        _ => vec![b'a' + number % 16],
    }
}

/// What goes wrong in a life: nothing, or one operation.
fn fault(input: &mut Input<'_>) -> Option<Fault> {
    let (kind, at) = (input.byte(), u64::from(input.byte()));
    match kind % 8 {
        0 => None,
        1..=3 => Some(Fault::CutAt(at)),
        4 => Some(Fault::Fails(Operation::Write, at)),
        5 => Some(Fault::Fails(Operation::Sync, at % 32)),
        6 => Some(Fault::Fails(Operation::Grow, at % 8)),
        _ => Some(Fault::NoSpaceAt(at % 8)),
    }
}

/// A change without a number; one that is refused for want of room is none.
fn changed<T>(result: Result<T, WriteError<SimError>>) -> Changed {
    match result {
        Ok(_) | Err(WriteError::Full) => Ok(()),
        Err(WriteError::Device(error)) => Err(error),
        Err(error) => panic!("{error}"),
    }
}

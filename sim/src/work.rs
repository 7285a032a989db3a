//! Random work on a store, with the state after each of its commits.
//!
//! 1. [`Work::history`] has the state of every commit that may be found after a crash: those that
//!    were answered, and the one under way.
//! 2. What a store recovered is its history from then on: what was lost does not come back.

use crate::device::SimDevice;
use crate::fault::SimError;
use crate::fixture::*;
use crate::moment::UNIT;
use blockyard_core::Durability::{self, Buffered, Durable};
use blockyard_core::Sequence;
use blockyard_core::error::WriteError;
use blockyard_core::overlay::Overlay;
use blockyard_core::store::Memory;
use std::collections::BTreeMap;

/// What a change comes to.
pub type Written = Result<(), WriteError<SimError>>;
/// Names, tags and values.
pub type Puts = Vec<(Vec<u8>, u64, Vec<u8>)>;

/// A store on the simulated device.
pub type SimStore<O> = TestStore<O, SimDevice>;

/// What a worker likes to do; drawn for each seed, so that no two do the same.
#[derive(Clone, Copy, Debug)]
pub struct Habits {
    /// Names it works with.
    pub names: u8,
    /// Bytes of its largest values put at once, and streamed.
    pub value: usize,
    /// Bytes of its largest streamed blocks.
    pub stream: usize,
    /// Of a hundred commits so many are durable.
    pub durable: u8,
    /// Operations in its largest batches.
    pub batch: usize,
    /// Weights of its steps: see [`Work::step`].
    pub weights: [u8; 9],
}

impl Habits {
    /// Habits for a store of this shape.
    #[must_use]
    pub fn draw(rng: &mut fastrand::Rng, shape: &Shape) -> Self {
        let chunk = (shape.chunk_pages * shape.page_size) as usize;
        let mut weights = [8, 2, 2, 2, 2, 1, 1, 1, 1];
        // Some like one thing above all, some never do another.
        weights[rng.usize(..9)] *= 4;
        weights[1 + rng.usize(..8)] = 0;
        Self {
            names: [9, 9, 30][rng.usize(..3)],
            value: [200, 1536, 4096][rng.usize(..3)],
            stream: [1, 3, 6][rng.usize(..3)] * chunk,
            durable: [10, 40, 90][rng.usize(..3)],
            batch: [6, 6, 40][rng.usize(..3)],
            weights,
        }
    }
}

/// What a campaign's stores met; each has to have happened at the end.
#[derive(Clone, Copy, Debug, Default)]
pub struct Met {
    /// Commits.
    pub commits: u64,
    /// Commits of several batches under one sync.
    pub groups: u64,
    /// Deletions.
    pub deletes: u64,
    /// Blocks given another name.
    pub renames: u64,
    /// Blocks of several chunks.
    pub large: u64,
    /// Checkpoints.
    pub checkpoints: u64,
    /// Batches whose values the commit digests.
    pub late: u64,
    /// Times the device grew.
    pub growths: u64,
    /// Times the journal began anew at its start.
    pub wraps: u64,
    /// Changes refused because the device was full.
    pub full: u64,
    /// Batches that no journal could hold, committed by a checkpoint or refused.
    pub oversize: u64,
    /// Recoveries that found commits in the journal.
    pub recoveries: u64,
    /// Recoveries that found a torn tail.
    pub torn: u64,
    /// Devices filled up with a checkpoint under way.
    pub full_amid: u64,
}

impl Met {
    /// Each count with its name.
    #[must_use]
    pub const fn list(&self) -> [(&'static str, u64); 14] {
        [
            ("commits", self.commits),
            ("groups of several", self.groups),
            ("deletions", self.deletes),
            ("renames", self.renames),
            ("blocks of several chunks", self.large),
            ("checkpoints", self.checkpoints),
            ("digests left to the commit", self.late),
            ("growths", self.growths),
            ("journal wraps", self.wraps),
            ("refused, device full", self.full),
            ("oversize batches", self.oversize),
            ("recoveries", self.recoveries),
            ("torn tails", self.torn),
            ("full amid a checkpoint", self.full_amid),
        ]
    }

    /// Adds another's counts.
    pub const fn add(&mut self, other: &Self) {
        self.commits += other.commits;
        self.groups += other.groups;
        self.deletes += other.deletes;
        self.renames += other.renames;
        self.large += other.large;
        self.checkpoints += other.checkpoints;
        self.late += other.late;
        self.growths += other.growths;
        self.wraps += other.wraps;
        self.full += other.full;
        self.oversize += other.oversize;
        self.recoveries += other.recoveries;
        self.torn += other.torn;
        self.full_amid += other.full_amid;
    }
}

/// A store at work.
#[derive(Debug)]
pub struct Work<O> {
    /// The store's sizes.
    pub shape: Shape,
    /// Bytes that the device may grow to.
    pub limit: u64,
    /// The device underneath.
    pub device: SimDevice,
    /// The store.
    pub store: SimStore<O>,
    /// What it holds.
    pub model: Model,
    /// The state after each commit, the one under way included.
    pub history: BTreeMap<u64, Model>,
    /// The puts of commits that were one batch of puts.
    pub puts: BTreeMap<u64, Puts>,
    /// What it met.
    pub met: Met,
    pub(crate) rng: fastrand::Rng,
    habits: Habits,
}

/// The sizes of a store, and the atomic unit of its device.
fn draw_shape(rng: &mut fastrand::Rng) -> (Shape, usize) {
    let page_size = [512, 512, 512, 1024, 4096][rng.usize(..5)];
    let journal_pages = [6, 10, 24, 48][rng.usize(..4)];
    let mut shape = Shape {
        page_size,
        journal_pages,
        chunk_pages: [1, 3][rng.usize(..2)],
        memory: Memory { levels: 6, map_pages: 6 + rng.usize(..4), staging: [0, 4096][rng.usize(..2)] },
        growth: [3, 24][rng.usize(..2)],
        // Not drawn: a seed goes on finding what it found.
        groups_ahead: if journal_pages % 4 == 0 { 4 } else { 1 },
        carry_max: [0, 700, 4096][rng.usize(..3)],
    };
    // Nor are these: where pages are large, half of the devices have units of 4,096 bytes, and half of the pages are larger yet.
    let mut unit = UNIT;
    if page_size == 4096 {
        unit = [4096, UNIT][shape.memory.map_pages % 2];
        shape.page_size = [4096, 8192][shape.memory.map_pages / 2 % 2];
    }
    (shape, unit)
}

impl<O: Overlay + Default> Work<O> {
    /// A new store with sizes and habits of its own.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self::counting(seed, std::sync::Arc::default())
    }

    /// As [`new`](Self::new); what goes wrong is counted in `fired`.
    #[must_use]
    pub fn counting(seed: u64, fired: std::sync::Arc<crate::fault::Fired>) -> Self {
        let mut rng = fastrand::Rng::with_seed(seed);
        let (shape, unit) = draw_shape(&mut rng);
        let habits = Habits::draw(&mut rng, &shape);
        let room = if rng.u8(..3) == 0 { rng.u64(40..70) } else { rng.u64(90..300) };
        let limit = (shape.front_pages() + room) * u64::from(shape.page_size);
        // Some devices cannot grow.
        let length = if rng.u8(..4) == 0 { limit } else { 0 };
        let device = SimDevice::counting(vec![0x77; length as usize], limit, seed, fired).with_unit(unit);
        Self::on(device, limit, shape, habits, rng)
    }

    /// A new store on a device of one's own, which may grow to `limit` bytes.
    #[must_use]
    pub fn on(device: SimDevice, limit: u64, shape: Shape, habits: Habits, rng: fastrand::Rng) -> Self {
        let store = shape.new_store(device.clone());
        let history = BTreeMap::from([(0, Model::new())]);
        let (model, puts, met) = (Model::new(), BTreeMap::new(), Met::default());
        Self { shape, limit, device, store, model, history, puts, met, rng, habits }
    }

    fn name(&mut self) -> Vec<u8> {
        let number = self.rng.u8(..self.habits.names);
        if number % 8 == 7 { vec![b'x'; usize::from(number)] } else { format!("name {number}").into_bytes() }
    }

    fn value(&mut self) -> Vec<u8> {
        let most = self.habits.value.min(self.store.geometry().chunk_size() as usize);
        let length = match self.rng.u8(..6) {
            0 => 0,
            1..=3 => self.rng.usize(..130),
            4 => self.rng.usize(..600),
            _ => self.rng.usize(..=most),
        };
        bytes(self.rng.u64(..), length.min(most))
    }

    fn durability(&mut self) -> Durability {
        if self.rng.u8(..100) < self.habits.durable { Durable } else { Buffered }
    }

    /// Does `work`, which takes `commits` sequence numbers and makes the state `after`.
    fn commit(
        &mut self,
        commits: u64,
        after: Model,
        work: impl FnOnce(&mut SimStore<O>) -> Result<Sequence, WriteError<SimError>>,
    ) -> Written {
        let last = self.store.sequence().0 + commits;
        let before = self.store.superblock().sequence.get();
        // A block renamed to its own name takes no number.
        let earlier = self.history.insert(last, after.clone()).filter(|_| commits == 0);
        let forget = |history: &mut BTreeMap<u64, Model>| match earlier {
            Some(state) => drop(history.insert(last, state)),
            None => drop(history.remove(&last)),
        };
        match work(&mut self.store) {
            Ok(sequence) => {
                assert_eq!(sequence.0, last, "the sequence a commit was answered with");
                self.model = after;
                self.met.commits += commits;
                self.met.groups += u64::from(commits > 1);
                // Answered from a checkpoint that holds it: no journal record could.
                self.met.oversize +=
                    u64::from(self.store.superblock().sequence.get() == last && before < last);
            }
            Err(error @ (WriteError::Full | WriteError::BatchTooLarge)) => {
                self.met.full += u64::from(error == WriteError::Full);
                self.met.oversize += u64::from(error == WriteError::BatchTooLarge);
                forget(&mut self.history);
            }
            Err(error) => {
                // Nothing was written of it, or it is the commit under way that may be found later.
                if !self.store.is_poisoned() {
                    forget(&mut self.history);
                }
                return Err(error);
            }
        }
        self.acknowledge();
        Ok(())
    }

    /// Tells the device what the store says is durable.
    pub fn acknowledge(&self) {
        self.device.acknowledge(self.store.durable_sequence().0);
    }

    /// Does one thing.
    ///
    /// # Errors
    /// What the store answered; never that it is full or a batch too large.
    pub fn step(&mut self) -> Written {
        let (length, lap) = (self.device.len(), self.lap());
        let checkpoint = self.store.superblock().generation.get();
        self.one_step()?;
        self.acknowledge();
        self.met.growths += u64::from(self.device.len() > length);
        self.met.checkpoints += u64::from(self.store.superblock().generation.get() > checkpoint);
        self.met.wraps += u64::from(self.lap() > lap);
        Ok(())
    }

    /// How often the journal has been written from end to end.
    fn lap(&self) -> u64 {
        let head = self.store.superblock().journal_position.get() + self.store.journal_used();
        head / self.store.geometry().journal_length()
    }

    fn one_step(&mut self) -> Written {
        let durability = self.durability();
        let total: u32 = self.habits.weights.iter().map(|weight| u32::from(*weight)).sum();
        let mut draw = self.rng.u32(..total);
        let mut choices = self.habits.weights.into_iter().enumerate();
        let choice = choices.find(|(_, weight)| match draw.checked_sub(u32::from(*weight)) {
            Some(rest) => {
                draw = rest;
                false
            }
            None => true,
        });
        match choice.map_or(0, |(choice, _)| choice) {
            0 => self.group(durability),
            1 => self.delete(durability),
            2 => self.rename(durability),
            3 => self.stream(durability),
            4 => self.store.checkpoint_step().map(drop),
            5 => self.store.checkpoint(),
            6 => self.store.seal(),
            7 => self.store.sync().map(drop),
            _ => self.refill(durability),
        }
    }

    fn delete(&mut self, durability: Durability) -> Written {
        let name = self.name();
        let mut after = self.model.clone();
        self.met.deletes += u64::from(after.remove(&name).is_some());
        self.commit(1, after, |store| delete(store, &name, durability))
    }

    fn rename(&mut self, durability: Durability) -> Written {
        let (from, to) = (self.name(), self.name());
        let mut after = self.model.clone();
        let Some(block) = after.remove(&from) else { return Ok(()) };
        let commits = u64::from(from != to);
        after.insert(to.clone(), block);
        self.met.renames += commits;
        self.commit(commits, after, |store| {
            let mut scratch = batch(store.geometry());
            store.rename(&from, &to, &mut scratch, durability)
        })
    }

    fn stream(&mut self, durability: Durability) -> Written {
        let name = self.name();
        let value = bytes(self.rng.u64(..), self.rng.usize(..=self.habits.stream));
        let chunk = self.store.geometry().chunk_size() as usize;
        self.met.large += u64::from(value.len() > chunk);
        let mut after = self.model.clone();
        after.insert(name.clone(), (9, value.clone()));
        self.commit(1, after, |store| stream(store, &name, 9, &value, durability))
    }

    /// Deletes all but a few blocks, so that a full device has room again.
    fn refill(&mut self, durability: Durability) -> Written {
        let names: Vec<_> = self.model.keys().skip(3).cloned().collect();
        if names.is_empty() {
            return Ok(());
        }
        self.remove(&names, durability)
    }

    fn group(&mut self, durability: Durability) -> Written {
        let mut after = self.model.clone();
        let mut group = Vec::new();
        let most = [1, 1, self.habits.batch][self.rng.usize(..3)];
        let mut puts = Puts::new();
        for _ in 0..[1, 1, 2][self.rng.usize(..3)] {
            let mut batch = batch(self.store.geometry());
            if self.store.sequence().0 % 3 == 2 {
                // As in a long batch: the commit digests, with the device at work.
                batch.digest_at_once([0, 2048][(self.store.sequence().0 % 2) as usize]);
                self.met.late += 1;
            }
            for _ in 0..self.rng.usize(1..=most) {
                let (name, value, tag) = (self.name(), self.value(), self.rng.u64(..));
                batch.put(&name, &value, tag).map_err(|_| WriteError::BatchTooLarge)?;
                puts.push((name.clone(), tag, value.clone()));
                after.insert(name, (tag, value));
            }
            group.push(batch);
        }
        if group.len() == 1 {
            self.puts.insert(self.store.sequence().0 + 1, puts);
        }
        self.commit(group.len() as u64, after, |store| store.commit(&mut group, durability))
    }

    /// Commits one batch of these puts.
    ///
    /// # Errors
    /// What the store answered; never that it is full or the batch too large.
    pub fn put(&mut self, puts: Puts, durability: Durability) -> Written {
        let mut after = self.model.clone();
        let mut batch = batch(self.store.geometry());
        for (name, tag, value) in &puts {
            batch.put(name, value, *tag).map_err(|_| WriteError::BatchTooLarge)?;
            after.insert(name.clone(), (*tag, value.clone()));
        }
        self.puts.insert(self.store.sequence().0 + 1, puts);
        self.commit(1, after, |store| store.commit(&mut [batch], durability))
    }

    /// Commits one batch that deletes these names.
    ///
    /// # Errors
    /// As [`put`](Self::put).
    pub fn remove(&mut self, names: &[Vec<u8>], durability: Durability) -> Written {
        let mut after = self.model.clone();
        let mut batch = batch(self.store.geometry());
        for name in names {
            self.met.deletes += u64::from(after.remove(name).is_some());
            batch.delete(name).map_err(|_| WriteError::BatchTooLarge)?;
        }
        self.commit(1, after, |store| store.commit(&mut [batch], durability))
    }

    /// Forgets the states that no crash can bring back any more.
    pub fn forget_early(&mut self) {
        self.acknowledge();
        let durable = self.store.durable_sequence().0;
        self.history.retain(|number, _| *number >= durable);
        self.puts.retain(|number, _| *number > durable);
    }

    /// Steps until one fails.
    ///
    /// # Errors
    /// What that step was answered.
    pub fn run(&mut self, steps: usize) -> Written {
        (0..steps).try_for_each(|_| self.step())
    }

    /// Goes on with another store on another device, which recovered the commits up to `sequence`.
    pub fn resume(&mut self, device: SimDevice, store: SimStore<O>, sequence: u64) {
        self.history.retain(|number, _| *number <= sequence);
        self.model = self.history.get(&sequence).cloned().unwrap_or_default();
        self.device = device;
        self.store = store;
        self.device.acknowledge(sequence);
    }
}

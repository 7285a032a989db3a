//! Power cuts at every write, sync and growth, in recovery too, and syncs that fail and lie.
//!
//! What must hold of each state: the store opens, it holds the commits 1 to S for some S not below the
//! last one answered durable, verification finds nothing wrong and nothing leaked, the store goes on
//! working, and opening it again finds the same.
//!
//! `BLOCKYARD_SEED=n` runs one seed, `BLOCKYARD_RUNS=n` so many.

use crate::crash_device::{CrashDevice, CrashError, Fault, Moment, Operation};
use crate::support::*;
use blockyard_core::Durability::{self, Buffered, Durable};
use blockyard_core::error::{OpenError, WriteError};
use blockyard_core::overlay::Overlay;
use blockyard_core::store::Memory;
use std::collections::BTreeMap;

type Written = Result<(), WriteError<CrashError>>;

fn shape(rng: &mut fastrand::Rng) -> Shape {
    Shape {
        page_size: [512, 512, 1024][rng.usize(..3)],
        journal_pages: [6, 10, 24, 48][rng.usize(..4)],
        chunk_pages: [1, 3][rng.usize(..2)],
        memory: Memory { levels: 6, map_pages: 6 + rng.usize(..4), staging: [0, 4096][rng.usize(..2)] },
        growth: [3, 24][rng.usize(..2)],
        carry_max: [0, 700, 4096][rng.usize(..3)],
    }
}

/// A store at work, and the state after each of its commits, the one under way included.
struct Work<O> {
    shape: Shape,
    limit: u64,
    rng: fastrand::Rng,
    device: CrashDevice,
    store: TestStore<O, CrashDevice>,
    model: Model,
    history: BTreeMap<u64, Model>,
    /// The puts of commits that were one batch of puts.
    puts: BTreeMap<u64, Puts>,
}

/// Names, tags and values.
type Puts = Vec<(Vec<u8>, u64, Vec<u8>)>;

impl<O: Overlay + Default> Work<O> {
    fn new(seed: u64) -> Self {
        let mut rng = fastrand::Rng::with_seed(seed);
        let shape = shape(&mut rng);
        let limit = (shape.front_pages() + rng.u64(90..300)) * u64::from(shape.page_size);
        // Some devices cannot grow.
        let length = if rng.u8(..4) == 0 { limit } else { 0 };
        let device = CrashDevice::new(vec![0x77; length as usize], limit, seed);
        let store = shape.new_store(device.clone());
        let history = BTreeMap::from([(0, Model::new())]);
        Self { shape, limit, rng, device, store, model: Model::new(), history, puts: BTreeMap::new() }
    }

    fn name(&mut self) -> Vec<u8> {
        format!("name {}", self.rng.u8(..9)).into_bytes()
    }

    fn value(&mut self) -> Vec<u8> {
        let length = match self.rng.u8(..6) {
            0 => 0,
            1..=3 => self.rng.usize(..130),
            4 => self.rng.usize(..600),
            _ => self.rng.usize(..1536),
        };
        bytes(self.rng.u64(..), length.min(self.store.geometry().chunk_size() as usize))
    }

    fn durability(&mut self) -> Durability {
        if self.rng.u8(..5) < 2 { Durable } else { Buffered }
    }

    /// Does `work`, which takes `commits` sequence numbers and makes the state `after`.
    fn commit(
        &mut self,
        commits: u64,
        after: Model,
        work: impl FnOnce(
            &mut TestStore<O, CrashDevice>,
        ) -> Result<blockyard_core::Sequence, WriteError<CrashError>>,
    ) -> Written {
        let last = self.store.sequence().0 + commits;
        self.history.insert(last, after.clone());
        match work(&mut self.store) {
            Ok(sequence) => {
                assert_eq!(sequence.0, last);
                self.model = after;
            }
            Err(WriteError::Full | WriteError::BatchTooLarge) => {
                self.history.remove(&last);
            }
            Err(error) => return Err(error),
        }
        self.device.acknowledge(self.store.durable_sequence().0);
        Ok(())
    }

    fn step(&mut self) -> Written {
        let durability = self.durability();
        match self.rng.u8(..20) {
            0..8 => self.group(durability),
            8..10 => {
                let name = self.name();
                let mut after = self.model.clone();
                after.remove(&name);
                self.commit(1, after, |store| delete(store, &name, durability))
            }
            10..12 => {
                let (from, to) = (self.name(), self.name());
                let mut after = self.model.clone();
                let Some(block) = after.remove(&from) else { return Ok(()) };
                let commits = u64::from(from != to);
                after.insert(to.clone(), block);
                self.commit(commits, after, |store| {
                    let mut scratch = batch(store.geometry());
                    store.rename(&from, &to, &mut scratch, durability)
                })
            }
            12..14 => {
                let name = self.name();
                let value = bytes(self.rng.u64(..), self.rng.usize(..4000));
                let mut after = self.model.clone();
                after.insert(name.clone(), (9, value.clone()));
                self.commit(1, after, |store| stream(store, &name, 9, &value, durability))
            }
            14..16 => self.store.checkpoint_step().map(drop),
            16 => self.store.checkpoint(),
            17 => self.store.seal(),
            18 => self.store.sync().map(drop),
            _ => Ok(()),
        }?;
        self.device.acknowledge(self.store.durable_sequence().0);
        Ok(())
    }

    fn group(&mut self, durability: Durability) -> Written {
        let mut after = self.model.clone();
        let mut group = Vec::new();
        let most = [1, 1, 6][self.rng.usize(..3)];
        let mut puts = Puts::new();
        for _ in 0..[1, 1, 2][self.rng.usize(..3)] {
            let mut batch = batch(self.store.geometry());
            for _ in 0..self.rng.usize(1..=most) {
                let (name, value, tag) = (self.name(), self.value(), self.rng.u64(..));
                batch.put(&name, &value, tag).unwrap();
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

    /// Steps until one fails.
    fn run(&mut self, steps: usize) -> Written {
        (0..steps).try_for_each(|_| self.step())
    }

    /// Opens the store again on the same device, where the cache shows what it shows, and checks the
    /// states that a power cut during that leaves: what they show may be more than the cache showed.
    fn reopen(&mut self, rng: &mut fastrand::Rng) -> Result<u64, String> {
        self.device.record();
        let (store, recovery) = self
            .shape
            .open::<O, _>(self.device.clone())
            .map_err(|error| format!("reopening on the same cache: {error}"))?;
        self.store = store;
        self.model = self.recovered(recovery.to.0, self.device.acknowledged())?;
        assert_same(&contents(&mut self.store), &self.model, "reopened on the same cache");
        assert_sound(&mut self.store, &self.model, "reopened on the same cache");
        let states = self.check_all(&self.device.moments(), 1, rng)?;
        self.device.acknowledge(recovery.to.0);
        // What was lost will not be there again.
        self.history.retain(|sequence, _| *sequence <= recovery.to.0);
        Ok(states)
    }

    fn recovered(&self, sequence: u64, acknowledged: u64) -> Result<Model, String> {
        if sequence < acknowledged {
            return Err(format!(
                "commit {acknowledged} was answered durable, {sequence} is the last one left"
            ));
        }
        let half = || format!("the state after commit {sequence} never was: half a group?");
        self.history.get(&sequence).cloned().ok_or_else(half)
    }

    /// Opens one state that a power cut left, after up to two more cuts during recovery.
    fn check(
        &self,
        state: Vec<u8>,
        acknowledged: u64,
        rng: &mut fastrand::Rng,
        cuts: u8,
    ) -> Result<(), String> {
        let device = CrashDevice::new(state, self.limit, rng.u64(..));
        if cuts < 2 && rng.u8(..3) == 0 {
            device.arm(Some(Fault::CutAt(rng.u64(..12))));
        }
        let (mut store, recovery) = match self.shape.open::<O, _>(device.clone()) {
            Ok(opened) => opened,
            Err(OpenError::Device(CrashError::Cut)) => {
                let state = device.moment().state(rng);
                return self.check(state, acknowledged, rng, cuts + 1);
            }
            Err(error) => return Err(format!("opening after {cuts} more cuts: {error}")),
        };
        device.arm(None);
        let expected = self.recovered(recovery.to.0, acknowledged)?;
        assert_same(&contents(&mut store), &expected, "after a power cut");
        assert_sound(&mut store, &expected, "after a power cut");

        // What was recovered is durable now.
        let state = device.moment().state(rng);
        let again = CrashDevice::new(state, self.limit, 0);
        let (mut again, second) =
            self.shape.open::<O, _>(again).map_err(|error| format!("again: {error}"))?;
        if second.to != recovery.to {
            return Err(format!("recovered {} and then {}", recovery.to, second.to));
        }
        assert_same(&contents(&mut again), &expected, "after a second cut");

        // And the store works. Perhaps the caller does again what was lost: the same record as before
        // must not bring back what stood behind it.
        let again = self.puts.get(&(recovery.to.0 + 1)).filter(|_| rng.u8(..3) > 0);
        let puts = again.cloned().unwrap_or_else(|| vec![(b"new".to_vec(), 3, bytes(recovery.to.0, 400))]);
        let mut expected = expected;
        let mut batch = batch(store.geometry());
        puts.iter().for_each(|(name, tag, value)| batch.put(name, value, *tag).unwrap());
        match store.commit(&mut [batch], Durable) {
            Ok(_) => expected.extend(puts.into_iter().map(|(name, tag, value)| (name, (tag, value)))),
            Err(WriteError::Full | WriteError::BatchTooLarge) => {}
            Err(error) => return Err(format!("writing afterwards: {error}")),
        }
        let last = store.sequence();
        let state = device.moment().state(rng);
        let (mut store, recovery) = self
            .shape
            .open::<O, _>(CrashDevice::new(state, self.limit, 0))
            .map_err(|error| format!("after writing: {error}"))?;
        if recovery.to != last {
            return Err(format!("wrote commit {last} and recovered {}", recovery.to));
        }
        assert_same(&contents(&mut store), &expected, "after writing");
        assert_sound(&mut store, &expected, "after writing");
        Ok(())
    }

    /// Checks states of each moment; returns how many.
    fn check_all(&self, moments: &[Moment], each: usize, rng: &mut fastrand::Rng) -> Result<u64, String> {
        let mut states = 0;
        for moment in moments {
            let candidates = if moment.uncertain() <= 3 {
                moment.all_states()
            } else {
                (0..each).map(|_| moment.state(rng)).collect()
            };
            for state in candidates {
                states += 1;
                self.check(state, moment.acknowledged, rng, 0)
                    .map_err(|error| format!("at change {}: {error}", moment.change))?;
            }
        }
        Ok(states)
    }
}

struct OnPanic(u64, String);

impl Drop for OnPanic {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("failed with BLOCKYARD_SEED={}: {}", self.0, self.1);
        }
    }
}

fn seeds(first: u64, runs: u64) -> std::ops::Range<u64> {
    let number = |name| std::env::var(name).ok().and_then(|value| value.parse::<u64>().ok());
    match number("BLOCKYARD_SEED") {
        Some(seed) => seed..seed + 1,
        None => first..first + number("BLOCKYARD_RUNS").unwrap_or(runs),
    }
}

fn power_cuts<O: Overlay + Default>(seeds: std::ops::Range<u64>) {
    let mut states = 0;
    for seed in seeds.clone() {
        let mut work: Work<O> = Work::new(seed);
        let _seed = OnPanic(seed, format!("{:?}", work.shape));
        work.device.record();
        work.run(40).unwrap();
        let moments = work.device.moments();
        let mut rng = fastrand::Rng::with_seed(seed);
        states += work.check_all(&moments, 2, &mut rng).unwrap();
    }
    println!("{states} crash states");
    assert!(states > 50 * (seeds.end - seeds.start), "{states} states are too few");
}

#[test]
fn power_cuts_with_bodies_on_the_heap() {
    power_cuts::<Heap>(seeds(0, 12));
}

#[test]
fn power_cuts_with_bodies_in_the_journal() {
    power_cuts::<Fixed>(seeds(1000, 12));
}

/// One fault, the store opened again on a cache that lies, more work, a power cut.
fn fault_then_cuts<O: Overlay + Default>(operation: Operation, seeds: std::ops::Range<u64>, every: u64) {
    let (mut states, mut faults) = (0, 0);
    for seed in seeds {
        let mut work: Work<O> = Work::new(seed);
        work.device.arm(None);
        work.run(30).unwrap();
        let operations = work.device.count(operation);
        for number in (seed % every..operations).step_by(every as usize) {
            let mut work: Work<O> = Work::new(seed);
            let _seed = OnPanic(seed, format!("{operation:?} {number} fails, {:?}", work.shape));
            work.device.arm(Some(Fault::Fails(operation, number)));
            let failed = work.run(30);
            assert_eq!(failed, Err(WriteError::Device(CrashError::Eio)));
            faults += 1;
            assert!(work.store.is_poisoned());
            assert_eq!(work.step_refused(), WriteError::Poisoned);
            let mut rng = fastrand::Rng::with_seed(number);
            // Right after the fault, power may fail as well.
            states += work.check_all(&[work.device.moment()], 2, &mut rng).unwrap();
            // Or the process starts again, and perhaps another sync fails while it recovers.
            if rng.bool() {
                work.device.arm(Some(Fault::Fails(Operation::Sync, rng.u64(..4))));
                drop(work.shape.open::<O, _>(work.device.clone()));
            }
            work.device.arm(None);
            states += work.reopen(&mut rng).unwrap();
            work.device.record();
            work.run(8).unwrap();
            let moments = work.device.moments();
            states += work.check_all(&moments, 1, &mut rng).unwrap();
        }
    }
    println!("{states} crash states after {faults} faults");
    assert!(faults > 10 && states > 10 * faults, "{states} states after {faults} faults are too few");
}

impl<O: Overlay + Default> Work<O> {
    /// What a poisoned store answers to any change.
    fn step_refused(&mut self) -> WriteError<CrashError> {
        let answer = put(&mut self.store, b"name 1", b"", Buffered).unwrap_err();
        assert_eq!(self.store.sync(), Err(answer));
        assert_eq!(self.store.seal(), Err(answer));
        assert_eq!(self.store.checkpoint(), Err(answer));
        assert_eq!(delete(&mut self.store, b"name 1", Durable), Err(answer));
        let mut chunk = vec![0; self.shape.page_size as usize];
        assert_eq!(self.store.writer::<4>(b"name", 0, &mut chunk).map(drop), Err(answer));
        answer
    }
}

#[test]
fn failed_syncs_that_lie() {
    fault_then_cuts::<Heap>(Operation::Sync, seeds(2000, 6), 3);
    fault_then_cuts::<Fixed>(Operation::Sync, seeds(3000, 6), 3);
}

#[test]
fn failed_writes_that_leave_a_mix() {
    fault_then_cuts::<Heap>(Operation::Write, seeds(4000, 4), 9);
    fault_then_cuts::<Fixed>(Operation::Write, seeds(5000, 4), 9);
}

/// Without an epoch that every open raises: a record is torn, the one behind it is whole; recovery
/// discards both; the caller commits the same again, byte for byte the same record, and the one behind
/// it, which nobody committed in this life, is back.
#[test]
fn what_recovery_discarded_does_not_come_back() {
    let shape = Shape { carry_max: 0, ..Shape::SMALL };
    let limit = 4096 * 512;
    // Once with an empty journal and once with one that recovery folds in without a page: then nothing
    // but the epoch tells the two records apart.
    for journal in [false, true] {
        let device = CrashDevice::new(Vec::new(), limit, 0);
        let mut store: TestStore<Heap, _> = shape.new_store(device.clone());
        if journal {
            put(&mut store, b"gone", b"soon", Buffered).unwrap();
            delete(&mut store, b"gone", Durable).unwrap();
        }
        let before = store.sequence();
        let many = |store: &TestStore<Heap, CrashDevice>| {
            let mut batch = batch(store.geometry());
            // 224 bytes of header and twelve times 64 and a name and a value: four units in all, so that
            // the next record has units of its own.
            (0..12_u8).for_each(|name| batch.put(&[b'a' + name], &[name; 87], 1).unwrap());
            batch
        };
        let first = many(&store);
        store.commit(&mut [first], Buffered).unwrap();
        put(&mut store, b"behind", b"it", Buffered).unwrap();
        let state = device.moment().without_first_unit();

        let device = CrashDevice::new(state, limit, 0);
        let (mut store, recovery) = shape.open::<Heap, _>(device.clone()).unwrap();
        assert_eq!((recovery.to, contents(&mut store)), (before, Model::new()));
        let again = many(&store);
        let last = store.commit(&mut [again], Durable).unwrap();
        let (mut store, recovery) = shape.open::<Heap, _>(device).unwrap();
        assert_eq!(recovery.to, last, "journal: {journal}");
        assert!(!store.exists(b"behind").unwrap());
    }
}

/// A test that never fails proves nothing: on a device whose syncs do nothing, it must find loss.
#[test]
fn these_tests_see_a_device_that_never_syncs() {
    let mut lost = 0;
    for seed in 0..10 {
        let mut work: Work<Heap> = Work::new(seed);
        work.device.arm(Some(Fault::SyncsDoNothing));
        work.device.record();
        work.run(30).unwrap();
        let moments = work.device.moments();
        let mut rng = fastrand::Rng::with_seed(seed);
        let unwritten = |moment: &Moment| moment.acknowledged > 0;
        for moment in moments.iter().filter(|moment| unwritten(moment)).take(20) {
            let state = moment.state(&mut rng);
            lost += u64::from(work.lost(state, moment.acknowledged));
        }
    }
    assert!(lost > 20, "only {lost} of 200 states show the loss");
}

impl<O: Overlay + Default> Work<O> {
    fn lost(&self, state: Vec<u8>, acknowledged: u64) -> bool {
        let device = CrashDevice::new(state, self.limit, 0);
        match self.shape.open::<O, _>(device) {
            Ok((_, recovery)) => recovery.to.0 < acknowledged,
            Err(_) => true,
        }
    }
}

//! Random work on random shapes, compared with a map in memory at every turn.
//!
//! A failure prints its seed; `BLOCKYARD_SEED=n cargo test -p blockyard-core model` runs that one
//! alone, `BLOCKYARD_RUNS=n` more of them.

use crate::support::*;
use blockyard_core::Durability::{self, Buffered, Durable};
use blockyard_core::device::VecDevice;
use blockyard_core::error::WriteError;
use blockyard_core::format::op_kind;
use blockyard_core::overlay::Overlay;
use blockyard_core::store::{Memory, Progress};
use blockyard_core::{Digest, Store};

/// What the runs met, so that a test that meets nothing fails.
#[derive(Debug, Default)]
struct Seen {
    commits: u64,
    full: u64,
    too_large: u64,
    by_checkpoint: u64,
    renames: u64,
    streams: u64,
    reopens: u64,
    recovered: u64,
    growths: u64,
    checkpoints: u64,
    wraps: u64,
}

struct SeedOnPanic(u64, Shape, u64);

impl Drop for SeedOnPanic {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("failed with BLOCKYARD_SEED={} {:?}, device of {} pages", self.0, self.1, self.2);
        }
    }
}

struct World<O> {
    rng: fastrand::Rng,
    shape: Shape,
    store: TestStore<O>,
    model: Model,
    /// A write is staged: its pages and all that checkpoints give up meanwhile stay taken.
    staging: bool,
}

fn random_shape(rng: &mut fastrand::Rng) -> Shape {
    let page_size: u32 = [512, 512, 1024, 4096][rng.usize(..4)];
    let chunk_pages = [1, 2, 4, 16][rng.usize(..4)];
    let staging = [0, 4096, 64 << 10][rng.usize(..3)];
    let journal_pages = [4, 6, 16, 64][rng.usize(..4)];
    Shape {
        page_size,
        journal_pages,
        chunk_pages,
        memory: Memory { levels: 8, map_pages: rng.usize(6..20), staging },
        growth: [1, 7, 64][rng.usize(..3)],
        groups_ahead: if journal_pages % 16 == 0 { 4 } else { 1 },
        carry_max: [0, 600, 4096, 64 << 10][rng.usize(..4)],
    }
}

impl<O: Overlay + Default> World<O> {
    fn name(&mut self) -> Vec<u8> {
        let number = self.rng.u32(..60);
        // Some names are long, some are prefixes of others.
        match number % 4 {
            0 => format!("{number}").into_bytes(),
            1 => format!("block/{number:03}").into_bytes(),
            2 => format!("{:>50}", number).into_bytes(),
            _ => vec![b'x'; number as usize],
        }
    }

    fn present(&mut self) -> Option<Vec<u8>> {
        let at = self.rng.usize(..self.model.len().max(1));
        self.model.keys().nth(at).cloned()
    }

    fn length(&mut self, max: usize) -> usize {
        let page = self.shape.page_size as usize;
        let length = match self.rng.u8(..8) {
            0 => 0,
            1..=3 => self.rng.usize(..=page / 4),
            4 => page / 4 + self.rng.usize(..3),
            5 => page * self.rng.usize(1..4) - self.rng.usize(..2),
            6 => self.rng.usize(..2 * page),
            _ => self.rng.usize(..=max),
        };
        length.min(max)
    }

    fn value(&mut self, max: usize) -> Vec<u8> {
        let length = self.length(max);
        bytes(self.rng.u64(..), length)
    }

    fn durability(&mut self) -> Durability {
        if self.rng.bool() { Durable } else { Buffered }
    }

    /// True when the change was made; false when it was refused for want of room.
    fn admitted<T>(
        &self,
        result: Result<T, WriteError<blockyard_core::device::MemoryError>>,
        seen: &mut Seen,
    ) -> bool {
        match result {
            Ok(_) => {
                seen.commits += 1;
                true
            }
            Err(WriteError::Full) => {
                seen.full += 1;
                false
            }
            Err(WriteError::BatchTooLarge) => {
                seen.too_large += 1;
                false
            }
            Err(error) => panic!("{error}"),
        }
    }

    fn step(&mut self, seen: &mut Seen) {
        let chunk = self.store.geometry().chunk_size() as usize;
        match self.rng.u8(..100) {
            0..25 => self.batches(1, 1, seen),
            25..35 => self.batches(1, 24, seen),
            35..42 => self.batches(4, 3, seen),
            42..52 => {
                let name = self.present().unwrap_or_else(|| b"nothing".to_vec());
                let durability = self.durability();
                delete(&mut self.store, &name, durability).expect("a deletion is always possible");
                self.model.remove(&name);
            }
            52..60 => {
                let (Some(from), to) = (self.present(), self.name_or_one()) else { return };
                let mut scratch = batch(self.store.geometry());
                let durability = self.durability();
                let result = self.store.rename(&from, &to, &mut scratch, durability);
                if self.admitted(result, seen) {
                    seen.renames += 1;
                    let block = self.model.remove(&from).unwrap();
                    self.model.insert(to, block);
                }
            }
            60..68 => {
                let (name, value) = (self.name_or_one(), self.value(3 * chunk));
                let durability = self.durability();
                let tag = self.rng.u64(..);
                let result = stream(&mut self.store, &name, tag, &value, durability);
                if self.admitted(result, seen) {
                    seen.streams += 1;
                    self.model.insert(name, (tag, value));
                }
            }
            68..71 => {
                // A stream that is given up.
                let value = self.value(3 * chunk);
                let mut buffer = vec![0; chunk];
                let mut writer = self.store.writer::<64>(b"never", 0, &mut buffer).unwrap();
                let result = writer.write(&value);
                drop(writer);
                self.admitted(result, seen);
            }
            71..75 => self.staged_beside_commits(seen),
            75..84 => {
                for _ in 0..self.rng.u8(1..5) {
                    self.store.checkpoint_step().expect("a checkpoint is always possible");
                }
            }
            84..88 => self.store.checkpoint().expect("a checkpoint is always possible"),
            88..90 => self.store.seal().unwrap(),
            90..92 => {
                self.store.sync().unwrap();
                assert_eq!(self.store.durable_sequence(), self.store.sequence());
            }
            92..97 => self.look(),
            _ => self.reopen(seen),
        }
    }

    fn name_or_one(&mut self) -> Vec<u8> {
        match self.rng.bool().then(|| self.present()).flatten() {
            Some(name) => name,
            None => loop {
                let name = self.name();
                if !name.is_empty() {
                    return name;
                }
            },
        }
    }

    fn batches(&mut self, most: usize, operations: usize, seen: &mut Seen) {
        let chunk = self.store.geometry().chunk_size() as usize;
        let mut model = self.model.clone();
        let mut group = Vec::new();
        for _ in 0..self.rng.usize(1..=most) {
            let mut batch = batch(self.store.geometry());
            for _ in 0..self.rng.usize(1..=operations) {
                let name = self.name_or_one();
                if self.rng.u8(..5) == 0 {
                    batch.delete(&name).unwrap();
                    model.remove(&name);
                } else {
                    let (tag, value) = (self.rng.u64(..), self.value(chunk));
                    batch.put(&name, &value, tag).unwrap();
                    model.insert(name, (tag, value));
                }
            }
            group.push(batch);
        }
        let durability = self.durability();
        let (before, checkpoints) = (self.store.sequence(), self.store.counters().checkpoints);
        let mut result = self.store.commit(&mut group, durability);
        if result == Err(WriteError::Full) && !self.staging {
            // Nothing happened, to the store or to the batches: with more room they go in.
            seen.full += 1;
            assert_eq!(self.store.sequence(), before);
            self.compare("after a refusal");
            self.delete_all();
            result = self.store.commit(&mut group, durability);
            model = Model::new();
            for operation in group.iter().flat_map(blockyard_core::Batch::operations) {
                model.remove(operation.name);
                if operation.head.kind != op_kind::DELETE && result.is_ok() {
                    let value = get(&mut self.store, operation.name).unwrap_or_default();
                    model.insert(operation.name.to_vec(), (operation.head.tag.get(), value));
                }
            }
        }
        if self.admitted(result, seen) {
            assert!(self.store.sequence().0 >= before.0 + group.len() as u64);
            if durability == Durable {
                assert_eq!(self.store.durable_sequence(), self.store.sequence());
            }
            let used = self.store.journal_used();
            seen.by_checkpoint += u64::from(used == 0 && self.store.counters().checkpoints > checkpoints);
            self.model = model;
        }
    }

    fn delete_all(&mut self) {
        for name in names(&mut self.store) {
            delete(&mut self.store, &name, Buffered).expect("a deletion is always possible");
        }
        self.model.clear();
    }

    /// A large block is written chunk by chunk while other commits and checkpoints come between.
    fn staged_beside_commits(&mut self, seen: &mut Seen) {
        let chunk = self.store.geometry().chunk_size();
        let count = self.rng.usize(2..5);
        let value = {
            let short = self.rng.usize(..chunk as usize);
            bytes(self.rng.u64(..), count * chunk as usize - short)
        };
        self.store.begin_staged();
        self.staging = true;
        let mut list = Vec::new();
        let mut refused = false;
        for piece in value.chunks(chunk as usize) {
            match self.store.write_chunk(piece, Digest::of(piece)) {
                Ok(staged) => list.push(staged.to_ref()),
                result => {
                    assert!(!self.admitted(result, seen));
                    refused = true;
                    break;
                }
            }
            match self.rng.u8(..3) {
                0 => self.batches(1, 4, seen),
                1 => drop(self.store.checkpoint_step().expect("a checkpoint is always possible")),
                _ => {}
            }
        }
        if !refused && self.rng.u8(..4) > 0 {
            let name = self.name_or_one();
            let mut batch = batch(self.store.geometry());
            batch.put_chunks(&name, value.len() as u64, 5, chunk, &list).unwrap();
            let durability = self.durability();
            let result = self.store.commit(&mut [batch], durability);
            if self.admitted(result, seen) {
                seen.streams += 1;
                self.model.insert(name, (5, value));
            }
        }
        self.store.end_staged();
        self.staging = false;
    }

    fn look(&mut self) {
        let name = self.name_or_one();
        let expected = self.model.get(&name);
        assert_eq!(self.store.exists(&name).unwrap(), expected.is_some());
        let found = get(&mut self.store, &name);
        assert_eq!(found.as_ref(), expected.map(|(_, value)| value), "{}", String::from_utf8_lossy(&name));
        if let Some((tag, value)) = expected {
            let info = self.store.info(&name).unwrap().unwrap();
            assert_eq!((info.tag, info.length), (*tag, value.len() as u64));
            let piece = self.rng.usize(1..2000);
            assert_eq!(read_stream(&mut self.store, &name, piece).as_ref(), Some(value));
        }
        // Whatever is pending, what is durable is whole.
        let mut findings = Findings::default();
        let report = verify_both_ways(&mut self.store, &mut findings).unwrap();
        assert!(findings.problems.is_empty(), "{:?} {report:?}", findings.problems);
    }

    fn reopen(&mut self, seen: &mut Seen) {
        seen.growths += self.store.counters().grows;
        seen.checkpoints += self.store.counters().checkpoints;
        seen.wraps += u64::from(
            self.store.superblock().journal_position.get() > self.store.geometry().journal_length(),
        );
        let sequence = self.store.sequence();
        let device = std::mem::replace(&mut self.store, dummy(&self.shape)).into_device();
        let (store, recovery) = self.shape.open::<O, _>(device).expect("what was closed can be opened");
        self.store = store;
        seen.reopens += 1;
        seen.recovered += recovery.records;
        assert_eq!((recovery.to, recovery.torn_tail, recovery.damage), (sequence, false, None));
        self.compare("after a reopen");
        assert_sound(&mut self.store, &self.model, "after a reopen");
    }

    fn compare(&mut self, what: &str) {
        assert_same(&contents(&mut self.store), &self.model, what);
    }
}

fn dummy<O: Overlay + Default>(shape: &Shape) -> TestStore<O> {
    Store::create(shape.device(1 << 12), O::default(), shape.buffer(), &shape.create(), &shape.options())
        .unwrap()
}

fn run<O: Overlay + Default>(seed: u64, steps: usize, seen: &mut Seen) {
    let mut rng = fastrand::Rng::with_seed(seed);
    let shape = random_shape(&mut rng);
    let room = shape.front_pages() + rng.u64(48..400);
    let limit = room * u64::from(shape.page_size);
    let device = match rng.u8(..3) {
        0 => shape.device(1 << 20),
        1 => VecDevice::new(512, limit),
        _ => VecDevice::from_bytes(vec![0x5A; limit as usize], 512, limit),
    };
    let _seed = SeedOnPanic(seed, shape, room);
    let store = shape.new_store(device);
    let mut world: World<O> = World { rng, shape, store, model: Model::new(), staging: false };
    for step in 0..steps {
        world.step(seen);
        if step % 25 == 0 {
            world.compare("on the way");
        }
    }
    world.compare("at the end");
    world.store.checkpoint().unwrap();
    assert_eq!(world.store.checkpoint_step(), Ok(Progress::Idle));
    assert_sound(&mut world.store, &world.model, "at the end");
    world.reopen(seen);
    world.delete_all();
    world.store.checkpoint().unwrap();
    let report = assert_sound(&mut world.store, &Model::new(), "emptied");
    assert_eq!(report.used_pages, 0);
}

fn campaign<O: Overlay + Default>(first: u64, runs: u64) -> Seen {
    let mut seen = Seen::default();
    let number = |name| std::env::var(name).ok().and_then(|value| value.parse::<u64>().ok());
    if let Some(seed) = number("BLOCKYARD_SEED") {
        run::<O>(seed, 400, &mut seen);
        return seen;
    }
    for seed in first..first + number("BLOCKYARD_RUNS").unwrap_or(runs) {
        run::<O>(seed, 400, &mut seen);
    }
    assert!(seen.full > 0 && seen.renames > 0 && seen.streams > 0 && seen.recovered > 0, "{seen:?}");
    assert!(seen.growths > 0 && seen.wraps > 0, "{seen:?}");
    println!("{seen:?}");
    seen
}

#[test]
fn a_store_with_bodies_on_the_heap_is_a_map() {
    let seen = campaign::<Heap>(0, 100);
    assert!(seen.by_checkpoint > 0 || seen.reopens < 100, "{seen:?}");
}

#[test]
fn a_store_with_bodies_in_the_journal_is_a_map() {
    campaign::<Fixed>(10_000, 100);
}

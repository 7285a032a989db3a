//! Work for a store, and what must be there after any part of it. Written once for both engines.

use blockyard_core::Durability::{self, Buffered, Durable};
use blockyard_core::device::VecDevice;
use blockyard_core::overlay::Overlay;
use blockyard_core::store::Counters;
use blockyard_sim::fixture::{Findings, Model, Shape, batch, bytes};
use std::cell::RefCell;

/// One call of the store, or a few.
#[derive(Clone, Debug)]
pub(crate) enum Step {
    /// Puts blocks of these lengths under these numbers, and deletes others, in one batch.
    Batch(Vec<(u64, usize)>, Vec<u64>, Durability),
    Rename(u64, u64),
    /// Writes a block piece by piece.
    Stream(u64, usize),
    Sync,
    Seal,
    Checkpoint,
    /// A step of a checkpoint.
    Fold,
    /// Reads a block, its neighbour's name and a part of it.
    Read(u64),
    Verify,
}

impl Step {
    /// Whether it changes nothing of the store.
    pub(crate) const fn reads(&self) -> bool {
        matches!(self, Self::Read(_) | Self::Verify)
    }
}

/// A bit of everything.
pub(crate) fn steps(shape: &Shape) -> Vec<Step> {
    let page = shape.page_size as usize;
    let chunk = page * shape.chunk_pages as usize;
    let batch = |puts: &[(u64, usize)], deletes: &[u64], durability| {
        Step::Batch(puts.to_vec(), deletes.to_vec(), durability)
    };
    vec![
        batch(&[(1, 9), (2, 40)], &[], Durable),
        batch(&[(3, page / 2), (4, page + 7)], &[], Buffered),
        Step::Read(4),
        Step::Sync,
        Step::Seal,
        batch(&[(5, chunk)], &[2], Durable),
        Step::Fold,
        batch(&[(6, 3), (1, 70)], &[3], Durable),
        Step::Fold,
        Step::Read(1),
        Step::Checkpoint,
        Step::Stream(7, 2 * chunk + 100),
        Step::Read(7),
        Step::Rename(5, 8),
        batch(&(10..24).map(|name| (name, 30 + name as usize)).collect::<Vec<_>>(), &[], Durable),
        Step::Rename(7, 9),
        batch(&[(30, chunk - 1), (31, chunk), (32, chunk)], &[6], Durable),
        Step::Checkpoint,
        Step::Verify,
        batch(&(24..34).map(|name| (name, page / 3)).collect::<Vec<_>>(), &[12, 13], Buffered),
        Step::Rename(20, 21),
        Step::Fold,
        Step::Verify,
        batch(&[(40, 5)], &[], Durable),
        batch(&[], &[40, 9, 30], Durable),
        Step::Checkpoint,
        batch(&[(41, page * 2), (42, 8)], &[], Durable),
    ]
}

pub(crate) fn name(number: u64) -> Vec<u8> {
    format!("block {:03}", number * 37 % 101).into_bytes()
}

/// How far the work came.
#[derive(Clone, Debug, Default)]
pub(crate) struct Progress {
    /// The step under way.
    pub(crate) step: usize,
    /// Contents after each commit that was begun, the empty store first.
    pub(crate) states: Vec<Model>,
    /// The last commit that was answered, and the last one answered durable.
    answered: usize,
    pub(crate) durable: usize,
}

pub(crate) type Log = RefCell<Progress>;

impl Progress {
    pub(crate) fn log() -> Log {
        RefCell::new(Self { states: vec![Model::new()], ..Self::default() })
    }

    fn begin(&mut self, change: impl FnOnce(&mut Model)) {
        let mut next = self.states.last().cloned().unwrap_or_default();
        change(&mut next);
        self.states.push(next);
    }

    fn answer(&mut self, durability: Durability) {
        self.answered = self.states.len() - 1;
        if durability == Durable {
            self.durable = self.answered;
        }
    }

    /// Whether a store with these contents has all that was answered durable, and no half of anything.
    pub(crate) fn admits(&self, found: &Model) -> bool {
        self.states[self.durable..].contains(found)
    }
}

macro_rules! worker {
    ($store:path, $verification:path, $device:path, [$($asynchronous:tt)?], [$($wait:tt)*], $work:ident, $contents:ident) => {
        /// Does the steps, and notes how far it is.
        pub(crate) $($asynchronous)? fn $work<D: $device, O: Overlay>(
            store: &mut $store,
            shape: &Shape,
            steps: &[Step],
            log: &Log,
        ) where
            D::Error: std::fmt::Debug,
        {
            let geometry = *store.geometry();
            for (number, step) in steps.iter().enumerate() {
                log.borrow_mut().step = number;
                let seed = |name: u64| 1000 * number as u64 + name;
                match step {
                    Step::Batch(puts, deletes, durability) => {
                        let mut changes = batch(&geometry);
                        for &(number, length) in puts {
                            changes.put(&name(number), &bytes(seed(number), length), number).unwrap();
                        }
                        for &number in deletes {
                            changes.delete(&name(number)).unwrap();
                        }
                        log.borrow_mut().begin(|model| {
                            for &(number, length) in puts {
                                model.insert(name(number), (number, bytes(seed(number), length)));
                            }
                            for &number in deletes {
                                model.remove(&name(number));
                            }
                        });
                        store.commit(&mut [changes], *durability)$($wait)*.unwrap();
                        log.borrow_mut().answer(*durability);
                    }
                    Step::Rename(from, to) => {
                        log.borrow_mut().begin(|model| {
                            let block = model.remove(&name(*from)).unwrap();
                            model.insert(name(*to), block);
                        });
                        let mut scratch = batch(&geometry);
                        store.rename(&name(*from), &name(*to), &mut scratch, Durable)$($wait)*.unwrap();
                        log.borrow_mut().answer(Durable);
                    }
                    Step::Stream(number, length) => {
                        let value = bytes(seed(*number), *length);
                        log.borrow_mut().begin(|model| {
                            model.insert(name(*number), (*number, value.clone()));
                        });
                        let mut chunk = vec![0; (shape.page_size * shape.chunk_pages) as usize];
                        let name = name(*number);
                        let mut scratch = batch(&geometry);
                        let mut writer = store.writer::<64>(&name, *number, &mut chunk).unwrap();
                        for piece in value.chunks(700) {
                            writer.write(piece)$($wait)*.unwrap();
                        }
                        writer.finish(&mut scratch, Durable)$($wait)*.unwrap();
                        log.borrow_mut().answer(Durable);
                    }
                    Step::Sync => {
                        store.sync()$($wait)*.unwrap();
                        log.borrow_mut().answer(Durable);
                    }
                    Step::Seal => store.seal()$($wait)*.unwrap(),
                    Step::Checkpoint => {
                        store.checkpoint()$($wait)*.unwrap();
                        log.borrow_mut().answer(Durable);
                    }
                    Step::Fold => drop(store.checkpoint_step()$($wait)*.unwrap()),
                    Step::Read(number) => {
                        let model = log.borrow().states.last().cloned().unwrap();
                        let (tag, value) = &model[&name(*number)];
                        let mut found = vec![0; value.len()];
                        let length = store.get(&name(*number), &mut found)$($wait)*.unwrap();
                        assert_eq!((length, &found), (Some(value.len()), value));
                        assert_eq!(store.info(&name(*number))$($wait)*.unwrap().unwrap().tag, *tag);
                        let above = name(*number);
                        let next = store.next_name(Some(&above), &mut [0; 64])$($wait)*.unwrap();
                        let above = (std::ops::Bound::Excluded(above.clone()), std::ops::Bound::Unbounded);
                        assert_eq!(next, model.range::<Vec<u8>, _>(above).next().map(|(name, _)| name.len()));
                        let name = name(*number);
                        let mut reader = store.reader(&name)$($wait)*.unwrap();
                        reader.seek(3);
                        let mut part = [0; 5];
                        let read = reader.read(&mut part)$($wait)*.unwrap();
                        assert_eq!(part[..read], value[3..3 + read]);
                    }
                    Step::Verify => {
                        let mut findings = Findings::default();
                        store.verify(&mut findings)$($wait)*.unwrap();
                        assert!(findings.problems.is_empty(), "step {number}: {:?}", findings.problems);
                        let mut verification = <$verification>::new([0; 512]);
                        let mut stepwise = Findings::default();
                        while store.verify_step(&mut verification, &mut stepwise)$($wait)*.unwrap() {}
                        assert_eq!(stepwise, findings, "step {number}");
                        store.free_space()$($wait)*.unwrap();
                    }
                }
            }
        }

        /// Everything that the store gives out.
        pub(crate) $($asynchronous)? fn $contents<D: $device, O: Overlay>(store: &mut $store) -> Model
        where
            D::Error: std::fmt::Debug,
        {
            let mut contents = Model::new();
            let (mut last, mut name) = (None::<Vec<u8>>, [0; 64]);
            while let Some(length) = store.next_name(last.as_deref(), &mut name)$($wait)*.unwrap() {
                let info = store.info(&name[..length])$($wait)*.unwrap().unwrap();
                let mut value = vec![0; info.length as usize];
                store.get(&name[..length], &mut value)$($wait)*.unwrap();
                contents.insert(name[..length].to_vec(), (info.tag, value));
                last = Some(name[..length].to_vec());
            }
            contents
        }
    };
}

worker!(
    blockyard_core::Store<D, O, Vec<u8>>,
    blockyard_core::store::Verification<[u8; 512]>,
    blockyard_core::BlockDevice,
    [],
    [],
    work,
    contents
);
worker!(
    blockyard_core::asynchronous::Store<D, O, Vec<u8>>,
    blockyard_core::asynchronous::store::Verification<[u8; 512]>,
    blockyard_core::asynchronous::BlockDevice,
    [async],
    [.await],
    work_async,
    contents_async
);

/// Opens an image with the blocking engine: what it holds, and the image afterwards.
pub(crate) fn reopened<O: Overlay + Default>(shape: &Shape, image: VecDevice) -> (Model, VecDevice) {
    let (mut store, _) = shape.open::<O, _>(image).unwrap();
    let found = contents(&mut store);
    (found, store.into_device())
}

/// What two engines asked of their devices.
pub(crate) fn assert_counted_alike(blocking: Counters, asynchronous: Counters, bodies_kept: bool) {
    // Bodies that the overlay keeps go to their pages in pieces here.
    let writes = if bodies_kept { blocking.writes } else { asynchronous.writes };
    assert_eq!(blocking, Counters { writes, ..asynchronous });
}

//! One engine's turn in one workload: the engine, what it must hold, and the clock.

use std::time::Instant;

use anyhow::{Context, Result};

use crate::count::{self, Calls, Heap};
use crate::data::{Contents, Key, Random, key};
use crate::engines::{Change, Engine, Kind, Opening, forget_cached};
use crate::model::Model;
use crate::plan::Amounts;

/// An engine with its data and its model.
pub(crate) struct Slot {
    /// Which engine.
    pub(crate) kind: Kind,
    /// How it was opened.
    pub(crate) opening: Opening,
    /// What it must hold.
    pub(crate) model: Model,
    engine: Option<Box<dyn Engine>>,
}

impl Slot {
    /// Opens an engine in its folder, which is made.
    pub(crate) fn open(kind: Kind, opening: Opening) -> Result<Self> {
        std::fs::create_dir_all(&opening.folder)?;
        let engine = (kind.open)(&opening).with_context(|| format!("cannot open {}", kind.name))?;
        let model = Model::empty(opening.length);
        Ok(Self { kind, opening, model, engine: Some(engine) })
    }

    /// The engine.
    pub(crate) fn engine(&self) -> Result<&dyn Engine> {
        self.engine.as_deref().context("the engine is closed")
    }

    /// Closes the engine.
    pub(crate) fn close(&mut self) -> Result<()> {
        self.engine.take().map_or(Ok(()), |engine| engine.close())
    }

    /// Closes and opens the engine, and in between makes the operating system forget its files.
    pub(crate) fn reopen_cold(&mut self) -> Result<()> {
        self.close()?;
        forget_cached(&self.opening.folder)?;
        self.open_again()
    }

    /// Opens the engine that was closed.
    pub(crate) fn open_again(&mut self) -> Result<()> {
        self.engine = Some((self.kind.open)(&self.opening)?);
        Ok(())
    }

    /// Loads records in the order given, relaxed, in batches; durable at the end.
    pub(crate) fn load(&mut self, order: &[u64]) -> Result<()> {
        let length = self.opening.length;
        let a_batch = ((4 << 20) / length).clamp(16, 10_000);
        let mut values = vec![0; a_batch * length];
        let engine = self.engine()?;
        let mut session = engine.session()?;
        for numbers in order.chunks(a_batch) {
            let keys: Vec<Key> = numbers.iter().map(|&index| key(index)).collect();
            for (&index, value) in numbers.iter().zip(values.chunks_exact_mut(length)) {
                Contents::new(index, 1, length).fill(value);
            }
            let records = keys.iter().zip(values.chunks_exact(length));
            let changes: Vec<Change<'_>> = records.map(|(key, value)| Change::Put(key, value)).collect();
            session.batch(&changes, false)?;
        }
        session.sync()?;
        drop(session);
        for &index in order {
            self.model.set(index, 1);
        }
        Ok(())
    }
}

/// What one series of a turn came to.
#[derive(Clone, Debug, Default)]
pub(crate) struct Sample {
    /// Seconds for each operation, as often as it was measured.
    pub(crate) values: Vec<f64>,
    /// Operations measured.
    pub(crate) operations: u64,
    /// What they asked of the operating system.
    pub(crate) calls: Calls,
    /// Their heap traffic, when it is counted.
    pub(crate) heap: Option<Heap>,
}

/// Times and counts.
#[derive(Debug, Default)]
pub(crate) struct Clock {
    samples: Vec<Sample>,
}

impl Clock {
    fn sample(&mut self, series: usize) -> &mut Sample {
        if self.samples.len() <= series {
            self.samples.resize_with(series + 1, Sample::default);
        }
        &mut self.samples[series]
    }

    /// Runs `work`, which is so many operations, and notes it in a series.
    pub(crate) fn time<T>(
        &mut self,
        series: usize,
        operations: u64,
        work: impl FnOnce() -> Result<T>,
    ) -> Result<T> {
        let before = Calls::now();
        let ((seconds, result), heap) = count::heap_of(|| {
            let start = Instant::now();
            let result = work();
            (start.elapsed().as_secs_f64(), result)
        });
        let calls = Calls::now().since(before);
        let sample = self.sample(series);
        sample.values.push(seconds / operations as f64);
        sample.operations += operations;
        sample.calls = sample.calls.plus(calls);
        if let Some(heap) = heap {
            sample.heap = Some(sample.heap.unwrap_or_default().plus(heap));
        }
        result
    }

    /// Notes operations that were timed one by one elsewhere.
    pub(crate) fn note(&mut self, series: usize, seconds: &[f64]) {
        let sample = self.sample(series);
        sample.values.extend_from_slice(seconds);
        sample.operations += seconds.len() as u64;
    }

    /// What was noted, by series.
    pub(crate) fn into_samples(self) -> Vec<Sample> {
        self.samples
    }
}

/// A turn.
pub(crate) struct Turn<'a> {
    /// The engine whose turn it is.
    pub(crate) slot: &'a mut Slot,
    /// How much to do.
    pub(crate) amounts: &'a Amounts,
    /// The same numbers for every engine.
    pub(crate) random: Random,
    /// Where it is noted.
    pub(crate) clock: Clock,
}

/// A change prepared before it is timed.
#[derive(Clone, Debug)]
pub(crate) struct Update {
    /// The record.
    pub(crate) index: u64,
    /// Its name.
    pub(crate) key: Key,
    /// Its new value.
    pub(crate) value: Vec<u8>,
}

impl Turn<'_> {
    /// A new version of a record, noted in the model as if it were written already.
    pub(crate) fn update(&mut self, index: u64) -> Update {
        let model = &mut self.slot.model;
        let (version, length) = (model.next_version(), model.length());
        let mut value = vec![0; length];
        Contents::new(index, version, length).fill(&mut value);
        model.set(index, version);
        Update { index, key: key(index), value }
    }

    /// New versions of so many records drawn at random; one may be drawn twice.
    pub(crate) fn updates(&mut self, count: u64) -> Vec<Update> {
        let numbers = self.slot.model.numbers();
        (0..count)
            .map(|_| {
                let index = self.random.below(numbers);
                self.update(index)
            })
            .collect()
    }

    /// Compares the records that were written with the model.
    pub(crate) fn check(&self, updates: &[Update]) -> Result<()> {
        let numbers: Vec<u64> = updates.iter().map(|update| update.index).collect();
        self.slot.model.check_some(self.slot.engine()?, &numbers)
    }
}

/// The updates as one batch.
pub(crate) fn as_batch(updates: &[Update]) -> Vec<Change<'_>> {
    updates.iter().map(|update| Change::Put(&update.key, &update.value)).collect()
}

//! Two readers beside one writer that commits durably all the time.

use std::sync::Barrier;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use anyhow::{Result, anyhow, ensure};

use super::{MAP, RAW, Series, Unit, Workload};
use crate::data::{Contents, Random, key};
use crate::engines::{Engine, Kind};
use crate::turn::{Turn, Update};

const READERS: u64 = 2;
/// Reads noted of one reader; it goes on reading after that.
const NOTED: usize = 100_000;
/// Reads that there are at least, however quick the writer was.
const FEWEST: usize = 200;

/// Readers beside a writer.
pub(super) struct Mixed;

/// What a record may be while the writer is at work.
struct Either {
    old: Option<Contents>,
    new: Option<Contents>,
}

fn read_until(
    engine: &dyn Engine,
    records: &[Either],
    length: usize,
    mut random: Random,
    (barrier, done): (&Barrier, &AtomicBool),
) -> Result<Vec<f64>> {
    let session = engine.session();
    let (mut buffer, mut seconds) = (vec![0; length], Vec::with_capacity(NOTED));
    barrier.wait();
    let mut session = session?;
    while !done.load(Ordering::Acquire) || seconds.len() < FEWEST {
        let index = random.below(records.len() as u64);
        let (name, either) = (key(index), &records[index as usize]);
        let start = Instant::now();
        let mut found = None;
        session.read(&mut |reader| {
            found = reader.get_into(&name, &mut buffer)?;
            Ok(())
        })?;
        let took = start.elapsed().as_secs_f64();
        if seconds.len() < NOTED {
            seconds.push(took);
        }
        let value = found.and_then(|length| buffer.get(..length)).unwrap_or_default();
        let is = |contents: Option<Contents>| contents.is_some_and(|contents| contents.glance(value));
        ensure!(is(either.old) || is(either.new), "record {index} is neither the old nor the new one");
    }
    Ok(seconds)
}

/// Sets the flag when the writer ends, however it ends: the readers wait for it.
struct Done<'a>(&'a AtomicBool);

impl Drop for Done<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Release);
    }
}

impl Workload for Mixed {
    fn name(&self) -> &'static str {
        "mixed"
    }

    fn series(&self) -> &'static [Series] {
        const {
            &[
                Series::new("a point read beside a busy writer", Unit::Time, MAP),
                Series::new("a durable commit beside two busy readers", Unit::Time, RAW),
            ]
        }
    }

    /// A value in a file of places may be read half written.
    fn applies(&self, kind: &Kind) -> bool {
        !kind.name.starts_with("raw")
    }

    fn run(&self, turn: &mut Turn<'_>) -> Result<()> {
        let numbers = turn.slot.model.numbers();
        let mut chosen: Vec<u64> = (0..numbers).collect();
        turn.random.shuffle(&mut chosen);
        chosen.truncate(turn.amounts.singles as usize / 2);
        let old: Vec<Option<Contents>> = (0..numbers).map(|index| turn.slot.model.contents(index)).collect();
        let updates: Vec<Update> = chosen.into_iter().map(|index| turn.update(index)).collect();
        let records: Vec<Either> =
            (0..).zip(old).map(|(index, old)| Either { old, new: turn.slot.model.contents(index) }).collect();
        let (engine, length) = (turn.slot.engine()?, turn.slot.opening.length);
        let (barrier, done) = (Barrier::new(READERS as usize + 1), AtomicBool::new(false));
        let seeds: Vec<Random> = (0..READERS).map(|_| Random::new(turn.random.next())).collect();
        let clock = &mut turn.clock;
        let read = std::thread::scope(|scope| -> Result<Vec<Vec<f64>>> {
            let (records, meet) = (&records, (&barrier, &done));
            let readers: Vec<_> = seeds
                .into_iter()
                .map(|random| scope.spawn(move || read_until(engine, records, length, random, meet)))
                .collect();
            barrier.wait();
            let end = Done(&done);
            let mut session = engine.session()?;
            for update in &updates {
                clock.time(1, 1, || session.put(&update.key, &update.value))?;
            }
            drop(end);
            let ended = readers.into_iter().map(|reader| reader.join());
            ended.map(|ended| ended.map_err(|_| anyhow!("a reader panicked"))?).collect()
        })?;
        read.iter().for_each(|seconds| turn.clock.note(0, seconds));
        turn.check(&updates)
    }
}

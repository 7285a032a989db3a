//! Durable commits of several threads at once, each to records of its own.

use std::sync::Barrier;
use std::time::Instant;

use anyhow::{Context, Result, anyhow};

use super::{RAW, Series, Unit, Workload};
use crate::engines::Engine;
use crate::turn::{Turn, Update};

/// So many threads.
pub(super) struct Threads<const COUNT: usize>;

/// One thread: waits for the others, commits, and notes how long each commit took.
fn commit_all(engine: &dyn Engine, updates: &[Update], barrier: &Barrier) -> Result<Vec<f64>> {
    let session = engine.session();
    let mut seconds = Vec::with_capacity(updates.len());
    barrier.wait();
    let mut session = session?;
    for update in updates {
        let start = Instant::now();
        session.put(&update.key, &update.value)?;
        seconds.push(start.elapsed().as_secs_f64());
    }
    Ok(seconds)
}

impl<const COUNT: usize> Workload for Threads<COUNT> {
    fn name(&self) -> &'static str {
        match COUNT {
            1 => "threads-1",
            2 => "threads-2",
            8 => "threads-8",
            _ => "threads-32",
        }
    }

    fn series(&self) -> &'static [Series] {
        const fn two(all: &'static str, each: &'static str) -> [Series; 2] {
            [Series::new(all, Unit::Rate, RAW), Series::new(each, Unit::Time, RAW)]
        }
        match COUNT {
            1 => const { &two("durable commits of 1 thread", "each commit of 1 thread") },
            2 => const { &two("durable commits of 2 threads", "each commit of 2 threads") },
            8 => const { &two("durable commits of 8 threads", "each commit of 8 threads") },
            _ => const { &two("durable commits of 32 threads", "each commit of 32 threads") },
        }
    }

    fn run(&self, turn: &mut Turn<'_>) -> Result<()> {
        let each = (turn.amounts.thread_commits / COUNT as u64).max(1);
        // A record belongs to one thread, so that what it must be is known.
        let numbers = turn.slot.model.numbers();
        let own = numbers / COUNT as u64;
        let work: Vec<Vec<Update>> = (0..COUNT as u64)
            .map(|thread| {
                let draw = |_| thread * own + turn.random.below(own);
                let records: Vec<u64> = (0..each).map(draw).collect();
                records.into_iter().map(|index| turn.update(index)).collect()
            })
            .collect();
        let (engine, clock) = (turn.slot.engine()?, &mut turn.clock);
        let barrier = Barrier::new(COUNT + 1);
        let latencies = std::thread::scope(|scope| {
            let barrier = &barrier;
            let threads = work.iter();
            let threads: Vec<_> =
                threads.map(|updates| scope.spawn(move || commit_all(engine, updates, barrier))).collect();
            clock.time(0, each * COUNT as u64, || {
                barrier.wait();
                let ended = threads.into_iter().map(|thread| thread.join());
                ended
                    .map(|ended| ended.map_err(|_| anyhow!("a thread panicked"))?)
                    .collect::<Result<Vec<_>>>()
            })
        })
        .context("commits of several threads")?;
        latencies.iter().for_each(|seconds| turn.clock.note(1, seconds));
        work.iter().try_for_each(|updates| turn.check(updates))
    }
}

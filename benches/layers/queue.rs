//! The group-commit queue alone: a leader that does nothing with what it takes.

use std::sync::Barrier;
use std::time::{Duration, Instant};

use blockyard::Durability;
use blockyard::core::queue::{Group, GroupQueue, Limits, Slot};
use criterion::{BenchmarkId, Criterion, Throughput};

type Slots = Box<[Slot<u64, u64, ()>]>;
type Queue = GroupQueue<u64, u64, (), Slots>;

fn lead(group: &mut Group<'_, u64, u64, (), Slots>) {
    while let Some((member, item)) = group.take() {
        group.complete(member, Ok(item));
    }
}

fn queue() -> Queue {
    let slots: Slots = std::iter::repeat_with(Slot::new).take(2048).collect();
    GroupQueue::new(slots, Limits::default())
}

fn commit(queue: &Queue, item: u64) {
    let ticket = queue.submit_or_lead(item, Durability::Durable, lead).expect("an open queue");
    assert_eq!(queue.wait(ticket, lead), Ok(item));
}

/// Lets `threads` threads commit `rounds` items in all.
fn together(queue: &Queue, threads: u64, rounds: u64) -> Duration {
    let barrier = Barrier::new(threads as usize + 1);
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..threads)
            .map(|thread| {
                let barrier = &barrier;
                scope.spawn(move || {
                    let items = rounds / threads + u64::from(thread < rounds % threads);
                    barrier.wait();
                    (0..items).for_each(|item| commit(queue, item));
                })
            })
            .collect();
        barrier.wait();
        let start = Instant::now();
        workers.into_iter().for_each(|worker| worker.join().expect("a worker ends"));
        start.elapsed()
    })
}

pub(crate) fn benches(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("queue");
    group.throughput(Throughput::Elements(1));
    for threads in [1, 2, 8] {
        group.bench_function(BenchmarkId::new("commits by threads", threads), |bencher| {
            let queue = queue();
            bencher.iter_custom(|rounds| together(&queue, threads, rounds));
        });
    }
    group.finish();
}

//! The journal: a commit whose entries are kept by nobody, on a device in memory, so that what is left is
//! admitting it, placing it, and one record digested and written.

use std::time::{Duration, Instant};

use blockyard::Durability;
use blockyard_benches::engine::{Forgetful, MemoryEngine, Sizes, create, puts};
use criterion::{BenchmarkId, Criterion, Throughput};

/// Commits changes of `length` bytes, `count` at a time, and says how long `rounds` of that took. Where the
/// journal is half full it is emptied, untimed.
fn append(
    store: &mut MemoryEngine<Forgetful>,
    (count, length): (u64, usize),
    durability: Durability,
    rounds: u64,
) -> Duration {
    let mut batches = [puts(store.geometry(), 0..count, length)];
    let mut spent = Duration::ZERO;
    for _ in 0..rounds {
        let start = Instant::now();
        store.commit(&mut batches, durability).expect("a commit in memory");
        spent += start.elapsed();
        if store.wants_checkpoint() {
            store.checkpoint().expect("a checkpoint in memory");
        }
        // Committing leaves the places of the values in the batch: the next one is made anew.
        if length > store.geometry().max_inline() {
            batches = [puts(store.geometry(), 0..count, length)];
        }
    }
    spent
}

pub(crate) fn benches(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("journal");
    let cases = [
        ("buffered", Durability::Buffered, 1, 256),
        ("durable", Durability::Durable, 1, 256),
        ("durable, carried", Durability::Durable, 1, 4096),
        ("batch of 500", Durability::Durable, 500, 256),
        ("batch of 500, in pages", Durability::Durable, 500, 4096),
    ];
    for (title, durability, count, length) in cases {
        group.throughput(Throughput::Bytes(count * length as u64));
        group.bench_function(BenchmarkId::new(title, length), |bencher| {
            let mut store = create(Forgetful, Sizes { journal: 64 << 20, ..Sizes::default() });
            bencher.iter_custom(|rounds| append(&mut store, (count, length), durability, rounds));
        });
    }
    group.finish();
}

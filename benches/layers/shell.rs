//! The library as a program uses it, on a device in memory: what is above the engine, and the engine, without
//! the disk.

use std::cell::LazyCell;
use std::hint::black_box;
use std::time::{Duration, Instant};

use blockyard::{Durability, OpenOptions, PutOptions, Store};
use blockyard_benches::rows::{LENGTH, Row, name, rows, updates};
use blockyard_benches::sized;
use criterion::{BenchmarkId, Criterion, Throughput};

/// A store in memory that holds `records` blocks of `length` bytes.
fn store(records: u64, length: usize) -> Store {
    let store = OpenOptions::new().cache_bytes(256 << 20).open_in_memory().expect("a store in memory");
    for part in rows(0..records, length).chunks(1000) {
        commit_all(&store, part);
    }
    store.checkpoint().expect("a checkpoint in memory");
    store
}

fn commit_all(store: &Store, rows: &[Row]) {
    let mut batch = store.batch();
    for row in rows {
        batch.put(&row.name, &row.bytes).expect("a batch has room");
    }
    store.commit(batch).expect("a commit in memory");
}

/// Times `work`, with a checkpoint after it that is not timed.
fn settled(store: &Store, rounds: u64, mut work: impl FnMut()) -> Duration {
    let mut spent = Duration::ZERO;
    for _ in 0..rounds {
        let start = Instant::now();
        work();
        spent += start.elapsed();
        store.checkpoint().expect("a checkpoint in memory");
    }
    spent
}

pub(crate) fn writes(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("shell");
    let records = sized(10_000, 200);
    let changes = updates(1, records, sized(500, 10), LENGTH);
    let loaded = LazyCell::new(|| store(records, LENGTH));
    group.sample_size(20).throughput(Throughput::Elements(changes.len() as u64));
    for (title, durability) in [("durable", Durability::Durable), ("buffered", Durability::Buffered)] {
        group.bench_function(BenchmarkId::new(format!("{title} puts"), changes.len()), |bencher| {
            let options = PutOptions { durability: Some(durability), ..PutOptions::default() };
            bencher.iter_custom(|rounds| {
                settled(&loaded, rounds, || {
                    for row in &changes {
                        loaded.put_with(&row.name, &row.bytes, options).expect("a put in memory");
                    }
                })
            });
        });
    }
    group.bench_function(BenchmarkId::new("durable batch of puts", changes.len()), |bencher| {
        bencher.iter_custom(|rounds| settled(&loaded, rounds, || commit_all(&loaded, &changes)));
    });
    let pages = updates(2, records, changes.len() as u64, 4096);
    let large = LazyCell::new(|| store(records, 4096));
    group.bench_function(BenchmarkId::new("durable batch of puts of 4 KiB", pages.len()), |bencher| {
        bencher.iter_custom(|rounds| settled(&large, rounds, || commit_all(&large, &pages)));
    });
    group.finish();
}

pub(crate) fn reads(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("shell");
    let records = sized(10_000, 200);
    let mut random = fastrand::Rng::with_seed(1);
    let names: Vec<String> = (0..1000).map(|_| name(random.u64(..records))).collect();
    for length in [256, 4096] {
        let loaded = LazyCell::new(|| {
            let store = store(records, length);
            // Warm from here on.
            assert_eq!(scan(&store), records * length as u64);
            store
        });
        let mut buffer = vec![0; length];
        group.throughput(Throughput::Elements(1));
        group.bench_function(BenchmarkId::new("get, copied out", length), |bencher| {
            let mut names = names.iter().cycle();
            bencher.iter(|| {
                let name = black_box(names.next());
                name.map(|name| loaded.get_into(name, &mut buffer).expect("a read").expect("a block"))
            });
        });
        group.bench_function(BenchmarkId::new("get, not copied", length), |bencher| {
            let mut names = names.iter().cycle();
            bencher.iter(|| {
                let name = black_box(names.next());
                name.map(|name| loaded.get_ref(name).expect("a read").expect("a block"))
            });
        });
        group.bench_function(BenchmarkId::new("get, shown", length), |bencher| {
            let mut names = names.iter().cycle();
            bencher.iter(|| {
                let name = black_box(names.next());
                name.map(|name| loaded.get_with(name, <[u8]>::len).expect("a read").expect("a block"))
            });
        });
        group.bench_function(BenchmarkId::new("get, missing", length), |bencher| {
            bencher.iter(|| loaded.exists(black_box("record/000000007x")).expect("a read"));
        });
        group.throughput(Throughput::Bytes(records * length as u64));
        group.bench_function(BenchmarkId::new(format!("scan of {records}"), length), |bencher| {
            bencher.iter(|| scan(&loaded));
        });
    }
    group.finish();
}

/// Reads every byte of every block and returns how many there are.
fn scan(store: &Store) -> u64 {
    let (mut bytes, mut sum) = (0, 0u64);
    for item in store.iter() {
        let item = item.expect("a block");
        let value = item.value().expect("its bytes");
        bytes += value.len() as u64;
        let words = value.chunks_exact(8).filter_map(|word| word.try_into().ok());
        sum = words.map(u64::from_le_bytes).fold(sum, u64::wrapping_add);
    }
    black_box(sum);
    bytes
}

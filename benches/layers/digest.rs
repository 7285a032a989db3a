//! SHA-256: what every byte of a value, a node and a record goes through once.

use std::hint::black_box;

use blockyard::Digest;
use blockyard::core::Hasher;
use criterion::{BenchmarkId, Criterion, Throughput};

pub(crate) fn benches(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("digest");
    for length in [64, 256, 4096, 65_536, 1 << 20] {
        let bytes: Vec<u8> = (0..length).map(|at: usize| at as u8).collect();
        group.throughput(Throughput::Bytes(length as u64));
        group.bench_with_input(BenchmarkId::new("whole", length), &bytes, |bencher, bytes| {
            bencher.iter(|| Digest::of(black_box(bytes)));
        });
    }
    // As a block is digested that arrives in pages.
    let bytes = vec![7; 1 << 20];
    group.throughput(Throughput::Bytes(bytes.len() as u64));
    group.bench_with_input(BenchmarkId::new("in pages", bytes.len()), &bytes, |bencher, bytes| {
        bencher.iter(|| {
            let mut hasher = Hasher::new();
            black_box(bytes).chunks(4096).for_each(|page| hasher.update(page));
            hasher.finish()
        });
    });
    group.finish();
}

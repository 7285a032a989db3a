//! Opening: after a clean close, and with a journal to be folded in.

use std::cell::LazyCell;

use blockyard::core::device::VecDevice;
use blockyard_benches::engine::{Sizes, commit, filled, open, puts};
use blockyard_benches::sized;
use criterion::{BatchSize, BenchmarkId, Criterion};

/// A file of `records` blocks, with `commits` of one update each in its journal.
fn image(records: u64, commits: u64) -> VecDevice {
    let mut store = filled(records, 256, Sizes::default());
    let mut random = fastrand::Rng::with_seed(1);
    for _ in 0..commits {
        let changed = [random.u64(..records)];
        let batch = puts(store.geometry(), changed, 256);
        commit(&mut store, batch);
        store.sync().expect("a sync of memory");
    }
    store.into_device()
}

pub(crate) fn benches(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("open");
    group.sample_size(20);
    for (records, commits) in [(10_000, 0), (100_000, 0), (10_000, 1_000), (100_000, 1_000)] {
        let (records, commits) = (sized(records, records / 100), sized(commits, commits / 100));
        let image = LazyCell::new(|| image(records, commits));
        let title = format!("{commits} commits in the journal, blocks");
        group.bench_function(BenchmarkId::new(title, records), |bencher| {
            bencher.iter_batched(
                || image.clone(),
                |device| open(device, Sizes::default().page),
                BatchSize::PerIteration,
            );
        });
    }
    group.finish();
}

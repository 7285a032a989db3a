//! The free map: handing out pages. A page that is handed out is written too, so each case writes the same
//! bytes, and an empty map is the one to compare with.

use std::cell::LazyCell;

use blockyard::Digest;
use blockyard::core::device::VecDevice;
use blockyard_benches::engine::{Sizes, batch, commit, filled, open};
use blockyard_benches::rows::name;
use blockyard_benches::sized;
use criterion::{BatchSize, BenchmarkId, Criterion, Throughput};

/// Pages of 512 bytes: the map is the same, and what is written matters less.
const SIZES: Sizes = Sizes { page: 512, journal: 1 << 20 };
/// Pages taken in one go.
const TAKEN: u64 = 1_000;

/// A file of `blocks` pages, each a block. Of every `out_of` blocks the first is deleted.
fn comb(blocks: u64, out_of: Option<u64>) -> VecDevice {
    let mut store = filled(blocks, SIZES.page as usize, SIZES);
    let deleted: Vec<u64> = (0..blocks).filter(|block| out_of.is_some_and(|of| block % of == 0)).collect();
    for part in deleted.chunks(1000) {
        let mut changes = batch(store.geometry());
        for &block in part {
            changes.delete(name(block).as_bytes()).expect("a batch on the heap has room");
        }
        commit(&mut store, changes);
        store.checkpoint().expect("a checkpoint in memory");
    }
    store.into_device()
}

pub(crate) fn benches(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("free map");
    group.sample_size(20);
    let blocks = sized(16_384, 2_048);
    let taken = sized(TAKEN, 50);
    let page = vec![7; SIZES.page as usize];
    let digest = Digest::of(&page);
    for (title, out_of) in [("pages in one run", None), ("pages, every second free", Some(2))] {
        let image = LazyCell::new(|| comb(blocks, out_of));
        group.throughput(Throughput::Elements(taken));
        group.bench_function(BenchmarkId::new(title, taken), |bencher| {
            bencher.iter_batched(
                || open(image.clone(), SIZES.page),
                |mut store| {
                    store.begin_staged();
                    for _ in 0..taken {
                        store.write_chunk(&page, digest).expect("a page in memory");
                    }
                    store
                },
                BatchSize::PerIteration,
            );
        });
    }
    let image = LazyCell::new(|| comb(blocks, Some(2)));
    group.throughput(Throughput::Elements(blocks));
    group.bench_function(BenchmarkId::new("counting free pages", blocks), |bencher| {
        let mut store = open(image.clone(), SIZES.page);
        bencher.iter(|| store.free_space().expect("a sound map"));
    });
    group.finish();
}

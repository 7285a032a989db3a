//! The registry tree: finding a record in pages that are at hand, and folding changes in.

use std::cell::LazyCell;
use std::convert::Infallible;
use std::hint::black_box;
use std::time::{Duration, Instant};

use blockyard::core::overlay::{MapOverlay, TreeRoot};
use blockyard::core::tree::{Child, Cursor, Key, NodeSource, NodeView, lookup};
use blockyard::core::{Damage, PageIndex, ReadError, Structure};
use blockyard_benches::engine::{MemoryEngine, Sizes, commit, filled, puts};
use blockyard_benches::rows::name;
use blockyard_benches::sized;
use criterion::{BenchmarkId, Criterion, SamplingMode, Throughput};

/// Pages of a tree where they lie in the device's memory.
struct Pages<'d> {
    bytes: &'d [u8],
    page_size: usize,
    /// Whether each is compared with its digest, as one that was read from the device.
    verified: bool,
}

impl NodeSource for Pages<'_> {
    type Error = ReadError<Infallible>;
    type Page<'a>
        = &'a [u8]
    where
        Self: 'a;

    fn node(&mut self, child: Child, level: u32) -> Result<&[u8], ReadError<Infallible>> {
        let start = child.page.0 as usize * self.page_size;
        let page = self.bytes.get(start..start + self.page_size).unwrap_or(&[]);
        if self.verified && NodeView::verified(page, &child.digest, level).is_none() {
            return Err(self.damaged(child.page));
        }
        Ok(page)
    }

    fn damaged(&mut self, page: PageIndex) -> ReadError<Infallible> {
        let offset = page.0 * self.page_size as u64;
        ReadError::Corrupted(Damage { what: Structure::Registry, offset })
    }
}

/// A tree over `records` blocks of 64 bytes.
struct Tree {
    store: MemoryEngine<MapOverlay>,
    names: Vec<String>,
}

impl Tree {
    fn of(records: u64) -> Self {
        let mut random = fastrand::Rng::with_seed(1);
        let names = (0..1000).map(|_| name(random.u64(..records))).collect();
        Self { store: filled(records, 64, Sizes::default()), names }
    }

    fn pages(&self, verified: bool) -> (Pages<'_>, TreeRoot) {
        let page_size = self.store.geometry().page_size();
        (Pages { bytes: self.store.device().bytes(), page_size, verified }, self.store.root())
    }
}

fn found(pages: &mut Pages<'_>, root: &TreeRoot, name: &str) -> u64 {
    let length = lookup(pages, root, name.as_bytes(), |record| record.map(|record| record.length));
    length.expect("sound pages").expect("a record that is there")
}

pub(crate) fn lookups(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("tree");
    for records in [10_000, 1_000_000] {
        let records = sized(records, records / 100);
        let tree = LazyCell::new(|| Tree::of(records));
        for (title, verified) in [("look-up", false), ("look-up, every page digested", true)] {
            group.bench_function(BenchmarkId::new(title, records), |bencher| {
                let (mut pages, root) = tree.pages(verified);
                let mut names = tree.names.iter().cycle();
                bencher.iter(|| names.next().map(|name| found(&mut pages, &root, black_box(name))));
            });
        }
    }
    let records = sized(10_000, 500);
    let tree = LazyCell::new(|| Tree::of(records));
    group.throughput(Throughput::Elements(records));
    group.bench_function(BenchmarkId::new("walk over all", records), |bencher| {
        let (mut pages, root) = tree.pages(false);
        bencher.iter(|| walk(&mut pages, &root, records));
    });
    group.finish();
}

/// Walks over all records, as a scan does.
fn walk(pages: &mut Pages<'_>, root: &TreeRoot, records: u64) -> u64 {
    let mut cursor = Cursor::seek(pages, root, Key::first(&[])).expect("sound pages");
    let (mut bytes, mut met) = (0, 0);
    while let Some((leaf, index)) = cursor.record() {
        let page = pages.node(leaf, 0).expect("sound pages");
        let record = NodeView::parse(page).and_then(|node| node.record(index));
        bytes += record.expect("a record where the cursor stands").length;
        met += 1;
        cursor.advance();
        cursor.settle(pages).expect("sound pages");
    }
    assert_eq!(met, records, "a walk meets every record");
    bytes
}

/// Commits `changes` random updates, untimed, and times the checkpoint that folds them in.
fn fold(store: &mut MemoryEngine<MapOverlay>, records: u64, changes: u64, rounds: u64) -> Duration {
    let mut random = fastrand::Rng::with_seed(rounds);
    let mut spent = Duration::ZERO;
    for _ in 0..rounds {
        let batch = puts(store.geometry(), (0..changes).map(|_| random.u64(..records)), 64);
        commit(store, batch);
        let start = Instant::now();
        store.checkpoint().expect("a checkpoint in memory");
        spent += start.elapsed();
    }
    spent
}

pub(crate) fn folds(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("fold");
    group.sampling_mode(SamplingMode::Flat).sample_size(20);
    let records = sized(100_000, 500);
    for changes in [1, 500, 10_000] {
        let changes = sized(changes, changes.div_ceil(100));
        group.throughput(Throughput::Elements(changes));
        group.bench_function(BenchmarkId::new(format!("changes among {records}"), changes), |bencher| {
            let mut store = filled(records, 64, Sizes::default());
            bencher.iter_custom(|rounds| fold(&mut store, records, changes, rounds));
        });
    }
    group.finish();
}

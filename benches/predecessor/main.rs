//! The table by which the predecessor was judged: 500 updates among 5,000 records, 500 new records, a select
//! over all of them, and the memory of a batch. On a file, with the disk, and in memory, without it.

use std::time::{Duration, Instant};

use anyhow::Result;
use blockyard::{Durability, FileDevice, MemoryDevice, OpenOptions, PutOptions, Store};
use blockyard_benches::figures::{self, Cost, Row as Figures};
use blockyard_benches::heap::{self, Counting};
use blockyard_benches::rows::{LENGTH, RECORDS, Row, Selection, UPDATES, rows, updates};
use blockyard_benches::watched::{Watch, Watched};
use blockyard_benches::{folder, sized};
use criterion::{BenchmarkId, Criterion, SamplingMode, Throughput, criterion_group};

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Rounds whose counts are averaged.
const ROUNDS: u64 = 10;

/// Where the records lie.
#[derive(Clone, Copy)]
enum Place {
    File,
    Memory,
}

impl Place {
    const ALL: [Self; 2] = [Self::File, Self::Memory];

    const fn name(self) -> &'static str {
        match self {
            Self::File => "on a file",
            Self::Memory => "in memory",
        }
    }
}

/// A loaded store, its device watched.
struct Loaded {
    store: Store,
    watch: Watch,
    records: Vec<Row>,
    /// Counts the versions that were written.
    version: u64,
    _folder: tempfile::TempDir,
}

impl Loaded {
    fn new(place: Place) -> Result<Self> {
        let folder = folder();
        let watch = Watch::default();
        let options = OpenOptions::new().create_new(true);
        let store = match place {
            Place::File => {
                let path = folder.path().join("store.by");
                let file = std::fs::File::options().read(true).write(true).create_new(true).open(path)?;
                options.open_device(Watched::new(FileDevice::new(file, 4096), watch.clone(), false))?
            }
            Place::Memory => options.open_device(Watched::new(MemoryDevice::new(), watch.clone(), false))?,
        };
        let records = rows(0..sized(RECORDS, 100), LENGTH);
        let loaded = Self { store, watch, records, version: 0, _folder: folder };
        loaded.commit_together(&loaded.records)?;
        loaded.store.checkpoint()?;
        Ok(loaded)
    }

    fn commit_together(&self, rows: &[Row]) -> Result<()> {
        let mut batch = self.store.batch();
        for row in rows {
            batch.put(&row.name, &row.bytes)?;
        }
        self.store.commit(batch)?;
        Ok(())
    }

    fn put_each(&self, rows: &[Row], durability: Durability) -> Result<()> {
        let options = PutOptions { durability: Some(durability), ..PutOptions::default() };
        for row in rows {
            self.store.put_with(&row.name, &row.bytes, options)?;
        }
        self.store.sync()?;
        Ok(())
    }

    fn delete_all(&self, rows: &[Row]) -> Result<()> {
        let mut batch = self.store.batch();
        for row in rows {
            batch.delete(&row.name)?;
        }
        self.store.commit(batch)?;
        Ok(())
    }

    fn select(&self) -> Result<Selection> {
        let mut found = Selection::default();
        for item in self.store.iter() {
            found.visit(&item?.value()?);
        }
        Ok(found)
    }

    /// Does one round of `work` and says how long it took. What it left behind is taken away, untimed, and
    /// nothing of it is pending when this returns.
    fn round(&mut self, work: Work, into: Option<&mut Cost>) -> Result<Duration> {
        self.version += 1;
        let (count, records) = (sized(UPDATES, 10), self.records.len() as u64);
        let rows = match work {
            Work::Insert => rows(records..records + count, LENGTH),
            _ => updates(self.version, records, count, LENGTH),
        };
        let expected = Selection::of(&self.records);
        let (before, start) = (self.watch.counts(), Instant::now());
        let (done, heap) = heap::measure(|| match work {
            Work::Batch | Work::Insert => self.commit_together(&rows).map(|()| expected),
            Work::Each => self.put_each(&rows, Durability::Durable).map(|()| expected),
            Work::Buffered => self.put_each(&rows, Durability::Buffered).map(|()| expected),
            Work::Select => self.select(),
        });
        let spent = start.elapsed();
        let counts = self.watch.counts().since(before);
        anyhow::ensure!(done? == expected, "a select found other records than were written");
        match work {
            Work::Select => {}
            Work::Insert => self.delete_all(&rows)?,
            _ => rows.into_iter().for_each(|row| {
                if let Ok(at) = self.records.binary_search_by(|known| known.name.cmp(&row.name)) {
                    self.records[at] = row;
                }
            }),
        }
        self.store.checkpoint()?;
        if let Some(cost) = into {
            cost.add(spent.as_secs_f64() * 1e3, counts, heap);
        }
        Ok(spent)
    }
}

/// What is measured.
#[derive(Clone, Copy)]
enum Work {
    Batch,
    Each,
    Buffered,
    Insert,
    Select,
}

impl Work {
    const ALL: [Self; 5] = [Self::Batch, Self::Each, Self::Buffered, Self::Insert, Self::Select];

    const fn name(self) -> &'static str {
        match self {
            Self::Batch => "500 updates, one durable batch",
            Self::Each => "500 updates, each durable",
            Self::Buffered => "500 updates, buffered, one sync",
            Self::Insert => "500 new records, one durable batch",
            Self::Select => "select over 5000 records",
        }
    }
}

fn times(criterion: &mut Criterion) {
    for place in Place::ALL {
        let mut group = criterion.benchmark_group(format!("predecessor, {}", place.name()));
        group.sample_size(20).sampling_mode(SamplingMode::Flat);
        let mut loaded = None;
        for work in Work::ALL {
            let selects = matches!(work, Work::Select);
            group.throughput(Throughput::Elements(if selects { RECORDS } else { UPDATES }));
            group.bench_function(BenchmarkId::from_parameter(work.name()), |bencher| {
                let loaded = loaded.get_or_insert_with(|| Loaded::new(place).expect("a loaded store"));
                bencher.iter_custom(|rounds| {
                    (0..rounds).map(|_| loaded.round(work, None).expect("a round")).sum::<Duration>()
                });
            });
        }
        group.finish();
    }
}

/// What each kind of work asks of heap and device once it is warm.
fn counts() -> Result<()> {
    let mut table = Vec::new();
    let mut loaded = Loaded::new(Place::File)?;
    for work in Work::ALL {
        for _ in 0..sized(3, 1) {
            loaded.round(work, None)?;
        }
        let mut cost = Cost::default();
        for _ in 0..sized(ROUNDS, 1) {
            loaded.round(work, Some(&mut cost))?;
        }
        println!(
            "{:38} heap: {:>7.1} calls, {:>9.0} B, peak {:>8.0} B; device: {:>6.1} syncs, {:>6.1} writes, {:>9.0} B",
            work.name(),
            cost.heap(|heap| heap.calls),
            cost.heap(|heap| heap.bytes),
            cost.heap(|heap| heap.peak),
            cost.count(|counts| counts.syncs),
            cost.count(|counts| counts.writes),
            cost.count(|counts| counts.bytes),
        );
        table.push(Figures { name: work.name().to_owned(), cost });
    }
    figures::keep("predecessor", &table)
}

criterion_group!(table, times);

fn main() {
    table();
    // With a filter only what criterion was asked for is wanted.
    let filtered = std::env::args().skip(1).any(|argument| !argument.starts_with('-'));
    if !filtered {
        counts().expect("the counts of the predecessor's table");
    }
    Criterion::default().configure_from_args().final_summary();
}

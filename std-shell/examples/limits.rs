//! Where the disk's limits lie: the writes that a durable commit could consist of at best, each with its
//! `fdatasync`, in turns with Blockyard's own commits. All in a file that has its length and was written before.
//!
//! `cargo run --release -p blockyard --example limits -- [FOLDER] [ROUNDS]`; the folder is the system's temporary
//! one if none is named.

#[cfg(unix)]
#[path = "measure/records.rs"]
mod records;

#[cfg(not(unix))]
fn main() {
    println!("This example writes at positions as Unix does; run it there.");
}

#[cfg(unix)]
fn main() -> Result<(), Box<dyn std::error::Error>> {
    unix::run()
}

#[cfg(unix)]
mod unix {
    use super::records::{mix, name, value};
    use blockyard::{Durability, OpenOptions, Store};
    use std::error::Error;
    use std::fs::File;
    use std::os::unix::fs::FileExt;
    use std::path::{Path, PathBuf};
    use std::time::{Duration, Instant};

    /// Records, and so places of the floor.
    const RECORDS: u64 = 10_000;
    /// Changes of a batch.
    const BATCH: u64 = 500;
    /// Bytes of the ring that is written from its beginning to its end and again.
    const RING: u64 = 8 << 20;
    const PAGE: u64 = 4096;
    /// What a journal record has besides names and values, for each change.
    const AROUND: u64 = 64;
    const NAME: u64 = 16;

    /// A file that is written in place, as far as `length` reaches.
    struct Settled {
        file: File,
        length: u64,
        at: u64,
        bytes: Vec<u8>,
    }

    impl Settled {
        fn new(path: &Path, length: u64) -> std::io::Result<Self> {
            let file = File::options().read(true).write(true).create(true).truncate(true).open(path)?;
            let bytes = value(3, 4 << 20);
            for start in (0..length).step_by(1 << 20) {
                let piece = (length - start).min(1 << 20) as usize;
                file.write_all_at(&bytes[..piece], start)?;
            }
            file.sync_all()?;
            Ok(Self { file, length, at: 0, bytes })
        }

        /// Writes each record of a few to its own place, and syncs.
        fn scattered(&self, length: u64, indexes: impl Iterator<Item = u64>) -> std::io::Result<()> {
            for index in indexes {
                self.file.write_all_at(&self.bytes[index as usize..][..length as usize], index * length)?;
            }
            self.file.sync_data()
        }

        /// Writes so many bytes behind what was written last, in whole pages or right behind it, so many times,
        /// and syncs.
        fn behind(&mut self, times: u64, length: u64, unit: u64) -> std::io::Result<()> {
            let wanted = length.next_multiple_of(unit);
            for _ in 0..times {
                if self.at + wanted > self.length {
                    self.at = 0;
                }
                self.file.write_all_at(&self.bytes[..wanted as usize], self.at)?;
                self.at += wanted;
            }
            self.file.sync_data()
        }
    }

    /// Times of one way of writing.
    struct Series {
        what: String,
        times: Vec<Duration>,
    }

    impl Series {
        fn median(&mut self) -> f64 {
            self.times.sort_unstable();
            self.times[self.times.len() / 2].as_secs_f64() * 1e6
        }
    }

    /// How many commits, of how many changes each, share a sync.
    #[derive(Clone, Copy)]
    struct Work {
        length: u64,
        commits: u64,
        changes: u64,
    }

    impl Work {
        fn commit(self, store: &Store, value: &[u8], indexes: &[u64]) -> blockyard::Result<()> {
            let durability = if self.commits == 1 { Durability::Durable } else { Durability::Buffered };
            for indexes in indexes.chunks(self.changes as usize) {
                let mut batch = store.batch();
                for &index in indexes {
                    batch.put(name(index), value)?;
                }
                store.commit_with(batch, durability)?;
            }
            if self.commits > 1 {
                store.sync()?;
            }
            Ok(())
        }
    }

    pub(super) fn run() -> Result<(), Box<dyn Error>> {
        let mut arguments = std::env::args().skip(1);
        let folder = arguments.next().map_or_else(std::env::temp_dir, PathBuf::from);
        let rounds: u64 = arguments.next().map_or(Ok(60), |text| text.parse())?;
        for length in [256, 4096] {
            for (commits, changes) in [(1, 1), (1, BATCH), (BATCH, 1)] {
                one(&folder, Work { length, commits, changes }, rounds)?;
            }
        }
        Ok(())
    }

    /// One size of values and of commits.
    fn one(folder: &Path, work: Work, rounds: u64) -> Result<(), Box<dyn Error>> {
        let Work { length, commits, changes } = work;
        let folder = folder.join(format!("blockyard-limits-{}", std::process::id()));
        std::fs::create_dir_all(&folder)?;
        let places = Settled::new(&folder.join("places"), RECORDS * length)?;
        let mut pages = Settled::new(&folder.join("pages"), RING)?;
        let mut bytes = Settled::new(&folder.join("bytes"), RING)?;
        let store = OpenOptions::new().create(true).open(folder.join("store.by"))?;
        let value = value(5, length as usize);
        let all: Vec<u64> = (0..RECORDS).collect();
        for some in all.chunks(BATCH as usize) {
            Work { commits: 1, changes: BATCH, ..work }.commit(&store, &value, some)?;
        }
        let record = changes * (length + AROUND + NAME);
        let mut series = [
            format!("{} × {length} B, each to its place, one sync: the floor", commits * changes),
            format!("{commits} × {record} B behind the last, in whole pages, one sync"),
            format!("{commits} × {record} B behind the last, one sync"),
            format!("Blockyard, {commits} × {changes}, one sync"),
        ]
        .map(|what| Series { what, times: Vec::new() });
        for round in 0..rounds {
            let indexes = |salt: u64| {
                let all = 0..commits * changes;
                all.map(move |at| mix(round << 24 | salt << 20 | at) % RECORDS).collect::<Vec<u64>>()
            };
            let (ours, theirs) = (indexes(1), indexes(0));
            for turn in 0..series.len() {
                let which = (round as usize + turn) % series.len();
                let start = Instant::now();
                match which {
                    0 => places.scattered(length, theirs.iter().copied())?,
                    1 => pages.behind(commits, record, PAGE)?,
                    2 => bytes.behind(commits, record, 1)?,
                    _ => work.commit(&store, &value, &ours)?,
                }
                series[which].times.push(start.elapsed());
            }
        }
        let floor = series[0].median();
        for series in &mut series {
            let median = series.median();
            println!("{median:>9.0} µs  {:>5.2} × floor  {}", median / floor, series.what);
        }
        println!();
        drop(store);
        std::fs::remove_dir_all(&folder)?;
        Ok(())
    }
}

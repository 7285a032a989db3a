//! What reads cost once everything is in memory, beside a map: microseconds and heap calls of point reads and
//! scans.
//!
//! `cargo run --release -p blockyard --example reads -- [RECORDS] [BYTES] [folded|pending|updated|cold] [WHAT]`: the
//! records are folded in, still in the memtable, or folded in and then written anew at random, half of them, read and
//! folded in again every 500, the last 300 left pending; or they are read just after opening. `WHAT` picks the measurements whose names contain it. Each runs 15 times, or as often as the variable `ROUNDS` says: what
//! `callgrind` counts more with ten rounds more is what ten rounds take.

mod measure;

use blockyard::{Durability, Iter, OpenOptions, Store};
use std::collections::BTreeMap;
use std::error::Error;

use measure::{Bench, mix, name, value};

/// Reads a little at the start, in the middle and at the end.
fn glance(bytes: &[u8]) -> u64 {
    [0, bytes.len() / 2, bytes.len().saturating_sub(1)]
        .iter()
        .map(|&at| bytes.get(at).copied().map_or(0, u64::from))
        .sum()
}

/// Reads every byte.
fn sum(bytes: &[u8]) -> u64 {
    bytes
        .chunks_exact(8)
        .fold(0, |sum, piece| sum.wrapping_add(u64::from_le_bytes(piece.try_into().expect("eight bytes"))))
}

fn scan(iter: impl Iterator<Item = blockyard::Result<blockyard::Item>>) -> u64 {
    iter.map(|item| item.and_then(|item| item.value()).map_or(u64::MAX, |value| sum(&value)))
        .fold(0, u64::wrapping_add)
}

fn names(iter: Iter) -> u64 {
    iter.map(|item| item.map_or(u64::MAX, |item| item.name().len() as u64)).sum()
}

fn point_reads(
    bench: &Bench,
    store: &Store,
    map: &BTreeMap<[u8; 16], Box<[u8]>>,
    wanted: &[[u8; 16]],
    length: usize,
) {
    let operations = wanted.len() as u64;
    let mut buffer = vec![0; length];
    bench.time("map, copied", operations, || {
        wanted.iter().fold(0, |sum, name| {
            buffer.copy_from_slice(&map[name]);
            sum + glance(&buffer)
        })
    });
    bench.time("get_into", operations, || {
        wanted.iter().fold(0, |sum, name| {
            store.get_into(name, &mut buffer).expect("read").expect("there");
            sum + glance(&buffer)
        })
    });
    bench.time("get", operations, || {
        wanted.iter().fold(0, |sum, name| sum + glance(&store.get(name).expect("read").expect("there")))
    });
    bench.time("map, in place", operations, || wanted.iter().fold(0, |sum, name| sum + glance(&map[name])));
    bench.time("get_ref", operations, || {
        wanted.iter().fold(0, |sum, name| sum + glance(&store.get_ref(name).expect("read").expect("there")))
    });
    bench.time("get_with", operations, || {
        wanted.iter().fold(0, |sum, name| sum + store.get_with(name, glance).expect("read").expect("there"))
    });
    bench.time("exists", operations, || {
        wanted.iter().fold(0, |sum, name| sum + u64::from(store.exists(name).expect("read")))
    });
    let absent: Vec<[u8; 16]> = wanted
        .iter()
        .map(|name| {
            let mut name = *name;
            name[15] = b'x';
            name
        })
        .collect();
    bench.time("map, missing", operations, || {
        absent.iter().fold(0, |sum, name| sum + u64::from(map.contains_key(name)))
    });
    bench.time("missing", operations, || {
        absent.iter().fold(0, |sum, name| sum + u64::from(store.get_ref(name).expect("read").is_some()))
    });
}

fn scans(bench: &Bench, store: &Store, map: &BTreeMap<[u8; 16], Box<[u8]>>, records: u64) {
    bench.time("map, scan", records, || map.values().map(|value| sum(value)).sum());
    bench.time("scan", records, || scan(store.iter()));
    bench.time("scan with", records, || {
        let (mut walk, mut sums) = (store.iter(), 0_u64);
        while let Some(item) = walk.advance() {
            sums = sums.wrapping_add(item.and_then(|item| item.with_value(sum)).expect("read"));
        }
        sums
    });
    bench.time("scan back", records, || scan(store.iter().rev()));
    bench.time("scan of names", records, || names(store.iter()));
    let prefixes: Vec<[u8; 16]> =
        (0..records / 100).map(|group| name(mix(group) % (records / 100) * 100)).collect();
    bench.time("map, prefix scan", prefixes.len() as u64 * 100, || {
        let values = |prefix: &[u8; 16]| -> u64 {
            let walk = map.range(*prefix..).take_while(|(name, _)| name[..7] == prefix[..7]);
            walk.map(|(_, value)| sum(value)).sum()
        };
        prefixes.iter().map(values).sum()
    });
    bench.time("prefix scan", prefixes.len() as u64 * 100, || {
        prefixes.iter().map(|prefix| scan(store.prefix(&prefix[..7]))).sum()
    });
}

/// Reads 200 records, ten times, each time after opening, with nothing of the file in the system's cache.
fn cold(store: Store, path: &std::path::Path, records: u64, length: usize) -> Result<(), Box<dyn Error>> {
    store.close()?;
    let (mut buffer, mut times, mut all) = (vec![0; length], Vec::new(), Vec::new());
    for round in 0..10 {
        let file = std::fs::File::open(path)?;
        file.sync_all()?;
        rustix::fs::fadvise(&file, 0, None, rustix::fs::Advice::DontNeed)?;
        let store = OpenOptions::new().cache_bytes(256 << 20).open(path)?;
        let begun = std::time::Instant::now();
        for at in 0..200 {
            let start = std::time::Instant::now();
            store.get_into(name(mix(at << 8 | round) % records), &mut buffer)?;
            times.push(start.elapsed().as_secs_f64() * 1e6);
        }
        all.push(begun.elapsed().as_secs_f64() * 1e6 / 200.0);
        store.close()?;
    }
    times.sort_by(f64::total_cmp);
    all.sort_by(f64::total_cmp);
    let at = |part: usize| times[times.len() * part / 100];
    println!(
        "cold: median {:.1} µs, 90 % {:.1}, 99 % {:.1}, mean {:.1}",
        at(50),
        at(90),
        at(99),
        all[all.len() / 2]
    );
    Ok(())
}

/// Writes half of the records anew, in random order, and reads each one by one.
fn update(
    store: &Store,
    map: &mut BTreeMap<[u8; 16], Box<[u8]>>,
    records: u64,
    length: usize,
) -> Result<(), Box<dyn Error>> {
    scan(store.iter());
    let mut buffer = vec![0; length];
    let updates: Vec<u64> = (0..records / 2).map(|at| mix(at ^ 0xfeed) % records).collect();
    for (part, updates) in updates.chunks(500).enumerate() {
        let last = (part + 1) * 500 >= records as usize / 2;
        for part in updates[..if last { 300.min(updates.len()) } else { updates.len() }].chunks(50) {
            let mut batch = store.batch();
            for &index in part {
                let value = value(index ^ 1 << 40, length);
                batch.put(name(index), &value)?;
                map.insert(name(index), value.into_boxed_slice());
            }
            store.commit_with(batch, Durability::Buffered)?;
        }
        if !last {
            store.checkpoint()?;
        }
        for &index in updates {
            store.get_into(name(index), &mut buffer)?;
        }
    }
    Ok(())
}

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let records: u64 = arguments.next().map_or(Ok(10_000), |text| text.parse())?;
    let length: usize = arguments.next().map_or(Ok(4096), |text| text.parse())?;
    let state = arguments.next().unwrap_or_else(|| "folded".to_owned());
    let wanted = arguments.next();
    let bench = Bench { wanted, rounds: std::env::var("ROUNDS").map_or(Ok(15), |text| text.parse())? };
    let directory = tempfile::tempdir()?;
    let store = OpenOptions::new()
        .create(true)
        .cache_bytes(256 << 20)
        .journal_size(64 << 20)
        .open(directory.path().join("reads.by"))?;
    let mut map = BTreeMap::new();
    let mut order: Vec<u64> = (0..records).collect();
    order.sort_by_key(|&index| mix(index));
    for part in order.chunks(500) {
        let mut batch = store.batch();
        for &index in part {
            let value = value(index, length);
            batch.put(name(index), &value)?;
            map.insert(name(index), value.into_boxed_slice());
        }
        store.commit_with(batch, Durability::Buffered)?;
    }
    if state != "pending" {
        store.checkpoint()?;
    }
    if state == "updated" {
        update(&store, &mut map, records, length)?;
    }
    store.sync()?;
    println!("{records} records of {length} bytes, {state}");
    if state == "cold" {
        return cold(store, &directory.path().join("reads.by"), records, length);
    }
    let wanted: Vec<[u8; 16]> = (0..20_000).map(|at| name(mix(at ^ 0x5eed) % records)).collect();
    point_reads(&bench, &store, &map, &wanted, length);
    scans(&bench, &store, &map, records);
    Ok(())
}

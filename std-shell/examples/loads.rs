//! What a bulk load costs: seconds, checkpoints and bytes written, each time into a new store.
//!
//! `cargo run --release -p blockyard --example loads -- [RECORDS] [BYTES] [sorted|random]`, as the comparison does it: in
//! buffered batches of 4 MiB or 10,000 records, and a sync at the end. The variable `ROUNDS` says how often, `WHERE` in
//! which directory.

#[path = "measure/records.rs"]
mod records;

use blockyard::{Durability, OpenOptions};
use std::error::Error;
use std::time::{Duration, Instant};

use records::{mix, name, value};

fn load(order: &[u64], length: usize) -> Result<f64, Box<dyn Error>> {
    let directory = match std::env::var_os("WHERE") {
        Some(parent) => tempfile::tempdir_in(parent)?,
        None => tempfile::tempdir()?,
    };
    let store = OpenOptions::new()
        .create(true)
        .cache_bytes(256 << 20)
        .flush_operations(10_000)
        .flush_interval(Duration::from_secs(10))
        .open(directory.path().join("load.by"))?;
    let mut taken = Duration::ZERO;
    for part in order.chunks(((4 << 20) / length).clamp(16, 10_000)) {
        let records: Vec<_> = part.iter().map(|&index| (name(index), value(index, length))).collect();
        let start = Instant::now();
        let mut batch = store.batch();
        for (name, value) in &records {
            batch.put(name, value)?;
        }
        store.commit_with(batch, Durability::Buffered)?;
        taken += start.elapsed();
    }
    let start = Instant::now();
    store.sync()?;
    taken += start.elapsed();
    let stats = store.stats()?;
    println!(
        "{:.3} s, {:.2} µs a record, {} checkpoints, {} MiB written",
        taken.as_secs_f64(),
        taken.as_secs_f64() * 1e6 / order.len() as f64,
        stats.checkpoints,
        stats.bytes_written >> 20
    );
    store.close()?;
    Ok(taken.as_secs_f64())
}

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let records: u64 = arguments.next().map_or(Ok(1_000_000), |text| text.parse())?;
    let length: usize = arguments.next().map_or(Ok(16), |text| text.parse())?;
    let sorted = arguments.next().is_none_or(|order| order == "sorted");
    let mut order: Vec<u64> = (0..records).collect();
    if !sorted {
        order.sort_by_key(|&index| mix(index));
    }
    let rounds = std::env::var("ROUNDS").map_or(Ok(3), |text| text.parse())?;
    let mut times: Vec<f64> = (0..rounds).map(|_| load(&order, length)).collect::<Result<_, _>>()?;
    times.sort_by(f64::total_cmp);
    println!("{records} records of {length} bytes: median {:.3} s", times[times.len() / 2]);
    Ok(())
}

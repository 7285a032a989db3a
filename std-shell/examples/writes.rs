//! What writes cost of the processor's time: a store in memory, whose syncs cost nothing.
//!
//! `cargo run --release -p blockyard --example writes -- [RECORDS] [BYTES] [WHAT]`; `WHAT` picks the measurements
//! whose names contain it. Each runs 15 times, or as often as the variable `ROUNDS` says: what `callgrind` counts
//! more with ten rounds more is what ten rounds take.

mod measure;

use blockyard::{Durability, PutOptions, Store};
use std::error::Error;

use measure::{Bench, mix, name, value};

/// Updates in a round.
const UPDATES: u64 = 500;

fn batch(store: &Store, indexes: impl Iterator<Item = u64>, value: &[u8], durability: Durability) {
    let mut batch = store.batch();
    for index in indexes {
        batch.put(name(index), value).expect("room");
    }
    store.commit_with(batch, durability).expect("a commit");
}

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let records: u64 = arguments.next().map_or(Ok(10_000), |text| text.parse())?;
    let length: usize = arguments.next().map_or(Ok(256), |text| text.parse())?;
    let wanted = arguments.next();
    let bench = Bench { wanted, rounds: std::env::var("ROUNDS").map_or(Ok(15), |text| text.parse())? };
    let store = Store::in_memory()?;
    let value = value(7, length);
    for start in (0..records).step_by(500) {
        batch(&store, start..(start + 500).min(records), &value, Durability::Durable);
    }
    println!("{records} records of {length} bytes, in memory");
    let mut turn = 0;
    let mut indexes = || {
        turn += 1;
        (0..UPDATES).map(move |at| mix(turn << 20 | at) % records)
    };
    for (what, durability) in [("durable", Durability::Durable), ("buffered", Durability::Buffered)] {
        bench.time(&format!("{what}, a batch"), UPDATES, || {
            batch(&store, indexes(), &value, durability);
            0
        });
        let options = PutOptions { durability: Some(durability), ..PutOptions::default() };
        bench.time(&format!("{what}, one by one"), UPDATES, || {
            indexes().map(|index| store.put_with(name(index), &value, options).expect("a put").0).sum()
        });
        // Half of these are deletions.
        bench.time(&format!("{what}, deleted and put again, one by one"), 2 * UPDATES, || {
            let mut pair = |index| {
                store.delete_with(name(index), durability).expect("a deletion");
                store.put_with(name(index), &value, options).expect("a put").0
            };
            indexes().map(&mut pair).sum()
        });
    }
    Ok(())
}

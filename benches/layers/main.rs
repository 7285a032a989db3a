//! What each layer costs, alone and in memory: no file, no disk, so that a change shows where it costs.
//!
//! `cargo bench -p blockyard-benches --bench layers -- tree` runs a part of it.

mod digest;
mod freemap;
mod journal;
mod queue;
mod recovery;
mod shell;
mod tree;

use std::time::Duration;

use criterion::{Criterion, criterion_group, criterion_main};

/// All of it within some minutes.
fn brief() -> Criterion {
    Criterion::default().warm_up_time(Duration::from_secs(1)).measurement_time(Duration::from_secs(3))
}

criterion_group! {
    name = layers;
    config = brief();
    targets = digest::benches,
        queue::benches,
        journal::benches,
        freemap::benches,
        tree::folds,
        tree::lookups,
        recovery::benches,
        shell::writes,
        shell::reads
}
criterion_main!(layers);

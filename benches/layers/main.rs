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

use criterion::{criterion_group, criterion_main};

criterion_group!(
    layers,
    digest::benches,
    journal::benches,
    tree::lookups,
    tree::folds,
    freemap::benches,
    recovery::benches,
    queue::benches,
    shell::writes,
    shell::reads
);
criterion_main!(layers);

//! What the benches stand on: records, devices that count, an allocator that counts, an engine in memory, and
//! a driver that behaves as the engine that Blockyard replaces did, as far as its settings say so.
//!
//! The benches themselves are in `layers`, `predecessor` and `fixes`. `cargo xtask bench` runs them all
//! and writes docs/benchmarks/layers.md.

pub mod driver;
pub mod engine;
pub mod figures;
pub mod heap;
pub mod rows;
pub mod watched;

/// Whether the benches only have to show that they run, as `cargo test --benches` asks.
#[must_use]
pub fn smoke() -> bool {
    let mut arguments = std::env::args();
    let mut bench = false;
    let test = arguments.by_ref().any(|argument| {
        bench |= argument == "--bench";
        argument == "--test"
    });
    test || !bench
}

/// `full`, or `small` where it only has to be shown that something runs.
#[must_use]
pub fn sized(full: u64, small: u64) -> u64 {
    if smoke() { small } else { full }
}

/// A folder of our own on the file system to be measured: in `BLOCKYARD_BENCH_DIR`, or where temporary
/// files go.
///
/// # Panics
/// If it cannot be made.
#[must_use]
pub fn folder() -> tempfile::TempDir {
    let mut builder = tempfile::Builder::new();
    builder.prefix("blockyard-bench-");
    let made = match std::env::var_os("BLOCKYARD_BENCH_DIR") {
        Some(place) => builder.tempdir_in(place),
        None => builder.tempdir(),
    };
    made.expect("a folder for the stores to be measured")
}

//! The fuzz targets of Blockyard.
//!
//! | target | what the bytes are |
//! |---|---|
//! | [`operations`] | any work on a store of any sizes, compared with a map at every step |
//! | [`image`] | a golden image, changed anywhere and mostly sealed again |
//! | [`crash`] | work, a fault or a power cut at any operation of the device, recovery, more work |
//! | [`record`] | a journal of any records |
//! | [`page`] | a registry of any pages |
//!
//! Each is a function `run` that takes any bytes and panics where the engine is wrong. The programs under
//! `fuzz_targets` hand it to libFuzzer; `tests/replay.rs` runs the corpus and the inputs that once failed
//! without a fuzzer. `cargo xtask fuzz` does both.
#![forbid(unsafe_code)]

pub mod crash;
pub mod device;
pub mod golden;
pub mod hostile;
pub mod image;
pub mod input;
pub mod operations;
pub mod page;
pub mod record;
pub mod refit;
pub mod reseal;
pub mod ring;
pub mod setup;

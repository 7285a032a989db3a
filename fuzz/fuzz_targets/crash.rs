//! Crashes lose nothing and invent nothing.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| blockyard_fuzz::crash::run(bytes));

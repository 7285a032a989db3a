//! Any work on a store is work on a map.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| blockyard_fuzz::operations::run(bytes));

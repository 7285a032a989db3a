//! A journal of any records.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| blockyard_fuzz::record::run(bytes));

//! A registry of any pages.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| blockyard_fuzz::page::run(bytes));

//! A golden image, changed, never brings the engine to panic.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| blockyard_fuzz::image::run(bytes));

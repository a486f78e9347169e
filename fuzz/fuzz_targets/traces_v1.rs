//! Any bytes as a `.hpm` file.
#![no_main]

mod traces;

libfuzzer_sys::fuzz_target!(|hpm: &[u8]| traces::check(hpm));

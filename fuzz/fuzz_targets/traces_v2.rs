//! Any bytes as the properties and records of a `.hpm` file of version 2.
#![no_main]

mod traces;

/// The version, the start time, and no sampling ranges.
const HEADER: [u8; 21] = [
    0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
];

libfuzzer_sys::fuzz_target!(|rest: &[u8]| traces::check(&[&HEADER, rest].concat()));

//! A whole profile: all queries and views, by the function that the any-bytes tests call.
//!
//! The input is the `.hpm`, `.hpd` and `.hpc` file, the first two of them behind their length (4 bytes,
//! little-endian).
#![no_main]

#[path = "../../tests/common/all_queries.rs"]
mod all_queries;

use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    let (hpm, rest) = part(input);
    let (hpd, hpc) = part(rest);
    all_queries::all_queries_of(hpm, hpd, hpc);
});

fn part(bytes: &[u8]) -> (&[u8], &[u8]) {
    let Some((&len, rest)) = bytes.split_first_chunk() else {
        return (bytes, &[]);
    };
    let len = u32::from_le_bytes(len) as usize;
    rest.split_at(len.min(rest.len()))
}

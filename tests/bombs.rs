//! Small files that could cost much: the time for everything that can be asked grows no faster than
//! the file but for a logarithm, and the memory no faster than the file.
//!
//! `HEAPPROF_LONG=1` takes files ten times as large.

mod common;
#[path = "common/everything.rs"]
mod everything;
#[path = "common/meter.rs"]
mod meter;

use std::time::Duration;

use common::Profile;
use everything::{everything, everything_raw};
use heapprof::raw::EventKind::{Allocation, Free};
use heapprof::{Digest, DigestOptions, Elapsed, Reader, SamplingRates};
use meter::cost;

#[global_allocator]
static METER: meter::Meter = meter::Meter;

fn scale() -> u32 {
    if std::env::var_os("HEAPPROF_LONG").is_some() {
        10
    } else {
        1
    }
}

/// Asks everything of a profile of size `n` and of one four times as large.
fn grows_as_the_file(n: u32, profile: impl Fn(u32) -> Profile) {
    let ask = |n: u32| {
        let (hpm, hpd) = profile(n).into_bytes();
        let len = hpm.len() + hpd.len();
        let (_, most, seconds) = cost(|| {
            everything_raw(&hpm, &hpd, &[]);
            everything(&Reader::from_bytes(hpm, hpd, None).unwrap());
        });
        println!("{n}: {len} bytes, {most} of memory, {seconds:.3} s");
        (len as f64, most as f64, seconds)
    };
    let n = n * scale();
    let (len, most, seconds) = ask(n);
    let (len_4, most_4, seconds_4) = ask(4 * n);
    let larger = len_4 / len;
    // What does not depend on the file is some MB and some milliseconds. As much again for the
    // logarithm, for caches, and for what else the machine does; a square would be four times as much.
    assert!(
        most_4 <= 1.3 * larger * most,
        "{most} bytes became {most_4}"
    );
    assert!(
        seconds_4 <= 2.0 * larger * seconds.max(0.02),
        "{seconds} s became {seconds_4} s, for {larger} times the file"
    );
    assert!(most_4 <= 1e7 + 300.0 * len_4, "{most_4} bytes for {len_4}");
}

/// An event for each trace.
fn events(profile: &mut Profile, traces: u32) {
    for trace in 1..=traces {
        profile.event(i64::from(trace), trace, 1 + i64::from(trace % 50));
    }
}

#[test]
fn one_stack_of_many_lines() {
    grows_as_the_file(10_000, |n| {
        let stack: Vec<(&str, u32)> = (0..n).map(|line| ("m", line)).collect();
        let mut profile = Profile::default();
        profile.trace(&stack);
        events(&mut profile, 1);
        profile
    });
}

#[test]
fn one_stack_of_one_line_that_recurs() {
    grows_as_the_file(20_000, |n| {
        let mut profile = Profile::default();
        profile.trace(&vec![("m", 1); n as usize]);
        events(&mut profile, 1);
        profile
    });
}

#[test]
fn stacks_of_two_lines_that_call_each_other() {
    grows_as_the_file(20_000, |n| {
        let stack: Vec<(&str, u32)> = (0..n).map(|line| ("m", line % 2)).collect();
        let mut profile = Profile::default();
        profile.trace(&stack);
        profile.trace(&stack[1..]);
        events(&mut profile, 2);
        profile
    });
}

#[test]
fn many_lines_each_a_stack() {
    grows_as_the_file(4_000, |n| {
        let mut profile = Profile::default().traces(n);
        events(&mut profile, n);
        profile
    });
}

/// Each stack one frame longer than the one before.
#[test]
fn a_comb() {
    grows_as_the_file(100, |n| {
        // So that it is the file that is four times as large.
        let depth = (100.0 * f64::from(n)).sqrt() as u32;
        let stack: Vec<(&str, u32)> = (0..depth).map(|line| ("m", line)).collect();
        let mut profile = Profile::default();
        for end in 1..=depth {
            profile.trace(&stack[..end as usize]);
        }
        events(&mut profile, depth);
        profile
    });
}

/// Any line calls any other.
#[test]
fn a_graph_without_order() {
    grows_as_the_file(1_000, |n| {
        let mut profile = Profile::default();
        let mut next = 1_u32;
        for _ in 0..n {
            let stack: Vec<(&str, u32)> = (0..10)
                .map(|_| {
                    next = next.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                    ("m", (next >> 8) % 500)
                })
                .collect();
            profile.trace(&stack);
        }
        events(&mut profile, n);
        profile
    });
}

/// A trace can be a single byte.
#[test]
fn many_empty_stacks_of_which_one_allocates() {
    grows_as_the_file(100_000, |n| {
        let mut profile = Profile::default();
        for _ in 0..n {
            profile.trace(&[]);
        }
        profile.event(1, n, 8);
        profile.event(2, 1, 8);
        profile
    });
}

#[test]
fn a_long_name() {
    grows_as_the_file(1 << 20, |n| {
        let name = "x/".repeat(n as usize / 2);
        let mut profile = Profile::default();
        profile.trace(&[(&name, 1), ("m", 2)]);
        events(&mut profile, 1);
        profile
    });
}

#[test]
fn many_names() {
    grows_as_the_file(2_000, |n| {
        let mut profile = Profile::default();
        for number in 0..n {
            let folder = format!("{}/{number}", "d/".repeat((number % 30) as usize));
            profile.trace(&[("m", 1), (&folder, number)]);
        }
        events(&mut profile, n);
        profile
    });
}

#[test]
fn many_ranges_of_sizes() {
    grows_as_the_file(2_000, |n| {
        let ranges = (1..=n).map(|n| (u64::from(n) * 5, n.wrapping_mul(1 << 18) | 1));
        let mut profile = Profile::sampled(&SamplingRates::from_stored(ranges)).traces(2);
        for size in 0..n {
            profile.event(i64::from(size), 1 + size % 2, i64::from(size * 5));
        }
        profile
    });
}

/// All live, each of a size of its own; then all freed.
#[test]
fn many_sizes() {
    grows_as_the_file(10_000, |n| {
        let mut profile = Profile::default().traces(1);
        for size in 0..n {
            profile.raw_event(i64::from(size), 1, u64::from(size), Allocation);
        }
        for size in 0..n {
            profile.raw_event(i64::from(n + size), 1, u64::from(size), Free);
        }
        profile
    });
}

/// All of one size and at one time; traces that no table has.
#[test]
fn many_strangers_at_one_time() {
    grows_as_the_file(10_000, |n| {
        let mut profile = Profile::default().traces(1);
        for number in 0..n {
            profile.raw_event(5, 2 + number * 7919, 8, Allocation);
        }
        profile
    });
}

/// The clock is stepped back with every other event.
#[test]
fn a_clock_that_goes_to_and_fro() {
    grows_as_the_file(10_000, |n| {
        let mut profile = Profile::default().traces(3);
        for number in 0..i64::from(n) {
            let wall = if number % 2 == 0 { number * 1000 } else { 0 };
            profile.raw_event(wall, 1 + number as u32 % 3, 16, Allocation);
        }
        profile
    });
}

/// Each event comes so late that digest and series have to become coarser, up to 290 000 years.
#[test]
fn gaps_of_all_lengths() {
    grows_as_the_file(5_000, |n| {
        let mut profile = Profile::default().traces(3);
        let mut wall = 0_i64;
        for number in 0..n {
            wall += 1 << (number % 50);
            profile.raw_event(wall, 1 + number % 3, 16, Allocation);
        }
        profile
    });
}

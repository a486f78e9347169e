//! CPU time and memory of all queries over files that are built to be expensive.
//!
//! Each kind of file is made in two sizes, *n* and 4 *n*. Time may grow as *n* log *n*, and memory as *n*.
//! `HEAPPROF_LONG=1` makes the files ten times as large.

// The CPU time of a thread is not available everywhere.
#![cfg(unix)]
#![allow(clippy::cast_precision_loss, reason = "sizes to be compared")]

#[path = "common/all_queries.rs"]
mod all_queries;
mod common;
#[path = "common/meter.rs"]
mod meter;

use std::io::Cursor;
use std::time::Duration;

use all_queries::{all_queries, all_raw_queries};
use common::Profile;
use heapprof::EventKind::{Allocation, Free};
use heapprof::query::Track;
use heapprof::raw::{DigestFile, DigestWriter, TraceLog};
use heapprof::view::{FlameGraph, FlowGraph, FlowOptions, Lines, TimeSeries};
use heapprof::{
    Digest, DigestOptions, Elapsed, Error, Reader, SamplingRates, StartTime, TraceId, TraceTable,
    Usage,
};
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

/// Runs all queries on a profile of size `n` and on one four times as large.
fn grows_as_the_file(n: u32, profile: impl Fn(u32) -> Profile) {
    grows(
        n,
        |n| profile(n).into_bytes().into(),
        |[hpm, hpd]| {
            all_raw_queries(&hpm, &hpd, &[]);
            all_queries(&Reader::from_bytes(hpm, hpd, None).unwrap());
        },
    );
}

/// The same of a digest alone.
fn grows_as_the_digest(n: u32, digest: impl Fn(u32) -> Vec<u8>) {
    let (hpm, _) = Profile::default().traces(3).into_bytes();
    let traces = TraceTable::from_log(&TraceLog::new(&hpm).unwrap());
    grows(
        n,
        |n| [digest(n)],
        |[hpc]| {
            let file = DigestFile::new(&hpc).unwrap();
            let own = (0..file.len()).filter(|&number| !file.shares(number));
            let _ = own
                .filter_map(|number| file.entries(number))
                .flatten()
                .count();
            let digest = Digest::from_bytes(hpc).unwrap();
            let _ = digest.snapshots().flatten().count();
            let _ = digest.times().last();
            let _ = TimeSeries::new(&digest, &traces, [Track::Unknown]);
            for at in 0..10 {
                let _ = digest.snapshot_at(Elapsed::from_millis(u64::from(n) * at / 9));
            }
        },
    );
}

/// Runs `work` on files of size `n` and on files four times as large.
fn grows<const N: usize>(n: u32, files: impl Fn(u32) -> [Vec<u8>; N], work: impl Fn([Vec<u8>; N])) {
    let ask = |n: u32| {
        let files = files(n);
        let len: usize = files.iter().map(Vec::len).sum();
        let ((), most, seconds) = cost(|| work(files));
        println!("{n}: {len} bytes, {most} of memory, {seconds:.3} s");
        (len as f64, most as f64, seconds)
    };
    let n = n * scale();
    let (len, most, seconds) = ask(n);
    let (len_4, most_4, seconds_4) = ask(4 * n);
    let larger = len_4 / len;
    // Some MB and some milliseconds do not depend on the file. Twice the linear growth allows for the
    // logarithm, caches and a busy machine; quadratic growth would be four times the linear one.
    assert!(
        most_4 <= 1.3 * larger * most.max(1e6),
        "{most} bytes became {most_4}"
    );
    assert!(
        seconds_4 <= 2.0 * larger * seconds.max(0.02 * f64::from(scale())),
        "{seconds} s became {seconds_4} s, for {larger} times the file"
    );
    assert!(most_4 <= 1e7 + 300.0 * len_4, "{most_4} bytes for {len_4}");
}

/// Adds one event per trace.
fn events(profile: &mut Profile, traces: u32) {
    for trace in 1..=traces {
        profile.event(i64::from(trace), trace, 1 + i64::from(trace % 50));
    }
}

/// The same of traces of version 2, whose records are repeated.
fn grows_as_the_records(n: u32, records: impl Fn(u32) -> Vec<u8>) {
    grows(
        n,
        |n| {
            // No sampling ranges, no properties.
            let mut hpm = vec![0; 22];
            hpm[3] = 2;
            hpm.extend(records(n));
            let (_, hpd) = Profile::default().with_events(&[(1, 1, 10)]).into_bytes();
            [hpm, hpd]
        },
        |[hpm, hpd]| {
            all_raw_queries(&hpm, &hpd, &[]);
            all_queries(&Reader::from_bytes(hpm, hpd, None).unwrap());
        },
    );
}

#[test]
fn compact_texts_without_bytes() {
    grows_as_the_records(100_000, |n| vec![0; n as usize]);
}

#[test]
fn compact_frames_without_names() {
    grows_as_the_records(3_000, |n| {
        let frames = (0..n).flat_map(|line| {
            // Lines of two bytes.
            let line = 0x80 | line << 1 & 0x7f00 | line & 0x7f;
            let [low, high, ..] = line.to_le_bytes();
            [1, 0, low, high]
        });
        [0].into_iter().chain(frames).collect()
    });
}

#[test]
fn compact_nodes_in_a_chain_and_beside_each_other() {
    for back in [|_| 1, |number: u32| number] {
        grows_as_the_records(10_000, |n| {
            let mut records = vec![0, 1, 0, 7];
            for number in 1..=n {
                let mut head = u64::from(back(number)) << 2 | 2;
                while head >= 0x80 {
                    records.push(head.to_le_bytes()[0] | 0x80);
                    head >>= 7;
                }
                records.extend([head.to_le_bytes()[0], 0]);
            }
            records.push(1 << 2 | 3);
            records
        });
    }
}

#[test]
fn compact_traces_of_the_root() {
    grows_as_the_records(50_000, |n| vec![1 << 2 | 3; n as usize]);
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
fn one_stack_of_a_recurring_line() {
    grows_as_the_file(20_000, |n| {
        let mut profile = Profile::default();
        profile.trace(&vec![("m", 1); n as usize]);
        events(&mut profile, 1);
        profile
    });
}

#[test]
fn stacks_of_two_mutually_recursive_lines() {
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
fn one_stack_per_line() {
    grows_as_the_file(4_000, |n| {
        let mut profile = Profile::default().traces(n);
        events(&mut profile, n);
        profile
    });
}

/// Each stack is one frame longer than the previous one.
#[test]
fn stacks_of_growing_depth() {
    grows_as_the_file(100, |n| {
        // The file is to be four times as large, not the stack.
        let depth = (100 * n).isqrt();
        let stack: Vec<(&str, u32)> = (0..depth).map(|line| ("m", line)).collect();
        let mut profile = Profile::default();
        for end in 1..=depth {
            profile.trace(&stack[..end as usize]);
        }
        events(&mut profile, depth);
        profile
    });
}

/// Every line calls every other line.
#[test]
fn dense_call_graph() {
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
fn many_empty_stacks() {
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
fn long_file_name() {
    grows_as_the_file(1 << 20, |n| {
        let name = "x/".repeat(n as usize / 2);
        let mut profile = Profile::default();
        profile.trace(&[(&name, 1), ("m", 2)]);
        events(&mut profile, 1);
        profile
    });
}

/// Inside the file names are bytes that look like the start of a trace without an end.
#[test]
fn file_names_that_resemble_traces() {
    let name = "\x01\x00".repeat(7999) + "\x01\x04";
    grows_as_the_file(200, |n| {
        let mut profile = Profile::default();
        for _ in 0..n {
            profile.trace(&[(&name, 1)]);
        }
        events(&mut profile, n);
        profile
    });
}

#[test]
fn many_file_names() {
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
fn many_sampling_ranges() {
    grows_as_the_file(2_000, |n| {
        let ranges = (1..=n).map(|n| (u64::from(n) * 5, n.wrapping_mul(1 << 18) | 1));
        let mut profile = Profile::sampled(&SamplingRates::from_stored(ranges)).traces(2);
        for size in 0..n {
            profile.event(i64::from(size), 1 + size % 2, i64::from(size * 5));
        }
        profile
    });
}

/// All blocks are live at once, each of a different size, and then freed.
#[test]
fn many_block_sizes() {
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

/// Blocks of one size, allocated at one time by traces that the table lacks.
#[test]
fn many_unknown_traces() {
    grows_as_the_file(10_000, |n| {
        let mut profile = Profile::default().traces(1);
        for number in 0..n {
            profile.raw_event(5, 2 + number * 7919, 8, Allocation);
        }
        profile
    });
}

#[test]
fn clock_stepping_back_at_every_other_event() {
    grows_as_the_file(10_000, |n| {
        let mut profile = Profile::default().traces(3);
        for number in 0..n {
            let wall = if number % 2 == 0 { number * 1000 } else { 0 };
            profile.raw_event(wall.into(), 1 + number % 3, 16, Allocation);
        }
        profile
    });
}

/// Each gap forces a coarser interval of the digest and the series, up to 290 000 years.
#[test]
fn growing_gaps_between_events() {
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

/// 30 000 snapshots share 30 000 entries: one by one, these would be 900 million.
#[test]
fn shared_snapshots_are_decoded_once() {
    let mut profile = Profile::default().traces(30_000);
    for trace in 1..=30_000 {
        profile.event(500, trace, 8);
    }
    profile.event(30_000_000, 0, 8);
    let reader = profile.reader();
    let (digest, most, seconds) = cost(|| reader.digest_with(every(1)).unwrap());
    assert_eq!(digest.len(), 30_000);
    assert!(
        most < 20_000_000 && seconds < 1.0,
        "{most} bytes, {seconds} s"
    );
    let (full, most, seconds) = cost(|| {
        let totals = digest
            .snapshots()
            .map(|snapshot| snapshot.unwrap().usage().total());
        totals.filter(|&total| total == 240_000).count()
    });
    assert_eq!(full, 29_999);
    assert!(
        most < 5_000_000 && seconds < 2.0,
        "{most} bytes, {seconds} s"
    );
}

fn digest_writer() -> DigestWriter<Cursor<Vec<u8>>> {
    let start = StartTime::new(1_700_000_000, 5);
    DigestWriter::new(Cursor::new(Vec::new()), start, Duration::from_millis(1)).unwrap()
}

/// `n` entries, each one byte lighter than the previous one.
fn entries(n: u32) -> impl Iterator<Item = (Option<TraceId>, i64)> {
    (1..=n).map(move |trace| (TraceId::new(trace), i64::from(n - trace)))
}

#[test]
fn many_snapshots_sharing_many_entries() {
    grows_as_the_digest(100_000, |n| {
        let mut writer = digest_writer();
        writer.write_snapshot(entries(n / 4)).unwrap();
        for _ in 0..n / 4 {
            writer.write_repeat().unwrap();
        }
        writer.finish(&[]).unwrap().into_inner()
    });
}

#[test]
fn many_snapshots_of_few_entries() {
    grows_as_the_digest(20_000, |n| {
        let mut writer = digest_writer();
        for number in 0..n {
            writer.write_snapshot(entries(number % 5)).unwrap();
        }
        writer.finish(&[]).unwrap().into_inner()
    });
}

/// The index says that a snapshot begins at each byte of a long snapshot.
#[test]
fn overlapping_snapshots() {
    grows_as_the_digest(20_000, |n| {
        let mut writer = digest_writer();
        writer.write_snapshot(entries(1)).unwrap();
        let begin = writer.finish(&[]).unwrap().into_inner();
        let low = |n: u32| u8::try_from(n & 127).unwrap();
        // After the magic number of the snapshot: repeatedly a magic number and as many entries as fit.
        let first = begin
            .windows(4)
            .position(|four| four == [0x53, 0x79, 0xa0, 0xbd]);
        let mut bytes = begin[..first.unwrap()].to_vec();
        let at = bytes.len();
        for _ in 0..n {
            bytes.extend([0x53, 0x79, 0xa0, 0xbd, 0xff, 0xff, 0xff, 0x7f, 0, 0]);
        }
        let index = bytes.len() as u64;
        bytes[at - 8..at].copy_from_slice(&index.to_be_bytes());
        bytes.extend([0xab, 0x93, 0x57, 0x76, 0x80 | low(n)]);
        bytes.extend([0x80 | low(n >> 7), 0x80 | low(n >> 14), 0]);
        bytes.push(u8::try_from(at).unwrap());
        bytes.extend(std::iter::repeat_n(10, n as usize - 1));
        bytes
    });
}

fn every(millis: u64) -> DigestOptions<'static> {
    DigestOptions::default().interval(Duration::from_millis(millis))
}

/// A snapshot takes at least one byte, so their number has a limit that does not depend on the log.
#[test]
fn long_gap_is_bounded_by_max_snapshots() {
    let century = Elapsed::from_secs(100 * 365 * 86_400).as_micros();
    let century = i64::try_from(century).unwrap();
    let reader = Profile::default()
        .traces(1)
        .with_events(&[(5, 1, 8), (century, 1, 8)])
        .reader();
    let (error, most, seconds) = cost(|| reader.digest_with(every(1)).unwrap_err());
    assert!(
        most < 1_000_000 && seconds < 0.1,
        "{most} bytes, {seconds} s"
    );
    let Error::TooManySnapshots {
        needed,
        limit,
        works,
        ..
    } = error
    else {
        panic!("{error}")
    };
    assert_eq!((needed, limit), (3_153_600_000_000, 100_000_000));
    assert_eq!(works, Duration::from_millis(31_536));
    assert_eq!(
        error.to_string(),
        "a snapshot every 1ms would be 3153600000000 snapshots, over the limit of 100000000: \
         an interval of 31.536s works"
    );
    // The caller can raise the limit, at a cost.
    for most in [1_000, 1_000_000] {
        let options = || every(1).max_snapshots(most);
        let Err(Error::TooManySnapshots { works, .. }) = reader.digest_with(options()) else {
            panic!()
        };
        let works = DigestOptions::default().interval(works).max_snapshots(most);
        let (digest, memory, seconds) = cost(|| reader.digest_with(works).unwrap());
        assert_eq!(digest.len() as u64, most);
        // One byte per snapshot, in buffers that grow by doubling.
        assert!(memory < 100_000 + 8 * most, "{memory} bytes");
        assert!(seconds < 0.5, "{seconds} s");
        assert_eq!(
            digest.snapshot_at(Elapsed::MAX).unwrap().usage().total(),
            16
        );
    }
    let (digest, most, seconds) = cost(|| reader.digest().unwrap());
    assert!(digest.len() <= 1000, "{}", digest.len());
    assert!(
        most < 1_000_000 && seconds < 0.1,
        "{most} bytes, {seconds} s"
    );
}

/// A flow graph of a million nodes and edges: from one stack, and from a million stacks.
#[test]
fn views_of_a_million_distinct_lines() {
    const LINES: u32 = 1_000_000;
    for stacks in [1, LINES] {
        let mut profile = Profile::default();
        let length = LINES / stacks;
        for stack in 0..stacks {
            let lines = (0..length).map(|line| ("m", stack * length + line));
            let trace = profile.trace(&lines.collect::<Vec<_>>());
            profile.event(i64::from(stack), trace.get(), 8);
        }
        let reader = profile.reader();
        let traces = reader.traces().unwrap();
        assert_eq!(traces.frame_count(), LINES as usize);
        let usage = reader.live_at_end().unwrap();
        let total = 8 * i64::from(stacks);
        costs(LINES, 500, || {
            let graph =
                FlowGraph::with_options(traces, [&usage, &Usage::empty()], &FlowOptions::default());
            assert_eq!(graph.nodes().len(), LINES as usize);
            assert_eq!(graph.edges().len(), (LINES - stacks) as usize);
            assert_eq!(graph.total(0), total);
            graph
        });
        costs(LINES, 400, || {
            let graph = FlameGraph::new(traces, &usage);
            assert_eq!(graph.len(), LINES as usize + 1);
            graph
        });
        costs(LINES, 100, || {
            let lines = Lines::new(traces, &usage);
            assert_eq!(lines.by_cumulative().len(), LINES as usize);
            lines
        });
    }
}

/// `work` may take `bytes` of memory and 5 µs for each line.
fn costs<T>(lines: u32, bytes: u64, work: impl FnOnce() -> T) {
    let (_, most, seconds) = cost(work);
    println!("{lines} lines: {most} bytes, {seconds:.3} s");
    assert!(most <= bytes * u64::from(lines), "{most} bytes");
    assert!(seconds <= 5e-6 * f64::from(lines), "{seconds} s");
}

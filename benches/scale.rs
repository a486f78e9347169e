//! CPU time per event for logs of growing length and growing numbers of traces, as a table and a plot; and the speedup
//! by a second core.
//!
//! ```text
//! cargo bench --bench scale [-- MILLIONS]    # the longest log, in millions of events; else 16
//! ```
//!
//! It generates the recordings in temporary folders, with 7 to 8 bytes per event.

mod common;

use std::hint::black_box;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use common::cpu_seconds;
use heapprof::{DigestOptions, Reader};
use textplots::{Chart, Plot, Shape};

fn main() {
    let longest = std::env::args()
        .find_map(|arg| arg.parse().ok())
        .unwrap_or(16);
    println!(
        "{:>12} {:>10} {:>9} {:>9} {:>9}",
        "events", "traces", "decode", "replay", "digest"
    );
    println!("{:>12} {:>10} {:>9} {:>9} {:>9}", "", "", "ns", "ns", "ns");
    let mut by_length = Vec::new();
    let mut millions = 1;
    while millions <= longest {
        by_length.push((millions, row(millions, 100_000)));
        millions *= 4;
    }
    for traces in [1_000, 10_000, 1_000_000] {
        row(4, traces);
    }
    plot(&by_length);
    second_core();
}

/// Prints the row of one log, and returns the nanoseconds per event of its replay.
fn row(millions: u64, traces: u32) -> f64 {
    let folder = tempfile::tempdir().unwrap();
    let filebase = folder.path().join("generated");
    common::write(&filebase, millions * 1_000_000, traces);
    let reader = Reader::open(&filebase).unwrap();
    let events = reader.end().unwrap().events();
    let decode = ns_per_event(events, &mut || {
        let sizes = reader.events().unwrap().map(|event| event.unwrap().size);
        sizes.fold(0, |sum, size| sum ^ size)
    });
    let replay = ns_per_event(events, &mut || {
        reader.live_at_end().unwrap().total().cast_unsigned()
    });
    let digest = ns_per_event(events, &mut || digest(&filebase));
    println!("{events:>12} {traces:>10} {decode:>9.2} {replay:>9.2} {digest:>9.2}");
    replay
}

/// Writes a digest with a snapshot per second.
fn digest(filebase: &Path) -> u64 {
    let options = DigestOptions::default().interval(Duration::from_secs(1));
    let digest = Reader::open(filebase)
        .unwrap()
        .make_digest(options)
        .unwrap();
    std::fs::remove_file(filebase.with_extension("hpc")).unwrap();
    digest.len() as u64
}

/// The smallest CPU time of three runs, in nanoseconds per event.
#[expect(clippy::cast_precision_loss, reason = "a time")]
fn ns_per_event(events: u64, work: &mut dyn FnMut() -> u64) -> f64 {
    let runs = (0..3).map(|_| {
        let start = cpu_seconds();
        black_box(work());
        cpu_seconds() - start
    });
    runs.fold(f64::INFINITY, f64::min) * 1e9 / events as f64
}

/// Plots the time per event of a replay over the length of the log.
#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    reason = "a plot"
)]
fn plot(by_length: &[(u64, f64)]) {
    let points: Vec<(f32, f32)> = by_length
        .iter()
        .map(|&(millions, replay)| ((millions as f32).log2(), replay as f32))
        .collect();
    let last = points.last().map_or(1.0, |point| point.0).max(1.0);
    println!("\nreplay: ns per event, over log2 of the millions of events");
    let shape = Shape::Lines(&points);
    let mut chart = Chart::new_with_y_range(100, 30, 0.0, last, 0.0, 20.0);
    let chart = chart.lineplot(&shape);
    chart.axis();
    chart.figures();
    println!("{chart}");
}

/// Digests two profiles one after the other, and then in two threads, and compares the wall times.
fn second_core() {
    let folder = tempfile::tempdir().unwrap();
    let filebases = ["one", "other"].map(|name| folder.path().join(name));
    for filebase in &filebases {
        common::write(filebase, 4_000_000, 100_000);
    }
    let mut ratios: Vec<f64> = (0..5)
        .map(|_| {
            let start = Instant::now();
            for filebase in &filebases {
                black_box(digest(filebase));
            }
            let in_turn = start.elapsed();
            let start = Instant::now();
            thread::scope(|scope| {
                for filebase in &filebases {
                    scope.spawn(|| black_box(digest(filebase)));
                }
            });
            in_turn.as_secs_f64() / start.elapsed().as_secs_f64()
        })
        .collect();
    ratios.sort_by(f64::total_cmp);
    println!(
        "two profiles on two cores against one: {:.2} times",
        ratios[2]
    );
}

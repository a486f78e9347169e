//! How fast the library is on one recording, in CPU time. Prints lines of `row value unit`.
//!
//! ```text
//! cargo bench --bench ratios [-- FILEBASE]
//! ```
//!
//! Without a filebase (or `HEAPPROF_BENCH`) it generates a recording of 4 M events and 100 000 traces.
//!
//! The works take turns, one run each in a round, for about a minute. Each row is a median over the rounds. A ratio
//! compares two works of the same round, so it hardly depends on the machine or on what else that does. To compare
//! two builds, run their executables at the same time and compare the rows `*_ns_per_event`. Code alignment alone can
//! change a loop of the caller (`next`, `for_each`, `bytewise`) by 15 %.
//!
//! | work | what it does |
//! | --- | --- |
//! | `sum` | adds up the bytes of the file as words |
//! | `next`, `for_each` | decodes the log with `raw::Events`, and reads size, kind, trace and time of each event |
//! | `bytewise` | the same with a decoder that reads one byte at a time |
//! | `mixed` | the same on a log whose numbers have one to four bytes |
//! | `end` | `Reader::end`: decodes the log, and reads nothing of its events |
//! | `replay` | `Reader::high_water`: live bytes by trace, and the largest total |
//! | `live`, `peak` | `Reader::live_at_end`; `Reader::peak` |
//! | `ask` | `Reader::ask` with a query that does almost nothing |
//! | `digest`, `digest_file` | makes a digest with a snapshot per second in memory; in a file |
//! | `index` | `TraceLog::count`: finds where each stack begins |
//! | `intern` | `TraceTable::from_log`: the table of all stacks |
//! | `open` | `Reader::open` |
//! | `lines`, `flow`, `flame` | views of the 30 000 traces that allocated most |
//! | `series`, `series_total` | a series of three lines over about 290 snapshots; of the total alone |

mod common;

use std::fs;
use std::ops::ControlFlow;
use std::path::Path;
use std::time::Duration;

use common::memory::{CHILD, in_a_child_process, memory_of_a_digest};
use common::rounds::{Seconds, measure, median, work};
use common::{Copies, Profile, allocated, bytewise, digest_of_290_snapshots, sum};
use heapprof::Event;
use heapprof::query::{AppliedEvent, LiveHeap, Query, QueryEnd, Track};
use heapprof::raw::{EventLog, TraceLog, TraceWriterV1};
use heapprof::view::{FlameGraph, FlowGraph, Lines, TimeSeries};
use heapprof::{DigestOptions, Reader, TraceId, TraceTable, Usage};

const EVENTS: u64 = 4_000_000;

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    if let [CHILD, filebase] = &args.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        println!("{}", memory_of_a_digest(Path::new(filebase)));
        return;
    }
    let filebase = args.iter().find(|arg| !arg.starts_with('-'));
    let profile = Profile::new(filebase.map(Path::new), EVENTS);
    let (hpm, hpd) = (&profile.hpm[..], &profile.hpd[..]);

    // A digest is written beside the copy.
    let folder = tempfile::tempdir().unwrap();
    let copy = folder.path().join("copy");
    fs::write(copy.with_extension("hpm"), hpm).unwrap();
    fs::write(copy.with_extension("hpd"), hpd).unwrap();
    let reader = Reader::open(&copy).unwrap();
    let in_memory = Reader::from_bytes(hpm.to_vec(), hpd.to_vec(), None).unwrap();
    let log = TraceLog::new(hpm).unwrap();
    let no_traces = TraceWriterV1::new(Vec::new(), log.start(), log.rates());
    let no_traces = no_traces.unwrap().into_inner();
    let (hpm, hpd) = (Copies::new(hpm), Copies::new(hpd));
    let mixed = common::with_mixed_lengths(&profile.hpd);
    let each_second = || DigestOptions::default().interval(Duration::from_secs(1));

    let traces = reader.traces().unwrap();
    let usage: Usage = allocated(&reader).iter().take(30_000).collect();
    let snapshots = digest_of_290_snapshots(&reader);
    let lines = Lines::new(traces, &usage);
    let heaviest = lines.by_local().take(3);
    let tracks: Vec<Track> = heaviest.map(|line| Track::Cumulative(line.id)).collect();

    let seconds = measure(vec![
        work("next", || next(hpd.next())),
        work("next_mixed", || next(&mixed)),
        work("for_each", || for_each(hpd.next())),
        work("bytewise", || bytewise(hpd.next())),
        work("bytewise_mixed", || bytewise(&mixed)),
        work("sum_hpd", || sum(hpd.next())),
        work("end", || {
            let reader = Reader::from_bytes(no_traces.clone(), hpd.next(), None);
            reader.unwrap().end().unwrap()
        }),
        work("replay", || in_memory.high_water().unwrap()),
        work("live", || in_memory.live_at_end().unwrap()),
        work("peak", || in_memory.peak().unwrap()),
        work("ask", || in_memory.ask(Largest(0)).unwrap()),
        work("digest", || in_memory.digest_with(each_second()).unwrap()),
        work("digest_file", || {
            let reader = Reader::open(&copy).unwrap();
            reader.make_digest(each_second()).unwrap();
            fs::remove_file(copy.with_extension("hpc")).unwrap();
        }),
        work("sum_hpm", || sum(hpm.next())),
        work("index", || TraceLog::new(hpm.next()).unwrap().count()),
        work("intern", || {
            TraceTable::from_log(&TraceLog::new(hpm.next()).unwrap())
        }),
        work("open", || Reader::open(&profile.filebase).unwrap()),
        work("lines", || Lines::new(traces, &usage)),
        work("flow", || FlowGraph::new(traces, &usage)),
        work("flame", || FlameGraph::new(traces, &usage)),
        work("series", || {
            TimeSeries::new(&snapshots, traces, &tracks).unwrap()
        }),
        work("series_total", || {
            TimeSeries::new(&snapshots, traces, []).unwrap()
        }),
    ]);

    let stacks = usage.by_trace().filter_map(|(id, _)| traces.trace(id));
    let frames = stacks.map(|stack| stack.len() as u64).sum();
    print(
        &seconds,
        as_f64(reader.end().unwrap().events()),
        as_f64(frames),
    );
    println!("rss_anon_kb_digest {} kB", in_a_child_process(&copy));
}

/// Rows that compare two works of the same round: the time of the first by that of the second.
const RATIOS: [(&str, &str, &str); 13] = [
    ("decode_of_sum", "sum_hpd", "next"),
    ("decode_vs_bytewise", "bytewise", "next"),
    ("decode_mixed_vs_bytewise", "bytewise_mixed", "next_mixed"),
    ("next_vs_for_each", "for_each", "next"),
    ("end_of_sum", "sum_hpd", "end"),
    ("replay_of_decode", "next", "replay"),
    ("live_of_decode", "next", "live"),
    ("peak_of_replay", "replay", "peak"),
    ("ask_of_replay", "replay", "ask"),
    ("digest_of_replay", "replay", "digest"),
    ("index_of_sum", "sum_hpm", "index"),
    ("intern_of_sum", "sum_hpm", "intern"),
    ("series_vs_digest_read", "series", "series_total"),
];

const PER_EVENT: [&str; 9] = [
    "next",
    "next_mixed",
    "for_each",
    "end",
    "replay",
    "live",
    "peak",
    "ask",
    "digest",
];

fn print(seconds: &Seconds, events: f64, frames: f64) {
    for (row, a, b) in RATIOS {
        let rounds = seconds[a].iter().zip(&seconds[b]);
        let ratio = median(rounds.map(|(a, b)| a / b).collect());
        println!("{row} {ratio:.4} ratio");
    }
    let time = |work| median(seconds[work].clone());
    println!("open_ms {:.3} ms", time("open") * 1e3);
    println!("events_per_second {:.0} events/s", events / time("next"));
    let digested = events / time("digest_file");
    println!("digest_events_per_second {digested:.0} events/s");
    for work in ["lines", "flow", "flame"] {
        println!("{work}_ns_per_frame {:.2} ns", time(work) * 1e9 / frames);
    }
    for work in PER_EVENT {
        println!("{work}_ns_per_event {:.3} ns", time(work) * 1e9 / events);
    }
}

#[expect(clippy::cast_precision_loss, reason = "counts for a ratio")]
fn as_f64(count: u64) -> f64 {
    count as f64
}

/// A query for the largest total, which costs next to nothing beyond the pass.
struct Largest(i64);

impl Query for Largest {
    type Output = i64;

    fn observe(&mut self, applied: &AppliedEvent, _: &LiveHeap) -> ControlFlow<()> {
        self.0 = self.0.max(applied.total);
        ControlFlow::Continue(())
    }

    fn finish(self, _: &QueryEnd<'_>) -> i64 {
        self.0
    }
}

#[inline(never)]
fn next(hpd: &[u8]) -> u64 {
    let mut sum = 0;
    let mut events = EventLog::new(hpd).events();
    while let Some(Ok(event)) = events.next() {
        sum ^= fields(&event);
    }
    sum
}

#[inline(never)]
fn for_each(hpd: &[u8]) -> u64 {
    let mut sum = 0;
    EventLog::new(hpd).events().for_each(|event| {
        if let Ok(event) = event {
            sum ^= fields(&event);
        }
    });
    sum
}

#[inline(never)]
fn bytewise(hpd: &[u8]) -> u64 {
    bytewise::events(hpd).flatten().fold(0, |sum, event| {
        let size = event.size.cast_signed();
        let size = if event.is_free { -size } else { size };
        sum ^ size.cast_unsigned() ^ u64::from(event.trace) ^ event.elapsed
    })
}

/// Reads all fields of an event but its wall time.
#[inline]
fn fields(event: &Event) -> u64 {
    let trace = event.trace.map_or(0, TraceId::get);
    event.signed_size().cast_unsigned() ^ u64::from(trace) ^ event.elapsed.as_micros()
}

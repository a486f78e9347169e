//! Each kind of work on its own: `cargo bench --bench criterion [-- FILTER]`.
//!
//! Measures on a generated recording, or on the one that `HEAPPROF_BENCH` names. Figures that can be compared between
//! machines come from the bench `ratios`.

mod common;

use std::fs;
use std::hint::black_box;
use std::time::Duration;

use common::{Profile, allocated, bytewise, digest_of_290_snapshots, sum};
use criterion::{Criterion, SamplingMode, Throughput};
use heapprof::query::{LiveHeap, Track};
use heapprof::raw::{EventLog, TraceLog};
use heapprof::view::{
    FlameGraph, FlowGraph, FlowOptions, Lines, MergedTraces, Sandwich, TimeSeries,
};
use heapprof::{DigestOptions, Elapsed, Reader};

const EVENTS: u64 = 1_000_000;

fn main() {
    let mut criterion = Criterion::default().configure_from_args();
    let profile = Profile::new(None, EVENTS);
    log(&mut criterion, &profile);
    traces(&mut criterion, &profile);
    digests(&mut criterion, &profile);
    views(&mut criterion, &profile);
    criterion.final_summary();
}

/// Reads and queries of the log, in events per second.
fn log(criterion: &mut Criterion, profile: &Profile) {
    let hpd = &profile.hpd[..];
    let reader = Reader::open(&profile.filebase).unwrap();
    let mut group = criterion.benchmark_group("log");
    group.sampling_mode(SamplingMode::Flat).sample_size(20);
    group.throughput(Throughput::Elements(reader.end().unwrap().events()));
    group.bench_function("sum of the bytes", |it| it.iter(|| sum(black_box(hpd))));
    group.bench_function("decode bytewise", |it| {
        it.iter(|| {
            let events = bytewise::events(black_box(hpd)).flatten();
            events.fold(0, |sum, event| sum ^ event.size)
        });
    });
    group.bench_function("decode a slice", |it| {
        it.iter(|| {
            let events = EventLog::new(black_box(hpd)).events();
            let sizes = events.map_while(Result::ok).map(|event| event.size);
            sizes.fold(0, |sum, size| sum ^ size)
        });
    });
    group.bench_function("decode a file", |it| {
        it.iter(|| {
            let sizes = reader.events().unwrap().map_while(Result::ok);
            sizes.fold(0, |sum, event| sum ^ event.size)
        });
    });
    group.bench_function("find the end of a file", |it| {
        it.iter(|| {
            let reader = Reader::open(&profile.filebase).unwrap();
            reader.end().unwrap().events()
        });
    });
    group.bench_function("live heap", |it| {
        let traces = reader.traces().unwrap().len();
        it.iter(|| {
            let mut heap = LiveHeap::new(traces);
            for event in reader.events().unwrap().map_while(Result::ok) {
                heap.apply(&event, reader.rates());
            }
            heap.usage().total()
        });
    });
    group.bench_function("live at the end", |it| {
        it.iter(|| reader.live_at_end().unwrap().total());
    });
    group.bench_function("high water", |it| {
        it.iter(|| reader.high_water().unwrap().total());
    });
    group.bench_function("peak", |it| {
        it.iter(|| reader.peak().unwrap().total());
    });
    group.bench_function("churn", |it| {
        it.iter(|| reader.churn().unwrap().allocated().total());
    });
    group.finish();
}

/// Reads of the traces, in bytes per second.
fn traces(criterion: &mut Criterion, profile: &Profile) {
    let hpm = &profile.hpm[..];
    let mut group = criterion.benchmark_group("traces");
    group.sampling_mode(SamplingMode::Flat).sample_size(20);
    group.throughput(Throughput::Bytes(hpm.len() as u64));
    group.bench_function("sum of the bytes", |it| it.iter(|| sum(black_box(hpm))));
    group.bench_function("index", |it| {
        it.iter(|| TraceLog::new(black_box(hpm)).unwrap().count());
    });
    group.bench_function("table", |it| {
        it.iter(|| {
            let reader = Reader::open(&profile.filebase).unwrap();
            reader.traces().unwrap().frame_count()
        });
    });
    group.bench_function("open", |it| {
        it.iter(|| Reader::open(&profile.filebase).unwrap().start());
    });
    let reader = Reader::open(&profile.filebase).unwrap();
    let table = reader.traces().unwrap();
    group.bench_function("by file", |it| it.iter(|| table.by_file().frame_count()));
    group.bench_function("merge two", |it| {
        it.iter(|| MergedTraces::new([table, table]).table().len());
    });
    group.finish();
}

/// Digests, in events per second.
fn digests(criterion: &mut Criterion, profile: &Profile) {
    let folder = tempfile::tempdir().unwrap();
    let copy = folder.path().join("copy");
    fs::write(copy.with_extension("hpm"), &profile.hpm).unwrap();
    fs::write(copy.with_extension("hpd"), &profile.hpd).unwrap();
    let reader = Reader::open(&copy).unwrap();
    let mut group = criterion.benchmark_group("digest");
    group.sampling_mode(SamplingMode::Flat).sample_size(10);
    group.throughput(Throughput::Elements(reader.end().unwrap().events()));
    for (name, millis, precision) in [
        ("each second", 1000, 0.0),
        ("each 10 ms", 10, 0.0),
        ("each second, 1 % folded", 1000, 0.01),
    ] {
        let options = || {
            let interval = Duration::from_millis(millis);
            DigestOptions::default()
                .interval(interval)
                .precision(precision)
        };
        group.bench_function(name, |it| {
            it.iter(|| reader.digest_with(options()).unwrap().len());
        });
    }
    group.bench_function("to a file", |it| {
        let options = || DigestOptions::default().interval(Duration::from_secs(1));
        it.iter(|| reader.make_digest(options()).unwrap().len());
    });
    group.finish();
}

/// Views of the allocated bytes by trace, in frames per second.
fn views(criterion: &mut Criterion, profile: &Profile) {
    let reader = Reader::open(&profile.filebase).unwrap();
    let traces = reader.traces().unwrap();
    let usage = allocated(&reader);
    let frames = usage
        .by_trace()
        .filter_map(|(trace, _)| Some(traces.trace(trace)?.len() as u64))
        .sum();
    let half = Elapsed::from_micros(reader.elapsed().unwrap().as_micros() / 2);
    let before = reader.live_at(half).unwrap();
    let line = Lines::new(traces, &usage)
        .by_cumulative()
        .nth(20)
        .unwrap()
        .id;

    let mut group = criterion.benchmark_group("views");
    group.sampling_mode(SamplingMode::Flat).sample_size(20);
    group.throughput(Throughput::Elements(frames));
    group.bench_function("lines", |it| it.iter(|| Lines::new(traces, &usage).len()));
    group.bench_function("flow graph", |it| {
        it.iter(|| FlowGraph::new(traces, &usage).nodes().len());
    });
    group.bench_function("flow graph, pruned, two columns", |it| {
        let options = FlowOptions::default().min_fraction(0.001).collapse(true);
        it.iter(|| {
            FlowGraph::with_options(traces, [&usage, &before], &options)
                .nodes()
                .len()
        });
    });
    group.bench_function("flame graph", |it| {
        it.iter(|| FlameGraph::new(traces, &usage).len());
    });
    group.bench_function("flame graph, inverted", |it| {
        it.iter(|| FlameGraph::inverted(traces, &usage).len());
    });
    group.bench_function("sandwich", |it| {
        it.iter(|| Sandwich::new(traces, &usage, line).callers().len());
    });
    group.bench_function("difference", |it| it.iter(|| (&usage - &before).total()));
    group.bench_function("focus", |it| {
        it.iter(|| usage.focus(traces, |frame| frame.line == 7).len());
    });
    let digest = digest_of_290_snapshots(&reader);
    group.bench_function("series of three lines", |it| {
        let tracks = [Track::Cumulative(line), Track::Local(line), Track::Unknown];
        it.iter(|| {
            TimeSeries::new(&digest, traces, tracks)
                .unwrap()
                .total()
                .last()
        });
    });
    group.finish();
}

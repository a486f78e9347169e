//! Six programs as a user would write them against the documentation alone; each asserts what it computes.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::fs::{self, File};
use std::io::Write;
use std::ops::ControlFlow;
use std::path::Path;
#[cfg(feature = "serde")]
use std::process::Command;
use std::time::Duration;

#[cfg(feature = "serde")]
use heapprof::query::Leaks;
use heapprof::query::{
    AppliedEvent, Live, LiveHeap, Peak, Query, QueryEnd, RatesVerdict, TraceSet, Track,
};
use heapprof::raw::{EventWriter, LogPosition, TraceWriter};
#[cfg(feature = "serde")]
use heapprof::view::{FlowGraph, FlowOptions};
use heapprof::view::{LineErrorBars, Lines, MergedTraces, TimeSeries};
use heapprof::{DigestOptions, Elapsed, Reader, SamplingRates, TraceId, TraceTable, Usage};

const DEMO: &str = "examples/data/demo";
const SHOP: &str = "/srv/app/workloads/shop";

/// Live bytes over time of the five functions that hold the most at the peak.
#[test]
fn bytes_over_time_by_function() -> anyhow::Result<()> {
    let hpm = fs::read("tests/data/compact_demo.hpm")?;
    let reader = Reader::from_bytes(hpm, fs::read("examples/data/demo.hpd")?, None)?;
    let functions = reader.traces()?.by_function();
    let peak = reader.peak()?;
    let lines = Lines::new(&functions, peak.usage());
    let top: Vec<_> = lines.by_local().take(5).collect();
    let tracks: Vec<Track> = top.iter().map(|line| Track::Local(line.id)).collect();

    let step = reader.elapsed()?.as_millis() / 20 + 1;
    let options = DigestOptions::default().interval(Duration::from_millis(step));
    let digest = reader.digest_with(options)?;
    let series = TimeSeries::new(&digest, &functions, &tracks)?;
    let times: Vec<Elapsed> = (1..=20).map(|n| Elapsed::from_millis(n * 1090)).collect();
    assert_eq!(series.times(), times);
    assert_eq!((series.track_count(), series.is_damaged()), (5, false));

    // At the peak, and after 1.090, 11.990 and 21.800 seconds.
    let expected = [
        ("report_1", 9_445_132, [864, 9_443_948, 2656]),
        ("customers_1", 4_888_832, [472_752, 4_820_880, 8_150_528]),
        ("report_2", 4_719_132, [144, 144, 144]),
        ("orders_1", 82_200, [44_824, 82_176, 22_680]),
        ("customers_0", 67_204, [4584, 66_404, 124_044]),
    ];
    for ((line, (_, track)), (name, at_peak, values)) in top.iter().zip(series.iter()).zip(expected)
    {
        assert_eq!((line.frame.function, line.local), (Some(name), at_peak));
        assert_eq!([0, 10, 19].map(|place| track.values()[place]), values);
    }
    // Each point is what a query of its moment finds.
    let moments: Vec<_> = times.iter().map(|&time| Live::query().at(time)).collect();
    for (place, live) in reader.ask(moments)?.iter().enumerate() {
        assert_eq!(series.total().values()[place], live.total());
        let lines = Lines::new(&functions, live);
        for (line, (_, track)) in top.iter().zip(series.iter()) {
            let local = lines.get(line.id).map_or(0, |line| line.local);
            assert_eq!(track.values()[place], local);
        }
    }
    Ok(())
}

/// A query of the user: the most that each trace had live, and when it was first reached.
#[derive(Default)]
struct OwnMaxima(HashMap<Option<TraceId>, (i64, Elapsed)>);

struct Maxima {
    usage: Usage,
    when: HashMap<Option<TraceId>, Elapsed>,
}

impl Query for OwnMaxima {
    type Output = Maxima;

    fn observe(&mut self, applied: &AppliedEvent, _: &LiveHeap) -> ControlFlow<()> {
        let own = self.0.entry(applied.event.trace).or_default();
        if applied.trace_after > own.0 {
            *own = (applied.trace_after, applied.event.elapsed);
        }
        ControlFlow::Continue(())
    }

    fn finish(self, end: &QueryEnd<'_>) -> Maxima {
        let maxima = self.0.iter();
        let usage: Usage = maxima.map(|(&trace, &(bytes, _))| (trace, bytes)).collect();
        let maxima = self.0.into_iter();
        Maxima {
            usage: usage.damaged_if(end.is_damaged()),
            when: maxima.map(|(trace, (_, time))| (trace, time)).collect(),
        }
    }
}

#[test]
fn own_maximum_of_each_trace() -> anyhow::Result<()> {
    let reader = Reader::open(DEMO)?;
    let (own, peak) = reader.ask((OwnMaxima::default(), Peak::query()))?;
    let traces = reader.traces()?;
    assert_eq!((peak.total(), own.usage.total()), (19_241_503, 22_813_264));

    let expected = [
        ("customers.py:11", 8_150_081, 4_888_112, 21_628),
        ("report.py:13", 4_724_521, 4_723_560, 11_302),
        ("report.py:17", 4_720_708, 4_720_708, 11_305),
        ("report.py:21", 4_719_052, 4_718_988, 11_305),
        ("customers.py:6", 86_572, 48_172, 21_628),
        ("main.py:8", 82_857, 6619, 5),
    ];
    let maxima = Lines::new(traces, &own.usage);
    let at_peak = Lines::new(traces, peak.usage());
    for (line, (name, maximum, at, millis)) in maxima.by_local().zip(expected) {
        assert_eq!(line.frame.to_string(), format!("{SHOP}/{name}"));
        assert_eq!(line.local, maximum, "{name}");
        assert_eq!(at_peak.get(line.id).unwrap().local, at, "{name}");
        // The heaviest of the traces that end at the line.
        let ends_here = |id| traces.trace(id).and_then(|trace| trace.ids().last()) == Some(line.id);
        let (heaviest, _) = own.usage.iter().find(|&(id, _)| ends_here(id)).unwrap();
        assert_eq!(own.when[&heaviest].as_millis(), millis, "{name}");
    }
    // The library finds the same: the peak of each trace alone.
    assert_eq!(own.usage.len(), 57);
    let ids = own.usage.iter().map(|(id, _)| id.expect("a known trace"));
    let alone = ids.map(|id| Peak::query().of(&TraceSet::of(traces, [Track::Trace(id)])));
    let alone = reader.ask(alone.collect::<Vec<_>>())?;
    for ((id, bytes), peak) in own.usage.iter().zip(&alone) {
        assert_eq!((peak.total(), peak.time()), (bytes, own.when[&id]));
    }
    Ok(())
}

/// Writes a recording without some of its blocks, and with other ids of its traces; returns how many
/// events and live bytes it left out.
fn write_without(
    reader: &Reader,
    base: &Path,
    is_left_out: impl Fn(&str, u64) -> bool,
) -> anyhow::Result<(u64, i64)> {
    let traces = reader.traces()?;
    let hpm = File::create(base.with_extension("hpm"))?;
    let mut hpm = TraceWriter::new(hpm, reader.start(), reader.rates())?;
    let mut hpd = EventWriter::new(Vec::new());
    let mut ids = HashMap::new();
    let (mut events, mut bytes) = (0, 0);
    for event in reader.events()? {
        let mut event = event?;
        let trace = traces.trace(event.trace).expect("a known trace");
        // A free names the trace and the size of its block, so a block goes with its free.
        let line = trace.innermost().expect("a line").to_string();
        if is_left_out(&line, event.size) {
            events += 1;
            bytes += event.signed_size();
            continue;
        }
        // The new ids are in the order of first use.
        event.trace = Some(match ids.entry(event.trace) {
            Entry::Occupied(known) => *known.get(),
            Entry::Vacant(new) => *new.insert(hpm.intern_outermost_first(trace.frames())?),
        });
        hpd.write_event(&event)?;
    }
    hpm.flush()?;
    fs::write(base.with_extension("hpd"), hpd.into_inner())?;
    Ok((events, bytes))
}

#[test]
fn difference_of_two_recordings_by_line() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let base = folder.path().join("second");
    let first = Reader::open(DEMO)?;
    let (cache, orders) = (
        format!("{SHOP}/customers.py:11"),
        format!("{SHOP}/orders.py:14"),
    );
    let (events, bytes) = write_without(&first, &base, |line, size| {
        line == orders || line == cache && size >= 2000
    })?;
    let second = Reader::open(&base)?;
    assert_eq!((events, bytes), (5023, 7_912_160));
    assert_eq!(
        (first.end()?.events(), second.end()?.events()),
        (49_779, 44_756)
    );

    let merged = MergedTraces::new([first.traces()?, second.traces()?]);
    let change = |was: &Usage, is: &Usage| &merged.usage(1, is) - &merged.usage(0, was);
    let at_peak = change(first.peak()?.usage(), second.peak()?.usage());
    let at_end = change(&first.live_at_end()?, &second.live_at_end()?);
    assert_eq!(first.peak()?.time(), second.peak()?.time());
    assert_eq!((at_peak.total(), at_end.total()), (-4_814_336, -bytes));
    for (change, by_cache, by_orders) in [
        (at_peak, -4_737_600, -76_736),
        (at_end, -7_896_000, -16_160),
    ] {
        let lines = Lines::new(merged.table(), &change);
        let changed = lines.by_local().rev().filter(|line| line.local != 0);
        let changed: Vec<_> = changed
            .map(|line| (line.frame.to_string(), line.local))
            .collect();
        assert_eq!(
            changed,
            [(cache.clone(), by_cache), (orders.clone(), by_orders)]
        );
    }
    Ok(())
}

/// The log grows in pieces that end in the middle of an event; each event is read once.
#[test]
fn follower_of_a_growing_log() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let base = folder.path().join("grows");
    fs::copy("examples/data/demo.hpm", base.with_extension("hpm"))?;
    let whole = fs::read("examples/data/demo.hpd")?;
    let mut log = File::create(base.with_extension("hpd"))?;

    let finished = Reader::open(DEMO)?;
    let mut reader = Reader::open(&base)?;
    let mut position = LogPosition::START;
    let mut heap = LiveHeap::new(reader.traces()?.len());
    let mut seen = Vec::new();
    for part in whole.chunks(40_001) {
        log.write_all(part)?;
        reader = reader.reopen()?;
        let mut events = reader.events_from(position)?;
        for event in events.by_ref() {
            heap.apply(&event?, reader.rates());
        }
        position = events.position();
        let is_cut = position.offset() < log.metadata()?.len();
        assert_eq!(events.cut().is_some(), is_cut);
        seen.push((position.events(), position.offset(), heap.total()));
        // The whole log says the same of this moment.
        let then = Live::query().after_events(position.events());
        assert_eq!(heap.usage(), finished.ask(then)?);
    }
    let expected = [
        (5598, 39_996, 97_754),
        (11_074, 80_000, 1_289_044),
        (16_561, 119_997, 2_664_253),
        (22_083, 159_998, 3_870_083),
        (27_625, 200_003, 4_945_455),
        (33_018, 240_002, 5_702_177),
        (38_580, 280_005, 6_680_643),
        (44_149, 320_004, 7_574_703),
        (49_715, 360_005, 8_345_477),
        (49_779, 360_483, 8_334_103),
    ];
    assert_eq!(seen, expected);
    assert_eq!(position, finished.end()?);
    assert_eq!(heap.usage(), finished.live_at_end()?);
    Ok(())
}

/// The profile is read as if it were a sample.
#[test]
fn table_by_directory_with_error_bars() -> anyhow::Result<()> {
    let rates = SamplingRates::new([(128, 0.1), (1024, 0.5)])?;
    let reader = Reader::open(DEMO)?.with_rates(rates);
    let bars = reader.error_bars()?;
    let rows = |table: &TraceTable| -> Vec<String> {
        let lines = LineErrorBars::new(table, &bars);
        assert_eq!(lines.total().to_string(), "10387670 ± 35819");
        assert_eq!(lines.unknown().to_string(), "0 ± 0");
        let local = lines.by_local().map(|line| line.local.value());
        assert_eq!(local.sum::<i64>(), lines.total().value());
        let rows = lines.by_local().map(|line| {
            let interval = line.local.confidence_interval(0.95).expect("a level");
            let mark = if line.local.is_rough() { "~" } else { "" };
            format!("{}{mark} {interval:?} {}", line.local, line.frame)
        });
        rows.collect()
    };
    let traces = reader.traces()?;
    let python = "/opt/python3/versions/3.7.16/lib/python3.7";
    let expected = [
        format!("10385190 ± 35801 10315006..=10455374 {SHOP}"),
        "1760 ± 882~ 32..=3488 /srv/app/src/heapprof".to_owned(),
        format!("720 ± 684~ -620..=2060 {python}"),
    ];
    assert_eq!(rows(&traces.by_directory()), expected);
    let expected = [
        format!("10067864 ± 33453 10002283..=10133445 {SHOP}/customers.py"),
        format!("180590 ± 10314 160371..=200809 {SHOP}/main.py"),
        format!("129120 ± 7284 114840..=143400 {SHOP}/orders.py"),
        format!("7616 ± 1784~ 4118..=11114 {SHOP}/report.py"),
        "1760 ± 882~ 32..=3488 /srv/app/src/heapprof/__main__.py".to_owned(),
        // One block of 72 bytes: the root of 72² · (1 - 0.1) / 0.1² is 683.05.
        format!("720 ± 684~ -620..=2060 {python}/posixpath.py"),
        format!("0 ± 0 0..=0 {python}/runpy.py"),
    ];
    assert_eq!(rows(&traces.by_file()), expected);
    assert_eq!(reader.live_at_end()?.total(), 10_387_670);
    assert!(bars.unseen().is_empty());
    // All events were recorded, and the library notices that these are not their rates.
    assert_eq!(reader.rates_check()?.verdict(), RatesVerdict::LookWrong);
    Ok(())
}

/// What Python makes of the JSON is, row by row, what the library said. Rust and
/// Python write tuples and lists alike.
#[cfg(feature = "serde")]
const CHECK: &str = r"
import ast, json, sys
d = json.load(open(sys.argv[1]))
p, l, leaks = d['peak'], d['lines'], d['leaks']
got = [('peak', p['time_us'], p['events'], p['total'])]
got += [('usage', t or 0, w) for t, w in p['usage']]
got += [('lines', l['total'], l['unknown'], len(l['lines']))]
for x in l['lines']:
    got.append((x['frame']['file'], x['frame']['line'], x['id'], x['local'], x['cumulative']))
got += [('window', leaks['window_us'])]
for x in leaks['lines']:
    keys = 'bytes', 'grew', 'windows', 'bytes_per_second', 'freed'
    got.append(('leak', x['id'], x['trace'], *(x['growth'][key] for key in keys)))
got += [('node', n['id'], n['local'], n['cumulative']) for n in d['flow']['nodes']]
got += [('edge', e['from'], e['to'], e['weights']) for e in d['flow']['edges']]
want = [ast.literal_eval(row) for row in open(sys.argv[2])]
assert got == want, [pair for pair in zip(got, want) if pair[0] != pair[1]][:3]
assert p['total'] == sum(w for _, w in p['usage']) == d['flow']['columns'][0]['total']
assert l['total'] == l['unknown'] + sum(x['local'] for x in l['lines'])
print(len(got))
";

/// What the library says without JSON.
#[cfg(feature = "serde")]
fn rows(peak: &Peak, lines: &Lines, leaks: &Leaks, flow: &FlowGraph) -> String {
    let mut rows = Vec::new();
    let mut put = |row: &dyn std::fmt::Debug| rows.push(format!("{row:?}\n"));
    put(&("peak", peak.time().as_micros(), peak.events(), peak.total()));
    for (trace, bytes) in peak.usage() {
        put(&("usage", trace.map_or(0, TraceId::get), bytes));
    }
    put(&("lines", lines.total(), lines.unknown(), lines.len()));
    for line in lines.by_local() {
        let (frame, id) = (line.frame, line.id.index());
        put(&(frame.file, frame.line, id, line.local, line.cumulative));
    }
    put(&("window", leaks.window().as_micros()));
    for leak in leaks.lines() {
        let (id, trace, g) = (leak.id.index(), leak.trace.get(), leak.growth);
        let rate = g.bytes_per_second;
        put(&("leak", id, trace, g.bytes, g.grew, g.windows, rate, g.freed));
    }
    for node in flow.nodes() {
        let (id, local) = (node.id().index(), [0, 1].map(|column| node.local(column)));
        let cumulative = [0, 1].map(|column| node.cumulative(column));
        put(&("node", id, local, cumulative));
    }
    for edge in flow.edges() {
        let (from, to) = (edge.from().id().index(), edge.to().id().index());
        put(&("edge", from, to, [0, 1].map(|column| edge.weight(column))));
    }
    rows.concat()
}

#[cfg(feature = "serde")]
#[test]
fn json_read_back_in_python() -> anyhow::Result<()> {
    let reader = Reader::open(DEMO)?;
    let traces = reader.traces()?;
    let (peak, end, leaks) = (reader.peak()?, reader.live_at_end()?, reader.leaks()?);
    let lines = Lines::new(traces, peak.usage());
    let options = FlowOptions::default().min_fraction(0.001);
    let flow = FlowGraph::with_options(traces, [peak.usage(), &end], &options);
    let all = serde_json::json!({ "peak": peak, "lines": lines, "leaks": leaks, "flow": flow });
    let folder = tempfile::tempdir()?;
    let files = ["check.py", "all.json", "rows"].map(|name| folder.path().join(name));
    fs::write(&files[0], CHECK)?;
    fs::write(&files[1], serde_json::to_vec(&all)?)?;
    fs::write(&files[2], rows(&peak, &lines, &leaks, &flow))?;

    let back: serde_json::Value = serde_json::from_slice(&fs::read(&files[1])?)?;
    assert_eq!(back["peak"]["total"], 19_241_503);
    assert_eq!(back["lines"]["lines"][0]["local"], 4_888_112);
    assert_eq!(back["leaks"]["lines"][0]["growth"]["bytes"], 7_405_968);
    assert_eq!(back["flow"]["columns"][1]["total"], 8_334_103);
    let usage: Usage = serde_json::from_value(back["peak"]["usage"].clone())?;
    assert_eq!(&usage, peak.usage());

    let version = Command::new("python3").arg("--version").output();
    if version.is_ok_and(|output| output.status.success()) {
        let output = Command::new("python3").args(&files).output()?;
        let problem = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{problem}");
        assert_eq!(String::from_utf8_lossy(&output.stdout).trim(), "121");
    }
    Ok(())
}

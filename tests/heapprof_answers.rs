//! heapprof 1.0's own answers, where they are right: events, traces, the usages of its digests with
//! precision 0, `timePlot`, `fastGetUsage`, flow graphs and collapsed flame graphs.
//!
//! What it gets wrong is not compared: sums over 2 GiB (`huge`), the time of events after the clock
//! was stepped back, and the labels of snapshots. Its flow graphs count a line as often as it recurs in
//! a stack: there its numbers are at least ours.

mod common;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::time::Duration;

use heapprof::query::{LiveHeap, Track};
use heapprof::raw::DigestFile;
use heapprof::view::{FlameGraph, FlameLabel, FlowGraph, FlowNode, Lines, TimeSeries};
use heapprof::{Digest, DigestOptions, Event, Frame, Reader, TraceId, Usage};
use serde_json::Value;
use sha2::{Digest as _, Sha256};

/// Calls `check` with each recording that is here and has an answer of this name.
fn each(answer: &str, mut check: impl FnMut(&str, &Reader, &Path)) {
    let mut checked = 0;
    for name in common::WITH_ANSWERS {
        let Some(filebase) = common::recording(name) else {
            continue;
        };
        // The copies in tests/data have no answers; those beside the project have.
        let own = filebase.with_file_name("heapprof-1.0");
        let beside = || common::shared(&format!("recordings/{name}/heapprof-1.0"));
        let Some(answers) = Some(own).filter(|own| own.exists()).or_else(beside) else {
            continue;
        };
        let mut paths: Vec<_> = fs::read_dir(&answers)
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .filter(|path| {
                let name = path.file_stem().unwrap().to_str().unwrap();
                name.starts_with(answer) && path.extension().is_some_and(|it| it == "json")
            })
            .collect();
        paths.sort();
        let reader = Reader::open(&filebase).unwrap();
        for path in paths {
            check(name, &reader, &path);
            checked += 1;
        }
    }
    assert!(checked > 0);
}

fn json(path: &Path) -> Value {
    serde_json::from_slice(&fs::read(path).unwrap()).unwrap()
}

fn hex(hash: impl AsRef<[u8]>) -> String {
    hash.as_ref()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

fn index(trace: Option<TraceId>) -> u32 {
    trace.map_or(0, TraceId::get)
}

#[test]
fn events() {
    each("events", |name, reader, path| {
        let answer = json(path);
        let events: Vec<Event> = reader.events().unwrap().map_while(Result::ok).collect();
        assert_eq!(answer["count"], events.len(), "{name}");
        let mut hash = Sha256::new();
        let mut sums = [0_i64; 2];
        for event in &events {
            sums[usize::from(event.is_free())] += event.signed_size();
            let line = format!("{} {}\n", index(event.trace), event.signed_size());
            hash.update(line);
        }
        assert_eq!(answer["sum_alloc"], sums[0], "{name}");
        assert_eq!(answer["sum_free"], sums[1], "{name}");
        assert_eq!(
            answer["sha256_of_lines_traceindex_space_size"],
            hex(hash.finalize()),
            "{name}"
        );

        let first = answer["first"].as_array().unwrap();
        let last = answer["last"].as_array().unwrap();
        let start = reader.start().as_nanos();
        let same = |event: &Event, theirs: &Value| {
            assert_eq!(theirs[1], index(event.trace), "{name}");
            assert_eq!(theirs[2], event.signed_size(), "{name}");
        };
        for (event, theirs) in events.iter().rev().zip(last.iter().rev()) {
            same(event, theirs);
        }
        for (event, theirs) in events.iter().zip(first) {
            same(event, theirs);
            // Its clock is a sum of floats, and goes wrong with the first step back.
            if name != "negtime" {
                let micros = i128::from(event.wall.as_micros());
                #[expect(clippy::cast_precision_loss)]
                let seconds = start.saturating_add_signed(micros * 1000) as f64 / 1e9;
                let difference = theirs[0].as_f64().unwrap() - seconds;
                assert!(difference.abs() < 1e-4, "{name}: {difference}");
            }
        }
    });
}

#[test]
fn traces() {
    each("traces", |name, reader, path| {
        let answer = json(path);
        let traces = reader.traces().unwrap();
        assert_eq!(answer["count"], traces.len(), "{name}");
        for (trace, frames) in answer["rawTraces_root_first"].as_object().unwrap() {
            let id = TraceId::new(trace.parse().unwrap()).unwrap();
            let ours: Vec<(&str, u32)> = traces
                .trace(id)
                .unwrap()
                .frames()
                .map(|frame| (frame.file, frame.line))
                .collect();
            assert_eq!(
                *frames,
                serde_json::to_value(ours).unwrap(),
                "{name} {trace}"
            );
        }
    });
}

/// Compares every snapshot of a digest of heapprof 1.0 with ours after one more event, and gives how
/// many there were: its snapshot *k* is the heap after the first event at or after our boundary. Its
/// sums of floats can take an event on the boundary for one before.
fn compare(name: &str, reader: &Reader, theirs: &Digest, ours: &Digest) -> usize {
    let mut heap = LiveHeap::new(reader.traces().unwrap().len());
    let mut events = reader.events().unwrap().map_while(Result::ok).peekable();
    for number in 0..theirs.len() {
        let own = ours.get(number).unwrap().unwrap();
        let their = theirs.get(number).unwrap().unwrap();
        while let Some(event) = events.next_if(|event| event.elapsed <= own.time()) {
            heap.apply(&event, reader.rates());
        }
        let equal = *own.usage() == heap.usage();
        assert!(
            equal,
            "{name} {number}: ours is not what is live at {}",
            own.time()
        );
        let pair = |event: Event| (event.trace, event.signed_estimate(reader.rates()));
        let crossing = events.peek().copied();
        let after = crossing.map(|event| own.usage() + Usage::from_iter([pair(event)]));
        if after.as_ref() == Some(their.usage()) {
            continue;
        }
        // Of several events on the boundary it has the first.
        let all = || reader.events().unwrap().map_while(Result::ok);
        let on_it: Vec<Event> = all().filter(|event| event.elapsed == own.time()).collect();
        assert!(
            !on_it.is_empty(),
            "{name} {number}: not ours after one more event"
        );
        let later: Usage = on_it.into_iter().skip(1).map(pair).collect();
        let unchanged = own.usage() - &later;
        assert!(
            unchanged == *their.usage(),
            "{name} {number}: nor ours unchanged"
        );
    }
    theirs.len()
}

#[test]
fn digests_with_precision_0() {
    let mut compared = 0;
    each("digest_", |name, reader, path| {
        if name == "huge" {
            return; // sums over 2 GiB
        }
        let answer = json(path);
        // digest_i0.1_p0.json
        let file = path.file_name().unwrap().to_str().unwrap();
        let interval: f64 = file["digest_i".len()..file.len() - "_p0.json".len()]
            .parse()
            .unwrap();
        let options = DigestOptions::default().interval(Duration::from_secs_f64(interval));
        let ours = reader.digest_with(options).unwrap();
        let theirs = Digest::open(path.with_extension("hpc")).unwrap();
        assert!(theirs.is_foreign());
        assert_eq!(theirs.interval(), ours.interval());
        assert_eq!(answer["snapshots"], theirs.len(), "{name} {file}");

        // Their file as they read it. It can hold entries of 0 bytes, which a usage leaves out.
        let bytes = fs::read(path.with_extension("hpc")).unwrap();
        let raw = DigestFile::new(&bytes).unwrap();
        let totals: Vec<i64> = theirs
            .snapshots()
            .map(|snapshot| snapshot.unwrap().usage().total())
            .collect();
        assert_eq!(
            answer["totals"],
            serde_json::to_value(totals).unwrap(),
            "{name} {file}"
        );
        for (number, entries) in answer["usage_file_order"].as_object().unwrap() {
            let number: usize = number.parse().unwrap();
            let pairs = |entries: &Value| -> Vec<(Option<TraceId>, i64)> {
                let pair = |entry: &Value| {
                    let trace = u32::try_from(entry[0].as_u64().unwrap()).unwrap();
                    (TraceId::new(trace), entry[1].as_i64().unwrap())
                };
                entries.as_array().unwrap().iter().map(pair).collect()
            };
            let found = theirs.get(number).unwrap().unwrap().into_usage();
            if entries.is_array() {
                let expected: Usage = pairs(entries).into_iter().collect();
                assert_eq!(found, expected, "{name} {file} {number}");
            } else {
                // Of a large one the answer has a summary.
                let raw = raw.entries(number).unwrap();
                assert_eq!(entries["len"], raw.count(), "{name} {file} {number}");
                assert_eq!(entries["sum"], found.total(), "{name} {file} {number}");
                for (trace, bytes) in pairs(&entries["top_1000"]) {
                    assert_eq!(found.get(trace), bytes, "{name} {file} {number}");
                }
            }
        }

        compared += compare(name, reader, &theirs, &ours);
    });
    assert!(compared >= 149, "{compared}");
}

#[test]
fn time_plots() {
    each("timeplot", |name, reader, path| {
        let answer = json(path);
        let Some(file) = answer["digest"].as_str() else {
            return;
        };
        let traces = reader.traces().unwrap();
        let digest = Digest::open(path.with_file_name(file)).unwrap();
        let labels = answer["labels"].as_array().unwrap();
        let tracks: Vec<_> = labels
            .iter()
            .map(|label| {
                let line = &answer["lines"][label.as_str().unwrap()];
                let number = u32::try_from(line[1].as_u64().unwrap()).unwrap();
                let frame = Frame::new(line[0].as_str().unwrap(), number);
                Track::Cumulative(traces.find(frame).unwrap())
            })
            .collect();
        let series = TimeSeries::new(&digest, traces, &tracks).unwrap();
        let values: Vec<_> = series.iter().map(|(_, series)| series.values()).collect();
        let total = series.total().values();
        assert_eq!(
            answer["totalUsage"],
            serde_json::to_value(total).unwrap(),
            "{name}"
        );
        assert_eq!(
            answer["values"],
            serde_json::to_value(values).unwrap(),
            "{name}"
        );
    });
}

#[test]
fn fast_get_usage() {
    each("fastGetUsage", |name, reader, path| {
        let answer = json(path);
        if !answer["cumulative"].is_array() {
            return; // it raises on an empty trace
        }
        let plot = json(&path.with_file_name("timeplot.json"));
        let digest = Digest::open(path.with_file_name(plot["digest"].as_str().unwrap())).unwrap();
        let number = usize::try_from(answer["snapshot"].as_u64().unwrap()).unwrap();
        let snapshot = digest.get(number).unwrap().unwrap();
        let traces = reader.traces().unwrap();
        let lines = Lines::new(traces, snapshot.usage());
        for (place, line) in answer["lines"].as_array().unwrap().iter().enumerate() {
            let number = u32::try_from(line[1].as_u64().unwrap()).unwrap();
            let frame = Frame::new(line[0].as_str().unwrap(), number);
            let own = lines.get(traces.find(frame).unwrap()).unwrap();
            assert_eq!(
                answer["cumulative"][0][place], own.cumulative,
                "{name} {frame}"
            );
            if answer["local"].is_array() {
                assert_eq!(answer["local"][0][place], own.local, "{name} {frame}");
            }
        }
        assert_eq!(answer["cumulative"][1], lines.total(), "{name}");
    });
}

/// The usage of the snapshot that an answer is about.
fn asked_of(answer: &Value, path: &Path) -> Usage {
    let digest = Digest::open(path.with_file_name(answer["digest"].as_str().unwrap())).unwrap();
    let number = usize::try_from(answer["snapshot"].as_u64().unwrap()).unwrap();
    digest.get(number).unwrap().unwrap().usage().clone()
}

fn key(frame: &Value) -> (String, u64) {
    (
        frame[0].as_str().unwrap().to_owned(),
        frame[1].as_u64().unwrap(),
    )
}

#[test]
fn flow_graphs() {
    let mut equal = 0;
    let mut at_most = 0;
    each("flow", |name, reader, path| {
        let answer = json(path);
        if answer["exception"].is_string() {
            return; // it raises on an empty trace
        }
        let usage = asked_of(&answer, path);
        let traces = reader.traces().unwrap();
        let recurs = usage.by_trace().any(|(trace, _)| {
            let mut stack: Vec<_> = traces
                .trace(trace)
                .map_or_else(Vec::new, |it| it.ids().collect());
            let frames = stack.len();
            stack.sort_unstable();
            stack.dedup();
            stack.len() < frames
        });
        let graph = FlowGraph::new(traces, &usage);
        assert_eq!(answer["total"], graph.total(0), "{name}");
        let line = |node: FlowNode<'_>| {
            let line = node.lines().next().unwrap();
            (line.file.to_owned(), u64::from(line.line))
        };
        let nodes = |weight: &dyn Fn(FlowNode<'_>) -> i64| -> BTreeMap<_, i64> {
            graph
                .nodes()
                .map(|node| (line(node), weight(node)))
                .filter(|&(_, weight)| weight != 0)
                .collect()
        };
        let local = nodes(&|node| node.local(0));
        let cumulative = nodes(&|node| node.cumulative(0));
        let edges: BTreeMap<_, i64> = graph
            .edges()
            .map(|edge| ((line(edge.from()), line(edge.to())), edge.weight(0)))
            .collect();
        let rows = |name: &str| answer[name].as_array().unwrap().clone();
        let theirs = |name: &str| -> BTreeMap<_, i64> {
            let row = |row: &Value| (key(&row[0]), row[1].as_i64().unwrap());
            let rows = rows(name);
            rows.iter().map(row).filter(|&(_, it)| it != 0).collect()
        };
        let their_edges: BTreeMap<_, i64> = rows("edges")
            .iter()
            .map(|row| ((key(&row[0]), key(&row[1])), row[2].as_i64().unwrap()))
            .filter(|((from, to), weight)| from != to && *weight != 0)
            .collect();
        assert_eq!(theirs("local"), local, "{name}");
        if !recurs {
            assert_eq!(theirs("cumulative"), cumulative, "{name}");
            assert_eq!(their_edges, edges, "{name}");
            equal += 1;
            return;
        }
        if usage.by_trace().any(|(_, bytes)| bytes < 0) {
            return; // what counts twice is less then
        }
        at_most += 1;
        let their_lines = theirs("cumulative");
        assert!(their_lines.keys().eq(cumulative.keys()), "{name}");
        for (line, ours) in &cumulative {
            assert!(*ours <= their_lines[line], "{name} {line:?}");
        }
        assert!(their_edges.keys().eq(edges.keys()), "{name}");
        for (edge, ours) in &edges {
            assert!(*ours <= their_edges[edge], "{name} {edge:?}");
        }
    });
    assert!(equal > 0, "{equal}");
    // The small recording has no recursion.
    assert!(at_most > 0 || common::recording("recursion").is_none());
}

#[test]
fn collapsed_flame_graphs() {
    let mut compared = 0;
    each("flow", |name, reader, path| {
        let answer = json(path);
        let number = path.file_stem().unwrap().to_str().unwrap();
        let number = number.strip_prefix("flow_").unwrap();
        let collapsed = path.with_file_name(format!("flame_{number}.collapsed"));
        let Ok(text) = fs::read_to_string(&collapsed) else {
            return;
        };
        if answer["exception"].is_string() {
            return;
        }
        let usage = asked_of(&answer, path);
        let mut theirs: BTreeMap<String, i64> = BTreeMap::new();
        let mut begun = String::new();
        for line in text.split_inclusive('\n') {
            begun.push_str(line);
            // A name can hold a line break: only a number ends a stack.
            let row = begun.trim_end_matches('\n').rsplit_once(' ');
            let row = row.and_then(|(stack, bytes)| Some((stack, bytes.parse::<i64>().ok()?)));
            if let Some((stack, bytes)) = row {
                *theirs.entry(stack.to_owned()).or_default() += bytes;
                begun.clear();
            }
        }
        assert_eq!(begun, "");
        theirs.retain(|_, bytes| *bytes != 0);
        let graph = FlameGraph::new(reader.traces().unwrap(), &usage);
        let ours: BTreeMap<String, i64> = graph
            .folded()
            .map(|stack| {
                let lines = stack.labels().filter_map(FlameLabel::frame);
                // It writes names as they are.
                let lines: Vec<_> = lines.map(|line| line.to_string()).collect();
                let stack_text = if lines.is_empty() {
                    "OTHER".to_owned() // what it calls unknown
                } else {
                    lines.join(";")
                };
                (stack_text, stack.weight())
            })
            .collect();
        assert_eq!(theirs, ours, "{name} {}", collapsed.display());
        compared += 1;
    });
    assert!(compared > 0);
}

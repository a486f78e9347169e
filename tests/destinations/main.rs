//! The examples that hand a profile to other tools: what they write, read by other means than
//! theirs, has what the library says.

#[path = "../common/mod.rs"]
mod common;

mod folded;
mod functions;
mod pprof;
mod speedscope;
mod trace_events;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use common::output::stderr_lines;
use common::{Profile, example, recording};
use heapprof::view::{FlameGraph, FlameLabel};
use heapprof::{Elapsed, Reader, TraceTable, Usage};
use serde_json::Value;

const ALL: [&str; 4] = ["to_folded", "to_pprof", "to_speedscope", "to_trace_events"];

/// What each stack has, its lines outermost first.
type Stacks = BTreeMap<Vec<String>, i64>;

fn open(name: &str) -> (String, Reader) {
    let filebase = recording(name).unwrap();
    let reader = Reader::open(&filebase).unwrap();
    (filebase.to_str().unwrap().to_owned(), reader)
}

/// Standard output, of an example that had nothing to complain of.
fn run(name: &str, args: &[&str]) -> Vec<u8> {
    let output = example(name, args);
    assert_eq!(
        (output.status.code(), stderr_lines(&output)),
        (Some(0), vec![])
    );
    output.stdout
}

fn stacks(traces: &TraceTable, usage: &Usage) -> Stacks {
    let name = |label: FlameLabel<'_>| match label.to_string() {
        name if name.is_empty() => "(no name)".to_owned(),
        name => name,
    };
    let graph = FlameGraph::new(traces, usage);
    let rows = graph.folded();
    rows.map(|stack| (stack.labels().map(name).collect(), stack.weight()))
        .collect()
}

/// What is live after so many events, and how many blocks, in the plainest way.
fn after(reader: &Reader, events: usize) -> (Usage, Usage) {
    let events = reader.events().unwrap().take(events);
    let rows = events.map(|event| {
        let event = event.unwrap();
        let blocks = if event.is_free() { -1 } else { 1 };
        (event.trace, event.signed_estimate(reader.rates()), blocks)
    });
    let rows: Vec<_> = rows.collect();
    let bytes = rows.iter().map(|row| (row.0, row.1)).collect();
    (bytes, rows.iter().map(|row| (row.0, row.2)).collect())
}

/// After how many events the total is largest, and the time.
fn peak(reader: &Reader) -> (usize, Elapsed) {
    let (mut total, mut highest, mut place) = (0, 0, (0, Elapsed::ZERO));
    for (number, event) in (1..).zip(reader.events().unwrap()) {
        let event = event.unwrap();
        total += event.signed_estimate(reader.rates());
        if total > highest {
            (highest, place) = (total, (number, event.elapsed));
        }
    }
    place
}

/// Names that hold what formats take for their own, and a trace that the table does not have.
fn odd(folder: &Path) -> (String, Reader) {
    let mut profile = Profile::default();
    let names = [
        ("a;b", 1),
        ("line\nbreaks\r\u{85}\u{2028}\u{2029}\u{b}\u{c}", 2),
        ("ends in a number 12", 0),
        ("and another 0x1f 1.5", 0),
        (" white space around \u{3000}", 0),
        ("100%3B", 5),
        ("C:\\x\t\"'", 6),
        ("", 0),
        ("", 7),
        ("日本語 🎉\0", 8),
        ("# a comment", 0),
        ("#", 9),
        ("worker_[k]", 0),
        ("_[w]", 0),
        ("--title=x", 0),
        ("   ", 0),
        ("\u{1b}[31m\u{202e}", 10),
        ("a -> b", 0),
    ];
    for (place, name) in names.into_iter().enumerate() {
        profile.trace(&[("main.py", 1), name]);
        profile.event(1000, 2 * u32::try_from(place).unwrap() + 1, 100 << place);
        profile.trace(&[name, ("main.py", 2)]);
        profile.event(1000, 2 * u32::try_from(place).unwrap() + 2, 101 << place);
    }
    profile.event(2000, 1000, 7);
    let filebase = profile.save(folder);
    let given = filebase.to_str().unwrap().to_owned();
    (given, Reader::open(filebase).unwrap())
}

fn json(bytes: &[u8]) -> Value {
    serde_json::from_slice(bytes).unwrap()
}

#[test]
fn a_wrong_path_gets_one_line_and_status_1() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    fs::write(path("text.hpm"), "not a profile").unwrap();
    let filebase = Profile::default().save(folder.path());
    fs::rename(filebase.with_extension("hpm"), path("logless.hpm")).unwrap();
    let (demo, _) = open("demo");
    for name in ALL {
        for (args, expected) in [
            (vec![path("none")], "none.hpm: there is no such .hpm file"),
            (
                vec![path("text")],
                "text.hpm: record at byte 0: unknown version",
            ),
            (
                vec![path("logless")],
                "logless.hpd: there is no such .hpd file",
            ),
            (vec![path("")], ": a folder; name a profile in it"),
            (
                vec![demo.clone(), "-o".into(), path("none/out")],
                "none/out: ",
            ),
        ] {
            let args: Vec<_> = args.iter().map(String::as_str).collect();
            let output = example(name, &args);
            assert_eq!(output.status.code(), Some(1), "{name} {args:?}");
            let lines = stderr_lines(&output);
            assert_eq!(lines.len(), 1, "{lines:?}");
            assert!(lines[0].contains(expected), "{lines:?}");
            assert_eq!(output.stdout, b"");
        }
        // No file is touched if there is nothing to write.
        let kept = path("kept");
        fs::write(&kept, "kept").unwrap();
        assert_eq!(
            example(name, &[&path("none"), "-o", &kept]).status.code(),
            Some(1)
        );
        assert_eq!(fs::read(&kept).unwrap(), b"kept");
    }
    let senseless = example("to_folded", &[&demo, "--at", "yesterday"]);
    assert_eq!(senseless.status.code(), Some(2));
}

#[test]
fn the_shipped_profile_is_the_default_and_a_file_gets_what_a_pipe_gets() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("out");
    for name in ALL {
        let shown = run(name, &[]);
        assert!(!shown.is_empty());
        assert_eq!(shown, run(name, &["examples/data/demo.hpd"]));
        let none = run(name, &["-o", path.to_str().unwrap()]);
        assert_eq!((none, fs::read(&path).unwrap()), (vec![], shown), "{name}");
    }
}

#[test]
fn an_empty_log_is_a_log() {
    let folder = tempfile::tempdir().unwrap();
    let filebase = Profile::default().traces(1).save(folder.path());
    let given = filebase.to_str().unwrap();
    assert_eq!(run("to_folded", &[given]), b"");
    let profile = pprof::read(&run("to_pprof", &[given]));
    assert!(profile.values.iter().all(Stacks::is_empty));
    let file = json(&run("to_speedscope", &[given]));
    let profiles = file["profiles"].as_array().unwrap();
    assert_eq!(
        (profiles.len(), &profiles[0]["samples"]),
        (1, &Value::Array(vec![]))
    );
    let file = json(&run("to_trace_events", &[given]));
    // The name of the process, what is shown of it, and three counters that stay at 0.
    assert_eq!(file["traceEvents"].as_array().unwrap().len(), 5);
}

#[test]
fn what_was_recorded_without_a_trace_is_unknown() {
    let folder = tempfile::tempdir().unwrap();
    let mut profile = Profile::default().traces(1);
    let empty = profile.trace(&[]);
    let events = [(1, 0, 3), (2, empty.get(), 5), (3, 1, 8)];
    let filebase = profile.with_events(&events).save(folder.path());
    let given = filebase.to_str().unwrap();
    let text = run("to_folded", &[given]);
    assert_eq!(
        String::from_utf8(text).unwrap(),
        "main.py:1;work.py:1 8\nunknown 8\n"
    );
    let profile = pprof::read(&run("to_pprof", &[given]));
    assert_eq!(profile.values[5][&vec!["unknown".to_owned()]], 8);
    assert_eq!(profile.values[4][&vec!["unknown".to_owned()]], 2);
    let file = json(&run("to_speedscope", &[given]));
    let stacks = speedscope::sampled(&file, &file["profiles"][1]);
    assert_eq!(stacks[&vec!["unknown".to_owned()]], 8);
}

//! What the examples make of a recording that has the names of functions: the function first, then file and line.

use std::collections::BTreeSet;
use std::io::Read;
use std::path::Path;

use flate2::read::GzDecoder;
use heapprof::{Frame, Reader};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::common::root;
use crate::pprof::Fields;
use crate::run;

/// The shipped profile with the names of functions.
fn compact() -> (TempDir, String, Reader) {
    let folder = TempDir::new().unwrap();
    let filebase = folder.path().join("compact");
    for (from, to) in [
        ("tests/data/compact_demo.hpm", "hpm"),
        ("examples/data/demo.hpd", "hpd"),
    ] {
        std::fs::copy(root().join(from), filebase.with_extension(to)).unwrap();
    }
    let reader = Reader::open(&filebase).unwrap();
    let name = filebase.to_str().unwrap().to_owned();
    (folder, name, reader)
}

/// The line that holds most at the peak, and its function.
const HEAVIEST: (&str, u32, &str) = ("/srv/app/workloads/shop/customers.py", 11, "customers_1");

fn text(name: &str, args: &[&str]) -> String {
    String::from_utf8(run(name, args)).unwrap()
}

#[test]
fn the_recording_has_functions() {
    let (_folder, _, reader) = compact();
    let traces = reader.traces().unwrap();
    let (file, line, function) = HEAVIEST;
    let frame = Frame::new(file, line).in_function(function);
    assert_eq!(
        traces.frame(traces.search("customers.py:11")[0]),
        Some(frame)
    );
    assert_eq!(traces.find(Frame::new(file, line)), None);
    let found = traces.search(function).into_iter();
    let found: BTreeSet<_> = found.filter_map(|id| traces.frame(id)?.function).collect();
    assert_eq!(found.into_iter().collect::<Vec<_>>(), [function]);
    let by_function = traces.by_function();
    assert!(by_function.frame_count() < traces.frame_count());
    let displayed = format!("{function} ({file})");
    assert_eq!(by_function.search(&displayed), by_function.search(function));
    assert_eq!(traces.by_file().search(file).len(), 1);
    assert_eq!(by_function.search(function).len(), 1);
}

#[test]
fn texts_begin_with_the_function() {
    let (_folder, base, _) = compact();
    let (file, line, function) = HEAVIEST;
    let whole = format!("{function} ({file}:{line})");
    let folded = text("to_folded", &[&base]);
    assert!(
        folded
            .lines()
            .any(|row| row.contains(&format!(";{whole} "))),
        "{folded}"
    );
    assert!(text("to_trace_events", &[&base]).contains(&whole));
    let report = text("report", &[&base]);
    let row = format!("  {function} (customers.py:{line})\n");
    assert!(report.contains(&row), "{report}");
    assert!(report.contains(&format!("  {function} (customers.py:{line}) < ")));
    assert!(report.contains("\n  recorder  heapprof 1.0, rewritten\n"));
    // Pictures have as much of the path as tells the file from all others.
    let short = format!("{function} (customers.py:{line})");
    for picture in ["flame_graph", "flow_graph"] {
        assert!(text(picture, &[&base]).contains(&short), "{picture}");
    }
}

#[test]
fn json_has_functions_and_properties() {
    let (_folder, base, _) = compact();
    let rows = |what: &[&str]| -> Vec<Value> {
        let args = [&what[..1], &[&base], &what[1..]].concat();
        let text = text("export_json", &args);
        text.lines()
            .map(|row| serde_json::from_str(row).unwrap())
            .collect()
    };
    assert_eq!(
        rows(&["meta"])[0]["properties"],
        json!({ "recorder": "heapprof 1.0, rewritten" })
    );
    let (file, line, function) = HEAVIEST;
    let innermost = json!([file, line, function]);
    let ends_there = |row: &Value| row["frames"].as_array().unwrap().last() == Some(&innermost);
    assert!(rows(&["traces"]).iter().any(ends_there));
    assert!(rows(&["stacks", "end"]).iter().any(ends_there));
    assert!(
        rows(&["edges", "end"])
            .iter()
            .any(|row| row["to"] == innermost)
    );
    let lines = rows(&["lines", "end"]);
    let row = lines
        .iter()
        .find(|row| row["line"] == line && row["file"] == file);
    assert_eq!(row.unwrap()["function"], function);
    // A line is found in whatever function.
    let series = rows(&["series", "5000", &format!("{file}:{line}")]);
    assert!(series.last().unwrap()["lines"][0].as_i64() > Some(1_000_000));
}

#[test]
fn speedscope_has_the_function_the_file_and_the_line() {
    let (_folder, base, _) = compact();
    let (file, line, function) = HEAVIEST;
    let whole: Value = serde_json::from_str(&text("to_speedscope", &[&base])).unwrap();
    let frames = whole["shared"]["frames"].as_array().unwrap();
    let found = frames
        .iter()
        .find(|frame| frame["file"] == file && frame["line"] == line);
    assert_eq!(
        found.unwrap()["name"],
        format!("{function} (customers.py:{line})")
    );
}

#[test]
fn pprof_has_each_function_once_and_the_lines_apart() {
    let (_folder, base, reader) = compact();
    let mut bytes = Vec::new();
    GzDecoder::new(&run("to_pprof", &[&base])[..])
        .read_to_end(&mut bytes)
        .unwrap();
    let profile = Fields::read(&bytes);
    let texts: Vec<_> = profile.bytes[&6]
        .iter()
        .map(|it| str::from_utf8(it).unwrap())
        .collect();
    let text = |place: u64| texts[usize::try_from(place).unwrap()];
    let functions = profile.messages(5).map(|function| {
        assert_eq!(function.number(5), 0); // where it begins is not known
        (
            function.number(1),
            (text(function.number(2)), text(function.number(4))),
        )
    });
    let functions: std::collections::BTreeMap<_, _> = functions.collect();
    let names: BTreeSet<_> = functions.values().collect();
    assert_eq!(names.len(), functions.len());
    let (file, line, function) = HEAVIEST;
    assert!(names.contains(&(function, file)) && names.contains(&("unknown", "")));
    let locations: Vec<_> = profile
        .messages(4)
        .map(|location| {
            let place = location.messages(4).next().unwrap();
            let (name, file) = functions[&place.number(1)];
            (name.to_owned(), file.to_owned(), place.number(2))
        })
        .collect();
    let frames = reader.traces().unwrap().frames().map(|(_, frame)| {
        let function = frame.function.unwrap().to_owned();
        (function, frame.file.to_owned(), frame.line.into())
    });
    let unknown = ("unknown".to_owned(), String::new(), 0);
    assert_eq!(locations, frames.chain([unknown]).collect::<Vec<_>>());
    assert!(locations.contains(&(function.to_owned(), file.to_owned(), line.into())));
    assert!(Path::new(file).is_absolute());
}

//! The example `record`, a Rust program that records itself.

mod common;

use std::fs;

use common::output::{stderr_lines, stdout, succeeded};
use common::{example, root};
use heapprof::view::{LineUsage, Lines};
use heapprof::{Frame, Reader};
use tempfile::TempDir;

/// The line of the shop's source that has `text` in it.
fn line_of(text: &str) -> u32 {
    let source = fs::read_to_string(root().join("examples/record/shop.rs")).unwrap();
    let mut lines = source
        .lines()
        .zip(1..)
        .filter(|(line, _)| line.contains(text));
    let (_, number) = lines.next().unwrap();
    assert!(lines.next().is_none(), "{text}");
    number
}

/// The lines of the shop in a stack, outermost first.
fn in_shop<'a>(frames: impl Iterator<Item = Frame<'a>>) -> Vec<u32> {
    frames
        .filter(|frame| frame.file.ends_with("examples/record/shop.rs"))
        .map(|frame| frame.line)
        .collect()
}

#[test]
fn a_program_that_records_everything_is_told_to_the_byte() {
    let folder = TempDir::new().unwrap();
    let filebase = folder.path().join("shop");
    let args = [
        filebase.to_str().unwrap(),
        "--everything",
        "--orders",
        "4000",
    ];
    let output = example("record", &args);
    let text = succeeded(&output);
    assert!(text.starts_with("400 sessions are open, and the journal has 4 lines\n"));
    let report = format!("--example report -- {}\n", filebase.display());
    assert!(text.ends_with(&report), "{text}");

    let reader = Reader::open(&filebase).unwrap();
    assert_eq!(reader.damage().unwrap(), []);
    // The leak, with its stack: each frame by itself, also where functions are inlined.
    let traces = reader.traces().unwrap();
    let end = reader.live_at_end().unwrap();
    let key = line_of("_key: Box::new");
    let stack = [line_of("shop.shift(number"), line_of("self.greet("), key];
    let leak = |id| in_shop(traces.trace(id).unwrap().frames()) == stack;
    assert_eq!(end.filter(|id, _| leak(id)).total(), 400 * 96);
    let at = |line: &LineUsage<'_>, number| in_shop([line.frame].into_iter()) == [number];
    let lines = Lines::new(traces, &end);
    let local = lines.by_local().find(|line| at(line, key));
    assert_eq!(local.unwrap().local, 400 * 96);

    // The spike.
    let peak = reader.peak().unwrap();
    let lines = Lines::new(traces, peak.usage());
    let report = line_of("monthly_report((8");
    let report = lines.by_cumulative().find(|line| at(line, report));
    // 8000 lines of 74 bytes are joined, with ends of lines between them.
    assert!(report.unwrap().cumulative >= 2 * 8000 * 74 + 7999);

    // What a thread allocates as it ends, after its own variables began to go.
    let last = line_of("filled {}");
    assert!(
        traces
            .iter()
            .any(|(_, trace)| in_shop(trace.frames()).contains(&last))
    );
}

#[test]
fn a_recording_that_cannot_be_written_is_an_error() {
    let folder = TempDir::new().unwrap();
    let filebase = folder.path().join("none/shop");
    let output = example("record", &[filebase.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(stdout(&output), "");
    assert_eq!(stderr_lines(&output).len(), 1, "{output:?}");
}

//! A service of today records itself: tokio runs its tasks, `serde_json` parses its requests, and one line leaks. The
//! report names this line, not those of the libraries that allocate.

#[path = "../common/mod.rs"]
mod common;
mod handlers;

use std::fs;
use std::path::Path;
use std::sync::Arc;

use common::output::{stderr_lines, stdout};
use common::{example, root};
use heapprof::Reader;
use heapprof::view::{Blame, Lines};
use heapprof_recorder::{Allocator, Recorder};

use handlers::State;

#[global_allocator]
static ALLOCATOR: Allocator = Allocator::system();

const REQUESTS: usize = 4_000;

/// Serves the requests while everything is recorded.
fn record(filebase: &Path) {
    let recording = Recorder::new(filebase).everything().start().unwrap();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .build()
        .unwrap();
    let state = Arc::new(State::default());
    runtime.block_on(async {
        for number in 0..REQUESTS {
            let state = Arc::clone(&state);
            let task = tokio::spawn(async move {
                let items = "7,".repeat(number % 40);
                let body = format!(
                    r#"{{"user":"user {}","path":"/orders","headers":{{"accept":"*/*","host":"shop"}},"items":[{items}0]}}"#,
                    number % 500
                );
                handlers::handle(&state, &body).await
            });
            assert!(task.await.unwrap().starts_with(r#"{"visits":"#));
        }
    });
    recording.finish().unwrap();
    drop(state);
}

/// The number of the line with the planted leak.
fn planted() -> usize {
    let source = fs::read_to_string(root().join("tests/recorded_service/handlers.rs")).unwrap();
    let at = source
        .lines()
        .position(|line| line.contains("// the planted line"));
    at.unwrap() + 1
}

#[test]
fn report_names_the_planted_line_on_its_first_screen() {
    let folder = tempfile::tempdir().unwrap();
    let filebase = folder.path().join("service");
    record(&filebase);
    let line = planted();
    let reader = Reader::open(&filebase).unwrap();
    let (traces, end) = (reader.traces().unwrap(), reader.live_at_end().unwrap());

    // The lines that allocate are of libraries.
    let lines = Lines::new(traces, &end);
    let foremost = lines.by_local().next().unwrap().frame;
    assert!(!foremost.file.contains("recorded_service"), "{foremost}");
    // The line that is responsible is the planted one.
    let blame = Blame::new(traces, &end);
    let row = blame.rows().next().unwrap();
    let frame = row.frame.unwrap();
    assert!(
        frame.file.ends_with("recorded_service/handlers.rs"),
        "{frame}"
    );
    assert_eq!(frame.line as usize, line);
    assert!(row.is_own && 10 * row.weight > 8 * blame.total());

    let output = example("report", &[filebase.to_str().unwrap()]);
    assert_eq!(
        (output.status.code(), stderr_lines(&output)),
        (Some(0), vec![])
    );
    let text = stdout(&output);
    let name = format!("handlers.rs:{line}");
    let screen: Vec<_> = text.lines().take(24).collect();
    let naming = screen.iter().filter(|line| line.contains(&name)).count();
    assert!(naming >= 2, "{text}");
    let leaks = screen
        .iter()
        .find(|line| line.starts_with("It leaks: "))
        .unwrap();
    assert!(leaks.contains(&name), "{leaks}");
}

//! Hands a profile to <https://ui.perfetto.dev>: live memory over time, in all and by line.
//!
//! ```text
//! cargo run --release --example to_trace_events -- runs/nightly -o nightly.trace.json
//! ```
//!
//! The file has Chrome's trace events, of which counters are all that is needed: one for all live
//! bytes, and one for each of the lines that hold the most at the peak, by what ends at them.

use std::io::Write;

use anyhow::Result;
use clap::Parser;
use heapprof::Elapsed;
use heapprof::query::Track;
use heapprof::view::Lines;
use serde_json::{Value, json};

mod common;

/// Writes live memory over time as trace events.
#[derive(Parser)]
struct Cli {
    #[command(flatten)]
    files: common::Files,

    /// How many lines there are at most.
    #[arg(short, long, default_value_t = 8)]
    lines: usize,
}

fn main() -> std::process::ExitCode {
    common::end(run(&Cli::parse()))
}

fn run(cli: &Cli) -> Result<()> {
    let reader = cli.files.open()?;
    let traces = reader.traces()?;
    let peak = reader.peak()?;
    let heaviest = Lines::new(traces, peak.usage());
    let lines: Vec<_> = heaviest.by_local().take(cli.lines).collect();
    let tracks: Vec<_> = lines.iter().map(|line| Track::Local(line.id)).collect();
    let series = reader.time_series(tracks)?;

    // The peak stands between two snapshots.
    let mut total: Vec<_> = series.total().iter().collect();
    let after = total.partition_point(|&(at, _)| at < peak.time());
    total.insert(after, (peak.time(), peak.total()));

    cli.files.write(|out| {
        let name = json!({"name": common::title(&reader)});
        let process = json!({"ph": "M", "pid": 1, "name": "process_name", "args": name});
        write!(
            out,
            "{{\"displayTimeUnit\":\"ms\",\"traceEvents\":[\n{process}"
        )?;
        counter(out, "live bytes", total)?;
        for (line, (_, series)) in lines.iter().zip(series.iter()) {
            counter(out, &common::name(line.frame), series)?;
        }
        Ok(writeln!(out, "\n]}}")?)
    })
}

/// The values of a counter from the start on, without those at which it stays as it is.
fn counter(
    out: &mut dyn Write,
    name: &str,
    values: impl IntoIterator<Item = (Elapsed, i64)>,
) -> Result<()> {
    let mut before = None;
    for (at, bytes) in [(Elapsed::ZERO, 0)].into_iter().chain(values) {
        if before.replace(bytes) == Some(bytes) {
            continue;
        }
        let micros = at.as_micros();
        let event: Value =
            json!({"ph": "C", "pid": 1, "ts": micros, "name": name, "args": {"bytes": bytes}});
        write!(out, ",\n{event}")?;
    }
    Ok(())
}

//! Hands a profile to <https://ui.perfetto.dev>: live memory over time, in all and by line.
//!
//! ```text
//! cargo run --release --example to_trace_events -- runs/nightly -o nightly.trace.json
//! ```
//!
//! The file has Chrome's trace events, of which counters are all that is needed: for all live bytes what is live at
//! the end of each of about a thousand steps (and at the peak), and the highest and lowest value within the step; and for
//! each of the lines that hold the most at the peak what is live at the end of each step. With `--own`, lines of own code
//! count for all that they call.

use std::io::Write;

use anyhow::Result;
use clap::Parser;
use heapprof::Elapsed;
use heapprof::query::{Envelope, Track};
use heapprof::view::Lines;
use serde_json::{Value, json};

mod common;

/// Writes live memory over time as trace events.
#[derive(Parser)]
struct Cli {
    #[command(flatten)]
    files: common::Files,

    #[command(flatten)]
    look: common::Look,

    /// How many lines there are at most.
    #[arg(short, long, default_value_t = 8)]
    lines: usize,
}

fn main() -> std::process::ExitCode {
    common::end(run(&Cli::parse()))
}

fn run(cli: &Cli) -> Result<()> {
    let reader = cli.files.open()?;
    let traces = &cli.look.responsible(reader.traces()?);
    let (peak_time, at_peak) = cli.look.at_peak(&reader)?;
    let heaviest = Lines::new(traces, &at_peak);
    let lines = heaviest.by_local().filter(|line| line.local != 0);
    let lines: Vec<_> = lines.take(cli.lines).collect();
    let tracks = lines.iter().map(|line| Track::Local(line.id));
    let (total, of_lines) = cli.look.envelopes(&reader, tracks)?;

    cli.files.write(|out| {
        let name = json!({"name": common::title(&reader) + &common::clock_note(&reader)});
        let process = json!({"ph": "M", "pid": 1, "name": "process_name", "args": name});
        let all = heaviest.by_local().filter(|line| line.local != 0).count();
        let shown = json!({"labels": format!("{} of {all} lines", lines.len())});
        let labels = json!({"ph": "M", "pid": 1, "name": "process_labels", "args": shown});
        write!(
            out,
            "{{\"displayTimeUnit\":\"ms\",\"traceEvents\":[\n{process},\n{labels}"
        )?;
        // The peak is between the ends of two steps.
        let before = last_values(&total).take_while(|&(at, _)| at < peak_time);
        let after = last_values(&total).skip_while(|&(at, _)| at <= peak_time);
        let at_peak = [(peak_time, at_peak.total())];
        counter(out, "live bytes", before.chain(at_peak).chain(after))?;
        let end = || last_values(&total).last();
        let highest = total.steps().map(|step| (step.from, step.highest));
        counter(out, "live bytes, highest", highest.chain(end()))?;
        let lowest = total.steps().map(|step| (step.from, step.lowest));
        counter(out, "live bytes, lowest", lowest.chain(end()))?;
        for (line, envelope) in lines.iter().zip(&of_lines) {
            counter(out, &common::name(line.frame), last_values(envelope))?;
        }
        Ok(writeln!(out, "\n]}}")?)
    })
}

/// What is live at the end of each step.
fn last_values(envelope: &Envelope) -> impl Iterator<Item = (Elapsed, i64)> {
    envelope.steps().map(|step| (step.to, step.last))
}

/// The values of a counter, without those at which it stays as it is; but the last one, which shows where it ends.
fn counter(
    out: &mut dyn Write,
    name: &str,
    values: impl IntoIterator<Item = (Elapsed, i64)>,
) -> Result<()> {
    let mut values = [(Elapsed::ZERO, 0)].into_iter().chain(values).peekable();
    let mut before = None;
    while let Some((at, bytes)) = values.next() {
        // Of several values at one time, the last counts.
        if values.peek().is_some_and(|next| next.0 == at) {
            continue;
        }
        if before.replace(bytes) == Some(bytes) && values.peek().is_some() {
            continue;
        }
        let micros = at.as_micros();
        let event: Value =
            json!({"ph": "C", "pid": 1, "ts": micros, "name": name, "args": {"bytes": bytes}});
        write!(out, ",\n{event}")?;
    }
    Ok(())
}

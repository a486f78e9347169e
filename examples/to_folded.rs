//! Hands a profile to the flame graph tools: folded text, a line a stack, `frame;frame bytes`.
//!
//! ```text
//! cargo run --release --example to_folded -- runs/nightly | inferno-flamegraph > peak.svg
//! cargo run --release --example to_folded -- runs/nightly --growth 0..60 --difference > grown.folded
//! ```
//!
//! The program's entry comes first, and what has no stack is called `unknown`. A name can hold what such tools take for
//! their own: `;`, line breaks, white space at its ends or before a number at its end, `#` at its start (a comment),
//! `_[k]` (an annotation). That, control characters and `%` stand as `%` and two hexadecimal digits a byte, as in the
//! address of a page, so that what reads those gives back the name.

use std::collections::BTreeMap;

use anyhow::{Result, bail};
use clap::Parser;
use heapprof::view::{FlameGraph, FlameLabel, FoldedStack};
use heapprof::{Elapsed, Reader, Usage};

mod common;
use common::{Look, Query};

/// Writes the stacks of a profile as folded text, for any flame graph tool.
#[derive(Parser)]
struct Cli {
    #[command(flatten)]
    files: common::Files,

    #[command(flatten)]
    question: Query,

    #[command(flatten)]
    look: Look,

    /// Of a growth from A to B, write what is live at A and at B, `frame;frame bytes bytes`: what differential
    /// flame graphs are drawn from.
    #[arg(long)]
    difference: bool,
}

fn main() -> std::process::ExitCode {
    common::end(run(&Cli::parse()))
}

fn run(cli: &Cli) -> Result<()> {
    let reader = cli.files.open()?;
    let traces = reader.traces()?;
    let (left_out, bytes) = match (cli.question.of_growth(&reader)?, cli.difference) {
        (Some((from, to)), true) => {
            let rows = difference(&reader, &cli.look, from, to)?;
            let whole = |row: &&(String, [i64; 2])| row.1.iter().all(|&bytes| bytes >= 0);
            cli.files.write(|out| {
                for (stack, [before, after]) in rows.iter().filter(whole) {
                    writeln!(out, "{stack} {before} {after}")?;
                }
                Ok(())
            })?;
            let left_out = || rows.iter().filter(|row| !whole(row));
            (
                left_out().count(),
                left_out().map(|row| i128::from(row.1[1])).sum(),
            )
        }
        (None, true) => bail!("a difference is one between two times: --growth A..B"),
        (_, false) => {
            let usage = cli
                .look
                .traces(traces)?
                .filter(&cli.question.ask(&reader)?.0);
            let graph = FlameGraph::new(&cli.look.table(traces), &usage);
            cli.files.write(|out| {
                for stack in graph.folded().filter(|stack| stack.weight() > 0) {
                    writeln!(out, "{} {}", text(stack), stack.weight())?;
                }
                Ok(())
            })?;
            let left_out = || {
                graph
                    .folded()
                    .map(FoldedStack::weight)
                    .filter(|&bytes| bytes < 0)
            };
            (left_out().count(), left_out().map(i128::from).sum::<i128>())
        }
    };
    if left_out > 0 {
        eprintln!(
            "left out: stacks of less than 0 bytes, which the format cannot hold: {left_out}, of {bytes} bytes"
        );
    }
    Ok(())
}

/// What is live at two times, by stack.
fn difference(
    reader: &Reader,
    look: &Look,
    from: Option<Elapsed>,
    to: Elapsed,
) -> Result<Vec<(String, [i64; 2])>> {
    let traces = reader.traces()?;
    let (table, shown) = (look.table(traces), look.traces(traces)?);
    let mut rows: BTreeMap<String, [i64; 2]> = BTreeMap::new();
    let mut add = |place: usize, usage: &Usage| {
        let usage = shown.filter(usage);
        for stack in FlameGraph::new(&table, &usage).folded() {
            rows.entry(text(stack)).or_default()[place] = stack.weight();
        }
    };
    if let Some(from) = from {
        add(0, &reader.live_at(from)?);
    }
    add(1, &reader.live_at(to)?);
    Ok(rows.into_iter().collect())
}

fn text(stack: FoldedStack<'_>) -> String {
    let names = stack.labels().map(|label| match label {
        FlameLabel::Line(frame) => escaped(&common::name(frame)),
        other => other.to_string(),
    });
    names.collect::<Vec<_>>().join(";")
}

/// The name without what a tool would take for the end of a frame, of a stack, or of a line.
fn escaped(name: &str) -> String {
    let start = name.len() - name.trim_start().len();
    let number = |c: char| c.is_whitespace() || c.is_ascii_digit() || c == '.';
    let end = name.trim_end_matches(number).len();
    let mut text = String::with_capacity(name.len());
    for (at, c) in name.char_indices() {
        let is_comment = c == '#' && at == 0;
        let annotates = c == '[' && name[..at].ends_with('_');
        let at_the_ends = c.is_whitespace() && (at < start || at >= end);
        let separates = matches!(c, ';' | '%' | '\u{2028}' | '\u{2029}');
        if at_the_ends || separates || is_comment || annotates || c.is_control() {
            let utf8 = c.to_string().into_bytes();
            text.extend(utf8.iter().map(|byte| format!("%{byte:02X}")));
        } else {
            text.push(c);
        }
    }
    text
}

//! How much it is, by trace and in each view: of what is live, of what grew, of what passed through.

use std::io::Write;

use anyhow::Result;
use heapprof::query::Churn;
use heapprof::view::{FlameGraph, FlameLabel, FlowGraph, FlowNode};
use heapprof::{Elapsed, Reader, TraceTable, Usage};
use serde::Serialize;

use crate::arguments::Moment;
use crate::output::{FrameRow, Lines, index, tell};

#[derive(Serialize)]
struct UsageRow {
    trace: u32,
    bytes: i64,
}

#[derive(Serialize)]
struct TotalRow {
    total: i64,
}

#[derive(Serialize)]
struct PeakRow {
    at_us: u64,
    events: u64,
    total: i64,
}

#[derive(Serialize)]
struct LineRow<'a> {
    file: &'a str,
    line: u32,
    local: i64,
    cumulative: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    function: Option<&'a str>,
}

#[derive(Serialize)]
struct EdgeRow<'a> {
    from: FrameRow<'a>,
    to: FrameRow<'a>,
    bytes: i64,
}

#[derive(Serialize)]
struct StackRow<'a> {
    frames: Vec<FrameRow<'a>>,
    bytes: i64,
}

#[derive(Serialize)]
struct ChurnRow {
    trace: u32,
    allocations: u64,
    bytes: u64,
    frees: u64,
    freed: u64,
    temporary: u64,
}

fn answer(reader: &Reader, question: Moment) -> Result<Usage> {
    // Before the start nothing is live.
    let live_at = |time: i128| match u64::try_from(time) {
        Ok(time) => reader.live_at(Elapsed::from_micros(time)),
        Err(_) if time < 0 => Ok(Usage::empty()),
        Err(_) => reader.live_at_end(),
    };
    Ok(match question {
        Moment::End => reader.live_at_end()?,
        Moment::Peak => reader.peak()?.into_usage(),
        Moment::At(time) => live_at(time)?,
        Moment::Between(from, to) => &live_at(to)? - &live_at(from)?,
    })
}

pub(crate) fn by_trace(
    out: &mut Lines<impl Write>,
    reader: &Reader,
    question: Moment,
) -> Result<()> {
    for (trace, bytes) in &answer(reader, question)? {
        let trace = index(trace);
        out.line(&UsageRow { trace, bytes })?;
    }
    tell(reader, &reader.damage()?);
    Ok(())
}

/// Answers a question, and looks at the answer.
pub(crate) fn view<W: Write>(
    out: &mut Lines<W>,
    reader: &Reader,
    question: Moment,
    print: impl FnOnce(&mut Lines<W>, &TraceTable, &Usage) -> Result<()>,
) -> Result<()> {
    let usage = answer(reader, question)?;
    print(out, reader.traces()?, &usage)?;
    tell(reader, &reader.damage()?);
    Ok(())
}

pub(crate) fn lines(out: &mut Lines<impl Write>, traces: &TraceTable, usage: &Usage) -> Result<()> {
    let lines = heapprof::view::Lines::new(traces, usage);
    let total = lines.total();
    out.line(&TotalRow { total })?;
    for line in lines.by_cumulative() {
        out.line(&LineRow {
            file: line.frame.file,
            line: line.frame.line,
            local: line.local,
            cumulative: line.cumulative,
            function: line.frame.function,
        })?;
    }
    Ok(())
}

/// The line of a node: each node of a whole graph has one.
fn row_of(node: FlowNode<'_>) -> FrameRow<'_> {
    let frame = node.lines().next();
    frame.map_or(FrameRow::Line("", 0), FrameRow::from)
}

pub(crate) fn edges(out: &mut Lines<impl Write>, traces: &TraceTable, usage: &Usage) -> Result<()> {
    let graph = FlowGraph::new(traces, usage);
    for edge in graph.edges() {
        out.line(&EdgeRow {
            from: row_of(edge.from()),
            to: row_of(edge.to()),
            bytes: edge.weight(0),
        })?;
    }
    Ok(())
}

pub(crate) fn stacks(
    out: &mut Lines<impl Write>,
    traces: &TraceTable,
    usage: &Usage,
) -> Result<()> {
    for stack in FlameGraph::new(traces, usage).folded() {
        // What has no stack is one that has no lines.
        let frames = stack.labels().filter_map(FlameLabel::frame);
        out.line(&StackRow {
            frames: frames.map(FrameRow::from).collect(),
            bytes: stack.weight(),
        })?;
    }
    Ok(())
}

pub(crate) fn peak(out: &mut Lines<impl Write>, reader: &Reader) -> Result<()> {
    let high = reader.high_water()?;
    out.line(&PeakRow {
        at_us: high.time().as_micros(),
        events: high.events(),
        total: high.total(),
    })?;
    tell(reader, &reader.damage()?);
    Ok(())
}

pub(crate) fn churn(
    out: &mut Lines<impl Write>,
    reader: &Reader,
    window: Option<(i128, i128)>,
) -> Result<()> {
    let time = |micros: i128| Elapsed::from_micros(micros.try_into().unwrap_or(u64::MAX));
    let all = Churn::query();
    let question = match window {
        None => all,
        // Nothing comes before the start.
        Some((_, ..0)) => all.within(Elapsed::MAX..Elapsed::ZERO),
        Some((..0, to)) => all.within(..time(to)),
        Some((from, to)) => all.within(time(from)..time(to)),
    };
    let churn = reader.ask(question)?;
    for (trace, row) in churn.rows() {
        out.line(&ChurnRow {
            trace: index(trace),
            allocations: row.recorded_allocations,
            bytes: row.allocated,
            frees: row.recorded_frees,
            freed: row.freed,
            temporary: row.recorded_temporary,
        })?;
    }
    tell(reader, &reader.damage()?);
    Ok(())
}

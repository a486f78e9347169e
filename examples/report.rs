//! Where did the memory of a program go? One screen of plain text.
//!
//! ```text
//! cargo run --release --example report                  # on the profile that ships with the crate
//! cargo run --release --example report -- runs/nightly  # on runs/nightly.hpm and .hpd
//! ```

mod common;

use std::io::{self, Write};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Result;
use clap::Parser;
use common::{Names, bytes, seconds};
use heapprof::query::{ErrorBars, Estimate, Leaks, Peak, RatesCheck, RatesVerdict, Sanity};
use heapprof::raw::FileKind;
use heapprof::view::{LineErrorBars, Lines, Movement, Series, SourceLines, TimeSeries};
use heapprof::{Digest, DigestOptions, Elapsed, Reader, Trace, TraceTable, Usage};
use indicatif::{ProgressBar, ProgressStyle};
use jiff::Timestamp;
use textplots::{Chart, LabelBuilder, LabelFormat, Plot, Shape, TickDisplay, TickDisplayBuilder};

/// How many rows a list has.
const ROWS: usize = 4;

/// Where did the memory of a program go?
#[derive(Parser)]
struct Cli {
    /// The profile: what the names of its files begin with, or one of the names. Without it, the
    /// one that ships with the crate.
    filebase: Option<PathBuf>,

    /// Where the program's sources are here, as RECORDED=HERE, to show what the lines say. Other
    /// files are not looked at.
    #[arg(long, value_parser = mapping)]
    map: Vec<(String, PathBuf)>,

    /// Take the log as one in which everything was recorded, whatever sampling rates are stated.
    #[arg(long)]
    unsampled: bool,
}

fn mapping(text: &str) -> Result<(String, PathBuf), String> {
    let (recorded, here) = text.split_once('=').ok_or("not RECORDED=HERE")?;
    Ok((recorded.to_owned(), here.into()))
}

fn main() -> ExitCode {
    common::end(run(Cli::parse(), &mut io::stdout().lock()))
}

fn run(cli: Cli, out: &mut impl Write) -> Result<()> {
    let filebase = common::profile(cli.filebase)?;
    let mut reader = Reader::open(&filebase)?;
    if cli.unsampled {
        reader = reader.unsampled();
    }
    let digest = digest(&reader)?;
    let traces = reader.traces()?;
    let (leaks, rates, sanity, peak) = reader.ask((
        Leaks::query(),
        RatesCheck::query(),
        Sanity::query(),
        Peak::query(),
    ))?;
    let sources = cli.map.into_iter().fold(
        SourceLines::new().only_mapped().recorded_at(reader.start()),
        |sources, (recorded, here)| sources.map_prefix(recorded, here),
    );

    recorded(out, &filebase, &reader, &digest, traces)?;
    warnings(out, traces, &digest, &rates, &sanity)?;
    let Some(first) = digest.get(0).transpose()? else {
        writeln!(out, "\nThe log has no events.")?;
        return Ok(());
    };
    let series = TimeSeries::new(&digest, traces, [])?;
    let total = series.total();
    time_line(out, total)?;
    movements(out, total)?;

    let (of_peak, of_growth, of_end) = error_bars(&reader, &peak, first.time())?;
    writeln!(
        out,
        "\nPeak: {}{} at {}{}, after {} events",
        bytes(peak.total()),
        give_or_take(of_peak.total()),
        seconds(peak.time()),
        wall_clock(&reader, peak.time())?,
        peak.events()
    )?;
    lines(out, traces, peak.usage(), &of_peak, &sources)?;

    let end = digest.snapshot_at(Elapsed::MAX)?;
    let growth = end.usage() - first.usage();
    writeln!(
        out,
        "\nGrown from {} to the end: {}{}",
        seconds(first.time()),
        bytes(growth.total()),
        give_or_take(of_growth.total())
    )?;
    lines(out, traces, &growth, &of_growth, &sources)?;
    let names = Names::new(traces);
    leak_candidates(out, traces, &names, &leaks)?;

    writeln!(
        out,
        "\nStill live at the end: {}{}",
        bytes(end.usage().total()),
        give_or_take(of_end.total())
    )?;
    for (id, weight) in end.usage().iter().take(ROWS) {
        let trace = id.and_then(|id| traces.trace(id));
        writeln!(
            out,
            "{:>10}  {}",
            bytes(weight),
            trace.map_or("unknown".to_owned(), |trace| stack(trace, 4, &names))
        )?;
    }
    Ok(())
}

/// The digest beside the log if it fits, else one in memory, with a progress bar on a terminal.
fn digest(reader: &Reader) -> Result<Digest> {
    if reader.has_digest() {
        return Ok(reader.digest()?.clone());
    }
    let style = ProgressStyle::with_template("{bar:40} {percent} %  {msg}")?;
    let bar = ProgressBar::no_length().with_style(style);
    let digest = reader.digest_with(DigestOptions::default().progress(|progress| {
        bar.set_length(progress.total_bytes);
        bar.set_position(progress.bytes);
        bar.set_message(format!("{} of the recording", seconds(progress.elapsed)));
        ControlFlow::Continue(())
    }))?;
    bar.finish_and_clear();
    Ok(digest)
}

/// What was recorded.
fn recorded(
    out: &mut impl Write,
    filebase: &Path,
    reader: &Reader,
    digest: &Digest,
    traces: &TraceTable,
) -> Result<()> {
    let start = i128::try_from(reader.start().as_nanos()).ok();
    let start = start.and_then(|nanos| Timestamp::from_nanosecond(nanos).ok());
    let start = start.map_or("an impossible time".to_owned(), |start| {
        start.strftime("%Y-%m-%d %H:%M:%S UTC").to_string()
    });
    let end = digest.end().unwrap_or_default();
    writeln!(out, "{}", filebase.display())?;
    writeln!(
        out,
        "  started   {start}, recorded for {}",
        seconds(end.elapsed())
    )?;
    writeln!(
        out,
        "  events    {} of {} traces",
        end.events(),
        traces.len()
    )?;
    for (key, value) in reader.properties().iter() {
        writeln!(out, "  {:<9} {}", clean(&key), clean(&value))?;
    }
    if reader.rates().is_unsampled() {
        writeln!(out, "  sampling  none: every allocation was recorded")?;
    } else {
        for range in reader.rates().ranges() {
            let (upper, percent) = (range.upper_size(), 100.0 * range.probability());
            writeln!(out, "  sampling  below {upper} bytes: {percent:.4} %")?;
        }
        writeln!(
            out,
            "            ± is for 95 % of such samples; what is never recorded is not in it"
        )?;
    }
    let folded = match digest.precision() {
        Some(precision) if precision > 0.0 => {
            format!(
                ", in each up to {} % of the total folded into unknown",
                100.0 * precision
            )
        }
        _ => String::new(),
    };
    let (count, interval) = (digest.len(), digest.interval());
    writeln!(
        out,
        "  digest    {count} snapshots, one every {interval:?}{folded}"
    )?;
    if let Some(why) = reader.unused_digest() {
        writeln!(out, "  note      {why}")?;
    }
    Ok(())
}

/// What is wrong with the files, and with the rates.
fn warnings(
    out: &mut impl Write,
    traces: &TraceTable,
    digest: &Digest,
    rates: &RatesCheck,
    sanity: &Sanity,
) -> Result<()> {
    for error in traces.damage() {
        writeln!(out, "  damage    {error}")?;
    }
    for found in sanity.issues() {
        let more = match found.count {
            1 => String::new(),
            count => format!(", and {} more such", count - 1),
        };
        writeln!(out, "  damage    {}{more}", found.first)?;
    }
    let of_digest = digest.damage().iter();
    for error in of_digest.filter(|error| error.file() == FileKind::Hpc) {
        writeln!(out, "  damage    {error}")?;
    }
    if let Some(noise) = sanity.corruption() {
        let (offset, at) = (noise.offset, seconds(noise.elapsed));
        writeln!(
            out,
            "  warning   from byte {offset} on, after {at}, the log makes no sense"
        )?;
    }
    if rates.verdict() == RatesVerdict::LookWrong {
        writeln!(
            out,
            "  warning   it looks as if everything was recorded: see --unsampled"
        )?;
        for evidence in rates.evidence().iter().take(1) {
            writeln!(out, "            {evidence}")?;
        }
    }
    Ok(())
}

/// What the clock on the wall showed at a moment.
fn wall_clock(reader: &Reader, at: Elapsed) -> Result<String> {
    let shown = reader.time_at(at)?;
    let shown = shown.and_then(|time| Timestamp::try_from(time).ok());
    Ok(shown.map_or(String::new(), |time| {
        time.strftime(", %H:%M:%S UTC").to_string()
    }))
}

/// How far off the estimates of the peak, of the growth and of the end can be.
fn error_bars(
    reader: &Reader,
    peak: &Peak,
    first: Elapsed,
) -> Result<(ErrorBars, ErrorBars, ErrorBars)> {
    Ok(reader.ask((
        ErrorBars::query().after_events(peak.events()),
        ErrorBars::query().within(first..Elapsed::MAX),
        ErrorBars::query(),
    ))?)
}

/// The interval for 95 %, where something was sampled.
fn give_or_take(estimate: Estimate) -> String {
    let interval = estimate
        .confidence_interval(0.95)
        .filter(|_| !estimate.is_exact());
    interval.map_or(String::new(), |interval| {
        format!(
            " ± {}",
            bytes(interval.end().saturating_sub(estimate.value()))
        )
    })
}

/// What grows all the time.
fn leak_candidates(
    out: &mut impl Write,
    traces: &TraceTable,
    names: &Names<'_>,
    leaks: &Leaks,
) -> Result<()> {
    if leaks.lines().is_empty() {
        return Ok(writeln!(
            out,
            "\nNothing grows all the time, as a leak does"
        )?);
    }
    writeln!(out, "\nMay leak, since it grows all the time")?;
    for leak in leaks.lines().iter().take(ROWS) {
        let growth = leak.growth;
        #[expect(clippy::cast_possible_truncation, reason = "for people")]
        let rate = bytes(growth.bytes_per_second.round() as i64);
        let (grew, windows) = (growth.grew, growth.windows);
        let freed = 100.0 * growth.freed_share();
        let trace = traces.trace(leak.trace).map(|trace| stack(trace, 2, names));
        writeln!(
            out,
            "{:>10} {rate:>10}/s in {grew} of {windows} windows, {freed:.0} % freed  {}",
            bytes(growth.bytes),
            trace.unwrap_or_default()
        )?;
    }
    Ok(())
}

/// The total over time.
#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    reason = "a plot"
)]
fn time_line(out: &mut impl Write, total: Series<'_>) -> Result<()> {
    let points: Vec<_> = total
        .iter()
        .map(|(at, value)| (at.as_secs_f64() as f32, value as f32))
        .collect();
    let highest = points.iter().map(|point| point.1).fold(1.0, f32::max);
    let lowest = points.iter().map(|point| point.1).fold(0.0, f32::min);
    let end = points.last().map_or(1.0, |point| point.0);
    writeln!(out, "\nLive memory over time")?;
    let shape = Shape::Lines(&points);
    let mut chart = Chart::new_with_y_range(140, 32, 0.0, end, lowest, highest);
    let chart = chart
        .lineplot(&shape)
        .x_label_format(LabelFormat::Custom(Box::new(|at| format!("{at:.1} s"))))
        .y_label_format(LabelFormat::Custom(Box::new(|value| bytes(value as i64))))
        .y_tick_display(TickDisplay::Sparse);
    chart.axis();
    chart.figures();
    Ok(writeln!(out, "{chart}")?)
}

/// Creeping or sudden?
fn movements(out: &mut impl Write, total: Series<'_>) -> Result<()> {
    let movements = total.movements();
    let trend = movements.trend();
    #[expect(clippy::cast_possible_truncation, reason = "for people")]
    let rate = bytes(trend.bytes_per_second.round() as i64);
    let explained = 100.0 * trend.explained;
    writeln!(
        out,
        "  trend     {rate} a second, which explains {explained:.0} % of the spread"
    )?;
    let mut told = |name, movements: &[Movement]| {
        for movement in movements.iter().take(2) {
            let (from, to) = (seconds(movement.from), seconds(movement.to));
            writeln!(
                out,
                "  {name}      {} from {from} to {to}",
                bytes(movement.change)
            )?;
        }
        Ok(())
    };
    told("rise", movements.rises())?;
    told("fall", movements.falls())
}

/// The lines that hold the most.
fn lines(
    out: &mut impl Write,
    traces: &TraceTable,
    usage: &Usage,
    bars: &ErrorBars,
    sources: &SourceLines,
) -> Result<()> {
    let lines = Lines::new(traces, usage);
    let bars = LineErrorBars::new(traces, bars);
    writeln!(out, "{:>10} {:>10}  line", "local", "cumulative")?;
    for line in lines.by_local().take(ROWS) {
        let text = match sources.line(line.frame) {
            None => String::new(),
            Some(line) if line.is_changed() => format!("  {line}  (changed since)"),
            Some(line) => format!("  {line}"),
        };
        let (local, cumulative) = (bytes(line.local), bytes(line.cumulative));
        let sampled = bars.get(line.id).map(|line| give_or_take(line.local));
        let sampled = sampled.unwrap_or_default();
        writeln!(
            out,
            "{local:>10} {cumulative:>10}  {}{text}{sampled}",
            clean(&line.frame.to_string())
        )?;
    }
    if lines.unknown() != 0 {
        writeln!(out, "{:>10} {:>10}  unknown", bytes(lines.unknown()), "")?;
    }
    Ok(())
}

/// The innermost frames of a stack, each file with as much of its path as tells it from all others.
fn stack(trace: Trace<'_>, depth: usize, names: &Names<'_>) -> String {
    let frames = trace.frames().rev().take(depth);
    let frames = frames.map(|frame| names.short(frame));
    clean(&frames.collect::<Vec<_>>().join(" < "))
}

/// A name or a line of code without what a terminal would take for a command.
fn clean(text: &str) -> String {
    text.replace(char::is_control, "\u{fffd}")
}

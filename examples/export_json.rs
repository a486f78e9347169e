//! What the crate knows of a profile, as JSON lines for `jq`, a notebook, or another program.
//!
//! ```text
//! cargo run --release --example export_json -- usage runs/nightly end | jq .bytes
//! ```
//!
//! Times are whole microseconds of elapsed time, bytes are estimates unless said otherwise, and
//! trace 0 is unknown. Nothing but the lines goes to standard output; what is damaged in the files
//! goes to standard error.

use std::io::{self, BufWriter, ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::str::FromStr;
use std::time::Duration;
use std::{fs, mem};

use anyhow::{Context, Result};
use clap::{Args, Parser, Subcommand};
use heapprof::raw::DigestFile;
use heapprof::{
    Churn, DecodeError, Digest, DigestOptions, Elapsed, Error, FlameGraph, FlameLabel, FlowGraph,
    Frame, Reader, TimeSeries, TraceId, TraceTable, Track, Usage,
};
use serde::Serialize;
use serde_json::Serializer;
use serde_json::ser::Formatter;

/// What a recorded heap profile says, as JSON lines.
#[derive(Parser)]
struct Cli {
    #[command(subcommand)]
    what: What,

    /// Take every factor as 1, whatever sampling rates the file states.
    #[arg(long, global = true)]
    unsampled: bool,
}

#[derive(Subcommand)]
enum What {
    /// The start time, the stated sampling rates and the number of traces.
    Meta(Profile),
    /// The stack of each trace, outermost first.
    Traces(Profile),
    /// Every event of the log.
    Events(Profile),
    /// The snapshots of a digest made from the log.
    Snapshots {
        #[command(flatten)]
        profile: Profile,
        /// Milliseconds between snapshots, at least 1.
        #[arg(value_parser = clap::value_parser!(u64).range(1..))]
        interval_ms: u64,
        /// The fraction of the total that is folded into unknown, at least 0 and below 1.
        #[arg(value_parser = precision, default_value = "0", allow_negative_numbers = true)]
        precision: f64,
    },
    /// The snapshots of the .hpc file as it is.
    Digest(Profile),
    /// Bytes by trace.
    Usage {
        #[command(flatten)]
        profile: Profile,
        #[command(flatten)]
        question: Question,
    },
    /// The total, and local and cumulative bytes by line of code.
    Lines {
        #[command(flatten)]
        profile: Profile,
        #[command(flatten)]
        question: Question,
    },
    /// Bytes by pair of lines of which one directly calls the other.
    Edges {
        #[command(flatten)]
        profile: Profile,
        #[command(flatten)]
        question: Question,
    },
    /// Bytes by distinct stack, outermost line first.
    Stacks {
        #[command(flatten)]
        profile: Profile,
        #[command(flatten)]
        question: Question,
    },
    /// When the most bytes were live.
    Peak(Profile),
    /// What each trace allocated and freed.
    Churn {
        #[command(flatten)]
        profile: Profile,
        /// `A..B`, in microseconds: what came after A and up to B.
        #[arg(value_parser = window, allow_hyphen_values = true)]
        window: Option<(i128, i128)>,
    },
    /// The total over time, and the cumulative bytes of lines.
    Series {
        #[command(flatten)]
        profile: Profile,
        /// Milliseconds between snapshots, at least 1.
        #[arg(value_parser = clap::value_parser!(u64).range(1..))]
        interval_ms: u64,
        /// Lines of code, as `FILE:LINE`.
        #[arg(value_parser = line)]
        lines: Vec<(String, u32)>,
    },
}

#[derive(Args)]
struct Profile {
    /// The profile: what the names of its files begin with, or one of the names.
    filebase: PathBuf,
}

#[derive(Args)]
struct Question {
    /// `end`, `peak`, a time in microseconds (what is live then), or `A..B` (growth from A to B).
    #[arg(allow_hyphen_values = true)]
    question: Moment,
}

#[derive(Clone, Copy)]
enum Moment {
    End,
    Peak,
    At(i128),
    Between(i128, i128),
}

impl FromStr for Moment {
    type Err = std::num::ParseIntError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(match text.split_once("..") {
            Some((from, to)) => Self::Between(from.parse()?, to.parse()?),
            None if text == "end" => Self::End,
            None if text == "peak" => Self::Peak,
            None => Self::At(text.parse()?),
        })
    }
}

fn window(text: &str) -> Result<(i128, i128), String> {
    match text.parse() {
        Ok(Moment::Between(from, to)) => Ok((from, to)),
        _ => Err("not A..B".to_owned()),
    }
}

fn precision(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(precision) if (0.0..1.0).contains(&precision) => Ok(precision),
        _ => Err("at least 0 and below 1".to_owned()),
    }
}

fn line(text: &str) -> Result<(String, u32), String> {
    let parts = text.rsplit_once(':').ok_or("not FILE:LINE")?;
    let line = parts.1.parse().map_err(|_| "not FILE:LINE")?;
    Ok((parts.0.to_owned(), line))
}

#[derive(Serialize)]
struct MetaRow {
    start_ns: u128,
    rates: Vec<(u64, u32)>,
    traces: usize,
}

#[derive(Serialize)]
struct TraceRow<'a> {
    trace: u32,
    frames: Vec<(&'a str, u32)>,
}

#[derive(Serialize)]
struct EventRow {
    elapsed_us: u64,
    wall_us: i64,
    trace: u32,
    free: bool,
    bytes: u64,
    estimate: i64,
}

#[derive(Serialize)]
struct SnapshotRow {
    at_us: u64,
    trace: u32,
    bytes: i64,
}

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
}

#[derive(Serialize)]
struct EdgeRow<'a> {
    from: (&'a str, u32),
    to: (&'a str, u32),
    bytes: i64,
}

#[derive(Serialize)]
struct StackRow<'a> {
    frames: Vec<(&'a str, u32)>,
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

#[derive(Serialize)]
struct SeriesRow {
    at_us: u64,
    total: i64,
    lines: Vec<i64>,
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    match run(&cli) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => match error.downcast_ref::<io::Error>() {
            // Whoever reads has seen enough.
            Some(closed) if closed.kind() == ErrorKind::BrokenPipe => ExitCode::SUCCESS,
            _ => {
                eprintln!("{error}");
                let senseless = matches!(
                    error.downcast_ref(),
                    Some(Error::TooManySnapshots { .. } | Error::Interval { .. })
                );
                ExitCode::from(if senseless { 2 } else { 1 })
            }
        },
    }
}

fn run(cli: &Cli) -> Result<()> {
    let mut out = Lines(BufWriter::with_capacity(1 << 16, io::stdout().lock()));
    match &cli.what {
        What::Meta(profile) => meta(&mut out, &cli.open(profile)?)?,
        What::Traces(profile) => traces(&mut out, &cli.open(profile)?)?,
        What::Events(profile) => events(&mut out, &cli.open(profile)?)?,
        What::Snapshots {
            profile,
            interval_ms,
            precision,
        } => {
            let reader = cli.open(profile)?;
            let digest = digest(&reader, *interval_ms, *precision)?;
            for snapshot in digest.snapshots() {
                let snapshot = snapshot?;
                out.snapshot(snapshot.time(), snapshot.usage())?;
            }
            tell(&reader, &reader.damage()?);
        }
        What::Digest(profile) => digest_file(&mut out, &profile.filebase)?,
        What::Usage { profile, question } => {
            let reader = cli.open(profile)?;
            let usage = answer(&reader, question.question)?;
            for (trace, bytes) in &usage {
                let trace = index(trace);
                out.line(&UsageRow { trace, bytes })?;
            }
            tell(&reader, &reader.damage()?);
        }
        What::Lines { profile, question } => {
            view(&mut out, cli, profile, question, print_lines)?;
        }
        What::Edges { profile, question } => view(&mut out, cli, profile, question, edges)?,
        What::Stacks { profile, question } => view(&mut out, cli, profile, question, stacks)?,
        What::Peak(profile) => {
            let reader = cli.open(profile)?;
            let peak = reader.peak()?;
            out.line(&PeakRow {
                at_us: peak.time().as_micros(),
                events: peak.events(),
                total: peak.total(),
            })?;
            tell(&reader, &reader.damage()?);
        }
        What::Churn { profile, window } => churn(&mut out, &cli.open(profile)?, *window)?,
        What::Series {
            profile,
            interval_ms,
            lines,
        } => series(&mut out, &cli.open(profile)?, *interval_ms, lines)?,
    }
    Ok(out.0.flush()?)
}

impl Cli {
    fn open(&self, profile: &Profile) -> Result<Reader> {
        let reader = Reader::open(&profile.filebase)?;
        Ok(if self.unsampled {
            reader.unsampled()
        } else {
            reader
        })
    }
}

/// One JSON object a line.
struct Lines<W>(W);

impl<W: Write> Lines<W> {
    fn line(&mut self, row: &impl Serialize) -> Result<()> {
        let mut serializer = Serializer::with_formatter(&mut self.0, Ascii);
        row.serialize(&mut serializer).map_err(io::Error::from)?;
        Ok(self.0.write_all(b"\n")?)
    }

    fn snapshot(&mut self, at: Elapsed, usage: &Usage) -> Result<()> {
        for (trace, bytes) in usage {
            self.line(&SnapshotRow {
                at_us: at.as_micros(),
                trace: index(trace),
                bytes,
            })?;
        }
        Ok(())
    }
}

/// Compact, with everything but ASCII escaped: some take other characters for the end of a line.
struct Ascii;

impl Formatter for Ascii {
    fn write_string_fragment<W: Write + ?Sized>(
        &mut self,
        out: &mut W,
        fragment: &str,
    ) -> io::Result<()> {
        for part in fragment.split_inclusive(|c: char| !c.is_ascii()) {
            let ascii = part.trim_end_matches(|c: char| !c.is_ascii());
            out.write_all(ascii.as_bytes())?;
            for unit in part.get(ascii.len()..).unwrap_or_default().encode_utf16() {
                write!(out, "\\u{unit:04x}")?;
            }
        }
        Ok(())
    }
}

fn index(trace: Option<TraceId>) -> u32 {
    trace.map_or(0, TraceId::get)
}

/// Says on standard error what is wrong with the files.
fn tell(reader: &Reader, damage: &[DecodeError]) {
    for error in damage {
        tell_one(reader.path(error.file()).as_deref(), error);
    }
}

fn tell_one(path: Option<&Path>, error: &DecodeError) {
    let path = path.unwrap_or(Path::new("profile")).display();
    eprintln!(
        "{path}: record at byte {}: {}",
        error.offset(),
        error.kind()
    );
}

fn meta(out: &mut Lines<impl Write>, reader: &Reader) -> Result<()> {
    let traces = reader.traces()?;
    let rates = reader.stated_rates().ranges().iter();
    out.line(&MetaRow {
        start_ns: reader.start().as_nanos(),
        rates: rates
            .map(|range| (range.upper_size(), range.stored_probability()))
            .collect(),
        traces: traces.len(),
    })?;
    tell(reader, traces.damage());
    Ok(())
}

fn traces(out: &mut Lines<impl Write>, reader: &Reader) -> Result<()> {
    let traces = reader.traces()?;
    for (id, trace) in traces.iter() {
        out.line(&TraceRow {
            trace: id.get(),
            frames: trace
                .frames()
                .map(|frame| (frame.file, frame.line))
                .collect(),
        })?;
    }
    tell(reader, traces.damage());
    Ok(())
}

fn events(out: &mut Lines<impl Write>, reader: &Reader) -> Result<()> {
    for event in reader.events()? {
        let event = match event {
            Ok(event) => event,
            // What is wrong is told at the end.
            Err(Error::Decode { .. }) => break,
            Err(error) => return Err(error.into()),
        };
        out.line(&EventRow {
            elapsed_us: event.elapsed.as_micros(),
            wall_us: event.wall.as_micros(),
            trace: index(event.trace),
            free: event.is_free(),
            bytes: event.size,
            estimate: event.signed_estimate(reader.rates()),
        })?;
    }
    tell(reader, &reader.damage()?);
    Ok(())
}

fn digest(reader: &Reader, interval_ms: u64, precision: f64) -> Result<Digest> {
    let options = DigestOptions::default()
        .interval(Duration::from_millis(interval_ms))
        .precision(precision);
    Ok(reader.digest_with(options)?)
}

/// The file as it is: also what does not have the checksum that it was written with is printed.
fn digest_file(out: &mut Lines<impl Write>, filebase: &Path) -> Result<()> {
    let digest = Digest::open(filebase)?;
    let path = digest
        .path()
        .context("a digest that was opened has a path")?;
    let bytes = fs::read(path)?;
    let file = DigestFile::new(&bytes)?;
    let mut damage = digest.damage().to_vec();
    for number in 0..file.len() {
        let entries = file.entries(number).into_iter().flatten();
        if let (Some(at), Ok(usage)) = (file.time(number), entries.collect::<Result<_, _>>()) {
            out.snapshot(at, &usage)?;
        }
        if let Some(Err(error)) = digest.get(number) {
            damage.extend(error.decode_error());
        }
    }
    let mut told = Vec::new();
    for error in &damage {
        let kind = (error.file(), mem::discriminant(&error.kind()));
        if !told.contains(&kind) {
            told.push(kind);
            tell_one(Some(&path.with_extension(error.file().extension())), error);
        }
    }
    Ok(())
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

/// Answers a question, and looks at the answer.
fn view<W: Write>(
    out: &mut Lines<W>,
    cli: &Cli,
    profile: &Profile,
    question: &Question,
    print: impl FnOnce(&mut Lines<W>, &TraceTable, &Usage) -> Result<()>,
) -> Result<()> {
    let reader = cli.open(profile)?;
    let usage = answer(&reader, question.question)?;
    print(out, reader.traces()?, &usage)?;
    tell(&reader, &reader.damage()?);
    Ok(())
}

fn print_lines(out: &mut Lines<impl Write>, traces: &TraceTable, usage: &Usage) -> Result<()> {
    let lines = heapprof::Lines::new(traces, usage);
    let total = lines.total();
    out.line(&TotalRow { total })?;
    for line in lines.by_cumulative() {
        out.line(&LineRow {
            file: line.frame.file,
            line: line.frame.line,
            local: line.local,
            cumulative: line.cumulative,
        })?;
    }
    Ok(())
}

fn edges(out: &mut Lines<impl Write>, traces: &TraceTable, usage: &Usage) -> Result<()> {
    let graph = FlowGraph::new(traces, [usage]);
    // Each node of a whole graph is one line.
    let line = |node| {
        let frame = graph.node(node).lines().next();
        frame.map_or(("", 0), |frame| (frame.file, frame.line))
    };
    for edge in graph.edges() {
        out.line(&EdgeRow {
            from: line(edge.from()),
            to: line(edge.to()),
            bytes: edge.weight(0),
        })?;
    }
    Ok(())
}

fn stacks(out: &mut Lines<impl Write>, traces: &TraceTable, usage: &Usage) -> Result<()> {
    for stack in FlameGraph::new(traces, usage).folded() {
        // What has no stack is one that has no lines.
        let frames = stack.labels().filter_map(FlameLabel::frame);
        out.line(&StackRow {
            frames: frames.map(|frame| (frame.file, frame.line)).collect(),
            bytes: stack.weight(),
        })?;
    }
    Ok(())
}

fn churn(out: &mut Lines<impl Write>, reader: &Reader, window: Option<(i128, i128)>) -> Result<()> {
    let time = |micros: i128| Elapsed::from_micros(micros.try_into().unwrap_or(u64::MAX));
    let all = Churn::question();
    let question = match window {
        None => all,
        // Nothing comes before the start.
        Some((_, ..0)) => all.within(Elapsed::MAX, Elapsed::ZERO),
        Some((..0, to)) => all.until(time(to)),
        Some((from, to)) => all.within(time(from), time(to)),
    };
    let churn = reader.ask(question)?;
    for (trace, row) in churn.rows() {
        out.line(&ChurnRow {
            trace: index(trace),
            allocations: row.allocations,
            bytes: row.allocated,
            frees: row.frees,
            freed: row.freed,
            temporary: row.temporary,
        })?;
    }
    tell(reader, &reader.damage()?);
    Ok(())
}

fn series(
    out: &mut Lines<impl Write>,
    reader: &Reader,
    interval_ms: u64,
    lines: &[(String, u32)],
) -> Result<()> {
    let traces = reader.traces()?;
    let digest = digest(reader, interval_ms, 0.0)?;
    // A line that no stack contains has no place in the table, and no bytes.
    let found: Vec<_> = lines
        .iter()
        .map(|(file, line)| traces.find(Frame::new(file, *line)))
        .collect();
    let tracks: Vec<_> = found
        .iter()
        .flatten()
        .copied()
        .map(Track::Cumulative)
        .collect();
    let series = TimeSeries::new(&digest, traces, &tracks)?;
    for (place, (at, total)) in series.total().iter().enumerate() {
        let mut values = series.iter().map(|(_, values)| values.values()[place]);
        out.line(&SeriesRow {
            at_us: at.as_micros(),
            total,
            lines: found
                .iter()
                .map(|found| found.and_then(|_| values.next()).unwrap_or(0))
                .collect(),
        })?;
    }
    tell(reader, &reader.damage()?);
    Ok(())
}

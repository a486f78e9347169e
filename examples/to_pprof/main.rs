//! Hands a profile to pprof, Go's tool for profiles, and to all that read its format.
//!
//! ```text
//! cargo run --release --example to_pprof -- runs/nightly -o nightly.pb.gz
//! go tool pprof -http=: nightly.pb.gz
//! go tool pprof -top -sample_index=inuse_space nightly.pb.gz
//! ```
//!
//! Every trace is a sample with eight values: blocks (`_objects`) and bytes (`_space`) of what it
//! allocated in all (`alloc`), what was temporary of that (`temporary`), and what is live at the end
//! (`inuse`) and at the peak (`peak`, which is shown first). Blocks are counted as recorded, bytes
//! are estimates. The format is made for functions, and a recording knows lines of code: so each
//! line is a function of its own, and pprof's `-files` sums up by file.

mod profile;
#[path = "../to/mod.rs"]
mod to;

use std::collections::{BTreeMap, HashMap};
use std::io::Write;
use std::ops::ControlFlow;

use anyhow::Result;
use clap::Parser;
use flate2::{Compression, write::GzEncoder};
use heapprof::{Event, Frame, LiveHeap, LogEnd, LogStep, Reader, TraceId, TraceTable, Usage};
use profile::{Function, Line, Location, Profile, Sample, ValueType};
use prost::Message;
use to::ask::{Ask as _, LiveBlocks};

/// Writes a profile in the format of pprof.
#[derive(Parser)]
struct Cli {
    #[command(flatten)]
    files: to::Files,
}

fn main() -> std::process::ExitCode {
    to::end(run(&Cli::parse()))
}

fn run(cli: &Cli) -> Result<()> {
    let reader = cli.files.open()?;
    let profile = profile(&reader)?.encode_to_vec();
    cli.files.write(|out| {
        let mut gzip = GzEncoder::new(out, Compression::default());
        gzip.write_all(&profile)?;
        gzip.finish()?;
        Ok(())
    })
}

const VALUES: usize = 8;

fn profile(reader: &Reader) -> Result<Profile> {
    let (peak, churn) = (reader.peak()?, reader.churn()?);
    let (at_peak, temporary) =
        reader.ask((LiveBlocks::after(peak.events()), Temporary::default()))?;
    let at_end = &churn.allocations() - &churn.frees();
    let values: [(&str, &str, Usage); VALUES] = [
        ("alloc_objects", "count", churn.allocations()),
        ("alloc_space", "bytes", churn.allocated()),
        ("temporary_objects", "count", temporary.column(|it| it.0)),
        ("temporary_space", "bytes", temporary.column(|it| it.1)),
        ("inuse_objects", "count", at_end),
        ("inuse_space", "bytes", reader.live_at_end()?),
        ("peak_objects", "count", at_peak.recorded().clone()),
        ("peak_space", "bytes", peak.usage().clone()),
    ];
    let traces = reader.traces()?;
    let mut texts = Texts::default();
    texts.place("");
    let sample_type = values.each_ref().map(|(kind, unit, _)| ValueType {
        kind: texts.place(kind),
        unit: texts.place(unit),
    });
    let (location, function) = lines(traces, &mut texts);
    let comments = [
        format!("heap profile: {}", to::title(reader)),
        format!("peak: {} bytes after {}", peak.total(), peak.time()),
    ];
    let comments = comments.into_iter().chain(to::sampling(reader));
    let comment = comments.map(|text| texts.place(&text)).collect();
    Ok(Profile {
        sample: samples(traces, &values.each_ref().map(|(_, _, usage)| usage)),
        time_nanos: nanos(reader.start().as_nanos()),
        duration_nanos: nanos(reader.elapsed()?.as_micros().saturating_mul(1000)),
        // Where recordings are samples they are so by size, which only the comments can say.
        period_type: Some(ValueType {
            kind: texts.place("space"),
            unit: texts.place("bytes"),
        }),
        period: i64::from(reader.rates().is_unsampled()),
        default_sample_type: sample_type[VALUES - 1].kind,
        sample_type: sample_type.to_vec(),
        location,
        function,
        comment,
        string_table: texts.all,
    })
}

fn nanos(nanos: impl TryInto<i64>) -> i64 {
    nanos.try_into().unwrap_or(i64::MAX)
}

/// A location for each line of code, and a last one for what has no stack. Ids begin at 1.
fn lines(traces: &TraceTable, texts: &mut Texts) -> (Vec<Location>, Vec<Function>) {
    let frames = traces.frames().map(|(_, frame)| (to::name(frame), frame));
    let unknown = ("unknown".to_owned(), Frame::new("", 0));
    let ids = 1..;
    ids.zip(frames.chain([unknown]))
        .map(|(id, (name, frame))| {
            let line = i64::from(frame.line);
            let function = Function {
                id,
                name: texts.place(&name),
                filename: texts.place(frame.file),
                start_line: line,
            };
            let function_id = id;
            let line = vec![Line { function_id, line }];
            (Location { id, line }, function)
        })
        .unzip()
}

/// A sample for each trace.
fn samples(traces: &TraceTable, usages: &[&Usage; VALUES]) -> Vec<Sample> {
    let mut rows: BTreeMap<Option<TraceId>, [i64; VALUES]> = BTreeMap::new();
    for (place, usage) in usages.iter().enumerate() {
        for (trace, value) in usage.by_trace() {
            let known = trace.filter(|&id| traces.trace(id).is_some_and(|trace| !trace.is_empty()));
            let sum = &mut rows.entry(known).or_default()[place];
            *sum = sum.saturating_add(value);
        }
    }
    let unknown = traces.frame_count() as u64 + 1;
    let location = |trace: Option<TraceId>| match trace.and_then(|id| traces.trace(id)) {
        Some(trace) => trace.ids().rev().map(|id| id.index() as u64 + 1).collect(),
        None => vec![unknown],
    };
    rows.into_iter()
        .filter(|(_, value)| value.iter().any(|&value| value != 0))
        .map(|(trace, value)| Sample {
            location_id: location(trace),
            value: value.to_vec(),
        })
        .collect()
}

/// Each text and its place.
#[derive(Default)]
struct Texts {
    all: Vec<String>,
    places: HashMap<String, i64>,
}

impl Texts {
    fn place(&mut self, text: &str) -> i64 {
        if let Some(&place) = self.places.get(text) {
            return place;
        }
        let place = nanos(self.all.len());
        self.all.push(text.to_owned());
        self.places.insert(text.to_owned(), place);
        place
    }
}

/// The allocations, and their bytes, whose very next event in the log frees a block of the same
/// trace and size.
#[derive(Default)]
struct Temporary {
    rows: HashMap<Option<TraceId>, (i64, i64)>,
    before: Option<Event>,
}

impl Temporary {
    fn column(&self, column: impl Fn(&(i64, i64)) -> i64) -> Usage {
        let rows = self.rows.iter();
        rows.map(|(&trace, row)| (trace, column(row))).collect()
    }
}

impl heapprof::Question for Temporary {
    type Answer = Self;

    fn take(&mut self, step: &LogStep, _: &LiveHeap) -> ControlFlow<()> {
        let block = |event: &Event| (event.trace, event.size);
        let event = &step.event;
        let before = self.before.replace(*event);
        if event.is_free()
            && let Some(before) = before.filter(|before| before.is_allocation())
            && block(&before) == block(event)
        {
            let (blocks, bytes) = self.rows.entry(event.trace).or_default();
            *blocks += 1;
            *bytes = bytes.saturating_sub(step.bytes);
        }
        ControlFlow::Continue(())
    }

    fn answer(self, _: &LogEnd<'_>) -> Self {
        self
    }
}

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
//! (`inuse`) and at the peak (`peak`, which is shown first). Blocks and bytes are estimates. The format is made for functions, and a recording knows lines of code: so each
//! line is a function of its own, and pprof's `-files` sums up by file.

#[path = "../common/mod.rs"]
mod common;
mod message;

use std::collections::{BTreeMap, HashMap};
use std::io::Write;

use anyhow::Result;
use clap::Parser;
use common::{Look, clock_note};
use flate2::{Compression, write::GzEncoder};
use heapprof::query::LiveBlocks;
use heapprof::{Frame, Reader, TraceId, TraceTable, Usage};
use message::{Message, Texts, whole};

/// Writes a profile in the format of pprof.
#[derive(Parser)]
struct Cli {
    #[command(flatten)]
    files: common::Files,

    #[command(flatten)]
    look: common::Look,
}

fn main() -> std::process::ExitCode {
    common::end(run(&Cli::parse()))
}

fn run(cli: &Cli) -> Result<()> {
    let reader = cli.files.open()?;
    let profile = profile(&reader, &cli.look)?;
    cli.files.write(|out| {
        let mut gzip = GzEncoder::new(out, Compression::default());
        gzip.write_all(&profile.0)?;
        gzip.finish()?;
        Ok(())
    })
}

/// What each sample has: of what kind, in what unit.
const TYPES: [(&str, &str); 8] = [
    ("alloc_objects", "count"),
    ("alloc_space", "bytes"),
    ("temporary_objects", "count"),
    ("temporary_space", "bytes"),
    ("inuse_objects", "count"),
    ("inuse_space", "bytes"),
    ("peak_objects", "count"),
    ("peak_space", "bytes"),
];

fn profile(reader: &Reader, look: &Look) -> Result<Message> {
    let traces = reader.traces()?;
    let (peak, churn) = (reader.peak()?, reader.churn()?);
    let (at_peak, at_end) = reader.ask((
        LiveBlocks::query().after_events(peak.events()),
        LiveBlocks::query(),
    ))?;
    let usages = [
        churn.allocations(),
        churn.allocated(),
        churn.temporary(),
        churn.temporary_bytes(),
        at_end.estimated().clone(),
        reader.live_at_end()?,
        at_peak.estimated().clone(),
        peak.usage().clone(),
    ];
    let shown = look.traces(traces)?;
    let usages = usages.map(|usage| shown.filter(&usage));
    let comments = [
        format!(
            "heap profile: {}{}",
            common::title(reader),
            clock_note(reader)
        ),
        format!(
            "peak of the program: {} bytes after {}",
            peak.total(),
            peak.time()
        ),
    ];

    let mut texts = Texts::default();
    texts.place("");
    let mut profile = Message::default();
    for (kind, unit) in TYPES {
        profile = profile.message(1, &texts.kind(kind, unit)); // sample_type
    }
    let traces = &look.table(traces);
    profile = lines(samples(profile, traces, &usages), traces, &mut texts);
    let comments = comments.into_iter().chain(sampling(reader));
    let comments: Vec<_> = comments.map(|text| texts.place(&text)).collect();
    profile = profile
        .number(9, reader.start().as_nanos()) // time_nanos
        .number(10, reader.elapsed()?.as_micros().saturating_mul(1000)) // duration_nanos
        .message(11, &texts.kind("space", "bytes")) // period_type
        // Where a recording is a sample it is one by size, which only the comments can say.
        .number(12, u8::from(reader.rates().is_unsampled())) // period
        .numbers(13, &comments) // comment
        .number(14, texts.place("peak_space")); // default_sample_type
    for text in &texts.all {
        profile = profile.text(6, text); // string_table
    }
    Ok(profile)
}

/// Adds a sample for each trace.
fn samples(mut profile: Message, traces: &TraceTable, usages: &[Usage; TYPES.len()]) -> Message {
    let mut rows: BTreeMap<Option<TraceId>, [i64; TYPES.len()]> = BTreeMap::new();
    for (place, usage) in usages.iter().enumerate() {
        for (trace, value) in usage.by_trace() {
            let known = trace.filter(|&id| traces.trace(id).is_some_and(|trace| !trace.is_empty()));
            let sum = &mut rows.entry(known).or_default()[place];
            *sum = sum.saturating_add(value);
        }
    }
    let location = |place: usize| whole(place + 1);
    for (trace, values) in rows.into_iter().filter(|row| row.1 != [0; TYPES.len()]) {
        // Innermost first.
        let stack = match trace.and_then(|id| traces.trace(id)) {
            Some(trace) => trace.ids().rev().map(|id| location(id.index())).collect(),
            None => vec![location(traces.frame_count())],
        };
        let sample = Message::default()
            .numbers(1, &stack) // location_id
            .numbers(2, &values); // value
        profile = profile.message(2, &sample); // sample
    }
    profile
}

/// Adds a location for each frame, and at last for what has no stack, and their functions. Ids begin at 1.
fn lines(mut profile: Message, traces: &TraceTable, texts: &mut Texts) -> Message {
    let unknown = Frame::new("", 0).in_function("unknown");
    let frames = traces.frames().map(|(_, frame)| frame).chain([unknown]);
    let mut functions: HashMap<(String, &str), i64> = HashMap::new();
    for (id, frame) in (1_i64..).zip(frames) {
        // Where the function is not known, the line's name takes its place.
        let (name, start_line) = match frame.function.filter(|name| !name.is_empty()) {
            Some(function) => (function.to_owned(), 0),
            None => (common::name(frame), frame.line),
        };
        let next = whole(functions.len() + 1);
        let function = *functions.entry((name.clone(), frame.file)).or_insert(next);
        let line = Message::default()
            .number(1, function) // function_id
            .number(2, frame.line); // line
        let location = Message::default()
            .number(1, id) // id
            .message(4, &line); // line
        profile = profile.message(4, &location);
        if function == next {
            let function = Message::default()
                .number(1, function) // id
                .number(2, texts.place(&name)) // name
                .number(4, texts.place(frame.file)) // filename
                .number(5, start_line); // start_line
            profile = profile.message(5, &function);
        }
    }
    profile
}

/// How the recording was sampled, a line for each range.
fn sampling(reader: &Reader) -> Vec<String> {
    let ranges = reader.rates().ranges().iter().map(|range| {
        let (upper, percent) = (range.upper_size(), 100.0 * range.probability());
        format!("sampling below {upper} bytes: {percent:.4} %")
    });
    if reader.rates().is_unsampled() {
        vec!["sampling: none, every allocation was recorded".to_owned()]
    } else {
        ranges.collect()
    }
}

//! Hands a profile to <https://www.speedscope.app>: flame graphs of the peak and of regular moments.
//!
//! ```text
//! cargo run --release --example to_speedscope -- runs/nightly -o nightly.speedscope.json
//! ```
//!
//! Drop the file on the page, and choose the moment at its top. The stacks of a moment are sorted,
//! so that its "time order" is a flame graph too.

use std::cell::Cell;
use std::time::Duration;

use anyhow::Result;
use clap::Parser;
use heapprof::query::TraceSet;
use heapprof::view::FlameGraph;
use heapprof::{Digest, DigestOptions, Elapsed, Reader, TraceTable, Usage};
use serde::ser::{Error as _, SerializeSeq, SerializeStruct};
use serde::{Serialize, Serializer};

mod common;

/// Writes flame graphs of a profile for speedscope.
#[derive(Parser)]
struct Cli {
    #[command(flatten)]
    files: common::Files,

    #[command(flatten)]
    look: common::Look,

    /// How many moments there are at most, besides the peak: 0 to 1000.
    #[arg(short, long, default_value_t = 20, value_parser = clap::value_parser!(u64).range(..=1000))]
    moments: u64,
}

fn main() -> std::process::ExitCode {
    common::end(run(&Cli::parse()))
}

fn run(cli: &Cli) -> Result<()> {
    let reader = cli.files.open()?;
    let traces = &cli.look.table(reader.traces()?);
    let peak = reader.peak()?;
    let file = SpeedscopeFile {
        schema: "https://www.speedscope.app/file-format-schema.json",
        exporter: concat!("heapprof ", env!("CARGO_PKG_VERSION")),
        name: common::title(&reader),
        // The peak.
        active_profile_index: 0,
        shared: Shared {
            frames: frames(traces),
        },
        profiles: Profiles {
            traces,
            shown: cli.look.traces(reader.traces()?)?,
            peak: (peak.time(), peak.usage()),
            digest: digest(&reader, cli.moments)?,
            left_out: Cell::new(0),
        },
    };
    cli.files.write(|out| {
        serde_json::to_writer(&mut *out, &file).map_err(std::io::Error::from)?;
        Ok(out.write_all(b"\n")?)
    })?;
    let left_out = file.profiles.left_out.get();
    if left_out > 0 {
        eprintln!(
            "left out: stacks of less than 0 bytes, which the format cannot hold, at moments: {left_out}"
        );
    }
    Ok(())
}

/// At most so many snapshots, at whole milliseconds.
fn digest(reader: &Reader, moments: u64) -> Result<Option<Digest>> {
    if moments == 0 {
        return Ok(None);
    }
    let millis = reader.elapsed()?.as_micros().div_ceil(1000 * moments);
    let interval = Duration::from_millis(millis.max(1));
    Ok(Some(reader.digest_with(
        DigestOptions::default().interval(interval),
    )?))
}

/// All lines of code, in the order of their ids, and at last what has no stack.
fn frames(traces: &TraceTable) -> Vec<SpeedscopeFrame<'_>> {
    let names = common::Names::new(traces);
    let known = traces.frames().map(|(_, frame)| SpeedscopeFrame {
        name: names.short(frame),
        file: Some(frame.file),
        line: Some(frame.line),
    });
    let unknown = SpeedscopeFrame {
        name: "unknown".to_owned(),
        file: None,
        line: None,
    };
    known.chain([unknown]).collect()
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct SpeedscopeFile<'a> {
    #[serde(rename = "$schema")]
    schema: &'a str,
    exporter: &'a str,
    name: String,
    active_profile_index: usize,
    shared: Shared<'a>,
    profiles: Profiles<'a>,
}

#[derive(Serialize)]
struct Shared<'a> {
    frames: Vec<SpeedscopeFrame<'a>>,
}

#[derive(Serialize)]
struct SpeedscopeFrame<'a> {
    name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    file: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    line: Option<u32>,
}

/// The peak and the snapshots of a digest; one after the other, so that memory holds one of them.
struct Profiles<'a> {
    traces: &'a TraceTable,
    /// The traces that are shown.
    shown: TraceSet,
    peak: (Elapsed, &'a Usage),
    digest: Option<Digest>,
    /// At how many moments something was left out.
    left_out: Cell<u32>,
}

impl Profiles<'_> {
    fn at(&self, name: String, usage: &Usage) -> Sampled {
        let sampled = Sampled::new(name, self.traces, &self.shown.filter(usage));
        if sampled.left_out != (0, 0) {
            self.left_out.set(self.left_out.get() + 1);
        }
        sampled
    }
}

impl Serialize for Profiles<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut profiles = serializer.serialize_seq(None)?;
        let (time, usage) = self.peak;
        let name = format!("peak, {}", common::seconds(time));
        profiles.serialize_element(&self.at(name, usage))?;
        for snapshot in self.digest.iter().flat_map(Digest::snapshots) {
            let snapshot = snapshot.map_err(S::Error::custom)?;
            let name = common::seconds(snapshot.time());
            profiles.serialize_element(&self.at(name, snapshot.usage()))?;
        }
        profiles.end()
    }
}

/// The flame graph of one moment.
struct Sampled {
    name: String,
    samples: Vec<Vec<usize>>,
    weights: Vec<i64>,
    /// How many stacks of less than 0 bytes are left out, and their bytes.
    left_out: (u64, i128),
}

impl Sampled {
    fn new(name: String, traces: &TraceTable, usage: &Usage) -> Self {
        let (mut samples, mut weights, mut left_out) = (Vec::new(), Vec::new(), (0, 0));
        let mut stack = Vec::new();
        for bar in FlameGraph::new(traces, usage).walk().skip(1) {
            stack.truncate(bar.depth - 1);
            let line = bar.node.frame_id().map(heapprof::FrameId::index);
            stack.push(line.unwrap_or(traces.frame_count()));
            // After `fork` a trace can have less than 0 bytes, which cannot be drawn.
            let bytes = bar.node.own().net();
            if bytes > 0 {
                samples.push(stack.clone());
                weights.push(bytes);
            } else if bytes < 0 {
                left_out = (left_out.0 + 1, left_out.1 + i128::from(bytes));
            }
        }
        Self {
            name,
            samples,
            weights,
            left_out,
        }
    }
}

impl Serialize for Sampled {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let total: i128 = self.weights.iter().copied().map(i128::from).sum();
        let mut profile = serializer.serialize_struct("Sampled", 7)?;
        profile.serialize_field("type", "sampled")?;
        let name = match self.left_out {
            (0, _) => self.name.clone(),
            (count, bytes) => format!("{} (left out: {count} of {bytes} bytes)", self.name),
        };
        profile.serialize_field("name", &name)?;
        profile.serialize_field("unit", "bytes")?;
        profile.serialize_field("startValue", &0)?;
        profile.serialize_field("endValue", &total)?;
        profile.serialize_field("samples", &self.samples)?;
        profile.serialize_field("weights", &self.weights)?;
        profile.end()
    }
}

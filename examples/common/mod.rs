//! What the examples that draw share: their arguments, how they end, and how they show names.

#![allow(dead_code, reason = "no example needs all of it")]

use std::collections::{HashMap, HashSet};
use std::fs;
use std::io::{self, ErrorKind, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Error, Result, anyhow};
use clap::Args;
use heapprof::{Elapsed, Frame, FrameId, Reader, TraceTable, Usage};
use humansize::{DECIMAL, ToF64, format_size_i};

/// What is drawn, and where to.
#[derive(Args)]
pub(crate) struct Files {
    /// The profile: what the names of its files begin with, or one of the names.
    #[arg(default_value = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/data/demo"))]
    filebase: PathBuf,

    /// Where to write the picture, if not to standard output.
    #[arg(short, long)]
    output: Option<PathBuf>,
}

impl Files {
    /// The profile, which has a digest with snapshots. What is damaged in it goes to standard error.
    pub(crate) fn open(&self) -> Result<Reader> {
        if self.filebase.is_dir() {
            return Err(self.error("a folder; name a profile in it"));
        }
        let reader = Reader::open(&self.filebase)?;
        if reader.digest()?.is_empty() {
            return Err(self.error("the log has no events"));
        }
        for damage in reader.damage()? {
            let path = reader.path(damage.file()).unwrap_or_default();
            let (path, at) = (path.display(), damage.offset());
            eprintln!("{path}: record at byte {at}: {}", damage.kind());
        }
        Ok(reader)
    }

    fn error(&self, what: &str) -> Error {
        anyhow!("{}: {what}", self.filebase.display())
    }

    /// The name of the profile, without its folder.
    pub(crate) fn name(&self) -> String {
        let name = self.filebase.file_name().unwrap_or_default();
        visible(&name.to_string_lossy())
    }

    pub(crate) fn write(&self, picture: &str) -> Result<()> {
        match &self.output {
            None => Ok(io::stdout().write_all(picture.as_bytes())?),
            Some(path) => {
                fs::write(path, picture).map_err(|error| anyhow!("{}: {error}", path.display()))
            }
        }
    }
}

/// Whose memory is drawn: what is live at the peak, if not told otherwise.
#[derive(Args)]
#[group(multiple = false)]
pub(crate) struct Question {
    /// What is live after so many seconds.
    #[arg(long, value_name = "SECONDS", value_parser = elapsed)]
    at: Option<Elapsed>,

    /// What is live at the end.
    #[arg(long)]
    end: bool,

    /// What has grown and what has shrunk between two times in seconds.
    #[arg(long, value_name = "A..B", value_parser = range)]
    growth: Option<(Elapsed, Elapsed)>,
}

impl Question {
    /// The answer, and what to call it.
    pub(crate) fn ask(&self, reader: &Reader) -> Result<(Usage, String)> {
        if let Some((from, to)) = self.growth {
            let asked = format!("grown from {} to {}", seconds(from), seconds(to));
            return Ok((reader.growth(from, to)?, asked));
        }
        if self.at.is_none() && !self.end {
            let peak = reader.peak()?;
            let asked = format!("live at the peak, at {}", seconds(peak.time()));
            return Ok((peak.into_usage(), asked));
        }
        let at = self.at.map_or_else(|| reader.elapsed(), Ok)?;
        Ok((reader.live_at(at)?, format!("live at {}", seconds(at))))
    }
}

/// What is live at the largest snapshot: what came and went between two has no curve in a plot.
pub(crate) fn largest_snapshot(reader: &Reader) -> Result<Usage> {
    let largest = reader.time_series([])?.total().largest();
    let snapshot = reader.snapshot_at(largest.unwrap_or_default().0)?;
    Ok(snapshot.into_usage())
}

/// The times asked for, in order; if none, after a quarter of the time, at the peak, and at the end.
pub(crate) fn times(reader: &Reader, asked: &[Elapsed]) -> Result<Vec<Elapsed>> {
    let mut times = asked.to_vec();
    if times.is_empty() {
        let end = reader.elapsed()?;
        let quarter = Elapsed::from_micros(end.as_micros() / 4);
        times.extend([quarter, reader.peak()?.time(), end]);
    }
    times.sort_unstable();
    times.dedup();
    Ok(times)
}

/// How a program ends: with one line on standard error if it failed.
pub(crate) fn end(result: Result<()>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => match error.downcast_ref::<io::Error>() {
            // Whoever reads has seen enough.
            Some(closed) if closed.kind() == ErrorKind::BrokenPipe => ExitCode::SUCCESS,
            _ => {
                eprintln!("{error}");
                ExitCode::FAILURE
            }
        },
    }
}

/// Short names for the lines of a table.
pub(crate) struct Names<'t> {
    traces: &'t TraceTable,
    files: HashMap<&'t str, &'t str>,
}

impl<'t> Names<'t> {
    /// Of the path of each file, as much of the end as tells it from all others.
    pub(crate) fn new(traces: &'t TraceTable) -> Self {
        let files: HashSet<&str> = traces.frames().map(|(_, frame)| frame.file).collect();
        let mut counts: HashMap<&str, u32> = HashMap::new();
        for end in files.iter().flat_map(|file| ends(file)) {
            *counts.entry(end).or_default() += 1;
        }
        let short = |file| ends(file).find(|end| !end.is_empty() && counts[end] == 1);
        let short = |file| (file, short(file).unwrap_or(file));
        let files = files.into_iter().map(short).collect();
        Self { traces, files }
    }

    pub(crate) fn lines(&self, ids: &[FrameId]) -> impl Iterator<Item = String> {
        let frames = ids.iter().filter_map(|&id| self.traces.frame(id));
        frames.map(|frame| self.line(frame))
    }

    pub(crate) fn line(&self, frame: Frame<'_>) -> String {
        let file = self.files.get(frame.file).copied().unwrap_or(frame.file);
        visible(&Frame::new(file, frame.line).to_string())
    }
}

/// The ends of a path that begin with a name in it, the shortest first.
fn ends(path: &str) -> impl Iterator<Item = &str> {
    let after = path
        .rmatch_indices(['/', '\\'])
        .map(|(at, _)| &path[at + 1..]);
    after.chain([path])
}

/// The text with a picture in place of each character that a picture cannot hold, as ␉ for a tab.
fn visible(text: &str) -> String {
    let shown = |char| match char {
        '\0'..' ' => char::from_u32(0x2400 + u32::from(char)).unwrap_or(char),
        '\u{7f}' => '\u{2421}',
        '\u{80}'..'\u{a0}' | '\u{2028}' | '\u{2029}' | '\u{fffe}' | '\u{ffff}' => '\u{fffd}',
        _ => char,
    };
    text.chars().map(shown).collect()
}

pub(crate) fn bytes(bytes: impl ToF64) -> String {
    format_size_i(bytes, DECIMAL)
}

pub(crate) fn percent(fraction: f64) -> String {
    format!("{:.0} %", 100.0 * fraction)
}

/// A unit for so many seconds, and how many seconds it has.
pub(crate) fn unit(seconds: f64) -> (&'static str, f64) {
    match seconds {
        7200.0.. => ("h", 3600.0),
        120.0.. => ("min", 60.0),
        2.0.. => ("s", 1.0),
        _ => ("ms", 0.001),
    }
}

/// Seconds, as an argument.
pub(crate) fn elapsed(text: &str) -> Result<Elapsed, String> {
    match text.parse() {
        Ok(seconds) if (0.0..1e12).contains(&seconds) => Ok(Elapsed::from_secs_f64(seconds)),
        _ => Err("not a number of seconds".to_owned()),
    }
}

fn range(text: &str) -> Result<(Elapsed, Elapsed), String> {
    let (from, to) = text.split_once("..").ok_or("not A..B")?;
    Ok((elapsed(from)?, elapsed(to)?))
}

pub(crate) fn seconds(at: Elapsed) -> String {
    format!("{:.3} s", at.as_secs_f64())
}

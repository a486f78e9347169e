//! What the examples that draw share: names that fit, sums that are read at a glance, times to show.

use std::collections::{HashMap, HashSet};

use anyhow::Result;

use super::Moment;
use heapprof::{Elapsed, Frame, FrameId, Reader, TraceTable};
use humansize::{DECIMAL, ToF64, format_size_i};

/// The times asked for, in order; if none, after a quarter of the time, at the peak, and at the end.
pub(crate) fn times(reader: &Reader, asked: &[Moment]) -> Result<Vec<Elapsed>> {
    let times = asked.iter().map(|moment| moment.of(reader));
    let mut times = times.collect::<Result<Vec<_>>>()?;
    if times.is_empty() {
        let end = reader.elapsed()?;
        let quarter = Elapsed::from_micros(end.as_micros() / 4);
        times.extend([quarter, reader.peak()?.time(), end]);
    }
    times.sort_unstable();
    times.dedup();
    Ok(times)
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

    /// The name, as a picture can hold it.
    pub(crate) fn line(&self, frame: Frame<'_>) -> String {
        visible(&self.short(frame))
    }

    pub(crate) fn short(&self, frame: Frame<'_>) -> String {
        let file = self.files.get(frame.file).copied().unwrap_or(frame.file);
        super::name(Frame { file, ..frame })
    }
}

/// The ends of a path that begin with a name in it, the shortest first.
fn ends(path: &str) -> impl Iterator<Item = &str> {
    let after = path
        .rmatch_indices(['/', '\\'])
        .map(|(at, _)| &path[at + 1..]);
    after.chain([path])
}

/// The name of the profile, as a picture can hold it.
pub(crate) fn heading(reader: &Reader) -> String {
    visible(&(super::title(reader) + &super::clock_note(reader)))
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

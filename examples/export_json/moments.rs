//! What was live at regular moments: snapshots, and how some lines change.

use std::io::Write;
use std::path::Path;
use std::time::Duration;
use std::{fs, mem};

use anyhow::{Context, Result};
use heapprof::query::Track;
use heapprof::raw::DigestFile;
use heapprof::view::TimeSeries;
use heapprof::{Digest, DigestOptions, Elapsed, Frame, Reader, Usage};
use serde::Serialize;

use crate::output::{Lines, index, tell};
use crate::shell;

#[derive(Serialize)]
struct SnapshotRow {
    at_us: u64,
    trace: u32,
    bytes: i64,
}

#[derive(Serialize)]
struct SeriesRow {
    at_us: u64,
    total: i64,
    lines: Vec<i64>,
}

pub(crate) fn snapshots(
    out: &mut Lines<impl Write>,
    reader: &Reader,
    interval_ms: u64,
    precision: f64,
) -> Result<()> {
    for snapshot in digest(reader, interval_ms, precision)?.snapshots() {
        let snapshot = snapshot?;
        print(out, snapshot.time(), snapshot.usage())?;
    }
    tell(reader, &reader.damage()?);
    Ok(())
}

fn print(out: &mut Lines<impl Write>, at: Elapsed, usage: &Usage) -> Result<()> {
    for (trace, bytes) in usage {
        out.line(&SnapshotRow {
            at_us: at.as_micros(),
            trace: index(trace),
            bytes,
        })?;
    }
    Ok(())
}

fn digest(reader: &Reader, interval_ms: u64, precision: f64) -> Result<Digest> {
    let options = DigestOptions::default()
        .interval(Duration::from_millis(interval_ms))
        .precision(precision);
    Ok(reader.digest_with(options)?)
}

/// The file as it is: also what does not have the checksum that it was written with is printed.
pub(crate) fn digest_file(out: &mut Lines<impl Write>, filebase: &Path) -> Result<()> {
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
            print(out, at, &usage)?;
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
            shell::tell(Some(&path.with_extension(error.file().extension())), error);
        }
    }
    Ok(())
}

pub(crate) fn series(
    out: &mut Lines<impl Write>,
    reader: &Reader,
    interval_ms: u64,
    lines: &[(String, u32)],
) -> Result<()> {
    // A line is asked for in any function.
    let traces = reader.traces()?;
    let traces = &traces.map_frames(|frame| Some((frame.file, frame.line)));
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

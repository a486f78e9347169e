//! What was recorded, and what is wrong with it.

use std::io::Write;
use std::path::Path;

use anyhow::Result;
use heapprof::query::Sanity;
use heapprof::raw::FileKind;
use heapprof::{Digest, Elapsed, Reader, TraceTable};
use jiff::Timestamp;

use crate::common::{Opened, Reading, clean, clock_note, seconds};

/// Of more sampling ranges, those between the first and the last are only counted.
const MOST_RANGES: usize = 6;

/// When it began, how long it took, how it was sampled.
pub(crate) fn recorded(
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
    writeln!(out, "{}", clean(&filebase.to_string_lossy()))?;
    let (length, clock) = (seconds(end.elapsed()), clock_note(reader));
    writeln!(out, "  started   {start}, recorded for {length}{clock}")?;
    let (events, count) = (end.events(), traces.len());
    writeln!(out, "  events    {events} of {count} traces")?;
    for (key, value) in reader.properties().iter() {
        // A recorder that goes on reserves room with spaces.
        let value = value.trim_end();
        if !value.is_empty() {
            writeln!(out, "  {:<9} {}", clean(&key), clean(value))?;
        }
    }
    if reader.rates().is_unsampled() {
        writeln!(out, "  sampling  none: every allocation was recorded")?;
    } else {
        let ranges = reader.rates().ranges();
        for (at, range) in ranges.iter().enumerate() {
            let (upper, percent) = (range.upper_size(), 100.0 * range.probability());
            if ranges.len() <= MOST_RANGES || at == 0 || at == ranges.len() - 1 {
                writeln!(out, "  sampling  below {upper} bytes: {percent:.4} %")?;
            } else if at == 1 {
                let between = ranges.len() - 2;
                writeln!(out, "            … {between} more ranges")?;
            }
        }
        writeln!(
            out,
            "            ± is for 95 % of such samples; what is never recorded is not in it"
        )?;
    }
    let folded = match digest.precision() {
        Some(precision) if precision > 0.0 => {
            let percent = 100.0 * precision;
            format!(", in each up to {percent} % of the total folded into unknown")
        }
        _ => String::new(),
    };
    let (count, interval) = (digest.len(), digest.interval());
    writeln!(
        out,
        "  digest    {count} snapshots, one every {interval:?}{folded}"
    )?;
    if let Some(why) = reader.unused_digest() {
        writeln!(out, "  note      {}", clean(&why.to_string()))?;
    }
    Ok(())
}

/// What is wrong with the files.
pub(crate) fn damage(
    out: &mut impl Write,
    traces: &TraceTable,
    digest: &Digest,
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
    Ok(())
}

/// What is not taken as it was recorded, or should not be: rates, and gaps in time.
pub(crate) fn warnings(out: &mut impl Write, reading: &Reading, opened: &Opened) -> Result<()> {
    if let Some(note) = reading.rates_note(&opened.rates) {
        writeln!(out, "  warning   {note}")?;
        for evidence in opened.rates.evidence().iter().take(1) {
            writeln!(out, "            {evidence}")?;
        }
    }
    for note in opened.gap_notes() {
        writeln!(out, "  warning   {note}")?;
    }
    Ok(())
}

/// What the clock on the wall showed at a moment.
pub(crate) fn wall_clock(reader: &Reader, at: Elapsed) -> Result<String> {
    let shown = reader.time_at(at)?;
    let shown = shown.and_then(|time| Timestamp::try_from(time).ok());
    Ok(shown.map_or(String::new(), |time| {
        time.strftime(", %H:%M:%S UTC").to_string()
    }))
}

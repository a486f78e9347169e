//! Version 1 of the traces, which heapprof writes: each trace repeats all of its frames.
//!
//! A trace is a sequence of parts: frames, then an end. [`part_at`] decodes one part. All readers of traces
//! are loops around it.

#![expect(
    clippy::inline_always,
    reason = "a part returned through memory takes half as long again to read"
)]

mod writer;

pub use writer::TraceWriterV1;

use super::frame::RawFrame;
use crate::error::DecodeErrorKind as Kind;
use crate::raw::block::varint;

/// One part of a trace, with offsets into the bytes it was read from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    /// A frame. The fast path does not compare `end` with the length of the file. If `end` lies beyond it, the
    /// next part is [`Kind::Cut`].
    Frame { line: u32, name: usize, end: usize },
    /// The 0 that ends a trace. The next trace begins at `next`.
    End { next: usize },
}

/// Decodes the part at `at`.
#[inline(always)]
fn part_at(bytes: &[u8], at: usize) -> Result<Part, Kind> {
    if let Some(frame) = frame_fast(bytes, at) {
        Ok(frame)
    } else if bytes.get(at) == Some(&0) {
        Ok(Part::End { next: at + 1 })
    } else {
        part_slow(bytes, at)
    }
}

/// Fast path: a frame whose line number has one or two bytes and whose name length has one byte, as nearly all
/// frames do. `None` for everything else.
///
/// PERF: a branch on the length of the line number, since lengths repeat from stack to stack. Computing it instead
/// takes 1.3x (pylint) to 1.6x (docutils) the time; cargo bench --bench ratios -- FILEBASE, row `index_of_sum`.
#[inline(always)]
fn frame_fast(bytes: &[u8], at: usize) -> Option<Part> {
    let (line_plus_1, len, name) = match *bytes.get(at..)?.first_chunk()? {
        [line @ 1..0x80, len, _] => (u32::from(line), len, at + 2),
        [low @ 0x80..=0xff, high @ 1..0x80, len] => {
            (u32::from(low & 0x7f) | u32::from(high) << 7, len, at + 3)
        }
        _ => return None,
    };
    (len < 0x80).then_some(Part::Frame {
        line: line_plus_1 - 1,
        name,
        end: name + usize::from(len),
    })
}

/// Slow path and definition: decodes any part and detects every error.
#[cold]
#[inline(never)]
fn part_slow(bytes: &[u8], at: usize) -> Result<Part, Kind> {
    let (line_plus_1, at) = varint(bytes, at)?;
    let Some(line) = line_plus_1.checked_sub(1) else {
        return Ok(Part::End { next: at });
    };
    let line = u32::try_from(line).map_err(|_| Kind::LineNumber { found: line })?;
    let (len, name) = varint(bytes, at)?;
    let len = usize::try_from(len).map_err(|_| Kind::Cut)?;
    let end = name.checked_add(len).ok_or(Kind::Cut)?;
    if end > bytes.len() {
        return Err(Kind::Cut);
    }
    Ok(Part::Frame { line, name, end })
}

/// Finds the end of the trace that begins at `start`. Returns its whole frames, without the 0 that ends it, and the
/// offset of the next trace.
#[inline]
pub(super) fn trace_at(bytes: &[u8], start: usize) -> Result<(&[u8], usize), Kind> {
    let mut at = start;
    loop {
        match part_at(bytes, at)? {
            Part::Frame { end, .. } => at = end,
            Part::End { next } => return Ok((bytes.get(start..at).unwrap_or_default(), next)),
        }
    }
}

/// Reads the frame at `at`, or `None` for the end of the trace. Also returns the offset after it.
#[inline(always)]
pub(crate) fn frame_at(bytes: &[u8], at: usize) -> Result<(Option<RawFrame<'_>>, usize), Kind> {
    match part_at(bytes, at)? {
        Part::Frame { line, name, end } => {
            let file = bytes.get(name..end).ok_or(Kind::Cut)?;
            let record = bytes.get(at..end).ok_or(Kind::Cut)?;
            Ok((Some(RawFrame::of_record(file, line, record)), end))
        }
        Part::End { next } => Ok((None, next)),
    }
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn fast_path_agrees_with_slow_path(
            head in vec(prop_oneof![any::<u8>(), Just(0), Just(1), Just(0x80)], 0..8),
            name_len in 0..130_usize,
        ) {
            let bytes = [head, vec![b'n'; name_len]].concat();
            if let Some(part) = frame_fast(&bytes, 0) {
                let past_end = matches!(part, Part::Frame { end, .. } if end > bytes.len());
                let expected = if past_end { Err(Kind::Cut) } else { Ok(part) };
                prop_assert_eq!(part_slow(&bytes, 0), expected);
            }
            let slow_read = (|| {
                let mut at = 0;
                loop {
                    match part_slow(&bytes, at)? {
                        Part::Frame { end, .. } => at = end,
                        Part::End { next } => return Ok(next),
                    }
                }
            })();
            prop_assert_eq!(trace_at(&bytes, 0).map(|(_, next)| next), slow_read);
        }
    }
}

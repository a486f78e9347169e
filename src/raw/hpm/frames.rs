//! One trace of a `.hpm` file of version 1, and its frames.
//!
//! A trace is a sequence of parts: frames, then an end. [`part_at`] decodes one part. All readers of traces
//! are loops around it.

#![expect(
    clippy::inline_always,
    reason = "a part returned through memory takes half as long again to read"
)]

use std::borrow::Cow;
use std::iter::FusedIterator;

use smallvec::SmallVec;

use crate::error::DecodeErrorKind as Kind;
use crate::id::TraceId;
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

/// One whole trace, borrowed from the file.
///
/// ```
/// use heapprof::{TraceId, raw::TraceLog};
///
/// let bytes = std::fs::read("examples/data/demo.hpm")?;
/// let trace = TraceLog::new(&bytes)?.traces().nth(19).unwrap()?;
/// assert_eq!((trace.id(), trace.offset()), (TraceId::new(20).unwrap(), 4313));
/// assert_eq!(trace.innermost_first().next().unwrap().file_name(), "/srv/app/workloads/shop/orders.py");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RawTrace<'a> {
    id: TraceId,
    offset: u64,
    /// Whole frames, without the 0 that ends the trace.
    frames: &'a [u8],
}

impl<'a> RawTrace<'a> {
    /// Reads the trace that begins at `start`. Returns it and the offset of the next trace.
    #[inline]
    pub(super) fn read(bytes: &'a [u8], start: usize, id: TraceId) -> Result<(Self, usize), Kind> {
        let mut at = start;
        let next = loop {
            match part_at(bytes, at)? {
                Part::Frame { end, .. } => at = end,
                Part::End { next } => break next,
            }
        };
        let trace = Self {
            id,
            offset: start as u64,
            frames: bytes.get(start..at).unwrap_or_default(),
        };
        Ok((trace, next))
    }

    /// The trace index.
    pub const fn id(self) -> TraceId {
        self.id
    }

    /// The offset of the trace, in bytes from the start of the file.
    pub const fn offset(self) -> u64 {
        self.offset
    }

    /// Whether the trace has no frames. The recorder leaves out frames whose file name begins with `<`,
    /// so a trace can be empty.
    pub const fn is_empty(self) -> bool {
        self.frames.is_empty()
    }

    /// The frames in the order of the file: the allocating line first.
    pub const fn innermost_first(self) -> RawFrames<'a> {
        RawFrames { rest: self.frames }
    }

    /// The frames in the order in which people read a stack: the program's entry first.
    ///
    /// The file has the opposite order, so this decodes the whole stack at once. A stack of up to 32
    /// frames needs no allocation.
    ///
    /// ```
    /// use heapprof::raw::TraceLog;
    ///
    /// let bytes = std::fs::read("examples/data/demo.hpm")?;
    /// let trace = TraceLog::new(&bytes)?.traces().next().unwrap()?;
    /// let lines: Vec<u32> = trace.outermost_first().map(|frame| frame.line()).collect();
    /// let mut reversed: Vec<u32> = trace.innermost_first().map(|frame| frame.line()).collect();
    /// reversed.reverse();
    /// assert_eq!(lines, reversed);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn outermost_first(self) -> OutermostFirst<'a> {
        OutermostFirst {
            stack: self.innermost_first().collect(),
        }
    }
}

/// The frames of one trace, the allocating line first.
///
/// ```
/// use heapprof::raw::TraceLog;
///
/// let bytes = std::fs::read("examples/data/demo.hpm")?;
/// let trace = TraceLog::new(&bytes)?.traces().nth(19).unwrap()?;
/// let lines: Vec<_> = trace.innermost_first().map(|frame| frame.line()).collect();
/// assert_eq!(lines, [9, 8, 49, 85, 193]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone)]
pub struct RawFrames<'a> {
    /// Whole frames.
    rest: &'a [u8],
}

impl<'a> Iterator for RawFrames<'a> {
    type Item = RawFrame<'a>;

    #[inline]
    fn next(&mut self) -> Option<RawFrame<'a>> {
        let (frame, end) = RawFrame::read(self.rest, 0).ok()?;
        self.rest = self.rest.get(end..)?;
        frame
    }
}

impl FusedIterator for RawFrames<'_> {}

/// The frames of one trace, the program's entry first.
///
/// ```
/// use heapprof::raw::TraceLog;
///
/// let bytes = std::fs::read("examples/data/demo.hpm")?;
/// let trace = TraceLog::new(&bytes)?.traces().nth(19).unwrap()?;
/// let lines: Vec<_> = trace.outermost_first().map(|frame| frame.line()).collect();
/// assert_eq!(lines, [193, 85, 49, 8, 9]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone)]
pub struct OutermostFirst<'a> {
    /// The innermost frame first.
    stack: SmallVec<[RawFrame<'a>; 32]>,
}

impl<'a> Iterator for OutermostFirst<'a> {
    type Item = RawFrame<'a>;

    fn next(&mut self) -> Option<RawFrame<'a>> {
        self.stack.pop()
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.stack.len(), Some(self.stack.len()))
    }
}

impl ExactSizeIterator for OutermostFirst<'_> {}
impl FusedIterator for OutermostFirst<'_> {}

/// One frame, borrowed from the file: a file name and a line number.
///
/// ```
/// use heapprof::raw::{TraceLog, TraceWriter};
/// use heapprof::{SamplingRates, StartTime};
///
/// let mut writer = TraceWriter::new(Vec::new(), StartTime::new(1, 0), &SamplingRates::unsampled())?;
/// writer.write_innermost_first([(b"caf\xe9.py", 12)])?;
/// let bytes = writer.into_inner();
/// let trace = TraceLog::new(&bytes)?.traces().next().unwrap()?;
/// let frame = trace.innermost_first().next().unwrap();
/// assert_eq!((frame.file_bytes(), frame.line()), (b"caf\xe9.py".as_slice(), 12));
/// assert_eq!(frame.file_name(), "caf\u{fffd}.py");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RawFrame<'a> {
    line: u32,
    file: &'a [u8],
    record: &'a [u8],
}

impl<'a> RawFrame<'a> {
    /// Reads the frame at `at`, or `None` for the end of the trace. Also returns the offset after it.
    #[inline(always)]
    pub(crate) fn read(bytes: &'a [u8], at: usize) -> Result<(Option<Self>, usize), Kind> {
        match part_at(bytes, at)? {
            Part::Frame { line, name, end } => {
                let frame = Self {
                    line,
                    file: bytes.get(name..end).ok_or(Kind::Cut)?,
                    record: bytes.get(at..end).ok_or(Kind::Cut)?,
                };
                Ok((Some(frame), end))
            }
            Part::End { next } => Ok((None, next)),
        }
    }

    /// The line number, from 1; 0 if the recorder did not know it.
    pub const fn line(self) -> u32 {
        self.line
    }

    /// The bytes of the file name. They should be UTF-8.
    pub const fn file_bytes(self) -> &'a [u8] {
        self.file
    }

    /// The file name, with U+FFFD in place of bytes that are not UTF-8.
    pub fn file_name(self) -> Cow<'a, str> {
        String::from_utf8_lossy(self.file)
    }

    /// All bytes of the frame, line number included. Frames with equal bytes are equal.
    pub(crate) const fn record(self) -> &'a [u8] {
        self.record
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
            let id = TraceId::new(1).unwrap();
            let slow_read = (|| {
                let mut at = 0;
                loop {
                    match part_slow(&bytes, at)? {
                        Part::Frame { end, .. } => at = end,
                        Part::End { next } => return Ok(next),
                    }
                }
            })();
            prop_assert_eq!(RawTrace::read(&bytes, 0, id).map(|(_, next)| next), slow_read);
        }
    }
}

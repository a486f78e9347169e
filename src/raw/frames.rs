//! One trace of a `.hpm` file: its frames, where they stand and what they say.

use std::borrow::Cow;
use std::iter::FusedIterator;

use smallvec::SmallVec;

use super::block::varint;
use crate::error::DecodeErrorKind as Kind;
use crate::id::TraceId;

/// Where the frames of the trace at `at` end, and where the next trace begins.
fn skip_trace(bytes: &[u8], mut at: usize) -> Result<(usize, usize), Kind> {
    loop {
        match skip_frame(bytes, at)? {
            Some(frame) => at = frame.end,
            // The 0 that ends the trace can be written longer than needed.
            None => return varint(bytes, at).map(|(_, after)| (at, after)),
        }
    }
}

/// Where the parts of a frame are.
pub(super) struct FramePlace {
    line: u32,
    name: usize,
    pub(super) end: usize,
}

/// The frame at `at`, or `None` if the trace ends there.
#[expect(
    clippy::inline_always,
    reason = "a frame handed over in memory takes half as long again to read"
)]
#[inline(always)]
pub(super) fn skip_frame(bytes: &[u8], at: usize) -> Result<Option<FramePlace>, Kind> {
    // Nearly all frames have a line number of one or two bytes and a name whose length is one byte.
    if let Some(&[first, second, third]) = bytes.get(at..).and_then(|rest| rest.first_chunk()) {
        if first == 0 {
            return Ok(None);
        }
        let (line, len, name) = if first < 0x80 {
            (u32::from(first), second, at + 2)
        } else if second < 0x80 {
            (
                u32::from(first & 0x7f) | u32::from(second) << 7,
                third,
                at + 3,
            )
        } else {
            (0, 0, 0)
        };
        let end = name + usize::from(len);
        if let Some(line) = line.checked_sub(1)
            && len < 0x80
            && end <= bytes.len()
        {
            return Ok(Some(FramePlace { line, name, end }));
        }
    }
    skip_any_frame(bytes, at)
}

/// The same, whatever the lengths.
#[cold]
#[inline(never)]
fn skip_any_frame(bytes: &[u8], at: usize) -> Result<Option<FramePlace>, Kind> {
    let (line, after) = varint(bytes, at)?;
    let Some(line) = line.checked_sub(1) else {
        return Ok(None);
    };
    let line = u32::try_from(line).map_err(|_| Kind::LineNumber { found: line })?;
    let (len, name) = varint(bytes, after)?;
    let end = usize::try_from(len)
        .ok()
        .and_then(|len| name.checked_add(len))
        .filter(|&end| end <= bytes.len())
        .ok_or(Kind::Cut)?;
    Ok(Some(FramePlace { line, name, end }))
}

/// The frame at `at` and where the next begins, or with `None` that the trace ends there, and where
/// the next begins.
#[expect(
    clippy::inline_always,
    reason = "a frame handed over in memory takes half as long again to read"
)]
#[inline(always)]
pub(crate) fn frame_at(bytes: &[u8], at: usize) -> Result<(Option<RawFrame<'_>>, usize), Kind> {
    let Some(place) = skip_frame(bytes, at)? else {
        return varint(bytes, at).map(|(_, after)| (None, after));
    };
    let frame = RawFrame {
        line: place.line,
        file: bytes.get(place.name..place.end).unwrap_or_default(),
        record: bytes.get(at..place.end).unwrap_or_default(),
    };
    Ok((Some(frame), place.end))
}

/// One trace as it stands in the file: a borrowed, whole record.
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
    /// The frames, without the 0 that ends them; each of them was found whole.
    frames: &'a [u8],
}

impl<'a> RawTrace<'a> {
    /// The whole trace that begins at `start`, and where the next one does.
    #[inline]
    pub(super) fn read(bytes: &'a [u8], start: usize, id: TraceId) -> Result<(Self, usize), Kind> {
        let (end, next) = skip_trace(bytes, start)?;
        let trace = Self {
            id,
            offset: start as u64,
            frames: bytes.get(start..end).unwrap_or_default(),
        };
        Ok((trace, next))
    }

    /// The trace index.
    pub const fn id(self) -> TraceId {
        self.id
    }

    /// Where the record begins, in bytes from the start of the file.
    pub const fn offset(self) -> u64 {
        self.offset
    }

    /// Whether the trace has no frames. The recorder leaves out frames whose file name begins with
    /// `<`, so that some traces are empty.
    pub const fn is_empty(self) -> bool {
        self.frames.is_empty()
    }

    /// The frames in the order of the file: the allocating line first.
    pub const fn innermost_first(self) -> RawFrames<'a> {
        RawFrames { rest: self.frames }
    }

    /// The frames in the order in which people read a stack: the program's entry first.
    ///
    /// The file has them the other way round, so this decodes the whole stack at once; up to 32
    /// frames without an allocation.
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
        let stack: SmallVec<[RawFrame<'a>; 32]> = self.innermost_first().collect();
        OutermostFirst {
            reversed: stack.into_iter().rev(),
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
    rest: &'a [u8],
}

impl<'a> Iterator for RawFrames<'a> {
    type Item = RawFrame<'a>;

    #[inline]
    fn next(&mut self) -> Option<RawFrame<'a>> {
        // The trace was found whole, so there is no error before its end.
        let (frame, end) = frame_at(self.rest, 0).ok()?;
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
    reversed: std::iter::Rev<smallvec::IntoIter<[RawFrame<'a>; 32]>>,
}

impl<'a> Iterator for OutermostFirst<'a> {
    type Item = RawFrame<'a>;

    fn next(&mut self) -> Option<RawFrame<'a>> {
        self.reversed.next()
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.reversed.size_hint()
    }
}

impl ExactSizeIterator for OutermostFirst<'_> {}
impl FusedIterator for OutermostFirst<'_> {}

/// One frame as it stands in the file: a line of a file.
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
    /// All bytes of the frame, line number included.
    record: &'a [u8],
}

impl<'a> RawFrame<'a> {
    /// The line number, from 1; 0 where the recorder knew none.
    pub const fn line(self) -> u32 {
        self.line
    }

    /// The bytes of the file name; they should be UTF-8.
    pub const fn file_bytes(self) -> &'a [u8] {
        self.file
    }

    /// The file name, with U+FFFD in place of what is not UTF-8.
    pub fn file_name(self) -> Cow<'a, str> {
        String::from_utf8_lossy(self.file)
    }

    /// All bytes of the frame: equal bytes are the same frame.
    pub(crate) const fn record(self) -> &'a [u8] {
        self.record
    }
}

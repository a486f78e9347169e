//! `.hpm`: when the recording began, how it was sampled, and the stack of each trace.
//!
//! The layout stands in [`raw`](crate::raw).

use std::iter::FusedIterator;

use super::block::Cursor;
use super::frames::RawTrace;
use super::rates::SamplingRates;
use super::skip::{Counted, Told, whole_traces};
use crate::error::{DecodeError, DecodeErrorKind as Kind, FileKind};
use crate::id::TraceId;
use crate::time::StartTime;

/// The version of the format.
pub(crate) const VERSION: u32 = 1;

/// Nanoseconds in a second.
const NANOS: u64 = 1_000_000_000;

/// A `.hpm` file as bytes: its header, decoded, and its traces, to be decoded.
///
/// ```
/// use heapprof::raw::TraceLog;
///
/// let bytes = std::fs::read("examples/data/demo.hpm")?;
/// let log = TraceLog::new(&bytes)?;
/// assert_eq!(log.start().seconds(), 1_795_345_445);
/// assert!(log.rates().is_unsampled());
///
/// let first = log.traces().next().unwrap()?;
/// let innermost = first.innermost_first().next().unwrap();
/// assert_eq!(innermost.file_name(), "/srv/app/src/heapprof/__main__.py");
/// assert_eq!(innermost.line(), 49);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone)]
pub struct TraceLog<'a> {
    bytes: &'a [u8],
    header: Header,
}

/// The header of a `.hpm` file, without a borrow of it.
#[derive(Debug, Clone)]
pub(crate) struct Header {
    pub(crate) start: StartTime,
    pub(crate) rates: SamplingRates,
    /// Where the first trace begins.
    first_trace: usize,
}

impl Header {
    /// How many bytes say which recording this is: the version and the start time.
    pub(crate) const START: usize = 20;

    pub(crate) fn read(bytes: &[u8]) -> Result<Self, DecodeError> {
        let fields = || {
            let mut cursor = Cursor::new(bytes, 0);
            let version = cursor.fixed32()?;
            if version != VERSION {
                return Err(Kind::Version { found: version });
            }
            let start = StartTime::new(cursor.fixed64()?, cursor.fixed64()?);
            let mut ranges = Vec::new();
            // The number can be anything; the bytes of the ranges must be there all the same.
            for _ in 0..cursor.varint()? {
                ranges.push((cursor.fixed64()?, cursor.fixed32()?));
            }
            Ok(Self {
                start,
                rates: SamplingRates::from_stored(ranges),
                first_trace: cursor.at(),
            })
        };
        fields().map_err(|kind| DecodeError::new(FileKind::Hpm, 0, kind))
    }

    /// What in the header was kept though it makes no sense.
    pub(crate) fn damage(&self) -> Option<DecodeError> {
        let found = self.start.nanoseconds();
        (found >= NANOS).then(|| DecodeError::new(FileKind::Hpm, 0, Kind::Nanoseconds { found }))
    }
}

impl<'a> TraceLog<'a> {
    /// Reads the header.
    ///
    /// # Errors
    /// If the bytes do not begin with a whole header of version 1.
    pub fn new(bytes: &'a [u8]) -> Result<Self, DecodeError> {
        Header::read(bytes).map(|header| Self::with_header(bytes, header))
    }

    /// The log whose header was read before.
    pub(crate) fn with_header(bytes: &'a [u8], header: Header) -> Self {
        Self { bytes, header }
    }

    pub(crate) fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    pub(crate) fn first_trace(&self) -> usize {
        self.header.first_trace
    }

    /// When the recording began.
    pub fn start(&self) -> StartTime {
        self.header.start
    }

    /// The sampling rates that the file states; what is true can be another thing, see
    /// [`SamplingRates`].
    pub fn rates(&self) -> &SamplingRates {
        &self.header.rates
    }

    /// What in the header was kept though it makes no sense: a start time with a second or more of
    /// nanoseconds.
    pub fn header_damage(&self) -> Option<DecodeError> {
        self.header.damage()
    }

    /// The traces, from the first.
    pub fn traces(&self) -> RawTraces<'a> {
        self.traces_from(TracePosition {
            offset: self.header.first_trace as u64,
            next: 1,
        })
    }

    /// The traces from where an iterator over this file, or over a shorter stand of it, stood.
    ///
    /// ```
    /// use heapprof::raw::TraceLog;
    ///
    /// let bytes = std::fs::read("examples/data/demo.hpm")?;
    /// let mut early = TraceLog::new(&bytes[..5000])?.traces();
    /// let whole = early.by_ref().filter_map(Result::ok).count();
    /// // The program went on writing; so we go on reading.
    /// let later = TraceLog::new(&bytes)?.traces_from(early.position());
    /// assert_eq!((whole, later.count()), (22, 35));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn traces_from(&self, position: TracePosition) -> RawTraces<'a> {
        RawTraces {
            bytes: self.bytes,
            at: usize::try_from(position.offset)
                .unwrap_or(usize::MAX)
                .min(self.bytes.len()),
            next: position.next,
        }
    }

    /// How many whole traces there are: one pass that skips the names, and no memory.
    pub fn count(&self) -> u32 {
        let (count, _) = self.counted();
        count
    }

    /// What is told of the whole traces, but for the last ones perhaps; and those left.
    pub(super) fn whole_traces<T: Told>(&self) -> (T, RawTraces<'a>) {
        let most = TraceId::MAX.get() as usize;
        let (told, at) = whole_traces::<T>(self.bytes, self.header.first_trace, most);
        let traces = u32::try_from(told.len()).unwrap_or(u32::MAX);
        (
            told,
            self.traces_from(TracePosition::new(at as u64, traces)),
        )
    }

    /// How many whole traces there are, and what is wrong with what follows them.
    pub(crate) fn counted(&self) -> (u32, Option<DecodeError>) {
        let (whole, mut rest) = self.whole_traces::<Counted>();
        let end = rest.find_map(Result::err);
        debug_assert!(whole.len() < rest.next as usize);
        (rest.next - 1, end)
    }
}

/// Where an iterator over traces stands: the offset of the next trace and its index.
///
/// ```
/// use heapprof::raw::{TraceLog, TracePosition};
///
/// let bytes = std::fs::read("examples/data/demo.hpm")?;
/// let mut traces = TraceLog::new(&bytes)?.traces();
/// traces.by_ref().take(10).for_each(drop);
/// let here = traces.position();
/// assert_eq!((here.traces(), here.offset()), (10, 2444));
/// let noted = TracePosition::new(here.offset(), here.traces());
/// assert_eq!(TraceLog::new(&bytes)?.traces_from(noted).count(), 47);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct TracePosition {
    offset: u64,
    /// From 1; one over the largest trace index once that was read.
    next: u32,
}

impl TracePosition {
    /// A position that was noted down: `traces` whole traces end at `offset`.
    pub const fn new(offset: u64, traces: u32) -> Self {
        Self {
            offset,
            next: traces.saturating_add(1),
        }
    }

    /// In bytes from the start of the file.
    pub const fn offset(self) -> u64 {
        self.offset
    }

    /// How many whole traces stand before.
    pub const fn traces(self) -> u32 {
        self.next - 1
    }
}

/// The traces of a `.hpm` file, in the order of their index.
///
/// A trace that is cut or damaged is an error; after it there is nothing, since nothing marks where
/// the next one begins.
///
/// ```
/// use heapprof::raw::TraceLog;
///
/// let bytes = std::fs::read("examples/data/demo.hpm")?;
/// let mut traces = TraceLog::new(&bytes[..5000])?.traces();
/// let cut = traces.by_ref().find_map(Result::err).unwrap();
/// assert!(cut.is_cut());
/// assert_eq!((traces.position().traces(), cut.offset()), (22, traces.position().offset()));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone)]
pub struct RawTraces<'a> {
    /// Up to the damage, once that was met: so nothing follows it.
    bytes: &'a [u8],
    at: usize,
    next: u32,
}

impl RawTraces<'_> {
    /// Where the next trace begins: after the last whole one, also when that was followed by an
    /// error.
    pub const fn position(&self) -> TracePosition {
        TracePosition {
            offset: self.at as u64,
            next: self.next,
        }
    }
}

impl<'a> Iterator for RawTraces<'a> {
    type Item = Result<RawTrace<'a>, DecodeError>;

    fn next(&mut self) -> Option<Self::Item> {
        let start = self.at;
        if start >= self.bytes.len() {
            return None;
        }
        let whole = TraceId::new(self.next)
            .ok_or(Kind::TooManyTraces)
            .and_then(|id| RawTrace::read(self.bytes, start, id));
        match whole {
            Ok((trace, next)) => {
                self.at = next;
                self.next += 1;
                Some(Ok(trace))
            }
            Err(kind) => {
                self.bytes = self.bytes.get(..start).unwrap_or_default();
                Some(Err(DecodeError::new(FileKind::Hpm, start as u64, kind)))
            }
        }
    }
}

impl FusedIterator for RawTraces<'_> {}

#[cfg(test)]
mod tests {
    use super::super::TraceWriter;
    use super::super::block::push_varint;
    use super::super::frames::RawFrame;
    use super::*;

    /// A profile with two ranges and two traces, byte by byte as heapprof 1.0 writes it.
    #[rustfmt::skip]
    const BYTES: &[u8] = &[
        0, 0, 0, 1,                             // version
        0, 0, 0, 0, 0x6b, 0x02, 0xbe, 0xbb,     // start, seconds: 1795342011
        0, 0, 0, 0, 0x07, 0x5b, 0xcd, 0x15,     // start, nanoseconds: 123456789
        2,                                      // ranges
        0, 0, 0, 0, 0, 0, 0, 128,               //   sizes below 128
        0x19, 0x99, 0x99, 0x99,                 //   with probability 0.1
        0, 0, 0, 0, 0, 0, 0x20, 0,              //   sizes below 8192
        0xff, 0xff, 0xff, 0xff,                 //   with probability 1
        // trace 1
        0xac, 0x02,                             // line 299
        4, b'a', b'.', b'p', b'y',              //   of a.py
        1,                                      // line 0
        0,                                      //   of a file without a name
        0,                                      // end
        // trace 2: empty
        0,                                      // end
    ];

    fn rates() -> SamplingRates {
        SamplingRates::new([(128, 0.1), (8192, 1.0)]).unwrap()
    }

    #[test]
    fn the_labelled_bytes_are_read_and_written() {
        let log = TraceLog::new(BYTES).unwrap();
        assert_eq!(log.start(), StartTime::new(1_795_342_011, 123_456_789));
        assert_eq!(log.rates(), &rates());
        let traces: Vec<_> = log.traces().map(Result::unwrap).collect();
        assert_eq!(traces.len(), 2);
        let frames: Vec<_> = traces[0]
            .outermost_first()
            .map(|frame| (frame.file_bytes(), frame.line()))
            .collect();
        assert_eq!(frames, [(&b""[..], 0), (b"a.py", 299)]);
        assert!(traces[1].is_empty());

        let mut writer = TraceWriter::new(Vec::new(), log.start(), &rates()).unwrap();
        writer
            .write_innermost_first([("a.py", 299), ("", 0)])
            .unwrap();
        writer
            .write_outermost_first(Vec::<(&str, u32)>::new())
            .unwrap();
        assert_eq!(writer.count(), 2);
        assert_eq!(writer.into_inner(), BYTES);
    }

    #[test]
    fn every_cut_keeps_the_whole_traces_and_is_told_once_at_its_trace() {
        let header = 45;
        let second = BYTES.len() - 1;
        for cut in 0..BYTES.len() {
            let bytes = &BYTES[..cut];
            let Ok(log) = TraceLog::new(bytes) else {
                assert!(cut < header, "{cut}");
                continue;
            };
            assert!(cut >= header);
            let whole = usize::from(cut >= second);
            let mut traces = log.traces();
            for _ in 0..whole {
                assert!(matches!(traces.next(), Some(Ok(_))));
            }
            if cut > header && cut < second {
                let error = traces.next().unwrap().unwrap_err();
                assert!(error.is_cut());
                assert_eq!(error.offset(), header as u64);
            }
            assert!(traces.next().is_none() && traces.next().is_none());
            assert_eq!(log.count(), u32::from(whole == 1));
            assert_eq!(log.index().len(), whole);
        }
    }

    #[test]
    fn an_end_in_a_longer_form_ends_the_trace() {
        let mut bytes = BYTES[..21].to_vec();
        bytes[20] = 0; // no ranges
        bytes.extend([2, 1, b'x', 0x80, 0x00, 3, 1, b'y', 0]);
        let log = TraceLog::new(&bytes).unwrap();
        let index = log.index();
        assert_eq!(index.len(), 2);
        let lines: Vec<u32> = index
            .get(TraceId::new(2).unwrap())
            .unwrap()
            .innermost_first()
            .map(RawFrame::line)
            .collect();
        assert_eq!(lines, [2]);
    }

    #[test]
    fn a_line_number_over_32_bits_ends_the_table_and_the_largest_does_not() {
        let mut bytes = BYTES[..21].to_vec();
        bytes[20] = 0;
        let mut largest = bytes.clone();
        push_varint(&mut largest, 1 << 32);
        largest.extend([1, b'x', 0]);
        let trace = TraceLog::new(&largest)
            .unwrap()
            .traces()
            .next()
            .unwrap()
            .unwrap();
        assert_eq!(trace.innermost_first().next().unwrap().line(), u32::MAX);

        bytes.push(0); // an empty trace
        push_varint(&mut bytes, (1 << 32) + 1);
        bytes.extend([1, b'x', 0, 0, 0]);
        let mut traces = TraceLog::new(&bytes).unwrap().traces();
        assert!(traces.next().unwrap().is_ok());
        let error = traces.next().unwrap().unwrap_err();
        assert_eq!(error.offset(), 22);
        assert_eq!(error.kind(), Kind::LineNumber { found: 1 << 32 });
        assert!(traces.next().is_none());
    }

    #[test]
    fn lengths_and_counts_that_no_file_has_allocate_nothing() {
        let mut bytes = BYTES[..20].to_vec();
        push_varint(&mut bytes, u64::MAX); // ranges
        assert!(TraceLog::new(&bytes).unwrap_err().is_cut());
        let mut bytes = BYTES[..21].to_vec();
        bytes[20] = 0;
        bytes.push(2);
        push_varint(&mut bytes, u64::MAX); // length of a name
        let error = TraceLog::new(&bytes).unwrap().traces().next();
        assert!(error.unwrap().unwrap_err().is_cut());
    }
}

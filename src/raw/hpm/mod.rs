//! `.hpm`, the metadata of a recording: its start, its sampling rates, and the stack of each trace.
//!
//! [`raw`](crate::raw) has the tables of the format. `header`, `trace`, `traces` and `index` serve both versions; `v1`
//! and `v2` each have what one version needs, and a writer.

mod as_frame;
mod frame;
mod header;
mod index;
mod trace;
mod traces;
pub(crate) mod v1;
pub(crate) mod v2;

pub use as_frame::AsFrame;
pub use frame::RawFrame;
pub(crate) use frame::write_frame;
pub(crate) use header::Header;
pub use index::TraceIndex;
pub use trace::{OutermostFirst, RawFrames, RawTrace};
pub use traces::{RawTraces, TracePosition};
pub use v1::TraceWriterV1;
pub use v2::{TraceNode, TraceWriter};

use super::properties::Properties;
use super::rates::SamplingRates;
use crate::error::DecodeError;
use crate::time::StartTime;
use v2::{Defined, Records};

/// A `.hpm` file in memory, of version 1 or 2. Its header is decoded; its traces are decoded on demand.
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
/// assert_eq!(innermost.file(), "/srv/app/src/heapprof/__main__.py");
/// assert_eq!(innermost.line(), 49);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone)]
pub struct TraceLog<'a> {
    pub(crate) bytes: &'a [u8],
    pub(crate) header: Header,
}

impl<'a> TraceLog<'a> {
    /// Reads the header.
    ///
    /// # Errors
    /// If the bytes do not begin with a whole header of version 1 or 2.
    pub fn new(bytes: &'a [u8]) -> Result<Self, DecodeError> {
        Header::read(bytes).map(|header| Self { bytes, header })
    }

    /// The version of the format: 1 for a file of heapprof, 2 for a compact one.
    pub fn version(&self) -> u32 {
        self.header.version
    }

    /// Whether the file is of version 2.
    pub(crate) fn is_compact(&self) -> bool {
        self.header.version == header::V2
    }

    /// Facts about the recording, such as its command. None in a file of version 1.
    pub fn properties(&self) -> &Properties {
        &self.header.properties
    }

    /// When the recording began.
    pub fn start(&self) -> StartTime {
        self.header.start
    }

    /// The sampling rates that the file states. The recorder may have used others: see
    /// [`SamplingRates`].
    pub fn rates(&self) -> &SamplingRates {
        &self.header.rates
    }

    /// Damage in the header that reading ignores: a start time with a second or more of nanoseconds.
    pub fn header_damage(&self) -> Option<DecodeError> {
        self.header.damage()
    }

    /// The traces, from the first.
    ///
    /// Version 1 is read as the iterator goes. Version 2 is read at once: O(bytes) of time and memory.
    pub fn traces(&self) -> RawTraces<'a> {
        self.traces_from(self.first())
    }

    /// The position before the first trace.
    pub(crate) fn first(&self) -> TracePosition {
        TracePosition::new(self.header.first_record as u64, 0)
    }

    /// The traces from a [position](RawTraces::position) in this file or in an earlier, shorter state of
    /// it. Version 2: O(bytes), whatever the position.
    ///
    /// ```
    /// use heapprof::raw::TraceLog;
    ///
    /// let bytes = std::fs::read("examples/data/demo.hpm")?;
    /// let mut early = TraceLog::new(&bytes[..5000])?.traces();
    /// let whole = early.by_ref().filter_map(Result::ok).count();
    /// // The program has written more since.
    /// let later = TraceLog::new(&bytes)?.traces_from(early.position());
    /// assert_eq!((whole, later.count()), (22, 35));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn traces_from(&self, position: TracePosition) -> RawTraces<'a> {
        RawTraces::new(self, position)
    }

    /// The records of a file of version 2 from `at` on. Earlier records define `defined`.
    pub(crate) fn records(&self, at: usize, defined: Defined) -> Records<'a> {
        Records::new(self.bytes, at, defined)
    }

    /// The number of whole traces. One pass over the file; no memory.
    pub fn count(&self) -> u32 {
        self.count_from(TableEnd::first(self)).0.traces()
    }

    /// The end of the whole traces, and the error that follows them, counted from an earlier end.
    pub(crate) fn count_from(&self, end: TableEnd) -> (TableEnd, Option<DecodeError>) {
        if self.is_compact() {
            let at = usize::try_from(end.offset).unwrap_or(usize::MAX);
            let mut records = self.records(at, end.defined);
            let damage = records.find_map(Result::err);
            (TableEnd::of_records(&records), damage)
        } else {
            let mut traces = self.traces_from(TracePosition::new(end.offset, end.traces()));
            let damage = traces.find_map(Result::err);
            (TableEnd::of_traces(traces.position()), damage)
        }
    }

    /// The offset of each trace, for random access. One pass over the file; 8 bytes of memory a trace, and O(bytes)
    /// for version 2.
    pub fn index(&self) -> TraceIndex<'a> {
        TraceIndex::new(self.traces())
    }
}

/// Where the whole traces of a file end, and what they define: all that is needed to read on when the file has grown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct TableEnd {
    pub(crate) offset: u64,
    pub(crate) defined: Defined,
}

impl TableEnd {
    /// The start of the traces.
    pub(crate) fn first(log: &TraceLog<'_>) -> Self {
        Self::of_traces(log.first())
    }

    pub(crate) fn of_records(records: &Records<'_>) -> Self {
        Self {
            offset: records.at() as u64,
            defined: records.defined(),
        }
    }

    pub(crate) fn of_traces(position: TracePosition) -> Self {
        let traces = position.traces();
        Self {
            offset: position.offset(),
            defined: Defined {
                traces,
                ..Defined::default()
            },
        }
    }

    /// The number of whole traces.
    pub(crate) fn traces(&self) -> u32 {
        self.defined.traces
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::DecodeErrorKind as Kind;
    use crate::id::TraceId;
    use crate::raw::block::push_varint;

    /// Two ranges and two traces, as heapprof 1.0 writes them.
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
    fn reads_and_writes_labelled_bytes() {
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

        let mut writer = TraceWriterV1::new(Vec::new(), log.start(), &rates()).unwrap();
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
    fn keeps_whole_traces_before_every_cut() {
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
    fn accepts_overlong_varint_as_end_of_trace() {
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
    fn rejects_line_number_over_32_bits() {
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
    fn allocates_nothing_for_stated_length_of_name() {
        let mut bytes = BYTES[..21].to_vec();
        bytes[20] = 0;
        bytes.push(2);
        push_varint(&mut bytes, u64::MAX); // length of a name
        let error = TraceLog::new(&bytes).unwrap().traces().next();
        assert!(error.unwrap().unwrap_err().is_cut());
    }
}

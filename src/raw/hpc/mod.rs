//! `.hpc`: the digest, heap snapshots at a fixed interval with an index for random access.
//!
//! The layout stands in [`raw`](crate::raw).

mod writer;

use std::iter::FusedIterator;
use std::ops::Range;

pub use writer::DigestWriter;
pub(crate) use writer::push_entry;

use super::block::{Cursor, varint};
use crate::error::{DecodeError, DecodeErrorKind as Kind, FileKind};
use crate::id::TraceId;
use crate::time::{Elapsed, LARGEST, StartTime};

/// The version of the format.
pub(crate) const VERSION: u32 = 1;
/// The mark that begins a snapshot.
pub(crate) const SNAPSHOT: u32 = 0x5379_a0bd;
/// The mark that begins the index.
pub(crate) const INDEX: u32 = 0xab93_5776;
/// The largest interval in milliseconds whose first snapshot has a time.
pub(crate) const LARGEST_INTERVAL: u64 = LARGEST / 1000;

/// A `.hpc` file as bytes: its header and index, decoded, and its snapshots, to be decoded one by
/// one.
///
/// ```
/// use heapprof::raw::{DigestFile, DigestWriter};
/// use heapprof::{StartTime, TraceId};
/// use std::io::Cursor;
///
/// let mut writer = DigestWriter::new(Cursor::new(Vec::new()), StartTime::new(1, 0), 60_000)?;
/// let (a, b) = (TraceId::new(1), TraceId::new(2));
/// writer.snapshot([(b, 5000), (a, 300)])?;
/// writer.repeat()?;
/// let bytes = writer.finish(&[])?.into_inner();
///
/// let digest = DigestFile::new(&bytes)?;
/// assert_eq!(digest.len(), 2);
/// assert_eq!(digest.time(1).unwrap().as_micros(), 120_000_000);
/// let entries: Vec<_> = digest.entries(1).unwrap().collect::<Result<_, _>>()?;
/// assert_eq!(entries, [(b, 5000), (a, 300)]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone)]
pub struct DigestFile<'a> {
    bytes: &'a [u8],
    layout: Layout,
}

/// The header and the index of a digest, without a borrow of it.
#[derive(Debug, Clone)]
pub(crate) struct Layout {
    pub(crate) start: StartTime,
    pub(crate) interval_ms: u64,
    /// How many snapshots there are.
    len: usize,
    /// The snapshots that have bytes of their own: number and where they begin. Those after each
    /// share its bytes.
    runs: Box<[(usize, u64)]>,
    /// Where the index begins.
    index_at: usize,
    /// Where the index ends.
    trailer_at: usize,
    pub(crate) damage: Option<DecodeError>,
}

impl Layout {
    pub(crate) fn read(bytes: &[u8]) -> Result<Self, DecodeError> {
        let header = || {
            let mut cursor = Cursor::new(bytes, 0);
            let version = cursor.fixed32()?;
            if version != VERSION {
                return Err(Kind::Version { found: version });
            }
            let start = StartTime::new(cursor.fixed64()?, cursor.fixed64()?);
            let interval_ms = cursor.varint()?;
            if !(1..=LARGEST_INTERVAL).contains(&interval_ms) {
                return Err(Kind::Interval { found: interval_ms });
            }
            let index_at = cursor.fixed64()?;
            if index_at == 0 {
                return Err(Kind::Unfinished);
            }
            let len = bytes.len();
            let index_at = usize::try_from(index_at)
                .ok()
                .filter(|&at| at < len)
                .ok_or(Kind::Offset {
                    found: index_at,
                    len: len as u64,
                })?;
            Ok((start, interval_ms, index_at))
        };
        let (start, interval_ms, index_at) =
            header().map_err(|kind| DecodeError::new(FileKind::Hpc, 0, kind))?;

        let index_error = |kind| DecodeError::new(FileKind::Hpc, index_at as u64, kind);
        let mut cursor = Cursor::new(bytes, index_at);
        let found = cursor.fixed32().map_err(index_error)?;
        if found != INDEX {
            let expected = INDEX;
            return Err(index_error(Kind::Magic { expected, found }));
        }
        let count = cursor.varint().map_err(index_error)?;
        // The last snapshot is the first at or after the last event, so it can be over 63 bits.
        if count
            .checked_mul(interval_ms)
            .and_then(|millis| millis.checked_mul(1000))
            .is_none()
        {
            let found = interval_ms;
            return Err(index_error(Kind::Interval { found }));
        }
        let mut len = 0;
        let mut runs: Vec<(usize, u64)> = Vec::new();
        let mut offset = 0_u64;
        let mut damage = None;
        for _ in 0..count {
            // Each is a byte at least, so that the bytes bound what is allocated.
            match cursor.varint() {
                Ok(difference) => {
                    offset = offset.saturating_add(difference);
                    if difference > 0 || runs.is_empty() {
                        runs.push((len, offset));
                    }
                    len += 1;
                }
                Err(kind) => {
                    damage = Some(index_error(kind));
                    break;
                }
            }
        }
        Ok(Self {
            start,
            interval_ms,
            len,
            runs: runs.into_boxed_slice(),
            index_at,
            trailer_at: cursor.at(),
            damage,
        })
    }

    pub(crate) const fn len(&self) -> usize {
        self.len
    }

    /// How many snapshots have bytes of their own.
    pub(crate) fn run_count(&self) -> usize {
        self.runs.len()
    }

    /// Which run a snapshot is of.
    pub(crate) fn run_of(&self, position: usize) -> Option<usize> {
        if position >= self.len {
            return None;
        }
        self.runs
            .partition_point(|&(first, _)| first <= position)
            .checked_sub(1)
    }

    /// The snapshots of each run, which are equal.
    pub(crate) fn runs(&self) -> impl Iterator<Item = Range<usize>> + '_ {
        let ends = self.runs.iter().skip(1).map(|&(first, _)| first);
        self.runs
            .iter()
            .zip(ends.chain([self.len]))
            .map(|(&(first, _), end)| first..end)
    }

    /// The time of snapshot `position`.
    pub(crate) fn time(&self, position: usize) -> Option<Elapsed> {
        (position < self.len()).then(|| {
            let intervals = position as u64 + 1;
            Elapsed::from_millis(intervals.saturating_mul(self.interval_ms))
        })
    }

    pub(crate) fn shares(&self, position: usize) -> bool {
        let run = self.run_of(position).and_then(|run| self.runs.get(run));
        run.is_some_and(|&(first, _)| first < position)
    }

    /// The entries of a snapshot, which end where the next begins: so that all snapshots together
    /// are no longer than the file.
    pub(crate) fn entries<'a>(&self, bytes: &'a [u8], position: usize) -> Option<Entries<'a>> {
        let run = self.run_of(position)?;
        let &(_, offset) = self.runs.get(run)?;
        let next = match self.runs.get(run + 1) {
            Some(&(_, next)) => usize::try_from(next).ok(),
            None => Some(self.index_at),
        };
        let end = next
            .filter(|&next| next as u64 > offset)
            .and_then(|next| bytes.get(..next));
        Some(Entries::new(end.unwrap_or(bytes), offset, bytes.len()))
    }

    /// From the index to the end of the file.
    pub(crate) fn index_and_trailer<'a>(&self, bytes: &'a [u8]) -> (&'a [u8], &'a [u8]) {
        (
            bytes
                .get(self.index_at..self.trailer_at)
                .unwrap_or_default(),
            bytes.get(self.trailer_at..).unwrap_or_default(),
        )
    }
}

impl<'a> DigestFile<'a> {
    /// Reads header and index: O(snapshots), 16 bytes of memory for each that does not share the
    /// bytes of the one before. No snapshot is looked at.
    ///
    /// # Errors
    /// If the bytes do not begin with a whole header of version 1 that has an index. An index that
    /// is cut is no error: see [`damage`](Self::damage).
    pub fn new(bytes: &'a [u8]) -> Result<Self, DecodeError> {
        Layout::read(bytes).map(|layout| Self { bytes, layout })
    }

    /// When the recording began.
    pub const fn start(&self) -> StartTime {
        self.layout.start
    }

    /// Milliseconds between snapshots.
    pub const fn interval_ms(&self) -> u64 {
        self.layout.interval_ms
    }

    /// How many snapshots there are.
    pub fn len(&self) -> usize {
        self.layout.len()
    }

    /// Whether there is no snapshot.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Where the index ends early, and why.
    pub const fn damage(&self) -> Option<DecodeError> {
        self.layout.damage
    }

    /// The time of snapshot `position`, from 0: (`position` + 1) × interval.
    ///
    /// heapprof 1.0 labels its snapshots one interval earlier than what they hold.
    pub fn time(&self, position: usize) -> Option<Elapsed> {
        self.layout.time(position)
    }

    /// Whether snapshot `position` shares the bytes of the one before, and so equals it.
    pub fn shares(&self, position: usize) -> bool {
        self.layout.shares(position)
    }

    /// The entries of snapshot `position`, from 0; no other snapshot is touched.
    pub fn entries(&self, position: usize) -> Option<Entries<'a>> {
        self.layout.entries(self.bytes, position)
    }

    /// What stands after the index.
    pub fn trailer(&self) -> &'a [u8] {
        self.layout.index_and_trailer(self.bytes).1
    }
}

/// The entries of one snapshot, heaviest first: a trace, or `None` for unknown, and its bytes.
///
/// If a trace stands twice, its entries add up. After an error there is nothing.
///
/// ```
/// use heapprof::raw::DigestFile;
///
/// let bytes = std::fs::read("tests/data/tiny/heapprof-1.0/digest_i1_p0.hpc")?;
/// let digest = DigestFile::new(&bytes)?;
/// let mut entries = digest.entries(0).unwrap();
/// let (trace, heaviest) = entries.next().unwrap()?;
/// assert_eq!((trace.unwrap().get(), heaviest), (13, 2_000_228));
/// assert_eq!((entries.offset(), entries.count()), (30, 12));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone)]
pub struct Entries<'a> {
    /// Up to where the next snapshot begins.
    bytes: &'a [u8],
    /// How long the file is.
    file_len: usize,
    at: usize,
    /// Where the first entry begins.
    first: usize,
    left: u64,
    before: Option<i64>,
    offset: u64,
    error: Option<DecodeError>,
}

impl<'a> Entries<'a> {
    fn new(bytes: &'a [u8], offset: u64, file_len: usize) -> Self {
        let mut entries = Self {
            bytes,
            file_len,
            at: 0,
            first: 0,
            left: 0,
            before: None,
            offset,
            error: None,
        };
        match entries.open() {
            Ok((left, at)) => (entries.left, entries.at, entries.first) = (left, at, at),
            Err(kind) => {
                entries.error = Some(entries.error(kind));
                entries.left = 1;
            }
        }
        entries
    }

    fn error(&self, kind: Kind) -> DecodeError {
        let runs_on = kind == Kind::Cut && self.bytes.len() < self.file_len;
        let kind = if runs_on { Kind::Overlap } else { kind };
        DecodeError::new(FileKind::Hpc, self.offset, kind)
    }

    /// How many entries there are, and where they begin.
    fn open(&self) -> Result<(u64, usize), Kind> {
        let len = self.bytes.len();
        let outside = Kind::Offset {
            found: self.offset,
            len: self.file_len as u64,
        };
        let start = usize::try_from(self.offset)
            .ok()
            .filter(|&start| start < len)
            .ok_or(outside)?;
        let mut cursor = Cursor::new(self.bytes, start);
        let found = cursor.fixed32()?;
        if found != SNAPSHOT {
            let expected = SNAPSHOT;
            return Err(Kind::Magic { expected, found });
        }
        Ok((cursor.varint()?, cursor.at()))
    }

    /// Where the snapshot begins, in bytes from the start of the file.
    #[doc(alias = "offsets")]
    pub const fn offset(&self) -> u64 {
        self.offset
    }

    /// The bytes of the entries up to where this stands.
    pub(crate) fn read_bytes(&self) -> &'a [u8] {
        self.bytes.get(self.first..self.at).unwrap_or_default()
    }

    #[inline]
    fn entry(&mut self) -> Result<(Option<TraceId>, i64), Kind> {
        let (index, at) = varint(self.bytes, self.at)?;
        let (size, at) = varint(self.bytes, at)?;
        let trace = match u32::try_from(index) {
            Ok(0) => None,
            Ok(known) => Some(TraceId::new(known).ok_or(Kind::TraceIndex { found: index })?),
            Err(_) => return Err(Kind::TraceIndex { found: index }),
        };
        let weight = match self.before {
            None => size.cast_signed(),
            Some(before) => before.checked_sub_unsigned(size).ok_or(Kind::Balance)?,
        };
        self.at = at;
        self.before = Some(weight);
        Ok((trace, weight))
    }
}

impl Iterator for Entries<'_> {
    type Item = Result<(Option<TraceId>, i64), DecodeError>;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        if self.left == 0 {
            return None;
        }
        if let Some(error) = self.error {
            self.left = 0;
            return Some(Err(error));
        }
        match self.entry() {
            Ok(entry) => {
                self.left -= 1;
                Some(Ok(entry))
            }
            Err(kind) => {
                self.left = 0;
                Some(Err(self.error(kind)))
            }
        }
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        // An entry has two bytes at least, whatever the number says.
        let most = self.bytes.len().saturating_sub(self.at) / 2 + 1;
        let left = usize::try_from(self.left).unwrap_or(usize::MAX);
        (0, Some(left.min(most)))
    }
}

impl FusedIterator for Entries<'_> {}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;
    use crate::raw::block::push_varint;

    /// Three snapshots, byte by byte as heapprof 1.0 writes them; the second shares the bytes of
    /// the first.
    #[rustfmt::skip]
    const BYTES: &[u8] = &[
        0, 0, 0, 1,                             // version
        0, 0, 0, 0, 0x6b, 0x02, 0xbe, 0xbb,     // start, seconds
        0, 0, 0, 0, 0x07, 0x5b, 0xcd, 0x15,     // start, nanoseconds
        0xe0, 0xd4, 0x03,                       // interval: 60000 ms
        0, 0, 0, 0, 0, 0, 0, 53,                // index offset
        // at 31: first and second snapshot
        0x53, 0x79, 0xa0, 0xbd,                 // mark
        2,                                      // entries
        7, 0xe8, 0x07,                          //   trace 7: 1000
        0, 0xe7, 0x07,                          //   unknown: 999 less, 1
        // at 42: third
        0x53, 0x79, 0xa0, 0xbd,                 // mark
        1,                                      // entries
        0x80, 0x01,                             //   trace 128:
        0xff, 0xff, 0xff, 0xff,                 //   -1
        // at 53: index (the varint before goes on to 58; patched below)
    ];

    fn bytes() -> Vec<u8> {
        let mut bytes = BYTES.to_vec();
        bytes.extend([0xff, 0xff, 0xff, 0xff, 0xff, 0x01]); // -1 has ten bytes
        let index_at = u8::try_from(bytes.len()).unwrap();
        bytes[30] = index_at;
        bytes.extend([0xab, 0x93, 0x57, 0x76]); // mark
        bytes.push(3); // snapshots
        bytes.extend([31, 0, 11]); // offsets: 31, the same, 42
        bytes
    }

    fn start() -> StartTime {
        StartTime::new(1_795_342_011, 123_456_789)
    }

    fn entries_of(digest: &DigestFile<'_>, at: usize) -> Result<Vec<(u32, i64)>, DecodeError> {
        digest
            .entries(at)
            .unwrap()
            .map(|entry| entry.map(|(trace, weight)| (TraceId::to_disk(trace), weight)))
            .collect()
    }

    #[test]
    fn the_labelled_bytes_are_read_and_written() {
        let bytes = bytes();
        let digest = DigestFile::new(&bytes).unwrap();
        assert_eq!(
            (digest.start(), digest.interval_ms(), digest.len()),
            (start(), 60_000, 3)
        );
        assert_eq!(digest.time(0), Some(Elapsed::from_secs(60)));
        assert_eq!(digest.time(2), Some(Elapsed::from_secs(180)));
        assert_eq!(digest.time(3), None);
        assert_eq!(entries_of(&digest, 0).unwrap(), [(7, 1000), (0, 1)]);
        assert_eq!(entries_of(&digest, 1).unwrap(), [(7, 1000), (0, 1)]);
        assert_eq!(entries_of(&digest, 2).unwrap(), [(128, -1)]);
        assert_eq!(
            [0, 1, 2, 3, 4].map(|at| digest.shares(at)),
            [false, true, false, false, false]
        );
        assert!(digest.entries(3).is_none());
        assert_eq!(digest.trailer(), b"");

        let mut writer = DigestWriter::new(io::Cursor::new(Vec::new()), start(), 60_000).unwrap();
        writer
            .snapshot([(TraceId::new(7), 1000), (None, 1)])
            .unwrap();
        writer.repeat().unwrap();
        writer.snapshot([(TraceId::new(128), -1)]).unwrap();
        assert_eq!(writer.finish(&[]).unwrap().into_inner(), bytes);
    }

    #[test]
    fn weights_take_all_64_bits() {
        let weights = [i64::MAX, 0, -1, i64::MIN, i64::MIN];
        let mut writer = DigestWriter::new(io::Cursor::new(Vec::new()), start(), 1).unwrap();
        writer
            .snapshot(weights.map(|weight| (TraceId::new(5), weight)))
            .unwrap();
        let bytes = writer.finish(b"more").unwrap().into_inner();
        let digest = DigestFile::new(&bytes).unwrap();
        assert_eq!(
            entries_of(&digest, 0).unwrap(),
            weights.map(|weight| (5, weight))
        );
        assert_eq!(digest.trailer(), b"more");
    }

    #[test]
    fn every_cut_keeps_what_is_whole() {
        let bytes = bytes();
        let index_at = bytes.len() - 8;
        for cut in 0..bytes.len() {
            match DigestFile::new(&bytes[..cut]) {
                Err(error) => {
                    assert!(cut < index_at + 5, "{cut}");
                    assert!([0, index_at as u64].contains(&error.offset()));
                }
                Ok(digest) => {
                    assert_eq!(digest.len(), cut - index_at - 5);
                    assert!(digest.damage().unwrap().is_cut());
                    for at in 0..digest.len() {
                        assert!(entries_of(&digest, at).is_ok());
                    }
                }
            }
        }
    }

    #[test]
    fn offsets_counts_and_indexes_that_cannot_be_are_errors() {
        let whole = bytes();
        let with = |at: usize, byte: u8| {
            let mut bytes = whole.clone();
            bytes[at] = byte;
            bytes
        };
        let refused = |bytes: &[u8]| DigestFile::new(bytes).unwrap_err().kind();
        assert_eq!(refused(&with(3, 2)), Kind::Version { found: 2 });
        assert_eq!(refused(&with(30, 0)), Kind::Unfinished);
        assert_eq!(
            refused(&with(30, 200)),
            Kind::Offset {
                found: 200,
                len: whole.len() as u64
            }
        );
        assert!(matches!(refused(&with(30, 31)), Kind::Magic { .. }));
        let mut no_interval = whole.clone();
        no_interval.splice(20..23, [0x80, 0x80, 0]);
        assert_eq!(refused(&no_interval), Kind::Interval { found: 0 });

        // A snapshot without its mark; an index beyond the end; 2^63 entries.
        let first = |bytes: &[u8]| {
            let digest = DigestFile::new(bytes).unwrap();
            let mut entries = digest.entries(0).unwrap();
            let error = entries.find_map(Result::err).unwrap();
            assert!(entries.next().is_none());
            (error.offset(), error.kind())
        };
        assert!(matches!(first(&with(31, 0)), (31, Kind::Magic { .. })));
        let index = whole.len() - 3;
        assert!(matches!(
            first(&with(index, 127)),
            (127, Kind::Offset { .. })
        ));
        // A snapshot that would run into the next one, and one that runs into the index.
        assert_eq!(first(&with(35, 3)), (31, Kind::Overlap));
        let digest = with(46, 9);
        let digest = DigestFile::new(&digest).unwrap();
        let error = digest.entries(2).unwrap().find_map(Result::err).unwrap();
        assert_eq!((error.offset(), error.kind()), (42, Kind::Overlap));
        let mut many = whole.clone();
        many.splice(
            35..36,
            [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f],
        );
        many[30] += 8;
        let digest = DigestFile::new(&many).unwrap();
        let entries = digest.entries(0).unwrap();
        assert!(entries.size_hint().1.unwrap() < many.len());
        assert!(entries.clone().any(|entry| entry.is_err()));
    }

    #[test]
    fn a_trace_index_over_30_bits_and_bytes_below_64_bits_are_errors() {
        let snapshot = |entries: &[u64]| {
            let mut out = Vec::new();
            for &field in entries {
                push_varint(&mut out, field);
            }
            let mut writer = DigestWriter::new(io::Cursor::new(Vec::new()), start(), 1).unwrap();
            writer.encoded(entries.len() as u64 / 2, &out).unwrap();
            let bytes = writer.finish(&[]).unwrap().into_inner();
            let digest = DigestFile::new(&bytes).unwrap();
            entries_of(&digest, 0).map_err(|error| error.kind())
        };
        assert_eq!(snapshot(&[(1 << 30) - 1, 1]), Ok(vec![((1 << 30) - 1, 1)]));
        for found in [1 << 30, 1 << 32, u64::MAX] {
            assert_eq!(snapshot(&[found, 1]), Err(Kind::TraceIndex { found }));
        }
        assert_eq!(snapshot(&[1, 0, 2, u64::MAX]), Err(Kind::Balance));
    }
}

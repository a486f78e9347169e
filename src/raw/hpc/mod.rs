//! [`DigestFile`], the reader of `.hpc` files: heap snapshots at a fixed interval, and an index for random access.
//!
//! [`raw`](crate::raw) describes the format.

mod writer;

use std::iter::FusedIterator;
use std::ops::Range;
use std::time::Duration;

pub use writer::DigestWriter;
pub(crate) use writer::push_entry;

use super::block::{Cursor, varint};
use crate::error::{DecodeError, DecodeErrorKind as Kind, FileKind};
use crate::id::TraceId;
use crate::time::{Elapsed, LARGEST, StartTime};

/// The version of the format.
const VERSION: u32 = 1;
/// The magic number at the start of a snapshot.
const SNAPSHOT: u32 = 0x5379_a0bd;
/// The magic number at the start of the index.
const INDEX: u32 = 0xab93_5776;
/// The largest interval, in milliseconds, whose first snapshot has a time.
const LARGEST_INTERVAL: u64 = LARGEST / 1000;

/// An interval in milliseconds, if a file can state it.
pub(crate) fn whole_millis(interval: Duration) -> Option<u64> {
    let millis = u64::try_from(interval.as_millis()).ok()?;
    let is_whole = Duration::from_millis(millis) == interval;
    (is_whole && (1..=LARGEST_INTERVAL).contains(&millis)).then_some(millis)
}

/// The time of the last of `count` snapshots in microseconds; `None` if it exceeds 64 bits.
fn snapshot_micros(count: u64, interval_ms: u64) -> Option<u64> {
    count.checked_mul(interval_ms)?.checked_mul(1000)
}

/// A position in a file of `len` bytes from a stated offset.
fn position(found: u64, len: usize) -> Result<usize, Kind> {
    let position = usize::try_from(found).ok().filter(|&at| at < len);
    let len = len as u64;
    position.ok_or(Kind::Offset { found, len })
}

/// A `.hpc` file in memory: decoded header and index, and snapshots that are decoded one by one.
///
/// ```
/// use heapprof::raw::{DigestFile, DigestWriter};
/// use heapprof::{StartTime, TraceId};
/// use std::io::Cursor;
/// use std::time::Duration;
///
/// let mut writer = DigestWriter::new(Cursor::new(Vec::new()), StartTime::new(1, 0), Duration::from_secs(60))?;
/// let (a, b) = (TraceId::new(1), TraceId::new(2));
/// writer.write_snapshot([(b, 5000), (a, 300)])?;
/// writer.write_repeat()?;
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

/// The header and the index of a digest, without a borrow of the file.
#[derive(Debug, Clone)]
pub(crate) struct Layout {
    pub(crate) start: StartTime,
    pub(crate) interval_ms: u64,
    /// The number of snapshots.
    pub(crate) len: usize,
    /// The number and the offset of each snapshot that has bytes of its own. It begins a run: the snapshots
    /// that follow share its bytes. Last, `len` and the offset of the index.
    runs: Vec<(usize, u64)>,
    /// The position of the index.
    index_at: usize,
    /// The position of the end of the index.
    trailer_at: usize,
    /// Why the index ends early.
    pub(crate) damage: Option<DecodeError>,
}

impl Layout {
    pub(crate) fn read(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut layout =
            Self::read_header(bytes).map_err(|kind| DecodeError::new(FileKind::Hpc, 0, kind))?;
        let offset = layout.index_at as u64;
        layout
            .read_index(bytes)
            .map_err(|kind| DecodeError::new(FileKind::Hpc, offset, kind))?;
        Ok(layout)
    }

    /// The layout without snapshots.
    fn read_header(bytes: &[u8]) -> Result<Self, Kind> {
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
        let index_at = match cursor.fixed64()? {
            0 => return Err(Kind::Unfinished),
            found => position(found, bytes.len())?,
        };
        Ok(Self {
            start,
            interval_ms,
            len: 0,
            runs: Vec::new(),
            index_at,
            trailer_at: index_at,
            damage: None,
        })
    }

    fn read_index(&mut self, bytes: &[u8]) -> Result<(), Kind> {
        let mut cursor = Cursor::new(bytes, self.index_at);
        cursor.magic(INDEX)?;
        let count = cursor.varint()?;
        // The last snapshot is the first at or after the last event, so its time can exceed 63 bits.
        if snapshot_micros(count, self.interval_ms).is_none() {
            let found = self.interval_ms;
            return Err(Kind::Interval { found });
        }
        let mut offset = 0_u64;
        // Each snapshot takes at least a byte, so the length of the file bounds the memory.
        for _ in 0..count {
            match cursor.varint() {
                Ok(difference) => {
                    offset = offset.saturating_add(difference);
                    if difference > 0 || self.runs.is_empty() {
                        self.runs.push((self.len, offset));
                    }
                    self.len += 1;
                }
                Err(kind) => {
                    let index = self.index_at as u64;
                    self.damage = Some(DecodeError::new(FileKind::Hpc, index, kind));
                    break;
                }
            }
        }
        self.runs.push((self.len, self.index_at as u64));
        self.runs.shrink_to_fit();
        self.trailer_at = cursor.at();
        Ok(())
    }

    /// The index of the run that contains a snapshot.
    pub(crate) fn run_of(&self, snapshot: usize) -> Option<usize> {
        let runs = self.runs.partition_point(|&(first, _)| first <= snapshot);
        runs.checked_sub(1).filter(|_| snapshot < self.len)
    }

    /// The snapshots of each run, which are equal.
    pub(crate) fn runs(&self) -> impl Iterator<Item = Range<usize>> + '_ {
        let next_runs = self.runs.iter().skip(1);
        let pairs = self.runs.iter().zip(next_runs);
        pairs.map(|(&(first, _), &(end, _))| first..end)
    }

    /// The time of a snapshot.
    pub(crate) fn time(&self, snapshot: usize) -> Option<Elapsed> {
        (snapshot < self.len).then(|| {
            let micros = snapshot_micros(snapshot as u64 + 1, self.interval_ms);
            micros.map_or(Elapsed::MAX, Elapsed::from_micros)
        })
    }

    /// Whether a snapshot shares the bytes of the previous one.
    pub(crate) fn shares(&self, snapshot: usize) -> bool {
        let run = self.run_of(snapshot).and_then(|run| self.runs.get(run));
        run.is_some_and(|&(first, _)| first < snapshot)
    }

    /// The entries of a snapshot. They end where the next run or the index begins, so all snapshots together
    /// are no longer than the file.
    pub(crate) fn entries<'a>(&self, bytes: &'a [u8], snapshot: usize) -> Option<Entries<'a>> {
        let &[(_, offset), (_, next)] = self.runs.get(self.run_of(snapshot)?..)?.first_chunk()?;
        let end = usize::try_from(next).ok().filter(|_| next > offset);
        let until_next = end.and_then(|end| bytes.get(..end));
        Some(Entries::new(
            until_next.unwrap_or(bytes),
            offset,
            bytes.len(),
        ))
    }

    /// The bytes of the index, and the bytes after it.
    pub(crate) fn index_and_trailer<'a>(&self, bytes: &'a [u8]) -> (&'a [u8], &'a [u8]) {
        let index = bytes.get(self.index_at..self.trailer_at);
        let trailer = bytes.get(self.trailer_at..);
        (index.unwrap_or_default(), trailer.unwrap_or_default())
    }
}

impl<'a> DigestFile<'a> {
    /// Reads the header and the index. O(snapshots); takes 16 bytes of memory for each snapshot that has bytes of
    /// its own. Reads no snapshot.
    ///
    /// # Errors
    /// If the bytes do not begin with a whole header of version 1, or have no index. An index that is cut is no
    /// error: see [`damage`](Self::damage).
    pub fn new(bytes: &'a [u8]) -> Result<Self, DecodeError> {
        Layout::read(bytes).map(|layout| Self { bytes, layout })
    }

    /// When the recording began.
    pub const fn start(&self) -> StartTime {
        self.layout.start
    }

    /// The time between snapshots.
    pub const fn interval(&self) -> Duration {
        Duration::from_millis(self.layout.interval_ms)
    }

    /// The number of snapshots.
    pub fn len(&self) -> usize {
        self.layout.len
    }

    /// Whether there are no snapshots.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Why the index ends early, if it does.
    pub const fn damage(&self) -> Option<DecodeError> {
        self.layout.damage
    }

    /// The time of snapshot `position`, from 0: (`position` + 1) × interval.
    ///
    /// heapprof 1.0 labels its snapshots one interval earlier.
    pub fn time(&self, position: usize) -> Option<Elapsed> {
        self.layout.time(position)
    }

    /// Whether snapshot `position` shares the bytes of the previous one, and so equals it.
    pub fn shares(&self, position: usize) -> bool {
        self.layout.shares(position)
    }

    /// The entries of snapshot `position`, from 0. Reads no other snapshot.
    pub fn entries(&self, position: usize) -> Option<Entries<'a>> {
        self.layout.entries(self.bytes, position)
    }

    /// The bytes after the index.
    pub fn trailer(&self) -> &'a [u8] {
        self.layout.index_and_trailer(self.bytes).1
    }
}

/// The entries of one snapshot, heaviest first: a trace, or `None` for unknown, and its bytes.
///
/// If a trace has several entries, they add up. An error ends the iteration.
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
    /// The file up to the next snapshot.
    bytes: &'a [u8],
    file_len: usize,
    /// The offset of the snapshot.
    offset: u64,
    /// The position of the first entry.
    first: usize,
    /// The position of the next entry.
    at: usize,
    left: u64,
    /// The weight of the previous entry.
    before: Option<i64>,
    /// Why the snapshot has no entries.
    error: Option<Kind>,
}

impl<'a> Entries<'a> {
    fn new(bytes: &'a [u8], offset: u64, file_len: usize) -> Self {
        let header = || {
            let mut cursor = Cursor::new(bytes, position(offset, file_len)?);
            cursor.magic(SNAPSHOT)?;
            Ok((cursor.varint()?, cursor.at()))
        };
        let (left, first, error) = match header() {
            Ok((left, first)) => (left, first, None),
            // One item for the error.
            Err(kind) => (1, 0, Some(kind)),
        };
        Self {
            bytes,
            file_len,
            offset,
            first,
            at: first,
            left,
            before: None,
            error,
        }
    }

    /// The offset of the snapshot in bytes from the start of the file.
    #[doc(alias = "offsets")]
    pub const fn offset(&self) -> u64 {
        self.offset
    }

    /// The bytes of the entries that were decoded so far.
    pub(crate) fn read_bytes(&self) -> &'a [u8] {
        self.bytes.get(self.first..self.at).unwrap_or_default()
    }

    #[inline]
    fn entry(&mut self) -> Result<(Option<TraceId>, i64), Kind> {
        if let Some(kind) = self.error {
            return Err(kind);
        }
        let (index, at) = varint(self.bytes, self.at)?;
        let (size, at) = varint(self.bytes, at)?;
        let trace = u32::try_from(index).ok().and_then(TraceId::new);
        if trace.is_none() && index != 0 {
            return Err(Kind::TraceIndex { found: index });
        }
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
        self.left = self.left.checked_sub(1)?;
        Some(self.entry().map_err(|kind| {
            self.left = 0;
            let is_overlap = kind == Kind::Cut && self.bytes.len() < self.file_len;
            let kind = if is_overlap { Kind::Overlap } else { kind };
            DecodeError::new(FileKind::Hpc, self.offset, kind)
        }))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        // An entry takes at least two bytes, whatever number of entries the file states.
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

    /// Three snapshots, byte by byte as heapprof 1.0 writes them. The second shares the bytes of the first.
    #[rustfmt::skip]
    const BYTES: &[u8] = &[
        0, 0, 0, 1,                             // version
        0, 0, 0, 0, 0x6b, 0x02, 0xbe, 0xbb,     // start, seconds
        0, 0, 0, 0, 0x07, 0x5b, 0xcd, 0x15,     // start, nanoseconds
        0xe0, 0xd4, 0x03,                       // interval: 60000 ms
        0, 0, 0, 0, 0, 0, 0, 53,                // index offset
        // at 31: first and second snapshot
        0x53, 0x79, 0xa0, 0xbd,                 // magic number
        2,                                      // entries
        7, 0xe8, 0x07,                          //   trace 7: 1000
        0, 0xe7, 0x07,                          //   unknown: 999 less, 1
        // at 42: third
        0x53, 0x79, 0xa0, 0xbd,                 // magic number
        1,                                      // entries
        0x80, 0x01,                             //   trace 128:
        0xff, 0xff, 0xff, 0xff,                 //   -1
        // at 59: index; `bytes` appends the rest
    ];

    fn bytes() -> Vec<u8> {
        let mut bytes = BYTES.to_vec();
        bytes.extend([0xff, 0xff, 0xff, 0xff, 0xff, 0x01]); // -1 has ten bytes
        let index_at = u8::try_from(bytes.len()).unwrap();
        bytes[30] = index_at;
        bytes.extend([0xab, 0x93, 0x57, 0x76]); // magic number
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
    fn reads_and_writes_the_bytes_of_heapprof() {
        let bytes = bytes();
        let digest = DigestFile::new(&bytes).unwrap();
        assert_eq!(
            (digest.start(), digest.interval(), digest.len()),
            (start(), Duration::from_secs(60), 3)
        );
        assert_eq!(digest.time(0), Some(Elapsed::from_secs(60)));
        assert_eq!(digest.time(2), Some(Elapsed::from_secs(180)));
        assert_eq!(digest.time(3), None);
        assert_eq!(digest.time(usize::MAX), None);
        assert_eq!(entries_of(&digest, 0).unwrap(), [(7, 1000), (0, 1)]);
        assert_eq!(entries_of(&digest, 1).unwrap(), [(7, 1000), (0, 1)]);
        assert_eq!(entries_of(&digest, 2).unwrap(), [(128, -1)]);
        assert_eq!(
            [0, 1, 2, 3, 4].map(|at| digest.shares(at)),
            [false, true, false, false, false]
        );
        assert!(digest.entries(3).is_none() && digest.entries(usize::MAX).is_none());
        assert_eq!(digest.trailer(), b"");

        let mut writer = DigestWriter::new(
            io::Cursor::new(Vec::new()),
            start(),
            Duration::from_secs(60),
        )
        .unwrap();
        writer
            .write_snapshot([(TraceId::new(7), 1000), (None, 1)])
            .unwrap();
        writer.write_repeat().unwrap();
        writer.write_snapshot([(TraceId::new(128), -1)]).unwrap();
        assert_eq!(writer.finish(&[]).unwrap().into_inner(), bytes);
    }

    #[test]
    fn round_trips_weights_of_64_bits() {
        let weights = [i64::MAX, 0, -1, i64::MIN, i64::MIN];
        let mut writer = DigestWriter::new(
            io::Cursor::new(Vec::new()),
            start(),
            Duration::from_millis(1),
        )
        .unwrap();
        writer
            .write_snapshot(weights.map(|weight| (TraceId::new(5), weight)))
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
    fn cut_index_keeps_its_whole_snapshots() {
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
    fn rejects_impossible_headers_offsets_and_counts() {
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

        // A snapshot without its magic number, an offset beyond the end, and below, 2^63 entries.
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
        // A snapshot that runs into the next one, and one that runs into the index.
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
    fn rejects_trace_index_over_30_bits_and_weight_below_64_bits() {
        let snapshot = |entries: &[u64]| {
            let mut out = Vec::new();
            for &field in entries {
                push_varint(&mut out, field);
            }
            let mut writer = DigestWriter::new(
                io::Cursor::new(Vec::new()),
                start(),
                Duration::from_millis(1),
            )
            .unwrap();
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

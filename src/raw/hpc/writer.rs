//! [`DigestWriter`], the writer of `.hpc` files.

use std::io::{Seek, SeekFrom, Write};
use std::time::Duration;

use super::{INDEX, SNAPSHOT, VERSION, snapshot_micros, whole_millis};
use crate::error::EncodeError;
use crate::id::TraceId;
use crate::raw::block::{push_fixed32, push_fixed64, push_varint};
use crate::time::StartTime;

/// Appends an entry. `before` is the weight of the previous entry of the snapshot.
#[inline]
pub(crate) fn push_entry(out: &mut Vec<u8>, before: Option<i64>, trace: u32, weight: i64) {
    push_varint(out, u64::from(trace));
    push_varint(
        out,
        match before {
            None => weight.cast_unsigned(),
            Some(before) => before.abs_diff(weight),
        },
    );
}

/// Writes a `.hpc` file, snapshot by snapshot, to any [`Write`] + [`Seek`].
///
/// [`finish`](Self::finish) seeks back to the header and stores the offset of the index there. A file without it
/// has no index, and readers reject it. heapprof 1.0 and [`Digest::open`](crate::Digest::open) read a finished
/// file. A [`Reader`](crate::Reader) uses a digest of its own accord only if the trailer identifies the log, as in
/// the digests that it [makes](crate::Reader::make_digest).
///
/// ```
/// use heapprof::raw::DigestWriter;
/// use heapprof::{Digest, Elapsed, StartTime, TraceId};
/// use std::io::Cursor;
/// use std::time::Duration;
///
/// let mut writer = DigestWriter::new(Cursor::new(Vec::new()), StartTime::new(1, 0), Duration::from_secs(60))?;
/// writer.write_snapshot([(TraceId::new(2), 5000), (None, 300)])?;
/// writer.write_repeat()?;
/// assert_eq!(writer.count(), 2);
///
/// let digest = Digest::from_bytes(writer.finish(&[])?.into_inner())?;
/// let last = digest.snapshot_at(Elapsed::MAX)?;
/// assert_eq!((last.time(), last.usage().total()), (Elapsed::from_secs(120), 5300));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct DigestWriter<W> {
    out: W,
    /// The position in `out` of the header field that holds the offset of the index.
    index_field: u64,
    interval_ms: u64,
    /// The number of bytes written.
    len: u64,
    count: u64,
    /// The offset of the last snapshot with bytes of its own.
    last: u64,
    /// The encoded index so far.
    index: Vec<u8>,
}

impl<W: Write + Seek> DigestWriter<W> {
    /// Writes the header at the current position of `out`.
    ///
    /// # Errors
    /// If the interval is not a whole number of milliseconds, at least 1, if the first snapshot would be later than
    /// 2⁶³ − 1 µs, or if `out` fails.
    pub fn new(mut out: W, start: StartTime, interval: Duration) -> Result<Self, EncodeError> {
        let interval_ms =
            whole_millis(interval).ok_or(EncodeError::Interval { found: interval })?;
        let mut header = Vec::new();
        push_fixed32(&mut header, VERSION);
        push_fixed64(&mut header, start.seconds());
        push_fixed64(&mut header, start.nanoseconds());
        push_varint(&mut header, interval_ms);
        let index_field = out.stream_position()?.saturating_add(header.len() as u64);
        push_fixed64(&mut header, 0);
        out.write_all(&header)?;
        Ok(Self {
            out,
            index_field,
            interval_ms,
            len: header.len() as u64,
            count: 0,
            last: 0,
            index: Vec::new(),
        })
    }

    /// Writes the next snapshot from pairs of a trace, or `None` for unknown, and its bytes, heaviest first.
    ///
    /// # Errors
    /// If an entry is heavier than the previous one, or if the time of the snapshot exceeds 64 bits of
    /// microseconds. In both cases nothing is written. Also if `out` fails.
    pub fn write_snapshot(
        &mut self,
        entries: impl IntoIterator<Item = (Option<TraceId>, i64)>,
    ) -> Result<(), EncodeError> {
        let mut body = Vec::new();
        let mut before = None;
        let mut count = 0;
        for (position, (trace, weight)) in entries.into_iter().enumerate() {
            if before.is_some_and(|before| before < weight) {
                return Err(EncodeError::Order { position });
            }
            push_entry(&mut body, before, TraceId::to_disk(trace), weight);
            before = Some(weight);
            count += 1;
        }
        self.encoded(count, &body)
    }

    /// Writes the next snapshot from its number of entries and their bytes.
    pub(crate) fn encoded(&mut self, count: u64, body: &[u8]) -> Result<(), EncodeError> {
        self.check_time()?;
        let mut header = Vec::new();
        push_fixed32(&mut header, SNAPSHOT);
        push_varint(&mut header, count);
        self.out.write_all(&header)?;
        self.out.write_all(body)?;
        push_varint(&mut self.index, self.len - self.last);
        self.last = self.len;
        self.len += (header.len() + body.len()) as u64;
        self.count += 1;
        Ok(())
    }

    /// Writes a snapshot that equals the previous one. It takes one byte.
    ///
    /// # Errors
    /// If there is no previous snapshot, or if the time of this one exceeds 64 bits of microseconds.
    pub fn write_repeat(&mut self) -> Result<(), EncodeError> {
        if self.count == 0 {
            return Err(EncodeError::NothingToRepeat);
        }
        self.check_time()?;
        push_varint(&mut self.index, 0);
        self.count += 1;
        Ok(())
    }

    /// Checks that the next snapshot has a time.
    fn check_time(&self) -> Result<(), EncodeError> {
        let number = self.count;
        match snapshot_micros(number + 1, self.interval_ms) {
            Some(_) => Ok(()),
            None => Err(EncodeError::SnapshotTime { number }),
        }
    }

    /// The number of snapshots so far.
    pub const fn count(&self) -> u64 {
        self.count
    }

    /// Writes the index, `trailer`, and the offset of the index in the header; flushes, and returns `out`.
    ///
    /// # Errors
    /// If `out` fails.
    pub fn finish(self, trailer: &[u8]) -> Result<W, EncodeError> {
        self.finish_with(|_| trailer.to_vec())
    }

    /// As [`finish`](Self::finish), with a trailer that depends on the bytes of the index.
    pub(crate) fn finish_with(
        mut self,
        trailer: impl FnOnce(&[u8]) -> Vec<u8>,
    ) -> Result<W, EncodeError> {
        let mut index = Vec::new();
        push_fixed32(&mut index, INDEX);
        push_varint(&mut index, self.count);
        index.append(&mut self.index);
        self.out.write_all(&index)?;
        self.out.write_all(&trailer(&index))?;

        let mut index_offset = Vec::new();
        push_fixed64(&mut index_offset, self.len);
        self.out.seek(SeekFrom::Start(self.index_field))?;
        self.out.write_all(&index_offset)?;
        self.out.seek(SeekFrom::End(0))?;
        self.out.flush()?;
        Ok(self.out)
    }
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::super::LARGEST_INTERVAL;
    use super::*;
    use crate::raw::DigestFile;

    fn start() -> StartTime {
        StartTime::new(7, 8)
    }

    #[test]
    fn writes_at_the_current_position_of_a_file() {
        let mut out = io::Cursor::new(b"before".to_vec());
        out.set_position(6);
        let mut writer = DigestWriter::new(out, start(), Duration::from_secs(60)).unwrap();
        writer.write_snapshot([(TraceId::new(7), 1)]).unwrap();
        let out = writer.finish(&[]).unwrap().into_inner();
        let digest = DigestFile::new(&out[6..]).unwrap();
        let entries: Vec<_> = digest.entries(0).unwrap().collect();
        assert_eq!(entries, [Ok((TraceId::new(7), 1))]);
    }

    #[test]
    fn rejects_ascending_weights_late_snapshots_and_wrong_intervals() {
        let mut writer = DigestWriter::new(
            io::Cursor::new(Vec::new()),
            start(),
            Duration::from_millis(1),
        )
        .unwrap();
        assert!(matches!(
            writer.write_repeat(),
            Err(EncodeError::NothingToRepeat)
        ));
        assert!(matches!(
            writer.write_snapshot([(None, 1), (None, 1), (None, 2)]),
            Err(EncodeError::Order { position: 2 })
        ));
        assert_eq!(writer.count(), 0);
        let out = io::Cursor::new(Vec::new());
        let mut late =
            DigestWriter::new(out, start(), Duration::from_millis(LARGEST_INTERVAL)).unwrap();
        late.write_snapshot([]).unwrap();
        late.write_repeat().unwrap();
        assert!(matches!(
            late.write_repeat(),
            Err(EncodeError::SnapshotTime { number: 2 })
        ));
        assert!(matches!(
            late.write_snapshot([]),
            Err(EncodeError::SnapshotTime { number: 2 })
        ));
        let bytes = late.finish(&[]).unwrap().into_inner();
        assert_eq!(DigestFile::new(&bytes).unwrap().len(), 2);
        let wrong = [0, LARGEST_INTERVAL + 1, u64::MAX].map(Duration::from_millis);
        for wrong in wrong.into_iter().chain([Duration::from_micros(1500)]) {
            let out = io::Cursor::new(Vec::new());
            assert!(matches!(
                DigestWriter::new(out, start(), wrong),
                Err(EncodeError::Interval { .. })
            ));
        }
    }
}

//! The writer of `.hpc` files.

use std::io::{Seek, SeekFrom, Write};

use super::{INDEX, LARGEST_INTERVAL, SNAPSHOT, VERSION};
use crate::error::EncodeError;
use crate::id::TraceId;
use crate::raw::block::{SHORT, push_fixed32, push_fixed64, push_varint, short_varint};
use crate::time::StartTime;

/// Appends an entry. `before` is the weight of the entry before it.
#[inline]
pub(crate) fn push_entry(out: &mut Vec<u8>, before: Option<i64>, trace: u32, weight: i64) {
    let less = match before {
        None => weight.cast_unsigned(),
        Some(before) => before.abs_diff(weight),
    };
    match u32::try_from(less) {
        Ok(less) if (trace | less) >> SHORT == 0 => {
            let (trace, trace_len) = short_varint(trace);
            let (less, less_len) = match less {
                0..0x80 => (u64::from(less), 1),
                _ => short_varint(less),
            };
            let bytes = trace | less << (u8::BITS * trace_len);
            // Writing eight bytes and cutting the rest off is faster than writing a variable number.
            let len = out.len() + (trace_len + less_len) as usize;
            out.extend_from_slice(&bytes.to_le_bytes());
            out.truncate(len);
        }
        _ => {
            push_varint(out, u64::from(trace));
            push_varint(out, less);
        }
    }
}

/// Writes a `.hpc` file, snapshot by snapshot, to any [`Write`] that can [`Seek`] back to the
/// header, where the place of the index is written last.
///
/// Without [`finish`](Self::finish) the file has no index, and no reader takes it. With it,
/// [`Digest::open`](crate::Digest::open) reads it, as heapprof 1.0 does; but a
/// [`Reader`](crate::Reader) takes a digest by itself only if that says which log it is of, as those
/// do that it [makes](crate::Reader::make_digest).
///
/// ```
/// use heapprof::raw::DigestWriter;
/// use heapprof::{Digest, Elapsed, StartTime, TraceId};
/// use std::io::Cursor;
///
/// let mut writer = DigestWriter::new(Cursor::new(Vec::new()), StartTime::new(1, 0), 60_000)?;
/// writer.snapshot([(TraceId::new(2), 5000), (None, 300)])?;
/// writer.repeat()?;
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
    /// Where in `out` the file begins.
    base: u64,
    /// Where the header says where the index is.
    index_field: u64,
    interval_ms: u64,
    /// How many bytes were written.
    len: u64,
    count: u64,
    /// Where the last snapshot begins.
    last: u64,
    /// The index so far.
    index: Vec<u8>,
    record: Vec<u8>,
}

impl<W: Write + Seek> DigestWriter<W> {
    /// Writes the header, where `out` stands.
    ///
    /// # Errors
    /// If the interval is 0 or its first snapshot would be over 2⁶³ − 1 µs, or if `out` fails.
    pub fn new(mut out: W, start: StartTime, interval_ms: u64) -> Result<Self, EncodeError> {
        if !(1..=LARGEST_INTERVAL).contains(&interval_ms) {
            return Err(EncodeError::Interval {
                millis: interval_ms,
            });
        }
        let base = out.stream_position()?;
        let mut record = Vec::new();
        push_fixed32(&mut record, VERSION);
        push_fixed64(&mut record, start.seconds());
        push_fixed64(&mut record, start.nanoseconds());
        push_varint(&mut record, interval_ms);
        let index_field = record.len() as u64;
        push_fixed64(&mut record, 0);
        out.write_all(&record)?;
        Ok(Self {
            out,
            base,
            index_field,
            interval_ms,
            len: record.len() as u64,
            count: 0,
            last: 0,
            index: Vec::new(),
            record,
        })
    }

    /// Writes the next snapshot: pairs of a trace, or `None` for unknown, and its bytes, heaviest
    /// first.
    ///
    /// # Errors
    /// If an entry is heavier than the one before it, or the time of the snapshot leaves 64 bits of
    /// microseconds; then nothing is written. Or if the writer fails.
    pub fn snapshot(
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
        self.record.clear();
        push_fixed32(&mut self.record, SNAPSHOT);
        push_varint(&mut self.record, count);
        let at = self.len;
        for part in [&self.record, body] {
            self.out.write_all(part)?;
            self.len += part.len() as u64;
        }
        push_varint(&mut self.index, at - self.last);
        self.last = at;
        self.count += 1;
        Ok(())
    }

    /// Makes the next snapshot equal to the one before: that takes one byte.
    ///
    /// # Errors
    /// If there is no snapshot before, or the time of this one leaves 64 bits of microseconds.
    pub fn repeat(&mut self) -> Result<(), EncodeError> {
        if self.count == 0 {
            return Err(EncodeError::NothingToRepeat);
        }
        self.check_time()?;
        push_varint(&mut self.index, 0);
        self.count += 1;
        Ok(())
    }

    /// Whether the next snapshot has a time.
    fn check_time(&self) -> Result<(), EncodeError> {
        let millis = (self.count + 1).checked_mul(self.interval_ms);
        match millis.and_then(|millis| millis.checked_mul(1000)) {
            Some(_) => Ok(()),
            None => Err(EncodeError::SnapshotTime { number: self.count }),
        }
    }

    /// How many snapshots there are so far.
    pub const fn count(&self) -> u64 {
        self.count
    }

    /// Writes the index, then `trailer`, and last where in the file the index is; flushes.
    ///
    /// # Errors
    /// If the writer fails.
    pub fn finish(self, trailer: &[u8]) -> Result<W, EncodeError> {
        self.finish_with(|_| trailer.to_vec())
    }

    /// As [`finish`](Self::finish), with a trailer that depends on the bytes of the index.
    pub(crate) fn finish_with(
        mut self,
        trailer: impl FnOnce(&[u8]) -> Vec<u8>,
    ) -> Result<W, EncodeError> {
        self.record.clear();
        push_fixed32(&mut self.record, INDEX);
        push_varint(&mut self.record, self.count);
        self.record.append(&mut self.index);
        let trailer = trailer(&self.record);
        self.out.write_all(&self.record)?;
        self.out.write_all(&trailer)?;

        self.record.clear();
        push_fixed64(&mut self.record, self.len);
        self.out
            .seek(SeekFrom::Start(self.base.saturating_add(self.index_field)))?;
        self.out.write_all(&self.record)?;
        self.out.seek(SeekFrom::End(0))?;
        self.out.flush()?;
        Ok(self.out)
    }
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;
    use crate::raw::DigestFile;

    fn start() -> StartTime {
        StartTime::new(7, 8)
    }

    #[test]
    fn the_writer_begins_where_its_file_stands() {
        let mut out = io::Cursor::new(b"before".to_vec());
        out.set_position(6);
        let mut writer = DigestWriter::new(out, start(), 60_000).unwrap();
        writer.snapshot([(TraceId::new(7), 1)]).unwrap();
        let out = writer.finish(&[]).unwrap().into_inner();
        let digest = DigestFile::new(&out[6..]).unwrap();
        let entries: Vec<_> = digest.entries(0).unwrap().collect();
        assert_eq!(entries, [Ok((TraceId::new(7), 1))]);
    }

    #[test]
    fn the_writer_refuses_what_does_not_descend_and_what_cannot_be_repeated() {
        let mut writer = DigestWriter::new(io::Cursor::new(Vec::new()), start(), 1).unwrap();
        assert!(matches!(writer.repeat(), Err(EncodeError::NothingToRepeat)));
        assert!(matches!(
            writer.snapshot([(None, 1), (None, 1), (None, 2)]),
            Err(EncodeError::Order { position: 2 })
        ));
        assert_eq!(writer.count(), 0);
        let out = io::Cursor::new(Vec::new());
        let mut late = DigestWriter::new(out, start(), LARGEST_INTERVAL).unwrap();
        late.snapshot([]).unwrap();
        late.repeat().unwrap();
        assert!(matches!(
            late.repeat(),
            Err(EncodeError::SnapshotTime { number: 2 })
        ));
        assert!(matches!(
            late.snapshot([]),
            Err(EncodeError::SnapshotTime { number: 2 })
        ));
        let bytes = late.finish(&[]).unwrap().into_inner();
        assert_eq!(DigestFile::new(&bytes).unwrap().len(), 2);
        for wrong in [0, LARGEST_INTERVAL + 1, u64::MAX] {
            let out = io::Cursor::new(Vec::new());
            assert!(matches!(
                DigestWriter::new(out, start(), wrong),
                Err(EncodeError::Interval { .. })
            ));
        }
    }
}

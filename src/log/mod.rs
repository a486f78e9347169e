//! The log of a profile: a file that is read through a buffer, or memory.
//!
//! A file is read and not mapped. Reading is as fast, keeps memory at one buffer whatever the length, and a file
//! that shrinks meanwhile is a cut log instead of a fault.

#![expect(
    clippy::inline_always,
    reason = "a call for each event costs as much as decoding it"
)]

mod events;
mod pass;

use std::path::Path;
use std::sync::Arc;

pub use events::LogEvents;
pub(crate) use pass::{Pass, PassEnd};

use crate::bytes::{Bytes, FileIdentity, RandomAccessFile};
use crate::error::{DecodeError, DecodeErrorKind, Error, FileKind, Result};
use crate::raw::LogPosition;
use crate::raw::hpd::decoder::Decoder;
use crate::raw::hpd::windows::{BufferedWindows, ReadAt, SliceWindows, Windows};
use crate::raw::rates::SamplingRates;

/// A log.
#[derive(Debug)]
pub(crate) enum Log {
    /// A file, up to the length that it had when it was opened; with the identity of the `.hpm` file of the
    /// same recording.
    File(RandomAccessFile, Option<Arc<FileIdentity>>),
    Memory(Bytes),
}

impl Log {
    pub(crate) fn open(path: &Path, recording: Option<Arc<FileIdentity>>) -> Result<Self> {
        Ok(Self::File(RandomAccessFile::open(path)?, recording))
    }

    pub(crate) fn path(&self) -> Option<&Path> {
        match self {
            Self::File(file, _) => Some(file.path()),
            Self::Memory(_) => None,
        }
    }

    /// The length in bytes.
    pub(crate) fn len(&self) -> u64 {
        match self {
            Self::File(file, _) => file.len(),
            Self::Memory(bytes) => bytes.len() as u64,
        }
    }

    /// The events from `position` on, with the times of its clock. An event whose estimate with `rates` leaves
    /// 63 bits ends the log.
    pub(crate) fn events<'a>(
        &'a self,
        rates: &'a SamplingRates,
        position: LogPosition,
    ) -> LogEvents<'a> {
        LogEvents::new(self, rates, position)
    }

    fn decoder(&self, position: LogPosition) -> Decoder<LogWindows<'_>> {
        let windows = match self {
            Self::File(file, recording) => LogWindows::File(BufferedWindows::new(FileSource {
                file,
                recording: recording.as_deref(),
            })),
            Self::Memory(bytes) => LogWindows::Memory(SliceWindows::new(bytes)),
        };
        Decoder::new(windows, position)
    }

    /// The record that ended the log early, once the decoder is at the end. A file that is shorter than when it
    /// was opened is cut.
    fn end_error(&self, decoder: &Decoder<LogWindows<'_>>) -> Option<DecodeError> {
        let offset = decoder.offset();
        let is_shorter = || {
            let cut = DecodeError::new(FileKind::Hpd, offset, DecodeErrorKind::Cut);
            (offset < self.len()).then_some(cut)
        };
        decoder.error().or_else(is_shorter)
    }
}

/// The file of a log, as the source of its windows.
#[derive(Debug)]
struct FileSource<'a> {
    file: &'a RandomAccessFile,
    recording: Option<&'a FileIdentity>,
}

impl ReadAt for FileSource<'_> {
    type Error = Error;

    fn read(&mut self, buffer: &mut [u8], offset: u64) -> Result<usize> {
        let len = self.file.read(buffer, offset)?;
        // A recorder that starts again truncates `.hpm` before the log. If `.hpm` is unchanged, the bytes that were
        // just read are of the same recording.
        if let Some(recording) = self.recording {
            recording.check()?;
        }
        Ok(len)
    }
}

/// The windows of a [`Log`].
#[derive(Debug)]
enum LogWindows<'a> {
    File(BufferedWindows<FileSource<'a>>),
    Memory(SliceWindows<'a>),
}

impl Windows for LogWindows<'_> {
    type Error = Error;

    #[inline(always)]
    fn rest(&self) -> &[u8] {
        match self {
            Self::File(windows) => windows.rest(),
            Self::Memory(windows) => windows.rest(),
        }
    }

    fn skip(&mut self, len: usize) {
        match self {
            Self::File(windows) => windows.skip(len),
            Self::Memory(windows) => windows.skip(len),
        }
    }

    #[inline(always)]
    fn take<R>(
        &mut self,
        is_branchy: bool,
        decode: impl for<'b> FnOnce(&'b [u8]) -> Option<(R, &'b [u8])>,
    ) -> Option<R> {
        match self {
            Self::File(windows) => windows.take(is_branchy, decode),
            Self::Memory(windows) => windows.take(is_branchy, decode),
        }
    }

    fn set_branchy(&mut self, is_branchy: bool) {
        match self {
            Self::File(windows) => windows.set_branchy(is_branchy),
            Self::Memory(windows) => windows.set_branchy(is_branchy),
        }
    }

    fn refill(&mut self, offset: u64) -> Result<bool> {
        match self {
            Self::File(windows) => windows.refill(offset),
            Self::Memory(windows) => {
                let Ok(has_more) = windows.refill(offset);
                Ok(has_more)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;
    use crate::raw::hpd::EventKind;
    use crate::raw::hpd::strategy::WINDOW_BYTES;
    use crate::raw::{EventLog, EventWriter};
    use crate::{TraceId, WallOffset};

    /// Events of all lengths, over several buffers.
    fn bytes() -> Vec<u8> {
        let mut writer = EventWriter::new(Vec::new());
        let mut wall = 0;
        for number in 0..120_000_u32 {
            wall += i64::from(number % 300);
            let size = u64::from(number % 7) << (number % 40);
            writer
                .write(
                    WallOffset::from_micros(wall),
                    TraceId::new(number),
                    size,
                    EventKind::Allocation,
                )
                .unwrap();
        }
        writer.into_inner()
    }

    fn file(bytes: &[u8]) -> tempfile::NamedTempFile {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(bytes).unwrap();
        file
    }

    #[test]
    fn file_equals_memory_over_every_refill() {
        let bytes = bytes();
        assert!(bytes.len() > 3 * WINDOW_BYTES);
        let plain: Vec<_> = EventLog::new(&bytes).events().map(Result::unwrap).collect();
        let rates = SamplingRates::unsampled();
        for skipped in [0, 1, 2, 5, 11, 77] {
            let mut early = EventLog::new(&bytes).events();
            let _ = early.by_ref().take(skipped).count();
            let file = file(&bytes);
            let log = Log::open(file.path(), None).unwrap();
            let mut events = log.events(&rates, early.position());
            let read: Vec<_> = events.by_ref().map(Result::unwrap).collect();
            assert_eq!(read, plain[skipped..]);
            assert_eq!(events.position().offset(), bytes.len() as u64);
            assert!(events.next().is_none());
        }
    }

    #[test]
    fn cut_is_found_wherever_the_buffer_ends() {
        let bytes = bytes();
        let rates = SamplingRates::unsampled();
        for cut in (WINDOW_BYTES - 20..WINDOW_BYTES + 20)
            .chain(2 * WINDOW_BYTES - 20..2 * WINDOW_BYTES + 20)
        {
            let mut plain = EventLog::new(&bytes[..cut]).events();
            let whole = plain.by_ref().flatten().count();
            let file = file(&bytes[..cut]);
            let log = Log::open(file.path(), None).unwrap();
            let mut events = log.events(&rates, LogPosition::START);
            assert_eq!(events.by_ref().map(Result::unwrap).count(), whole);
            assert_eq!(events.position(), plain.position());
            assert!(events.next().is_none());
            let at = plain.position().offset();
            let found = events.cut().map(|error| error.offset());
            assert_eq!(found, (at != cut as u64).then_some(at));
        }
    }

    #[test]
    fn shrunk_file_is_cut_and_grown_file_keeps_its_length() {
        let bytes = bytes();
        let rates = SamplingRates::unsampled();
        let mut file = file(&bytes);
        let log = Log::open(file.path(), None).unwrap();
        file.write_all(&bytes).unwrap();
        assert_eq!(log.events(&rates, LogPosition::START).count(), 120_000);

        let mut early = EventLog::new(&bytes).events();
        let _ = early.by_ref().take(50_000).count();
        let end = early.position().offset();
        file.as_file().set_len(end).unwrap();
        let mut events = log.events(&rates, LogPosition::START);
        assert_eq!(events.by_ref().map(Result::unwrap).count(), 50_000);
        assert_eq!(events.position().offset(), end);
        assert_eq!(events.cut().map(|error| error.offset()), Some(end));
    }

    #[test]
    fn estimate_over_63_bits_ends_the_log_at_its_event() {
        let mut writer = EventWriter::new(Vec::new());
        let mut write = |size| {
            let at = WallOffset::ZERO;
            writer.write(at, None, size, EventKind::Free).unwrap();
            writer.position().offset()
        };
        let second = write(1 << 31);
        write((1 << 31) + 1);
        write(5);
        let bytes = writer.into_inner();
        // A probability of 1 / (2^32 - 1).
        let rates = SamplingRates::from_stored([(u64::MAX, 1)]);
        let log = Log::Memory(Bytes::Owned(bytes.into()));
        let mut events = log.events(&rates, LogPosition::START);
        assert!(events.next().unwrap().is_ok());
        let error = events.next().unwrap().unwrap_err();
        let error = error.decode_error().unwrap();
        assert_eq!(error.offset(), second);
        assert_eq!(
            error.kind(),
            DecodeErrorKind::Estimate {
                size: (1 << 31) + 1
            }
        );
        assert!(events.next().is_none());
        assert_eq!(
            log.events(&SamplingRates::unsampled(), LogPosition::START)
                .count(),
            3
        );
    }

    #[test]
    fn zeros_end_the_log_and_are_counted_over_windows() {
        let mut bytes = bytes();
        let mut plain = EventLog::new(&bytes).events();
        plain.by_ref().take(1000).for_each(drop);
        let end = plain.position();
        bytes.truncate(usize::try_from(end.offset()).unwrap());
        for len in [64, WINDOW_BYTES, 2 * WINDOW_BYTES + 5] {
            let mut bytes = bytes.clone();
            bytes.resize(bytes.len() + len, 0);
            bytes.push(0x40);
            let rates = SamplingRates::unsampled();
            let file = file(&bytes);
            for log in [
                Log::open(file.path(), None).unwrap(),
                Log::Memory(Bytes::Owned(bytes.into())),
            ] {
                let mut events = log.events(&rates, LogPosition::START);
                assert_eq!(
                    events.by_ref().take(1000).filter_map(Result::ok).count(),
                    1000
                );
                let error = events.next().unwrap().unwrap_err();
                let error = error.decode_error().unwrap();
                let len = len as u64;
                assert_eq!(error.offset(), end.offset());
                assert_eq!(error.kind(), DecodeErrorKind::Zeros { len });
                assert!(events.next().is_none() && events.cut().is_none());
                assert_eq!(events.position(), end);
            }
        }
    }
}

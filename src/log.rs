//! The events of a log that is too large for memory, or may still grow: through a buffer.
//!
//! A log is read and not mapped. That is no slower, keeps memory at one buffer whatever the length,
//! and a file that shrinks meanwhile is a cut log and no fault.

use std::borrow::Cow;
use std::iter::FusedIterator;
use std::ops::ControlFlow;
use std::path::Path;

use crate::bytes::{Bytes, Pieces};
use crate::error::{DecodeError, DecodeErrorKind, Error, FileKind, Result};
use crate::raw::hpd::Decoder;
use crate::raw::rates::SamplingRates;
use crate::raw::{Event, LogPosition};

/// How much of a file is read at once.
const BUFFER: usize = 256 * 1024;

/// A log: a file, as long as it was when it was opened, or memory.
#[derive(Debug)]
pub(crate) enum Log {
    File(Pieces),
    Memory(Bytes),
}

impl Log {
    pub(crate) fn open(path: &Path) -> Result<Self> {
        Pieces::open(path).map(Self::File)
    }

    pub(crate) fn path(&self) -> Option<&Path> {
        match self {
            Self::File(file) => Some(file.path()),
            Self::Memory(_) => None,
        }
    }

    /// Its length in bytes.
    pub(crate) fn len(&self) -> u64 {
        match self {
            Self::File(file) => file.len(),
            Self::Memory(bytes) => bytes.len() as u64,
        }
    }

    /// The events from `position` on. An event whose estimate with `rates` leaves 63 bits ends the
    /// log.
    pub(crate) fn events<'a>(
        &'a self,
        rates: &'a SamplingRates,
        position: LogPosition,
    ) -> LogEvents<'a> {
        let bytes = match self {
            Self::File(_) => Cow::Owned(Vec::new()),
            Self::Memory(bytes) => {
                let skipped = usize::try_from(position.offset()).unwrap_or(usize::MAX);
                Cow::Borrowed(bytes.get(skipped..).unwrap_or_default())
            }
        };
        LogEvents {
            log: self,
            rates,
            bytes,
            decoder: Decoder::at(position, None),
            ended: false,
        }
    }
}

/// Where a walk over a log ended, and why.
#[derive(Debug)]
pub(crate) struct Ended {
    /// After the last event that was taken.
    pub(crate) place: LogPosition,
    /// The first event that is whole but makes no sense.
    pub(crate) strange: Option<DecodeError>,
    /// What is wrong with the record after the last event.
    pub(crate) error: Option<DecodeError>,
    /// Whether it was broken off before the end.
    pub(crate) stopped: bool,
}

impl Log {
    /// Takes the [events](Self::events) one by one, each with the place before it, until `take`
    /// breaks off: that event is not taken any more.
    ///
    /// The same as a loop over the iterator, but what `take` does cannot make the decoder live in
    /// memory, which takes twice as long.
    #[inline]
    pub(crate) fn each(
        &self,
        rates: &SamplingRates,
        from: LogPosition,
        mut take: impl FnMut(Event, LogPosition) -> ControlFlow<()>,
    ) -> Result<Ended> {
        let LogEvents {
            mut bytes,
            mut decoder,
            ..
        } = self.events(rates, from);
        loop {
            let slice = &*bytes;
            let end = loop {
                let before = decoder.position();
                match decoder.next(slice, Some(rates)) {
                    Some(Ok(event)) => {
                        if take(event, before).is_break() {
                            return Ok(Ended {
                                place: before,
                                strange: decoder.strange,
                                error: None,
                                stopped: true,
                            });
                        }
                    }
                    Some(Err(error)) => break Some(error),
                    None => break None,
                }
            };
            let error = match go_on(self, bytes, decoder, end) {
                Ok(Some(more)) => {
                    (bytes, decoder) = more;
                    continue;
                }
                Ok(None) => None,
                Err(Error::Decode { source, .. }) => Some(source),
                Err(error) => return Err(error),
            };
            return Ok(Ended {
                place: decoder.position(),
                strange: decoder.strange,
                error,
                stopped: false,
            });
        }
    }
}

/// The events of a profile's log, in the order of the file.
///
/// Each item is an event, or the error with which reading ends. A log that was cut, as that of a
/// program that was killed, ends with an error whose [`DecodeError::is_cut`] holds; everything
/// before it is whole. After an error there is nothing.
///
/// Made by [`Reader::events`](crate::Reader::events).
#[derive(Debug)]
pub struct LogEvents<'a> {
    log: &'a Log,
    rates: &'a SamplingRates,
    /// What was read of a file, or the whole of a log in memory.
    bytes: Cow<'a, [u8]>,
    decoder: Decoder,
    ended: bool,
}

impl LogEvents<'_> {
    /// Where the next event begins, with both clocks: after the last whole event, also when that
    /// was followed by an error.
    pub const fn position(&self) -> LogPosition {
        self.decoder.position()
    }

    /// The first event so far that is whole but makes no sense: it has a million microseconds or
    /// more. It counts all the same.
    pub const fn strange(&self) -> Option<DecodeError> {
        self.decoder.strange
    }
}

impl Iterator for LogEvents<'_> {
    type Item = Result<Event>;

    #[inline]
    fn next(&mut self) -> Option<Result<Event>> {
        loop {
            let end = match self.decoder.next(&self.bytes, Some(self.rates)) {
                Some(Ok(event)) => return Some(Ok(event)),
                Some(Err(error)) => Some(error),
                None => None,
            };
            if self.ended {
                return None;
            }
            // By value, so that this iterator need not live in memory.
            let bytes = std::mem::take(&mut self.bytes);
            match go_on(self.log, bytes, self.decoder, end) {
                Ok(Some((bytes, decoder))) => (self.bytes, self.decoder) = (bytes, decoder),
                Ok(None) => {
                    self.ended = true;
                    return None;
                }
                Err(error) => {
                    self.ended = true;
                    return Some(Err(error));
                }
            }
        }
    }
}

impl FusedIterator for LogEvents<'_> {}

/// What follows once the bytes in hand are used up or end inside an event: more bytes and a decoder
/// that stands at their beginning, or nothing, or the error with which the log ends.
#[inline(never)]
fn go_on<'a>(
    log: &Log,
    bytes: Cow<'a, [u8]>,
    decoder: Decoder,
    end: Option<DecodeError>,
) -> Result<Option<(Cow<'a, [u8]>, Decoder)>> {
    let position = decoder.position();
    if let Log::File(file) = log
        && end.is_none_or(|error| error.is_cut())
    {
        let in_hand = decoder.left(bytes.len());
        let mut buffer = bytes.into_owned();
        buffer.resize(BUFFER, 0);
        let read = file.read(&mut buffer, position.offset())?;
        if read > in_hand {
            buffer.truncate(read);
            let decoder = Decoder::at(position, decoder.strange);
            return Ok(Some((Cow::Owned(buffer), decoder)));
        }
    }
    // A file that was longer when it was opened is a cut one too.
    let shorter = || {
        (position.offset() < log.len())
            .then(|| DecodeError::new(FileKind::Hpd, position.offset(), DecodeErrorKind::Cut))
    };
    match end.or_else(shorter) {
        None => Ok(None),
        Some(source) => Err(Error::Decode {
            path: log.path().map(Path::to_owned),
            source,
        }),
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;
    use crate::raw::{EventKind, EventLog, EventWriter};
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
    fn a_file_gives_what_its_bytes_give_over_every_refill() {
        let bytes = bytes();
        assert!(bytes.len() > 3 * BUFFER);
        let plain: Vec<_> = EventLog::new(&bytes).events().map(Result::unwrap).collect();
        let rates = SamplingRates::unsampled();
        for skipped in [0, 1, 2, 5, 11, 77] {
            let mut early = EventLog::new(&bytes).events();
            let _ = early.by_ref().take(skipped).count();
            let file = file(&bytes);
            let log = Log::open(file.path()).unwrap();
            let mut events = log.events(&rates, early.position());
            let read: Vec<_> = events.by_ref().map(Result::unwrap).collect();
            assert_eq!(read, plain[skipped..]);
            assert_eq!(events.position().offset(), bytes.len() as u64);
            assert!(events.next().is_none());
        }
    }

    #[test]
    fn a_cut_is_told_once_with_the_path_wherever_the_buffer_ends() {
        let bytes = bytes();
        let rates = SamplingRates::unsampled();
        for cut in (BUFFER - 20..BUFFER + 20).chain(2 * BUFFER - 20..2 * BUFFER + 20) {
            let mut plain = EventLog::new(&bytes[..cut]).events();
            let whole = plain.by_ref().flatten().count();
            let file = file(&bytes[..cut]);
            let log = Log::open(file.path()).unwrap();
            let mut events = log.events(&rates, LogPosition::START);
            assert_eq!(events.by_ref().take_while(Result::is_ok).count(), whole);
            assert_eq!(events.position(), plain.position());
            assert!(events.next().is_none());

            let mut events = log.events(&rates, LogPosition::START);
            let error = events.find_map(Result::err);
            let at = plain.position().offset();
            assert_eq!(error.is_none(), at == cut as u64);
            if let Some(error) = error {
                assert!(
                    error
                        .to_string()
                        .starts_with(&file.path().display().to_string())
                );
                let error = error.decode_error().unwrap();
                assert_eq!((error.offset(), error.is_cut()), (at, true));
            }
        }
    }

    #[test]
    fn a_file_that_shrinks_is_cut_and_one_that_grows_is_as_it_was() {
        let bytes = bytes();
        let rates = SamplingRates::unsampled();
        let mut file = file(&bytes);
        let log = Log::open(file.path()).unwrap();
        file.write_all(&bytes).unwrap();
        assert_eq!(log.events(&rates, LogPosition::START).count(), 120_000);

        let mut early = EventLog::new(&bytes).events();
        let _ = early.by_ref().take(50_000).count();
        let end = early.position().offset();
        file.as_file().set_len(end).unwrap();
        let mut events = log.events(&rates, LogPosition::START);
        assert_eq!(events.by_ref().flatten().count(), 50_000);
        assert_eq!(events.position().offset(), end);
        let error = log
            .events(&rates, LogPosition::START)
            .last()
            .unwrap()
            .unwrap_err();
        assert!(error.decode_error().unwrap().is_cut());
    }

    #[test]
    fn an_estimate_over_63_bits_ends_the_log_at_its_event() {
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
}

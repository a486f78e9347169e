//! [`EventReader`]: the events of a log from any [`Read`], such as a socket, a pipe or a decompressor.

use std::io::{self, Read};
use std::iter::FusedIterator;

use super::decoder::Decoder;
use super::event::{Event, LogPosition};
use super::windows::{BufferedWindows, ReadAt};
use crate::error::{DecodeError, Error, Result};
use crate::time::Clock;

/// Iterator over the events of a log that comes from any [`Read`], in the order of the log.
///
/// Each item is an event, or the error that ends the log: [`Error::Decode`] for a record that is cut or no
/// event, [`Error::Stream`] if reading fails. An event is there as soon as all of its bytes are, unless it is
/// all zeros, which can be the end of the log. Memory: a buffer
/// of 256 KB, so no other buffer is needed.
///
/// ```
/// use heapprof::raw::EventReader;
///
/// let log = std::fs::File::open("examples/data/demo.hpd")?;
/// let mut events = EventReader::new(log);
/// let first = events.next().unwrap()?;
/// assert_eq!(first.size, 464);
///
/// // Resume from a position: the log must be read from its offset on.
/// let position = events.position();
/// let bytes = std::fs::read("examples/data/demo.hpd")?;
/// let rest = EventReader::resume(&bytes[position.offset() as usize..], position);
/// assert_eq!(rest.count(), 49_778);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct EventReader<R> {
    decoder: Decoder<BufferedWindows<ReadSource<R>>>,
}

impl<R: Read> EventReader<R> {
    /// The events of a log, from the first. Reads nothing yet.
    pub fn new(read: R) -> Self {
        Self::resume(read, LogPosition::START)
    }

    /// The events of a log from a [position](Self::position) on. The next byte of `read` is the one at the
    /// position's offset. Times are those recorded, whatever [`Clock`](crate::Clock) the position has.
    pub fn resume(read: R, position: LogPosition) -> Self {
        let windows = BufferedWindows::new(ReadSource(read));
        Self {
            decoder: Decoder::new(windows, position.recorded()),
        }
    }

    /// The position after the last whole event, with both clocks; also after an error.
    pub fn position(&self) -> LogPosition {
        self.decoder.position(Clock::Recorded)
    }

    /// The first event so far with a million microseconds or more, which no recorder writes. The event counts
    /// all the same.
    pub const fn invalid_micros(&self) -> Option<DecodeError> {
        self.decoder.invalid_micros()
    }

    /// The reader. Bytes after the [position](Self::position) may have been read already.
    pub fn into_inner(self) -> R {
        self.decoder.into_windows().into_source().0
    }

    #[cold]
    #[inline(never)]
    fn next_slow(&mut self) -> Option<Result<Event>> {
        if self.decoder.error().is_some() {
            return None;
        }
        match self.decoder.next_slow(None) {
            Ok(Some(event)) => Some(Ok(event)),
            Ok(None) => self.decoder.error().map(|error| Err(error.into())),
            Err(source) => Some(Err(Error::Stream { source })),
        }
    }
}

impl<R: Read> Iterator for EventReader<R> {
    type Item = Result<Event>;

    #[inline]
    fn next(&mut self) -> Option<Result<Event>> {
        match self.decoder.next_fast() {
            Some(event) => Some(Ok(event)),
            None => self.next_slow(),
        }
    }
}

impl<R: Read> FusedIterator for EventReader<R> {}

/// A [`Read`] at the position of the decoder.
#[derive(Debug)]
struct ReadSource<R>(R);

impl<R: Read> ReadAt for ReadSource<R> {
    type Error = io::Error;

    fn read(&mut self, buffer: &mut [u8], _: u64) -> io::Result<usize> {
        loop {
            match self.0.read(buffer) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                read => return read,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::DecodeErrorKind as Kind;
    use crate::raw::hpd::EventKind;
    use crate::raw::hpd::record::MAX_LEN;
    use crate::raw::hpd::strategy::WINDOW_BYTES;
    use crate::raw::{EventLog, EventWriter};
    use crate::{TraceId, WallOffset};

    /// Reads at most `step` bytes at a time, and fails after `fails_after` of them.
    struct Slow<'a> {
        bytes: &'a [u8],
        step: usize,
        fails_after: Option<usize>,
    }

    impl Read for Slow<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            let mut len = self.step.min(self.bytes.len()).min(buffer.len());
            if let Some(left) = &mut self.fails_after {
                if *left == 0 {
                    return Err(io::ErrorKind::ConnectionReset.into());
                }
                len = len.min(*left);
                *left -= len;
            }
            let (read, rest) = self.bytes.split_at(len);
            buffer[..len].copy_from_slice(read);
            self.bytes = rest;
            Ok(len)
        }
    }

    /// Events of all lengths, over several windows.
    fn log() -> Vec<u8> {
        let mut writer = EventWriter::new(Vec::new());
        let mut wall = 0;
        for number in 0..100_000_u32 {
            wall += i64::from(number % 300);
            let size = u64::from(number % 7) << (number % 40);
            let wall = WallOffset::from_micros(wall);
            let trace = TraceId::new(number);
            writer
                .write(wall, trace, size, EventKind::Allocation)
                .unwrap();
        }
        writer.into_inner()
    }

    #[test]
    fn stream_equals_slice_for_every_read_length() {
        let log = log();
        assert!(log.len() > 2 * WINDOW_BYTES);
        for (step, len) in [
            (1, 20_000),
            (7, 30_000),
            (MAX_LEN, 40_000),
            (1 << 20, log.len()),
        ] {
            for cut in [0, 1, 3] {
                let bytes = &log[..len - cut];
                let mut expected = EventLog::new(bytes).events();
                let mut events = EventReader::new(Slow {
                    bytes,
                    step,
                    fails_after: None,
                });
                for expected in &mut expected {
                    let found = events.next().unwrap();
                    let found = found.map_err(|error| *error.decode_error().unwrap());
                    assert_eq!(found, expected);
                }
                assert!(events.next().is_none());
                assert_eq!(events.position(), expected.position());
            }
        }
    }

    #[test]
    fn failed_read_ends_the_events_and_they_can_be_resumed() {
        let log = log();
        let mut events = EventReader::new(Slow {
            bytes: &log,
            step: 1000,
            fails_after: Some(12_345),
        });
        let whole = events.by_ref().map_while(Result::ok).count();
        assert!(events.next().is_none());
        let position = events.position();
        assert_eq!(position.events(), whole as u64);
        let expected = EventLog::new(&log[..12_345]).events().flatten().count();
        assert_eq!(whole, expected);
        let offset = usize::try_from(position.offset()).unwrap();
        let rest = EventReader::resume(&log[offset..], position);
        assert_eq!(whole + rest.map(Result::unwrap).count(), 100_000);
    }

    #[test]
    fn zeros_are_counted_over_windows() {
        let log = log();
        let mut events = EventLog::new(&log).events();
        events.by_ref().take(1000).for_each(drop);
        let position = events.position();
        let mut bytes = log[..usize::try_from(position.offset()).unwrap()].to_vec();
        bytes.resize(bytes.len() + 3 * WINDOW_BYTES, 0);
        bytes.push(1);
        let mut events = EventReader::new(&bytes[..]);
        assert_eq!(
            events.by_ref().take(1000).filter_map(Result::ok).count(),
            1000
        );
        let error = events.next().unwrap().unwrap_err();
        let len = 3 * WINDOW_BYTES as u64;
        let error = error.decode_error().unwrap();
        assert_eq!(
            (error.offset(), error.kind()),
            (position.offset(), Kind::Zeros { len })
        );
        assert!(events.next().is_none());
        assert_eq!(events.position(), position);
    }

    #[test]
    fn position_after_a_failed_read_is_before_the_zeros() {
        let bytes = [&[0, 0, 0, 1, 0, 5, 9][..], &[0; 100]].concat();
        let mut events = EventReader::new(Slow {
            bytes: &bytes,
            step: 1000,
            fails_after: Some(bytes.len()),
        });
        assert!(events.next().unwrap().is_ok());
        assert!(matches!(events.next(), Some(Err(Error::Stream { .. }))));
        assert!(events.next().is_none());
        assert_eq!(events.position().offset(), 7);
    }

    #[test]
    fn cut_after_windows_of_random_lengths_ends_once() {
        let mut state = 1_u32;
        let mut bytes = Vec::new();
        for _ in 0..60_000 {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            bytes.extend([0, 0, 0, 1, 0, 5]);
            bytes.extend(if state >> 31 == 0 {
                &[50][..]
            } else {
                &[0x80, 3]
            });
        }
        bytes.extend([0, 0, 0, 1, 0, 5, 0x80]);
        let mut stream = EventReader::new(&bytes[..]);
        let mut slice = EventLog::new(&bytes).events();
        assert_eq!(stream.by_ref().map_while(Result::ok).count(), 60_000);
        assert_eq!(slice.by_ref().map_while(Result::ok).count(), 60_000);
        assert!(stream.next().is_none() && slice.next().is_none());
    }
}

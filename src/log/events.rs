//! [`LogEvents`]: the events of a profile's log one by one, for a loop of the caller's.

use std::iter::FusedIterator;
use std::path::Path;

use super::{Log, LogWindows};
use crate::error::{DecodeError, Error, Result};
use crate::raw::LogPosition;
use crate::raw::hpd::Event;
use crate::raw::hpd::decoder::Decoder;
use crate::raw::rates::SamplingRates;
use crate::time::Clock;

/// Iterator over the events of a profile's log, in the order of the log.
///
/// A log that ends inside an event is a normal log, of a program that was killed or still runs: the events end
/// there, and [`cut`](Self::cut) returns the event. Bytes that are no event are an error, after which the
/// iterator ends.
///
/// Made by [`Reader::events`](crate::Reader::events). [`raw::Events`](crate::raw::Events) also returns a cut as an
/// error.
///
/// ```
/// use heapprof::Reader;
///
/// let reader = Reader::open("examples/data/demo")?;
/// let mut events = reader.events()?;
/// let largest = events.by_ref().map(|event| event.map(|event| event.size)).max_by_key(|size| {
///     *size.as_ref().unwrap_or(&u64::MAX) // an error wins
/// });
/// assert_eq!(largest.unwrap()?, 4_718_636);
/// assert_eq!((events.position().events(), events.cut()), (49_779, None));
/// # Ok::<(), heapprof::Error>(())
/// ```
#[derive(Debug)]
pub struct LogEvents<'a> {
    log: &'a Log,
    rates: &'a SamplingRates,
    clock: Clock,
    decoder: Decoder<LogWindows<'a>>,
    ended: bool,
    cut: Option<DecodeError>,
}

impl<'a> LogEvents<'a> {
    pub(super) fn new(log: &'a Log, rates: &'a SamplingRates, position: LogPosition) -> Self {
        Self {
            log,
            rates,
            clock: position.clock(),
            decoder: log.decoder(position),
            ended: false,
            cut: None,
        }
    }

    /// The position after the last whole event, with both clocks.
    pub fn position(&self) -> LogPosition {
        self.decoder.position(self.clock)
    }

    /// The event inside which the log ends, once the iterator has ended there.
    ///
    /// ```
    /// use heapprof::Reader;
    ///
    /// let hpm = std::fs::read("examples/data/demo.hpm")?;
    /// let hpd = std::fs::read("examples/data/demo.hpd")?;
    /// let reader = Reader::from_bytes(hpm, hpd[..1000].to_vec(), None)?;
    /// let mut events = reader.events()?;
    /// assert_eq!(events.by_ref().filter_map(Result::ok).count(), 140);
    /// assert_eq!(events.cut().unwrap().offset(), 995);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub const fn cut(&self) -> Option<DecodeError> {
        self.cut
    }

    /// The first event so far with a million microseconds or more, which no recorder writes. The event counts
    /// all the same.
    pub const fn invalid_micros(&self) -> Option<DecodeError> {
        self.decoder.invalid_micros()
    }

    /// The slow path, and the end of the log.
    #[cold]
    #[inline(never)]
    fn next_slow(&mut self) -> Option<Result<Event>> {
        if self.ended {
            return None;
        }
        match self.decoder.next_slow(Some(self.rates)) {
            Ok(Some(event)) => {
                let number = self.decoder.events();
                return Some(Ok(event.on(self.clock, number)));
            }
            Ok(None) => self.ended = true,
            Err(error) => {
                self.ended = true;
                return Some(Err(error));
            }
        }
        let error = self.log.end_error(&self.decoder)?;
        if error.is_cut() {
            self.cut = Some(error);
            return None;
        }
        let path = self.log.path().map(Path::to_owned);
        Some(Err(Error::Decode {
            path,
            source: error,
        }))
    }
}

impl Iterator for LogEvents<'_> {
    type Item = Result<Event>;

    #[expect(
        clippy::inline_always,
        reason = "a loop in which this is a call takes three times as long"
    )]
    #[inline(always)]
    fn next(&mut self) -> Option<Result<Event>> {
        if let Some(event) = self.decoder.next_fast() {
            let number = self.decoder.events();
            return Some(Ok(event.on(self.clock, number)));
        }
        let next = self.next_slow();
        next.map(|event| event.map(Event::assume_size_fits))
    }
}

impl FusedIterator for LogEvents<'_> {}

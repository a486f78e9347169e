//! [`LogEvents`]: the events of a log one by one, for a loop of the caller's.

#![expect(
    clippy::inline_always,
    reason = "a call for each event costs as much as decoding it"
)]

use std::borrow::Cow;
use std::iter::FusedIterator;
use std::path::Path;

use super::{Log, Next, go_on};
use crate::error::{DecodeError, Error, Result};
use crate::raw::decode::Decoder;
use crate::raw::rates::SamplingRates;
use crate::raw::{Event, LogPosition};

/// The events of a profile's log, in the order of the file.
///
/// A log that just ends inside an event is a normal log, that of a program which was killed or still
/// runs: there the events end, and [`cut`](Self::cut) says so. Bytes that are no event are an error;
/// after it there is nothing.
///
/// Made by [`Reader::events`](crate::Reader::events). Not so lenient is
/// [`raw::Events`](crate::raw::Events).
///
/// ```
/// use heapprof::Reader;
///
/// let reader = Reader::open("examples/data/demo")?;
/// let mut events = reader.events()?;
/// let largest = events.by_ref().map(|event| event.map(|event| event.size)).max_by_key(|size| {
///     *size.as_ref().unwrap_or(&u64::MAX) // an error first of all
/// });
/// assert_eq!(largest.unwrap()?, 4_718_636);
/// assert_eq!((events.position().events(), events.cut()), (49_779, None));
/// # Ok::<(), heapprof::Error>(())
/// ```
#[derive(Debug)]
pub struct LogEvents<'a> {
    log: &'a Log,
    rates: &'a SamplingRates,
    /// A window of the log: what was read of a file, or a part of a log in memory.
    bytes: Cow<'a, [u8]>,
    /// Where in it the next event begins.
    at: usize,
    /// The end of what is decoded by branches; 0 where nothing is.
    branched: usize,
    decoder: Decoder,
    ended: bool,
    cut: Option<DecodeError>,
}

impl<'a> LogEvents<'a> {
    #[inline]
    pub(super) fn new(log: &'a Log, rates: &'a SamplingRates, position: LogPosition) -> Self {
        let (bytes, decoder) = log.begin(position);
        let mut events = Self {
            log,
            rates,
            decoder,
            bytes,
            at: 0,
            branched: 0,
            ended: false,
            cut: None,
        };
        events.go_on_at(0);
        events
    }

    /// Where the next event begins, with both clocks: after the last whole event.
    pub const fn position(&self) -> LogPosition {
        let len = match &self.bytes {
            Cow::Borrowed(bytes) => bytes.len(),
            Cow::Owned(bytes) => bytes.len(),
        };
        self.decoder.position(len.saturating_sub(self.at))
    }

    /// The event inside which the log just ends, once the events have ended there.
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

    /// The first event so far that is whole but makes no sense: it has a million microseconds or
    /// more. It counts all the same.
    pub const fn strange(&self) -> Option<DecodeError> {
        self.decoder.strange.first
    }
}

impl Iterator for LogEvents<'_> {
    type Item = Result<Event>;

    // A loop in which this is a call takes three times as long. And where there is a choice of bytes,
    // as of what is left or of none, where the next event is found waits for that: so there is a
    // branch, which can be foretold.
    #[inline(always)]
    fn next(&mut self) -> Option<Result<Event>> {
        if let Some(rest) = self.bytes.get(self.at..self.branched)
            && let Some((event, after)) = self.decoder.next_branched(rest)
        {
            self.at = self.branched - after.len();
            return Some(Ok(event));
        }
        if self.branched == 0
            && let Some(rest) = self.bytes.get(self.at..)
            && let Some((event, after)) = self.decoder.next_computed(rest)
        {
            self.at = self.bytes.len() - after.len();
            return Some(Ok(event));
        }
        self.next_otherwise()
            .map(|event| event.map(Event::returned))
    }
}

impl FusedIterator for LogEvents<'_> {}

impl LogEvents<'_> {
    /// The next event, where it is not of a usual shape or not in the window; or the end.
    #[cold]
    #[inline(never)]
    fn next_otherwise(&mut self) -> Option<Result<Event>> {
        loop {
            let rest = self.bytes.get(self.at..).unwrap_or_default();
            let (decoder, next) = self.decoder.next_of_any_shape(rest, Some(self.rates));
            self.decoder = decoder;
            if let Some((event, after)) = next {
                self.go_on_at(self.bytes.len() - after.len());
                return Some(Ok(event));
            }
            if self.ended {
                return None;
            }
            let end = self.decoder.error;
            let (offset, left) = (self.decoder.offset(rest.len()), rest.len());
            match go_on(self.log, std::mem::take(&mut self.bytes), offset, left, end) {
                Ok(Next::Bytes(more)) => {
                    self.decoder.enter(offset, &more);
                    self.bytes = more;
                    self.go_on_at(0);
                }
                Ok(Next::End(error)) => {
                    self.end(offset);
                    self.cut = error.filter(DecodeError::is_cut);
                    let source = error.filter(|error| !error.is_cut())?;
                    let path = self.log.path().map(Path::to_owned);
                    return Some(Err(Error::Decode { path, source }));
                }
                Err(error) => {
                    self.end(offset);
                    return Some(Err(error));
                }
            }
        }
    }

    /// The next event begins there in the window.
    fn go_on_at(&mut self, at: usize) {
        self.at = at;
        self.branched = if self.decoder.is_branching() {
            self.bytes.len()
        } else {
            0
        };
    }

    /// There are no more events from there on.
    fn end(&mut self, offset: u64) {
        self.ended = true;
        self.decoder.enter(offset, &[]);
        self.go_on_at(0);
    }
}

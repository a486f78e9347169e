//! The events of a log that is too large for memory, or may still grow: through a buffer.
//!
//! A log is read and not mapped. That is no slower, keeps memory at one buffer whatever the length,
//! and a file that shrinks meanwhile is a cut log and no fault.

#![expect(
    clippy::inline_always,
    reason = "a call for each event costs as much as decoding it"
)]

mod events;

use std::borrow::Cow;
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;

pub use events::LogEvents;

use crate::bytes::{Bytes, Pieces, Witness};
use crate::error::{DecodeError, DecodeErrorKind, FileKind, Result};
use crate::raw::LogPosition;
use crate::raw::decode::Decoder;
use crate::raw::hpd::{next_window, window};
use crate::raw::rates::SamplingRates;
use crate::raw::stretch::Seen;
use crate::raw::way::WINDOW;
use crate::time::Clock;

/// A log: a file, as long as it was when it was opened, or memory.
#[derive(Debug)]
pub(crate) enum Log {
    /// With who says whether it is still of the same recording.
    File(Pieces, Option<Arc<Witness>>),
    Memory(Bytes),
}

impl Log {
    pub(crate) fn open(path: &Path, witness: Option<Arc<Witness>>) -> Result<Self> {
        Ok(Self::File(Pieces::open(path)?, witness))
    }

    pub(crate) fn path(&self) -> Option<&Path> {
        match self {
            Self::File(file, _) => Some(file.path()),
            Self::Memory(_) => None,
        }
    }

    /// Its length in bytes.
    pub(crate) fn len(&self) -> u64 {
        match self {
            Self::File(file, _) => file.len(),
            Self::Memory(bytes) => bytes.len() as u64,
        }
    }

    /// The events from `position` on, with the times of its clock. An event whose estimate with
    /// `rates` leaves 63 bits ends the log.
    #[inline]
    pub(crate) fn events<'a>(
        &'a self,
        rates: &'a SamplingRates,
        position: LogPosition,
    ) -> LogEvents<'a> {
        LogEvents::new(self, rates, position)
    }

    /// What a walk from `position` on has in hand: of a file no bytes yet.
    ///
    /// Taken apart by who asks, so that the decoder is copied into registers; one that a function wrote
    /// where it stays would live in memory.
    #[inline]
    fn begin<const ANY_CLOCK: bool>(
        &self,
        position: LogPosition,
    ) -> (Cow<'_, [u8]>, Decoder<ANY_CLOCK>) {
        let bytes = match self {
            Self::File(..) => Cow::Owned(Vec::new()),
            Self::Memory(bytes) => Cow::Borrowed(window(bytes, position.offset())),
        };
        let decoder = Decoder::at(position, &bytes);
        (bytes, decoder)
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

/// Who takes the events of a walk.
///
/// What is seldom done is out of the way of what is done for each event: nearly all events are taken
/// [quickly](Self::quickly), without the place before them. With it are [taken](Self::take) the first
/// of each [`PIECE`](crate::raw::stretch::PIECE), and those that were not taken quickly.
pub(crate) trait Taker {
    /// Takes an event; or breaks off, and has not taken it.
    fn take(&mut self, seen: Seen, before: LogPosition) -> ControlFlow<()>;

    /// Has a piece [show](Piece::show) its events to what takes them as long as there is nothing
    /// unusual about them.
    fn quickly(&mut self, piece: impl Piece) -> ControlFlow<()>;
}

/// The next events of a walk, as long as they are of the usual shapes, and of a piece at most.
pub(crate) trait Piece {
    /// Shows them to `take`, with the `state`, which is what it may change, and is given back: moved, so
    /// that it is in registers meanwhile. What `take` returns `None` for, having done nothing, is shown
    /// once more, with the place before it. If it breaks off, it has not taken the event.
    fn show<S>(
        self,
        state: S,
        take: impl Fn(&mut S, Seen) -> Option<ControlFlow<()>>,
    ) -> (S, ControlFlow<()>);
}

/// The usual events with which the rest of a window begins.
struct Usual<'d, 'b, const ANY_CLOCK: bool> {
    decoder: &'d mut Decoder<ANY_CLOCK>,
    rest: &'d mut &'b [u8],
}

impl<const ANY_CLOCK: bool> Piece for Usual<'_, '_, ANY_CLOCK> {
    #[inline(always)]
    fn show<S>(
        self,
        state: S,
        take: impl Fn(&mut S, Seen) -> Option<ControlFlow<()>>,
    ) -> (S, ControlFlow<()>) {
        self.decoder.each_usual(self.rest, state, take)
    }
}

impl Log {
    /// Shows the [events](Self::events) one by one, until who takes them breaks off: that event is
    /// not taken any more.
    #[inline]
    pub(crate) fn each<T: Taker>(
        &self,
        rates: &SamplingRates,
        from: LogPosition,
        to: T,
    ) -> Result<(T, Ended)> {
        match from.clock() {
            Clock::Recorded => self.each_on::<false, T>(rates, from, to),
            Clock::Corrected => self.each_on::<true, T>(rates, from, to),
        }
    }

    /// The same on any clock, or on the recorded one, which has nothing to add to an event: so loops
    /// that are short of registers have one more.
    #[inline]
    fn each_on<const ANY_CLOCK: bool, T: Taker>(
        &self,
        rates: &SamplingRates,
        from: LogPosition,
        mut to: T,
    ) -> Result<(T, Ended)> {
        let (mut bytes, mut decoder) = self.begin::<ANY_CLOCK>(from);
        loop {
            let mut rest = &*bytes;
            loop {
                let place = decoder.position(rest.len());
                let so_far = decoder.strange;
                let next;
                (decoder, next) = decoder.next_of_any_shape(rest, Some(rates));
                let Some((event, after)) = next else {
                    break;
                };
                let seen = Seen {
                    event,
                    number: place.events().wrapping_add(1),
                    offset: place.offset(),
                    strange: decoder.strange.count != so_far.count,
                    traces_repeat: false,
                };
                if to.take(seen, place).is_break() {
                    let ended = Ended {
                        place,
                        strange: so_far.first,
                        error: None,
                        stopped: true,
                    };
                    return Ok((to, ended));
                }
                rest = after;
                let flow = to.quickly(Usual {
                    decoder: &mut decoder,
                    rest: &mut rest,
                });
                if flow.is_break() {
                    let ended = Ended {
                        place: decoder.position(rest.len()),
                        strange: decoder.strange.first,
                        error: None,
                        stopped: true,
                    };
                    return Ok((to, ended));
                }
            }
            let end = decoder.error;
            let (offset, left) = (decoder.offset(rest.len()), rest.len());
            match go_on(self, bytes, offset, left, end)? {
                Next::Bytes(more) => {
                    decoder.enter(offset, &more);
                    bytes = more;
                }
                Next::End(error) => {
                    decoder.enter(offset, &[]);
                    let ended = Ended {
                        place: decoder.position(0),
                        strange: decoder.strange.first,
                        error,
                        stopped: false,
                    };
                    return Ok((to, ended));
                }
            }
        }
    }
}

/// What follows once the bytes in hand are used up or end inside an event.
enum Next<'a> {
    /// More bytes, from where the next event begins.
    Bytes(Cow<'a, [u8]>),
    /// Nothing; and what is wrong with the record that ends the log early, if one does.
    End(Option<DecodeError>),
}

/// What follows on `bytes`, of which so many are `left` from `offset` on.
#[cold]
#[inline(never)]
fn go_on<'a>(
    log: &'a Log,
    bytes: Cow<'a, [u8]>,
    offset: u64,
    left: usize,
    end: Option<DecodeError>,
) -> Result<Next<'a>> {
    match log {
        Log::File(file, witness) if end.is_none_or(|error| error.is_cut()) => {
            let mut buffer = bytes.into_owned();
            buffer.resize(WINDOW, 0);
            let read = file.read(&mut buffer, offset)?;
            // A recorder that begins anew empties `.hpm` before the log: if that is as it was, so
            // are the bytes that were read before.
            if let Some(witness) = witness {
                witness.check()?;
            }
            if read > left {
                buffer.truncate(read);
                return Ok(Next::Bytes(Cow::Owned(buffer)));
            }
        }
        Log::File(..) => {}
        Log::Memory(log) => {
            if let Some(window) = next_window(log, offset, left, end) {
                return Ok(Next::Bytes(Cow::Borrowed(window)));
            }
        }
    }
    // A file that was longer when it was opened is a cut one too.
    let shorter = || {
        (offset < log.len()).then(|| DecodeError::new(FileKind::Hpd, offset, DecodeErrorKind::Cut))
    };
    Ok(Next::End(end.or_else(shorter)))
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
        assert!(bytes.len() > 3 * WINDOW);
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
    fn a_cut_is_told_wherever_the_buffer_ends() {
        let bytes = bytes();
        let rates = SamplingRates::unsampled();
        for cut in (WINDOW - 20..WINDOW + 20).chain(2 * WINDOW - 20..2 * WINDOW + 20) {
            let mut plain = EventLog::new(&bytes[..cut]).events();
            let whole = plain.by_ref().flatten().count();
            let file = file(&bytes[..cut]);
            let log = Log::open(file.path(), None).unwrap();
            let mut events = log.events(&rates, LogPosition::START);
            assert_eq!(events.by_ref().map(Result::unwrap).count(), whole);
            assert_eq!(events.position(), plain.position());
            assert!(events.next().is_none());
            let at = plain.position().offset();
            let told = events.cut().map(|error| error.offset());
            assert_eq!(told, (at != cut as u64).then_some(at));
        }
    }

    #[test]
    fn a_file_that_shrinks_is_cut_and_one_that_grows_is_as_it_was() {
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

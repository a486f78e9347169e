//! [`Pass`]: one pass over a log, chunk by chunk.
//!
//! ```text
//! while let Some(start) = pass.next_chunk()? {          // progress, stops: between chunks
//!     loop {
//!         let unusual;
//!         (state, unusual) = pass.fold(state, |state, event| …);
//!         let Some(event) = unusual else { break };
//!         …
//!         pass.skip();
//!     }
//! }
//! let end = pass.end(replay.damage(), false);           // position and damage
//! ```
//!
//! The closure handles what nearly all events need and breaks at the others, which the loop around it then handles
//! in ordinary code.

use std::ops::ControlFlow;

use super::{Log, LogWindows};
use crate::error::{DecodeError, Result};
use crate::raw::LogPosition;
use crate::raw::hpd::decoder::{Decoder, LoggedEvent};
use crate::raw::rates::SamplingRates;
use crate::time::Clock;

/// The bytes of a chunk: small enough for progress every few thousand events, and to find the event of a peak
/// again; large enough that what happens between chunks costs nothing.
const CHUNK_BYTES: u64 = 32 * 1024;

/// A pass over a log, from a position to the end or to where its user stops.
///
/// A log that ends early is a log: the pass ends there. Only the operating system can make a pass fail.
#[derive(Debug)]
pub(crate) struct Pass<'a> {
    log: &'a Log,
    rates: &'a SamplingRates,
    clock: Clock,
    decoder: Decoder<LogWindows<'a>>,
    /// Where in the log the chunk ends.
    chunk_end: u64,
}

/// Where a pass ended, and the damage up to there.
#[derive(Debug)]
pub(crate) struct PassEnd {
    /// The position after the last event that was not refused.
    pub(crate) position: LogPosition,
    /// The first record of each kind of damage, in the order of the log.
    pub(crate) damage: Vec<DecodeError>,
}

impl<'a> Pass<'a> {
    /// A pass from `position` on, with the times of its clock and estimates by `rates`.
    pub(crate) fn new(log: &'a Log, rates: &'a SamplingRates, position: LogPosition) -> Self {
        Self {
            log,
            rates,
            clock: position.clock(),
            decoder: log.decoder(position),
            chunk_end: 0,
        }
    }

    /// Moves to the next chunk and returns where it begins; `None` at the end of the log.
    pub(crate) fn next_chunk(&mut self) -> Result<Option<LogPosition>> {
        if self.decoder.peek(Some(self.rates))?.is_none() {
            return Ok(None);
        }
        let position = self.position();
        self.chunk_end = position.offset().saturating_add(CHUNK_BYTES);
        Ok(Some(position))
    }

    /// Folds the events of the chunk, or those left of it. If `f` breaks at an event, returns the event, which stays
    /// the next one of the pass.
    ///
    /// PERF: unsampled logs, unless on the corrected clock, have loops of their own, without estimates and corrected times. Shared
    /// loops make `high_water` 28–67 % slower; `cargo bench --bench ratios`, row `replay_ns_per_event`.
    #[inline]
    pub(crate) fn fold<S>(
        &mut self,
        state: S,
        f: impl Fn(&mut S, LoggedEvent) -> ControlFlow<()> + Copy,
    ) -> (S, Option<LoggedEvent>) {
        let (rates, end) = (self.rates, self.chunk_end);
        let (state, flow) = if rates.is_unsampled() && self.clock != Clock::Corrected {
            self.decoder.fold_chunk(end, rates, state, |size| size, f)
        } else {
            let clock = self.clock;
            let f = move |state: &mut S, logged: LoggedEvent| f(state, logged.on(clock));
            self.decoder
                .fold_chunk(end, rates, state, rates.estimates(), f)
        };
        let unusual = match flow {
            ControlFlow::Continue(()) => None,
            // PERF: decodes the event again. A loop that returned it would compute all of its fields each time.
            ControlFlow::Break(()) => self.peek(),
        };
        (state, unusual)
    }

    /// The next event of the chunk.
    pub(crate) fn peek(&self) -> Option<LoggedEvent> {
        let peeked = self.decoder.peek_in_window(Some(self.rates)).ok()?;
        Some(self.decoder.logged(&peeked, self.rates).on(self.clock))
    }

    /// Moves past the next event.
    pub(crate) fn skip(&mut self) {
        if let Ok(peeked) = self.decoder.peek_in_window(Some(self.rates)) {
            self.decoder.accept(&peeked);
        }
    }

    /// The position of the next event.
    pub(crate) fn position(&self) -> LogPosition {
        self.decoder.position(self.clock)
    }

    /// Ends the pass here. `replayed` is the damage that only a replay of the events shows; `is_stopped` says
    /// that the user of the pass stopped it before the end of the log.
    pub(crate) fn end(
        self,
        replayed: impl IntoIterator<Item = DecodeError>,
        is_stopped: bool,
    ) -> PassEnd {
        let end = if is_stopped {
            None
        } else {
            self.log.end_error(&self.decoder)
        };
        let decoded = self.decoder.invalid_micros();
        let mut damage: Vec<_> = decoded.into_iter().chain(replayed).chain(end).collect();
        damage.sort_by_key(DecodeError::offset);
        PassEnd {
            position: self.position(),
            damage,
        }
    }
}

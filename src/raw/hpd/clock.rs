//! [`RunningClock`]: how many events there were, and what both clocks show.

#![expect(
    clippy::inline_always,
    reason = "a call for each event costs as much as decoding it"
)]

use super::event::{Event, EventKind, LogPosition};
use super::fast::FastRecord;
use super::record::Record;
use super::strategy::MAX_WINDOW_MICROS;
use crate::error::DecodeErrorKind as Kind;
use crate::id::TraceId;
use crate::time::{Clock, Elapsed, LARGEST, WallOffset};

/// The number of events so far, and the recorded times of the last one.
#[derive(Debug, Clone, Copy)]
pub(super) struct RunningClock {
    /// The elapsed time, in microseconds.
    elapsed: u64,
    /// How far the wall clock lags behind it, in microseconds: the sum of its steps back. Only records that go
    /// backwards change it, so that the fast path moves one clock instead of two.
    lag: u64,
    events: u64,
}

impl RunningClock {
    /// The clock at a position.
    #[inline]
    pub(super) fn at(position: LogPosition) -> Self {
        let position = position.on(Clock::Recorded);
        let elapsed = position.elapsed().as_micros().min(LARGEST);
        let lag = i128::from(elapsed) - i128::from(position.wall().as_micros());
        Self {
            elapsed,
            lag: u64::try_from(lag).unwrap_or(0),
            events: position.events(),
        }
    }

    /// The position after the events so far, whose records end at `offset`.
    #[inline]
    pub(super) const fn position(&self, offset: u64) -> LogPosition {
        let elapsed = Elapsed::from_micros(self.elapsed);
        LogPosition::new(offset, self.events, elapsed, self.wall())
    }

    #[inline]
    pub(super) const fn events(&self) -> u64 {
        self.events
    }

    /// Whether the fast records of one window can take the clock beyond its limit.
    pub(super) const fn is_near_limit(&self) -> bool {
        self.elapsed > LARGEST - MAX_WINDOW_MICROS
    }

    /// Moves the clock by a fast record, and returns the event. The caller has ruled out that the clock
    /// [`is_near_limit`](Self::is_near_limit).
    #[inline(always)]
    pub(super) const fn advance_fast(&mut self, record: &FastRecord) -> Event {
        self.elapsed += record.micros;
        self.events = self.events.wrapping_add(1);
        self.event(record.head, record.size as u64)
    }

    /// Moves the clock by any record, and returns the event.
    ///
    /// # Errors
    /// [`Kind::Time`] if one of the two times leaves 63 bits.
    pub(super) fn advance(&mut self, record: &Record) -> Result<Event, Kind> {
        self.elapsed = self.elapsed.saturating_add(record.forward);
        self.lag = self.lag.saturating_add(record.backward);
        // The wall clock is never ahead of the elapsed time, so it can leave its range only downwards.
        if self.elapsed > LARGEST || self.lag.saturating_sub(self.elapsed) > LARGEST {
            return Err(Kind::Time);
        }
        self.events = self.events.wrapping_add(1);
        Ok(self.event(record.head, record.size))
    }

    #[inline]
    const fn event(&self, head: u32, size: u64) -> Event {
        Event {
            elapsed: Elapsed::from_micros(self.elapsed),
            wall: self.wall(),
            size,
            trace: TraceId::from_head(head),
            kind: EventKind::from_head(head),
        }
    }

    #[inline]
    const fn wall(&self) -> WallOffset {
        WallOffset::from_micros(self.elapsed.wrapping_sub(self.lag).cast_signed())
    }
}

//! [`RunningClock`]: how many events there were, and what both clocks show.
//!
//! ```text
//!   recorded    0 ── 5 ── 9 ───────────────── 900 ── 903
//!   elapsed     0 ── 5 ── 9 ── 19 ── 22                     gaps over 10 are closed to 10
//! ```

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
    /// How far the wall clock lags behind it, in microseconds: the sum of its steps back less `closed`. Wraps where
    /// that is negative. Only the slow path changes it, so that the fast path moves one clock instead of two.
    lag: u64,
    events: u64,
    /// The longest time between two events; of longer ones the rest is closed. Never below a second, so that fast
    /// records cannot exceed it.
    gap_limit: u64,
    /// How much shorter the elapsed time is for closed gaps.
    closed: u64,
}

impl RunningClock {
    /// The clock at a position. It closes gaps if the clock of the position does; otherwise its times are those
    /// recorded.
    #[inline]
    pub(super) fn at(position: LogPosition) -> Self {
        let recorded = position.recorded();
        let elapsed = recorded.elapsed().as_micros().min(LARGEST);
        let stepped_back = i128::from(elapsed) - i128::from(recorded.wall().as_micros());
        let closed = position.closed().min(elapsed);
        Self {
            elapsed: elapsed - closed,
            lag: u64::try_from(stepped_back)
                .unwrap_or(0)
                .wrapping_sub(closed),
            events: position.events(),
            gap_limit: position.clock().gap_limit(),
            closed,
        }
    }

    /// The position after the events so far, whose records end at `offset`, with the times of `clock`.
    #[inline]
    pub(super) const fn position(&self, offset: u64, clock: Clock) -> LogPosition {
        let elapsed = Elapsed::from_micros(self.elapsed + self.closed);
        LogPosition::new(offset, self.events, elapsed, self.wall()).on(clock, self.closed)
    }

    #[inline]
    pub(super) const fn events(&self) -> u64 {
        self.events
    }

    /// Whether the fast records of one window can take the clock beyond its limit.
    pub(super) const fn is_near_limit(&self) -> bool {
        self.elapsed + self.closed > LARGEST - MAX_WINDOW_MICROS
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
        let recorded = (self.elapsed + self.closed).saturating_add(record.forward);
        let stepped_back = self.lag.wrapping_add(self.closed);
        let stepped_back = stepped_back.saturating_add(record.backward);
        // The wall clock is never ahead of the recorded time, so it can leave its range only downwards.
        if recorded > LARGEST || stepped_back.saturating_sub(recorded) > LARGEST {
            return Err(Kind::Time);
        }
        self.closed += record.forward.saturating_sub(self.gap_limit);
        self.elapsed = recorded - self.closed;
        self.lag = stepped_back.wrapping_sub(self.closed);
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

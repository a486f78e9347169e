//! What do the events of a log add up to: how many are there, and when is it?

#![expect(
    clippy::inline_always,
    reason = "a call for each event costs as much as decoding it"
)]

use super::decode::Fields;
use super::event::{Event, EventKind, LogPosition};
use super::shape::Shape;
use super::way::STRIDE;
use crate::error::DecodeErrorKind as Kind;
use crate::id::TraceId;
use crate::time::{Clock, Elapsed, LARGEST, WallOffset};

/// How many events there are so far, and when the last one was.
///
/// With the times of any clock; or with those recorded, and has nothing to add to them.
#[derive(Debug, Clone, Copy)]
pub(super) struct Tally<const ANY_CLOCK: bool> {
    /// The elapsed time. A tick is half a microsecond, so that the clock can add one for each event
    /// and no branch need ask for it; or a microsecond, where it has nothing to add.
    ticks: u64,
    /// What the clock adds for each event: one tick, or none.
    tick: u64,
    /// How far the wall clock lies behind: the sum of its steps back. So the wall clock need not be
    /// moved with every event.
    behind: u64,
    events: u64,
}

impl<const ANY_CLOCK: bool> Tally<ANY_CLOCK> {
    /// How many ticks a microsecond has.
    const TICKS: u64 = if ANY_CLOCK { 2 } else { 1 };

    /// The last tick: 63 bits of microseconds are 64 bits of their halves.
    const LAST: u64 = if ANY_CLOCK { u64::MAX } else { LARGEST };

    /// Of the events before `position`, by its clock.
    #[inline]
    pub(super) fn at(position: LogPosition) -> Self {
        debug_assert!(ANY_CLOCK || position.clock() == Clock::Recorded);
        let elapsed = position.elapsed().as_micros().min(LARGEST);
        let tick = match position.clock() {
            Clock::Corrected if ANY_CLOCK => 1,
            _ => 0,
        };
        let behind = i128::from(elapsed) - i128::from(position.wall().as_micros());
        Self {
            ticks: Self::TICKS * elapsed + (position.events() & tick),
            tick,
            behind: u64::try_from(behind).unwrap_or(0),
            events: position.events(),
        }
    }

    /// The position after these events, if that is at `offset`.
    #[inline]
    pub(super) const fn position(&self, offset: u64) -> LogPosition {
        let clock = match self.tick() {
            0 => Clock::Recorded,
            _ => Clock::Corrected,
        };
        LogPosition::shown(offset, self.events, self.elapsed(), self.wall(), clock)
    }

    #[inline]
    pub(super) const fn events(&self) -> u64 {
        self.events
    }

    /// Whether the events of usual shapes in a window could take the clock beyond its limit.
    #[inline]
    pub(super) const fn is_near_limit(&self) -> bool {
        self.ticks > Self::LAST - Self::TICKS * STRIDE
    }

    /// With one more event, of a usual shape.
    #[inline(always)]
    pub(super) fn and(mut self, shape: &Shape<'_>) -> (Self, Event) {
        self.ticks += Self::TICKS * shape.micros + self.tick();
        self.events = self.events.wrapping_add(1);
        (self, self.event(shape.head, shape.size))
    }

    /// With one more event, of any shape, unless a time leaves its limits.
    #[inline]
    pub(super) fn and_any(mut self, fields: &Fields) -> Result<(Self, Event), Kind> {
        let forward = Self::TICKS * fields.forward + self.tick();
        let ticks = self.ticks.checked_add(forward);
        self.ticks = ticks
            .filter(|&ticks| ticks <= Self::LAST)
            .ok_or(Kind::Time)?;
        self.behind = self.behind.saturating_add(fields.backward);
        // The wall clock is never ahead, so it stays in range if it is not too far behind.
        if self.behind.saturating_sub(self.elapsed().as_micros()) > LARGEST {
            return Err(Kind::Time);
        }
        self.events = self.events.wrapping_add(1);
        Ok((self, self.event(fields.head, fields.size)))
    }

    /// The last of these events.
    #[inline]
    const fn event(&self, head: u32, size: u64) -> Event {
        Event {
            elapsed: self.elapsed(),
            wall: self.wall(),
            size,
            trace: TraceId::from_head(head),
            kind: EventKind::from_head(head),
        }
    }

    /// What the clock adds for each event.
    #[inline]
    const fn tick(&self) -> u64 {
        if ANY_CLOCK { self.tick } else { 0 }
    }

    #[inline]
    const fn elapsed(&self) -> Elapsed {
        Elapsed::from_micros(self.ticks / Self::TICKS)
    }

    /// What the wall clock shows.
    #[inline]
    const fn wall(&self) -> WallOffset {
        let elapsed = self.elapsed().as_micros();
        WallOffset::from_micros(elapsed.wrapping_sub(self.behind).cast_signed())
    }
}

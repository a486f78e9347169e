//! [`EventWriter`]: writes the event log.

use std::io::Write;

use super::event::{Event, EventKind, LogPosition};
use super::record::{BACKWARDS_BIT, FREE_BIT};
use crate::error::EncodeError;
use crate::id::TraceId;
use crate::raw::block::{push_fixed32, push_varint};
use crate::time::{Elapsed, LARGEST, SECOND, WallOffset};

/// Writes a `.hpd` file, event by event, to any [`Write`].
///
/// Each event is one call of the writer, so give it a [`BufWriter`](std::io::BufWriter) for a file.
///
/// ```
/// use heapprof::raw::{EventLog, EventWriter};
/// use heapprof::EventKind;
/// use heapprof::{TraceId, WallOffset};
///
/// let mut writer = EventWriter::new(Vec::new());
/// let trace = TraceId::new(1);
/// writer.write(WallOffset::from_micros(1_500_000), trace, 4096, EventKind::Allocation)?;
/// // The clock steps back by 0.3 s.
/// writer.write(WallOffset::from_micros(1_200_000), trace, 4096, EventKind::Free)?;
///
/// let bytes = writer.into_inner();
/// let free = EventLog::new(&bytes).events().nth(1).unwrap()?;
/// assert_eq!(free.wall.as_micros(), 1_200_000);
/// assert_eq!(free.elapsed.as_micros(), 1_500_000);
/// assert_eq!(free.signed_size(), -4096);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct EventWriter<W> {
    out: W,
    position: LogPosition,
    record: Vec<u8>,
}

impl<W: Write> EventWriter<W> {
    /// Begins a log. Writes nothing yet: a log has no header.
    pub fn new(out: W) -> Self {
        Self::resume(out, LogPosition::START)
    }

    /// Continues a log after its last whole event, at `position`. The next byte of `out` is the one at the
    /// position's offset.
    pub fn resume(out: W, position: LogPosition) -> Self {
        Self {
            out,
            position: position.recorded(),
            record: Vec::new(),
        }
    }

    /// Writes one event.
    ///
    /// `wall` is the time relative to the start in the `.hpm` file; it may be before that of the last event.
    /// [`StartTime::offset_of`](crate::StartTime::offset_of) converts a system time. For a clock that cannot step
    /// back, keep an [`Instant`](std::time::Instant) of the start and pass `start.elapsed().into()`. `trace` is the
    /// trace that *allocated* the block, also for a free.
    ///
    /// # Errors
    /// If the size, `wall`, its difference to the last event or the elapsed time is over 2⁶³ − 1; then nothing is
    /// written. Or if the writer fails: then it may have written a part of the event, so truncate the log to the
    /// [position](Self::position) before writing more.
    pub fn write(
        &mut self,
        wall: WallOffset,
        trace: Option<TraceId>,
        size: u64,
        kind: EventKind,
    ) -> Result<(), EncodeError> {
        let micros = wall.as_micros();
        let out_of_range = EncodeError::Time { micros };
        if size > LARGEST {
            return Err(EncodeError::Size { size });
        }
        let Some(difference) = micros
            .checked_sub(self.position.wall().as_micros())
            .filter(|_| micros.unsigned_abs() <= LARGEST)
        else {
            return Err(out_of_range);
        };
        // A negative difference is stored as whole seconds back and a fraction forward.
        let back = difference < 0;
        let distance = difference.unsigned_abs();
        let (seconds, fraction) = if back {
            let seconds = distance.div_ceil(SECOND);
            (seconds, seconds * SECOND - distance)
        } else {
            (distance / SECOND, distance % SECOND)
        };
        let forward = if back { 0 } else { distance };
        let elapsed = self.position.elapsed().as_micros().saturating_add(forward);
        if elapsed > LARGEST || seconds * SECOND + fraction > LARGEST {
            return Err(out_of_range);
        }

        let back = if back { BACKWARDS_BIT } else { 0 };
        let free = if kind == EventKind::Free { FREE_BIT } else { 0 };
        self.record.clear();
        push_fixed32(&mut self.record, back | free | TraceId::to_disk(trace));
        push_varint(&mut self.record, seconds);
        push_varint(&mut self.record, fraction);
        push_varint(&mut self.record, size);
        if self.record.iter().all(|&byte| byte == 0) {
            // Several records of zeros would end the log. A size of two bytes is read as the same.
            self.record.pop();
            self.record.extend([0x80, 0]);
        }
        self.out.write_all(&self.record)?;
        self.position = LogPosition::new(
            self.position
                .offset()
                .saturating_add(self.record.len() as u64),
            self.position.events().saturating_add(1),
            Elapsed::from_micros(elapsed),
            wall,
        );
        Ok(())
    }

    /// Writes an event that was read: its wall clock, trace, size and kind. Read it on the recorded [`Clock`](crate::Clock) to
    /// keep the recorded times.
    ///
    /// # Errors
    /// As [`write`](Self::write).
    pub fn write_event(&mut self, event: &Event) -> Result<(), EncodeError> {
        self.write(event.wall, event.trace, event.size, event.kind)
    }

    /// Flushes the underlying writer.
    ///
    /// # Errors
    /// If the writer fails.
    pub fn flush(&mut self) -> Result<(), EncodeError> {
        Ok(self.out.flush()?)
    }

    /// The position of the next event, with both clocks.
    pub const fn position(&self) -> LogPosition {
        self.position
    }

    /// The underlying writer.
    pub const fn get_mut(&mut self) -> &mut W {
        &mut self.out
    }

    /// Returns the underlying writer. There is nothing to finish: a log has no end mark.
    pub fn into_inner(self) -> W {
        self.out
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::raw::EventLog;

    #[test]
    fn writer_refuses_times_and_sizes_over_63_bits_and_continues() {
        let mut writer = EventWriter::new(Vec::new());
        let at = WallOffset::from_micros;
        let kind = EventKind::Allocation;
        assert!(matches!(
            writer.write(at(0), None, LARGEST + 1, kind),
            Err(EncodeError::Size { .. })
        ));
        assert!(matches!(
            writer.write(at(i64::MIN), None, 1, kind),
            Err(EncodeError::Time { .. })
        ));
        writer.write(at(i64::MAX - 1), None, LARGEST, kind).unwrap();
        // Back to the start would be stored as more than 2^63 µs back and a fraction forward.
        assert!(matches!(
            writer.write(at(0), None, 1, kind),
            Err(EncodeError::Time { .. })
        ));
        writer.write(at(2_000_000), None, 1, kind).unwrap();
        writer.write(at(-5), None, 1, kind).unwrap();
        // It may now go 1 µs forward, since the elapsed time is at its limit but for that.
        assert!(matches!(
            writer.write(at(-3), None, 1, kind),
            Err(EncodeError::Time { .. })
        ));
        writer.write(at(-4), None, 1, kind).unwrap();
        let bytes = writer.into_inner();
        let walls: Vec<_> = EventLog::new(&bytes)
            .events()
            .map(|event| event.unwrap().wall.as_micros())
            .collect();
        assert_eq!(walls, [i64::MAX - 1, 2_000_000, -5, -4]);
    }

    #[test]
    fn events_of_zeros_do_not_end_the_log() {
        let mut writer = EventWriter::new(Vec::new());
        for _ in 0..100 {
            let at = WallOffset::ZERO;
            writer.write(at, None, 0, EventKind::Allocation).unwrap();
        }
        let bytes = writer.into_inner();
        let events = EventLog::new(&bytes).events();
        assert_eq!(
            events
                .map(Result::unwrap)
                .filter(|event| event.size == 0)
                .count(),
            100
        );
    }
}

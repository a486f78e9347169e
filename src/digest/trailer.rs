//! [`Trailer`]: identifies the log of a digest. Digests of this crate have one after the index, where heapprof 1.0
//! does not look.
//!
//! ```text
//! magic number       fixed32   0x68707472
//! version            varint    1, or 2 if a clock follows
//! clock              varints   version 2 only: 1, the corrected clock; or 2, the one that closes gaps, followed by
//!                              the seconds and nanoseconds of its limit; version 1 has the recorded clock
//! flags              varint    bit 0: the digest was stopped before the end of the log
//! log length         varint    bytes of the log when it was digested
//! precision          fixed64   as an IEEE 754 double
//! sampling rates     varint    number, then fixed64 upper size and fixed32 probability of each
//! end                position  of the log up to which it was digested
//! damage             varint    number, then of each: offset, kind and its two values, all varints
//! positions          varint    number, then of each: a varint, the number of snapshots since the previous one,
//!                              and the position at which that snapshot was taken
//! checksums          fixed32   of the entries of each snapshot that has bytes of its own, in order
//! checksum           fixed32   of start, interval, index and all of the above
//! magic number       fixed32   0x68706532, at the end of the file
//!
//! position    four varints, the differences to the previous position: offset, events, elapsed µs, and
//!             (zigzag) the lag of the wall clock behind the elapsed time; with clock 2 a fifth, the µs of
//!             gaps that the clock left out
//! ```
//!
//! Stored positions have recorded times, whatever the clock is. Version 2 is used only with another clock than the
//! recorded one, so that version-1 readers treat such a digest as foreign. The magic number at the end changes with the algorithm of
//! the checksums.
//!
//! A snapshot is the heap after the last event at or before its time. Its position is where the log goes on after
//! that event, so the heap at any time can be replayed from the snapshot before it. Snapshots with no event between
//! them share a position, so idle time takes no bytes here.

use std::time::Duration;

use super::checksum::checksum;
use crate::error::{DecodeError, DecodeErrorKind as Kind, FileKind};
use crate::raw::LogPosition;
use crate::raw::block::{Cursor, push_fixed32, push_fixed64, push_rates, push_varint};
use crate::raw::hpc::Layout;
use crate::raw::hpd::record::{MAX_LEN, MIN_LEN};
use crate::raw::rates::SamplingRates;
use crate::time::{Clock, Elapsed, StartTime, WallOffset};

/// The magic number at the start of a trailer.
const MAGIC: u32 = 0x6870_7472;
/// The magic number at the end of a trailer, and so of the file. A reader finds it even if the index is damaged.
const END_MAGIC: u32 = 0x6870_6532;
/// The version with recorded times.
const VERSION: u64 = 1;
/// The version that names its clock.
const VERSION_WITH_CLOCK: u64 = 2;
const CORRECTED: u64 = 1;
const GAPS_CLOSED: u64 = 2;
const STOPPED: u64 = 1;
/// The number of kinds of damage that have a code.
const KINDS: u64 = 10;

/// The log that a digest was made of, and the options it was made with.
#[derive(Debug, Clone)]
pub(crate) struct Origin {
    pub(crate) is_stopped: bool,
    pub(crate) log_len: u64,
    pub(crate) precision: f64,
    pub(crate) rates: SamplingRates,
    pub(crate) clock: Clock,
    /// The position of the log up to which it was digested.
    pub(crate) end: LogPosition,
    /// The damage of the log.
    pub(crate) damage: Vec<DecodeError>,
}

/// A decoded trailer.
#[derive(Debug, Clone)]
pub(crate) struct Trailer {
    pub(crate) origin: Origin,
    /// The first snapshot of each position, and the position.
    positions: Vec<(u64, LogPosition)>,
    /// One for each run of equal snapshots.
    checksums: Vec<u32>,
}

impl Trailer {
    /// Where the log goes on after a snapshot.
    pub(crate) fn position(&self, snapshot: usize) -> Option<LogPosition> {
        let is_before = |&(first, _): &(u64, LogPosition)| first <= snapshot as u64;
        let count = self.positions.partition_point(is_before);
        let &(_, position) = self.positions.get(count.checked_sub(1)?)?;
        Some(position)
    }

    /// Where the log goes on after each snapshot that has a position of its own.
    pub(crate) fn positions(&self) -> impl Iterator<Item = LogPosition> + '_ {
        self.positions.iter().map(|&(_, position)| position)
    }

    /// The checksum of the entries of a run of equal snapshots.
    pub(crate) fn checksum(&self, run: usize) -> Option<u32> {
        self.checksums.get(run).copied()
    }

    /// Reads the trailer at the end of a digest. Returns `None` if the digest has no
    /// trailer, or a trailer of a later version.
    ///
    /// # Errors
    /// If the trailer is damaged, or the header or the index, which its checksum covers.
    pub(crate) fn read(layout: &Layout, bytes: &[u8]) -> Result<Option<Self>, DecodeError> {
        let Some(bytes) = bytes.strip_suffix(&END_MAGIC.to_be_bytes()) else {
            return Ok(None);
        };
        let (index, trailer) = layout.index_and_trailer(bytes);
        let read = || {
            let (body, stated) = trailer.split_last_chunk().ok_or(Kind::Cut)?;
            let expected = u32::from_be_bytes(*stated);
            let found = checksum_of(layout.start, layout.interval_ms, index, body);
            if expected != found {
                return Err(Kind::Checksum { expected, found });
            }
            Self::decode(layout, body)
        };
        let offset = bytes.len().saturating_sub(trailer.len()) as u64;
        read().map_err(|kind| DecodeError::new(FileKind::Hpc, offset, kind))
    }

    fn decode(layout: &Layout, body: &[u8]) -> Result<Option<Self>, Kind> {
        let mut cursor = Cursor::new(body, 0);
        if cursor.fixed32()? != MAGIC {
            return Ok(None);
        }
        let clock = match cursor.varint()? {
            VERSION => Clock::Recorded,
            VERSION_WITH_CLOCK => match cursor.varint()? {
                CORRECTED => Clock::Corrected,
                GAPS_CLOSED => Clock::GapsClosed(read_duration(&mut cursor)?),
                _ => return Ok(None),
            },
            _ => return Ok(None),
        };
        let is_stopped = cursor.varint()? & STOPPED != 0;
        let log_len = cursor.varint()?;
        let precision = f64::from_bits(cursor.fixed64()?);
        let rates = cursor.rates()?;
        let end = read_position(&mut cursor, LogPosition::start(clock))?;
        let mut damage = Vec::new();
        for _ in 0..cursor.varint()? {
            let offset = cursor.varint()?;
            let (code, a, b) = (cursor.varint()?, cursor.varint()?, cursor.varint()?);
            let Some(kind) = decode_kind(code, a, b) else {
                return Ok(None);
            };
            damage.push(DecodeError::new(FileKind::Hpd, offset, kind));
        }
        let mut positions = Vec::new();
        let (mut first, mut last) = (0_u64, LogPosition::start(clock));
        for _ in 0..cursor.varint()? {
            first = first.saturating_add(cursor.varint()?);
            let position = read_position(&mut cursor, last)?;
            // Only the first snapshot can precede all events.
            if !positions.is_empty() || position != last {
                check_order(last, position)?;
            }
            positions.push((first, position));
            last = position;
        }
        if end != last {
            check_order(last, end)?;
        }
        if end.offset() > log_len {
            let found = end.offset();
            return Err(Kind::Place { found });
        }
        let mut checksums = Vec::new();
        for _ in layout.runs() {
            checksums.push(cursor.fixed32()?);
        }
        let origin = Origin {
            is_stopped,
            log_len,
            precision,
            rates,
            clock,
            end,
            damage,
        };
        Ok((cursor.left() == 0).then_some(Self {
            origin,
            positions,
            checksums,
        }))
    }
}

/// Encodes positions and checksums while the snapshots are written.
#[derive(Debug, Default)]
pub(crate) struct TrailerBuilder {
    positions: Vec<u8>,
    count: u64,
    /// The last snapshot with a position of its own, and the position.
    last: (u64, LogPosition),
    checksums: Vec<u8>,
}

impl TrailerBuilder {
    /// Adds the position of snapshot `number`.
    pub(crate) fn position(&mut self, number: u64, position: LogPosition) {
        let (last_number, last) = self.last;
        if self.count == 0 || position != last {
            push_varint(&mut self.positions, number.saturating_sub(last_number));
            push_position(&mut self.positions, last, position);
            self.count += 1;
            self.last = (number, position);
        }
    }

    /// Adds the checksum of the encoded entries of a snapshot.
    pub(crate) fn entries(&mut self, entries: &[u8]) {
        push_fixed32(&mut self.checksums, checksum(&[entries]));
    }

    /// The trailer of a digest with this start, interval and index.
    pub(crate) fn finish(
        &self,
        start: StartTime,
        interval_ms: u64,
        index: &[u8],
        origin: &Origin,
    ) -> Vec<u8> {
        let mut out = Vec::new();
        push_fixed32(&mut out, MAGIC);
        match origin.clock {
            Clock::Recorded => push_varint(&mut out, VERSION),
            Clock::Corrected => {
                push_varint(&mut out, VERSION_WITH_CLOCK);
                push_varint(&mut out, CORRECTED);
            }
            Clock::GapsClosed(limit) => {
                push_varint(&mut out, VERSION_WITH_CLOCK);
                push_varint(&mut out, GAPS_CLOSED);
                push_varint(&mut out, limit.as_secs());
                push_varint(&mut out, limit.subsec_nanos().into());
            }
        }
        push_varint(&mut out, if origin.is_stopped { STOPPED } else { 0 });
        push_varint(&mut out, origin.log_len);
        push_fixed64(&mut out, origin.precision.to_bits());
        push_rates(&mut out, &origin.rates);
        push_position(&mut out, LogPosition::START, origin.end);
        let damage: Vec<_> = origin.damage.iter().filter_map(encode_damage).collect();
        push_varint(&mut out, damage.len() as u64);
        for value in damage.into_iter().flatten() {
            push_varint(&mut out, value);
        }
        push_varint(&mut out, self.count);
        out.extend_from_slice(&self.positions);
        out.extend_from_slice(&self.checksums);
        let checksum = checksum_of(start, interval_ms, index, &out);
        push_fixed32(&mut out, checksum);
        push_fixed32(&mut out, END_MAGIC);
        out
    }
}

/// The recorded lag of the wall clock behind the elapsed time in microseconds.
fn lag_of(position: LogPosition) -> i64 {
    let position = position.recorded();
    let elapsed = position.elapsed().as_micros().cast_signed();
    elapsed.wrapping_sub(position.wall().as_micros())
}

fn read_duration(cursor: &mut Cursor<'_>) -> Result<Duration, Kind> {
    let seconds = Duration::from_secs(cursor.varint()?);
    Ok(seconds.saturating_add(Duration::from_nanos(cursor.varint()?)))
}

fn push_position(out: &mut Vec<u8>, before: LogPosition, position: LogPosition) {
    let micros = |position: LogPosition| position.recorded().elapsed().as_micros();
    let lag = lag_of(position).wrapping_sub(lag_of(before));
    for value in [
        position.offset().saturating_sub(before.offset()),
        position.events().saturating_sub(before.events()),
        micros(position).saturating_sub(micros(before)),
        ((lag << 1) ^ (lag >> 63)).cast_unsigned(),
    ] {
        push_varint(out, value);
    }
    if let Clock::GapsClosed(_) = position.clock() {
        push_varint(out, position.closed().saturating_sub(before.closed()));
    }
}

/// Reads a position with the clock of `before`.
fn read_position(cursor: &mut Cursor<'_>, before: LogPosition) -> Result<LogPosition, Kind> {
    let clock = before.clock();
    let offset = before.offset().saturating_add(cursor.varint()?);
    let events = before.events().saturating_add(cursor.varint()?);
    let elapsed = before.recorded().elapsed().as_micros();
    let elapsed = elapsed.saturating_add(cursor.varint()?);
    let zigzag = cursor.varint()?;
    let lag = (zigzag >> 1).cast_signed() ^ -(zigzag & 1).cast_signed();
    let lag = lag.wrapping_add(lag_of(before));
    let wall = WallOffset::from_micros(elapsed.cast_signed().wrapping_sub(lag));
    let elapsed = Elapsed::from_micros(elapsed);
    let closed = match clock {
        Clock::GapsClosed(_) => before.closed().saturating_add(cursor.varint()?),
        Clock::Recorded | Clock::Corrected => 0,
    };
    Ok(LogPosition::new(offset, events, elapsed, wall).on(clock, closed))
}

/// Checks that `position` can follow `before`. A checksum does not protect against malice, and queries read the log
/// between these positions.
fn check_order(before: LogPosition, position: LogPosition) -> Result<(), Kind> {
    let bytes = position.offset().saturating_sub(before.offset());
    let events = position.events().saturating_sub(before.events());
    let shortest = events.saturating_mul(MIN_LEN as u64);
    let longest = events.saturating_mul(MAX_LEN as u64);
    let elapsed = [before, position].map(|position| position.recorded().elapsed());
    let closed = position.closed().saturating_sub(before.closed());
    let is_closed = elapsed[1] - elapsed[0] < Duration::from_micros(closed);
    if events == 0 || !(shortest..=longest).contains(&bytes) || is_closed {
        let found = position.offset();
        return Err(Kind::Place { found });
    }
    Ok(())
}

/// Damage as offset, code and values; `None` for a kind that no log has.
fn encode_damage(error: &DecodeError) -> Option<[u64; 4]> {
    let (_, values) = error.kind().parts();
    let [a, b] = values.map(|value| value.map_or(0, |(_, value)| value));
    let code = (0..KINDS).find(|&code| decode_kind(code, a, b) == Some(error.kind()))?;
    Some([error.offset(), code, a, b])
}

/// The kind of damage with this code and these values; `None` for an unknown code or an impossible value.
fn decode_kind(code: u64, a: u64, b: u64) -> Option<Kind> {
    Some(match code {
        0 => Kind::Cut,
        1 => Kind::Varint,
        2 => Kind::Time,
        3 => Kind::Size { found: a },
        4 => Kind::Estimate { size: a },
        5 => Kind::UnknownTrace {
            found: a.try_into().ok()?,
            traces: b.try_into().ok()?,
        },
        6 => Kind::Microseconds { found: a },
        7 => Kind::NegativeBalance {
            trace: a.try_into().ok()?,
        },
        8 => Kind::Saturated,
        9 => Kind::Zeros { len: a },
        _ => return None,
    })
}

fn checksum_of(start: StartTime, interval_ms: u64, index: &[u8], body: &[u8]) -> u32 {
    let [seconds, nanoseconds, interval] =
        [start.seconds(), start.nanoseconds(), interval_ms].map(u64::to_be_bytes);
    checksum(&[&seconds, &nanoseconds, &interval, index, body])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn round_trips_positions_after_clock_steps() {
        let position = |offset, events, elapsed, wall| {
            LogPosition::new(
                offset,
                events,
                Elapsed::from_micros(elapsed),
                WallOffset::from_micros(wall),
            )
        };
        let positions = [
            position(10, 1, 5, 5),
            position(20, 2, 5, -1_000_000),
            position(31, 3, i64::MAX as u64, -i64::MAX),
            position(40, 4, i64::MAX as u64, -i64::MAX),
        ];
        let mut bytes = Vec::new();
        let mut before = LogPosition::START;
        for position in positions {
            push_position(&mut bytes, before, position);
            before = position;
        }
        let mut cursor = Cursor::new(&bytes, 0);
        let mut before = LogPosition::START;
        for position in positions {
            before = read_position(&mut cursor, before).unwrap();
            assert_eq!(before, position);
        }
    }

    #[test]
    fn rejects_positions_whose_bytes_do_not_match_their_events() {
        let at = |offset, events| LogPosition::new(offset, events, Elapsed::ZERO, WallOffset::ZERO);
        let before = at(100, 10);
        for (offset, events, fits) in [
            (107, 11, true),
            (134, 11, true),
            (106, 11, false),
            (135, 11, false),
            (100, 10, false),
            (90, 9, false),
            (100 + 7000, 1010, true),
            (u64::MAX, u64::MAX, false),
            (100, u64::MAX, false),
        ] {
            let order = check_order(before, at(offset, events));
            assert_eq!(
                order,
                if fits {
                    Ok(())
                } else {
                    Err(Kind::Place { found: offset })
                }
            );
        }
    }

    #[test]
    fn round_trips_every_kind_of_damage_of_a_log() {
        for code in 0..KINDS {
            let kind = decode_kind(code, 7, 9).unwrap();
            let error = DecodeError::new(FileKind::Hpd, 70, kind);
            let [offset, encoded, a, b] = encode_damage(&error).unwrap();
            assert_eq!((offset, encoded), (70, code));
            assert_eq!(decode_kind(encoded, a, b), Some(kind));
        }
        assert_eq!(decode_kind(KINDS, 7, 9), None);
        let of_a_digest = DecodeError::new(FileKind::Hpc, 0, Kind::Unfinished);
        assert_eq!(encode_damage(&of_a_digest), None);
    }
}

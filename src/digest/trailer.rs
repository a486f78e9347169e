//! What our digests say about themselves, after the index, where heapprof 1.0 does not look.
//!
//! ```text
//! mark               fixed32   0x68707472
//! version            varint    1, or 2 for one that begins with its clock
//! clock              varint    from version 2 on: 1 for the corrected clock; else it is 0, as recorded
//! flags              varint    bit 0: making it was stopped before the end of the log
//! log length         varint    bytes of the log when it was digested
//! precision          fixed64   as an IEEE 754 double
//! sampling rates     varint    number, then fixed64 upper size and fixed32 probability of each:
//!                              those the estimates were made with
//! end                place     of the log up to which it was digested
//! damage             varint    number, then of each: offset, kind and its two values, all varints
//! places             varint    number, then of each: a varint, by how many snapshots it is later
//!                              than the one before, and the place at which that snapshot was taken
//! checksums          fixed32   of the entries of each snapshot that does not share its bytes, in order
//! checksum           fixed32   of start, interval, index and all of the above
//! mark               fixed32   0x68706532, at the end of the file
//!
//! place    four varints, each the difference to the place before: offset, events, elapsed µs, and
//!          (zigzag) by how much the wall clock fell behind that
//! ```
//!
//! Places have the times as recorded, whatever the clock is. Only a digest of another clock has
//! version 2, so that who knows version 1 alone takes that one for foreign. The mark at the end says how
//! the checksums are computed, as it did when they were computed otherwise and it was another.
//!
//! A snapshot is the heap after the last event at or before its time. Its place says where the log
//! goes on after that event, so that the heap at any moment can be replayed from the snapshot
//! before it. Snapshots between which there was no event have one place: an idle hour costs
//! nothing here.

use std::mem::discriminant;

use super::checksum::Checksum;
use crate::error::{DecodeError, DecodeErrorKind as Kind, FileKind};
use crate::raw::LogPosition;
use crate::raw::block::{Cursor, push_fixed32, push_fixed64, push_varint};
use crate::raw::hpc::Layout;
use crate::raw::hpd::record::{MAX_LEN, MIN_LEN};
use crate::raw::rates::SamplingRates;
use crate::time::{Clock, Elapsed, StartTime, WallOffset};

/// The mark that begins a trailer.
const MARK: u32 = 0x6870_7472;
/// The mark that ends it, and so the file. It is found also where the index is damaged.
const END: u32 = 0x6870_6532;
/// Of a digest with the times as recorded.
const VERSION: u64 = 1;
/// Of one that says whose times it has.
const VERSION_WITH_CLOCK: u64 = 2;
const CORRECTED: u64 = 1;
const STOPPED: u64 = 1;

/// What a digest of ours says about itself.
#[derive(Debug, Clone)]
pub(crate) struct Trailer {
    pub(crate) stopped: bool,
    pub(crate) log_len: u64,
    pub(crate) precision: f64,
    pub(crate) rates: SamplingRates,
    pub(crate) clock: Clock,
    pub(crate) end: LogPosition,
    pub(crate) damage: Vec<DecodeError>,
    /// From which snapshot on which place holds.
    places: Vec<(u64, LogPosition)>,
    /// One for each run of equal snapshots.
    checksums: Vec<u32>,
}

/// What stands after the index of a digest.
#[derive(Debug)]
pub(crate) enum Found {
    /// Nothing of ours, or of a later version.
    Foreign,
    /// A trailer of ours that is damaged, or whose header or index is.
    Damaged(DecodeError),
    Whole(Trailer),
}

impl Trailer {
    /// Where the log goes on after the snapshot.
    pub(crate) fn place(&self, snapshot: usize) -> Option<LogPosition> {
        let after = self
            .places
            .partition_point(|&(first, _)| first <= snapshot as u64);
        let &(_, place) = self.places.get(after.checked_sub(1)?)?;
        Some(place)
    }

    /// Where the log goes on after each snapshot that another event came before.
    pub(crate) fn places(&self) -> impl Iterator<Item = LogPosition> + '_ {
        self.places.iter().map(|&(_, place)| place)
    }

    /// The checksum of the bytes of the entries of a run of equal snapshots.
    pub(crate) fn checksum(&self, run: usize) -> Option<u32> {
        self.checksums.get(run).copied()
    }

    /// Reads what stands after the index.
    pub(crate) fn read(layout: &Layout, bytes: &[u8]) -> Found {
        let Some((rest, end)) = bytes.split_last_chunk() else {
            return Found::Foreign;
        };
        if u32::from_be_bytes(*end) != END {
            return Found::Foreign;
        }
        let (index, trailer) = layout.index_and_trailer(rest);
        let at = bytes.len().saturating_sub(trailer.len() + end.len());
        let damaged = |kind| Found::Damaged(DecodeError::new(FileKind::Hpc, at as u64, kind));
        let Some((body, stated)) = trailer.split_last_chunk() else {
            return damaged(Kind::Cut);
        };
        let expected = u32::from_be_bytes(*stated);
        let found = checksum_of(layout.start, layout.interval_ms, index, body);
        if expected != found {
            return damaged(Kind::Checksum { expected, found });
        }
        match Self::decode(layout, body) {
            Ok(Some(trailer)) => Found::Whole(trailer),
            Ok(None) => Found::Foreign,
            Err(kind) => damaged(kind),
        }
    }

    /// `None` for what a later version may write.
    fn decode(layout: &Layout, body: &[u8]) -> Result<Option<Self>, Kind> {
        let mut cursor = Cursor::new(body, 0);
        if cursor.fixed32()? != MARK {
            return Ok(None);
        }
        let clock = match cursor.varint()? {
            VERSION => Clock::Recorded,
            VERSION_WITH_CLOCK => match cursor.varint()? {
                CORRECTED => Clock::Corrected,
                _ => return Ok(None),
            },
            _ => return Ok(None),
        };
        let flags = cursor.varint()?;
        let log_len = cursor.varint()?;
        let precision = f64::from_bits(cursor.fixed64()?);
        let mut ranges = Vec::new();
        for _ in 0..cursor.varint()? {
            ranges.push((cursor.fixed64()?, cursor.fixed32()?));
        }
        let end = read_place(&mut cursor, LogPosition::START)?;
        let mut damage = Vec::new();
        for _ in 0..cursor.varint()? {
            let offset = cursor.varint()?;
            let (code, a, b) = (cursor.varint()?, cursor.varint()?, cursor.varint()?);
            let Some(kind) = decode_kind(code, a, b) else {
                return Ok(None);
            };
            damage.push(DecodeError::new(FileKind::Hpd, offset, kind));
        }
        let mut places = Vec::new();
        let (mut first, mut place) = (0_u64, LogPosition::START);
        for _ in 0..cursor.varint()? {
            first = first.saturating_add(cursor.varint()?);
            let before = place;
            place = read_place(&mut cursor, place)?;
            if !places.is_empty() || place != before {
                check_order(before, place)?;
            }
            places.push((first, place.on(clock)));
        }
        if place != end {
            check_order(place, end)?;
        }
        if end.offset() > log_len {
            let found = end.offset();
            return Err(Kind::Place { found });
        }
        let mut checksums = Vec::new();
        for _ in 0..layout.run_count() {
            checksums.push(cursor.fixed32()?);
        }
        Ok((cursor.left() == 0).then(|| Self {
            stopped: flags & STOPPED != 0,
            log_len,
            precision,
            rates: SamplingRates::from_stored(ranges),
            clock,
            end: end.on(clock),
            damage,
            places,
            checksums,
        }))
    }
}

/// Collects what a trailer says while the snapshots are written.
#[derive(Debug)]
pub(crate) struct TrailerBuilder {
    places: Vec<u8>,
    place_count: u64,
    /// The snapshot and the place noted last.
    last: (u64, LogPosition),
    checksums: Vec<u8>,
}

/// What of a trailer is known only at the end.
pub(crate) struct End<'a> {
    pub(crate) stopped: bool,
    pub(crate) log_len: u64,
    pub(crate) precision: f64,
    pub(crate) rates: &'a SamplingRates,
    pub(crate) clock: Clock,
    pub(crate) place: LogPosition,
    pub(crate) damage: &'a [DecodeError],
}

impl TrailerBuilder {
    pub(crate) fn new() -> Self {
        Self {
            places: Vec::new(),
            place_count: 0,
            last: (0, LogPosition::START),
            checksums: Vec::new(),
        }
    }

    /// Snapshot `number` was taken at this place.
    pub(crate) fn place(&mut self, number: u64, place: LogPosition) {
        let place = place.on(Clock::Recorded);
        let (last_number, last) = self.last;
        if self.place_count == 0 || place != last {
            push_varint(&mut self.places, number.saturating_sub(last_number));
            push_place(&mut self.places, last, place);
            self.place_count += 1;
            self.last = (number, place);
        }
    }

    /// A snapshot with entries of these bytes was written.
    pub(crate) fn written(&mut self, entries: &[u8]) {
        push_fixed32(&mut self.checksums, Checksum::of(entries));
    }

    /// The trailer of a digest with this start, interval and index.
    pub(crate) fn finish(
        &self,
        start: StartTime,
        interval_ms: u64,
        index: &[u8],
        end: &End<'_>,
    ) -> Vec<u8> {
        let mut out = Vec::new();
        push_fixed32(&mut out, MARK);
        match end.clock {
            Clock::Recorded => push_varint(&mut out, VERSION),
            Clock::Corrected => {
                push_varint(&mut out, VERSION_WITH_CLOCK);
                push_varint(&mut out, CORRECTED);
            }
        }
        push_varint(&mut out, if end.stopped { STOPPED } else { 0 });
        push_varint(&mut out, end.log_len);
        push_fixed64(&mut out, end.precision.to_bits());
        push_varint(&mut out, end.rates.ranges().len() as u64);
        for range in end.rates.ranges() {
            push_fixed64(&mut out, range.upper_size());
            push_fixed32(&mut out, range.stored_probability());
        }
        push_place(&mut out, LogPosition::START, end.place.on(Clock::Recorded));
        let damage: Vec<_> = end
            .damage
            .iter()
            .filter_map(|error| Some((error.offset(), encode_kind(error.kind())?)))
            .collect();
        push_varint(&mut out, damage.len() as u64);
        for (offset, (code, a, b)) in damage {
            for value in [offset, code, a, b] {
                push_varint(&mut out, value);
            }
        }
        push_varint(&mut out, self.place_count);
        out.extend_from_slice(&self.places);
        out.extend_from_slice(&self.checksums);
        let checksum = checksum_of(start, interval_ms, index, &out);
        push_fixed32(&mut out, checksum);
        push_fixed32(&mut out, END);
        out
    }
}

/// By how many microseconds the wall clock is behind the elapsed time.
fn behind(place: LogPosition) -> i64 {
    place
        .elapsed()
        .as_micros()
        .cast_signed()
        .wrapping_sub(place.wall().as_micros())
}

fn push_place(out: &mut Vec<u8>, before: LogPosition, place: LogPosition) {
    let fell = behind(place).wrapping_sub(behind(before));
    let zigzag = ((fell << 1) ^ (fell >> 63)).cast_unsigned();
    let elapsed = place.elapsed().since(before.elapsed()).as_micros();
    push_varint(out, place.offset().saturating_sub(before.offset()));
    push_varint(out, place.events().saturating_sub(before.events()));
    push_varint(out, u64::try_from(elapsed).unwrap_or(u64::MAX));
    push_varint(out, zigzag);
}

fn read_place(cursor: &mut Cursor<'_>, before: LogPosition) -> Result<LogPosition, Kind> {
    let offset = before.offset().saturating_add(cursor.varint()?);
    let events = before.events().saturating_add(cursor.varint()?);
    let elapsed = before
        .elapsed()
        .as_micros()
        .saturating_add(cursor.varint()?);
    let zigzag = cursor.varint()?;
    let fell = (zigzag >> 1).cast_signed() ^ -(zigzag & 1).cast_signed();
    let wall = elapsed
        .cast_signed()
        .wrapping_sub(behind(before).wrapping_add(fell));
    Ok(LogPosition::new(
        offset,
        events,
        Elapsed::from_micros(elapsed),
        WallOffset::from_micros(wall),
    ))
}

/// Whether a place can follow on another: a checksum is no proof that somebody meant well, and what
/// lies between two places is read on the word of the digest.
fn check_order(before: LogPosition, place: LogPosition) -> Result<(), Kind> {
    let bytes = place.offset().saturating_sub(before.offset());
    let events = place.events().saturating_sub(before.events());
    let shortest = events.saturating_mul(MIN_LEN as u64);
    let longest = events.saturating_mul(MAX_LEN as u64);
    if events == 0 || !(shortest..=longest).contains(&bytes) {
        let found = place.offset();
        return Err(Kind::Place { found });
    }
    Ok(())
}

/// The code of a kind of damage of a log, and its values; `None` for a kind that no log has.
fn encode_kind(kind: Kind) -> Option<(u64, u64, u64)> {
    let same = |code| decode_kind(code, 0, 0).map(|it| discriminant(&it) == discriminant(&kind));
    let code = (0..)
        .map_while(|code| Some((code, same(code)?)))
        .find(|&(_, same)| same)?
        .0;
    let (_, values) = kind.parts();
    let [a, b] = values.map(|value| value.map_or(0, |(_, value)| value));
    Some((code, a, b))
}

/// The kind of damage that has a code, with its values.
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
    let mut checksum = Checksum::new();
    for field in [start.seconds(), start.nanoseconds(), interval_ms] {
        checksum.update(&field.to_be_bytes());
    }
    checksum.update(index);
    checksum.update(body);
    checksum.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_with_clocks_that_step_back_come_back() {
        let place = |offset, events, elapsed, wall| {
            LogPosition::new(
                offset,
                events,
                Elapsed::from_micros(elapsed),
                WallOffset::from_micros(wall),
            )
        };
        let places = [
            place(10, 1, 5, 5),
            place(20, 2, 5, -1_000_000),
            place(31, 3, i64::MAX as u64, -i64::MAX),
            place(40, 4, i64::MAX as u64, -i64::MAX),
        ];
        let mut bytes = Vec::new();
        let mut before = LogPosition::START;
        for place in places {
            push_place(&mut bytes, before, place);
            before = place;
        }
        let mut cursor = Cursor::new(&bytes, 0);
        let mut before = LogPosition::START;
        for place in places {
            before = read_place(&mut cursor, before).unwrap();
            assert_eq!(before, place);
        }
    }

    #[test]
    fn places_ascend_by_as_many_bytes_as_events_have() {
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
    fn every_kind_of_damage_of_a_log_comes_back() {
        for code in 0.. {
            let Some(kind) = decode_kind(code, 7, 9) else {
                assert_eq!(code, 10);
                break;
            };
            let (again, a, b) = encode_kind(kind).unwrap();
            assert_eq!(again, code);
            assert_eq!(decode_kind(again, a, b), Some(kind));
        }
    }
}

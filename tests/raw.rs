//! The low-level readers and writers, as properties: what is written comes back, and the fast
//! decoders equal the plain ones on whatever bytes.

mod common;
#[path = "common/plain.rs"]
mod plain;

use std::io::Cursor;
use std::time::Duration;

use heapprof::EventKind;
use heapprof::raw::{DecodeError, EncodeError};
use heapprof::raw::{DigestFile, DigestWriter, EventLog, EventWriter, TraceLog, TraceWriterV1};
use heapprof::{SamplingRates, StartTime, TraceId, WallOffset};
use plain::Bad;
use proptest::collection::vec;
use proptest::prelude::*;

/// Numbers of all lengths, small ones above all.
fn number() -> impl Strategy<Value = u64> {
    prop_oneof![
        4 => 0_u64..300,
        2 => 0_u64..1 << 21,
        1 => (0_u32..64, any::<u64>()).prop_map(|(shift, value)| value >> shift),
    ]
}

/// Bytes of one event: often as a recorder writes it, sometimes longer than needed.
fn event_bytes() -> impl Strategy<Value = Vec<u8>> {
    let head = prop_oneof![4 => 0_u32..1 << 12, 2 => any::<u32>()];
    let seconds = prop_oneof![8 => Just(0), 1 => number()];
    let micros = prop_oneof![4 => 0_u64..200, 1 => number()];
    (head, seconds, micros, number(), any::<bool>()).prop_map(
        |(head, seconds, micros, size, padded)| {
            let mut bytes = head.to_be_bytes().to_vec();
            for value in [seconds, micros, size] {
                push_varint(&mut bytes, value);
                if padded && bytes.last() < Some(&0x40) {
                    *bytes.last_mut().unwrap() |= 0x80;
                    bytes.push(0);
                }
            }
            bytes
        },
    )
}

fn push_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(u8::try_from(value & 0x7f).unwrap() | 0x80);
        value >>= 7;
    }
    out.push(u8::try_from(value).unwrap());
}

/// A log of whole events, then perhaps cut or with a byte changed.
fn log_bytes() -> impl Strategy<Value = Vec<u8>> {
    let damage = prop_oneof![
        2 => Just(None),
        1 => (any::<prop::sample::Index>(), any::<u8>()).prop_map(Some),
    ];
    (
        vec(event_bytes(), 0..60),
        any::<prop::sample::Index>(),
        any::<bool>(),
        damage,
    )
        .prop_map(|(events, cut, cuts, damage)| {
            let mut bytes = events.concat();
            if cuts {
                bytes.truncate(cut.index(bytes.len() + 1));
            }
            if let (Some((at, flip)), false) = (damage, bytes.is_empty()) {
                let at = at.index(bytes.len());
                bytes[at] ^= flip;
            }
            bytes
        })
}

fn ends_as(error: Option<&DecodeError>, end: Option<(usize, Bad)>) -> bool {
    let told = error.map(|error| {
        let bad = if error.is_cut() {
            Bad::Cut
        } else {
            Bad::Senseless
        };
        (usize::try_from(error.offset()).unwrap(), bad)
    });
    told == end
}

fn check_log(bytes: &[u8]) -> Result<(), TestCaseError> {
    let (expected, end) = plain::events(bytes, &SamplingRates::unsampled());
    let mut events = EventLog::new(bytes).events();
    for expected in &expected {
        let event = events.next().unwrap().unwrap();
        prop_assert_eq!(plain::Event::from(event), *expected);
    }
    let last = events.next().map(Result::unwrap_err);
    prop_assert!(ends_as(last.as_ref(), end), "{:?} for {:?}", last, end);
    prop_assert!(events.next().is_none());
    prop_assert_eq!(events.position().events(), expected.len() as u64);
    prop_assert_eq!(
        events.position().offset(),
        end.map_or(bytes.len(), |(at, _)| at) as u64
    );

    // From within, where an iterator has loops of its own: from the start, and from the middle.
    for passed in [0, expected.len() / 2] {
        let mut events = EventLog::new(bytes).events();
        for _ in 0..passed {
            events.next();
        }
        let mut rest = Vec::new();
        events.for_each(|event| rest.push(event));
        let error = rest.pop_if(|event| event.is_err()).map(Result::unwrap_err);
        prop_assert_eq!(error.as_ref(), last.as_ref());
        let rest = rest.into_iter().map(Result::unwrap);
        prop_assert!(
            rest.map(plain::Event::from)
                .eq(expected[passed..].iter().copied())
        );
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn a_log_is_decoded_as_byte_by_byte(bytes in log_bytes()) {
        check_log(&bytes)?;
    }

    #[test]
    fn noise_is_decoded_as_byte_by_byte(bytes in vec(any::<u8>(), 0..200)) {
        check_log(&bytes)?;
    }

    #[test]
    fn events_can_be_resumed_at_any_of_them(
        bytes in log_bytes(),
        at in any::<prop::sample::Index>(),
        read in any::<prop::sample::Index>(),
    ) {
        let whole: Vec<_> = EventLog::new(&bytes).events().collect();
        // What is there today is a cut log.
        let today = &bytes[..at.index(bytes.len() + 1)];
        let mut events = EventLog::new(today).events();
        let mut joined: Vec<_> = events
            .by_ref()
            .take(read.index(whole.len() + 1))
            .take_while(Result::is_ok)
            .collect();
        joined.extend(EventLog::new(&bytes).events_from(events.position()));
        prop_assert_eq!(joined, whole);
    }

    #[test]
    fn written_events_come_back(
        events in vec((number(), any::<bool>(), 0_u32..1 << 30, number(), any::<bool>()), 0..50),
    ) {
        let mut writer = EventWriter::new(Vec::new());
        let mut expected = Vec::new();
        let (mut wall, mut elapsed) = (0_i64, 0_u64);
        for (distance, back, trace, size, free) in events {
            let distance = i64::try_from(distance >> 2).unwrap();
            let next = if back { wall.checked_sub(distance) } else { wall.checked_add(distance) };
            let Some(next) = next else { continue };
            let kind = if free { EventKind::Free } else { EventKind::Allocation };
            match writer.write(WallOffset::from_micros(next), TraceId::new(trace), size, kind) {
                Ok(()) => {
                    elapsed += next.saturating_sub(wall).max(0).unsigned_abs();
                    wall = next;
                    expected.push((elapsed, wall, trace, size, kind));
                }
                Err(EncodeError::Size { size }) => prop_assert!(size > i64::MAX as u64),
                Err(EncodeError::Time { micros }) => prop_assert!(
                    elapsed.saturating_add_signed(micros.saturating_sub(wall).max(0))
                        > i64::MAX as u64
                        || micros.unsigned_abs() > i64::MAX as u64
                ),
                Err(error) => prop_assert!(false, "{}", error),
            }
        }
        let end = writer.position();
        let bytes = writer.into_inner();
        let found: Vec<_> = EventLog::new(&bytes)
            .events()
            .map(|event| {
                let event = event.unwrap();
                let trace = event.trace.map_or(0, TraceId::get);
                (event.elapsed.as_micros(), event.wall.as_micros(), trace, event.size, event.kind)
            })
            .collect();
        prop_assert_eq!(found, expected);
        let mut events = EventLog::new(&bytes).events();
        let _ = events.by_ref().count();
        prop_assert_eq!(events.position(), end);
    }

    #[test]
    fn written_traces_come_back(
        seconds in any::<u64>(),
        nanoseconds in 0_u64..1_000_000_000,
        ranges in vec((any::<u64>(), any::<u32>()), 0..5),
        stacks in vec(vec((vec(any::<u8>(), 0..200), any::<u32>()), 0..40), 0..20),
        cut in any::<prop::sample::Index>(),
    ) {
        let rates = SamplingRates::from_stored(ranges);
        let start = StartTime::new(seconds, nanoseconds);
        let mut writer = TraceWriterV1::new(Vec::new(), start, &rates).unwrap();
        let header = writer.get_mut().len();
        for (number, stack) in (1..).zip(&stacks) {
            let frames = stack.iter().map(|(file, line)| (file, *line));
            prop_assert_eq!(writer.write_outermost_first(frames).unwrap().get(), number);
        }
        let bytes = writer.into_inner();
        let log = TraceLog::new(&bytes).unwrap();
        prop_assert_eq!((log.start(), log.rates()), (start, &rates));
        let index = log.index();
        prop_assert_eq!(index.len(), stacks.len());
        for (trace, stack) in log.traces().zip(&stacks) {
            let trace = trace.unwrap();
            let outward: Vec<_> = trace
                .outermost_first()
                .map(|frame| (frame.file_bytes().to_vec(), frame.line()))
                .collect();
            prop_assert_eq!(&outward, stack);
            let mut inward: Vec<_> = trace
                .innermost_first()
                .map(|frame| (frame.file_bytes().to_vec(), frame.line()))
                .collect();
            inward.reverse();
            prop_assert_eq!(&inward, stack);
            prop_assert_eq!(index.get(trace.id()), Some(trace));
        }

        // Every whole trace before a cut is kept, and can be gone on from.
        let cut = &bytes[..header + cut.index(bytes.len() - header + 1)];
        check_traces(cut, header)?;
        let mut early = TraceLog::new(cut).unwrap().traces();
        let whole = early.by_ref().flatten().count();
        let rest = log.traces_from(early.position());
        prop_assert_eq!(rest.clone().next().map(|trace| trace.unwrap().id().get() as usize),
            (whole < stacks.len()).then_some(whole + 1));
        prop_assert_eq!(whole + rest.count(), stacks.len());
    }

    #[test]
    fn noise_for_traces_is_decoded_as_byte_by_byte(
        // Small numbers, so that names and lines are short and stacks end.
        noise in vec(prop_oneof![4 => 0_u8..6, 1 => any::<u8>()], 0..300),
    ) {
        let start = StartTime::new(1, 0);
        let unsampled = SamplingRates::unsampled();
        let mut bytes = TraceWriterV1::new(Vec::new(), start, &unsampled).unwrap().into_inner();
        let header = bytes.len();
        bytes.extend(noise);
        check_traces(&bytes, header)?;
    }

    #[test]
    fn written_digests_come_back(
        interval in 1_u64..1 << 40,
        snapshots in vec(prop::option::of(vec((0_u32..1 << 30, any::<i64>()), 0..30)), 0..10),
        trailer in vec(any::<u8>(), 0..20),
    ) {
        let start = StartTime::new(7, 8);
        let interval = Duration::from_millis(interval);
        let mut writer = DigestWriter::new(Cursor::new(Vec::new()), start, interval).unwrap();
        let mut expected: Vec<Vec<(u32, i64)>> = Vec::new();
        for snapshot in snapshots {
            match (snapshot, expected.last().cloned()) {
                (Some(mut entries), _) => {
                    entries.sort_by_key(|&(_, weight)| std::cmp::Reverse(weight));
                    let pairs = entries.iter().map(|&(trace, weight)| (TraceId::new(trace), weight));
                    writer.write_snapshot(pairs).unwrap();
                    expected.push(entries);
                }
                (None, Some(last)) => {
                    writer.write_repeat().unwrap();
                    expected.push(last);
                }
                (None, None) => {}
            }
        }
        let bytes = writer.finish(&trailer).unwrap().into_inner();
        let digest = DigestFile::new(&bytes).unwrap();
        prop_assert_eq!((digest.start(), digest.interval()), (start, interval));
        prop_assert_eq!((digest.len(), digest.trailer()), (expected.len(), &*trailer));
        for (number, expected) in expected.iter().enumerate() {
            let entries: Vec<_> = digest
                .entries(number)
                .unwrap()
                .map(|entry| entry.unwrap())
                .map(|(trace, weight)| (trace.map_or(0, TraceId::get), weight))
                .collect();
            prop_assert_eq!(&entries, expected);
        }
    }
}

fn check_traces(bytes: &[u8], header: usize) -> Result<(), TestCaseError> {
    let (expected, end) = plain::traces(bytes, header);
    let mut traces = TraceLog::new(bytes).unwrap().traces();
    for stack in &expected {
        let trace = traces.next().unwrap().unwrap();
        let found: Vec<_> = trace
            .outermost_first()
            .map(|frame| (frame.file().into_owned(), frame.line()))
            .collect();
        prop_assert_eq!(&found, stack);
    }
    let last = traces.next().map(Result::unwrap_err);
    prop_assert!(ends_as(last.as_ref(), end), "{:?} for {:?}", last, end);
    prop_assert!(traces.next().is_none());
    Ok(())
}

/// Every beginning of a real log: all whole events before the cut, one report at the right place,
/// nothing else.
#[test]
fn every_beginning_of_a_real_log() {
    let filebase = common::recording("tiny").unwrap();
    let bytes = std::fs::read(filebase.with_extension("hpd")).unwrap();
    for cut in 0..=bytes.len() {
        check_log(&bytes[..cut]).unwrap();
    }
}

/// Every beginning of a real `.hpm` file, header included.
#[test]
fn every_beginning_of_real_traces() {
    let filebase = common::recording("tiny").unwrap();
    let bytes = std::fs::read(filebase.with_extension("hpm")).unwrap();
    for cut in 0..=bytes.len() {
        match TraceLog::new(&bytes[..cut]) {
            Err(error) => {
                assert!(
                    cut < 21 && error.is_cut() && error.offset() == 0,
                    "{cut}: {error}"
                );
            }
            Ok(_) => {
                assert!(cut >= 21);
                check_traces(&bytes[..cut], 21).unwrap();
            }
        }
    }
}

/// Every single-byte change of a real log and of real traces.
#[test]
fn every_changed_byte() {
    let filebase = common::recording("tiny").unwrap();
    let read = |extension| std::fs::read(filebase.with_extension(extension)).unwrap();
    let (mut hpd, mut hpm) = (read("hpd"), read("hpm"));
    for at in 0..hpd.len() {
        for flip in [1, 0x40, 0x80, 0xff] {
            hpd[at] ^= flip;
            check_log(&hpd).unwrap();
            hpd[at] ^= flip;
        }
    }
    for at in 0..hpm.len() {
        for flip in [1, 0x40, 0x80, 0xff] {
            hpm[at] ^= flip;
            if at >= 21 {
                check_traces(&hpm, 21).unwrap();
            } else if let Ok(log) = TraceLog::new(&hpm) {
                let _ = log.traces().count();
            }
            hpm[at] ^= flip;
        }
    }
}

//! Logs of several windows, whose events begin and end at every place around the ends of windows, and
//! which are decoded in every way there is: all equal decoding byte by byte.

mod common;
#[path = "common/plain.rs"]
mod plain;

use std::fs;
use std::ops::ControlFlow;
use std::time::Duration;

use heapprof::query::{AppliedEvent, LiveHeap, Query, QueryEnd};
use heapprof::raw::DecodeErrorKind;
use heapprof::raw::{EventLog, TraceWriterV1};
use heapprof::{DigestOptions, Reader, SamplingRates, StartTime, TraceId, Usage};
use plain::Bad;

/// A log that does not repeat itself but is the same in every run.
struct Log {
    bytes: Vec<u8>,
    random: u64,
}

impl Log {
    fn new() -> Self {
        Self {
            bytes: Vec::new(),
            random: 1,
        }
    }

    /// A number below `below`.
    fn random(&mut self, below: u64) -> u64 {
        self.random = self
            .random
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.random >> 33) % below
    }

    fn event(&mut self, head: u32, seconds: u64, micros: u64, size: u64) {
        self.bytes.extend(head.to_be_bytes());
        for mut value in [seconds, micros, size] {
            while value >= 0x80 {
                self.bytes.push(value.to_le_bytes()[0] | 0x80);
                value >>= 7;
            }
            self.bytes.push(value.to_le_bytes()[0]);
        }
    }

    /// An event whose length is `len`: 7 to 15.
    fn event_of(&mut self, len: usize) {
        self.event(1, 0, 3, 1 << (7 * (len - 7)));
    }

    /// So many events of lengths of this kind.
    fn stretch(&mut self, lengths: Lengths, events: u64) {
        let free = |number: u64| u32::try_from(number % 2).unwrap() << 30;
        for number in 0..events {
            match lengths {
                Lengths::Steady => {
                    let size = [40, 40, 300, 40][usize::try_from(number % 4).unwrap()];
                    self.event(free(number) | 2, 0, 7, size);
                }
                Lengths::RandomSizes => {
                    let size = 1 << self.random(14);
                    self.event(free(number) | 3, 0, 90, size);
                }
                Lengths::Random => {
                    let micros = [5, 100, 200, 16_000, 900_000];
                    let micros = micros[usize::try_from(self.random(5)).unwrap()];
                    let size = 1 << self.random(29);
                    self.event(free(number) | 3, 0, micros, size);
                }
                Lengths::Any => {
                    let backwards = u32::from(self.random(9) == 0) << 31;
                    let seconds = if self.random(3) == 0 {
                        self.random(300)
                    } else {
                        0
                    };
                    let micros = self.random(1_000_200);
                    let bits = self.random(40);
                    let size = self.random(1 << bits);
                    let trace = u32::try_from(self.random(9)).unwrap();
                    self.event(backwards | free(number) | trace, seconds, micros, size);
                }
            }
        }
    }
}

/// Of the microseconds and sizes. What the first events of a log are of decides in which way the
/// next windows are decoded.
#[derive(Clone, Copy)]
enum Lengths {
    Steady,
    RandomSizes,
    /// Of all shapes that are told at once.
    Random,
    Any,
}

/// All that a pass shows of the events, and where it ends.
struct Steps(Vec<(plain::Event, u64, u64, bool)>);

impl Query for Steps {
    type Output = (Vec<(plain::Event, u64, u64, bool)>, u64);

    fn observe(&mut self, applied: &AppliedEvent, _: &LiveHeap) -> ControlFlow<()> {
        let event = applied.event.into();
        self.0.push((
            event,
            applied.number,
            applied.offset,
            applied.has_invalid_micros,
        ));
        ControlFlow::Continue(())
    }

    fn finish(self, end: &QueryEnd<'_>) -> Self::Output {
        (self.0, end.position().offset())
    }
}

/// Decodes the log in all ways, and gives how many events it has.
fn check(log: &[u8], folder: &std::path::Path) -> usize {
    let (expected, end) = plain::events(log, &SamplingRates::unsampled());
    let end_at = end.map_or(log.len(), |(at, _)| at) as u64;

    let mut events = EventLog::new(log).events();
    let decoded: Vec<_> = events
        .by_ref()
        .map_while(Result::ok)
        .map(plain::Event::from)
        .collect();
    assert!(decoded == expected);
    assert_eq!(events.position().offset(), end_at);
    assert!(events.next().is_none());

    // From within, an iterator has loops of its own.
    let (mut decoded, mut error) = (Vec::new(), None);
    EventLog::new(log).events().for_each(|event| match event {
        Ok(event) => decoded.push(plain::Event::from(event)),
        Err(found) => error = Some(found),
    });
    assert!(decoded == expected);
    assert_eq!(
        error.map(|error| error.offset()),
        end.map(|(at, _)| at as u64)
    );

    let mut hpm = Vec::new();
    let start = StartTime::new(0, 0);
    TraceWriterV1::new(&mut hpm, start, &SamplingRates::unsampled()).unwrap();
    let filebase = folder.join("long");
    fs::write(filebase.with_extension("hpm"), &hpm).unwrap();
    fs::write(filebase.with_extension("hpd"), log).unwrap();
    let in_memory = Reader::from_bytes(hpm, log.to_vec(), None).unwrap();
    for reader in [in_memory, Reader::open(&filebase).unwrap()] {
        let mut events = reader.events().unwrap();
        let decoded: Vec<_> = events
            .by_ref()
            .map_while(Result::ok)
            .map(plain::Event::from)
            .collect();
        assert!(decoded == expected);
        assert_eq!(events.position().offset(), end_at);
        let cut = end.filter(|&(_, bad)| bad == Bad::Cut);
        assert_eq!(
            events.cut().map(|error| error.offset()),
            cut.map(|(at, _)| at as u64)
        );

        let (steps, end) = reader.ask(Steps(Vec::new())).unwrap();
        assert_eq!((steps.len(), end), (expected.len(), end_at));
        let ends = steps.iter().skip(1).map(|step| step.2).chain([end_at]);
        for ((number, step), next) in (1..).zip(&steps).zip(ends) {
            let (event, told, offset, strange) = *step;
            assert_eq!((event, told), (expected[number - 1], number as u64));
            // The record at this offset is this event, whole, and says whether it is strange.
            let range = usize::try_from(offset).unwrap()..usize::try_from(next).unwrap();
            let mut one = EventLog::new(&log[range.clone()]).events();
            let alone = one.next().unwrap().unwrap();
            assert_eq!(one.position().offset(), range.len() as u64);
            let alone = plain::Event::from(alone);
            assert_eq!(
                (alone.size, alone.trace, alone.free),
                (event.size, event.trace, event.free)
            );
            assert_eq!(strange, one.invalid_micros().is_some());
        }
    }
    expected.len()
}

#[test]
fn every_way_over_every_end_of_a_window() {
    let folder = tempfile::tempdir().unwrap();
    let mut kinds = [
        Lengths::Steady,
        Lengths::RandomSizes,
        Lengths::Random,
        Lengths::Any,
    ];
    for rotation in 0..kinds.len() {
        for shift in (7 + rotation % 2..=15).step_by(2) {
            let mut log = Log::new();
            log.event_of(shift);
            for lengths in kinds {
                log.stretch(lengths, 20_000);
            }
            assert_eq!(check(&log.bytes, folder.path()), 80_001);
            assert!(log.bytes.len() > 2 * (256 << 10));
        }
        kinds.rotate_left(1);
    }
}

/// Logs so long that the decoder looks at their lengths more than once, and too long for the way it
/// has chosen before.
#[test]
fn lengths_that_change_after_a_megabyte() {
    let folder = tempfile::tempdir().unwrap();
    for [first, second] in [
        [Lengths::Steady, Lengths::Random],
        [Lengths::RandomSizes, Lengths::Any],
        [Lengths::Random, Lengths::Steady],
        [Lengths::Steady, Lengths::RandomSizes],
    ] {
        let mut log = Log::new();
        log.stretch(first, 60_000);
        log.stretch(second, 150_000);
        assert!(log.bytes.len() > 5 * (256 << 10));
        assert_eq!(check(&log.bytes, folder.path()), 210_000);
    }
}

/// What is live, and how high it got, where the traces of a log repeat themselves for a while: long enough
/// that this is foretold for a megabyte, rightly or wrongly.
#[test]
fn traces_that_repeat_themselves_for_a_while() {
    const TRACES: u32 = 5;
    let mut hpm = TraceWriterV1::new(
        Vec::new(),
        StartTime::new(0, 0),
        &SamplingRates::unsampled(),
    )
    .unwrap();
    for line in 1..=TRACES {
        hpm.write_innermost_first([(b"a.py", line)]).unwrap();
    }
    let hpm = hpm.into_inner();
    // So many events, and how many of one trace follow on each other.
    for phases in [
        [(200_000, 200_000), (100_000, 1)],
        [(1_000, 1_000), (250_000, 1)],
        [(1_000, 1_000), (250_000, 60)],
        [(160_000, 300), (1_000, 1)],
        [(5_000, 1), (250_000, 5_000)],
    ] {
        let mut log = Log::new();
        for (events, run) in phases {
            let mut trace = 0;
            for number in 0..events {
                if number % run == 0 {
                    // One is not of the table.
                    trace = u32::try_from(log.random(u64::from(TRACES) + 2)).unwrap();
                }
                // As many are freed as are allocated, so that balances are negative now and then.
                let free = u32::try_from(log.random(2)).unwrap() << 30;
                log.event(free | trace, 0, 40, 20 + number % 90);
            }
        }
        let (events, _) = plain::events(&log.bytes, &SamplingRates::unsampled());
        let (mut total, mut highest, mut at) = (0, 0, 0);
        for event in &events {
            total += event.estimate;
            if total > highest {
                (highest, at) = (total, event.elapsed);
            }
        }
        let reader = Reader::from_bytes(hpm.clone(), log.bytes, None).unwrap();
        let high_water = reader.high_water().unwrap();
        assert_eq!(i128::from(high_water.total()), highest);
        assert_eq!(i128::from(high_water.time().as_micros()), at);
        assert_eq!(reader.peak().unwrap().high_water(), &high_water);
        let live = |usage: &Usage| -> plain::Live {
            let rows = usage.by_trace();
            rows.map(|(trace, bytes)| (trace.map_or(0, TraceId::get), i128::from(bytes)))
                .collect()
        };
        let end = plain::live_at(&events, i128::MAX);
        assert_eq!(live(&reader.live_at_end().unwrap()), end);
        let options = DigestOptions::default().interval(Duration::from_millis(700));
        let digest = reader.digest_with(options).unwrap();
        let snapshots = plain::snapshots(&events, 700_000, 0.0);
        assert_eq!(digest.len(), snapshots.len());
        for (snapshot, (time, expected)) in digest.snapshots().zip(snapshots) {
            let snapshot = snapshot.unwrap();
            assert_eq!(i128::from(snapshot.time().as_micros()), time);
            assert_eq!(live(snapshot.usage()), expected);
        }
    }
}

#[test]
fn a_log_is_entered_at_any_place() {
    let folder = tempfile::tempdir().unwrap();
    let mut log = Log::new();
    for lengths in [Lengths::Steady, Lengths::RandomSizes, Lengths::Random] {
        log.stretch(lengths, 50_000);
    }
    let (expected, _) = plain::events(&log.bytes, &SamplingRates::unsampled());
    check(&log.bytes, folder.path());
    let reader = Reader::open(folder.path().join("long")).unwrap();
    let mut walk = EventLog::new(&log.bytes).events();
    for skipped in [0, 9_999, 29_000, 40_000, 60_001] {
        let place = walk.position();
        let passed = usize::try_from(place.events()).unwrap();
        let from_file = reader.events_from(place).unwrap().map(Result::unwrap);
        let from_memory = EventLog::new(&log.bytes).events_from(place);
        let from_memory = from_memory.map(Result::unwrap);
        assert!(
            from_file
                .map(plain::Event::from)
                .eq(expected[passed..].iter().copied())
        );
        assert!(
            from_memory
                .map(plain::Event::from)
                .eq(expected[passed..].iter().copied())
        );
        let _ = walk.by_ref().take(skipped + 1).count();
    }
}

const LARGEST: u64 = i64::MAX as u64;

#[test]
fn a_clock_near_its_limit_ends_the_log_where_it_would_leave_it() {
    let folder = tempfile::tempdir().unwrap();
    // So near that the limit is met in the first window, in the second, and not at all.
    for (step, left, whole) in [
        (3, 9_000, 1 + 9_000 / 3),
        (3, 150_000, 1 + 50_000),
        (3, 1 << 40, 1 + 80_000),
        (999_999, 999_999 * 9_000, 1 + 9_000),
        (999_999, 999_999 * 60_001 - 1, 1 + 60_000),
        (999_999, 999_999 * 80_000, 1 + 80_000),
    ] {
        let mut log = Log::new();
        let first = LARGEST - left;
        log.event(1, first / 1_000_000, first % 1_000_000, 9);
        for _ in 0..80_000 {
            log.event(1, 0, step, 9);
        }
        assert_eq!(check(&log.bytes, folder.path()), whole);
        let error = EventLog::new(&log.bytes).events().find_map(Result::err);
        let kind = error.map(|error| error.kind());
        let expected = (whole <= 80_000).then_some(DecodeErrorKind::Time);
        assert_eq!(kind, expected);
    }
}

#[test]
fn a_log_cut_around_the_end_of_a_window() {
    let folder = tempfile::tempdir().unwrap();
    for lengths in [Lengths::Steady, Lengths::Random] {
        let mut log = Log::new();
        log.stretch(lengths, 50_000);
        for cut in (256 << 10) - 14..(256 << 10) + 14 {
            check(&log.bytes[..cut], folder.path());
        }
    }
}

//! The clocks, in everything that has a time; and the wall clock.

mod common;

use std::ops::RangeInclusive;
use std::time::Duration;

use common::{Profile, recording};
use heapprof::query::Track;
use heapprof::raw::LogPosition;
use heapprof::{Clock, Digest, DigestOptions, Elapsed, Event, Reader, UnusedDigest, WallOffset};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

fn events(reader: &Reader) -> Vec<Event> {
    reader.events().unwrap().map(Result::unwrap).collect()
}

/// The clocks that change times.
const OTHERS: [Clock; 4] = [
    Clock::Corrected,
    Clock::GapsClosed(Duration::from_secs(1)),
    Clock::GapsClosed(Duration::from_micros(1_500_001)),
    Clock::GapsClosed(Duration::from_secs(3_600)),
];

const ALL: [Clock; 5] = [Clock::Recorded, OTHERS[0], OTHERS[1], OTHERS[2], OTHERS[3]];

/// Recorded events with the times of `clock`, computed one by one.
fn on(clock: Clock, recorded: &[Event]) -> Vec<Event> {
    let mut events = recorded.to_vec();
    let (mut before, mut elapsed) = (0, 0);
    for (number, event) in (1_u64..).zip(&mut events) {
        let gap = event.elapsed.as_micros() - before;
        before = event.elapsed.as_micros();
        match clock {
            Clock::Corrected => {
                event.elapsed = Elapsed::from_micros(before + number / 2);
                let wall = event.wall.as_micros() + (number / 2).cast_signed();
                event.wall = WallOffset::from_micros(wall);
            }
            Clock::GapsClosed(limit) => {
                let limit = limit.max(Duration::from_secs(1)).as_micros();
                elapsed += gap.min(u64::try_from(limit).unwrap());
                event.elapsed = Elapsed::from_micros(elapsed);
            }
            _ => {}
        }
    }
    events
}

/// About a hundred steps.
fn interval(end: Elapsed) -> Duration {
    Duration::from_millis(end.as_millis() / 100).max(Duration::from_millis(7))
}

/// Differences of time, often backwards, and leaps; traces; sizes, negative for a free.
fn logs() -> impl Strategy<Value = Vec<(i64, u32, i64)>> {
    let difference = prop_oneof![
        9 => 0..300_i64,
        3 => -2_000_000..2_500_000_i64,
        1 => -90_000_000_000..90_000_000_000_i64,
    ];
    vec((difference, 0..4_u32, -500..500_i64), 0..60).prop_map(|mut events| {
        let mut wall = 0;
        for event in &mut events {
            wall += event.0;
            event.0 = wall;
        }
        events
    })
}

fn profile(log: &[(i64, u32, i64)]) -> Reader {
    Profile::default().traces(3).with_events(log).reader()
}

proptest! {
    #[test]
    fn every_query_has_the_times_of_the_clock(
        log in logs(),
        at in 0..10_000_000_u64,
        clock in select(&OTHERS[..]),
    ) {
        let recorded = profile(&log);
        let reader = profile(&log).with_clock(clock);
        let expected = on(clock, &events(&recorded));
        prop_assert_eq!(&events(&reader), &expected);

        let live_at = |time: Elapsed| -> i64 {
            let before = expected.iter().take_while(|event| event.elapsed <= time);
            before.map(|event| event.signed_size()).sum()
        };
        let at = Elapsed::from_micros(at);
        prop_assert_eq!(reader.live_at(at).unwrap().total(), live_at(at));
        let end = reader.end().unwrap();
        prop_assert_eq!(end.clock(), clock);
        prop_assert_eq!(end.elapsed(), expected.last().map_or(Elapsed::ZERO, |last| last.elapsed));
        prop_assert_eq!(end.recorded(), recorded.end().unwrap());

        let options = || DigestOptions::default().interval(interval(end.elapsed()));
        let digest = reader.digest_with(options()).unwrap();
        for snapshot in digest.snapshots() {
            let snapshot = snapshot.unwrap();
            prop_assert_eq!(snapshot.usage().total(), live_at(snapshot.time()));
        }
        prop_assert_eq!(digest.end(), Some(end));
        // With the digest nothing changes.
        let reader = reader.with_digest(digest);
        prop_assert_eq!(reader.live_at(at).unwrap().total(), live_at(at));
        let series = reader.time_series([Track::Unknown]).unwrap();
        prop_assert_eq!(series.total().iter().all(|(time, total)| total == live_at(time)), true);
    }

    #[test]
    fn log_goes_on_from_any_position_of_any_clock(log in logs()) {
        let reader = |clock| profile(&log).with_clock(clock);
        let readers = ALL.map(reader);
        let all = readers.each_ref().map(events);
        for reader in &readers {
            let mut early = reader.events().unwrap();
            for taken in 0..=log.len() {
                let place = early.position();
                prop_assert_eq!((place.clock(), place.events()), (reader.clock(), taken as u64));
                // Stored as numbers, and restored.
                let noted = place.recorded();
                let noted =
                    LogPosition::new(noted.offset(), noted.events(), noted.elapsed(), noted.wall());
                prop_assert_eq!(noted, place.recorded());
                for (other, all) in readers.iter().zip(&all) {
                    for place in [place, noted] {
                        let rest = other.events_from(place).unwrap();
                        prop_assert_eq!(rest.map(Result::unwrap).collect::<Vec<_>>(), &all[taken..]);
                    }
                }
                early.next();
            }
        }
    }

    #[test]
    fn wall_clock_is_found_both_ways(log in logs(), ask in vec(0..1_000_000_000_u64, 20)) {
        for clock in ALL {
            let reader = profile(&log).with_clock(clock);
            // From each event to the next, as (elapsed, wall, length, closed): both clocks go on for `length`, then the
            // wall clock alone for `closed`.
            let mut lines = Vec::new();
            let (mut elapsed, mut wall) = (0_i64, 0_i64);
            for event in events(&reader) {
                let to = event.elapsed.as_micros().cast_signed();
                let (length, wall_after) = (to - elapsed, event.wall.as_micros());
                lines.push((elapsed, wall, length, (wall_after - wall - length).max(0)));
                (elapsed, wall) = (to, wall_after);
            }
            lines.push((elapsed, wall, 0, 0));
            let shown = |wall: i64| -> Option<RangeInclusive<Elapsed>> {
                let hits = lines.iter().filter(|line| (line.1..=line.1 + line.2 + line.3).contains(&wall));
                let moments: Vec<_> = hits.map(|line| line.0 + line.2.min(wall - line.1)).collect();
                let moment = |micros: &i64| Elapsed::from_micros(micros.unsigned_abs());
                Some(moment(moments.iter().min()?)..=moment(moments.iter().max()?))
            };
            let walls = ask.iter().map(|&pick| {
                let line = lines[usize::try_from(pick).unwrap() % lines.len()];
                line.1 + pick.cast_signed().rem_euclid(line.2 + line.3 + 3) - 1
            });
            let every = 10 * interval(reader.elapsed().unwrap());
            let options = DigestOptions::default().interval(every);
            let digest = reader.digest_with(options).unwrap();
            let digested = profile(&log).with_clock(clock).with_digest(digest);
            for wall in walls {
                let time = reader.start().at(WallOffset::from_micros(wall)).unwrap();
                let found = reader.elapsed_at(time).unwrap();
                prop_assert_eq!(&found, &shown(wall));
                prop_assert_eq!(&digested.elapsed_at(time).unwrap(), &found);
            }
            for &pick in &ask {
                // At and after the end too.
                let line = lines[usize::try_from(pick).unwrap() % lines.len()];
                let at = line.0 + pick.cast_signed().rem_euclid(line.2 + 2);
                let last = lines.iter().rev().find(|line| line.0 <= at).unwrap();
                let wall = WallOffset::from_micros(last.1 + at - last.0);
                let at = Elapsed::from_micros(at.unsigned_abs());
                prop_assert_eq!(reader.time_at(at).unwrap(), reader.start().at(wall));
                prop_assert_eq!(digested.time_at(at).unwrap(), reader.start().at(wall));
            }
        }
    }
}

#[test]
fn limit_of_gaps_is_a_second_at_least_and_whole_microseconds() {
    let clock = |nanos| {
        profile(&[])
            .with_clock(Clock::GapsClosed(Duration::from_nanos(nanos)))
            .clock()
    };
    assert_eq!(clock(0), Clock::GapsClosed(Duration::from_secs(1)));
    assert_eq!(
        clock(1_000_000_999),
        Clock::GapsClosed(Duration::from_secs(1))
    );
    assert_eq!(clock(1_500_001_000), OTHERS[2]);
    let longest = profile(&[])
        .with_clock(Clock::GapsClosed(Duration::MAX))
        .clock();
    assert_eq!(
        longest,
        Clock::GapsClosed(Duration::from_micros(i64::MAX.unsigned_abs()))
    );
}

#[test]
fn the_spike_ran_for_15_s() {
    let Some(filebase) = recording("spike") else {
        return;
    };
    let reader = Reader::open(filebase).unwrap();
    assert_eq!(reader.elapsed().unwrap().as_micros(), 13_457_494);
    let reader = reader.with_clock(Clock::Corrected);
    assert_eq!(
        reader.elapsed().unwrap().as_micros(),
        13_457_494 + 2_949_472 / 2
    );
}

#[test]
fn digest_of_another_clock_is_not_used() {
    let folder = tempfile::tempdir().unwrap();
    let log: Vec<_> = (1..=400).map(|n| (10 * n, 1, 8)).collect();
    let filebase = Profile::default()
        .traces(1)
        .with_events(&log)
        .save(folder.path());
    let open = || Reader::open(&filebase).unwrap();
    let pairs = [(0, 1), (1, 0), (0, 3), (3, 0), (2, 3)];
    for (made, other) in pairs.map(|(made, other)| (ALL[made], ALL[other])) {
        let digest = open()
            .with_clock(made)
            .make_digest(DigestOptions::default())
            .unwrap();
        assert_eq!(digest.clock(), Some(made));
        let reader = open().with_clock(other);
        assert!(!reader.has_digest());
        assert!(matches!(reader.unused_digest(), Some(UnusedDigest::Clock)));
        assert_eq!(
            reader.unused_digest().unwrap().to_string(),
            "the digest has the times of another clock"
        );
        let reader = reader.with_clock(made);
        assert!(reader.has_digest() && reader.unused_digest().is_none());
        // One that was made with another clock goes when the clock is changed.
        let reader = reader.with_digest(digest).with_clock(other);
        assert!(!reader.has_digest());
        assert_eq!(reader.digest().unwrap().clock(), Some(other));
    }
}

#[test]
fn only_digests_of_other_clocks_need_a_newer_trailer() {
    let mut log: Vec<_> = (1..=400).map(|n| (10 * n, 1, 8)).collect();
    log.push((7_000_000, 1, 8));
    let folder = tempfile::tempdir().unwrap();
    let filebase = Profile::default()
        .traces(1)
        .with_events(&log)
        .save(folder.path());
    for (clock, version) in [
        (Clock::Recorded, &[1_u8, 0][..]),
        (Clock::Corrected, &[2, 1, 0]),
        (ALL[3], &[2, 2, 1]),
    ] {
        let reader = Reader::open(&filebase).unwrap().with_clock(clock);
        reader.make_digest(DigestOptions::default()).unwrap();
        let bytes = std::fs::read(filebase.with_extension("hpc")).unwrap();
        let mark = 0x6870_7472_u32.to_be_bytes();
        let at = bytes.windows(4).position(|window| window == mark).unwrap();
        // The version, for another clock which clock it is (and its limit), and then no flags.
        assert!(bytes[at + 4..].starts_with(version));

        // The positions are as recorded, so that only the times of the snapshots differ.
        let digest = Digest::from_bytes(bytes).unwrap();
        let end = digest.end().unwrap();
        assert_eq!(end.clock(), clock);
        assert_eq!(end.recorded().elapsed().as_micros(), 7_000_000);
        let expected = [7_000_000, 7_000_200, 1_504_001];
        assert!(expected.contains(&end.elapsed().as_micros()));
        let last = digest.snapshot_at(Elapsed::MAX).unwrap();
        assert!(last.time() >= end.elapsed() && last.usage().total() == 401 * 8);
    }
}

#[test]
fn log_ends_at_the_same_event_on_both_clocks() {
    let at_the_end: Vec<_> = (0..3).map(|_| (i64::MAX - 1, 1, 8)).collect();
    let reader = |clock| profile(&at_the_end).with_clock(clock);
    assert_eq!(events(&reader(Clock::Recorded)).len(), 3);
    assert_eq!(events(&reader(Clock::Corrected)).len(), 3);
    let at_the_end: Vec<_> = (0..3).map(|_| (i64::MAX, 1, 8)).collect();
    let reader = |clock| profile(&at_the_end).with_clock(clock);
    assert_eq!(events(&reader(Clock::Recorded)).len(), 3);
    // The limit holds for the recorded times. The wall clock stays there.
    let reader = reader(Clock::Corrected);
    let walls: Vec<_> = reader
        .events()
        .unwrap()
        .map(|it| it.unwrap().wall)
        .collect();
    assert_eq!(walls, [WallOffset::from_micros(i64::MAX); 3]);
    assert_eq!(reader.damage().unwrap(), []);
    assert_eq!(reader.end().unwrap().events(), 3);
}

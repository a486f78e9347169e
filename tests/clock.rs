//! The corrected clock, through everything that has a time; and the clock on the wall.

mod common;

use std::ops::RangeInclusive;
use std::time::Duration;

use common::{Profile, recording};
use heapprof::query::Track;
use heapprof::raw::LogPosition;
use heapprof::{Clock, Digest, DigestOptions, Elapsed, Event, Reader, UnusedDigest, WallOffset};
use proptest::collection::vec;
use proptest::prelude::*;

fn events(reader: &Reader) -> Vec<Event> {
    reader.events().unwrap().map(Result::unwrap).collect()
}

/// The same events with the times of the corrected clock, one by one.
fn corrected(events: &[Event]) -> Vec<Event> {
    let mut events = events.to_vec();
    for (number, event) in (1_u64..).zip(&mut events) {
        let ahead = number / 2;
        event.elapsed = Elapsed::from_micros(event.elapsed.as_micros() + ahead);
        let wall = event.wall.as_micros() + ahead.cast_signed();
        event.wall = WallOffset::from_micros(wall);
    }
    events
}

/// Differences of time, often backwards; traces; sizes, negative for a free.
fn logs() -> impl Strategy<Value = Vec<(i64, u32, i64)>> {
    let difference = prop_oneof![3 => 0..300_i64, 1 => -2_000_000..2_500_000_i64];
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
    fn every_question_has_the_corrected_times(log in logs(), at in 0..10_000_000_u64) {
        let recorded = profile(&log);
        let reader = profile(&log).with_clock(Clock::Corrected);
        let expected = corrected(&events(&recorded));
        prop_assert_eq!(&events(&reader), &expected);

        let live_at = |time: Elapsed| -> i64 {
            let before = expected.iter().take_while(|event| event.elapsed <= time);
            before.map(|event| event.signed_size()).sum()
        };
        let at = Elapsed::from_micros(at);
        prop_assert_eq!(reader.live_at(at).unwrap().total(), live_at(at));
        let end = reader.end().unwrap();
        prop_assert_eq!(end.clock(), Clock::Corrected);
        prop_assert_eq!(end.elapsed(), expected.last().map_or(Elapsed::ZERO, |last| last.elapsed));
        prop_assert_eq!(end.on(Clock::Recorded), recorded.end().unwrap());

        let options = || DigestOptions::default().interval(Duration::from_millis(7));
        let digest = reader.digest_with(options()).unwrap();
        for snapshot in digest.snapshots() {
            let snapshot = snapshot.unwrap();
            prop_assert_eq!(snapshot.usage().total(), live_at(snapshot.time()));
        }
        prop_assert_eq!(digest.end(), Some(end));
        // With the digest at hand nothing changes.
        let reader = reader.with_digest(digest);
        prop_assert_eq!(reader.live_at(at).unwrap().total(), live_at(at));
        let series = reader.time_series([Track::Unknown]).unwrap();
        prop_assert_eq!(series.total().iter().all(|(time, total)| total == live_at(time)), true);
    }

    #[test]
    fn a_log_goes_on_from_any_place_of_either_clock(log in logs()) {
        for clock in [Clock::Recorded, Clock::Corrected] {
            let reader = profile(&log).with_clock(clock);
            let all = events(&reader);
            let mut early = reader.events().unwrap();
            for taken in 0..=all.len() {
                let place = early.position();
                prop_assert_eq!((place.clock(), place.events()), (clock, taken as u64));
                for noted in [place, place.on(Clock::Recorded), place.on(Clock::Corrected)] {
                    let rest = reader.events_from(noted).unwrap();
                    prop_assert_eq!(rest.map(Result::unwrap).collect::<Vec<_>>(), &all[taken..]);
                }
                // Noted down as numbers, and made anew.
                let noted = place.on(Clock::Recorded);
                let noted =
                    LogPosition::new(noted.offset(), noted.events(), noted.elapsed(), noted.wall());
                let rest = reader.events_from(noted).unwrap();
                prop_assert_eq!(rest.map(Result::unwrap).collect::<Vec<_>>(), &all[taken..]);
                early.next();
            }
        }
    }

    #[test]
    fn the_wall_clock_is_found_both_ways(log in logs(), ask in vec(0..1_000_000_u64, 20)) {
        for clock in [Clock::Recorded, Clock::Corrected] {
            let reader = profile(&log).with_clock(clock);
            // Straight lines from each event to the next, as (elapsed, wall, length).
            let mut lines = Vec::new();
            let (mut elapsed, mut wall) = (0_i64, 0_i64);
            for event in events(&reader) {
                let to = event.elapsed.as_micros().cast_signed();
                lines.push((elapsed, wall, to - elapsed));
                (elapsed, wall) = (to, event.wall.as_micros());
            }
            lines.push((elapsed, wall, 0));
            let shown = |wall: i64| -> Option<RangeInclusive<Elapsed>> {
                let hits = lines.iter().filter(|line| (line.1..=line.1 + line.2).contains(&wall));
                let moments: Vec<_> = hits.map(|line| line.0 + wall - line.1).collect();
                let moment = |micros: &i64| Elapsed::from_micros(micros.unsigned_abs());
                Some(moment(moments.iter().min()?)..=moment(moments.iter().max()?))
            };
            let walls = ask.iter().map(|&pick| {
                let line = lines[usize::try_from(pick).unwrap() % lines.len()];
                line.1 + pick.cast_signed().rem_euclid(line.2 + 3) - 1
            });
            let options = || DigestOptions::default().interval(Duration::from_millis(50));
            let digest = reader.digest_with(options()).unwrap();
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
fn a_digest_of_the_other_clock_is_not_used_and_that_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let log: Vec<_> = (1..=400).map(|n| (10 * n, 1, 8)).collect();
    let filebase = Profile::default()
        .traces(1)
        .with_events(&log)
        .save(folder.path());
    let open = || Reader::open(&filebase).unwrap();
    for (made, other) in [
        (Clock::Corrected, Clock::Recorded),
        (Clock::Recorded, Clock::Corrected),
    ] {
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
fn only_a_digest_of_the_corrected_clock_needs_a_newer_trailer() {
    let log: Vec<_> = (1..=400).map(|n| (10 * n, 1, 8)).collect();
    let folder = tempfile::tempdir().unwrap();
    let filebase = Profile::default()
        .traces(1)
        .with_events(&log)
        .save(folder.path());
    for (clock, version) in [
        (Clock::Recorded, &[1_u8, 0][..]),
        (Clock::Corrected, &[2, 1, 0]),
    ] {
        let reader = Reader::open(&filebase).unwrap().with_clock(clock);
        reader.make_digest(DigestOptions::default()).unwrap();
        let bytes = std::fs::read(filebase.with_extension("hpc")).unwrap();
        let mark = 0x6870_7472_u32.to_be_bytes();
        let at = bytes.windows(4).position(|window| window == mark).unwrap();
        // The version, for the corrected clock what clock it is, and then no flags.
        assert!(bytes[at + 4..].starts_with(version));

        // The places are as recorded, so that only the times of the snapshots differ.
        let digest = Digest::from_bytes(bytes).unwrap();
        let end = digest.end().unwrap();
        assert_eq!(end.clock(), clock);
        assert_eq!(end.on(Clock::Recorded).elapsed().as_micros(), 4_000);
        assert_eq!(digest.len(), if clock == Clock::Recorded { 4 } else { 5 });
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

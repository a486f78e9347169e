//! The peak, exactly: of the log, of windows, of sets of traces.

mod common;
#[path = "common/logs.rs"]
mod logs;
#[path = "common/plain.rs"]
mod plain;

use std::collections::BTreeSet;

use common::Profile;
use heapprof::query::{Live, Peak, PeakQuery, TraceSet, Track};
use heapprof::{Reader, TraceId, Usage};
use logs::{Log, WHOLE, Window, about, at, plain_usage};
use proptest::collection::btree_set;
use proptest::prelude::*;

type Answer = (i128, u64, i128, plain::Live);

/// Every state of the heap in the window, summed up anew; the first of the largest.
fn plain_peak(events: &[plain::Event], (from, to): Window, has: impl Fn(u32) -> bool) -> Answer {
    let (from, to) = (from.map_or(-1, i128::from), i128::from(to));
    let first = events
        .iter()
        .take_while(|event| event.elapsed <= from)
        .count();
    let last = events
        .iter()
        .take_while(|event| event.elapsed <= to)
        .count();
    let live = |count: usize| -> plain::Live {
        let mut live = plain::live_at(&events[..count], i128::MAX);
        live.retain(|&trace, _| has(trace));
        live
    };
    let total = |count| live(count).values().sum::<i128>();
    let mut best = (total(first), first, from.max(0));
    for count in first + 1..=last {
        if total(count) > best.0 {
            best = (total(count), count, events[count - 1].elapsed);
        }
    }
    let (total, count, time) = best;
    (time, count as u64, total, live(count))
}

fn told(peak: &Peak) -> Answer {
    (
        peak.time().as_micros().into(),
        peak.events(),
        peak.total().into(),
        plain_usage(peak.usage()),
    )
}

fn question(window: Window) -> PeakQuery {
    about!(Peak::query(), window)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn a_peak_is_the_plain_one(
        lines in logs::lines(80),
        rates in logs::rates(),
        window in logs::windows(),
        other in logs::windows(),
        set in btree_set(logs::traces(), 0..5),
    ) {
        let log = Log::new(&lines, &rates);
        let traces = |set: &BTreeSet<u32>| -> TraceSet {
            set.iter().map(|&index| TraceId::new(index)).collect()
        };
        let all = plain_peak(&log.events, WHOLE, |_| true);
        let in_window = plain_peak(&log.events, window, |_| true);
        let of_set = plain_peak(&log.events, window, |trace| set.contains(&trace));
        for reader in log.readers() {
            prop_assert_eq!(told(&reader.peak().unwrap()), all.clone());
            let high = reader.high_water().unwrap();
            let (time, events, total, _) = all.clone();
            prop_assert_eq!(
                (high.time().as_micros().into(), high.events(), high.total().into()),
                (time, events, total)
            );
            prop_assert_eq!(&told(&reader.ask(question(window)).unwrap()), &in_window);
            let set = traces(&set);
            let rest = TraceSet::from_fn(reader.traces().unwrap(), |trace, _| {
                // Asked of unknown for all others; the set has some of these.
                !set.contains(trace)
            });
            let listed = |trace: u32| {
                let known = trace <= logs::TRACES;
                set.contains(TraceId::new(if known { trace } else { 0 }))
            };
            let of_fn = plain_peak(&log.events, other, |trace| !listed(trace));
            // All in one pass, whenever each begins and ends.
            let told_together = reader.ask((
                question(window).of(&set),
                Peak::query(),
                question(other).of(&rest),
                Live::query().at(at(other.1)),
                question(window),
            )).unwrap();
            prop_assert_eq!(&told(&told_together.0), &of_set);
            prop_assert_eq!(&told(&told_together.1), &all);
            prop_assert_eq!(&told(&told_together.2), &of_fn);
            prop_assert_eq!(
                plain_usage(&told_together.3),
                plain::live_at(&log.events, other.1.into())
            );
            prop_assert_eq!(&told(&told_together.4), &in_window);
            let of_set_alone = reader.ask(question(window).of(&set)).unwrap();
            prop_assert_eq!(&told(&of_set_alone), &of_set);
        }
    }
}

#[test]
fn of_nothing_the_peak_is_0_at_the_beginning() {
    let peak = Profile::default().reader().peak().unwrap();
    assert_eq!(told(&peak), (0, 0, 0, plain::Live::new()));
    // More is freed than was allocated.
    let reader = Profile::default()
        .traces(1)
        .with_events(&[(10, 1, -5), (20, 1, 5), (30, 1, -1)])
        .reader();
    assert_eq!(told(&reader.peak().unwrap()), (0, 0, 0, plain::Live::new()));
    let later = reader.ask(question((Some(10), 15))).unwrap();
    assert_eq!(told(&later), (10, 1, -5, plain::Live::from([(1, -5)])));
}

#[test]
fn the_first_of_equal_peaks_counts_also_at_one_time() {
    let events = [
        (5, 1, 100),
        (5, 1, -100),
        (5, 2, 100),
        (9, 2, -100),
        (9, 1, 100),
    ];
    let reader = Profile::default().traces(2).with_events(&events).reader();
    let peak = |window| told(&reader.ask(question(window)).unwrap());
    let trace = |trace| plain::Live::from([(trace, 100)]);
    assert_eq!(peak(WHOLE), (5, 1, 100, trace(1)));
    // What is live at the beginning of the window is after all events of that time.
    assert_eq!(peak((Some(5), 9)), (5, 3, 100, trace(2)));
    assert_eq!(peak((Some(7), 9)), (7, 3, 100, trace(2)));
    assert_eq!(peak((Some(9), 7)), (9, 5, 100, trace(1)));
    assert_eq!(peak((Some(0), 4)), (0, 0, 0, plain::Live::new()));
}

#[test]
fn a_window_from_0_begins_after_the_events_of_that_time() {
    let events = [(0, 1, 100), (0, 1, -90), (3, 1, 5), (4, 1, -5)];
    let reader = Profile::default().traces(1).with_events(&events).reader();
    let peak = |window| told(&reader.ask(question(window)).unwrap());
    assert_eq!(peak(WHOLE), (0, 1, 100, plain::Live::from([(1, 100)])));
    assert_eq!(peak((Some(0), 9)), (3, 3, 15, plain::Live::from([(1, 15)])));
    assert_eq!(peak((Some(0), 2)), (0, 2, 10, plain::Live::from([(1, 10)])));
}

#[test]
fn totals_beyond_63_bits_are_told_apart() {
    let large = i64::MAX;
    let events = [(1, 1, large), (2, 2, large), (3, 3, 1), (4, 3, -1)];
    let reader = Profile::default().traces(3).with_events(&events).reader();
    let peak = reader.peak().unwrap();
    assert_eq!((peak.events(), peak.total()), (3, i64::MAX));
    assert_eq!(peak.usage().len(), 3);
    assert_eq!(reader.high_water().unwrap(), *peak.high_water());
}

/// A balance that leaves 63 bits stays at the limit, so that not all that is freed was there.
#[test]
fn a_balance_at_its_limit_makes_the_peak_a_lower_one() {
    let large = i64::MAX;
    let events = [(1, 1, large), (2, 1, large), (3, 1, -large), (4, 2, 9)];
    let reader = Profile::default().traces(2).with_events(&events).reader();
    let high = reader.high_water().unwrap();
    assert_eq!((high.events(), high.total()), (1, large));
    assert!(high.is_damaged());
    assert_eq!(high, *reader.peak().unwrap().high_water());
    let asked = reader.ask(Peak::query()).unwrap();
    assert_eq!(high, *asked.high_water());
}

#[test]
fn a_line_has_a_peak_of_its_own() {
    let mut profile = Profile::default();
    profile.trace(&[("main.py", 1), ("load.py", 2)]);
    profile.trace(&[("main.py", 1), ("load.py", 2), ("parse.py", 3)]);
    profile.trace(&[("main.py", 1), ("load.py", 2), ("load.py", 2)]);
    profile.trace(&[("main.py", 1), ("work.py", 4)]);
    let events = [
        (1, 1, 10),
        (2, 2, 50),
        (3, 3, 7),
        (4, 2, -50),
        (5, 1, 20),
        (6, 4, 500),
    ];
    let reader = profile.with_events(&events).reader();
    let traces = reader.traces().unwrap();
    let load = traces.find(("load.py", 2)).unwrap();
    let peak = |track| {
        let set = TraceSet::of(traces, [track]);
        told(&reader.ask(Peak::query().of(&set)).unwrap())
    };
    let live = |rows: &[(u32, i128)]| rows.iter().copied().collect::<plain::Live>();
    assert_eq!(
        peak(Track::Cumulative(load)),
        (3, 3, 67, live(&[(1, 10), (2, 50), (3, 7)]))
    );
    assert_eq!(
        peak(Track::Local(load)),
        (5, 5, 37, live(&[(1, 30), (3, 7)]))
    );
    assert_eq!(
        peak(Track::Trace(TraceId::new(2).unwrap())),
        (2, 2, 50, live(&[(2, 50)]))
    );
    assert_eq!(peak(Track::Unknown), (0, 0, 0, live(&[])));
    assert_eq!(reader.peak().unwrap().total(), 537);
}

/// Where every event is a new maximum, and where none is for long.
#[test]
fn long_ways_up_and_down_are_as_the_plain_ones() {
    let up = (0..20_000).map(|n: i64| (n, 1 + u32::try_from(n % 700).unwrap(), 1 + n % 5));
    let down = (0..19_000).map(|n: i64| (20_000 + n, 1 + u32::try_from(n % 700).unwrap(), -1));
    let events: Vec<_> = up.chain(down).collect();
    let reader: Reader = Profile::default().traces(600).with_events(&events).reader();
    let peak = reader.peak().unwrap();
    assert_eq!((peak.events(), peak.total()), (20_000, 60_000));
    let expected: Usage = events[..20_000]
        .iter()
        .map(|&(_, trace, bytes)| (TraceId::new(trace), bytes))
        .collect();
    assert_eq!(*peak.usage(), expected);
}

/// From whichever copy of the heap, and however long before it, the way leads to the peak: alone, the
/// same is answered as to a question among others, which goes no way twice.
#[test]
fn the_peak_is_the_same_wherever_it_is_in_a_long_log() {
    const EVENTS: i64 = 150_000;
    for peak_at in [5, 16_383, 16_500, 40_000, 74_999, 120_000, EVENTS - 1] {
        // A long way up that goes back and forth, and as much down; and that again, but not as high.
        let mut events = Vec::new();
        let mut live: Vec<(u32, i64)> = Vec::new();
        for number in 0..EVENTS {
            let rises = number <= peak_at || number % 5000 < 2400;
            match live.pop() {
                Some((trace, bytes)) if !rises || number % 3 == 2 => {
                    events.push((number * 7, trace, -bytes));
                }
                kept => {
                    live.extend(kept);
                    let trace = 1 + u32::try_from(number % 401).unwrap();
                    let bytes = 1 + number % 5;
                    live.push((trace, bytes));
                    events.push((number * 7, trace, bytes));
                }
            }
        }
        let reader = Profile::default().traces(400).with_events(&events).reader();
        let peak = reader.peak().unwrap();
        assert_eq!(peak, reader.ask(Peak::query()).unwrap());
        assert_eq!(reader.high_water().unwrap(), *peak.high_water());
        // Plainly added up.
        let total = |(_, _, bytes): &(i64, u32, i64)| *bytes;
        let totals = events.iter().map(total).scan(0, |sum, bytes| {
            *sum += bytes;
            Some(*sum)
        });
        let (number, highest) = totals
            .enumerate()
            .max_by_key(|&(number, total)| (total, std::cmp::Reverse(number)))
            .unwrap();
        assert_eq!((peak.events(), peak.total()), (number as u64 + 1, highest));
        let until: Usage = events[..=number]
            .iter()
            .map(|&(_, trace, bytes)| (TraceId::new(trace), bytes))
            .collect();
        assert_eq!(*peak.usage(), until);
    }
}

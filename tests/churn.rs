//! What passes through: by trace, and over time.

mod common;
#[path = "common/logs.rs"]
mod logs;
#[path = "common/plain.rs"]
mod plain;

use std::collections::BTreeMap;
use std::time::Duration;

use common::Profile;
use heapprof::query::{Churn, ChurnOverTime, ChurnQuery, Peak, TraceChurn, TraceSet};
use heapprof::{Elapsed, Reader, SamplingRates, TraceId};
use logs::{Log, WHOLE, Window, about, inside, plain_usage};
use plain::stands_for;
use proptest::collection::btree_set;
use proptest::prelude::*;

/// Recorded allocations, frees; bytes allocated, freed; largest; recorded temporary; their bytes.
type Row = [i128; 7];

type Value = fn(&TraceChurn) -> u64;

fn row(row: &TraceChurn) -> Row {
    [
        row.recorded_allocations,
        row.recorded_frees,
        row.allocated,
        row.freed,
        row.largest,
        row.recorded_temporary,
        row.temporary_bytes,
    ]
    .map(i128::from)
}

fn plain_churn(events: &[plain::Event], window: Window) -> BTreeMap<u32, Row> {
    let mut rows: BTreeMap<u32, Row> = BTreeMap::new();
    for (place, event) in events.iter().enumerate() {
        if !inside(window, event.elapsed) {
            continue;
        }
        let row = rows.entry(event.trace).or_default();
        if event.free {
            row[1] += 1;
            row[3] -= event.estimate;
        } else {
            row[0] += 1;
            row[2] += event.estimate;
            row[4] = row[4].max(event.size);
            if is_temporary(events, place) {
                row[5] += 1;
                row[6] += event.estimate;
            }
        }
    }
    rows
}

fn is_temporary(events: &[plain::Event], place: usize) -> bool {
    let (event, next) = (&events[place], events.get(place + 1));
    let frees_it =
        |next: &plain::Event| next.free && (next.trace, next.size) == (event.trace, event.size);
    !event.free && next.is_some_and(frees_it)
}

/// The estimates of all blocks: allocated, freed, temporary.
fn plain_blocks(
    events: &[plain::Event],
    window: Window,
    rates: &SamplingRates,
) -> BTreeMap<u32, [f64; 3]> {
    let mut rows: BTreeMap<u32, [f64; 3]> = BTreeMap::new();
    for (place, event) in events.iter().enumerate() {
        if inside(window, event.elapsed) {
            let blocks = stands_for(rates, u64::try_from(event.size).unwrap());
            let row = rows.entry(event.trace).or_default();
            row[usize::from(event.free)] += blocks;
            if is_temporary(events, place) {
                row[2] += blocks;
            }
        }
    }
    rows
}

fn told(churn: &Churn) -> BTreeMap<u32, Row> {
    let rows: BTreeMap<u32, Row> = churn
        .rows()
        .map(|(trace, of_trace)| (trace.map_or(0, TraceId::get), row(of_trace)))
        .collect();
    assert_eq!(rows.len(), churn.rows().len());
    assert!(churn.rows().map(|(trace, _)| trace).is_sorted());
    rows
}

fn question(window: Window) -> ChurnQuery {
    about!(Churn::query(), window)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn churn_is_the_plain_one(
        lines in logs::lines(80),
        rates in logs::rates(),
        window in logs::windows(),
        other in logs::windows(),
    ) {
        let log = Log::new(&lines, &rates);
        let expected = plain_churn(&log.events, window);
        for reader in log.readers() {
            let churn = reader.ask(question(window)).unwrap();
            prop_assert_eq!(&told(&churn), &expected);
            let (again, elsewhere, all, _) = reader.ask((
                question(window),
                question(other),
                Churn::query(),
                Peak::query(),
            )).unwrap();
            prop_assert_eq!(&again, &churn);
            prop_assert_eq!(told(&elsewhere), plain_churn(&log.events, other));
            prop_assert_eq!(&told(&all), &plain_churn(&log.events, WHOLE));
            prop_assert_eq!(&all, &reader.churn().unwrap());

            let mut total = Row::default();
            for (index, expected) in &expected {
                prop_assert_eq!(&row(&churn.get(TraceId::new(*index))), expected);
                for place in 0..7 {
                    total[place] = if place == 4 {
                        total[place].max(expected[place])
                    } else {
                        total[place] + expected[place]
                    };
                }
            }
            prop_assert_eq!(row(&churn.total()), total);
            prop_assert_eq!(churn.get(TraceId::new(1 << 25)), TraceChurn::default());
            for (index, blocks) in plain_blocks(&log.events, window, &rates) {
                let row = churn.get(TraceId::new(index));
                for (told, blocks) in [row.allocations, row.frees, row.temporary].into_iter().zip(blocks) {
                    #[expect(clippy::cast_precision_loss)]
                    let off = (told as f64 - blocks).abs();
                    prop_assert!(off <= 0.5 + 1e-6 * blocks, "{told} {blocks}");
                }
            }
            let columns: [(_, Value); 6] = [
                (churn.allocations(), |row| row.allocations),
                (churn.frees(), |row| row.frees),
                (churn.allocated(), |row| row.allocated),
                (churn.freed(), |row| row.freed),
                (churn.temporary(), |row| row.temporary),
                (churn.temporary_bytes(), |row| row.temporary_bytes),
            ];
            for (column, value) in columns {
                let values = churn.rows().map(|(trace, row)| (trace.map_or(0, TraceId::get), value(row).into()));
                let mut values: plain::Live = values.collect();
                values.retain(|_, value| *value != 0);
                prop_assert_eq!(plain_usage(&column), values);
            }
        }
    }

    #[test]
    fn churn_over_time_is_the_plain_one(
        lines in logs::lines(80),
        rates in logs::rates(),
        window in logs::windows(),
        step in prop_oneof![Just(100_u64), Just(1000), 50_u64..30_000],
        set in prop::option::of(btree_set(logs::traces(), 0..5)),
    ) {
        let log = Log::new(&lines, &rates);
        let (from, to) = (window.0.map_or(0, i128::from), i128::from(window.1));
        let to = log.end().min(to).max(from);
        let wide = i128::from(step);
        let has = |trace: u32| set.as_ref().is_none_or(|set| set.contains(&trace));
        // A step at a time: all events that are in it.
        let mut expected = Vec::new();
        let mut begin = from;
        while begin < to {
            let end = begin + wide;
            let mut sums = [0_i128; 4];
            for event in &log.events {
                let first = window.0.is_none() && begin == 0 && event.elapsed == 0;
                let in_step = first || (begin < event.elapsed && event.elapsed <= end);
                if in_step && inside(window, event.elapsed) && has(event.trace) {
                    let place = usize::from(event.free);
                    sums[place] += 1;
                    sums[place + 2] += event.estimate.abs();
                }
            }
            expected.push((begin, end.min(to), sums));
            begin = end;
        }
        for reader in log.readers() {
            let mut question = about!(ChurnOverTime::query().every(Duration::from_micros(step)), window);
            if let Some(set) = &set {
                let set: TraceSet = set.iter().map(|&index| TraceId::new(index)).collect();
                question = question.of(&set);
            }
            let (churn, _) = reader.ask((question.clone(), Peak::query())).unwrap();
            prop_assert_eq!(&churn, &reader.ask(question).unwrap());
            prop_assert_eq!(churn.step(), Duration::from_micros(step));
            let told: Vec<_> = churn.steps().map(|step| {
                let counts = [step.recorded_allocations, step.recorded_frees, step.allocated, step.freed];
                (
                    i128::from(step.from.as_micros()),
                    i128::from(step.to.as_micros()),
                    counts.map(i128::from),
                )
            }).collect();
            // All events at time 0 make one step that takes no time.
            if expected.is_empty() && !told.is_empty() {
                prop_assert!(window.0.is_none() && to == 0);
                prop_assert_eq!(told.len(), 1);
                let counted = log.events.iter().filter(|it| it.elapsed == 0 && has(it.trace)).count();
                prop_assert_eq!(told[0].2[0] + told[0].2[1], counted as i128);
            } else {
                prop_assert_eq!(&told, &expected);
            }
        }
    }
}

/// Counts of allocations of a log with events at these times, and the step.
fn counted(times: &[i64], step: u64) -> (Vec<(usize, u64)>, u128, usize) {
    let mut profile = Profile::default().traces(1);
    for &time in times {
        profile.event(time, 1, 10);
    }
    let churn = profile
        .reader()
        .ask(ChurnOverTime::query().every(Duration::from_micros(step)))
        .unwrap();
    let counts = churn
        .steps()
        .map(|step| step.allocations)
        .enumerate()
        .filter(|&(_, count)| count > 0)
        .collect();
    (counts, churn.step().as_micros(), churn.steps().len())
}

#[test]
fn too_many_steps_are_fewer_and_longer() {
    let most = i64::try_from(ChurnOverTime::MAX_STEPS).unwrap();
    let count = ChurnOverTime::MAX_STEPS;
    // Step n has the time n + 1.
    assert_eq!(
        counted(&[1, 2, 3, most], 1),
        (vec![(0, 1), (1, 1), (2, 1), (count - 1, 1)], 1, count)
    );
    assert_eq!(
        counted(&[1, 2, 3, most, most + 1], 1),
        (
            vec![(0, 2), (1, 1), (count / 2 - 1, 1), (count / 2, 1)],
            2,
            count / 2 + 1
        )
    );
    // An odd number of steps so far, and four times too many.
    assert_eq!(
        counted(&[1, 2, 3, 5, 4 * most], 1),
        (vec![(0, 3), (1, 1), (count - 1, 1)], 4, count)
    );
    let (counts, step, steps) = counted(&[0, 1, i64::MAX - 1], 0);
    assert_eq!(step, 1 << (62 - 16));
    assert_eq!(steps, count);
    assert_eq!(counts, [(0, 2), (count - 1, 1)]);
    // The idle end of a window counts too.
    assert_eq!(counted(&[], 7), (vec![], 7, 0));
    assert_eq!(counted(&[0, 0], 7), (vec![(0, 2)], 7, 1));
}

#[test]
fn a_rate_is_over_the_time_that_the_step_took() {
    let mut profile = Profile::default().traces(2);
    for (time, trace, bytes) in [
        (0, 1, 30),
        (500_000, 2, 1000),
        (2_000_000, 2, -1000),
        (2_250_000, 1, 100),
    ] {
        profile.event(time, trace, bytes);
    }
    let reader: Reader = profile.reader();
    let rates = |churn: &ChurnOverTime| -> Vec<[f64; 3]> {
        churn
            .steps()
            .map(|step| {
                [
                    step.allocations_per_second(),
                    step.frees_per_second(),
                    step.bytes_per_second(),
                ]
            })
            .collect()
    };
    let every = || ChurnOverTime::query().every(Duration::from_secs(2));
    let churn = reader.ask(every()).unwrap();
    assert_eq!(rates(&churn), [[1.0, 0.5, 515.0], [4.0, 0.0, 400.0]]);
    let one: TraceSet = [TraceId::new(1)].into_iter().collect();
    let churn = reader.ask(every().of(&one)).unwrap();
    assert_eq!(rates(&churn), [[0.5, 0.0, 15.0], [4.0, 0.0, 400.0]]);
    let churn = reader
        .ask(every().within(Elapsed::ZERO..Elapsed::from_millis(500)))
        .unwrap();
    assert_eq!(rates(&churn), [[2.0, 0.0, 2000.0]]);
    let nothing = every().within(Elapsed::from_secs(3)..Elapsed::from_secs(1));
    assert_eq!(rates(&reader.ask(nothing).unwrap()), [[0.0; 3]; 0]);
}

#[test]
fn temporary_is_what_the_very_next_event_frees() {
    let events = [
        (1, 1, 8),
        (2, 1, -8),
        (3, 1, 8),
        (4, 1, -9),
        (5, 1, 8),
        (6, 2, -8),
        (7, 1, 8),
        (8, 1, 8),
        (9, 1, -8),
        (10, 1, -8),
    ];
    let reader = Profile::default().traces(2).with_events(&events).reader();
    let temporary = |from, to| {
        let churn = reader.ask(question((Some(from), to))).unwrap();
        plain_usage(&churn.temporary())
    };
    assert_eq!(temporary(0, 99), plain::Live::from([(1, 2)]));
    // The free is after the window; the allocation is before the window.
    assert_eq!(temporary(0, 1), plain::Live::from([(1, 1)]));
    assert_eq!(temporary(1, 7), plain::Live::new());
    assert_eq!(temporary(7, 8), plain::Live::from([(1, 1)]));
}

#[test]
fn sums_stop_at_the_limit() {
    let events = [
        (1, 1, i64::MAX),
        (2, 1, i64::MAX),
        (3, 1, i64::MAX),
        (4, 2, 1),
    ];
    let reader = Profile::default().traces(2).with_events(&events).reader();
    let churn = reader.churn().unwrap();
    assert_eq!(churn.total().allocated, u64::MAX);
    assert_eq!(churn.allocated().total(), i64::MAX);
    assert_eq!(churn.get(TraceId::new(2)).allocated, 1);
}

//! What is a leak and what is none: programs whose answer is known, made and recorded.

mod common;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use common::sampling::sampled;
use common::{Profile, recording};
use fastrand::Rng;
use heapprof::query::{Growth, Leaks};
use heapprof::{Elapsed, Reader, SamplingRates, TraceId};
use proptest::collection::vec;
use proptest::prelude::*;

/// A second in microseconds.
const SECOND: i64 = 1_000_000;

/// Of a program that runs for 100 s, and does in each tenth of a second what `step` says of it: the
/// number of the step, and the block that trace 1 allocates (or frees, if negative) in it. A steady
/// part of 100 000 bytes is there too.
fn program(step: impl Fn(i64) -> Vec<i64>) -> Leaks {
    let mut profile = Profile::default().traces(3);
    for number in 0..1000 {
        let at = number * SECOND / 10;
        profile.event(at, 2, 100_000);
        for block in step(number) {
            profile.event(at + 10, 1, block);
        }
        profile.event(at + 20, 2, -100_000);
    }
    profile.reader().leaks().unwrap()
}

/// The only candidate, if there is one.
fn only(leaks: &Leaks) -> Option<Growth> {
    assert!(leaks.traces().len() <= 1 && leaks.lines().len() == leaks.traces().len());
    let leak = leaks.traces().first()?;
    assert_eq!(leak.trace, TraceId::new(1));
    Some(leak.growth)
}

#[test]
fn slow_steady_growth_is_a_leak() {
    let growth = only(&program(|_| vec![10])).unwrap();
    // A window is 4.16 s, in which the trace grows by 41 or 42 blocks; the first two do not count.
    assert_eq!((growth.grew, growth.windows, growth.bytes), (22, 22, 9_160));
    assert_eq!((growth.allocated, growth.freed), (10_000, 0));
    assert_eq!(growth.from, Elapsed::from_micros(8_325_002));
    assert!((99.0..101.0).contains(&growth.bytes_per_second));
    assert_eq!(growth.score, growth.bytes);

    // So is one amid much that is not, and one that comes now and then.
    let growth = only(&program(|_| vec![500, 500, -500, 10, -500])).unwrap();
    assert_eq!(growth.bytes, 9_160);
    assert!((0.990..0.991).contains(&growth.freed_share()));
    let growth = only(&program(|n| if n % 60 == 0 { vec![600] } else { vec![] })).unwrap();
    assert_eq!((growth.grew, growth.windows), (15, 22));
    assert_eq!(growth.score, growth.bytes * 15 / 22);
}

#[test]
fn a_leak_that_begins_late_is_judged_by_its_own_windows() {
    let late = |from| program(move |n| if n < from { vec![] } else { vec![10] });
    let growth = only(&late(500)).unwrap();
    assert_eq!((growth.grew, growth.windows), (10, 10));
    assert!(only(&late(700)).is_none());
}

#[test]
fn what_comes_to_an_end_is_no_leak() {
    // A program that starts; a step, early and late; a cache that is full.
    for until in [5, 100, 300, 500, 800] {
        let leaks = program(move |n| {
            if n < until {
                vec![100]
            } else {
                vec![100, -100]
            }
        });
        assert_eq!(only(&leaks), None, "{until}");
    }
    for at in [0, 1, 400, 990] {
        let leaks = program(move |n| if n == at { vec![1_000_000] } else { vec![] });
        assert_eq!(only(&leaks), None, "{at}");
    }
    // A few steps are no growth in most windows.
    let leaks = program(|n| if n % 250 == 0 { vec![100_000] } else { vec![] });
    assert_eq!(only(&leaks), None);
}

#[test]
fn a_cache_that_levels_off_is_no_leak() {
    // Of keys that come by chance, those that are new: fewer and fewer.
    for (keys, is_leak) in [(300, false), (1500, true)] {
        let mut rng = Rng::with_seed(5);
        let mut known = BTreeSet::new();
        let new: Vec<bool> = (0..1000).map(|_| known.insert(rng.u32(0..keys))).collect();
        let leaks = program(|n| {
            if new[usize::try_from(n).unwrap()] {
                vec![100]
            } else {
                vec![]
            }
        });
        assert_eq!(only(&leaks).is_some(), is_leak, "{keys}");
    }
}

#[test]
fn a_cache_that_is_emptied_is_no_leak_whatever_its_period() {
    for period in [20, 41, 60, 100, 150, 240, 333, 500, 700] {
        let leaks = program(move |n| {
            if n > 0 && n % period == 0 {
                vec![-100 * (period - 1)]
            } else {
                vec![100]
            }
        });
        assert_eq!(only(&leaks), None, "{period}");
    }
}

#[test]
fn chance_is_no_leak() {
    let mut walks = 0;
    for seed in 0..100 {
        let mut rng = Rng::with_seed(seed);
        let mut live = 0_i64;
        let blocks: Vec<Vec<i64>> = (0..1000)
            .map(|_| {
                // A level around which it wavers, and a walk that has none.
                let target = if seed % 2 == 0 {
                    rng.i64(10_000..20_000)
                } else {
                    live + rng.i64(-500..=500)
                };
                let change = target.max(0) - live;
                live += change;
                vec![change]
            })
            .collect();
        let leaks = program(|n| blocks[usize::try_from(n).unwrap()].clone());
        let found = only(&leaks).is_some();
        assert!(!found || seed % 2 == 1, "{seed}");
        walks += u32::from(found);
    }
    // A walk can lead upward for as long as it is looked at.
    assert_eq!(walks, 1);
}

#[test]
fn a_program_that_frees_all_at_its_end_has_leaked_before() {
    let leaks = program(|n| match n {
        999 => vec![-10; 999],
        _ => vec![10],
    });
    let growth = only(&leaks).unwrap();
    assert_eq!((growth.grew, growth.windows, growth.freed), (21, 22, 9_990));
}

#[test]
fn hours_without_an_event_do_not_count() {
    // It works for a second every hour.
    let mut profile = Profile::default().traces(1);
    for hour in 0..40 {
        for n in 0..10 {
            profile.event(hour * 3600 * SECOND + n, 1, 100);
        }
    }
    let reader = profile.reader();
    let growth = only(&reader.leaks().unwrap()).unwrap();
    assert_eq!((growth.grew, growth.windows), (22, 22));
    // With more windows than hours most are empty.
    let find = Leaks::query();
    let leaks = reader.ask(find.windows(400)).unwrap();
    assert_eq!(leaks.window(), Duration::from_micros(351_000_001));
    let growth = only(&leaks).unwrap();
    assert_eq!((growth.grew, growth.windows), (38, 38));
}

#[test]
fn a_line_leaks_through_many_traces_of_which_none_does() {
    let mut profile = Profile::default();
    for caller in 1..=1000 {
        profile.trace(&[("main.py", 1), ("caller.py", caller), ("leak.py", 7)]);
    }
    for number in 0..1000_u32 {
        let size = if number == 500 { 200 } else { 100 };
        profile.event(i64::from(number) * SECOND, number + 1, size);
    }
    let reader = profile.reader();
    let leaks = reader.leaks().unwrap();
    assert!(leaks.traces().is_empty());
    let [leak] = leaks.lines() else { panic!() };
    let frame = reader.traces().unwrap().frame(leak.id).unwrap();
    assert_eq!(frame.to_string(), "leak.py:7");
    assert_eq!((leak.growth.grew, leak.growth.windows), (22, 22));
    assert_eq!(Some(leak.trace), TraceId::new(501));
}

#[test]
fn nothing_and_little_have_no_leaks() {
    assert!(
        Profile::default()
            .reader()
            .leaks()
            .unwrap()
            .traces()
            .is_empty()
    );
    let one = Profile::default()
        .traces(1)
        .with_events(&[(5, 1, 100)])
        .reader();
    assert!(one.leaks().unwrap().lines().is_empty());
    let at_once: Vec<_> = (0..100).map(|_| (5, 1, 100)).collect();
    let reader = Profile::default().traces(1).with_events(&at_once).reader();
    assert!(reader.leaks().unwrap().traces().is_empty());
}

/// The lines that may leak in a recording, each with its bytes, in how many windows it grew and of
/// how many.
fn recorded(name: &str) -> Option<Vec<(String, i64, u32, u32)>> {
    let reader = Reader::open(recording(name)?).unwrap();
    let traces = reader.traces().unwrap();
    let leaks = reader.leaks().unwrap();
    let shown = leaks.lines().iter().map(|leak| {
        let frame = traces.frame(leak.id).unwrap();
        let file = frame.file.rsplit('/').next().unwrap();
        let Growth {
            bytes,
            grew,
            windows,
            ..
        } = leak.growth;
        (format!("{file}:{}", frame.line), bytes, grew, windows)
    });
    Some(shown.collect())
}

#[test]
fn the_leaks_of_real_programs_are_first_and_spikes_are_not_listed() {
    for (name, expected) in [
        (
            "demo",
            vec![
                ("customers.py:11", 7_405_968, 21, 21),
                ("customers.py:6", 81_348, 21, 21),
            ],
        ),
        ("spike", vec![("spike.py:6", 29_897_170, 21, 21)]),
        // What it writes is kept until its end.
        ("real_docutils", vec![("io.py:247", 270_329, 10, 13)]),
        ("recursion", vec![]),
        ("unicode", vec![]),
        ("killed", vec![]),
        ("negtime", vec![]),
    ] {
        if let Some(found) = recorded(name) {
            let found: Vec<_> = found
                .iter()
                .map(|leak| (&*leak.0, leak.1, leak.2, leak.3))
                .collect();
            assert_eq!(found, expected, "{name}");
        }
    }
}

#[test]
fn the_leak_is_first_in_samples_too() {
    let rates = SamplingRates::new([(128, 0.05), (8192, 0.3)]).unwrap();
    let hpm = std::fs::read("examples/data/demo.hpm").unwrap();
    let hpd = std::fs::read("examples/data/demo.hpd").unwrap();
    for seed in 0..20 {
        let hpd = sampled(&hpd, &rates, &mut Rng::with_seed(seed));
        let reader = Reader::from_bytes(hpm.clone(), hpd, None).unwrap();
        let reader = reader.with_rates(rates.clone());
        let leaks = reader.leaks().unwrap();
        let frame = reader.traces().unwrap().frame(leaks.lines()[0].id).unwrap();
        assert_eq!(
            frame.to_string(),
            "/srv/app/workloads/shop/customers.py:11",
            "{seed}"
        );
        assert!(leaks.lines().len() <= 4);
    }
}

/// How trace `trace` grew, from the floors of all windows one by one.
fn plain(log: &[(i64, u32, i64)], trace: u32, windows: i64) -> Option<(i64, u32, u32)> {
    let length = (log.last()?.0 + 1 + windows - 1) / windows;
    let mut active: Vec<i64> = log.iter().map(|event| event.0 / length).collect();
    active.dedup();
    let of_trace = || log.iter().filter(|event| event.1 == trace);
    let first = of_trace().next()?.0 / length;
    let mut floors = Vec::new();
    for &window in &active {
        let before = of_trace().filter(|event| event.0 / length < window);
        let mut live: i64 = before.map(|event| event.2).sum();
        let mut floor = live;
        for event in of_trace().filter(|event| event.0 / length == window) {
            live += event.2;
            floor = floor.min(live);
        }
        floors.push(floor);
    }
    let from = active.iter().position(|&window| window == first)? + 2;
    let judged = floors.get(from..)?;
    let base = floors[from - 2..from].iter().copied().max()?;
    let count = judged.len();
    if count < 8 {
        return None;
    }
    let mut high = base;
    let mut thirds: BTreeMap<usize, (u32, u32, i64)> = BTreeMap::new();
    for (place, &floor) in judged.iter().enumerate() {
        let third = thirds.entry(3 * place / count).or_default();
        third.0 += 1;
        if floor > high {
            third.1 += 1;
            third.2 += floor - high;
            high = floor;
        }
    }
    let mut live: BTreeMap<u32, i64> = BTreeMap::new();
    let mut largest = 0;
    for event in log {
        *live.entry(event.1).or_default() += event.2;
        largest = largest.max(live.values().sum());
    }
    let bytes = high - base;
    let is_leak = thirds.values().all(|third| 2 * third.1 >= third.0)
        && thirds[&2].2 >= bytes / 6
        && floors[floors.len() - count.div_ceil(8).max(2)..]
            .iter()
            .any(|&floor| {
                floor
                    > floors[..floors.len() - count.div_ceil(8).max(2)]
                        .iter()
                        .copied()
                        .max()
                        .unwrap()
            })
        && bytes >= (largest / 1000).max(1);
    let grew = thirds.values().map(|third| third.1).sum();
    is_leak.then(|| (bytes, grew, u32::try_from(count).unwrap()))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]
    #[test]
    fn candidates_are_those_that_all_floors_give(
        events in vec((0..300_i64, 0..3_u32, 1..100_i64, 0..10_u8), 1..200),
        windows in 10..40_u32,
    ) {
        let (mut at, mut live) = (0, [0_i64; 3]);
        let mut log = Vec::new();
        for (difference, trace, size, free) in events {
            at += difference;
            let live = &mut live[trace as usize];
            let size = if free < 3 && *live >= size { -size } else { size };
            *live += size;
            log.push((at, trace, size));
        }
        let reader = Profile::default().traces(3).with_events(&log).reader();
        let find = Leaks::query();
        let leaks = reader.ask(find.windows(windows)).unwrap();
        for trace in 0..3 {
            let id = TraceId::new(trace);
            let found = leaks.traces().iter().find(|leak| leak.trace == id);
            let found = found.map(|leak| (leak.growth.bytes, leak.growth.grew, leak.growth.windows));
            prop_assert_eq!(found, plain(&log, trace, windows.into()));
            // Each trace has a line of its own.
            if let Some(leak) = leaks.lines().iter().find(|leak| Some(leak.trace) == id) {
                let growth = leaks.traces().iter().find(|leak| leak.trace == id).unwrap().growth;
                prop_assert_eq!(leak.growth, growth);
            }
        }
        let scores: Vec<_> = leaks.traces().iter().map(|leak| leak.growth.score).collect();
        prop_assert!(scores.is_sorted_by(|a, b| a >= b));
    }
}

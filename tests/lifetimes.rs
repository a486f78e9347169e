//! Lifetimes: bounds that hold for every pairing of frees with allocations, and that some reach.

mod common;
#[path = "common/logs.rs"]
mod logs;
#[path = "common/plain.rs"]
mod plain;

use std::collections::BTreeMap;
use std::time::Duration;

use common::Profile;
use heapprof::TraceId;
use heapprof::query::{Lifetimes, Live, TraceLifetimes, TraceSet};
use logs::{Log, plain_usage};
use proptest::collection::{btree_set, vec};
use proptest::prelude::*;

/// Times of the events of one trace and size, and whether each is a free.
type Group = Vec<(i128, bool)>;

fn groups(events: &[plain::Event]) -> BTreeMap<(u32, i128), Group> {
    let mut groups: BTreeMap<_, Group> = BTreeMap::new();
    for event in events {
        let group = groups.entry((event.trace, event.size)).or_default();
        group.push((event.elapsed, event.free));
    }
    groups
}

/// The sums of the lifetimes of all ways in which each free frees any block that is live then.
fn all_pairings(group: &[(i128, bool)], live: &mut Vec<i128>, sum: i128, sums: &mut Vec<i128>) {
    let Some((&(time, free), rest)) = group.split_first() else {
        sums.push(sum);
        return;
    };
    if !free {
        live.push(time);
        all_pairings(rest, live, sum, sums);
        live.pop();
    } else if live.is_empty() {
        all_pairings(rest, live, sum, sums);
    }
    for place in 0..if free { live.len() } else { 0 } {
        let allocated = live.swap_remove(place);
        all_pairings(rest, live, sum + time - allocated, sums);
        live.push(allocated);
        let last = live.len() - 1;
        live.swap(place, last);
    }
}

/// The sum if at each free the block at the place that `which` says of so many is freed; how many
/// were freed, how many are left, and how many frees found none.
fn by_order(group: &Group, which: fn(usize) -> usize) -> (i128, u64, u64, u64) {
    let (mut live, mut sum, mut freed, mut unmatched) = (Vec::new(), 0, 0, 0);
    for &(time, free) in group {
        if !free {
            live.push(time);
        } else if live.is_empty() {
            unmatched += 1;
        } else {
            sum += time - live.remove(which(live.len()));
            freed += 1;
        }
    }
    (sum, freed, live.len() as u64, unmatched)
}

/// Freed, live, unmatched; the sums of the shortest and the longest lifetimes.
type Row = (u64, u64, u64, i128, i128);

fn told(lifetimes: &Lifetimes) -> BTreeMap<u32, Row> {
    let sum = |usage: heapprof::Usage, trace| i128::from(usage.get(trace));
    lifetimes
        .rows()
        .map(|(trace, row)| {
            let shortest = sum(lifetimes.shortest_micros(), trace);
            let longest = sum(lifetimes.longest_micros(), trace);
            let row = (row.freed, row.live, row.unmatched, shortest, longest);
            (trace.map_or(0, TraceId::get), row)
        })
        .collect()
}

fn nanos(row: &TraceLifetimes) -> Option<(u128, u128)> {
    let mean = row.mean()?;
    Some((mean.start().as_nanos(), mean.end().as_nanos()))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    /// Of small logs of few sizes, so that there are many blocks to choose from.
    #[test]
    fn no_pairing_is_outside_the_bounds_and_some_are_at_them(
        events in vec((prop_oneof![Just(0_i64), 0_i64..20, -5_i64..0], any::<bool>(), 0_u64..2), 0..14),
    ) {
        let mut wall = 0;
        let lines: Vec<logs::Line> = events.into_iter().map(|(step, free, size)| {
            wall += step;
            (wall, 1, size, free)
        }).collect();
        let log = Log::new(&lines, &heapprof::SamplingRates::unsampled());
        let (mut least, mut most, mut freed) = (0, 0, 0);
        for group in groups(&log.events).values() {
            let mut sums = Vec::new();
            all_pairings(group, &mut Vec::new(), 0, &mut sums);
            least += sums.iter().min().unwrap();
            most += sums.iter().max().unwrap();
            freed += by_order(group, |_| 0).1;
        }
        let lifetimes = log.reader().lifetimes().unwrap();
        let total = lifetimes.total();
        prop_assert_eq!(total.freed, freed);
        prop_assert_eq!(i128::from(lifetimes.shortest_micros().total()), least);
        prop_assert_eq!(i128::from(lifetimes.longest_micros().total()), most);
        let mean = |sum: i128| u128::try_from(sum * 1000 / i128::from(freed)).unwrap();
        prop_assert_eq!(nanos(&total), (freed > 0).then(|| (mean(least), mean(most))));
        prop_assert_eq!(total.exact_mean().is_some(), freed > 0 && least == most);
        if total.live == 0 {
            prop_assert_eq!(least, most);
        }
    }

    #[test]
    fn lifetimes_are_those_of_both_orders(
        lines in prop_oneof![logs::lines(100), logs::sound_lines(100)],
        rates in logs::rates(),
        set in prop::option::of(btree_set(logs::traces(), 0..5)),
    ) {
        let log = Log::new(&lines, &rates);
        let mut expected: BTreeMap<u32, Row> = BTreeMap::new();
        for ((trace, _), group) in groups(&log.events) {
            if !set.as_ref().is_none_or(|set| set.contains(&trace)) {
                continue;
            }
            let (longest, freed, live, unmatched) = by_order(&group, |_| 0);
            let (shortest, ..) = by_order(&group, |len| len - 1);
            let row = expected.entry(trace).or_default();
            row.0 += freed;
            row.1 += live;
            row.2 += unmatched;
            row.3 += shortest;
            row.4 += longest;
        }
        for reader in log.readers() {
            let mut question = Lifetimes::query();
            if let Some(set) = &set {
                let set: TraceSet = set.iter().map(|&index| TraceId::new(index)).collect();
                question = question.of(&set);
            }
            let (lifetimes, _) = reader.ask((question, Live::query().at(logs::at(3000)))).unwrap();
            prop_assert_eq!(&told(&lifetimes), &expected);
            let total = lifetimes.total();
            prop_assert_eq!(total.freed, expected.values().map(|row| row.0).sum::<u64>());
            prop_assert_eq!(total.live, expected.values().map(|row| row.1).sum::<u64>());
            prop_assert_eq!(total.unmatched, expected.values().map(|row| row.2).sum::<u64>());
            let of_rows: Vec<TraceLifetimes> =
                lifetimes.rows().map(|(trace, _)| lifetimes.get(trace)).collect();
            prop_assert_eq!(of_rows, lifetimes.rows().map(|(_, row)| *row).collect::<Vec<_>>());
            let freed: plain::Live = expected
                .iter()
                .map(|(&trace, row)| (trace, i128::from(row.0)))
                .filter(|&(_, freed)| freed != 0)
                .collect();
            prop_assert_eq!(plain_usage(&lifetimes.freed()), freed);
            let live: i128 = expected.values().map(|row| i128::from(row.1)).sum();
            prop_assert_eq!(i128::from(lifetimes.live().total()), live);
        }
    }
}

#[test]
fn what_is_all_freed_has_an_exact_mean() {
    let ms = 1000;
    let events = [
        (0, 1, 64),
        (10 * ms, 1, 64),
        (20 * ms, 1, -64),
        (25 * ms, 1, 32),
        (26 * ms, 1, -32),
        (60 * ms, 1, -64),
        // Another trace: two of three, the oldest or the newest.
        (100 * ms, 2, 64),
        (110 * ms, 2, 64),
        (150 * ms, 2, 64),
        (160 * ms, 2, -64),
        (160 * ms, 2, -64),
        // Nothing was freed; and a free of what is not here.
        (170 * ms, 3, 64),
        (180 * ms, 4, -64),
    ];
    let reader = Profile::default().traces(4).with_events(&events).reader();
    let lifetimes = reader.lifetimes().unwrap();
    let of = |trace| lifetimes.get(TraceId::new(trace));
    let ms = Duration::from_millis;
    assert_eq!(of(1).exact_mean(), Some(Duration::from_nanos(23_666_666)));
    assert_eq!((of(1).freed, of(1).live), (3, 0));
    assert_eq!(of(2).mean(), Some(ms(30)..=ms(55)));
    assert_eq!(of(2).exact_mean(), None);
    assert_eq!((of(2).freed, of(2).live), (2, 1));
    assert_eq!((of(3).mean(), of(3).live), (None, 1));
    assert_eq!((of(4).mean(), of(4).unmatched), (None, 1));
    assert_eq!(lifetimes.rows().len(), 4);
    assert_eq!(of(9), TraceLifetimes::default());
}

//! What is live, in bytes and in blocks, in passes that are shared.

mod common;
#[path = "common/logs.rs"]
mod logs;
#[path = "common/plain.rs"]
mod plain;

use std::collections::BTreeMap;

use common::Profile;
use std::ops::ControlFlow;

use heapprof::query::{AppliedEvent, Live, LiveBlocks, LiveHeap, Query, QueryEnd, TraceSet};
use heapprof::{Elapsed, SamplingRates, TraceId, Usage};
use logs::{Log, at, plain_usage};
use proptest::prelude::*;

/// Blocks by trace after so many events: recorded, and what they stand for.
fn plain_blocks(
    events: &[plain::Event],
    rates: &SamplingRates,
) -> (plain::Live, BTreeMap<u32, f64>) {
    let (mut recorded, mut estimated) = (plain::Live::new(), BTreeMap::new());
    for event in events {
        let probability = rates.probability(u64::try_from(event.size).unwrap());
        let one = if probability > 0.0 {
            1.0 / probability
        } else {
            0.0
        };
        let sign = if event.free { -1 } else { 1 };
        *recorded.entry(event.trace).or_default() += sign;
        *estimated.entry(event.trace).or_default() += if event.free { -one } else { one };
    }
    recorded.retain(|_, count| *count != 0);
    (recorded, estimated)
}

/// Breaks at the event with this number. Returns the number of events, and the live bytes, at the end of the pass.
#[derive(Clone)]
struct BreakAt(u64);

impl Query for BreakAt {
    type Output = (u64, Usage);

    fn observe(&mut self, applied: &AppliedEvent, _: &LiveHeap) -> ControlFlow<()> {
        if applied.number < self.0 {
            ControlFlow::Continue(())
        } else {
            ControlFlow::Break(())
        }
    }

    fn finish(self, end: &QueryEnd<'_>) -> Self::Output {
        assert_eq!(end.heap().total(), end.heap().usage().total());
        (end.position().events(), end.heap().usage())
    }
}

/// The variances of the estimated numbers of live blocks.
fn plain_block_variances(events: &[plain::Event], rates: &SamplingRates) -> BTreeMap<u32, f64> {
    let mut variances: BTreeMap<u32, f64> = BTreeMap::new();
    for event in events {
        let blocks = plain::stands_for(rates, u64::try_from(event.size).unwrap());
        let variance = blocks * blocks - blocks;
        *variances.entry(event.trace).or_default() += if event.free { -variance } else { variance };
    }
    variances
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn heap_and_position_at_the_end_do_not_count_the_event_that_stopped_the_pass(
        lines in logs::lines(80),
        rates in logs::rates(),
        number in 1_u64..90,
    ) {
        let log = Log::new(&lines, &rates);
        let events = log.events.len().min(usize::try_from(number - 1).unwrap());
        for reader in log.readers() {
            let live = reader.ask(Live::query().after_events(events as u64)).unwrap();
            let alone = reader.ask(BreakAt(number)).unwrap();
            prop_assert_eq!(&alone, &(events as u64, live));
            // The pass goes on while any query does.
            let together = reader.ask(vec![BreakAt(1), BreakAt(number)]).unwrap();
            prop_assert_eq!(together, vec![alone.clone(), alone]);
        }
    }

    #[test]
    fn growth_is_the_difference_of_two_moments_and_of_the_traces_asked_for(
        lines in logs::lines(80),
        rates in logs::rates(),
        times in (logs::times(), logs::times()),
        set in prop::collection::btree_set(0_u32..6, 0..4),
    ) {
        let log = Log::new(&lines, &rates);
        let set: TraceSet = set.iter().map(|&index| TraceId::new(index)).collect();
        let (from, to) = (at(times.0), at(times.1));
        for reader in log.readers() {
            let growth = reader.live_at(to).unwrap() - reader.live_at(from).unwrap();
            let (whole, of_set, blocks, moments) = reader.ask((
                Live::query().within(from..to),
                Live::query().within(from..to).of(&set),
                LiveBlocks::query().within(from..to),
                [from, to].map(|time| LiveBlocks::query().at(time)).to_vec(),
            )).unwrap();
            prop_assert_eq!(&reader.growth(from..to).unwrap(), &growth);
            prop_assert_eq!(&whole, &growth);
            prop_assert_eq!(of_set, set.filter(&growth));
            prop_assert_eq!(blocks.recorded(), &(moments[1].recorded() - moments[0].recorded()));
        }
    }

    #[test]
    fn blocks_are_the_plain_ones(
        lines in logs::lines(80),
        rates in logs::rates(),
        time in (logs::times(), logs::times()),
        after in 0_usize..90,
    ) {
        let log = Log::new(&lines, &rates);
        let until = log.events.iter().take_while(|e| e.elapsed <= time.0.into()).count();
        for reader in log.readers() {
            let told = reader.ask((
                LiveBlocks::query().at(at(time.0)),
                LiveBlocks::query(),
                LiveBlocks::query().after_events(after as u64),
                Live::query().at(at(time.1)),
            )).unwrap();
            prop_assert_eq!(&told.0, &reader.ask(LiveBlocks::query().at(at(time.0))).unwrap());
            let counts = [until, log.events.len(), after.min(log.events.len())];
            for (told, count) in [&told.0, &told.1, &told.2].into_iter().zip(counts) {
                let (recorded, estimated) = plain_blocks(&log.events[..count], &rates);
                prop_assert_eq!(plain_usage(told.recorded()), recorded);
                for (trace, estimated) in estimated {
                    #[expect(clippy::cast_precision_loss)]
                    let told = told.estimated().get(TraceId::new(trace)) as f64;
                    prop_assert!((told - estimated).abs() <= 0.5 + 1e-6, "{told} {estimated}");
                }
                for (trace, variance) in plain_block_variances(&log.events[..count], &rates) {
                    let bars = told.error_bars().get(TraceId::new(trace));
                    prop_assert_eq!(bars.value(), told.estimated().get(TraceId::new(trace)));
                    let off = (bars.variance() - variance.max(0.0)).abs();
                    prop_assert!(off <= 1e-6 * (1.0 + variance.abs()), "{} {variance}", bars.variance());
                }
                if rates.is_unsampled() {
                    prop_assert_eq!(told.estimated(), told.recorded());
                }
            }
        }
    }

    #[test]
    fn what_is_live_is_the_same_in_a_shared_pass(
        lines in logs::lines(80),
        rates in logs::rates(),
        times in [logs::times(), logs::times(), logs::times(), logs::times()],
    ) {
        let log = Log::new(&lines, &rates);
        for reader in log.readers() {
            let [a, b, c, d] = times;
            let (in_a, in_b, in_c, in_d) =
                reader.ask((Live::query().at(at(a)), Live::query().at(at(b)), Live::query().at(at(c)), Live::query().at(at(d)))).unwrap();
            for (time, told) in [(a, &in_a), (b, &in_b), (c, &in_c), (d, &in_d)] {
                prop_assert_eq!(plain_usage(told), plain::live_at(&log.events, time.into()));
                prop_assert_eq!(told, &reader.live_at(at(time)).unwrap());
            }
            prop_assert_eq!(reader.growth(at(a)..at(b)).unwrap(), &in_b - &in_a);
        }
    }
}

#[test]
fn blocks_stand_for_others_and_a_trace_is_rounded_once() {
    // One in three below 100 bytes, none below 10, all others.
    let rates = SamplingRates::from_stored([(10, 0), (100, u32::MAX / 3), (200, u32::MAX / 7 * 2)]);
    let mut profile = Profile::sampled(&rates).traces(3);
    for (time, trace, bytes) in [
        (1, 1, 50),
        (2, 1, 60),
        (3, 2, 5),
        (4, 2, 5000),
        (5, 3, 150),
        (6, 3, 150),
        (7, 3, 150),
        (8, 1, -50),
    ] {
        profile.event(time, trace, bytes);
    }
    let reader = profile.reader();
    let blocks = reader.ask(LiveBlocks::query()).unwrap();
    let rows = |usage| plain_usage(usage).into_iter().collect::<Vec<_>>();
    assert_eq!(rows(blocks.recorded()), [(1, 1), (2, 2), (3, 3)]);
    // 3; 0 and 1; three times 3½ and a little.
    assert_eq!(rows(blocks.estimated()), [(1, 3), (2, 1), (3, 11)]);
    let unsampled = reader.unsampled();
    let blocks = unsampled
        .ask(LiveBlocks::query().at(Elapsed::from_micros(6)))
        .unwrap();
    assert_eq!(rows(blocks.estimated()), [(1, 2), (2, 2), (3, 2)]);
    let blocks = unsampled.ask(LiveBlocks::query().after_events(3)).unwrap();
    assert_eq!(rows(blocks.estimated()), [(1, 2), (2, 1)]);
}

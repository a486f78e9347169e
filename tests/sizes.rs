//! Sizes, and what samples of a log would be like.

mod common;
#[path = "common/logs.rs"]
mod logs;
#[path = "common/plain.rs"]
mod plain;

use std::collections::BTreeMap;

use common::Profile;
use heapprof::query::{ExpectedEstimate, Peak, SamplingAdvice, SizeBucket, Sizes, TraceSet};
use heapprof::{Reader, SamplingRates, TraceId};
use logs::{Log, about, inside};
use plain::stands_for;
use proptest::collection::{btree_set, vec};
use proptest::prelude::*;

/// Recorded allocations, their bytes, the estimate of the bytes, and the estimate of allocations.
type Row = (i128, i128, i128, f64);

fn told(bucket: &SizeBucket) -> (i128, i128, i128) {
    (
        bucket.recorded_allocations.into(),
        bucket.recorded_bytes.into(),
        bucket.bytes.into(),
    )
}

fn near(a: f64, b: f64) -> bool {
    (a - b).abs() <= 1e-9 * a.abs().max(b.abs()).max(1.0)
}

#[expect(clippy::cast_precision_loss)]
fn float(value: i128) -> f64 {
    value as f64
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn sizes_are_the_plain_ones(
        lines in logs::lines(80),
        rates in logs::rates(),
        window in logs::windows(),
        set in prop::option::of(btree_set(logs::traces(), 0..5)),
    ) {
        let log = Log::new(&lines, &rates);
        let mut expected: BTreeMap<u32, Row> = BTreeMap::new();
        let mut all = (0, 0, 0);
        for event in &log.events {
            let counts = set.as_ref().is_none_or(|set| set.contains(&event.trace));
            if !event.free && counts && inside(window, event.elapsed) {
                // 0 has no bits, 1 has one, 2 and 3 have two, …
                let bits = i128::BITS - event.size.leading_zeros();
                let row = expected.entry(bits).or_default();
                row.0 += 1;
                row.1 += event.size;
                row.2 += event.estimate;
                row.3 += stands_for(&rates, u64::try_from(event.size).unwrap());
                all = (all.0 + 1, all.1 + event.size, all.2 + event.estimate);
            }
        }
        for reader in log.readers() {
            let mut question = about!(Sizes::query(), window);
            if let Some(set) = &set {
                let set: TraceSet = set.iter().map(|&index| TraceId::new(index)).collect();
                question = question.of(&set);
            }
            let (sizes, _) = reader.ask((question, Peak::query())).unwrap();
            let last = expected.last_key_value().map(|(&bits, _)| bits);
            prop_assert_eq!(sizes.buckets().len(), last.map_or(0, |bits| bits as usize + 1));
            for (bits, bucket) in (0..).zip(sizes.buckets()) {
                let row = expected.get(&bits).copied().unwrap_or_default();
                prop_assert_eq!(told(&bucket), (row.0, row.1, row.2));
                let estimated = float(bucket.allocations.into());
                prop_assert!((estimated - row.3).abs() <= 0.5 + 1e-6 * row.3);
                prop_assert_eq!(*bucket.sizes.start(), if bits == 0 { 0 } else { 1 << (bits - 1) });
                prop_assert_eq!(*bucket.sizes.end(), (1 << bits) - 1);
                prop_assert_eq!(&sizes.bucket(*bucket.sizes.end()), &bucket);
            }
            prop_assert_eq!(told(&sizes.total()), all);
            prop_assert_eq!(sizes.total().sizes, 0..=(1 << 63) - 1);
            if rates.is_unsampled() {
                prop_assert_eq!(
                    sizes.total().recorded_allocations,
                    sizes.total().allocations
                );
            }
        }
    }

    #[test]
    fn advice_is_what_the_formula_says_of_each_block(
        lines in logs::sound_lines(80),
        rates in logs::rates(),
        candidates in vec(logs::rates(), 0..4),
    ) {
        let log = Log::new(&lines, &rates);
        let peak = log.reader().peak().unwrap();
        let advice = log.reader().ask(SamplingAdvice::query(candidates.clone())).unwrap();
        prop_assert_eq!(advice.recordings().len(), candidates.len());
        for (candidate, advice) in candidates.iter().zip(advice.recordings()) {
            prop_assert_eq!(&advice.rates, candidate);
            let mut events = [0.0; 2];
            // Bytes, those unseen, and the variance: allocated, live at the end, and at the peak.
            let mut sums = [[0.0; 3]; 3];
            for (number, event) in (1..).zip(&log.events) {
                let size = u64::try_from(event.size).unwrap();
                let weight = stands_for(&rates, size);
                let p = candidate.probability(size);
                events[usize::from(event.free)] += weight * p;
                let sign = if event.free { -1.0 } else { 1.0 };
                let bytes = sign * weight * float(event.size);
                let of_block = if p > 0.0 {
                    [bytes, 0.0, bytes * float(event.size) * (1.0 - p) / p]
                } else {
                    [bytes, bytes, 0.0]
                };
                let counts = [!event.free, true, number <= peak.events()];
                for (sums, counts) in sums.iter_mut().zip(counts) {
                    for (sum, value) in sums.iter_mut().zip(of_block) {
                        *sum += if counts { value } else { 0.0 };
                    }
                }
            }
            prop_assert!(near(advice.allocations, events[0]) && near(advice.frees, events[1]));
            prop_assert!(near(advice.events(), events[0] + events[1]));
            let told = [advice.allocated, advice.live_at_end, advice.live_at_peak];
            for (told, [bytes, unseen, variance]) in told.into_iter().zip(sums) {
                // The plain sums of floats are off by as much as their largest part is rounded.
                let scale = 1e-9 * sums[0][2];
                let close = |a: f64, b: f64| (a - b).abs() <= 1e-9 * sums[0][0];
                prop_assert!(close(told.bytes, bytes), "{} {bytes}", told.bytes);
                prop_assert!(close(told.unseen, unseen), "{} {unseen}", told.unseen);
                let told_variance = told.standard_error.powi(2);
                let off = (told_variance - variance.max(0.0)).abs();
                prop_assert!(off <= scale, "{told_variance} {variance}");
                if told.bytes > 0.0 {
                    prop_assert!(near(
                        told.relative_error() * told.bytes,
                        told.standard_error
                    ));
                }
            }
        }
    }
}

/// Twenty blocks that stay and twenty that go, of sizes that are sampled differently.
fn events() -> Vec<(i64, u32, i64)> {
    let sizes = (0..40_i64).map(|n| 10 + 37 * n);
    let allocations = sizes.clone().map(|size| (size, 1, size));
    let frees = sizes.step_by(2).map(|size| (5000 + size, 1, -size));
    allocations.chain(frees).collect()
}

#[test]
fn samples_are_off_by_as_much_as_was_said() {
    let rates = SamplingRates::new([(200, 0.2), (1000, 0.6)]).unwrap();
    let reader = Profile::default().traces(1).with_events(&events()).reader();
    let advice = reader.ask(SamplingAdvice::query([rates.clone()])).unwrap();
    let advice = &advice.recordings()[0];
    let peak = reader.peak().unwrap();
    assert_eq!(peak.events(), 40);

    // Many samples, each with another choice of blocks; an xorshift for chance.
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut chance = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        float(i128::from(state >> 11)) / float(1 << 53)
    };
    let samples = 20_000;
    let (mut recorded, mut at_end, mut at_peak) = (0.0, Vec::new(), Vec::new());
    for _ in 0..samples {
        let (mut end, mut peak) = (0.0, 0.0);
        let mut kept = BTreeMap::new();
        for (_, _, bytes) in events() {
            let size = bytes.unsigned_abs();
            let is_kept = *kept
                .entry(size)
                .or_insert_with(|| chance() < rates.probability(size));
            if is_kept {
                recorded += 1.0;
                end += float(bytes.into()) / rates.probability(size);
                peak += float(bytes.max(0).into()) / rates.probability(size);
            }
        }
        at_end.push(end);
        at_peak.push(peak);
    }
    let mean = |values: &[f64]| values.iter().sum::<f64>() / f64::from(samples);
    let check = |values: &[f64], told: ExpectedEstimate| {
        let mean = mean(values);
        let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
        let off = (squares / f64::from(samples)).sqrt();
        let (of_mean, of_error) = (mean / told.bytes, off / told.standard_error);
        assert!((0.995..1.005).contains(&of_mean), "{mean} {told:?}");
        assert!((0.98..1.02).contains(&of_error), "{off} {told:?}");
    };
    check(&at_end, advice.live_at_end);
    check(&at_peak, advice.live_at_peak);
    assert_eq!(advice.allocated, advice.live_at_peak);
    let recorded = recorded / f64::from(samples);
    assert!(
        (recorded / advice.events() - 1.0).abs() < 0.01,
        "{recorded}"
    );
}

#[test]
fn what_would_never_be_recorded_is_told() {
    let events = [(1, 1, 10), (2, 1, 90), (3, 1, 200), (4, 1, -10), (5, 1, 0)];
    let reader: Reader = Profile::default().traces(1).with_events(&events).reader();
    let rates = SamplingRates::new([(50, 0.0), (100, 1.0)]).unwrap();
    let advice = reader
        .ask(SamplingAdvice::query([rates, SamplingRates::unsampled()]))
        .unwrap();
    let told = |estimate: ExpectedEstimate| {
        let ExpectedEstimate {
            bytes,
            unseen,
            standard_error,
            ..
        } = estimate;
        [bytes, unseen, standard_error, estimate.relative_error()]
    };
    let near = |a: [f64; 4], b: [f64; 4]| a.into_iter().zip(b).all(|(a, b)| (a - b).abs() < 1e-6);
    assert!(near(
        told(advice.recordings()[0].allocated),
        [300.0, 10.0, 0.0, 0.0]
    ));
    assert!(near(
        told(advice.recordings()[0].live_at_end),
        [290.0, 0.0, 0.0, 0.0]
    ));
    assert!(near(
        told(advice.recordings()[0].live_at_peak),
        [300.0, 10.0, 0.0, 0.0]
    ));
    assert!((advice.recordings()[0].events() - 2.0).abs() < 1e-9);
    assert!((advice.recordings()[1].events() - 5.0).abs() < 1e-9);
    // Half of the blocks of 100 bytes: 100² × (1 - ½) / ½ for each.
    let half = SamplingRates::from_stored([(1000, u32::MAX / 2)]);
    let events = [(1, 1, 100), (2, 1, 100), (3, 1, 100), (4, 1, 100)];
    let reader: Reader = Profile::default().traces(1).with_events(&events).reader();
    let advice = reader.ask(SamplingAdvice::query([half])).unwrap();
    assert!(near(
        told(advice.recordings()[0].allocated),
        [400.0, 0.0, 200.0, 0.5]
    ));
}

#[test]
fn nothing_and_the_largest_sizes_have_buckets() {
    let reader = Profile::default().reader();
    let sizes = reader.sizes().unwrap();
    assert_eq!(sizes.buckets().len(), 0);
    assert_eq!(sizes.total().allocations, 0);
    let advice = reader
        .ask(SamplingAdvice::query([SamplingRates::unsampled()]))
        .unwrap();
    assert!(
        advice.recordings()[0].events().abs() < 1e-9
            && advice.recordings()[0].allocated.relative_error().abs() < 1e-9
    );

    let events = [
        (1, 1, i64::MAX),
        (2, 1, i64::MAX),
        (3, 1, i64::MAX),
        (4, 1, 0),
    ];
    let reader = Profile::default().traces(1).with_events(&events).reader();
    let sizes = reader.sizes().unwrap();
    assert_eq!(sizes.buckets().len(), 64);
    let last = sizes.bucket(u64::MAX >> 1);
    assert_eq!((last.allocations, last.bytes), (3, u64::MAX));
    assert_eq!(last.sizes, 1 << 62..=(1 << 63) - 1);
    assert_eq!(sizes.bucket(0).allocations, 1);
    // A size that no log holds.
    assert_eq!(sizes.bucket(u64::MAX).allocations, 0);
}

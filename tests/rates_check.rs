//! Are wrong rates told, and right ones left alone? On whole recordings whose header states rates,
//! as heapprof 1.0 writes them on 64-bit Linux, and on samples of them by a true recorder.

mod common;

use std::ops::AddAssign;

use common::sampling::sampled;
use common::{Profile, recording};
use fastrand::Rng;
use heapprof::query::{RatesCheck, RatesEvidence, RatesVerdict};
use heapprof::raw::TraceWriterV1;
use heapprof::{Reader, SamplingRates, StartTime};

/// heapprof's default, and others.
const RATES: [&[(u64, f64)]; 8] = [
    &[(128, 1e-4), (8192, 0.1)],
    &[(128, 0.001)],
    &[(128, 0.01)],
    &[(512, 0.1)],
    &[(1024, 0.001), (65_536, 0.1)],
    &[(32, 0.001), (256, 0.01), (4096, 0.1)],
    &[(65_536, 0.01)],
    &[(128, 0.5)],
];

const RECORDINGS: [&str; 13] = [
    "demo",
    "forked",
    "huge",
    "killed",
    "killed_hpm",
    "negtime",
    "real_docutils",
    "realloc",
    "recursion",
    "spike",
    "threads",
    "tiny",
    "unicode",
];

fn rates(stated: &[(u64, f64)]) -> SamplingRates {
    SamplingRates::new(stated.iter().copied()).unwrap()
}

fn check(rates: &SamplingRates, hpd: Vec<u8>) -> RatesCheck {
    let start = StartTime::new(1, 0);
    let hpm = TraceWriterV1::new(Vec::new(), start, rates).unwrap();
    let reader = Reader::from_bytes(hpm.into_inner(), hpd, None).unwrap();
    reader.rates_check().unwrap()
}

fn log_of(name: &str) -> Option<Vec<u8>> {
    let path = recording(name)?.with_extension("hpd");
    Some(std::fs::read(path).unwrap())
}

/// How often which verdict was given.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Tally {
    wrong: u32,
    cannot_tell: u32,
    right: u32,
}

impl AddAssign<RatesVerdict> for Tally {
    fn add_assign(&mut self, verdict: RatesVerdict) {
        match verdict {
            RatesVerdict::LookWrong => self.wrong += 1,
            RatesVerdict::LookRight => self.right += 1,
            _ => self.cannot_tell += 1,
        }
    }
}

/// 2 to this power.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a small number"
)]
fn spread(octaves: f64) -> u32 {
    octaves.exp2() as u32
}

/// A program that was never run: its lines are passed as often as one another, in groups, if it has
/// loops; sizes are spread evenly over their logarithm from 16 bytes to 128 KB, small ones more
/// often. An event takes 1 to 10 µs.
fn generated(has_loops: bool, rng: &mut Rng) -> Vec<u8> {
    let mut profile = Profile::default();
    let mut lines: Vec<(u32, i64, u32)> = Vec::new();
    let mut often = 0;
    for line in 1..=300 {
        if !has_loops || line % 5 == 1 {
            often = spread(9.0 * rng.f64());
        }
        let size = spread(4.0 + 13.0 * rng.f64() * rng.f64());
        lines.push((line, i64::from(size), often));
    }
    let mut passed: Vec<(u32, i64)> = lines
        .iter()
        .flat_map(|&(line, size, often)| (0..often).map(move |_| (line, size)))
        .collect();
    rng.shuffle(&mut passed);
    let mut live = Vec::new();
    let mut at = 0;
    for (line, size) in passed {
        at += rng.i64(1..=10);
        profile.event(at, line, size);
        live.push((line, size));
        if rng.u32(0..10) < 8 {
            let (line, size) = live.swap_remove(rng.usize(0..live.len()));
            at += rng.i64(1..=10);
            profile.event(at, line, -size);
        }
    }
    profile.into_bytes().1
}

/// Of logs in which everything was recorded, and of so many samples of each, the verdicts on them.
fn tally(logs: &[Vec<u8>], rates: &SamplingRates, samples: u32, rng: &mut Rng) -> [Tally; 2] {
    let [mut whole, mut sample] = [Tally::default(); 2];
    for log in logs {
        whole += check(rates, log.clone()).verdict();
        for _ in 0..samples {
            sample += check(rates, sampled(log, rates, rng)).verdict();
        }
    }
    [whole, sample]
}

#[test]
fn nothing_is_called_wrong_that_is_right_and_the_default_rates_never_right_that_are_wrong() {
    let long = std::env::var("HEAPPROF_LONG").is_ok_and(|long| long == "1");
    let (names, samples, programs) = if long {
        (&RECORDINGS[..], 20, 40)
    } else {
        (&["demo", "forked", "huge", "realloc", "tiny"][..], 5, 4)
    };
    let recorded: Vec<_> = names.iter().filter_map(|name| log_of(name)).collect();
    let mut rng = Rng::with_seed(3);
    let made: Vec<_> = (0..programs)
        .map(|program| generated(program % 2 == 0, &mut rng))
        .collect();
    let mut mistakes = 0;
    for (number, stated) in RATES.into_iter().enumerate() {
        let rates = rates(stated);
        let told = [&recorded, &made].map(|logs| tally(logs, &rates, samples, &mut rng));
        println!("{stated:?}");
        for [whole, sample] in told {
            println!("  {whole:?} {sample:?}");
            mistakes += whole.right + sample.wrong;
        }
        if number == 0 {
            // heapprof's default: whoever left it so is told.
            assert!(
                told.iter()
                    .all(|[whole, _]| whole.cannot_tell + whole.right == 0)
            );
            assert!(told.iter().all(|[_, sample]| sample.wrong == 0));
        }
    }
    assert!(mistakes <= u32::from(long), "{mistakes}");
}

/// heapprof's default rates, on events one after the other.
fn check_of(stated: &[(u64, f64)], events: &[(i64, u32, i64)]) -> RatesCheck {
    let rates = rates(stated);
    let hpd = Profile::default().with_events(events).into_bytes().1;
    check(&rates, hpd)
}

#[test]
fn the_demo_with_the_default_rates_is_wrong_for_three_reasons() {
    let found = check(&rates(RATES[0]), log_of("demo").unwrap());
    assert_eq!(found.verdict(), RatesVerdict::LookWrong);
    let told: Vec<_> = found.evidence().iter().map(ToString::to_string).collect();
    assert_eq!(
        told,
        [
            "1024 blocks in 4.998ms, which stand for 2.0e9 blocks a second",
            "3863 blocks just below 128 bytes and 2007 from there on, where the probability jumps \
             1000-fold",
            "121 blocks just below 8192 bytes and 964 from there on, where the probability jumps \
             10-fold",
            "5 of 9 pairs of numbers of blocks are equal, where sampling makes 0.3",
        ]
    );
    assert!((14.0..15.0).contains(&found.log_odds()));
}

#[test]
fn a_block_that_is_never_recorded_refutes_the_rates() {
    let found = check_of(
        &[(100, 0.0), (200, 0.5)],
        &[(1, 1, 150), (2, 1, 99), (3, 1, 7)],
    );
    assert_eq!(found.verdict(), RatesVerdict::LookWrong);
    assert_eq!(
        found.evidence()[0],
        RatesEvidence::NeverRecorded {
            sizes: 0..100,
            blocks: 2,
            first_offset: 8
        }
    );
    let found = check_of(
        &[(100, 0.0), (200, 0.5)],
        &[(1, 1, 150), (2, 1, 100), (3, 1, 700)],
    );
    assert_eq!(found.verdict(), RatesVerdict::CannotTell);
}

#[test]
fn speed_refutes_only_what_is_too_fast() {
    // So many blocks of 100 bytes, one each so many microseconds, at 1 in 10 000.
    let run = |blocks: i64, micros: i64| {
        let events: Vec<_> = (1..=blocks).map(|n| (n * micros, 1, 100)).collect();
        let found = check_of(&[(128, 1e-4)], &events);
        let fast = found.evidence().iter().find_map(|evidence| match evidence {
            RatesEvidence::TooFast { blocks, .. } => Some(*blocks),
            _ => None,
        });
        assert_eq!(fast.is_some(), found.verdict() == RatesVerdict::LookWrong);
        fast
    };
    // Fewer than 16 are no run, and each can have taken a microsecond more than was recorded.
    assert_eq!(run(15, 1), None);
    assert_eq!(run(64, 1), Some(64));
    assert_eq!(run(2000, 10), Some(1024));
    // 10⁸ blocks a second make one in 100 µs at 1 in 10 000.
    assert_eq!(run(2000, 90), None);
    assert_eq!(run(2000, 110), None);

    // The clock was stepped back every tenth block, so that no one knows how long it took.
    let events: Vec<_> = (1..=2000).map(|n| (n - n / 10 * 50, 1, 100)).collect();
    let found = check_of(&[(128, 1e-4)], &events);
    assert!(!matches!(
        found.evidence()[0],
        RatesEvidence::TooFast { .. }
    ));
}

#[test]
fn nothing_can_be_told_of_what_is_not_sampled() {
    let log = log_of("demo").unwrap();
    for stated in [&[][..], &[(128, 1.0)], &[(128, 0.999_999)]] {
        let found = check(&rates(stated), log.clone());
        assert_eq!(found.verdict(), RatesVerdict::CannotTell);
        assert!(found.log_odds().abs() < 1e-3, "{}", found.log_odds());
    }
    let found = check(&rates(RATES[0]), Vec::new());
    assert_eq!(
        (found.verdict(), found.log_odds()),
        (RatesVerdict::CannotTell, 0.0)
    );
}

#[test]
fn equal_numbers_are_against_sampling_and_unequal_ones_for_it() {
    // Forty lines in two sizes, of which each is passed so often; slowly, and below every edge.
    let counts = |often: &dyn Fn(u32) -> i64| {
        let mut at = 0;
        let mut events = Vec::new();
        for line in 1..=40 {
            for _ in 0..often(line) {
                at += 100_000;
                events.push((at, line, 64));
            }
        }
        let found = check_of(&[(1 << 20, 0.1)], &events);
        let counts = found
            .evidence()
            .iter()
            .find_map(|evidence| match *evidence {
                RatesEvidence::Counts { pairs, equal, .. } => Some((pairs, equal)),
                _ => None,
            });
        (counts.unwrap(), found.verdict())
    };
    assert_eq!(counts(&|_| 100), ((20, 20), RatesVerdict::LookWrong));
    let (told, verdict) = counts(&|line| 100 + i64::from(line * 7 % 19));
    assert_eq!((told, verdict), ((20, 0), RatesVerdict::CannotTell));
}

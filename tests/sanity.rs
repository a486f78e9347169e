//! Where logs stop making sense: those that were recorded, and those that are broken here.

mod common;

use std::time::Duration;

use common::{Profile, recording, shared};
use heapprof::query::Sanity;
use heapprof::raw::{DecodeErrorKind as Kind, FileKind};
use heapprof::{Clock, Elapsed, Reader};
use proptest::collection::vec;
use proptest::prelude::*;

/// The filebases of all recordings at hand, the cut and bent ones among them.
fn recordings() -> Vec<std::path::PathBuf> {
    let folders = ["tests/data", "examples"]
        .map(std::path::PathBuf::from)
        .into_iter()
        .chain(shared("recordings"));
    let mut found = Vec::new();
    for folder in folders {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                let files = std::fs::read_dir(path).unwrap();
                let files = files.map(|entry| entry.unwrap().path());
                found.extend(files.filter(|path| path.extension().is_some_and(|ext| ext == "hpm")));
            }
        }
    }
    found.sort();
    found
}

#[test]
fn the_first_of_each_kind_is_what_damage_tells() {
    let mut met = 0;
    for filebase in recordings() {
        let Ok(reader) = Reader::open(&filebase) else {
            continue;
        };
        let Ok(sanity) = reader.sanity() else {
            continue; // no log
        };
        let firsts: Vec<_> = sanity.issues().iter().map(|found| found.first).collect();
        let damage = reader.damage().unwrap();
        let damage = damage
            .into_iter()
            .filter(|error| error.file() == FileKind::Hpd);
        assert_eq!(firsts, damage.collect::<Vec<_>>(), "{}", filebase.display());
        assert_eq!(sanity.events(), reader.end().unwrap().events());
        assert!(
            sanity
                .issues()
                .iter()
                .all(|found| found.last_offset >= found.first.offset())
        );
        met += 1;
    }
    assert!(met >= 9);
}

#[test]
fn only_what_is_broken_is_noise() {
    let mut noisy = Vec::new();
    for filebase in recordings() {
        if let Ok(reader) = Reader::open(&filebase)
            && let Ok(sanity) = reader.sanity()
            && let Some(noise) = sanity.corruption()
        {
            let name = filebase.file_stem().unwrap().to_str().unwrap().to_owned();
            noisy.push((name, noise.offset, noise.events));
        }
    }
    noisy.dedup();
    let expected = [("huge_corrupt", 1523, 213), ("hpd_varint11", 1549, 217)];
    assert!(!noisy.is_empty());
    for found in &noisy {
        assert!(
            expected.contains(&(&*found.0, found.1, found.2)),
            "{noisy:?}"
        );
    }
}

#[test]
fn traces_that_a_cut_table_lacks_are_counted_and_no_noise() {
    // The table ends in the middle of the ninth of 17 traces.
    let reader =
        |hpm: &[u8], hpd: &[u8]| Reader::from_bytes(hpm.to_vec(), hpd.to_vec(), None).unwrap();
    let filebase = recording("tiny").unwrap();
    let hpm = std::fs::read(filebase.with_extension("hpm")).unwrap();
    let hpd = std::fs::read(filebase.with_extension("hpd")).unwrap();
    let sanity = reader(&hpm[..1548], &hpd).sanity().unwrap();
    let [found] = sanity.issues() else { panic!() };
    assert_eq!(
        found.first.kind(),
        Kind::UnknownTrace {
            found: 9,
            traces: 8
        }
    );
    assert_eq!(
        (found.first.offset(), found.last_offset, found.count),
        (1618, 2635, 138)
    );
    assert_eq!(sanity.corruption(), None);
    assert!(!sanity.is_sound());
    // No trace at all: the same.
    let sanity = reader(&hpm[..21], &hpd).sanity().unwrap();
    assert_eq!((sanity.issues()[0].count, sanity.corruption()), (366, None));
}

#[test]
fn each_kind_is_counted() {
    let mut profile = Profile::default().traces(1);
    profile.event(10, 1, i64::MAX);
    profile.event(20, 1, 5); // over the limit
    profile.event(30, 1, 7); // again
    profile.event(40, 0, -3); // below 0
    profile.event(50, 2, 1); // not in the table
    let (hpm, mut hpd) = profile.into_bytes();
    let millions = hpd.len() as u64;
    hpd.extend([0, 0, 0, 1, 0, 0xc0, 0x84, 0x3d, 0]); // 1 000 000 µs
    let cut = hpd.len() as u64;
    hpd.extend([0, 0]);
    let sanity = Reader::from_bytes(hpm, hpd, None)
        .unwrap()
        .sanity()
        .unwrap();
    let told: Vec<_> = sanity
        .issues()
        .iter()
        .map(|found| {
            (
                found.first.kind(),
                found.first.offset(),
                found.last_offset,
                found.count,
            )
        })
        .collect();
    assert_eq!(
        told,
        [
            (Kind::Saturated, 15, 22, 2),
            (Kind::NegativeBalance { trace: 0 }, 29, 29, 1),
            (
                Kind::UnknownTrace {
                    found: 2,
                    traces: 1
                },
                36,
                36,
                1
            ),
            (
                Kind::Microseconds { found: 1_000_000 },
                millions,
                millions,
                1
            ),
            (Kind::Cut, cut, cut, 1),
        ]
    );
    assert_eq!((sanity.events(), sanity.corruption()), (6, None));
}

/// How often noise is told after a byte was taken out of the beginning of a log: within 12 bytes,
/// later, and not at all. It is never told before.
fn told(name: &str) -> Option<(usize, usize, usize)> {
    let filebase = recording(name)?;
    let hpm = std::fs::read(filebase.with_extension("hpm")).unwrap();
    let mut hpd = std::fs::read(filebase.with_extension("hpd")).unwrap();
    hpd.truncate(200_000);
    let (mut near, mut later, mut never) = (0, 0, 0);
    for place in 1..=200 {
        let at = (hpd.len() - 400) * place / 200;
        let mut broken = hpd.clone();
        broken.remove(at);
        let reader = Reader::from_bytes(hpm.clone(), broken, None).unwrap();
        match reader.sanity().unwrap().corruption() {
            Some(noise) => {
                assert!(noise.offset + 12 >= at as u64);
                if noise.offset <= at as u64 + 12 {
                    near += 1;
                } else {
                    later += 1;
                }
            }
            None => never += 1,
        }
    }
    Some((near, later, never))
}

#[test]
fn a_byte_too_few_is_noticed_where_it_is() {
    for (name, expected) in [
        ("demo", (191, 0, 9)),
        ("threads", (197, 0, 3)),
        ("real_docutils", (166, 30, 4)),
    ] {
        if let Some(told) = told(name) {
            assert_eq!(told, expected, "{name}");
        }
    }
}

proptest! {
    #[test]
    fn any_bytes_are_a_log_that_can_be_told(bytes in vec(any::<u8>(), 0..400)) {
        let (hpm, _) = Profile::default().traces(3).into_bytes();
        let reader = Reader::from_bytes(hpm, bytes.clone(), None).unwrap();
        let sanity: Sanity = reader.sanity().unwrap();
        let damage = reader.damage().unwrap();
        let firsts: Vec<_> = sanity.issues().iter().map(|found| found.first).collect();
        prop_assert_eq!(firsts, damage);
        if let Some(noise) = sanity.corruption() {
            prop_assert!(noise.offset <= bytes.len() as u64 && noise.events <= sanity.events());
        }
    }

    #[test]
    fn no_sound_log_is_noise(log in vec((0..3_000_000_000_i64, 0..5_u32, 0..1_000_000_i64), 0..50)) {
        let mut wall = 0;
        let mut profile = Profile::default().traces(2);
        // Two of the traces are not in the table.
        for (difference, trace, size) in log {
            wall += difference;
            profile.event(wall, trace, size);
        }
        prop_assert_eq!(profile.reader().sanity().unwrap().corruption(), None);
    }
}

#[test]
fn an_empty_log_is_sound() {
    let sanity = Profile::default().reader().sanity().unwrap();
    assert_eq!(sanity, Sanity::default());
    assert!(sanity.is_sound());
}

/// The gaps of a log with events at these seconds, as pairs of seconds.
fn gaps(seconds: &[i64]) -> Vec<(u64, u64)> {
    let events: Vec<_> = seconds.iter().map(|at| (at * 1_000_000, 1, 8)).collect();
    let reader = Profile::default().traces(1).with_events(&events).reader();
    let sanity = reader.sanity().unwrap();
    let gaps: Vec<_> = sanity
        .gaps()
        .iter()
        .map(|gap| (gap.from.as_secs(), (gap.from + gap.length).as_secs()))
        .collect();
    assert_eq!(sanity.closing_clock().is_some(), !gaps.is_empty());
    let Some(clock) = sanity.closing_clock() else {
        return gaps;
    };
    // It closes these and no others.
    let times = |reader: &Reader| -> Vec<Elapsed> {
        reader
            .events()
            .unwrap()
            .map(|event| event.unwrap().elapsed)
            .collect()
    };
    let recorded = times(&reader);
    let reader = reader.with_clock(clock);
    let (mut before, mut closed) = ([Elapsed::ZERO; 2], Vec::new());
    for (&recorded, now) in recorded.iter().zip(times(&reader)) {
        let [was, is] = [recorded.since(before[0]), now.since(before[1])];
        assert!(is <= was);
        if is < was {
            closed.push((before[0].as_secs(), recorded.as_secs()));
        }
        before = [recorded, now];
    }
    assert_eq!(closed, gaps);
    // It is the same on its own clock.
    let again = reader.sanity().unwrap();
    assert_eq!(again.closing_clock(), reader.clock().into());
    let lengths =
        |sanity: &Sanity| -> Vec<Duration> { sanity.gaps().iter().map(|gap| gap.length).collect() };
    assert_eq!(lengths(&again), lengths(&sanity));
    gaps
}

#[test]
fn gaps_are_those_that_dominate_the_recording() {
    const YEARS: i64 = 47 * 365 * 86_400;
    let leap = YEARS.unsigned_abs();
    assert_eq!(gaps(&[]), []);
    assert_eq!(gaps(&[0, 1, 2]), []);
    // Longer than a minute, and than ten times the rest.
    assert_eq!(gaps(&[1, 62, 63]), [(1, 62)]);
    assert_eq!(gaps(&[1, 61, 62]), []);
    assert_eq!(gaps(&[0, 10, 111, 112]), []);
    assert_eq!(gaps(&[0, 10, 130, 131]), [(10, 130)]);
    // Before the first event.
    assert_eq!(gaps(&[YEARS, YEARS + 1]), [(0, leap)]);
    // Several leaps, of which none is ten times the other.
    let several = [1, YEARS, YEARS + 1, 2 * YEARS, 2 * YEARS + 1];
    assert_eq!(gaps(&several), [(1, leap), (leap + 1, 2 * leap)]);
    // A pause of two minutes is none beside 47 years, but dominates the rest of three seconds.
    let pause = [1, 2, 122, YEARS, YEARS + 1];
    assert_eq!(gaps(&pause), [(2, 122), (122, leap)]);
    assert_eq!(gaps(&[0, 40, 110, YEARS, YEARS + 40]), [(110, leap)]);
    // Leaps forward and back: the elapsed time waits until the clock has caught up.
    assert_eq!(gaps(&[1, YEARS, 2, 3, 4]), [(1, leap)]);
    assert_eq!(gaps(&[3, -YEARS, 4 - YEARS]), []);
    // Leaps that cancel: the wall clock is right again, the elapsed time is not.
    assert_eq!(gaps(&[1, YEARS, YEARS + 1, 2, 3, 4]), [(1, leap)]);
    // A job that runs for a second an hour.
    let hours: Vec<_> = (0..100).flat_map(|n| [n * 3600, n * 3600 + 1]).collect();
    assert_eq!(gaps(&hours).len(), 99);
    // With more gaps than are kept, none of them dominates the others.
    let hours: Vec<_> = (0..600).flat_map(|n| [n * 3600, n * 3600 + 1]).collect();
    assert_eq!(gaps(&hours), []);
}

#[test]
fn clock_leap_of_a_recording_is_closed() {
    let Some(cases) = shared("cases") else {
        return;
    };
    let reader = Reader::open(cases.join("clock_leaps")).unwrap();
    let sanity = reader.sanity().unwrap();
    let [gap] = sanity.gaps() else {
        panic!("{sanity:?}")
    };
    let recorded = reader.elapsed().unwrap();
    let leap = gap.length;
    let clock = sanity.closing_clock().unwrap();
    let reader = reader.with_clock(clock);
    let Clock::GapsClosed(limit) = clock else {
        panic!()
    };
    let limit = limit.max(Duration::from_secs(1));
    let micros = |time: Duration| Elapsed::from(time).as_micros();
    assert_eq!(
        reader.elapsed().unwrap(),
        Elapsed::from_micros(recorded.as_micros() - micros(leap) + micros(limit))
    );
    assert!(reader.elapsed().unwrap() < Elapsed::from_secs(8));
    // A grid over time is useful again.
    assert!(reader.digest().unwrap().len() > 500);
    assert_eq!(
        reader.live_at_end().unwrap().total(),
        reader
            .with_clock(Clock::Recorded)
            .live_at_end()
            .unwrap()
            .total()
    );
}

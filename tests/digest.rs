//! Digests: equal to the plain way, in memory and on disk, and honest about what they are of.

mod common;
#[path = "common/plain.rs"]
mod plain;

use std::fs;
use std::ops::ControlFlow;
use std::time::Duration;

use common::Profile;
use heapprof::raw::{DecodeErrorKind, FileKind};
use heapprof::{
    Digest, DigestOptions, Elapsed, Error, Reader, SamplingRates, Snapshot, TraceId, UnusedDigest,
    Usage,
};
use proptest::collection::vec;
use proptest::prelude::*;

fn millis(millis: u64) -> DigestOptions<'static> {
    DigestOptions::default().interval(Duration::from_millis(millis))
}

/// A usage as the plain way has it.
fn live(usage: &Usage) -> plain::Live {
    usage
        .by_trace()
        .map(|(trace, bytes)| (trace.map_or(0, TraceId::get), i128::from(bytes)))
        .collect()
}

fn snapshots(digest: &Digest) -> Vec<(i128, plain::Live)> {
    digest
        .snapshots()
        .map(|snapshot| {
            let snapshot = snapshot.unwrap();
            (snapshot.time().as_micros().into(), live(snapshot.usage()))
        })
        .collect()
}

/// Events as (time forward or back in µs, trace, bytes), often at the same time or on a boundary.
fn events() -> impl Strategy<Value = Vec<(i64, u32, i64)>> {
    let step = prop_oneof![
        4 => 0_i64..5,
        2 => 0_i64..2000,
        1 => Just(1000),
        1 => 0_i64..50_000,
        1 => -3000_i64..0,
    ];
    let bytes = prop_oneof![4 => -40_i64..60, 1 => -5000_i64..20_000, 1 => Just(0)];
    vec((step, 0_u32..12, bytes), 0..120).prop_map(|steps| {
        let mut wall = 0;
        steps
            .into_iter()
            .map(|(step, trace, bytes)| {
                wall += step;
                (wall, trace, bytes)
            })
            .collect()
    })
}

fn rates() -> impl Strategy<Value = SamplingRates> {
    prop_oneof![
        Just(SamplingRates::unsampled()),
        vec((0_u64..3000, any::<u32>()), 0..4).prop_map(SamplingRates::from_stored),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn snapshots_equal_the_plain_ones(
        events in events(),
        rates in rates(),
        interval in prop_oneof![Just(1_u64), 1_u64..40],
        precision in prop_oneof![Just(0.0), 0.0_f64..1.0],
        time in 0_u64..200_000,
    ) {
        // Traces 10 and 11 are not in the table.
        let (hpm, hpd) = Profile::sampled(&rates).traces(9).with_events(&events).into_bytes();
        let (plain_events, _) = plain::events(&hpd, &rates);
        let expected = plain::snapshots(&plain_events, i128::from(interval) * 1000, precision);
        let reader = Reader::from_bytes(hpm, hpd, None).unwrap();
        let digest = reader.digest_with(millis(interval).precision(precision)).unwrap();
        prop_assert_eq!(&snapshots(&digest), &expected);
        prop_assert_eq!(digest.precision(), Some(precision));
        prop_assert_eq!(digest.rates(), Some(&rates));
        let end = digest.end().unwrap();
        prop_assert_eq!(end.events(), plain_events.len() as u64);
        prop_assert_eq!(end, reader.end().unwrap());
        let unknown = plain_events.iter().any(|event| event.trace > 9);
        prop_assert_eq!(unknown, digest.damage().iter().any(|error| {
            matches!(error.kind(), DecodeErrorKind::UnknownTrace { traces: 9, .. })
        }));

        // The latest snapshot at or before a time; at or after the end of the log the last.
        let last = plain_events.last().map_or(0, |event| event.elapsed);
        let time = i128::from(time);
        let at = if time >= last {
            expected.last()
        } else {
            expected.iter().rev().find(|(taken, _)| *taken <= time)
        };
        let snapshot = digest.snapshot_at(Elapsed::from_micros(u64::try_from(time).unwrap())).unwrap();
        match at {
            Some((taken, usage)) => {
                prop_assert_eq!(i128::from(snapshot.time().as_micros()), *taken);
                prop_assert_eq!(&live(snapshot.usage()), usage);
            }
            None => {
                prop_assert_eq!(snapshot.time(), Elapsed::ZERO);
                prop_assert!(snapshot.usage().is_empty());
            }
        }
    }

    #[test]
    fn live_at_a_time_is_exact_with_and_without_a_digest(
        events in events(),
        rates in rates(),
        times in vec(0_u64..150_000, 1..6),
        precision in prop_oneof![Just(0.0), Just(0.3)],
    ) {
        let (hpm, hpd) = Profile::sampled(&rates).traces(9).with_events(&events).into_bytes();
        let (plain_events, _) = plain::events(&hpd, &rates);
        let reader = || Reader::from_bytes(hpm.clone(), hpd.clone(), None).unwrap();
        let digest = reader().digest_with(millis(3).precision(precision)).unwrap();
        for reader in [reader(), reader().with_digest(digest)] {
            for &time in &times {
                let usage = reader.live_at(Elapsed::from_micros(time)).unwrap();
                prop_assert_eq!(live(&usage), plain::live_at(&plain_events, time.into()));
            }
            let end = reader.live_at_end().unwrap();
            prop_assert_eq!(live(&end), plain::live_at(&plain_events, i128::MAX));
            let growth = reader.growth(Elapsed::from_micros(times[0])..Elapsed::MAX).unwrap();
            prop_assert_eq!(&growth + &reader.live_at(Elapsed::from_micros(times[0])).unwrap(), end);
        }
    }
}

/// A profile with an idle hour between two bursts.
fn idle_hour() -> Profile {
    let hour = 3_600_000_000;
    Profile::default().traces(2).with_events(&[
        (10, 1, 100),
        (20, 2, 50),
        (hour, 1, -100),
        (hour + 5, 2, 7),
    ])
}

#[test]
fn an_idle_hour_costs_a_byte_a_snapshot() {
    let folder = tempfile::tempdir().unwrap();
    let filebase = idle_hour().save(folder.path());
    let reader = Reader::open(&filebase).unwrap();
    let digest = reader.make_digest(millis(1000)).unwrap();
    assert_eq!(digest.len(), 3601);
    let size = fs::metadata(filebase.with_extension("hpc")).unwrap().len();
    assert!(size < 3601 + 150, "{size}");
    let totals: Vec<i64> = digest
        .snapshots()
        .map(|s| s.unwrap().usage().total())
        .collect();
    assert!(totals[..3599].iter().all(|&total| total == 150));
    // The hour itself is a boundary: its event belongs to the snapshot labelled so.
    assert_eq!(totals[3599..], [50, 57]);
}

#[test]
fn the_default_interval_is_round_and_fits_the_length() {
    let reader = idle_hour().reader();
    let digest = reader.digest().unwrap();
    assert_eq!(digest.interval(), Duration::from_secs(5));
    assert_eq!(digest.len(), 721);
}

#[test]
fn an_empty_log_is_a_log() {
    let reader = Profile::default().traces(2).reader();
    let digest = reader.digest().unwrap();
    assert!(digest.is_empty() && digest.damage().is_empty());
    assert_eq!(digest.interval(), Duration::from_millis(1));
    let snapshot = digest.snapshot_at(Elapsed::MAX).unwrap();
    assert_eq!(
        (snapshot.time(), snapshot.usage().len()),
        (Elapsed::ZERO, 0)
    );
    assert!(reader.live_at_end().unwrap().is_empty());
    assert_eq!(reader.elapsed().unwrap(), Elapsed::ZERO);
}

#[test]
fn a_recording_shorter_than_the_interval_has_one_snapshot() {
    let reader = Profile::default()
        .traces(1)
        .with_events(&[(0, 1, 9)])
        .reader();
    let digest = reader.digest_with(millis(60_000)).unwrap();
    assert_eq!(digest.times().collect::<Vec<_>>(), [Elapsed::from_secs(60)]);
    assert_eq!(digest.get(0).unwrap().unwrap().usage().total(), 9);
    assert!(digest.get(1).is_none());
}

#[test]
fn options_that_make_no_sense_are_errors() {
    let reader = idle_hour().reader();
    let refused = |options| reader.digest_with(options).unwrap_err();
    assert!(matches!(
        refused(DigestOptions::default().interval(Duration::from_micros(1500))),
        Error::Interval { .. }
    ));
    assert!(matches!(refused(millis(0)), Error::Interval { .. }));
    for precision in [1.0, -0.5, f64::NAN] {
        let options = DigestOptions::default().precision(precision);
        assert!(matches!(refused(options), Error::Precision { .. }));
    }
}

#[test]
fn a_century_at_a_millisecond_is_refused_with_an_interval_that_works() {
    let century = 100 * 365 * 86_400 * 1_000_000_i64;
    let profile = Profile::default().traces(1).with_events(&[
        (1, 1, 9),
        (century, 1, 1),
        (century + 7, 1, 1),
    ]);
    let reader = profile.reader();
    let error = reader.digest_with(millis(1)).unwrap_err();
    let Error::TooManySnapshots {
        interval,
        limit,
        works,
        ..
    } = error
    else {
        panic!("{error}")
    };
    assert_eq!(
        (interval, limit),
        (Duration::from_millis(1), DigestOptions::MAX_SNAPSHOTS)
    );
    let every = |interval| DigestOptions::default().interval(interval);
    let digest = reader.digest_with(every(works)).unwrap();
    assert!(digest.len() as u64 <= limit);
    assert!(matches!(
        reader.digest_with(every(works.checked_sub(Duration::from_millis(1)).unwrap())),
        Err(Error::TooManySnapshots { .. })
    ));
    // The default just fits.
    assert!(reader.digest().unwrap().len() <= 1000);
}

#[test]
fn the_caller_can_allow_fewer_snapshots_and_the_interval_named_works() {
    for (end, most) in [
        (1_000_000, 2),
        (1_000_001, 7),
        (i64::MAX - 5, 2),
        (i64::MAX - 5, 9),
    ] {
        let reader = Profile::default()
            .traces(1)
            .with_events(&[(end, 1, 9)])
            .reader();
        let error = reader
            .digest_with(millis(1).max_snapshots(most))
            .unwrap_err();
        let Error::TooManySnapshots { works, limit, .. } = error else {
            panic!("{error}")
        };
        assert_eq!(limit, most);
        let digest = reader
            .digest_with(DigestOptions::default().interval(works).max_snapshots(most))
            .unwrap();
        assert!((1..=most).contains(&(digest.len() as u64)));
        let chosen = reader
            .digest_with(DigestOptions::default().max_snapshots(most))
            .unwrap();
        assert!((1..=most).contains(&(chosen.len() as u64)));
        assert_eq!(chosen.snapshot_at(Elapsed::MAX).unwrap().usage().total(), 9);
    }
}

#[test]
fn the_last_snapshot_can_be_later_than_63_bits() {
    let end = i64::MAX - 5;
    let reader = Profile::default()
        .traces(1)
        .with_events(&[(end, 1, 9)])
        .reader();
    let interval = 9_223_372_800_000;
    let digest = reader.digest_with(millis(interval)).unwrap();
    assert_eq!(digest.len(), 1000);
    assert!(digest.times().last().unwrap() > Elapsed::from_micros(i64::MAX as u64));
    assert_eq!(digest.snapshot_at(Elapsed::MAX).unwrap().usage().total(), 9);
}

/// Many events, so that progress is told.
fn busy() -> Profile {
    let mut profile = Profile::default().traces(100);
    for number in 0..200_000_i64 {
        let trace = 1 + u32::try_from(number % 97).unwrap();
        profile.event(number * 10, trace, 1 + number % 5);
    }
    profile
}

#[test]
fn progress_ascends_and_counts_the_look_ahead() {
    let reader = busy().reader();
    let log = reader.end().unwrap().offset();
    for (options, total) in [(millis(100), log), (DigestOptions::default(), 2 * log)] {
        // A reader of its own, which does not know the length yet.
        let reader = busy().reader();
        let mut told = Vec::new();
        let digest = reader
            .digest_with(options.progress(|progress| {
                told.push(progress);
                ControlFlow::Continue(())
            }))
            .unwrap();
        assert!(told.len() >= 6);
        assert!(told.iter().all(|progress| progress.total_bytes == total));
        assert!(told.is_sorted_by_key(|progress| progress.bytes));
        assert!(told.len() > 40);
        assert!((told.last().unwrap().fraction() - 1.0).abs() < 1e-9);
        assert!(
            told.iter()
                .any(|progress| progress.elapsed > Elapsed::from_secs(1))
        );
        assert!(!digest.is_stopped());
    }
}

#[test]
fn what_was_digested_until_a_stop_is_a_valid_digest_that_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let filebase = busy().save(folder.path());
    let reader = Reader::open(&filebase).unwrap();
    let options = millis(100).progress(|progress| {
        if progress.elapsed > Elapsed::from_millis(900) {
            ControlFlow::Break(())
        } else {
            ControlFlow::Continue(())
        }
    });
    let digest = reader.make_digest(options).unwrap();
    assert!(digest.is_stopped());
    // The reader does not take it for the whole.
    assert_eq!(reader.end().unwrap().events(), 200_000);
    assert!(!reader.has_digest());
    let end = digest.end().unwrap();
    assert!((90_000..200_000).contains(&end.events()), "{end:?}");
    let usage = digest.snapshot_at(Elapsed::MAX).unwrap().into_usage();
    let fresh = Reader::open(&filebase).unwrap();
    assert_eq!(usage, fresh.live_at(end.elapsed()).unwrap());
    // Who opens the profile anew does not take it for the whole log's.
    assert!(!fresh.has_digest());
    assert!(matches!(fresh.unused_digest(), Some(UnusedDigest::Stopped)));
    // A whole one that is there stays where a new one is stopped.
    fresh.make_digest(millis(50)).unwrap();
    let kept = fresh
        .make_digest(millis(10).progress(|_| ControlFlow::Break(())))
        .unwrap();
    assert_eq!(
        (kept.interval(), kept.is_stopped()),
        (Duration::from_millis(50), false)
    );
    assert!(Reader::open(&filebase).unwrap().has_digest());
    // Where it was stopped in the look ahead already, there is nothing yet.
    let digest = fresh
        .digest_with(DigestOptions::default().progress(|_| ControlFlow::Break(())))
        .unwrap();
    assert!(digest.is_stopped() && digest.is_empty());
}

#[test]
fn a_stored_digest_equals_one_in_memory_and_is_used() {
    let folder = tempfile::tempdir().unwrap();
    let filebase = busy().save(folder.path());
    let reader = Reader::open(&filebase).unwrap();
    let in_memory = reader.digest_with(millis(50)).unwrap();
    reader.make_digest(millis(50)).unwrap();
    let reopened = Reader::open(filebase.with_extension("hpc")).unwrap();
    assert!(reopened.has_digest() && reopened.unused_digest().is_none());
    let stored = reopened.digest().unwrap();
    assert_eq!(snapshots(&stored), snapshots(&in_memory));
    assert_eq!(stored.interval(), Duration::from_millis(50));
    assert_eq!(stored.end(), in_memory.end());
    assert!(!stored.is_foreign());
    let names: Vec<_> = fs::read_dir(folder.path()).unwrap().collect();
    assert_eq!(names.len(), 3);
}

#[test]
fn who_makes_a_digest_uses_their_own_whoever_else_makes_one() {
    let folder = tempfile::tempdir().unwrap();
    let rates = SamplingRates::new([(1000, 0.5)]).unwrap();
    let filebase = Profile::sampled(&rates)
        .traces(1)
        .with_events(&[(10, 1, 100), (5000, 1, 7), (9000, 1, 1)])
        .save(folder.path());
    std::thread::scope(|scope| {
        for number in 0..4 {
            let filebase = &filebase;
            scope.spawn(move || {
                for _ in 0..40 {
                    let reader = Reader::open(filebase).unwrap();
                    let (reader, total) = if number % 2 == 0 {
                        (reader, 216)
                    } else {
                        (reader.unsampled(), 108)
                    };
                    let made = reader.make_digest(millis(1)).unwrap();
                    assert_eq!(made.rates(), Some(reader.rates()));
                    assert_eq!(
                        made.snapshot_at(Elapsed::MAX).unwrap().usage().total(),
                        total
                    );
                    assert_eq!(reader.live_at_end().unwrap().total(), total);
                }
            });
        }
    });
    let names: Vec<_> = fs::read_dir(folder.path()).unwrap().collect();
    assert_eq!(names.len(), 3);
}

#[test]
fn a_digest_that_does_not_fit_is_not_used_and_the_reason_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let filebase = idle_hour().save(folder.path());
    Reader::open(&filebase)
        .unwrap()
        .make_digest(millis(1000))
        .unwrap();
    let hpc = fs::read(filebase.with_extension("hpc")).unwrap();
    let hpd = fs::read(filebase.with_extension("hpd")).unwrap();
    let hpm = fs::read(filebase.with_extension("hpm")).unwrap();
    let reader = |hpm: &[u8], hpd: &[u8], hpc: &[u8]| {
        Reader::from_bytes(hpm.to_vec(), hpd.to_vec(), Some(hpc.to_vec().into())).unwrap()
    };
    assert!(reader(&hpm, &hpd, &hpc).has_digest());

    // The log has grown since.
    let grown = [&hpd[..], &hpd[..8]].concat();
    let length = reader(&hpm, &grown, &hpc);
    assert!(!length.has_digest());
    assert!(matches!(
        length.unused_digest(),
        Some(UnusedDigest::Length { .. })
    ));
    assert_eq!(length.end().unwrap().events(), 5);
    // Another recording: its start differs by a nanosecond.
    let mut other = hpm.clone();
    other[19] ^= 1;
    assert!(matches!(
        reader(&other, &hpd, &hpc).unused_digest(),
        Some(UnusedDigest::Recording { .. })
    ));
    // Other rates.
    let rates = SamplingRates::new([(1000, 0.5)]).unwrap();
    let sampled = reader(&hpm, &hpd, &hpc).with_rates(rates);
    assert!(!sampled.has_digest());
    assert_eq!(sampled.live_at_end().unwrap().total(), 2 * 57);
    // The same bytes, other rates: a profile from memory looks at them again.
    let back = sampled.with_rates(SamplingRates::unsampled());
    assert!(back.has_digest());
    // Damaged anywhere in header, index or trailer.
    let unused = |at: usize| {
        let mut hpc = hpc.clone();
        hpc[at] ^= 4;
        let reader = reader(&hpm, &hpd, &hpc);
        assert!(!reader.has_digest(), "{at}");
        reader.unused_digest().unwrap().to_string()
    };
    assert_eq!(
        unused(3),
        ".hpc, record at byte 0: unknown version 0x00000005: not such a file; the digest can be made anew from the log"
    );
    // The snapshots, between header and index, are checked when they are read.
    let header = 30;
    let index = usize::from(hpc[header - 1]);
    assert!((50..120).contains(&index));
    for at in (0..header).chain(index..hpc.len()) {
        let told = unused(at);
        // But for the mark at the end, it is still known for one of ours.
        let marked = at + 4 < hpc.len();
        assert_eq!(
            told.contains("does not say which log"),
            !marked,
            "{at}: {told}"
        );
        if let Ok(digest) = Digest::from_bytes({
            let mut hpc = hpc.clone();
            hpc[at] ^= 4;
            hpc
        }) {
            assert_eq!(digest.damage().is_empty(), !marked, "{at}");
        }
    }
}

#[test]
fn a_changed_byte_in_a_snapshot_is_noticed_when_it_is_read() {
    let folder = tempfile::tempdir().unwrap();
    let filebase = busy().save(folder.path());
    let reader = Reader::open(&filebase).unwrap();
    reader.make_digest(millis(500)).unwrap();
    let path = filebase.with_extension("hpc");
    let whole = fs::read(&path).unwrap();
    let mut refused = 0;
    for at in 40..400 {
        let mut bytes = whole.clone();
        bytes[at] ^= 1;
        fs::write(&path, &bytes).unwrap();
        let reader = Reader::open(&filebase).unwrap();
        if !reader.has_digest() {
            continue;
        }
        match reader.digest().unwrap().get(0).unwrap() {
            Ok(snapshot) => assert_eq!(
                snapshot,
                Digest::from_bytes(whole.clone())
                    .unwrap()
                    .get(0)
                    .unwrap()
                    .unwrap()
            ),
            Err(error) => {
                assert_eq!(error.decode_error().unwrap().file(), FileKind::Hpc);
                refused += 1;
                // The log has it all.
                let live = reader.live_at(Elapsed::from_millis(700)).unwrap();
                assert_eq!(live.total(), 210_001);
            }
        }
    }
    assert!(refused > 150, "{refused}");
}

#[test]
fn without_the_log_its_digest_still_answers() {
    let folder = tempfile::tempdir().unwrap();
    let filebase = idle_hour().save(folder.path());
    Reader::open(&filebase)
        .unwrap()
        .make_digest(millis(1000))
        .unwrap();
    fs::remove_file(filebase.with_extension("hpd")).unwrap();
    let reader = Reader::open(&filebase).unwrap();
    assert_eq!(
        reader
            .snapshot_at(Elapsed::from_secs(10))
            .unwrap()
            .usage()
            .total(),
        150
    );
    assert_eq!(reader.elapsed().unwrap().as_micros(), 3_600_000_005);
    let error = reader.events().unwrap_err().to_string();
    assert!(
        error.ends_with("run.hpd: there is no such .hpd file"),
        "{error}"
    );
}

#[test]
fn foreign_digests_are_read_on_request() {
    let filebase = common::recording("tiny").unwrap();
    let answers = filebase.with_file_name("heapprof-1.0");
    let digest = Digest::open(answers.join("digest_i0.1_p0.hpc")).unwrap();
    assert!(digest.is_foreign());
    assert_eq!(
        (digest.end(), digest.precision(), digest.rates()),
        (None, None, None)
    );
    assert_eq!(digest.interval(), Duration::from_millis(100));
    assert_eq!(digest.times().next(), Some(Elapsed::from_millis(100)));
    let totals: Vec<i64> = digest
        .snapshots()
        .map(|s| s.unwrap().usage().total())
        .collect();
    assert_eq!(totals[..3], [1_014_788, 1_014_788, 2_015_092]);
    let last: Snapshot = digest.snapshot_at(Elapsed::MAX).unwrap();
    assert_eq!(last.usage().total(), 1_516_318);

    // But not taken for the log's own.
    let folder = tempfile::tempdir().unwrap();
    for extension in ["hpm", "hpd"] {
        let name = format!("run.{extension}");
        fs::copy(filebase.with_extension(extension), folder.path().join(name)).unwrap();
    }
    fs::copy(
        answers.join("digest_i0.1_p0.hpc"),
        folder.path().join("run.hpc"),
    )
    .unwrap();
    let reader = Reader::open(folder.path().join("run")).unwrap();
    assert!(!reader.has_digest());
    assert!(matches!(
        reader.unused_digest(),
        Some(UnusedDigest::Foreign)
    ));
    assert_eq!(
        reader
            .digest()
            .unwrap()
            .snapshot_at(Elapsed::MAX)
            .unwrap()
            .usage()
            .total(),
        1_516_736
    );
}

#[test]
fn a_digest_whose_checksums_were_others_is_made_anew() {
    let folder = tempfile::tempdir().unwrap();
    let filebase = folder.path().join("demo");
    for extension in ["hpm", "hpd"] {
        let name = format!("demo.{extension}");
        fs::copy(format!("examples/data/{name}"), folder.path().join(name)).unwrap();
    }
    let hpc = filebase.with_extension("hpc");
    fs::copy("tests/data/demo/made_by_0.1.0.hpc", &hpc).unwrap();
    // It is read as what it is,
    let then = Digest::open(&hpc).unwrap();
    assert!(then.is_foreign());
    // and not taken for damaged, nor for one that has what it has not.
    let reader = Reader::open(&filebase).unwrap();
    assert!(!reader.has_digest());
    assert!(matches!(
        reader.unused_digest(),
        Some(UnusedDigest::Foreign)
    ));
    let now = reader.make_digest(millis(500).precision(0.01)).unwrap();
    assert!(!now.is_foreign());
    assert_eq!(snapshots(&now), snapshots(&then));
    assert!(Reader::open(&filebase).unwrap().has_digest());
}

#[cfg(unix)]
#[test]
fn on_a_read_only_disk_there_is_one_in_memory() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    let filebase = idle_hour().save(folder.path());
    let lock = |mode| {
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(mode)).unwrap();
    };
    lock(0o555);
    let reader = Reader::open(&filebase).unwrap();
    assert_eq!(reader.digest().unwrap().len(), 721);
    // Root may write everywhere.
    if fs::write(folder.path().join("probe"), "").is_err() {
        let error = reader.make_digest(millis(1000)).unwrap_err().to_string();
        assert!(
            error.contains("run.hpc: cannot create a file beside it: "),
            "{error}"
        );
    }
    lock(0o755);
}

#[test]
fn a_profile_from_bytes_has_no_place_for_a_digest() {
    let reader = idle_hour().reader();
    assert!(matches!(
        reader.make_digest(DigestOptions::default()),
        Err(Error::NoPlace)
    ));
}

#[test]
fn who_stops_at_once_gets_no_snapshots_of_a_gap_before_the_first_event() {
    let mut profile = Profile::default().traces(1);
    profile.event(6_000_000_000, 1, 8);
    let reader = profile.reader();
    let options = millis(1).progress(|_| ControlFlow::Break(()));
    assert!(reader.digest_with(options).unwrap().is_empty());
    assert_eq!(reader.digest_with(millis(1)).unwrap().len(), 6_000_000);
}

#[test]
fn the_interval_is_chosen_by_the_log_and_not_by_a_digest_of_another() {
    // Two logs of one length: the digest of the short time fits the long one by all that can be seen.
    let log = |micros| {
        let mut profile = Profile::default().traces(1);
        profile.event(micros, 1, 8);
        profile.into_bytes()
    };
    let ((hpm, short), (_, long)) = (log(20_000), log(300_000_200));
    assert_eq!(short.len(), long.len());
    let reader = Reader::from_bytes(hpm.clone(), short, None).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let base = folder.path().join("run");
    fs::write(base.with_extension("hpm"), &hpm).unwrap();
    fs::write(base.with_extension("hpd"), log(20_000).1).unwrap();
    let made = Reader::open(&base)
        .unwrap()
        .make_digest(DigestOptions::default())
        .unwrap();
    assert_eq!(made.end().unwrap().elapsed(), reader.elapsed().unwrap());

    fs::write(base.with_extension("hpd"), &long).unwrap();
    let misled = Reader::open(&base).unwrap();
    assert!(misled.has_digest());
    let own = Reader::from_bytes(hpm, long, None).unwrap();
    let digest = |reader: &Reader| reader.digest_with(DigestOptions::default()).unwrap();
    assert_eq!(digest(&misled).interval(), digest(&own).interval());
    assert_eq!(digest(&misled).len(), digest(&own).len());
}

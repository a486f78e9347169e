//! The front door: opening, sharing between threads, following, and telling damage.

mod common;

use std::fs;
use std::thread;
use std::time::{Duration, UNIX_EPOCH};

use common::{Profile, recording};
use heapprof::query::Track;
use heapprof::raw::DecodeErrorKind;
use heapprof::raw::LogPosition;
use heapprof::view::{Lines, TimeSeries};
use heapprof::{Elapsed, Frame, Reader, SamplingRates, TraceTable, Usage};

#[test]
fn what_is_made_once_is_made_once_for_all_threads() {
    let filebase = recording("demo").unwrap();
    let reader = Reader::open(&filebase).unwrap();
    let alone = Reader::open(&filebase).unwrap();
    let at = Elapsed::from_secs(12);
    let expected = (
        alone.end().unwrap(),
        alone.snapshot_at(at).unwrap(),
        alone.live_at(at).unwrap(),
        alone.damage().unwrap(),
    );
    thread::scope(|scope| {
        let answers: Vec<_> = (0..8)
            .map(|number| {
                let reader = &reader;
                scope.spawn(move || {
                    // In another order in each.
                    if number % 2 == 0 {
                        reader.digest().unwrap();
                    }
                    let answer = (
                        reader.end().unwrap(),
                        reader.snapshot_at(at).unwrap(),
                        reader.live_at(at).unwrap(),
                        reader.damage().unwrap(),
                    );
                    let table: *const TraceTable = reader.traces().unwrap();
                    (answer, table as usize)
                })
            })
            .collect();
        let answers: Vec<_> = answers.into_iter().map(|it| it.join().unwrap()).collect();
        for (answer, table) in &answers {
            assert_eq!(*answer, expected);
            assert_eq!(*table, answers[0].1);
        }
    });
}

#[test]
fn times_are_told_to_the_nanosecond_and_by_both_clocks() {
    let mut profile = Profile::default().traces(1);
    profile.event(2_000_000, 1, 10);
    profile.event(500_000, 1, 10); // the clock is stepped back
    profile.event(600_000, 1, 10);
    let start = profile.start();
    let reader = profile.reader();
    assert_eq!(reader.start(), start);
    assert_eq!(reader.start().as_nanos(), 1_700_000_000_000_000_005);
    assert_eq!(reader.elapsed().unwrap(), Elapsed::from_micros(2_100_000));
    let expected = UNIX_EPOCH + Duration::new(1_700_000_000, 600_000_005);
    assert_eq!(reader.end_time().unwrap(), Some(expected));
}

#[test]
fn a_log_that_grows_can_be_followed() {
    let folder = tempfile::tempdir().unwrap();
    let filebase = Profile::default().traces(2).save(folder.path());
    let mut writer = heapprof::raw::EventWriter::new(Vec::new());
    for number in 0..1000 {
        let wall = heapprof::WallOffset::from_micros(number * 777);
        let kind = heapprof::EventKind::Allocation;
        writer
            .write(
                wall,
                heapprof::TraceId::new(1),
                1 + number.unsigned_abs(),
                kind,
            )
            .unwrap();
    }
    let log = writer.into_inner();
    let mut place = LogPosition::START;
    let mut sizes = Vec::new();
    for end in (0..log.len()).step_by(613).chain([log.len()]) {
        fs::write(filebase.with_extension("hpd"), &log[..end]).unwrap();
        let reader = Reader::open(&filebase).unwrap();
        let mut events = reader.events_from(place).unwrap();
        sizes.extend(
            events
                .by_ref()
                .map_while(Result::ok)
                .map(|event| event.size),
        );
        place = events.position();
    }
    assert_eq!(sizes, (1..=1000).collect::<Vec<_>>());
    assert_eq!(place.elapsed().as_micros(), 999 * 777);
    assert_eq!(place.events(), 1000);
}

#[test]
fn damage_is_told_for_both_files_once_for_each_kind() {
    let reader = Reader::open(recording("surrogate").unwrap()).unwrap();
    let told: Vec<_> = reader
        .damage()
        .unwrap()
        .iter()
        .map(|error| (error.file().extension(), error.offset()))
        .collect();
    assert_eq!(told, [("hpm", 1253), ("hpd", 4199)]);
    // What a digest knows is the same.
    reader.digest().unwrap();
    assert_eq!(reader.damage().unwrap().len(), 2);

    let mut profile = Profile::default().traces(1);
    profile.event(1, 1, -5);
    profile.event(2, 1, -5);
    profile.event(3, 7, 5);
    profile.event(4, 9, 5);
    let kinds: Vec<_> = profile
        .reader()
        .damage()
        .unwrap()
        .iter()
        .map(|error| (error.offset(), error.kind()))
        .collect();
    assert_eq!(
        kinds,
        [
            (0, DecodeErrorKind::NegativeBalance { trace: 1 }),
            (
                14,
                DecodeErrorKind::UnknownTrace {
                    found: 7,
                    traces: 1
                }
            ),
        ]
    );
}

#[test]
fn estimates_are_as_recorded_unsampled_or_the_callers() {
    let rates = SamplingRates::new([(100, 0.25), (1000, 0.0)]).unwrap();
    let events = [(1, 1, 10), (2, 1, 500), (3, 2, 2000)];
    let reader = || {
        Profile::sampled(&rates)
            .traces(2)
            .with_events(&events)
            .reader()
    };
    let totals = |reader: Reader| {
        let usage = reader.live_at_end().unwrap();
        let digest = reader.digest().unwrap().snapshot_at(Elapsed::MAX).unwrap();
        assert_eq!(*digest.usage(), usage);
        usage.total()
    };
    // 2^32 - 1 does not divide by 4: the stored probability is a little below 0.25.
    assert_eq!(totals(reader()), 40 + 2000);
    assert_eq!(totals(reader().unsampled()), 2510);
    let own = SamplingRates::new([(5000, 0.5)]).unwrap();
    assert_eq!(totals(reader().with_rates(own)), 5020);
    assert_eq!(*reader().unsampled().stated_rates(), rates);
}

#[test]
fn a_sum_that_leaves_63_bits_saturates_and_is_told() {
    let half = i64::MAX / 2 + 1;
    let reader = Profile::default()
        .traces(1)
        .with_events(&[(1, 1, half), (2, 1, half), (3, 1, -half)])
        .reader();
    assert_eq!(reader.live_at_end().unwrap().total(), i64::MAX - half);
    let damage = reader.damage().unwrap();
    assert_eq!(damage.len(), 1);
    assert_eq!(damage[0].kind(), DecodeErrorKind::Saturated);
}

#[test]
fn sums_at_the_limits_of_63_bits_keep_their_sign() {
    let traces = TraceTable::from_iter([vec![Frame::new("a", 1)], vec![]]);
    let id = heapprof::TraceId::new;
    for (known, unknown) in [
        (i64::MAX, i64::MIN),
        (i64::MIN, i64::MIN),
        (i64::MAX, i64::MAX),
    ] {
        let usage = Usage::from_iter([(id(1), known), (id(2), unknown), (None, unknown)]);
        let lines = Lines::new(&traces, &usage);
        assert_eq!(lines.unknown(), unknown);
        assert_eq!(lines.by_local().next().unwrap().local, known);
    }
}

#[test]
fn series_follow_lines_and_traces_also_unknown_ones() {
    let mut profile = Profile::default();
    let a = profile.trace(&[("main.py", 1), ("a.py", 2)]);
    let b = profile.trace(&[("main.py", 1), ("b.py", 3), ("a.py", 2), ("b.py", 3)]);
    let empty = profile.trace(&[]);
    for (time, trace, bytes) in [
        (500, a.get(), 100),
        (1500, b.get(), 1000),
        (2500, empty.get(), 7),
        (2500, 0, 20),
        (2600, 44, 300),
        (3500, a.get(), -100),
    ] {
        profile.event(time, trace, bytes);
    }
    let reader = profile.reader();
    let traces = reader.traces().unwrap();
    let line = |file, line| traces.find(Frame::new(file, line)).unwrap();
    let options = heapprof::DigestOptions::default().interval(Duration::from_millis(1));
    let digest = reader.digest_with(options).unwrap();
    let tracks = [
        Track::Trace(a),
        Track::Cumulative(line("main.py", 1)),
        Track::Cumulative(line("a.py", 2)),
        Track::Local(line("a.py", 2)),
        Track::Local(line("b.py", 3)),
        Track::Unknown,
        Track::Trace(heapprof::TraceId::new(44).unwrap()),
        Track::Cumulative(line("a.py", 2)),
    ];
    let series = TimeSeries::new(&digest, traces, tracks).unwrap();
    let values: Vec<_> = series
        .iter()
        .map(|(_, series)| series.values().to_vec())
        .collect();
    assert_eq!(series.total().values(), [100, 1100, 1427, 1327]);
    assert_eq!(
        values,
        [
            [100, 100, 100, 0],
            [100, 1100, 1100, 1000],
            [100, 1100, 1100, 1000], // counts once in the stack in which it recurs
            [100, 100, 100, 0],
            [0, 1000, 1000, 1000],
            [0, 0, 327, 327],
            [0, 0, 300, 300],
            [100, 1100, 1100, 1000],
        ]
    );
    let fractions: Vec<_> = series.fractions(0).collect();
    assert_eq!(fractions[..2], [1.0, 100.0 / 1100.0]);
    // The lines of each snapshot say the same.
    for (number, snapshot) in digest.snapshots().enumerate() {
        let lines = Lines::new(traces, snapshot.unwrap().usage());
        assert_eq!(
            lines.get(line("main.py", 1)).unwrap().cumulative,
            values[1][number]
        );
        assert_eq!(lines.get(line("b.py", 3)).unwrap().local, values[4][number]);
        assert_eq!(lines.unknown(), values[5][number]);
    }
}

#[cfg(unix)]
#[test]
fn a_path_that_is_not_utf8_opens() {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt;
    let folder = tempfile::tempdir().unwrap();
    let filebase = Profile::default()
        .traces(1)
        .with_events(&[(1, 1, 5)])
        .save(folder.path());
    let odd = folder.path().join(OsStr::from_bytes(b"caf\xe9.1"));
    for extension in ["hpm", "hpd"] {
        let mut name = odd.clone().into_os_string();
        name.push(format!(".{extension}"));
        fs::rename(filebase.with_extension(extension), name).unwrap();
    }
    let reader = Reader::open(&odd).unwrap();
    reader
        .make_digest(heapprof::DigestOptions::default())
        .unwrap();
    assert!(Reader::open(&odd).unwrap().has_digest());
}

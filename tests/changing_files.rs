//! Files that grow, shrink or are replaced while a reader has them open, and files of one filebase that belong to
//! different recordings.

#[path = "common/all_queries.rs"]
mod all_queries;
#[path = "common/child.rs"]
mod child;
mod common;

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::time::Duration;

use all_queries::all_queries;
use child::Running;
use common::Profile;
use heapprof::{Digest, DigestOptions, Elapsed, Error, Reader, StartTime, TraceId, UnusedDigest};

/// Both ways to open a profile.
const OPEN: [fn(&Path) -> heapprof::Result<Reader>; 2] = [
    |path| Reader::open(path),
    |path| Reader::open_unmapped(path),
];

fn options() -> DigestOptions<'static> {
    DigestOptions::default().interval(Duration::from_millis(100))
}

/// `events` allocations of 100 bytes by 20 traces, 1 ms apart. The first record has 7 bytes, the others 8.
fn recording(events: u32) -> Profile {
    let mut profile = Profile::default().traces(20);
    for number in 0..events {
        profile.event(i64::from(number) * 1000, 1 + number % 20, 100);
    }
    profile
}

/// A different recording: it starts a second later and has different stacks.
fn other(events: u32) -> (Vec<u8>, Vec<u8>) {
    let mut profile = Profile::default();
    for line in 0..3000 {
        profile.trace(&[("other.py", line)]);
    }
    for number in 0..events {
        profile.event(i64::from(number) * 999, 1 + number % 3000, 7);
    }
    let (mut hpm, hpd) = profile.into_bytes();
    // The seconds of the start.
    hpm[11] += 1;
    (hpm, hpd)
}

fn file(run: &Path, extension: &str) -> PathBuf {
    run.with_extension(extension)
}

/// Writes a file as recorders do: truncates the existing file and writes to it.
fn write(run: &Path, extension: &str, bytes: &[u8]) {
    fs::write(file(run, extension), bytes).unwrap();
}

fn cut(run: &Path, extension: &str, len: u64) {
    let file = File::options()
        .write(true)
        .open(file(run, extension))
        .unwrap();
    file.set_len(len).unwrap();
}

/// Whether the result is `Error::Replaced` for this file.
fn is_replaced<T>(result: heapprof::Result<T>, path: &Path) -> bool {
    matches!(result.err().unwrap(), Error::Replaced { path: replaced } if replaced == path)
}

#[test]
fn overwriting_an_open_recording_is_an_error() {
    for open in OPEN {
        // The new recording can be shorter or longer, or have no events yet.
        for (events, has_header) in [(10, true), (500_000, true), (0, true), (0, false)] {
            let folder = tempfile::tempdir().unwrap();
            let run = recording(100_000).save(folder.path());
            let hpm = file(&run, "hpm");
            let reader = open(&run).unwrap();
            let asked = open(&run).unwrap();
            let traces = asked.traces().unwrap().len();
            assert_eq!(asked.live_at_end().unwrap().total(), 10_000_000);
            let mut events_before = asked.events().unwrap();
            assert_eq!(events_before.next().unwrap().unwrap().size, 100);

            let (new_hpm, new_hpd) = other(events);
            write(&run, "hpm", if has_header { &new_hpm } else { b"" });
            write(&run, "hpd", &new_hpd);

            for reader in [&reader, &asked] {
                assert!(is_replaced(reader.events().unwrap().next().unwrap(), &hpm));
                assert!(is_replaced(reader.live_at_end(), &hpm));
                assert!(is_replaced(reader.live_at(Elapsed::from_millis(7)), &hpm));
                assert!(is_replaced(reader.peak(), &hpm));
                assert!(is_replaced(reader.digest_with(options()), &hpm));
                assert!(is_replaced(reader.make_digest(options()), &hpm));
                assert!(!file(&run, "hpc").exists());
            }
            let error = reader.live_at_end().unwrap_err().to_string();
            assert_eq!(
                error,
                format!(
                    "{}: no longer the recording that was opened: open it again",
                    hpm.display()
                )
            );
            // The buffer holds events of the old recording; reading stops after them.
            let mut sizes = events_before
                .by_ref()
                .map_while(Result::ok)
                .map(|event| event.size);
            assert!(sizes.by_ref().all(|size| size == 100));
            drop(sizes);
            assert!(events_before.position().events() < 100_000);
            assert!(events_before.next().is_none());
            // The same for a table that is already built.
            assert_eq!(asked.traces().unwrap().len(), traces);
            match reader.traces() {
                Ok(traces) => assert_eq!((traces.len(), traces.frame_count()), (20, 21)),
                Err(error) => assert!(is_replaced::<()>(Err(error), &hpm)),
            }

            if has_header {
                assert!(is_replaced(reader.reopen(), &hpm));
                let new = open(&run).unwrap();
                assert_eq!(new.traces().unwrap().len(), 3000);
                assert_eq!(new.live_at_end().unwrap().total(), i64::from(events) * 7);
            } else {
                assert!(open(&run).unwrap_err().is_cut());
            }
        }
    }
}

/// On Unix an open file can be renamed.
#[cfg(unix)]
#[test]
fn replacing_a_recording_leaves_the_open_reader_unchanged() {
    for open in OPEN {
        let folder = tempfile::tempdir().unwrap();
        let run = recording(100_000).save(folder.path());
        let reader = open(&run).unwrap();
        let expected = all_queries(&open(&run).unwrap());
        let (hpm, hpd) = other(10);
        for (extension, bytes) in [("hpm", hpm), ("hpd", hpd)] {
            let new = folder.path().join("new");
            fs::write(&new, bytes).unwrap();
            fs::rename(&new, file(&run, extension)).unwrap();
        }
        assert_eq!(all_queries(&reader), expected);
        assert_eq!(reader.live_at_end().unwrap().total(), 10_000_000);
        // Its digest would be written beside the new log.
        assert!(is_replaced(
            reader.make_digest(options()),
            &file(&run, "hpm")
        ));
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2);
        assert!(is_replaced(reader.reopen(), &file(&run, "hpm")));
        assert_eq!(open(&run).unwrap().live_at_end().unwrap().total(), 70);
    }
}

#[test]
fn reopen_reads_appended_events_and_keeps_settings() {
    let folder = tempfile::tempdir().unwrap();
    let run = recording(1000).save(folder.path());
    let rates = heapprof::SamplingRates::new([(1000, 0.5)]).unwrap();
    let reader = Reader::open(&run)
        .unwrap()
        .with_rates(rates.clone())
        .with_clock(heapprof::Clock::Corrected);
    let end = reader.end().unwrap();
    let (_, hpd) = recording(1500).into_bytes();
    write(&run, "hpd", &hpd);
    let again = reader.reopen().unwrap();
    assert_eq!(
        (again.rates(), again.clock()),
        (&rates, heapprof::Clock::Corrected)
    );
    assert_eq!(again.events_from(end).unwrap().count(), 500);
    assert_eq!(again.live_at_end().unwrap().total(), 300_000);
    // The old reader sees the log as it was.
    assert_eq!(reader.live_at_end().unwrap().total(), 200_000);

    // A log never shrinks.
    let hpd_path = file(&run, "hpd");
    cut(&run, "hpd", hpd.len() as u64 - 1);
    assert!(is_replaced(again.reopen(), &hpd_path));
    assert_eq!(reader.reopen().unwrap().end().unwrap().events(), 1499);
    fs::remove_file(&hpd_path).unwrap();
    assert!(is_replaced(reader.reopen(), &hpd_path));
    let in_memory = recording(3).reader();
    assert!(matches!(in_memory.reopen(), Err(Error::NoPlace)));
}

/// The other tests run this one in a child process. It truncates files that it has open.
#[test]
fn child_process() {
    let Some((job, run)) = child::job() else {
        return;
    };
    // After 50 000 events.
    let middle = 7 + 8 * 49_999;
    match &*job {
        "the log" => {
            for open in OPEN {
                let digested = open(&run).unwrap();
                assert!(digested.has_digest());
                fs::rename(file(&run, "hpc"), file(&run, "old")).unwrap();
                let reader = open(&run).unwrap();
                let mut events = reader.events().unwrap();
                events.next().unwrap().unwrap();
                cut(&run, "hpd", middle);
                // The buffer was read before.
                assert_eq!(events.by_ref().map(Result::unwrap).count(), 49_999);
                assert_eq!(events.cut().unwrap().offset(), middle);
                assert_eq!(reader.live_at_end().unwrap().total(), 5_000_000);
                assert!(reader.damage().unwrap()[0].is_cut());
                let digest = reader.digest_with(options()).unwrap();
                assert_eq!(digest.end().unwrap().events(), 50_000);
                cut(&run, "hpd", 0);
                assert_eq!(reader.live_at_end().unwrap().total(), 0);
                // The open digest still answers.
                assert_eq!(digested.live_at_end().unwrap().total(), 10_000_000);
                assert_eq!(digested.peak().unwrap().usage().total(), 0);
                fs::rename(file(&run, "old"), file(&run, "hpc")).unwrap();
                fs::copy(run.with_file_name("copy.hpd"), file(&run, "hpd")).unwrap();
            }
        }
        "all" => {
            let (_, hpd) = recording(100_000).into_bytes();
            let expected = Reader::open_unmapped(&run).unwrap();
            let expected = (
                expected.traces().unwrap().frames().count(),
                expected.time_series([]).unwrap(),
            );
            let readers = [0, 10, 200].map(|len| {
                let reader = Reader::open_unmapped(&run).unwrap();
                assert!(reader.has_digest());
                (len, reader)
            });
            let digest = Digest::open_unmapped(&run).unwrap();
            for (len, reader) in &readers {
                for extension in ["hpm", "hpd", "hpc"] {
                    cut(&run, extension, *len);
                }
                assert!(is_replaced(reader.live_at_end(), &file(&run, "hpm")));
                let traces = reader.traces().unwrap();
                let series = reader.time_series([]).unwrap();
                assert_eq!((traces.frames().count(), series), expected);
                assert!(digest.snapshots().all(|snapshot| snapshot.is_ok()));
                assert!(traces.trace(TraceId::new(20)).is_some());
                write(&run, "hpd", &hpd);
            }
            // A mapped file that was cut before the table was built is an error.
            for len in [0, 200] {
                fs::copy(run.with_file_name("copy.hpm"), file(&run, "hpm")).unwrap();
                let reader = Reader::open(&run).unwrap();
                cut(&run, "hpm", len);
                assert!(is_replaced(reader.traces(), &file(&run, "hpm")));
                assert!(is_replaced(reader.damage(), &file(&run, "hpm")));
                assert!(is_replaced(reader.sanity(), &file(&run, "hpm")));
            }
        }
        other => panic!("{other}"),
    }
    child::send("alive");
}

/// The child process would end if a mapped file shrank.
fn survives(job: &str) {
    let folder = tempfile::tempdir().unwrap();
    let run = recording(100_000).save(folder.path());
    Reader::open(&run).unwrap().make_digest(options()).unwrap();
    for extension in ["hpm", "hpd"] {
        let copy = run.with_file_name("copy").with_extension(extension);
        fs::copy(file(&run, extension), copy).unwrap();
    }
    let mut child = Running::start(job, &run);
    assert_eq!(child.receive().as_deref(), Some("alive"));
    assert!(child.end().success());
}

#[test]
fn truncating_the_log_reads_as_a_cut() {
    survives("the log");
}

#[test]
fn unmapped_reader_survives_truncation_of_all_files() {
    survives("all");
}

/// The recordings that are present.
fn recordings() -> Vec<PathBuf> {
    let names = ["demo", "truncated"].into_iter();
    let names = names.chain(common::WITH_ANSWERS);
    names.filter_map(common::recording).collect()
}

#[test]
fn mapped_and_unmapped_readers_agree() {
    let recordings = recordings();
    assert!(recordings.len() >= 8);
    for from in recordings {
        let folder = tempfile::tempdir().unwrap();
        let run = folder.path().join("run");
        for extension in ["hpm", "hpd"] {
            fs::copy(from.with_extension(extension), file(&run, extension)).unwrap();
        }
        Reader::open(&run)
            .unwrap()
            .make_digest(DigestOptions::default())
            .unwrap();
        let [mapped, read] = OPEN.map(|open| open(&run).unwrap());
        for reader in [&mapped, &read] {
            assert!(reader.has_digest() && reader.unused_digest().is_none());
        }
        let len = |extension| fs::metadata(file(&run, extension)).unwrap().len();
        if len("hpm") + len("hpd") < 500_000 {
            assert_eq!(
                all_queries(&mapped),
                all_queries(&read),
                "{}",
                from.display()
            );
        }
        assert_eq!(mapped.live_at_end().unwrap(), read.live_at_end().unwrap());
        assert_eq!(mapped.damage().unwrap(), read.damage().unwrap());
        assert_eq!(
            mapped.time_series([]).unwrap(),
            read.time_series([]).unwrap()
        );
        let (a, b) = (mapped.traces().unwrap(), read.traces().unwrap());
        assert!(a.frames().eq(b.frames()));
        assert!(
            a.iter()
                .map(|(_, trace)| trace.len())
                .eq(b.iter().map(|(_, trace)| trace.len()))
        );
        let [a, b] = [Digest::open(&run), Digest::open_unmapped(&run)].map(Result::unwrap);
        let [a, b] = [a, b].map(|digest| digest.snapshots().last().transpose().unwrap());
        assert_eq!(a, b);
    }
}

#[test]
fn rejects_digest_of_a_different_log() {
    let folder = tempfile::tempdir().unwrap();
    let run = recording(1000).save(folder.path());
    Reader::open(&run).unwrap().make_digest(options()).unwrap();
    let (hpm, hpd) = recording(1000).into_bytes();
    let (longer, shorter) = (recording(1500).into_bytes().1, &hpd[..hpd.len() - 100]);
    let length = hpd.len();
    let said = |digested: usize, now: usize| {
        format!("the digest was made when the log had {digested} bytes, and now it has {now}")
    };
    for open in OPEN {
        for (log, events) in [(&*longer, 1500), (shorter, 987)] {
            write(&run, "hpd", log);
            let reader = open(&run).unwrap();
            assert!(!reader.has_digest());
            let unused = reader.unused_digest().unwrap();
            assert!(matches!(
                *unused,
                UnusedDigest::Length { digested, now }
                    if (digested, now) == (length as u64, log.len() as u64)
            ));
            assert_eq!(unused.to_string(), said(length, log.len()));
            assert_eq!(reader.end().unwrap().events(), events);
            let total = 100 * i64::try_from(events).unwrap();
            assert_eq!(reader.live_at_end().unwrap().total(), total);
            let digest = reader.digest().unwrap();
            assert_eq!(digest.end().unwrap().events(), events);
            assert_eq!(
                digest.snapshot_at(Elapsed::MAX).unwrap().usage().total(),
                total
            );
        }

        // A different recording with a log of the same length.
        let mut later = hpm.clone();
        later[11] += 1;
        write(&run, "hpd", &hpd);
        write(&run, "hpm", &later);
        let reader = open(&run).unwrap();
        let start = StartTime::new(1_700_000_000, 5);
        assert_eq!(reader.start(), StartTime::new(1_700_000_001, 5));
        assert!(!reader.has_digest());
        let unused = reader.unused_digest().unwrap();
        assert!(matches!(*unused, UnusedDigest::Recording { digest } if digest == start));
        assert_eq!(
            unused.to_string(),
            "the digest is of another recording, which began at 1700000000000000005 ns"
        );
        // A new digest replaces the old one.
        write(&run, "hpm", &hpm);
        assert!(open(&run).unwrap().has_digest());
    }
}

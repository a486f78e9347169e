//! Any bytes are input: whatever a file holds, nothing panics, overflows, hangs, or takes memory that
//! the file does not justify.
//!
//! `HEAPPROF_LONG=1` tries every value of every byte and many more random profiles; a number in place
//! of 1 is how many times as many.

#[path = "common/all_queries.rs"]
mod all_queries;
mod common;
#[path = "common/meter.rs"]
mod meter;
#[path = "common/pieces.rs"]
mod pieces;

use std::path::Path;
use std::time::Duration;

use all_queries::{all_queries_of, all_queries_of_files};
use common::Profile;
use heapprof::EventKind;
use heapprof::raw::FileKind;
use heapprof::{Digest, DigestOptions, Reader, SamplingRates};
use meter::cost;
use pieces::{Change, Piece};
use proptest::collection::vec;
use proptest::prelude::*;

#[global_allocator]
static METER: meter::Meter = meter::Meter;

/// The bytes of the three files of a profile.
#[derive(Debug, Clone)]
struct Files {
    hpm: Vec<u8>,
    hpd: Vec<u8>,
    hpc: Vec<u8>,
}

/// All is done with less memory than this, and so much for each byte of the files.
const MEMORY: (u64, u64) = (8 << 20, 600);

/// How many times as long a long run is; `None` for a usual one.
fn long() -> Option<u32> {
    let long = std::env::var("HEAPPROF_LONG").ok()?;
    Some(long.parse().unwrap_or(1).max(1))
}

impl Files {
    fn len(&self) -> usize {
        self.hpm.len() + self.hpd.len() + self.hpc.len()
    }

    fn file(&mut self, kind: FileKind) -> &mut Vec<u8> {
        match kind {
            FileKind::Hpm => &mut self.hpm,
            FileKind::Hpd => &mut self.hpd,
            FileKind::Hpc => &mut self.hpc,
        }
    }

    /// Runs all queries on the profile, and limits the memory.
    fn ask(&self) -> Option<u64> {
        let (answered, most, _) = cost(|| all_queries_of(&self.hpm, &self.hpd, &self.hpc));
        let (fixed, each) = MEMORY;
        let limit = fixed + each * self.len() as u64;
        assert!(most <= limit, "{most} bytes of memory for {self:?}");
        answered
    }

    /// As files they are what they are as bytes, and a digest can be written beside them.
    fn ask_files(&self, answered_of_bytes: Option<u64>) {
        let folder = folder();
        let answered = all_queries_of_files(folder.path(), &self.hpm, &self.hpd, &self.hpc);
        assert_eq!(answered, answered_of_bytes, "{self:?}");
        let mut names: Vec<_> = std::fs::read_dir(folder.path())
            .unwrap()
            .map(|entry| entry.unwrap().file_name())
            .collect();
        names.sort();
        assert_eq!(names, ["run.hpc", "run.hpd", "run.hpm"], "{self:?}");
    }
}

/// A new folder, in memory where that can be: a disk takes its time to keep a digest.
fn folder() -> tempfile::TempDir {
    let memory = Path::new("/dev/shm");
    if memory.is_dir() {
        tempfile::tempdir_in(memory).unwrap()
    } else {
        tempfile::tempdir().unwrap()
    }
}

/// A small profile with a bit of everything: rates, stacks that share and recur, an empty one, a
/// clock that steps back, a trace that the table does not have, a digest of ours.
fn small() -> Files {
    let rates = SamplingRates::from_stored([(16, u32::MAX / 2), (4096, u32::MAX)]);
    let mut profile = Profile::sampled(&rates);
    profile.trace(&[("m", 1), ("lib/python3/x.py", 2)]);
    profile.trace(&[("m", 1), ("m", 1), ("é", 3)]);
    profile.trace(&[]);
    for (micros, trace, bytes) in [
        (5, 1, 10),
        (900, 2, 300),
        (700, 3, 70_000),
        (2_100, 2, -300),
        (2_100, 9, 1),
        (30_000, 0, 64),
    ] {
        profile.event(micros, trace, bytes);
    }
    let (hpm, hpd) = profile.into_bytes();
    let hpc = digest_of(&hpm, &hpd);
    Files { hpm, hpd, hpc }
}

/// The bytes of the digest that would stand beside these files.
fn digest_of(hpm: &[u8], hpd: &[u8]) -> Vec<u8> {
    let folder = folder();
    let base = folder.path().join("run");
    std::fs::write(base.with_extension("hpm"), hpm).unwrap();
    std::fs::write(base.with_extension("hpd"), hpd).unwrap();
    let options = DigestOptions::default().interval(Duration::from_millis(10));
    Reader::open(&base).unwrap().make_digest(options).unwrap();
    std::fs::read(base.with_extension("hpc")).unwrap()
}

/// Every byte changed to each of some values, or in a long run to any; and every cut.
fn bend(files: &Files, kind: FileKind, some: fn(u8) -> Vec<u8>) {
    let len = files.clone().file(kind).len();
    for at in 0..len {
        let mut bent = files.clone();
        bent.file(kind).truncate(at);
        bent.ask();
        let byte = files.clone().file(kind)[at];
        let mut values: Vec<u8> = if long().is_some() {
            (0..=255).collect()
        } else {
            some(byte)
        };
        values.sort_unstable();
        values.dedup();
        for value in values.into_iter().filter(|&value| value != byte) {
            let mut bent = files.clone();
            bent.file(kind)[at] = value;
            bent.ask();
        }
    }
}

/// Each bit flipped, and the values at which numbers end or go on.
fn many(byte: u8) -> Vec<u8> {
    let flips = (0..8).map(|bit| byte ^ (1 << bit));
    flips.chain([0, 1, 0x7f, 0x80, 0xff]).collect()
}

fn few(byte: u8) -> Vec<u8> {
    vec![0, 0x80, 0xff, byte ^ 1]
}

#[test]
fn every_byte_of_the_traces_can_be_another() {
    bend(&small(), FileKind::Hpm, many);
}

#[test]
fn every_byte_of_the_log_can_be_another() {
    bend(&small(), FileKind::Hpd, many);
}

#[test]
fn every_byte_of_the_digest_can_be_another() {
    bend(&small(), FileKind::Hpc, many);
}

/// What heapprof 1.0 wrote.
#[test]
fn every_byte_of_a_recording_can_be_another() {
    let base = common::recording("onelive").unwrap();
    let read = |extension| std::fs::read(base.with_extension(extension)).unwrap();
    let tiny = common::recording("tiny").unwrap();
    let files = Files {
        hpm: read("hpm"),
        hpd: read("hpd"),
        hpc: std::fs::read(tiny.with_file_name("heapprof-1.0/digest_i1_p0.hpc")).unwrap(),
    };
    bend(&files, FileKind::Hpd, few);
    bend(&files, FileKind::Hpc, few);
    if long().is_some() {
        bend(&files, FileKind::Hpm, few);
    }
}

/// A profile to be bent: names, stacks and events of all kinds.
fn profiles() -> impl Strategy<Value = Files> {
    let name = prop::sample::select(vec![
        "m",
        "",
        "a/b.py",
        "é",
        "/usr/lib/python3/x.py",
        "/v/site-packages/p/q.py",
        "C:\\x",
    ]);
    let stacks = vec(vec((name, 0_u32..4), 0..5), 0..6);
    let step = prop_oneof![3 => Just(0_i64), 3 => 0_i64..3000, 1 => -3000_i64..0];
    let size = prop_oneof![2 => Just(8_u64), 2 => 0_u64..6000, 1 => 0_u64..1 << 40];
    let events = vec((step, 0_u32..8, size, any::<bool>()), 0..20);
    let rates = vec((0_u64..5000, any::<u32>()), 0..3);
    (stacks, events, rates).prop_map(|(stacks, events, rates)| {
        let mut profile = Profile::sampled(&SamplingRates::from_stored(rates));
        for stack in stacks {
            profile.trace(&stack);
        }
        let mut wall = 0;
        for (number, (step, trace, size, free)) in (0..).zip(events) {
            wall += step;
            // No two snapshots are equal.
            profile.raw_event(wall, 1, 1 + number, EventKind::Allocation);
            let kind = if free {
                EventKind::Free
            } else {
                EventKind::Allocation
            };
            profile.raw_event(wall + 10_000 * number.cast_signed(), trace, size, kind);
        }
        let (hpm, hpd) = profile.into_bytes();
        let hpc = digest_of(&hpm, &hpd);
        Files { hpm, hpd, hpc }
    })
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 300 * long().map_or(1, |times| 100 * times),
        max_shrink_iters: 20_000,
        ..ProptestConfig::default()
    })]

    #[test]
    fn any_number_can_be_another(
        files in profiles(),
        of_hpm in vec(pieces::change(), 0..3),
        of_hpd in vec(pieces::change(), 0..3),
        of_hpc in vec(pieces::change(), 0..4),
        trailer in any::<bool>(),
        as_files in prop::bool::weighted(0.2),
    ) {
        let mut digest = pieces::of_hpc(&files.hpc);
        if !trailer {
            let end = digest.iter().position(|piece| *piece == Piece::Trailer);
            digest.truncate(end.unwrap());
        }
        let bend = |pieces, changes: &[Change]| pieces::bytes(&pieces::changed(pieces, changes));
        let bent = Files {
            hpm: bend(pieces::of_hpm(&files.hpm), &of_hpm),
            hpd: bend(pieces::of_hpd(&files.hpd), &of_hpd),
            hpc: bend(digest, &of_hpc),
        };
        let answered = bent.ask();
        if as_files {
            bent.ask_files(answered);
        }
    }

    #[test]
    fn any_bytes_at_all_can_follow_a_header(
        hpm in vec(any::<u8>(), 0..60),
        hpd in vec(any::<u8>(), 0..80),
        hpc in vec(any::<u8>(), 0..60),
        keep in any::<bool>(),
    ) {
        let files = small();
        let header = |file: &[u8], len: usize| if keep { file[..len].to_vec() } else { Vec::new() };
        let bent = Files {
            hpm: [header(&files.hpm, 20), hpm].concat(),
            hpd,
            hpc: [header(&files.hpc, 20), hpc].concat(),
        };
        bent.ask();
    }
}

#[test]
fn pieces_are_what_the_files_are_made_of() {
    let files = small();
    assert_eq!(pieces::bytes(&pieces::of_hpm(&files.hpm)), files.hpm);
    assert_eq!(pieces::bytes(&pieces::of_hpd(&files.hpd)), files.hpd);
    assert_eq!(pieces::bytes(&pieces::of_hpc(&files.hpc)), files.hpc);
    // So a digest can be bent and still be taken for one of ours.
    let mut digest = pieces::of_hpc(&files.hpc);
    let interval = digest
        .iter()
        .position(|piece| matches!(piece, Piece::Varint(10)));
    digest[interval.unwrap()] = Piece::Varint(20);
    let digest = Digest::from_bytes(pieces::bytes(&digest)).unwrap();
    assert_eq!(digest.interval(), Duration::from_millis(20));
    assert!(
        digest
            .damage()
            .iter()
            .all(|error| error.file() == FileKind::Hpd)
    );
    assert!(!digest.is_foreign());
}

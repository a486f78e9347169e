//! What the benches measure on: a profile of the caller's, or one that is made up.

#![allow(dead_code, reason = "no bench needs all of it")]

pub(crate) mod bytewise;

use std::cell::Cell;
use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use heapprof::raw::{EventKind, EventLog, EventWriter, TraceWriter};
use heapprof::{SamplingRates, StartTime, TraceId, WallOffset};
use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};
use rand_distr::{Distribution, Exp, LogNormal, Zipf};
use tempfile::TempDir;

/// A profile, and the folder it is in if it was made up.
pub(crate) struct Profile {
    pub(crate) filebase: PathBuf,
    pub(crate) hpm: Vec<u8>,
    pub(crate) hpd: Vec<u8>,
    folder: Option<TempDir>,
}

impl Profile {
    /// The profile with this filebase; else the one that the environment names, else one of
    /// `events` events of 100 000 traces.
    pub(crate) fn new(filebase: Option<&Path>, events: u64) -> Self {
        let named = std::env::var_os("HEAPPROF_BENCH").map(PathBuf::from);
        match filebase.map(Path::to_owned).or(named) {
            Some(filebase) => Self::open(filebase, None),
            None => Self::made_up(events, 100_000),
        }
    }

    pub(crate) fn made_up(events: u64, traces: u32) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let filebase = folder.path().join("made_up");
        write(&filebase, events, traces);
        Self::open(filebase, Some(folder))
    }

    fn open(filebase: PathBuf, folder: Option<TempDir>) -> Self {
        let file = |extension| {
            let mut path = filebase.clone().into_os_string();
            path.push(extension);
            fs::read(PathBuf::from(path)).unwrap()
        };
        Self {
            hpm: file(".hpm"),
            hpd: file(".hpd"),
            filebase,
            folder,
        }
    }
}

/// Writes a recording like that of a server: popularity of traces after Zipf, log-normal sizes, and
/// lives of all lengths; an event each 3.6 µs on average.
pub(crate) fn write(filebase: &Path, events: u64, traces: u32) {
    let mut rng = SmallRng::seed_from_u64(1);
    let create =
        |extension| BufWriter::new(File::create(filebase.with_extension(extension)).unwrap());
    write_traces(create("hpm"), traces, &mut rng);

    let mut log = EventWriter::new(create("hpd"));
    let popularity = Zipf::new(f64::from(traces), 1.05).unwrap();
    let size = LogNormal::new(4.6, 1.4).unwrap();
    let gap = Exp::new(1.0 / 3.6).unwrap();
    // Blocks by the event at which they are freed.
    let mut live: BinaryHeap<Reverse<(u64, u32, u64)>> = BinaryHeap::new();
    let mut clock = 0.0;
    for number in 0..events {
        clock += gap.sample(&mut rng);
        #[expect(clippy::cast_possible_truncation, reason = "a time of hours")]
        let at = WallOffset::from_micros(clock as i64);
        match live.peek() {
            Some(&Reverse((due, trace, size))) if due <= number => {
                live.pop();
                log.write(at, TraceId::new(trace), size, EventKind::Free)
                    .unwrap();
            }
            _ => {
                #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
                let (trace, size) = (
                    popularity.sample(&mut rng) as u32,
                    size.sample(&mut rng) as u64 + 1,
                );
                log.write(at, TraceId::new(trace), size, EventKind::Allocation)
                    .unwrap();
                let life: f64 = match rng.random_range(0..100) {
                    0..50 => 2.0,
                    50..90 => 200.0,
                    90..99 => 100_000.0,
                    _ => continue, // to the end
                };
                let life = Exp::new(1.0 / life).unwrap().sample(&mut rng);
                #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
                live.push(Reverse((number + 1 + life as u64, trace, size)));
            }
        }
    }
    log.into_inner().flush().unwrap();
}

/// The events of a log at a pace of its own, 2 ms apart on average, and blocks up to 300 times as large:
/// so that their numbers have one to four bytes, as it happens.
pub(crate) fn with_mixed_lengths(hpd: &[u8]) -> Vec<u8> {
    let mut rng = SmallRng::seed_from_u64(2);
    let gap = Exp::new(1.0 / 2000.0).unwrap();
    let mut log = EventWriter::new(Vec::new());
    let mut clock = 0.0;
    for event in EventLog::new(hpd).events().map_while(Result::ok) {
        clock += gap.sample(&mut rng);
        #[expect(clippy::cast_possible_truncation, reason = "a time of hours")]
        let at = WallOffset::from_micros(clock as i64);
        let size = event.size.min(1 << 40) * rng.random_range(1..300);
        log.write(at, event.trace, size, event.kind).unwrap();
    }
    log.into_inner()
}

/// Stacks of up to 40 frames over 20 000 lines of 400 files. As in a real program, the next stack mostly
/// leaves the one before near its end, and each line calls but a few others.
fn write_traces(file: impl Write, traces: u32, rng: &mut SmallRng) {
    let rates = SamplingRates::unsampled();
    let mut writer = TraceWriter::new(file, StartTime::new(1_600_000_000, 0), &rates).unwrap();
    let names: Vec<String> = (0..400)
        .map(|file| {
            format!(
                "/srv/app/service/package_{:02}/module_{file:03}.py",
                file % 23
            )
        })
        .collect();
    let mut stack: Vec<u32> = (0..10).collect();
    for _ in 0..traces {
        let left: usize = match rng.random_range(0..100) {
            0..70 => 1,
            70..95 => rng.random_range(2..5),
            _ => rng.random_range(5..20),
        };
        stack.truncate(stack.len().saturating_sub(left).max(4));
        let more = if stack.len() < 20 { 4 } else { 1 };
        for _ in 0..more {
            let caller = stack.last().copied().unwrap_or(0);
            stack.push((caller * 7 + rng.random_range(0..9_u32) * 1117 + 1) % 20_000);
        }
        stack.truncate(40);
        let frames = stack.iter().map(|&line| {
            let file = &names[line as usize % names.len()];
            (file.as_bytes(), line / 13 + 1)
        });
        writer.write_outermost_first(frames).unwrap();
    }
    writer.into_inner().flush().unwrap();
}

/// The bytes of a file, as a program meets them that reads it once: from memory, not from a cache. A small
/// file is there in many copies, of which each use takes the next.
pub(crate) struct InTurn {
    copies: Vec<&'static [u8]>,
    next: Cell<usize>,
}

impl InTurn {
    /// More bytes than caches hold.
    const MANY: usize = 64 << 20;

    pub(crate) fn new(bytes: &[u8]) -> Self {
        let copies = (0..Self::MANY.div_ceil(bytes.len().max(1)).min(20_000))
            .map(|_| &*bytes.to_vec().leak())
            .collect();
        Self {
            copies,
            next: Cell::new(0),
        }
    }

    pub(crate) fn next(&self) -> &'static [u8] {
        let next = self.next.get();
        self.next.set((next + 1) % self.copies.len());
        self.copies[next]
    }
}

/// The bytes added up as words: as fast as a machine can look at a file at all.
pub(crate) fn sum(bytes: &[u8]) -> u64 {
    let mut words = bytes.chunks_exact(8);
    let sum = words
        .by_ref()
        .map(|word| u64::from_ne_bytes(word.try_into().unwrap()))
        .fold(0, u64::wrapping_add);
    words
        .remainder()
        .iter()
        .fold(sum, |sum, &byte| sum.wrapping_add(u64::from(byte)))
}

//! Recordings for the benches, given or generated, and what several benches measure with.

#![allow(dead_code, reason = "no bench needs all of it")]

pub(crate) mod bytewise;
pub(crate) mod memory;
pub(crate) mod rounds;

use std::cell::Cell;
use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use heapprof::EventKind;
use heapprof::raw::{EventLog, EventWriter, TraceWriterV1};
use heapprof::{
    Digest, DigestOptions, Reader, SamplingRates, StartTime, TraceId, Usage, WallOffset,
};
use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};
use rand_distr::{Distribution, Exp, LogNormal, Zipf};
use rustix::time::{ClockId, clock_gettime};
use tempfile::TempDir;

/// A recording, and its temporary folder if it was generated.
pub(crate) struct Profile {
    pub(crate) filebase: PathBuf,
    pub(crate) hpm: Vec<u8>,
    pub(crate) hpd: Vec<u8>,
    folder: Option<TempDir>,
}

impl Profile {
    /// The recording with this filebase, or else the one that `HEAPPROF_BENCH` names, or else a generated one of
    /// `events` events and 100 000 traces.
    pub(crate) fn new(filebase: Option<&Path>, events: u64) -> Self {
        let named = std::env::var_os("HEAPPROF_BENCH").map(PathBuf::from);
        match filebase.map(Path::to_owned).or(named) {
            Some(filebase) => Self::open(filebase, None),
            None => Self::generated(events, 100_000),
        }
    }

    pub(crate) fn generated(events: u64, traces: u32) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let filebase = folder.path().join("generated");
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

/// Writes a recording that resembles one of a server: Zipf-distributed traces, log-normal sizes, lifetimes from two
/// events to the whole recording, and 3.6 µs from event to event on average.
pub(crate) fn write(filebase: &Path, events: u64, traces: u32) {
    let mut rng = SmallRng::seed_from_u64(1);
    let create =
        |extension| BufWriter::new(File::create(filebase.with_extension(extension)).unwrap());
    write_traces(create("hpm"), traces, &mut rng);

    let mut log = EventWriter::new(create("hpd"));
    let popularity = Zipf::new(f64::from(traces), 1.05).unwrap();
    let size = LogNormal::new(4.6, 1.4).unwrap();
    let gap = Exp::new(1.0 / 3.6).unwrap();
    // Live blocks, ordered by the event that frees them.
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
                    _ => continue, // never freed
                };
                let life = Exp::new(1.0 / life).unwrap().sample(&mut rng);
                #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
                live.push(Reverse((number + 1 + life as u64, trace, size)));
            }
        }
    }
    log.into_inner().flush().unwrap();
}

/// The events of a log with other times, 2 ms apart on average, and with sizes up to 300 times as large, so that the
/// numbers of a record have one to four bytes in no predictable order.
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

/// Writes stacks of up to 40 frames over 20 000 lines of 400 files. As in a real program, consecutive stacks differ
/// mostly near their ends, and each line calls few others.
fn write_traces(file: impl Write, traces: u32, rng: &mut SmallRng) {
    let rates = SamplingRates::unsampled();
    let mut writer = TraceWriterV1::new(file, StartTime::new(1_600_000_000, 0), &rates).unwrap();
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

/// Copies of a file that do not fit in the caches together, so that a work that takes the next copy reads memory, as a
/// program does that reads a file once.
pub(crate) struct Copies {
    copies: Vec<&'static [u8]>,
    next: Cell<usize>,
}

impl Copies {
    const TOTAL_BYTES: usize = 64 << 20;
    const MAX_COPIES: usize = 20_000;

    pub(crate) fn new(bytes: &[u8]) -> Self {
        let count = Self::TOTAL_BYTES.div_ceil(bytes.len().max(1));
        Self {
            copies: (0..count.min(Self::MAX_COPIES))
                .map(|_| &*bytes.to_vec().leak())
                .collect(),
            next: Cell::new(0),
        }
    }

    pub(crate) fn next(&self) -> &'static [u8] {
        let next = self.next.get();
        self.next.set((next + 1) % self.copies.len());
        self.copies[next]
    }
}

/// Adds up the bytes as words, which is limited by the memory alone.
pub(crate) fn sum(bytes: &[u8]) -> u64 {
    let (words, rest) = bytes.as_chunks();
    let words = words.iter().map(|&word| u64::from_ne_bytes(word));
    let rest = rest.iter().map(|&byte| u64::from(byte));
    words.fold(0, u64::wrapping_add) ^ rest.sum::<u64>()
}

/// The CPU time of this process so far, in seconds.
pub(crate) fn cpu_seconds() -> f64 {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    Duration::try_from(time).unwrap().as_secs_f64()
}

/// Allocated bytes by trace.
pub(crate) fn allocated(reader: &Reader) -> Usage {
    let events = reader.events().unwrap().map_while(Result::ok);
    events
        .filter(|event| event.is_allocation())
        .map(|event| (event.trace, event.signed_size()))
        .collect()
}

pub(crate) fn digest_of_290_snapshots(reader: &Reader) -> Digest {
    let millis = reader.elapsed().unwrap().as_millis() / 290;
    let interval = Duration::from_millis(millis.max(1));
    let options = DigestOptions::default().interval(interval);
    reader.digest_with(options).unwrap()
}

//! How fast, as ratios that hold on any machine: each measured in one run, the works that are compared
//! taking turns, in CPU time. A line a row: `name value unit`.
//!
//! ```text
//! cargo bench --bench ratios [-- FILEBASE]
//! ```
//!
//! Without a filebase (or `HEAPPROF_BENCH`) it makes up a recording of 4 M events and 100 000 traces.
//!
//! | work | what is done |
//! | --- | --- |
//! | sum | the bytes are added up as words |
//! | decode | a loop over `raw::Events` asks each event for its size, its kind, its trace and its time, as a replay does; bytewise: a decoder of a byte at a time is asked the same |
//! | end | `Reader::end`: a whole log is decoded, and nothing is asked of its events |
//! | replay | `Reader::high_water`: what is live by trace, the exact total, how high it got and when |
//! | live, peak | `Reader::live_at_end`; `Reader::peak`: also what was live then |
//! | ask | `Reader::ask` of a question that does next to nothing |
//! | digest | a snapshot each second, in memory, and to a file |
//! | index | `TraceLog::count`: where each stack begins, by the lengths of what is in between |
//! | intern | `TraceTable::from_log`: the table of all stacks |

mod common;

use std::collections::BTreeMap;
use std::fs;
use std::hint::black_box;
use std::ops::ControlFlow;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use common::{InTurn, Profile, sum, with_mixed_lengths};
use heapprof::raw::{Event, EventLog, TraceLog, TraceWriter};
use heapprof::{
    Digest, DigestOptions, FlameGraph, FlowGraph, FrameId, Lines, LiveHeap, LogEnd, LogStep,
    Question, Reader, TimeSeries, TraceId, TraceTable, Track, Usage,
};
use rustix::time::{ClockId, clock_gettime};

const EVENTS: u64 = 4_000_000;

/// The child that digests in a fresh process says here how much memory it took.
const CHILD: &str = "--digest-in-a-fresh-process";

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    if let [child, filebase] = &args[..]
        && child == CHILD
    {
        println!("{}", anonymous_memory_of_a_digest(Path::new(filebase)));
        return;
    }
    let filebase = args.iter().find(|arg| !arg.starts_with('-'));
    let profile = Profile::new(filebase.map(Path::new), EVENTS);
    for (name, value, unit) in Measured::of(&profile).rows(&profile) {
        println!("{name} {value} {unit}");
    }
}

/// The largest total: what every question of the log shares, and next to nothing else.
struct Total(i64);

impl Question for Total {
    type Answer = i64;

    fn take(&mut self, step: &LogStep, _: &LiveHeap) -> ControlFlow<()> {
        self.0 = self.0.max(step.total);
        ControlFlow::Continue(())
    }

    fn answer(self, _: &LogEnd<'_>) -> i64 {
        self.0
    }
}

/// The CPU time of each work in each round, in seconds.
#[derive(Default)]
struct Measured {
    seconds: BTreeMap<&'static str, Vec<f64>>,
    events: f64,
    /// How many frames the stacks of the usage have that the views look at.
    frames: f64,
}

impl Measured {
    fn of(profile: &Profile) -> Self {
        let (hpm, hpd) = (&profile.hpm[..], &profile.hpd[..]);
        let reader = Reader::open(&profile.filebase).unwrap();
        let in_memory = Reader::from_bytes(hpm.to_vec(), hpd.to_vec(), None).unwrap();
        let traces = reader.traces().unwrap();
        let usage = broad(&reader);
        let second = || DigestOptions::default().interval(Duration::from_secs(1));
        let folder = tempfile::tempdir().unwrap();
        let copy = folder.path().join("copy");
        for extension in ["hpm", "hpd"] {
            fs::write(
                copy.with_extension(extension),
                if extension == "hpm" { hpm } else { hpd },
            )
            .unwrap();
        }
        let coarse = coarse(&reader);
        let tracks: Vec<Track> = heaviest(&Lines::new(traces, &usage));
        let mut measured = Self {
            events: u64_as_f64(reader.end().unwrap().events()),
            frames: usage
                .by_trace()
                .filter_map(|(trace, _)| Some(traces.trace(trace)?.len()))
                .map(|frames| u64_as_f64(frames as u64))
                .sum(),
            ..Self::default()
        };
        let mixed = with_mixed_lengths(hpd);
        let (hpms, hpds) = (InTurn::new(hpm), InTurn::new(hpd));
        let without_stacks = {
            let log = TraceLog::new(hpm).unwrap();
            let writer = TraceWriter::new(Vec::new(), log.start(), log.rates());
            writer.unwrap().into_inner()
        };
        let rounds = (400_000_000 / (hpd.len() + hpm.len() / 4 + 1)).clamp(3, 15);
        for round in 0..=rounds {
            let mut note = |name, seconds| {
                // The first round warms up.
                if round > 0 {
                    measured.seconds.entry(name).or_default().push(seconds);
                }
            };
            let mixed = || &mixed[..];
            note("next", in_every_place(|place| place.next, || hpds.next()));
            note("next mixed", in_every_place(|place| place.next, mixed));
            note(
                "for_each",
                in_every_place(|place| place.for_each, || hpds.next()),
            );
            note(
                "bytewise",
                in_every_place(|place| place.bytewise, || hpds.next()),
            );
            note(
                "bytewise mixed",
                in_every_place(|place| place.bytewise, mixed),
            );

            let mut time = |name, work: &mut dyn FnMut() -> u64| note(name, cpu_time(work));
            time("sum hpd", &mut || sum(hpds.next()));
            time("end", &mut || end(&without_stacks, hpds.next()));
            time("replay", &mut || {
                in_memory.high_water().unwrap().total().cast_unsigned()
            });
            time("live", &mut || {
                in_memory.live_at_end().unwrap().total().cast_unsigned()
            });
            time("peak", &mut || {
                in_memory.peak().unwrap().total().cast_unsigned()
            });
            time("ask", &mut || {
                in_memory.ask(Total(0)).unwrap().cast_unsigned()
            });
            time("digest", &mut || {
                in_memory.digest_with(second()).unwrap().len() as u64
            });
            time("digest to a file", &mut || {
                let reader = Reader::open(&copy).unwrap();
                let digest = reader.make_digest(second()).unwrap();
                fs::remove_file(copy.with_extension("hpc")).unwrap();
                digest.len() as u64
            });
            time("sum hpm", &mut || sum(hpms.next()));
            time("index", &mut || {
                u64::from(TraceLog::new(hpms.next()).unwrap().count())
            });
            time("intern", &mut || {
                TraceTable::from_log(&TraceLog::new(hpms.next()).unwrap()).frame_count() as u64
            });
            time("open", &mut || {
                let opened = Reader::open(&profile.filebase).unwrap();
                u64::from(opened.start().nanoseconds() > 0)
            });
            views(&mut time, traces, &usage, &coarse, &tracks);
        }
        measured
    }

    fn rows(&self, profile: &Profile) -> Vec<(&'static str, String, &'static str)> {
        let ratio = |a, b| format!("{:.4}", self.ratio(a, b));
        let a_frame = |work| format!("{:.2}", self.median(work) * 1e9 / self.frames.max(1.0));
        let a_second = |work| format!("{:.0}", self.events / self.median(work));
        vec![
            ("decode_of_sum", ratio("sum hpd", "next"), "ratio"),
            ("decode_vs_bytewise", ratio("bytewise", "next"), "times"),
            (
                "decode_mixed_vs_bytewise",
                ratio("bytewise mixed", "next mixed"),
                "times",
            ),
            ("next_vs_for_each", ratio("for_each", "next"), "ratio"),
            ("end_of_sum", ratio("sum hpd", "end"), "ratio"),
            ("replay_of_decode", ratio("next", "replay"), "ratio"),
            ("live_of_decode", ratio("next", "live"), "ratio"),
            ("peak_of_replay", ratio("replay", "peak"), "ratio"),
            ("ask_of_replay", ratio("replay", "ask"), "ratio"),
            ("digest_of_replay", ratio("replay", "digest"), "ratio"),
            ("index_of_sum", ratio("sum hpm", "index"), "ratio"),
            ("intern_of_sum", ratio("sum hpm", "intern"), "ratio"),
            ("open_ms", format!("{:.3}", self.median("open") * 1e3), "ms"),
            ("events_per_second", a_second("next"), "events/s"),
            (
                "digest_events_per_second",
                a_second("digest to a file"),
                "events/s",
            ),
            (
                "rss_anon_kb_digest",
                in_a_fresh_process(&profile.filebase).to_string(),
                "kB",
            ),
            ("lines_ns_per_frame", a_frame("lines"), "ns"),
            ("flow_ns_per_frame", a_frame("flow"), "ns"),
            ("flame_ns_per_frame", a_frame("flame"), "ns"),
            (
                "series_vs_digest_read",
                ratio("series", "read digest"),
                "times",
            ),
        ]
    }

    fn median(&self, work: &str) -> f64 {
        median(self.seconds[work].clone())
    }

    /// The median over the rounds of how often `b` goes into `a`.
    fn ratio(&self, a: &str, b: &str) -> f64 {
        let rounds = self.seconds[a].iter().zip(&self.seconds[b]);
        median(rounds.map(|(a, b)| a / b).collect())
    }
}

/// A loop that is the caller's. How fast it is depends on where in memory it happens to be, by up to a sixth;
/// so each is there several times.
type Loop = fn(&[u8]) -> u64;

struct Place {
    next: Loop,
    for_each: Loop,
    bytewise: Loop,
}

const PLACES: [Place; 8] = [
    Place::new::<0>(),
    Place::new::<1>(),
    Place::new::<2>(),
    Place::new::<3>(),
    Place::new::<4>(),
    Place::new::<5>(),
    Place::new::<6>(),
    Place::new::<7>(),
];

impl Place {
    const fn new<const PLACE: u64>() -> Self {
        Self {
            next: next::<PLACE>,
            for_each: for_each::<PLACE>,
            bytewise: bytewise::<PLACE>,
        }
    }
}

/// The CPU time of a loop over a log, in seconds: the median of all its places.
fn in_every_place<'b>(of: impl Fn(&Place) -> Loop, log: impl Fn() -> &'b [u8]) -> f64 {
    let seconds = PLACES.iter().map(|place| {
        let each = of(place);
        cpu_time(&mut || each(log()))
    });
    median(seconds.collect())
}

/// Makes functions differ, and their lengths too, so that others do not all begin alike.
#[inline]
fn differing<const PLACE: u64>(mut sum: u64) -> u64 {
    for number in 0..PLACE {
        sum ^= black_box(number);
    }
    sum
}

fn next<const PLACE: u64>(hpd: &[u8]) -> u64 {
    let mut events = EventLog::new(hpd).events();
    let mut sum = 0;
    while let Some(Ok(event)) = events.next() {
        sum ^= asked(&event);
    }
    differing::<PLACE>(sum)
}

fn for_each<const PLACE: u64>(hpd: &[u8]) -> u64 {
    let mut sum = 0;
    EventLog::new(hpd).events().for_each(|event| {
        if let Ok(event) = event {
            sum ^= asked(&event);
        }
    });
    differing::<PLACE>(sum)
}

/// All that there is to know of an event, but for the wall clock.
#[inline]
fn asked(event: &Event) -> u64 {
    let trace = event.trace.map_or(0, TraceId::get);
    told(event.signed_size(), trace, event.elapsed.as_micros())
}

#[inline]
fn told(signed_size: i64, trace: u32, elapsed: u64) -> u64 {
    signed_size.cast_unsigned() ^ u64::from(trace) ^ elapsed
}

/// How many events a log has, and how long it took: a whole log, decoded for nothing but that.
fn end(hpm: &[u8], log: &'static [u8]) -> u64 {
    let reader = Reader::from_bytes(hpm.to_vec(), log, None).unwrap();
    let end = reader.end().unwrap();
    end.events() ^ end.elapsed().as_micros()
}

fn bytewise<const PLACE: u64>(hpd: &[u8]) -> u64 {
    let mut sum = 0;
    for event in common::bytewise::events(hpd).flatten() {
        let size = event.size.cast_signed();
        let signed_size = if event.is_free { -size } else { size };
        sum ^= told(signed_size, event.trace, event.elapsed);
    }
    differing::<PLACE>(sum)
}

/// The views of a usage, and three lines over time.
fn views(
    time: &mut impl FnMut(&'static str, &mut dyn FnMut() -> u64),
    traces: &TraceTable,
    usage: &Usage,
    digest: &Digest,
    tracks: &[Track],
) {
    time("lines", &mut || Lines::new(traces, usage).len() as u64);
    time("flow", &mut || {
        FlowGraph::new(traces, [usage]).nodes().len() as u64
    });
    time("flame", &mut || FlameGraph::new(traces, usage).len() as u64);
    time("series", &mut || {
        TimeSeries::new(digest, traces, tracks)
            .unwrap()
            .times()
            .len() as u64
    });
    time("read digest", &mut || {
        let total = TimeSeries::new(digest, traces, []).unwrap().total().last();
        total.unwrap_or(0).cast_unsigned()
    });
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// The CPU time of one run, in seconds; what is short is run often.
fn cpu_time(work: &mut dyn FnMut() -> u64) -> f64 {
    let now = || {
        let time = clock_gettime(ClockId::ProcessCPUTime);
        Duration::try_from(time).unwrap().as_secs_f64()
    };
    // The clock is read before and after all of them: to read it takes as long as a short work.
    let mut runs = 1;
    loop {
        let start = now();
        for _ in 0..runs {
            black_box(work());
        }
        let taken = now() - start;
        if taken > 2e-3 {
            return taken / f64::from(runs);
        }
        runs *= 4;
    }
}

#[expect(clippy::cast_precision_loss, reason = "counts for a ratio")]
fn u64_as_f64(count: u64) -> f64 {
    count as f64
}

/// What was allocated by trace, of the 30 000 traces that allocated most.
fn broad(reader: &Reader) -> Usage {
    let events = reader.events().unwrap().map_while(Result::ok);
    let allocated: Usage = events
        .filter(|event| event.is_allocation())
        .map(|event| (event.trace, event.signed_size()))
        .collect();
    allocated.iter().take(30_000).collect()
}

/// A digest of about 290 snapshots.
fn coarse(reader: &Reader) -> Digest {
    let millis = reader.elapsed().unwrap().as_millis() / 290;
    let interval = Duration::from_millis(millis.max(1));
    reader
        .digest_with(DigestOptions::default().interval(interval))
        .unwrap()
}

/// The three lines of the largest local usage.
fn heaviest(lines: &Lines) -> Vec<Track> {
    let ids: Vec<FrameId> = lines.by_local().take(3).map(|line| line.id).collect();
    ids.into_iter().map(Track::Cumulative).collect()
}

fn in_a_fresh_process(filebase: &Path) -> u64 {
    let output = Command::new(std::env::current_exe().unwrap())
        .arg(CHILD)
        .arg(filebase)
        .output()
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    text.trim().parse().unwrap_or(0)
}

/// The most anonymous memory of this process while it digests a profile to a file, in kB; 0 where
/// the system does not say.
fn anonymous_memory_of_a_digest(filebase: &Path) -> u64 {
    let folder = tempfile::tempdir().unwrap();
    let copy = folder.path().join("copy");
    let with = |path: &Path, extension: &str| {
        let mut name = path.as_os_str().to_owned();
        name.push(extension);
        name
    };
    for extension in [".hpm", ".hpd"] {
        // A link would do, but not every system has one.
        fs::copy(with(filebase, extension), with(&copy, extension)).unwrap();
    }
    let mut most = 0;
    let options = DigestOptions::default()
        .interval(Duration::from_secs(1))
        .progress(|_| {
            most = most.max(anonymous_memory());
            ControlFlow::Continue(())
        });
    Reader::open(&copy).unwrap().make_digest(options).unwrap();
    most.max(anonymous_memory())
}

fn anonymous_memory() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("RssAnon:"));
    line.and_then(|line| line.trim().trim_end_matches(" kB").parse().ok())
        .unwrap_or(0)
}

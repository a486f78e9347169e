//! Recordings one after another in one process.

use std::alloc::System;
use std::fs::{self, File};
use std::hint::black_box;
use std::io::Read;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use heapprof::query::{AppliedEvent, LiveHeap, Query, QueryEnd};
use heapprof::{Reader, SamplingRates};
use heapprof_recorder::{Allocator, Error, Recorder, Recording};
use libtest_mimic::{Arguments, Trial};

#[global_allocator]
static ALLOCATOR: Allocator<System> = Allocator::over(System);

/// What the events of a log add up to.
#[derive(Debug, Default)]
struct Totals {
    allocations: u64,
    frees: u64,
    lowest: i64,
    without_trace: u64,
}

impl Query for Totals {
    type Output = Self;

    fn observe(&mut self, applied: &AppliedEvent, _: &LiveHeap) -> std::ops::ControlFlow<()> {
        let event = &applied.event;
        *if event.is_free() {
            &mut self.frees
        } else {
            &mut self.allocations
        } += 1;
        self.lowest = self.lowest.min(applied.trace_after);
        self.without_trace += u64::from(event.trace.is_none());
        std::ops::ControlFlow::Continue(())
    }

    fn finish(self, _: &QueryEnd<'_>) -> Self {
        self
    }
}

/// The totals of a recording, in which no stack has less than nothing.
fn totals(filebase: &Path) -> (Reader, Totals) {
    let reader = Reader::open(filebase).unwrap();
    let totals = reader.ask(Totals::default()).unwrap();
    assert_eq!((totals.lowest, totals.without_trace), (0, 0));
    assert_eq!(reader.damage().unwrap(), []);
    (reader, totals)
}

/// What is live at the end that the functions of this file allocated, by function.
fn live_of(reader: &Reader, function: &str) -> i64 {
    let traces = reader.traces().unwrap();
    let is_of = |name: Option<&str>| name.is_some_and(|name| name.ends_with(function));
    let through = |id| {
        let trace = traces.trace(id);
        trace.is_some_and(|trace| trace.frames().any(|frame| is_of(frame.function)))
    };
    let end = reader.live_at_end().unwrap();
    end.filter(|id, _| through(id)).total()
}

/// Allocates blocks, in a function of its own in stacks.
macro_rules! blocks {
    ($name:ident, $size:literal) => {
        #[inline(never)]
        fn $name() -> Vec<Box<[u8; $size]>> {
            let mut blocks = Vec::with_capacity(100);
            blocks.extend((0..100).map(|_| Box::new([1; $size])));
            black_box(blocks)
        }
    };
}

blocks!(first, 1000);
blocks!(second, 700);
blocks!(third, 300);

/// What [`blocks`] allocates.
const fn bytes(size: i64) -> i64 {
    100 * size + 100 * 8
}

struct Folder(tempfile::TempDir);

impl Folder {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn everything(&self, name: &str) -> Recording {
        Recorder::new(self.path(name)).everything().start().unwrap()
    }
}

fn a_recording_has_what_was_allocated_while_it_ran() {
    let folder = Folder::new();
    let before = first();
    let recording = folder.everything("a");
    let kept = second();
    drop(third());
    drop(before);
    let summary = recording.finish().unwrap();
    let after = third();
    let (reader, totals) = totals(&folder.path("a"));
    assert_eq!((totals.allocations, totals.frees), (202, 101));
    assert_eq!((summary.events, summary.dropped), (303, 0));
    assert_eq!(summary.filebase, folder.path("a"));
    assert_eq!(reader.live_at_end().unwrap().total(), bytes(700));
    assert_eq!(live_of(&reader, "second"), bytes(700));
    let properties = reader.properties();
    let get = |key| properties.get(key).unwrap().trim_end().to_owned();
    assert_eq!(get("pid"), std::process::id().to_string());
    assert!(get("recorder").starts_with("heapprof-recorder "));
    assert!(["unwinder", "frame pointers"].contains(&&*get("stacks")));
    for key in ["dropped", "unknown", "build-ids", "warning"] {
        assert_eq!(get(key), "");
    }
    drop((kept, after));
}

fn frees_of_an_earlier_recording_are_not_in_a_later_one() {
    let folder = Folder::new();
    let recording = folder.everything("a");
    let (a, b) = (first(), first());
    recording.finish().unwrap();
    drop(a);
    // These get the addresses of blocks that were recorded.
    let between = first();
    let recording = folder.everything("b");
    drop(between);
    drop(b);
    let kept = second();
    recording.finish().unwrap();
    let (reader, _) = totals(&folder.path("a"));
    assert_eq!(live_of(&reader, "first"), 2 * bytes(1000));
    let (reader, totals) = totals(&folder.path("b"));
    assert_eq!((totals.allocations, totals.frees), (101, 0));
    assert_eq!(reader.live_at_end().unwrap().total(), bytes(700));
    drop(kept);
}

fn rotation_loses_nothing_and_carries_what_is_live_over() {
    let folder = Folder::new();
    let [to_b, to_c] = ["b", "c"].map(|name| folder.path(name));
    let mut recording = folder.everything("a");
    let (a, b) = (first(), second());
    let summary = recording.rotate(to_b).unwrap();
    drop(a);
    let c = third();
    let summary_of_b = recording.rotate(to_c).unwrap();
    drop(b);
    let summary_of_c = recording.finish().unwrap();
    assert_eq!((summary.filebase, summary.events), (folder.path("a"), 202));
    assert_eq!(
        (summary_of_b.filebase, summary_of_b.events),
        (folder.path("b"), 202 + 101 + 101)
    );
    assert_eq!(
        (summary_of_c.filebase, summary_of_c.events),
        (folder.path("c"), 202 + 101)
    );

    let (reader, _) = totals(&folder.path("a"));
    assert_eq!(live_of(&reader, "first"), bytes(1000));
    assert_eq!(live_of(&reader, "second"), bytes(700));
    let (reader, _) = totals(&folder.path("b"));
    assert_eq!(
        reader.properties().get("continues").unwrap(),
        folder.path("a").to_str().unwrap()
    );
    let at_start = reader.live_at(heapprof::Elapsed::from_micros(0)).unwrap();
    assert_eq!(at_start.total(), bytes(1000) + bytes(700));
    assert_eq!(
        (live_of(&reader, "first"), live_of(&reader, "second")),
        (0, bytes(700))
    );
    assert_eq!(live_of(&reader, "third"), bytes(300));
    let (reader, _) = totals(&folder.path("c"));
    assert_eq!(reader.live_at_end().unwrap().total(), bytes(300));
    drop(c);
}

fn one_recording_at_a_time_and_into_files_of_nobody_else() {
    let folder = Folder::new();
    let mut recording = folder.everything("a");
    let error = Recorder::new(folder.path("b")).start().unwrap_err();
    assert!(matches!(&error, Error::AlreadyRecording(path) if *path == folder.path("a")));
    assert!(!folder.path("b.hpm").exists());
    // Another process would be told the same.
    let error = recording.rotate(folder.path("a")).unwrap_err();
    assert!(matches!(&error, Error::InUse(path) if *path == folder.path("a")));
    let error = recording.rotate(folder.path("none/c")).unwrap_err();
    let path = folder.path("none/c.hpm").display().to_string();
    assert!(error.to_string().starts_with(&path), "{error}");
    // It goes on in the old files.
    let kept = first();
    recording.finish().unwrap();
    let (reader, _) = totals(&folder.path("a"));
    assert_eq!(live_of(&reader, "first"), bytes(1000));
    let error = Recorder::new(folder.path("none/c")).start().unwrap_err();
    assert!(error.to_string().starts_with(&path), "{error}");
    drop(kept);
    // After an error one can start.
    drop(folder.everything("a"));
    let (_, totals) = totals(&folder.path("a"));
    assert_eq!(totals.allocations, 0);
}

#[inline(never)]
#[expect(clippy::unnecessary_box_returns, reason = "a block")]
fn deep(levels: u32) -> Box<[u8; 64]> {
    if levels == 0 {
        return black_box(Box::new([0; 64]));
    }
    let block = deep(levels - 1);
    black_box(&block);
    block
}

fn a_stack_that_is_too_deep_is_cut_and_says_so() {
    let folder = Folder::new();
    for (depth, levels, frames, is_cut) in [(20, 100, 21, true), (400, 100, 102, false)] {
        let recorder = Recorder::new(folder.path("a")).everything();
        let recording = recorder.depth(depth).start().unwrap();
        let block = thread::scope(|scope| scope.spawn(|| deep(levels)).join().unwrap());
        recording.finish().unwrap();
        let (reader, _) = totals(&folder.path("a"));
        let traces = reader.traces().unwrap();
        let of_deep = traces.iter().map(|(_, trace)| trace).find(|trace| {
            let innermost = trace.innermost().unwrap();
            innermost.function == Some("deep")
        });
        let of_deep = of_deep.unwrap();
        let outermost = of_deep.frames().next().unwrap();
        assert_eq!(outermost.file == "(cut)", is_cut, "{outermost}");
        assert!(of_deep.len().abs_diff(frames) <= 4, "{}", of_deep.len());
        drop(block);
    }
}

fn what_threads_do_while_recordings_come_and_go_is_consistent() {
    let folder = Folder::new();
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        for seed in 0..3 {
            let done = &done;
            scope.spawn(move || {
                let mut random = fastrand::Rng::with_seed(seed);
                let mut blocks: Vec<Vec<u8>> = Vec::new();
                while !done.load(Ordering::Relaxed) {
                    match random.u32(..4) {
                        0 | 1 => blocks.push(vec![0; random.usize(1..2000)]),
                        2 if !blocks.is_empty() => {
                            let at = random.usize(..blocks.len());
                            blocks.swap_remove(at);
                        }
                        _ => {
                            if let Some(block) = blocks.last_mut() {
                                block.reserve(random.usize(1..4000));
                            }
                        }
                    }
                    if blocks.len() > 1000 {
                        blocks.clear();
                    }
                }
            });
        }
        for round in 0..12 {
            let recorder = Recorder::new(folder.path("a")).seed(round);
            let recorder = match round % 3 {
                0 => recorder.everything(),
                1 => recorder.every_bytes(3000),
                _ => recorder.rates(SamplingRates::new([(100, 0.5), (1500, 0.01)]).unwrap()),
            };
            let mut recording = recorder.start().unwrap();
            thread::sleep(Duration::from_millis(20));
            recording.rotate(folder.path("b")).unwrap();
            thread::sleep(Duration::from_millis(20));
            let live_before = totals(&folder.path("a")).0.live_at_end().unwrap().total();
            recording.rotate(folder.path("c")).unwrap();
            recording.finish().unwrap();
            for name in ["b", "c"] {
                totals(&folder.path(name));
            }
            // What one has at its end, the next one has at its start.
            let next = Reader::open(folder.path("b")).unwrap();
            let mut carried = 0;
            for event in next.events().unwrap() {
                let event = event.unwrap();
                if event.elapsed.as_micros() > 0 || event.is_free() {
                    break;
                }
                carried += event.signed_estimate(next.rates());
            }
            assert!(carried >= live_before, "{carried} {live_before}");
        }
        done.store(true, Ordering::Relaxed);
    });
}

fn a_full_disk_ends_the_recording_and_not_the_program() {
    let folder = Folder::new();
    symlink("/dev/full", folder.path("a.hpd")).unwrap();
    let recording = folder.everything("a");
    let kept = first();
    thread::sleep(3 * Recorder::PERIOD);
    let more = second();
    let error = recording.finish().unwrap_err();
    let text = error.to_string();
    let path = folder.path("a.hpd").display().to_string();
    assert!(
        text.starts_with(&path) && text.contains("No space left"),
        "{text}"
    );
    drop((kept, more));
    // The next one is not concerned.
    let recording = folder.everything("b");
    let kept = third();
    recording.finish().unwrap();
    assert_eq!(live_of(&totals(&folder.path("b")).0, "third"), bytes(300));
    drop(kept);
}

fn a_folder_can_be_removed() {
    let folder = Folder::new();
    fs::create_dir(folder.path("gone")).unwrap();
    let mut recording = folder.everything("gone/a");
    fs::remove_dir_all(folder.path("gone")).unwrap();
    let kept = first();
    assert!(recording.rotate(folder.path("gone/b")).is_err());
    recording.rotate(folder.path("c")).unwrap();
    recording.finish().unwrap();
    assert_eq!(live_of(&totals(&folder.path("c")).0, "first"), bytes(1000));
    drop(kept);
}

fn blocks_are_dropped_whole_when_the_writer_cannot_follow() {
    let folder = Folder::new();
    // A pipe that nobody reads for a while.
    let pipe = folder.path("a.hpd");
    assert!(
        Command::new("mkfifo")
            .arg(&pipe)
            .status()
            .unwrap()
            .success()
    );
    let (go, wait) = mpsc::channel::<()>();
    let reader = thread::spawn({
        let pipe = pipe.clone();
        move || {
            let mut file = File::open(pipe).unwrap();
            wait.recv().unwrap();
            let mut bytes = Vec::new();
            file.read_to_end(&mut bytes).unwrap();
            bytes
        }
    });
    let recording = folder.everything("a");
    let block = || black_box(Box::new(7_u64));
    for _ in 0..40_000 {
        block();
    }
    thread::sleep(3 * Recorder::PERIOD);
    // Now the writer waits. What is more than the queue holds is dropped, and frees always have room.
    let rounds = 1_100_000;
    for _ in 0..rounds {
        block();
    }
    go.send(()).unwrap();
    let summary = recording.finish().unwrap();
    let bytes = reader.join().unwrap();
    fs::remove_file(&pipe).unwrap();
    fs::write(&pipe, bytes).unwrap();
    let (reader, totals) = totals(&folder.path("a"));
    let written = totals.allocations;
    assert!(summary.dropped > 10_000, "{summary:?}");
    assert!(
        written >= 1 << 20 && written + summary.dropped >= 40_000 + rounds,
        "{written}"
    );
    assert!(totals.allocations - totals.frees < 10);
    let dropped = reader.properties().get("dropped").unwrap();
    assert_eq!(dropped.trim_end(), format!("{} blocks", summary.dropped));
}

fn the_files_are_at_most_a_second_behind() {
    let folder = Folder::new();
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        let recording = folder.everything("a");
        let begun = Instant::now();
        for _ in 0..2 {
            scope.spawn(|| {
                while !done.load(Ordering::Relaxed) {
                    drop(black_box(vec![0_u8; 100]));
                }
            });
        }
        for _ in 0..8 {
            thread::sleep(Duration::from_millis(250));
            let reader = Reader::open(folder.path("a")).unwrap();
            let now = begun.elapsed();
            let behind = now.saturating_sub(reader.elapsed().unwrap().into());
            assert!(behind < Duration::from_secs(1), "{behind:?} of {now:?}");
        }
        done.store(true, Ordering::Relaxed);
        recording.finish().unwrap();
    });
    totals(&folder.path("a"));
}

/// One test at a time, and nothing beside it: the events are counted.
fn main() {
    macro_rules! trials {
        ($($test:ident)*) => {
            vec![$(Trial::test(stringify!($test), || {
                $test();
                Ok(())
            })),*]
        };
    }
    let trials = trials! {
        a_recording_has_what_was_allocated_while_it_ran
        frees_of_an_earlier_recording_are_not_in_a_later_one
        rotation_loses_nothing_and_carries_what_is_live_over
        one_recording_at_a_time_and_into_files_of_nobody_else
        a_stack_that_is_too_deep_is_cut_and_says_so
        what_threads_do_while_recordings_come_and_go_is_consistent
        a_full_disk_ends_the_recording_and_not_the_program
        a_folder_can_be_removed
        blocks_are_dropped_whole_when_the_writer_cannot_follow
        the_files_are_at_most_a_second_behind
    };
    let mut arguments = Arguments::from_args();
    arguments.test_threads = Some(1);
    libtest_mimic::run(&arguments, trials).exit();
}

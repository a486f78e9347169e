//! However a process ends, forks or fails, it is not disturbed, and what it recorded is whole.
//!
//! Each case is a program of its own: this one, started again with the name of the case. Set `HEAPPROF_LONG=1` to run
//! each 200 times.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::{Cell, RefCell};
use std::env;
use std::ffi::c_int;
use std::hint::black_box;
use std::ops::ControlFlow;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{self, Command, Output, Stdio};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use heapprof::query::{AppliedEvent, LiveHeap, Query, QueryEnd};
use heapprof::{Reader, TraceTable};
use heapprof_recorder::{Allocator, Error, Recorder, Recording};
use libtest_mimic::{Arguments, Failed, Trial};

#[global_allocator]
static ALLOCATOR: Allocator<Inner> = Allocator::over(Inner);

/// The allocator of the system. It gives nothing over a gigabyte. In a signal handler, where that of the system must not
/// be called, it gives a piece of its own and frees nothing.
struct Inner;

/// As much as any block is aligned to.
#[repr(align(16))]
struct Piece(#[expect(dead_code, reason = "it is memory")] [AtomicU64; 2]);

thread_local! {
    static IS_IN_HANDLER: Cell<bool> = const { Cell::new(false) };
}

static PIECES: [Piece; 1 << 21] = [const { Piece([const { AtomicU64::new(0) }; 2]) }; 1 << 21];
static USED: AtomicUsize = AtomicUsize::new(0);

impl Inner {
    fn is_piece(block: *mut u8) -> bool {
        let start = PIECES.as_ptr().addr();
        (start..start + size_of_val(&PIECES)).contains(&block.addr())
    }
}

// SAFETY: the calls are passed on, or a part of a static is given that nobody else has or ever had.
unsafe impl GlobalAlloc for Inner {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        if layout.size() > 1 << 30 {
            return std::ptr::null_mut();
        }
        if IS_IN_HANDLER.get() && layout.align() <= 16 {
            let count = layout.size().div_ceil(16);
            let at = USED.fetch_add(count, Ordering::Relaxed);
            let pieces = PIECES.get(at..at + count);
            return pieces.map_or(std::ptr::null_mut(), |pieces| {
                pieces.as_ptr().cast_mut().cast()
            });
        }
        // SAFETY: the caller's promises are those that are asked for.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        if !Self::is_piece(block) && !IS_IN_HANDLER.get() {
            // SAFETY: as above.
            unsafe { System.dealloc(block, layout) }
        }
    }
}

// --- The programs ---

/// What each allocates that stays.
#[inline(never)]
#[expect(clippy::vec_box, reason = "many blocks")]
fn kept() -> Vec<Box<[u8; 1000]>> {
    let mut blocks = Vec::with_capacity(200);
    blocks.extend((0..200).map(|_| Box::new([1; 1000])));
    black_box(blocks)
}

const KEPT: i64 = 200 * 1000 + 200 * 8;

fn everything(filebase: &Path) -> Recording {
    Recorder::new(filebase).everything().start().unwrap()
}

/// Threads that allocate and free for ever.
fn busy_threads() {
    for seed in 0..3 {
        thread::spawn(move || {
            let mut random = fastrand::Rng::with_seed(seed);
            let mut blocks = vec![Vec::new(); 100];
            loop {
                blocks[random.usize(..100)] = vec![0_u8; random.usize(1..3000)];
            }
        });
    }
}

/// Runs in the child of a fork; then it is gone. Gives the child's process id.
fn fork(child: impl FnOnce() -> c_int) -> c_int {
    // SAFETY: what the child does needs no lock of this process but that of the allocator, which the C library keeps
    // usable.
    match unsafe { libc::fork() } {
        0 => {
            let status = child();
            process::exit(status)
        }
        id => {
            assert!(id > 0);
            id
        }
    }
}

/// The exit status of a child, which has five seconds.
fn wait(id: c_int) -> c_int {
    let begun = Instant::now();
    loop {
        let mut status = 0;
        // SAFETY: the status is there to be written.
        let waited = unsafe { libc::waitpid(id, &raw mut status, libc::WNOHANG) };
        if waited == id {
            return libc::WEXITSTATUS(status);
        }
        if begun.elapsed() > Duration::from_secs(5) {
            // SAFETY: the child is ours.
            unsafe { libc::kill(id, libc::SIGKILL) };
            panic!("a child hangs");
        }
        thread::sleep(Duration::from_millis(1));
    }
}

/// Allocates and frees as a child does that knows nothing of its parent's recording.
fn live_as_a_child() {
    for size in 1..500 {
        drop(black_box(vec![0_u8; size]));
    }
}

struct Last(Vec<u8>);

impl Drop for Last {
    fn drop(&mut self) {
        // This allocates while the thread's variables go.
        self.0 = kept()
            .iter()
            .flat_map(|block| block.iter().copied())
            .collect();
    }
}

thread_local! {
    static LAST: RefCell<Option<Last>> = const { RefCell::new(None) };
}

struct PanicsAgain;

impl Drop for PanicsAgain {
    fn drop(&mut self) {
        panic!("again");
    }
}

extern "C" fn allocate_in_a_handler(_: c_int) {
    IS_IN_HANDLER.set(true);
    for size in [1, 8, 100, 500] {
        drop(black_box(vec![0_u8; size]));
    }
    IS_IN_HANDLER.set(false);
}

fn program(case: &str, filebase: &Path) {
    match case {
        "returns" => returns(filebase),
        "drops the recording" => drops_the_recording(filebase),
        "exits" | "exits from another thread" => exits(case, filebase),
        "_exits" | "is killed" | "aborts" => ends_without_exit(case, filebase),
        "panics" => panics(filebase),
        "panics twice" => panics_twice(filebase),
        "panics and goes on" => panics_and_goes_on(filebase),
        "forks" | "forks while threads are busy" => forks(case, filebase),
        "spawns" => spawns(filebase),
        "becomes a daemon and is recorded then" | "was recorded and becomes a daemon" => {
            becomes_a_daemon(case, filebase);
        }
        "ends threads" => ends_threads(filebase),
        "handles signals that allocate" => handles_signals(filebase),
        "runs out of memory" => runs_out_of_memory(filebase),
        "looks up symbols itself" => looks_up_symbols(filebase),
        "is told by its environment" => is_told(),
        other => panic!("{other}"),
    }
}

fn returns(filebase: &Path) {
    let recording = everything(filebase);
    let _kept = black_box(kept());
    recording.finish().unwrap();
}

fn drops_the_recording(filebase: &Path) {
    let _recording = everything(filebase);
    kept().leak();
}

fn exits(case: &str, filebase: &Path) {
    let recording = everything(filebase);
    let blocks = kept();
    busy_threads();
    thread::sleep(Duration::from_millis(20));
    let end = move || {
        let _ = (&recording, &blocks);
        process::exit(3)
    };
    if case == "exits" {
        end();
    }
    thread::spawn(end).join().unwrap();
}

fn ends_without_exit(case: &str, filebase: &Path) {
    let _recording = everything(filebase);
    let _kept = kept();
    busy_threads();
    // What is older than a second is on disk.
    thread::sleep(Duration::from_secs(1));
    // SAFETY: these end the process.
    unsafe {
        match case {
            "_exits" => libc::_exit(3),
            "aborts" => process::abort(),
            _ => libc::raise(libc::SIGKILL),
        };
    }
}

fn panics(filebase: &Path) {
    let _recording = everything(filebase);
    let _kept = kept();
    panic!("with a backtrace");
}

fn panics_twice(filebase: &Path) {
    let _recording = everything(filebase);
    let _kept = kept();
    let _again = PanicsAgain;
    panic!("once");
}

fn panics_and_goes_on(filebase: &Path) {
    let recording = everything(filebase);
    let _kept = kept();
    for _ in 0..3 {
        let thread = thread::spawn(|| panic!("in a thread"));
        assert!(thread.join().is_err());
    }
    recording.finish().unwrap();
}

fn forks(case: &str, filebase: &Path) {
    let recording = everything(filebase);
    let _kept = kept();
    if case != "forks" {
        busy_threads();
    }
    let mut recording = Some(recording);
    for _ in 0..10 {
        let child = fork(|| {
            live_as_a_child();
            let begun = Instant::now();
            let result = recording.take().unwrap().finish();
            let is_right = matches!(result, Err(Error::Forked));
            c_int::from(is_right && begun.elapsed() < Duration::from_millis(500))
        });
        assert_eq!(wait(child), 1);
    }
    // A child that drops the recording, and one whose thread panics.
    assert_eq!(
        wait(fork(|| {
            drop(recording.take());
            7
        })),
        7
    );
    assert_eq!(
        wait(fork(|| {
            let panicked = thread::spawn(|| panic!("in a child")).join();
            c_int::from(panicked.is_err())
        })),
        1
    );
    recording.unwrap().finish().unwrap();
}

fn spawns(filebase: &Path) {
    let recording = everything(filebase);
    let _kept = kept();
    busy_threads();
    for _ in 0..10 {
        // Without a closure this need not fork; with one it does.
        assert!(Command::new("true").status().unwrap().success());
        let mut command = Command::new("true");
        // SAFETY: the closure allocates, which the C library allows.
        unsafe {
            command.pre_exec(|| {
                live_as_a_child();
                Ok(())
            });
        }
        assert!(command.status().unwrap().success());
    }
    recording.finish().unwrap();
}

fn becomes_a_daemon(case: &str, filebase: &Path) {
    let before = (case == "was recorded and becomes a daemon").then(|| {
        let mut other = filebase.to_owned();
        other.set_extension("before");
        everything(&other)
    });
    let child = fork(|| {
        // SAFETY: it makes a session.
        unsafe { libc::setsid() };
        let grandchild = fork(|| {
            let recording = everything(filebase);
            let kept = kept();
            recording.finish().unwrap();
            drop(kept);
            0
        });
        wait(grandchild)
    });
    assert_eq!(wait(child), 0);
    drop(before);
}

fn ends_threads(filebase: &Path) {
    let recording = everything(filebase);
    for _ in 0..5 {
        let threads = (0..4).map(|_| thread::spawn(|| LAST.set(Some(Last(Vec::new())))));
        threads
            .collect::<Vec<_>>()
            .into_iter()
            .for_each(|thread| thread.join().unwrap());
    }
    let _kept = black_box(kept());
    recording.finish().unwrap();
}

fn handles_signals(filebase: &Path) {
    let recording = everything(filebase);
    // SAFETY: the handler is made for it.
    unsafe {
        let handler = allocate_in_a_handler as extern "C" fn(c_int);
        libc::signal(libc::SIGALRM, handler as libc::sighandler_t);
        let often = libc::timeval {
            tv_sec: 0,
            tv_usec: 200,
        };
        let timer = libc::itimerval {
            it_interval: often,
            it_value: often,
        };
        libc::setitimer(libc::ITIMER_REAL, &raw const timer, std::ptr::null_mut());
    }
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_millis(300) {
        live_as_a_child();
    }
    let _kept = black_box(kept());
    recording.finish().unwrap();
}

fn runs_out_of_memory(filebase: &Path) {
    let recording = everything(filebase);
    let mut blocks: Vec<u8> = vec![1; 1000];
    assert!(blocks.try_reserve_exact(1 << 31).is_err());
    assert!(Vec::<u8>::new().try_reserve_exact(1 << 31).is_err());
    drop(blocks);
    let _kept = black_box(kept());
    recording.finish().unwrap();
}

fn looks_up_symbols(filebase: &Path) {
    let recording = everything(filebase);
    let _kept = kept();
    let threads = (0..4).map(|_| {
        thread::spawn(|| {
            for _ in 0..5 {
                let trace = std::backtrace::Backtrace::force_capture();
                assert!(format!("{trace}").contains("process_ends"));
            }
        })
    });
    threads
        .collect::<Vec<_>>()
        .into_iter()
        .for_each(|thread| thread.join().unwrap());
    recording.finish().unwrap();
}

fn is_told() {
    black_box(kept()).leak();
}

// --- What must be there afterwards ---

/// What the events of a log add up to.
#[derive(Default)]
struct Totals {
    lowest: i64,
    without_trace: u64,
    highest: i64,
}

impl Query for Totals {
    type Output = Self;

    fn observe(&mut self, applied: &AppliedEvent, _: &LiveHeap) -> ControlFlow<()> {
        self.lowest = self.lowest.min(applied.trace_after);
        self.highest = self.highest.max(applied.total);
        self.without_trace += u64::from(applied.event.trace.is_none());
        ControlFlow::Continue(())
    }

    fn finish(self, _: &QueryEnd<'_>) -> Self {
        self
    }
}

/// Checks that a log is consistent; gives what [`kept`] has at the end, and the highest total.
fn consistent(filebase: &Path) -> (i64, i64) {
    let reader = Reader::open(filebase).unwrap();
    let totals = reader.ask(Totals::default()).unwrap();
    assert_eq!((totals.lowest, totals.without_trace), (0, 0));
    for error in reader.damage().unwrap() {
        assert_eq!(error.kind(), heapprof::raw::DecodeErrorKind::Cut);
    }
    let traces: &TraceTable = reader.traces().unwrap();
    let is_kept = |id| {
        let frames = traces
            .trace(id)
            .into_iter()
            .flat_map(heapprof::Trace::frames);
        { frames }.any(|frame| frame.function.is_some_and(|name| name.ends_with("kept")))
    };
    let end = reader.live_at_end().unwrap();
    (
        end.filter(|id, _| id.is_some_and(is_kept)).total(),
        totals.highest,
    )
}

/// Runs a program, which has half a minute.
fn run(command: &mut Command) -> Output {
    let mut child = command
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let begun = Instant::now();
    while child.try_wait().unwrap().is_none() {
        if begun.elapsed() > Duration::from_secs(30) {
            child.kill().unwrap();
            let output = child.wait_with_output().unwrap();
            panic!("it hangs: {}", String::from_utf8_lossy(&output.stderr));
        }
        thread::sleep(Duration::from_millis(2));
    }
    child.wait_with_output().unwrap()
}

fn this_program(case: &str, filebase: &Path) -> Command {
    let mut command = Command::new(env::current_exe().unwrap());
    command.arg("--program").arg(case).arg(filebase);
    command
        .env_remove("HEAPPROF_RECORD")
        .env("RUST_BACKTRACE", "full");
    command
}

/// Runs a case once and checks what it leaves.
fn check(case: &str, end: &End, live: i64) {
    let folder = tempfile::tempdir().unwrap();
    let filebase = folder.path().join("run");
    let output = run(&mut this_program(case, &filebase));
    let stderr = String::from_utf8_lossy(&output.stderr);
    let expected = match *end {
        End::Status(status) => (Some(status), None),
        End::Signal(signal) => (None, Some(signal)),
    };
    let ended = (output.status.code(), output.status.signal());
    assert_eq!(ended, expected, "{stderr}");
    let (found, highest) = consistent(&filebase);
    assert_eq!(found, live, "{stderr}");
    if case.starts_with("panics") {
        assert!(stderr.contains("stack backtrace:"), "{stderr}");
        // Not that of the backtrace.
        assert!(highest < 2_000_000, "{highest}");
    }
}

fn told_by_the_environment() {
    let folder = tempfile::tempdir().unwrap();
    let filebase = folder.path().join("run");
    let case = "is told by its environment";
    let told = |name: &str| {
        let mut command = this_program(case, &filebase);
        command
            .env("HEAPPROF_RECORD", folder.path().join(name))
            .env("HEAPPROF_EVERY_BYTES", "1");
        command
    };
    let output = run(&mut told("run"));
    assert!(output.status.success() && output.stderr.is_empty());
    assert_eq!(consistent(&filebase).0, KEPT);

    // While somebody else has the files.
    let held = std::fs::File::options()
        .write(true)
        .open(filebase.with_extension("hpm"))
        .unwrap();
    held.lock().unwrap();
    let before = std::fs::read(filebase.with_extension("hpd")).unwrap();
    let output = run(&mut told("run"));
    assert!(output.status.success() && output.stderr.is_empty());
    assert_eq!(
        std::fs::read(filebase.with_extension("hpd")).unwrap(),
        before
    );
    let entries = std::fs::read_dir(folder.path()).unwrap();
    let others = entries.map(|entry| entry.unwrap().path()).filter(|path| {
        path.extension().is_some_and(|it| it == "hpd") && path.file_stem().unwrap() != "run"
    });
    let others: Vec<PathBuf> = others.map(|path| path.with_extension("")).collect();
    assert_eq!(others.len(), 1);
    assert_eq!(consistent(&others[0]).0, KEPT);

    // What cannot be is said, and the program runs.
    for (command, said) in [
        (&mut told("none/run"), "none/run.hpm: No such file"),
        (
            told("x").env("HEAPPROF_EVERY_BYTES", "many"),
            "HEAPPROF_EVERY_BYTES is \"many\" and not a number",
        ),
    ] {
        let output = run(command);
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert!(
            output.status.success() && stderr.lines().count() == 1,
            "{stderr}"
        );
        assert!(
            stderr.contains("this program is not recorded: ") && stderr.contains(said),
            "{stderr}"
        );
    }
}

/// Without symbols, addresses are kept, and found again in the program that has symbols.
fn stripped() {
    let folder = tempfile::tempdir().unwrap();
    let (filebase, found) = (folder.path().join("run"), folder.path().join("found"));
    let (whole, stripped) = (env::current_exe().unwrap(), folder.path().join("stripped"));
    let strip = Command::new("strip")
        .arg("-o")
        .arg(&stripped)
        .arg(&whole)
        .status();
    assert!(strip.unwrap().success());
    let mut command = Command::new(&stripped);
    let output = run(command.args(["--program", "returns"]).arg(&filebase));
    assert!(output.status.success());
    let reader = Reader::open(&filebase).unwrap();
    let property = |key| reader.properties().get(key).unwrap().trim_end().to_owned();
    assert!(property("warning").starts_with("most addresses have no symbol"));
    assert!(property("unknown").ends_with(" addresses have no symbol"));
    assert!(
        property("build-ids").starts_with("stripped="),
        "{}",
        property("build-ids")
    );
    let traces = reader.traces().unwrap();
    let mut frames = traces.iter().flat_map(|(_, trace)| trace.frames());
    assert!(frames.any(|frame| frame.file.starts_with("stripped+0x")));
    assert_eq!(consistent(&filebase).0, 0);

    let symbolize = whole.with_file_name("../examples/symbolize");
    let output = run(Command::new(symbolize)
        .arg(&filebase)
        .arg(&found)
        .arg(&whole));
    assert!(output.status.success(), "{output:?}");
    assert_eq!(consistent(&found).0, KEPT);
    let live = |filebase: &Path| {
        Reader::open(filebase)
            .unwrap()
            .live_at_end()
            .unwrap()
            .total()
    };
    assert_eq!(live(&found), live(&filebase));
}

/// How a program ends.
enum End {
    Status(c_int),
    Signal(c_int),
}

fn main() {
    let arguments: Vec<_> = env::args_os().collect();
    if arguments
        .get(1)
        .is_some_and(|argument| argument == "--program")
    {
        return program(arguments[2].to_str().unwrap(), Path::new(&arguments[3]));
    }
    // The cases, how each ends, and what of its blocks is live at the end of the log.
    let cases = [
        ("returns", End::Status(0), KEPT),
        ("drops the recording", End::Status(0), KEPT),
        ("exits", End::Status(3), KEPT),
        ("exits from another thread", End::Status(3), KEPT),
        ("_exits", End::Status(3), KEPT),
        ("is killed", End::Signal(libc::SIGKILL), KEPT),
        ("aborts", End::Signal(libc::SIGABRT), KEPT),
        ("panics", End::Status(101), 0),
        ("panics twice", End::Signal(libc::SIGABRT), KEPT),
        ("panics and goes on", End::Status(0), KEPT),
        ("forks", End::Status(0), KEPT),
        ("forks while threads are busy", End::Status(0), KEPT),
        ("spawns", End::Status(0), KEPT),
        (
            "becomes a daemon and is recorded then",
            End::Status(0),
            KEPT,
        ),
        ("was recorded and becomes a daemon", End::Status(0), KEPT),
        ("ends threads", End::Status(0), KEPT),
        ("handles signals that allocate", End::Status(0), KEPT),
        ("runs out of memory", End::Status(0), KEPT),
        ("looks up symbols itself", End::Status(0), KEPT),
    ];
    let rounds = if env::var_os("HEAPPROF_LONG").is_some() {
        200
    } else {
        2
    };
    let repeated = |test: Box<dyn Fn() + Send>| {
        move || -> Result<(), Failed> {
            (0..rounds).for_each(|_| test());
            Ok(())
        }
    };
    let trial = |(case, end, live): (&'static str, End, i64)| {
        Trial::test(case, repeated(Box::new(move || check(case, &end, live))))
    };
    let mut trials: Vec<_> = cases.into_iter().map(trial).collect();
    let told = repeated(Box::new(told_by_the_environment));
    trials.push(Trial::test("is told by its environment", told));
    trials.push(Trial::test("is stripped", repeated(Box::new(stripped))));
    libtest_mimic::run(&Arguments::from_args(), trials).exit();
}

//! What recording costs: a program like a server, and one that only allocates, under several tools, in turns.
//!
//! ```text
//! cargo run --release --manifest-path crates/recorder/overhead/Cargo.toml
//! ```
//!
//! It runs itself with the name of a tool in `TOOL`. heaptrack is run if it is installed.

use std::alloc::{GlobalAlloc, Layout, System};
use std::collections::HashMap;
use std::ffi::CStr;
use std::hint::black_box;
use std::process::Command;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Instant;
use std::{env, mem, thread};

use heapprof_recorder::{Allocator, Recorder};
use serde_json::Value;

/// The tools, how they are called in the table, and how often the work is done: where it is cheap, often enough that
/// looking up the first symbols does not count.
const TOOLS: [(&str, &str, u32); 8] = [
    ("nothing", "the allocator of the system", 40),
    ("off", "heapprof-recorder, compiled in and off", 40),
    (
        "sampled",
        "heapprof-recorder, one byte in 512 KiB (the default)",
        40,
    ),
    ("everything", "heapprof-recorder, everything", 1),
    ("jemalloc", "jemalloc", 40),
    (
        "jemalloc-sampled",
        "jemalloc, its profiler at one byte in 512 KiB",
        40,
    ),
    ("dhat", "dhat", 1),
    ("heaptrack", "heaptrack", 1),
];

/// The programs: a server, the same with nothing to do but allocate and parse, and a loop that allocates and frees.
const WORKS: [&str; 3] = ["server", "parser", "allocations"];

static RECORDER: Allocator = Allocator::system();
static DHAT: dhat::Alloc = dhat::Alloc;
static JEMALLOC: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// The allocator of the tool that `TOOL` names.
struct Chosen;

#[global_allocator]
static CHOSEN: Chosen = Chosen;

/// 0 is the system, 1 the recorder, 2 dhat, 3 jemalloc; 255 before it was asked for.
static CHOICE: AtomicU8 = AtomicU8::new(255);

#[cold]
fn choose() -> u8 {
    // SAFETY: the environment is not changed, and a value ends with a zero. Nothing is allocated.
    let tool = unsafe {
        let tool = libc::getenv(c"TOOL".as_ptr());
        if tool.is_null() {
            c""
        } else {
            CStr::from_ptr(tool)
        }
    };
    let choice = match tool.to_bytes() {
        b"off" | b"sampled" | b"everything" => 1,
        b"dhat" => 2,
        b"jemalloc" | b"jemalloc-sampled" => 3,
        _ => 0,
    };
    CHOICE.store(choice, Ordering::Relaxed);
    choice
}

#[inline]
fn choice() -> u8 {
    match CHOICE.load(Ordering::Relaxed) {
        255 => choose(),
        choice => choice,
    }
}

macro_rules! chosen {
    ($method:ident($($argument:expr),*)) => {
        // SAFETY: the caller's promises are those that are asked for.
        unsafe {
            match choice() {
                1 => RECORDER.$method($($argument),*),
                2 => DHAT.$method($($argument),*),
                3 => JEMALLOC.$method($($argument),*),
                _ => System.$method($($argument),*),
            }
        }
    };
}

// SAFETY: all calls go to the one allocator that was chosen at the first.
unsafe impl GlobalAlloc for Chosen {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        chosen!(alloc(layout))
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        chosen!(alloc_zeroed(layout))
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        chosen!(dealloc(block, layout));
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        chosen!(realloc(block, layout, size))
    }
}

/// Two threads parse requests, look into a map that is sorted out now and then, and write answers: 3 million blocks.
/// With `checks` of each request, which allocate nothing, it takes longer: 480 make it a million blocks a second.
fn server(checks: u32) {
    let thread = |number: u64| {
        let mut sessions: HashMap<String, Vec<Value>> = HashMap::new();
        let mut sent = 0;
        for request in 0..60_000 {
            let user = (request * 7 + number) % 500;
            let items: Vec<String> = (0..request % 20).map(|item| item.to_string()).collect();
            let body = format!(
                r#"{{"user":"user {user}","path":"/orders","items":[{}]}}"#,
                items.join(",")
            );
            let Ok(parsed) = serde_json::from_str::<Value>(&body) else {
                continue;
            };
            let history = sessions.entry(parsed["user"].to_string()).or_default();
            history.push(parsed);
            if history.len() > 20 {
                history.clear();
            }
            sent += serde_json::to_string(&history.last()).map_or(0, |answer| answer.len());
            for _ in 0..checks {
                let sum =
                    |sum: u64, byte| black_box(sum.wrapping_mul(31).wrapping_add(u64::from(byte)));
                black_box(body.bytes().fold(0, sum));
            }
        }
        black_box(sent);
    };
    thread::scope(|scope| {
        scope.spawn(|| thread(0));
        scope.spawn(|| thread(1));
    });
}

fn allocations() {
    for size in 0..2_000_000 {
        drop(black_box(Vec::<u8>::with_capacity(16 + size % 128)));
    }
}

fn work(name: &str) {
    match name {
        "server" => server(480),
        "parser" => server(0),
        _ => allocations(),
    }
}

/// Does the work under a tool; prints how long it took, in seconds, without the end of the recording.
fn child(tool: &str, name: &str) {
    let folder = tempfile::tempdir().expect("a folder");
    let recorder = Recorder::new(folder.path().join("run"));
    let recording = match tool {
        "sampled" => Some(recorder.start().expect("it starts")),
        "everything" => Some(recorder.everything().start().expect("it starts")),
        _ => None,
    };
    let dhat = (tool == "dhat").then(|| {
        dhat::Profiler::builder()
            .file_name(folder.path().join("dhat"))
            .build()
    });
    let begun = Instant::now();
    let times = TOOLS.iter().find(|(name, ..)| *name == tool);
    let times = times.map_or(1, |&(.., times)| times);
    // The server takes longer.
    let times = if name == "server" {
        times.div_ceil(20)
    } else {
        times
    };
    for _ in 0..times {
        work(name);
    }
    let took = begun.elapsed() / times;
    if let Some(recording) = recording {
        let summary = recording.finish().expect("it ends");
        eprintln!("{tool} {name}: {summary:?}");
    }
    mem::forget(dhat);
    println!("{}", took.as_secs_f64());
}

/// The time that a tool takes, once; `None` if it is not installed.
fn time(tool: &str, name: &str) -> Option<f64> {
    let program = env::current_exe().ok()?;
    let folder = tempfile::tempdir().ok()?;
    let mut command = if tool == "heaptrack" {
        let mut command = Command::new("heaptrack");
        command
            .arg("-o")
            .arg(folder.path().join("run"))
            .arg(program);
        command
    } else {
        Command::new(program)
    };
    command.env("TOOL", tool).arg(name);
    if tool == "jemalloc-sampled" {
        command.env("_RJEM_MALLOC_CONF", "prof:true,lg_prof_sample:19");
    }
    let output = command.output().ok()?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    text.lines().find_map(|line| line.parse().ok())
}

fn main() {
    if let (Ok(tool), Some(name)) = (env::var("TOOL"), env::args().nth(1)) {
        return child(&tool, &name);
    }
    let rounds = env::args()
        .nth(1)
        .and_then(|it| it.parse().ok())
        .unwrap_or(5);
    println!("| | {} |\n| --- | --- | --- | --- |", WORKS.join(" | "));
    let mut times = vec![[const { Vec::new() }; WORKS.len()]; TOOLS.len()];
    for _ in 0..rounds {
        for (times, (tool, ..)) in times.iter_mut().zip(TOOLS) {
            for (times, name) in times.iter_mut().zip(WORKS) {
                times.extend(time(tool, name));
            }
        }
    }
    let median = |times: &mut Vec<f64>| {
        times.sort_by(f64::total_cmp);
        times.get(times.len() / 2).copied()
    };
    let mut base = [None; WORKS.len()];
    for (times, (_, called, _)) in times.iter_mut().zip(TOOLS) {
        let mut row = format!("| {called} |");
        for (times, base) in times.iter_mut().zip(&mut base) {
            match median(times) {
                Some(time) => {
                    let base = *base.get_or_insert(time);
                    row += &format!(" {:.0} ms, × {:.2} |", time * 1000.0, time / base);
                }
                None => row += " |",
            }
        }
        println!("{row}");
    }
}

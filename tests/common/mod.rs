//! What several tests need: recordings, the examples as programs, and profiles made in memory.

#![allow(dead_code, reason = "no test needs all of it")]

pub(crate) mod output;
pub(crate) mod public_api;
pub(crate) mod sampling;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::OnceLock;

use heapprof::EventKind;
use heapprof::raw::{EventWriter, TraceWriterV1};
use heapprof::{Reader, SamplingRates, StartTime, TraceId, WallOffset};

pub(crate) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The manifest as it was written: a package that was published has another in its place.
pub(crate) fn manifest() -> String {
    let written = fs::read_to_string(root().join("Cargo.toml.orig"));
    written.unwrap_or_else(|_| fs::read_to_string(root().join("Cargo.toml")).unwrap())
}

/// The recordings that come with answers of heapprof 1.0.
pub(crate) const WITH_ANSWERS: [&str; 16] = [
    "forked",
    "huge",
    "huge_corrupt",
    "killed",
    "killed_hpm",
    "loss",
    "negtime",
    "onelive",
    "real_docutils",
    "realloc",
    "recursion",
    "spike",
    "surrogate",
    "threads",
    "tiny",
    "unicode",
];

/// All files in a folder and in those below it.
pub(crate) fn files_below(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                files.push(path);
            }
        }
    }
    files
}

/// The filebase of a recording: the copy in `tests/data`, else the one beside the project; `None`,
/// and a word on it, if there is neither.
pub(crate) fn recording(name: &str) -> Option<PathBuf> {
    let base = Path::new(name).file_name().unwrap();
    let found = ["tests/data", "examples", "../shared/recordings"]
        .into_iter()
        .flat_map(|folder| {
            let folder = root().join(folder);
            [
                folder.join(name).join(base),
                folder.join(name),
                folder.join("data").join(name),
            ]
        })
        .find(|filebase| {
            filebase.with_extension("hpm").is_file() && filebase.with_extension("hpd").is_file()
        });
    if found.is_none() {
        eprintln!("skipped: the recording {name} is not here");
    }
    found
}

/// A file of the shared material beside the project; `None`, and a word on it, if it is not there.
pub(crate) fn shared(path: &str) -> Option<PathBuf> {
    let path = root().join("../shared").join(path);
    if path.exists() {
        Some(path)
    } else {
        eprintln!("skipped: {} is not here", path.display());
        None
    }
}

/// The program of an example.
///
/// `cargo test` builds the examples, but `cargo test --test NAME` does not, and would run old ones:
/// so Cargo is asked once more, in the same profile.
pub(crate) fn program(name: &str) -> PathBuf {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    let examples = BUILT.get_or_init(|| {
        // TARGET/PROFILE/deps/test
        let tests = std::env::current_exe().unwrap();
        let profile = tests.ancestors().nth(2).unwrap();
        let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or("cargo".into()));
        cargo.args(["build", "--quiet", "--examples", "--manifest-path"]);
        cargo.arg(root().join("Cargo.toml"));
        cargo.arg("--target-dir").arg(profile.parent().unwrap());
        match profile.file_name().unwrap().to_str() {
            Some("debug") => &mut cargo,
            Some(name) => cargo.args(["--profile", name]),
            None => unreachable!("profiles have names"),
        };
        assert!(cargo.status().unwrap().success());
        profile.join("examples")
    });
    examples
        .join(name)
        .with_extension(std::env::consts::EXE_EXTENSION)
}

/// Runs an example in the project's folder.
pub(crate) fn example(name: &str, args: &[&str]) -> Output {
    Command::new(program(name))
        .args(args)
        .current_dir(root())
        .output()
        .unwrap()
}

/// A profile made in memory.
pub(crate) struct Profile {
    start: StartTime,
    traces: TraceWriterV1<Vec<u8>>,
    events: EventWriter<Vec<u8>>,
}

impl Default for Profile {
    fn default() -> Self {
        Self::sampled(&SamplingRates::unsampled())
    }
}

impl Profile {
    pub(crate) fn sampled(rates: &SamplingRates) -> Self {
        let start = StartTime::new(1_700_000_000, 5);
        Self {
            start,
            traces: TraceWriterV1::new(Vec::new(), start, rates).unwrap(),
            events: EventWriter::new(Vec::new()),
        }
    }

    /// Adds a trace: `file:line`s, outermost first.
    pub(crate) fn trace(&mut self, frames: &[(&str, u32)]) -> TraceId {
        let frames = frames.iter().copied();
        self.traces.write_outermost_first(frames).unwrap()
    }

    /// So many traces, each a line of its own.
    pub(crate) fn traces(mut self, count: u32) -> Self {
        for line in 1..=count {
            self.trace(&[("main.py", 1), ("work.py", line)]);
        }
        self
    }

    /// An allocation, if `bytes` is not negative, or a free.
    pub(crate) fn event(&mut self, micros: i64, trace: u32, bytes: i64) {
        let kind = if bytes < 0 {
            EventKind::Free
        } else {
            EventKind::Allocation
        };
        let wall = WallOffset::from_micros(micros);
        self.events
            .write(wall, TraceId::new(trace), bytes.unsigned_abs(), kind)
            .unwrap();
    }

    /// Any event, a free of size 0 among them.
    pub(crate) fn raw_event(&mut self, micros: i64, trace: u32, size: u64, kind: EventKind) {
        let wall = WallOffset::from_micros(micros);
        self.events
            .write(wall, TraceId::new(trace), size, kind)
            .unwrap();
    }

    pub(crate) fn with_events(mut self, events: &[(i64, u32, i64)]) -> Self {
        for &(micros, trace, bytes) in events {
            self.event(micros, trace, bytes);
        }
        self
    }

    pub(crate) fn start(&self) -> StartTime {
        self.start
    }

    /// The bytes of `.hpm` and of `.hpd`.
    pub(crate) fn into_bytes(self) -> (Vec<u8>, Vec<u8>) {
        (self.traces.into_inner(), self.events.into_inner())
    }

    pub(crate) fn reader(self) -> Reader {
        let (hpm, hpd) = self.into_bytes();
        Reader::from_bytes(hpm, hpd, None).unwrap()
    }

    /// Writes both files, and gives the filebase.
    pub(crate) fn save(self, folder: &Path) -> PathBuf {
        let (hpm, hpd) = self.into_bytes();
        std::fs::write(folder.join("run.hpm"), hpm).unwrap();
        std::fs::write(folder.join("run.hpd"), hpd).unwrap();
        folder.join("run")
    }
}

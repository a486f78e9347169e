//! Size of the traces of a recording, and time until their table is ready: version 1 beside version 2.
//!
//! ```text
//! cargo bench --bench versions [-- FILEBASE]     # a recording with traces of version 1; else a generated one
//! ```
//!
//! It times `Reader::open` and `Reader::traces`. *From memory*: the file is in the system's page cache; median of 21 runs.
//! *From the disk*: each run first evicts the file from the page cache; median of 7 runs.

mod common;

use std::fs::{self, File};
use std::hint::black_box;
use std::path::Path;
use std::time::Instant;

use common::Profile;
use common::rounds::median;
use heapprof::Reader;
use heapprof::raw::{TraceLog, TraceNode, TraceWriter};
use rustix::fs::{Advice, fadvise};

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let filebase = args.iter().find(|arg| !arg.starts_with('-'));
    let profile = Profile::new(filebase.map(Path::new), 1000);
    let log = TraceLog::new(&profile.hpm).unwrap();
    assert_eq!(log.version(), 1, "a file of version 1 is needed");
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let versions = [
        ("version 1", profile.hpm.clone()),
        ("version 2", compact(&log)),
    ];
    println!("{} traces", log.count());
    println!(
        "{:10} {:>12} {:>14} {:>14}",
        "", "bytes", "from memory", "from the disk"
    );
    for (name, bytes) in versions {
        let filebase = folder.path().join(name);
        fs::write(filebase.with_extension("hpm"), &bytes).unwrap();
        fs::write(filebase.with_extension("hpd"), []).unwrap();
        File::open(filebase.with_extension("hpm"))
            .unwrap()
            .sync_all()
            .unwrap();
        let warm = times(21, || ready(&filebase));
        let cold = times(7, || {
            let file = File::open(filebase.with_extension("hpm")).unwrap();
            fadvise(&file, 0, None, Advice::DontNeed).unwrap();
            ready(&filebase)
        });
        println!(
            "{name:10} {:>12} {warm:>11.2} ms {cold:>11.2} ms",
            bytes.len()
        );
    }
}

/// The seconds until the table of a profile is ready.
fn ready(filebase: &Path) -> f64 {
    let begin = Instant::now();
    let reader = Reader::open(filebase).unwrap();
    black_box(reader.traces().unwrap());
    begin.elapsed().as_secs_f64()
}

/// The median in milliseconds.
fn times(runs: usize, mut run: impl FnMut() -> f64) -> f64 {
    median((0..runs).map(|_| 1e3 * run()).collect())
}

/// The same traces in version 2.
fn compact(log: &TraceLog<'_>) -> Vec<u8> {
    let mut writer = TraceWriter::new(Vec::new(), log.start(), log.rates()).unwrap();
    for trace in log.traces() {
        let mut node = TraceNode::ROOT;
        for frame in trace.unwrap().outermost_first() {
            node = writer.intern_child(node, &frame).unwrap();
        }
        writer.write_trace(node).unwrap();
    }
    writer.into_inner()
}

//! How much memory a digest needs, measured in a process of its own.

use std::fs;
use std::ops::ControlFlow;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use heapprof::{DigestOptions, Reader};

/// The first argument of the child process that measures memory.
pub(crate) const CHILD: &str = "--memory-of-a-digest";

/// Returns [`memory_of_a_digest`] of a new process.
pub(crate) fn in_a_child_process(filebase: &Path) -> String {
    let mut child = Command::new(std::env::current_exe().unwrap());
    let output = child.arg(CHILD).arg(filebase).output().unwrap();
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

/// The most anonymous memory of this process while it writes a digest, in kB. 0 where the system has no
/// `/proc/self/status`.
pub(crate) fn memory_of_a_digest(filebase: &Path) -> u64 {
    let memory = || {
        let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
        let line = status
            .lines()
            .find_map(|line| line.strip_prefix("RssAnon:"));
        line.and_then(|line| line.trim().trim_end_matches(" kB").parse().ok())
            .unwrap_or(0)
    };
    let mut most = 0;
    let options = DigestOptions::default()
        .interval(Duration::from_secs(1))
        .progress(|_| {
            most = memory().max(most);
            ControlFlow::Continue(())
        });
    let reader = Reader::open(filebase).unwrap();
    reader.make_digest(options).unwrap();
    memory().max(most)
}

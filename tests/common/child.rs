//! A test executable runs itself once more: for what a process cannot do to itself and go on, be
//! killed or lose a right.

#![allow(dead_code, reason = "no test needs all of it")]

use std::env;
use std::ffi::OsStr;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, ExitStatus, Stdio};

/// What begins a line that is for the parent, and not of the harness.
const MARK: &str = "told: ";
const JOB: &str = "HEAPPROF_TEST_JOB";
const PATH: &str = "HEAPPROF_TEST_PATH";

/// The job of this process and the path it is about; `None` in one that somebody started to test.
pub(crate) fn job() -> Option<(String, PathBuf)> {
    Some((env::var(JOB).ok()?, env::var_os(PATH)?.into()))
}

/// Tells the parent a line.
pub(crate) fn tell(text: impl std::fmt::Display) {
    // The harness may have begun one.
    println!("\n{MARK}{text}");
}

/// What runs the test `a_child` of the executable `exe`, and no other.
pub(crate) fn command(exe: impl AsRef<OsStr>, job: &str, path: &Path) -> Command {
    prepared(Command::new(exe), job, path)
}

/// The same after other arguments of a program that starts this executable, given last.
pub(crate) fn started_by(mut starter: Command, job: &str, path: &Path) -> Command {
    starter.arg(env::current_exe().unwrap());
    prepared(starter, job, path)
}

fn prepared(mut command: Command, job: &str, path: &Path) -> Command {
    command
        .args(["--exact", "a_child", "--nocapture", "--test-threads=1"])
        .env(JOB, job)
        .env(PATH, path)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::inherit());
    command
}

/// A child that runs. It is killed if nobody waits for it.
pub(crate) struct Running {
    child: Child,
    told: BufReader<ChildStdout>,
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Running {
    pub(crate) fn of(mut command: Command) -> std::io::Result<Self> {
        let mut child = command.spawn()?;
        let told = BufReader::new(child.stdout.take().unwrap());
        Ok(Self { child, told })
    }

    pub(crate) fn start(job: &str, path: &Path) -> Self {
        Self::of(command(env::current_exe().unwrap(), job, path)).unwrap()
    }

    /// The next line that the child tells; `None` if it has ended.
    pub(crate) fn told(&mut self) -> Option<String> {
        let mut line = String::new();
        while self.told.read_line(&mut line).unwrap() > 0 {
            if let Some(told) = line.trim_end().strip_prefix(MARK) {
                return Some(told.to_owned());
            }
            line.clear();
        }
        None
    }

    /// Ends the child, on Unix by `SIGKILL`.
    pub(crate) fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Lets a child go on that waits for its input to end, and waits for its end.
    pub(crate) fn end(&mut self) -> ExitStatus {
        drop(self.child.stdin.take());
        self.told.read_to_end(&mut Vec::new()).unwrap();
        self.child.wait().unwrap()
    }

    pub(crate) fn has_ended(&mut self) -> bool {
        self.child.try_wait().unwrap().is_some()
    }
}

/// Waits until the parent lets this process go on.
pub(crate) fn wait() {
    std::io::stdin().read_to_end(&mut Vec::new()).unwrap();
}

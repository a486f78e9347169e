//! Runs the test `child_process` of a test executable in a child process, which a test can kill or deprive of rights.

#![allow(dead_code, reason = "no test needs all of it")]

use std::env;
use std::ffi::OsStr;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, ExitStatus, Stdio};

/// The prefix of a line to the parent; the test harness prints others.
const MARK: &str = "child: ";
const JOB: &str = "HEAPPROF_TEST_JOB";
const PATH: &str = "HEAPPROF_TEST_PATH";

/// The job and the path of this process; `None` unless it is a child process.
pub(crate) fn job() -> Option<(String, PathBuf)> {
    Some((env::var(JOB).ok()?, env::var_os(PATH)?.into()))
}

/// Sends a line to the parent.
pub(crate) fn send(text: impl std::fmt::Display) {
    // The harness may have begun a line.
    println!("\n{MARK}{text}");
}

/// The command that runs only the test `child_process` of the executable `exe`.
pub(crate) fn command(exe: impl AsRef<OsStr>, job: &str, path: &Path) -> Command {
    prepared(Command::new(exe), job, path)
}

/// The same, for a program that starts the executable named by its last arguments.
pub(crate) fn started_by(mut starter: Command, job: &str, path: &Path) -> Command {
    starter.arg(env::current_exe().unwrap());
    prepared(starter, job, path)
}

fn prepared(mut command: Command, job: &str, path: &Path) -> Command {
    command
        .args([
            "--exact",
            "child_process",
            "--nocapture",
            "--test-threads=1",
        ])
        .env(JOB, job)
        .env(PATH, path)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::inherit());
    command
}

/// A running child process. Dropping it kills it.
pub(crate) struct Running {
    child: Child,
    stdout: BufReader<ChildStdout>,
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
        let stdout = BufReader::new(child.stdout.take().unwrap());
        Ok(Self { child, stdout })
    }

    pub(crate) fn start(job: &str, path: &Path) -> Self {
        Self::of(command(env::current_exe().unwrap(), job, path)).unwrap()
    }

    /// The next line from the child; `None` if it has ended.
    pub(crate) fn receive(&mut self) -> Option<String> {
        let mut line = String::new();
        while self.stdout.read_line(&mut line).unwrap() > 0 {
            if let Some(text) = line.trim_end().strip_prefix(MARK) {
                return Some(text.to_owned());
            }
            line.clear();
        }
        None
    }

    /// Kills the child, on Unix with `SIGKILL`.
    pub(crate) fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Closes the input of the child, and waits for the child to exit.
    pub(crate) fn end(&mut self) -> ExitStatus {
        drop(self.child.stdin.take());
        self.stdout.read_to_end(&mut Vec::new()).unwrap();
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

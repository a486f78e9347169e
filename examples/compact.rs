//! Rewrites the traces of a profile as version 2 of the format, and copies its log and its digest: the same profile in a
//! fraction of the space.
//!
//! ```text
//! cargo run --release --example compact -- FROM TO
//! ```
//!
//! Trace ids stay as they are, so a log fits both files. Damage is printed; the whole traces before it are kept.
//! heapprof 1.0 does not read version 2.

mod common;

use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Result, anyhow, bail};
use clap::Parser;
use heapprof::raw::{RawFrame, TraceLog, TraceNode, TraceWriter};

use common::{bytes, checked, tell};

/// Rewrites the traces of a profile as version 2, and copies its log and its digest.
#[derive(Parser)]
struct Cli {
    /// The profile: its path without .hpm and .hpd, or one of its files.
    from: PathBuf,

    /// The new profile, in the same way. Its files are replaced, unless FROM has no such file.
    to: PathBuf,
}

fn main() -> ExitCode {
    common::end(run(&Cli::parse()))
}

fn run(cli: &Cli) -> Result<()> {
    let [hpm, hpd, hpc] = files(&checked(cli.from.clone())?);
    let [new_hpm, new_hpd, new_hpc] = files(&cli.to);
    for (old, new) in [(&hpm, &new_hpm), (&hpd, &new_hpd)] {
        if new.exists() && fs::canonicalize(old).ok() == fs::canonicalize(new).ok() {
            bail!("{}: cannot rewrite a profile onto itself", new.display());
        }
    }
    drop(heapprof::Reader::open(&cli.from)?); // checks the name and the header
    let copied = [(&hpd, &new_hpd), (&hpc, &new_hpc)];
    for (old, new) in copied {
        if !old.exists() && new.exists() {
            bail!("{}: a file of another profile", new.display());
        }
    }
    // The log first: a program that is still recording writes traces before the events that refer to them.
    for (old, new) in copied.into_iter().filter(|(old, _)| old.exists()) {
        copy(old, new).map_err(|error| anyhow!("{}: {error}", new.display()))?;
    }
    let old = fs::read(&hpm).map_err(|error| anyhow!("{}: {error}", hpm.display()))?;
    let log = TraceLog::new(&old)?;
    let rewrite = || match log.version() {
        1 => rewrite(&log, &hpm, &new_hpm),
        _ => copy(&hpm, &new_hpm),
    };
    rewrite().map_err(|error| anyhow!("{}: {error}", new_hpm.display()))?;
    let mut out = io::stdout();
    let (before, after) = (old.len(), fs::metadata(&new_hpm)?.len());
    writeln!(out, "traces         {}", log.count())?;
    writeln!(out, "bytes before   {}", bytes(before))?;
    writeln!(out, "bytes now      {}", bytes(after))?;
    if log.version() == 1 {
        #[expect(clippy::cast_precision_loss, reason = "shown with one digit")]
        let times = before as f64 / after as f64;
        writeln!(out, "smaller        {times:.1} times")?;
    } else {
        writeln!(out, "smaller        not: it was of version 2 already")?;
    }
    Ok(())
}

/// The files of a profile: traces, log and digest.
fn files(name: &Path) -> [PathBuf; 3] {
    let extensions = ["hpm", "hpd", "hpc"];
    let is_file = name
        .extension()
        .is_some_and(|it| extensions.iter().any(|known| it == *known));
    let base = if is_file {
        name.with_extension("")
    } else {
        name.to_owned()
    };
    extensions.map(|extension| {
        let mut path = base.clone().into_os_string();
        path.push(format!(".{extension}"));
        path.into()
    })
}

/// Copies what a file holds, and not its permissions.
fn copy(from: &Path, to: &Path) -> Result<()> {
    io::copy(&mut File::open(from)?, &mut File::create(to)?)?;
    Ok(())
}

/// Writes all whole traces with their ids.
fn rewrite(log: &TraceLog<'_>, from: &Path, to: &Path) -> Result<()> {
    if let Some(damage) = log.header_damage() {
        tell(Some(from), &damage);
    }
    let out = BufWriter::new(File::create(to)?);
    let (start, rates) = (log.start(), log.rates());
    let mut writer = TraceWriter::with_properties(out, start, rates, log.properties())?;
    // The previous stack, outermost first: most stacks begin with the same frames.
    let mut path: Vec<(RawFrame<'_>, TraceNode)> = Vec::new();
    for trace in log.traces() {
        let trace = match trace {
            Ok(trace) => trace,
            Err(error) => {
                tell(Some(from), &error);
                break;
            }
        };
        let frames: Vec<_> = trace.outermost_first().collect();
        let shared = path
            .iter()
            .zip(&frames)
            .take_while(|((known, _), frame)| known == *frame);
        path.truncate(shared.count());
        for frame in &frames[path.len()..] {
            let parent = path.last().map_or(TraceNode::ROOT, |&(_, node)| node);
            path.push((*frame, writer.intern_child(parent, frame)?));
        }
        writer.write_trace(path.last().map_or(TraceNode::ROOT, |&(_, node)| node))?;
    }
    Ok(writer.into_inner().flush()?)
}

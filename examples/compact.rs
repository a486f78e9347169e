//! Rewrites the traces of a profile as version 2 of the format, and copies its log: the same profile in a fraction of
//! the space.
//!
//! ```text
//! cargo run --release --example compact -- FROM TO
//! ```
//!
//! Trace ids stay as they are, so a log fits both files. Damage is printed; the whole traces before it are kept.
//! heapprof 1.0 does not read version 2.

mod common;

use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use clap::Parser;
use heapprof::raw::{RawFrame, TraceLog, TraceNode, TraceWriter};
use heapprof::{DecodeError, FileKind};

use common::bytes;

/// Rewrites the traces of a profile as version 2, and copies its log.
#[derive(Parser)]
struct Cli {
    /// The profile: what the names of its files begin with, or one of the names.
    from: PathBuf,

    /// What the names of the new files begin with.
    to: PathBuf,
}

fn main() -> ExitCode {
    common::end(run(&Cli::parse()))
}

fn run(cli: &Cli) -> Result<()> {
    let reader = heapprof::Reader::open(&cli.from)?;
    let path = |kind| reader.path(kind).context("a profile has a name");
    let (hpm, hpd) = (path(FileKind::Hpm)?, path(FileKind::Hpd)?);
    drop(reader);
    let to = |extension: &str| {
        let mut path = cli.to.clone().into_os_string();
        path.push(extension);
        PathBuf::from(path)
    };
    let (new_hpm, new_hpd) = (to(".hpm"), to(".hpd"));
    for (old, new) in [(&hpm, &new_hpm), (&hpd, &new_hpd)] {
        if new.exists() && fs::canonicalize(old).ok() == fs::canonicalize(new).ok() {
            bail!("{}: cannot rewrite a profile onto itself", new.display());
        }
    }
    // The log first: a program that is still recording writes traces before the events that refer to them.
    if hpd.exists() {
        fs::copy(&hpd, &new_hpd).with_context(|| new_hpd.display().to_string())?;
    } else if new_hpd.exists() {
        bail!("{}: the log of another profile", new_hpd.display());
    }
    let old = fs::read(&hpm).with_context(|| hpm.display().to_string())?;
    let log = TraceLog::new(&old)?;
    let rewrite = || match log.version() {
        1 => rewrite(&log, &hpm, &new_hpm),
        _ => Ok(fs::write(&new_hpm, &old)?),
    };
    rewrite().with_context(|| new_hpm.display().to_string())?;
    let (before, after) = (old.len(), fs::metadata(&new_hpm)?.len());
    println!("traces before  {}", bytes(before));
    println!("traces now     {}", bytes(after));
    #[expect(clippy::cast_precision_loss, reason = "shown with one digit")]
    let times = before as f64 / after as f64;
    println!("smaller        {times:.1} times");
    Ok(())
}

/// Prints what is wrong with a record of a file.
fn tell(file: &Path, error: DecodeError) {
    let (file, at) = (file.display(), error.offset());
    eprintln!("{file}: record at byte {at}: {}", error.kind());
}

/// Writes all whole traces with their ids.
fn rewrite(log: &TraceLog<'_>, from: &Path, to: &Path) -> Result<()> {
    if let Some(damage) = log.header_damage() {
        tell(from, damage);
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
                tell(from, error);
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
            path.push((*frame, writer.child(parent, frame)?));
        }
        writer.add_trace(path.last().map_or(TraceNode::ROOT, |&(_, node)| node))?;
    }
    Ok(writer.into_inner().flush()?)
}

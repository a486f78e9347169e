//! Rewrites the traces of a profile as version 2 of the format, and copies its log: the same profile in a fraction of
//! the space.
//!
//! ```text
//! cargo run --release --example compact -- FROM TO
//! ```
//!
//! Trace ids stay as they are, so a log fits both files. What is cut or damaged is told, and what is whole is kept.
//! heapprof 1.0 does not read version 2.

mod common;

use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use clap::Parser;
use heapprof::FileKind;
use heapprof::raw::{RawFrame, TraceLog, TraceNode, TraceWriter};

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
    let reader = heapprof::Reader::open_unmapped(&cli.from)?;
    let path = |kind| reader.path(kind).context("a profile has a name");
    let (hpm, hpd) = (path(FileKind::Hpm)?, path(FileKind::Hpd)?);
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
    let old = fs::read(&hpm).with_context(|| hpm.display().to_string())?;
    rewrite(&TraceLog::new(&old)?, &hpm, &new_hpm)
        .with_context(|| new_hpm.display().to_string())?;
    if hpd.exists() {
        fs::copy(&hpd, &new_hpd).with_context(|| new_hpd.display().to_string())?;
    }
    let (before, after) = (old.len(), fs::metadata(&new_hpm)?.len());
    println!("traces before  {}", bytes(before));
    println!("traces now     {}", bytes(after));
    #[expect(clippy::cast_precision_loss, reason = "shown with one digit")]
    let times = before as f64 / after as f64;
    println!("smaller        {times:.1} times");
    Ok(())
}

/// Writes all whole traces with their ids.
fn rewrite(log: &TraceLog<'_>, from: &Path, to: &Path) -> Result<()> {
    let out = BufWriter::new(File::create(to)?);
    let (start, rates) = (log.start(), log.rates());
    let mut writer = TraceWriter::with_properties(out, start, rates, log.properties())?;
    // The stack before, outermost first: most stacks begin with the same frames.
    let mut path: Vec<(RawFrame<'_>, TraceNode)> = Vec::new();
    for trace in log.traces() {
        let trace = match trace {
            Ok(trace) => trace,
            Err(error) => {
                eprintln!(
                    "{}: record at byte {}: {}",
                    from.display(),
                    error.offset(),
                    error.kind()
                );
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

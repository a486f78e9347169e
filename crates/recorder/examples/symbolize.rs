//! Finds functions and lines of a program that was stripped, in the unstripped one.
//!
//! ```text
//! cargo run --release -p heapprof-recorder --example symbolize -- FROM TO BINARY...
//! ```
//!
//! A frame without a symbol is recorded as `program+0x12a9`. Each is looked up in the binary that has the build id which
//! the recording states for `program`; what is found takes its place in the profile TO, functions that were inlined
//! included. Trace ids stay, and the log is copied.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::BufWriter;
use std::path::{Path, PathBuf};

use addr2line::Loader;
use anyhow::{Context, Result, anyhow, ensure};
use clap::Parser;
use heapprof::raw::{TraceNode, TraceWriter};
use heapprof::{Frame, OwnedFrame, Reader};
use object::Object;

/// Finds functions and lines of a program that was stripped, in the unstripped one.
#[derive(Parser)]
struct Cli {
    /// The profile: its path without .hpm and .hpd.
    from: PathBuf,

    /// The new profile, in the same way.
    to: PathBuf,

    /// Unstripped programs and libraries.
    #[arg(required = true)]
    binaries: Vec<PathBuf>,
}

/// Binaries by the names that recordings have for them.
type Binaries = BTreeMap<String, Loader>;

fn main() -> Result<()> {
    let cli = Cli::parse();
    let reader = Reader::open(&cli.from)?;
    let build_ids = reader
        .properties()
        .get("build-ids")
        .unwrap_or_default()
        .into_owned();
    let mut binaries = Binaries::new();
    for path in &cli.binaries {
        let id = build_id(path).with_context(|| path.display().to_string())?;
        let mut names = build_ids
            .split_whitespace()
            .filter_map(|pair| pair.split_once('='));
        match names.find(|&(_, stated)| stated == id) {
            Some((name, _)) => {
                let loader =
                    Loader::new(path).map_err(|error| anyhow!("{}: {error}", path.display()))?;
                binaries.insert(name.to_owned(), loader);
            }
            None => eprintln!(
                "{}: no frame without a symbol is of its build id {id}",
                path.display()
            ),
        }
    }

    let files = |base: &Path| {
        [".hpm", ".hpd"].map(|suffix| {
            let mut path = base.as_os_str().to_owned();
            path.push(suffix);
            PathBuf::from(path)
        })
    };
    let ([traces, log], [new_traces, new_log]) = (files(&cli.from), files(&cli.to));
    ensure!(
        fs::canonicalize(&traces).ok() != fs::canonicalize(&new_traces).ok(),
        "a profile cannot be rewritten onto itself"
    );
    let (found, unknown) = rewrite(&reader, &binaries, &new_traces)?;
    fs::copy(&log, &new_log).with_context(|| new_log.display().to_string())?;
    println!("{found} frames were found, {unknown} stay unknown");
    Ok(())
}

/// The build id of a file, in hexadecimal digits.
fn build_id(path: &Path) -> Result<String> {
    let bytes = fs::read(path)?;
    let file = object::File::parse(&*bytes)?;
    let id = file.build_id()?.context("it has no build id")?;
    let digits = id.iter().map(|byte| format!("{byte:02x}"));
    Ok(digits.collect::<Vec<_>>().concat())
}

/// Writes the traces anew. Gives how many distinct frames were found, and how many were not.
fn rewrite(reader: &Reader, binaries: &Binaries, to: &Path) -> Result<(usize, usize)> {
    let failed = || to.display().to_string();
    let out = BufWriter::new(File::create(to).with_context(failed)?);
    let mut writer = TraceWriter::with_properties(
        out,
        reader.start(),
        reader.stated_rates(),
        reader.properties(),
    )?;
    let mut known: BTreeMap<String, Vec<OwnedFrame>> = BTreeMap::new();
    for (_, trace) in reader.traces()?.iter() {
        let mut node = TraceNode::ROOT;
        for frame in trace.frames() {
            match place(&frame) {
                None => node = writer.intern_child(node, &frame)?,
                Some((name, address)) => {
                    let frames = known.entry(frame.file.to_owned()).or_insert_with(|| {
                        binaries
                            .get(name)
                            .map_or(Vec::new(), |binary| look_up(binary, address))
                    });
                    if frames.is_empty() {
                        node = writer.intern_child(node, &frame)?;
                    }
                    for frame in frames {
                        node = writer.intern_child(node, frame)?;
                    }
                }
            }
        }
        writer.write_trace(node)?;
    }
    writer.flush().with_context(failed)?;
    let unknown = known.values().filter(|frames| frames.is_empty()).count();
    Ok((known.len() - unknown, unknown))
}

/// The name and the address of a frame without a symbol.
fn place<'a>(frame: &Frame<'a>) -> Option<(&'a str, u64)> {
    let (name, address) = frame.file.rsplit_once("+0x")?;
    Some((name, u64::from_str_radix(address, 16).ok()?))
}

/// The frames at an address, outermost first.
fn look_up(binary: &Loader, address: u64) -> Vec<OwnedFrame> {
    let mut frames = Vec::new();
    if let Ok(mut found) = binary.find_frames(address) {
        while let Ok(Some(frame)) = found.next() {
            let function = frame
                .function
                .and_then(|name| name.demangle().map(std::borrow::Cow::into_owned).ok());
            let (file, line) = frame.location.map_or((None, None), |it| (it.file, it.line));
            let named = OwnedFrame::new(file.unwrap_or_default(), line.unwrap_or(0));
            frames.push(match function {
                Some(function) => named.in_function(function),
                None => named,
            });
        }
    }
    if frames.is_empty()
        && let Some(symbol) = binary.find_symbol(address)
    {
        let name = addr2line::demangle_auto(symbol.into(), None);
        frames.push(OwnedFrame::new("", 0).in_function(name));
    }
    frames.reverse();
    frames
}

//! What the examples that hand a profile to another tool share: their arguments, and how they end.

#![allow(dead_code, reason = "no example needs all of it")]

use std::fs::File;
use std::io::{self, BufWriter, ErrorKind, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::str::FromStr;

use anyhow::{Context, Result, bail};
use clap::Args;
use heapprof::{Elapsed, FileKind, Frame, Reader, Usage};

/// What is read, and where what is made of it goes.
#[derive(Args)]
pub(crate) struct Files {
    /// The profile: what the names of its files begin with, or one of the names. Without it, the
    /// one that ships with the crate.
    filebase: Option<PathBuf>,

    /// Where to write, if not to standard output.
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,

    /// Take every factor as 1, whatever sampling rates the file states.
    #[arg(long)]
    unsampled: bool,
}

/// The profile that ships with the crate, from its folder and from anywhere else.
const SHIPPED: [&str; 2] = [
    "examples/data/demo",
    concat!(env!("CARGO_MANIFEST_DIR"), "/examples/data/demo"),
];

impl Files {
    /// Opens the profile, and says on standard error what is wrong with its files.
    pub(crate) fn open(&self) -> Result<Reader> {
        let filebase = self.filebase.clone().unwrap_or_else(|| {
            let [here, anywhere] = SHIPPED.map(PathBuf::from);
            if here.with_extension("hpm").exists() {
                here
            } else {
                anywhere
            }
        });
        if filebase.is_dir() {
            bail!("{}: a folder; name a profile in it", filebase.display());
        }
        let mut reader = Reader::open(&filebase)?;
        if self.unsampled {
            reader = reader.unsampled();
        }
        for error in reader.damage()? {
            let path = reader.path(error.file()).unwrap_or_default();
            let (offset, kind) = (error.offset(), error.kind());
            eprintln!("{}: record at byte {offset}: {kind}", path.display());
        }
        Ok(reader)
    }

    /// Writes through a buffer to the file, or else to standard output.
    pub(crate) fn write(&self, text: impl FnOnce(&mut dyn Write) -> Result<()>) -> Result<()> {
        let Some(path) = &self.output else {
            let mut out = BufWriter::new(io::stdout().lock());
            text(&mut out)?;
            return Ok(out.flush()?);
        };
        let write = || -> Result<()> {
            let mut out = BufWriter::new(File::create(path)?);
            text(&mut out)?;
            Ok(out.flush()?)
        };
        write().with_context(|| path.display().to_string())
    }
}

/// The name of the profile, without its folder.
pub(crate) fn title(reader: &Reader) -> String {
    let path = reader.path(FileKind::Hpm).unwrap_or_default();
    let name = path.file_stem().unwrap_or_default();
    name.to_string_lossy().into_owned()
}

/// How the recording was sampled, a line for each range.
pub(crate) fn sampling(reader: &Reader) -> Vec<String> {
    let ranges = reader.rates().ranges().iter().map(|range| {
        let (upper, percent) = (range.upper_size(), 100.0 * range.probability());
        format!("sampling below {upper} bytes: {percent:.4} %")
    });
    if reader.rates().is_unsampled() {
        vec!["sampling: none, every allocation was recorded".to_owned()]
    } else {
        ranges.collect()
    }
}

/// A line of code as `file:line`; never empty, since an empty name is lost in most formats.
pub(crate) fn name(frame: Frame<'_>) -> String {
    match frame {
        Frame { file: "", line: 0 } => "(no name)".to_owned(),
        frame => frame.to_string(),
    }
}

/// Whose memory it is.
#[derive(Clone, Copy)]
pub(crate) enum Question {
    /// What is live at the peak.
    Peak,
    /// What is live at the end.
    End,
    /// What is live at a moment.
    At(Elapsed),
    /// What grew from one moment to another.
    Between(Elapsed, Elapsed),
}

impl FromStr for Question {
    type Err = std::num::ParseIntError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let time = |text: &str| text.parse().map(Elapsed::from_micros);
        Ok(match (text, text.split_once("..")) {
            ("peak", _) => Self::Peak,
            ("end", _) => Self::End,
            (_, Some((from, to))) => Self::Between(time(from)?, time(to)?),
            _ => Self::At(time(text)?),
        })
    }
}

impl Question {
    pub(crate) fn ask(self, reader: &Reader) -> heapprof::Result<Usage> {
        match self {
            Self::Peak => Ok(reader.peak()?.usage().clone()),
            Self::End => reader.live_at_end(),
            Self::At(time) => reader.live_at(time),
            Self::Between(from, to) => reader.growth(from, to),
        }
    }
}

/// How a program ends: with one line on standard error if it failed.
pub(crate) fn end(result: Result<()>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => match error.downcast_ref::<io::Error>() {
            // Whoever reads has seen enough.
            Some(closed) if closed.kind() == ErrorKind::BrokenPipe => ExitCode::SUCCESS,
            _ => {
                eprintln!("{error:#}");
                ExitCode::FAILURE
            }
        },
    }
}

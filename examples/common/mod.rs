//! What the examples share: which profile they look at, what they ask, where the answer goes, and how
//! they end.

#![allow(dead_code, unused_imports, reason = "no example needs all of it")]

mod drawing;
mod look;
mod reading;
mod shell;
mod when;

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::PathBuf;

use anyhow::{Result, anyhow, bail};
use clap::Args;
use heapprof::raw::FileKind;
use heapprof::{Elapsed, Frame, Reader, Usage};

pub(crate) use drawing::*;
pub(crate) use look::Look;
pub(crate) use reading::{Opened, Reading, clock_note};
pub(crate) use shell::{checked, clean, end, tell};
pub(crate) use when::{Moment, Moments, seconds};

/// What is read, and where what is made of it goes.
#[derive(Args)]
pub(crate) struct Files {
    /// The profile: what the names of its files begin with, or one of the names. Without it, the
    /// one that ships with the crate.
    filebase: Option<PathBuf>,

    /// Where to write, if not to standard output.
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,

    #[command(flatten)]
    reading: Reading,
}

/// The profile that ships with the crate, from its folder and from anywhere else.
const SHIPPED: [&str; 2] = [
    "examples/data/demo",
    concat!(env!("CARGO_MANIFEST_DIR"), "/examples/data/demo"),
];

/// The profile that is named, or else the one that ships with the crate.
pub(crate) fn profile(filebase: Option<PathBuf>) -> Result<PathBuf> {
    let shipped = || {
        let [here, anywhere] = SHIPPED.map(PathBuf::from);
        if here.with_extension("hpm").exists() {
            here
        } else {
            anywhere
        }
    };
    checked(filebase.unwrap_or_else(shipped))
}

impl Files {
    /// Opens the profile, and says on standard error what is wrong with its files.
    pub(crate) fn open(&self) -> Result<Reader> {
        let reader = self.reader()?;
        tell_damage(&reader)?;
        Ok(reader)
    }

    /// The same, where there is nothing to show of a log without events.
    pub(crate) fn open_with_events(&self) -> Result<Reader> {
        let reader = self.reader()?;
        if reader.end()?.events() == 0 {
            let name = profile(self.filebase.clone())?;
            bail!("{}: the log has no events", clean(&name.to_string_lossy()));
        }
        tell_damage(&reader)?;
        Ok(reader)
    }

    fn reader(&self) -> Result<Reader> {
        let opened = self.reading.open(&profile(self.filebase.clone())?)?;
        let of_rates = self.reading.rates_note(&opened.rates).map(str::to_owned);
        for note in of_rates.into_iter().chain(opened.gap_notes()) {
            eprintln!("{note}");
        }
        Ok(opened.reader)
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
        write().map_err(|error| anyhow!("{}: {error}", path.display()))
    }

    pub(crate) fn write_text(&self, text: &str) -> Result<()> {
        self.write(|out| Ok(out.write_all(text.as_bytes())?))
    }
}

fn tell_damage(reader: &Reader) -> Result<()> {
    for damage in reader.damage()? {
        tell(reader.path(damage.file()).as_deref(), &damage);
    }
    Ok(())
}

/// The name of the profile, without its folder.
pub(crate) fn title(reader: &Reader) -> String {
    let path = reader.path(FileKind::Hpm).unwrap_or_default();
    let name = path.file_stem().unwrap_or_default();
    name.to_string_lossy().into_owned()
}

/// A frame as `function (file:line)` or `file:line`; never empty, since an empty name is lost in most formats.
pub(crate) fn name(frame: Frame<'_>) -> String {
    match frame.to_string() {
        name if name.is_empty() => "(no name)".to_owned(),
        name => name,
    }
}

/// Whose memory it is: what is live at the peak, if not told otherwise.
#[derive(Args)]
#[group(multiple = false)]
pub(crate) struct Query {
    /// What is live at a moment: seconds, or as in 250ms, 3min, 14:32:05 (UTC), peak, end.
    #[arg(long, value_name = "TIME")]
    at: Option<Moment>,

    /// What is live at the end.
    #[arg(long)]
    end: bool,

    /// What has grown and what has shrunk between two moments.
    #[arg(long, value_name = "A..B")]
    growth: Option<Moments>,
}

impl Query {
    /// The two times between which something grew, if that is what is asked.
    pub(crate) fn of_growth(&self, reader: &Reader) -> Result<Option<(Option<Elapsed>, Elapsed)>> {
        self.growth.map(|growth| growth.of(reader)).transpose()
    }

    /// The answer, and what to call it.
    pub(crate) fn ask(&self, reader: &Reader) -> Result<(Usage, String)> {
        if let Some((from, to)) = self.of_growth(reader)? {
            let begin = from.unwrap_or_default();
            let asked = format!("grown from {} to {}", seconds(begin), seconds(to));
            return Ok(match from {
                Some(from) => (reader.growth(from..to)?, asked),
                None => (reader.live_at(to)?, asked),
            });
        }
        let at = match self.at {
            _ if self.end => Moment::End,
            Some(at) => at,
            None => Moment::Peak,
        };
        if at == Moment::Peak {
            let peak = reader.peak()?;
            let asked = format!("live at the peak, at {}", seconds(peak.time()));
            return Ok((peak.into_usage(), asked));
        }
        let at = at.of(reader)?;
        Ok((reader.live_at(at)?, format!("live at {}", seconds(at))))
    }
}

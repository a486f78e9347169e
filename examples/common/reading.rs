//! How the examples read a log: with which sampling rates, and on which clock.

use std::path::Path;
use std::str::FromStr;
use std::time::Duration;

use anyhow::Result;
use clap::Args;
use heapprof::query::{Gap, RatesCheck, RatesVerdict, Sanity};
use heapprof::{Clock, Elapsed, Reader};

use super::{Moment, seconds};

/// How a log is read.
#[derive(Args)]
pub(crate) struct Reading {
    /// Take the log as one in which everything was recorded, whatever sampling rates are stated.
    #[arg(long)]
    unsampled: bool,

    /// Use the stated sampling rates, even if it is sure that everything was recorded.
    #[arg(long, conflicts_with = "unsampled")]
    as_stated: bool,

    /// Count any gap between two events that is longer than this as this long, as in 10s or 1min. By default, gaps that
    /// fill most of the recording are closed so; `never` closes none.
    #[arg(long, value_name = "TIME")]
    close_gaps: Option<GapLimit>,
}

/// A profile as it is read, and what was found out about it.
pub(crate) struct Opened {
    pub(crate) reader: Reader,
    /// Of the stated rates.
    pub(crate) rates: RatesCheck,
    pub(crate) sanity: Sanity,
}

impl Reading {
    pub(crate) fn open(&self, filebase: &Path) -> Result<Opened> {
        let mut reader = Reader::open(filebase)?;
        if self.unsampled {
            reader = reader.unsampled();
        }
        let rates = reader.rates_check()?;
        if rates.verdict() == RatesVerdict::LookWrong && !self.as_stated {
            reader = reader.unsampled();
        }
        let mut sanity = reader.sanity()?;
        let clock = match self.close_gaps {
            Some(GapLimit::Never) => None,
            Some(GapLimit::Over(limit)) => Some(Clock::GapsClosed(limit)),
            None => sanity.closing_clock(),
        };
        if let Some(clock) = clock {
            reader = reader.with_clock(clock);
            sanity = reader.sanity()?; // with the times of this clock
        }
        Ok(Opened {
            reader,
            rates,
            sanity,
        })
    }

    /// What was done with the stated rates, if they look wrong.
    pub(crate) fn rates_note(&self, rates: &RatesCheck) -> Option<&'static str> {
        if rates.verdict() != RatesVerdict::LookWrong {
            None
        } else if self.as_stated {
            Some("the stated sampling rates look wrong: without --as-stated they are not used")
        } else {
            Some("everything was recorded, whatever rates are stated; see --as-stated")
        }
    }
}

impl Opened {
    /// What is done with gaps that fill most of the recording: a line for each of up to three, or one for all.
    pub(crate) fn gap_notes(&self) -> Vec<String> {
        let gaps = self.sanity.gaps();
        let done = match self.reader.clock() {
            Clock::GapsClosed(limit) if gaps.iter().any(|gap| gap.length > limit) => {
                format!(
                    "all times count it as {}, see --close-gaps",
                    seconds(limit.into())
                )
            }
            _ => "it fills the recording, so trends and parts say little; see --close-gaps"
                .to_owned(),
        };
        let why = |gap: &Gap| match self.sanity.corruption() {
            Some(noise) if noise.offset <= gap.offset => "the log makes no sense there",
            _ => "the clock leaped, or the program slept",
        };
        let length = |gap: &Gap| rough(gap.length);
        match gaps {
            [] | [_] | [_, _] | [_, _, _] => {
                let note = |gap| {
                    let (length, from, why) = (length(gap), seconds(gap.from), why(gap));
                    format!("no event for {length} after {from}: {why}; {done}")
                };
                gaps.iter().map(note).collect()
            }
            [first, ..] => {
                let (count, all) = (gaps.len(), gaps.iter().map(|gap| gap.length).sum());
                let (all, from, why) = (rough(all), seconds(first.from), why(first));
                let text = format!(
                    "{count} gaps without an event, {all} in all, the first after {from}: {why}"
                );
                vec![format!(
                    "{text}; {}",
                    done.replace("count it", "count each")
                        .replace("it fills", "they fill")
                )]
            }
        }
    }
}

/// What a title says if times are not as recorded.
pub(crate) fn clock_note(reader: &Reader) -> String {
    match reader.clock() {
        Clock::GapsClosed(limit) => format!(", gaps closed to {}", seconds(limit.into())),
        _ => String::new(),
    }
}

/// How long gaps may be.
#[derive(Debug, Clone, Copy)]
enum GapLimit {
    Never,
    Over(Duration),
}

impl FromStr for GapLimit {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text.eq_ignore_ascii_case("never") {
            return Ok(Self::Never);
        }
        match text.parse() {
            Ok(Moment::At(limit)) if limit >= Elapsed::from_secs(1) => Ok(Self::Over(limit.into())),
            _ => Err("not a second or more, such as 10s or 1min, and not never".to_owned()),
        }
    }
}

/// A long time, for people.
fn rough(length: Duration) -> String {
    match length.as_secs() {
        172_800.. => format!("{} days", length.as_secs() / 86_400),
        7_200.. => format!("{} hours", length.as_secs() / 3_600),
        _ => seconds(length.into()),
    }
}

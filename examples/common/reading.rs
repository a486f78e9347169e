//! How the examples read a log: with which sampling rates, and on which clock.

use std::path::Path;
use std::str::FromStr;
use std::time::Duration;

use anyhow::Result;
use clap::Args;
use heapprof::query::{RatesCheck, RatesVerdict, Sanity};
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

    /// Let a gap between two events that is longer than this take only this long, as in 10s or 1min. Without it, this is
    /// done with gaps that fill most of the recording; `never` keeps these too.
    #[arg(long, value_name = "TIME")]
    close_gaps: Option<GapLimit>,
}

/// A profile as it is read, and what was found out about it.
pub(crate) struct Opened {
    pub(crate) reader: Reader,
    /// Of the stated rates.
    pub(crate) rates: RatesCheck,
    /// With the times as recorded.
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
        let sanity = reader.sanity()?;
        let clock = match self.close_gaps {
            Some(GapLimit::Never) => None,
            Some(GapLimit::Over(limit)) => Some(Clock::GapsClosed(limit)),
            None => sanity.closing_clock(),
        };
        Ok(Opened {
            reader: reader.with_clock(clock.unwrap_or_default()),
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

    /// What was done with each gap that fills most of the recording, if that was not asked for.
    pub(crate) fn gap_notes(&self, opened: &Opened) -> Vec<String> {
        let Clock::GapsClosed(limit) = opened.reader.clock() else {
            return Vec::new();
        };
        if self.close_gaps.is_some() {
            return Vec::new();
        }
        let limit = at_least_a_second(limit);
        let noise = opened.sanity.corruption();
        let mut closed = Duration::ZERO;
        let gaps = opened.sanity.gaps().iter();
        let notes = gaps.map(|gap| {
            let length = gap.to.since(gap.from);
            let from = gap.from.since(Elapsed::from(closed));
            closed += length.saturating_sub(limit);
            let (from, limit) = (seconds(from.into()), seconds(limit.into()));
            let why = match noise {
                Some(noise) if noise.offset <= gap.offset => "the log makes no sense there",
                _ => "the clock leaped, or the program slept",
            };
            let length = rough(length);
            format!(
                "no event for {length} after {from}: {why}; all times count it as {limit}, see --close-gaps"
            )
        });
        notes.collect()
    }
}

/// What a title says if times are not as recorded.
pub(crate) fn clock_note(reader: &Reader) -> String {
    match reader.clock() {
        Clock::GapsClosed(limit) => format!(
            ", gaps closed to {}",
            seconds(at_least_a_second(limit).into())
        ),
        _ => String::new(),
    }
}

fn at_least_a_second(limit: Duration) -> Duration {
    limit.max(Duration::from_secs(1))
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
        if text == "never" {
            return Ok(Self::Never);
        }
        match text.parse()? {
            Moment::At(limit) => Ok(Self::Over(limit.into())),
            _ => Err("not a length of time, such as 10s".to_owned()),
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

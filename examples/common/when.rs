//! Moments on the command line, and how times are shown.

use std::str::FromStr;

use anyhow::{Result, anyhow, bail};
use heapprof::{Elapsed, Reader};
use jiff::civil::Time;
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan};

/// A moment of a recording: `12.5`, `12.5s`, `250ms`, `3min`, `1h`, `peak`, `end`, or the clock on the wall in UTC,
/// `14:32:05`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Moment {
    At(Elapsed),
    Clock(Time),
    Peak,
    End,
}

impl FromStr for Moment {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "peak" => return Ok(Self::Peak),
            "end" => return Ok(Self::End),
            _ => {}
        }
        if text.contains(':') {
            let time = text.parse();
            return time.map(Self::Clock).map_err(|error| error.to_string());
        }
        let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic() || c == ' ');
        let unit = match text[digits.len()..].trim() {
            "" | "s" => 1.0,
            "us" => 1e-6,
            "ms" => 1e-3,
            "min" | "m" => 60.0,
            "h" => 3600.0,
            other => return Err(format!("{other} is no unit of time: us, ms, s, min or h")),
        };
        match digits.parse::<f64>() {
            Ok(number) if (0.0..1e12).contains(&(number * unit)) => {
                Ok(Self::At(Elapsed::from_secs_f64(number * unit)))
            }
            _ => Err("not a moment, such as 12.5, 250ms, 14:32:05, peak or end".to_owned()),
        }
    }
}

impl Moment {
    /// The elapsed time of the moment in a recording.
    pub(crate) fn of(self, reader: &Reader) -> Result<Elapsed> {
        Ok(match self {
            Self::At(time) => time,
            Self::Peak => reader.peak()?.time(),
            Self::End => reader.elapsed()?,
            Self::Clock(time) => on_the_clock(reader, time)?,
        })
    }
}

/// The first moment of the recording at which the clock on the wall showed this, in UTC.
fn on_the_clock(reader: &Reader, time: Time) -> Result<Elapsed> {
    let start = i128::try_from(reader.start().as_nanos())?;
    let start = Timestamp::from_nanosecond(start)?.to_zoned(TimeZone::UTC);
    let mut asked = start.date().to_datetime(time).to_zoned(TimeZone::UTC)?;
    if asked < start {
        asked = asked.checked_add(1.day())?;
    }
    match reader.elapsed_at(asked.timestamp().into())? {
        Some(moments) => Ok(*moments.start()),
        None => bail!("{time}: the recording is not of this time"),
    }
}

/// Two moments, `A..B`; without one, the start or the end.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Moments {
    from: Moment,
    to: Moment,
}

impl FromStr for Moments {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (from, to) = text.split_once("..").ok_or("not A..B")?;
        let moment = |text: &str, default| match text {
            "" => Ok(default),
            text => text.parse(),
        };
        Ok(Self {
            from: moment(from, Moment::At(Elapsed::ZERO))?,
            to: moment(to, Moment::End)?,
        })
    }
}

impl Moments {
    /// The elapsed times, the earlier first.
    pub(crate) fn of(self, reader: &Reader) -> Result<(Elapsed, Elapsed)> {
        let (from, to) = (self.from.of(reader)?, self.to.of(reader)?);
        if from > to {
            let (from, to) = (seconds(from), seconds(to));
            return Err(anyhow!("{from} is after {to}"));
        }
        Ok((from, to))
    }
}

/// A time with all its digits, so that `--at` finds it.
pub(crate) fn seconds(at: Elapsed) -> String {
    let text = at.to_string();
    let digits = text.trim_end_matches(" s").trim_end_matches('0');
    format!("{} s", digits.trim_end_matches('.'))
}

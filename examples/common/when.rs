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
            "" | "s" => 1_000_000,
            "us" => 1,
            "ms" => 1_000,
            "min" | "m" => 60_000_000,
            "h" => 3_600_000_000,
            other => return Err(format!("{other} is no unit of time: us, ms, s, min or h")),
        };
        let micros = micros(digits, unit).map(Elapsed::from_micros).map(Self::At);
        micros.ok_or("not a moment, such as 12.5, 250ms, 14:32:05, peak or end".to_owned())
    }
}

/// A decimal number of units, in whole microseconds.
fn micros(number: &str, unit: u64) -> Option<u64> {
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    let is_number = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if whole.is_empty() || !is_number(whole) || !is_number(fraction) || fraction.len() > 12 {
        return None;
    }
    let parts = fraction.parse().unwrap_or(0_u128) * u128::from(unit);
    let parts = parts / 10_u128.pow(u32::try_from(fraction.len()).ok()?);
    let whole = whole.parse::<u128>().ok()?.checked_mul(unit.into())?;
    u64::try_from(whole.checked_add(parts)?).ok()
}

impl Moment {
    /// The elapsed time of the moment in a recording.
    pub(crate) fn of(self, reader: &Reader) -> Result<Elapsed> {
        Ok(match self {
            Self::At(time) => within(reader, time)?,
            Self::Peak => reader.peak()?.time(),
            Self::End => reader.elapsed()?,
            Self::Clock(time) => on_the_clock(reader, time)?,
        })
    }
}

/// The time, or the end of the recording if that is before; which is said.
fn within(reader: &Reader, time: Elapsed) -> Result<Elapsed> {
    let end = reader.elapsed()?;
    if time > end {
        let (time, at) = (seconds(time), seconds(end));
        eprintln!("{time} is after the end of the recording, at {at}");
        return Ok(end);
    }
    Ok(time)
}

/// The first moment of the recording at which the clock on the wall showed this, in UTC.
fn on_the_clock(reader: &Reader, time: Time) -> Result<Elapsed> {
    let start = i128::try_from(reader.start().as_nanos())?;
    let start = Timestamp::from_nanosecond(start)?.to_zoned(TimeZone::UTC);
    let mut asked = start.date().to_datetime(time).to_zoned(TimeZone::UTC)?;
    // A clock without fractions is of the whole second.
    if asked < start && asked.checked_add(1.second())? > start {
        return Ok(Elapsed::ZERO);
    }
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
    /// `None` is before the first event.
    from: Option<Moment>,
    to: Moment,
}

impl FromStr for Moments {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (from, to) = text.split_once("..").ok_or("not A..B")?;
        Ok(Self {
            from: (!from.is_empty()).then(|| from.parse()).transpose()?,
            to: if to.is_empty() {
                Moment::End
            } else {
                to.parse()?
            },
        })
    }
}

impl Moments {
    /// The elapsed times, the earlier first.
    pub(crate) fn of(self, reader: &Reader) -> Result<(Option<Elapsed>, Elapsed)> {
        let from = self.from.map(|from| from.of(reader)).transpose()?;
        let to = self.to.of(reader)?;
        if let Some(from) = from.filter(|&from| from > to) {
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

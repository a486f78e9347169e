//! The formats decoded byte by byte, and the questions answered by sorting and summing: slow, plain,
//! and what the fast ways must equal.

#![allow(dead_code, reason = "no test needs all of it")]

use std::collections::BTreeMap;

use heapprof::SamplingRates;

const LARGEST: i128 = i64::MAX as i128;

/// The record ends early, or cannot be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Bad {
    Cut,
    Senseless,
}

pub(crate) struct Bytes<'a> {
    pub(crate) bytes: &'a [u8],
    pub(crate) at: usize,
}

impl<'a> Bytes<'a> {
    pub(crate) fn take(&mut self, len: u128) -> Result<&'a [u8], Bad> {
        if len > (self.bytes.len() - self.at) as u128 {
            return Err(Bad::Cut);
        }
        let end = self.at + usize::try_from(len).unwrap();
        let taken = &self.bytes[self.at..end];
        self.at = end;
        Ok(taken)
    }

    pub(crate) fn fixed32(&mut self) -> Result<u32, Bad> {
        Ok(u32::from_be_bytes(self.take(4)?.try_into().unwrap()))
    }

    pub(crate) fn varint(&mut self) -> Result<u128, Bad> {
        let (mut value, mut shift) = (0, 0);
        loop {
            let byte = self.take(1)?[0];
            value |= u128::from(byte & 0x7f) << shift;
            if value > u128::from(u64::MAX) {
                return Err(Bad::Senseless);
            }
            if byte < 0x80 {
                return Ok(value);
            }
            shift += 7;
            if shift > 63 {
                return Err(Bad::Senseless);
            }
        }
    }

    pub(crate) fn done(&self) -> bool {
        self.at == self.bytes.len()
    }
}

/// One event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Event {
    pub(crate) elapsed: i128,
    pub(crate) wall: i128,
    pub(crate) trace: u32,
    pub(crate) free: bool,
    pub(crate) size: i128,
    /// Negative for a free.
    pub(crate) estimate: i128,
}

impl From<heapprof::Event> for Event {
    fn from(event: heapprof::Event) -> Self {
        Self {
            elapsed: event.elapsed.as_micros().into(),
            wall: event.wall.as_micros().into(),
            trace: event.trace.map_or(0, heapprof::TraceId::get),
            free: event.is_free(),
            size: event.size.into(),
            estimate: event.signed_size().into(),
        }
    }
}

/// The whole events of a log, and where and how it ends early.
pub(crate) fn events(log: &[u8], rates: &SamplingRates) -> (Vec<Event>, Option<(usize, Bad)>) {
    let mut bytes = Bytes { bytes: log, at: 0 };
    let (mut elapsed, mut wall) = (0_i128, 0_i128);
    let mut events = Vec::new();
    while !bytes.done() {
        let start = bytes.at;
        if log[start..].starts_with(&[0; 64]) {
            return (events, Some((start, Bad::Senseless)));
        }
        let mut one = || {
            let head = bytes.fixed32()?;
            let seconds = i128::try_from(bytes.varint()?).unwrap();
            let micros = i128::try_from(bytes.varint()?).unwrap();
            let size = i128::try_from(bytes.varint()?).unwrap();
            let sign = if head >> 31 == 1 { -1 } else { 1 };
            let difference = sign * seconds * 1_000_000 + micros;
            wall += difference;
            elapsed += difference.max(0);
            let estimate = estimate(rates, size);
            let largest = [
                elapsed,
                wall.abs(),
                seconds * 1_000_000 + micros,
                size,
                estimate,
            ];
            if largest.into_iter().any(|value| value > LARGEST) {
                return Err(Bad::Senseless);
            }
            let free = head >> 30 & 1 == 1;
            Ok(Event {
                elapsed,
                wall,
                trace: head & ((1 << 30) - 1),
                free,
                size,
                estimate: if free { -estimate } else { estimate },
            })
        };
        match one() {
            Ok(event) => events.push(event),
            Err(bad) => return (events, Some((start, bad))),
        }
    }
    (events, None)
}

fn estimate(rates: &SamplingRates, size: i128) -> i128 {
    for range in rates.ranges() {
        if size < i128::from(range.upper_size()) {
            let p = i128::from(range.stored_probability());
            return if p == 0 {
                0
            } else {
                (2 * size * i128::from(u32::MAX) + p) / (2 * p)
            };
        }
    }
    size
}

/// A stack: files and lines, outermost first.
pub(crate) type Stack = Vec<(String, u32)>;

/// The whole traces after a header of `skipped` bytes, and where and how they end early.
pub(crate) fn traces(hpm: &[u8], skipped: usize) -> (Vec<Stack>, Option<(usize, Bad)>) {
    let mut bytes = Bytes {
        bytes: hpm,
        at: skipped,
    };
    let mut traces = Vec::new();
    while !bytes.done() {
        let start = bytes.at;
        let mut one = || {
            let mut stack = Vec::new();
            loop {
                let line = bytes.varint()?;
                if line == 0 {
                    break;
                }
                let line = u32::try_from(line - 1).map_err(|_| Bad::Senseless)?;
                let len = bytes.varint()?;
                let name = String::from_utf8_lossy(bytes.take(len)?).into_owned();
                stack.push((name, line));
            }
            stack.reverse();
            Ok(stack)
        };
        match one() {
            Ok(stack) => traces.push(stack),
            Err(bad) => return (traces, Some((start, bad))),
        }
    }
    (traces, None)
}

/// Live bytes by trace; none is 0.
pub(crate) type Live = BTreeMap<u32, i128>;

/// What is live after all events with an elapsed time up to `time`.
pub(crate) fn live_at(events: &[Event], time: i128) -> Live {
    let mut live = Live::new();
    for event in events.iter().take_while(|event| event.elapsed <= time) {
        *live.entry(event.trace).or_default() += event.estimate;
    }
    live.retain(|_, bytes| *bytes != 0);
    live
}

/// The snapshots of a digest: time, and what is live then.
pub(crate) fn snapshots(events: &[Event], interval: i128, precision: f64) -> Vec<(i128, Live)> {
    let Some(last) = events.last() else {
        return Vec::new();
    };
    let count = (last.elapsed + interval - 1).div_euclid(interval).max(1);
    (1..=count)
        .map(|number| {
            let time = number * interval;
            (time, folded(live_at(events, time), precision))
        })
        .collect()
}

fn folded(mut live: Live, precision: f64) -> Live {
    let total: i128 = live.values().sum();
    #[expect(clippy::cast_precision_loss, clippy::cast_possible_truncation)]
    let limit = (precision * total as f64).floor() as i128;
    if precision <= 0.0 {
        return live;
    }
    let mut order: Vec<(i128, u32)> = live
        .iter()
        .map(|(&trace, &bytes)| (-bytes, trace))
        .collect();
    order.sort_unstable();
    let mut other = 0;
    for (bytes, trace) in order.into_iter().rev() {
        if bytes < 0 && trace != 0 {
            if other - bytes > limit {
                break;
            }
            other -= bytes;
            live.remove(&trace);
        }
    }
    *live.entry(0).or_default() += other;
    live.retain(|_, bytes| *bytes != 0);
    live
}

/// One over the probability of a size; 0 where that is 0.
pub(crate) fn stands_for(rates: &SamplingRates, size: u64) -> f64 {
    let probability = rates.probability(size);
    if probability > 0.0 {
        1.0 / probability
    } else {
        0.0
    }
}

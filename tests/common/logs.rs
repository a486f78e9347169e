//! Random logs for what must equal the plain way, whatever the log: events at the same time, a clock
//! that steps back, traces that the table does not have, blocks of size 0, frees of what was never
//! allocated.

#![allow(
    dead_code,
    unused_imports,
    unused_macros,
    reason = "no test needs all of it"
)]

use std::collections::BTreeMap;
use std::time::Duration;

use heapprof::EventKind;
use heapprof::{DigestOptions, Elapsed, Reader, SamplingRates, TraceId, Usage};
use proptest::collection::vec;
use proptest::prelude::*;

use super::common::Profile;
use super::plain;

/// How many traces the table has.
pub(crate) const TRACES: u32 = 5;

/// Wall clock in µs, trace, size, and whether it is a free.
pub(crate) type Line = (i64, u32, u64, bool);

pub(crate) fn traces() -> impl Strategy<Value = u32> {
    prop_oneof![
        6 => 0..=TRACES,
        1 => prop_oneof![Just(TRACES + 1), Just(70), Just(1 << 20), Just(TraceId::MAX.get())],
    ]
}

pub(crate) fn lines(most: usize) -> impl Strategy<Value = Vec<Line>> {
    let step = prop_oneof![
        5 => Just(0_i64),
        4 => 0_i64..5,
        2 => 0_i64..2000,
        1 => Just(1000),
        1 => 0_i64..50_000,
        1 => -3000_i64..0,
    ];
    let size = prop_oneof![
        1 => Just(0_u64),
        4 => Just(8_u64),
        3 => Just(1000_u64),
        2 => 0_u64..40,
        1 => 0_u64..1 << 40,
    ];
    vec((step, traces(), size, any::<bool>()), 0..most).prop_map(|steps| {
        let mut wall = 0;
        steps
            .into_iter()
            .map(|(step, trace, size, free)| {
                wall += step;
                (wall, trace, size, free)
            })
            .collect()
    })
}

/// The same without frees of what is not live.
pub(crate) fn sound_lines(most: usize) -> impl Strategy<Value = Vec<Line>> {
    lines(most).prop_map(|mut lines| {
        let mut live: BTreeMap<(u32, u64), u32> = BTreeMap::new();
        lines.retain(|&(_, trace, size, free)| {
            let live = live.entry((trace, size)).or_default();
            let keep = !free || *live > 0;
            *live = (*live + u32::from(keep && !free)) - u32::from(keep && free);
            keep
        });
        lines
    })
}

pub(crate) fn rates() -> impl Strategy<Value = SamplingRates> {
    prop_oneof![
        Just(SamplingRates::unsampled()),
        vec((0_u64..3000, any::<u32>()), 0..4).prop_map(SamplingRates::from_stored),
        Just(SamplingRates::from_stored([
            (10, 0),
            (500, u32::MAX / 3),
            (2000, u32::MAX)
        ])),
    ]
}

/// After one moment, or from the first event on; and up to another.
pub(crate) type Window = (Option<u64>, u64);

pub(crate) const WHOLE: Window = (None, u64::MAX);

/// A moment, often one at which there are events.
pub(crate) fn times() -> impl Strategy<Value = u64> {
    prop_oneof![
        2 => Just(0_u64),
        2 => 0_u64..20,
        3 => 0_u64..10_000,
        2 => 0_u64..200_000,
        1 => Just(u64::MAX),
    ]
}

/// A window; it does not always begin before it ends.
pub(crate) fn windows() -> impl Strategy<Value = Window> {
    prop_oneof![
        1 => Just(WHOLE),
        1 => (Just(None), times()),
        4 => (times().prop_map(Some), times()),
    ]
}

/// The bytes of a profile, and its events as the plain way reads them.
pub(crate) struct Log {
    hpm: Vec<u8>,
    hpd: Vec<u8>,
    pub(crate) events: Vec<plain::Event>,
}

impl Log {
    pub(crate) fn new(lines: &[Line], rates: &SamplingRates) -> Self {
        let mut profile = Profile::sampled(rates).traces(TRACES);
        for &(micros, trace, size, free) in lines {
            let kind = if free {
                EventKind::Free
            } else {
                EventKind::Allocation
            };
            profile.raw_event(micros, trace, size, kind);
        }
        let (hpm, hpd) = profile.into_bytes();
        let (events, bad) = plain::events(&hpd, rates);
        // An estimate over 63 bits ends a log.
        assert!(bad.is_none_or(|(_, bad)| bad == plain::Bad::Senseless));
        Self { hpm, hpd, events }
    }

    pub(crate) fn reader(&self) -> Reader {
        Reader::from_bytes(self.hpm.clone(), self.hpd.clone(), None).unwrap()
    }

    /// One without a digest, and one with.
    pub(crate) fn readers(&self) -> [Reader; 2] {
        let interval = Duration::from_millis(2);
        let digest = self
            .reader()
            .digest_with(DigestOptions::default().interval(interval))
            .unwrap();
        [self.reader(), self.reader().with_digest(digest)]
    }

    /// The end of the log.
    pub(crate) fn end(&self) -> i128 {
        self.events.last().map_or(0, |event| event.elapsed)
    }
}

pub(crate) fn at(micros: u64) -> Elapsed {
    Elapsed::from_micros(micros)
}

/// Whether an event is in a window.
pub(crate) fn inside((from, to): Window, elapsed: i128) -> bool {
    from.map_or(-1, i128::from) < elapsed && elapsed <= i128::from(to)
}

/// A question about a window.
macro_rules! about {
    ($question:expr, $window:expr) => {{
        let (question, window): (_, logs::Window) = ($question, $window);
        match window {
            logs::WHOLE => question,
            (None, to) => question.within(..logs::at(to)),
            (Some(from), to) => question.within(logs::at(from)..logs::at(to)),
        }
    }};
}
pub(crate) use about;

/// A usage as the plain way has it.
pub(crate) fn plain_usage(usage: &Usage) -> plain::Live {
    usage
        .by_trace()
        .map(|(trace, bytes)| (trace.map_or(0, TraceId::get), i128::from(bytes)))
        .collect()
}

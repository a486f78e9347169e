//! A recorder that samples: what of a whole recording it would have recorded.

#![allow(dead_code, reason = "no test needs all of it")]

use std::collections::{HashMap, VecDeque};

use fastrand::Rng;
use heapprof::SamplingRates;
use heapprof::raw::{EventLog, EventWriter};

/// The events of a log that a recorder with these rates would have written: each block with the
/// probability of its size, its allocation and its free together.
///
/// The log does not say which block a free frees: the oldest of its trace and size is as good as any,
/// since they are alike.
pub(crate) fn sampled(hpd: &[u8], rates: &SamplingRates, rng: &mut Rng) -> Vec<u8> {
    let mut out = EventWriter::new(Vec::new());
    let mut live: HashMap<_, VecDeque<bool>> = HashMap::new();
    for event in EventLog::new(hpd).events().map_while(Result::ok) {
        let blocks = live.entry((event.trace, event.size)).or_default();
        let recorded = if event.is_free() {
            // What was allocated before the recording began was not recorded.
            blocks.pop_front().unwrap_or(false)
        } else {
            let recorded = rng.f64() < rates.probability(event.size);
            blocks.push_back(recorded);
            recorded
        };
        if recorded {
            out.write_event(&event).unwrap();
        }
    }
    out.into_inner()
}

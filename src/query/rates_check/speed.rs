//! [`Speed`]: whether more blocks were recorded at once than a program can make.

use std::collections::VecDeque;
use std::ops::Range;

use super::float;
use crate::query::ask::AppliedEvent;

/// No program makes more blocks in a microsecond.
const FASTEST: f64 = 100.0;
/// The lengths of runs of blocks, as powers of two: 16 to 1024.
const RUNS: Range<u32> = 4..11;
/// The log probability, one in a million, below which a run refutes the rates.
const REFUTED: f64 = -13.8;

/// The latest blocks of a range of sizes.
#[derive(Debug, Clone, Default)]
pub(super) struct Speed {
    /// Time and number of the event of each.
    latest: VecDeque<(u64, u64)>,
    /// The number of blocks since the clock was last stepped back, and the number of steps back by then.
    since: u64,
    steps_back: u64,
    fastest: Option<Run>,
}

/// Consecutive blocks.
#[derive(Debug, Clone, Copy)]
pub(super) struct Run {
    pub(super) blocks: u64,
    /// The time of the first, and the longest time that all can have taken, in microseconds.
    pub(super) from: u64,
    pub(super) micros: u64,
    log_probability: f64,
}

impl Speed {
    /// Tests the runs that end with this allocation, of a block that is recorded with this probability, and
    /// returns their number. Blocks before the clock was last stepped back do not count.
    pub(super) fn enter(
        &mut self,
        applied: &AppliedEvent,
        probability: f64,
        steps_back: u64,
    ) -> u64 {
        if self.steps_back != steps_back {
            self.steps_back = steps_back;
            self.latest.clear();
            self.since = 0;
        }
        let (now, number) = (applied.event.elapsed.as_micros(), applied.number);
        if self.latest.len() >= 1 << (RUNS.end - 1) {
            self.latest.pop_front();
        }
        self.latest.push_back((now, number));
        self.since += 1;
        let mut tested = 0;
        for blocks in RUNS.map(|power| 1_usize << power) {
            // Each run overlaps the previous one by half.
            let is_due = self.since.is_multiple_of(blocks as u64 / 2);
            let first = self.latest.len().checked_sub(blocks);
            let first = first.and_then(|place| self.latest.get(place));
            let (true, Some(&(then, first))) = (is_due, first) else {
                continue;
            };
            tested += 1;
            // Each event lost less than a microsecond.
            let micros = now.saturating_sub(then) + number.saturating_sub(first) + 1;
            let most = FASTEST * probability * float(micros);
            let found = float(blocks as u64 - 1);
            if found <= most {
                continue;
            }
            // Chernoff's bound for the tail of a Poisson distribution.
            let log_probability = found - most - found * (found / most).ln();
            let is_faster = |fastest: Run| log_probability < fastest.log_probability;
            if self.fastest.is_none_or(is_faster) {
                self.fastest = Some(Run {
                    blocks: blocks as u64,
                    from: then,
                    micros,
                    log_probability,
                });
            }
        }
        tested
    }

    /// The run that refutes the probability, given the number of all tested runs.
    pub(super) fn refuted(&self, tested: u64) -> Option<Run> {
        self.fastest
            .filter(|run| run.log_probability + float(tested.max(1)).ln() < REFUTED)
    }
}

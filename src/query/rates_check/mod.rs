//! [`RatesCheck`]: whether the sampling rates in use can be those of the recording.

mod counts;
mod edges;
mod evidence;
mod speed;

use std::ops::{ControlFlow, Range};
use std::time::Duration;

use counts::SiteCounts;
use edges::{Edge, Ends};
pub use evidence::RatesEvidence;
use speed::Speed;

use crate::error::{Result, Taint};
use crate::heap::LiveHeap;
use crate::query::ask::{AppliedEvent, Query, QueryEnd, QueryStart};
use crate::raw::rates::SamplingRates;
use crate::reader::Reader;
use crate::time::Elapsed;

/// Whether the sampling rates in use can be those a log was recorded with, or whether it looks as if
/// everything was recorded: what heapprof 1.0 does on 64-bit Linux, whatever rates it states.
///
/// The check uses only the log. It compares two hypotheses, that blocks were sampled with these rates and that
/// all blocks were recorded, by four kinds of evidence.
///
/// * **Blocks that are never recorded.** One block of a size whose probability is 0 refutes the
///   rates.
/// * **Speed.** A recorded block is one of many, and no program makes more than 10⁸ blocks a second. The
///   probability of a run of recorded blocks in a short time is the tail of a Poisson distribution, with the bound
///   of Chernoff (1952). The check tests all runs of 16, 32, … 1024 blocks of a range, and allows for the
///   resolution of the clock. Below one in a million for the whole log, the rates are refuted.
/// * **Edges.** Where the probability jumps from one range to the next, so does the number of recorded blocks if
///   they were sampled, but not if all were recorded. The check compares the octaves below and above the edge.
///   Without sampling they differ by a factor of e^(0.5 ± 1.5) up to 512 bytes and of e^(0.5 ± 2.5) above, in 13
///   recordings, with the heavy tail of Student's distribution with three degrees of freedom.
/// * **Numbers.** Lines that run equally often allocate equally often. If everything was recorded, their
///   numbers of blocks are equal too; in a sample they are equal only by chance. The check looks at pairs of
///   consecutive traces and sizes whose numbers differ no more than sampling could explain. It assumes that a
///   fifth of all programs have no such lines.
///
/// The odds of edges and numbers are multiplied. At 100 to 1 against the rates they look wrong, at 20 to 1 for
/// them right.
///
/// The table has the results for logs in which everything was recorded, with the rates stated in their header, and
/// for 20 samples of each log by a true recorder: for 14 recordings, six of them with fewer than 6 000
/// events, and for 40 generated logs, half of them without loops, all with one event in 5 µs. The check *never*
/// found a true sample wrong, or a log in which everything was recorded right. In all other cases the result is
/// [`CannotTell`](RatesVerdict::CannotTell).
///
/// | rates stated | all recorded: wrong | generated: wrong | sampled: right | generated: right |
/// | --- | --- | --- | --- | --- |
/// | 128: 0.0001, 8192: 0.1 (heapprof's default) | 14 of 14 | 40 of 40 | 171 of 280 | 779 of 800 |
/// | 128: 0.001 | 14 | 9 | 187 | 799 |
/// | 128: 0.01 | 6 | 5 | 109 | 339 |
/// | 512: 0.1 | 7 | 4 | 0 | 0 |
/// | 1024: 0.001, 65536: 0.1 | 14 | 10 | 34 | 79 |
/// | 32: 0.001, 256: 0.01, 4096: 0.1 | 7 | 8 | 63 | 559 |
/// | 65536: 0.01 | 7 | 8 | 0 | 0 |
/// | 128: 0.5 | 6 | 2 | 0 | 0 |
///
/// The constants were chosen with these logs. For 40 logs generated afterwards, and for new samples of all logs,
/// the check made no mistake either; it was not tried with recordings of other programs.
///
/// Samples at the default rates without a result have fewer than 300 events. For rates near 1, and for rates that are
/// wrong by a factor of two, as in heapprof 1.0 with 32-bit integers, the check has no result either.
///
/// ```
/// use heapprof::query::RatesVerdict;
/// use heapprof::{Reader, SamplingRates};
///
/// // Everything was recorded. Had the header stated heapprof's default rates:
/// let reader = Reader::open("examples/data/demo")?;
/// let rates = SamplingRates::new([(128, 1e-4), (8192, 0.1)])?;
/// let check = reader.with_rates(rates).rates_check()?;
/// assert_eq!(check.verdict(), RatesVerdict::LookWrong);
/// for evidence in check.evidence() {
///     println!("{evidence}");
/// }
/// # Ok::<(), heapprof::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct RatesCheck {
    verdict: RatesVerdict,
    log_odds: f64,
    evidence: Vec<RatesEvidence>,
    damaged: Taint,
}

/// The result of a [`RatesCheck`].
///
/// ```
/// use heapprof::query::RatesVerdict;
/// use heapprof::{Reader, SamplingRates};
///
/// let reader = Reader::open("examples/data/demo")?;
/// // Everything was recorded, and the file says so.
/// assert_eq!(reader.rates_check()?.verdict(), RatesVerdict::CannotTell);
/// let wrong = SamplingRates::new([(128, 0.0001), (8192, 0.1)])?;
/// assert_eq!(reader.with_rates(wrong).rates_check()?.verdict(), RatesVerdict::LookWrong);
/// # Ok::<(), heapprof::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "snake_case"))]
#[non_exhaustive]
pub enum RatesVerdict {
    /// They cannot be true: take the log as [unsampled](Reader::unsampled).
    LookWrong,
    /// It was sampled as they say, or nearly so.
    LookRight,
    /// The log is too short, or the rates are too near 1.
    CannotTell,
}

impl RatesCheck {
    /// The query, for the whole log.
    pub fn query() -> RatesCheckQuery {
        RatesCheckQuery {
            ranges: Vec::new(),
            counts: SiteCounts::new(&SamplingRates::unsampled()),
            behind: 0,
            steps_back: 0,
            runs: 0,
        }
    }

    /// The result.
    pub fn verdict(&self) -> RatesVerdict {
        self.verdict
    }

    /// The natural logarithm of the odds that everything was recorded, against sampled as stated, by
    /// the edges and the numbers: above 0 the rates look wrong, below they look right.
    pub fn log_odds(&self) -> f64 {
        self.log_odds
    }

    /// The evidence: first what refutes the rates, then the edges in the order of size, then the numbers.
    pub fn evidence(&self) -> &[RatesEvidence] {
        &self.evidence
    }

    /// Whether it is derived from [damaged](crate::Usage::is_damaged) input.
    pub fn is_damaged(&self) -> bool {
        self.damaged.0
    }
}

impl Reader {
    /// Whether the [rates](Self::rates) in use can be those the log was recorded with: see
    /// [`RatesCheck`]. One pass over the log.
    ///
    /// A log that is read as [unsampled](Self::unsampled) has no result.
    ///
    /// # Errors
    /// If the log cannot be read.
    pub fn rates_check(&self) -> Result<RatesCheck> {
        self.ask(RatesCheck::query())
    }
}

/// The query for [`RatesCheck`].
///
/// Memory: up to 3 MB, and 16 KB a range.
///
/// ```
/// use heapprof::query::{Live, RatesCheck, RatesVerdict};
/// use heapprof::{Reader, SamplingRates};
///
/// let wrong = SamplingRates::new([(128, 0.0001), (8192, 0.1)])?;
/// let reader = Reader::open("examples/data/demo")?.with_rates(wrong);
/// let (check, end) = reader.ask((RatesCheck::query(), Live::query()))?;
/// assert_eq!(check.verdict(), RatesVerdict::LookWrong);
/// assert_eq!(end.total(), 2_080_846_154); // and so is this
/// # Ok::<(), heapprof::Error>(())
/// ```
#[derive(Debug, Clone)]
#[must_use]
pub struct RatesCheckQuery {
    /// The ranges of the rates, and one of all larger sizes.
    ranges: Vec<RangeEvidence>,
    counts: SiteCounts,
    /// How far the wall clock is behind, and how often it was stepped back: after a step, a run seems
    /// shorter than it was.
    behind: i128,
    steps_back: u64,
    /// The number of tested runs.
    runs: u64,
}

/// The evidence from a range of sizes.
#[derive(Debug, Clone)]
struct RangeEvidence {
    sizes: Range<u64>,
    probability: f64,
    blocks: u64,
    /// The offset of the first one's record.
    first: u64,
    ends: Ends,
    speed: Speed,
}

/// Odds of 100 to 1 against the rates.
const WRONG: f64 = 4.6;
/// Odds of 20 to 1 for them.
const RIGHT: f64 = -3.0;

#[expect(clippy::cast_precision_loss, reason = "odds")]
fn float(number: u64) -> f64 {
    number as f64
}

impl RangeEvidence {
    fn new(sizes: Range<u64>, probability: f64) -> Self {
        Self {
            ends: Ends::new(&sizes),
            sizes,
            probability,
            blocks: 0,
            first: 0,
            speed: Speed::default(),
        }
    }

    /// Whether some blocks of the range are recorded and others are not.
    fn is_sampled(&self) -> bool {
        self.probability > 0.0 && self.probability < 1.0
    }

    /// The evidence that refutes the probability, given the number of all tested runs.
    fn refuted(&self, runs: u64) -> Option<RatesEvidence> {
        let sizes = self.sizes.clone();
        if self.probability <= 0.0 {
            return (self.blocks > 0).then_some(RatesEvidence::NeverRecorded {
                sizes,
                blocks: self.blocks,
                first_offset: self.first,
            });
        }
        let run = self.speed.refuted(runs)?;
        let per_micro = float(run.blocks - 1) / float(run.micros);
        Some(RatesEvidence::TooFast {
            sizes,
            blocks: run.blocks,
            within: Duration::from_micros(run.micros),
            at: Elapsed::from_micros(run.from),
            implied_per_second: per_micro / self.probability * 1e6,
        })
    }

    /// The evidence from the edge between this range and the next.
    fn edge(&self, next: &Self) -> Option<RatesEvidence> {
        let stated = self.probability / next.probability;
        if self.probability <= 0.0 || next.probability <= 0.0 || stated.ln() == 0.0 {
            return None;
        }
        let edge = Edge::between(&self.ends, &next.ends, stated)?;
        Some(RatesEvidence::Edge {
            size: self.sizes.end,
            below: edge.below,
            above: edge.above,
            stated,
            log_odds: edge.log_odds,
        })
    }
}

impl Query for RatesCheckQuery {
    type Output = RatesCheck;

    fn begin(&mut self, start: &QueryStart<'_>) -> Result<()> {
        let rates = start.rates().by_size();
        self.ranges = rates
            .map(|(sizes, range)| RangeEvidence::new(sizes, range.probability()))
            .collect();
        let end = self.ranges.last().map_or(0, |range| range.sizes.end);
        self.ranges.push(RangeEvidence::new(end..u64::MAX, 1.0));
        self.counts = SiteCounts::new(start.rates());
        Ok(())
    }

    fn observe(&mut self, applied: &AppliedEvent, _: &LiveHeap) -> ControlFlow<()> {
        let event = &applied.event;
        let behind = i128::from(event.elapsed.as_micros()) - i128::from(event.wall.as_micros());
        if behind != self.behind {
            self.behind = behind;
            self.steps_back += 1;
        }
        if event.is_free() {
            return ControlFlow::Continue(());
        }
        let at = self
            .ranges
            .partition_point(|range| range.sizes.end <= event.size);
        let Some(range) = self.ranges.get_mut(at) else {
            return ControlFlow::Continue(());
        };
        if range.blocks == 0 {
            range.first = applied.offset;
        }
        range.blocks += 1;
        range.ends.enter(event.size);
        if range.is_sampled() {
            self.runs += range
                .speed
                .enter(applied, range.probability, self.steps_back);
            self.counts.enter(applied);
        }
        ControlFlow::Continue(())
    }

    fn finish(self, end: &QueryEnd<'_>) -> RatesCheck {
        let refuted = self.ranges.iter();
        let mut evidence: Vec<_> = refuted
            .filter_map(|range| range.refuted(self.runs))
            .collect();
        let is_refuted = !evidence.is_empty();
        let edges = self.ranges.iter().zip(self.ranges.iter().skip(1));
        evidence.extend(edges.filter_map(|(range, next)| range.edge(next)));
        let agreement = self.counts.agreement();
        if agreement.pairs > 0 {
            evidence.push(RatesEvidence::Counts {
                pairs: agreement.pairs,
                equal: agreement.equal,
                by_chance: agreement.by_chance,
                log_odds: agreement.log_odds,
            });
        }
        // The sum of no numbers is -0.
        let log_odds = 0.0
            + evidence
                .iter()
                .filter_map(RatesEvidence::log_odds)
                .sum::<f64>();
        let verdict = if is_refuted || log_odds >= WRONG {
            RatesVerdict::LookWrong
        } else if log_odds <= RIGHT {
            RatesVerdict::LookRight
        } else {
            RatesVerdict::CannotTell
        };
        RatesCheck {
            verdict,
            log_odds,
            evidence,
            damaged: end.taint(),
        }
    }
}

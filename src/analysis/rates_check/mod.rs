//! Can the sampling rates that a log is read with be true?

mod counts;
mod edges;
mod evidence;
mod speed;

use std::ops::{ControlFlow, Range};
use std::time::Duration;

use counts::Counts;
use edges::{Edge, Ends};
pub use evidence::RatesEvidence;
use speed::Speed;

use crate::analysis::question::{LogEnd, LogStep, Question};
use crate::error::{Damaged, Result};
use crate::heap::LiveHeap;
use crate::raw::rates::SamplingRates;
use crate::reader::Reader;
use crate::time::Elapsed;

/// Whether the sampling rates in use can be those a log was recorded with, or whether it looks as if
/// everything was recorded: what heapprof 1.0 does on 64-bit Linux, whatever rates it states.
///
/// It is told from the log alone, by what two suppositions foretell: that blocks were sampled as the
/// rates say, and that all of them were recorded. Four things tell them apart.
///
/// * **Blocks that are never recorded.** One block of a size whose probability is 0 refutes the
///   rates.
/// * **Speed.** A recorded block stands for many, and no program makes more than 10⁸ blocks a second.
///   That so many were recorded in a time so short is as unlikely as the tail of a Poisson
///   distribution (bounded as by Chernoff 1952). All runs of 16, 32, … 1024 blocks of a range are
///   looked at; that the clock cuts each difference is allowed for. Below one in a million for the
///   whole log, the rates are refuted.
/// * **Edges.** Where the probability jumps from one range to the next, so does the number of
///   recorded blocks if they were sampled, but not if all were. The blocks of an octave below the edge
///   are set against those of one above. By how much programs differ there by themselves was taken
///   from 13 recordings: by a factor of e^(0.5 ± 1.5) up to 512 bytes and of e^(0.5 ± 2.5) above,
///   with a tail as heavy as that of Student's distribution with three degrees of freedom.
/// * **Numbers.** Lines that a program passes equally often allocate equally often. If everything was
///   recorded, numbers of blocks of different lines are equal too; if they were sampled, only by
///   chance. Pairs of traces and sizes that were met one after the other are looked at, whose numbers
///   are so near each other that sampling could explain it. A fifth of all programs are taken to have
///   no such lines.
///
/// Edges and numbers have odds, which are multiplied: 100 to 1 against the rates make them look
/// wrong, 20 to 1 for them right.
///
/// How often it is right was tried on logs in which everything was recorded, with the rates stated in
/// their header, and on samples of them by a true recorder, 20 of each log: on 14 recordings, of which
/// six have fewer than 6 000 events, and on 40 generated logs, half of them without loops, all with
/// one event in 5 µs. *Never* was a true sample found wrong, or a log in which everything was
/// recorded right; the rest is that it cannot tell.
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
/// The constants were chosen with these logs in view. On 40 logs generated afterwards, and on new
/// samples of all, there was no mistake either; recordings of other programs were not tried.
///
/// Samples at the default rates of which nothing can be told have fewer than 300 events. With rates
/// near 1, and rates that are wrong by a factor of two, as heapprof 1.0 has them where its integers
/// have 32 bits, it cannot tell either.
///
/// ```
/// use heapprof::{RatesVerdict, Reader, SamplingRates};
///
/// // Everything was recorded. Had the header stated heapprof's default rates:
/// let reader = Reader::open("examples/data/demo")?;
/// let rates = SamplingRates::new([(128, 1e-4), (8192, 0.1)])?;
/// let check = reader.with_rates(rates).check_rates()?;
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
    damaged: Damaged,
}

/// What a log says of the rates it is read with.
///
/// ```
/// use heapprof::{RatesVerdict, Reader, SamplingRates};
///
/// let reader = Reader::open("examples/data/demo")?;
/// // Everything was recorded, and the file says so.
/// assert_eq!(reader.check_rates()?.verdict(), RatesVerdict::CannotTell);
/// let wrong = SamplingRates::new([(128, 0.0001), (8192, 0.1)])?;
/// assert_eq!(reader.with_rates(wrong).check_rates()?.verdict(), RatesVerdict::LookWrong);
/// # Ok::<(), heapprof::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
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
    /// What the log says.
    pub fn verdict(&self) -> RatesVerdict {
        self.verdict
    }

    /// The natural logarithm of the odds that everything was recorded, against sampled as stated, by
    /// the edges and the numbers: above 0 the rates look wrong, below they look right.
    pub fn log_odds(&self) -> f64 {
        self.log_odds
    }

    /// What tells for or against: what refutes first, then the edges in the order of size, then the
    /// numbers.
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
    /// Nothing can be told of a log that is taken as [unsampled](Self::unsampled).
    ///
    /// # Errors
    /// If the log cannot be read.
    pub fn check_rates(&self) -> Result<RatesCheck> {
        self.ask(CheckRates::new(self.rates()))
    }
}

/// The [`Question`] that [`RatesCheck`] answers, for a pass that is shared with others.
///
/// Memory: up to 3 MB, and 16 KB a range.
///
/// ```
/// use heapprof::{CheckRates, Live, RatesVerdict, Reader, SamplingRates};
///
/// let wrong = SamplingRates::new([(128, 0.0001), (8192, 0.1)])?;
/// let reader = Reader::open("examples/data/demo")?.with_rates(wrong);
/// let (check, end) = reader.ask((CheckRates::new(reader.rates()), Live::at_end()))?;
/// assert_eq!(check.verdict(), RatesVerdict::LookWrong);
/// assert_eq!(end.total(), 2_080_846_154); // and so is this
/// # Ok::<(), heapprof::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct CheckRates {
    /// The ranges that decide, and after them that of all larger sizes.
    ranges: Vec<Seen>,
    counts: Counts,
    /// How far the wall clock is behind, and how often it was stepped back: that would make a run
    /// look shorter than it was.
    behind: i128,
    steps_back: u64,
    /// How many runs were looked at.
    runs: u64,
}

/// What was seen of a range.
#[derive(Debug, Clone)]
struct Seen {
    sizes: Range<u64>,
    probability: f64,
    blocks: u64,
    /// Where the record of the first begins.
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

impl Seen {
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

    /// What refutes the probability, after so many runs were looked at.
    fn refuted(&self, runs: u64) -> Option<RatesEvidence> {
        let sizes = self.sizes.clone();
        if self.probability <= 0.0 {
            return (self.blocks > 0).then_some(RatesEvidence::NeverRecorded {
                sizes,
                blocks: self.blocks,
                first: self.first,
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

    /// What the edge between this range and the next tells.
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

impl CheckRates {
    /// For a log that is read with these rates.
    pub fn new(rates: &SamplingRates) -> Self {
        let mut ranges: Vec<Seen> = rates
            .by_size()
            .map(|(sizes, range)| Seen::new(sizes, range.probability()))
            .collect();
        let end = ranges.last().map_or(0, |range| range.sizes.end);
        ranges.push(Seen::new(end..u64::MAX, 1.0));
        Self {
            ranges,
            counts: Counts::new(rates),
            behind: 0,
            steps_back: 0,
            runs: 0,
        }
    }
}

impl Question for CheckRates {
    type Answer = RatesCheck;

    fn take(&mut self, step: &LogStep, _: &LiveHeap) -> ControlFlow<()> {
        let event = &step.event;
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
            range.first = step.offset;
        }
        range.blocks += 1;
        range.ends.enter(event.size);
        if range.is_sampled() {
            self.runs += range.speed.enter(step, range.probability, self.steps_back);
            self.counts.enter(step);
        }
        ControlFlow::Continue(())
    }

    fn answer(self, end: &LogEnd<'_>) -> RatesCheck {
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
            damaged: end.damaged,
        }
    }
}

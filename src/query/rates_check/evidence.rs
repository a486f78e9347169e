//! [`RatesEvidence`]: a piece of evidence for or against sampling rates.

use std::fmt;
use std::ops::Range;
use std::time::Duration;

use crate::time::Elapsed;

/// A piece of evidence for or against the rates.
///
/// ```
/// use heapprof::query::RatesEvidence;
/// use heapprof::{Reader, SamplingRates};
///
/// let wrong = SamplingRates::new([(128, 0.0001), (8192, 0.1)])?;
/// let check = Reader::open("examples/data/demo")?.with_rates(wrong).rates_check()?;
/// let RatesEvidence::TooFast { blocks, .. } = &check.evidence()[0] else { panic!() };
/// assert_eq!(*blocks, 1_024);
/// assert_eq!(
///     check.evidence()[0].to_string(),
///     "1024 blocks in 4.998ms, which stand for 2.0e9 blocks a second",
/// );
/// # Ok::<(), heapprof::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[cfg_attr(feature = "serde", serde(tag = "kind", rename_all = "snake_case"))]
#[non_exhaustive]
pub enum RatesEvidence {
    /// Blocks were recorded that never are: against.
    NeverRecorded {
        /// The sizes whose probability is 0.
        #[cfg_attr(
            feature = "serde",
            serde(serialize_with = "crate::serde_as::half_open")
        )]
        sizes: Range<u64>,
        /// The number of blocks of these sizes.
        blocks: u64,
        /// The offset of the first one's record, in bytes from the start of the log.
        first_offset: u64,
    },
    /// More blocks were recorded at once than a program can make: against.
    TooFast {
        /// The sizes of the range.
        #[cfg_attr(
            feature = "serde",
            serde(serialize_with = "crate::serde_as::half_open")
        )]
        sizes: Range<u64>,
        /// The number of consecutive blocks.
        blocks: u64,
        /// The time in which they were recorded.
        #[cfg_attr(
            feature = "serde",
            serde(rename = "within_us", serialize_with = "crate::serde_as::micros")
        )]
        within: Duration,
        /// The time of the first.
        #[cfg_attr(feature = "serde", serde(rename = "at_us"))]
        at: Elapsed,
        /// The estimate of all blocks a second meanwhile.
        implied_per_second: f64,
    },
    /// Where the probability jumps, the number of blocks does too, or does not.
    Edge {
        /// The size from which on the next range holds.
        size: u64,
        /// The blocks below it, down to half its size or the end of the range.
        below: u64,
        /// The blocks from it on, up to twice its size or the end of the range.
        above: u64,
        /// The probability below over that above. A sample has fewer blocks below by this factor.
        stated: f64,
        /// The logarithm of the odds that all were recorded: against the rates if positive, for
        /// them if negative.
        log_odds: f64,
    },
    /// Lines that run equally often allocate equally often, but samples of their blocks hardly ever have equal
    /// numbers.
    Counts {
        /// The number of pairs of traces and sizes with similar numbers of blocks.
        pairs: u64,
        /// The number of pairs with equal numbers.
        equal: u64,
        /// The largest expected number of equal pairs in a sample.
        by_chance: f64,
        /// The logarithm of the odds that all were recorded.
        log_odds: f64,
    },
}

impl fmt::Display for RatesEvidence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NeverRecorded { sizes, blocks, .. } => {
                let (first, last) = (sizes.start, sizes.end.saturating_sub(1));
                write!(
                    f,
                    "{blocks} blocks of {first} to {last} bytes, which are never recorded"
                )
            }
            Self::TooFast {
                blocks,
                within,
                implied_per_second: implied,
                ..
            } => write!(
                f,
                "{blocks} blocks in {within:?}, which stand for {implied:.1e} blocks a second"
            ),
            Self::Edge {
                size,
                below,
                above,
                stated,
                ..
            } => write!(
                f,
                "{below} blocks just below {size} bytes and {above} from there on, where the \
                 probability jumps {:.0}-fold",
                stated.max(1.0 / stated)
            ),
            Self::Counts {
                pairs,
                equal,
                by_chance,
                ..
            } => write!(
                f,
                "{equal} of {pairs} pairs of numbers of blocks are equal, where sampling makes \
                 {by_chance:.1}"
            ),
        }
    }
}

impl RatesEvidence {
    /// The logarithm of the odds that everything was recorded; `None` for evidence that refutes by itself.
    pub(super) fn log_odds(&self) -> Option<f64> {
        match *self {
            Self::Edge { log_odds, .. } | Self::Counts { log_odds, .. } => Some(log_odds),
            Self::NeverRecorded { .. } | Self::TooFast { .. } => None,
        }
    }
}

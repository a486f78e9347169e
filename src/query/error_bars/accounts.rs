//! [`Accounts`]: the variance of each trace while a query runs.

use hashbrown::HashMap;

use super::{ErrorBars, Spread};
use crate::id::TraceId;
use crate::query::ask::AppliedEvent;
use crate::raw::rates::SamplingRates;
use crate::usage::Usage;

/// The variance and the number of blocks of each trace.
#[derive(Debug, Clone)]
pub(in crate::query) struct Accounts {
    rates: SamplingRates,
    measure: Measure,
    /// The variances of small sizes, which are the most frequent.
    small: Box<[i128]>,
    of: HashMap<u32, Account>,
    /// Whether a growth has begun.
    has_begun: bool,
}

/// What is estimated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::query) enum Measure {
    Bytes,
    Blocks,
}

impl Measure {
    /// The variance of the estimate of a recorded block, in units of [`unit`](Self::unit).
    fn variance(self, rates: &SamplingRates, size: u64) -> i128 {
        let variance = match self {
            Self::Bytes => rates.variance(size),
            Self::Blocks => rates.block_variance(size),
        };
        i128::try_from(variance).unwrap_or(i128::MAX)
    }

    /// A unit of a variance, in square bytes or square blocks.
    fn unit(self) -> f64 {
        match self {
            Self::Bytes => 1.0,
            Self::Blocks => 1.0 / 4_294_967_296.0,
        }
    }
}

/// The sampled blocks of one trace.
#[derive(Debug, Clone, Copy, Default)]
struct Account {
    /// The live blocks.
    live: Blocks,
    /// The blocks that were live when the growth began.
    at_from: Blocks,
    /// The blocks freed since then.
    freed: Blocks,
}

#[derive(Debug, Clone, Copy, Default)]
struct Blocks {
    /// The variance of the sum of their estimates, in whole units, so that a free cancels its allocation.
    variance: i128,
    count: i64,
}

impl Blocks {
    fn add(&mut self, variance: i128, count: i64) {
        self.variance = self.variance.saturating_add(variance);
        self.count = self.count.saturating_add(count);
    }

    #[expect(clippy::cast_precision_loss, reason = "an estimate of an error")]
    fn spread(self, unit: f64) -> Spread {
        // A log of two processes can have more frees than allocations.
        Spread {
            variance: self.variance.max(0) as f64 * unit,
            blocks: self.count.max(0) as f64,
        }
    }
}

impl Account {
    /// The blocks that are live and were not, and those that were live and are not.
    ///
    /// The log does not say which block a free frees. At most as many of the blocks that were live at the beginning
    /// were freed as were freed in total, so the result may be too large, but never too small.
    fn growth(self) -> Blocks {
        let Self {
            live,
            at_from,
            freed,
        } = self;
        let changed = |live: i128, at_from: i128, freed: i128| {
            let gone = at_from.min(freed).saturating_mul(2);
            live.saturating_sub(at_from).saturating_add(gone)
        };
        let count = changed(live.count.into(), at_from.count.into(), freed.count.into());
        Blocks {
            variance: changed(live.variance, at_from.variance, freed.variance),
            count: i64::try_from(count).unwrap_or(i64::MAX),
        }
    }
}

/// For sizes below this the variance is looked up.
const SMALL: u64 = 1024;

impl Accounts {
    pub(in crate::query) fn new(rates: &SamplingRates, measure: Measure) -> Self {
        let small = if rates.is_unsampled() { 0 } else { SMALL };
        let small = (0..small).map(|size| measure.variance(rates, size));
        Self {
            small: small.collect(),
            rates: rates.clone(),
            measure,
            of: HashMap::new(),
            has_begun: false,
        }
    }

    /// Enters an event. `is_growth` says that it is after the first of two moments.
    pub(in crate::query) fn enter(&mut self, applied: &AppliedEvent, is_growth: bool) {
        if is_growth {
            self.begin_growth();
        }
        let size = applied.event.size;
        let small = usize::try_from(size).ok().and_then(|at| self.small.get(at));
        let variance = match small {
            Some(&variance) => variance,
            None => self.measure.variance(&self.rates, size),
        };
        if variance == 0 {
            return;
        }
        let account = self.of.entry(TraceId::to_disk(applied.event.trace));
        let account = account.or_default();
        if applied.event.is_free() {
            account.live.add(-variance, -1);
            if is_growth {
                account.freed.add(variance, 1);
            }
        } else {
            account.live.add(variance, 1);
        }
    }

    fn begin_growth(&mut self) {
        if !self.has_begun {
            self.has_begun = true;
            for account in self.of.values_mut() {
                account.at_from = account.live;
            }
        }
    }

    /// The estimates with their errors: of what is live, or of the growth.
    pub(in crate::query) fn error_bars(mut self, usage: Usage, is_growth: bool) -> ErrorBars {
        self.begin_growth();
        let unit = self.measure.unit();
        let spreads = self.of.iter().map(|(&index, &account)| {
            let blocks = if is_growth {
                account.growth()
            } else {
                account.live
            };
            (index, blocks.spread(unit))
        });
        ErrorBars::new(usage, spreads, &self.rates)
    }
}

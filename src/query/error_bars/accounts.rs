//! [`Accounts`]: the variance of each trace while a query runs.

use hashbrown::HashMap;

use super::{ErrorBars, Spread};
use crate::id::TraceId;
use crate::query::ask::AppliedEvent;
use crate::raw::rates::SamplingRates;
use crate::usage::Usage;

/// The variance and the number of blocks of each trace.
#[derive(Debug, Clone)]
pub(super) struct Accounts {
    rates: SamplingRates,
    /// The variances of small sizes, which are the most frequent.
    small: Box<[i128]>,
    of: HashMap<u32, Account>,
}

/// The sampled blocks of one trace.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Account {
    /// The live blocks.
    pub(super) live: Blocks,
    /// The blocks that were live when the growth began.
    at_from: Blocks,
    /// The blocks freed since then.
    freed: Blocks,
}

#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Blocks {
    /// The variance of the sum of their estimates, in whole square bytes, so that a free cancels its
    /// allocation.
    variance: i128,
    count: i64,
}

impl Blocks {
    fn add(&mut self, variance: i128, count: i64) {
        self.variance = self.variance.saturating_add(variance);
        self.count = self.count.saturating_add(count);
    }

    #[expect(clippy::cast_precision_loss, reason = "an estimate of an error")]
    pub(super) fn spread(self) -> Spread {
        // A log of two processes can have more frees than allocations.
        Spread {
            variance: self.variance.max(0) as f64,
            blocks: self.count.max(0) as f64,
        }
    }
}

impl Account {
    /// The blocks that are live and were not, and those that were live and are not.
    ///
    /// The log does not say which block a free frees. At most as many of the blocks that were live at the beginning
    /// were freed as were freed in total, so the result may be too large, but never too small.
    pub(super) fn growth(self) -> Blocks {
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
    pub(super) fn new(rates: &SamplingRates) -> Self {
        let small = if rates.is_unsampled() { 0 } else { SMALL };
        Self {
            small: (0..small).map(|size| variance(rates, size)).collect(),
            rates: rates.clone(),
            of: HashMap::new(),
        }
    }

    pub(super) fn enter(&mut self, applied: &AppliedEvent, is_growth: bool) {
        let size = applied.event.size;
        let small = usize::try_from(size).ok().and_then(|at| self.small.get(at));
        let variance = match small {
            Some(&variance) => variance,
            None => variance(&self.rates, size),
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

    pub(super) fn begin_growth(&mut self) {
        for account in self.of.values_mut() {
            account.at_from = account.live;
        }
    }

    pub(super) fn error_bars(&self, usage: Usage, spread: impl Fn(Account) -> Spread) -> ErrorBars {
        let spreads = self
            .of
            .iter()
            .map(|(&index, &account)| (index, spread(account)));
        ErrorBars::new(usage, spreads, &self.rates)
    }
}

fn variance(rates: &SamplingRates, size: u64) -> i128 {
    i128::try_from(rates.variance(size)).unwrap_or(i128::MAX)
}

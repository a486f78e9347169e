//! [`SiteCounts`]: numbers of blocks that agree more often than sampling would allow.

use hashbrown::HashMap;

use super::float;
use crate::id::TraceId;
use crate::query::ask::AppliedEvent;
use crate::raw::rates::SamplingRates;

/// The query counts no more traces and sizes than this. The first ones are as good as any.
const SITES: usize = 1 << 16;
/// With fewer blocks, numbers agree by chance too often.
const BLOCKS: u64 = 20;
/// The part of programs whose loops do not show even if everything was recorded.
const WITHOUT: f64 = 0.2;

/// How many blocks of each trace and size were recorded, of sizes that are sampled.
#[derive(Debug, Clone)]
pub(super) struct SiteCounts {
    rates: SamplingRates,
    /// The order of each among all, and its number of blocks.
    sites: HashMap<(u32, u64), (usize, u64)>,
}

/// The evidence of all pairs.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(super) struct Agreement {
    pub(super) pairs: u64,
    pub(super) equal: u64,
    /// The largest expected number of equal pairs in a sample.
    pub(super) by_chance: f64,
    pub(super) log_odds: f64,
}

impl SiteCounts {
    pub(super) fn new(rates: &SamplingRates) -> Self {
        Self {
            rates: rates.clone(),
            sites: HashMap::new(),
        }
    }

    pub(super) fn enter(&mut self, applied: &AppliedEvent) {
        let key = (TraceId::to_disk(applied.event.trace), applied.event.size);
        let met = self.sites.len();
        match self.sites.get_mut(&key) {
            Some((_, blocks)) => *blocks += 1,
            None if met < SITES => {
                self.sites.insert(key, (met, 1));
            }
            None => {}
        }
    }

    /// Counts the pairs of consecutive traces and sizes with similar numbers, and the equal ones among them.
    pub(super) fn agreement(&self) -> Agreement {
        let mut sites: Vec<(usize, u64, f64)> = self
            .sites
            .iter()
            .filter(|(_, (_, blocks))| *blocks >= BLOCKS)
            .map(|(key, &(met, blocks))| {
                // The variance of a number in a sample.
                let variance = float(blocks) * (1.0 - self.rates.probability(key.1));
                (met, blocks, variance)
            })
            .collect();
        sites.sort_unstable_by_key(|&(met, ..)| met);
        let (mut pairs, mut equal, mut by_chance) = (0_u64, 0_u64, 0.0);
        let mut log_sampled = 0.0;
        for pair in sites.chunks_exact(2) {
            let &[(_, a, of_a), (_, b, of_b)] = pair else {
                continue;
            };
            let spread = (of_a + of_b).sqrt();
            if spread <= 3.0 || float(a.abs_diff(b)) > 2.0 * spread {
                continue;
            }
            // The middle of a normal distribution over what lies within two deviations; less if the
            // true numbers differ.
            let chance = 0.418 / spread;
            pairs += 1;
            by_chance += chance;
            if a == b {
                equal += 1;
                log_sampled += chance.ln();
            } else {
                log_sampled += (-chance).ln_1p();
            }
        }
        // If everything was recorded, any part of the pairs may be equal, a small part rather than a
        // large one: a beta distribution with 1 and 2, so that the chance of such pairs is that of
        // drawing them from an urn.
        let mut log_recorded = 0.0;
        let (mut of_equal, mut of_others) = (1.0, 2.0);
        for number in 0..pairs {
            let urn: &mut f64 = if number < equal {
                &mut of_equal
            } else {
                &mut of_others
            };
            log_recorded += (*urn / (3.0 + float(number))).ln();
            *urn += 1.0;
        }
        let odds = (log_recorded - log_sampled).exp();
        Agreement {
            pairs,
            equal,
            by_chance,
            log_odds: ((1.0 - WITHOUT) * odds + WITHOUT).ln().min(100.0),
        }
    }
}

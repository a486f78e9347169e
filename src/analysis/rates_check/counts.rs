//! Do numbers of blocks agree that would not, had they been sampled?

use hashbrown::HashMap;

use super::float;
use crate::analysis::question::LogStep;
use crate::id::TraceId;
use crate::raw::rates::SamplingRates;

/// More traces and sizes than this are not looked at; the first are as good as any.
const SITES: usize = 1 << 16;
/// With fewer blocks, numbers agree by chance too often.
const BLOCKS: u64 = 20;
/// Of the programs in which everything was recorded, so many have no loops that show.
const WITHOUT: f64 = 0.2;

/// How many blocks of each trace and size were recorded, of sizes that are sampled.
#[derive(Debug, Clone)]
pub(super) struct Counts {
    rates: SamplingRates,
    /// In which order they were met, and how many blocks they have.
    sites: HashMap<(u32, u64), (usize, u64)>,
}

/// What they tell.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(super) struct Agreement {
    pub(super) pairs: u64,
    pub(super) equal: u64,
    /// How many would be equal at most, had they been sampled.
    pub(super) by_chance: f64,
    pub(super) log_odds: f64,
}

impl Counts {
    pub(super) fn new(rates: &SamplingRates) -> Self {
        Self {
            rates: rates.clone(),
            sites: HashMap::new(),
        }
    }

    pub(super) fn enter(&mut self, step: &LogStep) {
        let key = (TraceId::to_disk(step.event.trace), step.event.size);
        let met = self.sites.len();
        match self.sites.get_mut(&key) {
            Some((_, blocks)) => *blocks += 1,
            None if met < SITES => {
                self.sites.insert(key, (met, 1));
            }
            None => {}
        }
    }

    /// Of pairs of traces and sizes that were met one after the other, those whose numbers are near
    /// each other, and how many of these are equal.
    pub(super) fn agreement(&self) -> Agreement {
        let mut sites: Vec<(usize, u64, f64)> = self
            .sites
            .iter()
            .filter(|(_, (_, blocks))| *blocks >= BLOCKS)
            .map(|(key, &(met, blocks))| {
                // By how much a number scatters that was sampled.
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

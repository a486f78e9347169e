//! [`Edge`]: whether the number of recorded blocks jumps where the probability does.

use std::ops::Range;

use super::float;

/// The logarithm of the blocks in an octave over those in the next, in a usual program.
const USUAL: f64 = 0.5;
/// Student's degrees of freedom by which programs differ.
const FREEDOM: f64 = 3.0;
/// Blocks come in loops and are not independent, so more blocks than this are no better evidence.
const ENOUGH: f64 = 400.0;

/// The numbers of blocks at both ends of a range of sizes.
#[derive(Debug, Clone)]
pub(super) struct Ends {
    /// Down from the end of the range by an octave, and up from its beginning.
    last: Octave,
    first: Octave,
}

#[derive(Debug, Clone)]
struct Octave {
    sizes: Range<u64>,
    blocks: u64,
}

impl Ends {
    pub(super) fn new(sizes: &Range<u64>) -> Self {
        let &Range { start, end } = sizes;
        let octave = |sizes| Octave { sizes, blocks: 0 };
        Self {
            last: octave(start.max(end / 2)..end),
            first: octave(start..start.saturating_mul(2).min(end)),
        }
    }

    pub(super) fn enter(&mut self, size: u64) {
        for octave in [&mut self.first, &mut self.last] {
            octave.blocks += u64::from(octave.sizes.contains(&size));
        }
    }
}

/// The evidence of an edge between two ranges.
pub(super) struct Edge {
    pub(super) below: u64,
    pub(super) above: u64,
    pub(super) log_odds: f64,
}

impl Edge {
    /// The edge between two ranges. If the blocks were sampled, there are fewer below by the factor `stated`.
    /// `None` if a range is too narrow.
    pub(super) fn between(below: &Ends, above: &Ends, stated: f64) -> Option<Self> {
        let (below, above) = (&below.last, &above.first);
        Some(Self {
            below: below.blocks,
            above: above.blocks,
            log_odds: log_odds(
                (float(below.blocks), float(above.blocks)),
                (below.width()? / above.width()?).ln(),
                stated.ln(),
                if above.sizes.start <= 512 { 1.5 } else { 2.5 },
            ),
        })
    }
}

impl Octave {
    /// The width in octaves; `None` if it is small.
    fn width(&self) -> Option<f64> {
        let width = (float(self.sizes.end) / float(self.sizes.start.max(1))).log2();
        (width >= 0.1).then_some(width)
    }
}

/// The logarithm of the odds that all blocks were recorded, against that they were sampled so that
/// there are fewer below by the factor e^`stated`, where programs differ by e^±`spread`.
fn log_odds((below, above): (f64, f64), width: f64, stated: f64, spread: f64) -> f64 {
    let scale = (ENOUGH / (below + above)).min(1.0);
    let (below, above) = (scale * below, scale * above);
    // A block is below with odds of e^x. The sum is over all x that programs have, in steps that are finer than
    // the resolution of this number of blocks.
    let log_likelihood = |shift: f64| {
        let terms = (-1000..=1000).map(|step| {
            let usual = f64::from(step) / 50.0;
            let off = (usual - USUAL) / spread;
            let log_prior = -(FREEDOM + 1.0) / 2.0 * (off * off / FREEDOM).ln_1p();
            let x = usual + shift + width;
            let one_is_above = -x.max(0.0) - (-x.abs()).exp().ln_1p();
            let one_is_below = one_is_above + x;
            log_prior + below * one_is_below + above * one_is_above
        });
        log_sum(terms)
    };
    log_likelihood(0.0) - log_likelihood(stated)
}

/// The logarithm of a sum, from those of its terms.
fn log_sum(logs: impl Iterator<Item = f64> + Clone) -> f64 {
    let largest = logs.clone().fold(f64::NEG_INFINITY, f64::max);
    largest + logs.map(|log| (log - largest).exp()).sum::<f64>().ln()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The odds of blocks below and above an edge at 128, where the probability jumps a
    /// thousandfold.
    fn odds(below: u64, above: u64) -> f64 {
        let blocks = |sizes: Range<u64>, size, count| {
            let mut ends = Ends::new(&sizes);
            (0..count).for_each(|_| ends.enter(size));
            ends
        };
        let below = blocks(0..128, 100, below);
        let above = blocks(128..8192, 200, above);
        Edge::between(&below, &above, 1e-3).unwrap().log_odds
    }

    #[test]
    fn equal_numbers_refute_jump_and_none_below_confirm_it() {
        assert!(odds(1000, 1000) > 3.5);
        assert!(odds(1, 1000) < -3.0);
        assert!(odds(0, 50) < -3.0);
        // Nothing is nothing, and little is little.
        assert!(odds(0, 0).abs() < 1e-9);
        let little = odds(0, 2);
        assert!((-2.0..0.0).contains(&little), "{little}");
        // Symmetric around what is as far from the one as from the other.
        let middle = (0.5 - 3.0 * 10_f64.ln() / 2.0).exp();
        let sign = log_odds(
            (400.0 * middle / (1.0 + middle), 400.0 / (1.0 + middle)),
            0.0,
            -3.0 * 10_f64.ln(),
            1.5,
        );
        assert!(sign.abs() < 0.1, "{sign}");
    }

    #[test]
    fn narrow_range_is_no_evidence_and_others_scale_by_width() {
        let narrow = Ends::new(&(125..128));
        let above = Ends::new(&(128..8192));
        assert!(Edge::between(&narrow, &above, 0.1).is_none());
        let half = Ends::new(&(90..128));
        assert_eq!(half.last.sizes, 90..128);
        let width = half.last.width().unwrap();
        assert!((0.50..0.51).contains(&width));
        assert_eq!(Ends::new(&(0..1)).last.width(), None);
        assert_eq!(Ends::new(&(8192..u64::MAX)).first.sizes, 8192..16_384);
    }
}

//! All that is live together, while the steps of a piece are shown.

use crate::raw::event::SHORTEST;
use crate::raw::stretch::PIECE;
use crate::replay::Steps;

/// No piece has more events.
const EVENTS: i64 = PIECE.div_ceil(SHORTEST).cast_signed() as i64;

/// Totals up to this size have room for all that most pieces add.
const SMALL: i64 = 1 << 62;

/// A total of 64 bits that is added to for each step.
#[derive(Debug, Clone, Copy)]
pub(super) struct Total(i64);

impl Total {
    /// Whether no piece of such steps makes a small total leave 64 bits.
    const fn fits<S: Steps>() -> bool {
        S::LARGEST.saturating_mul(EVENTS) < SMALL
    }

    /// The total before a piece of such steps; unless it is so large that it might leave 64 bits
    /// unnoticed.
    #[inline]
    pub(super) fn before<S: Steps>(total: i128) -> Option<Self> {
        let total = i64::try_from(total).ok()?;
        let is_small = (-SMALL..SMALL).contains(&total);
        (is_small || !Self::fits::<S>()).then_some(Self(total))
    }

    /// The total after a step, if it is of 64 bits. Nothing is asked where it always is.
    #[inline]
    pub(super) fn plus<S: Steps>(self, bytes: i64) -> Option<Self> {
        if Self::fits::<S>() {
            Some(Self(self.0.wrapping_add(bytes)))
        } else {
            self.0.checked_add(bytes).map(Self)
        }
    }

    #[inline]
    pub(super) const fn get(self) -> i64 {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use std::ops::ControlFlow;

    use super::*;
    use crate::replay::Step;

    /// Steps of so many bytes at most.
    struct Of<const LARGEST: i64>;

    impl<const LARGEST: i64> Steps for Of<LARGEST> {
        const LARGEST: i64 = LARGEST;

        fn show<S>(
            self,
            state: S,
            _: impl Fn(&mut S, Step) -> Option<ControlFlow<()>>,
        ) -> (S, ControlFlow<()>) {
            (state, ControlFlow::Continue(()))
        }
    }

    const FEW: i64 = (1 << 28) - 1;
    const MANY: i64 = FEW << 32;

    #[test]
    fn a_total_never_leaves_64_bits_unnoticed() {
        for (start, sign) in [(SMALL - 1, 1), (-SMALL, -1)] {
            let mut few = Total::before::<Of<FEW>>(start.into()).unwrap();
            let mut many = Total::before::<Of<MANY>>(start.into());
            for event in 1..=EVENTS {
                few = few.plus::<Of<FEW>>(sign * FEW).unwrap();
                assert_eq!(few.get(), start.checked_add(sign * event * FEW).unwrap());
                many = many.and_then(|many| many.plus::<Of<MANY>>(sign * MANY));
                let exact = i128::from(start) + i128::from(sign * event) * i128::from(MANY);
                assert_eq!(many.map(Total::get), i64::try_from(exact).ok());
            }
        }
        // What is larger is not added to without a look.
        for total in [SMALL.into(), -i128::from(SMALL) - 1] {
            assert!(Total::before::<Of<FEW>>(total).is_none());
            assert!(Total::before::<Of<MANY>>(total).is_some());
        }
        assert!(Total::before::<Of<MANY>>(i128::from(i64::MAX) + 1).is_none());
    }
}

//! [`WeightedTree`]: the part of the call tree that some usages use, with the weights of each usage.
//! Everything else in a flow graph is summed up from it.

use super::Column;
use crate::error::Taint;
use crate::id_vec::IdVec;
use crate::trace::TraceTable;
use crate::usage::{Usage, saturated};
use crate::view::subtree::{PlaceId, Subtree};

/// A call tree with the weights of some usages, the columns.
pub(super) struct WeightedTree<'t> {
    pub(super) traces: &'t TraceTable,
    pub(super) subtree: Subtree<'t>,
    pub(super) columns: Vec<PlaceWeights>,
    pub(super) damaged: Taint,
}

/// The weights of one usage in the tree.
pub(super) struct PlaceWeights {
    pub(super) column: Column,
    /// The weight of the stacks that end at each place.
    pub(super) own: IdVec<PlaceId, i64>,
    /// The weight of the stacks that end at or below each place.
    pub(super) below: IdVec<PlaceId, i64>,
    /// The same without signs, if any weight is negative.
    pub(super) gross_below: Option<IdVec<PlaceId, i64>>,
}

impl<'t> WeightedTree<'t> {
    pub(super) fn new(traces: &'t TraceTable, usages: &[&Usage]) -> Self {
        let subtree = Subtree::new(traces, usages);
        let columns = usages
            .iter()
            .map(|usage| PlaceWeights::new(&subtree, usage));
        let damaged = usages.iter().map(|usage| usage.damaged());
        Self {
            columns: columns.collect(),
            traces,
            damaged: damaged.fold(traces.damaged(), |all, one| all | one),
            subtree,
        }
    }
}

impl PlaceWeights {
    fn new(subtree: &Subtree<'_>, usage: &Usage) -> Self {
        let (own, unknown) = subtree.own(usage, |weight| weight);
        let gross = usage.by_trace().map(|(_, weight)| i128::from(weight).abs());
        let is_negative = usage.by_trace().any(|(_, weight)| weight < 0);
        Self {
            column: Column {
                total: usage.total(),
                unknown: saturated(unknown),
                gross: saturated(gross.sum()),
            },
            below: subtree.below(&own),
            gross_below: is_negative
                .then(|| subtree.below(&subtree.own(usage, i64::saturating_abs).0)),
            own,
        }
    }
}

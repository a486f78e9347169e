//! [`Iter`], the iterator of a [`Usage`].

mod arithmetic;
mod rows;

use std::fmt;
use std::iter::FusedIterator;
use std::sync::{Arc, OnceLock};

pub use rows::Iter;

use crate::error::Taint;
use crate::id::TraceId;

/// A weight for each trace: how many bytes are live by trace, or were allocated, or have grown.
///
/// Queries return a usage, views take one. A trace that is not in it weighs 0, and there are no
/// rows that weigh 0. A weight can be negative in a difference. `None` stands for an unknown trace.
///
/// Usages can be added and subtracted, and equal ones compare equal. Trace ids are those of one recording: usages of
/// several recordings go through [`MergedTraces`](crate::view::MergedTraces) first. A clone shares the rows.
/// Memory: 16 bytes a row, and 4 more once they were asked for by weight.
///
/// ```
/// use heapprof::{TraceId, Usage};
///
/// let (a, b) = (TraceId::new(1), TraceId::new(2));
/// let before = Usage::from_iter([(a, 100), (b, 500)]);
/// let after = Usage::from_iter([(a, 400), (b, 500), (None, 1)]);
///
/// let growth = &after - &before;
/// assert_eq!(growth.total(), 301);
/// assert_eq!(growth.iter().collect::<Vec<_>>(), [(a, 300), (None, 1)]);
/// assert_eq!(growth.get(b), 0);
/// assert_eq!(&before + &growth, after);
/// ```
#[derive(Clone)]
pub struct Usage(Arc<Table>, Taint);

struct Table {
    /// Ascending by trace index, none 0.
    rows: Box<[Row]>,
    total: i64,
    /// The places of the rows, heaviest first.
    heaviest: OnceLock<Box<[u32]>>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
struct Row {
    trace: Option<TraceId>,
    weight: i64,
}

impl Usage {
    /// Nothing at all.
    pub fn empty() -> Self {
        Self::from_rows(Vec::new())
    }

    /// From rows ascending by trace, each trace once.
    fn from_rows(mut rows: Vec<Row>) -> Self {
        rows.retain(|row| row.weight != 0);
        // Summed in 128 bits, so that the order does not matter where the sum leaves 64.
        let total: i128 = rows.iter().map(|row| i128::from(row.weight)).sum();
        let table = Table {
            rows: rows.into_boxed_slice(),
            total: saturated(total),
            heaviest: OnceLock::new(),
        };
        Self(Arc::new(table), Taint(false))
    }

    /// From pairs that ascend by trace, each trace at most once; unknown is first.
    pub(crate) fn from_ascending(pairs: impl Iterator<Item = (Option<TraceId>, i64)>) -> Self {
        let rows: Vec<Row> = pairs
            .filter(|&(_, weight)| weight != 0)
            .map(|(trace, weight)| Row { trace, weight })
            .collect();
        debug_assert!(rows.is_sorted_by(|a, b| a.trace < b.trace));
        Self::from_rows(rows)
    }

    /// The sum of all weights, that of unknown included. It saturates at 63 bits.
    #[doc(alias = "totalUsage")]
    pub fn total(&self) -> i64 {
        self.0.total
    }

    /// Whether it is derived from damaged input: from a log with a record that makes no sense, from a
    /// `.hpm` file whose traces end in one, from a damaged digest. What was whole was used.
    ///
    /// All results have a method of this name, and all that is made of a damaged one is damaged:
    /// differences, sums, parts, views. What is wrong, and where, says
    /// [`Reader::damage`](crate::Reader::damage). That a recording just ends, as one does whose program
    /// was killed or still runs, is no damage. Of a log, what counts is what had to be read of it: a
    /// query about an early moment does not meet what is wrong later.
    ///
    /// Two usages are equal if their weights are, whatever this says.
    ///
    /// ```
    /// use heapprof::view::Lines;
    /// use heapprof::{Elapsed, Reader};
    ///
    /// // The recorder wrote a broken size for a block of 3 GiB.
    /// let reader = Reader::open("tests/data/huge_corrupt/huge_corrupt")?;
    /// let (early, late) = (Elapsed::from_micros(52_304), Elapsed::MAX);
    /// assert!(!reader.live_at(early)?.is_damaged());
    /// let growth = reader.live_at(late)? - reader.live_at(early)?;
    /// assert!(growth.is_damaged());
    /// assert!(Lines::new(reader.traces()?, &growth).is_damaged());
    /// # Ok::<(), heapprof::Error>(())
    /// ```
    pub fn is_damaged(&self) -> bool {
        self.1.0
    }

    /// The same usage, [damaged](Self::is_damaged) if it was or if `damaged`: for what a
    /// [`Query`](crate::query::Query) of one's own answers.
    #[must_use]
    pub fn damaged_if(mut self, damaged: bool) -> Self {
        self.1.0 |= damaged;
        self
    }

    pub(crate) fn marked(self, damaged: Taint) -> Self {
        self.damaged_if(damaged.0)
    }

    pub(crate) fn damaged(&self) -> Taint {
        self.1
    }

    /// The weight of a trace, or with `None` of unknown; 0 if it has no row. O(log rows).
    pub fn get(&self, trace: impl Into<Option<TraceId>>) -> i64 {
        let trace = trace.into();
        self.0
            .rows
            .binary_search_by_key(&trace, |row| row.trace)
            .ok()
            .and_then(|place| self.0.rows.get(place))
            .map_or(0, |row| row.weight)
    }

    /// How many traces have a weight, unknown among them.
    pub fn len(&self) -> usize {
        self.0.rows.len()
    }

    /// Whether no trace has a weight.
    pub fn is_empty(&self) -> bool {
        self.0.rows.is_empty()
    }

    /// Traces and their weights, heaviest first; equal weights in the order of the ids, unknown
    /// first.
    ///
    /// The first call on a usage or any of its clones sorts: O(rows × log rows).
    pub fn iter(&self) -> Iter<'_> {
        let rows = &self.0.rows;
        let order = self.0.heaviest.get_or_init(|| {
            let mut order: Box<[u32]> =
                (0..u32::try_from(rows.len()).unwrap_or(u32::MAX)).collect();
            let weight = |place: u32| rows.get(place as usize).map_or(0, |row| row.weight);
            order.sort_unstable_by_key(|&place| (std::cmp::Reverse(weight(place)), place));
            order
        });
        Iter {
            rows,
            order: order.iter(),
        }
    }

    /// Traces and their weights in the order of the ids, unknown first. Never sorts: what only sums
    /// walks this way.
    pub fn by_trace(
        &self,
    ) -> impl DoubleEndedIterator<Item = (Option<TraceId>, i64)>
    + ExactSizeIterator
    + FusedIterator
    + Clone
    + use<'_> {
        self.0.rows.iter().map(|row| (row.trace, row.weight))
    }

    /// The rows that pass the test. O(rows).
    ///
    /// ```
    /// use heapprof::{TraceId, Usage};
    ///
    /// let usage = Usage::from_iter([(TraceId::new(1), 100), (TraceId::new(2), -7)]);
    /// assert_eq!(usage.filter(|_, weight| weight > 0).total(), 100);
    /// ```
    #[must_use]
    pub fn filter(&self, mut keep: impl FnMut(Option<TraceId>, i64) -> bool) -> Self {
        Self::from_ascending(
            self.by_trace()
                .filter(|&(trace, weight)| keep(trace, weight)),
        )
        .marked(self.1)
    }

    /// Row by row with another usage: O(rows of both).
    fn zip(&self, other: &Self, combine: impl Fn(i64, i64) -> i64) -> Self {
        let mut rows = Vec::with_capacity(self.len().max(other.len()));
        let mut left = self.0.rows.iter().peekable();
        let mut right = other.0.rows.iter().peekable();
        loop {
            let trace = match (left.peek(), right.peek()) {
                (Some(a), Some(b)) => a.trace.min(b.trace),
                (Some(row), None) | (None, Some(row)) => row.trace,
                (None, None) => break,
            };
            let a = left.next_if(|row| row.trace == trace);
            let b = right.next_if(|row| row.trace == trace);
            let weight = |row: Option<&Row>| row.map_or(0, |row| row.weight);
            rows.push(Row {
                trace,
                weight: combine(weight(a), weight(b)),
            });
        }
        Self::from_rows(rows).marked(self.1 | other.1)
    }
}

/// A sum at the limit of 63 bits where it leaves them.
#[inline]
pub(crate) fn saturated(sum: i128) -> i64 {
    i64::try_from(sum).unwrap_or(if sum < 0 { i64::MIN } else { i64::MAX })
}

impl Default for Usage {
    fn default() -> Self {
        Self::empty()
    }
}

/// Weights of one trace add up, and saturate at 63 bits. O(n log n) for n pairs, in memory for the
/// distinct traces among them.
///
/// ```
/// use heapprof::{Reader, Usage};
///
/// // How many blocks are live at the end, by trace.
/// let reader = Reader::open("examples/data/demo")?;
/// let blocks: Usage = reader
///     .events()?
///     .map(|event| event.map(|event| (event.trace, if event.is_free() { -1 } else { 1 })))
///     .collect::<heapprof::Result<_>>()?;
/// assert_eq!(blocks.total(), 5_961);
/// # Ok::<(), heapprof::Error>(())
/// ```
impl FromIterator<(Option<TraceId>, i64)> for Usage {
    fn from_iter<I: IntoIterator<Item = (Option<TraceId>, i64)>>(pairs: I) -> Self {
        let mut sums: Vec<(Option<TraceId>, i128)> = Vec::new();
        let mut merge_at = 1 << 12;
        for (trace, weight) in pairs {
            sums.push((trace, i128::from(weight)));
            if sums.len() >= merge_at {
                merge(&mut sums);
                merge_at = (2 * sums.len()).max(1 << 12);
            }
        }
        merge(&mut sums);
        Self::from_ascending(sums.into_iter().map(|(trace, sum)| (trace, saturated(sum))))
    }
}

impl FromIterator<(TraceId, i64)> for Usage {
    fn from_iter<I: IntoIterator<Item = (TraceId, i64)>>(pairs: I) -> Self {
        pairs
            .into_iter()
            .map(|(trace, weight)| (Some(trace), weight))
            .collect()
    }
}

/// Sorts by trace, and leaves one pair for each.
fn merge(sums: &mut Vec<(Option<TraceId>, i128)>) {
    sums.sort_unstable_by_key(|&(trace, _)| trace);
    sums.dedup_by(|next, kept| {
        let same = next.0 == kept.0;
        if same {
            kept.1 += next.1;
        }
        same
    });
}

impl PartialEq for Usage {
    fn eq(&self, other: &Self) -> bool {
        self.0.rows == other.0.rows
    }
}

impl Eq for Usage {}

impl fmt::Debug for Usage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map()
            .entries(
                self.iter()
                    .map(|(trace, weight)| (TraceId::to_disk(trace), weight)),
            )
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    fn usage(pairs: &[(u32, i64)]) -> Usage {
        pairs
            .iter()
            .map(|&(trace, weight)| (TraceId::new(trace), weight))
            .collect()
    }

    #[test]
    fn rows_are_summed_ordered_and_never_0() {
        let usage = usage(&[
            (3, 5),
            (0, 5),
            (2, 9),
            (3, -1),
            (4, 7),
            (4, -7),
            (5, -2),
            (1, 5),
        ]);
        let rows: Vec<_> = usage
            .iter()
            .map(|(trace, weight)| (TraceId::to_disk(trace), weight))
            .collect();
        assert_eq!(rows, [(2, 9), (0, 5), (1, 5), (3, 4), (5, -2)]);
        assert_eq!(usage.len(), 5);
        assert_eq!(usage.total(), 21);
        assert_eq!(usage.get(None), 5);
        assert_eq!(usage.get(TraceId::new(4)), 0);
        let by_trace: Vec<_> = usage.by_trace().map(|(_, weight)| weight).collect();
        assert_eq!(by_trace, [5, 5, 9, 4, -2]);
        assert_eq!(format!("{usage:?}"), "{2: 9, 0: 5, 1: 5, 3: 4, 5: -2}");
    }

    #[test]
    fn many_pairs_are_merged_on_the_way() {
        let pairs =
            (0..1_000_000_i64).map(|n| (TraceId::new(u32::try_from(n % 100).unwrap()), n % 7));
        let usage: Usage = pairs.clone().collect();
        assert_eq!(usage.len(), 100);
        assert_eq!(usage.total(), pairs.map(|(_, weight)| weight).sum::<i64>());
    }

    #[test]
    fn sums_saturate_whatever_the_order() {
        let largest = usage(&[(1, i64::MAX), (2, i64::MAX), (3, i64::MIN)]);
        assert_eq!(largest.total(), i64::MAX - 1);
        let twice = &largest + &largest;
        assert_eq!(twice.get(TraceId::new(1)), i64::MAX);
        assert_eq!((&Usage::empty() - &largest).get(TraceId::new(3)), i64::MAX);
        assert_eq!(usage(&[(1, i64::MAX), (1, i64::MAX)]).total(), i64::MAX);
    }

    proptest! {
        #[test]
        fn differences_and_sums_undo_each_other(
            a in vec((0_u32..20, -1000_i64..1000), 0..30),
            b in vec((0_u32..20, -1000_i64..1000), 0..30),
        ) {
            let (a, b) = (usage(&a), usage(&b));
            prop_assert_eq!(&(&a - &b) + &b, a.clone());
            prop_assert_eq!((&a - &b).total(), a.total() - b.total());
            prop_assert_eq!([&a, &b].into_iter().sum::<Usage>(), &a + &b);
            prop_assert!((&a - &a).is_empty());
            prop_assert_eq!(-(&a - &b), b.clone() - a.clone());
            let mut sum = a.clone();
            sum += &b;
            prop_assert_eq!([a.clone(), b.clone()].into_iter().sum::<Usage>(), sum.clone());
            sum -= b;
            prop_assert_eq!(&sum, &a);
            prop_assert_eq!(sum.into_iter().collect::<Vec<_>>(), a.iter().collect::<Vec<_>>());
            let heaviest: Vec<_> = a.iter().map(|(t, w)| (std::cmp::Reverse(w), t)).collect();
            prop_assert!(heaviest.is_sorted());
            prop_assert_eq!(a.iter().collect::<Usage>(), a);
        }
    }
}

//! The rows of a usage, heaviest first.

use std::fmt;
use std::iter::FusedIterator;

use super::{Row, Usage};
use crate::id::TraceId;

impl<'a> IntoIterator for &'a Usage {
    type Item = (Option<TraceId>, i64);
    type IntoIter = Iter<'a>;

    fn into_iter(self) -> Iter<'a> {
        self.iter()
    }
}

impl IntoIterator for Usage {
    type Item = (Option<TraceId>, i64);
    type IntoIter = std::vec::IntoIter<Self::Item>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter().collect::<Vec<_>>().into_iter()
    }
}

/// The rows of a [`Usage`], heaviest first.
///
/// ```
/// use heapprof::{TraceId, Usage};
///
/// let usage = Usage::from_iter([(TraceId::new(1), 20), (TraceId::new(2), 500), (None, 3)]);
/// assert_eq!(usage.iter().len(), 3);
/// assert_eq!(usage.iter().next(), Some((TraceId::new(2), 500)));
/// assert_eq!(usage.iter().rev().next(), Some((None, 3))); // the lightest
/// ```
#[derive(Clone)]
pub struct Iter<'a> {
    pub(super) rows: &'a [Row],
    pub(super) order: std::slice::Iter<'a, u32>,
}

impl fmt::Debug for Iter<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.clone()).finish()
    }
}

impl Iter<'_> {
    fn row(&self, place: u32) -> Option<(Option<TraceId>, i64)> {
        let row = self.rows.get(place as usize)?;
        Some((row.trace, row.weight))
    }
}

impl Iterator for Iter<'_> {
    type Item = (Option<TraceId>, i64);

    fn next(&mut self) -> Option<Self::Item> {
        let &place = self.order.next()?;
        self.row(place)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.order.size_hint()
    }
}

impl DoubleEndedIterator for Iter<'_> {
    fn next_back(&mut self) -> Option<Self::Item> {
        let &place = self.order.next_back()?;
        self.row(place)
    }
}

impl ExactSizeIterator for Iter<'_> {}
impl FusedIterator for Iter<'_> {}

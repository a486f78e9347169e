//! [`TraceRows`]: a table with a row for each trace, the answer of several queries.

use crate::error::Taint;
use crate::id::TraceId;
use crate::per_trace::PerTrace;
use crate::usage::Usage;

/// A row of a table: sums of one trace, or of all.
pub(super) trait Row: Copy + Default {
    /// Whether there was nothing to add up.
    fn is_empty(&self) -> bool;

    /// Adds the sums of another trace.
    fn add(&mut self, other: &Self);
}

/// Rows by trace, and their sum.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct TraceRows<R> {
    /// Ascending by trace; none is empty.
    rows: Box<[(Option<TraceId>, R)]>,
    total: R,
    damaged: Taint,
}

impl<R: Row> TraceRows<R> {
    /// The rows that are not empty.
    pub(super) fn new(rows: &PerTrace<R>, damaged: Taint) -> Self {
        let rows = rows.iter().map(|(trace, &row)| (trace, row));
        let rows: Box<[_]> = rows.filter(|(_, row)| !row.is_empty()).collect();
        let mut total = R::default();
        for (_, row) in &rows {
            total.add(row);
        }
        Self {
            rows,
            total,
            damaged,
        }
    }

    /// The same with each row, and the sum, as another type.
    pub(super) fn map<T>(self, map: fn(&R) -> T) -> TraceRows<T> {
        let rows = self.rows.iter().map(|(trace, row)| (*trace, map(row)));
        TraceRows {
            rows: rows.collect(),
            total: map(&self.total),
            damaged: self.damaged,
        }
    }
}

impl<R: Copy + Default> TraceRows<R> {
    pub(super) fn iter(
        &self,
    ) -> impl DoubleEndedIterator<Item = (Option<TraceId>, &R)> + ExactSizeIterator + Clone {
        self.rows.iter().map(|(trace, row)| (*trace, row))
    }

    /// The row of a trace. O(log rows).
    pub(super) fn get(&self, trace: Option<TraceId>) -> R {
        find_row(&self.rows, trace).copied().unwrap_or_default()
    }

    pub(super) fn total(&self) -> R {
        self.total
    }

    pub(super) fn damaged(&self) -> Taint {
        self.damaged
    }

    /// One value of each row as a usage.
    pub(super) fn column(&self, value: impl Fn(&R) -> i64) -> Usage {
        let rows = self.iter().map(|(trace, row)| (trace, value(row)));
        Usage::from_ascending(rows).marked(self.damaged)
    }
}

/// The row of a trace, of rows that are ascending by trace.
pub(super) fn find_row<R>(rows: &[(Option<TraceId>, R)], trace: Option<TraceId>) -> Option<&R> {
    let index = rows.binary_search_by_key(&trace, |row| row.0).ok()?;
    rows.get(index).map(|(_, row)| row)
}

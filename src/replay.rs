//! [`Replay`]: applies the events of a pass to a live heap, and notes those that make no sense.

use crate::error::{DecodeError, DecodeErrorKind as Kind, FileKind};
use crate::heap::{Change, LiveHeap};
use crate::raw::hpd::decoder::LoggedEvent;

/// A live heap, and the first event of each kind that is whole but makes no sense. Such events are applied all
/// the same.
#[derive(Debug)]
pub(crate) struct Replay {
    pub(crate) heap: LiveHeap,
    /// The number of traces of the table.
    traces: u32,
    unknown_trace: Option<DecodeError>,
    negative_balance: Option<DecodeError>,
    saturated: Option<DecodeError>,
}

impl Replay {
    /// A replay that begins with an empty heap, for a table of this many traces.
    pub(crate) fn new(traces: u32) -> Self {
        Self::of(LiveHeap::new(traces as usize), traces)
    }

    /// A replay that begins with a heap, in the middle of a log.
    pub(crate) fn of(heap: LiveHeap, traces: u32) -> Self {
        Self {
            heap,
            traces,
            unknown_trace: None,
            negative_balance: None,
            saturated: None,
        }
    }

    /// Applies an event, and notes it if it makes no sense.
    #[inline]
    pub(crate) fn apply(&mut self, logged: &LoggedEvent) -> Change {
        match self.heap.dense().add(logged.index(), logged.bytes) {
            Some(change) => change,
            None => {
                let change = self.heap.add_slow(logged.index(), logged.bytes);
                self.note(logged, change);
                change
            }
        }
    }

    /// Notes an event if it makes no sense, given what it changed.
    #[cold]
    #[inline(never)]
    pub(crate) fn note(&mut self, logged: &LoggedEvent, change: Change) {
        let (index, bytes) = (logged.index(), logged.bytes);
        let error = |kind| DecodeError::new(FileKind::Hpd, logged.offset, kind);
        if !self.heap.table_has(index) {
            let (found, traces) = (index, self.traces);
            self.unknown_trace
                .get_or_insert_with(|| error(Kind::UnknownTrace { found, traces }));
        }
        if change.after < 0 && bytes < 0 {
            self.negative_balance
                .get_or_insert_with(|| error(Kind::NegativeBalance { trace: index }));
        }
        if change.bytes != bytes {
            self.saturated.get_or_insert_with(|| error(Kind::Saturated));
        }
    }

    /// The first event of each kind.
    pub(crate) fn damage(&self) -> impl Iterator<Item = DecodeError> + use<> {
        let kinds = [self.unknown_trace, self.negative_balance, self.saturated];
        kinds.into_iter().flatten()
    }
}

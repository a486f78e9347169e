//! [`Copies`]: copies of the live heap, so that the heap at the peak can be rebuilt without a second whole pass.
//!
//! ```text
//!  ──────┼────────┼────────┼────────┼────── chunks of the log
//!        x                          x       copies: an earlier one, and the last
//!                 peak ─┘                   the earlier one is not after the peak
//! ```
//!
//! PERF: without copies a peak is a second pass over the log up to it: 1.85–2.1x the time; `cargo bench --bench
//! ratios`, row `peak_of_replay`.

use crate::heap::LiveHeap;
use crate::raw::LogPosition;
use crate::time::Clock;

/// A copy is made after this many events for each balance, so that its cost is small beside them;
const EVENTS_PER_BALANCE: u64 = 4;
/// after one in this many of all events, so that a long log has few;
const FRACTION_OF_EVENTS: u64 = 32;
/// and after at least this many.
const MIN_EVENTS: u64 = 1 << 14;

/// The live heap at a position of the log.
#[derive(Debug)]
pub(super) struct HeapCopy {
    pub(super) position: LogPosition,
    pub(super) heap: LiveHeap,
}

/// The last two copies that matter.
#[derive(Debug)]
pub(super) struct Copies {
    last: HeapCopy,
    /// Not after the chunk of the highest total so far.
    earlier: HeapCopy,
}

impl Copies {
    /// The copies of a pass that begins with an empty heap.
    pub(super) fn new(clock: Clock, traces: u32) -> Self {
        let empty = || HeapCopy {
            position: LogPosition::start(clock),
            heap: LiveHeap::new(traces as usize),
        };
        Self {
            last: empty(),
            earlier: empty(),
        }
    }

    /// Copies the heap at `start`, the start of a chunk, if a copy is due. The chunk at `peak` has the highest
    /// total so far.
    pub(super) fn keep(&mut self, start: LogPosition, heap: &LiveHeap, peak: LogPosition) {
        let since = start.events().saturating_sub(self.last.position.events());
        let enough = EVENTS_PER_BALANCE.saturating_mul(heap.balances() as u64);
        let enough = enough
            .max(start.events() / FRACTION_OF_EVENTS)
            .max(MIN_EVENTS);
        if since < enough {
            return;
        }
        if self.last.position.offset() <= peak.offset() {
            std::mem::swap(&mut self.last, &mut self.earlier);
        }
        self.last.position = start;
        // Frees the old copy first, so that there are never three.
        self.last.heap = LiveHeap::new(0);
        self.last.heap = heap.clone();
    }

    /// The last copy that is not after the chunk at `peak`.
    pub(super) fn before(self, peak: LogPosition) -> HeapCopy {
        if self.last.position.offset() <= peak.offset() {
            self.last
        } else {
            self.earlier
        }
    }
}

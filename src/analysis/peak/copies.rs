//! What was live now and then: copies from which a replay can begin anew, not far before its highest
//! total.
//!
//! ```text
//!  ──────┼────────┼────────┼────────┼────── pieces of the log
//!        x                          x       copies: an earlier one, and the last
//!             reached ─┘                    the earlier one is not after this
//! ```

use crate::heap::LiveHeap;
use crate::raw::LogPosition;
use crate::replay::Pass;

/// A copy is made after so many events for each balance: so that to make it costs little beside them.
const EVENTS_A_BALANCE: u64 = 4;
/// After one in so many of all events: so that few are made of a long log.
const OF_ALL: u64 = 32;
/// And after no fewer than these.
const EVENTS: u64 = 1 << 14;

/// What was live at a place in the log.
#[derive(Debug)]
pub(super) struct Copy {
    pub(super) place: LogPosition,
    pub(super) heap: LiveHeap,
}

/// The last two copies that matter.
#[derive(Debug)]
pub(super) struct Copies {
    last: Copy,
    /// Not after where the highest total so far was reached.
    earlier: Copy,
}

impl Copies {
    /// Those of a pass that begins with nothing.
    pub(super) fn new(pass: &Pass<'_>) -> Self {
        let nothing = || Copy {
            place: LogPosition::START.on(pass.clock),
            heap: LiveHeap::new(pass.traces as usize),
        };
        Self {
            last: nothing(),
            earlier: nothing(),
        }
    }

    /// Copies what is live `here`, if it is time. The highest total so far was reached after the place
    /// `reached`.
    pub(super) fn keep(&mut self, here: LogPosition, heap: &LiveHeap, reached: LogPosition) {
        let since = here.events().saturating_sub(self.last.place.events());
        let enough = EVENTS_A_BALANCE.saturating_mul(heap.balances() as u64);
        if since < enough.max(here.events() / OF_ALL).max(EVENTS) {
            return;
        }
        if self.last.place.offset() <= reached.offset() {
            std::mem::swap(&mut self.last, &mut self.earlier);
        }
        self.last.place = here;
        self.last.heap.clone_from(heap);
    }

    /// The last one that is not after the place `reached`.
    pub(super) fn before(self, reached: LogPosition) -> Copy {
        if self.last.place.offset() <= reached.offset() {
            self.last
        } else {
            self.earlier
        }
    }
}

//! Where a thread is: in the program, whose memory is recorded, or in the recorder, whose memory is not.

use std::cell::Cell;

// It has no destructor and needs no making at run time: it is there from a thread's first allocation to its last, and
// looking at it allocates nothing.
thread_local! {
    static PLACE: Cell<Place> = const { Cell::new(Place::Program) };
}

/// Where a thread is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Place {
    /// In the program: what it allocates can be recorded.
    Program,
    /// In the recorder, at work. What it allocates is the recorder's own, but what it frees can be the program's, where
    /// both use a library that keeps something for all.
    Recorder,
    /// In the recorder, where it may hold a lock. What it allocates and frees is the recorder's own.
    Locked,
    /// At the start of a recording: finds out whether allocations come here at all.
    Probe,
}

impl Place {
    /// Where this thread is.
    #[inline]
    pub(crate) fn now() -> Self {
        PLACE.get()
    }

    /// Puts this thread here, until the guard is dropped.
    pub(crate) fn enter(self) -> Inside {
        Inside {
            before: PLACE.replace(self),
        }
    }

    /// Puts this thread here for good; gives where it was.
    pub(crate) fn replace(self) -> Self {
        PLACE.replace(self)
    }
}

/// While it exists, a thread is in the recorder.
pub(crate) struct Inside {
    before: Place,
}

impl Drop for Inside {
    fn drop(&mut self) {
        PLACE.set(self.before);
    }
}

/// Whether this thread is in the recorder, so that what it allocates is not recorded.
///
/// For an allocator below [`Allocator`](crate::Allocator) that keeps a count of its own.
pub fn is_inside() -> bool {
    Place::now() != Place::Program
}

//! What a piece of work costs: bytes of memory, and seconds of the processor.
//!
//! A test that wants the memory makes [`Meter`] its global allocator. It counts for each thread by
//! itself, so that tests can run side by side.

#![allow(dead_code, reason = "no test needs all of it")]
#![allow(clippy::cast_precision_loss, reason = "seconds for people")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use rustix::time::{ClockId, clock_gettime};

pub(crate) struct Meter;

thread_local! {
    /// The bytes in use, and the most there were.
    static IN_USE: Cell<i64> = const { Cell::new(0) };
    static MOST: Cell<i64> = const { Cell::new(0) };
}

fn count(bytes: i64) {
    // A thread that ends frees without being counted.
    let _ = IN_USE.try_with(|in_use| {
        in_use.set(in_use.get() + bytes);
        let _ = MOST.try_with(|most| most.set(most.get().max(in_use.get())));
    });
}

fn size(bytes: usize) -> i64 {
    i64::try_from(bytes).unwrap_or(i64::MAX)
}

// SAFETY: the system's allocator does all the work; counting allocates nothing.
#[expect(unsafe_code, reason = "an allocator is unsafe to write")]
unsafe impl GlobalAlloc for Meter {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(size(layout.size()));
        // SAFETY: the caller's contract is passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        count(size(layout.size()));
        // SAFETY: the caller's contract is passed on.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, place: *mut u8, layout: Layout) {
        count(-size(layout.size()));
        // SAFETY: the caller's contract is passed on.
        unsafe { System.dealloc(place, layout) }
    }

    unsafe fn realloc(&self, place: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        // While it is moved, both are there.
        count(size(new_size));
        count(-size(layout.size()));
        // SAFETY: the caller's contract is passed on.
        unsafe { System.realloc(place, layout, new_size) }
    }
}

/// What a piece of work gave, the most bytes that it had at a time, and how many seconds of this
/// thread it took.
pub(crate) fn cost<T>(work: impl FnOnce() -> T) -> (T, u64, f64) {
    let before = IN_USE.get();
    MOST.set(before);
    let (answer, seconds) = seconds(work);
    let most = MOST.get() - before;
    (answer, most.max(0).unsigned_abs(), seconds)
}

/// What a piece of work gave, and how many seconds of this thread it took.
pub(crate) fn seconds<T>(work: impl FnOnce() -> T) -> (T, f64) {
    let now = || {
        let time = clock_gettime(ClockId::ThreadCPUTime);
        time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
    };
    let before = now();
    let answer = work();
    (answer, now() - before)
}

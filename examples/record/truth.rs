//! What the program really allocates, to check estimates against.

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use heapprof::SamplingRates;

use crate::recorder::Place;

/// The allocator of the system, with a count of what the program asks it for.
///
/// It stands under the recorder, whose own memory it does not count.
pub(crate) struct Counting;

static ON: AtomicBool = AtomicBool::new(false);
static RATES: OnceLock<SamplingRates> = OnceLock::new();
static ALLOCATED: Count = Count::new();
static FREED: Count = Count::new();

struct Count {
    blocks: AtomicU64,
    bytes: AtomicU64,
    /// The variance of the estimate of these bytes, in bytes².
    variance: AtomicU64,
}

/// A number of blocks and bytes, and by how much an estimate of the bytes is off: one standard
/// deviation.
#[derive(Clone, Copy)]
pub(crate) struct Counted {
    pub(crate) blocks: u64,
    pub(crate) bytes: u64,
    pub(crate) deviation: f64,
}

impl Count {
    const fn new() -> Self {
        Self {
            blocks: AtomicU64::new(0),
            bytes: AtomicU64::new(0),
            variance: AtomicU64::new(0),
        }
    }

    fn add(&self, size: usize) {
        if !ON.load(Ordering::Relaxed) || Place::now() != Place::Program {
            return;
        }
        self.blocks.fetch_add(1, Ordering::Relaxed);
        self.bytes.fetch_add(size as u64, Ordering::Relaxed);
        // A block of s bytes that is recorded with probability p is estimated as s/p or as 0.
        let size = size as u64;
        let probability = RATES.get().map_or(1.0, |rates| rates.probability(size));
        if probability < 1.0 && probability > 0.0 {
            #[expect(
                clippy::cast_precision_loss,
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "positive, and rounding does not matter"
            )]
            let variance = ((size as f64).powi(2) * (1.0 / probability - 1.0)) as u64;
            self.variance.fetch_add(variance, Ordering::Relaxed);
        }
    }
}

/// Begins to count. Nothing has been counted and no thread runs but this one.
pub(crate) fn count(rates: &SamplingRates) {
    let _ = RATES.set(rates.clone());
    ON.store(true, Ordering::Relaxed);
}

/// Ends the count: what was allocated since it began, and what of that is live. For once all threads
/// have ended that allocated.
pub(crate) fn counted() -> (Counted, Counted) {
    ON.store(false, Ordering::Relaxed);
    let read = |count: &AtomicU64| count.load(Ordering::Relaxed);
    let counted = |blocks, bytes, variance: u64| Counted {
        blocks,
        bytes,
        #[expect(clippy::cast_precision_loss, reason = "rounding does not matter")]
        deviation: (variance as f64).sqrt(),
    };
    let all = [&ALLOCATED.blocks, &ALLOCATED.bytes, &ALLOCATED.variance].map(read);
    let freed = [&FREED.blocks, &FREED.bytes, &FREED.variance].map(read);
    (
        counted(all[0], all[1], all[2]),
        counted(all[0] - freed[0], all[1] - freed[1], all[2] - freed[2]),
    )
}

// SAFETY: every call goes to the allocator of the system as it came, and what that returns is
// returned. To count allocates nothing and does not unwind.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATED.add(layout.size());
        // SAFETY: the caller's promises are those that are asked for.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        ALLOCATED.add(layout.size());
        // SAFETY: as above.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        FREED.add(layout.size());
        // SAFETY: as above.
        unsafe { System.dealloc(block, layout) }
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        FREED.add(layout.size());
        ALLOCATED.add(new_size);
        // SAFETY: as above.
        unsafe { System.realloc(block, layout, new_size) }
    }
}

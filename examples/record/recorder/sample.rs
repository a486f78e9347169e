//! Which allocations are recorded? Those that a draw with the probability of their size hits.

use std::cell::Cell;
use std::sync::atomic::{AtomicU64, Ordering};

use fastrand::Rng;
use heapprof::SamplingRates;
use heapprof::raw::SamplingRange;

// Neither has a destructor nor needs to be made at run time, so both are there from a thread's first
// allocation to its last, and to look at them allocates nothing.
thread_local! {
    /// Where this thread is.
    static PLACE: Cell<Place> = const { Cell::new(Place::Program) };
    /// The state of this thread's generator, 0 before its first draw.
    static GENERATOR: Cell<u64> = const { Cell::new(0) };
}

/// Where a thread is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Place {
    /// In the program: what it allocates can be recorded.
    Program,
    /// In the recorder. What it allocates here is the recorder's own, but what it frees can be the
    /// program's, where both use a library that keeps something for all.
    Recorder,
    /// In the recorder, with a lock. All that it allocates and frees here is the recorder's own.
    Locked,
}

impl Place {
    /// Where this thread is.
    pub(crate) fn now() -> Self {
        PLACE.get()
    }

    /// Puts this thread here, until what this gives is dropped.
    pub(super) fn enter(self) -> Inside {
        Inside {
            from: PLACE.replace(self),
        }
    }
}

/// As long as there is one, this thread is inside the recorder.
pub(super) struct Inside {
    from: Place,
}

impl Drop for Inside {
    fn drop(&mut self) {
        PLACE.set(self.from);
    }
}

/// Draws for each allocation, by itself.
pub(super) struct Sampler {
    rates: SamplingRates,
    seed: u64,
    /// How many threads have drawn.
    threads: AtomicU64,
}

impl Sampler {
    pub(super) fn new(rates: &SamplingRates, seed: u64) -> Self {
        Self {
            rates: rates.clone(),
            seed,
            threads: AtomicU64::new(0),
        }
    }

    /// Whether this allocation of `size` bytes is recorded.
    ///
    /// A probability is stored as a multiple of 1 / (2³² − 1), so with a number below 2³² − 1 the
    /// draw has that very probability.
    #[inline]
    pub(super) fn samples(&self, size: u64) -> bool {
        let above = |range: &&SamplingRange| size < range.upper_size();
        match self.rates.ranges().iter().find(above) {
            None => true,
            Some(range) => match range.stored_probability() {
                0 => false,
                u32::MAX => true,
                probability => self.draw() < probability,
            },
        }
    }

    /// A number below 2³² − 1, all of which are as likely.
    #[inline]
    fn draw(&self) -> u32 {
        let mut generator = match GENERATOR.get() {
            0 => self.generator(),
            state => Rng::with_seed(state),
        };
        let drawn = generator.u32(..u32::MAX);
        GENERATOR.set(generator.get_seed());
        drawn
    }

    /// A generator for one more thread.
    #[cold]
    fn generator(&self) -> Rng {
        let number = self.threads.fetch_add(1, Ordering::Relaxed);
        // A draw scatters seeds that are next to each other.
        Rng::with_seed(self.seed ^ number.wrapping_mul(0x9e37_79b9_7f4a_7c15)).fork()
    }
}

//! Records the program it stands in: its sampled allocations and frees, with their stacks.
//!
//! To record a program of yours, copy this folder into it, add the crates `backtrace`, `fastrand` and
//! `heapprof`, and keep line numbers in what you build (`debug = "line-tables-only"` in the profile):
//!
//! ```text
//! mod recorder;
//!
//! #[global_allocator]
//! static ALLOCATOR: recorder::Recorder<std::alloc::System> = recorder::Recorder::over(std::alloc::System);
//!
//! fn main() {
//!     let recording = recorder::Options::new("run").start().unwrap();
//!     work();
//!     recording.finish().unwrap(); // run.hpm and run.hpd
//! }
//! ```
//!
//! `Options` choose what is sampled: a program that allocates little is best recorded to the last block, by
//! `.rates(heapprof::SamplingRates::unsampled())`.
//!
//! Before the start and after the end an allocation costs one look at a flag more than without.
//!
//! # How it works
//! ```text
//! any thread   allocation ─► sampled? ─► its stack ─────┐
//!              free ─► among the live sampled blocks? ──┴─► queue
//! one thread                          queue ─► stacks to lines ─► .hpm, then .hpd
//! ```
//! * What is sampled is drawn for each allocation by itself, with the probability of its size's
//!   range, from a generator that each thread has for itself.
//! * A free is logged if and only if its allocation was. A reallocation is both.
//! * What the recorder allocates itself is not recorded: a thread knows its [`Place`].
//! * A thread of the program never waits for a file or for debug information. It takes locks that are
//!   held for moments only, and none while it asks another crate for anything. What threads keep here
//!   has no destructor, so a thread can allocate for as long as it runs.
//! * Stacks are on disk before the events that name them, and both are at most [`writer::PERIOD`]
//!   behind the program: a program that is killed leaves a log that ends early and is right up to there.
//! * The recording ends with its [`Recording`], also when a panic unwinds, or when the program exits.
//!   A panic that aborts has what was recorded written first.
//!
//! The child of a `fork` that is not followed by `exec` has no thread that writes, and must not go on
//! recording.

#![allow(dead_code, reason = "no program needs all of it")]

mod live;
mod sample;
mod stack;
mod writer;

use std::alloc::{GlobalAlloc, Layout};
use std::ffi::c_int;
use std::io;
use std::panic::{self, AssertUnwindSafe};
use std::path::PathBuf;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use heapprof::SamplingRates;

use live::LiveBlocks;
pub(crate) use sample::Place;
use sample::Sampler;
use stack::StackNumber;
use writer::{Queue, Writer};

/// The allocator underneath, and a record of what it does while a recording runs.
pub(crate) struct Recorder<A>(A);

/// Whether a recording runs.
static ON: AtomicBool = AtomicBool::new(false);

/// The recording, from its start on. There is one in a program's life: the blocks of an earlier one
/// could be freed unseen in between.
static SESSION: OnceLock<Session> = OnceLock::new();

/// What all threads share.
struct Session {
    sampler: Sampler,
    live: LiveBlocks,
    queue: Queue,
}

impl<A> Recorder<A> {
    /// Over the allocator of the system, or another one.
    pub(crate) const fn over(allocator: A) -> Self {
        Self(allocator)
    }
}

// SAFETY: every call goes to the allocator underneath as it came, and what that returns is returned.
// In between nothing unwinds (see `observe`), and no memory of the program is touched.
unsafe impl<A: GlobalAlloc> GlobalAlloc for Recorder<A> {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's promises are those that are asked for.
        let block = unsafe { self.0.alloc(layout) };
        allocated(block, layout.size());
        block
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: as above.
        let block = unsafe { self.0.alloc_zeroed(layout) };
        allocated(block, layout.size());
        block
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        // Before: from then on another thread can be given the same address.
        if let Some(stack) = forgotten(block) {
            freed(stack, layout.size());
        }
        // SAFETY: as above.
        unsafe { self.0.dealloc(block, layout) }
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        let stack = forgotten(block);
        // SAFETY: as above.
        let moved = unsafe { self.0.realloc(block, layout, new_size) };
        if moved.is_null() {
            // The old block lives on.
            if let Some(stack) = stack {
                kept(block, stack);
            }
        } else {
            if let Some(stack) = stack {
                freed(stack, layout.size());
            }
            allocated(moved, new_size);
        }
        moved
    }
}

/// The recording, if one runs and this thread is no further inside of it than that.
#[inline]
fn session(at_most: Place) -> Option<&'static Session> {
    if !ON.load(Ordering::Relaxed) || Place::now() > at_most {
        return None;
    }
    SESSION.get()
}

/// A block was allocated, unless it is null.
#[inline]
fn allocated(block: *mut u8, size: usize) {
    let size = size as u64;
    if let Some(session) = session(Place::Program)
        && !block.is_null()
        && session.sampler.samples(size)
    {
        observe(|| {
            let stack = session.queue.allocation(size);
            session.live.insert(block.addr(), stack);
        });
    }
}

/// A block is about to be freed: gives its stack if its allocation was logged, once.
#[inline]
fn forgotten(block: *mut u8) -> Option<StackNumber> {
    let session = session(Place::Recorder)?;
    if !session.live.may_have(block.addr()) {
        return None;
    }
    observe(|| session.live.remove(block.addr())).flatten()
}

/// A block whose allocation was logged is freed.
fn freed(stack: StackNumber, size: usize) {
    if let Some(session) = session(Place::Recorder) {
        observe(|| session.queue.free(stack, size as u64));
    }
}

/// A block whose allocation was logged lives on, as it could not be moved.
fn kept(block: *mut u8, stack: StackNumber) {
    if let Some(session) = session(Place::Recorder) {
        observe(|| session.live.insert(block.addr(), stack));
    }
}

/// Does something for the recording that takes a lock. Should it panic, which an allocator must not,
/// the recording ends.
#[cold]
fn observe<T>(work: impl FnOnce() -> T) -> Option<T> {
    let _inside = Place::Locked.enter();
    let done = panic::catch_unwind(AssertUnwindSafe(work));
    if done.is_err() {
        ON.store(false, Ordering::Relaxed);
    }
    done.ok()
}

/// What to record, and where to.
pub(crate) struct Options {
    filebase: PathBuf,
    rates: SamplingRates,
    seed: u64,
    whole_stacks: bool,
}

impl Options {
    /// A recording into `filebase.hpm` and `filebase.hpd`, which are overwritten; with the sampling
    /// rates that heapprof has for Python programs: below 128 bytes one block in 10 000, below
    /// 8 KiB one in ten, and all others.
    pub(crate) fn new(filebase: impl Into<PathBuf>) -> Self {
        Self {
            filebase: filebase.into(),
            rates: SamplingRates::new([(128, 0.0001), (8192, 0.1)]).unwrap_or_default(),
            seed: 0,
            whole_stacks: false,
        }
    }

    /// With which probability to record a block, by its size.
    pub(crate) fn rates(self, rates: SamplingRates) -> Self {
        Self { rates, ..self }
    }

    /// The sampling rates.
    pub(crate) const fn stated_rates(&self) -> &SamplingRates {
        &self.rates
    }

    /// What the choice of blocks depends on, beside the order in which threads first allocate.
    pub(crate) fn seed(self, seed: u64) -> Self {
        Self { seed, ..self }
    }

    /// Keeps the frames of the standard library at both ends of a stack. By default they are left
    /// out, so that a block belongs to the line that asked for it.
    pub(crate) fn whole_stacks(self, whole_stacks: bool) -> Self {
        Self {
            whole_stacks,
            ..self
        }
    }

    /// Starts recording. What was allocated before is not part of it, nor are the frees of that.
    ///
    /// # Errors
    /// If the files cannot be created, or this program has recorded already.
    pub(crate) fn start(self) -> io::Result<Recording> {
        let again = || io::Error::other("this program has recorded already");
        if SESSION.get().is_some() {
            return Err(again());
        }
        let writer = Writer::create(&self.filebase, &self.rates, self.whole_stacks)?;
        let session = Session {
            sampler: Sampler::new(&self.rates, self.seed),
            live: LiveBlocks::new(),
            queue: Queue::new(),
        };
        SESSION.set(session).map_err(|_| again())?;
        let session = SESSION.get().ok_or_else(again)?;
        std::thread::Builder::new()
            .name("heap recorder".to_owned())
            .spawn(|| {
                let _inside = Place::Recorder.enter();
                let run = || writer.run(&session.queue);
                if panic::catch_unwind(AssertUnwindSafe(run)).is_err() {
                    session.queue.give_up();
                }
            })?;
        let previous = panic::take_hook();
        panic::set_hook(Box::new(move |panic| {
            // It may abort.
            write_now();
            previous(panic);
        }));
        at_exit();
        // The writer is at work: nothing that it allocated on its way there is the program's.
        session.queue.flush(Duration::MAX);
        ON.store(true, Ordering::Relaxed);
        Ok(Recording(session))
    }
}

/// A recording that runs; it ends with this.
#[must_use = "the recording ends when this is dropped"]
pub(crate) struct Recording(&'static Session);

/// What was recorded.
#[derive(Clone, Copy, Default)]
pub(crate) struct Summary {
    /// The number of events.
    pub(crate) events: u64,
    /// The number of different stacks.
    pub(crate) traces: u32,
}

impl Recording {
    /// Ends the recording and completes the files.
    ///
    /// # Errors
    /// If they could not be written.
    pub(crate) fn finish(self) -> io::Result<Summary> {
        end(self.0, Duration::MAX)
    }
}

impl Drop for Recording {
    fn drop(&mut self) {
        // Whoever wants to know about errors finishes.
        let _ = end(self.0, Duration::MAX);
    }
}

/// Ends the recording and waits until the files are complete, but no longer than that.
fn end(session: &Session, patience: Duration) -> io::Result<Summary> {
    ON.store(false, Ordering::Relaxed);
    let _inside = Place::Recorder.enter();
    session.queue.end(patience)
}

/// Has written what was recorded so far. It waits for a second at most: whoever panics might hold a
/// lock that the writer needs.
fn write_now() {
    if Place::now() == Place::Program
        && let Some(session) = SESSION.get()
    {
        let _inside = Place::Recorder.enter();
        session.queue.flush(Duration::from_secs(1));
    }
}

/// From now on, the recording ends when the program exits, however it comes to that.
fn at_exit() {
    unsafe extern "C" {
        fn atexit(handler: extern "C" fn()) -> c_int;
    }

    extern "C" fn handler() {
        if let Some(session) = SESSION.get() {
            let _ = end(session, Duration::from_secs(10));
        }
    }

    // SAFETY: the handler can be called at any time and does not unwind: what it calls returns errors,
    // and a panic would abort at its border.
    unsafe { atexit(handler) };
}

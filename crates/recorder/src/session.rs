//! What the threads of the program share with the one that writes: the live blocks that were recorded, and a queue.

use std::ops::{Deref, DerefMut};
use std::panic::{self, AssertUnwindSafe};
use std::path::PathBuf;
use std::ptr;
use std::sync::atomic::{AtomicPtr, AtomicU16, AtomicU32, AtomicUsize, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use hashbrown::HashMap;
use heapprof::{EventKind, SamplingRates};

use crate::error::Error;
use crate::files::{Entry, Files, Summary};
use crate::place::{Inside, Place};
use crate::sampling::Sampler;
use crate::stack::{Stack, Walk, agree, by_frame_pointers};
use crate::symbols::Symbols;

/// The number of the recording that runs; 0 if none does.
static GENERATION: AtomicU32 = AtomicU32::new(0);

/// The generation in which it is found out whether allocations come here.
const PROBE: u32 = u32::MAX;

/// The rates of the recording that runs.
static SAMPLER: AtomicPtr<Sampler> = AtomicPtr::new(ptr::null_mut());

/// Made by the first recording of this process, and never dropped.
static SHARED: AtomicPtr<Shared> = AtomicPtr::new(ptr::null_mut());

/// Whether an allocation came here in the generation [`PROBE`].
static PROBED: AtomicU32 = AtomicU32::new(0);

/// How many allocations can be in the queue. A free needs no more room than the live block that it was.
const LIMIT: usize = 1 << 20;

/// How much memory is used, in addresses, to know stacks again. When they are more, all are forgotten, and known again
/// once the writer has seen them.
const STACK_LIMIT: usize = 4 << 20;

/// How many counters there are, in bits: see [`Shared::may_have`].
const COUNTER_BITS: u32 = 15;

/// What the threads of the program share with the one that writes.
#[derive(Debug)]
pub(crate) struct Shared {
    /// How many of the live recorded blocks belong to each counter. Every free looks here, and most of them at a 0, so
    /// that they take no lock. Changed under the lock of `state`.
    counters: Box<[AtomicU16]>,
    depth: AtomicUsize,
    state: Mutex<State>,
    orders: Mutex<Orders>,
    ordered: Condvar,
    done: Condvar,
    symbols: Mutex<Symbols>,
    samplers: Mutex<Vec<&'static Sampler>>,
}

/// Changed for each event.
#[derive(Debug, Default)]
struct State {
    /// As [`GENERATION`]. What a thread began to record in another one is not recorded.
    generation: u32,
    live: HashMap<usize, Block>,
    queue: Queue,
    /// The numbers of stacks, by their addresses.
    stacks: HashMap<Box<[usize]>, u32>,
    /// How many addresses these have.
    addresses: usize,
    next_stack: u32,
    /// How many blocks were dropped since the process began.
    dropped: u64,
}

/// What the writer takes.
#[derive(Debug, Default)]
struct Queue {
    /// The stacks that are new, in the order of their numbers.
    stacks: Vec<Vec<usize>>,
    entries: Vec<Entry>,
    allocations: usize,
}

/// A live block that was recorded.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Block {
    stack: u32,
    size: u64,
}

/// What the writer is asked for, and what it answers.
#[derive(Debug, Default)]
struct Orders {
    /// The recording that runs, or ended and was not asked for its result.
    running: Option<(u32, PathBuf)>,
    generations: u32,
    flushes: u64,
    flushed: u64,
    end: bool,
    next: Option<Box<Files>>,
    /// The result of the files before `next`.
    rotated: Option<Result<Summary, Error>>,
    result: Option<Result<Summary, Error>>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The state, locked. Meanwhile a signal handler can run on this thread, which allocates and frees: it must not come here.
struct LockedState<'a> {
    // The lock goes first.
    state: MutexGuard<'a, State>,
    _inside: Inside,
}

impl Deref for LockedState<'_> {
    type Target = State;

    fn deref(&self) -> &State {
        &self.state
    }
}

impl DerefMut for LockedState<'_> {
    fn deref_mut(&mut self) -> &mut State {
        &mut self.state
    }
}

// --- What every allocation and free goes through ---

/// The generation, if this thread is no further inside the recorder than `at_most`; 0 if nothing is recorded.
#[inline]
fn generation(at_most: Place) -> u32 {
    let generation = GENERATION.load(Ordering::Acquire);
    if generation == 0 || Place::now() > at_most {
        return 0;
    }
    generation
}

/// A block was allocated.
#[inline]
pub(crate) fn allocated(block: *mut u8, size: usize) {
    let generation = generation(Place::Program);
    if generation == 0 {
        if GENERATION.load(Ordering::Relaxed) == PROBE && Place::now() == Place::Probe {
            PROBED.store(1, Ordering::Relaxed);
        }
        return;
    }
    // SAFETY: it is set before a recording begins, and samplers are never dropped.
    let sampler = unsafe { SAMPLER.load(Ordering::Relaxed).as_ref() };
    if sampler.is_some_and(|sampler| sampler.samples(size as u64, generation)) && !block.is_null() {
        record(block, size, generation);
    }
}

/// A block is about to be freed. Gives what it was, if it was recorded.
#[inline]
pub(crate) fn freed(block: *mut u8) -> Option<Block> {
    let generation = generation(Place::Recorder);
    if generation == 0 {
        return None;
    }
    let shared = Shared::now()?;
    if shared.may_have(block.addr()) {
        return record_free(shared, block, generation);
    }
    None
}

#[cold]
#[inline(never)]
fn record(block: *mut u8, size: usize, generation: u32) {
    let marker = 0_u8;
    let marker = ptr::from_ref(std::hint::black_box(&marker)).addr();
    let Some(shared) = Shared::now() else {
        return;
    };
    guarded(|| {
        let depth = shared.depth.load(Ordering::Relaxed);
        let block = (block.addr(), size as u64);
        if Walk::now() == Walk::FramePointers
            && let Some(stack) = by_frame_pointers(marker, depth)
        {
            if shared.add(block, generation, &stack, true) {
                return;
            }
            // A stack that is new is found both ways.
            let unwound = Stack::unwind(marker, depth);
            if agree(&stack, &unwound) {
                shared.add(block, generation, &stack, false);
            } else {
                Walk::distrust_frame_pointers();
                shared.add(block, generation, &unwound, false);
            }
        } else {
            shared.add(block, generation, &Stack::unwind(marker, depth), false);
        }
    });
}

#[cold]
#[inline(never)]
fn record_free(shared: &Shared, block: *mut u8, generation: u32) -> Option<Block> {
    guarded(|| shared.remove(block.addr(), generation)).flatten()
}

/// A block that [was to be freed](freed) lives on, as it could not be moved.
#[cold]
pub(crate) fn kept(block: *mut u8, was: Block) {
    let generation = generation(Place::Recorder);
    if let (1.., Some(shared)) = (generation, Shared::now()) {
        guarded(|| shared.put(&mut shared.state(), block.addr(), generation, was));
    }
}

/// Does something that takes a lock. Should it panic, which an allocator must not, the recording ends.
fn guarded<T>(work: impl FnOnce() -> T) -> Option<T> {
    let _inside = Place::Locked.enter();
    let done = panic::catch_unwind(AssertUnwindSafe(work));
    if done.is_err() {
        GENERATION.store(0, Ordering::Relaxed);
    }
    done.ok()
}

impl Shared {
    /// That of this process, if it was recorded before.
    #[inline]
    pub(crate) fn now() -> Option<&'static Self> {
        // SAFETY: it is null or was leaked.
        unsafe { SHARED.load(Ordering::Acquire).as_ref() }
    }

    /// That of this process.
    fn now_or_new() -> &'static Self {
        if let Some(shared) = Self::now() {
            return shared;
        }
        let new = Box::leak(Box::new(Self {
            counters: (0..1 << COUNTER_BITS).map(|_| AtomicU16::new(0)).collect(),
            depth: AtomicUsize::new(0),
            state: Mutex::default(),
            orders: Mutex::default(),
            ordered: Condvar::new(),
            done: Condvar::new(),
            symbols: Mutex::default(),
            samplers: Mutex::default(),
        }));
        let order = Ordering::AcqRel;
        match SHARED.compare_exchange(ptr::null_mut(), new, order, Ordering::Acquire) {
            Ok(_) => new,
            // Another thread was faster; what is here stays leaked.
            Err(_) => Self::now().unwrap_or(new),
        }
    }

    /// In a child: nothing is recorded and nothing was.
    pub(crate) fn forget() {
        GENERATION.store(0, Ordering::Relaxed);
        SHARED.store(ptr::null_mut(), Ordering::Relaxed);
    }

    fn state(&self) -> LockedState<'_> {
        let inside = Place::Locked.enter();
        LockedState {
            state: lock(&self.state),
            _inside: inside,
        }
    }

    fn is_now(&self) -> bool {
        ptr::eq(SHARED.load(Ordering::Relaxed), self)
    }

    /// Whether a block that is freed can be one that was recorded. The thread that frees it knows of it from the one
    /// that allocated it, and so of its counter.
    #[inline]
    fn may_have(&self, block: usize) -> bool {
        self.counters[counter(block)].load(Ordering::Relaxed) != 0
    }

    /// Adds a block. Gives `false` if it must have a stack that is known and does not.
    fn add(
        &self,
        (block, size): (usize, u64),
        generation: u32,
        stack: &Stack,
        known: bool,
    ) -> bool {
        let mut state = self.state();
        if state.generation != generation {
            return true;
        }
        let stack = match state.stacks.get(stack.as_slice()) {
            Some(&number) => Some(number),
            None if known => return false,
            None => state.add_stack(stack.as_slice()),
        };
        let is_put = stack.is_some_and(|stack| {
            state.queue.allocations < LIMIT
                && self.put(&mut state, block, generation, Block { stack, size })
        });
        state.dropped += u64::from(!is_put);
        true
    }

    /// Enters a block and its allocation; gives whether there was memory for it.
    fn put(&self, state: &mut State, block: usize, generation: u32, entered: Block) -> bool {
        let entries = &mut state.queue.entries;
        if state.generation != generation
            || entries.try_reserve(2).is_err()
            || state.live.try_reserve(1).is_err()
        {
            return false;
        }
        let at = Instant::now();
        let event = |block: Block, kind| Entry {
            at,
            size: block.size,
            stack: block.stack,
            kind,
        };
        match state.live.insert(block, entered) {
            // Its free was not seen: in a signal handler, say.
            Some(missed) => entries.push(event(missed, EventKind::Free)),
            None => {
                self.counters[counter(block)].fetch_add(1, Ordering::Relaxed);
            }
        }
        entries.push(event(entered, EventKind::Allocation));
        state.queue.allocations += 1;
        true
    }

    fn remove(&self, block: usize, generation: u32) -> Option<Block> {
        let mut state = self.state();
        if state.generation != generation {
            return None;
        }
        let removed = state.live.remove(&block)?;
        self.counters[counter(block)].fetch_sub(1, Ordering::Relaxed);
        if state.queue.entries.try_reserve(1).is_ok() {
            state.queue.entries.push(Entry {
                at: Instant::now(),
                size: removed.size,
                stack: removed.stack,
                kind: EventKind::Free,
            });
        }
        Some(removed)
    }

    /// Forgets the live blocks.
    fn clear(&self, state: &mut State) {
        state.generation = 0;
        state.live = HashMap::new();
        // Not the stacks: the writer counts them.
        state.queue.entries = Vec::new();
        state.queue.allocations = 0;
        for counter in &self.counters {
            counter.store(0, Ordering::Relaxed);
        }
    }
}

/// The counter of a block: the upper bits of a product, which depend on all bits of the address.
#[inline]
fn counter(block: usize) -> usize {
    let product = (block as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    (product >> (u64::BITS - COUNTER_BITS)) as usize
}

impl State {
    /// The number of a stack that is new; `None` if there is no memory for it.
    fn add_stack(&mut self, addresses: &[usize]) -> Option<u32> {
        if self.addresses >= STACK_LIMIT {
            self.forget_stacks();
        }
        let copy = || {
            let mut copy = Vec::new();
            copy.try_reserve_exact(addresses.len()).ok()?;
            copy.extend_from_slice(addresses);
            Some(copy)
        };
        let (key, value) = (copy()?, copy()?);
        self.stacks.try_reserve(1).ok()?;
        self.queue.stacks.try_reserve(1).ok()?;
        let number = self.next_stack;
        self.next_stack = number.checked_add(1)?;
        self.stacks.insert(key.into_boxed_slice(), number);
        self.queue.stacks.push(value);
        self.addresses += addresses.len();
        Some(number)
    }

    fn forget_stacks(&mut self) {
        self.stacks.clear();
        self.addresses = 0;
    }
}

// --- Starting, ending, and the thread that writes ---

/// What a recording is started with.
#[derive(Debug)]
pub(crate) struct Start {
    pub(crate) filebase: PathBuf,
    pub(crate) rates: SamplingRates,
    pub(crate) depth: usize,
    pub(crate) whole_stacks: bool,
    pub(crate) seed: u64,
    pub(crate) period: Duration,
    pub(crate) properties: Vec<(String, String)>,
}

/// Which recording of this process.
#[derive(Debug)]
pub(crate) struct Session {
    shared: &'static Shared,
    generation: u32,
}

impl Session {
    pub(crate) fn start(start: &Start) -> Result<Self, Error> {
        let _inside = Place::Recorder.enter();
        let shared = Shared::now_or_new();
        let generation = {
            let mut orders = lock(&shared.orders);
            if let Some((_, filebase)) = &orders.running {
                return Err(Error::AlreadyRecording(filebase.clone()));
            }
            orders.generations = orders.generations % (PROBE - 1) + 1;
            let generation = orders.generations;
            orders.running = Some((generation, start.filebase.clone()));
            (orders.end, orders.result, orders.next, orders.rotated) = (false, None, None, None);
            orders.flushed = orders.flushes;
            generation
        };
        let session = Self { shared, generation };
        match session.launch(start) {
            Ok(()) => Ok(session),
            Err(error) => {
                lock(&shared.orders).running = None;
                Err(error)
            }
        }
    }

    fn launch(&self, start: &Start) -> Result<(), Error> {
        let (shared, generation) = (self.shared, self.generation);
        SAMPLER.store(
            ptr::from_ref(shared.sampler(&start.rates)).cast_mut(),
            Ordering::Relaxed,
        );
        if !allocations_come_here() {
            return Err(Error::NotInstalled);
        }
        crate::process::prepare();
        lock(&shared.symbols).warm_up();
        let mut files = Files::create(start)?;
        files.count_drops_from(shared.state().dropped);
        shared.depth.store(start.depth, Ordering::Relaxed);
        crate::sampling::set_seed(start.seed);
        let period = start.period;
        let write = move || {
            let _inside = Place::Recorder.enter();
            let run = || shared.write_until_end(files, period);
            let result = panic::catch_unwind(AssertUnwindSafe(run));
            shared.ended(result.unwrap_or_else(|_| {
                shared.forget_stacks();
                Err(Error::Thread(std::io::Error::other("it panicked")))
            }));
        };
        let thread = std::thread::Builder::new().name("heap recorder".to_owned());
        thread.spawn(write).map_err(Error::Thread)?;
        // The writer is at work: nothing that it allocated on its way there is the program's.
        shared.flush(Duration::MAX);
        shared.state().generation = generation;
        GENERATION.store(generation, Ordering::Release);
        Ok(())
    }

    /// Has everything written that was recorded so far.
    pub(crate) fn flush(&self) -> Result<(), Error> {
        self.check()?;
        let _inside = Place::Recorder.enter();
        self.shared.flush(Duration::MAX);
        Ok(())
    }

    /// Goes on with other files.
    pub(crate) fn rotate(&self, start: &Start) -> Result<Summary, Error> {
        self.check()?;
        let _inside = Place::Recorder.enter();
        let shared = self.shared;
        let files = Files::create(start)?;
        let mut orders = lock(&shared.orders);
        orders.next = Some(Box::new(files));
        shared.ordered.notify_one();
        let waiting = |orders: &mut Orders| orders.rotated.is_none() && orders.result.is_none();
        let waited = shared.done.wait_while(orders, waiting);
        let mut orders = waited.unwrap_or_else(PoisonError::into_inner);
        orders.next = None;
        match orders.rotated.take() {
            Some(rotated) => {
                orders.running = Some((self.generation, start.filebase.clone()));
                rotated
            }
            None => Err(orders.result_once()),
        }
    }

    /// Ends the recording and waits until its files are complete.
    pub(crate) fn end(&self) -> Result<Summary, Error> {
        self.check()?;
        let _inside = Place::Recorder.enter();
        self.shared.end(Duration::MAX)
    }

    /// That this is the process of the recording, and that it is the one that runs.
    fn check(&self) -> Result<(), Error> {
        if !self.shared.is_now() {
            return Err(Error::Forked);
        }
        match &lock(&self.shared.orders).running {
            Some((generation, _)) if *generation == self.generation => Ok(()),
            _ => Err(Error::Ended),
        }
    }
}

/// Whether what this thread allocates goes through [`allocated`].
fn allocations_come_here() -> bool {
    let before = GENERATION.swap(PROBE, Ordering::Relaxed);
    let inside = Place::Probe.enter();
    drop(std::hint::black_box(Box::new(0_u8)));
    drop(inside);
    GENERATION.store(before, Ordering::Relaxed);
    PROBED.swap(0, Ordering::Relaxed) == 1
}

impl Orders {
    /// The error with which the recording ended.
    fn result_once(&mut self) -> Error {
        match self
            .result
            .as_mut()
            .map(|result| std::mem::replace(result, Err(Error::Ended)))
        {
            Some(Err(error)) => error,
            _ => Error::Ended,
        }
    }
}

impl Shared {
    /// The sampler of these rates. They are kept, so that none is dropped while a thread uses it.
    fn sampler(&self, rates: &SamplingRates) -> &'static Sampler {
        let mut samplers = lock(&self.samplers);
        if let Some(known) = samplers.iter().find(|known| known.rates() == rates) {
            return known;
        }
        let new = Box::leak(Box::new(Sampler::new(rates)));
        samplers.push(new);
        new
    }

    /// Has everything written that is in the queue, and waits for that, but no longer than `patience`.
    pub(crate) fn flush(&self, patience: Duration) {
        let mut orders = lock(&self.orders);
        if orders.running.is_none() {
            return;
        }
        orders.flushes += 1;
        let order = orders.flushes;
        self.ordered.notify_one();
        let waiting = |orders: &mut Orders| orders.flushed < order && orders.result.is_none();
        drop(self.done.wait_timeout_while(orders, patience, waiting));
    }

    pub(crate) fn end_at_exit(&self, patience: Duration) {
        let _inside = Place::Recorder.enter();
        let _ = self.end(patience);
    }

    fn end(&self, patience: Duration) -> Result<Summary, Error> {
        let mut orders = lock(&self.orders);
        if orders.running.is_none() {
            return Err(Error::Ended);
        }
        orders.end = true;
        self.ordered.notify_one();
        let waiting = |orders: &mut Orders| orders.result.is_none();
        let waited = self.done.wait_timeout_while(orders, patience, waiting);
        let (mut orders, _) = waited.unwrap_or_else(PoisonError::into_inner);
        match orders.result.take() {
            Some(result) => {
                orders.running = None;
                result
            }
            None => Err(Error::Thread(std::io::ErrorKind::TimedOut.into())),
        }
    }

    /// The thread that writes is done.
    fn ended(&self, result: Result<Summary, Error>) {
        GENERATION.store(0, Ordering::Relaxed);
        self.clear(&mut self.state());
        lock(&self.orders).result = Some(result);
        self.done.notify_all();
    }

    /// The writer may have lost count of the stacks.
    fn forget_stacks(&self) {
        let mut state = self.state();
        self.clear(&mut state);
        state.forget_stacks();
        (state.next_stack, state.queue) = (0, Queue::default());
        *lock(&self.symbols) = Symbols::default();
    }

    /// Writes what comes until the end is ordered.
    fn write_until_end(&self, mut files: Files, period: Duration) -> Result<Summary, Error> {
        let mut symbols = lock(&self.symbols);
        let mut queue = Queue::default();
        loop {
            let orders = lock(&self.orders);
            let waiting = |orders: &mut Orders| {
                orders.flushes == orders.flushed && !orders.end && orders.next.is_none()
            };
            let waited = self.ordered.wait_timeout_while(orders, period, waiting);
            let (mut orders, _) = waited.unwrap_or_else(PoisonError::into_inner);
            let (flush, end, next) = (orders.flushes, orders.end, orders.next.take());
            drop(orders);

            let mut carried = Vec::new();
            let mut state = self.state();
            std::mem::swap(&mut state.queue, &mut queue);
            let dropped = state.dropped;
            if end {
                GENERATION.store(0, Ordering::Relaxed);
                self.clear(&mut state);
            }
            if next.is_some() {
                let blocks = state.live.values();
                carried.extend(blocks.map(|block| (block.stack, block.size)));
            }
            drop(state);

            if symbols.refresh() {
                self.state().forget_stacks();
            }
            for stack in queue.stacks.drain(..) {
                symbols.add_stack(&stack);
            }
            files.write(&mut symbols, &queue.entries)?;
            files.describe(Walk::now().name(), &symbols, dropped)?;
            queue.entries.clear();
            queue.allocations = 0;
            if let Some(next) = next {
                let summary = std::mem::replace(&mut files, *next).close();
                files.count_drops_from(dropped);
                files.carry_over(&mut symbols, carried)?;
                lock(&self.orders).rotated = Some(Ok(summary));
            }
            lock(&self.orders).flushed = flush;
            self.done.notify_all();
            if end {
                return Ok(files.close());
            }
        }
    }
}

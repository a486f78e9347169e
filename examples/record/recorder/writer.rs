//! What the program's threads hand over, and the thread that writes it to the files.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, BufWriter};
use std::mem;
use std::path::Path;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use heapprof::EventKind;
use heapprof::raw::EncodeError;
use heapprof::raw::{EventWriter, Properties, TraceWriter};
use heapprof::{SamplingRates, StartTime, TraceId, WallOffset};

use super::stack::{Addresses, StackNumber, Symbols};
use super::{ON, Summary};

/// How often the files are written.
pub(super) const PERIOD: Duration = Duration::from_millis(50);

/// An event that is to be written.
struct Entry {
    after_start: Duration,
    size: u64,
    stack: StackNumber,
    kind: EventKind,
}

/// Between the threads of the program and the one that writes.
pub(super) struct Queue {
    began: Instant,
    pending: Mutex<Pending>,
    orders: Mutex<Orders>,
    ordered: Condvar,
    done: Condvar,
}

/// What is to be written.
#[derive(Default)]
struct Pending {
    stacks: HashMap<Arc<[usize]>, StackNumber>,
    /// The stacks that were not yet handed over.
    new_stacks: Vec<Arc<[usize]>>,
    entries: Vec<Entry>,
}

/// What the writer is asked for.
#[derive(Default)]
struct Orders {
    flushes: u64,
    done: u64,
    end: bool,
    result: Option<io::Result<Summary>>,
}

impl Queue {
    pub(super) fn new() -> Self {
        Self {
            began: Instant::now(),
            pending: Mutex::default(),
            orders: Mutex::default(),
            ordered: Condvar::new(),
            done: Condvar::new(),
        }
    }

    /// An allocation of `size` bytes by this thread; gives the number of its stack.
    pub(super) fn allocation(&self, size: u64) -> StackNumber {
        let addresses = Addresses::capture();
        let mut pending = lock(&self.pending);
        let stack = pending.number(addresses.as_slice());
        self.add(&mut pending, stack, size, EventKind::Allocation);
        stack
    }

    /// A free of `size` bytes, with the stack of the allocation.
    pub(super) fn free(&self, stack: StackNumber, size: u64) {
        self.add(&mut lock(&self.pending), stack, size, EventKind::Free);
    }

    /// The clock is looked at under the lock, so that the entries are in order.
    fn add(&self, pending: &mut Pending, stack: StackNumber, size: u64, kind: EventKind) {
        pending.entries.push(Entry {
            after_start: self.began.elapsed(),
            size,
            stack,
            kind,
        });
    }

    /// Has everything written that is here now, and waits for that, but no longer than `patience`.
    pub(super) fn flush(&self, patience: Duration) {
        let mut orders = lock(&self.orders);
        orders.flushes += 1;
        let order = orders.flushes;
        self.ordered.notify_one();
        let waiting = |orders: &mut Orders| orders.done < order && orders.result.is_none();
        let waited = self.done.wait_timeout_while(orders, patience, waiting);
        drop(waited.unwrap_or_else(PoisonError::into_inner));
    }

    /// Ends the writing, and waits for that, but no longer than `patience`. The result is told once.
    pub(super) fn end(&self, patience: Duration) -> io::Result<Summary> {
        let mut orders = lock(&self.orders);
        orders.end = true;
        self.ordered.notify_one();
        let waiting = |orders: &mut Orders| orders.result.is_none();
        let waited = self.done.wait_timeout_while(orders, patience, waiting);
        let (mut orders, _) = waited.unwrap_or_else(PoisonError::into_inner);
        match &mut orders.result {
            Some(result) => mem::replace(result, Ok(Summary::default())),
            None => Err(io::ErrorKind::TimedOut.into()),
        }
    }

    /// Nobody writes any more.
    pub(super) fn give_up(&self) {
        ON.store(false, Ordering::Relaxed);
        lock(&self.orders).result = Some(Err(io::Error::other("the writer panicked")));
        self.done.notify_all();
    }
}

impl Pending {
    fn number(&mut self, addresses: &[usize]) -> StackNumber {
        if let Some(&stack) = self.stacks.get(addresses) {
            return stack;
        }
        let stack = StackNumber::try_from(self.stacks.len()).unwrap_or(StackNumber::MAX);
        let addresses: Arc<[usize]> = addresses.into();
        self.stacks.insert(addresses.clone(), stack);
        self.new_stacks.push(addresses);
        stack
    }
}

/// A panic of another thread in here leaves nothing half done.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The properties of the recording.
fn properties() -> Properties {
    let command = std::env::args_os().map(|argument| argument.to_string_lossy().into_owned());
    let command = command.collect::<Vec<_>>().join(" ");
    let recorder = concat!("heapprof ", env!("CARGO_PKG_VERSION"), ", example record");
    let known = [
        ("recorder", recorder.to_owned()),
        ("command", command),
        ("pid", std::process::id().to_string()),
    ];
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").ok();
    let host = host.map(|name| ("host", name.trim_end().to_owned()));
    known.into_iter().chain(host).collect()
}

/// Writes the files.
pub(super) struct Writer {
    traces: TraceWriter<BufWriter<File>>,
    events: EventWriter<BufWriter<File>>,
    whole_stacks: bool,
    symbols: Symbols,
    /// The trace of each stack: different addresses can be the same lines.
    ids: Vec<TraceId>,
}

impl Writer {
    /// Creates the files of a recording that begins now.
    pub(super) fn create(
        filebase: &Path,
        rates: &SamplingRates,
        whole_stacks: bool,
    ) -> io::Result<Self> {
        let create = |extension: &str| {
            let mut path = filebase.to_owned().into_os_string();
            path.push(extension);
            File::create(path).map(BufWriter::new)
        };
        let start = StartTime::from(SystemTime::now());
        let hpm = create(".hpm")?;
        Ok(Self {
            traces: TraceWriter::with_properties(hpm, start, rates, &properties())
                .map_err(io::Error::other)?,
            events: EventWriter::new(create(".hpd")?),
            whole_stacks,
            symbols: Symbols::default(),
            ids: Vec::new(),
        })
    }

    /// Writes what comes until the end is ordered.
    pub(super) fn run(mut self, queue: &Queue) {
        let (mut stacks, mut entries) = (Vec::new(), Vec::new());
        loop {
            let orders = lock(&queue.orders);
            let waiting = |orders: &mut Orders| orders.flushes == orders.done && !orders.end;
            let waited = queue.ordered.wait_timeout_while(orders, PERIOD, waiting);
            let (orders, _) = waited.unwrap_or_else(PoisonError::into_inner);
            let (order, end) = (orders.flushes, orders.end);
            drop(orders);

            {
                let mut pending = lock(&queue.pending);
                mem::swap(&mut pending.new_stacks, &mut stacks);
                mem::swap(&mut pending.entries, &mut entries);
            }
            let written = self.write(&stacks, &entries);
            stacks.clear();
            entries.clear();

            let mut orders = lock(&queue.orders);
            orders.done = order;
            if end || written.is_err() {
                ON.store(false, Ordering::Relaxed);
                orders.result = Some(written.map_err(io::Error::other).map(|()| Summary {
                    events: self.events.position().events(),
                    traces: self.traces.count(),
                }));
            }
            queue.done.notify_all();
            if orders.result.is_some() {
                return;
            }
        }
    }

    fn write(&mut self, stacks: &[Arc<[usize]>], entries: &[Entry]) -> Result<(), EncodeError> {
        for addresses in stacks {
            let frames = self.symbols.frames(addresses, self.whole_stacks);
            let frames = frames
                .iter()
                .map(|&number| &self.symbols.frame(number).frame);
            self.ids.push(self.traces.intern_innermost_first(frames)?);
        }
        // The stacks come first: a program can be killed between the two.
        self.traces.flush()?;
        for entry in entries {
            let wall = WallOffset::from(entry.after_start);
            let trace = self.ids.get(entry.stack as usize).copied();
            self.events.write(wall, trace, entry.size, entry.kind)?;
        }
        self.events.flush()
    }
}

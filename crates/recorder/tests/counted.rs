//! A program with threads is recorded beside an allocator that counts: everything to the byte and block, samples as near
//! as their standard deviation says.

use std::alloc::{GlobalAlloc, Layout, System};
use std::collections::{BTreeMap, HashMap};
use std::ops::ControlFlow;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, RwLock};
use std::thread;

use heapprof::query::{AppliedEvent, LiveHeap, Query, QueryEnd};
use heapprof::{Reader, SamplingRates};
use heapprof_recorder::{Allocator, Recorder, is_inside};

#[global_allocator]
static ALLOCATOR: Allocator<Counting> = Allocator::over(Counting);

/// The allocator of the system, with a count of what the program asks it for.
struct Counting;

static IS_ON: AtomicBool = AtomicBool::new(false);
static RATES: RwLock<Option<SamplingRates>> = RwLock::new(None);
static ALLOCATED: Count = Count::new();
static FREED: Count = Count::new();

/// Blocks and bytes, and the variances of their estimates.
struct Count {
    blocks: AtomicU64,
    bytes: AtomicU64,
    variance_of_blocks: AtomicU64,
    variance_of_bytes: AtomicU64,
}

impl Count {
    const fn new() -> Self {
        Self {
            blocks: AtomicU64::new(0),
            bytes: AtomicU64::new(0),
            variance_of_blocks: AtomicU64::new(0),
            variance_of_bytes: AtomicU64::new(0),
        }
    }

    fn all(&self) -> [&AtomicU64; 4] {
        [
            &self.blocks,
            &self.bytes,
            &self.variance_of_blocks,
            &self.variance_of_bytes,
        ]
    }

    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss
    )]
    fn add(&self, size: usize) {
        if !IS_ON.load(Ordering::Relaxed) || is_inside() {
            return;
        }
        let rates = RATES.read().unwrap();
        let probability = rates
            .as_ref()
            .map_or(1.0, |rates| rates.probability(size as u64));
        // A block that is recorded with probability p is estimated as 1/p blocks or as none.
        let variance = 1.0 / probability - 1.0;
        let bytes = variance * (size as f64).powi(2);
        let added = [
            1,
            size as u64,
            variance.round() as u64,
            bytes.round() as u64,
        ];
        for (count, added) in self.all().into_iter().zip(added) {
            count.fetch_add(added, Ordering::Relaxed);
        }
    }
}

// SAFETY: every call goes to the allocator of the system as it came. To count allocates nothing and does not unwind.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATED.add(layout.size());
        // SAFETY: the caller's promises are those that are asked for.
        unsafe { System.alloc(layout) }
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

/// Estimates of all that was allocated and of what is live: blocks and bytes.
#[derive(Debug, Default)]
struct Estimates {
    allocated: [i64; 2],
    live: [i64; 2],
    rates: SamplingRates,
}

impl Query for Estimates {
    type Output = Self;

    fn begin(&mut self, start: &heapprof::query::QueryStart<'_>) -> heapprof::Result<()> {
        self.rates = start.rates().clone();
        Ok(())
    }

    fn observe(&mut self, applied: &AppliedEvent, _: &LiveHeap) -> ControlFlow<()> {
        #[expect(clippy::cast_possible_truncation)]
        let blocks = (1.0 / self.rates.probability(applied.event.size)).round() as i64;
        if applied.event.is_free() {
            self.live = [self.live[0] - blocks, self.live[1] + applied.bytes];
        } else {
            self.allocated = [
                self.allocated[0] + blocks,
                self.allocated[1] + applied.bytes,
            ];
            self.live = [self.live[0] + blocks, self.live[1] + applied.bytes];
        }
        ControlFlow::Continue(())
    }

    fn finish(self, _: &QueryEnd<'_>) -> Self {
        self
    }
}

/// What threads of a program do: texts, maps, buffers that grow, and a cache that stays.
fn work(number: u64, cache: &Mutex<HashMap<u64, Vec<u8>>>) {
    let mut random = fastrand::Rng::with_seed(number);
    for round in 0..5_000 {
        let mut words: BTreeMap<String, u64> = BTreeMap::new();
        for _ in 0..random.u32(1..10) {
            *words.entry(format!("word {}", random.u8(..))).or_default() += 1;
        }
        let text: Vec<String> = words
            .iter()
            .map(|(word, count)| format!("{word}={count}"))
            .collect();
        let text = text.join(";");
        if round % 10 == 0 {
            let kept = vec![7; text.len() + random.usize(..20_000)];
            cache.lock().unwrap().insert(random.u64(..2_000), kept);
        }
    }
}

/// Records and counts; then both have the same, but for so many standard deviations.
fn compare(recorder: impl Fn(Recorder) -> Recorder, rates: &SamplingRates, seed: u64) {
    let folder = tempfile::tempdir().unwrap();
    let recorder = recorder(Recorder::new(folder.path().join("run"))).seed(seed);
    *RATES.write().unwrap() = Some(rates.clone());
    for count in ALLOCATED.all().into_iter().chain(FREED.all()) {
        count.store(0, Ordering::Relaxed);
    }
    let recording = recorder.start().unwrap();
    IS_ON.store(true, Ordering::Relaxed);
    let cache = Mutex::default();
    thread::scope(|scope| {
        let threads = (0..4).map(|number| {
            let cache = &cache;
            scope.spawn(move || work(number, cache))
        });
        // The end of the scope would not wait for what threads do as they end.
        threads
            .collect::<Vec<_>>()
            .into_iter()
            .for_each(|thread| thread.join().unwrap());
    });
    IS_ON.store(false, Ordering::Relaxed);
    let summary = recording.finish().unwrap();
    assert_eq!(summary.dropped, 0);
    let reader = Reader::open(&summary.filebase).unwrap();
    assert_eq!(reader.stated_rates(), rates);
    let found = reader.ask(Estimates::default()).unwrap();

    let read = |count: &Count| {
        count
            .all()
            .map(|it| it.load(Ordering::Relaxed).cast_signed())
    };
    let (allocated, freed) = (read(&ALLOCATED), read(&FREED));
    let live: [i64; 4] = std::array::from_fn(|at| allocated[at] - freed[at]);
    for (what, estimate, truth) in [
        ("allocated", found.allocated, allocated),
        ("live", found.live, live),
    ] {
        for at in 0..2 {
            #[expect(clippy::cast_precision_loss)]
            let deviation = (truth[at + 2] as f64).sqrt();
            #[expect(clippy::cast_precision_loss)]
            let off = (estimate[at] - truth[at]).abs() as f64;
            assert!(
                off <= 5.0 * deviation,
                "{what} {at}: {} is {}±{deviation}",
                truth[at],
                estimate[at]
            );
        }
    }
    drop(cache);
}

#[test]
fn what_is_recorded_is_what_was_allocated() {
    compare(Recorder::everything, &SamplingRates::unsampled(), 0);
    for seed in 0..3 {
        compare(|recorder| recorder, &by_default(), seed);
        let rates = SamplingRates::new([(64, 0.05), (512, 0.25)]).unwrap();
        compare(|recorder| recorder.rates(rates.clone()), &rates, seed);
    }
}

/// The rates that the documentation states: two ranges for each doubling, each with the probability of its middle.
fn by_default() -> SamplingRates {
    let mean = f64::from(512 * 1024);
    let powers = (4..23).map(|power| 1_u64 << power);
    let uppers = powers.flat_map(|power| [power, power + power / 2]);
    let mut lower = 0;
    SamplingRates::new(uppers.map(|upper| {
        #[expect(clippy::cast_precision_loss)]
        let middle = (lower + upper) as f64 / 2.0;
        lower = upper;
        (upper, -(-middle / mean).exp_m1())
    }))
    .unwrap()
}

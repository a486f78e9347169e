//! What does one pass over the log answer? Queries, the caller's own among them, that share it.

mod ends;
mod group;
mod pass;

use std::mem::discriminant;
use std::ops::ControlFlow;

pub use ends::{QueryEnd, QueryStart};
use group::Running;
use pass::QueryPass;

use crate::error::{DecodeError, Result, Taint};
use crate::heap::LiveHeap;
use crate::raw::hpd::Event;
use crate::reader::Reader;
use crate::replay::Replay;
use crate::time::Elapsed;

/// A query that one pass over the log answers. [`Reader::ask`] makes the pass, which several queries can share.
///
/// The pass calls [`start`](Self::start), [`begin`](Self::begin) once, [`observe`](Self::observe) for each event, and
/// [`finish`](Self::finish).
///
/// ```
/// use heapprof::query::{AppliedEvent, LiveHeap, Query, QueryEnd};
/// use heapprof::Reader;
/// use std::ops::ControlFlow;
///
/// /// The size of the largest block that was freed.
/// #[derive(Default)]
/// struct LargestFree(u64);
///
/// impl Query for LargestFree {
///     type Output = u64;
///
///     fn observe(&mut self, applied: &AppliedEvent, _: &LiveHeap) -> ControlFlow<()> {
///         if applied.event.is_free() {
///             self.0 = self.0.max(applied.event.size);
///         }
///         ControlFlow::Continue(())
///     }
///
///     fn finish(self, _: &QueryEnd<'_>) -> u64 {
///         self.0
///     }
/// }
///
/// let reader = Reader::open("examples/data/demo")?;
/// assert_eq!(reader.ask(LargestFree::default())?, 4_718_636);
/// # Ok::<(), heapprof::Error>(())
/// ```
pub trait Query {
    /// The result.
    type Output;

    /// The time from which on it observes events, by default the start of the log. The pass need not read earlier
    /// events if a digest has what is live then.
    fn start(&self) -> Elapsed {
        Elapsed::ZERO
    }

    /// Called once, before the first event that it observes.
    ///
    /// That is the first event after [`start`](Self::start). If `start` is 0, it is the first event of the log, one at
    /// time 0 included. A query that needs stacks, the sampling rates or the length of the recording gets them here.
    ///
    /// # Errors
    /// An error ends the pass, and [`Reader::ask`] returns it.
    fn begin(&mut self, start: &QueryStart<'_>) -> Result<()> {
        let _ = start;
        Ok(())
    }

    /// Called for each event. `heap` is what is live after it.
    ///
    /// Return `Break` to observe no more events. The pass ends early once all its queries have done so.
    ///
    /// Called millions of times a second, so mark it `#[inline]`, and read single fields of `applied`: a copy of its
    /// [`Event`] costs more than to decode it.
    fn observe(&mut self, applied: &AppliedEvent, heap: &LiveHeap) -> ControlFlow<()>;

    /// Returns the result, after the pass. If the query has returned `Break`, `end` can be later than that: other queries
    /// may have gone on.
    fn finish(self, end: &QueryEnd<'_>) -> Self::Output;
}

/// An event, and what it did to the live heap.
///
/// ```
/// use heapprof::query::{AppliedEvent, LiveHeap, Query, QueryEnd};
/// use heapprof::Reader;
/// use std::ops::ControlFlow;
///
/// /// The first event after which more bytes are live than a limit.
/// struct FirstAbove(i64, Option<AppliedEvent>);
///
/// impl Query for FirstAbove {
///     type Output = Option<AppliedEvent>;
///
///     fn observe(&mut self, applied: &AppliedEvent, _: &LiveHeap) -> ControlFlow<()> {
///         if applied.total <= self.0 {
///             return ControlFlow::Continue(());
///         }
///         self.1 = Some(*applied);
///         ControlFlow::Break(())
///     }
///
///     fn finish(self, _: &QueryEnd<'_>) -> Option<AppliedEvent> {
///         self.1
///     }
/// }
///
/// let reader = Reader::open("examples/data/demo")?;
/// let first = reader.ask(FirstAbove(10_000_000, None))?.unwrap();
/// assert_eq!((first.number, first.bytes, first.total), (28_213, 393_249, 10_127_520));
/// assert_eq!((first.trace_before, first.trace_after), (64, 393_313)); // live bytes of its trace
/// # Ok::<(), heapprof::Error>(())
/// ```
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct AppliedEvent {
    /// The event.
    pub event: Event,
    /// The estimate of its bytes; negative for a free.
    pub bytes: i64,
    /// The live bytes of its trace before it.
    pub trace_before: i64,
    /// The live bytes of its trace after it.
    pub trace_after: i64,
    /// All live bytes after it.
    pub total: i64,
    /// Its number in the log; that of the first event is 1.
    pub number: u64,
    /// The offset of its record, in bytes from the start of the log.
    pub offset: u64,
    /// Whether it has a million microseconds or more, which no recorder writes.
    pub has_invalid_micros: bool,
}

/// One [`Query`], a `Vec` of queries of one type, or a tuple of up to six of these, for one pass.
///
/// ```
/// use heapprof::query::{Churn, Live, Peak};
/// use heapprof::{Elapsed, Reader};
///
/// let reader = Reader::open("examples/data/demo")?;
/// let (peak, end, churn) = reader.ask((Peak::query(), Live::query(), Churn::query()))?;
/// assert_eq!((peak.total(), end.total()), (19_241_503, 8_334_103));
/// assert_eq!(churn.total().allocated - churn.total().freed, 8_334_103);
///
/// let moments = [5, 10, 20].map(|second| Live::query().at(Elapsed::from_secs(second)));
/// let usages = reader.ask(moments.to_vec())?;
/// let totals: Vec<i64> = usages.iter().map(|usage| usage.total()).collect();
/// assert_eq!(totals, [2_248_163, 4_389_175, 7_643_191]);
/// # Ok::<(), heapprof::Error>(())
/// ```
pub trait QueryGroup {
    /// The results, in the order of the queries.
    type Outputs;
    #[doc(hidden)]
    type Running: group::Running<Outputs = Self::Outputs>;
    #[doc(hidden)]
    fn run(self) -> Self::Running;
}

impl Reader {
    /// Makes one pass over the log for one [`Query`], or several in a tuple or a `Vec`.
    ///
    /// If the reader has a digest with precision 0, the pass starts at the last snapshot before the start of all
    /// queries, else at the start of the log. It ends once no query wants more events. Memory: 8 to 16 bytes a trace,
    /// and what the queries take.
    ///
    /// # Errors
    /// If the log cannot be read, and the errors of [`Query::begin`].
    pub fn ask<Q: QueryGroup>(&self, queries: Q) -> Result<Q::Outputs> {
        let mut queries = queries.run();
        let traces = self.trace_count()?;
        let mut heap = LiveHeap::new(traces as usize);
        let (from, before) = self.nearest(queries.start(), &mut heap);
        let mut pass = QueryPass {
            reader: self,
            pass: self.pass_from(from)?,
            replay: Replay::of(heap, traces),
            traces,
            is_stopped: false,
        };
        pass.run(&mut queries)?;
        let QueryPass {
            pass,
            replay,
            is_stopped,
            ..
        } = pass;
        let end = pass.end(replay.damage(), is_stopped);
        let damage = first_of_each_kind(before, &end.damage);
        let damaged = self.traces_damaged()? | Taint::of(&damage);
        let mut heap = replay.heap;
        heap.mark(damaged);
        let end = QueryEnd::new(&heap, end.position, is_stopped, &damage, damaged);
        Ok(queries.finish(&end))
    }
}

/// The first record of each kind of damage: of those before a position, and those after it.
fn first_of_each_kind(mut before: Vec<DecodeError>, after: &[DecodeError]) -> Vec<DecodeError> {
    for error in after {
        let kind = discriminant(&error.kind());
        if before.iter().all(|it| discriminant(&it.kind()) != kind) {
            before.push(*error);
        }
    }
    before
}

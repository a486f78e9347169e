//! What does one pass over the log answer? Questions, the caller's own among them, that share it.

mod asking;
mod open;

use std::mem::discriminant;
use std::ops::ControlFlow;

use asking::Asking;
use open::Open;

use crate::error::{DecodeError, Result, Taint};
use crate::heap::LiveHeap;
use crate::raw::rates::SamplingRates;
use crate::raw::{Event, LogPosition};
use crate::reader::Reader;
use crate::replay::Replay;
use crate::time::Elapsed;

/// A question that one pass over the log answers; [`Reader::ask`] makes the pass. Several can share
/// one.
///
/// ```
/// use std::ops::ControlFlow;
/// use heapprof::{LiveHeap, LogEnd, LogStep, Question, Reader};
///
/// /// How large was the largest free?
/// #[derive(Default)]
/// struct LargestFree(u64);
///
/// impl Question for LargestFree {
///     type Answer = u64;
///
///     fn take(&mut self, step: &LogStep, _: &LiveHeap) -> ControlFlow<()> {
///         if step.event.is_free() {
///             self.0 = self.0.max(step.event.size);
///         }
///         ControlFlow::Continue(())
///     }
///
///     fn answer(self, _: &LogEnd<'_>) -> u64 {
///         self.0
///     }
/// }
///
/// let reader = Reader::open("examples/data/demo")?;
/// assert_eq!(reader.ask(LargestFree::default())?, 4_718_636);
/// # Ok::<(), heapprof::Error>(())
/// ```
pub trait Question {
    /// What it is answered with.
    type Answer;

    /// From where on it wants to see events: those after this time. What came before is only there
    /// as what is live when it [begins](Self::begin), and need not be read if a digest knows it.
    fn from(&self) -> Elapsed {
        Elapsed::ZERO
    }

    /// It begins: at the start of the log, or at [`from`](Self::from) with what is live then.
    ///
    /// An event at time 0 is after the start of the log.
    fn begin(&mut self, heap: &LiveHeap, place: &LogPlace<'_>) {
        let _ = (heap, place);
    }

    /// The next event. `heap` is what is live after it.
    ///
    /// Breaks when it has seen enough: the event at which it breaks need not be in the answer, and
    /// it sees no more. The pass ends once all have broken.
    ///
    /// Called for each event, so inline it where a few nanoseconds count, and read the fields of
    /// `step` where they are: a copy of its [`Event`] costs more than to decode it.
    fn take(&mut self, step: &LogStep, heap: &LiveHeap) -> ControlFlow<()>;

    /// The answer, after the pass.
    fn answer(self, end: &LogEnd<'_>) -> Self::Answer;
}

/// One event of a pass over the log, and what it did.
///
/// ```
/// use heapprof::{LiveHeap, LogEnd, LogStep, Question, Reader};
/// use std::ops::ControlFlow;
///
/// /// Which event brought the total over a limit?
/// struct Over(i64, Option<LogStep>);
///
/// impl Question for Over {
///     type Answer = Option<LogStep>;
///
///     fn take(&mut self, step: &LogStep, _: &LiveHeap) -> ControlFlow<()> {
///         if step.total <= self.0 {
///             return ControlFlow::Continue(());
///         }
///         self.1 = Some(*step);
///         ControlFlow::Break(()) // seen enough
///     }
///
///     fn answer(self, _: &LogEnd<'_>) -> Option<LogStep> {
///         self.1
///     }
/// }
///
/// let step = Reader::open("examples/data/demo")?.ask(Over(10_000_000, None))?.unwrap();
/// assert_eq!((step.number, step.bytes, step.total), (28_213, 393_249, 10_127_520));
/// assert_eq!((step.before, step.live), (64, 393_313)); // of its trace
/// # Ok::<(), heapprof::Error>(())
/// ```
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct LogStep {
    /// The event.
    pub event: Event,
    /// The estimate of its bytes; negative for a free.
    pub bytes: i64,
    /// The live bytes of its trace before it.
    pub before: i64,
    /// The live bytes of its trace after it.
    pub live: i64,
    /// All live bytes after it.
    pub total: i64,
    /// How many events the log has up to this one, it included.
    pub number: u64,
    /// Where its record begins, in bytes from the start of the log.
    pub offset: u64,
    /// Whether it has a million microseconds or more, which no recorder writes.
    pub invalid_micros: bool,
}

/// A place in the log at which a question begins.
///
/// ```
/// use heapprof::{Elapsed, LiveHeap, LogEnd, LogPlace, LogStep, Question, Reader};
/// use std::ops::ControlFlow;
///
/// /// With what does a window begin?
/// struct Begins(Elapsed, (u64, i64));
///
/// impl Question for Begins {
///     type Answer = (u64, i64);
///
///     fn from(&self) -> Elapsed {
///         self.0
///     }
///
///     fn begin(&mut self, heap: &LiveHeap, place: &LogPlace<'_>) {
///         assert_eq!(heap.usage().total(), place.total);
///         self.1 = (place.events, place.total);
///     }
///
///     fn take(&mut self, _: &LogStep, _: &LiveHeap) -> ControlFlow<()> {
///         ControlFlow::Break(())
///     }
///
///     fn answer(self, _: &LogEnd<'_>) -> (u64, i64) {
///         self.1
///     }
/// }
///
/// let reader = Reader::open("examples/data/demo")?;
/// assert_eq!(reader.ask(Begins(Elapsed::from_secs(5), (0, 0)))?, (14_585, 2_248_163));
/// # Ok::<(), heapprof::Error>(())
/// ```
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct LogPlace<'a> {
    /// How many events there were.
    pub events: u64,
    /// All live bytes.
    pub total: i64,
    /// What estimates are made with.
    pub rates: &'a SamplingRates,
    /// How many traces the table has. Events can name others.
    pub traces: u32,
}

/// Where a pass over the log ended.
///
/// ```
/// use heapprof::{LiveHeap, LogEnd, LogStep, Question, Reader};
/// use std::ops::ControlFlow;
///
/// /// How does a log end?
/// struct End;
///
/// impl Question for End {
///     type Answer = (u64, usize, i64);
///
///     fn take(&mut self, _: &LogStep, _: &LiveHeap) -> ControlFlow<()> {
///         ControlFlow::Continue(())
///     }
///
///     fn answer(self, end: &LogEnd<'_>) -> Self::Answer {
///         (end.position.events(), end.damage.len(), end.heap.usage().total())
///     }
/// }
///
/// assert_eq!(Reader::open("examples/data/demo")?.ask(End)?, (49_779, 0, 8_334_103));
/// # Ok::<(), heapprof::Error>(())
/// ```
#[derive(Debug)]
#[non_exhaustive]
pub struct LogEnd<'a> {
    /// What is live after the last event that any of the questions saw.
    pub heap: &'a LiveHeap,
    /// The end of the last event; where all had seen enough, of the last but the one at which they
    /// broke.
    pub position: LogPosition,
    /// Whether that is before the end of the log, because all had seen enough.
    pub stopped: bool,
    /// What is wrong with the log up to there: the first record of each kind, in the order of the
    /// file.
    pub damage: &'a [DecodeError],
    pub(crate) damaged: Taint,
}

impl LogEnd<'_> {
    /// Whether an answer is derived from [damaged](crate::Usage::is_damaged) input: from what is
    /// [wrong](Self::damage) with the log up to there, if it is more than that the log just ends, or
    /// from a damaged `.hpm` file.
    pub fn is_damaged(&self) -> bool {
        self.damaged.0
    }
}

/// One [`Question`], or several in a tuple of up to six, for one pass.
///
/// ```
/// use heapprof::{Churn, Live, Peak, Questions, Reader};
///
/// let reader = Reader::open("examples/data/demo")?;
/// let (peak, end, churn) = reader.ask((Peak::question(), Live::at_end(), Churn::question()))?;
/// assert_eq!((peak.total(), end.total()), (19_241_503, 8_334_103));
/// assert_eq!(churn.total().allocated - churn.total().freed, 8_334_103);
/// # Ok::<(), heapprof::Error>(())
/// ```
pub trait Questions {
    /// The answers, in the order of the questions.
    type Answers;
    #[doc(hidden)]
    type Open: open::Open<Answers = Self::Answers>;
    #[doc(hidden)]
    fn open(self) -> Self::Open;
}

impl Reader {
    /// Makes one pass over the log for one [`Question`] or a tuple of them.
    ///
    /// The pass begins at the last snapshot before all of them begin, if there is a digest at hand
    /// from which nothing was folded away, and ends once they have seen enough. Memory: 8 to 16
    /// bytes a trace, and what the questions take.
    ///
    /// # Errors
    /// If the log cannot be read.
    pub fn ask<Q: Questions>(&self, questions: Q) -> Result<Q::Answers> {
        let mut questions = questions.open();
        let traces = self.trace_count()?;
        let mut heap = LiveHeap::new(traces as usize);
        let (from, before) = self.nearest(questions.from(), &mut heap);
        let mut asking = Asking {
            pass: self.pass_from(from)?,
            replay: Replay::of(heap, traces),
            rates: self.rates(),
            traces,
            is_stopped: false,
        };
        asking.run(&mut questions)?;
        let Asking {
            pass,
            replay,
            is_stopped,
            ..
        } = asking;
        let end = pass.end(replay.damage(), is_stopped);
        let damage = first_of_each_kind(before, &end.damage);
        let damaged = self.traces_damaged()? | Taint::of(&damage);
        let mut heap = replay.heap;
        heap.mark(damaged);
        Ok(questions.answers(&LogEnd {
            heap: &heap,
            position: end.position,
            stopped: is_stopped,
            damage: &damage,
            damaged,
        }))
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

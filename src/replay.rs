//! One pass over a log: events with their estimates, and what is wrong with the log.

#![expect(
    clippy::inline_always,
    reason = "a call for each event costs as much as decoding it"
)]

use std::ops::ControlFlow;

use crate::error::{DecodeError, DecodeErrorKind as Kind, FileKind, Result};
use crate::heap::{Flaws, LiveHeap};
use crate::id::TraceId;
use crate::log::{Log, Piece, Taker};
use crate::raw::rates::{Estimates, SamplingRates};
use crate::raw::shape::LARGEST_USUAL;
use crate::raw::stretch::Seen;
use crate::raw::{Event, LogPosition};
use crate::time::Clock;

/// A pass over a log, or over a part of it, still to be made.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Pass<'a> {
    pub(crate) log: &'a Log,
    /// What estimates are made with.
    pub(crate) rates: &'a SamplingRates,
    /// Whose times the events have.
    pub(crate) clock: Clock,
    /// How many traces the table has.
    pub(crate) traces: u32,
}

/// Where a pass ended.
#[derive(Debug)]
pub(crate) struct Passed {
    /// After the last event that was taken.
    pub(crate) place: LogPosition,
    /// What is wrong with the log, as far as the pass came and was told: the first record of each
    /// kind, in the order of the file.
    pub(crate) damage: Vec<DecodeError>,
    /// Whether it was stopped before the end of the log.
    pub(crate) stopped: bool,
}

/// One event of a pass.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Step {
    pub(crate) event: Event,
    /// The trace index; 0 for unknown.
    pub(crate) index: u32,
    /// The estimate of its bytes, negative for a free.
    pub(crate) bytes: i64,
    /// How many events the log has up to this one, it included.
    pub(crate) number: u64,
    /// Where its record begins.
    pub(crate) offset: u64,
    /// Its fraction of a second is a second or more.
    pub(crate) strange: bool,
    /// Whether nearly all steps are of the trace of the one before, as of an event that was
    /// [seen](Seen::traces_repeat).
    pub(crate) traces_repeat: bool,
}

/// What became of a step: what is wrong with the balance of its trace then, or that the pass is to
/// end before it.
pub(crate) type Taken = ControlFlow<(), Flaws>;

/// Who takes the steps of a pass: as a [`Taker`] takes events.
pub(crate) trait Take {
    /// Takes a step, with the place before it.
    fn take(&mut self, step: Step, before: LogPosition) -> Taken;

    /// Takes steps as long as there is nothing unusual about them: so none of them has a flaw.
    fn quickly<S: Steps>(&mut self, steps: S) -> ControlFlow<()>;
}

/// Steps of a piece of a pass.
pub(crate) trait Steps {
    /// No bytes of a step are more, and none less than the negative of this.
    const LARGEST: i64;

    /// Shows them to `take`, as a [`Piece`] shows events.
    fn show<S>(
        self,
        state: S,
        take: impl Fn(&mut S, Step) -> Option<ControlFlow<()>>,
    ) -> (S, ControlFlow<()>);
}

/// Steps are taken by a function, the usual ones without the place before them. What it returns `None`
/// for, having done nothing, it is given once more, with the place.
pub(crate) struct By<F>(pub(crate) F);

impl<F: FnMut(Step, Option<LogPosition>) -> Option<ControlFlow<()>>> Take for By<F> {
    #[inline]
    fn take(&mut self, step: Step, before: LogPosition) -> Taken {
        let taken = (self.0)(step, Some(before));
        debug_assert!(taken.is_some(), "nothing is shown three times");
        match taken {
            Some(ControlFlow::Break(())) => Taken::Break(()),
            _ => Taken::Continue(Flaws::NONE),
        }
    }

    #[inline]
    fn quickly<S: Steps>(&mut self, steps: S) -> ControlFlow<()> {
        let (_, flow) = steps.show(
            &mut self.0,
            #[inline(always)]
            |take, step| take(step, None),
        );
        flow
    }
}

/// A heap changes with each step.
impl Take for LiveHeap {
    #[inline]
    fn take(&mut self, step: Step, _: LogPosition) -> Taken {
        Taken::Continue(self.add(step.index, step.bytes).flaws)
    }

    #[inline(always)]
    fn quickly<S: Steps>(&mut self, steps: S) -> ControlFlow<()> {
        let (_, flow) = steps.show(
            self.changer(),
            #[inline(always)]
            |change, step| {
                change(step.index, step.bytes, step.traces_repeat)?;
                Some(ControlFlow::Continue(()))
            },
        );
        flow
    }
}

impl Pass<'_> {
    /// Takes the events from `from` on one by one, until `take` ends the pass: that event is not
    /// taken any more.
    ///
    /// What takes them [quickly](Take::quickly) stands in twelve [loops](crate::raw::stretch): three for each
    /// clock, and these for logs of which everything was recorded, since no table of estimates is asked
    /// for those, and for others. What is done for each event is inlined there always: a call would cost
    /// as much as to decode it.
    ///
    /// A log that ends early is a log: the pass ends there too. Only the operating system can make
    /// it fail.
    #[inline]
    pub(crate) fn run<T: Take>(self, from: LogPosition, take: T) -> Result<(T, Passed)> {
        if self.rates.is_unsampled() {
            return self.run_with(from, Recorded, take);
        }
        self.run_with(from, self.rates.estimates(), take)
    }

    /// The same, with a way to estimate the bytes that an event stands for.
    #[inline]
    fn run_with<T: Take>(
        self,
        from: LogPosition,
        estimate: impl Estimate,
        take: T,
    ) -> Result<(T, Passed)> {
        let steps = StepByStep {
            take,
            estimate,
            traces: self.traces,
            first: First::default(),
        };
        let (steps, ended) = self.log.each(self.rates, from.on(self.clock), steps)?;
        let passed = Passed {
            place: ended.place,
            damage: steps.first.and(ended.strange, ended.error),
            stopped: ended.stopped,
        };
        Ok((steps.take, passed))
    }
}

/// How the bytes are told that an event of a usual shape stands for.
trait Estimate: Copy {
    /// No event of a usual shape stands for more.
    const LARGEST: u64;

    fn of(&self, size: u64) -> u64;
}

/// Everything was recorded.
#[derive(Clone, Copy)]
struct Recorded;

impl Estimate for Recorded {
    const LARGEST: u64 = LARGEST_USUAL;

    #[inline(always)]
    fn of(&self, size: u64) -> u64 {
        size
    }
}

impl Estimate for Estimates<'_> {
    /// The smallest probability there is is one in 2³².
    const LARGEST: u64 = LARGEST_USUAL << 32;

    #[inline(always)]
    fn of(&self, size: u64) -> u64 {
        Estimates::of(*self, size)
    }
}

/// Makes steps of events, and notes what is wrong with them.
struct StepByStep<E, T> {
    take: T,
    estimate: E,
    traces: u32,
    first: First,
}

/// The step that an event is.
#[inline(always)]
fn step(seen: Seen, estimate: &impl Estimate) -> Step {
    Step {
        event: seen.event,
        index: TraceId::to_disk(seen.event.trace),
        bytes: seen.event.signed_in_range(estimate.of(seen.event.size)),
        number: seen.number,
        offset: seen.offset,
        strange: seen.strange,
        traces_repeat: seen.traces_repeat,
    }
}

impl<E: Estimate, T: Take> Taker for StepByStep<E, T> {
    #[inline]
    fn take(&mut self, seen: Seen, before: LogPosition) -> ControlFlow<()> {
        let step = step(seen, &self.estimate);
        let flaws = match self.take.take(step, before) {
            ControlFlow::Continue(flaws) => flaws,
            ControlFlow::Break(()) => return ControlFlow::Break(()),
        };
        if flaws != Flaws::NONE {
            self.first.note(step.index, step.offset, flaws, self.traces);
        }
        ControlFlow::Continue(())
    }

    #[inline(always)]
    fn quickly(&mut self, piece: impl Piece) -> ControlFlow<()> {
        self.take.quickly(StepsOf {
            piece,
            estimate: self.estimate,
        })
    }
}

/// The steps that the events of a piece are.
struct StepsOf<P, E> {
    piece: P,
    estimate: E,
}

impl<P: Piece, E: Estimate> Steps for StepsOf<P, E> {
    const LARGEST: i64 = E::LARGEST.cast_signed();

    #[inline(always)]
    fn show<S>(
        self,
        state: S,
        take: impl Fn(&mut S, Step) -> Option<ControlFlow<()>>,
    ) -> (S, ControlFlow<()>) {
        let estimate = self.estimate;
        self.piece.show(
            state,
            #[inline(always)]
            move |state, seen| take(state, step(seen, &estimate)),
        )
    }
}

/// The first record of each kind that is whole but makes no sense.
#[derive(Debug, Clone, Copy, Default)]
struct First {
    unknown_trace: Option<DecodeError>,
    negative_balance: Option<DecodeError>,
    saturated: Option<DecodeError>,
}

impl First {
    #[cold]
    fn note(&mut self, trace: u32, offset: u64, flaws: Flaws, traces: u32) {
        let error = |kind| DecodeError::new(FileKind::Hpd, offset, kind);
        if flaws.unknown_trace() {
            let found = trace;
            self.unknown_trace
                .get_or_insert_with(|| error(Kind::UnknownTrace { found, traces }));
        }
        if flaws.negative() {
            self.negative_balance
                .get_or_insert_with(|| error(Kind::NegativeBalance { trace }));
        }
        if flaws.saturated() {
            self.saturated.get_or_insert_with(|| error(Kind::Saturated));
        }
    }

    fn and(self, strange: Option<DecodeError>, end: Option<DecodeError>) -> Vec<DecodeError> {
        let First {
            unknown_trace,
            negative_balance,
            saturated,
        } = self;
        let mut damage: Vec<_> = [strange, unknown_trace, negative_balance, saturated, end]
            .into_iter()
            .flatten()
            .collect();
        damage.sort_by_key(DecodeError::offset);
        damage
    }
}

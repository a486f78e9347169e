//! One pass over a log: events with their estimates, and what is wrong with the log.

use std::ops::ControlFlow;

use crate::error::{DecodeError, DecodeErrorKind as Kind, FileKind, Result};
use crate::heap::{Change, Flaws, LiveHeap};
use crate::id::TraceId;
use crate::log::Log;
use crate::raw::rates::SamplingRates;
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
    /// The place in the log before it. Whoever needs it where it is not at hand has the step shown
    /// once more.
    pub(crate) before: Option<LogPosition>,
    /// Its fraction of a second is a second or more.
    pub(crate) strange: bool,
}

impl Step {
    /// Changes the live bytes of its trace; `None`, and nothing is done, if the step is to be shown
    /// once more for it.
    #[inline]
    pub(crate) fn change(&self, heap: &mut LiveHeap) -> Option<Change> {
        match self.before {
            None => heap.add_quickly(self.index, self.bytes),
            Some(_) => Some(heap.add(self.index, self.bytes)),
        }
    }
}

/// What became of a step: what is wrong with the balance of its trace then, or that the pass is to
/// end before it. `None`: nothing was done, and the step is to be shown once more, with the place
/// before it.
pub(crate) type Taken = Option<ControlFlow<(), Flaws>>;

/// The pass ends before the step.
pub(crate) const STOP: Taken = Some(ControlFlow::Break(()));

impl Pass<'_> {
    /// Takes the events from `from` on one by one, until `take` ends the pass: that event is not
    /// taken any more.
    ///
    /// `take` stands in twelve loops: three for each clock, and these for logs of which everything was
    /// recorded, since no table of estimates is asked for those, and for others. To call it costs as much
    /// as to decode an event: so whoever runs a pass has it inlined always.
    ///
    /// A log that ends early is a log: the pass ends there too. Only the operating system can make
    /// it fail.
    #[inline]
    pub(crate) fn run(self, from: LogPosition, take: impl FnMut(Step) -> Taken) -> Result<Passed> {
        if self.rates.is_unsampled() {
            return self.run_with(from, |size| size, take);
        }
        let estimates = self.rates.estimates();
        self.run_with(from, |size| estimates.of(size), take)
    }

    /// The same, with a way to estimate the bytes that an event stands for.
    #[inline]
    fn run_with(
        self,
        from: LogPosition,
        estimate: impl Fn(u64) -> u64,
        mut take: impl FnMut(Step) -> Taken,
    ) -> Result<Passed> {
        let traces = self.traces;
        let mut first = First::default();
        let noted = &mut first;
        let ended = self.log.each(
            self.rates,
            from.on(self.clock),
            #[inline(always)]
            move |seen| {
                let index = TraceId::to_disk(seen.event.trace);
                let taken = take(Step {
                    event: seen.event,
                    index,
                    bytes: seen.event.signed_in_range(estimate(seen.event.size)),
                    number: seen.number,
                    offset: seen.offset,
                    before: seen.before,
                    strange: seen.strange,
                })?;
                Some(match taken {
                    ControlFlow::Continue(flaws) => {
                        if flaws != Flaws::NONE {
                            noted.note(index, seen.offset, flaws, traces);
                        }
                        ControlFlow::Continue(())
                    }
                    ControlFlow::Break(()) => ControlFlow::Break(()),
                })
            },
        )?;
        Ok(Passed {
            place: ended.place,
            damage: first.and(ended.strange, ended.error),
            stopped: ended.stopped,
        })
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

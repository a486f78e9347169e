//! How high did memory get, and when? Of a whole log, and where nothing else is asked.
//!
//! ```text
//!  total              ╭╮       the highest: at which event of its piece, is looked for in the end
//!             ╭──╮ ╭──╯╰─╮
//!        ╭────╯  ╰─╯     ╰───────
//!  ──────┼────────┼────────┼───── pieces of the log
//! ```
//!
//! To note of each event whether it brings the highest total costs more than to replay it. So the pass
//! adds up, and knows of each piece of the log how high the total came.

#![expect(
    clippy::inline_always,
    reason = "a call for each event costs as much as decoding it"
)]

use std::ops::ControlFlow;

use super::copies::{Copies, Copy};
use crate::analysis::total::Total;
use crate::error::{Damaged, DecodeError, DecodeErrorKind, Error, FileKind, Result};
use crate::heap::LiveHeap;
use crate::raw::LogPosition;
use crate::reader::Reader;
use crate::replay::{Pass, Passed, Step, Steps, Take, Taken};
use crate::time::Elapsed;
use crate::usage::saturated;

/// How high memory got, and when: a [`Peak`](crate::Peak) without what was live then.
///
/// ```
/// use heapprof::Reader;
///
/// let high = Reader::open("examples/data/demo")?.high_water()?;
/// assert_eq!(high.total(), 19_241_503);
/// assert_eq!(high.time().as_micros(), 12_678_881);
/// assert_eq!(high.events(), 29_174);
/// # Ok::<(), heapprof::Error>(())
/// ```
#[doc(alias("high-water mark", "high watermark", "maximum", "HWM"))]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HighWater {
    pub(super) time: Elapsed,
    pub(super) events: u64,
    pub(super) total: i64,
    pub(super) damaged: Damaged,
}

impl HighWater {
    /// This total was reached there, in a log that was passed as a whole.
    fn new(reader: &Reader, total: i128, place: LogPosition, whole: &Passed) -> Result<Self> {
        Ok(Self {
            time: place.elapsed(),
            events: place.events(),
            total: saturated(total),
            damaged: reader.traces_damaged()? | Damaged::of(&whole.damage),
        })
    }

    /// When it was first reached.
    pub fn time(&self) -> Elapsed {
        self.time
    }

    /// How many events the log has up to the one that reached it, that one included. So it is told
    /// from others at the same time.
    pub fn events(&self) -> u64 {
        self.events
    }

    /// The estimate of all live bytes then.
    pub fn total(&self) -> i64 {
        self.total
    }

    /// Whether it is derived from [damaged](crate::Usage::is_damaged) input.
    pub fn is_damaged(&self) -> bool {
        self.damaged.0
    }
}

impl Reader {
    /// How high memory got, and when. Costs little more than to know what is
    /// [live at the end](Self::live_at_end), and less than the [peak](Self::peak), which also says what
    /// was live then.
    ///
    /// One pass over the log on each call.
    ///
    /// # Errors
    /// If the log cannot be read; [`Error::Replaced`] if it changed meanwhile.
    pub fn high_water(&self) -> Result<HighWater> {
        let pass = self.pass()?;
        let keep = &mut |_, _: &_, _| {};
        let (risen, passed) = pass.run(LogPosition::START, Rising::new(&pass, keep))?;
        let saturates = |error: &DecodeError| matches!(error.kind(), DecodeErrorKind::Saturated);
        if passed.damage.iter().any(saturates) {
            // Totals do not follow from the events alone.
            return Ok(*self.peak()?.high_water());
        }
        let Foot { place, mut total } = risen.reached;
        let mut events = pass.log.events(pass.rates, place);
        while total != risen.highest {
            let event = events.next().ok_or_else(|| changed(self))??;
            total += i128::from(event.signed_estimate(pass.rates));
        }
        HighWater::new(self, total, events.position(), &passed)
    }

    /// The same, and what was live then.
    pub(super) fn high_water_and_heap(&self) -> Result<(HighWater, LiveHeap)> {
        let pass = self.pass()?;
        let mut copies = Copies::new(&pass);
        let keep = &mut |here, heap: &_, reached| copies.keep(here, heap, reached);
        let (risen, passed) = pass.run(LogPosition::START, Rising::new(&pass, keep))?;
        let (to, reached) = (risen.highest, risen.reached.place);
        let Copy { place, heap } = copies.before(reached);
        let climbing = Climbing {
            total: heap.total(),
            heap,
            to,
        };
        let (climbed, reached) = pass.run(place, climbing)?;
        if climbed.total != to {
            return Err(changed(self));
        }
        let high = HighWater::new(self, to, reached.place, &passed)?;
        Ok((high, climbed.heap))
    }
}

/// The bytes of a log were others when they were passed for the first time.
fn changed(reader: &Reader) -> Error {
    let path = reader.path(FileKind::Hpd).unwrap_or_default();
    Error::Replaced { path }
}

/// Where a piece of the log begins, and the total there.
#[derive(Debug, Clone, Copy)]
struct Foot {
    place: LogPosition,
    total: i128,
}

/// What is live, and the highest total so far.
struct Rising<'k> {
    heap: LiveHeap,
    total: i128,
    highest: i128,
    /// Of the piece in which that was first reached.
    reached: Foot,
    /// Of the piece that is being taken.
    piece: Foot,
    /// Is told what is live where a piece begins, and where that is in which the highest total so far
    /// was reached.
    keep: &'k mut dyn FnMut(LogPosition, &LiveHeap, LogPosition),
}

impl<'k> Rising<'k> {
    fn new(pass: &Pass<'_>, keep: &'k mut dyn FnMut(LogPosition, &LiveHeap, LogPosition)) -> Self {
        // The state before the first event counts.
        let start = Foot {
            place: LogPosition::START.on(pass.clock),
            total: 0,
        };
        Self {
            heap: LiveHeap::new(pass.traces as usize),
            total: 0,
            highest: 0,
            reached: start,
            piece: start,
            keep,
        }
    }

    #[inline]
    fn reach(&mut self, total: i128) {
        if total > self.highest {
            self.highest = total;
            self.reached = self.piece;
        }
    }
}

impl Take for Rising<'_> {
    #[inline(never)]
    fn take(&mut self, step: Step, before: LogPosition) -> Taken {
        self.piece = Foot {
            place: before,
            total: self.total,
        };
        (self.keep)(before, &self.heap, self.reached.place);
        let change = self.heap.add(step.index, step.bytes);
        self.total += i128::from(change.after) - i128::from(change.before);
        self.reach(self.total);
        Taken::Continue(change.flaws)
    }

    #[inline]
    fn quickly<S: Steps>(&mut self, steps: S) -> ControlFlow<()> {
        let Some(total) = Total::before::<S>(self.total) else {
            // Each event for itself.
            return ControlFlow::Continue(());
        };
        let ((total, highest, _), flow) = steps.show(
            (total, total.get(), self.heap.changer()),
            #[inline(always)]
            |(total, highest, change), step| {
                let after = total.plus::<S>(step.bytes)?;
                change(step.index, step.bytes, step.traces_repeat)?;
                *total = after;
                *highest = total.get().max(*highest);
                Some(ControlFlow::Continue(()))
            },
        );
        self.total = i128::from(total.get());
        self.reach(i128::from(highest));
        flow
    }
}

/// What is live on the way to a total.
struct Climbing {
    heap: LiveHeap,
    total: i128,
    to: i128,
}

impl Take for Climbing {
    #[inline(never)]
    fn take(&mut self, step: Step, _: LogPosition) -> Taken {
        if self.total == self.to {
            return Taken::Break(());
        }
        let change = self.heap.add(step.index, step.bytes);
        self.total += i128::from(change.after) - i128::from(change.before);
        Taken::Continue(change.flaws)
    }

    #[inline(always)]
    fn quickly<S: Steps>(&mut self, steps: S) -> ControlFlow<()> {
        let to = i64::try_from(self.to);
        let (Some(total), Ok(to)) = (Total::before::<S>(self.total), to) else {
            return ControlFlow::Continue(());
        };
        let ((total, _), flow) = steps.show(
            (total, self.heap.changer()),
            #[inline(always)]
            move |(total, change), step| {
                if total.get() == to {
                    return None;
                }
                let after = total.plus::<S>(step.bytes)?;
                change(step.index, step.bytes, step.traces_repeat)?;
                *total = after;
                Some(ControlFlow::Continue(()))
            },
        );
        self.total = i128::from(total.get());
        flow
    }
}

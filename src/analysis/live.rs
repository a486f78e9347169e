//! What is live at a moment, exactly?

#![expect(
    clippy::inline_always,
    reason = "a call for each event costs as much as decoding it"
)]

use std::ops::ControlFlow;

use crate::analysis::question::{LogEnd, LogStep, Question};
use crate::error::{Damaged, DecodeError, Result};
use crate::heap::LiveHeap;
use crate::raw::LogPosition;
use crate::reader::Reader;
use crate::replay::{Step, Steps, Take, Taken};
use crate::time::Elapsed;
use crate::usage::Usage;

/// Asks what is live at a moment, by trace, in a pass that is shared with other questions; alone,
/// [`Reader::live_at`] is the same.
///
/// ```
/// use heapprof::{Elapsed, Live, Peak, Reader};
///
/// let reader = Reader::open("examples/data/demo")?;
/// let (early, end, peak) = reader.ask((
///     Live::at(Elapsed::from_secs(5)),
///     Live::at_end(),
///     Peak::question(),
/// ))?;
/// assert_eq!((early.total(), end.total()), (2_248_163, 8_334_103));
/// assert_eq!(peak.total(), 19_241_503);
/// # Ok::<(), heapprof::Error>(())
/// ```
#[derive(Debug, Clone)]
#[must_use]
pub struct Live {
    time: Elapsed,
    usage: Option<Usage>,
}

impl Live {
    /// After all events with an elapsed time up to `time`.
    pub fn at(time: impl Into<Elapsed>) -> Self {
        Self {
            time: time.into(),
            usage: None,
        }
    }

    /// After all events.
    pub fn at_end() -> Self {
        Self::at(Elapsed::MAX)
    }
}

impl Question for Live {
    type Answer = Usage;

    fn from(&self) -> Elapsed {
        self.time
    }

    #[inline(always)]
    fn take(&mut self, step: &LogStep, heap: &LiveHeap) -> ControlFlow<()> {
        if step.event.elapsed <= self.time {
            return ControlFlow::Continue(());
        }
        self.usage = Some(usage_before(step, heap));
        ControlFlow::Break(())
    }

    fn answer(self, end: &LogEnd<'_>) -> Usage {
        match self.usage {
            Some(usage) => usage.marked(end.damaged),
            None => end.heap.usage(),
        }
    }
}

/// What was live before an event.
#[cold]
fn usage_before(step: &LogStep, heap: &LiveHeap) -> Usage {
    let trace = step.event.trace;
    let others = heap.usage().filter(|other, _| other != trace);
    others + Usage::from_iter([(trace, step.before)])
}

/// A heap that takes the steps of a pass, up to the first that is not `within`.
struct Filling<W> {
    heap: LiveHeap,
    within: W,
}

impl<W: Fn(Elapsed) -> bool> Take for Filling<W> {
    #[inline]
    fn take(&mut self, step: Step, before: LogPosition) -> Taken {
        if (self.within)(step.event.elapsed) {
            self.heap.take(step, before)
        } else {
            Taken::Break(())
        }
    }

    #[inline(always)]
    fn quickly<S: Steps>(&mut self, steps: S) -> ControlFlow<()> {
        let within = &self.within;
        let (_, flow) = steps.show(
            self.heap.changer(),
            #[inline(always)]
            move |change, step| {
                if !within(step.event.elapsed) {
                    return None;
                }
                change(step.index, step.bytes, step.traces_repeat)?;
                Some(ControlFlow::Continue(()))
            },
        );
        flow
    }
}

impl Reader {
    /// What is live at `time`, exactly: after all events with an elapsed time up to that.
    ///
    /// One pass over the log: from the snapshot before, if there is a digest at hand from which
    /// nothing was folded away, else from the start. So who asks for many moments makes a
    /// [digest](Self::digest) first, or asks for all of them [in one pass](Live).
    ///
    /// ```
    /// use heapprof::{Elapsed, Reader};
    ///
    /// let reader = Reader::open("examples/data/demo")?;
    /// let live = reader.live_at(Elapsed::from_micros(12_678_881))?;
    /// assert_eq!(live.total(), 19_241_503);
    /// # Ok::<(), heapprof::Error>(())
    /// ```
    ///
    /// # Errors
    /// If the log cannot be read.
    #[doc(alias = "inuse_space")]
    pub fn live_at(&self, time: impl Into<Elapsed>) -> Result<Usage> {
        let time = time.into();
        self.live_while(time, |elapsed| elapsed <= time)
    }

    /// What is live after all events up to the first that is `within` no more, of which those up to
    /// `time` are.
    fn live_while(&self, time: Elapsed, within: impl Fn(Elapsed) -> bool) -> Result<Usage> {
        let pass = self.pass()?;
        let mut heap = LiveHeap::new(pass.traces as usize);
        let (from, before) = self.nearest(time, &mut heap);
        let (filled, passed) = pass.run(from, Filling { heap, within })?;
        let damaged = Damaged::of(before.iter().chain(&passed.damage));
        Ok(filled.heap.usage().marked(damaged | self.traces_damaged()?))
    }

    /// Puts into `heap` what is live at a place in the log at or before `time`, and gives the place,
    /// with what is wrong before it: the first record of each kind.
    pub(super) fn nearest(
        &self,
        time: Elapsed,
        heap: &mut LiveHeap,
    ) -> (LogPosition, Vec<DecodeError>) {
        let Some(digest) = self.fitting_digest() else {
            return (LogPosition::START, Vec::new());
        };
        let before = digest.times().take_while(|&taken| taken <= time).count();
        let snapshot = before.checked_sub(1).and_then(|number| {
            let place = digest.place(number)?;
            // A snapshot that cannot be read is no reason to fail: the log has it all.
            Some((place, digest.get(number)?.ok()?))
        });
        match snapshot {
            Some((place, snapshot)) => {
                heap.add_usage(snapshot.usage());
                let damage = digest.log_damage().unwrap_or_default().iter();
                let before = damage.filter(|error| error.offset() < place.offset());
                (place, before.copied().collect())
            }
            None => (LogPosition::START, Vec::new()),
        }
    }

    /// What is live at the end of the log: what leaked, and what lives as long as the program.
    ///
    /// If the log was cut (see [`damage`](Self::damage)), frees may be missing. Costs what
    /// [`live_at`](Self::live_at) costs.
    ///
    /// # Errors
    /// If the log cannot be read.
    #[doc(alias("inuse_space", "leaked"))]
    pub fn live_at_end(&self) -> Result<Usage> {
        self.live_while(Elapsed::MAX, |_| true)
    }

    /// By how much each trace has grown from one moment to another, exactly: what is live at `to`
    /// minus what is live at `from`. What shrank is negative. Costs what [`live_at`](Self::live_at)
    /// costs, with a digest twice.
    ///
    /// ```
    /// use heapprof::{Elapsed, Reader};
    ///
    /// let reader = Reader::open("examples/data/demo")?;
    /// let growth = reader.growth(Elapsed::from_secs(5), Elapsed::from_secs(20))?;
    /// assert_eq!(growth.total(), 5_395_028);
    /// # Ok::<(), heapprof::Error>(())
    /// ```
    ///
    /// # Errors
    /// If the log cannot be read.
    pub fn growth(&self, from: impl Into<Elapsed>, to: impl Into<Elapsed>) -> Result<Usage> {
        let (from, to) = (from.into(), to.into());
        if self.fitting_digest().is_some() {
            // Two short ways are less than one from the one to the other.
            return Ok(self.live_at(to)? - self.live_at(from)?);
        }
        let (before, after) = self.ask((Live::at(from), Live::at(to)))?;
        Ok(after - before)
    }
}

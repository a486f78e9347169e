//! [`Live`]: the live heap at a moment, exactly.

use std::ops::ControlFlow;

use crate::analysis::question::{LogEnd, LogStep, Question};
use crate::error::{Damaged, DecodeError, Result};
use crate::heap::LiveHeap;
use crate::raw::LogPosition;
use crate::reader::Reader;
use crate::replay::Replay;
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

    #[inline]
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
        let mut heap = LiveHeap::new(self.trace_count()? as usize);
        let (from, before) = self.nearest(time, &mut heap);
        let mut pass = self.pass_from(from)?;
        let mut replay = Replay::of(heap, self.trace_count()?);
        let mut is_over = false;
        while !is_over && pass.next_chunk()?.is_some() {
            loop {
                let dense = replay.heap.dense();
                let (_, flow) = pass.fold(dense, |dense, logged| {
                    if logged.event.elapsed > time {
                        return ControlFlow::Break(());
                    }
                    match dense.add(logged.index(), logged.bytes) {
                        Some(_) => ControlFlow::Continue(()),
                        None => ControlFlow::Break(()),
                    }
                });
                let Some(logged) = pass.peek().filter(|_| flow.is_break()) else {
                    break;
                };
                if logged.event.elapsed > time {
                    is_over = true;
                    break;
                }
                replay.apply(&logged);
                pass.skip();
            }
        }
        let end = pass.end(replay.damage(), is_over);
        let damaged = Damaged::of(before.iter().chain(&end.damage));
        Ok(replay.heap.usage().marked(damaged | self.traces_damaged()?))
    }

    /// Adds to `heap` the live heap at a position at or before `time`: that of the snapshot before, if a fitting
    /// digest has one, else of the start. Returns the position, and the damage before it.
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
            let place = digest.position(number)?;
            // If a snapshot cannot be read, the log still has everything.
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
        self.live_at(Elapsed::MAX)
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
            // Two short passes, each from a snapshot.
            return Ok(self.live_at(to)? - self.live_at(from)?);
        }
        let (before, after) = self.ask((Live::at(from), Live::at(to)))?;
        Ok(after - before)
    }
}

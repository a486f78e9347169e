//! [`Live`]: the exact live heap at a time.

use std::ops::ControlFlow;

use crate::analysis::question::{LogEnd, LogStep, Question};
use crate::error::{DecodeError, Result, Taint};
use crate::heap::LiveHeap;
use crate::raw::LogPosition;
use crate::reader::Reader;
use crate::replay::Replay;
use crate::time::Elapsed;
use crate::usage::Usage;

/// Asks for the live bytes by trace at a time, in a pass that other questions share. [`Reader::live_at`] is the same
/// for a single question.
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
    /// The live bytes after all events with an elapsed time up to `time`.
    pub fn at(time: impl Into<Elapsed>) -> Self {
        Self {
            time: time.into(),
            usage: None,
        }
    }

    /// The live bytes after all events.
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

/// The usage before an event.
#[cold]
fn usage_before(step: &LogStep, heap: &LiveHeap) -> Usage {
    let trace = step.event.trace;
    let others = heap.usage().filter(|other, _| other != trace);
    others + Usage::from_iter([(trace, step.before)])
}

impl Reader {
    /// The exact live bytes at `time`, by trace: after all events with an elapsed time up to `time`.
    ///
    /// One pass over the log, from the last snapshot before `time` if the reader has a digest with precision 0, else
    /// from the start. For many times, make a [digest](Self::digest) first, or ask for all of them [in one
    /// pass](Live).
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
                let (_, unusual) = pass.fold(dense, |dense, logged| {
                    let is_applied = logged.event.elapsed <= time
                        && dense.add(logged.index(), logged.bytes).is_some();
                    if is_applied {
                        ControlFlow::Continue(())
                    } else {
                        ControlFlow::Break(())
                    }
                });
                let Some(logged) = unusual else {
                    break;
                };
                is_over = logged.event.elapsed > time;
                if is_over {
                    break;
                }
                replay.apply(&logged);
                pass.skip();
            }
        }
        let end = pass.end(replay.damage(), is_over);
        let damaged = Taint::of(before.iter().chain(&end.damage));
        Ok(replay.heap.usage().marked(damaged | self.traces_damaged()?))
    }

    /// Adds the live heap at a position at or before `time` to `heap`: that of the last snapshot of a fitting digest,
    /// else that of the start. Returns the position, and the damage before it.
    pub(super) fn nearest(
        &self,
        time: Elapsed,
        heap: &mut LiveHeap,
    ) -> (LogPosition, Vec<DecodeError>) {
        let last_snapshot = || {
            let digest = self.fitting_digest()?;
            let count = digest.times().take_while(|&taken| taken <= time).count();
            let number = count.checked_sub(1)?;
            let position = digest.position(number)?;
            // If the snapshot cannot be read, the log still has everything.
            let snapshot = digest.get(number)?.ok()?;
            Some((digest, position, snapshot))
        };
        let Some((digest, position, snapshot)) = last_snapshot() else {
            return (LogPosition::START, Vec::new());
        };
        heap.add_usage(snapshot.usage());
        let damage = digest.log_damage().unwrap_or_default().iter();
        let before = damage.filter(|error| error.offset() < position.offset());
        (position, before.copied().collect())
    }

    /// The live bytes at the end of the log, by trace: leaks, and blocks that live as long as the program.
    ///
    /// If the log was cut (see [`damage`](Self::damage)), frees can be missing. Costs the same as
    /// [`live_at`](Self::live_at).
    ///
    /// # Errors
    /// If the log cannot be read.
    #[doc(alias("inuse_space", "leaked"))]
    pub fn live_at_end(&self) -> Result<Usage> {
        self.live_at(Elapsed::MAX)
    }

    /// The exact growth of each trace between two times: its live bytes at `to` minus those at `from`. A trace that
    /// shrank has a negative weight. Costs the same as [`live_at`](Self::live_at); twice that with a digest.
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

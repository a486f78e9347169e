//! [`Live`]: the exact live bytes at a moment, or the growth between two.

use std::ops::ControlFlow;

use crate::error::{DecodeError, Result, Taint};
use crate::heap::LiveHeap;
use crate::query::ask::{AppliedEvent, Query, QueryEnd};
use crate::query::moment::{LiveAtMoment, Place, moment_methods};
use crate::query::window::Window;
use crate::raw::LogPosition;
use crate::reader::Reader;
use crate::replay::Replay;
use crate::time::Elapsed;
use crate::usage::Usage;

/// The live bytes at a moment, by trace. Its query returns a [`Usage`], so the type has no values.
///
/// ```
/// use heapprof::query::{Live, Peak};
/// use heapprof::{Elapsed, Reader};
///
/// let reader = Reader::open("examples/data/demo")?;
/// let (end, early, growth, peak) = reader.ask((
///     Live::query(),
///     Live::query().at(Elapsed::from_secs(5)),
///     Live::query().within(Elapsed::from_secs(5)..Elapsed::MAX),
///     Peak::query(),
/// ))?;
/// assert_eq!((end.total(), early.total()), (8_334_103, 2_248_163));
/// assert_eq!(growth, end - early);
/// assert_eq!(peak.total(), 19_241_503);
/// # Ok::<(), heapprof::Error>(())
/// ```
#[doc(alias = "inuse_space")]
#[derive(Debug, Clone, Copy)]
pub enum Live {}

impl Live {
    /// The query, for the end of the log until told otherwise.
    pub fn query() -> LiveQuery {
        LiveQuery {
            live: LiveAtMoment::END,
        }
    }
}

/// The query for the live bytes, in a pass that it shares with other queries. [`Reader::live_at`] costs less for a
/// single moment.
///
/// ```
/// use heapprof::query::{Live, TraceSet, Track};
/// use heapprof::{Elapsed, Reader};
///
/// let reader = Reader::open("examples/data/demo")?;
/// let line = reader.traces()?.search("customers.py:11")[0];
/// let of_line = TraceSet::of(reader.traces()?, [Track::Local(line)]);
/// let (all, of_line) = reader.ask((
///     Live::query().after_events(29_174),
///     Live::query().after_events(29_174).of(&of_line),
/// ))?;
/// assert_eq!((all.total(), of_line.total()), (19_241_503, 4_888_112));
/// # Ok::<(), heapprof::Error>(())
/// ```
#[derive(Debug, Clone)]
#[must_use]
pub struct LiveQuery {
    live: LiveAtMoment,
}

impl LiveQuery {
    moment_methods!(live.moment);
}

impl Query for LiveQuery {
    type Output = Usage;

    fn start(&self) -> Elapsed {
        self.live.moment.start()
    }

    #[inline]
    fn observe(&mut self, applied: &AppliedEvent, heap: &LiveHeap) -> ControlFlow<()> {
        match self.live.observe(applied, heap) {
            Place::After => ControlFlow::Break(()),
            Place::Before | Place::Inside => ControlFlow::Continue(()),
        }
    }

    fn finish(self, end: &QueryEnd<'_>) -> Usage {
        self.live.finish(end)
    }
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

    /// The exact growth of each trace within a part of the recording: its live bytes at the end minus those at the
    /// start. A trace that shrank has a negative weight. Costs the same as [`live_at`](Self::live_at); twice that with
    /// a digest.
    ///
    /// ```
    /// use heapprof::{Elapsed, Reader};
    ///
    /// let reader = Reader::open("examples/data/demo")?;
    /// let growth = reader.growth(Elapsed::from_secs(5)..Elapsed::from_secs(20))?;
    /// assert_eq!(growth.total(), 5_395_028);
    /// # Ok::<(), heapprof::Error>(())
    /// ```
    ///
    /// # Errors
    /// If the log cannot be read.
    pub fn growth(&self, window: impl Into<Window>) -> Result<Usage> {
        let window = window.into();
        if self.fitting_digest().is_some() && window.has_start() {
            // Two short passes, each from a snapshot.
            return Ok(self.live_at(window.end())? - self.live_at(window.start())?);
        }
        self.ask(Live::query().within(window))
    }
}

//! [`HighWater`]: the largest total of a whole log, and when it was reached.
//!
//! ```text
//!  total              ╭╮       the highest; the second look finds its event
//!             ╭──╮ ╭──╯╰─╮
//!        ╭────╯  ╰─╯     ╰───────
//!  ──────┼────────┼────────┼───── chunks of the log
//! ```
//!
//! To note for each event whether it sets a new maximum costs more than to replay it. So the pass keeps the
//! maximum of each chunk, and looks for the event in the highest chunk afterwards.

use std::ops::ControlFlow;

use super::copies::{Copies, HeapCopy};
use crate::error::{DecodeError, DecodeErrorKind, Error, FileKind, Result, Taint};
use crate::heap::LiveHeap;
use crate::log::PassEnd;
use crate::raw::LogPosition;
use crate::reader::Reader;
use crate::replay::Replay;
use crate::time::Elapsed;
use crate::usage::saturated;

/// The largest total of live bytes, and when it was reached: a [`Peak`](crate::query::Peak) without its live heap.
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
    pub(super) damaged: Taint,
}

impl HighWater {
    /// The total was reached at `position` of a log whose whole pass ended with `end`.
    fn new(reader: &Reader, total: i128, position: LogPosition, end: &PassEnd) -> Result<Self> {
        Ok(Self {
            time: position.elapsed(),
            events: position.events(),
            total: saturated(total),
            damaged: reader.traces_damaged()? | Taint::of(&end.damage),
        })
    }

    /// The time at which it was first reached.
    pub fn time(&self) -> Elapsed {
        self.time
    }

    /// The number of events up to and including the one that reached it. It identifies the event among those of
    /// the same time.
    pub fn events(&self) -> u64 {
        self.events
    }

    /// The estimate of all live bytes at that time.
    pub fn total(&self) -> i64 {
        self.total
    }

    /// Whether it is derived from [damaged](crate::Usage::is_damaged) input.
    pub fn is_damaged(&self) -> bool {
        self.damaged.0
    }
}

impl Reader {
    /// The largest total of live bytes, and when it was reached. Costs little more than
    /// [`live_at_end`](Self::live_at_end), and less than [`peak`](Self::peak), which also has the live heap then.
    ///
    /// One pass over the log on each call.
    ///
    /// # Errors
    /// If the log cannot be read; [`Error::Replaced`] if it changed meanwhile.
    pub fn high_water(&self) -> Result<HighWater> {
        let found = self.find_peak(|_, _, _| {})?;
        let saturates = |error: &DecodeError| matches!(error.kind(), DecodeErrorKind::Saturated);
        if found.end.damage.iter().any(saturates) {
            // A saturated balance drops bytes, so the sum of the events is another total.
            return Ok(*self.peak()?.high_water());
        }
        let ChunkStart {
            position,
            mut total,
        } = found.chunk;
        let mut events = self.events_from(position)?;
        while total != found.highest {
            let event = events.next().ok_or_else(|| self.changed())??;
            total += i128::from(event.signed_estimate(self.rates()));
        }
        HighWater::new(self, total, events.position(), &found.end)
    }

    /// The high-water mark, and the live heap then.
    pub(super) fn high_water_and_heap(&self) -> Result<(HighWater, LiveHeap)> {
        let mut copies = Copies::new(self.clock(), self.trace_count()?);
        let found = self.find_peak(|start, heap, peak| copies.keep(start, heap, peak))?;
        let HeapCopy { position, heap } = copies.before(found.chunk.position);
        let (replay, position) = self.rebuild_peak(position, heap, found.highest)?;
        let high = HighWater::new(self, found.highest, position, &found.end)?;
        Ok((high, replay.heap))
    }

    /// Finds the highest total and the chunk that first reaches it. Calls `keep` with the start of each chunk,
    /// the live heap there, and the start of the chunk with the highest total so far.
    fn find_peak(
        &self,
        mut keep: impl FnMut(LogPosition, &LiveHeap, LogPosition),
    ) -> Result<FoundPeak> {
        let mut pass = self.pass_from(LogPosition::START)?;
        let mut replay = Replay::new(self.trace_count()?);
        let (mut total, mut highest) = (0_i128, 0_i128);
        // The state before the first event counts.
        let mut highest_chunk = ChunkStart {
            position: pass.position(),
            total: 0,
        };
        while let Some(position) = pass.next_chunk()? {
            let chunk = ChunkStart { position, total };
            keep(position, &replay.heap, highest_chunk.position);
            loop {
                // 64 bits relative to the start of the fold; the total itself can have more.
                let state = (0_i64, 0_i64, replay.heap.dense());
                let ((change, max_change, _), unusual) =
                    pass.fold(state, |(change, max_change, dense), logged| {
                        let Some(after) = change.checked_add(logged.bytes) else {
                            return ControlFlow::Break(());
                        };
                        if dense.add(logged.index(), logged.bytes).is_none() {
                            return ControlFlow::Break(());
                        }
                        *change = after;
                        *max_change = after.max(*max_change);
                        ControlFlow::Continue(())
                    });
                let mut max = total + i128::from(max_change);
                total += i128::from(change);
                if let Some(logged) = unusual {
                    total += i128::from(replay.apply(&logged).bytes);
                    max = max.max(total);
                    pass.skip();
                }
                if max > highest {
                    (highest, highest_chunk) = (max, chunk);
                }
                if unusual.is_none() {
                    break;
                }
            }
        }
        Ok(FoundPeak {
            highest,
            chunk: highest_chunk,
            end: pass.end(replay.damage(), false),
        })
    }

    /// Replays the log from a position until the total is `highest` for the first time. Returns the heap then,
    /// and the position.
    fn rebuild_peak(
        &self,
        position: LogPosition,
        heap: LiveHeap,
        highest: i128,
    ) -> Result<(Replay, LogPosition)> {
        let mut left = highest - heap.exact_total();
        let mut replay = Replay::of(heap, self.trace_count()?);
        let mut pass = self.pass_from(position)?;
        while left != 0 && pass.next_chunk()?.is_some() {
            loop {
                let state = (0_i64, replay.heap.dense());
                let to = i64::try_from(left).unwrap_or(i64::MAX);
                let ((change, _), unusual) = pass.fold(state, move |(change, dense), logged| {
                    let after = change.checked_add(logged.bytes);
                    let Some(after) = after.filter(|_| *change != to) else {
                        return ControlFlow::Break(());
                    };
                    if dense.add(logged.index(), logged.bytes).is_none() {
                        return ControlFlow::Break(());
                    }
                    *change = after;
                    ControlFlow::Continue(())
                });
                left -= i128::from(change);
                let Some(logged) = unusual.filter(|_| left != 0) else {
                    break;
                };
                left -= i128::from(replay.apply(&logged).bytes);
                pass.skip();
            }
        }
        if left != 0 {
            return Err(self.changed());
        }
        Ok((replay, pass.position()))
    }

    /// The error for a log whose bytes were others in the first pass.
    fn changed(&self) -> Error {
        let path = self.path(FileKind::Hpd).unwrap_or_default();
        Error::Replaced { path }
    }
}

/// The start of a chunk, and the total there.
#[derive(Debug, Clone, Copy)]
struct ChunkStart {
    position: LogPosition,
    total: i128,
}

/// The highest total of a log, and where it is first reached.
#[derive(Debug)]
struct FoundPeak {
    highest: i128,
    /// The chunk that reaches it.
    chunk: ChunkStart,
    end: PassEnd,
}

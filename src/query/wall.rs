//! Converts between elapsed time and the wall clock: [`Reader::time_at`] and [`Reader::elapsed_at`].

use std::ops::{ControlFlow, RangeInclusive};
use std::time::{Duration, SystemTime};

use crate::error::Result;
use crate::raw::LogPosition;
use crate::reader::Reader;
use crate::time::{Elapsed, WallOffset};

impl Reader {
    /// What the wall clock showed at a moment of the recording: so that a profile can be laid beside
    /// another log. `None` where the platform cannot hold it.
    ///
    /// Between two events the wall clock goes on from the first of them; so it does after the last. Where it was
    /// stepped back, this is what it showed after the step.
    ///
    /// One pass over the log up to the moment. With a digest the log is read only if near the moment the wall clock
    /// was stepped back, or a gap was [closed](crate::Clock::GapsClosed).
    ///
    /// ```
    /// use heapprof::{Elapsed, Reader, StartTime};
    /// use std::time::{Duration, UNIX_EPOCH};
    ///
    /// let reader = Reader::open("examples/data/demo")?;
    /// assert_eq!(reader.start(), StartTime::new(1_795_345_445, 262_916_880));
    /// let largest = Elapsed::from_micros(12_678_881);
    /// let shown = UNIX_EPOCH + Duration::from_nanos(1_795_345_457_941_797_880);
    /// assert_eq!(reader.time_at(largest)?, Some(shown));
    /// assert_eq!(reader.elapsed_at(shown)?, Some(largest..=largest));
    /// # Ok::<(), heapprof::Error>(())
    /// ```
    ///
    /// # Errors
    /// If the log cannot be read.
    pub fn time_at(&self, at: impl Into<Elapsed>) -> Result<Option<SystemTime>> {
        let at = at.into();
        let mut lag = 0;
        let near = |from: Elapsed, to: Elapsed, _: RangeInclusive<i128>| from <= at && at <= to;
        self.spans(near, |span| {
            if span.from > at {
                return ControlFlow::Break(());
            }
            lag = span.lag;
            ControlFlow::Continue(())
        })?;
        let wall = i128::from(at.as_micros()) - lag;
        let wall = i64::try_from(wall).ok();
        Ok(wall.and_then(|micros| self.start().at(WallOffset::from_micros(micros))))
    }

    /// When the wall clock showed a time: the first and the last moment of the recording at which it did, in general
    /// the same. `None` if it never did: before the start, or after the last event.
    ///
    /// A clock that is stepped back shows some times twice or more: then the moments in between are not all of that
    /// time. Where it was stepped forward, the elapsed time went forward with it; but all times that are left out of a
    /// [closed gap](crate::Clock::GapsClosed) are those of its end.
    ///
    /// The time is rounded to whole microseconds from the start. One pass over the log. With a digest the log is read
    /// only near the snapshots between which the wall clock was stepped back over the time, or a gap was closed.
    ///
    /// ```
    /// use heapprof::Reader;
    /// use std::time::{Duration, UNIX_EPOCH};
    ///
    /// // The line of a server's log from 11:04:17 UTC.
    /// let reader = Reader::open("examples/data/demo")?;
    /// let logged = UNIX_EPOCH + Duration::from_secs(1_795_345_457);
    /// let moment = *reader.elapsed_at(logged)?.unwrap().start();
    /// assert_eq!(moment.as_micros(), 11_737_083);
    /// assert_eq!(reader.live_at(moment)?.total(), 14_452_555);
    /// assert_eq!(reader.elapsed_at(UNIX_EPOCH)?, None);
    /// # Ok::<(), heapprof::Error>(())
    /// ```
    ///
    /// # Errors
    /// If the log cannot be read.
    pub fn elapsed_at(&self, time: SystemTime) -> Result<Option<RangeInclusive<Elapsed>>> {
        let wall = i128::from(self.start().offset_of(time).as_micros());
        let mut found: Option<RangeInclusive<Elapsed>> = None;
        let near = |_: Elapsed, _: Elapsed, shown: RangeInclusive<i128>| shown.contains(&wall);
        self.spans(near, |span| {
            let [from, to] = [span.from, span.to].map(|at| i128::from(at.as_micros()) - span.lag);
            if (from..=to + span.skipped).contains(&wall) {
                let ran = u64::try_from(wall - from).unwrap_or(u64::MAX);
                let moment = span.to.min(span.from + Duration::from_micros(ran));
                let first = found.as_ref().map_or(moment, |found| *found.start());
                found = Some(first..=moment);
            }
            ControlFlow::Continue(())
        })?;
        Ok(found)
    }

    /// Visits the spans of the recording in which both clocks went on alike, in the order of time.
    ///
    /// Between two snapshots where they did not, the log is read only if `near` returns true for the
    /// elapsed times of the two and the range of wall times there; otherwise the part is skipped.
    fn spans(
        &self,
        near: impl Fn(Elapsed, Elapsed, RangeInclusive<i128>) -> bool,
        mut visit: impl FnMut(ClockSpan) -> ControlFlow<()>,
    ) -> Result<()> {
        let start = LogPosition::start(self.clock());
        let Some(digest) = self.fitting_digest() else {
            // There is no other part, so a break changes nothing.
            let _ = self.spans_in_log(start, None, &mut visit)?;
            return Ok(());
        };
        let mut before = start;
        for place in digest.positions().chain(digest.end()) {
            let (from, to) = (before.elapsed(), place.elapsed());
            let (stepped_before, stepped) = (stepped_back(before), stepped_back(place));
            let (closed_before, closed) = (i128::from(before.closed()), i128::from(place.closed()));
            let flow = if (stepped_before, closed_before) == (stepped, closed) {
                visit(ClockSpan {
                    from,
                    to,
                    lag: stepped - closed,
                    skipped: 0,
                })
            } else {
                let earliest = i128::from(from.as_micros()) - (stepped - closed_before);
                let latest = i128::from(to.as_micros()) - (stepped_before - closed);
                if near(from, to, earliest..=latest) {
                    self.spans_in_log(before, Some(place), &mut visit)?
                } else {
                    ControlFlow::Continue(())
                }
            };
            if flow.is_break() {
                return Ok(());
            }
            before = place;
        }
        Ok(())
    }

    /// Visits the spans from one position of the log to another, or to the end, by reading the log.
    fn spans_in_log(
        &self,
        from: LogPosition,
        to: Option<LogPosition>,
        visit: &mut impl FnMut(ClockSpan) -> ControlFlow<()>,
    ) -> Result<ControlFlow<()>> {
        let last = to.map_or(u64::MAX, LogPosition::events);
        let mut span = ClockSpan {
            from: from.elapsed(),
            to: from.elapsed(),
            lag: lag(from.elapsed(), from.wall()),
            skipped: 0,
        };
        let mut pass = self.pass_from(from)?;
        'chunks: while pass.next_chunk()?.is_some() {
            loop {
                let stepped;
                (span, stepped) = pass.fold(span, |span, logged| {
                    let elapsed = logged.event.elapsed;
                    if logged.number > last || lag(elapsed, logged.event.wall) != span.lag {
                        return ControlFlow::Break(());
                    }
                    span.to = elapsed;
                    ControlFlow::Continue(())
                });
                let Some(logged) = stepped else {
                    break;
                };
                if logged.number > last {
                    break 'chunks;
                }
                let elapsed = logged.event.elapsed;
                let lag = lag(elapsed, logged.event.wall);
                let ended = ClockSpan {
                    to: elapsed,
                    skipped: (span.lag - lag).max(0),
                    ..span
                };
                if visit(ended).is_break() {
                    return Ok(ControlFlow::Break(()));
                }
                span = ClockSpan {
                    from: elapsed,
                    to: elapsed,
                    lag,
                    skipped: 0,
                };
            }
        }
        Ok(visit(span))
    }
}

/// A span of time in which the wall clock and the elapsed time went on alike.
#[derive(Debug, Clone, Copy)]
struct ClockSpan {
    from: Elapsed,
    to: Elapsed,
    /// How far the wall clock lags behind the elapsed time, in microseconds.
    lag: i128,
    /// How long the wall clock goes on at the end while the elapsed time stands still, in microseconds: what is closed
    /// of a gap.
    skipped: i128,
}

fn lag(elapsed: Elapsed, wall: WallOffset) -> i128 {
    i128::from(elapsed.as_micros()) - i128::from(wall.as_micros())
}

/// By how much the wall clock was stepped back in all before a position.
fn stepped_back(position: LogPosition) -> i128 {
    let position = position.recorded();
    lag(position.elapsed(), position.wall())
}

//! Converts between elapsed time and the wall clock: [`Reader::time_at`] and [`Reader::elapsed_at`].

use std::ops::{ControlFlow, RangeInclusive};
use std::time::SystemTime;

use crate::error::Result;
use crate::raw::LogPosition;
use crate::reader::Reader;
use crate::time::{Elapsed, WallOffset};

impl Reader {
    /// What the wall clock showed at a moment of the recording: so that a profile can be laid beside
    /// another log. `None` where the platform cannot hold it.
    ///
    /// Between two events the clock goes on from the one before; so it does after the last. Where it
    /// was stepped back, this is what it showed after the step.
    ///
    /// One pass over the log up to the moment. With a digest at hand the log is read only if the
    /// clock was stepped back near the moment.
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

    /// When the wall clock showed a time: the first and the last moment of the recording at which it
    /// did, in general the same. `None` if it never did: before the start, or after the last event.
    ///
    /// A clock that is stepped back shows some times twice or more: then the moments in between are
    /// not all of that time. Where it was stepped forward, the elapsed time went forward with it.
    ///
    /// The time is taken to whole microseconds from the start. One pass over the log; with a digest
    /// at hand the log is read only where the clock was stepped back over the time.
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
            let moment = u64::try_from(wall + span.lag).map(Elapsed::from_micros);
            if let Ok(moment) = moment
                && (span.from..=span.to).contains(&moment)
            {
                let first = found.as_ref().map_or(moment, |found| *found.start());
                found = Some(first..=moment);
            }
            ControlFlow::Continue(())
        })?;
        Ok(found)
    }

    /// Visits the spans of the recording in which the clock was not stepped back, in the order of time.
    ///
    /// Between two snapshots where it was stepped back, the log is read only if `near` returns true for the
    /// elapsed times of the two and the range of wall times there; otherwise the part is skipped.
    fn spans(
        &self,
        near: impl Fn(Elapsed, Elapsed, RangeInclusive<i128>) -> bool,
        mut visit: impl FnMut(ClockSpan) -> ControlFlow<()>,
    ) -> Result<()> {
        let Some(digest) = self.fitting_digest() else {
            // There is no other part, so a break changes nothing.
            let _ = self.spans_in_log(LogPosition::START, None, &mut visit)?;
            return Ok(());
        };
        let mut before = LogPosition::START.on(self.clock());
        for place in digest.positions().chain(digest.end()) {
            let (from, to) = (before.elapsed(), place.elapsed());
            let flow = if lag_at(before) == lag_at(place) {
                visit(ClockSpan {
                    from,
                    to,
                    lag: lag_at(place),
                })
            } else {
                let earliest = i128::from(from.as_micros()) - lag_at(place);
                let latest = i128::from(to.as_micros()) - lag_at(before);
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
        let from = from.on(self.clock());
        let last = to.map_or(u64::MAX, LogPosition::events);
        let mut span = ClockSpan {
            from: from.elapsed(),
            to: from.elapsed(),
            lag: lag_at(from),
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
                if visit(ClockSpan {
                    to: elapsed,
                    ..span
                })
                .is_break()
                {
                    return Ok(ControlFlow::Break(()));
                }
                span = ClockSpan {
                    from: elapsed,
                    to: elapsed,
                    lag: lag(elapsed, logged.event.wall),
                };
            }
        }
        Ok(visit(span))
    }
}

/// A span of time in which the wall clock only went forward.
#[derive(Debug, Clone, Copy)]
struct ClockSpan {
    from: Elapsed,
    to: Elapsed,
    /// How far the wall clock lags behind the elapsed time, in microseconds.
    lag: i128,
}

fn lag(elapsed: Elapsed, wall: WallOffset) -> i128 {
    i128::from(elapsed.as_micros()) - i128::from(wall.as_micros())
}

fn lag_at(place: LogPosition) -> i128 {
    lag(place.elapsed(), place.wall())
}

//! What did the clock on the wall show at a moment, and when did it show a time?

use std::ops::{ControlFlow, RangeInclusive};
use std::time::SystemTime;

use crate::error::Result;
use crate::raw::LogPosition;
use crate::reader::Reader;
use crate::replay::{By, Step};
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
        let mut behind = 0;
        let near = |from: Elapsed, to: Elapsed, _: RangeInclusive<i128>| from <= at && at <= to;
        self.stretches(near, |stretch| {
            if stretch.from > at {
                return ControlFlow::Break(());
            }
            behind = stretch.behind;
            ControlFlow::Continue(())
        })?;
        let wall = i128::from(at.as_micros()) - behind;
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
        self.stretches(near, |stretch| {
            let moment = u64::try_from(wall + stretch.behind).map(Elapsed::from_micros);
            if let Ok(moment) = moment
                && (stretch.from..=stretch.to).contains(&moment)
            {
                let first = found.as_ref().map_or(moment, |found| *found.start());
                found = Some(first..=moment);
            }
            ControlFlow::Continue(())
        })?;
        Ok(found)
    }

    /// Walks over the stretches of the recording in which the clock was not stepped back, in the
    /// order of time.
    ///
    /// A part in which it was is read only if it is `near`: given from when to when it is and what
    /// times the clock can have shown there. Otherwise it is left out.
    fn stretches(
        &self,
        near: impl Fn(Elapsed, Elapsed, RangeInclusive<i128>) -> bool,
        mut visit: impl FnMut(Stretch) -> ControlFlow<()>,
    ) -> Result<()> {
        let Some(digest) = self.fitting_digest() else {
            // It is the only part, so it does not matter whether it was broken off.
            let _ = self.stretches_of(LogPosition::START, None, &mut visit)?;
            return Ok(());
        };
        let mut before = LogPosition::START.on(self.clock());
        for place in digest.places().chain(digest.end()) {
            let (from, to) = (before.elapsed(), place.elapsed());
            let flow = if behind(before) == behind(place) {
                visit(Stretch {
                    from,
                    to,
                    behind: behind(place),
                })
            } else {
                let earliest = i128::from(from.as_micros()) - behind(place);
                let latest = i128::from(to.as_micros()) - behind(before);
                if near(from, to, earliest..=latest) {
                    self.stretches_of(before, Some(place), &mut visit)?
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

    /// The stretches from one place in the log to another, or to its end: from the log.
    fn stretches_of(
        &self,
        from: LogPosition,
        to: Option<LogPosition>,
        visit: &mut impl FnMut(Stretch) -> ControlFlow<()>,
    ) -> Result<ControlFlow<()>> {
        let from = from.on(self.clock());
        let last = to.map_or(u64::MAX, LogPosition::events);
        let mut stretch = Stretch {
            from: from.elapsed(),
            to: from.elapsed(),
            behind: behind(from),
        };
        let mut broken = false;
        self.pass()?.run(
            from,
            By(
                #[inline(always)]
                |step: Step, _| {
                    if step.number > last {
                        return Some(ControlFlow::Break(()));
                    }
                    let (elapsed, wall) = (step.event.elapsed, step.event.wall);
                    stretch.to = elapsed;
                    let now = lag(elapsed, wall);
                    if now != stretch.behind {
                        if visit(stretch).is_break() {
                            broken = true;
                            return Some(ControlFlow::Break(()));
                        }
                        stretch = Stretch {
                            from: elapsed,
                            to: elapsed,
                            behind: now,
                        };
                    }
                    Some(ControlFlow::Continue(()))
                },
            ),
        )?;
        if broken {
            return Ok(ControlFlow::Break(()));
        }
        Ok(visit(stretch))
    }
}

/// A time in which the wall clock only went forward.
#[derive(Debug, Clone, Copy)]
struct Stretch {
    from: Elapsed,
    to: Elapsed,
    /// How far the wall clock is behind the elapsed time.
    behind: i128,
}

fn lag(elapsed: Elapsed, wall: WallOffset) -> i128 {
    i128::from(elapsed.as_micros()) - i128::from(wall.as_micros())
}

fn behind(place: LogPosition) -> i128 {
    lag(place.elapsed(), place.wall())
}

//! Does a log make sense, and where does it stop doing so?

use std::ops::ControlFlow;
use std::time::Duration;

use crate::analysis::question::{LogEnd, LogStep, Question};
use crate::error::{Damaged, DecodeError, DecodeErrorKind as Kind, Result};
use crate::heap::LiveHeap;
use crate::id::TraceId;
use crate::reader::Reader;
use crate::time::Elapsed;

/// What makes no sense in a log, how often, and from where on nothing does.
///
/// [`Reader::damage`] tells the first record of each kind; this is the same with counts, and with
/// the place from which the log is noise.
///
/// A log has no marks from which a reader could start anew, so one broken record shifts all that
/// follow: they still decode, as events with trace indices, sizes and times that were none. This is
/// found as a change is found in a row of observations, by their cumulative sum (Page 1954): an event
/// that cannot be counts 4, any other −1, and noise begins where the sum was last at its lowest, if
/// it has risen by 12 or more from there to the end of the log. So at least a fifth of the events are
/// impossible from there on, and three at the least. An event cannot be if
///
/// * its trace is beyond the table, and far beyond all that came before it: recorders number
///   traces as they meet them, so that a table that was cut is missed in order, and noise is not;
/// * its fraction of a second is a second or more;
/// * it comes thirty days or more after the event before, or its size is 2⁴⁷ or more, which is all
///   the memory a process can have.
///
/// The record that broke the log is the last one *before* the noise, or one shortly before: noise
/// that happens to look plausible is not noticed at once. Tried with a byte taken out at 200 places
/// each of three logs of 57, 358 and 24 097 traces, noise was told within 12 bytes at 191, 197 and
/// 166 places, later at 0, 0 and 30, and never where there was none; at the rest, the log went on
/// with sense a record later, or the byte was a part of a number and shifted nothing.
///
/// ```
/// use heapprof::{Elapsed, Reader};
///
/// // The recorder wrote a broken size for a block of 3 GiB.
/// let reader = Reader::open("tests/data/huge_corrupt/huge_corrupt")?;
/// let sanity = reader.sanity()?;
/// let noise = sanity.noise().unwrap();
/// assert_eq!((noise.offset, noise.events), (1_523, 213));
/// // What was live before is still to be had.
/// assert_eq!(noise.elapsed, Elapsed::from_micros(52_304));
/// assert_eq!(reader.live_at(noise.elapsed)?.total(), 15_058);
///
/// for finding in sanity.findings() {
///     println!("{} (and {} more)", finding.first, finding.count - 1);
/// }
/// assert_eq!(sanity.findings()[0].count, 220);
/// # Ok::<(), heapprof::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Sanity {
    events: u64,
    findings: Vec<Finding>,
    noise: Option<Noise>,
    damaged: Damaged,
}

/// One kind of record that makes no sense.
///
/// ```
/// use heapprof::{DecodeErrorKind, Reader};
///
/// let sanity = Reader::open("tests/data/huge_corrupt/huge_corrupt")?.sanity()?;
/// let finding = sanity.findings()[0];
/// assert!(matches!(finding.first.kind(), DecodeErrorKind::UnknownTrace { .. }));
/// assert_eq!((finding.first.offset(), finding.last, finding.count), (1_523, 3_119, 220));
/// # Ok::<(), heapprof::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Finding {
    /// The first record of the kind.
    pub first: DecodeError,
    /// Where the last begins, in bytes from the start of the log.
    pub last: u64,
    /// How many there are.
    pub count: u64,
}

/// Where a log stops making sense.
///
/// ```
/// use heapprof::Reader;
///
/// let reader = Reader::open("tests/data/huge_corrupt/huge_corrupt")?;
/// let noise = reader.sanity()?.noise().unwrap();
/// assert_eq!((noise.offset, noise.events), (1_523, 213));
/// assert_eq!(noise.elapsed.to_string(), "0.052304 s");
/// # Ok::<(), heapprof::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Noise {
    /// Where the first record that makes no sense begins, in bytes from the start of the log.
    pub offset: u64,
    /// How many events stand before it.
    pub events: u64,
    /// The time of the last of these.
    pub elapsed: Elapsed,
}

impl Sanity {
    /// How many whole events the log has, noise included.
    pub fn events(&self) -> u64 {
        self.events
    }

    /// The kinds of records that make no sense, the record with which the log ends early among them;
    /// in the order of the first of each.
    pub fn findings(&self) -> &[Finding] {
        &self.findings
    }

    /// Where the log stops making sense; `None` if it makes sense to the end, but for a record
    /// here and there.
    pub fn noise(&self) -> Option<Noise> {
        self.noise
    }

    /// Whether there is nothing to tell but that the log just ends inside a record, as that of a
    /// program which was killed.
    pub fn is_sound(&self) -> bool {
        self.findings.iter().all(|finding| finding.first.is_cut())
    }

    /// Whether the log is not [sound](Self::is_sound), or the `.hpm` file is
    /// [damaged](crate::Usage::is_damaged).
    pub fn is_damaged(&self) -> bool {
        self.damaged.0
    }
}

impl Reader {
    /// What makes no sense in the log, how often, and from where on it is noise. One pass over the
    /// log.
    ///
    /// ```
    /// use heapprof::Reader;
    ///
    /// assert!(Reader::open("examples/data/demo")?.sanity()?.is_sound());
    ///
    /// // Two processes wrote into one log: balances go below 0, but it is no noise.
    /// let sanity = Reader::open("tests/data/forked/forked")?.sanity()?;
    /// let [below_zero] = sanity.findings() else { panic!() };
    /// assert_eq!((below_zero.first.offset(), below_zero.count), (6_019, 21));
    /// assert_eq!(sanity.noise(), None);
    /// # Ok::<(), heapprof::Error>(())
    /// ```
    ///
    /// # Errors
    /// If the log cannot be read.
    pub fn sanity(&self) -> Result<Sanity> {
        self.ask(SanityCheck::new(self.trace_count()?))
    }
}

/// The [`Question`] that [`Sanity`] answers, for a pass that is shared with others.
///
/// ```
/// use heapprof::{Peak, Reader, SanityCheck};
///
/// let reader = Reader::open("examples/data/demo")?;
/// let traces = u32::try_from(reader.traces()?.len()).unwrap();
/// let (sanity, peak) = reader.ask((SanityCheck::new(traces), Peak::question()))?;
/// assert!(sanity.is_sound());
/// assert_eq!((sanity.events(), peak.events()), (49_779, 29_174));
/// # Ok::<(), heapprof::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct SanityCheck {
    traces: u32,
    /// The largest trace index that was plausible so far, and at first the largest of the table.
    largest: u32,
    elapsed: Elapsed,
    events: u64,
    /// Of unknown traces, microseconds, negative balances and saturated ones.
    counts: [Count; 4],
    /// The cumulative sum since it was last at its lowest, and where that was.
    sum: u64,
    lowest: Noise,
}

#[derive(Debug, Clone, Copy, Default)]
struct Count {
    count: u64,
    last: u64,
}

/// What an event that cannot be adds to the sum, in terms of what any other takes away.
const IMPOSSIBLE: u64 = 4;
/// The sum at the end from which it is noise.
const NOISE: u64 = 12;
/// By how much a new trace may be beyond all before: threads need not write in order.
const AHEAD: u32 = 64;
/// No two events are this far apart.
const GAP: Duration = Duration::from_secs(30 * 86_400);
/// No block is this large.
const HUGE: u64 = 1 << 47;

impl SanityCheck {
    /// For a log with a table of so many traces.
    pub fn new(traces: u32) -> Self {
        Self {
            traces,
            largest: traces,
            elapsed: Elapsed::ZERO,
            events: 0,
            counts: [Count::default(); 4],
            sum: 0,
            lowest: Noise {
                offset: 0,
                events: 0,
                elapsed: Elapsed::ZERO,
            },
        }
    }

    fn is_possible(&mut self, step: &LogStep) -> bool {
        let index = TraceId::to_disk(step.event.trace);
        let in_order = index <= self.largest.saturating_add(AHEAD);
        if in_order {
            self.largest = self.largest.max(index);
        }
        let gap = step.event.elapsed - self.elapsed;
        in_order && !step.invalid_micros && gap < GAP && step.event.size < HUGE
    }

    /// Which of the kinds that are counted it is.
    fn kinds(&self, step: &LogStep) -> [bool; 4] {
        [
            TraceId::to_disk(step.event.trace) > self.traces,
            step.invalid_micros,
            step.live < 0 && step.event.is_free(),
            step.before.checked_add(step.bytes).is_none(),
        ]
    }
}

impl Question for SanityCheck {
    type Answer = Sanity;

    fn take(&mut self, step: &LogStep, _: &LiveHeap) -> ControlFlow<()> {
        let kinds = self.kinds(step);
        for (count, is) in self.counts.iter_mut().zip(kinds) {
            if is {
                count.count += 1;
                count.last = step.offset;
            }
        }
        if self.is_possible(step) {
            self.sum = self.sum.saturating_sub(1);
        } else {
            if self.sum == 0 {
                self.lowest = Noise {
                    offset: step.offset,
                    events: self.events,
                    elapsed: self.elapsed,
                };
            }
            self.sum = self.sum.saturating_add(IMPOSSIBLE);
        }
        self.elapsed = step.event.elapsed;
        self.events = step.number;
        ControlFlow::Continue(())
    }

    fn answer(self, end: &LogEnd<'_>) -> Sanity {
        let [unknown, micros, negative, saturated] = self.counts;
        let findings: Vec<Finding> = end
            .damage
            .iter()
            .map(|&first| {
                let Count { count, last } = match first.kind() {
                    Kind::UnknownTrace { .. } => unknown,
                    Kind::Microseconds { .. } => micros,
                    Kind::NegativeBalance { .. } => negative,
                    Kind::Saturated => saturated,
                    _ => Count {
                        count: 1,
                        last: first.offset(),
                    },
                };
                Finding { first, last, count }
            })
            .collect();
        // A log ends with a record that is no event only if it is noise.
        let ended = findings.iter().map(|finding| finding.first).find(|error| {
            // Rates that are wrong, and zeros that a crash left, are no noise.
            let is_noise = !matches!(error.kind(), Kind::Estimate { .. } | Kind::Zeros { .. });
            !error.is_kept() && !error.is_cut() && is_noise
        });
        let noise = match ended {
            Some(_) if self.sum > 0 => Some(self.lowest),
            Some(error) => Some(Noise {
                offset: error.offset(),
                events: self.events,
                elapsed: self.elapsed,
            }),
            None => (self.sum >= NOISE).then_some(self.lowest),
        };
        Sanity {
            events: self.events,
            findings,
            noise,
            damaged: end.damaged,
        }
    }
}

//! [`Sanity`]: the invalid records of a log, and where the log becomes noise.

use std::ops::ControlFlow;
use std::time::Duration;

use crate::error::{DecodeError, DecodeErrorKind as Kind, Result, Taint};
use crate::heap::LiveHeap;
use crate::id::TraceId;
use crate::query::ask::{AppliedEvent, Query, QueryEnd, QueryStart};
use crate::reader::Reader;
use crate::time::{Clock, Elapsed, LARGEST, WallOffset};

/// The invalid records of a log by kind, with counts, and the offset from which on the log is noise.
///
/// [`Reader::damage`] has the first record of each kind, without counts.
///
/// A log has no marks from which a reader could resume, so one broken record shifts all later ones. They
/// still decode, as events with wrong trace indices, sizes and times. This query detects the change by a
/// cumulative sum (Page 1954): an impossible event counts 4, any other −1, and noise begins where the sum was
/// last at its minimum, if it rises by 12 or more from there to the end of the log. So at least a fifth of the
/// events from there on are impossible, and at least three. An event is impossible if
///
/// * its trace is beyond the table, and far beyond all earlier traces. Recorders number traces as they meet
///   them, so the traces that a cut table lacks come in order;
/// * its fraction of a second is a second or more;
/// * it comes thirty days or more after the previous event, or its size is 2⁴⁷ or more, all the memory that a
///   process can have.
///
/// The record that broke the log is the last one *before* the noise, or one shortly before: the first events
/// of noise can be plausible. In a test that removed a byte at 200 offsets of three logs of 57, 358 and 24 097
/// traces, noise was found within 12 bytes at 191, 197 and 166 offsets, later at 0, 0 and 30, and never where
/// there was none. At the other offsets the log made sense again a record later, or the byte was part of a
/// number and shifted nothing.
///
/// ```
/// use heapprof::{Elapsed, Reader};
///
/// // The recorder wrote a broken size for a block of 3 GiB.
/// let reader = Reader::open("tests/data/huge_corrupt/huge_corrupt")?;
/// let sanity = reader.sanity()?;
/// let noise = sanity.corruption().unwrap();
/// assert_eq!((noise.offset, noise.events), (1_523, 213));
/// // The usage before it is still valid.
/// assert_eq!(noise.elapsed, Elapsed::from_micros(52_304));
/// assert_eq!(reader.live_at(noise.elapsed)?.total(), 15_058);
///
/// for issue in sanity.issues() {
///     println!("{} (and {} more)", issue.first, issue.count - 1);
/// }
/// assert_eq!(sanity.issues()[0].count, 220);
/// # Ok::<(), heapprof::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Sanity {
    events: u64,
    issues: Vec<Issue>,
    noise: Option<Corruption>,
    gaps: Vec<Gap>,
    /// The limit that closes them.
    gap_limit: Duration,
    damaged: Taint,
}

/// One kind of invalid record.
///
/// ```
/// use heapprof::raw::DecodeErrorKind;
/// use heapprof::Reader;
///
/// let sanity = Reader::open("tests/data/huge_corrupt/huge_corrupt")?.sanity()?;
/// let issue = sanity.issues()[0];
/// assert!(matches!(issue.first.kind(), DecodeErrorKind::UnknownTrace { .. }));
/// assert_eq!((issue.first.offset(), issue.last_offset, issue.count), (1_523, 3_119, 220));
/// # Ok::<(), heapprof::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct Issue {
    /// The first record of the kind.
    pub first: DecodeError,
    /// The offset of the last, in bytes from the start of the log.
    pub last_offset: u64,
    /// The number of these records.
    pub count: u64,
}

/// The begin of the noise in a log.
///
/// ```
/// use heapprof::Reader;
///
/// let reader = Reader::open("tests/data/huge_corrupt/huge_corrupt")?;
/// let noise = reader.sanity()?.corruption().unwrap();
/// assert_eq!((noise.offset, noise.events), (1_523, 213));
/// assert_eq!(noise.elapsed.to_string(), "0.052304 s");
/// # Ok::<(), heapprof::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct Corruption {
    /// The offset of the first record of the noise, in bytes from the start of the log.
    pub offset: u64,
    /// The number of events before it.
    pub events: u64,
    /// The time of the last of these.
    #[cfg_attr(feature = "serde", serde(rename = "elapsed_us"))]
    pub elapsed: Elapsed,
}

/// A time without events that dominates the recording, such as when a clock leaps forward or a laptop sleeps.
///
/// ```
/// use heapprof::query::{Gap, Sanity};
/// use heapprof::raw::{EventWriter, TraceWriter};
/// use heapprof::{EventKind, Reader, SamplingRates, StartTime, WallOffset};
///
/// let start = StartTime::new(1_700_000_000, 0);
/// let hpm = TraceWriter::new(Vec::new(), start, &SamplingRates::unsampled())?.into_inner();
/// let mut hpd = EventWriter::new(Vec::new());
/// for seconds in [1, 2, 3, 86_400 + 3, 86_400 + 4] {
///     let wall = WallOffset::from_micros(seconds * 1_000_000);
///     hpd.write(wall, None, 10, EventKind::Allocation)?;
/// }
/// let sanity = Reader::from_bytes(hpm, hpd.into_inner(), None)?.sanity()?;
/// let gap = sanity.gaps()[0];
/// assert_eq!((gap.from.as_secs(), gap.length.as_secs(), gap.offset), (3, 86_400, 21));
/// # Ok::<(), heapprof::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct Gap {
    /// The time of the last event before it.
    #[cfg_attr(feature = "serde", serde(rename = "from_us"))]
    pub from: Elapsed,
    /// How long it is, by the wall clock.
    #[cfg_attr(
        feature = "serde",
        serde(rename = "length_us", serialize_with = "crate::serde_as::micros")
    )]
    pub length: Duration,
    /// The offset of the first record after it, in bytes from the start of the log.
    pub offset: u64,
}

impl Sanity {
    /// The query, for the whole log.
    pub fn query() -> SanityQuery {
        SanityQuery {
            traces: 0,
            largest: 0,
            elapsed: Elapsed::ZERO,
            wall: WallOffset::ZERO,
            recorded: Duration::ZERO,
            events: 0,
            counts: [Count::default(); 4],
            sum: 0,
            lowest: Corruption {
                offset: 0,
                events: 0,
                elapsed: Elapsed::ZERO,
            },
            gaps: Vec::new(),
            longest_other: Duration::ZERO,
        }
    }

    /// The number of complete events of the log, noise included.
    pub fn events(&self) -> u64 {
        self.events
    }

    /// The kinds of invalid records, in the order of the first of each. The last record is one of them if the
    /// log ends early.
    pub fn issues(&self) -> &[Issue] {
        &self.issues
    }

    /// The begin of the noise; `None` if the log makes sense to the end, except single records.
    pub fn corruption(&self) -> Option<Corruption> {
        self.noise
    }

    /// Whether the log has no invalid records, or just ends inside a record, as after a killed program.
    pub fn is_sound(&self) -> bool {
        self.issues.iter().all(|issue| issue.first.is_cut())
    }

    /// The gaps that dominate the recording, in the order of time: each is longer than a minute, and than ten times the
    /// recording without these gaps. A grid over time, such as that of a digest, is useless then. They are no damage.
    /// The same gaps on every clock; they are measured by the wall clock. At most 256.
    pub fn gaps(&self) -> &[Gap] {
        &self.gaps
    }

    /// The clock that closes the [`gaps`](Self::gaps) and no others; `None` if no gap dominates.
    ///
    /// Its limit is the longest of the other gaps, or a tenth of the recording without these gaps if that is more.
    ///
    /// ```
    /// use heapprof::raw::{EventWriter, TraceWriter};
    /// use heapprof::{EventKind, Reader, SamplingRates, StartTime, WallOffset};
    ///
    /// let start = StartTime::new(1_700_000_000, 0);
    /// let hpm = TraceWriter::new(Vec::new(), start, &SamplingRates::unsampled())?.into_inner();
    /// let mut hpd = EventWriter::new(Vec::new());
    /// for seconds in [1, 2, 7, 86_400 + 7, 86_400 + 8] {
    ///     let wall = WallOffset::from_micros(seconds * 1_000_000);
    ///     hpd.write(wall, None, 10, EventKind::Allocation)?;
    /// }
    /// let mut reader = Reader::from_bytes(hpm, hpd.into_inner(), None)?;
    /// assert_eq!(reader.elapsed()?.as_secs(), 86_408);
    /// if let Some(clock) = reader.sanity()?.closing_clock() {
    ///     reader = reader.with_clock(clock);
    /// }
    /// assert_eq!(reader.elapsed()?.as_secs(), 7 + 5 + 1);
    /// # Ok::<(), heapprof::Error>(())
    /// ```
    pub fn closing_clock(&self) -> Option<Clock> {
        let has_gaps = !self.gaps.is_empty();
        has_gaps.then_some(Clock::GapsClosed(self.gap_limit))
    }

    /// Whether the log is not [sound](Self::is_sound), or the `.hpm` file is
    /// [damaged](crate::Usage::is_damaged).
    pub fn is_damaged(&self) -> bool {
        self.damaged.0
    }
}

impl Reader {
    /// The invalid records of the log, and where it becomes noise: see [`Sanity`]. One pass over the log.
    ///
    /// ```
    /// use heapprof::Reader;
    ///
    /// assert!(Reader::open("examples/data/demo")?.sanity()?.is_sound());
    ///
    /// // Two processes wrote one log: balances go below 0, but the log is not noise.
    /// let sanity = Reader::open("tests/data/forked/forked")?.sanity()?;
    /// let [below_zero] = sanity.issues() else { panic!() };
    /// assert_eq!((below_zero.first.offset(), below_zero.count), (6_019, 21));
    /// assert_eq!(sanity.corruption(), None);
    /// # Ok::<(), heapprof::Error>(())
    /// ```
    ///
    /// # Errors
    /// If the log cannot be read.
    pub fn sanity(&self) -> Result<Sanity> {
        self.ask(Sanity::query())
    }
}

/// The query for [`Sanity`].
///
/// ```
/// use heapprof::query::{Peak, Sanity};
/// use heapprof::Reader;
///
/// let reader = Reader::open("examples/data/demo")?;
/// let (sanity, peak) = reader.ask((Sanity::query(), Peak::query()))?;
/// assert!(sanity.is_sound());
/// assert_eq!((sanity.events(), peak.events()), (49_779, 29_174));
/// # Ok::<(), heapprof::Error>(())
/// ```
#[derive(Debug, Clone)]
#[must_use]
pub struct SanityQuery {
    traces: u32,
    /// The largest plausible trace index so far; at first the largest of the table.
    largest: u32,
    elapsed: Elapsed,
    wall: WallOffset,
    /// How long the recording is, by the steps forward of the wall clock.
    recorded: Duration,
    events: u64,
    /// The counts of unknown traces, invalid microseconds, negative balances and saturated ones.
    counts: [Count; 4],
    /// The cumulative sum above its minimum, and where it last was at the minimum.
    sum: u64,
    lowest: Corruption,
    /// The longest gaps of more than a minute, ascending.
    gaps: Vec<Gap>,
    /// The longest of the other gaps.
    longest_other: Duration,
}

#[derive(Debug, Clone, Copy, Default)]
struct Count {
    count: u64,
    last: u64,
}

/// An impossible event adds this to the sum. Any other subtracts 1.
const IMPOSSIBLE: u64 = 4;
/// The log is noise if the sum at the end is at least this.
const NOISE: u64 = 12;
/// A new trace may be this far beyond all earlier ones, since threads need not write in order.
const AHEAD: u32 = 64;
/// No two events are this far apart.
const GAP: Duration = Duration::from_secs(30 * 86_400);
/// A gap is longer than this.
const MINUTE: Duration = Duration::from_secs(60);
/// No more gaps are kept: the longest.
const MOST_GAPS: usize = 256;
/// No block is this large.
const HUGE: u64 = 1 << 47;

impl SanityQuery {
    #[cold]
    fn add_gap(&mut self, length: Duration, offset: u64) {
        let gap = Gap {
            from: self.elapsed,
            length,
            offset,
        };
        let at = self.gaps.partition_point(|it| it.length < length);
        self.gaps.insert(at, gap);
        if self.gaps.len() > MOST_GAPS {
            let shortest = self.gaps.remove(0);
            self.longest_other = self.longest_other.max(shortest.length);
        }
    }

    /// The longest gaps, if each is longer than ten times what is left without them, and the limit that closes them.
    fn dominating_gaps(self) -> (Vec<Gap>, Duration) {
        let mut rest = self.recorded;
        let mut gaps = self.gaps;
        gaps.reverse();
        let (mut dominating, mut without) = (0, rest);
        for (number, gap) in (1..).zip(&gaps) {
            rest = rest.saturating_sub(gap.length);
            if gap.length > rest.saturating_mul(10) {
                (dominating, without) = (number, rest);
            }
        }
        let longest_other = gaps.get(dominating).map(|gap| gap.length);
        let longest_other = longest_other.unwrap_or(self.longest_other);
        gaps.truncate(dominating);
        gaps.sort_unstable_by_key(|gap| gap.from);
        (gaps, longest_other.max(without / 10))
    }

    fn is_possible(&mut self, applied: &AppliedEvent, gap: Duration) -> bool {
        let index = TraceId::to_disk(applied.event.trace);
        let in_order = index <= self.largest.saturating_add(AHEAD);
        if in_order {
            self.largest = self.largest.max(index);
        }
        in_order && !applied.has_invalid_micros && gap < GAP && applied.event.size < HUGE
    }

    /// Which of the counted kinds an event belongs to.
    fn kinds(&self, applied: &AppliedEvent) -> [bool; 4] {
        [
            TraceId::to_disk(applied.event.trace) > self.traces,
            applied.has_invalid_micros,
            applied.trace_after < 0 && applied.event.is_free(),
            applied.trace_before.checked_add(applied.bytes).is_none(),
        ]
    }
}

impl Query for SanityQuery {
    type Output = Sanity;

    fn begin(&mut self, start: &QueryStart<'_>) -> Result<()> {
        self.traces = start.trace_count();
        self.largest = self.traces;
        Ok(())
    }

    fn observe(&mut self, applied: &AppliedEvent, _: &LiveHeap) -> ControlFlow<()> {
        let kinds = self.kinds(applied);
        for (count, is) in self.counts.iter_mut().zip(kinds) {
            if is {
                count.count += 1;
                count.last = applied.offset;
            }
        }
        let step = applied
            .event
            .wall
            .as_micros()
            .checked_sub(self.wall.as_micros());
        let gap = Duration::from_micros(step.map_or(LARGEST, |step| step.max(0).unsigned_abs()));
        if self.is_possible(applied, gap) {
            self.sum = self.sum.saturating_sub(1);
        } else {
            if self.sum == 0 {
                self.lowest = Corruption {
                    offset: applied.offset,
                    events: self.events,
                    elapsed: self.elapsed,
                };
            }
            self.sum = self.sum.saturating_add(IMPOSSIBLE);
        }
        if gap > MINUTE {
            self.add_gap(gap, applied.offset);
        } else {
            self.longest_other = self.longest_other.max(gap);
        }
        self.recorded = self.recorded.saturating_add(gap);
        (self.elapsed, self.wall) = (applied.event.elapsed, applied.event.wall);
        self.events = applied.number;
        ControlFlow::Continue(())
    }

    fn finish(self, end: &QueryEnd<'_>) -> Sanity {
        let [unknown, micros, negative, saturated] = self.counts;
        let issues: Vec<Issue> = end
            .damage()
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
                Issue {
                    first,
                    last_offset: last,
                    count,
                }
            })
            .collect();
        // An error that ends the log, other than a cut, is noise.
        let ended = issues.iter().map(|issue| issue.first).find(|error| {
            // Rates that are wrong, and zeros that a crash left, are no noise.
            let is_noise = !matches!(error.kind(), Kind::Estimate { .. } | Kind::Zeros { .. });
            !error.is_kept() && !error.is_cut() && is_noise
        });
        let noise = match ended {
            Some(_) if self.sum > 0 => Some(self.lowest),
            Some(error) => Some(Corruption {
                offset: error.offset(),
                events: self.events,
                elapsed: self.elapsed,
            }),
            None => (self.sum >= NOISE).then_some(self.lowest),
        };
        let events = self.events;
        let (gaps, gap_limit) = self.dominating_gaps();
        Sanity {
            events,
            issues,
            noise,
            gaps,
            gap_limit,
            damaged: end.taint(),
        }
    }
}

//! [`Leaks`]: traces and lines that keep growing over the whole recording.

mod floors;

use std::cmp::Reverse;
use std::ops::ControlFlow;
use std::time::Duration;

use floors::{Floors, Recording};
use hashbrown::HashMap;

use crate::error::{Result, Taint};
use crate::heap::LiveHeap;
use crate::id::{FrameId, TraceId};
use crate::query::ask::{AppliedEvent, Query, QueryEnd, QueryStart};
use crate::reader::Reader;
use crate::time::Elapsed;
use crate::trace::TraceTable;

/// Traces and lines that may leak, since their memory keeps growing over the whole recording, the largest
/// score first.
///
/// Leak detectors in a running program compare the volumes of live objects between garbage collections, and
/// suspect objects that grow at most of these (Cork, by Jump and others, 2007). This query divides the recording
/// into 24 equal windows of time and looks at the *floor* of a trace in each: the smallest number of its live
/// bytes at any moment of the window. Blocks that live only within a window do not raise the floor.
///
/// A trace *grew* in a window if the floor is above all earlier floors. Its first two windows do not count: a
/// program allocates memory while it starts, and that is no leak. A trace is a candidate if it has eight
/// windows or more and
///
/// * it grew in at least half of the windows of each third. A step, a peak, or a cache that is emptied from
///   time to time does not;
/// * it grew in the last eighth, or in the last two. Growth that has ended did not;
/// * the last third has at least half the mean growth of the thirds. A cache that fills up and levels off has
///   not;
/// * it grew by at least a thousandth of the largest total.
///
/// The *score* is the growth of the floor in bytes, times the share of windows in which it grew. Windows without
/// any event of the program do not count.
///
/// The query judges a *line* by the sum of all traces that end at it. So it finds a line that leaks a little
/// through each of many callers, even if none of these traces grows steadily. It does not list callers, since
/// all callers up to the program's entry grow with the line; the heaviest [`trace`](LineLeak::trace) leads to
/// them.
///
/// The numbers were chosen by hand with ten recordings. In a demonstration and a stress test with a leak, that
/// leak is first and everything listed grows. In two real programs of 24 097 and 150 359 traces, two traces and
/// one are listed.
///
/// If a recording ends while a cache still fills, that cache is a candidate too.
///
/// ```
/// use heapprof::Reader;
///
/// let reader = Reader::open("examples/data/demo")?;
/// let leaks = reader.leaks()?;
/// let traces = reader.traces()?;
///
/// let worst = &leaks.lines()[0];
/// let frame = traces.frame(worst.id).unwrap();
/// assert_eq!(frame.to_string(), "/srv/app/workloads/shop/customers.py:11");
/// assert_eq!((worst.growth.grew, worst.growth.windows), (21, 21));
/// # Ok::<(), heapprof::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct Leaks {
    window: Duration,
    traces: Vec<TraceLeak>,
    lines: Vec<LineLeak>,
    damaged: Taint,
}

/// A trace that may leak.
///
/// ```
/// use heapprof::Reader;
///
/// let reader = Reader::open("examples/data/demo")?;
/// let leaks = reader.leaks()?;
/// let worst = leaks.traces()[0];
/// let stack = reader.traces()?.trace(worst.trace).unwrap();
/// assert_eq!(stack.innermost().unwrap().to_string(), "/srv/app/workloads/shop/customers.py:11");
/// assert_eq!(worst.growth.bytes, 7_405_968);
/// # Ok::<(), heapprof::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct TraceLeak {
    /// The trace; `None` for unknown.
    pub trace: Option<TraceId>,
    /// How it grew.
    pub growth: Growth,
}

/// A line that may leak, through one trace or many.
///
/// ```
/// use heapprof::Reader;
///
/// let reader = Reader::open("examples/data/demo")?;
/// let leaks = reader.leaks()?;
/// let worst = leaks.lines()[0];
/// assert_eq!(reader.traces()?.frame(worst.id).unwrap().line, 11);
/// assert_eq!(worst.trace, leaks.traces()[0].trace.unwrap()); // its main caller
/// # Ok::<(), heapprof::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct LineLeak {
    /// The line that allocates.
    pub id: FrameId,
    /// How all traces that end at it grew together.
    pub growth: Growth,
    /// Of these traces the one with the most bytes live at the end.
    pub trace: TraceId,
}

/// How memory grew: the evidence for a leak.
///
/// ```
/// use heapprof::Reader;
///
/// let growth = Reader::open("examples/data/demo")?.leaks()?.lines()[0].growth;
/// assert_eq!((growth.bytes, growth.grew, growth.windows), (7_405_968, 21, 21));
/// assert_eq!((growth.allocated, growth.freed), (8_673_008, 523_200));
/// assert_eq!(format!("{:.2}", growth.freed_share()), "0.06");
/// assert_eq!(growth.bytes_per_second.round(), 370_793.0);
/// # Ok::<(), heapprof::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct Growth {
    /// The bytes by which the floor grew, times the share of windows in which it did.
    pub score: i64,
    /// The growth of the floor, in bytes.
    pub bytes: i64,
    /// The number of windows in which it grew.
    pub grew: u32,
    /// The number of windows that count.
    pub windows: u32,
    /// The begin of the first of these.
    #[cfg_attr(feature = "serde", serde(rename = "from_us"))]
    pub from: Elapsed,
    /// The growth in bytes a second from then on.
    pub bytes_per_second: f64,
    /// All bytes that were allocated in the whole recording.
    pub allocated: u64,
    /// The bytes of these that were freed.
    pub freed: u64,
}

impl Growth {
    /// The freed share of the allocated bytes, 0 to 1: near 0 if everything is kept, near 1 if only a few of
    /// many blocks are not freed.
    #[expect(clippy::cast_precision_loss, reason = "a share for people")]
    pub fn freed_share(self) -> f64 {
        if self.allocated == 0 {
            0.0
        } else {
            (self.freed as f64 / self.allocated as f64).min(1.0)
        }
    }
}

impl Leaks {
    /// The query, for the whole log.
    pub fn query() -> LeaksQuery {
        LeaksQuery {
            lines_of: None,
            table: TraceTable::default(),
            end: Elapsed::ZERO,
            windows: WINDOWS,
            window: 1,
            now: (0, 0),
            began: Vec::new(),
            largest: 0,
            traces: HashMap::new(),
            lines: HashMap::new(),
        }
    }

    /// The length of a window.
    pub fn window(&self) -> Duration {
        self.window
    }

    /// The traces that may leak, the largest score first; equal ones in the order of their ids.
    pub fn traces(&self) -> &[TraceLeak] {
        &self.traces
    }

    /// The lines that may leak, the largest score first; equal ones in the order of their ids.
    pub fn lines(&self) -> &[LineLeak] {
        &self.lines
    }

    /// Whether it is derived from [damaged](crate::Usage::is_damaged) input.
    pub fn is_damaged(&self) -> bool {
        self.damaged.0
    }
}

impl Reader {
    /// Traces and lines that may leak: see [`Leaks`]. One pass over the log, and one before it if its
    /// [end](Self::end) is not known yet.
    ///
    /// # Errors
    /// If the log cannot be read.
    pub fn leaks(&self) -> Result<Leaks> {
        self.ask(Leaks::query())
    }
}

/// The query for [`Leaks`].
///
/// Memory: about 130 bytes a trace and a line, and 16 bytes for each window in which one grew.
///
/// ```
/// use heapprof::query::{Leaks, Live};
/// use heapprof::Reader;
///
/// let reader = Reader::open("examples/data/demo")?;
/// let (leaks, end) = reader.ask((Leaks::query().windows(100), Live::query()))?;
/// assert_eq!((leaks.lines().len(), leaks.lines()[0].growth.windows), (2, 89));
/// assert_eq!(end.total(), 8_334_103);
/// # Ok::<(), heapprof::Error>(())
/// ```
#[derive(Debug, Clone)]
#[must_use]
pub struct LeaksQuery {
    /// The table that the caller gave.
    lines_of: Option<TraceTable>,
    table: TraceTable,
    end: Elapsed,
    windows: u64,
    /// The length of each, in microseconds.
    window: u64,
    /// The current window, and the number of windows before it that had events.
    now: (u64, u32),
    /// The begin of each window that had events.
    began: Vec<Elapsed>,
    largest: i64,
    traces: HashMap<Option<TraceId>, Floors>,
    lines: HashMap<FrameId, Floors>,
}

/// The default number of windows.
const WINDOWS: u64 = 24;
/// A leak must have grown by the largest total divided by this.
const PART: i64 = 1000;

impl LeaksQuery {
    /// Judges the lines of this table, a regrouped one of the reader's. With
    /// [`cut_to_own`](TraceTable::cut_to_own), these are the lines of own code that are responsible.
    ///
    /// ```
    /// use heapprof::query::Leaks;
    /// use heapprof::view::Packages;
    /// use heapprof::Reader;
    ///
    /// let reader = Reader::open("examples/data/demo")?;
    /// let responsible = reader.traces()?.cut_to_own(&Packages::new());
    /// let leaks = reader.ask(Leaks::query().lines_of(&responsible))?;
    /// let worst = responsible.frame(leaks.lines()[0].id).unwrap();
    /// assert_eq!(worst.to_string(), "/srv/app/workloads/shop/customers.py:11");
    /// # Ok::<(), heapprof::Error>(())
    /// ```
    pub fn lines_of(mut self, traces: &TraceTable) -> Self {
        self.lines_of = Some(traces.clone());
        self
    }

    /// The number of windows: by default 24. More windows distinguish slow leaks from chance better, fewer find
    /// leaks that happen only now and then. Fewer than ten find nothing. The maximum is 2²⁰.
    pub fn windows(mut self, windows: u32) -> Self {
        self.windows = windows.clamp(1, 1 << 20).into();
        self
    }

    /// The line that allocates the blocks of a trace.
    fn line(&self, trace: Option<TraceId>) -> Option<FrameId> {
        self.table.tree().frame(self.table.node(trace?)?)
    }
}

impl Query for LeaksQuery {
    type Output = Leaks;

    fn begin(&mut self, start: &QueryStart<'_>) -> Result<()> {
        self.table = match self.lines_of.take() {
            Some(table) => table,
            None => start.traces()?.clone(),
        };
        self.end = start.log_end()?.elapsed();
        // The end is in the last window.
        self.window = self
            .end
            .as_micros()
            .saturating_add(1)
            .div_ceil(self.windows);
        Ok(())
    }

    fn observe(&mut self, applied: &AppliedEvent, _: &LiveHeap) -> ControlFlow<()> {
        let number = (applied.event.elapsed.as_micros() / self.window).min(self.windows - 1);
        if number != self.now.0 || self.began.is_empty() {
            self.now = (number, u32::try_from(self.began.len()).unwrap_or(u32::MAX));
            let began = number.saturating_mul(self.window);
            self.began.push(Elapsed::from_micros(began));
        }
        let (_, window) = self.now;
        self.largest = self.largest.max(applied.total);
        let trace = applied.event.trace;
        let floors = self.traces.entry(trace);
        let floors = floors.or_insert_with(|| Floors::new(window, applied.trace_before));
        floors.enter(window, applied.bytes);
        if let Some(line) = self.line(trace) {
            let floors = self.lines.entry(line);
            let floors = floors.or_insert_with(|| Floors::new(window, 0));
            floors.enter(window, applied.bytes);
        }
        ControlFlow::Continue(())
    }

    fn finish(self, end: &QueryEnd<'_>) -> Leaks {
        let recording = Recording {
            last: self.now.1,
            began: &self.began,
            end: self.end,
            least: (self.largest / PART).max(1),
        };
        // For each line the trace with the most live bytes.
        let mut heaviest: HashMap<FrameId, (i64, Reverse<TraceId>)> = HashMap::new();
        for (&trace, floors) in &self.traces {
            if let (Some(line), Some(trace)) = (self.line(trace), trace) {
                let this = (floors.live(), Reverse(trace));
                let most = heaviest.entry(line).or_insert(this);
                *most = this.max(*most);
            }
        }
        let mut traces: Vec<TraceLeak> = Vec::new();
        for (&trace, floors) in &self.traces {
            let growth = floors.clone().growth(&recording);
            traces.extend(growth.map(|growth| TraceLeak { trace, growth }));
        }
        let mut lines: Vec<LineLeak> = Vec::new();
        for (&line, floors) in &self.lines {
            let growth = floors.clone().growth(&recording);
            if let (Some(growth), Some(&(_, Reverse(trace)))) = (growth, heaviest.get(&line)) {
                lines.push(LineLeak {
                    id: line,
                    growth,
                    trace,
                });
            }
        }
        traces.sort_unstable_by_key(|leak| (Reverse(leak.growth.score), leak.trace));
        lines.sort_unstable_by_key(|leak| (Reverse(leak.growth.score), leak.id));
        Leaks {
            window: Duration::from_micros(self.window),
            traces,
            lines,
            damaged: end.taint() | self.table.damaged(),
        }
    }
}

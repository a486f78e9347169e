//! What leaks? What keeps growing over the whole of the recording.

mod floors;

use std::cmp::Reverse;
use std::ops::ControlFlow;
use std::time::Duration;

use floors::{Floors, Recording};
use hashbrown::HashMap;

use crate::analysis::question::{LogEnd, LogStep, Question};
use crate::error::{Damaged, Result};
use crate::heap::LiveHeap;
use crate::id::{FrameId, TraceId};
use crate::reader::Reader;
use crate::time::Elapsed;
use crate::trace::TraceTable;

/// Traces and lines that may leak: whose memory keeps growing over the whole of the recording, the
/// largest score first.
///
/// Leak detectors that watch a running program compare the volumes of live objects from one garbage
/// collection to the next, and suspect what grows in most of them (so does Cork, by Jump and others,
/// 2007). Here the recording is cut into 24 equal windows of time, and what counts is the *floor* of
/// a trace in each: the least it had live at any moment of the window. What comes and goes within a
/// window does not raise it.
///
/// A window in which the floor is above all floors before is one in which the trace *grew*. Its
/// windows are those from the third in which it is known on: what is allocated while a program
/// starts is no leak. A trace is a candidate if it has eight windows or more and
///
/// * it grew in half of them or more, in the first third of them, in the second and in the last: so
///   a step, a peak and a cache that is emptied from time to time are none;
/// * it grew in the last eighth, or the last two: so what has come to an end is none;
/// * the last third has at least half the mean growth of the thirds: so a cache that fills up and
///   levels off is none;
/// * it grew by a thousandth or more of the most that was ever live.
///
/// The *score* is the bytes by which the floor has grown, times the share of the windows in which
/// it did. Windows without any event of the program do not count.
///
/// A *line* is judged by the sum of all traces that end at it: a line that leaks a little through
/// each of many callers is found though none of these traces grows steadily. Callers are not
/// listed, since all of them up to the program's entry grow with the line they call; the heaviest
/// [`trace`](LineLeak::trace) leads to them.
///
/// These numbers were chosen by hand, with ten recordings in view: in a demonstration and a stress
/// test with a leak that leak is first and nothing else is listed that does not grow, in two real
/// programs of 24 097 and 150 359 traces two traces and one are.
///
/// In a recording that ends while a cache still fills, that cache is a candidate too: no one could
/// tell.
///
/// ```
/// use heapprof::Reader;
///
/// let reader = Reader::open("examples/data/demo")?;
/// let leaks = reader.leaks()?;
/// let traces = reader.traces()?;
///
/// let worst = &leaks.lines()[0];
/// let frame = traces.frame(worst.line).unwrap();
/// assert_eq!(frame.to_string(), "/srv/app/workloads/shop/customers.py:11");
/// assert_eq!((worst.growth.grew, worst.growth.windows), (21, 21));
/// # Ok::<(), heapprof::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct Leaks {
    window: Duration,
    traces: Vec<TraceLeak>,
    lines: Vec<LineLeak>,
    damaged: Damaged,
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
/// assert_eq!(reader.traces()?.frame(worst.line).unwrap().line, 11);
/// assert_eq!(worst.trace, leaks.traces()[0].trace.unwrap()); // who calls it, mostly
/// # Ok::<(), heapprof::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct LineLeak {
    /// The line that allocates.
    pub line: FrameId,
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
#[non_exhaustive]
pub struct Growth {
    /// The bytes by which the floor grew, times the share of windows in which it did.
    pub score: i64,
    /// By how many bytes the floor grew.
    pub bytes: i64,
    /// In how many windows it did,
    pub grew: u32,
    /// of how many.
    pub windows: u32,
    /// From when on that is.
    pub from: Elapsed,
    /// The bytes a second that makes.
    pub bytes_per_second: f64,
    /// All bytes that were allocated in the whole recording,
    pub allocated: u64,
    /// and freed again.
    pub freed: u64,
}

impl Growth {
    /// Which share of what was allocated was freed again, 0 to 1: near 0 for what is only ever
    /// kept, near 1 for a little that is forgotten among much that is not.
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
    /// How long a window is.
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
    /// What may leak: see [`Leaks`]. One pass over the log, and one before it if its
    /// [end](Self::end) is not known yet.
    ///
    /// # Errors
    /// If the log cannot be read.
    pub fn leaks(&self) -> Result<Leaks> {
        self.ask(FindLeaks::new(self.end()?.elapsed(), self.traces()?))
    }
}

/// The [`Question`] that [`Leaks`] answers, for a pass that is shared with others.
///
/// Memory: about 130 bytes a trace and a line, and 16 bytes for each window in which one grew.
///
/// ```
/// use heapprof::{FindLeaks, Live, Reader};
///
/// let reader = Reader::open("examples/data/demo")?;
/// let find = FindLeaks::new(reader.elapsed()?, reader.traces()?).windows(100);
/// let (leaks, end) = reader.ask((find, Live::at_end()))?;
/// assert_eq!((leaks.lines().len(), leaks.lines()[0].growth.windows), (2, 89));
/// assert_eq!(end.total(), 8_334_103);
/// # Ok::<(), heapprof::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct FindLeaks {
    table: TraceTable,
    end: Elapsed,
    windows: u64,
    /// How long each is, in microseconds.
    window: u64,
    /// The number of the window of time, and how many before it had events.
    now: (u64, u32),
    /// When each window that had events began.
    began: Vec<Elapsed>,
    largest: i64,
    traces: HashMap<Option<TraceId>, Floors>,
    lines: HashMap<FrameId, Floors>,
}

/// Into how many windows the recording is cut.
const WINDOWS: u64 = 24;
/// It must have grown by this part of the most that was live.
const PART: i64 = 1000;

impl FindLeaks {
    /// In a log that ends at `end`, with the stacks of this table.
    pub fn new(end: Elapsed, traces: &TraceTable) -> Self {
        Self {
            table: traces.clone(),
            end,
            windows: WINDOWS,
            window: window(end, WINDOWS),
            now: (0, 0),
            began: Vec::new(),
            largest: 0,
            traces: HashMap::new(),
            lines: HashMap::new(),
        }
    }

    /// Into how many windows the recording is cut: by default 24. More tell slow leaks from chance
    /// better, fewer find those that leak now and then only. Less than ten find nothing, and more than
    /// a million are taken as that.
    #[must_use]
    pub fn windows(mut self, windows: u32) -> Self {
        self.windows = windows.clamp(1, 1 << 20).into();
        self.window = window(self.end, self.windows);
        self
    }

    /// The line that allocates the blocks of a trace.
    fn line(&self, trace: Option<TraceId>) -> Option<FrameId> {
        self.table.tree().frame(self.table.node(trace?)?)
    }
}

/// How long a window is: so long that the end is in the last.
fn window(end: Elapsed, windows: u64) -> u64 {
    end.as_micros().saturating_add(1).div_ceil(windows)
}

impl Question for FindLeaks {
    type Answer = Leaks;

    fn take(&mut self, step: &LogStep, _: &LiveHeap) -> ControlFlow<()> {
        let number = (step.event.elapsed.as_micros() / self.window).min(self.windows - 1);
        if number != self.now.0 || self.began.is_empty() {
            self.now = (number, u32::try_from(self.began.len()).unwrap_or(u32::MAX));
            let began = number.saturating_mul(self.window);
            self.began.push(Elapsed::from_micros(began));
        }
        let (_, window) = self.now;
        self.largest = self.largest.max(step.total);
        let trace = step.event.trace;
        let floors = self.traces.entry(trace);
        let floors = floors.or_insert_with(|| Floors::new(window, step.before));
        floors.enter(window, step.bytes);
        if let Some(line) = self.line(trace) {
            let floors = self.lines.entry(line);
            let floors = floors.or_insert_with(|| Floors::new(window, 0));
            floors.enter(window, step.bytes);
        }
        ControlFlow::Continue(())
    }

    fn answer(self, end: &LogEnd<'_>) -> Leaks {
        let recording = Recording {
            last: self.now.1,
            began: &self.began,
            end: self.end,
            least: (self.largest / PART).max(1),
        };
        // Of each line the trace that holds the most.
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
                    line,
                    growth,
                    trace,
                });
            }
        }
        traces.sort_unstable_by_key(|leak| (Reverse(leak.growth.score), leak.trace));
        lines.sort_unstable_by_key(|leak| (Reverse(leak.growth.score), leak.line));
        Leaks {
            window: Duration::from_micros(self.window),
            traces,
            lines,
            damaged: end.damaged | self.table.damaged(),
        }
    }
}

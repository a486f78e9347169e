//! [`Blame`]: which lines of own code are responsible for the memory.

use std::cmp::Reverse;
use std::fmt;

use hashbrown::HashMap;

use crate::error::Taint;
use crate::frame::Frame;
use crate::id::{FrameId, TraceId};
use crate::id_vec::IdVec;
use crate::trace::{Packages, Trace, TraceTable};
use crate::tree::NodeId;
use crate::usage::{Usage, saturated};
use crate::view::lines::Lines;

/// The weight for which each line of own code is responsible: each trace counts for its innermost frame of own code,
/// whatever libraries allocate for it. A trace without own code counts for its innermost package.
///
/// Whose code a frame is, [`Packages`] decide. The rows add up to the total.
///
/// ```
/// use heapprof::view::Blame;
/// use heapprof::{Frame, TraceId, TraceTable, Usage};
///
/// let of_serde = "/root/.cargo/registry/src/index.crates.io-6f17/serde_json-1.0.154/src/map.rs";
/// let (main, handler) = (Frame::new("src/main.rs", 7), Frame::new("src/handlers.rs", 49));
/// let insert = Frame::new(of_serde, 138);
/// let traces = TraceTable::from_iter([vec![main, handler, insert], vec![main]]);
/// let usage = Usage::from_iter([(TraceId::new(1), 300), (TraceId::new(2), 20), (None, 1)]);
///
/// let blame = Blame::new(&traces, &usage);
/// let rows: Vec<_> = blame.rows().map(|row| (row.frame, row.weight)).collect();
/// assert_eq!(rows, [(Some(handler), 300), (Some(main), 20), (None, 1)]);
/// // How the memory was allocated from there.
/// let first = blame.rows().next().unwrap();
/// let path = blame.paths(first).next().unwrap();
/// assert!(path.frames().eq([handler, insert]));
/// ```
///
/// For several usages side by side, or for error bars, use [`table`](Self::table) with another view.
#[derive(Clone)]
pub struct Blame {
    traces: TraceTable,
    usage: Usage,
    lines: Lines,
    /// Each stack up to the responsible frame, and from there on.
    cut: TraceTable,
    ways: TraceTable,
    /// Whether each frame of the table passed the test.
    passes: IdVec<FrameId, bool>,
    is_recognised: bool,
}

/// A line that is responsible, a package that is, or the weight without a stack.
///
/// ```
/// use heapprof::view::Blame;
/// use heapprof::Reader;
///
/// let reader = Reader::open("examples/data/demo")?;
/// let blame = Blame::new(reader.traces()?, &reader.live_at_end()?);
/// let row = blame.rows().next().unwrap();
/// assert_eq!(row.frame.unwrap().to_string(), "/srv/app/workloads/shop/customers.py:11");
/// assert!(row.is_own);
/// assert_eq!(row.weight, 8_149_808);
/// # Ok::<(), heapprof::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct BlameRow<'a> {
    /// The line. For a package its name as the file, and line 0. `None` for the weight without a stack.
    pub frame: Option<Frame<'a>>,
    /// The id of the frame in [`Blame::table`].
    pub id: Option<FrameId>,
    /// Whether it is a line of own code, or one that passed the test.
    #[cfg_attr(feature = "serde", serde(rename = "own"))]
    pub is_own: bool,
    /// The weight of the traces that count for it.
    pub weight: i64,
}

/// A way from a responsible line to an allocation.
///
/// ```
/// use heapprof::view::Blame;
/// use heapprof::Reader;
///
/// let reader = Reader::open("examples/data/demo")?;
/// let blame = Blame::new(reader.traces()?, &reader.live_at_end()?);
/// let row = blame.rows().next().unwrap();
/// let path = blame.paths(row).next().unwrap();
/// assert_eq!((path.frames().len(), path.weight()), (1, row.weight)); // the line allocates itself
/// # Ok::<(), heapprof::Error>(())
/// ```
#[derive(Debug, Clone, Copy)]
pub struct BlamePath<'a> {
    way: Trace<'a>,
    weight: i64,
}

impl<'a> BlamePath<'a> {
    /// The frames, from the responsible line to the one that allocates. The whole stack if it has no own code.
    pub fn frames(self) -> impl DoubleEndedIterator<Item = Frame<'a>> + ExactSizeIterator + Clone {
        self.way.frames()
    }

    /// The weight of the traces with this way.
    pub fn weight(self) -> i64 {
        self.weight
    }
}

impl Blame {
    /// Who is responsible, with the rules of [`Packages::new`]. O(nodes of the call tree).
    pub fn new(traces: &TraceTable, usage: &Usage) -> Self {
        Self::with_packages(traces, usage, &Packages::new())
    }

    /// Who is responsible, with rules of your own.
    pub fn with_packages(traces: &TraceTable, usage: &Usage, packages: &Packages) -> Self {
        let is_recognised = packages.recognize(traces);
        let own = packages.own_frames(traces);
        Self::of(traces, usage, packages, own, is_recognised)
    }

    /// Which frames that pass a test are responsible, such as those of a package or a folder.
    ///
    /// ```
    /// use heapprof::view::{Blame, Packages};
    /// use heapprof::Reader;
    ///
    /// let reader = Reader::open("examples/data/demo")?;
    /// let (traces, usage) = (reader.traces()?, reader.live_at_end()?);
    /// let packages = Packages::new();
    /// let blame = Blame::with_test(traces, &usage, &packages, |frame| frame.file.ends_with("/main.py"));
    /// let row = blame.rows().next().unwrap();
    /// assert_eq!((row.frame.unwrap().line, row.weight), (18, 8_274_148));
    /// # Ok::<(), heapprof::Error>(())
    /// ```
    pub fn with_test<'t>(
        traces: &'t TraceTable,
        usage: &Usage,
        packages: &Packages,
        test: impl FnMut(Frame<'t>) -> bool,
    ) -> Self {
        let frames = traces.frames().map(|(_, frame)| frame);
        Self::of(traces, usage, packages, frames.map(test).collect(), true)
    }

    fn of(
        traces: &TraceTable,
        usage: &Usage,
        packages: &Packages,
        passes: IdVec<FrameId, bool>,
        is_recognised: bool,
    ) -> Self {
        let (cut, ways) = (traces.cut_at(packages, &passes), traces.ways_from(&passes));
        Self {
            ways,
            passes,
            lines: Lines::new(&cut, usage),
            traces: traces.clone(),
            usage: usage.clone(),
            cut,
            is_recognised,
        }
    }

    /// The rows, the largest weight first; equal ones in the order of the table. The weight without a stack is last.
    pub fn rows(&self) -> impl DoubleEndedIterator<Item = BlameRow<'_>> {
        let lines = self.lines.by_local().filter(|line| line.local != 0);
        let rows = lines.map(|line| BlameRow {
            frame: Some(line.frame),
            id: Some(line.id),
            is_own: self.passes.get(line.id),
            weight: line.local,
        });
        let unknown = (self.lines.unknown() != 0).then_some(BlameRow {
            frame: None,
            id: None,
            is_own: false,
            weight: self.lines.unknown(),
        });
        rows.chain(unknown)
    }

    /// The ways from the line of a row to the allocations, those with the most weight of the row's sign first; equal
    /// ones in the order of the traces. O(rows of the usage).
    pub fn paths(&self, row: BlameRow<'_>) -> impl ExactSizeIterator<Item = BlamePath<'_>> {
        let mut weights: HashMap<NodeId, (i128, Option<TraceId>)> = HashMap::new();
        for (trace, weight) in self.usage.by_trace() {
            if self.responsible(trace) == row.id {
                let way = weights.entry(self.ways.node_of(trace));
                way.or_insert((0, trace)).0 += i128::from(weight);
            }
        }
        let ways = weights.into_values().filter(|&(weight, _)| weight != 0);
        let mut ways: Vec<_> = ways.map(|(sum, first)| (saturated(sum), first)).collect();
        ways.sort_unstable_by_key(|&(weight, first)| {
            let size = if row.weight < 0 {
                weight.saturating_neg()
            } else {
                weight
            };
            (Reverse(size), first)
        });
        // What has no stack has no way.
        let ways: Vec<_> = ways
            .into_iter()
            .filter_map(|(weight, trace)| {
                let way = self.ways.trace(trace)?;
                (way.frames().len() > 0).then_some(BlamePath { way, weight })
            })
            .collect();
        ways.into_iter()
    }

    /// The frame that is responsible for a trace.
    fn responsible(&self, trace: Option<TraceId>) -> Option<FrameId> {
        self.cut.tree().frame(self.cut.node_of(trace))
    }

    /// The table in which each stack ends at its responsible line, for other views: see
    /// [`TraceTable::cut_to_own`].
    pub fn table(&self) -> &TraceTable {
        &self.cut
    }

    /// The weight of all rows.
    pub fn total(&self) -> i64 {
        self.lines.total()
    }

    /// Whether any code was recognised as foreign. If not, every line counts as own code, and the rows are those of
    /// the allocating lines.
    pub fn is_recognised(&self) -> bool {
        self.is_recognised
    }

    /// Whether it is derived from [damaged](Usage::is_damaged) input.
    pub fn is_damaged(&self) -> bool {
        self.damaged().0
    }

    fn damaged(&self) -> Taint {
        self.traces.damaged() | self.usage.damaged()
    }
}

impl fmt::Debug for Blame {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Blame")
            .field("total", &self.total())
            .field("rows", &self.rows().count())
            .finish_non_exhaustive()
    }
}

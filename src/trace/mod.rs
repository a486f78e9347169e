//! [`TraceTable`]: which stack a trace id stands for.

mod merge;
mod package;
mod read;
mod regroup;

use std::fmt;
use std::iter::FusedIterator;
use std::sync::{Arc, OnceLock};

use smallvec::SmallVec;

use crate::error::{Damaged, DecodeError};
use crate::frame::Frame;
use crate::id::{FrameId, TraceId};
use crate::intern::{Frames, Full, Interner};
use crate::tree::{CallTree, ROOT, TreeBuilder};

pub use merge::MergedTraces;
pub use package::Package;

/// The stacks of a recording: for each trace its frames, outermost first.
///
/// Each distinct line of code is kept once and has a dense [`FrameId`], and each beginning that
/// stacks share is kept once. So a view walks over numbers, a few for each stack, and looks a name up
/// where it shows it. Memory: 4 bytes a trace, 12 bytes a node of the call tree (in real programs
/// one for 20 frames), each distinct file name once. A clone shares it.
///
/// ```
/// use heapprof::{Reader, TraceId};
///
/// let reader = Reader::open("examples/data/demo")?;
/// let traces = reader.traces()?;
/// let trace = traces.trace(TraceId::new(20).unwrap()).unwrap();
/// let lines: Vec<String> = trace.frames().map(|frame| frame.to_string()).collect();
/// assert_eq!(lines.last().unwrap(), "/srv/app/workloads/shop/orders.py:9");
/// # Ok::<(), heapprof::Error>(())
/// ```
#[doc(alias("hpm", "rawTrace", "HPM"))]
#[derive(Clone)]
pub struct TraceTable(Arc<Table>);

#[derive(Default)]
struct Table {
    frames: Frames,
    tree: CallTree,
    /// The node of each trace.
    leaves: Box<[u32]>,
    damage: Vec<DecodeError>,
    /// What it was merged from is damaged.
    damaged: Damaged,
    /// The frames by file and line, for who looks for one.
    sorted: OnceLock<Box<[FrameId]>>,
    /// The nodes at which a line recurs, for who counts it once.
    recurring: OnceLock<Box<[bool]>>,
}

impl TraceTable {
    fn new(table: Table) -> Self {
        Self(Arc::new(table))
    }

    /// How many traces there are: their ids are 1 to this.
    pub fn len(&self) -> usize {
        self.0.leaves.len()
    }

    /// Whether there is no trace.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The node of a trace in the call tree.
    #[inline]
    pub(crate) fn node(&self, id: TraceId) -> Option<u32> {
        self.0.leaves.get(id.get() as usize - 1).copied()
    }

    pub(crate) fn tree(&self) -> &CallTree {
        &self.0.tree
    }

    /// For each node of the call tree whether its line stands in its stack before.
    pub(crate) fn recurring(&self) -> &[bool] {
        self.0
            .recurring
            .get_or_init(|| self.0.tree.recurring(self.frame_count()))
    }

    /// The stack of a trace; `None` if the table does not have it.
    ///
    /// In a log that outlived its `.hpm` file an event can name such a trace. In views it counts as
    /// unknown.
    pub fn trace(&self, id: impl Into<Option<TraceId>>) -> Option<Trace<'_>> {
        let node = self.node(id.into()?)?;
        Some(Trace { table: self, node })
    }

    /// All traces with their ids, in the order of these.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (TraceId, Trace<'_>)> + FusedIterator {
        self.0.leaves.iter().enumerate().map(|(place, &node)| {
            let id = u32::try_from(place + 1).ok().and_then(TraceId::new);
            (id.unwrap_or(TraceId::MAX), Trace { table: self, node })
        })
    }

    /// How many distinct lines of code there are.
    pub fn frame_count(&self) -> usize {
        self.0.frames.len()
    }

    /// The line with this id; `None` if the id is of another, larger table.
    #[inline]
    pub fn frame(&self, id: FrameId) -> Option<Frame<'_>> {
        self.0.frames.get(id)
    }

    /// All distinct lines of code, in the order of their ids.
    pub fn frames(&self) -> impl ExactSizeIterator<Item = (FrameId, Frame<'_>)> + FusedIterator {
        (0..self.frame_count()).map(|number| {
            let id = FrameId(u32::try_from(number).unwrap_or(u32::MAX));
            (id, self.frame(id).unwrap_or(Frame::new("", 0)))
        })
    }

    /// The id of a line, if any stack contains it. For a line as people type it there is
    /// [`search`](Self::search).
    ///
    /// O(log frames); the first call sorts them.
    ///
    /// ```
    /// use heapprof::{Frame, Reader};
    ///
    /// let reader = Reader::open("examples/data/demo")?;
    /// let traces = reader.traces()?;
    /// let id = traces.find(Frame::parse("/srv/app/workloads/shop/customers.py:11")?).unwrap();
    /// assert_eq!(traces.frame(id).unwrap().line, 11);
    /// assert_eq!(traces.find(Frame::new("customers.py", 11)), None); // the name is a part of it
    /// # Ok::<(), heapprof::Error>(())
    /// ```
    pub fn find<'f>(&self, frame: impl Into<Frame<'f>>) -> Option<FrameId> {
        let frame = frame.into();
        let sorted = self.sorted();
        let place = sorted.partition_point(|&id| self.frame(id) < Some(frame));
        let &id = sorted.get(place)?;
        (self.frame(id) == Some(frame)).then_some(id)
    }

    /// The ids of the lines that a text means, as people type or paste it, in the order of their
    /// names: the very line, or else all whose path ends so. `main.py:12` means
    /// `/srv/app/main.py:12`, but not `/srv/app/domain.py:12`.
    ///
    /// What [`Frame::parse`] reads is understood, and so are `./main.py:12`, and what stands after a
    /// second colon, as a column or the text of the line. Nothing is found for a text that is no
    /// line. O(frames).
    ///
    /// ```
    /// use heapprof::Reader;
    ///
    /// let reader = Reader::open("examples/data/demo")?;
    /// let traces = reader.traces()?;
    /// let [line] = traces.search("customers.py:11")[..] else { panic!("none, or many") };
    /// assert_eq!(traces.frame(line).unwrap().file, "/srv/app/workloads/shop/customers.py");
    /// assert_eq!(traces.search("shop/customers.py:11:5"), [line]);
    /// # Ok::<(), heapprof::Error>(())
    /// ```
    pub fn search(&self, text: &str) -> Vec<FrameId> {
        let shorter = || {
            // FILE:LINE:COLUMN, and what `grep -n` prints.
            let digits = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
            let mut colons = text.match_indices(':').map(|(at, _)| at).skip(1);
            colons.find_map(|end| {
                let head = text.get(..end)?;
                digits(head.rsplit_once(':')?.1).then_some(head)
            })
        };
        [Some(text), shorter()]
            .into_iter()
            .flatten()
            .filter_map(|text| Frame::parse(text).ok())
            .map(|frame| match self.find(frame) {
                Some(exact) => vec![exact],
                None => self.ending_in(frame),
            })
            .find(|found| !found.is_empty())
            .unwrap_or_default()
    }

    fn ending_in(&self, mut frame: Frame<'_>) -> Vec<FrameId> {
        for here in ["./", ".\\", "/"] {
            frame.file = frame.file.strip_prefix(here).unwrap_or(frame.file);
        }
        if frame.file.is_empty() {
            return Vec::new();
        }
        let ends_so = |candidate: Frame<'_>| {
            candidate.line == frame.line
                && candidate
                    .file
                    .strip_suffix(frame.file)
                    .is_some_and(|rest| rest.is_empty() || rest.ends_with(['/', '\\']))
        };
        self.sorted()
            .iter()
            .copied()
            .filter(|&id| self.frame(id).is_some_and(ends_so))
            .collect()
    }

    fn sorted(&self) -> &[FrameId] {
        self.0.sorted.get_or_init(|| {
            let mut sorted: Box<[FrameId]> = self.frames().map(|(id, _)| id).collect();
            sorted.sort_unstable_by_key(|&id| self.frame(id));
            sorted
        })
    }

    /// What is wrong with the `.hpm` file: where the traces end early, names that are not UTF-8,
    /// and a start time that no clock shows. Empty for a whole file.
    pub fn damage(&self) -> &[DecodeError] {
        &self.0.damage
    }

    /// Whether it is derived from a damaged `.hpm` file; then what is made of it is
    /// [damaged](crate::Usage::is_damaged) too. That the file just ends is no damage.
    pub fn is_damaged(&self) -> bool {
        self.damaged().0
    }

    pub(crate) fn damaged(&self) -> Damaged {
        self.0.damaged | Damaged::of(&self.0.damage)
    }
}

/// The table of these stacks, each outermost first: traces 1, 2, 3, … For stacks that are not from a
/// file. What is over 2³⁰ − 1 traces is left out.
///
/// ```
/// use heapprof::{Frame, Lines, TraceId, TraceTable, Usage};
///
/// let traces = TraceTable::from_iter([
///     vec![Frame::new("main.py", 1), Frame::new("work.py", 20)],
///     vec![Frame::new("main.py", 1)],
/// ]);
/// let usage = Usage::from_iter([(TraceId::new(1), 100), (TraceId::new(2), 5)]);
/// let lines = Lines::new(&traces, &usage);
/// assert_eq!(lines.get(traces.find(("main.py", 1)).unwrap()).unwrap().cumulative, 105);
/// ```
impl<'f, S: IntoIterator<Item = Frame<'f>>> FromIterator<S> for TraceTable {
    fn from_iter<I: IntoIterator<Item = S>>(stacks: I) -> Self {
        let mut interner = Interner::default();
        let mut tree = TreeBuilder::new();
        let mut leaves = Vec::new();
        for stack in stacks.into_iter().take(TraceId::MAX.get() as usize) {
            let leaf = stack.into_iter().try_fold(ROOT, |node, frame| {
                let (id, _) = interner.frame(frame)?;
                tree.child(node, id)
            });
            match leaf {
                Ok(leaf) => leaves.push(leaf),
                Err(Full) => break,
            }
        }
        let tree = tree.finish(&mut leaves);
        Self::new(Table {
            frames: interner.into_frames(),
            tree,
            leaves: leaves.into_boxed_slice(),
            ..Table::default()
        })
    }
}

/// No traces.
impl Default for TraceTable {
    fn default() -> Self {
        Self::new(Table::default())
    }
}

impl fmt::Debug for TraceTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TraceTable")
            .field("traces", &self.len())
            .field("frames", &self.frame_count())
            .field("damage", &self.0.damage)
            .finish_non_exhaustive()
    }
}

/// One stack of a [`TraceTable`].
///
/// ```
/// use heapprof::{Frame, TraceId, TraceTable};
///
/// let stack = [Frame::new("main.py", 1), Frame::new("work.py", 20)];
/// let traces = TraceTable::from_iter([stack]);
/// let trace = traces.trace(TraceId::new(1)).unwrap();
/// assert!(trace.frames().eq(stack));
/// assert_eq!((trace.len(), trace.innermost()), (2, Some(Frame::new("work.py", 20))));
/// assert_eq!(format!("{trace:?}"), r#"["main.py:1", "work.py:20"]"#);
/// ```
#[doc(alias("RawTrace", "stack"))]
#[derive(Clone, Copy)]
pub struct Trace<'t> {
    table: &'t TraceTable,
    node: u32,
}

impl<'t> Trace<'t> {
    /// The ids of the frames, outermost first: the program's entry, …, the allocating line.
    pub fn ids(
        self,
    ) -> impl DoubleEndedIterator<Item = FrameId> + ExactSizeIterator + FusedIterator + Clone + use<>
    {
        // The tree leads from the allocating line outward.
        let mut stack: SmallVec<[FrameId; 32]> = self.table.tree().inward_out(self.node).collect();
        stack.reverse();
        stack.into_iter()
    }

    /// The frames, outermost first: the program's entry, …, the allocating line.
    pub fn frames(
        self,
    ) -> impl DoubleEndedIterator<Item = Frame<'t>> + ExactSizeIterator + FusedIterator + Clone
    {
        let unknown = Frame::new("", 0);
        self.ids()
            .map(move |id| self.table.frame(id).unwrap_or(unknown))
    }

    /// The line that allocates; `None` if the trace has no frames.
    pub fn innermost(self) -> Option<Frame<'t>> {
        self.table.frame(self.table.tree().frame(self.node)?)
    }

    /// How many frames there are; one that recurs counts as often.
    pub fn len(self) -> usize {
        self.table.tree().depth(self.node)
    }

    /// Whether the trace has no frames: all of them were the recorder's to skip.
    pub fn is_empty(self) -> bool {
        self.node == ROOT
    }
}

impl fmt::Debug for Trace<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list()
            .entries(self.frames().map(|frame| frame.to_string()))
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::DecodeErrorKind as Kind;
    use crate::raw::{TraceLog, TraceWriter};
    use crate::{SamplingRates, StartTime};

    fn table(traces: &[&[(&[u8], u32)]]) -> TraceTable {
        let start = StartTime::new(1, 0);
        let mut writer = TraceWriter::new(Vec::new(), start, &SamplingRates::unsampled()).unwrap();
        for trace in traces {
            writer.write_outermost_first(trace.iter().copied()).unwrap();
        }
        let bytes = writer.into_inner();
        TraceTable::from_log(&TraceLog::new(&bytes).unwrap())
    }

    fn id(index: u32) -> TraceId {
        TraceId::new(index).unwrap()
    }

    #[test]
    fn stacks_share_their_frames() {
        let table = table(&[
            &[(b"main", 1), (b"work", 2)],
            &[],
            &[(b"main", 1), (b"main", 1), (b"work", 3)],
        ]);
        assert_eq!((table.len(), table.frame_count()), (3, 3));
        let shown: Vec<_> = table
            .iter()
            .map(|(id, trace)| format!("{id} {trace:?}"))
            .collect();
        assert_eq!(
            shown,
            [
                r#"1 ["main:1", "work:2"]"#,
                "2 []",
                r#"3 ["main:1", "main:1", "work:3"]"#
            ]
        );
        let first = table.trace(id(1)).unwrap();
        let third = table.trace(id(3)).unwrap();
        assert_eq!(first.ids().next(), third.ids().nth(1));
        assert_eq!((first.len(), third.len()), (2, 3));
        assert_eq!(first.innermost(), Some(Frame::new("work", 2)));
        assert!(table.trace(id(2)).unwrap().is_empty());
        assert!(table.trace(id(4)).is_none());
        assert!(table.trace(TraceId::MAX).is_none());
        assert!(table.damage().is_empty());
    }

    #[test]
    fn two_spellings_of_one_line_are_one_frame() {
        // Neither byte is UTF-8, so both are read as U+FFFD.
        let table = table(&[
            &[(b"ok", 1)],
            &[(b"\xff", 1), (b"\xfe", 1)],
            &[(b"\xff", 2)],
        ]);
        assert_eq!(table.frame_count(), 3);
        let stack: Vec<_> = table.trace(id(2)).unwrap().ids().collect();
        assert_eq!(stack[0], stack[1]);
        assert_eq!(table.frame(stack[0]), Some(Frame::new("\u{fffd}", 1)));
        let damage: Vec<_> = table
            .damage()
            .iter()
            .map(|d| (d.offset(), d.kind()))
            .collect();
        assert_eq!(damage, [(21 + 5, Kind::NotUtf8)]);
    }

    #[test]
    fn frames_are_found_as_people_type_them() {
        let table = table(&[&[
            (b"/srv/domain.py", 7),
            (b"/srv/main.py", 7),
            (b"C:\\main.py", 7),
            (b"main.py", 7),
            (b"/srv/main.py", 8),
        ]]);
        let found = table.find(Frame::new("/srv/main.py", 7)).unwrap();
        assert_eq!(table.frame(found), Some(Frame::new("/srv/main.py", 7)));
        assert_eq!(table.find(Frame::new("/srv/main.py", 9)), None);
        assert_eq!(table.find(Frame::new("zzz", 9)), None);
        let search = |text| -> Vec<&str> {
            let found = table.search(text).into_iter();
            found.filter_map(|id| Some(table.frame(id)?.file)).collect()
        };
        assert_eq!(search("main.py:7"), ["main.py"]);
        let three = ["/srv/main.py", "C:\\main.py", "main.py"];
        assert_eq!(search("./main.py:7"), three);
        assert_eq!(search("/main.py:7"), three);
        assert_eq!(search("srv/main.py:7"), ["/srv/main.py"]);
        assert_eq!(search("C:\\main.py:7:22"), ["C:\\main.py"]);
        assert_eq!(search("/srv/main.py:8:    x = a[1:2]"), ["/srv/main.py"]);
        for nothing in [
            "",
            ":",
            ":7",
            "/:7",
            "main.py",
            "ain.py:7",
            "main.py:9",
            "a:b:c",
        ] {
            assert_eq!(search(nothing), <[&str; 0]>::default(), "{nothing}");
        }
    }
}

//! [`TraceTable`]: the stack of each trace id.

mod merge;
mod package;
mod packages;
mod read;
mod regroup;
mod search;

use std::fmt;
use std::iter::FusedIterator;
use std::sync::{Arc, OnceLock};

use smallvec::SmallVec;

use crate::error::{DecodeError, Taint};
use crate::frame::Frame;
use crate::id::{FrameId, Id, TraceId};
use crate::id_set::Full;
use crate::id_vec::IdVec;
use crate::intern::{Frames, Interner};
use crate::tree::{CallTree, NodeId, ROOT, TreeBuilder};

pub use merge::MergedTraces;
pub use package::Package;
pub use packages::Packages;
use read::ReadFile;

/// The stacks of a recording: for each trace its frames, outermost first.
///
/// Each distinct line of code is stored once and has a dense [`FrameId`]. Stacks that begin with the same frames
/// share them. So a view walks over a few ids for each stack and looks up names only to show them. Memory: 4
/// bytes a trace, 12 bytes a node of the call tree (real programs have one for 20 frames; 16 bytes if read from version
/// 2), and each distinct name of a file or a function once. A clone shares the memory.
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
    leaves: Box<[NodeId]>,
    damage: Vec<DecodeError>,
    /// Whether a table that this one was made of is damaged.
    damaged: Taint,
    /// The file that the table was read from.
    file: Option<ReadFile>,
    /// The frames in the order of file and line. The first search sorts them.
    sorted: OnceLock<Box<[FrameId]>>,
    /// Made by the first view that counts a recurring line once.
    recurring: OnceLock<IdVec<NodeId, bool>>,
}

impl Table {
    fn new(frames: Frames, tree: TreeBuilder, mut leaves: Vec<NodeId>) -> Self {
        let (tree, new_ids) = tree.finish();
        for leaf in &mut leaves {
            *leaf = new_ids.get(*leaf);
        }
        Self {
            frames,
            tree,
            leaves: leaves.into_boxed_slice(),
            ..Self::default()
        }
    }
}

impl TraceTable {
    fn new(table: Table) -> Self {
        Self(Arc::new(table))
    }

    /// The number of traces. Their ids are 1 to this number.
    pub fn len(&self) -> usize {
        self.0.leaves.len()
    }

    /// Whether there is no trace.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The node of a trace in the call tree.
    #[inline]
    pub(crate) fn node(&self, id: TraceId) -> Option<NodeId> {
        self.0.leaves.get(id.get() as usize - 1).copied()
    }

    /// The node of a trace; the root for a trace without frames, an unknown one, and one that is not in the table.
    #[inline]
    pub(crate) fn node_of(&self, trace: Option<TraceId>) -> NodeId {
        trace.and_then(|trace| self.node(trace)).unwrap_or(ROOT)
    }

    pub(crate) fn tree(&self) -> &CallTree {
        &self.0.tree
    }

    /// For each node of the call tree whether its line also occurs earlier in its stack.
    pub(crate) fn recurring(&self) -> &IdVec<NodeId, bool> {
        self.0
            .recurring
            .get_or_init(|| self.0.tree.recurring(self.frame_count()))
    }

    /// The stack of a trace; `None` if the table does not have it.
    ///
    /// An event can name a trace that the recorder did not write before it was killed. Views count such a trace
    /// as unknown.
    pub fn trace(&self, id: impl Into<Option<TraceId>>) -> Option<Trace<'_>> {
        let node = self.node(id.into()?)?;
        Some(Trace { table: self, node })
    }

    /// All traces, in the order of their ids.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (TraceId, Trace<'_>)> + FusedIterator {
        self.0.leaves.iter().enumerate().map(|(index, &node)| {
            let id = u32::try_from(index + 1).ok().and_then(TraceId::new);
            (id.unwrap_or(TraceId::MAX), Trace { table: self, node })
        })
    }

    /// The number of distinct lines of code.
    pub fn frame_count(&self) -> usize {
        self.0.frames.len()
    }

    /// The line with this id; `None` if the id belongs to another, larger table.
    #[inline]
    pub fn frame(&self, id: FrameId) -> Option<Frame<'_>> {
        self.0.frames.get(id)
    }

    fn frame_or_empty(&self, id: FrameId) -> Frame<'_> {
        self.frame(id).unwrap_or(Frame::new("", 0))
    }

    /// All distinct lines of code, in the order of their ids.
    pub fn frames(&self) -> impl ExactSizeIterator<Item = (FrameId, Frame<'_>)> + FusedIterator {
        let ids = (0..self.frame_count()).map(<FrameId as Id>::from_index);
        ids.map(|id| (id, self.frame_or_empty(id)))
    }

    /// The damage of the `.hpm` file: where the traces end early, names that are not UTF-8, and a start time with
    /// a second or more of nanoseconds. Empty for a whole file.
    pub fn damage(&self) -> &[DecodeError] {
        &self.0.damage
    }

    /// Whether the table is derived from a damaged `.hpm` file. Results derived from it are
    /// [damaged](crate::Usage::is_damaged) too. A file that ends inside a trace is not damaged.
    pub fn is_damaged(&self) -> bool {
        self.damaged().0
    }

    pub(crate) fn damaged(&self) -> Taint {
        self.0.damaged | Taint::of(&self.0.damage)
    }
}

/// A table of stacks that are not from a file, each outermost first. They become traces 1, 2, 3, … Stacks after
/// the first 2³⁰ − 1 are ignored.
///
/// ```
/// use heapprof::view::Lines;
/// use heapprof::{Frame, TraceId, TraceTable, Usage};
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
                tree.child(node, interner.insert(frame)?)
            });
            match leaf {
                Ok(leaf) => leaves.push(leaf),
                Err(Full) => break,
            }
        }
        Self::new(Table::new(interner.into_frames(), tree, leaves))
    }
}

/// A table without traces.
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
    node: NodeId,
}

impl<'t> Trace<'t> {
    /// The ids of the frames, outermost first: the program's entry, …, the allocating line.
    pub fn ids(
        self,
    ) -> impl DoubleEndedIterator<Item = FrameId> + ExactSizeIterator + FusedIterator + Clone + use<>
    {
        let mut stack: SmallVec<[FrameId; 32]> = self.table.tree().inward_out(self.node).collect();
        stack.reverse();
        stack.into_iter()
    }

    /// The frames, outermost first: the program's entry, …, the allocating line.
    pub fn frames(
        self,
    ) -> impl DoubleEndedIterator<Item = Frame<'t>> + ExactSizeIterator + FusedIterator + Clone
    {
        self.ids().map(move |id| self.table.frame_or_empty(id))
    }

    /// The allocating line; `None` if the trace has no frames.
    pub fn innermost(self) -> Option<Frame<'t>> {
        self.table.frame(self.table.tree().frame(self.node)?)
    }

    /// The number of frames. A frame that recurs counts each time.
    pub fn len(self) -> usize {
        self.table.tree().depth(self.node)
    }

    /// Whether the trace has no frames: the recorder skipped all of them.
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
    use crate::raw::{TraceLog, TraceWriterV1};
    use crate::{SamplingRates, StartTime};

    fn table(traces: &[&[(&[u8], u32)]]) -> TraceTable {
        let start = StartTime::new(1, 0);
        let mut writer =
            TraceWriterV1::new(Vec::new(), start, &SamplingRates::unsampled()).unwrap();
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
    fn stacks_share_frames() {
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
    fn names_with_equal_replaced_bytes_are_one_frame() {
        // Neither byte is UTF-8, so U+FFFD replaces both.
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
}

//! [`TraceTable`]: which stack a trace id stands for.

use std::fmt;
use std::iter::FusedIterator;
use std::sync::{Arc, OnceLock};

use crate::error::{DecodeError, DecodeErrorKind as Kind, FileKind};
use crate::frame::Frame;
use crate::id::{FrameId, TraceId};
use crate::intern::{Frames, RecordInterner};
use crate::raw::TraceLog;

/// The stacks of a recording: for each trace its frames, outermost first.
///
/// Each distinct line of code is kept once and has a dense [`FrameId`]; a stack is a slice of
/// these. So a view of a thousand stacks walks over numbers, and looks a name up where it shows it.
/// Memory: 4 bytes a frame, 8 bytes a trace, each distinct file name once. A clone shares it.
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

struct Table {
    frames: Frames,
    /// All stacks one after the other, each outermost first.
    stacks: Box<[FrameId]>,
    /// Where the stack of each trace ends.
    ends: Box<[u64]>,
    damage: Vec<DecodeError>,
    /// The frames by file and line, for who looks for one.
    sorted: OnceLock<Box<[FrameId]>>,
}

impl TraceTable {
    /// Reads all traces of a `.hpm` file.
    ///
    /// A cut or damaged file keeps every whole trace before the damage, and [says
    /// so](Self::damage).
    pub fn from_log(log: &TraceLog<'_>) -> Self {
        let mut interner = RecordInterner::new();
        let mut stacks = Vec::new();
        let mut ends = Vec::new();
        let mut damage: Vec<DecodeError> = log.header_damage().into_iter().collect();
        let mut not_utf8 = None;
        for trace in log.traces() {
            let trace = match trace {
                Ok(trace) => trace,
                Err(error) => {
                    damage.push(error);
                    break;
                }
            };
            let start = stacks.len();
            let whole = trace.innermost_first().try_for_each(|frame| {
                let (id, odd) = interner.frame(frame)?;
                if odd && not_utf8.is_none() {
                    not_utf8 = Some(trace.offset());
                }
                stacks.push(id);
                Ok::<_, crate::intern::Full>(())
            });
            if whole.is_err() {
                stacks.truncate(start);
                let kind = Kind::TooManyFrames;
                damage.push(DecodeError::new(FileKind::Hpm, trace.offset(), kind));
                break;
            }
            if let Some(stack) = stacks.get_mut(start..) {
                stack.reverse();
            }
            ends.push(stacks.len() as u64);
        }
        damage.extend(not_utf8.map(|at| DecodeError::new(FileKind::Hpm, at, Kind::NotUtf8)));
        Self(Arc::new(Table {
            frames: interner.into_frames(),
            stacks: stacks.into_boxed_slice(),
            ends: ends.into_boxed_slice(),
            damage,
            sorted: OnceLock::new(),
        }))
    }

    /// How many traces there are: their ids are 1 to this.
    pub fn len(&self) -> usize {
        self.0.ends.len()
    }

    /// Whether there is no trace.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The frames of a trace, outermost first; `None` if the table does not have it.
    ///
    /// In a log that outlived its `.hpm` file an event can name such a trace. In views it counts as
    /// unknown.
    #[inline]
    pub fn stack(&self, id: TraceId) -> Option<&[FrameId]> {
        let place = id.get() as usize - 1;
        let end = usize::try_from(*self.0.ends.get(place)?).ok()?;
        let start = match place.checked_sub(1) {
            Some(before) => usize::try_from(*self.0.ends.get(before)?).ok()?,
            None => 0,
        };
        self.0.stacks.get(start..end)
    }

    /// The trace with this id, its frames ready to be shown.
    pub fn trace(&self, id: TraceId) -> Option<Trace<'_>> {
        let stack = self.stack(id)?;
        Some(Trace { table: self, stack })
    }

    /// All traces with their ids, in the order of these.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (TraceId, Trace<'_>)> + FusedIterator {
        (0..self.len()).map(|place| {
            let id = u32::try_from(place + 1).ok().and_then(TraceId::new);
            let id = id.unwrap_or(TraceId::MAX);
            let stack = self.stack(id).unwrap_or_default();
            (id, Trace { table: self, stack })
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

    /// The id of a line, if any stack contains it.
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
    pub fn find(&self, frame: Frame<'_>) -> Option<FrameId> {
        let sorted = self.sorted();
        let place = sorted.partition_point(|&id| self.frame(id) < Some(frame));
        let &id = sorted.get(place)?;
        (self.frame(id) == Some(frame)).then_some(id)
    }

    /// The ids of the lines whose path ends in this one, as people type it: `main.py:12` finds
    /// `/srv/app/main.py:12`, but not `/srv/app/domain.py:12`. In the order of their names.
    ///
    /// O(frames).
    ///
    /// ```
    /// use heapprof::{Frame, Reader};
    ///
    /// let reader = Reader::open("examples/data/demo")?;
    /// let found = reader.traces()?.find_ending(Frame::parse("customers.py:11")?);
    /// assert_eq!(found.len(), 1);
    /// # Ok::<(), heapprof::Error>(())
    /// ```
    pub fn find_ending(&self, frame: Frame<'_>) -> Vec<FrameId> {
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
#[derive(Clone, Copy)]
pub struct Trace<'t> {
    table: &'t TraceTable,
    stack: &'t [FrameId],
}

impl<'t> Trace<'t> {
    /// The ids of the frames, outermost first.
    pub const fn ids(self) -> &'t [FrameId] {
        self.stack
    }

    /// The frames, outermost first: the program's entry, …, the allocating line.
    pub fn frames(
        self,
    ) -> impl DoubleEndedIterator<Item = Frame<'t>> + ExactSizeIterator + FusedIterator + Clone
    {
        let unknown = Frame::new("", 0);
        self.stack
            .iter()
            .map(move |&id| self.table.frame(id).unwrap_or(unknown))
    }

    /// The line that allocates; `None` if the trace has no frames.
    pub fn innermost(self) -> Option<Frame<'t>> {
        self.table.frame(*self.stack.last()?)
    }

    /// How many frames there are; one that recurs counts as often.
    pub const fn len(self) -> usize {
        self.stack.len()
    }

    /// Whether the trace has no frames: all of them were the recorder's to skip.
    pub const fn is_empty(self) -> bool {
        self.stack.is_empty()
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
    use crate::raw::TraceWriter;
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
        assert_eq!(first.ids()[0], table.stack(id(3)).unwrap()[1]);
        assert_eq!(first.innermost(), Some(Frame::new("work", 2)));
        assert!(table.trace(id(2)).unwrap().is_empty());
        assert_eq!(table.stack(id(4)), None);
        assert_eq!(table.stack(TraceId::MAX), None);
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
        let stack = table.stack(id(2)).unwrap();
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
    fn frames_are_found_whole_or_by_the_end_of_their_path() {
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
        let names: Vec<_> = table
            .find_ending(Frame::new("main.py", 7))
            .into_iter()
            .filter_map(|id| table.frame(id))
            .map(|frame| frame.file)
            .collect();
        assert_eq!(names, ["/srv/main.py", "C:\\main.py", "main.py"]);
    }
}

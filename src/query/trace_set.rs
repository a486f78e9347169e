//! [`TraceSet`]: a set of traces, for queries about a line or another part of the program.

use std::fmt;
use std::sync::Arc;

use crate::bit_set::BitSet;
use crate::id::{FrameId, TraceId};
use crate::id_vec::IdVec;
use crate::trace::{Trace, TraceTable};
use crate::usage::Usage;

/// The subject of a time series, or a part of a [`TraceSet`].
///
/// A [`FrameId`] is of one table: use it with the table that it was found in.
///
/// ```
/// use heapprof::query::Track;
/// use heapprof::Reader;
///
/// let reader = Reader::open("examples/data/demo")?;
/// let line = reader.traces()?.search("customers.py:7")[0];
/// let series = reader.time_series([Track::Local(line), Track::Cumulative(line), Track::Unknown])?;
/// let last: Vec<_> = series.iter().map(|(_, series)| series.last().unwrap()).collect();
/// assert_eq!(last, [37_328, 8_187_136, 0]);
/// # Ok::<(), heapprof::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Track {
    /// One trace.
    Trace(TraceId),
    /// The local usage of a line: all traces that end at it.
    Local(FrameId),
    /// The cumulative usage of a line: all traces that contain it.
    Cumulative(FrameId),
    /// All that has no stack: unknown traces, those that the table does not have, and those without frames.
    Unknown,
}

/// A set of traces: those of a line, those that pass a test, or any.
///
/// Memory: a bit for each trace of the table, or 4 bytes for each trace of a list. Clones share it.
///
/// ```
/// use heapprof::query::{TraceSet, Track};
/// use heapprof::Reader;
///
/// let reader = Reader::open("examples/data/demo")?;
/// let traces = reader.traces()?;
/// let line = traces.find(("/srv/app/workloads/shop/customers.py", 11)).unwrap();
/// let leak = TraceSet::of(traces, [Track::Cumulative(line)]);
/// assert_eq!(leak.filter(&reader.live_at_end()?).total(), 8_149_808);
///
/// // What no stack of the shop is part of.
/// let other = TraceSet::from_fn(traces, |_, trace| {
///     trace.is_none_or(|trace| !trace.frames().any(|frame| frame.file.contains("/shop/")))
/// });
/// assert_eq!(other.filter(&reader.live_at_end()?).total(), 880);
/// # Ok::<(), heapprof::Error>(())
/// ```
#[derive(Clone)]
pub struct TraceSet(Arc<Members>);

struct Members {
    /// By trace index; 0 is unknown.
    bits: BitSet,
    /// Whether the set has the traces beyond the bits.
    others: bool,
    /// The exceptions from that, ascending. Their indices come from the caller or a file, up to 2³⁰, and must
    /// not size anything.
    except: Box<[u32]>,
}

impl TraceSet {
    /// The traces that any of these tracks follows. O(nodes of the call tree).
    pub fn of(traces: &TraceTable, tracks: impl AsRef<[Track]>) -> Self {
        let mut local = IdVec::<FrameId, bool>::defaults(traces.frame_count());
        let mut cumulative = local.clone();
        let (mut unknown, mut single) = (false, Vec::new());
        for &track in tracks.as_ref() {
            // A line of another table is in no stack of this one.
            match track {
                Track::Local(line) => local.set(line, true),
                Track::Cumulative(line) => cumulative.set(line, true),
                Track::Trace(trace) => single.push(trace.get()),
                Track::Unknown => unknown = true,
            }
        }
        let contain = traces
            .tree()
            .map_nodes(false, |parent, line| parent || cumulative.get(line));
        let has = |trace: TraceId| {
            let node = traces.node_of(Some(trace));
            let last = traces.tree().frame(node);
            contain.get(node) || last.map_or(unknown, |line| local.get(line))
        };
        let mut members = Members::new(traces, unknown, has);
        members.add(single);
        Self(Arc::new(members))
    }

    /// The traces that pass the test. Calls it once for each trace of the table, and once, with `None` and
    /// `None`, for unknown and all traces that the table does not have.
    pub fn from_fn(
        traces: &TraceTable,
        mut test: impl FnMut(Option<TraceId>, Option<Trace<'_>>) -> bool,
    ) -> Self {
        let unknown = test(None, None);
        let has = |trace| test(Some(trace), traces.trace(trace));
        Self(Arc::new(Members::new(traces, unknown, has)))
    }

    /// Whether a trace, or with `None` unknown, is in the set.
    pub fn contains(&self, trace: impl Into<Option<TraceId>>) -> bool {
        self.has(TraceId::to_disk(trace.into()))
    }

    #[inline]
    pub(super) fn has(&self, index: u32) -> bool {
        match self.0.bits.get(index) {
            Some(bit) => bit,
            None => self.0.others != self.0.except.binary_search(&index).is_ok(),
        }
    }

    /// The rows of a usage whose traces are in the set. O(rows).
    #[must_use]
    pub fn filter(&self, usage: &Usage) -> Usage {
        usage.filter(|trace, _| self.contains(trace))
    }
}

impl Members {
    /// The traces of a table for which `has` is true, and with `unknown` also all others.
    fn new(traces: &TraceTable, unknown: bool, mut has: impl FnMut(TraceId) -> bool) -> Self {
        let mut bits = BitSet::filled(traces.len() + 1, unknown);
        for (trace, _) in traces.iter() {
            bits.set(trace.get(), has(trace));
        }
        Self {
            bits,
            others: unknown,
            except: Box::default(),
        }
    }

    fn add(&mut self, mut traces: Vec<u32>) {
        traces.retain(|&trace| self.bits.set(trace, true).is_none() && !self.others);
        traces.sort_unstable();
        traces.dedup();
        self.except = traces.into_boxed_slice();
    }
}

/// These traces and no others; `None` is unknown.
impl FromIterator<Option<TraceId>> for TraceSet {
    fn from_iter<I: IntoIterator<Item = Option<TraceId>>>(traces: I) -> Self {
        let mut traces: Vec<u32> = traces.into_iter().map(TraceId::to_disk).collect();
        traces.sort_unstable();
        traces.dedup();
        // No more words than traces, whatever their indices.
        let dense = traces.partition_point(|&trace| (trace as usize) / 64 < traces.len());
        let largest = dense.checked_sub(1).and_then(|last| traces.get(last));
        let len = largest.map_or(0, |&trace| trace as usize + 1);
        let mut members = Members {
            bits: BitSet::filled(len, false),
            others: false,
            except: Box::default(),
        };
        members.add(traces);
        Self(Arc::new(members))
    }
}

impl FromIterator<TraceId> for TraceSet {
    fn from_iter<I: IntoIterator<Item = TraceId>>(traces: I) -> Self {
        traces.into_iter().map(Some).collect()
    }
}

impl fmt::Debug for TraceSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TraceSet")
            .field("members", &self.0.bits.count())
            .field("others", &self.0.others)
            .field("except", &self.0.except)
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frame::Frame;

    fn id(index: u32) -> TraceId {
        TraceId::new(index).unwrap()
    }

    /// 100 traces `main:1 work:N%7 leaf:N%3`; every tenth is empty.
    fn table() -> TraceTable {
        (1..=100)
            .map(|n: u32| match n % 10 {
                0 => vec![],
                _ => vec![
                    Frame::new("main", 1),
                    Frame::new("work", n % 7),
                    Frame::new("leaf", n % 3),
                ],
            })
            .collect()
    }

    fn members(set: &TraceSet) -> Vec<u32> {
        (0..200)
            .chain([1 << 20, TraceId::MAX.get()])
            .filter(|&index| set.contains(TraceId::new(index)))
            .collect()
    }

    #[test]
    fn set_of_tracks_is_their_union() {
        let traces = table();
        let line = |file, line| traces.find((file, line)).unwrap();
        let set = |tracks: &[Track]| members(&TraceSet::of(&traces, tracks));
        let all = |test: &dyn Fn(u32) -> bool| -> Vec<u32> {
            (1..=100).filter(|&n| n % 10 != 0 && test(n)).collect()
        };
        assert_eq!(set(&[]), []);
        assert_eq!(set(&[Track::Cumulative(line("main", 1))]), all(&|_| true));
        assert_eq!(set(&[Track::Local(line("main", 1))]), []);
        let leaf = line("leaf", 2);
        assert_eq!(set(&[Track::Local(leaf)]), all(&|n| n % 3 == 2));
        let work = Track::Cumulative(line("work", 4));
        assert_eq!(set(&[work]), all(&|n| n % 7 == 4));
        assert_eq!(
            set(&[work, Track::Local(leaf)]),
            all(&|n| n % 7 == 4 || n % 3 == 2)
        );
        let ids = [7, 101, 150, 1 << 20, 1 << 20].map(|n| Track::Trace(id(n)));
        assert_eq!(set(&ids), [7, 101, 150, 1 << 20]);

        let unknown: Vec<u32> = [0, 10, 20, 30, 40, 50, 60, 70, 80, 90, 100]
            .into_iter()
            .chain(101..200)
            .chain([1 << 20, TraceId::MAX.get()])
            .collect();
        assert_eq!(set(&[Track::Unknown]), unknown);
        let both: Vec<Track> = ids.into_iter().chain([Track::Unknown]).collect();
        let mut expected = unknown.clone();
        expected.insert(1, 7);
        assert_eq!(set(&both), expected);
        let elsewhere = Track::Cumulative(FrameId(1_000_000));
        assert_eq!(set(&[elsewhere]), []);
    }

    #[test]
    fn calls_test_once_for_each_trace_and_once_for_all_unknown() {
        let traces = table();
        let mut asked = Vec::new();
        let set = TraceSet::from_fn(&traces, |trace, stack| {
            asked.push(TraceId::to_disk(trace));
            assert_eq!(trace.is_none(), stack.is_none());
            stack.is_some_and(Trace::is_empty)
        });
        assert_eq!(asked, (0..=100).collect::<Vec<_>>());
        assert_eq!(members(&set), (10..=100).step_by(10).collect::<Vec<_>>());
        let rest = TraceSet::from_fn(&traces, |_, stack| stack.is_none_or(|it| !it.is_empty()));
        assert_eq!(members(&rest).len(), 202 - 10);
        assert!(rest.contains(None) && rest.contains(TraceId::MAX));
    }

    #[test]
    fn memory_of_list_depends_on_its_length() {
        let set = TraceSet::from_iter([TraceId::MAX, id(3), id(130), id(3), id(70)]);
        assert_eq!(members(&set), [3, 70, 130, TraceId::MAX.get()]);
        assert!(set.0.bits.words().len() <= 3);
        assert!(members(&TraceSet::from_iter([None::<TraceId>])) == [0]);
        assert!(members(&Vec::<TraceId>::new().into_iter().collect()).is_empty());
    }
}

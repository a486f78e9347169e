//! Which traces? For questions about a line, or another part of the program.

use std::fmt;
use std::sync::Arc;

use crate::analysis::series::Track;
use crate::id::{FrameId, TraceId};
use crate::trace::{Trace, TraceTable};
use crate::tree::ROOT;
use crate::usage::Usage;

/// A set of traces: those of a line, those that pass a test, or any.
///
/// Memory: a bit a trace of the table, or of some list 4 bytes a trace. A clone shares it.
///
/// ```
/// use heapprof::{Reader, TraceSet, Track};
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
    /// A bit for each trace index from 0 for unknown, as far as there are words.
    bits: Box<[u64]>,
    /// Of all other traces, whether they are in it.
    others: bool,
    /// The exceptions from that, ascending. Their index is out of a stranger's hand and must not
    /// size anything.
    except: Box<[u32]>,
}

impl TraceSet {
    /// The traces that any of these tracks follows. O(nodes of the call tree).
    pub fn of(traces: &TraceTable, tracks: impl AsRef<[Track]>) -> Self {
        let (mut local, mut cumulative) = (vec![false; traces.frame_count()], Vec::new());
        cumulative.clone_from(&local);
        let (mut unknown, mut single) = (false, Vec::new());
        for &track in tracks.as_ref() {
            let (lines, line) = match track {
                Track::Local(line) => (&mut local, line),
                Track::Cumulative(line) => (&mut cumulative, line),
                Track::Trace(trace) => {
                    single.push(trace.get());
                    continue;
                }
                Track::Unknown => {
                    unknown = true;
                    continue;
                }
            };
            // A line of another table is in no stack of this one.
            if let Some(followed) = lines.get_mut(line.index()) {
                *followed = true;
            }
        }
        // A node of the call tree contains what its parent contains, and its own line.
        let tree = traces.tree();
        let mut contain: Vec<bool> = Vec::with_capacity(tree.len());
        for (&parent, &frame) in tree.parents().iter().zip(tree.frames()) {
            // The root comes first, before any parent.
            let inherited = contain.get(parent.index()).copied();
            let own = || cumulative.get(frame.index()).copied();
            contain.push(inherited.is_some_and(|inherited| inherited || own() == Some(true)));
        }
        let has = |trace: TraceId| {
            let node = traces.node(trace).unwrap_or(ROOT);
            let ends = |line: FrameId| local.get(line.index()).copied();
            contain.get(node.index()).copied().unwrap_or(false)
                || tree.frame(node).map_or(Some(unknown), ends) == Some(true)
        };
        let mut members = Members::new(traces, unknown, has);
        members.add(single);
        Self(Arc::new(members))
    }

    /// The traces that pass the test, which is asked once of each trace of the table, and once,
    /// with `None` and `None`, of unknown and all traces that the table does not have.
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
        match self.0.bits.get(index as usize / 64) {
            Some(word) => word >> (index % 64) & 1 == 1,
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
    /// Of the traces of a table those that `has` says; and unknown, and all that the table does not
    /// have, if `unknown` says so.
    fn new(traces: &TraceTable, unknown: bool, mut has: impl FnMut(TraceId) -> bool) -> Self {
        let all = if unknown { u64::MAX } else { 0 };
        let mut bits = vec![all; traces.len() / 64 + 1].into_boxed_slice();
        for (trace, _) in traces.iter() {
            if let Some(word) = bits.get_mut(trace.get() as usize / 64) {
                let bit = 1 << (trace.get() % 64);
                *word = if has(trace) {
                    *word | bit
                } else {
                    *word & !bit
                };
            }
        }
        Self {
            bits,
            others: unknown,
            except: Box::default(),
        }
    }

    fn add(&mut self, mut traces: Vec<u32>) {
        traces.retain(|&trace| match self.bits.get_mut(trace as usize / 64) {
            Some(word) => {
                *word |= 1 << (trace % 64);
                false
            }
            None => !self.others,
        });
        traces.sort_unstable();
        traces.dedup();
        self.except = traces.into_boxed_slice();
    }
}

/// These traces and no others; `None` stands for unknown.
impl FromIterator<Option<TraceId>> for TraceSet {
    fn from_iter<I: IntoIterator<Item = Option<TraceId>>>(traces: I) -> Self {
        let mut traces: Vec<u32> = traces.into_iter().map(TraceId::to_disk).collect();
        traces.sort_unstable();
        traces.dedup();
        // As many words as there are traces at most, whatever their indices.
        let in_bits = traces.partition_point(|&trace| (trace as usize) / 64 < traces.len());
        let largest = in_bits.checked_sub(1).and_then(|place| traces.get(place));
        let words = largest.map_or(0, |&trace| trace as usize / 64 + 1);
        let mut members = Members {
            bits: vec![0; words].into_boxed_slice(),
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
        let members: u64 = self
            .0
            .bits
            .iter()
            .map(|word| u64::from(word.count_ones()))
            .sum();
        f.debug_struct("TraceSet")
            .field("members", &members)
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
    fn tracks_are_followed_together() {
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
    fn a_test_is_asked_once_of_each_and_once_of_all_unknown() {
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
    fn a_list_takes_memory_for_what_is_in_it() {
        let set = TraceSet::from_iter([TraceId::MAX, id(3), id(130), id(3), id(70)]);
        assert_eq!(members(&set), [3, 70, 130, TraceId::MAX.get()]);
        assert!(set.0.bits.len() <= 3);
        assert!(members(&TraceSet::from_iter([None::<TraceId>])) == [0]);
        assert!(members(&Vec::<TraceId>::new().into_iter().collect()).is_empty());
    }
}

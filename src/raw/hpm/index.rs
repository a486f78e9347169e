//! Random access to the traces of a `.hpm` file.

use super::trace::RawTrace;
use super::traces::{RawTraces, TracePosition};
use crate::error::DecodeError;
use crate::id::TraceId;

/// The offset of each trace of a `.hpm` file. [`TraceLog::index`](super::TraceLog::index) makes it.
///
/// ```
/// use heapprof::raw::TraceLog;
/// use heapprof::TraceId;
///
/// let bytes = std::fs::read("examples/data/demo.hpm")?;
/// let index = TraceLog::new(&bytes)?.index();
/// assert_eq!(index.len(), 57);
/// assert_eq!(index.damage(), None);
/// let trace = index.get(TraceId::new(57).unwrap()).unwrap();
/// assert_eq!(trace.id().get(), 57);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone)]
pub struct TraceIndex<'a> {
    traces: RawTraces<'a>,
    len: usize,
    /// Empty in version 2.
    offsets: Box<[u64]>,
    damage: Option<DecodeError>,
}

impl<'a> TraceIndex<'a> {
    pub(super) fn new(traces: RawTraces<'a>) -> Self {
        let mut offsets = Vec::new();
        let (len, damage) = traces.known_end().unwrap_or_else(|| {
            let mut damage = None;
            for trace in traces.clone() {
                match trace {
                    Ok(trace) => offsets.push(trace.offset()),
                    Err(error) => damage = Some(error),
                }
            }
            (offsets.len(), damage)
        });
        Self {
            traces,
            len,
            offsets: offsets.into_boxed_slice(),
            damage,
        }
    }

    /// The number of whole traces.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there is no whole trace.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The trace with this id; `None` if the file has no such whole trace. O(frames of the trace).
    pub fn get(&self, id: TraceId) -> Option<RawTrace<'a>> {
        let before = id.get() - 1;
        let offset = self.offsets.get(before as usize).copied();
        let position = TracePosition::new(offset.unwrap_or(u64::MAX), before);
        let (trace, _) = self.traces.trace_at(position)?.ok()?;
        Some(trace)
    }

    /// Where the traces end early, and why.
    pub const fn damage(&self) -> Option<DecodeError> {
        self.damage
    }
}

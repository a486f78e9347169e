//! Random access to the traces of a `.hpm` file.

use super::frames::RawTrace;
use super::traces::RawTraces;
use crate::error::DecodeError;
use crate::id::TraceId;

/// The offset of each trace of a `.hpm` file. [`TraceLog::index`](super::TraceLog::index) makes it.
///
/// ```
/// use heapprof::{TraceId, raw::TraceLog};
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
    bytes: &'a [u8],
    offsets: Box<[u64]>,
    damage: Option<DecodeError>,
}

impl<'a> TraceIndex<'a> {
    pub(super) fn new(bytes: &'a [u8], traces: RawTraces<'a>) -> Self {
        let mut offsets = Vec::new();
        let mut damage = None;
        for trace in traces {
            match trace {
                Ok(trace) => offsets.push(trace.offset()),
                Err(error) => damage = Some(error),
            }
        }
        Self {
            bytes,
            offsets: offsets.into_boxed_slice(),
            damage,
        }
    }

    /// The number of whole traces.
    pub fn len(&self) -> usize {
        self.offsets.len()
    }

    /// Whether there is no whole trace.
    pub fn is_empty(&self) -> bool {
        self.offsets.is_empty()
    }

    /// The trace with this id; `None` if the file has no such whole trace. O(frames of the trace).
    pub fn get(&self, id: TraceId) -> Option<RawTrace<'a>> {
        let &offset = self.offsets.get(id.get() as usize - 1)?;
        let (trace, _) = RawTrace::read(self.bytes, usize::try_from(offset).ok()?, id).ok()?;
        Some(trace)
    }

    /// Where the traces end early, and why.
    pub const fn damage(&self) -> Option<DecodeError> {
        self.damage
    }
}

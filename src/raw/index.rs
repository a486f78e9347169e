//! Random access to the traces of a `.hpm` file.

use super::frames::RawTrace;
use super::hpm::TraceLog;
use crate::error::DecodeError;
use crate::id::TraceId;

/// Where each trace of a `.hpm` file begins.
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
    starts: Box<[u64]>,
    damage: Option<DecodeError>,
}

impl<'a> TraceIndex<'a> {
    /// How many whole traces there are.
    pub fn len(&self) -> usize {
        self.starts.len()
    }

    /// Whether there is no whole trace.
    pub fn is_empty(&self) -> bool {
        self.starts.is_empty()
    }

    /// The trace with this index, or `None` if it is not among the whole ones. O(its frames).
    pub fn get(&self, id: TraceId) -> Option<RawTrace<'a>> {
        let &offset = self.starts.get(id.get() as usize - 1)?;
        let start = usize::try_from(offset).ok()?;
        let (trace, _) = RawTrace::read(self.bytes, start, id).ok()?;
        Some(trace)
    }

    /// Where the traces end early, and why.
    pub const fn damage(&self) -> Option<DecodeError> {
        self.damage
    }
}

impl<'a> TraceLog<'a> {
    /// Where each trace begins: 8 bytes of memory a trace, one pass that skips the names.
    pub fn index(&self) -> TraceIndex<'a> {
        let (mut starts, rest) = self.whole_traces::<Vec<u64>>();
        let mut damage = None;
        for trace in rest {
            match trace {
                Ok(trace) => starts.push(trace.offset()),
                Err(error) => damage = Some(error),
            }
        }
        TraceIndex {
            bytes: self.bytes(),
            starts: starts.into_boxed_slice(),
            damage,
        }
    }
}

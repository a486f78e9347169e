//! The iterator over the traces of a `.hpm` file, and its position.

use std::iter::FusedIterator;

use super::frames::RawTrace;
use crate::error::{DecodeError, DecodeErrorKind as Kind, FileKind};
use crate::id::TraceId;

/// A position between two traces: the offset of the next trace and the number of traces before it.
///
/// ```
/// use heapprof::raw::{TraceLog, TracePosition};
///
/// let bytes = std::fs::read("examples/data/demo.hpm")?;
/// let mut traces = TraceLog::new(&bytes)?.traces();
/// traces.by_ref().take(10).for_each(drop);
/// let here = traces.position();
/// assert_eq!((here.traces(), here.offset()), (10, 2444));
/// let saved = TracePosition::new(here.offset(), here.traces());
/// assert_eq!(TraceLog::new(&bytes)?.traces_from(saved).count(), 47);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct TracePosition {
    offset: u64,
    /// From 1; `TraceId::MAX + 1` after the last possible trace.
    next: u32,
}

impl TracePosition {
    /// The position after `traces` whole traces, which end at `offset`.
    pub const fn new(offset: u64, traces: u32) -> Self {
        Self {
            offset,
            next: traces.saturating_add(1),
        }
    }

    /// The offset of the next trace, in bytes from the start of the file.
    pub const fn offset(self) -> u64 {
        self.offset
    }

    /// The number of whole traces before this position.
    pub const fn traces(self) -> u32 {
        self.next - 1
    }
}

/// The traces of a `.hpm` file, in the order of their index.
///
/// A cut or damaged trace is an error, and the iterator ends there, since nothing marks the beginning
/// of the next trace.
///
/// ```
/// use heapprof::raw::TraceLog;
///
/// let bytes = std::fs::read("examples/data/demo.hpm")?;
/// let mut traces = TraceLog::new(&bytes[..5000])?.traces();
/// let cut = traces.by_ref().find_map(Result::err).unwrap();
/// assert!(cut.is_cut());
/// assert_eq!((traces.position().traces(), cut.offset()), (22, traces.position().offset()));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone)]
pub struct RawTraces<'a> {
    /// The bytes of the file; after an error, those before the trace with the error.
    bytes: &'a [u8],
    position: TracePosition,
}

impl<'a> RawTraces<'a> {
    pub(super) fn new(bytes: &'a [u8], mut position: TracePosition) -> Self {
        position.offset = position.offset.min(bytes.len() as u64);
        Self { bytes, position }
    }

    /// The position after the last whole trace, also after an error.
    pub const fn position(&self) -> TracePosition {
        self.position
    }
}

impl<'a> Iterator for RawTraces<'a> {
    type Item = Result<RawTrace<'a>, DecodeError>;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        let TracePosition { offset, next } = self.position;
        let at = usize::try_from(offset).ok()?;
        if at >= self.bytes.len() {
            return None;
        }
        let id = TraceId::new(next).ok_or(Kind::TooManyTraces);
        Some(match id.and_then(|id| RawTrace::read(self.bytes, at, id)) {
            Ok((trace, end)) => {
                self.position = TracePosition::new(end as u64, next);
                Ok(trace)
            }
            Err(kind) => {
                self.bytes = self.bytes.get(..at).unwrap_or_default();
                Err(DecodeError::new(FileKind::Hpm, offset, kind))
            }
        })
    }
}

impl FusedIterator for RawTraces<'_> {}

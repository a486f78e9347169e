//! The iterator over the traces of a `.hpm` file, and its position.

use std::iter::FusedIterator;
use std::sync::Arc;

use super::trace::{RawFrames, RawTrace};
use super::v2::CompactTable;
use super::{TraceLog, v1};
use crate::error::{DecodeError, DecodeErrorKind as Kind, FileKind};
use crate::id::TraceId;
use crate::raw::block::varint;

/// A position between two traces: the offset at which the last whole trace ends, and the number of traces up to there.
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

    /// The offset at which the last whole trace ends, in bytes from the start of the file. In version 1 the next trace
    /// begins there; in version 2, texts, frames and nodes can come first.
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
/// A cut or damaged record is an error, and the iterator ends there, since nothing marks the beginning
/// of the next one.
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
    source: Source<'a>,
    position: TracePosition,
}

#[derive(Debug, Clone)]
enum Source<'a> {
    /// The bytes of the file; after an error, those before the trace with the error.
    V1(&'a [u8]),
    /// All traces, and the error after them until it has been returned.
    V2(Arc<CompactTable<'a>>, Option<DecodeError>),
}

impl<'a> RawTraces<'a> {
    pub(super) fn new(log: &TraceLog<'a>, mut position: TracePosition) -> Self {
        position.offset = position.offset.min(log.bytes.len() as u64);
        let source = if log.is_compact() {
            let table = CompactTable::new(log.bytes, log.header.first_record);
            let damage = table.damage();
            Source::V2(Arc::new(table), damage)
        } else {
            Source::V1(log.bytes)
        };
        Self { source, position }
    }

    /// The number of traces, and the damage after them, if they are known: in version 2.
    pub(super) fn known_end(&self) -> Option<(usize, Option<DecodeError>)> {
        match &self.source {
            Source::V1(_) => None,
            Source::V2(table, _) => Some((table.len(), table.damage())),
        }
    }

    /// The trace at a position, and the position after it; `None` at the end. Version 2 ignores the offset.
    pub(super) fn trace_at(
        &self,
        position: TracePosition,
    ) -> Option<Result<(RawTrace<'a>, TracePosition), Kind>> {
        let TracePosition { offset, next } = position;
        let id = TraceId::new(next).ok_or(Kind::TooManyTraces);
        match &self.source {
            Source::V1(bytes) => {
                let at = usize::try_from(offset)
                    .ok()
                    .filter(|&at| at < bytes.len())?;
                Some(id.and_then(|id| {
                    let (frames, end) = v1::trace_at(bytes, at)?;
                    let trace = RawTrace::new(id, offset, RawFrames::v1(frames));
                    Ok((trace, TracePosition::new(end as u64, next)))
                }))
            }
            Source::V2(table, _) => {
                let (node, offset) = table.trace(next.checked_sub(1)? as usize)?;
                let frames = RawFrames::v2(table.clone(), node);
                let at = usize::try_from(offset).unwrap_or(usize::MAX);
                let end = varint(table.bytes(), at).map_or(at, |(_, end)| end);
                let end = TracePosition::new(end as u64, next);
                Some(id.map(|id| (RawTrace::new(id, offset, frames), end)))
            }
        }
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
        let error = match self.trace_at(self.position) {
            Some(Ok((trace, end))) => {
                self.position = end;
                return Some(Ok(trace));
            }
            Some(Err(kind)) => Some(DecodeError::new(FileKind::Hpm, self.position.offset, kind)),
            None => None,
        };
        match &mut self.source {
            Source::V1(bytes) => {
                let error = error?;
                let at = usize::try_from(error.offset()).unwrap_or(usize::MAX);
                *bytes = bytes.get(..at).unwrap_or_default();
                Some(Err(error))
            }
            Source::V2(_, damage) => damage.take().map(Err),
        }
    }
}

impl FusedIterator for RawTraces<'_> {}

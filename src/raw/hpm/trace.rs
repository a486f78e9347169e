//! One trace of a `.hpm` file, and its frames, of either version.

use std::iter::FusedIterator;
use std::sync::Arc;

use smallvec::SmallVec;

use super::frame::RawFrame;
use super::v1;
use super::v2::CompactTable;
use crate::id::TraceId;

/// One whole trace, borrowed from the file.
///
/// ```
/// use heapprof::raw::TraceLog;
/// use heapprof::TraceId;
///
/// let bytes = std::fs::read("examples/data/demo.hpm")?;
/// let trace = TraceLog::new(&bytes)?.traces().nth(19).unwrap()?;
/// assert_eq!((trace.id(), trace.offset()), (TraceId::new(20).unwrap(), 4313));
/// assert_eq!(trace.innermost_first().next().unwrap().file(), "/srv/app/workloads/shop/orders.py");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone)]
pub struct RawTrace<'a> {
    id: TraceId,
    offset: u64,
    frames: RawFrames<'a>,
}

impl<'a> RawTrace<'a> {
    pub(super) const fn new(id: TraceId, offset: u64, frames: RawFrames<'a>) -> Self {
        Self { id, offset, frames }
    }

    /// The trace index.
    pub const fn id(&self) -> TraceId {
        self.id
    }

    /// The offset of the trace's record, in bytes from the start of the file.
    pub const fn offset(&self) -> u64 {
        self.offset
    }

    /// Whether the trace has no frames. heapprof's recorder leaves out frames whose file name begins with `<`,
    /// so a trace can be empty.
    pub fn is_empty(&self) -> bool {
        self.innermost_first().next().is_none()
    }

    /// The frames, the allocating line first. Nothing is decoded in advance, whatever the depth of the stack.
    pub fn innermost_first(&self) -> RawFrames<'a> {
        self.frames.clone()
    }

    /// The frames in the order in which people read a stack: the program's entry first.
    ///
    /// Both versions have the opposite order, so this decodes the whole stack at once. A stack of up to 32
    /// frames needs no allocation.
    ///
    /// ```
    /// use heapprof::raw::TraceLog;
    ///
    /// let bytes = std::fs::read("examples/data/demo.hpm")?;
    /// let trace = TraceLog::new(&bytes)?.traces().next().unwrap()?;
    /// let lines: Vec<u32> = trace.outermost_first().map(|frame| frame.line()).collect();
    /// let mut reversed: Vec<u32> = trace.innermost_first().map(|frame| frame.line()).collect();
    /// reversed.reverse();
    /// assert_eq!(lines, reversed);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn outermost_first(&self) -> OutermostFirst<'a> {
        OutermostFirst {
            stack: self.innermost_first().collect(),
        }
    }
}

/// Equal if the ids, the offsets and all frames are. O(frames).
impl PartialEq for RawTrace<'_> {
    fn eq(&self, other: &Self) -> bool {
        let place = |it: &Self| (it.id, it.offset);
        place(self) == place(other) && self.innermost_first().eq(other.innermost_first())
    }
}

impl Eq for RawTrace<'_> {}

/// The frames of one trace, the allocating line first.
///
/// ```
/// use heapprof::raw::TraceLog;
///
/// let bytes = std::fs::read("examples/data/demo.hpm")?;
/// let trace = TraceLog::new(&bytes)?.traces().nth(19).unwrap()?;
/// let lines: Vec<_> = trace.innermost_first().map(|frame| frame.line()).collect();
/// assert_eq!(lines, [9, 8, 49, 85, 193]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone)]
pub struct RawFrames<'a>(Rest<'a>);

/// The frames that are left.
#[derive(Debug, Clone)]
enum Rest<'a> {
    /// Whole frames of version 1.
    V1(&'a [u8]),
    /// The innermost node of version 2 that is left.
    V2(Arc<CompactTable<'a>>, u32),
}

impl<'a> RawFrames<'a> {
    pub(super) const fn v1(frames: &'a [u8]) -> Self {
        Self(Rest::V1(frames))
    }

    pub(super) const fn v2(table: Arc<CompactTable<'a>>, node: u32) -> Self {
        Self(Rest::V2(table, node))
    }
}

impl<'a> Iterator for RawFrames<'a> {
    type Item = RawFrame<'a>;

    #[inline]
    fn next(&mut self) -> Option<RawFrame<'a>> {
        match &mut self.0 {
            Rest::V1(rest) => {
                let (frame, end) = v1::frame_at(rest, 0).ok()?;
                *rest = rest.get(end..)?;
                frame
            }
            Rest::V2(table, node) => {
                let (frame, parent) = table.node(*node)?;
                *node = parent;
                Some(frame)
            }
        }
    }
}

impl FusedIterator for RawFrames<'_> {}

/// The frames of one trace, the program's entry first.
///
/// ```
/// use heapprof::raw::TraceLog;
///
/// let bytes = std::fs::read("examples/data/demo.hpm")?;
/// let trace = TraceLog::new(&bytes)?.traces().nth(19).unwrap()?;
/// let lines: Vec<_> = trace.outermost_first().map(|frame| frame.line()).collect();
/// assert_eq!(lines, [193, 85, 49, 8, 9]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone)]
pub struct OutermostFirst<'a> {
    /// The innermost frame first.
    stack: SmallVec<[RawFrame<'a>; 32]>,
}

impl<'a> Iterator for OutermostFirst<'a> {
    type Item = RawFrame<'a>;

    fn next(&mut self) -> Option<RawFrame<'a>> {
        self.stack.pop()
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.stack.len(), Some(self.stack.len()))
    }
}

impl ExactSizeIterator for OutermostFirst<'_> {}
impl FusedIterator for OutermostFirst<'_> {}

//! Names for things: [`TraceId`] for a stack trace, [`FrameId`] for a line of code.
//!
//! Both are newtypes, so that neither can be mistaken for the other, for a position in a file or
//! for a count. A [`TraceId`] comes from the recording and may name a trace that never reached the
//! disk. A [`FrameId`] comes from a [`TraceTable`](crate::TraceTable) and is dense: a view keeps
//! what it knows of each line in a plain `Vec`, indexed by it.

use std::fmt;
use std::num::NonZeroU32;

/// The identity of a stack trace in one recording: 1, 2, 3, … in the order of the `.hpm` file.
///
/// Index 0 on disk means "no trace known". It has no `TraceId`; where a trace may be unknown the
/// API says `Option<TraceId>`, which is no larger.
///
/// ```
/// use heapprof::TraceId;
///
/// assert_eq!(TraceId::new(7).map(TraceId::get), Some(7));
/// assert_eq!(TraceId::new(0), None); // unknown
/// assert_eq!(TraceId::new(TraceId::MAX.get() + 1), None); // the log has 30 bits for it
/// assert_eq!(size_of::<Option<TraceId>>(), 4);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TraceId(NonZeroU32);

impl TraceId {
    /// The largest index an event can hold: 2³⁰ − 1.
    pub const MAX: Self = Self(NonZeroU32::MIN.saturating_add((1 << 30) - 2));

    /// The trace with this index, or `None` for 0 and for what is above [`TraceId::MAX`].
    #[inline]
    pub const fn new(index: u32) -> Option<Self> {
        match NonZeroU32::new(index) {
            Some(index) if index.get() <= Self::MAX.0.get() => Some(Self(index)),
            _ => None,
        }
    }

    /// The trace index as it stands on disk, from 1.
    #[inline]
    pub const fn get(self) -> u32 {
        self.0.get()
    }

    /// The index on disk of a trace that may be unknown: 0 for `None`.
    #[inline]
    pub(crate) const fn to_disk(trace: Option<Self>) -> u32 {
        match trace {
            Some(trace) => trace.get(),
            None => 0,
        }
    }

    /// What the low 30 bits of `head` name.
    #[inline]
    pub(crate) const fn from_head(head: u32) -> Option<Self> {
        match NonZeroU32::new(head & Self::MAX.0.get()) {
            Some(index) => Some(Self(index)),
            None => None,
        }
    }
}

impl fmt::Display for TraceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The identity of a frame (a line of a file) in one [`TraceTable`](crate::TraceTable).
///
/// Dense from 0, in the order in which the table met the frames. It means nothing in another table.
///
/// ```
/// use heapprof::{Frame, TraceId, TraceTable};
///
/// let traces = TraceTable::from_iter([[Frame::new("main.py", 1), Frame::new("work.py", 20)]]);
/// let id = traces.find(("work.py", 20)).unwrap();
/// assert_eq!(id.index(), 1);
/// assert_eq!(traces.frame(id), Some(Frame::new("work.py", 20)));
/// assert_eq!(traces.trace(TraceId::new(1)).unwrap().ids().last(), Some(id));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[cfg_attr(feature = "serde", serde(transparent))]
#[repr(transparent)]
pub struct FrameId(pub(crate) u32);

impl FrameId {
    /// The frame's place among those of its table, from 0: an index into a `Vec` that has one
    /// place for each of [`TraceTable::frame_count`](crate::TraceTable::frame_count).
    #[inline]
    pub const fn index(self) -> usize {
        self.0 as usize
    }
}

/// A dense id, counted up in the order in which its items are made: the index of an
/// [`IdVec`](crate::id_vec::IdVec).
pub(crate) trait Id: Copy {
    /// The position of the id's item, from 0.
    fn index(self) -> usize;

    /// The id of the item at a position.
    fn from_index(index: usize) -> Self;
}

impl Id for FrameId {
    #[inline]
    fn index(self) -> usize {
        self.0 as usize
    }

    #[inline]
    fn from_index(index: usize) -> Self {
        Self(u32::try_from(index).unwrap_or(u32::MAX))
    }
}

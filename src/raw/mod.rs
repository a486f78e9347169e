//! The low-level API: the three files as they stand on disk, over `&[u8]`.
//!
//! | file | read | write |
//! | --- | --- | --- |
//! | `.hpm`, start, sampling rates and stacks | [`TraceLog`] → [`RawTrace`] → [`RawFrame`] | [`TraceWriter`] |
//! | `.hpd`, the log | [`EventLog`] → [`Event`] | [`EventWriter`] |
//! | `.hpc`, the digest | [`DigestFile`] → [`Entries`] | [`DigestWriter`] |
//!
//! The readers borrow, copy nothing, and give iterators that are `Clone` and fused. They take any
//! bytes: the error of an iterator says at which record reading ended and why, and everything before
//! it was whole. An iterator over the two logs can say where it stands and be resumed there later,
//! so that a file can be followed while it is written.
//!
//! The writers stream to any [`io::Write`](std::io::Write). What they write is what heapprof 1.0
//! writes, and what it reads; any program that can name its stacks can record with them.
//!
//! # Building blocks
//! | block | on disk |
//! | --- | --- |
//! | fixed32, fixed64 | unsigned, big-endian, 4 or 8 bytes |
//! | varint | unsigned LEB128: 7 bits a byte, least significant first, the high bit set on all but the last; at most 64 bits in 10 bytes |
//! | string | varint length in bytes, then UTF-8 |
//!
//! The layout of each file stands at the top of its source file.

pub(crate) mod block;
mod event;
pub(crate) mod hpc;
pub(crate) mod hpd;
pub(crate) mod hpm;
mod index;
pub(crate) mod rates;
pub(crate) mod write;

pub use event::{Event, EventKind, LogPosition};
pub use hpc::{DigestFile, Entries};
pub use hpd::{EventLog, Events};
pub use hpm::{OutermostFirst, RawFrame, RawFrames, RawTrace, RawTraces, TraceLog, TracePosition};
pub use index::TraceIndex;
pub use write::{DigestWriter, EventWriter, TraceWriter};

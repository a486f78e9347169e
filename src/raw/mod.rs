//! The low-level API: readers of the three files over `&[u8]`, and their writers.
//!
//! | file | read | write |
//! | --- | --- | --- |
//! | `.hpm`, start, sampling rates ([`SamplingRange`]) and stacks | [`TraceLog`] → [`RawTraces`] → [`RawTrace`] → [`RawFrames`] or [`OutermostFirst`] → [`RawFrame`]; [`TraceIndex`] for random access; [`Properties`] | [`TraceWriter`] for frames that are [`AsFrame`], or for a call tree of [`TraceNode`]s; [`TraceWriterV1`] for heapprof |
//! | `.hpd`, the log | [`EventLog`] → [`Events`] → [`Event`](crate::Event); [`EventReader`] from any [`io::Read`](std::io::Read) | [`EventWriter`] |
//! | `.hpc`, the digest | [`DigestFile`] → [`Entries`] | [`DigestWriter`] |
//! | errors | [`DecodeError`]: [`DecodeErrorKind`], [`FileKind`], offset; [`ParseFrameError`] for a text that is no line of code | [`EncodeError`] |
//!
//! The readers borrow and copy nothing, but for the call tree of a `.hpm` file of version 2. They return iterators that are `Clone` and fused. They accept any
//! bytes: the error of an iterator names the record at which reading ended, and every record before it
//! is whole. The iterators over traces and events have a position, a [`TracePosition`] or a
//! [`LogPosition`], from which reading can resume later. So a program can follow a file while it grows.
//!
//! The writers stream to any [`io::Write`](std::io::Write). Any program that knows its stacks can record with
//! them. Logs, digests and the traces of a [`TraceWriterV1`] are in the format of heapprof 1.0.
//!
//! # Building blocks
//! | block | on disk |
//! | --- | --- |
//! | fixed32, fixed64 | unsigned, big-endian, 4 or 8 bytes |
//! | varint | unsigned LEB128: 7 bits a byte, least significant first, the high bit set on all but the last; at most 64 bits in 10 bytes |
//! | string | varint length in bytes, then UTF-8 |
//!
//! # `.hpm`
//! ```text
//! header   version             fixed32   1, or 2
//!          start, seconds      fixed64   Unix time
//!          start, nanoseconds  fixed64
//!          number of ranges    varint
//!          each range          fixed64   upper size
//!                              fixed32   probability; 2^32 - 1 is 1
//! ```
//!
//! Version 1, which heapprof writes, repeats all frames in each trace:
//! ```text
//! trace 1  each frame          varint    line number + 1
//!          (innermost first)   string    file name
//!          end                 varint    0
//! trace 2  …
//! ```
//!
//! Version 2 writes each text, frame and node of the call tree once. It goes on with
//! ```text
//! header   number of properties varint
//!          each property       string    key
//!                              string    value
//! records  each head           varint    the low two bits are the kind, the others are n
//!    0     text                bytes     n of them, UTF-8; texts count from 0
//!    1     frame                         n: the text of the function's name + 1, or 0 for none; frames count from 0
//!                              varint    the text of the file name
//!                              varint    line number
//!    2     node                          its parent is n nodes before it; nodes count from 1, and 0 is the empty stack
//!                              varint    frame
//!    3     trace                         its innermost frame is the node that is n before the next node to be defined
//! ```
//!
//! A record refers to earlier records only. In both versions, a trace can be empty.
//!
//! # `.hpd`
//! ```text
//! event    head          fixed32   bit 31: the time went backwards
//!                                  bit 30: this is a free
//!                                  low 30 bits: trace index, 0 for unknown
//!          seconds       varint    since the event before (the start, for the first)
//!          microseconds  varint    0 to 999 999
//!          size          varint    bytes of the block
//! ```
//!
//! With bit 31 clear the difference of time is `seconds + microseconds`, with bit 31 set it is
//! `−seconds + microseconds`: −0.3 s is stored as bit 31, 1 second, 700 000 microseconds.
//!
//! 64 zero bytes or more where an event should begin end the log, because a file system can leave them after
//! a crash: [`DecodeErrorKind::Zeros`]. Fewer are events.
//!
//! # `.hpc`
//! ```text
//! header    version            fixed32   1
//!           start, seconds     fixed64   as in the .hpm file
//!           start, nanoseconds fixed64
//!           interval           varint    milliseconds between snapshots
//!           index offset       fixed64   from the start of the file; 0 until the digest is complete
//! snapshot  mark               fixed32   0x5379a0bd
//!           number of entries  varint
//!           each entry         varint    trace index, 0 for unknown
//!           (heaviest first)   varint    bytes: of the first as 64-bit two's complement,
//!                                        of the others how much smaller than the entry before
//! index     mark               fixed32   0xab935776
//!           number of snapshots varint
//!           each               varint    its offset: the first from the start of the file, the others
//!                                        from the one before; 0 shares the bytes of the one before
//! trailer   anything                     not looked at here, nor by heapprof 1.0
//! ```
//!
//! Snapshot *k*, from 0, is the live heap at (*k* + 1) × interval.
//! The writer defines the trailer. In that of a [`Digest`](crate::Digest), this crate records the log
//! that the digest is of, how much of it, the rates and precision, and the damage of the log. A
//! [`DigestWriter`] can write any trailer, or none.

pub(crate) mod block;
pub(crate) mod hpc;
pub(crate) mod hpd;
pub(crate) mod hpm;
pub(crate) mod properties;
pub(crate) mod rates;

pub use crate::error::{DecodeError, DecodeErrorKind, EncodeError, FileKind, ParseFrameError};
pub use hpc::{DigestFile, DigestWriter, Entries};
pub use hpd::{EventLog, EventReader, EventWriter, Events, LogPosition};
pub use hpm::{
    AsFrame, OutermostFirst, RawFrame, RawFrames, RawTrace, RawTraces, TraceIndex, TraceLog,
    TraceNode, TracePosition, TraceWriter, TraceWriterV1,
};
pub use properties::Properties;
pub use rates::SamplingRange;

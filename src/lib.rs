//! Where did the memory go? This crate asks recorded heap profiles.
//!
//! Python's `heapprof` logs every sampled allocation and free of a program, with stacks. This crate
//! reads such recordings, answers questions about them, and writes them: any program that can name
//! its stacks can record with it.
//!
//! ```
//! use heapprof::{Lines, Reader};
//!
//! let reader = Reader::open("examples/data/demo")?;
//! // A question gives a usage: bytes by trace. What is live at the end?
//! let usage = reader.live_at_end()?;
//! // A view takes one. Which lines of code hold it?
//! let lines = Lines::new(reader.traces()?, &usage);
//! for line in lines.by_local().take(3) {
//!     println!("{:>9} {}", line.local, line.frame);
//! }
//! assert_eq!(lines.by_local().next().unwrap().frame.line, 11);
//! # Ok::<(), heapprof::Error>(())
//! ```
//!
//! # The three files
//! A profile is one *filebase* with up to three files beside each other.
//!
//! | file | holds | read by | written by |
//! | --- | --- | --- | --- |
//! | `.hpm` | when it began, how it was sampled, and the stack of each trace | [`TraceTable`], [`raw::TraceLog`] | [`raw::TraceWriter`] |
//! | `.hpd` | the log: one event for each recorded allocation and free | [`Reader::events`], [`raw::EventLog`] | [`raw::EventWriter`] |
//! | `.hpc` | the digest: what was live at regular moments | [`Digest`], [`raw::DigestFile`] | [`Reader::make_digest`], or [`raw::DigestWriter`] |
//!
//! # Questions and views
//! Every question about memory is answered by a [`Usage`], a weight for each trace. Every way of
//! looking takes a [`TraceTable`] and a usage. So there are two families, and any question goes with
//! any view:
//!
//! ```text
//! .hpd ─ events ─► questions ──► Usage ──►  views
//!                  snapshot at t            by line (local, cumulative)
//!                  live at t, at the end    flow graph, for many usages side by side
//!                  growth from a to b       flame graph, sandwich, time series
//! .hpm ─ traces ─► TraceTable ───────────►  (same trace ids)
//!                  regrouped, merged
//! ```
//!
//! | question | answer |
//! | --- | --- |
//! | What was live at 3 240 s? | [`Reader::live_at`] exactly, [`Reader::snapshot_at`] from the digest |
//! | What is live at the end? | [`Reader::live_at_end`] |
//! | When was the most in use, and by whom? | [`Reader::peak`] |
//! | What grew between two moments? | [`Reader::growth`], or the difference of two usages |
//! | Who allocates the most, who makes temporary blocks? | [`Reader::churn`] |
//! | When does it allocate, and how fast? | [`ChurnOverTime`] |
//! | How many blocks are live? | [`LiveBlocks`] |
//! | How large are the blocks, how long do they live? | [`Reader::sizes`], [`Reader::lifetimes`] |
//! | Which sampling rates will do next time? | [`SamplingAdvice`] |
//! | Several of these in one pass, or one of your own? | [`Reader::ask`] |
//! | Which lines hold it? | [`Lines`] |
//! | How does it flow through them? Then and now? | [`FlowGraph`], for one usage or several side by side |
//! | Which stacks hold it? | [`FlameGraph`]: outermost first, inverted, as a difference, folded |
//! | Who leads to a line, and where does it lead? | [`Sandwich`] |
//! | By file, by package, by layer of my program? | [`TraceTable::by_file`], [`by_package`](TraceTable::by_package), [`map_frames`](TraceTable::map_frames): a new table that the same usages fit |
//! | Only what goes through these lines? | [`Usage::focus`], [`Usage::ignore`] |
//! | What do two recordings differ in? | [`MergedTraces`] |
//! | How did it change over time? | [`Reader::time_series`] |
//! | Is it creeping up, or does it jump? | [`Series::movements`] |
//! | What leaks? | [`Reader::leaks`] |
//! | When was 14:32:05, by the clock on the wall? | [`Reader::elapsed_at`], and back [`Reader::time_at`] |
//! | How far off can an estimate be? | [`Reader::error_bars_at`] and its relatives |
//! | Can the sampling rates be true? | [`Reader::check_rates`] |
//! | Does the log make sense, and to where? | [`Reader::sanity`] |
//! | What does the line say? | [`SourceLines`] |
//!
//! # Layers
//! The low-level API, [`raw`], is the three files as they stand on disk: zero-copy iterators over
//! `&[u8]`, and streaming writers. The high-level API starts at [`Reader`], which opens a profile
//! and hands out everything else. In between are the types that both speak of: [`TraceTable`],
//! [`Usage`], [`LiveHeap`], [`Digest`]. Opening a profile reads headers only; what takes a pass over
//! a file is made when it is first asked for. The library draws nothing and prints nothing.
//!
//! # What the words mean
//! * **Time** is in whole microseconds. The log's clock is the wall clock and can step back, so an
//!   event has two times: [`WallOffset`] as recorded, and [`Elapsed`], which only ever grows. Both
//!   lose half a microsecond an event; the corrected [`Clock`] makes that good.
//! * A **trace** is a stack, named by a [`TraceId`]; a **frame** is a line of code in it.
//! * An **estimate** is what a recorded block stands for in a sampled recording: see
//!   [`SamplingRates`], also for why the rates that a file states can be wrong.
//! * The **live heap** at a time is all events up to that time, in the order of the log.
//! * **Local** usage of a line is that of all traces that *end* at it, **cumulative** usage that of
//!   all that *contain* it, each counted once however often the line recurs in it.
//! * **Unknown** is what has no stack. It is part of every total.
//! * **Damage** is a record that makes no sense. A log that is cut is a normal log: what is whole is
//!   used, and the [`DecodeError`] of the cut is told beside the result.

//!
//! # Features
//! * `serde`: results can be serialised, in [a documented shape](https://docs.rs/heapprof/latest/heapprof/serde_shapes).

#![cfg_attr(docsrs, feature(doc_cfg))]
#![cfg_attr(
    not(test),
    deny(
        clippy::dbg_macro,
        clippy::expect_used,
        clippy::indexing_slicing,
        clippy::panic,
        clippy::print_stderr,
        clippy::print_stdout,
        clippy::string_slice,
        clippy::todo,
        clippy::unreachable,
        clippy::unwrap_used,
    )
)]

// The layers, from the front door down; `tests/layers.rs` keeps imports pointing down.
#[cfg(feature = "serde")]
pub mod serde_shapes;

mod reader;

mod analysis;

mod digest;

mod heap;
mod per_trace;
mod replay;

mod frame;
mod intern;
mod log;
mod source;
mod trace;
mod tree;
mod usage;

pub mod raw;

mod bytes;
mod error;
mod filebase;
mod id;
mod time;

pub use analysis::*;
pub use digest::{Digest, DigestOptions, Progress, Snapshot, UnusedDigest};
pub use error::{
    DecodeError, DecodeErrorKind, EncodeError, Error, FileKind, ParseFrameError, Result,
};
pub use frame::{Frame, OwnedFrame};
pub use heap::LiveHeap;
pub use id::{FrameId, TraceId};
pub use log::LogEvents;
pub use raw::rates::{SamplingRange, SamplingRates};
pub use raw::{Event, EventKind, LogPosition};
pub use reader::Reader;
pub use source::{SourceLine, SourceLines};
pub use time::{Clock, Elapsed, StartTime, WallOffset};
pub use trace::{MergedTraces, Package, Trace, TraceTable};
pub use usage::{Usage, UsageIter};

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;

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
//! `examples/data/demo` is the profile that ships with the crate, and all pages here ask it. For one of
//! your own, [record a Rust program](cookbook#how-do-i-record-a-rust-program), [any native
//! program](cookbook#how-do-i-read-a-recording-of-heaptrack), or [write the
//! files](cookbook#how-do-i-write-a-recording-from-my-own-program).
//!
//! This page is a tour. The [`cookbook`] has one question under each heading, with code and what
//! it prints; [`coming_from_heapprof`] says what is called what here, also for users of memray, heaptrack and
//! pprof.
//!
//! # The three files
//! A profile is one *filebase* with up to three files beside each other: `runs/nightly` stands for
//! `runs/nightly.hpm`, `runs/nightly.hpd` and `runs/nightly.hpc`.
//!
//! | file | holds | read by | written by |
//! | --- | --- | --- | --- |
//! | `.hpm` | when it began, how it was sampled, and the stack of each trace; in version 2 also the names of functions | [`TraceTable`], [`raw::TraceLog`] | [`raw::TraceWriter`] |
//! | `.hpd` | the log: one event for each recorded allocation and free | [`Reader::events`], [`raw::EventLog`], [`raw::EventReader`] | [`raw::EventWriter`] |
//! | `.hpc` | the digest: what was live at regular moments | [`Digest`], [`raw::DigestFile`] | [`Reader::make_digest`], or [`raw::DigestWriter`] |
//!
//! The first two are the recording. The third is made from them, and can be made again at any time.
//!
//! # Questions and views
//! Every question about memory is answered by a [`Usage`], a weight for each trace. Every way of
//! looking takes a [`TraceTable`] and a usage. So there are two families, and any question goes with
//! any view:
//!
//! ```text
//! .hpd ─ events ─► questions ──► Usage ──►  views
//!                  live at t, at the end    by line (local, cumulative)
//!                  live at the peak         flow graph, for many usages side by side
//!                  growth from a to b       flame graph, inverted, of a difference
//!                  allocated, temporary     callers and callees of a line
//! .hpm ─ traces ─► TraceTable ───────────►  (same trace ids)
//!                  regrouped, merged
//! ```
//!
//! ## Questions
//! Ask the [`Reader`]. Each question is one pass over the log. Where the third column has something,
//! several can share a pass: a tuple of them is [`Questions`] to [`Reader::ask`]. There a question can
//! be narrowed to a window of time or a [`TraceSet`].
//!
//! | what you want to know | ask | in a shared pass | answer |
//! | --- | --- | --- | --- |
//! | **what is there** | | | |
//! | What was live at 3 240 s? At the end? | [`Reader::live_at`], [`live_at_end`](Reader::live_at_end) | [`Live::at(…)`](Live), [`Live::at_end()`](Live) | [`Usage`] |
//! | When was the most in use, and by whom? | [`Reader::peak`] | [`Peak::question()`](PeakQuestion) | [`Peak`] |
//! | How high did it get, and when? | [`Reader::high_water`] | | [`HighWater`] |
//! | How many blocks are live? | | [`LiveBlocks::at(…)`](LiveBlocksQuestion) | [`LiveBlocks`] |
//! | **what changes** | | | |
//! | What grew between two moments? | [`Reader::growth`] | two of these | [`Usage`] |
//! | How did it change over time? | [`Reader::time_series`] of [`Track`]s | | [`TimeSeries`] of [`Series`] |
//! | Is it creeping up, or does it jump? | [`Series::movements`] | | [`Movements`]: [`Trend`], [`Movement`] |
//! | What leaks? | [`Reader::leaks`] | [`FindLeaks::new(…)`](FindLeaks) | [`Leaks`]: [`LineLeak`], [`TraceLeak`], [`Growth`] |
//! | **what passes through** | | | |
//! | Who allocates the most, who makes temporary blocks? | [`Reader::churn`] | [`Churn::question()`](ChurnQuestion) | [`Churn`] of [`TraceChurn`] |
//! | When does it allocate, and how fast? | | [`ChurnOverTime::every(…)`](ChurnOverTimeQuestion) | [`ChurnOverTime`] of [`ChurnStep`] |
//! | How large are the blocks? | [`Reader::sizes`] | [`Sizes::question()`](SizesQuestion) | [`Sizes`] of [`SizeBucket`] |
//! | How long do they live? | [`Reader::lifetimes`] | [`Lifetimes::question()`](LifetimesQuestion) | [`Lifetimes`] of [`TraceLifetimes`] |
//! | **what to make of the numbers** | | | |
//! | How far off can an estimate be? | [`Reader::error_bars_at`], [`error_bars_at_end`](Reader::error_bars_at_end), [`error_bars_after`](Reader::error_bars_after), [`error_bars_of_growth`](Reader::error_bars_of_growth) | [`ErrorBarsAt::time(…)`](ErrorBarsAt), [`ErrorBarsOfGrowth::new(…)`](ErrorBarsOfGrowth) | [`ErrorBars`] of [`Estimate`] |
//! | Can the sampling rates be true? | [`Reader::check_rates`] | [`CheckRates::new(…)`](CheckRates) | [`RatesCheck`]: [`RatesVerdict`], [`RatesEvidence`] |
//! | Which rates will do next time? | | [`SamplingAdvice::new(…)`](SamplingAdvice) | [`RatesAdvice`] of [`ExpectedEstimate`] |
//! | Is the recording whole? Where does it stop making sense? | [`Reader::damage`], [`Reader::sanity`] | [`SanityCheck::new(…)`](SanityCheck) | [`DecodeError`], [`Sanity`]: [`Finding`], [`Noise`] |
//! | How was it recorded, by what command? | [`Reader::properties`] | | [`raw::Properties`] |
//! | When was 14:32:05, by the clock on the wall? | [`Reader::elapsed_at`], [`Reader::time_at`] | | [`Elapsed`], and back |
//! | **one of your own** | [`Reader::ask`] | [`Question`], given [`LogPlace`], [`LogStep`], [`LogEnd`] | what you like |
//!
//! ## Views
//! | what you want to see | view |
//! | --- | --- |
//! | Which stacks hold it? | [`Usage::iter`], a [`UsageIter`], and [`TraceTable::trace`]: a [`Trace`] of [`Frame`]s |
//! | Which lines hold it, by themselves and with all they call? | [`Lines`] of [`LineUsage`] |
//! | The same with error bars? | [`LineErrorBars`] of [`LineEstimate`] |
//! | How does it flow through the lines? Then and now? | [`FlowGraph`] of [`FlowNode`]s and [`FlowEdge`]s, for one usage or several; pruned by [`FlowOptions`] and their [`EdgeBase`] |
//! | Which stacks, as a tree to draw? | [`FlameGraph`] of [`FlameNode`]s, each with a [`FlameLabel`] and a [`FlameWeight`], and [`FlameBar`]s to draw them by; [`Folded`] into [`FoldedStack`]s, for text |
//! | Who leads to a line, and where does it lead? | [`Sandwich`] of [`Neighbour`]s |
//! | What does the line say? | [`SourceLines`]: a [`SourceLine`] |
//!
//! ## Between the two
//! | what you want | how |
//! | --- | --- |
//! | Sums and differences | usages add and subtract: `&after - &before` |
//! | Only what goes through these lines? All but that? | [`Usage::focus`], [`Usage::ignore`] |
//! | Only these traces? | [`Usage::filter`], [`TraceSet::filter`] |
//! | By function, by file, by [`Package`], by layer of my program? | [`TraceTable::by_function`], [`by_file`](TraceTable::by_file), [`by_directory`](TraceTable::by_directory), [`by_package`](TraceTable::by_package), [`map_frames`](TraceTable::map_frames): a new table with the same trace ids, so that every usage fits it |
//! | Without recursion? | [`TraceTable::fold_recursion`] |
//! | Several recordings? What do two differ in? | [`MergedTraces`] |
//! | Which line is `customers.py:11`? | [`TraceTable::search`], [`TraceTable::find`]: a [`FrameId`] |
//!
//! # High level and low level
//! ```text
//!               questions ─► Usage ─► views            values: owned, ordered, Send + Sync
//!                   ▲                   ▲
//! high level     Reader ─► Digest   TraceTable         passes: each is made when it is asked for
//!                   │        │          │
//! ──────────────────┼────────┼──────────┼────────────────────────────────────────────────────────
//! low level      EventLog  DigestFile  TraceLog        borrowed: iterators over &[u8], no copies
//! (raw)          EventWriter, DigestWriter, TraceWriter        streams: to any io::Write
//!                   │        │          │
//!                 .hpd     .hpc       .hpm
//! ```
//!
//! **High.** [`Reader`] opens a profile and hands out everything else. Opening reads headers only,
//! whatever the size of the files. The log is read through a buffer, so memory does not grow with
//! it. A question about a moment reads the log from its beginning, unless a [`Digest`] is at hand:
//! then from the [`Snapshot`] before. So who asks for many moments makes one first, in memory by
//! [`Reader::digest`] or for good by [`Reader::make_digest`], as [`DigestOptions`] say, and with
//! [`Progress`]. Whether one beside the log is used, and why not, is told by [`UnusedDigest`].
//!
//! **Low.** [`raw`] is the three files as they stand on disk, and a page on their layout. Its readers
//! take any bytes; its writers make recordings. An [`Event`] has its [`EventKind`], size, trace and two
//! times; an iterator can say at which [`LogPosition`] it stands, and be resumed there when the file has
//! grown.
//!
//! ```
//! use heapprof::raw::EventLog;
//!
//! let bytes = std::fs::read("examples/data/demo.hpd")?;
//! let mut live = 0;
//! for event in EventLog::new(&bytes).events() {
//!     live += event?.signed_size();
//! }
//! assert_eq!(live, 8_334_103);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! In between are [`LogEvents`], the same loop over a file that need not fit memory, and
//! [`LiveHeap`], which says what is live on the way.
//!
//! The library draws nothing and prints nothing. The examples do: `report`, `time_plot`,
//! `flow_graph`, `flame_graph`, and a [way to each of several other
//! tools](cookbook#how-do-i-hand-a-profile-to-another-tool). They are made to be copied.
//!
//! # What the words mean
//! * **Time** is in whole microseconds. The log's clock is the wall clock and can step back, so an
//!   event has two times: [`WallOffset`] as recorded, relative to the [`StartTime`], and [`Elapsed`],
//!   which only ever grows. Both lose half a microsecond an event; the corrected [`Clock`] makes that
//!   good.
//! * A **trace** is a stack, named by a [`TraceId`]; a **frame** is a line of code in it, a [`Frame`],
//!   or an [`OwnedFrame`] where it is to be kept.
//! * An **estimate** is what a recorded block stands for in a sampled recording: see
//!   [`SamplingRates`], which are [`SamplingRange`]s, also for why those that a file states can be
//!   wrong.
//! * The **live heap** at a time is all events up to that time, in the order of the log.
//! * **Local** usage of a line is that of all traces that *end* at it, **cumulative** usage that of
//!   all that *contain* it, each counted once however often the line recurs in it.
//! * **Unknown** is what has no stack. It is part of every total.
//! * **Damage** is a record that makes no sense: a [`DecodeError`]. What is whole is used, and what is
//!   derived from it [says so](Usage::is_damaged). A log that is cut is a normal log: all up to its
//!   last whole event.
//!
//! # What you can rely on
//! Answers are exact, the same every time, and the same for all threads that share a reader. Any bytes
//! are input: what is wrong is the [`Error`] of a [`Result`], or told beside the result, with
//! [`FileKind`], offset and [`DecodeErrorKind`]; a writer says by an [`EncodeError`] what it refused, and
//! a text that is no line of code is a [`ParseFrameError`]. The log is never written to. The page
//! [`what_you_can_rely_on`] has each promise, how it is tested, and what may change with versions.
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
mod id_set;
#[allow(
    dead_code,
    reason = "every method is used once the tables of traces are made of it"
)]
mod id_vec;
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

#[doc = include_str!("../doc/cookbook.md")]
pub mod cookbook {}

#[doc = include_str!("../doc/coming_from_heapprof.md")]
pub mod coming_from_heapprof {}

#[doc = include_str!("../doc/what_you_can_rely_on.md")]
pub mod what_you_can_rely_on {}

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;

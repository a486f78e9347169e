//! Reads recorded heap profiles, and answers where the memory went.
//!
//! Python's `heapprof` logs every sampled allocation and free of a program, with stacks. This crate
//! reads such recordings, queries them, and writes them: any program that knows its stacks can record with it.
//!
//! ```
//! use heapprof::Reader;
//! use heapprof::view::Lines;
//!
//! let reader = Reader::open("examples/data/demo")?;
//! // A query gives a usage, the bytes of each trace. What is live at the end?
//! let usage = reader.live_at_end()?;
//! // A view shows a usage. Which lines of code hold it?
//! let lines = Lines::new(reader.traces()?, &usage);
//! for line in lines.by_local().take(3) {
//!     println!("{:>9} {}", line.local, line.frame);
//! }
//! assert_eq!(lines.by_local().next().unwrap().frame.line, 11);
//! # Ok::<(), heapprof::Error>(())
//! ```
//!
//! All examples use `examples/data/demo`, the profile that ships with the crate. For a profile of your own, [record a
//! Rust program](cookbook#how-do-i-record-a-rust-program), [convert a recording of
//! heaptrack](cookbook#how-do-i-read-a-recording-of-heaptrack), or [write the
//! files](cookbook#how-do-i-write-a-recording-from-my-own-program).
//!
//! This page is a tour. The [`cookbook`] has recipes with their output. [`coming_from_heapprof`] translates names, also
//! for users of memray, heaptrack and pprof.
//!
//! # Queries and views
//! A query asks the log and returns a [`Usage`], a weight for each trace. A view takes a [`TraceTable`] and a usage.
//! So any query goes with any view.
//!
//! ```text
//! .hpd ─ events ─► queries ───► Usage ──►  views
//!                  live at t, at the end    by line (local, cumulative)
//!                  live at the peak         flow graph, for several usages side by side
//!                  growth from a to b       flame graph, inverted, of a difference
//!                  allocated, temporary     callers and callees of a line
//! .hpm ─ traces ─► TraceTable ──────────►  (same trace ids)
//!                  regrouped, merged
//! ```
//!
//! | you want to know | ask |
//! | --- | --- |
//! | What was live at 3 240 s? At the end? | [`Reader::live_at`], [`Reader::live_at_end`] |
//! | When was the most in use, and by whom? | [`Reader::peak`]; without the usage [`Reader::high_water`] |
//! | What grew between two moments? | [`Reader::growth`] |
//! | How did it change over time? | [`Reader::envelope`], and of lines and traces [`Reader::time_series`] |
//! | What leaks? | [`Reader::leaks`] |
//! | Who allocates the most, who makes temporary blocks? | [`Reader::churn`], [`Reader::churn_over_time`] |
//! | How many blocks are live, how large are they, how long do they live? | [`Reader::live_blocks`], [`Reader::sizes`], [`Reader::lifetimes`] |
//! | How far off can an estimate be? | [`Reader::error_bars`] |
//! | Can the sampling rates be true? Which rates are enough next time? | [`Reader::rates_check`], [`Reader::sampling_advice`] |
//! | Is the recording whole? | [`Reader::damage`], [`Reader::sanity`] |
//! | How was it recorded, by what command? | [`Reader::properties`] |
//! | When was 14:32:05, by the clock on the wall? | [`Reader::elapsed_at`], [`Reader::time_at`] |
//!
//! Each is a pass over the log. [`Reader::ask`] runs several queries in one pass, restricts them to a part of the
//! recording or of the program, and runs queries of your own. The module [`query`] has all of them, the module
//! [`view`] all views.
//!
//! # Between queries and views
//! | you want | use |
//! | --- | --- |
//! | Sums and differences | usages add and subtract: `&after - &before` |
//! | Only what goes through some lines? All but that? | [`Usage::focus`], [`Usage::ignore`] |
//! | Only some traces? | [`Usage::filter`], [`TraceSet::filter`](query::TraceSet::filter) |
//! | By function, file, package, or layer of your program? | [`TraceTable::by_function`], [`by_file`](TraceTable::by_file), [`by_directory`](TraceTable::by_directory), [`by_package`](TraceTable::by_package), [`map_frames`](TraceTable::map_frames): a new table with the same trace ids, so every usage fits it |
//! | Without recursion? | [`TraceTable::fold_recursion`] |
//! | Several recordings in one picture? Their difference? | [`MergedTraces`](view::MergedTraces) |
//! | The line `customers.py:11`, or the function `Cache::insert` | [`TraceTable::search`], [`TraceTable::find`]: a [`FrameId`] |
//!
//! # The three files
//! A profile is one *filebase* with up to three files: `runs/nightly` stands for `runs/nightly.hpm`,
//! `runs/nightly.hpd` and `runs/nightly.hpc`.
//!
//! | file | holds | read by | written by |
//! | --- | --- | --- | --- |
//! | `.hpm` | when it began, how it was sampled, and the stack of each trace; in version 2 also the names of functions | [`TraceTable`], [`raw::TraceLog`] | [`raw::TraceWriter`] |
//! | `.hpd` | the log: one event for each recorded allocation and free | [`Reader::events`], [`raw::EventLog`], [`raw::EventReader`] | [`raw::EventWriter`] |
//! | `.hpc` | the digest: what was live at regular moments | [`Digest`], [`raw::DigestFile`] | [`Reader::make_digest`], or [`raw::DigestWriter`] |
//!
//! The first two are the recording. The third is made from them, and can be made again at any time.
//!
//! # High level and low level
//! ```text
//!                queries ──► Usage ──► views           values: owned, ordered, Send + Sync
//!                   ▲                   ▲
//! high level     Reader ─► Digest   TraceTable         passes: each query makes one
//!                   │        │          │
//! ──────────────────┼────────┼──────────┼────────────────────────────────────────────────────────
//! low level      EventLog  DigestFile  TraceLog        borrowed: iterators over &[u8], no copies
//! (raw)          EventWriter, DigestWriter, TraceWriter        streams: to any io::Write
//!                   │        │          │
//!                 .hpd     .hpc       .hpm
//! ```
//!
//! **High.** [`Reader`] opens a profile. Opening reads headers only, whatever the size of the files. The log is read
//! through a buffer, so memory does not grow with it. A query about a moment reads the log from its start, or from the
//! last [`Snapshot`] before if the reader has a [`Digest`]. So make a digest before you ask for many moments: in memory
//! with [`Reader::digest`], or in a file with [`Reader::make_digest`]. [`DigestOptions`] set its interval, and report
//! [`Progress`]. If the reader does not use the digest beside the log, [`UnusedDigest`] says why.
//!
//! **Low.** [`raw`] is the three files as they are on disk, and a page on their layout. Its readers take any bytes; its
//! writers make recordings. An [`Event`] has its [`EventKind`], size, trace and two times. An iterator has a
//! [position](raw::LogPosition), from which it resumes when the file has grown.
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
//! The library draws nothing and prints nothing. The examples do: `report`, `time_plot`, `flow_graph`, `flame_graph`,
//! and [exports to several other tools](cookbook#how-do-i-hand-a-profile-to-another-tool). They are made to be copied.
//!
//! # What the words mean
//! * **Time** is in whole microseconds. The log's clock is the wall clock and can step back, so an
//!   event has two times: [`WallOffset`] as recorded, relative to the [`StartTime`], and [`Elapsed`],
//!   which only grows. Other [`Clock`]s add the half microsecond an event that heapprof's recorder loses, or shorten
//!   leaps of the clock.
//! * A **trace** is a stack with a [`TraceId`]. A **frame** is a call site in it, a [`Frame`], or an [`OwnedFrame`] to
//!   keep. A [`Trace`] has the frames of one.
//! * An **estimate** is what a recorded block stands for in a sampled recording: see [`SamplingRates`], also for why
//!   the rates that a file states can be wrong.
//! * The **live heap** at a time is all events up to that time, in the order of the log.
//! * **Local** usage of a line is that of all traces that *end* at it, **cumulative** usage that of
//!   all that *contain* it, each counted once however often the line recurs in it.
//! * **Unknown** is what has no stack. It is part of every total.
//! * **Damage** is a record that makes no sense: a [`raw::DecodeError`]. What is whole is used, and every result that
//!   is derived from damaged input [says so](Usage::is_damaged). A cut log is a normal log: all up to its last whole
//!   event.
//!
//! # What you can rely on
//! Results are exact, the same every time, and the same for all threads that share a reader. Any bytes
//! are input: a failure is the [`Error`] of a [`Result`], with file, offset and kind. The log is never written to.
//! [`what_you_can_rely_on`] lists each promise, how it is tested, and what may change between versions.
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

pub mod view;

pub mod query;

mod reader;

mod digest;

mod heap;
mod per_trace;
mod replay;

mod frame;
mod intern;
mod log;
mod trace;
mod tree;
pub mod usage;

pub mod raw;

mod bit_set;
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
#[cfg(feature = "serde")]
mod serde_as;
mod time;

pub use digest::{Digest, DigestOptions, Progress, Snapshot, UnusedDigest};
pub use error::{Error, Result};
pub use frame::{Frame, OwnedFrame};
pub use id::{FrameId, TraceId};
pub use raw::hpd::{Event, EventKind};
pub use raw::rates::SamplingRates;
pub use reader::Reader;
pub use time::{Clock, Elapsed, StartTime, WallOffset};
pub use trace::{Trace, TraceTable};
pub use usage::Usage;

// `tests/cookbook.rs` tests the recipes.
#[cfg_attr(not(doctest), doc = include_str!("../doc/cookbook.md"))]
pub mod cookbook {}

#[doc = include_str!("../doc/coming_from_heapprof.md")]
pub mod coming_from_heapprof {}

#[doc = include_str!("../doc/what_you_can_rely_on.md")]
pub mod what_you_can_rely_on {}

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;

//! What results look like to [serde], with the feature `serde`.
//!
//! Every result implements [`Serialize`]; ids, times and usages, of which a program may want to
//! read again what it has written, implement [`Deserialize`](serde::Deserialize) too. The module has
//! no items: the table below is what it is for.
//!
//! ```
//! use heapprof::{Reader, Usage};
//!
//! let reader = Reader::open("examples/data/demo")?;
//! let peak = reader.peak()?;
//! let json = serde_json::to_value(&peak)?;
//! assert_eq!(json["time_us"], 12_678_881);
//! assert_eq!(json["usage"][0], serde_json::json!([43, 4_888_112])); // the heaviest trace
//!
//! let usage: Usage = serde_json::from_value(json["usage"].clone())?;
//! assert_eq!(&usage, peak.usage());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Rules
//! * A field has the name of the field or the method that gives it, without `is_`. Where it is a time it
//!   says its unit too: `time_us` are whole microseconds, `mean_ns` whole nanoseconds.
//! * A trace is its number, and unknown is null. A line that is named by its id is a number: its
//!   place among the `frames` of the [`TraceTable`](crate::TraceTable), from 0.
//! * What is by trace is a list of pairs, the trace and its value: `[[7, 300], [null, 1]]`.
//! * Lists have the order of the iterator that gives them, which never is that of a hash.
//! * Sizes from one to another are `from` and `to` where the last is included, and `from` and `below`
//!   where it is not.
//! * Words are in small letters with underscores: `"cannot_tell"`.
//! * What may be absent is null. No field is ever left out.
//! * `damaged` says whether a result is derived from [damaged](crate::Usage::is_damaged) input. Usages and
//!   flame graphs are lists and have no place for it.
//!
//! Flame graphs and stacks are flat lists, so that the deepest recursion that was recorded neither
//! ends the program that writes it nor exceeds what a parser of JSON allows.
//!
//! JSON has no limit for numbers, but JavaScript has: beyond 2⁵³ it rounds. Balances of damaged logs
//! can be as large. JSON has no infinity either: `serde_json` writes what is not finite as null.
//!
//! # Shapes
//! | type | shape |
//! | --- | --- |
//! | [`TraceId`](crate::TraceId) ⇄ | number from 1 |
//! | [`FrameId`](crate::FrameId) | number from 0 |
//! | [`Elapsed`](crate::Elapsed) ⇄, [`WallOffset`](crate::WallOffset) ⇄ | number: microseconds |
//! | [`StartTime`](crate::StartTime) ⇄ | `{seconds, nanoseconds}` |
//! | [`Clock`](crate::Clock) ⇄ | `"recorded"`, `"corrected"`, `{gaps_closed}` with the limit in microseconds |
//! | [`EventKind`](crate::EventKind) ⇄ | `"allocation"`, `"free"` |
//! | [`FileKind`](crate::raw::FileKind) ⇄ | `"hpm"`, `"hpd"`, `"hpc"` |
//! | [`Event`](crate::Event) ⇄ | `{elapsed_us, wall_us, size, trace, kind}` |
//! | [`LogPosition`](crate::raw::LogPosition) ⇄ | `{offset, events, elapsed_us, wall_us, clock, closed_us}` |
//! | [`Frame`](crate::Frame), [`OwnedFrame`](crate::OwnedFrame) ⇄ | `{file, line, function}` |
//! | [`Trace`](crate::Trace) | list of `{file, line, function}`, outermost first |
//! | [`TraceTable`](crate::TraceTable) | `{frames: [{file, line, function}], traces: [[trace, [frame id, …]]], damage, damaged}`, each stack outermost first |
//! | [`SamplingRange`](crate::raw::SamplingRange) ⇄ | `{upper_size, probability}` |
//! | [`SamplingRates`](crate::SamplingRates) ⇄ | list of these |
//! | [`DecodeError`](crate::raw::DecodeError) | `{file, offset, kind, …, kept, message}`: `kind` is the name of the [kind](crate::raw::DecodeErrorKind), after it come the numbers that it has |
//! | [`DecodeErrorKind`](crate::raw::DecodeErrorKind) | `{kind, …}` |
//! | [`Usage`](crate::Usage) ⇄ | `[[trace, weight]]`, heaviest first; in any order when read, where pairs of one trace add up |
//! | [`Snapshot`](crate::Snapshot) | `{time_us, total, usage, damaged}` |
//! | [`Digest`](crate::Digest) | `{start, interval_us, precision, rates, clock, foreign, stopped, damage, damaged, snapshots}`; fails at a snapshot that cannot be read |
//! | [`Lines`](crate::view::Lines) | `{total, unknown, lines, damaged}`, the largest local usage first |
//! | [`LineUsage`](crate::view::LineUsage) | `{frame, id, local, cumulative}` |
//! | [`FlowGraph`](crate::view::FlowGraph) | `{columns, nodes, edges, damaged}`: |
//! | its columns | `{total, unknown}` |
//! | its nodes | `{id, root, lines, line_ids, local, cumulative, begins}`, the last three a list with a number for each column |
//! | its edges | `{from, to, weights, residual}`, with the ids of nodes, and a weight for each column |
//! | [`FlameGraph`](crate::view::FlameGraph) | list of `{label, id, parent, depth, offset, width, own, total}`: a node before its children; `parent` is a place in the list, null for the root |
//! | [`FlameLabel`](crate::view::FlameLabel) | `{kind, frame}` with the kinds `"all"`, `"line"`, `"unknown"`, `"other"`; the frame is null unless it is a line |
//! | [`FlameWeight`](crate::view::FlameWeight) | `{gain, loss}` |
//! | [`FlameNode`](crate::view::FlameNode) | `{label, id, own, total}`, without its children |
//! | [`FlameBar`](crate::view::FlameBar) | `{node, depth, offset, width}` |
//! | [`FoldedStack`](crate::view::FoldedStack) | `{labels, weight, parts}` |
//! | [`Sandwich`](crate::view::Sandwich) | `{line, local, cumulative, callers, callees, caller_tree, callee_tree, damaged}` |
//! | [`Neighbour`](crate::view::Neighbour) | `{frame, id, weight}` |
//! | [`TimeSeries`](crate::view::TimeSeries) | `{times_us, total, tracks: [{track, values}], damaged}` |
//! | [`Track`](crate::query::Track) | `{kind, id}` with the kinds `"trace"`, `"local"`, `"cumulative"`, `"unknown"`; the id is that of the trace or the line |
//! | [`Series`](crate::view::Series) | `{times_us, values, damaged}` |
//! | [`Movements`](crate::view::Movements) | `{trend, rises, falls, damaged}` |
//! | [`Trend`](crate::view::Trend) | `{bytes_per_second, change, explained}` |
//! | [`Movement`](crate::view::Movement) | `{from_us, to_us, change, beyond_trend}` |
//! | [`Peak`](crate::query::Peak) | `{time_us, events, total, usage, damaged}` |
//! | [`HighWater`](crate::query::HighWater) | `{time_us, events, total, damaged}` |
//! | [`Churn`](crate::query::Churn) | `{total, rows: [[trace, …]], damaged}` of |
//! | [`TraceChurn`](crate::query::TraceChurn) | `{allocations, frees, allocated, freed, largest, temporary, temporary_bytes, recorded_allocations, recorded_frees, recorded_temporary}` |
//! | [`ChurnOverTime`](crate::query::ChurnOverTime) | `{step_us, steps, damaged}` |
//! | [`ChurnStep`](crate::query::ChurnStep) | `{from_us, to_us, allocations, frees, allocated, freed, recorded_allocations, recorded_frees}` |
//! | [`Envelope`](crate::query::Envelope) | `{step_us, steps, damaged}` |
//! | [`EnvelopeStep`](crate::query::EnvelopeStep) | `{from_us, to_us, lowest, highest, last}` |
//! | [`LiveBlocks`](crate::query::LiveBlocks) | `{recorded, estimated, error_bars, damaged}`, the first two as a usage |
//! | [`Sizes`](crate::query::Sizes) | `{total, buckets, damaged}` |
//! | [`SizeBucket`](crate::query::SizeBucket) | `{from, to, allocations, bytes, recorded_allocations, recorded_bytes}` |
//! | [`Lifetimes`](crate::query::Lifetimes) | `{total, rows: [[trace, …]], damaged}` of |
//! | [`TraceLifetimes`](crate::query::TraceLifetimes) | `{freed, live, unmatched, mean_ns}`: the two bounds of the mean as a pair, null if none were freed |
//! | [`Leaks`](crate::query::Leaks) | `{window_us, traces, lines, damaged}` |
//! | [`TraceLeak`](crate::query::TraceLeak), [`LineLeak`](crate::query::LineLeak) | `{trace, growth}`, `{id, growth, trace}` with the id of the line |
//! | [`Growth`](crate::query::Growth) | `{score, bytes, grew, windows, from_us, bytes_per_second, allocated, freed}` |
//! | [`ErrorBars`](crate::query::ErrorBars) | `{total, rows: [[trace, estimate]], unseen: [{from, below}], damaged}` |
//! | [`Estimate`](crate::query::Estimate) | `{value, variance, standard_error, blocks, exact, rough}` |
//! | [`Blame`](crate::view::Blame) | `{total, rows, recognised, damaged}` |
//! | [`BlameRow`](crate::view::BlameRow) | `{frame, id, own, weight}`: the id is that of [`Blame::table`](crate::view::Blame::table) |
//! | [`BlamePath`](crate::view::BlamePath) | `{frames, weight}` |
//! | [`LineErrorBars`](crate::view::LineErrorBars) | `{total, unknown, lines, damaged}`, estimates, the largest local estimate first |
//! | [`LineEstimate`](crate::view::LineEstimate) | `{frame, id, local, cumulative}` |
//! | [`Sanity`](crate::query::Sanity) | `{events, sound, issues, corruption, gaps, closing_clock, damaged}` |
//! | [`Issue`](crate::query::Issue) | `{first, last_offset, count}` |
//! | [`Corruption`](crate::query::Corruption) | `{offset, events, elapsed_us}` |
//! | [`Gap`](crate::query::Gap) | `{from_us, length_us, offset}` |
//! | [`RatesCheck`](crate::query::RatesCheck) | `{verdict, log_odds, evidence, damaged}` |
//! | [`RatesVerdict`](crate::query::RatesVerdict) | `"look_wrong"`, `"look_right"`, `"cannot_tell"` |
//! | [`RatesEvidence`](crate::query::RatesEvidence) | `{kind, …}` and the fields of the kind: `"never_recorded"`, `"too_fast"`, `"edge"`, `"counts"` |
//! | [`SamplingAdvice`](crate::query::SamplingAdvice) | `{recordings, damaged}` |
//! | [`ExpectedRecording`](crate::query::ExpectedRecording) | `{rates, allocations, frees, allocated, live_at_end, live_at_peak}` |
//! | [`ExpectedEstimate`](crate::query::ExpectedEstimate) | `{bytes, unseen, standard_error}` |
//!
//! ⇄ marks what can be read, too.
//!
//! # What you can rely on
//! The shapes are part of the crate's interface: what a field is called and what it means changes only
//! in a version that may break. Fields can be added in others; what reads ignores those that it does not
//! know. So keep what should last in a format that names its fields, like JSON; one that does
//! not, like postcard, is for programs with the same version of this crate.

use serde::ser::{Serialize, Serializer};

mod answers;
mod plain;
mod usage;
mod views;

/// Serialises a type as a struct with these fields, in this order.
macro_rules! shapes {
    ($($type:ident $(<$life:lifetime>)? as $this:ident { $($field:literal: $value:expr,)+ })+) => {$(
        impl ::serde::Serialize for $type $(<$life>)? {
            fn serialize<S: ::serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                use ::serde::ser::SerializeStruct as _;
                let $this = self;
                let names = [$($field),+];
                let mut fields = serializer.serialize_struct(stringify!($type), names.len())?;
                $(fields.serialize_field($field, &$value)?;)+
                fields.end()
            }
        }
    )+};
}
use shapes;

/// What an iterator gives, as a list.
struct List<F>(F);

impl<F: Fn() -> I, I: Iterator<Item: Serialize>> Serialize for List<F> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq((self.0)())
    }
}

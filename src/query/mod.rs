//! Queries of the log: what is live, what changes, what passes through, and how far to trust it.
//!
//! `Noun::query()` makes the query for a `Noun`, [`Reader::ask`](crate::Reader::ask) runs it, alone or several in one
//! pass, and `reader.noun()` is short for the query without options. A query knows what the reader knows: the sampling
//! rates, the stacks, the length of the recording.
//!
//! ```
//! use heapprof::query::{Churn, Live, Peak, TraceSet, Track};
//! use heapprof::{Elapsed, Reader};
//!
//! let reader = Reader::open("examples/data/demo")?;
//! let line = reader.traces()?.search("customers.py:11")[0];
//! let customers = TraceSet::of(reader.traces()?, [Track::Cumulative(line)]);
//! let (peak, live, churn) = reader.ask((
//!     Peak::query().within(..Elapsed::from_secs(10)),
//!     Live::query().at(Elapsed::from_secs(5)),
//!     Churn::query().of(&customers),
//! ))?;
//! assert_eq!((peak.total(), live.total()), (4_394_128, 2_248_163));
//! assert_eq!(churn.total().allocations, 4_640);
//! # Ok::<(), heapprof::Error>(())
//! ```
//!
//! The builder methods have the same names everywhere:
//!
//! | method | restricts a query to |
//! | --- | --- |
//! | `within(window)` | a part of the recording: `a..b`, `..b`, `a..` (see [`Window`]). For what is live: its growth in that part |
//! | `at(time)` | what is live at a time; the default is the end of the log |
//! | `after_events(number)` | what is live after this number of events |
//! | `of(&traces)` | a [`TraceSet`], for example the traces of a line, by [`Track`]s |
//! | `every(step)` | steps of this length |
//!
//! # All queries
//! | you want to know | query | result |
//! | --- | --- | --- |
//! | **what is there** | | |
//! | What is live at a moment? What grew between two? | [`Live`]: [`LiveQuery`] | [`Usage`](crate::Usage) |
//! | When was the most in use, and by whom? | [`PeakQuery`] | [`Peak`], with its [`HighWater`] |
//! | How many blocks are live? | [`LiveBlocksQuery`] | [`LiveBlocks`] |
//! | **what changes** | | |
//! | How does the total change, with every spike? | [`EnvelopeQuery`] | [`Envelope`] of [`EnvelopeStep`] |
//! | What leaks? | [`LeaksQuery`] | [`Leaks`]: [`LineLeak`], [`TraceLeak`], [`Growth`] |
//! | **what passes through** | | |
//! | Who allocates the most, who makes temporary blocks? | [`ChurnQuery`] | [`Churn`] of [`TraceChurn`] |
//! | When does it allocate, and how fast? | [`ChurnOverTimeQuery`] | [`ChurnOverTime`] of [`ChurnStep`] |
//! | How large are the blocks? | [`SizesQuery`] | [`Sizes`] of [`SizeBucket`] |
//! | How long do they live? | [`LifetimesQuery`] | [`Lifetimes`] of [`TraceLifetimes`] |
//! | **how far to trust it** | | |
//! | How far off can an estimate be? | [`ErrorBarsQuery`] | [`ErrorBars`] of [`Estimate`] |
//! | Can the sampling rates be true? | [`RatesCheckQuery`] | [`RatesCheck`]: [`RatesVerdict`], [`RatesEvidence`] |
//! | Which rates are enough next time? | [`SamplingAdviceQuery`] | [`SamplingAdvice`]: an [`ExpectedRecording`] with [`ExpectedEstimate`]s for each |
//! | Is the log sound? Where does it stop making sense? | [`SanityQuery`] | [`Sanity`]: [`Issue`], [`Corruption`], [`Gap`] |
//!
//! # Your own
//! Implement [`Query`]. It is given a [`QueryStart`], each [`AppliedEvent`] with the [`LiveHeap`] after it, and a
//! [`QueryEnd`]. A tuple of queries is a [`QueryGroup`]. This one finds the most bytes that each trace had
//! live, and when. The maxima are of different moments, so their sum is of none:
//!
//! ```
//! use heapprof::query::{AppliedEvent, LiveHeap, Query, QueryEnd};
//! use heapprof::{Elapsed, Reader, TraceId};
//! use std::collections::BTreeMap;
//! use std::ops::ControlFlow;
//!
//! #[derive(Default)]
//! struct OwnMaxima(BTreeMap<Option<TraceId>, (i64, Elapsed)>);
//!
//! impl Query for OwnMaxima {
//!     type Output = BTreeMap<Option<TraceId>, (i64, Elapsed)>;
//!
//!     fn observe(&mut self, applied: &AppliedEvent, _: &LiveHeap) -> ControlFlow<()> {
//!         let maximum = self.0.entry(applied.event.trace).or_default();
//!         if applied.trace_after > maximum.0 {
//!             *maximum = (applied.trace_after, applied.event.elapsed);
//!         }
//!         ControlFlow::Continue(())
//!     }
//!
//!     fn finish(self, _: &QueryEnd<'_>) -> Self::Output {
//!         self.0
//!     }
//! }
//!
//! let reader = Reader::open("examples/data/demo")?;
//! let maxima = reader.ask(OwnMaxima::default())?;
//! let largest = maxima.values().max().unwrap();
//! assert_eq!(*largest, (8_150_081, Elapsed::from_micros(21_628_244)));
//! # Ok::<(), heapprof::Error>(())
//! ```
//!
//! A loop over [`LogEvents`], from [`Reader::events`](crate::Reader::events), does for what needs no live heap.

mod ask;
mod block_counts;
mod churn;
mod churn_over_time;
mod envelope;
pub(crate) mod error_bars;
mod leaks;
mod lifetimes;
mod live;
mod live_blocks;
mod moment;
mod peak;
mod rates_check;
mod sampling_advice;
mod sanity;
mod scope;
mod sizes;
mod steps;
mod trace_rows;
mod trace_set;
mod undo_log;
mod wall;
mod window;

pub use crate::heap::LiveHeap;
pub use crate::log::LogEvents;
pub use ask::{AppliedEvent, Query, QueryEnd, QueryGroup, QueryStart};
pub use churn::{Churn, ChurnQuery, TraceChurn};
pub use churn_over_time::{ChurnOverTime, ChurnOverTimeQuery, ChurnStep};
pub use envelope::{Envelope, EnvelopeQuery, EnvelopeStep};
pub use error_bars::{ErrorBars, ErrorBarsQuery, Estimate};
pub use leaks::{Growth, Leaks, LeaksQuery, LineLeak, TraceLeak};
pub use lifetimes::{Lifetimes, LifetimesQuery, TraceLifetimes};
pub use live::{Live, LiveQuery};
pub use live_blocks::{LiveBlocks, LiveBlocksQuery};
pub use peak::{HighWater, Peak, PeakQuery};
pub use rates_check::{RatesCheck, RatesCheckQuery, RatesEvidence, RatesVerdict};
pub use sampling_advice::{
    ExpectedEstimate, ExpectedRecording, SamplingAdvice, SamplingAdviceQuery,
};
pub use sanity::{Corruption, Gap, Issue, Sanity, SanityQuery};
pub use sizes::{SizeBucket, Sizes, SizesQuery};
pub use trace_set::{TraceSet, Track};
pub use window::Window;

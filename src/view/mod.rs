//! Views: ways of looking at what queries return. Each takes a [`TraceTable`](crate::TraceTable) and a
//! [`Usage`](crate::Usage).
//!
//! ```
//! use heapprof::Reader;
//! use heapprof::view::{FlameGraph, FlowGraph, Lines};
//!
//! let reader = Reader::open("examples/data/demo")?;
//! let (traces, usage) = (reader.traces()?, reader.live_at_end()?);
//! assert_eq!(Lines::new(traces, &usage).len(), 38);
//! assert_eq!(FlameGraph::new(traces, &usage).min_fraction(0.01).len(), 12);
//! assert_eq!(FlowGraph::new(traces, &usage).nodes().len(), 38);
//! # Ok::<(), heapprof::Error>(())
//! ```
//!
//! | you want to see | view |
//! | --- | --- |
//! | Which stacks hold it? | [`Usage::iter`](crate::Usage::iter) and [`TraceTable::trace`](crate::TraceTable::trace) |
//! | Which lines hold it, by themselves and with all they call? | [`Lines`] of [`LineUsage`] |
//! | Which of my own lines are responsible? | [`Blame`] of [`BlameRow`]s and their [`BlamePath`]s |
//! | The same with error bars? | [`LineErrorBars`] of [`LineEstimate`] |
//! | How does it flow through the lines? Then and now? | [`FlowGraph`] of [`FlowNode`]s, with [`FlowNodeId`]s, and [`FlowEdge`]s, for one usage or several; pruned by [`FlowOptions`] and their [`EdgeBase`] |
//! | Which stacks, as a tree to draw? | [`FlameGraph`] of [`FlameNode`]s, each with a [`FlameLabel`] and a [`FlameWeight`], and [`FlameBar`]s to draw them by; as text [`Folded`] into [`FoldedStack`]s |
//! | Who leads to a line, and where does it lead? | [`Sandwich`] of [`Neighbour`]s |
//! | How do lines and traces change over time? | [`TimeSeries`] of [`Series`], from a [`Digest`](crate::Digest) |
//! | Is it creeping up, or does it jump? | [`Movements`]: [`Trend`], [`Movement`] |
//! | What does the line say? | [`SourceLines`]: a [`SourceLine`] |
//! | Which package is a file of? Is it own code? | [`Package`], by the rules of [`Packages`] |
//! | Several recordings in one view? | [`MergedTraces`] |
//!
//! Graphs have options with the same names: `max_nodes` is a limit on the number of nodes, `min_fraction` leaves out
//! nodes that are smaller than this fraction of the total.

mod blame;
mod flame;
mod flow;
mod focus;
mod groups;
mod line_error_bars;
mod lines;
mod movements;
mod sandwich;
mod series;
mod source;
mod subtree;

pub use crate::trace::{MergedTraces, Package, Packages};
pub use blame::{Blame, BlamePath, BlameRow};
pub use flame::{FlameBar, FlameGraph, FlameLabel, FlameNode, FlameWeight, Folded, FoldedStack};
pub use flow::{EdgeBase, FlowEdge, FlowGraph, FlowNode, FlowNodeId, FlowOptions};
pub use line_error_bars::{LineErrorBars, LineEstimate};
pub use lines::{LineUsage, Lines};
pub use movements::{Movement, Movements, Trend};
pub use sandwich::{Neighbour, Sandwich};
pub use series::{Series, TimeSeries};
pub use source::{SourceLine, SourceLines};

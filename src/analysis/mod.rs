//! The high-level API: ways of looking at usages and digests. One file, one question or one view.

mod flame;
mod flow;
mod lines;
mod live;
mod live_blocks;
mod movements;
mod peak;
mod question;
mod series;
mod trace_set;
mod window;

pub use flame::{FlameBar, FlameGraph, FlameLabel, FlameNode, FlameWeight, Folded, FoldedStack};
pub use flow::{EdgeBase, FlowEdge, FlowGraph, FlowNode, FlowOptions};
pub use lines::{LineUsage, Lines};
pub use live::Live;
pub use live_blocks::{LiveBlocks, LiveBlocksQuestion};
pub use movements::{Movement, Movements, Trend};
pub use peak::{Peak, PeakQuestion};
pub use question::{LogEnd, LogPlace, LogStep, Question, Questions};
pub use series::{Series, TimeSeries, Track};
pub use trace_set::TraceSet;

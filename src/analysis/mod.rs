//! The high-level API: queries, which read a log, and views of usages and digests. Each has its own file.

mod bit_set;
mod churn;
mod churn_over_time;
mod error_bars;
mod flame;
mod flow;
mod focus;
mod groups;
mod leaks;
mod lifetimes;
mod lines;
mod live;
mod live_blocks;
mod movements;
mod peak;
mod question;
mod rates_check;
mod sampling_advice;
mod sandwich;
mod sanity;
mod scope;
mod series;
mod sizes;
mod subtree;
mod trace_rows;
mod trace_set;
mod undo_log;
mod wall;
mod window;

pub use churn::{Churn, ChurnQuestion, TraceChurn};
pub use churn_over_time::{ChurnOverTime, ChurnOverTimeQuestion, ChurnStep};
pub use error_bars::{
    ErrorBars, ErrorBarsAt, ErrorBarsOfGrowth, Estimate, LineErrorBars, LineEstimate,
};
pub use flame::{FlameBar, FlameGraph, FlameLabel, FlameNode, FlameWeight, Folded, FoldedStack};
pub use flow::{EdgeBase, FlowEdge, FlowGraph, FlowNode, FlowOptions};
pub use leaks::{FindLeaks, Growth, Leaks, LineLeak, TraceLeak};
pub use lifetimes::{Lifetimes, LifetimesQuestion, TraceLifetimes};
pub use lines::{LineUsage, Lines};
pub use live::Live;
pub use live_blocks::{LiveBlocks, LiveBlocksQuestion};
pub use movements::{Movement, Movements, Trend};
pub use peak::{HighWater, Peak, PeakQuestion};
pub use question::{LogEnd, LogPlace, LogStep, Question, Questions};
pub use rates_check::{CheckRates, RatesCheck, RatesEvidence, RatesVerdict};
pub use sampling_advice::{ExpectedEstimate, RatesAdvice, SamplingAdvice};
pub use sandwich::{Neighbour, Sandwich};
pub use sanity::{Finding, Noise, Sanity, SanityCheck};
pub use series::{Series, TimeSeries, Track};
pub use sizes::{SizeBucket, Sizes, SizesQuestion};
pub use trace_set::TraceSet;

//! The high-level API: ways of looking at usages and digests. One file, one question or one view.

mod error_bars;
mod flame;
mod flow;
mod leaks;
mod lines;
mod live;
mod movements;
mod question;
mod rates_check;
mod sanity;
mod series;
mod wall;

pub use error_bars::{
    ErrorBars, ErrorBarsAt, ErrorBarsOfGrowth, Estimate, LineErrorBars, LineEstimate,
};
pub use flame::{FlameBar, FlameGraph, FlameLabel, FlameNode, FlameWeight, Folded, FoldedStack};
pub use flow::{EdgeBase, FlowEdge, FlowGraph, FlowNode, FlowOptions};
pub use leaks::{FindLeaks, Growth, Leaks, LineLeak, TraceLeak};
pub use lines::{LineUsage, Lines};
pub use movements::{Movement, Movements, Trend};
pub use question::{LogEnd, LogPlace, LogStep, Question, Questions};
pub use rates_check::{CheckRates, RatesCheck, RatesEvidence, RatesVerdict};
pub use sanity::{Finding, Noise, Sanity, SanityCheck};
pub use series::{Series, TimeSeries, Track};

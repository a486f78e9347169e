//! Answers that are no usage.

use std::ops::Range;
use std::time::Duration;

use serde::ser::{Serialize, SerializeStruct, Serializer};

use super::{List, shapes};
use crate::analysis::{
    Churn, ChurnOverTime, ChurnStep, ErrorBars, Estimate, ExpectedEstimate, Finding, Growth,
    HighWater, Leaks, Lifetimes, LineEstimate, LineLeak, LiveBlocks, Noise, Peak, RatesAdvice,
    RatesCheck, RatesEvidence, RatesVerdict, Sanity, SizeBucket, Sizes, TraceChurn, TraceLeak,
    TraceLifetimes,
};
use crate::time::Elapsed;

shapes! {
    Peak as peak {
        "time_us": peak.time(),
        "events": peak.events(),
        "total": peak.total(),
        "usage": peak.usage(),
        "damaged": peak.is_damaged(),
    }
    HighWater as high {
        "time_us": high.time(),
        "events": high.events(),
        "total": high.total(),
        "damaged": high.is_damaged(),
    }

    Churn as churn {
        "total": churn.total(),
        "rows": List(|| churn.rows()),
        "damaged": churn.is_damaged(),
    }
    TraceChurn as row {
        "allocations": row.allocations,
        "frees": row.frees,
        "allocated": row.allocated,
        "freed": row.freed,
        "largest": row.largest,
        "temporary": row.temporary,
    }
    ChurnOverTime as churn {
        "step_us": Elapsed::from(churn.step()),
        "steps": List(|| churn.steps()),
        "damaged": churn.is_damaged(),
    }
    ChurnStep as step {
        "from_us": step.from,
        "to_us": step.to,
        "allocations": step.allocations,
        "frees": step.frees,
        "allocated": step.allocated,
        "freed": step.freed,
    }

    LiveBlocks as blocks {
        "recorded": blocks.recorded(),
        "estimated": blocks.estimated(),
        "damaged": blocks.is_damaged(),
    }

    Sizes as sizes {
        "total": sizes.total(),
        "buckets": List(|| sizes.buckets()),
        "damaged": sizes.is_damaged(),
    }
    SizeBucket as bucket {
        "from": bucket.sizes.start(),
        "to": bucket.sizes.end(),
        "allocations": bucket.allocations,
        "bytes": bucket.bytes,
        "estimated_allocations": bucket.estimated_allocations,
        "estimated_bytes": bucket.estimated_bytes,
    }

    Lifetimes as lifetimes {
        "total": lifetimes.total(),
        "rows": List(|| lifetimes.rows()),
        "damaged": lifetimes.is_damaged(),
    }
    TraceLifetimes as row {
        "freed": row.freed,
        "live": row.live,
        "unmatched": row.unmatched,
        "mean_ns": row.mean().map(|mean| (nanos(*mean.start()), nanos(*mean.end()))),
    }

    Leaks as leaks {
        "window_us": Elapsed::from(leaks.window()),
        "traces": leaks.traces(),
        "lines": leaks.lines(),
        "damaged": leaks.is_damaged(),
    }
    TraceLeak as leak {
        "trace": leak.trace,
        "growth": leak.growth,
    }
    LineLeak as leak {
        "line": leak.line,
        "growth": leak.growth,
        "trace": leak.trace,
    }
    Growth as growth {
        "score": growth.score,
        "bytes": growth.bytes,
        "grew": growth.grew,
        "windows": growth.windows,
        "from_us": growth.from,
        "bytes_per_second": growth.bytes_per_second,
        "allocated": growth.allocated,
        "freed": growth.freed,
    }

    ErrorBars as bars {
        "total": bars.total(),
        "rows": List(|| bars.iter()),
        "unseen": List(|| bars.unseen().iter().map(Below)),
        "damaged": bars.is_damaged(),
    }
    Estimate as estimate {
        "value": estimate.value(),
        "variance": estimate.variance(),
        "standard_error": estimate.standard_error(),
        "blocks": estimate.blocks(),
        "exact": estimate.is_exact(),
        "rough": estimate.is_rough(),
    }
    LineEstimate as line {
        "local": line.local,
        "cumulative": line.cumulative,
    }
    Below<'_> as sizes {
        "from": sizes.0.start,
        "below": sizes.0.end,
    }

    Sanity as sanity {
        "events": sanity.events(),
        "sound": sanity.is_sound(),
        "findings": sanity.findings(),
        "noise": sanity.noise(),
        "damaged": sanity.is_damaged(),
    }
    Finding as finding {
        "first": finding.first,
        "last": finding.last,
        "count": finding.count,
    }
    Noise as noise {
        "offset": noise.offset,
        "events": noise.events,
        "elapsed_us": noise.elapsed,
    }

    RatesCheck as check {
        "verdict": check.verdict(),
        "log_odds": check.log_odds(),
        "evidence": check.evidence(),
        "damaged": check.is_damaged(),
    }
    RatesAdvice as advice {
        "rates": advice.rates,
        "allocations": advice.allocations,
        "frees": advice.frees,
        "allocated": advice.allocated,
        "live_at_end": advice.live_at_end,
        "live_at_peak": advice.live_at_peak,
        "damaged": advice.is_damaged(),
    }
    ExpectedEstimate as estimate {
        "bytes": estimate.bytes,
        "unseen": estimate.unseen,
        "standard_error": estimate.standard_error,
    }
}

/// Sizes of which the end is not one.
struct Below<'a>(&'a Range<u64>);

/// Whole nanoseconds; what does not fit, after 584 years, is the largest number.
fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

impl Serialize for RatesVerdict {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(match self {
            Self::LookWrong => "look_wrong",
            Self::LookRight => "look_right",
            Self::CannotTell => "cannot_tell",
        })
    }
}

impl Serialize for RatesEvidence {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        /// The name of the kind, and its fields in their order.
        macro_rules! fields {
            ($kind:literal, $($field:literal: $value:expr),+ $(,)?) => {{
                let count = 1 + [$($field),+].len();
                let mut fields = serializer.serialize_struct("RatesEvidence", count)?;
                fields.serialize_field("kind", $kind)?;
                $(fields.serialize_field($field, $value)?;)+
                fields.end()
            }};
        }
        match self {
            Self::NeverRecorded {
                sizes,
                blocks,
                first,
            } => fields!(
                "never_recorded",
                "sizes": &Below(sizes),
                "blocks": blocks,
                "first": first,
            ),
            Self::TooFast {
                sizes,
                blocks,
                within,
                at,
                implied_per_second,
            } => fields!(
                "too_fast",
                "sizes": &Below(sizes),
                "blocks": blocks,
                "within_us": &Elapsed::from(*within),
                "at_us": at,
                "implied_per_second": implied_per_second,
            ),
            Self::Edge {
                size,
                below,
                above,
                stated,
                log_odds,
            } => fields!(
                "edge",
                "size": size,
                "below": below,
                "above": above,
                "stated": stated,
                "log_odds": log_odds,
            ),
            Self::Counts {
                pairs,
                equal,
                by_chance,
                log_odds,
            } => fields!(
                "counts",
                "pairs": pairs,
                "equal": equal,
                "by_chance": by_chance,
                "log_odds": log_odds,
            ),
        }
    }
}

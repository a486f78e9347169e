//! Answers that are no usage.

use std::ops::Range;
use std::time::Duration;

use super::{List, shapes};
use crate::query::{
    Churn, ChurnOverTime, Envelope, ErrorBars, Estimate, HighWater, Leaks, Lifetimes, LiveBlocks,
    Peak, RatesCheck, SamplingAdvice, Sanity, SizeBucket, Sizes, TraceLifetimes,
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
    Envelope as envelope {
        "step_us": Elapsed::from(envelope.step()),
        "steps": List(|| envelope.steps()),
        "damaged": envelope.is_damaged(),
    }
    ChurnOverTime as churn {
        "step_us": Elapsed::from(churn.step()),
        "steps": List(|| churn.steps()),
        "damaged": churn.is_damaged(),
    }

    LiveBlocks as blocks {
        "recorded": blocks.recorded(),
        "estimated": blocks.estimated(),
        "error_bars": blocks.error_bars(),
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
        "recorded_allocations": bucket.recorded_allocations,
        "recorded_bytes": bucket.recorded_bytes,
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
    Below<'_> as sizes {
        "from": sizes.0.start,
        "below": sizes.0.end,
    }

    Sanity as sanity {
        "events": sanity.events(),
        "sound": sanity.is_sound(),
        "issues": sanity.issues(),
        "corruption": sanity.corruption(),
        "gaps": sanity.gaps(),
        "closing_clock": sanity.closing_clock(),
        "damaged": sanity.is_damaged(),
    }

    RatesCheck as check {
        "verdict": check.verdict(),
        "log_odds": check.log_odds(),
        "evidence": check.evidence(),
        "damaged": check.is_damaged(),
    }
    SamplingAdvice as advice {
        "recordings": advice.recordings(),
        "damaged": advice.is_damaged(),
    }
}

/// Sizes of which the end is not one.
struct Below<'a>(&'a Range<u64>);

/// Whole nanoseconds; what does not fit, after 584 years, is the largest number.
fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

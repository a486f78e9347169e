//! [`Peak`]: when the most memory was in use, and the usage then.

mod copies;
mod high_water;
mod query;

pub use high_water::HighWater;
pub use query::PeakQuery;

use crate::error::Result;
use crate::reader::Reader;
use crate::time::Elapsed;
use crate::usage::Usage;

/// The high-water mark: the largest total of live bytes, the first time it is reached, and the usage at that time.
///
/// It is exact: it comes from the log, not from the snapshots of a digest, between which a spike can hide. The
/// empty heap before the first event counts too, so the peak of an empty log is 0 bytes at time 0 after 0 events.
///
/// ```
/// use heapprof::view::Lines;
/// use heapprof::Reader;
///
/// let reader = Reader::open("examples/data/demo")?;
/// let peak = reader.peak()?;
/// assert_eq!(peak.total(), 19_241_503);
/// assert_eq!(peak.time().as_micros(), 12_678_881);
/// assert_eq!(peak.events(), 29_174);
/// // Any view shows the usage at the peak.
/// let lines = Lines::new(reader.traces()?, peak.usage());
/// let heaviest = lines.by_local().next().unwrap();
/// assert_eq!(heaviest.frame.to_string(), "/srv/app/workloads/shop/customers.py:11");
/// # Ok::<(), heapprof::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Peak {
    high: HighWater,
    usage: Usage,
}

impl Peak {
    /// The query for the peak of the whole log. Its [methods](PeakQuery) limit it to a window or to a set of
    /// traces.
    pub fn query() -> PeakQuery {
        PeakQuery::new()
    }

    /// The time at which it was first reached.
    pub fn time(&self) -> Elapsed {
        self.high.time()
    }

    /// The number of events up to and including the one that reached it. It identifies the event among those of
    /// the same time.
    pub fn events(&self) -> u64 {
        self.high.events()
    }

    /// The estimate of all live bytes at that time, or of those of the set of traces.
    pub fn total(&self) -> i64 {
        self.high.total()
    }

    /// The peak without its usage.
    pub fn high_water(&self) -> &HighWater {
        &self.high
    }

    /// The live bytes at that time, by trace; with a set of traces, only theirs.
    pub fn usage(&self) -> &Usage {
        &self.usage
    }

    /// Whether it is derived from [damaged](Usage::is_damaged) input.
    pub fn is_damaged(&self) -> bool {
        self.usage.is_damaged()
    }

    /// Returns the usage.
    pub fn into_usage(self) -> Usage {
        self.usage
    }
}

impl Reader {
    /// The exact peak: when the live bytes were the most, and the usage then. For a part of the log or of the
    /// program, or together with other queries, [ask](Self::ask) a [`PeakQuery`]. Without the usage,
    /// [`high_water`](Self::high_water) costs less.
    ///
    /// One pass over the log on each call, then a second one over the events between the last copy of the heap and
    /// the peak: a few per cent of the events of a long log, or a few events for each trace if that is more.
    /// Memory: 24 to 48 bytes a trace.
    ///
    /// # Errors
    /// If the log cannot be read; [`Error::Replaced`](crate::Error::Replaced) if it changed meanwhile.
    pub fn peak(&self) -> Result<Peak> {
        let (high, heap) = self.high_water_and_heap()?;
        let usage = heap.usage().marked(high.damaged);
        Ok(Peak { high, usage })
    }
}

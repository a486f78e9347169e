//! When was the most memory in use, and by whom?

mod copies;
mod high_water;
mod question;

pub use high_water::HighWater;
pub use question::PeakQuestion;

use crate::error::Result;
use crate::reader::Reader;
use crate::time::Elapsed;
use crate::usage::Usage;

/// The high-water mark: the first moment at which the live bytes were the most, and what was live
/// then.
///
/// It is exact, from the log and not from the snapshots of a digest, between which a spike can hide.
/// The state before the first event counts too, so that of an empty log the peak is 0 bytes at time
/// 0 after 0 events.
///
/// ```
/// use heapprof::{Lines, Reader};
///
/// let reader = Reader::open("examples/data/demo")?;
/// let peak = reader.peak()?;
/// assert_eq!(peak.total(), 19_241_503);
/// assert_eq!(peak.time().as_micros(), 12_678_881);
/// assert_eq!(peak.events(), 29_174);
/// // Any view shows what was live then.
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
    /// Asks for the peak of the whole log; what it [returns](PeakQuestion) takes a window, or a set
    /// of traces.
    pub fn question() -> PeakQuestion {
        PeakQuestion::new()
    }

    /// When it was reached.
    pub fn time(&self) -> Elapsed {
        self.high.time()
    }

    /// How many events the log has up to the one that reached it, that one included. So it is told
    /// from others at the same time.
    pub fn events(&self) -> u64 {
        self.high.events()
    }

    /// The estimate of all live bytes then, or of those of the set that was asked for.
    pub fn total(&self) -> i64 {
        self.high.total()
    }

    /// All this together, without the usage.
    pub fn high_water(&self) -> &HighWater {
        &self.high
    }

    /// What was live then, by trace; of a set of traces, theirs alone.
    pub fn usage(&self) -> &Usage {
        &self.usage
    }

    /// Whether it is derived from [damaged](Usage::is_damaged) input.
    pub fn is_damaged(&self) -> bool {
        self.usage.is_damaged()
    }

    /// The usage alone.
    pub fn into_usage(self) -> Usage {
        self.usage
    }
}

impl Reader {
    /// The exact peak: when the live bytes were the most, and what was live then. For a part of the
    /// log or of the program, and together with other questions, [ask](Self::ask) a [`PeakQuestion`];
    /// for how high and when alone, [ask](Self::high_water) for less.
    ///
    /// One pass over the log on each call, and a second one over what leads to the peak from a copy of
    /// what was live before: a few in a hundred of the events of a long log, or some for each trace where
    /// that is more. Memory: 24 to 48 bytes a trace.
    ///
    /// # Errors
    /// If the log cannot be read; [`Error::Replaced`](crate::Error::Replaced) if it changed meanwhile.
    pub fn peak(&self) -> Result<Peak> {
        let (high, heap) = self.high_water_and_heap()?;
        let usage = heap.usage().marked(high.damaged);
        Ok(Peak { high, usage })
    }
}

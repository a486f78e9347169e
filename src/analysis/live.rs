//! What is live at a moment, exactly?

use std::ops::ControlFlow;

use crate::error::Result;
use crate::heap::LiveHeap;
use crate::raw::LogPosition;
use crate::reader::Reader;
use crate::time::Elapsed;
use crate::usage::Usage;

impl Reader {
    /// What is live at `time`, exactly: after all events with an elapsed time up to that.
    ///
    /// One pass over the log: from the snapshot before, if there is a digest at hand from which
    /// nothing was folded away, else from the start.
    ///
    /// ```
    /// use heapprof::{Elapsed, Reader};
    ///
    /// let reader = Reader::open("examples/data/demo")?;
    /// let live = reader.live_at(Elapsed::from_micros(12_678_881))?;
    /// assert_eq!(live.total(), 19_241_503);
    /// # Ok::<(), heapprof::Error>(())
    /// ```
    ///
    /// # Errors
    /// If the log cannot be read.
    pub fn live_at(&self, time: impl Into<Elapsed>) -> Result<Usage> {
        let time = time.into();
        let pass = self.pass()?;
        let mut heap = LiveHeap::new(pass.traces as usize);
        let from = self.nearest(time, &mut heap);
        pass.run(from, |step| {
            if step.event.elapsed > time {
                return ControlFlow::Break(());
            }
            ControlFlow::Continue(heap.add(step.index, step.bytes))
        })?;
        Ok(heap.usage())
    }

    /// Puts into `heap` what is live at a place in the log at or before `time`, and gives the place.
    pub(super) fn nearest(&self, time: Elapsed, heap: &mut LiveHeap) -> LogPosition {
        let Some(digest) = self.fitting_digest() else {
            return LogPosition::START;
        };
        let before = digest.times().take_while(|&taken| taken <= time).count();
        let snapshot = before.checked_sub(1).and_then(|number| {
            let place = digest.place(number)?;
            // A snapshot that cannot be read is no reason to fail: the log has it all.
            Some((place, digest.get(number)?.ok()?))
        });
        match snapshot {
            Some((place, snapshot)) => {
                heap.add_usage(snapshot.usage());
                place
            }
            None => LogPosition::START,
        }
    }

    /// What is live at the end of the log: what leaked, and what lives as long as the program.
    ///
    /// If the log was cut (see [`damage`](Self::damage)), frees may be missing. Costs what
    /// [`live_at`](Self::live_at) costs.
    ///
    /// # Errors
    /// If the log cannot be read.
    pub fn live_at_end(&self) -> Result<Usage> {
        self.live_at(Elapsed::MAX)
    }

    /// By how much each trace has grown from one moment to another, exactly: what is live at `to`
    /// minus what is live at `from`. What shrank is negative. Costs twice what
    /// [`live_at`](Self::live_at) costs.
    ///
    /// ```
    /// use heapprof::{Elapsed, Reader};
    ///
    /// let reader = Reader::open("examples/data/demo")?;
    /// let growth = reader.growth(Elapsed::from_secs(5), Elapsed::from_secs(20))?;
    /// assert_eq!(growth.total(), 5_395_028);
    /// # Ok::<(), heapprof::Error>(())
    /// ```
    ///
    /// # Errors
    /// If the log cannot be read.
    pub fn growth(&self, from: impl Into<Elapsed>, to: impl Into<Elapsed>) -> Result<Usage> {
        Ok(&self.live_at(to)? - &self.live_at(from)?)
    }
}

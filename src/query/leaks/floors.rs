//! [`Floors`]: the smallest number of live bytes of a trace or a line in each window, and its growth.

use smallvec::SmallVec;

use super::Growth;
use crate::time::Elapsed;
use crate::usage::saturated;

/// A trace must have this many windows after its first two.
const LEAST: u32 = 8;

/// The floors of a trace or a line that are above all earlier ones.
#[derive(Debug, Clone)]
pub(super) struct Floors {
    live: i64,
    /// The window of the last event, and its floor so far.
    window: u32,
    floor: i64,
    /// The window of the first event.
    first: u32,
    /// Each window whose floor is above all earlier ones, and that floor.
    highs: SmallVec<[(u32, i64); 2]>,
    allocated: u64,
    freed: u64,
}

impl Floors {
    pub(super) fn new(window: u32, live: i64) -> Self {
        Self {
            live,
            window,
            floor: live,
            first: window,
            highs: SmallVec::new(),
            allocated: 0,
            freed: 0,
        }
    }

    /// Ends a window with its floor.
    fn close(&mut self, window: u32, floor: i64) {
        if self.highs.last().is_none_or(|&(_, high)| floor > high) {
            self.highs.push((window, floor));
        }
    }

    /// Ends all windows before this one.
    fn pass_to(&mut self, window: u32) {
        if window == self.window {
            return;
        }
        self.close(self.window, self.floor);
        // Nothing changed in the windows between.
        if self.window + 1 < window {
            self.close(self.window + 1, self.live);
        }
        (self.window, self.floor) = (window, self.live);
    }

    /// The live bytes by now, or their estimate.
    pub(super) fn live(&self) -> i64 {
        self.live
    }

    /// Adds the bytes of an event in `window`; negative for a free.
    pub(super) fn enter(&mut self, window: u32, bytes: i64) {
        self.pass_to(window);
        self.live = self.live.saturating_add(bytes);
        self.floor = self.floor.min(self.live);
        let sum = if bytes < 0 {
            &mut self.freed
        } else {
            &mut self.allocated
        };
        *sum = sum.saturating_add(bytes.unsigned_abs());
    }

    /// The growth, if the trace or line may leak.
    pub(super) fn growth(mut self, recording: &Recording<'_>) -> Option<Growth> {
        let &Recording {
            last,
            began,
            end,
            least,
        } = recording;
        self.pass_to(last.saturating_add(1));
        // The first window starts from nothing. The second has what remains of the first.
        let from = self.first + 2;
        let windows = (last + 1)
            .checked_sub(from)
            .filter(|&windows| windows >= LEAST)?;
        let before = self.highs.partition_point(|&(window, _)| window < from);
        let &(_, base) = self.highs.get(before.checked_sub(1)?)?;
        // Window n of them is in third 3 n / windows.
        let begins = |third: u32| (third * windows).div_ceil(3);
        let mut thirds = [0, 1, 2].map(|third| Third {
            windows: begins(third + 1) - begins(third),
            ..Third::default()
        });
        let mut high = base;
        for &(window, floor) in self.highs.get(before..)? {
            let third = thirds.get_mut((3 * (window - from) / windows) as usize)?;
            third.grew += 1;
            third.bytes = third.bytes.saturating_add(floor.saturating_sub(high));
            high = floor;
        }
        let bytes = high.saturating_sub(base);
        let is_steady = thirds.iter().all(|third| 2 * third.grew >= third.windows);
        let goes_on = thirds.last()?.bytes >= bytes / 6;
        let recent = (last + 1).saturating_sub(windows.div_ceil(8).max(2));
        let is_over = self.highs.last()?.0 < recent;
        if bytes < least || !is_steady || !goes_on || is_over {
            return None;
        }
        let grew: u32 = thirds.iter().map(|third| third.grew).sum();
        let score = i128::from(bytes) * i128::from(grew) / i128::from(windows);
        let from = *began.get(from as usize)?;
        let seconds = end.since(from).as_secs_f64();
        #[expect(clippy::cast_precision_loss, reason = "a rate for people")]
        let bytes_per_second = bytes as f64 / seconds.max(1e-6);
        Some(Growth {
            score: saturated(score),
            bytes,
            grew,
            windows,
            from,
            bytes_per_second,
            allocated: self.allocated,
            freed: self.freed,
        })
    }
}

/// A third of the windows.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Third {
    windows: u32,
    grew: u32,
    bytes: i64,
}

/// The whole recording, known at its end.
pub(super) struct Recording<'a> {
    /// The last window that had events.
    pub(super) last: u32,
    /// The begin of each such window.
    pub(super) began: &'a [Elapsed],
    pub(super) end: Elapsed,
    /// The smallest growth of a leak, in bytes.
    pub(super) least: i64,
}

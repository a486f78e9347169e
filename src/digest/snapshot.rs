//! [`Snapshot`]: the live heap at one time of a digest.

use crate::time::Elapsed;
use crate::usage::Usage;

/// The live heap at one time: the time, and the usage by trace.
///
/// ```
/// use heapprof::{Elapsed, Reader};
///
/// let reader = Reader::open("examples/data/demo")?;
/// let snapshot = reader.snapshot_at(Elapsed::from_millis(12_020))?; // the latest until then
/// assert_eq!(snapshot.time(), Elapsed::from_secs(12));
/// assert_eq!(snapshot.into_usage(), reader.live_at(Elapsed::from_secs(12))?);
/// # Ok::<(), heapprof::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Snapshot {
    pub(super) time: Elapsed,
    pub(super) usage: Usage,
}

impl Snapshot {
    /// The time of the snapshot.
    #[doc(alias = "relativeTime")]
    pub fn time(&self) -> Elapsed {
        self.time
    }

    /// The live bytes at that time, by trace.
    pub fn usage(&self) -> &Usage {
        &self.usage
    }

    /// Whether the digest, or the part of the log before the snapshot, is [damaged](Usage::is_damaged).
    pub fn is_damaged(&self) -> bool {
        self.usage.is_damaged()
    }

    /// The usage, without the time.
    pub fn into_usage(self) -> Usage {
        self.usage
    }
}

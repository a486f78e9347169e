//! The digest of a profile: found, made, stored, looked at.

use std::io::{self, Cursor};
use std::sync::{PoisonError, RwLock};

use super::{InUse, Reader};
use crate::digest::{Digest, DigestOptions, Replacement, Snapshot, UnusedDigest};
use crate::error::{Error, FileKind, Result};
use crate::log::Log;
use crate::time::Elapsed;

impl Reader {
    /// Uses the digest of the `.hpc` file, if there is one that fits.
    pub(super) fn find_digest(self) -> Self {
        let digest_at = |path| Digest::at(path, self.access);
        match self.path(FileKind::Hpc).map(digest_at) {
            None => self,
            Some(Err(Error::Io { source, .. })) if source.kind() == io::ErrorKind::NotFound => self,
            Some(found) => self.found(found),
        }
    }

    /// Uses a digest that was found, if it fits.
    pub(super) fn found(mut self, found: Result<Digest>) -> Self {
        match found {
            Ok(digest) => {
                self.stored = Some(digest);
                self.consider_stored()
            }
            Err(error) => {
                self.unused = Some(UnusedDigest::Unreadable(error));
                self
            }
        }
    }

    /// Uses the digest that was found when the profile was opened, if it fits.
    pub(super) fn consider_stored(mut self) -> Self {
        if let Some(digest) = &self.stored {
            match self.fits(digest) {
                Ok(()) => self.adopt(digest, true),
                Err(why) => self.unused = Some(why),
            }
        }
        self
    }

    fn fits(&self, digest: &Digest) -> Result<(), UnusedDigest> {
        digest.fits(
            self.start(),
            self.rates(),
            self.clock(),
            self.log.as_ref().map(Log::len),
        )
    }

    fn adopt(&self, digest: &Digest, fits: bool) {
        let digest = digest.clone();
        *self.digest.write().unwrap_or_else(PoisonError::into_inner) = Some(InUse { digest, fits });
    }

    /// Uses this digest for what is asked of a digest: [snapshots](Self::snapshot_at) and
    /// [series](Self::time_series). For instance one with another interval, or one that heapprof 1.0
    /// wrote. Whether it is of this recording, and has the times of the [clock](Self::clock) in use,
    /// is for the caller to know; what is asked of the log does not use one that does not fit.
    ///
    /// ```
    /// use heapprof::{DigestOptions, Reader};
    /// use std::time::Duration;
    ///
    /// let reader = Reader::open("examples/data/demo")?;
    /// let options = DigestOptions::default().interval(Duration::from_millis(250));
    /// let digest = reader.digest_with(options)?;
    /// let reader = reader.with_digest(digest);
    /// assert_eq!(reader.time_series([])?.times().len(), 88);
    /// # Ok::<(), heapprof::Error>(())
    /// ```
    #[must_use]
    pub fn with_digest(mut self, digest: Digest) -> Self {
        let fits = self.fits(&digest).is_ok();
        self.digest = RwLock::new(Some(InUse { digest, fits }));
        self.unused = None;
        self
    }

    /// Whether there is a digest at hand, so that [`digest`](Self::digest) need not make one.
    #[doc(alias = "hasDigest")]
    pub fn has_digest(&self) -> bool {
        self.digest_at_hand().is_some()
    }

    pub(super) fn digest_at_hand(&self) -> Option<Digest> {
        let in_use = self.digest.read().unwrap_or_else(PoisonError::into_inner);
        in_use.as_ref().map(|in_use| in_use.digest.clone())
    }

    /// The digest at hand, if it is a whole one of this log, with these rates.
    pub(crate) fn fitting_digest(&self) -> Option<Digest> {
        let in_use = self.digest.read().unwrap_or_else(PoisonError::into_inner);
        let fitting = in_use.as_ref().filter(|in_use| in_use.fits);
        fitting.map(|in_use| in_use.digest.clone())
    }

    /// Why the `.hpc` file that stood beside the log when the profile was opened is not used;
    /// `None` if it is, or if there was none.
    pub fn unused_digest(&self) -> Option<&UnusedDigest> {
        self.unused.as_ref()
    }

    /// The digest: that of the `.hpc` file if it fits, else one in memory, made on the first call
    /// with the default [options](DigestOptions). Nothing is written. O(1) from the second call on.
    ///
    /// # Errors
    /// If the log cannot be read.
    #[doc(alias("hpc", "HPC"))]
    pub fn digest(&self) -> Result<Digest> {
        if let Some(digest) = self.digest_at_hand() {
            return Ok(digest);
        }
        let _making = self.making.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(digest) = self.digest_at_hand() {
            return Ok(digest);
        }
        let digest = self.digest_with(DigestOptions::default())?;
        self.adopt(&digest, true);
        Ok(digest)
    }

    /// A digest of the log, in memory, made with these options. Nothing is written or remembered:
    /// see [`with_digest`](Self::with_digest).
    ///
    /// One pass over the log, and one over `.hpm` to count its traces if the table is not made yet.
    ///
    /// # Errors
    /// If an option makes no sense, if there would be more snapshots than [the
    /// limit](DigestOptions::max_snapshots), or if the log cannot be read.
    pub fn digest_with(&self, options: DigestOptions<'_>) -> Result<Digest> {
        let bytes = self.source()?.digest(options, Cursor::new(Vec::new()))?;
        Digest::from_bytes(bytes.into_inner())
    }

    /// Makes a digest, writes it to the profile's `.hpc` file, and uses it from now on.
    ///
    /// Whatever happens meanwhile, a crash, a full disk, another process that does the same: who
    /// looks at the file finds the old one or the new one, whole.
    ///
    /// A digest that the options' progress [stops](DigestOptions::progress) is written too, if it has
    /// a snapshot, and if there is not a whole one that fits already; that one stays then, and is
    /// given. A stopped one can be [read](Digest::open), but the reader, and who opens the profile
    /// anew, does not use it: it lacks the end of the log.
    ///
    /// ```
    /// use heapprof::{DigestOptions, Reader};
    ///
    /// let folder = tempfile::tempdir()?;
    /// for file in ["demo.hpm", "demo.hpd"] {
    ///     std::fs::copy(format!("examples/data/{file}"), folder.path().join(file))?;
    /// }
    /// let reader = Reader::open(folder.path().join("demo"))?;
    /// assert!(!reader.has_digest());
    /// reader.make_digest(DigestOptions::default())?;
    ///
    /// // From now on it is there at once.
    /// assert!(Reader::open(folder.path().join("demo"))?.has_digest());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// As [`digest_with`](Self::digest_with), or if the file cannot be written, or if another
    /// recording has taken the name, or if the profile was [made from bytes](Self::from_bytes) and has
    /// no place for one.
    #[doc(alias = "makeDigest")]
    pub fn make_digest(&self, options: DigestOptions<'_>) -> Result<Digest> {
        let path = self.path(FileKind::Hpc).ok_or(Error::NoPlace)?;
        let beside = self.path(FileKind::Hpd).unwrap_or_default();
        let source = self.source()?;
        let replacement = Replacement::begin(&path, &beside)?;
        replacement.write(|out| source.digest(options, out))?;
        // Not what stands at the path by then: another process may have written that.
        let digest = Digest::of(replacement.file(), path.clone(), self.access)?;
        // It would stand beside a log that it is not of.
        self.recording.iter().try_for_each(|it| it.check_name())?;
        if digest.is_stopped() {
            let kept = Digest::at(path, self.access).ok();
            if let Some(kept) = kept.filter(|kept| self.fits(kept).is_ok()) {
                return Ok(kept);
            }
            if !digest.is_empty() {
                replacement.commit()?;
            }
        } else {
            replacement.commit()?;
            self.adopt(&digest, true);
        }
        Ok(digest)
    }

    /// All snapshots of the [digest](Self::digest), in the order of time.
    ///
    /// # Errors
    /// As [`digest`](Self::digest); each item fails if its bytes are damaged.
    pub fn snapshots(&self) -> Result<impl ExactSizeIterator<Item = Result<Snapshot>> + use<>> {
        Ok(self.digest()?.into_snapshots())
    }

    /// The latest snapshot of the [digest](Self::digest) at or before `time`. Before the first it is
    /// empty; at or after the end of the log it is the last.
    ///
    /// ```
    /// use heapprof::{Elapsed, Reader};
    ///
    /// let reader = Reader::open("examples/data/demo")?;
    /// let snapshot = reader.snapshot_at(Elapsed::from_millis(12_020))?;
    /// assert_eq!(snapshot.time(), Elapsed::from_secs(12));
    /// assert_eq!(snapshot.usage().total(), 14_452_555);
    /// # Ok::<(), heapprof::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`digest`](Self::digest), or if its bytes are damaged.
    #[doc(alias = "snapshotAt")]
    pub fn snapshot_at(&self, time: impl Into<Elapsed>) -> Result<Snapshot> {
        self.digest()?.snapshot_at(time)
    }
}

//! The digest of a [`Reader`]: opened, made, stored, and read.

use std::io::{self, Cursor};
use std::sync::{PoisonError, RwLock};

use super::{CurrentDigest, Reader};
use crate::digest::{Digest, DigestOptions, Replacement, Snapshot, UnusedDigest};
use crate::error::{Error, FileKind, Result};
use crate::log::Log;
use crate::time::Elapsed;

impl Reader {
    /// Uses the digest of the `.hpc` file, if it exists and fits.
    pub(super) fn find_digest(self) -> Self {
        let digest_at = |path| Digest::at(path, self.access);
        match self.path(FileKind::Hpc).map(digest_at) {
            None => self,
            Some(Err(Error::Io { source, .. })) if source.kind() == io::ErrorKind::NotFound => self,
            Some(stored) => self.with_stored_digest(stored),
        }
    }

    /// Uses the digest of the `.hpc` file, if it can be read and fits.
    pub(super) fn with_stored_digest(mut self, stored: Result<Digest>) -> Self {
        match stored {
            Ok(digest) => self.stored = Some(digest),
            Err(error) => self.unused = Some(UnusedDigest::Unreadable(error)),
        }
        self.use_stored_digest()
    }

    /// Uses the stored digest, if it fits the rates and the clock in use.
    pub(super) fn use_stored_digest(mut self) -> Self {
        if let Some(digest) = &self.stored {
            match self.fits(digest) {
                Ok(()) => self.set_fitting_digest(digest),
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

    fn set_fitting_digest(&self, digest: &Digest) {
        let current = CurrentDigest {
            digest: digest.clone(),
            fits: true,
        };
        *self.digest.write().unwrap_or_else(PoisonError::into_inner) = Some(current);
    }

    /// Uses this digest for [snapshots](Self::snapshot_at) and [series](Self::time_series): for example one with
    /// another interval, or one that heapprof 1.0 wrote. The caller makes sure that it is of this recording, and of
    /// the [clock](Self::clock) in use. Queries over the log use it only if it fits.
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
        self.digest = RwLock::new(Some(CurrentDigest { digest, fits }));
        self.unused = None;
        self
    }

    /// Whether the reader has a digest, so that [`digest`](Self::digest) does not make one.
    #[doc(alias = "hasDigest")]
    pub fn has_digest(&self) -> bool {
        self.current_digest().is_some()
    }

    pub(super) fn current_digest(&self) -> Option<Digest> {
        self.current_digest_if(|_| true)
    }

    /// The current digest, if it is a whole digest of this log, with the rates and the clock in use.
    pub(crate) fn fitting_digest(&self) -> Option<Digest> {
        self.current_digest_if(|current| current.fits)
    }

    fn current_digest_if(&self, test: impl FnOnce(&CurrentDigest) -> bool) -> Option<Digest> {
        let current = self.digest.read().unwrap_or_else(PoisonError::into_inner);
        let current = current.as_ref().filter(|current| test(current))?;
        Some(current.digest.clone())
    }

    /// Why the reader does not use the `.hpc` file that was beside the log when the profile was opened; `None` if
    /// it uses the file, or if there was none.
    pub fn unused_digest(&self) -> Option<&UnusedDigest> {
        self.unused.as_ref()
    }

    /// The digest: that of the `.hpc` file if it fits, else one in memory, which the first call makes with the
    /// default [options](DigestOptions). Writes nothing. O(1) from the second call on.
    ///
    /// # Errors
    /// If the log cannot be read.
    #[doc(alias("hpc", "HPC"))]
    pub fn digest(&self) -> Result<Digest> {
        if let Some(digest) = self.current_digest() {
            return Ok(digest);
        }
        let _guard = self
            .init_lock
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if let Some(digest) = self.current_digest() {
            return Ok(digest);
        }
        let digest = self.digest_with(DigestOptions::default())?;
        self.set_fitting_digest(&digest);
        Ok(digest)
    }

    /// A digest of the log in memory, with these options. The reader does not write it or use it: see
    /// [`with_digest`](Self::with_digest).
    ///
    /// One pass over the log, and one over `.hpm` to count its traces if the reader does not have the table yet.
    ///
    /// # Errors
    /// If an option is out of range, if there would be more snapshots than [the
    /// limit](DigestOptions::max_snapshots), or if the log cannot be read.
    pub fn digest_with(&self, options: DigestOptions<'_>) -> Result<Digest> {
        let bytes = self.source()?.digest(options, Cursor::new(Vec::new()))?;
        Digest::from_bytes(bytes.into_inner())
    }

    /// Makes a digest, writes it to the profile's `.hpc` file, and uses it from now on.
    ///
    /// The file is replaced atomically: after a crash, with a full disk, or while another process does the same, it
    /// is the old digest or the new one, whole.
    ///
    /// A digest that the progress callback [stops](DigestOptions::progress) is written too, if it has a snapshot and
    /// the file is not a whole digest that fits; otherwise the file stays, and the call returns its digest. A
    /// stopped digest can be [opened](Digest::open), but no reader of the profile uses it: it lacks the end of the
    /// log.
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
    /// // A new reader finds it.
    /// assert!(Reader::open(folder.path().join("demo"))?.has_digest());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// As [`digest_with`](Self::digest_with); also if the file cannot be written, if another recording has taken the
    /// name, or if the profile is [from bytes](Self::from_bytes).
    #[doc(alias = "makeDigest")]
    pub fn make_digest(&self, options: DigestOptions<'_>) -> Result<Digest> {
        let path = self.path(FileKind::Hpc).ok_or(Error::NoPlace)?;
        let beside = self.path(FileKind::Hpd).unwrap_or_default();
        let source = self.source()?;
        let replacement = Replacement::begin(&path, &beside)?;
        replacement.write(|out| source.digest(options, out))?;
        // Not by its path: another process may have replaced the file there.
        let digest = Digest::of(replacement.file(), path.clone(), self.access)?;
        // Otherwise the digest would be beside the log of another recording.
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
            self.set_fitting_digest(&digest);
        }
        Ok(digest)
    }

    /// All snapshots of the [digest](Self::digest), from the earliest.
    ///
    /// # Errors
    /// As [`digest`](Self::digest); each item fails if its bytes are damaged.
    pub fn snapshots(&self) -> Result<impl ExactSizeIterator<Item = Result<Snapshot>> + use<>> {
        Ok(self.digest()?.into_snapshots())
    }

    /// The latest snapshot of the [digest](Self::digest) at or before `time`: an empty one before the first, and the
    /// last one at or after the end of the log.
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

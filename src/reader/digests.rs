//! The digest of a profile: found, made, stored, looked at.

use std::io::Cursor;
use std::sync::OnceLock;

use super::Reader;
use crate::digest::{Digest, DigestOptions, Snapshot, UnusedDigest, replace};
use crate::error::{Error, FileKind, Result};
use crate::log::Log;
use crate::time::Elapsed;

impl Reader {
    /// Uses a digest that was found, if it fits.
    pub(super) fn with_digest(mut self, found: Option<Result<Digest>>) -> Self {
        let Some(found) = found else {
            return self;
        };
        let log_len = self.log.as_ref().map(Log::len);
        let fits = |digest: Digest| {
            digest.fits(self.start(), &self.rates, log_len)?;
            Ok(digest)
        };
        match found.map_err(UnusedDigest::Unreadable).and_then(fits) {
            Ok(digest) => self.digest = OnceLock::from(digest),
            Err(why) => self.unused = Some(why),
        }
        self
    }

    /// Whether there is a digest at hand, so that [`digest`](Self::digest) need not make one.
    #[doc(alias = "hasDigest")]
    pub fn has_digest(&self) -> bool {
        self.digest.get().is_some()
    }

    /// The digest, if one is at hand.
    pub(crate) fn digest_at_hand(&self) -> Option<&Digest> {
        self.digest.get()
    }

    /// Why the `.hpc` file beside the log is not used; `None` if it is, or if there is none.
    pub fn unused_digest(&self) -> Option<&UnusedDigest> {
        self.unused.as_ref()
    }

    /// The digest: that of the `.hpc` file if it fits, else one in memory, made on the first call
    /// with the default [options](DigestOptions). Nothing is written.
    ///
    /// # Errors
    /// If the log cannot be read.
    pub fn digest(&self) -> Result<&Digest> {
        self.once(&self.digest, || self.digest_with(DigestOptions::default()))
    }

    /// A digest of the log, in memory, made with these options. Nothing is written or remembered.
    ///
    /// One pass over the log, and one over `.hpm` to count its traces if the table is not made yet.
    ///
    /// # Errors
    /// If an option makes no sense, if there would be more than
    /// [`DigestOptions::MAX_SNAPSHOTS`], or if the log cannot be read.
    pub fn digest_with(&self, options: DigestOptions<'_>) -> Result<Digest> {
        let bytes = self.source()?.digest(options, Cursor::new(Vec::new()))?;
        Digest::from_bytes(bytes.into_inner())
    }

    /// Makes a digest, writes it to the profile's `.hpc` file, and uses it from now on.
    ///
    /// Whatever happens meanwhile, a crash, a full disk, another process that does the same: who
    /// looks at the file finds the old one or the new one, whole. A digest that the options'
    /// progress [stops](DigestOptions::progress) is written too.
    ///
    /// ```
    /// use heapprof::{DigestOptions, Reader};
    ///
    /// let folder = tempfile::tempdir()?;
    /// for file in ["demo.hpm", "demo.hpd"] {
    ///     std::fs::copy(format!("examples/data/{file}"), folder.path().join(file))?;
    /// }
    /// let mut reader = Reader::open(folder.path().join("demo"))?;
    /// assert!(!reader.has_digest());
    /// reader.make_digest(DigestOptions::default())?;
    ///
    /// // From now on it is there at once.
    /// assert!(Reader::open(folder.path().join("demo"))?.has_digest());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// As [`digest_with`](Self::digest_with), or if the file cannot be written, or if the profile
    /// was [made from bytes](Self::from_bytes) and has no place for one.
    #[doc(alias = "makeDigest")]
    pub fn make_digest(&mut self, options: DigestOptions<'_>) -> Result<&Digest> {
        let path = self.path(FileKind::Hpc).ok_or(Error::Missing {
            path: None,
            file: FileKind::Hpc,
        })?;
        let source = self.source()?;
        replace(&path, |out| source.digest(options, out))?;
        let digest = Digest::map(path)?;
        self.unused = None;
        self.digest = OnceLock::new();
        Ok(self.digest.get_or_init(|| digest))
    }

    /// All snapshots of the [digest](Self::digest), in the order of time.
    ///
    /// # Errors
    /// As [`digest`](Self::digest); each item fails if its bytes are damaged.
    pub fn snapshots(&self) -> Result<impl ExactSizeIterator<Item = Result<Snapshot>>> {
        Ok(self.digest()?.snapshots())
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

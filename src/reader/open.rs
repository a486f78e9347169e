//! Opens a [`Reader`]: from files, from memory, and again.

use std::borrow::Cow;
use std::path::Path;
use std::sync::Arc;

use super::Reader;
use crate::bytes::{self, Access, Bytes, FileIdentity};
use crate::digest::Digest;
use crate::error::{Error, FileKind, Result};
use crate::filebase::Filebase;
use crate::log::Log;
use crate::raw::hpm::Header;

impl Reader {
    /// Opens the profile with this filebase: `run` for `run.hpm`, `run.hpd` and `run.hpc`. The name of one of the
    /// files works too.
    ///
    /// Reads headers only, so the time does not depend on the size of the files. The `.hpc` file is used if it is a
    /// digest of this crate that fits the log; otherwise [`unused_digest`] says why not. The log may be missing; then
    /// calls that need it fail.
    ///
    /// `.hpm` and `.hpc` are mapped. The caller makes sure that no program shortens them while the reader lives: that
    /// can end this process. A recorder that is started again with the same name shortens them, and so does heapprof
    /// 1.0 when it replaces a digest; this crate never does. [`open_unmapped`](Self::open_unmapped) has no such
    /// condition. The log is never mapped: it may grow, and a shortened log is a cut log.
    ///
    /// [`unused_digest`]: Self::unused_digest
    ///
    /// # Errors
    /// If `.hpm` is missing, cannot be read or has no whole header; [`Error::Replaced`] if another recording takes
    /// the name meanwhile.
    #[doc(alias = "read")]
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        Self::open_as(&Filebase::new(path.as_ref()), Access::Map, &[])
    }

    /// As [`open`](Self::open), but reads `.hpm` and `.hpc` into memory instead of mapping them: no access fails,
    /// whatever another program does to the files. For a program that must stay alive, and opens files that others
    /// may be writing.
    ///
    /// Results are the same. Time and memory: O(`.hpm` + `.hpc`); of a mapped file, only the parts that are used
    /// cost. Both read the log through a buffer.
    ///
    /// ```
    /// use heapprof::Reader;
    ///
    /// let reader = Reader::open_unmapped("examples/data/demo")?;
    /// assert_eq!(reader.live_at_end()?, Reader::open("examples/data/demo")?.live_at_end()?);
    /// # Ok::<(), heapprof::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`open`](Self::open); also if there is not enough memory.
    pub fn open_unmapped(path: impl AsRef<Path>) -> Result<Self> {
        Self::open_as(&Filebase::new(path.as_ref()), Access::Read, &[])
    }

    /// Opens the profile again in the same way, with the same rates and clock, to see events that were written since.
    /// If this reader has read the traces, the new one reads only those that were added since.
    ///
    /// ```
    /// use heapprof::raw::EventWriter;
    /// use heapprof::EventKind;
    /// use heapprof::{Error, Reader, WallOffset};
    ///
    /// let folder = tempfile::tempdir()?;
    /// let (hpm, hpd) = (folder.path().join("run.hpm"), folder.path().join("run.hpd"));
    /// std::fs::copy("examples/data/demo.hpm", &hpm)?;
    /// std::fs::copy("examples/data/demo.hpd", &hpd)?;
    /// let first = Reader::open(folder.path().join("run"))?;
    /// let end = first.end()?;
    ///
    /// let log = std::fs::OpenOptions::new().append(true).open(&hpd)?;
    /// let mut writer = EventWriter::resume(log, end);
    /// writer.write(WallOffset::from_micros(30_000_000), None, 100, EventKind::Allocation)?;
    /// let second = first.reopen()?;
    /// assert_eq!(second.events_from(end)?.next().unwrap()?.size, 100);
    ///
    /// // A position in one recording means nothing in another.
    /// std::fs::copy("tests/data/tiny/tiny.hpm", &hpm)?;
    /// std::fs::copy("tests/data/tiny/tiny.hpd", &hpd)?;
    /// assert!(matches!(first.reopen(), Err(Error::Replaced { path }) if path == hpm));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// As [`open`](Self::open); [`Error::Replaced`] if another recording has taken the name, or if a file is shorter
    /// than it was; [`Error::NoPlace`] if the profile is [from bytes](Self::from_bytes).
    pub fn reopen(&self) -> Result<Self> {
        let files = self.files.as_ref().ok_or(Error::NoPlace)?;
        let again = Self::open_as(files, self.access, &self.hpm)?;
        let replaced = |file| {
            let path = files.file(file);
            Err(Error::Replaced { path })
        };
        if again.start() != self.start() || again.hpm.len() < self.hpm.len() {
            return replaced(FileKind::Hpm);
        }
        let len = |reader: &Self| reader.log.as_ref().map_or(0, Log::len);
        if len(&again) < len(self) {
            return replaced(FileKind::Hpd);
        }
        let mut again = again.with_rates(self.rates.clone()).with_clock(self.clock);
        again.earlier_hpm = self.known_hpm();
        Ok(again)
    }

    /// `known_hpm` is what an earlier reader had of the `.hpm` file.
    fn open_as(files: &Filebase, access: Access, known_hpm: &[u8]) -> Result<Self> {
        let hpm_path = files.file(FileKind::Hpm);
        let missing = |error: Error| error.or_missing(FileKind::Hpm);
        let file = bytes::open(&hpm_path).map_err(missing)?;
        let hpm = Bytes::of_grown(&file, &hpm_path, access, known_hpm, Header::IDENTITY_LEN)?;
        let header = match Header::read(&hpm) {
            Ok(header) => header,
            Err(source) => {
                let path = Some(hpm_path);
                return Err(Error::Decode { path, source });
            }
        };
        let head = hpm.get(..Header::IDENTITY_LEN).unwrap_or(&hpm);
        let recording = Arc::new(FileIdentity::of(file, &hpm_path, head)?);
        // If the log is missing, calls that need it say why.
        let log = Log::open(&files.file(FileKind::Hpd), Some(recording.clone())).ok();
        // The log can be that of a recording that took the name after `.hpm` was opened.
        recording.check_name()?;
        let reader = Self {
            access,
            recording: Some(recording),
            ..Self::new(Some(files.clone()), hpm, header, log)
        };
        Ok(reader.find_digest())
    }

    /// A profile from the bytes of its files. The `.hpc` file is used under the same conditions as in
    /// [`open`](Self::open).
    ///
    /// ```
    /// use heapprof::Reader;
    ///
    /// let reader = Reader::from_bytes(
    ///     std::fs::read("examples/data/demo.hpm")?,
    ///     std::fs::read("examples/data/demo.hpd")?,
    ///     None,
    /// )?;
    /// assert_eq!(reader.end()?.events(), 49_779);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// If `hpm` has no whole header.
    pub fn from_bytes(
        hpm: impl Into<Cow<'static, [u8]>>,
        hpd: impl Into<Cow<'static, [u8]>>,
        hpc: Option<Cow<'static, [u8]>>,
    ) -> Result<Self> {
        let hpm = Bytes::Owned(hpm.into());
        let header = Header::read(&hpm).map_err(|source| Error::Decode { path: None, source })?;
        let log = Log::Memory(Bytes::Owned(hpd.into()));
        let reader = Self::new(None, hpm, header, Some(log));
        Ok(match hpc {
            Some(bytes) => reader.with_stored_digest(Digest::from_bytes(bytes)),
            None => reader,
        })
    }
}

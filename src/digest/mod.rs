//! [`Digest`]: snapshots of the live heap at a fixed interval, made once from the log and kept in memory or in a
//! `.hpc` file.

mod build;
mod changes;
mod checksum;
mod compat;
pub(crate) mod options;
mod order;
mod replace;
mod snapshot;
mod trailer;

use std::fmt;
use std::fs::File;
use std::iter::FusedIterator;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

pub(crate) use build::Source;
use checksum::checksum;
pub use compat::UnusedDigest;
pub use options::{DigestOptions, Progress};
pub(crate) use replace::Replacement;
pub use snapshot::Snapshot;
use trailer::{Origin, Trailer};

use crate::bytes::{self, Access, Bytes};
use crate::error::{DecodeError, DecodeErrorKind as Kind, Error, FileKind, Result, Taint};
use crate::filebase::Filebase;
use crate::id::TraceId;
use crate::raw::LogPosition;
use crate::raw::hpc::Layout;
use crate::raw::rates::SamplingRates;
use crate::time::{Clock, Elapsed, StartTime};
use crate::usage::Usage;

/// Snapshots of the live heap at a fixed interval.
///
/// Snapshot *k*, from 0, is the live heap at elapsed time (*k* + 1) × interval, and is labelled with that time.
/// Before the first snapshot the heap is empty. The last snapshot is the first at or after the last event, so nothing
/// at the end is lost.
///
/// [`Reader::digest`](crate::Reader::digest) and its relatives make a digest from the log, or read it from a `.hpc`
/// file. It keeps each snapshot encoded, in 2 to 3 bytes a live trace, and decodes it on demand. A snapshot that
/// equals the previous one takes a byte. Clones share everything.
///
/// ```
/// use heapprof::{DigestOptions, Elapsed, Reader};
/// use std::time::Duration;
///
/// let reader = Reader::open("examples/data/demo")?;
/// let digest = reader.digest_with(DigestOptions::default().interval(Duration::from_secs(5)))?;
///
/// let times: Vec<_> = digest.times().map(|time| time.as_secs_f64()).collect();
/// assert_eq!(times, [5.0, 10.0, 15.0, 20.0, 25.0]); // the program ran for 21.8 s
/// let snapshot = digest.snapshot_at(Duration::from_millis(14_999))?;
/// assert_eq!(snapshot.time(), Elapsed::from_secs(10));
/// assert_eq!(snapshot.usage().total(), 4_389_175);
/// # Ok::<(), heapprof::Error>(())
/// ```
#[doc(alias("hpc", "HPC"))]
#[derive(Clone)]
pub struct Digest(Arc<Inner>);

struct Inner {
    bytes: Bytes,
    path: Option<PathBuf>,
    layout: Layout,
    trailer: Option<Trailer>,
    damage: Vec<DecodeError>,
}

impl Digest {
    /// Reads the digest of a profile from its `.hpc` file, written by this crate or by heapprof 1.0. Takes the
    /// filebase or the name of the file. Reads the header and the index, and maps the file.
    ///
    /// No program may shorten the file while the digest lives: that can end this process. This crate never does,
    /// since it replaces a digest as a whole. heapprof 1.0 shortens the file when it makes the digest again.
    /// [`open_unmapped`](Self::open_unmapped) has no such condition.
    ///
    /// [`Reader::open`](crate::Reader::open) finds a digest that fits the log by itself. This function is for digests
    /// of heapprof 1.0. By default these are unreliable: with a precision above 0, heapprof 1.0 read past the end of
    /// an array, and the end of the recording is missing.
    ///
    /// Each snapshot is labelled with its own time. heapprof 1.0 labels it one interval earlier. Its snapshots also
    /// contain one event more: the first after the label.
    ///
    /// # Errors
    /// If there is no such file, or it has no whole header or no index.
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        Self::open_as(path.as_ref(), Access::Map)
    }

    /// As [`open`](Self::open), but reads the whole file into memory, so that later changes of the file have no
    /// effect.
    ///
    /// # Errors
    /// As [`open`](Self::open), or if there is not enough memory.
    pub fn open_unmapped(path: impl AsRef<Path>) -> Result<Self> {
        Self::open_as(path.as_ref(), Access::Read)
    }

    fn open_as(path: &Path, access: Access) -> Result<Self> {
        let path = Filebase::new(path).file(FileKind::Hpc);
        Self::at(path, access).map_err(|error| error.or_missing(FileKind::Hpc))
    }

    /// Reads a digest from bytes.
    ///
    /// # Errors
    /// If the bytes do not begin with a whole header, or have no index.
    pub fn from_bytes(bytes: impl Into<std::borrow::Cow<'static, [u8]>>) -> Result<Self> {
        Self::new(Bytes::Owned(bytes.into()), None)
    }

    /// The digest of a `.hpc` file.
    pub(crate) fn at(path: PathBuf, access: Access) -> Result<Self> {
        let file = bytes::open(&path)?;
        Self::of(&file, path, access)
    }

    /// The digest in an open file. `path` is its name, or will be.
    pub(crate) fn of(file: &File, path: PathBuf, access: Access) -> Result<Self> {
        let bytes = Bytes::of(file, &path, access.replaceable())?;
        Self::new(bytes, Some(path))
    }

    fn new(bytes: Bytes, path: Option<PathBuf>) -> Result<Self> {
        let layout = match Layout::read(&bytes) {
            Ok(layout) => layout,
            Err(source) => return Err(Error::Decode { path, source }),
        };
        let (trailer, trailer_damage) = match Trailer::read(&layout, &bytes) {
            Ok(trailer) => (trailer, None),
            Err(error) => (None, Some(error)),
        };
        let log_damage = trailer.iter().flat_map(|trailer| &trailer.origin.damage);
        let own_damage = layout.damage.into_iter().chain(trailer_damage);
        let damage = log_damage.copied().chain(own_damage).collect();
        Ok(Self(Arc::new(Inner {
            bytes,
            path,
            layout,
            trailer,
            damage,
        })))
    }

    /// The `.hpc` file that the digest was read from, if any.
    pub fn path(&self) -> Option<&Path> {
        self.0.path.as_deref()
    }

    /// When the recording began.
    pub fn start(&self) -> StartTime {
        self.0.layout.start
    }

    /// The time between snapshots.
    #[doc(alias("snapshotInterval", "timeInterval"))]
    pub fn interval(&self) -> Duration {
        Duration::from_millis(self.0.layout.interval_ms)
    }

    /// The number of snapshots.
    pub fn len(&self) -> usize {
        self.0.layout.len
    }

    /// Whether there are no snapshots: the log has no events.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The time of each snapshot.
    pub fn times(&self) -> impl ExactSizeIterator<Item = Elapsed> + FusedIterator + Clone {
        (0..self.len()).map(|number| self.time(number))
    }

    fn time(&self, number: usize) -> Elapsed {
        self.0.layout.time(number).unwrap_or(Elapsed::MAX)
    }

    /// Snapshot `number`, from 0; `None` if there are fewer.
    ///
    /// O(n log n) in its entries. Decodes no other snapshot.
    ///
    /// # Errors
    /// If its bytes are damaged. Digests of this crate have a checksum for that.
    pub fn get(&self, number: usize) -> Option<Result<Snapshot>> {
        (number < self.len()).then(|| self.snapshot(number, self.usage(number)))
    }

    fn snapshot(&self, number: usize, usage: Result<Usage, DecodeError>) -> Result<Snapshot> {
        let usage = usage.map_err(|source| self.error(source))?;
        Ok(Snapshot {
            time: self.time(number),
            usage: usage.marked(self.damaged_up_to(number)),
        })
    }

    fn usage(&self, number: usize) -> Result<Usage, DecodeError> {
        let mut pairs = Vec::new();
        self.decode(number, |trace, bytes| pairs.push((trace, bytes)))?;
        Ok(pairs.into_iter().collect())
    }

    fn error(&self, source: DecodeError) -> Error {
        let path = self.0.path.clone();
        Error::Decode { path, source }
    }

    /// Whether the digest is damaged, or the log before the position of the snapshot.
    fn damaged_up_to(&self, number: usize) -> Taint {
        let position = self.0.trailer.as_ref().and_then(|it| it.position(number));
        // The last snapshot is after all of the log, and so after the damage that ends it.
        let end = position.filter(|_| number + 1 < self.len());
        Taint::of(self.0.damage.iter().filter(|error| {
            error.file() != FileKind::Hpd || end.is_none_or(|end| error.offset() < end.offset())
        }))
    }

    /// Calls `entry` for each entry of a snapshot, heaviest first. A trace can have several.
    pub(crate) fn visit(
        &self,
        number: usize,
        entry: impl FnMut(Option<TraceId>, i64),
    ) -> Result<()> {
        self.decode(number, entry)
            .map_err(|source| self.error(source))
    }

    fn decode(
        &self,
        number: usize,
        mut entry: impl FnMut(Option<TraceId>, i64),
    ) -> Result<(), DecodeError> {
        let inner = &*self.0;
        let Some(mut entries) = inner.layout.entries(&inner.bytes, number) else {
            return Ok(());
        };
        for pair in &mut entries {
            let (trace, bytes) = pair?;
            entry(trace, bytes);
        }
        let run = inner.trailer.as_ref().zip(inner.layout.run_of(number));
        if let Some(expected) = run.and_then(|(trailer, run)| trailer.checksum(run)) {
            let found = checksum(&[entries.read_bytes()]);
            if found != expected {
                let kind = Kind::Checksum { expected, found };
                return Err(DecodeError::new(FileKind::Hpc, entries.offset(), kind));
            }
        }
        Ok(())
    }

    /// Ranges of snapshots that share their bytes, and so are equal.
    pub(crate) fn runs(&self) -> impl Iterator<Item = Range<usize>> + '_ {
        self.0.layout.runs()
    }

    /// All snapshots, in order of time. A snapshot that shares the bytes of the previous one shares its rows too, and
    /// is O(1).
    pub fn snapshots(&self) -> impl ExactSizeIterator<Item = Result<Snapshot>> + FusedIterator {
        self.clone().into_snapshots()
    }

    /// As [`snapshots`](Self::snapshots), from an iterator that owns the digest.
    pub(crate) fn into_snapshots(
        self,
    ) -> impl ExactSizeIterator<Item = Result<Snapshot>> + FusedIterator + use<> {
        let mut before: Option<Result<Usage, DecodeError>> = None;
        (0..self.len()).map(move |number| {
            let shared = before.take().filter(|_| self.0.layout.shares(number));
            let usage = shared.unwrap_or_else(|| self.usage(number));
            before = Some(usage.clone());
            self.snapshot(number, usage)
        })
    }

    /// The latest snapshot at or before `time`. Before the first snapshot it is empty, at time 0. At or after the end
    /// of the log it is the last.
    ///
    /// # Errors
    /// If its bytes are damaged.
    #[doc(alias = "snapshotAt")]
    pub fn snapshot_at(&self, time: impl Into<Elapsed>) -> Result<Snapshot> {
        let time = time.into();
        let interval = Elapsed::from_millis(self.0.layout.interval_ms).as_micros();
        let due = usize::try_from(time.as_micros() / interval).unwrap_or(usize::MAX);
        let ended = self.end().is_some_and(|end| time >= end.elapsed());
        let before = if ended {
            self.len()
        } else {
            due.min(self.len())
        };
        match before.checked_sub(1).and_then(|number| self.get(number)) {
            Some(snapshot) => snapshot,
            None => Ok(Snapshot {
                time: Elapsed::ZERO,
                usage: Usage::empty().damaged_if(self.own_damage().is_some()),
            }),
        }
    }

    /// The log and the options it was made with; `None` for a foreign or damaged digest.
    fn origin(&self) -> Option<&Origin> {
        self.0.trailer.as_ref().map(|trailer| &trailer.origin)
    }

    /// The position of the log up to which it was digested: bytes, events and both clocks at the last whole event.
    /// `None` for a [foreign](Self::is_foreign) or damaged digest.
    pub fn end(&self) -> Option<LogPosition> {
        self.origin().map(|origin| origin.end)
    }

    /// The damage of the log, the first record of each kind, then the damage of the `.hpc` file. Empty for whole
    /// files. A foreign digest does not store the damage of the log.
    pub fn damage(&self) -> &[DecodeError] {
        &self.0.damage
    }

    /// Whether the [damage](Self::damage) is more than a log that ends inside a record.
    ///
    /// Then usages of the whole recording are [damaged](Usage::is_damaged), and so are the snapshots after the first
    /// invalid record. If the `.hpc` file is damaged, all snapshots are.
    pub fn is_damaged(&self) -> bool {
        self.damaged().0
    }

    pub(crate) fn damaged(&self) -> Taint {
        Taint::of(&self.0.damage)
    }

    /// The damage of the log alone.
    pub(crate) fn log_damage(&self) -> Option<&[DecodeError]> {
        self.origin().map(|origin| &*origin.damage)
    }

    /// Whether the digest was stopped before the end of the log.
    pub fn is_stopped(&self) -> bool {
        self.origin().is_some_and(|origin| origin.is_stopped)
    }

    /// Whether the digest does not identify its log, since another program wrote it, such as heapprof 1.0. Its
    /// precision, rates and damage are not known either.
    pub fn is_foreign(&self) -> bool {
        self.0.trailer.is_none() && self.own_damage().is_none()
    }

    /// The damage of the `.hpc` file, without that of its snapshots.
    pub(crate) fn own_damage(&self) -> Option<DecodeError> {
        let mut damage = self.0.damage.iter().copied();
        damage.find(|error| error.file() == FileKind::Hpc)
    }

    /// The fraction of the total that may be folded into unknown; `None` for a foreign digest.
    pub fn precision(&self) -> Option<f64> {
        self.origin().map(|origin| origin.precision)
    }

    /// The sampling rates of the estimates; `None` for a foreign digest.
    pub fn rates(&self) -> Option<&SamplingRates> {
        self.origin().map(|origin| &origin.rates)
    }

    /// The clock of its times; `None` for a foreign digest, whose times are as recorded.
    pub fn clock(&self) -> Option<Clock> {
        self.origin().map(|origin| origin.clock)
    }

    /// The positions in the log at which snapshots were taken, in order.
    pub(crate) fn positions(&self) -> impl Iterator<Item = LogPosition> + '_ {
        self.0.trailer.iter().flat_map(Trailer::positions)
    }

    /// Where the log goes on after a snapshot; `None` if traces may have been folded away.
    pub(crate) fn position(&self, number: usize) -> Option<LogPosition> {
        let trailer = self.0.trailer.as_ref();
        let exact = trailer.filter(|trailer| trailer.origin.precision <= 0.0);
        exact.and_then(|trailer| trailer.position(number))
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Digest")
            .field("snapshots", &self.len())
            .field("interval", &self.interval())
            .field("end", &self.end())
            .field("precision", &self.precision())
            .field("damage", &self.0.damage)
            .finish_non_exhaustive()
    }
}

//! [`Digest`]: what was live at regular moments, made once from the log and kept in memory or in a
//! `.hpc` file.

mod build;
mod changes;
mod checksum;
mod fit;
mod options;
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
use checksum::Checksum;
pub use fit::UnusedDigest;
pub use options::{DigestOptions, Progress};
pub(crate) use replace::Replacement;
pub use snapshot::Snapshot;
use trailer::{Found, Trailer};

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
/// Snapshot *k*, from 0, is the live heap at elapsed time (*k* + 1) × interval, and is labelled
/// with that time. Before the first the heap is empty. The last is the first at or after the last
/// event, so that what is live at the end is never lost.
///
/// A digest is made from the log by [`Reader::digest`](crate::Reader::digest) and its relatives,
/// or read from a `.hpc` file. It keeps each snapshot encoded, 2 to 3 bytes a live trace, and
/// decodes one when it is asked for; snapshots that do not differ from the one before cost a byte.
/// A clone shares everything.
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
    /// Reads the digest of a profile from its `.hpc` file, ours or heapprof 1.0's, given the
    /// filebase or the name of the file. Header and index are read; the file is mapped.
    ///
    /// The caller sees to it that no program shortens the file while the digest lives, since that can
    /// end this process. This crate never does: it replaces a digest as a whole. heapprof 1.0 does
    /// when it makes a digest anew. [`open_unmapped`](Self::open_unmapped) needs no such promise.
    ///
    /// [`Reader::open`](crate::Reader::open) takes a digest that fits the log beside it by itself.
    /// This is for those that heapprof 1.0 wrote, which by default are unreliable: a precision
    /// above 0 made it read past the end of an array, and the end of the recording is missing.
    ///
    /// The snapshots are labelled as ours are. heapprof 1.0 labels them one interval earlier, and
    /// they hold one event more: the first after the label.
    ///
    /// # Errors
    /// If there is no such file, or it has no whole header, or no index.
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        Self::open_as(path.as_ref(), Access::Map)
    }

    /// As [`open`](Self::open), but reads the whole file to memory instead of mapping it: whatever
    /// happens to the file then, the digest stays as it is.
    ///
    /// # Errors
    /// As [`open`](Self::open), or if there is not so much memory.
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

    /// The digest that was written to `file`, which stands at `path` or is about to.
    pub(crate) fn of(file: &File, path: PathBuf, access: Access) -> Result<Self> {
        let bytes = Bytes::of(file, &path, access.replaceable())?;
        Self::new(bytes, Some(path))
    }

    fn new(bytes: Bytes, path: Option<PathBuf>) -> Result<Self> {
        let layout = match Layout::read(&bytes) {
            Ok(layout) => layout,
            Err(source) => return Err(Error::Decode { path, source }),
        };
        let (trailer, own) = match Trailer::read(&layout, &bytes) {
            Found::Whole(trailer) => (Some(trailer), None),
            Found::Damaged(error) => (None, Some(error)),
            Found::Foreign => (None, None),
        };
        let of_the_log = trailer.iter().flat_map(|trailer| &trailer.damage);
        let damage = of_the_log
            .copied()
            .chain(layout.damage)
            .chain(own)
            .collect();
        Ok(Self(Arc::new(Inner {
            bytes,
            path,
            layout,
            trailer,
            damage,
        })))
    }

    /// The `.hpc` file, if the digest is from one.
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

    /// How many snapshots there are.
    pub fn len(&self) -> usize {
        self.0.layout.len()
    }

    /// Whether there is no snapshot: the log has no events.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The time of each snapshot.
    pub fn times(&self) -> impl ExactSizeIterator<Item = Elapsed> + FusedIterator + Clone {
        (0..self.len()).map(|number| self.0.layout.time(number).unwrap_or(Elapsed::MAX))
    }

    /// Snapshot `number`, from 0; `None` if there are not so many.
    ///
    /// O(its entries × log of these); no other snapshot is touched.
    ///
    /// # Errors
    /// If its bytes are damaged. A digest of ours notices by a checksum.
    pub fn get(&self, number: usize) -> Option<Result<Snapshot>> {
        (number < self.len()).then(|| self.snapshot(number))
    }

    fn snapshot(&self, number: usize) -> Result<Snapshot> {
        self.usage(number)
            .map(|usage| self.taken(number, usage))
            .map_err(|source| self.error(source))
    }

    fn usage(&self, number: usize) -> Result<Usage, DecodeError> {
        let mut pairs = Vec::new();
        self.walk(number, |trace, bytes| pairs.push((trace, bytes)))?;
        Ok(pairs.into_iter().collect())
    }

    fn taken(&self, number: usize, usage: Usage) -> Snapshot {
        Snapshot {
            time: self.0.layout.time(number).unwrap_or(Elapsed::MAX),
            usage: usage.marked(self.damaged_up_to(number)),
        }
    }

    fn error(&self, source: DecodeError) -> Error {
        let path = self.0.path.clone();
        Error::Decode { path, source }
    }

    /// Whether the digest is damaged, or the log up to where this snapshot was taken.
    fn damaged_up_to(&self, number: usize) -> Taint {
        let place = self.0.trailer.as_ref().and_then(|it| it.place(number));
        // The last has seen all of the log, and what broke it off.
        let seen = place.filter(|_| number + 1 < self.len());
        let damage = self.0.damage.iter().filter(|error| {
            error.file() != FileKind::Hpd || seen.is_none_or(|seen| error.offset() < seen.offset())
        });
        Taint::of(damage)
    }

    /// Walks over the entries of a snapshot, heaviest first. A trace can stand twice.
    pub(crate) fn visit(
        &self,
        number: usize,
        entry: impl FnMut(Option<TraceId>, i64),
    ) -> Result<()> {
        self.walk(number, entry)
            .map_err(|source| self.error(source))
    }

    fn walk(
        &self,
        number: usize,
        mut entry: impl FnMut(Option<TraceId>, i64),
    ) -> Result<(), DecodeError> {
        let Inner {
            bytes,
            layout,
            trailer,
            ..
        } = &*self.0;
        let Some(mut entries) = layout.entries(bytes, number) else {
            return Ok(());
        };
        for pair in &mut entries {
            let (trace, bytes) = pair?;
            entry(trace, bytes);
        }
        let run = layout.run_of(number);
        let checksum = |trailer: &Trailer| run.and_then(|run| trailer.checksum(run));
        if let Some(expected) = trailer.as_ref().and_then(checksum) {
            let found = Checksum::of(entries.read_bytes());
            if found != expected {
                let kind = Kind::Checksum { expected, found };
                return Err(DecodeError::new(FileKind::Hpc, entries.offset(), kind));
            }
        }
        Ok(())
    }

    /// The snapshots, those together that are known to be equal without a look at them.
    pub(crate) fn runs(&self) -> impl Iterator<Item = Range<usize>> + '_ {
        self.0.layout.runs()
    }

    /// All snapshots, in the order of time. Those that share the bytes of the one before share its
    /// rows too, and cost no more than their time.
    pub fn snapshots(&self) -> impl ExactSizeIterator<Item = Result<Snapshot>> + FusedIterator {
        self.clone().into_snapshots()
    }

    /// All snapshots, in the order of time, from an iterator that owns the digest.
    pub(crate) fn into_snapshots(
        self,
    ) -> impl ExactSizeIterator<Item = Result<Snapshot>> + FusedIterator + use<> {
        let mut before: Option<Result<Usage, DecodeError>> = None;
        (0..self.len()).map(move |number| {
            let shared = before.take().filter(|_| self.0.layout.shares(number));
            let usage = shared.unwrap_or_else(|| self.usage(number));
            before = Some(usage.clone());
            usage
                .map(|usage| self.taken(number, usage))
                .map_err(|source| self.error(source))
        })
    }

    /// The latest snapshot at or before `time`. Before the first it is empty, at time 0; at or after
    /// the end of the log it is the last.
    ///
    /// # Errors
    /// If its bytes are damaged.
    #[doc(alias = "snapshotAt")]
    pub fn snapshot_at(&self, time: impl Into<Elapsed>) -> Result<Snapshot> {
        let time = time.into();
        let interval = Elapsed::from_millis(self.0.layout.interval_ms).as_micros();
        let ended = self.end().is_some_and(|end| time >= end.elapsed());
        let before = if ended {
            self.len()
        } else {
            usize::try_from(time.as_micros() / interval)
                .unwrap_or(usize::MAX)
                .min(self.len())
        };
        match before.checked_sub(1).and_then(|number| self.get(number)) {
            Some(snapshot) => snapshot,
            None => Ok(Snapshot {
                time: Elapsed::ZERO,
                usage: Usage::empty().damaged_if(self.own_damage().is_some()),
            }),
        }
    }

    /// How much of the log was digested: bytes, events and both clocks at the last whole event;
    /// `None` for a [foreign](Self::is_foreign) digest, which does not say, and for a damaged one.
    pub fn end(&self) -> Option<LogPosition> {
        self.0.trailer.as_ref().map(|trailer| trailer.end)
    }

    /// What is wrong with the log that was digested, the first record of each kind, and with the
    /// `.hpc` file itself. Empty for whole files, and for what a foreign digest does not say.
    pub fn damage(&self) -> &[DecodeError] {
        &self.0.damage
    }

    /// Whether what is [wrong](Self::damage) is more than that the log just ends: then what follows
    /// the digest through all of the recording is [damaged](Usage::is_damaged), and of its snapshots
    /// those that were taken after the first record that makes no sense; all, if the `.hpc` file
    /// itself is.
    pub fn is_damaged(&self) -> bool {
        self.damaged().0
    }

    pub(crate) fn damaged(&self) -> Taint {
        Taint::of(&self.0.damage)
    }

    /// What is wrong with the log alone.
    pub(crate) fn log_damage(&self) -> Option<&[DecodeError]> {
        self.0.trailer.as_ref().map(|trailer| &*trailer.damage)
    }

    /// Whether the digest was stopped before the end of the log.
    pub fn is_stopped(&self) -> bool {
        self.0
            .trailer
            .as_ref()
            .is_some_and(|trailer| trailer.stopped)
    }

    /// Whether the digest does not say which log it is of, since another program wrote it, as
    /// heapprof 1.0 does: then its precision, rates and damage are not known either.
    pub fn is_foreign(&self) -> bool {
        self.0.trailer.is_none() && self.own_damage().is_none()
    }

    /// What is wrong with the `.hpc` file, as far as it can be told without a look at the snapshots.
    pub(crate) fn own_damage(&self) -> Option<DecodeError> {
        let mut damage = self.0.damage.iter().copied();
        damage.find(|error| error.file() == FileKind::Hpc)
    }

    /// The fraction of the total that may be folded into unknown; `None` for a foreign digest.
    pub fn precision(&self) -> Option<f64> {
        self.0.trailer.as_ref().map(|trailer| trailer.precision)
    }

    /// The sampling rates that the estimates were made with; `None` for a foreign digest.
    pub fn rates(&self) -> Option<&SamplingRates> {
        self.0.trailer.as_ref().map(|trailer| &trailer.rates)
    }

    /// The clock whose times it has; `None` for a foreign digest, which has those recorded.
    pub fn clock(&self) -> Option<Clock> {
        self.0.trailer.as_ref().map(|trailer| trailer.clock)
    }

    /// How long the log was when it was digested.
    pub(crate) fn log_len(&self) -> Option<u64> {
        self.0.trailer.as_ref().map(|trailer| trailer.log_len)
    }

    /// Places in the log, in its order, at which snapshots were taken.
    pub(crate) fn places(&self) -> impl Iterator<Item = LogPosition> + '_ {
        self.0.trailer.iter().flat_map(Trailer::places)
    }

    /// Where the log goes on after a snapshot from which nothing was folded away.
    pub(crate) fn place(&self, number: usize) -> Option<LogPosition> {
        let trailer = self.0.trailer.as_ref()?;
        (trailer.precision <= 0.0)
            .then(|| trailer.place(number))
            .flatten()
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

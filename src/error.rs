//! What can go wrong, and where: [`Error`] for a call that failed, [`DecodeError`] for bytes that
//! are not what the format says.
//!
//! A [`DecodeError`] says file, offset of the record and kind. It is the error of the low-level
//! iterators, and it is also how *damage* is told beside a result: a log that was cut is a normal
//! log, so a digest of it succeeds and carries the `DecodeError` of the cut.

use std::fmt;
use std::io;
use std::ops::BitOr;
use std::path::{Path, PathBuf};

use thiserror::Error as ThisError;

/// The result of a call that reads, writes or digests a profile.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// One of the three files of a profile.
///
/// ```
/// use heapprof::{FileKind, Reader};
/// use std::path::Path;
///
/// let reader = Reader::open("examples/data/demo.hpd")?;
/// assert_eq!(reader.path(FileKind::Hpm).as_deref(), Some(Path::new("examples/data/demo.hpm")));
/// assert_eq!((FileKind::Hpc.extension(), FileKind::Hpc.to_string()), ("hpc", ".hpc".into()));
/// # Ok::<(), heapprof::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum FileKind {
    /// `.hpm`: start time, sampling rates and stack traces.
    Hpm,
    /// `.hpd`: the event log.
    Hpd,
    /// `.hpc`: the digest.
    Hpc,
}

impl FileKind {
    /// The extension, without the dot.
    pub const fn extension(self) -> &'static str {
        match self {
            Self::Hpm => "hpm",
            Self::Hpd => "hpd",
            Self::Hpc => "hpc",
        }
    }
}

impl fmt::Display for FileKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, ".{}", self.extension())
    }
}

/// A record that is not what the format says: which file, where in it, and what is wrong.
///
/// ```
/// use heapprof::{FileKind, raw::EventLog};
///
/// let cut = [0, 0, 0, 1, 0, 0]; // a head, no seconds, no microseconds, and then no size
/// let error = EventLog::new(&cut).events().next().unwrap().unwrap_err();
/// assert_eq!(error.file(), FileKind::Hpd);
/// assert_eq!(error.offset(), 0);
/// assert!(error.is_cut());
/// assert_eq!(
///     error.to_string(),
///     ".hpd, record at byte 0: the file ends inside the record; no event can be read"
/// );
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, ThisError)]
#[error("{file}, record at byte {offset}: {kind}; {}", self.left())]
pub struct DecodeError {
    file: FileKind,
    offset: u64,
    kind: DecodeErrorKind,
}

impl DecodeError {
    pub(crate) const fn new(file: FileKind, offset: u64, kind: DecodeErrorKind) -> Self {
        Self { file, offset, kind }
    }

    /// The file the record stands in.
    pub const fn file(&self) -> FileKind {
        self.file
    }

    /// Where the record begins, in bytes from the start of the file.
    pub const fn offset(&self) -> u64 {
        self.offset
    }

    /// What is wrong with it.
    pub const fn kind(&self) -> DecodeErrorKind {
        self.kind
    }

    /// What is left of the file.
    fn left(&self) -> &'static str {
        match (self.file, self.offset) {
            _ if self.is_kept() => "it is used as it stands",
            (FileKind::Hpm, 0) => "nothing can be read",
            (FileKind::Hpm, _) => "the traces before it can be read",
            (FileKind::Hpd, 0) => "no event can be read",
            (FileKind::Hpd, _) => "the events before it can be read",
            (FileKind::Hpc, _) => "the digest can be made anew from the log",
        }
    }

    /// Whether the file just ends inside the record: the ordinary end of a program that was killed,
    /// or of a log that is still being written.
    pub const fn is_cut(&self) -> bool {
        matches!(self.kind, DecodeErrorKind::Cut)
    }

    /// Whether results say that they are [damaged](crate::Usage::is_damaged) for this: not if a
    /// recording just ends, as one that is being written does.
    pub(crate) fn is_damage(&self) -> bool {
        !self.is_cut() || self.file == FileKind::Hpc
    }

    /// Whether the record was kept all the same: it is whole, but makes no sense.
    ///
    /// Otherwise nothing from this record on could be used.
    pub const fn is_kept(&self) -> bool {
        use DecodeErrorKind as Kind;
        matches!(
            self.kind,
            Kind::NotUtf8
                | Kind::UnknownTrace { .. }
                | Kind::Microseconds { .. }
                | Kind::Nanoseconds { .. }
                | Kind::NegativeBalance { .. }
                | Kind::Saturated
        )
    }
}

/// Whether what a result was made from is damaged. It travels with the result, and is no part of what
/// is compared.
#[derive(Clone, Copy, Default)]
pub(crate) struct Damaged(pub(crate) bool);

impl Damaged {
    pub(crate) fn of<'a>(damage: impl IntoIterator<Item = &'a DecodeError>) -> Self {
        Self(damage.into_iter().any(DecodeError::is_damage))
    }
}

impl BitOr for Damaged {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

impl PartialEq for Damaged {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Eq for Damaged {}

impl fmt::Debug for Damaged {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// What is wrong with a record.
///
/// The kinds from [`NotUtf8`](Self::NotUtf8) on are of records that are whole and were kept, though
/// they make no sense; with the others, reading ended.
///
/// ```
/// use heapprof::{DecodeErrorKind, raw::EventLog};
///
/// let endless = [0, 0, 0, 1, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff];
/// let error = EventLog::new(&endless).events().next().unwrap().unwrap_err();
/// assert_eq!(error.kind(), DecodeErrorKind::Varint);
/// assert!(!error.is_cut() && !error.is_kept()); // reading ended there
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, ThisError)]
#[non_exhaustive]
pub enum DecodeErrorKind {
    /// The file ends inside the record.
    #[error("the file ends inside the record")]
    Cut,
    /// A varint has more than 10 bytes or more than 64 bits.
    #[error("a number is longer than 64 bits")]
    Varint,
    /// The file is no such file, or one of a version that nobody has described.
    #[error("version 1 expected, found {found:#010x}: not such a file")]
    Version {
        /// What stands in place of the version.
        found: u32,
    },
    /// The mark that begins a part of a digest is not there.
    #[error("the mark {expected:#010x} expected, found {found:#010x}")]
    Magic {
        /// The mark.
        expected: u32,
        /// What stands in its place.
        found: u32,
    },
    /// A line number is over 2³² − 1.
    #[error("line number {found} is over 4294967295")]
    LineNumber {
        /// The line number.
        found: u64,
    },
    /// There are more traces than a trace index can tell apart.
    #[error("more than 1073741823 traces")]
    TooManyTraces,
    /// There are more than 2³² − 2 distinct lines of code or beginnings of stacks.
    #[error("more than 4294967294 distinct lines of code or beginnings of stacks")]
    TooManyFrames,
    /// The difference of time, or one of the two clocks after it, is over 2⁶³ − 1 µs.
    #[error("the time is over 2^63 - 1 microseconds")]
    Time,
    /// The size of a block is over 2⁶³ − 1.
    #[error("a size of {found} bytes is over 2^63 - 1")]
    Size {
        /// The size.
        found: u64,
    },
    /// The estimate for a block is over 2⁶³ − 1 with the sampling rates in use.
    #[error("the estimate for a size of {size} bytes is over 2^63 - 1")]
    Estimate {
        /// The size of the recorded block.
        size: u64,
    },
    /// A trace index in a digest is over 30 bits.
    #[error("trace index {found} is over 1073741823")]
    TraceIndex {
        /// The trace index.
        found: u64,
    },
    /// The bytes of an entry in a digest leave 64 bits.
    #[error("the bytes of an entry are below -2^63")]
    Balance,
    /// The digest has no index: whoever wrote it never finished.
    #[error("the digest was never finished: it has no index")]
    Unfinished,
    /// The index, or a snapshot, is said to begin where it cannot.
    #[error("offset {found} is not inside the digest's {len} bytes")]
    Offset {
        /// The offset.
        found: u64,
        /// How many bytes there are.
        len: u64,
    },
    /// The interval of a digest is 0, or the time of its last snapshot leaves 64 bits.
    #[error("an interval of {found} ms gives no times for the snapshots")]
    Interval {
        /// The interval in milliseconds.
        found: u64,
    },
    /// A snapshot runs on into the next, or into the index.
    #[error("the snapshot runs on into what follows it")]
    Overlap,
    /// The bytes of a snapshot, or what a digest says about itself, are not what was written.
    #[error("the checksum does not fit: {expected:#010x} expected, found {found:#010x}")]
    Checksum {
        /// The checksum that was written.
        expected: u32,
        /// The checksum of the bytes that are there.
        found: u32,
    },
    /// The places in the log that a digest tells of cannot follow on each other.
    #[error("the digest tells of a place at byte {found} of the log, where none can be")]
    Place {
        /// Where in the log the place would be.
        found: u64,
    },
    /// Kept: a file name is not UTF-8, and is read with U+FFFD in place of what cannot be.
    #[error("a file name is not UTF-8")]
    NotUtf8,
    /// Kept: an event names a trace that the table does not have.
    #[error("trace {found} is not among the {traces} of the .hpm file")]
    UnknownTrace {
        /// The trace index.
        found: u32,
        /// How many whole traces the table has.
        traces: u32,
    },
    /// Kept: an event's fraction of a second is a second or more.
    #[error("{found} microseconds are a second or more")]
    Microseconds {
        /// The microseconds.
        found: u64,
    },
    /// Kept: the fraction of a second in a start time is a second or more.
    #[error("{found} nanoseconds are a second or more")]
    Nanoseconds {
        /// The nanoseconds.
        found: u64,
    },
    /// Kept: more was freed than allocated, as when two processes write one log.
    #[error("more is freed than was allocated by trace {trace}")]
    NegativeBalance {
        /// The trace index; 0 for unknown.
        trace: u32,
    },
    /// Kept: a balance left 63 bits and stays at the limit.
    #[error("the live bytes of a trace are over 2^63 - 1, and stay there")]
    Saturated,
}

/// Why a call failed.
///
/// The text of each is one line with everything that is known, the path included.
///
/// ```
/// use heapprof::{Error, FileKind, Reader};
///
/// let error = Reader::open("runs/of/nobody").unwrap_err();
/// assert!(matches!(&error, Error::Missing { file: FileKind::Hpm, .. }));
/// assert_eq!(error.to_string(), "runs/of/nobody.hpm: there is no such .hpm file");
/// ```
#[derive(Debug, ThisError)]
#[non_exhaustive]
pub enum Error {
    /// The operating system refused.
    #[error("{}: cannot {action}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What was tried: `open`, `read`, `write`, …
        action: &'static str,
        /// What the system said.
        source: io::Error,
    },
    /// A directory or a device stands where a file should.
    #[error("{}: a regular file expected, found a directory or a device", path.display())]
    NotAFile {
        /// What stands there.
        path: PathBuf,
    },
    /// The bytes of a file are not what the format says, and nothing could be used.
    #[error("{}", Located(path.as_deref(), source))]
    Decode {
        /// The file, where the bytes came from one.
        path: Option<PathBuf>,
        /// What is wrong, and where.
        source: DecodeError,
    },
    /// The profile does not have a file that is needed.
    #[error("{}: there is no such {file} file", path.display())]
    Missing {
        /// Where it was looked for.
        path: PathBuf,
        /// Which file.
        file: FileKind,
    },
    /// The recording is not the one that was opened any more: a recorder began another one under the
    /// same name, or the file was cut. What was answered before is of the old one.
    #[error("{}: not the recording that was opened any more: open it anew", path.display())]
    Replaced {
        /// The file.
        path: PathBuf,
    },
    /// A digest was made, but could not be written. The one before, if there was one, is as it was.
    #[error(
        "{}: cannot {action}: {source}: the digest is not stored; Reader::digest needs no file",
        path.display()
    )]
    NotStored {
        /// The `.hpc` file.
        path: PathBuf,
        /// What was tried: `create a file beside it`, `write` or `replace`.
        action: &'static str,
        /// What the system said.
        source: io::Error,
    },
    /// The profile was made from bytes, so that there is no place for its digest.
    #[error("a profile that was made from bytes has no place for a .hpc file")]
    NoPlace,
    /// An interval between snapshots that is not a whole number of milliseconds from 1 on.
    #[error("an interval of {found:?} is not a whole number of milliseconds, at least 1")]
    Interval {
        /// The interval.
        found: std::time::Duration,
    },
    /// A precision that is not at least 0 and below 1.
    #[error("a precision of {found} is not at least 0 and below 1")]
    Precision {
        /// The precision.
        found: f64,
    },
    /// A sampling probability that is not in 0 to 1.
    #[error("a probability of {found} is not in 0 to 1")]
    Probability {
        /// The probability.
        found: f64,
    },
    /// A digest would have more snapshots than the limit.
    #[error(
        "a snapshot every {interval_ms} ms would be {needed} snapshots, over the limit of {limit}: \
         an interval of {works_ms} ms works"
    )]
    TooManySnapshots {
        /// The interval asked for, in milliseconds.
        interval_ms: u64,
        /// How many snapshots the log would have.
        needed: u64,
        /// The limit: see [`DigestOptions::max_snapshots`](crate::DigestOptions::max_snapshots).
        limit: u64,
        /// An interval in milliseconds that keeps to the limit.
        works_ms: u64,
    },
    /// A writer was given what its format cannot hold, or could not write.
    #[error(transparent)]
    Encode(#[from] EncodeError),
    /// A text is not `file:line`.
    #[error(transparent)]
    ParseFrame(#[from] ParseFrameError),
}

impl Error {
    /// The record that is wrong, where that is why the call failed.
    ///
    /// ```
    /// use heapprof::{Error, Reader};
    ///
    /// let error = Reader::from_bytes(b"no profile".as_slice(), b"".as_slice(), None).unwrap_err();
    /// assert_eq!(error.decode_error().map(|e| e.offset()), Some(0));
    /// ```
    pub fn decode_error(&self) -> Option<&DecodeError> {
        match self {
            Self::Decode { source, .. } => Some(source),
            _ => None,
        }
    }

    /// Whether the call failed since a file just ends inside a record: see
    /// [`DecodeError::is_cut`].
    pub fn is_cut(&self) -> bool {
        self.decode_error().is_some_and(DecodeError::is_cut)
    }

    /// A missing file told as such.
    pub(crate) fn or_missing(self, file: FileKind) -> Self {
        match self {
            Self::Io { path, source, .. } if source.kind() == io::ErrorKind::NotFound => {
                Self::Missing { path, file }
            }
            other => other,
        }
    }

    pub(crate) fn not_stored(path: &Path, action: &'static str) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::NotStored {
            path,
            action,
            source,
        }
    }

    pub(crate) fn io(path: &Path, action: &'static str) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io {
            path,
            action,
            source,
        }
    }
}

/// Of bytes that are from no file that has a name.
impl From<DecodeError> for Error {
    fn from(source: DecodeError) -> Self {
        Self::Decode { path: None, source }
    }
}

/// What is wrong with a record, in which file.
struct Located<'a>(Option<&'a Path>, &'a DecodeError);

impl fmt::Display for Located<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(Some(path), error) = self else {
            return self.1.fmt(f);
        };
        let DecodeError { offset, kind, .. } = error;
        let (path, left) = (path.display(), error.left());
        write!(f, "{path}: record at byte {offset}: {kind}; {left}")
    }
}

/// Why a writer refused a record.
///
/// Nothing of a refused record is written, so a program can go on with the next one. After
/// [`Io`](Self::Io) a part of it may be, and the file should be given up.
///
/// ```
/// use heapprof::raw::{EventKind, EventWriter};
/// use heapprof::{EncodeError, WallOffset};
///
/// let mut writer = EventWriter::new(Vec::new());
/// let refused = writer.write(WallOffset::ZERO, None, u64::MAX, EventKind::Allocation);
/// assert!(matches!(refused, Err(EncodeError::Size { size: u64::MAX })));
/// // Nothing of it was written, so the next one can be.
/// writer.write(WallOffset::ZERO, None, 100, EventKind::Allocation)?;
/// assert_eq!(writer.position().events(), 1);
/// # Ok::<(), EncodeError>(())
/// ```
#[derive(Debug, ThisError)]
#[non_exhaustive]
pub enum EncodeError {
    /// The underlying writer refused.
    #[error("cannot write: {0}")]
    Io(#[from] io::Error),
    /// The time since the start, or since the event before, is over 2⁶³ − 1 µs.
    #[error("the time {micros} microseconds is out of range")]
    Time {
        /// The wall clock, relative to the start.
        micros: i64,
    },
    /// A size over 2⁶³ − 1 bytes.
    #[error("a size of {size} bytes is over 2^63 - 1")]
    Size {
        /// The size.
        size: u64,
    },
    /// The file has as many traces as a trace index can tell apart.
    #[error("there are 1073741823 traces already")]
    TooManyTraces,
    /// The entries of a snapshot do not descend.
    #[error("entry {position} of the snapshot is heavier than the one before")]
    Order {
        /// Which entry, from 0.
        position: usize,
    },
    /// There is no snapshot yet that could be repeated.
    #[error("there is no snapshot to repeat")]
    NothingToRepeat,
    /// The time of the snapshot leaves 64 bits of microseconds.
    #[error("snapshot {number} would be later than 2^64 microseconds")]
    SnapshotTime {
        /// Which snapshot, from 0.
        number: u64,
    },
    /// An interval that is 0, or over what 2⁶³ − 1 µs allow.
    #[error("an interval of {millis} ms is out of range")]
    Interval {
        /// The interval.
        millis: u64,
    },
}

/// A text that is not `file:line`.
///
/// ```
/// use heapprof::Frame;
///
/// let error = Frame::parse("main.py").unwrap_err();
/// assert_eq!(error.to_string(), "\"main.py\" is not FILE:LINE, such as app/main.py:12");
/// ```
#[derive(Debug, Clone, PartialEq, Eq, ThisError)]
#[error("{text:?} is not FILE:LINE, such as app/main.py:12")]
pub struct ParseFrameError {
    pub(crate) text: String,
}

#[cfg(test)]
mod texts;

//! Errors: [`Error`] for a call that failed, [`DecodeError`] for invalid bytes and their offset, [`EncodeError`] for a
//! writer.

mod decode;

pub(crate) use decode::Taint;
pub use decode::{DecodeError, DecodeErrorKind, FileKind};

use std::fmt::{self, Write};
use std::io;
use std::path::{Path, PathBuf};

use thiserror::Error as ThisError;

/// The result of a call that reads, writes or digests a profile.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why a call failed.
///
/// Its text is one line with all details, including the path.
///
/// ```
/// use heapprof::raw::FileKind;
/// use heapprof::{Error, Reader};
///
/// let error = Reader::open("runs/of/nobody").unwrap_err();
/// assert!(matches!(&error, Error::Missing { file: FileKind::Hpm, .. }));
/// assert_eq!(error.to_string(), "runs/of/nobody.hpm: there is no such .hpm file");
/// ```
#[derive(Debug, ThisError)]
#[non_exhaustive]
pub enum Error {
    /// The operating system reported an error.
    #[error("{}: cannot {action}: {source}", OneLine(path))]
    Io {
        /// The file.
        path: PathBuf,
        /// The operation: `open`, `read`, `write`, …
        action: &'static str,
        /// The error of the operating system.
        source: io::Error,
    },
    /// The source of an [`EventReader`](crate::raw::EventReader) failed.
    #[error("cannot read the log: {source}")]
    Stream {
        /// The error of the source.
        source: io::Error,
    },
    /// A directory or a device has the name of a file.
    #[error(
        "{}: a regular file expected, found a directory or a device",
        OneLine(path)
    )]
    NotAFile {
        /// The directory or the device.
        path: PathBuf,
    },
    /// The bytes of a file are invalid from the start, so nothing could be read.
    #[error("{}", Located(path.as_deref(), source))]
    Decode {
        /// The file; `None` if the bytes are not from a file.
        path: Option<PathBuf>,
        /// The invalid record.
        source: DecodeError,
    },
    /// The profile lacks a file that the call needs.
    #[error("{}: there is no such {file} file", OneLine(path))]
    Missing {
        /// The path of the missing file.
        path: PathBuf,
        /// The kind of the file.
        file: FileKind,
    },
    /// The recording is no longer the one that was opened: a recorder began another one with the same name, or the
    /// file was cut. Earlier results are of the old recording.
    #[error(
        "{}: no longer the recording that was opened: open it again",
        OneLine(path)
    )]
    Replaced {
        /// The file.
        path: PathBuf,
    },
    /// A digest was made, but could not be written. The old `.hpc` file, if there was one, is unchanged.
    #[error(
        "{}: cannot {action}: {source}: the digest is not stored; Reader::digest needs no file",
        OneLine(path)
    )]
    NotStored {
        /// The `.hpc` file.
        path: PathBuf,
        /// The operation: `create a file beside it`, `write` or `replace`.
        action: &'static str,
        /// The error of the operating system.
        source: io::Error,
    },
    /// The profile was made from bytes, so its digest has no path.
    #[error("a profile from bytes has no path for a .hpc file")]
    NoPlace,
    /// An interval between snapshots that is not a whole number of milliseconds, at least 1.
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
        "a snapshot every {interval:?} would be {needed} snapshots, over the limit of {limit}: \
         an interval of {works:?} works"
    )]
    TooManySnapshots {
        /// The requested interval.
        interval: std::time::Duration,
        /// The number of snapshots that it would need.
        needed: u64,
        /// The limit: see [`DigestOptions::max_snapshots`](crate::DigestOptions::max_snapshots).
        limit: u64,
        /// An interval that stays within the limit.
        works: std::time::Duration,
    },
    /// A writer failed, or the format cannot represent a record.
    #[error(transparent)]
    Encode(#[from] EncodeError),
    /// A text is not `file:line`.
    #[error(transparent)]
    ParseFrame(#[from] ParseFrameError),
}

impl Error {
    /// The invalid record, if that is why the call failed.
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

    /// Whether the call failed because a file ends inside a record: see [`DecodeError::is_cut`].
    pub fn is_cut(&self) -> bool {
        self.decode_error().is_some_and(DecodeError::is_cut)
    }

    /// The same error, or [`Missing`](Self::Missing) if the file does not exist.
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

/// For bytes that are not from a file.
impl From<DecodeError> for Error {
    fn from(source: DecodeError) -> Self {
        Self::Decode { path: None, source }
    }
}

/// The text of an invalid record, with the path of its file.
struct Located<'a>(Option<&'a Path>, &'a DecodeError);

impl fmt::Display for Located<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(Some(path), error) = self else {
            return self.1.fmt(f);
        };
        let (offset, kind) = (error.offset(), error.kind());
        let (path, usable) = (OneLine(path), error.usable());
        write!(f, "{path}: record at byte {offset}: {kind}; {usable}")
    }
}

/// Why a writer refused a record.
///
/// No part of a refused record is written, so a program can continue with the next one. After [`Io`](Self::Io) a part
/// of the record may be written, and the file is unusable.
///
/// ```
/// use heapprof::raw::EventWriter;
/// use heapprof::EventKind;
/// use heapprof::raw::EncodeError;
/// use heapprof::WallOffset;
///
/// let mut writer = EventWriter::new(Vec::new());
/// let refused = writer.write(WallOffset::ZERO, None, u64::MAX, EventKind::Allocation);
/// assert!(matches!(refused, Err(EncodeError::Size { size: u64::MAX })));
/// // No part of it was written, so the next record can follow.
/// writer.write(WallOffset::ZERO, None, 100, EventKind::Allocation)?;
/// assert_eq!(writer.position().events(), 1);
/// # Ok::<(), EncodeError>(())
/// ```
#[derive(Debug, ThisError)]
#[non_exhaustive]
pub enum EncodeError {
    /// The underlying writer failed.
    #[error("cannot write: {0}")]
    Io(#[from] io::Error),
    /// The time since the start, or since the previous event, is over 2⁶³ − 1 µs.
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
    /// The file has the largest number of traces already: 2³⁰ − 1.
    #[error("there are 1073741823 traces already")]
    TooManyTraces,
    /// The file has the largest number of texts, frames or nodes already: 2³² − 1.
    #[error("there are 4294967295 distinct texts, frames or nodes already")]
    TooManyFrames,
    /// The [`TraceNode`](crate::raw::TraceNode) is of another writer.
    #[error("the node is not one of this writer's")]
    UnknownNode,
    /// The entries of a snapshot do not descend.
    #[error("entry {position} of the snapshot is heavier than the previous one")]
    Order {
        /// The index of the entry, from 0.
        position: usize,
    },
    /// There is no snapshot yet to repeat.
    #[error("there is no snapshot to repeat")]
    NothingToRepeat,
    /// The time of the snapshot is over 2⁶⁴ − 1 µs.
    #[error("snapshot {number} would be later than 2^64 microseconds")]
    SnapshotTime {
        /// The index of the snapshot, from 0.
        number: u64,
    },
    /// An interval that is not a whole number of milliseconds, at least 1, or is over 2⁶³ − 1 µs.
    #[error("an interval of {found:?} is not a whole number of milliseconds, at least 1")]
    Interval {
        /// The interval.
        found: std::time::Duration,
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

/// A path on one line: control characters in its name are escaped.
struct OneLine<'p>(&'p Path);

impl fmt::Display for OneLine<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.to_string_lossy().chars().try_for_each(|char| {
            if char.is_control() {
                write!(f, "{}", char.escape_default())
            } else {
                f.write_char(char)
            }
        })
    }
}

#[cfg(test)]
mod texts;

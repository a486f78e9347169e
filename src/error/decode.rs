//! [`DecodeError`]: a record with invalid bytes.
//!
//! It has the file, the offset of the record, and the kind of error. The low-level iterators return it as their
//! error. Results report *damage* with it: a cut log is a normal log, so its digest succeeds and contains the
//! `DecodeError` of the cut.

use std::fmt;
use std::ops::BitOr;

use thiserror::Error as ThisError;

/// One of the three files of a profile.
///
/// ```
/// use heapprof::raw::FileKind;
/// use heapprof::Reader;
/// use std::path::Path;
///
/// let reader = Reader::open("examples/data/demo.hpd")?;
/// assert_eq!(reader.path(FileKind::Hpm).as_deref(), Some(Path::new("examples/data/demo.hpm")));
/// assert_eq!((FileKind::Hpc.extension(), FileKind::Hpc.to_string()), ("hpc", ".hpc".into()));
/// # Ok::<(), heapprof::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "snake_case"))]
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

/// An invalid record: its file, its offset, and what is wrong with it.
///
/// ```
/// use heapprof::raw::{EventLog, FileKind};
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
#[error("{file}, record at byte {offset}: {kind}; {}", self.usable())]
pub struct DecodeError {
    file: FileKind,
    offset: u64,
    kind: DecodeErrorKind,
}

impl DecodeError {
    pub(crate) const fn new(file: FileKind, offset: u64, kind: DecodeErrorKind) -> Self {
        Self { file, offset, kind }
    }

    /// The file that has the record.
    pub const fn file(&self) -> FileKind {
        self.file
    }

    /// The offset of the record, in bytes from the start of the file.
    pub const fn offset(&self) -> u64 {
        self.offset
    }

    /// What is wrong with it.
    pub const fn kind(&self) -> DecodeErrorKind {
        self.kind
    }

    /// The part of the file that is still usable.
    pub(super) fn usable(&self) -> &'static str {
        match (self.file, self.offset) {
            _ if self.is_kept() => "it is used as it stands",
            (FileKind::Hpm, 0) => "nothing can be read",
            (FileKind::Hpm, _) => "the traces before it can be read",
            (FileKind::Hpd, 0) => "no event can be read",
            (FileKind::Hpd, _) => "the events before it can be read",
            (FileKind::Hpc, _) => "the digest can be made anew from the log",
        }
    }

    /// Whether the file ends inside the record. That is normal for a program that was killed, and for a log that is
    /// still being written.
    pub const fn is_cut(&self) -> bool {
        matches!(self.kind, DecodeErrorKind::Cut)
    }

    /// Whether results are [damaged](crate::Usage::is_damaged) because of this record. A cut of `.hpm` or `.hpd` is
    /// normal, so it is not damage.
    pub(crate) fn is_damage(&self) -> bool {
        !self.is_cut() || self.file == FileKind::Hpc
    }

    /// Whether the record is kept: it is whole, but makes no sense.
    ///
    /// Otherwise neither this record nor the bytes after it are used.
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

/// Whether a result is derived from damaged input. All taints are equal, so that a result can derive `PartialEq`
/// and compares its values only.
#[derive(Clone, Copy, Default)]
pub(crate) struct Taint(pub(crate) bool);

impl Taint {
    pub(crate) fn of<'a>(damage: impl IntoIterator<Item = &'a DecodeError>) -> Self {
        Self(damage.into_iter().any(DecodeError::is_damage))
    }
}

impl BitOr for Taint {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

impl PartialEq for Taint {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Eq for Taint {}

impl fmt::Debug for Taint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// What is wrong with a record.
///
/// Records of the kinds from [`NotUtf8`](Self::NotUtf8) on are whole and kept, but make no sense. At a record of
/// another kind, reading ended.
///
/// ```
/// use heapprof::raw::{DecodeErrorKind, EventLog};
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
    /// The file is of another format, or of an unknown version.
    #[error("unknown version {found:#010x}: not such a file")]
    Version {
        /// The bytes in place of the version.
        found: u32,
    },
    /// A part of a digest does not begin with its mark.
    #[error("the mark {expected:#010x} expected, found {found:#010x}")]
    Magic {
        /// The mark.
        expected: u32,
        /// The bytes in its place.
        found: u32,
    },
    /// A line number is over 2³² − 1.
    #[error("line number {found} is over 4294967295")]
    LineNumber {
        /// The line number.
        found: u64,
    },
    /// There are more than 2³⁰ − 1 traces, the largest trace index.
    #[error("more than 1073741823 traces")]
    TooManyTraces,
    /// There are more than 2³² − 2 distinct names, lines of code, or beginnings of stacks.
    #[error("more than 4294967294 distinct names, lines of code or beginnings of stacks")]
    TooManyFrames,
    /// A record of version 2 of `.hpm` refers to a text, frame or node that no earlier record defines.
    #[error("the reference {found} is not to one of the {defined} items defined so far")]
    Undefined {
        /// The reference, as the record has it.
        found: u64,
        /// The number of items that earlier records define.
        defined: u64,
    },
    /// The time difference, or one of the two clocks after it, is over 2⁶³ − 1 µs.
    #[error("the time is over 2^63 - 1 microseconds")]
    Time,
    /// At least 64 zero bytes are in place of a record of the log. A file system can leave them after a crash.
    #[error("{len} bytes of zeros are where a record should begin")]
    Zeros {
        /// The number of zero bytes.
        len: u64,
    },
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
    /// The bytes of an entry in a digest are below −2⁶³.
    #[error("the bytes of an entry are below -2^63")]
    Balance,
    /// The digest has no index: its writer did not finish.
    #[error("the digest was never finished: it has no index")]
    Unfinished,
    /// The offset of the index or of a snapshot is outside the digest.
    #[error("offset {found} is not inside the digest's {len} bytes")]
    Offset {
        /// The offset.
        found: u64,
        /// The number of bytes of the digest.
        len: u64,
    },
    /// The interval of a digest is 0, or the time of its last snapshot is over 64 bits.
    #[error("an interval of {found} ms gives no times for the snapshots")]
    Interval {
        /// The interval in milliseconds.
        found: u64,
    },
    /// A snapshot overlaps the next one, or the index.
    #[error("the snapshot overlaps the bytes after it")]
    Overlap,
    /// The bytes of a snapshot or of the trailer of a digest differ from those that were written.
    #[error("the checksum does not fit: {expected:#010x} expected, found {found:#010x}")]
    Checksum {
        /// The checksum that was written.
        expected: u32,
        /// The checksum of the bytes in the file.
        found: u32,
    },
    /// A digest states positions in the log that cannot follow each other.
    #[error("the digest states byte {found} of the log as a position, where none can be")]
    Place {
        /// The offset in the log of the invalid position.
        found: u64,
    },
    /// Kept: a name of a file or a function is not UTF-8. It is read with U+FFFD in place of the invalid bytes.
    #[error("a name is not UTF-8")]
    NotUtf8,
    /// Kept: an event has a trace that the table does not have.
    #[error("trace {found} is not among the {traces} of the .hpm file")]
    UnknownTrace {
        /// The trace index.
        found: u32,
        /// The number of whole traces of the table.
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
    /// Kept: a trace frees more than it allocated, for example in a log that two processes wrote.
    #[error("more is freed than was allocated by trace {trace}")]
    NegativeBalance {
        /// The trace index; 0 for unknown.
        trace: u32,
    },
    /// Kept: a balance is over 63 bits and stays at the limit.
    #[error("the live bytes of a trace are over 2^63 - 1, and stay there")]
    Saturated,
}

impl DecodeErrorKind {
    /// The name of the kind, and the names and values of its numbers. `serde` and the trailer of a digest use them.
    pub(crate) fn parts(self) -> (&'static str, [Option<(&'static str, u64)>; 2]) {
        use DecodeErrorKind as Kind;
        let one = |name, value: u64| [Some((name, value)), None];
        let two = |(a, b), (c, d): (_, u64)| [Some((a, b)), Some((c, d))];
        match self {
            Kind::Cut => ("cut", [None; 2]),
            Kind::Varint => ("varint", [None; 2]),
            Kind::Version { found } => ("version", one("found", found.into())),
            Kind::Magic { expected, found } => (
                "magic",
                two(("expected", expected.into()), ("found", found.into())),
            ),
            Kind::LineNumber { found } => ("line_number", one("found", found)),
            Kind::TooManyTraces => ("too_many_traces", [None; 2]),
            Kind::TooManyFrames => ("too_many_frames", [None; 2]),
            Kind::Undefined { found, defined } => {
                ("undefined", two(("found", found), ("defined", defined)))
            }
            Kind::Time => ("time", [None; 2]),
            Kind::Zeros { len } => ("zeros", one("len", len)),
            Kind::Size { found } => ("size", one("found", found)),
            Kind::Estimate { size } => ("estimate", one("size", size)),
            Kind::TraceIndex { found } => ("trace_index", one("found", found)),
            Kind::Balance => ("balance", [None; 2]),
            Kind::Unfinished => ("unfinished", [None; 2]),
            Kind::Offset { found, len } => ("offset", two(("found", found), ("len", len))),
            Kind::Interval { found } => ("interval", one("found", found)),
            Kind::Overlap => ("overlap", [None; 2]),
            Kind::Checksum { expected, found } => (
                "checksum",
                two(("expected", expected.into()), ("found", found.into())),
            ),
            Kind::Place { found } => ("place", one("found", found)),
            Kind::NotUtf8 => ("not_utf8", [None; 2]),
            Kind::UnknownTrace { found, traces } => (
                "unknown_trace",
                two(("found", found.into()), ("traces", traces.into())),
            ),
            Kind::Microseconds { found } => ("microseconds", one("found", found)),
            Kind::Nanoseconds { found } => ("nanoseconds", one("found", found)),
            Kind::NegativeBalance { trace } => ("negative_balance", one("trace", trace.into())),
            Kind::Saturated => ("saturated", [None; 2]),
        }
    }
}

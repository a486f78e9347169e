//! The text and the source of every error.

use std::error::Error as _;
use std::time::Duration;

use super::*;

/// Samples of all variants with their texts. Without a sample of each variant it does not compile.
macro_rules! samples {
    ($type:ty: $($pattern:pat => $sample:expr, $text:expr;)+) => {{
        let _all = |it: &$type| match it { $($pattern => (),)+ };
        [$({
            let sample: $type = $sample;
            assert!(matches!(sample, $pattern), "{sample:?}");
            (sample, $text)
        }),+]
    }};
}

#[test]
fn text_of_each_kind_of_invalid_record() {
    use DecodeErrorKind as Kind;
    let samples = samples! { Kind:
        Kind::Cut => Kind::Cut, "the file ends inside the record";
        Kind::Varint => Kind::Varint, "a number is longer than 64 bits";
        Kind::Version { .. } => Kind::Version { found: 3 },
            "unknown version 0x00000003: not such a file";
        Kind::Magic { .. } => Kind::Magic { expected: 0xab93_5776, found: 3 },
            "the mark 0xab935776 expected, found 0x00000003";
        Kind::LineNumber { .. } => Kind::LineNumber { found: 1 << 32 },
            "line number 4294967296 is over 4294967295";
        Kind::TooManyTraces => Kind::TooManyTraces, "more than 1073741823 traces";
        Kind::TooManyFrames => Kind::TooManyFrames,
            "more than 4294967294 distinct names, lines of code or beginnings of stacks";
        Kind::Undefined { .. } => Kind::Undefined { found: 7, defined: 3 },
            "the reference 7 is not to one of the 3 items defined so far";
        Kind::Time => Kind::Time, "the time is over 2^63 - 1 microseconds";
        Kind::Zeros { .. } => Kind::Zeros { len: 4096 },
            "4096 bytes of zeros are where a record should begin";
        Kind::Size { .. } => Kind::Size { found: 1 << 63 },
            "a size of 9223372036854775808 bytes is over 2^63 - 1";
        Kind::Estimate { .. } => Kind::Estimate { size: 1 << 40 },
            "the estimate for a size of 1099511627776 bytes is over 2^63 - 1";
        Kind::TraceIndex { .. } => Kind::TraceIndex { found: 1 << 30 },
            "trace index 1073741824 is over 1073741823";
        Kind::Balance => Kind::Balance, "the bytes of an entry are below -2^63";
        Kind::Unfinished => Kind::Unfinished, "the digest was never finished: it has no index";
        Kind::Offset { .. } => Kind::Offset { found: 900, len: 800 },
            "offset 900 is not inside the digest's 800 bytes";
        Kind::Interval { .. } => Kind::Interval { found: 0 },
            "an interval of 0 ms gives no times for the snapshots";
        Kind::Overlap => Kind::Overlap, "the snapshot overlaps the bytes after it";
        Kind::Checksum { .. } => Kind::Checksum { expected: 17, found: 0xffff_ffff },
            "the checksum does not fit: 0x00000011 expected, found 0xffffffff";
        Kind::Place { .. } => Kind::Place { found: 900 },
            "the digest states byte 900 of the log as a position, where none can be";
        Kind::NotUtf8 => Kind::NotUtf8, "a name is not UTF-8";
        Kind::UnknownTrace { .. } => Kind::UnknownTrace { found: 9, traces: 7 },
            "trace 9 is not among the 7 of the .hpm file";
        Kind::Microseconds { .. } => Kind::Microseconds { found: 1_000_000 },
            "1000000 microseconds are a second or more";
        Kind::Nanoseconds { .. } => Kind::Nanoseconds { found: 1_000_000_000 },
            "1000000000 nanoseconds are a second or more";
        Kind::NegativeBalance { .. } => Kind::NegativeBalance { trace: 5 },
            "more is freed than was allocated by trace 5";
        Kind::Saturated => Kind::Saturated,
            "the live bytes of a trace are over 2^63 - 1, and stay there";
    };
    for (kind, text) in samples {
        assert_eq!(kind.to_string(), text);
        assert!(kind.source().is_none());
    }
}

#[test]
fn text_of_invalid_record_has_offset_and_usable_part() {
    use DecodeErrorKind::{Cut, NotUtf8};
    for (file, offset, kind, text) in [
        (
            FileKind::Hpm,
            0,
            Cut,
            ".hpm, record at byte 0: the file ends inside the record; nothing can be read",
        ),
        (
            FileKind::Hpm,
            70,
            Cut,
            ".hpm, record at byte 70: the file ends inside the record; the traces before it can be read",
        ),
        (
            FileKind::Hpm,
            70,
            NotUtf8,
            ".hpm, record at byte 70: a name is not UTF-8; it is used as it stands",
        ),
        (
            FileKind::Hpd,
            0,
            Cut,
            ".hpd, record at byte 0: the file ends inside the record; no event can be read",
        ),
        (
            FileKind::Hpd,
            7,
            Cut,
            ".hpd, record at byte 7: the file ends inside the record; the events before it can be read",
        ),
        (
            FileKind::Hpc,
            7,
            Cut,
            ".hpc, record at byte 7: the file ends inside the record; the digest can be made anew from the log",
        ),
    ] {
        let error = DecodeError::new(file, offset, kind);
        assert_eq!(error.to_string(), text);
        assert!(error.source().is_none());
    }
}

fn refused() -> io::Error {
    io::Error::other("disk full")
}

#[test]
fn text_of_each_error_is_one_line() {
    let record = || DecodeError::new(FileKind::Hpd, 21, DecodeErrorKind::Varint);
    let samples = samples! { Error:
        Error::Io { .. } => Error::io(Path::new("a.hpc"), "write")(refused()),
            ("a.hpc: cannot write: disk full", Some("disk full"));
        Error::Stream { .. } => Error::Stream { source: refused() },
            ("cannot read the log: disk full", Some("disk full"));
        Error::NotAFile { .. } => Error::NotAFile { path: "runs.hpm".into() },
            ("runs.hpm: a regular file expected, found a directory or a device", None);
        Error::Decode { .. } => Error::Decode { path: Some("runs/a.hpd".into()), source: record() },
            (
                "runs/a.hpd: record at byte 21: a number is longer than 64 bits; \
                 the events before it can be read",
                Some(".hpd, record at byte 21: a number is longer than 64 bits; \
                      the events before it can be read"),
            );
        Error::Missing { .. } => Error::Missing { path: "a.hpd".into(), file: FileKind::Hpd },
            ("a.hpd: there is no such .hpd file", None);
        Error::Replaced { .. } => Error::Replaced { path: "a.hpm".into() },
            ("a.hpm: no longer the recording that was opened: open it again", None);
        Error::NotStored { .. } => Error::not_stored(Path::new("a.hpc"), "replace")(refused()),
            (
                "a.hpc: cannot replace: disk full: the digest is not stored; \
                 Reader::digest needs no file",
                Some("disk full"),
            );
        Error::NoPlace => Error::NoPlace,
            ("a profile from bytes has no path for a .hpc file", None);
        Error::Interval { .. } => Error::Interval { found: Duration::from_micros(1500) },
            ("an interval of 1.5ms is not a whole number of milliseconds, at least 1", None);
        Error::Precision { .. } => Error::Precision { found: 1.5 },
            ("a precision of 1.5 is not at least 0 and below 1", None);
        Error::Probability { .. } => Error::Probability { found: -0.5 },
            ("a probability of -0.5 is not in 0 to 1", None);
        Error::TooManySnapshots { .. } => Error::TooManySnapshots {
            interval: Duration::from_millis(1),
            needed: 2_000_000,
            limit: 1_000_000,
            works: Duration::from_millis(2),
        },
            (
                "a snapshot every 1ms would be 2000000 snapshots, over the limit of 1000000: \
                 an interval of 2ms works",
                None,
            );
        Error::Encode(_) => Error::Encode(EncodeError::Io(refused())),
            ("cannot write: disk full", Some("disk full"));
        Error::ParseFrame(_) => Error::ParseFrame(ParseFrameError { text: "main.py".into() }),
            ("\"main.py\" is not FILE:LINE, such as app/main.py:12", None);
    };
    for (error, (text, source)) in samples {
        assert_eq!(error.to_string(), text);
        assert_eq!(error.source().map(ToString::to_string).as_deref(), source);
        assert!(!error.to_string().contains('\n'));
    }
    let odd = Error::NotAFile {
        path: "two\nlines.hpm".into(),
    };
    assert_eq!(
        odd.to_string(),
        "two\\nlines.hpm: a regular file expected, found a directory or a device"
    );
    let nowhere = Error::from(record());
    assert_eq!(
        nowhere.to_string(),
        ".hpd, record at byte 21: a number is longer than 64 bits; the events before it can be read"
    );
    assert_eq!(nowhere.decode_error(), Some(&record()));
}

#[test]
fn text_of_each_encode_error() {
    let samples = samples! { EncodeError:
        EncodeError::Io(_) => EncodeError::Io(refused()), ("cannot write: disk full", Some("disk full"));
        EncodeError::Time { .. } => EncodeError::Time { micros: -5 },
            ("the time -5 microseconds is out of range", None);
        EncodeError::Size { .. } => EncodeError::Size { size: 1 << 63 },
            ("a size of 9223372036854775808 bytes is over 2^63 - 1", None);
        EncodeError::TooManyFrames => EncodeError::TooManyFrames,
            ("there are 4294967295 distinct texts, frames or nodes already", None);
        EncodeError::UnknownNode => EncodeError::UnknownNode,
            ("the node is not one of this writer's", None);
        EncodeError::TooManyTraces => EncodeError::TooManyTraces,
            ("there are 1073741823 traces already", None);
        EncodeError::Order { .. } => EncodeError::Order { position: 3 },
            ("entry 3 of the snapshot is heavier than the previous one", None);
        EncodeError::NothingToRepeat => EncodeError::NothingToRepeat,
            ("there is no snapshot to repeat", None);
        EncodeError::SnapshotTime { .. } => EncodeError::SnapshotTime { number: 8 },
            ("snapshot 8 would be later than 2^64 microseconds", None);
        EncodeError::Interval { .. } => EncodeError::Interval { found: Duration::ZERO },
            ("an interval of 0ns is not a whole number of milliseconds, at least 1", None);
    };
    for (error, (text, source)) in samples {
        assert_eq!(error.to_string(), text);
        assert_eq!(error.source().map(ToString::to_string).as_deref(), source);
    }
}

#[test]
fn source_of_error_is_the_io_error() {
    let error = Error::io(Path::new("a.hpd"), "read")(io::ErrorKind::PermissionDenied.into());
    let source = error.source().unwrap().downcast_ref::<io::Error>();
    assert_eq!(
        source.map(io::Error::kind),
        Some(io::ErrorKind::PermissionDenied)
    );
    let error = Error::from(EncodeError::from(io::Error::from(
        io::ErrorKind::StorageFull,
    )));
    let source = error.source().unwrap().downcast_ref::<io::Error>();
    assert_eq!(
        source.map(io::Error::kind),
        Some(io::ErrorKind::StorageFull)
    );
    let error = Error::from(DecodeError::new(
        FileKind::Hpc,
        1,
        DecodeErrorKind::Unfinished,
    ));
    let source = error.source().unwrap().downcast_ref::<DecodeError>();
    assert_eq!(source.map(DecodeError::offset), Some(1));
    assert!(error.decode_error().is_some() && !error.is_cut());
}

//! [`RawFrame`]: one frame of a `.hpm` file, of either version.

use std::borrow::Cow;
use std::fmt;

use super::as_frame::AsFrame;

/// One frame, borrowed from the file: a file name, a line number, and the function's name if the file has it.
///
/// ```
/// use heapprof::raw::{TraceLog, TraceWriter};
/// use heapprof::{SamplingRates, StartTime};
///
/// let mut writer = TraceWriter::new(Vec::new(), StartTime::new(1, 0), &SamplingRates::unsampled())?;
/// writer.intern_innermost_first([(b"caf\xe9.py", 12)])?;
/// let bytes = writer.into_inner();
/// let trace = TraceLog::new(&bytes)?.traces().next().unwrap()?;
/// let frame = trace.innermost_first().next().unwrap();
/// assert_eq!((frame.file_bytes(), frame.line()), (b"caf\xe9.py".as_slice(), 12));
/// assert_eq!((frame.file(), frame.function()), ("caf\u{fffd}.py".into(), None));
/// assert_eq!(frame.to_string(), "caf\u{fffd}.py:12");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RawFrame<'a> {
    function: Option<&'a [u8]>,
    file: &'a [u8],
    line: u32,
    record: &'a [u8],
}

impl<'a> RawFrame<'a> {
    /// A frame of version 1, with all of its bytes.
    pub(super) const fn of_record(file: &'a [u8], line: u32, record: &'a [u8]) -> Self {
        let function = None;
        Self {
            function,
            file,
            line,
            record,
        }
    }

    /// A frame of version 2.
    pub(super) const fn of_texts(function: Option<&'a [u8]>, file: &'a [u8], line: u32) -> Self {
        Self {
            function,
            file,
            line,
            record: &[],
        }
    }

    /// The line number, from 1; 0 if the recorder did not know it.
    pub const fn line(self) -> u32 {
        self.line
    }

    /// The bytes of the file name. They should be UTF-8.
    pub const fn file_bytes(self) -> &'a [u8] {
        self.file
    }

    /// The file name, with U+FFFD in place of bytes that are not UTF-8.
    pub fn file(self) -> Cow<'a, str> {
        String::from_utf8_lossy(self.file)
    }

    /// The bytes of the function's name. `None` if the recorder did not know it, and in files of version 1.
    pub const fn function_bytes(self) -> Option<&'a [u8]> {
        self.function
    }

    /// The function's name, with U+FFFD in place of bytes that are not UTF-8.
    pub fn function(self) -> Option<Cow<'a, str>> {
        self.function.map(String::from_utf8_lossy)
    }

    /// All bytes of a frame of version 1, line number included. Frames with equal bytes are equal.
    pub(crate) const fn record(self) -> &'a [u8] {
        self.record
    }
}

/// As a [`Frame`](crate::Frame) is displayed.
impl fmt::Display for RawFrame<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_frame(f, self.function().as_deref(), &self.file(), self.line)
    }
}

/// Writes `function (file:line)`, or what is known of it.
pub(crate) fn write_frame(
    f: &mut fmt::Formatter<'_>,
    function: Option<&str>,
    file: &str,
    line: u32,
) -> fmt::Result {
    match (function, line) {
        (None, 0) => f.write_str(file),
        (None, line) => write!(f, "{file}:{line}"),
        (Some(function), 0) if file.is_empty() => f.write_str(function),
        (Some(function), 0) => write!(f, "{function} ({file})"),
        (Some(function), line) => write!(f, "{function} ({file}:{line})"),
    }
}

impl AsFrame for RawFrame<'_> {
    fn file_bytes(&self) -> &[u8] {
        self.file
    }

    fn line(&self) -> u32 {
        self.line
    }

    fn function_bytes(&self) -> Option<&[u8]> {
        self.function
    }
}

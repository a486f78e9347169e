//! A frame is a line of a file: what it looks like, and how it is read from text.

use std::fmt;
use std::str::FromStr;

use crate::error::ParseFrameError;
use crate::raw::AsFrame;

/// A line of code: a file name and a line number, as the recorder wrote them.
///
/// It prints as `file:line`, and [`Frame::parse`] reads that back, unless the name has white space or
/// quotes around it. A line without a number prints as its file alone.
///
/// ```
/// use heapprof::Frame;
///
/// let frame = Frame::parse("C:\\jobs\\nightly.py:12")?;
/// assert_eq!((frame.file, frame.line), ("C:\\jobs\\nightly.py", 12));
/// assert_eq!(frame.to_string(), "C:\\jobs\\nightly.py:12");
/// # Ok::<(), heapprof::ParseFrameError>(())
/// ```
#[doc(alias = "RawTraceLine")]
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Frame<'a> {
    /// The file name.
    #[doc(alias = "filename")]
    pub file: &'a str,
    /// The line number, from 1; 0 where the recorder knew none.
    #[doc(alias = "lineno")]
    pub line: u32,
}

impl<'a> Frame<'a> {
    /// The line `line` of `file`.
    pub const fn new(file: &'a str, line: u32) -> Self {
        Self { file, line }
    }

    /// Reads `file:line` as people paste it.
    ///
    /// The last colon divides, so a drive letter or another colon in the name does no harm. White
    /// space and quotes around are passed over, as is a colon at the end (`grep -n` prints one),
    /// and so is the way Python prints a frame.
    ///
    /// ```
    /// use heapprof::Frame;
    ///
    /// let expected = Frame::new("/srv/app/main.py", 12);
    /// assert_eq!(Frame::parse("/srv/app/main.py:12")?, expected);
    /// assert_eq!(Frame::parse("  \"/srv/app/main.py:12\"\n")?, expected);
    /// assert_eq!(Frame::parse("/srv/app/main.py:12:")?, expected);
    /// assert_eq!(Frame::parse("  File \"/srv/app/main.py\", line 12, in run")?, expected);
    /// assert!(Frame::parse("/srv/app/main.py").is_err());
    /// # Ok::<(), heapprof::ParseFrameError>(())
    /// ```
    ///
    /// # Errors
    /// If no line number stands at the end, or if it is over 2³² − 1.
    pub fn parse(text: &'a str) -> Result<Self, ParseFrameError> {
        let trimmed = text.trim();
        Self::parse_python(trimmed)
            .or_else(|| {
                let bare = unquoted(trimmed);
                Self::parse_colon(bare)
                    .or_else(|| Self::parse_colon(bare.strip_suffix(':')?.trim_end()))
            })
            .ok_or_else(|| ParseFrameError {
                text: text.to_owned(),
            })
    }

    fn parse_colon(text: &'a str) -> Option<Self> {
        let (file, line) = text.rsplit_once(':')?;
        Some(Self::new(unquoted(file), parse_line(line.trim())?))
    }

    /// `File "NAME", line N`, and what Python writes after it.
    fn parse_python(text: &'a str) -> Option<Self> {
        let quoted = text.strip_prefix("File ")?.trim_start();
        let (file, rest) = quoted.strip_prefix('"')?.rsplit_once("\", line ")?;
        let digits = rest.find(|c: char| !c.is_ascii_digit());
        let line = digits.map_or(Some(rest), |end| rest.get(..end))?;
        Some(Self::new(file, parse_line(line)?))
    }
}

fn parse_line(text: &str) -> Option<u32> {
    // `parse` alone would take a sign.
    text.bytes()
        .all(|byte| byte.is_ascii_digit())
        .then(|| text.parse().ok())?
}

fn unquoted(text: &str) -> &str {
    ['"', '\'', '`']
        .into_iter()
        .find_map(|quote| text.strip_prefix(quote)?.strip_suffix(quote))
        .unwrap_or(text)
}

impl fmt::Display for Frame<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.line, f.width().or(f.precision())) {
            (0, _) => f.pad(self.file),
            (line, None) => write!(f, "{}:{line}", self.file),
            (line, Some(_)) => f.pad(&format!("{}:{line}", self.file)),
        }
    }
}

/// As [`Frame::parse`].
impl<'a> TryFrom<&'a str> for Frame<'a> {
    type Error = ParseFrameError;

    fn try_from(text: &'a str) -> Result<Self, ParseFrameError> {
        Self::parse(text)
    }
}

impl<'a> From<(&'a str, u32)> for Frame<'a> {
    fn from((file, line): (&'a str, u32)) -> Self {
        Self::new(file, line)
    }
}

impl<'a> From<&'a OwnedFrame> for Frame<'a> {
    fn from(frame: &'a OwnedFrame) -> Self {
        frame.as_frame()
    }
}

impl AsFrame for Frame<'_> {
    fn file_bytes(&self) -> &[u8] {
        self.file.as_bytes()
    }

    fn line(&self) -> u32 {
        self.line
    }
}

impl AsFrame for OwnedFrame {
    fn file_bytes(&self) -> &[u8] {
        self.file.as_bytes()
    }

    fn line(&self) -> u32 {
        self.line
    }
}

/// A [`Frame`] that owns its file name, for what outlives the table: settings, command lines.
///
/// ```
/// use heapprof::{Frame, OwnedFrame};
///
/// let watched: OwnedFrame = "/srv/app/main.py:12".parse()?;
/// assert_eq!(watched.as_frame(), Frame::new("/srv/app/main.py", 12));
/// # Ok::<(), heapprof::ParseFrameError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct OwnedFrame {
    file: String,
    line: u32,
}

impl OwnedFrame {
    /// The line `line` of `file`.
    pub fn new(file: impl Into<String>, line: u32) -> Self {
        Self {
            file: file.into(),
            line,
        }
    }

    /// The file name.
    pub fn file(&self) -> &str {
        &self.file
    }

    /// The line number, from 1; 0 where the recorder knew none.
    pub const fn line(&self) -> u32 {
        self.line
    }

    /// The frame, borrowed.
    pub fn as_frame(&self) -> Frame<'_> {
        Frame::new(&self.file, self.line)
    }
}

impl From<Frame<'_>> for OwnedFrame {
    fn from(frame: Frame<'_>) -> Self {
        Self {
            file: frame.file.to_owned(),
            line: frame.line,
        }
    }
}

/// As [`Frame::parse`].
impl FromStr for OwnedFrame {
    type Err = ParseFrameError;

    fn from_str(text: &str) -> Result<Self, ParseFrameError> {
        Frame::parse(text).map(Self::from)
    }
}

impl fmt::Display for OwnedFrame {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.as_frame().fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn odd_names_come_back() {
        for file in [
            "",
            "a b",
            "C:\\x",
            "x:y",
            "ü;é",
            "tab\there",
            "a:1",
            "<stdin>",
        ] {
            for line in [1, 7, u32::MAX] {
                let frame = Frame::new(file, line);
                assert_eq!(Frame::parse(&frame.to_string()), Ok(frame));
            }
        }
    }

    #[test]
    fn pasted_forms() {
        for text in [
            "a.py:12",
            "'a.py:12'",
            "`a.py:12`",
            "\"a.py\":12",
            "a.py: 12",
            "a.py:12: ",
            "File \"a.py\", line 12",
            "File \"a.py\", line 12, in <module>",
        ] {
            assert_eq!(Frame::parse(text), Ok(Frame::new("a.py", 12)), "{text}");
        }
    }

    #[test]
    fn frames_are_padded_as_asked() {
        let frame = Frame::new("a.py", 12);
        assert_eq!(
            format!("{frame:<10}|{frame:>10}|{frame:.4}|"),
            "a.py:12   |   a.py:12|a.py|"
        );
    }

    #[test]
    fn what_has_no_line_number_is_refused() {
        for text in [
            "",
            ":",
            "a.py",
            "a.py:",
            "a.py:x",
            "a.py:+1",
            "a.py:-1",
            "a.py:4294967296",
        ] {
            assert_eq!(
                Frame::parse(text),
                Err(ParseFrameError {
                    text: text.to_owned()
                }),
            );
        }
    }
}

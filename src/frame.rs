//! [`Frame`]: a line of a function of a file; how it is shown, and how it is read from text.

use std::fmt;
use std::str::FromStr;

use crate::error::ParseFrameError;
use crate::raw::AsFrame;
use crate::raw::hpm::write_frame;

/// A line of code: a file name, a line number, and the function's name if the recording has it. Frames are equal if
/// all three are.
///
/// It is displayed as `function (file:line)`, or as `file:line` if the function is not known. [`Frame::parse`] reads that
/// back, unless a name is empty, or has white space or quotes around it, or unbalanced parentheses. A line without a
/// number is displayed as `file` or `function (file)`, and a function without a file as its name alone:
/// [`TraceTable::search`](crate::TraceTable::search) finds these.
///
/// ```
/// use heapprof::Frame;
///
/// let frame = Frame::parse("C:\\jobs\\nightly.py:12")?;
/// assert_eq!((frame.file, frame.line, frame.function), ("C:\\jobs\\nightly.py", 12, None));
/// assert_eq!(frame.in_function("run").to_string(), "run (C:\\jobs\\nightly.py:12)");
/// # Ok::<(), heapprof::raw::ParseFrameError>(())
/// ```
#[doc(alias = "RawTraceLine")]
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct Frame<'a> {
    /// The file name.
    #[doc(alias = "filename")]
    pub file: &'a str,
    /// The line number, from 1; 0 where the recorder knew none.
    #[doc(alias = "lineno")]
    pub line: u32,
    /// The function's name. `None` where the recorder did not know it; heapprof 1.0 recorded none.
    pub function: Option<&'a str>,
}

impl<'a> Frame<'a> {
    /// The line `line` of `file`, without a function.
    pub const fn new(file: &'a str, line: u32) -> Self {
        Self {
            file,
            line,
            function: None,
        }
    }

    /// The same line in a function.
    ///
    /// ```
    /// use heapprof::Frame;
    ///
    /// let frame = Frame::new("main.rs", 12).in_function("app::main");
    /// assert_eq!(frame.function, Some("app::main"));
    /// ```
    #[must_use]
    pub const fn in_function(self, name: &'a str) -> Self {
        Self {
            function: Some(name),
            ..self
        }
    }

    /// Reads `file:line` or `function (file:line)` as people paste it.
    ///
    /// The last colon divides, so a drive letter or another colon in the name does no harm. White
    /// space and quotes around are ignored, and so is a colon at the end (`grep -n` prints one). Lines of a Python
    /// traceback are read too.
    ///
    /// ```
    /// use heapprof::Frame;
    ///
    /// let expected = Frame::new("/srv/app/main.py", 12);
    /// assert_eq!(Frame::parse("/srv/app/main.py:12")?, expected);
    /// assert_eq!(Frame::parse("  \"/srv/app/main.py:12\"\n")?, expected);
    /// assert_eq!(Frame::parse("/srv/app/main.py:12:")?, expected);
    /// let expected = expected.in_function("run");
    /// assert_eq!(Frame::parse("run (/srv/app/main.py:12)")?, expected);
    /// assert_eq!(Frame::parse("  File \"/srv/app/main.py\", line 12, in run")?, expected);
    /// assert!(Frame::parse("/srv/app/main.py").is_err());
    /// # Ok::<(), heapprof::raw::ParseFrameError>(())
    /// ```
    ///
    /// # Errors
    /// If the text does not end with a line number, or if the number is over 2³² − 1.
    pub fn parse(text: &'a str) -> Result<Self, ParseFrameError> {
        let trimmed = text.trim();
        Self::parse_python(trimmed)
            .or_else(|| {
                let bare = unquoted(trimmed);
                Self::parse_function(bare)
                    .or_else(|| Self::parse_colon(bare))
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

    /// `function (file:line)`. The place begins at the parenthesis that matches the last one, since both names can have
    /// parentheses of their own.
    fn parse_function(text: &'a str) -> Option<Self> {
        let mut open = 0_u32;
        let (start, _) = text.char_indices().rev().find(|&(_, char)| {
            match char {
                ')' => open += 1,
                '(' => open = open.saturating_sub(1),
                _ => {}
            }
            open == 0
        })?;
        let (name, place) = text.split_at_checked(start)?;
        let place = place.strip_prefix('(')?.strip_suffix(')')?;
        Some(Self::parse_colon(place)?.in_function(name.strip_suffix(' ')?))
    }

    /// `File "NAME", line N, in FUNCTION`, without the function in some messages.
    fn parse_python(text: &'a str) -> Option<Self> {
        let quoted = text.strip_prefix("File ")?.trim_start();
        let (file, rest) = quoted.strip_prefix('"')?.rsplit_once("\", line ")?;
        let end = rest.find(|c: char| !c.is_ascii_digit());
        let (line, rest) = rest.split_at_checked(end.unwrap_or(rest.len()))?;
        let frame = Self::new(file, parse_line(line)?);
        Some(match rest.strip_prefix(", in ") {
            Some(name) => frame.in_function(name),
            None => frame,
        })
    }
}

fn parse_line(text: &str) -> Option<u32> {
    // `parse` alone would take a sign.
    text.bytes()
        .all(|byte| byte.is_ascii_digit())
        .then(|| text.parse().ok())?
}

/// The text without quotes around it.
pub(crate) fn unquoted(text: &str) -> &str {
    ['"', '\'', '`']
        .into_iter()
        .find_map(|quote| text.strip_prefix(quote)?.strip_suffix(quote))
        .unwrap_or(text)
}

impl fmt::Display for Frame<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match f.width().or(f.precision()) {
            None => Unpadded(self).fmt(f),
            Some(_) => f.pad(&Unpadded(self).to_string()),
        }
    }
}

/// A frame as it is displayed without a width.
struct Unpadded<'f>(&'f Frame<'f>);

impl fmt::Display for Unpadded<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_frame(f, self.0.function, self.0.file, self.0.line)
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

    fn function_bytes(&self) -> Option<&[u8]> {
        self.function.map(str::as_bytes)
    }
}

impl AsFrame for OwnedFrame {
    fn file_bytes(&self) -> &[u8] {
        self.file.as_bytes()
    }

    fn line(&self) -> u32 {
        self.line
    }

    fn function_bytes(&self) -> Option<&[u8]> {
        self.function().map(str::as_bytes)
    }
}

/// A [`Frame`] that owns its names, for what outlives the table: settings, command lines.
///
/// ```
/// use heapprof::{Frame, OwnedFrame};
///
/// let watched: OwnedFrame = "/srv/app/main.py:12".parse()?;
/// assert_eq!(watched.as_frame(), Frame::new("/srv/app/main.py", 12));
/// # Ok::<(), heapprof::raw::ParseFrameError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct OwnedFrame {
    file: String,
    line: u32,
    function: Option<String>,
}

impl OwnedFrame {
    /// The line `line` of `file`, without a function.
    pub fn new(file: impl Into<String>, line: u32) -> Self {
        Self {
            file: file.into(),
            line,
            function: None,
        }
    }

    /// The same line in a function.
    #[must_use]
    pub fn in_function(self, name: impl Into<String>) -> Self {
        Self {
            function: Some(name.into()),
            ..self
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

    /// The function's name, if it is known.
    pub fn function(&self) -> Option<&str> {
        self.function.as_deref()
    }

    /// The frame, borrowed.
    pub fn as_frame(&self) -> Frame<'_> {
        Frame {
            file: &self.file,
            line: self.line,
            function: self.function(),
        }
    }
}

impl From<Frame<'_>> for OwnedFrame {
    fn from(frame: Frame<'_>) -> Self {
        Self {
            file: frame.file.to_owned(),
            line: frame.line,
            function: frame.function.map(str::to_owned),
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
            "/srv/x (copy)/a.py",
        ] {
            for line in [1, 7, u32::MAX] {
                let frame = Frame::new(file, line);
                assert_eq!(Frame::parse(&frame.to_string()), Ok(frame));
                for function in [
                    "run",
                    "<impl Fn(u8) -> T as X>::call::{{closure}}",
                    "operator()(int, char (*)(int))",
                    "f (a.c:12)",
                ] {
                    let frame = frame.in_function(function);
                    assert_eq!(Frame::parse(&frame.to_string()), Ok(frame));
                }
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
        ] {
            assert_eq!(Frame::parse(text), Ok(Frame::new("a.py", 12)), "{text}");
        }
        for text in [
            "File \"a.py\", line 12, in <module>",
            "<module> (a.py:12)",
            "\"<module> (a.py:12)\"",
            "  <module> ('a.py':12)\n",
        ] {
            let expected = Frame::new("a.py", 12).in_function("<module>");
            assert_eq!(Frame::parse(text), Ok(expected), "{text}");
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
            "run",
            "run (a.py)",
            "run(a.py:12)",
            "(a.py:12)",
            ")",
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

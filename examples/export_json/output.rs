//! One JSON object a line on standard output, and what is wrong with the files on standard error.

use std::io::{self, Write};

use anyhow::Result;
use heapprof::raw::DecodeError;
use heapprof::{Frame, Reader, TraceId};
use serde::Serialize;
use serde_json::Serializer;
use serde_json::ser::Formatter;

use crate::shell;

/// One JSON object a line.
pub(crate) struct Lines<W>(pub(crate) W);

impl<W: Write> Lines<W> {
    pub(crate) fn line(&mut self, row: &impl Serialize) -> Result<()> {
        let mut serializer = Serializer::with_formatter(&mut self.0, Ascii);
        row.serialize(&mut serializer).map_err(io::Error::from)?;
        Ok(self.0.write_all(b"\n")?)
    }
}

/// Compact, with everything but ASCII escaped: some take other characters for the end of a line.
struct Ascii;

impl Formatter for Ascii {
    fn write_string_fragment<W: Write + ?Sized>(
        &mut self,
        out: &mut W,
        fragment: &str,
    ) -> io::Result<()> {
        for part in fragment.split_inclusive(|c: char| !c.is_ascii()) {
            let ascii = part.trim_end_matches(|c: char| !c.is_ascii());
            out.write_all(ascii.as_bytes())?;
            for unit in part.get(ascii.len()..).unwrap_or_default().encode_utf16() {
                write!(out, "\\u{unit:04x}")?;
            }
        }
        Ok(())
    }
}

/// A trace, or 0 for unknown.
pub(crate) fn index(trace: Option<TraceId>) -> u32 {
    trace.map_or(0, TraceId::get)
}

/// Says on standard error what is wrong with the files.
pub(crate) fn tell(reader: &Reader, damage: &[DecodeError]) {
    for error in damage {
        shell::tell(reader.path(error.file()).as_deref(), error);
    }
}

/// A frame: `[file, line]`, or `[file, line, function]` where the recording has the function's name.
#[derive(Serialize)]
#[serde(untagged)]
pub(crate) enum FrameRow<'a> {
    Line(&'a str, u32),
    Function(&'a str, u32, &'a str),
}

impl<'a> From<Frame<'a>> for FrameRow<'a> {
    fn from(frame: Frame<'a>) -> Self {
        match frame.function {
            None => Self::Line(frame.file, frame.line),
            Some(function) => Self::Function(frame.file, frame.line, function),
        }
    }
}

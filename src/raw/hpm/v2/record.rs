//! [`Records`]: the records of a file of version 2, with their references resolved and checked.

use crate::error::{DecodeError, DecodeErrorKind as Kind, FileKind};
use crate::id::TraceId;
use crate::raw::block::varint;

/// A record. Numbers of texts and frames count from 0; node 0 is the root, the empty stack. All of them are defined
/// earlier in the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Record<'a> {
    Text(&'a [u8]),
    Frame {
        /// The texts of the function's name and of the file name.
        function: Option<u32>,
        file: u32,
        line: u32,
    },
    Node {
        parent: u32,
        frame: u32,
    },
    Trace {
        node: u32,
    },
}

/// The numbers of records of each kind so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Defined {
    pub(crate) texts: u32,
    pub(crate) frames: u32,
    /// With the root.
    pub(crate) nodes: u32,
    pub(crate) traces: u32,
}

impl Default for Defined {
    fn default() -> Self {
        Self {
            texts: 0,
            frames: 0,
            nodes: 1,
            traces: 0,
        }
    }
}

impl Defined {
    fn count(&mut self, record: &Record<'_>) -> Result<(), Kind> {
        let (count, most) = match record {
            Record::Text(_) => (&mut self.texts, u32::MAX),
            Record::Frame { .. } => (&mut self.frames, u32::MAX),
            Record::Node { .. } => (&mut self.nodes, u32::MAX),
            Record::Trace { .. } => (&mut self.traces, TraceId::MAX.get()),
        };
        if *count == most {
            return Err(match record {
                Record::Trace { .. } => Kind::TooManyTraces,
                _ => Kind::TooManyFrames,
            });
        }
        *count += 1;
        Ok(())
    }
}

/// Resolves a reference to the item `back` items before the next one. `defined` is the number of items so far.
fn backwards(back: u64, defined: u32) -> Result<u32, Kind> {
    let number = u64::from(defined).checked_sub(back).filter(|_| back > 0);
    let number = number.and_then(|number| u32::try_from(number).ok());
    number.ok_or(Kind::Undefined {
        found: back,
        defined: defined.into(),
    })
}

/// Checks that item `found` is defined.
fn defined(found: u64, defined: u32) -> Result<u32, Kind> {
    let number = u32::try_from(found).ok().filter(|&number| number < defined);
    let defined = defined.into();
    number.ok_or(Kind::Undefined { found, defined })
}

/// The records of a file, in its order. A cut or damaged record is an error, and ends the iterator.
#[derive(Debug, Clone)]
pub(crate) struct Records<'a> {
    bytes: &'a [u8],
    at: usize,
    defined: Defined,
}

impl<'a> Records<'a> {
    /// The records from `at` on. Earlier records define `defined`.
    pub(crate) const fn new(bytes: &'a [u8], at: usize, defined: Defined) -> Self {
        Self { bytes, at, defined }
    }

    /// Where the next record begins.
    pub(crate) const fn at(&self) -> usize {
        self.at
    }

    /// What the records so far define.
    pub(crate) const fn defined(&self) -> Defined {
        self.defined
    }

    fn decode(&mut self) -> Result<Record<'a>, Kind> {
        let (bytes, known) = (self.bytes, self.defined);
        let (head, at) = varint(bytes, self.at)?;
        let n = head >> 2;
        let (record, end) = match head & 3 {
            0 => {
                let len = usize::try_from(n).map_err(|_| Kind::Cut)?;
                let end = at.checked_add(len).ok_or(Kind::Cut)?;
                (Record::Text(bytes.get(at..end).ok_or(Kind::Cut)?), end)
            }
            1 => {
                let (file, at) = varint(bytes, at)?;
                let (line, at) = varint(bytes, at)?;
                let function = n.checked_sub(1);
                let function = function.map(|text| defined(text, known.texts));
                let frame = Record::Frame {
                    function: function.transpose()?,
                    file: defined(file, known.texts)?,
                    line: u32::try_from(line).map_err(|_| Kind::LineNumber { found: line })?,
                };
                (frame, at)
            }
            2 => {
                let (frame, at) = varint(bytes, at)?;
                let parent = backwards(n, known.nodes)?;
                let frame = defined(frame, known.frames)?;
                (Record::Node { parent, frame }, at)
            }
            _ => {
                let node = backwards(n, known.nodes)?;
                (Record::Trace { node }, at)
            }
        };
        self.defined.count(&record)?;
        self.at = end;
        Ok(record)
    }
}

impl<'a> Iterator for Records<'a> {
    /// A record and its offset.
    type Item = Result<(usize, Record<'a>), DecodeError>;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        let at = self.at;
        if at >= self.bytes.len() {
            return None;
        }
        Some(match self.decode() {
            Ok(record) => Ok((at, record)),
            Err(kind) => {
                self.bytes = self.bytes.get(..at).unwrap_or_default();
                Err(DecodeError::new(FileKind::Hpm, at as u64, kind))
            }
        })
    }
}

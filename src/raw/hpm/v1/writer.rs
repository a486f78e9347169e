//! [`TraceWriterV1`], the writer of version 1.

use std::io::Write;

use super::super::header::{V1, push_header};
use super::super::{AsFrame, TracePosition};
use crate::error::EncodeError;
use crate::id::TraceId;
use crate::raw::block::push_varint;
use crate::raw::rates::SamplingRates;
use crate::time::StartTime;

/// Writes a `.hpm` file of version 1, trace by trace, to any [`Write`]: for heapprof 1.0, which reads no other.
/// [`TraceWriter`](crate::raw::TraceWriter) writes version 2, which is a hundred times smaller and has the names of
/// functions.
///
/// Each trace is one call of `write_all`, so wrap a file in a [`BufWriter`](std::io::BufWriter). If another
/// process reads the files while they grow, flush the traces before writing events that refer to them.
///
/// ```
/// use heapprof::raw::{TraceLog, TraceWriterV1};
/// use heapprof::{SamplingRates, StartTime};
///
/// let start = StartTime::new(1_700_000_000, 0);
/// let mut writer = TraceWriterV1::new(Vec::new(), start, &SamplingRates::unsampled())?;
/// let id = writer.write_outermost_first([("main.py", 3), ("work.py", 20)])?;
/// assert_eq!(id.get(), 1);
///
/// let bytes = writer.into_inner();
/// let trace = TraceLog::new(&bytes)?.traces().next().unwrap()?;
/// let names: Vec<_> = trace.outermost_first().map(|f| f.file().into_owned()).collect();
/// assert_eq!(names, ["main.py", "work.py"]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct TraceWriterV1<W> {
    out: W,
    next: u32,
    record: Vec<u8>,
}

impl<W: Write> TraceWriterV1<W> {
    /// Writes the header.
    ///
    /// # Errors
    /// If `out` fails.
    pub fn new(mut out: W, start: StartTime, rates: &SamplingRates) -> Result<Self, EncodeError> {
        let mut record = Vec::new();
        push_header(&mut record, V1, start, rates);
        out.write_all(&record)?;
        Ok(Self {
            out,
            next: 1,
            record,
        })
    }

    /// Continues a file after its last whole trace. `out` must be at the offset of `position`. Writes no
    /// header.
    pub fn resume(out: W, position: TracePosition) -> Self {
        Self {
            out,
            next: position.traces().saturating_add(1),
            record: Vec::new(),
        }
    }

    /// Writes a trace and returns its id. The frames are ordered from the program's entry to the allocating
    /// line.
    ///
    /// Each call writes a new trace, also for equal frames: a recorder remembers which stacks it has written.
    ///
    /// # Errors
    /// If the file has 2³⁰ − 1 traces already, or if the writer fails.
    pub fn write_outermost_first<I>(&mut self, frames: I) -> Result<TraceId, EncodeError>
    where
        I: IntoIterator<Item: AsFrame, IntoIter: DoubleEndedIterator>,
    {
        self.write_innermost_first(frames.into_iter().rev())
    }

    /// Writes a trace and returns its id. The frames are ordered from the allocating line to the program's
    /// entry.
    ///
    /// # Errors
    /// If the file has 2³⁰ − 1 traces already, or if the writer fails.
    pub fn write_innermost_first(
        &mut self,
        frames: impl IntoIterator<Item: AsFrame>,
    ) -> Result<TraceId, EncodeError> {
        let id = TraceId::new(self.next).ok_or(EncodeError::TooManyTraces)?;
        self.record.clear();
        for frame in frames {
            let file = frame.file_bytes();
            push_varint(&mut self.record, u64::from(frame.line()) + 1);
            push_varint(&mut self.record, file.len() as u64);
            self.record.extend_from_slice(file);
        }
        push_varint(&mut self.record, 0);
        self.out.write_all(&self.record)?;
        self.next += 1;
        Ok(id)
    }

    /// The number of traces in the file.
    pub const fn count(&self) -> u32 {
        self.next - 1
    }

    /// Flushes the underlying writer.
    ///
    /// # Errors
    /// If that fails.
    pub fn flush(&mut self) -> Result<(), EncodeError> {
        Ok(self.out.flush()?)
    }

    /// The underlying writer.
    pub const fn get_mut(&mut self) -> &mut W {
        &mut self.out
    }

    /// Returns the underlying writer. The format has no end mark, so there is nothing to finish.
    pub fn into_inner(self) -> W {
        self.out
    }
}

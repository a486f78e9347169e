//! Writes start time, sampling rates and stacks.

use std::io::Write;

use crate::error::EncodeError;
use crate::id::TraceId;
use crate::raw::block::{push_fixed32, push_fixed64, push_varint};
use crate::raw::hpm::{TracePosition, VERSION};
use crate::raw::rates::SamplingRates;
use crate::time::StartTime;

/// What can be written as a frame: a pair of file name and line number (0 where none is known), a
/// [`Frame`](crate::Frame), or a borrow of either.
///
/// The bytes of a name should be UTF-8; others are written as they are.
///
/// ```
/// use heapprof::raw::{AsFrame, TraceWriter};
/// use heapprof::{SamplingRates, StartTime};
///
/// /// Where a compiler says that a function is.
/// struct Symbol {
///     path: String,
///     line: u32,
/// }
///
/// impl AsFrame for Symbol {
///     fn file_bytes(&self) -> &[u8] {
///         self.path.as_bytes()
///     }
///
///     fn line(&self) -> u32 {
///         self.line
///     }
/// }
///
/// let mut writer = TraceWriter::new(Vec::new(), StartTime::new(1, 0), &SamplingRates::unsampled())?;
/// let stack = [Symbol { path: "src/main.rs".into(), line: 12 }];
/// assert_eq!(writer.write_outermost_first(&stack)?.get(), 1);
/// # Ok::<(), heapprof::EncodeError>(())
/// ```
pub trait AsFrame {
    /// The bytes of the file name.
    fn file_bytes(&self) -> &[u8];

    /// The line number.
    fn line(&self) -> u32;
}

impl<N: AsRef<[u8]>> AsFrame for (N, u32) {
    fn file_bytes(&self) -> &[u8] {
        self.0.as_ref()
    }

    fn line(&self) -> u32 {
        self.1
    }
}

impl<F: AsFrame> AsFrame for &F {
    fn file_bytes(&self) -> &[u8] {
        (*self).file_bytes()
    }

    fn line(&self) -> u32 {
        (*self).line()
    }
}

/// Writes a `.hpm` file, trace by trace, to any [`Write`].
///
/// Every trace goes out in one call, so give it a [`BufWriter`](std::io::BufWriter) for a file, and
/// flush that before events name the trace, if somebody reads along.
///
/// ```
/// use heapprof::raw::{TraceLog, TraceWriter};
/// use heapprof::{SamplingRates, StartTime};
///
/// let start = StartTime::new(1_700_000_000, 0);
/// let mut writer = TraceWriter::new(Vec::new(), start, &SamplingRates::unsampled())?;
/// let id = writer.write_outermost_first([("main.py", 3), ("work.py", 20)])?;
/// assert_eq!(id.get(), 1);
///
/// let bytes = writer.into_inner();
/// let trace = TraceLog::new(&bytes)?.traces().next().unwrap()?;
/// let names: Vec<_> = trace.outermost_first().map(|f| f.file_name().into_owned()).collect();
/// assert_eq!(names, ["main.py", "work.py"]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct TraceWriter<W> {
    out: W,
    next: u32,
    record: Vec<u8>,
}

impl<W: Write> TraceWriter<W> {
    /// Writes the header.
    ///
    /// # Errors
    /// If `out` does.
    pub fn new(mut out: W, start: StartTime, rates: &SamplingRates) -> Result<Self, EncodeError> {
        let mut record = Vec::new();
        push_fixed32(&mut record, VERSION);
        push_fixed64(&mut record, start.seconds());
        push_fixed64(&mut record, start.nanoseconds());
        push_varint(&mut record, rates.ranges().len() as u64);
        for range in rates.ranges() {
            push_fixed64(&mut record, range.upper_size());
            push_fixed32(&mut record, range.stored_probability());
        }
        out.write_all(&record)?;
        Ok(Self {
            out,
            next: 1,
            record,
        })
    }

    /// A file that goes on after the last whole trace of another run; `out` must stand at the
    /// position's offset. No header is written.
    pub fn resume(out: W, position: TracePosition) -> Self {
        Self {
            out,
            next: position.traces().saturating_add(1),
            record: Vec::new(),
        }
    }

    /// Writes a trace, given as frames from the program's entry to the allocating line, and gives its
    /// index. A frame is a pair of file name and line number, or a [`Frame`](crate::Frame).
    ///
    /// Each call makes a new trace: a recorder remembers which stacks it has written.
    ///
    /// # Errors
    /// If 2³⁰ − 1 traces are written already, or if the writer fails.
    pub fn write_outermost_first<I>(&mut self, frames: I) -> Result<TraceId, EncodeError>
    where
        I: IntoIterator<Item: AsFrame, IntoIter: DoubleEndedIterator>,
    {
        self.write_innermost_first(frames.into_iter().rev())
    }

    /// Writes a trace, given as frames from the allocating line to the program's entry, and gives its
    /// index.
    ///
    /// # Errors
    /// If 2³⁰ − 1 traces are written already, or if the writer fails.
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

    /// How many traces were written.
    pub const fn count(&self) -> u32 {
        self.next - 1
    }

    /// Flushes the writer underneath.
    ///
    /// # Errors
    /// If it does.
    pub fn flush(&mut self) -> Result<(), EncodeError> {
        Ok(self.out.flush()?)
    }

    /// The writer underneath.
    pub const fn get_mut(&mut self) -> &mut W {
        &mut self.out
    }

    /// Gives the writer underneath back. There is nothing to finish: a log just ends.
    pub fn into_inner(self) -> W {
        self.out
    }
}

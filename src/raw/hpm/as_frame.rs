//! [`AsFrame`]: what can be written as a frame.

/// A type that can be written as a frame: a pair of file name and line number (0 if unknown); a
/// [`Frame`](crate::Frame), [`OwnedFrame`](crate::OwnedFrame) or [`RawFrame`](super::RawFrame), which can have a function
/// too; a reference to any of these; or a type of the caller's.
///
/// The bytes of a name should be UTF-8. The writer does not check them.
///
/// ```
/// use heapprof::raw::{AsFrame, TraceWriter};
/// use heapprof::{SamplingRates, StartTime};
///
/// /// The location of a function in the debug information.
/// struct Symbol {
///     name: String,
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
///
///     fn function_bytes(&self) -> Option<&[u8]> {
///         Some(self.name.as_bytes())
///     }
/// }
///
/// let mut writer = TraceWriter::new(Vec::new(), StartTime::new(1, 0), &SamplingRates::unsampled())?;
/// let stack = [Symbol { name: "app::main".into(), path: "src/main.rs".into(), line: 12 }];
/// assert_eq!(writer.intern_outermost_first(&stack)?.get(), 1);
/// # Ok::<(), heapprof::raw::EncodeError>(())
/// ```
pub trait AsFrame {
    /// The bytes of the file name.
    fn file_bytes(&self) -> &[u8];

    /// The line number.
    fn line(&self) -> u32;

    /// The bytes of the function's name; `None` if it is not known.
    fn function_bytes(&self) -> Option<&[u8]> {
        None
    }
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

    fn function_bytes(&self) -> Option<&[u8]> {
        (*self).function_bytes()
    }
}

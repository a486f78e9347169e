//! [`Windows`]: the bytes of a log, a part at a time. A [slice](SliceWindows) lends its bytes; a
//! [buffer](BufferedWindows) holds those of a file, a socket or a decompressor.

#![expect(
    clippy::inline_always,
    reason = "the compiler keeps an iterator whose address escapes in memory instead of registers"
)]

use std::convert::Infallible;
use std::ops::Range;

use super::strategy::WINDOW_BYTES;

/// A source of windows: the bytes of a log, a part at a time.
pub(crate) trait Windows {
    /// Why reading can fail.
    type Error;

    /// The bytes of the window that are not decoded yet. At first there are none.
    fn rest(&self) -> &[u8];

    /// Removes the first `len` bytes of the rest. Removes all of them if the rest is shorter.
    fn skip(&mut self, len: usize);

    /// Removes a record from the start of the rest, if the window [is branchy](Self::set_branchy) or not, as
    /// `is_branchy` says. `decode` returns the record and the bytes after it.
    ///
    /// PERF: a slice encodes the strategy in which of two slices is not empty, so `next` does not test it.
    fn take<R>(
        &mut self,
        is_branchy: bool,
        decode: impl for<'b> FnOnce(&'b [u8]) -> Option<(R, &'b [u8])>,
    ) -> Option<R>;

    /// Sets whether the strategy is [`Strategy::Branchy`].
    fn set_branchy(&mut self, is_branchy: bool);

    /// Moves on to the window that begins with the rest, which is at `offset` in the log. Returns whether it has
    /// more bytes than the rest had.
    fn refill(&mut self, offset: u64) -> Result<bool, Self::Error>;
}

/// The windows of a log in memory.
#[derive(Debug, Clone, Copy)]
pub(crate) struct SliceWindows<'a> {
    log: &'a [u8],
    /// The rest of the window, if the strategy is branchy;
    branchy: &'a [u8],
    /// and if it is another one. One of the two is empty.
    branchless: &'a [u8],
}

impl<'a> SliceWindows<'a> {
    pub(crate) const fn new(log: &'a [u8]) -> Self {
        Self {
            log,
            branchy: &[],
            branchless: &[],
        }
    }

    pub(crate) const fn log(&self) -> &'a [u8] {
        self.log
    }

    const fn current(&self) -> &'a [u8] {
        if self.branchy.is_empty() {
            self.branchless
        } else {
            self.branchy
        }
    }
}

impl Windows for SliceWindows<'_> {
    type Error = Infallible;

    #[inline(always)]
    fn rest(&self) -> &[u8] {
        self.current()
    }

    fn skip(&mut self, len: usize) {
        for rest in [&mut self.branchy, &mut self.branchless] {
            *rest = rest.get(len..).unwrap_or_default();
        }
    }

    #[inline(always)]
    fn take<R>(
        &mut self,
        is_branchy: bool,
        decode: impl for<'b> FnOnce(&'b [u8]) -> Option<(R, &'b [u8])>,
    ) -> Option<R> {
        let rest = if is_branchy {
            &mut self.branchy
        } else {
            &mut self.branchless
        };
        let record;
        (record, *rest) = decode(rest)?;
        Some(record)
    }

    fn set_branchy(&mut self, is_branchy: bool) {
        let (rest, nothing): (_, &[u8]) = (self.current(), &[]);
        (self.branchy, self.branchless) = if is_branchy {
            (rest, nothing)
        } else {
            (nothing, rest)
        };
    }

    fn refill(&mut self, offset: u64) -> Result<bool, Infallible> {
        let start = usize::try_from(offset).unwrap_or(usize::MAX);
        let log = self.log.get(start..).unwrap_or_default();
        let window = log.get(..WINDOW_BYTES).unwrap_or(log);
        let has_more = window.len() > self.current().len();
        (self.branchy, self.branchless) = (&[], window);
        Ok(has_more)
    }
}

/// The windows of a log that is copied to a buffer, part by part.
#[derive(Debug)]
pub(crate) struct BufferedWindows<S> {
    source: S,
    /// Empty until the first refill.
    buffer: Vec<u8>,
    /// Where in the buffer the rest of the window is.
    rest: Range<usize>,
    is_branchy: bool,
}

/// A source for [`BufferedWindows`].
pub(crate) trait ReadAt {
    /// Why reading can fail.
    type Error;

    /// Reads some bytes of the log, which are at `offset`, to the start of `buffer`. Returns how many; 0 at the end
    /// of the log.
    fn read(&mut self, buffer: &mut [u8], offset: u64) -> Result<usize, Self::Error>;
}

impl<S> BufferedWindows<S> {
    pub(crate) const fn new(source: S) -> Self {
        Self {
            source,
            buffer: Vec::new(),
            rest: 0..0,
            is_branchy: false,
        }
    }

    pub(crate) fn into_source(self) -> S {
        self.source
    }
}

impl<S: ReadAt> Windows for BufferedWindows<S> {
    type Error = S::Error;

    #[inline(always)]
    fn rest(&self) -> &[u8] {
        self.buffer.get(self.rest.clone()).unwrap_or_default()
    }

    fn skip(&mut self, len: usize) {
        self.rest.start = self.rest.end.min(self.rest.start.saturating_add(len));
    }

    #[inline(always)]
    fn take<R>(
        &mut self,
        is_branchy: bool,
        decode: impl for<'b> FnOnce(&'b [u8]) -> Option<(R, &'b [u8])>,
    ) -> Option<R> {
        if is_branchy != self.is_branchy {
            return None;
        }
        let (record, after) = decode(self.buffer.get(self.rest.clone())?)?;
        self.rest.start = self.rest.end - after.len();
        Some(record)
    }

    fn set_branchy(&mut self, is_branchy: bool) {
        self.is_branchy = is_branchy;
    }

    /// Reads once, so that an event from a socket does not wait for the bytes after it.
    fn refill(&mut self, offset: u64) -> Result<bool, S::Error> {
        self.buffer.resize(WINDOW_BYTES, 0);
        self.buffer.copy_within(self.rest.clone(), 0);
        self.rest = 0..self.rest.len();
        let free = self.buffer.get_mut(self.rest.end..).unwrap_or_default();
        let read = self
            .source
            .read(free, offset.saturating_add(self.rest.len() as u64))?;
        self.rest.end = self.buffer.len().min(self.rest.end.saturating_add(read));
        Ok(read > 0)
    }
}

//! [`Decoder`]: turns windows of bytes into events.
//!
//! ```text
//! Windows ── a slice, a file, any io::Read ──▶ Decoder ──▶ Events, EventReader, LogEvents: one by one
//!                                                      ──▶ Pass: a fold over the events of a chunk
//!
//! log      ├─────── window ───────┼────── window ───
//!               ▲ at              │
//! fast path     └─▶ records of the usual shapes
//! slow path         any other record; refills the window; ends the log
//! ```
//!
//! A record that a window cuts is decoded again once the next window begins with it. [`Decoder::peek`] has the
//! only loop that refills.

#![expect(
    clippy::inline_always,
    reason = "a call for each event costs as much as decoding it"
)]

use std::convert::Infallible;
use std::ops::{ControlFlow, Range};

use super::clock::RunningClock;
use super::event::{Event, LogPosition};
use super::fast::{FastRecord, LOOKAHEAD, SizeLen, cold_path};
use super::record::Record;
use super::strategy::{MISS_BUDGET, Strategy, WINDOW_BYTES};
use crate::error::{DecodeError, DecodeErrorKind as Kind, FileKind};
use crate::id::TraceId;
use crate::raw::rates::SamplingRates;
use crate::time::ClockCorrection;

/// A source of windows: the bytes of a log, a part at a time.
pub(crate) trait Windows {
    /// Why reading can fail.
    type Error;

    /// The bytes of the window that are not decoded yet. At first there are none.
    fn rest(&self) -> &[u8];

    /// Removes the first `len` bytes of the rest; all, if there are not so many.
    fn skip(&mut self, len: usize);

    /// Removes a record from the start of the rest, if the strategy is [`Strategy::Branchy`]. `decode` returns the
    /// record and the bytes after it.
    ///
    /// PERF: a loop over events asks the windows, which know without a comparison, and not the strategy.
    fn take_branchy<R>(
        &mut self,
        decode: impl for<'b> FnOnce(&'b [u8]) -> Option<(R, &'b [u8])>,
    ) -> Option<R>;

    /// As [`take_branchy`](Self::take_branchy), if the strategy is another one.
    fn take_branchless<R>(
        &mut self,
        decode: impl for<'b> FnOnce(&'b [u8]) -> Option<(R, &'b [u8])>,
    ) -> Option<R>;

    /// Sets whether the strategy is [`Strategy::Branchy`].
    fn set_branchy(&mut self, is_branchy: bool);

    /// Moves on to the window that begins with the rest, which is at `offset` in the log. Returns whether it has
    /// more bytes than the rest had.
    fn refill(&mut self, offset: u64) -> Result<bool, Self::Error>;
}

/// Decodes the events of a log, window by window.
#[derive(Debug, Clone)]
pub(crate) struct Decoder<W> {
    windows: W,
    /// Where in the log the window ends.
    window_end: u64,
    /// Whether the log ends with the window.
    is_last: bool,
    clock: RunningClock,
    strategy: Strategy,
    /// Of the next record; kept up to date only for [`Strategy::BranchlessSize`].
    next_size: SizeLen,
    /// How many more records of the window may be too long for the strategy.
    miss_budget: u16,
    /// The first event with a million microseconds or more.
    invalid_micros: Option<DecodeError>,
    /// The record that ended the log early.
    error: Option<DecodeError>,
}

/// An event and its place in the log.
#[derive(Debug, Clone, Copy)]
pub(crate) struct LoggedEvent {
    pub(crate) event: Event,
    /// The estimate of its bytes; negative for a free.
    pub(crate) bytes: i64,
    /// How many events the log has up to this one, inclusive.
    pub(crate) number: u64,
    /// Where its record begins in the log.
    pub(crate) offset: u64,
    /// Whether it has a million microseconds or more.
    pub(crate) has_invalid_micros: bool,
}

impl LoggedEvent {
    /// The trace index; 0 for unknown.
    #[inline]
    pub(crate) const fn index(&self) -> u32 {
        TraceId::to_disk(self.event.trace)
    }

    /// The same, with corrected times.
    #[inline(always)]
    pub(crate) const fn corrected(self, correction: ClockCorrection) -> Self {
        Self {
            event: self.event.corrected(correction, self.number),
            ..self
        }
    }
}

/// A record that was decoded by the slow path; [`Decoder::accept`] moves the decoder past it.
#[derive(Debug)]
pub(crate) struct Peeked {
    pub(crate) event: Event,
    record: Record,
    clock: RunningClock,
}

impl<W: Windows> Decoder<W> {
    /// Decodes the log from `position` on. All times of a decoder are those recorded.
    #[inline]
    pub(crate) fn new(windows: W, position: LogPosition) -> Self {
        Self {
            windows,
            window_end: position.offset(),
            is_last: false,
            clock: RunningClock::at(position),
            strategy: Strategy::SlowOnly,
            next_size: SizeLen::default(),
            miss_budget: 0,
            invalid_micros: None,
            error: None,
        }
    }

    pub(crate) const fn windows(&self) -> &W {
        &self.windows
    }

    pub(crate) fn into_windows(self) -> W {
        self.windows
    }

    /// Where the next record begins.
    #[inline(always)]
    pub(crate) fn position(&self) -> LogPosition {
        self.clock.position(self.offset())
    }

    #[inline(always)]
    fn offset(&self) -> u64 {
        self.window_end - self.windows.rest().len() as u64
    }

    /// The number of events before the next record.
    #[inline(always)]
    pub(crate) const fn events(&self) -> u64 {
        self.clock.events()
    }

    pub(crate) const fn invalid_micros(&self) -> Option<DecodeError> {
        self.invalid_micros
    }

    /// The record that ended the log early, once the events have ended.
    pub(crate) const fn error(&self) -> Option<DecodeError> {
        self.error
    }

    /// The next event, if the fast path decodes its record.
    #[inline(always)]
    pub(crate) fn next_fast(&mut self) -> Option<Event> {
        if let Some(record) = self.windows.take_branchy(FastRecord::branchy) {
            return Some(self.clock.advance_fast(&record));
        }
        cold_path();
        let (strategy, next_size) = (self.strategy, self.next_size);
        let record = self.windows.take_branchless(|rest| match strategy {
            Strategy::BranchlessSize => FastRecord::branchless_size(rest, next_size),
            Strategy::Branchless => FastRecord::branchless(rest),
            _ => None,
        })?;
        self.next_size = record.next_size;
        Some(self.clock.advance_fast(&record))
    }

    /// The next event, whatever its record; `None` at the end of the log, or at an [error](Self::error).
    pub(crate) fn next_slow(
        &mut self,
        rates: Option<&SamplingRates>,
    ) -> Result<Option<Event>, W::Error> {
        let peeked = self.peek(rates)?;
        Ok(peeked.map(|peeked| {
            self.accept(&peeked);
            peeked.event
        }))
    }

    /// Decodes the next record by the slow path and refills the window until it holds all of it. Returns
    /// `None` at the end of the log, or at an [error](Self::error).
    pub(crate) fn peek(
        &mut self,
        rates: Option<&SamplingRates>,
    ) -> Result<Option<Peeked>, W::Error> {
        loop {
            match self.peek_in_window(rates) {
                Ok(peeked) => return Ok(Some(peeked)),
                Err(Kind::Cut) if !self.is_last => self.refill()?,
                Err(Kind::Cut) if self.windows.rest().is_empty() => return Ok(None),
                Err(kind) => {
                    let offset = self.offset();
                    let kind = match kind {
                        Kind::Zeros { .. } => self.count_zeros()?,
                        other => other,
                    };
                    self.error = Some(DecodeError::new(FileKind::Hpd, offset, kind));
                    self.end(offset);
                    return Ok(None);
                }
            }
        }
    }

    /// Decodes the next record by the slow path, if the window holds all of it.
    pub(crate) fn peek_in_window(&self, rates: Option<&SamplingRates>) -> Result<Peeked, Kind> {
        let record = Record::decode(self.windows.rest(), rates, self.is_last)?;
        let mut clock = self.clock;
        let event = clock.advance(&record)?;
        Ok(Peeked {
            event,
            record,
            clock,
        })
    }

    /// The event that was peeked at, with its estimate.
    pub(crate) fn logged(&self, peeked: &Peeked, rates: &SamplingRates) -> LoggedEvent {
        LoggedEvent {
            event: peeked.event,
            bytes: peeked.event.signed_estimate(rates),
            number: peeked.clock.events(),
            offset: self.offset(),
            has_invalid_micros: peeked.record.invalid_micros.is_some(),
        }
    }

    /// Moves past a record that was peeked at.
    pub(crate) fn accept(&mut self, peeked: &Peeked) {
        if let Some(found) = peeked.record.invalid_micros {
            let kind = Kind::Microseconds { found };
            let error = DecodeError::new(FileKind::Hpd, self.offset(), kind);
            self.invalid_micros.get_or_insert(error);
        }
        let rest = self.windows.rest();
        if self.strategy != Strategy::Branchless && FastRecord::branchless(rest).is_some() {
            // The strategy missed a record that the last form decodes; or the window ends soon.
            self.miss_budget = self.miss_budget.saturating_sub(1);
            if self.miss_budget == 0 {
                self.strategy = Strategy::Branchless;
            }
        }
        self.clock = peeked.clock;
        if self.clock.is_near_limit() {
            self.strategy = Strategy::SlowOnly;
        }
        self.windows.skip(peeked.record.len);
        self.windows.set_branchy(self.strategy == Strategy::Branchy);
        self.next_size = SizeLen::of(self.windows.rest());
    }

    /// Moves on to the next window, which begins with the next record, and chooses the strategy for it. If that
    /// fails, the log ends here.
    fn refill(&mut self) -> Result<(), W::Error> {
        let offset = self.offset();
        match self.windows.refill(offset) {
            Ok(has_more) => {
                self.is_last = !has_more;
                let window = self.windows.rest();
                self.window_end = offset + window.len() as u64;
                let near_limit = self.clock.is_near_limit();
                self.strategy = Strategy::for_window(window, offset, near_limit, self.strategy);
                self.next_size = SizeLen::of(window);
                self.miss_budget = MISS_BUDGET;
                self.windows.set_branchy(self.strategy == Strategy::Branchy);
                Ok(())
            }
            Err(error) => {
                self.end(offset);
                Err(error)
            }
        }
    }

    /// Makes `offset` the end of the log.
    fn end(&mut self, offset: u64) {
        self.windows.skip(usize::MAX);
        (self.window_end, self.is_last) = (offset, true);
    }

    /// Counts the zero bytes from the next record on, and moves past them.
    fn count_zeros(&mut self) -> Result<Kind, W::Error> {
        let mut len = 0;
        loop {
            let rest = self.windows.rest();
            let zeros = rest.iter().take_while(|&&byte| byte == 0).count();
            len += zeros as u64;
            let all = zeros == rest.len();
            self.windows.skip(zeros);
            if !all || self.is_last {
                return Ok(Kind::Zeros { len });
            }
            self.refill()?;
        }
    }

    /// Folds the events of the window up to the first that begins at or after `end` in the log. The fold also
    /// ends, with [`ControlFlow::Continue`], before a record that the window cuts or that ends the log:
    /// [`peek`](Self::peek) goes on there.
    ///
    /// If `f` breaks, the event stays the next one.
    ///
    /// PERF: the state is moved into the loop and out again, so that it is in registers meanwhile. A closure
    /// that captured it by reference would load and store it for each event.
    #[inline]
    pub(crate) fn fold_chunk<S, B>(
        &mut self,
        end: u64,
        rates: &SamplingRates,
        mut state: S,
        estimate: impl Fn(u64) -> u64 + Copy,
        f: impl Fn(&mut S, LoggedEvent) -> ControlFlow<B> + Copy,
    ) -> (S, ControlFlow<B>) {
        loop {
            let rest = self.windows.rest();
            let len = usize::try_from(end.saturating_sub(self.offset())).unwrap_or(usize::MAX);
            let len = len.saturating_add(LOOKAHEAD);
            let chunk = rest.get(..len).unwrap_or(rest);
            let fast = FastFold {
                rest: chunk,
                end: self.offset() + chunk.len() as u64,
                clock: self.clock,
                next_size: self.next_size,
                state,
            };
            let (fast, flow) = match self.strategy {
                Strategy::Branchy => fast.fold(|bytes, _| FastRecord::branchy(bytes), estimate, f),
                Strategy::BranchlessSize => fast.fold(FastRecord::branchless_size, estimate, f),
                Strategy::Branchless => {
                    fast.fold(|bytes, _| FastRecord::branchless(bytes), estimate, f)
                }
                Strategy::SlowOnly => (fast, ControlFlow::Continue(())),
            };
            let decoded = chunk.len() - fast.rest.len();
            (self.clock, self.next_size) = (fast.clock, fast.next_size);
            state = fast.state;
            self.windows.skip(decoded);
            if flow.is_break() || self.offset() >= end {
                return (state, flow);
            }
            let Ok(peeked) = self.peek_in_window(Some(rates)) else {
                return (state, ControlFlow::Continue(()));
            };
            let flow = f(&mut state, self.logged(&peeked, rates));
            if flow.is_break() {
                return (state, flow);
            }
            self.accept(&peeked);
        }
    }
}

/// The state of a fold by the fast path.
struct FastFold<'a, S> {
    /// The bytes from the next record on.
    rest: &'a [u8],
    /// Where in the log they end.
    end: u64,
    clock: RunningClock,
    next_size: SizeLen,
    /// The caller's state.
    state: S,
}

impl<'a, S> FastFold<'a, S> {
    /// Folds the events of fast records, up to one that the fast path declines or at which `f` breaks.
    ///
    /// PERF: a function of its own for each form and each `f`, so that its loop has all registers.
    #[inline(never)]
    fn fold<B>(
        self,
        decode: impl Fn(&'a [u8], SizeLen) -> Option<(FastRecord, &'a [u8])>,
        estimate: impl Fn(u64) -> u64,
        f: impl Fn(&mut S, LoggedEvent) -> ControlFlow<B>,
    ) -> (Self, ControlFlow<B>) {
        // PERF: variables of the loop's own. The fields of an argument stay in memory.
        let Self {
            mut rest,
            end,
            mut clock,
            mut next_size,
            mut state,
        } = self;
        let flow = loop {
            let Some((record, after)) = decode(rest, next_size) else {
                break ControlFlow::Continue(());
            };
            let mut advanced = clock;
            let event = advanced.advance_fast(&record);
            let logged = LoggedEvent {
                event,
                bytes: event.with_sign_in_range(estimate(event.size)),
                number: advanced.events(),
                offset: end - rest.len() as u64,
                has_invalid_micros: false,
            };
            if let ControlFlow::Break(value) = f(&mut state, logged) {
                break ControlFlow::Break(value);
            }
            (rest, clock, next_size) = (after, advanced, record.next_size);
        };
        let fold = Self {
            rest,
            end,
            clock,
            next_size,
            state,
        };
        (fold, flow)
    }
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

    const fn both(&self) -> &'a [u8] {
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
        self.both()
    }

    fn skip(&mut self, len: usize) {
        for rest in [&mut self.branchy, &mut self.branchless] {
            *rest = rest.get(len..).unwrap_or_default();
        }
    }

    #[inline(always)]
    fn take_branchy<R>(
        &mut self,
        decode: impl for<'b> FnOnce(&'b [u8]) -> Option<(R, &'b [u8])>,
    ) -> Option<R> {
        let record;
        (record, self.branchy) = decode(self.branchy)?;
        Some(record)
    }

    #[inline(always)]
    fn take_branchless<R>(
        &mut self,
        decode: impl for<'b> FnOnce(&'b [u8]) -> Option<(R, &'b [u8])>,
    ) -> Option<R> {
        let record;
        (record, self.branchless) = decode(self.branchless)?;
        Some(record)
    }

    fn set_branchy(&mut self, is_branchy: bool) {
        let (rest, nothing): (_, &[u8]) = (self.both(), &[]);
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
        let has_more = window.len() > self.both().len();
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
pub(crate) trait Source {
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

    #[inline(always)]
    fn take<R>(
        &mut self,
        decode: impl for<'b> FnOnce(&'b [u8]) -> Option<(R, &'b [u8])>,
    ) -> Option<R> {
        let (record, after) = decode(self.buffer.get(self.rest.clone())?)?;
        self.rest.start = self.rest.end - after.len();
        Some(record)
    }
}

impl<S: Source> Windows for BufferedWindows<S> {
    type Error = S::Error;

    #[inline(always)]
    fn rest(&self) -> &[u8] {
        self.buffer.get(self.rest.clone()).unwrap_or_default()
    }

    fn skip(&mut self, len: usize) {
        self.rest.start = self.rest.end.min(self.rest.start.saturating_add(len));
    }

    #[inline(always)]
    fn take_branchy<R>(
        &mut self,
        decode: impl for<'b> FnOnce(&'b [u8]) -> Option<(R, &'b [u8])>,
    ) -> Option<R> {
        if self.is_branchy {
            self.take(decode)
        } else {
            None
        }
    }

    #[inline(always)]
    fn take_branchless<R>(
        &mut self,
        decode: impl for<'b> FnOnce(&'b [u8]) -> Option<(R, &'b [u8])>,
    ) -> Option<R> {
        if self.is_branchy {
            None
        } else {
            self.take(decode)
        }
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
        let read = self.source.read(free, offset + self.rest.len() as u64)?;
        self.rest.end = self.buffer.len().min(self.rest.end + read);
        Ok(read > 0)
    }
}

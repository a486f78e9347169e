//! [`Decoder`]: turns windows of bytes into events.
//!
//! ```text
//! Windows ── a slice, a file, any io::Read ──▶ Decoder ──▶ Events, EventReader, LogEvents: one by one
//!                                                      ──▶ Pass: a fold over the events of a chunk
//!
//! log      ├─────── window ───────┼────── window ───
//!               ▲ at              │
//! fast path     └─▶ records with short numbers
//! slow path         any other record; refills the window; ends the log
//! ```
//!
//! A record that a window cuts is decoded again once the next window begins with it. [`Decoder::peek`] has the
//! only loop that refills. `Events` and its relatives take events one by one ([`Decoder::next_fast`], then
//! [`Decoder::next_slow`]); a pass folds them a chunk at a time ([`Decoder::fold_chunk`]).

#![expect(
    clippy::inline_always,
    reason = "a call for each event costs as much as decoding it"
)]

use std::ops::ControlFlow;

use super::clock::RunningClock;
use super::event::{Event, LogPosition};
use super::fast::{FastRecord, LOOKAHEAD, SizeLen};
use super::record::Record;
use super::strategy::{MISS_BUDGET, RESAMPLE_BYTES, Strategy};
use super::windows::Windows;
use crate::error::{DecodeError, DecodeErrorKind as Kind, FileKind};
use crate::id::TraceId;
use crate::raw::rates::SamplingRates;
use crate::time::Clock;

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
    /// Where in the log the next sample is due.
    resample_at: u64,
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

    /// The same with the times of `clock`, from those of the decoder.
    #[inline(always)]
    pub(crate) const fn on(self, clock: Clock) -> Self {
        Self {
            event: self.event.on(clock, self.number),
            ..self
        }
    }
}

/// A decoded record that the decoder has not moved past; [`Decoder::accept`] does.
#[derive(Debug)]
pub(crate) struct Peeked {
    pub(crate) event: Event,
    record: Record,
    clock: RunningClock,
}

impl<W: Windows> Decoder<W> {
    /// Decodes the log from `position` on. All times of a decoder are those recorded, unless the clock of the position
    /// closes gaps.
    #[inline]
    pub(crate) fn new(windows: W, position: LogPosition) -> Self {
        Self {
            windows,
            window_end: position.offset(),
            is_last: false,
            clock: RunningClock::at(position),
            strategy: Strategy::SlowOnly,
            resample_at: 0,
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

    /// Where the next record begins, with the times of `clock`, which is that of the position where the decoder began.
    #[inline(always)]
    pub(crate) fn position(&self, clock: Clock) -> LogPosition {
        self.clock.position(self.offset(), clock)
    }

    /// Where the next record begins.
    #[inline(always)]
    pub(crate) fn offset(&self) -> u64 {
        self.window_end
            .saturating_sub(self.windows.rest().len() as u64)
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
        if let Some(record) = self.windows.take(true, FastRecord::branchy) {
            return Some(self.clock.advance_fast(&record));
        }
        let (strategy, next_size) = (self.strategy, self.next_size);
        let record = self.windows.take(
            false,
            #[inline(always)]
            |rest| match strategy {
                Strategy::BranchlessSize => FastRecord::branchless_size(rest, next_size),
                Strategy::Branchless => FastRecord::branchless(rest),
                _ => None,
            },
        )?;
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
            self.count_miss();
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
                        Kind::Zeros { .. } => self.count_zeros(),
                        other => Ok(other),
                    };
                    self.end(offset);
                    self.error = Some(DecodeError::new(FileKind::Hpd, offset, kind?));
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
        self.clock = peeked.clock;
        if self.clock.is_near_limit() {
            self.strategy = Strategy::SlowOnly;
        }
        self.windows.skip(peeked.record.len);
        self.windows.set_branchy(self.strategy == Strategy::Branchy);
        self.next_size = SizeLen::of(self.windows.rest());
    }

    /// Counts the next record, which the form of the strategy declined, if the branchless form decodes it. After too
    /// many of these, the branchless form decodes the rest of the window.
    fn count_miss(&mut self) {
        let has_choice = matches!(self.strategy, Strategy::Branchy | Strategy::BranchlessSize);
        if has_choice && FastRecord::branchless(self.windows.rest()).is_some() {
            self.miss_budget = self.miss_budget.saturating_sub(1);
            if self.miss_budget == 0 {
                self.strategy = Strategy::Branchless;
            }
        }
    }

    /// Moves on to the next window, which begins with the next record, and chooses the strategy for it. If that
    /// fails, the log ends here.
    fn refill(&mut self) -> Result<(), W::Error> {
        let offset = self.offset();
        match self.windows.refill(offset) {
            Ok(has_more) => {
                self.is_last = !has_more;
                let window = self.windows.rest();
                self.window_end = offset.saturating_add(window.len() as u64);
                if window.is_empty() || self.clock.is_near_limit() {
                    self.strategy = Strategy::SlowOnly;
                } else if self.strategy == Strategy::SlowOnly || offset >= self.resample_at {
                    self.strategy = Strategy::sample(window);
                    self.resample_at = offset.saturating_add(RESAMPLE_BYTES);
                }
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
        (self.strategy, self.next_size) = (Strategy::SlowOnly, SizeLen::default());
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

    /// Folds the events of the window that begin before `end` in the log, and perhaps one or two more. The fold also
    /// ends, with [`ControlFlow::Continue`], before a record that the window cuts or that ends the log:
    /// [`peek`](Self::peek) goes on there.
    ///
    /// If `f` breaks, the event stays the next one.
    ///
    /// PERF: the state moves into the loop and out again, so that the loop keeps it in registers. A closure that
    /// captured it by reference would load and store it for each event.
    #[inline]
    pub(crate) fn fold_chunk<S>(
        &mut self,
        end: u64,
        rates: &SamplingRates,
        mut state: S,
        estimate: impl Fn(u64) -> u64 + Copy,
        f: impl Fn(&mut S, LoggedEvent) -> ControlFlow<()> + Copy,
    ) -> (S, ControlFlow<()>) {
        loop {
            let rest = self.windows.rest();
            let len = usize::try_from(end.saturating_sub(self.offset())).unwrap_or(usize::MAX);
            let len = len.saturating_add(LOOKAHEAD);
            let chunk = rest.get(..len).unwrap_or(rest);
            let fast = FastFold {
                rest: chunk,
                end: self.offset().saturating_add(chunk.len() as u64),
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
            self.count_miss();
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
    fn fold(
        self,
        decode: impl Fn(&'a [u8], SizeLen) -> Option<(FastRecord, &'a [u8])>,
        estimate: impl Fn(u64) -> u64,
        f: impl Fn(&mut S, LoggedEvent) -> ControlFlow<()>,
    ) -> (Self, ControlFlow<()>) {
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
                offset: end.saturating_sub(rest.len() as u64),
                has_invalid_micros: false,
            };
            if f(&mut state, logged).is_break() {
                break ControlFlow::Break(());
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

//! How the events of a log are decoded: from one window of its bytes after the other.

#![expect(
    clippy::inline_always,
    reason = "a decoder whose address a function was given lives in memory: twice as slow"
)]

use std::ops::ControlFlow;

use super::block::varint;
use super::event::{BACKWARDS, Event, LogPosition};
use super::rates::SamplingRates;
use super::shape::{Ahead, Shape};
use super::stretch::{Branched, Computed, PIECE, Seen, Stretch};
use super::tally::Tally;
use super::way::{PATIENCE, PATIENCE_WITH_TRACES, Way};
use crate::error::{DecodeError, DecodeErrorKind as Kind, FileKind};
use crate::time::{LARGEST, SECOND};

/// Where the decoding of a log stands, apart from the bytes: so that whoever owns a buffer can
/// decode from it, and fill it again. What is left of the window is held by the owner, and shrinks
/// by each event.
///
/// It decodes with the times of any clock; or with those recorded, and has nothing to add to them.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Decoder<const ANY_CLOCK: bool = true> {
    tally: Tally<ANY_CLOCK>,
    /// The offset in the log at which the window ends.
    end: u64,
    way: Way,
    /// Of the next event, where sizes are [computed](Way::ComputingSizes).
    ahead: Ahead,
    /// How many more events of this window may be too long for this way, before it is another.
    patience: u16,
    /// How many more may be of [other traces](Way::Repeating).
    patience_with_traces: u16,
    /// Why there are no more events in the window, if it has not just come to its end.
    pub(crate) error: Option<DecodeError>,
    pub(crate) strange: Strange,
}

/// The events that are whole but make no sense.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Strange {
    pub(crate) first: Option<DecodeError>,
    pub(crate) count: u64,
}

/// The fields of one event, and its length.
pub(super) struct Fields {
    pub(super) head: u32,
    /// How far the time goes forward, in microseconds.
    pub(super) forward: u64,
    pub(super) backward: u64,
    pub(super) size: u64,
    pub(super) len: usize,
    pub(super) strange: Option<u64>,
}

impl<const ANY_CLOCK: bool> Decoder<ANY_CLOCK> {
    /// Decodes a window of bytes that follow on `position`, with the times of its clock.
    ///
    /// Like all that makes or changes a decoder it is inlined: one whose address a function was given
    /// lives in memory, and then decoding takes twice as long.
    #[inline]
    pub(crate) fn at(position: LogPosition, window: &[u8]) -> Self {
        let tally = Tally::at(position);
        let way = Way::through(window, position.offset(), tally.is_near_limit(), None);
        Self {
            tally,
            end: position.offset().saturating_add(window.len() as u64),
            way,
            ahead: Ahead::of(window),
            patience: PATIENCE,
            patience_with_traces: PATIENCE_WITH_TRACES,
            error: None,
            strange: Strange::default(),
        }
    }

    /// Goes on with the window that begins where the next event does, at `offset`.
    #[inline]
    pub(crate) fn enter(&mut self, offset: u64, window: &[u8]) {
        self.end = offset.saturating_add(window.len() as u64);
        self.error = None;
        let is_near_limit = self.tally.is_near_limit();
        self.way = Way::through(window, offset, is_near_limit, Some(self.way));
        self.ahead = Ahead::of(window);
        self.patience = PATIENCE;
        self.patience_with_traces = PATIENCE_WITH_TRACES;
    }

    /// Where in the log the next event begins, of a window of which so many bytes are left.
    #[inline]
    pub(crate) const fn offset(&self, left: usize) -> u64 {
        self.end.saturating_sub(left as u64)
    }

    #[inline]
    pub(crate) const fn position(&self, left: usize) -> LogPosition {
        self.tally.position(self.offset(left))
    }

    /// Whether the window is decoded by branches. Who decodes event by event keeps that in where its bytes
    /// are looked for, so that nothing need be asked for each.
    #[inline]
    pub(crate) const fn is_branching(&self) -> bool {
        matches!(self.way, Way::Branching | Way::Repeating)
    }

    /// The next event of a window that is [decoded by branches](Self::is_branching), of which this is
    /// left, and what is left then; if it is of a usual shape.
    #[inline(always)]
    pub(crate) fn next_branched<'a>(&mut self, rest: &'a [u8]) -> Option<(Event, &'a [u8])> {
        let shape = Shape::branched(rest)?;
        let event;
        (self.tally, event) = self.tally.and(&shape);
        Some((event, shape.after))
    }

    /// The same of one that is not.
    #[inline(always)]
    pub(crate) fn next_computed<'a>(&mut self, rest: &'a [u8]) -> Option<(Event, &'a [u8])> {
        let shape = Shape::computed(rest, self.way, self.ahead)?;
        let event;
        (self.tally, event) = self.tally.and(&shape);
        self.ahead = shape.ahead;
        Some((event, shape.after))
    }

    /// Shows the next events of a [`PIECE`], as long as they are of the usual shapes and taken: to `take`,
    /// with the `state`, which is given back. What it returns `None` for is not taken, and is the next
    /// event then. If it breaks off, that event is not taken either.
    #[inline(always)]
    pub(crate) fn each_usual<S>(
        &mut self,
        rest: &mut &[u8],
        state: S,
        take: impl Fn(&mut S, Seen) -> Option<ControlFlow<()>>,
    ) -> (S, ControlFlow<()>) {
        let (piece, others) = rest.split_at_checked(PIECE).unwrap_or((rest, &[]));
        let end = self.offset(others.len());
        let shown = match self.way {
            Way::Branching => self
                .stretch(Branched::<false>(piece), end, state)
                .each(take),
            Way::Repeating => self.stretch(Branched::<true>(piece), end, state).each(take),
            way => self
                .stretch(Computed::of(piece, way), end, state)
                .each(take),
        };
        *rest = rest.get(piece.len() - shown.left..).unwrap_or_default();
        (self.tally, self.ahead) = (shown.tally, Ahead::of(rest));
        (shown.state, shown.flow)
    }

    #[inline]
    const fn stretch<C, S>(&self, coming: C, end: u64, state: S) -> Stretch<C, S, ANY_CLOCK> {
        Stretch {
            tally: self.tally,
            end,
            coming,
            state,
        }
    }

    /// The next event, of whatever shape, and what is left then; else there may be an
    /// [error](Self::error). The way may be another one after it.
    ///
    /// With `rates`, an event whose estimate is over 2⁶³ − 1 is such an error. By value, so that the
    /// decoder need not live in memory.
    #[cold]
    #[inline(never)]
    pub(crate) fn next_of_any_shape<'a>(
        mut self,
        rest: &'a [u8],
        rates: Option<&SamplingRates>,
    ) -> (Self, Option<(Event, &'a [u8])>) {
        if rest.is_empty() {
            return (self, None);
        }
        let next = fields(rest, rates).and_then(|fields| {
            let (tally, event) = self.tally.and_any(&fields)?;
            let after = rest.get(fields.len..).ok_or(Kind::Cut)?;
            Ok((fields.strange, tally, event, after))
        });
        let error = |kind| DecodeError::new(FileKind::Hpd, self.offset(rest.len()), kind);
        match next {
            Ok((strange, tally, event, after)) => {
                if let Some(found) = strange {
                    let error = error(Kind::Microseconds { found });
                    self.strange.first.get_or_insert(error);
                    self.strange.count = self.strange.count.saturating_add(1);
                }
                (self.tally, self.ahead) = (tally, Ahead::of(after));
                if tally.is_near_limit() {
                    self.way = Way::Careful;
                } else {
                    self.lose_patience(rest);
                }
                (self, Some((event, after)))
            }
            Err(kind) => {
                self.error = Some(error(kind));
                (self, None)
            }
        }
    }

    /// The event with which this begins was not shown among the usual ones.
    #[inline]
    fn lose_patience(&mut self, rest: &[u8]) {
        let told = |way| Shape::told(rest, way).is_some();
        let (patience, other) = match self.way {
            Way::Computing | Way::Careful => return,
            way if told(way) => {
                if way != Way::Repeating {
                    return;
                }
                (&mut self.patience_with_traces, Way::Branching)
            }
            _ if told(Way::Computing) => (&mut self.patience, Way::Computing),
            _ => return,
        };
        *patience = patience.saturating_sub(1);
        if *patience == 0 {
            self.way = other;
        }
    }
}

/// The fields of the event with which these bytes begin, of any lengths.
///
/// By value, so that the decoder need not live in memory.
#[inline(never)]
pub(super) fn fields(bytes: &[u8], rates: Option<&SamplingRates>) -> Result<Fields, Kind> {
    let head = bytes
        .first_chunk()
        .map(|head| u32::from_be_bytes(*head))
        .ok_or(Kind::Cut)?;
    let (seconds, next) = varint(bytes, 4)?;
    let (micros, next) = varint(bytes, next)?;
    let (size, len) = varint(bytes, next)?;
    let seconds = seconds.checked_mul(SECOND).ok_or(Kind::Time)?;
    if seconds.checked_add(micros).is_none_or(|sum| sum > LARGEST) {
        return Err(Kind::Time);
    }
    if size > LARGEST {
        return Err(Kind::Size { found: size });
    }
    if rates.is_some_and(|rates| rates.estimate(size) > LARGEST) {
        return Err(Kind::Estimate { size });
    }
    let (forward, backward) = if head & BACKWARDS == 0 {
        (seconds + micros, 0)
    } else if micros >= seconds {
        (micros - seconds, 0)
    } else {
        (0, seconds - micros)
    };
    Ok(Fields {
        head,
        forward,
        backward,
        size,
        len,
        strange: (micros >= SECOND).then_some(micros),
    })
}

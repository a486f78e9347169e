//! How are events of usual shapes shown one after the other? In a loop that has nothing else in hand.
//!
//! ```text
//! Log::each ── a piece ──▶ Take::quickly ── its state ──▶ Stretch::each ── each event ──▶ take(state)
//!                                        ◀── the state, after them ──
//! ```
//!
//! What a loop changes with each event is moved into it, and out of it again. If it lay behind a
//! reference, it would be loaded and stored for each event; and what the callers have in variables would
//! take registers away from it.

#![expect(
    clippy::inline_always,
    reason = "a call for each event costs as much as decoding it"
)]

use std::ops::ControlFlow;

use super::event::Event;
use super::shape::{Ahead, Shape};
use super::tally::Tally;
use super::way::Way;

/// A stretch is of no more bytes. So in as many of a log at least one event is shown with the place
/// before it.
pub(crate) const PIECE: usize = 32 * 1024;

/// The next events of a log, up to one that is not of the usual shapes that are told one way.
pub(super) struct Stretch<C, S, const ANY_CLOCK: bool> {
    /// Of the events before.
    pub(super) tally: Tally<ANY_CLOCK>,
    /// The offset in the log at which it ends.
    pub(super) end: u64,
    pub(super) coming: C,
    /// What who is shown them has in hand, and changes with each.
    pub(super) state: S,
}

/// An event that is shown in a walk over a log.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Seen {
    pub(crate) event: Event,
    /// How many events there are up to it, it included.
    pub(crate) number: u64,
    /// Where its record begins.
    pub(crate) offset: u64,
    /// Its fraction of a second is a second or more.
    pub(crate) strange: bool,
    /// Whether nearly all events are of the trace of the one before, if it is one of a stretch: the same
    /// for all of that, and known when its loop is compiled.
    pub(crate) traces_repeat: bool,
}

/// What became of a stretch.
pub(super) struct Shown<S, const ANY_CLOCK: bool> {
    pub(super) tally: Tally<ANY_CLOCK>,
    /// How many bytes are left of it.
    pub(super) left: usize,
    pub(super) state: S,
    /// Whether it was broken off.
    pub(super) flow: ControlFlow<()>,
}

impl<'a, C: Coming<'a>, S, const ANY_CLOCK: bool> Stretch<C, S, ANY_CLOCK> {
    /// Shows the events to `take`. What it returns `None` for is not taken, and ends the stretch; if it
    /// breaks off, that event is not taken either.
    ///
    /// A function apart for each way and each `take`, so that its loop has all registers for itself.
    #[inline(never)]
    pub(super) fn each(
        self,
        take: impl Fn(&mut S, Seen) -> Option<ControlFlow<()>>,
    ) -> Shown<S, ANY_CLOCK> {
        // Taken apart into variables, of which nothing else has the address: so they are in registers.
        let Self {
            mut tally,
            end,
            mut coming,
            mut state,
        } = self;
        let flow = loop {
            let Some(shape) = coming.shape() else {
                break ControlFlow::Continue(());
            };
            let (with, event) = tally.and(&shape);
            let seen = Seen {
                event,
                number: with.events(),
                offset: end.wrapping_sub(coming.left().len() as u64),
                strange: false,
                traces_repeat: C::TRACES_REPEAT,
            };
            match take(&mut state, seen) {
                Some(ControlFlow::Continue(())) => {}
                Some(ControlFlow::Break(())) => break ControlFlow::Break(()),
                None => break ControlFlow::Continue(()),
            }
            coming.pass(&shape);
            tally = with;
        };
        Shown {
            tally,
            left: coming.left().len(),
            state,
            flow,
        }
    }
}

/// The events that come next in a stretch, told in one [way](super::way::Way).
pub(super) trait Coming<'a> {
    const TRACES_REPEAT: bool;

    /// What is left.
    fn left(&self) -> &'a [u8];

    /// The next event, if it is of a shape that is told this way.
    fn shape(&self) -> Option<Shape<'a>>;

    /// Goes on to the one after it.
    fn pass(&mut self, shape: &Shape<'a>);
}

/// Told by branches.
pub(super) struct Branched<'a, const TRACES_REPEAT: bool>(pub(super) &'a [u8]);

impl<'a, const TRACES_REPEAT: bool> Coming<'a> for Branched<'a, TRACES_REPEAT> {
    const TRACES_REPEAT: bool = TRACES_REPEAT;

    #[inline(always)]
    fn left(&self) -> &'a [u8] {
        self.0
    }

    #[inline(always)]
    fn shape(&self) -> Option<Shape<'a>> {
        Shape::branched(self.0)
    }

    #[inline(always)]
    fn pass(&mut self, shape: &Shape<'a>) {
        self.0 = shape.after;
    }
}

/// With their lengths computed, of sizes or of both numbers.
pub(super) struct Computed<'a> {
    left: &'a [u8],
    way: Way,
    ahead: Ahead,
}

impl<'a> Computed<'a> {
    /// The events with which these bytes begin.
    #[inline]
    pub(super) fn of(bytes: &'a [u8], way: Way) -> Self {
        Self {
            left: bytes,
            way,
            ahead: Ahead::of(bytes),
        }
    }
}

impl<'a> Coming<'a> for Computed<'a> {
    const TRACES_REPEAT: bool = false;

    #[inline(always)]
    fn left(&self) -> &'a [u8] {
        self.left
    }

    #[inline(always)]
    fn shape(&self) -> Option<Shape<'a>> {
        Shape::computed(self.left, self.way, self.ahead)
    }

    #[inline(always)]
    fn pass(&mut self, shape: &Shape<'a>) {
        (self.left, self.ahead) = (shape.after, shape.ahead);
    }
}

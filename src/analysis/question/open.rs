//! How far questions are: which wait, which see events, and which have seen enough.

#![expect(
    clippy::inline_always,
    reason = "a step that is handed on in memory costs more than to replay it"
)]

use std::ops::ControlFlow;

use super::{LogEnd, LogPlace, LogStep, Question, Questions};
use crate::heap::LiveHeap;
use crate::time::Elapsed;

#[allow(unreachable_pub, reason = "named by a public trait, and sealed")]
pub trait Open {
    type Answers;
    fn from(&self) -> Elapsed;
    /// The next event is at this time: those begin that want to see it. Gives the time after
    /// which another does.
    fn begin(&mut self, next: Elapsed, heap: &LiveHeap, place: &LogPlace<'_>) -> Elapsed;
    /// Breaks once all have seen enough.
    fn take(&mut self, step: &LogStep, heap: &LiveHeap) -> ControlFlow<()>;
    fn answers(self, end: &LogEnd<'_>) -> Self::Answers;
}

#[derive(Debug)]
pub struct Asked<Q> {
    question: Q,
    state: State,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Waiting,
    Open,
    Done,
}

impl<Q: Question> Open for Asked<Q> {
    type Answers = Q::Answer;

    fn from(&self) -> Elapsed {
        self.question.from()
    }

    #[cold]
    fn begin(&mut self, next: Elapsed, heap: &LiveHeap, place: &LogPlace<'_>) -> Elapsed {
        let from = self.question.from();
        if self.state != State::Waiting {
            return Elapsed::MAX;
        }
        if next > from || from == Elapsed::ZERO || next == Elapsed::MAX {
            self.state = State::Open;
            self.question.begin(heap, place);
            return Elapsed::MAX;
        }
        from
    }

    #[inline(always)]
    fn take(&mut self, step: &LogStep, heap: &LiveHeap) -> ControlFlow<()> {
        match self.state {
            State::Waiting => ControlFlow::Continue(()),
            State::Done => ControlFlow::Break(()),
            State::Open => {
                let flow = self.question.take(step, heap);
                if flow.is_break() {
                    self.state = State::Done;
                }
                flow
            }
        }
    }

    fn answers(self, end: &LogEnd<'_>) -> Q::Answer {
        self.question.answer(end)
    }
}

impl<Q: Question> Questions for Q {
    type Answers = Q::Answer;
    type Open = Asked<Q>;

    fn open(self) -> Asked<Q> {
        Asked {
            question: self,
            state: State::Waiting,
        }
    }
}

macro_rules! tuples {
    ($($($q:ident)*;)*) => {$(
        #[expect(non_snake_case, reason = "a variable for each type")]
        impl<$($q: Question),*> Questions for ($($q,)*) {
            type Answers = ($($q::Answer,)*);
            type Open = ($(Asked<$q>,)*);

            fn open(self) -> Self::Open {
                let ($($q,)*) = self;
                ($(Questions::open($q),)*)
            }
        }

        #[expect(non_snake_case, reason = "a variable for each type")]
        impl<$($q: Open),*> Open for ($($q,)*) {
            type Answers = ($($q::Answers,)*);

            fn from(&self) -> Elapsed {
                let ($($q,)*) = self;
                [$($q.from()),*].into_iter().min().unwrap_or_default()
            }

            #[cold]
            fn begin(
                &mut self,
                next: Elapsed,
                heap: &LiveHeap,
                place: &LogPlace<'_>,
            ) -> Elapsed {
                let ($($q,)*) = self;
                let due = [$($q.begin(next, heap, place)),*];
                due.into_iter().min().unwrap_or(Elapsed::MAX)
            }

            #[inline(always)]
            fn take(&mut self, step: &LogStep, heap: &LiveHeap) -> ControlFlow<()> {
                let ($($q,)*) = self;
                let mut done = true;
                $(done &= $q.take(step, heap).is_break();)*
                if done { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
            }

            fn answers(self, end: &LogEnd<'_>) -> Self::Answers {
                let ($($q,)*) = self;
                ($($q.answers(end),)*)
            }
        }
    )*};
}

tuples! {
    A;
    A B;
    A B C;
    A B C D;
    A B C D E;
    A B C D E F;
}

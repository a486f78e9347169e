//! The state of queries during a pass: which wait, which observe events, and which want no more.

#![expect(
    clippy::inline_always,
    reason = "an event that is handed on in memory costs more than to replay it"
)]

use std::ops::ControlFlow;

use super::{AppliedEvent, Query, QueryEnd, QueryGroup, QueryStart};
use crate::error::Result;
use crate::heap::LiveHeap;
use crate::time::Elapsed;

#[allow(unreachable_pub, reason = "named by a public trait, and sealed")]
pub trait Running {
    type Outputs;
    /// The time at which the first query starts.
    fn start(&self) -> Elapsed;
    /// The next event is at this time: begins the queries that want to observe it. Returns the time after which
    /// another query begins.
    fn begin(&mut self, next: Elapsed, start: QueryStart<'_>) -> Result<Elapsed>;
    /// Breaks once no query wants more events.
    fn observe(&mut self, applied: &AppliedEvent, heap: &LiveHeap) -> ControlFlow<()>;
    fn finish(self, end: &QueryEnd<'_>) -> Self::Outputs;
}

#[derive(Debug)]
pub struct RunningQuery<Q> {
    query: Q,
    state: State,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Waiting,
    Observing,
    Done,
}

impl<Q: Query> Running for RunningQuery<Q> {
    type Outputs = Q::Output;

    fn start(&self) -> Elapsed {
        self.query.start()
    }

    #[cold]
    fn begin(&mut self, next: Elapsed, start: QueryStart<'_>) -> Result<Elapsed> {
        let time = self.query.start();
        if self.state != State::Waiting {
            return Ok(Elapsed::MAX);
        }
        let is_last = next == Elapsed::MAX;
        if next > time || time == Elapsed::ZERO || is_last {
            self.state = State::Observing;
            let time = if is_last {
                time.min(start.position.elapsed())
            } else {
                time
            };
            self.query.begin(&QueryStart { time, ..start })?;
            return Ok(Elapsed::MAX);
        }
        Ok(time)
    }

    #[inline(always)]
    fn observe(&mut self, applied: &AppliedEvent, heap: &LiveHeap) -> ControlFlow<()> {
        match self.state {
            State::Waiting => ControlFlow::Continue(()),
            State::Done => ControlFlow::Break(()),
            State::Observing => {
                let flow = self.query.observe(applied, heap);
                if flow.is_break() {
                    self.state = State::Done;
                }
                flow
            }
        }
    }

    fn finish(self, end: &QueryEnd<'_>) -> Q::Output {
        self.query.finish(end)
    }
}

impl<Q: Query> QueryGroup for Q {
    type Outputs = Q::Output;
    type Running = RunningQuery<Q>;

    fn run(self) -> RunningQuery<Q> {
        RunningQuery {
            query: self,
            state: State::Waiting,
        }
    }
}

impl<Q: Query> QueryGroup for Vec<Q> {
    type Outputs = Vec<Q::Output>;
    type Running = Vec<RunningQuery<Q>>;

    fn run(self) -> Self::Running {
        self.into_iter().map(QueryGroup::run).collect()
    }
}

impl<R: Running> Running for Vec<R> {
    type Outputs = Vec<R::Outputs>;

    fn start(&self) -> Elapsed {
        self.iter().map(R::start).min().unwrap_or(Elapsed::MAX)
    }

    #[cold]
    fn begin(&mut self, next: Elapsed, start: QueryStart<'_>) -> Result<Elapsed> {
        let mut due = Elapsed::MAX;
        for query in self {
            due = due.min(query.begin(next, start)?);
        }
        Ok(due)
    }

    #[inline]
    fn observe(&mut self, applied: &AppliedEvent, heap: &LiveHeap) -> ControlFlow<()> {
        let mut done = true;
        for query in self {
            done &= query.observe(applied, heap).is_break();
        }
        if done {
            ControlFlow::Break(())
        } else {
            ControlFlow::Continue(())
        }
    }

    fn finish(self, end: &QueryEnd<'_>) -> Self::Outputs {
        self.into_iter().map(|query| query.finish(end)).collect()
    }
}

macro_rules! tuples {
    ($($($q:ident)*;)*) => {$(
        #[expect(non_snake_case, reason = "a variable for each type")]
        impl<$($q: QueryGroup),*> QueryGroup for ($($q,)*) {
            type Outputs = ($($q::Outputs,)*);
            type Running = ($($q::Running,)*);

            fn run(self) -> Self::Running {
                let ($($q,)*) = self;
                ($(QueryGroup::run($q),)*)
            }
        }

        #[expect(non_snake_case, reason = "a variable for each type")]
        impl<$($q: Running),*> Running for ($($q,)*) {
            type Outputs = ($($q::Outputs,)*);

            fn start(&self) -> Elapsed {
                let ($($q,)*) = self;
                [$($q.start()),*].into_iter().min().unwrap_or_default()
            }

            #[cold]
            fn begin(&mut self, next: Elapsed, start: QueryStart<'_>) -> Result<Elapsed> {
                let ($($q,)*) = self;
                let due = [$($q.begin(next, start)?),*];
                Ok(due.into_iter().min().unwrap_or(Elapsed::MAX))
            }

            #[inline(always)]
            fn observe(&mut self, applied: &AppliedEvent, heap: &LiveHeap) -> ControlFlow<()> {
                let ($($q,)*) = self;
                let mut done = true;
                $(done &= $q.observe(applied, heap).is_break();)*
                if done { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
            }

            fn finish(self, end: &QueryEnd<'_>) -> Self::Outputs {
                let ($($q,)*) = self;
                ($($q.finish(end),)*)
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

//! The peak and the churn of a profile, as questions of one's own.

use std::collections::HashMap;
use std::ops::ControlFlow;

use heapprof::{Elapsed, LiveHeap, LogEnd, LogStep, Question, Reader, Result, TraceId, Usage};

pub(crate) trait Ask {
    fn peak(&self) -> Result<Peak>;
    fn churn(&self) -> Result<Churn>;
}

impl Ask for Reader {
    fn peak(&self) -> Result<Peak> {
        let highest = self.ask(Highest::default())?;
        self.ask(highest)
    }

    fn churn(&self) -> Result<Churn> {
        self.ask(Churn::default())
    }
}

/// The largest total, the first time it is reached, and what is live then.
pub(crate) struct Peak {
    time: Elapsed,
    events: u64,
    usage: Usage,
}

impl Peak {
    pub(crate) fn time(&self) -> Elapsed {
        self.time
    }

    pub(crate) fn events(&self) -> u64 {
        self.events
    }

    pub(crate) fn total(&self) -> i64 {
        self.usage.total()
    }

    pub(crate) fn usage(&self) -> &Usage {
        &self.usage
    }
}

/// The first pass finds which event reaches the peak. The second, of the [`Found`], stops there.
#[derive(Default)]
struct Highest {
    total: i64,
    time: Elapsed,
    events: u64,
}

impl Question for Highest {
    type Answer = Found;

    fn take(&mut self, step: &LogStep, _: &LiveHeap) -> ControlFlow<()> {
        if step.total > self.total {
            self.total = step.total;
            self.time = step.event.elapsed;
            self.events = step.number;
        }
        ControlFlow::Continue(())
    }

    fn answer(self, _: &LogEnd<'_>) -> Found {
        Found(Peak {
            time: self.time,
            events: self.events,
            usage: Usage::empty(),
        })
    }
}

struct Found(Peak);

impl Question for Found {
    type Answer = Peak;

    fn take(&mut self, step: &LogStep, heap: &LiveHeap) -> ControlFlow<()> {
        if step.number < self.0.events {
            return ControlFlow::Continue(());
        }
        if step.number == self.0.events {
            self.0.usage = heap.usage();
        }
        ControlFlow::Break(())
    }

    fn answer(self, _: &LogEnd<'_>) -> Peak {
        self.0
    }
}

/// What each trace allocated and freed: counts of what was recorded, bytes are estimates.
#[derive(Default)]
pub(crate) struct Churn(HashMap<Option<TraceId>, [i64; 3]>);

impl Churn {
    fn column(&self, column: usize) -> Usage {
        let rows = self.0.iter();
        rows.map(|(&trace, row)| (trace, row[column])).collect()
    }

    pub(crate) fn allocations(&self) -> Usage {
        self.column(0)
    }

    pub(crate) fn allocated(&self) -> Usage {
        self.column(1)
    }

    pub(crate) fn frees(&self) -> Usage {
        self.column(2)
    }
}

impl Question for Churn {
    type Answer = Self;

    fn take(&mut self, step: &LogStep, _: &LiveHeap) -> ControlFlow<()> {
        let [allocations, allocated, frees] = self.0.entry(step.event.trace).or_default();
        if step.event.is_free() {
            *frees += 1;
        } else {
            *allocations += 1;
            *allocated = allocated.saturating_add(step.bytes);
        }
        ControlFlow::Continue(())
    }

    fn answer(self, _: &LogEnd<'_>) -> Self {
        self
    }
}

/// How many blocks are live after so many events.
pub(crate) struct LiveBlocks {
    events: u64,
    live: HashMap<Option<TraceId>, i64>,
}

impl LiveBlocks {
    pub(crate) fn after(events: u64) -> Self {
        let live = HashMap::new();
        Self { events, live }
    }

    pub(crate) fn recorded(&self) -> Usage {
        let live = self.live.iter();
        live.map(|(&trace, &blocks)| (trace, blocks)).collect()
    }
}

impl Question for LiveBlocks {
    type Answer = Self;

    fn take(&mut self, step: &LogStep, _: &LiveHeap) -> ControlFlow<()> {
        if step.number > self.events {
            return ControlFlow::Break(());
        }
        let by = if step.event.is_free() { -1 } else { 1 };
        *self.live.entry(step.event.trace).or_default() += by;
        ControlFlow::Continue(())
    }

    fn answer(self, _: &LogEnd<'_>) -> Self {
        self
    }
}

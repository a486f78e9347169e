//! From the log to the snapshots: one pass, and a look ahead where the interval has to be found.

use std::io::{Seek, Write};
use std::ops::ControlFlow;

use super::changes::Changes;
use super::options::{DigestOptions, Progress, default_interval_ms};
use super::order::{Edits, Ordered};
use super::trailer::{End, TrailerBuilder};
use crate::error::{DecodeError, EncodeError, Error, Result};
use crate::heap::{Flaws, LiveHeap};
use crate::raw::{DigestWriter, LogPosition};
use crate::replay::{Pass, Passed, STOP, Step};
use crate::time::{Elapsed, StartTime};

/// How many events pass, at least, between two looks at who wants to stop; at most 5000, since a place
/// is at hand that often.
const TELL_EVERY: u64 = 1 << 11;

/// Says when it is time to look at who wants to stop.
#[derive(Default)]
struct Bell {
    next: u64,
}

impl Bell {
    /// The place before the step, if it is time and the place is at hand.
    #[inline]
    fn rings(&mut self, step: &Step) -> Option<LogPosition> {
        let before = step.before?;
        if step.number < self.next {
            return None;
        }
        self.next = step.number.saturating_add(TELL_EVERY);
        Some(before)
    }
}

/// What is digested.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Source<'a> {
    pub(crate) pass: Pass<'a>,
    pub(crate) start: StartTime,
    /// Where the log ends, if that is known.
    pub(crate) end: Option<LogPosition>,
}

impl Source<'_> {
    /// The end of the log, and whether `tell` stopped the pass before it. Decodes and no more.
    pub(crate) fn measure(
        &self,
        mut tell: impl FnMut(LogPosition) -> ControlFlow<()>,
    ) -> Result<Passed> {
        let mut bell = Bell::default();
        self.pass.run(
            LogPosition::START,
            #[inline(always)]
            |step| {
                if let Some(before) = bell.rings(&step)
                    && tell(before).is_break()
                {
                    return STOP;
                }
                Some(ControlFlow::Continue(Flaws::NONE))
            },
        )
    }

    /// What is wrong with the log.
    pub(crate) fn damage(&self) -> Result<Vec<DecodeError>> {
        let mut heap = LiveHeap::new(self.pass.traces as usize);
        let passed = self.pass.run(
            LogPosition::START,
            #[inline(always)]
            |step| Some(ControlFlow::Continue(step.change(&mut heap)?.flaws)),
        )?;
        Ok(passed.damage)
    }

    /// Makes the digest, and gives `out` back with it.
    pub(crate) fn digest<W: Write + Seek>(
        &self,
        mut options: DigestOptions<'_>,
        out: W,
    ) -> Result<W> {
        let precision = options.checked_precision()?;
        let most = options.most();
        let log_len = self.pass.log.len();
        let mut passes = 1;
        let mut stopped = false;
        let interval_ms = match (options.checked_interval_ms()?, self.end) {
            (Some(interval_ms), _) => interval_ms,
            (None, Some(end)) => default_interval_ms(end.elapsed(), most),
            (None, None) => {
                passes = 2;
                let measured = self.measure(|place| {
                    options.tell(Progress {
                        bytes: place.offset(),
                        total_bytes: log_len.saturating_mul(passes),
                        elapsed: place.elapsed(),
                    })
                })?;
                stopped = measured.stopped;
                default_interval_ms(measured.place.elapsed(), most)
            }
        };

        let interval = Elapsed::from_millis(interval_ms).as_micros();
        let mut snapshots = Snapshots {
            writer: DigestWriter::new(out, self.start, interval_ms)?,
            trailer: TrailerBuilder::new(),
            changes: Changes::new(self.pass.traces as usize),
            edits: Edits::default(),
            ordered: Ordered::default(),
            precision,
            most,
            body: Vec::new(),
            body_before: Vec::new(),
        };
        let mut heap = LiveHeap::new(self.pass.traces as usize);
        // The time of the next snapshot. The event before lies at or before it.
        let mut next = interval;
        let mut failed = None;
        let mut bell = Bell::default();
        let passed = self.pass.run(
            LogPosition::START,
            #[inline(always)]
            |step| {
                let elapsed = step.event.elapsed.as_micros();
                if let Some(before) = bell.rings(&step) {
                    if stopped {
                        return STOP;
                    }
                    let told = options.tell(Progress {
                        bytes: before.offset().saturating_add(log_len * (passes - 1)),
                        total_bytes: log_len.saturating_mul(passes),
                        elapsed: before.elapsed(),
                    });
                    if told.is_break() {
                        return STOP;
                    }
                }
                if elapsed > next {
                    let due = (elapsed - 1) / interval;
                    if let Err(error) = snapshots.catch_up(&heap, due, step.before?) {
                        failed = Some(error);
                        return STOP;
                    }
                    next = (due + 1).saturating_mul(interval);
                }
                match step.before {
                    None => snapshots.changes.mark(step.index)?,
                    Some(_) => snapshots.changes.mark_any(step.index),
                }
                let change = step.change(&mut heap)?;
                Some(ControlFlow::Continue(change.flaws))
            },
        )?;
        match failed {
            Some(Failed::TooMany) => return Err(self.too_many(interval_ms, most)?),
            Some(Failed::Encode(error)) => return Err(error.into()),
            None => {}
        }
        if passed.place.events() > 0 {
            snapshots.take(&heap, passed.place)?;
        }
        if !passed.stopped {
            // Nothing is left to stop.
            let _ = options.tell(Progress {
                bytes: log_len.saturating_mul(passes),
                total_bytes: log_len.saturating_mul(passes),
                elapsed: passed.place.elapsed(),
            });
        }
        let end = End {
            stopped: passed.stopped,
            log_len,
            precision,
            rates: self.pass.rates,
            clock: self.pass.clock,
            place: passed.place,
            damage: &passed.damage,
        };
        let trailer = snapshots.trailer;
        let out = snapshots
            .writer
            .finish_with(|index| trailer.finish(self.start, interval_ms, index, &end))?;
        Ok(out)
    }

    /// Says which interval would do, for the whole log.
    fn too_many(&self, interval_ms: u64, limit: u64) -> Result<Error> {
        let end = match self.end {
            Some(end) => end,
            None => self.measure(|_| ControlFlow::Continue(()))?.place,
        };
        let millis = end.elapsed().as_micros().div_ceil(1000);
        Ok(Error::TooManySnapshots {
            interval_ms,
            needed: millis.div_ceil(interval_ms),
            limit,
            works_ms: millis.div_ceil(limit),
        })
    }
}

/// What was written of the live heap.
struct Snapshots<W> {
    writer: DigestWriter<W>,
    trailer: TrailerBuilder,
    changes: Changes,
    edits: Edits,
    ordered: Ordered,
    precision: f64,
    /// How many snapshots there may be.
    most: u64,
    body: Vec<u8>,
    body_before: Vec<u8>,
}

/// Why the pass was broken off, if nobody stopped it.
enum Failed {
    TooMany,
    Encode(EncodeError),
}

impl<W: Write + Seek> Snapshots<W> {
    /// Writes the heap as it is until there are `due` snapshots.
    #[inline(never)]
    fn catch_up(&mut self, heap: &LiveHeap, due: u64, place: LogPosition) -> Result<(), Failed> {
        if due >= self.most {
            return Err(Failed::TooMany);
        }
        self.take(heap, place).map_err(Failed::Encode)?;
        while self.writer.count() < due {
            self.writer.repeat().map_err(Failed::Encode)?;
        }
        Ok(())
    }

    /// Writes the heap as it is, after the event that ends at `place`.
    fn take(&mut self, heap: &LiveHeap, place: LogPosition) -> Result<(), EncodeError> {
        let number = self.writer.count();
        self.trailer.place(number, place);
        let mut unknown_changed = false;
        let edits = &mut self.edits;
        self.changes.drain(heap, |index, before, after| {
            if index == 0 {
                unknown_changed = true;
            } else {
                edits.push(index, before, after);
            }
        });
        if number > 0 && self.edits.is_empty() && !unknown_changed {
            return self.writer.repeat();
        }
        self.ordered.edit(&mut self.edits);
        std::mem::swap(&mut self.body, &mut self.body_before);
        self.body.clear();
        let unknown = heap.balance(0);
        let folds = self.precision > 0.0;
        let len = if folds {
            self.ordered
                .encode_folded(unknown, self.precision, &mut self.body)
        } else {
            self.ordered.encode(unknown, &mut self.body)
        };
        // What has changed may all be folded away.
        if folds && number > 0 && self.body == self.body_before {
            return self.writer.repeat();
        }
        self.writer.encoded(len, &self.body)?;
        self.trailer.written(&self.body);
        Ok(())
    }
}

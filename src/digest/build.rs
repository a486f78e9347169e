//! From the log to the snapshots: one pass, and a look ahead where the interval has to be found.

#![expect(
    clippy::inline_always,
    reason = "a call for each event costs as much as decoding it"
)]

use std::io::{Seek, Write};
use std::ops::ControlFlow;

use super::changes::Changes;
use super::options::{DigestOptions, Progress, default_interval_ms};
use super::order::{Edits, Encoded, Ordered};
use super::trailer::{End, TrailerBuilder};
use crate::error::{DecodeError, EncodeError, Error, Result};
use crate::heap::LiveHeap;
use crate::raw::{DigestWriter, LogPosition};
use crate::replay::{By, Pass, Passed, Step, Steps, Take, Taken};
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
    /// Whether it is time.
    fn rings(&mut self, step: &Step) -> bool {
        let rings = step.number >= self.next;
        if rings {
            self.next = step.number.saturating_add(TELL_EVERY);
        }
        rings
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
        let (_, passed) = self.pass.run(
            LogPosition::START,
            By(
                #[inline(always)]
                |step: Step, before| {
                    if let Some(before) = before
                        && bell.rings(&step)
                        && tell(before).is_break()
                    {
                        return Some(ControlFlow::Break(()));
                    }
                    Some(ControlFlow::Continue(()))
                },
            ),
        )?;
        Ok(passed)
    }

    /// What is wrong with the log.
    pub(crate) fn damage(&self) -> Result<Vec<DecodeError>> {
        let heap = LiveHeap::new(self.pass.traces as usize);
        let (_, passed) = self.pass.run(LogPosition::START, heap)?;
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
        let digesting = Digesting {
            snapshots: Snapshots {
                writer: DigestWriter::new(out, self.start, interval_ms)?,
                trailer: TrailerBuilder::new(),
                edits: Edits::default(),
                ordered: Ordered::default(),
                precision,
                most,
                encoded: Encoded::default(),
                encoded_before: Encoded::default(),
            },
            heap: LiveHeap::new(self.pass.traces as usize),
            changes: Changes::new(self.pass.traces as usize),
            interval,
            next: interval,
            failed: None,
            bell: Bell::default(),
            tell: |before: LogPosition| {
                if stopped {
                    return ControlFlow::Break(());
                }
                options.tell(Progress {
                    bytes: before.offset().saturating_add(log_len * (passes - 1)),
                    total_bytes: log_len.saturating_mul(passes),
                    elapsed: before.elapsed(),
                })
            },
        };
        let (digesting, passed) = self.pass.run(LogPosition::START, digesting)?;
        let Digesting {
            mut snapshots,
            heap,
            mut changes,
            failed,
            ..
        } = digesting;
        match failed {
            Some(Failed::TooMany) => return Err(self.too_many(interval_ms, most)?),
            Some(Failed::Encode(error)) => return Err(error.into()),
            None => {}
        }
        if passed.place.events() > 0 {
            snapshots.take(&heap, &mut changes, passed.place)?;
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

/// The live heap on its way through the log, and the snapshots of it.
struct Digesting<W, T> {
    snapshots: Snapshots<W>,
    heap: LiveHeap,
    changes: Changes,
    /// From one snapshot to the next, in microseconds.
    interval: u64,
    /// The time of the next snapshot. The event before lies at or before it.
    next: u64,
    failed: Option<Failed>,
    bell: Bell,
    tell: T,
}

impl<W: Write + Seek, T: FnMut(LogPosition) -> ControlFlow<()>> Take for Digesting<W, T> {
    #[inline]
    fn take(&mut self, step: Step, before: LogPosition) -> Taken {
        if self.bell.rings(&step) && (self.tell)(before).is_break() {
            return Taken::Break(());
        }
        let elapsed = step.event.elapsed.as_micros();
        if elapsed > self.next {
            let due = (elapsed - 1) / self.interval;
            let caught_up = self
                .snapshots
                .catch_up(&self.heap, &mut self.changes, due, before);
            if let Err(error) = caught_up {
                self.failed = Some(error);
                return Taken::Break(());
            }
            self.next = (due + 1).saturating_mul(self.interval);
        }
        let flaws = self.heap.add(step.index, step.bytes).flaws;
        self.changes.mark(step.index, &self.heap);
        Taken::Continue(flaws)
    }

    #[inline(always)]
    fn quickly<S: Steps>(&mut self, steps: S) -> ControlFlow<()> {
        let next = self.next;
        let (_, flow) = steps.show(
            (self.heap.changer(), self.changes.marker()),
            #[inline(always)]
            move |(change, mark), step| {
                if step.event.elapsed.as_micros() > next {
                    return None;
                }
                change(step.index, step.bytes, step.traces_repeat)?;
                mark(step.index);
                Some(ControlFlow::Continue(()))
            },
        );
        flow
    }
}

/// What was written of the live heap.
struct Snapshots<W> {
    writer: DigestWriter<W>,
    trailer: TrailerBuilder,
    edits: Edits,
    ordered: Ordered,
    precision: f64,
    /// How many snapshots there may be.
    most: u64,
    /// The entries of the last snapshot, and of the one before it.
    encoded: Encoded,
    encoded_before: Encoded,
}

/// Why the pass was broken off, if nobody stopped it.
enum Failed {
    TooMany,
    Encode(EncodeError),
}

impl<W: Write + Seek> Snapshots<W> {
    /// Writes the heap as it is until there are `due` snapshots.
    #[inline(never)]
    fn catch_up(
        &mut self,
        heap: &LiveHeap,
        changes: &mut Changes,
        due: u64,
        place: LogPosition,
    ) -> Result<(), Failed> {
        if due >= self.most {
            return Err(Failed::TooMany);
        }
        self.take(heap, changes, place).map_err(Failed::Encode)?;
        while self.writer.count() < due {
            self.writer.repeat().map_err(Failed::Encode)?;
        }
        Ok(())
    }

    /// Writes the heap as it is, after the event that ends at `place`.
    fn take(
        &mut self,
        heap: &LiveHeap,
        changes: &mut Changes,
        place: LogPosition,
    ) -> Result<(), EncodeError> {
        let number = self.writer.count();
        self.trailer.place(number, place);
        let edits = &mut self.edits;
        changes.drain(heap, |index, before, after| {
            edits.push(index, before, after);
        });
        self.ordered.edit(edits);
        std::mem::swap(&mut self.encoded, &mut self.encoded_before);
        let encoded = &mut self.encoded;
        self.ordered
            .encode(heap.balance(0), self.precision, encoded);
        if number > 0 && encoded.bytes() == self.encoded_before.bytes() {
            return self.writer.repeat();
        }
        self.writer.encoded(encoded.count(), encoded.bytes())?;
        self.trailer.written(encoded.bytes());
        Ok(())
    }
}

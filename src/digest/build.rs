//! Makes a digest: one pass over the log, and another before it if the length of the recording must be found.

use std::io::{Seek, Write};
use std::ops::ControlFlow;
use std::time::Duration;

use super::changes::Changes;
use super::options::{DigestOptions, Progress, default_interval_ms};
use super::order::{Edits, Encoded, Ordered};
use super::trailer::{Origin, TrailerBuilder};
use crate::error::{DecodeError, EncodeError, Error, Result};
use crate::heap::LiveHeap;
use crate::log::{Log, Pass};
use crate::raw::rates::SamplingRates;
use crate::raw::{DigestWriter, LogPosition};
use crate::replay::Replay;
use crate::time::{Clock, Elapsed, StartTime};

/// The log that a digest is made of.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Source<'a> {
    pub(crate) log: &'a Log,
    /// The rates of the estimates.
    pub(crate) rates: &'a SamplingRates,
    /// The clock of the times.
    pub(crate) clock: Clock,
    /// The number of traces in the table.
    pub(crate) traces: u32,
    pub(crate) start: StartTime,
    /// The end of the log, if it is known.
    pub(crate) end: Option<LogPosition>,
}

impl<'a> Source<'a> {
    fn pass(&self) -> Pass<'a> {
        Pass::new(self.log, self.rates, LogPosition::start(self.clock))
    }

    /// The end of the log. Calls `progress` for each chunk; returns `None` if it stops the pass.
    pub(crate) fn find_end(
        &self,
        mut progress: impl FnMut(LogPosition) -> ControlFlow<()>,
    ) -> Result<Option<LogPosition>> {
        let mut pass = self.pass();
        while let Some(start) = pass.next_chunk()? {
            if progress(start).is_break() {
                return Ok(None);
            }
            pass.fold((), |(), _| ControlFlow::Continue(()));
        }
        Ok(Some(pass.position()))
    }

    /// The end of the log, or where the options' progress stops the pass; and whether it does. Reports progress as
    /// the first of two passes.
    fn find_end_for(&self, options: &mut DigestOptions<'_>) -> Result<(LogPosition, bool)> {
        let total_bytes = self.log.len().saturating_mul(2);
        let mut last = LogPosition::START;
        let end = self.find_end(|position| {
            last = position;
            options.report(Progress {
                bytes: position.offset(),
                total_bytes,
                elapsed: position.elapsed(),
            })
        })?;
        Ok((end.unwrap_or(last), end.is_none()))
    }

    /// The damage of the log.
    pub(crate) fn damage(&self) -> Result<Vec<DecodeError>> {
        let mut pass = self.pass();
        let mut replay = Replay::new(self.traces);
        while pass.next_chunk()?.is_some() {
            pass.fold(&mut replay, |replay, logged| {
                replay.apply(&logged);
                ControlFlow::Continue(())
            });
        }
        Ok(pass.end(replay.damage(), false).damage)
    }

    /// Writes the digest, and returns `out`.
    pub(crate) fn digest<W: Write + Seek>(
        &self,
        mut options: DigestOptions<'_>,
        out: W,
    ) -> Result<W> {
        let precision = options.checked_precision()?;
        let max_snapshots = options.max();
        let log_len = self.log.len();
        let mut passes = 1;
        let mut is_stopped = false;
        let interval_ms = match (options.checked_interval_ms()?, self.end) {
            (Some(interval_ms), _) => interval_ms,
            (None, Some(end)) => default_interval_ms(end.elapsed(), max_snapshots),
            (None, None) => {
                passes = 2;
                let end;
                (end, is_stopped) = self.find_end_for(&mut options)?;
                default_interval_ms(end.elapsed(), max_snapshots)
            }
        };
        let interval = Elapsed::from_millis(interval_ms).as_micros();
        let mut snapshots = Snapshots {
            writer: DigestWriter::new(out, self.start, Duration::from_millis(interval_ms))?,
            trailer: TrailerBuilder::default(),
            edits: Edits::default(),
            ordered: Ordered::default(),
            precision,
            encoded: Encoded::default(),
            encoded_before: Encoded::default(),
        };

        let mut pass = self.pass();
        let mut replay = Replay::new(self.traces);
        let mut changes = Changes::new(self.traces as usize);
        // The time of the next snapshot. All events so far are at or before it.
        let mut next = interval;
        while !is_stopped && let Some(start) = pass.next_chunk()? {
            let progress = Progress {
                bytes: start.offset().saturating_add(log_len * (passes - 1)),
                total_bytes: log_len.saturating_mul(passes),
                elapsed: start.elapsed(),
            };
            if options.report(progress).is_break() {
                is_stopped = true;
                break;
            }
            loop {
                let state = (replay.heap.dense(), changes.dense());
                let (_, unusual) = pass.fold(state, |(dense, changed), logged| {
                    if logged.event.elapsed.as_micros() > next {
                        return ControlFlow::Break(());
                    }
                    if dense.add(logged.index(), logged.bytes).is_none() {
                        return ControlFlow::Break(());
                    }
                    changed.mark(logged.index());
                    ControlFlow::Continue(())
                });
                let Some(logged) = unusual else {
                    break;
                };
                let elapsed = logged.event.elapsed.as_micros();
                if elapsed > next {
                    // This many snapshots must exist before the event.
                    let due = (elapsed - 1) / interval;
                    if due >= max_snapshots {
                        return Err(self.too_many(interval_ms, max_snapshots)?);
                    }
                    snapshots.take(&replay.heap, &mut changes, pass.position())?;
                    snapshots.repeat_until(due)?;
                    next = (due + 1).saturating_mul(interval);
                } else {
                    replay.apply(&logged);
                    changes.mark(logged.index(), &replay.heap);
                    pass.skip();
                }
            }
        }
        let end = pass.end(replay.damage(), is_stopped);
        if end.position.events() > 0 {
            snapshots.take(&replay.heap, &mut changes, end.position)?;
        }
        if !is_stopped {
            // The digest is whole, so there is nothing to stop.
            let _ = options.report(Progress {
                bytes: log_len.saturating_mul(passes),
                total_bytes: log_len.saturating_mul(passes),
                elapsed: end.position.elapsed(),
            });
        }
        let origin = Origin {
            is_stopped,
            log_len,
            precision,
            rates: self.rates.clone(),
            clock: self.clock,
            end: end.position,
            damage: end.damage,
        };
        let trailer = snapshots.trailer;
        let out = snapshots
            .writer
            .finish_with(|index| trailer.finish(self.start, interval_ms, index, &origin))?;
        Ok(out)
    }

    /// The error for an interval that gives too many snapshots, with one that works for the whole log.
    fn too_many(&self, interval_ms: u64, limit: u64) -> Result<Error> {
        let end = match self.end {
            Some(end) => end,
            None => self
                .find_end(|_| ControlFlow::Continue(()))?
                .unwrap_or_default(),
        };
        let millis = end.elapsed().as_micros().div_ceil(1000);
        Ok(Error::TooManySnapshots {
            interval: Duration::from_millis(interval_ms),
            needed: millis.div_ceil(interval_ms),
            limit,
            works: Duration::from_millis(millis.div_ceil(limit)),
        })
    }
}

/// Writes the snapshots of the live heap.
struct Snapshots<W> {
    writer: DigestWriter<W>,
    trailer: TrailerBuilder,
    edits: Edits,
    ordered: Ordered,
    precision: f64,
    /// The encoded entries of the last snapshot.
    encoded: Encoded,
    /// The encoded entries of the snapshot before the last.
    encoded_before: Encoded,
}

impl<W: Write + Seek> Snapshots<W> {
    /// Repeats the last snapshot until there are `due`.
    fn repeat_until(&mut self, due: u64) -> Result<(), EncodeError> {
        while self.writer.count() < due {
            self.writer.write_repeat()?;
        }
        Ok(())
    }

    /// Writes a snapshot of the heap, after the event that ends at `position`.
    fn take(
        &mut self,
        heap: &LiveHeap,
        changes: &mut Changes,
        position: LogPosition,
    ) -> Result<(), EncodeError> {
        let number = self.writer.count();
        self.trailer.position(number, position);
        let mut has_changed = number == 0;
        changes.drain(heap, |index, before, after| {
            has_changed = true;
            self.edits.push(index, before, after);
        });
        if !has_changed {
            return self.writer.write_repeat();
        }
        self.ordered.edit(&mut self.edits);
        std::mem::swap(&mut self.encoded, &mut self.encoded_before);
        let encoded = &mut self.encoded;
        self.ordered
            .encode(heap.balance(0), self.precision, encoded);
        // All that has changed may be folded away.
        if number > 0 && encoded.bytes() == self.encoded_before.bytes() {
            return self.writer.write_repeat();
        }
        self.writer.encoded(encoded.count(), encoded.bytes())?;
        self.trailer.entries(encoded.bytes());
        Ok(())
    }
}

//! What a [`Reader`] knows of the `.hpm` file: the table of stacks, or only their number.

use super::{Reader, get_or_try_init};
use crate::bytes::Access;
use crate::error::{DecodeErrorKind, Result, Taint};
use crate::raw::TraceLog;
use crate::raw::hpm::TableEnd;
use crate::trace::TraceTable;

/// What a pass over the log needs to know of the `.hpm` file.
#[derive(Debug)]
pub(super) struct HpmSummary {
    /// Where the whole traces end.
    end: TableEnd,
    /// Damage in the header and at the end of the traces. Names are not read.
    damaged: Taint,
}

/// What an earlier reader of the same recording knew of the `.hpm` file, which has grown since.
#[derive(Debug, Default)]
pub(super) struct EarlierHpm {
    table: Option<TraceTable>,
    end: Option<TableEnd>,
}

impl Reader {
    /// The stacks of all traces. The first call makes one pass over the `.hpm` file.
    ///
    /// Of a cut or damaged file the table has every whole trace before the damage, and [reports](TraceTable::damage)
    /// the damage.
    ///
    /// # Errors
    /// [`Error::Replaced`](crate::Error::Replaced) if another recording was written over the file.
    #[doc(alias("rawTrace", "trace", "hpm", "warmRawTraceCache"))]
    pub fn traces(&self) -> Result<&TraceTable> {
        get_or_try_init(&self.traces, &self.init_lock, || {
            self.read_hpm(|log| match &self.earlier_hpm.table {
                Some(earlier) => earlier.extended(log),
                None => TraceTable::from_log(log),
            })
        })
    }

    /// Reads the `.hpm` file with `read`.
    fn read_hpm<'s, T>(&'s self, read: impl FnOnce(&TraceLog<'s>) -> T) -> Result<T> {
        let mapped = self.recording.iter();
        let mapped = mapped.filter(|_| self.access == Access::Map);
        let check = || mapped.clone().try_for_each(|recording| recording.check());
        // Reading a mapped file that was shortened ends the process; one that was rewritten is another recording.
        check()?;
        let (bytes, header) = (&*self.hpm, self.header.clone());
        let result = read(&TraceLog { bytes, header });
        check()?;
        Ok(result)
    }

    /// The number of whole traces.
    pub(crate) fn trace_count(&self) -> Result<u32> {
        Ok(self.hpm_summary()?.end.traces())
    }

    fn hpm_summary(&self) -> Result<&HpmSummary> {
        let from_table = |table: &TraceTable| {
            let damage = table.damage().iter();
            Some(HpmSummary {
                end: table.end()?,
                damaged: Taint::of(damage.filter(|it| it.kind() != DecodeErrorKind::NotUtf8)),
            })
        };
        let from_log = |log: &TraceLog<'_>| {
            let earlier = self.earlier_hpm.end;
            let (end, damage) = log.count_from(earlier.unwrap_or_else(|| TableEnd::first(log)));
            let damage = [log.header_damage(), damage];
            HpmSummary {
                end,
                damaged: Taint::of(damage.iter().flatten()),
            }
        };
        get_or_try_init(&self.hpm_summary, &self.summary_lock, || {
            match self.traces.get().and_then(from_table) {
                Some(summary) => Ok(summary),
                None => self.read_hpm(from_log),
            }
        })
    }

    /// Whether the header or the end of the traces is damaged.
    pub(crate) fn traces_damaged(&self) -> Result<Taint> {
        Ok(self.hpm_summary()?.damaged)
    }

    /// What this reader knows of the `.hpm` file.
    pub(super) fn known_hpm(&self) -> EarlierHpm {
        let read = self.traces.get();
        let counted = self.hpm_summary.get().map(|summary| summary.end);
        let ends = [
            counted,
            read.and_then(TraceTable::end),
            self.earlier_hpm.end,
        ];
        EarlierHpm {
            table: read.or(self.earlier_hpm.table.as_ref()).cloned(),
            end: ends.into_iter().flatten().max_by_key(|end| end.offset),
        }
    }
}

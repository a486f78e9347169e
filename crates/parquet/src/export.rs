//! [`Export`]: writes the tables of profiles.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, SystemTime};

use anyhow::{Context, Result};
use heapprof::query::{Envelope, Live, Peak, RatesVerdict};
use heapprof::view::Packages;
use heapprof::{DigestOptions, FrameId, Reader, StartTime, TraceId, TraceTable, Usage};
use parquet::data_type::ByteArray;

use crate::find::{Input, with_suffix};
use crate::names::file_name;
use crate::table::{Origin, Table, Unpublished, unfinished};

/// The tables, in the order in which their files appear. A profile with a row in `profiles` is complete.
const TABLES: [&str; 9] = [
    "properties",
    "peak",
    "end",
    "traces",
    "frames",
    "snapshots",
    "envelope",
    "events",
    "profiles",
];

/// An unfinished file that nobody wrote to for this long was left by an export that was killed.
const STALE: Duration = Duration::from_secs(3600);

/// Writes the tables of profiles into a folder.
///
/// The files of a profile are written beside their places and renamed at the end, `profiles` last: readers see all of a
/// profile or nothing. A later export of the same profile replaces its files. It never replaces those of another profile
/// that has the same name: that one is skipped.
#[derive(Debug, Clone)]
pub struct Export {
    folder: PathBuf,
    events: bool,
    snapshots: u64,
    unsampled: bool,
    as_stated: bool,
    packages: Packages,
    jobs: usize,
}

/// Why a profile cannot be exported.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The files in the way were made from another profile.
    #[error("the tables have a profile of this name, from {0}")]
    Taken(String),
    /// It cannot be read or written.
    #[error("{}", chain(.0))]
    Failed(#[from] anyhow::Error),
}

/// An error and its causes. Those of this project's errors are part of them.
fn chain(error: &anyhow::Error) -> String {
    match error.downcast_ref::<heapprof::Error>() {
        Some(error) => error.to_string(),
        None => format!("{error:#}"),
    }
}

/// A profile that was exported.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Written {
    /// Its name in the tables.
    pub name: String,
    /// The number of events.
    pub events: u64,
    /// What is wrong with its files. What is whole was exported.
    pub damage: Option<String>,
    /// Whether sampling rates were stated that cannot be, so that it was taken for unsampled.
    pub has_wrong_rates: bool,
}

/// What was not exported.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Skipped {
    /// The profile, or the file or folder.
    pub path: PathBuf,
    /// Why.
    pub why: String,
}

impl Skipped {
    pub(crate) fn new(path: PathBuf, why: String) -> Self {
        Self { path, why }
    }
}

/// What an export did, in the order of the inputs.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct Summary {
    /// The profiles that were exported.
    pub written: Vec<Written>,
    /// Those that were not.
    pub skipped: Vec<Skipped>,
}

impl Export {
    /// An export to this folder, which is created, by as many threads as there are cores.
    pub fn to(folder: impl Into<PathBuf>) -> Self {
        Self {
            folder: folder.into(),
            events: false,
            snapshots: 100,
            unsampled: false,
            as_stated: false,
            packages: Packages::new(),
            jobs: std::thread::available_parallelism().map_or(1, usize::from),
        }
    }

    /// Whether to write the table `events`, which is as long as all logs together. By default it is not.
    #[must_use]
    pub fn events(mut self, events: bool) -> Self {
        self.events = events;
        self
    }

    /// How many moments of a profile the table `snapshots` has at most; 100 by default. At least 1.
    #[must_use]
    pub fn snapshots(mut self, snapshots: u64) -> Self {
        self.snapshots = snapshots.max(1);
        self
    }

    /// Takes all profiles as unsampled, whatever rates they state.
    #[must_use]
    pub fn unsampled(mut self, unsampled: bool) -> Self {
        self.unsampled = unsampled;
        self
    }

    /// Uses the rates that profiles state even if it is sure that everything was recorded. By default they are not used
    /// then.
    #[must_use]
    pub fn as_stated(mut self, as_stated: bool) -> Self {
        self.as_stated = as_stated;
        self
    }

    /// The rules that say which code is a program's own.
    #[must_use]
    pub fn packages(mut self, packages: Packages) -> Self {
        self.packages = packages;
        self
    }

    /// How many threads export, at least 1. Each holds the traces of one profile in memory, a few rows of its tables, and
    /// never the log.
    #[must_use]
    pub fn jobs(mut self, jobs: usize) -> Self {
        self.jobs = jobs.max(1);
        self
    }

    /// Exports profiles. Those that cannot be exported are skipped. `progress` is called after each, with its place among
    /// the inputs.
    ///
    /// Removes what exports left that were killed.
    pub fn run(
        &self,
        inputs: &[Input],
        progress: impl Fn(usize, &Result<Written, Error>) + Sync,
    ) -> Summary {
        self.sweep();
        let next = AtomicUsize::new(0);
        let done = Mutex::new(Vec::new());
        std::thread::scope(|scope| {
            for _ in 0..self.jobs.min(inputs.len()) {
                scope.spawn(|| {
                    loop {
                        let place = next.fetch_add(1, Ordering::Relaxed);
                        let Some(input) = inputs.get(place) else {
                            break;
                        };
                        let result = self.profile(input);
                        progress(place, &result);
                        if let Ok(mut done) = done.lock() {
                            done.push((place, result));
                        }
                    }
                });
            }
        });
        let mut done = done.into_inner().unwrap_or_default();
        done.sort_unstable_by_key(|&(place, _)| place);
        let mut summary = Summary::default();
        for (place, result) in done {
            match result {
                Ok(written) => summary.written.push(written),
                Err(error) => {
                    let filebase = inputs[place].filebase.clone();
                    summary
                        .skipped
                        .push(Skipped::new(filebase, error.to_string()));
                }
            }
        }
        summary
    }

    /// Exports one profile: for a job that spreads the profiles of a fleet over machines itself.
    ///
    /// # Errors
    /// If the profile cannot be read, a table cannot be written, or the name is that of another profile.
    pub fn profile(&self, input: &Input) -> Result<Written, Error> {
        let file = file_name(&input.name) + ".parquet";
        let path = |table: &str| self.folder.join(table).join(&file);
        let reader = Reader::open(&input.filebase).map_err(anyhow::Error::from)?;
        let origin = &origin(&input.filebase, reader.start());
        match Origin::of(&path("profiles")) {
            Some(other) if !is_same(&other, origin) => return Err(Error::Taken(other.path)),
            _ => {}
        }
        let create = |table: &str, columns: &str| {
            let columns = format!("required binary profile (STRING); {columns}");
            Table::create(path(table), &columns, origin)
        };
        let written = self.write(input, reader, create);
        let (written, tables) = match written {
            Ok(written) => written,
            Err(error) => {
                for table in TABLES {
                    let _ = fs::remove_file(unfinished(&path(table)));
                }
                return Err(error.into());
            }
        };
        // The profile is gone until it is complete again, and with it tables that were not asked for this time.
        for table in TABLES.iter().rev() {
            remove(&path(table))?;
        }
        for table in tables {
            table.publish()?;
        }
        Ok(written)
    }

    /// Writes all files of a profile, in the order of [`TABLES`].
    fn write(
        &self,
        input: &Input,
        mut reader: Reader,
        create: impl Fn(&str, &str) -> Result<Table>,
    ) -> Result<(Written, Vec<Unpublished>)> {
        if self.unsampled {
            reader = reader.unsampled();
        }
        let has_wrong_rates = reader.rates_check()?.verdict() == RatesVerdict::LookWrong;
        if has_wrong_rates && !self.as_stated {
            reader = reader.unsampled();
        }
        let (peak, end, envelope) =
            reader.ask((Peak::query(), Live::query(), Envelope::query()))?;
        let damage: Vec<_> = reader.damage()?.iter().map(ToString::to_string).collect();
        let damage = (!damage.is_empty()).then(|| damage.join("; "));
        let profile = &ByteArray::from(input.name.as_str());
        let of = Of {
            profile,
            reader: &reader,
            traces: reader.traces()?,
            own: &reader.traces()?.cut_to_own(&self.packages),
            packages: &self.packages,
        };
        let mut tables = Vec::new();

        let mut table = create(
            "properties",
            "required binary name (STRING); required binary value (STRING);",
        )?;
        for (name, value) in reader.properties().iter() {
            table.row([profile.into(), (&*name).into(), (&*value).into()])?;
        }
        tables.push(table.finish()?);
        tables.push(of.live(create("peak", LIVE)?, peak.usage())?);
        tables.push(of.live(create("end", LIVE)?, &end)?);
        tables.push(of.traces(create(
            "traces",
            "required int64 trace; required int64 level; required int64 frame;",
        )?)?);
        tables.push(of.frames(create(
            "frames",
            "required int64 frame; required binary file (STRING); required int64 line;
             optional binary function (STRING); required binary package (STRING);",
        )?)?);
        tables.push(of.snapshots(
            create(
                "snapshots",
                "required int64 at_us; required int64 trace; required int64 bytes;",
            )?,
            self.snapshots,
        )?);
        let mut table = create(
            "envelope",
            "required int64 from_us; required int64 to_us; required int64 lowest;
             required int64 highest; required int64 last;",
        )?;
        for step in envelope.steps() {
            table.row([
                profile.into(),
                step.from.as_micros().into(),
                step.to.as_micros().into(),
                step.lowest.into(),
                step.highest.into(),
                step.last.into(),
            ])?;
        }
        tables.push(table.finish()?);
        if self.events {
            tables.push(of.events(create(
                "events",
                "required int64 event; required int64 elapsed_us; required int64 wall_us;
                 required int64 trace; required boolean free; required int64 recorded_bytes;
                 required int64 bytes;",
            )?)?);
        }
        let mut table = create(
            "profiles",
            "required int64 start_ns; required int64 elapsed_us; required int64 events;
             required int64 traces; required boolean sampled; required int64 peak_bytes;
             required int64 peak_at_us; required int64 end_bytes; optional binary damage (STRING);",
        )?;
        let position = reader.end()?;
        table.row([
            profile.into(),
            reader.start().as_nanos().into(),
            position.elapsed().as_micros().into(),
            position.events().into(),
            of.traces.len().into(),
            (!reader.rates().is_unsampled()).into(),
            peak.total().into(),
            peak.time().as_micros().into(),
            end.total().into(),
            damage.as_deref().into(),
        ])?;
        tables.push(table.finish()?);
        let written = Written {
            name: input.name.clone(),
            events: position.events(),
            damage,
            has_wrong_rates,
        };
        Ok((written, tables))
    }

    /// Removes unfinished files that nobody writes to any more.
    fn sweep(&self) {
        let is_stale = |path: &Path| {
            let modified = fs::metadata(path).and_then(|metadata| metadata.modified());
            let age = modified.map(|time| SystemTime::now().duration_since(time));
            matches!(age, Ok(Ok(age)) if age > STALE)
        };
        for table in TABLES {
            let entries = fs::read_dir(self.folder.join(table)).into_iter().flatten();
            for path in entries.flatten().map(|entry| entry.path()) {
                let name = path.file_name().unwrap_or_default().to_string_lossy();
                let is_ours = name.starts_with('.') && name.ends_with(".parquet.part");
                if is_ours && is_stale(&path) {
                    let _ = fs::remove_file(&path);
                }
            }
        }
    }
}

/// The columns of `peak` and `end`.
const LIVE: &str = "required int64 trace; required int64 bytes;
     optional binary file (STRING); optional int64 line; optional binary function (STRING);
     optional binary package (STRING); optional binary own_file (STRING); optional int64 own_line;
     optional binary own_function (STRING);";

/// What the rows of a profile are made of.
struct Of<'a> {
    profile: &'a ByteArray,
    reader: &'a Reader,
    traces: &'a TraceTable,
    /// The stacks up to their innermost own frame, or else a package.
    own: &'a TraceTable,
    packages: &'a Packages,
}

impl Of<'_> {
    fn live(&self, mut table: Table, usage: &Usage) -> Result<Unpublished> {
        for (trace, bytes) in usage {
            let innermost = |table: &TraceTable| table.trace(trace)?.ids().next_back();
            let frame = innermost(self.traces).and_then(|id| self.traces.frame(id));
            // Packages come after the frames of the recording.
            let is_frame = |id: &FrameId| id.index() < self.traces.frame_count();
            let own = innermost(self.own).filter(is_frame);
            let own = own.and_then(|id| self.traces.frame(id));
            let package = frame.map(|frame| self.packages.of(frame.file).to_string());
            table.row([
                self.profile.into(),
                index(trace).into(),
                bytes.into(),
                frame.map(|frame| frame.file).into(),
                frame.map(|frame| frame.line).into(),
                frame.and_then(|frame| frame.function).into(),
                package.as_deref().into(),
                own.map(|frame| frame.file).into(),
                own.map(|frame| frame.line).into(),
                own.and_then(|frame| frame.function).into(),
            ])?;
        }
        table.finish()
    }

    fn traces(&self, mut table: Table) -> Result<Unpublished> {
        for (trace, stack) in self.traces.iter() {
            for (level, frame) in stack.ids().rev().enumerate() {
                table.row([
                    self.profile.into(),
                    trace.get().into(),
                    level.into(),
                    frame.index().into(),
                ])?;
            }
        }
        table.finish()
    }

    fn frames(&self, mut table: Table) -> Result<Unpublished> {
        for (id, frame) in self.traces.frames() {
            table.row([
                self.profile.into(),
                id.index().into(),
                frame.file.into(),
                frame.line.into(),
                frame.function.into(),
                (&*self.packages.of(frame.file).to_string()).into(),
            ])?;
        }
        table.finish()
    }

    fn snapshots(&self, mut table: Table, most: u64) -> Result<Unpublished> {
        let millis = self.reader.elapsed()?.as_micros().div_ceil(1000 * most);
        let interval = Duration::from_millis(millis.max(1));
        let options = DigestOptions::default().interval(interval);
        for snapshot in self.reader.digest_with(options)?.snapshots() {
            let snapshot = snapshot?;
            for (trace, bytes) in snapshot.usage() {
                table.row([
                    self.profile.into(),
                    snapshot.time().as_micros().into(),
                    index(trace).into(),
                    bytes.into(),
                ])?;
            }
        }
        table.finish()
    }

    fn events(&self, mut table: Table) -> Result<Unpublished> {
        for (number, event) in (1_u64..).zip(self.reader.events()?) {
            let event = match event {
                Ok(event) => event,
                // It is in the damage of the profile.
                Err(heapprof::Error::Decode { .. }) => break,
                Err(error) => return Err(error.into()),
            };
            table.row([
                self.profile.into(),
                number.into(),
                event.elapsed.as_micros().into(),
                event.wall.as_micros().into(),
                index(event.trace).into(),
                event.is_free().into(),
                event.size.into(),
                event.signed_estimate(self.reader.rates()).into(),
            ])?;
        }
        table.finish()
    }
}

fn index(trace: Option<TraceId>) -> u32 {
    trace.map_or(0, TraceId::get)
}

fn remove(path: &Path) -> Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).with_context(|| path.display().to_string())
        }
        _ => Ok(()),
    }
}

fn origin(filebase: &Path, start: StartTime) -> Origin {
    let hpm = fs::canonicalize(with_suffix(filebase, ".hpm"));
    let path = hpm.map_or(filebase.to_owned(), |hpm| hpm.with_extension(""));
    Origin {
        host: gethostname::gethostname().to_string_lossy().into_owned(),
        path: path.display().to_string(),
        start: start.as_nanos().to_string(),
    }
}

/// Whether two exports are of one profile: its files may have been recorded anew, or be read by another machine.
fn is_same(a: &Origin, b: &Origin) -> bool {
    a.path == b.path && (a.host == b.host || a.start == b.start)
}

#[cfg(test)]
mod tests {
    use super::is_same;
    use crate::table::Origin;

    #[test]
    fn a_profile_is_known_on_another_machine_and_after_it_was_recorded_anew() {
        let origin = |host: &str, path: &str, start: &str| Origin {
            host: host.to_owned(),
            path: path.to_owned(),
            start: start.to_owned(),
        };
        let first = origin("a", "/runs/x", "1");
        for (other, same) in [
            (origin("a", "/runs/x", "1"), true),
            (origin("a", "/runs/x", "2"), true),
            (origin("b", "/runs/x", "1"), true),
            (origin("b", "/runs/x", "2"), false),
            (origin("a", "/runs/y", "1"), false),
        ] {
            assert_eq!(is_same(&first, &other), same, "{other:?}");
        }
    }
}

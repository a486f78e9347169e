//! The pair of files of a recording.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, BufWriter};
use std::path::PathBuf;
use std::time::{Instant, SystemTime};

use hashbrown::HashMap;
use heapprof::raw::{EncodeError, EventWriter, Properties, TraceWriter};
use heapprof::{EventKind, StartTime, TraceId, WallOffset};

use crate::error::Error;
use crate::process;
use crate::session::Start;
use crate::symbols::Symbols;

/// Properties that are known later. The header has room for so many bytes of each, and they are overwritten in place.
pub(crate) const LATER: [(&str, usize); 5] = [
    ("stacks", 14),
    ("dropped", 30),
    ("unknown", 60),
    ("build-ids", 1024),
    ("warning", 200),
];

/// What a recording wrote.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Summary {
    /// What the names of its files begin with.
    pub filebase: PathBuf,
    /// The number of events.
    pub events: u64,
    /// The number of different stacks.
    pub traces: u32,
    /// How many blocks were drawn to be recorded and are not, as the thread that writes could not follow.
    pub dropped: u64,
}

/// The files, locked.
#[derive(Debug)]
pub(crate) struct Files {
    filebase: PathBuf,
    hpm: PathBuf,
    hpd: PathBuf,
    traces: TraceWriter<BufWriter<File>>,
    events: EventWriter<BufWriter<File>>,
    /// The `.hpm` file again, to overwrite parts of its header.
    header: File,
    /// The values of [`LATER`] as they are on disk, and where they are.
    later: [(u64, Vec<u8>); LATER.len()],
    whole_stacks: bool,
    /// The trace of each stack that was written.
    trace_of: HashMap<u32, TraceId>,
    /// How many blocks had been dropped before.
    dropped_before: u64,
    dropped: u64,
    pub(crate) began: Instant,
}

/// An event that is to be written.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Entry {
    pub(crate) at: Instant,
    pub(crate) size: u64,
    pub(crate) stack: u32,
    pub(crate) kind: EventKind,
}

impl Files {
    /// Creates and locks the files of a recording that begins now. Files that are there are overwritten.
    pub(crate) fn create(options: &Start) -> Result<Self, Error> {
        let filebase = &options.filebase;
        let path = |extension: &str| {
            let mut path = filebase.to_owned().into_os_string();
            path.push(extension);
            PathBuf::from(path)
        };
        let (hpm, hpd) = (path(".hpm"), path(".hpd"));
        // What is there is emptied once it is sure that nobody writes it.
        let file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(false)
            .open(&hpm);
        let file = file.map_err(|error| Error::file(&hpm, error))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(Error::InUse(filebase.clone())),
            Err(TryLockError::Error(error)) => return Err(Error::file(&hpm, error)),
        }
        file.set_len(0).map_err(|error| Error::file(&hpm, error))?;
        let log = File::create(&hpd).map_err(|error| Error::file(&hpd, error))?;

        let mut header = Vec::new();
        let later = LATER.map(|(key, width)| (key.to_owned(), " ".repeat(width)));
        let properties: Properties = options.properties.iter().cloned().chain(later).collect();
        let start = StartTime::from(SystemTime::now());
        let failed = |error| Error::file(&hpm, to_io(error));
        TraceWriter::with_properties(&mut header, start, &options.rates, &properties)
            .map_err(failed)?;
        let later = places(&header).map(|place| (place, Vec::new()));
        let again = file.try_clone().map_err(|error| Error::file(&hpm, error))?;
        process::close_in_children([&file, &again, &log]);
        let traces =
            TraceWriter::with_properties(BufWriter::new(file), start, &options.rates, &properties);
        let mut files = Self {
            traces: traces.map_err(failed)?,
            filebase: filebase.clone(),
            events: EventWriter::new(BufWriter::new(log)),
            header: again,
            later,
            whole_stacks: options.whole_stacks,
            trace_of: HashMap::new(),
            dropped_before: 0,
            dropped: 0,
            began: Instant::now(),
            hpm,
            hpd,
        };
        files.flush_traces()?;
        Ok(files)
    }

    /// Counts the blocks that are dropped from now on, of which so many were dropped before.
    pub(crate) fn count_drops_from(&mut self, dropped: u64) {
        self.dropped_before = dropped;
    }

    /// Begins with the blocks that are live, by their stacks and sizes, in an order that does not depend on addresses.
    pub(crate) fn carry_over(
        &mut self,
        symbols: &mut Symbols,
        mut live: Vec<(u32, u64)>,
    ) -> Result<(), Error> {
        live.sort_unstable();
        let entry = |&(stack, size): &(u32, u64)| Entry {
            at: self.began,
            size,
            stack,
            kind: EventKind::Allocation,
        };
        let entries: Vec<_> = live.iter().map(entry).collect();
        self.write(symbols, &entries)
    }

    /// Writes events, and before them the stacks that are new: the program can be killed between the two.
    pub(crate) fn write(&mut self, symbols: &mut Symbols, entries: &[Entry]) -> Result<(), Error> {
        for entry in entries {
            if !self.trace_of.contains_key(&entry.stack) {
                let frames = symbols.stack(entry.stack, self.whole_stacks);
                let trace = self.traces.intern_outermost_first(frames);
                let trace = trace.map_err(|error| Error::file(&self.hpm, to_io(error)))?;
                self.trace_of.insert(entry.stack, trace);
            }
        }
        self.flush_traces()?;
        let mut write = || {
            for entry in entries {
                let wall = entry.at.saturating_duration_since(self.began);
                let trace = self.trace_of.get(&entry.stack).copied();
                let wall = WallOffset::from(wall);
                self.events.write(wall, trace, entry.size, entry.kind)?;
            }
            self.events.flush()
        };
        write().map_err(|error| Error::file(&self.hpd, to_io(error)))
    }

    fn flush_traces(&mut self) -> Result<(), Error> {
        let flushed = self.traces.flush();
        flushed.map_err(|error| Error::file(&self.hpm, to_io(error)))
    }

    /// Writes what is known by now of the recording into its header.
    pub(crate) fn describe(
        &mut self,
        walk: &str,
        symbols: &Symbols,
        dropped: u64,
    ) -> Result<(), Error> {
        self.dropped = dropped - self.dropped_before;
        let quality = symbols.quality();
        let mut values = [const { String::new() }; LATER.len()];
        walk.clone_into(&mut values[0]);
        if self.dropped > 0 {
            values[1] = format!("{} blocks", self.dropped);
        }
        if quality.without_symbol > 0 {
            values[2] = format!(
                "{} of {} addresses have no symbol",
                quality.without_symbol, quality.addresses
            );
            values[3] = quality.build_ids.join(" ");
        }
        if 2 * quality.without_symbol > quality.addresses {
            "most addresses have no symbol: is the program stripped? The example symbolize finds them in an unstripped one"
                .clone_into(&mut values[4]);
        } else if 2 * quality.without_line > quality.addresses {
            "most addresses have no line: build with debug = \"line-tables-only\" in the profile"
                .clone_into(&mut values[4]);
        }
        for (((at, on_disk), value), (_, width)) in self.later.iter_mut().zip(values).zip(LATER) {
            let mut value = value.into_bytes();
            value.resize(width, b' ');
            if *on_disk != value {
                let written = write_at(&self.header, &value, *at);
                written.map_err(|error| Error::file(&self.hpm, error))?;
                *on_disk = value;
            }
        }
        Ok(())
    }

    /// Lets go of the files.
    pub(crate) fn close(self) -> Summary {
        let summary = Summary {
            filebase: self.filebase,
            events: self.events.position().events(),
            traces: self.traces.count(),
            dropped: self.dropped,
        };
        // What was to be written is: buffers are flushed after each round.
        let (traces, _) = self.traces.into_inner().into_parts();
        let (log, _) = self.events.into_inner().into_parts();
        process::closing([&self.header, &traces, &log]);
        // A child can have the file open still, and with it the lock.
        let _ = traces.unlock();
        summary
    }
}

/// Where the values of [`LATER`] are, in a header that ends with them.
fn places(header: &[u8]) -> [u64; LATER.len()] {
    let mut end = header.len();
    let mut places = [0; LATER.len()];
    for (place, (key, width)) in places.iter_mut().zip(LATER).rev() {
        *place = (end - width) as u64;
        // Key and value come after their lengths, of 7 bits a byte.
        let length = if width < 128 { 1 } else { 2 };
        end -= width + length + key.len() + 1;
    }
    places
}

#[cfg(unix)]
fn write_at(file: &File, bytes: &[u8], at: u64) -> io::Result<()> {
    std::os::unix::fs::FileExt::write_all_at(file, bytes, at)
}

/// Elsewhere a write somewhere else moves the place of the next one: the properties stay blank.
#[cfg(not(unix))]
fn write_at(_: &File, _: &[u8], _: u64) -> io::Result<()> {
    Ok(())
}

fn to_io(error: EncodeError) -> io::Error {
    match error {
        EncodeError::Io(error) => error,
        error => io::Error::other(error),
    }
}

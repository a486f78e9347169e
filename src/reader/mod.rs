//! [`Reader`]: a profile, and what is derived from it.

mod digests;
mod open;
mod traces;

use std::fmt;
use std::ops::ControlFlow;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, OnceLock, PoisonError, RwLock};
use std::time::SystemTime;

use crate::bytes::{Access, Bytes, FileIdentity};
use crate::digest::{Digest, Source, UnusedDigest};
use crate::error::{DecodeError, Error, FileKind, Result, Taint};
use crate::filebase::Filebase;
use crate::log::{Log, LogEvents, Pass};
use crate::raw::hpm::Header;
use crate::raw::rates::SamplingRates;
use crate::raw::{LogPosition, Properties};
use crate::time::{Clock, Elapsed, StartTime};
use crate::trace::TraceTable;
use traces::{EarlierHpm, HpmSummary};

/// A profile: its log, its traces and its digest.
///
/// Opening a profile reads headers only. Results that need a pass over a file (the table of traces, the end of the
/// log, a digest) are computed on the first call and shared by all later calls, from any thread.
///
/// A reader sees the log with the length that it had when it was opened. To see events that were written since,
/// [reopen](Self::reopen) the profile and [continue](Self::events_from) at the last position. If another recording
/// overwrites the files, calls that read them fail with [`Error::Replaced`].
///
/// ```
/// use heapprof::Reader;
///
/// let reader = Reader::open("examples/data/demo")?;
/// let traces = reader.traces()?;
/// let live = reader.live_at_end()?;
/// let (heaviest, bytes) = live.iter().next().unwrap();
/// let trace = traces.trace(heaviest.unwrap()).unwrap();
/// assert_eq!(trace.innermost().unwrap().to_string(), "/srv/app/workloads/shop/customers.py:11");
/// assert_eq!(bytes, 8_149_808);
/// # Ok::<(), heapprof::Error>(())
/// ```
pub struct Reader {
    files: Option<Filebase>,
    /// How `.hpm` and `.hpc` are loaded.
    access: Access,
    hpm: Bytes,
    /// The identity of the `.hpm` file, and so of the recording.
    recording: Option<Arc<FileIdentity>>,
    header: Header,
    log: Option<Log>,
    /// The rates in use.
    rates: SamplingRates,
    /// The clock in use.
    clock: Clock,
    traces: OnceLock<TraceTable>,
    hpm_summary: OnceLock<HpmSummary>,
    earlier_hpm: EarlierHpm,
    end: OnceLock<LogPosition>,
    log_damage: OnceLock<Vec<DecodeError>>,
    digest: RwLock<Option<CurrentDigest>>,
    /// The digest of the `.hpc` file when the profile was opened, in use or not.
    stored: Option<Digest>,
    unused: Option<UnusedDigest>,
    /// Serialises the initialisers of all cells but `hpm_summary`, and of `digest`.
    init_lock: Mutex<()>,
    /// Serialises the initialisers of `hpm_summary`. Other initialisers need it, so it is locked after `init_lock`.
    summary_lock: Mutex<()>,
}

/// The digest in use.
struct CurrentDigest {
    digest: Digest,
    /// Whether it is a whole digest of this log, with the rates and the clock in use. A caller can set any digest.
    fits: bool,
}

impl Reader {
    fn new(files: Option<Filebase>, hpm: Bytes, header: Header, log: Option<Log>) -> Self {
        Self {
            files,
            access: Access::Read,
            hpm,
            recording: None,
            rates: header.rates.clone(),
            clock: Clock::default(),
            header,
            log,
            traces: OnceLock::new(),
            hpm_summary: OnceLock::new(),
            earlier_hpm: EarlierHpm::default(),
            end: OnceLock::new(),
            log_damage: OnceLock::new(),
            digest: RwLock::default(),
            stored: None,
            unused: None,
            init_lock: Mutex::default(),
            summary_lock: Mutex::default(),
        }
    }

    /// Reads the log as one in which everything was recorded, whatever rates the file states.
    ///
    /// That is true of every recording by heapprof 1.0 on 64-bit Linux, unless a probability is 0.
    ///
    /// ```
    /// use heapprof::Reader;
    ///
    /// let reader = Reader::open("examples/data/demo")?.unsampled();
    /// assert!(reader.rates().is_unsampled());
    /// # Ok::<(), heapprof::Error>(())
    /// ```
    #[must_use]
    pub fn unsampled(self) -> Self {
        self.with_rates(SamplingRates::unsampled())
    }

    /// Uses these rates for estimates, whatever rates the file states.
    ///
    /// A digest with other rates is no longer used.
    #[must_use]
    pub fn with_rates(mut self, rates: SamplingRates) -> Self {
        if self.rates == rates {
            return self;
        }
        self.rates = rates;
        self.reset()
    }

    /// Uses this clock for all times: of events, queries, digests, snapshots and series. The default is the clock
    /// as recorded.
    ///
    /// A digest with another clock is no longer used.
    ///
    /// ```
    /// use heapprof::{Clock, DigestOptions, Elapsed, Reader};
    /// use std::time::Duration;
    ///
    /// let reader = Reader::open("examples/data/demo")?.with_clock(Clock::Corrected);
    /// let last = reader.events()?.last().unwrap()?;
    /// assert_eq!(last.elapsed, Elapsed::from_micros(21_813_948));
    /// let digest = reader.digest_with(DigestOptions::default().interval(Duration::from_secs(1)))?;
    /// assert_eq!(digest.clock(), Some(Clock::Corrected));
    /// # Ok::<(), heapprof::Error>(())
    /// ```
    #[must_use]
    pub fn with_clock(mut self, clock: Clock) -> Self {
        let clock = clock.normalized();
        if self.clock == clock {
            return self;
        }
        self.clock = clock;
        self.reset()
    }

    /// Drops all results that depend on the rates and the clock.
    fn reset(mut self) -> Self {
        self.end = OnceLock::new();
        self.log_damage = OnceLock::new();
        self.digest = RwLock::default();
        if self.stored.is_some() {
            self.unused = None;
        }
        self.use_stored_digest()
    }

    /// When the recording began.
    #[doc(alias = "initialTime")]
    pub fn start(&self) -> StartTime {
        self.header.start
    }

    /// Facts about the recording, such as the program's command. None if the recorder was heapprof 1.0.
    pub fn properties(&self) -> &Properties {
        &self.header.properties
    }

    /// The sampling rates that the `.hpm` file states.
    #[doc(alias = "samplingRate")]
    pub fn stated_rates(&self) -> &SamplingRates {
        &self.header.rates
    }

    /// The sampling rates in use: those that the file states, unless the caller chose others.
    pub fn rates(&self) -> &SamplingRates {
        &self.rates
    }

    /// The clock in use: the clock as recorded, unless the caller chose another.
    pub fn clock(&self) -> Clock {
        self.clock
    }

    /// The path of a file of the profile, whether the file exists or not; `None` for a profile [from
    /// bytes](Self::from_bytes).
    #[doc(alias = "filebase")]
    pub fn path(&self, file: FileKind) -> Option<PathBuf> {
        self.files.as_ref().map(|files| files.file(file))
    }

    pub(crate) fn log(&self) -> Result<&Log> {
        self.log.as_ref().ok_or_else(|| {
            let path = self.path(FileKind::Hpd).unwrap_or_default();
            match Log::open(&path, None) {
                Err(error) => error.or_missing(FileKind::Hpd),
                // The log was created after the profile was opened.
                Ok(_) => Error::Missing {
                    path,
                    file: FileKind::Hpd,
                },
            }
        })
    }

    /// The events of the log, from the first, through a buffer of 256 KB. A cut log [ends](LogEvents::cut) without
    /// an error.
    ///
    /// An event whose estimate with the [`rates`](Self::rates) in use is over 2⁶³ − 1 ends the log.
    ///
    /// ```
    /// use heapprof::Reader;
    ///
    /// let reader = Reader::open("examples/data/demo")?;
    /// let mut allocated = 0;
    /// for event in reader.events()? {
    ///     let event = event?;
    ///     if !event.is_free() {
    ///         allocated += event.size;
    ///     }
    /// }
    /// assert_eq!(allocated, 39_830_786);
    /// # Ok::<(), heapprof::Error>(())
    /// ```
    ///
    /// # Errors
    /// If the profile has no log.
    #[doc(alias("hpd", "HPD"))]
    #[inline]
    pub fn events(&self) -> Result<LogEvents<'_>> {
        self.events_from(LogPosition::START)
    }

    /// The events of the log from the [position](LogEvents::position) of another iterator over it, which can have
    /// another clock. O(1), unless this reader closes gaps and the position is of another clock: then the log is read up
    /// to it. To follow a log that is still being written, [reopen](Self::reopen) the profile: this reader
    /// sees the log with the length that it had when it was opened.
    ///
    /// # Errors
    /// If the profile has no log.
    #[inline]
    pub fn events_from(&self, position: LogPosition) -> Result<LogEvents<'_>> {
        Ok(self.log()?.events(&self.rates, self.on_clock(position)?))
    }

    /// A pass over the log from `position` on, with the clock and the rates in use.
    pub(crate) fn pass_from(&self, position: LogPosition) -> Result<Pass<'_>> {
        let position = self.on_clock(position)?;
        Ok(Pass::new(self.log()?, &self.rates, position))
    }

    /// The position with the times of the clock in use. Reads the log up to it if it does not have the gaps that the
    /// clock closes.
    fn on_clock(&self, position: LogPosition) -> Result<LogPosition> {
        let clock = self.clock;
        if position.clock() == clock {
            return Ok(position);
        }
        if !matches!(clock, Clock::GapsClosed(_)) || position.events() == 0 {
            return Ok(position.on(clock, 0));
        }
        let mut pass = Pass::new(self.log()?, &self.rates, LogPosition::start(clock));
        while pass.next_chunk()?.is_some() {
            let ((), at) = pass.fold((), |(), event| {
                if event.number > position.events() {
                    ControlFlow::Break(())
                } else {
                    ControlFlow::Continue(())
                }
            });
            if at.is_some() {
                break;
            }
        }
        Ok(position.on(clock, pass.position().closed()))
    }

    fn source(&self) -> Result<Source<'_>> {
        Ok(Source {
            log: self.log()?,
            rates: &self.rates,
            clock: self.clock,
            traces: self.trace_count()?,
            start: self.start(),
            // Not the end that a digest states: a digest of another log would choose an interval with millions
            // of snapshots.
            end: self.end.get().copied(),
        })
    }

    fn known_end(&self) -> Option<LogPosition> {
        let digested = || self.fitting_digest().and_then(|digest| digest.end());
        self.end.get().copied().or_else(digested)
    }

    /// The end of the log: its bytes and events, and both clocks at the last whole event.
    ///
    /// It comes from a digest that fits, or the first call makes a pass over the log.
    ///
    /// # Errors
    /// If the log cannot be read.
    pub fn end(&self) -> Result<LogPosition> {
        match self.known_end() {
            Some(end) => Ok(end),
            None => get_or_try_init(&self.end, &self.init_lock, || {
                let end = self.source()?.find_end(|_| ControlFlow::Continue(()))?;
                Ok(end.unwrap_or_default())
            })
            .copied(),
        }
    }

    /// The length of the recording, in elapsed time.
    ///
    /// heapprof's recorder rounds each time difference down to whole microseconds. So this is shorter than the
    /// program ran, by about half a microsecond for each event, unless the [corrected clock](Clock::Corrected) is in
    /// use.
    ///
    /// # Errors
    /// As [`end`](Self::end).
    #[doc(alias = "elapsedTime")]
    pub fn elapsed(&self) -> Result<Elapsed> {
        Ok(self.end()?.elapsed())
    }

    /// The wall clock at the last event; `None` if it is out of the range of [`SystemTime`].
    ///
    /// # Errors
    /// As [`end`](Self::end).
    #[doc(alias = "finalTime")]
    pub fn end_time(&self) -> Result<Option<SystemTime>> {
        Ok(self.start().at(self.end()?.wall()))
    }

    /// The damage of the `.hpm` file, then that of the log: the first record of each kind, in the order of the file.
    /// Empty for a whole profile.
    ///
    /// Needs the [table](Self::traces). The damage of the log comes from a digest that fits, or the first call makes
    /// a pass over the log.
    ///
    /// # Errors
    /// As [`end`](Self::end).
    pub fn damage(&self) -> Result<Vec<DecodeError>> {
        let of_traces = self.traces()?.damage();
        let of_log = get_or_try_init(&self.log_damage, &self.init_lock, || {
            let digested = self.fitting_digest();
            match digested.as_ref().and_then(Digest::log_damage) {
                Some(damage) => Ok(damage.to_vec()),
                None => self.source()?.damage(),
            }
        })?;
        Ok(of_traces.iter().chain(of_log).copied().collect())
    }

    /// Whether there is any [damage](Self::damage) other than a cut. Results that are derived from damaged input are
    /// [marked](crate::Usage::is_damaged) too.
    ///
    /// ```
    /// use heapprof::Reader;
    ///
    /// assert!(!Reader::open("examples/data/demo")?.is_damaged()?);
    /// assert!(Reader::open("tests/data/huge_corrupt/huge_corrupt")?.is_damaged()?);
    /// # Ok::<(), heapprof::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`end`](Self::end).
    pub fn is_damaged(&self) -> Result<bool> {
        Ok(Taint::of(&self.damage()?).0)
    }
}

impl fmt::Debug for Reader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reader")
            .field("files", &self.files)
            .field("start", &self.start())
            .field("rates", &self.rates)
            .field("clock", &self.clock)
            .field("digest", &self.current_digest())
            .field("unused_digest", &self.unused)
            .finish_non_exhaustive()
    }
}

/// A fallible `get_or_init`. `lock` serialises the initialisers, so that only one of them runs.
fn get_or_try_init<'a, T>(
    cell: &'a OnceLock<T>,
    lock: &Mutex<()>,
    init: impl FnOnce() -> Result<T>,
) -> Result<&'a T> {
    if let Some(value) = cell.get() {
        return Ok(value);
    }
    let _guard = lock.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(value) = cell.get() {
        return Ok(value);
    }
    let value = init()?;
    Ok(cell.get_or_init(|| value))
}

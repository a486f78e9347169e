//! [`Reader`]: opens a profile and hands out everything else.

mod digests;
mod open;

use std::fmt;
use std::ops::ControlFlow;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, OnceLock, PoisonError, RwLock};
use std::time::SystemTime;

use crate::bytes::{Access, Bytes, FileIdentity};
use crate::digest::{Digest, Source, UnusedDigest};
use crate::error::{DecodeError, DecodeErrorKind, Error, FileKind, Result, Taint};
use crate::filebase::Filebase;
use crate::log::{Log, LogEvents, Pass};
use crate::raw::hpm::Header;
use crate::raw::rates::SamplingRates;
use crate::raw::{LogPosition, TraceLog};
use crate::time::{Clock, Elapsed, StartTime};
use crate::trace::TraceTable;

/// A profile: the front door to its log, its traces and its digest.
///
/// Opening one reads headers only. What takes a pass over a file (the table of traces, the end of
/// the log, a digest) is made when it is first asked for, once, also if several threads ask; the
/// rest of the library takes it from there. A reader sees the log as long as it was when it was
/// opened; for what was written since, [reopen](Self::reopen) it and [go on](Self::events_from) from
/// where the first stood. If another recording is written over this one, what is asked of the files
/// then fails with [`Error::Replaced`].
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
    /// How `.hpm` and `.hpc` come to memory.
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
    counted: OnceLock<Counted>,
    end: OnceLock<LogPosition>,
    log_damage: OnceLock<Vec<DecodeError>>,
    digest: RwLock<Option<InUse>>,
    /// What the `.hpc` file held when the profile was opened, in use or not.
    stored: Option<Digest>,
    unused: Option<UnusedDigest>,
    /// Held while something is made that must be made once.
    making: Mutex<()>,
    /// Held while traces are counted, which what is made asks for: taken after `making`.
    counting: Mutex<()>,
}

/// What a pass over the log needs to know of the `.hpm` file.
#[derive(Debug)]
struct Counted {
    /// How many whole traces it has.
    traces: u32,
    /// Its header is damaged, or the traces end in a damaged one. Names are not looked at.
    damaged: Taint,
}

/// The digest in use, and whether it is a whole one of this log, with these rates: a caller can give
/// any.
struct InUse {
    digest: Digest,
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
            counted: OnceLock::new(),
            end: OnceLock::new(),
            log_damage: OnceLock::new(),
            digest: RwLock::default(),
            stored: None,
            unused: None,
            making: Mutex::new(()),
            counting: Mutex::new(()),
        }
    }

    /// Takes the log as one in which everything was recorded, whatever rates the file states.
    ///
    /// A recording that heapprof 1.0 made on 64-bit Linux is such a one, unless a probability is 0.
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

    /// Makes estimates with these rates, whatever rates the file states.
    ///
    /// A digest that was made with others is not used any more.
    #[must_use]
    pub fn with_rates(mut self, rates: SamplingRates) -> Self {
        if self.rates == rates {
            return self;
        }
        self.rates = rates;
        self.forget()
    }

    /// Tells all times on this clock: those of events, of what is live at a moment, of digests and
    /// their snapshots, of series. By default they are as recorded.
    ///
    /// A digest that was made with another clock is not used any more.
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
        if self.clock == clock {
            return self;
        }
        self.clock = clock;
        self.forget()
    }

    /// Drops what was made with other rates or another clock.
    fn forget(mut self) -> Self {
        self.end = OnceLock::new();
        self.log_damage = OnceLock::new();
        self.digest = RwLock::default();
        if self.stored.is_some() {
            self.unused = None;
        }
        self.consider_stored()
    }

    /// When the recording began.
    #[doc(alias = "initialTime")]
    pub fn start(&self) -> StartTime {
        self.header.start
    }

    /// The sampling rates that the `.hpm` file states.
    #[doc(alias = "samplingRate")]
    pub fn stated_rates(&self) -> &SamplingRates {
        &self.header.rates
    }

    /// The sampling rates that estimates are made with: those stated, unless the caller chose
    /// others.
    pub fn rates(&self) -> &SamplingRates {
        &self.rates
    }

    /// The clock whose times are told: that which was recorded, unless the caller chose another.
    pub fn clock(&self) -> Clock {
        self.clock
    }

    /// Where one of the profile's files is, or would be; `None` if the profile was [made from
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
                // It has come since.
                Ok(_) => Error::Missing {
                    path,
                    file: FileKind::Hpd,
                },
            }
        })
    }

    /// The events of the log, from the first, through a buffer of 256 KB. A log that is cut just
    /// [ends](LogEvents::cut).
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

    /// The events of the log from where another iterator over it [stood](LogEvents::position), on
    /// whatever clock: so a log can be followed that is still being written. [Reopen](Self::reopen) the
    /// profile for that; this reader sees the log as long as it was when it was opened.
    ///
    /// # Errors
    /// If the profile has no log.
    #[inline]
    pub fn events_from(&self, position: LogPosition) -> Result<LogEvents<'_>> {
        Ok(self.log()?.events(&self.rates, position.on(self.clock)))
    }

    /// The stacks of all traces, made on the first call: one pass over the `.hpm` file.
    ///
    /// A cut or damaged file keeps every whole trace before the damage, and the table [says
    /// so](TraceTable::damage).
    ///
    /// # Errors
    /// [`Error::Replaced`] if another recording was written over the file.
    #[doc(alias("rawTrace", "trace", "hpm", "warmRawTraceCache"))]
    pub fn traces(&self) -> Result<&TraceTable> {
        once(&self.traces, &self.making, || {
            self.in_hpm(TraceTable::from_log)
        })
    }

    /// What `look` finds in the `.hpm` file.
    fn in_hpm<'s, T>(&'s self, look: impl FnOnce(&TraceLog<'s>) -> T) -> Result<T> {
        let mapped = self.recording.iter();
        let mapped = mapped.filter(|_| self.access == Access::Map);
        let check = || mapped.clone().try_for_each(|recording| recording.check());
        // A mapped file that was shortened would end the process, and one that was rewritten is of another
        // recording.
        check()?;
        let found = look(&TraceLog::with_header(&self.hpm, self.header.clone()));
        check()?;
        Ok(found)
    }

    /// How many whole traces there are.
    pub(crate) fn trace_count(&self) -> Result<u32> {
        Ok(self.counted()?.traces)
    }

    fn counted(&self) -> Result<&Counted> {
        once(&self.counted, &self.counting, || match self.traces.get() {
            Some(table) => {
                let names = |error: &&DecodeError| error.kind() == DecodeErrorKind::NotUtf8;
                Ok(Counted {
                    traces: u32::try_from(table.len()).unwrap_or(u32::MAX),
                    damaged: Taint::of(table.damage().iter().filter(|it| !names(it))),
                })
            }
            None => self.in_hpm(|log| {
                let (traces, end) = log.count_and_damage();
                let damage = [log.header_damage(), end];
                Counted {
                    traces,
                    damaged: Taint::of(damage.iter().flatten()),
                }
            }),
        })
    }

    /// Whether what a pass over the log needs of the `.hpm` file is damaged.
    pub(crate) fn traces_damaged(&self) -> Result<Taint> {
        Ok(self.counted()?.damaged)
    }

    /// A pass over the log from `position` on, with the clock and the rates in use.
    pub(crate) fn pass_from(&self, position: LogPosition) -> Result<Pass<'_>> {
        Ok(Pass::new(self.log()?, &self.rates, position.on(self.clock)))
    }

    fn source(&self) -> Result<Source<'_>> {
        Ok(Source {
            log: self.log()?,
            rates: &self.rates,
            clock: self.clock,
            traces: self.trace_count()?,
            start: self.start(),
            // Not the end that a digest states: if it is of another log after all, its end would choose an
            // interval with millions of snapshots.
            end: self.end.get().copied(),
        })
    }

    fn known_end(&self) -> Option<LogPosition> {
        let digested = || self.fitting_digest().and_then(|digest| digest.end());
        self.end.get().copied().or_else(digested)
    }

    /// The end of the log: its bytes and events, and both clocks at the last whole event.
    ///
    /// Known from a digest, or by a pass over the log on the first call.
    ///
    /// # Errors
    /// If the log cannot be read.
    pub fn end(&self) -> Result<LogPosition> {
        match self.known_end() {
            Some(end) => Ok(end),
            None => once(&self.end, &self.making, || {
                let end = self.source()?.find_end(|_| ControlFlow::Continue(()))?;
                Ok(end.unwrap_or_default())
            })
            .copied(),
        }
    }

    /// How long the recording is, on the clock that only grows.
    ///
    /// heapprof's recorder cuts each difference of time to whole microseconds, so this is about
    /// half a microsecond an event less than the program ran, unless the [corrected
    /// clock](Clock::Corrected) is in use.
    ///
    /// # Errors
    /// As [`end`](Self::end).
    #[doc(alias = "elapsedTime")]
    pub fn elapsed(&self) -> Result<Elapsed> {
        Ok(self.end()?.elapsed())
    }

    /// What the wall clock showed at the last event; `None` where the platform cannot hold it.
    ///
    /// # Errors
    /// As [`end`](Self::end).
    #[doc(alias = "finalTime")]
    pub fn end_time(&self) -> Result<Option<SystemTime>> {
        Ok(self.start().at(self.end()?.wall()))
    }

    /// What is wrong with the `.hpm` file and the log: the first record of each kind, in the order
    /// of the files. Empty for a whole profile.
    ///
    /// Makes the [table](Self::traces) if it is not made yet, and knows what is wrong with the log
    /// from a digest, or by a pass over it on the first call.
    ///
    /// # Errors
    /// As [`end`](Self::end).
    pub fn damage(&self) -> Result<Vec<DecodeError>> {
        let of_the_traces = self.traces()?.damage();
        let of_the_log = once(&self.log_damage, &self.making, || {
            let digested = self.fitting_digest();
            match digested.as_ref().and_then(Digest::log_damage) {
                Some(damage) => Ok(damage.to_vec()),
                None => self.source()?.damage(),
            }
        })?;
        Ok(of_the_traces.iter().chain(of_the_log).copied().collect())
    }

    /// Whether there is any [damage](Self::damage) besides that the recording just ends. What is
    /// derived from damaged input [says so](crate::Usage::is_damaged) itself.
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
            .field("digest", &self.digest_at_hand())
            .field("unused_digest", &self.unused)
            .finish_non_exhaustive()
    }
}

/// What is in `place`, made by `make` if it is not there: once, though that can fail, for whoever
/// makes it holds `making`.
fn once<'a, T>(
    place: &'a OnceLock<T>,
    making: &Mutex<()>,
    make: impl FnOnce() -> Result<T>,
) -> Result<&'a T> {
    if let Some(made) = place.get() {
        return Ok(made);
    }
    let _making = making.lock().unwrap_or_else(PoisonError::into_inner);
    match place.get() {
        Some(made) => Ok(made),
        None => {
            let made = make()?;
            Ok(place.get_or_init(|| made))
        }
    }
}

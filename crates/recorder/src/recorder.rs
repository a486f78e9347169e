//! [`Recorder`] says what to record, [`Recording`] is what runs.

use std::path::{Path, PathBuf};
use std::time::Duration;

use heapprof::SamplingRates;

use crate::error::Error;
use crate::files::Summary;
use crate::place::Place;
use crate::sampling;
use crate::session::{Session, Start};
use crate::stack::DEEPEST;

/// What to record, and where to.
///
/// ```
/// # #[global_allocator]
/// # static ALLOCATOR: heapprof_recorder::Allocator = heapprof_recorder::Allocator::system();
/// use heapprof_recorder::Recorder;
///
/// let folder = std::env::temp_dir().join(format!("recorder-{}", std::process::id()));
/// std::fs::create_dir_all(&folder)?;
/// let recording = Recorder::new(folder.join("run")).everything().start()?;
/// let kept = vec![0_u8; 5_000_000];
/// let summary = recording.finish()?;
///
/// let reader = heapprof::Reader::open(&summary.filebase)?;
/// assert_eq!(reader.live_at_end()?.total(), 5_000_000);
/// # drop(kept);
/// # std::fs::remove_dir_all(folder)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone)]
pub struct Recorder {
    filebase: PathBuf,
    rates: SamplingRates,
    depth: usize,
    whole_stacks: bool,
    seed: u64,
    properties: Vec<(String, String)>,
}

impl Recorder {
    /// How many bytes there are for each one that is drawn, by default: 512 KiB.
    pub const EVERY_BYTES: u64 = 512 * 1024;

    /// The files are written so often. Under load they can be a second behind.
    pub const PERIOD: Duration = Duration::from_millis(100);

    /// A recording into `filebase.hpm` and `filebase.hpd`, which are overwritten; a sample of
    /// [`EVERY_BYTES`](Self::EVERY_BYTES), with stacks of up to 128 addresses.
    pub fn new(filebase: impl Into<PathBuf>) -> Self {
        Self {
            filebase: filebase.into(),
            rates: sampling::by_bytes(Self::EVERY_BYTES),
            depth: 128,
            whole_stacks: false,
            seed: 0,
            properties: Vec::new(),
        }
    }

    /// Records a block of s bytes with a probability of about 1 − e^(−s/`mean`): as if one byte in `mean` were drawn.
    ///
    /// The probability is the same for all sizes of a range, of which there are two for each doubling, and stands in the
    /// file, so that estimates are right on average. 0 and 1 record everything.
    #[must_use]
    pub fn every_bytes(self, mean: u64) -> Self {
        self.rates(sampling::by_bytes(mean))
    }

    /// Records every block.
    #[must_use]
    pub fn everything(self) -> Self {
        self.rates(SamplingRates::unsampled())
    }

    /// Records blocks with the probabilities of their sizes.
    #[must_use]
    pub fn rates(mut self, rates: SamplingRates) -> Self {
        self.rates = rates;
        self
    }

    /// How many addresses are kept of a stack, from the inner end: 1 to 512. A stack that is deeper has the frame `(cut)`
    /// at its outer end.
    #[must_use]
    pub fn depth(mut self, depth: usize) -> Self {
        self.depth = depth.clamp(1, DEEPEST);
        self
    }

    /// Keeps the frames of the standard library at both ends of a stack. By default they are left out, so that a block
    /// belongs to the line that asked for it.
    #[must_use]
    pub fn whole_stacks(mut self, whole_stacks: bool) -> Self {
        self.whole_stacks = whole_stacks;
        self
    }

    /// What the choice of blocks depends on, beside the order in which threads first allocate. By default 0.
    #[must_use]
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }

    /// Adds a property of the recording, such as the version of the program.
    #[must_use]
    pub fn property(mut self, key: impl Into<String>, value: impl Into<String>) -> Self {
        self.properties.push((key.into(), value.into()));
        self
    }

    /// Starts recording. What was allocated before is not part of it, nor are the frees of that.
    ///
    /// It takes the time of parsing some debug information, and one thread, `heap recorder`.
    ///
    /// # Errors
    /// [`Error::NotInstalled`] if [`Allocator`](crate::Allocator) is not the global allocator,
    /// [`Error::AlreadyRecording`] if a recording of this process runs, [`Error::InUse`] if another process records into
    /// these files, and [`Error::File`] if they cannot be created.
    pub fn start(self) -> Result<Recording, Error> {
        let _inside = Place::Recorder.enter();
        let start = self.with(None);
        let session = Session::start(&start)?;
        Ok(Recording {
            recorder: self,
            session,
            is_over: false,
        })
    }

    pub(crate) fn filebase(mut self, filebase: PathBuf) -> Self {
        self.filebase = filebase;
        self
    }

    fn with(&self, continues: Option<&Path>) -> Start {
        let command = std::env::args_os().map(|argument| argument.to_string_lossy().into_owned());
        let command = command.collect::<Vec<_>>().join(" ");
        let host = std::fs::read_to_string("/proc/sys/kernel/hostname").ok();
        let known = [
            (
                "recorder",
                concat!("heapprof-recorder ", env!("CARGO_PKG_VERSION")).to_owned(),
            ),
            ("command", command),
            ("pid", std::process::id().to_string()),
        ];
        let host = host.map(|name| ("host", name.trim_end().to_owned()));
        let continues =
            continues.map(|before| ("continues", before.to_string_lossy().into_owned()));
        let known = known.into_iter().chain(host).chain(continues);
        let known = known.map(|(key, value)| (key.to_owned(), value));
        Start {
            filebase: self.filebase.clone(),
            rates: self.rates.clone(),
            depth: self.depth,
            whole_stacks: self.whole_stacks,
            seed: self.seed,
            period: Self::PERIOD,
            properties: known.chain(self.properties.iter().cloned()).collect(),
        }
    }
}

/// A recording that runs. It ends when this is dropped, and when the program exits.
#[derive(Debug)]
#[must_use = "the recording ends when this is dropped"]
pub struct Recording {
    recorder: Recorder,
    session: Session,
    is_over: bool,
}

impl Recording {
    /// What the names of its files begin with.
    pub fn filebase(&self) -> &Path {
        &self.recorder.filebase
    }

    /// Has everything written that was recorded so far: the files can be read while they grow.
    ///
    /// # Errors
    /// [`Error::Ended`] if the recording has ended, and [`Error::Forked`] in a child.
    pub fn flush(&self) -> Result<(), Error> {
        self.session.flush()
    }

    /// Goes on in new files, and completes the ones so far. Every event is in one or the other.
    ///
    /// The new files begin with the blocks that live, as allocations at their start: they answer by themselves what is
    /// live and who allocated it. The property `continues` names the files before.
    ///
    /// # Errors
    /// As [`Recorder::start`] if the new files cannot be had, and then the recording goes on in the old ones;
    /// [`Error::File`] if these could not be completed; [`Error::Ended`] and [`Error::Forked`] as
    /// [`flush`](Self::flush).
    pub fn rotate(&mut self, filebase: impl Into<PathBuf>) -> Result<Summary, Error> {
        let filebase = filebase.into();
        let _inside = Place::Recorder.enter();
        let next = self.recorder.clone().filebase(filebase);
        let start = next.with(Some(&self.recorder.filebase));
        let summary = self.session.rotate(&start)?;
        self.recorder = next;
        Ok(summary)
    }

    /// Ends the recording and completes its files.
    ///
    /// # Errors
    /// [`Error::File`] if they could not be written, so that the recording ended early; [`Error::Forked`] in a child, at
    /// once.
    pub fn finish(mut self) -> Result<Summary, Error> {
        self.is_over = true;
        self.session.end()
    }
}

impl Drop for Recording {
    fn drop(&mut self) {
        if !self.is_over {
            // Whoever wants to know of errors finishes.
            let _ = self.session.end();
        }
    }
}

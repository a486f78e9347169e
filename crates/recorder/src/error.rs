//! [`Error`].

use std::io;
use std::path::PathBuf;

/// Why something cannot be recorded.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// One recording at a time.
    #[error("this process is recorded already, into {}", .0.display())]
    AlreadyRecording(PathBuf),
    /// Another process records into these files, or another recording of this one has not let go of them yet.
    #[error("{}: another process records into it", .0.display())]
    InUse(PathBuf),
    /// [`Allocator`](crate::Allocator) is not the program's global allocator, so there is nothing to record.
    #[error("heapprof_recorder::Allocator is not the global allocator of this program")]
    NotInstalled,
    /// A child of the recorded process, made by `fork`, has none of its recording.
    #[error("the recording is that of the parent process")]
    Forked,
    /// A file cannot be created or written. What was written before is whole.
    #[error("{}: {source}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What failed.
        source: io::Error,
    },
    /// The thread that writes could not be started, or does not answer.
    #[error("the thread that writes the recording: {0}")]
    Thread(io::Error),
    /// The recording ended early, and [its error](Self::File) was told already.
    #[error("the recording has ended")]
    Ended,
}

impl Error {
    pub(crate) fn file(path: &std::path::Path, source: io::Error) -> Self {
        Self::File {
            path: path.to_owned(),
            source,
        }
    }
}

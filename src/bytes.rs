//! [`Bytes`], a whole file in memory, and [`RandomAccessFile`], a file that is read in parts. The only file with
//! `unsafe`.

use std::borrow::Cow;
use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom};
use std::ops::Deref;
use std::path::{Path, PathBuf};

use memmap2::Mmap;

use crate::error::{Error, Result};

/// A whole file in memory: mapped, or owned.
#[derive(Debug)]
pub(crate) enum Bytes {
    Mapped(Mmap),
    Owned(Cow<'static, [u8]>),
}

/// How a whole file is brought into memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Access {
    /// Mapped: pages are read when they are used. A program that shortens the file meanwhile ends this process.
    Map,
    /// Read as a whole.
    Read,
}

impl Access {
    /// The access for a file that may be replaced while it is in use: not every system replaces a mapped file.
    pub(crate) fn replaceable(self) -> Self {
        if cfg!(windows) { Self::Read } else { self }
    }
}

impl Bytes {
    /// The bytes of an open file.
    pub(crate) fn of(file: &File, path: &Path, access: Access) -> Result<Self> {
        match access {
            Access::Map => Self::map(file, path),
            Access::Read => Self::read(file, path),
        }
    }

    /// The bytes of an open file whose earlier content was `known`. If its first `head` bytes are unchanged, reads only
    /// what follows `known`.
    pub(crate) fn of_grown(
        mut file: &File,
        path: &Path,
        access: Access,
        known: &[u8],
        head: usize,
    ) -> Result<Self> {
        let mut rest = || {
            let mut bytes = Vec::new();
            file.seek(SeekFrom::Start(0))?;
            file.take(head as u64).read_to_end(&mut bytes)?;
            let has_grown = file.metadata()?.len() >= known.len() as u64;
            if known.get(..head) != Some(&bytes) || !has_grown {
                return Ok(None);
            }
            bytes.extend_from_slice(known.get(head..).unwrap_or_default());
            file.seek(SeekFrom::Start(known.len() as u64))?;
            file.read_to_end(&mut bytes)?;
            Ok(Some(bytes))
        };
        if access == Access::Read
            && let Some(bytes) = rest().map_err(Error::io(path, "read"))?
        {
            return Ok(Self::Owned(bytes.into()));
        }
        Self::of(file, path, access)
    }

    fn read(mut file: &File, path: &Path) -> Result<Self> {
        let mut bytes = Vec::new();
        file.seek(SeekFrom::Start(0))
            .and_then(|_| file.read_to_end(&mut bytes))
            .map_err(Error::io(path, "read"))?;
        Ok(Self::Owned(bytes.into()))
    }

    fn map(file: &File, path: &Path) -> Result<Self> {
        let len = file.metadata().map_err(Error::io(path, "read"))?.len();
        if len == 0 {
            // Not every system maps an empty file.
            return Ok(Self::Owned(Cow::Borrowed(&[])));
        }
        // SAFETY: a mapping is sound while no program changes or shortens the file, which no program can
        // promise for another. The bytes are only read as plain bytes by the bounds-checked readers of `raw`, so
        // a change gives wrong bytes, reported like any damage, and no access out of bounds. A file that is
        // *shortened* raises SIGBUS. So the log, which a recorder may be writing, is never mapped, and the
        // documentation of every method that maps states what its caller promises and which method needs no
        // promise. `Mmap::map` reads the length itself, so a change since the line above does not matter, and
        // the bytes are borrowed from `self`, so they do not outlive the mapping. Miri maps no files; it runs
        // the readers on bytes in memory.
        #[expect(unsafe_code, reason = "see SAFETY")]
        let map = unsafe { Mmap::map(file) };
        map.map(Self::Mapped).map_err(Error::io(path, "map"))
    }
}

impl Deref for Bytes {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match self {
            Self::Mapped(map) => map,
            Self::Owned(bytes) => bytes,
        }
    }
}

/// Opens a regular file for reading. A directory has no bytes; those of a pipe or a device may never come or never
/// end.
pub(crate) fn open(path: &Path) -> Result<File> {
    let metadata = fs::metadata(path).map_err(Error::io(path, "open"))?;
    if !metadata.is_file() {
        return Err(Error::NotAFile {
            path: path.to_owned(),
        });
    }
    File::open(path).map_err(Error::io(path, "open"))
}

/// A file that several threads can read at any offset.
#[derive(Debug)]
pub(crate) struct RandomAccessFile {
    file: File,
    path: PathBuf,
    len: u64,
    /// Serialises the readers where the system cannot read at an offset.
    #[cfg(not(any(unix, windows)))]
    seeking: std::sync::Mutex<()>,
}

impl RandomAccessFile {
    /// Opens a file. Bytes that are appended later are not read.
    pub(crate) fn open(path: &Path) -> Result<Self> {
        Self::of(open(path)?, path)
    }

    fn of(file: File, path: &Path) -> Result<Self> {
        let len = file.metadata().map_err(Error::io(path, "read"))?.len();
        Ok(Self {
            file,
            path: path.to_owned(),
            len,
            #[cfg(not(any(unix, windows)))]
            seeking: std::sync::Mutex::default(),
        })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// The length when the file was opened.
    pub(crate) fn len(&self) -> u64 {
        self.len
    }

    /// Fills `buffer` from `offset` on, up to the length when the file was opened. Returns how many bytes it read.
    pub(crate) fn read(&self, buffer: &mut [u8], offset: u64) -> Result<usize> {
        let left = usize::try_from(self.len.saturating_sub(offset)).unwrap_or(usize::MAX);
        let wanted = buffer.len().min(left);
        let mut filled = 0;
        while let Some(rest) = buffer
            .get_mut(filled..wanted)
            .filter(|rest| !rest.is_empty())
        {
            match self.read_some(rest, offset.saturating_add(filled as u64)) {
                Ok(0) => break, // The file was shortened.
                Ok(read) => filled += read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(Error::io(&self.path, "read")(error)),
            }
        }
        Ok(filled)
    }

    #[cfg(unix)]
    fn read_some(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        std::os::unix::fs::FileExt::read_at(&self.file, buffer, offset)
    }

    #[cfg(windows)]
    fn read_some(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        std::os::windows::fs::FileExt::seek_read(&self.file, buffer, offset)
    }

    #[cfg(not(any(unix, windows)))]
    fn read_some(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        use std::io::{Read, Seek, SeekFrom};
        let _one = self.seeking.lock().map_err(|_| io::ErrorKind::Other)?;
        (&self.file).seek(SeekFrom::Start(offset))?;
        (&self.file).read(buffer)
    }
}

/// Recognises a file that was replaced or rewritten: the open file, and its first bytes. The file may grow.
#[derive(Debug)]
pub(crate) struct FileIdentity {
    file: RandomAccessFile,
    head: Vec<u8>,
}

impl FileIdentity {
    /// The identity of a file that begins with `head`, as no other file does.
    pub(crate) fn of(file: File, path: &Path, head: &[u8]) -> Result<Self> {
        let (file, head) = (RandomAccessFile::of(file, path)?, head.to_owned());
        Ok(Self { file, head })
    }

    /// Checks that the open file was neither shortened nor rewritten. Another file may have its name by now.
    ///
    /// # Errors
    /// [`Error::Replaced`] if it was.
    pub(crate) fn check(&self) -> Result<()> {
        let path = self.file.path();
        let now = self.file.file.metadata();
        let now = now.map_err(Error::io(path, "read"))?;
        if now.len() < self.file.len() || !self.begins(&self.file)? {
            return Err(self.replaced());
        }
        Ok(())
    }

    /// Checks that the file that has the name now is the same recording.
    ///
    /// # Errors
    /// [`Error::Replaced`] if it is another, or none.
    pub(crate) fn check_name(&self) -> Result<()> {
        match RandomAccessFile::open(self.file.path()) {
            Ok(named) if self.begins(&named)? => Ok(()),
            _ => Err(self.replaced()),
        }
    }

    fn begins(&self, file: &RandomAccessFile) -> Result<bool> {
        let mut head = vec![0; self.head.len()];
        let read = file.read(&mut head, 0)?;
        Ok(read == head.len() && head == self.head)
    }

    fn replaced(&self) -> Error {
        let path = self.file.path().to_owned();
        Error::Replaced { path }
    }
}

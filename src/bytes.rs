//! Where bytes come from: a file that is mapped or read piece by piece, or memory. The only file
//! with `unsafe`.

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

impl Bytes {
    /// Maps a file; nothing is read until it is looked at.
    pub(crate) fn map(path: &Path) -> Result<Self> {
        Self::map_open(&open(path)?, path)
    }

    /// Maps a file, or reads it where one that is mapped could not be replaced.
    pub(crate) fn map_replaceable(file: &File, path: &Path) -> Result<Self> {
        if cfg!(windows) {
            let mut bytes = Vec::new();
            let mut file = file;
            file.seek(SeekFrom::Start(0))
                .and_then(|_| file.read_to_end(&mut bytes))
                .map_err(Error::io(path, "read"))?;
            return Ok(Self::Owned(bytes.into()));
        }
        Self::map_open(file, path)
    }

    fn map_open(file: &File, path: &Path) -> Result<Self> {
        let len = file.metadata().map_err(Error::io(path, "read"))?.len();
        if len == 0 {
            // There is nothing to map, and not every system maps nothing.
            return Ok(Self::Owned(Cow::Borrowed(&[])));
        }
        // SAFETY: a mapping is sound as long as nobody changes or shortens the file under it, which
        // no program can promise for another. What is mapped here is only ever read as plain bytes
        // through the bounds-checked readers of `raw`, so that a change can give wrong bytes, which
        // are reported like any damage, but no access out of bounds. A file that is *shortened*
        // raises SIGBUS; so the log, which somebody may be writing, is never mapped, and `.hpm` and
        // `.hpc` files are appended to, or replaced as a whole, but not shortened by their writers.
        // `Mmap::map` asks for the length itself, so it does not matter what happened since it was
        // asked for above; and what is read is borrowed from `self`, so that it does not outlive
        // the mapping. Miri, which maps no files, runs all that reads these bytes from memory.
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

/// Opens a file for reading, if it is one: not a directory, whose bytes cannot be read, and not a
/// pipe or a device, whose bytes may never end or never come.
pub(crate) fn open(path: &Path) -> Result<File> {
    let metadata = fs::metadata(path).map_err(Error::io(path, "open"))?;
    if !metadata.is_file() {
        return Err(Error::NotAFile {
            path: path.to_owned(),
        });
    }
    File::open(path).map_err(Error::io(path, "open"))
}

/// A file that is read piece by piece, from several threads at once.
#[derive(Debug)]
pub(crate) struct Pieces {
    file: File,
    path: PathBuf,
    len: u64,
    /// Where the system has no way to read at an offset, one reads at a time.
    #[cfg(not(any(unix, windows)))]
    seeking: std::sync::Mutex<()>,
}

impl Pieces {
    /// Opens a file. What is appended to it later is not looked at.
    pub(crate) fn open(path: &Path) -> Result<Self> {
        let file = open(path)?;
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

    /// How many bytes there were when the file was opened.
    pub(crate) fn len(&self) -> u64 {
        self.len
    }

    /// Fills `buffer` from `offset` on, up to the length that the file had; gives how much.
    pub(crate) fn read(&self, buffer: &mut [u8], offset: u64) -> Result<usize> {
        let left = usize::try_from(self.len.saturating_sub(offset)).unwrap_or(usize::MAX);
        let wanted = buffer.len().min(left);
        let mut filled = 0;
        while let Some(rest) = buffer
            .get_mut(filled..wanted)
            .filter(|rest| !rest.is_empty())
        {
            match self.read_some(rest, offset.saturating_add(filled as u64)) {
                Ok(0) => break, // somebody shortened it
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

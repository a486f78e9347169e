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

/// How the bytes of a whole file come to memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Access {
    /// As they are looked at. Who shortens the file meanwhile ends this process.
    Map,
    /// All at once.
    Read,
}

impl Access {
    /// For a file that is to be replaced while it is in use, which not every system allows for one
    /// that is mapped.
    pub(crate) fn replaceable(self) -> Self {
        if cfg!(windows) { Self::Read } else { self }
    }
}

impl Bytes {
    /// The bytes of a file that is open.
    pub(crate) fn of(file: &File, path: &Path, access: Access) -> Result<Self> {
        match access {
            Access::Map => Self::map(file, path),
            Access::Read => Self::read(file, path),
        }
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
            // There is nothing to map, and not every system maps nothing.
            return Ok(Self::Owned(Cow::Borrowed(&[])));
        }
        // SAFETY: a mapping is sound as long as nobody changes or shortens the file under it, which
        // no program can promise for another. What is mapped here is only ever read as plain bytes
        // through the bounds-checked readers of `raw`, so that a change can give wrong bytes, which
        // are reported like any damage, but no access out of bounds. A file that is *shortened*
        // raises SIGBUS. So the log, which somebody may be writing, is never mapped, and the
        // documentation of what maps says what its caller promises and what does the same without.
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

/// A file that stays open, to tell whether its bytes are still those of then. It may have grown.
#[derive(Debug)]
pub(crate) struct Witness {
    file: Pieces,
    head: Vec<u8>,
}

impl Witness {
    /// For a file that begins with `head`, which nothing else does.
    pub(crate) fn of(file: File, path: &Path, head: &[u8]) -> Result<Self> {
        let (file, head) = (Pieces::of(file, path)?, head.to_owned());
        Ok(Self { file, head })
    }

    /// Whether the open file is as it was: it was neither shortened nor written anew. A file that
    /// has taken its name since does not matter.
    ///
    /// # Errors
    /// If it is not as it was.
    pub(crate) fn check(&self) -> Result<()> {
        let path = self.file.path();
        let now = self.file.file.metadata();
        let now = now.map_err(Error::io(path, "read"))?;
        if now.len() < self.file.len() || !self.begins(&self.file)? {
            return Err(self.replaced());
        }
        Ok(())
    }

    /// The same for the file that has the name now.
    ///
    /// # Errors
    /// If it is another one, or none.
    pub(crate) fn check_name(&self) -> Result<()> {
        match Pieces::open(self.file.path()) {
            Ok(named) if self.begins(&named)? => Ok(()),
            _ => Err(self.replaced()),
        }
    }

    fn begins(&self, file: &Pieces) -> Result<bool> {
        let mut head = vec![0; self.head.len()];
        let read = file.read(&mut head, 0)?;
        Ok(read == head.len() && head == self.head)
    }

    fn replaced(&self) -> Error {
        let path = self.file.path().to_owned();
        Error::Replaced { path }
    }
}

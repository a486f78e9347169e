//! Writes a file so that whoever looks finds the old one or the new one, never half of one.
//!
//! The new file is written under another name beside the old one, flushed to the disk, and renamed.
//! A process that is killed leaves its temporary file behind; the next that replaces the same file
//! takes it away. It tells one that is still being written by the lock its writer holds.

use std::ffi::OsStr;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, BufWriter};
use std::path::{Path, PathBuf};
use std::process;
use std::sync::atomic::{AtomicU64, Ordering};

use super::checksum::Checksum;
use crate::error::{EncodeError, Error, Result};

/// How much is written at once.
const BUFFER: usize = 256 * 1024;

/// A file that is to take the place of another: written under a temporary name, locked, and removed
/// unless it is [placed](Self::place).
#[derive(Debug)]
pub(crate) struct Replacement {
    path: PathBuf,
    target: PathBuf,
    temporary: PathBuf,
    file: File,
    placed: bool,
}

impl Drop for Replacement {
    fn drop(&mut self) {
        if !self.placed {
            // If even this fails, the next run takes it away.
            let _ = fs::remove_file(&self.temporary);
        }
    }
}

impl Replacement {
    /// Begins a file for `path`, whether or not there is one. Who may read `beside`, or the old one
    /// if there is one, may read it.
    pub(crate) fn begin(path: &Path, beside: &Path) -> Result<Self> {
        // A name that is a link goes on being one.
        let target = followed(path);
        if fs::metadata(&target).is_ok_and(|found| !found.is_file()) {
            // A device can be replaced by who may do all, and is missed then.
            let path = path.to_owned();
            return Err(Error::NotAFile { path });
        }
        let replacement =
            create(path, &target).map_err(Error::not_stored(path, "create a file beside it"))?;
        if let Ok(model) = fs::metadata(&target).or_else(|_| fs::metadata(beside)) {
            // Where that cannot be, it is no reason to have none.
            let _ = replacement.file.set_permissions(model.permissions());
        }
        Ok(replacement)
    }

    /// Writes it, with a buffer.
    pub(crate) fn write<'f>(
        &'f self,
        write: impl FnOnce(BufWriter<&'f File>) -> Result<BufWriter<&'f File>>,
    ) -> Result<()> {
        write(BufWriter::with_capacity(BUFFER, &self.file))
            .and_then(|out| match out.into_inner() {
                Ok(_) => Ok(()),
                Err(error) => Err(EncodeError::Io(error.into_error()).into()),
            })
            .map_err(|error| match error {
                Error::Encode(EncodeError::Io(source)) => {
                    Error::not_stored(&self.path, "write")(source)
                }
                other => other,
            })
    }

    /// The file, to be read.
    pub(crate) fn file(&self) -> &File {
        &self.file
    }

    /// Lets it take the place of the old one, if there is one.
    pub(crate) fn place(mut self) -> Result<()> {
        self.file
            .sync_all()
            .map_err(Error::not_stored(&self.path, "write"))?;
        fs::rename(&self.temporary, &self.target)
            .map_err(Error::not_stored(&self.path, "replace"))?;
        self.placed = true;
        // The new name reaches the disk with the folder. Not every system can do that.
        if let Ok(folder) = File::open(folder_of(&self.target)) {
            let _ = folder.sync_all();
        }
        Ok(())
    }
}

/// Where a chain of links leads, whether or not a file is there.
fn followed(path: &Path) -> PathBuf {
    let mut target = path.to_owned();
    for _ in 0..40 {
        match fs::read_link(&target) {
            Ok(next) => target = folder_of(&target).join(next),
            Err(_) => break,
        }
    }
    target
}

fn folder_of(path: &Path) -> &Path {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    }
}

/// What the names of temporary files for `target` begin with: short, however long its own is.
fn prefix(target: &Path) -> String {
    let mut checksum = Checksum::new();
    checksum.update(target.file_name().unwrap_or_default().as_encoded_bytes());
    format!(".hpc-{:08x}-", checksum.finish())
}

fn create(path: &Path, target: &Path) -> io::Result<Replacement> {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let prefix = prefix(target);
    sweep(folder_of(target), &prefix);
    for _ in 0..100 {
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("{prefix}{}-{count}.tmp", process::id());
        let temporary = folder_of(target).join(name);
        let mut options = OpenOptions::new();
        options.read(true).write(true).create_new(true);
        // Until it is known who may read it, nobody else may.
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let file = match options.open(&temporary) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => continue,
            Err(error) => return Err(error),
        };
        // Where nothing can be locked, nobody sweeps.
        let _ = file.lock();
        // Another process may have swept it away before it was locked.
        if is_same(&file, &temporary) {
            return Ok(Replacement {
                path: path.to_owned(),
                target: target.to_owned(),
                temporary,
                file,
                placed: false,
            });
        }
    }
    Err(io::ErrorKind::AlreadyExists.into())
}

/// Whether a file is still what stands at its path, as far as the system can tell.
fn is_same(file: &File, path: &Path) -> bool {
    let (Ok(file), Ok(there)) = (file.metadata(), fs::symlink_metadata(path)) else {
        return false;
    };
    #[cfg(unix)]
    let same = {
        use std::os::unix::fs::MetadataExt;
        (file.dev(), file.ino()) == (there.dev(), there.ino())
    };
    #[cfg(not(unix))]
    let same = file.is_file() && there.is_file();
    same
}

/// Takes away what killed processes have left.
fn sweep(folder: &Path, prefix: &str) {
    let is_ours = |name: &OsStr| {
        let name = name.to_string_lossy();
        name.starts_with(prefix) && name.ends_with(".tmp")
    };
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        if !is_ours(&entry.file_name()) || !entry.file_type().is_ok_and(|kind| kind.is_file()) {
            continue;
        }
        // That of a recording which nobody may write is such a file too.
        let path = entry.path();
        let opened = File::open(&path).or_else(|_| OpenOptions::new().write(true).open(&path));
        let Ok(file) = opened else {
            continue;
        };
        match file.try_lock() {
            // It may have been placed meanwhile, and the name be another's by now.
            Ok(()) if is_same(&file, &path) => {
                let _ = fs::remove_file(&path);
            }
            Ok(()) | Err(TryLockError::WouldBlock | TryLockError::Error(_)) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn begun(path: &Path, text: &str) -> Result<Replacement> {
        let replacement = Replacement::begin(path, Path::new("none"))?;
        replacement.write(|mut out| {
            out.write_all(text.as_bytes()).map_err(EncodeError::Io)?;
            Ok(out)
        })?;
        Ok(replacement)
    }

    fn put(path: &Path, text: &str) -> Result<()> {
        begun(path, text)?.place()
    }

    fn names(folder: &Path) -> Vec<String> {
        let mut names: Vec<_> = fs::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    #[test]
    fn the_new_one_takes_the_place_of_the_old_one_and_nothing_stays_behind() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("run.hpc");
        put(&path, "one").unwrap();
        put(&path, "two").unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "two");
        assert_eq!(names(folder.path()), ["run.hpc"]);
    }

    #[test]
    fn a_failure_keeps_the_old_one() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("run.hpc");
        put(&path, "one").unwrap();
        let replacement = Replacement::begin(&path, &path).unwrap();
        let full = replacement.write(|mut out| {
            out.write_all(b"half").map_err(EncodeError::Io)?;
            Err(EncodeError::Io(io::Error::other("disk full")).into())
        });
        assert_eq!(
            full.unwrap_err().to_string(),
            format!(
                "{}: cannot write: disk full: the digest is not stored; Reader::digest needs no file",
                path.display()
            )
        );
        drop(replacement);
        assert_eq!(fs::read_to_string(&path).unwrap(), "one");
        assert_eq!(names(folder.path()), ["run.hpc"]);

        // Not placed: somebody thought better of it.
        drop(begun(&path, "two").unwrap());
        assert_eq!(fs::read_to_string(&path).unwrap(), "one");
        assert_eq!(names(folder.path()), ["run.hpc"]);

        let nowhere = folder.path().join("none").join("run.hpc");
        assert!(matches!(put(&nowhere, "x"), Err(Error::NotStored { .. })));
    }

    #[test]
    fn what_a_killed_process_left_is_taken_away_but_not_what_is_written() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("run.hpc");
        let prefix = prefix(&path);
        let left = folder.path().join(format!("{prefix}1-0.tmp"));
        let in_use = folder.path().join(format!("{prefix}1-1.tmp"));
        let of_another = folder.path().join(".hpc-00000000-1-1.tmp");
        for file in [&left, &in_use, &of_another] {
            fs::write(file, "half").unwrap();
        }
        let holder = File::options().write(true).open(&in_use).unwrap();
        holder.lock().unwrap();
        put(&path, "new").unwrap();
        assert!(!left.exists() && in_use.exists() && of_another.exists());
        drop(holder);
        put(&path, "newer").unwrap();
        assert!(!in_use.exists());
    }

    #[cfg(unix)]
    #[test]
    fn a_name_that_is_a_link_goes_on_being_one() {
        let folder = tempfile::tempdir().unwrap();
        let other = tempfile::tempdir().unwrap();
        let target = other.path().join("target.hpc");
        let path = folder.path().join("run.hpc");
        std::os::unix::fs::symlink(&target, &path).unwrap();
        put(&path, "one").unwrap();
        put(&path, "two").unwrap();
        assert_eq!(fs::read_link(&path).unwrap(), target);
        assert_eq!(fs::read_to_string(&target).unwrap(), "two");
        assert_eq!(names(other.path()), ["target.hpc"]);
    }

    #[cfg(unix)]
    #[test]
    fn what_was_left_of_a_recording_that_nobody_may_write_is_taken_away_too() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("run.hpc");
        let left = folder.path().join(format!("{}1-0.tmp", prefix(&path)));
        fs::write(&left, "half").unwrap();
        fs::set_permissions(&left, fs::Permissions::from_mode(0o444)).unwrap();
        put(&path, "new").unwrap();
        assert_eq!(names(folder.path()), ["run.hpc"]);
    }

    #[cfg(unix)]
    #[test]
    fn a_device_and_a_folder_are_not_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("run.hpc");
        fs::create_dir(folder.path().join("target")).unwrap();
        // As little a file as a device is, and no harm is done if it is replaced.
        let socket = folder.path().join("socket");
        let _bound = std::os::unix::net::UnixListener::bind(&socket).unwrap();
        for target in ["socket", "target"] {
            std::os::unix::fs::symlink(target, &path).unwrap();
            let error = put(&path, "new").unwrap_err();
            assert!(matches!(&error, Error::NotAFile { path: told } if *told == path));
            fs::remove_file(&path).unwrap();
        }
        assert_eq!(names(folder.path()), ["socket", "target"]);
        // A link in a circle leads to no file.
        std::os::unix::fs::symlink("run.hpc", &path).unwrap();
        assert!(put(&path, "new").is_ok());
    }

    #[cfg(unix)]
    #[test]
    fn who_may_read_the_old_one_or_the_recording_may_read_the_new_one() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("run.hpc");
        let log = folder.path().join("run.hpd");
        fs::write(&log, "").unwrap();
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        let set = |path: &Path, mode| {
            fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
        };
        set(&log, 0o600);
        let replacement = Replacement::begin(&path, &log).unwrap();
        assert_eq!(mode(&replacement.temporary), 0o600);
        replacement.place().unwrap();
        assert_eq!(mode(&path), 0o600);
        set(&path, 0o640);
        Replacement::begin(&path, &log).unwrap().place().unwrap();
        assert_eq!(mode(&path), 0o640);
    }

    #[test]
    fn a_long_name_has_a_short_temporary_one() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(format!("{}.hpc", "x".repeat(250)));
        put(&path, "one").unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "one");
    }
}

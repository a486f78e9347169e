//! [`Replacement`]: replaces a file atomically. Readers find the old file or the new one, never a part of one.
//!
//! The new file is written under a temporary name in the same folder, flushed to the disk, and renamed. A process
//! that is killed leaves its temporary file behind, and the next replacement of the same file removes it. Writers
//! hold a lock on their temporary files, which are not removed.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufWriter};
use std::path::{Path, PathBuf};
use std::process;
use std::sync::atomic::{AtomicU64, Ordering};

use super::checksum::checksum;
use crate::error::{EncodeError, Error, Result};

/// The size of the write buffer.
const BUFFER_BYTES: usize = 256 * 1024;

/// A new file with a temporary name. Dropping it removes the file, unless it was [committed](Self::commit).
#[derive(Debug)]
pub(crate) struct Replacement {
    /// The name that the caller gave, for errors.
    path: PathBuf,
    /// The file to replace: `path`, with links followed.
    target: PathBuf,
    temporary: PathBuf,
    file: File,
    is_committed: bool,
}

impl Drop for Replacement {
    fn drop(&mut self) {
        if !self.is_committed {
            // If this fails, the next replacement removes the file.
            let _ = fs::remove_file(&self.temporary);
        }
    }
}

impl Replacement {
    /// Creates the new file for `path`. Copies the permissions of the old file at `path`. If no file exists there,
    /// copies the permissions of `beside`.
    pub(crate) fn begin(path: &Path, beside: &Path) -> Result<Self> {
        let target = resolved(path);
        if fs::metadata(&target).is_ok_and(|found| !found.is_file()) {
            // A privileged user can replace a device such as /dev/null by a file, and breaks the system.
            let path = path.to_owned();
            return Err(Error::NotAFile { path });
        }
        let (temporary, file) =
            create(&target).map_err(Error::not_stored(path, "create a file beside it"))?;
        if let Ok(model) = fs::metadata(&target).or_else(|_| fs::metadata(beside)) {
            // A digest with other permissions is better than none.
            let _ = file.set_permissions(model.permissions());
        }
        Ok(Self {
            path: path.to_owned(),
            target,
            temporary,
            file,
            is_committed: false,
        })
    }

    /// Calls `write` with a buffered writer of the new file, which it must flush.
    pub(crate) fn write<'f, T>(
        &'f self,
        write: impl FnOnce(BufWriter<&'f File>) -> Result<T>,
    ) -> Result<T> {
        write(BufWriter::with_capacity(BUFFER_BYTES, &self.file)).map_err(|error| match error {
            Error::Encode(EncodeError::Io(source)) => {
                Error::not_stored(&self.path, "write")(source)
            }
            other => other,
        })
    }

    /// The new file, for reading.
    pub(crate) fn file(&self) -> &File {
        &self.file
    }

    /// Replaces the old file, if there is one, by the new file.
    pub(crate) fn commit(mut self) -> Result<()> {
        self.file
            .sync_all()
            .map_err(Error::not_stored(&self.path, "write"))?;
        fs::rename(&self.temporary, &self.target)
            .map_err(Error::not_stored(&self.path, "replace"))?;
        self.is_committed = true;
        Ok(())
    }
}

/// The file that a path leads to through links. It need not exist.
fn resolved(path: &Path) -> PathBuf {
    let follow_broken = |_| fs::read_link(path).map(|link| folder_of(path).join(link));
    let target = fs::canonicalize(path).or_else(follow_broken);
    target.unwrap_or_else(|_| path.to_owned())
}

fn folder_of(path: &Path) -> &Path {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    }
}

/// The start of the names of temporary files for `target`. A checksum keeps names short.
fn prefix(target: &Path) -> String {
    let name = target.file_name().unwrap_or_default().as_encoded_bytes();
    format!(".hpc-{:08x}-", checksum(&[name]))
}

/// Creates a locked temporary file for `target`.
fn create(target: &Path) -> io::Result<(PathBuf, File)> {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let (folder, prefix) = (folder_of(target), prefix(target));
    remove_abandoned(folder, &prefix);
    let mut options = OpenOptions::new();
    options.read(true).write(true).create_new(true);
    // Private until the permissions are copied.
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    // A process in another container can have the same id, and so the same names.
    for _ in 0..100 {
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let temporary = folder.join(format!("{prefix}{}-{count}.tmp", process::id()));
        match options.open(&temporary) {
            Ok(file) => {
                // A file system without locks removes no files either.
                let _ = file.lock();
                // Another process may have removed the file before it was locked.
                if is_at(&file, &temporary) {
                    return Ok((temporary, file));
                }
            }
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(error),
        }
    }
    Err(io::ErrorKind::AlreadyExists.into())
}

/// Whether `path` is the name of an open file, as far as the system can tell.
fn is_at(file: &File, path: &Path) -> bool {
    let (Ok(file), Ok(named)) = (file.metadata(), fs::symlink_metadata(path)) else {
        return false;
    };
    #[cfg(unix)]
    let is_same = {
        use std::os::unix::fs::MetadataExt;
        (file.dev(), file.ino()) == (named.dev(), named.ino())
    };
    #[cfg(not(unix))]
    let is_same = file.is_file() && named.is_file();
    is_same
}

/// Removes the temporary files of dead processes.
fn remove_abandoned(folder: &Path, prefix: &str) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        let name = entry.file_name();
        if name.as_encoded_bytes().starts_with(prefix.as_bytes())
            && entry.file_type().is_ok_and(|kind| kind.is_file())
            && let Ok(file) = File::open(&path)
            && file.try_lock().is_ok()
            // Its writer may have renamed the file meanwhile, and another process reused the name.
            && is_at(&file, &path)
        {
            let _ = fs::remove_file(&path);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn written(path: &Path, text: &str) -> Result<Replacement> {
        let replacement = Replacement::begin(path, Path::new("none"))?;
        replacement.write(|mut out| {
            out.write_all(text.as_bytes()).map_err(EncodeError::Io)?;
            Ok(out.flush().map_err(EncodeError::Io)?)
        })?;
        Ok(replacement)
    }

    fn put(path: &Path, text: &str) -> Result<()> {
        written(path, text)?.commit()
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
    fn replaces_a_file_and_leaves_no_other() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("run.hpc");
        put(&path, "one").unwrap();
        put(&path, "two").unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "two");
        assert_eq!(names(folder.path()), ["run.hpc"]);
    }

    #[test]
    fn failure_and_drop_keep_the_old_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("run.hpc");
        put(&path, "one").unwrap();
        let replacement = Replacement::begin(&path, &path).unwrap();
        let full = replacement.write(|mut out| {
            out.write_all(b"half").map_err(EncodeError::Io)?;
            Err::<(), _>(EncodeError::Io(io::Error::other("disk full")).into())
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

        // Dropped without a commit.
        drop(written(&path, "two").unwrap());
        assert_eq!(fs::read_to_string(&path).unwrap(), "one");
        assert_eq!(names(folder.path()), ["run.hpc"]);

        let nowhere = folder.path().join("none").join("run.hpc");
        assert!(matches!(put(&nowhere, "x"), Err(Error::NotStored { .. })));
    }

    #[test]
    fn removes_unlocked_temporary_files_of_the_same_target_only() {
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
    fn writes_through_links_even_if_broken() {
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
    fn removes_read_only_temporary_files() {
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
    fn rejects_devices_and_folders() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("run.hpc");
        fs::create_dir(folder.path().join("target")).unwrap();
        // Like a device it is no file, but a failing test that replaces it does no harm.
        let socket = folder.path().join("socket");
        let _bound = std::os::unix::net::UnixListener::bind(&socket).unwrap();
        for target in ["socket", "target"] {
            std::os::unix::fs::symlink(target, &path).unwrap();
            let error = put(&path, "new").unwrap_err();
            assert!(matches!(&error, Error::NotAFile { path: found } if *found == path));
            fs::remove_file(&path).unwrap();
        }
        assert_eq!(names(folder.path()), ["socket", "target"]);
        // A link to itself is replaced.
        std::os::unix::fs::symlink("run.hpc", &path).unwrap();
        assert!(put(&path, "new").is_ok());
    }

    #[cfg(unix)]
    #[test]
    fn copies_permissions_from_the_old_file_or_the_recording() {
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
        replacement.commit().unwrap();
        assert_eq!(mode(&path), 0o600);
        set(&path, 0o640);
        Replacement::begin(&path, &log).unwrap().commit().unwrap();
        assert_eq!(mode(&path), 0o640);
    }

    #[test]
    fn temporary_names_of_long_names_are_short() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(format!("{}.hpc", "x".repeat(250)));
        put(&path, "one").unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "one");
    }
}

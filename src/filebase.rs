//! The names of a profile's three files.

use std::path::{Path, PathBuf};

use crate::error::FileKind;

/// What the names of a profile's files begin with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Filebase(PathBuf);

impl Filebase {
    /// From a path as people give it: the filebase, or the name of one of the three files.
    pub(crate) fn new(path: &Path) -> Self {
        const KINDS: [FileKind; 3] = [FileKind::Hpm, FileKind::Hpd, FileKind::Hpc];
        let extension = path.extension();
        if KINDS
            .iter()
            .any(|kind| extension == Some(kind.extension().as_ref()))
        {
            return Self(path.with_extension(""));
        }
        // A file can be named so and no more; then the filebase is its folder, with a slash.
        let name = path.file_name();
        if KINDS
            .iter()
            .any(|kind| name == Some(kind.to_string().as_ref()))
        {
            return Self(path.with_file_name(""));
        }
        Self(path.to_owned())
    }

    /// The extension is appended: `run.1` has `run.1.hpm`.
    pub(crate) fn file(&self, kind: FileKind) -> PathBuf {
        let mut name = self.0.clone().into_os_string();
        name.push(".");
        name.push(kind.extension());
        PathBuf::from(name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn extensions_are_appended_and_those_of_a_profile_taken_off() {
        for (given, hpd) in [
            ("run", "run.hpd"),
            ("run.1", "run.1.hpd"),
            ("a/run.1.hpm", "a/run.1.hpd"),
            ("run.hpd", "run.hpd"),
            ("run.hpc", "run.hpd"),
            ("run.hpm.hpm", "run.hpm.hpd"),
            ("run.hpx", "run.hpx.hpd"),
            (".hpm", ".hpd"),
            ("a/.hpd", "a/.hpd"),
        ] {
            let base = Filebase::new(Path::new(given));
            assert_eq!(base.file(FileKind::Hpd), Path::new(hpd), "{given}");
        }
    }
}

//! The names of a profile's three files.

use std::path::{Path, PathBuf};

use crate::error::FileKind;

/// What the names of a profile's files begin with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Filebase(PathBuf);

impl Filebase {
    /// From a path as people give it: the filebase, or the name of one of the three files.
    pub(crate) fn new(path: &Path) -> Self {
        let is_file = path.extension().is_some_and(|extension| {
            [FileKind::Hpm, FileKind::Hpd, FileKind::Hpc]
                .into_iter()
                .any(|kind| extension == kind.extension())
        });
        Self(if is_file {
            path.with_extension("")
        } else {
            path.to_owned()
        })
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
            (".hpm", ".hpm.hpd"),
        ] {
            let base = Filebase::new(Path::new(given));
            assert_eq!(base.file(FileKind::Hpd), Path::new(hpd), "{given}");
        }
    }
}

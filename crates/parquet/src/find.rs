//! [`find`]: the profiles that are named, and those in folders.

use std::collections::{BTreeMap, HashSet};
use std::path::{Path, PathBuf};

use walkdir::WalkDir;

use crate::export::Skipped;

/// A profile to export.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Input {
    /// Its name in the tables.
    pub name: String,
    /// What the names of its files begin with.
    pub filebase: PathBuf,
}

/// What was found.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct Found {
    /// The profiles, in the order of the paths that were given; those of a folder in the order of their names. No name
    /// occurs twice.
    pub inputs: Vec<Input>,
    /// What cannot be a profile, and why.
    pub skipped: Vec<Skipped>,
}

/// Finds profiles: each path is a profile (its path without extension, or one of its files), or a folder, in which all
/// `.hpm` files are found, however deep.
///
/// The name of a profile in a folder is its path from there, without extension and with slashes. A profile that is named
/// itself has its file name, or its whole path if another has that name too. A path that is given twice counts once.
///
/// ```
/// let found = heapprof_parquet::find(["../../examples/data", "../../tests/data/tiny/tiny.hpd"]);
/// let names: Vec<_> = found.inputs.iter().map(|input| &*input.name).collect();
/// assert_eq!(names, ["demo", "tiny"]);
/// ```
pub fn find<P: AsRef<Path>>(paths: impl IntoIterator<Item = P>) -> Found {
    find_in(None, paths)
}

/// As [`find`], but profiles below `root` are named by their paths from there, even if they are named one by one: so
/// that several jobs, each with some of a fleet's profiles, give the names that one job would give.
///
/// ```
/// let found = heapprof_parquet::find_below("../..", ["../../examples/data/demo.hpm"]);
/// assert_eq!(found.inputs[0].name, "examples/data/demo");
/// ```
pub fn find_below<P: AsRef<Path>>(
    root: impl AsRef<Path>,
    paths: impl IntoIterator<Item = P>,
) -> Found {
    find_in(Some(root.as_ref()), paths)
}

fn find_in<P: AsRef<Path>>(root: Option<&Path>, paths: impl IntoIterator<Item = P>) -> Found {
    let mut found = Found::default();
    let mut known = HashSet::new();
    let mut add = |found: &mut Found, name: String, filebase: PathBuf| {
        let below = root.and_then(|root| filebase.strip_prefix(root).ok());
        let name = below.map_or(name, parts);
        if known.insert(filebase.clone()) {
            found.inputs.push(Input { name, filebase });
        }
    };
    for path in paths {
        let path = path.as_ref();
        let filebase = filebase(path);
        if path.is_dir() && !with_suffix(&filebase, ".hpm").exists() {
            for (name, filebase) in in_folder(path, &mut found.skipped) {
                add(&mut found, name, filebase);
            }
        } else {
            let name = filebase.file_name().unwrap_or_default();
            add(&mut found, name.to_string_lossy().into_owned(), filebase);
        }
    }
    rename(&mut found.inputs);
    found
}

/// The path of a profile without the extension of its files.
fn filebase(path: &Path) -> PathBuf {
    match path.extension().and_then(|extension| extension.to_str()) {
        Some("hpm" | "hpd" | "hpc") => path.with_extension(""),
        _ => path.to_owned(),
    }
}

pub(crate) fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut path = path.as_os_str().to_owned();
    path.push(suffix);
    path.into()
}

/// The names and filebases of the profiles in a folder.
fn in_folder(folder: &Path, skipped: &mut Vec<Skipped>) -> Vec<(String, PathBuf)> {
    let mut profiles = Vec::new();
    for entry in WalkDir::new(folder).sort_by_file_name() {
        let entry = match entry {
            Ok(entry) => entry,
            Err(error) => {
                let path = error.path().unwrap_or(folder).to_owned();
                skipped.push(Skipped::new(path, error.to_string()));
                continue;
            }
        };
        let path = entry.path();
        let file = entry.file_name().to_string_lossy();
        if [".gz", ".xz", ".zst"]
            .iter()
            .any(|packed| file.ends_with(&format!(".hpm{packed}")))
        {
            if !path.with_extension("").exists() {
                let why = "compressed: unpack it first".to_owned();
                skipped.push(Skipped::new(path.to_owned(), why));
            }
        } else if path.extension().is_some_and(|extension| extension == "hpm") && !path.is_dir() {
            let filebase = path.with_extension("");
            let name = parts(filebase.strip_prefix(folder).unwrap_or(&filebase));
            profiles.push((name, filebase));
        }
    }
    profiles
}

/// A path as a name: its parts with slashes.
fn parts(path: &Path) -> String {
    let parts: Vec<_> = path.iter().map(|part| part.to_string_lossy()).collect();
    parts.join("/")
}

/// Gives those that share a name their whole paths; and to those that share even this a number.
fn rename(inputs: &mut [Input]) {
    let count = |inputs: &[Input]| {
        let mut counts: BTreeMap<String, u32> = BTreeMap::new();
        for input in inputs {
            *counts.entry(input.name.clone()).or_default() += 1;
        }
        counts
    };
    let counts = count(inputs);
    for input in inputs.iter_mut().filter(|input| counts[&input.name] > 1) {
        input.name = input.filebase.to_string_lossy().replace('\\', "/");
    }
    let counts = count(inputs);
    let mut numbers: BTreeMap<String, u32> = BTreeMap::new();
    for input in inputs.iter_mut().filter(|input| counts[&input.name] > 1) {
        let number = numbers.entry(input.name.clone()).or_default();
        *number += 1;
        input.name = format!("{} ({number})", input.name);
    }
}

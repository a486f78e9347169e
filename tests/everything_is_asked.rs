//! What the crate offers cannot be forgotten in `common/everything.rs`, by way of which any bytes go
//! through everything: each public function of each public type is called there, without exception.
//!
//! The compiler is asked, not the text: a copy of the crate in which every function of
//! `data/public_api.txt` is marked as deprecated is built, and with it `everything.rs`; what it calls
//! shows as a warning. So `len` of one type is not taken for `len` of another. What is not seen: whether
//! a call is ever reached, and functions of traits, such as operators, iterators and conversions.

mod common;

use std::collections::BTreeSet;
use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use common::output::{stderr, succeeded};

const ROOT: &str = env!("CARGO_MANIFEST_DIR");

/// The type and the name of a function, of a line such as `pub const fn name(..)`.
fn function(line: &str) -> Option<&str> {
    let line = line.trim_start().strip_prefix("pub ")?;
    let line = line.strip_prefix("const ").unwrap_or(line);
    line.strip_prefix("fn ")?.split(['(', '<']).next()
}

/// The public functions of types, as listed.
fn listed() -> BTreeSet<String> {
    let list = fs::read_to_string(Path::new(ROOT).join("tests/data/public_api.txt")).unwrap();
    let mut of = "";
    let mut all = BTreeSet::new();
    for line in list.lines() {
        if !line.starts_with(' ') {
            let path = line.split([' ', '<']).nth(1).unwrap_or_default();
            of = path.rsplit("::").next().unwrap();
        } else if let Some(name) = function(line) {
            all.insert(format!("{of}::{name}"));
        }
    }
    all
}

/// A source file in which each public function of a type is marked with the names of both.
fn marked(source: &str) -> String {
    let mut of = String::new();
    let mut marked = String::new();
    for line in source.lines() {
        if line.starts_with("#[cfg(test)]") {
            break;
        }
        if line.contains("include_str!") {
            continue; // a page of the documentation
        }
        if let Some(of_what) = line.strip_prefix("impl") {
            // `impl<W: Write> Writer<W> {`
            let of_what = match of_what.strip_prefix('<') {
                Some(generics) => generics.split_once("> ").map_or("", |(_, rest)| rest),
                None => of_what,
            };
            let end = |c: char| !c.is_alphanumeric();
            let name = of_what.trim_start().split(end).next().unwrap();
            name.clone_into(&mut of);
        }
        if let Some(name) = function(line) {
            writeln!(marked, "#[deprecated(note = \"asked: {of}::{name}\")]").unwrap();
        }
        writeln!(marked, "{line}").unwrap();
    }
    marked
}

/// Copies what `change` makes of all files of a folder.
fn copy(from: &Path, to: &Path, change: fn(&str) -> String) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let (from, to) = (entry.path(), to.join(entry.file_name()));
        if from.is_dir() {
            copy(&from, &to, change);
        } else {
            write(&to, &change(&fs::read_to_string(&from).unwrap()));
        }
    }
}

/// Writes a file unless it is so already, so that nothing is built twice.
fn write(path: &Path, text: &str) {
    if fs::read_to_string(path).is_ok_and(|before| before == text) {
        return;
    }
    fs::write(path, text).unwrap();
}

/// A copy of the crate with marks, and a crate that is `everything.rs`.
fn packages(folder: &Path) {
    let _ = fs::remove_dir_all(folder.join("heapprof/src"));
    copy(
        &Path::new(ROOT).join("src"),
        &folder.join("heapprof/src"),
        marked,
    );
    let lib = folder.join("heapprof/src/lib.rs");
    let text = fs::read_to_string(&lib).unwrap();
    fs::write(lib, format!("#![allow(deprecated)]\n{text}")).unwrap();
    let manifest = common::manifest();
    let section = |name: &str| {
        let (_, section) = manifest.split_once(&format!("\n[{name}]\n")).unwrap();
        let section = section.split("\n[").next().unwrap();
        format!("[{name}]\n{section}\n")
    };
    let package = |name: &str| {
        format!("[package]\nname = \"{name}\"\nversion = \"0.0.0\"\nedition = \"2024\"\n")
    };
    let dependencies = section("dependencies") + &section("features");
    write(
        &folder.join("heapprof/Cargo.toml"),
        &(package("heapprof") + &dependencies),
    );
    fs::create_dir_all(folder.join("src")).unwrap();
    let manifest = package("asked") + "[dependencies]\nheapprof.path = \"heapprof\"\n[workspace]\n";
    write(&folder.join("Cargo.toml"), &manifest);
    let lock = fs::read_to_string(Path::new(ROOT).join("Cargo.lock"));
    if let Ok(lock) = lock
        && !folder.join("Cargo.lock").exists()
    {
        write(&folder.join("Cargo.lock"), &lock);
    }
    let everything = fs::read_to_string(Path::new(ROOT).join("tests/common/everything.rs"));
    write(&folder.join("src/lib.rs"), &everything.unwrap());
}

/// What `everything.rs` calls of the crate.
fn asked() -> BTreeSet<String> {
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("everything_is_asked");
    packages(&folder);
    let output = Command::new(env!("CARGO"))
        .args(["check", "--quiet", "--offline", "--color=never"])
        .arg("--target-dir")
        .arg(folder.join("target"))
        .env_remove("RUSTFLAGS")
        .env_remove("CARGO_ENCODED_RUSTFLAGS")
        .current_dir(&folder)
        .output()
        .unwrap();
    succeeded(&output);
    let told = stderr(&output);
    let met = told.lines().filter_map(|line| line.split_once(": asked: "));
    met.map(|(_, name)| name.to_owned()).collect()
}

#[test]
fn everything_that_is_public_is_asked() {
    let (listed, asked) = (listed(), asked());
    assert!(listed.len() > 400, "{}", listed.len());
    let forgotten: Vec<_> = listed.difference(&asked).collect();
    assert!(
        forgotten.is_empty(),
        "tests/common/everything.rs does not call {forgotten:#?}\n\
         It should, so that any bytes go through them."
    );
    // The names of both are those of the same things.
    let strange: Vec<_> = asked.difference(&listed).collect();
    assert!(strange.is_empty(), "not in the list: {strange:?}");
}

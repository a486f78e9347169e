//! `common/all_queries.rs` calls each public function of each public type, so that the any-bytes tests run all of them.
//!
//! The compiler finds the calls. This test builds `all_queries.rs` against a copy of the crate in which every function
//! of `data/public_api.txt` is deprecated: each call is a warning that names the type and the function. It does not
//! see whether a call is ever reached, nor functions of traits (operators, iterators, conversions).

mod common;

use std::collections::BTreeSet;
use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use common::output::{stderr, succeeded};

const ROOT: &str = env!("CARGO_MANIFEST_DIR");

/// The name of the function that a line such as `pub const fn name(..)` declares.
fn function(line: &str) -> Option<&str> {
    let line = line.trim_start().strip_prefix("pub ")?;
    let line = line.strip_prefix("const ").unwrap_or(line);
    line.strip_prefix("fn ")?.split(['(', '<']).next()
}

/// The public functions in `data/public_api.txt`, as `Type::function`.
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

/// A source file with each public function deprecated, with `Type::function` as the reason.
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
            writeln!(marked, "#[deprecated(note = \"called: {of}::{name}\")]").unwrap();
        }
        writeln!(marked, "{line}").unwrap();
    }
    marked
}

/// Copies a folder, with `change` applied to each file.
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

/// Writes a file unless it has that text already, so that Cargo builds nothing twice.
fn write(path: &Path, text: &str) {
    if fs::read_to_string(path).is_ok_and(|before| before == text) {
        return;
    }
    fs::write(path, text).unwrap();
}

/// Writes the copy of the crate, and a crate that consists of `all_queries.rs`.
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
    let manifest = package("calls") + "[dependencies]\nheapprof.path = \"heapprof\"\n[workspace]\n";
    write(&folder.join("Cargo.toml"), &manifest);
    let lock = fs::read_to_string(Path::new(ROOT).join("Cargo.lock"));
    if let Ok(lock) = lock
        && !folder.join("Cargo.lock").exists()
    {
        write(&folder.join("Cargo.lock"), &lock);
    }
    let all_queries = fs::read_to_string(Path::new(ROOT).join("tests/common/all_queries.rs"));
    write(&folder.join("src/lib.rs"), &all_queries.unwrap());
}

/// The functions that `all_queries.rs` calls, as `Type::function`.
fn called() -> BTreeSet<String> {
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("coverage_of_all_queries");
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
    let warnings = stderr(&output);
    let calls = warnings
        .lines()
        .filter_map(|line| line.split_once(": called: "));
    calls.map(|(_, name)| name.to_owned()).collect()
}

#[test]
fn all_queries_calls_every_public_function() {
    let (listed, called) = (listed(), called());
    assert!(listed.len() > 400, "{}", listed.len());
    let missing: Vec<_> = listed.difference(&called).collect();
    assert!(
        missing.is_empty(),
        "tests/common/all_queries.rs does not call {missing:#?}\n\
         It should, so that the any-bytes tests run them."
    );
    let unlisted: Vec<_> = called.difference(&listed).collect();
    assert!(unlisted.is_empty(), "not in public_api.txt: {unlisted:?}");
}

//! `common/all_queries.rs` calls each public function of each public type, so that the any-bytes tests run all of them.
//!
//! The compiler finds the calls. This test builds `all_queries.rs` against a copy of the crate in which every function
//! is deprecated: each call is a warning that names the type and the function. It does not see whether a call is ever
//! reached, nor functions of traits (operators, iterators, conversions).
//!
//! The same build checks that all public types are `Send` and `Sync`.

mod common;

use std::collections::BTreeSet;
use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use common::output::{stderr, succeeded};
use common::public_api;

const ROOT: &str = env!("CARGO_MANIFEST_DIR");

/// The public functions, as `Type::function`.
fn listed() -> BTreeSet<String> {
    let mut all = BTreeSet::new();
    for item in public_api::items() {
        let of = item.path.rsplit([':', ' ']).next().unwrap();
        all.extend(item.functions().map(|name| format!("{of}::{name}")));
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
        if let Some(name) = public_api::declared(line) {
            name.clone_into(&mut of);
        }
        if let Some(name) = public_api::function(line) {
            writeln!(marked, "#[deprecated(note = \"called: {of}::{name}\")]").unwrap();
        }
        writeln!(marked, "{line}").unwrap();
    }
    marked
}

/// A source file that compiles only if all public types can be sent to other threads and shared by them.
fn shared() -> String {
    let mut text = String::from("const fn shared<T: Send + Sync>() {}\nconst _: () = {\n");
    for item in public_api::items() {
        let name = item.path.rsplit("::").next().unwrap();
        let generics = if item.head.contains(&format!(" {name}<'")) {
            "::<'_>"
        } else if item.head.contains(&format!(" {name}<")) {
            "::<String>"
        } else {
            ""
        };
        let is_type = item.head.contains("pub struct ") || item.head.contains("pub enum ");
        // Its callback is the caller's, and can be bound to a thread.
        if is_type && item.path != "heapprof::DigestOptions" {
            writeln!(text, "    shared::<{}{generics}>();", item.path).unwrap();
        }
    }
    text + "};\n"
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
    write(
        &folder.join("src/lib.rs"),
        &(all_queries.unwrap() + "\nmod shared;\n"),
    );
    write(&folder.join("src/shared.rs"), &shared());
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
    assert!(unlisted.is_empty(), "not public: {unlisted:?}");
}

//! The same answers where a `usize` has 32 bits, and where the first byte of a number is its largest.
//!
//! `common/all_queries.rs` is built as a program for another platform, and must return the hash that it returns here. 32 bits are tried where the target
//! `i686-unknown-linux-musl` is installed and can be run. Big-endian is tried by Miri with
//! `HEAPPROF_MIRI=1`, which takes minutes.

#[path = "common/all_queries.rs"]
mod all_queries;
mod common;

use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use all_queries::all_queries_of;
use common::output::{stdout, succeeded};
use common::{Profile, root};
use heapprof::EventKind;
use heapprof::{DigestOptions, Reader, SamplingRates};

const MAIN: &str = r#"
mod all_queries;

fn main() {
    for base in std::env::args().skip(1) {
        let read = |extension| std::fs::read(format!("{base}.{extension}")).unwrap_or_default();
        let hash = all_queries::all_queries_of(&read("hpm"), &read("hpd"), &read("hpc"));
        println!("{hash:?}");
    }
}
"#;

/// A program that prints what is answered about each filebase that it is given.
fn package() -> PathBuf {
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("platforms");
    fs::create_dir_all(folder.join("src")).unwrap();
    let manifest = format!(
        "[package]\nname = \"platforms\"\nversion = \"0.0.0\"\nedition = \"2024\"\n\
         [dependencies]\nheapprof.path = '{}'\n[workspace]\n\
         [profile.dev]\nopt-level = 1\n",
        root().display()
    );
    fs::write(folder.join("Cargo.toml"), manifest).unwrap();
    if let (Ok(lock), false) = (
        fs::read(root().join("Cargo.lock")),
        folder.join("Cargo.lock").exists(),
    ) {
        fs::write(folder.join("Cargo.lock"), lock).unwrap();
    }
    fs::write(folder.join("src/main.rs"), MAIN).unwrap();
    fs::copy(
        root().join("tests/common/all_queries.rs"),
        folder.join("src/all_queries.rs"),
    )
    .unwrap();
    folder
}

fn cargo(folder: &Path, args: &[&str], toolchain: Option<&str>) -> Command {
    // Not `env!("CARGO")`, which is of one toolchain.
    let mut cargo = Command::new("cargo");
    cargo
        .args(toolchain)
        .args(args)
        .arg("--manifest-path")
        .arg(folder.join("Cargo.toml"))
        .current_dir(root())
        .env("CARGO_TARGET_DIR", folder.join("target"))
        .env_remove("RUSTUP_TOOLCHAIN")
        .env_remove("CARGO")
        .env_remove("RUSTFLAGS")
        .env_remove("CARGO_ENCODED_RUSTFLAGS");
    cargo
}

/// A profile with times, sizes and balances of up to 63 bits, rates, and traces that the table does
/// not have; and a digest of it.
fn large(folder: &Path) -> String {
    let rates = SamplingRates::from_stored([(16, u32::MAX / 2), (1 << 33, 1 << 31)]);
    let mut profile = Profile::sampled(&rates);
    profile.trace(&[("m", 1), ("lib/python3/x.py", u32::MAX)]);
    profile.trace(&[("m", 1), ("m", 1), ("é", 3)]);
    for (micros, trace, size, kind) in [
        (5, 1, 10, EventKind::Allocation),
        (900, 2, 1 << 32, EventKind::Allocation),
        (700, 2, (1 << 40) + 7, EventKind::Allocation),
        (1 << 31, 1 << 29, (1 << 33) - 1, EventKind::Allocation),
        ((1 << 31) + 1, 2, 1 << 32, EventKind::Free),
        (1 << 33, 0, 1 << 62, EventKind::Allocation),
        ((1 << 33) - 5, 0, 1 << 62, EventKind::Allocation),
    ] {
        profile.raw_event(micros, trace, size, kind);
    }
    let base = profile.save(folder);
    let options = DigestOptions::default().interval(std::time::Duration::from_secs(1200));
    Reader::open(&base).unwrap().make_digest(options).unwrap();
    base.to_str().unwrap().to_owned()
}

/// What is answered here.
fn here(bases: &[String]) -> String {
    let mut told = String::new();
    for base in bases {
        let read = |extension: &str| fs::read(format!("{base}.{extension}")).unwrap_or_default();
        let answered = all_queries_of(&read("hpm"), &read("hpd"), &read("hpc"));
        writeln!(told, "{answered:?}").unwrap();
    }
    told
}

fn recordings(names: &[&str]) -> Vec<String> {
    let bases = names.iter().map(|name| common::recording(name).unwrap());
    bases
        .map(|base| base.to_str().unwrap().to_owned())
        .collect()
}

#[test]
fn the_same_with_32_bits() {
    const TARGET: &str = "i686-unknown-linux-musl";
    let folder = package();
    let sysroot = Command::new("rustc")
        .args(["--print", "sysroot"])
        .env_remove("RUSTUP_TOOLCHAIN")
        .current_dir(&folder)
        .output();
    let sysroot = sysroot.map(|it| stdout(&it));
    let is_installed = |root: &String| {
        Path::new(root.trim())
            .join("lib/rustlib")
            .join(TARGET)
            .is_dir()
    };
    if !cfg!(all(target_os = "linux", target_arch = "x86_64"))
        || !sysroot.is_ok_and(|it| is_installed(&it))
    {
        eprintln!("skipped: the target {TARGET} is not installed, or cannot be run here");
        return;
    }
    let output = cargo(
        &folder,
        &["build", "--quiet", "--offline", "--target", TARGET],
        None,
    )
    .env("CARGO_TARGET_I686_UNKNOWN_LINUX_MUSL_LINKER", "rust-lld")
    .env("CARGO_TARGET_DIR", folder.join("target"))
    .output()
    .unwrap();
    succeeded(&output);
    let profile = tempfile::tempdir().unwrap();
    let mut bases = recordings(&[
        "tiny",
        "unicode",
        "huge_corrupt",
        "forked",
        "surrogate",
        "loss",
        "demo",
    ]);
    bases.push(large(profile.path()));
    let program = folder.join("target").join(TARGET).join("debug/platforms");
    let output = Command::new(program).args(&bases).output().unwrap();
    assert_eq!(succeeded(&output), here(&bases));
}

#[test]
fn the_same_with_the_largest_byte_first() {
    if std::env::var_os("HEAPPROF_MIRI").is_none() {
        eprintln!("skipped: HEAPPROF_MIRI=1 asks for it");
        return;
    }
    let folder = package();
    let profile = tempfile::tempdir().unwrap();
    let bases = [large(profile.path())];
    let run = [
        "miri",
        "run",
        "--quiet",
        "--target",
        "s390x-unknown-linux-gnu",
    ];
    let output = cargo(&folder, &run, Some("+nightly"))
        .arg("--")
        .args(&bases)
        .env("MIRIFLAGS", "-Zmiri-disable-isolation")
        .output()
        .unwrap();
    assert_eq!(succeeded(&output), here(&bases));
}

//! What comes with the crate, and what it leaves behind: dependencies and their licences, no build
//! script, `unsafe` in one file, and no file touched but those that were named.

mod common;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::SystemTime;

use common::output::succeeded;
use common::{Profile, root};
use heapprof::query::{ErrorBars, Track};
use heapprof::view::{FlameGraph, FlowGraph, FlowOptions, Lines, SourceLines};
use heapprof::{DigestOptions, Elapsed, Reader, Usage};

/// What the crate depends on itself, with all features.
const DEPENDENCIES: [&str; 6] = [
    "byteorder",
    "hashbrown",
    "memmap2",
    "serde",
    "smallvec",
    "thiserror",
];

/// Licences that ask for no more than to be named.
const LICENCES: [&str; 5] = ["Apache-2.0", "MIT", "Unicode-3.0", "Unlicense", "Zlib"];

/// What is linked into a program, or runs as it is built: names and licences.
fn dependencies(depth: &str) -> BTreeMap<String, String> {
    let output = Command::new(env!("CARGO"))
        .args([
            "tree",
            "--all-features",
            "--edges=normal,build",
            "--prefix=none",
        ])
        .args([
            "--locked",
            "--offline",
            "--format={p}|{l}",
            "--depth",
            depth,
        ])
        .current_dir(root())
        .output()
        .unwrap();
    let tree = succeeded(&output);
    // The first line is the crate itself.
    let rows = tree.lines().skip(1).map(|line| {
        let (package, licence) = line.split_once('|').unwrap();
        let name = package.split(' ').next().unwrap();
        (name.to_owned(), licence.trim_end_matches(" (*)").to_owned())
    });
    rows.collect()
}

/// Whether an SPDX expression can be met: of all parts that are joined by `AND`, one of those that
/// are joined by `OR`.
fn is_allowed(licence: &str) -> bool {
    licence.split(" AND ").all(|part| {
        let part = part.trim_matches(['(', ')']);
        let mut choices = part.split(" OR ").flat_map(|it| it.split('/'));
        choices.any(|choice| LICENCES.contains(&choice.trim()))
    })
}

#[test]
fn dependencies_are_few_and_free() {
    assert!(is_allowed("(MIT OR Apache-2.0) AND Unicode-3.0") && is_allowed("GPL-3.0 OR MIT"));
    assert!(
        !is_allowed("(MIT OR Apache-2.0) AND GPL-3.0") && !is_allowed("") && !is_allowed("MPL-2.0")
    );
    let direct = dependencies("1");
    assert_eq!(
        direct.keys().collect::<Vec<_>>(),
        DEPENDENCIES.iter().collect::<Vec<_>>()
    );
    let all = dependencies("99");
    assert!(all.len() > 6, "{all:?}");
    let strange: Vec<_> = all
        .iter()
        .filter(|(_, licence)| !is_allowed(licence))
        .collect();
    assert!(
        strange.is_empty(),
        "licences that are not allowed: {strange:?}"
    );
}

#[test]
fn nothing_runs_as_it_is_built_and_nothing_is_hidden() {
    assert!(!root().join("build.rs").exists());
    let manifest = common::manifest();
    for line in manifest.lines() {
        for key in [
            "build",
            "links",
            "build-dependencies",
            "[build-dependencies]",
        ] {
            let after = line.strip_prefix(key).map(str::trim_start);
            assert!(
                after.is_none_or(|after| !after.is_empty() && !after.starts_with('=')),
                "{line}"
            );
        }
    }
    assert!(manifest.contains("\nunsafe_code = \"deny\"\n"));

    let files = common::files_below(&root().join("src"));
    assert!(files.len() > 60);
    for file in files {
        let text = fs::read_to_string(&file).unwrap();
        // Neither the environment, nor other programs, nor the network.
        for what in ["std::env", "env::", "Command", "std::net"] {
            let met = text
                .lines()
                .find(|line| line.contains(what) && !line.trim_start().starts_with("//"));
            assert!(met.is_none(), "{}: {met:?}", file.display());
        }
        let lines: Vec<&str> = text.lines().map(str::trim).collect();
        for (place, line) in lines.iter().enumerate() {
            let is_unsafe = [
                "unsafe {",
                "unsafe fn",
                "unsafe impl",
                "allow(unsafe_code",
                "expect(unsafe_code",
            ];
            if line.starts_with("//") || !is_unsafe.iter().any(|it| line.contains(it)) {
                continue;
            }
            assert!(file.ends_with("src/bytes.rs"), "{}: {line}", file.display());
            // Each with its contract.
            let before = lines[..place].iter().rev();
            let mut comment = before.skip_while(|it| !it.starts_with("//"));
            let contract = comment.by_ref().take_while(|it| it.starts_with("//"));
            assert!(
                contract.into_iter().any(|it| it.starts_with("// SAFETY: ")),
                "{line}"
            );
        }
    }
}

/// Everything in a folder, and when it was changed.
fn stand(folder: &Path) -> BTreeMap<String, (Vec<u8>, SystemTime)> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| {
        let entry = entry.unwrap();
        let changed = entry.metadata().unwrap().modified().unwrap();
        let name = entry.file_name().into_string().unwrap();
        (name, (fs::read(entry.path()).unwrap(), changed))
    });
    entries.collect()
}

fn names(folder: &Path) -> BTreeSet<String> {
    stand(folder).into_keys().collect()
}

/// All kinds of work, but for what is to write.
fn work(base: &Path) {
    let reader = Reader::open(base).unwrap();
    let traces = reader.traces().unwrap();
    let live = reader.live_at_end().unwrap();
    let line = traces.frames().next().unwrap().0;
    assert!(!Lines::new(traces, &live).is_empty());
    assert!(!FlameGraph::new(traces, &live).is_empty());
    assert!(
        FlowGraph::with_options(traces, [&live, &Usage::empty()], &FlowOptions::default())
            .nodes()
            .len()
            > 0
    );
    reader.digest().unwrap();
    reader.time_series([Track::Local(line)]).unwrap();
    assert!(reader.snapshots().unwrap().all(|snapshot| snapshot.is_ok()));
    reader.peak().unwrap();
    reader.churn().unwrap();
    reader.leaks().unwrap();
    reader.lifetimes().unwrap();
    reader.sizes().unwrap();
    reader.sanity().unwrap();
    reader.rates_check().unwrap();
    reader
        .ask(ErrorBars::query().at(Elapsed::from_millis(1)))
        .unwrap();
    assert!(reader.damage().unwrap().is_empty());
    let sources = SourceLines::new().map_prefix("/srv", base.parent().unwrap());
    let trace = traces.iter().next().unwrap().1;
    assert!(sources.dress(trace).all(|(_, line)| line.is_none()));
}

/// In a process of its own, whose folder, home and place for temporary files are empty.
#[test]
fn no_file_is_touched_but_those_that_are_named() {
    const BASE: &str = "HEAPPROF_TEST_BASE";
    if let Some(base) = std::env::var_os(BASE) {
        let base = PathBuf::from(base);
        let folder = base.parent().unwrap();
        let before = stand(folder);
        work(&base);
        assert_eq!(stand(folder), before);
        // What is to write, writes the one file.
        Reader::open(&base)
            .unwrap()
            .make_digest(DigestOptions::default())
            .unwrap();
        let mut after = stand(folder);
        let (digest, _) = after.remove("run.hpc").unwrap();
        assert!(digest.len() > 100);
        assert_eq!(after, before);
        let before = stand(folder);
        work(&base);
        assert_eq!(stand(folder), before);
        return;
    }
    let folders: Vec<_> = (0..4).map(|_| tempfile::tempdir().unwrap()).collect();
    let [profile, here, home, temporary] = &folders[..] else {
        unreachable!()
    };
    let events = [(1_000, 1, 100), (12_000, 2, 50), (25_000, 1, -100)];
    let base = Profile::default()
        .traces(2)
        .with_events(&events)
        .save(profile.path());
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "no_file_is_touched_but_those_that_are_named"])
        .current_dir(here.path())
        .env(BASE, base)
        .env("HOME", home.path())
        .env("TMPDIR", temporary.path())
        .env("TMP", temporary.path())
        .output()
        .unwrap();
    succeeded(&output);
    for folder in [here, home, temporary] {
        assert!(
            names(folder.path()).is_empty(),
            "{:?}",
            names(folder.path())
        );
    }
    let left = names(profile.path());
    assert_eq!(
        left.into_iter().collect::<Vec<_>>(),
        ["run.hpc", "run.hpd", "run.hpm"]
    );
}

/// Names of files need not be text.
#[cfg(unix)]
#[test]
fn a_path_that_is_not_utf8_is_a_path() {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt;

    let folder = tempfile::tempdir().unwrap();
    let odd = folder.path().join(OsStr::from_bytes(b"r\xffn.1"));
    if fs::create_dir(&odd).is_err() {
        eprintln!("skipped: the file system takes no such names");
        return;
    }
    let base = odd.join(OsStr::from_bytes(b"\xf0run\x80.7"));
    let (hpm, hpd) = Profile::default()
        .traces(1)
        .with_events(&[(5, 1, 100)])
        .into_bytes();
    let file = |extension: &str| {
        let mut name = base.clone().into_os_string();
        name.push(extension);
        PathBuf::from(name)
    };
    fs::write(file(".hpm"), hpm).unwrap();
    fs::write(file(".hpd"), hpd).unwrap();
    for name in [base.clone(), file(".hpm"), file(".hpd"), file(".hpc")] {
        let reader = Reader::open(name).unwrap();
        assert_eq!(reader.live_at_end().unwrap().total(), 100);
        assert_eq!(
            reader.path(heapprof::raw::FileKind::Hpd),
            Some(file(".hpd"))
        );
    }
    let reader = Reader::open(&base).unwrap();
    assert!(!reader.has_digest());
    reader.make_digest(DigestOptions::default()).unwrap();
    assert!(file(".hpc").is_file());
    assert!(Reader::open(&base).unwrap().has_digest());
    assert_eq!(
        heapprof::Digest::open(&base).unwrap().path(),
        Some(&*file(".hpc"))
    );
    // What is said of it is text all the same.
    fs::remove_file(file(".hpm")).unwrap();
    let error = Reader::open(&base).unwrap_err().to_string();
    assert!(
        error.ends_with("\u{fffd}run\u{fffd}.7.hpm: there is no such .hpm file"),
        "{error}"
    );
}

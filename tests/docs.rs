//! The documentation is complete: each public type has an example and a place in the page of its module, and each name
//! of heapprof 1.0 finds an item.

mod common;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use common::public_api;

fn sources(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, files);
        } else {
            files.push(path);
        }
    }
}

/// The texts of all files of the library, without their tests.
fn library() -> Vec<String> {
    let mut files = Vec::new();
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    sources(&src, &mut files);
    let text = |file: &PathBuf| {
        let text = fs::read_to_string(file).unwrap();
        let code = text.split("#[cfg(test)]\nmod tests").next().unwrap();
        code.to_owned()
    };
    files.iter().map(text).collect()
}

#[test]
fn public_types_have_an_example_and_a_place_in_the_page_of_their_module() {
    let page = |file| {
        let text = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(file)).unwrap();
        let lines = text.lines().filter(|line| line.starts_with("//!"));
        lines.collect::<String>()
    };
    let items = public_api::items();
    for item in items.iter().filter(|item| !item.path.starts_with("macro ")) {
        let (module, name) = item.path.rsplit_once("::").unwrap();
        let file = match module {
            "heapprof" => "src/lib.rs",
            "heapprof::query" => "src/query/mod.rs",
            "heapprof::view" => "src/view/mod.rs",
            "heapprof::raw" => "src/raw/mod.rs",
            "heapprof::usage" => "src/usage/mod.rs",
            _ => panic!("{module} has no page"),
        };
        let page = page(file);
        assert!(
            page.contains(&format!("[`{name}`]")),
            "{name} is not in {file}"
        );
        // A type alias is explained with what it stands for.
        assert!(
            name == "Result" || item.docs.contains(" ```\n"),
            "{name} has no example"
        );
    }
}

/// What heapprof 1.0 has, but for what is the recorder's (`start`, `stop`, `isProfiling`), what Rust
/// does by itself (`close`), and the labels of a plot, which are the caller's.
const HEAPPROF: &str = "
    read gatherStats DEFAULT_SAMPLING_RATE
    RawTraceLine filename lineno parse RawTrace TraceLine fileline HeapTrace
    Snapshot relativeTime usage totalUsage
    Reader filebase hasDigest makeDigest timeInterval precision verbose initialTime finalTime elapsedTime
    samplingRate snapshotInterval trace rawTrace snapshots snapshotAt hpm hpd hpc fastGetUsage
    timePlot times lines pyplot flowGraph flowGraphAt compareFlowGraphs flameGraph flameGraphAt
    writeFlameGraph
    HPM scaleFactor warmRawTraceCache
    HPD HPDEvent timestamp traceindex size
    HPC offsets
    FlowGraph nodeLocalUsage nodeCumulativeUsage edgeUsage asDotFile writeDotFile compare minNodeFraction
    minEdgeFraction collapseNodes sizeNodesBasedOnLocalUsage
";

#[test]
fn names_of_heapprof_are_found() {
    // Who searches the pages finds an item by an alias, or by its own name without regard to case and
    // underscores.
    let same = |name: &str| name.replace('_', "").to_lowercase();
    let mut found = BTreeSet::new();
    for text in library() {
        for aliases in text.split("#[doc(alias").skip(1) {
            let aliases = aliases.split(']').next().unwrap();
            found.extend(aliases.split('"').skip(1).step_by(2).map(same));
        }
        for item in text
            .lines()
            .filter_map(|line| line.trim().strip_prefix("pub "))
        {
            let names = item.split(|c: char| !c.is_alphanumeric() && c != '_');
            let kinds = ["const", "fn", "struct", "enum", "trait"];
            found.extend(names.filter(|name| !kinds.contains(name)).take(1).map(same));
        }
    }
    for name in HEAPPROF.split_whitespace() {
        assert!(found.contains(&same(name)), "{name} leads nowhere");
    }
}

#[test]
fn promises_name_tests_that_are_there() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let page = fs::read_to_string(root.join("doc/what_you_can_rely_on.md")).unwrap();
    let quoted = page.split('`').skip(1).step_by(2);
    let files: BTreeSet<&str> = quoted
        .filter(|it| Path::new(it).extension().is_some_and(|it| it == "rs"))
        .collect();
    assert!(files.len() > 20, "{files:?}");
    for file in &files {
        let text = fs::read_to_string(root.join(file));
        let text = text.unwrap_or_else(|error| panic!("{file}: {error}"));
        // The one that has no test is the one with `unsafe`.
        assert!(
            text.contains("#[test]") || *file == "src/bytes.rs",
            "{file}"
        );
    }
}

#[test]
fn names_of_heapprof_stand_in_the_page_for_its_users() {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("doc/coming_from_heapprof.md");
    let page = fs::read_to_string(page).unwrap();
    let code = page.split('`').skip(1).step_by(2);
    let words = code.flat_map(|code| code.split(|c: char| !c.is_alphanumeric() && c != '_'));
    let words: BTreeSet<&str> = words.collect();
    // The rest of the interface: its classes that have no name elsewhere, and what Python calls.
    let others = [
        "start",
        "stop",
        "isProfiling",
        "close",
        "TimePlot",
        "with",
        "len",
        "in",
    ];
    for name in HEAPPROF.split_whitespace().chain(others) {
        assert!(words.contains(name), "{name} is not in the page");
    }
}

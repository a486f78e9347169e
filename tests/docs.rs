//! The documentation has everything: each public type an example and a place in the tour, each name
//! of heapprof 1.0 something that is found by it.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

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

/// The names that a file makes public with `pub use`, but for functions of modules.
fn exported(text: &str) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for list in text.split("pub use ").skip(1) {
        let list = list.split(';').next().unwrap();
        let words = list.split(|c: char| !c.is_alphanumeric() && c != '_');
        let types = words.filter(|word| word.starts_with(char::is_uppercase));
        names.extend(types.map(str::to_owned));
    }
    names
}

/// The documentation of each type of the library that is `pub`.
fn documented(library: &[String]) -> BTreeMap<String, String> {
    let mut types = BTreeMap::new();
    for text in library {
        let mut docs = String::new();
        for line in text.lines() {
            let kinds = ["pub struct ", "pub enum ", "pub trait ", "pub type "];
            if let Some(name) = kinds.iter().find_map(|kind| line.strip_prefix(kind)) {
                let end = name.find(|c: char| !c.is_alphanumeric()).unwrap();
                types.insert(name[..end].to_owned(), std::mem::take(&mut docs));
            } else if let Some(doc) = line.strip_prefix("///") {
                docs.push_str(doc);
                docs.push('\n');
            } else if line.is_empty() || line == "}" {
                docs.clear();
            }
        }
    }
    types
}

#[test]
fn public_types_have_an_example_and_a_place_in_the_tour() {
    let page = |file| fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(file)).unwrap();
    let (tour, raw, analysis) = (
        page("src/lib.rs"),
        page("src/raw/mod.rs"),
        page("src/analysis/mod.rs"),
    );
    let text = |page: &str| -> String {
        let lines = page.lines().filter(|line| line.starts_with("//!"));
        lines.collect()
    };
    let types = documented(&library());
    let mut met = 0;
    for (names, pages) in [
        (exported(&tour), text(&tour)),
        (exported(&analysis), text(&tour)),
        (exported(&raw), text(&tour) + &text(&raw)),
    ] {
        for name in names {
            let mentions = ["`]", "::", "`s"].map(|end| format!("`{name}{end}"));
            let mentioned = mentions.iter().any(|mention| pages.contains(mention))
                || pages.contains(&format!("raw::{name}`"))
                || pages.contains(&format!("]({name})"));
            assert!(mentioned, "{name} is not in the tour");
            let docs = types.get(&name);
            let docs = docs.unwrap_or_else(|| panic!("{name} is not found"));
            // What is told of a type alias is told of what it stands for.
            assert!(
                name == "Result" || docs.contains(" ```\n"),
                "{name} has no example"
            );
            met += 1;
        }
    }
    assert!(met > 100, "only {met} types were met");
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

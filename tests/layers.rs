//! What the files of `src/` import: only files of their own layer or of a lower one (see [`LAYERS`]), and never each
//! other in a cycle.
//!
//! The graph has an edge from each file to each file that defines something it names by a path. Re-exports are
//! followed: in `raw/mod.rs` and below it, `super::Event` means `raw/event`. A `mod.rs` and the files below it are one
//! module that is split over files, so they may use each other: a file's use of its `mod.rs` is an edge, and what a
//! `mod.rs` uses of the files below it is not. Hence two files of one folder that import each other fail the test,
//! directly or by way of re-exports, and a `mod.rs` that re-exports a file which uses it does not.
//!
//! A name that comes through a glob (`pub use a::*`) counts as defined by the file that has the glob.

mod common;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use syn::{ItemUse, UseTree};

/// The layers, from the ground up. An entry is a file or a folder below `src`, of any depth, such as `raw/block`; the
/// longest entry that fits a file decides.
const LAYERS: &[&[&str]] = &[
    &[
        "error", "id", "id_set", "id_vec", "bit_set", "time", "bytes", "filebase", "serde_as",
    ],
    &["raw"],
    &["frame", "intern", "tree", "trace", "usage", "log"],
    &["heap", "per_trace", "replay"],
    &["digest"],
    &["reader"],
    &["query"],
    &["view"],
    &["serde_shapes"],
];

/// The segments of a path. From the crate's root and without an item at the end, it names a module, and so a file.
type Path = Vec<String>;

/// The files that each file imports from.
type Graph = BTreeMap<Path, BTreeSet<Path>>;

/// What a file names by a path.
#[derive(Default)]
struct Names {
    /// What each `use` brings into scope.
    imports: BTreeMap<String, Path>,
    /// The paths of all imports, and those in code that begin with `crate` or `super`.
    paths: Vec<Path>,
}

impl Names {
    fn of(text: &str) -> Self {
        // Tests are at the end of a file and may import anything.
        let code = text.split("#[cfg(test)]\nmod tests").next().unwrap();
        let code: Vec<&str> = code
            .lines()
            .filter(|line| !line.trim_start().starts_with("//"))
            .collect();
        let mut names = Self::default();
        for statement in code.join("\n").split_inclusive(';') {
            let import = statement.rfind("use ").map(|at| &statement[at..]);
            match import.and_then(|import| syn::parse_str::<ItemUse>(import).ok()) {
                Some(import) => names.import(&import.tree, &[]),
                None => names.paths.extend(paths_in(statement)),
            }
        }
        names
    }

    fn import(&mut self, tree: &UseTree, prefix: &[String]) {
        let with = |segment: &syn::Ident| [prefix, &[segment.to_string()]].concat();
        let (name, path) = match tree {
            UseTree::Path(tree) => return self.import(&tree.tree, &with(&tree.ident)),
            UseTree::Group(group) => {
                return group
                    .items
                    .iter()
                    .for_each(|tree| self.import(tree, prefix));
            }
            UseTree::Name(tree) if tree.ident == "self" => {
                (prefix.last().cloned().unwrap_or_default(), prefix.to_vec())
            }
            UseTree::Name(tree) => (tree.ident.to_string(), with(&tree.ident)),
            UseTree::Rename(tree) => (tree.rename.to_string(), with(&tree.ident)),
            UseTree::Glob(_) => ("*".to_owned(), prefix.to_vec()),
        };
        self.paths.push(path.clone());
        self.imports.insert(name, path);
    }
}

/// The paths in code that begin with `crate` or `super`.
fn paths_in(code: &str) -> impl Iterator<Item = Path> {
    let words = code.split(|c: char| !(c.is_alphanumeric() || c == '_' || c == ':'));
    let paths = words.filter(|word| word.starts_with("crate::") || word.starts_with("super::"));
    paths.map(|path| path.split("::").map(str::to_owned).collect())
}

/// The graph of files, given by their names below `src` and their text.
fn graph(files: impl IntoIterator<Item = (String, String)>) -> Graph {
    let modules: BTreeMap<Path, Names> = files
        .into_iter()
        .map(|(name, text)| {
            let name = name.trim_end_matches(".rs").replace('\\', "/");
            let mut module: Path = name.split('/').map(str::to_owned).collect();
            module.pop_if(|file| file == "mod" || file == "lib");
            (module, Names::of(&text))
        })
        .collect();
    let edges = |(file, names): (&Path, &Names)| {
        let targets = names.paths.iter();
        let targets = targets.filter_map(|path| resolve(&modules, file, path));
        let targets = targets.filter(|target| !target.starts_with(file));
        (file.clone(), targets.collect())
    };
    modules.iter().map(edges).collect()
}

/// The file that defines what `path` names in the file `from`; `None` if another crate does.
fn resolve(modules: &BTreeMap<Path, Names>, from: &Path, path: &[String]) -> Option<Path> {
    let mut module = from.clone();
    for (index, segment) in path.iter().enumerate() {
        let child = [&module[..], std::slice::from_ref(segment)].concat();
        match segment.as_str() {
            "self" => {}
            "crate" => module.clear(),
            "super" => drop(module.pop()),
            _ if modules.contains_key(&child) => module = child,
            name => {
                let import = modules[&module].imports.get(name);
                return match import.filter(|import| import[0] != name) {
                    Some(import) => {
                        resolve(modules, &module, &[import, &path[index + 1..]].concat())
                    }
                    None => (index > 0).then_some(module),
                };
            }
        }
    }
    Some(module)
}

/// A cycle of the graph: its first file again at the end.
fn cycle(graph: &Graph) -> Option<Vec<&Path>> {
    fn visit<'a>(
        graph: &'a Graph,
        file: &'a Path,
        chain: &mut Vec<&'a Path>,
        done: &mut BTreeSet<&'a Path>,
    ) -> bool {
        chain.push(file);
        if let Some(first) = chain[..chain.len() - 1].iter().position(|&it| it == file) {
            chain.drain(..first);
            return true;
        }
        let found = done.insert(file)
            && graph[file]
                .iter()
                .any(|target| visit(graph, target, chain, done));
        if !found {
            chain.pop();
        }
        found
    }
    let (mut chain, mut done) = (Vec::new(), BTreeSet::new());
    let mut files = graph.keys();
    let found = files.any(|file| visit(graph, file, &mut chain, &mut done));
    found.then_some(chain)
}

fn name(file: &Path) -> String {
    if file.is_empty() {
        "lib".to_owned()
    } else {
        file.join("/")
    }
}

/// What is wrong with a graph, one line each.
fn faults(mut graph: Graph, layers: &[&[&str]]) -> Vec<String> {
    let mut faults = Vec::new();
    let layer = |file: &Path| {
        let mut prefixes = (1..=file.len()).rev().map(|len| file[..len].join("/"));
        prefixes.find_map(|prefix| layers.iter().position(|it| it.contains(&&prefix[..])))
    };
    for (file, targets) in graph.iter().filter(|(file, _)| !file.is_empty()) {
        match layer(file) {
            Some(own) => faults.extend(
                targets
                    .iter()
                    .filter(|target| layer(target).is_none_or(|it| it > own))
                    .map(|target| format!("up: {} → {}", name(file), name(target))),
            ),
            None => faults.push(format!("in no layer: {}", name(file))),
        }
    }
    while let Some(chain) = cycle(&graph) {
        let names: Vec<String> = chain.iter().map(|file| name(file)).collect();
        faults.push(format!("cycle: {}", names.join(" → ")));
        // Removes the last edge, to find other cycles.
        let [.., from, to] = &chain[..] else {
            unreachable!("a cycle has an edge")
        };
        let (from, to) = ((*from).clone(), (*to).clone());
        graph.entry(from).or_default().remove(&to);
    }
    faults
}

#[test]
fn imports_point_down_without_cycles() {
    let src = common::root().join("src");
    let files = common::files_below(&src).into_iter().map(|file| {
        let text = fs::read_to_string(&file).unwrap();
        (file.strip_prefix(&src).unwrap().display().to_string(), text)
    });
    let graph = graph(files);
    let edges: usize = graph.values().map(BTreeSet::len).sum();
    assert!(edges > 200, "only {edges} imports were found");
    let faults = faults(graph, LAYERS);
    assert!(faults.is_empty(), "\n{}", faults.join("\n"));
}

/// The faults of a crate of three layers.
fn faults_of(files: &[(&str, &str)]) -> Vec<String> {
    let files = files
        .iter()
        .map(|&(name, text)| (name.to_owned(), text.to_owned()));
    faults(graph(files), &[&["id", "raw/low"], &["raw"], &["log"]])
}

#[test]
fn a_tree_without_cycles_passes() {
    let files = [
        ("lib.rs", "mod id; mod log; mod raw;\npub use raw::Event;"),
        ("id.rs", "// use crate::log::Log;\npub struct Id;"),
        (
            "raw/mod.rs",
            "mod low; mod high;\npub use high::{Event, Kind as Sort};\nstruct Own;",
        ),
        ("raw/low.rs", "use std::fmt;\nuse crate::id::Id;"),
        (
            "raw/high.rs",
            "use super::low::{self, Low};\nuse super::Own;",
        ),
        (
            "log/mod.rs",
            "mod part;\nuse part::Part;\nuse crate::raw::{Event, low::*};",
        ),
        (
            "log/part.rs",
            "use super::Log;\n#[cfg(test)]\nmod tests { use super::super::id; }",
        ),
    ];
    assert_eq!(faults_of(&files), [""; 0]);
}

#[test]
fn rejects_imports_of_higher_layers() {
    let files = [
        ("lib.rs", "pub use raw::Event;"),
        (
            "id.rs",
            "fn id() -> crate::log::Log {\n    super::raw::high::event()\n}",
        ),
        ("raw/mod.rs", "pub use high::Event;"),
        ("raw/low.rs", "use super::Event;"),
        ("raw/high.rs", "use crate::Unknown;"),
        ("log.rs", ""),
        ("new.rs", ""),
    ];
    assert_eq!(
        faults_of(&files),
        [
            "up: id → log",
            "up: id → raw/high",
            "in no layer: new",
            "up: raw/high → lib",
            "up: raw/low → raw/high",
        ]
    );
}

#[test]
fn rejects_cycles() {
    let files = [
        ("raw/mod.rs", "pub use a::A;\npub use b::{B as Other, C};"),
        // By way of re-exports, one of them renamed.
        ("raw/a.rs", "use super::Other;"),
        ("raw/b.rs", "fn b() {\n    use super::A;\n}"),
        // Over three files, one of them a `mod.rs`.
        ("log/mod.rs", "pub fn log() -> crate::raw::c::C;"),
        ("log/part.rs", "use super::log;"),
        ("raw/c.rs", "use crate::log::part;"),
    ];
    let cycle = "cycle: log → raw/c → log/part → log";
    let up = "up: raw/c → log/part";
    assert_eq!(
        faults_of(&files),
        [up, cycle, "cycle: raw/a → raw/b → raw/a"]
    );
}

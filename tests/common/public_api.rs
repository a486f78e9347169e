//! The public API, as the sources declare it. The lint `unreachable_pub` makes sure that `pub` means public.

use std::collections::BTreeMap;
use std::fs;

use super::{files_below, root};

/// A public type or trait, or a macro that declares public functions.
#[derive(Default)]
pub(crate) struct Item {
    /// `heapprof::query::Churn`; for a macro `macro scope_methods`.
    pub(crate) path: String,
    /// The documentation, without the marks.
    pub(crate) docs: String,
    /// Its attributes and its declaration.
    pub(crate) head: String,
    /// Variants, fields, functions and implemented traits, in the order of the source.
    pub(crate) parts: Vec<String>,
}

impl Item {
    /// The names of its public functions.
    pub(crate) fn functions(&self) -> impl Iterator<Item = &str> {
        self.parts.iter().filter_map(|part| function(part))
    }
}

/// The name of the function that a line such as `pub const fn name(..)` declares.
pub(crate) fn function(line: &str) -> Option<&str> {
    let line = line.trim_start().strip_prefix("pub ")?;
    let line = line.strip_prefix("const ").unwrap_or(line);
    line.strip_prefix("fn ")?.split(['(', '<']).next()
}

/// The type that the header of an `impl` is for, or the name after `struct`, `enum`, `trait`, `type` or
/// `macro_rules!`.
pub(crate) fn declared(line: &str) -> Option<&str> {
    let kinds = [
        "pub struct ",
        "pub enum ",
        "pub trait ",
        "pub type ",
        "macro_rules! ",
    ];
    let rest = match line.strip_prefix("impl") {
        Some(rest) if rest.starts_with([' ', '<']) => {
            let of = rest.rsplit_once(" for ").map(|(_, of)| of);
            let inherent = || rest.split_once("> ").filter(|_| rest.starts_with('<'));
            of.or_else(|| inherent().map(|(_, of)| of))
                .unwrap_or(rest)
                .trim_start()
        }
        _ => kinds.iter().find_map(|kind| line.strip_prefix(kind))?,
    };
    let rest = rest.trim_start_matches('&');
    rest.split(|c: char| !c.is_alphanumeric() && c != '_')
        .next()
}

/// The modules of the crate that re-export types, with the file of each.
const MODULES: [(&str, &str); 5] = [
    ("heapprof", "src/lib.rs"),
    ("heapprof::query", "src/query/mod.rs"),
    ("heapprof::raw", "src/raw/mod.rs"),
    ("heapprof::usage", "src/usage/mod.rs"),
    ("heapprof::view", "src/view/mod.rs"),
];

/// The path of each public type and trait, by its name. Panics if one has two.
pub(crate) fn paths() -> BTreeMap<String, String> {
    let mut paths = BTreeMap::new();
    for (module, file) in MODULES {
        let text = fs::read_to_string(root().join(file)).unwrap();
        for list in text.split("\npub use ").skip(1) {
            let list = list.split(';').next().unwrap();
            let words = list.split(|c: char| !c.is_alphanumeric() && c != '_');
            for name in words.filter(|word| word.starts_with(char::is_uppercase)) {
                let before = paths.insert(name.to_owned(), format!("{module}::{name}"));
                assert_eq!(before, None, "{name} has two paths");
            }
        }
    }
    paths
}

/// All public items, in the order of their paths.
pub(crate) fn items() -> Vec<Item> {
    let paths = paths();
    let mut items: BTreeMap<String, Item> = BTreeMap::new();
    let mut files = files_below(&root().join("src"));
    files.sort();
    for file in files {
        let text = fs::read_to_string(&file).unwrap();
        let text = text.split("#[cfg(test)]\nmod tests").next().unwrap();
        read(text, &paths, &mut items);
    }
    items.into_values().collect()
}

fn read(text: &str, paths: &BTreeMap<String, String>, items: &mut BTreeMap<String, Item>) {
    let (mut docs, mut attributes) = (String::new(), String::new());
    // The item that the lines belong to, and whether it declares variants or functions of a trait.
    let (mut of, mut is_open) = (String::new(), false);
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        if let Some(doc) = line.strip_prefix("///") {
            docs.push_str(doc);
            docs.push('\n');
            continue;
        }
        if line.starts_with("#[") {
            attributes.push_str(line);
            while !attributes.ends_with(']') {
                attributes.push_str(lines.next().unwrap().trim());
            }
            attributes.push(' ');
            continue;
        }
        if let Some(name) = declared(line) {
            let is_macro = line.starts_with("macro_rules!");
            let path = match paths.get(name) {
                _ if is_macro => format!("macro {name}"),
                Some(path) => path.clone(),
                None => String::new(), // private, or of another crate
            };
            of.clone_from(&path);
            is_open = line.starts_with("pub enum") || line.starts_with("pub trait");
            if !path.is_empty() {
                let item = items.entry(path.clone()).or_default();
                item.path = path;
                if !line.starts_with("impl") {
                    item.docs = std::mem::take(&mut docs);
                    item.head = std::mem::take(&mut attributes) + line.trim_end_matches(" {");
                } else if line.contains(" for ") {
                    item.parts.push(line.split(" {").next().unwrap().to_owned());
                }
            }
        } else if !of.is_empty() {
            let part = line.trim();
            let variant = is_open && line.starts_with("    ") && !line.starts_with("     ");
            let variant = variant && part.starts_with(|c: char| c.is_ascii_uppercase() || c == 'f');
            if part.starts_with("pub ") || part.contains("_methods!(") || variant {
                items
                    .get_mut(&of)
                    .unwrap()
                    .parts
                    .push(whole(part, &mut lines));
            }
        }
        docs.clear();
        attributes.clear();
    }
}

/// A declaration that may go on over several lines, up to its body.
fn whole<'t>(first: &str, lines: &mut impl Iterator<Item = &'t str>) -> String {
    let mut part = first.to_owned();
    while part.ends_with('(') || (part.contains('(') && !part.contains(')')) {
        part.push_str(lines.next().unwrap().trim());
    }
    let part = part.trim_end_matches(['{', ' ', ',', ';']);
    part.replace(",)", ")")
        .replace(',', ", ")
        .replace("  ", " ")
}

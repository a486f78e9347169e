//! The modules of the crate, and which paths lead to what is in them.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use quote::ToTokens;
use syn::{Attribute, Item, Type, UseTree, Visibility};

use super::marks;

/// The path of a module, from the crate.
pub(crate) type ModPath = Vec<String>;

/// A module: what its file or its braces hold.
pub(crate) struct Module {
    pub(crate) items: Vec<Item>,
    is_public: bool,
    /// What it depends on, as it is listed.
    marks: String,
}

#[derive(Default)]
pub(crate) struct Crate {
    pub(crate) modules: BTreeMap<ModPath, Module>,
    /// The public path of each item that has one: its module and its name, and where it is offered.
    pub(crate) offered: BTreeMap<(ModPath, String), BTreeSet<String>>,
    pub(crate) modules_offered: BTreeMap<String, String>,
}

fn src() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src")
}

pub(crate) fn is_public(visibility: &Visibility) -> bool {
    matches!(visibility, Visibility::Public(_))
}

/// Whether an item is there in a test only.
fn is_test(attributes: &[Attribute]) -> bool {
    attributes.iter().any(|attribute| {
        let text = attribute.meta.to_token_stream().to_string();
        text == "cfg (test)" || text == "cfg (doctest)"
    })
}

impl Crate {
    pub(crate) fn read() -> Self {
        let mut all = Self::default();
        all.read_module(Vec::new(), &src().join("lib.rs"), true, String::new());
        all
    }

    fn read_module(&mut self, path: ModPath, file: &Path, is_public: bool, marks: String) {
        let source = fs::read_to_string(file).unwrap();
        let items = syn::parse_file(&source).unwrap().items;
        self.add_module(path, items, is_public, marks);
    }

    fn add_module(&mut self, path: ModPath, items: Vec<Item>, is_public: bool, marks: String) {
        let items: Vec<Item> = items
            .into_iter()
            .filter(|item| !is_test(attributes(item)))
            .collect();
        for item in &items {
            let Item::Mod(module) = item else { continue };
            let mut inner = path.clone();
            inner.push(module.ident.to_string());
            let (public, marks) = (self::is_public(&module.vis), self::marks(&module.attrs));
            if let Some((_, items)) = &module.content {
                self.add_module(inner, items.clone(), public, marks);
                continue;
            }
            let file = src().join(inner.join("/"));
            let file = [file.with_extension("rs"), file.join("mod.rs")];
            let file = file.iter().find(|file| file.is_file()).unwrap();
            self.read_module(inner, file, public, marks);
        }
        let module = Module {
            items,
            is_public,
            marks,
        };
        self.modules.insert(path, module);
    }

    /// The module and the name that a path means, as seen from a module; `None` if that is not in
    /// the crate.
    pub(crate) fn resolve(&self, from: &[String], path: &[String]) -> Option<(ModPath, String)> {
        let (first, rest) = path.split_first()?;
        let mut inner = from.to_vec();
        match first.as_str() {
            "crate" => inner.clear(),
            "self" => {}
            "super" => drop(inner.pop()),
            name => {
                inner.push(name.to_owned());
                if !self.modules.contains_key(&inner) {
                    inner.pop();
                    let found = self.lookup(&inner, name);
                    return found.filter(|_| rest.is_empty());
                }
            }
        }
        if rest.is_empty() {
            return None;
        }
        match rest {
            [name] if !self.modules.contains_key(&[&inner[..], rest].concat()) => {
                self.lookup(&inner, name)
            }
            _ => self.resolve(&inner, rest),
        }
    }

    /// Where an item comes from that a module knows by a name.
    fn lookup(&self, module: &[String], name: &str) -> Option<(ModPath, String)> {
        for item in &self.modules.get(module)?.items {
            if ident(item).is_some_and(|ident| ident == name) && !matches!(item, Item::Mod(_)) {
                return Some((module.to_vec(), name.to_owned()));
            }
        }
        for (path, known_as, _) in self.uses(module) {
            if known_as == name && path.first().is_some_and(|first| first != name) {
                return self.resolve(module, &path);
            }
            if known_as == "*"
                && let Some((last, outer)) = path.split_last()
                && let Some(found) = self.glob(module, outer, last)
                && let Some(found) = self.lookup(&found, name)
            {
                return Some(found);
            }
        }
        None
    }

    /// The module that a glob import takes everything from.
    fn glob(&self, from: &[String], outer: &[String], last: &str) -> Option<ModPath> {
        let mut path = match outer.first().map(String::as_str) {
            Some("crate") => outer[1..].to_vec(),
            _ => [from, outer].concat(),
        };
        path.push(last.to_owned());
        self.modules.contains_key(&path).then_some(path)
    }

    /// What a module imports: the path, the name it is given, and whether it is offered on.
    fn uses(&self, module: &[String]) -> Vec<(Vec<String>, String, bool)> {
        fn walk(
            tree: &UseTree,
            path: &mut Vec<String>,
            public: bool,
            all: &mut Vec<(Vec<String>, String, bool)>,
        ) {
            let mut add = |path: &[String], last: Option<String>, name: String| {
                all.push((path.iter().cloned().chain(last).collect(), name, public));
            };
            match tree {
                UseTree::Path(outer) => {
                    path.push(outer.ident.to_string());
                    walk(&outer.tree, path, public, all);
                    path.pop();
                }
                UseTree::Name(name) if name.ident == "self" => {
                    add(path, None, path.last().unwrap().clone());
                }
                UseTree::Name(name) => {
                    add(path, Some(name.ident.to_string()), name.ident.to_string());
                }
                UseTree::Rename(it) => add(path, Some(it.ident.to_string()), it.rename.to_string()),
                UseTree::Glob(_) => add(path, None, "*".to_owned()),
                UseTree::Group(group) => {
                    for tree in &group.items {
                        walk(tree, path, public, all);
                    }
                }
            }
        }
        let mut all = Vec::new();
        for item in &self.modules[module].items {
            if let Item::Use(item) = item {
                walk(&item.tree, &mut Vec::new(), is_public(&item.vis), &mut all);
            }
        }
        all
    }

    /// Notes under which public paths the items of a module are to be had.
    pub(crate) fn offer(&mut self, module: &[String], public: &str) {
        let mut found: Vec<(ModPath, String, String)> = Vec::new();
        for item in &self.modules[module].items {
            if let (Some(name), Some(visibility)) = (ident(item), visibility(item))
                && is_public(visibility)
                && !matches!(item, Item::Mod(_))
            {
                found.push((module.to_vec(), name.clone(), format!("{public}::{name}")));
            }
        }
        let mut globs = Vec::new();
        for (path, name, _) in self
            .uses(module)
            .into_iter()
            .filter(|(_, _, public)| *public)
        {
            if name == "*" {
                let (last, outer) = path.split_last().unwrap();
                globs.push(self.glob(module, outer, last).unwrap());
                continue;
            }
            let (from, original) = self
                .resolve(module, &path)
                .unwrap_or_else(|| panic!("{public}: {} leads nowhere", path.join("::")));
            found.push((from, original, format!("{public}::{name}")));
        }
        for (from, name, path) in found {
            self.offered.entry((from, name)).or_default().insert(path);
        }
        for glob in globs {
            self.offer(&glob, public);
        }
        let inner: Vec<ModPath> = self
            .modules
            .iter()
            .filter(|(path, inner)| {
                inner.is_public && path.split_last().is_some_and(|(_, outer)| outer == module)
            })
            .map(|(path, _)| path.clone())
            .collect();
        for path in inner {
            let public = format!("{public}::{}", path.last().unwrap());
            let marks = self.modules[&path].marks.clone();
            self.modules_offered.insert(public.clone(), marks);
            self.offer(&path, &public);
        }
    }

    /// The shortest public path of an item.
    pub(crate) fn public(&self, module: &[String], name: &str) -> Option<&String> {
        let paths = self.offered.get(&(module.to_vec(), name.to_owned()))?;
        paths.iter().min_by_key(|path| path.len())
    }

    /// The public path of a type and whether it is of this crate; `None` for what is private here.
    pub(crate) fn type_path(&self, module: &[String], of: &Type) -> Option<(String, bool)> {
        match of {
            Type::Path(path) => {
                let names = path.path.segments.iter();
                let names: Vec<String> = names.map(|segment| segment.ident.to_string()).collect();
                match self.resolve(module, &names) {
                    Some((from, name)) => Some((self.public(&from, &name)?.clone(), true)),
                    None => Some((String::new(), false)),
                }
            }
            Type::Reference(reference) => self.type_path(module, &reference.elem),
            _ => Some((String::new(), false)),
        }
    }
}

pub(crate) fn ident(item: &Item) -> Option<String> {
    Some(match item {
        Item::Const(item) => item.ident.to_string(),
        Item::Enum(item) => item.ident.to_string(),
        Item::Fn(item) => item.sig.ident.to_string(),
        Item::Mod(item) => item.ident.to_string(),
        Item::Static(item) => item.ident.to_string(),
        Item::Struct(item) => item.ident.to_string(),
        Item::Trait(item) => item.ident.to_string(),
        Item::Type(item) => item.ident.to_string(),
        _ => return None,
    })
}

fn visibility(item: &Item) -> Option<&Visibility> {
    Some(match item {
        Item::Const(item) => &item.vis,
        Item::Enum(item) => &item.vis,
        Item::Fn(item) => &item.vis,
        Item::Mod(item) => &item.vis,
        Item::Static(item) => &item.vis,
        Item::Struct(item) => &item.vis,
        Item::Trait(item) => &item.vis,
        Item::Type(item) => &item.vis,
        _ => return None,
    })
}

pub(crate) fn attributes(item: &Item) -> &[Attribute] {
    match item {
        Item::Const(item) => &item.attrs,
        Item::Enum(item) => &item.attrs,
        Item::Fn(item) => &item.attrs,
        Item::Impl(item) => &item.attrs,
        Item::Mod(item) => &item.attrs,
        Item::Static(item) => &item.attrs,
        Item::Struct(item) => &item.attrs,
        Item::Trait(item) => &item.attrs,
        Item::Type(item) => &item.attrs,
        Item::Use(item) => &item.attrs,
        _ => &[],
    }
}

//! What the crate offers is listed in `data/public_api.txt`, so that a change of it shows in review.
//!
//! `BLESS=1 cargo test --test api` writes the list anew. It is made from the sources: everything
//! public that a path from the crate leads to, with its signature, what is derived, and which traits
//! are implemented. Of the feature `serde` the list has the module alone: its shapes are a table in
//! the documentation, which `tests/serde.rs` checks.

mod modules;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use quote::ToTokens;
use syn::{Attribute, Fields, GenericArgument, ImplItem, Item, ItemImpl, PathArguments, TraitItem};

use modules::{Crate, attributes, ident, is_public};

/// What is listed, by its path.
type List = BTreeMap<String, Entry>;

#[derive(Default)]
struct Entry {
    head: String,
    /// Fields and variants in their order.
    parts: Vec<String>,
    /// Traits that are implemented, and methods.
    others: BTreeSet<String>,
}

/// One line, with the spaces that people put.
fn text(tokens: &impl ToTokens) -> String {
    let mut text = tokens.to_token_stream().to_string();
    text = text.split_whitespace().collect::<Vec<_>>().join(" ");
    for (from, to) in [
        (" :: ", "::"),
        (":: ", "::"),
        (" ::", "::"),
        (" (", "("),
        ("( ", "("),
        (" )", ")"),
        ("[ ", "["),
        (" ]", "]"),
        (" ,", ","),
        (",)", ")"),
        (",>", ">"),
        (" ;", ";"),
        (" :", ":"),
        (" <", "<"),
        ("< ", "<"),
        (" >", ">"),
        ("& ", "&"),
        ("->", " ->"),
        ("  ", " "),
        ("- >", "->"),
    ] {
        text = text.replace(from, to);
    }
    for (from, to) in [
        ("=(", "= ("),
        (",(", ", ("),
        ("(mut self", "(self"),
        ("->(", "-> ("),
        ("->[", "-> ["),
        ("->&", "-> &"),
        ("->impl", "-> impl"),
    ] {
        text = text.replace(from, to);
    }
    text
}

impl Crate {
    fn list(mut self) -> List {
        self.offer(&[], "heapprof");
        let mut list = List::new();
        for (path, marks) in &self.modules_offered {
            list.entry(path.clone()).or_default().head = format!("mod {path}{marks}");
        }
        for (path, module) in &self.modules {
            for item in &module.items {
                self.list_item(path, item, &mut list);
            }
        }
        list
    }

    fn list_item(&self, module: &[String], item: &Item, list: &mut List) {
        if module.first().is_some_and(|first| first == "serde_shapes") {
            return;
        }
        match item {
            Item::Impl(item) => return self.list_impl(module, item, list),
            Item::Macro(item) if item.ident.is_none() => {
                // What it makes is not known, but what it makes it from.
                let path = format!("{}::{}!", module.join("::"), text(&item.mac.path));
                let head = format!("{path} {{ {} }}", text(&item.mac.tokens));
                list.entry(path).or_default().head = head;
                return;
            }
            _ => {}
        }
        let Some(name) = ident(item) else { return };
        let Some(path) = self.public(module, &name) else {
            return;
        };
        let marks = marks(attributes(item));
        let entry = list.entry(path.clone()).or_default();
        let others = &self.offered[&(module.to_vec(), name)];
        let others = others.iter().filter(|other| *other != path);
        entry
            .others
            .extend(others.map(|other| format!("also {other}")));
        entry.head = match item {
            Item::Struct(item) => {
                let (generics, bounds) = (text(&item.generics), clause(&item.generics));
                list_fields("pub ", &item.fields, &mut entry.parts);
                format!("struct {path}{generics}{bounds}{marks}")
            }
            Item::Enum(item) => {
                for variant in &item.variants {
                    let marks = self::marks(&variant.attrs);
                    let mut fields = Vec::new();
                    list_fields("", &variant.fields, &mut fields);
                    let fields = match (&variant.fields, fields.join(", ")) {
                        (Fields::Named(_), fields) => format!(" {{ {fields} }}"),
                        (Fields::Unnamed(_), fields) => format!("({fields})"),
                        (Fields::Unit, _) => String::new(),
                    };
                    entry
                        .parts
                        .push(format!("{}{fields}{marks}", variant.ident));
                }
                format!("enum {path}{}{marks}", text(&item.generics))
            }
            Item::Trait(item) => {
                for item in &item.items {
                    entry.parts.push(match item {
                        TraitItem::Fn(method) if method.default.is_some() => {
                            format!("{} {{ .. }}", text(&method.sig))
                        }
                        TraitItem::Fn(method) => text(&method.sig),
                        TraitItem::Type(item) => {
                            format!("type {}: {}", item.ident, text(&item.bounds))
                        }
                        other => text(other),
                    });
                }
                let (generics, above) = (text(&item.generics), text(&item.supertraits));
                match above.as_str() {
                    "" => format!("trait {path}{generics}{marks}"),
                    above => format!("trait {path}{generics}: {above}{marks}"),
                }
            }
            Item::Fn(item) => text(&item.sig).replacen("fn ", &format!("fn {path} = "), 1),
            Item::Type(item) => {
                format!("type {path}{} = {}", text(&item.generics), text(&item.ty))
            }
            Item::Const(item) => format!("const {path}: {}", text(&item.ty)),
            other => panic!("{}: not known here", text(other)),
        };
    }

    fn list_impl(&self, module: &[String], item: &ItemImpl, list: &mut List) {
        let Some((path, is_ours)) = self.type_path(module, &item.self_ty) else {
            return;
        };
        let Some((of, _)) = &item.trait_ else {
            let bounds = bounds(&item.generics);
            let others = &mut list.entry(path).or_default().others;
            others.extend(item.items.iter().filter_map(|item| match item {
                ImplItem::Fn(method) if is_public(&method.vis) => {
                    let marks = marks(&method.attrs);
                    Some(format!("pub {}{bounds}{marks}", text(&method.sig)))
                }
                ImplItem::Const(item) if is_public(&item.vis) => {
                    Some(format!("pub const {}: {}", item.ident, text(&item.ty)))
                }
                _ => None,
            }));
            return;
        };
        // A private trait is nobody's; one of others for a type of others is of this crate if it
        // names a type of this crate.
        let names: Vec<String> = of.segments.iter().map(|it| it.ident.to_string()).collect();
        match self.resolve(module, &names) {
            Some((from, name)) if self.public(&from, &name).is_none() => return,
            None if !is_ours && !self.names_ours(module, of) => return,
            _ => {}
        }
        let types = item.items.iter().filter_map(|item| match item {
            ImplItem::Type(item) => Some(format!("type {} = {}", item.ident, text(&item.ty))),
            _ => None,
        });
        let types = match types.collect::<Vec<_>>().join("; ") {
            none if none.is_empty() => none,
            types => format!(" {{ {types} }}"),
        };
        let (generics, of, to) = (text(&item.generics), text(of), text(&item.self_ty));
        let bounds = clause(&item.generics);
        let line = format!("impl{generics} {of} for {to}{bounds}{types}");
        let entry = list.entry(path).or_default();
        if !is_ours {
            "types of others".clone_into(&mut entry.head);
        }
        entry.others.insert(line);
    }

    /// Whether a trait of others has a public type of this crate as its argument.
    fn names_ours(&self, module: &[String], of: &syn::Path) -> bool {
        of.segments.iter().any(|segment| match &segment.arguments {
            PathArguments::AngleBracketed(arguments) => arguments.args.iter().any(|argument| {
                matches!(argument, GenericArgument::Type(of)
                    if self.type_path(module, of).is_some_and(|(_, is_ours)| is_ours))
            }),
            _ => false,
        })
    }
}

/// The public fields; those of a variant have no visibility of their own.
fn list_fields(before: &str, fields: &Fields, parts: &mut Vec<String>) {
    let public = fields
        .iter()
        .filter(|field| before.is_empty() || is_public(&field.vis));
    parts.extend(public.map(|field| {
        // As thiserror has it.
        let from = field.attrs.iter().any(|it| it.path().is_ident("from"));
        let before = if from { "#[from] " } else { before };
        match &field.ident {
            Some(name) => format!("{before}{name}: {}", text(&field.ty)),
            None => format!("{before}{}", text(&field.ty)),
        }
    }));
}

fn clause(generics: &syn::Generics) -> String {
    match &generics.where_clause {
        Some(clause) => format!(" {}", text(clause)),
        None => String::new(),
    }
}

/// The bounds of the types of an `impl`, which its methods do not repeat.
fn bounds(generics: &syn::Generics) -> String {
    let bounded = generics
        .type_params()
        .filter(|param| !param.bounds.is_empty());
    bounded
        .map(|param| format!(" [{}]", text(param)))
        .collect::<String>()
        + &clause(generics)
}

/// What is derived, and whether it may grow.
fn marks(attributes: &[Attribute]) -> String {
    let kept = attributes.iter().filter_map(|attribute| {
        let path = attribute.path();
        let is_kept = [
            "derive",
            "non_exhaustive",
            "cfg",
            "deprecated",
            "must_use",
            "repr",
        ];
        let is_kept = is_kept.iter().any(|name| path.is_ident(name));
        is_kept.then(|| format!(" #[{}]", text(&attribute.meta)))
    });
    kept.collect()
}

/// The list as text: a paragraph for each path.
fn paragraphs(list: &List) -> String {
    let paragraph = |entry: &Entry| {
        let lines = entry.parts.iter().chain(&entry.others);
        let lines: String = lines.map(|line| format!("    {line}\n")).collect();
        format!("{}\n{lines}", entry.head)
    };
    list.values().map(paragraph).collect()
}

/// The lines, each with the first word on what it belongs to.
fn lines(list: &str) -> BTreeSet<String> {
    let mut head = "";
    list.lines()
        .map(|line| match line.strip_prefix("    ") {
            Some(part) => format!("{head}: {part}"),
            None => {
                head = line.split('#').next().unwrap().trim_end();
                line.to_owned()
            }
        })
        .collect()
}

#[test]
fn the_public_api_is_as_listed() {
    let kept = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/public_api.txt");
    let list = paragraphs(&Crate::read().list());
    if std::env::var_os("BLESS").is_some() {
        fs::write(&kept, &list).unwrap();
    }
    let listed = fs::read_to_string(&kept).unwrap_or_default();
    let (before, after) = (lines(&listed), lines(&list));
    let gone = before.difference(&after).map(|line| format!("\n- {line}"));
    let new = after.difference(&before).map(|line| format!("\n+ {line}"));
    let changes: String = gone.chain(new).collect();
    assert!(
        listed == list,
        "what the crate offers, or its order, has changed:{changes}\n\
         If that is meant, BLESS=1 cargo test --test api lists it so."
    );
}

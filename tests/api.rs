//! The public API is listed in `data/public_api.txt`, so that every change of it shows in a review.
//!
//! `BLESS=1 cargo test --test api` writes the list.

mod common;

use std::fmt::Write;
use std::fs;

use common::public_api;

#[test]
fn public_api_is_as_listed() {
    let mut list = String::new();
    for item in public_api::items() {
        let mut parts = item.parts;
        if !item.head.contains("pub enum") {
            parts.sort();
        }
        writeln!(list, "{}\n    {}", item.path, item.head).unwrap();
        for part in parts {
            writeln!(list, "    {part}").unwrap();
        }
    }
    let path = common::root().join("tests/data/public_api.txt");
    if std::env::var_os("BLESS").is_some() {
        fs::write(path, list).unwrap();
        return;
    }
    let listed = fs::read_to_string(path).unwrap();
    let changed: Vec<_> = list.lines().filter(|line| !listed.contains(line)).collect();
    assert!(
        listed == list,
        "BLESS=1 writes tests/data/public_api.txt; new lines: {changed:#?}"
    );
}

#[test]
fn all_items_have_one_path_and_a_declaration() {
    let items = public_api::items();
    assert!(items.len() > 100, "{}", items.len());
    let found: Vec<&str> = items.iter().map(|item| &*item.path).collect();
    for path in public_api::paths().into_values() {
        assert!(found.contains(&&*path), "{path} is declared nowhere");
    }
    for item in &items {
        assert!(!item.head.is_empty(), "{}", item.path);
    }
}

//! Imports point one way: a file may name files of lower layers only.

mod common;

use std::collections::HashMap;
use std::fs;
use std::path::Path;

/// The layers, from the ground up. The files of one layer may name each other where they stand in
/// one folder.
const LAYERS: &[&[&str]] = &[
    &["error", "id", "id_vec", "time", "bytes", "filebase"],
    &["raw"],
    &["frame", "intern", "tree", "trace", "source", "usage", "log"],
    &["heap", "per_trace", "replay"],
    &["digest"],
    &["reader"],
    &["analysis"],
    &["serde_shapes"],
];

/// Within a layer, who may name whom.
const INSIDE: &[(&str, &str)] = &[
    ("bytes", "error"),
    ("filebase", "error"),
    ("id_vec", "id"),
    ("intern", "frame"),
    ("trace", "frame"),
    ("trace", "intern"),
    ("trace", "tree"),
    ("trace", "usage"),
    ("tree", "intern"),
    ("source", "frame"),
    ("source", "trace"),
    ("replay", "heap"),
    ("heap", "per_trace"),
];

/// What a file answers for: its name, or that of its folder.
fn module(path: &Path) -> String {
    let first = path.components().next().unwrap();
    Path::new(first.as_os_str())
        .file_stem()
        .unwrap()
        .to_string_lossy()
        .into_owned()
}

#[test]
fn imports_point_down() {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let layer_of: HashMap<&str, usize> = LAYERS
        .iter()
        .enumerate()
        .flat_map(|(layer, modules)| modules.iter().map(move |&module| (module, layer)))
        .collect();
    let mut met = 0;
    for file in common::files_below(&src) {
        let name = module(file.strip_prefix(&src).unwrap());
        if name == "lib" {
            continue;
        }
        let layer = *layer_of
            .get(name.as_str())
            .unwrap_or_else(|| panic!("{name} is in no layer"));
        let text = fs::read_to_string(&file).unwrap();
        // Tests stand at the end of a file and may name anything.
        let code = text.split("#[cfg(test)]\nmod tests").next().unwrap();
        let code = code
            .lines()
            .filter(|line| !line.trim_start().starts_with("//"));
        // In a folder `super` is a neighbour, or else what `super::super` would be; in `src` itself it
        // is the crate.
        let inside = file.parent() != Some(&src);
        let code: Vec<&str> = code.collect();
        let up = if inside { "super::super::" } else { "super::" };
        let above = code.iter().flat_map(|line| line.split(up).skip(1));
        assert_eq!(above.count(), 0, "{}: name it from crate::", file.display());
        for import in code.iter().flat_map(|line| line.split("crate::").skip(1)) {
            let imported: String = import
                .chars()
                .take_while(|c| c.is_alphanumeric() || *c == '_')
                .collect();
            let below = *layer_of
                .get(imported.as_str())
                .unwrap_or_else(|| panic!("{}: names crate::{imported}", file.display()));
            let allowed = below < layer
                || imported == name
                || INSIDE.contains(&(name.as_str(), imported.as_str()));
            assert!(allowed, "{} names {imported}", file.display());
            met += 1;
        }
    }
    assert!(met > 50, "only {met} imports were met");
}

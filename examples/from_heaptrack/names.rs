//! Functions and files: how to write them, and whether they hand memory on for others.

/// The name of a function as people write it: heaptrack reads those of C++ only, and half of the
/// older kind of Rust's.
pub(crate) fn readable(function: &str) -> String {
    let hash = function.rsplit("::h").next().unwrap_or_default();
    if hash.len() == 16 && hash.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        let part = |part: &str| format!("{}{part}", part.len());
        let parts: String = function.split("::").map(part).collect();
        return format!("{:#}", rustc_demangle::demangle(&format!("_ZN{parts}E")));
    }
    format!("{:#}", rustc_demangle::demangle(function))
}

/// Whether a function hands memory on, as far as its name tells: that of C++ and Rust for all the
/// others, and where there is no file, all that is in their standard libraries.
pub(crate) fn is_allocator(function: &str, has_file: bool) -> bool {
    let name = function.trim_start_matches('<');
    let allocators = ["operator new", "__rust_", "__rdl_", "__rg_", "__rustc::__r"];
    let libraries = ["std::", "core::", "alloc::"];
    let libraries = libraries.iter().filter(|_| !has_file);
    let mut handing_on = allocators.iter().chain(libraries);
    handing_on.any(|start| name.starts_with(start)) || function.contains(" as alloc::")
}

/// Whether a source file belongs to the standard library of C++ or Rust.
pub(crate) fn is_standard(file: &str) -> bool {
    [
        "/include/c++/",
        "library/alloc/src/",
        "library/core/src/",
        "library/std/src/",
        "/rust/deps/",
    ]
    .iter()
    .any(|part| file.contains(part))
}

/// Whether a module is the standard library of C++.
pub(crate) fn is_library(module: &str) -> bool {
    ["libstdc++.so", "libc++.so"]
        .iter()
        .any(|name| module.starts_with(name))
}

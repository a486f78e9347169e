//! [`Package`]: whose code a file is, judged by its path.

use std::fmt;

use smallvec::SmallVec;

/// The package that a file belongs to, judged by its path: of a Rust, Python or native program.
///
/// ```
/// use heapprof::view::Package;
///
/// let of = |file| Package::of(file).to_string();
/// assert_eq!(of("/home/me/.cargo/registry/src/index.crates.io-6f17/serde_json-1.0.154/src/map.rs"), "serde_json 1.0.154");
/// assert_eq!(of("/rustc/f8297e351a40c1439a467bbbb6879088047f50b3/library/alloc/src/vec/mod.rs"), "standard library");
/// assert_eq!(of("/venv/lib/python3.12/site-packages/jinja2/nodes.py"), "jinja2");
/// assert_eq!(of("C:\\Python312\\Lib\\json\\decoder.py"), "standard library");
/// assert_eq!(of("no symbol (libc.so.6)"), "libc.so.6");
/// assert_eq!(of("/srv/app/main.py"), "own code");
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Package<'a> {
    /// Code that was installed or downloaded.
    Installed {
        /// The name.
        name: &'a str,
        /// The version, if the path has it.
        version: Option<&'a str>,
    },
    /// The standard library of the language.
    StandardLibrary,
    /// The operating system: its headers and the sources of its libraries.
    System,
    /// Code whose file the recorder did not know: shims of a compiler, or a program without debug information.
    NoFile,
    /// Everything else: the program itself.
    Own,
}

impl<'a> Package<'a> {
    /// The package of a file. Both slashes and backslashes separate the parts of its path.
    ///
    /// | of | recognised by |
    /// | --- | --- |
    /// | a Rust crate | `registry/src/…/NAME-VERSION/`, `git/checkouts/NAME-HASH/`, `vendor/NAME/src/`, `/rust/deps/NAME-VERSION/` |
    /// | Rust's standard library | `/rustc/HASH/`, `library/std/src/` at the start or after `rustlib/src/rust` |
    /// | a Python package | `site-packages`, `dist-packages`, a `.whl`, `.egg`, `.zip` or `.pyz` archive with modules in it |
    /// | Python's standard library | `lib/python3.12/`, `Python312\Lib\`, `<frozen …>`, and those of conda and the Microsoft store |
    /// | a native library | `NAME.so+0x12a9` or `no symbol (NAME.so)`, which recorders write for code without symbols |
    /// | the system | `/usr/include/`, `/usr/lib/`, `/lib/`, `/build/…/NAME-VERSION/`, `/usr/src/debug/`, the C library's `../sysdeps/` |
    /// | C++'s standard library | `include/c++/` |
    pub fn of(file: &'a str) -> Self {
        if file.is_empty() {
            return Self::NoFile;
        }
        let parts: Parts<'a> = file.split(['/', '\\']).collect();
        special(file)
            .or_else(|| python(&parts))
            .or_else(|| rust(&parts))
            .or_else(|| native(file, &parts))
            .unwrap_or(Self::Own)
    }

    /// An installed package without a version.
    pub const fn installed(name: &'a str) -> Self {
        let version = None;
        Self::Installed { name, version }
    }

    /// Whether it is the program itself.
    pub fn is_own(self) -> bool {
        self == Self::Own
    }
}

/// `serde_json 1.0.154`, `standard library`, `system`, `no file`, `own code`.
impl fmt::Display for Package<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Installed {
                name,
                version: None,
            } => f.write_str(name),
            Self::Installed {
                name,
                version: Some(version),
            } => write!(f, "{name} {version}"),
            Self::StandardLibrary => f.write_str("standard library"),
            Self::System => f.write_str("system"),
            Self::NoFile => f.write_str("no file"),
            Self::Own => f.write_str("own code"),
        }
    }
}

/// The parts of a path.
type Parts<'a> = SmallVec<[&'a str; 16]>;

/// What is no path.
fn special(file: &str) -> Option<Package<'_>> {
    if file.starts_with("<frozen ") {
        return Some(Package::StandardLibrary);
    }
    let in_parentheses = || file.strip_prefix("no symbol (")?.strip_suffix(')');
    let with_address = || {
        let (module, address) = file.rsplit_once("+0x")?;
        let is_address = address.bytes().all(|byte| byte.is_ascii_hexdigit());
        is_address.then_some(module)
    };
    let module = in_parentheses().or_else(with_address)?;
    let name = module.rsplit(['/', '\\']).next()?;
    // Other modules are programs.
    let is_library = [".so", ".dylib", ".dll"].iter().any(|extension| {
        let versioned = |(_, rest): (&str, &str)| {
            rest.is_empty() || rest.strip_prefix('.').is_some_and(starts_with_digit)
        };
        name.split_once(extension).is_some_and(versioned)
    });
    is_library.then_some(Package::installed(name))
}

fn python<'a>(parts: &Parts<'a>) -> Option<Package<'a>> {
    let mut found = None;
    for (at, part) in parts.iter().enumerate().rev() {
        let after = |distance: usize| parts.get(at + distance).copied();
        if let ("site-packages" | "dist-packages", Some(name)) = (*part, after(1)) {
            // An egg is a directory or an archive that contains the package.
            let in_egg = after(2).filter(|_| has_suffix(name, ".egg"));
            let name = in_egg.unwrap_or(name);
            return Some(Package::installed(name.strip_suffix(".py").unwrap_or(name)));
        }
        let next = after(1).unwrap_or_default();
        if is_python_library(
            part,
            next,
            at.checked_sub(1).and_then(|before| parts.get(before)),
        ) {
            found = Some(Package::StandardLibrary);
        } else if let (None, Some(module)) = (found, archived(part, after(1))) {
            found = Some(module);
        }
    }
    found
}

/// Whether two parts of a path that follow each other are in Python's standard library: `lib/python3.12`,
/// `lib64/python3.12`, `Python312\Lib`, or `python312.zip` and any file in it.
fn is_python_library(part: &str, next: &str, before: Option<&&str>) -> bool {
    // Windows has `Lib`.
    let is_lib = next.eq_ignore_ascii_case("lib");
    match part {
        "lib" | "lib64" | "lib32" => is_python(next) && next.contains('.'),
        _ if is_lib && part.starts_with("PythonSoftwareFoundation.Python.") => true,
        _ if next == "Lib" && before == Some(&"envs") => true,
        _ if next == "Lib" && is_conda(part) => true,
        // `pyenv-win\versions\3.12.1\Lib`
        _ if next == "Lib" && before == Some(&"versions") => starts_with_digit(part),
        _ if is_lib => is_python(part),
        _ => has_suffix(part, ".zip") && is_python(part.get(..part.len() - 4).unwrap_or(part)),
    }
}

/// Whether it is the folder of a conda installation, such as `miniconda3`.
fn is_conda(part: &str) -> bool {
    let part = part.to_ascii_lowercase();
    let name = part.trim_end_matches(|c: char| c.is_ascii_digit());
    ["miniconda", "anaconda", "miniforge", "mambaforge"].contains(&name)
}

/// The package of a module in a Python archive: `requests-2.31.0-py3-none-any.whl/requests/api.py`.
fn archived<'a>(part: &'a str, module: Option<&'a str>) -> Option<Package<'a>> {
    let module = module?;
    if has_suffix(part, ".whl") || has_suffix(part, ".egg") {
        let mut words = part.split('-');
        let name = words.next()?;
        let version = words.next().filter(|word| starts_with_digit(word));
        return Some(Package::Installed { name, version });
    }
    let is_archive = has_suffix(part, ".zip") || has_suffix(part, ".pyz");
    let name = module.strip_suffix(".py").unwrap_or(module);
    // The program in an archive is no library.
    (is_archive && name != "__main__").then_some(Package::installed(name))
}

/// Whether a name is `python` or `pypy` in any case with a version: `python3.12`, `Python312-32`, `python3.13t`.
fn is_python(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    let version = name.strip_prefix("python").or(name.strip_prefix("pypy"));
    version.is_some_and(|version| {
        let (number, rest) = version.split_once('-').unwrap_or((version, "32"));
        let number = number.strip_suffix('t').unwrap_or(number);
        let is_number = number
            .bytes()
            .all(|byte| byte.is_ascii_digit() || byte == b'.');
        starts_with_digit(number) && is_number && ["32", "64", "arm64"].contains(&rest)
    })
}

/// The crates of Rust's standard library.
const LIBRARY: [&str; 9] = [
    "alloc",
    "backtrace",
    "core",
    "panic_unwind",
    "proc_macro",
    "std",
    "stdarch",
    "test",
    "unwind",
];

fn rust<'a>(parts: &Parts<'a>) -> Option<Package<'a>> {
    for (at, part) in parts.iter().enumerate() {
        let after = |distance: usize| parts.get(at + distance).copied();
        let before = at
            .checked_sub(1)
            .and_then(|before| parts.get(before))
            .copied();
        match *part {
            "rustc" if after(1).is_some_and(is_commit) => return Some(Package::StandardLibrary),
            "library" if is_rust_library(parts, at) => {
                return Some(Package::StandardLibrary);
            }
            // `/rust/deps/NAME-VERSION/`: what the standard library itself is built from.
            "deps" if at == 2 && before == Some("rust") && after(2).is_some() => {
                return versioned(after(1)?);
            }
            // `registry/src/index.crates.io-6f17d22bba15001f/NAME-VERSION/`
            "registry" if after(1) == Some("src") && after(4).is_some() => {
                if let Some(package) = versioned(after(3)?) {
                    return Some(package);
                }
            }
            // `git/checkouts/NAME-HASH/REVISION/`
            "checkouts" if before == Some("git") && after(2).is_some_and(is_commit) => {
                if let Some((name, hash)) = after(1)?.rsplit_once('-')
                    && is_commit(hash)
                {
                    return Some(Package::installed(name));
                }
            }
            "vendor" if after(2) == Some("src") && after(3).is_some() => {
                let folder = after(1)?;
                return Some(versioned(folder).unwrap_or(Package::installed(folder)));
            }
            _ => {}
        }
    }
    None
}

/// Whether the part `library` of a path is that of Rust's standard library: at the start, or below `rustlib/src/rust`.
fn is_rust_library(parts: &Parts<'_>, at: usize) -> bool {
    let is_place = matches!(parts.get(..at), Some([] | [.., "rustlib", "src", "rust"]));
    // `library/stdarch/crates/core_arch/src/x86/sse2.rs`
    let source = parts.get(at + 2).copied();
    is_place
        && matches!(source, Some("src" | "crates"))
        && parts.get(at + 1).is_some_and(|name| LIBRARY.contains(name))
}

/// Whether a name is the hash of a commit.
fn is_commit(name: &str) -> bool {
    name.len() >= 7 && name.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// Where systems have headers, libraries, and the sources of libraries.
const SYSTEM: &[&str] = &[
    "/usr/include/",
    "/usr/lib/",
    "/usr/lib32/",
    "/usr/lib64/",
    "/usr/libexec/",
    "/usr/local/include/",
    "/usr/local/lib/",
    "/usr/share/",
    "/lib/",
    "/lib64/",
    "/nix/store/",
    "/opt/homebrew/lib/",
    "/opt/homebrew/opt/",
    "/System/Library/",
    "/Library/Developer/",
    "/Applications/Xcode",
    "C:\\Program Files (x86)\\Windows Kits\\",
    "C:\\Program Files\\Microsoft Visual Studio\\",
    "C:\\Program Files (x86)\\Microsoft Visual Studio\\",
    // What the C library calls its own files where it was built.
    "../sysdeps/",
    "../csu/",
    "../nptl/",
    "./malloc/malloc.c",
    "./nptl/pthread",
    "./csu/libc",
];

fn native<'a>(file: &'a str, parts: &Parts<'a>) -> Option<Package<'a>> {
    let is_of_cpp = |pair: &[&str]| matches!(pair, ["include", "c++"] | ["src", "libstdc++-v3"]);
    if parts.windows(2).any(is_of_cpp) {
        return Some(Package::StandardLibrary);
    }
    match parts.as_slice() {
        // `/build/glibc-SgWmnM/glibc-2.36/malloc/malloc.c`, `/usr/src/debug/zlib-1.2.13/inflate.c`
        ["", "build", _, source, _, ..] | ["", "usr", "src", "debug", source, _, ..] => {
            if let Some(package) = versioned(source) {
                return Some(package);
            }
        }
        // `/opt/homebrew/Cellar/openssl@3/3.2.0/include/openssl/bio.h`
        [.., "Cellar", name, version, _]
        | [.., "Cellar", name, version, _, _]
        | [.., "Cellar", name, version, _, _, _]
            if starts_with_digit(version) =>
        {
            let version = Some(*version);
            return Some(Package::Installed { name, version });
        }
        _ => {}
    }
    let is_system = SYSTEM.iter().any(|start| file.starts_with(start));
    is_system.then_some(Package::System)
}

/// The package of a folder that is called `NAME-VERSION`.
fn versioned(folder: &str) -> Option<Package<'_>> {
    folder.match_indices('-').find_map(|(at, _)| {
        let (name, version) = folder.split_at_checked(at)?;
        let version = version.strip_prefix('-')?;
        let number = version.split('-').next().unwrap_or_default();
        let is_version = starts_with_digit(version) && number.contains('.');
        is_version.then_some(Package::Installed {
            name,
            version: Some(version),
        })
    })
}

fn starts_with_digit(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_digit())
}

/// Whether a name has this suffix, which is in lower case, in any case.
fn has_suffix(name: &str, suffix: &str) -> bool {
    name.to_ascii_lowercase().ends_with(suffix)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(file: &str) -> String {
        Package::of(file).to_string()
    }

    #[test]
    fn finds_python_packages() {
        for (file, package) in [
            ("/v/lib/python3.7/site-packages/a/b/c.py", "a"),
            ("/usr/lib/python3/dist-packages/yaml/x.py", "yaml"),
            ("/v/site-packages/six.py", "six"),
            ("/v/site-packages/foo-1.0-py3.7.egg/foo/x.py", "foo"),
            ("/v/site-packages/a/vendor/site-packages/b/x.py", "b"),
            ("C:\\Py\\Lib\\site-packages\\attr\\_make.py", "attr"),
            (
                "/opt/conda/envs/ml/lib/python3.12/site-packages/numpy/core/x.py",
                "numpy",
            ),
            (
                "C:\\Users\\x\\AppData\\Roaming\\Python\\Python312\\site-packages\\rich\\a.py",
                "rich",
            ),
            (
                "/app/requests-2.31.0-py3-none-any.whl/requests/api.py",
                "requests 2.31.0",
            ),
            ("/app/deps.zip/httpx/client.py", "httpx"),
            ("/app/tool.pyz/click/core.py", "click"),
            ("/app/old-0.3-py2.7.egg/old/x.py", "old 0.3"),
        ] {
            assert_eq!(shown(file), package, "{file}");
        }
    }

    #[test]
    fn finds_python_standard_library() {
        for file in [
            "/usr/lib/python3.7/ast.py",
            "/usr/lib64/python3.11/ast.py",
            "/Library/Frameworks/Python.framework/Versions/3.12/lib/python3.12/os.py",
            "/opt/homebrew/Cellar/python@3.12/3.12.1/Frameworks/Python.framework/Versions/3.12/lib/python3.12/os.py",
            "/opt/conda/envs/ml/lib/python3.12/json/decoder.py",
            "/home/me/.pyenv/versions/3.12.1/lib/python3.12/os.py",
            "/home/me/.local/share/uv/python/cpython-3.12.1-linux-x86_64-gnu/lib/python3.12/os.py",
            "C:\\Users\\x\\AppData\\Local\\Programs\\Python\\Python37-32\\lib\\os.py",
            "C:\\Users\\x\\miniconda3\\Lib\\os.py",
            "C:\\Users\\x\\miniconda3\\envs\\ml\\Lib\\os.py",
            "C:\\Users\\x\\.pyenv\\pyenv-win\\versions\\3.12.1\\Lib\\os.py",
            "C:\\Program Files\\WindowsApps\\PythonSoftwareFoundation.Python.3.11_3.11.2288.0_x64__qbz5n2kfra8p0\\Lib\\os.py",
            "C:\\app\\python37.zip\\encodings\\utf_8.py",
            "/usr/lib/python312.zip/os.py",
            "/opt/pypy/lib/pypy3.9/ast.py",
            "<frozen zipimport>",
            "<frozen importlib._bootstrap>",
        ] {
            assert_eq!(Package::of(file), Package::StandardLibrary, "{file}");
        }
    }

    #[test]
    fn finds_rust_packages_and_standard_library() {
        for (file, package) in [
            (
                "/root/.cargo/registry/src/index.crates.io-1949cf8c6b5b557f/tokio-1.47.1/src/runtime/task/core.rs",
                "tokio 1.47.1",
            ),
            (
                "/root/.cargo/registry/src/github.com-1ecc6299db9ec823/rand-0.9.0-beta.1/src/lib.rs",
                "rand 0.9.0-beta.1",
            ),
            (
                "/root/.cargo/registry/src/index.crates.io-6f17/x86-64-asm-0.1.2/src/lib.rs",
                "x86-64-asm 0.1.2",
            ),
            (
                "C:\\Users\\x\\.cargo\\registry\\src\\index.crates.io-6f17\\serde-1.0.0\\src\\de\\mod.rs",
                "serde 1.0.0",
            ),
            (
                "/root/.cargo/git/checkouts/my-fork-9fca1d0e7b1c2a3b/1a2b3c4/src/lib.rs",
                "my-fork",
            ),
            ("vendor/hashbrown/src/raw/mod.rs", "hashbrown"),
            ("/src/app/vendor/bytes-1.5.0/src/bytes.rs", "bytes 1.5.0"),
            (
                "/rustc/59807616e1fa2540724bfbac14d7976d7e4a3860/library/std/src/panicking.rs",
                "standard library",
            ),
            (
                "/rustc/59807616e1fa2540724bfbac14d7976d7e4a3860\\library\\alloc\\src\\vec\\mod.rs",
                "standard library",
            ),
            ("library/core/src/ops/function.rs", "standard library"),
            (
                "library/stdarch/crates/core_arch/src/x86/sse2.rs",
                "standard library",
            ),
            (
                "/rust/deps/hashbrown-0.15.2/src/raw/mod.rs",
                "hashbrown 0.15.2",
            ),
            (
                "/root/.rustup/toolchains/stable-x86_64-unknown-linux-gnu/lib/rustlib/src/rust/library/alloc/src/raw_vec.rs",
                "standard library",
            ),
        ] {
            assert_eq!(shown(file), package, "{file}");
        }
    }

    #[test]
    fn finds_native_packages_and_system() {
        for (file, package) in [
            ("/usr/include/c++/12/bits/stl_vector.h", "standard library"),
            (
                "/opt/gcc/include/c++/14.1.0/ext/new_allocator.h",
                "standard library",
            ),
            ("/usr/include/x86_64-linux-gnu/curl/curl.h", "system"),
            ("/usr/lib/x86_64-linux-gnu/libc.so.6", "system"),
            ("/lib64/ld-linux-x86-64.so.2", "system"),
            ("../sysdeps/nptl/libc_start_call_main.h", "system"),
            ("../csu/libc-start.c", "system"),
            ("/usr/local/lib/libfoo.so", "system"),
            (
                "../../../../src/libstdc++-v3/libsupc++/new_op.cc",
                "standard library",
            ),
            (
                "C:\\Program Files (x86)\\Windows Kits\\10\\include\\ucrt\\malloc.h",
                "system",
            ),
            ("no symbol (libm.so)", "libm.so"),
            ("libm.so.6+0x12a9", "libm.so.6"),
            ("/opt/app/lib/libjpeg.so.62+0x7f", "libjpeg.so.62"),
            ("./malloc/malloc.c", "system"),
            (
                "/build/glibc-SgWmnM/glibc-2.36/malloc/malloc.c",
                "glibc 2.36",
            ),
            (
                "/usr/src/debug/zlib-1.2.13-4.fc38.x86_64/inflate.c",
                "zlib 1.2.13-4.fc38.x86_64",
            ),
            (
                "/opt/homebrew/Cellar/openssl@3/3.2.0/include/openssl/bio.h",
                "openssl@3 3.2.0",
            ),
            ("no symbol (libstdc++.so.6)", "libstdc++.so.6"),
            ("no symbol (/usr/lib/libz.so.1)", "libz.so.1"),
        ] {
            assert_eq!(shown(file), package, "{file}");
        }
    }

    #[test]
    fn own_code_is_what_no_rule_knows() {
        for file in [
            "<string>",
            "<ipython-input-1-abc>",
            "/srv/app/lib/pythonic/a.py",
            "/srv/app/python3/tool.py",
            "site-packages",
            "main.py",
            "src/main.rs",
            "crates/server/src/handlers.rs",
            "/home/me/service/src/registry/src/index.rs",
            "/home/me/app/library/core/src/lib.rs",
            "/home/me/app/vendor/notes.md",
            "/home/me/rustc/src/lib.rs",
            "/build/my-service/src/main.rs",
            "crates/registry/src/http/routes/users.rs",
            "library/core/catalog.py",
            "/home/me/rust/library/core/src/lib.rs",
            "/home/me/python3-service/lib/util.py",
            "/srv/app/lib/python3-utils/x.py",
            "/srv/envs/prod/lib/util.py",
            "/srv/app/versions/1.2.3/lib/app.py",
            "/home/me/anaconda-tools/lib/main.py",
            "/home/me/git/checkouts/shop/src/main.rs",
            "/app/service.pyz/__main__.py",
            "./elf/loader.c",
            "no symbol (app.solver)",
            "no symbol",
            "no symbol (",
            "no symbol (server)",
            "server+0x12a9",
            "libm.so+0xyz",
            "/usr/libfoo/a.c",
            "C:\\work\\app\\lib\\main.py",
        ] {
            assert_eq!(Package::of(file), Package::Own, "{file}");
        }
        assert_eq!(Package::of(""), Package::NoFile);
    }
}

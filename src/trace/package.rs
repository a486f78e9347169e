//! [`Package`]: the package of a Python program that a file belongs to.

use super::TraceTable;

/// The package that a file of a Python program belongs to, judged by its path.
///
/// ```
/// use heapprof::view::Package;
///
/// let of = Package::of;
/// assert_eq!(of("/venv/lib/python3.7/site-packages/jinja2/nodes.py"), Package::Installed("jinja2"));
/// assert_eq!(of("C:\\Python37\\Lib\\site-packages\\six.py"), Package::Installed("six"));
/// assert_eq!(of("/usr/lib/python3.7/json/decoder.py"), Package::StandardLibrary);
/// assert_eq!(of("<frozen importlib._bootstrap>"), Package::StandardLibrary);
/// assert_eq!(of("/srv/app/main.py"), Package::Own);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Package<'a> {
    /// An installed package: the name that follows the last `site-packages` or `dist-packages` of the path.
    Installed(&'a str),
    /// The standard library: `lib/python3.7` and similar directories, and frozen modules.
    StandardLibrary,
    /// Everything else: the program itself.
    Own,
}

impl<'a> Package<'a> {
    /// The package of a file. Both slashes and backslashes separate the parts of its path.
    pub fn of(file: &'a str) -> Self {
        if file.starts_with("<frozen ") {
            return Self::StandardLibrary;
        }
        let mut is_standard = false;
        // The two parts of the path after `part`.
        let (mut next, mut after_next) = (None, None);
        for part in file.rsplit(['/', '\\']) {
            if let ("site-packages" | "dist-packages", Some(name)) = (part, next) {
                // An egg is a directory or an archive that contains the package.
                let in_egg = after_next.filter(|_| has_suffix(name, ".egg"));
                let name = in_egg.unwrap_or(name);
                return Self::Installed(name.strip_suffix(".py").unwrap_or(name));
            }
            is_standard |= next.is_some_and(|next| is_library(part, next));
            (next, after_next) = (Some(part), next);
        }
        if is_standard {
            Self::StandardLibrary
        } else {
            Self::Own
        }
    }
}

/// Whether two parts of a path that follow each other are in the standard library: `lib/python3.7`,
/// `lib64/python3.7`, `Python37\Lib`, or `python37.zip` and any file in it.
fn is_library(part: &str, next: &str) -> bool {
    match part {
        "lib" | "lib64" | "lib32" if is_python(next) => true,
        _ => is_python(part) && (has_suffix(part, ".zip") || next.eq_ignore_ascii_case("lib")),
    }
}

/// Whether a name is `python` or `pypy` in any case, and a digit follows.
fn is_python(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    let version = name.strip_prefix("python").or(name.strip_prefix("pypy"));
    version.is_some_and(|version| version.starts_with(|c: char| c.is_ascii_digit()))
}

/// Whether a name has this suffix, which is in lower case, in any case.
fn has_suffix(name: &str, suffix: &str) -> bool {
    name.to_ascii_lowercase().ends_with(suffix)
}

impl TraceTable {
    /// A table with the same trace ids and a frame for each package of a Python program:
    /// `site-packages/NAME`, `standard library`, `own code`. Frames of the same package that follow each other
    /// are one.
    ///
    /// To show your own code by line and the rest by package, call [`Package::of`] in
    /// [`map_frames`](Self::map_frames).
    ///
    /// ```
    /// use heapprof::view::{Lines, Package};
    /// use heapprof::Reader;
    ///
    /// let reader = Reader::open("examples/data/demo")?;
    /// let end = reader.live_at_end()?;
    /// let lines = Lines::new(&reader.traces()?.by_package(), &end);
    /// let shown: Vec<_> = lines.by_local().map(|line| (line.frame.file, line.local)).collect();
    /// assert_eq!(shown, [("own code", 8_334_031), ("standard library", 72)]);
    ///
    /// let own = reader.traces()?.map_frames(|frame| match Package::of(frame.file) {
    ///     Package::Own => Some((frame.file, frame.line)),
    ///     _ => None,
    /// });
    /// assert_eq!(Lines::new(&own, &end).by_local().next().unwrap().frame.line, 11);
    /// # Ok::<(), heapprof::Error>(())
    /// ```
    #[must_use]
    pub fn by_package(&self) -> Self {
        self.map_frames(|frame| {
            let name = match Package::of(frame.file) {
                Package::Installed(name) => format!("site-packages/{name}"),
                Package::StandardLibrary => "standard library".to_owned(),
                Package::Own => "own code".to_owned(),
            };
            Some((name, 0))
        })
        .fold_recursion()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_package_of_real_paths() {
        use Package::{Installed, Own, StandardLibrary};
        for (file, package) in [
            ("/v/lib/python3.7/site-packages/a/b/c.py", Installed("a")),
            (
                "/usr/lib/python3/dist-packages/yaml/x.py",
                Installed("yaml"),
            ),
            ("/v/site-packages/six.py", Installed("six")),
            (
                "/v/site-packages/foo-1.0-py3.7.egg/foo/x.py",
                Installed("foo"),
            ),
            (
                "/v/site-packages/a/vendor/site-packages/b/x.py",
                Installed("b"),
            ),
            (
                "C:\\Py\\Lib\\site-packages\\attr\\_make.py",
                Installed("attr"),
            ),
            ("/usr/lib/python3.7/ast.py", StandardLibrary),
            ("/usr/lib64/python3.11/ast.py", StandardLibrary),
            (
                "/Library/Frameworks/Python.framework/Versions/3.7/lib/python3.7/os.py",
                StandardLibrary,
            ),
            (
                "C:\\Users\\x\\AppData\\Local\\Programs\\Python\\Python37-32\\lib\\os.py",
                StandardLibrary,
            ),
            (
                "C:\\app\\python37.zip\\encodings\\utf_8.py",
                StandardLibrary,
            ),
            ("/opt/pypy/lib/pypy3.9/ast.py", StandardLibrary),
            ("<frozen zipimport>", StandardLibrary),
            ("<string>", Own),
            ("<ipython-input-1-abc>", Own),
            ("/srv/app/lib/pythonic/a.py", Own),
            ("/srv/app/python3/tool.py", Own),
            ("site-packages", Own),
            ("main.py", Own),
            ("", Own),
        ] {
            assert_eq!(Package::of(file), package, "{file}");
        }
    }
}

//! Which package of a Python program does a file belong to?

use super::TraceTable;

/// What a file of a Python program belongs to, as far as its path tells.
///
/// ```
/// use heapprof::Package;
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
    /// An installed package: what stands below the last `site-packages` or `dist-packages` of the
    /// path.
    Installed(&'a str),
    /// What comes with Python: `lib/python3.7` and the like, and frozen modules.
    StandardLibrary,
    /// Everything else: the program itself.
    Own,
}

impl<'a> Package<'a> {
    /// What a file belongs to. Slashes and backslashes divide a path.
    pub fn of(file: &'a str) -> Self {
        if file.starts_with("<frozen ") {
            return Self::StandardLibrary;
        }
        let mut parts = file.rsplit(['/', '\\']);
        // The parts after the one in hand, the nearest first.
        let (mut after, mut after_that) = (None, None);
        let mut standard = false;
        for part in parts.by_ref() {
            if matches!(part, "site-packages" | "dist-packages")
                && let Some(name) = after
            {
                // An egg is a directory, or an archive, with the package in it.
                let name = match after_that {
                    Some(inner) if is(name, ".egg") => inner,
                    _ => name,
                };
                return Self::Installed(name.strip_suffix(".py").unwrap_or(name));
            }
            standard |= is_library(part, after);
            (after_that, after) = (after, Some(part));
        }
        if standard {
            Self::StandardLibrary
        } else {
            Self::Own
        }
    }
}

/// Whether a directory and what follows it, or an archive, hold the standard library.
fn is_library(part: &str, after: Option<&str>) -> bool {
    let Some(after) = after else {
        return false;
    };
    let numbered = |name: &str, prefix: &str| {
        let rest = name
            .get(..prefix.len())
            .filter(|head| head.eq_ignore_ascii_case(prefix))
            .and_then(|_| name.get(prefix.len()..));
        rest.is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()))
    };
    let python = |name: &str| numbered(name, "python") || numbered(name, "pypy");
    // lib/python3.7, lib64/python3.7, C:\Python37\Lib, python37.zip
    (matches!(part, "lib" | "lib64" | "lib32") && python(after))
        || (python(part) && after.eq_ignore_ascii_case("lib"))
        || (python(part) && is(part, ".zip"))
}

fn is(name: &str, extension: &str) -> bool {
    let start = name.len().checked_sub(extension.len());
    start.is_some_and(|start| {
        name.get(start..)
            .is_some_and(|end| end.eq_ignore_ascii_case(extension))
    })
}

impl TraceTable {
    /// A table with the same trace ids and a frame for each package of a Python program:
    /// `site-packages/NAME`, `standard library`, `own code`; frames of one package that follow each
    /// other are one.
    ///
    /// To see one's own code by line and the rest by package, use [`Package::of`] in
    /// [`map_frames`](Self::map_frames).
    ///
    /// ```
    /// use heapprof::{Lines, Package, Reader};
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
    fn paths_as_they_are_found() {
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

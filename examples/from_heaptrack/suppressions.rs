//! Leaks that are known and wanted: rules as of `LeakSanitizer`, which heaptrack applies too.

use crate::shell::clean;

/// What heaptrack suppresses in every program: memory that the C library, the dynamic linker and glib keep.
const BUILT_IN: [&str; 7] = [
    "__nss_module_allocate",
    "__gconv_read_conf",
    "__new_exitfn",
    "tzset_internal",
    "dl_open_worker",
    "g_main_context_new",
    "g_thread_self",
];

/// The rules for a recording: those that are built in, and those that the program has.
pub(crate) struct Suppressions(Vec<String>);

impl Suppressions {
    pub(crate) fn built_in() -> Self {
        Self(BUILT_IN.map(str::to_owned).to_vec())
    }

    /// Adds a rule of the program, such as `leak:libfoo.so`. Comments and empty rules add nothing.
    pub(crate) fn add(&mut self, rule: &str) {
        let rule = rule.trim();
        match rule.strip_prefix("leak:") {
            Some("") => {}
            Some(pattern) => self.0.push(pattern.to_owned()),
            None if rule.is_empty() || rule.starts_with('#') => {}
            None => eprintln!(
                "a suppression that is not of a leak is ignored: {}",
                clean(rule)
            ),
        }
    }

    /// Whether a rule is about this function, file or module.
    pub(crate) fn suppress(&self, name: &str) -> bool {
        self.0.iter().any(|pattern| matches(pattern, name))
    }
}

/// Whether a pattern occurs in a name: `*` stands for anything, `^` for the start and `$` for the end.
fn matches(pattern: &str, name: &str) -> bool {
    if name.is_empty() || pattern == name {
        return pattern == name;
    }
    let (start, pattern) = match pattern.strip_prefix('^') {
        Some(rest) => (true, rest),
        None => (false, pattern),
    };
    let (end, pattern) = match pattern.strip_suffix('$') {
        Some(rest) => (true, rest),
        None => (false, pattern),
    };
    let mut parts = pattern.split('*');
    let first = parts.next().unwrap_or_default();
    let Some(at) = name.find(first).filter(|&at| at == 0 || !start) else {
        return false;
    };
    let mut rest = &name[at + first.len()..];
    let mut last = first;
    for part in parts {
        let Some(at) = rest.find(part) else {
            return false;
        };
        rest = &rest[at + part.len()..];
        last = part;
    }
    // What the last part was found in may end with it once more.
    !end || rest.is_empty() || last.is_empty() || rest.ends_with(last)
}

#[cfg(test)]
mod tests {
    use super::matches;

    #[test]
    fn patterns_are_those_of_leak_sanitizer() {
        for (pattern, name, expected) in [
            ("foo", "libfoo.so", true),
            ("foo", "bar", false),
            ("foo", "", false),
            ("^foo", "libfoo", false),
            ("^lib*oo", "libfoo.so", true),
            ("foo$", "libfoo", true),
            ("foo$", "libfoo.so", false),
            ("foo$", "foofoo", true),
            ("f*o$", "fxo", true),
            ("f*$", "fxy", true),
            ("^foo$", "foo", true),
            ("a*b*c", "xaxxbxxcx", true),
            ("a*b*c", "xaxxcxxbx", false),
        ] {
            assert_eq!(matches(pattern, name), expected, "{pattern} {name}");
        }
    }
}

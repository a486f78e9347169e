//! [`Properties`]: facts about a recording, in the header of a `.hpm` file of version 2.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use super::block::{Cursor, push_varint};
use crate::error::DecodeErrorKind as Kind;

/// Facts about a recording: keys and values, in the order of the file. A file of version 1 has none.
///
/// Known keys are `recorder`, `command`, `pid`, `host` and `thread-roots`; a recorder can write others. A clone
/// shares the bytes.
///
/// ```
/// use heapprof::Reader;
/// use heapprof::raw::Properties;
///
/// let properties = Properties::from_iter([("recorder", "my-tool 1.2"), ("pid", "4711")]);
/// assert_eq!(properties.get("pid").as_deref(), Some("4711"));
/// assert_eq!(properties.iter().count(), 2);
/// assert!(Reader::open("examples/data/demo")?.properties().is_empty()); // a file of heapprof 1.0
/// # Ok::<(), heapprof::Error>(())
/// ```
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Properties {
    /// Keys and values in turn, each as a string on disk. So a file with many short ones costs no more than its
    /// bytes.
    strings: Arc<[u8]>,
}

impl Properties {
    pub(crate) fn read(cursor: &mut Cursor<'_>) -> Result<Self, Kind> {
        let mut strings = Vec::new();
        for _ in 0..cursor.varint()? {
            for _ in 0..2 {
                push_string(&mut strings, cursor.string()?);
            }
        }
        let strings = strings.into();
        Ok(Self { strings })
    }

    /// Appends the number of properties and their strings.
    pub(crate) fn push_to(&self, out: &mut Vec<u8>) {
        push_varint(out, self.iter().count() as u64);
        out.extend_from_slice(&self.strings);
    }

    /// All keys and values, with U+FFFD in place of bytes that are not UTF-8. A key can occur more than once.
    pub fn iter(&self) -> impl Iterator<Item = (Cow<'_, str>, Cow<'_, str>)> + Clone {
        let mut cursor = Cursor::new(&self.strings, 0);
        let mut string = move || cursor.string().ok().map(String::from_utf8_lossy);
        std::iter::from_fn(move || Some((string()?, string()?))).fuse()
    }

    /// The first value of a key. O(bytes of the properties).
    pub fn get(&self, key: &str) -> Option<Cow<'_, str>> {
        let (_, value) = self.iter().find(|(found, _)| found == key)?;
        Some(value)
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.strings.is_empty()
    }
}

impl Default for Properties {
    fn default() -> Self {
        Self {
            strings: Arc::new([]),
        }
    }
}

impl<K: AsRef<str>, V: AsRef<str>> FromIterator<(K, V)> for Properties {
    fn from_iter<I: IntoIterator<Item = (K, V)>>(properties: I) -> Self {
        let mut strings = Vec::new();
        for (key, value) in properties {
            push_string(&mut strings, key.as_ref().as_bytes());
            push_string(&mut strings, value.as_ref().as_bytes());
        }
        let strings = strings.into();
        Self { strings }
    }
}

impl fmt::Debug for Properties {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.iter()).finish()
    }
}

fn push_string(out: &mut Vec<u8>, string: &[u8]) {
    push_varint(out, string.len() as u64);
    out.extend_from_slice(string);
}

//! What a line of code says: the text of source lines, fetched where the files are at hand.

use std::fmt;
use std::io::Read;
use std::path::{Component, Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use hashbrown::HashMap;

use crate::bytes;
use crate::frame::Frame;
use crate::time::StartTime;
use crate::trace::Trace;

/// Fetches the text of source lines, for *dressed* stacks.
///
/// The text is fetched when it is asked for, so it only makes sense if the code has not changed
/// since the recording: see [`recorded_at`](Self::recorded_at). A profile from another machine has
/// that machine's paths: see [`map_prefix`](Self::map_prefix). A file that is missing, no regular
/// file, or over [16 MiB](Self::LARGEST_FILE) has no lines; that is no error.
///
/// A file is read once and kept as long as this is. Any file a profile names is looked for; for the
/// profile of a stranger look for [mapped ones](Self::only_mapped) alone.
///
/// ```
/// use heapprof::view::SourceLines;
/// use heapprof::Reader;
///
/// let folder = tempfile::tempdir()?;
/// std::fs::write(folder.path().join("customers.py"), "\n".repeat(10) + "    seen[key] = order\n")?;
///
/// let reader = Reader::open("examples/data/demo")?;
/// let sources = SourceLines::new().map_prefix("/srv/app/workloads/shop", folder.path());
/// let (heaviest, _) = reader.live_at_end()?.iter().next().unwrap();
/// let trace = reader.traces()?.trace(heaviest.unwrap()).unwrap();
/// let (frame, line) = sources.dress(trace).last().unwrap();
/// assert_eq!(frame.line, 11);
/// assert_eq!(line.unwrap().text(), "seen[key] = order");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[doc(alias("trace", "HeapTrace", "TraceLine"))]
#[derive(Default)]
pub struct SourceLines {
    prefixes: Vec<(String, PathBuf)>,
    only_mapped: bool,
    recorded: Option<SystemTime>,
    files: Mutex<HashMap<String, Option<Arc<SourceFile>>>>,
}

#[derive(Debug)]
struct SourceFile {
    text: String,
    /// Where each line begins.
    starts: Vec<u32>,
    changed: bool,
}

/// The text of one line of code.
///
/// ```
/// use heapprof::view::SourceLines;
/// use heapprof::Frame;
///
/// let sources = SourceLines::new();
/// let line = sources.line(Frame::new("examples/events.rs", 1)).unwrap();
/// assert_eq!(line.to_string(), line.text());
/// assert_eq!(line.text(), "//! The low-level loop: every event of a log, with nothing in between.");
/// assert!(!line.is_changed()); // not known: nobody said when the recording began
/// ```
#[doc(alias("TraceLine", "fileline"))]
#[derive(Clone)]
pub struct SourceLine {
    file: Arc<SourceFile>,
    /// Which line, from 0.
    number: usize,
}

impl SourceLines {
    /// No larger file is read.
    pub const LARGEST_FILE: u64 = 16 << 20;

    /// Files are looked for where the profile says they are.
    pub fn new() -> Self {
        Self::default()
    }

    /// Looks for files whose recorded path begins with `recorded` under `here` instead.
    ///
    /// A prefix ends where a component of the path does: `/srv/app` is none of `/srv/apple.py`. The
    /// first that was given decides.
    #[must_use]
    pub fn map_prefix(mut self, recorded: impl Into<String>, here: impl Into<PathBuf>) -> Self {
        self.prefixes.push((recorded.into(), here.into()));
        self
    }

    /// Looks for no files but those whose recorded path begins with a [mapped](Self::map_prefix)
    /// prefix: a profile can name any file there is.
    #[must_use]
    pub fn only_mapped(mut self) -> Self {
        self.only_mapped = true;
        self
    }

    /// Tells when the recording began, so that a file that was written later is told to have
    /// [changed](SourceLine::is_changed).
    #[must_use]
    pub fn recorded_at(mut self, start: StartTime) -> Self {
        self.recorded = start.to_system_time();
        self
    }

    /// The text of a line, if its file is at hand and has so many.
    pub fn line(&self, frame: Frame<'_>) -> Option<SourceLine> {
        let file = {
            let mut files = self.files.lock().unwrap_or_else(PoisonError::into_inner);
            match files.get(frame.file) {
                Some(known) => known.clone(),
                None => {
                    let path = self.path(frame.file);
                    let file = path.and_then(|path| self.read(&path)).map(Arc::new);
                    files.insert(frame.file.to_owned(), file.clone());
                    file
                }
            }
        }?;
        let number = usize::try_from(frame.line).ok()?.checked_sub(1)?;
        file.starts.get(number)?;
        Some(SourceLine { file, number })
    }

    /// The frames of a trace, outermost first, each with the text of its line.
    #[doc(alias("HeapTrace", "trace"))]
    pub fn dress<'t>(
        &self,
        trace: Trace<'t>,
    ) -> impl DoubleEndedIterator<Item = (Frame<'t>, Option<SourceLine>)> + ExactSizeIterator {
        trace.frames().map(|frame| (frame, self.line(frame)))
    }

    /// Where a recorded path is here; nowhere, if it would leave the folder that its prefix is
    /// mapped to.
    fn path(&self, recorded: &str) -> Option<PathBuf> {
        const SEPARATORS: [char; 2] = ['/', '\\'];
        for (prefix, here) in &self.prefixes {
            let Some(rest) = recorded.strip_prefix(prefix.as_str()) else {
                continue;
            };
            if rest.is_empty() || prefix.ends_with(SEPARATORS) || rest.starts_with(SEPARATORS) {
                // The path may be of a system that divides paths another way.
                let divides = if prefix.contains('\\') {
                    &SEPARATORS[..]
                } else {
                    &['/']
                };
                let mut path = here.clone();
                for part in rest.split(divides).filter(|part| !part.is_empty()) {
                    let mut components = Path::new(part).components();
                    match (components.next(), components.next()) {
                        (Some(Component::Normal(name)), None) => path.push(name),
                        (Some(Component::CurDir), None) => {}
                        _ => return None,
                    }
                }
                return Some(path);
            }
        }
        (!self.only_mapped).then(|| PathBuf::from(recorded))
    }

    fn read(&self, path: &Path) -> Option<SourceFile> {
        let file = bytes::open(path).ok()?;
        let metadata = file.metadata().ok()?;
        let mut text = Vec::new();
        file.take(Self::LARGEST_FILE + 1)
            .read_to_end(&mut text)
            .ok()?;
        if text.len() as u64 > Self::LARGEST_FILE {
            return None;
        }
        let text = String::from_utf8_lossy(&text).into_owned();
        let changed = match (self.recorded, metadata.modified()) {
            (Some(recorded), Ok(modified)) => modified > recorded,
            _ => false,
        };
        Some(SourceFile {
            starts: starts(&text),
            text,
            changed,
        })
    }
}

impl fmt::Debug for SourceLines {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SourceLines")
            .field("prefixes", &self.prefixes)
            .field("recorded", &self.recorded)
            .finish_non_exhaustive()
    }
}

/// Where each line begins; lines end as Python says: with `\n`, `\r` or both.
fn starts(text: &str) -> Vec<u32> {
    let mut starts = Vec::new();
    let mut begins = true;
    let mut bytes = text.bytes().zip(0_u32..).peekable();
    while let Some((byte, at)) = bytes.next() {
        if begins {
            starts.push(at);
        }
        let both = byte == b'\r' && bytes.peek().is_some_and(|&(next, _)| next == b'\n');
        begins = matches!(byte, b'\n' | b'\r') && !both;
    }
    starts
}

impl SourceFile {
    fn line(&self, number: usize) -> &str {
        let start = self
            .starts
            .get(number)
            .map_or(self.text.len(), |&start| start as usize);
        let end = self
            .starts
            .get(number + 1)
            .map_or(self.text.len(), |&end| end as usize);
        self.text.get(start..end).unwrap_or_default().trim()
    }
}

impl SourceLine {
    /// The line, without white space around.
    pub fn text(&self) -> &str {
        self.file.line(self.number)
    }

    /// Whether the file was written after the [recording began](SourceLines::recorded_at), so that
    /// the line may say another thing than what ran; `false` where that is not known.
    pub fn is_changed(&self) -> bool {
        self.file.changed
    }
}

impl fmt::Display for SourceLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.text())
    }
}

impl fmt::Debug for SourceLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SourceLine")
            .field("text", &self.text())
            .field("changed", &self.is_changed())
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn lines_end_as_python_says() {
        let file = |text: &str| SourceFile {
            text: text.to_owned(),
            starts: starts(text),
            changed: false,
        };
        let five = file("one\n\r\n  three\t\rfour\r\nfive");
        let found: Vec<_> = (0..6).map(|number| five.line(number)).collect();
        assert_eq!(found, ["one", "", "three", "four", "five", ""]);
        assert_eq!(five.starts.len(), 5);
        assert!(file("").starts.is_empty());
        assert_eq!(file("\r\n\r").starts.len(), 2);
    }

    #[test]
    fn prefixes_end_with_a_component_and_the_first_decides() {
        let sources = SourceLines::new()
            .map_prefix("/srv/app", "/here")
            .map_prefix("/srv/", "there")
            .map_prefix("C:\\jobs", "/jobs");
        for (recorded, here) in [
            ("/srv/app/a/b.py", "/here/a/b.py"),
            ("/srv/app", "/here"),
            ("/srv/apple.py", "there/apple.py"),
            ("/opt/x.py", "/opt/x.py"),
            ("C:\\jobs\\night\\x.py", "/jobs/night/x.py"),
            ("/srv/app/./x.py", "/here/x.py"),
        ] {
            assert_eq!(
                sources.path(recorded).as_deref(),
                Some(Path::new(here)),
                "{recorded}"
            );
        }
        for outside in ["/srv/app/../x.py", "C:\\jobs\\..\\x.py"] {
            assert_eq!(sources.path(outside), None, "{outside}");
        }
        let sources = sources.only_mapped();
        assert_eq!(sources.path("/opt/x.py"), None);
        assert_eq!(
            sources.path("/srv/app").as_deref(),
            Some(Path::new("/here"))
        );
    }

    #[test]
    fn what_is_not_there_has_no_text_and_what_was_read_is_kept() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.py");
        fs::write(&path, "one\ntwo\n").unwrap();
        let sources = SourceLines::new().map_prefix("/app", folder.path());
        let text = |file, line| Some(sources.line(Frame::new(file, line))?.text().to_owned());
        assert_eq!(text("/app/x.py", 2).as_deref(), Some("two"));
        fs::remove_file(&path).unwrap();
        assert_eq!(text("/app/x.py", 1).as_deref(), Some("one"));
        assert_eq!(text("/app/x.py", 0), None);
        assert_eq!(text("/app/x.py", 3), None);
        assert_eq!(text("/app/y.py", 1), None);
        assert_eq!(text("/app", 1), None); // a folder
    }

    #[test]
    fn a_file_written_after_the_recording_began_is_told() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("x.py"), "one\n").unwrap();
        let frame = Frame::new("/app/x.py", 1);
        for (start, changed) in [
            (StartTime::new(1, 0), true),
            (StartTime::new(1 << 33, 0), false),
        ] {
            let sources = SourceLines::new()
                .map_prefix("/app", folder.path())
                .recorded_at(start);
            assert_eq!(sources.line(frame).unwrap().is_changed(), changed);
        }
    }
}

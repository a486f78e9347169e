//! Finds frames of a [`TraceTable`]: exactly, and as people type or paste them.

use super::TraceTable;
use crate::frame::{Frame, unquoted};
use crate::id::FrameId;

impl TraceTable {
    /// The id of a frame; `None` if the table does not have it. A frame is its file, its line and its function:
    /// [`search`](Self::search) finds lines as people type them, in any function.
    ///
    /// O(log frames); the first call sorts the frames.
    ///
    /// ```
    /// use heapprof::{Frame, Reader};
    ///
    /// let reader = Reader::open("examples/data/demo")?;
    /// let traces = reader.traces()?;
    /// let id = traces.find(Frame::parse("/srv/app/workloads/shop/customers.py:11")?).unwrap();
    /// assert_eq!(traces.frame(id).unwrap().line, 11);
    /// assert_eq!(traces.find(Frame::new("customers.py", 11)), None); // not the whole name
    /// # Ok::<(), heapprof::Error>(())
    /// ```
    pub fn find<'f>(&self, frame: impl Into<Frame<'f>>) -> Option<FrameId> {
        let frame = Some(frame.into());
        let sorted = self.sorted();
        let index = sorted.binary_search_by_key(&frame, |&id| self.frame(id));
        sorted.get(index.ok()?).copied()
    }

    /// The ids of the frames that a typed or pasted text names, ordered by path, line and function.
    ///
    /// | text | names |
    /// | --- | --- |
    /// | `FILE:LINE` | the line, in any function |
    /// | `FUNCTION (FILE:LINE)` | the line in this function, or else where the recording has no function for it |
    /// | `FUNCTION (FILE)` | all lines of the function in this file |
    /// | `FILE` | the frames of the file without a line number, as in the tables of [`by_file`](Self::by_file) |
    /// | `FUNCTION` | all lines of all functions with this name |
    ///
    /// A path can be the end of a longer one, after a slash, and a function the end of a longer name, after `::` or `.`:
    /// `main.py:12` finds `/srv/app/main.py:12`, but not `/srv/app/domain.py:12`, and `run` finds `Worker.run`. Where
    /// something has exactly the name, only that is found.
    ///
    /// Accepts everything that [`Frame::parse`] accepts, and also `./main.py:12`, and a column or the text of the
    /// line after a second colon. Returns no frames for any other text. The ids are those of this table: to find frames of
    /// a regrouped table, search that one. O(log frames) for a whole path with a line, otherwise O(frames).
    ///
    /// ```
    /// use heapprof::{Frame, Reader, TraceTable};
    ///
    /// let reader = Reader::open("examples/data/demo")?;
    /// let traces = reader.traces()?;
    /// let [line] = traces.search("customers.py:11")[..] else { panic!("none, or many") };
    /// assert_eq!(traces.frame(line).unwrap().file, "/srv/app/workloads/shop/customers.py");
    /// assert_eq!(traces.search("shop/customers.py:11:5"), [line]);
    ///
    /// let run = Frame::new("app/worker.py", 7).in_function("Worker.run");
    /// let traces = TraceTable::from_iter([[run]]);
    /// let found = traces.search("run");
    /// assert_eq!(found.len(), 1);
    /// assert_eq!(traces.search("run (worker.py:7)"), found);
    /// # Ok::<(), heapprof::Error>(())
    /// ```
    pub fn search(&self, text: &str) -> Vec<FrameId> {
        let text = unquoted(text.trim());
        let without_column = text_before_column(text);
        let texts = [Some(text), without_column.as_deref()];
        let frames = texts.into_iter().flatten().map(Frame::parse);
        let mut by_line = frames.flatten().map(|frame| self.search_line(frame));
        let found = by_line.find(|found| !found.is_empty());
        found.unwrap_or_else(|| self.search_name(text))
    }

    fn search_line(&self, frame: Frame<'_>) -> Vec<FrameId> {
        let Frame {
            file,
            line,
            function,
        } = frame;
        if function.is_some() {
            if let Some(exact) = self.find(frame) {
                return vec![exact];
            }
        } else {
            // The line without a function, then the line in each function.
            let sorted = self.sorted();
            let line_of = |&id: &FrameId| self.frame(id).map(|it| (it.file, it.line));
            let first = sorted.partition_point(|id| line_of(id) < Some((file, line)));
            let from_first = sorted.get(first..).unwrap_or_default().iter();
            let exact = from_first.take_while(|id| line_of(id) == Some((file, line)));
            let exact: Vec<_> = exact.copied().collect();
            if !exact.is_empty() {
                return exact;
            }
        }
        self.best(|it| {
            let of_function = match (function, it.function) {
                (None, _) => 0,
                (Some(name), Some(known)) => ending(known, name, &["::", "."])?,
                (Some(_), None) => 2,
            };
            let of_file = path_ending(it.file, file)?;
            (it.line == line).then_some((of_function, of_file))
        })
    }

    fn search_name(&self, text: &str) -> Vec<FrameId> {
        let separators = &["::", "."];
        let in_file = text.strip_suffix(')').and_then(|it| it.rsplit_once(" ("));
        if let Some((name, file)) = in_file {
            let found = self.best(|it| {
                let of_function = ending(it.function?, name, separators)?;
                Some((of_function, path_ending(it.file, file)?))
            });
            if !found.is_empty() {
                return found;
            }
        }
        let files = self.best(|it| path_ending(it.file, text).filter(|_| it.line == 0));
        if !files.is_empty() {
            return files;
        }
        self.best(|it| ending(it.function?, text, separators))
    }

    /// The ids of the frames that `rank` ranks lowest, sorted by their frames.
    fn best<R: Ord + Copy>(&self, rank: impl Fn(&Frame<'_>) -> Option<R>) -> Vec<FrameId> {
        let ranked = |&id: &FrameId| Some((rank(&self.frame(id)?)?, id));
        let ranked: Vec<(R, FrameId)> = self.sorted().iter().filter_map(ranked).collect();
        let lowest = ranked.iter().map(|&(rank, _)| rank).min();
        let best = ranked.iter().filter(|&&(rank, _)| Some(rank) == lowest);
        best.map(|&(_, id)| id).collect()
    }

    fn sorted(&self) -> &[FrameId] {
        self.0.sorted.get_or_init(|| {
            let mut sorted: Box<[FrameId]> = self.frames().map(|(id, _)| id).collect();
            sorted.sort_unstable_by_key(|&id| self.frame(id));
            sorted
        })
    }
}

/// Ranks `whole` for a search for `name`: 0 if they are equal, 1 if `whole` ends with `name` after a separator. `None`
/// otherwise, and for an empty name.
fn ending(whole: &str, name: &str, separators: &[&str]) -> Option<u8> {
    let before = whole.strip_suffix(name).filter(|_| !name.is_empty())?;
    if before.is_empty() {
        return Some(0);
    }
    separators
        .iter()
        .any(|it| before.ends_with(it))
        .then_some(1)
}

/// As [`ending`], for paths. Only an unchanged `text` ranks 0.
fn path_ending(whole: &str, text: &str) -> Option<u8> {
    if whole == text {
        return Some(0);
    }
    let mut relative = text;
    for prefix in ["./", ".\\", "/"] {
        relative = relative.strip_prefix(prefix).unwrap_or(relative);
    }
    ending(whole, relative, &["/", "\\"]).map(|_| 1)
}

/// `FILE:LINE` of `FILE:LINE:COLUMN` and of the output of `grep -n`, with a function or without.
fn text_before_column(text: &str) -> Option<String> {
    let is_number = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
    let ends_with_line = |head: &&str| head.rsplit_once(':').is_some_and(|it| is_number(it.1));
    let mut heads = text
        .match_indices(':')
        .filter_map(|(end, _)| text.get(..end));
    let head = heads.find(ends_with_line)?;
    let close = if text.ends_with(')') { ")" } else { "" };
    Some(format!("{head}{close}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_frames_as_people_type_them() {
        let frames = [
            ("/srv/domain.py", 7),
            ("/srv/main.py", 7),
            ("C:\\main.py", 7),
            ("main.py", 7),
            ("/srv/main.py", 8),
        ];
        let table = TraceTable::from_iter([frames.map(Frame::from)]);
        let found = table.find(Frame::new("/srv/main.py", 7)).unwrap();
        assert_eq!(table.frame(found), Some(Frame::new("/srv/main.py", 7)));
        assert_eq!(table.find(Frame::new("/srv/main.py", 9)), None);
        assert_eq!(table.find(Frame::new("zzz", 9)), None);
        let search = |text| -> Vec<&str> {
            let found = table.search(text).into_iter();
            found.filter_map(|id| Some(table.frame(id)?.file)).collect()
        };
        assert_eq!(search("main.py:7"), ["main.py"]);
        let three = ["/srv/main.py", "C:\\main.py", "main.py"];
        assert_eq!(search("./main.py:7"), three);
        assert_eq!(search("/main.py:7"), three);
        assert_eq!(search("srv/main.py:7"), ["/srv/main.py"]);
        assert_eq!(search("C:\\main.py:7:22"), ["C:\\main.py"]);
        assert_eq!(search("/srv/main.py:8:    x = a[1:2]"), ["/srv/main.py"]);
        for nothing in [
            "",
            ":",
            ":7",
            "/:7",
            "main.py",
            "ain.py:7",
            "main.py:9",
            "a:b:c",
        ] {
            assert_eq!(search(nothing), <[&str; 0]>::default(), "{nothing}");
        }
    }

    #[test]
    fn finds_functions_as_people_type_them() {
        let table = TraceTable::from_iter([[
            Frame::new("/srv/a.rs", 7).in_function("app::main"),
            Frame::new("/srv/a.rs", 8).in_function("app::main"),
            Frame::new("/srv/a.rs", 7).in_function("app::Job::run"),
            Frame::new("/srv/b.rs", 7).in_function("run"),
            Frame::new("/srv/c.rs", 7),
        ]]);
        let search = |text| -> Vec<String> {
            let found = table.search(text).into_iter();
            found
                .filter_map(|id| Some(table.frame(id)?.to_string()))
                .collect()
        };
        let (run, job) = ("run (/srv/b.rs:7)", "app::Job::run (/srv/a.rs:7)");
        let main = ["app::main (/srv/a.rs:7)", "app::main (/srv/a.rs:8)"];
        assert_eq!(search("app::main"), main);
        assert_eq!(search("\"main\""), main);
        assert_eq!(search("main (a.rs)"), main);
        assert_eq!(search("main (srv/a.rs:8)"), main[1..]);
        assert_eq!(search("main (a.rs:8:22)"), main[1..]);
        assert_eq!(search("run"), [run]); // exactly the name
        assert_eq!(search("Job::run"), [job]);
        assert_eq!(search("run (a.rs:7)"), [job]);
        assert_eq!(search("/srv/a.rs:7"), [job, main[0]]);
        // A line whose function is not known may be in it.
        assert_eq!(search("run (c.rs:7)"), ["/srv/c.rs:7"]);
        for nothing in [
            "un",
            "main (b.rs:7)",
            "main (c.rs)",
            "a.rs",
            "()",
            " ()",
            "::run",
        ] {
            assert_eq!(search(nothing), [""; 0], "{nothing}");
        }
        let by_function = table.by_function();
        for (text, count) in [("main (a.rs)", 1), ("a.rs", 2), ("run", 1), ("c.rs:7", 1)] {
            assert_eq!(by_function.search(text).len(), count, "{text}");
        }
    }
}

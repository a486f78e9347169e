//! Tables with the same trace ids and other frames: renamed, hidden or folded.

use super::{Table, TraceTable};
use crate::frame::Frame;
use crate::id::FrameId;
use crate::id_vec::IdVec;
use crate::intern::{Frames, Interner};
use crate::raw::AsFrame;
use crate::tree::{ROOT, TreeBuilder};

impl TraceTable {
    /// A table with the same trace ids and other frames, for example by module or without a library. Every usage
    /// of this table fits it, and every view shows it.
    ///
    /// `map` is called once for each distinct frame. It returns the new frame, or `None` to hide the frame: its caller
    /// then counts as the allocating line. The new frame can be a [`Frame`] of names that outlive the call, an
    /// [`OwnedFrame`](crate::OwnedFrame) for names made in the closure, a pair of file name and line number, which has no
    /// function, or anything else that is [`AsFrame`]. A stack whose frames are all hidden counts as unknown. Frames that
    /// become equal are one line. [`fold_recursion`](Self::fold_recursion) joins those that follow each other.
    ///
    /// O(nodes of the call tree).
    ///
    /// ```
    /// use heapprof::view::Lines;
    /// use heapprof::Reader;
    ///
    /// let reader = Reader::open("examples/data/demo")?;
    /// // The program's own layers; the interpreter is hidden.
    /// let layers = reader.traces()?.map_frames(|frame| {
    ///     let module = frame.file.strip_prefix("/srv/app/workloads/")?;
    ///     Some((module.trim_end_matches(".py"), 0))
    /// });
    /// let lines = Lines::new(&layers, &reader.live_at_end()?);
    /// let heaviest = lines.by_local().next().unwrap();
    /// assert_eq!((heaviest.frame.to_string(), heaviest.local), ("shop/customers".into(), 8_274_572));
    /// # Ok::<(), heapprof::Error>(())
    /// ```
    ///
    /// Functions without their type parameters:
    ///
    /// ```
    /// use heapprof::{Frame, OwnedFrame, TraceTable};
    ///
    /// let traces = TraceTable::from_iter([[Frame::new("map.rs", 7).in_function("insert<u8, u8>")]]);
    /// let plain = traces.map_frames(|frame| {
    ///     let new = OwnedFrame::new(frame.file, frame.line);
    ///     let name = frame.function.and_then(|name| name.split('<').next());
    ///     Some(match name {
    ///         Some(name) => new.in_function(name),
    ///         None => new,
    ///     })
    /// });
    /// assert_eq!(plain.search("insert (map.rs:7)").len(), 1);
    /// ```
    #[doc(alias = "hide")]
    #[must_use]
    pub fn map_frames<'t, F: AsFrame>(
        &'t self,
        mut map: impl FnMut(Frame<'t>) -> Option<F>,
    ) -> Self {
        let mut interner = Interner::default();
        let ids = self.frames().map(|(_, frame)| {
            let mapped = map(frame)?;
            let function = mapped.function_bytes().map(String::from_utf8_lossy);
            // There are no more frames than in this table, so the interner cannot be full.
            interner
                .insert(Frame {
                    file: &String::from_utf8_lossy(mapped.file_bytes()),
                    line: mapped.line(),
                    function: function.as_deref(),
                })
                .ok()
        });
        let ids = ids.collect();
        self.regrouped(&ids, interner.into_frames(), |_| false)
    }

    /// A table with the same trace ids in which a line that directly calls itself is one frame.
    ///
    /// ```
    /// use heapprof::{Frame, TraceId, TraceTable};
    ///
    /// let walk = Frame::new("tree.py", 7);
    /// let traces = TraceTable::from_iter([[Frame::new("main.py", 1), walk, walk, walk]]);
    /// let folded = traces.fold_recursion();
    /// assert_eq!(folded.trace(TraceId::new(1)).unwrap().len(), 2);
    /// ```
    #[must_use]
    pub fn fold_recursion(&self) -> Self {
        let ids = self.frames().map(|(id, _)| Some(id)).collect();
        self.regrouped(&ids, self.0.frames.clone(), |_| true)
    }

    /// A table with the same trace ids and a frame for each function, without a line number. A frame whose function
    /// is not known stays as it is. Frames of the same function that follow each other are one.
    ///
    /// ```
    /// use heapprof::{Frame, TraceId, TraceTable};
    ///
    /// let main = Frame::new("main.py", 3).in_function("main");
    /// let parse = [7, 9].map(|line| Frame::new("parse.py", line).in_function("parse"));
    /// let traces = TraceTable::from_iter([[main, parse[0]], [main, parse[1]]]).by_function();
    /// let innermost = traces.trace(TraceId::new(2)).unwrap().innermost().unwrap();
    /// assert_eq!(innermost.to_string(), "parse (parse.py)");
    /// assert_eq!(traces.frame_count(), 2);
    /// ```
    #[must_use]
    pub fn by_function(&self) -> Self {
        self.map_frames(|frame| {
            let line = if frame.function.is_some() {
                0
            } else {
                frame.line
            };
            Some(Frame { line, ..frame })
        })
        .fold_recursion()
    }

    /// A table with the same trace ids and a frame for each file, without a line number. Frames of the same file
    /// that follow each other are one.
    ///
    /// ```
    /// use heapprof::view::Lines;
    /// use heapprof::Reader;
    ///
    /// let reader = Reader::open("examples/data/demo")?;
    /// let lines = Lines::new(&reader.traces()?.by_file(), &reader.live_at_end()?);
    /// let heaviest = lines.by_local().next().unwrap();
    /// assert_eq!(heaviest.frame.to_string(), "/srv/app/workloads/shop/customers.py");
    /// # Ok::<(), heapprof::Error>(())
    /// ```
    #[doc(alias = "granularity")]
    #[must_use]
    pub fn by_file(&self) -> Self {
        self.map_frames(|frame| Some((frame.file, 0)))
            .fold_recursion()
    }

    /// A table with the same trace ids and a frame for each directory, without a line number. Frames of the same
    /// directory that follow each other are one. A name without a directory is in `.`.
    ///
    /// ```
    /// use heapprof::view::Lines;
    /// use heapprof::Reader;
    ///
    /// let reader = Reader::open("examples/data/demo")?;
    /// let lines = Lines::new(&reader.traces()?.by_directory(), &reader.live_at_end()?);
    /// let heaviest = lines.by_local().next().unwrap();
    /// assert_eq!(heaviest.frame.to_string(), "/srv/app/workloads/shop");
    /// # Ok::<(), heapprof::Error>(())
    /// ```
    #[must_use]
    pub fn by_directory(&self) -> Self {
        let directory = |frame: Frame<'_>| {
            match frame.file.rfind(['/', '\\']) {
                Some(0) => frame.file.get(..1),
                Some(end) => frame.file.get(..end),
                None => Some("."),
            }
            .map(|name| (name.to_owned(), 0))
        };
        self.map_frames(directory).fold_recursion()
    }

    /// Replaces each frame by that in `ids`, or removes it. A new frame that `folds` is removed if it equals its
    /// parent's.
    fn regrouped(
        &self,
        ids: &IdVec<FrameId, Option<FrameId>>,
        frames: Frames,
        folds: impl Fn(FrameId) -> bool,
    ) -> Self {
        let mut tree = TreeBuilder::new();
        let nodes = self
            .tree()
            .map_nodes(ROOT, |parent, frame| match ids.get(frame) {
                Some(frame) if tree.frame(parent) != Some(frame) || !folds(frame) => {
                    // The new tree has no more nodes than the old one, so it cannot be full.
                    tree.child(parent, frame).unwrap_or(parent)
                }
                _ => parent,
            });
        let leaves = self.0.leaves.iter().map(|&leaf| nodes.get(leaf));
        Self::new(Table {
            damage: self.0.damage.clone(),
            damaged: self.0.damaged,
            ..Table::new(frames, tree, leaves.collect())
        })
    }
}

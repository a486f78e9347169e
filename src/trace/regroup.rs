//! Tables with the same trace ids and other frames: renamed, hidden or folded.

use std::borrow::Cow;

use super::{Table, TraceTable};
use crate::frame::Frame;
use crate::id::FrameId;
use crate::id_vec::IdVec;
use crate::intern::{Frames, Interner};
use crate::tree::{ROOT, TreeBuilder};

impl TraceTable {
    /// A table with the same trace ids and other frames, for example by module or without a library. Every usage
    /// of this table fits it, and every view shows it.
    ///
    /// `map` is called once for each distinct line. It returns the new name and line number, or `None` to hide
    /// the line: its caller then counts as the allocating line. A stack whose frames are all hidden counts as
    /// unknown. Frames that become equal are one line. [`fold_recursion`](Self::fold_recursion) joins those that
    /// follow each other.
    ///
    /// O(nodes of the call tree).
    ///
    /// ```
    /// use heapprof::{Lines, Reader};
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
    #[doc(alias = "hide")]
    #[must_use]
    pub fn map_frames<'t, N: Into<Cow<'t, str>>>(
        &'t self,
        mut map: impl FnMut(Frame<'t>) -> Option<(N, u32)>,
    ) -> Self {
        let mut interner = Interner::default();
        let ids = self.frames().map(|(_, frame)| {
            let (file, line) = map(frame)?;
            // There are no more frames than in this table, so the interner cannot be full.
            interner.insert(Frame::new(&file.into(), line)).ok()
        });
        let ids = ids.collect();
        self.regrouped(&ids, interner.into_frames(), false)
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
        self.regrouped(&ids, self.0.frames.clone(), true)
    }

    /// A table with the same trace ids and a frame for each file, without a line number. Frames of the same file
    /// that follow each other are one.
    ///
    /// ```
    /// use heapprof::{Lines, Reader};
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
    /// use heapprof::{Lines, Reader};
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

    /// Replaces each frame by that in `ids`, or removes it. With `fold`, a frame that equals its parent's goes too.
    fn regrouped(&self, ids: &IdVec<FrameId, Option<FrameId>>, frames: Frames, fold: bool) -> Self {
        let mut tree = TreeBuilder::new();
        let nodes = self
            .tree()
            .map_nodes(ROOT, |parent, frame| match ids.get(frame) {
                Some(frame) if !(fold && tree.frame(parent) == Some(frame)) => {
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

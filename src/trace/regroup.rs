//! A table with other frames: renamed, hidden, folded; and the same trace ids.

use std::borrow::Cow;

use super::{Table, TraceTable};
use crate::frame::Frame;
use crate::id::FrameId;
use crate::intern::{Frames, Interner};
use crate::tree::{ROOT, TreeBuilder};

impl TraceTable {
    /// A table with the same trace ids and other frames, so that every usage fits it and every view
    /// shows it: by module, by layer of a program, without what is of no interest.
    ///
    /// `map` is asked once for each distinct line and gives its new name and line number, or `None`
    /// to hide it: what it allocates then counts at who called it. A stack of which all is hidden
    /// counts as unknown. Frames that become equal become one line; where they follow each other,
    /// [`fold_recursion`](Self::fold_recursion) makes one frame of them.
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
        let ids: Vec<Option<FrameId>> = self
            .frames()
            .map(|(_, frame)| {
                let (file, line) = map(frame)?;
                // There are no more of them than before.
                interner
                    .frame(Frame::new(&file.into(), line))
                    .ok()
                    .map(|(id, _)| id)
            })
            .collect();
        self.regrouped(&ids, interner.into_frames(), false)
    }

    /// A table with the same trace ids in which a line that directly calls itself stands once.
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
        let ids: Vec<Option<FrameId>> = self.frames().map(|(id, _)| Some(id)).collect();
        self.regrouped(&ids, self.0.frames.clone(), true)
    }

    /// A table with the same trace ids and a frame for each file, without a line number; frames of
    /// one file that follow each other are one.
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

    /// A table with the same trace ids and a frame for each directory, without a line number; frames
    /// of one directory that follow each other are one. A name without a directory is in `.`.
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

    /// The frame of each node becomes another or goes; `fold` makes one of equal ones that follow
    /// each other.
    fn regrouped(&self, ids: &[Option<FrameId>], frames: Frames, fold: bool) -> Self {
        let old = self.tree();
        let mut tree = TreeBuilder::new();
        let mut nodes = vec![ROOT; old.len()];
        let places = old.parents().iter().zip(old.frames()).enumerate();
        for (place, (&parent, frame)) in places.skip(1) {
            let above = nodes.get(parent as usize).copied().unwrap_or(ROOT);
            let node = match ids.get(frame.index()).copied().flatten() {
                Some(frame) if !(fold && tree.frame(above) == Some(frame)) => {
                    // There are no more of them than before.
                    tree.child(above, frame).unwrap_or(above)
                }
                _ => above,
            };
            if let Some(here) = nodes.get_mut(place) {
                *here = node;
            }
        }
        let mut leaves: Box<[u32]> = self
            .0
            .leaves
            .iter()
            .map(|&leaf| nodes.get(leaf as usize).copied().unwrap_or(ROOT))
            .collect();
        let tree = tree.finish(&mut leaves);
        Self::new(Table {
            frames,
            tree,
            leaves,
            damage: self.0.damage.clone(),
            damaged: self.0.damaged,
            ..Table::default()
        })
    }
}

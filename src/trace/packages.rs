//! [`Packages`]: rules that say whose code a file is, and tables that show own code and packages.

use super::package::Package;
use super::{Table, TraceTable};
use crate::frame::Frame;
use crate::id::{FrameId, Id};
use crate::id_vec::IdVec;
use crate::intern::Interner;
use crate::tree::{NodeId, ROOT, TreeBuilder};

/// Rules that say whose code a file is: your own rules, and for all other files those of [`Package::of`].
///
/// ```
/// use heapprof::view::{Package, Packages};
///
/// let packages = Packages::new()
///     .installed("/srv/third_party/zlib/", "zlib")
///     .own("/usr/lib/ourapp/");
/// assert_eq!(packages.of("/srv/third_party/zlib/inflate.c"), Package::installed("zlib"));
/// assert_eq!(packages.of("/usr/lib/ourapp/main.py"), Package::Own);
/// assert_eq!(packages.of("/usr/lib/libm.so"), Package::System);
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Packages {
    /// Files or folders and the names of packages, in the order in which they were given. `None` is own code.
    rules: Vec<(String, Option<String>)>,
}

/// Whether a path is the given one, or below that folder.
fn is_below(file: &str, folder: &str) -> bool {
    let separators = ['/', '\\'];
    match file.strip_prefix(folder) {
        Some(rest) => {
            !folder.is_empty()
                && (rest.is_empty() || folder.ends_with(separators) || rest.starts_with(separators))
        }
        None => false,
    }
}

impl Packages {
    /// The rules of [`Package::of`] alone.
    pub fn new() -> Self {
        Self::default()
    }

    /// This file, or the files below this folder, are the program's own. Earlier rules win.
    #[must_use]
    pub fn own(mut self, path: impl Into<String>) -> Self {
        self.rules.push((path.into(), None));
        self
    }

    /// This file, or the files below this folder, are of an installed package. Earlier rules win.
    #[must_use]
    pub fn installed(mut self, path: impl Into<String>, name: impl Into<String>) -> Self {
        self.rules.push((path.into(), Some(name.into())));
        self
    }

    /// The package of a file. O(rules).
    pub fn of<'a>(&'a self, file: &'a str) -> Package<'a> {
        let rule = self.rules.iter().find(|(path, _)| is_below(file, path));
        match rule {
            Some((_, Some(name))) => Package::installed(name),
            Some((_, None)) => Package::Own,
            None => Package::of(file),
        }
    }

    /// Whether the rules recognise any file of a table as foreign code. If they do not, all of it counts as the
    /// program's own, and a distinction by packages says nothing.
    ///
    /// ```
    /// use heapprof::view::Packages;
    /// use heapprof::{Frame, Reader, TraceTable};
    ///
    /// assert!(Packages::new().recognize(Reader::open("examples/data/demo")?.traces()?));
    /// let strange = TraceTable::from_iter([[Frame::new("module:main", 1), Frame::new("module:parse", 2)]]);
    /// assert!(!Packages::new().recognize(&strange));
    /// # Ok::<(), heapprof::Error>(())
    /// ```
    pub fn recognize(&self, traces: &TraceTable) -> bool {
        let mut packages = traces.frames().map(|(_, frame)| self.of(frame.file));
        packages.any(|package| !matches!(package, Package::Own | Package::NoFile))
    }

    /// Which frames of a table are own code. Frames without a file are only if the table has no frame with one.
    pub(crate) fn own_frames(&self, traces: &TraceTable) -> IdVec<FrameId, bool> {
        let packages = || traces.frames().map(|(_, frame)| self.of(frame.file));
        let own = if packages().all(|package| package == Package::NoFile) {
            Package::NoFile
        } else {
            Package::Own
        };
        packages().map(|package| package == own).collect()
    }
}

/// The name of a run of frames without a file.
const NO_FILE: &str = "no file …";

impl TraceTable {
    /// A table with the same trace ids and a frame for each [`Package`]: `serde_json 1.0.154`, `standard library`,
    /// `own code`. Frames of the same package that follow each other are one. If [nothing is
    /// recognised](Packages::recognize), own code is called `unrecognised`.
    ///
    /// ```
    /// use heapprof::view::{Lines, Packages};
    /// use heapprof::Reader;
    ///
    /// let reader = Reader::open("examples/data/demo")?;
    /// let by_package = reader.traces()?.by_package(&Packages::new());
    /// let lines = Lines::new(&by_package, &reader.live_at_end()?);
    /// let shown: Vec<_> = lines.by_local().map(|line| (line.frame.file, line.local)).collect();
    /// assert_eq!(shown, [("own code", 8_334_031), ("standard library", 72)]);
    /// # Ok::<(), heapprof::Error>(())
    /// ```
    #[must_use]
    pub fn by_package(&self, packages: &Packages) -> Self {
        let is_recognised = packages.recognize(self);
        self.map_frames(|frame| {
            let name = match packages.of(frame.file) {
                Package::Own if !is_recognised => "unrecognised".to_owned(),
                package => package.to_string(),
            };
            Some((name, 0))
        })
        .fold_recursion()
    }

    /// A table with the same trace ids in which each run of frames that are not own code is one frame, named after its
    /// outermost package: `serde_json 1.0.154 …`. Own code stays as it is.
    ///
    /// ```
    /// use heapprof::view::Packages;
    /// use heapprof::{Frame, TraceId, TraceTable};
    ///
    /// let of_serde = "/root/.cargo/registry/src/index.crates.io-6f17/serde_json-1.0.154/src/map.rs";
    /// let stack = [Frame::new("src/main.rs", 49), Frame::new(of_serde, 138), Frame::new(of_serde, 20)];
    /// let folded = TraceTable::from_iter([stack]).fold_foreign(&Packages::new());
    /// let frames: Vec<_> = folded.trace(TraceId::new(1)).unwrap().frames().collect();
    /// assert_eq!(frames, [Frame::new("src/main.rs", 49), Frame::new("serde_json 1.0.154 …", 0)]);
    /// ```
    #[must_use]
    pub fn fold_foreign(&self, packages: &Packages) -> Self {
        let own_frames = packages.own_frames(self);
        let mut interner = Interner::default();
        let no_file = interner.insert(Frame::new(NO_FILE, 0)).ok();
        let mut is_foreign = IdVec::<FrameId, bool>::new();
        is_foreign.push(true);
        let ids = self.frames().map(|(id, frame)| {
            let is_own = own_frames.get(id);
            let label = match packages.of(frame.file) {
                Package::NoFile => NO_FILE.to_owned(),
                package => format!("{package} …"),
            };
            let shown = if is_own { frame } else { Frame::new(&label, 0) };
            let id = interner.insert(shown).ok()?;
            if id.index() == is_foreign.len() {
                is_foreign.push(!is_own);
            }
            Some(id)
        });
        let ids: IdVec<FrameId, Option<FrameId>> = ids.collect();
        let mut tree = TreeBuilder::new();
        // Each node, and the parent of its run.
        let nodes = self
            .tree()
            .map_nodes((ROOT, ROOT), |(node, parent), frame| {
                let Some(frame) = ids.get(frame) else {
                    return (node, parent);
                };
                let run = tree
                    .frame(node)
                    .filter(|&run| is_foreign.get(run) && is_foreign.get(frame));
                let parent = match run {
                    None => node,
                    // The run so far is of frames without a file: it gets the name of this package.
                    Some(_) if tree.frame(node) == no_file && Some(frame) != no_file => parent,
                    Some(_) => return (node, parent),
                };
                // The new tree has no more nodes than the old one, so it cannot be full.
                (tree.child(parent, frame).unwrap_or(parent), parent)
            });
        let leaves = self.0.leaves.iter().map(|&leaf| nodes.get(leaf).0);
        let leaves = leaves.collect();
        Self::new(Table {
            damage: self.0.damage.clone(),
            damaged: self.0.damaged,
            ..Table::new(interner.into_frames(), tree, leaves)
        })
    }

    /// A table with the same trace ids in which each stack ends at its innermost frame of own code: the line that is
    /// responsible for the allocation. A stack without own code is one frame, that of its innermost package. Every
    /// usage fits, so any view shows who is responsible: [`Lines`](crate::view::Lines), also with [error
    /// bars](crate::view::LineErrorBars) or as a [flow graph](crate::view::FlowGraph) of several usages.
    /// [`Blame`](crate::view::Blame) also keeps the ways from the line to the allocations.
    ///
    /// ```
    /// use heapprof::view::{Lines, Packages};
    /// use heapprof::{Frame, TraceId, TraceTable, Usage};
    ///
    /// let of_serde = "/root/.cargo/registry/src/index.crates.io-6f17/serde_json-1.0.154/src/map.rs";
    /// let stack = [Frame::new("src/main.rs", 49), Frame::new(of_serde, 138)];
    /// let traces = TraceTable::from_iter([&stack[..], &stack[1..]].map(|stack| stack.to_vec()));
    /// let usage = Usage::from_iter([(TraceId::new(1), 300), (TraceId::new(2), 20)]);
    /// let responsible = traces.cut_to_own(&Packages::new());
    /// let lines = Lines::new(&responsible, &usage);
    /// let shown: Vec<_> = lines.by_local().map(|line| (line.frame.to_string(), line.local)).collect();
    /// assert_eq!(shown, [("src/main.rs:49".into(), 300), ("serde_json 1.0.154".into(), 20)]);
    /// ```
    #[must_use]
    pub fn cut_to_own(&self, packages: &Packages) -> Self {
        self.cut_at(packages, &packages.own_frames(self))
    }

    /// As [`cut_to_own`](Self::cut_to_own), for the frames that pass a test instead of own code. The test is called
    /// once for each distinct frame. O(nodes of the call tree).
    #[must_use]
    pub fn cut_to<'t>(
        &'t self,
        packages: &Packages,
        mut passes: impl FnMut(Frame<'t>) -> bool,
    ) -> Self {
        let frames = self.frames().map(|(_, frame)| passes(frame));
        self.cut_at(packages, &frames.collect())
    }

    pub(crate) fn cut_at(&self, packages: &Packages, passes: &IdVec<FrameId, bool>) -> Self {
        let mut interner = Interner::of(self.0.frames.clone());
        let labels = self.frames().map(|(_, frame)| {
            let label = packages.of(frame.file).to_string();
            interner.insert(Frame::new(&label, 0)).ok()
        });
        let labels: IdVec<FrameId, Option<FrameId>> = labels.collect();
        let mut tree = TreeBuilder::of(self.tree());
        let mut index = ROOT.index();
        let cuts = self.tree().map_nodes(ROOT, |cut, frame| {
            index += 1;
            if passes.get(frame) {
                NodeId::from_index(index)
            } else {
                cut
            }
        });
        let leaves = self.0.leaves.iter().map(|&leaf| {
            let cut = cuts.get(leaf);
            if cut != ROOT || leaf == ROOT {
                return cut;
            }
            let innermost = self.tree().frame(leaf);
            let label = innermost.and_then(|frame| labels.get(frame));
            label.map_or(ROOT, |label| tree.child(ROOT, label).unwrap_or(ROOT))
        });
        let leaves = leaves.collect();
        Self::new(Table {
            damage: self.0.damage.clone(),
            damaged: self.0.damaged,
            ..Table::new(interner.into_frames(), tree, leaves)
        })
    }

    /// A table with the same trace ids in which each stack begins at its innermost frame that passes. A stack without
    /// one stays whole.
    pub(crate) fn ways_from(&self, passes: &IdVec<FrameId, bool>) -> Self {
        let mut tree = TreeBuilder::new();
        let nodes = self.tree().map_nodes(ROOT, |way, frame| {
            let way = if passes.get(frame) { ROOT } else { way };
            // The new tree has no more nodes than this one, so it cannot be full.
            tree.child(way, frame).unwrap_or(way)
        });
        let leaves = self.0.leaves.iter().map(|&leaf| nodes.get(leaf)).collect();
        Self::new(Table {
            damage: self.0.damage.clone(),
            damaged: self.0.damaged,
            ..Table::new(self.0.frames.clone(), tree, leaves)
        })
    }
}

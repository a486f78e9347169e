//! What is at an address: functions, files and lines, and the call tree of all stacks so far.
//!
//! This belongs to the thread that writes, and is kept from one recording to the next: looking up an address can take
//! milliseconds, and parsing the debug information at first some hundred.

use std::path::Path;

use backtrace::Symbol;
use hashbrown::HashMap;
use heapprof::OwnedFrame;

use crate::modules::{self, Changes, Module};
use crate::stack::CUT;

/// All that was looked up so far. Memory: O(distinct addresses and nodes of the call tree).
#[derive(Debug, Default)]
pub(crate) struct Symbols {
    frames: Vec<Frame>,
    numbers: HashMap<Frame, u32>,
    places: Vec<Place>,
    /// The place at each address, as libraries are loaded now.
    place_at: HashMap<usize, u32>,
    /// The call tree. Each node but the root: its caller, and its place.
    nodes: Vec<(Node, u32)>,
    node_of: HashMap<(Node, u32), Node>,
    /// The innermost node of each stack, by the stack's number.
    stacks: Vec<Node>,
    modules: Vec<Module>,
    changes: Changes,
    quality: Quality,
}

/// A node of the call tree: a stack. 0 is the empty one.
type Node = u32;

/// An address in code.
#[derive(Debug)]
struct Place {
    address: usize,
    /// The frames there, innermost first, once they were looked up.
    frames: Option<Box<[u32]>>,
}

/// What was missing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Quality {
    /// How many addresses were looked up.
    pub(crate) addresses: usize,
    /// How many of them have no symbol.
    pub(crate) without_symbol: usize,
    /// How many of them are in the executable and have no line.
    pub(crate) without_line: usize,
    /// The build ids of files with addresses that have no symbol, as `name=id`, in the order of their first.
    pub(crate) build_ids: Vec<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Frame {
    frame: OwnedFrame,
    origin: Origin,
}

/// Whose code a frame is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Origin {
    /// This crate, and what the compiler puts before it: `__rust_alloc` and the like.
    Recorder,
    /// The standard library.
    Standard,
    /// Where the standard library hands over to `main`, or to what a thread runs.
    Entry,
    /// The program and its libraries, and what has no symbol.
    Program,
}

impl Symbols {
    /// Takes in libraries that were loaded or unloaded. Gives whether addresses may mean something else now.
    pub(crate) fn refresh(&mut self) -> bool {
        let changes = modules::changes();
        let unloaded = self.changes.1 != changes.1;
        if self.changes != changes || self.modules.is_empty() {
            self.changes = changes;
            self.modules = modules::modules();
            backtrace::clear_symbol_cache();
            if unloaded {
                self.place_at.clear();
            }
        }
        unloaded
    }

    /// Parses the debug information of the executable, which takes longer than a recording may be behind.
    pub(crate) fn warm_up(&mut self) {
        self.refresh();
        let address = Self::warm_up as *mut std::ffi::c_void;
        backtrace::resolve(address, |_| {});
    }

    /// Adds the next stack, by its addresses, innermost first.
    pub(crate) fn add_stack(&mut self, addresses: &[usize]) {
        let mut node = 0;
        for &address in addresses.iter().rev() {
            let place = *self.place_at.entry(address).or_insert_with(|| {
                let frames = None;
                self.places.push(Place { address, frames });
                (self.places.len() - 1).try_into().unwrap_or(u32::MAX)
            });
            node = *self.node_of.entry((node, place)).or_insert_with(|| {
                self.nodes.push((node, place));
                self.nodes.len().try_into().unwrap_or(u32::MAX)
            });
        }
        self.stacks.push(node);
    }

    /// The frames of a stack, by its number, outermost first: inlined functions are frames of their own, the recorder is
    /// left out, and so is the standard library at both ends unless the stack is wanted `whole`.
    pub(crate) fn stack(&mut self, stack: u32, whole: bool) -> Vec<&OwnedFrame> {
        let mut numbers = Vec::new();
        let mut node = self.stacks.get(stack as usize).copied().unwrap_or(0);
        let mut entry = None;
        while node > 0 && entry.is_none() {
            let (parent, place) = self.nodes[node as usize - 1];
            let from = numbers.len();
            numbers.extend_from_slice(self.frames_at(place));
            node = parent;
            if !whole {
                // What is outside is not even looked up: it is the C library, with debug information of its own.
                let is_entry = |&number: &u32| self.origin(number) == Origin::Entry;
                entry = numbers[from..]
                    .iter()
                    .position(is_entry)
                    .map(|at| from + at);
            }
        }
        let this = &*self;
        let is = |origin| move |&number: &u32| this.origin(number) == origin;
        let inner = numbers.iter().rposition(is(Origin::Recorder));
        let mut frames = &numbers[inner.map_or(0, |at| at + 1)..];
        if !whole {
            if let Some(at) = frames.iter().position(is(Origin::Entry)) {
                frames = &frames[..at];
            }
            let last = frames.iter().rposition(is(Origin::Program));
            let first = frames.iter().position(is(Origin::Program));
            if let (Some(first), Some(last)) = (first, last) {
                frames = &frames[first..=last];
            }
        }
        let frames = frames.iter().rev();
        frames
            .map(|&number| &self.frames[number as usize].frame)
            .collect()
    }

    fn origin(&self, number: u32) -> Origin {
        self.frames[number as usize].origin
    }

    fn frames_at(&mut self, place: u32) -> &[u32] {
        let at = place as usize;
        if self.places[at].frames.is_none() {
            self.places[at].frames = Some(self.look_up(self.places[at].address));
        }
        self.places[at].frames.as_deref().unwrap_or_default()
    }

    pub(crate) fn quality(&self) -> &Quality {
        &self.quality
    }

    /// The frames at an address, innermost first.
    fn look_up(&mut self, address: usize) -> Box<[u32]> {
        if address == CUT {
            return Box::new([self.number(OwnedFrame::new("(cut)", 0), Origin::Program)]);
        }
        self.quality.addresses += 1;
        // A return address is that of the next instruction, which can be another line's.
        let call = address - 1;
        let inside = |module: &&Module| module.segments.iter().any(|it| it.contains(&call));
        let place = self.modules.iter().position(|module| inside(&module));
        let mut found = Vec::new();
        backtrace::resolve(std::ptr::without_provenance_mut(address), |symbol| {
            found.extend(named(symbol));
        });
        let module = place.map(|at| &self.modules[at]);
        let name = module.map_or("", |module| &module.name);
        if place == Some(0) && found.iter().all(|(_, file, _)| file.is_none()) {
            self.quality.without_line += 1;
        }
        if found.is_empty() {
            self.quality.without_symbol += 1;
            let place = match module {
                Some(module) => {
                    let build_id = format!("{name}={}", module.build_id);
                    if !module.build_id.is_empty() && !self.quality.build_ids.contains(&build_id) {
                        self.quality.build_ids.push(build_id);
                    }
                    format!("{name}+0x{:x}", call.wrapping_sub(module.bias))
                }
                None => format!("0x{call:x}"),
            };
            return Box::new([self.number(OwnedFrame::new(place, 0), Origin::Program)]);
        }
        let name = name.to_owned();
        let frames = found.into_iter().map(|(function, file, line)| {
            let origin = Origin::of(function.as_deref(), file.as_deref());
            let frame = OwnedFrame::new(file.as_deref().unwrap_or(&name), line);
            let frame = match function {
                Some(function) => frame.in_function(function),
                None => frame,
            };
            self.number(frame, origin)
        });
        frames.collect()
    }

    fn number(&mut self, frame: OwnedFrame, origin: Origin) -> u32 {
        let frame = Frame { frame, origin };
        *self.numbers.entry(frame).or_insert_with_key(|frame| {
            self.frames.push(frame.clone());
            (self.frames.len() - 1).try_into().unwrap_or(u32::MAX)
        })
    }
}

/// The function, file and line of a symbol; `None` if it has neither of the first two.
fn named(symbol: &Symbol) -> Option<(Option<String>, Option<String>, u32)> {
    let function = symbol.name().map(|name| format!("{name:#}"));
    let file = symbol.filename().map(Path::to_string_lossy);
    if function.is_none() && file.is_none() {
        return None;
    }
    let line = symbol.lineno().unwrap_or(0);
    Some((function, file.map(std::borrow::Cow::into_owned), line))
}

impl Origin {
    fn of(function: Option<&str>, file: Option<&str>) -> Self {
        const STANDARD: [&str; 4] = [
            "library/alloc/src/",
            "library/core/src/",
            "library/std/src/",
            "/rust/deps/",
        ];
        const SHIMS: [&str; 6] = [
            "__rust_alloc",
            "__rust_alloc_zeroed",
            "__rust_realloc",
            "__rg_alloc",
            "__rg_alloc_zeroed",
            "__rg_realloc",
        ];
        let is = |function: &str, names: &[&str]| {
            let mut parts = function.split("::");
            parts.any(|part| names.contains(&part.split('<').next().unwrap_or(part)))
        };
        match (file, function) {
            (_, Some(function)) if is(function, &SHIMS) => Self::Recorder,
            // `<heapprof_recorder::…::Allocator<A> as …>::alloc`, and the functions of this crate.
            (_, Some(function))
                if function
                    .trim_start_matches('<')
                    .starts_with(concat!(env!("CARGO_CRATE_NAME"), "::")) =>
            {
                Self::Recorder
            }
            (_, Some(function)) if is(function, &["__rust_begin_short_backtrace"]) => Self::Entry,
            (Some(file), _) if STANDARD.iter().any(|part| file.contains(part)) => Self::Standard,
            (None, Some(function)) => {
                let name = function.trim_start_matches('<');
                let standard = ["std::", "core::", "alloc::"];
                if standard.iter().any(|start| name.starts_with(start)) {
                    Self::Standard
                } else {
                    Self::Program
                }
            }
            _ => Self::Program,
        }
    }
}

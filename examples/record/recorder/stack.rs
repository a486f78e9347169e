//! The stack of an allocation: first addresses, later lines of code.

use std::collections::HashMap;
use std::ffi::c_void;
use std::path::Path;

use heapprof::OwnedFrame;

/// How many addresses are kept of a stack, from the inner end.
const DEPTH: usize = 128;

/// The number of a stack, from 0 in the order in which they were first seen.
pub(super) type StackNumber = u32;

/// The addresses of a stack, innermost first.
pub(super) struct Addresses {
    addresses: [usize; DEPTH],
    len: usize,
}

impl Addresses {
    /// The stack of this thread.
    pub(super) fn capture() -> Self {
        let mut stack = Self {
            addresses: [0; DEPTH],
            len: 0,
        };
        let add = |frame: &backtrace::Frame| {
            stack.addresses[stack.len] = frame.ip().addr();
            stack.len += 1;
            stack.len < DEPTH
        };
        // To walk up a stack takes a lock on Windows alone, where the library that does it is not
        // made for threads. Elsewhere it would make threads wait while symbols are looked up.
        #[cfg(windows)]
        backtrace::trace(add);
        // SAFETY: the unwinder of the platform is made for threads.
        #[cfg(not(windows))]
        unsafe {
            backtrace::trace_unsynchronized(add);
        }
        stack
    }

    pub(super) fn as_slice(&self) -> &[usize] {
        &self.addresses[..self.len]
    }
}

/// A line of code of a function, as far as they are known.
#[derive(Clone, PartialEq, Eq, Hash)]
pub(super) struct Frame {
    pub(super) frame: OwnedFrame,
    origin: Origin,
}

/// Whose code a frame is.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum Origin {
    /// This recorder, and what the compiler puts before it: `__rust_alloc` and the like.
    Recorder,
    /// The standard library.
    Standard,
    /// The place at which it hands over to `main`, or to what a thread does.
    Entry,
    /// The program and its libraries.
    Program,
}

/// What is at each address that was asked for so far.
#[derive(Default)]
pub(super) struct Symbols {
    frames: Vec<Frame>,
    numbers: HashMap<Frame, usize>,
    /// The frames at an address, innermost first.
    at: HashMap<usize, Box<[usize]>>,
}

impl Symbols {
    pub(super) fn frame(&self, number: usize) -> &Frame {
        &self.frames[number]
    }

    /// The frames of a stack, innermost first, by their numbers: inlined functions are frames of
    /// their own, the recorder is left out, and so is the standard library at both ends unless the
    /// stack is wanted `whole`.
    ///
    /// Not to be called by a thread that could be in the middle of looking up symbols itself.
    pub(super) fn frames(&mut self, addresses: &[usize], whole: bool) -> Vec<usize> {
        let mut frames = Vec::new();
        for &address in addresses {
            if !self.at.contains_key(&address) {
                let here = self.look_up(address);
                self.at.insert(address, here);
            }
            frames.extend_from_slice(&self.at[&address]);
        }
        let is = |number: &usize, origin| self.frames[*number].origin == origin;
        let recorder = |number: &usize| is(number, Origin::Recorder);
        let inner = frames.iter().rposition(recorder).map_or(0, |at| at + 1);
        frames.drain(..inner);
        if !whole {
            let entry = |number: &usize| is(number, Origin::Entry);
            frames.truncate(frames.iter().position(entry).unwrap_or(frames.len()));
            let program = |number: &usize| is(number, Origin::Program);
            let first = frames.iter().position(program).unwrap_or(0);
            let end = frames
                .iter()
                .rposition(program)
                .map_or(frames.len(), |at| at + 1);
            frames.truncate(end);
            frames.drain(..first);
        }
        frames
    }

    /// The frames at an address, innermost first, by their numbers.
    fn look_up(&mut self, address: usize) -> Box<[usize]> {
        let mut here = Vec::new();
        let address = std::ptr::without_provenance_mut::<c_void>(address);
        backtrace::resolve(address, |symbol| {
            let function = symbol.name().map(|name| format!("{name:#}"));
            let frame = Frame::new(function, symbol.filename(), symbol.lineno());
            here.push(self.number(frame));
        });
        if here.is_empty() {
            here.push(self.number(Frame::new(None, None, None)));
        }
        here.into()
    }

    fn number(&mut self, frame: Frame) -> usize {
        if let Some(&number) = self.numbers.get(&frame) {
            return number;
        }
        self.frames.push(frame.clone());
        self.numbers.insert(frame, self.frames.len() - 1);
        self.frames.len() - 1
    }
}

impl Frame {
    fn new(function: Option<String>, file: Option<&Path>, line: Option<u32>) -> Self {
        let file = file.map(|file| file.to_string_lossy().into_owned());
        let origin = Origin::of(function.as_deref(), file.as_deref());
        let frame = match (function, file) {
            (None, None) => OwnedFrame::new("no symbol", 0),
            (function, file) => {
                let frame = OwnedFrame::new(file.unwrap_or_default(), line.unwrap_or(0));
                match function {
                    Some(function) => frame.in_function(function),
                    None => frame,
                }
            }
        };
        Self { frame, origin }
    }
}

impl Origin {
    fn of(function: Option<&str>, file: Option<&str>) -> Self {
        const STANDARD: [&str; 4] = [
            "library/alloc/src/",
            "library/core/src/",
            "library/std/src/",
            "/rust/deps/",
        ];
        const SHIMS: [&str; 3] = ["__rust_alloc", "__rust_alloc_zeroed", "__rust_realloc"];
        let is = |function: &str, names: &[&str]| {
            let mut parts = function.split("::");
            parts.any(|part| names.contains(&part.split('<').next().unwrap_or(part)))
        };
        // This file is told by its folder, and by its module where there is no line.
        let folder = file!().trim_end_matches("stack.rs");
        let module = module_path!().trim_end_matches("stack");
        match (file, function) {
            (_, Some(function)) if is(function, &SHIMS) => Self::Recorder,
            (_, Some(function)) if is(function, &["__rust_begin_short_backtrace"]) => Self::Entry,
            (Some(file), _) if file.contains(folder) => Self::Recorder,
            (None, Some(function)) if function.contains(module) => Self::Recorder,
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
            (None, None) => Self::Standard,
            (Some(_), _) => Self::Program,
        }
    }
}

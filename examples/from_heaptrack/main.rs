//! A recording of heaptrack as a profile: so any native program on Linux becomes a source.
//!
//! ```text
//! heaptrack ./program
//! cargo run --release --example from_heaptrack -- heaptrack.program.4711.zst
//! cargo run --release --example report -- heaptrack.program.4711
//! ```
//!
//! What `heaptrack` writes by default is read, *interpreted* text: plain, `.gz` or `.zst`, as the
//! content says and not the name. It goes through line by line, so memory depends on how many
//! distinct stacks and sizes there are and not on the length of the recording.
//!
//! heaptrack records every allocation, so nothing is sampled. Its clock has steps of 10 ms, and the
//! file does not say when it began: that is taken to be as long before the last change of the file
//! as the recording is, unless `--start` says it.
//!
//! A frame has a function, a file and a line. Where no file is known, its module stands there instead: `g_malloc
//! (libglib-2.0.so.0)`. Functions inlined at one place are frames of their own.
//! Code without a symbol is its module and its address: `libc.so.6+0x7f1e2a04`.
//!
//! Leaks that heaptrack suppresses, by rules of its own and of the program, are freed at the end of the log, and told;
//! `--no-suppressions` keeps them. Time stamps that go down are taken for the one before.
//!
//! The lines of `operator new` and of the standard libraries of C++ and Rust at the inner end of a
//! stack are left out, so that a block belongs to the line that asked for it; `--full` keeps them.

mod names;
#[path = "../common/shell.rs"]
#[allow(dead_code, reason = "no example needs all of it")]
mod shell;
mod suppressions;
mod text;

use std::fs::{self, File};
use std::io::{self, BufRead, BufWriter, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, SystemTime};

use anyhow::{Context, Result, bail};
use clap::Parser;
use heapprof::EventKind;
use heapprof::raw::{EventWriter, Properties, TraceNode, TraceWriter};
use heapprof::{OwnedFrame, SamplingRates, StartTime, TraceId, WallOffset};
use jiff::Timestamp;

use names::{is_allocator, is_library, is_standard, readable};
use suppressions::Suppressions;
use text::{Fields, command, open, read_line, sized, version};

/// Makes a profile of what heaptrack recorded.
#[derive(Parser)]
struct Cli {
    /// What heaptrack wrote: interpreted text, plain or compressed.
    recording: PathBuf,

    /// What the names of the profile's files begin with. Without it, the name of the recording
    /// without .zst or .gz.
    filebase: Option<PathBuf>,

    /// When the recording began, like 2026-11-22T11:04:05Z.
    #[arg(long)]
    start: Option<Timestamp>,

    /// Keep the frames of allocation functions and standard libraries at the inner end of stacks.
    #[arg(long)]
    full: bool,

    /// Keep leaks that the program, or heaptrack itself, suppresses.
    #[arg(long)]
    no_suppressions: bool,
}

fn main() -> ExitCode {
    shell::end(run(&Cli::parse()))
}

fn run(cli: &Cli) -> Result<()> {
    let recording = &cli.recording;
    let name = || recording.display().to_string();
    let mut text = open(recording).with_context(name)?;
    let version = version(&mut text).with_context(name)?;
    let filebase = cli.filebase.clone().unwrap_or_else(|| {
        match recording
            .extension()
            .and_then(|extension| extension.to_str())
        {
            Some("zst" | "gz") => recording.with_extension(""),
            _ => recording.clone(),
        }
    });

    let create = |extension: &str| {
        let mut path = filebase.clone().into_os_string();
        path.push(extension);
        File::create(&path)
            .map(BufWriter::new)
            .with_context(|| Path::new(&path).display().to_string())
    };
    let recorder = [("recorder", "heaptrack".to_owned())].into_iter();
    let (command, text) = command(text).with_context(name)?;
    let properties = recorder.chain(command.map(|command| ("command", command)));
    let properties = properties.collect();
    let (hpm, hpd) = (create(".hpm")?, create(".hpd")?);
    let mut converter = Converter::new(hpm, hpd, version, cli.full, properties)?;
    let end = converter.lines(text).with_context(name);
    let suppressed = if cli.no_suppressions {
        Suppressed::default()
    } else {
        converter.suppress()?
    };
    let counts = converter.counts;
    let start = match cli.start {
        Some(start) => SystemTime::from(start),
        None => fs::metadata(recording)?
            .modified()?
            .checked_sub(Duration::from_micros(counts.micros.unsigned_abs()))
            .unwrap_or(SystemTime::UNIX_EPOCH),
    };
    converter.finish(StartTime::from(start))?;

    if end? == End::Cut {
        let name = shell::clean(&name());
        eprintln!("{name}: ends early; what is whole was taken");
    }
    let mut out = io::stdout();
    writeln!(out, "allocations  {}", counts.allocations)?;
    writeln!(out, "temporary    {}", counts.temporary)?;
    writeln!(out, "frees        {}", counts.frees)?;
    writeln!(out, "peak bytes   {}", counts.peak)?;
    writeln!(out, "leaked bytes {}", counts.live)?;
    if suppressed.blocks > 0 {
        let Suppressed { blocks, bytes } = suppressed;
        eprintln!(
            "{bytes} bytes of {blocks} suppressed leaks are freed at the end of the log; see --no-suppressions"
        );
    }
    let name = filebase.display();
    writeln!(
        out,
        "\nSee it: cargo run --release --example report -- {name}"
    )?;
    Ok(())
}

/// How the text ended.
#[derive(PartialEq, Eq)]
enum End {
    Whole,
    /// Inside a line, or inside what is compressed: heaptrack was killed.
    Cut,
}

/// What `heaptrack_print` says of a recording.
#[derive(Clone, Copy, Default)]
struct Counts {
    allocations: u64,
    frees: u64,
    /// Allocations that the very next event frees, as `heaptrack_print` counts them: an event is
    /// known by its stack and size, and after a free the first of these is taken for the last one.
    temporary: u64,
    live: i128,
    peak: i128,
    /// The time of the last event.
    micros: i64,
}

/// A frame at an instruction pointer.
struct Frame {
    frame: OwnedFrame,
    /// Whether it hands memory on for others, so that a block is not said to be allocated here.
    hands_on: bool,
}

/// The frames at an instruction pointer, outermost first, and the numbers of the strings they are made of.
struct Pointer {
    frames: Box<[Frame]>,
    strings: Box<[u64]>,
}

/// Leaks that are suppressed.
#[derive(Clone, Copy, Default)]
struct Suppressed {
    blocks: u64,
    bytes: i128,
}

/// What is allocated: a size by a stack.
struct Block {
    size: u64,
    trace: Option<TraceId>,
    /// The number of the stack.
    stack: usize,
    live: i64,
}

/// A stack of heaptrack.
#[derive(Clone, Copy)]
struct Stack {
    /// The numbers of the innermost instruction pointer and of the caller's stack.
    pointer: usize,
    caller: usize,
    node: TraceNode,
    /// The stack up to the innermost frame that asked for memory; `None` if all frames hand memory on.
    asked: Option<TraceNode>,
}

const EMPTY: Stack = Stack {
    pointer: 0,
    caller: 0,
    node: TraceNode::ROOT,
    asked: None,
};

/// Takes the lines of a recording and writes a profile.
///
/// heaptrack numbers strings, instruction pointers and stacks from 1, with 0 for none, and what is
/// allocated from 0. All its numbers are hexadecimal.
struct Converter {
    traces: TraceWriter<BufWriter<File>>,
    properties: Properties,
    events: EventWriter<BufWriter<File>>,
    full: bool,
    /// Of the format; from 3 on, strings say how long they are.
    version: u64,
    /// Whether the last lines were the command, as far as one can tell.
    in_command: bool,
    strings: Vec<Box<str>>,
    pointers: Vec<Pointer>,
    stacks: Vec<Stack>,
    blocks: Vec<Block>,
    suppressions: Suppressions,
    /// Which of them the last event allocated; 0 if it freed.
    last: usize,
    counts: Counts,
}

impl Converter {
    fn new(
        hpm: BufWriter<File>,
        hpd: BufWriter<File>,
        version: u64,
        full: bool,
        properties: Properties,
    ) -> Result<Self> {
        // When it began is known at the end.
        let (start, rates) = (StartTime::new(0, 0), SamplingRates::unsampled());
        Ok(Self {
            traces: TraceWriter::with_properties(hpm, start, &rates, &properties)?,
            properties,
            events: EventWriter::new(hpd),
            full,
            version,
            in_command: false,
            strings: Vec::new(),
            pointers: Vec::new(),
            stacks: Vec::new(),
            blocks: Vec::new(),
            suppressions: Suppressions::built_in(),
            last: 0,
            counts: Counts::default(),
        })
    }

    /// Takes all lines after the first. The last one counts only if it is whole.
    fn lines(&mut self, mut text: impl BufRead) -> Result<End> {
        let mut line = Vec::new();
        for number in 2_u64.. {
            let read = read_line(&mut text, self.version, &mut line)?;
            let Some(line) = line.strip_suffix(b"\n").filter(|_| read) else {
                return Ok(if read || !line.is_empty() {
                    End::Cut
                } else {
                    End::Whole
                });
            };
            match self.line(line).with_context(|| format!("line {number}")) {
                // A command can have ends of lines in it, and is not marked.
                Err(_) if self.in_command => {}
                taken => taken?,
            }
        }
        Ok(End::Whole)
    }

    fn line(&mut self, line: &[u8]) -> Result<()> {
        let mut fields = Fields(line.get(1..).unwrap_or_default());
        match line.first() {
            Some(b'X') => self.in_command = true,
            Some(b'I') => self.in_command = false,
            Some(b's') => self.string(line)?,
            Some(b'i') => self.pointer(&mut fields)?,
            Some(b't') => self.stack(&mut fields)?,
            Some(b'a') => {
                let size = fields.number()?;
                let stack = fields.index()?;
                let trace = self.trace(at(&self.stacks, stack)?.copied().unwrap_or(EMPTY))?;
                self.blocks.push(Block {
                    size,
                    trace,
                    stack,
                    live: 0,
                });
            }
            Some(b'+') => self.event(fields.index()?, EventKind::Allocation)?,
            Some(b'-') => self.event(fields.index()?, EventKind::Free)?,
            Some(b'c') => {
                let millis = i64::try_from(fields.number()?)?;
                let micros = millis.checked_mul(1000).context("no such time")?;
                self.counts.micros = self.counts.micros.max(micros);
            }
            Some(b'x' | b'm') => {
                bail!("raw data: leave out --raw when recording, or run heaptrack_interpret on it")
            }
            Some(b'S') => {
                let rule = String::from_utf8_lossy(line.get(1..).unwrap_or_default());
                self.suppressions.add(&rule);
            }
            // What memory the system says is in use, remarks, and what later versions add.
            _ => {}
        }
        Ok(())
    }

    fn string(&mut self, line: &[u8]) -> Result<()> {
        let text = if self.version < 3 {
            line.get(2..).unwrap_or_default()
        } else {
            let (start, end) = sized(line).context("a string without its length")?;
            line.get(start..end).unwrap_or_default()
        };
        self.strings.push(String::from_utf8_lossy(text).into());
        self.in_command = false;
        Ok(())
    }

    /// An instruction pointer: its module, and the function, file and line of each frame there,
    /// innermost first.
    fn pointer(&mut self, fields: &mut Fields<'_>) -> Result<()> {
        let address = fields.number()?;
        let module = fields.optional()?.unwrap_or(0);
        let mut frames = Vec::new();
        let mut strings = vec![module];
        while let Some(function) = fields.optional()? {
            let file = fields.optional()?.unwrap_or(0);
            let line = fields.optional()?.unwrap_or(0);
            frames.push(self.frame((address, module), function, file, line)?);
            strings.extend([function, file]);
        }
        if frames.is_empty() {
            frames.push(self.frame((address, module), 0, 0, 0)?);
        }
        frames.reverse();
        self.pointers.push(Pointer {
            frames: frames.into(),
            strings: strings.into(),
        });
        Ok(())
    }

    /// A frame, from the indices of its strings.
    fn frame(
        &self,
        (address, module): (u64, u64),
        function: u64,
        file: u64,
        line: u64,
    ) -> Result<Frame> {
        let text = |index: u64| {
            let string = at(&self.strings, usize::try_from(index)?)?;
            anyhow::Ok(string.map(|string| &**string))
        };
        let module = text(module)?.map(|path| path.rsplit('/').next().unwrap_or(path));
        let (function, file) = (text(function)?.map(readable), text(file)?);
        let line = u32::try_from(line).unwrap_or(0);
        let hands_on = match (file, &function) {
            (Some(file), _) if is_standard(file) => true,
            (None, Some(_)) if module.is_some_and(is_library) => true,
            (file, Some(function)) => is_allocator(function, file.is_some()),
            (_, None) => false,
        };
        let place = match (file, module) {
            (Some(file), _) => OwnedFrame::new(file, line),
            (None, Some(module)) if function.is_none() => {
                OwnedFrame::new(format!("{module}+0x{address:x}"), 0)
            }
            (None, None) if function.is_none() => OwnedFrame::new(format!("0x{address:x}"), 0),
            (None, module) => OwnedFrame::new(module.unwrap_or_default(), 0),
        };
        let frame = match function {
            Some(function) => place.in_function(function),
            None => place,
        };
        Ok(Frame { frame, hands_on })
    }

    /// A stack: an instruction pointer, and the stack of its caller.
    fn stack(&mut self, fields: &mut Fields<'_>) -> Result<()> {
        let pointer = fields.index()?;
        let caller = fields.index()?;
        let mut stack = at(&self.stacks, caller)?.copied().unwrap_or(EMPTY);
        (stack.pointer, stack.caller) = (pointer, caller);
        let frames = at(&self.pointers, pointer)?.map(|pointer| &pointer.frames);
        for Frame { frame, hands_on } in frames.into_iter().flatten() {
            stack.node = self.traces.intern_child(stack.node, frame)?;
            if self.full || !hands_on {
                stack.asked = Some(stack.node);
            }
        }
        self.stacks.push(stack);
        Ok(())
    }

    /// The trace of a stack, written when it is first asked for; `None` for an empty stack.
    fn trace(&mut self, stack: Stack) -> Result<Option<TraceId>> {
        match stack.asked.unwrap_or(stack.node) {
            TraceNode::ROOT => Ok(None),
            node => Ok(Some(self.traces.intern_trace(node)?)),
        }
    }

    fn event(&mut self, block: usize, kind: EventKind) -> Result<()> {
        let of = self.blocks.get_mut(block).context("no such allocation")?;
        let (size, trace) = (of.size, of.trace);
        let counts = &mut self.counts;
        if kind == EventKind::Allocation {
            of.live += 1;
            counts.allocations += 1;
            counts.live += i128::from(size);
            counts.peak = counts.peak.max(counts.live);
            self.last = block;
        } else {
            of.live -= 1;
            counts.frees += 1;
            counts.temporary += u64::from(self.last == block);
            counts.live -= i128::from(size);
            self.last = 0;
        }
        let wall = WallOffset::from_micros(counts.micros);
        Ok(self.events.write(wall, trace, size, kind)?)
    }

    /// Frees what is live and suppressed.
    fn suppress(&mut self) -> Result<Suppressed> {
        let strings = self
            .strings
            .iter()
            .map(|name| self.suppressions.suppress(name));
        let strings: Vec<bool> = strings.collect();
        let has = |all: &[bool], number: usize| {
            number.checked_sub(1).and_then(|at| all.get(at)) == Some(&true)
        };
        let pointers = self.pointers.iter().map(|pointer| {
            let mut numbers = pointer.strings.iter();
            numbers.any(|&number| usize::try_from(number).is_ok_and(|it| has(&strings, it)))
        });
        let pointers: Vec<bool> = pointers.collect();
        let mut stacks = Vec::with_capacity(self.stacks.len());
        for stack in &self.stacks {
            let is_suppressed = has(&pointers, stack.pointer) || has(&stacks, stack.caller);
            stacks.push(is_suppressed);
        }
        let mut suppressed = Suppressed::default();
        let wall = WallOffset::from_micros(self.counts.micros);
        for block in self.blocks.iter().filter(|block| has(&stacks, block.stack)) {
            for _ in 0..block.live {
                self.events
                    .write(wall, block.trace, block.size, EventKind::Free)?;
                suppressed.blocks += 1;
                suppressed.bytes += i128::from(block.size);
            }
        }
        self.counts.live -= suppressed.bytes;
        self.counts.frees += suppressed.blocks;
        Ok(suppressed)
    }

    /// Completes both files: a header of the same length, with the start in it, replaces the first.
    fn finish(self, start: StartTime) -> Result<()> {
        self.events.into_inner().flush()?;
        let mut hpm = self.traces.into_inner();
        hpm.seek(SeekFrom::Start(0))?;
        let rates = SamplingRates::unsampled();
        TraceWriter::with_properties(&mut hpm, start, &rates, &self.properties)?;
        Ok(hpm.flush()?)
    }
}

/// What has the number `index` where 0 stands for none.
fn at<T>(all: &[T], index: usize) -> Result<Option<&T>> {
    match index.checked_sub(1) {
        None => Ok(None),
        Some(place) => Ok(Some(
            all.get(place).context("a number that is not given out")?,
        )),
    }
}

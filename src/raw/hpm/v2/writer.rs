//! [`TraceWriter`], the writer of version 2.

use std::io::Write;

use hashbrown::HashMap;
use smallvec::SmallVec;

use super::super::AsFrame;
use super::super::header::{V2, push_header};
use crate::error::EncodeError;
use crate::id::{Id, TraceId};
use crate::id_set::IdSet;
use crate::id_vec::{DenseId, IdVec};
use crate::raw::block::push_varint;
use crate::raw::properties::Properties;
use crate::raw::rates::SamplingRates;
use crate::time::StartTime;

/// Writes a `.hpm` file to any [`Write`], in version 2 of the format. Each text, frame and node of the call tree is
/// written when it is first needed, and each distinct stack is one trace.
///
/// Each record is one call of `write_all`, so wrap a file in a [`BufWriter`](std::io::BufWriter). If another
/// process reads the files while they grow, flush the writer once it is made, so that the header is there, and flush the
/// traces before writing events that refer to them.
///
/// Memory: O(distinct texts, frames, nodes and traces). After an error the file ends where writing failed, so the writer
/// must not be used again. heapprof 1.0 does not read version 2: see [`TraceWriterV1`](crate::raw::TraceWriterV1).
///
/// ```
/// use heapprof::raw::{Properties, TraceLog, TraceWriter};
/// use heapprof::{Frame, SamplingRates, StartTime, TraceTable};
///
/// let start = StartTime::new(1_700_000_000, 0);
/// let properties = Properties::from_iter([("recorder", "my-tool 1.2")]);
/// let mut writer =
///     TraceWriter::with_properties(Vec::new(), start, &SamplingRates::unsampled(), &properties)?;
/// let stack = [
///     Frame::new("main.py", 3).in_function("main"),
///     Frame::new("work.py", 20).in_function("Worker.run"),
/// ];
/// let id = writer.intern_outermost_first(stack)?;
/// assert_eq!(writer.intern_outermost_first(stack)?, id); // the same stack, the same id
///
/// let bytes = writer.into_inner();
/// let log = TraceLog::new(&bytes)?;
/// assert_eq!(log.properties(), &properties);
/// let traces = TraceTable::from_log(&log);
/// let innermost = traces.trace(id).unwrap().innermost().unwrap();
/// assert_eq!(innermost.to_string(), "Worker.run (work.py:20)");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct TraceWriter<W> {
    out: W,
    record: Vec<u8>,
    texts: IdSet<TextId, Box<[u8]>>,
    frames: IdSet<FrameId, (Option<TextId>, TextId, u32)>,
    /// Each node as its parent and its last frame. The root is the first.
    nodes: IdSet<NodeId, (NodeId, FrameId)>,
    /// The first trace of each node that has one.
    traces: HashMap<NodeId, TraceId>,
    count: u32,
}

type TextId = DenseId<Text>;
type FrameId = DenseId<Frame>;
type NodeId = DenseId<Node>;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Text;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Frame;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Node;

/// A node of the call tree that a [`TraceWriter`] has written: a stack. It means nothing to another writer.
///
/// ```
/// use heapprof::raw::{TraceNode, TraceWriter};
/// use heapprof::{SamplingRates, StartTime};
///
/// let mut writer = TraceWriter::new(Vec::new(), StartTime::new(1, 0), &SamplingRates::unsampled())?;
/// let main = writer.intern_child(TraceNode::ROOT, &("main.py", 3))?;
/// assert_eq!(writer.intern_child(TraceNode::ROOT, &("main.py", 3))?, main);
/// # Ok::<(), heapprof::raw::EncodeError>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct TraceNode(NodeId);

impl TraceNode {
    /// The empty stack.
    pub const ROOT: Self = Self(NodeId::ROOT);
}

impl<W: Write> TraceWriter<W> {
    /// Writes the header, without properties.
    ///
    /// # Errors
    /// If `out` fails.
    pub fn new(out: W, start: StartTime, rates: &SamplingRates) -> Result<Self, EncodeError> {
        Self::with_properties(out, start, rates, &Properties::default())
    }

    /// Writes the header, with facts about the recording.
    ///
    /// # Errors
    /// If `out` fails.
    pub fn with_properties(
        mut out: W,
        start: StartTime,
        rates: &SamplingRates,
        properties: &Properties,
    ) -> Result<Self, EncodeError> {
        let mut record = Vec::new();
        push_header(&mut record, V2, start, rates);
        properties.push_to(&mut record);
        out.write_all(&record)?;
        Ok(Self {
            out,
            record,
            texts: IdSet::default(),
            frames: IdSet::default(),
            nodes: IdSet::new(IdVec::filled(1, (NodeId::ROOT, FrameId::ROOT))),
            traces: HashMap::new(),
            count: 0,
        })
    }

    /// Returns the id of a stack. Writes the stack if it is new. The frames are ordered from the program's entry to the
    /// allocating line. O(frames).
    ///
    /// # Errors
    /// If the writer fails, or if the file has 2³⁰ − 1 traces or 2³² − 1 texts, frames or nodes already.
    pub fn intern_outermost_first(
        &mut self,
        frames: impl IntoIterator<Item: AsFrame>,
    ) -> Result<TraceId, EncodeError> {
        let mut node = TraceNode::ROOT;
        for frame in frames {
            node = self.intern_child(node, &frame)?;
        }
        self.intern_trace(node)
    }

    /// As [`intern_outermost_first`](Self::intern_outermost_first), with the frames ordered from the allocating line
    /// to the program's entry.
    ///
    /// # Errors
    /// As [`intern_outermost_first`](Self::intern_outermost_first).
    pub fn intern_innermost_first<F: AsFrame>(
        &mut self,
        frames: impl IntoIterator<Item = F>,
    ) -> Result<TraceId, EncodeError> {
        let frames: SmallVec<[F; 32]> = frames.into_iter().collect();
        self.intern_outermost_first(frames.into_iter().rev())
    }

    /// The stack of `parent` and a frame that it called. For a recorder that knows its stacks as a tree; the
    /// `intern_` methods do this for all frames of a stack.
    ///
    /// ```
    /// use heapprof::raw::{TraceNode, TraceWriter};
    /// use heapprof::{SamplingRates, StartTime};
    ///
    /// let mut writer = TraceWriter::new(Vec::new(), StartTime::new(1, 0), &SamplingRates::unsampled())?;
    /// let main = writer.intern_child(TraceNode::ROOT, &("main.py", 3))?;
    /// let work = writer.intern_child(main, &("work.py", 20))?;
    /// let id = writer.intern_trace(work)?;
    /// assert_eq!(writer.intern_outermost_first([("main.py", 3), ("work.py", 20)])?, id);
    /// # Ok::<(), heapprof::raw::EncodeError>(())
    /// ```
    ///
    /// # Errors
    /// If the writer fails, if `parent` is of another writer, or if the file has 2³² − 1 texts, frames or nodes already.
    pub fn intern_child(
        &mut self,
        parent: TraceNode,
        frame: &impl AsFrame,
    ) -> Result<TraceNode, EncodeError> {
        self.check(parent)?;
        let function = frame.function_bytes().map(|name| self.text(name));
        let function = function.transpose()?;
        let file = self.text(frame.file_bytes())?;
        let line = frame.line();
        let known = self.frames.len();
        let frame = self.frames.insert(&(function, file, line))?;
        if frame.index() == known {
            let function = function.map_or(0, |name| number(name) + 1);
            self.write(1, function, &[number(file), line.into()], &[])?;
        }
        let known = self.nodes.len();
        let node = self.nodes.insert(&(parent.0, frame))?;
        if node.index() == known {
            self.write(
                2,
                number(node).saturating_sub(number(parent.0)),
                &[number(frame)],
                &[],
            )?;
        }
        Ok(TraceNode(node))
    }

    /// Returns the id of the stack that ends at a node. Writes a trace if the stack has none.
    ///
    /// # Errors
    /// If the writer fails, if the node is of another writer, or if the file has 2³⁰ − 1 traces already.
    pub fn intern_trace(&mut self, node: TraceNode) -> Result<TraceId, EncodeError> {
        match self.traces.get(&node.0) {
            Some(&id) => Ok(id),
            None => self.write_trace(node),
        }
    }

    /// Writes a trace for the stack that ends at a node, even if the stack has a trace already. Use it to rewrite a file
    /// without changing its trace ids.
    ///
    /// # Errors
    /// As [`trace`](Self::intern_trace).
    pub fn write_trace(&mut self, node: TraceNode) -> Result<TraceId, EncodeError> {
        self.check(node)?;
        let id = TraceId::new(self.count.saturating_add(1)).ok_or(EncodeError::TooManyTraces)?;
        let back = (self.nodes.len() as u64).saturating_sub(number(node.0));
        self.write(3, back, &[], &[])?;
        self.traces.entry(node.0).or_insert(id);
        self.count = id.get();
        Ok(id)
    }

    fn check(&self, node: TraceNode) -> Result<(), EncodeError> {
        let is_known = node.0.index() < self.nodes.len();
        is_known.then_some(()).ok_or(EncodeError::UnknownNode)
    }

    fn text(&mut self, text: &[u8]) -> Result<TextId, EncodeError> {
        let known = self.texts.len();
        let id = self.texts.insert(text)?;
        if id.index() == known {
            self.write(0, text.len() as u64, &[], text)?;
        }
        Ok(id)
    }

    /// Writes a record with the head `n` and `kind`, and what follows it.
    fn write(&mut self, kind: u64, n: u64, fields: &[u64], text: &[u8]) -> Result<(), EncodeError> {
        self.record.clear();
        push_varint(&mut self.record, n << 2 | kind);
        for &field in fields {
            push_varint(&mut self.record, field);
        }
        self.record.extend_from_slice(text);
        Ok(self.out.write_all(&self.record)?)
    }

    /// The number of traces in the file.
    pub const fn count(&self) -> u32 {
        self.count
    }

    /// Flushes the underlying writer.
    ///
    /// # Errors
    /// If that fails.
    pub fn flush(&mut self) -> Result<(), EncodeError> {
        Ok(self.out.flush()?)
    }

    /// The underlying writer.
    pub const fn get_mut(&mut self) -> &mut W {
        &mut self.out
    }

    /// Returns the underlying writer. The format has no end mark, so there is nothing to finish.
    pub fn into_inner(self) -> W {
        self.out
    }
}

/// The number of an item in the file.
fn number(id: impl Id) -> u64 {
    id.index() as u64
}

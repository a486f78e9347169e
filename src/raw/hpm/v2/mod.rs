//! Version 2 of the traces: each text, frame and node of the call tree is written once.
//!
//! ```text
//! main:1 work:2 read:7        text 0 "main"  text 1 "a.py"  frame 0  node 1 (parent 0, frame 0)
//! main:1 work:2 parse:9       …              frame 1        node 2 (parent 1, frame 1)  trace 1 (node 3) …
//! ```
//!
//! A record refers only to earlier records, so a file cut anywhere keeps everything before the cut.

mod record;
mod table;
mod writer;

pub(crate) use record::{Defined, Record, Records};
pub(crate) use table::CompactTable;
pub use writer::{TraceNode, TraceWriter};

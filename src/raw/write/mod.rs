//! The mirror image of the readers: one writer for each file.

pub(crate) mod hpc;
mod hpm;

pub use hpc::DigestWriter;
pub use hpm::{AsFrame, TraceWriter};

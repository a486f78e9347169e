//! Records where the memory of a Rust program goes: sampled, cheap, with stacks and time.
#![doc = include_str!("../README.md")]

mod allocator;
mod environment;
mod error;
mod files;
mod modules;
mod place;
mod process;
mod recorder;
mod sampling;
mod session;
mod stack;
mod symbols;

pub use allocator::Allocator;
pub use error::Error;
pub use files::Summary;
pub use place::is_inside;
pub use recorder::{Recorder, Recording};

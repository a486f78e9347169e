//! A Rust program that records itself, with the crate `heapprof-recorder`.
//!
//! ```text
//! cargo run --release --example record -- target/shop
//! cargo run --release --example report -- target/shop
//! ```
//!
//! The program is a small shop: several threads, a cache, a leak, and a report that takes all memory for a moment.

#[path = "../common/shell.rs"]
#[allow(dead_code, reason = "no example needs all of it")]
mod shell;
mod shop;

use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;
use clap::Parser;
use heapprof_recorder::{Allocator, Recorder};

use shop::Shop;

#[global_allocator]
static ALLOCATOR: Allocator = Allocator::system();

/// A small program that records where its memory goes.
#[derive(Parser)]
struct Cli {
    /// What the names of the profile's files begin with.
    filebase: PathBuf,

    /// Record as if one byte in so many were drawn.
    #[arg(long, value_name = "BYTES", default_value_t = Recorder::EVERY_BYTES)]
    every_bytes: u64,

    /// Record everything.
    #[arg(long, conflicts_with = "every_bytes")]
    everything: bool,

    /// How many orders the shop fills.
    #[arg(long, default_value_t = 200_000)]
    orders: u64,

    /// With how many threads.
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u64).range(1..))]
    threads: u64,
}

fn main() -> ExitCode {
    shell::end(run(&Cli::parse()))
}

fn run(cli: &Cli) -> Result<()> {
    let recorder = Recorder::new(&cli.filebase).every_bytes(cli.every_bytes);
    let recorder = if cli.everything {
        recorder.everything()
    } else {
        recorder
    };
    let recording = recorder.start()?;
    let shop = Shop::open(cli.orders, cli.threads);
    let summary = recording.finish()?;

    let (sessions, pages) = shop.closing();
    let (filebase, events, traces) = (cli.filebase.display(), summary.events, summary.traces);
    writeln!(
        io::stdout(),
        "{sessions} sessions are open, and the journal has {pages} lines\n\
         {events} events of {traces} traces\n\n\
         See it: cargo run --release --example report -- {filebase}"
    )?;
    Ok(())
}

//! A Rust program that records itself, with an allocator to copy: the folder `recorder`.
//!
//! ```text
//! cargo run --release --example record -- target/shop
//! cargo run --release --example report -- target/shop
//! ```
//!
//! The program is a small shop: several threads, a cache, a leak, and a report that takes all memory
//! for a moment. `--check` has it count what it really allocates: recorded to the last block, the
//! profile has the same numbers to the byte; sampled, estimates are off by a standard deviation that
//! the program tells too, and it fails if it is five.
//!
//! What it costs, with four threads, 200 000 orders and 2.8 million allocations on two cores:
//!
//! | recorded | CPU time | events | `.hpd` | `.hpm` |
//! | --- | --- | --- | --- | --- |
//! | nothing (`--nothing`) | 0.31 s | | | |
//! | below 8 KiB one block in a hundred (`--rate 8192=0.01`) | 0.53 s | 55 000 | 0.4 MB | 4 kB |
//! | below 128 bytes 1 in 10 000, below 8 KiB 1 in 10 (the default) | 0.56 s | 102 000 | 0.8 MB | 4 kB |
//! | below 8 KiB one in ten (`--rate 8192=0.1`) | 1.1 s | 555 000 | 4.0 MB | 5 kB |
//! | everything (`--everything`) | 5.7 s | 5 540 000 | 40 MB | 8 kB |
//!
//! So an event costs about 1 µs, most of it for walking up the stack, and once there are 0.1 s and
//! 60 MB of memory for debug information. The median of three runs of:
//!
//! ```text
//! cargo build --release --example record
//! for rates in --nothing --rate=8192=0.01 --seed=1 --rate=8192=0.1 --everything; do
//!     time target/release/examples/record target/shop $rates
//! done
//! ```

#[allow(unsafe_code, reason = "an allocator is")]
mod recorder;
#[path = "../common/shell.rs"]
#[allow(dead_code, reason = "no example needs all of it")]
mod shell;
mod shop;
#[allow(unsafe_code, reason = "an allocator is")]
mod truth;

use std::io::{self, Write};
use std::ops::ControlFlow;
use std::path::PathBuf;
use std::process::{self, ExitCode};
use std::time::Instant;

use anyhow::{Result, ensure};
use clap::{Parser, ValueEnum};
use heapprof::query::{AppliedEvent, LiveHeap, Query, QueryEnd};
use heapprof::{Reader, SamplingRates};

use recorder::{Options, Recorder};
use shop::Shop;
use truth::Counting;

#[global_allocator]
static ALLOCATOR: Recorder<Counting> = Recorder::over(Counting);

/// A small program that records where its memory goes.
#[derive(Parser)]
#[expect(clippy::struct_excessive_bools, reason = "flags are")]
struct Cli {
    /// What the names of the profile's files begin with.
    filebase: PathBuf,

    /// Record blocks below SIZE bytes with this probability, as SIZE=PROBABILITY; several in
    /// ascending order. Without it, as heapprof does: 128=0.0001 and 8192=0.1.
    #[arg(long, value_parser = rate)]
    rate: Vec<(u64, f64)>,

    /// Record everything.
    #[arg(long, conflicts_with = "rate")]
    everything: bool,

    /// Record nothing, to see how long the program takes without.
    #[arg(long)]
    nothing: bool,

    /// Keep the standard library at both ends of each stack.
    #[arg(long)]
    whole_stacks: bool,

    /// What the choice of blocks depends on.
    #[arg(long, default_value_t = 1)]
    seed: u64,

    /// How many orders the shop fills.
    #[arg(long, default_value_t = 200_000)]
    orders: u64,

    /// With how many threads.
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u64).range(1..))]
    threads: u64,

    /// Have some orders complained about, with the stack where that happens.
    #[arg(long)]
    complaints: bool,

    /// Count what is really allocated, and compare.
    #[arg(long)]
    check: bool,

    /// How the program ends, to see what is recorded then.
    #[arg(long, value_enum, default_value = "return")]
    end: End,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum End {
    Return,
    Panic,
    Exit,
    Abort,
}

fn rate(text: &str) -> Result<(u64, f64), String> {
    let parts = text.split_once('=').ok_or("not SIZE=PROBABILITY")?;
    let size = parts.0.parse().map_err(|_| "the size is no number")?;
    let probability = parts
        .1
        .parse()
        .map_err(|_| "the probability is no number")?;
    Ok((size, probability))
}

fn main() -> ExitCode {
    shell::end(run(&Cli::parse()))
}

fn run(cli: &Cli) -> Result<()> {
    let mut options = Options::new(&cli.filebase)
        .seed(cli.seed)
        .whole_stacks(cli.whole_stacks);
    if cli.everything {
        options = options.rates(SamplingRates::unsampled());
    } else if !cli.rate.is_empty() {
        options = options.rates(SamplingRates::new(cli.rate.iter().copied())?);
    }
    let rates = options.stated_rates().clone();

    let began = Instant::now();
    let recording = (!cli.nothing).then(|| options.start()).transpose()?;
    if cli.check {
        truth::count(&rates);
    }
    let shop = Shop::open(cli.orders, cli.threads, cli.complaints);
    let truth = cli.check.then(truth::counted);
    let worked = began.elapsed();
    match cli.end {
        End::Return => {}
        End::Panic => panic!("the shop burns down"),
        End::Exit => process::exit(3),
        End::Abort => process::abort(),
    }
    let summary = recording.map(recorder::Recording::finish).transpose()?;
    let took = began.elapsed();

    let (sessions, pages) = shop.closing();
    writeln!(
        io::stdout(),
        "{sessions} sessions are open, and the journal has {pages} lines"
    )?;
    writeln!(
        io::stdout(),
        "{:.3} s of work, {:.3} s with the end of the recording",
        worked.as_secs_f64(),
        took.as_secs_f64()
    )?;
    if let Some(summary) = summary {
        writeln!(
            io::stdout(),
            "{} events of {} traces",
            summary.events,
            summary.traces
        )?;
        if let Some((allocated, live)) = truth {
            let reader = Reader::open(&cli.filebase)?;
            let found = reader.ask(Allocated::default())?;
            let found_live = reader.live_at_end()?.total();
            compare("allocated", allocated, found.0)?;
            compare("live", live, found_live)?;
        }
        let filebase = cli.filebase.display();
        writeln!(
            io::stdout(),
            "\nSee it: cargo run --release --example report -- {filebase}"
        )?;
    }
    Ok(())
}

/// How many bytes were allocated in all?
#[derive(Default)]
struct Allocated(i64);

impl Query for Allocated {
    type Output = Self;

    fn observe(&mut self, applied: &AppliedEvent, _: &LiveHeap) -> ControlFlow<()> {
        self.0 += applied.bytes.max(0);
        ControlFlow::Continue(())
    }

    fn finish(self, _: &QueryEnd<'_>) -> Self {
        self
    }
}

/// Prints what was counted beside its estimate.
fn compare(what: &str, counted: truth::Counted, estimate: i64) -> Result<()> {
    let truth::Counted {
        blocks,
        bytes,
        deviation,
    } = counted;
    writeln!(
        io::stdout(),
        "{what}: {bytes} bytes in {blocks} blocks, estimated as {estimate} with a standard deviation of {deviation:.0}"
    )?;
    #[expect(clippy::cast_precision_loss, reason = "compared with a deviation")]
    let off = (estimate as f64 - bytes as f64).abs();
    ensure!(off <= 5.0 * deviation, "the estimate is off by {off} bytes");
    Ok(())
}

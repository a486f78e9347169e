//! What the crate knows of a profile, as JSON lines for `jq`, a notebook, or another program.
//!
//! ```text
//! cargo run --release --example export_json -- usage runs/nightly end | jq .bytes
//! ```
//!
//! Times are whole microseconds of elapsed time as recorded (no gap is closed), bytes are estimates unless said otherwise, and
//! trace 0 is unknown. Nothing but the lines goes to standard output; what is damaged in the files
//! goes to standard error.

mod arguments;
mod files;
mod moments;
mod output;
#[path = "../common/shell.rs"]
#[allow(dead_code, reason = "no example needs all of it")]
mod shell;
mod usages;

use std::io::{self, BufWriter, ErrorKind, Write};
use std::process::ExitCode;

use anyhow::Result;
use clap::Parser;
use heapprof::Error;

use arguments::{Cli, What};
use output::Lines;

fn main() -> ExitCode {
    let cli = Cli::parse();
    match run(&cli) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => match error.downcast_ref::<io::Error>() {
            // Whoever reads has seen enough.
            Some(closed) if closed.kind() == ErrorKind::BrokenPipe => ExitCode::SUCCESS,
            _ => {
                eprintln!("{}", shell::clean(&error.to_string()));
                let senseless = matches!(
                    error.downcast_ref(),
                    Some(Error::TooManySnapshots { .. } | Error::Interval { .. })
                );
                ExitCode::from(if senseless { 2 } else { 1 })
            }
        },
    }
}

fn run(cli: &Cli) -> Result<()> {
    let mut lines = Lines(BufWriter::with_capacity(1 << 16, io::stdout().lock()));
    let out = &mut lines;
    let open = |profile| cli.open(profile);
    match &cli.what {
        What::Meta(profile) => files::meta(out, &open(profile)?),
        What::Traces(profile) => files::traces(out, &open(profile)?),
        What::Events(profile) => files::events(out, &open(profile)?),
        What::Snapshots {
            profile,
            interval_ms,
            precision,
        } => moments::snapshots(out, &open(profile)?, *interval_ms, *precision),
        What::Digest(profile) => moments::digest_file(out, &profile.filebase),
        What::Series {
            profile,
            interval_ms,
            lines,
        } => moments::series(out, &open(profile)?, *interval_ms, lines),
        What::Usage { profile, question } => {
            usages::by_trace(out, &open(profile)?, question.question)
        }
        What::Lines { profile, question } => {
            usages::view(out, &open(profile)?, question.question, usages::lines)
        }
        What::Edges { profile, question } => {
            usages::view(out, &open(profile)?, question.question, usages::edges)
        }
        What::Stacks { profile, question } => {
            usages::view(out, &open(profile)?, question.question, usages::stacks)
        }
        What::Peak(profile) => usages::peak(out, &open(profile)?),
        What::Churn { profile, window } => usages::churn(out, &open(profile)?, *window),
    }?;
    Ok(lines.0.flush()?)
}

//! Writes recorded heap profiles as Parquet tables.
//!
//! ```text
//! cargo run --release -p heapprof-parquet -- -o tables runs/
//! ```

use std::io::{IsTerminal, stderr};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use heapprof::view::Packages;
use heapprof_parquet::{Export, find, find_below};

/// Writes recorded heap profiles as Parquet tables, for DuckDB, DataFusion, pandas and Spark.
///
/// The status is 0 if all profiles were exported, and 1 if some were skipped.
#[derive(Parser)]
struct Cli {
    /// The profiles: their paths without extension, names of their files, or folders to search.
    #[arg(required = true)]
    inputs: Vec<PathBuf>,

    /// The folder of the tables.
    #[arg(short, long, value_name = "FOLDER")]
    output: PathBuf,

    /// Profiles below this folder are named by their paths from there, even if they are named one by one.
    #[arg(long, value_name = "FOLDER")]
    root: Option<PathBuf>,

    /// Write every event too.
    #[arg(long)]
    events: bool,

    /// How many snapshots a profile has at most.
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u64).range(1..=1_000_000))]
    snapshots: u64,

    /// Files below this folder are own code, whatever they look like.
    #[arg(long, value_name = "FOLDER")]
    own_code: Vec<String>,

    /// Take every profile as one in which everything was recorded, whatever sampling rates are stated.
    #[arg(long)]
    unsampled: bool,

    /// Use the stated sampling rates, even if it is sure that everything was recorded.
    #[arg(long, conflicts_with = "unsampled")]
    as_stated: bool,

    /// How many profiles are exported at once; by default as many as there are cores.
    #[arg(short, long, value_parser = clap::value_parser!(u16).range(1..))]
    jobs: Option<u16>,
}

/// A text without what a terminal would take for a command.
fn clean(text: &str) -> String {
    text.replace(char::is_control, "\u{fffd}")
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    let own = cli.own_code.iter();
    let mut export = Export::to(&cli.output)
        .events(cli.events)
        .snapshots(cli.snapshots)
        .unsampled(cli.unsampled)
        .as_stated(cli.as_stated)
        .packages(own.fold(Packages::new(), Packages::own));
    if let Some(jobs) = cli.jobs {
        export = export.jobs(jobs.into());
    }
    let found = match &cli.root {
        Some(root) => find_below(root, &cli.inputs),
        None => find(&cli.inputs),
    };
    let count = found.inputs.len();
    let is_terminal = stderr().is_terminal();
    let summary = export.run(&found.inputs, |place, _| {
        if is_terminal {
            eprint!("\r{} of {count}", place + 1);
        }
    });
    if is_terminal && count > 0 {
        eprintln!();
    }

    for written in &summary.written {
        let name = clean(&written.name);
        if let Some(damage) = &written.damage {
            eprintln!(
                "{name}: damaged, and what is whole is exported: {}",
                clean(damage)
            );
        }
        if written.has_wrong_rates && !cli.as_stated {
            eprintln!(
                "{name}: everything was recorded, whatever rates are stated; see --as-stated"
            );
        }
    }
    let skipped: Vec<_> = found.skipped.iter().chain(&summary.skipped).collect();
    for skipped in &skipped {
        let path = clean(&skipped.path.to_string_lossy());
        eprintln!("{path}: skipped: {}", clean(&skipped.why));
    }
    let damaged = summary
        .written
        .iter()
        .filter(|written| written.damage.is_some());
    eprintln!(
        "{} exported ({} damaged), {} skipped",
        summary.written.len(),
        damaged.count(),
        skipped.len()
    );
    if skipped.is_empty() && !summary.written.is_empty() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

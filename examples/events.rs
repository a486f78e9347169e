//! The low-level loop: every event of a log, with nothing in between.
//!
//! ```text
//! cargo run --release --example events -- runs/nightly
//! ```

mod common;

use std::io::Write;

use anyhow::Result;
use clap::Parser;
use heapprof::raw::EventLog;

/// Counts the events of a log.
#[derive(Parser)]
struct Cli {
    /// The profile: what the names of its files begin with, or the name of the `.hpd` file. Without it, the one that
    /// ships with the crate.
    filebase: Option<std::path::PathBuf>,
}

fn main() -> std::process::ExitCode {
    common::end(run(Cli::parse()))
}

fn run(cli: Cli) -> Result<()> {
    let mut log = common::profile(cli.filebase)?;
    match log.extension().and_then(|extension| extension.to_str()) {
        Some("hpm" | "hpd" | "hpc") => drop(log.set_extension("hpd")),
        _ => log.as_mut_os_string().push(".hpd"),
    }
    let bytes =
        std::fs::read(&log).map_err(|error| anyhow::anyhow!("{}: {error}", log.display()))?;

    let (mut live, mut allocations, mut frees) = (0, 0, 0);
    for event in EventLog::new(&bytes).events() {
        let event = match event {
            Ok(event) => event,
            Err(end) if end.is_cut() => break, // the program was killed: that is normal
            Err(damage) => return Err(damage.into()),
        };
        *if event.is_free() {
            &mut frees
        } else {
            &mut allocations
        } += 1;
        live += event.signed_size();
    }
    let mut out = std::io::stdout();
    writeln!(
        out,
        "{allocations} allocations, {frees} frees, {live} bytes live at the end"
    )?;
    Ok(())
}

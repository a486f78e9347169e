//! Where did the memory of a program go? Plain text, the most important first.
//!
//! ```text
//! cargo run --release --example report                  # on the profile that ships with the crate
//! cargo run --release --example report -- runs/nightly  # on runs/nightly.hpm and .hpd
//! ```
//!
//! Each list names the lines of the program itself that are responsible, with their share and the way to the
//! allocation. It goes on until it explains 90 % of its total, or has `--rows` rows.

#[path = "../common/mod.rs"]
mod common;
mod over_time;
mod recorded;
mod who;

use std::io::{self, Write};
use std::ops::ControlFlow;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;
use clap::Parser;
use common::{Names, Reading, bytes, clean, seconds};
use heapprof::query::{Envelope, ErrorBars, Growth, Leaks, Peak};
use heapprof::view::{Packages, SourceLines};
use heapprof::{Digest, DigestOptions, Elapsed, FrameId, Reader, TraceTable, Usage};
use indicatif::{ProgressBar, ProgressStyle};
use recorded::wall_clock;
use who::{Who, give_or_take, share};

/// Where did the memory of a program go?
#[derive(Parser)]
struct Cli {
    /// The profile: what the names of its files begin with, or one of the names. Without it, the
    /// one that ships with the crate.
    filebase: Option<PathBuf>,

    /// How many rows a list has at most.
    #[arg(long, default_value_t = 6, value_name = "COUNT", value_parser = clap::value_parser!(u16).range(1..))]
    rows: u16,

    /// Files below this folder are own code, whatever they look like.
    #[arg(long, value_name = "FOLDER")]
    own_code: Vec<String>,

    /// Where the program's sources are here, as RECORDED=HERE, to show what the lines say. Other
    /// files are not looked at.
    #[arg(long, value_parser = mapping)]
    map: Vec<(String, PathBuf)>,

    #[command(flatten)]
    reading: Reading,
}

fn mapping(text: &str) -> Result<(String, PathBuf), String> {
    let (recorded, here) = text.split_once('=').ok_or("not RECORDED=HERE")?;
    Ok((recorded.to_owned(), here.into()))
}

fn main() -> ExitCode {
    common::end(run(Cli::parse(), &mut io::stdout().lock()))
}

fn run(cli: Cli, out: &mut impl Write) -> Result<()> {
    let filebase = common::profile(cli.filebase)?;
    let opened = cli.reading.open(&filebase)?;
    let reader = &opened.reader;
    let digest = digest(reader)?;
    let traces = reader.traces()?;
    let own = cli.own_code.into_iter();
    let packages = &own.fold(Packages::new(), Packages::own);
    let who = Who {
        traces,
        packages,
        names: Names::new(traces),
        sources: cli.map.into_iter().fold(
            SourceLines::new().only_mapped().recorded_at(reader.start()),
            |sources, (recorded, here)| sources.map_prefix(recorded, here),
        ),
        rows: cli.rows.into(),
    };
    let responsible = traces.cut_to_own(packages);
    let (leaks, peak, envelope) = reader.ask((
        Leaks::query().lines_of(&responsible),
        Peak::query(),
        Envelope::query(),
    ))?;

    recorded::recorded(out, &filebase, reader, &digest, traces)?;
    recorded::warnings(out, &cli.reading, &opened)?;
    recorded::damage(out, traces, &digest, &opened.sanity)?;
    if digest.is_empty() {
        return Ok(writeln!(out, "\nThe log has no events.")?);
    }
    let end = reader.live_at_end()?;
    let movements = reader.time_series([])?.total().movements();
    let leaks = leak_rows(&leaks, &responsible, &who);
    summary(out, &who, &peak, &end, &leaks)?;
    over_time::time_line(out, &envelope)?;
    over_time::movements(out, reader, &who, &movements)?;

    // What a program allocates while it starts is no growth.
    let warm_up = Elapsed::from_micros(reader.elapsed()?.as_micros() / 20);
    let (of_peak, of_growth, of_end) = reader.ask((
        ErrorBars::query().after_events(peak.events()),
        ErrorBars::query().within(warm_up..),
        ErrorBars::query(),
    ))?;
    let (total, at) = (bytes(peak.total()), seconds(peak.time()));
    let error = give_or_take(of_peak.total());
    let clock = wall_clock(reader, peak.time())?;
    let events = peak.events();
    writeln!(
        out,
        "\nResponsible at the peak: {total}{error} at {at}{clock}, after event {events}"
    )?;
    who.list(out, peak.usage(), &of_peak)?;
    if !packages.recognize(traces) && traces.frame_count() > 0 {
        writeln!(
            out,
            "            no file is known as one of a library, so all lines count as own code"
        )?;
    }

    let growth = reader.growth(warm_up..)?;
    let (total, error) = (bytes(growth.total()), give_or_take(of_growth.total()));
    let from = seconds(warm_up);
    writeln!(out, "\nGrown from {from} to the end: {total}{error}")?;
    who.list(out, &growth, &of_growth)?;
    leak_candidates(out, &leaks)?;

    let (total, error) = (bytes(end.total()), give_or_take(of_end.total()));
    writeln!(out, "\nStill live at the end: {total}{error}")?;
    let heaviest: Vec<_> = end.iter().take(cli.rows.into()).collect();
    let ids: Vec<_> = heaviest.iter().map(|row| row.0).collect();
    for ((_, weight), stack) in heaviest.iter().zip(who.stacks(&ids)) {
        let (weight, share) = (bytes(*weight), share(*weight, &end));
        writeln!(out, "{weight:>10} {share:>5}  {stack}")?;
    }
    Ok(())
}

/// The digest beside the log if it fits, else one in memory, with a progress bar on a terminal.
fn digest(reader: &Reader) -> Result<Digest> {
    if reader.has_digest() {
        return Ok(reader.digest()?.clone());
    }
    let style = ProgressStyle::with_template("{bar:40} {percent} %  {msg}")?;
    let bar = ProgressBar::no_length().with_style(style);
    let digest = reader.digest_with(DigestOptions::default().progress(|progress| {
        bar.set_length(progress.total_bytes);
        bar.set_position(progress.bytes);
        bar.set_message(format!("{} of the recording", seconds(progress.elapsed)));
        ControlFlow::Continue(())
    }))?;
    bar.finish_and_clear();
    Ok(digest)
}

/// A line that may leak, and how it grew.
type LeakRow = (String, Growth);

/// The lines that may leak, as they are shown.
fn leak_rows(leaks: &Leaks, responsible: &TraceTable, who: &Who<'_>) -> Vec<LeakRow> {
    let name = |id: FrameId| responsible.frame(id).map(|frame| clean(&who.frame(frame)));
    let rows = leaks.lines().iter();
    rows.filter_map(|leak| Some((name(leak.id)?, leak.growth)))
        .collect()
}

/// What happened, in words.
fn summary(
    out: &mut impl Write,
    who: &Who<'_>,
    peak: &Peak,
    end: &Usage,
    leaks: &[LeakRow],
) -> Result<()> {
    let (most, at) = (bytes(peak.total()), seconds(peak.time()));
    writeln!(
        out,
        "\nAt most {most} were live, at {at}{}.",
        who.foremost(peak.usage())
    )?;
    let left = bytes(end.total());
    if end.total() < 0 {
        writeln!(
            out,
            "At the end {left} are left: more was freed than was recorded."
        )?;
    } else {
        writeln!(out, "At the end {left} are left{}.", who.foremost(end))?;
    }
    let mut is_told = false;
    if let Some((line, growth)) = leaks.first() {
        let (grew, windows) = (growth.grew, growth.windows);
        let (grown, rate) = (bytes(growth.bytes), rate(growth));
        // A pool that is refilled all the time is none.
        let what = if growth.freed_share() > 0.9 {
            "It may leak"
        } else {
            "It leaks"
        };
        writeln!(
            out,
            "{what}: {line} grew in {grew} of {windows} parts of the recording, by {grown}, {rate}."
        )?;
        is_told = true;
    }
    // A spike: less than two thirds of the peak are left.
    let gone = peak.usage() - end;
    if end.total() >= 0 && 3 * i128::from(end.total()) < 2 * i128::from(peak.total()) {
        let (most, went) = (bytes(peak.total()), bytes(gone.total()));
        let behind = who.foremost(&gone);
        writeln!(
            out,
            "The peak is a spike: of its {most}, {went} went again{behind}."
        )?;
        is_told = true;
    }
    if !is_told {
        writeln!(out, "Nothing grows all the time, and no spike stands out.")?;
    }
    Ok(())
}

#[expect(clippy::cast_possible_truncation, reason = "for people")]
fn rate(growth: &Growth) -> String {
    format!("{}/s", bytes(growth.bytes_per_second.round() as i64))
}

/// What grows all the time.
fn leak_candidates(out: &mut impl Write, leaks: &[LeakRow]) -> Result<()> {
    if leaks.is_empty() {
        return Ok(writeln!(
            out,
            "\nNothing grows all the time, as a leak does"
        )?);
    }
    writeln!(out, "\nMay leak, since it grows all the time")?;
    for (line, growth) in leaks.iter().take(6) {
        let (grew, windows) = (growth.grew, growth.windows);
        let (grown, rate) = (bytes(growth.bytes), rate(growth));
        let freed = 100.0 * growth.freed_share();
        writeln!(
            out,
            "{grown:>10} {rate:>12} in {grew} of {windows} windows, {freed:.0} % freed  {line}"
        )?;
    }
    Ok(())
}

//! Hands profiles to `DuckDB`, pandas, Spark, or whatever else reads Parquet.
//!
//! ```text
//! cargo run --release --manifest-path examples/to_parquet/Cargo.toml -- runs/*.hpm -o tables
//! ```
//!
//! writes `tables/TABLE/NAME.parquet` for each profile and each table. Memory does not grow with the
//! log. All tables have the column `profile`, the name of the profile; times are whole microseconds
//! of elapsed time as recorded, bytes are estimates unless said otherwise, and trace 0 is unknown.
//!
//! | table | column | |
//! | --- | --- | --- |
//! | `profiles` | `start_ns` | when the recording began, in nanoseconds since 1970 |
//! | | `elapsed_us`, `events` | its length |
//! | | `sampled` | whether it is a sample |
//! | `events` | `event` | its number in the log, from 1 |
//! | | `elapsed_us`, `wall_us` | on the clock that only grows, and as recorded |
//! | | `trace`, `free` | whose stack; whether it is a free |
//! | | `bytes` | the size as recorded |
//! | | `estimate` | what it adds to the live bytes: negative for a free |
//! | `traces` | `trace`, `frame` | a row for each frame of each stack |
//! | | `level` | 0 for the line that allocates, 1 for who called it, and so on |
//! | `frames` | `frame`, `file`, `line`, `function` | the lines of code; 0 where the recorder knew no number, null where it knew no function |
//! | `snapshots` | `at_us`, `trace`, `bytes` | what is live at regular moments |
//! | `totals` | `from_us`, `to_us` | a step of about a thousand |
//! | | `lowest`, `highest`, `last` | the fewest and the most live bytes at any moment of the step, and at its end |
//!
//! Which lines hold the most at the end, over all profiles?
//!
//! ```sql
//! SELECT file, line, sum(estimate) AS live, count(DISTINCT profile) AS profiles
//! FROM 'tables/events/*.parquet'
//! JOIN 'tables/traces/*.parquet' USING (profile, trace)
//! JOIN 'tables/frames/*.parquet' USING (profile, frame)
//! WHERE level = 0
//! GROUP BY file, line ORDER BY live DESC, file, line LIMIT 10;
//! ```
//!
//! Which lines, with all that they call, grew between two moments?
//!
//! ```sql
//! WITH grown AS (
//!     SELECT profile, trace, sum(estimate) AS bytes FROM 'tables/events/*.parquet'
//!     WHERE elapsed_us > 100_000 AND elapsed_us <= 600_000
//!     GROUP BY profile, trace
//! ), stacks AS (
//!     SELECT DISTINCT profile, trace, frame FROM 'tables/traces/*.parquet'
//! )
//! SELECT profile, file, line, sum(bytes) AS grown
//! FROM grown
//! JOIN stacks USING (profile, trace)
//! JOIN 'tables/frames/*.parquet' USING (profile, frame)
//! GROUP BY profile, file, line ORDER BY grown DESC, file, line LIMIT 10;
//! ```
//!
//! How high was the peak of each profile, and when?
//!
//! ```sql
//! SELECT profile, max(live) AS peak, arg_max(elapsed_us, (live, -event)) AS at_us
//! FROM (
//!     SELECT profile, event, elapsed_us, sum(estimate) OVER (
//!         PARTITION BY profile ORDER BY event
//!     ) AS live
//!     FROM 'tables/events/*.parquet'
//! )
//! GROUP BY profile ORDER BY peak DESC, profile;
//! ```

#[path = "../../common/shell.rs"]
mod shell;
mod table;

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Result, bail};
use clap::Parser;
use heapprof::raw::FileKind;
use heapprof::{DigestOptions, Error, Reader, TraceId};
use parquet::data_type::ByteArray;
use table::Table;

/// Writes profiles as Parquet tables.
#[derive(Parser)]
struct Cli {
    /// The profiles: what the names of their files begin with, or names of the files.
    #[arg(default_value = concat!(env!("CARGO_MANIFEST_DIR"), "/../data/demo"))]
    filebases: Vec<PathBuf>,

    /// The folder of the tables.
    #[arg(short, long, value_name = "FOLDER")]
    output: PathBuf,

    /// How many snapshots a profile has at most.
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u64).range(1..=1_000_000))]
    snapshots: u64,

    /// Take every factor as 1, whatever sampling rates the files state.
    #[arg(long)]
    unsampled: bool,
}

fn main() -> ExitCode {
    shell::end(run(&Cli::parse()))
}

fn run(cli: &Cli) -> Result<()> {
    let mut names = HashSet::new();
    for filebase in &cli.filebases {
        let mut reader = Reader::open(shell::checked(filebase.clone())?)?;
        if cli.unsampled {
            reader = reader.unsampled();
        }
        let path = reader.path(FileKind::Hpm).unwrap_or_default();
        let name = path.file_stem().unwrap_or_default();
        let name = name.to_string_lossy().into_owned();
        if !names.insert(name.clone()) {
            bail!("{}: another profile is named so", filebase.display());
        }
        for error in reader.damage()? {
            shell::tell(reader.path(error.file()).as_deref(), &error);
        }
        let out = Out {
            folder: &cli.output,
            profile: name.as_str().into(),
            name,
        };
        out.profiles(&reader)?;
        out.events(&reader)?;
        out.stacks(&reader)?;
        out.snapshots(&reader, cli.snapshots)?;
        out.totals(&reader)?;
    }
    Ok(())
}

/// Where the tables of a profile go.
struct Out<'a> {
    folder: &'a Path,
    name: String,
    profile: ByteArray,
}

impl Out<'_> {
    fn table(&self, table: &str, columns: &str) -> Result<Table> {
        let file = format!("{}.parquet", self.name);
        let columns = format!("required binary profile (STRING); {columns}");
        Table::create(self.folder.join(table).join(file), &columns)
    }

    fn profiles(&self, reader: &Reader) -> Result<()> {
        let mut table = self.table(
            "profiles",
            "required int64 start_ns; required int64 elapsed_us; required int64 events;
             required boolean sampled;",
        )?;
        let end = reader.end()?;
        table.row([
            (&self.profile).into(),
            reader.start().as_nanos().into(),
            end.elapsed().as_micros().into(),
            end.events().into(),
            (!reader.rates().is_unsampled()).into(),
        ])?;
        table.finish()
    }

    fn events(&self, reader: &Reader) -> Result<()> {
        let mut table = self.table(
            "events",
            "required int64 event; required int64 elapsed_us; required int64 wall_us;
             required int64 trace; required boolean free; required int64 bytes;
             required int64 estimate;",
        )?;
        for (number, event) in (1_u64..).zip(reader.events()?) {
            let event = match event {
                Ok(event) => event,
                // It was told where the log stops making sense.
                Err(Error::Decode { .. }) => break,
                Err(error) => return Err(error.into()),
            };
            table.row([
                (&self.profile).into(),
                number.into(),
                event.elapsed.as_micros().into(),
                event.wall.as_micros().into(),
                index(event.trace).into(),
                event.is_free().into(),
                event.size.into(),
                event.signed_estimate(reader.rates()).into(),
            ])?;
        }
        table.finish()
    }

    /// The tables `traces` and `frames`.
    fn stacks(&self, reader: &Reader) -> Result<()> {
        let traces = reader.traces()?;
        let mut table = self.table(
            "traces",
            "required int64 trace; required int64 level; required int64 frame;",
        )?;
        for (trace, stack) in traces.iter() {
            for (level, frame) in stack.ids().rev().enumerate() {
                table.row([
                    (&self.profile).into(),
                    trace.get().into(),
                    level.into(),
                    frame.index().into(),
                ])?;
            }
        }
        table.finish()?;
        let mut table = self.table(
            "frames",
            "required int64 frame; required binary file (STRING); required int64 line; \
             optional binary function (STRING);",
        )?;
        for (id, frame) in traces.frames() {
            table.row([
                (&self.profile).into(),
                id.index().into(),
                frame.file.into(),
                frame.line.into(),
                frame.function.into(),
            ])?;
        }
        table.finish()
    }

    fn snapshots(&self, reader: &Reader, most: u64) -> Result<()> {
        let mut table = self.table(
            "snapshots",
            "required int64 at_us; required int64 trace; required int64 bytes;",
        )?;
        let millis = reader.elapsed()?.as_micros().div_ceil(1000 * most);
        let interval = Duration::from_millis(millis.max(1));
        let digest = reader.digest_with(DigestOptions::default().interval(interval))?;
        for snapshot in digest.snapshots() {
            let snapshot = snapshot?;
            for (trace, bytes) in snapshot.usage() {
                table.row([
                    (&self.profile).into(),
                    snapshot.time().as_micros().into(),
                    index(trace).into(),
                    bytes.into(),
                ])?;
            }
        }
        table.finish()
    }

    fn totals(&self, reader: &Reader) -> Result<()> {
        let mut table = self.table(
            "totals",
            "required int64 from_us; required int64 to_us; required int64 lowest;
             required int64 highest; required int64 last;",
        )?;
        for step in reader.envelope()?.steps() {
            table.row([
                (&self.profile).into(),
                step.from.as_micros().into(),
                step.to.as_micros().into(),
                step.lowest.into(),
                step.highest.into(),
                step.last.into(),
            ])?;
        }
        table.finish()
    }
}

fn index(trace: Option<TraceId>) -> u32 {
    trace.map_or(0, TraceId::get)
}

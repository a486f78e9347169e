//! Recorded heap profiles as Parquet tables: the road to DuckDB, DataFusion, pandas and Spark, for questions about many
//! recordings at once.
//!
//! ```
//! use heapprof_parquet::{Export, find};
//!
//! let folder = std::env::temp_dir().join("heapprof-parquet-example");
//! let found = find(["../../examples/data"]);
//! let summary = Export::to(&folder).run(&found.inputs, |_, _| {});
//! assert_eq!((summary.written.len(), summary.skipped.len()), (1, 0));
//! assert!(folder.join("profiles/demo.parquet").exists());
//! # std::fs::remove_dir_all(folder).unwrap();
//! ```
//!
//! # Tables
//! Each table is a folder with a file for each profile. All have the column `profile`, the profile's name. Times are
//! whole microseconds of elapsed time as recorded, bytes are estimates unless said otherwise, and trace 0 is unknown.
//!
//! | table | column | |
//! | --- | --- | --- |
//! | `profiles` | `start_ns` | when the recording began, in nanoseconds since 1970 |
//! | | `elapsed_us`, `events`, `traces` | its length, and how many stacks it has |
//! | | `sampled` | whether it is a sample, so that bytes are estimates |
//! | | `peak_bytes`, `peak_at_us` | the largest number of live bytes, and when it was reached first |
//! | | `end_bytes` | what is live at the end |
//! | | `damage` | what is wrong with the files; null if nothing is |
//! | `properties` | `name`, `value` | the properties of the recording, such as its command, host and version |
//! | `peak`, `end` | `trace`, `bytes` | what is live at the peak, and at the end |
//! | | `file`, `line`, `function`, `package` | the line that allocates |
//! | | `own_file`, `own_line`, `own_function` | the innermost line of own code; null if there is none |
//! | `traces` | `trace`, `level`, `frame` | a row for each frame of each stack; level 0 is the line that allocates |
//! | `frames` | `frame`, `file`, `line`, `function`, `package` | the lines of code; line 0 and function null are unknown |
//! | `snapshots` | `at_us`, `trace`, `bytes` | what is live at regular moments |
//! | `envelope` | `from_us`, `to_us` | a step of about a thousand |
//! | | `lowest`, `highest`, `last` | the fewest and the most live bytes within the step, and those at its end |
//! | `events` | `event` | on request: its number in the log, from 1 |
//! | | `elapsed_us`, `wall_us` | on the clock that only grows, and on the wall clock |
//! | | `trace`, `free` | whose stack; whether it is a free |
//! | | `recorded_bytes`, `bytes` | the size as recorded; what it adds to the live bytes, negative for a free |
#![doc = include_str!("../queries.md")]

mod export;
mod find;
mod names;
mod table;

pub use export::{Error, Export, Skipped, Summary, Written};
pub use find::{Found, Input, find, find_below};

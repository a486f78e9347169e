//! What is asked, of which profile.

use std::path::PathBuf;
use std::str::FromStr;

use anyhow::Result;
use clap::{Args, Parser, Subcommand};
use heapprof::Reader;

use crate::shell::checked;

/// What a recorded heap profile says, as JSON lines.
#[derive(Parser)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) what: What,

    /// Take every factor as 1, whatever sampling rates the file states.
    #[arg(long, global = true)]
    unsampled: bool,
}

#[derive(Subcommand)]
pub(crate) enum What {
    /// The start time, the stated sampling rates, the number of traces, and the properties of the recording.
    Meta(Profile),
    /// The stack of each trace, outermost first.
    Traces(Profile),
    /// Every event of the log.
    Events(Profile),
    /// The snapshots of a digest made from the log.
    Snapshots {
        #[command(flatten)]
        profile: Profile,
        /// Milliseconds between snapshots, at least 1.
        #[arg(value_parser = clap::value_parser!(u64).range(1..))]
        interval_ms: u64,
        /// The fraction of the total that is folded into unknown, at least 0 and below 1.
        #[arg(value_parser = precision, default_value = "0", allow_negative_numbers = true)]
        precision: f64,
    },
    /// The snapshots of the .hpc file as it is.
    Digest(Profile),
    /// Bytes by trace.
    Usage {
        #[command(flatten)]
        profile: Profile,
        #[command(flatten)]
        question: Query,
    },
    /// The total, and local and cumulative bytes by line of code.
    Lines {
        #[command(flatten)]
        profile: Profile,
        #[command(flatten)]
        question: Query,
    },
    /// Bytes by pair of lines of which one directly calls the other.
    Edges {
        #[command(flatten)]
        profile: Profile,
        #[command(flatten)]
        question: Query,
    },
    /// Bytes by distinct stack, outermost line first.
    Stacks {
        #[command(flatten)]
        profile: Profile,
        #[command(flatten)]
        question: Query,
    },
    /// When the most bytes were live.
    Peak(Profile),
    /// What each trace allocated and freed.
    Churn {
        #[command(flatten)]
        profile: Profile,
        /// `A..B`, in microseconds: what came after A and up to B.
        #[arg(value_parser = window, allow_hyphen_values = true)]
        window: Option<(i128, i128)>,
    },
    /// The total over time, and the cumulative bytes of lines.
    Series {
        #[command(flatten)]
        profile: Profile,
        /// Milliseconds between snapshots, at least 1.
        #[arg(value_parser = clap::value_parser!(u64).range(1..))]
        interval_ms: u64,
        /// Lines of code, as `FILE:LINE`.
        #[arg(value_parser = line)]
        lines: Vec<(String, u32)>,
    },
}

#[derive(Args)]
pub(crate) struct Profile {
    /// The profile: what the names of its files begin with, or one of the names.
    pub(crate) filebase: PathBuf,
}

#[derive(Args)]
pub(crate) struct Query {
    /// `end`, `peak`, a time in microseconds (what is live then), or `A..B` (growth from A to B).
    #[arg(allow_hyphen_values = true)]
    pub(crate) question: Moment,
}

#[derive(Clone, Copy)]
pub(crate) enum Moment {
    End,
    Peak,
    At(i128),
    Between(i128, i128),
}

impl FromStr for Moment {
    type Err = std::num::ParseIntError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(match text.split_once("..") {
            Some((from, to)) => Self::Between(from.parse()?, to.parse()?),
            None if text == "end" => Self::End,
            None if text == "peak" => Self::Peak,
            None => Self::At(text.parse()?),
        })
    }
}

fn window(text: &str) -> Result<(i128, i128), String> {
    match text.parse() {
        Ok(Moment::Between(from, to)) => Ok((from, to)),
        _ => Err("not A..B".to_owned()),
    }
}

fn precision(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(precision) if (0.0..1.0).contains(&precision) => Ok(precision),
        _ => Err("at least 0 and below 1".to_owned()),
    }
}

fn line(text: &str) -> Result<(String, u32), String> {
    let parts = text.rsplit_once(':').ok_or("not FILE:LINE")?;
    let line = parts.1.parse().map_err(|_| "not FILE:LINE")?;
    Ok((parts.0.to_owned(), line))
}

impl Cli {
    pub(crate) fn open(&self, profile: &Profile) -> Result<Reader> {
        let reader = Reader::open(checked(profile.filebase.clone())?)?;
        Ok(if self.unsampled {
            reader.unsampled()
        } else {
            reader
        })
    }
}

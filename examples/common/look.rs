//! Which stacks the examples show, and how: own code, and what is about a function, file or package.

use clap::Args;
use heapprof::view::Packages;
use heapprof::{Frame, TraceTable, Usage};

/// Which stacks are shown, and how.
#[derive(Args)]
pub(crate) struct Look {
    /// Show calls within a library as one frame, such as `serde_json 1.0.154 …`.
    #[arg(long)]
    own: bool,

    /// Files below this folder are own code, whatever it looks like.
    #[arg(long, value_name = "FOLDER")]
    own_code: Vec<String>,

    /// Only stacks that go through a function, file or package with this in its name.
    #[arg(long, value_name = "NAME")]
    focus: Vec<String>,

    /// No stacks that go through a function, file or package with this in its name.
    #[arg(long, value_name = "NAME")]
    ignore: Vec<String>,
}

impl Look {
    /// Whose code a file is.
    pub(crate) fn packages(&self) -> Packages {
        let prefixes = self.own_code.iter();
        prefixes.fold(Packages::new(), Packages::own)
    }

    /// The stacks as they are shown, with the same trace ids.
    pub(crate) fn table(&self, traces: &TraceTable) -> TraceTable {
        if self.own {
            traces.fold_foreign(&self.packages())
        } else {
            traces.clone()
        }
    }

    /// What is shown of a usage.
    pub(crate) fn usage(&self, traces: &TraceTable, mut usage: Usage) -> Usage {
        let packages = self.packages();
        let is_about = |frame: Frame<'_>, name: &str| {
            frame.to_string().contains(name) || packages.of(frame.file).to_string().contains(name)
        };
        for name in &self.focus {
            usage = usage.focus(traces, |frame| is_about(frame, name));
        }
        for name in &self.ignore {
            usage = usage.ignore(traces, |frame| is_about(frame, name));
        }
        usage
    }
}

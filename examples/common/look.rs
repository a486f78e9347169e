//! Which stacks the examples show, and how: own code, and what is about a function, file or package.

use anyhow::Result;
use clap::Args;
use heapprof::query::{Envelope, Peak, TraceSet, Track};
use heapprof::view::Packages;
use heapprof::{Frame, Reader, TraceTable, Usage};

/// Which stacks are shown, and how.
#[derive(Args)]
pub(crate) struct Look {
    /// Show what own code calls as one frame, named after the library that it called, such as `serde_json 1.0.154 …`.
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

    /// The stacks up to the line that is shown as responsible: the allocating one, or the innermost of own code.
    pub(crate) fn responsible(&self, traces: &TraceTable) -> TraceTable {
        if self.own {
            traces.cut_to_own(&self.packages())
        } else {
            traces.clone()
        }
    }

    /// The peak of what is shown.
    pub(crate) fn peak(&self, reader: &Reader) -> Result<Peak> {
        let shown = self.traces(reader.traces()?);
        Ok(reader.ask(Peak::query().of(&shown))?)
    }

    /// How what is shown changed, in all and by track of the [responsible](Self::responsible) stacks.
    pub(crate) fn envelopes(
        &self,
        reader: &Reader,
        tracks: impl Iterator<Item = Track>,
    ) -> Result<(Envelope, Vec<Envelope>)> {
        let traces = reader.traces()?;
        let (shown, responsible) = (self.traces(traces), self.responsible(traces));
        let queries = tracks.map(|track| {
            let set = TraceSet::of(&responsible, [track]);
            let both = |id| set.contains(id) && shown.contains(id);
            Envelope::query().of(&TraceSet::from_fn(traces, |id, _| both(id)))
        });
        let queries: Vec<_> = queries.collect();
        Ok(reader.ask((Envelope::query().of(&shown), queries))?)
    }

    /// What is shown of a usage.
    pub(crate) fn usage(&self, traces: &TraceTable, usage: &Usage) -> Usage {
        self.traces(traces).filter(usage)
    }

    /// The traces that are shown.
    pub(crate) fn traces(&self, traces: &TraceTable) -> TraceSet {
        let packages = self.packages();
        let about = |name: &String| {
            let is_about = |frame: Frame<'_>| {
                let package = packages.of(frame.file).to_string();
                frame.to_string().contains(name) || package.contains(name)
            };
            let frames = traces.frames().filter(|&(_, frame)| is_about(frame));
            let tracks: Vec<_> = frames.map(|(id, _)| Track::Cumulative(id)).collect();
            TraceSet::of(traces, tracks)
        };
        let focus: Vec<_> = self.focus.iter().map(about).collect();
        let ignore: Vec<_> = self.ignore.iter().map(about).collect();
        TraceSet::from_fn(traces, |id, _| {
            let is_in = |set: &TraceSet| set.contains(id);
            focus.iter().all(is_in) && !ignore.iter().any(is_in)
        })
    }
}

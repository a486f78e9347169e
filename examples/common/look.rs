//! Which stacks the examples show, and how: own code, and what is about a function, file or package.

use anyhow::{Result, ensure};
use clap::Args;
use heapprof::query::{Envelope, TraceSet, Track};
use heapprof::view::{Package, Packages};
use heapprof::{Elapsed, Frame, Reader, TraceTable, Usage};

/// Which stacks are shown, and how.
#[derive(Args)]
pub(crate) struct Look {
    /// Own code only. What it calls is one frame, named after the library that it called, such as `serde_json 1.0.154 …`;
    /// where lines are listed, own lines stand for all that they call.
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

    /// When the program's memory was at its peak, and what of it is shown.
    pub(crate) fn at_peak(&self, reader: &Reader) -> Result<(Elapsed, Usage)> {
        let peak = reader.peak()?;
        let shown = self.traces(reader.traces()?)?;
        Ok((peak.time(), shown.filter(peak.usage())))
    }

    /// How what is shown changed, in all and by track of the [responsible](Self::responsible) stacks.
    pub(crate) fn envelopes(
        &self,
        reader: &Reader,
        tracks: impl Iterator<Item = Track>,
    ) -> Result<(Envelope, Vec<Envelope>)> {
        let traces = reader.traces()?;
        let (shown, responsible) = (self.traces(traces)?, self.responsible(traces));
        let queries = tracks.map(|track| {
            let set = TraceSet::of(&responsible, [track]);
            let both = |id| set.contains(id) && shown.contains(id);
            Envelope::query().of(&TraceSet::from_fn(traces, |id, _| both(id)))
        });
        let queries: Vec<_> = queries.collect();
        Ok(reader.ask((Envelope::query().of(&shown), queries))?)
    }

    /// The traces that are shown. An error if no frame has one of the names: it is probably misspelt.
    pub(crate) fn traces(&self, traces: &TraceTable) -> Result<TraceSet> {
        let focus = self.about(traces, "--focus", &self.focus)?;
        let ignore = self.about(traces, "--ignore", &self.ignore)?;
        Ok(TraceSet::from_fn(traces, |id, _| {
            let is_in = |set: &TraceSet| set.contains(id);
            focus.iter().all(is_in) && !ignore.iter().any(is_in)
        }))
    }

    /// The traces through a function, file or package, for each name.
    fn about(&self, traces: &TraceTable, option: &str, names: &[String]) -> Result<Vec<TraceSet>> {
        let packages = self.packages();
        let set = |name: &String| {
            let is_about = |frame: Frame<'_>| {
                let package = packages.of(frame.file);
                let label = package.to_string();
                let is_named = matches!(package, Package::Installed { .. }) && label.contains(name);
                is_named || label == *name || frame.to_string().contains(name)
            };
            let frames = traces.frames().filter(|&(_, frame)| is_about(frame));
            let tracks: Vec<_> = frames.map(|(id, _)| Track::Cumulative(id)).collect();
            let what = "no function, file or package of the recording has this in its name";
            ensure!(
                !tracks.is_empty() || traces.is_empty(),
                "{option} {name}: {what}"
            );
            Ok(TraceSet::of(traces, tracks))
        };
        names.iter().map(set).collect()
    }
}

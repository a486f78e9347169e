//! Who is responsible: own lines with their share, the way to the allocation, and packages.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::io::Write;

use anyhow::Result;
use heapprof::query::{ErrorBars, Estimate};
use heapprof::view::{Blame, BlameRow, LineErrorBars, Lines, Package, Packages, SourceLines};
use heapprof::{Frame, Trace, TraceId, TraceTable, Usage};

use crate::common::{Names, bytes, clean};

/// The most frames of a stack in a list.
const LONGEST: usize = 12;

/// A list goes on until it explains this part of its total.
const ENOUGH: f64 = 0.9;

/// What is shown of the stacks of a profile.
pub(crate) struct Who<'t> {
    pub(crate) traces: &'t TraceTable,
    pub(crate) packages: &'t Packages,
    pub(crate) names: Names<'t>,
    pub(crate) sources: SourceLines,
    /// The most rows of a list.
    pub(crate) rows: usize,
}

impl Who<'_> {
    /// An own line with as much of its path as tells it from all others, a line of a package with its name and without
    /// generic arguments.
    pub(crate) fn frame(&self, frame: Frame<'_>) -> String {
        match self.packages.of(frame.file) {
            Package::Own => self.names.short(frame),
            package => {
                let name = frame.file.rsplit(['/', '\\']).next().unwrap_or_default();
                let file = format!("{package} {name}");
                let function = frame.function.map(without_generics);
                Frame {
                    file: &file,
                    function: function.as_deref(),
                    ..frame
                }
                .to_string()
            }
        }
    }

    /// The frames from the allocating line to the first own one, and `more` beyond; `…` where others follow. Frames of
    /// a package, and equal frames, that follow each other are shown by the first and the number of the others.
    fn stack(&self, trace: Trace<'_>, more: usize, whole_names: bool) -> String {
        let frames: Vec<_> = trace.frames().rev().collect();
        let is_own = |frame: &Frame<'_>| self.packages.of(frame.file).is_own();
        let own = frames.iter().position(is_own).unwrap_or(0);
        let depth = (own + 1 + more).min(frames.len());
        let runs = frames[..depth].chunk_by(|a, b| {
            let packages = [a, b].map(|frame| self.packages.of(frame.file));
            a == b || more == 0 && !is_own(a) && packages[0] == packages[1]
        });
        let name = |frame: Frame<'_>| {
            if whole_names {
                frame.to_string()
            } else {
                self.frame(frame)
            }
        };
        let mut shown: Vec<_> = runs
            .map(|run| match run.len() {
                1 => name(run[0]),
                count => format!("{} (+{})", name(run[0]), count - 1),
            })
            .collect();
        if depth < frames.len() || shown.len() > LONGEST {
            shown.truncate(LONGEST);
            shown.push("…".to_owned());
        }
        clean(&shown.join(" < "))
    }

    /// The stacks of some traces, each as long as it takes to tell it from the others.
    pub(crate) fn stacks(&self, traces: &[Option<TraceId>]) -> Vec<String> {
        let stack = |id: Option<TraceId>, more, whole| match self.traces.trace(id) {
            Some(trace) if !trace.is_empty() => self.stack(trace, more, whole),
            _ => "unknown".to_owned(),
        };
        let mut shown: Vec<String> = traces.iter().map(|&id| stack(id, 0, false)).collect();
        // All frames up to the own one, then some beyond, then whole paths; at last the number of the trace.
        for round in 1..=LONGEST {
            let mut counts: HashMap<String, u32> = HashMap::new();
            for text in &shown {
                *counts.entry(text.clone()).or_default() += 1;
            }
            for (&id, text) in traces.iter().zip(&mut shown) {
                if counts[text] > 1 {
                    *text = stack(id, round, round > LONGEST - 2);
                    if round == LONGEST
                        && let Some(id) = id
                    {
                        *text = format!("{text} (trace {id})");
                    }
                }
            }
        }
        shown
    }

    pub(crate) fn blame(&self, usage: &Usage) -> Blame {
        Blame::with_packages(self.traces, usage, self.packages)
    }

    fn row(&self, row: BlameRow<'_>) -> String {
        match row.frame {
            None => "unknown".to_owned(),
            Some(frame) if row.is_own => clean(&self.frame(frame)),
            Some(package) => clean(&package.to_string()),
        }
    }

    /// `, 98 % by main.rs:7`: the row with the largest change.
    pub(crate) fn foremost(&self, usage: &Usage) -> String {
        let blame = self.blame(usage);
        let Some(&row) = rows(&blame).first() else {
            return String::new();
        };
        format!(", {} by {}", share(row.weight, usage), self.row(row))
    }

    /// Who is responsible for a usage: own lines, then packages.
    pub(crate) fn list(&self, out: &mut impl Write, usage: &Usage, bars: &ErrorBars) -> Result<()> {
        let blame = self.blame(usage);
        let bars = LineErrorBars::new(blame.table(), bars);
        let rows = rows(&blame);
        let size = |row: &BlameRow<'_>| i128::from(row.weight.unsigned_abs());
        let all: i128 = rows.iter().map(size).sum();
        let mut explained = 0;
        let mut shown = 0;
        for &row in rows.iter().take(self.rows) {
            explained += size(&row);
            shown += 1;
            let name = self.row(row);
            let error = row.id.and_then(|id| bars.get(id));
            let error = error.map_or(String::new(), |line| give_or_take(line.local));
            let way = self.way(&blame, row);
            let text = row.frame.map_or(String::new(), |frame| self.source(frame));
            let (weight, share) = (bytes(row.weight), share(row.weight, usage));
            writeln!(out, "{weight:>10} {share:>5}  {name}{way}{text}{error}")?;
            if fraction(explained, all) >= ENOUGH {
                break;
            }
        }
        if all > 0 {
            let part = match 100.0 * fraction(explained, all) {
                part if part > 99.5 && explained < all => ">99".to_owned(),
                part => format!("{part:.0}"),
            };
            let left = match rows.len() - shown {
                0 => String::new(),
                1 => ", 1 more line the rest".to_owned(),
                left => format!(", {left} more lines the rest"),
            };
            writeln!(
                out,
                "            explains {part} %{left}{}",
                self.by_package(usage)
            )?;
        }
        Ok(())
    }

    /// ` → serde_json 1.0.154 map.rs:138`: where the memory is allocated, if not by the line itself.
    fn way(&self, blame: &Blame, row: BlameRow<'_>) -> String {
        let mut paths = blame.paths(row);
        let Some(path) = paths.next() else {
            return String::new();
        };
        let others = match paths.len() {
            0 => String::new(),
            1 => ", and 1 other way".to_owned(),
            count => format!(", and {count} other ways"),
        };
        match path.frames().next_back() {
            Some(frame) if path.frames().len() > 1 || !row.is_own => {
                format!(" → {}{others}", clean(&self.frame(frame)))
            }
            _ => others,
        }
    }

    /// The packages of the allocating lines, if there are several.
    fn by_package(&self, usage: &Usage) -> String {
        let table = self.traces.by_package(self.packages);
        let lines = Lines::new(&table, usage);
        let mut rows: Vec<_> = lines.by_local().filter(|line| line.local != 0).collect();
        rows.sort_by_key(|line| Reverse(line.local.unsigned_abs()));
        let shares = rows
            .iter()
            .take(4)
            .map(|line| (line, share(line.local, usage)));
        let shares = shares.filter(|(_, share)| !share.starts_with('<'));
        let shares: Vec<_> = shares
            .map(|(line, share)| format!("{} {share}", clean(line.frame.file)))
            .collect();
        match shares.len() {
            0 | 1 => String::new(),
            _ => format!("; by package {}", shares.join(", ")),
        }
    }

    fn source(&self, frame: Frame<'_>) -> String {
        match self.sources.line(frame) {
            None => String::new(),
            Some(line) if line.is_changed() => {
                format!("  {}  (changed since)", clean(&line.to_string()))
            }
            Some(line) => format!("  {}", clean(&line.to_string())),
        }
    }
}

/// `visit_seq` of `visit_seq<serde_json::de::SeqAccess<…>>`.
fn without_generics(function: &str) -> String {
    let mut depth = 0_u32;
    let mut name = String::new();
    for c in function.chars() {
        match c {
            '<' => depth += 1,
            '>' if depth == 0 => return function.to_owned(), // an operator
            '>' => depth -= 1,
            c if depth == 0 => name.push(c),
            _ => {}
        }
    }
    let name = name.trim_start_matches("::");
    if depth > 0 || name.is_empty() || name.contains("operator") {
        return function.to_owned();
    }
    name.to_owned()
}

/// The rows, those with the largest change first.
fn rows(blame: &Blame) -> Vec<BlameRow<'_>> {
    let mut rows: Vec<_> = blame.rows().collect();
    rows.sort_by_key(|row| Reverse(row.weight.unsigned_abs()));
    rows
}

/// The interval for 95 %, where something was sampled.
pub(crate) fn give_or_take(estimate: Estimate) -> String {
    let interval = estimate
        .confidence_interval(0.95)
        .filter(|_| !estimate.is_exact());
    interval.map_or(String::new(), |interval| {
        let reach = interval.end().saturating_sub(estimate.value());
        format!(" ± {}", bytes(reach))
    })
}

#[expect(clippy::cast_precision_loss, reason = "for people")]
fn fraction(part: i128, all: i128) -> f64 {
    if all == 0 {
        0.0
    } else {
        part as f64 / all as f64
    }
}

/// A part of a usage, in which what grew and what shrank count alike.
pub(crate) fn share(weight: i64, usage: &Usage) -> String {
    let all = usage
        .by_trace()
        .map(|(_, weight)| i128::from(weight.unsigned_abs()));
    let percent = 100.0 * fraction(i128::from(weight.unsigned_abs()), all.sum());
    match percent {
        0.0 => "0 %".to_owned(),
        ..0.5 => "<1 %".to_owned(),
        _ => format!("{percent:.0} %"),
    }
}

//! `is_damaged` of every result: true if the result is derived from damaged input, false otherwise.

mod common;

use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;
use std::time::Duration;

use common::{Profile, public_api};
use heapprof::query::{
    AppliedEvent, Churn, ChurnOverTime, ErrorBars, Live, LiveBlocks, LiveHeap, Query, QueryEnd,
    SamplingAdvice, TraceSet, Track,
};
use heapprof::raw::DecodeErrorKind;
use heapprof::view::{
    FlameGraph, FlowGraph, FlowOptions, LineErrorBars, Lines, MergedTraces, Packages, Sandwich,
};
use heapprof::{Digest, DigestOptions, Elapsed, Reader, SamplingRates, TraceTable, Usage};

/// `is_damaged` by the name of the result.
type Flags = BTreeMap<&'static str, bool>;

fn of_a_usage(usage: &Usage, traces: &TraceTable, said: &mut Flags) {
    let set = TraceSet::of(traces, [Track::Unknown]);
    let flame = FlameGraph::new(traces, usage);
    let merged = MergedTraces::new([traces, &TraceTable::default()]);
    let mut heap = LiveHeap::new(2);
    heap.add_usage(usage);
    said.extend([
        ("Usage", usage.is_damaged()),
        ("LiveHeap", heap.is_damaged()),
        ("LiveHeap, its usage", heap.usage().is_damaged()),
        ("Usage::filter", usage.filter(|_, _| false).is_damaged()),
        ("Usage::focus", usage.focus(traces, |_| true).is_damaged()),
        ("Usage::ignore", usage.ignore(traces, |_| true).is_damaged()),
        ("TraceSet::filter", set.filter(usage).is_damaged()),
        ("a sum", (Usage::empty() + usage).is_damaged()),
        ("a difference", (&Usage::empty() - usage).is_damaged()),
        ("a negation", (-usage).is_damaged()),
        (
            "a sum of many",
            [usage, &Usage::empty()]
                .into_iter()
                .sum::<Usage>()
                .is_damaged(),
        ),
        (
            "a sum of many, given away",
            [Usage::empty(), usage.clone()]
                .into_iter()
                .sum::<Usage>()
                .is_damaged(),
        ),
        ("MergedTraces::usage", merged.usage(0, usage).is_damaged()),
    ]);
    let line = traces.frames().next().map(|(line, _)| line);
    said.extend([
        ("Lines", Lines::new(traces, usage).is_damaged()),
        (
            "Lines of regrouped",
            Lines::new(&traces.by_package(&Packages::new()), usage).is_damaged(),
        ),
        (
            "Lines of merged",
            Lines::new(merged.table(), &merged.usage(0, usage)).is_damaged(),
        ),
        (
            "FlowGraph",
            FlowGraph::with_options(traces, [&Usage::empty(), usage], &FlowOptions::default())
                .is_damaged(),
        ),
        ("FlameGraph", flame.is_damaged()),
        (
            "FlameGraph::inverted",
            FlameGraph::inverted(traces, usage).is_damaged(),
        ),
        (
            "FlameGraph::difference",
            FlameGraph::difference(traces, &Usage::empty(), usage).is_damaged(),
        ),
        (
            "FlameGraph, changed",
            flame
                .min_fraction(0.5)
                .alphabetical()
                .max_nodes(1)
                .is_damaged(),
        ),
        (
            "Sandwich",
            Sandwich::new(traces, usage, line.unwrap()).is_damaged(),
        ),
        (
            "Sandwich, a tree",
            Sandwich::new(traces, usage, line.unwrap())
                .callee_tree()
                .is_damaged(),
        ),
    ]);
}

/// Results of passes over the log, with an undamaged table.
fn of_the_log(reader: &Reader) -> Flags {
    let rates = SamplingRates::unsampled();
    let mut said = Flags::new();
    let live = reader.live_at_end().unwrap();
    let traces = TraceTable::from_iter([[heapprof::Frame::new("main.py", 1)]]);
    of_a_usage(&live, &traces, &mut said);

    let churn = reader.churn().unwrap();
    let lifetimes = reader.lifetimes().unwrap();
    let (same, steps, blocks, advice, bars, own) = reader
        .ask((
            Live::query(),
            ChurnOverTime::query().every(Duration::from_millis(1)),
            LiveBlocks::query(),
            SamplingAdvice::query([rates.clone()]),
            ErrorBars::query(),
            Own,
        ))
        .unwrap();
    assert_eq!(same, live);
    let growth = reader
        .ask(ErrorBars::query().within(Elapsed::ZERO..Elapsed::MAX))
        .unwrap();
    said.extend([
        ("Live", same.is_damaged()),
        (
            "Reader::growth",
            reader
                .growth(Elapsed::ZERO..Elapsed::MAX)
                .unwrap()
                .is_damaged(),
        ),
        ("Peak", reader.peak().unwrap().is_damaged()),
        (
            "Peak, its usage",
            reader.peak().unwrap().into_usage().is_damaged(),
        ),
        ("HighWater", reader.high_water().unwrap().is_damaged()),
        ("Churn", churn.is_damaged()),
        ("Churn, a column", churn.temporary().is_damaged()),
        (
            "Churn of a window",
            reader
                .ask(Churn::query().within(..Elapsed::MAX))
                .unwrap()
                .is_damaged(),
        ),
        ("ChurnOverTime", steps.is_damaged()),
        ("LiveBlocks", blocks.is_damaged()),
        ("LiveBlocks, estimated", blocks.estimated().is_damaged()),
        ("Sizes", reader.sizes().unwrap().is_damaged()),
        ("Lifetimes", lifetimes.is_damaged()),
        (
            "Lifetimes, a column",
            lifetimes.longest_micros().is_damaged(),
        ),
        ("Leaks", reader.leaks().unwrap().is_damaged()),
        ("ErrorBars", bars.is_damaged()),
        ("ErrorBars, their usage", bars.usage().is_damaged()),
        ("ErrorBars of growth", growth.is_damaged()),
        (
            "LineErrorBars",
            LineErrorBars::new(&traces, &growth).is_damaged(),
        ),
        ("Sanity", reader.sanity().unwrap().is_damaged()),
        ("RatesCheck", reader.rates_check().unwrap().is_damaged()),
        ("SamplingAdvice", advice.is_damaged()),
        ("QueryEnd", own.is_damaged()),
        ("Reader", reader.is_damaged().unwrap()),
    ]);
    said
}

/// A query written by a user: the live heap at the end, marked if the log is damaged.
struct Own;

impl Query for Own {
    type Output = Usage;

    fn observe(&mut self, _: &AppliedEvent, _: &LiveHeap) -> ControlFlow<()> {
        ControlFlow::Continue(())
    }

    fn finish(self, end: &QueryEnd<'_>) -> Usage {
        assert_eq!(end.heap().usage().is_damaged(), end.is_damaged());
        Usage::empty().damaged_if(end.is_damaged())
    }
}

/// Results of a digest, with an undamaged table.
fn of_a_digest(digest: &Digest) -> Flags {
    let mut said = Flags::new();
    let traces = TraceTable::from_iter([[heapprof::Frame::new("main.py", 1)]]);
    let last = digest.snapshots().last().unwrap().unwrap();
    let series = heapprof::view::TimeSeries::new(digest, &traces, [Track::Unknown]).unwrap();
    said.extend([
        ("Digest", digest.is_damaged()),
        ("Snapshot", last.is_damaged()),
        ("Snapshot, its usage", last.usage().is_damaged()),
        ("TimeSeries", series.is_damaged()),
        ("Series", series.total().is_damaged()),
        ("Series of a track", series.get(0).unwrap().is_damaged()),
        (
            "Series of an iterator",
            series.iter().next().unwrap().1.is_damaged(),
        ),
        ("Movements", series.total().movements().is_damaged()),
    ]);
    said
}

/// Results of a table and of undamaged usages.
fn of_a_table(traces: &TraceTable) -> Flags {
    let mut said = Flags::new();
    of_a_usage(&Usage::empty(), traces, &mut said);
    // A usage does not depend on the stacks of its traces.
    said.retain(|name, _| name.starts_with(['L', 'F', 'S']) && !name.starts_with("LiveHeap"));
    let whole = whole().reader();
    let bars = whole.error_bars().unwrap();
    let digest = whole.digest().unwrap();
    let series = heapprof::view::TimeSeries::new(&digest, traces, []).unwrap();
    said.extend([
        ("TraceTable", traces.is_damaged()),
        (
            "TraceTable, regrouped",
            traces.fold_recursion().is_damaged(),
        ),
        (
            "TraceTable, merged",
            MergedTraces::new([&TraceTable::default(), traces])
                .table()
                .is_damaged(),
        ),
        (
            "LineErrorBars",
            LineErrorBars::new(traces, &bars).is_damaged(),
        ),
        ("TimeSeries", series.is_damaged()),
    ]);
    said
}

fn all(said: &Flags, damaged: bool, of: &str) {
    let wrong: Vec<_> = said.iter().filter(|(_, said)| **said != damaged).collect();
    assert!(wrong.is_empty(), "{of}: {wrong:?}");
}

const EVENTS: [(i64, u32, i64); 4] = [
    (1_000, 1, 100),
    (12_000, 2, 50),
    (25_000, 1, -100),
    (40_000, 2, 7),
];

fn whole() -> Profile {
    Profile::default().traces(2).with_events(&EVENTS)
}

fn reader(hpm: &[u8], hpd: &[u8]) -> Reader {
    Reader::from_bytes(hpm.to_vec(), hpd.to_vec(), None).unwrap()
}

fn digest(reader: &Reader) -> Digest {
    let options = DigestOptions::default().interval(Duration::from_millis(10));
    reader.digest_with(options).unwrap()
}

/// Logs with an invalid record at 30 ms, and the kind of that damage.
fn damaged_logs() -> Vec<(DecodeErrorKind, Vec<u8>)> {
    let with = |event: (i64, u32, i64)| {
        let events = [&EVENTS[..3], &[event], &EVENTS[3..]].concat();
        Profile::default()
            .traces(2)
            .with_events(&events)
            .into_bytes()
            .1
    };
    let endless = [whole().into_bytes().1, vec![0, 0, 0, 1], vec![0xff; 11]].concat();
    let zeros = [whole().into_bytes().1, vec![0; 100]].concat();
    let mut invalid = with((30_000, 1, 1));
    // The microseconds of the added event: 5 000, in two bytes.
    let at = invalid
        .windows(2)
        .rposition(|it| it == [0x88, 0x27])
        .unwrap();
    invalid.splice(at..at + 2, [0xc0, 0x84, 0x3d]);
    vec![
        (
            DecodeErrorKind::UnknownTrace {
                found: 77,
                traces: 2,
            },
            with((30_000, 77, 1)),
        ),
        (
            DecodeErrorKind::NegativeBalance { trace: 1 },
            with((30_000, 1, -5)),
        ),
        (DecodeErrorKind::Microseconds { found: 1_000_000 }, invalid),
        (DecodeErrorKind::Varint, endless),
        (DecodeErrorKind::Zeros { len: 100 }, zeros),
    ]
}

#[test]
fn undamaged_input_marks_no_result() {
    let mut names: Vec<_> = [
        "tiny", "realloc", "unicode", "onelive", "huge", "loss", "demo",
    ]
    .into();
    names.extend([
        "killed",
        "truncated",
        "recursion",
        "spike",
        "threads",
        "negtime",
    ]);
    for name in names {
        let Some(base) = common::recording(name) else {
            continue;
        };
        let reader = Reader::open(base).unwrap();
        // A cut is not damage.
        assert!(
            reader
                .damage()
                .unwrap()
                .iter()
                .all(heapprof::raw::DecodeError::is_cut),
            "{name}"
        );
        all(&of_the_log(&reader), false, name);
        all(&of_a_digest(&reader.digest().unwrap()), false, name);
        all(&of_a_table(reader.traces().unwrap()), false, name);
    }
    let (hpm, hpd) = whole().into_bytes();
    for (hpm, hpd) in [
        (&hpm[..], &hpd[..hpd.len() - 1]),
        (&hpm[..hpm.len() - 1], &hpd[..8]),
    ] {
        let reader = reader(hpm, hpd);
        let damage = reader.damage().unwrap();
        assert!(damage.len() == 1 && damage[0].is_cut(), "{damage:?}");
        all(&of_the_log(&reader), false, "a cut recording");
        all(&of_a_digest(&digest(&reader)), false, "a cut recording");
        all(
            &of_a_table(reader.traces().unwrap()),
            false,
            "a cut recording",
        );
    }
}

#[test]
fn damaged_log_marks_results() {
    let (hpm, _) = whole().into_bytes();
    for (kind, hpd) in damaged_logs() {
        let what = format!("{kind:?}");
        let reader = reader(&hpm, &hpd);
        let kinds: Vec<_> = reader
            .damage()
            .unwrap()
            .iter()
            .map(heapprof::raw::DecodeError::kind)
            .collect();
        assert_eq!(kinds, [kind]);
        all(&of_the_log(&reader), true, &what);
        all(&of_a_digest(&digest(&reader)), true, &what);
        all(&of_a_table(reader.traces().unwrap()), false, &what);
        // The same with a digest, where a pass resumes after the damage.
        let digested = reader.with_digest(digest(&self::reader(&hpm, &hpd)));
        assert!(digested.has_digest());
        all(&of_the_log(&digested), true, &what);
    }
}

/// Only the part of the log that a query reads counts. With a digest, that part is shorter.
#[test]
fn results_before_the_damage_are_not_marked() {
    let (hpm, _) = whole().into_bytes();
    for (kind, hpd) in damaged_logs() {
        let plain = reader(&hpm, &hpd);
        let digested = reader(&hpm, &hpd).with_digest(digest(&plain));
        let times = [
            0, 15_000, 24_999, 29_999, 30_000, 35_000, 39_999, 40_000, 2_000_000,
        ];
        let mut flags = BTreeSet::new();
        for at in times.map(Elapsed::from_micros) {
            let live = plain.live_at(at).unwrap();
            let damaged = live.is_damaged();
            flags.insert((at, damaged));
            let questions = || {
                (
                    Live::query().at(at),
                    Churn::query().within(at..at),
                    Errors(at),
                )
            };
            let (a, b, errors) = plain.ask(questions()).unwrap();
            let (c, d, from_digest) = digested.ask(questions()).unwrap();
            assert_eq!((&a, &b), (&c, &d));
            assert_eq!(errors, from_digest, "{kind:?} {at}");
            for said in [
                a.is_damaged(),
                c.is_damaged(),
                b.is_damaged(),
                d.is_damaged(),
            ] {
                assert_eq!(said, damaged, "{kind:?} {at}");
            }
            assert_eq!(
                digested.live_at(at).unwrap().is_damaged(),
                damaged,
                "{kind:?} {at}"
            );
        }
        let first = flags.iter().find(|(_, damaged)| *damaged).unwrap().0;
        let expected = match kind {
            // After the last event.
            DecodeErrorKind::Varint | DecodeErrorKind::Zeros { .. } => 40_000,
            // The time of the damaged event is a second later.
            DecodeErrorKind::Microseconds { .. } => 2_000_000,
            _ => 30_000,
        };
        assert_eq!(first, Elapsed::from_micros(expected), "{kind:?}");
        let from_then_on: Vec<_> = flags.iter().filter(|(at, _)| *at >= first).collect();
        assert!(
            from_then_on.iter().all(|(_, damaged)| *damaged),
            "{flags:?}"
        );
        // The same for snapshots.
        let digest = digest(&plain);
        for snapshot in digest.snapshots().map(Result::unwrap) {
            let live = plain.live_at(snapshot.time()).unwrap();
            assert_eq!(*snapshot.usage(), live);
            assert_eq!(
                snapshot.is_damaged(),
                live.is_damaged(),
                "{kind:?} {}",
                snapshot.time()
            );
        }
        assert!(!digest.snapshot_at(Elapsed::ZERO).unwrap().is_damaged());
    }
}

/// A query for the damage up to a time.
struct Errors(Elapsed);

impl Query for Errors {
    type Output = Vec<heapprof::raw::DecodeError>;

    fn start(&self) -> Elapsed {
        self.0
    }

    fn observe(&mut self, applied: &AppliedEvent, _: &LiveHeap) -> ControlFlow<()> {
        if applied.event.elapsed > self.0 {
            return ControlFlow::Break(());
        }
        ControlFlow::Continue(())
    }

    fn finish(self, end: &QueryEnd<'_>) -> Self::Output {
        end.damage().to_vec()
    }
}

#[test]
fn damaged_table_marks_results() {
    let (hpm, hpd) = whole().into_bytes();
    // A third trace that begins with a number over 64 bits.
    let broken = reader(&[&hpm[..], &[0xff; 11]].concat(), &hpd);
    let at = hpm.windows(7).rposition(|name| name == b"work.py").unwrap();
    let mut odd = hpm.clone();
    odd[at] = 0xff;
    // A name that is not UTF-8 does not damage results of the log: a pass over the log reads no names.
    let odd = reader(&odd, &hpd);
    let mut late = hpm.clone();
    late[12..20].copy_from_slice(&2_000_000_000_u64.to_be_bytes());
    let late = reader(&late, &hpd);
    for (reader, of_the_log_too, kind) in [
        (&broken, true, DecodeErrorKind::Varint),
        (&odd, false, DecodeErrorKind::NotUtf8),
        (
            &late,
            true,
            DecodeErrorKind::Nanoseconds {
                found: 2_000_000_000,
            },
        ),
    ] {
        // Before and after the table is built.
        for _ in 0..2 {
            let mut said = of_the_log(reader);
            assert_eq!(said.remove("Leaks"), Some(true));
            assert_eq!(said.remove("Reader"), Some(true));
            all(&said, of_the_log_too, &format!("{kind:?}"));
            let damage = reader.damage().unwrap();
            assert_eq!(
                damage
                    .iter()
                    .map(heapprof::raw::DecodeError::kind)
                    .collect::<Vec<_>>(),
                [kind]
            );
        }
        all(
            &of_a_table(reader.traces().unwrap()),
            true,
            &format!("{kind:?}"),
        );
        let series = reader.time_series([]).unwrap();
        assert!(series.is_damaged() && series.total().movements().is_damaged());
    }
}

#[test]
fn damaged_digest_marks_results() {
    let folder = tempfile::tempdir().unwrap();
    let base = whole().save(folder.path());
    let options = DigestOptions::default().interval(Duration::from_millis(10));
    Reader::open(&base).unwrap().make_digest(options).unwrap();
    let mut hpc = std::fs::read(base.with_extension("hpc")).unwrap();
    let at = hpc.len() - 9; // in the trailer
    hpc[at] ^= 1;
    std::fs::write(base.with_extension("hpc"), &hpc).unwrap();

    let digest = Digest::open(&base).unwrap();
    assert!(matches!(
        digest.damage()[0].kind(),
        DecodeErrorKind::Checksum { .. }
    ));
    all(&of_a_digest(&digest), true, "a damaged digest");
    assert!(digest.snapshot_at(Elapsed::ZERO).unwrap().is_damaged());
    // The reader does not use it by itself, so its results are undamaged.
    let reader = Reader::open(&base).unwrap();
    assert!(matches!(
        reader.unused_digest(),
        Some(heapprof::UnusedDigest::Damaged(_))
    ));
    all(&of_the_log(&reader), false, "beside a damaged digest");
    let reader = reader.with_digest(digest);
    assert!(reader.snapshot_at(Elapsed::MAX).unwrap().is_damaged());
    assert!(
        reader
            .snapshots()
            .unwrap()
            .all(|it| it.unwrap().is_damaged())
    );
    assert!(reader.time_series([]).unwrap().is_damaged());
    all(&of_the_log(&reader), false, "with a damaged digest");
}

#[test]
fn equality_ignores_damage() {
    let (hpm, hpd) = whole().into_bytes();
    let damaged = reader(&[&hpm[..], &[0xff; 11]].concat(), &hpd);
    let plain = reader(&hpm, &hpd);
    assert!(damaged.peak().unwrap().is_damaged() && !plain.peak().unwrap().is_damaged());
    assert_eq!(damaged.peak().unwrap(), plain.peak().unwrap());
    assert_eq!(damaged.churn().unwrap(), plain.churn().unwrap());
    assert_eq!(damaged.sizes().unwrap(), plain.sizes().unwrap());
    assert_eq!(damaged.live_at_end().unwrap(), plain.live_at_end().unwrap());
}

/// Every result of a query and every view has `is_damaged`.
#[test]
fn every_result_type_has_is_damaged() {
    /// Types that take a table but are not results.
    const OTHERS: [&str; 2] = ["MergedTraces", "TraceSet"];
    let mut results = BTreeSet::new();
    let mut say = BTreeSet::new();
    for item in public_api::items() {
        let of = item.path.rsplit("::").next().unwrap();
        let is_made_from_results = item.parts.iter().any(|part| {
            let (arguments, result) = part.split_once(" -> ").unwrap_or_default();
            let from = ["Usage", "&TraceTable", "&Digest", "&ErrorBars", "Series<"];
            !arguments.contains("self")
                && result.contains("Self")
                && from.iter().any(|from| arguments.contains(from))
        });
        if is_made_from_results && !OTHERS.contains(&of) {
            results.insert(of.to_owned());
        }
        if item.functions().any(|name| name == "is_damaged") {
            say.insert(of.to_owned());
        }
        // `Noun::query()` is answered by the noun, but for `Live`, by a usage.
        if item.functions().any(|name| name == "query") && of != "Live" {
            results.insert(of.to_owned());
        }
    }
    assert!(results.len() >= 18, "{results:?}");
    let forgotten: Vec<_> = results.difference(&say).collect();
    assert!(forgotten.is_empty(), "without is_damaged: {forgotten:?}");
}

//! All queries, views and other public functions of the crate, run on one profile, with a hash of the answers.
//!
//! Tests run this on damaged and random bytes, where it must not panic, and on readers that must agree.

#![allow(dead_code, reason = "no test needs all of it")]
#![allow(
    clippy::redundant_closure_for_method_calls,
    reason = "so that each call is written as a call"
)]

use std::fmt::{Debug, Write};
use std::hash::{DefaultHasher, Hasher};
use std::io::Cursor;
use std::ops::ControlFlow;
use std::path::Path;
use std::time::{Duration, SystemTime};

use heapprof::query::{
    AppliedEvent, Churn, ChurnOverTime, Envelope, ErrorBars, Leaks, Lifetimes, Live, LiveBlocks,
    LiveHeap, Peak, Query, QueryEnd, QueryStart, RatesCheck, SamplingAdvice, Sanity, Sizes,
    TraceSet, Track, Window,
};
use heapprof::raw::{DecodeError, FileKind, LogPosition};
use heapprof::raw::{
    DigestFile, DigestWriter, EventLog, EventReader, EventWriter, TraceLog, TraceNode,
    TracePosition, TraceWriter, TraceWriterV1,
};
use heapprof::view::{
    Blame, EdgeBase, FlameGraph, FlowGraph, FlowOptions, LineErrorBars, Lines, MergedTraces,
    Movements, Package, Packages, Sandwich, Series, SourceLines, TimeSeries,
};
use heapprof::{
    Clock, Digest, DigestOptions, Elapsed, Frame, FrameId, OwnedFrame, Reader, SamplingRates,
    StartTime, TraceId, TraceTable, Usage, WallOffset,
};

/// Runs all queries and returns a hash of the answers.
///
/// All iterators run to their end. The hash does not depend on how the profile was opened.
pub(crate) fn all_queries(reader: &Reader) -> u64 {
    let mut hash = AnswerHash::default();
    hash.facts(reader);
    hash.table(reader.traces().unwrap());
    let length = hash.log(reader);
    hash.questions(reader, length);
    hash.digests(reader, length);
    hash.times(reader);
    hash.0.finish()
}

/// Runs all queries on the bytes of three files: on each file alone, on the profile, and on the profile with a
/// different clock, different rates and the given digest. Returns [`all_queries`] of the profile if it opens.
pub(crate) fn all_queries_of(hpm: &[u8], hpd: &[u8], hpc: &[u8]) -> Option<u64> {
    all_raw_queries(hpm, hpd, hpc);
    let open = || Reader::from_bytes(hpm.to_vec(), hpd.to_vec(), Some(hpc.to_vec().into()));
    let reader = match open() {
        Ok(reader) => reader,
        Err(error) => {
            assert_eq!(error.decode_error().unwrap().file(), FileKind::Hpm);
            return None;
        }
    };
    let answered = all_queries(&reader);
    // The reader uses a digest of a different log only if the caller sets it.
    let reader = open().unwrap();
    let digest = Digest::from_bytes(hpc.to_vec());
    let digest = digest.ok().filter(|_| reader.unused_digest().is_some());
    // Rates and a clock that enlarge estimates and times.
    let rates = SamplingRates::from_stored([(8, 0), (1 << 20, 1), (u64::MAX, 77)]);
    let clocks = [Clock::Corrected, Clock::GapsClosed(Duration::from_secs(1))];
    let parity = hpd.iter().fold(0, |parity, byte| parity ^ (byte & 1));
    let clock = clocks[usize::from(parity)];
    let reader = reader.unsampled().with_clock(clock);
    let reader = reader.with_rates(rates);
    all_queries(&match digest {
        Some(digest) => reader.with_digest(digest),
        None => reader,
    });
    Some(answered)
}

/// The same for files in an empty folder, where a digest can be written. Returns [`all_queries`] of the profile before
/// that.
pub(crate) fn all_queries_of_files(
    folder: &Path,
    hpm: &[u8],
    hpd: &[u8],
    hpc: &[u8],
) -> Option<u64> {
    let base = folder.join("run");
    for (bytes, file) in [
        (hpm, FileKind::Hpm),
        (hpd, FileKind::Hpd),
        (hpc, FileKind::Hpc),
    ] {
        std::fs::write(base.with_extension(file.extension()), bytes).unwrap();
    }
    let digest = Digest::open(&base).map(|digest| digest.len()).ok();
    assert_eq!(
        digest,
        Digest::from_bytes(hpc.to_vec()).map(|it| it.len()).ok()
    );
    let unmapped = Digest::open_unmapped(&base).map(|digest| digest.len()).ok();
    assert_eq!(unmapped, digest);
    let unmapped = Reader::open_unmapped(&base);
    let reader = Reader::open(&base).ok()?;
    let answered = all_queries(&reader);
    let unmapped = unmapped.unwrap().reopen().unwrap();
    assert_eq!(all_queries(&unmapped), answered);
    let made = reader.make_digest(DigestOptions::default());
    let reader = Reader::open(&base).unwrap();
    assert!(reader.has_digest() || made.is_err());
    all_queries(&reader);
    Some(answered)
}

/// Runs all functions of `raw` on the bytes of the three files.
pub(crate) fn all_raw_queries(hpm: &[u8], hpd: &[u8], hpc: &[u8]) -> u64 {
    let mut hash = AnswerHash::default();
    hash.raw_traces(hpm);
    hash.raw_events(hpd, hpm);
    hash.raw_digest(hpc);
    hash.0.finish()
}

/// A hash of the answers, of their `Debug` text.
#[derive(Default)]
struct AnswerHash(DefaultHasher);

impl Write for AnswerHash {
    fn write_str(&mut self, text: &str) -> std::fmt::Result {
        self.0.write(text.as_bytes());
        Ok(())
    }
}

/// The first, the last, and a few in between.
fn some<T: Copy>(all: &[T]) -> Vec<T> {
    let step = (all.len() / 3).max(1);
    let mut some: Vec<T> = all.iter().step_by(step).copied().collect();
    some.extend(all.last());
    some
}

fn rates() -> SamplingRates {
    SamplingRates::from_stored([(10, 0), (500, 1), (5000, u32::MAX / 3), (1 << 40, u32::MAX)])
}

impl AnswerHash {
    fn add(&mut self, answer: impl Debug) {
        writeln!(self, "{answer:?}").unwrap();
    }

    fn facts(&mut self, reader: &Reader) {
        self.add((reader.start(), reader.stated_rates(), reader.rates()));
        self.add(reader.properties());
        self.add(reader.rates().is_unsampled());
        self.add((reader.clock(), reader.end(), reader.elapsed()));
        self.add((reader.end_time(), reader.damage(), reader.is_damaged()));
        self.add(reader.damage().map(|all| {
            let texts = all.into_iter().map(|it| {
                (
                    it.to_string(),
                    it.is_kept(),
                    it.is_cut(),
                    it.kind(),
                    it.offset(),
                )
            });
            texts.collect::<Vec<_>>()
        }));
        for file in [FileKind::Hpm, FileKind::Hpd, FileKind::Hpc] {
            let _ = reader.path(file);
        }
        // The text can contain a path.
        self.add(reader.unused_digest().is_some());
        let _ = reader.unused_digest().map(ToString::to_string);
        let _ = format!("{reader:?}");
    }

    fn table(&mut self, traces: &TraceTable) {
        self.add((traces.len(), traces.is_empty(), traces.frame_count()));
        self.add((traces.damage(), traces.is_damaged()));
        for (id, trace) in traces.iter() {
            self.add((id, trace.len(), trace.is_empty(), trace.innermost()));
            self.add(trace);
            assert_eq!(trace.ids().len(), trace.len());
            assert_eq!(trace.frames().rev().count(), trace.len());
        }
        for id in [1, 2, 1 << 20, TraceId::MAX.get()] {
            self.add(traces.trace(TraceId::new(id)).map(|trace| trace.len()));
        }
        for (id, frame) in traces.frames() {
            assert_eq!(traces.frame(id), Some(frame));
            assert_eq!(traces.find(frame), Some(id));
            assert!(id.index() < traces.frame_count());
            let mut owned = OwnedFrame::new(frame.file, frame.line);
            if let Some(name) = frame.function {
                owned = owned.in_function(name);
            }
            assert_eq!(owned.function(), frame.function);
            assert_eq!(owned.as_frame(), frame);
            assert_eq!((owned.file(), owned.line()), (frame.file, frame.line));
            let shown = frame.to_string();
            self.add((Package::of(frame.file), Frame::parse(&shown).is_ok()));
            self.add(traces.search(&shown).len());
        }
        let packages = Packages::new();
        assert_eq!(packages.of("a.rs").is_own(), Package::of("a.rs").is_own());
        self.add((packages.recognize(traces), Package::installed("a")));
        let regrouped = [
            traces.by_function(),
            traces.by_file(),
            traces.by_directory(),
            traces.by_package(&packages),
            traces.fold_foreign(&packages),
            traces.cut_to_own(&packages),
            traces.cut_to(&packages, |frame| frame.line % 2 == 0),
            traces.fold_recursion(),
            traces.map_frames(|frame| (frame.line % 2 == 0).then_some(("even", frame.line / 4))),
            traces.map_frames(|_| None::<(&str, u32)>),
        ];
        for table in &regrouped {
            assert_eq!(table.len(), traces.len());
            assert_eq!(table.damage(), traces.damage());
            assert_eq!(table.is_damaged(), traces.is_damaged());
            self.add((table.frame_count(), table.iter().last()));
        }
        let merged = MergedTraces::new([traces, &regrouped[1], traces]);
        self.add(merged.table());
        for (id, _) in traces.iter() {
            assert_eq!(merged.trace(0, id), merged.trace(2, id));
        }
        self.sources(traces);
    }

    fn sources(&mut self, traces: &TraceTable) {
        let sources = SourceLines::new()
            .map_prefix("/srv/app", "tests")
            .recorded_at(StartTime::new(u64::MAX, u64::MAX))
            .only_mapped();
        for (_, trace) in traces.iter().take(4) {
            for (_, line) in sources.dress(trace) {
                self.add(line.map(|line| (line.text().len(), line.is_changed())));
            }
        }
        self.add(
            sources
                .line(Frame::new("/srv/app/any_bytes.rs", 1))
                .is_some(),
        );
    }

    /// Reads every event, writes the log again, and resumes reading. Returns the length of the log: `Reader::elapsed`
    /// may take it from the digest of a different log.
    fn log(&mut self, reader: &Reader) -> Elapsed {
        let Ok(mut events) = reader.events() else {
            self.add(reader.events().is_err());
            return Elapsed::ZERO;
        };
        let mut heap = LiveHeap::new(reader.traces().unwrap().len());
        let mut writer = EventWriter::new(Vec::new());
        let mut read = Vec::new();
        let mut middle = LogPosition::START;
        while let Some(event) = events.next() {
            let Ok(event) = event else {
                self.add(event.map_err(|error| (error.decode_error().copied(), error.is_cut())));
                break;
            };
            heap.apply(&event, reader.rates());
            self.add((event, event.signed_estimate(reader.rates())));
            assert_ne!(event.is_allocation(), event.is_free());
            if reader.clock() == Clock::Recorded {
                // Events that were read can be written.
                writer.write_event(&event).unwrap();
            }
            read.push(event);
            if read.len() % 3 == 1 {
                middle = events.position();
            }
        }
        assert!(events.next().is_none());
        self.add((events.position(), events.cut(), events.invalid_micros()));
        heap.add_usage(&heap.usage());
        self.add((heap.usage(), heap.get(TraceId::new(1)), heap.get(None)));
        self.add(heap.is_damaged());
        assert_eq!(events.position().clock(), reader.clock());
        let recorded = middle.recorded();
        assert_eq!(recorded.clock(), Clock::Recorded);
        self.add((middle.offset(), middle.wall().as_micros(), recorded));
        let mut later = reader.events_from(middle).unwrap();
        let after = usize::try_from(middle.events()).unwrap();
        assert_eq!(
            later.by_ref().map_while(Result::ok).count(),
            read.len() - after
        );
        assert_eq!(later.position(), events.position());
        // Positions that no log has.
        for offset in [3, u64::MAX] {
            let position = LogPosition::new(
                offset,
                u64::MAX,
                Elapsed::MAX,
                WallOffset::from_micros(i64::MIN),
            );
            self.add(
                reader
                    .events_from(position)
                    .unwrap()
                    .map_while(Result::ok)
                    .count(),
            );
            self.add(position.recorded().wall().as_micros());
        }
        if reader.clock() == Clock::Recorded {
            let position = writer.position();
            let bytes = writer.into_inner();
            let again: Vec<_> = EventLog::new(&bytes).events().map(Result::unwrap).collect();
            assert_eq!(again, read);
            assert_eq!(position.elapsed(), events.position().elapsed());
        }
        events.position().elapsed()
    }

    /// Runs every query alone and with others in one pass, and shows the answers in views.
    fn questions(&mut self, reader: &Reader, length: Elapsed) {
        if reader.events().is_err() {
            self.add(reader.live_at_end().is_err());
            return;
        }
        let traces = reader.traces().unwrap();
        let half = Elapsed::from_micros(length.as_micros() / 2);
        let lines: Vec<FrameId> = traces.frames().map(|(id, _)| id).collect();
        let set = self.sets(traces, &lines);

        let live = reader.live_at_end().unwrap();
        let growth = reader.growth(half..length).unwrap();
        self.add((reader.live_at(half).unwrap(), &live, &growth));
        let peak = reader.peak().unwrap();
        self.add((live.is_damaged(), growth.is_damaged(), peak.is_damaged()));
        self.add((peak.time(), peak.events(), peak.total(), peak.usage()));
        let high = reader.high_water().unwrap();
        assert_eq!(&high, peak.high_water());
        self.add((high.time(), high.events(), high.total(), high.is_damaged()));
        let (early, late, of) = reader
            .ask((
                Peak::query().within(..half),
                Peak::query().within(half..Elapsed::MAX),
                Peak::query().of(&set).within(Elapsed::MAX..half),
            ))
            .unwrap();
        self.add((early, late.into_usage(), of));
        let churn = reader.churn().unwrap();
        self.churn(reader, &churn, half);
        self.churn_over_time(reader, &set);
        self.envelope(reader, &set, half);
        self.lifetimes(reader, &set);
        self.sizes(reader, &set, half);
        self.blocks(reader, &set, half, peak.events());
        self.error_bars(reader, half);
        self.checks(reader, half);

        let usages = [
            live,
            growth,
            peak.into_usage(),
            churn.temporary(),
            Usage::empty(),
        ];
        self.usages(&usages, traces, &set);
        self.views(traces, &usages, &lines);
    }

    fn sets(&mut self, traces: &TraceTable, lines: &[FrameId]) -> TraceSet {
        let tracks: Vec<Track> = tracks(lines);
        let sets = [
            TraceSet::from_fn(traces, |id, trace| {
                id.is_some_and(|id| id.get() % 2 == 1) && trace.is_some()
            }),
            TraceSet::from_iter([TraceId::MAX, TraceId::new(2).unwrap()]),
            TraceSet::of(traces, &tracks),
        ];
        for set in &sets {
            self.add((set, set.contains(TraceId::new(1)), set.contains(None)));
        }
        let [set, _, _] = sets;
        set
    }

    fn churn(&mut self, reader: &Reader, churn: &Churn, half: Elapsed) {
        self.add((churn, churn.total(), churn.get(TraceId::new(1))));
        self.add(churn.is_damaged());
        assert_eq!(churn.rows().rev().count(), churn.rows().len());
        for column in [
            churn.allocated(),
            churn.freed(),
            churn.allocations(),
            churn.frees(),
            churn.temporary_bytes(),
        ] {
            self.add(column);
        }
        let windows = (
            Churn::query().within(..half),
            Churn::query().within(half..Elapsed::MAX),
            Live::query().at(half),
            Live::query(),
        );
        self.add(reader.ask(windows).unwrap());
    }

    fn churn_over_time(&mut self, reader: &Reader, set: &TraceSet) {
        // `Reader::elapsed` may be that of a digest of a different log. Steps that do not fit this log can reach
        // `MAX_STEPS`, which takes more memory than the files justify.
        let events = reader.events().unwrap().map_while(Result::ok);
        let end = events.last().map_or(0, |event| event.elapsed.as_micros());
        let half = Elapsed::from_micros(end / 2);
        let every = |micros| ChurnOverTime::query().every(Duration::from_micros(micros));
        let asked = (
            every(half.as_micros() / 3),
            every(u64::MAX).within(..half),
            every(half.as_micros() / 7)
                .within(half..Elapsed::MAX)
                .of(set),
        );
        let (a, b, c) = reader.ask(asked).unwrap();
        let whole = reader.churn_over_time().unwrap();
        assert!(Window::from(..half).contains(half) && !Window::from(half..).contains(half));
        for churn in [whole, a, b, c] {
            assert!(churn.steps().len() <= ChurnOverTime::MAX_STEPS);
            self.add((churn.step(), churn.is_damaged()));
            for step in churn.steps().rev() {
                self.add(step);
                self.add((step.allocations_per_second(), step.frees_per_second()));
                self.add(step.bytes_per_second());
            }
        }
    }

    fn envelope(&mut self, reader: &Reader, set: &TraceSet, half: Elapsed) {
        let part = Envelope::query()
            .every(Duration::from_secs(1 << 40))
            .of(set);
        let (part, peak) = reader.ask((part.within(half..), Peak::query())).unwrap();
        let whole = reader.envelope().unwrap();
        let highest = whole.steps().map(|step| step.highest).max();
        assert!(highest.is_none_or(|highest| highest == peak.total()));
        for envelope in [whole, part] {
            self.add((envelope.step(), envelope.is_damaged()));
            self.add(envelope.steps().collect::<Vec<_>>());
        }
    }

    fn lifetimes(&mut self, reader: &Reader, set: &TraceSet) {
        let lifetimes = reader.lifetimes().unwrap();
        for (trace, row) in lifetimes.rows() {
            self.add((trace, row, row.mean(), row.exact_mean()));
        }
        self.add((lifetimes.total(), lifetimes.get(None).mean()));
        self.add((lifetimes.freed(), lifetimes.live()));
        self.add(lifetimes.is_damaged());
        self.add((lifetimes.shortest_micros(), lifetimes.longest_micros()));
        self.add(reader.ask(Lifetimes::query().of(set)).unwrap());
    }

    fn sizes(&mut self, reader: &Reader, set: &TraceSet, half: Elapsed) {
        let all = reader.sizes().unwrap();
        self.add((&all, all.total(), all.bucket(0), all.bucket(u64::MAX)));
        self.add(all.is_damaged());
        self.add(
            all.buckets()
                .rev()
                .map(|bucket| bucket.sizes)
                .collect::<Vec<_>>(),
        );
        let asked = (
            Sizes::query().within(..half),
            Sizes::query().within(half..Elapsed::MAX).of(set),
            SamplingAdvice::query([rates(), SamplingRates::unsampled(), reader.rates().clone()]),
        );
        let (early, late, advice) = reader.ask(asked).unwrap();
        self.add((early, late));
        for one in advice.recordings() {
            self.add((one.events(), one.live_at_peak.relative_error(), &one));
        }
        self.add(advice.is_damaged());
        let advice = reader.sampling_advice([SamplingRates::new([(100, 0.5)]).unwrap()]);
        self.add(advice.unwrap().recordings());
    }

    fn blocks(&mut self, reader: &Reader, set: &TraceSet, half: Elapsed, events: u64) {
        let asked = (
            LiveBlocks::query().at(half).of(set),
            LiveBlocks::query(),
            LiveBlocks::query().after_events(events),
        );
        let (a, b, c) = reader.ask(asked).unwrap();
        assert_eq!(reader.live_blocks().unwrap(), b);
        for blocks in [a, b, c] {
            self.add((
                blocks.recorded(),
                blocks.estimated(),
                blocks.error_bars().total(),
                blocks.is_damaged(),
            ));
        }
    }

    fn error_bars(&mut self, reader: &Reader, half: Elapsed) {
        let traces = reader.traces().unwrap();
        let asked = (
            ErrorBars::query().at(half),
            ErrorBars::query().after_events(2),
            ErrorBars::query(),
            ErrorBars::query().within(half..Elapsed::MAX),
        );
        let (a, b, c, d) = reader.ask(asked).unwrap();
        let again = [
            reader.ask(ErrorBars::query().at(half)).unwrap(),
            reader.ask(ErrorBars::query().after_events(2)).unwrap(),
            reader.error_bars().unwrap(),
            reader
                .ask(ErrorBars::query().within(half..Elapsed::MAX))
                .unwrap(),
        ];
        for (bars, again) in [a, b, c, d].iter().zip(&again) {
            // Alone, each may begin at a snapshot, and the digest may be of a different log.
            assert!(reader.has_digest() || bars == again);
            self.bars(traces, bars);
        }
    }

    fn bars(&mut self, traces: &TraceTable, bars: &ErrorBars) {
        self.add((bars.usage(), bars.unseen(), bars.get(None)));
        self.add(bars.is_damaged());
        let odd = bars.sum(|trace| trace.is_some_and(|id| id.get() % 2 == 1));
        let rows: Vec<_> = bars.iter().map(|(_, estimate)| estimate).collect();
        for estimate in rows.into_iter().chain([odd, bars.total()]) {
            self.add((estimate.to_string(), estimate.value(), estimate.variance()));
            self.add((estimate.standard_error(), estimate.blocks()));
            self.add((estimate.is_exact(), estimate.is_rough()));
            self.add((
                estimate.confidence_interval(0.95),
                estimate.confidence_interval(1.0),
            ));
        }
        let lines = LineErrorBars::new(traces, bars);
        assert_eq!(lines.is_damaged(), bars.is_damaged() || traces.is_damaged());
        for (line, _) in traces.frames() {
            self.add(lines.get(line));
        }
        self.add((
            lines.total(),
            lines.unknown(),
            lines.len(),
            lines.is_empty(),
        ));
        let (by_local, by_cumulative) = (lines.by_local(), lines.by_cumulative());
        self.add((
            by_local.collect::<Vec<_>>(),
            by_cumulative.rev().collect::<Vec<_>>(),
        ));
    }

    fn checks(&mut self, reader: &Reader, half: Elapsed) {
        let sanity = reader.sanity().unwrap();
        self.add((
            sanity.events(),
            sanity.issues(),
            sanity.corruption(),
            sanity.gaps(),
            sanity.closing_clock(),
        ));
        self.add((sanity.is_sound(), sanity.is_damaged()));
        self.rates(&reader.rates_check().unwrap());
        let leaks = reader.leaks().unwrap();
        for leak in leaks.lines() {
            self.add((leak, leak.growth.freed_share()));
        }
        self.add((leaks.traces(), leaks.window(), leaks.is_damaged()));
        let asked = (
            Leaks::query()
                .windows(9)
                .lines_of(&reader.traces().unwrap().by_file()),
            Leaks::query().windows(u32::MAX),
            Sanity::query(),
            RatesCheck::query(),
        );
        let (few, many, again, rates) = reader.ask(asked).unwrap();
        assert_eq!(again, sanity);
        for start in [Elapsed::ZERO, half] {
            let begun = String::new();
            self.add(reader.ask(Ends { start, begun }).unwrap());
        }
        self.add((few, many));
        self.rates(&rates);
    }

    /// Rounds logarithms, since their last digits depend on the platform.
    fn rates(&mut self, rates: &RatesCheck) {
        let log_odds = format!("{:.6}", rates.log_odds());
        self.add((rates.verdict(), log_odds, rates.is_damaged()));
        for evidence in rates.evidence() {
            self.add(evidence.to_string());
        }
    }

    /// Arithmetic and filters of usages.
    fn usages(&mut self, usages: &[Usage; 5], traces: &TraceTable, set: &TraceSet) {
        let sum: Usage = usages.iter().sum();
        let damaged = usages.iter().any(|usage| usage.is_damaged());
        assert_eq!(sum.is_damaged(), damaged);
        assert!(sum.clone().damaged_if(true).is_damaged());
        let owned: Usage = usages.iter().cloned().sum();
        self.add((&sum, owned.total(), -&sum));
        let [a, b, ..] = usages;
        self.add((a + b, a - b, set.filter(a)));
        self.add((a.get(TraceId::new(1)), a.len(), a.is_empty()));
        assert_eq!(a.iter().rev().count(), a.by_trace().len());
        let odd = |frame: Frame<'_>| frame.line % 2 == 1;
        let (focused, ignored) = (b.focus(traces, odd), b.ignore(traces, odd));
        assert_eq!(&focused + &ignored, *b);
        self.add(b.filter(|trace, weight| trace.is_some() && weight > 0));
        let merged = MergedTraces::new([&traces.by_file(), traces]);
        self.add((merged.usage(0, a), merged.usage(1, b), merged.usage(2, a)));
    }

    fn blame(&mut self, traces: &TraceTable, usage: &Usage) {
        let packages = Packages::new().own("/srv").installed("/usr", "a");
        for blame in [
            Blame::new(traces, usage),
            Blame::with_packages(traces, usage, &packages),
            Blame::with_test(traces, usage, &packages, |frame| frame.line % 2 == 1),
        ] {
            let rows: Vec<_> = blame.rows().collect();
            // Rows and the total saturate.
            let sum: i128 = rows.iter().map(|row| i128::from(row.weight)).sum();
            let mut weights = rows.iter().map(|row| row.weight);
            let saturates = weights.any(|it| it == i64::MAX || it == i64::MIN);
            assert!(saturates || i64::try_from(sum).map_or(true, |sum| sum == blame.total()));
            for &row in rows.iter().take(3) {
                let paths = blame.paths(row).take(3);
                let shown =
                    paths.map(|path| (path.frames().take(9).collect::<Vec<_>>(), path.weight()));
                self.add((row, shown.collect::<Vec<_>>()));
            }
            self.add((
                blame.table().len(),
                blame.is_recognised(),
                blame.is_damaged(),
            ));
        }
    }

    fn views(&mut self, traces: &TraceTable, usages: &[Usage; 5], lines: &[FrameId]) {
        let by_file = traces.by_file();
        self.blame(traces, &usages[0]);
        for usage in usages {
            self.lines(traces, usage);
            self.lines(&by_file, usage);
            self.flames(traces, usage);
            for &line in &some(lines) {
                self.sandwich(traces, usage, line);
            }
        }
        let difference = FlameGraph::difference(traces, &usages[0], &usages[1]);
        self.flame(&difference);
        self.flows(traces, usages);
        self.flows(&by_file, usages);
    }

    fn lines(&mut self, traces: &TraceTable, usage: &Usage) {
        let lines = Lines::new(traces, usage);
        self.add((
            lines.total(),
            lines.unknown(),
            lines.len(),
            lines.is_empty(),
        ));
        for line in lines.by_local().chain(lines.by_cumulative().rev()) {
            assert_eq!(lines.get(line.id), Some(line));
            self.add(line);
        }
        self.add((&lines, lines.is_damaged()));
        assert_eq!(
            lines.is_damaged(),
            usage.is_damaged() || traces.is_damaged()
        );
    }

    fn sandwich(&mut self, traces: &TraceTable, usage: &Usage, line: FrameId) {
        let sandwich = Sandwich::new(traces, usage, line);
        self.add((sandwich.line(), sandwich.local(), sandwich.cumulative()));
        self.add(sandwich.is_damaged());
        for neighbour in sandwich.callers().chain(sandwich.callees()) {
            self.add(neighbour);
        }
        self.flame(sandwich.caller_tree());
        self.flame(sandwich.callee_tree());
    }

    fn flames(&mut self, traces: &TraceTable, usage: &Usage) {
        for graph in [
            FlameGraph::new(traces, usage),
            FlameGraph::inverted(traces, usage),
        ] {
            self.flame(&graph);
            self.flame(&graph.clone().min_fraction(0.1));
            self.flame(&graph.clone().min_fraction(f64::NAN));
            let few = graph.alphabetical().max_nodes(3);
            assert!(few.len() <= 3);
            self.flame(&few);
        }
    }

    fn flame(&mut self, graph: &FlameGraph) {
        self.add((graph.len(), graph.is_empty(), graph.total()));
        self.add(graph.is_damaged());
        self.add((graph.total().net(), graph.total().size()));
        for bar in graph.walk() {
            self.add((bar.depth, bar.offset, bar.width, bar.node.fraction()));
            let node = bar.node;
            self.add((node.label(), node.own(), node.total()));
            self.add((node.frame_id(), node.label().frame().is_some()));
            self.add(node.children().count());
        }
        assert_eq!(graph.root().total(), graph.total());
        for stack in graph.folded() {
            self.add((stack.weight(), stack.parts(), stack.labels().len()));
        }
        assert_eq!(graph, &graph.clone());
    }

    fn flows(&mut self, traces: &TraceTable, usages: &[Usage; 5]) {
        let half = FlowOptions::default().min_fraction(0.5);
        let all = [
            FlowOptions::default(),
            half,
            half.max_nodes(2).collapse(true).root(true),
            half.min_edge_fraction(0.05, EdgeBase::Source)
                .collapse(true),
            FlowOptions::default()
                .min_edge_fraction(0.2, EdgeBase::Total)
                .root(true),
            FlowOptions::default().max_nodes(0),
            FlowOptions::default().min_fraction(f64::NAN).collapse(true),
        ];
        for options in &all {
            self.flow(&FlowGraph::with_options(traces, usages, options));
        }
        self.flow(&FlowGraph::new(traces, &usages[0]));
        self.flow(&FlowGraph::with_options(
            traces,
            [],
            &FlowOptions::default(),
        ));
    }

    fn flow(&mut self, graph: &FlowGraph) {
        let columns = graph.column_count() + 1;
        self.add(graph.is_damaged());
        for column in 0..columns {
            self.add((graph.total(column), graph.unknown(column)));
        }
        for node in graph.nodes() {
            self.add((node.id(), node.is_root(), node.line_ids()));
            assert_eq!(node.lines().len(), node.line_ids().len());
            assert_eq!(graph.node(node.id()).unwrap().id(), node.id());
            for column in 0..columns {
                self.add((
                    node.local(column),
                    node.cumulative(column),
                    node.begins(column),
                ));
                self.add((
                    node.local_fraction(column),
                    node.cumulative_fraction(column),
                ));
            }
            if let (Some(&line), true) = (node.line_ids().first(), node.id().index() < 8) {
                assert_eq!(graph.find(line).map(|found| found.id()), Some(node.id()));
            }
            let (out, into) = (node.outgoing(), node.incoming());
            self.add((
                out.len(),
                into.map(|edge| edge.from().id()).collect::<Vec<_>>(),
            ));
        }
        for edge in graph.edges() {
            self.add((edge.from().id(), edge.to().id(), edge.is_residual()));
            for column in 0..columns {
                self.add((edge.weight(column), edge.fraction(column)));
            }
        }
    }

    /// Makes digests of several intervals and precisions, and reads the one of the profile.
    fn digests(&mut self, reader: &Reader, length: Elapsed) {
        if reader.events().is_ok() {
            let millis = length.as_micros() / 5_000 + 1;
            for (interval, precision) in [(millis, 0.0), (2 * millis, 0.4)] {
                let mut calls = 0;
                let options = DigestOptions::default()
                    .interval(Duration::from_millis(interval))
                    .precision(precision)
                    .progress(|progress| {
                        calls += u64::from(progress.fraction() <= 1.0);
                        ControlFlow::Continue(())
                    });
                let made = reader.digest_with(options);
                self.add(made.is_ok());
                if let Ok(digest) = made {
                    self.digest(reader, &digest);
                }
                assert!(calls > 0 || reader.events().is_err());
            }
            if let Ok(digest) = reader.digest_with(DigestOptions::default().max_snapshots(5)) {
                assert!(digest.len() <= 5);
                self.digest(reader, &digest);
            }
            let stopped = DigestOptions::default().progress(|_| ControlFlow::Break(()));
            self.add(
                reader
                    .digest_with(stopped)
                    .is_ok_and(|digest| digest.is_empty()),
            );
        }
        let Ok(digest) = reader.digest() else {
            return;
        };
        assert!(reader.has_digest());
        self.digest(reader, &digest);
        // The index can have many snapshots that share their bytes.
        for snapshot in reader.snapshots().unwrap().take(100) {
            self.add(snapshot.map(|snapshot| snapshot.into_usage()).ok());
        }
        self.add(reader.snapshot_at(Elapsed::MAX).ok());
        let lines: Vec<FrameId> = reader
            .traces()
            .unwrap()
            .frames()
            .map(|(id, _)| id)
            .collect();
        if let Ok(series) = reader.time_series(tracks(&lines)) {
            self.series(&series);
        }
    }

    fn digest(&mut self, reader: &Reader, digest: &Digest) {
        self.add((
            digest.start(),
            digest.interval(),
            digest.len(),
            digest.is_empty(),
        ));
        self.add((
            digest.end(),
            digest.damage(),
            digest.is_stopped(),
            digest.clock(),
        ));
        self.add((digest.is_foreign(), digest.precision(), digest.rates()));
        self.add(digest.is_damaged());
        let _ = digest.path();
        self.add(digest.times().last());
        self.add(digest.get(digest.len()).is_none());
        for number in some(&[0, 1, digest.len() / 2, digest.len().saturating_sub(1)]) {
            let snapshot = digest.get(number).and_then(Result::ok);
            self.add(snapshot.map(|it| (it.time(), it.is_damaged(), it.usage().clone())));
        }
        for at in [
            Elapsed::ZERO,
            Elapsed::from_millis(7),
            Elapsed::from_secs(1),
            Elapsed::MAX,
        ] {
            self.add(digest.snapshot_at(at).ok());
        }
        self.add(digest.snapshots().take(100).filter_map(Result::ok).count());
        let traces = reader.traces().unwrap();
        if let Ok(series) = TimeSeries::new(digest, traces, [Track::Unknown]) {
            self.series(&series);
        }
    }

    fn series(&mut self, series: &TimeSeries) {
        assert_eq!(series.iter().len(), series.track_count());
        self.add(series.is_damaged());
        for (index, (track, values)) in series.iter().enumerate() {
            self.add((track, values.largest(), values.first(), values.last()));
            self.add((
                values.at(Elapsed::from_millis(9)),
                values.len(),
                values.is_empty(),
            ));
            assert_eq!(values.iter().rev().count(), values.len());
            assert_eq!(values.is_damaged(), series.is_damaged());
            // PERF: a trend compares all pairs of values, which took 80 % of the time of the fuzz target `profile`.
            if index == 0 {
                self.movements(&values.movements());
            }
        }
        self.add(series.get(0).map(|values| values.values().len()));
        self.add(series.fractions(0).last());
        let total = series.total();
        assert_eq!(series.times(), total.times());
        self.movements(&Movements::new(Series::new(total.times(), total.values())));
    }

    fn movements(&mut self, movements: &Movements) {
        self.add((movements.trend(), movements.rises(), movements.falls()));
        self.add(movements.is_damaged());
    }

    /// Converts between the two clocks.
    fn times(&mut self, reader: &Reader) {
        let Ok(end) = reader.end() else {
            return;
        };
        for at in [
            Elapsed::ZERO,
            Elapsed::from_micros(end.elapsed().as_micros() / 2),
            end.elapsed(),
            Elapsed::MAX,
        ] {
            let shown = reader.time_at(at);
            if let Ok(Some(shown)) = shown {
                self.add(reader.elapsed_at(shown).ok());
            }
            self.add(shown.ok());
        }
        self.add(reader.elapsed_at(SystemTime::UNIX_EPOCH).ok());
        let start = reader.start();
        self.add((start.seconds(), start.nanoseconds(), start.as_nanos()));
        self.add((
            start.to_system_time(),
            start.offset_of(SystemTime::UNIX_EPOCH),
        ));
        self.add(start.at(end.wall()));
        let end = end.elapsed();
        self.add((
            end.to_string(),
            end.as_millis(),
            end.as_secs(),
            end.as_secs_f64(),
        ));
        self.add((
            Elapsed::from_secs_f64(end.as_secs_f64()),
            end.since(Elapsed::ZERO),
        ));
    }

    fn raw_traces(&mut self, hpm: &[u8]) {
        let Ok(log) = TraceLog::new(hpm) else {
            return;
        };
        self.add((log.start(), log.rates(), log.header_damage(), log.count()));
        let properties = log.properties();
        self.add((log.version(), properties, properties.get("recorder")));
        assert_eq!(properties.is_empty(), properties.iter().next().is_none());
        for range in log.rates().ranges() {
            self.add((
                range.upper_size(),
                range.probability(),
                range.stored_probability(),
            ));
        }
        for size in [0, 127, 128, 4096, u64::MAX] {
            let rates = log.rates();
            self.add((
                rates.probability(size),
                rates.estimate(size),
                rates.variance(size),
            ));
        }
        let index = log.index();
        self.add((index.len(), index.is_empty(), index.damage()));
        let mut writer = TraceWriterV1::new(Vec::new(), log.start(), log.rates()).unwrap();
        let mut again = TraceWriterV1::resume(Vec::new(), log.traces().position());
        let (start, rates) = (log.start(), log.rates());
        let compact = TraceWriter::with_properties(Vec::new(), start, rates, log.properties());
        let (mut compact, mut compact_ids) = (compact.unwrap(), Vec::new());
        let mut traces = log.traces();
        let mut middle = traces.position();
        for trace in &mut traces {
            let Ok(trace) = trace else {
                self.add(trace);
                break;
            };
            let frames = trace
                .innermost_first()
                .map(|it| (it.file_bytes(), it.line()));
            writer.write_innermost_first(frames.clone()).unwrap();
            let interned = compact.intern_outermost_first(trace.outermost_first());
            let inward: Vec<_> = trace.innermost_first().collect();
            compact_ids.push(compact.intern_innermost_first(inward).unwrap());
            assert_eq!(Some(&interned.unwrap()), compact_ids.last());
            let outward: Vec<_> = frames.collect();
            again
                .write_outermost_first(outward.into_iter().rev())
                .unwrap();
            self.add((trace.id(), trace.offset(), trace.is_empty()));
            self.add(
                trace
                    .outermost_first()
                    .map(|it| {
                        let function = it.function().map_or(0, |name| name.len());
                        it.file().len() + function + it.function_bytes().map_or(0, <[u8]>::len)
                    })
                    .sum::<usize>(),
            );
            assert_eq!(index.get(trace.id()).as_ref(), Some(&trace));
            if trace.id().get() % 2 == 1 {
                middle = TracePosition::new(trace.offset(), trace.id().get() - 1);
            }
        }
        assert!(traces.next().is_none());
        self.add((traces.position(), middle.offset()));
        let rest = log.traces_from(middle).map_while(Result::ok).count();
        assert_eq!(rest, index.len() - middle.traces() as usize);
        self.add(
            log.traces_from(TracePosition::new(u64::MAX, u32::MAX))
                .count(),
        );
        self.add(log.traces_from(TracePosition::new(3, 0)).count());

        // Traces that were read can be written, and are the same when read again.
        assert_eq!(writer.count() as usize, index.len());
        writer.flush().unwrap();
        self.add(writer.get_mut().len());
        let bytes = writer.into_inner();
        assert!(bytes.ends_with(&again.into_inner()));
        let again = TraceTable::from_log(&TraceLog::new(&bytes).unwrap());
        let table = TraceTable::from_log(&log);
        assert_eq!(again.len(), table.len());
        let without_function = |frame: Frame<'_>| (frame.file.to_owned(), frame.line);
        let by_line = table.map_frames(|frame| Some(without_function(frame)));
        for ((_, a), (_, b)) in again.iter().zip(by_line.iter()) {
            assert!(a.frames().eq(b.frames()));
        }
        assert_eq!(table.len(), index.len());
        compact.flush().unwrap();
        self.add((compact.count(), compact.get_mut().len()));
        let bytes = compact.into_inner();
        let compact = TraceTable::from_log(&TraceLog::new(&bytes).unwrap());
        assert!(compact.len() <= table.len());
        for ((_, trace), id) in table.iter().zip(compact_ids) {
            assert!(compact.trace(id).unwrap().frames().eq(trace.frames()));
        }
        let mut writer = TraceWriter::new(Vec::new(), log.start(), log.rates()).unwrap();
        let frame = Frame::new("a.rs", 1).in_function("main");
        let node = writer.intern_child(TraceNode::ROOT, &frame).unwrap();
        assert_eq!(writer.intern_trace(node).unwrap().get(), writer.count());
        assert_eq!(writer.write_trace(node).unwrap().get(), 2);
    }

    fn raw_events(&mut self, hpd: &[u8], hpm: &[u8]) {
        let mut events = EventLog::new(hpd).events();
        let mut balance = 0_i128;
        for event in events.by_ref().take(10_000).flatten() {
            balance += i128::from(event.signed_size());
            self.add(event);
        }
        // Resumes from the position, and from a position beyond the end.
        let rest = EventLog::new(hpd).events_from(events.position());
        let left = events.clone().flatten().take(10_000).count();
        assert_eq!(rest.flatten().take(10_000).count(), left);
        let beyond = LogPosition::new(u64::MAX, 0, Elapsed::ZERO, WallOffset::ZERO);
        assert_eq!(EventLog::new(hpd).events_from(beyond).count(), 0);
        self.add((
            balance,
            events.position(),
            events.invalid_micros(),
            events.size_hint(),
        ));
        // The same events from a stream, which resumes where another one has stopped.
        let mut stream = EventReader::new(hpd);
        let mut slice = EventLog::new(hpd).events();
        for event in slice.by_ref().take(10_000) {
            let streamed = stream.next().unwrap();
            assert_eq!(
                event,
                streamed.map_err(|error| *error.decode_error().unwrap())
            );
        }
        assert_eq!(stream.position(), slice.position());
        assert_eq!(stream.invalid_micros(), slice.invalid_micros());
        let at = usize::try_from(stream.position().offset()).unwrap();
        let resumed = EventReader::resume(&hpd[at..], stream.position());
        assert_eq!(resumed.flatten().take(10_000).count(), left);
        assert!(hpd.ends_with(stream.into_inner()));
        // A file of a different kind.
        self.add(EventLog::new(hpm).events().flatten().count());
        let mut writer = EventWriter::resume(Vec::new(), events.position());
        let kind = heapprof::EventKind::Free;
        let late = WallOffset::from_micros(i64::MIN + 1);
        self.add(writer.write(late, TraceId::new(7), u64::MAX, kind).is_err());
        self.add(writer.write(late, TraceId::new(7), 1, kind).is_ok());
        writer.flush().unwrap();
        self.add((writer.position(), writer.get_mut().len()));
    }

    fn raw_digest(&mut self, hpc: &[u8]) {
        let Ok(digest) = DigestFile::new(hpc) else {
            return;
        };
        self.add((
            digest.start(),
            digest.interval(),
            digest.len(),
            digest.damage(),
        ));
        self.add((digest.is_empty(), digest.trailer().len()));
        let out = Cursor::new(Vec::new());
        let mut writer = DigestWriter::new(out, digest.start(), digest.interval()).unwrap();
        let mut rewritten = Vec::new();
        for number in 0..digest.len().min(100) {
            let entries = digest.entries(number).unwrap();
            self.add((digest.time(number), digest.shares(number), entries.offset()));
            self.add(entries.size_hint());
            let read: Result<Vec<_>, _> = entries.collect();
            self.add(&read);
            let Ok(read) = read else { break };
            if digest.shares(number) {
                writer.write_repeat().unwrap();
            } else {
                writer.write_snapshot(read.iter().copied()).unwrap();
            }
            rewritten.push(read);
        }
        self.add((
            digest.entries(digest.len()).is_none(),
            digest.time(digest.len()),
        ));
        assert_eq!(writer.count(), rewritten.len() as u64);
        let bytes = writer.finish(digest.trailer()).unwrap().into_inner();
        let again = DigestFile::new(&bytes).unwrap();
        assert_eq!(again.len(), rewritten.len());
        for (number, read) in rewritten.iter().enumerate() {
            let entries: Vec<_> = again.entries(number).unwrap().map(Result::unwrap).collect();
            assert_eq!(entries, *read);
        }
        let _ = Digest::from_bytes(hpc.to_vec()).map(|digest| digest.damage().len());
    }
}

/// A query for where it begins and how the pass ends.
struct Ends {
    start: Elapsed,
    begun: String,
}

impl Query for Ends {
    type Output = (String, LogPosition, Vec<DecodeError>, bool);

    fn start(&self) -> Elapsed {
        self.start
    }

    fn begin(&mut self, start: &QueryStart<'_>) -> heapprof::Result<()> {
        let traces = start.traces()?.len();
        assert_eq!(traces, start.trace_count() as usize);
        let usage = start.heap().usage();
        assert_eq!(start.heap().total(), usage.total());
        let (position, end) = (start.position(), start.log_end()?);
        self.begun = format!("{:?} {:?}", start.time(), start.rates());
        write!(
            self.begun,
            " {usage:?} {} {position:?} {end:?}",
            start.total()
        )
        .unwrap();
        Ok(())
    }

    fn observe(&mut self, _: &AppliedEvent, _: &LiveHeap) -> ControlFlow<()> {
        ControlFlow::Continue(())
    }

    fn finish(self, end: &QueryEnd<'_>) -> Self::Output {
        assert_eq!(end.time(), end.position().elapsed());
        let begun = format!(
            "{} {} {:?}",
            self.begun,
            end.is_stopped(),
            end.heap().usage()
        );
        (
            begun,
            end.position(),
            end.damage().to_vec(),
            end.is_damaged(),
        )
    }
}

fn tracks(lines: &[FrameId]) -> Vec<Track> {
    let ids = [1, 2, 1 << 20].into_iter().filter_map(TraceId::new);
    some(lines)
        .into_iter()
        .flat_map(|line| [Track::Local(line), Track::Cumulative(line)])
        .chain(ids.map(Track::Trace))
        .chain([Track::Unknown])
        .collect()
}

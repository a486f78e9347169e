//! Everything that the crate can be asked about a profile, in one call: for bytes that are no
//! profile, and for readers that must agree.

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

use heapprof::raw::{
    DigestFile, DigestWriter, EventLog, EventWriter, TraceLog, TracePosition, TraceWriter,
};
use heapprof::{
    CheckRates, Churn, ChurnOverTime, Clock, DecodeError, Digest, DigestOptions, EdgeBase, Elapsed,
    ErrorBars, ErrorBarsAt, ErrorBarsOfGrowth, FileKind, FindLeaks, FlameGraph, FlowGraph,
    FlowOptions, Frame, FrameId, Lifetimes, LineErrorBars, Lines, Live, LiveBlocks, LiveHeap,
    LogEnd, LogPosition, LogStep, MergedTraces, Movements, OwnedFrame, Package, Peak, Question,
    RatesCheck, Reader, SamplingAdvice, SamplingRates, Sandwich, SanityCheck, Series, Sizes,
    SourceLines, StartTime, TimeSeries, TraceId, TraceSet, TraceTable, Track, Usage, WallOffset,
};

/// What was answered, as a number: equal answers give equal ones. All iterators were run to their
/// end on the way.
///
/// Nothing of it may depend on the way in which the profile was opened.
pub(crate) fn everything(reader: &Reader) -> u64 {
    let mut told = Told::default();
    told.facts(reader);
    told.table(reader.traces().unwrap());
    let length = told.log(reader);
    told.questions(reader, length);
    told.digests(reader, length);
    told.times(reader);
    told.0.finish()
}

/// Asks everything of the bytes of the three files, each alone and together, as they are and in other
/// ways. Gives what was [answered](everything) as they are, if they are a profile.
pub(crate) fn everything_of(hpm: &[u8], hpd: &[u8], hpc: &[u8]) -> Option<u64> {
    everything_raw(hpm, hpd, hpc);
    let open = || Reader::from_bytes(hpm.to_vec(), hpd.to_vec(), Some(hpc.to_vec().into()));
    let reader = match open() {
        Ok(reader) => reader,
        Err(error) => {
            assert_eq!(error.decode_error().unwrap().file(), FileKind::Hpm);
            return None;
        }
    };
    let answered = everything(&reader);
    // A digest of whatever log, which the reader does not take by itself.
    let reader = open().unwrap();
    let digest = Digest::from_bytes(hpc.to_vec());
    let digest = digest.ok().filter(|_| reader.unused_digest().is_some());
    // Estimates and times that make more of it.
    let rates = SamplingRates::from_stored([(8, 0), (1 << 20, 1), (u64::MAX, 77)]);
    let reader = reader.unsampled().with_clock(Clock::Corrected);
    let reader = reader.with_rates(rates);
    everything(&match digest {
        Some(digest) => reader.with_digest(digest),
        None => reader,
    });
    Some(answered)
}

/// The same of files in a folder that has no others, where a digest can be written. Gives what was
/// [answered](everything) before there was another.
pub(crate) fn everything_of_files(
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
    let answered = everything(&reader);
    let unmapped = unmapped.unwrap().reopen().unwrap();
    assert_eq!(everything(&unmapped), answered);
    let made = reader.make_digest(DigestOptions::default());
    let reader = Reader::open(&base).unwrap();
    assert!(reader.has_digest() || made.is_err());
    everything(&reader);
    Some(answered)
}

/// What can be asked of the bytes of the three files alone.
pub(crate) fn everything_raw(hpm: &[u8], hpd: &[u8], hpc: &[u8]) -> u64 {
    let mut told = Told::default();
    told.raw_traces(hpm);
    told.raw_events(hpd, hpm);
    told.raw_digest(hpc);
    told.0.finish()
}

/// Takes what is told, and keeps a number.
#[derive(Default)]
struct Told(DefaultHasher);

impl Write for Told {
    fn write_str(&mut self, text: &str) -> std::fmt::Result {
        self.0.write(text.as_bytes());
        Ok(())
    }
}

/// Some of many: the first, the last, and a few in between.
fn some<T: Copy>(all: &[T]) -> Vec<T> {
    let step = (all.len() / 3).max(1);
    let mut some: Vec<T> = all.iter().step_by(step).copied().collect();
    some.extend(all.last());
    some
}

fn rates() -> SamplingRates {
    SamplingRates::from_stored([(10, 0), (500, 1), (5000, u32::MAX / 3), (1 << 40, u32::MAX)])
}

impl Told {
    fn tell(&mut self, what: impl Debug) {
        writeln!(self, "{what:?}").unwrap();
    }

    fn facts(&mut self, reader: &Reader) {
        self.tell((reader.start(), reader.stated_rates(), reader.rates()));
        self.tell(reader.rates().is_unsampled());
        self.tell((reader.clock(), reader.end(), reader.elapsed()));
        self.tell((reader.end_time(), reader.damage(), reader.is_damaged()));
        self.tell(reader.damage().map(|all| {
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
        // The text can have a path in it.
        self.tell(reader.unused_digest().is_some());
        let _ = reader.unused_digest().map(ToString::to_string);
        let _ = format!("{reader:?}");
    }

    fn table(&mut self, traces: &TraceTable) {
        self.tell((traces.len(), traces.is_empty(), traces.frame_count()));
        self.tell((traces.damage(), traces.is_damaged()));
        for (id, trace) in traces.iter() {
            self.tell((id, trace.len(), trace.is_empty(), trace.innermost()));
            self.tell(trace);
            assert_eq!(trace.ids().len(), trace.len());
            assert_eq!(trace.frames().rev().count(), trace.len());
        }
        for id in [1, 2, 1 << 20, TraceId::MAX.get()] {
            self.tell(traces.trace(TraceId::new(id)).map(|trace| trace.len()));
        }
        for (id, frame) in traces.frames() {
            assert_eq!(traces.frame(id), Some(frame));
            assert_eq!(traces.find(frame), Some(id));
            assert!(id.index() < traces.frame_count());
            let owned = OwnedFrame::new(frame.file, frame.line);
            assert_eq!(owned.as_frame(), frame);
            assert_eq!((owned.file(), owned.line()), (frame.file, frame.line));
            let shown = frame.to_string();
            self.tell((Package::of(frame.file), Frame::parse(&shown).is_ok()));
            self.tell(traces.search(&shown).len());
        }
        let regrouped = [
            traces.by_file(),
            traces.by_directory(),
            traces.by_package(),
            traces.fold_recursion(),
            traces.map_frames(|frame| (frame.line % 2 == 0).then_some(("even", frame.line / 4))),
            traces.map_frames(|_| None::<(&str, u32)>),
        ];
        for table in &regrouped {
            assert_eq!(table.len(), traces.len());
            assert_eq!(table.damage(), traces.damage());
            assert_eq!(table.is_damaged(), traces.is_damaged());
            self.tell((table.frame_count(), table.iter().last()));
        }
        let merged = MergedTraces::new([traces, &regrouped[1], traces]);
        self.tell(merged.table());
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
                self.tell(line.map(|line| (line.text().len(), line.is_changed())));
            }
        }
        self.tell(
            sources
                .line(Frame::new("/srv/app/any_bytes.rs", 1))
                .is_some(),
        );
    }

    /// Every event, and what the log can be written and followed with. Gives how long the log is,
    /// which a digest of another need not know.
    fn log(&mut self, reader: &Reader) -> Elapsed {
        let Ok(mut events) = reader.events() else {
            self.tell(reader.events().is_err());
            return Elapsed::ZERO;
        };
        let mut heap = LiveHeap::new(reader.traces().unwrap().len());
        let mut writer = EventWriter::new(Vec::new());
        let mut read = Vec::new();
        let mut middle = LogPosition::START;
        while let Some(event) = events.next() {
            let Ok(event) = event else {
                self.tell(event.map_err(|error| (error.decode_error().copied(), error.is_cut())));
                break;
            };
            heap.apply(&event, reader.rates());
            self.tell((event, event.signed_estimate(reader.rates())));
            assert_ne!(event.is_allocation(), event.is_free());
            if reader.clock() == Clock::Recorded {
                // What was read can be written.
                writer.write_event(&event).unwrap();
            }
            read.push(event);
            if read.len() % 3 == 1 {
                middle = events.position();
            }
        }
        assert!(events.next().is_none());
        self.tell((events.position(), events.cut(), events.invalid_micros()));
        heap.add_usage(&heap.usage());
        self.tell((heap.usage(), heap.get(TraceId::new(1)), heap.get(None)));
        self.tell(heap.is_damaged());
        assert_eq!(events.position().clock(), reader.clock());
        let ahead = reader.clock().ahead(middle.events());
        self.tell((middle.offset(), middle.wall().as_micros(), ahead));
        let mut later = reader.events_from(middle).unwrap();
        let after = usize::try_from(middle.events()).unwrap();
        assert_eq!(
            later.by_ref().map_while(Result::ok).count(),
            read.len() - after
        );
        assert_eq!(later.position(), events.position());
        // Places that no log has.
        for offset in [3, u64::MAX] {
            let place = LogPosition::new(
                offset,
                u64::MAX,
                Elapsed::MAX,
                WallOffset::from_micros(i64::MIN),
            );
            self.tell(
                reader
                    .events_from(place)
                    .unwrap()
                    .map_while(Result::ok)
                    .count(),
            );
            self.tell(place.on(Clock::Corrected));
            self.tell(place.on(Clock::Recorded).wall().as_micros());
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

    /// Every question to the log, alone and together, and views of what they say.
    fn questions(&mut self, reader: &Reader, length: Elapsed) {
        if reader.events().is_err() {
            self.tell(reader.live_at_end().is_err());
            return;
        }
        let traces = reader.traces().unwrap();
        let half = Elapsed::from_micros(length.as_micros() / 2);
        let lines: Vec<FrameId> = traces.frames().map(|(id, _)| id).collect();
        let set = self.sets(traces, &lines);

        let live = reader.live_at_end().unwrap();
        let growth = reader.growth(half, length).unwrap();
        self.tell((reader.live_at(half).unwrap(), &live, &growth));
        let peak = reader.peak().unwrap();
        self.tell((live.is_damaged(), growth.is_damaged(), peak.is_damaged()));
        self.tell((peak.time(), peak.events(), peak.total(), peak.usage()));
        let high = reader.high_water().unwrap();
        assert_eq!(&high, peak.high_water());
        self.tell((high.time(), high.events(), high.total(), high.is_damaged()));
        let (early, late, of) = reader
            .ask((
                Peak::question().until(half),
                Peak::question().within(half, Elapsed::MAX),
                Peak::question().of(set.clone()).within(Elapsed::MAX, half),
            ))
            .unwrap();
        self.tell((early, late.into_usage(), of));
        let churn = reader.churn().unwrap();
        self.churn(reader, &churn, half);
        self.churn_over_time(reader, &set);
        self.lifetimes(reader, &set);
        self.sizes(reader, &set, half);
        self.blocks(reader, half, peak.events());
        self.error_bars(reader, half);
        self.checks(reader, length);

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
            self.tell((set, set.contains(TraceId::new(1)), set.contains(None)));
        }
        let [set, _, _] = sets;
        set
    }

    fn churn(&mut self, reader: &Reader, churn: &Churn, half: Elapsed) {
        self.tell((churn, churn.total(), churn.get(TraceId::new(1))));
        self.tell(churn.is_damaged());
        assert_eq!(churn.rows().rev().count(), churn.rows().len());
        for column in [
            churn.allocated(),
            churn.freed(),
            churn.allocations(),
            churn.frees(),
        ] {
            self.tell(column);
        }
        let windows = (
            Churn::question().until(half),
            Churn::question().within(half, Elapsed::MAX),
            Live::at(half),
            Live::at_end(),
        );
        self.tell(reader.ask(windows).unwrap());
    }

    fn churn_over_time(&mut self, reader: &Reader, set: &TraceSet) {
        // Not from the end that a digest tells of: with steps that do not fit the log there are up to
        // the most that there can be, whose memory is no matter of the bytes.
        let events = reader.events().unwrap().map_while(Result::ok);
        let end = events.last().map_or(0, |event| event.elapsed.as_micros());
        let half = Elapsed::from_micros(end / 2);
        let every = |micros| ChurnOverTime::every(Duration::from_micros(micros));
        let asked = (
            every(half.as_micros() / 3),
            every(u64::MAX).until(half),
            every(half.as_micros() / 7)
                .within(half, Elapsed::MAX)
                .of(set.clone()),
        );
        let (a, b, c) = reader.ask(asked).unwrap();
        for churn in [a, b, c] {
            assert!(churn.steps().len() <= ChurnOverTime::MAX_STEPS);
            self.tell((churn.step(), churn.is_damaged()));
            for step in churn.steps().rev() {
                self.tell(step);
                self.tell((step.allocations_per_second(), step.frees_per_second()));
                self.tell(step.bytes_per_second());
            }
        }
    }

    fn lifetimes(&mut self, reader: &Reader, set: &TraceSet) {
        let lifetimes = reader.lifetimes().unwrap();
        for (trace, row) in lifetimes.rows() {
            self.tell((trace, row, row.mean(), row.exact_mean()));
        }
        self.tell((lifetimes.total(), lifetimes.get(None).mean()));
        self.tell((lifetimes.freed(), lifetimes.live()));
        self.tell(lifetimes.is_damaged());
        self.tell((lifetimes.shortest(), lifetimes.longest()));
        self.tell(reader.ask(Lifetimes::question().of(set.clone())).unwrap());
    }

    fn sizes(&mut self, reader: &Reader, set: &TraceSet, half: Elapsed) {
        let all = reader.sizes().unwrap();
        self.tell((&all, all.total(), all.bucket(0), all.bucket(u64::MAX)));
        self.tell(all.is_damaged());
        self.tell(
            all.buckets()
                .rev()
                .map(|bucket| bucket.sizes)
                .collect::<Vec<_>>(),
        );
        let asked = (
            Sizes::question().until(half),
            Sizes::question().within(half, Elapsed::MAX).of(set.clone()),
            SamplingAdvice::new([rates(), SamplingRates::unsampled(), reader.rates().clone()]),
        );
        let (early, late, advice) = reader.ask(asked).unwrap();
        self.tell((early, late));
        for one in advice {
            self.tell((one.events(), one.live_at_peak.relative_error(), &one));
            self.tell(one.is_damaged());
        }
    }

    fn blocks(&mut self, reader: &Reader, half: Elapsed, events: u64) {
        let asked = (
            LiveBlocks::at(half),
            LiveBlocks::at_end(),
            LiveBlocks::after(events),
        );
        let (a, b, c) = reader.ask(asked).unwrap();
        for blocks in [a, b, c] {
            self.tell((blocks.recorded(), blocks.estimated(), blocks.is_damaged()));
        }
    }

    fn error_bars(&mut self, reader: &Reader, half: Elapsed) {
        let rates = reader.rates();
        let traces = reader.traces().unwrap();
        let asked = (
            ErrorBarsAt::time(half, rates),
            ErrorBarsAt::events(2, rates),
            ErrorBarsAt::end(rates),
            ErrorBarsOfGrowth::new(half, Elapsed::MAX, rates),
        );
        let (a, b, c, d) = reader.ask(asked).unwrap();
        let again = [
            reader.error_bars_at(half).unwrap(),
            reader.error_bars_after(2).unwrap(),
            reader.error_bars_at_end().unwrap(),
            reader.error_bars_of_growth(half, Elapsed::MAX).unwrap(),
        ];
        for (bars, again) in [a, b, c, d].iter().zip(&again) {
            // A digest need not be of this very log, and alone each may begin at a snapshot.
            assert!(reader.has_digest() || bars == again);
            self.bars(traces, bars);
        }
    }

    fn bars(&mut self, traces: &TraceTable, bars: &ErrorBars) {
        self.tell((bars.usage(), bars.unseen(), bars.get(None)));
        self.tell(bars.is_damaged());
        let odd = bars.sum(|trace| trace.is_some_and(|id| id.get() % 2 == 1));
        let rows: Vec<_> = bars.iter().map(|(_, estimate)| estimate).collect();
        for estimate in rows.into_iter().chain([odd, bars.total()]) {
            self.tell((estimate.to_string(), estimate.value(), estimate.variance()));
            self.tell((estimate.standard_error(), estimate.blocks()));
            self.tell((estimate.is_exact(), estimate.is_rough()));
            self.tell((estimate.interval(0.95), estimate.interval(1.0)));
        }
        let lines = LineErrorBars::new(traces, bars);
        assert_eq!(lines.is_damaged(), bars.is_damaged() || traces.is_damaged());
        for (line, _) in traces.frames() {
            self.tell(lines.get(line));
        }
    }

    fn checks(&mut self, reader: &Reader, end: Elapsed) {
        let traces = reader.traces().unwrap();
        let sanity = reader.sanity().unwrap();
        self.tell((sanity.events(), sanity.findings(), sanity.noise()));
        self.tell((sanity.is_sound(), sanity.is_damaged()));
        self.rates(&reader.check_rates().unwrap());
        let leaks = reader.leaks().unwrap();
        for leak in leaks.lines() {
            self.tell((leak, leak.growth.freed_share()));
        }
        self.tell((leaks.traces(), leaks.window(), leaks.is_damaged()));
        let count = u32::try_from(traces.len()).unwrap();
        let asked = (
            FindLeaks::new(end, traces).windows(9),
            FindLeaks::new(Elapsed::ZERO, traces).windows(u32::MAX),
            SanityCheck::new(count),
            // As it would be with rates of the caller.
            CheckRates::new(&SamplingRates::new([(100, 0.5), (10_000, 1.0)]).unwrap()),
        );
        let (few, many, again, rates) = reader.ask(asked).unwrap();
        assert_eq!(again, sanity);
        self.tell(reader.ask(Ended).unwrap());
        self.tell((few, many));
        self.rates(&rates);
    }

    /// Logarithms differ in their last digits from platform to platform.
    fn rates(&mut self, rates: &RatesCheck) {
        let log_odds = format!("{:.6}", rates.log_odds());
        self.tell((rates.verdict(), log_odds, rates.is_damaged()));
        for evidence in rates.evidence() {
            self.tell(evidence.to_string());
        }
    }

    /// What usages can do among themselves.
    fn usages(&mut self, usages: &[Usage; 5], traces: &TraceTable, set: &TraceSet) {
        let sum: Usage = usages.iter().sum();
        let damaged = usages.iter().any(|usage| usage.is_damaged());
        assert_eq!(sum.is_damaged(), damaged);
        assert!(sum.clone().damaged_if(true).is_damaged());
        let owned: Usage = usages.iter().cloned().sum();
        self.tell((&sum, owned.total(), -&sum));
        let [a, b, ..] = usages;
        self.tell((a + b, a - b, set.filter(a)));
        self.tell((a.get(TraceId::new(1)), a.len(), a.is_empty()));
        assert_eq!(a.iter().rev().count(), a.by_trace().len());
        let odd = |frame: Frame<'_>| frame.line % 2 == 1;
        let (focused, ignored) = (b.focus(traces, odd), b.ignore(traces, odd));
        assert_eq!(&focused + &ignored, *b);
        self.tell(b.filter(|trace, weight| trace.is_some() && weight > 0));
        let merged = MergedTraces::new([&traces.by_file(), traces]);
        self.tell((merged.usage(0, a), merged.usage(1, b), merged.usage(2, a)));
    }

    fn views(&mut self, traces: &TraceTable, usages: &[Usage; 5], lines: &[FrameId]) {
        let by_file = traces.by_file();
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
        self.tell((
            lines.total(),
            lines.unknown(),
            lines.len(),
            lines.is_empty(),
        ));
        for line in lines.by_local().chain(lines.by_cumulative().rev()) {
            assert_eq!(lines.get(line.id), Some(line));
            self.tell(line);
        }
        self.tell((&lines, lines.is_damaged()));
        assert_eq!(
            lines.is_damaged(),
            usage.is_damaged() || traces.is_damaged()
        );
    }

    fn sandwich(&mut self, traces: &TraceTable, usage: &Usage, line: FrameId) {
        let sandwich = Sandwich::new(traces, usage, line);
        self.tell((sandwich.line(), sandwich.local(), sandwich.cumulative()));
        self.tell(sandwich.is_damaged());
        for neighbour in sandwich.callers().chain(sandwich.callees()) {
            self.tell(neighbour);
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
            self.flame(&graph.clone().prune(0.1));
            self.flame(&graph.clone().prune(f64::NAN));
            let few = graph.alphabetical().at_most(3);
            assert!(few.len() <= 3);
            self.flame(&few);
        }
    }

    fn flame(&mut self, graph: &FlameGraph) {
        self.tell((graph.len(), graph.is_empty(), graph.total()));
        self.tell(graph.is_damaged());
        self.tell((graph.total().net(), graph.total().size()));
        for bar in graph.walk() {
            self.tell((bar.depth, bar.offset, bar.width, bar.node.fraction()));
            let node = bar.node;
            self.tell((node.label(), node.own(), node.total()));
            self.tell((node.frame_id(), node.label().frame().is_some()));
            self.tell(node.children().count());
        }
        assert_eq!(graph.root().total(), graph.total());
        for stack in graph.folded() {
            self.tell((stack.weight(), stack.parts(), stack.labels().len()));
        }
        assert_eq!(graph, &graph.clone());
    }

    fn flows(&mut self, traces: &TraceTable, usages: &[Usage; 5]) {
        let half = FlowOptions::default().node_fraction(0.5);
        let all = [
            FlowOptions::default(),
            half,
            half.max_nodes(2).collapse(true).root(true),
            half.edge_fraction(0.05, EdgeBase::Source).collapse(true),
            FlowOptions::default()
                .edge_fraction(0.2, EdgeBase::Total)
                .root(true),
            FlowOptions::default().max_nodes(0),
            FlowOptions::default()
                .node_fraction(f64::NAN)
                .collapse(true),
        ];
        for options in &all {
            self.flow(&FlowGraph::with(traces, usages, options));
        }
        self.flow(&FlowGraph::new(traces, &usages[..1]));
        self.flow(&FlowGraph::new(traces, []));
    }

    fn flow(&mut self, graph: &FlowGraph) {
        let columns = graph.column_count() + 1;
        self.tell(graph.is_damaged());
        for column in 0..columns {
            self.tell((graph.total(column), graph.unknown(column)));
        }
        for node in graph.nodes() {
            self.tell((node.id(), node.is_root(), node.line_ids()));
            assert_eq!(node.lines().len(), node.line_ids().len());
            assert_eq!(graph.node(node.id()).id(), node.id());
            for column in 0..columns {
                self.tell((
                    node.local(column),
                    node.cumulative(column),
                    node.begins(column),
                ));
                self.tell((
                    node.local_fraction(column),
                    node.cumulative_fraction(column),
                ));
            }
            if let (Some(&line), true) = (node.line_ids().first(), node.id() < 8) {
                assert_eq!(graph.find(line).map(|found| found.id()), Some(node.id()));
            }
            let (out, into) = (graph.outgoing(node.id()), graph.incoming(node.id()));
            self.tell((out.len(), into.map(|edge| edge.from()).collect::<Vec<_>>()));
        }
        for edge in graph.edges() {
            self.tell((edge.from(), edge.to(), edge.is_residual()));
            for column in 0..columns {
                self.tell((edge.weight(column), edge.fraction(column)));
            }
        }
    }

    /// Digests of several intervals and precisions, and the one that the profile has.
    fn digests(&mut self, reader: &Reader, length: Elapsed) {
        if reader.events().is_ok() {
            let millis = length.as_micros() / 5_000 + 1;
            for (interval, precision) in [(millis, 0.0), (2 * millis, 0.4)] {
                let mut told = 0;
                let options = DigestOptions::default()
                    .interval(Duration::from_millis(interval))
                    .precision(precision)
                    .progress(|progress| {
                        told += u64::from(progress.fraction() <= 1.0);
                        ControlFlow::Continue(())
                    });
                let made = reader.digest_with(options);
                self.tell(made.is_ok());
                if let Ok(digest) = made {
                    self.digest(reader, &digest);
                }
                assert!(told > 0 || reader.events().is_err());
            }
            if let Ok(digest) = reader.digest_with(DigestOptions::default().max_snapshots(5)) {
                assert!(digest.len() <= 5);
                self.digest(reader, &digest);
            }
            let stopped = DigestOptions::default().progress(|_| ControlFlow::Break(()));
            self.tell(
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
        // Of as many of these as there may be, some.
        for snapshot in reader.snapshots().unwrap().take(100) {
            self.tell(snapshot.map(|snapshot| snapshot.into_usage()).ok());
        }
        self.tell(reader.snapshot_at(Elapsed::MAX).ok());
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
        self.tell((
            digest.start(),
            digest.interval(),
            digest.len(),
            digest.is_empty(),
        ));
        self.tell((
            digest.end(),
            digest.damage(),
            digest.is_stopped(),
            digest.clock(),
        ));
        self.tell((digest.is_foreign(), digest.precision(), digest.rates()));
        self.tell(digest.is_damaged());
        let _ = digest.path();
        self.tell(digest.times().last());
        self.tell(digest.get(digest.len()).is_none());
        for number in some(&[0, 1, digest.len() / 2, digest.len().saturating_sub(1)]) {
            let snapshot = digest.get(number).and_then(Result::ok);
            self.tell(snapshot.map(|it| (it.time(), it.is_damaged(), it.usage().clone())));
        }
        for at in [
            Elapsed::ZERO,
            Elapsed::from_millis(7),
            Elapsed::from_secs(1),
            Elapsed::MAX,
        ] {
            self.tell(digest.snapshot_at(at).ok());
        }
        self.tell(digest.snapshots().take(100).filter_map(Result::ok).count());
        let traces = reader.traces().unwrap();
        if let Ok(series) = TimeSeries::new(digest, traces, [Track::Unknown]) {
            self.series(&series);
        }
    }

    fn series(&mut self, series: &TimeSeries) {
        assert_eq!(series.iter().len(), series.track_count());
        self.tell(series.is_damaged());
        for (track, values) in series.iter() {
            self.tell((track, values.largest(), values.first(), values.last()));
            self.tell((
                values.at(Elapsed::from_millis(9)),
                values.len(),
                values.is_empty(),
            ));
            assert_eq!(values.iter().rev().count(), values.len());
            assert_eq!(values.is_damaged(), series.is_damaged());
            self.movements(&values.movements());
        }
        self.tell(series.get(0).map(|values| values.values().len()));
        self.tell(series.fractions(0).last());
        let total = series.total();
        assert_eq!(series.times(), total.times());
        self.movements(&Movements::new(Series::new(total.times(), total.values())));
    }

    fn movements(&mut self, movements: &Movements) {
        self.tell((movements.trend(), movements.rises(), movements.falls()));
        self.tell(movements.is_damaged());
    }

    /// What both clocks showed.
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
                self.tell(reader.elapsed_at(shown).ok());
            }
            self.tell(shown.ok());
        }
        self.tell(reader.elapsed_at(SystemTime::UNIX_EPOCH).ok());
        let start = reader.start();
        self.tell((start.seconds(), start.nanoseconds(), start.as_nanos()));
        self.tell((
            start.to_system_time(),
            start.offset_of(SystemTime::UNIX_EPOCH),
        ));
        self.tell(start.at(end.wall()));
        let end = end.elapsed();
        self.tell((
            end.to_string(),
            end.as_millis(),
            end.as_secs(),
            end.as_secs_f64(),
        ));
        self.tell((
            Elapsed::from_secs_f64(end.as_secs_f64()),
            end.since(Elapsed::ZERO),
        ));
    }

    fn raw_traces(&mut self, hpm: &[u8]) {
        let Ok(log) = TraceLog::new(hpm) else {
            return;
        };
        self.tell((log.start(), log.rates(), log.header_damage(), log.count()));
        for range in log.rates().ranges() {
            self.tell((
                range.upper_size(),
                range.probability(),
                range.stored_probability(),
            ));
        }
        for size in [0, 127, 128, 4096, u64::MAX] {
            let rates = log.rates();
            self.tell((
                rates.probability(size),
                rates.estimate(size),
                rates.variance(size),
            ));
        }
        let index = log.index();
        self.tell((index.len(), index.is_empty(), index.damage()));
        let mut writer = TraceWriter::new(Vec::new(), log.start(), log.rates()).unwrap();
        let mut again = TraceWriter::resume(Vec::new(), log.traces().position());
        let mut traces = log.traces();
        let mut middle = traces.position();
        for trace in &mut traces {
            let Ok(trace) = trace else {
                self.tell(trace);
                break;
            };
            let frames = trace
                .innermost_first()
                .map(|it| (it.file_bytes(), it.line()));
            writer.write_innermost_first(frames.clone()).unwrap();
            let outward: Vec<_> = frames.collect();
            again
                .write_outermost_first(outward.into_iter().rev())
                .unwrap();
            self.tell((trace.id(), trace.offset(), trace.is_empty()));
            self.tell(
                trace
                    .outermost_first()
                    .map(|it| it.file_name().len())
                    .sum::<usize>(),
            );
            assert_eq!(index.get(trace.id()), Some(trace));
            if trace.id().get() % 2 == 1 {
                middle = TracePosition::new(trace.offset(), trace.id().get() - 1);
            }
        }
        assert!(traces.next().is_none());
        self.tell((traces.position(), middle.offset()));
        let rest = log.traces_from(middle).map_while(Result::ok).count();
        assert_eq!(rest, index.len() - middle.traces() as usize);
        self.tell(
            log.traces_from(TracePosition::new(u64::MAX, u32::MAX))
                .count(),
        );
        self.tell(log.traces_from(TracePosition::new(3, 0)).count());

        // What was read can be written, and is the same then.
        assert_eq!(writer.count() as usize, index.len());
        writer.flush().unwrap();
        self.tell(writer.get_mut().len());
        let bytes = writer.into_inner();
        assert!(bytes.ends_with(&again.into_inner()));
        let again = TraceTable::from_log(&TraceLog::new(&bytes).unwrap());
        let table = TraceTable::from_log(&log);
        assert_eq!(again.len(), table.len());
        assert!(
            again
                .iter()
                .zip(table.iter())
                .all(|(a, b)| a.1.ids().eq(b.1.ids()))
        );
        assert_eq!(table.len(), index.len());
    }

    fn raw_events(&mut self, hpd: &[u8], hpm: &[u8]) {
        let mut events = EventLog::new(hpd).events();
        let mut balance = 0_i128;
        for event in events.by_ref().take(10_000).flatten() {
            balance += i128::from(event.signed_size());
            self.tell(event);
        }
        // From where the log has not been read, and from beyond its end.
        let rest = EventLog::new(hpd).events_from(events.position());
        let left = events.clone().flatten().take(10_000).count();
        assert_eq!(rest.flatten().take(10_000).count(), left);
        let beyond = LogPosition::new(u64::MAX, 0, Elapsed::ZERO, WallOffset::ZERO);
        assert_eq!(EventLog::new(hpd).events_from(beyond).count(), 0);
        self.tell((
            balance,
            events.position(),
            events.invalid_micros(),
            events.size_hint(),
        ));
        // One kind of file in place of another.
        self.tell(EventLog::new(hpm).events().flatten().count());
        let mut writer = EventWriter::resume(Vec::new(), events.position());
        let kind = heapprof::EventKind::Free;
        let late = WallOffset::from_micros(i64::MIN + 1);
        self.tell(writer.write(late, TraceId::new(7), u64::MAX, kind).is_err());
        self.tell(writer.write(late, TraceId::new(7), 1, kind).is_ok());
        writer.flush().unwrap();
        self.tell((writer.position(), writer.get_mut().len()));
    }

    fn raw_digest(&mut self, hpc: &[u8]) {
        let Ok(digest) = DigestFile::new(hpc) else {
            return;
        };
        self.tell((
            digest.start(),
            digest.interval_ms(),
            digest.len(),
            digest.damage(),
        ));
        self.tell((digest.is_empty(), digest.trailer().len()));
        let out = Cursor::new(Vec::new());
        let mut writer = DigestWriter::new(out, digest.start(), digest.interval_ms()).unwrap();
        let mut rewritten = Vec::new();
        for number in 0..digest.len().min(100) {
            let entries = digest.entries(number).unwrap();
            self.tell((digest.time(number), digest.shares(number), entries.offset()));
            self.tell(entries.size_hint());
            let read: Result<Vec<_>, _> = entries.collect();
            self.tell(&read);
            let Ok(read) = read else { break };
            if digest.shares(number) {
                writer.repeat().unwrap();
            } else {
                writer.snapshot(read.iter().copied()).unwrap();
            }
            rewritten.push(read);
        }
        self.tell((
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

/// How a pass ended.
struct Ended;

impl Question for Ended {
    type Answer = (LogPosition, Vec<DecodeError>, bool);

    fn take(&mut self, _: &LogStep, _: &LiveHeap) -> ControlFlow<()> {
        ControlFlow::Continue(())
    }

    fn answer(self, end: &LogEnd<'_>) -> Self::Answer {
        (end.position, end.damage.to_vec(), end.is_damaged())
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

//! Traces of version 2: what is read and written, damage, growth, and the same answers as version 1.

#[path = "common/all_queries.rs"]
mod all_queries;
mod common;

use std::fs;
use std::io::Write;
use std::path::Path;
use std::time::Instant;

use all_queries::{all_queries_of, all_raw_queries};
use common::output::succeeded;
use heapprof::EventKind;
use heapprof::raw::{DecodeError, DecodeErrorKind as Kind};
use heapprof::raw::{EventWriter, Properties, TraceLog, TraceNode, TraceWriter, TraceWriterV1};
use heapprof::view::{FlameGraph, FlowGraph, Lines, Sandwich};
use heapprof::{Frame, Reader, SamplingRates, StartTime, TraceId, TraceTable, Usage, WallOffset};
use proptest::collection::vec;
use proptest::prelude::*;

/// A file with each kind of record, and the lengths of its parts.
#[rustfmt::skip]
const BYTES: &[u8] = &[
    0, 0, 0, 2,                             // version
    0, 0, 0, 0, 0x6b, 0x02, 0xbe, 0xbb,     // start, seconds: 1795342011
    0, 0, 0, 0, 0x07, 0x5b, 0xcd, 0x15,     // start, nanoseconds: 123456789
    1,                                      // ranges
    0, 0, 0, 0, 0, 0, 0, 128,               //   sizes below 128
    0x19, 0x99, 0x99, 0x99,                 //   with probability 0.1
    1,                                      // properties
    3, b'p', b'i', b'd', 2, b'4', b'2',     //   pid: 42
    // offset 41
    4 << 2, b'm', b'a', b'i', b'n',         // text 0: main
    4 << 2, b'a', b'.', b'p', b'y',         // text 1: a.py
    1 << 2 | 1, 1, 0xac, 0x02,              // frame 0: main, a.py:300
    1, 1, 0,                                // frame 1: no function, a.py without a line
    // offset 58
    1 << 2 | 2, 0,                          // node 1: below the root, frame 0
    1 << 2 | 3,                             // trace 1: node 1
    1 << 2 | 2, 1,                          // node 2: below node 1, frame 1
    1 << 2 | 3,                             // trace 2: node 2
    3 << 2 | 3,                             // trace 3: the root
    2 << 2 | 3,                             // trace 4: node 1
];
const HEADER: usize = 41;

fn start() -> StartTime {
    StartTime::new(1_795_342_011, 123_456_789)
}

fn rates() -> SamplingRates {
    SamplingRates::new([(128, 0.1)]).unwrap()
}

fn frames() -> [Frame<'static>; 2] {
    [
        Frame::new("a.py", 300).in_function("main"),
        Frame::new("a.py", 0),
    ]
}

/// The stacks of a table, outermost first.
fn stacks(table: &TraceTable) -> Vec<Vec<Frame<'_>>> {
    let traces = table.iter().map(|(_, trace)| trace.frames().collect());
    traces.collect()
}

fn table(bytes: &[u8]) -> TraceTable {
    TraceTable::from_log(&TraceLog::new(bytes).unwrap())
}

#[test]
fn reads_and_writes_labelled_bytes() {
    let [main, line] = frames();
    let log = TraceLog::new(BYTES).unwrap();
    assert_eq!((log.version(), log.count()), (2, 4));
    assert_eq!((log.start(), log.rates()), (start(), &rates()));
    let properties = Properties::from_iter([("pid", "42")]);
    assert_eq!(log.properties(), &properties);
    let expected = [vec![main], vec![main, line], vec![], vec![main]];
    let table = table(BYTES);
    assert_eq!(stacks(&table), expected);
    assert_eq!((table.damage(), table.frame_count()), (&[][..], 2));
    let raw = log.traces().map(|trace| {
        let trace = trace.unwrap();
        let frames = trace.outermost_first();
        frames
            .map(|it| (it.function().unwrap_or_default().into_owned(), it.line()))
            .collect()
    });
    let raw: Vec<Vec<(String, u32)>> = raw.collect();
    let (main_row, line_row) = (("main".to_owned(), 300), (String::new(), 0));
    let both = vec![main_row.clone(), line_row];
    assert_eq!(raw, [vec![main_row.clone()], both, vec![], vec![main_row]]);

    let mut writer =
        TraceWriter::with_properties(Vec::new(), start(), &rates(), &properties).unwrap();
    // The order of the file: both texts and frames first.
    let node = writer.intern_child(TraceNode::ROOT, &main).unwrap();
    assert_eq!(writer.intern_trace(node).unwrap().get(), 1);
    let both = writer.intern_outermost_first([main, line]).unwrap();
    assert_eq!(writer.intern_innermost_first([line, main]).unwrap(), both);
    let empty = writer.intern_outermost_first([] as [Frame<'_>; 0]).unwrap();
    assert_eq!((both.get(), empty.get()), (2, 3));
    assert_eq!(writer.write_trace(node).unwrap().get(), 4);
    let written = writer.into_inner();
    assert_eq!(stacks(&self::table(&written)), expected);
    // The same records, with frame 1 where it is first needed.
    let mut expected = BYTES.to_vec();
    let frame: Vec<u8> = expected.drain(55..58).collect();
    let at = 58;
    expected.splice(at..at, frame);
    assert_eq!(written, expected);
}

#[test]
fn every_cut_keeps_the_traces_before_it() {
    let all = stacks(&table(BYTES)).len();
    assert_eq!(all, 4);
    let whole = table(BYTES);
    for cut in 0..BYTES.len() {
        let bytes = &BYTES[..cut];
        let Ok(log) = TraceLog::new(bytes) else {
            assert!(cut < HEADER, "{cut}");
            assert!(TraceLog::new(bytes).unwrap_err().is_cut());
            continue;
        };
        let table = TraceTable::from_log(&log);
        let traces = [61, 64, 65, 66].iter().filter(|&&end| end <= cut).count();
        assert_eq!(table.len(), traces, "{cut}");
        assert_eq!(stacks(&table), stacks(&whole)[..traces]);
        assert_eq!((log.count() as usize, log.index().len()), (traces, traces));
        let between = [41, 46, 51, 55, 58, 60, 61, 63, 64, 65].contains(&cut);
        let damage: Vec<_> = table.damage().iter().map(DecodeError::kind).collect();
        assert_eq!(
            damage,
            if between { vec![] } else { vec![Kind::Cut] },
            "{cut}"
        );
        assert_eq!(log.index().damage(), table.damage().first().copied());
        assert!(!table.is_damaged()); // a killed program is no damage
    }
}

#[test]
fn every_flipped_byte_has_an_answer() {
    let mut writer = EventWriter::new(Vec::new());
    for trace in 1..=5 {
        let wall = WallOffset::from_micros(i64::from(trace));
        let id = TraceId::new(trace);
        writer.write(wall, id, 10, EventKind::Allocation).unwrap();
    }
    let hpd = writer.into_inner();
    for at in 0..BYTES.len() {
        for flip in [1, 2, 4, 0x40, 0x80, 0xff] {
            let mut bytes = BYTES.to_vec();
            bytes[at] ^= flip;
            all_raw_queries(&bytes, &hpd, &[]);
            all_queries_of(&bytes, &hpd, &[]);
        }
    }
}

#[test]
fn undefined_references_end_the_table() {
    let header = &BYTES[..HEADER];
    let text = [1 << 2, b'x'];
    let frame = [1, 0, 7];
    let undefined = |found, defined| Kind::Undefined { found, defined };
    let far = u64::from(u32::MAX) << 2;
    for (records, offset, kind) in [
        // A frame whose file or function is no text.
        (vec![1, 0, 7], 0, undefined(0, 0)),
        ([&text[..], &[1, 1, 7]].concat(), 2, undefined(1, 1)),
        (
            [&text[..], &[2 << 2 | 1, 0, 7]].concat(),
            2,
            undefined(1, 1),
        ),
        // A node with an undefined frame; with itself as its parent; with a parent before the root.
        (
            [&text[..], &frame, &[1 << 2 | 2, 1]].concat(),
            5,
            undefined(1, 1),
        ),
        ([&text[..], &frame, &[2, 0]].concat(), 5, undefined(0, 1)),
        (
            [&text[..], &frame, &[2 << 2 | 2, 0]].concat(),
            5,
            undefined(2, 1),
        ),
        // A trace of no node.
        (vec![3], 0, undefined(0, 1)),
        (vec![2 << 2 | 3], 0, undefined(2, 1)),
        (varint(far | 3), 0, undefined(far >> 2, 1)),
        // A line over 32 bits.
        (
            [&text[..], &[1, 0], &varint(1 << 32)].concat(),
            2,
            Kind::LineNumber { found: 1 << 32 },
        ),
        // A length beyond the file.
        (varint(u64::MAX << 2), 0, Kind::Cut),
        (vec![0xff; 11], 0, Kind::Varint),
    ] {
        // A whole trace before it is kept, and what follows is not read.
        let mut bytes = [header, &[1 << 2 | 3], &records].concat();
        if kind != Kind::Cut {
            bytes.push(1 << 2 | 3);
        }
        let table = table(&bytes);
        let damage: Vec<_> = table
            .damage()
            .iter()
            .map(|it| (it.offset(), it.kind()))
            .collect();
        assert_eq!(
            damage,
            [((HEADER + 1 + offset) as u64, kind)],
            "{records:?}"
        );
        assert_eq!(table.len(), 1);
        assert_eq!(table.is_damaged(), kind != Kind::Cut);
        let log = TraceLog::new(&bytes).unwrap();
        let error = log.traces().find_map(Result::err).unwrap();
        assert_eq!(Some(error), table.damage().first().copied());
        assert_eq!(log.traces().count(), 2); // the trace, and the error
    }
}

fn varint(mut value: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    loop {
        let [low, ..] = value.to_le_bytes();
        value >>= 7;
        if value == 0 {
            bytes.push(low & 0x7f);
            return bytes;
        }
        bytes.push(low | 0x80);
    }
}

#[test]
fn reports_and_keeps_names_that_are_not_utf8() {
    let mut writer = TraceWriter::new(Vec::new(), start(), &rates()).unwrap();
    writer.intern_outermost_first([(b"ok", 1)]).unwrap();
    writer
        .intern_outermost_first([(b"\xff\x01", 1), (b"\xfe\x01", 1)])
        .unwrap();
    let bytes = writer.into_inner();
    let table = table(&bytes);
    let stack: Vec<_> = table.trace(TraceId::new(2)).unwrap().ids().collect();
    assert_eq!(stack[0], stack[1]); // equal once they are read
    let [damage] = table.damage() else {
        panic!("{:?}", table.damage())
    };
    assert_eq!(damage.kind(), Kind::NotUtf8);
    assert_eq!(
        bytes[usize::try_from(damage.offset()).unwrap()..][..3],
        [2 << 2, 0xff, 1]
    );
}

#[test]
fn a_stack_of_100_000_frames_comes_back() {
    let stack: Vec<Frame<'_>> = (0..100_000)
        .map(|line| Frame::new("deep.rs", line))
        .collect();
    let mut writer = TraceWriter::new(Vec::new(), start(), &rates()).unwrap();
    let id = writer.intern_outermost_first(&stack).unwrap();
    let bytes = writer.into_inner();
    assert!(
        table(&bytes)
            .trace(id)
            .unwrap()
            .frames()
            .eq(stack.iter().copied())
    );
    let raw = TraceLog::new(&bytes)
        .unwrap()
        .traces()
        .next()
        .unwrap()
        .unwrap();
    let lines = raw.innermost_first().map(heapprof::raw::RawFrame::line);
    assert!(lines.eq((0..100_000).rev()));
}

#[test]
fn merges_items_that_are_defined_twice() {
    let mut bytes = BYTES[..HEADER].to_vec();
    for _ in 0..2 {
        bytes.extend([1 << 2, b'x']);
    }
    // Frames of both texts, nodes of both frames, traces of both nodes.
    bytes.extend([1, 0, 7, 1, 1, 7]);
    bytes.extend([1 << 2 | 2, 0, 2 << 2 | 2, 1]);
    bytes.extend([2 << 2 | 3, 1 << 2 | 3]);
    let table = table(&bytes);
    assert_eq!((table.len(), table.frame_count()), (2, 1));
    let usage = Usage::from_iter([(TraceId::new(1), 5), (TraceId::new(2), 7)]);
    let flame = FlameGraph::new(&table, &usage);
    assert_eq!(flame.folded().count(), 1);
    assert_eq!(
        Lines::new(&table, &usage).by_local().next().unwrap().local,
        12
    );
}

proptest! {
    #[test]
    fn any_stacks_come_back(
        stacks in vec(vec((0..4_usize, 0..3_usize, prop_oneof![0..3_u32, any::<u32>()]), 0..8), 0..30),
        names in vec(".{0,6}", 7),
    ) {
        let frame = |&(file, function, line): &(usize, usize, u32)| {
            let frame = Frame::new(&names[file], line);
            match function {
                0 => frame,
                function => frame.in_function(&names[3 + function]),
            }
        };
        let expected: Vec<Vec<Frame<'_>>> =
            stacks.iter().map(|stack| stack.iter().map(frame).collect()).collect();
        let mut writer = TraceWriter::new(Vec::new(), start(), &rates()).unwrap();
        let mut ids = Vec::new();
        for stack in &expected {
            ids.push(writer.intern_outermost_first(stack).unwrap());
        }
        let bytes = writer.into_inner();
        let table = table(&bytes);
        prop_assert_eq!(table.damage(), &[][..]);
        for (a, stack) in ids.iter().zip(&expected) {
            let found: Vec<_> = table.trace(*a).unwrap().frames().collect();
            prop_assert_eq!(&found, stack);
            for (b, other) in ids.iter().zip(&expected) {
                prop_assert_eq!(a == b, stack == other);
            }
        }
        // The tables of stacks are the same, made in any way.
        let made: TraceTable = expected.iter().map(|stack| stack.iter().copied()).collect();
        prop_assert_eq!(self::stacks(&made), expected);
    }
}

/// A file with a chain of `depth` nodes of `lines` lines in turn, and `traces` traces: one at each node, and the others at
/// the last.
fn chain(depth: u32, lines: u32, traces: u32) -> Vec<u8> {
    let mut writer = TraceWriter::new(Vec::new(), start(), &rates()).unwrap();
    let mut node = TraceNode::ROOT;
    for number in 0..depth {
        let line = Frame::new("deep.rs", number % lines).in_function("call");
        node = writer.intern_child(node, &line).unwrap();
        writer.write_trace(node).unwrap();
    }
    while writer.count() < traces {
        writer.write_trace(node).unwrap();
    }
    writer.into_inner()
}

/// Traces take a byte or two, however deep their stacks are.
#[test]
fn views_are_linear_in_nodes_and_not_in_frames() {
    let (depth, traces) = (50_000, 150_000);
    // All lines differ, or recur. 100 000 stacks of 50 000 frames, and 50 000 of half of that, are 6·10^9 frames.
    for lines in [depth, 7, 1] {
        let bytes = chain(depth, lines, traces);
        assert!(bytes.len() < 750_000);
        let begin = Instant::now();
        let table = table(&bytes);
        assert_eq!(table.len(), traces as usize);
        let usage: Usage = (1..=traces).map(|id| (TraceId::new(id), 3)).collect();
        let total = 3 * i64::from(traces);
        let heaviest = Lines::new(&table, &usage);
        let heaviest = heaviest.by_cumulative().next().unwrap();
        assert_eq!((heaviest.cumulative, heaviest.frame.line), (total, 0));
        let flow = FlowGraph::new(&table, &usage);
        assert_eq!(flow.nodes().next().unwrap().cumulative(0), total);
        for graph in [
            FlameGraph::new(&table, &usage),
            FlameGraph::inverted(&table, &usage),
        ] {
            assert_eq!(graph.total().net(), total);
            assert!(graph.len() < 21 * 50_000 + 50_000);
            assert!(graph.min_fraction(0.01).len() > 1);
        }
        let sandwich = Sandwich::new(&table, &usage, heaviest.id);
        assert_eq!(sandwich.cumulative(), total);
        assert_eq!(sandwich.caller_tree().total().net(), total);
        assert_eq!(sandwich.callee_tree().total().net(), total);
        let by_function = table.by_function();
        assert_eq!(by_function.trace(TraceId::new(1)).unwrap().len(), 1);
        assert_eq!(table.search("call").len(), lines as usize);
        let took = begin.elapsed();
        assert!(took.as_secs() < 60, "{took:?} for {lines} lines");
    }
}

#[test]
fn inverted_stacks_beyond_the_limit_are_other() {
    let bytes = chain(5_000, 5_000, 0);
    let table = table(&bytes);
    // The trace of node n has n frames, and weighs n.
    let usage: Usage = (1..=5_000)
        .map(|id| (TraceId::new(id), id.into()))
        .collect();
    let graph = FlameGraph::inverted(&table, &usage);
    // All lines that allocate are there, with exact weights.
    assert_eq!(graph.root().children().count(), 5_000);
    assert_eq!(graph.total().net(), usage.total());
    let weights: Vec<i64> = graph
        .root()
        .children()
        .map(|node| node.total().net())
        .collect();
    assert!(weights.is_sorted_by(|a, b| a > b) && weights[0] == 5_000);
    // 12.5 M nodes would be needed, and 20 for each node of the call tree are allowed.
    assert!(
        (20 * 5_000..21 * 5_000 + 5_000).contains(&graph.len()),
        "{}",
        graph.len()
    );
    let heaviest = graph.root().children().next().unwrap();
    let chain = std::iter::successors(Some(heaviest), |node| node.children().next());
    assert_eq!(chain.count(), 5_000);
    let lightest = graph.root().children().last().unwrap();
    assert_eq!(lightest.children().count(), 0); // the first node of the chain has no callers
    let light = graph.root().children().nth(4_000).unwrap();
    let callers: Vec<String> = light
        .children()
        .map(|node| node.label().to_string())
        .collect();
    assert_eq!(callers, ["other"]);
}

/// Writes a file over a mapped one, which it does not shorten.
fn write_over(path: &Path, bytes: &[u8]) {
    let mut file = fs::File::options().write(true).open(path).unwrap();
    file.write_all(bytes).unwrap();
}

#[test]
fn reopen_reads_only_new_traces() {
    for (version, file) in [
        (1, "examples/data/demo.hpm"),
        (2, "tests/data/compact_demo.hpm"),
    ] {
        let hpm = fs::read(file).unwrap();
        let log = TraceLog::new(&hpm).unwrap();
        assert_eq!(log.version(), version);
        let header = usize::try_from(log.traces().position().offset()).unwrap();
        let table = TraceTable::from_log(&log);
        let whole = stacks(&table).concat();
        let len = hpm.len();
        for (first, second, mapped) in [
            (0, len / 3, true),
            (len / 3, 2 * len / 3, true),
            (len / 2, len, true),
            (len - 1, len, true),
            (len / 3, 2 * len / 3, false),
        ] {
            let folder = tempfile::tempdir().unwrap();
            let base = folder.path().join("run");
            let first = first.max(header);
            fs::write(base.with_extension("hpm"), &hpm[..first]).unwrap();
            fs::write(base.with_extension("hpd"), []).unwrap();
            let early = if mapped {
                Reader::open(&base).unwrap()
            } else {
                Reader::open_unmapped(&base).unwrap()
            };
            let early_traces = early.traces().unwrap().len();
            // What was read before is not read again: it is no longer there.
            let read = if early_traces == 0 {
                header
            } else {
                usize::midpoint(header, first)
            };
            let mut grown = hpm[..second.max(first)].to_vec();
            grown[header..read].fill(0xff);
            write_over(&base.with_extension("hpm"), &grown);
            let late = early.reopen().unwrap();
            // The log asks for the number of traces, before anything asks for the table.
            assert_eq!(late.end().unwrap().events(), 0);
            assert!(late.sanity().unwrap().issues().is_empty());
            let expected = TraceTable::from_log(&TraceLog::new(&hpm[..second.max(first)]).unwrap());
            let table = late.traces().unwrap();
            assert_eq!(
                stacks(table),
                stacks(&expected),
                "{version} {first} {second}"
            );
            assert_eq!(table.damage(), expected.damage());
            assert!(table.len() >= early_traces);
            assert!(whole.starts_with(&stacks(table).concat()));
            // And once more, to the end.
            let mut grown = hpm.clone();
            grown[header..read].fill(0xff);
            write_over(&base.with_extension("hpm"), &grown);
            let last = late.reopen().unwrap();
            assert_eq!(stacks(last.traces().unwrap()).concat(), whole);
        }
    }
}

#[test]
fn reopen_rejects_shorter_hpm() {
    let folder = tempfile::tempdir().unwrap();
    let base = folder.path().join("run");
    fs::write(base.with_extension("hpm"), BYTES).unwrap();
    fs::write(base.with_extension("hpd"), []).unwrap();
    let reader = Reader::open_unmapped(&base).unwrap();
    fs::write(base.with_extension("hpm"), &BYTES[..BYTES.len() - 1]).unwrap();
    assert!(matches!(
        reader.reopen(),
        Err(heapprof::Error::Replaced { .. })
    ));
}

/// The example rewrites a profile, whose answers stay the same.
#[test]
fn rewritten_profiles_are_equal() {
    for name in [
        "demo",
        "recursion",
        "surrogate",
        "unicode",
        "killed_hpm",
        "loss",
        "threads",
    ] {
        let Some(from) = common::recording(name) else {
            continue;
        };
        let folder = tempfile::tempdir().unwrap();
        let to = folder.path().join(name);
        let args = [from.to_str().unwrap(), to.to_str().unwrap()];
        succeeded(&common::example("compact", &args));
        let (old, new) = (Reader::open(&from).unwrap(), Reader::open(&to).unwrap());
        let (old_hpm, new_hpm) = (
            fs::read(from.with_extension("hpm")).unwrap(),
            fs::read(to.with_extension("hpm")).unwrap(),
        );
        assert_eq!(TraceLog::new(&new_hpm).unwrap().version(), 2);
        assert!(new_hpm.len() < old_hpm.len());
        assert_eq!(stacks(old.traces().unwrap()), stacks(new.traces().unwrap()));
        assert_eq!(old.peak().unwrap(), new.peak().unwrap());
        assert_eq!(old.live_at_end().unwrap(), new.live_at_end().unwrap());
        // Rewritten once more, it stays as it is.
        let again = folder.path().join("again");
        let args = [to.to_str().unwrap(), again.to_str().unwrap()];
        succeeded(&common::example("compact", &args));
        assert_eq!(fs::read(again.with_extension("hpm")).unwrap(), new_hpm);
        // A second time it replaces the files, and their names may end in one of the file's.
        let hpd = to.with_extension("hpd");
        let args = [from.with_extension("hpm"), hpd].map(|it| it.to_str().unwrap().to_owned());
        let output = common::example("compact", &args.each_ref().map(|it| &**it));
        succeeded(&output);
        let said = String::from_utf8(output.stdout).unwrap();
        let count = new.traces().unwrap().len();
        assert!(
            said.starts_with(&format!("traces         {count}\n")),
            "{said}"
        );
        assert_eq!(fs::read(to.with_extension("hpm")).unwrap(), new_hpm);
        // Onto itself it cannot be written.
        let args = [to.to_str().unwrap(), to.to_str().unwrap()];
        assert_eq!(common::example("compact", &args).status.code(), Some(1));
        assert_eq!(fs::read(to.with_extension("hpm")).unwrap(), new_hpm);
        // Nor beside a file of another profile, and then nothing is written.
        fs::write(to.with_extension("hpc"), "other").unwrap();
        fs::write(to.with_extension("hpd"), "log").unwrap();
        let args = [from.to_str().unwrap(), to.to_str().unwrap()];
        if !from.with_extension("hpc").exists() {
            assert_eq!(common::example("compact", &args).status.code(), Some(1));
            assert_eq!(fs::read(to.with_extension("hpd")).unwrap(), b"log");
        }
        let nowhere = folder.path().join("none/run");
        let args = [to.to_str().unwrap(), nowhere.to_str().unwrap()];
        let output = common::example("compact", &args);
        assert_eq!(output.status.code(), Some(1));
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(
            said.contains("none/run.hpd: ") && said.contains("os error"),
            "{said}"
        );
    }
}

#[test]
fn rejects_node_of_another_writer() {
    let mut first = TraceWriter::new(Vec::new(), start(), &rates()).unwrap();
    let node = first.intern_child(TraceNode::ROOT, &("a.py", 1)).unwrap();
    let mut second = TraceWriter::new(Vec::new(), start(), &rates()).unwrap();
    let before = second.get_mut().clone();
    for error in [
        second.intern_child(node, &("b.py", 1)).unwrap_err(),
        second.intern_trace(node).unwrap_err(),
        second.write_trace(node).unwrap_err(),
    ] {
        assert!(matches!(error, heapprof::raw::EncodeError::UnknownNode));
    }
    assert_eq!(second.into_inner(), before);
}

#[test]
fn both_writers_write_the_same_stacks() {
    let [main, line] = frames();
    let mut first = TraceWriterV1::new(Vec::new(), start(), &rates()).unwrap();
    first.write_outermost_first([main, line]).unwrap();
    let first = first.into_inner();
    let table = table(&first);
    let [stack] = &stacks(&table)[..] else {
        panic!()
    };
    assert_eq!(stack[..], [Frame::new("a.py", 300), line]); // version 1 has no functions
}

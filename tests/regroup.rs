//! Tables regrouped and merged, usages focused: each against the plain way, stack by stack.

mod common;

use std::collections::BTreeMap;

use heapprof::view::{Blame, Lines, MergedTraces, Packages};
use heapprof::{Frame, Reader, TraceId, TraceTable, Usage};
use proptest::collection::vec;
use proptest::prelude::*;

const NAMES: [&str; 6] = [
    "/app/a.py",
    "/app/b.py",
    "/lib/c.py",
    "/lib/d.py",
    "e.py",
    "",
];

type Stack = Vec<u32>;

fn frame(line: u32) -> Frame<'static> {
    Frame::new(NAMES[line as usize % 6], line / 2)
}

fn table(stacks: &[Stack]) -> TraceTable {
    let stacks = stacks.iter();
    stacks
        .map(|stack| stack.iter().map(|&line| frame(line)))
        .collect()
}

fn stacks() -> impl Strategy<Value = Vec<Stack>> {
    vec(vec(0_u32..12, 0..8), 0..12)
}

fn id(place: usize) -> TraceId {
    TraceId::new(u32::try_from(place + 1).unwrap()).unwrap()
}

fn shown(traces: &TraceTable) -> Vec<Vec<String>> {
    let text = |frame: Frame<'_>| format!("{}:{}", frame.file, frame.line);
    traces
        .iter()
        .map(|(_, trace)| trace.frames().map(text).collect())
        .collect()
}

/// A stack of own code (`own/…`) and of three packages.
fn owned_frame(line: u32) -> Frame<'static> {
    const FILES: [&str; 4] = [
        "own/a.rs",
        "own/b.rs",
        "vendor/c-1.0/src/lib.rs",
        "vendor/d/src/lib.rs",
    ];
    Frame::new(FILES[line as usize % 4], line / 4)
}

/// The name of a frame's package, as a row of blame has it.
fn package(frame: Frame<'_>) -> &'static str {
    if frame.file.contains("/c-1.0/") {
        "c 1.0"
    } else {
        "d"
    }
}

proptest! {
    #[test]
    fn blame_is_the_innermost_own_frame_and_rows_add_up(
        stacks in vec(vec(0_u32..12, 0..8), 0..12),
        weights in vec(-20_i64..100, 13),
    ) {
        let traces: TraceTable = stacks
            .iter()
            .map(|stack| stack.iter().map(|&line| owned_frame(line)))
            .collect();
        let ids = (0..=stacks.len()).map(|index| TraceId::new(u32::try_from(index).unwrap()));
        let usage: Usage = ids.zip(weights.iter().copied()).collect();
        let blame = Blame::new(&traces, &usage);
        prop_assert_eq!(blame.total(), usage.total());

        // Row by row, and way by way.
        let (mut rows, mut ways) = (BTreeMap::new(), BTreeMap::new());
        for (place, &weight) in weights.iter().enumerate().take(stacks.len() + 1) {
            let stack = place.checked_sub(1).map(|place| &stacks[place][..]).unwrap_or_default();
            let stack: Vec<_> = stack.iter().map(|&line| owned_frame(line)).collect();
            let own = stack.iter().rposition(|frame| frame.file.starts_with("own/"));
            let label = match (own, stack.last()) {
                (Some(own), _) => stack[own].to_string(),
                (None, Some(&innermost)) => package(innermost).to_owned(),
                (None, None) => "unknown".to_owned(),
            };
            let way: Vec<String> = stack[own.unwrap_or(0)..].iter().map(ToString::to_string).collect();
            *rows.entry(label.clone()).or_insert(0) += weight;
            *ways.entry((label, way)).or_insert(0) += weight;
        }
        rows.retain(|_, weight| *weight != 0);
        ways.retain(|(label, _), weight| *weight != 0 && rows.contains_key(label) && label != "unknown");
        let mut shown = BTreeMap::new();
        let mut shown_ways = BTreeMap::new();
        let mut last = i64::MAX;
        for row in blame.rows() {
            let label = row.frame.map_or("unknown".to_owned(), |frame| frame.to_string());
            prop_assert_eq!(row.is_own, label.starts_with("own/"));
            prop_assert!(row.weight <= last || row.frame.is_none());
            last = row.weight;
            for path in blame.paths(row) {
                let way: Vec<String> = path.frames().map(|frame| frame.to_string()).collect();
                shown_ways.insert((label.clone(), way), path.weight());
            }
            shown.insert(label, row.weight);
        }
        prop_assert_eq!(&shown, &rows);
        prop_assert_eq!(shown_ways, ways);

        // Foreign frames that follow each other are one.
        let folded = traces.fold_foreign(&Packages::new());
        for (stack, (_, trace)) in stacks.iter().zip(folded.iter()) {
            let mut plain: Vec<String> = Vec::new();
            let mut was_foreign = false;
            for &line in stack {
                let frame = owned_frame(line);
                let is_own = frame.file.starts_with("own/");
                if is_own {
                    plain.push(frame.to_string());
                } else if !was_foreign {
                    plain.push(format!("{} …", package(frame)));
                }
                was_foreign = !is_own;
            }
            let frames: Vec<String> = trace.frames().map(|frame| frame.to_string()).collect();
            prop_assert_eq!(frames, plain);
        }
    }
}

proptest! {
    #[test]
    fn frames_are_mapped_hidden_and_folded(stacks in stacks()) {
        let traces = table(&stacks);
        let mut asked = 0;
        let mapped = traces.map_frames(|frame| {
            asked += 1;
            frame.file.strip_suffix(".py").map(|name| (name, frame.line % 2))
        });
        prop_assert_eq!(asked, traces.frame_count());
        let plain: Vec<Vec<String>> = stacks
            .iter()
            .map(|stack| {
                let kept = stack.iter().map(|&line| frame(line)).filter(|it| !it.file.is_empty());
                kept.map(|it| format!("{}:{}", it.file.trim_end_matches(".py"), it.line % 2)).collect()
            })
            .collect();
        prop_assert_eq!(shown(&mapped), plain.clone());
        let folded: Vec<Vec<String>> = plain
            .into_iter()
            .map(|mut stack| {
                stack.dedup();
                stack
            })
            .collect();
        prop_assert_eq!(shown(&mapped.fold_recursion()), folded);
        prop_assert_eq!(shown(&traces.map_frames(|frame| Some((frame.file, frame.line)))), shown(&traces));
    }

    #[test]
    fn merged_tables_have_each_stack_once_and_usages_follow(
        tables in vec((stacks(), vec(-50_i64..50, 13)), 0..4),
    ) {
        let made: Vec<TraceTable> = tables.iter().map(|(stacks, _)| table(stacks)).collect();
        let merged = MergedTraces::new(&made);
        let mut distinct: Vec<Stack> = Vec::new();
        let key = |stack: &Stack| -> Vec<Frame<'static>> { stack.iter().map(|&it| frame(it)).collect() };
        for stack in tables.iter().flat_map(|(stacks, _)| stacks) {
            if !distinct.iter().any(|it| key(it) == key(stack)) {
                distinct.push(stack.clone());
            }
        }
        prop_assert_eq!(shown(merged.table()), shown(&table(&distinct)));
        for (number, (stacks, weights)) in tables.iter().enumerate() {
            // The last weight is that of a trace that the table does not have.
            let usage: Usage = weights[..stacks.len()]
                .iter()
                .enumerate()
                .map(|(place, &weight)| (Some(id(place)), weight))
                .chain([(Some(id(5000)), weights[12]), (None, 3)])
                .collect();
            let translated = merged.usage(number, &usage);
            prop_assert_eq!(translated.total(), usage.total());
            prop_assert_eq!(translated.get(None), 3 + weights[12]);
            let mut plain: BTreeMap<Vec<Frame<'_>>, i64> = BTreeMap::new();
            for (stack, weight) in stacks.iter().zip(weights) {
                *plain.entry(key(stack)).or_default() += weight;
            }
            for (stack, weight) in plain {
                let place = distinct.iter().position(|it| key(it) == stack).unwrap();
                prop_assert_eq!(translated.get(id(place)), weight);
            }
            prop_assert_eq!(merged.trace(number, id(stacks.len())), None);
        }
        prop_assert_eq!(merged.trace(tables.len(), id(0)), None);
    }

    #[test]
    fn focus_and_ignore_divide_a_usage(stacks in stacks(), of in 0_u32..12) {
        let traces = table(&stacks);
        let usage: Usage = (0..stacks.len())
            .map(|place| (Some(id(place)), 1 + i64::try_from(place).unwrap()))
            .chain([(None, 7), (Some(id(900)), 9)])
            .collect();
        let mut asked = 0;
        let test = |it: Frame<'_>| it == frame(of);
        let focused = usage.focus(&traces, |it| {
            asked += 1;
            test(it)
        });
        prop_assert_eq!(asked, traces.frame_count());
        let plain: Usage = usage
            .by_trace()
            .filter(|(trace, _)| traces.trace(*trace).is_some_and(|it| it.frames().any(test)))
            .collect();
        prop_assert_eq!(&focused, &plain);
        prop_assert_eq!(usage.ignore(&traces, test), &usage - &plain);
    }
}

#[test]
fn a_stack_of_which_all_is_hidden_is_unknown() {
    let traces = table(&[vec![0, 1], vec![4]]);
    let usage = Usage::from_iter([(id(0), 10), (id(1), 3)]);
    let hidden =
        traces.map_frames(|frame| frame.file.starts_with("/app").then_some((frame.file, 0)));
    let lines = Lines::new(&hidden, &usage);
    assert_eq!((lines.total(), lines.unknown()), (13, 3));
}

/// A difference of two recordings: what a program holds at its end that another does not.
#[test]
fn two_recordings_side_by_side() {
    let (Some(tiny), Some(demo)) = (common::recording("tiny"), common::recording("demo")) else {
        panic!("they come with the project");
    };
    let readers = [tiny, demo].map(|filebase| Reader::open(filebase).unwrap());
    let merged = MergedTraces::new(readers.iter().map(|reader| reader.traces().unwrap()));
    let ends = readers
        .each_ref()
        .map(|reader| reader.live_at_end().unwrap());
    let difference = merged.usage(1, &ends[1]) - merged.usage(0, &ends[0]);
    assert_eq!(difference.total(), ends[1].total() - ends[0].total());
    let lines = Lines::new(merged.table(), &difference);
    let heaviest = lines.by_local().next().unwrap();
    assert_eq!(
        heaviest.frame.to_string(),
        "/srv/app/workloads/shop/customers.py:11"
    );
    assert_eq!(heaviest.local, 8_149_808);
    // Both were started by the same lines.
    let run = merged.table().search("runpy.py:193")[0];
    let entry = lines.get(run).unwrap().cumulative;
    let of = |reader: &Reader, usage: &Usage| {
        let traces = reader.traces().unwrap();
        let run = traces.search("runpy.py:193")[0];
        Lines::new(traces, usage).get(run).unwrap().cumulative
    };
    assert_eq!(entry, of(&readers[1], &ends[1]) - of(&readers[0], &ends[0]));
}

#[test]
fn frames_without_a_file_are_own_code_only_if_none_has_one() {
    let shim = Frame::new("", 0).in_function("__rust_try");
    let main = Frame::new("", 0).in_function("main");
    let own = Frame::new("src/main.rs", 7);
    let library = Frame::new("library/std/src/rt.rs", 1);
    let usage =
        |table: &TraceTable| -> Usage { table.iter().map(|(id, _)| (Some(id), 10)).collect() };
    let rows = |table: &TraceTable| -> Vec<String> {
        let blame = Blame::new(table, &usage(table));
        blame
            .rows()
            .map(|row| format!("{} {}", row.frame.unwrap(), row.is_own))
            .collect()
    };

    let table = TraceTable::from_iter([
        vec![main, library, shim, own, library],
        vec![main, library, shim],
    ]);
    assert_eq!(rows(&table), ["src/main.rs:7 true", "no file false"]);
    let folded = table.fold_foreign(&Packages::new());
    let first: Vec<_> = folded
        .trace(TraceId::new(1))
        .unwrap()
        .frames()
        .map(|it| it.to_string())
        .collect();
    assert_eq!(
        first,
        ["standard library …", "src/main.rs:7", "standard library …"]
    );

    let shims = TraceTable::from_iter([
        vec![own, shim, library],
        vec![own, shim],
        vec![library, shim],
    ]);
    let folded = shims.fold_foreign(&Packages::new());
    let folded: Vec<Vec<_>> = folded
        .iter()
        .map(|(_, trace)| trace.frames().map(|it| it.to_string()).collect())
        .collect();
    assert_eq!(
        folded,
        [
            vec!["src/main.rs:7", "standard library …"],
            vec!["src/main.rs:7", "no file …"],
            vec!["standard library …"],
        ]
    );
    assert_eq!(
        rows(&TraceTable::from_iter([vec![library, shim]])),
        ["no file false"]
    );

    // A program without debug information.
    let stripped = TraceTable::from_iter([vec![main, shim]]);
    assert_eq!(rows(&stripped), ["__rust_try true"]);
    assert!(!Packages::new().recognize(&stripped));
}

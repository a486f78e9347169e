//! Flame graphs and sandwiches against the plain way, and at great depth.

use std::collections::{BTreeMap, BTreeSet};

use heapprof::raw::{EventWriter, TraceWriterV1};
use heapprof::view::{
    FlameGraph, FlameLabel, FlameNode, FlowGraph, FlowNode, FlowOptions, FoldedStack, Lines,
    Sandwich,
};
use heapprof::{
    EventKind, Frame, Reader, SamplingRates, StartTime, TraceId, TraceTable, Usage, WallOffset,
};
use proptest::collection::vec;
use proptest::prelude::*;

const NAMES: [&str; 7] = ["a", "b", "c", "d", "e", "f", "g"];

type Stack = Vec<u32>;

fn frame(line: u32) -> Frame<'static> {
    Frame::new(NAMES[line as usize], line)
}

fn table(stacks: &[(Stack, i64)]) -> (TraceTable, Usage) {
    let traces = stacks
        .iter()
        .map(|(stack, _)| stack.iter().map(|&line| frame(line)))
        .collect();
    let weights = stacks.iter().map(|&(_, weight)| weight);
    let usage = (1..).map(TraceId::new).zip(weights).collect();
    (traces, usage)
}

fn stacks(weights: std::ops::Range<i64>) -> impl Strategy<Value = Vec<(Stack, i64)>> {
    vec((vec(0_u32..7, 0..8), weights), 0..14)
}

/// For each path below the root what ends there and what ends there or below: gains and losses.
/// Unknown is the path of line 99.
type Plain = BTreeMap<Stack, [(i64, i64); 2]>;

fn plainly(stacks: &[(Stack, i64)]) -> Plain {
    // Traces that have the same stack still do not cancel.
    let mut plain = Plain::new();
    for (stack, weight) in stacks.iter().filter(|(_, weight)| *weight != 0) {
        let stack = if stack.is_empty() { &vec![99] } else { stack };
        for end in 1..=stack.len() {
            let sums = plain.entry(stack[..end].to_vec()).or_default();
            let both = if end == stack.len() {
                &mut sums[..]
            } else {
                &mut sums[1..]
            };
            for sum in both {
                sum.0 += weight.max(&0);
                sum.1 -= weight.min(&0);
            }
        }
    }
    plain
}

fn said(graph: &FlameGraph) -> Plain {
    let mut plain = Plain::new();
    let mut path = Stack::new();
    for bar in graph.walk().skip(1) {
        path.truncate(bar.depth - 1);
        path.push(match bar.node.label() {
            FlameLabel::Line(frame) => frame.line,
            _ => 99,
        });
        let (own, total) = (bar.node.own(), bar.node.total());
        plain.insert(
            path.clone(),
            [(own.gain, own.loss), (total.gain, total.loss)],
        );
    }
    plain
}

fn reversed(stacks: &[(Stack, i64)]) -> Vec<(Stack, i64)> {
    let turn = |stack: &Stack| stack.iter().rev().copied().collect();
    stacks
        .iter()
        .map(|(stack, weight)| (turn(stack), *weight))
        .collect()
}

proptest! {
    #[test]
    fn graphs_equal_the_plain_ones(stacks in stacks(-60..100)) {
        let (traces, usage) = table(&stacks);
        let graph = FlameGraph::new(&traces, &usage);
        prop_assert_eq!(said(&graph), plainly(&stacks));
        prop_assert_eq!(graph.total().net(), usage.total());
        let inverted = FlameGraph::inverted(&traces, &usage);
        prop_assert_eq!(said(&inverted), plainly(&reversed(&stacks)));
        prop_assert_eq!(said(&graph.clone().alphabetical()), said(&graph));
    }

    #[test]
    fn bars_lie_inside_their_parents_and_beside_each_other(
        stacks in stacks(-60..100),
        alphabetical: bool,
    ) {
        let (traces, usage) = table(&stacks);
        let mut graph = FlameGraph::new(&traces, &usage);
        if alphabetical {
            graph = graph.alphabetical();
        }
        // The end of the last bar of each depth, and the place of the last bar.
        let mut ends: Vec<(i64, i64)> = Vec::new();
        for bar in graph.walk() {
            prop_assert_eq!(bar.width, bar.node.total().size());
            ends.truncate(bar.depth + 1);
            if let Some(&(begin, end)) = bar.depth.checked_sub(1).and_then(|up| ends.get(up)) {
                prop_assert!(begin <= bar.offset && bar.offset + bar.width <= end);
            }
            match ends.get_mut(bar.depth) {
                Some(sibling) => {
                    prop_assert!(sibling.1 <= bar.offset);
                    *sibling = (bar.offset, bar.offset + bar.width);
                }
                None => ends.push((bar.offset, bar.offset + bar.width)),
            }
        }
        for bar in graph.walk() {
            let own = bar.node.own();
            let mut sum = own;
            let mut last: Option<FlameNode<'_>> = None;
            for child in bar.node.children() {
                let total = child.total();
                sum.gain += total.gain;
                sum.loss += total.loss;
                if let (Some(last), FlameLabel::Line(line)) = (last, child.label()) {
                    if alphabetical {
                        prop_assert!(last.label().frame().unwrap() < line);
                    } else {
                        prop_assert!(last.total().size() >= total.size());
                    }
                }
                last = Some(child);
            }
            prop_assert_eq!(sum, bar.node.total());
        }
    }

    #[test]
    fn folded_stacks_are_the_distinct_ones_heaviest_first(stacks in stacks(-60..100)) {
        let (traces, usage) = table(&stacks);
        let mut plain: BTreeMap<Stack, i64> = BTreeMap::new();
        for (stack, weight) in &stacks {
            *plain.entry(stack.clone()).or_default() += weight;
        }
        plain.retain(|_, weight| *weight != 0);
        let graph = FlameGraph::new(&traces, &usage);
        let weights: Vec<i64> = graph.folded().map(FoldedStack::weight).collect();
        prop_assert!(weights.is_sorted_by(|a, b| a >= b));
        let folded: BTreeMap<Stack, i64> = graph
            .folded()
            .map(|stack| {
                let lines = stack.labels().filter_map(FlameLabel::frame);
                (lines.map(|line| line.line).collect(), stack.weight())
            })
            .collect();
        prop_assert_eq!(folded, plain);
    }

    #[test]
    fn what_is_cut_is_kept_as_other(
        stacks in stacks(-60..100),
        fraction in 0.0..0.5,
        most in 0_usize..40,
    ) {
        let (traces, usage) = table(&stacks);
        let whole = FlameGraph::new(&traces, &usage);
        let all = said(&whole);
        for cut in [whole.clone().min_fraction(fraction), whole.clone().max_nodes(most)] {
            prop_assert_eq!(cut.total(), whole.total());
            let mut path = Stack::new();
            for bar in cut.walk().skip(1) {
                path.truncate(bar.depth - 1);
                path.push(bar.node.label().frame().map_or(99, |line| line.line));
                let total = bar.node.total();
                match bar.node.label() {
                    FlameLabel::Other => {
                        // All that stands below the parent and is not beside.
                        let beside: BTreeSet<Stack> = said(&cut)
                            .into_keys()
                            .filter(|it| {
                                it.len() == path.len()
                                    && it[..it.len() - 1] == path[..path.len() - 1]
                                    && it.last() != Some(&99)
                            })
                            .collect();
                        let rest: i64 = all
                            .iter()
                            .filter(|(it, _)| {
                                it.len() == path.len()
                                    && it[..it.len() - 1] == path[..path.len() - 1]
                                    && it.last() != Some(&99)
                                    && !beside.contains(*it)
                            })
                            .map(|(_, sums)| sums[1].0 + sums[1].1)
                            .sum();
                        // The unknown of the root can be among what a cap cuts.
                        let unknown = all.get(&vec![99]).map_or(0, |it| it[1].0 + it[1].1);
                        prop_assert!(
                            total.size() == rest || path.len() == 1 && total.size() == rest + unknown
                        );
                    }
                    FlameLabel::Unknown => {}
                    _ => prop_assert_eq!((total.gain, total.loss), all[&path][1]),
                }
            }
        }
        prop_assert!(whole.max_nodes(most).len() <= most.max(2));
    }

    #[test]
    fn sandwiches_equal_the_plain_ones(stacks in stacks(-60..100), line in 0_u32..7) {
        let (traces, usage) = table(&stacks);
        let Some(id) = traces.find(frame(line)) else { return Ok(()) };
        let sandwich = Sandwich::new(&traces, &usage, id);
        let of_line = Lines::new(&traces, &usage);
        let of_line = of_line.get(id).unwrap();
        prop_assert_eq!(
            (sandwich.local(), sandwich.cumulative()),
            (of_line.local, of_line.cumulative)
        );
        // What its edges are in the flow graph.
        let graph = FlowGraph::new(&traces, &usage);
        if let Some(node) = graph.find(id) {
            let named = |ways: Vec<(FlowNode<'_>, i64)>| -> BTreeMap<u32, i64> {
                let line = |node: FlowNode<'_>| node.lines().next().unwrap().line;
                ways.into_iter().map(|(node, weight)| (line(node), weight)).collect()
            };
            let into = node.incoming().map(|it| (it.from(), it.weight(0))).collect();
            let out = node.outgoing().map(|it| (it.to(), it.weight(0))).collect();
            let callers = sandwich.callers().map(|it| (it.frame.line, it.weight)).collect();
            let callees = sandwich.callees().map(|it| (it.frame.line, it.weight)).collect();
            prop_assert_eq!(named(into), callers);
            prop_assert_eq!(named(out), callees);
        }
        // Divided where the line stands first.
        let halves = |half: fn(&Stack, usize) -> Stack| -> Vec<(Stack, i64)> {
            let divided = stacks.iter().filter_map(|(stack, weight)| {
                let first = stack.iter().position(|&it| it == line)?;
                Some((half(stack, first), *weight))
            });
            divided.collect()
        };
        let up = halves(|stack, first| stack[..=first].iter().rev().copied().collect());
        let down = halves(|stack, first| stack[first..].to_vec());
        prop_assert_eq!(said(sandwich.caller_tree()), plainly(&up));
        prop_assert_eq!(said(sandwich.callee_tree()), plainly(&down));
    }
}

#[test]
fn growth_and_shrinking_do_not_cancel_out_of_sight() {
    let (traces, usage) = table(&[
        (vec![0, 1], 50),
        (vec![0, 2], -50),
        (vec![3], -7),
        (vec![], -1),
    ]);
    let graph = FlameGraph::new(&traces, &usage);
    let drawn: Vec<_> = graph
        .walk()
        .map(|bar| {
            let total = bar.node.total();
            (
                bar.depth,
                bar.offset,
                bar.width,
                bar.node.label().to_string(),
                total.gain,
                total.loss,
            )
        })
        .collect();
    let row = |depth, offset, width, label: &str, gain, loss| {
        (depth, offset, width, label.to_owned(), gain, loss)
    };
    assert_eq!(
        drawn,
        [
            row(0, 0, 108, "all", 50, 58),
            row(1, 0, 100, "a", 50, 50),
            row(2, 0, 50, "b:1", 50, 0),
            row(2, 50, 50, "c:2", 0, 50),
            row(1, 100, 7, "d:3", 0, 7),
            row(1, 107, 1, "unknown", 0, 1),
        ]
    );
    // A stack twice, grown and shrunk: its node shows both, and no folded row is left.
    let (traces, usage) = table(&[(vec![1], 5), (vec![1], -5)]);
    let graph = FlameGraph::new(&traces, &usage);
    let node = graph.root().children().next().unwrap();
    assert_eq!(
        (node.own().gain, node.own().loss, node.own().net()),
        (5, 5, 0)
    );
    assert_eq!(graph.folded().count(), 0);
}

#[test]
fn a_stack_of_100_000_frames() {
    const DEPTH: u32 = 100_000;
    let rates = SamplingRates::unsampled();
    let mut traces = TraceWriterV1::new(Vec::new(), StartTime::new(1, 0), &rates).unwrap();
    let name = |line: u32| format!("deep{}.py", line % 7);
    // A stack in which no line recurs, and one of two lines.
    let distinct: Vec<_> = (0..DEPTH).map(|line| (name(line), line)).collect();
    let walk: Vec<_> = (0..DEPTH)
        .map(|line| ("walk.py".to_owned(), line % 2 + 1))
        .collect();
    for stack in [distinct, walk] {
        let stack = stack.iter().map(|(name, line)| (name.as_bytes(), *line));
        traces.write_outermost_first(stack).unwrap();
    }
    let mut log = EventWriter::new(Vec::new());
    for index in [1, 2] {
        log.write(
            WallOffset::ZERO,
            TraceId::new(index),
            10,
            EventKind::Allocation,
        )
        .unwrap();
    }
    let reader = Reader::from_bytes(traces.into_inner(), log.into_inner(), None).unwrap();
    let usage = reader.live_at_end().unwrap();
    let traces = reader.traces().unwrap();

    for graph in [
        FlameGraph::new(traces, &usage),
        FlameGraph::inverted(traces, &usage),
    ] {
        assert_eq!(graph.len(), 2 * DEPTH as usize + 1);
        assert_eq!(
            graph.walk().map(|bar| bar.depth).max(),
            Some(DEPTH as usize)
        );
        assert_eq!(
            graph.folded().map(|it| it.labels().len()).max(),
            Some(DEPTH as usize)
        );
        let alphabetical = graph.clone().alphabetical().min_fraction(0.1);
        assert_eq!(alphabetical.len(), graph.len());
        assert_eq!(graph.max_nodes(1000).len(), 1000);
    }
    let lines = Lines::new(traces, &usage);
    assert_eq!(lines.len(), DEPTH as usize + 2);
    let options = FlowOptions::default()
        .min_fraction(0.5)
        .collapse(true)
        .root(true);
    let graph = FlowGraph::with_options(traces, [&usage], &options);
    assert_eq!(
        graph.nodes().map(|node| node.lines().len()).max(),
        Some(DEPTH as usize)
    );
    let walk = traces.find(("walk.py", 2)).unwrap();
    let sandwich = Sandwich::new(traces, &usage, walk);
    assert_eq!(sandwich.cumulative(), 10);
    assert_eq!(
        sandwich.callers().map(|it| it.weight).collect::<Vec<_>>(),
        [10]
    );
    assert_eq!(sandwich.callee_tree().len(), DEPTH as usize);
    assert_eq!(
        traces
            .fold_recursion()
            .by_file()
            .trace(TraceId::new(2))
            .unwrap()
            .len(),
        1
    );
}

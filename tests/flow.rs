//! Flow graphs against the plain way: each stack walked by itself.

use std::collections::{BTreeMap, BTreeSet};

use heapprof::view::{EdgeBase, FlowEdge, FlowGraph, FlowNode, FlowOptions};
use heapprof::{Frame, TraceId, TraceTable, Usage};
use proptest::collection::vec;
use proptest::prelude::*;

const NAMES: [&str; 9] = ["a", "b", "c", "d", "e", "f", "g", "h", "i"];

type Stack = Vec<u32>;
/// Stacks, and for each column the weight of each of them.
type Case = (Vec<Stack>, Vec<Vec<i64>>);

fn table(stacks: &[Stack]) -> TraceTable {
    stacks
        .iter()
        .map(|stack| stack.iter().map(|&line| frame(line)))
        .collect()
}

fn frame(line: u32) -> Frame<'static> {
    Frame::new(NAMES[line as usize], line + 1)
}

/// The weights of the stacks, and 5 of unknown.
fn usages(columns: &[Vec<i64>]) -> Vec<Usage> {
    columns
        .iter()
        .map(|weights| {
            let traces = (1..).map(TraceId::new);
            traces
                .zip(weights.iter().copied())
                .chain([(None, 5)])
                .collect()
        })
        .collect()
}

fn graph(case: &Case, options: &FlowOptions) -> FlowGraph {
    FlowGraph::with_options(&table(&case.0), &usages(&case.1), options)
}

/// Stacks of up to nine lines; `recur` is whether a line may.
fn cases(recur: bool, weights: std::ops::Range<i64>) -> impl Strategy<Value = Case> {
    let recurring = vec(0_u32..9, 0..9);
    let distinct = Just((0_u32..9).collect::<Vec<_>>())
        .prop_shuffle()
        .prop_flat_map(|lines| (0..=lines.len()).prop_map(move |length| lines[..length].to_vec()));
    let stack = if recur {
        recurring.boxed()
    } else {
        distinct.boxed()
    };
    (vec(stack, 0..12), 1_usize..4).prop_flat_map(move |(stacks, columns)| {
        let weights = vec(vec(weights.clone(), stacks.len()), columns);
        (Just(stacks), weights)
    })
}

/// What a graph says, by line.
#[derive(Debug, Default, PartialEq, Eq)]
struct Said {
    /// For each line its local and cumulative weights by column.
    nodes: BTreeMap<u32, (Vec<i64>, Vec<i64>)>,
    edges: BTreeMap<(u32, u32), Vec<i64>>,
}

fn said(graph: &FlowGraph) -> Said {
    let line = |node: FlowNode<'_>| node.lines().next().unwrap().line - 1;
    let columns = 0..graph.column_count();
    let by_column = |weight: &dyn Fn(usize) -> i64| columns.clone().map(weight).collect::<Vec<_>>();
    Said {
        nodes: graph
            .nodes()
            .map(|node| {
                let weights = (
                    by_column(&|column| node.local(column)),
                    by_column(&|column| node.cumulative(column)),
                );
                (line(node), weights)
            })
            .collect(),
        edges: graph
            .edges()
            .map(|edge| {
                let weights = by_column(&|column| edge.weight(column));
                ((line(edge.from()), line(edge.to())), weights)
            })
            .collect(),
    }
}

/// The plain way, with the lines that `keep` keeps.
fn plainly((stacks, columns): &Case, keep: impl Fn(u32) -> bool) -> Said {
    let mut said = Said::default();
    let zero = vec![0; columns.len()];
    for (place, stack) in stacks.iter().enumerate() {
        let weights = columns.iter().map(|column| column[place]);
        let add = |sums: &mut Vec<i64>| {
            for (sum, weight) in sums.iter_mut().zip(weights.clone()) {
                *sum += weight;
            }
        };
        let kept: Vec<u32> = stack.iter().copied().filter(|&line| keep(line)).collect();
        let none = || (zero.clone(), zero.clone());
        for &line in kept.iter().collect::<BTreeSet<_>>() {
            add(&mut said.nodes.entry(line).or_insert_with(none).1);
        }
        if let Some(&last) = stack.last().filter(|&&line| keep(line)) {
            add(&mut said.nodes.entry(last).or_insert_with(none).0);
        }
        let pairs: BTreeSet<(u32, u32)> = kept.windows(2).map(|pair| (pair[0], pair[1])).collect();
        for pair in pairs.into_iter().filter(|(from, to)| from != to) {
            add(said.edges.entry(pair).or_insert_with(|| zero.clone()));
        }
    }
    said.edges.retain(|_, weights| *weights != zero);
    let ends: BTreeSet<u32> = said.edges.keys().flat_map(|&(a, b)| [a, b]).collect();
    said.nodes
        .retain(|line, (_, cumulative)| *cumulative != zero || ends.contains(line));
    said
}

#[test]
fn the_worked_example() {
    let stacks: Vec<Stack> = ["AD", "ACD", "ACE", "AC", "BC", "BCD"]
        .map(|stack| stack.bytes().map(|name| u32::from(name - b'A')).collect())
        .to_vec();
    let case = (stacks, vec![vec![16, 17, 19, 21, 3, 7]]);
    let expected = Said {
        nodes: [
            (0, 0, 73),
            (1, 0, 10),
            (2, 24, 67),
            (3, 40, 40),
            (4, 19, 19),
        ]
        .map(|(line, local, cumulative)| (line, (vec![local], vec![cumulative])))
        .into(),
        edges: [(0, 2, 57), (0, 3, 16), (1, 2, 10), (2, 3, 24), (2, 4, 19)]
            .map(|(from, to, bytes)| ((from, to), vec![bytes]))
            .into(),
    };
    assert_eq!(said(&graph(&case, &FlowOptions::default())), expected);
    assert_eq!(plainly(&case, |_| true), expected);

    // With a root above A and B.
    let graph = graph(&case, &FlowOptions::default().root(true));
    let root = graph.nodes().next().unwrap();
    assert!(root.is_root());
    assert_eq!((root.local(0), root.cumulative(0)), (5, 88));
    let ways: Vec<_> = root
        .outgoing()
        .map(|edge| (edge.to().lines().next(), edge.weight(0)))
        .collect();
    assert_eq!(ways, [(Some(frame(0)), 73), (Some(frame(1)), 10)]);
}

#[test]
fn what_passes_in_one_column_is_kept_with_its_weights_in_all() {
    // a calls b calls c; d is small in both columns, b passes in the second.
    let stacks = vec![vec![0, 1, 2], vec![0, 3, 2], vec![0, 2]];
    let case = (stacks, vec![vec![1, 2, 92], vec![50, 3, 42]]);
    let options = FlowOptions::default().min_fraction(0.1);
    let graph = graph(&case, &options);
    let said = said(&graph);
    assert_eq!(said.nodes.keys().copied().collect::<Vec<_>>(), [0, 1, 2]);
    assert_eq!(said.nodes[&1], (vec![0, 0], vec![1, 50]));
    // a to c is both a call of its own and one over d.
    assert_eq!(said.edges[&(0, 2)], [94, 45]);
    let residual: Vec<bool> = graph.edges().map(FlowEdge::is_residual).collect();
    assert_eq!(residual.iter().filter(|&&it| it).count(), 1);
}

#[test]
fn a_residual_edge_goes_where_another_way_leads_to_the_same_node() {
    // a → b → c, and a → d → c, where d is small.
    let case = (vec![vec![0, 1, 2], vec![0, 3, 2]], vec![vec![90, 5]]);
    let graph = graph(&case, &FlowOptions::default().min_fraction(0.1));
    assert_eq!(
        said(&graph).edges,
        [((0, 1), vec![90]), ((1, 2), vec![90])].into()
    );
}

#[test]
fn edges_are_pruned_by_total_or_by_source() {
    // a → b 900; b → c 90 and b → d 10; e → d 10.
    let case = (
        vec![vec![0, 1], vec![0, 1, 2], vec![0, 1, 3], vec![4, 3]],
        vec![vec![800, 90, 10, 10]],
    );
    let edges = |options: FlowOptions| -> Vec<(u32, u32)> {
        said(&graph(&case, &options)).edges.into_keys().collect()
    };
    let total = FlowOptions::default().min_edge_fraction(0.05, EdgeBase::Total);
    assert_eq!(edges(total), [(0, 1), (1, 2)]);
    let source = FlowOptions::default().min_edge_fraction(0.05, EdgeBase::Source);
    assert_eq!(edges(source), [(0, 1), (1, 2), (4, 3)]);
}

#[test]
fn a_cap_keeps_the_lines_that_tell_most() {
    // Everything goes through a, b, c; then d and e share it.
    let stacks = vec![vec![0, 1, 2, 3], vec![0, 1, 2, 4], vec![0, 1, 2, 4, 5]];
    let case = (stacks, vec![vec![50, 45, 1]]);
    let graph = graph(&case, &FlowOptions::default().max_nodes(3));
    // The entry, where the ways part, and where most ends; b only passes on.
    let kept: Vec<u32> = said(&graph).nodes.into_keys().collect();
    assert_eq!(kept, [0, 2, 3]);
}

/// The nodes as lists of lines with their weights, and the edges between them, without ids.
fn without_ids(graph: &FlowGraph) -> (BTreeSet<String>, BTreeSet<String>) {
    let name = |node: FlowNode<'_>| {
        let lines = node.lines();
        lines.map(|line| line.file).collect::<String>()
    };
    let columns = 0..graph.column_count();
    let nodes = graph.nodes().map(|node| {
        let weights = columns
            .clone()
            .map(|column| (node.local(column), node.cumulative(column)));
        format!("{} {:?}", name(node), weights.collect::<Vec<_>>())
    });
    let edges = graph.edges().map(|edge| {
        let weights = columns.clone().map(|column| edge.weight(column));
        let weights: Vec<_> = weights.collect();
        format!("{} {} {weights:?}", name(edge.from()), name(edge.to()))
    });
    (nodes.collect(), edges.collect())
}

proptest! {
    #[test]
    fn nodes_and_edges_equal_the_plain_ones(case in cases(true, -20..100)) {
        prop_assert_eq!(said(&graph(&case, &FlowOptions::default())), plainly(&case, |_| true));
    }

    #[test]
    fn what_flows_in_flows_out(case in cases(false, 0..100)) {
        let graph = graph(&case, &FlowOptions::default());
        for column in 0..graph.column_count() {
            for node in graph.nodes() {
                let out: i64 = node.outgoing().map(|edge| edge.weight(column)).sum();
                let into: i64 = node.incoming().map(|edge| edge.weight(column)).sum();
                prop_assert_eq!(node.cumulative(column), node.local(column) + out);
                prop_assert_eq!(node.cumulative(column), node.begins(column) + into);
            }
            let begins: i64 = graph.nodes().map(|node| node.begins(column)).sum();
            prop_assert_eq!(graph.total(column), graph.unknown(column) + begins);
        }
    }

    #[test]
    fn pruning_keeps_weights_and_connections(case in cases(true, 0..100), fraction in 0.0..0.6) {
        let whole = said(&graph(&case, &FlowOptions::default()));
        let options = FlowOptions::default().min_fraction(fraction);
        let pruned = graph(&case, &options);
        let said = said(&pruned);
        let totals: Vec<i64> = (0..pruned.column_count()).map(|it| pruned.total(it)).collect();
        #[expect(clippy::cast_precision_loss, reason = "small numbers")]
        let passes = |cumulative: &[i64]| {
            let mut columns = cumulative.iter().zip(&totals);
            columns.any(|(&weight, &total)| weight as f64 >= fraction * total as f64)
        };
        let kept: BTreeMap<_, _> = whole
            .nodes
            .into_iter()
            .filter(|(_, (_, cumulative))| passes(cumulative))
            .collect();
        prop_assert_eq!(&said.nodes, &kept);
        let plain = plainly(&case, |line| kept.contains_key(&line));
        for (pair, weights) in &said.edges {
            prop_assert_eq!(Some(weights), plain.edges.get(pair));
        }
        // Edges that are gone were residual, and another way is there.
        let mut reached: BTreeSet<(u32, u32)> = said.edges.keys().copied().collect();
        for through in 0..9 {
            for from in 0..9 {
                for to in 0..9 {
                    if reached.contains(&(from, through)) && reached.contains(&(through, to)) {
                        reached.insert((from, to));
                    }
                }
            }
        }
        for pair in plain.edges.keys() {
            prop_assert!(reached.contains(pair), "{pair:?}");
        }
        for edge in pruned.edges().filter(|edge| !edge.is_residual()) {
            let line = |node: FlowNode<'_>| node.lines().next().unwrap().line - 1;
            let direct = (line(edge.from()), line(edge.to()));
            let skips = case.0.iter().enumerate().any(|(place, stack)| {
                let kept: Vec<usize> =
                    (0..stack.len()).filter(|&at| kept.contains_key(&stack[at])).collect();
                case.1.iter().any(|column| column[place] != 0)
                    && kept.windows(2).any(|pair| {
                        (stack[pair[0]], stack[pair[1]]) == direct && pair[1] > pair[0] + 1
                    })
            });
            prop_assert!(!skips, "{direct:?}");
        }
    }

    #[test]
    fn collapsing_joins_all_it_can_whatever_the_order(
        (case, order) in cases(true, 0..100).prop_flat_map(|case| {
            let order: Vec<usize> = (0..case.0.len()).collect();
            (Just(case), Just(order).prop_shuffle())
        }),
        fraction in prop_oneof![Just(0.0), 0.0..0.4],
        root: bool,
    ) {
        let options = FlowOptions::default().min_fraction(fraction).root(root);
        let collapsed = graph(&case, &options.collapse(true));
        // Other orders give other ids, and the same graph.
        let shuffled = (
            order.iter().map(|&place| case.0[place].clone()).collect(),
            case.1.iter().map(|column| order.iter().map(|&place| column[place]).collect()).collect(),
        );
        prop_assert_eq!(
            without_ids(&collapsed),
            without_ids(&graph(&shuffled, &options.collapse(true)))
        );
        // No line is lost, and each is in one node.
        let plain = graph(&case, &options);
        let lines = |graph: &FlowGraph| -> Vec<u32> {
            let mut lines: Vec<u32> =
                graph.nodes().flat_map(|node| node.lines().map(|line| line.line)).collect();
            lines.sort_unstable();
            lines
        };
        prop_assert_eq!(lines(&collapsed), lines(&plain));
        // Each node is a chain of the plain graph, and its weights are those of its ends.
        let node_of = |line: Frame<'_>| {
            plain.nodes().find(|node| node.lines().any(|it| it == line)).unwrap()
        };
        for node in collapsed.nodes().filter(|node| !node.is_root()) {
            let chain: Vec<_> = node.lines().map(node_of).collect();
            let (first, last) = (chain[0], chain[chain.len() - 1]);
            for column in 0..collapsed.column_count() {
                prop_assert_eq!(node.local(column), last.local(column));
                prop_assert_eq!(node.cumulative(column), first.cumulative(column));
                prop_assert_eq!(node.cumulative(column), last.cumulative(column));
            }
            for pair in chain.windows(2) {
                prop_assert_eq!(pair[0].outgoing().len(), 1);
                prop_assert_eq!(pair[1].incoming().count(), 1);
                prop_assert_eq!(pair[0].outgoing().next().unwrap().to().id(), pair[1].id());
            }
        }
    }

    #[test]
    fn the_same_input_gives_the_same_output(case in cases(true, -50..100), cap in 0_usize..9) {
        let options = FlowOptions::default()
            .min_fraction(0.05)
            .min_edge_fraction(0.05, EdgeBase::Source)
            .max_nodes(cap)
            .collapse(true)
            .root(true);
        let graphs = [graph(&case, &options), graph(&case, &options)];
        let shown = graphs.each_ref().map(|graph| {
            let nodes: Vec<_> = graph.nodes().map(|node| format!("{node:?}")).collect();
            let edges: Vec<_> = graph.edges().map(|edge| format!("{edge:?}")).collect();
            (nodes, edges)
        });
        prop_assert_eq!(&shown[0], &shown[1]);
        let nodes = graphs[0].nodes().filter(|node| !node.is_root()).count();
        prop_assert!(nodes <= cap);
        for edge in graphs[0].edges() {
            prop_assert!(edge.from().id() != edge.to().id());
        }
    }
}

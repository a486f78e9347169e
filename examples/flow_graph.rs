//! How does memory flow through the lines of a program? Writes a graph for Graphviz to draw.
//!
//! `cargo run --release --example flow_graph -- runs/nightly --at 60,120 | dot -Tsvg -o flow.svg`

mod common;

use anyhow::Result;
use clap::Parser;
use common::{Files, Look, Moment, Names, bytes, heading, seconds};
use heapprof::view::{EdgeBase, FlowGraph, FlowOptions};
use petgraph::dot::{Config, Dot};
use petgraph::graph::{EdgeReference, Graph, NodeIndex};
use petgraph::visit::EdgeRef;

/// Writes a graph of the lines that call each other, with the memory they hold at some times.
#[derive(Parser)]
struct Cli {
    #[command(flatten)]
    files: Files,
    #[command(flatten)]
    look: Look,
    /// Seconds, or as in 3min, 14:32:05, peak, end; by default a quarter of the time, peak, end.
    #[arg(long, value_name = "TIME", value_delimiter = ',')]
    at: Vec<Moment>,
    /// How many lines to show at most.
    #[arg(long, value_name = "COUNT", default_value_t = 40)]
    nodes: usize,
}

fn main() -> std::process::ExitCode {
    common::end(draw(&Cli::parse()))
}

/// Of the values of all columns, the one that is furthest from 0.
fn largest(columns: usize, of: impl Fn(usize) -> f64) -> f64 {
    let smaller = |a: &f64, b: &f64| a.abs().total_cmp(&b.abs());
    (0..columns).map(of).max_by(smaller).unwrap_or(0.0)
}

fn draw(cli: &Cli) -> Result<()> {
    let reader = cli.files.open_with_events()?;
    let times = common::times(&reader, &cli.at)?;
    let columns = times.len();
    let shown = cli.look.traces(reader.traces()?)?;
    let traces = &cli.look.table(reader.traces()?);
    let mut usages = Vec::new();
    for &at in &times {
        usages.push(shown.filter(&reader.live_at(at)?));
    }
    let options = FlowOptions::default()
        .min_fraction(0.01)
        .min_edge_fraction(0.001, EdgeBase::Total)
        .max_nodes(cli.nodes)
        .collapse(true)
        .root(true);
    let flow = FlowGraph::with_options(traces, &usages, &options);
    let names = Names::new(traces);
    let mut graph: Graph<String, String> = Graph::new();
    let rows = |weights: &dyn Fn(usize) -> [i64; 2]| -> String {
        let row = |(column, &at)| {
            let [local, cumulative] = weights(column).map(bytes);
            let at = seconds(at);
            format!("{at:\u{a0}<12} {local:\u{a0}>9} of {cumulative:\u{a0}>9}\n")
        };
        times.iter().enumerate().map(row).collect()
    };
    for node in flow.nodes() {
        let all = if node.is_root() { "all\n" } else { "" };
        let lines: String = node.lines().map(|line| names.line(line) + "\n").collect();
        let rows = rows(&|column| [node.local(column), node.cumulative(column)]);
        graph.add_node(format!("{all}{lines}{rows}"));
    }
    let edges: Vec<_> = flow.edges().collect();
    for edge in &edges {
        let [from, to] = [edge.from(), edge.to()].map(|it| NodeIndex::new(it.id().index()));
        let weight = |column| format!("\u{a0}{}\n", bytes(edge.weight(column)));
        graph.add_edge(from, to, (0..columns).map(weight).collect());
    }
    let rows = rows(&|column| [flow.unknown(column), flow.total(column)]);
    let legend = "local of cumulative usage\ndotted: past lines left out\n\nunknown of all";
    graph.add_node(format!("{}\n{legend}\n{rows}", heading(&reader)));
    let node_look = |_, (id, _): (NodeIndex, _)| {
        let Some(node) = flow.nodes().nth(id.index()) else {
            return "shape=plain style=\"\"".to_owned();
        };
        let local = largest(columns, |column| node.local_fraction(column)).abs();
        let cumulative = largest(columns, |column| node.cumulative_fraction(column));
        let hue = if cumulative < 0.0 { 0.6 } else { 0.1 };
        let (size, colour) = (11.0 + 9.0 * local.sqrt(), 0.8 * cumulative.abs());
        format!("fontsize={size:.1} fillcolor=\"{hue} {colour:.3} 1\"")
    };
    let edge_look = |_, edge: EdgeReference<'_, String>| {
        let edge = edges[edge.id().index()];
        let width = 1.0 + 6.0 * largest(columns, |column| edge.fraction(column)).abs();
        let style = ["solid", "dotted"][usize::from(edge.is_residual())];
        format!("penwidth={width:.1} style={style}")
    };
    // In a label, Graphviz takes `&lt;` for `<`.
    let escaped = |_, label: &String| label.replace('&', "&amp;");
    let graph = graph.map(escaped, |_, label| label.clone());
    let dot = Dot::with_attr_getters(&graph, &[Config::GraphContentOnly], &edge_look, &node_look);
    let node = "node [shape=box style=filled fontname=monospace margin=0.15]";
    let edge = "edge [color=gray fontname=monospace fontsize=11]";
    let dot = format!("digraph {{\n{node}\n{edge}\n{dot}}}\n");
    cli.files.write_text(&dot)
}

//! Views: lines, graphs and series.

use serde::ser::{Serialize, Serializer};

use super::{List, shapes};
use crate::id::FrameId;
use crate::query::Track;
use crate::view::{
    Blame, BlamePath, FlameBar, FlameGraph, FlameLabel, FlameNode, FlowEdge, FlowGraph, FlowNode,
    FoldedStack, LineErrorBars, Lines, Movements, Sandwich, Series, TimeSeries,
};

shapes! {
    Lines as lines {
        "total": lines.total(),
        "unknown": lines.unknown(),
        "lines": List(|| lines.by_local()),
        "damaged": lines.is_damaged(),
    }
    Blame as blame {
        "total": blame.total(),
        "rows": List(|| blame.rows()),
        "recognised": blame.is_recognised(),
        "damaged": blame.is_damaged(),
    }
    BlamePath<'_> as path {
        "frames": List(|| path.frames()),
        "weight": path.weight(),
    }
    LineErrorBars as lines {
        "total": lines.total(),
        "unknown": lines.unknown(),
        "lines": List(|| lines.by_local()),
        "damaged": lines.is_damaged(),
    }

    FlowGraph as graph {
        "columns": List(|| {
            columns(graph).map(|column| ColumnOf {
                total: graph.total(column),
                unknown: graph.unknown(column),
            })
        }),
        "nodes": List(|| graph.nodes().map(|node| NodeOf { graph, node })),
        "edges": List(|| graph.edges().map(|edge| EdgeOf { graph, edge })),
        "damaged": graph.is_damaged(),
    }
    ColumnOf as column {
        "total": column.total,
        "unknown": column.unknown,
    }
    NodeOf<'_> as it {
        "id": it.node.id(),
        "root": it.node.is_root(),
        "lines": List(|| it.node.lines()),
        "line_ids": it.node.line_ids(),
        "local": List(|| columns(it.graph).map(|column| it.node.local(column))),
        "cumulative": List(|| columns(it.graph).map(|column| it.node.cumulative(column))),
        "begins": List(|| columns(it.graph).map(|column| it.node.begins(column))),
    }
    EdgeOf<'_> as it {
        "from": it.edge.from().id(),
        "to": it.edge.to().id(),
        "weights": List(|| columns(it.graph).map(|column| it.edge.weight(column))),
        "residual": it.edge.is_residual(),
    }

    BarInList<'_> as place {
        "label": place.bar.node.label(),
        "id": place.bar.node.frame_id(),
        "parent": place.parent,
        "depth": place.bar.depth,
        "offset": place.bar.offset,
        "width": place.bar.width,
        "own": place.bar.node.own(),
        "total": place.bar.node.total(),
    }
    FlameLabel<'_> as label {
        "kind": match label {
            FlameLabel::All => "all",
            FlameLabel::Line(_) => "line",
            FlameLabel::Unknown => "unknown",
            FlameLabel::Other => "other",
        },
        "frame": label.frame(),
    }
    FlameNode<'_> as node {
        "label": node.label(),
        "id": node.frame_id(),
        "own": node.own(),
        "total": node.total(),
    }
    FoldedStack<'_> as stack {
        "labels": List(|| stack.labels()),
        "weight": stack.weight(),
        "parts": stack.parts(),
    }

    Sandwich as sandwich {
        "line": sandwich.line(),
        "local": sandwich.local(),
        "cumulative": sandwich.cumulative(),
        "callers": List(|| sandwich.callers()),
        "callees": List(|| sandwich.callees()),
        "caller_tree": sandwich.caller_tree(),
        "callee_tree": sandwich.callee_tree(),
        "damaged": sandwich.is_damaged(),
    }

    TimeSeries as series {
        "times_us": series.times(),
        "total": series.total().values(),
        "tracks": List(|| series.iter().map(|(track, series)| Followed {
            track,
            values: series.values(),
        })),
        "damaged": series.is_damaged(),
    }
    Followed<'_> as followed {
        "track": followed.track,
        "values": followed.values,
    }
    Series<'_> as series {
        "times_us": series.times(),
        "values": series.values(),
        "damaged": series.is_damaged(),
    }
    Movements as movements {
        "trend": movements.trend(),
        "rises": movements.rises(),
        "falls": movements.falls(),
        "damaged": movements.is_damaged(),
    }
}

struct ColumnOf {
    total: i64,
    unknown: i64,
}

struct NodeOf<'g> {
    graph: &'g FlowGraph,
    node: FlowNode<'g>,
}

struct EdgeOf<'g> {
    graph: &'g FlowGraph,
    edge: FlowEdge<'g>,
}

fn columns(graph: &FlowGraph) -> std::ops::Range<usize> {
    0..graph.column_count()
}

struct BarInList<'g> {
    bar: FlameBar<'g>,
    /// Where in the list its parent is.
    parent: Option<usize>,
}

struct Followed<'s> {
    track: Track,
    values: &'s [i64],
}

/// Nodes in preorder, each with the place of its parent: a list, because stacks can be deeper than
/// what parsers take, or the writer's own stack.
impl Serialize for FlameGraph {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        // The places of the nodes above the next one.
        let mut above: Vec<usize> = Vec::new();
        let bars = self.walk().enumerate().map(|(place, bar)| {
            above.truncate(bar.depth);
            let parent = above.last().copied();
            above.push(place);
            BarInList { bar, parent }
        });
        serializer.collect_seq(bars)
    }
}

impl Serialize for Track {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let (kind, id) = match *self {
            Self::Trace(trace) => ("trace", Some(trace.get())),
            Self::Local(FrameId(line)) => ("local", Some(line)),
            Self::Cumulative(FrameId(line)) => ("cumulative", Some(line)),
            Self::Unknown => ("unknown", None),
        };
        KindAndId { kind, id }.serialize(serializer)
    }
}

struct KindAndId {
    kind: &'static str,
    id: Option<u32>,
}

shapes! {
    KindAndId as track {
        "kind": track.kind,
        "id": track.id,
    }
}

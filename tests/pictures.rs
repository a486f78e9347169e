//! The examples that draw: what can be read back from their pictures.

mod common;

use std::fs;
use std::process::{Command, Stdio};

use common::output::{stderr_lines, stdout};
use common::{Profile, example, recording};
use heapprof::view::{EdgeBase, FlameGraph, FlowGraph, FlowOptions};
use heapprof::{Elapsed, Reader};

const EXAMPLES: [&str; 3] = ["time_plot", "flame_graph", "flow_graph"];

fn drawn(name: &str, args: &[&str]) -> String {
    drawn_with(name, args, &[])
}

/// The same where the files are damaged, which is told.
fn drawn_with(name: &str, args: &[&str], told: &[String]) -> String {
    let output = example(name, args);
    assert_eq!(
        (output.status.code(), &*stderr_lines(&output)),
        (Some(0), told)
    );
    stdout(&output)
}

fn parsed(svg: &str) -> roxmltree::Document<'_> {
    let options = roxmltree::ParsingOptions {
        allow_dtd: true,
        ..Default::default()
    };
    roxmltree::Document::parse_with_options(svg, options).unwrap()
}

/// All that is written in a picture.
fn texts(svg: &str) -> Vec<String> {
    parsed(svg)
        .descendants()
        .filter(|node| node.has_tag_name("text"))
        .map(|node| node.text().unwrap_or_default().trim().to_owned())
        .collect()
}

/// What the line of a plot with this colour passes through, from left to right.
fn points(svg: &str, colour: &str) -> Vec<(f64, f64)> {
    let mut points: Vec<(f64, f64)> = parsed(svg)
        .descendants()
        .filter(|node| node.has_tag_name("polyline") && node.attribute("stroke") == Some(colour))
        .flat_map(|node| node.attribute("points").unwrap().split_whitespace())
        .map(|point| point.split_once(',').unwrap())
        .map(|(x, y)| (x.parse().unwrap(), y.parse().unwrap()))
        .collect();
    points.sort_by(|a, b| a.0.total_cmp(&b.0));
    points
}

/// A box of a flame graph.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Bar {
    name: String,
    offset: i64,
    width: i64,
    colour: String,
}

/// The boxes of a flame graph, those of 0 bytes and without the root.
fn bars(svg: &str) -> Vec<Bar> {
    let document = parsed(svg);
    let groups = document
        .descendants()
        .filter(|node| node.has_tag_name("g") && node.children().any(|it| it.has_tag_name("rect")));
    let mut bars: Vec<Bar> = groups
        .map(|group| {
            let child = |tag| group.children().find(|it| it.has_tag_name(tag)).unwrap();
            let (name, weight) = child("title").text().unwrap().rsplit_once(" (").unwrap();
            let number = |name| {
                let namespace = "http://github.com/jonhoo/inferno";
                let value = child("rect").attribute((namespace, name)).unwrap();
                value.parse().unwrap()
            };
            let bytes = weight.split_once(" bytes, ").unwrap().0.replace(',', "");
            assert_eq!(bytes.parse(), Ok(number("w")));
            Bar {
                name: name.to_owned(),
                offset: number("x"),
                width: number("w"),
                colour: child("rect").attribute("fill").unwrap().to_owned(),
            }
        })
        .collect();
    bars.sort();
    bars
}

/// Whatever stands between quotes in a statement of a DOT file as its label.
fn label(statement: &str) -> String {
    let mut label = String::new();
    let mut chars = statement.split_once("label = \"").unwrap().1.chars();
    loop {
        match chars.next().unwrap() {
            '"' => return label.replace("&amp;", "&"),
            '\\' => match chars.next().unwrap() {
                'l' => label.push('\n'),
                other @ ('"' | '\\') => label.push(other),
                other => panic!("\\{other} in {statement}"),
            },
            other => label.push(other),
        }
    }
}

/// The labels of the nodes of a DOT file, and its edges with what else is said of them.
fn graph(dot: &str) -> (Vec<String>, Vec<(String, String)>) {
    let is_edge = |line: &&str| line.split_once(" [ ").unwrap().0.contains(" -> ");
    let statements = dot.lines().filter(|line| line.contains(" [ label = "));
    let (edges, nodes): (Vec<&str>, Vec<&str>) = statements.partition(is_edge);
    let edge = |line: &str| {
        (
            line.split_once(" [ ").unwrap().0.trim().to_owned(),
            label(line),
        )
    };
    (
        nodes.into_iter().map(label).collect(),
        edges.into_iter().map(edge).collect(),
    )
}

/// What Graphviz draws, if it is here.
fn graphviz(dot: &str) -> Option<String> {
    let mut command = Command::new("dot");
    let command = command
        .arg("-Tsvg")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped());
    let Ok(mut child) = command.stderr(Stdio::piped()).spawn() else {
        eprintln!("skipped: dot of Graphviz is not here");
        return None;
    };
    std::io::Write::write_all(&mut child.stdin.take().unwrap(), dot.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let said: Vec<_> = stderr_lines(&output)
        .into_iter()
        .filter(|it| !it.contains("Pango"))
        .collect();
    assert_eq!((output.status.code(), said), (Some(0), vec![]));
    Some(stdout(&output))
}

#[test]
fn examples_that_draw_stay_short() {
    for name in EXAMPLES {
        let path = format!("{}/examples/{name}.rs", env!("CARGO_MANIFEST_DIR"));
        let count = fs::read_to_string(path).unwrap().lines().count();
        assert!(count < 120, "{name} has {count} lines");
    }
}

fn is_near(value: f64, expected: f64) {
    assert!((value - expected).abs() < 0.01, "{value}");
}

#[test]
fn the_time_plot_has_three_rows_on_one_axis() {
    let svg = drawn("time_plot", &[]);
    let texts = texts(&svg);
    for (text, times) in [
        ("demo", 1),
        ("Live memory", 1),
        ("Lines with callees", 1),
        ("As parts of all", 1),
        ("18 MB", 1),
        ("8 MB", 2),
        ("100 %", 1),
        ("20 s", 3),
        ("customers.py:11", 1),
        ("report.py:13", 1),
        ("report.py:17", 1),
        ("report.py:21", 1),
    ] {
        let found = texts.iter().filter(|it| *it == text).count();
        assert_eq!(found, times, "{text} {texts:?}");
    }
    // The peak of 19 241 503 bytes is the top of the first row, and 8 334 103 bytes are the end.
    let total = points(&svg, "#333333");
    let (left, bottom) = total[0];
    let &(last, end) = total.last().unwrap();
    // The leak in the two rows below, up to the end.
    let &(right, _) = points(&svg, "#D55E00").last().unwrap();
    is_near((last - left) / (right - left), 1.0);
    let &(peak, top) = total.iter().min_by(|a, b| a.1.total_cmp(&b.1)).unwrap();
    is_near((peak - left) / (right - left), 12.7 / 21.8);
    is_near((bottom - end) / (bottom - top), 8_334_103.0 / 19_241_503.0);
    let document = parsed(&svg);
    let mut nodes = document.descendants();
    let tick = nodes.find(|node| node.text().is_some_and(|it| it.trim() == "20 s"));
    let tick: f64 = tick.unwrap().attribute("x").unwrap().parse().unwrap();
    is_near((tick - left) / (right - left), 20.0 / 21.8);
}

#[test]
fn the_time_plot_takes_lines() {
    let svg = drawn(
        "time_plot",
        &["examples/data/demo", "main.py:18", "shop/orders.py:14"],
    );
    let texts = texts(&svg);
    assert!(texts.contains(&"main.py:18".to_owned()), "{texts:?}");
    assert!(!texts.contains(&"customers.py:11".to_owned()));
    assert!(points(&svg, "#009E73").is_empty());
    let output = example("time_plot", &["examples/data/demo", "main.py:99"]);
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(
        stderr_lines(&output),
        ["main.py:99: no such line in the profile"]
    );
}

/// The boxes that a flame graph must have.
fn expected(graph: &FlameGraph) -> Vec<(i64, i64)> {
    let mut boxes: Vec<_> = graph.walk().map(|bar| (bar.offset, bar.width)).collect();
    boxes.sort_unstable();
    boxes
}

fn boxes(bars: &[Bar]) -> Vec<(i64, i64)> {
    let mut boxes: Vec<_> = bars.iter().map(|bar| (bar.offset, bar.width)).collect();
    boxes.sort_unstable();
    boxes
}

#[test]
fn the_flame_graph_has_the_boxes_of_the_library() {
    let reader = Reader::open(recording("demo").unwrap()).unwrap();
    let traces = reader.traces().unwrap();
    let at = |seconds| reader.live_at(Elapsed::from_secs_f64(seconds)).unwrap();
    let end = reader.live_at_end().unwrap();
    for (args, graph, title) in [
        (
            &[][..],
            FlameGraph::new(traces, reader.peak().unwrap().usage()),
            "demo: 19.24 MB live at the peak, at 12.678881 s",
        ),
        (
            &["--end"],
            FlameGraph::new(traces, &end),
            "demo: 8.33 MB live at 21.789059 s",
        ),
        (
            &["--at", "5"],
            FlameGraph::new(traces, &at(5.0)),
            "demo: 2.25 MB live at 5 s",
        ),
        (
            &["--end", "--inverted"],
            FlameGraph::inverted(traces, &end),
            "demo: 8.33 MB live at 21.789059 s",
        ),
        (
            &["--growth", "12.7..21"],
            FlameGraph::difference(traces, &at(12.7), &at(21.0)),
            "demo: -6.40 MB grown from 12.7 s to 21 s",
        ),
    ] {
        let svg = drawn("flame_graph", args);
        assert_eq!(
            boxes(&bars(&svg)),
            expected(&graph.min_fraction(0.001)),
            "{args:?}"
        );
        assert!(texts(&svg).contains(&title.to_owned()), "{:?}", texts(&svg));
    }
}

#[test]
fn a_growth_shows_what_shrank_beside_what_grew() {
    let bars = bars(&drawn("flame_graph", &["--growth", "12.7..21"]));
    for (name, width, colour) in [
        ("report.py:17 -4.72 MB", 4_718_636, "rgb(120,180,230)"),
        ("customers.py:11 +2.99 MB", 2_989_888, "rgb(240,150,100)"),
        (
            "main.py:29 +3.04 MB -9.44 MB",
            12_485_876,
            "rgb(200,200,200)",
        ),
    ] {
        let bar = bars
            .iter()
            .find(|bar| bar.name == name)
            .unwrap_or_else(|| panic!("{bars:?}"));
        assert_eq!((bar.width, &*bar.colour), (width, colour), "{name}");
    }
}

#[test]
fn a_box_is_one_whatever_the_names_beside_it() {
    let folder = tempfile::tempdir().unwrap();
    let mut profile = Profile::default();
    profile.trace(&[("m.py", 1)]);
    profile.trace(&[("m.py", 1), ("x.py", 1)]);
    profile.trace(&[("m.py", 10)]);
    let filebase = profile
        .with_events(&[(10, 1, 100), (20, 2, 50), (30, 3, 30), (40, 0, 20)])
        .save(folder.path());
    let bars = bars(&drawn("flame_graph", &[filebase.to_str().unwrap()]));
    let shown: Vec<_> = bars
        .iter()
        .map(|bar| (&*bar.name, bar.offset, bar.width))
        .collect();
    assert_eq!(
        shown,
        [
            ("all", 0, 200),
            ("m.py:1", 0, 150),
            ("m.py:10", 150, 30),
            ("unknown", 180, 20),
            ("x.py:1", 0, 50),
        ]
    );
}

#[test]
fn the_flow_graph_has_the_nodes_and_edges_of_the_library() {
    let reader = Reader::open(recording("demo").unwrap()).unwrap();
    let usages = [5.0, 12.7].map(|at| reader.live_at(Elapsed::from_secs_f64(at)).unwrap());
    let options = FlowOptions::default()
        .min_fraction(0.01)
        .min_edge_fraction(0.001, EdgeBase::Total)
        .max_nodes(40)
        .collapse(true)
        .root(true);
    let flow = FlowGraph::with_options(reader.traces().unwrap(), &usages, &options);

    let dot = drawn("flow_graph", &["--at", "12.7,5"]);
    let (nodes, edges) = graph(&dot);
    let ends = |edge: &(String, String)| edge.0.clone();
    let expected = flow
        .edges()
        .map(|edge| format!("{} -> {}", edge.from().id(), edge.to().id()));
    assert_eq!(
        edges.iter().map(ends).collect::<Vec<_>>(),
        expected.collect::<Vec<_>>()
    );
    assert_eq!(nodes.len(), flow.nodes().len() + 1);
    let plain = |label: &str| label.replace('\u{a0}', " ");
    assert_eq!(
        plain(&nodes[0]),
        "runpy.py:193\nrunpy.py:85\n__main__.py:49\n\
         5 s              464 B of   2.25 MB\n\
         12.7 s           464 B of  14.52 MB\n",
    );
    let leak = nodes
        .iter()
        .find(|it| it.starts_with("customers.py:11\n"))
        .unwrap();
    assert_eq!(
        plain(leak),
        "customers.py:11\n\
         5 s            2.10 MB of   2.10 MB\n\
         12.7 s         4.89 MB of   4.89 MB\n",
    );
    let (_, first) = &edges[0];
    assert_eq!(plain(first), " 2.22 MB\n 14.49 MB\n");
    assert!(nodes.last().unwrap().starts_with("demo\n"));
    // Without times: at a quarter, at the peak, at the end.
    let (nodes, _) = graph(&drawn("flow_graph", &[]));
    let times: Vec<_> = nodes[0]
        .lines()
        .skip(2)
        .map(|row| row.split_once(" s").unwrap().0)
        .collect();
    assert_eq!(times, ["5.447264", "12.678881", "21.789059"]);
    let (nodes, _) = graph(&drawn("flow_graph", &["--nodes", "3"]));
    assert!(nodes.len() <= 5, "{nodes:?}");
}

#[test]
fn lines_left_out_are_dotted_and_what_has_no_stack_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let mut profile = Profile::default();
    // Of the three ways, the last line of each is worth a node, but what is between is not.
    profile.trace(&[("a.py", 1), ("b.py", 1)]);
    profile.trace(&[("a.py", 1), ("c.py", 1), ("d.py", 1)]);
    profile.trace(&[("e.py", 1)]);
    let filebase = profile
        .with_events(&[(10, 1, 1000), (20, 2, 300), (30, 3, 200), (40, 0, 1500)])
        .save(folder.path());
    let dot = drawn(
        "flow_graph",
        &["--at", "end", "--nodes", "4", filebase.to_str().unwrap()],
    );
    let (nodes, _) = graph(&dot);
    let root = nodes[0].replace('\u{a0}', " ");
    assert_eq!(root, "all\n0.00004 s      1.50 kB of      3 kB\n");
    assert_eq!(dot.matches("style=dotted").count(), 1, "{dot}");
}

/// Names of files as they are, and as pictures show them.
const ODD: [(&str, &str); 14] = [
    ("/srv/app/a b;c d.py 77", "a b;c d.py 77"),
    ("/srv/app/# no comment.py", "# no comment.py"),
    ("/srv/app/tab\there.py", "tab␉here.py"),
    ("/srv/app/new\nline.py", "new␊line.py"),
    ("/srv/app/\u{1b}[31m\u{1}.py", "␛[31m␁.py"),
    ("/srv/app/quote\"'<&>]]>--.py", "quote\"'<&>]]>--.py"),
    ("/srv/app/&lt;&amp;#65;.py", "&lt;&amp;#65;.py"),
    ("C:\\one\\N.py", "one\\N.py"),
    ("C:\\two\\N.py", "two\\N.py"),
    ("/srv/one/main.py", "one/main.py"),
    ("/srv/two/main.py", "two/main.py"),
    (
        "/srv/日本語 пакет/модуль 🎉 é\u{301}.py",
        "модуль 🎉 é\u{301}.py",
    ),
    ("\u{fffe}%s{}.py", "\u{fffd}%s{}.py"),
    ("", ""),
];

/// All names in a flame graph and in a flow graph.
fn names(filebase: &str) -> [Vec<String>; 2] {
    let bars = bars(&drawn("flame_graph", &["--end", filebase]));
    let dot = drawn("flow_graph", &["--nodes", "1000", filebase]);
    let (nodes, _) = graph(&dot);
    let names: Vec<String> = nodes
        .iter()
        .flat_map(|it| it.lines())
        .map(str::to_owned)
        .collect();
    if let Some(svg) = graphviz(&dot) {
        let texts = texts(&svg);
        for name in names.iter().filter(|name| !name.is_empty()) {
            let trimmed = name.trim().to_owned();
            assert!(texts.contains(&trimmed), "{name:?} {texts:?}");
        }
    }
    [bars.into_iter().map(|bar| bar.name).collect(), names]
}

#[test]
fn odd_names_come_out_right() {
    let folder = tempfile::tempdir().unwrap();
    let mut profile = Profile::default();
    for (file, _) in ODD {
        profile.trace(&[(file, 1)]);
    }
    let events: Vec<_> = (1..=14)
        .map(|trace| (i64::from(trace), trace, 1000))
        .collect();
    let filebase = profile.with_events(&events).save(folder.path());
    let filebase = filebase.to_str().unwrap();
    let pictures = names(filebase);
    for (_, shown) in ODD {
        let name = format!("{shown}:1");
        for names in &pictures {
            let count = names.iter().filter(|it| **it == name).count();
            assert_eq!(count, 1, "{name:?} {names:?}");
        }
    }
    for chunk in ODD.chunks(5) {
        let lines: Vec<_> = chunk.iter().map(|(file, _)| format!("{file}:1")).collect();
        let args: Vec<_> = [filebase]
            .into_iter()
            .chain(lines.iter().map(|it| &**it))
            .collect();
        let texts = texts(&drawn("time_plot", &args));
        for (_, shown) in chunk {
            assert!(texts.contains(&format!("{shown}:1")), "{shown:?} {texts:?}");
        }
    }
}

#[test]
fn odd_names_of_a_recorder_come_out_right() {
    let Some(filebase) = recording("unicode") else {
        return;
    };
    for names in names(filebase.to_str().unwrap()) {
        for name in [
            "модуль 🎉 x;y 12.py:5",
            "a b;c d.py 77:5",
            "tab␉here.py:5",
            "new␊line.py:5",
            "quote\"'<&>.py:5",
            "f.py:5",
            "é\u{301}\u{200b}.py:5",
            ":odd:12:5",
            ":5",
        ] {
            assert!(names.contains(&name.to_owned()), "{name} {names:?}");
        }
    }
    let filebase = filebase.to_str().unwrap();
    let texts = texts(&drawn(
        "time_plot",
        &[
            filebase,
            "a b;c d.py 77:5",
            "tab\there.py:5",
            "quote\"'<&>.py:5",
        ],
    ));
    for name in ["a b;c d.py 77:5", "tab␉here.py:5", "quote\"'<&>.py:5"] {
        assert!(texts.contains(&name.to_owned()), "{name} {texts:?}");
    }
}

#[test]
fn every_recording_can_be_drawn() {
    for name in [
        "tiny",
        "loss",
        "onelive",
        "huge",
        "huge_corrupt",
        "forked",
        "surrogate",
        "realloc",
        "demo",
        "killed",
        "killed_hpm",
        "negtime",
        "recursion",
        "threads",
    ] {
        let Some(filebase) = recording(name) else {
            continue;
        };
        let damage = Reader::open(&filebase).unwrap().damage().unwrap();
        let told = damage.iter().map(|it| {
            let path = format!("{}.{}", filebase.display(), it.file().extension());
            format!("{path}: record at byte {}: {}", it.offset(), it.kind())
        });
        // Of noise.
        let gap = (name == "huge_corrupt").then(|| {
            let gap = "no event for 13 hours after 0.052304 s: the log makes no sense there";
            format!(
                "{gap}; it fills the recording, so trends and parts say little; see --close-gaps"
            )
        });
        let told: Vec<_> = gap.into_iter().chain(told).collect();
        let drawn = |example, more: &[&str]| {
            drawn_with(
                example,
                &[&[filebase.to_str().unwrap(), "--close-gaps", "never"], more].concat(),
                &told,
            )
        };
        assert!(texts(&drawn("time_plot", &[])).contains(&name.to_owned()));
        for more in [&["--end"][..], &["--inverted"], &["--growth", "0.."]] {
            assert!(
                bars(&drawn("flame_graph", more)).len() > 1,
                "{name} {more:?}"
            );
        }
        let dot = drawn("flow_graph", &[]);
        assert!(graph(&dot).0.len() > 1, "{name}");
        if let Some(svg) = graphviz(&dot) {
            assert!(texts(&svg).contains(&name.to_owned()), "{name}");
        }
    }
}

#[test]
fn a_balance_below_0_is_shown_as_one() {
    let filebase = recording("forked").unwrap();
    let filebase = filebase.to_str().unwrap();
    let told = [format!(
        "{filebase}.hpd: record at byte 6019: more is freed than was allocated by trace 2"
    )];
    let bars = bars(&drawn_with("flame_graph", &["--end", filebase], &told));
    let bar = bars
        .iter()
        .find(|bar| bar.name == "forked.py:3 -99.46 kB")
        .unwrap();
    assert_eq!(bar.colour, "rgb(120,180,230)");
    let dot = drawn_with("flow_graph", &[filebase], &told);
    assert!(dot.contains("-99.01 kB"), "{dot}");
}

#[test]
fn where_nothing_can_be_drawn_there_is_one_line_and_status_1() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let empty = Profile::default().save(folder.path());
    fs::write(path("text.hpm"), "not a profile").unwrap();
    for (given, expected) in [
        (path("none"), "none.hpm: there is no such .hpm file"),
        (path("text"), "text.hpm: record at byte 0: unknown version"),
        (path(""), ": a folder; name a profile in it"),
        (
            empty.to_str().unwrap().to_owned(),
            "run: the log has no events",
        ),
    ] {
        for name in EXAMPLES {
            let output = example(name, &["-o", &path("picture"), &given]);
            assert_eq!(output.status.code(), Some(1), "{name} {given}");
            let lines = stderr_lines(&output);
            assert_eq!(lines.len(), 1, "{lines:?}");
            assert!(lines[0].contains(expected), "{lines:?}");
            assert!(output.stdout.is_empty() && !fs::exists(path("picture")).unwrap());
        }
    }
    for (args, expected) in [
        (&["--at", "0"], "nothing is live at 0 s"),
        (&["--growth", "3..3"], "nothing is grown from 3 s to 3 s"),
    ] {
        let output = example("flame_graph", args);
        assert_eq!(
            (output.status.code(), stderr_lines(&output)),
            (Some(1), vec![expected.to_owned()])
        );
    }
}

#[test]
fn a_picture_goes_to_a_file_or_to_standard_output() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("picture");
    let path = path.to_str().unwrap();
    for name in EXAMPLES {
        let printed = drawn(name, &[]);
        assert_eq!(drawn(name, &["-o", path]), "");
        assert_eq!(fs::read_to_string(path).unwrap(), printed);
        let output = example(name, &["-o", &format!("{path}/below")]);
        assert_eq!(
            (output.status.code(), stderr_lines(&output).len()),
            (Some(1), 1)
        );
    }
}

#[test]
fn arguments_that_make_no_sense_end_with_2() {
    for senseless in [
        &["flame_graph", "--at", "soon"][..],
        &["flame_graph", "--at", "nan"],
        &["flame_graph", "--at", "1", "--end"],
        &["flame_graph", "--end", "--growth", "1..2"],
        &["flame_graph", "--growth", "1"],
        &["flow_graph", "--at", "1;2"],
        &["flow_graph", "--nodes", "few"],
    ] {
        let output = example(senseless[0], &senseless[1..]);
        assert_eq!(
            (output.status.code(), &*output.stdout),
            (Some(2), &[][..]),
            "{senseless:?}"
        );
    }
}

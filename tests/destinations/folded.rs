//! Folded text, for flame graph tools.

use heapprof::view::{FlameGraph, FlameLabel};
use heapprof::{Elapsed, Reader};

use crate::common::output::{stderr_lines, stdout};
use crate::common::{Profile, example, shared};
use crate::{Stacks, after, odd, open, peak, run, stacks};

/// Folded text, read as tools do: the last space, then semicolons.
fn folded(text: &[u8]) -> Vec<(Vec<String>, i64)> {
    let text = std::str::from_utf8(text).unwrap();
    assert!(text.is_empty() || text.ends_with('\n'));
    // Some take more than a line feed for the end of a line.
    let ends = [
        '\n', '\r', '\u{b}', '\u{c}', '\u{85}', '\u{2028}', '\u{2029}',
    ];
    let lines = text.trim_end_matches('\n').split(ends);
    lines
        .filter(|line| !line.is_empty())
        .map(|line| {
            assert_eq!(line, line.trim());
            let (stack, bytes) = line.rsplit_once(' ').unwrap();
            (
                stack.split(';').map(plain).collect(),
                bytes.parse().unwrap(),
            )
        })
        .collect()
}

/// A name as it was before `%` and two digits stood for what it may not hold.
fn plain(name: &str) -> String {
    let mut parts = name.split('%');
    let mut bytes = parts.next().unwrap().as_bytes().to_vec();
    for part in parts {
        bytes.push(u8::from_str_radix(&part[..2], 16).unwrap());
        bytes.extend(&part.as_bytes()[2..]);
    }
    String::from_utf8(bytes).unwrap()
}

#[test]
fn folded_text_gives_back_every_stack() {
    for (name, at_peak, at_end) in [
        ("demo", 19_241_503, 8_334_103),
        ("unicode", 425_923, 383_267),
    ] {
        let (given, reader) = open(name);
        let traces = reader.traces().unwrap();
        let time = |micros| reader.live_at(Elapsed::from_micros(micros)).unwrap();
        let grown = &time(600_000) - &time(1000);
        for (question, usage, total) in [
            ("peak", after(&reader, peak(&reader).0).0, Some(at_peak)),
            ("end", reader.live_at_end().unwrap(), Some(at_end)),
            ("0.3", time(300_000), None),
            ("0.001..0.6", grown, None),
        ] {
            let rows = folded(&run_folded(&given, question));
            assert!(rows.is_sorted_by(|a, b| a.1 >= b.1));
            let total = total.unwrap_or_else(|| usage.total());
            let mut expected = stacks(traces, &usage);
            let lost: i64 = expected.values().filter(|&&bytes| bytes < 0).sum();
            assert_eq!(rows.iter().map(|row| row.1).sum::<i64>() + lost, total);
            expected.retain(|_, bytes| *bytes > 0);
            assert_eq!(rows.len(), expected.len(), "{name} {question}");
            assert_eq!(Stacks::from_iter(rows), expected, "{name} {question}");
        }
        // Without a question it is the peak.
        assert_eq!(run("to_folded", &[&given]), run_folded(&given, "peak"));
    }
}

/// A growth can have stacks that shrank, and says so.
fn run_folded(filebase: &str, question: &str) -> Vec<u8> {
    let args: &[&str] = match question {
        "peak" => &[],
        "end" => &["--end"],
        growth if growth.contains("..") => &["--growth", growth],
        time => &["--at", time],
    };
    let output = example("to_folded", &[&[filebase], args].concat());
    assert_eq!(output.status.code(), Some(0));
    assert!(stderr_lines(&output).len() <= usize::from(question.contains("..")));
    output.stdout
}

#[test]
fn folded_text_of_two_times_has_both() {
    let (given, reader) = open("demo");
    let text = run(
        "to_folded",
        &[&given, "--growth", "12.7..15", "--difference"],
    );
    let mut sums = [0, 0];
    let mut both = 0;
    for (stack, after) in folded(&text) {
        // The number before stands where a tool that knows of one number takes it for a name.
        let (_, before) = stack.last().unwrap().rsplit_once(' ').unwrap();
        let before: i64 = before.parse().unwrap();
        sums[0] += before;
        sums[1] += after;
        both += usize::from(before > 0 && after > 0);
    }
    let live = |micros| reader.live_at(Elapsed::from_micros(micros)).unwrap();
    let (from, to) = (live(12_700_000), live(15_000_000));
    assert_eq!(sums, [from.total(), to.total()]);
    assert_eq!(sums, [14_521_331, 5_492_695]);
    let traces = reader.traces().unwrap();
    let [from, to] = [stacks(traces, &from), stacks(traces, &to)];
    assert_eq!(
        both,
        from.keys().filter(|stack| to.contains_key(*stack)).count()
    );

    let output = example("to_folded", &[&given, "--end", "--difference"]);
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(
        stderr_lines(&output),
        ["a difference is one between two times: --growth A..B"]
    );
}

#[test]
fn folded_text_gives_back_any_name() {
    let folder = tempfile::tempdir().unwrap();
    let (given, reader) = odd(folder.path());
    let output = example("to_folded", &[&given, "--end"]);
    assert_eq!(stderr_lines(&output).len(), 1); // the trace that is not there
    let rows = folded(&output.stdout);
    assert_eq!(rows.len(), 37);
    let expected = stacks(reader.traces().unwrap(), &reader.live_at_end().unwrap());
    assert_eq!(expected[&vec!["unknown".to_owned()]], 7);
    assert_eq!(Stacks::from_iter(rows), expected);
    let text = stdout(&output);
    for line in [
        "main.py:1;a%3Bb:1 100\n",
        "main.py:1;ends in a number%2012 400\n",
        "ends in a number 12;main.py:2 404\n",
        "main.py:1;%20white space around%20%E3%80%80 1600\n",
        "main.py:1;(no name) 12800\n",
        "main.py:1;%23 a comment 102400\n",
        "main.py:1;worker_%5Bk] 409600\n",
        "main.py:1;%20%20%20 3276800\n",
    ] {
        let line = match line.split_once(';') {
            // At the end of any frame, not only of the last.
            Some(("ends in a number 12", rest)) => format!("ends in a number%2012;{rest}"),
            _ => line.to_owned(),
        };
        assert!(text.contains(&line), "{line}{text}");
    }
}

#[test]
fn inferno_reads_all_bytes_of_any_name() {
    let folder = tempfile::tempdir().unwrap();
    let mut filebases = vec![odd(folder.path()).0];
    let case = shared("cases/folded_comment.hpm");
    filebases.extend(case.map(|case| case.to_str().unwrap().to_owned()));
    for given in filebases {
        let reader = Reader::open(&given).unwrap();
        let text = stdout(&example("to_folded", &[&given, "--end"]));
        let mut options = inferno::flamegraph::Options::default();
        options.count_name = "bytes".into();
        options.min_width = 0.0;
        let mut svg = Vec::new();
        inferno::flamegraph::from_lines(&mut options, text.lines(), &mut svg).unwrap();
        let svg = String::from_utf8(svg).unwrap();
        let parsing = roxmltree::ParsingOptions {
            allow_dtd: true,
            ..Default::default()
        };
        let document = roxmltree::Document::parse_with_options(&svg, parsing).unwrap();
        let titles = document
            .descendants()
            .filter(|node| node.has_tag_name("title"));
        let mut drawn: Vec<(String, i64)> = titles
            .filter_map(|title| title.text()?.rsplit_once(" bytes, ")?.0.rsplit_once(" ("))
            .map(|(name, bytes)| (plain(name), bytes.replace(',', "").parse().unwrap()))
            .collect();
        drawn.sort();
        let graph = FlameGraph::new(reader.traces().unwrap(), &reader.live_at_end().unwrap());
        let mut expected: Vec<_> = graph
            .walk()
            .map(|bar| {
                let name = match bar.node.label() {
                    FlameLabel::Line(frame) if frame.to_string().is_empty() => {
                        "(no name)".to_owned()
                    }
                    label => label.to_string(),
                };
                (name, bar.node.total().net())
            })
            .collect();
        expected.sort();
        assert_eq!(drawn, expected, "{given}");
    }
}

#[test]
fn folded_text_tells_what_it_cannot_hold() {
    let folder = tempfile::tempdir().unwrap();
    // More is freed than was allocated.
    let profile = Profile::default().traces(3);
    let events = [(1, 1, 50), (2, 2, 20), (3, 2, -20), (4, 2, -20), (5, 3, 9)];
    let filebase = profile.with_events(&events).save(folder.path());
    let given = filebase.to_str().unwrap();
    let told =
        "left out: stacks of less than 0 bytes, which the format cannot hold: 1, of -20 bytes";
    for (args, expected) in [
        (
            &["--end"][..],
            "main.py:1;work.py:1 50\nmain.py:1;work.py:3 9\n",
        ),
        (
            &["--growth", "0.000004..0.000005", "--difference"],
            "main.py:1;work.py:1 50 50\nmain.py:1;work.py:3 0 9\n",
        ),
    ] {
        let output = example("to_folded", &[&[given], args].concat());
        assert_eq!(stdout(&output), expected);
        let lines = stderr_lines(&output);
        assert_eq!((lines.len(), &*lines[1]), (2, told));
        assert!(lines[0].contains("more is freed than was allocated by trace 2"));
    }
}

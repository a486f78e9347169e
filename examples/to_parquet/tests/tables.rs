//! The tables, read back by other means than they were written, have what the library says.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use heapprof::EventKind;
use heapprof::raw::{EventWriter, TraceWriterV1};
use heapprof::view::Lines;
use heapprof::{DigestOptions, Elapsed, Reader, SamplingRates, StartTime, TraceId, WallOffset};
use parquet::file::reader::{FileReader, SerializedFileReader};
use parquet::record::Field;

fn recording(name: &str) -> String {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let filebase = match name {
        "demo" => root.join("examples/data/demo"),
        _ => root.join("tests/data").join(name).join(name),
    };
    filebase.to_str().unwrap().to_owned()
}

fn to_parquet(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_to_parquet"))
        .args(args)
        .output()
        .unwrap()
}

fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

/// Writes the tables of profiles, which have nothing to complain of.
fn write(folder: &Path, filebases: &[&str]) {
    let output = to_parquet(&[&["-o", folder.to_str().unwrap()], filebases].concat());
    assert_eq!((output.status.code(), &*stderr(&output)), (Some(0), ""));
    assert_eq!(output.stdout, b"");
}

/// A value as text, to compare rows of all tables alike.
fn text(field: &Field) -> String {
    match field {
        Field::Str(text) => text.clone(),
        Field::Long(number) => number.to_string(),
        Field::Bool(flag) => flag.to_string(),
        Field::Null => "null".to_owned(),
        other => panic!("{other:?}"),
    }
}

/// The names of the columns, the rows, and how many row groups there are.
fn read(path: PathBuf) -> (Vec<String>, Vec<Vec<String>>, usize) {
    let file = SerializedFileReader::new(File::open(path).unwrap()).unwrap();
    let schema = file.metadata().file_metadata().schema().get_fields();
    let columns = schema.iter().map(|column| column.name().to_owned());
    let rows = file.get_row_iter(None).unwrap().map(|row| {
        let row = row.unwrap();
        row.get_column_iter()
            .map(|(_, field)| text(field))
            .collect()
    });
    (columns.collect(), rows.collect(), file.num_row_groups())
}

fn index(trace: Option<TraceId>) -> u32 {
    trace.map_or(0, TraceId::get)
}

/// A row of text.
macro_rules! row {
    ($($cell:expr),*) => { vec![$($cell.to_string()),*] };
}

fn expected(name: &str, reader: &Reader, table: &str) -> (Vec<String>, Vec<Vec<String>>) {
    let traces = reader.traces().unwrap();
    match table {
        "profiles" => (
            row!["profile", "start_ns", "elapsed_us", "events", "sampled"],
            vec![row![
                name,
                reader.start().as_nanos(),
                reader.elapsed().unwrap().as_micros(),
                reader.end().unwrap().events(),
                false
            ]],
        ),
        "events" => (
            row![
                "profile",
                "event",
                "elapsed_us",
                "wall_us",
                "trace",
                "free",
                "bytes",
                "estimate"
            ],
            (1..)
                .zip(reader.events().unwrap())
                .map(|(number, event)| {
                    let event = event.unwrap();
                    let (elapsed, wall) = (event.elapsed.as_micros(), event.wall.as_micros());
                    let estimate = event.signed_estimate(reader.rates());
                    let trace = index(event.trace);
                    row![
                        name,
                        number,
                        elapsed,
                        wall,
                        trace,
                        event.is_free(),
                        event.size,
                        estimate
                    ]
                })
                .collect(),
        ),
        "traces" => {
            let mut rows = Vec::new();
            for (id, trace) in traces.iter() {
                let inward_out = trace.ids().rev().enumerate();
                rows.extend(inward_out.map(|(level, frame)| row![name, id, level, frame.index()]));
            }
            (row!["profile", "trace", "level", "frame"], rows)
        }
        "frames" => (
            row!["profile", "frame", "file", "line", "function"],
            traces
                .frames()
                .map(|(id, frame)| {
                    let function = frame.function.unwrap_or("null");
                    row![name, id.index(), frame.file, frame.line, function]
                })
                .collect(),
        ),
        "snapshots" => {
            // 21 789 ms, and 656, in at most 100 pieces of whole milliseconds.
            let millis = if name == "unicode" { 7 } else { 218 };
            let interval = std::time::Duration::from_millis(millis);
            let options = DigestOptions::default().interval(interval);
            let digest = reader.digest_with(options).unwrap();
            let mut rows = Vec::new();
            for snapshot in digest.snapshots() {
                let snapshot = snapshot.unwrap();
                for (trace, bytes) in snapshot.usage() {
                    rows.push(row![name, snapshot.time().as_micros(), index(trace), bytes]);
                }
            }
            (row!["profile", "at_us", "trace", "bytes"], rows)
        }
        "totals" => {
            let envelope = reader.envelope().unwrap();
            let highest = envelope.steps().map(|step| step.highest).max();
            assert_eq!(highest, Some(reader.peak().unwrap().total()));
            let rows = envelope.steps().map(|step| {
                let (from, to) = (step.from.as_micros(), step.to.as_micros());
                row![name, from, to, step.lowest, step.highest, step.last]
            });
            let columns = row!["profile", "from_us", "to_us", "lowest", "highest", "last"];
            (columns, rows.collect())
        }
        other => panic!("{other}"),
    }
}

#[test]
fn tables_have_all_of_a_profile() {
    let folder = tempfile::tempdir().unwrap();
    // The same profile with the names of functions.
    let compact = folder.path().join("compact");
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    for (from, to) in [
        ("tests/data/compact_demo.hpm", "hpm"),
        ("examples/data/demo.hpd", "hpd"),
    ] {
        fs::copy(root.join(from), compact.with_extension(to)).unwrap();
    }
    let compact = compact.to_str().unwrap();
    let filebases = [recording("demo"), recording("unicode"), compact.to_owned()];
    write(
        folder.path(),
        &filebases.each_ref().map(|filebase| &**filebase),
    );
    for (name, rows) in [
        ("demo", [1, 49_779, 318, 54, 3_750, 436]),
        ("unicode", [1, 5_080, 169, 38, 1_233, 656]),
        ("compact", [1, 49_779, 318, 54, 3_750, 436]),
    ] {
        let filebase = match name {
            "compact" => compact.to_owned(),
            _ => recording(name),
        };
        let reader = Reader::open(filebase).unwrap();
        let tables = [
            "profiles",
            "events",
            "traces",
            "frames",
            "snapshots",
            "totals",
        ];
        for (table, count) in tables.into_iter().zip(rows) {
            let path = folder.path().join(table).join(format!("{name}.parquet"));
            let (columns, rows, groups) = read(path);
            assert_eq!((rows.len(), groups), (count, 1), "{name} {table}");
            let expected = expected(name, &reader, table);
            assert_eq!((columns, rows), expected, "{name} {table}");
        }
    }
    // Nothing unfinished is left.
    let files = fs::read_dir(folder.path().join("events")).unwrap();
    assert_eq!(files.count(), 3);
}

#[test]
fn a_long_log_is_written_group_by_group() {
    const EVENTS: i64 = 150_000;
    let folder = tempfile::tempdir().unwrap();
    let start = StartTime::new(1_700_000_000, 5);
    let rates = SamplingRates::new([(100, 0.5)]).unwrap();
    let mut traces = TraceWriterV1::new(Vec::new(), start, &rates).unwrap();
    let trace = traces.write_outermost_first([("main.py", 1)]).unwrap();
    let mut events = EventWriter::new(Vec::new());
    for number in 0..EVENTS {
        let (trace, size) = match number % 3 {
            0 => (None, 500),
            _ => (Some(trace), 10),
        };
        // The clock steps back now and then.
        let wall = WallOffset::from_micros(7 * number - 1000 * (number % 100));
        events
            .write(wall, trace, size, EventKind::Allocation)
            .unwrap();
    }
    let filebase = folder.path().join("long.1");
    fs::write(folder.path().join("long.1.hpm"), traces.into_inner()).unwrap();
    fs::write(folder.path().join("long.1.hpd"), events.into_inner()).unwrap();

    let given = filebase.to_str().unwrap();
    write(folder.path(), &[given]);
    let (_, rows, groups) = read(folder.path().join("events/long.1.parquet"));
    assert_eq!(groups, 2);
    let reader = Reader::open(&filebase).unwrap();
    let expected = expected("long.1", &reader, "events").1;
    assert!(rows == expected);
    assert_eq!(rows[149_999][6..], ["10", "20"]);
    let (_, rows, _) = read(folder.path().join("profiles/long.1.parquet"));
    assert_eq!(
        rows[0][1..],
        [
            "1700000000000000005",
            &reader.elapsed().unwrap().as_micros().to_string(),
            "150000",
            "true"
        ]
    );

    write(folder.path(), &[given, "--unsampled", "--snapshots", "1"]);
    let (_, rows, _) = read(folder.path().join("snapshots/long.1.parquet"));
    let bytes: Vec<_> = rows.iter().map(|row| (&*row[2], &*row[3])).collect();
    assert_eq!(bytes, [("0", "25000000"), ("1", "1000000")]);
}

#[test]
fn what_goes_wrong_gets_one_line_and_status_1() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("out");
    let out = out.to_str().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    fs::write(path("text.hpm"), "not a profile").unwrap();
    fs::write(path("taken"), "").unwrap();
    let demo = recording("demo");
    for (args, expected) in [
        (
            [out, &path("none")].to_vec(),
            "none.hpm: there is no such .hpm file",
        ),
        (
            vec![out, &path("text")],
            "text.hpm: record at byte 0: unknown version",
        ),
        (vec![out, &path("")], ": a folder; name a profile in it"),
        (vec![&path("taken"), &demo], "taken/profiles/demo.parquet: "),
        (
            vec![out, &demo, &format!("{demo}.hpd")],
            ": another profile is named so",
        ),
    ] {
        let output = to_parquet(&[&["-o"], &args[..]].concat());
        assert_eq!(output.status.code(), Some(1), "{args:?}");
        let text = stderr(&output);
        assert!(
            text.contains(expected) && text.lines().count() == 1,
            "{text}"
        );
    }
    assert_eq!(
        to_parquet(&["-o", out, &demo, "--snapshots", "0"])
            .status
            .code(),
        Some(2)
    );

    // Damage is told, and what is whole is written.
    let output = to_parquet(&["-o", out, &recording("huge_corrupt")]);
    assert_eq!(output.status.code(), Some(0));
    assert_eq!(stderr(&output).lines().count(), 2);
    let (_, rows, _) = read(folder.path().join("out/events/huge_corrupt.parquet"));
    assert_eq!(rows.len(), 433);
}

/// What the queries of the header answer; `None` if `python3` does not know `DuckDB`. `PYTHON` names
/// another, which must.
fn answers(folder: &Path) -> Option<Vec<serde_json::Value>> {
    const SCRIPT: &str = "
import duckdb, json, sys
for query in json.load(sys.stdin):
    print(json.dumps(duckdb.sql(query).fetchall()))
";
    let named = std::env::var_os("PYTHON");
    let python = named.clone().unwrap_or("python3".into());
    let found = Command::new(&python).args(["-c", "import duckdb"]).output();
    if !found.is_ok_and(|output| output.status.success()) {
        assert!(named.is_none(), "PYTHON does not know duckdb");
        eprintln!("skipped: there is no Python with duckdb");
        return None;
    }
    let header = include_str!("../src/main.rs").lines();
    let header: Vec<_> = header.map_while(|line| line.strip_prefix("//!")).collect();
    let header = header.join("\n");
    let queries: Vec<_> = header.split("```sql").skip(1).collect();
    let queries: Vec<_> = queries
        .iter()
        .filter_map(|it| it.split("```").next())
        .collect();
    assert_eq!(queries.len(), 3);
    let mut child = Command::new(&python)
        .args(["-c", SCRIPT])
        .current_dir(folder)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    stdin
        .write_all(serde_json::to_string(&queries).unwrap().as_bytes())
        .unwrap();
    drop(stdin);
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success());
    let lines = String::from_utf8(output.stdout).unwrap();
    let answers = lines
        .lines()
        .map(|line| serde_json::from_str(line).unwrap());
    Some(answers.collect())
}

#[test]
fn duckdb_answers_the_queries_of_the_header() {
    let folder = tempfile::tempdir().unwrap();
    // The same recording under two names is two profiles.
    let twin = folder.path().join("twin");
    for extension in ["hpm", "hpd"] {
        let from = format!("{}.{extension}", recording("demo"));
        fs::copy(from, twin.with_extension(extension)).unwrap();
    }
    let names = [
        recording("demo"),
        twin.to_str().unwrap().to_owned(),
        recording("unicode"),
    ];
    write(
        &folder.path().join("tables"),
        &names.each_ref().map(|name| &**name),
    );
    let Some(answers) = answers(folder.path()) else {
        return;
    };

    let mut live: BTreeMap<(String, u32), (i64, u32)> = BTreeMap::new();
    let mut grown = Vec::new();
    for (name, filebase) in ["demo", "twin", "unicode"].into_iter().zip(&names) {
        let reader = Reader::open(filebase).unwrap();
        let traces = reader.traces().unwrap();
        let at_end = Lines::new(traces, &reader.live_at_end().unwrap());
        for line in at_end.by_local().filter(|line| line.local != 0) {
            let frame = (line.frame.file.to_owned(), line.frame.line);
            let sum = live.entry(frame).or_default();
            *sum = (sum.0 + line.local, sum.1 + 1);
        }
        let (from, to) = (Elapsed::from_millis(100), Elapsed::from_millis(600));
        let growth = Lines::new(traces, &reader.growth(from..to).unwrap());
        for line in growth.by_cumulative() {
            let (file, number) = (line.frame.file.to_owned(), line.frame.line);
            grown.push(serde_json::json!([name, file, number, line.cumulative]));
        }
    }
    let mut live: Vec<_> = live.into_iter().collect();
    live.sort_by_key(|(_, (bytes, _))| -bytes);
    let rows = live.iter().take(10);
    let rows: Vec<_> = rows
        .map(|((file, line), (bytes, profiles))| serde_json::json!([file, line, bytes, profiles]))
        .collect();
    assert_eq!(answers[0], serde_json::json!(rows));
    assert_eq!(rows[0][2], 2 * 8_149_808);

    let top = answers[1].as_array().unwrap();
    assert_eq!(top.len(), 10);
    assert!(top.iter().all(|row| grown.contains(row)));
    assert!(top.is_sorted_by_key(|row| -row[3].as_i64().unwrap()));
    let least = top[9][3].as_i64().unwrap();
    let more = grown
        .iter()
        .filter(|row| row[3].as_i64().unwrap() > least)
        .count();
    assert!(
        more <= 9
            && top[..more]
                .iter()
                .all(|row| row[3].as_i64().unwrap() > least)
    );

    let peaks = serde_json::json!([
        ["demo", 19_241_503, 12_678_881],
        ["twin", 19_241_503, 12_678_881],
        ["unicode", 425_923, 634_688],
    ]);
    assert_eq!(answers[2], peaks);
}

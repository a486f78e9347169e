//! The tables, read back by other means than they were written, have what the library says.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use heapprof::raw::{EventWriter, Properties, TraceWriter};
use heapprof::view::{Blame, Lines, Packages};
use heapprof::{
    DigestOptions, EventKind, Frame, Reader, SamplingRates, StartTime, TraceId, Usage, WallOffset,
};
use heapprof_parquet::{Export, Input, find, find_below};
use parquet::file::reader::{FileReader, SerializedFileReader};
use parquet::record::Field;
use serde_json::{Value, json};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn recording(name: &str) -> PathBuf {
    match name {
        "demo" => root().join("examples/data/demo"),
        _ => root().join("tests/data").join(name).join(name),
    }
}

/// Copies a recording under another name.
fn copy(name: &str, to: &Path) {
    fs::create_dir_all(to.parent().unwrap()).unwrap();
    for extension in ["hpm", "hpd"] {
        let from = recording(name).with_extension(extension);
        let mut target = to.as_os_str().to_owned();
        target.push(format!(".{extension}"));
        fs::copy(from, target).unwrap();
    }
}

fn program(args: &[&str]) -> Output {
    let program = Command::new(env!("CARGO_BIN_EXE_heapprof-parquet"));
    { program }.args(args).output().unwrap()
}

fn stderr(output: &Output) -> Vec<String> {
    let text = String::from_utf8(output.stderr.clone()).unwrap();
    text.lines().map(str::to_owned).collect()
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

/// The names of the columns, the rows, and the number of row groups.
fn read(path: &Path) -> (Vec<String>, Vec<Vec<String>>, usize) {
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

fn or_null(value: Option<impl ToString>) -> String {
    value.map_or("null".to_owned(), |value| value.to_string())
}

/// The columns and the rows of `peak` and `end`.
fn live(name: &str, reader: &Reader, usage: &Usage) -> (&'static str, Vec<Vec<String>>) {
    let traces = reader.traces().unwrap();
    let packages = Packages::new();
    let rows = usage.iter().map(|(trace, bytes)| {
        let frames = || {
            traces
                .trace(trace)
                .into_iter()
                .flat_map(|trace| trace.frames().rev())
        };
        let line = |frame: Option<Frame<'_>>| {
            [
                or_null(frame.map(|frame| frame.file)),
                or_null(frame.map(|frame| frame.line)),
                or_null(frame.and_then(|frame| frame.function)),
            ]
        };
        let own = frames().find(|frame| packages.of(frame.file).is_own());
        let package = or_null(frames().next().map(|frame| packages.of(frame.file)));
        let mut row = row![name, index(trace), bytes];
        row.extend(line(frames().next()));
        row.push(package);
        row.extend(line(own));
        row
    });
    let columns = "trace bytes file line function package own_file own_line own_function";
    (columns, rows.collect())
}

/// The columns after `profile`, and the rows.
fn expected(name: &str, reader: &Reader, table: &str) -> (&'static str, Vec<Vec<String>>) {
    let traces = reader.traces().unwrap();
    let packages = Packages::new();
    match table {
        "profiles" => {
            let peak = reader.peak().unwrap();
            let end = reader.live_at_end().unwrap().total();
            (
                "start_ns elapsed_us events traces sampled peak_bytes peak_at_us end_bytes damage",
                vec![row![
                    name,
                    reader.start().as_nanos(),
                    reader.elapsed().unwrap().as_micros(),
                    reader.end().unwrap().events(),
                    traces.len(),
                    false,
                    peak.total(),
                    peak.time().as_micros(),
                    end,
                    "null"
                ]],
            )
        }
        "peak" => live(name, reader, reader.peak().unwrap().usage()),
        "end" => live(name, reader, &reader.live_at_end().unwrap()),
        "events" => (
            "event elapsed_us wall_us trace free recorded_bytes bytes",
            (1..)
                .zip(reader.events().unwrap())
                .map(|(number, event)| {
                    let event = event.unwrap();
                    row![
                        name,
                        number,
                        event.elapsed.as_micros(),
                        event.wall.as_micros(),
                        index(event.trace),
                        event.is_free(),
                        event.size,
                        event.signed_estimate(reader.rates())
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
            ("trace level frame", rows)
        }
        "frames" => (
            "frame file line function package",
            traces
                .frames()
                .map(|(id, frame)| {
                    let (function, package) = (or_null(frame.function), packages.of(frame.file));
                    row![name, id.index(), frame.file, frame.line, function, package]
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
            ("at_us trace bytes", rows)
        }
        "envelope" => {
            let envelope = reader.envelope().unwrap();
            let highest = envelope.steps().map(|step| step.highest).max();
            assert_eq!(highest, Some(reader.peak().unwrap().total()));
            let rows = envelope.steps().map(|step| {
                let (from, to) = (step.from.as_micros(), step.to.as_micros());
                row![name, from, to, step.lowest, step.highest, step.last]
            });
            ("from_us to_us lowest highest last", rows.collect())
        }
        "properties" => (
            "name value",
            reader
                .properties()
                .iter()
                .map(|(key, value)| row![name, key, value])
                .collect(),
        ),
        other => panic!("{other}"),
    }
}

#[test]
fn tables_have_all_of_a_profile() {
    let folder = tempfile::tempdir().unwrap();
    let runs = folder.path().join("runs");
    copy("demo", &runs.join("demo"));
    copy("unicode", &runs.join("unicode"));
    // The same profile with the names of functions, and properties.
    copy("demo", &runs.join("compact"));
    fs::copy(
        root().join("tests/data/compact_demo.hpm"),
        runs.join("compact.hpm"),
    )
    .unwrap();
    let tables = folder.path().join("tables");
    let (runs, out) = (runs.to_str().unwrap(), tables.to_str().unwrap());
    let output = program(&["-o", out, "--events", runs]);
    assert_eq!(
        (output.status.code(), &*stderr(&output)),
        (
            Some(0),
            &["3 exported (0 damaged), 0 skipped".to_owned()][..]
        )
    );
    for name in ["demo", "unicode", "compact"] {
        let reader = Reader::open(Path::new(runs).join(name)).unwrap();
        for table in [
            "profiles",
            "properties",
            "peak",
            "end",
            "traces",
            "frames",
            "snapshots",
            "envelope",
            "events",
        ] {
            let path = tables.join(table).join(format!("{name}.parquet"));
            let (columns, rows, _) = read(&path);
            let (names, expected) = expected(name, &reader, table);
            assert_eq!(
                columns.join(" "),
                format!("profile {names}"),
                "{name} {table}"
            );
            assert_eq!(rows, expected, "{name} {table}");
            assert!(!rows.is_empty() || table == "properties", "{name} {table}");
        }
    }
    // The innermost own frames are what blame says.
    let reader = Reader::open(recording("demo")).unwrap();
    let blame = Blame::new(reader.traces().unwrap(), &reader.live_at_end().unwrap());
    let mut own: BTreeMap<String, i64> = BTreeMap::new();
    for row in read(&tables.join("end/demo.parquet")).1 {
        if row[7] != "null" {
            *own.entry(format!("{}:{}", row[7], row[8])).or_default() +=
                row[2].parse::<i64>().unwrap();
        }
    }
    let rows = blame.rows().filter(|row| row.is_own);
    let expected: BTreeMap<_, _> = rows
        .map(|row| (row.frame.unwrap().to_string(), row.weight))
        .collect();
    assert_eq!(own, expected);
    // Nothing unfinished is left.
    assert_eq!(fs::read_dir(tables.join("events")).unwrap().count(), 3);
}

/// Writes a profile with one line, and these properties.
fn write(filebase: &Path, properties: &[(&str, &str)], events: impl Iterator<Item = i64>) {
    fs::create_dir_all(filebase.parent().unwrap()).unwrap();
    let start = StartTime::new(1_700_000_000, 5);
    let rates = SamplingRates::new([(100, 0.5)]).unwrap();
    let properties: Properties = properties.iter().copied().collect();
    let mut traces = TraceWriter::with_properties(Vec::new(), start, &rates, &properties).unwrap();
    let trace = traces
        .intern_outermost_first([Frame::new("main.py", 1)])
        .unwrap();
    let mut log = EventWriter::new(Vec::new());
    for number in events {
        let (trace, size) = match number % 3 {
            0 => (None, 500),
            _ => (Some(trace), 10),
        };
        // The clock steps back now and then.
        let wall = WallOffset::from_micros(7 * number - 1000 * (number % 100));
        log.write(wall, trace, size, EventKind::Allocation).unwrap();
    }
    let path = |extension: &str| format!("{}.{extension}", filebase.display());
    fs::write(path("hpm"), traces.into_inner()).unwrap();
    fs::write(path("hpd"), log.into_inner()).unwrap();
}

#[test]
fn long_log_is_written_in_row_groups() {
    let folder = tempfile::tempdir().unwrap();
    let filebase = folder.path().join("long.1");
    write(&filebase, &[("host", "a"), ("version", "1.0")], 0..150_000);
    let found = find([filebase.with_extension("1.hpm")]);
    assert_eq!(
        found.inputs,
        [Input {
            name: "long.1".to_owned(),
            filebase: filebase.clone()
        }]
    );
    let export = Export::to(folder.path()).events(true);
    assert_eq!(export.profile(&found.inputs[0]).unwrap().events, 150_000);
    let (_, rows, groups) = read(&folder.path().join("events/long.1.parquet"));
    assert_eq!(groups, 2);
    let reader = Reader::open(&filebase).unwrap();
    assert!(rows == expected("long.1", &reader, "events").1);
    assert_eq!(rows[149_999][6..], ["10", "20"]);
    let (_, rows, _) = read(&folder.path().join("properties/long.1.parquet"));
    assert_eq!(
        rows,
        [
            row!["long.1", "host", "a"],
            row!["long.1", "version", "1.0"]
        ]
    );
    let (_, rows, _) = read(&folder.path().join("profiles/long.1.parquet"));
    assert_eq!(rows[0][5], "true");

    let export = Export::to(folder.path()).unsampled(true).snapshots(1);
    export.profile(&found.inputs[0]).unwrap();
    let (_, rows, _) = read(&folder.path().join("snapshots/long.1.parquet"));
    let bytes: Vec<_> = rows.iter().map(|row| (&*row[2], &*row[3])).collect();
    assert_eq!(bytes, [("0", "25000000"), ("1", "1000000")]);
    // Events were not asked for this time, and those of before would not fit.
    assert!(!folder.path().join("events/long.1.parquet").exists());
}

#[test]
fn file_names_are_data() {
    let folder = tempfile::tempdir().unwrap();
    let runs = folder.path().join("runs");
    for name in ["_hidden", ".dotted", "a/run", "b/run", "odd name=1:2*"] {
        copy("tiny", &runs.join(name));
    }
    // A missing log, a text, and a compressed profile among them.
    copy("tiny", &runs.join("c/logless"));
    fs::remove_file(runs.join("c/logless.hpd")).unwrap();
    fs::write(runs.join("text.hpm"), "not a profile").unwrap();
    fs::write(runs.join("packed.hpm.zst"), "").unwrap();
    let tables = folder.path().join("tables");
    let (given, out) = (runs.to_str().unwrap(), tables.to_str().unwrap());
    let output = program(&["-o", out, given]);
    assert_eq!(output.status.code(), Some(1));
    let lines = stderr(&output);
    assert_eq!(lines.len(), 4, "{lines:?}");
    assert!(lines[0].ends_with("packed.hpm.zst: skipped: compressed: unpack it first"));
    assert!(
        lines[1].contains("c/logless: skipped: ")
            && lines[1].ends_with("there is no such .hpd file")
    );
    assert!(
        lines[2].contains("text: skipped: ") && lines[2].matches("unknown version").count() == 1,
        "{lines:?}"
    );
    assert_eq!(lines[3], "5 exported (0 damaged), 3 skipped");
    let mut files: Vec<_> = fs::read_dir(tables.join("profiles"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    files.sort();
    let expected = [
        "a~2Frun.parquet",
        "b~2Frun.parquet",
        "odd~20name~3D1~3A2~2A.parquet",
        "~2Edotted.parquet",
        "~5Fhidden.parquet",
    ];
    assert_eq!(files, expected);
    let names: Vec<_> = files
        .iter()
        .map(|file| read(&tables.join("profiles").join(file)).1[0][0].clone())
        .collect();
    assert_eq!(
        names,
        ["a/run", "b/run", "odd name=1:2*", ".dotted", "_hidden"]
    );

    // Two that are named and share a name.
    let (a, b) = (runs.join("a/run.hpm"), runs.join("b/run"));
    let found = find([&a, &b, &a]);
    let names: Vec<_> = found
        .inputs
        .iter()
        .map(|input| input.name.clone())
        .collect();
    assert_eq!(
        names,
        [a.with_extension("").to_str().unwrap(), b.to_str().unwrap()]
    );
    // The same as parts of a folder, as a worker gets them.
    let found = find_below(&runs, [&a, &b, &a]);
    let names = found.inputs.iter().map(|input| &*input.name);
    assert_eq!(names.collect::<Vec<_>>(), ["a/run", "b/run"]);
}

#[test]
fn another_profile_of_the_same_name_replaces_nothing() {
    let folder = tempfile::tempdir().unwrap();
    copy("tiny", &folder.path().join("a/run"));
    copy("demo", &folder.path().join("b/run"));
    let tables = folder.path().join("tables");
    let out = tables.to_str().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    assert_eq!(program(&["-o", out, &path("a/run")]).status.code(), Some(0));
    let before = fs::read(tables.join("profiles/run.parquet")).unwrap();
    let output = program(&["-o", out, &path("b/run")]);
    assert_eq!(output.status.code(), Some(1));
    let lines = stderr(&output);
    assert!(
        lines[0].contains("skipped: the tables have a profile of this name, from "),
        "{lines:?}"
    );
    assert!(lines[0].ends_with("/a/run") && lines[1] == "0 exported (0 damaged), 1 skipped");
    assert_eq!(
        fs::read(tables.join("profiles/run.parquet")).unwrap(),
        before
    );

    // The same one again, recorded anew; with what a killed export left.
    copy("demo", &folder.path().join("a/run"));
    for table in ["profiles", "peak"] {
        fs::write(tables.join(table).join(".run.parquet.part"), "half").unwrap();
    }
    let old = File::create(tables.join("peak/.gone.parquet.part")).unwrap();
    old.set_modified(std::time::SystemTime::UNIX_EPOCH).unwrap();
    fs::write(
        tables.join("peak/.fresh.parquet.part"),
        "of an export that runs",
    )
    .unwrap();
    assert_eq!(program(&["-o", out, &path("a/run")]).status.code(), Some(0));
    let rows = read(&tables.join("profiles/run.parquet")).1;
    assert_eq!(rows[0][6], "19241503");
    let mut left: Vec<_> = fs::read_dir(tables.join("peak"))
        .unwrap()
        .map(|it| it.unwrap().file_name())
        .collect();
    left.sort();
    assert_eq!(left, [".fresh.parquet.part", "run.parquet"]);
}

#[test]
fn damage_is_told_and_what_is_whole_is_written() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("out");
    let out = out.to_str().unwrap();
    let damaged = recording("huge_corrupt");
    let output = program(&["-o", out, "--events", damaged.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(0));
    let lines = stderr(&output);
    assert_eq!(lines.len(), 2, "{lines:?}");
    assert!(lines[0].starts_with("huge_corrupt: damaged, and what is whole is exported: "));
    assert_eq!(lines[1], "1 exported (1 damaged), 0 skipped");
    let rows = read(&Path::new(out).join("events/huge_corrupt.parquet")).1;
    assert_eq!(rows.len(), 433);
    let rows = read(&Path::new(out).join("profiles/huge_corrupt.parquet")).1;
    assert!(
        rows[0][9].contains("trace 1536 is not among the 8"),
        "{rows:?}"
    );

    fs::write(folder.path().join("taken"), "").unwrap();
    let taken = folder.path().join("taken");
    let demo = recording("demo");
    let output = program(&["-o", taken.to_str().unwrap(), demo.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output)[0].contains("taken/properties/demo.parquet: "));
    assert_eq!(program(&["-o", out]).status.code(), Some(2));
    assert_eq!(
        program(&["-o", out, "--snapshots", "0", "x"]).status.code(),
        Some(2)
    );
}

/// The queries of the documentation.
fn queries() -> Vec<String> {
    let text = include_str!("../queries.md");
    let queries = text.split("```sql").skip(1);
    queries
        .map(|it| it.split("```").next().unwrap().to_owned())
        .collect()
}

/// What an engine answers; `None` if Python does not have it. `needed` says that it must.
fn answers(engine: &str, python: &str, needed: bool, tables: &Path) -> Option<Vec<Value>> {
    let module = if engine == "spark" { "pyspark" } else { engine };
    let import = format!("import {module}");
    let found = Command::new(python).args(["-c", &import]).output();
    if !found.is_ok_and(|output| output.status.success()) {
        assert!(!needed, "{python} does not have {module}");
        eprintln!("skipped: there is no Python with {module}");
        return None;
    }
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/engines.py");
    let mut child = Command::new(python)
        .arg(script)
        .arg(engine)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let asked = json!({ "tables": tables, "queries": queries() });
    child
        .stdin
        .take()
        .unwrap()
        .write_all(asked.to_string().as_bytes())
        .unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{engine}");
    let lines = String::from_utf8(output.stdout).unwrap();
    Some(
        lines
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect(),
    )
}

/// A fleet of two hosts and two versions, and what its profiles are.
fn fleet(folder: &Path) -> Vec<(String, PathBuf)> {
    let mut profiles = Vec::new();
    for (host, version, base) in [
        ("a", "1.0", "demo"),
        ("b", "1.0", "demo"),
        ("a", "1.1", "demo"),
    ] {
        let name = format!("{host}/{version}");
        let filebase = folder.join("runs").join(&name);
        write(&filebase, &[("host", host), ("version", version)], 0..0);
        // The stacks and the log of a recording, in the later version with each tenth event left out.
        let reader = Reader::open(recording(base)).unwrap();
        let properties: Properties = [("host", host), ("version", version)].into_iter().collect();
        let rates = SamplingRates::unsampled();
        let hpm = TraceWriter::with_properties(Vec::new(), reader.start(), &rates, &properties);
        let mut hpm = hpm.unwrap();
        for (_, trace) in reader.traces().unwrap().iter() {
            hpm.intern_outermost_first(trace.frames()).unwrap();
        }
        let mut hpd = EventWriter::new(Vec::new());
        for (number, event) in reader.events().unwrap().enumerate() {
            if version == "1.0" || number % 10 > 0 {
                hpd.write_event(&event.unwrap()).unwrap();
            }
        }
        let path = |extension: &str| format!("{}.{extension}", filebase.display());
        fs::write(path("hpm"), hpm.into_inner()).unwrap();
        fs::write(path("hpd"), hpd.into_inner()).unwrap();
        profiles.push((name, filebase));
    }
    profiles
}

#[test]
fn engines_answer_the_queries_of_the_documentation() {
    let folder = tempfile::tempdir().unwrap();
    let profiles = fleet(folder.path());
    let tables = folder.path().join("tables");
    let found = find([folder.path().join("runs")]);
    let summary = Export::to(&tables).run(&found.inputs, |_, _| {});
    assert_eq!((summary.written.len(), summary.skipped.len()), (3, 0));

    let named = std::env::var("PYTHON").ok();
    let python = named.clone().unwrap_or("python3".to_owned());
    let mut all = Vec::new();
    for engine in ["duckdb", "datafusion"] {
        all.extend(answers(engine, &python, named.is_some(), &tables).map(|it| (engine, it)));
    }
    // Spark takes a Java and most of a minute.
    if let Ok(python) = std::env::var("HEAPPROF_SPARK") {
        all.extend(answers("spark", &python, true, &tables).map(|it| ("spark", it)));
    }

    let readers: Vec<_> = profiles
        .iter()
        .map(|(name, path)| (name, Reader::open(path).unwrap()))
        .collect();
    let mut worst: Vec<_> = readers
        .iter()
        .map(|(name, reader)| {
            let (peak, end) = (reader.peak().unwrap(), reader.live_at_end().unwrap());
            (
                -peak.total(),
                (*name).clone(),
                peak.time().as_micros(),
                end.total(),
            )
        })
        .collect();
    worst.sort();
    let worst: Vec<_> = worst
        .iter()
        .map(|(peak, name, at, end)| json!([name, -peak, at, end]))
        .collect();
    let mut lines: BTreeMap<(String, u32), (i64, u32)> = BTreeMap::new();
    for (_, reader) in &readers {
        let traces = reader.traces().unwrap();
        let at_end = Lines::new(traces, &reader.live_at_end().unwrap());
        for line in at_end.by_local().filter(|line| line.local != 0) {
            let sum = lines
                .entry((line.frame.file.to_owned(), line.frame.line))
                .or_default();
            *sum = (sum.0 + line.local, sum.1 + 1);
        }
    }
    let mut lines: Vec<_> = lines
        .into_iter()
        .map(|((file, line), (bytes, count))| (-bytes, file, line, count))
        .collect();
    lines.sort();
    let lines = lines.iter().take(10);
    let lines: Vec<_> = lines
        .map(|(bytes, file, line, count)| json!([file, line, -bytes, count]))
        .collect();
    let end = |at: usize| readers[at].1.live_at_end().unwrap().total();
    let versions = json!([
        ["1.0", 2, end(0) + end(1), end(0).max(end(1))],
        ["1.1", 1, end(2), end(2)]
    ]);
    for (engine, answers) in &all {
        assert_eq!(answers.len(), 5, "{engine}");
        assert_eq!(answers[0], json!(worst), "{engine}");
        assert_eq!(answers[1], json!(lines), "{engine}");
        assert_eq!(answers[2], versions, "{engine}");
        assert!(answers[3].as_array().unwrap().len() > 3, "{engine}");
        // One line over time, on both hosts.
        let series = answers[4].as_array().unwrap();
        let hosts: std::collections::BTreeSet<_> =
            series.iter().map(|row| row[0].as_str().unwrap()).collect();
        assert_eq!(
            hosts.into_iter().collect::<Vec<_>>(),
            ["a", "b"],
            "{engine}"
        );
        let last = series.iter().rfind(|row| row[0] == "b").unwrap();
        let customers = readers[1].1.traces().unwrap().search("customers.py:11")[0];
        let at_end = Lines::new(
            readers[1].1.traces().unwrap(),
            &readers[1].1.live_at_end().unwrap(),
        );
        let cumulative = at_end
            .by_cumulative()
            .find(|line| line.id == customers)
            .unwrap()
            .cumulative;
        assert_eq!(last[2], json!(cumulative), "{engine}");
        assert_eq!(answers, &all[0].1, "{engine}");
    }
}

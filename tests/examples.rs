//! The examples as a user runs them: what they print where, and how they end.

mod common;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, UNIX_EPOCH};

use common::output::{stderr, stderr_lines, stdout};
use common::{Profile, example, program, recording, root, shared};
use heapprof::raw::{EventWriter, TraceWriter};
use heapprof::{Elapsed, EventKind, OwnedFrame, Reader, SamplingRates, StartTime, WallOffset};

fn status(output: &Output) -> i32 {
    output.status.code().unwrap()
}

fn export(args: &[&str]) -> Output {
    example("export_json", args)
}

#[test]
fn the_report_shows_the_shipped_profile_on_one_screen() {
    let output = example("report", &[]);
    assert_eq!((status(&output), stderr_lines(&output)), (0, vec![]));
    let text = stdout(&output);
    assert!(text.lines().count() <= 52, "{}", text.lines().count());
    assert!(text.lines().all(|line| line.chars().count() <= 100));
    for part in [
        "examples/data/demo\n",
        "  started   2026-11-22 11:04:05 UTC, recorded for 21.789059 s\n",
        "  events    49779 of 57 traces\n",
        "  sampling  none: every allocation was recorded\n",
        "  digest    436 snapshots, one every 50ms\n",
        "At most 19.24 MB were live, at 12.678881 s, 25 % by customers.py:11.\n",
        "At the end 8.33 MB are left, 98 % by customers.py:11.\n",
        "It leaks: customers.py:11 grew in 21 of 21 parts of the recording, by 7.41 MB, 370.79 kB/s.\n",
        "The peak is a spike: of its 19.24 MB, 10.91 MB went again, 27 % by report.py:13.\n",
        " 19.24 MB\n", // the time line reaches the peak
        "  rise      9.51 MB from 11.25 s to 11.35 s, 50 % by report.py:13\n",
        "Responsible at the peak: 19.24 MB at 12.678881 s, 11:04:17 UTC, after event 29174\n",
        "   4.89 MB  25 %  customers.py:11\n",
        "            explains 99 %, 33 more lines the rest\n",
        "Grown from 1.089452 s to the end: 7.77 MB\n   7.68 MB  98 %  customers.py:11\n",
        "   7.41 MB  370.79 kB/s in 21 of 21 windows, 6 % freed  customers.py:11\n",
        "Still live at the end: 8.33 MB\n   8.15 MB  98 %  customers.py:11 < …\n",
    ] {
        assert!(text.contains(part), "{part}\n{text}");
    }
    // A progress bar is for terminals.
    assert!(!text.contains('\r'));
}

#[test]
fn the_report_tells_damage_and_takes_an_empty_log() {
    let filebase = recording("huge_corrupt").unwrap();
    let output = example("report", &[filebase.to_str().unwrap()]);
    assert_eq!(status(&output), 0);
    let text = stdout(&output);
    for part in [
        ": trace 1536 is not among the 8 of the .hpm file; it is used as it stands, and 219 more such\n",
        "  warning   from byte 1523 on, after 0.052304 s, the log makes no sense\n",
        "\nNothing grows all the time, as a leak does\n",
    ] {
        assert!(text.contains(part), "{part}\n{text}");
    }

    let folder = tempfile::tempdir().unwrap();
    let filebase = Profile::default().save(folder.path());
    let output = example("report", &[filebase.to_str().unwrap()]);
    assert_eq!(status(&output), 0);
    assert!(stdout(&output).ends_with("\nThe log has no events.\n"));
}

#[test]
fn the_report_gives_error_bars_and_warns_of_rates_that_cannot_be() {
    let folder = tempfile::tempdir().unwrap();
    let hpm = fs::read("examples/data/demo.hpm").unwrap();
    let hpd = fs::read("examples/data/demo.hpd").unwrap();
    // Below 128 bytes one in 10 000, and everything was recorded nevertheless.
    let rates = [1, 0, 0, 0, 0, 0, 0, 0, 128, 0, 6, 0x8d, 0xb8];
    let stated = [&hpm[..20], &rates, &hpm[21..]].concat();
    fs::write(folder.path().join("run.hpm"), stated).unwrap();
    fs::write(folder.path().join("run.hpd"), hpd).unwrap();
    let filebase = folder.path().join("run");
    let report = |args: &[&str]| {
        let args = [&[filebase.to_str().unwrap()], args].concat();
        let output = example("report", &args);
        assert_eq!((status(&output), stderr_lines(&output)), (0, vec![]));
        stdout(&output)
    };
    // It is sure that everything was recorded, so the rates are not used.
    let text = report(&[]);
    for part in [
        "  sampling  none: every allocation was recorded\n",
        "  warning   everything was recorded, whatever rates are stated; see --as-stated\n",
        "            1024 blocks in 4.998ms, which stand for 2.0e9 blocks a second\n",
        "Responsible at the peak: 19.24 MB at 12.678881 s, 11:04:17 UTC, after event 29174\n",
    ] {
        assert!(text.contains(part), "{part}\n{text}");
    }
    assert!(!text.contains('±'));
    let text = report(&["--as-stated"]);
    for part in [
        "  sampling  below 128 bytes: 0.0100 %\n",
        "  warning   the stated sampling rates look wrong: without --as-stated they are not used\n",
        "Responsible at the peak: 2.17 GB ± 73.33 MB at 21.628251 s, 11:04:26 UTC, after event 49493\n",
        "  customers.py:6 ± 45.41 MB\n",
    ] {
        assert!(text.contains(part), "{part}\n{text}");
    }
    let text = report(&["--unsampled"]);
    assert!(text.contains("Responsible at the peak: 19.24 MB at 12.678881 s"));
    assert!(!text.contains("warning") && !text.contains('±'));
}

#[test]
fn the_report_shows_what_lines_say_where_the_sources_are_at_hand() {
    let folder = tempfile::tempdir().unwrap();
    let text = "\n".repeat(10) + "        history.append(order)\n";
    fs::write(folder.path().join("customers.py"), text).unwrap();
    let map = format!("/srv/app/workloads/shop={}", folder.path().display());
    // A file that is older than the recording says what ran, and one that is younger may not.
    let file = fs::File::options()
        .write(true)
        .open(folder.path().join("customers.py"))
        .unwrap();
    for (modified, expected) in [
        (1_000_000_000, "  customers.py:11  history.append(order)\n"),
        (
            4_000_000_000,
            "  customers.py:11  history.append(order)  (changed since)\n",
        ),
    ] {
        file.set_modified(UNIX_EPOCH + Duration::from_secs(modified))
            .unwrap();
        let output = example("report", &["--map", &map]);
        assert!(stdout(&output).contains(expected), "{}", stdout(&output));
    }
}

#[test]
fn a_missing_or_wrong_path_gets_one_line_and_status_1() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    fs::write(path("text.hpm"), "not a profile").unwrap();
    let filebase = Profile::default().save(folder.path());
    fs::rename(filebase.with_extension("hpm"), path("logless.hpm")).unwrap();
    fs::create_dir(path("folder.hpm")).unwrap();
    for (given, expected) in [
        ("none", "none.hpm: there is no such .hpm file"),
        (
            "text",
            "text.hpm: record at byte 0: unknown version 0x6e6f7420: not such a file",
        ),
        ("logless", "logless.hpd: there is no such .hpd file"),
        (
            "folder",
            "folder.hpm: a regular file expected, found a directory or a device",
        ),
        ("", ": a folder; name a profile in it"),
    ] {
        let output = example("report", &[&path(given)]);
        assert_eq!(status(&output), 1, "{given}");
        let lines = stderr_lines(&output);
        assert_eq!(lines.len(), 1, "{lines:?}");
        assert!(lines[0].contains(expected), "{lines:?}");
        assert_eq!(stdout(&output), "");
    }
}

#[test]
fn the_low_level_loop_counts_events() {
    let output = example("events", &[]);
    assert_eq!((status(&output), stderr_lines(&output)), (0, vec![]));
    assert_eq!(
        stdout(&output),
        "27870 allocations, 21909 frees, 8334103 bytes live at the end\n"
    );
    let missing = example("events", &["none.hpd"]);
    assert_eq!(status(&missing), 1);
    assert!(stderr_lines(&missing)[0].contains("none.hpd: "));
}

#[test]
fn export_json_prints_lines_and_nothing_else() {
    let filebase = recording("tiny").unwrap();
    let filebase = filebase.to_str().unwrap();
    let output = export(&["meta", filebase]);
    assert_eq!(
        stdout(&output),
        "{\"start_ns\":1795342107811250516,\"rates\":[],\"traces\":17}\n"
    );
    // The name of a file of the profile will do.
    let output = export(&["meta", &format!("{filebase}.hpd")]);
    assert_eq!(status(&output), 0);
    let output = export(&["events", filebase]);
    let text = stdout(&output);
    assert_eq!(
        text.lines().next(),
        Some(
            "{\"elapsed_us\":16,\"wall_us\":16,\"trace\":1,\"free\":false,\"bytes\":424,\"estimate\":424}"
        )
    );
    assert_eq!(text.lines().count(), 366);
    assert_eq!(stderr_lines(&output), Vec::<String>::new());
}

#[test]
fn export_json_says_on_standard_error_where_files_stop_making_sense() {
    let told = |name: &str, question: &[&str]| {
        let filebase = recording(name).unwrap();
        let mut args = question.to_vec();
        args.insert(1, filebase.to_str().unwrap());
        let output = export(&args);
        assert_eq!(status(&output), 0);
        let folder = filebase.parent().unwrap().to_str().unwrap();
        stderr_lines(&output)
            .into_iter()
            .map(|line| line.strip_prefix(folder).unwrap()[1..].to_owned())
            .collect::<Vec<_>>()
    };
    let corrupt = [
        "huge_corrupt.hpd: record at byte 1523: trace 1536 is not among the 8 of the .hpm file",
        "huge_corrupt.hpd: record at byte 3127: the file ends inside the record",
    ];
    let surrogate = [
        "surrogate.hpm: record at byte 1253: the file ends inside the record",
        "surrogate.hpd: record at byte 4199: trace 8 is not among the 7 of the .hpm file",
    ];
    for question in [&["events"][..], &["usage", "end"]] {
        assert_eq!(told("huge_corrupt", question), corrupt);
        assert_eq!(told("surrogate", question), surrogate);
    }
    assert_eq!(told("surrogate", &["traces"]), surrogate[..1]);
    assert_eq!(told("surrogate", &["snapshots", "100"]), surrogate);
    assert_eq!(
        told("forked", &["snapshots", "100"]),
        ["forked.hpd: record at byte 6019: more is freed than was allocated by trace 2"]
    );
    assert_eq!(told("tiny", &["usage", "end"]), Vec::<String>::new());
}

#[test]
fn export_json_ends_with_1_where_there_is_nothing_to_answer_from() {
    let folder = tempfile::tempdir().unwrap();
    let filebase = Profile::default().traces(1).save(folder.path());
    let given = filebase.to_str().unwrap();
    // An empty log is a log.
    let output = export(&["usage", given, "end"]);
    assert_eq!((status(&output), stdout(&output)), (0, String::new()));
    assert_eq!(status(&export(&["digest", given])), 1);

    fs::remove_file(filebase.with_extension("hpd")).unwrap();
    for (question, expected) in [
        (&["meta", given][..], 0),
        (&["traces", given], 0),
        (&["events", given], 1),
        (&["usage", given, "end"], 1),
        (&["snapshots", given, "5"], 1),
        (&["series", given, "5"], 1),
    ] {
        assert_eq!(status(&export(question)), expected, "{question:?}");
    }
    fs::write(filebase.with_extension("hpd"), "").unwrap();
    fs::write(filebase.with_extension("hpm"), "").unwrap();
    for what in ["meta", "traces", "events"] {
        assert_eq!(status(&export(&[what, given])), 1);
    }
}

#[test]
fn export_json_reads_a_digest_alone() {
    let filebase = recording("tiny").unwrap();
    let folder = tempfile::tempdir().unwrap();
    let alone = folder.path().join("alone.hpc");
    fs::copy(
        filebase.with_file_name("heapprof-1.0/digest_i1_p0.hpc"),
        &alone,
    )
    .unwrap();
    let output = export(&["digest", alone.to_str().unwrap()]);
    assert_eq!(status(&output), 0);
    let text = stdout(&output);
    assert_eq!(
        text.lines().next(),
        Some("{\"at_us\":1000000,\"trace\":13,\"bytes\":2000228}")
    );
    assert_eq!(text.lines().count(), 13);
}

#[test]
fn export_json_prints_a_damaged_digest_as_it_is_and_tells_each_kind_once() {
    let folder = tempfile::tempdir().unwrap();
    let filebase = Profile::default()
        .traces(3)
        .with_events(&[(500, 1, 10), (1500, 2, 20), (2500, 3, 30), (3500, 1, 40)])
        .save(folder.path());
    let reader = heapprof::Reader::open(&filebase).unwrap();
    let options = heapprof::DigestOptions::default().interval(Duration::from_millis(1));
    reader.make_digest(options).unwrap();
    let path = filebase.with_extension("hpc");
    let whole = fs::read(&path).unwrap();
    let lines = |bytes: &[u8]| {
        fs::write(&path, bytes).unwrap();
        let output = export(&["digest", filebase.to_str().unwrap()]);
        assert_eq!(status(&output), 0);
        let told: Vec<_> = stderr_lines(&output)
            .into_iter()
            .map(|line| line.split_once(": ").unwrap().1.to_owned())
            .collect();
        (stdout(&output).lines().count(), told)
    };
    assert_eq!(lines(&whole), (9, vec![]));
    // The weights of the first and of the last snapshot; each has its mark, a count, and pairs.
    let mut bent = whole.clone();
    let marks: Vec<usize> = whole
        .windows(4)
        .enumerate()
        .filter(|(_, window)| window == b"\x53\x79\xa0\xbd")
        .map(|(at, _)| at)
        .collect();
    bent[marks[0] + 6] ^= 1;
    bent[marks[3] + 6] ^= 1;
    let (rows, told) = lines(&bent);
    assert_eq!((rows, told.len()), (9, 1));
    assert!(
        told[0].starts_with("record at byte 29: the checksum does not fit"),
        "{told:?}"
    );
    // And the mark of the second.
    bent[marks[1]] ^= 1;
    let (rows, told) = lines(&bent);
    assert_eq!((rows, told.len()), (7, 2));
}

#[test]
fn export_json_escapes_what_some_take_for_the_end_of_a_line() {
    let folder = tempfile::tempdir().unwrap();
    let mut profile = Profile::default();
    profile.trace(&[("a\u{85}b\u{2028}\u{1f600}\"\n", 1)]);
    let filebase = profile.save(folder.path());
    let output = export(&["traces", filebase.to_str().unwrap()]);
    assert_eq!(
        stdout(&output),
        "{\"trace\":1,\"frames\":[[\"a\\u0085b\\u2028\\ud83d\\ude00\\\"\\n\",1]]}\n"
    );
}

#[test]
fn export_json_ends_with_2_where_the_arguments_make_no_sense() {
    let filebase = recording("tiny").unwrap();
    let given = filebase.to_str().unwrap();
    for senseless in [
        &["snapshots", given, "0"][..],
        &["snapshots", given, "ten"],
        &["snapshots", given, "10", "1"],
        &["snapshots", given, "10", "-0.1"],
        &["snapshots", given, "10", "nan"],
        &["snapshots", given],
        &["usage", given, "yesterday"],
        &["usage", given, "1..x"],
        &["usage", given],
        &["series", given, "0"],
        &["series", given, "10", "no line"],
        &["everything", given],
        &[],
    ] {
        let output = export(senseless);
        assert_eq!(
            (status(&output), stdout(&output)),
            (2, String::new()),
            "{senseless:?}"
        );
    }
}

/// The bytes of all stacks that `to_folded` writes.
fn folded_bytes(args: &[&str]) -> i64 {
    let output = example("to_folded", args);
    assert_eq!(
        (status(&output), stderr_lines(&output)),
        (0, vec![]),
        "{args:?}"
    );
    let text = stdout(&output);
    let bytes = text.lines().map(|line| line.rsplit_once(' ').unwrap().1);
    bytes.map(|bytes| bytes.parse::<i64>().unwrap()).sum()
}

#[test]
fn moments_are_understood_in_all_forms_and_printed_times_are_found() {
    let reader = Reader::open("examples/data/demo").unwrap();
    let peak = reader.peak().unwrap().total();
    let at = |text: &str| folded_bytes(&["--at", text]);
    let live = |micros| {
        let usage = reader.live_at(Elapsed::from_micros(micros)).unwrap();
        usage.total()
    };
    for text in ["peak", "12.678881", "12.678881s", "12678.881ms"] {
        assert_eq!(at(text), peak, "{text}");
    }
    assert_eq!(
        (at("end"), folded_bytes(&["--end"])),
        (live(u64::MAX), live(u64::MAX))
    );
    assert_eq!(
        (at("250ms"), at("0.1min")),
        (live(250_000), live(6_000_000))
    );
    // The clock on the wall: it started at 11:04:05.262575.
    let start = reader.start().as_nanos() / 1000 % 1_000_000;
    let to_the_second = 5_000_000 - u64::try_from(start).unwrap();
    assert_eq!(at("11:04:10"), live(to_the_second));
    let growth = folded_bytes(&["--growth", "5..peak"]);
    assert_eq!(growth, folded_bytes(&["--growth", "5s..12678.881ms"]));
    for (wrong, why) in [
        ("--at=5 parsecs", "parsecs is no unit of time"),
        ("--at=soon", "soon is no unit of time"),
        ("--at=-5", "not a moment"),
        (
            "--at=14:32:05",
            "14:32:05: the recording is not of this time",
        ),
        ("--growth=9..5", "9 s is after 5 s"),
    ] {
        let output = example("to_folded", &[wrong]);
        assert_ne!(status(&output), 0, "{wrong}");
        assert!(
            stderr(&output).contains(why),
            "{wrong}: {}",
            stderr(&output)
        );
    }
}

/// A service whose handler keeps what libraries allocate for it, as a Rust program is recorded.
fn service(folder: &Path) -> PathBuf {
    const REGISTRY: &str = "/root/.cargo/registry/src/index.crates.io-1949cf8c6b5b557f";
    let of = |path: &str, line, function: &str| {
        OwnedFrame::new(format!("{REGISTRY}/{path}"), line).in_function(function)
    };
    let std = |path: &str, line, function: &str| {
        let commit = "59807616e1fa2540724bfbac14d7976d7e4a3860";
        OwnedFrame::new(format!("/rustc/{commit}/library/{path}"), line).in_function(function)
    };
    let own = |path: &str, line, function: &str| OwnedFrame::new(path, line).in_function(function);
    let outer = [
        std("std/src/rt.rs", 206, "lang_start"),
        own("src/main.rs", 12, "service::main"),
        of("tokio-1.47.1/src/runtime/task/core.rs", 365, "poll"),
    ];
    let parse = [
        of("serde_json-1.0.154/src/de.rs", 2100, "from_str"),
        of("serde_json-1.0.154/src/map.rs", 138, "insert"),
        std("alloc/src/raw_vec/mod.rs", 556, "finish_grow"),
    ];
    let stack = |handler: OwnedFrame| [&outer[..], &[handler], &parse[..]].concat();
    let stacks = [
        stack(own("src/handlers.rs", 49, "service::handlers::remember")),
        stack(own("src/handlers.rs", 71, "service::handlers::answer")),
        [&outer[..1], &[std("std/src/thread.rs", 9, "spawn")]].concat(),
    ];
    let start = StartTime::new(1_700_000_000, 0);
    let rates = SamplingRates::unsampled();
    let mut hpm = TraceWriter::new(Vec::new(), start, &rates).unwrap();
    let ids = stacks.map(|stack| hpm.intern_outermost_first(&stack).unwrap());
    let mut hpd = EventWriter::new(Vec::new());
    let mut write = |micros: i64, trace: usize, size, kind| {
        let wall = WallOffset::from_micros(micros);
        hpd.write(wall, Some(ids[trace]), size, kind).unwrap();
    };
    write(0, 2, 5_000, EventKind::Allocation);
    for request in 0..1_000 {
        let at = request * 10_000;
        write(at, 0, 300, EventKind::Allocation);
        write(at + 10, 1, 40_000, EventKind::Allocation);
        write(at + 20, 1, 40_000, EventKind::Free);
    }
    let base = folder.join("service");
    fs::write(base.with_extension("hpm"), hpm.into_inner()).unwrap();
    fs::write(base.with_extension("hpd"), hpd.into_inner()).unwrap();
    base
}

#[test]
fn the_report_names_the_own_line_that_leaks_through_libraries() {
    let folder = tempfile::tempdir().unwrap();
    let base = service(folder.path());
    let base = base.to_str().unwrap();
    let text = stdout(&example("report", &[base]));
    let first_screen: Vec<&str> = text.lines().take(24).collect();
    let leaks = "It leaks: service::handlers::remember (handlers.rs:49) grew in 22 of 22 parts of the recording";
    assert!(
        first_screen.iter().any(|line| line.starts_with(leaks)),
        "{text}"
    );
    for part in [
        "  service::handlers::remember (handlers.rs:49) → finish_grow (standard library mod.rs:556)\n",
        "explains 99 %, 1 more line the rest\n",
        "finish_grow (standard library mod.rs:556) < insert (serde_json 1.0.154 map.rs:138) (+1) < service::handlers::remember",
    ] {
        assert!(text.contains(part), "{part}\n{text}");
    }
    // Pictures and exports fold what is not the program's own.
    let folded = stdout(&example(
        "to_folded",
        &[base, "--own", "--end", "--focus", "handlers::remember"],
    ));
    assert_eq!(
        folded,
        "standard library …;service::main (src/main.rs:12);tokio 1.47.1 …;\
         service::handlers::remember (src/handlers.rs:49);serde_json 1.0.154 … 300000\n"
    );
    let ignored = stdout(&example(
        "to_folded",
        &[base, "--end", "--ignore", "serde_json"],
    ));
    assert!(ignored.ends_with(
        "spawn (/rustc/59807616e1fa2540724bfbac14d7976d7e4a3860/library/std/src/thread.rs:9) 5000\n"
    ));
    let own_code = [
        "--own",
        "--end",
        "--own-code",
        "/rustc/",
        "--ignore",
        "tokio",
    ];
    let own_code = stdout(&example("to_folded", &[&[base], &own_code[..]].concat()));
    assert!(own_code.contains(";spawn (/rustc/"), "{own_code}");
}

#[test]
fn profiles_are_found_beside_folders_and_compressed_ones_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    for kind in ["hpm", "hpd"] {
        let bytes = fs::read(format!("examples/data/demo.{kind}")).unwrap();
        fs::write(path(&format!("run.{kind}")), &bytes).unwrap();
        fs::write(path(&format!("packed.{kind}.zst")), &bytes).unwrap();
    }
    fs::create_dir(path("run")).unwrap();
    assert_eq!(folded_bytes(&[&path("run")]), 19_241_503);
    assert!(stdout(&example("export_json", &["usage", &path("run"), "end"])).contains("bytes"));
    let programs = [
        ("to_folded", &[][..]),
        ("events", &[]),
        ("export_json", &["meta"]),
    ];
    let names = ["packed", "packed.hpm.zst", "other.hpd.zst"];
    let all = programs
        .iter()
        .flat_map(|program| names.map(|name| (program, name)));
    for ((name, args), given) in all {
        let output = example(name, &[*args, &[&*path(given)]].concat());
        let lines = stderr_lines(&output);
        let why = format!("{given}: the files are compressed; unpack them with zstd -d first");
        assert_eq!((status(&output), lines.len()), (1, 1), "{lines:?}");
        assert!(lines[0].ends_with(&why), "{lines:?}");
    }
    let output = example("report", &[&path("no\u{1b}[2Jne")]);
    assert_eq!(status(&output), 1);
    assert!(!stderr(&output).contains('\u{1b}'), "{}", stderr(&output));
}

#[test]
fn examples_end_quietly_when_nobody_reads_on() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let (compacted, recorded, converted) = (path("compacted"), path("recorded"), path("converted"));
    let demo = "examples/data/demo";
    let recording = "tests/data/heaptrack/inventory.zst";
    for (name, args) in [
        ("events", &[demo][..]),
        ("report", &[demo]),
        ("export_json", &["events", demo]),
        ("flame_graph", &[demo]),
        ("flow_graph", &[demo]),
        ("time_plot", &[demo]),
        ("to_folded", &[demo]),
        ("to_pprof", &[demo]),
        ("to_speedscope", &[demo]),
        ("to_trace_events", &[demo]),
        ("compact", &[demo, &compacted]),
        ("from_heaptrack", &[recording, &converted]),
        ("record", &[&recorded, "--orders", "10", "--everything"]),
    ] {
        let mut child = Command::new(program(name))
            .args(args)
            .current_dir(root())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        drop(child.stdout.take());
        let output = child.wait_with_output().unwrap();
        assert_eq!((status(&output), &*stderr(&output)), (0, ""), "{name}");
    }
}

#[test]
fn small_inputs_that_went_wrong_are_reported_right() {
    let Some(cases) = shared("cases") else {
        return;
    };
    let case = |name: &str| cases.join(name).to_str().unwrap().to_owned();
    let report = |name: &str| {
        let output = example("report", &[&case(name)]);
        assert_eq!((status(&output), &*stderr(&output)), (0, ""), "{name}");
        stdout(&output)
    };
    for (name, expected) in [
        ("control_characters", &["1 kB  67 %  line\u{fffd}"][..]),
        (
            "peak_at_1999999",
            &["At most 1 kB were live, at 1.999999 s, "],
        ),
        (
            "shrinks",
            &[
                "Grown from 0.25055 s to the end: -10.00 MB",
                "-10 MB 100 %  big.py:1",
            ],
        ),
        (
            "clock_leaps",
            &[
                "recorded for 7 s, gaps closed to 1 s\n",
                "no event for 17361 days after 3 s: the clock leaped, or the program slept; all times count it as 1 s",
                "It leaks: b.py:7 grew in 9 of 9 parts of the recording",
            ],
        ),
    ] {
        let text = report(name);
        assert!(text.chars().all(|c| c == '\n' || !c.is_control()), "{name}");
        for part in expected {
            assert!(text.contains(part), "{name}: {part}\n{text}");
        }
    }
    // A time that is shown can be typed.
    assert_eq!(
        folded_bytes(&[&case("peak_at_1999999"), "--at", "1.999999 s"]),
        1_000
    );
    let kept = example("report", &[&case("clock_leaps"), "--close-gaps", "never"]);
    assert!(stdout(&kept).contains("recorded for 1500000006 s\n"));
    let closed = example("report", &[&case("clock_leaps"), "--close-gaps", "2s"]);
    assert!(stdout(&closed).contains("recorded for 8 s, gaps closed to 2 s\n"));
    // The clock is that of all times on a command line.
    let output = example("to_folded", &[&case("clock_leaps"), "--at", "7"]);
    assert_eq!(
        stdout(&output),
        "/app/main.py:2;/app/b.py:7 305000\n/app/main.py:1;/app/a.py:5 300000\n"
    );
    assert_eq!(stderr_lines(&output).len(), 1);
}

#[test]
fn names_that_no_frame_has_and_times_after_the_end_are_reported() {
    for option in ["--focus", "--ignore"] {
        let output = example("to_folded", &["examples/data/demo", option, "nosuch"]);
        let why = "nosuch: no function, file or package of the recording has this in its name";
        assert_eq!(stderr_lines(&output), [format!("{option} {why}")]);
        assert_eq!(status(&output), 1);
    }
    // Not every line of "own code".
    assert_eq!(folded_bytes(&["--ignore", "own code", "--end"]), 0);
    let output = example("to_folded", &["--ignore", "own"]);
    assert_eq!(status(&output), 1);

    let output = example("flame_graph", &["--at", "99999"]);
    let note = "99999 s is after the end of the recording, at 21.789059 s";
    assert_eq!(
        (status(&output), &*stderr_lines(&output)),
        (0, &[note.to_owned()][..])
    );
    assert!(stdout(&output).contains("8.33 MB live at 21.789059 s"));
}

#[test]
fn many_gaps_are_one_line_of_the_report() {
    let folder = tempfile::tempdir().unwrap();
    let hours: Vec<_> = (0..40)
        .flat_map(|n| {
            [
                (n * 3_600_000_000, 1, 8),
                (n * 3_600_000_000 + 500_000, 1, 8),
            ]
        })
        .collect();
    let filebase = Profile::default()
        .traces(1)
        .with_events(&hours)
        .save(folder.path());
    let text = stdout(&example("report", &[filebase.to_str().unwrap()]));
    let expected = "  warning   39 gaps without an event, 38 hours in all, the first after 0.5 s: the clock leaped, or the program slept; all times count each as 2 s, see --close-gaps\n";
    assert!(text.contains(expected), "{text}");
    assert!(
        text.contains("recorded for 98 s, gaps closed to 2 s"),
        "{text}"
    );
}

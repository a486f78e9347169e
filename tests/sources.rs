//! Profiles that come from elsewhere: from heaptrack.

mod common;

use std::fs;
use std::io::Write;
use std::ops::ControlFlow;
use std::path::Path;
use std::process::{Command, Output};
use std::time::{Duration, UNIX_EPOCH};

use common::output::{stderr, stdout, succeeded};
use common::{program, root};
use flate2::write::GzEncoder;
use heapprof::query::{AppliedEvent, LiveHeap, Query, QueryEnd};
use heapprof::view::Lines;
use heapprof::{Elapsed, Reader, StartTime, TraceId};
use ruzstd::decoding::StreamingDecoder;
use ruzstd::encoding::{CompressionLevel, compress_to_vec};
use tempfile::TempDir;

/// What the log says in all, as other tools count it.
#[derive(Debug, Default, PartialEq, Eq)]
struct Totals {
    allocations: u64,
    frees: u64,
    /// Frees of what the event before allocated: the same size with the same stack.
    temporary: u64,
    allocated: i64,
    live: i64,
    peak: i64,
    peak_at: Elapsed,
    /// The lowest balance of a trace.
    lowest: i64,
    /// The largest index of a trace.
    traces: u32,
    unknown: u64,
    last: Option<(Option<TraceId>, u64)>,
}

impl Query for Totals {
    type Output = Self;

    fn observe(&mut self, applied: &AppliedEvent, _: &LiveHeap) -> ControlFlow<()> {
        let event = applied.event;
        let block = (event.trace, event.size);
        if event.is_free() {
            self.frees += 1;
            self.temporary += u64::from(self.last == Some(block));
            self.last = None;
        } else {
            self.allocations += 1;
            self.allocated += applied.bytes;
            self.last = Some(block);
        }
        self.live = applied.total;
        if applied.total > self.peak {
            (self.peak, self.peak_at) = (applied.total, event.elapsed);
        }
        self.lowest = self.lowest.min(applied.trace_after);
        self.traces = self.traces.max(event.trace.map_or(0, TraceId::get));
        self.unknown += u64::from(event.trace.is_none());
        ControlFlow::Continue(())
    }

    fn finish(self, _: &QueryEnd<'_>) -> Self {
        Self { last: None, ..self }
    }
}

/// What the log of a recording must be, however the program ended.
fn consistent(filebase: &Path) -> (Reader, Totals) {
    let reader = Reader::open(filebase).unwrap();
    let totals = reader.ask(Totals::default()).unwrap();
    assert!(totals.lowest >= 0);
    assert_eq!(totals.unknown, 0);
    let traces = reader.traces().unwrap();
    assert!(totals.traces as usize <= traces.len());
    assert!(traces.iter().all(|(_, trace)| !trace.is_empty()));
    (reader, totals)
}

/// The recording in `tests/data`, and what `heaptrack_print` says of it.
const INVENTORY: &str = "tests/data/heaptrack/inventory.zst";
const FIGURES: [(&str, i64); 5] = [
    ("allocations", 1475),
    ("temporary", 931),
    ("frees", 1473),
    ("peak bytes", 110_819),
    ("leaked bytes", 15_320),
];

fn convert(recording: &Path, args: &[&str]) -> Output {
    Command::new(program("from_heaptrack"))
        .arg(recording)
        .args(args)
        .output()
        .unwrap()
}

/// The figures that the example prints.
fn figures(output: &Output) -> Vec<(String, i64)> {
    stdout(output)
        .lines()
        .take_while(|line| !line.is_empty())
        .map(|line| {
            let (name, figure) = line.rsplit_once(' ').unwrap();
            (name.trim_end().to_owned(), figure.parse().unwrap())
        })
        .collect()
}

/// Whether the log says the same as these figures. What is temporary cannot be told from it to the
/// block: a free names a stack and a size.
fn agree(totals: &Totals, figures: &[(String, i64)]) {
    let figure = |name: &str| figures.iter().find(|figure| figure.0 == name).unwrap().1;
    assert_eq!(totals.allocations.cast_signed(), figure("allocations"));
    assert_eq!(totals.frees.cast_signed(), figure("frees"));
    assert_eq!(totals.peak, figure("peak bytes"));
    assert_eq!(totals.live, figure("leaked bytes"));
}

fn inventory() -> Vec<u8> {
    let packed = fs::read(root().join(INVENTORY)).unwrap();
    let mut text = Vec::new();
    let mut decoder = StreamingDecoder::new(packed.as_slice()).unwrap();
    std::io::copy(&mut decoder, &mut text).unwrap();
    text
}

#[test]
fn a_recording_of_heaptrack_says_what_heaptrack_print_says() {
    let folder = TempDir::new().unwrap();
    let packed = fs::read(root().join(INVENTORY)).unwrap();
    let text = inventory();
    let mut gzip = GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(&text).unwrap();
    let twice = {
        let (first, second) = text.split_at(text.len() / 2);
        [first, second].map(|part| {
            let mut gzip = GzEncoder::new(Vec::new(), flate2::Compression::fast());
            gzip.write_all(part).unwrap();
            gzip.finish().unwrap()
        })
    };
    for (name, bytes) in [
        ("run.zst", packed),
        ("run.gz", gzip.finish().unwrap()),
        ("run", text),
        ("run.twice.gz", twice.concat()),
    ] {
        let recording = folder.path().join(name);
        fs::write(&recording, bytes).unwrap();
        let output = convert(&recording, &[]);
        succeeded(&output);
        let expected = FIGURES.map(|(name, figure)| (name.to_owned(), figure));
        assert_eq!(figures(&output), expected, "{name}");
        let filebase = folder
            .path()
            .join(name.trim_end_matches(".zst").trim_end_matches(".gz"));
        let (reader, totals) = consistent(&filebase);
        assert_eq!(reader.damage().unwrap(), []);
        agree(&totals, &expected);
        assert_eq!((totals.temporary, totals.allocated), (930, 383_812));
    }
}

#[test]
fn stacks_of_heaptrack_are_lines_or_else_functions() {
    let folder = TempDir::new().unwrap();
    let filebase = folder.path().join("inventory");
    let recording = root().join(INVENTORY);
    let args = [
        filebase.to_str().unwrap(),
        "--start",
        "2026-11-22T11:04:05Z",
    ];
    assert!(convert(&recording, &args).status.success());
    let reader = Reader::open(&filebase).unwrap();
    assert_eq!(reader.start(), StartTime::new(1_795_345_445, 0));
    let traces = reader.traces().unwrap();
    let stack = |reader: &Reader, id| {
        let trace = reader.traces().unwrap().trace(TraceId::new(id)).unwrap();
        trace
            .frames()
            .map(|frame| frame.to_string())
            .collect::<Vec<_>>()
    };
    let main = [
        "_start (inventory)",
        "__libc_start_main_impl (../csu/libc-start.c:360)",
        "__libc_start_call_main (../sysdeps/nptl/libc_start_call_main.h:58)",
    ];
    // Two functions that are inlined, and a standard library that is not shown.
    let source = |function, line| format!("{function} (/srv/app/inventory.cpp:{line})");
    let label = "label[abi:cxx11](long)";
    let called = [("main", 54), ("remember", 29), (label, 20)];
    let called = called.map(|(function, line)| source(function, line));
    assert_eq!(stack(&reader, 3)[..3], main);
    assert_eq!(stack(&reader, 3)[3..], called);
    // Where no function is known, the module and the address are.
    assert_eq!(
        stack(&reader, 1),
        [
            "./elf/rtld.c",
            "_dl_init (./elf/dl-init.c:121)",
            "call_init (./elf/dl-init.c:26)",
            "call_init (./elf/dl-init.c:74)",
            "libstdc++.so.6+0x7f53898a57b9",
        ]
    );
    let end = reader.live_at_end().unwrap();
    let lines = Lines::new(traces, &end);
    let local: Vec<_> = lines
        .by_local()
        .take_while(|line| line.local > 0)
        .map(|line| (line.local, line.frame.to_string()))
        .collect();
    let expected = [
        (15_000, source("log_of", 43)),
        (320, "calloc (../include/rtld-malloc.h:44)".to_owned()),
    ];
    assert_eq!(local, expected);
    // The cache, the report with its thread, and the end.
    let total = |millis| {
        reader
            .live_at(Elapsed::from_millis(millis))
            .unwrap()
            .total()
    };
    assert_eq!(
        [0, 34, 35, 63, 64].map(total),
        [77_940, 77_940, 78_260, 78_260, 15_320]
    );

    assert!(convert(&recording, &[args[0], "--full"]).status.success());
    let reader = Reader::open(&filebase).unwrap();
    let full = stack(&reader, 3);
    assert_eq!(full[3..6], called);
    assert_eq!(
        full.last().unwrap(),
        "operator new(unsigned long) (libstdc++.so.6)"
    );
    assert_eq!(full.len(), 11);
    // When it began, as far as one can tell.
    let copy = folder.path().join("copy");
    fs::write(&copy, inventory()).unwrap();
    let file = fs::File::options().write(true).open(&copy).unwrap();
    file.set_modified(UNIX_EPOCH + Duration::from_secs(1_000))
        .unwrap();
    assert!(convert(&copy, &[]).status.success());
    let start = Reader::open(&copy).unwrap().start();
    assert_eq!(start, StartTime::new(999, 927_000_000));
}

#[test]
fn a_recording_of_heaptrack_that_is_cut_is_taken_as_far_as_it_goes() {
    let folder = TempDir::new().unwrap();
    let text = inventory();
    let packed = fs::read(root().join(INVENTORY)).unwrap();
    let mut gzip = GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(&text).unwrap();
    let gzip = gzip.finish().unwrap();
    let run = folder.path().join("run");
    let events = |part: &[u8]| {
        fs::write(&run, part).unwrap();
        let output = convert(&run, &[]);
        succeeded(&output);
        let (_, totals) = consistent(&run);
        agree(&totals, &figures(&output));
        let cut = stderr(&output).ends_with("run: ends early; what is whole was taken\n");
        assert!(cut || stderr(&output).is_empty());
        (cut, totals.allocations + totals.frees)
    };
    assert_eq!(events(&text), (false, 2948));
    // Between two lines, at the end of one, and in a string.
    let lines: Vec<_> = text.split_inclusive(|&byte| byte == b'\n').collect();
    let first = lines.iter().position(|line| line == b"+ 1\n").unwrap();
    let up_to = |line: usize| lines[..line].concat();
    assert_eq!(events(&up_to(first + 1)), (false, 2));
    let cut = up_to(first + 1);
    assert_eq!(events(&cut[..cut.len() - 1]), (true, 1));
    let string = lines
        .iter()
        .position(|line| line.starts_with(b"s 1"))
        .unwrap();
    let cut = up_to(string + 1);
    assert_eq!(events(&cut[..cut.len() - 5]), (true, 0));

    let (cut, count) = events(&gzip[..gzip.len() * 3 / 4]);
    assert!(cut && (100..2948).contains(&count), "{count}");
    // So small a file is one block; a longer one has several.
    assert_eq!(events(&packed[..packed.len() - 1]), (true, 2948));
    let mut long = text;
    let mut seed = 1_u64;
    for _ in 0..100_000 {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        let block = (seed >> 33) % 40;
        writeln!(long, "+ {block:x}\n- {block:x}").unwrap();
    }
    let packed = compress_to_vec(&long[..], CompressionLevel::Fastest);
    assert_eq!(events(&packed), (false, 202_948));
    let (cut, count) = events(&packed[..packed.len() * 3 / 4]);
    assert!(cut && (100_000..202_948).contains(&count), "{count}");
}

#[test]
fn texts_by_hand() {
    let folder = TempDir::new().unwrap();
    let run = folder.path().join("run");
    let converted = |text: &str| {
        fs::write(&run, text).unwrap();
        let output = convert(&run, &["--start", "2026-11-22T11:04:05Z"]);
        succeeded(&output);
        let (reader, totals) = consistent(&run);
        let traces = reader.traces().unwrap().iter().map(|(_, trace)| {
            let frames = trace.frames().map(|frame| frame.to_string());
            frames.collect::<Vec<_>>().join(" > ")
        });
        (traces.collect::<Vec<_>>(), totals, figures(&output))
    };
    // Strings know how long they are, a command does not; numbers are hexadecimal; `main` calls
    // `work`, into which `make` is inlined.
    let (traces, totals, said) = converted(
        "v 10400 3\nX python -c import os\ns 5\nt = 1\n\nI 1000 5e298f\n\
         s a /bin/a\nb c\ns 4 main\ns 3 a.c\ns 4 make\n\
         i 7f00 1 2 3 ff\ni 7f01 1 4 3 10 2 3 1f\n\
         t 1 0\nt 2 1\na 1000 2\n+ 0\nc a\n- 0\n# the end\n",
    );
    assert_eq!(traces, ["main (a.c:255) > main (a.c:31) > make (a.c:16)"]);
    assert_eq!(totals.peak, 4096);
    agree(&totals, &said);

    // Before format 3 a string goes on to the end of its line. Names of Rust, of both kinds and
    // as heaptrack has them.
    let (traces, totals, said) = converted("v 10200\n");
    assert_eq!((traces.len(), totals.allocations, said[0].1), (0, 0, 0));
    let (traces, totals, said) = converted(
        "v 10300 2\ns /usr/bin/shop\ns _RNvCs1234_4shop4main\n\
         s _$LT$shop..Till$u20$as$u20$core..ops..drop..Drop$GT$::drop::h0123456789abcdef\n\
         s alloc::raw_vec::finish_grow\ns /usr/lib/libstdc++.so.6\n\
         i 10 1 2\ni 11 1 3\ni 12 1 4\ni 13 1\ni 14\ni 15 5\n\
         t 1 0\nt 2 1\nt 3 2\nt 4 1\nt 5 1\nt 6 1\n\
         a 10 2\na 10 3\na 20 4\na 30 5\na 40 6\n\
         + 0\n+ 1\n- 1\n- 0\n+ 2\n+ 3\n+ 4\n",
    );
    let main = "shop::main (shop)";
    let inside = |frame: &str| format!("{main} > {frame}");
    assert_eq!(
        traces,
        [
            inside("<shop::Till as core::ops::drop::Drop>::drop (shop)"),
            inside("shop+0x13"),
            inside("0x14"),
            inside("libstdc++.so.6+0x15"),
        ]
    );
    agree(&totals, &said);
    // The free of the first is temporary to heaptrack_print, as it comes after another.
    assert_eq!(said[1], ("temporary".to_owned(), 2));
    assert_eq!(totals.temporary, 1);
}

#[test]
fn whatever_standard_tools_decompress_is_read() {
    let folder = TempDir::new().unwrap();
    let text = inventory();
    let (first, second) = text.split_at(text.len() / 3);
    let gzip = |part: &[u8]| {
        let mut gzip = GzEncoder::new(Vec::new(), flate2::Compression::fast());
        gzip.write_all(part).unwrap();
        gzip.finish().unwrap()
    };
    let zstd = |part: &[u8]| compress_to_vec(part, CompressionLevel::Fastest);
    let skippable = |len: u8| {
        [
            &[0x5a, 0x2a, 0x4d, 0x18, len, 0, 0, 0][..],
            &vec![7; len.into()],
        ]
        .concat()
    };
    let garbage = "what follows the compressed data is ignored\n";
    for (name, bytes, told) in [
        ("members", [gzip(first), gzip(second)].concat(), ""),
        (
            "empty members",
            [gzip(b""), gzip(first), gzip(b""), gzip(second), gzip(b"")].concat(),
            "",
        ),
        ("zeros", [gzip(&text), vec![0; 512]].concat(), ""),
        (
            "garbage",
            [gzip(&text), b"garbage".to_vec()].concat(),
            garbage,
        ),
        ("frames", [zstd(first), zstd(second)].concat(), ""),
        (
            "skippable",
            [
                skippable(9),
                zstd(first),
                skippable(0),
                zstd(second),
                skippable(200),
            ]
            .concat(),
            "",
        ),
    ] {
        let run = folder.path().join("run");
        fs::write(&run, bytes).unwrap();
        let output = convert(&run, &[]);
        succeeded(&output);
        assert_eq!(stderr(&output), told, "{name}");
        let (_, totals) = consistent(&run);
        assert_eq!(totals.allocations + totals.frees, 2948, "{name}");
    }
    // A skippable frame that is cut.
    let run = folder.path().join("run");
    let cut = skippable(200);
    fs::write(&run, [zstd(&text), cut[..20].to_vec()].concat()).unwrap();
    let output = convert(&run, &[]);
    succeeded(&output);
    assert!(stderr(&output).ends_with("run: ends early; what is whole was taken\n"));
    // The tools themselves, where they are.
    for (tool, args) in [("gzip", &[][..]), ("zstd", &["--long=27", "-q"])] {
        let packed = Command::new(tool)
            .args(args)
            .arg("-c")
            .stdin(
                fs::File::open({
                    fs::write(&run, &text).unwrap();
                    &run
                })
                .unwrap(),
            )
            .output();
        let Ok(packed) = packed else {
            eprintln!("skipped: {tool} is not here");
            continue;
        };
        fs::write(&run, packed.stdout).unwrap();
        succeeded(&convert(&run, &[]));
        assert_eq!(consistent(&run).1.allocations, 1475, "{tool}");
    }
}

#[test]
fn suppressed_leaks_are_freed_at_the_end() {
    let folder = TempDir::new().unwrap();
    let run = folder.path().join("run");
    let text = "v 10400 3\nX shop\ns 9 /bin/shop\ns 4 main\ns e dl_open_worker\ns b cache_start\ns 7 /a/wa.c\n\
        i 1 1 2\ni 2 1 3\ni 3 1 4\ni 4 1 2 5 7\nt 1 0\nt 2 1\nt 3 1\nt 4 1\n\
        a 64 1\na 10 2\na 20 3\na 30 4\nc 5\n+ 0\n+ 1\n+ 2\n+ 2\n+ 3\nc 3\n- 2\n+ 1\nc 8\nc 7\n- 1\n\
        S leak:^cache\nS # why\nS leak:/a/*.c$\n";
    fs::write(&run, text).unwrap();
    let output = convert(&run, &[]);
    succeeded(&output);
    assert_eq!(
        stderr(&output),
        "96 bytes of 3 suppressed leaks are freed at the end of the log; see --no-suppressions\n"
    );
    let (reader, totals) = consistent(&run);
    assert_eq!(reader.live_at_end().unwrap().total(), 100);
    agree(&totals, &figures(&output));
    // Time stamps that go down: the clock waits, so the recording is as long as heaptrack says.
    assert_eq!(reader.elapsed().unwrap(), Elapsed::from_millis(8));
    assert_eq!(totals.peak, 228);

    let output = convert(&run, &["--no-suppressions"]);
    succeeded(&output);
    assert_eq!(stderr(&output), "");
    assert_eq!(
        Reader::open(&run).unwrap().live_at_end().unwrap().total(),
        196
    );
    fs::write(&run, "v 10400 3\nS thread:x\n").unwrap();
    let output = convert(&run, &[]);
    succeeded(&output);
    assert_eq!(
        stderr(&output),
        "a suppression that is not of a leak is ignored: thread:x\n"
    );
}

#[test]
fn what_is_no_interpreted_recording_is_said_to_be_none() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("run");
    for (text, expected) in [
        ("", "not a recording of heaptrack"),
        ("reading file\n", "not a recording of heaptrack"),
        (
            "v 10400 4\n",
            "format 4 of heaptrack; 1 to 3 are known here",
        ),
        ("v 10000\n", "written by a heaptrack before 1.0"),
        (
            "v 10400 3\nx 1 /bin/a\nX a\n",
            "line 2: raw data: leave out --raw when recording, or run heaptrack_interpret on it",
        ),
        ("v 10400 3\n+ 0\n", "line 2: no such allocation"),
        (
            "v 10400 3\na 10 5\n",
            "line 2: a number that is not given out",
        ),
        (
            "v 10400 3\nt 1 0\n",
            "line 2: a number that is not given out",
        ),
        ("v 10400 3\nc 10\nc xyz\n", "line 3: no number: xyz"),
        (
            "v 10400 3\ns hello\n",
            "line 2: a string without its length",
        ),
        ("v 10400 3\na 10\n", "line 2: a number is missing"),
        ("v 10400 3\nc ffffffffffffffff\n", "line 2: "),
        ("v 10400 3\nc 7fffffffffffffff\n", "line 2: no such time"),
        (
            "v 10400 3\na 8000000000000000 0\n+ 0\n",
            "line 3: a size of",
        ),
    ] {
        fs::write(&path, text).unwrap();
        let output = convert(&path, &[]);
        assert_eq!(output.status.code(), Some(1), "{text:?}");
        let told = stderr(&output);
        assert!(
            told.contains(&format!("run: {expected}")),
            "{text:?}: {told}"
        );
        assert_eq!(told.lines().count(), 1, "{told}");
    }
    let output = convert(&folder.path().join("none"), &[]);
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(stderr(&output).lines().count(), 1);
}

#[test]
fn a_new_recording_of_heaptrack_says_what_heaptrack_print_says() {
    let has = |tool: &str| Command::new(tool).arg("--version").output().is_ok();
    if !has("heaptrack") || !has("heaptrack_print") {
        eprintln!("skipped: heaptrack is not here");
        return;
    }
    let folder = TempDir::new().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let recorded = Command::new("heaptrack")
        .args(["-o", &path("run")])
        .arg(program("report"))
        .current_dir(root())
        .output()
        .unwrap();
    assert!(recorded.status.success());
    let recording = ["zst", "gz"].map(|extension| path(&format!("run.{extension}")));
    let recording = recording
        .iter()
        .find(|path| Path::new(path).exists())
        .unwrap();
    let converted = convert(Path::new(recording), &[]);
    assert!(converted.status.success(), "{}", stderr(&converted));
    let (_, totals) = consistent(Path::new(&path("run")));
    let said = figures(&converted);
    agree(&totals, &said);

    // Its totals are rounded for people; those of the stacks that it prints are not.
    let print = |cost: &str| {
        let output = Command::new("heaptrack_print")
            .args([
                "--print-peaks=0",
                "--print-allocators=0",
                "--print-temporary=0",
            ])
            .args([
                "--flamegraph-cost-type",
                cost,
                "--print-flamegraph",
                &path("stacks"),
            ])
            .args([
                "--disable-builtin-suppressions",
                "--disable-embedded-suppressions",
            ])
            .arg(recording)
            .output()
            .unwrap();
        let weight = |line: &str| line.rsplit(' ').next().unwrap().parse::<i64>().unwrap();
        let sum: i64 = fs::read_to_string(path("stacks"))
            .unwrap()
            .lines()
            .map(weight)
            .sum();
        (stdout(&output), sum)
    };
    let expected = ["allocations", "temporary", "peak", "leaked"].map(|cost| print(cost).1);
    let found = [0, 1, 3, 4].map(|at: usize| said[at].1);
    assert_eq!(found, expected);
    assert!(found[0] > 500);
    let (text, _) = print("peak");
    assert!(text.contains(&format!("calls to allocation functions: {} ", found[0])));
    assert!(text.contains(&format!("temporary memory allocations: {} ", found[1])));
}

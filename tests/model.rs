//! What `export_json` prints equals what the model of the design prints, on every recording, the
//! damaged ones included.
//!
//! The model is a slow program in Python beside the project; what it printed is kept here as a
//! number of lines and a hash for each question, in `data/model.tsv`. With `BLESS=1` the model is
//! asked again. With `HEAPPROF_LONG=1` so are questions that take long, about recordings that must
//! be unpacked.

mod common;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs, io};

use serde_json::Value;
use sha2::{Digest, Sha256};

/// The recordings and their length in microseconds.
const RECORDINGS: [(&str, u64); 17] = [
    ("demo", 21_789_059),
    ("forked", 932_056),
    ("huge", 459_728),
    ("huge_corrupt", 50_940_312_723),
    ("killed", 1_827_533),
    ("killed_hpm", 516_822),
    ("loss", 143_196),
    ("negtime", 2_754_325),
    ("onelive", 305_663),
    ("real_docutils", 13_198_235),
    ("realloc", 55_560),
    ("recursion", 937_802),
    ("spike", 13_457_494),
    ("surrogate", 1155),
    ("threads", 1_378_102),
    ("tiny", 1_359_461),
    ("unicode", 655_399),
];

/// `tiny`, cut or bent in all kinds of ways.
const TRUNCATED: [&str; 25] = [
    "hpd_1byte",
    "hpd_afterhead",
    "hpd_aftersec",
    "hpd_boundary",
    "hpd_empty",
    "hpd_midhead",
    "hpd_midsize",
    "hpd_midvarint_usec_or_size",
    "hpd_size_2p31_crafted",
    "hpd_varint11",
    "hpm_12",
    "hpm_20",
    "hpm_21_no_traces",
    "hpm_22",
    "hpm_3",
    "hpm_4",
    "hpm_after_sampling_45",
    "hpm_empty",
    "hpm_half",
    "hpm_in_sampling_25",
    "hpm_in_sampling_33",
    "hpm_last_sentinel_missing",
    "hpm_midname",
    "hpm_minus_30",
    "hpm_version2",
];

/// Lines that some stack of a recording contains, and one that none does.
const LINES: [&str; 4] = [
    "/opt/python3/versions/3.7.16/lib/python3.7/runpy.py:193",
    "/srv/app/workloads/tiny.py:15",
    "/srv/app/workloads/real_docutils.py:15",
    "C:\\nowhere.py:3",
];

/// What a recording is asked: the words of the command line, the filebase left out.
fn questions(name: &str, length: u64) -> Vec<Vec<String>> {
    let words = |words: &[&dyn ToString]| -> Vec<String> {
        words.iter().map(|word| word.to_string()).collect()
    };
    let (third, half) = (length / 3, length / 2);
    let mut questions = vec![
        words(&[&"meta"]),
        words(&[&"traces"]),
        words(&[&"usage", &"end"]),
        words(&[&"usage", &"end", &"--unsampled"]),
        words(&[&"usage", &half]),
        words(&[&"usage", &format!("{third}..{length}")]),
        words(&[&"usage", &format!("{half}..{third}")]),
        words(&[&"usage", &format!("-1..{}", 2 * length)]),
    ];
    for view in ["lines", "edges", "stacks"] {
        for moment in [
            "end".to_owned(),
            half.to_string(),
            format!("{third}..{length}"),
        ] {
            questions.push(words(&[&view, &moment]));
        }
    }
    for question in [
        words(&[&"peak"]),
        words(&[&"usage", &"peak"]),
        words(&[&"churn"]),
        words(&[&"churn", &format!("{third}..{half}")]),
        words(&[&"churn", &format!("-1..{third}")]),
        words(&[&"churn", &format!("0..{}", third / 100)]),
    ] {
        if ["loss", "onelive", "tiny", "huge"].contains(&name) {
            let unsampled = question.iter().cloned().chain(["--unsampled".to_owned()]);
            questions.push(unsampled.collect());
        }
        questions.push(question);
    }
    // About 30 and 700 snapshots, and one.
    for interval in [length / 30_000, length / 700_000, length / 1000 + 1] {
        let interval = interval.max(1);
        questions.push(words(&[&"snapshots", &interval]));
        questions.push(words(&[&"snapshots", &interval, &"0.01"]));
    }
    questions.push(words(&[&"snapshots", &(length / 30_000).max(1), &"0.9"]));
    let mut series = words(&[&"series", &(length / 100_000).max(1)]);
    series.extend(LINES.map(str::to_owned));
    questions.push(series);
    if !["real_docutils", "spike", "threads", "killed"].contains(&name) {
        questions.push(words(&[&"events"]));
    }
    questions
}

/// An answer: exit status, number of lines, and a hash of the lines that does not depend on their
/// order, nor on the order of keys or the way of escaping.
fn digest(status: Option<i32>, lines: &[u8]) -> String {
    let mut lines: Vec<String> = lines
        .split(|&byte| byte == b'\n')
        .filter(|line| !line.is_empty())
        .map(|line| {
            let mut row: Value = serde_json::from_slice(line).unwrap();
            // The model does not print the properties of version 2.
            if let Some(row) = row.as_object_mut() {
                row.remove("properties");
            }
            row.to_string()
        })
        .collect();
    lines.sort_unstable();
    let mut hash = Sha256::new();
    for line in &lines {
        hash.update(line);
        hash.update("\n");
    }
    let hash: String = hash.finalize()[..12]
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    format!("{}\t{}\t{hash}", status.unwrap_or(-1), lines.len())
}

fn with_filebase(question: &[String], filebase: &Path) -> Vec<String> {
    let mut args = question.to_vec();
    args.insert(1, filebase.to_str().unwrap().to_owned());
    args
}

fn ask_the_model(question: &[String], filebase: &Path) -> String {
    let model = common::shared("model/heapmodel.py").expect("the model is needed to bless");
    let output = Command::new("python3")
        .arg(model)
        .args(with_filebase(question, filebase))
        .output()
        .unwrap();
    digest(output.status.code(), &output.stdout)
}

fn ask_the_example(question: &[String], filebase: &Path) -> String {
    let args = with_filebase(question, filebase);
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let output = common::example("export_json", &args);
    digest(output.status.code(), &output.stdout)
}

fn golden() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/model.tsv")
}

/// Recording and question, and the answer.
fn kept() -> BTreeMap<String, String> {
    let text = match fs::read_to_string(golden()) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
        Err(error) => panic!("{error}"),
    };
    text.lines()
        .map(|line| {
            let mut columns = line.splitn(3, '\t');
            let mut column = || columns.next().unwrap().to_owned();
            (format!("{}\t{}", column(), column()), column())
        })
        .collect()
}

/// Asks each filebase its questions.
fn check(asked_of: Vec<(String, PathBuf, Vec<Vec<String>>)>) {
    let bless = env::var_os("BLESS").is_some();
    let mut kept = kept();
    let mut asked = 0;
    for (name, filebase, questions) in asked_of {
        for question in questions {
            let key = format!("{name}\t{}", question.join(" "));
            if bless {
                kept.insert(key.clone(), ask_the_model(&question, &filebase));
            }
            let expected = kept.get(&key).unwrap_or_else(|| panic!("{key}: BLESS=1"));
            assert_eq!(*expected, ask_the_example(&question, &filebase), "{key}");
            asked += 1;
        }
    }
    assert!(asked > 0);
    if bless {
        let text: String = kept
            .iter()
            .map(|(key, answer)| format!("{key}\t{answer}\n"))
            .collect();
        fs::write(golden(), text).unwrap();
    }
}

#[test]
fn every_recording_and_every_cut() {
    let whole = RECORDINGS.map(|(name, length)| (name.to_owned(), length));
    let cut = TRUNCATED.map(|name| (format!("truncated/{name}"), 1_359_461));
    check(
        whole
            .into_iter()
            .chain(cut)
            .filter_map(|(name, length)| {
                let filebase = common::recording(&name)?;
                let questions = questions(&name, length);
                Some((name, filebase, questions))
            })
            .collect(),
    );
}

#[test]
fn recordings_with_compact_traces() {
    let compact = [("compact_demo", 21_789_059), ("compact_recursion", 937_802)];
    let compact = compact.into_iter().filter_map(|(name, length)| {
        let hpm = common::shared(&format!("recordings/{name}/{name}.hpm"))?;
        Some((
            name.to_owned(),
            hpm.with_extension(""),
            questions(name, length),
        ))
    });
    let compact: Vec<_> = compact.collect();
    if !compact.is_empty() {
        check(compact);
    }
}

/// The example `compact` changes no answer, on any recording.
#[test]
fn rewritten_recordings() {
    let folder = tempfile::tempdir().unwrap();
    let whole = RECORDINGS.map(|(name, length)| (name.to_owned(), length));
    let cut = TRUNCATED.map(|name| (format!("truncated/{name}"), 1_359_461));
    let mut rewritten = Vec::new();
    for (name, length) in whole.into_iter().chain(cut) {
        let Some(filebase) = common::recording(&name) else {
            continue;
        };
        let to = folder.path().join(name.replace('/', "."));
        let args = [filebase.to_str().unwrap(), to.to_str().unwrap()];
        let output = common::example("compact", &args);
        if heapprof::Reader::open(&filebase).is_err() {
            assert_eq!(output.status.code(), Some(1), "{name}");
            continue;
        }
        assert!(output.status.success(), "{name}");
        let mut questions = questions(&name, length);
        if env::var_os("HEAPPROF_LONG").is_none() {
            // Those that the traces matter for.
            let asked = ["meta", "traces", "lines", "edges", "stacks", "series"];
            questions.retain(|question| asked.contains(&&*question[0]));
        }
        rewritten.push((name.clone(), to, questions));
    }
    check(rewritten);
}

#[test]
fn logs_with_zeros() {
    let cases = ["zeros_tail", "zeros_hole"].into_iter().filter_map(|name| {
        let hpm = common::shared(&format!("cases/{name}.hpm"))?;
        let questions = questions(name, 100_000);
        Some((name.to_owned(), hpm.with_extension(""), questions))
    });
    let cases: Vec<_> = cases.collect();
    if !cases.is_empty() {
        check(cases);
    }
}

/// Every `.hpc` file that heapprof 1.0 made of the recordings.
#[test]
fn every_digest_of_heapprof() {
    let mut digests = Vec::new();
    for (name, _) in RECORDINGS {
        let own = common::recording(name).map(|filebase| filebase.with_file_name("heapprof-1.0"));
        let beside = || common::shared(&format!("recordings/{name}/heapprof-1.0"));
        let Some(folder) = own.filter(|own| own.exists()).or_else(beside) else {
            continue;
        };
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.extension().is_some_and(|it| it == "hpc") {
                let digest = path.file_stem().unwrap().to_str().unwrap();
                let key = format!("{name}/heapprof-1.0/{digest}");
                digests.push((
                    key,
                    path.with_extension(""),
                    vec![vec!["digest".to_owned()]],
                ));
            }
        }
    }
    digests.sort();
    check(digests);
}

/// What the model reads of a digest of ours is what our digest says: heapprof 1.0 reads it too.
#[test]
fn a_digest_of_ours_is_read_by_others() {
    let (Some(filebase), Some(model)) = (
        common::recording("tiny"),
        common::shared("model/heapmodel.py"),
    ) else {
        return;
    };
    if Command::new("python3").arg("--version").output().is_err() {
        eprintln!("skipped: python3 is not here");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    for extension in ["hpm", "hpd"] {
        let copy = folder.path().join("tiny").with_extension(extension);
        fs::copy(filebase.with_extension(extension), copy).unwrap();
    }
    let filebase = folder.path().join("tiny");
    for precision in [0.0, 0.1] {
        let reader = heapprof::Reader::open(&filebase).unwrap();
        let interval = std::time::Duration::from_millis(10);
        let options = heapprof::DigestOptions::default()
            .interval(interval)
            .precision(precision);
        reader.make_digest(options).unwrap();
        let ask = |what: &[&str]| {
            let output = Command::new("python3")
                .arg(&model)
                .args(what)
                .output()
                .unwrap();
            digest(output.status.code(), &output.stdout)
        };
        let filebase = filebase.to_str().unwrap();
        let stored = ask(&["digest", filebase]);
        assert_eq!(
            stored,
            ask(&["snapshots", filebase, "10", &precision.to_string()])
        );
        assert_eq!(
            stored,
            ask_the_example(&["digest".to_owned()], Path::new(filebase))
        );
    }
}

#[test]
fn a_real_program_whose_stacks_dwarf_its_log() {
    if env::var_os("HEAPPROF_LONG").is_none() {
        eprintln!("skipped: takes minutes; HEAPPROF_LONG=1 runs it");
        return;
    }
    let Some(packed) = common::shared("recordings/real_pylint.hpm.xz") else {
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    for extension in ["hpm", "hpd"] {
        let packed = packed.with_file_name(format!("real_pylint.{extension}.xz"));
        let unpacked = folder.path().join(format!("real_pylint.{extension}"));
        let status = Command::new("xz")
            .args(["--decompress", "--stdout"])
            .arg(packed)
            .stdout(fs::File::create(unpacked).unwrap())
            .status();
        assert!(status.expect("xz unpacks it").success());
    }
    let filebase = folder.path().join("real_pylint");
    let questions = questions("real_pylint", 28_900_000);
    check(vec![("real_pylint".to_owned(), filebase, questions)]);
}

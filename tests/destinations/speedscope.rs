//! The file format of speedscope.

use heapprof::Elapsed;
use heapprof::view::FlameGraph;
use serde_json::Value;

use crate::common::output::stderr_lines;
use crate::common::{Profile, example};
use crate::{Stacks, after, json, odd, open, peak, run, stacks};

/// The stacks of a speedscope profile, after a look at its structure.
pub(crate) fn sampled(file: &Value, profile: &Value) -> Stacks {
    let frames = file["shared"]["frames"].as_array().unwrap();
    let name = |place: &Value| {
        let frame = &frames[usize::try_from(place.as_u64().unwrap()).unwrap()];
        let (short, line) = (frame["name"].as_str().unwrap(), frame["line"].as_u64());
        match (frame["file"].as_str(), line) {
            (None, None) => short.to_owned(),
            (Some(""), Some(0)) => "(no name)".to_owned(),
            (Some(file), Some(0)) => file.to_owned(),
            (Some(file), Some(line)) => {
                let whole = format!("{file}:{line}");
                assert!(whole.ends_with(short));
                whole
            }
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(
        (&profile["type"], &profile["unit"]),
        (&"sampled".into(), &"bytes".into())
    );
    let samples = profile["samples"].as_array().unwrap();
    let weights = profile["weights"].as_array().unwrap();
    assert_eq!(samples.len(), weights.len());
    let mut stacks = Stacks::new();
    for (sample, weight) in samples.iter().zip(weights) {
        let stack = sample.as_array().unwrap().iter().map(name).collect();
        assert_eq!(stacks.insert(stack, weight.as_i64().unwrap()), None);
    }
    let total: i64 = stacks.values().sum();
    assert_eq!(
        (profile["startValue"].as_i64(), profile["endValue"].as_i64()),
        (Some(0), Some(total))
    );
    stacks
}

#[test]
fn speedscope_has_a_flame_graph_of_the_peak_and_of_each_moment() {
    for (name, first, second, at_peak, at_end) in [
        ("demo", "peak, 12.678881 s", "1.09 s", 19_241_503, 8_334_103),
        ("unicode", "peak, 0.634688 s", "0.033 s", 425_923, 383_267),
    ] {
        let (given, reader) = open(name);
        let traces = reader.traces().unwrap();
        let file = json(&run("to_speedscope", &[&given]));
        assert_eq!(
            file["$schema"],
            "https://www.speedscope.app/file-format-schema.json"
        );
        assert_eq!(
            (&file["name"], &file["activeProfileIndex"]),
            (&name.into(), &0.into())
        );
        let profiles = file["profiles"].as_array().unwrap();
        assert_eq!(profiles.len(), 21);
        assert_eq!(
            (&profiles[0]["name"], &profiles[1]["name"]),
            (&first.into(), &second.into())
        );
        assert_eq!(profiles[0]["endValue"], at_peak);
        assert_eq!(profiles[20]["endValue"], at_end);
        let (live, _) = after(&reader, peak(&reader).0);
        assert_eq!(sampled(&file, &profiles[0]), stacks(traces, &live));
        for profile in &profiles[1..] {
            let at = profile["name"]
                .as_str()
                .unwrap()
                .strip_suffix(" s")
                .unwrap();
            let at = Elapsed::from_secs_f64(at.parse().unwrap());
            let live = reader.live_at(at).unwrap();
            assert_eq!(sampled(&file, profile), stacks(traces, &live));
        }
    }
}

#[test]
fn speedscope_has_as_many_moments_as_asked_for_and_any_name() {
    let count = |args: &[&str]| {
        let file = json(&run("to_speedscope", args));
        let profiles = file["profiles"].as_array().unwrap();
        for profile in profiles {
            sampled(&file, profile);
        }
        profiles.len()
    };
    let (given, _) = open("demo");
    assert_eq!(count(&[&given, "--moments", "0"]), 1);
    assert_eq!(count(&[&given, "--moments", "7"]), 8);
    // Whole milliseconds: 21 789 of them in pieces of 22.
    assert_eq!(count(&[&given, "--moments", "1000"]), 992);
    let too_many = example("to_speedscope", &[&given, "--moments", "1001"]);
    assert_eq!(too_many.status.code(), Some(2));

    let folder = tempfile::tempdir().unwrap();
    let (given, reader) = odd(folder.path());
    let file = json(&example("to_speedscope", &[&given]).stdout);
    let last = file["profiles"].as_array().unwrap().last().unwrap();
    let expected = stacks(reader.traces().unwrap(), &reader.live_at_end().unwrap());
    assert_eq!(sampled(&file, last), expected);
    assert_eq!(expected.len(), 37);
}

#[test]
fn speedscope_sorts_stacks_into_a_flame_graph() {
    let file = json(&run("to_speedscope", &["--moments", "0"]));
    let samples = file["profiles"][0]["samples"].as_array().unwrap();
    let mut before: &[Value] = &[];
    let mut closed = Vec::new();
    for sample in samples {
        let sample = sample.as_array().unwrap();
        let shared = before
            .iter()
            .zip(sample)
            .take_while(|(a, b)| a == b)
            .count();
        // What was left does not come again.
        closed.extend((shared..before.len()).map(|len| &before[..=len]));
        assert!((0..sample.len()).all(|len| !closed.contains(&&sample[..=len])));
        before = sample;
    }
    let (_, reader) = open("demo");
    let graph = FlameGraph::new(reader.traces().unwrap(), &after(&reader, peak(&reader).0).0);
    assert_eq!(closed.len() + before.len(), graph.len() - 1);
}

#[test]
fn speedscope_tells_what_it_cannot_hold() {
    let folder = tempfile::tempdir().unwrap();
    // More is freed than was allocated.
    let events = [(1, 1, 50), (2, 2, 20), (3, 2, -20), (4, 2, -20), (5, 3, 9)];
    let profile = Profile::default().traces(3).with_events(&events);
    let filebase = profile.save(folder.path());
    let output = example("to_speedscope", &[filebase.to_str().unwrap()]);
    let lines = stderr_lines(&output);
    let told = "left out: stacks of less than 0 bytes, which the format cannot hold, at moments: 1";
    assert_eq!((lines.len(), &*lines[1]), (2, told));
    let file = json(&output.stdout);
    let names = file["profiles"]
        .as_array()
        .unwrap()
        .iter()
        .map(|it| it["name"].as_str().unwrap());
    assert_eq!(
        names.collect::<Vec<_>>(),
        ["peak, 0.000002 s", "0.001 s (left out: 1 of -20 bytes)"]
    );
}

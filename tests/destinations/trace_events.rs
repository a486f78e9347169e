//! Chrome's trace events.

use heapprof::query::{Envelope, TraceSet, Track};
use heapprof::view::Lines;

use crate::{after, json, open, peak, run};

#[test]
fn trace_events_have_the_time_line() {
    for (name, at_peak) in [("demo", 19_241_503), ("unicode", 425_923)] {
        let (given, reader) = open(name);
        let traces = reader.traces().unwrap();
        let (events, time) = peak(&reader);
        let lines = Lines::new(traces, &after(&reader, events).0);
        let heaviest: Vec<_> = lines.by_local().take(3).collect();
        let of_line = |id| Envelope::query().of(&TraceSet::of(traces, [Track::Local(id)]));
        let queries: Vec<_> = heaviest.iter().map(|line| of_line(line.id)).collect();
        let (total, of_lines) = reader.ask((Envelope::query(), queries)).unwrap();
        let end = |envelope: &Envelope| -> Vec<_> {
            let steps = envelope.steps();
            steps.map(|step| (step.to.as_micros(), step.last)).collect()
        };
        let (highest, lowest): (Vec<_>, Vec<_>) = total
            .steps()
            .map(|step| {
                let from = step.from.as_micros();
                ((from, step.highest), (from, step.lowest))
            })
            .unzip();
        let mut expected = vec![
            ("live bytes".to_owned(), end(&total)),
            ("live bytes, highest".to_owned(), highest),
            ("live bytes, lowest".to_owned(), lowest),
        ];
        for (line, envelope) in heaviest.iter().zip(&of_lines) {
            expected.push((line.frame.to_string(), end(envelope)));
        }

        let file = json(&run("to_trace_events", &[&given, "--lines", "3"]));
        let all = file["traceEvents"].as_array().unwrap();
        assert_eq!(all[0]["args"]["name"], name);
        let labels = all[1]["args"]["labels"].as_str().unwrap();
        let lines = lines.by_local().filter(|line| line.local != 0).count();
        assert_eq!(labels, format!("3 of {lines} lines"));
        assert!(all[2..].iter().all(|event| event["ph"] == "C"));
        let mut told = 2;
        for (place, (name, values)) in expected.into_iter().enumerate() {
            let points = all.iter().filter(|event| event["name"] == *name);
            let points: Vec<_> = points
                .map(|event| {
                    let bytes = &event["args"]["bytes"];
                    (event["ts"].as_u64().unwrap(), bytes.as_i64().unwrap())
                })
                .collect();
            told += points.len();
            assert_eq!(points[0].0, 0);
            // The last value is written, so that the counter reaches the end.
            let (last, before) = points.split_last().unwrap();
            assert!(before.is_sorted_by(|a, b| a.0 < b.0 && a.1 != b.1));
            assert_eq!(last.0, reader.elapsed().unwrap().as_micros());
            assert_eq!(last.1, end_of(&total, &of_lines, place));
            // A counter stays as it is.
            for (at, bytes) in values {
                let after = points.partition_point(|&(ts, _)| ts <= at);
                let is_end = at == last.0;
                assert!(points[after - 1].1 == bytes || is_end, "{name} at {at}");
            }
            if place < 2 {
                assert_eq!(points.iter().map(|point| point.1).max(), Some(at_peak));
            }
            if place == 0 {
                assert!(points.contains(&(time.as_micros(), at_peak)));
            }
        }
        assert_eq!(told, all.len());
    }
}

/// The last value of a counter: of the three of the total, then of the lines.
fn end_of(total: &Envelope, of_lines: &[Envelope], place: usize) -> i64 {
    let envelope = match place.checked_sub(3) {
        None => total,
        Some(line) => &of_lines[line],
    };
    envelope.steps().last().unwrap().last
}

#[test]
fn counters_of_own_code_count_what_it_calls() {
    let (given, reader) = open("demo");
    let file = json(&run(
        "to_trace_events",
        &[&given, "--own", "--ignore", "report.py"],
    ));
    let all = file["traceEvents"].as_array().unwrap();
    let last = |name: &str| {
        let mut points = all.iter().filter(|event| event["name"] == *name);
        points.next_back().unwrap()["args"]["bytes"]
            .as_i64()
            .unwrap()
    };
    let traces = reader.traces().unwrap();
    let ignored =
        |usage: heapprof::Usage| usage.ignore(traces, |frame| frame.file.contains("report.py"));
    let at_end = ignored(reader.live_at_end().unwrap());
    assert_eq!(last("live bytes"), at_end.total());
    let own = traces.cut_to_own(&heapprof::view::Packages::new());
    let lines = Lines::new(&own, &at_end);
    let heaviest = lines.by_local().next().unwrap();
    assert_eq!(last(&heaviest.frame.to_string()), heaviest.local);
}

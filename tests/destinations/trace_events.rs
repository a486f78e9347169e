//! Chrome's trace events.

use heapprof::query::Track;
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
        let tracks: Vec<_> = heaviest.iter().map(|line| Track::Local(line.id)).collect();
        let series = reader.time_series(tracks).unwrap();
        let mut expected = vec![("live bytes".to_owned(), series.total(), true)];
        for (line, (_, series)) in heaviest.iter().zip(series.iter()) {
            expected.push((line.frame.to_string(), series, false));
        }

        let file = json(&run("to_trace_events", &[&given, "--lines", "3"]));
        let all = file["traceEvents"].as_array().unwrap();
        assert_eq!(all[0]["args"]["name"], name);
        assert!(all[1..].iter().all(|event| event["ph"] == "C"));
        let mut told = 1;
        for (name, series, is_total) in expected {
            let points = all.iter().filter(|event| event["name"] == *name);
            let points: Vec<_> = points
                .map(|event| {
                    (
                        event["ts"].as_u64().unwrap(),
                        event["args"]["bytes"].as_i64().unwrap(),
                    )
                })
                .collect();
            told += points.len();
            assert_eq!(points[0], (0, 0));
            assert!(points.is_sorted_by(|a, b| a.0 < b.0 && a.1 != b.1));
            // A counter stays as it is.
            for (at, bytes) in series {
                let after = points.partition_point(|&(ts, _)| ts <= at.as_micros());
                assert_eq!(points[after - 1].1, bytes, "{name} at {at}");
            }
            if is_total {
                assert!(points.contains(&(time.as_micros(), at_peak)));
                assert_eq!(points.iter().map(|point| point.1).max(), Some(at_peak));
            }
        }
        assert_eq!(told, all.len());
    }
}

//! The shapes of the feature `serde`, to the letter, and what can be read again.

mod common;

use std::collections::BTreeSet;
use std::io::Cursor;
use std::time::Duration;

use common::{Profile, recording};
use heapprof::query::{
    ChurnOverTime, LiveBlocks, RatesEvidence, RatesVerdict, SamplingAdvice, Track,
};
use heapprof::raw::{DigestWriter, EventLog, FileKind, LogPosition};
use heapprof::view::{
    FlameGraph, FlameLabel, FlowGraph, FlowOptions, LineErrorBars, Lines, Sandwich, Series,
    TimeSeries,
};
use heapprof::{
    Clock, Digest, DigestOptions, Elapsed, Event, EventKind, Frame, OwnedFrame, Reader,
    SamplingRates, StartTime, TraceId, TraceTable, Usage, WallOffset,
};
use proptest::collection::vec;
use proptest::prelude::*;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

fn text(value: &impl Serialize) -> String {
    serde_json::to_string(value).unwrap()
}

fn read<T: DeserializeOwned>(text: &str) -> Result<T, String> {
    serde_json::from_str(text).map_err(|error| error.to_string())
}

/// Traces A B (1), A C (2), A (3) and C C (4).
fn table() -> TraceTable {
    let [a, b, c] = [
        Frame::new("a.py", 1),
        Frame::new("b.py", 2),
        Frame::new("c.py", 3),
    ];
    TraceTable::from_iter([vec![a, b], vec![a, c], vec![a], vec![c, c]])
}

fn usage(pairs: &[(u32, i64)]) -> Usage {
    let pairs = pairs.iter();
    pairs
        .map(|&(id, bytes)| (TraceId::new(id), bytes))
        .collect()
}

/// Trace 1 allocates 100 bytes at 0 s and 10 at 1 s; trace 2 300 at 1 s, which it frees at 3 s;
/// then unknown 7.
fn reader() -> Reader {
    let mut profile = Profile::default();
    profile.trace(&[("a.py", 1), ("b.py", 2)]);
    profile.trace(&[("a.py", 1), ("c.py", 3)]);
    let events = [
        (0, 1, 100),
        (1_000_000, 1, 10),
        (1_000_000, 2, 300),
        (3_000_000, 2, -300),
        (4_000_000, 0, 7),
    ];
    profile.with_events(&events).reader()
}

/// What a type looks like, and that it is read as the same.
fn both_ways<T: Serialize + DeserializeOwned + PartialEq + std::fmt::Debug>(
    value: &T,
    shape: &str,
) {
    assert_eq!(text(value), shape);
    assert_eq!(&read::<T>(shape).unwrap(), value);
}

#[test]
fn ids_times_and_places_go_both_ways() {
    both_ways(&TraceId::new(7).unwrap(), "7");
    both_ways(&[TraceId::new(7), None], "[7,null]");
    both_ways(&Elapsed::from_millis(2_500), "2500000");
    both_ways(&WallOffset::from_micros(-3), "-3");
    both_ways(
        &StartTime::new(1_600_000_000, 250),
        r#"{"seconds":1600000000,"nanoseconds":250}"#,
    );
    both_ways(
        &[Clock::Recorded, Clock::Corrected],
        r#"["recorded","corrected"]"#,
    );
    both_ways(
        &[EventKind::Allocation, EventKind::Free],
        r#"["allocation","free"]"#,
    );
    both_ways(
        &[FileKind::Hpm, FileKind::Hpd, FileKind::Hpc],
        r#"["hpm","hpd","hpc"]"#,
    );
    both_ways(
        &OwnedFrame::new("a \"b\"\n;é.py", 12),
        r#"{"file":"a \"b\"\n;é.py","line":12,"function":null}"#,
    );
    let event = Event {
        elapsed: Elapsed::from_micros(5),
        wall: WallOffset::from_micros(-1),
        size: 64,
        trace: None,
        kind: EventKind::Free,
    };
    both_ways(
        &event,
        r#"{"elapsed_us":5,"wall_us":-1,"size":64,"trace":null,"kind":"free"}"#,
    );
    let place = LogPosition::new(
        80,
        11,
        Elapsed::from_micros(500),
        WallOffset::from_micros(400),
    );
    both_ways(
        &place,
        r#"{"offset":80,"events":11,"elapsed_us":500,"wall_us":400,"clock":"recorded","closed_us":0}"#,
    );
    both_ways(&Clock::Corrected, r#""corrected""#);
    let closed = Clock::GapsClosed(Duration::from_micros(2_000_001));
    both_ways(&closed, r#"{"gaps_closed":2000001}"#);
    assert_eq!(
        text(&Frame::new("C:\\a.py", 0)),
        r#"{"file":"C:\\a.py","line":0,"function":null}"#
    );
}

#[test]
fn rates_go_both_ways() {
    both_ways(&SamplingRates::unsampled(), "[]");
    let rates = SamplingRates::from_stored([(128, 0), (8192, u32::MAX), (u64::MAX, u32::MAX / 5)]);
    both_ways(
        &rates,
        r#"[{"upper_size":128,"probability":0.0},{"upper_size":8192,"probability":1.0},{"upper_size":18446744073709551615,"probability":0.2}]"#,
    );
    let error = read::<SamplingRates>(r#"[{"upper_size":1,"probability":1.5}]"#).unwrap_err();
    assert!(
        error.starts_with("a probability of 1.5 is not in 0 to 1"),
        "{error}"
    );
}

#[test]
fn what_cannot_be_is_refused() {
    let cases = [
        (
            read::<TraceId>("0").map(drop),
            "invalid value: integer `0`, expected a trace index from 1 to 1073741823",
        ),
        (
            read::<TraceId>("1073741824").map(drop),
            "invalid value: integer `1073741824`, expected a trace index from 1 to 1073741823",
        ),
        (
            read::<Elapsed>("-1").map(drop),
            "invalid value: integer `-1`, expected u64",
        ),
        (
            read::<Clock>("\"wall\"").map(drop),
            "unknown variant `wall`, expected one of `recorded`, `corrected`, `gaps_closed`",
        ),
        (
            read::<StartTime>(r#"{"seconds":1}"#).map(drop),
            "missing field `nanoseconds`",
        ),
        (
            read::<StartTime>(r#"{"seconds":1,"seconds":1}"#).map(drop),
            "duplicate field `seconds`",
        ),
        (
            read::<StartTime>("[1]").map(drop),
            "invalid length 1, expected struct StartTime",
        ),
        (
            read::<Usage>("{}").map(drop),
            "invalid type: map, expected a list of pairs of a trace or null, and a weight",
        ),
    ];
    for (result, expected) in cases {
        let error = result.unwrap_err();
        assert!(error.starts_with(expected), "{error}");
    }
    // In any order, with others among them; and without names, as compact formats have it.
    let start = StartTime::new(1, 2);
    let shape = r#"{"nanoseconds":2,"zone":{"name":[null]},"seconds":1}"#;
    assert_eq!(read(shape), Ok(start));
    assert_eq!(read("[1,2]"), Ok(start));
}

#[test]
fn a_usage_is_a_list_of_pairs_heaviest_first() {
    let few = usage(&[(1, 5), (0, 300), (9, -7), (4, 5)]);
    both_ways(&few, "[[null,300],[1,5],[4,5],[9,-7]]");
    both_ways(&Usage::empty(), "[]");
    // In any order, and those of one trace add up.
    let sums = read::<Usage>("[[9,-7],[4,2],[null,300],[4,3],[1,5],[2,1],[2,-1]]");
    assert_eq!(sums, Ok(few));
}

proptest! {
    #[test]
    fn usages_and_rates_are_read_as_they_were_written(
        pairs in vec((0_u32..50, any::<i64>()), 0..40),
        ranges in vec((any::<u64>(), any::<u32>()), 0..10),
    ) {
        let usage = usage(&pairs);
        prop_assert_eq!(read::<Usage>(&text(&usage)), Ok(usage));
        let rates = SamplingRates::from_stored(ranges);
        let again = read::<SamplingRates>(&text(&rates)).unwrap();
        prop_assert_eq!(again.ranges(), rates.ranges());
    }
}

#[test]
fn tables_name_their_frames_once() {
    let table = table();
    assert_eq!(
        text(&table),
        r#"{"frames":[{"file":"a.py","line":1,"function":null},{"file":"b.py","line":2,"function":null},{"file":"c.py","line":3,"function":null}],"traces":[[1,[0,1]],[2,[0,2]],[3,[0]],[4,[2,2]]],"damage":[],"damaged":false}"#,
    );
    let stack = table.trace(TraceId::new(2)).unwrap();
    assert_eq!(
        text(&stack),
        r#"[{"file":"a.py","line":1,"function":null},{"file":"c.py","line":3,"function":null}]"#
    );
}

#[test]
fn the_unicode_recording_keeps_its_names() {
    let reader = Reader::open(recording("unicode").unwrap()).unwrap();
    let table = serde_json::to_value(reader.traces().unwrap()).unwrap();
    let frames: Vec<OwnedFrame> = serde_json::from_value(table["frames"].clone()).unwrap();
    let expected = reader.traces().unwrap().frames();
    assert!(
        expected
            .map(|(_, frame)| frame)
            .eq(frames.iter().map(OwnedFrame::as_frame))
    );
    let odd = "/srv/app/workloads/uni dir; söme;päth/日本語 пакет/модуль 🎉 x;y 12.py";
    assert_eq!(
        table["frames"][9],
        json!({ "file": odd, "line": 5, "function": null })
    );
    for (place, file) in [
        (13, "a b;c d.py 77"),
        (16, "tab\there.py"),
        (19, "new\nline.py"),
        (22, "quote\"'<&>.py"),
        (25, ":odd:12"),
        (28, ""),
        (31, "C:\\win dir\\f.py"),
        (34, "\u{e9}\u{301}\u{200b}.py"),
    ] {
        assert_eq!(table["frames"][place]["file"], file);
    }

    let lines = Lines::new(reader.traces().unwrap(), &reader.live_at_end().unwrap());
    let shape = text(&lines);
    let first = r#"{"total":383267,"unknown":0,"lines":[{"frame":{"file":"/srv/app/workloads/uni dir; söme;päth/日本語 пакет/модуль 🎉 x;y 12.py","line":5,"function":null},"id":9,"local":280399,"cumulative":280399},"#;
    assert!(shape.starts_with(first), "{shape}");
    assert!(
        shape.contains(r#"{"frame":{"file":"new\nline.py","line":2,"function":null},"id":20,"#)
    );
}

#[test]
fn damage_has_the_numbers_of_its_kind() {
    let mut events = EventLog::new(&[0, 0, 0, 1, 0, 0]).events();
    let cut = events.next().unwrap().unwrap_err();
    assert_eq!(
        text(&cut),
        r#"{"file":"hpd","offset":0,"kind":"cut","kept":false,"message":"the file ends inside the record"}"#,
    );
    assert_eq!(text(&cut.kind()), r#"{"kind":"cut"}"#);
    let reader = Profile::default()
        .traces(2)
        .with_events(&[(0, 1, 8), (1, 2, 8), (2, 3, 8), (2, 1, -9)])
        .reader();
    assert_eq!(
        text(&reader.sanity().unwrap()),
        r#"{"events":4,"sound":false,"issues":[{"first":{"file":"hpd","offset":14,"kind":"unknown_trace","found":3,"traces":2,"kept":true,"message":"trace 3 is not among the 2 of the .hpm file"},"last_offset":14,"count":1},{"first":{"file":"hpd","offset":21,"kind":"negative_balance","trace":1,"kept":true,"message":"more is freed than was allocated by trace 1"},"last_offset":21,"count":1}],"corruption":null,"gaps":[],"closing_clock":null,"damaged":true}"#,
    );
}

#[test]
fn snapshots_and_digests() {
    let reader = reader();
    let options = DigestOptions::default().interval(Duration::from_secs(2));
    let digest = reader.digest_with(options).unwrap();
    assert_eq!(
        text(&digest.get(0).unwrap().unwrap()),
        r#"{"time_us":2000000,"total":410,"usage":[[2,300],[1,110]],"damaged":false}"#,
    );
    assert_eq!(
        text(&digest),
        r#"{"start":{"seconds":1700000000,"nanoseconds":5},"interval_us":2000000,"precision":0.0,"rates":[],"clock":"recorded","foreign":false,"stopped":false,"damage":[],"damaged":false,"snapshots":[{"time_us":2000000,"total":410,"usage":[[2,300],[1,110]],"damaged":false},{"time_us":4000000,"total":117,"usage":[[1,110],[null,7]],"damaged":false}]}"#,
    );
}

#[test]
fn a_snapshot_that_cannot_be_read_fails() {
    let mut digest = DigestWriter::new(
        Cursor::new(Vec::new()),
        StartTime::new(1, 2),
        Duration::from_secs(1),
    )
    .unwrap();
    digest.write_snapshot([(TraceId::new(1), 300)]).unwrap();
    let mut bytes = digest.finish(b"").unwrap().into_inner();
    let whole = Digest::from_bytes(bytes.clone()).unwrap();
    let shape = serde_json::to_value(&whole).unwrap();
    assert_eq!(shape["foreign"], true);
    assert_eq!(
        [&shape["precision"], &shape["rates"], &shape["clock"]],
        [&Value::Null; 3]
    );
    assert_eq!(
        shape["snapshots"],
        json!([{ "time_us": 1_000_000, "total": 300, "usage": [[1, 300]], "damaged": false }])
    );

    // The trace index of the entry.
    let place = bytes
        .windows(3)
        .position(|bytes| bytes == [1, 0xac, 2])
        .unwrap();
    bytes[place] = 0xff;
    bytes[place + 1] = 0xff;
    let broken = Digest::from_bytes(bytes).unwrap();
    let error = serde_json::to_string(&broken).unwrap_err().to_string();
    assert_eq!(error, broken.get(0).unwrap().unwrap_err().to_string());
}

#[test]
fn lines_and_flow_graphs() {
    let table = table();
    let now = usage(&[(1, 50), (2, 20), (4, 3), (0, 4)]);
    assert_eq!(
        text(&Lines::new(&table, &now)),
        r#"{"total":77,"unknown":4,"lines":[{"frame":{"file":"b.py","line":2,"function":null},"id":1,"local":50,"cumulative":50},{"frame":{"file":"c.py","line":3,"function":null},"id":2,"local":23,"cumulative":23},{"frame":{"file":"a.py","line":1,"function":null},"id":0,"local":0,"cumulative":70}],"damaged":false}"#,
    );
    let later = usage(&[(1, 60), (0, 1)]);
    let graph = FlowGraph::with_options(&table, [&now, &later], &FlowOptions::default());
    assert_eq!(
        text(&graph),
        concat!(
            r#"{"columns":[{"total":77,"unknown":4},{"total":61,"unknown":1}],"nodes":["#,
            r#"{"id":0,"root":false,"lines":[{"file":"a.py","line":1,"function":null}],"line_ids":[0],"local":[0,0],"cumulative":[70,60],"begins":[70,60]},"#,
            r#"{"id":1,"root":false,"lines":[{"file":"b.py","line":2,"function":null}],"line_ids":[1],"local":[50,60],"cumulative":[50,60],"begins":[0,0]},"#,
            r#"{"id":2,"root":false,"lines":[{"file":"c.py","line":3,"function":null}],"line_ids":[2],"local":[23,0],"cumulative":[23,0],"begins":[3,0]}],"#,
            r#""edges":[{"from":0,"to":1,"weights":[50,60],"residual":false},{"from":0,"to":2,"weights":[20,0],"residual":false}],"damaged":false}"#,
        ),
    );
    let options = FlowOptions::default().root(true).collapse(true);
    let graph = serde_json::to_value(FlowGraph::with_options(&table, [&now], &options)).unwrap();
    assert_eq!(
        graph["nodes"][0],
        json!({ "id": 0, "root": true, "lines": [], "line_ids": [], "local": [4], "cumulative": [77], "begins": [77] }),
    );
}

#[test]
fn flame_graphs_are_lists() {
    let table = table();
    let graph = FlameGraph::new(&table, &usage(&[(1, 50), (2, -20), (3, 5), (0, 4)]));
    assert_eq!(
        text(&graph),
        concat!(
            r#"[{"label":{"kind":"all","frame":null},"id":null,"parent":null,"depth":0,"offset":0,"width":79,"own":{"gain":0,"loss":0},"total":{"gain":59,"loss":20}},"#,
            r#"{"label":{"kind":"line","frame":{"file":"a.py","line":1,"function":null}},"id":0,"parent":0,"depth":1,"offset":0,"width":75,"own":{"gain":5,"loss":0},"total":{"gain":55,"loss":20}},"#,
            r#"{"label":{"kind":"line","frame":{"file":"b.py","line":2,"function":null}},"id":1,"parent":1,"depth":2,"offset":0,"width":50,"own":{"gain":50,"loss":0},"total":{"gain":50,"loss":0}},"#,
            r#"{"label":{"kind":"line","frame":{"file":"c.py","line":3,"function":null}},"id":2,"parent":1,"depth":2,"offset":50,"width":20,"own":{"gain":0,"loss":20},"total":{"gain":0,"loss":20}},"#,
            r#"{"label":{"kind":"unknown","frame":null},"id":null,"parent":0,"depth":1,"offset":75,"width":4,"own":{"gain":4,"loss":0},"total":{"gain":4,"loss":0}}]"#,
        ),
    );
    assert_eq!(text(&FlameLabel::Other), r#"{"kind":"other","frame":null}"#);
    let last = graph.folded().last().unwrap();
    assert_eq!(
        text(&last),
        r#"{"labels":[{"kind":"line","frame":{"file":"a.py","line":1,"function":null}},{"kind":"line","frame":{"file":"c.py","line":3,"function":null}}],"weight":-20,"parts":{"gain":0,"loss":20}}"#,
    );
}

#[test]
fn deep_stacks_are_written_and_can_be_parsed() {
    let frames: Vec<Frame<'_>> = (0..200_000)
        .map(|line| Frame::new("deep.py", line))
        .collect();
    let table = TraceTable::from_iter([frames]);
    let graph = FlameGraph::new(&table, &usage(&[(1, 1)]));
    let shape: Value = serde_json::from_str(&text(&graph)).unwrap();
    assert_eq!(shape[200_000]["parent"], 199_999);
    assert_eq!(shape[200_000]["own"]["gain"], 1);
}

#[test]
fn sandwiches_and_series() {
    let table = table();
    let line = table.find(("a.py", 1)).unwrap();
    let sandwich = Sandwich::new(&table, &usage(&[(1, 50), (3, 5)]), line);
    let bare = |offset: i64| json!({ "gain": offset, "loss": 0 });
    let bar = |label: Value, id: Value, parent: Value, depth: u32, own: i64, total: i64| {
        json!({
            "label": label, "id": id, "parent": parent, "depth": depth, "offset": 0, "width": total,
            "own": bare(own), "total": bare(total),
        })
    };
    let all = json!({ "kind": "all", "frame": null });
    let a = json!({ "kind": "line", "frame": { "file": "a.py", "line": 1, "function": null } });
    let b = json!({ "kind": "line", "frame": { "file": "b.py", "line": 2, "function": null } });
    assert_eq!(
        serde_json::to_value(&sandwich).unwrap(),
        json!({
            "line": { "file": "a.py", "line": 1, "function": null },
            "local": 5,
            "cumulative": 55,
            "callers": [],
            "callees": [{ "frame": { "file": "b.py", "line": 2, "function": null }, "id": 1, "weight": 50 }],
            "caller_tree": [
                bar(all.clone(), Value::Null, Value::Null, 0, 0, 55),
                bar(a.clone(), json!(0), json!(0), 1, 55, 55),
            ],
            "callee_tree": [
                bar(all, Value::Null, Value::Null, 0, 0, 55),
                bar(a, json!(0), json!(0), 1, 5, 55),
                bar(b, json!(1), json!(1), 2, 50, 50),
            ],
            "damaged": false,
        }),
    );

    let reader = reader();
    let options = DigestOptions::default().interval(Duration::from_secs(2));
    let digest = reader.digest_with(options).unwrap();
    let line = reader.traces().unwrap().find(("a.py", 1)).unwrap();
    let tracks = [
        Track::Trace(TraceId::new(2).unwrap()),
        Track::Local(line),
        Track::Cumulative(line),
        Track::Unknown,
    ];
    let series = TimeSeries::new(&digest, reader.traces().unwrap(), tracks).unwrap();
    assert_eq!(
        text(&series),
        concat!(
            r#"{"times_us":[2000000,4000000],"total":[410,117],"tracks":["#,
            r#"{"track":{"kind":"trace","id":2},"values":[300,0]},"#,
            r#"{"track":{"kind":"local","id":1},"values":[0,0]},"#,
            r#"{"track":{"kind":"cumulative","id":1},"values":[410,110]},"#,
            r#"{"track":{"kind":"unknown","id":null},"values":[0,7]}],"damaged":false}"#,
        ),
    );
    assert_eq!(
        text(&series.total()),
        r#"{"times_us":[2000000,4000000],"values":[410,117],"damaged":false}"#,
    );

    // 100 bytes a second, and 3000 more from 4 s to 6 s.
    let times: Vec<_> = (0..=30).map(Elapsed::from_secs).collect();
    let spike = |second| if (4..6).contains(&second) { 3000 } else { 0 };
    let values: Vec<_> = (0..=30)
        .map(|second| 100 * second + spike(second))
        .collect();
    assert_eq!(
        text(&Series::new(&times, &values).movements()),
        r#"{"trend":{"bytes_per_second":100.0,"change":3000.0,"explained":1.0},"rises":[{"from_us":3000000,"to_us":4000000,"change":3100,"beyond_trend":3000}],"falls":[{"from_us":5000000,"to_us":6000000,"change":-2900,"beyond_trend":-3000}],"damaged":false}"#,
    );
}

#[test]
fn answers() {
    let reader = reader();
    assert_eq!(
        text(&reader.peak().unwrap()),
        r#"{"time_us":1000000,"events":3,"total":410,"usage":[[2,300],[1,110]],"damaged":false}"#,
    );
    assert_eq!(
        text(&reader.churn().unwrap()),
        concat!(
            r#"{"total":{"allocations":4,"frees":1,"allocated":417,"freed":300,"largest":300,"temporary":1,"temporary_bytes":300,"recorded_allocations":4,"recorded_frees":1,"recorded_temporary":1},"rows":["#,
            r#"[null,{"allocations":1,"frees":0,"allocated":7,"freed":0,"largest":7,"temporary":0,"temporary_bytes":0,"recorded_allocations":1,"recorded_frees":0,"recorded_temporary":0}],"#,
            r#"[1,{"allocations":2,"frees":0,"allocated":110,"freed":0,"largest":100,"temporary":0,"temporary_bytes":0,"recorded_allocations":2,"recorded_frees":0,"recorded_temporary":0}],"#,
            r#"[2,{"allocations":1,"frees":1,"allocated":300,"freed":300,"largest":300,"temporary":1,"temporary_bytes":300,"recorded_allocations":1,"recorded_frees":1,"recorded_temporary":1}]],"damaged":false}"#,
        ),
    );
    let steps = reader
        .ask(ChurnOverTime::query().every(Duration::from_secs(3)))
        .unwrap();
    assert_eq!(
        text(&steps),
        concat!(
            r#"{"step_us":3000000,"steps":["#,
            r#"{"from_us":0,"to_us":3000000,"allocations":3,"frees":1,"allocated":410,"freed":300,"recorded_allocations":3,"recorded_frees":1},"#,
            r#"{"from_us":3000000,"to_us":4000000,"allocations":1,"frees":0,"allocated":7,"freed":0,"recorded_allocations":1,"recorded_frees":0}],"damaged":false}"#,
        ),
    );
    assert_eq!(
        text(&reader.ask(LiveBlocks::query()).unwrap()),
        format!(
            r#"{{"recorded":[[1,2],[null,1]],"estimated":[[1,2],[null,1]],"error_bars":{},"damaged":false}}"#,
            text(reader.live_blocks().unwrap().error_bars()),
        ),
    );
    let sizes = serde_json::to_value(reader.sizes().unwrap()).unwrap();
    let bucket = |from: u64, to: u64, blocks: u64, bytes: u64| {
        json!({
            "from": from, "to": to, "allocations": blocks, "bytes": bytes,
            "recorded_allocations": blocks, "recorded_bytes": bytes,
        })
    };
    assert_eq!(sizes["total"], bucket(0, i64::MAX.unsigned_abs(), 4, 417));
    assert_eq!(sizes["buckets"].as_array().unwrap().len(), 10);
    assert_eq!(sizes["buckets"][0], bucket(0, 0, 0, 0));
    assert_eq!(sizes["buckets"][4], bucket(8, 15, 1, 10));
    assert_eq!(
        text(&reader.lifetimes().unwrap()),
        concat!(
            r#"{"total":{"freed":1,"live":3,"unmatched":0,"mean_ns":[2000000000,2000000000]},"rows":["#,
            r#"[null,{"freed":0,"live":1,"unmatched":0,"mean_ns":null}],"#,
            r#"[1,{"freed":0,"live":2,"unmatched":0,"mean_ns":null}],"#,
            r#"[2,{"freed":1,"live":0,"unmatched":0,"mean_ns":[2000000000,2000000000]}]],"damaged":false}"#,
        ),
    );
}

#[test]
fn answers_about_samples() {
    // A block of 16 bytes is recorded with probability 1/5, one of 4 bytes never, others always.
    let rates = SamplingRates::from_stored([(8, 0), (100, u32::MAX / 5)]);
    let mut profile = Profile::sampled(&rates);
    profile.trace(&[("a.py", 1)]);
    let reader = profile.with_events(&[(0, 1, 16), (1, 1, 200)]).reader();
    let bars = reader.error_bars().unwrap();
    let estimate = r#"{"value":280,"variance":5120.0,"standard_error":71.55417527999327,"blocks":1.0,"exact":false,"rough":true}"#;
    assert_eq!(
        text(&bars),
        format!(
            r#"{{"total":{estimate},"rows":[[1,{estimate}]],"unseen":[{{"from":0,"below":8}}],"damaged":false}}"#
        ),
    );
    let table = reader.traces().unwrap();
    assert_eq!(
        text(&LineErrorBars::new(table, &bars)),
        format!(
            concat!(
                r#"{{"total":{estimate},"unknown":{none},"#,
                r#""lines":[{{"frame":{{"file":"a.py","line":1,"function":null}},"id":0,"#,
                r#""local":{estimate},"cumulative":{estimate}}}],"damaged":false}}"#,
            ),
            estimate = estimate,
            none = text(&heapprof::query::Estimate::default()),
        ),
    );

    let reader = reader.unsampled();
    let advice = reader.ask(SamplingAdvice::query([rates])).unwrap();
    assert_eq!(
        text(&advice),
        concat!(
            r#"{"recordings":[{"rates":[{"upper_size":8,"probability":0.0},{"upper_size":100,"probability":0.2}],"#,
            r#""allocations":1.2,"frees":0.0,"#,
            r#""allocated":{"bytes":216.0,"unseen":0.0,"standard_error":32.0},"#,
            r#""live_at_end":{"bytes":216.0,"unseen":0.0,"standard_error":32.0},"#,
            r#""live_at_peak":{"bytes":216.0,"unseen":0.0,"standard_error":32.0}}],"damaged":false}"#,
        ),
    );
}

#[test]
fn evidence_about_rates_has_the_fields_of_its_kind() {
    let check = Profile::default().reader().rates_check().unwrap();
    assert_eq!(
        text(&check),
        r#"{"verdict":"cannot_tell","log_odds":0.0,"evidence":[],"damaged":false}"#,
    );
    assert_eq!(
        text(&[RatesVerdict::LookWrong, RatesVerdict::LookRight]),
        r#"["look_wrong","look_right"]"#,
    );
    let evidence = [
        RatesEvidence::NeverRecorded {
            sizes: 0..128,
            blocks: 5,
            first_offset: 70,
        },
        RatesEvidence::TooFast {
            sizes: 0..128,
            blocks: 500,
            within: Duration::from_micros(30),
            at: Elapsed::from_secs(2),
            implied_per_second: 1.5e9,
        },
        RatesEvidence::Edge {
            size: 128,
            below: 5,
            above: 7,
            stated: 0.25,
            log_odds: -3.5,
        },
        RatesEvidence::Counts {
            pairs: 9,
            equal: 8,
            by_chance: 0.5,
            log_odds: 20.0,
        },
    ];
    assert_eq!(
        text(&evidence),
        concat!(
            r#"[{"kind":"never_recorded","sizes":{"from":0,"below":128},"blocks":5,"first_offset":70},"#,
            r#"{"kind":"too_fast","sizes":{"from":0,"below":128},"blocks":500,"within_us":30,"at_us":2000000,"implied_per_second":1500000000.0},"#,
            r#"{"kind":"edge","size":128,"below":5,"above":7,"stated":0.25,"log_odds":-3.5},"#,
            r#"{"kind":"counts","pairs":9,"equal":8,"by_chance":0.5,"log_odds":20.0}]"#,
        ),
    );
}

#[test]
fn leaks() {
    // 10 bytes each second, of which none are freed.
    let events: Vec<_> = (0..100).map(|second| (second * 1_000_000, 1, 10)).collect();
    let reader = Profile::default().traces(1).with_events(&events).reader();
    let leaks = reader.leaks().unwrap();
    let shape = serde_json::to_value(&leaks).unwrap();
    let growth = &shape["traces"][0]["growth"];
    assert_eq!(growth["allocated"], 1000);
    assert_eq!(growth["freed"], 0);
    assert_eq!(growth["bytes"], leaks.traces()[0].growth.bytes);
    assert_eq!(
        shape["window_us"],
        Elapsed::from(leaks.window()).as_micros()
    );
    assert_eq!(shape["traces"], json!([{ "trace": 1, "growth": growth }]));
    let id = leaks.lines()[0].id.index();
    assert_eq!(
        shape["lines"],
        json!([{ "id": id, "growth": growth, "trace": 1 }])
    );
}

/// The fields that the table in the documentation gives for a type.
fn documented(name: &str) -> BTreeSet<String> {
    let rows = include_str!("../src/serde_shapes/mod.rs").lines();
    let row = rows
        .filter_map(|line| line.strip_prefix("//! | ")?.split_once(" | "))
        .find(|(first, _)| *first == name || first.contains(&format!("[`{name}`]")));
    let (_, shape) = row.unwrap_or_else(|| panic!("{name} is not documented"));
    let fields = shape.split_once('{').unwrap().1.chars();
    // What stands in brackets is the shape of a field.
    let (mut depth, mut names) = (0, String::new());
    for c in fields {
        match c {
            '{' | '[' | '(' => depth += 1,
            '}' if depth == 0 => break,
            '}' | ']' | ')' => depth -= 1,
            _ if depth == 0 => names.push(c),
            _ => {}
        }
    }
    let names = names.split(',');
    names
        .map(|name| name.split(':').next().unwrap().trim().to_owned())
        .collect()
}

#[test]
fn the_documentation_names_every_field() {
    fn check(name: &str, value: &impl Serialize) {
        let value = serde_json::to_value(value).unwrap();
        let fields = value.as_object().unwrap().keys().cloned();
        assert_eq!(documented(name), fields.collect(), "{name}");
    }
    let reader = Reader::open(recording("demo").unwrap()).unwrap();
    let table = reader.traces().unwrap();
    let usage = reader.live_at_end().unwrap();
    check("StartTime", &reader.start());
    check("Event", &reader.events().unwrap().next().unwrap().unwrap());
    check("LogPosition", &reader.end().unwrap());
    check("Frame", &table.frames().next().unwrap().1);
    check("TraceTable", table);
    let stated = SamplingRates::from_stored([(1, 1)]);
    check("SamplingRange", &stated.ranges()[0]);
    let digest = reader.digest().unwrap();
    check("Snapshot", &digest.get(0).unwrap().unwrap());
    check("Digest", &digest);
    let lines = Lines::new(table, &usage);
    check("Lines", &lines);
    check("LineUsage", &lines.by_local().next().unwrap());
    let graph = serde_json::to_value(FlowGraph::new(table, &usage)).unwrap();
    check("FlowGraph", &graph);
    check("its columns", &graph["columns"][0]);
    check("its nodes", &graph["nodes"][0]);
    check("its edges", &graph["edges"][0]);
    let graph = FlameGraph::new(table, &usage);
    check("FlameGraph", &serde_json::to_value(&graph).unwrap()[0]);
    check("FlameLabel", &graph.root().label());
    check("FlameWeight", &graph.total());
    check("FlameNode", &graph.root());
    check("FlameBar", &graph.walk().next().unwrap());
    check("FoldedStack", &graph.folded().next().unwrap());
    let line = table.search("customers.py:7")[0];
    let sandwich = Sandwich::new(table, &usage, line);
    check("Sandwich", &sandwich);
    check("Neighbour", &sandwich.callers().next().unwrap());
    let series = reader.time_series([Track::Cumulative(line)]).unwrap();
    check("TimeSeries", &series);
    check("Track", &series.iter().next().unwrap().0);
    check("Series", &series.total());
    let movements = series.total().movements();
    check("Movements", &movements);
    check("Trend", &movements.trend());
    check("Movement", &movements.rises()[0]);
    check("Peak", &reader.peak().unwrap());
    check("HighWater", &reader.high_water().unwrap());
    let churn = reader.churn().unwrap();
    check("Churn", &churn);
    check("TraceChurn", &churn.total());
    let churn = reader
        .ask(ChurnOverTime::query().every(Duration::from_secs(2)))
        .unwrap();
    check("ChurnOverTime", &churn);
    check("ChurnStep", &churn.steps().next().unwrap());
    check("LiveBlocks", &reader.ask(LiveBlocks::query()).unwrap());
    let sizes = reader.sizes().unwrap();
    check("Sizes", &sizes);
    check("SizeBucket", &sizes.total());
    let lifetimes = reader.lifetimes().unwrap();
    check("Lifetimes", &lifetimes);
    check("TraceLifetimes", &lifetimes.total());
    let leaks = reader.leaks().unwrap();
    check("Leaks", &leaks);
    check("Growth", &leaks.traces()[0].growth);
    let bars = reader.error_bars().unwrap();
    check("ErrorBars", &bars);
    check("Estimate", &bars.total());
    check("LineEstimate", &LineErrorBars::new(table, &bars).get(line));
    check("RatesCheck", &reader.rates_check().unwrap());
    let advice = reader.ask(SamplingAdvice::query([stated])).unwrap();
    check("SamplingAdvice", &advice);
    check("ExpectedRecording", &advice.recordings()[0]);
    check("ExpectedEstimate", &advice.recordings()[0].allocated);
    let noise = Reader::open(recording("huge_corrupt").unwrap()).unwrap();
    let sanity = noise.sanity().unwrap();
    check("Sanity", &sanity);
    check("Issue", &sanity.issues()[0]);
    check("Corruption", &sanity.corruption().unwrap());
}

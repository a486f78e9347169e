//! What the files say: the header, the stacks, the log.

use std::io::Write;

use anyhow::Result;
use heapprof::{Error, Reader};
use serde::Serialize;
use serde_json::{Map, Value};

use crate::output::{FrameRow, Lines, index, tell};

#[derive(Serialize)]
struct MetaRow {
    start_ns: u128,
    rates: Vec<(u64, u32)>,
    traces: usize,
    #[serde(skip_serializing_if = "Map::is_empty")]
    properties: Map<String, Value>,
}

#[derive(Serialize)]
struct TraceRow<'a> {
    trace: u32,
    frames: Vec<FrameRow<'a>>,
}

#[derive(Serialize)]
struct EventRow {
    elapsed_us: u64,
    wall_us: i64,
    trace: u32,
    free: bool,
    bytes: u64,
    estimate: i64,
}

pub(crate) fn meta(out: &mut Lines<impl Write>, reader: &Reader) -> Result<()> {
    let traces = reader.traces()?;
    let rates = reader.stated_rates().ranges().iter();
    let mut properties = Map::new();
    for (key, value) in reader.properties().iter() {
        // The first value of a key counts.
        properties.entry(key).or_insert_with(|| value.into());
    }
    out.line(&MetaRow {
        start_ns: reader.start().as_nanos(),
        rates: rates
            .map(|range| (range.upper_size(), range.stored_probability()))
            .collect(),
        traces: traces.len(),
        properties,
    })?;
    tell(reader, traces.damage());
    Ok(())
}

pub(crate) fn traces(out: &mut Lines<impl Write>, reader: &Reader) -> Result<()> {
    let traces = reader.traces()?;
    for (id, trace) in traces.iter() {
        out.line(&TraceRow {
            trace: id.get(),
            frames: trace.frames().map(FrameRow::from).collect(),
        })?;
    }
    tell(reader, traces.damage());
    Ok(())
}

pub(crate) fn events(out: &mut Lines<impl Write>, reader: &Reader) -> Result<()> {
    for event in reader.events()? {
        let event = match event {
            Ok(event) => event,
            // What is wrong is told at the end.
            Err(Error::Decode { .. }) => break,
            Err(error) => return Err(error.into()),
        };
        out.line(&EventRow {
            elapsed_us: event.elapsed.as_micros(),
            wall_us: event.wall.as_micros(),
            trace: index(event.trace),
            free: event.is_free(),
            bytes: event.size,
            estimate: event.signed_estimate(reader.rates()),
        })?;
    }
    tell(reader, &reader.damage()?);
    Ok(())
}

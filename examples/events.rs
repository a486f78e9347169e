//! The low-level loop: every event of a log, with nothing in between.
//!
//! ```text
//! cargo run --release --example events [FILEBASE]
//! ```

use std::{collections::HashMap, env, fs};

use heapprof::raw::{EventLog, TraceLog};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let filebase = env::args()
        .nth(1)
        .unwrap_or_else(|| "examples/data/demo".to_owned());
    let (hpm, hpd) = (
        fs::read(format!("{filebase}.hpm"))?,
        fs::read(format!("{filebase}.hpd"))?,
    );

    let mut allocated: HashMap<_, u64> = HashMap::new();
    for event in EventLog::new(&hpd).events() {
        match event {
            Ok(event) if event.is_free() => {}
            Ok(event) => *allocated.entry(event.trace).or_default() += event.size,
            Err(end) if end.is_cut() => eprintln!("{end}"), // the program was killed: that is normal
            Err(damage) => return Err(damage.into()),
        }
    }

    let index = TraceLog::new(&hpm)?.index();
    let (trace, bytes) = allocated
        .into_iter()
        .max_by_key(|&(trace, bytes)| (bytes, trace))
        .ok_or("no event")?;
    println!("{bytes} bytes, more than any other, were allocated by this stack, innermost first:");
    for frame in trace
        .and_then(|id| index.get(id))
        .iter()
        .flat_map(|trace| trace.innermost_first())
    {
        println!("  {}:{}", frame.file_name(), frame.line());
    }
    Ok(())
}

//! The low-level loop: every event of a log, with nothing in between.
//!
//! ```text
//! cargo run --release --example events [LOG.hpd]
//! ```

use heapprof::raw::EventLog;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let log = std::env::args()
        .nth(1)
        .unwrap_or("examples/data/demo.hpd".into());
    let bytes = std::fs::read(&log).map_err(|error| format!("{log}: {error}"))?;

    let (mut live, mut allocations, mut frees) = (0, 0, 0);
    for event in EventLog::new(&bytes).events() {
        match event {
            Ok(event) if event.is_free() => frees += 1,
            Ok(_) => allocations += 1,
            Err(end) if end.is_cut() => break, // the program was killed: that is normal
            Err(damage) => return Err(damage.into()),
        }
        live += event?.signed_size();
    }
    println!("{allocations} allocations, {frees} frees, {live} bytes live at the end");
    Ok(())
}

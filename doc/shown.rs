// What the code of the cookbook runs with, behind the scenes. `println!` goes to a string, and
// `shown` compares that with the text block under the heading; with BLESS=1 it writes it there:
// `BLESS=1 cargo test --doc cookbook -- --test-threads=1`.

type Tested = Result<(), Box<dyn std::error::Error>>;

std::thread_local!(static OUT: std::cell::RefCell<String> = const {
    std::cell::RefCell::new(String::new())
});

/// `println!`, as the code blocks have it.
macro_rules! say {
    ($($text:tt)*) => { print_line(std::format!($($text)*)) };
}
use say;

fn print_line(text: String) {
    OUT.with_borrow_mut(|out| {
        out.push_str(text.trim_end());
        out.push('\n');
    });
}

/// Ends the code under this heading.
fn shown(heading: &str) -> Tested {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/doc/cookbook.md");
    let page = std::fs::read_to_string(path)?;
    let heading = format!("\n# {heading}\n");
    let section = page.find(&heading).ok_or("no such heading")? + heading.len();
    let mark = "```text\n";
    let block = section + page[section..].find(mark).ok_or("no text block")? + mark.len();
    let end = block + page[block..].find("```").ok_or("the text block does not end")?;
    let out = OUT.take();
    if std::env::var_os("BLESS").is_some() {
        std::fs::write(path, format!("{}{out}{}", &page[..block], &page[end..]))?;
    } else {
        assert_eq!(out, page[block..end], "what is shown under{heading}");
    }
    Ok(())
}

/// The shipped profile as if one line had kept nothing: a second run, with trace ids of its own.
fn fixed_run() -> Result<heapprof::Reader, Box<dyn std::error::Error>> {
    use heapprof::raw::{EventWriter, TraceWriter};

    let reader = heapprof::Reader::open("examples/data/demo")?;
    let traces = reader.traces()?;
    let mut hpm = TraceWriter::new(Vec::new(), reader.start(), reader.rates())?;
    let mut hpd = EventWriter::new(Vec::new());
    let mut ids = std::collections::HashMap::new();
    for event in reader.events()? {
        let mut event = event?;
        let Some(trace) = traces.trace(event.trace) else { continue };
        if trace.innermost().is_some_and(|frame| frame.file.ends_with("customers.py") && frame.line == 11) {
            continue;
        }
        if !ids.contains_key(&event.trace) {
            ids.insert(event.trace, hpm.intern_outermost_first(trace.frames())?);
        }
        event.trace = ids.get(&event.trace).copied();
        hpd.write_event(&event)?;
    }
    Ok(heapprof::Reader::from_bytes(hpm.into_inner(), hpd.into_inner(), None)?)
}

/// A sample of the shipped profile, made as the cookbook says.
fn sampled_run() -> Result<heapprof::Reader, Box<dyn std::error::Error>> {
    use heapprof::raw::{EventWriter, TraceWriter};

    let full = heapprof::Reader::open("examples/data/demo")?;
    let rates = heapprof::SamplingRates::new([(512, 0.1)])?;
    let mut hpm = TraceWriter::new(Vec::new(), full.start(), &rates)?;
    let mut ids = std::collections::HashMap::new();
    for (id, trace) in full.traces()?.iter() {
        ids.insert(Some(id), hpm.intern_outermost_first(trace.frames())?);
    }
    let mut hpd = EventWriter::new(Vec::new());
    let mut random = fastrand::Rng::with_seed(7);
    let mut live: std::collections::HashMap<_, Vec<bool>> = std::collections::HashMap::new();
    for event in full.events()? {
        let mut event = event?;
        event.trace = ids.get(&event.trace).copied();
        let blocks = live.entry((event.trace, event.size)).or_default();
        let recorded = if event.is_free() {
            blocks.pop().unwrap_or(false)
        } else {
            let recorded = random.f64() < rates.probability(event.size);
            blocks.push(recorded);
            recorded
        };
        if recorded {
            hpd.write_event(&event)?;
        }
    }
    Ok(heapprof::Reader::from_bytes(hpm.into_inner(), hpd.into_inner(), None)?)
}

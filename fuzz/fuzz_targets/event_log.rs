//! Any bytes as an event log: `next` and `for_each` agree, and so do an iterator that resumes in the middle and one that
//! reads from a stream.
#![no_main]

use heapprof::raw::{EventLog, EventReader};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|hpd: &[u8]| {
    let log = EventLog::new(hpd);
    let mut all = Vec::new();
    log.events().for_each(|event| all.push(event));
    let (first, second) = all.split_at(all.len() / 2);
    let mut events = log.events();
    for expected in first {
        assert_eq!(events.next().as_ref(), Some(expected));
    }
    let resumed: Vec<_> = log.events_from(events.position()).collect();
    assert_eq!(resumed, second);
    assert_eq!(events.collect::<Vec<_>>(), second);
    let streamed =
        EventReader::new(hpd).map(|event| event.map_err(|error| *error.decode_error().unwrap()));
    assert_eq!(streamed.collect::<Vec<_>>(), all);
});

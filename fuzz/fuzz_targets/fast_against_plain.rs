//! Any bytes as an event log: the decoder of the crate and one that reads a byte at a time return the same events.
#![no_main]

#[path = "../../benches/common/bytewise.rs"]
mod bytewise;

use heapprof::TraceId;
use heapprof::raw::EventLog;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|hpd: &[u8]| {
    let mut fast = EventLog::new(hpd).events().map_while(Result::ok);
    for plain in bytewise::events(hpd).map_while(|event| event) {
        let fast = fast.next().expect("the plain decoder goes on");
        assert_eq!(fast.elapsed.as_micros(), plain.elapsed);
        assert_eq!(fast.wall.as_micros(), plain.wall);
        assert_eq!(fast.trace.map_or(0, TraceId::get), plain.trace);
        assert_eq!((fast.is_free(), fast.size), (plain.is_free, plain.size));
    }
    assert_eq!(fast.next(), None);
});

//! What the targets `traces_v1` and `traces_v2` share.

use heapprof::TraceTable;
use heapprof::raw::TraceLog;

/// The count, the index, the iterator and the table of a `.hpm` file agree.
pub fn check(hpm: &[u8]) {
    let Ok(log) = TraceLog::new(hpm) else { return };
    let (index, table) = (log.index(), TraceTable::from_log(&log));
    let traces: Vec<_> = log.traces().map_while(Result::ok).collect();
    assert_eq!(log.count() as usize, traces.len());
    assert_eq!((index.len(), table.len()), (traces.len(), traces.len()));
    for trace in traces {
        assert_eq!(index.get(trace.id()).as_ref(), Some(&trace));
        let stack = table.trace(Some(trace.id())).expect("a stack of the table");
        for (frame, raw) in stack.frames().zip(trace.outermost_first()) {
            assert_eq!((frame.file, frame.line), (&*raw.file(), raw.line()));
            assert_eq!(frame.function, raw.function().as_deref());
        }
        assert_eq!(stack.len(), trace.outermost_first().count());
    }
}

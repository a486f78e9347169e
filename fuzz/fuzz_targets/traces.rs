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
        assert_eq!(index.get(trace.id()), Some(trace));
        let stack = table.trace(Some(trace.id())).expect("a stack of the table");
        let lines = stack.frames().map(|frame| frame.line);
        assert!(lines.eq(trace.outermost_first().map(|frame| frame.line())));
    }
}

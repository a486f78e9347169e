//! The log decoded byte at a time, as the format is told: what a faster way is measured against.

/// Calls `take` with the elapsed time, the trace index, whether it is a free, and the size of each
/// event of a whole log.
pub(crate) fn events(log: &[u8], mut take: impl FnMut(u64, u32, bool, u64)) {
    let mut at = 0;
    let mut elapsed = 0_u64;
    while let Some(head) = log.get(at..at + 4) {
        let head = u32::from_be_bytes(head.try_into().unwrap());
        at += 4;
        let seconds = varint(log, &mut at);
        let micros = varint(log, &mut at);
        let size = varint(log, &mut at);
        // With the highest bit, the clock was stepped back, and the time that only grows stands.
        if head >> 31 == 0 {
            elapsed += seconds * 1_000_000 + micros;
        }
        take(elapsed, head & ((1 << 30) - 1), head >> 30 & 1 == 1, size);
    }
}

fn varint(bytes: &[u8], at: &mut usize) -> u64 {
    let mut value = 0;
    let mut shift = 0;
    loop {
        let byte = bytes[*at];
        *at += 1;
        value |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return value;
        }
        shift += 7;
    }
}

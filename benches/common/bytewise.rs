//! A decoder of the event log that reads one byte at a time and checks all that a decoder must check. Benches measure
//! the crate against it, and a fuzz target compares both.

/// One event.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Event {
    pub(crate) elapsed: u64,
    pub(crate) wall: i64,
    pub(crate) trace: u32,
    pub(crate) is_free: bool,
    pub(crate) size: u64,
}

/// The events of a log. A record that is cut or invalid is `None`, and ends the iterator.
pub(crate) struct Events<'a> {
    bytes: &'a [u8],
    elapsed: i64,
    wall: i64,
}

pub(crate) fn events(bytes: &[u8]) -> Events<'_> {
    Events {
        bytes,
        elapsed: 0,
        wall: 0,
    }
}

impl Iterator for Events<'_> {
    type Item = Option<Event>;

    fn next(&mut self) -> Option<Option<Event>> {
        if self.bytes.is_empty() {
            return None;
        }
        let event = self.event();
        if event.is_none() {
            self.bytes = &[];
        }
        Some(event)
    }
}

impl Events<'_> {
    fn event(&mut self) -> Option<Event> {
        if self.bytes.first() == Some(&0) && self.bytes.starts_with(&[0; 64]) {
            return None;
        }
        let mut head = 0;
        for _ in 0..4 {
            head = head << 8 | u32::from(self.byte()?);
        }
        let seconds = i64::try_from(self.varint()?).ok()?.checked_mul(1_000_000)?;
        let micros = i64::try_from(self.varint()?).ok()?;
        let size = self.varint().filter(|&size| i64::try_from(size).is_ok())?;
        // The sum must fit also where the difference does.
        seconds.checked_add(micros)?;
        let seconds = if head >> 31 == 0 { seconds } else { -seconds };
        let step = seconds.checked_add(micros)?;
        let wall = self.wall.checked_add(step);
        self.wall = wall.filter(|&wall| wall != i64::MIN)?;
        self.elapsed = self.elapsed.checked_add(step.max(0))?;
        Some(Event {
            elapsed: self.elapsed.unsigned_abs(),
            wall: self.wall,
            trace: head & ((1 << 30) - 1),
            is_free: head >> 30 & 1 == 1,
            size,
        })
    }

    fn varint(&mut self) -> Option<u64> {
        let mut value = 0;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            let group = u64::from(byte & 0x7f);
            if group > u64::MAX >> shift {
                return None;
            }
            value |= group << shift;
            if byte < 0x80 {
                return Some(value);
            }
        }
        None
    }

    fn byte(&mut self) -> Option<u8> {
        let (&byte, rest) = self.bytes.split_first()?;
        self.bytes = rest;
        Some(byte)
    }
}

//! Where does each trace of a `.hpm` file begin? Told by the lengths of what is in between, in several
//! parts of the file at once.
//!
//! Where a frame begins is known once the length of the one before was loaded, and to wait for that
//! takes far longer than all else. So a block of the file is walked by several who take turns:
//!
//! ```text
//!  ├ first ──────┼ second ─────┼ third ──────┼ …           ┤  a block
//!  └ known       └ guessed: after the next 0, which ends traces and stands nowhere else
//! ```
//!
//! A guess was right if the walk before it ends there. What is after a wrong one is walked again.

#![expect(
    clippy::inline_always,
    reason = "a call for each frame costs as much as passing it"
)]

use std::ffi::CStr;
use std::hint::black_box;

use super::block::varint;
use super::frames::skip_frame;

/// So many walk at once.
const WALKERS: usize = 6;

/// So many bytes are walked by all of them together: a thousand traces of a real program.
const BLOCK: usize = 1 << 20;

/// Fewer are left to whoever reads one trace after the other: to begin takes longer than that.
const FEW: usize = 24 << 10;

/// What is told of each trace, in the order of the file.
pub(super) trait Told: Default {
    /// A trace was whole that begins there.
    fn trace(&mut self, start: usize);

    /// How many there were.
    fn len(&self) -> usize;

    /// These follow on those so far.
    fn append(&mut self, others: Self);
}

/// Only how many there are.
#[derive(Debug, Default)]
pub(super) struct Counted(pub(super) usize);

impl Told for Counted {
    #[inline]
    fn trace(&mut self, _: usize) {
        self.0 += 1;
    }

    fn len(&self) -> usize {
        self.0
    }

    fn append(&mut self, others: Self) {
        self.0 += others.0;
    }
}

/// Where each begins.
impl Told for Vec<u64> {
    #[inline]
    fn trace(&mut self, start: usize) {
        self.push(start as u64);
    }

    fn len(&self) -> usize {
        Vec::len(self)
    }

    fn append(&mut self, mut others: Self) {
        Vec::append(self, &mut others);
    }
}

/// Tells of the whole traces from the one that begins at `at` on, and gives where the next one begins.
///
/// That is at the end, or where one is not whole; or a little before there are more than `most`; or at `at`
/// if there are only a [`FEW`] bytes.
pub(super) fn whole_traces<T: Told>(bytes: &[u8], at: usize, most: usize) -> (T, usize) {
    if bytes.len().saturating_sub(at) < FEW {
        look_at(bytes.get(at..).unwrap_or_default());
        return (T::default(), at);
    }
    by_blocks(bytes, at, most, BLOCK)
}

/// Has the bytes brought from memory all at once: a walk asks for them one after the other, and would wait
/// each time.
fn look_at(bytes: &[u8]) {
    const LINE: usize = 64;
    black_box(bytes.iter().step_by(LINE).fold(0, |all, byte| all | byte));
}

fn by_blocks<T: Told>(bytes: &[u8], mut at: usize, most: usize, block: usize) -> (T, usize) {
    let mut told = T::default();
    while at < bytes.len() {
        let walked = walk_block::<T>(bytes, at, block);
        if told.len() + walked.told.len() > most {
            break;
        }
        told.append(walked.told);
        at = walked.start;
        if walked.is_stuck {
            break;
        }
    }
    (told, at)
}

/// Who walks along the frames of traces.
struct Walker<T> {
    /// Where the trace begins in which it is, and where in that it is.
    start: usize,
    at: usize,
    /// It stops where a trace begins that is not before this.
    to: usize,
    told: T,
    /// The trace is not whole, or there is none.
    is_stuck: bool,
}

impl<T: Told> Walker<T> {
    fn new(start: usize, to: usize) -> Self {
        Self {
            start,
            at: start,
            to,
            told: T::default(),
            is_stuck: false,
        }
    }

    /// Passes a frame, or the end of a trace. Gives whether there is more to pass.
    #[inline(always)]
    fn step(&mut self, bytes: &[u8]) -> bool {
        if let Some(end) = usual_frame(bytes, self.at) {
            self.at = end;
            return true;
        }
        match bytes.get(self.at) {
            Some(0) => self.pass_end(self.at + 1),
            _ => self.step_otherwise(bytes),
        }
    }

    /// The trace has ended, and the next one begins there.
    #[inline]
    fn pass_end(&mut self, next: usize) -> bool {
        self.told.trace(self.start);
        (self.start, self.at) = (next, next);
        !self.is_done()
    }

    /// The same, whatever the lengths.
    #[cold]
    #[inline(never)]
    fn step_otherwise(&mut self, bytes: &[u8]) -> bool {
        match skip_frame(bytes, self.at) {
            Ok(Some(frame)) => {
                self.at = frame.end;
                true
            }
            // The 0 that ends the trace can be written longer than needed.
            Ok(None) => match varint(bytes, self.at) {
                Ok((_, next)) => self.pass_end(next),
                Err(_) => self.is_stuck(),
            },
            Err(_) => self.is_stuck(),
        }
    }

    fn is_stuck(&mut self) -> bool {
        self.is_stuck = true;
        false
    }

    fn is_done(&self) -> bool {
        self.is_stuck || self.start >= self.to
    }

    fn finish(mut self, bytes: &[u8]) -> Self {
        while !self.is_done() {
            self.step(bytes);
        }
        self
    }
}

/// Walks from the trace that begins at `from` to one that begins about a block later.
fn walk_block<T: Told>(bytes: &[u8], from: usize, block: usize) -> Walker<T> {
    let part = block.min(bytes.len() - from) / WALKERS;
    let guess = |number: usize| {
        let at = from + number * part;
        let before = CStr::from_bytes_until_nul(bytes.get(at..at + part)?).ok()?;
        Some(at + before.count_bytes() + 1)
    };
    let mut starts = [from; WALKERS];
    for (number, start) in starts.iter_mut().enumerate().skip(1) {
        let Some(guess) = guess(number) else {
            return Walker::new(from, from.saturating_add(block)).finish(bytes);
        };
        *start = guess;
    }
    let end = from + WALKERS * part;
    let mut ends = starts.into_iter().skip(1);
    let mut walkers = starts.map(|start| Walker::<T>::new(start, ends.next().unwrap_or(end)));
    // They are done at about the same time.
    loop {
        let waiting = pass_frames(bytes, &mut walkers);
        let mut these = walkers.iter_mut().skip(waiting);
        if !these.all(|walker| walker.step(bytes)) {
            break;
        }
    }
    let [first, others @ ..] = walkers;
    let mut first = first.finish(bytes);
    for (other, guess) in others.into_iter().zip(starts.into_iter().skip(1)) {
        // One that began at a wrong guess may find no end before that of the file.
        if first.is_stuck || first.start != guess {
            break;
        }
        let other = other.finish(bytes);
        first.told.append(other.told);
        (first.start, first.is_stuck) = (other.start, other.is_stuck);
    }
    first
}

/// All pass frames, a frame each in turn, until one of them comes to what is no usual frame. Gives the
/// number of that one.
#[inline(always)]
fn pass_frames<T>(bytes: &[u8], walkers: &mut [Walker<T>; WALKERS]) -> usize {
    // Apart from the walkers these are in registers.
    let mut at = walkers.each_ref().map(|walker| walker.at);
    let waiting = 'rounds: loop {
        for (number, at) in at.iter_mut().enumerate() {
            match usual_frame(bytes, *at) {
                Some(end) => *at = end,
                None => break 'rounds number,
            }
        }
    };
    for (walker, at) in walkers.iter_mut().zip(at) {
        walker.at = at;
    }
    waiting
}

/// Where the frame at `at` ends, if it is as nearly all are: with a line number of one or two bytes, and a
/// name whose length is one byte. Which of these it is, is computed and not asked: it cannot be foretold.
///
/// A frame that ends behind the file is not whole. No frame begins there, so that is found out next.
#[inline(always)]
fn usual_frame(bytes: &[u8], at: usize) -> Option<usize> {
    let word = u32::from_le_bytes(*bytes.get(at..)?.first_chunk()?);
    let longer = word >> 7 & 1;
    // The last byte of the line number, and the length.
    let last = word >> (8 * longer);
    // Neither goes on, and the first is not the 0 that ends a trace.
    if (last | last.wrapping_sub(1)) & 0x8080 != 0 {
        return None;
    }
    Some(at + (2 + longer + (last >> 8 & 0xff)) as usize)
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::super::block::push_varint;
    use super::super::frames::RawTrace;
    use super::*;
    use crate::id::TraceId;

    /// One after the other, with what is told of each.
    fn plain(bytes: &[u8], mut at: usize, most: usize) -> (Vec<u64>, usize) {
        let mut starts = Vec::new();
        let id = TraceId::new(1).unwrap();
        while starts.len() < most
            && at < bytes.len()
            && let Ok((_, next)) = RawTrace::read(bytes, at, id)
        {
            starts.push(at as u64);
            at = next;
        }
        (starts, at)
    }

    /// A frame: its line number and one more, and its name.
    fn frame() -> impl Strategy<Value = (u64, Vec<u8>)> {
        let line = prop_oneof![8 => 1..0x80_u64, 8 => 0x80..0x4000_u64, 1 => 0x4000..1_u64 << 33];
        let name = prop_oneof![
            // Bytes of names, a 0 among them now and then.
            20 => vec(prop_oneof![30 => 1..=255_u8, 1 => Just(0)], 0..60),
            1 => vec(1..=255_u8, 100..300),
        ];
        (line, name)
    }

    fn file() -> impl Strategy<Value = Vec<u8>> {
        let end = prop_oneof![30 => Just(vec![0_u8]), 1 => Just(vec![0x80, 0x80, 0])];
        vec((vec(frame(), 0..12), end), 0..40).prop_map(|traces| {
            let mut bytes = Vec::new();
            for (frames, end) in traces {
                for (line, name) in frames {
                    push_varint(&mut bytes, line);
                    push_varint(&mut bytes, name.len() as u64);
                    bytes.extend(name);
                }
                bytes.extend(end);
            }
            bytes
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(if cfg!(miri) { 5 } else { 1000 }))]

        #[test]
        fn what_is_walked_in_several_places_is_what_is_walked_in_one(
            bytes in file(),
            cut in any::<prop::sample::Index>(),
            flipped in any::<prop::sample::Index>(),
            flip in prop_oneof![2 => Just(0_u8), 1 => any::<u8>()],
            block in 1..3000_usize,
            most in prop_oneof![2 => Just(usize::MAX), 1 => 0..60_usize],
        ) {
            let mut bytes = bytes;
            if !bytes.is_empty() {
                let flipped = flipped.index(bytes.len());
                bytes[flipped] ^= flip;
            }
            for len in [bytes.len(), cut.index(bytes.len() + 1)] {
                let bytes = &bytes[..len];
                let (starts, at) = by_blocks::<Vec<u64>>(bytes, 0, most, block);
                let (plain_starts, plain_end) = plain(bytes, 0, usize::MAX);
                // As far as it says, and that is to the end if there may be as many.
                prop_assert_eq!(&starts[..], &plain_starts[..starts.len()]);
                prop_assert_eq!(plain(bytes, 0, starts.len()).1, at);
                prop_assert!(starts.len() <= most);
                prop_assert!(at == plain_end || plain_starts.len() > most);
                let (counted, end) = by_blocks::<Counted>(bytes, 0, most, block);
                prop_assert_eq!((counted.0, end), (starts.len(), at));
            }
        }

        #[test]
        fn a_usual_frame_ends_where_it_is_found_to_end(
            bytes in vec(prop_oneof![any::<u8>(), Just(0), Just(1), Just(0x80)], 0..8),
            name in 0..130_usize,
        ) {
            let bytes = [bytes, vec![b'n'; name]].concat();
            if let Some(end) = usual_frame(&bytes, 0) {
                match skip_frame(&bytes, 0) {
                    Ok(Some(frame)) => prop_assert_eq!(frame.end, end),
                    Ok(None) => prop_assert!(false, "the end of a trace is no frame"),
                    Err(_) => prop_assert!(end > bytes.len()),
                }
            }
        }
    }
}

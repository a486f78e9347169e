//! How is an event told from its bytes, if it has one of the shapes that nearly all have?
//!
//! ```text
//! head, time not backwards   no seconds   microseconds        size
//! 0xxxxxxx 3 × xxxxxxxx      00000000     0xxxxxxx            0xxxxxxx
//!                                      or 1xxxxxxx 0xxxxxxx or 1xxxxxxx 0xxxxxxx
//! ```
//!
//! Where the lengths of both are computed, also with three bytes of microseconds and four of the size.
//! An event of a usual shape is less than a second after the one before, and at any rates the estimate of its
//! size is in range.

#![expect(
    clippy::inline_always,
    reason = "a call for each event costs as much as decoding it"
)]

use super::block::digits;
use super::event;
use super::way::Way;
use crate::time::SECOND;

/// The longest event of a shape that is told by branches.
const LONGEST_BRANCHED: usize = 9;

/// So many bytes are looked at to compute lengths: an event of eight, and of the next one up to the first
/// of its size.
const LOOKED_AT: usize = 8 + 7;

/// In the head, its first byte as the lowest: the time went backwards.
const BACKWARDS: u32 = event::BACKWARDS.swap_bytes();

/// In the four bytes after the head, the first as the lowest: there are seconds.
const SECONDS: u32 = 0xff;

/// The first byte after the seconds is not the last of its number, and so the microseconds have more
/// than that; the second; and the third.
const LONG_FIRST: u32 = 0x80 << 8;
const LONG_SECOND: u32 = 0x80 << 16;
const LONG_THIRD: u32 = 0x80 << 24;

/// In the first eight bytes, the first as the lowest: the time went backwards, or there are seconds.
const UNUSUAL: u64 = BACKWARDS as u64 | in_word(SECONDS);

/// The same of what stands in the four bytes after the head, in the first eight bytes.
const fn in_word(bits: u32) -> u64 {
    (bits as u64) << 32
}

/// The largest size of an event of a usual shape: four bytes.
pub(crate) const LARGEST_USUAL: u64 = (1 << 28) - 1;

/// An event of a usual shape.
pub(super) struct Shape<'a> {
    pub(super) head: u32,
    pub(super) micros: u64,
    pub(super) size: u64,
    /// What follows on it.
    pub(super) after: &'a [u8],
    /// Of the next event, where sizes are [computed](Way::ComputingSizes).
    pub(super) ahead: Ahead,
}

/// Whether the size of an event has more than one byte, if its microseconds have one: known before the
/// turn of the event. Else where an event ends would wait for its bytes to be loaded, and these for
/// where the event before ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Ahead(bool);

impl Ahead {
    /// Where nothing asks for it.
    const UNUSED: Self = Self(false);

    /// Of the event with which these bytes begin.
    #[inline]
    pub(super) fn of(rest: &[u8]) -> Self {
        Self(rest.get(6).is_some_and(|&byte| byte >= 0x80))
    }

    /// Of the event after one of seven bytes, or of eight if that is `longer`, of which these are the
    /// last bytes that are looked at.
    #[inline(always)]
    fn of_next(longer: bool, last: [u8; 2]) -> Self {
        let last = u32::from(u16::from_le_bytes(last));
        Self(last >> (7 + 8 * u32::from(longer)) & 1 != 0)
    }
}

impl<'a> Shape<'a> {
    /// The event with which these bytes begin, if it is of one of the shapes that are told apart by
    /// [branches](Way::Branching), and the bytes do not end soon.
    #[inline(always)]
    pub(super) fn branched(rest: &'a [u8]) -> Option<Self> {
        let longest = rest.first_chunk::<LONGEST_BRANCHED>()?;
        // In four bytes and four: what they are asked for fits into an instruction then.
        let (head, others) = longest.split_first_chunk()?;
        let (numbers, &[_]) = others.split_first_chunk()? else {
            return None;
        };
        let [.., micros, second, third, fourth] = longest.map(u64::from);
        let (head, numbers) = (u32::from_le_bytes(*head), u32::from_le_bytes(*numbers));
        if head & BACKWARDS != 0 {
            return None;
        }
        let head = head.swap_bytes();
        let shape = |micros, size, len| Self::new(rest, head, micros, size, len);
        if numbers & (SECONDS | LONG_FIRST | LONG_SECOND) != 0 {
            branch();
            if numbers & (SECONDS | LONG_FIRST | LONG_THIRD) == 0 {
                branch();
                return Some(shape(micros, (second & 0x7f) | (third << 7), 8));
            }
            let micros = (micros & 0x7f) | (second << 7);
            let long = numbers & (SECONDS | LONG_FIRST | LONG_SECOND | LONG_THIRD);
            if long == LONG_FIRST {
                branch();
                return Some(shape(micros, third, 8));
            }
            if long == LONG_FIRST | LONG_THIRD && fourth < 0x80 {
                branch();
                return Some(shape(micros, (third & 0x7f) | (fourth << 7), 9));
            }
            return None;
        }
        Some(shape(micros, second, 7))
    }

    /// The event with which these bytes begin, if it is of one of the shapes whose lengths are
    /// computed this way, and the bytes do not end soon. What is known `ahead` of it is asked where
    /// those of [sizes](Way::ComputingSizes) are.
    #[inline(always)]
    pub(super) fn computed(rest: &'a [u8], way: Way, ahead: Ahead) -> Option<Self> {
        let longest = rest.first_chunk::<LOOKED_AT>()?;
        let (first, _) = longest.split_first_chunk()?;
        let word = u64::from_le_bytes(*first);
        let [h0, h1, h2, h3, _, micros, second, third, ..] = *longest;
        let head = u32::from_be_bytes([h0, h1, h2, h3]);
        match way {
            Way::ComputingSizes => {
                let (second, third) = (u64::from(second), u64::from(third));
                let both = in_word(LONG_SECOND | LONG_THIRD);
                if word & (UNUSUAL | in_word(LONG_FIRST)) != 0 || word & both == both {
                    return None;
                }
                debug_assert_eq!(ahead, Ahead::of(rest));
                let longer = ahead.0;
                let size = (second & 0x7f) | ((third << 7) * u64::from(longer));
                let len = 7 + usize::from(longer);
                Some(Self {
                    ahead: Ahead::of_next(longer, *longest.last_chunk()?),
                    ..Self::new(rest, head, u64::from(micros), size, len)
                })
            }
            Way::Computing => {
                let (_, numbers) = longest.split_first_chunk::<5>()?;
                let numbers = u64::from_le_bytes(*numbers.first_chunk()?);
                let (micros, size, len) = numbers_of(numbers)?;
                let is_usual = word & UNUSUAL == 0;
                is_usual.then(|| Self::new(rest, head, micros, size, 5 + len))
            }
            Way::Branching | Way::Repeating | Way::Careful => None,
        }
    }

    /// The event with which these bytes begin, if it is of a shape that is told this way. For who has
    /// but one to tell.
    pub(super) fn told(rest: &'a [u8], way: Way) -> Option<Self> {
        match way {
            Way::Branching | Way::Repeating => Self::branched(rest),
            _ => Self::computed(rest, way, Ahead::of(rest)),
        }
    }

    #[inline(always)]
    fn new(rest: &'a [u8], head: u32, micros: u64, size: u64, len: usize) -> Self {
        Self {
            head,
            micros,
            size,
            after: rest.get(len..).unwrap_or_default(),
            ahead: Ahead::UNUSED,
        }
    }
}

/// The two numbers with which these bytes begin, the first byte as the lowest, and their length; if
/// they are microseconds of less than a second, and a size of 28 bits at most.
#[inline(always)]
fn numbers_of(bytes: u64) -> Option<(u64, u64, usize)> {
    // The highest bits of the last bytes of numbers; of these the first and the second.
    let ends = !bytes & 0x8080_8080_8080_8080;
    let others = ends & ends.wrapping_sub(1);
    let (first, second) = (ends & ends.wrapping_neg(), others & others.wrapping_neg());
    let len = others.trailing_zeros() / 8 + 1;
    let micros = digits(bytes & first.wrapping_sub(1));
    let size = (bytes & second.wrapping_sub(1)) >> 1;
    let size = size.wrapping_shr(first.trailing_zeros());
    let is_usual = second != 0 && first < 1 << 31 && micros < SECOND && size < 1 << 32;
    is_usual.then_some((micros, digits(size), len as usize))
}

/// Keeps the compiler from computing both sides of a branch.
#[cold]
#[inline]
pub(crate) const fn branch() {}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::block::push_varint;
    use super::super::decode::fields;
    use super::*;

    const WAYS: [Way; 3] = [Way::Branching, Way::ComputingSizes, Way::Computing];

    /// A number whose length is anything, more often short.
    fn number() -> impl Strategy<Value = u64> {
        prop_oneof![
            0..0x80_u64,
            0..0x4000_u64,
            0..1_100_000_u64,
            (0..64_u32).prop_flat_map(|bits| 0..=u64::MAX >> bits),
        ]
    }

    /// Bytes of numbers that can be longer than they need be, and anything after them.
    fn bytes() -> impl Strategy<Value = Vec<u8>> {
        let byte = prop_oneof![Just(0_u8), Just(0x80), Just(0x7f), any::<u8>()];
        let numbers = prop_oneof![
            3 => (number(), number()).prop_map(|(micros, size)| {
                let mut bytes = vec![0];
                push_varint(&mut bytes, micros);
                push_varint(&mut bytes, size);
                bytes
            }),
            1 => prop::collection::vec(byte.clone(), 9),
        ];
        let head = prop_oneof![3 => 0..1_u32 << 31, 1 => any::<u32>()];
        (head, numbers, prop::collection::vec(byte, 0..20))
            .prop_map(|(head, numbers, after)| [&head.to_be_bytes()[..], &numbers, &after].concat())
    }

    /// Of how many bytes each number is, of an event without seconds that is less than a second
    /// after the one before.
    fn lengths(bytes: &[u8]) -> Option<(usize, usize)> {
        let end =
            |from: usize| Some(from + bytes.get(from..)?.iter().position(|it| *it < 0x80)? + 1);
        let (micros, size) = (end(5)?, end(end(5)?)?);
        let fields = fields(bytes, None).ok()?;
        let plain = bytes[0] < 0x80 && bytes[4] == 0 && fields.strange.is_none();
        plain.then_some((micros - 5, size - micros))
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(if cfg!(miri) { 20 } else { 5000 }))]

        #[test]
        fn what_is_told_at_once_is_what_is_told_field_by_field(bytes in bytes()) {
            let lengths = lengths(&bytes);
            for way in WAYS {
                let looked_at = if way == Way::Branching { LONGEST_BRANCHED } else { LOOKED_AT };
                let lengths = lengths.filter(|_| bytes.len() >= looked_at);
                let usual = lengths.is_some_and(|(micros, size)| match way {
                    Way::Branching => micros <= 2 && size <= 2,
                    Way::ComputingSizes => micros == 1 && size <= 2,
                    // A fifth byte can be one too many.
                    _ => micros <= 3 && (size <= 4 || size == 5 && bytes[5 + micros + 4] == 0),
                });
                let shape = Shape::told(&bytes, way);
                prop_assert_eq!(shape.is_some(), usual, "{:?} {:?}", way, lengths);
                if let Some(shape) = shape {
                    let fields = fields(&bytes, None).unwrap();
                    prop_assert_eq!(shape.head, fields.head);
                    prop_assert_eq!(shape.micros, fields.forward);
                    prop_assert_eq!(fields.backward, 0);
                    prop_assert_eq!(shape.size, fields.size);
                    prop_assert_eq!(shape.after, &bytes[fields.len..]);
                    if way == Way::ComputingSizes {
                        prop_assert_eq!(shape.ahead, Ahead::of(shape.after));
                    }
                }
            }
            prop_assert!(Shape::told(&bytes, Way::Careful).is_none());
        }
    }

    #[test]
    fn the_longest_numbers_of_a_usual_shape() {
        for (micros, size, usual) in [
            (999_999, (1 << 28) - 1, true),
            (1_000_000, 1, false),
            (1, 1 << 28, false),
        ] {
            let mut bytes = vec![0x7f, 0xff, 0xff, 0xff, 0];
            push_varint(&mut bytes, micros);
            push_varint(&mut bytes, size);
            bytes.extend([0xff; 8]);
            let shape = Shape::told(&bytes, Way::Computing);
            let found =
                shape.map(|shape| (shape.head, shape.micros, shape.size, shape.after.len()));
            assert_eq!(found, usual.then_some((0x7fff_ffff, micros, size, 8)));
        }
    }
}

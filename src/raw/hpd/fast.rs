//! The fast path: decodes records with short numbers, as nearly all are.
//!
//! ```text
//! head, forwards         no seconds   microseconds          size
//! 0xxxxxxx 3 × xxxxxxxx  00000000     0xxxxxxx              0xxxxxxx
//!                                  or 1xxxxxxx 0xxxxxxx  or 1xxxxxxx 0xxxxxxx
//! ```
//!
//! A fast record is less than a second after the event before, and its estimate fits 63 bits at any rates. So
//! it cannot fail, and the fast path has no error to check. It declines every other record, and a record that
//! begins with zeros (which may end the log); the [slow path](super::record) decodes those.
//!
//! There are three forms. The [strategy](super::strategy) chooses one for each window.
//!
//! | form | lengths of (microseconds, size) | for |
//! | --- | --- | --- |
//! | [`branchy`](FastRecord::branchy) | (1, 1), (1, 2), (2, 1), (2, 2) | lengths that repeat: nearly all recordings |
//! | [`branchless_size`](FastRecord::branchless_size) | (1, 1), (1, 2) | sizes whose lengths do not repeat |
//! | [`branchless`](FastRecord::branchless) | up to (3, 4) | neither repeats |

#![expect(
    clippy::inline_always,
    reason = "a call for each event costs as much as decoding it"
)]

use super::record::BACKWARDS_BIT;
use crate::raw::block::digits;
use crate::time::SECOND;

/// How many bytes the branchy form reads.
const BRANCHY_LOOKAHEAD: usize = 9;

/// How many bytes the branchless forms read: a record of eight, and the next one up to the first byte of its
/// size.
const BRANCHLESS_LOOKAHEAD: usize = 8 + 7;

/// The fast path declines a record if fewer bytes than this follow its start.
pub(super) const LOOKAHEAD: usize = BRANCHLESS_LOOKAHEAD;

/// The bits of a little-endian word of four bytes after the head: the byte of the seconds, and for each of the
/// next three bytes the bit that says that another byte of its number follows.
const SECONDS_BYTE: u32 = 0xff;
const BYTE_2_CONTINUES: u32 = 0x80 << 8;
const BYTE_3_CONTINUES: u32 = 0x80 << 16;
const BYTE_4_CONTINUES: u32 = 0x80 << 24;

/// The bits of the first eight bytes that no fast record has: backwards, or seconds.
const NOT_FAST: u64 = BACKWARDS_BIT.swap_bytes() as u64 | in_word(SECONDS_BYTE);

/// The first seven bytes.
const SHORTEST_RECORD: u64 = u64::MAX >> 8;

/// Bits of the four bytes after the head, as bits of the first eight bytes.
const fn in_word(bits: u32) -> u64 {
    (bits as u64) << 32
}

/// A decoded record with short numbers, as each form returns it together with the bytes after it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct FastRecord {
    pub(super) head: u32,
    pub(super) micros: u64,
    /// PERF: 32 bits tell the compiler that the size is small, so that `Event::signed_size` need not clamp it.
    pub(super) size: u32,
    /// For [`branchless_size`](Self::branchless_size) of the next record.
    pub(super) next_size: SizeLen,
}

/// Whether the size of a record has two bytes, given that its microseconds have one.
///
/// PERF: computed one record ahead, from bytes already loaded. Otherwise the length of each record depends on a load
/// whose address depends on the length of the record before:
/// 1.5x on the made-up log, nothing on real ones; `cargo bench --bench ratios`, row `live_ns_per_event`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct SizeLen {
    is_two: bool,
}

impl SizeLen {
    /// For the record at the start of `bytes`.
    #[inline(always)]
    pub(super) fn of(bytes: &[u8]) -> Self {
        let is_two = bytes.get(6).is_some_and(|&byte| byte >= 0x80);
        Self { is_two }
    }

    /// For the record after this one, from the last two of the bytes that this one read.
    #[inline(always)]
    fn next(self, last: [u8; 2]) -> Self {
        let last = u32::from(u16::from_le_bytes(last));
        let is_two = last >> (7 + 8 * u32::from(self.is_two)) & 1 != 0;
        Self { is_two }
    }
}

impl FastRecord {
    /// Decodes the record at the start of `bytes`, with a branch for each pair of lengths.
    ///
    /// PERF: the processor predicts the branches and so decodes several records at once: up to 3x the speed of
    /// the branchless forms where lengths repeat.
    #[inline(always)]
    pub(super) fn branchy(bytes: &[u8]) -> Option<(Self, &[u8])> {
        let Some(record) = bytes.first_chunk::<BRANCHY_LOOKAHEAD>() else {
            cold_path();
            return None;
        };
        let (head, rest) = record.split_first_chunk()?;
        let (numbers, _) = rest.split_first_chunk()?;
        // PERF: bytes of their own are loaded faster than extracted from the word.
        let [.., second, third, fourth, fifth] = record.map(u64::from);
        let (head, numbers) = (u32::from_be_bytes(*head), u32::from_le_bytes(*numbers));
        // One comparison for both: backwards is the sign. A head of 0, an allocation by an unknown trace, can be
        // the first of the zeros that end a log; in a log with many of them, misses choose `Strategy::Branchless`.
        if head.cast_signed() <= 0 {
            cold_path();
            return None;
        }
        let two_bytes = |low: u64, high: u64| (low & 0x7f) | (high << 7);
        let record = |micros, size, len| Self::new(head, micros, size).and_after(bytes, len);
        if numbers & (SECONDS_BYTE | BYTE_2_CONTINUES | BYTE_3_CONTINUES) == 0 {
            return Some(record(second, third, 7));
        }
        cold_path();
        if numbers & (SECONDS_BYTE | BYTE_2_CONTINUES | BYTE_4_CONTINUES) == 0 {
            cold_path();
            return Some(record(second, two_bytes(third, fourth), 8));
        }
        let continues =
            numbers & (SECONDS_BYTE | BYTE_2_CONTINUES | BYTE_3_CONTINUES | BYTE_4_CONTINUES);
        if continues == BYTE_2_CONTINUES {
            cold_path();
            return Some(record(two_bytes(second, third), fourth, 8));
        }
        if continues == BYTE_2_CONTINUES | BYTE_4_CONTINUES && fifth < 0x80 {
            cold_path();
            return Some(record(
                two_bytes(second, third),
                two_bytes(fourth, fifth),
                9,
            ));
        }
        None
    }

    /// Decodes the record at the start of `bytes` if its microseconds have one byte, and computes the length
    /// of its size.
    ///
    /// PERF: a mispredicted branch costs as much as decoding six records; this form has none that depends on
    /// the length of the size.
    #[inline(always)]
    pub(super) fn branchless_size(bytes: &[u8], size_len: SizeLen) -> Option<(Self, &[u8])> {
        debug_assert_eq!(size_len, SizeLen::of(bytes));
        let record = bytes.first_chunk::<BRANCHLESS_LOOKAHEAD>()?;
        let (word, _) = record.split_first_chunk()?;
        let word = u64::from_le_bytes(*word);
        let both = in_word(BYTE_3_CONTINUES | BYTE_4_CONTINUES);
        if word & (NOT_FAST | in_word(BYTE_2_CONTINUES)) != 0
            || word & both == both
            || word & SHORTEST_RECORD == 0
        {
            return None;
        }
        let [h0, h1, h2, h3, _, micros, low, high, ..] = *record;
        let is_two = size_len.is_two;
        let size = u64::from(low & 0x7f) | ((u64::from(high) << 7) * u64::from(is_two));
        let head = u32::from_be_bytes([h0, h1, h2, h3]);
        let record = Self {
            next_size: size_len.next(*record.last_chunk()?),
            ..Self::new(head, u64::from(micros), size)
        };
        Some(record.and_after(bytes, 7 + usize::from(is_two)))
    }

    /// Decodes the record at the start of `bytes`, and computes the lengths of both numbers.
    ///
    /// PERF: 3.5 ns an event instead of 16.6 where the lengths of both are random; row
    /// `decode_mixed_vs_bytewise`.
    #[inline(always)]
    pub(super) fn branchless(bytes: &[u8]) -> Option<(Self, &[u8])> {
        let record = bytes.first_chunk::<BRANCHLESS_LOOKAHEAD>()?;
        let (word, _) = record.split_first_chunk()?;
        let word = u64::from_le_bytes(*word);
        let (_, numbers) = record.split_first_chunk::<5>()?;
        let (micros, size, len) = two_varints(u64::from_le_bytes(*numbers.first_chunk()?))?;
        if word & NOT_FAST != 0 || word & SHORTEST_RECORD == 0 {
            return None;
        }
        let (head, _) = record.split_first_chunk()?;
        let head = u32::from_be_bytes(*head);
        Some(Self::new(head, micros, size).and_after(bytes, 5 + len))
    }

    #[expect(clippy::cast_possible_truncation, reason = "a size of 28 bits")]
    #[inline(always)]
    const fn new(head: u32, micros: u64, size: u64) -> Self {
        Self {
            head,
            micros,
            size: size as u32,
            next_size: SizeLen { is_two: false },
        }
    }

    /// PERF: called where the compiler knows that `bytes` are longer than `len`; later it would check that.
    #[inline(always)]
    fn and_after(self, bytes: &[u8], len: usize) -> (Self, &[u8]) {
        (self, bytes.get(len..).unwrap_or_default())
    }
}

/// Decodes two varints from a little-endian word: microseconds, size, and their length together. Returns
/// `None` unless they are less than a second, and a size of at most 28 bits.
#[inline(always)]
fn two_varints(word: u64) -> Option<(u64, u64, usize)> {
    // A clear highest bit marks the last byte of a varint. Find the lowest two of these.
    let ends = !word & 0x8080_8080_8080_8080;
    let other_ends = ends & ends.wrapping_sub(1);
    let (first, second) = (
        ends & ends.wrapping_neg(),
        other_ends & other_ends.wrapping_neg(),
    );
    let len = other_ends.trailing_zeros() / 8 + 1;
    let micros = digits(word & first.wrapping_sub(1));
    let size = (word & second.wrapping_sub(1)) >> 1;
    let size = size.wrapping_shr(first.trailing_zeros());
    let is_fast = second != 0 && first < 1 << 31 && micros < SECOND && size < 1 << 32;
    is_fast.then_some((micros, digits(size), len as usize))
}

/// Marks the branch that calls it as unlikely, so that the compiler does not compute both sides.
#[cold]
#[inline]
pub(crate) const fn cold_path() {}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::raw::block::push_varint;
    use crate::raw::hpd::record::Record;

    /// The largest size of a fast record: a varint of four bytes.
    const LARGEST_SIZE: u64 = (1 << 28) - 1;

    type Form = fn(&[u8]) -> Option<(FastRecord, &[u8])>;
    /// Whether a form decodes a record with these lengths of microseconds and size, and this fifth byte of the size.
    type IsFast = fn(usize, usize, u8) -> bool;

    /// A varint of any length, more often a short one.
    fn number() -> impl Strategy<Value = u64> {
        prop_oneof![
            1 => Just(0_u64),
            4 => 0..0x80_u64,
            4 => 0..0x4000_u64,
            4 => 0..1_100_000_u64,
            4 => (0..64_u32).prop_flat_map(|bits| 0..=u64::MAX >> bits),
        ]
    }

    /// A record, perhaps with longer varints than needed, and anything after it.
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
        let head = prop_oneof![3 => 0..1_u32 << 31, 1 => any::<u32>(), 1 => Just(0)];
        (head, numbers, prop::collection::vec(byte, 0..20))
            .prop_map(|(head, numbers, after)| [&head.to_be_bytes()[..], &numbers, &after].concat())
    }

    /// The lengths of microseconds and size of a record that is forwards and has no seconds.
    fn lengths(bytes: &[u8]) -> Option<(usize, usize)> {
        let end =
            |from: usize| Some(from + bytes.get(from..)?.iter().position(|it| *it < 0x80)? + 1);
        let (micros, size) = (end(5)?, end(end(5)?)?);
        let record = Record::decode(bytes, None, true).ok()?;
        let is_plain = bytes[0] < 0x80 && bytes[4] == 0 && record.invalid_micros.is_none();
        is_plain.then_some((micros - 5, size - micros))
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(5000))]

        #[test]
        fn every_form_equals_the_slow_path(bytes in bytes()) {
            let lengths = lengths(&bytes);
            let branchless_size: Form = |bytes| FastRecord::branchless_size(bytes, SizeLen::of(bytes));
            let forms: [(Form, usize, IsFast); 3] = [
                (FastRecord::branchy, BRANCHY_LOOKAHEAD, |micros, size, _| micros <= 2 && size <= 2),
                (branchless_size, BRANCHLESS_LOOKAHEAD, |micros, size, _| micros == 1 && size <= 2),
                // A fifth byte of the size can be a superfluous zero.
                (FastRecord::branchless, BRANCHLESS_LOOKAHEAD, |micros, size, fifth| {
                    micros <= 3 && (size <= 4 || size == 5 && fifth == 0)
                }),
            ];
            for (form, lookahead, is_fast) in forms {
                let can_be_zeros = if lookahead == BRANCHY_LOOKAHEAD {
                    bytes[..4] == [0; 4]
                } else {
                    bytes[..7] == [0; 7]
                };
                let lengths = lengths.filter(|_| bytes.len() >= lookahead && !can_be_zeros);
                let expected = lengths.is_some_and(|(micros, size)| {
                    is_fast(micros, size, bytes.get(5 + micros + 4).copied().unwrap_or(1))
                });
                let found = form(&bytes);
                prop_assert_eq!(found.is_some(), expected, "{:?}", lengths);
                if let Some((found, after)) = found {
                    let record = Record::decode(&bytes, None, true).unwrap();
                    prop_assert_eq!(
                        (found.head, found.micros, found.size.into(), after),
                        (record.head, record.forward, record.size, &bytes[record.len..])
                    );
                    prop_assert_eq!(record.backward, 0);
                }
            }
            if let Some((found, after)) = branchless_size(&bytes) {
                prop_assert_eq!(found.next_size, SizeLen::of(after));
            }
        }
    }

    #[test]
    fn branchless_accepts_20_bits_of_micros_and_28_of_size() {
        for (micros, size, is_fast) in [
            (999_999, LARGEST_SIZE, true),
            (1_000_000, 1, false),
            (1, LARGEST_SIZE + 1, false),
        ] {
            let mut bytes = vec![0x7f, 0xff, 0xff, 0xff, 0];
            push_varint(&mut bytes, micros);
            push_varint(&mut bytes, size);
            bytes.extend([0xff; 8]);
            let expected = FastRecord::new(0x7fff_ffff, micros, size);
            let expected = is_fast.then_some((expected, &[0xff; 8][..]));
            assert_eq!(FastRecord::branchless(&bytes), expected);
        }
    }
}

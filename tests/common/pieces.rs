//! The files of a profile as the numbers and names they are made of, so that each can be changed by
//! itself: what a stranger would write, and not only what an accident makes of a file.

#![allow(dead_code, reason = "no test needs all of it")]
#![allow(
    clippy::cast_possible_truncation,
    reason = "the lowest bits are what is written"
)]

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::Index;

/// A number or a name as it stands on disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Piece {
    Fixed32(u32),
    Fixed64(u64),
    Varint(u64),
    /// With so many bytes more than needed.
    Padded(u64, usize),
    Bytes(Vec<u8>),
    /// Here a snapshot begins: the index is told where.
    Snapshot,
    /// Here the index begins, and here its offsets stand, however many snapshots there are.
    Index,
    /// Here the trailer begins, and here its checksum stands.
    Trailer,
    Checksum,
}

use Piece::{Bytes, Checksum, Fixed32, Fixed64, Padded, Varint};

/// What is to be changed, and how. Places are taken modulo the number of pieces.
#[derive(Debug, Clone)]
pub(crate) enum Change {
    Number(Index, u64),
    Add(Index, i64),
    Pad(Index, usize),
    Remove(Index),
    Double(Index),
    Swap(Index, Index),
    /// A run of pieces so many times.
    Repeat(Index, usize, usize),
    Insert(Index, Vec<u8>),
    Cut(Index),
}

/// Numbers at which something may turn.
pub(crate) fn number() -> impl Strategy<Value = u64> {
    prop_oneof![
        2 => 0_u64..4,
        2 => (0_u32..64, 0_u64..3).prop_map(|(bit, off)| (1_u64 << bit).wrapping_sub(1).wrapping_add(off)),
        2 => prop::sample::select(vec![
            127, 128, 999_999, 1_000_000, (1 << 30) - 1, 1 << 30, u64::from(u32::MAX),
            1 << 32, 1 << 47, i64::MAX as u64, 1 << 63, u64::MAX - 1, u64::MAX,
            // So many seconds are just in 63 bits of microseconds, and just not.
            9_223_372_036_854, 9_223_372_036_855, 3_155_760_000,
        ]),
        1 => any::<u64>(),
    ]
}

pub(crate) fn change() -> impl Strategy<Value = Change> {
    let at = any::<Index>;
    prop_oneof![
        8 => (at(), number()).prop_map(|(at, to)| Change::Number(at, to)),
        3 => (at(), -3_i64..4).prop_map(|(at, by)| Change::Add(at, by)),
        1 => (at(), 1_usize..12).prop_map(|(at, by)| Change::Pad(at, by)),
        2 => at().prop_map(Change::Remove),
        2 => at().prop_map(Change::Double),
        2 => (at(), at()).prop_map(|(a, b)| Change::Swap(a, b)),
        1 => (at(), 1_usize..9, 2_usize..40).prop_map(|(at, len, times)| Change::Repeat(at, len, times)),
        1 => (at(), vec(any::<u8>(), 1..12)).prop_map(|(at, bytes)| Change::Insert(at, bytes)),
        1 => at().prop_map(Change::Cut),
    ]
}

/// Makes the changes, one after the other.
pub(crate) fn changed(mut pieces: Vec<Piece>, changes: &[Change]) -> Vec<Piece> {
    for change in changes {
        if pieces.is_empty() {
            break;
        }
        let len = pieces.len();
        match change {
            Change::Number(at, to) => pieces[at.index(len)].set(|_| *to),
            Change::Add(at, by) => pieces[at.index(len)].set(|n| n.wrapping_add_signed(*by)),
            Change::Pad(at, by) => {
                if let Varint(number) = pieces[at.index(len)] {
                    pieces[at.index(len)] = Padded(number, *by);
                }
            }
            Change::Remove(at) => drop(pieces.remove(at.index(len))),
            Change::Double(at) => {
                let piece = pieces[at.index(len)].clone();
                pieces.insert(at.index(len), piece);
            }
            Change::Swap(a, b) => pieces.swap(a.index(len), b.index(len)),
            Change::Repeat(at, run, times) => {
                let at = at.index(len);
                let run = pieces[at..len.min(at + run)].to_vec();
                let more: Vec<Piece> = run
                    .iter()
                    .cycle()
                    .take(run.len() * times)
                    .cloned()
                    .collect();
                pieces.splice(at..at, more);
            }
            Change::Insert(at, bytes) => pieces.insert(at.index(len), Bytes(bytes.clone())),
            Change::Cut(at) => pieces.truncate(at.index(len)),
        }
    }
    pieces
}

impl Piece {
    fn set(&mut self, number: impl Fn(u64) -> u64) {
        match self {
            Fixed32(n) => *n = number(u64::from(*n)) as u32,
            Fixed64(n) | Varint(n) | Padded(n, _) => *n = number(*n),
            Bytes(bytes) => {
                // A name of another length than is said, or none.
                let len = usize::try_from(number(bytes.len() as u64) % 300).unwrap();
                bytes.resize(len, b'/');
            }
            Piece::Snapshot | Piece::Index | Piece::Trailer | Checksum => {}
        }
    }
}

fn push_varint(out: &mut Vec<u8>, mut number: u64, padding: usize) {
    while number >= 0x80 {
        out.push((number & 0x7f) as u8 | 0x80);
        number >>= 7;
    }
    if padding == 0 {
        out.push(number as u8);
    } else {
        out.push(number as u8 | 0x80);
        out.extend(vec![0x80; padding - 1]);
        out.push(0);
    }
}

/// The bytes of a file. Offsets and checksums of a digest fit what is there.
pub(crate) fn bytes(pieces: &[Piece]) -> Vec<u8> {
    let mut out = Vec::new();
    let mut snapshots = Vec::new();
    let (mut index, mut trailer) = (0, 0);
    for piece in pieces {
        match piece {
            Fixed32(number) => out.extend(number.to_be_bytes()),
            Fixed64(number) => out.extend(number.to_be_bytes()),
            Varint(number) => push_varint(&mut out, *number, 0),
            Padded(number, by) => push_varint(&mut out, *number, *by),
            Bytes(bytes) => out.extend(bytes),
            Piece::Snapshot => snapshots.push(out.len()),
            Piece::Index => {
                index = out.len();
                out.extend(0xab93_5776_u32.to_be_bytes());
                push_varint(&mut out, snapshots.len() as u64, 0);
                let mut before = 0;
                for &at in &snapshots {
                    push_varint(&mut out, (at - before) as u64, 0);
                    before = at;
                }
            }
            Piece::Trailer => trailer = out.len(),
            Checksum => {
                let sum = trailer_checksum(&out, index, trailer);
                out.extend(sum.to_be_bytes());
            }
        }
    }
    if index > 0
        && let Some((at, _)) = interval_at(&out)
        && let Some(field) = out.get_mut(at..at + 8)
        && field == [0; 8]
    {
        field.copy_from_slice(&(index as u64).to_be_bytes());
    }
    out
}

/// Where the offset of the index stands, and the interval before it.
fn interval_at(hpc: &[u8]) -> Option<(usize, u64)> {
    let mut interval = 0_u64;
    for (place, &byte) in hpc.get(20..)?.iter().enumerate().take(10) {
        interval |= u64::from(byte & 0x7f).checked_shl(7 * place as u32)?;
        if byte < 0x80 {
            return Some((21 + place, interval));
        }
    }
    None
}

/// The checksum of a trailer, as the crate computes it.
fn trailer_checksum(out: &[u8], index: usize, trailer: usize) -> u32 {
    let mut state = 0_u64;
    let fields = [out.get(4..12), out.get(12..20)].map(|it| it.unwrap_or(&[0; 8]).to_vec());
    let interval = interval_at(out).map_or(0, |(_, interval)| interval);
    let parts = fields.into_iter().chain([interval.to_be_bytes().to_vec()]);
    let last = [
        out.get(index..trailer).unwrap_or_default().to_vec(),
        out.get(trailer..).unwrap_or_default().to_vec(),
    ];
    for part in parts.chain(last) {
        let step = |state: u64, word: u64| {
            let state = (state ^ word).wrapping_mul(0x9e37_79b9_7f4a_7c15);
            state ^ state >> 32
        };
        let (words, rest) = part.as_chunks::<8>();
        let mut tail = [0; 8];
        tail[..rest.len()].copy_from_slice(rest);
        let words: Vec<u64> = words.iter().map(|&it| u64::from_le_bytes(it)).collect();
        let rows = words.len() / 4 * 4;
        for lane in 0..4 {
            let lane = words[..rows].iter().skip(lane).step_by(4);
            state = step(state, lane.fold(0, |lane, &word| step(lane, word)));
        }
        let rest = words[rows..].iter().copied();
        let rest = rest.chain([u64::from_le_bytes(tail), part.len() as u64]);
        state = rest.fold(state, step);
    }
    state as u32
}

/// Reads numbers in their order.
struct Cutter<'a> {
    bytes: &'a [u8],
    pieces: Vec<Piece>,
}

impl Cutter<'_> {
    fn fixed32(&mut self) -> u32 {
        let (number, rest) = self.bytes.split_first_chunk().unwrap();
        self.bytes = rest;
        let number = u32::from_be_bytes(*number);
        self.pieces.push(Fixed32(number));
        number
    }

    fn fixed64(&mut self) -> u64 {
        let (number, rest) = self.bytes.split_first_chunk().unwrap();
        self.bytes = rest;
        let number = u64::from_be_bytes(*number);
        self.pieces.push(Fixed64(number));
        number
    }

    fn varint(&mut self) -> u64 {
        let len = self.bytes.iter().position(|&byte| byte < 0x80).unwrap() + 1;
        let (number, rest) = self.bytes.split_at(len);
        self.bytes = rest;
        let number = number
            .iter()
            .rev()
            .fold(0, |sum, &byte| sum << 7 | u64::from(byte & 0x7f));
        self.pieces.push(Varint(number));
        number
    }

    fn name(&mut self) {
        let len = usize::try_from(self.varint()).unwrap();
        let (name, rest) = self.bytes.split_at(len);
        self.bytes = rest;
        self.pieces.push(Bytes(name.to_vec()));
    }

    fn times<T>(&mut self, count: u64, part: impl Fn(&mut Self) -> T) {
        for _ in 0..count {
            let _ = part(self);
        }
    }
}

fn cut(bytes: &[u8], part: impl Fn(&mut Cutter<'_>)) -> Vec<Piece> {
    let pieces = Vec::new();
    let mut cutter = Cutter { bytes, pieces };
    while !cutter.bytes.is_empty() {
        part(&mut cutter);
    }
    cutter.pieces
}

pub(crate) fn of_hpm(bytes: &[u8]) -> Vec<Piece> {
    cut(bytes, |it| {
        if it.pieces.is_empty() {
            it.fixed32();
            it.times(2, Cutter::fixed64);
            let ranges = it.varint();
            it.times(ranges, |it| {
                it.fixed64();
                it.fixed32();
            });
        } else if it.varint() > 0 {
            it.name();
        }
    })
}

pub(crate) fn of_hpd(bytes: &[u8]) -> Vec<Piece> {
    cut(bytes, |it| {
        it.fixed32();
        it.times(3, Cutter::varint);
    })
}

/// Where the snapshots begin that an index tells of.
fn offsets(index: &[u8]) -> Vec<usize> {
    let pieces = Vec::new();
    let mut it = Cutter {
        bytes: index,
        pieces,
    };
    it.fixed32();
    let mut offset = 0;
    (0..it.varint())
        .map(|_| {
            offset += usize::try_from(it.varint()).unwrap();
            offset
        })
        .collect()
}

/// A digest of ours.
pub(crate) fn of_hpc(bytes: &[u8]) -> Vec<Piece> {
    cut(bytes, |it| {
        it.fixed32();
        it.times(2, Cutter::fixed64);
        it.varint();
        let index = usize::try_from(it.fixed64()).unwrap();
        // Found anew when it is written.
        *it.pieces.last_mut().unwrap() = Fixed64(0);
        let offsets = offsets(&bytes[index..]);
        while bytes.len() - it.bytes.len() < index {
            // As often as snapshots share its bytes.
            let here = bytes.len() - it.bytes.len();
            let shared = offsets.iter().filter(|&&offset| offset == here);
            it.pieces.extend(shared.map(|_| Piece::Snapshot));
            it.fixed32();
            let entries = it.varint();
            it.times(2 * entries, Cutter::varint);
        }
        let before = it.pieces.len();
        it.fixed32();
        let snapshots = it.varint();
        it.times(snapshots, Cutter::varint);
        it.pieces.truncate(before);
        let distinct = offsets.chunk_by(|a, b| a == b).count();
        it.pieces.push(Piece::Index);
        it.pieces.push(Piece::Trailer);
        it.fixed32(); // mark
        it.times(3, Cutter::varint); // version, flags, length
        it.fixed64(); // precision
        let ranges = it.varint();
        it.times(ranges, |it| {
            it.fixed64();
            it.fixed32();
        });
        it.times(4, Cutter::varint); // the end
        let damage = it.varint();
        it.times(4 * damage, Cutter::varint);
        let places = it.varint();
        it.times(5 * places, Cutter::varint);
        it.times(distinct as u64, Cutter::fixed32);
        it.fixed32();
        *it.pieces.last_mut().unwrap() = Checksum;
        it.fixed32(); // mark
    })
}

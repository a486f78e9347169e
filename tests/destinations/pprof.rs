//! The format of pprof, read by field number.

use std::collections::HashMap;
use std::io::Read;

use flate2::read::GzDecoder;
use heapprof::{Reader, SamplingRates, Usage};

use crate::common::{Profile, example, shared};
use crate::{Stacks, after, odd, open, peak, run, stacks};

/// A protobuf message by field number, whatever the message is.
#[derive(Default)]
pub(crate) struct Fields<'a> {
    pub(crate) numbers: HashMap<u64, Vec<u64>>,
    pub(crate) bytes: HashMap<u64, Vec<&'a [u8]>>,
}

impl<'a> Fields<'a> {
    pub(crate) fn read(mut bytes: &'a [u8]) -> Self {
        let mut fields = Self::default();
        while !bytes.is_empty() {
            let tag = varint(&mut bytes);
            match tag & 7 {
                0 => {
                    let number = varint(&mut bytes);
                    fields.numbers.entry(tag >> 3).or_default().push(number);
                }
                2 => {
                    let len = usize::try_from(varint(&mut bytes)).unwrap();
                    let (part, rest) = bytes.split_at(len);
                    fields.bytes.entry(tag >> 3).or_default().push(part);
                    bytes = rest;
                }
                other => panic!("wire type {other}"),
            }
        }
        fields
    }

    pub(crate) fn number(&self, field: u64) -> u64 {
        match self.numbers.get(&field).map(Vec::as_slice) {
            None => 0,
            Some([number]) => *number,
            Some(_) => panic!("field {field} twice"),
        }
    }

    pub(crate) fn messages(&self, field: u64) -> impl Iterator<Item = Fields<'a>> {
        let all = self.bytes.get(&field).into_iter().flatten();
        all.map(|bytes| Fields::read(bytes))
    }

    /// Numbers of which many stand together.
    fn packed(&self, field: u64) -> Vec<u64> {
        let mut numbers = Vec::new();
        for mut bytes in self.bytes.get(&field).into_iter().flatten().copied() {
            while !bytes.is_empty() {
                numbers.push(varint(&mut bytes));
            }
        }
        numbers
    }
}

fn varint(bytes: &mut &[u8]) -> u64 {
    let mut number = 0;
    for place in 0.. {
        let byte = bytes[0];
        *bytes = &bytes[1..];
        number |= u64::from(byte & 0x7f) << (7 * place);
        if byte < 0x80 {
            break;
        }
    }
    number
}

/// A pprof profile, with the texts in their places.
pub(crate) struct Pprof {
    types: Vec<(String, String)>,
    /// By type and stack; the stack outermost first.
    pub(crate) values: Vec<Stacks>,
    /// Of each name its file and line.
    functions: HashMap<String, (String, u64)>,
    comments: Vec<String>,
    default: String,
    period: (String, String, u64),
    time: (u64, u64),
}

pub(crate) fn read(gzip: &[u8]) -> Pprof {
    let mut bytes = Vec::new();
    GzDecoder::new(gzip).read_to_end(&mut bytes).unwrap();
    let profile = Fields::read(&bytes);
    let texts: Vec<_> = profile.bytes[&6]
        .iter()
        .map(|text| String::from_utf8(text.to_vec()).unwrap())
        .collect();
    assert_eq!(texts[0], "");
    let text = |place: u64| texts[usize::try_from(place).unwrap()].clone();
    let kind = |fields: Fields<'_>| (text(fields.number(1)), text(fields.number(2)));
    let types: Vec<_> = profile.messages(1).map(kind).collect();

    let mut names = HashMap::new();
    let mut functions = HashMap::new();
    for function in profile.messages(5) {
        let (id, name) = (function.number(1), text(function.number(2)));
        let place = (text(function.number(4)), function.number(5));
        assert!(id > 0 && names.insert(id, name.clone()).is_none());
        assert!(functions.insert(name, place).is_none(), "two of one name");
    }
    let mut lines = HashMap::new();
    for location in profile.messages(4) {
        let line = location.messages(4).next().unwrap();
        let name = names[&line.number(1)].clone();
        assert_eq!(functions[&name].1, line.number(2));
        let id = location.number(1);
        assert!(id > 0 && lines.insert(id, name).is_none());
    }
    let mut values = vec![Stacks::new(); types.len()];
    for sample in profile.messages(2) {
        let stack = sample.packed(1).into_iter().rev();
        let stack: Vec<_> = stack.map(|id| lines[&id].clone()).collect();
        let sample = sample.packed(2);
        assert_eq!(sample.len(), types.len());
        for (values, value) in values.iter_mut().zip(sample) {
            *values.entry(stack.clone()).or_default() += value.cast_signed();
        }
    }
    for stacks in &mut values {
        stacks.retain(|_, value| *value != 0);
    }
    let period = profile.messages(11).next().map(kind).unwrap();
    Pprof {
        types,
        values,
        functions,
        comments: profile.packed(13).into_iter().map(text).collect(),
        default: text(profile.number(14)),
        period: (period.0, period.1, profile.number(12)),
        time: (profile.number(9), profile.number(10)),
    }
}

/// Blocks and bytes by trace of all allocations, and of the temporary ones, in the plainest way.
fn allocated(reader: &Reader) -> [Usage; 4] {
    let events: Vec<_> = reader.events().unwrap().map(Result::unwrap).collect();
    let mut rows = [const { Vec::new() }; 4];
    for (place, event) in events.iter().enumerate().filter(|it| it.1.is_allocation()) {
        let bytes = event.signed_estimate(reader.rates());
        rows[0].push((event.trace, 1));
        rows[1].push((event.trace, bytes));
        if let Some(next) = events.get(place + 1)
            && next.is_free()
            && (next.trace, next.size) == (event.trace, event.size)
        {
            rows[2].push((event.trace, 1));
            rows[3].push((event.trace, bytes));
        }
    }
    rows.map(Usage::from_iter)
}

#[test]
fn pprof_has_every_stack_with_all_its_values() {
    for (name, totals) in [
        (
            "demo",
            [
                27_870, 39_830_786, 9_262, 308_275, 5_961, 8_334_103, 4_048, 19_241_503,
            ],
        ),
        (
            "unicode",
            [2_663, 955_311, 226, 9_909, 246, 383_267, 393, 425_923],
        ),
    ] {
        let (given, reader) = open(name);
        let traces = reader.traces().unwrap();
        let profile = read(&run("to_pprof", &[&given]));
        let types = profile
            .types
            .iter()
            .map(|(kind, unit)| format!("{kind}/{unit}"));
        assert_eq!(
            types.collect::<Vec<_>>(),
            [
                "alloc_objects/count",
                "alloc_space/bytes",
                "temporary_objects/count",
                "temporary_space/bytes",
                "inuse_objects/count",
                "inuse_space/bytes",
                "peak_objects/count",
                "peak_space/bytes",
            ]
        );
        let sums = profile.values.iter().map(|stacks| stacks.values().sum());
        assert_eq!(sums.collect::<Vec<i64>>(), totals, "{name}");

        let [allocations, allocated, temporary, temporary_bytes] = allocated(&reader);
        let (at_end, blocks_at_end) = after(&reader, usize::MAX);
        let (at_peak, blocks_at_peak) = after(&reader, peak(&reader).0);
        let usages = [
            allocations,
            allocated,
            temporary,
            temporary_bytes,
            blocks_at_end,
            at_end,
            blocks_at_peak,
            at_peak,
        ];
        for (values, usage) in profile.values.iter().zip(&usages) {
            assert_eq!(*values, stacks(traces, usage), "{name}");
        }
        for (_, frame) in traces.frames() {
            let (file, line) = &profile.functions[&frame.to_string()];
            assert_eq!((&**file, *line), (frame.file, u64::from(frame.line)));
        }
    }
}

#[test]
fn pprof_knows_when_and_how_was_recorded() {
    let profile = read(&run("to_pprof", &[]));
    assert_eq!(profile.time, (1_795_345_445_262_916_880, 21_789_059_000));
    assert_eq!(profile.period, ("space".into(), "bytes".into(), 1));
    assert_eq!(profile.default, "peak_space");
    assert_eq!(
        profile.comments,
        [
            "heap profile: demo",
            "peak of the program: 19241503 bytes after 12.678881 s",
            "sampling: none, every allocation was recorded"
        ]
    );

    let folder = tempfile::tempdir().unwrap();
    let rates = SamplingRates::new([(100, 0.5), (1000, 1.0)]).unwrap();
    let profile = Profile::sampled(&rates).traces(1);
    let filebase = profile
        .with_events(&[(5, 1, 10), (6, 1, 500)])
        .save(folder.path());
    let given = filebase.to_str().unwrap();
    let profile = read(&run("to_pprof", &[given]));
    assert_eq!(profile.period.2, 0);
    assert_eq!(
        profile.comments[2..],
        [
            "sampling below 100 bytes: 50.0000 %",
            "sampling below 1000 bytes: 100.0000 %"
        ]
    );
    let space = |profile: &Pprof| profile.values[7].values().copied().collect::<Vec<_>>();
    assert_eq!(space(&profile), [520]);
    // Blocks are estimated as bytes are.
    let objects = |profile: &Pprof, place: usize| profile.values[place].values().sum::<i64>();
    assert_eq!([0, 4, 6].map(|place| objects(&profile, place)), [3, 3, 3]);
    let profile = read(&run("to_pprof", &[given, "--unsampled"]));
    assert_eq!((space(&profile), profile.period.2), (vec![510], 1));
    assert_eq!([0, 4, 6].map(|place| objects(&profile, place)), [2, 2, 2]);

    let Some(case) = shared("cases/sampled_counts.hpm") else {
        return;
    };
    let profile = read(&run("to_pprof", &[case.to_str().unwrap(), "--as-stated"]));
    assert_eq!(
        (objects(&profile, 4), objects(&profile, 5)),
        (200_000, 20_000_040)
    );
}

#[test]
fn pprof_takes_any_name_and_what_has_no_stack() {
    let folder = tempfile::tempdir().unwrap();
    let (given, reader) = odd(folder.path());
    let output = example("to_pprof", &[&given]);
    let profile = read(&output.stdout);
    let expected = stacks(reader.traces().unwrap(), &reader.live_at_end().unwrap());
    assert_eq!(profile.values[5], expected);
    assert_eq!(profile.values[5][&vec!["unknown".to_owned()]], 7);
    assert_eq!(profile.functions["unknown"], (String::new(), 0));
}

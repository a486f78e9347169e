//! The envelope of the total: against a plain computation, and against the peak.

mod common;
#[path = "common/logs.rs"]
mod logs;
#[path = "common/plain.rs"]
mod plain;

use std::time::Duration;

use common::{Profile, recording};
use heapprof::query::{Envelope, Peak, TraceSet};
use heapprof::{Reader, TraceId};
use logs::{Log, at};
use proptest::collection::btree_set;
use proptest::prelude::*;

/// The lowest, highest and last total of the events after `from` and up to `to`, with that at `from`.
fn plain_step(
    events: &[plain::Event],
    set: impl Fn(u32) -> bool,
    from: Option<i128>,
    to: i128,
) -> [i128; 3] {
    let mut total = 0;
    let mut range: Option<[i128; 3]> = None;
    for event in events {
        if from.is_none_or(|from| event.elapsed > from) {
            range.get_or_insert([total; 3]);
        }
        if event.elapsed > to {
            break;
        }
        if set(event.trace) {
            total += event.estimate;
        }
        if let Some([lowest, highest, last]) = &mut range {
            (*lowest, *highest, *last) = (total.min(*lowest), total.max(*highest), total);
        }
    }
    range.unwrap_or([total; 3])
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn steps_have_the_plain_totals(
        lines in logs::lines(80),
        rates in logs::rates(),
        window in logs::windows(),
        every in 500_u64..40_000,
        set in btree_set(logs::traces(), 0..5),
    ) {
        let log = Log::new(&lines, &rates);
        let step = Duration::from_micros(every);
        for reader in log.readers() {
            let ids = set.iter().map(|&index| TraceId::new(index));
            let of_set: TraceSet = ids.collect();
            let query = || logs::about!(Envelope::query().every(step), window);
            let (all, of_set) = reader.ask((query(), query().of(&of_set))).unwrap();
            let steps = all.steps().zip(of_set.steps()).enumerate();
            for (number, (all, of_set)) in steps {
                let from = match (number, window.0) {
                    (0, None) => None,
                    _ => Some(all.from.as_micros().into()),
                };
                let to = all.to.as_micros().into();
                let shown = |step: heapprof::query::EnvelopeStep| {
                    [step.lowest, step.highest, step.last].map(i128::from)
                };
                prop_assert_eq!(shown(all), plain_step(&log.events, |_| true, from, to));
                prop_assert_eq!(shown(of_set), plain_step(&log.events, |it| set.contains(&it), from, to));
            }
            prop_assert_eq!(all.steps().len(), of_set.steps().len());
            if let (Some(last), true) = (all.steps().last(), window == logs::WHOLE) {
                prop_assert_eq!(i128::from(last.to.as_micros()), log.end());
                prop_assert_eq!(last.last, reader.live_at_end().unwrap().total());
                let highest = all.steps().map(|step| step.highest).max();
                prop_assert_eq!(highest, Some(reader.peak().unwrap().total()));
            }
            prop_assert_eq!(reader.live_at(at(u64::MAX)).unwrap().total(), reader.live_at_end().unwrap().total());
        }
    }
}

#[test]
fn envelope_reaches_the_peak_of_recordings() {
    for name in ["demo", "real_docutils", "spike", "threads", "negtime"] {
        let Some(filebase) = recording(name) else {
            continue;
        };
        let reader = Reader::open(filebase).unwrap();
        let (envelope, peak) = reader.ask((Envelope::query(), Peak::query())).unwrap();
        let highest = envelope.steps().map(|step| step.highest).max();
        assert_eq!(highest, Some(peak.total()), "{name}");
        assert!((100..=1001).contains(&envelope.steps().len()), "{name}");
        for pair in envelope.steps().zip(envelope.steps().skip(1)) {
            assert_eq!(pair.0.to, pair.1.from, "{name}");
        }
    }
}

#[test]
fn step_without_events_keeps_the_last_total() {
    let reader = Profile::default()
        .traces(1)
        .with_events(&[(100, 1, 70), (4_000_000, 1, 5), (4_000_001, 1, -70)])
        .reader();
    let query = Envelope::query().every(Duration::from_secs(1));
    let shown: Vec<_> = reader
        .ask(query)
        .unwrap()
        .steps()
        .map(|step| (step.lowest, step.highest, step.last))
        .collect();
    let quiet = (70, 70, 70);
    assert_eq!(shown, [(0, 70, 70), quiet, quiet, (70, 75, 75), (5, 75, 5)]);
}

#[test]
fn envelope_of_no_events_has_no_steps() {
    assert_eq!(
        Profile::default()
            .reader()
            .envelope()
            .unwrap()
            .steps()
            .len(),
        0
    );
}

//! Estimates from samples are as near to the truth as they say: with 1,000 seeds, 94 to 96 % of the intervals in which
//! 95 % should have it do have it.

use std::path::{Path, PathBuf};

use heapprof::query::Estimate;
use heapprof::{Reader, SamplingRates};
use heapprof_recorder::{Allocator, Recorder};

#[global_allocator]
static ALLOCATOR: Allocator = Allocator::system();

const SEEDS: u64 = 1000;

/// Estimates of the live bytes and blocks, of a recording in which blocks of these sizes are allocated.
fn estimates(filebase: &Path, recorder: &Recorder, seed: u64, sizes: &[usize]) -> [Estimate; 2] {
    let mut blocks: Vec<Vec<u8>> = Vec::with_capacity(sizes.len());
    let recording = recorder.clone().seed(seed).start().unwrap();
    blocks.extend(sizes.iter().map(|&size| Vec::with_capacity(size)));
    recording.finish().unwrap();
    let reader = Reader::open(filebase).unwrap();
    let bars = reader.live_blocks().unwrap();
    [
        reader.error_bars().unwrap().total(),
        bars.error_bars().total(),
    ]
}

/// How often the interval has the true number of bytes, and that of blocks.
fn hits(recorder: impl Fn(PathBuf) -> Recorder, sizes: &[usize]) -> [u64; 2] {
    let folder = tempfile::tempdir().unwrap();
    let filebase = folder.path().join("run");
    // Where they are allocated does not matter.
    let recorder = recorder(filebase.clone()).depth(2);
    let truth = [sizes.iter().sum::<usize>(), sizes.len()].map(|it| i64::try_from(it).unwrap());
    let mut hits = [0; 2];
    for seed in 0..SEEDS {
        let estimates = estimates(&filebase, &recorder, seed, sizes);
        for ((hits, estimate), truth) in hits.iter_mut().zip(estimates).zip(truth) {
            let interval = estimate.confidence_interval(0.95).unwrap();
            *hits += u64::from(interval.contains(&truth));
        }
    }
    hits
}

/// So many sizes, as many in each doubling.
fn sizes(count: u32, from: f64, to: f64) -> Vec<usize> {
    let mut random = fastrand::Rng::with_seed(1);
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    let mut size = || (from * (to / from).powf(random.f64())) as usize;
    (0..count).map(|_| size()).collect()
}

#[test]
fn intervals_have_the_truth_as_often_as_they_say() {
    let by_default = hits(Recorder::new, &sizes(2000, 16e3, 500e3));
    let rates = SamplingRates::new([(64, 0.05), (512, 0.25)]).unwrap();
    let by_ranges = hits(
        |filebase| Recorder::new(filebase).rates(rates.clone()),
        &sizes(4000, 16.0, 2000.0),
    );
    for hits in [by_default, by_ranges].concat() {
        let permille = hits * 1000 / SEEDS;
        assert!(
            (940..=960).contains(&permille),
            "{by_default:?} {by_ranges:?}"
        );
    }
}

//! Measures works in rounds, so that what disturbs the machine disturbs all of them alike.

use std::collections::BTreeMap;
use std::hint::black_box;
use std::time::{Duration, Instant};

use super::cpu_seconds;

const MIN_ROUNDS: usize = 5;
const MIN_TIME: Duration = Duration::from_secs(60);

/// A work to be measured, with its name.
pub(crate) struct Work<'a> {
    name: &'static str,
    run: Box<dyn FnMut() + 'a>,
}

pub(crate) fn work<'a, T>(name: &'static str, mut run: impl FnMut() -> T + 'a) -> Work<'a> {
    let run = Box::new(move || drop(black_box(run())));
    Work { name, run }
}

/// The CPU time of each work in each round.
pub(crate) type Seconds = BTreeMap<&'static str, Vec<f64>>;

/// Runs the works in turns, one run each in a round, for at least [`MIN_ROUNDS`] and [`MIN_TIME`].
pub(crate) fn measure(mut works: Vec<Work<'_>>) -> Seconds {
    let mut seconds = Seconds::new();
    let start = Instant::now();
    for round in 0.. {
        if round > MIN_ROUNDS && start.elapsed() > MIN_TIME {
            break;
        }
        for Work { name, run } in &mut works {
            let time = seconds_per_run(run);
            // The first round warms up.
            if round > 0 {
                seconds.entry(*name).or_default().push(time);
            }
        }
    }
    seconds
}

/// Repeats short works until they take 2 ms, since the clock itself takes about a microsecond.
fn seconds_per_run(run: &mut dyn FnMut()) -> f64 {
    let mut runs = 1;
    loop {
        let start = cpu_seconds();
        (0..runs).for_each(|_| run());
        let time = cpu_seconds() - start;
        if time > 2e-3 {
            return time / f64::from(runs);
        }
        runs *= 4;
    }
}

pub(crate) fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

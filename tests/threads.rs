//! A reader that many threads ask at once answers as one that is asked by one.

#[path = "common/all_queries.rs"]
mod all_queries;
mod common;

use std::collections::BTreeSet;
use std::sync::Barrier;
use std::thread;

use all_queries::all_queries;
use common::{Profile, recording};
use heapprof::{Reader, SamplingRates};

const THREADS: usize = 8;

/// How often each profile is opened anew: what is made once can be in the making in another way.
const ROUNDS: usize = 6;

/// Small enough that threads are at the same place often.
fn small() -> Profile {
    let rates = SamplingRates::from_stored([(16, u32::MAX / 2), (4096, u32::MAX)]);
    let mut profile = Profile::sampled(&rates);
    profile.trace(&[("m", 1), ("lib/python3/x.py", 2)]);
    profile.trace(&[("m", 1), ("m", 1), ("é", 3)]);
    profile.trace(&[]);
    for number in 0..60_i64 {
        let bytes = if number % 4 == 3 { -20 } else { 20 * number };
        let trace = u32::try_from(number % 5).unwrap();
        profile.event(number * 700 - (number % 7) * 900, trace, bytes);
    }
    profile
}

/// What each of the threads is answered by one reader.
fn answers(reader: &Reader) -> Vec<u64> {
    let start = Barrier::new(THREADS);
    thread::scope(|scope| {
        let threads: Vec<_> = (0..THREADS)
            .map(|_| {
                scope.spawn(|| {
                    start.wait();
                    all_queries(reader)
                })
            })
            .collect();
        threads.into_iter().map(|it| it.join().unwrap()).collect()
    })
}

fn ask(open: impl Fn() -> Reader) {
    let alone = all_queries(&open());
    for _ in 0..ROUNDS {
        let reader = open();
        assert_eq!(answers(&reader), [alone; THREADS]);
        // And again, when all is made.
        assert_eq!(all_queries(&reader), alone);
    }
}

#[test]
fn everything_at_once_in_memory() {
    ask(|| small().reader());
}

#[test]
fn everything_at_once_from_files() {
    let folder = tempfile::tempdir().unwrap();
    let base = small().save(folder.path());
    ask(|| Reader::open(&base).unwrap());
    Reader::open(&base)
        .unwrap()
        .make_digest(heapprof::DigestOptions::default())
        .unwrap();
    ask(|| Reader::open(&base).unwrap());
}

#[test]
fn everything_at_once_of_recordings() {
    for name in ["tiny", "forked", "huge_corrupt", "surrogate"] {
        let base = recording(name).unwrap();
        ask(|| Reader::open(&base).unwrap());
    }
}

/// The table is one, whoever asked first.
#[test]
fn what_is_made_once_is_the_same_for_all() {
    let base = recording("demo").unwrap();
    for _ in 0..ROUNDS {
        let reader = Reader::open(&base).unwrap();
        let start = Barrier::new(THREADS);
        let tables: BTreeSet<usize> = thread::scope(|scope| {
            let threads: Vec<_> = (0..THREADS)
                .map(|_| {
                    scope.spawn(|| {
                        start.wait();
                        std::ptr::from_ref(reader.traces().unwrap()).addr()
                    })
                })
                .collect();
            threads.into_iter().map(|it| it.join().unwrap()).collect()
        });
        assert_eq!(tables.len(), 1);
    }
}

//! Creeping or sudden? On real programs whose answer is known.

mod common;

use std::time::Duration;

use heapprof::view::{Movement, Movements, TimeSeries};
use heapprof::{DigestOptions, Elapsed, Reader};

fn movements(name: &str, interval_ms: u64) -> Option<Movements> {
    let reader = Reader::open(common::recording(name)?).unwrap();
    let options = DigestOptions::default().interval(Duration::from_millis(interval_ms));
    let digest = reader.digest_with(options).unwrap();
    let series = TimeSeries::new(&digest, reader.traces().unwrap(), []).unwrap();
    Some(series.total().movements())
}

fn within(movement: &Movement, from_ms: u64, to_ms: u64, bytes: i64) -> bool {
    movement.from >= Elapsed::from_millis(from_ms)
        && movement.to <= Elapsed::from_millis(to_ms)
        && (movement.change - bytes).abs() < bytes.abs() / 10
}

#[test]
fn the_leak_of_the_demo_is_a_trend_and_its_monthly_report_a_rise_and_a_fall() {
    let found = movements("demo", 1000).unwrap();
    // 8.3 MB in 21.8 s.
    assert!((350e3..400e3).contains(&found.trend().bytes_per_second));
    assert!(found.trend().explained > 0.85);
    assert_eq!((found.rises().len(), found.falls().len()), (1, 1));
    assert!(within(&found.rises()[0], 11_000, 12_000, 9_500_000));
    assert!(within(&found.falls()[0], 13_000, 14_000, -9_500_000));

    // Looked at more closely, there are two reports.
    let found = movements("demo", 50).unwrap();
    assert_eq!((found.rises().len(), found.falls().len()), (2, 2));
    assert!(found.trend().explained > 0.85);
}

#[test]
fn the_leak_of_the_spike_is_a_trend_and_the_spike_a_rise_and_a_fall() {
    for interval_ms in [5, 50, 500] {
        let Some(found) = movements("spike", interval_ms) else {
            return;
        };
        // 33 MB in 13.5 s.
        assert!((2.2e6..2.6e6).contains(&found.trend().bytes_per_second));
        assert!(found.trend().explained > 0.9);
        assert_eq!((found.rises().len(), found.falls().len()), (1, 1));
        assert!(within(&found.rises()[0], 6_000, 6_500, 104_000_000));
        assert!(within(&found.falls()[0], 7_500, 8_000, -105_000_000));
    }
}

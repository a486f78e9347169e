//! [`Movements`]: the steady trend of a series, and its sudden rises and falls.

use std::collections::VecDeque;
use std::ops::{Range, RangeInclusive};

use crate::error::Taint;
use crate::time::Elapsed;
use crate::view::series::Series;

/// The steady trend of a series, and its rises and falls beyond the trend.
///
/// The *trend* is the Theil–Sen line: its slope is the median of the slopes between all pairs of
/// values (Theil 1950, Sen 1968), so spikes do not change it. A step in the middle lies between half of the pairs.
/// So if near pairs, a sixteenth to a quarter of the time apart, have a slope that differs by half or more, the
/// trend has the slope of the near pairs. A leak is a trend; spikes and steps are not.
///
/// *Rises and falls* are the swings of the series without its trend, if they span at least a twentieth of the whole
/// range of values. Each is the shortest interval with nine tenths of the swing, so that a plateau is not
/// part of the step that leads up to it. A swing counts if it moves at least as much beyond the trend as the
/// trend moves meanwhile. A spike is a rise and a fall.
///
/// ```
/// use heapprof::view::Series;
/// use heapprof::Elapsed;
///
/// // 100 bytes a second, and 3000 more from 4 s to 6 s.
/// let times: Vec<_> = (0..=30).map(Elapsed::from_secs).collect();
/// let spike = |second| if (4..6).contains(&second) { 3000 } else { 0 };
/// let values: Vec<_> = (0..=30).map(|second| 100 * second + spike(second)).collect();
/// let movements = Series::new(&times, &values).movements();
///
/// assert_eq!(movements.trend().bytes_per_second, 100.0);
/// assert_eq!(movements.trend().explained, 1.0);
/// let [rise] = movements.rises() else { panic!() };
/// assert_eq!((rise.from, rise.to), (Elapsed::from_secs(3), Elapsed::from_secs(4)));
/// assert_eq!((rise.change, rise.beyond_trend), (3100, 3000));
/// let [fall] = movements.falls() else { panic!() };
/// assert_eq!((fall.from, fall.to, fall.change), (Elapsed::from_secs(5), Elapsed::from_secs(6), -2900));
/// ```
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Movements {
    trend: Trend,
    rises: Vec<Movement>,
    falls: Vec<Movement>,
    damaged: Taint,
}

/// The steady part of a series.
///
/// ```
/// use heapprof::Reader;
///
/// let reader = Reader::open("examples/data/demo")?;
/// let trend = reader.time_series([])?.total().movements().trend();
/// assert_eq!(trend.bytes_per_second.round(), 381_732.0);
/// assert_eq!(trend.change.round(), 8_302_675.0); // over the whole recording
/// assert_eq!(format!("{:.2}", trend.explained), "0.89");
/// # Ok::<(), heapprof::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Default)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct Trend {
    /// Its slope, negative if it falls.
    pub bytes_per_second: f64,
    /// Its change in bytes from the first time of the series to the last.
    pub change: f64,
    /// The part of the spread of the values that it explains, 0 to 1: one minus the median distance of the
    /// values from the trend over their median distance from their own median. 0 for values without spread.
    pub explained: f64,
}

/// A rise or a fall.
///
/// ```
/// use heapprof::{Elapsed, Reader};
///
/// let reader = Reader::open("examples/data/demo")?;
/// let movements = reader.time_series([])?.total().movements();
/// let rise = movements.rises()[0];
/// assert_eq!((rise.from, rise.to), (Elapsed::from_millis(12_650), Elapsed::from_millis(12_700)));
/// assert_eq!((rise.change, rise.beyond_trend), (9_510_068, 9_490_981));
/// # Ok::<(), heapprof::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct Movement {
    /// The last time before it.
    #[cfg_attr(feature = "serde", serde(rename = "from_us"))]
    pub from: Elapsed,
    /// The first time after it.
    #[cfg_attr(feature = "serde", serde(rename = "to_us"))]
    pub to: Elapsed,
    /// The value at `to` minus the value at `from`: negative for a fall.
    pub change: i64,
    /// The same without the change of the trend meanwhile.
    pub beyond_trend: i64,
}

/// A swing is at least this fraction of the range of the values.
const SWING: f64 = 0.05;
/// The time of a swing is the shortest in which this fraction of it happens.
const MOST: f64 = 0.9;
/// The slope is found from at most this many values, evenly spread.
const SAMPLE: usize = 500;

impl Movements {
    /// O(values); the slope is found from at most 500 of them, evenly spread.
    pub fn new(series: Series<'_>) -> Self {
        let points: Vec<Point> = series
            .iter()
            .map(|(time, value)| Point {
                seconds: time.as_secs_f64(),
                value: float(value),
            })
            .collect();
        let range = |values: &[f64]| {
            let largest = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
            let smallest = values.iter().copied().fold(f64::INFINITY, f64::min);
            largest - smallest
        };
        let values: Vec<f64> = points.iter().map(|point| point.value).collect();
        let least = SWING * range(&values);
        let (trend, rest) = Trend::of(&points);
        let mut movements: Vec<Movement> = swings(&rest, least)
            .into_iter()
            .filter_map(|swing| {
                let (from, to) = (swing.start, swing.end);
                let change = series
                    .values()
                    .get(to)?
                    .saturating_sub(*series.values().get(from)?);
                let beyond = rest.get(to)? - rest.get(from)?;
                // Without the trend, a constant series seems to fall, and a slightly steeper one to rise.
                let sudden = float(change) * beyond > 0.0
                    && beyond.abs() >= (float(change) - beyond).abs()
                    && beyond.abs().min(float(change).abs()) >= MOST * least;
                #[expect(clippy::cast_possible_truncation, reason = "the conversion saturates")]
                sudden.then_some(Movement {
                    from: *series.times().get(from)?,
                    to: *series.times().get(to)?,
                    change,
                    beyond_trend: beyond.round() as i64,
                })
            })
            .collect();
        movements.sort_by_key(|movement| {
            let size = movement.beyond_trend.unsigned_abs();
            (std::cmp::Reverse(size), movement.from)
        });
        let (rises, falls) = movements
            .into_iter()
            .partition(|movement| movement.change > 0);
        Self {
            trend,
            rises,
            falls,
            damaged: Taint(series.is_damaged()),
        }
    }

    /// Whether they are derived from [damaged](crate::Usage::is_damaged) input.
    pub fn is_damaged(&self) -> bool {
        self.damaged.0
    }

    /// The steady part.
    pub fn trend(&self) -> Trend {
        self.trend
    }

    /// The rises, the largest [beyond it](Movement::beyond_trend) first.
    pub fn rises(&self) -> &[Movement] {
        &self.rises
    }

    /// The falls, the largest [beyond it](Movement::beyond_trend) first.
    pub fn falls(&self) -> &[Movement] {
        &self.falls
    }
}

impl Series<'_> {
    /// The steady trend, and the rises and falls.
    pub fn movements(self) -> Movements {
        Movements::new(self)
    }
}

#[derive(Debug, Clone, Copy)]
struct Point {
    seconds: f64,
    value: f64,
}

impl Trend {
    /// The trend, and each value without it.
    fn of(points: &[Point]) -> (Self, Vec<f64>) {
        let all = slope(points, 0.0..=1.0);
        let near = slope(points, 1.0 / 16.0..=1.0 / 4.0);
        let slope = if (2.0 / 3.0..=1.5).contains(&(near / all)) {
            all
        } else {
            near
        };
        let level = median(points.iter().map(|p| p.value - slope * p.seconds).collect());
        let without = |p: &Point| p.value - (level + slope * p.seconds);

        let middle = median(points.iter().map(|p| p.value).collect());
        let spread = median(points.iter().map(|p| (p.value - middle).abs()).collect());
        let left = median(points.iter().map(|p| without(p).abs()).collect());
        let length = match (points.first(), points.last()) {
            (Some(first), Some(last)) => last.seconds - first.seconds,
            _ => 0.0,
        };
        let trend = Self {
            bytes_per_second: slope,
            change: slope * length,
            explained: if spread > 0.0 {
                (1.0 - left / spread).clamp(0.0, 1.0)
            } else {
                0.0
            },
        };
        (trend, points.iter().map(without).collect())
    }
}

/// The median slope between pairs of values whose distance, as a part of the whole, is in this range. Uses at
/// most [`SAMPLE`] values.
#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "parts of a number of values"
)]
fn slope(points: &[Point], apart: RangeInclusive<f64>) -> f64 {
    let stride = points.len().div_ceil(SAMPLE).max(1);
    let sample: Vec<Point> = points.iter().copied().step_by(stride).collect();
    let part = |part: &f64| (part * sample.len() as f64).ceil() as usize;
    let (nearest, farthest) = (part(apart.start()).max(1), part(apart.end()));
    let pairs = sample.iter().enumerate().flat_map(|(place, a)| {
        let later = sample.iter().skip(place + nearest);
        later
            .take((farthest + 1).saturating_sub(nearest))
            .map(move |b| (a, b))
    });
    let slopes = pairs.map(|(a, b)| (b.value - a.value) / (b.seconds - a.seconds));
    median(slopes.filter(|slope| slope.is_finite()).collect())
}

/// The middle value, or the mean of the two in the middle; 0 of none.
fn median(mut values: Vec<f64>) -> f64 {
    let middle = values.len() / 2;
    if values.is_empty() {
        return 0.0;
    }
    let even = values.len().is_multiple_of(2);
    let (below, &mut upper, _) = values.select_nth_unstable_by(middle, f64::total_cmp);
    if even {
        let lower = below.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        lower.midpoint(upper)
    } else {
        upper
    }
}

#[expect(clippy::cast_precision_loss, reason = "exact up to 8 PB")]
fn float(bytes: i64) -> f64 {
    bytes as f64
}

/// The swings up and down by at least `least`, in their order: from the last index before each to the first
/// index after it.
fn swings(values: &[f64], least: f64) -> Vec<Range<usize>> {
    if least <= 0.0 {
        return Vec::new();
    }
    let at = |place: usize| values.get(place).copied().unwrap_or(0.0);
    let mut swings = Vec::new();
    // The extremes since the last turn, and the direction since then.
    let (mut low, mut high) = (0, 0);
    let mut up = None;
    for (place, &value) in values.iter().enumerate() {
        match up {
            None => {
                if value < at(low) {
                    low = place;
                }
                if value > at(high) {
                    high = place;
                }
                if value - at(low) >= least {
                    (up, high) = (Some(true), place);
                } else if at(high) - value >= least {
                    (up, low) = (Some(false), place);
                }
            }
            Some(true) if value > at(high) => high = place,
            Some(true) if at(high) - value >= least => {
                swings.push((low, high));
                (up, low) = (Some(false), place);
            }
            Some(false) if value < at(low) => low = place,
            Some(false) if value - at(low) >= least => {
                swings.push((high, low));
                (up, high) = (Some(true), place);
            }
            Some(_) => {}
        }
    }
    match up {
        Some(true) => swings.push((low, high)),
        Some(false) => swings.push((high, low)),
        None => {}
    }
    swings
        .into_iter()
        .map(|(from, to)| steepest(values, from..=to))
        .collect()
}

/// The shortest interval with [`MOST`] of a swing; the first of these.
fn steepest(values: &[f64], swing: RangeInclusive<usize>) -> Range<usize> {
    let at = |place: usize| values.get(place).copied().unwrap_or(0.0);
    let (first, last) = (*swing.start(), *swing.end());
    let size = at(last) - at(first);
    let done = |place: usize| (at(place) - at(first)) / size;
    let mut shortest = first..last;
    // Where the interval can begin: a later index is better unless the swing has progressed there.
    let mut starts = VecDeque::new();
    for end in swing {
        while let Some(&start) = starts.front()
            && done(end) - done(start) >= MOST
        {
            if end - start < shortest.len() {
                shortest = start..end;
            }
            starts.pop_front();
        }
        while starts.back().is_some_and(|&start| done(start) >= done(end)) {
            starts.pop_back();
        }
        starts.push_back(end);
    }
    shortest
}

#[cfg(test)]
mod tests {
    use super::*;

    fn movements(values: &[i64]) -> Movements {
        let times: Vec<_> = (0..values.len() as u64).map(Elapsed::from_secs).collect();
        Series::new(&times, values).movements()
    }

    fn times(movements: &[Movement]) -> Vec<(u64, u64, i64)> {
        movements
            .iter()
            .map(|m| {
                (
                    m.from.as_micros() / 1_000_000,
                    m.to.as_micros() / 1_000_000,
                    m.change,
                )
            })
            .collect()
    }

    #[test]
    fn nothing_and_what_stands_still_do_not_move() {
        for values in [&[][..], &[7], &[7, 7, 7, 7]] {
            let still = movements(values);
            assert_eq!(still.trend(), Trend::default());
            assert!(still.rises().is_empty() && still.falls().is_empty());
        }
    }

    #[test]
    fn a_leak_is_a_trend_and_no_rise() {
        let values: Vec<i64> = (0..100).map(|s| 1000 * s + s % 7 * 100).collect();
        let leak = movements(&values);
        assert!((990.0..1010.0).contains(&leak.trend().bytes_per_second));
        assert!(leak.trend().explained > 0.98);
        assert!(leak.rises().is_empty() && leak.falls().is_empty());
    }

    #[test]
    fn a_step_is_a_rise_and_no_trend_wherever_it_is() {
        for at in 1..100 {
            for leak in [0, 10] {
                let step = |second| if second < at { 0 } else { 8000 };
                let values: Vec<i64> = (0..100).map(|s| leak * s + step(s)).collect();
                let moved = movements(&values);
                let slope = moved.trend().bytes_per_second;
                assert!((slope - float(leak)).abs() < 1e-9, "{at}: {slope}");
                let here = at.unsigned_abs();
                assert_eq!(times(moved.rises()), [(here - 1, here, 8000 + leak)]);
                assert!(moved.falls().is_empty());
            }
        }
    }

    #[test]
    fn a_plateau_is_no_part_of_its_steps_and_the_largest_comes_first() {
        let mut values: Vec<i64> = (0..100).map(|s| 10 * s).collect();
        for (place, value) in values.iter_mut().enumerate() {
            if (20..30).contains(&place) {
                *value += 2000 + i64::try_from(place).unwrap() % 2 * 20;
            }
            if (60..63).contains(&place) {
                *value += 5000;
            }
        }
        let plateau = movements(&values);
        assert_eq!(times(plateau.rises()), [(59, 60, 5010), (19, 20, 2010)]);
        assert_eq!(times(plateau.falls()), [(62, 63, -4990), (29, 30, -2010)]);
    }

    #[test]
    fn a_series_that_rises_and_then_stands_does_not_fall() {
        let values: Vec<i64> = (0..100)
            .map(|s| if s < 40 { 100 * s } else { 4000 })
            .collect();
        let curve = movements(&values);
        assert!(curve.falls().is_empty());
    }

    #[test]
    fn extremes_of_64_bits_are_only_numbers() {
        let wild = movements(&[i64::MIN, i64::MAX, 0, i64::MAX, i64::MIN]);
        assert_eq!(wild.rises().first().map(|rise| rise.change), Some(i64::MAX));
    }

    #[test]
    fn medians() {
        assert_eq!(median(vec![]).to_bits(), 0f64.to_bits());
        assert_eq!(median(vec![3.0, 1.0, 2.0]).to_bits(), 2f64.to_bits());
        assert_eq!(median(vec![4.0, 1.0, 2.0, 3.0]).to_bits(), 2.5f64.to_bits());
    }
}

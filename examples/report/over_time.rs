//! How live memory changed: the time line, the trend, and the largest rises and falls with the lines behind them.

use std::io::Write;

use anyhow::Result;
use heapprof::Reader;
use heapprof::query::Envelope;
use heapprof::view::{Movement, Movements};
use textplots::{Chart, LabelBuilder, LabelFormat, Plot, Shape, TickDisplay, TickDisplayBuilder};

use crate::common::{bytes, seconds, unit};
use crate::who::Who;

/// The total over time, from the lowest to the highest value of each step.
#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    reason = "a plot"
)]
pub(crate) fn time_line(out: &mut impl Write, envelope: &Envelope) -> Result<()> {
    let end = envelope
        .steps()
        .last()
        .map_or(1.0, |step| step.to.as_secs_f64());
    let (unit, scale) = unit(end);
    let points: Vec<_> = envelope
        .steps()
        .flat_map(|step| {
            let at = (step.to.as_secs_f64() / scale) as f32;
            [step.lowest, step.highest, step.last].map(|value| (at, value as f32))
        })
        .collect();
    let highest = points.iter().map(|point| point.1).fold(1.0, f32::max);
    let lowest = points.iter().map(|point| point.1).fold(0.0, f32::min);
    writeln!(out, "\nLive memory over time")?;
    let shape = Shape::Lines(&points);
    let mut chart = Chart::new_with_y_range(140, 32, 0.0, (end / scale) as f32, lowest, highest);
    let chart = chart
        .lineplot(&shape)
        .x_label_format(LabelFormat::Custom(Box::new(move |at| {
            format!("{at:.1} {unit}")
        })))
        .y_label_format(LabelFormat::Custom(Box::new(|value| bytes(value as i64))))
        .y_tick_display(TickDisplay::Sparse);
    chart.axis();
    chart.figures();
    Ok(writeln!(out, "{chart}")?)
}

/// Creeping or sudden, and who is behind it.
pub(crate) fn movements(
    out: &mut impl Write,
    reader: &Reader,
    who: &Who<'_>,
    movements: &Movements,
) -> Result<()> {
    let trend = movements.trend();
    #[expect(clippy::cast_possible_truncation, reason = "for people")]
    let rate = bytes(trend.bytes_per_second.round() as i64);
    let explained = 100.0 * trend.explained;
    writeln!(
        out,
        "  trend     {rate} a second, which explains {explained:.0} % of the spread"
    )?;
    let mut show = |name, movements: &[Movement]| -> Result<()> {
        for movement in movements.iter().take(2) {
            let (from, to) = (movement.from, movement.to);
            let growth = reader.growth(from..to)?;
            let (change, behind) = (bytes(movement.change), who.foremost(&growth));
            let (from, to) = (seconds(from), seconds(to));
            writeln!(out, "  {name}      {change} from {from} to {to}{behind}")?;
        }
        Ok(())
    };
    show("rise", movements.rises())?;
    show("fall", movements.falls())
}

//! How did live memory change, and which lines held it? Draws an SVG picture.
//!
//! `cargo run --release --example time_plot -- -o plot.svg runs/nightly main.py:18 parse.py:40`

mod common;

use anyhow::{Result, ensure};
use clap::Parser;
use common::{Files, Look, Names, bytes, heading, percent, unit};
use heapprof::query::{Envelope, EnvelopeStep, Track};
use heapprof::view::Lines;
use plotters::prelude::*;

/// Draws live memory over time: all of it, some lines with what they call, and these as parts.
#[derive(Parser)]
struct Cli {
    #[command(flatten)]
    files: Files,
    #[command(flatten)]
    look: Look,
    /// Lines to follow, as `FILE:LINE`; by default those that hold the most at the peak.
    lines: Vec<String>,
}

/// Of all, and of up to six lines: by Okabe and Ito, for most eyes to tell apart.
const COLOURS: [u32; 7] = [
    0x33_3333, 0xd5_5e00, 0x00_72b2, 0x00_9e73, 0xe6_9f00, 0xcc_79a7, 0x56_b4e9,
];

fn main() -> std::process::ExitCode {
    common::end(draw(&Cli::parse()))
}

#[expect(clippy::cast_precision_loss, reason = "a picture")]
fn draw(cli: &Cli) -> Result<()> {
    let reader = cli.files.open_with_events()?;
    let traces = &cli.look.responsible(reader.traces()?);
    let mut lines = Vec::new();
    for text in &cli.lines {
        let found = traces.search(text);
        ensure!(!found.is_empty(), "{text}: no such line in the profile");
        lines.extend(found);
    }
    if cli.lines.is_empty() {
        let heaviest = Lines::new(traces, &cli.look.at_peak(&reader)?.1);
        lines.extend(heaviest.by_local().take(4).map(|line| line.id));
    }
    ensure!(
        lines.len() < COLOURS.len(),
        "at most {} lines",
        COLOURS.len() - 1
    );
    let tracks = lines.iter().copied().map(Track::Cumulative);
    let (total, of_lines) = cli.look.envelopes(&reader, tracks)?;
    let end = reader.elapsed()?.as_secs_f64();
    let (unit, scale) = unit(end);
    let x = |step: EnvelopeStep| step.to.as_secs_f64() / scale;
    // Of each step the lowest, the highest and the last value: no peak is left out.
    let curve = |envelope: &Envelope| {
        let points = envelope.steps().flat_map(|step| {
            [step.lowest, step.highest, step.last].map(|bytes| (x(step), bytes as f64))
        });
        points.collect()
    };
    let part = |line: &Envelope| {
        let steps = total.steps().zip(line.steps());
        let parts = steps.map(|(all, line)| (x(all), line.last as f64 / all.last as f64));
        parts.filter(|part| part.1.is_finite()).collect()
    };
    let curves: [Vec<Vec<(f64, f64)>>; 3] = [
        vec![curve(&total)],
        of_lines.iter().map(curve).collect(),
        of_lines.iter().map(part).collect(),
    ];
    let mut svg = String::new();
    let page = SVGBackend::with_string(&mut svg, (1000, 950)).into_drawing_area();
    page.fill(&WHITE)?;
    let root = page.titled(&heading(&reader), ("sans-serif", 24))?;
    let colour = |place: usize| {
        let [_, r, g, b] = COLOURS[place].to_be_bytes();
        RGBColor(r, g, b).stroke_width(2)
    };
    let mut y = 10;
    for (place, name) in (1..).zip(Names::new(traces).lines(&lines)) {
        root.draw(&PathElement::new([(80, y), (110, y)], colour(place)))?;
        root.draw(&Text::new(name, (120, y - 8), ("sans-serif", 18)))?;
        y += 20;
    }
    let areas = root.margin(y, 10, 10, 30).split_evenly((3, 1));
    for (row, (area, curves)) in areas.iter().zip(curves).enumerate() {
        let title = ["Live memory", "Lines with callees", "As parts of all"][row];
        let values = || curves.iter().flatten().map(|point| point.1);
        let range = values().fold(0.0, f64::min)..1.05 * values().fold(1.0, f64::max);
        let mut chart = ChartBuilder::on(area)
            .caption(title, ("sans-serif", 20))
            .set_label_area_size(LabelAreaPosition::Left, 80)
            .set_label_area_size(LabelAreaPosition::Bottom, 30)
            .build_cartesian_2d(0.0..end / scale, range)?;
        chart
            .configure_mesh()
            .max_light_lines(1)
            .label_style(("sans-serif", 16))
            .x_label_formatter(&|at| format!("{} {unit}", (at * 1e3).round() / 1e3))
            .y_label_formatter(&|&value| [bytes, bytes, percent][row](value))
            .draw()?;
        // Each with more gaps than those before, so that it hides none.
        for (place, (gap, curve)) in (0..).step_by(4).zip(curves).enumerate() {
            // At first, nothing is live.
            let points = [(0.0, 0.0)].into_iter().chain(curve);
            let colour = colour(place + row.min(1));
            chart.draw_series(DashedLineSeries::new(points, 12, gap, colour))?;
        }
    }
    drop((areas, root, page));
    cli.files.write_text(&svg)
}

//! Which stacks hold the memory, or have grown? Draws an SVG picture, to be opened in a browser.
//!
//! `cargo run --release --example flame_graph -- -o flame.svg runs/nightly --growth 60..120`

mod common;

use std::cmp::Reverse;

use anyhow::{Result, ensure};
use clap::Parser;
use common::{Files, Look, Names, Query, bytes, heading};
use heapprof::view::{FlameGraph, FlameLabel, FlameWeight};
use inferno::flamegraph::color::{BasicPalette, Color, Palette, PaletteMap};
use inferno::flamegraph::{Direction, Options, from_lines};

/// Draws memory by stack, as wide as it is large.
#[derive(Parser)]
struct Cli {
    #[command(flatten)]
    files: Files,
    #[command(flatten)]
    question: Query,
    #[command(flatten)]
    look: Look,
    /// The allocating lines first, and below each who called it.
    #[arg(long)]
    inverted: bool,
}

/// What would divide names, or begin a comment or an annotation, in what inferno reads, and what stands for it there.
const DIVIDERS: [(&str, &str); 4] = [
    (";", "\u{f03b}"),
    (" ", "\u{f020}"),
    ("#", "\u{f023}"),
    ("[", "\u{f05b}"),
];

fn main() -> std::process::ExitCode {
    common::end(draw(&Cli::parse()))
}

fn draw(cli: &Cli) -> Result<()> {
    let reader = cli.files.open_with_events()?;
    let traces = &cli.look.table(reader.traces()?);
    let (usage, asked) = cli.question.ask(&reader)?;
    let usage = cli.look.traces(reader.traces()?)?.filter(&usage);
    let make = [FlameGraph::new, FlameGraph::inverted][usize::from(cli.inverted)];
    let graph = make(traces, &usage).min_fraction(0.001);
    ensure!(graph.total().size() > 0, "nothing is {asked}");

    let mut colours = PaletteMap::default();
    let names = Names::new(traces);
    let (mut lines, mut stack) = (Vec::new(), Vec::new());
    for bar in graph.walk().skip(1) {
        let mut name = match bar.node.label() {
            FlameLabel::Line(line) => names.line(line),
            other => other.to_string(),
        };
        for (divider, stand_in) in DIVIDERS {
            name = name.replace(divider, stand_in);
        }
        // A node is as wide as what grew and what shrank together: its name says both.
        let FlameWeight { gain, loss, .. } = bar.node.total();
        let (change, colour) = match (bytes(gain), bytes(loss)) {
            _ if graph.total().loss == 0 => (String::new(), Color::default()),
            (gain, _) if loss == 0 => (format!(" +{gain}"), Color::new(240, 150, 100)),
            (_, loss) if gain == 0 => (format!(" -{loss}"), Color::new(120, 180, 230)),
            (gain, loss) => (format!(" +{gain} -{loss}"), Color::new(200, 200, 200)),
        };
        name.push_str(&change);
        colours.insert(&name, colour);
        stack.truncate(bar.depth - 1);
        stack.push(name);
        let own = bar.node.own().size();
        if own > 0 {
            let begin = bar.offset + bar.width - own;
            lines.push((begin, format!("{} {own}", stack.join(";"))));
        }
    }
    lines.sort_by_key(|&(begin, _)| Reverse(begin));

    let mut options = Options::default();
    options.title = format!("{}: {} {asked}", heading(&reader), bytes(usage.total()));
    options.count_name = "bytes".into();
    options.notes = "Stacks of less than 0.1 % of the total are not drawn.".into();
    options.colors = Palette::Basic(BasicPalette::Aqua);
    options.deterministic = true;
    options.min_width = 0.0;
    // Takes the lines from the last to the first, where else it would sort them: `a:1;b` would
    // come after `a:10`, away from `a:1`.
    options.flame_chart = true;
    if cli.inverted {
        options.direction = Direction::Inverted;
    }
    if graph.total().loss > 0 {
        options.subtitle = Some("orange is positive, blue is negative, grey is both".into());
        options.palette_map = Some(&mut colours);
    }
    let mut svg = Vec::new();
    let lines = lines.iter().map(|(_, line)| &**line);
    from_lines(&mut options, lines, &mut svg)?;
    let mut svg = String::from_utf8(svg)?;
    for (divider, stand_in) in DIVIDERS {
        svg = svg.replace(stand_in, divider);
    }
    cli.files.write_text(&svg)
}

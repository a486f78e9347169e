//! The recipes of `doc/cookbook.md` compile, run, and print what the page shows.
//!
//! Each recipe becomes a function of one program, which runs in a folder with a few recordings in `runs`.
//! `BLESS=1 cargo test --test cookbook` writes what the recipes print into the page.

mod common;

use std::collections::HashMap;
use std::fmt::Write;
use std::fs;
use std::path::Path;
use std::process::Command;

use common::output::{stdout, succeeded};
use heapprof::raw::{EventWriter, TraceWriter};
use heapprof::{Event, Reader, SamplingRates, TraceId, WallOffset};

const DEMO: &str = "examples/data/demo";

/// A recipe, by offsets in the page: the code, and the block that shows its output.
struct Recipe {
    heading: String,
    code: std::ops::Range<usize>,
    output: std::ops::Range<usize>,
}

/// The block that starts with this fence, in the part of the page from `from` on.
fn block(page: &str, fence: &str, from: usize) -> Option<std::ops::Range<usize>> {
    let fence = format!("\n```{fence}\n");
    let start = from + page[from..].find(&fence)? + fence.len();
    let end = start + page[start..].find("```\n").expect("the block ends");
    Some(start..end)
}

fn recipes(page: &str) -> Vec<Recipe> {
    let mut recipes = Vec::new();
    let mut from = 0;
    while let Some(code) = block(page, "rust", from) {
        let heading = page[..code.start].rfind("\n# ").expect("a heading") + "\n# ".len();
        let heading = page[heading..].lines().next().unwrap().to_owned();
        let output = block(page, "text", code.end).expect("the output of a recipe");
        from = output.end;
        recipes.push(Recipe {
            heading,
            code,
            output,
        });
    }
    recipes
}

/// The program: each recipe as the body of a function that returns a `Result`.
fn program(page: &str, recipes: &[Recipe]) -> String {
    let mut program = String::from("#![allow(unused)]\n");
    let mut calls = String::new();
    for (number, recipe) in recipes.iter().enumerate() {
        // While a recipe sleeps, its log grows.
        let code = page[recipe.code.clone()].replace("std::thread::sleep", "crate::sleep");
        write!(
            program,
            "fn recipe_{number}() -> Result<(), Box<dyn std::error::Error>> {{\n{code}Ok(())\n}}\n"
        )
        .unwrap();
        let heading = &recipe.heading;
        writeln!(
            calls,
            "println!(\"=== {heading}\");\nrecipe_{number}().unwrap();"
        )
        .unwrap();
    }
    program += "
fn sleep(_: std::time::Duration) {
    let log = std::fs::read(\"examples/data/demo.hpd\").unwrap();
    let before = std::fs::metadata(\"runs/growing.hpd\").unwrap().len() as usize;
    std::fs::write(\"runs/growing.hpd\", &log[..log.len().min(before + 150_000)]).unwrap();
}
";
    program + "fn main() {\n" + &calls + "}\n"
}

/// Writes a profile with some of the events of the shipped one.
fn write_run(name: &Path, rates: &SamplingRates, mut keep: impl FnMut(&mut Event) -> bool) {
    let reader = Reader::open(DEMO).unwrap();
    let mut hpm = TraceWriter::new(Vec::new(), reader.start(), rates).unwrap();
    let mut ids: HashMap<TraceId, TraceId> = HashMap::new();
    for (id, trace) in reader.traces().unwrap().iter() {
        ids.insert(id, hpm.intern_outermost_first(trace.frames()).unwrap());
    }
    let mut hpd = EventWriter::new(Vec::new());
    for event in reader.events().unwrap() {
        let mut event = event.unwrap();
        if keep(&mut event) {
            event.trace = event.trace.map(|id| ids[&id]);
            hpd.write_event(&event).unwrap();
        }
    }
    fs::write(name.with_extension("hpm"), hpm.into_inner()).unwrap();
    fs::write(name.with_extension("hpd"), hpd.into_inner()).unwrap();
}

/// The recordings that the recipes name.
fn write_runs(folder: &Path) {
    let runs = folder.join("runs");
    let _ = fs::remove_dir_all(&runs);
    fs::create_dir_all(&runs).unwrap();
    fs::create_dir_all(folder.join("examples/data")).unwrap();
    for extension in ["hpm", "hpd"] {
        let demo = Path::new(DEMO).with_extension(extension);
        fs::copy(&demo, folder.join(&demo)).unwrap();
        for name in ["nightly", "growing", "functions"] {
            fs::copy(&demo, runs.join(name).with_extension(extension)).unwrap();
        }
    }
    fs::copy("tests/data/compact_demo.hpm", runs.join("functions.hpm")).unwrap();
    for extension in ["hpm", "hpd"] {
        let damaged = Path::new("tests/data/huge_corrupt/huge_corrupt").with_extension(extension);
        fs::copy(damaged, runs.join("damaged").with_extension(extension)).unwrap();
    }
    let log = fs::read("examples/data/demo.hpd").unwrap();
    fs::write(runs.join("growing.hpd"), &log[..150_000]).unwrap();

    let reader = Reader::open(DEMO).unwrap();
    let traces = reader.traces().unwrap();
    let cache = traces.search("customers.py:11")[0];
    let unsampled = SamplingRates::unsampled();
    write_run(&runs.join("fixed"), &unsampled, |event| {
        let trace = traces.trace(event.trace).unwrap();
        trace.ids().next_back() != Some(cache)
    });
    write_run(&runs.join("leaped"), &unsampled, |event| {
        // After ten seconds the clock leaps by 40 days.
        if event.elapsed.as_secs() >= 10 {
            let wall = event.wall.as_micros() + 40 * 86_400_000_000;
            event.wall = WallOffset::from_micros(wall);
        }
        true
    });
    let rates = SamplingRates::new([(512, 0.1)]).unwrap();
    let mut random = fastrand::Rng::with_seed(7);
    let mut live: HashMap<_, Vec<bool>> = HashMap::new();
    write_run(&runs.join("sampled"), &rates, |event| {
        let blocks = live.entry((event.trace, event.size)).or_default();
        if event.is_allocation() {
            blocks.push(random.f64() < rates.probability(event.size));
        }
        let is_recorded = blocks.last().is_some_and(|&recorded| recorded);
        if event.is_free() {
            blocks.pop();
        }
        is_recorded
    });
}

/// Runs the program, and returns what it printed under each heading.
fn outputs(program: &str) -> HashMap<String, String> {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("cookbook");
    write_runs(&folder);
    fs::create_dir_all(folder.join("src")).unwrap();
    let manifest = common::manifest();
    let versions = manifest.lines().filter(|line| {
        let used = ["fastrand = ", "jiff = "];
        used.iter().any(|name| line.starts_with(name))
    });
    let manifest = format!(
        "[package]\nname = \"cookbook\"\nversion = \"0.0.0\"\nedition = \"2024\"\n[workspace]\n\
         [profile.dev]\ndebug = false\n[dependencies]\nheapprof.path = {:?}\n{}\n",
        common::root().to_str().unwrap(),
        versions.collect::<Vec<_>>().join("\n"),
    );
    fs::write(folder.join("Cargo.toml"), manifest).unwrap();
    fs::copy("Cargo.lock", folder.join("Cargo.lock")).unwrap();
    fs::write(folder.join("src/main.rs"), program).unwrap();
    let output = Command::new(env!("CARGO"))
        .args(["run", "--quiet", "--offline", "--target-dir", "target"])
        .current_dir(&folder)
        .output()
        .unwrap();
    succeeded(&output);
    let text = stdout(&output);
    let sections = text.split("=== ").skip(1).map(|section| {
        let (heading, output) = section.split_once('\n').unwrap();
        let lines = output.lines().map(|line| line.trim_end().to_owned() + "\n");
        (heading.to_owned(), lines.collect())
    });
    sections.collect()
}

#[test]
fn recipes_print_what_the_page_shows() {
    let mut page = fs::read_to_string("doc/cookbook.md").unwrap();
    let recipes = recipes(&page);
    assert!(recipes.len() >= 25, "{}", recipes.len());
    let outputs = outputs(&program(&page, &recipes));
    for recipe in recipes.iter().rev() {
        let printed = &outputs[&recipe.heading];
        if std::env::var_os("BLESS").is_some() {
            page.replace_range(recipe.output.clone(), printed);
        } else {
            assert_eq!(printed, &page[recipe.output.clone()], "{}", recipe.heading);
        }
    }
    if std::env::var_os("BLESS").is_some() {
        fs::write("doc/cookbook.md", page).unwrap();
    }
}

#[test]
fn recipes_show_only_code_that_can_be_copied() {
    let page = fs::read_to_string("doc/cookbook.md").unwrap();
    assert!(!page.contains("\n```\n\n```\n") && !page.contains("\n# use "));
    for recipe in recipes(&page) {
        for line in page[recipe.code.clone()].lines() {
            assert!(!line.starts_with("# "), "{}: {line}", recipe.heading);
        }
    }
}

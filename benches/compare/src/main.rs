//! Blockyard beside other engines and beside what the disk can do: one process, engines interleaved, every
//! byte compared. Run it by `cargo xtask compare`.

mod arguments;
mod count;
mod data;
mod engines;
mod machine;
mod model;
mod plan;
mod report;
mod results;
mod rounds;
mod scale;
mod turn;
mod workloads;

use std::path::Path;
use std::process::ExitCode;
use std::time::Instant;

use anyhow::{Context, Result};
use clap::Parser as _;

use arguments::{Arguments, Command, Run};
use engines::Kind;
use plan::{Choice, Extent, Plan};
use results::{Results, Setting};

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let done = match &arguments.command {
        None => compare(&arguments.run),
        Some(Command::Scale(scale)) => scale::run(scale),
        Some(Command::ScaleStep(step)) => scale::step(step),
        Some(Command::ScaleCommit(commit)) => scale::commit(commit),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn compare(run: &Run) -> Result<()> {
    let start = Instant::now();
    let extent = match (run.smoke, run.quick) {
        (true, _) => Extent::Smoke,
        (_, true) => Extent::Quick,
        _ => Extent::Full,
    };
    let choice =
        Choice { engines: &run.engines, workloads: &run.workloads, sizes: &run.sizes, rounds: run.rounds };
    let plan = Plan::new(extent, &choice)?;
    let folder = place(run.dir.as_deref())?;
    let machine = machine::describe(folder.path());
    let mut sizes = Vec::new();
    for size in &plan.sizes {
        sizes.push(rounds::run(&plan, size, folder.path())?);
    }
    let mut taking_part: Vec<Kind> = plan.sizes.first().map_or_else(Vec::new, |size| size.kinds.clone());
    if plan.sizes.iter().any(|size| size.name == "predecessor")
        && taking_part.len() == plan.sizes[0].kinds.len()
    {
        taking_part.retain(|kind| kind.name != engines::DIRECTORY.name);
        taking_part.push(engines::DIRECTORY);
    }
    let results = Results {
        plan: format!("{extent:?}").to_lowercase(),
        machine,
        seconds: start.elapsed().as_secs_f64(),
        cache: plan.cache,
        settings: taking_part.iter().map(setting).collect(),
        sizes,
    };
    if let Some(out) = &run.out {
        report::write(&results, out)?;
    }
    if extent == Extent::Smoke && !run.json {
        print!("{}", report::smoke(&results));
    } else if run.json {
        println!("{}", serde_json::to_string_pretty(&results)?);
    } else {
        println!("{}", report::text(&results));
    }
    Ok(())
}

/// A folder of our own, taken away at the end.
fn place(wanted: Option<&Path>) -> Result<tempfile::TempDir> {
    let mut builder = tempfile::Builder::new();
    builder.prefix("blockyard-compare-");
    match wanted {
        Some(path) => {
            builder.tempdir_in(path).with_context(|| format!("cannot make a folder in {}", path.display()))
        }
        None => builder.tempdir().context("cannot make a temporary folder"),
    }
}

fn setting(kind: &Kind) -> Setting {
    let settings = &kind.settings;
    Setting {
        engine: kind.name.to_owned(),
        version: kind.version().map(|version| match kind.package {
            Some(package) if package != kind.name && !kind.name.starts_with(package) => {
                format!("{package} {version}")
            }
            _ => version.to_owned(),
        }),
        durable: settings.durable.to_owned(),
        relaxed: settings.relaxed.to_owned(),
        reads: settings.reads.to_owned(),
        other: settings.other.to_owned(),
    }
}

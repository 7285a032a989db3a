//! `cargo xtask bench`: the benches of the package `blockyard-benches`, and docs/benchmarks/layers.md written
//! from what they found.
//!
//! Not a check: what it measures needs a quiet machine. That the benches work is part of the step `unit`,
//! which runs each of them once.

use std::path::PathBuf;

use anyhow::Result;
use xshell::{Shell, cmd};

use crate::toolchain::build_folder;

/// What to measure.
#[derive(Clone, Debug, PartialEq, Eq, clap::Args)]
pub(crate) struct Arguments {
    /// Only one of the benches (layers, predecessor, fixes); the report is written when all have run
    #[arg(long, value_parser = BENCHES)]
    only: Option<String>,
    /// Only what has these words in its name, and no report
    filter: Option<String>,
    /// Where the report is written
    #[arg(long, default_value = "docs/benchmarks/layers.md")]
    out: PathBuf,
    /// Where the stores lie meanwhile [default: the system's temporary folder]
    #[arg(long)]
    dir: Option<PathBuf>,
}

const BENCHES: [&str; 3] = ["layers", "predecessor", "fixes"];

/// Runs the benches and writes the report.
pub(crate) fn run(shell: &Shell, arguments: &Arguments) -> Result<()> {
    let Arguments { only, filter, out, dir } = arguments;
    let home = build_folder(shell, "criterion");
    let _home = shell.push_env("CRITERION_HOME", &home);
    let _dir = dir.as_ref().map(|dir| shell.push_env("BLOCKYARD_BENCH_DIR", dir));
    // The five fixes are one table: there is nothing to choose in it.
    let wanted = |bench: &&str| match only {
        Some(only) => only == bench,
        None => filter.is_none() || *bench != "fixes",
    };
    for bench in BENCHES.into_iter().filter(wanted) {
        cmd!(shell, "cargo bench --package blockyard-benches --bench {bench} -- {filter...}").run()?;
    }
    if filter.is_none()
        && BENCHES.iter().all(|bench| *bench == "layers" || home.join(format!("{bench}.json")).exists())
    {
        cmd!(shell, "cargo run --quiet --package blockyard-benches --bin layers-report -- {home} {out}")
            .run()?;
    }
    Ok(())
}

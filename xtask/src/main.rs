//! Every check of Blockyard: `cargo xtask <step>`. CI runs `cargo xtask test`, so do people.
//!
//! A step is a function that takes the [`Shell`] (standing at the root of the workspace) and fails with
//! an error that says what to do. [`steps`] lists them; [`summary`] runs them all.

mod bench;
mod beside;
mod browser;
mod bugs;
mod checks;
mod child;
mod compare;
mod format_check;
mod fuzz;
mod inject;
mod kill;
mod loom;
mod mcu;
mod messages;
mod mutants;
mod sanitize;
mod scratch;
mod setup;
mod sim;
mod steps;
mod summary;
mod tally;
mod targets;
mod test_output;
mod tool;
mod toolchain;
mod weave;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context;
use clap::Parser;
use xshell::Shell;

use crate::steps::Step;

/// The command line.
#[derive(Parser)]
#[command(name = "cargo xtask", about = "Every check of Blockyard, for people and for CI")]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

/// What to run.
#[derive(clap::Subcommand)]
enum Command {
    #[command(flatten)]
    Step(Step),
    /// Every step above, two at a time, whatever fails, and a summary
    Test(summary::Arguments),
    /// One step with the amounts that a run of all has for it
    #[command(name = summary::PART)]
    Part {
        /// The step's name
        step: String,
    },
}

fn main() -> ExitCode {
    match run(&Arguments::parse().command) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(command: &Command) -> anyhow::Result<ExitCode> {
    let shell = Shell::new().context("cannot read the current directory")?;
    shell.change_dir(root());
    match command {
        Command::Step(step) => step.run(&shell).map(|()| ExitCode::SUCCESS),
        Command::Test(arguments) => summary::run_all(&shell, *arguments),
        Command::Part { step } => summary::run_part(&shell, step),
    }
}

/// The root of the workspace. Cargo names our package's folder when it runs us; the folder we were
/// compiled in serves when the binary is started by hand.
fn root() -> PathBuf {
    let package = std::env::var_os("CARGO_MANIFEST_DIR").map(PathBuf::from);
    let package = package.unwrap_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")));
    package.parent().map(Path::to_path_buf).unwrap_or(package)
}

//! Command line of Blockyard: one crash-safe, checksummed file of named blocks.
//!
//! This file parses the arguments and turns what a command came to into an exit code; the
//! commands are in [`commands`], what they share lies beside it.

mod commands;
mod copy;
mod demo;
mod failure;
mod listing;
mod name;
mod opening;
mod output;
mod placing;
mod progress;
mod size;

use clap::Parser as _;
use std::process::ExitCode;

fn main() -> ExitCode {
    let arguments = commands::Arguments::parse();
    match commands::run(&arguments.command) {
        Ok(exit) => exit.into(),
        Err(failure) => failure.report().into(),
    }
}

//! The commands, one file each.

mod completions;
mod copy;
mod create;
mod exec;
mod export;
mod get;
mod import;
mod list;
mod put;
mod remove;
mod rename;
mod stat;
mod verify;

use crate::demo;
use crate::failure::{Exit, Failure, Outcome};
use clap::{Parser, Subcommand};

/// Keep named blocks of bytes in one crash-safe, checksummed file.
#[derive(Debug, Parser)]
#[command(
    name = "blockyard",
    version,
    propagate_version = true,
    arg_required_else_help = true,
    after_help = "Exit codes: 0 fine, 1 damage or not found, 2 usage, 3 cannot open.\n\
        `blockyard help COMMAND` shows each command with examples.",
    after_long_help = LONG_HELP
)]
pub(crate) struct Arguments {
    /// What to do.
    #[command(subcommand)]
    pub(crate) command: Command,
}

const LONG_HELP: &str = "\
Examples:
  blockyard put notes.by today.md today.md     (after `blockyard create notes.by`)
  blockyard get notes.by today.md
  blockyard import docs.by ./docs && blockyard verify docs.by

Names:
  Names are bytes, UTF-8 by custom. People see a backslash in a name as \\\\, and bytes that are not
  UTF-8 or would disturb a terminal as \\xNN. JSON has \"name\" where the name is UTF-8 and
  \"name_hex\" where it is not.

Exit codes:
  0 fine, 1 damage or not found, 2 usage, 3 cannot open.

Colour and progress bars appear on terminals only; NO_COLOR turns colour off.";

/// The commands.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Create an empty file
    Create(create::Args),
    /// Store a block, from a file or standard input
    Put(put::Args),
    /// Write a block to standard output or a file
    Get(get::Args),
    /// List blocks in the order of their names
    Ls(list::Args),
    /// Remove blocks, all in one commit
    Rm(remove::Args),
    /// Rename a block
    Mv(rename::Args),
    /// Show figures of the file or of one block
    Stat(stat::Args),
    /// Store the files of a folder and all below it
    Import(import::Args),
    /// Write blocks as files into a folder
    Export(export::Args),
    /// Copy all blocks into a new file, as short as they are
    Copy(copy::Args),
    /// Check every byte of the file
    Verify(verify::Args),
    /// Run commands from standard input, one a line
    Exec(exec::Args),
    /// Compare this engine with others on 5,000 records
    Demo(demo::Args),
    /// Print a completion script for a shell
    Completions(completions::Args),
}

/// Runs `command`.
pub(crate) fn run(command: &Command) -> Outcome {
    match command {
        Command::Create(args) => create::run(args),
        Command::Put(args) => put::run(args),
        Command::Get(args) => get::run(args),
        Command::Ls(args) => list::run(args),
        Command::Rm(args) => remove::run(args),
        Command::Mv(args) => rename::run(args),
        Command::Stat(args) => stat::run(args),
        Command::Import(args) => import::run(args),
        Command::Export(args) => export::run(args),
        Command::Copy(args) => copy::run(args),
        Command::Verify(args) => verify::run(args),
        Command::Exec(args) => exec::run(args),
        Command::Demo(args) => run_demo(args),
        Command::Completions(args) => completions::run(args),
    }
}

fn run_demo(args: &demo::Args) -> Outcome {
    demo::run(args).map(|()| Exit::Fine).map_err(|error| match error.downcast_ref::<std::io::Error>() {
        Some(io) if io.kind() == std::io::ErrorKind::BrokenPipe => Failure::Hangup,
        _ => Failure::problem(format!("the demo failed: {error:#}")),
    })
}

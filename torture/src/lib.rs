//! Real processes on a real file system.
//!
//! A *child* opens a store and runs a workload that follows from a seed; it tells the harness what it is
//! about to commit and what it was answered. The *harness* kills it, or has its calls fail, or cuts the
//! power under a recorded file. It knows the workload, so it knows every state that may be in the file
//! afterwards: commits 1 to S, S not below what was promised.

mod account;
mod child;
mod examine;
mod inject;
mod kill;
mod process;
mod random;
mod report;
mod tally;
mod workload;

use std::process::ExitCode;
use std::time::{SystemTime, UNIX_EPOCH};

/// The command line.
#[derive(clap::Parser)]
#[command(name = "blockyard-torture", about = "Real processes on a real file system, killed and refused")]
pub struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(clap::Subcommand)]
enum Command {
    /// The process that is killed: runs a workload on a file and tells about it on standard output
    Child(child::Arguments),
    /// Kill children at random moments
    Kill(kill::Arguments),
    /// Let a child's calls fail, fill the disk under it, and cut the power under a recorded file
    Inject(inject::Arguments),
    /// What `inject` runs under a limit: fills a file until there is no room, and checks what then works
    Fill(inject::full::Arguments),
}

/// Runs what the command line says.
///
/// # Errors
/// What keeps it from running; a failed check is a failing exit code.
pub fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    match &arguments.command {
        Command::Child(arguments) => child::run(arguments),
        Command::Kill(arguments) => kill::run(arguments),
        Command::Inject(arguments) => inject::run(arguments),
        Command::Fill(arguments) => inject::full::run(arguments),
    }
}

/// A seed that nobody asked for.
fn drawn_seed() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::from(now.subsec_nanos()) ^ (now.as_secs() << 20)
}

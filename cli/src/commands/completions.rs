//! `completions SHELL`.

use super::Arguments;
use crate::failure::{Exit, Failure, Outcome};
use clap::CommandFactory as _;
use clap_complete::Shell;
use std::io::{self, Write as _};

/// Arguments of `completions`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  \
    blockyard completions bash > ~/.local/share/bash-completion/completions/blockyard")]
pub(crate) struct Args {
    /// The shell to complete for
    #[arg(value_enum)]
    shell: Shell,
}

/// Prints the script.
pub(super) fn run(args: &Args) -> Outcome {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Arguments::command(), "blockyard", &mut script);
    io::stdout().write_all(&script).map_err(|error| Failure::stdout(&error))?;
    Ok(Exit::Fine)
}

//! `rm FILE NAME…`.

use crate::failure::{Exit, Failure, Outcome};
use crate::name::{self, BlockName};
use crate::{opening, output};
use std::path::PathBuf;

/// Arguments of `rm`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  \
    blockyard rm notes.by monday.md tuesday.md\n\n\
    All that exist are removed in one commit; when any was not found the exit code is 1.")]
pub(crate) struct Args {
    /// The Blockyard file
    file: PathBuf,
    /// Names of the blocks
    #[arg(required = true, value_parser = name::parser(), value_name = "NAME")]
    names: Vec<BlockName>,
}

/// Removes the blocks.
pub(super) fn run(args: &Args) -> Outcome {
    let store = opening::for_writing(&args.file)?;
    let mut batch = store.batch();
    let mut exit = Exit::Fine;
    // The lock keeps other writers out, so what exists now still exists at the commit.
    for BlockName(name) in &args.names {
        let doing = || format!("cannot remove {}", name::shown(name));
        if store.exists(name).map_err(|error| Failure::store(doing(), &error))? {
            batch.delete(name).map_err(|error| Failure::store(doing(), &error))?;
        } else {
            output::complain(format_args!("{}: there is no such block; see `blockyard ls`", doing()));
            exit = Exit::Problem;
        }
    }
    if !batch.is_empty() {
        store.commit(batch).map_err(|error| Failure::store("nothing was removed", &error))?;
    }
    opening::close(store, &args.file)?;
    Ok(exit)
}

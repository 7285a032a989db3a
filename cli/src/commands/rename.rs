//! `mv FILE FROM TO`.

use crate::failure::{Exit, Failure, Outcome};
use crate::name::{self, BlockName};
use crate::opening;
use blockyard::Error;
use std::path::PathBuf;

/// Arguments of `mv`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  \
    blockyard mv notes.by draft.md final.md\n\n\
    A block called TO is replaced. The bytes stay where they are, whatever their number.")]
pub(crate) struct Args {
    /// The Blockyard file
    file: PathBuf,
    /// Name that the block has
    #[arg(value_parser = name::parser())]
    from: BlockName,
    /// Name that it gets
    #[arg(value_parser = name::parser())]
    to: BlockName,
}

/// Renames the block.
pub(super) fn run(args: &Args) -> Outcome {
    let (BlockName(from), BlockName(to)) = (&args.from, &args.to);
    let store = opening::for_writing(&args.file)?;
    store.rename(from, to).map_err(|error| match error {
        Error::NotFound => Failure::not_found(from, &args.file),
        error => {
            let doing = format!("cannot rename {} to {}", name::shown(from), name::shown(to));
            Failure::store(doing, &error)
        }
    })?;
    opening::close(store, &args.file)?;
    Ok(Exit::Fine)
}

//! `put FILE NAME [PATH|-]`.

use crate::copy::{self, CopyError};
use crate::failure::{Exit, Failure, Outcome};
use crate::name::{self, BlockName};
use crate::opening::{self, Identity};
use crate::output;
use crate::progress::Progress;
use std::fs::File;
use std::io::{self, IsTerminal as _, Read};
use std::path::{Path, PathBuf};

/// Arguments of `put`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  \
    blockyard put notes.by today.md today.md\n  \
    tar -c src | blockyard put backup.by src.tar\n\n\
    A block of any size is streamed; it becomes visible, whole and durable, when everything was read.\n\
    A block of the same name is replaced. FILE must exist: see `blockyard create`.")]
pub(crate) struct Args {
    /// The Blockyard file
    file: PathBuf,
    /// Name of the block
    #[arg(value_parser = name::parser())]
    name: BlockName,
    /// Where its bytes come from: a file, or `-` for standard input
    #[arg(default_value = "-")]
    path: PathBuf,
    /// A number of your own to keep with the block
    #[arg(long, default_value_t = 0, value_name = "N")]
    tag: u64,
}

/// Stores the block.
pub(super) fn run(args: &Args) -> Outcome {
    let store = opening::for_writing(&args.file)?;
    let (mut input, length) = open_input(&args.path, &args.file)?;
    let doing = format!("cannot store {}", name::shown(&args.name.0));
    let writer = store.writer(&args.name.0).map_err(|error| Failure::store(&doing, &error))?;
    let mut writer = writer.tag(args.tag);
    let progress = Progress::new("put", length);
    copy::stream(&mut input, &mut writer, |bytes| progress.advance(bytes)).map_err(|error| match error {
        CopyError::Read(error) => Failure::io(format_args!("cannot read {}", args.path.display()), &error),
        CopyError::Write(error) => Failure::io(&doing, &error),
    })?;
    writer.finish().map_err(|error| Failure::store(&doing, &error))?;
    opening::close(store, &args.file)?;
    Ok(Exit::Fine)
}

/// The input and, if known, its length in bytes.
fn open_input(path: &Path, store: &Path) -> Outcome<(Box<dyn Read>, Option<u64>)> {
    if path == Path::new("-") {
        if io::stdin().is_terminal() {
            output::remark("reading from the terminal; end with Ctrl-D");
        }
        return Ok((Box::new(io::stdin().lock()), None));
    }
    let doing = format!("cannot read {}", path.display());
    let file = File::open(path).map_err(|error| Failure::io(&doing, &error))?;
    let metadata = file.metadata().map_err(|error| Failure::io(&doing, &error))?;
    if metadata.is_dir() {
        return Err(Failure::problem(format!("{doing}: it is a folder; use `blockyard import`")));
    }
    if Identity::of_metadata(&metadata).is_some_and(|identity| Some(identity) == Identity::of(store)) {
        return Err(Failure::problem(format!("{doing}: it is the store itself; name another file")));
    }
    Ok((Box::new(file), metadata.is_file().then_some(metadata.len())))
}

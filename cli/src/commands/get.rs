//! `get FILE NAME [-o PATH]`.

use crate::copy::{self, CopyError};
use crate::failure::{Exit, Failure, Outcome};
use crate::name::{self, BlockName};
use crate::opening::{Identity, Source};
use crate::placing::Placing;
use crate::progress::Progress;
use blockyard::BlockReader;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

/// Arguments of `get`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  \
    blockyard get notes.by today.md\n  \
    blockyard get backup.by src.tar -o src.tar\n\n\
    Bytes are checked before they are written, a chunk at a time: when a chunk is damaged, the output\n\
    ends before it and the exit code is 1. With -o, PATH then stays as it was.")]
pub(crate) struct Args {
    #[command(flatten)]
    source: Source,
    /// Name of the block
    #[arg(value_parser = name::parser())]
    name: BlockName,
    /// Write to this file, which is replaced in one step, instead of standard output
    #[arg(short, long, value_name = "PATH")]
    output: Option<PathBuf>,
}

/// Writes the block out.
pub(super) fn run(args: &Args) -> Outcome {
    let store = args.source.open()?;
    let reader = store
        .reader(&args.name.0)
        .map_err(|error| Failure::store(doing(args), &error))?
        .ok_or_else(|| Failure::not_found(&args.name.0, &args.source.file))?;
    match args.output.as_deref() {
        Some(path) if path != Path::new("-") => to_file(args, reader, path)?,
        _ => to_stdout(args, reader)?,
    }
    Ok(Exit::Fine)
}

fn doing(args: &Args) -> String {
    format!("cannot read {}", name::shown(&args.name.0))
}

fn to_stdout(args: &Args, mut reader: BlockReader) -> Outcome<()> {
    let mut stdout = io::stdout().lock();
    copy::stream(&mut reader, &mut stdout, |_| ()).map_err(|error| match error {
        CopyError::Read(error) => Failure::io(doing(args), &error),
        CopyError::Write(error) => Failure::stdout(&error),
    })?;
    stdout.flush().map_err(|error| Failure::stdout(&error))
}

fn to_file(args: &Args, mut reader: BlockReader, path: &Path) -> Outcome<()> {
    let writing = format!("cannot write {}", path.display());
    if Identity::of(path).is_some_and(|identity| Some(identity) == Identity::of(&args.source.file)) {
        return Err(Failure::problem(format!("{writing}: it is the store itself; name another file")));
    }
    let mut file = Placing::over(path).map_err(|error| Failure::io(&writing, &error))?;
    let progress = Progress::new("get", Some(reader.len()));
    copy::stream(&mut reader, &mut file, |bytes| progress.advance(bytes)).map_err(|error| match error {
        CopyError::Read(error) => Failure::io(doing(args), &error),
        CopyError::Write(error) => Failure::io(&writing, &error),
    })?;
    file.finish().map_err(|error| Failure::io(&writing, &error))
}

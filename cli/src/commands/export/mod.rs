//! `export FILE DIR [PREFIX]`.

mod target;

use crate::copy::{self, CopyError};
use crate::failure::{Exit, Failure, Outcome, why, why_io};
use crate::listing::Listing;
use crate::name::{self, BlockName};
use crate::opening::{Identity, Source};
use crate::output::{self, Out};
use crate::placing::Placing;
use crate::progress::{self, Progress};
use crate::size::{count, human};
use blockyard::Store;
use serde::Serialize;
use std::fs;
use std::path::PathBuf;
use target::Folder;

/// Arguments of `export`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  \
    blockyard export docs.by ./docs\n  \
    blockyard export site.by ./public www/ --strip\n\n\
    A block called a/b becomes the file DIR/a/b; DIR and folders in it are made as needed, files of the\n\
    same names are replaced, each in one step. Names that would leave DIR or cannot be files (absolute,\n\
    with `..`, `.`, empty parts or a NUL, below another block, through a symbolic link) are refused and\n\
    reported, damaged blocks too; the rest goes on, and the exit code is 1.\n\
    --json prints {\"files\":…,\"bytes\":…,\"failed\":…}.")]
pub(crate) struct Args {
    #[command(flatten)]
    source: Source,
    /// The folder
    dir: PathBuf,
    /// Only blocks whose names start like this
    #[arg(value_parser = name::parser())]
    prefix: Option<BlockName>,
    /// Leave the prefix off the names of the files
    #[arg(long, requires = "prefix")]
    strip: bool,
    /// Print a summary as one JSON object
    #[arg(long)]
    json: bool,
}

/// The figures of an export, also in JSON.
#[derive(Clone, Copy, Debug, Default, Serialize)]
struct Counts {
    files: u64,
    bytes: u64,
    failed: u64,
}

/// Exports the blocks.
pub(super) fn run(args: &Args) -> Outcome {
    let store = args.source.open()?;
    fs::create_dir_all(&args.dir).map_err(|error| {
        Failure::io(format_args!("cannot make the folder {}", args.dir.display()), &error)
    })?;
    let progress = Progress::new("export", total_bytes(args, &store));
    let mut export = Export {
        store: &store,
        progress: &progress,
        folder: Folder::new(args.dir.clone(), Identity::of(&args.source.file)),
        counts: Counts::default(),
    };
    export.all(args);
    let counts = export.counts;
    drop(progress);
    output::even_if_gone(show(args, counts))?;
    Ok(if counts.failed == 0 { Exit::Fine } else { Exit::Problem })
}

/// Bytes to write, where they are known and somebody could see a bar.
fn total_bytes(args: &Args, store: &Store) -> Option<u64> {
    let known = args.prefix.is_none() && progress::is_seen();
    known.then(|| store.stats().ok().map(|stats| stats.value_bytes)).flatten()
}

fn show(args: &Args, counts: Counts) -> Outcome<()> {
    if args.json {
        let mut out = Out::new();
        out.json(&counts)?;
        out.flush()?;
    } else if progress::is_seen() {
        let files = count(counts.files, "file", "files");
        output::remark(format_args!("exported {files}, {}; {} failed", human(counts.bytes), counts.failed));
    }
    Ok(())
}

/// An export under way.
struct Export<'a> {
    store: &'a Store,
    progress: &'a Progress,
    folder: Folder,
    counts: Counts,
}

impl Export<'_> {
    fn all(&mut self, args: &Args) {
        let prefix = args.prefix.as_ref().map_or(&[][..], |prefix| &prefix.0);
        let stripped = if args.strip { prefix.len() } else { 0 };
        for block in Listing::new(self.store, prefix, false) {
            let block = match block {
                Ok(block) => block,
                Err(error) => {
                    self.counts.failed += 1;
                    let file = args.source.file.display();
                    self.progress.complain(format_args!("cannot list all of {file}: {}", why(&error)));
                    continue;
                }
            };
            self.progress.message(|| name::shown(block.name()).to_string());
            match self.one(block.name(), block.name().get(stripped..).unwrap_or_default()) {
                Ok(bytes) => {
                    self.counts.files += 1;
                    self.counts.bytes += bytes;
                }
                Err(reason) => {
                    self.counts.failed += 1;
                    self.progress
                        .complain(format_args!("cannot export {}: {reason}", name::shown(block.name())));
                }
            }
        }
    }

    /// Writes block `name` to the file `relative` and gives its length, or why that is not to be.
    fn one(&mut self, name: &[u8], relative: &[u8]) -> Result<u64, String> {
        let target = self.folder.place(relative)?;
        let reader = self.store.reader(name).map_err(|error| why(&error))?;
        let mut reader = reader.ok_or_else(|| "it is gone; try again".to_owned())?;
        let cannot_write = |error| format!("cannot write {}: {error}", target.display());
        let mut file = Placing::new(target.clone()).map_err(cannot_write)?;
        let bytes =
            copy::stream(&mut reader, &mut file, |bytes| self.progress.advance(bytes)).map_err(|error| {
                match error {
                    CopyError::Read(error) => why_io(&error),
                    CopyError::Write(error) => cannot_write(error),
                }
            })?;
        file.finish().map_err(cannot_write)?;
        Ok(bytes)
    }
}

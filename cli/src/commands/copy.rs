//! `copy FILE NEW`.

use super::create::Layout;
use crate::failure::{Exit, Failure, Outcome};
use crate::opening::{self, Source};
use crate::output;
use crate::placing;
use crate::progress::{self, Progress};
use crate::size::{count, human};
use blockyard::{OpenOptions, Store};
use std::path::PathBuf;

/// Arguments of `copy`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  \
    blockyard copy notes.by backup.by\n  \
    blockyard copy notes.by smaller.by && mv smaller.by notes.by\n  \
    blockyard copy notes.by card.by --page-size 512 --journal-size 64K\n\n\
    Every byte is read and compared with its digest. The copy has the blocks and their tags and no free\n\
    space of the original's; it appears as a whole, when all of it is safe, or not at all. Pages and the\n\
    journal are as long as the original's unless sizes are given.")]
pub(crate) struct Args {
    #[command(flatten)]
    source: Source,
    /// The file to create; there must be none of this name
    new: PathBuf,
    #[command(flatten)]
    layout: Layout,
}

/// Copies the blocks.
pub(super) fn run(args: &Args) -> Outcome {
    let source = args.source.open()?;
    let cannot = |error| Failure::store(format_args!("cannot copy {}", args.source.file.display()), &error);
    let stats = source.stats().map_err(cannot)?;
    let like = OpenOptions::new().page_size(stats.page_size as u32).journal_size(stats.journal_bytes);
    let options = args.layout.over(like)?.create(true);
    let place = placing::Fresh::beside(&args.new).map_err(|error| cannot_make(args, &error))?;
    let target = options.open(place.path()).map_err(|error| Layout::refused(&args.new, error))?;
    let copied = copy(&source, &target).map_err(cannot)?;
    opening::close(target, &args.new)?;
    place.finish().map_err(|error| cannot_make(args, &error))?;
    if progress::is_seen() {
        output::remark(format_args!(
            "copied {}, {}",
            count(copied.blocks, "block", "blocks"),
            human(copied.bytes)
        ));
    }
    Ok(Exit::Fine)
}

fn cannot_make(args: &Args, error: &std::io::Error) -> Failure {
    Failure::io(format_args!("cannot make {}", args.new.display()), error)
}

fn copy(source: &Store, target: &Store) -> blockyard::Result<blockyard::Copied> {
    let total = source.stats()?.value_bytes;
    let progress = Progress::new("copy", Some(total));
    source.snapshot()?.copy_to(target, |bytes| progress.advance(bytes))
}

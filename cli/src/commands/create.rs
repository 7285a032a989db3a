//! `create FILE`.

use crate::failure::{Exit, Failure, Outcome};
use crate::{opening, size};
use blockyard::{OpenError, OpenOptions};
use std::path::{Path, PathBuf};

/// Largest chunk that this program creates files with: a chunk is checked as a whole, so it bounds
/// the memory that reading takes.
const MAX_CHUNK: u32 = 8 << 20;

/// Arguments of `create`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  \
    blockyard create notes.by\n  \
    blockyard create sensors.by --page-size 512 --journal-size 64K --chunk-size 16K\n\n\
    Sizes are bytes, or take K, M or G (powers of 1024). They cannot be changed later.")]
pub(crate) struct Args {
    /// The file to create; there must be none of this name
    file: PathBuf,
    #[command(flatten)]
    layout: Layout,
}

/// What is fixed when a file is created.
#[derive(Debug, clap::Args)]
pub(super) struct Layout {
    /// Smallest unit of reading and writing: a power of two from 512 to 64K [default: 4K]
    #[arg(long, value_name = "BYTES", value_parser = size::parse_u32)]
    page_size: Option<u32>,
    /// Length of the journal: a whole number of pages, at least 4
    #[arg(long, value_name = "BYTES", value_parser = size::parse)]
    journal_size: Option<u64>,
    /// Largest piece of a large block with a digest of its own, up to 8M [default: 1M]
    #[arg(long, value_name = "BYTES", value_parser = size::parse_u32)]
    chunk_size: Option<u32>,
}

impl Layout {
    /// `options` with what was given in place of what they say.
    pub(super) fn over(&self, mut options: OpenOptions) -> Outcome<OpenOptions> {
        if let Some(bytes) = self.page_size {
            options = options.page_size(bytes);
        }
        if let Some(bytes) = self.journal_size {
            options = options.journal_size(bytes);
        }
        if let Some(bytes) = self.chunk_size {
            if bytes > MAX_CHUNK {
                return Err(Failure::usage(format!("a chunk of {bytes} bytes is too large; use at most 8M")));
            }
            options = options.chunk_size(bytes);
        }
        Ok(options)
    }

    /// Why `file` could not be created.
    pub(super) fn refused(file: &Path, error: OpenError) -> Failure {
        match error {
            OpenError::Geometry(geometry) => {
                Failure::usage(format!("cannot create {}: {geometry}", file.display()))
            }
            error => Failure::open(file, &error),
        }
    }
}

/// Creates the file.
pub(super) fn run(args: &Args) -> Outcome {
    let options = args.layout.over(OpenOptions::new())?.create_new(true);
    let store = options.open(&args.file).map_err(|error| Layout::refused(&args.file, error))?;
    opening::close(store, &args.file)?;
    Ok(Exit::Fine)
}

//! Opening a store for the needs of a command.

use crate::failure::{Failure, Outcome};
use crate::output;
use blockyard::{OpenError, OpenOptions, Store};
use clap::Args;
use std::fs;
use std::path::{Path, PathBuf};

/// Bytes of cache: a command passes over the data once, so more would only cost memory.
const CACHE_BYTES: usize = 8 << 20;

/// The file of a command that only reads.
#[derive(Debug, Args)]
pub(crate) struct Source {
    /// The Blockyard file
    pub(crate) file: PathBuf,
    /// Where the journal is damaged, read the state before that instead of refusing to open
    #[arg(long)]
    pub(crate) salvage: bool,
}

impl Source {
    /// Opens the file for reading only; others may read it at the same time.
    pub(crate) fn open(&self) -> Outcome<Store> {
        for_reading(&self.file, self.salvage).map_err(|error| Failure::open(&self.file, &error))
    }
}

/// Opens `file` for reading only.
pub(crate) fn for_reading(file: &Path, salvage: bool) -> Result<Store, OpenError> {
    options().read_only(true).salvage(salvage).open(file)
}

/// Opens `file`, which must exist, for reading and writing.
pub(crate) fn for_writing(file: &Path) -> Outcome<Store> {
    open_to_write(file, &options())
}

/// Opens `file` for reading and writing, and creates it if it is missing.
pub(crate) fn for_writing_or_new(file: &Path) -> Outcome<Store> {
    open_to_write(file, &options().create(true))
}

fn open_to_write(file: &Path, options: &OpenOptions) -> Outcome<Store> {
    let store = options.open(file).map_err(|error| Failure::open(file, &error))?;
    if store.recovery().torn_tail {
        output::remark(format_args!(
            "{} was not closed: a commit cut short, never answered durable, was dropped from its end",
            file.display()
        ));
    }
    Ok(store)
}

/// Closes a store that was written to, so that nothing is left to recover.
pub(crate) fn close(store: Store, file: &Path) -> Outcome<()> {
    store.close().map_err(|error| Failure::store(format_args!("cannot close {}", file.display()), &error))
}

fn options() -> OpenOptions {
    OpenOptions::new().cache_bytes(CACHE_BYTES)
}

/// Which file a path leads to, so that a store is never read into itself or written over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Identity {
    device: u64,
    number: u64,
}

impl Identity {
    /// The identity of the file at `path`, links followed; `None` if there is none to be had.
    pub(crate) fn of(path: &Path) -> Option<Self> {
        fs::metadata(path).ok().as_ref().and_then(Self::of_metadata)
    }

    /// The identity of the file that has this metadata.
    #[cfg(unix)]
    pub(crate) fn of_metadata(metadata: &fs::Metadata) -> Option<Self> {
        use std::os::unix::fs::MetadataExt as _;
        Some(Self { device: metadata.dev(), number: metadata.ino() })
    }

    /// The identity of the file that has this metadata.
    #[cfg(not(unix))]
    pub(crate) fn of_metadata(_metadata: &fs::Metadata) -> Option<Self> {
        None
    }
}

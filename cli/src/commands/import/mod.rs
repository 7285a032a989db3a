//! `import FILE DIR`.
//!
//! Small files are gathered and committed many at a time, large ones are streamed one by one, so
//! memory is bounded whatever the sizes. Nothing is waited for until the end: one sync then makes
//! everything durable.

mod gather;
mod report;

use crate::copy::{self, CopyError};
use crate::failure::{Exit, Failure, Outcome};
use crate::name::{self, BlockName};
use crate::opening::{self, Identity};
use crate::output;
use crate::progress::{self, Progress};
use blockyard::{Durability, Store};
use gather::Gather;
use report::Report;
use std::fs::{self, File, Metadata};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use walkdir::{DirEntry, WalkDir};

/// Files above this many bytes are streamed.
const SMALL_FILE: u64 = 128 << 10;
/// Folders that the walk keeps open at a time; a deeper one is read to its end at once.
const OPEN_FOLDERS: usize = 64;

/// Arguments of `import`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  \
    blockyard import docs.by ./docs\n  \
    blockyard import site.by ./public --prefix www/\n\n\
    FILE is created if it is missing. A block's name is the file's path below DIR with `/` between its\n\
    parts, after the prefix; blocks of the same names are replaced. Only regular files are stored:\n\
    symbolic links, devices, pipes and sockets are skipped and said so, folders that hold nothing leave\n\
    no trace. Files that cannot be read are reported, the rest goes on, and the exit code is 1.\n\
    Everything is durable when the command ends well; when it is interrupted, a part may be there.\n\
    --json prints {\"files\":…,\"bytes\":…,\"skipped\":…,\"failed\":…,\"sequence\":…}.")]
pub(crate) struct Args {
    /// The Blockyard file
    file: PathBuf,
    /// The folder
    dir: PathBuf,
    /// Start every name with this, taken as it is
    #[arg(long, value_name = "P", default_value = "", hide_default_value = true, value_parser = name::parser())]
    prefix: BlockName,
    /// Print a summary as one JSON object
    #[arg(long)]
    json: bool,
}

/// Imports the folder.
pub(super) fn run(args: &Args) -> Outcome {
    check_folder(&args.dir)?;
    let store = opening::for_writing_or_new(&args.file)?;
    let progress = Progress::new("import", progress::is_seen().then(|| total_bytes(&args.dir)));
    let mut import = Import {
        args,
        own: Identity::of(&args.file),
        gather: Gather::new(&store),
        store: &store,
        report: Report::new(&progress),
        progress: &progress,
    };
    for entry in walk(&args.dir) {
        import.entry(entry)?;
    }
    let report = import.finish()?;
    let sequence = store.sync().map_err(|error| Failure::store("cannot make the import durable", &error))?;
    let counts = report.counts();
    drop(progress);
    opening::close(store, &args.file)?;
    output::even_if_gone(counts.show(args.json, sequence))?;
    Ok(if counts.failed == 0 { Exit::Fine } else { Exit::Problem })
}

fn check_folder(folder: &Path) -> Outcome<()> {
    let doing = format!("cannot import {}", folder.display());
    let metadata = fs::metadata(folder).map_err(|error| Failure::io(&doing, &error))?;
    if !metadata.is_dir() {
        return Err(Failure::problem(format!("{doing}: it is not a folder; use `blockyard put` for a file")));
    }
    Ok(())
}

fn walk(folder: &Path) -> walkdir::IntoIter {
    WalkDir::new(folder).min_depth(1).max_open(OPEN_FOLDERS).into_iter()
}

/// Bytes of all regular files, for the progress bar.
fn total_bytes(folder: &Path) -> u64 {
    let files = walk(folder).filter_map(Result::ok).filter(|entry| entry.file_type().is_file());
    files.filter_map(|entry| entry.metadata().ok()).map(|metadata| metadata.len()).sum()
}

/// An import under way.
struct Import<'a> {
    args: &'a Args,
    own: Option<Identity>,
    store: &'a Store,
    gather: Gather<'a>,
    report: Report<'a>,
    progress: &'a Progress,
}

/// Why one file was not stored although it should have been.
enum Refusal {
    /// This file's own trouble: tell it and go on.
    File(String),
    /// The store's: going on is no use.
    Store(Failure),
}

impl<'a> Import<'a> {
    /// Takes in one entry of the walk.
    fn entry(&mut self, entry: walkdir::Result<DirEntry>) -> Outcome<()> {
        let entry = match entry {
            Ok(entry) => entry,
            Err(error) => {
                let path = error.path().map(|path| path.display().to_string()).unwrap_or_default();
                let reason = error.io_error().map_or_else(|| error.to_string(), io::Error::to_string);
                self.report.failed(path, reason);
                return Ok(());
            }
        };
        let kind = entry.file_type();
        if kind.is_file() {
            return self.file(&entry);
        }
        if kind.is_symlink() {
            self.report.skipped(entry.path(), "it is a symbolic link");
        } else if !kind.is_dir() {
            self.report.skipped(entry.path(), "it is not a regular file");
        }
        Ok(())
    }

    fn file(&mut self, entry: &DirEntry) -> Outcome<()> {
        let path = entry.path();
        match self.store_file(path, entry) {
            Ok(()) => Ok(()),
            Err(Refusal::File(reason)) => {
                self.report.failed(path.display(), reason);
                Ok(())
            }
            Err(Refusal::Store(failure)) => Err(failure),
        }
    }

    fn store_file(&mut self, path: &Path, entry: &DirEntry) -> Result<(), Refusal> {
        let mut file = File::open(path).map_err(|error| Refusal::File(error.to_string()))?;
        let metadata = file.metadata().map_err(|error| Refusal::File(error.to_string()))?;
        if self.is_own(&metadata) {
            self.report.skipped(path, "it is the store itself");
            return Ok(());
        }
        let relative = path.strip_prefix(&self.args.dir).unwrap_or_else(|_| Path::new(entry.file_name()));
        let name = name::of_path(&self.args.prefix.0, relative);
        self.progress.message(|| name::shown(&name).to_string());

        // One byte more tells a small file from the start of a large one, whatever its metadata says.
        let mut start = Vec::with_capacity(metadata.len().min(SMALL_FILE) as usize + 1);
        (&mut file)
            .take(SMALL_FILE + 1)
            .read_to_end(&mut start)
            .map_err(|error| Refusal::File(error.to_string()))?;
        let length = start.len() as u64;
        if length > SMALL_FILE {
            let length = self.stream(&name, io::Cursor::new(start).chain(file))?;
            self.report.stored(length);
            return Ok(());
        }
        self.gather.add(&name, &start).map_err(|error| refusal(&name, error))?;
        self.progress.advance(length);
        self.report.stored(length);
        self.gather.commit_if_full().map_err(Refusal::Store)
    }

    fn is_own(&self, metadata: &Metadata) -> bool {
        self.own.is_some() && Identity::of_metadata(metadata) == self.own
    }

    /// Streams a large file into a block and gives its length.
    fn stream(&mut self, name: &[u8], mut file: impl Read) -> Result<u64, Refusal> {
        let refused = |error| refusal(name, error);
        let mut writer = self.store.writer(name).map_err(refused)?.durability(Durability::Buffered);
        let progress = self.progress;
        let length = copy::stream(&mut file, &mut writer, |bytes| progress.advance(bytes)).map_err(
            |error| match error {
                CopyError::Read(error) => Refusal::File(error.to_string()),
                CopyError::Write(error) => Refusal::Store(Failure::io(doing(name), &error)),
            },
        )?;
        writer.finish().map_err(refused)?;
        Ok(length)
    }

    /// Commits what is still gathered.
    fn finish(mut self) -> Outcome<Report<'a>> {
        self.gather.commit()?;
        Ok(self.report)
    }
}

fn doing(name: &[u8]) -> String {
    format!("cannot store {}", name::shown(name))
}

/// What the store's refusal of one block means for the rest.
fn refusal(name: &[u8], error: blockyard::Error) -> Refusal {
    match error {
        blockyard::Error::NameEmpty | blockyard::Error::NameTooLong { .. } => {
            Refusal::File(error.to_string())
        }
        error => Refusal::Store(Failure::store(doing(name), &error)),
    }
}

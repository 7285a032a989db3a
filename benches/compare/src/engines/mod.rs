//! What every engine is asked to do, and how each is set up for it.
//!
//! 1. A *durable* change survives a power cut when the call returns: each engine at the settings with which
//!    it promises that, named in its [`Settings`] and printed with the results.
//! 2. A *relaxed* change is in order behind the earlier ones and survives a crash of the process; `sync`
//!    makes all of them durable. (LMDB promises less, see its settings.)
//! 3. An engine reads in its quickest documented way: many reads in one read transaction where it has them.
//! 4. All engines with a cache of their own get the same budget.

mod blocks;
mod canopy;
mod directory;
mod fjall;
mod lmdb;
mod memory;
mod raw;
mod redb;
mod regolith;
#[cfg(feature = "rocksdb")]
mod rocks;
mod sqlite;

use std::io::Read;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};

use crate::data::{Key, key};

/// One change of a batch.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Change<'a> {
    /// A record gets a value.
    Put(&'a [u8], &'a [u8]),
    /// A record goes.
    Delete(&'a [u8]),
}

/// Which records a scan meets.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Span<'a> {
    /// All, in the order of their names.
    Forward,
    /// All, the last first.
    Backward,
    /// Those whose names begin so.
    Prefix(&'a [u8]),
    /// From this name on.
    From(&'a [u8]),
}

/// What a scan does with a record's name and value; false ends it.
pub(crate) type Visit<'a> = &'a mut dyn FnMut(&[u8], &[u8]) -> bool;

/// What is read from a state of one moment.
pub(crate) trait Reader {
    /// Copies a value into `buffer`; its length, or None if there is no record.
    fn get_into(&mut self, key: &[u8], buffer: &mut [u8]) -> Result<Option<usize>>;

    /// Shows a value where it lies; false if there is no record. Only for engines that say that they can.
    fn show(&mut self, key: &[u8], see: &mut dyn FnMut(&[u8])) -> Result<bool>;

    /// Shows the values of a span where they lie.
    fn scan(&mut self, span: Span<'_>, visit: Visit<'_>) -> Result<()>;
}

/// What a session does within one read transaction.
pub(crate) type Reading<'a> = &'a mut dyn FnMut(&mut dyn Reader) -> Result<()>;

/// One thread's access to an engine.
pub(crate) trait Session {
    /// Puts a record, durable.
    fn put(&mut self, key: &[u8], value: &[u8]) -> Result<()>;

    /// Puts a record, not yet durable.
    fn put_relaxed(&mut self, key: &[u8], value: &[u8]) -> Result<()>;

    /// Makes everything before it durable.
    fn sync(&mut self) -> Result<()>;

    /// All changes or none; durable, or relaxed.
    fn batch(&mut self, changes: &[Change<'_>], durable: bool) -> Result<()>;

    /// Deletes a record, durable.
    fn delete(&mut self, key: &[u8]) -> Result<()>;

    /// Reads the state of now, any number of times.
    fn read(&mut self, work: Reading<'_>) -> Result<()>;

    /// Takes a block of `length` bytes in pieces and makes it durable. Engines without streams keep each
    /// piece as a record: then it is neither one block nor all or nothing.
    fn stream_in(&mut self, name: u64, length: u64, source: &mut dyn Read) -> Result<()> {
        let mut piece = vec![0; PIECE];
        for number in 0..length.div_ceil(PIECE as u64) {
            let now = PIECE.min((length - number * PIECE as u64) as usize);
            source.read_exact(&mut piece[..now])?;
            self.put_relaxed(&piece_key(name, number), &piece[..now])?;
        }
        self.sync()
    }

    /// Gives a block back in order, piece by piece.
    fn stream_out(&mut self, name: u64, length: u64, sink: &mut dyn FnMut(&[u8])) -> Result<()> {
        let mut piece = vec![0; PIECE];
        self.read(&mut |reader| {
            for number in 0..length.div_ceil(PIECE as u64) {
                let found = reader.get_into(&piece_key(name, number), &mut piece)?;
                sink(&piece[..found.context("a piece of the block is gone")?]);
            }
            Ok(())
        })
    }

    /// Deletes what `stream_in` wrote.
    fn unstream(&mut self, name: u64, length: u64) -> Result<()> {
        let pieces: Vec<Key> =
            (0..length.div_ceil(PIECE as u64)).map(|number| piece_key(name, number)).collect();
        let changes: Vec<Change<'_>> = pieces.iter().map(|key| Change::Delete(key)).collect();
        self.batch(&changes, true)
    }
}

/// Bytes of a piece of a streamed block.
pub(crate) const PIECE: usize = 1 << 20;

fn piece_key(name: u64, number: u64) -> Key {
    key(name * 1_000_000 + number)
}

/// An engine that is open.
pub(crate) trait Engine: Send + Sync {
    /// Access for the calling thread.
    fn session(&self) -> Result<Box<dyn Session + '_>>;

    /// Closes the engine as it wants to be closed.
    fn close(self: Box<Self>) -> Result<()>;

    /// Syncs that the engine itself counted since it was opened, if it counts them.
    fn own_syncs(&self) -> Option<u64> {
        None
    }
}

/// Where and for what an engine is opened.
#[derive(Clone, Debug)]
pub(crate) struct Opening {
    /// Its own folder, which is there.
    pub(crate) folder: PathBuf,
    /// Bytes of a value.
    pub(crate) length: usize,
    /// How many records there will be at most; only the floors need to know.
    pub(crate) room: u64,
    /// Bytes of cache, for engines that have one.
    pub(crate) cache: usize,
}

impl Opening {
    /// A file or folder in the engine's own.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }
}

/// What an engine is in the comparison.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub(crate) enum Role {
    /// Blockyard.
    Ours,
    /// Another engine.
    Peer,
    /// What the disk or the memory can do with no engine at all.
    Floor,
}

/// How an engine is set up; printed with the results.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Settings {
    /// What makes a change durable.
    pub(crate) durable: &'static str,
    /// What a relaxed change is, and its sync.
    pub(crate) relaxed: &'static str,
    /// How it is read.
    pub(crate) reads: &'static str,
    /// Anything else that is not the engine's default.
    pub(crate) other: &'static str,
}

/// An engine that can be opened.
#[derive(Clone, Copy)]
pub(crate) struct Kind {
    /// Its name on the command line and in the tables.
    pub(crate) name: &'static str,
    /// The crate whose version counts; None for floors.
    pub(crate) package: Option<&'static str>,
    /// What it is here.
    pub(crate) role: Role,
    /// Whether values can be seen without a copy.
    pub(crate) zero_copy: bool,
    /// Whether its data is on a disk.
    pub(crate) on_disk: bool,
    /// Whether its heap is Rust's, which is counted.
    pub(crate) rust_heap: bool,
    /// How it is set up.
    pub(crate) settings: Settings,
    /// Opens it, or creates it in an empty folder.
    pub(crate) open: fn(&Opening) -> Result<Box<dyn Engine>>,
}

impl Kind {
    /// The version that was compiled in.
    pub(crate) fn version(&self) -> Option<&'static str> {
        self.package.and_then(locked_version)
    }
}

/// The engines of every comparison, in the order of the tables.
pub(crate) const KINDS: &[Kind] = &[
    blocks::KIND,
    redb::KIND,
    sqlite::KIND,
    lmdb::KIND,
    fjall::KIND,
    fjall::SEPARATED,
    canopy::KIND,
    regolith::KIND,
    #[cfg(feature = "rocksdb")]
    rocks::KIND,
    raw::KIND,
    raw::TWO_SYNCS,
    memory::KIND,
];

/// How programs kept records before they had an engine: only in the predecessor's table.
pub(crate) const DIRECTORY: Kind = directory::KIND;

/// The engines of these names, all if none is named.
pub(crate) fn chosen(names: &[String]) -> Result<Vec<Kind>> {
    let known: Vec<&str> = KINDS.iter().map(|kind| kind.name).collect();
    for name in names {
        ensure!(known.contains(&name.as_str()), "no engine `{name}`; there are {}", known.join(", "));
    }
    let wanted = |kind: &&Kind| names.is_empty() || names.iter().any(|name| name == kind.name);
    Ok(KINDS.iter().filter(wanted).copied().collect())
}

/// A package's version in our lock file.
fn locked_version(package: &str) -> Option<&'static str> {
    const LOCK: &str = include_str!("../../Cargo.lock");
    let entry = format!("name = \"{package}\"\nversion = \"");
    let (_, rest) = LOCK.split_once(&entry)?;
    rest.split('"').next()
}

/// Length and disk blocks of everything in a folder, in bytes.
pub(crate) fn disk_use(folder: &Path) -> Result<(u64, u64)> {
    use std::os::unix::fs::MetadataExt as _;
    let (mut length, mut allocated) = (0, 0);
    for entry in std::fs::read_dir(folder).with_context(|| format!("cannot list {}", folder.display()))? {
        let entry = entry?;
        let metadata = entry.metadata()?;
        if metadata.is_dir() {
            let (more, blocks) = disk_use(&entry.path())?;
            (length, allocated) = (length + more, allocated + blocks);
        } else {
            (length, allocated) = (length + metadata.len(), allocated + metadata.blocks() * 512);
        }
    }
    Ok((length, allocated))
}

/// Tells the operating system to forget what it has cached of a folder's files. What is mapped stays: the
/// engine must be closed.
pub(crate) fn forget_cached(folder: &Path) -> Result<()> {
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            forget_cached(&path)?;
            continue;
        }
        let file = std::fs::File::open(&path)?;
        // What is not on the device yet cannot be forgotten.
        file.sync_all()?;
        rustix::fs::fadvise(&file, 0, None, rustix::fs::Advice::DontNeed)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests;

//! The device: marks for what was written and what a sync covered, and the rules for using it.
//!
//! 1. A sync covers what was written when it began.
//! 2. One group at a time: a second one that begins is a failure of the model.
//! 3. After a failed write or sync nobody knows what the medium holds. Later syncs succeed and cover
//!    nothing, as with caches that call their pages clean; whoever writes again has failed.
//! 4. The durable sequence never falls.

use crate::engine::Item;
use blockyard_core::sync::atomic::{AtomicBool, AtomicU32, Ordering::SeqCst};

/// What the device reports.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Io {
    /// A write failed.
    Write,
    /// A sync failed.
    Sync,
}

/// What goes wrong, once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// Nothing.
    None,
    /// The first write fails.
    Write,
    /// The first sync fails.
    Sync,
    /// The first write panics with [`DEVICE_PANIC`].
    Panic,
}

/// What the device says when it panics.
pub const DEVICE_PANIC: &str = "the device panicked";

/// Where a commit went.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// The number of its group, from 0.
    pub group: u32,
    /// Its own number, from 1.
    pub sequence: u32,
}

/// A device with room for 32 items.
#[derive(Debug)]
pub struct Medium {
    trouble: Trouble,
    failed: AtomicBool,
    written: AtomicU32,
    synced: AtomicU32,
    /// Twice the number of groups that ended, and one while a group is being written.
    groups: AtomicU32,
    sequence: AtomicU32,
    durable: AtomicU32,
}

/// A group that is being written.
#[derive(Debug)]
pub struct Writing<'a> {
    medium: &'a Medium,
    group: u32,
    last: u32,
}

impl Medium {
    /// An empty one.
    #[must_use]
    pub fn new(trouble: Trouble) -> Self {
        Self {
            trouble,
            failed: AtomicBool::new(false),
            written: AtomicU32::new(0),
            synced: AtomicU32::new(0),
            groups: AtomicU32::new(0),
            sequence: AtomicU32::new(0),
            durable: AtomicU32::new(0),
        }
    }

    /// Begins to write a group.
    ///
    /// # Panics
    /// If another one is being written: "two flushes overlap".
    pub fn begin(&self) -> Writing<'_> {
        let groups = self.groups.fetch_add(1, SeqCst);
        assert!(groups.is_multiple_of(2), "two flushes overlap");
        Writing { medium: self, group: groups / 2, last: 0 }
    }

    /// The number that a group will have which begins after this call.
    pub fn next_group(&self) -> u32 {
        self.groups.load(SeqCst).div_ceil(2)
    }

    /// Whether the item was written.
    pub fn is_written(&self, item: Item) -> bool {
        self.written.load(SeqCst) & bit(item) != 0
    }

    /// Whether a sync that began after the item was written has succeeded.
    pub fn is_synced(&self, item: Item) -> bool {
        self.synced.load(SeqCst) & bit(item) != 0
    }

    /// Raises the durable sequence.
    ///
    /// # Panics
    /// If it falls: "the durable sequence fell".
    pub fn publish(&self, sequence: u32) {
        let before = self.durable.swap(sequence, SeqCst);
        assert!(before <= sequence, "the durable sequence fell from {before} to {sequence}");
    }

    fn fails(&self, trouble: Trouble) -> bool {
        let fails = self.trouble == trouble && !self.failed.load(SeqCst);
        if fails {
            self.failed.store(true, SeqCst);
        }
        fails
    }
}

impl Writing<'_> {
    /// Writes one item.
    ///
    /// # Errors
    /// If the device fails.
    ///
    /// # Panics
    /// If the device panics, or failed before: "the medium was written to after it failed".
    pub fn write(&mut self, item: Item) -> Result<Place, Io> {
        let medium = self.medium;
        if medium.fails(Trouble::Write) {
            return Err(Io::Write);
        }
        assert!(!medium.fails(Trouble::Panic), "{DEVICE_PANIC}");
        // A medium that cannot fail needs no look, and the model no further step.
        let failed = medium.trouble != Trouble::None && medium.failed.load(SeqCst);
        assert!(!failed, "the medium was written to after it failed");
        medium.written.fetch_or(bit(item), SeqCst);
        self.last = medium.sequence.fetch_add(1, SeqCst) + 1;
        Ok(Place { group: self.group, sequence: self.last })
    }

    /// Makes durable what was written before.
    ///
    /// # Errors
    /// If the device fails.
    pub fn sync(&self) -> Result<(), Io> {
        let medium = self.medium;
        if medium.fails(Trouble::Sync) {
            return Err(Io::Sync);
        }
        if medium.trouble == Trouble::None || !medium.failed.load(SeqCst) {
            let covered = medium.written.load(SeqCst);
            medium.synced.fetch_or(covered, SeqCst);
        }
        Ok(())
    }

    /// The last commit that was written.
    #[must_use]
    pub fn last(&self) -> u32 {
        self.last
    }
}

impl Drop for Writing<'_> {
    fn drop(&mut self) {
        self.medium.groups.fetch_add(1, SeqCst);
    }
}

fn bit(item: Item) -> u32 {
    1 << item
}

//! Figures of a store.

use crate::error::{Error, Result};
use crate::inner::Inner;
use crate::read;
use blockyard_core::Sequence;
use blockyard_core::overlay::Value;
use blockyard_core::store::Recovery;
use std::sync::atomic::Ordering;

/// Figures of a store as of one moment. Counts begin when the store was opened.
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct Stats {
    /// Length of the file in bytes.
    pub file_bytes: u64,
    /// Page size in bytes.
    pub page_size: u64,
    /// Bytes in use: registry, blocks, superblocks, journal, and the free map, as of the last
    /// checkpoint.
    pub used_bytes: u64,
    /// Bytes of the file that are free, as of the last checkpoint.
    pub free_bytes: u64,
    /// Share of the free space that is not in its largest run: 0 is one run.
    pub fragmentation: f64,
    /// Number of blocks.
    pub blocks: u64,
    /// Sum of the blocks' lengths in bytes.
    pub value_bytes: u64,
    /// Changes committed and not yet folded into the registry.
    pub dirty: u64,
    /// Length of the journal in bytes.
    pub journal_bytes: u64,
    /// Bytes of the journal in use.
    pub journal_used: u64,
    /// Levels of the registry tree.
    pub height: u32,
    /// The last commit.
    pub sequence: Sequence,
    /// The last commit known to be durable.
    pub durable_sequence: Sequence,
    /// Syncs.
    pub syncs: u64,
    /// Writes.
    pub writes: u64,
    /// Bytes written.
    pub bytes_written: u64,
    /// Reads.
    pub reads: u64,
    /// Bytes read.
    pub bytes_read: u64,
    /// Checkpoints.
    pub checkpoints: u64,
    /// Pages and extents that the cache had, about: threads may lose each other's counts.
    pub cache_hits: u64,
    /// Those that it had not.
    pub cache_misses: u64,
    /// Bytes in the cache.
    pub cache_bytes: u64,
    /// Fresh writes that the background verifier has read back.
    pub verified_writes: u64,
    /// Those that did not read back.
    pub verify_failures: u64,
    /// Journal records replayed when the store was opened.
    pub replayed_records: u64,
    /// Whether an earlier write or sync failed.
    pub poisoned: bool,
}

impl Stats {
    pub(crate) fn of(inner: &Inner, recovery: &Recovery) -> Result<Self> {
        let mut locked = inner.engine()?;
        let engine = &mut locked.engine;
        let free = engine.free_space().map_err(|error| Error::read(error, None))?;
        let superblock = *engine.superblock();
        let counters = engine.counters();
        let geometry = inner.geometry;
        let page = geometry.page_size() as u64;
        let (hits, misses) = inner.source.cache.hits_and_misses();
        let view = inner.view()?;
        let (mut blocks, mut value_bytes) = (superblock.blocks.get(), superblock.bytes.get());
        let mut after: Option<Vec<u8>> = None;
        while let Some(slot) = view.next_pending(after.as_deref(), false) {
            let stored = read::locate_stored(&inner.source, &view, slot.name())?;
            if let Some(stored) = stored {
                blocks = blocks.saturating_sub(1);
                value_bytes = value_bytes.saturating_sub(stored.length());
            }
            if slot.entry.value != Value::Deleted {
                blocks = blocks.saturating_add(1);
                value_bytes = value_bytes.saturating_add(slot.entry.length);
            }
            after = Some(slot.name().to_vec());
        }
        let file_bytes = engine.pages() * page;
        let free_bytes = free.pages * page;
        Ok(Self {
            file_bytes,
            page_size: page,
            used_bytes: file_bytes.saturating_sub(free_bytes),
            free_bytes,
            fragmentation: if free.pages == 0 { 0.0 } else { 1.0 - free.largest as f64 / free.pages as f64 },
            blocks,
            value_bytes,
            dirty: inner.shared.pending() as u64,
            journal_bytes: geometry.journal_length(),
            journal_used: engine.journal_used(),
            height: superblock.height.get(),
            sequence: engine.sequence(),
            durable_sequence: engine.durable_sequence(),
            syncs: counters.syncs,
            writes: counters.writes,
            bytes_written: counters.bytes_written,
            reads: counters.reads + inner.source.reads.load(Ordering::Relaxed),
            bytes_read: counters.bytes_read + inner.source.bytes_read.load(Ordering::Relaxed),
            checkpoints: counters.checkpoints,
            cache_hits: hits,
            cache_misses: misses,
            cache_bytes: inner.source.cache.bytes(),
            verified_writes: inner.fresh.verified.load(Ordering::Relaxed),
            verify_failures: inner.fresh.failed.load(Ordering::Relaxed),
            replayed_records: recovery.records,
            poisoned: engine.is_poisoned(),
        })
    }
}

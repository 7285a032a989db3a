//! How to create and open a store.

use crate::Durability;
use std::time::Duration;

/// Options of a store; see each method for its default.
#[derive(Clone, Debug)]
pub struct OpenOptions {
    pub(crate) page_size: u32,
    pub(crate) journal_size: u64,
    pub(crate) chunk_size: u32,
    pub(crate) create: bool,
    pub(crate) create_new: bool,
    pub(crate) read_only: bool,
    pub(crate) salvage: bool,
    pub(crate) durability: Durability,
    pub(crate) cache_bytes: usize,
    pub(crate) growth_step: u64,
    pub(crate) carry_max: u64,
    pub(crate) queue_limit: usize,
    pub(crate) flush_operations: usize,
    pub(crate) flush_interval: Duration,
    pub(crate) verify_writes: bool,
    pub(crate) pooled_buffers: bool,
    pub(crate) unbatched_registry: bool,
}

impl Default for OpenOptions {
    fn default() -> Self {
        Self {
            page_size: 4096,
            journal_size: 8 << 20,
            chunk_size: 1 << 20,
            create: false,
            create_new: false,
            read_only: false,
            salvage: false,
            durability: Durability::Durable,
            cache_bytes: 32 << 20,
            growth_step: 10 << 20,
            carry_max: 64 << 10,
            queue_limit: 1000,
            flush_operations: 100,
            flush_interval: Duration::from_millis(100),
            verify_writes: false,
            pooled_buffers: true,
            unbatched_registry: false,
        }
    }
}

impl OpenOptions {
    /// The defaults: open an existing file for reading and writing, commits durable.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Page size in bytes of a new file: a power of two, 512 to 65,536. Default 4,096.
    #[must_use]
    pub const fn page_size(mut self, bytes: u32) -> Self {
        self.page_size = bytes;
        self
    }

    /// Length of the journal of a new file in bytes: whole pages, at most 1 GiB. A larger one means
    /// fewer checkpoints and a longer recovery. Default 8 MiB.
    #[must_use]
    pub const fn journal_size(mut self, bytes: u64) -> Self {
        self.journal_size = bytes;
        self
    }

    /// Bytes of a chunk of a large block in a new file: whole pages, at most 64 MiB. Default 1 MiB.
    #[must_use]
    pub const fn chunk_size(mut self, bytes: u32) -> Self {
        self.chunk_size = bytes;
        self
    }

    /// Create the file if it does not exist, or if it holds nothing but zeros, as a creation that was cut
    /// short leaves it. Default false.
    #[must_use]
    pub const fn create(mut self, create: bool) -> Self {
        self.create = create;
        self
    }

    /// Create the file, and fail if it exists. Default false.
    #[must_use]
    pub const fn create_new(mut self, create_new: bool) -> Self {
        self.create_new = create_new;
        self
    }

    /// Open for reading only. Any number of read-only openers share a file; a writer has it alone.
    /// Default false.
    #[must_use]
    pub const fn read_only(mut self, read_only: bool) -> Self {
        self.read_only = read_only;
        self
    }

    /// With `read_only`: where the journal is damaged below what was durable, show the state before
    /// the damage instead of refusing to open. Default false.
    #[must_use]
    pub const fn salvage(mut self, salvage: bool) -> Self {
        self.salvage = salvage;
        self
    }

    /// What `put`, `delete`, `rename` and `commit` survive unless told otherwise. Default durable.
    #[must_use]
    pub const fn durability(mut self, durability: Durability) -> Self {
        self.durability = durability;
        self
    }

    /// Bytes of registry pages and blocks kept in memory. Default 32 MiB. Besides them, an eighth as much or 8 MiB at
    /// most is kept of the memory of batches, and half of that of changes one by one, for the next ones.
    #[must_use]
    pub const fn cache_bytes(mut self, bytes: usize) -> Self {
        self.cache_bytes = bytes;
        self
    }

    /// The most bytes by which the file grows: it grows by a 16th of its length, 64 pages at least, unless that
    /// is more. Default 10 MiB.
    #[must_use]
    pub const fn growth_step(mut self, bytes: u64) -> Self {
        self.growth_step = bytes;
        self
    }

    /// Commits that are written together with at most so many bytes of values carry them in the journal,
    /// in one contiguous write; a checkpoint moves them home. Larger groups of values of a quarter of that at
    /// most do so too, up to a quarter of the journal, where free pages lie scattered. Default 64 KiB.
    #[must_use]
    pub const fn carry_max(mut self, bytes: u64) -> Self {
        self.carry_max = bytes;
        self
    }

    /// Commits that may wait at once, at most 1,024; more block until there is room. Default 1,000.
    #[must_use]
    pub const fn queue_limit(mut self, commits: usize) -> Self {
        self.queue_limit = commits;
        self
    }

    /// Buffered operations after which they are made durable in the background. Default 100.
    #[must_use]
    pub const fn flush_operations(mut self, operations: usize) -> Self {
        self.flush_operations = operations;
        self
    }

    /// Time after which buffered operations are made durable in the background. Default 100 ms.
    #[must_use]
    pub const fn flush_interval(mut self, interval: Duration) -> Self {
        self.flush_interval = interval;
        self
    }

    /// Read fresh writes back in the background and compare their digests; what is wrong shows in
    /// the statistics and as a `tracing` error. Default false.
    #[must_use]
    pub const fn verify_writes(mut self, verify: bool) -> Self {
        self.verify_writes = verify;
        self
    }

    /// Keep the memory of changes for those that follow: of batches 8 MiB or an eighth of the cache at most, of changes one
    /// by one half as much. Without, less is held between them, and each asks the heap anew. Default true.
    #[must_use]
    pub const fn pooled_buffers(mut self, pooled: bool) -> Self {
        self.pooled_buffers = pooled;
        self
    }

    /// Behave as the engine that Blockyard replaces did: flush the whole registry, sync, and read
    /// the data back at every write. Slow; for comparison only. Default false.
    #[must_use]
    pub const fn emulate_unbatched_registry(mut self, emulate: bool) -> Self {
        self.unbatched_registry = emulate;
        self
    }
}

//! The store: commits, checkpoints, recovery and reads over one device.
//!
//! 1. A page whose bytes can be read through the newest durable superblock, or through a journal record
//!    behind it, is never written with other bytes. (The pages set aside for carried values hold
//!    nothing until a checkpoint writes them; the record holds the bytes.)
//! 2. Durable is answered only after a sync that began after the commit's last byte was written.
//! 3. A commit is all or nothing; after recovery the store equals commits 1 to S for some S not
//!    below the last one answered durable.
//! 4. Nothing refers to a length of the device that a sync has not made durable.
//! 5. After a failed write, grow or sync nothing is written any more.
//!
//! The life of a durable commit:
//!
//! | step | memory | file |
//! |---|---|---|
//! | batch filled | names, values, digests (of a long batch the rest after it is placed) | – |
//! | placed | all larger values have pages | those of a big batch, free in every durable map |
//! | recorded | sequence assigned, chain moved on | one record in the journal |
//! | **synced** | durable sequence moved on | **the commit is durable** (`Store::barrier`) |
//! | shown | entries in the overlay's active layer | – |
//! | checkpoint begun | the layer is frozen | – |
//! | folded, a leaf a step | new root, next free map | fresh registry pages, home pages of carried values, map slots |
//! | synced, superblock, synced | frozen layer dropped, pages released | superblock refers to the new root; the record is past |

mod bounds;
mod checkpoint;
mod commit;
mod host;
mod one;
mod open;
mod place;
mod read;
mod reader;
mod recover;
mod rename;
mod replay;
mod room;
mod space;
mod stream;
mod verify;

pub use crate::device::io::Counters;
pub use bounds::Bound;
pub use checkpoint::Progress;
pub use open::{CreateOptions, OpenOptions};
pub use read::{BlockInfo, BlockLocation, record_info};
pub use reader::{BlockReader, StreamError};
pub use recover::Recovery;
pub use space::Memory;
pub use stream::{BlockWriter, StagedChunk};
pub use verify::{FreeSpace, Problem, Verification, VerifyReport, VerifySink};

use crate::device::{BlockDevice, Io};
use crate::failure::Failure;
use crate::format::{Geometry, SuperblockFacts};
use crate::freemap::FreeMap;
use crate::ids::Sequence;
use crate::journal::{Journal, RingWindow};
use crate::overlay::{Overlay, TreeRoot};
use crate::tree::Fold;

/// What a commit survives once it is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Durability {
    /// A crash of the process: the device was told to write it. A later sync, checkpoint or durable
    /// commit makes it durable.
    Buffered,
    /// A power cut: a sync that began after its last byte was written has returned.
    Durable,
}

/// Above this there is no commit.
const NOBODY: Sequence = Sequence(u64::MAX);

/// What a checkpoint under way folds in.
#[derive(Debug)]
struct Checkpoint {
    fold: Fold,
    /// The journal's head and chain, and the sequence, when the layer was frozen.
    head: u64,
    chain: crate::Digest,
    sequence: Sequence,
    /// Pages of the registry written less those freed.
    tree_pages: isize,
    /// Blocks of commits above this are copied to fresh pages: by recovery those that no sync is known to cover, else none.
    relocate_above: Sequence,
    /// Free pages that such copies must leave ahead.
    floor: usize,
    /// Pages that may still be copied so.
    copies: usize,
}

/// What is committed and not yet folded in.
#[derive(Clone, Copy, Debug, Default)]
struct Pending {
    /// Names.
    entries: usize,
    /// Bytes of their records in the registry, at most.
    records: usize,
    /// Chunks that they list.
    chunks: u32,
    /// Bytes of the longest name among them.
    longest_name: u16,
    /// Entries whose pages were another name's in the layers below.
    inherited: usize,
    /// The operation before moved a name away whose pages lie in the layers below: the next one takes
    /// them over.
    inherits: bool,
}

/// A store over device `D`, with changes not yet folded in kept by `O`, working in the memory `B`.
///
/// All methods take `&mut self`: what may run beside a commit is the business of the shell, which
/// reads through [`crate::tree`] and its own view of the overlay.
///
/// On a chip the fields lie as they stand here: what the steps look at most comes first, for an instruction of 16 bits reaches 124
/// bytes, and 31 for a byte.
#[cfg_attr(not(feature = "alloc"), repr(C))]
#[derive(Debug)]
pub struct Store<D: BlockDevice, O, B> {
    geometry: Geometry,
    read_only: bool,
    /// The journal ends in a commit that a sync covers and no record says so.
    unsealed: bool,
    overlay: O,
    buffer: B,
    /// Pages by which the device grows.
    growth: usize,
    /// Durable length of the device in pages.
    pages: u64,
    journal: Journal,
    sequence: Sequence,
    durable: Sequence,
    /// What the transfer buffer holds of the journal while a recovery reads it.
    ring_window: RingWindow,
    memory: Memory,
    active: Pending,
    frozen: Pending,
    /// Groups for which a device grows that has too few pages for one.
    groups_ahead: usize,
    /// Batches with at most so many bytes of values carry them in the journal.
    carry_max: usize,
    scatter: place::Scatter,
    /// The newest durable superblock.
    superblock: SuperblockFacts,
    io: Io<D>,
    map: FreeMap,
    checkpoint: Option<Checkpoint>,
}

impl<D: BlockDevice, O: Overlay, B: AsMut<[u8]>> Store<D, O, B> {
    /// The sizes that the file was created with.
    pub const fn geometry(&self) -> &Geometry {
        &self.geometry
    }

    /// Random identity of the file; not for those who write values and are not trusted, see
    /// [`CreateOptions::file_id`].
    pub const fn file_id(&self) -> [u8; 16] {
        self.superblock.file_id
    }

    /// The last commit.
    pub const fn sequence(&self) -> Sequence {
        self.sequence
    }

    /// The last commit known to be durable.
    pub const fn durable_sequence(&self) -> Sequence {
        self.durable
    }

    /// What was asked of the device since the store was opened.
    pub const fn counters(&self) -> Counters {
        self.io.asked.shown()
    }

    /// Whether an earlier write, grow or sync failed.
    pub const fn is_poisoned(&self) -> bool {
        self.io.poisoned
    }

    /// The overlay.
    pub const fn overlay(&self) -> &O {
        &self.overlay
    }

    /// The device underneath.
    pub const fn device(&self) -> &D {
        &self.io.device
    }

    /// The newest durable superblock.
    pub const fn superblock(&self) -> &SuperblockFacts {
        &self.superblock
    }

    /// Root of the registry as of the last checkpoint.
    pub fn root(&self) -> TreeRoot {
        TreeRoot {
            sequence: Sequence(self.superblock.sequence.get()),
            page: crate::PageIndex(self.superblock.root_page.get()),
            digest: crate::Digest(self.superblock.root_digest),
            height: self.superblock.height.get(),
        }
    }

    /// Durable length of the file in pages.
    pub const fn pages(&self) -> u64 {
        self.pages
    }

    /// Bytes of the journal that commits since the last checkpoint take up.
    pub const fn journal_used(&self) -> u64 {
        self.journal.head - self.tail()
    }

    /// Where recovery would begin in the journal.
    const fn tail(&self) -> u64 {
        self.superblock.journal_position.get()
    }

    /// Bytes that the journal's next record may have.
    fn journal_room(&self) -> u64 {
        self.journal.room(self.tail(), &self.geometry)
    }

    /// Names whose changes are committed and not yet folded in; one that changed since a checkpoint began counts twice.
    pub const fn pending(&self) -> u64 {
        (self.active.entries + self.frozen.entries) as u64
    }

    /// Gives the device back, without writing anything.
    pub fn into_device(self) -> D {
        self.io.device
    }

    /// Takes the store apart without writing anything.
    pub fn into_parts(self) -> (D, O, B) {
        (self.io.device, self.overlay, self.buffer)
    }

    /// Whether the store can be written.
    fn ready(&self) -> Result<(), Failure> {
        if self.read_only {
            return Err(Failure::ReadOnly);
        }
        if self.io.poisoned { Err(Failure::Poisoned) } else { Ok(()) }
    }

    /// The sync that makes commits durable: everything written so far survives a power cut when
    /// this returns Ok. **This is the line where a commit becomes durable.**
    fn barrier(&mut self) -> Result<(), Failure> {
        self.io.sync()?;
        self.unsealed |= self.durable < self.sequence;
        self.durable = self.sequence;
        self.journal.leave_unit(&self.geometry);
        Ok(())
    }
}

//! Checkpoints: folding the overlay into the registry and moving the superblock on.

use super::host::Host;
use super::space;
use super::{Checkpoint, NOBODY, Pending, Store};
use crate::bytes;
use crate::device::BlockDevice;
use crate::digest::Digest;
use crate::error::WriteError;
use crate::failure::Failure;
use crate::format::{SLOT_STRIDE, Superblock, U32, U64};
use crate::freemap::MapSpace;
use crate::ids::Sequence;
use crate::overlay::{Overlay, TreeRoot};
use crate::tree::{Balance, Child, Fold};
use zerocopy::FromBytes as _;

/// How far a checkpoint is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// There is nothing to fold in.
    Idle,
    /// More steps are needed.
    Working,
    /// The checkpoint is durable.
    Done,
}

/// What the next superblock needs of a checkpoint, without the fold: that is large for a stack.
struct Folded {
    head: u64,
    chain: Digest,
    sequence: Sequence,
    tree_pages: isize,
    relocate_above: Sequence,
    balance: Balance,
}

impl Checkpoint {
    const fn folded(&self) -> Folded {
        let Self { head, chain, sequence, tree_pages, relocate_above, .. } = *self;
        Folded { head, chain, sequence, tree_pages, relocate_above, balance: self.fold.balance }
    }
}

/// Changes a count of the superblock.
#[inline(never)]
fn add(count: &mut U64, by: i64) {
    *count = U64::new(count.get().saturating_add_signed(by));
}

// Steps that have much on their stack are kept out of those that call them: what is done with is not under
// what comes next.
impl<D: BlockDevice, O: Overlay, B: AsMut<[u8]>> Store<D, O, B> {
    /// Folds everything committed so far into the registry; afterwards it is durable and the journal
    /// is empty.
    ///
    /// # Errors
    /// [`WriteError::Full`] and [`WriteError::Corrupted`] leave the store as it was;
    /// [`WriteError::Device`] after a failed write or sync poisons it.
    pub fn checkpoint(&mut self) -> Result<(), WriteError<D::Error>> {
        self.fold_all().map_err(|failure| self.io.write_error(failure))
    }

    pub(super) fn fold_all(&mut self) -> Result<(), Failure> {
        while self.advance()? != Progress::Idle {}
        Ok(())
    }

    /// Whether a checkpoint is under way or has become advisable: the journal is half full, or more of the
    /// file's free pages wait for a checkpoint than are at hand.
    pub fn wants_checkpoint(&self) -> bool {
        let journal_fills = 2 * self.journal_used() > self.geometry.journal_length();
        self.checkpoint.is_some() || journal_fills || self.wants_pages()
    }

    /// Whether a checkpoint is called for if nothing else is to be done, so that the next commits find room: one is under
    /// way, the journal is a quarter full, or pages could be had back.
    pub fn welcomes_checkpoint(&self) -> bool {
        let journal_fills = 4 * self.journal_used() > self.geometry.journal_length();
        self.checkpoint.is_some() || journal_fills || self.misses_pages()
    }

    /// Whether a checkpoint is under way that may let commits go first: free pages are left, and so is journal. Of the
    /// room that the journal had when it began, commits may take three eighths before it has to have come
    /// anywhere; from there on it has to keep pace, so as to be done when they have taken seven eighths.
    pub fn checkpoint_has_time(&self) -> bool {
        let Some(checkpoint) = &self.checkpoint else { return false };
        let since = u128::from(self.journal.head - checkpoint.head);
        let before = checkpoint.head - self.tail();
        let room = u128::from(self.geometry.journal_length().saturating_sub(before));
        let all = self.frozen.entries.max(1) as u128;
        // That there is nothing more to fold in counts as one more.
        let folded = (checkpoint.fold.folded as u128).min(all);
        let pressing = (2 * since).saturating_sub(3 * room / 4);
        pressing * all <= room * folded && !self.is_short_of_pages()
    }

    /// Advances a checkpoint by one step, beginning one if there is something to fold in. A step
    /// reads and merges one leaf of the registry with all changes that fall under it (plus a neighbour if
    /// it is nearly empty), or
    /// finishes: the changed map pages, a sync, two superblock copies, a sync. Commits may come
    /// between steps; they go into the next checkpoint.
    ///
    /// # Errors
    /// As [`checkpoint`](Self::checkpoint). After [`WriteError::Full`] the next call starts over.
    pub fn checkpoint_step(&mut self) -> Result<Progress, WriteError<D::Error>> {
        self.advance().map_err(|failure| self.io.write_error(failure))
    }

    pub(super) fn advance(&mut self) -> Result<Progress, Failure> {
        self.ready()?;
        if self.checkpoint.is_none() {
            if self.active.entries == 0 {
                return Ok(Progress::Idle);
            }
            self.begin_checkpoint(NOBODY);
        }
        let mut root = (Child::default(), 0);
        let mut result = self.fold_step(&mut root);
        if let Ok(true) = result {
            result = self.finish_checkpoint(&root).map(|()| true);
        }
        match result {
            Ok(done) => Ok(if done { Progress::Done } else { Progress::Working }),
            Err(error) => {
                self.start_over();
                Err(error)
            }
        }
    }

    /// A step has failed: the next one is the first again.
    #[cold]
    #[inline(never)]
    pub(super) fn start_over(&mut self) {
        let height = self.superblock.height.get();
        if let Some(checkpoint) = &mut self.checkpoint {
            checkpoint.fold = Fold::new(height);
            checkpoint.tree_pages = 0;
        }
        self.map.abandon(&self.superblock.map_digest, self.pages, &self.geometry);
    }

    /// Freezes the active layer.
    #[inline(never)]
    pub(super) fn begin_checkpoint(&mut self, relocate_above: Sequence) {
        self.overlay.freeze();
        let floor = self.reserve(&super::room::Demand::default());
        self.frozen = core::mem::take(&mut self.active);
        self.map.begin(&self.superblock.map_digest, self.pages);
        self.checkpoint = Some(Checkpoint {
            fold: Fold::new(self.superblock.height.get()),
            head: self.journal.head,
            chain: self.journal.chain,
            sequence: self.sequence,
            tree_pages: 0,
            relocate_above,
            floor,
            copies: bytes::short(self.pages),
        });
    }

    #[inline(never)]
    fn fold_step(&mut self, root: &mut (Child, u32)) -> Result<bool, Failure> {
        let Some(checkpoint) = &mut self.checkpoint else { return Ok(false) };
        // It stays where it is, for each copy would be on the stack of all that follows.
        let mut space = space::divide(self.buffer.as_mut(), &self.memory, &self.geometry);
        let Some(space) = &mut space else { return Err(Failure::WorkspaceTooSmall) };
        space.prepare_fold();
        let mut host = Host {
            io: &mut self.io,
            overlay: &mut self.overlay,
            map: &mut self.map,
            geometry: &self.geometry,
            superblock: &self.superblock,
            windows: space.windows,
            transfer: space.transfer,
            pages: &mut self.pages,
            growth: self.growth as u64,
            tree_pages: checkpoint.tree_pages,
            relocate_above: checkpoint.relocate_above,
            max_pages: self.memory.max_pages(&self.geometry),
            floor: checkpoint.floor,
            copies: checkpoint.copies,
            used_spare: false,
        };
        let result = checkpoint.fold.step(&mut host, &mut space.fold, root);
        (checkpoint.tree_pages, checkpoint.copies) = (host.tree_pages, host.copies);
        self.io.start_sync_of_much();
        result
    }

    /// Makes the folded tree the durable one.
    #[inline(never)]
    fn finish_checkpoint(&mut self, &(root, height): &(Child, u32)) -> Result<(), Failure> {
        let windows = space::windows(self.buffer.as_mut(), &self.memory, &self.geometry);
        let windows = windows.ok_or(Failure::WorkspaceTooSmall)?;
        let mut maps = MapSpace {
            device: &mut self.io,
            geometry: &self.geometry,
            top: &self.superblock.map_digest,
            windows,
        };
        let top = self.map.flush(&mut maps)?;
        // Everything that the superblock will refer to is on the medium before it is written.
        self.barrier()?;
        let Some(checkpoint) = self.checkpoint.as_ref().map(Checkpoint::folded) else { return Ok(()) };
        let (pages, cursor, longest) = (self.pages, self.map.mark(), self.frozen.longest_name);
        let next = self.compose_superblock()?;
        next.generation = U64::new(next.generation.get() + 1);
        next.sequence = U64::new(checkpoint.sequence.0);
        next.pages = U64::new(pages);
        next.journal_position = U64::new(checkpoint.head);
        next.chain = checkpoint.chain.0;
        next.root_page = U64::new(root.page.0);
        next.root_digest = root.digest.0;
        next.height = U32::new(height);
        next.map_level = U32::new(top.level);
        next.map_digest = top.at.digest.0;
        next.map_slot = U32::new(top.at.slot);
        next.used_pages = U64::new(top.at.used);
        next.cursor = U64::new(cursor);
        let balance = checkpoint.balance;
        add(&mut next.blocks, balance.blocks as i64);
        add(&mut next.bytes, balance.bytes);
        add(&mut next.tree_pages, checkpoint.tree_pages as i64);
        next.longest_name = U32::new(next.longest_name.get().max(longest.into()));
        if checkpoint.relocate_above != NOBODY {
            next.epoch = U64::new(next.epoch.get() + 1);
        }
        self.write_superblock(&[0, 1])?;
        self.io.sync()?;
        self.adopt_superblock();
        self.checkpoint = None;
        self.map.finish(self.pages, &self.geometry);
        if self.active.entries == 0 {
            self.map.restart(self.pages, &self.geometry);
        }
        self.frozen = Pending::default();
        self.unsealed &= self.durable > checkpoint.sequence;
        self.io.asked.checkpoint();
        let root = TreeRoot { sequence: checkpoint.sequence, page: root.page, digest: root.digest, height };
        self.overlay.folded(root);
        Ok(())
    }

    /// Lays a copy of the superblock out where nodes are composed, where it can be changed.
    pub(super) fn compose_superblock(&mut self) -> Result<&mut Superblock, Failure> {
        let transfer = space::transfer(self.buffer.as_mut(), &self.memory, &self.geometry);
        let next = transfer
            .and_then(|transfer| self.superblock.composed(transfer.get_mut(..self.geometry.page_size())?));
        next.ok_or(Failure::WorkspaceTooSmall)
    }

    /// Writes copies of the superblock that was composed into the slots of its generation.
    #[inline(never)]
    pub(super) fn write_superblock(&mut self, copies: &[u32]) -> Result<(), Failure> {
        let size = self.geometry.slot_size();
        let transfer = space::transfer(self.buffer.as_mut(), &self.memory, &self.geometry);
        let page = transfer.and_then(|transfer| transfer.get_mut(..size));
        let page = page.ok_or(Failure::WorkspaceTooSmall)?;
        for &copy in copies {
            let Ok((next, _)) = Superblock::mut_from_prefix(page) else {
                return Err(Failure::WorkspaceTooSmall);
            };
            let slot = next.slot_of(copy);
            next.seal(slot);
            let offset = u64::from(slot) * SLOT_STRIDE;
            self.io.write(offset, page)?;
        }
        Ok(())
    }

    /// The superblock that was composed is durable now.
    pub(super) fn adopt_superblock(&mut self) {
        let transfer = space::transfer(self.buffer.as_mut(), &self.memory, &self.geometry);
        let next = transfer.and_then(|transfer| Superblock::ref_from_prefix(transfer).ok());
        if let Some(facts) = next.and_then(|(next, _)| next.facts()) {
            self.superblock = *facts;
        }
    }

    /// The start of a file's chain of records.
    pub(super) fn first_chain(file_id: &[u8; 16]) -> Digest {
        Digest::of(file_id)
    }
}

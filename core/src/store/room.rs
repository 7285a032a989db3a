//! Making room for a commit: in the overlay, the journal and the file.

#[cfg(all(test, not(loom)))]
mod tests;

use super::{Durability, NOBODY, Store};
use crate::batch::Operation;
use crate::bytes::short;
use crate::changes::Changes;
use crate::device::BlockDevice;
use crate::failure::{Failure, Kept};
use crate::format::{HeadValue, InternalCell, LeafCell, NodeHeader, OpHeader, RecordHeader, op_kind};
use crate::ids::{Extent, PageIndex};
use crate::overlay::{Entry, Overlay, Value};

/// A device grows by all the pages that a group needs, those at hand included, if these are no more.
const MOST_ANEW: usize = 1024;

/// What a group of batches will take.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Demand {
    pub(super) operations: usize,
    /// Bytes in the journal.
    meta: usize,
    /// Bytes of the registry's records, at most.
    records: usize,
    carried: usize,
    pages: usize,
    /// The group only deletes.
    deletes_only: bool,
    /// Bytes of the longest value or list that a recovery would have to hold in memory.
    longest_value: usize,
    longest_list: usize,
    longest_name: usize,
}

impl Demand {
    /// Takes in what an operation will take besides the bytes of its batch.
    fn add(&mut self, operation: &Operation<'_>) {
        let (head, name) = (operation.head, operation.name.len());
        self.deletes_only &= head.kind == op_kind::DELETE;
        self.longest_name = self.longest_name.max(name);
        self.longest_list = self.longest_list.max(operation.body.len());
        self.records = self.records.saturating_add(record_bytes(head, name));
        if head.kind == op_kind::CARRIED {
            self.longest_value = self.longest_value.max(short(head.length.get()));
        }
    }
}

/// How a group goes into the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Path {
    /// One journal record that holds the values.
    Carry,
    /// Values to pages of their own, a journal record.
    Place,
    /// One of these two, by how the pages lie that the values get.
    Either,
    /// Values to pages of their own, a checkpoint.
    Checkpoint,
}

impl<D: BlockDevice, O: Overlay, B: AsMut<[u8]>> Store<D, O, B> {
    /// What a group will take, put into `demand`; refuses one that a recovery would not take in again.
    #[inline(never)]
    pub(super) fn demand<C: Changes>(&self, batches: &[C], demand: &mut Demand) -> Result<(), Failure> {
        demand.deletes_only = true;
        for batch in batches {
            demand.operations += batch.count() as usize;
            demand.meta += batch.listed() as usize;
            demand.carried += batch.carried() as usize;
            demand.pages += short(self.geometry.pages_for(batch.values().len() as u64));
            let whole = batch.all(|operation| {
                demand.add(operation);
                C::SOUND || self.is_sound(operation)
            });
            if !whole || !batch.fits(&self.geometry) {
                return Err(Failure::BatchUnfit);
            }
        }
        Ok(())
    }

    /// Whether an operation of a batch may stand in a record: see [`each_operation`](Self::each_operation).
    fn is_sound(&self, operation: &Operation<'_>) -> bool {
        let (length, chunk) = (operation.head.length.get(), u64::from(operation.head.chunk_size.get()));
        match operation.head.kind {
            op_kind::INLINE => length <= self.geometry.max_inline() as u64,
            op_kind::EXTENT => self.may_hold(operation.location(), length),
            op_kind::CHUNKS => {
                let mut rest = length;
                length > 0
                    && self.geometry.pages_for(chunk) * self.geometry.page_size() as u64 == chunk
                    && operation.chunks().iter().all(|found| {
                        let now = rest.min(chunk);
                        rest -= now;
                        self.may_hold(found.page.get(), now)
                    })
            }
            _ => true,
        }
    }

    /// Whether the file has such an extent.
    fn may_hold(&self, page: u64, length: u64) -> bool {
        let extent = Extent::new(PageIndex(page), self.geometry.pages_for(length));
        length <= u64::from(self.geometry.chunk_size())
            && self.geometry.may_hold(extent)
            && extent.end() <= self.pages
    }

    /// How a group goes into the file: None if a checkpoint has to make room in the overlay or the journal first. Refuses what
    /// does not fit although one was made (`folded`).
    #[inline(never)]
    pub(super) fn admit<C: Changes>(
        &mut self,
        demand: &Demand,
        batches: &[C],
        durability: Durability,
        folded: bool,
    ) -> Result<Option<Path>, Failure> {
        let max = self.overlay.max_name();
        if demand.longest_name > max {
            return Err(self.io.fails(Failure::NameTooLong, Kept::Name { length: demand.longest_name, max }));
        }
        if !self.overlay.has_room(demand.operations) {
            return if folded { Err(Failure::BatchTooLarge) } else { Ok(None) };
        }
        if !folded && self.takes_inherited(batches) {
            return Ok(None);
        }
        if !demand.deletes_only && self.height_after(demand) as usize > self.memory.levels {
            let full = self.superblock.height.get() as usize >= self.memory.levels;
            return match folded {
                false => Ok(None),
                true if full => Err(Failure::WorkspaceTooSmall),
                true => Err(Failure::BatchTooLarge),
            };
        }
        // An overlay that keeps bodies takes each from a recovery in one piece.
        let piece = self.memory.staging_bytes(self.geometry.page_size());
        let readable = |length: usize| !O::KEEPS_BODIES || length <= piece;
        let listed = demand.meta.saturating_add(RecordHeader::SIZE);
        let (all, page) = (listed.saturating_add(demand.carried), self.geometry.page_size());
        let (room, most) = (short(self.journal_room()), self.geometry.ring_length());
        let kept = readable(demand.longest_value);
        // Whoever waits for a sync waits least for one contiguous write.
        let small = demand.carried <= self.carry_max && all <= most / 2;
        let carries = kept && small && (durability == Durability::Durable || demand.carried <= page / 2);
        // Many small values cost a write each, unless their pages happen to lie together.
        let many = demand.longest_value <= self.carry_max / 4 && all <= most / 4;
        let may_carry = kept && many && all <= room;
        let (mut path, record) = match (carries, may_carry) {
            (true, _) => (Path::Carry, all),
            (false, true) => (Path::Either, listed),
            (false, false) => (Path::Place, listed),
        };
        let fits = readable(demand.longest_list) && demand.meta <= u32::MAX as usize / 2;
        if !fits || record > room {
            if !folded {
                return Ok(None);
            }
            path = Path::Checkpoint;
        }
        if path == Path::Checkpoint && !O::KEEPS_BODIES {
            return Err(Failure::BatchTooLarge);
        }
        Ok(Some(path))
    }

    /// Whether a name of the group has pages that are still another name's in the durable registry: a
    /// checkpoint must settle whose they are before they are freed, and it must be durable, for a
    /// replay of the journal sees all changes since the last one in one layer.
    #[inline(never)]
    fn takes_inherited<C: Changes>(&self, batches: &[C]) -> bool {
        self.active.inherited + self.frozen.inherited > 0
            && batches.iter().any(|batch| {
                batch.operations().any(|operation| {
                    operation.head.kind != op_kind::MOVE
                        && self.pending_entry(operation.name).is_some_and(|entry| entry.inherited)
                })
            })
    }

    /// Sees to it that after this group a checkpoint still finds the pages it needs.
    #[cfg_attr(not(feature = "alloc"), inline(never))]
    pub(super) fn make_space(&mut self, demand: &Demand) -> Result<(), Failure> {
        let mut last_resort = false;
        for _ in 0..4 {
            let need = self.floor(demand).saturating_add(demand.pages);
            if self.map.at.free >= need {
                return Ok(());
            }
            // What a checkpoint gives back, or need not set aside any more, is worth it before the file grows by a step.
            let stale = self.map.at.ahead.passed >= self.worth_freeing() || self.sets_much_aside(demand);
            if stale && !last_resort && self.pending() > 0 {
                last_resort = true;
                self.fold_all()?;
                continue;
            }
            // A device that cannot grow by all of it may still by what is missing.
            let missing = need - self.map.at.free;
            // Values want to lie together; much that is set aside besides need not.
            let more = need.min(missing.max(demand.pages).max(MOST_ANEW));
            let ahead = demand.pages.saturating_mul(self.groups_ahead).min(self.growth);
            match self.grow(more.max(ahead), missing) {
                Ok(()) => self.map.keep(self.pages),
                Err(Failure::Full) if !last_resort => {
                    last_resort = true;
                    self.new_round()?;
                }
                result => result?,
            }
        }
        Err(Failure::Full)
    }

    /// Grows the device by a step for `need` pages, or by what is `missing` of them.
    #[inline(never)]
    fn grow(&mut self, need: usize, missing: usize) -> Result<(), Failure> {
        self.with_host(NOBODY, |host| match host.grow(need as u64) {
            Err(Failure::Full) => host.grow(missing as u64),
            result => result,
        })
    }

    /// Pages that it is worth a checkpoint to get back: a sixteenth of the file, or of a short one a 64th more, up to what
    /// half a journal carries, so that a burst of commits finds pages without one. (On a chip any other divisor would take
    /// a function of the compiler's.)
    fn worth_freeing(&self) -> usize {
        let sixteenth = short(self.pages / 16);
        sixteenth.max(64).max(sixteenth.saturating_add(short(self.pages / 64)).min(self.journal_pages() / 2))
    }

    fn journal_pages(&self) -> usize {
        short(self.geometry.pages_for(self.geometry.journal_length()))
    }

    /// Whether what is pending has so many pages set aside for its checkpoint that this is better done than the
    /// file made longer for `demand`: an eighth of the file, and twice what the journal takes up; or for new records
    /// half of what it takes up, and twice what they have set aside for themselves.
    fn sets_much_aside(&self, demand: &Demand) -> bool {
        let (journal, eighth) = (self.journal_pages(), short(self.pages / 8));
        let none = Demand::default();
        let records = demand.records.div_ceil(self.geometry.page_size()).saturating_mul(4);
        self.reserve(&none) >= eighth.max(2 * journal)
            || self.fresh(&none) >= eighth.max(journal / 2).max(records)
    }

    /// Whether more of the file's free pages lie behind the allocator than ahead of it, so many that a checkpoint,
    /// which makes them available again, is cheaper than a file that grows; or so many are set aside for one.
    pub(super) fn wants_pages(&self) -> bool {
        let passed = self.map.at.ahead.passed;
        let least = self.worth_freeing().max(short(self.superblock.tree_pages.get()).saturating_mul(2));
        let wants = passed >= least && passed > self.map.at.free && !self.map.has_staged();
        (wants || self.nears_the_floor() && self.sets_much_aside(&Demand::default()))
            && self.active.entries > 0
    }

    /// Whether free pages lie behind the allocator that a checkpoint in idle time would make available: half as many as are
    /// ahead of it or more, and half as many as are worth a checkpoint at any time. While a block is being written it would bring none.
    pub(super) fn misses_pages(&self) -> bool {
        let passed = self.map.at.ahead.passed;
        let twice = passed.saturating_mul(2);
        let many = twice >= self.worth_freeing() && twice > self.map.at.free;
        many && self.active.entries > 0 && !self.map.has_staged()
    }

    /// Pages of values that a commit may bring, besides some of its own for the registry, before it has to make a
    /// checkpoint or the file longer.
    pub fn pages_at_hand(&self) -> u64 {
        self.map.at.free.saturating_sub(self.floor(&Demand::default())) as u64
    }

    /// Whether the next commits are likely to wait for pages that a checkpoint gives back.
    pub(super) fn is_short_of_pages(&self) -> bool {
        let stale = self.map.at.ahead.passed >= self.worth_freeing();
        self.nears_the_floor() && (stale || self.sets_much_aside(&Demand::default()))
    }

    /// Whether few free pages are ahead besides those that are set aside: a 64th of the file.
    fn nears_the_floor(&self) -> bool {
        self.map.at.free < self.floor(&Demand::default()).saturating_add(short(self.pages / 64).max(64))
    }

    /// Makes all free pages of the file available again.
    fn new_round(&mut self) -> Result<(), Failure> {
        if self.pending() > 0 {
            self.fold_all()?;
        }
        self.map.restart(self.pages, &self.geometry);
        Ok(())
    }

    /// Hands out `pages` consecutive pages such that a checkpoint still succeeds.
    pub(super) fn run_of(&mut self, pages: u64) -> Result<Extent, Failure> {
        let demand = Demand { pages: short(pages), ..Demand::default() };
        self.make_space(&demand)?;
        self.settled(&demand, |store, floor| {
            store.with_host(NOBODY, |host| {
                host.floor = floor;
                host.allocate(pages, pages)
            })
        })
    }

    /// Does `work`, which takes pages for `demand` and leaves at least the free pages it is told. If
    /// it fails, what it took is taken back; if the free pages ahead lie too scattered, a new round
    /// may bring others.
    pub(super) fn settled<R>(
        &mut self,
        demand: &Demand,
        mut work: impl FnMut(&mut Self, usize) -> Result<R, Failure>,
    ) -> Result<R, Failure> {
        let mut again = true;
        loop {
            self.map.keep(self.pages);
            let floor = self.floor(demand);
            match work(self, floor) {
                Err(error) => {
                    self.map.take_back(self.pages, &self.geometry);
                    if !again || !matches!(error, Failure::Full) {
                        return Err(error);
                    }
                }
                result => return result,
            }
            again = false;
            self.new_round()?;
            self.make_space(demand)?;
        }
    }

    /// Free pages that must be left when the values of a group have theirs: for the next checkpoint,
    /// and, unless the group only deletes, for the deletion that makes room in a full store.
    fn floor(&self, demand: &Demand) -> usize {
        let height = self.superblock.height.get() as usize;
        let spare =
            if demand.deletes_only { 0 } else { short(self.pages / 64).clamp(4, 32) + 4 * height + 8 };
        self.reserve(demand).saturating_add(spare)
    }

    /// Whether as many pages are free as the next checkpoint may take, if power takes one under way back.
    pub(super) fn keeps_what_is_set_aside(&self) -> bool {
        self.checkpoint.is_none() || self.map.at.free >= self.reserve(&Demand::default())
    }

    /// Pages that folding everything pending and `demand` in takes at most, or nearly so.
    pub(super) fn reserve(&self, demand: &Demand) -> usize {
        let fresh = self.fresh(demand);
        // What a checkpoint under way has folded in counts as well: it is folded in anew if the checkpoint fails, or power,
        // and the pages that it took by then are free again only after the next one.
        let rewritten = self.rewritten(self.changes(demand), fresh);
        let height = self.superblock.height.get() as usize;
        rewritten.saturating_add(fresh).saturating_add(height + 2)
    }

    /// Pages that the records of everything pending and `demand` fill, each half of them.
    fn fresh(&self, demand: &Demand) -> usize {
        self.records(demand).div_ceil(self.geometry.page_size()).saturating_mul(2)
    }

    /// Pages of the registry as it is that so many changes have written anew, at most, if what they add takes `fresh`.
    fn rewritten(&self, changes: usize, fresh: usize) -> usize {
        let nodes = short(self.superblock.tree_pages.get());
        let height = self.superblock.height.get() as usize;
        let capacity = self.geometry.page_size() - NodeHeader::SIZE;
        let most = nodes.saturating_add(nodes / 2);
        // Of each change its path, and on each level a neighbour that is taken in; but not more than there is.
        let paths = changes.saturating_mul(2 * height + 1).min(most);
        // Or of each its leaf and a neighbour, and all inner nodes: each node but one has a cell in one of them, and on
        // an average they are a quarter full at least, for those that are nearly empty take in their neighbours.
        let leaves = changes.saturating_mul(2).min(most);
        let cells = nodes.saturating_add(leaves).saturating_add(fresh).saturating_mul(self.longest_cell(0));
        paths.min(leaves.saturating_add(nodes_of(cells, capacity / 4)))
    }

    /// Everything that is pending, and `demand`.
    fn changes(&self, demand: &Demand) -> usize {
        short(self.pending()).saturating_add(demand.operations)
    }

    /// Bytes of the registry's records for that, at most.
    fn records(&self, demand: &Demand) -> usize {
        self.active.records.saturating_add(self.frozen.records).saturating_add(demand.records)
    }

    /// Bytes of the longest cell that an inner node may have, slot included, if a name of `name` bytes comes in.
    fn longest_cell(&self, name: usize) -> usize {
        let pending = self.active.longest_name.max(self.frozen.longest_name);
        let name = name.max(self.superblock.longest_name.get() as usize).max(usize::from(pending));
        InternalCell::SIZE + name.min(self.geometry.max_name()) + 2
    }

    /// Levels that the tree has at most once everything pending and `demand` are folded in: as if every
    /// change split a leaf of its own, every node was full and every name the longest.
    fn height_after(&self, demand: &Demand) -> u32 {
        let height = self.superblock.height.get();
        let nodes_now = short(self.superblock.tree_pages.get());
        let (entries, records) = (self.changes(demand), self.records(demand));
        let geometry = &self.geometry;
        let capacity = geometry.page_size() - NodeHeader::SIZE;
        // Each cell has a slot; a node is closed when the next cell does not fit.
        let cell = self.longest_cell(demand.longest_name);
        let record = cell + LeafCell::SIZE + HeadValue::SIZE - InternalCell::SIZE;
        let record = record.max(record - HeadValue::SIZE + geometry.max_inline() + 32);
        let inner_nodes = |bytes: usize| if bytes <= capacity { 1 } else { nodes_of(bytes, capacity - cell) };
        let leaves = |bytes: usize| if bytes <= capacity { 1 } else { nodes_of(bytes, capacity - record) };
        let mut nodes = match height {
            0 => leaves(records),
            1 => leaves(capacity.saturating_add(records)),
            _ => {
                let mut more = entries.min(nodes_now) + nodes_of(records, capacity - record);
                for _ in 2..height {
                    more = more.min(nodes_now) + nodes_of(more.saturating_mul(cell), capacity - cell);
                }
                inner_nodes(capacity.saturating_add(more.saturating_mul(cell)))
            }
        };
        let mut levels = height.max(1);
        while nodes > 1 {
            nodes = inner_nodes(nodes.saturating_mul(cell));
            levels += 1;
        }
        levels
    }
}

/// Nodes that `bytes` of cells fill, so many in each.
#[inline(never)]
fn nodes_of(bytes: usize, each: usize) -> usize {
    bytes.checked_add(each - 1).unwrap_or(bytes).checked_div(each).unwrap_or(0)
}

/// Bytes that the registry's records of an operation take up at most, slots included.
pub(super) fn record_bytes(head: &OpHeader, name: usize) -> usize {
    let length = head.length.get();
    match head.kind {
        op_kind::CHUNKS => record(name, 0, crate::bytes::pieces(length, u64::from(head.chunk_size.get()))),
        op_kind::INLINE => record(name, length, 0),
        _ => record(name, 0, 0),
    }
}

/// The chunks that an entry lists.
pub(super) fn chunks_of(entry: &Entry) -> u64 {
    match entry.value {
        Value::Chunks { chunk_size, .. } => crate::bytes::pieces(entry.length, u64::from(chunk_size)),
        _ => 0,
    }
}

/// As [`record_bytes`], of an entry.
pub(super) fn record_of(entry: &Entry, name: usize) -> usize {
    match entry.value {
        Value::Chunks { .. } => record(name, 0, chunks_of(entry)),
        Value::Inline { .. } => record(name, entry.length, 0),
        _ => record(name, 0, 0),
    }
}

fn record(name: usize, inline: u64, chunks: u64) -> usize {
    let listed = short(chunks).saturating_mul(name + 64);
    short(inline).saturating_add(name + 128).saturating_add(listed)
}

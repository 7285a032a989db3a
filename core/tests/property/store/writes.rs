//! Transitions that write, and what each must answer.

use super::plan::{Change, Finish, Kind, Length};
use super::world::{FIXED, Held, Logged, Map, Staged, TALLY, World, with};
use crate::budget::pattern;
use blockyard_core::batch::{BatchError, Operation};
use blockyard_core::device::MemoryError;
use blockyard_core::error::WriteError;
use blockyard_core::format::{OpHeader, RecordHeader, op_kind};
use blockyard_core::{Batch, Digest, Durability, Sequence};
use blockyard_sim::fixture::{TestBatch, batch};
use std::rc::Rc;

pub(crate) type Written = Result<Sequence, WriteError<MemoryError>>;

/// What is known beforehand of the answer to a commit.
#[derive(Clone, Copy, Debug)]
struct Forecast {
    /// It must be refused like this.
    refused: Option<WriteError<MemoryError>>,
    /// The journal may be too short for it, or long enough.
    may_be_too_large: bool,
    /// The tree might come to have more levels than there is memory for.
    may_be_too_high: bool,
    may_be_full: bool,
}

pub(crate) const fn durability(durable: bool) -> Durability {
    if durable { Durability::Durable } else { Durability::Buffered }
}

/// Everything of a batch but the pages and numbers that a commit gives its changes.
fn changes(batch: &TestBatch) -> Vec<(OpHeader, Vec<u8>)> {
    let known = |operation: Operation<'_>| {
        (OpHeader { sequence: 0.into(), ..*operation.head }, operation.name.to_vec())
    };
    batch.operations().map(known).collect()
}

impl World {
    /// Adds a change to a batch and to the map that it leads to.
    fn add(&self, batch: &mut TestBatch, map: &mut Map, change: &Change, sequence: u64) {
        let geometry = self.geometry();
        let (length, bytes) = (batch.len(), batch.bytes());
        match change {
            Change::Put { name, length: size, seed } => {
                let (name, value, tag) = (self.name(*name), self.value(*size, *seed), u64::from(*seed) << 40);
                let max = u64::from(geometry.chunk_size());
                let result = batch.put(&name, &value, tag);
                if value.len() as u64 > max {
                    TALLY.hit("refused: value too large");
                    let expected = BatchError::ValueTooLarge { length: value.len() as u64, max };
                    assert_eq!((result, batch.len(), batch.bytes()), (Err(expected), length, bytes));
                    return;
                }
                assert_eq!(result, Ok(()));
                map.insert(name, Held { sequence, tag, bytes: Rc::new(value), chunk: None });
            }
            Change::Delete { name } => {
                let name = self.name(*name);
                assert_eq!(batch.delete(&name), Ok(()));
                map.remove(&name);
            }
        }
        assert_eq!(batch.len(), length + 1);
    }

    /// What must come of committing `group`.
    fn forecast(&mut self, group: &[TestBatch]) -> Forecast {
        let geometry = self.geometry();
        let fixed = self.working.kind == Kind::Fixed;
        let operations: usize = group.iter().map(Batch::len).sum();
        let all = || group.iter().flat_map(Batch::operations);
        let longest_name = all().map(|operation| operation.name.len()).max().unwrap_or(0);
        let longest_list = all().map(|operation| operation.body.len()).max().unwrap_or(0);
        let meta: usize = all().map(|one| OpHeader::SIZE + one.name.len() + one.body.len()).sum();
        let carried = all().filter(|one| one.head.kind == op_kind::CARRIED).map(|one| one.head.length.get());
        let (sum, longest) = (carried.clone().sum::<u64>(), carried.max().unwrap_or(0));
        let readable = |length: u64| fixed || length <= self.piece() as u64;
        let listed = (RecordHeader::SIZE + meta) as u64;
        let (journal, unit) = (geometry.journal_length(), geometry.unit() as u64);
        let carries = sum <= self.working.carry_max && 2 * (listed + sum) <= journal && readable(longest);
        let record = if carries { listed + sum } else { listed };
        let mut refused = None;
        if operations == 0 {
        } else if fixed && longest_name > FIXED.1 {
            refused = Some(WriteError::NameTooLong { length: longest_name, max: FIXED.1 });
        } else if fixed && (operations > FIXED.0 || record > journal - unit) {
            refused = Some(WriteError::BatchTooLarge);
        }
        if refused.is_none()
            && !fixed
            && operations > 0
            && (record > journal - unit || !readable(longest_list as u64))
        {
            TALLY.hit("commit that the journal cannot take");
        }
        let deletes = all().all(|one| one.head.kind == op_kind::DELETE);
        let need = sum.div_ceil(geometry.page_size() as u64)
            + operations as u64
            + meta as u64 / geometry.page_size() as u64;
        Forecast {
            refused,
            may_be_too_large: fixed && record > journal - 2 * unit,
            may_be_too_high: !deletes && self.working.levels < 8,
            may_be_full: operations > 0
                && !(deletes && operations == 1 && self.staged.is_none())
                && self.may_be_full(need),
        }
    }

    /// Whether so many pages may be too many: less than half of the device was free.
    fn may_be_full(&self, need: u64) -> bool {
        let Some(room) = self.setup.room else { return false };
        let tree = with!(self.engine.as_ref().expect("open"), store => store.superblock().tree_pages.get());
        let operations: u64 = self.logged.iter().map(|group| group.operations as u64).sum();
        let spare = 96 + 4 * (tree + operations) + 16 * u64::from(self.setup.chunk_pages);
        self.staged.is_some() || 2 * (self.block_pages() + need) + spare + self.wasted > room
    }

    /// Commits a group, compares the answer with the forecast, and the store with the map.
    fn commit_group(&mut self, mut group: Vec<TestBatch>, map: Map, durable: bool) {
        let forecast = self.forecast(&group);
        let before = group.iter().map(changes).collect::<Vec<_>>();
        let operations: usize = group.iter().map(Batch::len).sum();
        let (counters, known) = with!(self.engine(), store => (store.counters(), store.durable_sequence().0));
        let result = with!(self.engine(), store => store.commit(&mut group, durability(durable)));
        if result.is_err() {
            let after = group.iter().map(changes).collect::<Vec<_>>();
            assert_eq!(before, after, "a refused batch keeps its changes");
        }
        if operations == 0 {
            assert_eq!(result, Ok(Sequence(self.sequence)), "nothing to commit");
            return;
        }
        if !self.accepted(&result, &forecast) {
            // Nothing happened: neither to the store nor to the batches, which may be tried again.
            self.contents();
            let again = with!(self.engine(), store => store.commit(&mut group, durability(durable)));
            if !self.accepted(&again, &forecast) {
                return;
            }
            TALLY.hit("accepted the second time");
        }
        let last = self.sequence + group.len() as u64;
        let after =
            with!(self.engine(), store => (store.counters(), store.durable_sequence().0, store.sequence().0));
        assert_eq!(after.2, last, "each batch has its number");
        assert!(!durable || after.1 == last, "durable when it is answered");
        if after.0.checkpoints == counters.checkpoints && after.0.grows == counters.grows {
            assert_eq!(after.0.syncs - counters.syncs, u64::from(durable), "a durable commit costs one sync");
            assert!(durable || after.1 == known, "a buffered commit makes nothing durable");
        } else {
            TALLY.hit("commit with a checkpoint or growth");
        }
        TALLY.hit(if durable { "durable commit" } else { "buffered commit" });
        TALLY.hit(if group.len() > 1 { "group of batches" } else { "single batch" });
        let logged = Logged::of(last, &group);
        self.committed(last, map, logged);
    }

    /// Whether a commit was made; one that was refused must have been forecast.
    fn accepted(&mut self, result: &Written, forecast: &Forecast) -> bool {
        if let Some(refused) = forecast.refused {
            TALLY.hit(match refused {
                WriteError::NameTooLong { .. } => "refused: name too long for the overlay",
                _ => "refused: too large for overlay or journal",
            });
            let too_high = forecast.may_be_too_high && *result == Err(WriteError::WorkspaceTooSmall);
            assert!(*result == Err(refused) || too_high, "{result:?} instead of {refused:?}");
            return false;
        }
        match result {
            Ok(_) => return true,
            Err(WriteError::Full) if forecast.may_be_full => TALLY.hit("refused: full"),
            Err(WriteError::BatchTooLarge) if forecast.may_be_too_large || forecast.may_be_too_high => {
                TALLY.hit("refused: too large");
            }
            Err(WriteError::WorkspaceTooSmall) if forecast.may_be_too_high => {
                TALLY.hit("refused: tree too high")
            }
            Err(error) => panic!("{error:?} was not forecast: {forecast:?}"),
        }
        with!(self.engine(), store => assert!(!store.is_poisoned()));
        assert_eq!(with!(self.engine(), store => store.sequence().0), self.sequence);
        false
    }

    pub(crate) fn commit(&mut self, group: &[Vec<Change>], durable: bool) {
        let mut map = self.map.clone();
        let geometry = self.geometry();
        let mut batches = Vec::new();
        for (number, changes) in (1..).zip(group) {
            let mut batch = batch(&geometry);
            changes.iter().for_each(|change| self.add(&mut batch, &mut map, change, self.sequence + number));
            assert_eq!(batch.is_empty(), batch.operations().next().is_none());
            batches.push(batch);
        }
        self.commit_group(batches, map, durable);
    }

    /// A deletion is possible however full a store is; several at once need not be.
    pub(crate) fn delete_all(&mut self, one_by_one: bool) {
        let names: Vec<_> = self.map.keys().cloned().collect();
        for names in names.chunks(if one_by_one { 1 } else { FIXED.0 / 4 }) {
            let before = self.sequence;
            self.delete(names);
            if self.sequence == before && names.len() > 1 {
                TALLY.hit("emptied although it was full");
                names.chunks(1).for_each(|name| self.delete(name));
            }
        }
        TALLY.hit("emptied");
    }

    fn delete(&mut self, names: &[Vec<u8>]) {
        let (mut batch, mut map) = (batch(&self.geometry()), self.map.clone());
        for name in names {
            assert_eq!(batch.delete(name), Ok(()));
            map.remove(name);
        }
        self.commit_group(vec![batch], map, false);
    }

    pub(crate) fn rename(&mut self, from: u8, to: u8, durable: bool) {
        let (from, to) = (self.name(from), self.name(to));
        let mut scratch = batch(&self.geometry());
        let block = self.map.get(&from).cloned();
        let mut map = self.map.clone();
        let before = self.sequence;
        let result =
            with!(self.engine(), store => store.rename(&from, &to, &mut scratch, durability(durable)));
        let Some(block) = block else {
            TALLY.hit("refused: rename of nothing");
            assert_eq!(result, Err(WriteError::NotFound));
            return;
        };
        if from == to {
            TALLY.hit("rename onto itself");
            assert_eq!(result, Ok(Sequence(before)));
            return;
        }
        let forecast = self.rename_forecast(&block, from.len().max(to.len()));
        if !self.accepted(&result, &forecast) {
            return;
        }
        TALLY.hit(match (map.contains_key(&to), block.chunk) {
            (true, _) => "rename onto another",
            (false, Some(_)) => "rename of chunks",
            (false, None) => "rename",
        });
        assert_eq!(result, Ok(Sequence(before + 1)));
        map.remove(&from);
        map.insert(to.clone(), Held { sequence: before + 1, ..block.clone() });
        let logged = Logged::of(before + 1, core::slice::from_ref(&scratch));
        self.committed(before + 1, map, logged);
    }

    fn rename_forecast(&self, block: &Held, length: usize) -> Forecast {
        let geometry = self.geometry();
        let fixed = self.working.kind == Kind::Fixed;
        let chunks = block.chunk.map_or(0, |chunk| block.bytes.len().div_ceil(chunk as usize) as u64);
        let body = if block.chunk.is_none() {
            block.bytes.len().min(geometry.max_inline()) as u64
        } else {
            40 * chunks
        };
        let record = 224 + 2 * 64 + 2 * geometry.max_name() as u64 + body;
        Forecast {
            refused: (fixed && length > FIXED.1).then_some(WriteError::NameTooLong { length, max: FIXED.1 }),
            may_be_too_large: fixed && record > geometry.journal_length() - 2 * geometry.unit() as u64,
            may_be_too_high: self.working.levels < 8,
            may_be_full: self.may_be_full(2 + chunks / 4),
        }
    }

    pub(crate) fn stage_write(&mut self, length: Length, seed: u16) {
        let Some(mut staged) = self.staged.take() else { return };
        let bytes = self.value(length, seed);
        let chunk = self.geometry().chunk_size() as usize;
        let result = with!(self.engine(), store => store.write_chunk(&bytes, Digest::of(&bytes)));
        if bytes.is_empty() || bytes.len() > chunk {
            TALLY.hit("refused: not a chunk");
            assert_eq!(result.map(|_| ()), Err(WriteError::BatchTooLarge));
        } else {
            self.staged = Some(Staged::default());
            match result {
                Ok(written) => {
                    TALLY.hit("chunk staged");
                    assert_eq!(written.digest, Digest::of(&bytes));
                    self.wasted += self.geometry().pages_for(bytes.len() as u64);
                    if !staged.ended {
                        staged.ended = bytes.len() < chunk;
                        staged.bytes.extend_from_slice(&bytes);
                        staged.chunks.push(written.to_ref());
                    }
                }
                Err(WriteError::Full) if self.may_be_full(bytes.len() as u64) => TALLY.hit("refused: full"),
                Err(error) => panic!("{error:?}"),
            }
        }
        self.staged = Some(staged);
    }

    pub(crate) fn stage_end(&mut self, name: Option<u8>, durable: bool) {
        let Some(staged) = self.staged.clone() else { return };
        let geometry = self.geometry();
        if let (Some(name), [first, ..]) = (name, staged.chunks.as_slice()) {
            let (name, length, mut batch) = (self.name(name), staged.bytes.len() as u64, batch(&geometry));
            let chunk = (staged.chunks.len() > 1).then_some(geometry.chunk_size());
            match chunk {
                Some(size) => batch.put_chunks(&name, length, 9, size, &staged.chunks).expect("a list"),
                None => {
                    let page = blockyard_core::PageIndex(first.page.get());
                    batch.put_extent(&name, length, 9, Digest(first.digest), page).expect("an extent");
                }
            }
            TALLY.hit(if chunk.is_some() { "staged chunks committed" } else { "staged extent committed" });
            let mut map = self.map.clone();
            let held = Held { sequence: self.sequence + 1, tag: 9, bytes: Rc::new(staged.bytes), chunk };
            map.insert(name, held);
            self.commit_group(vec![batch], map, durable);
        } else {
            TALLY.hit("staged chunks given up");
        }
        self.staged = None;
        with!(self.engine(), store => store.end_staged());
    }

    pub(crate) fn stage_begin(&mut self) {
        if self.staged.is_none() {
            with!(self.engine(), store => store.begin_staged());
            self.staged = Some(Staged::default());
        }
    }
}

/// A block that is written as a stream.
pub(crate) struct Streamed {
    pub(crate) name: u8,
    pub(crate) chunks: u8,
    pub(crate) less: Length,
    /// Pages by which the buffer is shorter than a chunk.
    pub(crate) buffer: u8,
    pub(crate) piece: u16,
    pub(crate) finish: Finish,
    pub(crate) durable: bool,
}

impl World {
    pub(crate) fn stream(&mut self, block: &Streamed) {
        let geometry = self.geometry();
        let (page, chunk) = (geometry.page_size(), geometry.chunk_size() as usize);
        let size = chunk.saturating_sub(usize::from(block.buffer) * page).max(page);
        let length = usize::from(block.chunks) * size + self.length(block.less).min(2 * chunk) % (size + 1);
        let (name, tag) = (self.name(block.name), u64::from(block.piece));
        let value = pattern(tag, length);
        let mut buffer = vec![0xEE; size];
        let mut scratch = batch(&geometry);
        let pieces = value.chunks(usize::from(block.piece));
        let few = matches!(block.finish, Finish::Commit { few_chunks: true });
        let commits = matches!(block.finish, Finish::Commit { .. });
        macro_rules! write {
            ($store:ident, $most:literal) => {{
                let mut writer =
                    $store.writer::<$most>(&name, tag, &mut buffer).expect("a name and a buffer");
                let written = pieces.clone().try_for_each(|piece| writer.write(piece));
                match written {
                    Ok(()) if commits => Some(writer.finish(&mut scratch, durability(block.durable))),
                    Ok(()) => None,
                    Err(error) => Some(Err(error)),
                }
            }};
        }
        let result = with!(self.engine(), store => if few { write!(store, 2) } else { write!(store, 64) });
        let chunks = length.div_ceil(size);
        let stored = geometry.pages_for(length as u64) + chunks as u64;
        let Some(result) = result else {
            TALLY.hit("stream given up");
            self.wasted += stored;
            return;
        };
        let fixed = self.working.kind == Kind::Fixed;
        let record = (224 + 64 + name.len() + 40 * chunks + geometry.max_inline()) as u64;
        let long_name = fixed && name.len() > FIXED.1;
        let full = self.may_be_full(geometry.pages_for(length as u64) + 4);
        let refused = match () {
            () if few && chunks > 2 && !full => Some(WriteError::BatchTooLarge),
            () if long_name && !full => Some(WriteError::NameTooLong { length: name.len(), max: FIXED.1 }),
            () => None,
        };
        let forecast = Forecast {
            refused,
            may_be_too_large: (fixed && record > geometry.journal_length() - 2 * geometry.unit() as u64)
                || (few && chunks > 2),
            may_be_too_high: self.working.levels < 8,
            may_be_full: full,
        };
        if full && long_name && matches!(result, Err(WriteError::NameTooLong { .. })) {
            return;
        }
        if !self.accepted(&result, &forecast) {
            self.wasted += stored;
            return;
        }
        TALLY.hit(["stream of one piece", "stream of chunks"][usize::from(chunks > 1)]);
        let last = self.sequence + 1;
        assert_eq!(result, Ok(Sequence(last)));
        let mut map = self.map.clone();
        let chunk = (chunks > 1).then_some(size as u32);
        map.insert(name.clone(), Held { sequence: last, tag, bytes: Rc::new(value), chunk });
        self.committed(last, map, Logged::of(last, core::slice::from_ref(&scratch)));
    }
}

//! Giving the values of a commit their pages, and the operations their numbers.

use super::Store;
use super::room::{Demand, Path};
use crate::batch::{Batch, GrowBytes, PLACED, operation_at};
use crate::bytes;
use crate::device::BlockDevice;
use crate::failure::Failure;
use crate::format::{OpHeader, U32, U64, op_kind};
use crate::ids::{Extent, PageIndex, Sequence};
use crate::overlay::Overlay;
use zerocopy::IntoBytes as _;

impl<D: BlockDevice, O: Overlay, B: AsMut<[u8]>> Store<D, O, B> {
    /// Gives all values pages, and writes them there unless the record carries them. Returns the path that
    /// was taken.
    #[inline(never)]
    pub(super) fn place_all<M: GrowBytes, V: GrowBytes>(
        &mut self,
        batches: &mut [Batch<M, V>],
        demand: &Demand,
        path: Path,
    ) -> Result<Path, Failure> {
        if !V::HOLDS {
            return Ok(path);
        }
        self.settled(demand, |store, floor| {
            let result = store.place_and_write(batches, floor, path);
            if result.is_err() {
                batches.iter_mut().for_each(unplace);
            }
            result
        })
    }

    fn place_and_write<M: GrowBytes, V: GrowBytes>(
        &mut self,
        batches: &mut [Batch<M, V>],
        floor: u64,
        path: Path,
    ) -> Result<Path, Failure> {
        let mut placed = Placed::default();
        for batch in &mut *batches {
            self.place(batch, floor, &mut placed)?;
        }
        let path = match path {
            Path::Either if self.is_scattered(&placed) => Path::Carry,
            Path::Either => Path::Place,
            path => path,
        };
        if path != Path::Carry {
            for batch in batches {
                self.write_values(batch)?;
            }
        }
        Ok(path)
    }

    /// Gives the values of a batch pages of their own, in as few runs as the file allows.
    fn place<M: GrowBytes, V: GrowBytes>(
        &mut self,
        batch: &mut Batch<M, V>,
        floor: u64,
        placed: &mut Placed,
    ) -> Result<(), Failure> {
        let geometry = self.geometry;
        let mut left = geometry.pages_for(batch.data.as_ref().len() as u64);
        let meta = batch.meta.as_mut();
        let mut at = 0;
        while left > 0 {
            let Some((op, first)) = next_carried(meta, at) else { break };
            at = op;
            let least = geometry.pages_for(first);
            let run = self.with_host(None, |host| {
                host.floor = floor;
                host.allocate(least, left)
            })?;
            // As many values as fit into the run.
            let start = run.start.0;
            let mut used = 0;
            while let Some((op, length)) = next_carried(meta, at) {
                let pages = geometry.pages_for(length);
                if used + pages > run.pages {
                    break;
                }
                at = set_location(meta, op, start + used).ok_or(Failure::BatchTooLarge)?;
                used += pages;
            }
            if used < run.pages {
                self.map.give_back(run.pages - used);
            }
            left = left.saturating_sub(used);
            placed.add(used);
            self.scatter.add(start, used);
        }
        Ok(())
    }

    /// Whether the pages that a group was given lie so scattered that one contiguous write into the journal
    /// and another one home, later, cost whoever waits less.
    const fn is_scattered(&self, placed: &Placed) -> bool {
        match placed.runs {
            // Few: how it was lately tells more.
            0..8 => self.scatter.is_high(),
            runs => runs * Scatter::LONG > placed.pages,
        }
    }

    /// Writes the values of a batch to their pages, each run at once, and makes extents of them.
    fn write_values<M: GrowBytes, V: GrowBytes>(&mut self, batch: &mut Batch<M, V>) -> Result<(), Failure> {
        let geometry = self.geometry;
        let page = geometry.page_size();
        if !batch.data.set_length(bytes::round_up(batch.data.as_ref().len(), page)) {
            return Err(Failure::BatchTooLarge);
        }
        let (meta, data) = (batch.meta.as_mut(), batch.data.as_ref());
        let mut run = Extent::new(PageIndex(0), 0);
        let (mut at, mut from) = (0, 0);
        loop {
            let next = next_carried(meta, at);
            let place = next.map(|(op, _)| location(meta, op));
            if place != Some(run.end()) || run.pages == 0 {
                let to = from + run.pages as usize * page;
                if from < to {
                    let offset = geometry.offset(run.start.0);
                    let values = data.get(from..to).ok_or(Failure::BatchTooLarge)?;
                    self.io.write(offset, values)?;
                }
                (run, from) = (Extent::new(PageIndex(place.unwrap_or(0)), 0), to);
            }
            let Some((op, length)) = next else { break };
            run.pages += geometry.pages_for(length);
            at = make_extent(meta, op).ok_or(Failure::BatchTooLarge)?;
        }
        batch.carried = 0;
        Ok(())
    }

    /// Gives each operation its sequence number.
    #[inline(never)]
    pub(super) fn number<M: GrowBytes, V: GrowBytes>(
        &self,
        batches: &mut [Batch<M, V>],
        path: Path,
    ) -> Sequence {
        let mut sequence = self.sequence.0;
        for batch in batches.iter_mut() {
            sequence += 1;
            let meta = batch.meta.as_mut();
            let mut at = 0;
            while let Some((mut head, _, end)) = operation_at(meta, at) {
                head.sequence = U64::new(sequence);
                if path == Path::Place && head.kind == op_kind::EXTENT {
                    head.chunk_size = U32::new(0);
                }
                put_head(meta, at, &head);
                at = end;
            }
        }
        Sequence(sequence)
    }
}

/// The first carried value at or behind the operation that starts at `at`: its start and length.
fn next_carried(meta: &[u8], mut at: usize) -> Option<(usize, u64)> {
    while let Some((head, _, end)) = operation_at(meta, at) {
        if head.kind == op_kind::CARRIED {
            return Some((at, head.length.get()));
        }
        at = end;
    }
    None
}

/// Gives the carried value of the operation at `at` its first page, and returns where the next operation starts.
fn set_location(meta: &mut [u8], at: usize, page: u64) -> Option<usize> {
    let (_, name, end) = operation_at(meta, at)?;
    bytes::place(meta, name.end, &page.to_le_bytes())?;
    Some(end)
}

/// The first page of the carried value of the operation at `at`.
fn location(meta: &[u8], at: usize) -> u64 {
    let place = operation_at(meta, at).and_then(|(_, name, _)| meta.get(name.end..));
    place.and_then(|place| place.first_chunk()).map_or(0, |bytes| u64::from_le_bytes(*bytes))
}

/// Makes an extent of the carried value of the operation at `at`, and returns where the next operation starts.
fn make_extent(meta: &mut [u8], at: usize) -> Option<usize> {
    let (mut head, _, end) = operation_at(meta, at)?;
    (head.kind, head.chunk_size) = (op_kind::EXTENT, U32::new(PLACED));
    put_head(meta, at, &head);
    Some(end)
}

/// Puts the head of an operation back where it was found: there it fits.
fn put_head(meta: &mut [u8], at: usize, head: &OpHeader) {
    let put = bytes::place(meta, at, head.as_bytes());
    debug_assert!(put.is_some(), "the head was read there");
}

/// The runs of pages that a group was given.
#[derive(Clone, Copy, Debug, Default)]
struct Placed {
    runs: u64,
    pages: u64,
}

impl Placed {
    const fn add(&mut self, pages: u64) {
        self.runs += 1;
        self.pages += pages;
    }
}

/// How scattered the runs lay that values were given lately.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Scatter {
    /// Where the last run ended.
    end: u64,
    /// The share of short runs away from the one before, in 256ths, the last eight of them weighing most.
    share: u32,
}

impl Scatter {
    /// Pages of a run that is worth a write of its own.
    const LONG: u64 = 8;

    const fn add(&mut self, start: u64, pages: u64) {
        let stray = start != self.end && pages < Self::LONG;
        self.share = self.share - self.share / 8 + if stray { 32 } else { 0 };
        self.end = start + pages;
    }

    const fn is_high(&self) -> bool {
        self.share > 64
    }
}

/// Makes carried values of the extents that a commit made of them.
pub(super) fn unplace<M: GrowBytes, V: GrowBytes>(batch: &mut Batch<M, V>) {
    if !V::HOLDS {
        return;
    }
    let meta = batch.meta.as_mut();
    let (mut at, mut carried) = (0, 0);
    while let Some((mut head, _, end)) = operation_at(meta, at) {
        if head.kind == op_kind::EXTENT && head.chunk_size.get() == PLACED {
            (head.kind, head.chunk_size) = (op_kind::CARRIED, U32::new(0));
            put_head(meta, at, &head);
        }
        if head.kind == op_kind::CARRIED {
            carried += head.length.get();
        }
        at = end;
    }
    batch.carried = carried;
}

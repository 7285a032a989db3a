//! Giving the values of a commit their pages, and the operations their numbers.

use super::room::{Demand, Path};
use super::{NOBODY, Store, space};
use crate::batch::PLACED;
use crate::bytes;
use crate::changes::Changes;
use crate::device::BlockDevice;
use crate::failure::Failure;
use crate::format::{U32, U64, op_kind};
use crate::ids::{Extent, PageIndex, Sequence};
use crate::overlay::Overlay;

impl<D: BlockDevice, O: Overlay, B: AsMut<[u8]>> Store<D, O, B> {
    /// Gives all values pages, and writes them there unless the record carries them. Returns the path that
    /// was taken.
    #[inline(never)]
    pub(super) fn place_all<C: Changes>(
        &mut self,
        batches: &mut [C],
        demand: &Demand,
        path: Path,
    ) -> Result<Path, Failure> {
        self.settled(demand, |store, floor| {
            let result = store.place_and_write(batches, floor, path);
            if result.is_err() {
                batches.iter_mut().for_each(unplace);
            }
            result
        })
    }

    #[cfg_attr(not(feature = "alloc"), inline(never))]
    fn place_and_write<C: Changes>(
        &mut self,
        batches: &mut [C],
        floor: usize,
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
    fn place<C: Changes>(&mut self, batch: &mut C, floor: usize, placed: &mut Placed) -> Result<(), Failure> {
        let geometry = self.geometry;
        let mut left = geometry.pages_for(batch.values().len() as u64);
        let mut at = 0;
        while left > 0 {
            let Some((op, first)) = next_carried(batch, at) else { break };
            at = op;
            let least = geometry.pages_for(first);
            let run = self.with_host(NOBODY, |host| {
                host.floor = floor;
                host.allocate(least, left)
            })?;
            // As many values as fit into the run.
            let start = run.start.0;
            let mut used = 0;
            while let Some((op, length)) = next_carried(batch, at) {
                let pages = geometry.pages_for(length);
                if used + pages > run.pages {
                    break;
                }
                at = set_location(batch, op, start + used).ok_or(Failure::BatchTooLarge)?;
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
    fn write_values<C: Changes>(&mut self, batch: &mut C) -> Result<(), Failure> {
        let geometry = self.geometry;
        let page = geometry.page_size();
        batch.fill_pages(page);
        let mut run = Extent::new(PageIndex(0), 0);
        let (mut at, mut from) = (0, 0);
        loop {
            let next = next_carried(batch, at);
            let place = next.map(|(op, _)| location(batch, op));
            if place != Some(run.end()) || run.pages == 0 {
                let to = from + run.pages as usize * page;
                if from < to {
                    let offset = geometry.offset(run.start.0);
                    let values = batch.values();
                    // Nothing but the padding behind the last value may be missing.
                    let end = if to - values.len().min(to) < page { to.min(values.len()) } else { to };
                    let values = values.get(from..end).ok_or(Failure::BatchTooLarge)?;
                    self.write_whole(offset, values)?;
                }
                (run, from) = (Extent::new(PageIndex(place.unwrap_or(0)), 0), to);
            }
            let Some((op, length)) = next else { break };
            run.pages += geometry.pages_for(length);
            at = make_extent(batch, op).ok_or(Failure::BatchTooLarge)?;
        }
        batch.set_carried(0);
        Ok(())
    }

    /// Writes values to their pages, what does not fill the last one by way of a page of memory.
    fn write_whole(&mut self, offset: u64, values: &[u8]) -> Result<(), Failure> {
        let whole = bytes::round_down(values.len(), self.geometry.page_size());
        let (pages, rest) = values.split_at_checked(whole).unwrap_or((values, &[]));
        if !pages.is_empty() {
            self.io.write(offset, pages)?;
        }
        if rest.is_empty() {
            return Ok(());
        }
        let transfer = space::transfer(self.buffer.as_mut(), &self.memory, &self.geometry);
        let page = transfer.and_then(|transfer| transfer.get_mut(..self.geometry.page_size()));
        let page = page.ok_or(Failure::WorkspaceTooSmall)?;
        let copied = bytes::copy_some(page, rest);
        page.get_mut(copied..).unwrap_or_default().fill(0);
        self.io.write(offset + whole as u64, page)
    }

    /// Gives each operation its sequence number.
    #[inline(never)]
    pub(super) fn number<C: Changes>(&self, batches: &mut [C], path: Path) -> Sequence {
        let mut sequence = self.sequence.0;
        for batch in batches.iter_mut() {
            sequence += 1;
            let mut at = 0;
            while let Some((head, end)) = batch.head_mut(at) {
                head.sequence = U64::new(sequence);
                if path == Path::Place && head.kind == op_kind::EXTENT {
                    head.chunk_size = U32::new(0);
                }
                at = end;
            }
        }
        Sequence(sequence)
    }
}

/// The first carried value at or behind the operation that starts at `at`: its start and length.
fn next_carried<C: Changes>(batch: &C, mut at: usize) -> Option<(usize, u64)> {
    while let Some((head, _, end)) = batch.head_at(at) {
        if head.kind == op_kind::CARRIED {
            return Some((at, head.length.get()));
        }
        at = end;
    }
    None
}

/// Gives the carried value of the operation at `at` its first page, and returns where the next operation starts.
fn set_location<C: Changes>(batch: &mut C, at: usize, page: u64) -> Option<usize> {
    let (_, place, end) = batch.head_at(at)?;
    batch.put_page(place, page);
    Some(end)
}

/// The first page of the carried value of the operation at `at`.
fn location<C: Changes>(batch: &C, at: usize) -> u64 {
    batch.head_at(at).map_or(0, |(_, place, _)| batch.page_at(place))
}

/// Makes an extent of the carried value of the operation at `at`, and returns where the next operation starts.
fn make_extent<C: Changes>(batch: &mut C, at: usize) -> Option<usize> {
    let (head, end) = batch.head_mut(at)?;
    (head.kind, head.chunk_size) = (op_kind::EXTENT, U32::new(PLACED));
    Some(end)
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
    /// Where the last run ended, as far as a number of the processor goes: it is compared, and nothing else.
    end: usize,
    /// The share of short runs away from the one before, in 256ths, the last eight of them weighing most.
    share: u32,
}

impl Scatter {
    /// Pages of a run that is worth a write of its own.
    const LONG: u64 = 8;

    const fn add(&mut self, start: u64, pages: u64) {
        let stray = start as usize != self.end && pages < Self::LONG;
        self.share = self.share - self.share / 8 + if stray { 32 } else { 0 };
        self.end = (start + pages) as usize;
    }

    const fn is_high(&self) -> bool {
        self.share > 64
    }
}

/// Makes carried values of the extents that a commit made of them.
#[cfg_attr(not(feature = "alloc"), inline(never))]
pub(super) fn unplace<C: Changes>(batch: &mut C) {
    if !C::HOLDS {
        return;
    }
    let (mut at, mut carried) = (0, 0);
    while let Some((head, end)) = batch.head_mut(at) {
        if head.kind == op_kind::EXTENT && head.chunk_size.get() == PLACED {
            (head.kind, head.chunk_size) = (op_kind::CARRIED, U32::new(0));
        }
        if head.kind == op_kind::CARRIED {
            carried += head.length.get();
        }
        at = end;
    }
    batch.set_carried(carried);
}

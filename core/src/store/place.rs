//! Giving the values of a commit their pages, and the operations their numbers.

use super::Store;
use super::room::{Demand, Path};
use crate::batch::{Batch, GrowBytes, PLACED, operation_at};
use crate::device::BlockDevice;
use crate::error::WriteError;
use crate::format::{OpHeader, U32, U64, op_kind};
use crate::ids::Sequence;
use crate::overlay::Overlay;
use zerocopy::IntoBytes as _;

impl<D: BlockDevice, O: Overlay, B: AsMut<[u8]>> Store<D, O, B> {
    /// Gives all values pages.
    pub(super) fn place_all<M: GrowBytes, V: GrowBytes>(
        &mut self,
        batches: &mut [Batch<M, V>],
        demand: &Demand,
        path: Path,
    ) -> Result<(), WriteError<D::Error>> {
        self.settled(demand, |store, floor| {
            let result = batches.iter_mut().try_for_each(|batch| store.place(batch, floor, path));
            if result.is_err() {
                batches.iter_mut().for_each(unplace);
            }
            result
        })
    }

    /// Gives the values of a batch pages of their own, in as few runs as the file allows. Those that
    /// the record does not carry are written there, each run at once.
    fn place<M: GrowBytes, V: GrowBytes>(
        &mut self,
        batch: &mut Batch<M, V>,
        floor: u64,
        path: Path,
    ) -> Result<(), WriteError<D::Error>> {
        let page = self.geometry.page_size();
        let padded = batch.data.as_ref().len().next_multiple_of(page);
        if path != Path::Carry && !batch.data.set_length(padded) {
            return Err(WriteError::BatchTooLarge);
        }
        let geometry = self.geometry;
        let (meta, data) = (batch.meta.as_mut(), batch.data.as_ref());
        let (mut at, mut placed) = (0, 0);
        while placed < data.len() {
            let Some((op, first)) = next_carried(meta, at) else { break };
            at = op;
            let least = geometry.pages_for(first);
            let want = ((data.len() - placed).div_ceil(page)) as u64;
            let run = self.with_host(None, |host| {
                host.floor = floor;
                host.allocate(least, want)
            })?;
            // As many values as fit into the run.
            let (start, from) = (run.start.0, placed);
            let mut used = 0;
            while let Some((op, length)) = next_carried(meta, at) {
                let pages = geometry.pages_for(length);
                if used + pages > run.pages {
                    break;
                }
                at = set_location(meta, op, start + used, path != Path::Carry);
                used += pages;
            }
            if used < run.pages {
                self.map.give_back(run.pages - used);
            }
            placed += used as usize * page;
            if path != Path::Carry {
                let offset = geometry.offset(start);
                BlockDevice::write(&mut self.io, offset, &data[from..placed]).map_err(WriteError::Device)?;
            }
        }
        if path != Path::Carry {
            batch.carried = 0;
        }
        Ok(())
    }

    /// Gives each operation its sequence number.
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
                meta[at..at + OpHeader::SIZE].copy_from_slice(head.as_bytes());
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

/// Gives the carried value of the operation at `at` its first page, makes it an extent if it is to
/// be one, and returns where the next operation starts.
fn set_location(meta: &mut [u8], at: usize, page: u64, extent: bool) -> usize {
    let Some((mut head, name, end)) = operation_at(meta, at) else { return at };
    if extent {
        (head.kind, head.chunk_size) = (op_kind::EXTENT, U32::new(PLACED));
        meta[at..at + OpHeader::SIZE].copy_from_slice(head.as_bytes());
    }
    meta[name.end..name.end + 8].copy_from_slice(&page.to_le_bytes());
    end
}

/// Makes carried values of the extents that a commit made of them.
pub(super) fn unplace<M: GrowBytes, V: GrowBytes>(batch: &mut Batch<M, V>) {
    let meta = batch.meta.as_mut();
    let (mut at, mut carried) = (0, 0);
    while let Some((mut head, _, end)) = operation_at(meta, at) {
        if head.kind == op_kind::EXTENT && head.chunk_size.get() == PLACED {
            (head.kind, head.chunk_size) = (op_kind::CARRIED, U32::new(0));
            meta[at..at + OpHeader::SIZE].copy_from_slice(head.as_bytes());
        }
        if head.kind == op_kind::CARRIED {
            carried += head.length.get();
        }
        at = end;
    }
    batch.carried = carried;
}

//! Renaming blocks without moving their bytes.

use super::commit::batch_error;
use super::{BlockInfo, BlockLocation, Durability, Store};
use crate::batch::{Batch, GrowBytes};
use crate::device::BlockDevice;
use crate::error::WriteError;
use crate::format::ChunkRef;
use crate::ids::Sequence;
use crate::overlay::Overlay;
use zerocopy::IntoBytes as _;

impl<D: BlockDevice, O: Overlay, B: AsMut<[u8]>> Store<D, O, B> {
    /// Renames a block, replacing what `to` named, without moving its bytes.
    ///
    /// # Errors
    /// [`WriteError::NotFound`] if `from` does not exist; else as [`commit`](Self::commit).
    /// `scratch` is an empty batch of this store that can hold the record.
    pub fn rename<M: GrowBytes, V: GrowBytes>(
        &mut self,
        from: &[u8],
        to: &[u8],
        scratch: &mut Batch<M, V>,
        durability: Durability,
    ) -> Result<Sequence, WriteError<D::Error>> {
        self.ready().map_err(|failure| self.io.write_error(failure))?;
        scratch.clear();
        Self::check_name(&self.geometry, to)?;
        let mut info = self.info(from)?.ok_or(WriteError::NotFound)?;
        if from == to {
            return self.commit(core::slice::from_mut(scratch), durability);
        }
        if info.location == BlockLocation::Memory && info.length > self.geometry.max_inline() as u64 {
            // It lies in the journal: a checkpoint gives it to its pages, which can change hands.
            self.checkpoint()?;
            info = self.info(from)?.ok_or(WriteError::NotFound)?;
        }
        match info.location {
            BlockLocation::Memory => {
                scratch.delete(from).map_err(batch_error)?;
                let into = scratch.put_later(to, info.length as usize, info.tag).map_err(batch_error)?;
                self.get(from, into)?;
            }
            BlockLocation::Extent { page } => {
                scratch.move_away(from).map_err(batch_error)?;
                scratch.put_extent(to, info.length, info.tag, info.digest, page).map_err(batch_error)?;
            }
            BlockLocation::Chunks { .. } => {
                scratch.move_away(from).map_err(batch_error)?;
                self.copy_chunk_list(from, to, &info, scratch)?;
            }
        }
        self.commit(core::slice::from_mut(scratch), durability)
    }

    /// Fills `scratch` with a put of `to` that names the chunks of `from`.
    pub(super) fn copy_chunk_list<M: GrowBytes, V: GrowBytes>(
        &mut self,
        from: &[u8],
        to: &[u8],
        info: &BlockInfo,
        scratch: &mut Batch<M, V>,
    ) -> Result<(), WriteError<D::Error>> {
        let BlockLocation::Chunks { chunk_size, count } = info.location else { return Ok(()) };
        scratch.begin_chunks(to, info.length, info.tag, chunk_size, info.digest).map_err(batch_error)?;
        for index in 0..count {
            let chunk = self.chunk(from, info, index);
            let (page, digest) = chunk.map_err(|failure| self.io.write_error(failure))?;
            let chunk = ChunkRef { page: crate::format::U64::new(page.0), digest: digest.0 };
            scratch.add_chunk(chunk.as_bytes()).map_err(batch_error)?;
        }
        Ok(())
    }
}

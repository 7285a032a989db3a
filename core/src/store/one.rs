//! Commits of one change, which need no batch.

use super::{Bound, Durability, Store};
use crate::changes::One;
use crate::device::BlockDevice;
use crate::error::WriteError;
use crate::format::OpHeader;
use crate::ids::Sequence;
use crate::overlay::Overlay;

impl<D: BlockDevice, O: Overlay, B: AsMut<[u8]>> Store<D, O, B> {
    /// Commits one block of at most a chunk, without a batch: name and value go into the journal's record from where they
    /// lie. It is what [`commit`](Self::commit) makes of a batch with this one put, to the byte.
    ///
    /// With [`Durability::Durable`] the block survives a power cut when this returns. What it asks of the device at most says
    /// [`bound_of_put`](Self::bound_of_put).
    ///
    /// # Errors
    /// [`WriteError::NameEmpty`], [`WriteError::NameTooLong`], [`WriteError::BatchTooLarge`] (the value is longer than a
    /// chunk: write it as a stream), [`WriteError::Full`] and [`WriteError::Corrupted`] leave the store as it was.
    /// [`WriteError::Device`] after a failed write or sync poisons it: whether the block is there shows when it is opened
    /// again.
    pub fn put(
        &mut self,
        name: &[u8],
        value: &[u8],
        tag: u64,
        durability: Durability,
    ) -> Result<Sequence, WriteError<D::Error>> {
        if value.len() as u64 > u64::from(self.geometry.chunk_size()) {
            return Err(WriteError::BatchTooLarge);
        }
        self.commit_one::<true>(name, Some(value), tag, durability)
    }

    /// As [`put`](Self::put), of a value of at most a quarter of a page, which becomes part of the registry's record
    /// ([`Geometry::max_inline`](crate::Geometry::max_inline)). An image that puts by this alone has no code that gives values pages of their own.
    ///
    /// # Errors
    /// As [`put`](Self::put); [`WriteError::BatchTooLarge`] if the value is longer.
    pub fn put_small(
        &mut self,
        name: &[u8],
        value: &[u8],
        tag: u64,
        durability: Durability,
    ) -> Result<Sequence, WriteError<D::Error>> {
        if value.len() > self.geometry.max_inline() {
            return Err(WriteError::BatchTooLarge);
        }
        self.commit_one::<false>(name, Some(value), tag, durability)
    }

    /// Commits the deletion of one block, without a batch. Deleting one that does not exist changes nothing that can be seen,
    /// and is a commit all the same.
    ///
    /// # Errors
    /// As [`put`](Self::put); a full device takes deletions.
    pub fn delete(&mut self, name: &[u8], durability: Durability) -> Result<Sequence, WriteError<D::Error>> {
        self.commit_one::<false>(name, None, 0, durability)
    }

    fn commit_one<const PLACES: bool>(
        &mut self,
        name: &[u8],
        value: Option<&[u8]>,
        tag: u64,
        durability: Durability,
    ) -> Result<Sequence, WriteError<D::Error>> {
        Self::check_name(&self.geometry, name)?;
        let mut one = One::new(&self.geometry, name, value, tag);
        let group = core::slice::from_mut(&mut one);
        let written = self.write_group::<_, PLACES>(group, durability, durability == Durability::Durable);
        written.map_err(|failure| self.io.write_error(failure))
    }

    /// Of a [`put`](Self::put) of `value` bytes under a name of `name` bytes, or, with 0 bytes, of a [`delete`](Self::delete), if there
    /// is room; else a [whole checkpoint](Self::bound_of_checkpoint) comes on top, as for [`bound_of_commit`](Self::bound_of_commit).
    pub fn bound_of_put(&self, name: usize, value: usize) -> Bound {
        let bound = self.bound_of_commit(1, (OpHeader::SIZE + name + 8 + value) as u64);
        // A value that the record could carry may get pages of its own all the same.
        let apart = u64::from(value > self.geometry.max_inline());
        Bound { writes: bound.writes + apart, ..bound }
    }
}

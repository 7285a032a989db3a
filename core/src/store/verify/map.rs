//! The free map: compared with what is in use, and counted.

use super::VerifySink;
use super::walk::Walk;
use crate::device::BlockDevice;
use crate::error::ReadError;
use crate::failure::Failure;
use crate::overlay::Overlay;
use crate::store::{Store, space};

/// Free space inside a file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FreeSpace {
    /// Free pages.
    pub pages: u64,
    /// Runs that they form.
    pub runs: u64,
    /// Pages of the longest run.
    pub largest: u64,
}

impl FreeSpace {
    pub(crate) fn add(&mut self, pages: u64) {
        self.pages += pages;
        self.runs += u64::from(pages > 0);
        self.largest = self.largest.max(pages);
    }
}

impl<D: BlockDevice, O: Overlay, B: AsMut<[u8]>> Store<D, O, B> {
    /// Reads the map of a group and counts the bits that are set in it.
    #[inline(never)]
    pub(super) fn verify_group(
        &mut self,
        group: u32,
        walk: &mut Walk,
        sink: &mut impl VerifySink,
    ) -> Result<(), Failure> {
        match self.with_map(|map, space| map.scan_group(space, group, |_| {})) {
            Ok(0) => {}
            Ok(bits) => {
                walk.marked += bits;
                walk.slots += self.geometry.reserved(group);
            }
            Err(Failure::Corrupted) => self.report_damage(sink, &mut walk.report),
            Err(failure) => return Err(failure),
        }
        Ok(())
    }

    /// The free space inside the file as of the last checkpoint. Reads every map page.
    ///
    /// # Errors
    /// [`ReadError::Device`], [`ReadError::Corrupted`] for a damaged map page.
    pub fn free_space(&mut self) -> Result<FreeSpace, ReadError<D::Error>> {
        self.count_free().map_err(|failure| self.io.read_error(failure))
    }

    fn count_free(&mut self) -> Result<FreeSpace, Failure> {
        let geometry = self.geometry;
        let mut space = FreeSpace::default();
        for group in 0..geometry.groups(self.pages) {
            let start = geometry.group_start(group);
            let end = self.pages.min(start + geometry.group_pages());
            let mut at = (start + geometry.reserved(group)).min(end);
            self.with_map(|map, maps| {
                map.scan_group(maps, group, |used| {
                    space.add(used.start.0.min(end).saturating_sub(at));
                    at = used.end().min(end);
                })
            })?;
            space.add(end - at);
        }
        Ok(space)
    }

    /// Hands the free map, and memory for its pages, to `work`.
    pub(super) fn with_map<R>(
        &mut self,
        work: impl FnOnce(
            &mut crate::freemap::FreeMap,
            &mut crate::freemap::MapSpace<'_, D>,
        ) -> Result<R, Failure>,
    ) -> Result<R, Failure> {
        let windows = space::windows(self.buffer.as_mut(), &self.memory, &self.geometry);
        let windows = windows.ok_or(Failure::WorkspaceTooSmall)?;
        let mut space = crate::freemap::MapSpace {
            device: &mut self.io,
            geometry: &self.geometry,
            top: &self.superblock.map_digest,
            windows,
        };
        work(&mut self.map, &mut space)
    }
}

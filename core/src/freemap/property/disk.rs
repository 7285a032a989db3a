//! The device under a free map: map pages only, and none that the durable generation uses is written.

use super::super::{MapSpace, MapTop};
use super::runs::Runs;
use crate::device::{BlockDevice, Io, MemoryError};
use crate::digest::Digest;
use crate::format::{Geometry, MapEntry, MapHeader};
use crate::ids::{Extent, PageIndex};
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;

#[derive(Clone, Debug)]
pub(super) struct Disk {
    geometry: Geometry,
    pages: BTreeMap<u64, Vec<u8>>,
    /// The map pages that the durable superblock leads to.
    durable: BTreeSet<u64>,
}

impl Disk {
    pub(super) const fn new(geometry: Geometry) -> Self {
        Self { geometry, pages: BTreeMap::new(), durable: BTreeSet::new() }
    }

    pub(super) const fn space<'a>(
        device: &'a mut Io<Self>,
        geometry: &'a Geometry,
        top: &'a MapTop,
        windows: &'a mut [u8],
    ) -> MapSpace<'a, Self> {
        MapSpace { device, geometry, top: &top.at.digest.0, windows }
    }

    /// Demands that the map under `top` says exactly that `used` is in use, and guards its pages.
    pub(super) fn adopt(&mut self, top: MapTop, used: &Runs) {
        let mut reached = BTreeSet::new();
        let mut known = Runs::default();
        let bits = if top.at.slot == 0 {
            assert_eq!(top.at.used, 0, "an absent map says that nothing is in use");
            0
        } else {
            self.page(top.level, 0, (top.at.slot, top.at.digest), &mut reached, &mut known)
        };
        assert_eq!(bits, top.at.used, "bits counted");
        for extent in used.extents() {
            assert!(known.covers(extent), "{extent:?} is in use and the map calls it free");
        }
        assert_eq!(known.pages(), used.pages(), "the map calls pages used that nothing refers to");
        self.durable = reached;
    }

    /// Checks a map page and all below it; returns the number of set bits and adds what they stand for.
    fn page(
        &self,
        level: u32,
        index: u32,
        (slot, digest): (u32, Digest),
        reached: &mut BTreeSet<u64>,
        known: &mut Runs,
    ) -> u64 {
        let geometry = &self.geometry;
        let at = geometry.map_page(level, index, slot);
        assert!((1..=2).contains(&slot) && reached.insert(at), "page {at} is met twice");
        let page = self.pages.get(&at).expect("it was written");
        assert_eq!(Digest::of(page), digest, "map page {index} of level {level}");
        let header = MapHeader::read(page).expect("a head");
        let found = (header.magic, header.level.get(), header.index.get());
        assert_eq!(found, (MapHeader::MAGIC, level, index.into()));
        assert_eq!(header.reserved, [0; 16]);
        let rest = &page[MapHeader::SIZE..];
        if level > 0 {
            let entries = (0..geometry.map_fanout()).map(|child| {
                let entry = MapEntry::read(&rest[child as usize * MapEntry::SIZE..]).expect("an entry");
                if entry.slot.get() == 0 {
                    assert_eq!(entry.used.get(), 0, "an absent page says that nothing is in use");
                    return 0;
                }
                let below = index * geometry.map_fanout() as u32 + child as u32;
                let bits =
                    self.page(level - 1, below, (entry.slot.get(), Digest(entry.digest)), reached, known);
                assert_eq!(bits, entry.used.get(), "bits counted below level {level}");
                bits
            });
            return entries.sum();
        }
        let set = |bit: &u64| rest[*bit as usize / 8] >> (bit % 8) & 1 == 1;
        let all = geometry.group_pages();
        let slots = geometry.reserved(index);
        assert_eq!((0..slots).filter(set).count() as u64, slots, "the slots are in use");
        let start = geometry.group_start(index);
        (slots..all).filter(set).for_each(|bit| known.add(Extent::new(PageIndex(start + bit), 1)));
        (0..all).filter(set).count() as u64
    }
}

impl BlockDevice for Disk {
    type Error = MemoryError;

    fn read(&mut self, offset: u64, buf: &mut [u8]) -> Result<(), MemoryError> {
        let size = self.geometry.page_size();
        assert!(offset.is_multiple_of(size as u64) && buf.len() == size);
        match self.pages.get(&(offset / size as u64)) {
            Some(page) => buf.copy_from_slice(page),
            None => buf.fill(0xEE),
        }
        Ok(())
    }

    fn write(&mut self, offset: u64, data: &[u8]) -> Result<(), MemoryError> {
        let page = offset / self.geometry.page_size() as u64;
        let group = self.geometry.group_of(page);
        let within = page - self.geometry.group_start(group);
        assert!(
            data.len() == self.geometry.page_size() && within < self.geometry.reserved(group),
            "a map page"
        );
        assert!(!self.durable.contains(&page), "page {page} of the durable map is overwritten");
        self.pages.insert(page, data.to_vec());
        Ok(())
    }

    fn sync(&mut self) -> Result<(), MemoryError> {
        Ok(())
    }

    fn length(&mut self) -> Result<u64, MemoryError> {
        Ok(u64::MAX)
    }

    fn grow(&mut self, _: u64) -> Result<(), MemoryError> {
        Ok(())
    }

    fn atomic_unit(&self) -> u32 {
        512
    }
}

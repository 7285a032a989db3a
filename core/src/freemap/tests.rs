//! Map pages that a forger has made.

extern crate std;

use super::{FreeMap, MapRef, MapSpace, MapTop};
use crate::device::{BlockDevice, Io, VecDevice};
use crate::digest::Digest;
use crate::failure::Failure;
use crate::format::{Geometry, MapEntry, MapHeader, U32, U64};
use std::vec;
use zerocopy::IntoBytes as _;

/// An entry that leads to a slot that cannot be was damage the first time. From the second on the window that had
/// been set aside for it, and that says of itself that it holds nothing, was taken for the page.
#[test]
fn a_slot_that_cannot_be_is_damage_each_time() {
    let geometry = Geometry::new(512, 512, 2048, 512).expect("possible");
    let pages = geometry.pages_under(2);
    for slot in [3, u32::MAX] {
        let mut disk = Io::new(VecDevice::new(512, 1 << 30));
        disk.grow(geometry.offset(geometry.first_group() + 64)).expect("room");
        let header =
            MapHeader { magic: MapHeader::MAGIC, level: U32::new(2), index: U64::new(0), reserved: [0; 16] };
        let entry =
            MapEntry { digest: [9; 32], used: U64::new(0), slot: U32::new(slot), reserved: U32::new(0) };
        let mut page = [0; 512];
        page[..MapHeader::SIZE].copy_from_slice(header.as_bytes());
        page[MapHeader::SIZE..][..MapEntry::SIZE].copy_from_slice(entry.as_bytes());
        disk.write(geometry.offset(geometry.map_page(2, 0, 1)), &page).expect("written");
        let top = MapTop { level: 2, at: MapRef { digest: Digest::of(&page), used: 0, slot: 1 } };
        let mut map = FreeMap::new(top, geometry.first_group(), pages, &geometry);
        let mut windows = vec![0; 8 * 512];
        for _ in 0..3 {
            let digest = &top.at.digest.0;
            let space =
                &mut MapSpace { device: &mut disk, geometry: &geometry, top: digest, windows: &mut windows };
            let found = map.allocate(space, (1, 1), (pages, 0), |_| None);
            assert_eq!(found.err(), Some(Failure::Corrupted), "slot {slot}");
        }
    }
}

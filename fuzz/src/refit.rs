//! Makes a forged registry fit the free map and the counts of its file: what the tree refers to is marked
//! used, nothing else is, and the superblock counts what there is. Without that, whatever a forged
//! tree looks like, the first thing to be found wrong would be a number.

use crate::reseal::newest;
use blockyard_core::format::{Geometry, MapHeader, SLOT_STRIDE, Superblock};
use blockyard_core::tree::{NodeView, Place};

/// Nodes that are visited at most.
const BUDGET: u32 = 400;

/// Counts what the tree of an image in one group refers to, and writes it into map slot A and the newest
/// superblock, not sealed.
pub fn refit(image: &mut [u8]) {
    let Some(mut superblock) = newest(image) else { return };
    let Ok(geometry) = superblock.geometry() else { return };
    let mut count =
        Count { image, geometry, budget: BUDGET, pages: Vec::new(), blocks: 0, bytes: 0, nodes: 0 };
    if superblock.height.get() > 0 {
        count.visit(superblock.root_page.get(), superblock.height.get().min(24) - 1);
    }
    let Count { pages, blocks, bytes, nodes, .. } = count;
    let first = geometry.first_group();
    let mut map = vec![0; geometry.page_size()];
    let header = MapHeader { magic: MapHeader::MAGIC, level: 0.into(), index: 0.into(), reserved: [0; 16] };
    map[..MapHeader::SIZE].copy_from_slice(header.bytes());
    // Group 0 begins with two slots for each level of the map.
    let slots = 0..16;
    for page in slots.chain(pages.into_iter().filter_map(|page| page.checked_sub(first))) {
        if let Some(byte) = usize::try_from(page / 8).ok().and_then(|at| map.get_mut(MapHeader::SIZE + at)) {
            *byte |= 1 << (page % 8);
        }
    }
    let used: u64 = map[MapHeader::SIZE..].iter().map(|byte| u64::from(byte.count_ones())).sum();
    let at = geometry.offset(first) as usize;
    if let Some(place) = image.get_mut(at..at + map.len()) {
        place.copy_from_slice(&map);
    }
    (superblock.map_level, superblock.map_slot) = (0.into(), 1.into());
    (superblock.used_pages, superblock.tree_pages) = (used.into(), nodes.into());
    (superblock.blocks, superblock.bytes) = (blocks.into(), bytes.into());
    let slot = u64::from(superblock.slot_of(0)) * SLOT_STRIDE;
    if let Some(place) = image.get_mut(slot as usize..slot as usize + Superblock::SIZE) {
        place.copy_from_slice(superblock.bytes());
    }
}

struct Count<'i> {
    image: &'i [u8],
    geometry: Geometry,
    budget: u32,
    pages: Vec<u64>,
    blocks: u64,
    bytes: u64,
    nodes: u64,
}

impl Count<'_> {
    fn visit(&mut self, page: u64, level: u32) -> Option<()> {
        self.budget = self.budget.checked_sub(1)?;
        let start = usize::try_from(self.geometry.offset(page)).ok()?;
        let image = self.image;
        let node = NodeView::parse(image.get(start..start.checked_add(self.geometry.page_size())?)?)?;
        self.pages.push(page);
        self.nodes += 1;
        for index in 0..node.len() {
            if level > 0 {
                node.child(index).and_then(|child| self.visit(child.page.0, level - 1));
                continue;
            }
            let (Some(key), Some(record)) = (node.key(index), node.record(index)) else { continue };
            if key.chunk == 0 {
                self.blocks += 1;
                self.bytes = self.bytes.saturating_add(record.length);
            }
            let (page, length) = match record.place {
                Place::Inline(_) => continue,
                Place::Extent { page, .. } | Place::Chunk { page, .. } => (page, record.length),
                Place::Head { page, chunk_size, .. } => (page, record.length.min(chunk_size.into())),
            };
            let pages = self.geometry.pages_for(length).min(256);
            self.pages.extend((0..pages).map(|more| page.0.saturating_add(more)));
        }
        Some(())
    }
}

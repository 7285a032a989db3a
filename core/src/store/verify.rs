//! Verifying every byte of a file.

mod trail;

use super::read::TreePages;
use super::{Store, space};
use crate::device::BlockDevice;
use crate::error::{Damage, ReadError, Structure};
use crate::failure::Failure;
use crate::format::{MAP_LEVELS, SLOT_STRIDE, SLOTS, Superblock};
use crate::ids::{Extent, PageIndex};
use crate::overlay::Overlay;
use crate::tree::{Child, MAX_HEIGHT, NodeSource, NodeView, Place, Record};
use trail::Trail;

/// What was found to be wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Problem {
    /// Bytes are not what was written there.
    Damaged(Damage),
    /// Pages are in use that the free map calls free, or that are its own: they might be overwritten.
    Unmarked(Extent),
    /// The free map or the superblock counts other numbers than the tree holds.
    Miscounted {
        /// What was recorded.
        recorded: u64,
        /// What was found.
        found: u64,
    },
}

/// Hears of everything that verification meets.
pub trait VerifySink {
    /// A problem, with the name of the block that it was met under, if any.
    fn problem(&mut self, name: Option<&[u8]>, problem: Problem);
    /// A block's first record or a further chunk was checked: its name and bytes.
    fn checked(&mut self, name: &[u8], first: bool, bytes: u64);
    /// These pages are in use by the registry or a block.
    fn reachable(&mut self, extent: Extent) {
        let _ = extent;
    }
}

/// What verification counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct VerifyReport {
    /// Blocks in the registry.
    pub blocks: u64,
    /// Bytes of their values.
    pub bytes: u64,
    /// Pages of the registry.
    pub tree_pages: u64,
    /// Pages in use by the registry and the blocks.
    pub used_pages: u64,
    /// Pages that the free map calls used and nothing refers to.
    pub leaked_pages: u64,
    /// Problems reported.
    pub problems: u64,
}

impl VerifyReport {
    /// Counts a problem and tells it.
    pub(crate) fn add(&mut self, sink: &mut impl VerifySink, name: Option<&[u8]>, problem: Problem) {
        self.problems += 1;
        sink.problem(name, problem);
    }
}

impl<D: BlockDevice, O: Overlay, B: AsMut<[u8]>> Store<D, O, B> {
    /// Reads and digests the superblock copies and everything that the newest of them leads to: the
    /// registry, every block's bytes, the free map; and compares the free map with what is in use, keys
    /// with those before them, and each list of chunks with its block. Changes that are still in the
    /// journal are checked when they are read or folded in; call [`checkpoint`](Self::checkpoint) first
    /// to have them here.
    ///
    /// # Errors
    /// A device that fails to read; damage is reported to `sink` and verification goes on.
    pub fn verify(&mut self, sink: &mut impl VerifySink) -> Result<VerifyReport, ReadError<D::Error>> {
        self.verify_all(sink).map_err(|failure| self.io.read_error(failure))
    }

    #[inline(never)]
    fn verify_all(&mut self, sink: &mut impl VerifySink) -> Result<VerifyReport, Failure> {
        let mut report = VerifyReport::default();
        self.verify_superblocks(sink, &mut report)?;
        let root = self.root();
        if root.height > 0 {
            let child = Child { page: root.page, digest: root.digest };
            self.verify_tree(child, root.height, sink, &mut report)?;
        }
        self.verify_map(sink, &mut report)?;
        let superblock = &self.superblock;
        if report.problems == 0 {
            let counts = [
                (superblock.blocks.get(), report.blocks),
                (superblock.bytes.get(), report.bytes),
                (superblock.tree_pages.get(), report.tree_pages),
            ];
            for (recorded, found) in counts.into_iter().filter(|(recorded, found)| recorded != found) {
                report.add(sink, None, Problem::Miscounted { recorded, found });
            }
        }
        Ok(report)
    }

    /// Checks every superblock copy that was ever written. One that is damaged, or was torn by a power
    /// cut, is stood in for by its twin and written anew when the file is next opened for writing.
    #[inline(never)]
    fn verify_superblocks(
        &mut self,
        sink: &mut impl VerifySink,
        report: &mut VerifyReport,
    ) -> Result<(), Failure> {
        for slot in 0..SLOTS {
            let offset = u64::from(slot) * SLOT_STRIDE;
            let size = self.geometry.slot_size();
            let Some((pages, ..)) = self.tree_pages() else {
                return Err(Failure::WorkspaceTooSmall);
            };
            let bytes = pages.page.get_mut(..size).unwrap_or_default();
            pages.io.read(offset, bytes)?;
            let unwritten = bytes.iter().all(|&byte| byte == 0);
            if !unwritten && !Superblock::read(bytes).is_some_and(|copy| copy.is_valid(slot)) {
                report.add(sink, None, Problem::Damaged(Damage { what: Structure::Superblock, offset }));
            }
        }
        Ok(())
    }

    /// Goes through the tree in key order. A node is read again for each of its children, so that
    /// any depth takes one page of memory.
    fn verify_tree(
        &mut self,
        root: Child,
        height: u32,
        sink: &mut impl VerifySink,
        report: &mut VerifyReport,
    ) -> Result<(), Failure> {
        let trail = &mut Trail::new();
        let path = &mut Path::new();
        self.verify_node(&root, height - 1, path, trail, sink, report)?;
        while let Some(node) = path.last_mut() {
            let at = node.index;
            node.index += 1;
            if at == node.count {
                path.pop();
            } else if node.level > 0 {
                self.verify_child(at, path, trail, sink, report)?;
            } else {
                self.verify_cell(&node.child, at, trail, sink, report)?;
            }
        }
        let damage = self.node_damage(&root);
        let Some((_, names)) = self.pages_and_name() else { return Ok(()) };
        trail.end(names, &mut |name| report.add(sink, name, damage));
        Ok(())
    }

    /// Checks a node but for its cells, and puts it into the path if those are to be looked at.
    #[inline(never)]
    fn verify_node(
        &mut self,
        child: &Child,
        level: u32,
        path: &mut Path,
        trail: &mut Trail,
        sink: &mut impl VerifySink,
        report: &mut VerifyReport,
    ) -> Result<(), Failure> {
        let count = match self.verified_node(child, level, |node, _| node.len()) {
            Ok(count) => count,
            Err(Failure::Corrupted) => {
                self.report_damage(sink, report);
                trail.lose();
                return Ok(());
            }
            Err(failure) => return Err(failure),
        };
        report.tree_pages += 1;
        if report.tree_pages > self.pages {
            // A forged tree that leads round in circles: it has more nodes than the file has pages.
            if report.tree_pages == self.pages + 1 {
                report.add(sink, None, self.node_damage(child));
            }
            return Ok(());
        }
        self.verify_used(Extent::new(child.page, 1), None, sink, report)?;
        let node = Node { child: *child, level, index: 0, count };
        path.push(node).map_err(|_| Failure::WorkspaceTooSmall)
    }

    /// Checks cell `index` of the path's last node, an inner one, and the node below it.
    #[inline(never)]
    fn verify_child(
        &mut self,
        index: usize,
        path: &mut Path,
        trail: &mut Trail,
        sink: &mut impl VerifySink,
        report: &mut VerifyReport,
    ) -> Result<(), Failure> {
        let Some(Node { child, level, .. }) = path.last() else { return Ok(()) };
        let level = *level;
        let damage = self.node_damage(child);
        let below = self.verified_node(child, level, |node, last| {
            let below = node.child(index)?;
            let told = &mut |name: Option<&[u8]>| report.add(sink, name, damage);
            Some((below, node.key(index).is_some_and(|key| trail.descend(last, key, told))))
        })?;
        if !below.is_some_and(|(_, ascends)| ascends) {
            report.add(sink, None, damage);
        }
        match below {
            Some((below, _)) => self.verify_node(&below, level - 1, path, trail, sink, report),
            None => {
                trail.lose();
                Ok(())
            }
        }
    }

    /// Checks cell `index` of a leaf, and what it leads to.
    #[inline(never)]
    fn verify_cell(
        &mut self,
        leaf: &Child,
        index: usize,
        trail: &mut Trail,
        sink: &mut impl VerifySink,
        report: &mut VerifyReport,
    ) -> Result<(), Failure> {
        let damage = self.node_damage(leaf);
        let record = self.verified_node(leaf, 0, |node, last| {
            let (key, record) = (node.key(index)?, node.record(index)?);
            trail.record(last, key, &record, &mut |name| report.add(sink, name, damage));
            Some(fixed(&record))
        })?;
        match record {
            Some(record) => self.verify_record(trail, &record, sink, report),
            None => {
                report.add(sink, None, damage);
                trail.lose();
                Ok(())
            }
        }
    }

    /// Tells the damage that was met last.
    fn report_damage(&self, sink: &mut impl VerifySink, report: &mut VerifyReport) {
        if let Some(damage) = self.io.damage() {
            report.add(sink, None, Problem::Damaged(damage));
        }
    }

    /// The problem of a node that does not parse or whose cells do not belong together.
    fn node_damage(&self, child: &Child) -> Problem {
        let offset = self.geometry.offset(child.page.0);
        Problem::Damaged(Damage { what: Structure::Registry, offset })
    }

    /// The pages of the tree, and memory for the trail's name: that of the lower bound of a fold's leaf, of which there
    /// is none between its steps.
    fn pages_and_name(&mut self) -> Option<(TreePages<'_, D>, &mut [u8])> {
        let space = space::divide(self.buffer.as_mut(), &self.memory, &self.geometry)?;
        let page = space.transfer.get_mut(..self.geometry.page_size())?;
        let pages = TreePages { io: &mut self.io, geometry: &self.geometry, page, pages: self.pages };
        Some((pages, space.fold.floor))
    }

    /// The name that a trail has come to.
    fn name_of(&mut self, trail: &Trail) -> &[u8] {
        let space = space::divide(self.buffer.as_mut(), &self.memory, &self.geometry);
        trail.name(space.map(|space| space.fold.floor).unwrap_or_default())
    }

    /// Hands a node, and the memory for the trail's name, to `look`.
    fn verified_node<R>(
        &mut self,
        child: &Child,
        level: u32,
        look: impl FnOnce(&NodeView<'_>, &mut [u8]) -> R,
    ) -> Result<R, Failure> {
        let Some((mut pages, name)) = self.pages_and_name() else {
            return Err(Failure::WorkspaceTooSmall);
        };
        let page = pages.node(*child, level)?;
        let looked = NodeView::parse(page).map(|node| look(&node, name));
        looked.ok_or_else(|| pages.damaged(child.page))
    }

    #[inline(never)]
    fn verify_record(
        &mut self,
        trail: &Trail,
        record: &Fixed,
        sink: &mut impl VerifySink,
        report: &mut VerifyReport,
    ) -> Result<(), Failure> {
        let first = trail.chunk() == 0;
        if first {
            report.blocks += 1;
            report.bytes = report.bytes.saturating_add(record.length);
        }
        let Some((page, bytes, digest)) = record.extent else {
            sink.checked(self.name_of(trail), true, record.length);
            return Ok(());
        };
        let extent = Extent::new(page, self.geometry.pages_for(bytes));
        let damage = Damage { what: Structure::Block, offset: self.geometry.offset(page.0) };
        // A forged tree may name the same pages again and again: no more is read than the file has.
        let inside =
            extent.end() <= self.pages && report.used_pages.saturating_add(extent.pages) <= self.pages;
        if !inside || !self.extent_has(page.0, bytes, &digest.0)? {
            report.add(sink, Some(self.name_of(trail)), Problem::Damaged(damage));
        }
        self.verify_used(extent, Some(trail), sink, report)?;
        sink.checked(self.name_of(trail), first, if inside { bytes } else { 0 });
        Ok(())
    }

    /// Checks that pages in use are marked so.
    #[inline(never)]
    fn verify_used(
        &mut self,
        extent: Extent,
        trail: Option<&Trail>,
        sink: &mut impl VerifySink,
        report: &mut VerifyReport,
    ) -> Result<(), Failure> {
        sink.reachable(extent);
        report.used_pages = report.used_pages.saturating_add(extent.pages);
        let inside = self.geometry.may_hold(extent) && extent.end() <= self.pages;
        let marked = inside
            && match self.with_map(|map, space| map.is_used(space, extent)) {
                Ok(marked) => marked,
                Err(Failure::Corrupted) => return Ok(()),
                Err(failure) => return Err(failure),
            };
        if !marked {
            let name = trail.map(|trail| self.name_of(trail));
            report.add(sink, name, Problem::Unmarked(extent));
        }
        Ok(())
    }

    /// Reads every map page and compares the number of set bits with what is in use.
    #[inline(never)]
    fn verify_map(&mut self, sink: &mut impl VerifySink, report: &mut VerifyReport) -> Result<(), Failure> {
        let geometry = self.geometry;
        let (mut used, mut slots) = (0, 0);
        for group in 0..geometry.groups(self.pages) {
            match self.with_map(|map, space| map.scan_group(space, group, |_| {})) {
                Ok(0) => {}
                Ok(bits) => {
                    used += bits;
                    slots += geometry.reserved(group);
                }
                Err(Failure::Corrupted) => self.report_damage(sink, report),
                Err(failure) => return Err(failure),
            }
        }
        debug_assert!(u32::from(self.map.durable().level) <= MAP_LEVELS, "checked when the file was opened");
        let in_blocks = used - slots;
        report.leaked_pages = in_blocks.saturating_sub(report.used_pages);
        if report.problems == 0
            && (in_blocks != report.used_pages || used != self.superblock.used_pages.get())
        {
            report.problems += 1;
            let (recorded, found) = (in_blocks, report.used_pages);
            sink.problem(None, Problem::Miscounted { recorded, found });
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

    fn with_map<R>(
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

/// From the root down to the node at hand.
type Path = heapless::Vec<Node, MAX_HEIGHT>;

/// A node whose cells are being checked, and the next of them.
struct Node {
    child: Child,
    level: u32,
    index: usize,
    count: usize,
}

/// A record without its bytes.
struct Fixed {
    length: u64,
    extent: Option<(PageIndex, u64, crate::Digest)>,
}

fn fixed(record: &Record<'_>) -> Fixed {
    let extent = match record.place {
        Place::Inline(_) => None,
        Place::Extent { page, digest } => Some((page, record.length, digest)),
        Place::Chunk { page, digest } => Some((page, record.length, digest)),
        Place::Head { page, chunk_digest, chunk_size, .. } => {
            Some((page, record.length.min(u64::from(chunk_size)), chunk_digest))
        }
    };
    Fixed { length: record.length, extent }
}

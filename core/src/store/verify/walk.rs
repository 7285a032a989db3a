//! The walk through what is verified: the copies of the superblock, the registry in key order, the groups of the free map.
//!
//! 1. A call checks one thing and reads at most one page of each kind for it: a node again for each of its cells, so that any
//!    depth takes one page of memory.
//! 2. The last name lies in the memory of a fold's lower bound, of which there is none between its steps.
//! 3. When another registry has taken the place of the one at hand the walk goes on in it, behind the last key: what was not changed
//!    is met once, but for the list of a block of chunks in whose middle that was, which is compared with nothing. Keys in
//!    disorder end it there, for a search among them may lead back.

use super::trail::Trail;
use super::{Problem, VerifyReport, VerifySink};
use crate::device::BlockDevice;
use crate::digest::Digest;
use crate::error::{Damage, Structure};
use crate::failure::Failure;
use crate::format::{MAP_LEVELS, SLOT_STRIDE, SLOTS, Superblock};
use crate::ids::{Extent, PageIndex};
use crate::overlay::Overlay;
use crate::store::read::TreePages;
use crate::store::{Store, space};
use crate::tree::{Child, MAX_HEIGHT, NodeSource, NodeView, Place, Record};
use zerocopy::FromBytes as _;

/// From the root down to the node at hand.
type Path = heapless::Vec<Node, MAX_HEIGHT>;

/// A node whose cells are being checked, and the next of them.
struct Node {
    child: Child,
    level: u8,
    index: u16,
    count: u16,
}

impl Node {
    /// The count of one that was not read yet. No page has as many cells.
    const UNREAD: u16 = u16::MAX;

    const fn unread(child: Child, level: u32) -> Self {
        Self { child, level: level as u8, index: 0, count: Self::UNREAD }
    }

    const fn new(child: Child, level: u32, index: usize, count: usize) -> Self {
        Self { child, level: level as u8, index: index as u16, count: count as u16 }
    }
}

/// What is checked next.
#[derive(Clone, Copy)]
enum Stage {
    Copies,
    Root,
    Tree,
    Group(u32),
    Over,
}

/// What became of a call.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Next {
    /// Something was checked.
    Checked,
    /// The next cell is nearer.
    OnTheWay,
    /// There was nothing more.
    Over,
}

/// How far a verification is.
pub(super) struct Walk {
    pub(super) report: VerifyReport,
    stage: Stage,
    /// Of the superblock whose registry is gone through.
    generation: u64,
    path: Path,
    trail: Trail,
    /// Bits that are set in the free map, and those among them that are the map's own pages.
    pub(super) marked: u64,
    pub(super) slots: u64,
}

impl Walk {
    pub(super) const fn new() -> Self {
        let report = VerifyReport {
            blocks: 0,
            bytes: 0,
            tree_pages: 0,
            used_pages: 0,
            leaked_pages: 0,
            problems: 0,
            partial: false,
        };
        Self {
            report,
            stage: Stage::Copies,
            generation: 0,
            path: Path::new(),
            trail: Trail::new(),
            marked: 0,
            slots: 0,
        }
    }

    /// Begins anew where it lies.
    pub(super) fn begin(&mut self) {
        self.report = VerifyReport::default();
        (self.stage, self.generation) = (Stage::Copies, 0);
        self.path.clear();
        self.trail.begin();
        (self.marked, self.slots) = (0, 0);
    }

    pub(super) const fn is_over(&self) -> bool {
        matches!(self.stage, Stage::Over)
    }

    /// Something could not be read, and what it leads to is not met.
    pub(super) fn pass_over(&mut self) {
        self.report.partial = true;
        self.trail.lose();
    }

    /// The last value is to be met again.
    pub(super) fn give_back(&mut self) {
        self.trail.stay();
    }

    /// Counts a block, or (not `first`) a further chunk of one.
    fn count(&mut self, first: bool, bytes: u64) {
        self.report.blocks += u64::from(first);
        self.report.bytes = self.report.bytes.saturating_add(bytes);
    }
}

/// A value, or a chunk of one, in pages of its own.
#[derive(PartialEq, Eq)]
pub(super) struct Value {
    pub(super) page: PageIndex,
    pub(super) bytes: u64,
    pub(super) digest: Digest,
    first: bool,
    /// Whether it lies in the file, and no more has been met than that has pages.
    pub(super) inside: bool,
}

/// The page, bytes and digest of what a record has pages for.
fn placed(record: &Record<'_>) -> Option<(PageIndex, u64, Digest)> {
    match record.place {
        Place::Inline(_) => None,
        Place::Extent { page, digest } | Place::Chunk { page, digest } => Some((page, record.length, digest)),
        Place::Head { page, chunk_digest, chunk_size, .. } => {
            Some((page, record.length.min(u64::from(chunk_size)), chunk_digest))
        }
    }
}

impl<D: BlockDevice, O: Overlay, B: AsMut<[u8]>> Store<D, O, B> {
    /// Checks what comes next. A value is not read but put into `found`, for
    /// [`verify_value`](Self::verify_value).
    #[inline(never)]
    pub(super) fn verify_next(
        &mut self,
        walk: &mut Walk,
        found: &mut Option<Value>,
        sink: &mut impl VerifySink,
    ) -> Result<Next, Failure> {
        match walk.stage {
            Stage::Copies => {
                walk.generation = self.superblock.generation.get();
                walk.stage = Stage::Root;
                self.verify_superblocks(sink, &mut walk.report)?;
            }
            Stage::Root => {
                walk.stage = Stage::Tree;
                if let Some((root, level)) = self.top() {
                    let root = Node::unread(root, level);
                    walk.path.push(root).map_err(|_| Failure::WorkspaceTooSmall)?;
                }
                return Ok(Next::OnTheWay);
            }
            Stage::Tree => match walk.path.last_mut() {
                Some(node) if node.count == Node::UNREAD => {
                    self.verify_node(walk, sink)?;
                    return Ok(Next::OnTheWay);
                }
                Some(node) => {
                    let at = node.index;
                    node.index += 1;
                    if at == node.count {
                        walk.path.pop();
                        return Ok(Next::OnTheWay);
                    }
                    if node.level > 0 {
                        self.verify_child(at.into(), walk, sink)?;
                        return Ok(Next::OnTheWay);
                    }
                    self.verify_cell(at.into(), walk, found, sink)?;
                }
                None => {
                    walk.stage = Stage::Group(0);
                    self.end_tree(walk, sink);
                }
            },
            Stage::Group(group) if group < self.geometry.groups(self.pages) => {
                walk.stage = Stage::Group(group + 1);
                self.verify_group(group, walk, sink)?;
            }
            Stage::Group(_) | Stage::Over => {
                walk.stage = Stage::Over;
                self.compare(&mut walk.report, walk.marked, walk.slots, sink);
                return Ok(Next::Over);
            }
        }
        Ok(Next::Checked)
    }

    /// The root and its level.
    fn top(&self) -> Option<(Child, u32)> {
        let root = self.root();
        let level = root.height.checked_sub(1)?;
        Some((Child { page: root.page, digest: root.digest }, level))
    }

    /// Whether what a walk is in the middle of is still what the superblock leads to.
    pub(super) fn is_of_now(&self, walk: &Walk) -> bool {
        matches!(walk.stage, Stage::Copies) || walk.generation == self.superblock.generation.get()
    }

    /// Goes on in another registry, behind the last key.
    pub(super) fn walk_elsewhere(
        &mut self,
        walk: &mut Walk,
        sink: &mut impl VerifySink,
    ) -> Result<(), Failure> {
        walk.generation = self.superblock.generation.get();
        if matches!(walk.stage, Stage::Root) {
            return Ok(());
        }
        walk.report.partial = true;
        if !matches!(walk.stage, Stage::Tree) {
            return Ok(());
        }
        (walk.report.tree_pages, walk.report.used_pages) = (0, 0);
        walk.path.clear();
        walk.trail.lose();
        // Among keys in disorder, which were told, a search may lead back to where the walk was before.
        let Some((mut child, top)) = self.top().filter(|_| !walk.trail.is_astray()) else { return Ok(()) };
        for level in (0..top + 1).rev() {
            let trail = &walk.trail;
            let looked = self.verified_node(&child, level, |node, name| {
                let index = trail.place_in(node, level, name);
                (index, node.len(), node.child(index))
            });
            let (index, count, below) = match looked {
                Err(Failure::Corrupted) => {
                    self.report_damage(sink, &mut walk.report);
                    return Ok(());
                }
                looked => looked?,
            };
            let index = index + usize::from(level > 0);
            let node = Node::new(child, level, index, count);
            walk.path.push(node).map_err(|_| Failure::WorkspaceTooSmall)?;
            match below {
                _ if level == 0 => {}
                Some(below) => child = below,
                None => {
                    let damage = self.node_damage(&child);
                    walk.report.add(sink, None, damage);
                    return Ok(());
                }
            }
        }
        Ok(())
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
            // Where it lies: it is large for a small stack.
            let copy = Superblock::ref_from_prefix(bytes);
            if !unwritten && !copy.is_ok_and(|(copy, _)| copy.is_valid(slot)) {
                report.add(sink, None, Problem::Damaged(Damage { what: Structure::Superblock, offset }));
            }
        }
        Ok(())
    }

    /// Nothing more of the registry comes.
    #[inline(never)]
    fn end_tree(&mut self, walk: &mut Walk, sink: &mut impl VerifySink) {
        let Some((root, _)) = self.top() else { return };
        let damage = self.node_damage(&root);
        let Walk { trail, report, .. } = walk;
        trail.end(self.walked_name(), &mut |name| report.add(sink, name, damage));
    }

    /// Reads the path's last node and checks it but for its cells; takes it out again if these are not to be looked at.
    #[inline(never)]
    fn verify_node(&mut self, walk: &mut Walk, sink: &mut impl VerifySink) -> Result<(), Failure> {
        let Walk { path, trail, report, .. } = walk;
        let Some(node) = path.last_mut() else { return Ok(()) };
        let (page, looked) =
            (node.child.page, self.verified_node(&node.child, node.level.into(), |node, _| node.len()));
        match looked {
            Ok(count) => node.count = count as u16,
            Err(failure) => {
                path.pop();
                trail.lose();
                if !matches!(failure, Failure::Corrupted) {
                    return Err(failure);
                }
                self.report_damage(sink, report);
                return Ok(());
            }
        }
        report.tree_pages += 1;
        if report.tree_pages > self.pages {
            // A forged tree that leads round in circles: it has more nodes than the file has pages.
            if report.tree_pages == self.pages + 1 {
                report.add(sink, None, self.node_damage(&node.child));
            }
            path.pop();
            return Ok(());
        }
        self.verify_used(Extent::new(page, 1), None, report, sink)
    }

    /// Checks cell `index` of the path's last node, an inner one, and puts the node below it into the path.
    #[inline(never)]
    fn verify_child(
        &mut self,
        index: usize,
        walk: &mut Walk,
        sink: &mut impl VerifySink,
    ) -> Result<(), Failure> {
        let Walk { path, trail, report, .. } = walk;
        let Some(Node { child, level, .. }) = path.last() else { return Ok(()) };
        let level = u32::from(*level);
        let damage = self.node_damage(child);
        let below = self.verified_node(child, level, |node, last| {
            let below = node.child(index)?;
            let told = &mut |name: Option<&[u8]>| report.add(sink, name, damage);
            Some((below, node.key(index).is_some_and(|key| trail.descend(last, key, told))))
        });
        let below = match below {
            Err(Failure::Corrupted) => return self.give_up_node(walk, sink),
            below => below?,
        };
        if !below.is_some_and(|(_, ascends)| ascends) {
            report.add(sink, None, damage);
        }
        match below {
            Some((below, _)) => {
                let below = Node::unread(below, level - 1);
                path.push(below).map_err(|_| Failure::WorkspaceTooSmall)
            }
            None => {
                trail.stray();
                Ok(())
            }
        }
    }

    /// The path's last node was sound before and is not any more: tells it, and leaves its other cells out.
    #[cold]
    #[inline(never)]
    fn give_up_node(&self, walk: &mut Walk, sink: &mut impl VerifySink) -> Result<(), Failure> {
        self.report_damage(sink, &mut walk.report);
        walk.path.pop();
        walk.trail.lose();
        Ok(())
    }

    /// Checks cell `index` of the path's last node, a leaf; what it has pages for is put into `found`.
    #[inline(never)]
    fn verify_cell(
        &mut self,
        index: usize,
        walk: &mut Walk,
        found: &mut Option<Value>,
        sink: &mut impl VerifySink,
    ) -> Result<(), Failure> {
        let Walk { path, trail, report, .. } = walk;
        let Some(Node { child: leaf, .. }) = path.last() else { return Ok(()) };
        let damage = self.node_damage(leaf);
        let record = self.verified_node(leaf, 0, |node, last| {
            let (key, record) = (node.key(index)?, node.record(index)?);
            trail.record(last, key, &record, &mut |name| report.add(sink, name, damage));
            Some((record.length, placed(&record)))
        });
        let record = match record {
            Err(Failure::Corrupted) => return self.give_up_node(walk, sink),
            record => record?,
        };
        let Some((length, placed)) = record else {
            report.add(sink, None, damage);
            trail.stray();
            return Ok(());
        };
        let first = trail.chunk() == 0;
        let Some((page, bytes, digest)) = placed else {
            sink.checked(trail.name(self.walked_name()), true, length);
            walk.count(true, length);
            return Ok(());
        };
        let extent = Extent::new(page, self.geometry.pages_for(bytes));
        // A forged tree may name the same pages again and again: no more is read than the file has.
        let inside =
            extent.end() <= self.pages && report.used_pages.saturating_add(extent.pages) <= self.pages;
        *found = Some(Value { page, bytes, digest, first, inside });
        Ok(())
    }

    /// A value was read, or does not lie where one may; whether it is what its digest says.
    #[inline(never)]
    pub(super) fn verify_value(
        &mut self,
        value: &Value,
        sound: bool,
        walk: &mut Walk,
        sink: &mut impl VerifySink,
    ) -> Result<(), Failure> {
        let &Value { page, bytes, first, inside, .. } = value;
        walk.count(first, bytes);
        let Walk { trail, report, .. } = walk;
        if !sound {
            let damage = Damage { what: Structure::Block, offset: self.geometry.offset(page.0) };
            report.add(sink, Some(trail.name(self.walked_name())), Problem::Damaged(damage));
        }
        let extent = Extent::new(page, self.geometry.pages_for(bytes));
        self.verify_used(extent, Some(trail), report, sink)?;
        sink.checked(trail.name(self.walked_name()), first, if inside { bytes } else { 0 });
        Ok(())
    }

    /// Checks that pages in use are marked so.
    #[inline(never)]
    fn verify_used(
        &mut self,
        extent: Extent,
        trail: Option<&Trail>,
        report: &mut VerifyReport,
        sink: &mut impl VerifySink,
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
            let name = trail.map(|trail| trail.name(self.walked_name()));
            report.add(sink, name, Problem::Unmarked(extent));
        }
        Ok(())
    }

    /// Compares what was counted with what is recorded, if nothing else is wrong.
    #[inline(never)]
    fn compare(&self, report: &mut VerifyReport, marked: u64, slots: u64, sink: &mut impl VerifySink) {
        debug_assert!(u32::from(self.map.durable().level) <= MAP_LEVELS, "checked when the file was opened");
        if report.partial {
            return;
        }
        let (superblock, in_blocks) = (&self.superblock, marked - slots);
        report.leaked_pages = in_blocks.saturating_sub(report.used_pages);
        if report.problems > 0 {
            return;
        }
        if in_blocks != report.used_pages || marked != superblock.used_pages.get() {
            let (recorded, found) = (in_blocks, report.used_pages);
            return report.add(sink, None, Problem::Miscounted { recorded, found });
        }
        let counts = [
            (superblock.blocks.get(), report.blocks),
            (superblock.bytes.get(), report.bytes),
            (superblock.tree_pages.get(), report.tree_pages),
        ];
        for (recorded, found) in counts.into_iter().filter(|(recorded, found)| recorded != found) {
            report.add(sink, None, Problem::Miscounted { recorded, found });
        }
    }

    /// Tells the damage that was met last.
    pub(super) fn report_damage(&self, sink: &mut impl VerifySink, report: &mut VerifyReport) {
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

    /// The memory of the name that a walk has come to.
    pub(super) fn walked_name(&mut self) -> &mut [u8] {
        let space = space::divide(self.buffer.as_mut(), &self.memory, &self.geometry);
        space.map(|space| space.fold.floor).unwrap_or_default()
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
}

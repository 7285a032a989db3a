//! Finding records and walking leaves in either direction.

use super::node::{Child, Key, NodeView, Record};
use crate::ids::PageIndex;
use crate::overlay::TreeRoot;
use core::ops::Deref;

/// No tree has as many levels: fewer do for 2^64 records of the longest names.
pub(crate) const FORMAT_HEIGHT: u32 = 24;

/// The most levels that the memory of a walk or a fold is made for. Without a heap it is counted: seven levels
/// of pages of 512 bytes hold a million blocks.
pub(crate) const MAX_HEIGHT: usize = if cfg!(feature = "alloc") { FORMAT_HEIGHT as usize } else { 8 };

/// Gives verified pages of the tree: from a cache, from a device, or from both.
pub trait NodeSource {
    /// What a page that cannot be had is answered with: [`ReadError`](crate::ReadError) of a device, say.
    type Error;
    /// A page for as long as it is looked at.
    type Page<'a>: Deref<Target = [u8]>
    where
        Self: 'a;

    /// The page of the node `child` of level `level`, after its digest and level were compared.
    ///
    /// # Errors
    /// The device's, or that of [`damaged`](Self::damaged).
    fn node(&mut self, child: Child, level: u32) -> Result<Self::Page<'_>, Self::Error>;

    /// The error of a page that is not what its parent says.
    fn damaged(&mut self, page: PageIndex) -> Self::Error;
}

/// Looks `name` up and hands its first record, if there is one, to `found`.
///
/// # Errors
/// The device's error, or a damaged page on the way.
pub fn lookup<S: NodeSource, R>(
    source: &mut S,
    root: &TreeRoot,
    name: &[u8],
    found: impl FnOnce(Option<Record<'_>>) -> R,
) -> Result<R, S::Error> {
    lookup_chunk(source, root, Key::first(name), found)
}

/// Looks one key up and hands its record, if there is one, to `found`.
///
/// # Errors
/// The device's error, or a damaged page on the way.
pub fn lookup_chunk<S: NodeSource, R>(
    source: &mut S,
    root: &TreeRoot,
    key: Key<'_>,
    found: impl FnOnce(Option<Record<'_>>) -> R,
) -> Result<R, S::Error> {
    let Some(child) = leaf_for(source, root, key)? else { return Ok(found(None)) };
    let page = source.node(child, 0)?;
    let Some(node) = NodeView::parse(&page) else {
        drop(page);
        return Err(source.damaged(child.page));
    };
    match node.search(key) {
        (_, false) => Ok(found(None)),
        (at, true) => {
            if let Some(record) = node.record(at) {
                return Ok(found(Some(record)));
            }
            drop(page);
            Err(source.damaged(child.page))
        }
    }
}

/// A page of the tree and the number of a record in it, or the error of looking for it.
pub type Found<'s, S> = Result<Option<(<S as NodeSource>::Page<'s>, usize)>, <S as NodeSource>::Error>;

/// Looks one key up and returns the leaf's page and the record's number in it: for a caller whose
/// pages are shared and who wants to keep the one that holds the bytes.
///
/// # Errors
/// The device's error, or a damaged page on the way.
pub fn lookup_page<'s, S: NodeSource>(source: &'s mut S, root: &TreeRoot, key: Key<'_>) -> Found<'s, S> {
    let Some(leaf) = leaf_for(source, root, key)? else { return Ok(None) };
    let damage = source.damaged(leaf.page);
    let page = source.node(leaf, 0)?;
    let found = NodeView::parse(&page).map(|node| node.search(key));
    match found {
        Some((at, true)) => Ok(Some((page, at))),
        Some((_, false)) => Ok(None),
        None => Err(damage),
    }
}

/// The leaf under which a key belongs; None in an empty tree.
fn leaf_for<S: NodeSource>(source: &mut S, root: &TreeRoot, key: Key<'_>) -> Result<Option<Child>, S::Error> {
    if root.height == 0 {
        return Ok(None);
    }
    let mut child = Child { page: root.page, digest: root.digest };
    for level in (1..root.height).rev() {
        let next = {
            let page = source.node(child, level)?;
            NodeView::parse(&page).and_then(|node| node.child(node.child_for(key)))
        };
        child = next.ok_or_else(|| source.damaged(child.page))?;
    }
    Ok(Some(child))
}

#[derive(Clone, Copy, Debug)]
struct Step {
    child: Child,
    index: usize,
    count: usize,
}

/// A place between two records of a tree. It holds no page: the caller keeps or caches them.
#[derive(Clone, Debug)]
pub struct Cursor {
    /// From the leaf (first) to the root.
    path: heapless::Vec<Step, MAX_HEIGHT>,
}

impl Cursor {
    /// The place before the first record whose key is not below `key`.
    ///
    /// # Errors
    /// The device's error, or a damaged page on the way.
    pub fn seek<S: NodeSource>(source: &mut S, root: &TreeRoot, key: Key<'_>) -> Result<Self, S::Error> {
        let mut cursor = Self::nowhere();
        cursor.go_to(source, root, key)?;
        Ok(cursor)
    }

    /// A cursor in an empty tree.
    pub(crate) const fn nowhere() -> Self {
        Self { path: heapless::Vec::new() }
    }

    /// As [`seek`](Self::seek), for a cursor that was [`nowhere`](Self::nowhere) and stays where it lies: it is large
    /// for a small stack.
    pub(crate) fn go_to<S: NodeSource>(
        &mut self,
        source: &mut S,
        root: &TreeRoot,
        key: Key<'_>,
    ) -> Result<(), S::Error> {
        let mut child = Child { page: root.page, digest: root.digest };
        self.reach(source, root, child)?;
        for level in (0..root.height).rev() {
            let page = source.node(child, level)?;
            let view = NodeView::parse(&page);
            let step = view.map(|node| {
                let index = if level == 0 { node.search(key).0 } else { node.child_for(key) };
                (Step { child, index, count: node.len() }, node.child(index))
            });
            drop(page);
            let (step, next) = step.ok_or_else(|| source.damaged(child.page))?;
            self.set(level as usize, step);
            if level > 0 {
                child = next.ok_or_else(|| source.damaged(child.page))?;
            }
        }
        Ok(())
    }

    /// Gives a cursor that has none as many steps as the tree has levels.
    fn reach<S: NodeSource>(&mut self, source: &mut S, root: &TreeRoot, top: Child) -> Result<(), S::Error> {
        for _ in 0..root.height {
            let step = Step { child: top, index: 0, count: 0 };
            self.path.push(step).map_err(|_| source.damaged(top.page))?;
        }
        Ok(())
    }

    fn set(&mut self, level: usize, step: Step) {
        if let Some(place) = self.path.get_mut(level) {
            *place = step;
        }
    }

    /// The place behind the last record.
    ///
    /// # Errors
    /// The device's error, or a damaged page on the way.
    pub fn seek_end<S: NodeSource>(source: &mut S, root: &TreeRoot) -> Result<Self, S::Error> {
        let top = Child { page: root.page, digest: root.digest };
        let mut cursor = Self::nowhere();
        cursor.reach(source, root, top)?;
        if root.height > 0 {
            cursor.descend(source, root.height as usize - 1, top, true)?;
        }
        Ok(cursor)
    }

    /// The leaf and index of the record behind the place, if there is one in this leaf; call
    /// [`Cursor::settle`] first.
    #[must_use]
    pub fn record(&self) -> Option<(Child, usize)> {
        self.path.first().filter(|step| step.index < step.count).map(|step| (step.child, step.index))
    }

    /// Moves past the end of a leaf to the start of the next one that has a record.
    ///
    /// # Errors
    /// The device's error, or a damaged page on the way.
    pub fn settle<S: NodeSource>(&mut self, source: &mut S) -> Result<(), S::Error> {
        while self.path.first().is_some_and(|leaf| leaf.index >= leaf.count) {
            let Some(level) = (1..self.path.len())
                .find(|&level| self.path.get(level).is_some_and(|step| step.index + 1 < step.count))
            else {
                return Ok(());
            };
            let child = self.turn(source, level, true)?;
            self.descend(source, level - 1, child, false)?;
        }
        Ok(())
    }

    /// Moves behind the next record of this leaf.
    pub fn advance(&mut self) {
        if let Some(leaf) = self.path.first_mut() {
            leaf.index += 1;
        }
    }

    /// Moves behind the last record of this leaf: for a caller who has dealt with all of them.
    pub fn pass_leaf(&mut self) {
        if let Some(leaf) = self.path.first_mut() {
            leaf.index = leaf.count;
        }
    }

    /// Moves before the first record of this leaf.
    pub fn pass_leaf_back(&mut self) {
        if let Some(leaf) = self.path.first_mut() {
            leaf.index = 0;
        }
    }

    /// Moves before the record in front of the place; false if there is none.
    ///
    /// # Errors
    /// The device's error, or a damaged page on the way.
    pub fn retreat<S: NodeSource>(&mut self, source: &mut S) -> Result<bool, S::Error> {
        loop {
            match self.path.first_mut() {
                None => return Ok(false),
                Some(leaf) if leaf.index > 0 => {
                    leaf.index -= 1;
                    return Ok(true);
                }
                Some(_) => {}
            }
            let Some(level) =
                (1..self.path.len()).find(|&level| self.path.get(level).is_some_and(|step| step.index > 0))
            else {
                return Ok(false);
            };
            let child = self.turn(source, level, false)?;
            self.descend(source, level - 1, child, true)?;
        }
    }

    /// Moves one child on or back in the node of `level` and returns that child.
    fn turn<S: NodeSource>(
        &mut self,
        source: &mut S,
        level: usize,
        forward: bool,
    ) -> Result<Child, S::Error> {
        let Some(step) = self.path.get_mut(level) else {
            return Err(source.damaged(PageIndex::default()));
        };
        step.index = if forward { step.index + 1 } else { step.index - 1 };
        let (parent, index) = (step.child, step.index);
        let child = {
            let page = source.node(parent, level as u32)?;
            NodeView::parse(&page).and_then(|node| node.child(index))
        };
        child.ok_or_else(|| source.damaged(parent.page))
    }

    /// Goes down from `child` on `level` along the first or the last children.
    fn descend<S: NodeSource>(
        &mut self,
        source: &mut S,
        level: usize,
        mut child: Child,
        last: bool,
    ) -> Result<(), S::Error> {
        for level in (0..=level).rev() {
            let found = {
                let page = source.node(child, level as u32)?;
                NodeView::parse(&page).map(|node| {
                    let count = node.len();
                    let index = match (last, level) {
                        (false, _) => 0,
                        (true, 0) => count,
                        (true, _) => count - 1,
                    };
                    (Step { child, index, count }, node.child(index))
                })
            };
            let (step, next) = found.ok_or_else(|| source.damaged(child.page))?;
            self.set(level, step);
            if level > 0 {
                child = next.ok_or_else(|| source.damaged(child.page))?;
            }
        }
        Ok(())
    }
}

//! The way from the root of the tree to a leaf, which goes on from leaf to leaf in either direction.

use crate::source::{NodePage, Source, SourceError};
use crate::view::Layers;
use blockyard_core::PageIndex;
use blockyard_core::tree::{Child, Key};

/// Where a walk begins in the tree.
#[derive(Clone, Copy, Debug)]
pub(super) enum Start<'a> {
    /// In the leaf where this key belongs.
    At(Key<'a>),
    /// In the first leaf.
    First,
    /// In the last leaf.
    Last,
}

impl Start<'_> {
    fn index(self, page: &NodePage) -> usize {
        match self {
            Self::At(key) => page.node.child_for(page, key),
            Self::First => 0,
            Self::Last => page.node.len() - 1,
        }
    }
}

/// The pages above a leaf, from the root down, and in each the place of the child that leads to the leaf. A walk
/// goes to a leaf's neighbour by the link that their parent keeps: no page is looked for twice.
#[derive(Debug)]
pub(super) struct Path {
    steps: Vec<(NodePage, usize)>,
    /// The root's page, for reports of damage.
    root: PageIndex,
}

impl Path {
    /// The way to a leaf, and the leaf; None in an empty tree.
    pub(super) fn seek(
        source: &Source,
        layers: &Layers,
        start: Start<'_>,
    ) -> Result<Option<(Self, NodePage)>, SourceError> {
        let root = &layers.root;
        let Some(top) = root.height.checked_sub(1) else { return Ok(None) };
        let child = || Some(Child { page: root.page, digest: root.digest });
        let page = source.linked(&layers.top, top, child, root.page)?;
        let mut path = Self { steps: Vec::new(), root: root.page };
        let leaf = path.descend(source, page, start)?;
        Ok(Some((path, leaf)))
    }

    /// Goes down from a page to a leaf.
    fn descend(
        &mut self,
        source: &Source,
        mut page: NodePage,
        start: Start<'_>,
    ) -> Result<NodePage, SourceError> {
        while page.node.level() > 0 {
            let index = start.index(&page);
            let child = source.child(&page, index, self.root)?;
            self.steps.push((page, index));
            page = child;
        }
        Ok(page)
    }

    /// The next leaf in a direction; None behind the last one.
    pub(super) fn turn(&mut self, source: &Source, forward: bool) -> Result<Option<NodePage>, SourceError> {
        let next = |(page, index): &(NodePage, usize)| match forward {
            true => Some(index + 1).filter(|&next| next < page.node.len()),
            false => index.checked_sub(1),
        };
        while let Some(step) = self.steps.last_mut() {
            let Some(at) = next(step) else {
                self.steps.pop();
                continue;
            };
            step.1 = at;
            let child = source.child(&step.0, at, self.root)?;
            if child.node.level() == 0 {
                let coming = |by: usize| if forward { at + by } else { at.wrapping_sub(by) };
                source.fetch_leaves(&step.0, [1, 2, 3].map(coming));
            }
            let start = if forward { Start::First } else { Start::Last };
            return self.descend(source, child, start).map(Some);
        }
        Ok(None)
    }
}

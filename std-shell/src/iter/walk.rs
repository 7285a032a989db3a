//! One end of an iterator: the records of the tree and the changes beside it, both in order.

use super::path::{Path, Start};
use super::run::{Blocks, Moment, Run};
use super::span::Span;
use crate::error::{Error, Result};
use crate::inner::Inner;
use crate::memtable::Portion;
use crate::source::{NodePage, SPREAD, Source};
use blockyard_core::PageIndex;
use blockyard_core::store::{BlockLocation, record_info};
use blockyard_core::tree::NodeView;
use std::ops::Range;
use std::sync::Arc;

/// Changes that are copied at once: few at first, for those who want few.
const FEW: usize = 16;
const MANY: usize = 256;

/// A block met: a run and the place in it.
pub(super) type At<'a> = (&'a Arc<Run>, usize);

/// Blocks of the tree, leaf by leaf.
#[derive(Debug, Default)]
pub(super) struct Stored {
    path: Option<Path>,
    leaf: Option<Arc<Run>>,
    /// The leaf's records that are still to come.
    rest: Range<usize>,
    /// Leaves met: a tree has no more of them than the file has pages.
    leaves: u64,
    exhausted: bool,
}

impl Stored {
    /// Goes to the leaf of the next block, if there is one; whether that is another leaf.
    pub(super) fn reach(&mut self, moment: &Arc<Moment>, span: &Span, forward: bool) -> Result<bool> {
        let mut turned = false;
        loop {
            while !self.rest.is_empty() {
                if self.leaf.as_ref().is_some_and(|leaf| is_block(leaf, self.next(forward))) {
                    return Ok(turned);
                }
                self.pass(forward);
            }
            if self.exhausted {
                return Ok(turned);
            }
            self.turn(moment, span, forward)?;
            turned = true;
        }
    }

    const fn next(&self, forward: bool) -> usize {
        if forward { self.rest.start } else { self.rest.end - 1 }
    }

    /// The next block, once it was [reached](Self::reach).
    pub(super) fn peek(&self, forward: bool) -> Option<At<'_>> {
        let leaf = self.leaf.as_ref().filter(|_| !self.rest.is_empty())?;
        Some((leaf, self.next(forward)))
    }

    /// Passes over the record that [`peek`](Self::peek) showed.
    pub(super) fn pass(&mut self, forward: bool) {
        if forward {
            self.rest.start += 1;
        } else {
            self.rest.end -= 1;
        }
    }

    /// How many blocks of the leaf come next with nothing in between, if they lie in front of a place, seen from where the
    /// walk comes from, at which the leaf may have a block that is not one of them.
    pub(super) fn ahead(&self, place: Option<(usize, bool)>, forward: bool) -> usize {
        if !self.leaf.as_ref().is_some_and(|leaf| leaf.is_whole()) {
            return 0;
        }
        let Some((at, same)) = place else { return self.rest.len() };
        let free = if forward { self.rest.start..at } else { at + usize::from(same)..self.rest.end };
        free.len().min(self.rest.len())
    }

    /// Goes to the next leaf.
    fn turn(&mut self, moment: &Arc<Moment>, span: &Span, forward: bool) -> Result<()> {
        let source = &moment.inner.source;
        let named = |error| Error::read(error, None);
        let page = match &mut self.path {
            Some(path) => path.turn(source, forward).map_err(named)?,
            None => {
                let start = match (span.start_key(forward), forward) {
                    (Some(key), _) => Start::At(key),
                    (None, true) => Start::First,
                    (None, false) => Start::Last,
                };
                let found = Path::seek(source, &moment.view.layers, start).map_err(named)?;
                let (path, page) = found.unzip();
                self.path = path;
                page
            }
        };
        let Some(page) = page else {
            self.exhausted = true;
            return Ok(());
        };
        self.count(source, moment.view.layers.root.page)?;
        // Who reads what a walk passes over goes on with that, as a rule.
        if self.leaf.as_ref().is_some_and(|leaf| leaf.wants_bytes()) {
            read_ahead(&moment.inner, &page);
        }
        self.rest = span.first_in(&page)..span.end_in(&page);
        self.exhausted = if forward { self.rest.end < page.node.len() } else { self.rest.start > 0 };
        self.leaf = Some(Run::new(moment, Blocks::Leaf(page), self.leaf.as_deref()));
        Ok(())
    }

    /// Counts a leaf: a forged tree may lead round in circles.
    fn count(&mut self, source: &Source, root: PageIndex) -> Result<()> {
        self.leaves += 1;
        if self.leaves.is_multiple_of(1024) {
            let bytes = self.leaves.saturating_mul(source.page_size());
            source.fits_in_file(root, bytes).map_err(|error| Error::read(error, None))?;
        }
        Ok(())
    }
}

/// Whether a leaf's record is a block's first.
fn is_block(leaf: &Run, index: usize) -> bool {
    match &leaf.blocks {
        Blocks::Leaf(page) => {
            let key = || NodeView::parse(page)?.key(index);
            leaf.is_whole() || key().is_some_and(|key| key.chunk == 0)
        }
        Blocks::Pending(_) => true,
    }
}

/// Announces the extents of a leaf that were not met before and lie close together: a scan will want them next.
fn read_ahead(inner: &Inner, page: &NodePage) {
    let Some(node) = NodeView::parse(page) else { return };
    let (mut first, mut end, mut wanted) = (u64::MAX, 0, 0);
    let unmet = |index: &usize| {
        page.node.link(*index).is_some_and(|link| inner.source.cache.pin(link.get()).is_none())
    };
    for record in (0..node.len()).filter(unmet).filter_map(|index| node.record(index)) {
        let Some(info) = record_info(&record) else { continue };
        if let BlockLocation::Extent { page } = info.location {
            let pages = inner.geometry.pages_for(info.length);
            first = first.min(page.0);
            end = end.max(page.0.saturating_add(pages));
            wanted += pages;
        }
    }
    if wanted > 1 && end.saturating_sub(first) <= SPREAD * wanted {
        inner.source.will_need(PageIndex(first), end - first);
    }
}

/// Changes that are not part of the tree, a few at a time.
#[derive(Debug)]
pub(super) struct Changes {
    run: Option<Arc<Run>>,
    at: usize,
    count: usize,
    more: bool,
}

impl Changes {
    /// All that the view has.
    pub(super) fn of(moment: &Moment) -> Self {
        Self { run: None, at: 0, count: 0, more: !moment.view.is_folded() }
    }

    /// Copies the next changes, if all that were copied were passed.
    pub(super) fn reach(&mut self, moment: &Arc<Moment>, span: &Span, forward: bool) {
        if self.at == self.count && self.more {
            self.turn(moment, span, forward);
        }
    }

    /// The next change, once it was [reached](Self::reach).
    pub(super) fn peek(&self) -> Option<At<'_>> {
        self.run.as_ref().filter(|_| self.at < self.count).map(|run| (run, self.at))
    }

    /// How many changes of the run come next with nothing in between, if they lie in front of `until`, seen from where
    /// the walk comes from.
    pub(super) fn ahead(&self, until: Option<&[u8]>, forward: bool) -> usize {
        let Some(own) = &self.run else { return 0 };
        let rest = self.count - self.at;
        let Some(until) = until else { return rest };
        let (mut low, mut high) = (0, rest);
        while low < high {
            let middle = usize::midpoint(low, high);
            let order = own.name(self.at + middle).cmp(until);
            if if forward { order.is_lt() } else { order.is_gt() } {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        low
    }

    /// Passes over the change that [`peek`](Self::peek) showed.
    pub(super) const fn pass(&mut self) {
        self.at += 1;
    }

    fn turn(&mut self, moment: &Arc<Moment>, span: &Span, forward: bool) {
        let last = self.run.as_ref().and_then(|run| Some((run.name(self.count.checked_sub(1)?), false)));
        let most = if last.is_some() { MANY } else { FEW };
        let from = last.or_else(|| span.start(forward));
        let portion = Portion { forward, from, until: span.until(forward), most };
        let (changes, more) = moment.view.copy_pending(portion);
        (self.at, self.count, self.more) = (0, changes.len(), more);
        self.run = Some(Run::new(moment, Blocks::Pending(changes), self.run.as_deref()));
    }
}

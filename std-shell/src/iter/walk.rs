//! One end of an iterator: the records of the tree and the changes beside it, both in order.

use super::run::{Blocks, Moment, Run};
use super::span::Span;
use crate::error::{Error, Result};
use crate::inner::Inner;
use crate::memtable::Portion;
use crate::source::NodePage;
use blockyard_core::PageIndex;
use blockyard_core::store::{BlockLocation, record_info};
use blockyard_core::tree::{Child, Cursor, NodeView};
use std::ops::Range;
use std::sync::Arc;

/// Changes that are copied at once: few at first, for those who want few.
const FEW: usize = 16;
const MANY: usize = 64;

/// A block met: a run and the place in it.
pub(super) type At<'a> = (&'a Arc<Run>, usize);

/// Blocks of the tree, leaf by leaf.
#[derive(Debug, Default)]
pub(super) struct Stored {
    cursor: Option<Cursor>,
    leaf: Option<Arc<Run>>,
    /// The leaf's records that are still to come.
    rest: Range<usize>,
    /// Leaves met: a tree has no more of them than the file has pages.
    leaves: u64,
    exhausted: bool,
}

impl Stored {
    /// The next block.
    pub(super) fn peek(
        &mut self,
        moment: &Arc<Moment>,
        span: &Span,
        forward: bool,
    ) -> Result<Option<At<'_>>> {
        loop {
            while !self.rest.is_empty() {
                let index = if forward { self.rest.start } else { self.rest.end - 1 };
                if self.leaf.as_ref().is_some_and(|leaf| is_block(leaf, index)) {
                    return Ok(self.leaf.as_ref().map(|leaf| (leaf, index)));
                }
                self.pass(forward);
            }
            self.exhausted |= moment.view.layers.root.height == 0;
            if self.exhausted {
                return Ok(None);
            }
            self.turn(moment, span, forward)?;
        }
    }

    /// Passes over the record that [`peek`](Self::peek) showed.
    pub(super) fn pass(&mut self, forward: bool) {
        if forward {
            self.rest.start += 1;
        } else {
            self.rest.end -= 1;
        }
    }

    /// Whether there is nothing left.
    pub(super) fn is_done(&self) -> bool {
        self.exhausted && self.rest.is_empty()
    }

    /// The next block, if it is in `run` and nothing stands in the way.
    pub(super) fn next_in(&mut self, run: &Arc<Run>, forward: bool) -> Option<usize> {
        let leaf = self.leaf.as_ref().filter(|leaf| Arc::ptr_eq(leaf, run))?;
        let Blocks::Leaf(page) = &leaf.blocks else { return None };
        if self.rest.is_empty() || !page.node.is_whole() {
            return None;
        }
        let index = if forward { self.rest.start } else { self.rest.end - 1 };
        self.pass(forward);
        Some(index)
    }

    /// Goes to the next leaf.
    fn turn(&mut self, moment: &Arc<Moment>, span: &Span, forward: bool) -> Result<()> {
        let (inner, root) = (&*moment.inner, &moment.view.layers.root);
        let mut source = &inner.source;
        let named = |error| Error::read(error, None);
        let cursor = match &mut self.cursor {
            Some(cursor) => {
                if forward {
                    cursor.pass_leaf();
                } else {
                    cursor.pass_leaf_back();
                }
                cursor
            }
            None => {
                let cursor = match (span.start_key(forward), forward) {
                    (Some(key), _) => Cursor::seek(&mut source, root, key),
                    (None, true) => Cursor::seek(&mut source, root, blockyard_core::tree::Key::first(&[])),
                    (None, false) => Cursor::seek_end(&mut source, root),
                };
                self.cursor.insert(cursor.map_err(named)?)
            }
        };
        let there = if forward {
            cursor.settle(&mut source).map_err(named)?;
            true
        } else {
            cursor.retreat(&mut source).map_err(named)?
        };
        let Some((child, index)) = cursor.record().filter(|_| there) else {
            self.exhausted = true;
            return Ok(());
        };
        let page = self.page(inner, child)?;
        let (first, end) = (span.first_in(&page), span.end_in(&page));
        self.rest = if forward { index..end } else { first..(index + 1).min(page.node.len()) };
        self.exhausted = if forward { end < page.node.len() } else { first > 0 };
        self.leaf = Some(Run::new(moment, Blocks::Leaf(page)));
        Ok(())
    }

    fn page(&mut self, inner: &Inner, leaf: Child) -> Result<NodePage> {
        let source = &inner.source;
        self.leaves += 1;
        if self.leaves.is_multiple_of(1024) {
            // A forged tree may lead round in circles.
            let bytes = self.leaves.saturating_mul(inner.geometry.page_size() as u64);
            source.fits_in_file(leaf.page, bytes).map_err(|error| Error::read(error, None))?;
        }
        let page = source.page(leaf, 0).map_err(|error| Error::read(error, None))?;
        // Who reads what a walk passes over goes on with that, as a rule.
        if self.leaf.as_ref().is_some_and(|leaf| leaf.wants_bytes()) {
            read_ahead(inner, &page);
        }
        Ok(page)
    }
}

/// Whether a leaf's record is a block's first.
fn is_block(leaf: &Run, index: usize) -> bool {
    match &leaf.blocks {
        Blocks::Leaf(page) => {
            let key = || NodeView::parse(page)?.key(index);
            page.node.is_whole() || key().is_some_and(|key| key.chunk == 0)
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
    // Where blocks lie scattered, reading what is between them would cost more than it saves.
    if wanted > 1 && end.saturating_sub(first) <= 4 * wanted {
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

    /// The next change.
    pub(super) fn peek(&mut self, moment: &Arc<Moment>, span: &Span, forward: bool) -> Option<At<'_>> {
        if self.at == self.count && self.more {
            self.turn(moment, span, forward);
        }
        if self.at == self.count {
            return None;
        }
        self.run.as_ref().map(|run| (run, self.at))
    }

    /// Whether there is nothing left.
    pub(super) const fn is_done(&self) -> bool {
        self.at == self.count && !self.more
    }

    /// The next change, if it is in `run`.
    pub(super) fn next_in(&mut self, run: &Arc<Run>) -> Option<usize> {
        self.run.as_ref().filter(|own| Arc::ptr_eq(own, run) && self.at < self.count)?;
        self.at += 1;
        Some(self.at - 1)
    }

    /// Passes over the change that [`peek`](Self::peek) showed.
    pub(super) const fn pass(&mut self) {
        self.at += 1;
    }

    fn turn(&mut self, moment: &Arc<Moment>, span: &Span, forward: bool) {
        let last = self.run.as_ref().and_then(|run| Some((run.name(self.count.checked_sub(1)?), false)));
        let most = if last.is_some() { MANY } else { FEW };
        let wanted = |name: &[u8]| span.reaches(name, forward);
        let from = last.or_else(|| span.start(forward));
        let (slots, more) = moment.view.copy_pending(forward, from, Portion { wanted: &wanted, most });
        (self.at, self.count, self.more) = (0, slots.len(), more);
        self.run = Some(Run::new(moment, Blocks::Pending(slots)));
    }
}

//! Walking blocks in name order, from either end.

use crate::error::{Error, Result};
use crate::inner::Inner;
use crate::read::{self, BlockRef, Located, Metadata};
use crate::source::NodePage;
use crate::view::View;
use blockyard_core::store::BlockLocation;
use blockyard_core::tree::{Child, Cursor, Key, NodeSource, NodeView};
use std::collections::Bound;
use std::ops::RangeBounds;
use std::sync::Arc;

/// The names that an iterator covers.
#[derive(Clone, Debug)]
pub(crate) struct Span {
    lower: Bound<Vec<u8>>,
    upper: Bound<Vec<u8>>,
}

impl Span {
    pub(crate) const fn all() -> Self {
        Self { lower: Bound::Unbounded, upper: Bound::Unbounded }
    }

    /// Names that begin with `prefix`: up to the next name that does not.
    pub(crate) fn prefix(prefix: &[u8]) -> Self {
        let mut end = prefix.to_vec();
        while end.pop_if(|last| *last == u8::MAX).is_some() {}
        let upper = match end.last_mut() {
            Some(last) => {
                *last += 1;
                Bound::Excluded(end)
            }
            None => Bound::Unbounded,
        };
        Self { lower: Bound::Included(prefix.to_vec()), upper }
    }

    pub(crate) fn range<N: AsRef<[u8]>>(range: &impl RangeBounds<N>) -> Self {
        let owned = |bound: Bound<&N>| bound.map(|name| name.as_ref().to_vec());
        Self { lower: owned(range.start_bound()), upper: owned(range.end_bound()) }
    }

    fn is_below(&self, name: &[u8]) -> bool {
        match &self.lower {
            Bound::Included(lower) => name < lower.as_slice(),
            Bound::Excluded(lower) => name <= lower.as_slice(),
            Bound::Unbounded => false,
        }
    }

    fn is_above(&self, name: &[u8]) -> bool {
        match &self.upper {
            Bound::Included(upper) => name > upper.as_slice(),
            Bound::Excluded(upper) => name >= upper.as_slice(),
            Bound::Unbounded => false,
        }
    }
}

/// A block met on the way.
#[derive(Clone, Debug)]
pub struct Item {
    /// The block's name.
    pub name: Vec<u8>,
    located: Located,
    moment: Arc<Moment>,
}

/// What all items of an iterator share.
#[derive(Debug)]
struct Moment {
    inner: Arc<Inner>,
    view: View,
}

impl Item {
    /// What is known of the block without reading it.
    #[must_use]
    pub fn metadata(&self) -> Metadata {
        self.located.metadata()
    }

    /// Length of the block in bytes.
    #[must_use]
    pub fn length(&self) -> u64 {
        self.located.length()
    }

    /// The block's bytes, shared with the cache.
    ///
    /// # Errors
    /// [`Error::Corrupted`] if they are damaged, [`Error::Io`] if they cannot be read.
    pub fn value(&self) -> Result<BlockRef> {
        read::read_ref(&self.moment.inner.source, &self.moment.view, &self.name, &self.located)
    }
}

/// A place in the tree with the page under it.
#[derive(Debug)]
struct Walk {
    cursor: Cursor,
    page: Option<(Child, NodePage)>,
    /// Number of the record looked at last.
    index: usize,
    /// Leaves met: a tree has no more of them than the file has pages.
    leaves: u64,
}

/// A block met in one of the sources, not yet handed out.
type Candidate = (Vec<u8>, Option<Located>);

/// One end of an iterator.
#[derive(Debug, Default)]
struct End {
    walk: Option<Walk>,
    /// The next block of the tree.
    stored: Option<Candidate>,
    /// The tree has no more.
    exhausted: bool,
    /// The name that was handed out or passed over last.
    last: Option<Vec<u8>>,
}

/// The blocks of a span as of one moment. After an error it stays ended.
#[derive(Debug)]
pub struct Iter {
    moment: Arc<Moment>,
    span: Span,
    /// Whether any change may be pending in this view.
    pending: bool,
    front: End,
    back: End,
    ended: bool,
    /// What the first step answers instead of a block.
    refused: Option<Error>,
}

impl Iter {
    pub(crate) fn new(inner: Arc<Inner>, view: View, span: Span) -> Self {
        let pending = !view.is_folded();
        let (front, back) = (End::default(), End::default());
        Self {
            moment: Arc::new(Moment { inner, view }),
            span,
            pending,
            front,
            back,
            ended: false,
            refused: None,
        }
    }

    /// Ends with the error, if there is one, before it begins.
    pub(crate) fn or_refused(mut self, allowed: Result<()>) -> Self {
        self.refused = allowed.err();
        self
    }

    /// The leaf page that a walk stands on, at record `index`.
    fn page<'w>(
        inner: &Inner,
        walk: &'w mut Walk,
        (leaf, index): (Child, usize),
        forward: bool,
    ) -> Result<&'w NodePage> {
        let before = std::mem::replace(&mut walk.index, index);
        // A leaf that is met again from its start is another one, whatever a forged tree says.
        let went_on = if forward { index > before } else { index < before };
        let known = went_on && walk.page.as_ref().is_some_and(|(child, _)| *child == leaf);
        if !known {
            let mut source = &inner.source;
            walk.leaves += 1;
            if walk.leaves.is_multiple_of(1024) {
                // A forged tree may lead round in circles.
                let bytes = walk.leaves.saturating_mul(inner.geometry.page_size() as u64);
                source.fits_in_file(leaf.page, bytes).map_err(|error| Error::read(error, None))?;
            }
            let page = source.node(leaf, 0).map_err(|error| Error::read(error, None))?;
            if walk.page.replace((leaf, page.clone())).is_some() {
                read_ahead(inner, &page);
            }
        }
        match &walk.page {
            Some((_, page)) => Ok(page),
            None => Err(Error::read(inner.source.implausible(leaf.page), None)),
        }
    }

    /// The record under a walk, if it is a block's first.
    fn candidate(inner: &Inner, walk: &mut Walk, forward: bool) -> Result<Option<Candidate>> {
        let Some((leaf, index)) = walk.cursor.record() else { return Ok(None) };
        let page = Self::page(inner, walk, (leaf, index), forward)?;
        let node = NodeView::parse(page);
        let found = node.and_then(|node| Some((node.key(index)?, node.record(index)?)));
        let Some((key, record)) = found else {
            return Err(Error::read(inner.source.implausible(leaf.page), None));
        };
        if key.chunk > 0 {
            return Ok(None);
        }
        Ok(read::locate_record(page, &record).map(|located| (key.name.to_vec(), Some(located))))
    }

    /// Makes sure that the front's next block of the tree is known.
    fn fetch_front(&mut self) -> Result<()> {
        let root = self.moment.view.layers.root;
        if self.front.stored.is_some() || self.front.exhausted || root.height == 0 {
            return Ok(());
        }
        let inner = &*self.moment.inner;
        let mut source = &inner.source;
        let named = |error| Error::read(error, None);
        if self.front.walk.is_none() {
            let key = match &self.span.lower {
                Bound::Included(name) => Key::first(name),
                Bound::Excluded(name) => Key { name, chunk: u32::MAX },
                Bound::Unbounded => Key::first(&[]),
            };
            let cursor = Cursor::seek(&mut source, &root, key).map_err(named)?;
            self.front.walk = Some(Walk { cursor, page: None, index: 0, leaves: 0 });
        }
        let Some(walk) = &mut self.front.walk else { return Ok(()) };
        loop {
            walk.cursor.settle(&mut source).map_err(named)?;
            if walk.cursor.record().is_none() {
                self.front.exhausted = true;
                return Ok(());
            }
            let candidate = Self::candidate(inner, walk, true)?;
            walk.cursor.advance();
            if candidate.is_some() {
                self.front.stored = candidate;
                return Ok(());
            }
        }
    }

    /// Makes sure that the back's next block of the tree is known.
    fn fetch_back(&mut self) -> Result<()> {
        let root = self.moment.view.layers.root;
        if self.back.stored.is_some() || self.back.exhausted || root.height == 0 {
            return Ok(());
        }
        let inner = &*self.moment.inner;
        let mut source = &inner.source;
        let named = |error| Error::read(error, None);
        if self.back.walk.is_none() {
            let cursor = match &self.span.upper {
                Bound::Included(name) => Cursor::seek(&mut source, &root, Key { name, chunk: u32::MAX }),
                Bound::Excluded(name) => Cursor::seek(&mut source, &root, Key::first(name)),
                Bound::Unbounded => Cursor::seek_end(&mut source, &root),
            };
            self.back.walk = Some(Walk { cursor: cursor.map_err(named)?, page: None, index: 0, leaves: 0 });
        }
        let Some(walk) = &mut self.back.walk else { return Ok(()) };
        while walk.cursor.retreat(&mut source).map_err(named)? {
            let candidate = Self::candidate(inner, walk, false)?;
            if candidate.is_some() {
                self.back.stored = candidate;
                return Ok(());
            }
        }
        self.back.exhausted = true;
        Ok(())
    }

    fn pending_after(&self) -> Option<Candidate> {
        let (after, inclusive) = match (&self.front.last, &self.span.lower) {
            (Some(last), _) => (Some(last.as_slice()), false),
            (None, Bound::Included(lower)) => (Some(lower.as_slice()), true),
            (None, Bound::Excluded(lower)) => (Some(lower.as_slice()), false),
            (None, Bound::Unbounded) => (None, false),
        };
        let slot = self.moment.view.next_pending(after, inclusive)?;
        Some((slot.name().to_vec(), read::locate_slot(slot)))
    }

    fn pending_before(&self) -> Option<Candidate> {
        let mut before = match (&self.back.last, &self.span.upper) {
            (Some(last), _) => Some(last.clone()),
            (None, Bound::Excluded(upper)) => Some(upper.clone()),
            // The least name above an included bound is the bound with a zero byte.
            (None, Bound::Included(upper)) => Some([upper.as_slice(), &[0]].concat()),
            (None, Bound::Unbounded) => None,
        };
        loop {
            let slot = self.moment.view.previous_pending(before.as_deref())?;
            if self.span.is_above(slot.name()) {
                before = Some(slot.name().to_vec());
                continue;
            }
            return Some((slot.name().to_vec(), read::locate_slot(slot)));
        }
    }

    /// The nearer of a stored and a pending block; the pending one hides the stored one of its name.
    fn nearest(
        stored: &mut Option<Candidate>,
        pending: Option<Candidate>,
        forward: bool,
    ) -> Option<Candidate> {
        let Some(pending) = pending else { return stored.take() };
        match stored {
            Some(found) if found.0 == pending.0 => {
                *stored = None;
                Some(pending)
            }
            Some(found) if (found.0 < pending.0) == forward => stored.take(),
            _ => Some(pending),
        }
    }

    fn step(&mut self, forward: bool) -> Result<Option<Item>> {
        loop {
            let found = if forward {
                self.fetch_front()?;
                let pending = if self.pending { self.pending_after() } else { None };
                Self::nearest(&mut self.front.stored, pending, true)
            } else {
                self.fetch_back()?;
                let pending = if self.pending { self.pending_before() } else { None };
                Self::nearest(&mut self.back.stored, pending, false)
            };
            let Some((name, located)) = found else { return Ok(None) };
            let met = if forward {
                self.back.last.as_ref().is_some_and(|back| name >= *back)
            } else {
                self.front.last.as_ref().is_some_and(|front| name <= *front)
            };
            if met || self.span.is_above(&name) || self.span.is_below(&name) {
                return Ok(None);
            }
            let end = if forward { &mut self.front } else { &mut self.back };
            match &mut end.last {
                Some(last) => last.clone_from(&name),
                None => end.last = Some(name.clone()),
            }
            if let Some(located) = located {
                return Ok(Some(Item { name, located, moment: Arc::clone(&self.moment) }));
            }
        }
    }

    fn guarded(&mut self, forward: bool) -> Option<Result<Item>> {
        if self.ended {
            return None;
        }
        if let Some(error) = self.refused.take() {
            self.ended = true;
            return Some(Err(error));
        }
        let result = self.step(forward).transpose();
        self.ended = !matches!(result, Some(Ok(_)));
        result
    }
}

/// Announces the extents of a leaf that lie close together: a scan will want them next.
fn read_ahead(inner: &Inner, page: &NodePage) {
    let Some(node) = NodeView::parse(page) else { return };
    let (mut first, mut end, mut wanted) = (u64::MAX, 0, 0);
    for record in (0..node.len()).filter_map(|index| node.record(index)) {
        let Some(info) = blockyard_core::store::record_info(&record) else { continue };
        if let BlockLocation::Extent { page } = info.location {
            let pages = inner.geometry.pages_for(info.length);
            first = first.min(page.0);
            end = end.max(page.0.saturating_add(pages));
            wanted += pages;
        }
    }
    // Where blocks lie scattered, reading what is between them would cost more than it saves.
    if wanted > 1 && end.saturating_sub(first) <= 4 * wanted {
        inner.source.will_need(blockyard_core::PageIndex(first), end - first);
    }
}

impl Iterator for Iter {
    type Item = Result<Item>;

    fn next(&mut self) -> Option<Self::Item> {
        self.guarded(true)
    }
}

impl DoubleEndedIterator for Iter {
    fn next_back(&mut self) -> Option<Self::Item> {
        self.guarded(false)
    }
}

impl std::iter::FusedIterator for Iter {}

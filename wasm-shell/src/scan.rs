//! Walking blocks in name order, a page of a list at a time, from either end.

use crate::device::Fault;
use crate::read::Located;
use crate::source::Source;
use crate::view::View;
use blockyard_core::tree::{Cursor, Key, NodeSource, NodeView};
use blockyard_core::{ReadError, Structure};
use std::ops::Bound;

type Result<T> = std::result::Result<T, ReadError<Fault>>;

/// The names that a walk covers, and its direction.
#[derive(Clone, Debug)]
pub(crate) struct Span {
    pub(crate) lower: Bound<Vec<u8>>,
    pub(crate) upper: Bound<Vec<u8>>,
    pub(crate) forward: bool,
}

fn borrowed(bound: &Bound<Vec<u8>>) -> Bound<&[u8]> {
    match bound {
        Bound::Included(name) => Bound::Included(name),
        Bound::Excluded(name) => Bound::Excluded(name),
        Bound::Unbounded => Bound::Unbounded,
    }
}

impl Span {
    fn holds(&self, name: &[u8]) -> bool {
        let above = match &self.lower {
            Bound::Included(low) => name >= low.as_slice(),
            Bound::Excluded(low) => name > low.as_slice(),
            Bound::Unbounded => true,
        };
        let below = match &self.upper {
            Bound::Included(high) => name <= high.as_slice(),
            Bound::Excluded(high) => name < high.as_slice(),
            Bound::Unbounded => true,
        };
        above && below
    }

    /// What is left behind `name`.
    fn pass(&mut self, name: &[u8]) {
        let side = if self.forward { &mut self.lower } else { &mut self.upper };
        *side = Bound::Excluded(name.to_vec());
    }
}

/// A place in the registry.
struct Stored {
    cursor: Option<Cursor>,
    next: Option<(Vec<u8>, Located)>,
    /// Records met: a tree cannot hold more of them than its file has bytes.
    met: u64,
}

impl Stored {
    fn seek(source: &mut Source, view: &View, span: &Span) -> Result<Self> {
        let root = &view.layers.root;
        let mut stored = Self { cursor: None, next: None, met: 0 };
        if root.height == 0 {
            return Ok(stored);
        }
        let behind = |name| Key { name, chunk: u32::MAX };
        let cursor = match (span.forward, borrowed(&span.lower), borrowed(&span.upper)) {
            (true, Bound::Included(name), _) => Cursor::seek(source, root, Key::first(name))?,
            (true, Bound::Excluded(name), _) => Cursor::seek(source, root, behind(name))?,
            (true, Bound::Unbounded, _) => Cursor::seek(source, root, Key::first(&[]))?,
            (false, _, Bound::Included(name)) => Cursor::seek(source, root, behind(name))?,
            (false, _, Bound::Excluded(name)) => Cursor::seek(source, root, Key::first(name))?,
            (false, _, Bound::Unbounded) => Cursor::seek_end(source, root)?,
        };
        stored.cursor = Some(cursor);
        stored.fetch(source, span)?;
        Ok(stored)
    }

    /// Goes to the next block's first record within the span.
    fn fetch(&mut self, source: &mut Source, span: &Span) -> Result<()> {
        self.next = None;
        let Some(cursor) = &mut self.cursor else { return Ok(()) };
        loop {
            if span.forward {
                cursor.settle(source)?;
            } else if !cursor.retreat(source)? {
                return Ok(());
            }
            let Some((leaf, index)) = cursor.record() else { return Ok(()) };
            let damage = source.damage(leaf.page, Structure::Registry);
            self.met += 1;
            if self.met.is_multiple_of(1 << 16) {
                source.plausible(leaf.page, self.met)?;
            }
            let page = source.node(leaf, 0)?;
            let node = NodeView::parse(&page);
            let found = node.and_then(|node| Some((node.key(index)?, node.record(index)?)));
            let Some((key, record)) = found else { return Err(damage) };
            if key.chunk == 0 {
                if !span.holds(key.name) {
                    return Ok(());
                }
                let Some(located) = Located::stored(&record) else { return Err(damage) };
                self.next = Some((key.name.to_vec(), located));
            }
            if span.forward {
                cursor.advance();
            }
            if self.next.is_some() {
                return Ok(());
            }
        }
    }
}

/// Hands the blocks of `span` to `take` until it refuses one.
pub(crate) fn walk(
    source: &mut Source,
    view: &View,
    mut span: Span,
    mut take: impl FnMut(&mut Source, &[u8], &Located) -> Result<bool>,
) -> Result<()> {
    let mut stored = Stored::seek(source, view, &span)?;
    let mut pending = view.nearest((borrowed(&span.lower), borrowed(&span.upper)), span.forward);
    loop {
        let order = match (&stored.next, &pending) {
            (None, None) => return Ok(()),
            (Some(_), None) => std::cmp::Ordering::Less,
            (None, Some(_)) => std::cmp::Ordering::Greater,
            (Some((stored, _)), Some((pending, _))) if span.forward => stored.cmp(pending),
            (Some((stored, _)), Some((pending, _))) => pending.cmp(stored),
        };
        let (mut name, mut found) = (Vec::new(), None);
        // The pending change hides the stored block of its name.
        if order.is_le()
            && let Some((at, located)) = stored.next.take()
        {
            (name, found) = (at, Some(located));
            stored.fetch(source, &span)?;
        }
        if order.is_ge()
            && let Some((at, slot)) = pending.take()
        {
            (name, found) = (at, Located::pending(slot));
        }
        span.pass(&name);
        if order.is_ge() {
            pending = view.nearest((borrowed(&span.lower), borrowed(&span.upper)), span.forward);
        }
        if let Some(located) = found
            && !take(source, &name, &located)?
        {
            return Ok(());
        }
    }
}

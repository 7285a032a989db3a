//! Blocks that lie together: in a leaf of the registry, or among the changes that are not part of it yet.

use crate::cache::{Handle, Piece};
use crate::error::{Error, Result};
use crate::inner::Inner;
use crate::memtable::{ChangeKind, Changes};
use crate::names::Known;
use crate::read::{self, BlockRef, Located, Metadata};
use crate::source::{Found, NodePage};
use crate::view::View;
use blockyard_core::tree::Key;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// What all items of an iterator share.
#[derive(Debug)]
pub(super) struct Moment {
    pub(super) inner: Arc<Inner>,
    pub(super) view: View,
}

/// Consecutive blocks.
#[derive(Debug)]
pub(super) struct Run {
    moment: Arc<Moment>,
    pub(super) blocks: Blocks,
    /// Whether a block's bytes had to be looked for.
    looked: AtomicBool,
    /// Whether a block's bytes were asked for.
    shown: AtomicBool,
}

#[derive(Debug)]
pub(super) enum Blocks {
    Leaf(NodePage),
    Pending(Changes),
}

impl Run {
    /// `before` is what the walk met before them.
    pub(super) fn new(moment: &Arc<Moment>, blocks: Blocks, before: Option<&Self>) -> Arc<Self> {
        let shown = AtomicBool::new(before.is_some_and(Self::is_shown));
        Arc::new(Self { moment: Arc::clone(moment), blocks, looked: AtomicBool::new(false), shown })
    }

    /// Whether somebody wants the blocks' bytes, and had to wait for some.
    pub(super) fn wants_bytes(&self) -> bool {
        self.looked.load(Ordering::Relaxed)
    }

    /// Whether somebody looks at the blocks' bytes.
    pub(super) fn is_shown(&self) -> bool {
        self.shown.load(Ordering::Relaxed)
    }

    /// Notes that somebody does.
    fn show(&self) {
        if !self.is_shown() {
            self.shown.store(true, Ordering::Relaxed);
        }
    }

    /// Has the processor fetch the bytes of a change's block, if somebody looks at bytes.
    pub(super) fn fetch_change(&self, index: usize) {
        if let Blocks::Pending(changes) = &self.blocks
            && self.is_shown()
        {
            changes.fetch(index);
        }
    }

    /// Has the processor fetch the bytes of block `index` of a leaf, and what leads to those of block `then`.
    /// Takes and returns what [`Cache::fetch`](crate::cache::Cache::fetch) does.
    pub(super) fn fetch(&self, index: usize, then: usize, behind: usize) -> usize {
        let Blocks::Leaf(page) = &self.blocks else { return 0 };
        let cache = &self.moment.inner.source.cache;
        if let Some(link) = page.node.link(then) {
            cache.fetch_frame(link.get());
        }
        page.node.link(index).map_or(0, |link| cache.fetch(link.get(), behind))
    }

    pub(super) fn name(&self, index: usize) -> &[u8] {
        match &self.blocks {
            Blocks::Leaf(page) => page.node.name(page, index).unwrap_or_default(),
            Blocks::Pending(changes) => changes.name(index),
        }
    }

    /// Whether each record of a leaf is a block's first.
    pub(super) fn is_whole(&self) -> bool {
        matches!(&self.blocks, Blocks::Leaf(page) if page.node.is_whole())
    }

    /// Where a block of this name belongs in a leaf, and whether there is one.
    pub(super) fn search(&self, name: &[u8]) -> (usize, bool) {
        match &self.blocks {
            Blocks::Leaf(page) => page.node.search(page, Key::first(name)),
            Blocks::Pending(_) => (0, false),
        }
    }

    /// Whether the name stands for nothing but a deletion.
    pub(super) fn is_deleted(&self, index: usize) -> bool {
        match &self.blocks {
            Blocks::Leaf(_) => false,
            Blocks::Pending(changes) => changes.kind(index).is_none_or(|kind| kind == ChangeKind::Deleted),
        }
    }

    fn locate(&self, index: usize) -> Option<Located> {
        match &self.blocks {
            Blocks::Leaf(page) => Found::of(page, index).locate(),
            Blocks::Pending(changes) => read::locate_slot(self.moment.view.pending(changes.name(index))?),
        }
    }

    fn implausible(&self, index: usize) -> Error {
        let page = self.moment.view.layers.root.page;
        Error::read(self.moment.inner.source.implausible(page), Some(self.name(index)))
    }

    /// What the leaf, or for a change the table of names, knows of a block's extent.
    fn known(&self, index: usize) -> Option<Piece<'_>> {
        let Moment { inner, view } = &*self.moment;
        let cache = &inner.source.cache;
        match &self.blocks {
            Blocks::Leaf(page) => cache.pin_whole(page.node.link(index)?.get()),
            Blocks::Pending(changes) => {
                if changes.kind(index)? != ChangeKind::Elsewhere {
                    return None;
                }
                match inner.shared.names.find(changes.name(index), view.sequence)? {
                    Known::Absent => None,
                    Known::Here(handle, range) => cache.pin_piece(handle, range),
                }
            }
        }
    }

    /// The bytes of a block that is part of its run, in its leaf or beside its change, and the allocation that
    /// they lie in.
    #[inline]
    fn inline(&self, index: usize) -> Option<(&Arc<[u8]>, &[u8])> {
        match &self.blocks {
            Blocks::Leaf(page) => Some((&page.bytes, page.node.inline(page, index)?)),
            Blocks::Pending(changes) => changes.here(index),
        }
    }

    /// As [`inline`](Self::inline), for somebody who looks at them.
    #[inline]
    fn show_inline(&self, index: usize) -> Option<(&Arc<[u8]>, &[u8])> {
        // In a leaf they have been fetched with it.
        if matches!(self.blocks, Blocks::Pending(_)) {
            self.show();
        }
        self.inline(index)
    }

    /// What the table of names knows of a block of a leaf: the bytes of one that was read while it was pending are in the cache
    /// without a key. The leaf knows them from then on.
    fn remembered(&self, index: usize) -> Option<BlockRef> {
        let Blocks::Leaf(page) = &self.blocks else { return None };
        let link = page.node.link(index)?;
        let Moment { inner, view } = &*self.moment;
        let Known::Here(handle, range) = inner.shared.names.find(self.name(index), view.sequence)? else {
            return None;
        };
        let piece = inner.source.cache.pin_whole(handle).filter(|piece| piece.len() == range.len())?;
        link.set(handle);
        Some(BlockRef::of(&piece))
    }

    fn read(&self, index: usize) -> Result<BlockRef> {
        self.looked.store(true, Ordering::Relaxed);
        if let Some(bytes) = self.remembered(index) {
            return Ok(bytes);
        }
        let Moment { inner, view } = &*self.moment;
        let located = self.locate(index).ok_or_else(|| self.implausible(index))?;
        let (bytes, handle) = read::read_ref(&inner.source, view, self.name(index), &located)?;
        if matches!(self.blocks, Blocks::Pending(_)) && handle != Handle::NONE {
            inner.shared.names.learn(
                self.name(index),
                view.sequence,
                &Known::Here(handle, bytes.range.clone()),
            );
        }
        Ok(bytes)
    }
}

/// A block met on the way. It keeps alive what it refers to: the page of the registry that names it, or a few
/// changes; not the block's bytes.
#[derive(Clone)]
pub struct Item {
    pub(super) run: Arc<Run>,
    pub(super) index: usize,
}

impl std::fmt::Debug for Item {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Item({}, {} bytes)", self.name().escape_ascii(), self.length())
    }
}

impl Item {
    /// The block's name.
    #[must_use]
    pub fn name(&self) -> &[u8] {
        self.run.name(self.index)
    }

    /// What is known of the block without reading it.
    #[must_use]
    pub fn metadata(&self) -> Metadata {
        self.run.locate(self.index).map_or_else(Metadata::nothing, |located| located.metadata())
    }

    /// Length of the block in bytes.
    #[must_use]
    pub fn length(&self) -> u64 {
        if let Some((_, bytes)) = self.run.inline(self.index) {
            return bytes.len() as u64;
        }
        self.run.locate(self.index).map_or(0, |located| located.length())
    }

    /// The block's bytes, shared with the cache.
    ///
    /// # Errors
    /// [`Error::Corrupted`] if they are damaged, [`Error::Io`] if they cannot be read.
    pub fn value(&self) -> Result<BlockRef> {
        if let Some((all, bytes)) = self.run.show_inline(self.index) {
            return Ok(BlockRef::within(all, bytes));
        }
        self.run.show();
        match self.run.known(self.index) {
            Some(piece) => Ok(BlockRef::of(&piece)),
            None => self.run.read(self.index),
        }
    }

    /// Shows the block's bytes to `look` where they are: the fastest way to pass over many. The cache keeps
    /// them meanwhile.
    ///
    /// # Errors
    /// As [`value`](Self::value).
    pub fn with_value<R>(&self, look: impl FnOnce(&[u8]) -> R) -> Result<R> {
        if let Some((_, bytes)) = self.run.show_inline(self.index) {
            return Ok(look(bytes));
        }
        self.run.show();
        match self.run.known(self.index) {
            Some(piece) => Ok(look(&piece)),
            None => Ok(look(&self.run.read(self.index)?)),
        }
    }
}

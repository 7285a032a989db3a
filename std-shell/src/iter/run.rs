//! Blocks that lie together: in a leaf of the registry, or among the changes that are not part of it yet.

use crate::cache::Handle;
use crate::error::{Error, Result};
use crate::inner::Inner;
use crate::memtable::Slot;
use crate::names::Known;
use crate::read::{self, BlockRef, Located, Metadata};
use crate::source::{Found, NodePage};
use crate::view::View;
use blockyard_core::overlay::Value;
use blockyard_core::tree::{NodeView, Place};
use std::sync::Arc;

/// What all items of an iterator share.
#[derive(Debug)]
pub(super) struct Moment {
    pub(super) inner: Arc<Inner>,
    pub(super) view: View,
}

/// Consecutive blocks.
#[derive(Debug)]
pub(super) struct Run {
    pub(super) moment: Arc<Moment>,
    pub(super) blocks: Blocks,
}

#[derive(Debug)]
pub(super) enum Blocks {
    Leaf(NodePage),
    Pending(Vec<Slot>),
}

impl Run {
    pub(super) fn name(&self, index: usize) -> &[u8] {
        match &self.blocks {
            Blocks::Leaf(page) => leaf_name(page, index),
            Blocks::Pending(slots) => slots.get(index).map(Slot::name).unwrap_or_default(),
        }
    }

    /// Whether the name stands for nothing but a deletion.
    pub(super) fn is_deleted(&self, index: usize) -> bool {
        match &self.blocks {
            Blocks::Leaf(_) => false,
            Blocks::Pending(slots) => slots.get(index).is_none_or(|slot| slot.entry.value == Value::Deleted),
        }
    }

    fn locate(&self, index: usize) -> Option<Located> {
        match &self.blocks {
            Blocks::Leaf(page) => Found::of(page, index).locate(),
            Blocks::Pending(slots) => read::locate_slot(slots.get(index)?.clone()),
        }
    }

    fn implausible(&self, index: usize) -> Error {
        let page = self.moment.view.layers.root.page;
        Error::read(self.moment.inner.source.implausible(page), Some(self.name(index)))
    }

    fn value(&self, index: usize) -> Result<BlockRef> {
        let source = &self.moment.inner.source;
        let known = match &self.blocks {
            Blocks::Leaf(page) => page.node.link(index).and_then(|link| {
                let held = source.cache.pin(link.get())?;
                Some(BlockRef::whole(Arc::clone(held.bytes()?)))
            }),
            Blocks::Pending(slots) => slots.get(index).and_then(|slot| self.known(slot)),
        };
        match known {
            Some(bytes) => Ok(bytes),
            None => self.read(index),
        }
    }

    /// What the table of names knows of a change's extent.
    fn known(&self, slot: &Slot) -> Option<BlockRef> {
        let Value::Extent { .. } = slot.entry.value else { return None };
        let Moment { inner, view } = &*self.moment;
        match inner.shared.names.find(slot.name(), view.sequence)? {
            Known::Absent => None,
            Known::Here(handle, range) => {
                let held = inner.source.cache.pin(handle)?;
                let bytes = held.bytes().filter(|bytes| range.end <= bytes.len())?;
                Some(BlockRef { bytes: Arc::clone(bytes), range })
            }
        }
    }

    fn read(&self, index: usize) -> Result<BlockRef> {
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

/// The name of a leaf's record; the cells of a page that was decoded parse.
fn leaf_name(page: &NodePage, index: usize) -> &[u8] {
    NodeView::parse(page).and_then(|node| node.key(index)).map(|key| key.name).unwrap_or_default()
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
        match &self.run.blocks {
            Blocks::Leaf(page) => {
                Found::of(page, self.index).record().map_or(0, |record| match record.place {
                    Place::Inline(bytes) => bytes.len() as u64,
                    _ => record.length,
                })
            }
            Blocks::Pending(slots) => slots.get(self.index).map_or(0, |slot| slot.entry.length),
        }
    }

    /// The block's bytes, shared with the cache.
    ///
    /// # Errors
    /// [`Error::Corrupted`] if they are damaged, [`Error::Io`] if they cannot be read.
    pub fn value(&self) -> Result<BlockRef> {
        self.run.value(self.index)
    }
}

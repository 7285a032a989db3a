//! Where reads get their bytes: the cache, then the device, verified.

use crate::cache::{Cache, Handle, Key as CacheKey, Link, Pinned};
use crate::device::{Device, IoError};
use crate::names::Names;
use crate::node::Node;
use crate::read::BlockRef;
use blockyard_core::overlay::TreeRoot;
use blockyard_core::tree::{Child, Key, NodeSource, NodeView};
use blockyard_core::{Damage, Digest, Geometry, PageIndex, ReadError, Structure};
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

pub(crate) type SourceError = ReadError<IoError>;

/// The most bytes of leaves that are announced at once from a place on: with larger pages a node has more children than are
/// worth reading for one of them.
const MOST_ANNOUNCED: u64 = 4 << 20;

/// Pages that lie scattered over more than so many times their number, or so many pages apart, are not announced
/// together: reading what is between them would cost more than it saves.
pub(crate) const SPREAD: u64 = 4;

/// A block of a table of changes that is not longer is copied into the cache: memory anew would cost the next change as much.
const COPIED: usize = 16 << 10;

/// Verified bytes of a device.
#[derive(Debug)]
pub(crate) struct Source {
    device: Arc<dyn Device>,
    geometry: Geometry,
    pub(crate) cache: Cache,
    largest: u64,
    pub(crate) reads: AtomicU64,
    pub(crate) bytes_read: AtomicU64,
}

fn device(error: std::io::Error) -> SourceError {
    ReadError::Device(error.into())
}

/// A page of the registry, verified, shared with the cache.
#[derive(Clone, Debug)]
pub(crate) struct NodePage {
    pub(crate) bytes: Arc<[u8]>,
    pub(crate) node: Arc<Node>,
    pub(crate) handle: Handle,
}

impl std::ops::Deref for NodePage {
    type Target = [u8];
    fn deref(&self) -> &[u8] {
        &self.bytes
    }
}

/// A page on the way down: looked at in its frame, or taken along.
enum Step<'a> {
    Pinned(Pinned<'a>, Handle),
    Taken(NodePage),
}

impl Step<'_> {
    /// The page, with the place of its first record.
    fn page(&self) -> Option<Found<'_>> {
        match self {
            Self::Pinned(held, handle) => {
                Some(Found { bytes: held.bytes()?, node: held.node()?, handle: *handle, index: 0 })
            }
            Self::Taken(page) => Some(Found::of(page, 0)),
        }
    }
}

/// A record in its leaf, for as long as the leaf's frame is held.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Found<'a> {
    pub(crate) bytes: &'a Arc<[u8]>,
    pub(crate) node: &'a Arc<Node>,
    pub(crate) handle: Handle,
    pub(crate) index: usize,
}

impl Source {
    /// A source whose cache, with the table of names, has so many bytes.
    pub(crate) fn new(device: Arc<dyn Device>, geometry: Geometry, cache_bytes: usize) -> Self {
        let cache = Cache::new((cache_bytes - Names::bytes_of(cache_bytes)) as u64);
        let largest = cache_bytes as u64 / 8;
        Self { device, geometry, cache, largest, reads: AtomicU64::new(0), bytes_read: AtomicU64::new(0) }
    }

    fn read(&self, page: PageIndex, into: &mut [u8]) -> Result<(), SourceError> {
        self.cache.missed();
        self.reads.fetch_add(1, Ordering::Relaxed);
        self.bytes_read.fetch_add(into.len() as u64, Ordering::Relaxed);
        let offset = self.geometry.offset(page.0);
        let beyond = i64::try_from(offset.saturating_add(into.len() as u64)).is_err();
        let read = if beyond { Err(None) } else { self.device.read_at(offset, into).map_err(Some) };
        read.map_err(|error| match error {
            // A pointer past the end of the file is damage, not a failing disk.
            Some(error) if error.kind() != std::io::ErrorKind::UnexpectedEof => {
                ReadError::Device(error.into())
            }
            _ => self.damage(page, Structure::Block),
        })
    }

    fn damage(&self, page: PageIndex, what: Structure) -> SourceError {
        ReadError::Corrupted(Damage { what, offset: self.geometry.offset(page.0) })
    }

    /// What the cache keeps of an extent: found by its link, else by its key, which mends the link.
    fn cached(&self, key: &CacheKey, length: usize, link: Option<&Link>) -> Option<(Pinned<'_>, Handle)> {
        let fits = |held: &Pinned<'_>| held.bytes().is_some_and(|bytes| bytes.len() == length);
        if let Some(link) = link {
            let handle = link.get();
            if let Some(held) = self.cache.pin(handle).filter(fits) {
                return Some((held, handle));
            }
        }
        let handle = self.cache.find(key)?;
        let held = self.cache.pin(handle).filter(fits)?;
        if let Some(link) = link {
            link.set(handle);
        }
        Some((held, handle))
    }

    /// Keeps the verified bytes of an extent, unless they are too many.
    fn keep(&self, key: CacheKey, bytes: Arc<[u8]>, link: Option<&Link>) -> Handle {
        if bytes.len() as u64 > self.largest {
            return Handle::NONE;
        }
        let handle = self.cache.insert(key, bytes, None);
        if let Some(link) = link {
            link.set(handle);
        }
        handle
    }

    /// The bytes of an extent, from the cache if they are there, and where the cache has them.
    pub(crate) fn extent(
        &self,
        page: PageIndex,
        length: u64,
        digest: &Digest,
        link: Option<&Link>,
    ) -> Result<(Arc<[u8]>, Handle), SourceError> {
        let key = CacheKey::new(page, digest);
        if let Ok(length) = usize::try_from(length)
            && let Some((held, handle)) = self.cached(&key, length, link)
            && let Some(bytes) = held.bytes()
        {
            return Ok((Arc::clone(bytes), handle));
        }
        let bytes = self.fresh(page, length, digest)?;
        let handle = self.keep(key, Arc::clone(&bytes), link);
        Ok((bytes, handle))
    }

    /// The bytes of an extent as the file has them now.
    fn fresh(&self, page: PageIndex, length: u64, digest: &Digest) -> Result<Arc<[u8]>, SourceError> {
        let length = self.plausible(page, length)?;
        let mut bytes: Arc<[u8]> = std::iter::repeat_n(0, length).collect();
        if let Some(into) = Arc::get_mut(&mut bytes) {
            self.read(page, into)?;
        }
        if Digest::of(&bytes) == *digest { Ok(bytes) } else { Err(self.damage(page, Structure::Block)) }
    }

    /// Reads what was committed at the journal position `at` from the medium, as far as the operating
    /// system can be told to, and compares it.
    pub(crate) fn check_journal(&self, at: u64, bytes: &[u8]) -> Result<(), SourceError> {
        let length = self.geometry.journal_length();
        let start = at % length;
        let (head, rest) = bytes.split_at(bytes.len().min((length - start) as usize));
        let mut found = vec![0; head.len().max(rest.len())];
        for (offset, part) in [(start, head), (0, rest)] {
            let offset = self.geometry.journal_offset() + offset;
            let found = &mut found[..part.len()];
            self.device.forget(offset, part.len() as u64);
            self.device.read_at(offset, found).map_err(device)?;
            if found != part {
                return Err(ReadError::Corrupted(Damage { what: Structure::Journal, offset }));
            }
        }
        Ok(())
    }

    /// Bytes of a page.
    pub(crate) const fn page_size(&self) -> u64 {
        self.geometry.page_size() as u64
    }

    /// The error for a page or a record that cannot be what it says.
    pub(crate) fn implausible(&self, page: PageIndex) -> SourceError {
        self.damage(page, Structure::Registry)
    }

    /// Refuses lengths that no extent of this file can have, before memory is set aside for them.
    pub(crate) fn plausible(&self, page: PageIndex, length: u64) -> Result<usize, SourceError> {
        if length > u64::from(self.geometry.chunk_size()) {
            return Err(self.damage(page, Structure::Registry));
        }
        self.fits_in_file(page, length)
    }

    /// Refuses lengths that are longer than the file.
    pub(crate) fn fits_in_file(&self, page: PageIndex, length: u64) -> Result<usize, SourceError> {
        // Asking for the file's length is worth it only where much memory is at stake.
        if length > 64 << 10 && length > self.device.length().map_err(device)? {
            return Err(self.damage(page, Structure::Registry));
        }
        usize::try_from(length).map_err(|_| self.damage(page, Structure::Registry))
    }

    /// Keeps a block that was found in memory and is not the cache's yet, in place of what `outdated` names; returns where,
    /// and which part of that it is. Short ones are copied, and what is the smaller part of its allocation: that serves
    /// the next changes, and nobody keeps a whole batch for one of its values.
    pub(crate) fn keep_unnamed(&self, block: &BlockRef, outdated: Handle) -> (Handle, Range<usize>) {
        if block.len() as u64 > self.largest {
            (Handle::NONE, block.range.clone())
        } else if block.len() <= COPIED || 2 * block.len() < block.bytes.len() {
            (self.cache.insert_copy(block, outdated), 0..block.len())
        } else {
            (self.cache.insert_unnamed(Arc::clone(&block.bytes), outdated), block.range.clone())
        }
    }

    /// Reads an extent into the caller's buffer; takes it from the cache or leaves it there. Returns where
    /// the cache has it.
    pub(crate) fn extent_into(
        &self,
        page: PageIndex,
        digest: &Digest,
        into: &mut [u8],
        link: Option<&Link>,
    ) -> Result<Handle, SourceError> {
        let key = CacheKey::new(page, digest);
        if let Some((held, handle)) = self.cached(&key, into.len(), link)
            && let Some(bytes) = held.bytes()
        {
            into.copy_from_slice(bytes);
            return Ok(handle);
        }
        self.read(page, into)?;
        if Digest::of(into) != *digest {
            return Err(self.damage(page, Structure::Block));
        }
        if into.len() as u64 <= self.largest.min(64 << 10) {
            return Ok(self.keep(key, Arc::from(&*into), link));
        }
        Ok(Handle::NONE)
    }

    /// Reads an extent whose digest is compared later.
    pub(crate) fn extent_ahead(&self, page: PageIndex, into: &mut [u8]) -> Result<(), SourceError> {
        self.read(page, into)
    }

    /// Compares what [`extent_ahead`](Self::extent_ahead) read: its digest with the one that it must have.
    pub(crate) fn compare(
        &self,
        page: PageIndex,
        found: &Digest,
        digest: &Digest,
    ) -> Result<(), SourceError> {
        if found == digest { Ok(()) } else { Err(self.damage(page, Structure::Block)) }
    }

    /// Reads an extent from the medium, as far as the operating system can be told to, and compares
    /// its digest.
    pub(crate) fn check(&self, page: PageIndex, length: u64, digest: &Digest) -> Result<(), SourceError> {
        self.device.forget(self.geometry.offset(page.0), length);
        self.fresh(page, length, digest).map(drop)
    }

    /// Announces that `pages` pages from `page` on will be read.
    pub(crate) fn will_need(&self, page: PageIndex, pages: u64) {
        self.device.will_need(self.geometry.offset(page.0), self.geometry.offset(pages));
    }

    /// The page of a node, which some parent points to.
    pub(crate) fn page(&self, child: Child, level: u32) -> Result<NodePage, SourceError> {
        let key = CacheKey::new(child.page, &child.digest);
        if let Some(handle) = self.cache.find(&key)
            && let Some(held) = self.cache.pin(handle)
            && let (Some(bytes), Some(node)) = (held.bytes(), held.node())
        {
            // The level was compared when the page was read; a parent that points across levels is
            // caught here.
            return if node.level() == level {
                Ok(NodePage { bytes: Arc::clone(bytes), node: Arc::clone(node), handle })
            } else {
                Err(self.implausible(child.page))
            };
        }
        let mut bytes: Arc<[u8]> = std::iter::repeat_n(0, self.geometry.page_size()).collect();
        if let Some(into) = Arc::get_mut(&mut bytes) {
            self.read(child.page, into).map_err(|error| match error {
                ReadError::Corrupted(_) => self.implausible(child.page),
                error => error,
            })?;
        }
        if NodeView::verified(&bytes, &child.digest, level).is_none() {
            return Err(self.implausible(child.page));
        }
        let node = Node::decode(&bytes).ok_or_else(|| self.implausible(child.page))?;
        let node = Arc::new(node);
        let handle = self.cache.insert(key, Arc::clone(&bytes), Some(Arc::clone(&node)));
        Ok(NodePage { bytes, node, handle })
    }

    /// Looks a key up and hands its record, if there is one, to `found`. Each page on the way is looked at in
    /// its frame, found by the link that its parent keeps; a link, once set, names what the parent's digest was
    /// compared with. `top` is such a link to the root.
    pub(crate) fn descend<R>(
        &self,
        root: &TreeRoot,
        top: &Link,
        key: Key<'_>,
        found: impl FnOnce(Option<Found<'_>>) -> R,
    ) -> Result<R, SourceError> {
        let Some(height) = root.height.checked_sub(1) else { return Ok(found(None)) };
        let mut step =
            self.step(top, height, || Some(Child { page: root.page, digest: root.digest }), root.page)?;
        for level in (0..height).rev() {
            let damaged = || self.implausible(root.page);
            let Found { bytes, node, .. } = step.page().ok_or_else(damaged)?;
            let index = node.child_for(bytes, key);
            let link = node.link(index).ok_or_else(damaged)?;
            let handle = link.get();
            if let Some(held) = self.cache.pin(handle) {
                step = Step::Pinned(held, handle);
                continue;
            }
            // The parent's frame is let go before the device is asked.
            let view = NodeView::parse(bytes);
            let (child, parent) = (view.and_then(|node| node.child(index)), Arc::clone(node));
            // The parent was here before and another leaf of it was read: so may be the others.
            let again = level == 0 && matches!(step, Step::Pinned(..)) && parent.tell_of_leaves();
            let most = MOST_ANNOUNCED / self.geometry.page_size() as u64;
            let leaves = view.filter(|_| again).map(|node| clusters(&node, most)).unwrap_or_default();
            drop(step);
            let link = parent.link(index).ok_or_else(damaged)?;
            step = self.step(link, level, || child, root.page)?;
            leaves.into_iter().for_each(|(first, pages)| self.will_need(PageIndex(first), pages));
        }
        let Some(leaf) = step.page() else { return Err(self.implausible(root.page)) };
        let (index, same) = leaf.node.search(leaf.bytes, key);
        Ok(found(same.then_some(Found { index, ..leaf })))
    }

    /// Child `index` of an inner page of the tree with this root, found by the page's link to it.
    pub(crate) fn child(
        &self,
        parent: &NodePage,
        index: usize,
        root: PageIndex,
    ) -> Result<NodePage, SourceError> {
        let child = || NodeView::parse(parent).and_then(|node| node.child(index));
        match (parent.node.link(index), parent.node.level().checked_sub(1)) {
            (Some(link), Some(level)) => self.linked(link, level, child, root),
            _ => Err(self.implausible(root)),
        }
    }

    /// Has the processor fetch a leaf that a walk will come to, and of two behind it what leads to them.
    pub(crate) fn fetch_leaves(&self, parent: &NodePage, [next, second, third]: [usize; 3]) {
        let link = |index| parent.node.link(index).map_or(Handle::NONE, Link::get);
        self.cache.fetch_frame(link(third));
        self.cache.fetch_node(link(second));
        self.cache.fetch_page(link(next));
    }

    /// As [`step`](Self::step), to be taken along.
    pub(crate) fn linked(
        &self,
        link: &Link,
        level: u32,
        child: impl FnOnce() -> Option<Child>,
        parent: PageIndex,
    ) -> Result<NodePage, SourceError> {
        match self.step(link, level, child, parent)? {
            Step::Taken(page) => Ok(page),
            Step::Pinned(held, handle) => match (held.bytes(), held.node()) {
                (Some(bytes), Some(node)) => {
                    Ok(NodePage { bytes: Arc::clone(bytes), node: Arc::clone(node), handle })
                }
                _ => Err(self.implausible(parent)),
            },
        }
    }

    /// The page that a link names, else the one that the parent points to.
    fn step(
        &self,
        link: &Link,
        level: u32,
        child: impl FnOnce() -> Option<Child>,
        parent: PageIndex,
    ) -> Result<Step<'_>, SourceError> {
        let handle = link.get();
        if let Some(held) = self.cache.pin(handle) {
            return Ok(Step::Pinned(held, handle));
        }
        let page = self.page(child().ok_or_else(|| self.implausible(parent))?, level)?;
        link.set(page.handle);
        Ok(Step::Taken(page))
    }
}

/// The children of a node that lie close together, as the checkpoints left them: from where, and how many pages with those
/// in between, of which none is more than `most`. A child that lies by itself is none of them.
fn clusters(node: &NodeView<'_>, most: u64) -> Vec<(u64, u64)> {
    let mut pages: Vec<u64> =
        (0..node.len()).filter_map(|index| node.child(index)).map(|child| child.page.0).collect();
    pages.sort_unstable();
    let clusters = pages.chunk_by(|a, b| b - a <= SPREAD).filter(|cluster| cluster.len() > 1);
    let reach =
        |cluster: &[u64]| Some((*cluster.first()?, (cluster.last()? - cluster.first()? + 1).min(most)));
    clusters.filter_map(reach).collect()
}

impl NodeSource for &Source {
    type Error = SourceError;
    type Page<'a>
        = NodePage
    where
        Self: 'a;

    fn node(&mut self, child: Child, level: u32) -> Result<NodePage, SourceError> {
        self.page(child, level)
    }

    fn damaged(&mut self, page: PageIndex) -> SourceError {
        self.damage(page, Structure::Registry)
    }
}

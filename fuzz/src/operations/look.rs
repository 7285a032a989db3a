//! Operations that only look: pieces, cursors, openings.

use super::world::World;
use crate::device::Watched;
use crate::input::Input;
use crate::setup::{WriteError, batch};
use blockyard_core::device::MemoryError;
use blockyard_core::error::ReadError;
use blockyard_core::overlay::{Overlay, TreeRoot};
use blockyard_core::store::record_info;
use blockyard_core::tree::{self, Child, Cursor, Key, NodeSource, NodeView};
use blockyard_core::{Damage, Durability, PageIndex, Structure};

/// Pages of the registry, straight from an image: what a shell does with its cache.
pub(crate) struct ImagePages<'i> {
    pub(crate) image: &'i [u8],
    pub(crate) page_size: usize,
}

impl NodeSource for ImagePages<'_> {
    type Error = ReadError<MemoryError>;
    type Page<'p>
        = &'p [u8]
    where
        Self: 'p;

    fn node(&mut self, child: Child, level: u32) -> Result<&[u8], Self::Error> {
        let start = usize::try_from(child.page.0.saturating_mul(self.page_size as u64)).ok();
        let page = start.and_then(|start| self.image.get(start..start.checked_add(self.page_size)?));
        let page = page.filter(|page| NodeView::verified(page, &child.digest, level).is_some());
        page.ok_or_else(|| self.damaged(child.page))
    }

    fn damaged(&mut self, page: PageIndex) -> Self::Error {
        let offset = page.0.saturating_mul(self.page_size as u64);
        ReadError::Corrupted(Damage { what: Structure::Registry, offset })
    }
}

/// Keys of a tree, forwards.
pub(crate) fn keys(
    pages: &mut ImagePages<'_>,
    root: &TreeRoot,
    most: usize,
) -> Result<Vec<(Vec<u8>, u32)>, ReadError<MemoryError>> {
    let mut keys = Vec::new();
    let mut cursor = Cursor::seek(pages, root, Key::first(b""))?;
    cursor.settle(pages)?;
    while let Some((leaf, index)) = cursor.record() {
        keys.push(key_of(pages, leaf, index)?);
        if keys.len() > most {
            break;
        }
        cursor.advance();
        cursor.settle(pages)?;
    }
    Ok(keys)
}

/// Keys of a tree, backwards.
pub(crate) fn keys_back(
    pages: &mut ImagePages<'_>,
    root: &TreeRoot,
    most: usize,
) -> Result<Vec<(Vec<u8>, u32)>, ReadError<MemoryError>> {
    let mut keys = Vec::new();
    let mut cursor = Cursor::seek_end(pages, root)?;
    while cursor.retreat(pages)? {
        let Some((leaf, index)) = cursor.record() else { break };
        keys.push(key_of(pages, leaf, index)?);
        if keys.len() > most {
            break;
        }
    }
    Ok(keys)
}

fn key_of(
    pages: &mut ImagePages<'_>,
    leaf: Child,
    index: usize,
) -> Result<(Vec<u8>, u32), ReadError<MemoryError>> {
    let page = pages.node(leaf, 0)?;
    let key =
        NodeView::parse(page).and_then(|node| node.key(index).map(|key| (key.name.to_vec(), key.chunk)));
    key.ok_or_else(|| pages.damaged(leaf.page))
}

impl<O: Overlay + Default> World<O> {
    /// Reads one block in pieces, from anywhere on, and into buffers that are too small.
    pub(super) fn look(&mut self, input: &mut Input<'_>) {
        let name = self.name(input);
        self.compare_one(&name);
        let Some(block) = self.model.get(&name) else {
            assert_eq!(self.store.reader(&name).map(drop), Err(ReadError::NotFound));
            assert_eq!(self.store.get(&name, &mut []), Ok(None));
            return;
        };
        let length = block.bytes.len();
        if length > 0 {
            let mut short = vec![0; input.below(length)];
            let needed = length as u64;
            assert_eq!(self.store.get(&name, &mut short), Err(ReadError::BufferTooSmall { needed }));
        }
        let mut reader = self.store.reader(&name).expect("there is such a block");
        for _ in 0..3 {
            let from = input.below(length + 1);
            let mut piece = vec![0; input.below(2048)];
            reader.seek(from as u64);
            let mut at = from;
            for _ in 0..4 {
                let read = if piece.len().is_multiple_of(2) {
                    reader.read(&mut piece).expect("readable")
                } else {
                    embedded_io::Read::read(&mut reader, &mut piece).expect("readable")
                };
                assert!(piece[..read] == block.bytes[at..at + read]);
                assert_eq!(read == 0, piece.is_empty() || at == length, "an end that is none");
                at += read;
            }
        }
        reader.seek(u64::MAX);
        assert_eq!(reader.read(&mut [0; 9]), Ok(0));
    }

    /// Verification, and the tree itself in both directions: what is durable is whole whatever is pending.
    pub(super) fn walk(&mut self) {
        self.verify(false);
        let root = self.store.root();
        if root.height == 0 {
            return;
        }
        let image = self.store.device().bytes();
        let mut pages = ImagePages { image, page_size: self.setup.page_size as usize };
        let forwards = keys(&mut pages, &root, usize::MAX).expect("readable");
        let mut backwards = keys_back(&mut pages, &root, usize::MAX).expect("readable");
        backwards.reverse();
        assert!(forwards.is_sorted_by(|a, b| a < b), "keys ascend");
        assert_eq!(forwards, backwards);
        let blocks = forwards.iter().filter(|(_, chunk)| *chunk == 0).count() as u64;
        assert_eq!(blocks, self.store.superblock().blocks.get());
        for (name, chunk) in &forwards {
            let key = Key { name, chunk: *chunk };
            let found = tree::lookup_chunk(&mut pages, &root, key, |record| {
                record.map(|record| (record.length, record_info(&record)))
            });
            assert!(found.expect("readable").is_some(), "what is listed can be looked up");
            let (page, at) = tree::lookup_page(&mut pages, &root, key).expect("readable").expect("found");
            assert_eq!(NodeView::parse(page).and_then(|node| node.key(at)), Some(key));
        }
    }

    /// Opens a copy for reading only: it shows the same and is not written.
    pub(super) fn read_only(&mut self) {
        let image = self.store.device().bytes().to_vec();
        let limit = image.len() as u64;
        let device = Watched::new(image, self.setup.unit, limit, 100_000);
        let sequence = self.store.sequence();
        let (store, recovery) =
            self.setup.open::<O, _>(device, |options| options.read_only = true).expect("it can be opened");
        assert_eq!((recovery.to, recovery.torn_tail, recovery.damage), (sequence, false, None));
        let mut other = Self { setup: self.setup, store, model: self.model.clone(), staged: None };
        other.compare();
        other.verify(false);
        assert_eq!(other.store.sync(), Err(WriteError::ReadOnly));
        assert_eq!(other.store.seal(), Err(WriteError::ReadOnly));
        assert_eq!(other.store.checkpoint(), Err(WriteError::ReadOnly));
        let mut one = batch(other.store.geometry());
        one.delete(b"a").expect("it fits");
        assert_eq!(other.store.commit(&mut [one], Durability::Durable), Err(WriteError::ReadOnly));
        let (device, ..) = other.store.into_parts();
        assert!(device.bytes() == self.store.device().bytes(), "reading only writes nothing");
    }

    /// Lets go of the store as it is and opens the file again.
    pub(super) fn reopen(mut self) -> Self {
        self.end_staged();
        let (sequence, folded) = (self.store.sequence(), self.store.root().sequence);
        let device = self.store.into_device();
        let (store, recovery) =
            self.setup.open::<O, _>(device, |_| {}).expect("what was closed can be opened");
        assert_eq!((recovery.from, recovery.to), (folded, sequence));
        assert_eq!((recovery.torn_tail, recovery.damage), (false, None));
        assert_eq!(store.durable_sequence(), sequence);
        let mut world = Self { setup: self.setup, store, model: self.model, staged: None };
        world.compare();
        world.verify(true);
        world
    }
}

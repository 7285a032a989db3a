//! Looking at every node and every key of a tree.

use super::super::*;
use super::TALLY;
use super::host::{Block, Body, World};
use crate::format::{LeafCell, NodeHeader, cell_kind};
use crate::ids::{PageIndex, Sequence};
use alloc::collections::BTreeSet;
use alloc::vec::Vec;

type OwnKey = (Vec<u8>, u32);

/// The keys that a block has, with what stands under each: sequence, tag, length and pages.
fn keys(name: &[u8], block: &Block) -> Vec<(OwnKey, (u64, u64, u64, u64))> {
    let extents = block.body.extents();
    let page = extents.first().map_or(0, |&(page, _)| page);
    let first = ((name.to_vec(), 0), (block.sequence, block.tag, block.body.length(), page));
    let chunk = |(index, &(page, length)): (usize, &(u64, u64))| {
        ((name.to_vec(), index as u32), (0, 0, length, page))
    };
    core::iter::once(first).chain(extents.iter().enumerate().skip(1).map(chunk)).collect()
}

fn assert_record(
    record: &Record<'_>,
    block: &Block,
    (sequence, tag, length, page): (u64, u64, u64, u64),
    chunk: u32,
) {
    assert_eq!((record.sequence, record.tag, record.length), (Sequence(sequence), tag, length));
    let chunk_digest = |chunks: &[crate::format::ChunkRef]| crate::Digest(chunks[chunk as usize].digest);
    let expected = match &block.body {
        Body::Inline(bytes) => Place::Inline(bytes),
        Body::Extent { digest, .. } => Place::Extent { page: PageIndex(page), digest: *digest },
        Body::Chunks { chunks, chunk_size, digest, .. } if chunk == 0 => Place::Head {
            page: PageIndex(page),
            digest: *digest,
            chunk_digest: chunk_digest(chunks),
            chunk_size: *chunk_size,
        },
        Body::Chunks { chunks, .. } => Place::Chunk { page: PageIndex(page), digest: chunk_digest(chunks) },
    };
    assert_eq!(record.place, expected);
}

impl World {
    fn top(&self) -> Child {
        Child { page: self.root.page, digest: self.root.digest }
    }

    /// Leaves of the tree.
    pub(super) fn leaves(&self) -> usize {
        let is_leaf = |page: &&Vec<u8>| NodeView::parse(page).is_some_and(|node| node.level() == 0);
        self.nodes.values().filter(is_leaf).count()
    }

    /// Demands that the tree holds what it must, and nothing else, in sound nodes.
    pub(super) fn assert_sound(&mut self) {
        let mut reached = BTreeSet::new();
        if self.root.height > 0 {
            self.assert_node(self.top(), self.root.height - 1, &mut reached);
        }
        assert!(reached.iter().eq(self.nodes.keys()), "every node that was not freed is reached");
        self.assert_packed();
        let mut in_use = reached;
        for block in self.before.values() {
            for (page, length) in block.body.extents() {
                in_use.extend(page..page + length.div_ceil(self.page_size as u64));
            }
        }
        assert!(in_use == self.used, "used and not reached: {:?}", self.used.symmetric_difference(&in_use));
        self.assert_found();
        self.assert_walks();
    }

    /// A nearly empty node takes its neighbour in, so that pages are a quarter full on the whole, and a root
    /// with one child gives way to it.
    fn assert_packed(&self) {
        let leaves =
            self.nodes.values().filter_map(|page| NodeView::parse(page)).filter(|node| node.level() == 0);
        let cell = |node: NodeView<'_>| {
            (0..node.len()).map(move |index| node.cell(index).map_or(0, |cell| cell.len() + 2)).sum::<usize>()
        };
        let least = leaves.map(cell).sum::<usize>().div_ceil(self.page_size - NodeHeader::SIZE);
        assert!(self.leaves() <= 4 * least + 2, "{} leaves for what fits into {least}", self.leaves());
        let root = self.nodes.get(&self.root.page.0).and_then(|page| NodeView::parse(page));
        assert!(self.root.height < 2 || root.is_some_and(|root| root.len() > 1), "the root has one child");
    }

    /// Checks the node and all below it, and returns the first and the last key of its leaves.
    fn assert_node(&self, child: Child, level: u32, reached: &mut BTreeSet<u64>) -> (OwnKey, OwnKey) {
        assert!(reached.insert(child.page.0), "page {} is reached twice", child.page);
        let page = &self.nodes[&child.page.0];
        let node = NodeView::verified(page, &child.digest, level).expect("its parent knows its digest");
        let header = NodeHeader::read(page).expect("it is longer");
        assert_eq!(header.reserved, [0; 3]);
        assert!(page[header.end.get() as usize..].iter().all(|&byte| byte == 0), "zeros behind the cells");
        let cells: usize = (0..node.len()).map(|index| node.cell(index).expect("it is one").len()).sum();
        assert_eq!(
            header.end.get() as usize,
            NodeHeader::SIZE + 2 * node.len() + cells,
            "cells without gaps"
        );
        if level == 0 {
            let key = |index| {
                let head = LeafCell::read(node.cell(index).expect("it is one")).expect("a head");
                assert!(head.reserved == 0 && (head.kind == cell_kind::CHUNK) == (head.chunk.get() > 0));
                let key = node.key(index).expect("a key");
                (key.name.to_vec(), key.chunk)
            };
            let keys: Vec<OwnKey> = (0..node.len()).map(key).collect();
            assert!(keys.is_sorted_by(|a, b| a < b), "keys ascend");
            return (keys[0].clone(), keys[keys.len() - 1].clone());
        }
        self.assert_neighbours(&node);
        let mut below: Vec<(OwnKey, OwnKey)> = Vec::new();
        for index in 0..node.len() {
            let key = node.key(index).expect("a key");
            let key = (key.name.to_vec(), key.chunk);
            let range = self.assert_node(node.child(index).expect("a child"), level - 1, reached);
            assert!(key <= range.0, "the key of a child is not above its first");
            assert!(below.last().is_none_or(|left| left.1 < key), "and above all to the left of it");
            below.push(range);
        }
        (below[0].0.clone(), below[below.len() - 1].1.clone())
    }

    /// A node that the last fold left nearly empty has no neighbour to its right that it could have taken in.
    /// Where there are cells of a quarter of a page two halves of what was staged may be that uneven.
    fn assert_neighbours(&self, parent: &NodeView<'_>) {
        let pages = (0..parent.len()).map(|index| parent.child(index).expect("a child").page.0);
        let nodes: Vec<(u64, usize, usize)> = pages
            .map(|page| {
                let node = NodeView::parse(&self.nodes[&page]).expect("a node");
                let lengths = (0..node.len()).map(|index| node.cell(index).map_or(0, |cell| cell.len() + 2));
                lengths.fold((page, 0, 0), |(page, sum, most), length| (page, sum + length, most.max(length)))
            })
            .collect();
        for around in nodes.windows(3).filter(|around| self.fresh.contains(&around[1].0)) {
            let longest = around[0].2.max(around[1].2);
            let (page, bytes, _) = around[1];
            let even = longest + 8 <= self.page_size / 4;
            TALLY.add("fresh node beside another", u64::from(even));
            assert!(!even || bytes >= self.page_size / 4, "{bytes} bytes in page {page} beside another");
        }
    }

    /// Looks up every key, and keys beside it that are not there.
    fn assert_found(&mut self) {
        let (root, blocks) = (self.root, self.before.clone());
        for (name, block) in &blocks {
            let keys = keys(name, block);
            for ((name, chunk), facts) in &keys {
                let key = Key { name, chunk: *chunk };
                let found = lookup_chunk(self, &root, key, |record| {
                    record.map(|record| assert_record(&record, block, *facts, *chunk))
                });
                assert_eq!(found, Ok(Some(())), "{key:?} is there");
                let (page, at) = lookup_page(self, &root, key).expect("no damage").expect("it is there");
                assert_eq!(NodeView::parse(page).and_then(|node| node.key(at)), Some(key));
            }
            let behind = Key { name, chunk: keys.len() as u32 };
            assert_eq!(lookup_chunk(self, &root, behind, |record| record.is_some()), Ok(false), "{behind:?}");
            let beside = [[name, &b"\0"[..]].concat(), name[..name.len() - 1].to_vec()];
            for other in beside.iter().filter(|other| !blocks.contains_key(*other)) {
                TALLY.hit("absent name looked up");
                assert_eq!(lookup(self, &root, other, |record| record.is_some()), Ok(false), "{other:?}");
                assert!(lookup_page(self, &root, Key::first(other)).expect("no damage").is_none());
            }
        }
    }

    /// The key of the record behind a cursor.
    fn key_at(&mut self, cursor: &Cursor) -> Option<OwnKey> {
        let (leaf, index) = cursor.record()?;
        let page = self.node(leaf, 0).expect("no damage");
        let key = NodeView::parse(page).and_then(|node| node.key(index)).expect("a key");
        Some((key.name.to_vec(), key.chunk))
    }

    /// Walks through all records from both ends, and from places in between.
    fn assert_walks(&mut self) {
        let all: Vec<_> =
            self.before.iter().flat_map(|(name, block)| keys(name, block)).map(|(key, _)| key).collect();
        let root = self.root;
        let mut cursor = Cursor::seek(self, &root, Key::first(&[])).expect("no damage");
        for key in &all {
            cursor.settle(self).expect("no damage");
            assert_eq!(self.key_at(&cursor).as_ref(), Some(key), "forwards");
            cursor.advance();
        }
        cursor.settle(self).expect("no damage");
        assert_eq!(self.key_at(&cursor), None, "the end");
        let mut cursor = Cursor::seek_end(self, &root).expect("no damage");
        for key in all.iter().rev() {
            assert_eq!(cursor.retreat(self), Ok(true));
            assert_eq!(self.key_at(&cursor).as_ref(), Some(key), "backwards");
        }
        assert_eq!(cursor.retreat(self), Ok(false), "the start");
        self.assert_leaf_walks();
        for at in (0..all.len()).step_by(all.len() / 16 + 1) {
            TALLY.hit("sought between records");
            let (name, chunk) = &all[at];
            let mut cursor = Cursor::seek(self, &root, Key { name, chunk: *chunk }).expect("no damage");
            // Back over the border, on over it again, and behind the record.
            assert_eq!(cursor.retreat(self), Ok(at > 0));
            if at > 0 {
                assert_eq!(self.key_at(&cursor).as_ref(), all.get(at - 1));
                cursor.advance();
            }
            cursor.settle(self).expect("no damage");
            assert_eq!(self.key_at(&cursor).as_ref(), all.get(at));
            let mut cursor = Cursor::seek(self, &root, Key { name, chunk: chunk + 1 }).expect("no damage");
            cursor.settle(self).expect("no damage");
            assert_eq!(self.key_at(&cursor).as_ref(), all.get(at + 1), "behind a record comes the next");
        }
    }

    /// A walk that passes over whole leaves meets each of them once, at its first or its last record.
    fn assert_leaf_walks(&mut self) {
        let (root, leaves) = (self.root, self.leaves());
        let mut cursor = Cursor::seek(self, &root, Key::first(&[])).expect("no damage");
        let mut met = Vec::new();
        loop {
            cursor.settle(self).expect("no damage");
            let Some((leaf, index)) = cursor.record() else { break };
            assert_eq!(index, 0, "forwards, leaf by leaf");
            met.push(leaf.page);
            cursor.pass_leaf();
        }
        assert_eq!(met.len(), leaves);
        let mut cursor = Cursor::seek_end(self, &root).expect("no damage");
        let mut back = Vec::new();
        while cursor.retreat(self) == Ok(true) {
            let (leaf, index) = cursor.record().expect("just moved before it");
            let count = self.nodes.get(&leaf.page.0).and_then(|page| Some(NodeView::parse(page)?.len()));
            assert_eq!(Some(index + 1), count, "backwards, leaf by leaf");
            back.push(leaf.page);
            cursor.pass_leaf_back();
        }
        back.reverse();
        assert_eq!(met, back);
    }
}

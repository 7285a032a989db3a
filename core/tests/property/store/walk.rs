//! The registry as a shell reads it: by the public look-ups and cursors over the device's bytes.

use super::device::Watched;
use super::world::{Map, TALLY};
use blockyard_core::error::{Damage, ReadError, Structure};
use blockyard_core::overlay::TreeRoot;
use blockyard_core::tree::{Child, Cursor, Key, NodeSource, NodeView, Place, Record, lookup, lookup_page};
use blockyard_core::{Geometry, PageIndex, Sequence};

/// A record without the page that it lies in, and the pages of the nodes on the way to it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Found {
    name: Vec<u8>,
    chunk: u32,
    sequence: Sequence,
    tag: u64,
    length: u64,
    /// First page and bytes of its extent.
    extent: Option<(u64, u64)>,
    inline: Option<Vec<u8>>,
    leaf: u64,
}

struct Pages<'d> {
    device: &'d Watched,
    geometry: &'d Geometry,
    /// Every node that was looked at.
    met: Vec<u64>,
}

impl NodeSource for Pages<'_> {
    type Error = ReadError<core::convert::Infallible>;
    type Page<'p>
        = Vec<u8>
    where
        Self: 'p;

    fn node(&mut self, child: Child, level: u32) -> Result<Vec<u8>, Self::Error> {
        self.met.push(child.page.0);
        let page = self.device.page(self.geometry.offset(child.page.0), self.geometry.page_size());
        page.filter(|page| NodeView::verified(page, &child.digest, level).is_some())
            .ok_or_else(|| self.damaged(child.page))
    }

    fn damaged(&mut self, page: PageIndex) -> Self::Error {
        ReadError::Corrupted(Damage { what: Structure::Registry, offset: self.geometry.offset(page.0) })
    }
}

fn found(leaf: u64, key: Key<'_>, record: &Record<'_>) -> Found {
    let (extent, inline) = match record.place {
        Place::Inline(bytes) => (None, Some(bytes.to_vec())),
        Place::Extent { page, .. } | Place::Chunk { page, .. } => (Some((page.0, record.length)), None),
        Place::Head { page, chunk_size, .. } => {
            (Some((page.0, record.length.min(u64::from(chunk_size)))), None)
        }
    };
    let (sequence, tag, length) = (record.sequence, record.tag, record.length);
    Found { name: key.name.to_vec(), chunk: key.chunk, sequence, tag, length, extent, inline, leaf }
}

fn at(source: &mut Pages<'_>, cursor: &Cursor) -> Option<Found> {
    let (leaf, index) = cursor.record()?;
    let page = source.node(leaf, 0).expect("no damage");
    let node = NodeView::parse(&page).expect("a node");
    Some(found(leaf.page.0, node.key(index).expect("a key"), &node.record(index).expect("a record")))
}

/// All records in order, and all nodes.
pub(crate) fn walk(device: &Watched, geometry: &Geometry, root: &TreeRoot) -> (Vec<Found>, Vec<u64>) {
    let mut source = Pages { device, geometry, met: Vec::new() };
    let mut cursor = Cursor::seek(&mut source, root, Key::first(&[])).expect("no damage");
    let mut all = Vec::new();
    loop {
        cursor.settle(&mut source).expect("no damage");
        let Some(found) = at(&mut source, &cursor) else { break };
        all.push(found);
        cursor.advance();
    }
    source.met.sort_unstable();
    source.met.dedup();
    (all, source.met)
}

/// Behind a block's bytes its last page holds zeros.
pub(crate) fn assert_padded(device: &Watched, geometry: &Geometry, records: &[Found]) {
    for (page, bytes) in records.iter().filter_map(|record| record.extent) {
        let end = geometry.offset(page) + bytes;
        let rest = (geometry.pages_for(bytes) * geometry.page_size() as u64 - bytes) as usize;
        let rest = device.page(end, rest).expect("the device has the page");
        assert!(rest.iter().all(|&byte| byte == 0), "bytes behind the {bytes} of page {page}");
    }
}

/// Byte ranges that a tree and its blocks take up.
pub(crate) fn ranges(geometry: &Geometry, (records, nodes): &(Vec<Found>, Vec<u64>)) -> Vec<(usize, usize)> {
    let size = geometry.page_size() as u64;
    let node = nodes.iter().map(|&page| (page, size));
    let extents = records.iter().filter_map(|record| record.extent);
    node.chain(extents)
        .map(|(page, bytes)| (page * size, page * size + bytes))
        .map(|(a, b)| (a as usize, b as usize))
        .collect()
}

/// Demands that the tree holds `map`, walked from both ends and looked up.
pub(crate) fn assert_tree(device: &Watched, geometry: &Geometry, root: &TreeRoot, map: &Map) {
    let (all, _) = walk(device, geometry, root);
    let mut source = Pages { device, geometry, met: Vec::new() };
    let mut cursor = Cursor::seek_end(&mut source, root).expect("no damage");
    for expected in all.iter().rev() {
        assert_eq!(cursor.retreat(&mut source), Ok(true));
        assert_eq!(at(&mut source, &cursor).as_ref(), Some(expected), "backwards is forwards");
    }
    assert_eq!(cursor.retreat(&mut source), Ok(false));
    let heads: Vec<_> = all.iter().filter(|found| found.chunk == 0).collect();
    assert!(heads.iter().map(|found| &found.name).eq(map.keys()), "the names of the registry");
    for (head, (name, held)) in heads.iter().zip(map) {
        assert_eq!(
            (head.sequence.0, head.tag, head.length),
            (held.sequence, held.tag, held.bytes.len() as u64)
        );
        assert!(head.inline.as_ref().is_none_or(|bytes| *bytes == *held.bytes), "bytes in the registry");
        let chunks = held.chunk.map_or(1, |chunk| held.bytes.len().div_ceil(chunk as usize));
        assert_eq!(all.iter().filter(|found| found.name == *name).count(), chunks, "records of a block");
        assert_eq!(lookup(&mut source, root, name, |record| record.is_some()), Ok(true));
        let (page, index) =
            lookup_page(&mut source, root, Key::first(name)).expect("no damage").expect("it is there");
        assert_eq!(NodeView::parse(&page).and_then(|node| node.key(index)), Some(Key::first(name)));
    }
    TALLY.add("records of the registry compared", all.len() as u64);
}

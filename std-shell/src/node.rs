//! A page of the registry as the cache keeps it: beside its bytes the first distinguishing bytes of each key,
//! to search without touching the cells, and where the child or the block under each cell was found.

use crate::cache::Link;
use crate::fetch::fetch;
use blockyard_core::store::record_info;
use blockyard_core::tree::{Key, NodeView, Place};
use std::cmp::Ordering;
use std::sync::atomic::{AtomicBool, Ordering as Memory};

/// What was decoded from a page.
#[derive(Debug)]
pub(crate) struct Node {
    level: u32,
    /// Bytes that all names of the page begin with, and where the first name has them.
    shared: usize,
    shared_at: usize,
    /// The sixteen bytes behind those, of each name in order, as a number; a shorter name is filled up with zeros.
    heads: Box<[u128]>,
    /// Where the child, or a block's only extent, was found last.
    links: Box<[Link]>,
    cells: Box<[Cell]>,
    /// Whether each record is a block's first.
    whole: bool,
    /// Whether the device was told that the children will be read.
    told: AtomicBool,
}

/// Where parts of a cell lie in the page, which has 65,536 bytes at most.
#[derive(Debug)]
struct Cell {
    name: (u16, u16),
    /// Of an inline block.
    inline: Option<(u16, u16)>,
}

/// A part of a page: from where, and how long.
fn part_of(page: &[u8], part: &[u8]) -> Option<(u16, u16)> {
    let start = part.as_ptr() as usize - page.as_ptr() as usize;
    // A part without bytes may lie at the very end.
    let start = if part.is_empty() { 0 } else { start };
    Some((u16::try_from(start).ok()?, u16::try_from(part.len()).ok()?))
}

fn part(page: &[u8], (start, length): (u16, u16)) -> Option<&[u8]> {
    page.get(usize::from(start)..)?.get(..usize::from(length))
}

impl Cell {
    fn of(page: &[u8], view: &NodeView<'_>, index: usize) -> Option<Self> {
        let inline = match view.record(index).map(|record| record.place) {
            Some(Place::Inline(bytes)) => Some(part_of(page, bytes)?),
            _ => None,
        };
        Some(Self { name: part_of(page, view.key(index)?.name)?, inline })
    }
}

/// Whether a leaf has a record that says where a block is, or a further chunk of one.
fn is_record(view: &NodeView<'_>, index: usize) -> Option<bool> {
    let (key, record) = (view.key(index)?, view.record(index)?);
    Some(key.chunk > 0 || matches!(record.place, Place::Inline(_)) || record_info(&record).is_some())
}

/// The sixteen bytes of a name from `from` on: as many as tell names apart that are numbered.
fn head(name: &[u8], from: usize) -> u128 {
    let rest = name.get(from..).unwrap_or_default();
    match rest.first_chunk() {
        Some(first) => u128::from_be_bytes(*first),
        None => {
            let mut first = [0; 16];
            first[..rest.len()].copy_from_slice(rest);
            u128::from_be_bytes(first)
        }
    }
}

impl Node {
    /// Decodes a page whose digest was compared; None if a cell of it does not parse.
    pub(crate) fn decode(page: &[u8]) -> Option<Self> {
        let view = NodeView::parse(page)?;
        let name = |index| view.key(index).map(|key: Key<'_>| key.name);
        let (first, last) = (name(0)?, name(view.len() - 1)?);
        let shared = first.iter().zip(last).take_while(|(a, b)| a == b).count();
        let shared_at = first.as_ptr() as usize - page.as_ptr() as usize;
        let sound = |index| match view.level() {
            0 => is_record(&view, index) == Some(true),
            _ => view.child(index).is_some(),
        };
        let head = |index| name(index).filter(|_| sound(index)).map(|name| head(name, shared));
        let heads: Box<[u128]> = (0..view.len()).map(head).collect::<Option<_>>()?;
        let links = std::iter::repeat_with(Link::default).take(view.len()).collect();
        let whole = (0..view.len()).all(|index| view.key(index).is_some_and(|key| key.chunk == 0));
        let cells = (0..view.len()).map(|index| Cell::of(page, &view, index)).collect::<Option<_>>()?;
        Some(Self {
            level: view.level(),
            shared,
            shared_at,
            heads,
            links,
            cells,
            whole,
            told: AtomicBool::new(false),
        })
    }

    /// Bytes of memory, besides the page.
    pub(crate) fn bytes(&self) -> usize {
        size_of::<Self>() + size_of_val(&*self.heads) + size_of_val(&*self.links) + size_of_val(&*self.cells)
    }

    pub(crate) const fn level(&self) -> u32 {
        self.level
    }

    /// Whether the device is to be told that the children will be read: once.
    pub(crate) fn tell_of_leaves(&self) -> bool {
        !self.told.load(Memory::Relaxed) && !self.told.swap(true, Memory::Relaxed)
    }

    /// Has the processor fetch what a walk over the cells needs.
    pub(crate) fn fetch(&self) {
        fetch(&*self.cells);
        fetch(&*self.links);
    }

    /// Number of cells.
    pub(crate) fn len(&self) -> usize {
        self.heads.len()
    }

    /// Whether each record of a leaf is a block's first.
    pub(crate) const fn is_whole(&self) -> bool {
        self.whole
    }

    /// The name of a cell of the page that this was decoded from.
    pub(crate) fn name<'p>(&self, page: &'p [u8], index: usize) -> Option<&'p [u8]> {
        part(page, self.cells.get(index)?.name)
    }

    /// The bytes of a block that lies in its cell.
    pub(crate) fn inline<'p>(&self, page: &'p [u8], index: usize) -> Option<&'p [u8]> {
        part(page, self.cells.get(index)?.inline?)
    }

    pub(crate) fn link(&self, index: usize) -> Option<&Link> {
        self.links.get(index)
    }

    /// Position of the first cell whose key is not below `key`, and whether it equals it, as
    /// [`NodeView::search`]; `page` is the page that this was decoded from.
    pub(crate) fn search(&self, page: &[u8], key: Key<'_>) -> (usize, bool) {
        if self.shared > 0 {
            let prefix = page.get(self.shared_at..self.shared_at + self.shared).unwrap_or_default();
            let compared = key.name.get(..self.shared).unwrap_or(key.name).cmp(prefix);
            match compared {
                Ordering::Less => return (0, false),
                Ordering::Greater => return (self.len(), false),
                Ordering::Equal => {}
            }
        }
        let head = head(key.name, self.shared);
        let mut low = self.heads.partition_point(|&other| other < head);
        if self.heads.get(low) != Some(&head) {
            return (low, false);
        }
        let mut high = match self.heads.get(low + 1) {
            Some(next) if *next == head => low + self.heads[low..].partition_point(|&other| other == head),
            _ => low + 1,
        };
        let Some(view) = NodeView::parse(page) else { return (low, false) };
        while low < high {
            let middle = usize::midpoint(low, high);
            match view.key(middle).map(|found| found.cmp(&key)) {
                Some(Ordering::Less) => low = middle + 1,
                Some(Ordering::Equal) => return (middle, true),
                _ => high = middle,
            }
        }
        (low, false)
    }

    /// The child of an inner node under which `key` belongs.
    pub(crate) fn child_for(&self, page: &[u8], key: Key<'_>) -> usize {
        match self.search(page, key) {
            (at, true) => at,
            (at, false) => at.saturating_sub(1),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use blockyard_core::format::{InlineValue, LeafCell, NodeHeader, cell_kind};

    /// A leaf of empty inline blocks.
    fn leaf(keys: &[(&[u8], u32)]) -> Vec<u8> {
        let (mut slots, mut cells) = (Vec::new(), Vec::new());
        let start = NodeHeader::SIZE + 2 * keys.len();
        for (name, chunk) in keys {
            slots.extend_from_slice(&u16::try_from(start + cells.len()).expect("small").to_le_bytes());
            let head = LeafCell {
                kind: cell_kind::INLINE,
                reserved: 0,
                name_length: u16::try_from(name.len()).expect("short").into(),
                chunk: (*chunk).into(),
            };
            cells.extend_from_slice(head.bytes());
            cells.extend_from_slice(name);
            let value = InlineValue { sequence: 1.into(), tag: 0.into(), length: 0.into() };
            cells.extend_from_slice(value.bytes());
        }
        let end = (start + cells.len()) as u32;
        let count = (keys.len() as u32).into();
        let head =
            NodeHeader { magic: NodeHeader::MAGIC, level: 0, reserved: [0; 3], count, end: end.into() };
        let mut page = [head.bytes(), &slots, &cells].concat();
        page.resize(64 << 10, 0);
        page
    }

    #[test]
    fn searching_heads_finds_what_searching_cells_finds() {
        let mut random = fastrand::Rng::with_seed(4);
        for round in 0..2000 {
            // Few letters, so that names share beginnings, end early, and differ in zeros only.
            let letters: &[u8] = if round % 2 == 0 { b"a\0" } else { b"ab\xff" };
            let shared = vec![b'p'; [0, 1, 16, 20][round % 4]];
            let mut name = |most| {
                let tail = (0..random.usize(0..=most)).map(|_| letters[random.usize(..letters.len())]);
                shared.iter().copied().chain(tail).collect::<Vec<u8>>()
            };
            let mut keys: Vec<(Vec<u8>, u32)> = (0..12).map(|at| (name(20), at % 3)).collect();
            keys.retain(|(name, _)| !name.is_empty());
            keys.sort();
            keys.dedup();
            if keys.is_empty() {
                continue;
            }
            let borrowed: Vec<(&[u8], u32)> = keys.iter().map(|(name, chunk)| (&name[..], *chunk)).collect();
            let page = leaf(&borrowed);
            let node = Node::decode(&page).expect("a sound page");
            let view = NodeView::parse(&page).expect("a sound page");
            let mut asked = keys.clone();
            asked.extend((0..40).map(|at| (name(22), at % 4)));
            asked.extend([(Vec::new(), 0), (b"o".to_vec(), 0), (b"pp".to_vec(), 0), (b"q".to_vec(), 9)]);
            for (name, chunk) in &asked {
                let key = Key { name, chunk: *chunk };
                assert_eq!(node.search(&page, key), view.search(key), "{key:?} in {keys:?}");
                assert_eq!(node.child_for(&page, key), view.child_for(key));
            }
            for (index, (name, _)) in keys.iter().enumerate() {
                assert_eq!(node.name(&page, index), Some(&name[..]));
                assert_eq!(node.inline(&page, index), Some(&[][..]));
            }
        }
    }

    #[test]
    fn a_page_with_a_cell_that_does_not_parse_is_refused() {
        let mut page = leaf(&[(b"a", 0), (b"b", 0)]);
        assert!(Node::decode(&page).is_some());
        let second = u16::from_le_bytes([page[NodeHeader::SIZE + 2], page[NodeHeader::SIZE + 3]]);
        page[usize::from(second)] = 77;
        assert!(Node::decode(&page).is_none());
    }
}

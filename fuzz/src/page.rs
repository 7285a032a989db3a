//! Target `page`: a registry of any pages at all.
//!
//! The bytes compose leaves and inner nodes, cell by cell or raw, change some bytes of them, and lay them
//! into a small file whose digests, free map and counts are made to fit. Then everything is asked of
//! it. Where verification finds nothing wrong, the tree must work as a map.

use crate::hostile::{Opening, exercise};
use crate::image::patch;
use crate::input::Input;
use crate::refit::refit;
use crate::reseal::{newest, reseal};
use crate::setup::{Heap, Setup, pattern};
use blockyard_core::device::{BlockDevice, VecDevice};
use blockyard_core::format::{
    ChunkValue, ExtentValue, HeadValue, InlineValue, InternalCell, LeafCell, NodeHeader, SLOT_STRIDE,
    Superblock, cell_kind,
};
use std::sync::LazyLock;

const PAGE: usize = Setup::SMALL.page_size as usize;
/// Pages for nodes, behind the map slots of the first group.
const NODES: u64 = 10;
/// Pages for blocks, behind those.
const BLOCKS: u64 = 24;
/// Free pages at the end.
const FREE: u64 = 40;

/// An empty file, its superblock, and the page of the first node.
static EMPTY: LazyLock<(Vec<u8>, Superblock, u64)> = LazyLock::new(|| {
    let store = Setup::SMALL.create::<Heap, _>(VecDevice::new(512, 1 << 20)).expect("possible sizes");
    let first = store.geometry().first_group() + 16;
    let mut device = store.into_device();
    let pages = first + NODES + BLOCKS + FREE;
    device.grow(pages * PAGE as u64).expect("within its limit");
    let mut image = device.bytes().to_vec();
    let blocks = ((first + NODES) as usize * PAGE, BLOCKS as usize * PAGE);
    image[blocks.0..blocks.0 + blocks.1].copy_from_slice(&pattern(9, blocks.1));
    let mut superblock = newest(&image).expect("a superblock");
    superblock.pages = pages.into();
    superblock.cursor = (first + NODES + BLOCKS).into();
    superblock.longest_name = 64.into();
    superblock.sequence = 9.into();
    (image, superblock, first)
});

/// Runs one input.
pub fn run(bytes: &[u8]) {
    let mut input = Input::new(bytes);
    let opening = Opening::draw(&mut input);
    let flags = input.byte();
    let (mut image, mut superblock, first) = EMPTY.clone();
    let nodes = Nodes::draw(&mut input, first);
    superblock.root_page = (first + nodes.pages.len() as u64 - 1).into();
    superblock.height = nodes.height.into();
    let start = first as usize * PAGE;
    for (page, at) in nodes.pages.iter().zip((start..).step_by(PAGE)) {
        image[at..at + PAGE].copy_from_slice(page);
    }
    let slot = (u64::from(superblock.slot_of(0)) * SLOT_STRIDE) as usize;
    image[slot..slot + Superblock::SIZE].copy_from_slice(superblock.bytes());
    for _ in 0..flags % 4 {
        let page = input.below(nodes.pages.len());
        let at = start + page * PAGE;
        patch(&mut image, &(at..at + PAGE), &mut input);
    }
    if flags & 4 == 0 {
        refit(&mut image);
    }
    reseal(&mut image, flags & 8 == 0);
    exercise(image, PAGE as u32, opening, input);
}

/// Nodes in the order of their pages; the last is the root.
struct Nodes {
    pages: Vec<Vec<u8>>,
    height: u32,
}

/// What a parent says of a child.
#[derive(Clone)]
struct Below {
    page: u64,
    name: Vec<u8>,
    chunk: u32,
}

impl Nodes {
    fn draw(input: &mut Input<'_>, first: u64) -> Self {
        let mut nodes = Self { pages: Vec::new(), height: 1 };
        let mut keys = Keys { number: 0, next_block: first + NODES, chunks: None };
        let mut below: Vec<Below> = Vec::new();
        for _ in 0..=input.below(5) {
            let (cells, name, chunk) = keys.leaf(input);
            below.push(Below { page: first + nodes.pages.len() as u64, name, chunk });
            nodes.pages.push(Self::node(input, 0, &cells));
        }
        // Levels until one node is left, of two children or three; sometimes more.
        while below.len() > 1 || input.byte() > 240 {
            let mut above = Vec::new();
            let width = 2 + input.below(3);
            for children in below.chunks(width) {
                let page = first + nodes.pages.len() as u64;
                let mut children = children.to_vec();
                for child in &mut children {
                    Self::separate(input, child, first);
                }
                let Some(least) = children.first() else { continue };
                above.push(Below { page, ..least.clone() });
                let cells: Vec<_> = children.iter().map(inner_cell).collect();
                nodes.pages.push(Self::node(input, nodes.height as u8, &cells));
            }
            nodes.height += 1;
            below = above;
            if nodes.pages.len() >= NODES as usize - 1 {
                break;
            }
        }
        nodes.pages.truncate(NODES as usize);
        nodes
    }

    /// Mostly the child's first key; else a prefix of it, something else, or another child.
    fn separate(input: &mut Input<'_>, child: &mut Below, first: u64) {
        match input.byte() {
            0..200 => {}
            200..220 => child.name.truncate(input.below(4)),
            220..230 => child.name = input.take(2).to_vec(),
            230..240 => child.chunk = input.number() as u32,
            240..250 => child.page = first + input.below(NODES as usize) as u64,
            _ => child.page = input.number(),
        }
    }

    fn node(input: &mut Input<'_>, level: u8, cells: &[Vec<u8>]) -> Vec<u8> {
        let mut page = compose(level, cells);
        if input.byte() >= 250 {
            // Any bytes behind a header that may be right.
            let raw = input.take(64);
            let from = if input.byte() < 128 { NodeHeader::SIZE } else { 0 };
            page[from..from + raw.len()].copy_from_slice(raw);
        }
        page
    }
}

/// The keys of the leaves, which mostly ascend, and the pages of their blocks, mostly their own.
struct Keys {
    number: u16,
    next_block: u64,
    /// Chunks that are to follow: number, chunk size, bytes left.
    chunks: Option<(u32, u64, u64)>,
}

impl Keys {
    /// Cells of a leaf and its first key.
    fn leaf(&mut self, input: &mut Input<'_>) -> (Vec<Vec<u8>>, Vec<u8>, u32) {
        let mut cells: Vec<Vec<u8>> = Vec::new();
        let mut least = None;
        for _ in 0..=input.byte() % 8 {
            let (name, chunk, cell) = self.cell(input);
            let used: usize = cells.iter().map(|cell| cell.len() + 2).sum();
            if NodeHeader::SIZE + used + cell.len() + 2 > PAGE {
                break;
            }
            least.get_or_insert((name, chunk));
            cells.push(cell);
        }
        let (name, chunk) = least.unwrap_or_default();
        (cells, name, chunk)
    }

    fn block(&mut self, input: &mut Input<'_>, length: u64) -> u64 {
        let page = self.next_block;
        match input.byte() {
            0..240 => {
                self.next_block += length.div_ceil(PAGE as u64).min(BLOCKS);
                page
            }
            240..248 => page.saturating_sub(1),
            _ => input.number(),
        }
    }

    fn name(&mut self, input: &mut Input<'_>) -> Vec<u8> {
        match input.byte() {
            step @ 0..240 => self.number = self.number.wrapping_add(1 + u16::from(step % 16)),
            240..248 => {}
            _ => self.number = u16::from(input.byte()) << 8,
        }
        let mut name = self.number.to_be_bytes().to_vec();
        name.resize(2 + [0, 3, 20, 62][usize::from(input.byte() % 4)], b'n');
        name
    }

    fn cell(&mut self, input: &mut Input<'_>) -> (Vec<u8>, u32, Vec<u8>) {
        let (sequence, tag) = (7, 8);
        if let Some((chunk, size, rest)) = self.chunks {
            let name = {
                let mut name = self.number.to_be_bytes().to_vec();
                name.resize(5, b'n');
                name
            };
            let length = rest.min(size);
            self.chunks = (rest > length).then_some((chunk + 1, size, rest - length));
            let value = ChunkValue {
                page: self.block(input, length).into(),
                digest: [0; 32],
                length: (length as u32).into(),
                reserved: 0.into(),
            };
            let cell = leaf_cell(cell_kind::CHUNK, chunk, &name, value.bytes());
            return (name, chunk, cell);
        }
        let mut name = self.name(input);
        let length = [0, 5, 100, 400, 512, 513, 1024, 2000][usize::from(input.byte() % 8)];
        let (kind, value) = match input.byte() % 8 {
            0..=3 => {
                let length = (length as usize).min(128);
                let head = InlineValue {
                    sequence: sequence.into(),
                    tag: tag.into(),
                    length: (length as u32).into(),
                };
                (cell_kind::INLINE, [head.bytes(), &pattern(4, length)].concat())
            }
            4 | 5 => {
                let value = ExtentValue {
                    sequence: sequence.into(),
                    tag: tag.into(),
                    length: length.into(),
                    page: self.block(input, length).into(),
                    digest: [0; 32],
                };
                (cell_kind::EXTENT, value.bytes().to_vec())
            }
            _ => {
                name.truncate(2);
                name.resize(5, b'n');
                let size = [512, 1024, 100][usize::from(input.byte() % 3)];
                let first = length.min(size);
                self.chunks = (length > first).then_some((1, size, length - first));
                let value = HeadValue {
                    sequence: sequence.into(),
                    tag: tag.into(),
                    length: length.into(),
                    page: self.block(input, first).into(),
                    digest: [0; 32],
                    chunk_digest: [0; 32],
                    chunk_size: (size as u32).into(),
                    reserved: 0.into(),
                };
                (cell_kind::HEAD, value.bytes().to_vec())
            }
        };
        let cell = leaf_cell(kind, 0, &name, &value);
        (name, 0, cell)
    }
}

fn leaf_cell(kind: u8, chunk: u32, name: &[u8], value: &[u8]) -> Vec<u8> {
    let head = LeafCell { kind, reserved: 0, name_length: (name.len() as u16).into(), chunk: chunk.into() };
    [head.bytes(), name, value].concat()
}

fn inner_cell(below: &Below) -> Vec<u8> {
    let head = InternalCell {
        page: below.page.into(),
        digest: [0; 32],
        chunk: below.chunk.into(),
        name_length: (below.name.len() as u16).into(),
    };
    [head.bytes(), &below.name].concat()
}

/// A node of those of these cells that fit.
fn compose(level: u8, cells: &[Vec<u8>]) -> Vec<u8> {
    let mut page = vec![0; PAGE];
    let mut at = NodeHeader::SIZE + 2 * cells.len();
    let mut count = 0_u32;
    for (cell, slot) in cells.iter().zip((NodeHeader::SIZE..).step_by(2)) {
        let Some(place) = page.get_mut(at..at + cell.len()) else { break };
        place.copy_from_slice(cell);
        page[slot..slot + 2].copy_from_slice(&(at as u16).to_le_bytes());
        at += cell.len();
        count += 1;
    }
    let header = NodeHeader {
        magic: NodeHeader::MAGIC,
        level,
        reserved: [0; 3],
        count: count.into(),
        end: (at as u32).into(),
    };
    page[..NodeHeader::SIZE].copy_from_slice(header.bytes());
    page
}

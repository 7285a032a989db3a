//! Images with false numbers and right digests, as somebody makes them who means harm.

use super::{SMALL, Watched, image};
use crate::support::*;
use blockyard_core::Digest;
use blockyard_core::Durability::{Buffered, Durable};
use blockyard_core::format::{
    Geometry, InternalCell, MapEntry, MapHeader, NodeHeader, RecordHeader, Superblock, cell_kind,
};
use blockyard_core::overlay::Overlay;
use blockyard_core::store::OpenOptions;
use blockyard_core::tree::NodeView;

/// Distance of the superblock slots.
const STRIDE: usize = 4096;

/// A record of the journal, taken apart.
#[derive(Clone)]
pub(super) struct Record {
    header: RecordHeader,
    pub(super) meta: Vec<u8>,
    data: Vec<u8>,
}

/// An image that can be changed and sealed again.
pub(super) struct Forge {
    image: Vec<u8>,
    pub(super) superblock: Superblock,
    pub(super) version: u32,
    geometry: Geometry,
    pub(super) records: Vec<Record>,
}

impl Forge {
    pub(super) fn new(image: &[u8]) -> Self {
        let copies = (0..4).filter_map(|slot: u32| {
            Superblock::read(&image[slot as usize * STRIDE..]).filter(|copy| copy.is_valid(slot))
        });
        let superblock = copies.max_by_key(|copy| copy.generation.get()).unwrap();
        let geometry = superblock.geometry().unwrap();
        let mut forge = Self { image: image.to_vec(), superblock, version: 1, geometry, records: Vec::new() };
        forge.read_records();
        forge
    }

    fn page(&self, page: u64) -> &[u8] {
        let at = self.geometry.offset(page) as usize;
        &self.image[at..at + self.geometry.page_size()]
    }

    fn set_page(&mut self, page: u64, bytes: &[u8]) -> Digest {
        let at = self.geometry.offset(page) as usize;
        self.image[at..at + bytes.len()].copy_from_slice(bytes);
        Digest::of(bytes)
    }

    fn ring(&self, position: u64, length: usize) -> Vec<u8> {
        let start = self.geometry.journal_offset();
        let at = |n| (start + position.wrapping_add(n as u64) % self.geometry.journal_length()) as usize;
        (0..length).map(|n| self.image[at(n)]).collect()
    }

    fn set_ring(&mut self, position: u64, bytes: &[u8]) {
        let start = self.geometry.journal_offset();
        for (n, byte) in bytes.iter().enumerate() {
            let at = start + position.wrapping_add(n as u64) % self.geometry.journal_length();
            self.image[at as usize] = *byte;
        }
    }

    fn read_records(&mut self) {
        let mut head = self.superblock.journal_position.get();
        let mut chain = self.superblock.chain;
        loop {
            let unit = self.geometry.unit() as u64;
            let places = [head.next_multiple_of(8), head.next_multiple_of(unit)];
            let found = places.into_iter().find_map(|position| {
                let header = RecordHeader::read(&self.ring(position, RecordHeader::SIZE))?;
                let follows =
                    header.is_valid() && header.position.get() == position && header.previous == chain;
                follows.then_some(header)
            });
            let Some(header) = found else { return };
            let at = header.position.get() + RecordHeader::SIZE as u64;
            let (meta, data) = (header.meta_length.get() as usize, header.data_length.get() as usize);
            let (meta, data) = (self.ring(at, meta), self.ring(at + meta as u64, data));
            self.records.push(Record { header, meta, data });
            head = header.position.get() + header.record_length();
            chain = header.digest;
        }
    }

    /// Seals the records anew, each naming the one before it.
    fn write_records(&mut self) {
        let mut chain = self.superblock.chain;
        for record in self.records.clone() {
            let mut header = record.header;
            header.previous = chain;
            header.meta_digest = Digest::of(&record.meta).0;
            let header = header.sealed();
            chain = header.digest;
            let at = header.position.get();
            self.set_ring(at, header.bytes());
            self.set_ring(at.wrapping_add(RecordHeader::SIZE as u64), &record.meta);
            self.set_ring(at.wrapping_add((RecordHeader::SIZE + record.meta.len()) as u64), &record.data);
        }
    }

    /// Changes the node that `path` leads to and seals all above it.
    pub(super) fn node(&mut self, path: &[usize], change: &mut dyn FnMut(&mut Vec<u8>)) {
        let root = self.superblock.root_page.get();
        self.superblock.root_digest = self.reseal(root, path, change).0;
    }

    fn reseal(&mut self, page: u64, path: &[usize], change: &mut dyn FnMut(&mut Vec<u8>)) -> Digest {
        let mut bytes = self.page(page).to_vec();
        match path.split_first() {
            None => change(&mut bytes),
            Some((&index, rest)) => {
                let child = NodeView::parse(&bytes).unwrap().child(index).unwrap();
                let digest = self.reseal(child.page.0, rest, change);
                let at = cell_at(&bytes, index);
                bytes[at + 8..at + 40].copy_from_slice(&digest.0);
            }
        }
        self.set_page(page, &bytes)
    }

    pub(super) fn node_bytes(&self, path: &[usize]) -> Vec<u8> {
        let mut bytes = self.page(self.superblock.root_page.get()).to_vec();
        for &index in path {
            let child = NodeView::parse(&bytes).unwrap().child(index).unwrap();
            bytes = self.page(child.page.0).to_vec();
        }
        bytes
    }

    /// Where every node of the tree is.
    pub(super) fn paths(&self) -> Vec<Vec<usize>> {
        let mut paths = vec![Vec::new()];
        let mut at = 0;
        while let Some(path) = paths.get(at).cloned() {
            let bytes = self.node_bytes(&path);
            let node = NodeView::parse(&bytes).unwrap();
            if node.level() > 0 {
                paths.extend((0..node.len()).map(|index| [path.as_slice(), &[index]].concat()));
            }
            at += 1;
        }
        paths
    }

    fn map_page(&self) -> u64 {
        assert_eq!(self.superblock.map_level.get(), 0, "small images have one map page");
        self.geometry.first_group() + u64::from(self.superblock.map_slot.get()) - 1
    }

    pub(super) fn map(&mut self, change: &mut dyn FnMut(&mut Vec<u8>)) {
        let page = self.map_page();
        let mut bytes = self.page(page).to_vec();
        change(&mut bytes);
        self.superblock.map_digest = self.set_page(page, &bytes).0;
    }

    /// Puts a level above the free map's top page, in slot `slot`.
    fn map_level(&mut self, level: u32, slot: u32, entry: MapEntry, count: usize) {
        let mut bytes = vec![0; self.geometry.page_size()];
        let header =
            MapHeader { magic: MapHeader::MAGIC, level: level.into(), index: 0.into(), reserved: [0; 16] };
        bytes[..MapHeader::SIZE].copy_from_slice(header.bytes());
        for cell in bytes[MapHeader::SIZE..].chunks_exact_mut(MapEntry::SIZE).take(count) {
            cell.copy_from_slice(entry.bytes());
        }
        let page = self.geometry.first_group() + u64::from(2 * level + slot) - 1;
        self.superblock.map_digest = self.set_page(page, &bytes).0;
        self.superblock.map_level = level.into();
        self.superblock.map_slot = slot.into();
    }

    /// Adds pages at the end of the file, marked used; returns the first.
    fn extend(&mut self, pages: u64) -> u64 {
        let first = (self.image.len() / self.geometry.page_size()) as u64;
        self.image.resize((self.geometry.offset(first + pages)) as usize, 0);
        self.superblock.pages = (first + pages).into();
        let start = first - self.geometry.first_group();
        self.map(&mut |page| {
            for bit in start..start + pages {
                page[MapHeader::SIZE + bit as usize / 8] |= 1 << (bit % 8);
            }
        });
        self.superblock.used_pages = (self.superblock.used_pages.get() + pages).into();
        first
    }

    /// The image, sealed from the journal to the superblock. No other generation is left.
    pub(super) fn bytes(mut self) -> Vec<u8> {
        self.write_records();
        for slot in 0..4 {
            let at = slot as usize * STRIDE;
            let mut copy = self.superblock.sealed(slot);
            if self.version != 1 {
                copy.version = self.version.into();
                let digest = Digest::of(&copy.bytes()[..Superblock::SIZE - 32]);
                copy.digest = digest.0;
            }
            self.image[at..at + Superblock::SIZE].copy_from_slice(copy.bytes());
        }
        self.image
    }
}

pub(super) fn cell_at(node: &[u8], index: usize) -> usize {
    let at = NodeHeader::SIZE + 2 * index;
    usize::from(u16::from_le_bytes([node[at], node[at + 1]]))
}

/// A node of these cells.
fn compose(size: usize, level: u8, cells: &[Vec<u8>]) -> Vec<u8> {
    let mut page = vec![0; size];
    let mut at = NodeHeader::SIZE + 2 * cells.len();
    for (index, cell) in cells.iter().enumerate() {
        let slot = NodeHeader::SIZE + 2 * index;
        page[slot..slot + 2].copy_from_slice(&(at as u16).to_le_bytes());
        page[at..at + cell.len()].copy_from_slice(cell);
        at += cell.len();
    }
    let header = NodeHeader {
        magic: NodeHeader::MAGIC,
        level,
        reserved: [0; 3],
        count: (cells.len() as u32).into(),
        end: (at as u32).into(),
    };
    page[..NodeHeader::SIZE].copy_from_slice(header.bytes());
    page
}

fn inner_cell(page: u64, digest: Digest, chunk: u32, name: &[u8]) -> Vec<u8> {
    let head = InternalCell {
        page: page.into(),
        digest: digest.0,
        chunk: chunk.into(),
        name_length: (name.len() as u16).into(),
    };
    [head.bytes(), name].concat()
}

/// A cell of a leaf, whatever its kind.
fn leaf_cell(kind: u8, chunk: u32, name: &[u8], value: &[u8]) -> Vec<u8> {
    let mut cell = vec![kind, 0];
    cell.extend((name.len() as u16).to_le_bytes());
    cell.extend(chunk.to_le_bytes());
    [&cell, name, value].concat()
}

/// How images ended.
#[derive(Debug, Default)]
struct Ends {
    refused: u64,
    damaged: u64,
    sound: u64,
    panics: u64,
}

/// Everything that can be asked of a store, on an image that may say anything. Nothing may panic, and
/// the device is asked a bounded number of times.
fn abuse<O: Overlay + Default>(
    shape: &Shape,
    image: &[u8],
    limit: u64,
    change: &dyn Fn(&mut OpenOptions),
    ends: &mut Ends,
) {
    let device = Watched::new(image.to_vec(), limit);
    let Ok((mut store, _)) = shape.open_with::<O, _>(device, change) else {
        ends.refused += 1;
        return;
    };
    let mut damaged = read_all(&mut store);
    let names = some_names(&mut store);
    let mut findings = Findings::default();
    damaged |= verify_both_ways(&mut store, &mut findings).is_err() || !findings.problems.is_empty();
    damaged |= store.free_space().is_err();
    let before = store.sequence();
    let geometry = *store.geometry();
    let mut many = batch(&geometry);
    for index in 0..5_u64 {
        many.put(format!("m{index}").as_bytes(), &bytes(index, 100 + 230 * index as usize), index).unwrap();
    }
    damaged |= store.commit(&mut [many], Durable).is_err();
    damaged |= put(&mut store, b"a", b"first", Durable).is_err();
    damaged |= store.checkpoint().is_err();
    damaged |= stream(&mut store, b"x", 1, &bytes(1, 3 * geometry.chunk_size() as usize), Buffered).is_err();
    let mut scratch = batch(&geometry);
    if let Some(name) = names.first() {
        damaged |= store.rename(name, b"another name", &mut scratch, Buffered).is_err();
    }
    for name in &names {
        let mut one = batch(&geometry);
        damaged |= one.delete(name).is_err() || store.commit(&mut [one], Buffered).is_err();
    }
    damaged |= store.seal().is_err() | store.sync().is_err() | store.checkpoint().is_err();
    read_all(&mut store);
    store.verify(&mut Findings::default()).ok();
    store.free_space().ok();
    let wrote = store.sequence() > before;
    let last = *store.superblock();
    let counters =
        [last.generation, last.epoch, last.journal_position, last.sequence].map(|counter| counter.get());
    if shape.open_with::<O, _>(store.into_device(), change).is_err() {
        // Counters at their end, as no file has them.
        let spent = counters.iter().any(|counter| *counter >= u64::MAX / 4 - (1 << 20));
        assert!(damaged || !wrote || spent, "a store that took everything opens again");
        damaged = true;
    }
    *(if damaged { &mut ends.damaged } else { &mut ends.sound }) += 1;
}

fn some_names<O: Overlay>(store: &mut TestStore<O, Watched>) -> Vec<Vec<u8>> {
    let mut names: Vec<Vec<u8>> = Vec::new();
    let mut name = [0; 1024];
    while let Ok(Some(length)) = store.next_name(names.last().map(Vec::as_slice), &mut name) {
        assert!(names.last().is_none_or(|last| last.as_slice() < &name[..length]), "names ascend");
        names.push(name[..length].to_vec());
    }
    names.extend([b"extent".to_vec(), b"chunks".to_vec(), b"journal chunks".to_vec()]);
    names
}

/// Reads whatever can be read in bounded memory; true if something cannot.
fn read_all<O: Overlay>(store: &mut TestStore<O, Watched>) -> bool {
    let mut damaged = false;
    let mut buffer = vec![0; 8 << 10];
    for name in some_names(store) {
        damaged |= store.info(&name).is_err();
        damaged |= store.get(&name, &mut buffer).is_err();
        let Ok(mut reader) = store.reader(&name) else { continue };
        for _ in 0..16 {
            match reader.read(&mut buffer[..3000]) {
                Ok(0) => break,
                Ok(_) => {}
                Err(_) => {
                    damaged = true;
                    break;
                }
            }
        }
        reader.seek(u64::MAX - 10);
        damaged |= reader.read(&mut buffer[..10]).is_err();
    }
    damaged
}

/// Runs an image through stores of both kinds, read-only and not; a panic does not end the list.
fn abuse_all(what: &str, image: &[u8], ends: &mut Ends) {
    let runs: [&dyn Fn(&mut Ends); 3] = [
        &|ends| abuse::<Heap>(&SMALL, image, LIMIT, &|_| {}, ends),
        &|ends| abuse::<Fixed>(&SMALL, image, LIMIT, &|options| options.carry_max = 0, ends),
        &|ends| {
            let salvage = |options: &mut OpenOptions| (options.read_only, options.salvage) = (true, true);
            abuse::<Heap>(&SMALL, image, LIMIT, &salvage, ends);
        },
    ];
    runs.into_iter().for_each(|run| ends.keep(what, run));
}

impl Ends {
    fn keep(&mut self, what: &str, run: &dyn Fn(&mut Self)) {
        let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| run(self)));
        if result.is_err() {
            eprintln!("forged: {what}");
            self.panics += 1;
        }
    }

    fn assert(&self, [refused, damaged, sound]: [u64; 3]) {
        println!("{self:?}");
        assert_eq!(self.panics, 0, "see above");
        assert!(self.refused >= refused && self.damaged >= damaged && self.sound >= sound, "{self:?}");
    }
}

/// Device operations that an image of some 50 KB may cost: a sound one takes a tenth.
pub(super) const LIMIT: u64 = 150_000;

const EXTREMES: [u64; 16] = [
    0,
    1,
    2,
    7,
    23,
    24,
    511,
    513,
    65_535,
    1 << 31,
    u32::MAX as u64,
    1 << 32,
    i64::MAX as u64,
    1 << 63,
    u64::MAX - 1,
    u64::MAX,
];

/// The values that a number is replaced with.
fn extremes(now: u64, forge: &Forge) -> Vec<u64> {
    let superblock = &forge.superblock;
    let places = [superblock.pages.get(), superblock.first_group.get(), superblock.root_page.get()];
    let mut values = EXTREMES.to_vec();
    values.extend(places);
    values.extend([
        now.wrapping_add(1),
        now.wrapping_sub(1),
        now << 1,
        now << 32,
        u64::MAX / 4 - 1,
        u64::MAX / 2 - 1,
    ]);
    values
}

fn number(bytes: &[u8]) -> u64 {
    let mut wide = [0; 8];
    wide[..bytes.len()].copy_from_slice(bytes);
    u64::from_le_bytes(wide)
}

#[test]
fn forged_superblocks_end_in_errors() {
    let image = image(&SMALL);
    let mut ends = Ends::default();
    for field in Superblock::LAYOUT.fields.iter().filter(|field| matches!(field.size, 4 | 8)) {
        if matches!(field.name, "magic" | "version" | "slot") {
            continue;
        }
        let range = field.offset..field.offset + field.size;
        let plain = Forge::new(&image.bytes);
        for value in extremes(number(&plain.superblock.bytes()[range.clone()]), &plain) {
            let mut forge = Forge::new(&image.bytes);
            let mut bytes = forge.superblock.bytes().to_vec();
            bytes[range.clone()].copy_from_slice(&value.to_le_bytes()[..field.size]);
            forge.superblock = Superblock::read(&bytes).unwrap();
            // The journal must go on to follow, else nothing of it is read.
            forge.records.iter_mut().for_each(|record| record.header.epoch = forge.superblock.epoch);
            abuse_all(&format!("superblock {} = {value}", field.name), &forge.bytes(), &mut ends);
        }
    }
    ends.assert([300, 20, 20]);
}

#[test]
fn forged_records_end_in_errors() {
    let image = image(&SMALL);
    let mut ends = Ends::default();
    let count = Forge::new(&image.bytes).records.len();
    assert!(count >= 7, "all kinds of operation");
    for index in 0..count {
        for field in RecordHeader::LAYOUT.fields.iter().filter(|field| matches!(field.size, 4 | 8)) {
            let range = field.offset..field.offset + field.size;
            let plain = Forge::new(&image.bytes);
            for value in extremes(number(&plain.records[index].header.bytes()[range.clone()]), &plain) {
                let mut forge = Forge::new(&image.bytes);
                let record = &mut forge.records[index];
                let mut bytes = record.header.bytes().to_vec();
                bytes[range.clone()].copy_from_slice(&value.to_le_bytes()[..field.size]);
                record.header = RecordHeader::read(&bytes).unwrap();
                abuse_all(&format!("record {index} {} = {value}", field.name), &forge.bytes(), &mut ends);
            }
        }
        // The operations: kind, name length, chunk size, length, tag, sequence, and what follows them.
        let length = Forge::new(&image.bytes).records[index].meta.len();
        for (at, width) in [(0, 1), (2, 2), (4, 4), (8, 8), (16, 8), (24, 8)] {
            if at + width > length {
                continue;
            }
            let plain = Forge::new(&image.bytes);
            for value in extremes(number(&plain.records[index].meta[at..at + width]), &plain) {
                let mut forge = Forge::new(&image.bytes);
                forge.records[index].meta[at..at + width].copy_from_slice(&value.to_le_bytes()[..width]);
                abuse_all(&format!("record {index} operation {at} = {value}"), &forge.bytes(), &mut ends);
            }
        }
    }
    ends.assert([300, 100, 100]);
}

#[test]
fn forged_nodes_end_in_errors() {
    let image = image(&SMALL);
    let mut ends = Ends::default();
    let paths = Forge::new(&image.bytes).paths();
    assert!(paths.iter().any(|path| path.len() >= 2), "several levels");
    let leaf = paths.iter().max_by_key(|path| path.len()).unwrap().clone();
    let last = paths.iter().rfind(|path| path.len() == leaf.len()).unwrap().clone();
    let chosen = [Vec::new(), leaf[..1].to_vec(), leaf.clone(), last];
    for path in &chosen {
        let node = Forge::new(&image.bytes).node_bytes(path);
        let cell = cell_at(&node, 0);
        let name = if path.len() == leaf.len() { usize::from(node[cell + 2]) } else { 0 };
        // Header, the first offsets, the first cell, its value.
        let mut fields = vec![(4, 1), (8, 4), (12, 4), (16, 2), (18, 2), (20, 2)];
        fields.extend([(cell, 1), (cell, 8), (cell + 2, 2), (cell + 4, 4), (cell + 40, 4), (cell + 44, 2)]);
        fields.extend([0, 8, 16, 24, 96].map(|at| (cell + 8 + name + at, 8)));
        fields.extend([(cell + 8 + name + 16, 4), (cell + 8 + name + 96, 4)]);
        for (at, width) in fields {
            if at + width > node.len() {
                continue;
            }
            for value in extremes(number(&node[at..at + width]), &Forge::new(&image.bytes)) {
                let mut forge = Forge::new(&image.bytes);
                forge.node(path, &mut |page| {
                    page[at..at + width].copy_from_slice(&value.to_le_bytes()[..width]);
                });
                abuse_all(&format!("node {path:?} byte {at}..+{width} = {value}"), &forge.bytes(), &mut ends);
            }
        }
    }
    ends.assert([0, 500, 20]);
}

#[test]
fn forged_cells_end_in_errors() {
    let image = image(&SMALL);
    let mut ends = Ends::default();
    let paths = Forge::new(&image.bytes).paths();
    let leaf = paths.iter().max_by_key(|path| path.len()).unwrap().clone();
    let digest = [0x77; 32];
    let extent =
        |length: u64, page: u64| [&[0; 16][..], &length.to_le_bytes(), &page.to_le_bytes(), &digest].concat();
    let head = |length: u64, page: u64, chunk: u32| {
        [&extent(length, page)[..], &digest, &chunk.to_le_bytes(), &[0; 4]].concat()
    };
    let chunk =
        |length: u32, page: u64| [&page.to_le_bytes()[..], &digest, &length.to_le_bytes(), &[0; 4]].concat();
    let inline = |length: u32, bytes: usize| [&[0; 16][..], &length.to_le_bytes(), &vec![1; bytes]].concat();
    let mut leaves: Vec<(&str, Vec<Vec<u8>>)> = Vec::new();
    for length in [1, 512, u64::from(u32::MAX), 1 << 62, i64::MAX as u64, 1 << 63, u64::MAX] {
        let two = [b"b1", b"b2"];
        leaves.push((
            "extents",
            two.map(|name| leaf_cell(cell_kind::EXTENT, 0, name, &extent(length, 60))).into(),
        ));
        let far = [b"b1", b"b2"];
        leaves.push((
            "far",
            far.map(|name| leaf_cell(cell_kind::EXTENT, 0, name, &extent(length, u64::MAX))).into(),
        ));
        for size in [0, 1, 511, 1024, u32::MAX] {
            let heads =
                [b"b1", b"b2"].map(|name| leaf_cell(cell_kind::HEAD, 0, name, &head(length, 60, size)));
            leaves.push(("heads", heads.into()));
        }
    }
    let list = |count: u32| (1..=count).map(|n| leaf_cell(cell_kind::CHUNK, n, b"b", &chunk(1024, 60)));
    let first = leaf_cell(cell_kind::HEAD, 0, b"b", &head(100_000, 60, 1024));
    leaves.push(("short list", std::iter::once(first).chain(list(3)).collect()));
    leaves.push(("list without a head", list(4).collect()));
    leaves.push((
        "descending",
        [b"d", b"c", b"b"].map(|name| leaf_cell(cell_kind::INLINE, 0, name, &inline(3, 3))).into(),
    ));
    leaves.push((
        "equal",
        [b"c", b"c", b"c"].map(|name| leaf_cell(cell_kind::INLINE, 0, name, &inline(3, 3))).into(),
    ));
    leaves.push(("no name", vec![leaf_cell(cell_kind::INLINE, 0, b"", &inline(3, 3))]));
    leaves.push(("long name", vec![leaf_cell(cell_kind::INLINE, 0, &[b'n'; 400], &inline(3, 3))]));
    leaves.push(("one huge cell", vec![leaf_cell(cell_kind::INLINE, 0, b"c", &inline(3, 460))]));
    let mixed = |n: u8, bytes| leaf_cell(cell_kind::INLINE, 0, &[b'c', n], &inline(3, bytes));
    leaves.push(("small and huge", vec![mixed(1, 3), mixed(2, 420)]));
    leaves.push(("huge value", vec![leaf_cell(cell_kind::INLINE, 0, b"c", &inline(450, 450))]));
    leaves.push(("kind 9", vec![leaf_cell(9, 0, b"c", &inline(3, 3))]));
    leaves.push(("nothing", vec![]));
    for (what, cells) in &leaves {
        // In place of one leaf, of two neighbours, of all.
        for paths in
            [vec![leaf.clone()], paths.iter().filter(|path| path.len() == leaf.len()).cloned().collect()]
        {
            let mut forge = Forge::new(&image.bytes);
            for path in &paths {
                forge.node(path, &mut |page| *page = compose(512, 0, cells));
            }
            abuse_all(&format!("{what} in {} leaves", paths.len()), &forge.bytes(), &mut ends);
        }
    }
    // Cells that overlap the offsets, each other and the end.
    for offsets in [[0, 0, 0], [16, 16, 512], [2, 500, 30], [300, 200, 100], [22, 22, 22], [511, 512, 513]] {
        for path in [&leaf[..], &leaf[..1], &[]] {
            let mut forge = Forge::new(&image.bytes);
            forge.node(path, &mut |page| {
                for (index, offset) in offsets.iter().enumerate() {
                    page[16 + 2 * index..18 + 2 * index].copy_from_slice(&u16::to_le_bytes(*offset));
                }
                page[8..16].copy_from_slice(&[3, 0, 0, 0, 0, 2, 0, 0]);
            });
            abuse_all(&format!("offsets {offsets:?} at {path:?}"), &forge.bytes(), &mut ends);
        }
    }
    ends.assert([0, 100, 0]);
}

/// Inner nodes all of whose children are one and the same node, level above level: a walk over all
/// paths would never end.
#[test]
fn forged_towers_end_in_errors() {
    let image = image(&SMALL);
    let mut ends = Ends::default();
    let text =
        |name: &[u8]| leaf_cell(cell_kind::INLINE, 0, name, &[&[0; 16][..], &[3, 0, 0, 0], b"abc"].concat());
    for (height, width) in [(2, 8), (5, 8), (8, 8), (8, 2), (23, 4), (23, 8)] {
        for (key, chunk) in [(&b"extent"[..], 0), (b"extent", 1), (b"zz", 0), (b"", 0)] {
            for same in [true, false] {
                let mut forge = Forge::new(&image.bytes);
                let page = forge.extend(height);
                let cells =
                    if same { vec![text(key); 8] } else { (0..8).map(|n| text(&[b'k', n])).collect() };
                let mut digest = forge.set_page(page, &compose(512, 0, &cells));
                for level in 1..height {
                    let cells = vec![inner_cell(page + level - 1, digest, chunk, key); width];
                    digest = forge.set_page(page + level, &compose(512, level as u8, &cells));
                }
                forge.superblock.root_page = (page + height - 1).into();
                forge.superblock.root_digest = digest.0;
                forge.superblock.height = (height as u32).into();
                let what = format!("tower of {height} by {width}, {key:?} {chunk} {same}");
                let mut shape = SMALL;
                shape.memory.levels = 24;
                let image = forge.bytes();
                ends.keep(&what, &|ends| abuse::<Heap>(&shape, &image, LIMIT, &|_| {}, ends));
            }
        }
    }
    ends.assert([1, 30, 0]);
}

#[test]
fn forged_maps_end_in_errors() {
    let image = image(&SMALL);
    let mut ends = Ends::default();
    let mut run = |what: String, forge: Forge| abuse_all(&what, &forge.bytes(), &mut ends);
    for fill in [0, 0x55, 0xFF] {
        let mut forge = Forge::new(&image.bytes);
        forge.map(&mut |page| page[MapHeader::SIZE..].fill(fill));
        run(format!("all bits {fill:x}"), forge);
    }
    for (at, width) in [(0, 4), (4, 4), (8, 8), (16, 8)] {
        for value in EXTREMES {
            let mut forge = Forge::new(&image.bytes);
            forge.map(&mut |page| page[at..at + width].copy_from_slice(&value.to_le_bytes()[..width]));
            run(format!("map byte {at} = {value}"), forge);
        }
    }
    for level in 1..=7 {
        for slot in [1, 2] {
            for used in [0, 1, 1 << 40, u64::MAX] {
                for child in [0, 1, 2, 3, u32::MAX] {
                    let mut forge = Forge::new(&image.bytes);
                    let digest = forge.superblock.map_digest;
                    let entry =
                        MapEntry { digest, used: used.into(), slot: child.into(), reserved: 0.into() };
                    forge.map_level(level, slot, entry, 10);
                    run(format!("map level {level} slot {slot}, used {used}, child {child}"), forge);
                }
            }
        }
        for absent in [0, 1, 2] {
            let mut forge = Forge::new(&image.bytes);
            (forge.superblock.map_level, forge.superblock.map_slot) = (level.into(), absent.into());
            run(format!("map level {level}, slot {absent}"), forge);
        }
    }
    // Levels one above the other, each right, up to the highest.
    let mut forge = Forge::new(&image.bytes);
    for level in 1..=7 {
        let used = forge.superblock.used_pages;
        let (digest, slot) = (forge.superblock.map_digest, forge.superblock.map_slot);
        forge.map_level(level, 1, MapEntry { digest, used, slot, reserved: 0.into() }, 1);
    }
    run("seven levels".into(), forge);
    // A file that ends at its first group.
    for pages in 0..20 {
        let mut forge = Forge::new(&image.bytes);
        forge.superblock.pages = (forge.superblock.first_group.get() + pages).into();
        run(format!("{pages} pages behind the journal"), forge);
    }
    ends.assert([0, 100, 1]);
}

/// Random bytes of random structures, replaced with random and with extreme numbers.
#[test]
fn random_forgeries_end_in_errors() {
    let from_environment =
        |name, otherwise| std::env::var(name).ok().and_then(|value| value.parse().ok()).unwrap_or(otherwise);
    let image = image(&SMALL);
    let paths = Forge::new(&image.bytes).paths();
    let mut ends = Ends::default();
    let first: u64 = from_environment("BLOCKYARD_SEED", 0);
    for seed in first..first + from_environment("BLOCKYARD_FORGERIES", 1500) {
        let mut rng = fastrand::Rng::with_seed(seed);
        let mut forge = Forge::new(&image.bytes);
        for _ in 0..rng.usize(1..4) {
            let mut change = |bytes: &mut Vec<u8>| {
                if bytes.is_empty() {
                    return;
                }
                let width = [1, 2, 4, 8][rng.usize(..4)].min(bytes.len());
                let near = if rng.bool() { bytes.len().min(120) } else { bytes.len() };
                let at = rng.usize(..=near.max(width) - width);
                let value = if rng.bool() { EXTREMES[rng.usize(..EXTREMES.len())] } else { rng.u64(..200) };
                bytes[at..at + width].copy_from_slice(&value.to_le_bytes()[..width]);
            };
            let target = seed.wrapping_mul(31) as usize;
            match seed % 8 {
                0..4 => {
                    let path = &paths[target % paths.len()];
                    // An inner node that was changed may hide what is below it.
                    forge.node(path, &mut change);
                }
                4 | 5 => {
                    let count = forge.records.len();
                    change(&mut forge.records[target % count].meta);
                }
                6 => {
                    let count = forge.records.len();
                    let record = &mut forge.records[target % count];
                    let mut header = record.header.bytes().to_vec();
                    change(&mut header);
                    let changed = RecordHeader::read(&header).unwrap();
                    record.header = RecordHeader { meta_digest: record.header.meta_digest, ..changed };
                }
                _ => forge.map(&mut change),
            }
        }
        abuse_all(&format!("BLOCKYARD_SEED={seed}"), &forge.bytes(), &mut ends);
    }
    ends.assert([50, 200, 100]);
}

/// The forge itself: what it seals without a change is what it was.
#[test]
fn an_unchanged_forgery_is_sound() {
    let image = image(&SMALL);
    let mut forge = Forge::new(&image.bytes);
    forge.node(&[0, 0], &mut |_| {});
    forge.map(&mut |_| {});
    let forged = forge.bytes();
    let (mut store, recovery) = SMALL.open::<Heap, _>(Watched::new(forged, 100_000)).unwrap();
    assert_eq!(recovery.to.0, image.last());
    assert_same(&contents(&mut store), &image.states[&image.last()], "forged without a change");
}

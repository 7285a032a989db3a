//! The golden images of the engine's tests, and where things lie in them.

use crate::reseal::newest;
use blockyard_core::PageIndex;
use blockyard_core::format::{Geometry, RecordHeader, SLOT_STRIDE, Superblock};
use blockyard_core::tree::NodeView;
use std::ops::Range;
use std::sync::LazyLock;

/// An image and the places in it that are worth changing.
pub struct Golden {
    /// The file, as long as its superblock says.
    pub bytes: Vec<u8>,
    /// Its sizes.
    pub geometry: Geometry,
    /// The newest superblock copies.
    pub superblocks: Vec<Range<usize>>,
    /// Pages of the registry, root first.
    pub nodes: Vec<Range<usize>>,
    /// The top page of the free map, in both slots.
    pub maps: Vec<Range<usize>>,
    /// Headers of the journal's records.
    pub headers: Vec<Range<usize>>,
    /// Their operations and values.
    pub bodies: Vec<Range<usize>>,
}

const FILES: [&[u8]; 4] = [
    include_bytes!("../../core/tests/golden/v1-pages-512.by"),
    include_bytes!("../../core/tests/golden/v1-pages-512-unfolded.by"),
    include_bytes!("../../core/tests/golden/v1-torn-512.by"),
    include_bytes!("../../core/tests/golden/v1-pages-4096.by"),
];

/// Every golden image.
pub static GOLDEN: LazyLock<Vec<Golden>> =
    LazyLock::new(|| FILES.iter().map(|file| Golden::new(file)).collect());

impl Golden {
    /// Takes a sound image apart; what was cut off at its end are zeros.
    ///
    /// # Panics
    /// If it is not sound.
    #[must_use]
    pub fn new(image: &[u8]) -> Self {
        let superblock = newest(image).expect("a superblock");
        let geometry = superblock.geometry().expect("a sound geometry");
        let mut bytes = image.to_vec();
        bytes.resize(bytes.len().max(geometry.offset(superblock.pages.get()) as usize), 0);
        let copies = [0, 1].map(|copy| (u64::from(superblock.slot_of(copy)) * SLOT_STRIDE) as usize);
        let page = |page: u64| {
            let start = geometry.offset(page) as usize;
            start..start + geometry.page_size()
        };
        let mut golden = Self {
            superblocks: copies.map(|at| at..at + Superblock::SIZE).to_vec(),
            nodes: Vec::new(),
            maps: [0, 1].map(|slot| page(geometry.first_group() + slot)).to_vec(),
            headers: Vec::new(),
            bodies: Vec::new(),
            bytes,
            geometry,
        };
        if superblock.height.get() > 0 {
            golden.add_nodes(PageIndex(superblock.root_page.get()));
        }
        golden.add_records(superblock.journal_position.get());
        golden
    }

    fn add_nodes(&mut self, root: PageIndex) {
        let mut pages = vec![root];
        let mut at = 0;
        while let Some(page) = pages.get(at) {
            let start = self.geometry.offset(page.0) as usize;
            let range = start..start + self.geometry.page_size();
            let node = NodeView::parse(&self.bytes[range.clone()]).expect("a node");
            pages.extend((0..node.len()).filter_map(|index| node.child(index)).map(|child| child.page));
            self.nodes.push(range);
            at += 1;
        }
    }

    /// The records of a journal that does not pass the ring's end.
    fn add_records(&mut self, mut head: u64) {
        let unit = self.geometry.unit() as u64;
        let (start, length) = (self.geometry.journal_offset(), self.geometry.journal_length());
        loop {
            let found = [head.next_multiple_of(8), head.next_multiple_of(unit)].into_iter().find_map(|at| {
                let place = (start + at % length) as usize;
                let header = RecordHeader::read(&self.bytes[place..])?;
                (header.is_valid() && header.position.get() == at).then_some((place, header))
            });
            let Some((place, header)) = found else { return };
            let record = header.record_length() as usize;
            let body = place + RecordHeader::SIZE..(place + record).min((start + length) as usize);
            self.headers.push(place..place + RecordHeader::SIZE);
            if !body.is_empty() {
                self.bodies.push(body);
            }
            head = header.position.get() + header.record_length();
        }
    }
}

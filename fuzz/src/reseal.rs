//! Makes the digests of a changed image right again, as somebody does who means harm.
//!
//! A changed byte is found by the digest above it, and nothing behind that digest is ever looked at. After
//! [`reseal`] the engine believes what it reads and comes to the code that has to doubt the numbers.
//!
//! Nothing is assumed of the image: what does not parse is left as it is, and a walk that goes round in
//! circles ends.

use crate::ring::Ring;
use blockyard_core::format::{
    ChunkRef, ChunkValue, ExtentValue, Geometry, HeadValue, InternalCell, LeafCell, MapEntry, MapHeader,
    NodeHeader, OpHeader, RecordHeader, SLOT_STRIDE, SLOTS, Superblock, cell_kind, op_kind,
};
use blockyard_core::{Digest, Hasher};
use std::mem::offset_of;
use std::ops::Range;

/// Nodes and map pages that are sealed at most.
const BUDGET: u32 = 2000;
/// Bytes of a block that are digested at most.
const LONGEST: u64 = 1 << 17;
/// Records that are followed at most.
const RECORDS: usize = 200;

/// Seals an image from the blocks (if `values`), the registry, the free map and the journal up to the
/// superblock, whose older generation is wiped. An image without a superblock stays as it is.
pub fn reseal(image: &mut [u8], values: bool) {
    let Some(mut superblock) = newest(image) else { return };
    if let Ok(geometry) = Geometry::new(
        superblock.page_size.get(),
        superblock.unit.get(),
        superblock.journal_length.get(),
        superblock.chunk_size.get(),
    ) {
        let mut sealer = Sealer { image, geometry, budget: BUDGET };
        let (root, height) = (superblock.root_page.get(), superblock.height.get());
        if height > 0 {
            if values {
                let mut open = None;
                sealer.seal_values(root, height.min(24) - 1, &mut open);
            }
            sealer.budget = BUDGET;
            if let Some(digest) = sealer.seal_node(root, height.min(24) - 1) {
                superblock.root_digest = digest.0;
            }
        }
        let (level, slot) = (superblock.map_level.get(), superblock.map_slot.get());
        if let Some(digest) = sealer.seal_map(level.min(7), 0, slot) {
            superblock.map_digest = digest.0;
        }
        sealer.seal_journal(&superblock, values);
    }
    for slot in 0..SLOTS {
        let start = (u64::from(slot) * SLOT_STRIDE) as usize;
        let Some(copy) = image.get_mut(start..start + Superblock::SIZE) else { continue };
        if slot / 2 == (superblock.generation.get() % 2) as u32 {
            copy.copy_from_slice(superblock.sealed(slot).bytes());
        } else {
            copy.fill(0);
        }
    }
}

/// The superblock of the highest generation, whatever its digest says.
#[must_use]
pub fn newest(image: &[u8]) -> Option<Superblock> {
    let copies = (0..SLOTS).filter_map(|slot| {
        Superblock::read(image.get((u64::from(slot) * SLOT_STRIDE) as usize..)?)
            .filter(|copy| copy.magic == Superblock::MAGIC)
    });
    copies.max_by_key(|copy| copy.generation.get())
}

fn number<const N: usize>(bytes: &[u8], at: usize) -> Option<u64> {
    let field = bytes.get(at..at.checked_add(N)?)?;
    Some(field.iter().rev().fold(0, |number, byte| number << 8 | u64::from(*byte)))
}

/// A block of chunks whose list is not at its end: where its digest belongs, and what it is so far.
struct OpenBlock {
    digest_at: usize,
    digests: Hasher,
}

struct Sealer<'i> {
    image: &'i mut [u8],
    geometry: Geometry,
    budget: u32,
}

impl Sealer<'_> {
    fn spend(&mut self) -> Option<()> {
        self.budget = self.budget.checked_sub(1)?;
        Some(())
    }

    fn page(&self, page: u64) -> Option<Range<usize>> {
        self.range(page, self.geometry.page_size() as u64)
    }

    /// The place of `length` bytes from page `page` on.
    fn range(&self, page: u64, length: u64) -> Option<Range<usize>> {
        let start = usize::try_from(self.geometry.offset(page)).ok()?;
        let end = start.checked_add(usize::try_from(length).ok()?)?;
        (end <= self.image.len()).then_some(start..end)
    }

    fn put(&mut self, at: usize, digest: Digest) {
        if let Some(place) = self.image.get_mut(at..at.saturating_add(32)) {
            place.copy_from_slice(&digest.0);
        }
    }

    /// Digest of a block's bytes, if it is short.
    fn value(&self, page: u64, length: u64) -> Option<Digest> {
        let range = (length <= LONGEST).then(|| self.range(page, length))??;
        Some(Digest::of(&self.image[range]))
    }

    /// Where the cells of a node begin.
    fn cells(&self, page: &Range<usize>) -> Vec<usize> {
        let count = number::<4>(self.image, page.start + offset_of!(NodeHeader, count)).unwrap_or(0);
        let slots = (page.start + NodeHeader::SIZE..page.end).step_by(2).take(count as usize);
        slots.filter_map(|slot| Some(page.start + number::<2>(self.image, slot)? as usize)).collect()
    }

    fn seal_node(&mut self, page: u64, level: u32) -> Option<Digest> {
        self.spend()?;
        let range = self.page(page)?;
        if level > 0 {
            for cell in self.cells(&range) {
                let child = number::<8>(self.image, cell + offset_of!(InternalCell, page));
                let digest = child.and_then(|child| self.seal_node(child, level - 1));
                if let Some(digest) = digest
                    && cell + InternalCell::SIZE <= range.end
                {
                    self.put(cell + offset_of!(InternalCell, digest), digest);
                }
            }
        }
        Some(Digest::of(&self.image[range]))
    }

    /// Gives the blocks of the leaves, from left to right, the digests of their bytes.
    fn seal_values(&mut self, page: u64, level: u32, open: &mut Option<OpenBlock>) -> Option<()> {
        self.spend()?;
        let range = self.page(page)?;
        for cell in self.cells(&range) {
            if level > 0 {
                let child = number::<8>(self.image, cell + offset_of!(InternalCell, page));
                child.and_then(|child| self.seal_values(child, level - 1, open));
            } else {
                self.seal_record(cell, open);
            }
        }
        Some(())
    }

    fn seal_record(&mut self, cell: usize, open: &mut Option<OpenBlock>) -> Option<()> {
        let kind = *self.image.get(cell)?;
        let name = number::<2>(self.image, cell + offset_of!(LeafCell, name_length))? as usize;
        let at = cell + LeafCell::SIZE + name;
        if kind != cell_kind::CHUNK {
            *open = None;
        }
        match kind {
            cell_kind::EXTENT => {
                let length = number::<8>(self.image, at + offset_of!(ExtentValue, length))?;
                let page = number::<8>(self.image, at + offset_of!(ExtentValue, page))?;
                let digest = self.value(page, length)?;
                self.put(at + offset_of!(ExtentValue, digest), digest);
            }
            cell_kind::HEAD => {
                let length = number::<8>(self.image, at + offset_of!(HeadValue, length))?;
                let size = number::<4>(self.image, at + offset_of!(HeadValue, chunk_size))?;
                let page = number::<8>(self.image, at + offset_of!(HeadValue, page))?;
                let digest = self.value(page, length.min(size))?;
                self.put(at + offset_of!(HeadValue, chunk_digest), digest);
                let block =
                    OpenBlock { digest_at: at + offset_of!(HeadValue, digest), digests: Hasher::new() };
                self.chunk(open.insert(block), digest);
            }
            cell_kind::CHUNK => {
                let length = number::<4>(self.image, at + offset_of!(ChunkValue, length))?;
                let page = number::<8>(self.image, at + offset_of!(ChunkValue, page))?;
                let digest = self.value(page, length)?;
                self.put(at + offset_of!(ChunkValue, digest), digest);
                self.chunk(open.as_mut()?, digest);
            }
            _ => {}
        }
        Some(())
    }

    /// One more chunk of a block, whose digest is right if this is the last.
    fn chunk(&mut self, open: &mut OpenBlock, digest: Digest) {
        open.digests.update(&digest.0);
        self.put(open.digest_at, open.digests.clone().finish());
    }

    fn seal_map(&mut self, level: u32, index: u64, slot: u32) -> Option<Digest> {
        self.spend()?;
        if !matches!(slot, 1 | 2) {
            return None;
        }
        let fanout = self.geometry.map_fanout();
        let group = index.checked_mul(fanout.checked_pow(level)?)?;
        let start =
            self.geometry.first_group().checked_add(group.checked_mul(self.geometry.group_pages())?)?;
        let range = self.page(start + u64::from(2 * level + slot - 1))?;
        if level > 0 {
            let entries = (range.start + MapHeader::SIZE..range.end).step_by(MapEntry::SIZE).zip(0..fanout);
            for (entry, number_in_page) in entries {
                let slot = number::<4>(self.image, entry + offset_of!(MapEntry, slot))? as u32;
                let index = index.checked_mul(fanout)?.checked_add(number_in_page)?;
                if let Some(digest) = self.seal_map(level - 1, index, slot) {
                    self.put(entry + offset_of!(MapEntry, digest), digest);
                }
            }
        }
        Some(Digest::of(&self.image[range]))
    }

    fn ring(&self, position: u64, length: u64) -> Option<Vec<u8>> {
        Ring::new(&self.geometry).read(self.image, position, length)
    }

    fn set_ring(&mut self, position: u64, bytes: &[u8]) -> Option<()> {
        Ring::new(&self.geometry).write(self.image, position, bytes)
    }

    /// Follows the records by their magic and chains them anew.
    fn seal_journal(&mut self, superblock: &Superblock, values: bool) -> Option<()> {
        let mut head = superblock.journal_position.get();
        let mut chain = superblock.chain;
        let unit = self.geometry.unit() as u64;
        for _ in 0..RECORDS {
            let places = [head.checked_next_multiple_of(8)?, head.checked_next_multiple_of(unit)?];
            let found = places.into_iter().find_map(|at| {
                let header = RecordHeader::read(&self.ring(at, RecordHeader::SIZE as u64)?)?;
                (header.magic == RecordHeader::MAGIC).then_some((at, header))
            });
            let (at, mut header) = found?;
            let meta_at = at.checked_add(RecordHeader::SIZE as u64)?;
            let length = u64::from(header.meta_length.get());
            if length <= self.geometry.journal_length() {
                let mut meta = self.ring(meta_at, length)?;
                if values {
                    self.seal_operations(&mut meta, meta_at.checked_add(length)?);
                    self.set_ring(meta_at, &meta)?;
                }
                header.meta_digest = Digest::of(&meta).0;
            }
            header.previous = chain;
            let header = header.sealed();
            self.set_ring(at, header.bytes())?;
            chain = header.digest;
            head = at.checked_add(header.record_length())?;
        }
        Some(())
    }

    /// Gives the operations of a record the digests of their values.
    fn seal_operations(&self, meta: &mut [u8], mut data_at: u64) -> Option<()> {
        let mut at = 0;
        while let Some(head) = OpHeader::read(meta.get(at..)?) {
            let body = at + OpHeader::SIZE + usize::from(head.name_length.get());
            let length = head.length.get();
            let (digest, body_length) = match head.kind {
                op_kind::INLINE => (None, usize::try_from(length).ok()?),
                op_kind::CARRIED => {
                    let bytes = self.ring(data_at, length)?;
                    data_at = data_at.checked_add(length)?;
                    (Some(Digest::of(&bytes)), 8)
                }
                op_kind::EXTENT => (self.value(number::<8>(meta, body)?, length), 8),
                op_kind::CHUNKS => {
                    let size = u64::from(head.chunk_size.get());
                    let count = length.checked_div(size)? + u64::from(!length.is_multiple_of(size));
                    let list = usize::try_from(count).ok()?.checked_mul(ChunkRef::SIZE)?;
                    let list = meta.get_mut(body..body.checked_add(list)?)?;
                    (Some(self.seal_list(list, length, size)), list.len())
                }
                _ => (None, 0),
            };
            if let Some(digest) = digest {
                let place = at + offset_of!(OpHeader, digest);
                meta.get_mut(place..place + 32)?.copy_from_slice(&digest.0);
            }
            at = body.checked_add(body_length)?;
        }
        Some(())
    }

    fn seal_list(&self, list: &mut [u8], length: u64, size: u64) -> Digest {
        let mut digests = Hasher::new();
        for (chunk, index) in list.chunks_exact_mut(ChunkRef::SIZE).zip(0..) {
            let rest = length.saturating_sub(index * size).min(size);
            let page = number::<8>(chunk, offset_of!(ChunkRef, page)).unwrap_or(0);
            if let Some(digest) = self.value(page, rest) {
                chunk[offset_of!(ChunkRef, digest)..].copy_from_slice(&digest.0);
            }
            digests.update(&chunk[offset_of!(ChunkRef, digest)..]);
        }
        digests.finish()
    }
}

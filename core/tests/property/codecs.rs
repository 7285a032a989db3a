//! What is written as bytes is read as it was, and bytes that are not it are told apart or refused.

use crate::budget::{Tally, check, pattern};
use blockyard_core::batch::{BatchError, GrowBytes};
use blockyard_core::format::{GeometryError, OpHeader, RecordHeader, Superblock, op_kind};
use blockyard_core::tree::{Key, NodeView};
use blockyard_core::{Batch, Digest, Geometry};
use proptest::prelude::*;
use zerocopy::{FromBytes as _, IntoBytes as _};

static TALLY: Tally = Tally::new();

/// A buffer that takes so many bytes and no more.
#[derive(Debug, Default)]
struct Bounded(Vec<u8>, usize);

impl AsRef<[u8]> for Bounded {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

impl AsMut<[u8]> for Bounded {
    fn as_mut(&mut self) -> &mut [u8] {
        &mut self.0
    }
}

impl GrowBytes for Bounded {
    fn append(&mut self, bytes: &[u8]) -> bool {
        let fits = self.0.len() + bytes.len() <= self.1;
        self.0.extend_from_slice(if fits { bytes } else { &[] });
        fits
    }

    fn set_length(&mut self, length: usize) -> bool {
        if length <= self.1 {
            self.0.resize(length, 0);
        }
        length <= self.1
    }
}

#[derive(Clone, Debug)]
struct Change {
    name: usize,
    /// None deletes.
    value: Option<usize>,
    seed: u64,
}

/// Adds changes to a batch of bounded buffers until nothing is left to add.
fn fill((meta, data, changes): (usize, usize, Vec<Change>)) {
    let geometry = Geometry::new(512, 512, 4096, 2048).expect("possible");
    let (max_name, inline, chunk) = (geometry.max_name(), geometry.max_inline(), 2048);
    let mut batch = Batch::new(&geometry, Bounded(Vec::new(), meta), Bounded(Vec::new(), data));
    let (mut meta_used, mut data_used) = (0, 0_usize);
    let mut kept = Vec::new();
    for change in &changes {
        let name = pattern(change.seed, change.name);
        let value = change.value.map(|length| pattern(!change.seed, length));
        let result = match &value {
            Some(value) => batch.put(&name, value, change.seed),
            None => batch.delete(&name),
        };
        let length = value.as_ref().map_or(0, Vec::len);
        let large = value.is_some() && length > inline;
        let (body, values) =
            if large { (8, data_used.next_multiple_of(512) + length) } else { (length, data_used) };
        let operation = OpHeader::SIZE + name.len() + body;
        let fits = meta_used + operation <= meta && (!large || values <= data);
        let expected = match () {
            () if length > chunk => {
                Err(BatchError::ValueTooLarge { length: length as u64, max: chunk as u64 })
            }
            () if name.is_empty() => Err(BatchError::NameEmpty),
            () if name.len() > max_name => Err(BatchError::NameTooLong { length: name.len(), max: max_name }),
            () if !fits => Err(BatchError::Full),
            () => Ok(()),
        };
        assert_eq!(result, expected, "{change:?}");
        TALLY.hit(match expected {
            Ok(()) if large => "carried",
            Ok(()) if value.is_some() => "inline",
            Ok(()) => "deletion",
            Err(BatchError::Full) => "batch full",
            Err(_) => "change refused",
        });
        if expected.is_ok() {
            (meta_used, data_used) = (meta_used + operation, values);
            kept.push((name, value, change.seed));
        }
        assert_eq!((batch.len(), batch.bytes()), (kept.len(), meta_used + data_used), "only what was taken");
        assert_eq!(batch.is_empty(), kept.is_empty());
    }
    let found: Vec<_> = batch.operations().collect();
    assert_eq!(found.len(), kept.len());
    for (operation, (name, value, tag)) in found.iter().zip(&kept) {
        let head = operation.head;
        assert_eq!((operation.name, head.sequence.get(), head.reserved), (name.as_slice(), 0, 0));
        let length = value.as_ref().map_or(0, Vec::len);
        assert_eq!(
            (head.length.get(), head.tag.get()),
            (length as u64, if value.is_some() { *tag } else { 0 })
        );
        match value {
            None => assert_eq!((head.kind, operation.body), (op_kind::DELETE, &[][..])),
            Some(value) if length <= inline => {
                assert_eq!(
                    (head.kind, operation.body, head.digest),
                    (op_kind::INLINE, value.as_slice(), [0; 32])
                );
            }
            Some(value) => {
                assert_eq!((head.kind, Digest(head.digest)), (op_kind::CARRIED, Digest::of(value)))
            }
        }
    }
    batch.clear();
    assert_eq!((batch.len(), batch.bytes(), batch.operations().count()), (0, 0, 0));
}

#[test]
fn a_batch_holds_what_was_put_into_it() {
    let change = (
        0..70_usize,
        prop::option::weighted(0.8, prop_oneof![0..140_usize, 100..700_usize, 2000..2100_usize]),
        0..50_u64,
    )
        .prop_map(|(name, value, seed)| Change { name, value, seed });
    let strategy = (100..2000_usize, 0..6000_usize, prop::collection::vec(change, 1..20));
    let kinds = ["carried", "inline", "deletion", "batch full", "change refused"];
    check(("a batch", "tests/property/regressions/batch.txt"), 1000, &strategy, (&TALLY, &kinds), fill);
}

#[test]
fn headers_are_what_they_were_and_no_bit_may_differ() {
    static TALLY: Tally = Tally::new();
    let strategy = (any::<u64>(), 0..2_u32, any::<prop::sample::Index>());
    let regressions = "tests/property/regressions/headers.txt";
    check(("headers", regressions), 1000, &strategy, (&TALLY, &["cases"]), |(seed, copy, bit)| {
        let record = RecordHeader::read(&pattern(seed, RecordHeader::SIZE)).expect("enough bytes").sealed();
        assert_eq!(RecordHeader::read(record.as_bytes()), Some(record));
        assert!(record.is_valid() && record.record_length().is_multiple_of(8));
        let least = 224 + u64::from(record.meta_length.get()) + u64::from(record.data_length.get());
        assert!((least..least + 8).contains(&record.record_length()));
        let flipped = |bytes: &[u8]| {
            let (mut bytes, at) = (bytes.to_vec(), bit.index(8 * bytes.len()));
            bytes[at / 8] ^= 1 << (at % 8);
            bytes
        };
        assert!(!RecordHeader::read(&flipped(record.as_bytes())).expect("as long").is_valid());
        assert_eq!(RecordHeader::read(&record.as_bytes()[1..]), None, "too few bytes");

        let superblock = Superblock::read(&pattern(seed, Superblock::SIZE)).expect("enough bytes");
        let slot = superblock.slot_of(copy);
        assert_eq!(u64::from(slot), 2 * (superblock.generation.get() % 2) + u64::from(copy));
        let superblock = superblock.sealed(slot);
        let valid: Vec<u32> = (0..6).filter(|&slot| superblock.is_valid(slot)).collect();
        assert_eq!(valid, [slot], "a copy is valid in its own slot only");
        assert_eq!(Superblock::read(superblock.as_bytes()), Some(superblock));
        assert!(!Superblock::read(&flipped(superblock.as_bytes())).expect("as long").is_valid(slot));
    });
}

/// Operations and nodes of any bytes: what does not parse is absent, and nothing panics.
#[test]
fn any_bytes_can_be_looked_at() {
    static TALLY: Tally = Tally::new();
    // Mostly zeros, so that offsets and lengths come out small.
    let bytes = any::<u64>().prop_map(|seed| {
        let (bytes, kept) = (pattern(seed, 512), pattern(!seed, 512));
        bytes.iter().zip(kept).map(|(&byte, kept)| if kept < 64 { byte } else { 0 }).collect::<Vec<u8>>()
    });
    let strategy = (bytes, 0..8_u32, 0..40_u32, any::<u16>(), prop::collection::vec(any::<u8>(), 0..70));
    let regressions = "tests/property/regressions/bytes.txt";
    let kinds = ["a node", "no node", "a record or child"];
    check(
        ("any bytes", regressions),
        2000,
        &strategy,
        (&TALLY, &kinds),
        |(mut page, level, count, end, name)| {
            page[..4].copy_from_slice(b"BYND");
            (page[4], page[5]) = (level as u8 % 2, 0);
            page[8..12].copy_from_slice(&count.to_le_bytes());
            page[12..16].copy_from_slice(&(u32::from(end) % 600).to_le_bytes());
            let key = Key { name: &name, chunk: level };
            let Some(node) = NodeView::parse(&page) else {
                TALLY.hit("no node");
                return;
            };
            TALLY.hit("a node");
            assert!(node.len() == count as usize && !node.is_empty());
            for index in 0..node.len() + 2 {
                let inside = index < node.len();
                assert!(
                    inside || (node.cell(index), node.key(index), node.child(index)) == (None, None, None)
                );
                let record = node.record(index);
                assert!(record.is_none() || (node.level() == 0 && inside));
                assert!(node.child(index).is_none() || node.level() > 0);
                TALLY.add("a record or child", u64::from(record.is_some() || node.child(index).is_some()));
            }
            assert!(node.search(key).0 <= node.len() && node.child_for(key) < node.len().max(1) + 1);
            assert!(NodeView::verified(&page, &Digest::of(&page), node.level()).is_some());
            assert!(NodeView::verified(&page, &Digest::of(&page), node.level() + 1).is_none());
        },
    );
}

/// Which sizes a file can have, by the table in docs/FORMAT.md.
#[test]
fn sizes_are_possible_or_the_first_that_is_not_is_named() {
    static TALLY: Tally = Tally::new();
    let near = |bits: core::ops::Range<u32>| {
        (bits, -1..=1_i64, any::<bool>())
            .prop_map(|(bits, by, odd)| (1_i64 << bits) + if odd { by } else { 0 })
    };
    let strategy = (near(8..18), near(8..14), (near(10..32), 0..70_i64), (near(9..28), 1..70_i64));
    let kinds = ["possible", "page", "unit", "journal", "chunk"];
    let regressions = "tests/property/regressions/geometry.txt";
    check(("geometry", regressions), 2000, &strategy, (&TALLY, &kinds), |(page, unit, journal, chunk)| {
        let whole = |(bytes, pages): (i64, i64)| if pages % 2 == 0 { bytes } else { page * pages };
        let (journal, chunk) = (whole(journal), whole(chunk));
        let sizes = (page as u32, unit as u32, journal as u64, chunk as u32);
        let power = |n: i64, from: i64, to: i64| n & (n - 1) == 0 && n >= from && n <= to;
        // A chunk lies in one group of pages, behind at most 16 map slots.
        let group = (page - 32) * 8;
        let expected = match () {
            () if !power(page, 512, 65_536) => Err(GeometryError::PageSize(sizes.0)),
            () if !power(unit, 512, page.min(4096)) => Err(GeometryError::Unit(sizes.1)),
            () if journal % page != 0 || journal < 4 * page || journal > 1 << 30 => {
                Err(GeometryError::JournalLength(sizes.2))
            }
            () if chunk % page != 0 || chunk > 64 << 20 || chunk / page + 16 > group => {
                Err(GeometryError::ChunkSize(sizes.3))
            }
            () => Ok(()),
        };
        TALLY.hit(match expected {
            Ok(()) => "possible",
            Err(GeometryError::PageSize(_)) => "page",
            Err(GeometryError::Unit(_)) => "unit",
            Err(GeometryError::JournalLength(_)) => "journal",
            Err(_) => "chunk",
        });
        let geometry = Geometry::new(sizes.0, sizes.1, sizes.2, sizes.3);
        assert_eq!(geometry.map(|_| ()), expected, "{sizes:?}");
        let Ok(geometry) = geometry else { return };
        assert!(geometry.journal_offset() >= 4 * 4096 && geometry.journal_offset() as i64 % page == 0);
        assert_eq!(geometry.offset(geometry.first_group()), geometry.journal_offset() + sizes.2);
        assert_eq!(geometry.max_name() as i64, (page / 8).min(1024));
        assert_eq!((geometry.max_inline() as i64, geometry.group_pages() as i64), (page / 4, group));
        assert!(geometry.offset(geometry.max_pages()) <= 1 << 48);
        // The superblock says the same, or that it does not fit together.
        let mut superblock = Superblock::read_from_bytes(&[0; Superblock::SIZE]).expect("as long");
        superblock.page_size = sizes.0.into();
        superblock.unit = sizes.1.into();
        superblock.journal_length = sizes.2.into();
        superblock.chunk_size = sizes.3.into();
        superblock.journal_offset = geometry.journal_offset().into();
        superblock.first_group = geometry.first_group().into();
        superblock.pages = (geometry.first_group() + 16).into();
        assert_eq!(superblock.geometry(), Ok(geometry));
        superblock.pages = (geometry.first_group() + 15).into();
        assert_eq!(superblock.geometry(), Err(GeometryError::Inconsistent));
        superblock.pages = geometry.max_pages().into();
        superblock.first_group = (geometry.first_group() + 1).into();
        assert_eq!(superblock.geometry(), Err(GeometryError::Inconsistent));
    });
}
